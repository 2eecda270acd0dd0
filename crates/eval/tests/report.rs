//! What a report shows, against scikit-learn and brute force in numpy (`reference/report.py`).

use serde_json::Value;
use tinymood_eval::Predictions;
use tinymood_eval::bootstrap::label_intervals;
use tinymood_eval::calibration::reliability;
use tinymood_eval::confusion::PairCounts;
use tinymood_eval::curves::threshold_curve;
use tinymood_eval::paired::paired_bootstrap;

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// Every number that `expected` has, to 1e-9; what is null there must be null here.
fn assert_same(found: &Value, expected: &Value, what: &str) {
    match expected {
        Value::Number(number) => {
            let expected = number.as_f64().unwrap();
            let found = found.as_f64().unwrap_or_else(|| panic!("{what}: {found}"));
            assert!((found - expected).abs() <= 1e-9, "{what}: {found}, not {expected}");
        }
        Value::Null => assert!(found.is_null(), "{what}: {found}"),
        Value::Array(list) => {
            assert_eq!(found.as_array().unwrap().len(), list.len(), "{what}");
            for (index, expected) in list.iter().enumerate() {
                assert_same(&found[index], expected, &format!("{what}[{index}]"));
            }
        }
        Value::Object(map) => {
            for (key, expected) in map {
                assert_same(&found[key], expected, &format!("{what}.{key}"));
            }
        }
        other => panic!("{what}: {other}"),
    }
}

#[test]
fn a_reports_numbers_are_those_of_the_reference() {
    let text = include_str!("../../../goldens/report.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    assert!(cases.len() >= 4);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let num_labels = case["num_labels"].as_u64().unwrap() as usize;
        let (seed, resamples) =
            (case["seed"].as_u64().unwrap(), case["resamples"].as_u64().unwrap());
        let [probabilities, second, targets, thresholds] =
            ["probabilities", "second", "targets", "thresholds"].map(|key| floats(&case[key]));
        let predictions = Predictions::new(&probabilities, &targets, num_labels).unwrap();
        let second = Predictions::new(&second, &targets, num_labels).unwrap();

        for label in 0..num_labels {
            let curve = threshold_curve(&predictions, label);
            let what = format!("{name}, curve {label}");
            assert_same(&json(&curve), &case["curves"][label], &what);
        }
        let bins = reliability(predictions.pairs());
        let filled = |figure: Vec<Option<f64>>| figure.into_iter().flatten().collect::<Vec<f64>>();
        let shares = filled(bins.iter().map(|bin| bin.share_positive()).collect());
        let means = filled(bins.iter().map(|bin| bin.mean_probability()).collect());
        assert_same(&json(&shares), &case["reliability"]["share_positive"], name);
        assert_same(&json(&means), &case["reliability"]["mean_probability"], name);

        let labels: Vec<usize> = (0..num_labels).collect();
        let pairs = PairCounts::new(&predictions, &thresholds, &labels);
        let all = |count: &dyn Fn(usize, usize) -> u32| -> Vec<u32> {
            let rows = labels.iter().map(|&a| labels.iter().map(move |&b| (a, b)));
            rows.flatten().map(|(a, b)| count(a, b)).collect()
        };
        let together = all(&|a, b| pairs.together(a, b));
        let confused = all(&|a, b| pairs.confused(a, b));
        assert_same(&json(&together), &case["together"], &format!("{name}, together"));
        assert_same(&json(&confused), &case["confused"], &format!("{name}, confused"));

        let resamples = resamples as usize;
        let intervals = label_intervals(&predictions, &thresholds, &labels, resamples, seed);
        let what = format!("{name}, intervals");
        assert_same(&json(&intervals.unwrap()), &case["label_intervals"], &what);

        let (first, second) = ((&predictions, &thresholds[..]), (&second, &thresholds[..]));
        let paired = paired_bootstrap(first, second, resamples, seed).unwrap();
        assert_same(&json(&paired), &case["paired"], &format!("{name}, paired"));
    }
}
