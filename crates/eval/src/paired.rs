//! Whether one system is better than another on the same rows, or only seems so: the paired
//! bootstrap (Efron and Tibshirani, 1993, chapter 16; for F1 of texts Koehn, 2004, and
//! Berg-Kirkpatrick et al., 2012).
//!
//! Rows are drawn with replacement, the same for both systems, and the difference `d*` of their
//! figures is taken anew. Its percentiles are the interval. The p-value asks how often a difference
//! as large would come up if there was none: how often `|d* - d| >= |d|`, where `d` is the
//! difference on the rows themselves; 1 is added to both sides of the quotient, so that it is never
//! 0 (Davison and Hinkley, 1997, 4.2).
//!
//! What it does not see: another seed would give other models, and thresholds that were tuned on
//! these rows are not tuned anew for each resample.

use serde::Serialize;

use crate::bootstrap::{Interval, Rows, draw, interval};
use crate::predictions::{Predictions, is_positive};

/// Two systems that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairedError {
    /// Not the same number of rows or labels.
    #[error("{} rows of {} labels beside {} rows of {} labels", first.0, first.1, second.0, second.1)]
    Shape {
        /// Rows and labels of the first.
        first: (usize, usize),
        /// Rows and labels of the second.
        second: (usize, usize),
    },
    /// The same number of rows, with other labels.
    #[error("row {row} (from 0) has other labels in each")]
    Targets {
        /// The first of these rows, from 0.
        row: usize,
    },
    /// A number of thresholds that is not that of the labels.
    #[error("{found} thresholds for {labels} labels")]
    Thresholds {
        /// How many thresholds.
        found: usize,
        /// How many labels.
        labels: usize,
    },
    /// No resamplings.
    #[error("a bootstrap needs resamplings, not 0")]
    NoResamples,
}

/// How much more the second system has of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The figure of the first.
    pub first: f64,
    /// The figure of the second.
    pub second: f64,
    /// `second - first`.
    pub difference: f64,
    /// 95 % of the resampled differences.
    pub interval: Interval,
    /// Two-sided, for the hypothesis that there is no difference.
    pub p_value: f64,
    /// Share of the resamples in which the second has more; ties count half.
    pub second_better: f64,
}

/// A paired bootstrap of two systems.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedBootstrap {
    /// Resamplings taken.
    pub resamples: usize,
    /// F1 over all decisions.
    pub micro_f1: Difference,
    /// Mean F1 of the labels.
    pub macro_f1: Difference,
}

/// Compares two systems, each with its thresholds, (C), on the same rows; the same for the same
/// `seed`, and with the resamples of [`intervals`](crate::bootstrap::intervals).
///
/// # Errors
/// When the rows are not the same, as far as targets can tell, or there is nothing to compare.
pub fn paired_bootstrap(
    first: (&Predictions<'_>, &[f32]),
    second: (&Predictions<'_>, &[f32]),
    resamples: usize,
    seed: u64,
) -> Result<PairedBootstrap, PairedError> {
    check(first, second, resamples)?;
    let n = first.0.num_rows();
    let rows = [Rows::new(first.0, first.1), Rows::new(second.0, second.1)];
    let mut tallies = rows[0].tallies();
    let mut figures = |drawn: &[usize]| {
        rows.each_ref().map(|rows| {
            rows.count(drawn, &mut tallies);
            rows.micro_and_macro(&tallies)
        })
    };
    let mut drawn: Vec<usize> = (0..n).collect();
    let [(first_micro, first_macro), (second_micro, second_macro)] = figures(&drawn);
    let (mut micro, mut average) = (Vec::new(), Vec::new());
    for resample in 0..resamples {
        draw(n, seed, resample, &mut drawn);
        let [first, second] = figures(&drawn);
        micro.push(second.0 - first.0);
        average.push(second.1 - first.1);
    }
    Ok(PairedBootstrap {
        resamples,
        micro_f1: difference(first_micro, second_micro, micro),
        macro_f1: difference(first_macro, second_macro, average),
    })
}

/// P-values adjusted for there being several of them, in the order given (Holm, 1979; `multipletests`
/// of statsmodels with `method="holm"`): the chance that any of those called different is not stays
/// below the level at which they are called so.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least = 0.0_f64;
    for (rank, &index) in order.iter().enumerate() {
        least = least.max((p_values.len() - rank) as f64 * p_values[index]).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

fn check(
    first: (&Predictions<'_>, &[f32]),
    second: (&Predictions<'_>, &[f32]),
    resamples: usize,
) -> Result<(), PairedError> {
    let shape = |predictions: &Predictions<'_>| (predictions.num_rows(), predictions.num_labels());
    if shape(first.0) != shape(second.0) {
        return Err(PairedError::Shape { first: shape(first.0), second: shape(second.0) });
    }
    let labels = first.0.num_labels();
    for found in [first.1.len(), second.1.len()] {
        if found != labels {
            return Err(PairedError::Thresholds { found, labels });
        }
    }
    let mut targets = first.0.targets().iter().zip(second.0.targets());
    if let Some(at) = targets.position(|(a, b)| is_positive(*a) != is_positive(*b)) {
        return Err(PairedError::Targets { row: at / labels });
    }
    if resamples == 0 {
        return Err(PairedError::NoResamples);
    }
    Ok(())
}

fn difference(first: f64, second: f64, mut resampled: Vec<f64>) -> Difference {
    let observed = second - first;
    let count = resampled.len() as f64;
    // Rounding must not make an exact tie into a smaller one.
    let as_large = |d: &&f64| (**d - observed).abs() >= observed.abs() - 1e-12;
    let extreme = resampled.iter().filter(as_large).count() as f64;
    let better: f64 = resampled
        .iter()
        .map(|&d| {
            if d > 1e-12 {
                1.0
            } else if d < -1e-12 {
                0.0
            } else {
                0.5
            }
        })
        .sum();
    Difference {
        first,
        second,
        difference: observed,
        interval: interval(&mut resampled),
        p_value: (1.0 + extreme) / (1.0 + count),
        second_better: better / count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_made_case() {
        // Two rows, one label, both true; the first system finds row 0, the second finds both. The
        // four equally likely resamples have F1 of the first: rows 00: 1, 01 and 10: 2/3, 11: 0;
        // of the second always 1. So d = 1/3, and d* is 0, 1/3, 1/3, 1.
        let targets = [1.0, 1.0];
        let [a, b] = [[0.9, 0.1], [0.9, 0.9]];
        let first = Predictions::new(&a, &targets, 1).unwrap();
        let second = Predictions::new(&b, &targets, 1).unwrap();
        let found = paired_bootstrap((&first, &[0.5]), (&second, &[0.5]), 4000, 1).unwrap();
        let micro = found.micro_f1;
        assert!((micro.difference - 1.0 / 3.0).abs() < 1e-12, "{micro:?}");
        assert_eq!(micro.interval, Interval([0.0, 1.0]));
        // |d* - d| >= |d| for d* = 0 and d* = 1: half of them.
        assert!((micro.p_value - 0.5).abs() < 0.03, "{micro:?}");
        // Better in three quarters, and even in one.
        assert!((micro.second_better - 0.875).abs() < 0.02, "{micro:?}");
        assert_eq!(found.micro_f1, found.macro_f1, "there is one label");
    }

    #[test]
    fn a_system_beside_itself_is_no_better() {
        let probabilities: Vec<f32> = (0..300).map(|i| ((i * 37) % 101) as f32 / 101.0).collect();
        let targets: Vec<f32> = (0..300).map(|i| f32::from((i * 53) % 7 < 3)).collect();
        let one = Predictions::new(&probabilities, &targets, 3).unwrap();
        let found = paired_bootstrap((&one, &[0.5; 3]), (&one, &[0.5; 3]), 200, 0).unwrap();
        assert_eq!(found.macro_f1.difference, 0.0);
        assert_eq!(found.macro_f1.p_value, 1.0);
        assert_eq!(found.macro_f1.second_better, 0.5);
        assert_eq!(found.macro_f1.interval, Interval([0.0, 0.0]));
    }

    #[test]
    fn holm_is_that_of_statsmodels() {
        // multipletests(p, method="holm")[1]
        for (p, expected) in [
            (&[0.03, 0.001, 0.04, 0.02][..], &[0.06, 0.004, 0.06, 0.06][..]),
            (&[0.5, 0.9], &[1.0, 1.0]),
            (&[0.01, 0.01, 0.2], &[0.03, 0.03, 0.2]),
            (&[0.3], &[0.3]),
            (&[], &[]),
        ] {
            let found = holm(p);
            assert_eq!(found.len(), expected.len());
            let same = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
            assert!(found.iter().zip(expected).all(same), "{p:?}: {found:?}");
        }
    }

    #[test]
    fn other_rows_are_refused() {
        let some = Predictions::new(&[0.1, 0.2], &[1.0, 0.0], 1).unwrap();
        let fewer = Predictions::new(&[0.1], &[1.0], 1).unwrap();
        let others = Predictions::new(&[0.1, 0.2], &[1.0, 1.0], 1).unwrap();
        let compare = |second: &Predictions<'_>, thresholds: &[f32], resamples| {
            paired_bootstrap((&some, &[0.5]), (second, thresholds), resamples, 0).unwrap_err()
        };
        assert_eq!(
            compare(&fewer, &[0.5], 9),
            PairedError::Shape { first: (2, 1), second: (1, 1) }
        );
        assert_eq!(compare(&others, &[0.5], 9), PairedError::Targets { row: 1 });
        assert_eq!(compare(&some, &[], 9), PairedError::Thresholds { found: 0, labels: 1 });
        assert_eq!(compare(&some, &[0.5], 0), PairedError::NoResamples);
    }
}
