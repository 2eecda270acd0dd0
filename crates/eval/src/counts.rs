//! What decisions get right and wrong: precision, recall, F1 and their averages, with 0 for a
//! quotient of nothings (`sklearn.metrics.precision_recall_fscore_support`, `zero_division=0`).

use std::ops::AddAssign;

use serde::Serialize;

use crate::predictions::{Predictions, is_positive};

/// Right and wrong decisions on one label, or on several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Decided and true.
    pub true_positives: u64,
    /// Decided and not true.
    pub false_positives: u64,
    /// True and not decided.
    pub false_negatives: u64,
    /// Neither.
    pub true_negatives: u64,
}

/// Precision, recall and F1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Share of the decided that is true.
    pub precision: f64,
    /// Share of the true that is decided.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
}

/// `a / b`, or 0 where both are nothing.
fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

impl Counts {
    pub(crate) fn add(&mut self, decided: bool, positive: bool) {
        match (decided, positive) {
            (true, true) => self.true_positives += 1,
            (true, false) => self.false_positives += 1,
            (false, true) => self.false_negatives += 1,
            (false, false) => self.true_negatives += 1,
        }
    }

    /// How many are true.
    pub fn support(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    /// How many are decided.
    pub fn predicted(&self) -> u64 {
        self.true_positives + self.false_positives
    }

    /// Precision, recall, F1.
    pub fn scores(&self) -> Scores {
        Scores {
            precision: ratio(self.true_positives, self.predicted()),
            recall: ratio(self.true_positives, self.support()),
            f1: ratio(2 * self.true_positives, self.predicted() + self.support()),
        }
    }

    /// Matthews correlation coefficient; 0 where it is undefined
    /// (`sklearn.metrics.matthews_corrcoef`).
    pub fn matthews(&self) -> f64 {
        let [tp, fp, fne, tn] =
            [self.true_positives, self.false_positives, self.false_negatives, self.true_negatives]
                .map(|count| count as f64);
        let product = (tp + fp) * (tp + fne) * (tn + fp) * (tn + fne);
        if product == 0.0 { 0.0 } else { (tp * tn - fp * fne) / product.sqrt() }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
        self.true_negatives += other.true_negatives;
    }
}

/// All decisions together.
pub(crate) fn total(labels: &[Counts]) -> Counts {
    let mut total = Counts::default();
    labels.iter().for_each(|&counts| total += counts);
    total
}

/// Mean of the labels' scores.
pub(crate) fn macro_average(labels: &[Counts]) -> Scores {
    weighted(labels, |_| 1.0)
}

/// Everything that follows from decisions.
#[derive(Clone, Debug, PartialEq)]
pub struct Decisions {
    /// Of each label; (C).
    pub labels: Vec<Counts>,
    /// Mean over rows of each row's scores.
    pub samples: Scores,
    /// Share of rows with every label right (`sklearn.metrics.accuracy_score`).
    pub subset_accuracy: f64,
    /// Share of rows for which nothing is decided.
    pub rows_without_labels: f64,
}

impl Decisions {
    /// Decides each label of each row by `thresholds`, (C), as [`Predictions::decide`] does.
    ///
    /// # Panics
    /// When there are fewer thresholds than labels.
    pub fn new(predictions: &Predictions<'_>, thresholds: &[f32]) -> Self {
        let c = predictions.num_labels();
        assert!(thresholds.len() >= c, "a threshold for each label");
        let mut labels = vec![Counts::default(); c];
        let mut samples = Scores::default();
        let (mut exact, mut without) = (0_u64, 0_u64);
        for (probabilities, targets) in predictions.rows() {
            let mut row = Counts::default();
            let decide = predictions.decide(probabilities, thresholds);
            for label in 0..c {
                let decided = decide(label);
                let positive = is_positive(targets[label]);
                labels[label].add(decided, positive);
                row.add(decided, positive);
            }
            let scores = row.scores();
            samples.precision += scores.precision;
            samples.recall += scores.recall;
            samples.f1 += scores.f1;
            exact += u64::from(row.false_positives + row.false_negatives == 0);
            without += u64::from(row.predicted() == 0);
        }
        let n = predictions.num_rows() as f64;
        Self {
            labels,
            samples: Scores {
                precision: samples.precision / n,
                recall: samples.recall / n,
                f1: samples.f1 / n,
            },
            subset_accuracy: exact as f64 / n,
            rows_without_labels: without as f64 / n,
        }
    }

    /// All decisions together.
    pub fn total(&self) -> Counts {
        total(&self.labels)
    }

    /// Scores of all decisions together.
    pub fn micro(&self) -> Scores {
        self.total().scores()
    }

    /// Mean of the labels' scores.
    pub fn macro_average(&self) -> Scores {
        macro_average(&self.labels)
    }

    /// Mean of the labels' scores, weighed by support; plain where there is none.
    pub fn weighted_average(&self) -> Scores {
        if self.total().support() == 0 {
            return self.macro_average();
        }
        weighted(&self.labels, |counts| counts.support() as f64)
    }

    /// Share of all decisions that is wrong (`sklearn.metrics.hamming_loss`).
    pub fn hamming_loss(&self) -> f64 {
        let total = self.total();
        let wrong = total.false_positives + total.false_negatives;
        ratio(wrong, wrong + total.true_positives + total.true_negatives)
    }
}

fn weighted(labels: &[Counts], weight: impl Fn(&Counts) -> f64) -> Scores {
    let mut sums = Scores::default();
    let mut weights = 0.0;
    for counts in labels {
        let (weight, scores) = (weight(counts), counts.scores());
        sums.precision += weight * scores.precision;
        sums.recall += weight * scores.recall;
        sums.f1 += weight * scores.f1;
        weights += weight;
    }
    Scores {
        precision: sums.precision / weights,
        recall: sums.recall / weights,
        f1: sums.f1 / weights,
    }
}
