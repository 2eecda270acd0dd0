//! Models that label texts for a student to learn from.
//!
//! Probabilities are averaged, not logits: cross-entropy is linear in its targets, so that learning
//! the mean of probabilities is learning from every teacher at once, each as sure as it is.
//!
//! Each teacher reads texts as it does when it predicts: with its own tokenizer, length and pooling.
//! Their answers are computed once. They are kept with the run, so that resuming does not ask again,
//! and in the cache folder under the fingerprint of teachers and texts, for other runs of the same.
//! A run that is interrupted while they are asked goes on where they were.

mod altered;
mod answers;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tinymood_core::{LabelSet, ProblemType};
use tinymood_eval::{Tuning, infer_split_with};
use tinymood_hub::sha256;
use tinymood_train::{Meter, RunFolder, Unfinished};
use tinymood_weights::{digest, read_model_folder, regular};

use crate::args::{GlobalArgs, PrecisionArg};
use crate::bundled;
use crate::model::{
    Model, ModelError, THRESHOLDS, TOKENS_PER_BATCH, find_model, labels_of, read_text,
};
pub(crate) use altered::altered;
use answers::Answers;

/// Texts taken at a time: enough that batches are full, few enough to stop in a second or so.
const ROWS: usize = 1024;
/// How often answers are kept before all are there.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// The files of a model's folder that decide what it answers.
const FILES: [&str; 8] = [
    "config.json",
    "model.safetensors",
    "pytorch_model.bin",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// Why there is nobody to learn from.
#[derive(Debug)]
pub enum TeacherError {
    /// A flag that only means something with a teacher.
    None(&'static str),
    /// A label of the data that a teacher does not know.
    Label {
        /// The teacher's folder.
        teacher: PathBuf,
        /// The label.
        label: String,
    },
    /// No embeddings by which words could be altered.
    NoEmbeddings,
}

impl fmt::Display for TeacherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None(flag) => write!(f, "{flag} needs a teacher, and there is none"),
            Self::Label { teacher, label } => {
                write!(f, "the teacher {} has no label {label:?}", teacher.display())
            }
            Self::NoEmbeddings => {
                f.write_str("--augment needs trained word embeddings, and those of --init are new")
            }
        }
    }
}

impl std::error::Error for TeacherError {}

impl TeacherError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::None(_) => "name a trained model with --teacher, as --teacher runs/NAME",
            Self::Label { .. } => {
                "a teacher must know all labels of the data: train it on the same ones, with the \
                 same --taxonomy"
            }
            Self::NoEmbeddings => "start from a pretrained encoder, as --init bundled",
        })
    }
}

/// Trained models whose answers are averaged.
pub(crate) struct Teachers {
    teachers: Vec<Teacher>,
    /// Of the data; `C` is their number.
    labels: LabelSet,
}

struct Teacher {
    /// What means the same teacher for good.
    name: String,
    /// `bundled` for the classifier that is part of the program.
    folder: PathBuf,
    is_bundled: bool,
    /// Which of its outputs stands for each label of the data; (C).
    outputs: Vec<usize>,
    /// What its outputs mean together.
    problem_type: ProblemType,
    /// SHA-256 of its files, or of the bundled weights.
    digest: String,
    /// What its logits are divided by; `None` where they stay as they are.
    temperatures: Option<Vec<f32>>,
}

impl Teachers {
    /// Looks at each teacher's files; `names` are runs, model folders or hub ids.
    ///
    /// # Errors
    /// When one cannot be read or lacks a label of the data.
    pub(crate) fn find(
        names: &[String],
        labels: &LabelSet,
        global: &GlobalArgs,
    ) -> anyhow::Result<Self> {
        let teacher = |name: &String| {
            Teacher::find(name, labels, global)
                .with_context(|| format!("cannot learn from {name:?}"))
        };
        let teachers = names.iter().map(teacher).collect::<anyhow::Result<_>>()?;
        Ok(Self { teachers, labels: labels.clone() })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.teachers.len()
    }

    /// What they may be named by another time.
    pub(crate) fn names(&self) -> Vec<String> {
        self.teachers.iter().map(|one| one.name.clone()).collect()
    }

    /// What tells these teachers from others.
    pub(crate) fn identity(&self) -> String {
        let digest = |one: &Teacher| match &one.temperatures {
            Some(temperatures) => sha256(format!("{} {temperatures:?}", one.digest).as_bytes()),
            None => one.digest.clone(),
        };
        self.teachers.iter().map(digest).collect::<Vec<_>>().join(" ")
    }

    /// The mean of what they say of texts, row-major; (N, C). From the run's folder, or from the
    /// cache, or asked now and kept in both. `None` when `stop` is set before all is said: the run
    /// goes on from there.
    ///
    /// # Errors
    /// When a teacher cannot be asked, or its answers cannot be written to the run's folder.
    pub(crate) fn label(
        &self,
        texts: &[&str],
        precision: PrecisionArg,
        run: &RunFolder,
        global: &GlobalArgs,
        stop: &AtomicBool,
    ) -> anyhow::Result<Option<Vec<f32>>> {
        let shape = [texts.len(), self.labels.len()];
        let answers = Answers::new(self.fingerprint(texts, precision), shape, run, global);
        if let Some(probabilities) = answers.find()? {
            return Ok(Some(probabilities));
        }
        let global = GlobalArgs { precision, ..global.clone() };
        let mut said = answers.unfinished();
        let mut kept = Instant::now();
        let mut stopped = |said: &Unfinished| {
            let stopped = stop.load(Ordering::Relaxed);
            if stopped || kept.elapsed() > KEEP_EVERY {
                answers.keep_unfinished(said)?;
                kept = Instant::now();
            }
            anyhow::Ok(stopped)
        };
        while said.teachers < self.teachers.len() {
            if !self.ask(texts, &mut said, &global, &mut stopped)? {
                return Ok(None);
            }
        }
        let count = self.teachers.len() as f32;
        let probabilities: Vec<f32> = said.sums.iter().map(|sum| sum / count).collect();
        answers.keep(&probabilities)?;
        Ok(Some(probabilities))
    }

    /// Asks the next teacher about the texts that it has not labelled yet. Returns false when
    /// `stopped`, which is asked now and then, says so.
    fn ask(
        &self,
        texts: &[&str],
        said: &mut Unfinished,
        global: &GlobalArgs,
        stopped: &mut dyn FnMut(&Unfinished) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        let (teacher, num_labels) = (&self.teachers[said.teachers], self.labels.len());
        let name = teacher.folder.display();
        let model =
            teacher.open(global).with_context(|| format!("cannot open the model {name}"))?;
        let what = format!("teacher {} of {} labels", said.teachers + 1, self.teachers.len());
        let mut meter = Meter::new(global.progress(), &what, texts.len()).after(said.rows);
        while said.rows < texts.len() {
            if stopped(said)? {
                meter.stop();
                return Ok(false);
            }
            let rows = said.rows..(said.rows + ROWS).min(texts.len());
            let encoded = model.tokenizer.encode_all(&texts[rows.clone()])?;
            let tell = |done| meter.set(rows.start + done);
            let logits = infer_split_with(&model.engine, &encoded, TOKENS_PER_BATCH, tell)?;
            let probabilities = teacher.problem_type.probabilities(&logits);
            let answers = probabilities.chunks_exact(model.labels.len());
            let sums = &mut said.sums[rows.start * num_labels..rows.end * num_labels];
            for (sums, answer) in sums.chunks_exact_mut(num_labels).zip(answers) {
                for (sum, &output) in sums.iter_mut().zip(&teacher.outputs) {
                    *sum += answer[output];
                }
            }
            said.rows = rows.end;
        }
        meter.finish();
        ensure!(
            said.sums.iter().all(|sum| sum.is_finite()),
            "the teacher {name} gives probabilities that are no numbers"
        );
        *said = Unfinished {
            sums: std::mem::take(&mut said.sums),
            teachers: said.teachers + 1,
            rows: 0,
        };
        Ok(true)
    }

    /// Changes with whatever the answers depend on, but for the instruction set: a run that moves to
    /// another machine keeps its targets.
    fn fingerprint(&self, texts: &[&str], precision: PrecisionArg) -> String {
        let mut facts = format!("soft labels, 1\n{precision:?}\n{}\n", self.identity());
        // Answers that were kept before had sigmoids of all teachers.
        for (at, teacher) in self.teachers.iter().enumerate() {
            if teacher.problem_type.is_single_label() {
                facts += &format!("teacher {at}: {}\n", teacher.problem_type.function());
            }
        }
        for name in self.labels.names() {
            facts += &format!("{name}\n");
        }
        let mut bytes = facts.into_bytes();
        for text in texts {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        sha256(&bytes)
    }
}

impl Teacher {
    fn find(name: &str, labels: &LabelSet, global: &GlobalArgs) -> anyhow::Result<Self> {
        let is_bundled = name == bundled::NAME;
        let mut name = name.to_owned();
        let (folder, model, thresholds, digest) = if is_bundled {
            let (model, thresholds) = bundled::classifier()?.ok_or(ModelError::NotBundled)?;
            let (folder, thresholds) = (PathBuf::from(bundled::NAME), Some(thresholds.to_owned()));
            (folder, model, thresholds, bundled::classifier_sha256())
        } else {
            let found = find_model(&name, global)?;
            name = found.name;
            let folder = found.folder;
            let digest = digest_of(&folder)?;
            let model = read_model_folder(&folder)?;
            let thresholds = read_text(&folder.join(THRESHOLDS))?;
            (folder, model, thresholds, digest)
        };
        let known = labels_of(&model)?;
        let temperatures = match thresholds {
            Some(text) => {
                Tuning::from_json(&text, &known)
                    .with_context(|| format!("cannot use {}", folder.join(THRESHOLDS).display()))?
                    .temperatures
            }
            None => None,
        };
        let outputs = labels.names().iter().map(|label| {
            known.index_of(label).ok_or_else(|| TeacherError::Label {
                teacher: folder.clone(),
                label: label.clone(),
            })
        });
        let outputs = outputs.collect::<Result<_, _>>()?;
        let problem_type = model.config.problem_type;
        Ok(Self { name, folder, is_bundled, outputs, problem_type, digest, temperatures })
    }

    fn open(&self, global: &GlobalArgs) -> anyhow::Result<Model> {
        match self.is_bundled {
            true => Model::open(None, global),
            false => Model::open_folder(&self.folder, global),
        }
    }
}

/// SHA-256 of the files that decide what a model answers.
fn digest_of(folder: &Path) -> anyhow::Result<String> {
    let mut facts = String::new();
    for file in FILES.iter().map(|file| folder.join(file)) {
        let is_there = regular::is_there(&file);
        if !is_there.with_context(|| format!("cannot read {}", file.display()))? {
            continue;
        }
        let sum = digest::of_file(&file);
        let sum = sum.with_context(|| format!("cannot read {}", file.display()))?;
        facts += &format!("{} {sum}\n", file.file_name().unwrap_or_default().display());
    }
    Ok(sha256(facts.as_bytes()))
}
