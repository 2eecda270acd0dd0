//! A run's folder, read: settings, log, data, predictions and figures, as far as they are there.
//! What is missing or damaged becomes a note that the report shows.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tinymood_core::LabelSet;
use tinymood_eval::{Evaluation, Thresholds, Tuning};
use tinymood_train::RunFolderError;
use tinymood_weights::{canonical_name, digest, read_model_folder, regular};

use crate::data::DataSummary;
use crate::error::{ReportError, failed};
use crate::kept::KeptPredictions;
use crate::log::TrainingLog;

/// Larger JSON files are not ours.
pub(crate) const MAX_JSON_BYTES: u64 = 256 << 20;

/// What `settings.toml` says, read for people: settings that this version does not know are shown
/// too, since a report needs none of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSettings {
    /// The version that wrote it.
    pub tinymood: String,
    /// Where data and model came from and how to compute.
    pub source: toml::Table,
    /// The recipe, with every override resolved.
    pub recipe: toml::Table,
}

impl RunSettings {
    fn read(run: &Path) -> Result<Self, ReportError> {
        let path = run.join("settings.toml");
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RunFolderError::NoRun { path: run.to_owned() }.into());
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        toml::from_str(&text)
            .map_err(|source| RunFolderError::Settings { path, source: Box::new(source) }.into())
    }
}

/// What a run's folder holds.
#[derive(Debug)]
pub struct RunRecord {
    /// The folder.
    pub path: PathBuf,
    /// The folder's name, by which the run is called.
    pub name: String,
    /// What was run.
    pub settings: RunSettings,
    /// What happened.
    pub log: TrainingLog,
    /// What the splits are like.
    pub data: Option<DataSummary>,
    /// What the best model says of the validation split.
    pub kept: Option<KeptPredictions>,
    /// The thresholds of the best model; those of `kept`'s labels.
    pub thresholds: Option<Thresholds>,
    /// The figures as training left them.
    pub evaluation: Option<Evaluation>,
    /// What is missing or damaged.
    pub notes: Vec<String>,
}

impl RunRecord {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// When it holds no settings that can be read: all else may be missing.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let settings = RunSettings::read(path)?;
        let mut record = Self {
            path: path.to_owned(),
            name: name_of(path),
            settings,
            log: TrainingLog::default(),
            data: None,
            kept: None,
            thresholds: None,
            evaluation: None,
            notes: Vec::new(),
        };
        record.read_log();
        record.data = record.read_json(data_file, "the data is not described");
        record.read_evaluation();
        record.read_kept();
        record.read_thresholds();
        Ok(record)
    }

    /// Whether the run learned a teacher's hidden states, and has no labels to be judged by.
    pub fn is_distillation(&self) -> bool {
        let source = &self.settings.source;
        source.contains_key("teacher") && source.contains_key("student")
    }

    fn read_log(&mut self) {
        match TrainingLog::read(&self.path.join("log.jsonl")) {
            Ok(log) if log.damaged_lines > 0 => {
                let (count, lines) = (log.damaged_lines, plural(log.damaged_lines, "line"));
                self.notes.push(format!("{count} {lines} of log.jsonl could not be read."));
                self.log = log;
            }
            Ok(log) => self.log = log,
            Err(error) => self.notes.push(format!("No curves: log.jsonl {}.", why(&error))),
        }
    }

    fn read_json<T: DeserializeOwned>(
        &mut self,
        file: fn(&Path) -> PathBuf,
        lost: &str,
    ) -> Option<T> {
        let path = file(&self.path);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match read_text(&path) {
            Ok(text) => match serde_json::from_str(&text) {
                Ok(value) => return Some(value),
                Err(error) => self.notes.push(format!("{name} is damaged, {lost}: {error}.")),
            },
            // Runs of earlier versions have none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.notes.push(format!("{name} {}, {lost}.", why(&error))),
        }
        None
    }

    fn read_evaluation(&mut self) {
        let file = |run: &Path| run.join("evaluation.json");
        let read: Option<TrainingEvaluation> = self.read_json(file, "training's figures are lost");
        let Some(TrainingEvaluation { classifier_sha256, evaluation }) = read else { return };
        // The model is replaced first, so a kill may leave the figures of the one before.
        match (classifier_sha256, self.classifier_sha256()) {
            (Some(judged), Some(found)) if judged != found => {
                self.notes.push("evaluation.json is of another model than best/ holds.".to_owned());
            }
            _ => self.evaluation = Some(evaluation),
        }
    }

    /// Takes kept predictions if they are whole and of the model that lies beside them.
    fn read_kept(&mut self) {
        let kept = match KeptPredictions::read(&predictions_file(&self.path)) {
            Ok(Some(kept)) => kept,
            Ok(None) => return,
            Err(error) => {
                return self.notes.push(format!("predictions.jsonl cannot be used: {error}."));
            }
        };
        match digest::of_file(&self.path.join("best").join("model.safetensors")) {
            Ok(found) if found == kept.model_sha256 => match self.read_tuning(&kept.labels) {
                Ok(tuning) if tuning.temperatures != kept.temperatures => self.notes.push(
                    "predictions.jsonl is of other temperatures than best/thresholds.json has."
                        .to_owned(),
                ),
                _ => self.kept = Some(kept),
            },
            Ok(_) => {
                self.notes
                    .push("predictions.jsonl is of another model than best/ holds.".to_owned());
            }
            Err(error) => {
                let why = why(&error);
                self.notes.push(format!("The model {why}; its kept predictions are shown."));
                self.kept = Some(kept);
            }
        }
    }

    /// Thresholds beside the model, else those that the figures were computed with.
    fn read_thresholds(&mut self) {
        let Some(kept) = &self.kept else { return };
        let labels = &kept.labels;
        if kept.problem_type.is_single_label() {
            self.thresholds = Some(Thresholds::argmax(labels.len()));
            return;
        }
        match self.read_tuning(labels) {
            Ok(tuning) => self.thresholds = Some(tuning.thresholds),
            Err(problem) => {
                let told = self.evaluation.as_ref().and_then(|told| of_evaluation(told, labels));
                let instead = if told.is_some() { "those of evaluation.json" } else { "0.5" };
                self.notes.push(format!("thresholds.json: {problem}; {instead} used instead."));
                self.thresholds = told.or_else(|| Some(Thresholds::fixed(0.5, labels.len())));
            }
        }
    }

    /// Reads what lies beside the model, in words what is wrong with it.
    fn read_tuning(&self, labels: &LabelSet) -> Result<Tuning, String> {
        let best = self.path.join("best");
        let text = read_text(&best.join("thresholds.json")).map_err(|error| why(&error))?;
        let tuning = Tuning::from_json(&text, labels).map_err(|error| error.to_string())?;
        match (&tuning.classifier_sha256, self.classifier_sha256()) {
            (Some(tuned), Some(found)) if *tuned != found => {
                Err("of other weights than best/ holds".to_owned())
            }
            _ => Ok(tuning),
        }
    }

    /// What identifies the classifier of the best model; `None` where it cannot be read, which is told elsewhere.
    fn classifier_sha256(&self) -> Option<String> {
        let model = read_model_folder(&self.path.join("best")).ok()?;
        let tensors = &model.tensors.tensors;
        digest::of_classifier(|name| {
            let mut tensors = tensors.iter();
            let (_, tensor) = tensors.find(|(found, _)| canonical_name(found) == name)?;
            Some(&*tensor.values)
        })
    }

    /// Puts all that is by label in the order of `labels`, where the run has these labels.
    fn order_labels(&mut self, labels: &LabelSet) {
        if let Some(kept) = &mut self.kept
            && kept.labels != *labels
            && let Some(places) = kept.order_labels(labels)
            && let Some(thresholds) = &mut self.thresholds
        {
            thresholds.values = places.iter().map(|&place| thresholds.values[place]).collect();
        }
        if let Some(told) = &mut self.evaluation {
            let place = |name: &str| labels.index_of(name);
            if told.labels.len() == labels.len()
                && told.labels.iter().all(|(name, _)| place(name).is_some())
            {
                told.labels.sort_by_key(|(name, _)| place(name));
            }
        }
    }

    /// Puts predictions in the place of those that were not kept, and reads their thresholds.
    pub fn set_kept(&mut self, kept: KeptPredictions) {
        self.kept = Some(kept);
        self.notes.retain(|note| !note.starts_with("predictions.jsonl"));
        self.read_thresholds();
    }
}

/// `evaluation.json`.
#[derive(Deserialize)]
struct TrainingEvaluation {
    /// The classifier that was judged; `None` in files of earlier versions.
    classifier_sha256: Option<String>,
    #[serde(flatten)]
    evaluation: Evaluation,
}

/// Puts the labels of runs that have the same ones in the order of the first run that was judged, so that runs
/// on data whose labels are listed in another order can be compared.
pub fn order_labels_alike(records: &mut [RunRecord]) {
    let labels_of = |record: &RunRecord| match (&record.kept, &record.evaluation) {
        (Some(kept), _) => Some(kept.labels.clone()),
        (None, Some(told)) => LabelSet::new(told.labels.iter().map(|(name, _)| name)).ok(),
        (None, None) => None,
    };
    let Some(labels) = records.iter().find_map(labels_of) else { return };
    records.iter_mut().for_each(|record| record.order_labels(&labels));
}

/// The thresholds that an evaluation names, if it has all of them.
fn of_evaluation(told: &Evaluation, labels: &LabelSet) -> Option<Thresholds> {
    let value = |name: &String| {
        let (_, label) = told.labels.iter().find(|(known, _)| known == name)?;
        let threshold = label.threshold.filter(|value| (0.0..=1.0).contains(value))?;
        Some(threshold as f32)
    };
    Some(Thresholds {
        values: labels.names().iter().map(value).collect::<Option<_>>()?,
        policy: told.thresholds.policy,
        objective: None,
        split: told.thresholds.split.clone(),
    })
}

/// Where a run keeps its predictions.
pub fn predictions_file(run: &Path) -> PathBuf {
    run.join("predictions.jsonl")
}

/// Where a run describes its data.
pub fn data_file(run: &Path) -> PathBuf {
    run.join("data.json")
}

/// A run's name: that of its folder.
pub fn name_of(run: &Path) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    // `.` and `..` have no name of their own.
    name(run).or_else(|| name(&run.canonicalize().ok()?)).unwrap_or_else(|| "run".to_owned())
}

fn read_text(path: &Path) -> io::Result<String> {
    regular::read_text(path, MAX_JSON_BYTES)
}

/// A failure as the end of a sentence.
fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is not there".to_owned(),
        _ => format!("cannot be read ({error})"),
    }
}

pub(crate) fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}
