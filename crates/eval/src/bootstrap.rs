//! How far the figures would move on other rows: percentile intervals over resampled rows (Efron,
//! 1979). Rows are drawn whole, since the labels of a row are not independent.

use serde::{Deserialize, Serialize};

use crate::predictions::{Predictions, is_positive};

/// An interval that holds 95 % of the resampled values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Interval(pub [f64; 2]);

/// Intervals of the figures that people compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Resamplings taken.
    pub resamples: usize,
    /// Share of the resampled values inside.
    pub level: f64,
    /// Of F1 over all decisions.
    pub micro_f1: Interval,
    /// Of the mean F1 of the labels; a label that no row of a resample has is left out of its mean, where there
    /// are rows that have it.
    pub macro_f1: Interval,
}

/// Intervals of one label's figures. A resample without decided or true rows counts as 0, as
/// [`Counts::scores`](crate::counts::Counts::scores) has it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LabelIntervals {
    /// Of the share of the decided that is true.
    pub precision: Interval,
    /// Of the share of the true that is decided.
    pub recall: Interval,
    /// Of their harmonic mean.
    pub f1: Interval,
}

/// What one row adds to a label's counts.
#[derive(Clone, Copy)]
struct Entry {
    label: u32,
    decided: bool,
    positive: bool,
}

/// Counts of one label in a resample.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    hits: u32,
    decided: u32,
    positive: u32,
}

/// `a / b`, or 0 where there is nothing.
fn ratio(a: u32, b: u32) -> f64 {
    if b == 0 { 0.0 } else { f64::from(a) / f64::from(b) }
}

impl Tally {
    fn f1(self) -> f64 {
        ratio(2 * self.hits, self.decided + self.positive)
    }
}

/// Rows as what they add to counts: labels that are neither decided nor true add nothing.
pub(crate) struct Rows {
    entries: Vec<Entry>,
    ends: Vec<usize>,
    /// Whether any row has the label; (C).
    known: Vec<bool>,
}

impl Rows {
    /// `thresholds` are the labels'; (C).
    pub(crate) fn new(predictions: &Predictions<'_>, thresholds: &[f32]) -> Self {
        let num_labels = predictions.num_labels();
        let mut entries = Vec::new();
        let mut ends = Vec::with_capacity(predictions.num_rows());
        let mut known = vec![false; num_labels];
        for (probabilities, targets) in predictions.rows() {
            let decide = predictions.decide(probabilities, thresholds);
            for label in 0..num_labels {
                let decided = decide(label);
                let positive = is_positive(targets[label]);
                known[label] |= positive;
                if decided || positive {
                    entries.push(Entry { label: label as u32, decided, positive });
                }
            }
            ends.push(entries.len());
        }
        Self { entries, ends, known }
    }

    /// A count for each label.
    pub(crate) fn tallies(&self) -> Vec<Tally> {
        vec![Tally::default(); self.known.len()]
    }

    /// F1 over all decisions, and the mean F1 of the labels. A label that some row has, but none of those drawn,
    /// has no F1 there, and no part in the mean: as a 0 it would draw the mean of rare labels down.
    pub(crate) fn micro_and_macro(&self, tallies: &[Tally]) -> (f64, f64) {
        let mut total = Tally::default();
        let (mut sum, mut labels) = (0.0, 0);
        for (tally, known) in tallies.iter().zip(&self.known) {
            total.hits += tally.hits;
            total.decided += tally.decided;
            total.positive += tally.positive;
            if tally.positive > 0 || !known {
                sum += tally.f1();
                labels += 1;
            }
        }
        (total.f1(), sum / f64::from(labels.max(1)))
    }

    /// Counts the rows `drawn`, over what stands in `tallies`; (C).
    pub(crate) fn count(&self, drawn: &[usize], tallies: &mut [Tally]) {
        tallies.fill(Tally::default());
        for &row in drawn {
            let start = if row == 0 { 0 } else { self.ends[row - 1] };
            for entry in &self.entries[start..self.ends[row]] {
                let tally = &mut tallies[entry.label as usize];
                tally.hits += u32::from(entry.decided && entry.positive);
                tally.decided += u32::from(entry.decided);
                tally.positive += u32::from(entry.positive);
            }
        }
    }
}

/// The `n` rows of resample `resample`, over what stands in `drawn`. Row `i` of resample `r` is
/// drawn by the finaliser of SplitMix64 over the counter `r n + i`.
pub(crate) fn draw(n: usize, seed: u64, resample: usize, drawn: &mut Vec<usize>) {
    drawn.clear();
    drawn.extend((0..n).map(|i| below(n, seed, (resample * n + i) as u64)));
}

/// 95 % intervals from `resamples` resamplings, the same for the same `seed`; `None` for none.
pub fn intervals(
    predictions: &Predictions<'_>,
    thresholds: &[f32],
    resamples: usize,
    seed: u64,
) -> Option<Intervals> {
    if resamples == 0 {
        return None;
    }
    let rows = Rows::new(predictions, thresholds);
    let (mut tallies, mut drawn) = (rows.tallies(), Vec::new());
    let (mut micro, mut averages) = (Vec::new(), Vec::new());
    for resample in 0..resamples {
        draw(predictions.num_rows(), seed, resample, &mut drawn);
        rows.count(&drawn, &mut tallies);
        let (micro_f1, macro_f1) = rows.micro_and_macro(&tallies);
        micro.push(micro_f1);
        averages.push(macro_f1);
    }
    Some(Intervals {
        resamples,
        level: 0.95,
        micro_f1: interval(&mut micro),
        macro_f1: interval(&mut averages),
    })
}

/// 95 % intervals of the figures of `labels`, in their order, from the resamplings of [`intervals`]; `None`
/// without resamplings. Takes 24 bytes of memory for each label and resampling.
pub fn label_intervals(
    predictions: &Predictions<'_>,
    thresholds: &[f32],
    labels: &[usize],
    resamples: usize,
    seed: u64,
) -> Option<Vec<LabelIntervals>> {
    if resamples == 0 {
        return None;
    }
    let rows = Rows::new(predictions, thresholds);
    let (mut tallies, mut drawn) = (rows.tallies(), Vec::new());
    let mut figures = vec![[const { Vec::new() }; 3]; labels.len()];
    for resample in 0..resamples {
        draw(predictions.num_rows(), seed, resample, &mut drawn);
        rows.count(&drawn, &mut tallies);
        for (figures, &label) in figures.iter_mut().zip(labels) {
            let tally = tallies[label];
            figures[0].push(ratio(tally.hits, tally.decided));
            figures[1].push(ratio(tally.hits, tally.positive));
            figures[2].push(tally.f1());
        }
    }
    let of_label = |[precision, recall, f1]: &mut [Vec<f64>; 3]| LabelIntervals {
        precision: interval(precision),
        recall: interval(recall),
        f1: interval(f1),
    };
    Some(figures.iter_mut().map(of_label).collect())
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
pub(crate) fn interval(values: &mut [f64]) -> Interval {
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
    fn a_labels_interval_is_its_own() {
        // Label 0 is always right, label 1 half the time, label 2 never true nor decided.
        let probabilities = [0.9, 0.9, 0.1].repeat(400);
        let targets = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0].repeat(200);
        let predictions = Predictions::new(&probabilities, &targets, 3).unwrap();
        let found = label_intervals(&predictions, &[0.5; 3], &[0, 1, 2], 300, 1).unwrap();
        assert_eq!(found[0].f1, Interval([1.0, 1.0]));
        let Interval([low, high]) = found[1].precision;
        // 0.5 and twice its standard error, sqrt(0.25 / 400) = 0.025.
        assert!((0.43..0.47).contains(&low) && (0.53..0.57).contains(&high), "{low} {high}");
        assert_eq!(found[1].recall, Interval([1.0, 1.0]));
        assert_eq!(found[2].f1, Interval([0.0, 0.0]));
        let some = label_intervals(&predictions, &[0.5; 3], &[1], 300, 1).unwrap();
        assert_eq!(some, [found[1]]);
    }

    #[test]
    fn labels_of_one_row_do_not_draw_the_mean_down() {
        // 28 rows, each with a label of its own, and all right.
        let own: Vec<f32> = (0..28 * 28).map(|i| f32::from(i / 28 == i % 28)).collect();
        let predictions = Predictions::new(&own, &own, 28).unwrap();
        let found = intervals(&predictions, &[0.5; 28], 200, 1).unwrap();
        assert_eq!(found.macro_f1, Interval([1.0, 1.0]));
        // A label that no row has counts as it does on the rows themselves.
        let three = Predictions::new(&[0.9, 0.9, 0.1], &[1.0, 0.0, 0.0], 3).unwrap();
        let found = intervals(&three, &[0.5; 3], 20, 1).unwrap();
        assert_eq!(found.macro_f1, Interval([1.0 / 3.0, 1.0 / 3.0]));
    }

    #[test]
    fn certain_figures_have_no_width() {
        let predictions = Predictions::new(&[0.9, 0.1], &[1.0, 0.0], 1).unwrap();
        let none = Predictions::new(&[0.1, 0.1], &[0.0, 0.0], 1).unwrap();
        assert_eq!(intervals(&none, &[0.5], 50, 1).unwrap().micro_f1, Interval([0.0, 0.0]));
        assert!(intervals(&predictions, &[0.5], 0, 1).is_none());
    }
}
