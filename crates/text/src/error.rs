//! What is wrong with data.

use std::io;
use std::path::PathBuf;

use tinymood_core::{LabelError, TaxonomyError};
use tinymood_hub::HubError;

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RowProblem {
    /// Bytes that are no UTF-8.
    #[error("bytes that are not UTF-8 in the {field}, expected UTF-8 text")]
    Utf8 {
        /// Which part.
        field: &'static str,
    },
    /// Fewer columns than needed.
    #[error("{found} columns, expected {expected}")]
    Columns {
        /// How many there are.
        found: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// A quote that is open when the file ends.
    #[error("a quote that is never closed, expected a second one")]
    OpenQuote,
    /// A quoted cell with whole rows in it.
    #[error(
        "a quote that is closed on line {last}, with tabs and lines in between, expected one text"
    )]
    LongQuote {
        /// The line that closes it.
        last: u64,
    },
    /// A text without characters.
    #[error("an empty text, expected some words")]
    EmptyText,
    /// A label that is none.
    #[error("{0}")]
    Label(#[from] LabelError),
    /// A soft target that is no probability.
    #[error("{found:?} for the label {label:?}, expected a number from 0 to 1")]
    Target {
        /// The label.
        label: String,
        /// What stands there.
        found: String,
    },
    /// A line that is not the JSON expected.
    #[error("{found}, expected {expected}")]
    Json {
        /// What stands there.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A line or record longer than any text.
    #[error("more than {limit} bytes in one row, expected a text")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

/// A malformed row.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}:{line}: found {problem}", path.display())]
pub struct RowError {
    /// The file.
    pub path: PathBuf,
    /// The line its row starts on, from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: RowProblem,
}

/// Why data cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read.
    #[error("cannot read {path:?}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A malformed row.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A header without what is needed.
    #[error("{path:?} has the columns {found}, expected {expected}")]
    Header {
        /// The file.
        path: PathBuf,
        /// Its columns.
        found: String,
        /// What is needed.
        expected: String,
    },
    /// A file without rows.
    #[error("{0:?} has no rows")]
    Empty(PathBuf),
    /// A file whose name does not say what it is.
    #[error("{0:?} is neither .tsv, .csv nor .jsonl")]
    Format(PathBuf),
    /// Neither a name nor a path.
    #[error("{0:?} is neither \"sample\", \"goemotions\", a file nor a folder")]
    Unknown(String),
    /// Malformed rows were to be passed over, and there are no others.
    #[error("no row can be read, the first for this reason")]
    AllBad(#[source] RowError),
    /// A folder without any split.
    #[error("{0:?} holds no file named train, dev, validation, valid or test (.tsv, .csv, .jsonl)")]
    NoSplits(PathBuf),
    /// Two files of the same split.
    #[error("{first:?} and {second:?} are the same split")]
    TwoFiles {
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A file of labels that are none.
    #[error("{path:?} is no list of label names")]
    Labels {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: LabelError,
    },
    /// The dataset's labels are not the taxonomy's.
    #[error(transparent)]
    Taxonomy(#[from] TaxonomyError),
    /// The dataset cannot be fetched.
    #[error("cannot get the GoEmotions dataset")]
    Fetch(#[source] HubError),
}

impl DataError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let row = |error: &RowError| match &error.problem {
            RowProblem::Label(_) => {
                "it is none of the labels that are known: GoEmotions', unless --labels FILE or a \
                 labels.txt beside the splits names others, one a line"
            }
            RowProblem::OpenQuote | RowProblem::LongQuote { .. } => {
                "a text that begins with a quote stands in quotes as a whole, with inner ones doubled: \
                 \"\"\"Best. Day. Ever.\"\" she said\""
            }
            RowProblem::Columns { .. } => {
                "a .tsv file has text, labels and perhaps an id between tabs, and no header; a text \
                 that begins with a quote stands in quotes, with inner ones doubled"
            }
            _ => "mend the row, or pass over such rows with --skip-bad-rows",
        };
        match self {
            Self::Row(error) | Self::AllBad(error) => Some(row(error).to_owned()),
            Self::Header { .. } => Some(
                "name the column that has it: --text-column, or for labels --labels-column"
                    .to_owned(),
            ),
            Self::Unknown(_) => Some("check the path".to_owned()),
            Self::Format(_) => Some("rename it, or convert it".to_owned()),
            Self::Fetch(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }
}
