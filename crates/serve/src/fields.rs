//! What is wrong with a request's JSON, in words of its fields. serde says `invalid type: null, expected a boolean at
//! line 1 column 31`: nothing of the field, and of positions that a program that writes JSON never sees.

use serde_json::Value;
use serde_json::error::Category;

/// A field of a request.
pub(crate) struct Field {
    /// Its name; of one inside of another, both with a dot between.
    pub(crate) name: &'static str,
    /// What it must be, as messages say it.
    pub(crate) expected: &'static str,
    /// Whether there must be one. Others may be null, which means the same as none.
    pub(crate) is_needed: bool,
    /// Whether a value is what it must be.
    pub(crate) fits: fn(&Value) -> bool,
}

impl Field {
    /// One that must be there.
    pub(crate) const fn needed(
        name: &'static str,
        expected: &'static str,
        fits: fn(&Value) -> bool,
    ) -> Self {
        Self { name, expected, is_needed: true, fits }
    }

    /// One that may be left out.
    pub(crate) const fn optional(
        name: &'static str,
        expected: &'static str,
        fits: fn(&Value) -> bool,
    ) -> Self {
        Self { name, expected, is_needed: false, fits }
    }

    /// Yes or no.
    pub(crate) const fn flag(name: &'static str) -> Self {
        Self::optional(name, "true or false", Value::is_boolean)
    }
}

/// A request whose fields can be told.
pub(crate) trait Fields {
    /// All of them.
    const FIELDS: &'static [Field];
    /// Whether others pass.
    const TAKES_OTHERS: bool;
}

/// Whether a value is a whole number; 0 is refused later.
pub(crate) fn is_count(value: &Value) -> bool {
    value.as_u64().is_some_and(|count| usize::try_from(count).is_ok())
}

/// Whether a value is one of some names.
pub(crate) fn is_one_of(value: &Value, names: &[&str]) -> bool {
    value.as_str().is_some_and(|value| names.contains(&value))
}

/// Whether a value is a text, or a list of texts.
pub(crate) fn is_texts(value: &Value) -> bool {
    match value {
        Value::Array(texts) => texts.iter().all(Value::is_string),
        other => other.is_string(),
    }
}

/// What is wrong with JSON that is not `T`; `error` is serde's.
pub(crate) fn problem<T: Fields>(text: &str, error: &serde_json::Error) -> String {
    let object = serde_json::from_str::<Value>(text).ok();
    let object = object.as_ref().and_then(Value::as_object);
    let Some(object) = object else { return without_position(error) };
    let known = |name: &String| T::FIELDS.iter().any(|field| field.name == name);
    if let Some(other) = object.keys().find(|name| !T::TAKES_OTHERS && !known(name)) {
        let names: Vec<&str> = T::FIELDS.iter().map(|field| field.name).collect();
        return format!("unknown field {other:?}, expected one of {}", names.join(", "));
    }
    for Field { name, expected, is_needed, fits } in T::FIELDS {
        let mut path = name.split('.');
        let first = path.next().and_then(|name| object.get(name));
        let value = path.fold(first, |value, name| value?.get(name));
        match value {
            None if *is_needed => {
                return format!("the field {name:?} is missing, expected {expected}");
            }
            Some(Value::Null) if !is_needed => {}
            Some(value) if !fits(value) => {
                // Lists are of texts, which are what must be there.
                let (place, value) = match is_needed {
                    true => innermost(name, value),
                    false => (format!("the field {name:?}"), value),
                };
                return format!("{place} is {}, expected {expected}", excerpt(value));
            }
            _ => {}
        }
    }
    without_position(error)
}

/// The first item that is no text of a list that holds any, or the value itself; with its place.
fn innermost<'a>(name: &str, value: &'a Value) -> (String, &'a Value) {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let wrong = items.iter().enumerate().find(|(_, item)| !is_texts(item));
    match wrong {
        Some((index, item)) => (format!("item {index} of the field {name:?}"), item),
        None => (format!("the field {name:?}"), value),
    }
}

/// The start of a value.
fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// serde's message without where it stands, in words for who writes JSON.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&position).unwrap_or(&text);
    let repeated = text.strip_prefix("duplicate field `").and_then(|name| name.strip_suffix('`'));
    match (text, repeated) {
        (_, Some(name)) => format!("the field {name:?} stands twice, expected it once"),
        ("expected ident", _) => "a word that is not true, false or null".to_owned(),
        ("number out of range", _) => "a number that is too large".to_owned(),
        _ => text.to_owned(),
    }
}

/// What is wrong with what is no JSON, and where: in a body of one line, at which byte.
pub(crate) fn no_json(text: &str, error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Eof => return "it ends early".to_owned(),
        _ => without_position(error),
    };
    match text.trim_end().contains('\n') {
        true => format!("{what} at line {}, byte {}", error.line(), error.column()),
        false => format!("{what} at byte {}", error.column()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)] // only its errors are read
    struct Asked {
        texts: String,
    }

    #[test]
    fn messages_are_not_the_parsers() {
        let said = |text: &str| {
            let error = serde_json::from_str::<Asked>(text).unwrap_err();
            without_position(&error)
        };
        assert_eq!(
            said(r#"{"texts":"a","texts":"b"}"#),
            "the field \"texts\" stands twice, expected it once"
        );
        assert_eq!(said(r#"{"texts":truthy}"#), "a word that is not true, false or null");
        assert_eq!(said(r#"{"texts":1e999}"#), "a number that is too large");
    }
}
