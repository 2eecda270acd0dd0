//! What tuning is worth on rows that it has not seen: thresholds, and temperatures where there are to be any,
//! fitted on one half of a split and judged on the other.

use serde::Serialize;
use tinymood_core::{Logits, ProblemType};

use crate::counts::{Counts, Decisions, macro_average, total};
use crate::halves::halvings;
use crate::predictions::Predictions;
use crate::temperature::{Calibration, CalibrationKind};
use crate::thresholds::{ThresholdObjective, ThresholdPolicy, Thresholds};

/// Figures with thresholds tuned on one half of the rows and judged on the other, and the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CrossValidated {
    /// F1 over all decisions of both halves.
    pub micro_f1: f64,
    /// Mean F1 of the labels, over both halves.
    pub macro_f1: f64,
}

/// Tunes on one half of the rows and judges the other, and the reverse: what tuned thresholds are worth on rows
/// that they have not seen. The mean over ten shuffles; `None` with fewer than two rows.
pub fn cross_validated(
    policy: ThresholdPolicy,
    objective: ThresholdObjective,
    predictions: &Predictions<'_>,
) -> Option<CrossValidated> {
    let c = predictions.num_labels();
    let (probabilities, targets) = (predictions.probabilities(), predictions.targets());
    over_halves(predictions.num_rows(), |fitted_on, judged_on| {
        let of = |rows| (take(probabilities, rows, c), take(targets, rows, c));
        judged(policy, objective, &of(fitted_on), &of(judged_on), c)
    })
}

/// As [`cross_validated`], for a model that is calibrated first: temperatures of a `kind` too are fitted on one
/// half and judged on the other. `targets` are (N, C), from 0 to 1.
///
/// # Panics
/// When there are not as many targets as logits.
pub fn cross_validated_with_temperatures(
    policy: ThresholdPolicy,
    objective: ThresholdObjective,
    kind: CalibrationKind,
    logits: &Logits,
    targets: &[f32],
) -> Option<CrossValidated> {
    assert_eq!(logits.values.len(), targets.len(), "(N, C) each");
    let c = logits.num_labels;
    over_halves(targets.len() / c.max(1), |fitted_on, judged_on| {
        let of = |rows| (take(&logits.values, rows, c), take(targets, rows, c));
        let (fitted_on, judged_on) = (of(fitted_on), of(judged_on));
        let part = Logits { values: fitted_on.0.clone(), num_labels: c };
        let calibration = Calibration::fit(kind, &part, &fitted_on.1);
        let calibrated = |(values, targets): (Vec<f32>, Vec<f32>)| {
            let mut logits = Logits { values, num_labels: c };
            calibration.apply(&mut logits);
            (ProblemType::MultiLabel.probabilities(&logits), targets)
        };
        judged(policy, objective, &calibrated(fitted_on), &calibrated(judged_on), c)
    })
}

/// Probabilities and targets of some rows; (N, C) each.
type Part = (Vec<f32>, Vec<f32>);

/// The rows named, of (N, C).
fn take(values: &[f32], rows: &[usize], c: usize) -> Vec<f32> {
    rows.iter().flat_map(|&row| &values[row * c..][..c]).copied().collect()
}

/// What thresholds tuned on one part get right on another; (C). `None` where there is nothing to tune on or judge.
fn judged(
    policy: ThresholdPolicy,
    objective: ThresholdObjective,
    fitted_on: &Part,
    judged_on: &Part,
    c: usize,
) -> Option<Vec<Counts>> {
    let fitted_on = Predictions::new(&fitted_on.0, &fitted_on.1, c).ok()?;
    let judged_on = Predictions::new(&judged_on.0, &judged_on.1, c).ok()?;
    let thresholds = Thresholds::tune(policy, objective, &fitted_on, "half");
    Some(Decisions::new(&judged_on, &thresholds.values).labels)
}

/// The mean over all halvings of what `judge`, given the rows to fit on and those to judge, finds in both.
fn over_halves(
    num_rows: usize,
    judge: impl Fn(&[usize], &[usize]) -> Option<Vec<Counts>>,
) -> Option<CrossValidated> {
    let mut mean = CrossValidated { micro_f1: 0.0, macro_f1: 0.0 };
    let mut count = 0.0;
    for [first, second] in halvings(num_rows) {
        let mut labels = judge(&first, &second)?;
        let reverse = judge(&second, &first)?;
        labels.iter_mut().zip(reverse).for_each(|(sum, counts)| *sum += counts);
        mean.micro_f1 += total(&labels).scores().f1;
        mean.macro_f1 += macro_average(&labels).f1;
        count += 1.0;
    }
    mean.micro_f1 /= count;
    mean.macro_f1 /= count;
    Some(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_are_cross_validated_too() {
        // Labels whose probabilities are off by a factor each: one threshold for both wants temperatures, and gets
        // them of the other half.
        let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32;
        let (mut values, mut targets) = (Vec::new(), Vec::new());
        for row in 0..2000 {
            for (label, factor) in [(0, 4.0), (1, 0.25)] {
                let logit = 8.0 * noise(2 * row + label) - 4.0;
                targets.push(f32::from(
                    noise(70_000 + 2 * row + label) < 1.0 / (1.0 + (-logit).exp()),
                ));
                values.push(factor * logit);
            }
        }
        let logits = Logits { values, num_labels: 2 };
        let probabilities = ProblemType::MultiLabel.probabilities(&logits);
        let predictions = Predictions::new(&probabilities, &targets, 2).unwrap();
        let (policy, objective) = (ThresholdPolicy::Global, ThresholdObjective::MicroF1);
        let plain = cross_validated(policy, objective, &predictions).unwrap();
        let kind = CalibrationKind::PerLabel;
        let calibrated =
            cross_validated_with_temperatures(policy, objective, kind, &logits, &targets).unwrap();
        assert!(calibrated.micro_f1 > plain.micro_f1 + 0.001, "{calibrated:?} {plain:?}");
        let none = Logits { values: Vec::new(), num_labels: 2 };
        assert!(cross_validated_with_temperatures(policy, objective, kind, &none, &[]).is_none());
    }

    #[test]
    fn cross_validation_does_not_flatter() {
        // Pure noise: tuned on all rows it looks better than on unseen ones.
        let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32;
        let probabilities: Vec<f32> = (0..400).map(noise).collect();
        let targets: Vec<f32> = (1000..1400).map(|i| f32::from(noise(i) < 0.05)).collect();
        let predictions = Predictions::new(&probabilities, &targets, 4).unwrap();
        let (policy, objective) = (ThresholdPolicy::PerLabel, ThresholdObjective::MicroF1);
        let tuned = Thresholds::tune(policy, objective, &predictions, "dev");
        let plain = Decisions::new(&predictions, &tuned.values).macro_average().f1;
        let unseen = cross_validated(policy, objective, &predictions).unwrap();
        assert!(unseen.macro_f1 < plain, "{unseen:?} {plain}");
        let one = Predictions::new(&probabilities[..4], &targets[..4], 4).unwrap();
        assert!(cross_validated(policy, objective, &one).is_none());
    }
}
