//! The labels that a `config.json` names, read as `transformers.PretrainedConfig` reads them, or
//! refused by name.
//!
//! | `config.json` | transformers | here |
//! |---|---|---|
//! | `{"0": "LABEL_1", "1": "LABEL_0"}` | these names | these names |
//! | `{"0": "LABEL_0", …}`, `num_labels` | placeholders, for names that nobody gave | no names |
//! | `{"00": "a", "+1": "b"}` | ids 0 and 1 (`int`) | ids 0 and 1 |
//! | `{"0": 0, "1": 1}` | names that are numbers | the names "0" and "1" |
//! | `{"0": 3}`, `null`, … | names that are no texts | refused: 3 could be an id as well |
//! | `{"0": "a", "2": "b"}` | a `KeyError` when it answers | refused |
//! | an id twice | the last name | refused |
//! | `num_labels` with another count | drops the names, with a warning | refused |
//! | `label2id` | read, but not used to answer | ignored |

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::config::{Fields, excerpt};
use crate::{ConfigError, LabelSet};

/// No classifier has more labels; a larger count is a damaged or hostile file.
const MOST_LABELS: u64 = crate::MOST_LABELS as u64;

impl LabelSet {
    /// The labels that a `config.json` names in `id2label`, or `None` where it names none or only
    /// `transformers`' placeholders (`LABEL_0` at 0, `LABEL_1` at 1, …).
    ///
    /// # Errors
    /// When `id2label` is there but its ids are not 0, 1, 2, …, its names are not distinct texts, or
    /// `num_labels` counts others.
    pub fn from_config_json(text: &str) -> Result<Option<Self>, ConfigError> {
        let names = names(&Fields::parse(text)?, text)?;
        let is_placeholder = |(id, name): (usize, &String)| *name == placeholder(id);
        if names.iter().enumerate().all(is_placeholder) {
            return Ok(None);
        }
        LabelSet::new(names).map(Some).map_err(ConfigError::Labels)
    }

    /// How many labels a `config.json` says that there are, in `id2label` or `num_labels`.
    ///
    /// # Errors
    /// As [`LabelSet::from_config_json`].
    pub fn count_in_config_json(text: &str) -> Result<Option<usize>, ConfigError> {
        let fields = Fields::parse(text)?;
        match names(&fields, text)?.len() {
            0 => num_labels(&fields),
            count => Ok(Some(count)),
        }
    }

    /// The names that `transformers` gives to labels that have none: `LABEL_0`, `LABEL_1`, …
    ///
    /// # Errors
    /// When there are none.
    pub fn placeholders(count: usize) -> Result<Self, crate::LabelError> {
        Self::new((0..count).map(placeholder))
    }
}

/// The name of a label that nobody named.
pub(crate) fn placeholder(id: usize) -> String {
    format!("LABEL_{id}")
}

/// The names in `id2label` by their ids; empty without any.
fn names(fields: &Fields, text: &str) -> Result<Vec<String>, ConfigError> {
    let Some(value) = fields.get("id2label") else { return Ok(Vec::new()) };
    let Value::Object(map) = value else { return Err(wrong(excerpt(value), EXPECTED)) };
    check_repetition(map, text)?;
    let mut names = vec![None; map.len()];
    for (key, name) in map {
        // `int` of Python takes "+1" and "01", and so does this.
        let id: usize =
            key.parse().map_err(|_| wrong(format!("an object with the id {key:?}"), EXPECTED))?;
        let name = match name {
            Value::String(name) => name.clone(),
            Value::Number(number) if number.as_u64() == Some(id as u64) => id.to_string(),
            other => {
                let found = format!("an object with {} as the name of label {key}", excerpt(other));
                return Err(wrong(found, "names in quotes"));
            }
        };
        match names.get_mut(id) {
            Some(slot @ None) => *slot = Some(name),
            Some(Some(_)) => {
                return Err(wrong(format!("an object with the id {id} twice"), EXPECTED));
            }
            None => {
                let found =
                    format!("an object with the id {key:?} for one of {} labels", map.len());
                return Err(wrong(found, EXPECTED));
            }
        }
    }
    // As many names as places, and no place has two: none is empty.
    let names: Vec<String> = names.into_iter().flatten().collect();
    match num_labels(fields)? {
        Some(count) if count != names.len() && !names.is_empty() => Err(ConfigError::Field {
            field: "num_labels",
            found: count.to_string(),
            expected: format!("{}, as many as \"id2label\" names", names.len()),
        }),
        _ => Ok(names),
    }
}

const EXPECTED: &str = "an object from ids \"0\", \"1\", … to label names";

fn wrong(found: String, expected: &str) -> ConfigError {
    ConfigError::Field { field: "id2label", found, expected: expected.to_owned() }
}

fn num_labels(fields: &Fields) -> Result<Option<usize>, ConfigError> {
    let Some(value) = fields.get("num_labels") else { return Ok(None) };
    let count = value.as_u64().filter(|count| (1..=MOST_LABELS).contains(count));
    let count = count.ok_or_else(|| ConfigError::Field {
        field: "num_labels",
        found: excerpt(value),
        expected: format!("a whole number from 1 to {MOST_LABELS}"),
    })?;
    Ok(Some(count as usize))
}

/// Refuses `id2label` where an id stands in it twice: a map keeps the last one only.
fn check_repetition(map: &Map<String, Value>, text: &str) -> Result<(), ConfigError> {
    /// The keys of an object, in the order of the file.
    struct Keys(Vec<String>);

    impl<'de> Deserialize<'de> for Keys {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Object;
            impl<'de> Visitor<'de> for Object {
                type Value = Keys;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let mut keys = Vec::new();
                    while let Some((key, serde::de::IgnoredAny)) = map.next_entry()? {
                        keys.push(key);
                    }
                    Ok(Keys(keys))
                }
            }
            deserializer.deserialize_map(Object)
        }
    }

    #[derive(Deserialize)]
    struct Names {
        id2label: Keys,
    }

    let Names { id2label: Keys(mut keys) } =
        serde_json::from_str(text).map_err(|_| wrong("not one object".to_owned(), EXPECTED))?;
    if keys.len() == map.len() {
        return Ok(());
    }
    keys.sort_unstable();
    let twice = keys.windows(2).find(|pair| pair[0] == pair[1]);
    let twice = twice.map_or_else(String::new, |pair| format!(" {:?}", pair[0]));
    Err(wrong(format!("an object with the id{twice} twice"), EXPECTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<Option<Vec<String>>, String> {
        let labels = LabelSet::from_config_json(config).map_err(|error| match error {
            ConfigError::Labels(source) => source.to_string(),
            other => other.to_string(),
        });
        labels.map(|labels| labels.map(|labels| labels.names().to_vec()))
    }

    #[test]
    fn names_keep_their_places() {
        for (id2label, expected) in [
            (r#"{"0": "LABEL_1", "1": "LABEL_0"}"#, ["LABEL_1", "LABEL_0"]),
            (r#"{"1": "LABEL_0", "0": "LABEL_1"}"#, ["LABEL_1", "LABEL_0"]),
            (r#"{"0": "LABEL_joy", "1": "LABEL_anger"}"#, ["LABEL_joy", "LABEL_anger"]),
            (r#"{"0": "LABEL_0", "1": "joy"}"#, ["LABEL_0", "joy"]),
            (r#"{"00": "a", "+1": "b"}"#, ["a", "b"]),
            (r#"{"0": 0, "1": 1}"#, ["0", "1"]),
        ] {
            let config = format!(r#"{{"id2label": {id2label}}}"#);
            assert_eq!(read(&config), Ok(Some(expected.map(str::to_owned).to_vec())), "{id2label}");
            assert_eq!(LabelSet::count_in_config_json(&config), Ok(Some(2)), "{id2label}");
        }
        // transformers answers with `id2label`, whatever `label2id` says.
        let config = r#"{"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}"#;
        assert_eq!(read(config).unwrap().unwrap(), ["a", "b"]);
    }

    #[test]
    fn placeholders_are_no_names() {
        for (config, count) in [
            ("{}", None),
            (r#"{"id2label": null}"#, None),
            (r#"{"id2label": {}}"#, None),
            (r#"{"num_labels": 3}"#, Some(3)),
            (r#"{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}"#, Some(2)),
            (r#"{"id2label": {"0": "LABEL_0"}, "num_labels": 1}"#, Some(1)),
        ] {
            assert_eq!(read(config), Ok(None), "{config}");
            assert_eq!(LabelSet::count_in_config_json(config), Ok(count), "{config}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (config, expected) in [
            (r#"{"id2label": {"0": 3, "1": 4}}"#, &["3 as the name of label 0"][..]),
            (r#"{"id2label": {"0": "a", "1": 0}}"#, &["0 as the name of label 1"]),
            (r#"{"id2label": {"0": null, "1": "a"}}"#, &["null as the name of label 0"]),
            (r#"{"id2label": {"0": "a", "2": "b"}}"#, &["id \"2\" for one of 2 labels"]),
            (r#"{"id2label": {"0": "a", "x": "b"}}"#, &["id \"x\""]),
            (r#"{"id2label": {"0": "a", "-1": "b"}}"#, &["id \"-1\""]),
            (r#"{"id2label": {"0": "a", "00": "b"}}"#, &["id 0 twice"]),
            (r#"{"id2label": {"0": "a", "0": "b"}}"#, &["id \"0\" twice"]),
            (r#"{"id2label": ["a", "b"]}"#, &["[\"a\",\"b\"]"]),
            (r#"{"id2label": {"0": "joy", "1": "Joy "}}"#, &["\"Joy\"", "at 0 and 1"]),
            (r#"{"id2label": {"0": "joy", "1": " "}}"#, &["label 1 has an empty name"]),
            (r#"{"id2label": {"0": "a", "1": "b"}, "num_labels": 3}"#, &["num_labels", "3", "2"]),
            (r#"{"num_labels": "3"}"#, &["num_labels", "\"3\""]),
            (r#"{"num_labels": 0}"#, &["num_labels", "is 0"]),
            (r#"{"num_labels": 2.5}"#, &["num_labels", "2.5"]),
        ] {
            let message = match read(config) {
                Ok(None) => LabelSet::count_in_config_json(config).unwrap_err().to_string(),
                other => other.unwrap_err(),
            };
            for expected in expected {
                assert!(message.contains(expected), "{config}: {message}");
            }
        }
    }
}
