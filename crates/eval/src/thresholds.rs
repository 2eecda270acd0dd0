//! Thresholds: from which probability on a label holds.
//!
//! One threshold for all labels is tuned exactly: F1 only changes where a score is passed, so one sweep from
//! the highest score to the lowest sees every value that it can take.
//!
//! A threshold of one label's own, tuned so, is mostly noise: F1 as a function of it is a jagged line, and
//! its highest point on other rows is elsewhere. Two things help, and `benchmarks/quality.md` has what they
//! are worth on unseen rows:
//!
//! - F1 is smoothed before its highest point is looked for. Where the threshold is `t`, on the logit scale,
//!   a row counts as decided in part, from not at all at `t - h` to wholly at `t + h`. The half width `h`
//!   shrinks as a kernel's bandwidth does, by the fifth root of the number of positives
//!   (Silverman, 1986).
//! - Few positives are filled up with what the model expects: a row counts as positive by its label with weight
//!   `n / (n + SHRINKAGE)`, for `n` positives, and else by its probability. (For calibrated probabilities
//!   the threshold that this leads to is half the best F1: Lipton et al., 2014.)
//!
//! For a label that the model cannot tell, F1 is largest when every row has it (Lipton et al., again),
//! which nobody wants. So no label's threshold gives it to more than four times as many
//! rows as have it, and one that no row has must be likelier than not.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::predictions::Predictions;

/// Positives at which a label's rows and the model's own probabilities weigh alike.
const SHRINKAGE: f64 = 10.0;

/// Half the width over which F1 is smoothed for a label with one positive, in logits.
const BANDWIDTH: f64 = 2.5;

/// Rows that a label's tuned threshold gives it to, at most, for each row that has it.
const MOST_DECIDED: usize = 4;

/// Where thresholds come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdPolicy {
    /// One for all labels, given.
    Fixed,
    /// One for all labels, tuned.
    Global,
    /// One for each label, tuned for its F1, smoothed; rare labels lean on the model's own expectation.
    PerLabel,
    /// None: the model has exactly one label for each text, the most probable one.
    Argmax,
}

impl fmt::Display for ThresholdPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fixed => "fixed",
            Self::Global => "global",
            Self::PerLabel => "per-label",
            Self::Argmax => "argmax",
        })
    }
}

/// What the global threshold is tuned for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdObjective {
    /// F1 over all decisions.
    #[default]
    MicroF1,
    /// Mean F1 of the labels.
    MacroF1,
}

impl fmt::Display for ThresholdObjective {
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
    pub objective: Option<ThresholdObjective>,
    /// The split they were tuned on; none when fixed.
    pub split: Option<String>,
}

impl Thresholds {
    /// The same for all of `num_labels`.
    pub fn fixed(value: f32, num_labels: usize) -> Self {
        let values = vec![value; num_labels];
        Self { values, policy: ThresholdPolicy::Fixed, objective: None, split: None }
    }

    /// Those of a single-label model, which compares no probability with them; all 0.
    pub fn argmax(num_labels: usize) -> Self {
        Self { policy: ThresholdPolicy::Argmax, ..Self::fixed(0.0, num_labels) }
    }

    /// Tunes by `policy` on the named split; `objective` is the global one's.
    /// [`ThresholdPolicy::Fixed`] gives 0.5; of a single-label model there is nothing to tune.
    pub fn tune(
        policy: ThresholdPolicy,
        objective: ThresholdObjective,
        predictions: &Predictions<'_>,
        split: &str,
    ) -> Self {
        let c = predictions.num_labels();
        if predictions.problem_type().is_single_label() {
            return Self::argmax(c);
        }
        let values = match policy {
            ThresholdPolicy::Argmax => return Self::argmax(c),
            ThresholdPolicy::Fixed => return Self::fixed(0.5, c),
            ThresholdPolicy::Global => vec![global(objective, predictions); c],
            ThresholdPolicy::PerLabel => return Self::per_label(predictions, split, smoothed),
        };
        Self { values, policy, objective: Some(objective), split: Some(split.to_owned()) }
    }

    /// One threshold a label, each the one with the largest F1 that its label can have on these very rows:
    /// how far tuning flatters.
    pub fn fitted(predictions: &Predictions<'_>, split: &str) -> Self {
        Self::per_label(predictions, split, exact)
    }

    /// One threshold a label, from its rows' probabilities and whether they have it, highest first.
    fn per_label(
        predictions: &Predictions<'_>,
        split: &str,
        of_rows: impl Fn(&[(f32, bool)]) -> f32,
    ) -> Self {
        let of_label = |label| {
            let mut rows: Vec<(f32, bool)> = predictions.label(label).collect();
            rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
            of_rows(&rows)
        };
        Self {
            values: (0..predictions.num_labels()).map(of_label).collect(),
            policy: ThresholdPolicy::PerLabel,
            objective: Some(ThresholdObjective::MacroF1), // each label's F1 by itself
            split: Some(split.to_owned()),
        }
    }

    /// In words, for people: `per-label, tuned on dev for micro_f1`.
    pub fn describe(&self) -> String {
        let tuned = self.split.as_ref().zip(self.objective);
        match (self.policy, tuned, self.values.first()) {
            (ThresholdPolicy::Argmax, ..) => "none, the most probable label holds".to_owned(),
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
fn global(objective: ThresholdObjective, predictions: &Predictions<'_>) -> f32 {
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
                ThresholdObjective::MicroF1 => total.scores().f1,
                ThresholdObjective::MacroF1 => sum_f1 / c as f64,
            };
            sweep.offer(value, score, next);
        }
    }
    sweep.threshold
}

/// The threshold with the largest F1 on these rows, of falling probabilities.
fn exact(rows: &[(f32, bool)]) -> f32 {
    let support = positives(rows);
    let mut hits = 0;
    let mut sweep = Sweep::new();
    for (index, &(score, positive)) in rows.iter().enumerate() {
        hits += usize::from(positive);
        let next = rows.get(index + 1).map(|next| next.0);
        if next != Some(score) {
            sweep.offer(2.0 * hits as f64 / (index + 1 + support) as f64, score, next);
        }
    }
    sweep.threshold
}

/// The threshold with the largest smoothed F1 on these rows, of falling probabilities, as the module says.
fn smoothed(rows: &[(f32, bool)]) -> f32 {
    let positives = positives(rows);
    let share = positives as f64 / (positives as f64 + SHRINKAGE);
    let weight = |(p, positive): (f32, bool)| {
        share * f64::from(u8::from(positive)) + (1.0 - share) * f64::from(p)
    };
    let half_width = BANDWIDTH * (positives.max(1) as f64).powf(-0.2);
    let logits: Vec<f64> = rows.iter().map(|&(p, _)| logit(p)).collect();
    let decided = Ramp::new(&logits, half_width, |_| 1.0);
    let hits = Ramp::new(&logits, half_width, |row| weight(rows[row]));

    // Rows from `above` on are not decided at all, and those before `below` wholly.
    let (mut above, mut below) = (0, 0);
    let (mut best, mut first, mut last) = (0.0, 0, 0);
    for step in 0..=2 * STEPS {
        let t = at(step);
        while above < rows.len() && logits[above] > t - half_width {
            above += 1;
        }
        while below < rows.len() && logits[below] >= t + half_width {
            below += 1;
        }
        let f1 = 2.0 * hits.at(t, below, above) / (decided.at(t, below, above) + hits.total());
        if f1 > best {
            (best, first, last) = (f1, step, step);
        } else if f1 == best && last + 1 == step {
            last = step;
        }
    }
    if best == 0.0 {
        return 0.5; // nothing is known
    }
    // Where no probability lies F1 does not change: the middle of that.
    let x = (at(first) + at(last)) / 2.0;
    let threshold = (1.0 / (1.0 + (-x).exp())) as f32;
    match positives {
        0 => threshold.max(0.5),
        _ => threshold.max(lowest(rows, MOST_DECIDED * positives)),
    }
}

/// Steps from a logit of 0 to the end of those that are tried, [`MOST_LOGIT`].
const STEPS: usize = 14 * 32;

/// Beyond it probabilities are told apart no more.
const MOST_LOGIT: f64 = 14.0;

/// The logit of a step, from the highest down.
fn at(step: usize) -> f64 {
    MOST_LOGIT * (1.0 - step as f64 / STEPS as f64)
}

fn logit(p: f32) -> f64 {
    let p = f64::from(p);
    (p / (1.0 - p)).ln().clamp(-MOST_LOGIT, MOST_LOGIT)
}

fn positives(rows: &[(f32, bool)]) -> usize {
    rows.iter().filter(|(_, positive)| *positive).count()
}

/// The lowest threshold that at most `most` rows reach, of falling probabilities.
fn lowest(rows: &[(f32, bool)], most: usize) -> f32 {
    let Some(&(next, _)) = rows.get(most) else { return 0.0 };
    let last = rows[most - 1].0;
    let middle = next + (last - next) / 2.0;
    if middle > next { middle } else { next.next_up().min(1.0) }
}

/// Sums of weights over rows of falling logits, each weight by the share of it that a threshold decides: none of a
/// row at `t - h`, all of one at `t + h`, and in between by a straight line.
struct Ramp {
    half_width: f64,
    /// Of the weights of the first rows.
    weights: Vec<f64>,
    /// Of the weights times logits of the first rows.
    moments: Vec<f64>,
}

impl Ramp {
    fn new(logits: &[f64], half_width: f64, weight: impl Fn(usize) -> f64) -> Self {
        let (mut weights, mut moments) = (vec![0.0], vec![0.0]);
        for (row, logit) in logits.iter().enumerate() {
            weights.push(weights[row] + weight(row));
            moments.push(moments[row] + weight(row) * logit);
        }
        Self { half_width, weights, moments }
    }

    fn total(&self) -> f64 {
        self.weights[self.weights.len() - 1]
    }

    /// For a threshold of `t` in logits: rows before `below` are decided wholly, and rows from `above` on not at all.
    fn at(&self, t: f64, below: usize, above: usize) -> f64 {
        let weight = self.weights[above] - self.weights[below];
        let moment = self.moments[above] - self.moments[below];
        let partly = (moment - (t - self.half_width) * weight) / (2.0 * self.half_width);
        self.weights[below] + partly
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bootstrap::below;
    use crate::counts::Decisions;

    #[test]
    fn the_sweep_finds_the_best() {
        // Label 0 is separated at 0.6, label 1 at 0.2.
        let probabilities = [0.9, 0.1, 0.7, 0.3, 0.5, 0.15, 0.2, 0.25].repeat(500);
        let targets = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0].repeat(500);
        let predictions = Predictions::new(&probabilities, &targets, 2).unwrap();
        let objective = ThresholdObjective::MicroF1;
        let tuned = Thresholds::tune(ThresholdPolicy::PerLabel, objective, &predictions, "dev");
        let decisions = Decisions::new(&predictions, &tuned.values);
        assert!((decisions.micro().f1 - 1.0).abs() < 1e-12, "{tuned:?}");
        let global = Thresholds::tune(ThresholdPolicy::Global, objective, &predictions, "dev");
        assert_eq!(global.values[0], global.values[1]);
    }

    /// How many rows each label's tuned threshold gives it to.
    fn decided(thresholds: &Thresholds, predictions: &Predictions<'_>) -> Vec<u64> {
        Decisions::new(predictions, &thresholds.values)
            .labels
            .iter()
            .map(Counts::predicted)
            .collect()
    }

    #[test]
    fn few_positives_lean_on_what_the_model_expects() {
        // Of 200 rows the two of 0.9 have the label and the six of 0.4 do not, though 2.4 of them were expected to:
        // two times are chance, two hundred are not.
        let scores = [[0.9; 2].as_slice(), &[0.4; 6], &[0.001; 192]].concat();
        let targets: Vec<f32> = scores.iter().map(|&p| f32::from(p > 0.5)).collect();
        let tune = |times: usize| {
            let (scores, targets) = (scores.repeat(times), targets.repeat(times));
            let predictions = Predictions::new(&scores, &targets, 1).unwrap();
            let policy = ThresholdPolicy::PerLabel;
            let tuned = Thresholds::tune(policy, ThresholdObjective::MicroF1, &predictions, "dev");
            decided(&tuned, &predictions)[0]
        };
        assert_eq!(tune(1), 8);
        assert_eq!(tune(100), 200);
    }

    #[test]
    fn smoothing_is_worth_something_on_other_rows() {
        // Sixty labels of an honest model: rows have them with the probabilities that it gives.
        const C: usize = 60;
        let random = |i: usize| below(1 << 30, 1, i as u64) as f32 / (1 << 30) as f32;
        let drawn = |rows: std::ops::Range<usize>| -> (Vec<f32>, Vec<f32>) {
            let pair = |i| {
                let p = random(2 * i).powi(8);
                (p, f32::from(random(2 * i + 1) < p))
            };
            (rows.start * C..rows.end * C).map(pair).unzip()
        };
        let (few, others) = (drawn(0..200), drawn(200..4000));
        let few = Predictions::new(&few.0, &few.1, C).unwrap();
        let others = Predictions::new(&others.0, &others.1, C).unwrap();
        let policy = ThresholdPolicy::PerLabel;
        let tuned = Thresholds::tune(policy, ThresholdObjective::MacroF1, &few, "dev");
        let fitted = Thresholds::fitted(&few, "dev");
        let f1 = |thresholds: &Thresholds, predictions| {
            Decisions::new(predictions, &thresholds.values).macro_average().f1
        };
        assert!(f1(&fitted, &few) > f1(&tuned, &few), "fitted to these rows");
        let (tuned, fitted) = (f1(&tuned, &others), f1(&fitted, &others));
        assert!(tuned > fitted + 0.01, "{tuned} {fitted}");
    }

    #[test]
    fn where_nothing_is_known_nothing_is_decided() {
        let zeros = Predictions::new(&[0.0; 9], &[0.0; 9], 1).unwrap();
        for policy in [ThresholdPolicy::PerLabel, ThresholdPolicy::Global] {
            let tuned = Thresholds::tune(policy, ThresholdObjective::MicroF1, &zeros, "dev");
            assert_eq!(tuned.values, [0.5]);
        }
        let unseen = Predictions::new(&[0.3, 0.2, 0.45, 0.1], &[0.0; 4], 1).unwrap();
        let tuned = Thresholds::tune(
            ThresholdPolicy::PerLabel,
            ThresholdObjective::MicroF1,
            &unseen,
            "dev",
        );
        assert_eq!(decided(&tuned, &unseen), [0], "no row has it, and none is likely to");
    }

    #[test]
    fn labels_that_the_model_cannot_tell_flood_nothing() {
        // Eighty rows of hardly different scores, the lowest five positive: F1 is largest with all of them.
        let scores: Vec<f32> = (0..80).map(|row| 0.001 + 1e-5 * row as f32).collect();
        let rows = |has: fn(usize) -> bool| -> Vec<f32> {
            (0..80).map(|row| f32::from(has(row))).collect()
        };
        let five = rows(|row| row < 5);
        let predictions = Predictions::new(&scores, &five, 1).unwrap();
        assert_eq!(decided(&Thresholds::fitted(&predictions, "dev"), &predictions), [80]);
        let tuned = |predictions| {
            Thresholds::tune(
                ThresholdPolicy::PerLabel,
                ThresholdObjective::MicroF1,
                predictions,
                "dev",
            )
        };
        let found = decided(&tuned(&predictions), &predictions)[0];
        assert!(found <= 20, "{found} rows of 80, where 5 have the label");
        let most = rows(|row| row != 7);
        let predictions = Predictions::new(&scores, &most, 1).unwrap();
        assert_eq!(decided(&tuned(&predictions), &predictions), [80], "nearly all have it");
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
                    ThresholdObjective::MicroF1 => decisions.micro().f1,
                    ThresholdObjective::MacroF1 => decisions.macro_average().f1,
                }
            };
            for objective in [ThresholdObjective::MicroF1, ThresholdObjective::MacroF1] {
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
        fn thresholds_of_labels_keep_their_promises(
            rows in prop::collection::vec((0..=20_u8, any::<bool>()), 1..60),
        ) {
            let probabilities: Vec<f32> = rows.iter().map(|row| f32::from(row.0) / 20.0).collect();
            let targets: Vec<f32> = rows.iter().map(|row| f32::from(row.1)).collect();
            let predictions = Predictions::new(&probabilities, &targets, 1).unwrap();
            let f1 = |threshold| Decisions::new(&predictions, &[threshold]).micro().f1;
            let policy = ThresholdPolicy::PerLabel;
            let tuned = Thresholds::tune(policy, ThresholdObjective::MicroF1, &predictions, "dev");
            let exact = Thresholds::fitted(&predictions, "dev").values[0];
            prop_assert!((0.0..=1.0).contains(&tuned.values[0]));
            for step in 0..=41 {
                prop_assert!(f1(step as f32 / 40.0) <= f1(exact) + 1e-12);
            }
            let positives = targets.iter().filter(|&&target| target > 0.0).count();
            let certain = probabilities.iter().filter(|&&p| p == 1.0).count();
            let most = (MOST_DECIDED * positives).max(certain) as u64;
            if positives > 0 {
                prop_assert!(decided(&tuned, &predictions)[0] <= most, "{tuned:?}");
            } else {
                prop_assert!(tuned.values[0] >= 0.5);
            }
        }
    }
}
