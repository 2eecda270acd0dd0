//! A run's report as data: what the page draws and `report.json` holds.

use serde::Serialize;
use tinymood_eval::Evaluation;

use crate::data::DataSummary;
use crate::error::ReportError;
use crate::figures::{Detail, ReportOptions, judge};
use crate::log::TrainingLog;
use crate::record::{RunRecord, RunSettings};

/// Everything that is shown of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The run's name: its folder's.
    pub name: String,
    /// Whether a teacher's hidden states were learned, without labels.
    pub is_distillation: bool,
    /// What is missing or damaged.
    pub notes: Vec<String>,
    /// [`DataSummary::warnings`].
    pub warnings: Vec<String>,
    /// What was run.
    pub settings: RunSettings,
    /// What happened.
    pub log: TrainingLog,
    /// Passes over the training rows that were made, whatever the recipe asks for.
    pub epochs: Option<f64>,
    /// What the splits are like.
    pub data: Option<DataSummary>,
    /// The best model's figures on the validation split.
    pub evaluation: Option<Evaluation>,
    /// What needs predictions.
    pub detail: Option<Detail>,
}

impl RunReport {
    /// Computes everything.
    ///
    /// # Errors
    /// When the record's predictions are no probabilities.
    pub fn new(record: &RunRecord, options: &ReportOptions) -> Result<Self, ReportError> {
        let mut notes = record.notes.clone();
        let judged = match record.kept.as_ref().zip(record.thresholds.as_ref()) {
            Some((kept, thresholds)) => Some(
                judge(kept, thresholds, options)
                    .map_err(|source| ReportError::Judge { run: record.name.clone(), source })?,
            ),
            None => None,
        };
        let (evaluation, detail) = match judged {
            Some((evaluation, detail)) => (Some(evaluation), Some(detail)),
            None => (record.evaluation.clone(), None),
        };
        if detail.is_none() && !record.is_distillation() {
            notes.push(match evaluation {
                Some(_) => {
                    "Without predictions there are no intervals, threshold curves, calibration, \
                            pairs of labels and texts; the figures are those of evaluation.json."
                        .to_owned()
                }
                None if record.log.has_no_validation() => {
                    "There are no figures: the run has no validation split (train with a dev file, or with \
                     --dev-share 0.1)."
                        .to_owned()
                }
                None => "There are no figures: no model of this run has been judged.".to_owned(),
            });
        }
        Ok(Self {
            name: record.name.clone(),
            is_distillation: record.is_distillation(),
            notes,
            warnings: record.data.as_ref().map(DataSummary::warnings).unwrap_or_default(),
            settings: record.settings.clone(),
            log: record.log.clone(),
            epochs: record.log.epochs(),
            data: record.data.clone(),
            evaluation,
            detail,
        })
    }
}
