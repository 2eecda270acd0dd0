//! What other thresholds would have given: a label's precision, recall and F1 over a grid of them.

use serde::Serialize;

use crate::counts::{Counts, Scores};
use crate::predictions::Predictions;

/// Thresholds of a curve: 0, 0.01, … 1.
pub const GRID: usize = 101;

/// A label's figures by threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThresholdCurve {
    /// At threshold `k / 100`; ([`GRID`]). `None` where nothing is decided: precision is of
    /// nothing then.
    pub precision: Vec<Option<f64>>,
    /// ([`GRID`]). `None` without positives.
    pub recall: Vec<Option<f64>>,
    /// ([`GRID`]); 0 where nothing decided is true.
    pub f1: Vec<f64>,
}

/// The threshold at a place of the grid.
pub fn grid_threshold(index: usize) -> f64 {
    index as f64 / (GRID - 1) as f64
}

/// The curve of one label. Thresholds of the grid are rounded to f32, as those of models are.
pub fn threshold_curve(predictions: &Predictions<'_>, label: usize) -> ThresholdCurve {
    let mut scores: Vec<(f32, bool)> = predictions.label(label).collect();
    scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut counts = Counts::default();
    scores.iter().for_each(|(_, positive)| counts.add(false, *positive));
    let mut curve = ThresholdCurve {
        precision: vec![None; GRID],
        recall: vec![None; GRID],
        f1: vec![0.0; GRID],
    };
    let mut passed = scores.iter().peekable();
    for index in (0..GRID).rev() {
        let threshold = grid_threshold(index) as f32;
        while let Some((_, positive)) = passed.next_if(|score| score.0 >= threshold) {
            if *positive {
                counts.true_positives += 1;
                counts.false_negatives -= 1;
            } else {
                counts.false_positives += 1;
                counts.true_negatives -= 1;
            }
        }
        let Scores { precision, recall, f1 } = counts.scores();
        curve.precision[index] = (counts.predicted() > 0).then_some(precision);
        curve.recall[index] = (counts.support() > 0).then_some(recall);
        curve.f1[index] = f1;
    }
    curve
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Decisions;

    #[test]
    fn each_point_is_what_deciding_there_gives() {
        let probabilities: Vec<f32> = (0..240).map(|i| ((i * 37) % 101) as f32 / 100.0).collect();
        let targets: Vec<f32> = (0..240).map(|i| f32::from((i * 53) % 7 < 3)).collect();
        let predictions = Predictions::new(&probabilities, &targets, 3).unwrap();
        for label in 0..3 {
            let curve = threshold_curve(&predictions, label);
            for index in [0, 1, 33, 50, 99] {
                let threshold = grid_threshold(index) as f32;
                let counts = Decisions::new(&predictions, &[threshold; 3]).labels[label];
                assert_eq!(curve.precision[index], Some(counts.scores().precision), "{index}");
                assert_eq!(curve.recall[index], Some(counts.scores().recall), "{index}");
                assert_eq!(curve.f1[index], counts.scores().f1, "{index}");
            }
        }
    }

    #[test]
    fn what_is_of_nothing_is_nothing() {
        let predictions = Predictions::new(&[0.2, 0.3], &[0.0, 0.0], 1).unwrap();
        let curve = threshold_curve(&predictions, 0);
        assert_eq!((curve.precision[0], curve.precision[31]), (Some(0.0), None));
        assert!(curve.recall.iter().all(Option::is_none));
        assert_eq!(curve.f1, vec![0.0; GRID]);
    }
}
