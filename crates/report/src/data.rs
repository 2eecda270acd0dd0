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
    /// Rows whose text stands in the training split too; 0 for that one.
    #[serde(default)]
    pub also_in_train: usize,
}

impl DataSummary {
    /// What makes figures mean less than they seem to, in sentences.
    pub fn warnings(&self) -> Vec<String> {
        const SHOWN: usize = 5;
        let mut warnings = Vec::new();
        let train = self.splits.iter().find(|split| split.name == "train");
        let counts = train.map_or(&[][..], |train| &train.label_counts);
        let without = self.labels.iter().zip(counts).filter(|(_, rows)| **rows == 0);
        let without: Vec<&str> = without.map(|(label, _)| label.as_str()).collect();
        if !without.is_empty() {
            let more = if without.len() > SHOWN { ", …" } else { "" };
            warnings.push(format!(
                "{} of {} labels have no row in train: {}{more}.",
                without.len(),
                self.labels.len(),
                without[..without.len().min(SHOWN)].join(", ")
            ));
        }
        // A few greetings are the same everywhere.
        let leaking =
            self.splits.iter().filter(|split| split.also_in_train * 100 >= split.rows.max(1));
        warnings.extend(leaking.map(|SplitSummary { name, rows, also_in_train, .. }| {
            format!("{also_in_train} of {rows} {name} texts stand in train too: figures on them flatter.")
        }));
        warnings
    }
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
    fn what_flatters_is_told() {
        let split = |name: &str, label_counts: &[usize], also_in_train| SplitSummary {
            name: name.to_owned(),
            rows: 200,
            label_counts: label_counts.to_vec(),
            also_in_train,
            ..SplitSummary::default()
        };
        let data = |train: &[usize], also_in_train| DataSummary {
            max_length: 8,
            labels: ["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned).to_vec(),
            splits: vec![split("train", train, 0), split("dev", &[3; 7], also_in_train)],
        };
        assert_eq!(data(&[1; 7], 1).warnings(), Vec::<String>::new());
        assert_eq!(
            data(&[9, 0, 1, 1, 0, 1, 1], 2).warnings(),
            [
                "2 of 7 labels have no row in train: b, e.",
                "2 of 200 dev texts stand in train too: figures on them flatter.",
            ]
        );
        assert!(data(&[0; 7], 0).warnings()[0].ends_with(": a, b, c, d, e, …."));
        assert_eq!(DataSummary::default().warnings(), Vec::<String>::new());
    }

    #[test]
    fn texts_without_labels_count_too() {
        let split = SplitSummary::new("texts", &[], 0, [3, 3].into_iter(), 8);
        assert_eq!((split.rows, split.labels_per_row.len()), (2, 0));
    }
}
