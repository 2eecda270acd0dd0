//! Labels beside labels: which are true together, and which are taken for one another.
//!
//! Several labels may hold, so "taken for" wants a meaning: a row confuses `i` with `j` when `i` is
//! true and missed, and `j` is decided and not true. A row that misses one label and wrongly has
//! two others confuses it with both.

use serde::{Serialize, Serializer};

use crate::predictions::{Predictions, is_positive};

/// Rows by pairs of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairCounts {
    /// The labels whose pairs are counted, ascending; (P).
    labels: Vec<usize>,
    /// Rows in which both are true; on the diagonal, the label's support. Symmetric, row-major; (P, P).
    together: Vec<u32>,
    /// Rows in which the first is true and missed, and the second decided and not true; on the
    /// diagonal, rows in which the label is true and decided. Row-major; (P, P).
    confused: Vec<u32>,
}

impl PairCounts {
    /// Counts the pairs of `labels`, ascending, under the thresholds of all labels, (C). Takes memory for the
    /// square of the number of `labels`.
    ///
    /// # Panics
    /// When there are fewer thresholds than labels, or one of `labels` is none.
    pub fn new(predictions: &Predictions<'_>, thresholds: &[f32], labels: &[usize]) -> Self {
        let p = labels.len();
        assert!(thresholds.len() >= predictions.num_labels(), "a threshold for each label");
        let zeros = || vec![0; p * p];
        let mut counts = Self { labels: labels.to_vec(), together: zeros(), confused: zeros() };
        let (mut hit, mut missed, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for (probabilities, targets) in predictions.rows() {
            [&mut hit, &mut missed, &mut wrong].into_iter().for_each(Vec::clear);
            let decide = predictions.decide(probabilities, thresholds);
            for (place, &label) in labels.iter().enumerate() {
                match (is_positive(targets[label]), decide(label)) {
                    (true, true) => hit.push(place),
                    (true, false) => missed.push(place),
                    (false, true) => wrong.push(place),
                    (false, false) => {}
                }
            }
            for &a in hit.iter().chain(&missed) {
                for &b in hit.iter().chain(&missed) {
                    counts.together[a * p + b] += 1;
                }
            }
            hit.iter().for_each(|&a| counts.confused[a * p + a] += 1);
            for &a in &missed {
                wrong.iter().for_each(|&b| counts.confused[a * p + b] += 1);
            }
        }
        counts
    }

    /// The labels whose pairs are counted, ascending; (P).
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Rows in which both labels are true; 0 for labels that are not counted.
    pub fn together(&self, label: usize, other: usize) -> u32 {
        self.place(label, other).map_or(0, |place| self.together[place])
    }

    /// Rows in which `label` is true and missed, and `other` decided and not true; of a label and itself, rows
    /// in which it is true and decided; 0 for labels that are not counted.
    pub fn confused(&self, label: usize, other: usize) -> u32 {
        self.place(label, other).map_or(0, |place| self.confused[place])
    }

    /// Rows in which a counted label is true.
    pub fn support(&self, label: usize) -> u32 {
        self.together(label, label)
    }

    fn place(&self, label: usize, other: usize) -> Option<usize> {
        let place = |label| self.labels.binary_search(&label).ok();
        Some(place(label)? * self.labels.len() + place(other)?)
    }

    /// The counts above 0 as `[label, other, rows]`.
    fn triples(&self, counts: &[u32]) -> Vec<[usize; 3]> {
        let p = self.labels.len();
        let triple = |(place, &rows): (usize, &u32)| {
            (rows > 0).then(|| [self.labels[place / p], self.labels[place % p], rows as usize])
        };
        counts.iter().enumerate().filter_map(triple).collect()
    }
}

/// As what is not 0: `{"labels": [0, 2], "together": [[0, 0, 7], [0, 2, 1], …], "confused": […]}`.
impl Serialize for PairCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Sparse<'a> {
            labels: &'a [usize],
            together: Vec<[usize; 3]>,
            confused: Vec<[usize; 3]>,
        }
        let (together, confused) = (self.triples(&self.together), self.triples(&self.confused));
        Sparse { labels: &self.labels, together, confused }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_labels_have_the_counts_that_they_have_among_all() {
        let probabilities: Vec<f32> =
            (0..200).map(|i| ((i * i * 37) % 101) as f32 / 100.0).collect();
        let targets: Vec<f32> = (0..200).map(|i| f32::from((i * i * 53) % 11 < 5)).collect();
        let predictions = Predictions::new(&probabilities, &targets, 5).unwrap();
        let all = PairCounts::new(&predictions, &[0.5; 5], &[0, 1, 2, 3, 4]);
        let some = PairCounts::new(&predictions, &[0.5; 5], &[1, 4]);
        assert!(all.confused(1, 4) > 0 && all.together(1, 4) > 0);
        for (label, other) in [(1, 1), (1, 4), (4, 1), (4, 4)] {
            assert_eq!(some.together(label, other), all.together(label, other));
            assert_eq!(some.confused(label, other), all.confused(label, other));
        }
        assert_eq!((some.support(0), some.confused(0, 4)), (0, 0), "not counted");
        let json = serde_json::to_value(&some).unwrap();
        assert_eq!(json["labels"], serde_json::json!([1, 4]));
        let triple = serde_json::json!([1, 4, all.confused(1, 4)]);
        assert!(json["confused"].as_array().unwrap().contains(&triple), "{json}");
    }
}
