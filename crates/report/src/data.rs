//! `data.json`: what the splits of a run were like when it began, since data may move or change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the splits of a run are like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Tokens that a text may have before it is cut.
    pub max_length: usize,
    /// The labels; (C), none where texts are learned without.
    pub labels: Vec<String>,
    /// The splits that there are.
    pub splits: Vec<SplitSummary>,
}

/// What a split is like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitSummary {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: usize,
    /// Rows in which each label is true; (C).
    pub label_counts: Vec<usize>,
    /// Rows by their number of true labels.
    pub labels_per_row: BTreeMap<usize, usize>,
    /// Rows by their length in tokens, special ones included, before any are cut off.
    pub lengths: BTreeMap<usize, usize>,
    /// Rows of which tokens are cut off.
    pub truncated: usize,
}

impl SplitSummary {
    /// Counts; `targets` are (N, C), at least 1/2 for true, and `lengths` the texts' in tokens, (N).
    pub fn new(
        name: &str,
        targets: &[f32],
        num_labels: usize,
        lengths: impl Iterator<Item = usize>,
        max_length: usize,
    ) -> Self {
        let mut summary =
            Self { name: name.to_owned(), label_counts: vec![0; num_labels], ..Self::default() };
        for length in lengths {
            summary.rows += 1;
            *summary.lengths.entry(length).or_default() += 1;
            summary.truncated += usize::from(length > max_length);
        }
        for row in targets.chunks_exact(num_labels.max(1)) {
            let mut number = 0;
            for (count, target) in summary.label_counts.iter_mut().zip(row) {
                *count += usize::from(*target >= 0.5);
                number += usize::from(*target >= 0.5);
            }
            *summary.labels_per_row.entry(number).or_default() += 1;
        }
        summary
    }

    /// Mean length in tokens; `None` without rows.
    pub fn mean_length(&self) -> Option<f64> {
        let total: usize = self.lengths.iter().map(|(length, rows)| length * rows).sum();
        (self.rows > 0).then(|| total as f64 / self.rows as f64)
    }

    /// The length that `share` of the rows do not exceed; 0 without rows.
    pub fn length_quantile(&self, share: f64) -> usize {
        let wanted = (share * self.rows as f64).ceil() as usize;
        let mut passed = 0;
        for (length, rows) in &self.lengths {
            passed += rows;
            if passed >= wanted {
                return *length;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let targets = [1.0, 0.0, 0.6, 0.5, 0.0, 0.4];
        let split = SplitSummary::new("dev", &targets, 2, [4, 9, 4].into_iter(), 8);
        assert_eq!((split.rows, split.truncated), (3, 1));
        assert_eq!(split.label_counts, [2, 1]);
        assert_eq!(split.labels_per_row, BTreeMap::from([(0, 1), (1, 1), (2, 1)]));
        assert_eq!(split.lengths, BTreeMap::from([(4, 2), (9, 1)]));
        assert_eq!(split.mean_length(), Some(17.0 / 3.0));
        assert_eq!((split.length_quantile(0.5), split.length_quantile(1.0)), (4, 9));
        let none = SplitSummary::new("dev", &[], 2, std::iter::empty(), 8);
        assert_eq!((none.mean_length(), none.length_quantile(0.5)), (None, 0));
    }

    #[test]
    fn texts_without_labels_count_too() {
        let split = SplitSummary::new("texts", &[], 0, [3, 3].into_iter(), 8);
        assert_eq!((split.rows, split.labels_per_row.len()), (2, 0));
    }
}
