//! Figures of a single-label model, held against scikit-learn: `accuracy_score`, `f1_score` and
//! `log_loss` of the same five rows.

use tinymood_core::{LabelSet, ProblemType};
use tinymood_eval::counts::Decisions;
use tinymood_eval::{
    Evaluation, Predictions, ThresholdObjective, ThresholdPolicy, Thresholds, Tuning,
};

/// Of three labels; no probability of row 3 reaches 0.5, and two of row 4 are equal.
const PROBABILITIES: [f32; 15] =
    [0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.6, 0.3, 0.1, 0.4, 0.25, 0.35, 0.2, 0.4, 0.4];
const TARGETS: [f32; 15] =
    [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];

#[test]
fn the_most_probable_label_is_decided() {
    let predictions = Predictions::new(&PROBABILITIES, &TARGETS, 3).unwrap();
    let predictions = predictions.with_problem_type(ProblemType::SingleLabel);
    let policy = ThresholdPolicy::PerLabel;
    let thresholds = Thresholds::tune(policy, ThresholdObjective::MicroF1, &predictions, "dev");
    assert_eq!(thresholds, Thresholds::argmax(3), "there is nothing to tune");
    let labels = LabelSet::new(["a", "b", "c"]).unwrap();
    let found = Evaluation::new(&predictions, &thresholds, &labels, "dev", 100);
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}");
    near(found.subset_accuracy, 0.6);
    near(found.micro_f1, 0.6); // each row has one label, so it is the accuracy
    near(found.macro_f1, 0.433_333_333_333);
    near(found.loss, 0.723_274_552_654);
    assert_eq!(found.rows_without_labels, 0.0);
    assert_eq!(found.labels[0].1.threshold, None);
    let json = found.to_json();
    assert_eq!(json["thresholds"]["policy"], "argmax");
    assert!(json["labels"]["a"]["threshold"].is_null() && json["thresholds"]["value"].is_null());
    assert_eq!(Evaluation::from_json(&json.to_string()).unwrap().labels, found.labels);
    assert!(found.table().contains("thresholds: none, the most probable label holds"));

    // As a multi-label model's, the same numbers are decided one by one.
    let several = Predictions::new(&PROBABILITIES, &TARGETS, 3).unwrap();
    assert_eq!(Decisions::new(&several, &[0.5; 3]).rows_without_labels, 0.4);
}

#[test]
fn no_file_of_thresholds_says_argmax() {
    let labels = LabelSet::new(["a", "b"]).unwrap();
    let text = Thresholds::argmax(2).to_json(&labels).to_string();
    let error = Tuning::from_json(&text, &labels).unwrap_err().to_string();
    assert!(error.contains("argmax"), "{error}");
}
