//! `thresholds.json`: what is tuned for a model after training, beside its weights. Thresholds and temperatures
//! are fitted together and are wrong without each other, so they are one file, which is replaced as a whole.
//!
//! A field that is not known may change what the others mean, so it is an error.

use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};
use tinymood_core::{LabelSet, shortest_decimal};

use crate::thresholds::{ThresholdObjective, ThresholdPolicy, Thresholds};

/// Temperatures that are read. Those that are fitted have narrower bounds.
const TEMPERATURES: RangeInclusive<f64> = 0.01..=100.0;

/// What `thresholds.json` says of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// The probabilities from which labels hold.
    pub thresholds: Thresholds,
    /// What logits are divided by before they become probabilities, in label order, (C); `None` where they stay
    /// as they are.
    pub temperatures: Option<Vec<f32>>,
    /// SHA-256 of the classifier that all this was tuned for (`tinymood_weights::digest::of_classifier`), in
    /// hexadecimal; `None` in files of earlier versions.
    pub classifier_sha256: Option<String>,
}

/// What is wrong with a `thresholds.json`.
#[derive(Debug, thiserror::Error)]
pub enum ThresholdError {
    /// The text is not JSON of the right form.
    #[error("not a thresholds file")]
    Json(#[source] serde_json::Error),
    /// A label of the model has no threshold or temperature.
    #[error("no {0} for the label {1:?}")]
    Missing(&'static str, String),
    /// A threshold or temperature for a label that the model does not have.
    #[error("a {0} for {1:?}, which is no label of the model")]
    Unknown(&'static str, String),
    /// A label that has two, by the same name or by names that differ in case alone.
    #[error("two {0}s for the label {1:?}")]
    Duplicate(&'static str, String),
    /// The policy of models without thresholds.
    #[error("the policy is argmax, which has no thresholds")]
    Argmax,
    /// A policy of one threshold for all, and several thresholds.
    #[error("the policy is {0}, one threshold for all, but the labels' thresholds differ")]
    Policy(ThresholdPolicy),
    /// A threshold that no probability can be compared with, or a temperature that no logit can be divided by.
    #[error("the {what} of {label:?} is {found}, expected a number from {from} to {to}")]
    Value {
        /// Threshold or temperature.
        what: &'static str,
        /// The label.
        label: String,
        /// What stands there.
        found: String,
        /// The least that is allowed.
        from: f64,
        /// The most that is allowed.
        to: f64,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    policy: ThresholdPolicy,
    objective: Option<ThresholdObjective>,
    split: Option<String>,
    thresholds: Pairs,
    temperatures: Option<Pairs>,
    classifier_sha256: Option<String>,
}

/// The fields of an object, each as often as it stands there: a map keeps the last.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a number for each label")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}

impl Pairs {
    /// The numbers in the order of labels, (C).
    fn ordered(
        &self,
        what: &'static str,
        range: RangeInclusive<f64>,
        labels: &LabelSet,
    ) -> Result<Vec<f32>, ThresholdError> {
        let mut values = vec![None; labels.len()];
        for (name, found) in &self.0 {
            let index = labels.index_of(name);
            let index = index.ok_or_else(|| ThresholdError::Unknown(what, name.clone()))?;
            let number = found.as_f64().filter(|number| range.contains(number));
            let number = number.ok_or_else(|| ThresholdError::Value {
                what,
                label: name.clone(),
                found: found.to_string(),
                from: *range.start(),
                to: *range.end(),
            })?;
            if values[index].replace(number as f32).is_some() {
                return Err(ThresholdError::Duplicate(what, labels.name(index).to_owned()));
            }
        }
        let named = labels.names().iter().zip(values);
        let missing = |name: &String| ThresholdError::Missing(what, name.clone());
        named.map(|(name, value)| value.ok_or_else(|| missing(name))).collect()
    }
}

impl Tuning {
    /// Thresholds alone, for logits as they are.
    pub fn of_thresholds(thresholds: Thresholds) -> Self {
        Self { thresholds, temperatures: None, classifier_sha256: None }
    }

    /// As `thresholds.json` keeps it, by label name. Fields that have no value are left out.
    ///
    /// # Panics
    /// When labels and thresholds, or temperatures, differ in number.
    pub fn to_json(&self, labels: &LabelSet) -> Value {
        let mut json = self.thresholds.to_json(labels);
        if let Some(temperatures) = &self.temperatures {
            json["temperatures"] = by_label(labels, temperatures);
        }
        if let Some(sha256) = &self.classifier_sha256 {
            json["classifier_sha256"] = json!(sha256);
        }
        json
    }

    /// Reads a `thresholds.json`, in the order of `labels`.
    ///
    /// # Errors
    /// When it is not one, has a field that is not known, or does not have one threshold from 0 to 1 for each
    /// label, and either no temperature or one for each label.
    pub fn from_json(text: &str, labels: &LabelSet) -> Result<Self, ThresholdError> {
        let file: File = serde_json::from_str(text).map_err(ThresholdError::Json)?;
        let File { policy, objective, split, thresholds, temperatures, classifier_sha256 } = file;
        if policy == ThresholdPolicy::Argmax {
            return Err(ThresholdError::Argmax);
        }
        let values = thresholds.ordered("threshold", 0.0..=1.0, labels)?;
        let differ = values.iter().any(|value| *value != values[0]);
        if differ && policy != ThresholdPolicy::PerLabel {
            return Err(ThresholdError::Policy(policy));
        }
        let temperatures = temperatures.map(|t| t.ordered("temperature", TEMPERATURES, labels));
        Ok(Self {
            thresholds: Thresholds { values, policy, objective, split },
            temperatures: temperatures.transpose()?,
            classifier_sha256,
        })
    }
}

impl Thresholds {
    /// As [`Tuning::to_json`], of thresholds alone.
    ///
    /// # Panics
    /// When labels and thresholds differ in number.
    pub fn to_json(&self, labels: &LabelSet) -> Value {
        json!({
            "policy": self.policy,
            "objective": self.objective,
            "split": self.split,
            "thresholds": by_label(labels, &self.values),
        })
    }
}

fn by_label(labels: &LabelSet, values: &[f32]) -> Value {
    assert_eq!(labels.len(), values.len(), "a number for each label");
    let named = labels.names().iter().zip(values);
    let named = named.map(|(name, value)| (name.clone(), json!(shortest_decimal(*value))));
    named.collect::<Map<String, Value>>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels() -> LabelSet {
        LabelSet::new(["joy", "anger"]).unwrap()
    }

    fn tuned() -> Tuning {
        Tuning {
            thresholds: Thresholds {
                values: vec![0.25, 0.5],
                policy: ThresholdPolicy::PerLabel,
                objective: Some(ThresholdObjective::MacroF1),
                split: Some("dev".to_owned()),
            },
            temperatures: Some(vec![1.75, 3.1]),
            classifier_sha256: Some("ab".repeat(32)),
        }
    }

    #[test]
    fn files_read_back_in_any_order_and_refuse_what_does_not_fit() {
        let tuned = Tuning::of_thresholds(tuned().thresholds);
        let text = tuned.to_json(&labels()).to_string();
        assert_eq!(Tuning::from_json(&text, &labels()).unwrap(), tuned);
        let turned = LabelSet::new(["anger", "joy"]).unwrap();
        assert_eq!(Tuning::from_json(&text, &turned).unwrap().thresholds.values, [0.5, 0.25]);
        let error = |text: &str| Tuning::from_json(text, &labels()).unwrap_err().to_string();
        assert!(error(&text.replace("anger", "fear")).contains("\"fear\""));
        assert!(error(&text.replace(",\"anger\":0.5", "")).contains("no threshold for"));
        for bad in ["1.5", "-0.1", "null", "\"a\""] {
            let message = error(&text.replace("0.25", bad));
            assert!(message.contains("joy") && message.contains(bad), "{message}");
        }
        assert!(error("{").contains("not a thresholds file"));
        assert!(error(&text.replace("\"anger\"", "\"JOY\"")).contains("two thresholds"));
        let twice = text.replace("\"anger\":0.5", "\"anger\":0.5,\"anger\":0.9");
        assert!(error(&twice).contains("two thresholds for the label \"anger\""), "{twice}");
        assert!(error(&text.replace("per-label", "global")).contains("differ"));
        let loud = Tuning::from_json(&text.replace("joy", "Joy"), &labels()).unwrap();
        assert_eq!(loud, tuned);
    }

    #[test]
    fn temperatures_are_read_like_thresholds_and_unknown_fields_refused() {
        let text = tuned().to_json(&labels()).to_string();
        assert_eq!(Tuning::from_json(&text, &labels()).unwrap(), tuned());
        let turned = LabelSet::new(["anger", "joy"]).unwrap();
        let found = Tuning::from_json(&text, &turned).unwrap();
        assert_eq!(found.temperatures, Some(vec![3.1, 1.75]));
        let error = |text: &str| Tuning::from_json(text, &labels()).unwrap_err();
        for bad in ["0", "-1.75", "1000", "null", "[1.75]"] {
            let message = error(&text.replace("1.75", bad)).to_string();
            assert!(
                message.contains("temperature of \"joy\"") && message.contains(bad),
                "{message}"
            );
        }
        let missing = error(&text.replace(",\"anger\":3.1", "").replace("\"anger\":3.1,", ""));
        assert!(
            missing.to_string().contains("no temperature for the label \"anger\""),
            "{missing}"
        );
        let unknown = text.replacen('{', "{\"scales\":[2.0],", 1);
        let source = std::error::Error::source(&error(&unknown)).unwrap().to_string();
        assert!(source.contains("unknown field `scales`"), "{source}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_file_panics(
            number in prop_oneof![
                any::<f64>().prop_map(|number| json!(number)),
                any::<i64>().prop_map(|number| json!(number)),
                "\\PC{0,4}".prop_map(|text| json!(text)),
                Just(json!(null)),
                Just(json!([0.5])),
                Just(json!({"joy": 0.5})),
            ],
            field in "policy|objective|split|thresholds|temperatures|classifier_sha256|joy|anger",
            within in "thresholds|temperatures",
        ) {
            let mut file = tuned().to_json(&labels());
            let place = match field.as_str() {
                "joy" | "anger" => &mut file[&within][&field],
                _ => &mut file[&field],
            };
            *place = number;
            if let Ok(tuning) = Tuning::from_json(&file.to_string(), &labels()) {
                let thresholds = tuning.thresholds;
                prop_assert!(thresholds.values.iter().all(|value| (0.0..=1.0).contains(value)));
                for temperature in tuning.temperatures.iter().flatten() {
                    prop_assert!(TEMPERATURES.contains(&f64::from(*temperature)));
                }
            }
        }
    }
}
