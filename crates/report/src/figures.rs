//! Everything that a report shows of a run's predictions.

use serde::Serialize;
use tinymood_core::LabelSet;
use tinymood_eval::bootstrap::{Interval, LabelIntervals, label_intervals};
use tinymood_eval::calibration::{ReliabilityBin, expected_calibration_error, reliability};
use tinymood_eval::confusion::PairCounts;
use tinymood_eval::curves::{ThresholdCurve, grid_threshold, threshold_curve};
use tinymood_eval::{
    CrossValidated, EvalError, Evaluation, Predictions, ThresholdPolicy, Thresholds,
    cross_validated,
};

use crate::kept::KeptPredictions;
use crate::mistakes::Mistakes;

/// Pairs of labels that are listed by how often they are confused.
const CONFUSIONS: usize = 20;

/// Labels that are shown one by one: memory and files grow with them, and pairs with their square. An
/// [`Evaluation`] has the figures of all.
pub(crate) const DETAILED_LABELS: usize = 512;

/// How a report is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportOptions {
    /// Resamplings behind intervals and tests.
    pub resamples: usize,
    /// Texts of each kind that are shown; 0 leaves all texts out.
    pub examples: usize,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self { resamples: 2000, examples: 12 }
    }
}

/// What predictions say beyond an [`Evaluation`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detail {
    /// SHA-256 of the rows judged.
    pub rows_sha256: String,
    /// Resamplings behind the intervals.
    pub resamples: usize,
    /// Where the thresholds were tuned on the rows judged: what they are worth on rows they were not tuned on.
    pub cross_validated: Option<CrossValidated>,
    /// The labels that are shown one by one, ascending: all, or the 512 that most rows have; (D).
    pub labels: Vec<usize>,
    /// 95 % intervals of [`Detail::labels`]; (D).
    pub label_intervals: Option<Vec<LabelIntervals>>,
    /// Thresholds of the curves.
    pub threshold_grid: Vec<f64>,
    /// Of [`Detail::labels`]; (D).
    pub threshold_curves: Vec<ThresholdCurve>,
    /// Over all decisions.
    pub reliability: Vec<ReliabilityPoint>,
    /// Over all decisions; the evaluation has the mean over labels.
    pub expected_calibration_error: f64,
    /// Labels beside labels.
    pub pairs: PairCounts,
    /// The most frequent of them.
    pub confusions: Vec<Confusion>,
    /// Texts that it got wrong.
    pub mistakes: Mistakes,
}

impl Detail {
    /// The intervals of a label, if it has any.
    pub(crate) fn intervals(&self, label: usize) -> Option<&LabelIntervals> {
        self.label_intervals.as_ref()?.get(self.labels.binary_search(&label).ok()?)
    }
}

/// The labels of an evaluation that are shown one by one, ascending: those that most rows have.
pub(crate) fn detailed_labels(evaluation: &Evaluation) -> Vec<usize> {
    let mut labels: Vec<usize> = (0..evaluation.labels.len()).collect();
    labels.sort_by_key(|label| std::cmp::Reverse(evaluation.labels[*label].1.support));
    labels.truncate(DETAILED_LABELS);
    labels.sort_unstable();
    labels
}

/// A bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReliabilityPoint {
    /// Lower and upper end.
    pub from: f64,
    /// Upper end.
    pub to: f64,
    /// What fell into it.
    #[serde(flatten)]
    pub bin: ReliabilityBin,
    /// Mean probability.
    pub mean_probability: Option<f64>,
    /// Share of positives.
    pub share_positive: Option<f64>,
    /// Its 95 % score interval.
    pub share_positive_interval: Option<Interval>,
}

/// A label taken for another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    /// The label that is true and missed.
    pub label: String,
    /// The label that is decided and not true.
    pub taken_for: String,
    /// In how many rows.
    pub rows: u32,
    /// Of the rows in which the first is true.
    pub share: f64,
}

/// Judges kept predictions under `thresholds`.
///
/// # Errors
/// When they are no probabilities.
pub(crate) fn judge(
    kept: &KeptPredictions,
    thresholds: &Thresholds,
    options: &ReportOptions,
) -> Result<(Evaluation, Detail), EvalError> {
    let predictions = kept.predictions()?;
    let (labels, split) = (&kept.labels, &kept.split);
    let evaluation = Evaluation::new(&predictions, thresholds, labels, split, options.resamples);
    let values = &thresholds.values;
    let shown = detailed_labels(&evaluation);
    let pairs = PairCounts::new(&predictions, values, &shown);
    let detail = Detail {
        rows_sha256: kept.rows_sha256(),
        resamples: options.resamples,
        cross_validated: unflattered(kept, &predictions, thresholds),
        label_intervals: label_intervals(&predictions, values, &shown, options.resamples, 0),
        threshold_grid: (0..tinymood_eval::curves::GRID).map(grid_threshold).collect(),
        threshold_curves: shown.iter().map(|&l| threshold_curve(&predictions, l)).collect(),
        labels: shown,
        reliability: reliability_points(&predictions),
        expected_calibration_error: expected_calibration_error(predictions.pairs()),
        confusions: confusions(&pairs, labels),
        pairs,
        mistakes: Mistakes::new(kept, &predictions, values, options.examples),
    };
    Ok((evaluation, detail))
}

/// Figures with thresholds of the same kind, tuned on one half of the rows and judged on the other; `None` where the
/// thresholds were not tuned on these rows.
fn unflattered(
    kept: &KeptPredictions,
    predictions: &Predictions<'_>,
    thresholds: &Thresholds,
) -> Option<CrossValidated> {
    let is_tuned = thresholds.policy != ThresholdPolicy::Fixed
        && thresholds.split.as_ref() == Some(&kept.split);
    let objective = thresholds.objective.unwrap_or_default();
    is_tuned.then(|| cross_validated(thresholds.policy, objective, predictions))?
}

fn reliability_points(predictions: &Predictions<'_>) -> Vec<ReliabilityPoint> {
    let bins = reliability(predictions.pairs());
    let width = 1.0 / bins.len() as f64;
    let point = |(index, bin): (usize, ReliabilityBin)| ReliabilityPoint {
        from: index as f64 * width,
        to: (index + 1) as f64 * width,
        bin,
        mean_probability: bin.mean_probability(),
        share_positive: bin.share_positive(),
        share_positive_interval: bin.share_positive_interval(),
    };
    bins.into_iter().enumerate().map(point).collect()
}

fn confusions(pairs: &PairCounts, labels: &LabelSet) -> Vec<Confusion> {
    let shown = pairs.labels();
    let both = shown.iter().flat_map(|&label| shown.iter().map(move |&other| (label, other)));
    let mut found: Vec<(usize, usize, u32)> = both
        .map(|(label, other)| (label, other, pairs.confused(label, other)))
        .filter(|(label, other, rows)| label != other && *rows > 0)
        .collect();
    found.sort_by_key(|(label, other, rows)| (std::cmp::Reverse(*rows), *label, *other));
    let named = found.into_iter().take(CONFUSIONS).map(|(label, other, rows)| Confusion {
        label: labels.name(label).to_owned(),
        taken_for: labels.name(other).to_owned(),
        rows,
        share: f64::from(rows) / f64::from(pairs.support(label).max(1)),
    });
    named.collect()
}
