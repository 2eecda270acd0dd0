//! How far the figures would move on other rows: percentile intervals over resampled rows (Efron,
//! 1979). Rows are drawn whole, since the labels of a row are not independent.

use serde::Serialize;

use crate::predictions::{Predictions, is_positive};

/// An interval that holds 95 % of the resampled values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Interval(pub [f64; 2]);

/// Intervals of the figures that people compare.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Intervals {
    /// Resamplings taken.
    pub resamples: usize,
    /// Share of the resampled values inside.
    pub level: f64,
    /// Of F1 over all decisions.
    pub micro_f1: Interval,
    /// Of the mean F1 of the labels.
    pub macro_f1: Interval,
}

/// What one row adds to a label's counts.
#[derive(Clone, Copy)]
struct Entry {
    label: u32,
    decided: bool,
    positive: bool,
}

/// 95 % intervals from `resamples` resamplings, the same for the same `seed`; `None` for none.
///
/// Row `i` of resample `r` is drawn by the finaliser of SplitMix64 over the counter `r N + i`.
pub fn intervals(
    predictions: &Predictions<'_>,
    thresholds: &[f32],
    resamples: usize,
    seed: u64,
) -> Option<Intervals> {
    if resamples == 0 {
        return None;
    }
    let (n, c) = (predictions.num_rows(), predictions.num_labels());
    let mut entries = Vec::new();
    let mut ends = Vec::with_capacity(n);
    for (probabilities, targets) in predictions.rows() {
        for label in 0..c {
            let decided = probabilities[label] >= thresholds[label];
            let positive = is_positive(targets[label]);
            if decided || positive {
                entries.push(Entry { label: label as u32, decided, positive });
            }
        }
        ends.push(entries.len());
    }
    // Per label: twice the true positives, and decided plus true: F1 is their quotient.
    let mut counts = vec![(0_u32, 0_u32); c];
    let (mut micro, mut averages) = (Vec::new(), Vec::new());
    for resample in 0..resamples {
        counts.fill((0, 0));
        for draw in 0..n {
            let row = below(n, seed, (resample * n + draw) as u64);
            let start = if row == 0 { 0 } else { ends[row - 1] };
            for entry in &entries[start..ends[row]] {
                let count = &mut counts[entry.label as usize];
                count.0 += 2 * u32::from(entry.decided && entry.positive);
                count.1 += u32::from(entry.decided) + u32::from(entry.positive);
            }
        }
        let f1 = |(twice, all): (u32, u32)| {
            if all == 0 { 0.0 } else { f64::from(twice) / f64::from(all) }
        };
        let total = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        micro.push(f1(total));
        averages.push(counts.iter().map(|&count| f1(count)).sum::<f64>() / c as f64);
    }
    Some(Intervals {
        resamples,
        level: 0.95,
        micro_f1: interval(micro),
        macro_f1: interval(averages),
    })
}

/// A number below `n` for a counter, near enough to uniform for `n` far below 2^64.
pub(crate) fn below(n: usize, seed: u64, counter: u64) -> usize {
    let mut x = seed.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 31;
    ((u128::from(x) * n as u128) >> 64) as usize
}

/// The 2.5th and 97.5th percentile, interpolated as `numpy.percentile` does.
fn interval(mut values: Vec<f64>) -> Interval {
    values.sort_unstable_by(f64::total_cmp);
    let percentile = |share: f64| {
        let position = share * (values.len() - 1) as f64;
        let (low, high) = (position.floor() as usize, position.ceil() as usize);
        values[low] + (values[high] - values[low]) * (position - low as f64)
    };
    Interval([percentile(0.025), percentile(0.975)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_figure_and_narrow_with_rows() {
        let judge = |rows: usize| {
            let probabilities: Vec<f32> =
                (0..rows * 3).map(|i| ((i * 37) % 101) as f32 / 101.0).collect();
            let targets: Vec<f32> = (0..rows * 3).map(|i| f32::from((i * 53) % 7 < 3)).collect();
            let predictions = Predictions::new(&probabilities, &targets, 3).unwrap();
            let figure = crate::counts::Decisions::new(&predictions, &[0.5; 3]);
            (figure.micro().f1, intervals(&predictions, &[0.5; 3], 400, 1).unwrap())
        };
        let (figure, narrow) = judge(2000);
        let Interval([low, high]) = narrow.micro_f1;
        assert!(low < figure && figure < high, "{low} {figure} {high}");
        let Interval([wide_low, wide_high]) = judge(80).1.micro_f1;
        assert!(high - low < (wide_high - wide_low) / 3.0);
    }

    #[test]
    fn certain_figures_have_no_width() {
        let predictions = Predictions::new(&[0.9, 0.1], &[1.0, 0.0], 1).unwrap();
        let none = Predictions::new(&[0.1, 0.1], &[0.0, 0.0], 1).unwrap();
        assert_eq!(intervals(&none, &[0.5], 50, 1).unwrap().micro_f1, Interval([0.0, 0.0]));
        assert!(intervals(&predictions, &[0.5], 0, 1).is_none());
    }
}
