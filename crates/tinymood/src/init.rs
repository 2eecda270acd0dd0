//! Where training starts: the bundled encoder, a run, a model folder, a hub id, or random weights of a shape.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tinymood_core::{LabelSet, ModelConfig, ProblemType, TensorMap};
use tinymood_hub::{Hub, HubSettings};
use tinymood_text::{LabelList, ListRole, PLACEHOLDERS, Tokenizer};
use tinymood_train::TrainSettings;

use crate::args::GlobalArgs;
use crate::bundled;
use crate::fetching::fetcher;
use crate::model::ModelError;
use tinymood_weights::{
    LoadReport, TensorFile, fit_by_label, initialise, read_model_folder, regular,
};

/// What training starts from.
pub(crate) struct Start {
    /// What means the same start for good: an id of the hub is at its commit.
    pub(crate) init: String,
    pub(crate) config: ModelConfig,
    pub(crate) tensors: TensorMap,
    pub(crate) tokenizer: Tokenizer,
    /// What became of the checkpoint; none for random weights.
    pub(crate) report: Option<LoadReport>,
    /// What the outputs of the checkpoint mean together; of the new model `config` says it.
    was: ProblemType,
}

impl Start {
    /// Whether a tensor is not of the checkpoint.
    pub(crate) fn is_new(&self, name: &str) -> bool {
        let initialised = self.report.as_ref().map(|report| &report.initialised);
        initialised.is_none_or(|names| names.iter().any(|it| it == name))
    }

    /// Which of the classifier's `num_labels` rows are not of the checkpoint.
    pub(crate) fn new_labels(&self, num_labels: usize) -> Vec<usize> {
        let head = self.report.as_ref().and_then(|report| report.head.as_ref());
        let is_new = |label: usize| head.is_some_and(|head| head.rows[label].is_none());
        let all = self.is_new(CLASSIFIER);
        (0..num_labels).filter(|&label| all || is_new(label)).collect()
    }

    /// How many numbers there are.
    pub(crate) fn parameters(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.values.len()).sum()
    }

    pub(crate) fn describe(&self) -> String {
        match &self.report {
            Some(report) if self.was.is_single_label() && !self.is_new(CLASSIFIER) => format!(
                "{report}; it gave exactly one label for each text ({}), the new model is {}: several \
                 may hold, or none",
                self.was.name(),
                self.config.problem_type.name()
            ),
            Some(report) => report.to_string(),
            None => "all weights are new".to_owned(),
        }
    }
}

/// The weight of the classifier, with a row for each label.
pub(crate) const CLASSIFIER: &str = "classifier.weight";

/// What `tinybert` is short for.
const TINYBERT: &str = "huawei-noah/TinyBERT_General_4L_312D";

/// A hub of the environment's settings.
pub(crate) fn hub(global: &GlobalArgs) -> anyhow::Result<Hub> {
    Ok(Hub::new(HubSettings::from_environment(global.offline)?).with(fetcher(global)))
}

/// What `tinybert` is short for, also at a revision; other names stay as they are.
fn in_full(name: &str) -> String {
    match name.strip_prefix("tinybert") {
        Some(rest) if rest.is_empty() || rest.starts_with('@') => format!("{TINYBERT}{rest}"),
        _ => name.to_owned(),
    }
}

/// A model folder's path that holds from anywhere, and what `tinybert` is short for; other names, hub
/// ids and random shapes stay as they are. A folder of one of those names is `./NAME`.
pub(crate) fn absolute_model(name: &str) -> String {
    let full = in_full(name);
    match std::path::absolute(name) {
        _ if full != name => full,
        _ if name == bundled::NAME => full,
        Ok(path) if Path::new(name).is_dir() => path.to_string_lossy().into_owned(),
        _ => full,
    }
}

/// The name of a model in a run's settings without its commit, and the commit where it is of the hub.
pub(crate) fn split_commit(name: &str) -> (&str, Option<&str>) {
    match name.split_once('@') {
        Some((id, commit)) if !Path::new(name).is_absolute() => (id, Some(commit)),
        _ => (name, None),
    }
}

/// The model of a run's folder; other folders stay as they are.
///
/// # Errors
/// When the run's model cannot be looked at, as behind a link that leads nowhere.
pub(crate) fn best_of(path: PathBuf) -> anyhow::Result<PathBuf> {
    let best = path.join("best");
    let cannot_read = || format!("cannot read {}", best.display());
    if !regular::is_there(&best).with_context(cannot_read)? {
        return Ok(path);
    }
    best.metadata().with_context(cannot_read)?;
    let is_model = regular::is_there(&best.join("config.json")).with_context(cannot_read)?;
    Ok(if is_model { best } else { path })
}

/// Whether a model's name is one of the hub: nothing here has that name, not even a link that leads nowhere.
pub(crate) fn is_of_hub(model: &str) -> bool {
    in_full(model) != model || matches!(regular::is_there(Path::new(model)), Ok(false))
}

/// A model that was looked for.
pub(crate) struct Found {
    pub(crate) folder: PathBuf,
    /// What means the same model for good: an id of the hub is at its commit.
    pub(crate) name: String,
}

/// Finds a model: one that is here, the best one of a run, or one of the hub.
pub(crate) fn find(model: &str, global: &GlobalArgs) -> anyhow::Result<Found> {
    if is_of_hub(model) {
        let full = in_full(model);
        let folder = hub(global)?.model(&full);
        let folder = folder
            .with_context(|| format!("there is no folder {model:?} here, and the hub gave none"))?;
        let name = Hub::pinned(&full, &folder);
        return Ok(Found { folder, name });
    }
    let path = Path::new(model);
    let metadata = path.metadata().with_context(|| format!("cannot read {model:?}"))?;
    if !metadata.is_dir() {
        bail!("{model:?} is a file, expected a model folder");
    }
    Ok(Found { folder: best_of(path.to_owned())?, name: model.to_owned() })
}

/// The labels of the classifier that training starts from, for data that names none; `None` for an encoder
/// alone, and for labels that are only numbered.
pub(crate) fn labels_of_start(
    init: &str,
    global: &GlobalArgs,
) -> anyhow::Result<Option<LabelList>> {
    if init == bundled::NAME || init.starts_with("random:") {
        return Ok(None);
    }
    let labels = read_model_folder(&find(init, global)?.folder)?.labels;
    let is_numbered = |(id, name): (usize, &String)| *name == format!("LABEL_{id}");
    let labels = labels.filter(|labels| !labels.names().iter().enumerate().all(is_numbered));
    let source = format!("--init {init}");
    Ok(labels.map(|labels| LabelList { labels, source, role: ListRole::Start }))
}

/// Loads what `--init` names, with the recipe's pooling, dropout and length.
pub(crate) fn start(
    init: &str,
    labels: &LabelSet,
    settings: &TrainSettings,
    global: &GlobalArgs,
) -> anyhow::Result<Start> {
    let mut name = init.to_owned();
    let (mut config, checkpoint, tokenizer) = match (init, init.strip_prefix("random:")) {
        (_, Some(shape)) => (ModelConfig::preset(shape)?, None, Tokenizer::bundled()),
        (bundled::NAME, _) => {
            let model = bundled::encoder()?.ok_or(ModelError::NotBundled)?;
            (model.config, Some((model.tensors, model.labels)), Tokenizer::bundled())
        }
        _ => {
            let found = find(init, global)?;
            name = found.name;
            let folder = found.folder;
            let model = read_model_folder(&folder)?;
            let checkpoint = (model.tensors, model.labels);
            (model.config, Some(checkpoint), Tokenizer::from_folder(&folder)?)
        }
    };
    let was = config.problem_type;
    settings.apply_to(&mut config);
    let positions = config.max_position_embeddings;
    if settings.max_length() > positions {
        let length = settings.max_length();
        bail!(
            "max_length is {length}, the model has {positions} positions: give --max-length {positions} or less"
        );
    }
    let mut tokenizer = tokenizer.with_threads(global.threads);
    if settings.recipe().placeholder_tokens {
        tokenizer = tokenizer.with_placeholders(&PLACEHOLDERS)?;
    }
    let tokenizer = of_model(tokenizer, &config)?.with_max_length(settings.max_length())?;
    let (tensors, report) = weights(checkpoint, &config, labels, settings.seed())
        .with_context(|| format!("cannot start from {init:?}"))?;
    Ok(Start { init: name, config, tensors, tokenizer, report, was })
}

fn weights(
    checkpoint: Option<(TensorFile, Option<LabelSet>)>,
    config: &ModelConfig,
    labels: &LabelSet,
    seed: u64,
) -> anyhow::Result<(TensorMap, Option<LoadReport>)> {
    let specs = config.parameters(labels.len());
    match checkpoint {
        Some((file, of_file)) => {
            let (tensors, report) =
                fit_by_label(&specs, file, config, seed, of_file.as_ref(), labels)?;
            Ok((tensors, Some(report)))
        }
        None => {
            let new = |spec: &tinymood_core::ParameterSpec| initialise(spec, config, seed);
            Ok((specs.iter().map(|spec| (spec.name.clone(), new(spec))).collect(), None))
        }
    }
}

/// A tokenizer that cuts texts to a model's positions, or less where its files say so, and refuses texts
/// with a token that the model has no embedding for.
pub(crate) fn of_model(tokenizer: Tokenizer, config: &ModelConfig) -> anyhow::Result<Tokenizer> {
    let length = tokenizer.max_length().min(config.max_position_embeddings);
    Ok(tokenizer.with_max_length(length)?.with_embeddings(config.vocab_size)?)
}
