//! Rows of files to texts and targets.

mod csv;
mod decoded;
mod elements;
mod encoding;
mod gzip;
mod jsonl;
mod returns;
mod table;
mod unique;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::labels::{Decision, LabelRow, RawLabels};
use crate::{
    DataError, Dataset, Example, LabelFormat, LabelList, RowError, RowProblem, is_empty_text,
};

pub(crate) use self::csv::{
    Record, Records, Table, begins_without_text, listed, position as csv_position,
    text_column as csv_text_column,
};
pub(crate) use self::decoded::{NotText, decoded, decoded_as};
pub(crate) use self::elements::Elements;
pub use self::encoding::{BadBytes, Encoding};
use self::gzip::Gzip;
pub(crate) use self::jsonl::{
    bare_text as json_bare_text, fields as json_fields, object as json_object, place as json_place,
    text as json_text,
};
pub(crate) use self::returns::{Returns, lines};

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Tabs, CSV quoting; without a header text, labels and perhaps an id, as GoEmotions is published.
    Tsv,
    /// With a header (RFC 4180); commas, or semicolons or tabs.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// An array of JSON objects, or one object a line.
    Json,
}

impl Format {
    /// What a file's name says; `.gz` behind it does not count.
    pub fn of(path: &Path) -> Option<Self> {
        let path = inner_name(path);
        let extension = path.extension()?.to_str()?.to_lowercase();
        Some(match extension.as_str() {
            "tsv" => Self::Tsv,
            "csv" => Self::Csv,
            "jsonl" | "ndjson" => Self::Jsonl,
            "json" => Self::Json,
            _ => return None,
        })
    }
}

/// A file's name without `.gz`.
pub(crate) fn inner_name(path: &Path) -> PathBuf {
    match is_compressed(path) {
        true => path.with_extension(""),
        false => path.to_owned(),
    }
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

/// The bytes of a file, or what is compressed in it.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open_file(path: &Path) -> Result<Box<dyn Read + Send>, DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    Ok(match is_compressed(path) {
        true => Box::new(Gzip::new(file)),
        false => Box::new(file),
    })
}

/// How files are read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadOptions {
    /// The column or field of the text.
    pub text_column: String,
    /// The column or field of the labels.
    pub labels_column: String,
    /// What stands between the labels of a row.
    pub label_separator: String,
    /// The labels; where none are given, they are the names that the rows have.
    pub labels: Option<LabelList>,
    /// How rows have them.
    pub label_format: LabelFormat,
    /// The form of labels in the dataset's other files, which settles what could be either.
    pub leaning: LabelFormat,
    /// Passes over malformed rows and lists them, instead of stopping at the first.
    pub skip_bad_rows: bool,
    /// How files without a byte order mark are written; UTF-8 where it is not given.
    pub encoding: Option<Encoding>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            text_column: "text".to_owned(),
            labels_column: "labels".to_owned(),
            label_separator: ",".to_owned(),
            labels: None,
            label_format: LabelFormat::Auto,
            leaning: LabelFormat::Auto,
            skip_bad_rows: false,
            encoding: None,
        }
    }
}

/// More targets than this are not kept in memory: 4 bytes for each label of each row.
pub(crate) const MAX_TARGET_BYTES: u64 = 4 << 30;

/// What reading a row gives: its line, and its text and labels or what is wrong.
type Row = (u64, Result<(String, RawLabels), RowProblem>);

/// Reads a file of the format that its name says.
///
/// # Errors
/// When it cannot be read, has no rows, or has a malformed one that is not to be passed over.
pub fn read_dataset(path: &Path, options: &ReadOptions) -> Result<Dataset, DataError> {
    read_leaning(path, options, options.leaning)
}

/// As [`read_dataset`], with another `leaning` than that of the options.
pub(crate) fn read_leaning(
    path: &Path,
    options: &ReadOptions,
    leaning: LabelFormat,
) -> Result<Dataset, DataError> {
    let format = Format::of(path).ok_or_else(|| DataError::Format(path.to_owned()))?;
    read_from(open_file(path)?, path, format, options, leaning)
}

/// Reads rows of `format`; `path` names their file in errors.
///
/// All rows are read before the labels of any, since the file as a whole says what they are.
pub(crate) fn read_from(
    source: impl Read + Send,
    path: &Path,
    format: Format,
    options: &ReadOptions,
    leaning: LabelFormat,
) -> Result<Dataset, DataError> {
    let mut rows: Vec<LabelRow> = Vec::new();
    let (source, encoding) = decoded_as(source, options.encoding).map_err(DataError::io(path))?;
    let mut keep = |(line, row): Row| -> Result<(), DataError> {
        let row = row.and_then(|(text, labels)| match is_empty_text(&text) {
            true => Err(RowProblem::EmptyText),
            false => Ok((text, labels)),
        });
        let row = row.map_err(|problem| problem.in_encoding(encoding));
        let stops = row.as_ref().err().filter(|_| !options.skip_bad_rows).cloned();
        rows.push(LabelRow { line, row });
        match stops {
            Some(problem) => {
                let row = RowError { path: path.to_owned(), line, problem };
                Err(DataError::Row { row, hint: String::new() })
            }
            None => Ok(()),
        }
    };
    let read = match format {
        Format::Jsonl | Format::Json => {
            jsonl::read(source, path, format, options, &mut keep).map(|()| None)
        }
        table => table::read(source, path, table, options, &mut keep),
    };
    let (stopped, warning) = match read {
        Ok(warning) => (None, warning),
        Err(stopped @ DataError::Row { .. }) => (Some(stopped), None),
        Err(error) => return Err(error.after(rows.len() as u64)),
    };
    let decision = match Decision::of(&rows, path, options, leaning) {
        Ok(decision) => decision,
        Err(error) => match stopped {
            Some(DataError::Row { row, .. }) => {
                let hint = row.problem.hint(rows.len() == 1).to_owned();
                return Err(DataError::Row { row, hint });
            }
            _ => return Err(error),
        },
    };
    let labels = decision.labels.len();
    if 4 * rows.len() as u64 * labels as u64 > MAX_TARGET_BYTES {
        return Err(DataError::TooManyTargets { path: path.to_owned(), rows: rows.len(), labels });
    }
    let mut examples = Vec::with_capacity(rows.len());
    let mut bad_rows = Vec::new();
    let hint = |row: &RowError, is_first: bool| {
        decision.hint(&row.problem, format == Format::Tsv && row.line == 1, is_first)
    };
    for LabelRow { line, row } in rows {
        let row = row.and_then(|(text, labels)| {
            decision.targets(labels).map(|targets| Example { text, targets, line })
        });
        match row {
            Ok(example) => examples.push(example),
            Err(problem) => {
                let row = RowError { path: path.to_owned(), line, problem };
                if !options.skip_bad_rows {
                    let hint = hint(&row, examples.is_empty());
                    return Err(DataError::Row { row, hint });
                }
                bad_rows.push(row);
            }
        }
    }
    if examples.is_empty() {
        return Err(match bad_rows.into_iter().next() {
            Some(row) => DataError::AllBad { hint: hint(&row, true), row },
            None => DataError::Empty(path.to_owned()),
        });
    }
    let Decision { labels, mut reading, .. } = decision;
    reading.warnings.extend(warning);
    Ok(Dataset { path: path.to_owned(), labels, examples, bad_rows, reading })
}
