//! Labels beside labels: which are true together, and which are taken for one another.
//!
//! Several labels may hold, so "taken for" wants a meaning: a row confuses `i` with `j` when `i` is
//! true and missed, and `j` is decided and not true. A row that misses one label and wrongly has
//! two others confuses it with both.

use serde::Serialize;

use crate::predictions::{Predictions, is_positive};

/// Rows by pairs of labels, all (C, C), row-major.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PairCounts {
    /// `C`.
    pub num_labels: usize,
    /// Rows in which both are true; on the diagonal, the label's support. Symmetric.
    pub together: Vec<u32>,
    /// Rows in which the first is true and missed, and the second decided and not true; on the
    /// diagonal, rows in which the label is true and decided.
    pub confused: Vec<u32>,
}

impl PairCounts {
    /// Counts rows under the labels' `thresholds`, (C).
    ///
    /// # Panics
    /// When there are fewer thresholds than labels.
    pub fn new(predictions: &Predictions<'_>, thresholds: &[f32]) -> Self {
        let c = predictions.num_labels();
        assert!(thresholds.len() >= c, "a threshold for each label");
        let mut counts = Self { num_labels: c, together: vec![0; c * c], confused: vec![0; c * c] };
        let (mut hit, mut missed, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for (probabilities, targets) in predictions.rows() {
            [&mut hit, &mut missed, &mut wrong].into_iter().for_each(Vec::clear);
            let decide = predictions.decide(probabilities, thresholds);
            for label in 0..c {
                match (is_positive(targets[label]), decide(label)) {
                    (true, true) => hit.push(label),
                    (true, false) => missed.push(label),
                    (false, true) => wrong.push(label),
                    (false, false) => {}
                }
            }
            for &a in hit.iter().chain(&missed) {
                for &b in hit.iter().chain(&missed) {
                    counts.together[a * c + b] += 1;
                }
            }
            hit.iter().for_each(|&a| counts.confused[a * c + a] += 1);
            for &a in &missed {
                wrong.iter().for_each(|&b| counts.confused[a * c + b] += 1);
            }
        }
        counts
    }

    /// Rows in which a label is true.
    pub fn support(&self, label: usize) -> u32 {
        self.together[label * self.num_labels + label]
    }
}
