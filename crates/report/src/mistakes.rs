//! The texts that a model got wrong while it was sure, and those it got most wrong altogether.
//!
//! Labels of a dataset are what some people saw, so a sure mistake is often theirs: these tables
//! show both.

use serde::Serialize;
use tinymood_core::shortest_decimal;
use tinymood_eval::Predictions;
use tinymood_eval::calibration::cross_entropy_of;

use crate::kept::KeptPredictions;

/// Texts that a model got wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Mistakes {
    /// Decided and not true, the most probable first.
    pub false_positives: Vec<Mistake>,
    /// True and not decided, the least probable first.
    pub false_negatives: Vec<Mistake>,
    /// By the sum of their labels' cross-entropy, the largest first.
    pub worst: Vec<WorstText>,
}

/// A wrong decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mistake {
    /// The line of the file that the text came from, from 1.
    pub line: usize,
    /// The text.
    pub text: String,
    /// The label.
    pub label: String,
    /// The label's probability.
    pub probability: f64,
    /// The label's threshold; `None` of a single-label model.
    pub threshold: Option<f64>,
    /// The labels that are true.
    pub truth: Vec<String>,
}

/// A text that a model got wrong altogether.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorstText {
    /// The line of the file that the text came from, from 1.
    pub line: usize,
    /// The text.
    pub text: String,
    /// Sum of the labels' binary cross-entropy, in nats.
    pub loss: f64,
    /// The labels that are true.
    pub truth: Vec<String>,
    /// The labels that were decided, with their probabilities, the most probable first.
    pub said: Vec<(String, f64)>,
}

/// A decision by its place.
#[derive(Clone, Copy)]
struct Place {
    probability: f32,
    row: usize,
    label: usize,
}

impl Mistakes {
    /// At most `most` of each kind; thresholds are the labels', (C).
    pub fn new(
        kept: &KeptPredictions,
        predictions: &Predictions<'_>,
        thresholds: &[f32],
        most: usize,
    ) -> Self {
        let (mut wrong, mut missed, mut losses) = (Vec::new(), Vec::new(), Vec::new());
        for (row, (probabilities, targets)) in predictions.rows().enumerate() {
            let mut loss = 0.0;
            let decide = predictions.decide(probabilities, thresholds);
            for (label, (&probability, &target)) in probabilities.iter().zip(targets).enumerate() {
                loss += cross_entropy_of(probability, target);
                match (decide(label), target >= 0.5) {
                    (true, false) => wrong.push(Place { probability, row, label }),
                    (false, true) => missed.push(Place { probability, row, label }),
                    _ => {}
                }
            }
            losses.push((loss, row));
        }
        // Stable: of equals, the first row.
        wrong.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        missed.sort_by(|a, b| a.probability.total_cmp(&b.probability));
        losses.sort_by(|a, b| b.0.total_cmp(&a.0));
        let has_thresholds = !predictions.problem_type().is_single_label();
        let mistake = |place: &Place| Mistake {
            line: kept.rows[place.row].line,
            text: kept.rows[place.row].text.clone(),
            label: kept.labels.name(place.label).to_owned(),
            probability: shortest_decimal(place.probability),
            threshold: has_thresholds.then(|| shortest_decimal(thresholds[place.label])),
            truth: truth(kept, place.row),
        };
        Self {
            false_positives: wrong.iter().take(most).map(mistake).collect(),
            false_negatives: missed.iter().take(most).map(mistake).collect(),
            worst: losses
                .iter()
                .take(most)
                .map(|&(loss, row)| worst(kept, thresholds, loss, row))
                .collect(),
        }
    }
}

/// The labels that are true in a row.
fn truth(kept: &KeptPredictions, row: usize) -> Vec<String> {
    let c = kept.labels.len();
    let named = kept.labels.names().iter().zip(&kept.targets[row * c..(row + 1) * c]);
    named.filter(|(_, target)| **target >= 0.5).map(|(name, _)| name.clone()).collect()
}

fn worst(kept: &KeptPredictions, thresholds: &[f32], loss: f64, row: usize) -> WorstText {
    let c = kept.labels.len();
    let probabilities = &kept.probabilities[row * c..(row + 1) * c];
    let decide = kept.problem_type.decide(probabilities, thresholds);
    let decided = (0..c).filter(|&label| decide(label));
    let mut said: Vec<(String, f64)> = decided
        .map(|label| (kept.labels.name(label).to_owned(), shortest_decimal(probabilities[label])))
        .collect();
    said.sort_by(|a, b| b.1.total_cmp(&a.1));
    let row_kept = &kept.rows[row];
    WorstText {
        line: row_kept.line,
        text: row_kept.text.clone(),
        loss,
        truth: truth(kept, row),
        said,
    }
}

#[cfg(test)]
mod tests {
    use tinymood_core::LabelSet;

    use super::*;
    use crate::kept::KeptRow;

    #[test]
    fn the_surest_come_first() {
        let row = |line| KeptRow { line, text: format!("text {line}"), tokens: 3 };
        let kept = KeptPredictions {
            split: "dev".to_owned(),
            model_sha256: String::new(),
            max_length: 8,
            labels: LabelSet::new(["joy", "grief"]).unwrap(),
            rows: vec![row(1), row(2), row(3)],
            targets: vec![0.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            probabilities: vec![0.9, 0.2, 0.4, 0.6, 0.95, 0.1],
            problem_type: tinymood_core::ProblemType::MultiLabel,
            temperatures: None,
        };
        let predictions = kept.predictions().unwrap();
        let found = Mistakes::new(&kept, &predictions, &[0.5, 0.5], 9);
        let places = |mistakes: &[Mistake]| -> Vec<(usize, String)> {
            mistakes.iter().map(|m| (m.line, m.label.clone())).collect()
        };
        let joy = || "joy".to_owned();
        let grief = || "grief".to_owned();
        assert_eq!(places(&found.false_positives), [(3, joy()), (1, joy()), (2, grief())]);
        assert_eq!(places(&found.false_negatives), [(1, grief()), (2, joy())]);
        assert_eq!(found.false_negatives[1].truth, ["joy"]);
        // Row 1: -ln 0.1 - ln 0.2 = 3.91; row 3: -ln 0.05 - ln 0.9 = 3.10; row 2: 1.83.
        assert_eq!(found.worst.iter().map(|w| w.line).collect::<Vec<_>>(), [1, 3, 2]);
        assert!((found.worst[0].loss - 3.912).abs() < 1e-3, "{}", found.worst[0].loss);
        assert_eq!(found.worst[0].said.len(), 1);
        let none = Mistakes::new(&kept, &predictions, &[0.5, 0.5], 0);
        assert_eq!(none, Mistakes::default());
    }
}
