//! Thresholds: from which probability on a label holds.
//!
//! Tuning is exact: F1 only changes where a score is passed, so one sweep from the highest score to
//! the lowest sees every value it can take.
//!
//! A label's own best threshold is noise when the label is rare, so it is pulled, on the logit
//! scale with weight `n / (n + SHRINKAGE)` for `n` positives, toward one that needs no positives:
//! the threshold that makes the F1 largest that the model's own probabilities lead to expect. (For
//! calibrated probabilities that is half the best F1: Lipton et al., 2014.) Pulling toward the
//! global threshold instead was measured, on GoEmotions dev, and costs macro-F1 on unseen rows: rare
//! labels are less sure of themselves, and their best thresholds lie below the common one.
//!
//! For a label that the model cannot tell, F1 is largest when every row has it (Lipton et al., again),
//! which nobody wants. So no threshold is tuned that gives a label to more than [`MOST_DECIDED`] times as
//! many rows as have it, and one that no row has must be likelier than not.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tinymood_core::LabelSet;

use crate::counts::{Counts, Decisions, Scores};
use crate::predictions::Predictions;

/// Positives at which a label's own threshold and the expected one weigh alike.
pub const SHRINKAGE: f64 = 5.0;

/// Rows that a tuned threshold gives a label to, at most, for each row that has it.
pub const MOST_DECIDED: f64 = 4.0;

/// Where thresholds come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdPolicy {
    /// One for all labels, given.
    Fixed,
    /// One for all labels, tuned.
    Global,
    /// One for each label, tuned for its F1; rare labels lean on the model's own expectation.
    PerLabel,
}

impl fmt::Display for ThresholdPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fixed => "fixed",
            Self::Global => "global",
            Self::PerLabel => "per-label",
        })
    }
}

/// What the global threshold is tuned for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// F1 over all decisions.
    #[default]
    MicroF1,
    /// Mean F1 of the labels.
    MacroF1,
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::MicroF1 => "micro_f1",
            Self::MacroF1 => "macro_f1",
        })
    }
}

/// A threshold for each label, and where they come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// In label order, each from 0 to 1; (C).
    pub values: Vec<f32>,
    /// Where they come from.
    pub policy: ThresholdPolicy,
    /// What the global one was tuned for; none when fixed.
    pub objective: Option<Objective>,
    /// The split they were tuned on; none when fixed.
    pub split: Option<String>,
}

/// What is wrong with a `thresholds.json`.
#[derive(Debug, thiserror::Error)]
pub enum ThresholdError {
    /// The text is not JSON of the right form.
    #[error("not a thresholds file")]
    Json(#[source] serde_json::Error),
    /// A label of the model has no threshold.
    #[error("no threshold for the label {0:?}")]
    Missing(String),
    /// A threshold for a label that the model does not have.
    #[error("a threshold for {0:?}, which is no label of the model")]
    Unknown(String),
    /// A label that has two thresholds, by names that differ in case alone.
    #[error("two thresholds for the label {0:?}")]
    Duplicate(String),
    /// A policy of one threshold for all, and several thresholds.
    #[error("the policy is {0}, one threshold for all, but the labels' thresholds differ")]
    Policy(ThresholdPolicy),
    /// A threshold that no probability can be compared with.
    #[error("the threshold of {label:?} is {found}, expected a number from 0 to 1")]
    Value {
        /// The label.
        label: String,
        /// What stands there.
        found: String,
    },
}

#[derive(Deserialize)]
struct File {
    policy: ThresholdPolicy,
    objective: Option<Objective>,
    split: Option<String>,
    thresholds: Map<String, Value>,
}

impl Thresholds {
    /// The same for all of `num_labels`.
    pub fn fixed(value: f32, num_labels: usize) -> Self {
        let values = vec![value; num_labels];
        Self { values, policy: ThresholdPolicy::Fixed, objective: None, split: None }
    }

    /// Tunes by `policy` on the named split; `objective` is the global one's.
    /// [`ThresholdPolicy::Fixed`] gives 0.5.
    pub fn tune(
        policy: ThresholdPolicy,
        objective: Objective,
        predictions: &Predictions<'_>,
        split: &str,
    ) -> Self {
        let c = predictions.num_labels();
        let values = match policy {
            ThresholdPolicy::Fixed => return Self::fixed(0.5, c),
            ThresholdPolicy::Global => vec![global(objective, predictions); c],
            ThresholdPolicy::PerLabel => return Self::per_label(predictions, split, SHRINKAGE),
        };
        Self { values, policy, objective: Some(objective), split: Some(split.to_owned()) }
    }

    /// One threshold a label, each tuned for its label's F1, pulled toward the expected one with
    /// weight `shrinkage / (n + shrinkage)` for `n` positives: 0 fits the split exactly, and
    /// flatters.
    pub fn per_label(predictions: &Predictions<'_>, split: &str, shrinkage: f64) -> Self {
        let label = |label| of_label(predictions, label, shrinkage);
        Self {
            values: (0..predictions.num_labels()).map(label).collect(),
            policy: ThresholdPolicy::PerLabel,
            objective: Some(Objective::MacroF1), // each label's F1 by itself
            split: Some(split.to_owned()),
        }
    }

    /// In words, for people: `per-label, tuned on dev for micro_f1`.
    pub fn describe(&self) -> String {
        let tuned = self.split.as_ref().zip(self.objective);
        match (self.policy, tuned, self.values.first()) {
            (ThresholdPolicy::PerLabel, Some((split, _)), _) => {
                format!("per-label, tuned on {split}")
            }
            (policy, Some((split, objective)), Some(value)) => {
                format!("{policy} {value:.3}, tuned on {split} for {objective}")
            }
            (policy, None, Some(value)) if policy != ThresholdPolicy::PerLabel => {
                format!("{policy} {value}")
            }
            (policy, ..) => policy.to_string(),
        }
    }

    /// As `thresholds.json` keeps them, by label name.
    ///
    /// # Panics
    /// When labels and thresholds differ in number.
    pub fn to_json(&self, labels: &LabelSet) -> Value {
        assert_eq!(labels.len(), self.values.len(), "a threshold for each label");
        let named = labels.names().iter().zip(&self.values);
        let thresholds: Map<String, Value> =
            named.map(|(name, value)| (name.clone(), json!(f64::from(*value)))).collect();
        json!({
            "policy": self.policy,
            "objective": self.objective,
            "split": self.split,
            "thresholds": thresholds,
        })
    }

    /// Reads a `thresholds.json`, in the order of `labels`.
    ///
    /// # Errors
    /// When it is not one, or does not have one threshold from 0 to 1 for each label.
    pub fn from_json(text: &str, labels: &LabelSet) -> Result<Self, ThresholdError> {
        let file: File = serde_json::from_str(text).map_err(ThresholdError::Json)?;
        let mut values = vec![None; labels.len()];
        for (name, found) in &file.thresholds {
            let index = labels.index_of(name);
            let index = index.ok_or_else(|| ThresholdError::Unknown(name.clone()))?;
            let number = found.as_f64().filter(|number| (0.0..=1.0).contains(number));
            let number = number.ok_or_else(|| ThresholdError::Value {
                label: name.clone(),
                found: found.to_string(),
            })?;
            if values[index].replace(number as f32).is_some() {
                return Err(ThresholdError::Duplicate(labels.name(index).to_owned()));
            }
        }
        let named = labels.names().iter().zip(values);
        let missing = |name: &String| ThresholdError::Missing(name.clone());
        let values: Vec<f32> = named
            .map(|(name, value)| value.ok_or_else(|| missing(name)))
            .collect::<Result<_, _>>()?;
        let differ = values.iter().any(|value| *value != values[0]);
        if differ && file.policy != ThresholdPolicy::PerLabel {
            return Err(ThresholdError::Policy(file.policy));
        }
        Ok(Self { values, policy: file.policy, objective: file.objective, split: file.split })
    }
}

/// Keeps the best of a sweep; the first of equals, that is the highest threshold.
struct Sweep {
    best: f64,
    threshold: f32,
}

impl Sweep {
    /// With 0.5, which stays where nothing gives an F1 above 0.
    fn new() -> Self {
        Self { best: 0.0, threshold: 0.5 }
    }

    /// After all scores of at least `last` were decided for, of which the next lower is `next`.
    fn offer(&mut self, value: f64, last: f32, next: Option<f32>) {
        if value > self.best {
            self.best = value;
            // Half way to the next score: neither is on the edge.
            let next = next.unwrap_or(0.0);
            let middle = next + (last - next) / 2.0;
            self.threshold = if middle > next { middle } else { last };
        }
    }
}

/// The one threshold that makes `objective` largest.
fn global(objective: Objective, predictions: &Predictions<'_>) -> f32 {
    let c = predictions.num_labels();
    let mut scores: Vec<(f32, usize, bool)> =
        predictions.pairs().enumerate().map(|(i, (p, positive))| (p, i % c, positive)).collect();
    scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut labels = vec![Counts::default(); c];
    for (_, label, positive) in &scores {
        labels[*label].add(false, *positive);
    }
    let mut total = labels.iter().fold(Counts::default(), |mut total, counts| {
        total.false_negatives += counts.false_negatives;
        total
    });
    let mut sum_f1 = 0.0;
    let mut sweep = Sweep::new();
    for (index, &(score, label, positive)) in scores.iter().enumerate() {
        let before = labels[label].scores().f1;
        for counts in [&mut labels[label], &mut total] {
            if positive {
                counts.true_positives += 1;
                counts.false_negatives -= 1;
            } else {
                counts.false_positives += 1;
            }
        }
        sum_f1 += labels[label].scores().f1 - before;
        let next = scores.get(index + 1).map(|next| next.0);
        if next != Some(score) {
            let value = match objective {
                Objective::MicroF1 => total.scores().f1,
                Objective::MacroF1 => sum_f1 / c as f64,
            };
            sweep.offer(value, score, next);
        }
    }
    sweep.threshold
}

/// A label's own best threshold, shrunk toward the expected one.
fn of_label(predictions: &Predictions<'_>, label: usize, shrinkage: f64) -> f32 {
    let mut scores: Vec<(f32, bool)> = predictions.label(label).collect();
    scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let expected = best_f1(&scores, |score, _| f64::from(score));
    let positives = scores.iter().filter(|(_, positive)| *positive).count();
    if positives == 0 {
        return expected.max(0.5);
    }
    let own = best_f1(&scores, |_, positive| f64::from(u8::from(positive)));
    let own_share = positives as f64 / (positives as f64 + shrinkage);
    let logit = |p: f32| {
        let p = f64::from(p).clamp(1e-6, 1.0 - 1e-6);
        (p / (1.0 - p)).ln()
    };
    let x = own_share * logit(own) + (1.0 - own_share) * logit(expected);
    (1.0 / (1.0 + (-x).exp())) as f32
}

/// The threshold with the largest F1 over falling scores, where `weight` says how much of a positive
/// each row is.
fn best_f1(scores: &[(f32, bool)], weight: impl Fn(f32, bool) -> f64) -> f32 {
    let support: f64 = scores.iter().map(|&(score, positive)| weight(score, positive)).sum();
    let mut hits = 0.0;
    let mut sweep = Sweep::new();
    for (index, &(score, positive)) in scores.iter().enumerate() {
        hits += weight(score, positive);
        let next = scores.get(index + 1).map(|next| next.0);
        let decided = (index + 1) as f64;
        if decided > MOST_DECIDED * support {
            break;
        }
        if next != Some(score) {
            sweep.offer(2.0 * hits / (decided + support), score, next);
        }
    }
    sweep.threshold
}

/// Figures with thresholds tuned on one half of the rows and judged on the other, and the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CrossValidated {
    /// F1 over all decisions of both halves.
    pub micro_f1: f64,
    /// Mean F1 of the labels, over both halves.
    pub macro_f1: f64,
}

/// Tunes on even rows and judges odd ones, and the reverse: what tuning is worth on rows it has not
/// seen. `None` with fewer than two rows.
pub fn cross_validated(
    policy: ThresholdPolicy,
    objective: Objective,
    predictions: &Predictions<'_>,
) -> Option<CrossValidated> {
    let c = predictions.num_labels();
    let half = |parity: usize| -> (Vec<f32>, Vec<f32>) {
        let rows = predictions.rows().skip(parity).step_by(2);
        let mut half = (Vec::new(), Vec::new());
        for (probabilities, targets) in rows {
            half.0.extend_from_slice(probabilities);
            half.1.extend_from_slice(targets);
        }
        half
    };
    let halves = [half(0), half(1)];
    let [even, odd] = halves.each_ref().map(|(p, t)| Predictions::new(p, t, c));
    let (Ok(even), Ok(odd)) = (even, odd) else { return None };
    let mut labels = vec![Counts::default(); c];
    for (tuned_on, judged_on) in [(&even, &odd), (&odd, &even)] {
        let thresholds = Thresholds::tune(policy, objective, tuned_on, "half");
        let decisions = Decisions::new(judged_on, &thresholds.values);
        for (sum, counts) in labels.iter_mut().zip(&decisions.labels) {
            sum.true_positives += counts.true_positives;
            sum.false_positives += counts.false_positives;
            sum.false_negatives += counts.false_negatives;
            sum.true_negatives += counts.true_negatives;
        }
    }
    let none = Scores::default();
    let both = Decisions { labels, samples: none, subset_accuracy: 0.0, rows_without_labels: 0.0 };
    Some(CrossValidated { micro_f1: both.micro().f1, macro_f1: both.macro_average().f1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels() -> LabelSet {
        LabelSet::new(["joy", "anger"]).unwrap()
    }

    #[test]
    fn the_sweep_finds_the_best() {
        // Label 0 is separated at 0.6, label 1 at 0.2.
        let probabilities = [0.9, 0.1, 0.7, 0.3, 0.5, 0.15, 0.2, 0.25].repeat(500);
        let targets = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0].repeat(500);
        let predictions = Predictions::new(&probabilities, &targets, 2).unwrap();
        let objective = Objective::MicroF1;
        let tuned = Thresholds::tune(ThresholdPolicy::PerLabel, objective, &predictions, "dev");
        let decisions = Decisions::new(&predictions, &tuned.values);
        assert!((decisions.micro().f1 - 1.0).abs() < 1e-12, "{tuned:?}");
        let global = Thresholds::tune(ThresholdPolicy::Global, objective, &predictions, "dev");
        assert_eq!(global.values[0], global.values[1]);
    }

    #[test]
    fn rare_labels_lean_on_what_the_model_expects() {
        // 200 rows: one of 0.9, ninety-nine of 0.5, a hundred of 0.02. Expected F1 is largest with
        // the first hundred decided: 2 * 50.4 / (100 + 52.4), so at (0.5 + 0.02) / 2 = 0.26.
        let scores: Vec<f32> = (0..200)
            .map(|row| match row {
                0 => 0.9,
                1..100 => 0.5,
                _ => 0.02,
            })
            .collect();
        let tune = |positives: usize| {
            let targets: Vec<f32> = (0..200).map(|row| f32::from(row < positives)).collect();
            let predictions = Predictions::new(&scores, &targets, 1).unwrap();
            let policy = ThresholdPolicy::PerLabel;
            Thresholds::tune(policy, Objective::MicroF1, &predictions, "dev").values[0]
        };
        let logit = |p: f32| (f64::from(p) / (1.0 - f64::from(p))).ln();
        assert_eq!(tune(0), 0.5, "no row has it");
        let zeros = Predictions::new(&[0.0; 9], &[0.0; 9], 1).unwrap();
        for policy in [ThresholdPolicy::PerLabel, ThresholdPolicy::Global] {
            let tuned = Thresholds::tune(policy, Objective::MicroF1, &zeros, "dev");
            assert_eq!(tuned.values, [0.5], "nothing is decided for where nothing is known");
        }
        // One positive: its own best is 0.7, and weighs a sixth.
        let expected = logit(0.7) / 6.0 + logit(0.26) * 5.0 / 6.0;
        assert!((logit(tune(1)) - expected).abs() < 1e-4, "{}", tune(1));
        assert!((tune(100) - 0.26).abs() < 1e-6);
    }

    #[test]
    fn labels_that_the_model_cannot_tell_flood_nothing() {
        // Eighty rows of hardly different scores, the lowest five positive: F1 is largest with all of them.
        let scores: Vec<f32> = (0..80).map(|row| 0.001 + 1e-5 * row as f32).collect();
        let decided = |shrinkage: f64, has: fn(usize) -> bool| {
            let targets: Vec<f32> = (0..80).map(|row| f32::from(has(row))).collect();
            let predictions = Predictions::new(&scores, &targets, 1).unwrap();
            let tuned = Thresholds::per_label(&predictions, "dev", shrinkage);
            let counts = Decisions::new(&predictions, &tuned.values).labels[0];
            counts.true_positives + counts.false_positives
        };
        for shrinkage in [0.0, SHRINKAGE] {
            assert_eq!(decided(shrinkage, |_| false), 0);
            let found = decided(shrinkage, |row| row < 5);
            assert!(found <= 20, "{found} rows of 80, where 5 have the label");
        }
        assert_eq!(decided(0.0, |row| row != 7), 80, "nearly all have it");
    }

    #[test]
    fn files_read_back_in_any_order_and_refuse_what_does_not_fit() {
        let tuned = Thresholds {
            values: vec![0.25, 0.5],
            policy: ThresholdPolicy::PerLabel,
            objective: Some(Objective::MacroF1),
            split: Some("dev".to_owned()),
        };
        let text = tuned.to_json(&labels()).to_string();
        assert_eq!(Thresholds::from_json(&text, &labels()).unwrap(), tuned);
        let turned = LabelSet::new(["anger", "joy"]).unwrap();
        assert_eq!(Thresholds::from_json(&text, &turned).unwrap().values, [0.5, 0.25]);
        let error = |text: &str| Thresholds::from_json(text, &labels()).unwrap_err().to_string();
        assert!(error(&text.replace("anger", "fear")).contains("\"fear\""));
        assert!(error(&text.replace(",\"anger\":0.5", "")).contains("no threshold for"));
        for bad in ["1.5", "-0.1", "null", "\"a\""] {
            let message = error(&text.replace("0.25", bad));
            assert!(message.contains("joy") && message.contains(bad), "{message}");
        }
        assert!(error("{").contains("not a thresholds file"));
        assert!(error(&text.replace("\"anger\"", "\"JOY\"")).contains("two thresholds"));
        assert!(error(&text.replace("per-label", "global")).contains("differ"));
        let loud = Thresholds::from_json(&text.replace("joy", "Joy"), &labels()).unwrap();
        assert_eq!(loud.values, tuned.values);
    }

    #[test]
    fn cross_validation_does_not_flatter() {
        // Pure noise: tuned on all rows it looks better than on unseen ones.
        let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32;
        let probabilities: Vec<f32> = (0..400).map(noise).collect();
        let targets: Vec<f32> = (1000..1400).map(|i| f32::from(noise(i) < 0.05)).collect();
        let predictions = Predictions::new(&probabilities, &targets, 4).unwrap();
        let (policy, objective) = (ThresholdPolicy::PerLabel, Objective::MicroF1);
        let tuned = Thresholds::tune(policy, objective, &predictions, "dev");
        let plain = Decisions::new(&predictions, &tuned.values).macro_average().f1;
        let unseen = cross_validated(policy, objective, &predictions).unwrap();
        assert!(unseen.macro_f1 < plain, "{unseen:?} {plain}");
        let one = Predictions::new(&probabilities[..4], &targets[..4], 4).unwrap();
        assert!(cross_validated(policy, objective, &one).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn tuned_thresholds_beat_every_grid_value(
            rows in prop::collection::vec((0..=20_u8, 0..=20_u8, any::<bool>(), any::<bool>()), 1..30),
        ) {
            let probabilities: Vec<f32> =
                rows.iter().flat_map(|r| [f32::from(r.0) / 20.0, f32::from(r.1) / 20.0]).collect();
            let targets: Vec<f32> =
                rows.iter().flat_map(|r| [f32::from(r.2), f32::from(r.3)]).collect();
            let predictions = Predictions::new(&probabilities, &targets, 2).unwrap();
            let f1 = |objective, thresholds: &[f32]| {
                let decisions = Decisions::new(&predictions, thresholds);
                match objective {
                    Objective::MicroF1 => decisions.micro().f1,
                    Objective::MacroF1 => decisions.macro_average().f1,
                }
            };
            for objective in [Objective::MicroF1, Objective::MacroF1] {
                let tuned =
                    Thresholds::tune(ThresholdPolicy::Global, objective, &predictions, "dev");
                prop_assert!(tuned.values.iter().all(|value| (0.0..=1.0).contains(value)));
                let best = f1(objective, &tuned.values);
                for step in 0..=41 {
                    let grid = step as f32 / 40.0;
                    prop_assert!(f1(objective, &[grid; 2]) <= best + 1e-12);
                }
            }
        }

        #[test]
        fn no_file_panics(text in "\\PC*") {
            let _ = Thresholds::from_json(&text, &labels());
        }
    }
}
