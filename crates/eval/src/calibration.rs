//! Whether probabilities mean what they say.

use serde::Serialize;

use crate::bootstrap::Interval;
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

    /// 95 % interval of the share of positives; `None` in an empty bin.
    pub fn share_positive_interval(&self) -> Option<Interval> {
        wilson_interval(self.positives, self.count)
    }
}

/// The normal distribution's quantile of 97.5 %.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % score interval (1927) of the share `positives / count`; `None` for a count of 0. It stays
/// within 0 and 1, and has a width also where all or none are positive, as in most bins at the ends.
///
/// It takes what is counted as independent of one another.
pub fn wilson_interval(positives: u64, count: u64) -> Option<Interval> {
    if count == 0 {
        return None;
    }
    let n = count as f64;
    let share = positives as f64 / n;
    let shrink = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / shrink;
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt() / shrink;
    // Rounding must not put an end beyond the share itself.
    Some(Interval([(middle - half).clamp(0.0, share), (middle + half).clamp(share, 1.0)]))
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

/// Binary cross-entropy of one probability, which is kept 1e-7 away from 0 and 1, in nats.
pub fn cross_entropy_of(probability: f32, target: f32) -> f64 {
    let (p, y) = (f64::from(probability).clamp(1e-7, 1.0 - 1e-7), f64::from(target));
    -(y * p.ln() + (1.0 - y) * (1.0 - p).ln())
}

/// Mean cross-entropy: binary, over all rows and labels; of a single-label model that of the softmax,
/// over all rows (`torch.nn.CrossEntropyLoss` with probabilities as targets).
pub fn cross_entropy(predictions: &Predictions<'_>) -> f64 {
    if predictions.problem_type().is_single_label() {
        let of_label = |(&p, &y): (&f32, &f32)| -f64::from(y) * f64::from(p).max(1e-7).ln();
        let of_row = |(p, y): (&[f32], &[f32])| p.iter().zip(y).map(of_label).sum::<f64>();
        return predictions.rows().map(of_row).sum::<f64>() / predictions.num_rows() as f64;
    }
    let pairs = predictions.probabilities().iter().zip(predictions.targets());
    let total: f64 = pairs.map(|(&p, &y)| cross_entropy_of(p, y)).sum();
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

    #[test]
    fn intervals_are_those_of_the_literature() {
        // Newcombe (1998), table I, method 3.
        let published = [
            ((81, 263), [0.2553, 0.3662]),
            ((15, 148), [0.0624, 0.1605]),
            ((0, 20), [0.0, 0.1611]),
            ((1, 29), [0.0061, 0.1718]),
        ];
        for ((positives, count), [low, high]) in published {
            let Interval(found) = wilson_interval(positives, count).unwrap();
            let near = |a: f64, b: f64| (a - b).abs() < 5.1e-5;
            assert!(near(found[0], low) && near(found[1], high), "{positives}/{count}: {found:?}");
        }
        // By hand: the upper end of 0 of n is z² / (n + z²), that of n of n its mirror.
        let end = Z * Z / (7.0 + Z * Z);
        let Interval([low, high]) = wilson_interval(0, 7).unwrap();
        assert!(low == 0.0 && (high - end).abs() < 1e-12, "{low} {high}");
        let Interval([low, high]) = wilson_interval(7, 7).unwrap();
        assert!((low - (1.0 - end)).abs() < 1e-12 && high == 1.0, "{low} {high}");
        assert_eq!(wilson_interval(0, 0), None);
    }
}
