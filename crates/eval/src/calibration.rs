//! Whether probabilities mean what they say.

use serde::Serialize;

use crate::predictions::Predictions;

/// Bins of the expected calibration error.
pub const BINS: usize = 15;

/// Mean squared distance of probability and target, soft ones as they are
/// (`sklearn.metrics.brier_score_loss`).
pub fn brier(pairs: impl Iterator<Item = (f32, f32)>) -> f64 {
    let (mut total, mut count) = (0.0, 0_u64);
    for (probability, target) in pairs {
        total += (f64::from(probability) - f64::from(target)).powi(2);
        count += 1;
    }
    if count == 0 { 0.0 } else { total / count as f64 }
}

/// Pairs of like probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Pairs inside.
    pub count: u64,
    /// Sum of their probabilities.
    #[serde(skip)]
    pub sum: f64,
    /// How many of them are positive.
    pub positives: u64,
}

impl ReliabilityBin {
    /// Mean probability, which should be the share of positives; `None` in an empty bin.
    pub fn mean_probability(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// Share of positives; `None` in an empty bin.
    pub fn share_positive(&self) -> Option<f64> {
        (self.count > 0).then(|| self.positives as f64 / self.count as f64)
    }
}

/// The bins of a reliability diagram, [`BINS`] of equal width: bin `b` holds
/// `b / 15 <= p < (b + 1) / 15`, the last also 1.
pub fn reliability(pairs: impl Iterator<Item = (f32, bool)>) -> [ReliabilityBin; BINS] {
    let mut bins = [ReliabilityBin::default(); BINS];
    for (probability, positive) in pairs {
        let probability = f64::from(probability);
        let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        bin.count += 1;
        bin.sum += probability;
        bin.positives += u64::from(positive);
    }
    bins
}

/// Expected calibration error (Naeini et al., 2015; Guo et al., 2017): over the bins of
/// [`reliability`], the distance between mean probability and share of positives, weighed by the
/// bin's share of the pairs.
pub fn expected_calibration_error(pairs: impl Iterator<Item = (f32, bool)>) -> f64 {
    let bins = reliability(pairs);
    let count: u64 = bins.iter().map(|bin| bin.count).sum();
    let distance = |bin: &ReliabilityBin| (bin.sum - bin.positives as f64).abs();
    bins.iter().map(distance).sum::<f64>() / count.max(1) as f64
}

/// Mean binary cross-entropy; probabilities are kept 1e-7 away from 0 and 1.
pub fn cross_entropy(predictions: &Predictions<'_>) -> f64 {
    let pairs = predictions.probabilities().iter().zip(predictions.targets());
    let total: f64 = pairs
        .map(|(&probability, &target)| {
            let p = f64::from(probability).clamp(1e-7, 1.0 - 1e-7);
            let y = f64::from(target);
            -(y * p.ln() + (1.0 - y) * (1.0 - p).ln())
        })
        .sum();
    total / predictions.probabilities().len() as f64
}

/// Macro expected calibration error: the mean over labels.
pub fn macro_calibration_error(predictions: &Predictions<'_>) -> f64 {
    let c = predictions.num_labels();
    let label = |label| expected_calibration_error(predictions.label(label));
    (0..c).map(label).sum::<f64>() / c as f64
}

/// Mean Brier score over all rows and labels.
pub fn mean_brier(predictions: &Predictions<'_>) -> f64 {
    let targets = predictions.targets().iter().copied();
    brier(predictions.probabilities().iter().copied().zip(targets))
}

/// Brier score of one label.
pub fn label_brier(predictions: &Predictions<'_>, label: usize) -> f64 {
    brier(predictions.rows().map(|(probabilities, targets)| (probabilities[label], targets[label])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfectly_calibrated_bin_costs_nothing() {
        let pairs = [(0.25, true), (0.25, false), (0.25, false), (0.25, false)];
        assert!(expected_calibration_error(pairs.into_iter()) < 1e-12);
        let off = [(1.0, false), (0.0, true)];
        assert!((expected_calibration_error(off.into_iter()) - 1.0).abs() < 1e-12);
        assert_eq!(expected_calibration_error(std::iter::empty()), 0.0);
    }
}
