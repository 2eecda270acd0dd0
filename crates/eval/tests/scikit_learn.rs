//! Every figure against scikit-learn's, on random and on degenerate predictions
//! (`reference/metrics.py`).

use serde_json::Value;
use tinymood_core::LabelSet;
use tinymood_eval::{Evaluation, Predictions, ThresholdPolicy, Thresholds};

fn floats(value: &Value) -> Vec<f32> {
    let number = |value: &Value| value.as_f64().unwrap() as f32;
    value.as_array().unwrap().iter().map(number).collect()
}

/// Equal to 1e-9, or both undefined.
fn assert_same(found: &Value, expected: &Value, what: &str) {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => {
            assert!((found - expected).abs() <= 1e-9, "{what}: {found}, scikit-learn {expected}");
        }
        (None, None) => assert!(found.is_null() && expected.is_null(), "{what}"),
        _ => panic!("{what}: {found}, scikit-learn {expected}"),
    }
}

#[test]
fn figures_equal_scikit_learns() {
    let text = include_str!("../../../goldens/metrics.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    assert!(cases.len() >= 13);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let num_labels = case["num_labels"].as_u64().unwrap() as usize;
        let (probabilities, targets) = (floats(&case["probabilities"]), floats(&case["targets"]));
        let predictions = Predictions::new(&probabilities, &targets, num_labels).unwrap();
        let values = floats(&case["thresholds"]);
        let policy = ThresholdPolicy::PerLabel;
        let thresholds = Thresholds { values, policy, objective: None, split: None };
        let labels = LabelSet::new((0..num_labels).map(|label| format!("label{label}"))).unwrap();
        let evaluation = Evaluation::new(&predictions, &thresholds, &labels, "dev", 9);
        let found = evaluation.to_json();
        let mut read_back = Evaluation::from_json(&found.to_string()).unwrap();
        read_back.thresholds.description = evaluation.thresholds.description.clone();
        assert_eq!(read_back, evaluation, "{name}: what is written reads back");
        for (metric, expected) in case["expected"].as_object().unwrap() {
            assert_same(&found[metric], expected, &format!("{name}, {metric}"));
        }
        for (label, expected) in labels.names().iter().zip(case["labels"].as_array().unwrap()) {
            for (metric, expected) in expected.as_object().unwrap() {
                let what = format!("{name}, {label}, {metric}");
                assert_same(&found["labels"][label][metric], expected, &what);
            }
        }
    }
}

#[test]
fn the_table_fits_and_names_the_policy() {
    let probabilities: Vec<f32> = (0..280).map(|i| (i % 97) as f32 / 97.0).collect();
    let targets: Vec<f32> = (0..280).map(|i| f32::from(i % 5 == 0)).collect();
    let predictions = Predictions::new(&probabilities, &targets, 28).unwrap();
    let thresholds = Thresholds::fixed(0.5, 28);
    let labels = LabelSet::goemotions();
    let evaluation = Evaluation::new(&predictions, &thresholds, &labels, "dev", 50);
    let table = evaluation.table();
    for expected in ["micro avg", "embarrassment", "fixed 0.5", "95 % intervals", "split dev"] {
        assert!(table.contains(expected), "{expected}:\n{table}");
    }
    let longest = table.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest <= 100, "{longest} columns");
    assert_eq!(evaluation.metric("micro_f1"), Some(evaluation.micro_f1));
    assert_eq!(evaluation.metric("no_such"), None);
}
