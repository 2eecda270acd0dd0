//! All figures of a split together. As JSON the keys are the field's words.

use serde::de::{Deserializer, Error};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tinymood_core::{LabelSet, shortest_decimal};

use crate::bootstrap::{Intervals, intervals};
use crate::calibration::{
    cross_entropy, expected_calibration_error, label_brier, macro_calibration_error, mean_brier,
};
use crate::counts::Decisions;
use crate::predictions::Predictions;
use crate::ranking::{average_precision, label_ranking_average_precision, roc_auc};
use crate::table;
use crate::thresholds::{ThresholdPolicy, Thresholds};

/// Figures of one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are scikit-learn's
pub struct LabelEvaluation {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    /// Rows in which the label is true.
    pub support: u64,
    /// Rows in which it is decided.
    pub predicted: u64,
    /// `None` of a single-label model.
    pub threshold: Option<f64>,
    /// Matthews correlation coefficient.
    pub mcc: f64,
    /// `None` without positives.
    pub average_precision: Option<f64>,
    /// `None` when all rows are of one kind.
    pub roc_auc: Option<f64>,
    pub brier: f64,
    pub expected_calibration_error: f64,
}

/// Where the thresholds came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdSummary {
    /// Fixed, global or per-label; argmax of a single-label model.
    pub policy: ThresholdPolicy,
    /// What the global one was tuned for.
    pub objective: Option<String>,
    /// The split they were tuned on.
    pub split: Option<String>,
    /// The one threshold, where there is one.
    pub value: Option<f64>,
    /// In words.
    #[serde(skip)]
    pub description: String,
}

impl From<&Thresholds> for ThresholdSummary {
    fn from(thresholds: &Thresholds) -> Self {
        let shared =
            !matches!(thresholds.policy, ThresholdPolicy::PerLabel | ThresholdPolicy::Argmax);
        let first = thresholds.values.first().map(|&value| shortest_decimal(value));
        Self {
            policy: thresholds.policy,
            objective: thresholds.objective.map(|objective| objective.to_string()),
            split: thresholds.split.clone(),
            value: first.filter(|_| shared),
            description: thresholds.describe(),
        }
    }
}

/// Figures of a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are scikit-learn's
pub struct Evaluation {
    /// What was judged: a split's name.
    pub split: String,
    /// `N`.
    pub rows: usize,
    pub thresholds: ThresholdSummary,
    pub micro_precision: f64,
    pub micro_recall: f64,
    pub micro_f1: f64,
    pub macro_precision: f64,
    pub macro_recall: f64,
    pub macro_f1: f64,
    pub weighted_precision: f64,
    pub weighted_recall: f64,
    pub weighted_f1: f64,
    pub samples_precision: f64,
    pub samples_recall: f64,
    pub samples_f1: f64,
    pub subset_accuracy: f64,
    pub hamming_loss: f64,
    /// Label ranking average precision.
    pub lrap: f64,
    pub micro_average_precision: Option<f64>,
    /// Mean over the labels that have positives.
    pub macro_average_precision: Option<f64>,
    /// Mean over the labels that have both positives and negatives.
    pub macro_roc_auc: Option<f64>,
    /// Labels without positives, which the macro average precision leaves out.
    pub labels_without_average_precision: usize,
    /// Labels of one kind only, which the macro ROC AUC leaves out.
    pub labels_without_roc_auc: usize,
    /// Mean cross-entropy: binary, or of a single-label model that of its softmax.
    pub loss: f64,
    pub brier: f64,
    /// Mean over labels.
    pub expected_calibration_error: f64,
    /// Share of rows for which no label reaches its threshold.
    pub rows_without_labels: f64,
    pub confidence_intervals: Option<Intervals>,
    /// By name, in label order.
    #[serde(serialize_with = "as_map", deserialize_with = "from_map")]
    pub labels: Vec<(String, LabelEvaluation)>,
}

fn as_map<S: Serializer>(
    labels: &[(String, LabelEvaluation)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(labels.len()))?;
    for (name, label) in labels {
        map.serialize_entry(name, label)?;
    }
    map.end()
}

fn from_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, LabelEvaluation)>, D::Error> {
    let map = serde_json::Map::deserialize(deserializer)?; // keeps the order
    let labels = map.into_iter().map(|(name, label)| Ok((name, serde_json::from_value(label)?)));
    labels.collect::<Result<_, serde_json::Error>>().map_err(D::Error::custom)
}

/// Mean of what is there, and how many are not.
fn mean(values: impl Iterator<Item = Option<f64>>) -> (Option<f64>, usize) {
    let (mut sum, mut count, mut missing) = (0.0, 0_usize, 0);
    for value in values {
        match value {
            Some(value) => (sum, count) = (sum + value, count + 1),
            None => missing += 1,
        }
    }
    ((count > 0).then(|| sum / count as f64), missing)
}

impl Evaluation {
    /// Judges predictions of the named split, with `resamples` bootstrap resamplings (0 for none).
    ///
    /// # Panics
    /// When labels, thresholds and predictions differ in their number of labels.
    pub fn new(
        predictions: &Predictions<'_>,
        thresholds: &Thresholds,
        labels: &LabelSet,
        split: &str,
        resamples: usize,
    ) -> Self {
        let c = predictions.num_labels();
        assert!(labels.len() == c && thresholds.values.len() == c, "{c} labels and thresholds");
        let decisions = Decisions::new(predictions, &thresholds.values);
        let has_thresholds = thresholds.policy != ThresholdPolicy::Argmax;
        let label = |label: usize| {
            let counts = decisions.labels[label];
            let scores = counts.scores();
            let evaluation = LabelEvaluation {
                precision: scores.precision,
                recall: scores.recall,
                f1: scores.f1,
                support: counts.support(),
                predicted: counts.predicted(),
                threshold: has_thresholds.then(|| shortest_decimal(thresholds.values[label])),
                mcc: counts.matthews(),
                average_precision: average_precision(predictions.label(label)),
                roc_auc: roc_auc(predictions.label(label)),
                brier: label_brier(predictions, label),
                expected_calibration_error: expected_calibration_error(predictions.label(label)),
            };
            (labels.name(label).to_owned(), evaluation)
        };
        let labels: Vec<(String, LabelEvaluation)> = (0..c).map(label).collect();
        let (micro, average) = (decisions.micro(), decisions.macro_average());
        let (weighted, samples) = (decisions.weighted_average(), decisions.samples);
        let (macro_average_precision, labels_without_average_precision) =
            mean(labels.iter().map(|(_, l)| l.average_precision));
        let (macro_roc_auc, labels_without_roc_auc) = mean(labels.iter().map(|(_, l)| l.roc_auc));
        Self {
            split: split.to_owned(),
            rows: predictions.num_rows(),
            thresholds: thresholds.into(),
            micro_precision: micro.precision,
            micro_recall: micro.recall,
            micro_f1: micro.f1,
            macro_precision: average.precision,
            macro_recall: average.recall,
            macro_f1: average.f1,
            weighted_precision: weighted.precision,
            weighted_recall: weighted.recall,
            weighted_f1: weighted.f1,
            samples_precision: samples.precision,
            samples_recall: samples.recall,
            samples_f1: samples.f1,
            subset_accuracy: decisions.subset_accuracy,
            hamming_loss: decisions.hamming_loss(),
            lrap: label_ranking_average_precision(predictions),
            micro_average_precision: average_precision(predictions.pairs()),
            macro_average_precision,
            macro_roc_auc,
            labels_without_average_precision,
            labels_without_roc_auc,
            loss: cross_entropy(predictions),
            brier: mean_brier(predictions),
            expected_calibration_error: macro_calibration_error(predictions),
            rows_without_labels: decisions.rows_without_labels,
            confidence_intervals: intervals(predictions, &thresholds.values, resamples, 0),
            labels,
        }
    }

    /// Whether the thresholds were tuned on the rows judged, so that the figures flatter.
    pub fn is_tuned_on_its_rows(&self) -> bool {
        self.thresholds.policy != ThresholdPolicy::Fixed
            && self.thresholds.split.as_ref() == Some(&self.split)
    }

    /// A figure by its name, as `micro_f1` or `labels.joy.f1`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let json = self.to_json();
        name.split('.').try_fold(&json, |value, key| value.get(key)).and_then(Value::as_f64)
    }

    /// Everything as JSON.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("figures are plain values")
    }

    /// Reads what [`Evaluation::to_json`] wrote. The thresholds' description in words is lost.
    ///
    /// # Errors
    /// When the text is not such a document.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Everything as text of at most 100 columns, like `sklearn.metrics.classification_report`.
    pub fn table(&self) -> String {
        table::render(self)
    }
}
