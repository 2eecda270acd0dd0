//! JSON objects as rows: `{"text": "...", "labels": ["joy", 18]}`, or with soft targets
//! `{"text": "...", "labels": {"joy": 0.7}}`, where labels left out are 0, or with a field for each label:
//! `{"text": "...", "joy": true, "love": false}`.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::csv::listed;
use super::elements::Elements;
use super::encoding::BadBytes;
use super::unique::Unique;
use super::{Format, ReadOptions, Row};
use crate::labels::{CellForm, ItemSource, Items, RawLabels, soft_target};
use crate::stream::{Field, FieldValue, Line, TextColumn};
use crate::{DataError, RowProblem};

pub(super) fn read(
    source: impl BufRead,
    path: &Path,
    format: Format,
    options: &ReadOptions,
    keep: &mut dyn FnMut(Row) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let elements = Elements::open(source, format, &options.text_column);
    let mut elements = elements.map_err(|error| error.at(path))?;
    let mut buffer = Vec::new();
    loop {
        let (number, line) = elements.next(&mut buffer).map_err(DataError::io(path))?;
        let row = match line {
            Line::End => break,
            Line::TooLong => Err(RowProblem::TooLong { limit: crate::stream::MAX_LINE }),
            Line::Whole => row(&buffer, options),
        };
        keep((number, row))?;
    }
    Ok(())
}

fn row(line: &[u8], options: &ReadOptions) -> Result<(String, RawLabels), RowProblem> {
    let mut object = object(line)?;
    let text = text(&mut object, &options.text_column)?;
    let field = &options.labels_column;
    check_is_one(&object, field)?;
    let labels = match take(&mut object, field) {
        Some(Value::Array(list)) => {
            let items = list.iter().map(|label| match label {
                Value::String(name) => Ok(name.clone()),
                Value::Number(_) | Value::Bool(_) => Ok(label.to_string()),
                other => Err(unexpected(Some(other), field, "label names, ids or a vector")),
            });
            RawLabels::Items(Items::of_list(items.collect::<Result<Vec<String>, _>>()?))
        }
        Some(Value::String(cell)) => {
            let list = options.labels.as_ref();
            CellForm { separator: &options.label_separator, list }.parse(&cell)?
        }
        Some(Value::Number(id)) => {
            // As in a table: a list of ids has brackets.
            RawLabels::Items(Items::new([id.to_string()], ItemSource::Cell))
        }
        Some(Value::Object(soft)) => {
            let weight = |(label, value): (String, Value)| {
                let target = soft_value(&value, &label);
                target.map(|target| (label, target))
            };
            RawLabels::Weights(soft.into_iter().map(weight).collect::<Result<_, _>>()?)
        }
        None => RawLabels::Targets(fields_of_labels(&object, field, options)?),
        other => return Err(unexpected(other.as_ref(), field, "a list of labels")),
    };
    Ok((text, labels))
}

/// The targets of an object with a field for each label, since it has none of them all; (C).
fn fields_of_labels(
    object: &Map<String, Value>,
    labels_field: &str,
    options: &ReadOptions,
) -> Result<Vec<f32>, RowProblem> {
    let Some(list) = &options.labels else {
        let numbers = object.iter().filter(|(name, value)| soft_value(value, name).is_ok());
        let fields = numbers.map(|(name, _)| name.clone()).collect();
        return Err(RowProblem::NoLabels { field: labels_field.to_owned(), fields });
    };
    let names = list.labels.names();
    for label in names {
        // Of two such fields, either may be the label's.
        let is_named = |field: &&String| field.eq_ignore_ascii_case(label);
        let named: Vec<&String> = object.keys().filter(is_named).collect();
        if named.len() > 1 {
            return Err(two_fields(&named, label));
        }
    }
    let value = |label: &String| field(object, label).map(|(_, value)| value);
    let values: Vec<Option<&Value>> = names.iter().map(value).collect();
    let pairs = names.iter().zip(&values);
    let missing: Vec<&String> =
        pairs.clone().filter(|(_, value)| value.is_none()).map(|(label, _)| label).collect();
    if !missing.is_empty() {
        let found = match missing.len() == names.len() {
            true => format!("no field {labels_field:?}"),
            false => format!("no field {labels_field:?}, and none of {}", listed(&missing)),
        };
        let expected = "a list of labels there, or a field for each label".to_owned();
        return Err(RowProblem::Json { found, expected });
    }
    let targets = pairs.filter_map(|(label, value)| Some(soft_value((*value)?, label)));
    targets.collect()
}

/// Refuses an object in which two fields have the name of one that is read.
fn check_is_one(object: &Map<String, Value>, name: &str) -> Result<(), RowProblem> {
    let is_named = |field: &&String| field.eq_ignore_ascii_case(name);
    if object.contains_key(name) || object.keys().filter(is_named).count() < 2 {
        return Ok(());
    }
    let names: Vec<&String> = object.keys().filter(is_named).collect();
    Err(two_fields(&names, name))
}

fn two_fields(found: &[&String], name: &str) -> RowProblem {
    RowProblem::Json {
        found: format!("the fields {}", listed(found)),
        expected: format!("one field {name:?}"),
    }
}

/// The field of a name and its value; case counts only where two names differ by it alone.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<(&'a String, &'a Value)> {
    let loose = || object.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
    object.get_key_value(name).or_else(loose)
}

/// Takes the value of [`field`] out of its object, whose other fields keep their order.
fn take(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let (name, _) = field(object, name)?;
    let name = name.clone();
    object.shift_remove(&name)
}

fn soft_value(value: &Value, label: &str) -> Result<f32, RowProblem> {
    match value {
        Value::String(text) => soft_target(text, label),
        other => soft_target(&other.to_string(), label),
    }
}

/// The object of a row, in which no name stands twice.
pub(crate) fn object(line: &[u8]) -> Result<Map<String, Value>, RowProblem> {
    let line = BadBytes::check(line, "row")?;
    match serde_json::from_str(line).map(|Unique(value)| value) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(RowProblem::Json {
            found: excerpt(&other.to_string()),
            expected: "a JSON object".to_owned(),
        }),
        Err(error) if error.is_data() => Err(RowProblem::Json {
            found: placed(&error),
            expected: "each name once in an object".to_owned(),
        }),
        Err(error) => Err(RowProblem::Json {
            found: format!("no JSON ({})", placed(&error)),
            expected: "a JSON object".to_owned(),
        }),
    }
}

/// An error of JSON, and where it is in its row.
fn placed(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let text = ["unexpected end of hex escape", "lone leading surrogate in hex escape"]
        .iter()
        .fold(text, |text, found| text.replace(found, "half a surrogate pair in an escape"));
    match (text.rsplit_once(" at line "), line) {
        (Some((problem, _)), 1) => format!("{problem} at column {column}"),
        (Some((problem, _)), _) => format!("{problem} at column {column} of the row's line {line}"),
        (None, _) => text,
    }
}

/// The text of an array's element that is no object but a string.
pub(crate) fn bare_text(element: &[u8]) -> Option<String> {
    let is_string = element.trim_ascii_start().starts_with(b"\"");
    serde_json::from_slice(element).ok().filter(|_| is_string)
}

/// Where the text of an object stands, or would stand: behind all fields.
pub(crate) fn place(object: &Map<String, Value>, name: &str) -> TextColumn {
    let name = field(object, name).map_or(name, |(name, _)| name);
    let place = object.keys().position(|field| field == name).unwrap_or(object.len());
    TextColumn { place, name: name.into() }
}

/// The text of an object.
pub(crate) fn text(object: &mut Map<String, Value>, field: &str) -> Result<String, RowProblem> {
    check_is_one(object, field)?;
    match take(object, field) {
        Some(Value::String(text)) => Ok(text),
        other => Err(unexpected(other.as_ref(), field, "a text")),
    }
}

/// The fields of a line's object, each value as it is written there.
pub(crate) fn fields(line: &[u8], object: &Map<String, Value>) -> Vec<Field> {
    // A number may have more digits than a value of serde's holds.
    let mut written: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(line).unwrap_or_default();
    let field = |name: &String| {
        let (name, value) = written.remove_entry(name)?;
        Some(Field { name: name.into(), value: FieldValue::Json(value) })
    };
    object.keys().filter_map(field).collect()
}

fn unexpected(value: Option<&Value>, field: &str, expected: &str) -> RowProblem {
    RowProblem::Json {
        found: match value {
            Some(value) => format!("{} in the field {field:?}", excerpt(&value.to_string())),
            None => format!("no field {field:?}"),
        },
        expected: format!("{expected} there"),
    }
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
