//! A folder, a run or a hub id to a model ready to answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use tinymood_core::{
    Engine, Infer, LabelSet, Logits, MOST_LABELS, ProblemType, TensorMap, TensorSet, TokenizedText,
};
use tinymood_engine::{CpuEngine, CpuSettings};
use tinymood_eval::{
    Calibrated, CalibrationError, Explainer, Occlusion, Thresholds, Tuning, infer_split,
};
use tinymood_kernels::Precision;
use tinymood_text::Tokenizer;
use tinymood_weights::{
    ModelFolder, WeightsError, canonical_name, digest, fit, load_model_folder, read_model_folder,
    regular,
};

use crate::args::{GlobalArgs, PrecisionArg};
use crate::bundled;
use crate::init::{Found, best_of, find, is_of_hub, of_model};

/// Tokens of one batch of inference.
pub(crate) const TOKENS_PER_BATCH: usize = 512;

/// The threshold of a model that brings none.
const DEFAULT_THRESHOLD: f32 = 0.5;

pub(crate) const THRESHOLDS: &str = "thresholds.json";

/// Larger texts are no part of a model.
const MOST_TEXT_BYTES: u64 = 16 << 20;

/// The name of the newest run in `./runs`.
pub(crate) const LATEST: &str = "latest";

/// Why there is no model.
#[derive(Debug)]
pub enum ModelError {
    /// The newest run was asked for, and there is none.
    NoRuns,
    /// What was asked for is not part of this build.
    NotBundled,
    /// The bundled classifier was to be changed.
    BundledIsFixed,
    /// A model in the hub's cache was to be changed, which other programs share.
    HubIsShared(String),
    /// A folder without a trained classifier.
    NoClassifier(PathBuf),
    /// A classifier of something else than texts.
    OtherHead {
        /// The model's folder.
        path: PathBuf,
        /// What its configuration calls it.
        architecture: String,
    },
    /// A classifier that its configuration does not fit.
    OtherClassifier {
        /// The model's folder.
        path: PathBuf,
        /// The shape of the classifier's weight.
        found: Vec<usize>,
        /// How many labels the configuration names, where it names any.
        labels: Option<usize>,
        /// The width of the configuration's hidden states.
        hidden_size: usize,
    },
    /// A head whose output is a number, not the score of a label.
    Regression(PathBuf),
    /// A single-label head with one output.
    OneOutput(PathBuf),
    /// Something that has no meaning for a model that gives exactly one label for each text.
    SingleLabel {
        /// The model's folder.
        path: PathBuf,
        /// What was asked for: a flag or a command.
        asked: &'static str,
    },
    /// Thresholds beside a model that gives exactly one label for each text.
    UselessThresholds(PathBuf),
    /// Labels of the data that are not the model's.
    OtherLabels {
        /// Those that only the data has; empty where it has none.
        data: String,
        /// Those that only the model has; empty where it has none.
        model: String,
    },
    /// Logits that are no numbers.
    NotFinite(PathBuf),
    /// Thresholds that were tuned for other weights.
    OtherWeights {
        /// The model's folder.
        path: PathBuf,
        /// The file of its weights.
        weights: PathBuf,
    },
    /// To be calibrated, which does not help or cannot be told to.
    NotCalibrated(CalibrationError),
    /// To be exported as int8, and so already.
    AlreadyInt8(PathBuf),
    /// To be exported, and nothing says on which data to judge it.
    NoData(PathBuf),
    /// To be exported, and the data has no validation split.
    NoValidation(String),
    /// int8 loses too much of F1.
    GateFailed(String),
    /// Training asked for in a precision that only infers.
    TrainInt8,
}

impl std::fmt::Display for ModelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoRuns => write!(f, "./runs holds no run with a model"),
            Self::NotBundled => write!(f, "this build has no bundled models"),
            Self::BundledIsFixed => write!(f, "the bundled classifier is part of the program"),
            Self::HubIsShared(id) => {
                write!(f, "{id} lies in the hub's cache, where other programs read it too")
            }
            Self::NoClassifier(path) => {
                write!(f, "{} is an encoder without a classifier", path.display())
            }
            Self::OtherHead { path, architecture } => {
                write!(f, "{} is a {architecture}, which classifies no whole texts", path.display())
            }
            Self::OtherClassifier { path, found, labels, hidden_size } => {
                let any = || format!("1 to {MOST_LABELS}");
                let labels = labels.map_or_else(any, |labels| labels.to_string());
                let path = path.display();
                write!(
                    f,
                    "the classifier of {path} has the shape {found:?}, expected \
                     [{labels}, {hidden_size}]"
                )
            }
            Self::Regression(path) => write!(
                f,
                "the output of {} is a number, not the score of a label: it is a regression model",
                path.display()
            ),
            Self::OneOutput(path) => write!(
                f,
                "{} has one output, and its problem_type is single_label_classification: a softmax \
                 of one output is always 1",
                path.display()
            ),
            Self::SingleLabel { path, asked } => write!(
                f,
                "{asked} has no meaning for {}, which gives exactly one label for each text \
                 (problem_type is single_label_classification)",
                path.display()
            ),
            Self::UselessThresholds(path) => write!(
                f,
                "{} has a {THRESHOLDS}, but gives exactly one label for each text (problem_type is \
                 single_label_classification)",
                path.display()
            ),
            Self::OtherLabels { data, model } => {
                write!(f, "the data's labels are not the model's")?;
                for (who, only) in [("data", data), ("model", model)] {
                    if !only.is_empty() {
                        write!(f, "; only the {who} has {only}")?;
                    }
                }
                Ok(())
            }
            Self::NotFinite(path) => {
                write!(
                    f,
                    "{} answers with what is no number: its weights are damaged",
                    path.display()
                )
            }
            Self::OtherWeights { path, weights } => write!(
                f,
                "{} was tuned for other weights than {} holds (its classifier_sha256 differs)",
                path.join(THRESHOLDS).display(),
                weights.display()
            ),
            Self::NotCalibrated(why) => write!(f, "{why}"),
            Self::AlreadyInt8(path) => write!(f, "{} is int8 already", path.display()),
            Self::NoData(path) => write!(
                f,
                "no data to judge {} on: it is not part of a run, and --data names none",
                path.display()
            ),
            Self::NoValidation(data) => write!(f, "{data:?} has no validation (dev) split"),
            Self::GateFailed(losses) => write!(f, "int8 loses too much: {losses}"),
            Self::TrainInt8 => write!(f, "training does not run in int8"),
        }
    }
}

impl std::error::Error for ModelError {}

impl ModelError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoRuns => "train one (`tinymood train`), or name another",
            Self::NotBundled => {
                "name a folder or a hub id (--model, --init), or build with the feature \"bundled\""
            }
            Self::BundledIsFixed => {
                "name a model that may be written to with --model, or add --dry-run to look only"
            }
            Self::HubIsShared(_) => {
                "make a copy of your own: `tinymood export --f32 --model ID --output FOLDER`, or add \
                 --dry-run to look only"
            }
            Self::OtherHead { .. } => {
                "name a text classifier (BertForSequenceClassification); to train one on this \
                 encoder: `tinymood train --init FOLDER`"
            }
            Self::NoClassifier(_) => "fine-tune it first: `tinymood train --init FOLDER`",
            Self::OtherClassifier { .. } => {
                "config.json and the weights must be of one model: take another copy of it"
            }
            Self::NotFinite(_) => "take another copy of it, or train it again",
            Self::Regression(_) => {
                "fine-tune its encoder: `tinymood train --init FOLDER`; or, if the output is the score \
                 of a label, name the label in config.json: \"id2label\": {\"0\": \"NAME\"}"
            }
            Self::OneOutput(_) => {
                "for one label that holds or not, set problem_type in config.json to \
                 multi_label_classification"
            }
            Self::SingleLabel { .. } => {
                "leave it out: the most probable label holds, and predict shows others with --top-k \
                 or --scores"
            }
            Self::UselessThresholds(_) => {
                "remove the file; or, if several labels may hold, set problem_type in config.json to \
                 multi_label_classification"
            }
            Self::OtherLabels { .. } => {
                "name data of the model's labels with --data, or these labels with --labels if the \
                 data's ids stand for them"
            }
            Self::OtherWeights { .. } => {
                "tune them for these weights (`tinymood tune`), take both files of one model, or remove \
                 thresholds.json: labels then hold from 0.5 on"
            }
            Self::NotCalibrated(CalibrationError::TooFew { .. }) => {
                "name more rows with --data, or tune without --calibrate; nothing was written"
            }
            Self::NotCalibrated(CalibrationError::NoGain(_)) => {
                "tune without --calibrate; nothing was written"
            }
            Self::AlreadyInt8(_) => "export from the model that it was made of",
            Self::NoData(_) => {
                "name labelled rows that it was not trained on: --data with a file, or a folder with a dev \
                 file"
            }
            Self::NoValidation(_) => {
                "hold rows out when you train (`tinymood train --dev-share 0.1`), or name labelled rows that \
                 it was not trained on: --data with a file, or a folder with a dev file"
            }
            Self::GateFailed(_) => {
                "use the model as it is, in bf16 or f32; or write the folder all the same: --force"
            }
            Self::TrainInt8 => {
                "train in f32 or bf16, then: `tinymood export --int8`, or `predict --precision int8`"
            }
        })
    }
}

/// A classifier with all that it needs.
pub struct Model {
    /// Computes logits, divided by the temperatures of `thresholds.json`.
    pub engine: Calibrated<CpuEngine>,
    /// Texts to ids.
    pub tokenizer: Tokenizer,
    /// The labels, in the order of the outputs.
    pub labels: LabelSet,
    /// From `thresholds.json`; 0.5 for all where there is none. Argmax for a single-label model.
    pub thresholds: Thresholds,
    /// Its folder.
    pub path: PathBuf,
    /// Whether the folder holds int8 weights, as `tinymood export --int8` writes them.
    pub quantised: bool,
    /// Where it lies.
    pub origin: Origin,
    /// Whether its `config.json` says what its outputs mean together.
    names_problem_type: bool,
    /// The tensors of its classifier, as they were read.
    classifier: TensorMap,
}

/// What to do with a model's `thresholds.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TuningFile {
    /// It belongs to the model.
    Read,
    /// It is about to be replaced, whatever it holds.
    Ignore,
}

/// Where a model lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a folder of the user's.
    Folder,
    /// In the hub's cache, under this id.
    Hub(String),
    /// In the program.
    Bundled,
}

impl Origin {
    /// # Errors
    /// When what lies there is not the user's to change.
    pub(crate) fn check_writable(&self) -> Result<(), ModelError> {
        match self {
            Self::Folder => Ok(()),
            Self::Hub(id) => Err(ModelError::HubIsShared(id.clone())),
            Self::Bundled => Err(ModelError::BundledIsFixed),
        }
    }
}

impl Model {
    /// Opens a run, a model folder, a hub id, `latest` (the newest run in `./runs`), or `bundled`, as
    /// without a name.
    ///
    /// # Errors
    /// When there is none, or a file of it is missing or damaged.
    pub fn open(name: Option<&str>, global: &GlobalArgs) -> anyhow::Result<Self> {
        Self::open_with(name, global, read_model_folder, TuningFile::Read)?.said(global)
    }

    /// [`Model::open`] for what replaces `thresholds.json`, which need not fit the weights then: thresholds are 0.5,
    /// and logits are as the weights give them.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open_untuned(name: Option<&str>, global: &GlobalArgs) -> anyhow::Result<Self> {
        Self::open_with(name, global, read_model_folder, TuningFile::Ignore)?.said(global)
    }

    fn said(self, global: &GlobalArgs) -> anyhow::Result<Self> {
        let model = self;
        if !model.names_problem_type && model.labels.len() > 1 {
            global.say(
                "problem: config.json names no problem_type, so each label has a sigmoid and several may \
                 hold; for exactly one label a text, set it to single_label_classification",
            );
        }
        Ok(model)
    }

    /// [`Model::open`] for a program that stays: its folder may change or go meanwhile.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn load(name: Option<&str>, global: &GlobalArgs) -> anyhow::Result<Self> {
        Self::open_with(name, global, load_model_folder, TuningFile::Read)
    }

    fn open_with(
        name: Option<&str>,
        global: &GlobalArgs,
        read: fn(&Path) -> Result<ModelFolder, WeightsError>,
        tuning: TuningFile,
    ) -> anyhow::Result<Self> {
        let name = match name {
            None | Some(bundled::NAME) => return Self::bundled(global, tuning),
            Some(name) => name,
        };
        let path = model_folder(name, global)?;
        if name == LATEST {
            global.say(&format!("model: {}", path.display()));
        }
        let model = Self::read_folder(&path, global, read, tuning)
            .with_context(|| format!("cannot open the model {}", path.display()))?;
        let is_of_hub = name != LATEST && is_of_hub(name);
        let origin = if is_of_hub { Origin::Hub(name.to_owned()) } else { Origin::Folder };
        Ok(Self { origin, ..model })
    }

    fn bundled(global: &GlobalArgs, tuning: TuningFile) -> anyhow::Result<Self> {
        let (model, thresholds) = bundled::classifier()?.ok_or(ModelError::NotBundled)?;
        let thresholds = (tuning == TuningFile::Read).then(|| thresholds.to_owned());
        let model = Self::new(model, Tokenizer::bundled(), thresholds, global)?;
        Ok(Self { origin: Origin::Bundled, ..model })
    }

    pub(crate) fn open_folder(path: &Path, global: &GlobalArgs) -> anyhow::Result<Self> {
        Self::read_folder(path, global, read_model_folder, TuningFile::Read)
    }

    fn read_folder(
        path: &Path,
        global: &GlobalArgs,
        read: fn(&Path) -> Result<ModelFolder, WeightsError>,
        tuning: TuningFile,
    ) -> anyhow::Result<Self> {
        let model = read(path)?;
        let file = path.join(THRESHOLDS);
        let thresholds = match tuning {
            TuningFile::Read => regular::read_document(&file, MOST_TEXT_BYTES)
                .with_context(|| format!("cannot read {}", file.display()))?,
            TuningFile::Ignore => None,
        };
        Self::new(model, Tokenizer::from_folder(path)?, thresholds, global)
    }

    fn new(
        model: ModelFolder,
        tokenizer: Tokenizer,
        thresholds: Option<String>,
        global: &GlobalArgs,
    ) -> anyhow::Result<Self> {
        let labels = labels_of(&model)?;
        let path = model.path;
        let tokenizer = of_model(tokenizer, &model.config)?.with_threads(global.threads);
        let is_single_label = model.config.problem_type.is_single_label();
        let tuning = match thresholds {
            Some(_) if is_single_label => return Err(ModelError::UselessThresholds(path).into()),
            None if is_single_label => Tuning::of_thresholds(Thresholds::argmax(labels.len())),
            Some(text) => Tuning::from_json(&text, &labels)
                .with_context(|| format!("cannot use {}", path.join(THRESHOLDS).display()))?,
            None => Tuning::of_thresholds(Thresholds::fixed(DEFAULT_THRESHOLD, labels.len())),
        };
        let quantised = model.tensors.quantised;
        let precision = match global.precision {
            PrecisionArg::Auto if quantised => PrecisionArg::Int8,
            asked => asked,
        };
        let names_problem_type = model.names_problem_type;
        let specs = model.config.parameters(labels.len());
        let (weights, report) = fit(&specs, model.tensors, &model.config, 0)?;
        if !report.initialised.is_empty() {
            // The head is there, but not as the configuration says.
            return Err(ModelError::NoClassifier(path))
                .with_context(|| format!("missing: {}", report.initialised.join(", ")));
        }
        // Values are shared, not copied.
        let classifier = weights.iter().filter(|(name, _)| name.starts_with("classifier."));
        let classifier: TensorMap =
            classifier.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        if tuning.classifier_sha256.is_some() && tuning.classifier_sha256 != sha256_of(&classifier)
        {
            classifier.values().try_for_each(|tensor| check_finite(&tensor.values, &path))?;
            let weights = weights_file(&path);
            return Err(ModelError::OtherWeights { path, weights }.into());
        }
        let mut engine = engine(model.config, labels.len(), precision, global)?;
        engine.load_tensors(TensorSet::Parameters, &weights)?;
        let engine = Calibrated::new(engine, tuning.temperatures);
        let origin = Origin::Folder;
        Ok(Self {
            engine,
            tokenizer,
            labels,
            thresholds: tuning.thresholds,
            path,
            quantised,
            origin,
            names_problem_type,
            classifier,
        })
    }

    /// Logits of texts, in their order.
    ///
    /// # Errors
    /// When the engine refuses a text, or gives what is no number.
    pub fn logits(&self, texts: &[TokenizedText]) -> anyhow::Result<Logits> {
        let logits = infer_split(&self.engine, texts, TOKENS_PER_BATCH)?;
        check_finite(&logits.values, &self.path)?;
        Ok(logits)
    }

    /// What its outputs mean together.
    pub fn problem_type(&self) -> ProblemType {
        self.engine.config().problem_type
    }

    /// # Errors
    /// When it gives exactly one label for each text, so that what is `asked` has no meaning.
    pub fn check_thresholds_apply(&self, asked: &'static str) -> Result<(), ModelError> {
        match self.problem_type().is_single_label() {
            true => Err(ModelError::SingleLabel { path: self.path.clone(), asked }),
            false => Ok(()),
        }
    }

    /// What identifies its classifier in `thresholds.json`.
    pub fn classifier_sha256(&self) -> Option<String> {
        sha256_of(&self.classifier)
    }

    /// SHA-256 of its weights, in hexadecimal.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn weights_sha256(&self) -> anyhow::Result<String> {
        if self.origin == Origin::Bundled {
            return Ok(bundled::classifier_sha256());
        }
        let file = weights_file(&self.path);
        digest::of_file(&file).with_context(|| format!("cannot read {}", file.display()))
    }

    /// What its multiplications multiply, as PyTorch calls it.
    pub fn dtype(&self) -> &'static str {
        match self.engine.engine.cpu().precision() {
            Precision::F32 => "float32",
            Precision::Bf16 => "bfloat16",
            Precision::Int8 => "int8",
        }
    }

    /// Tells which words carried a label: masks them, or deletes them where there is no `[MASK]`.
    ///
    /// # Errors
    /// When the tokenizer cannot be built.
    pub fn explainer(&self) -> anyhow::Result<Explainer<'_, Calibrated<CpuEngine>>> {
        let mask = self.tokenizer.mask_token()?;
        let occlusion = mask.map_or(Occlusion::Delete, Occlusion::Mask);
        Ok(Explainer { engine: &self.engine, occlusion, tokens_per_batch: TOKENS_PER_BATCH })
    }
}

/// The `thresholds.json` of a model with these labels, by name; `None` for a single-label model.
pub(crate) fn thresholds_file(
    tuning: &Tuning,
    labels: &LabelSet,
    problem_type: ProblemType,
) -> Option<(String, Vec<u8>)> {
    let text = || format!("{:#}\n", tuning.to_json(labels)).into_bytes();
    (!problem_type.is_single_label()).then(|| (THRESHOLDS.to_owned(), text()))
}

/// The file of the weights of the model in `path`.
fn weights_file(path: &Path) -> PathBuf {
    let files = ["model.safetensors", "pytorch_model.bin"].map(|name| path.join(name));
    let is_there = |file: &&PathBuf| regular::is_there(file).unwrap_or(true);
    files.iter().find(is_there).unwrap_or(&files[0]).clone()
}

/// [`digest::of_classifier`] of tensors that engines take.
pub(crate) fn sha256_of(tensors: &TensorMap) -> Option<String> {
    digest::of_classifier(|name| tensors.get(name).map(|tensor| &*tensor.values))
}

/// # Errors
/// When an answer or a weight of the model in `path` is no finite number.
pub(crate) fn check_finite(values: &[f32], path: &Path) -> Result<(), ModelError> {
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(ModelError::NotFinite(path.to_owned())),
    }
}

/// A text of a model's folder; `None` where there is none.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<Option<String>> {
    match regular::read_text(path, MOST_TEXT_BYTES) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The folder of a model: of a run, the best one.
pub(crate) fn model_folder(name: &str, global: &GlobalArgs) -> anyhow::Result<PathBuf> {
    Ok(find_model(name, global)?.folder)
}

/// [`find`], and `latest`, of which the folder is what stays.
pub(crate) fn find_model(name: &str, global: &GlobalArgs) -> anyhow::Result<Found> {
    if name != LATEST {
        return find(name, global);
    }
    let written = |run: &Path| {
        let best = run.join("best");
        modified(&best.join(THRESHOLDS))?; // an encoder has none
        modified(&best.join("config.json"))
    };
    let newest = newest_run(Path::new("runs"), written);
    let folder = best_of(newest.ok_or(ModelError::NoRuns)?)?;
    let name = std::path::absolute(&folder).context("cannot tell where the newest run lies")?;
    Ok(Found { folder, name: name.to_string_lossy().into_owned() })
}

/// The labels of a classifier, in the order of its outputs; numbered where it names none.
pub(crate) fn labels_of(model: &ModelFolder) -> anyhow::Result<LabelSet> {
    if let Some(architecture) = model.other_head.clone() {
        return Err(ModelError::OtherHead { path: model.path.clone(), architecture }.into());
    }
    let mut tensors = model.tensors.tensors.iter();
    let classifier = tensors.find(|(name, _)| canonical_name(name) == "classifier.weight");
    let (_, classifier) = classifier.ok_or_else(|| ModelError::NoClassifier(model.path.clone()))?;
    let (named, hidden_size) = (model.labels.as_ref(), model.config.hidden_size);
    let problem_type = model.config.problem_type;
    let has_one_output = classifier.shape[..] == [1, hidden_size];
    // Where the configuration says nothing of labels, one output is a number, too.
    if problem_type == ProblemType::Regression || (has_one_output && model.num_labels.is_none()) {
        return Err(ModelError::Regression(model.path.clone()).into());
    }
    if has_one_output && problem_type.is_single_label() {
        return Err(ModelError::OneOutput(model.path.clone()).into());
    }
    // Before labels are numbered: a shape with a zero in it names any number of outputs in a few bytes.
    match (&classifier.shape[..], named) {
        (&[outputs, width], Some(labels)) if (outputs, width) == (labels.len(), hidden_size) => {
            Ok(labels.clone())
        }
        (&[outputs @ 1..=MOST_LABELS, width], None)
            if width == hidden_size && model.num_labels.is_none_or(|count| count == outputs) =>
        {
            Ok(LabelSet::placeholders(outputs)?)
        }
        (found, _) => Err(ModelError::OtherClassifier {
            path: model.path.clone(),
            found: found.to_vec(),
            labels: model.num_labels,
            hidden_size,
        }
        .into()),
    }
}

/// The CPU engine in a precision, with as many threads as the arguments say.
pub(crate) fn engine(
    config: tinymood_core::ModelConfig,
    num_labels: usize,
    precision: PrecisionArg,
    global: &GlobalArgs,
) -> anyhow::Result<CpuEngine> {
    let precision = precision.asked();
    let settings = CpuSettings { threads: global.threads, isa: None, precision };
    Ok(CpuEngine::new(config, num_labels, settings)?)
}

/// The run of a folder that was written last, as `written` dates those that will do.
pub(crate) fn newest_run(
    runs: &Path,
    written: impl Fn(&Path) -> Option<SystemTime>,
) -> Option<PathBuf> {
    let entries = fs::read_dir(runs).ok()?.filter_map(Result::ok);
    let runs = entries.map(|entry| entry.path());
    runs.filter_map(|run| Some((written(&run)?, run))).max().map(|(_, run)| run)
}

/// When a file was written, where there is one; of a link that leads nowhere, when that was made.
pub(crate) fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().or_else(|_| path.symlink_metadata()).ok()?.modified().ok()
}
