//! What is wrong with data.

use std::io;
use std::path::{Path, PathBuf};

use tinymood_core::{LabelError, TaxonomyError};
use tinymood_hub::HubError;

use crate::labels::is_missing;
use crate::readers::{BadBytes, Encoding, NotText};

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RowProblem {
    /// Bytes that are no characters of the file's encoding.
    #[error("{0}")]
    Utf8(BadBytes),
    /// Too few columns in a file without a header.
    #[error("{found} columns, expected text, labels and perhaps an id between tabs")]
    Columns {
        /// How many there are.
        found: usize,
    },
    /// Fewer columns than the header names, or more.
    #[error("{found} columns, expected {header} as in the header")]
    Cells {
        /// How many there are.
        found: usize,
        /// How many the header names.
        header: usize,
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
    /// A number where no list says what numbers stand for.
    #[error("the number {found:?} as a label, expected a name")]
    Number {
        /// What stands there.
        found: String,
    },
    /// A missing value in the place of labels.
    #[error("the missing value {found:?}, expected labels, or an empty cell where a text has none")]
    Missing {
        /// What stands there.
        found: String,
    },
    /// A label that is none.
    #[error("{0}")]
    Label(#[from] LabelError),
    /// A label that stands in a row twice.
    #[error("the label {label:?} twice in {found}, expected it once")]
    Twice {
        /// The label.
        label: String,
        /// What stands there.
        found: String,
    },
    /// A multi-hot vector of the wrong length, or none.
    #[error(
        "{}, expected a vector of {expected} numbers, one for each label, or each label's id once",
        if found.is_empty() { "no labels" } else { found }
    )]
    Vector {
        /// What stands there.
        found: String,
        /// How many labels there are.
        expected: usize,
    },
    /// A soft target that is no probability.
    #[error("{found:?} for the label {label:?}, expected a number from 0 to 1, true or false")]
    Target {
        /// The label.
        label: String,
        /// What stands there.
        found: String,
    },
    /// An object without labels, where nothing says which of its fields are labels'.
    #[error("no field {field:?}, expected a list of labels there")]
    NoLabels {
        /// The field that was looked for.
        field: String,
        /// Those that have numbers from 0 to 1, or truth values.
        fields: Vec<String>,
    },
    /// Something else than labels in their place: a dictionary of lists, say.
    #[error(
        "{found:?} as labels, expected names or ids, a list of them, or a number for each label"
    )]
    Structure {
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
    /// A text that the model's tokenizer has no tokens for.
    #[error("a text that the model cannot take ({problem}), expected one that fits its tokenizer")]
    Tokens {
        /// Why.
        problem: String,
    },
    /// A line or record longer than any text.
    #[error("more than {limit} bytes in one row, expected a text")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

impl RowProblem {
    /// The same problem of a file in `encoding`, whose bytes were decoded.
    pub(crate) fn in_encoding(self, encoding: Encoding) -> Self {
        match self {
            Self::Utf8(bad) => Self::Utf8(bad.of(encoding)),
            other => other,
        }
    }

    /// What to do about a row of texts to predict, if reading the file in another way may help.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Utf8(bad) if !bad.is_surrogate() => Some(self.hint(true)),
            Self::Cells { found, header } if found > header => Some(self.hint(true)),
            Self::OpenQuote | Self::LongQuote { .. } => Some(self.hint(true)),
            _ => None,
        }
    }

    /// What to do about it. Where no row before it could be read, `is_first`, none of the file may be as
    /// expected, and to pass over such rows is no help.
    pub(crate) fn hint(&self, is_first: bool) -> &'static str {
        match self {
            Self::Number { .. } => {
                "if numbers are ids, list the labels in their order, one a line, id 0 first: --labels FILE, or a \
                 labels.txt in the data's folder; if they are GoEmotions' ids, --labels goemotions; if they are \
                 the names of labels, --label-format names"
            }
            Self::Missing { .. } => {
                "leave the cell empty if the text has no label; if this is a label, list all labels, one a \
                 line: --labels FILE, or a labels.txt in the data's folder"
            }
            Self::Structure { .. } => {
                "write joy,anger, ['joy', 'anger'] or {'joy': 0.5, 'anger': 1}; if this is the name of a label, list \
                 all labels, one a line: --labels FILE, or a labels.txt in the data's folder"
            }
            Self::Target { found, .. } if found.is_empty() || is_missing(found) => {
                "write 0 if the text does not have the label; remove rows that nobody has labelled, or pass \
                 over them with --skip-bad-rows"
            }
            Self::OpenQuote | Self::LongQuote { .. } => {
                "a text that begins with a quote stands in quotes as a whole, with inner ones doubled: \
                 \"\"\"Best. Day. Ever.\"\" she said\""
            }
            Self::Columns { .. } => {
                "a .tsv file has text, labels and perhaps an id between tabs, unless its first line names \
                 the column of the texts (--text-column); a text that begins with a quote stands in \
                 quotes, with inner ones doubled"
            }
            Self::Json { .. } if is_first => {
                "each line is an object: {\"text\": \"so glad\", \"labels\": [\"joy\"]}; where its fields \
                 have other names, name them: --text-column, --labels-column"
            }
            Self::Target { .. } if is_first => {
                "a label's own column holds numbers from 0 to 1, or true and false"
            }
            Self::Utf8(bad) => match (bad.is_surrogate(), bad.suggested, is_first) {
                (true, _, true) => "mend the row: an emoji was cut in two",
                (true, _, false) => {
                    "mend the row: an emoji was cut in two; or pass over such rows with --skip-bad-rows"
                }
                (_, Some(_), _) => {
                    "read the file with --encoding cp1252 (Western European; Latin-1 is part of it), or save it as \
                     UTF-8"
                }
                (_, None, true) if bad.encoding == Encoding::Utf8 => {
                    "save the file as UTF-8, or name its encoding: --encoding"
                }
                (_, None, true) => "name the file's encoding (--encoding), or save it as UTF-8",
                (_, None, false) => {
                    "save the file as UTF-8, or pass over such rows with --skip-bad-rows"
                }
            },
            Self::Cells { found, header: 1 } if *found > 1 => {
                "quote the text where it has commas, or what else stands between columns: \"so, glad\"; if each line is one text, without a header, \
                 name the file .txt, or read it with predict --input-format lines"
            }
            Self::Cells { found, header } if found > header => match is_first {
                true => {
                    "quote the text where it has commas, or what else stands between columns: \"so, glad\"; or give each column a name"
                }
                false => {
                    "quote the text where it has commas, or what else stands between columns: \"so, glad\"; or pass over such rows with \
                     --skip-bad-rows"
                }
            },
            _ if is_first => "mend the row",
            _ => "mend the row, or pass over such rows with --skip-bad-rows",
        }
    }
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
    /// A file that cannot be read to its end.
    #[error("cannot read {path:?} to its end; rows before the damage: {rows}")]
    Ends {
        /// The file.
        path: PathBuf,
        /// How many rows could be read.
        rows: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// JSON that is no list of rows.
    #[error("{path:?} is {found}, expected an array of objects, or one object a line")]
    Document {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What to do about it.
        hint: String,
    },
    /// A malformed row.
    #[error("{row}")]
    Row {
        /// The row.
        row: RowError,
        /// What to do about it.
        hint: String,
    },
    /// A header without what is needed.
    #[error("{path:?} has the columns {found}, expected {expected}")]
    Header {
        /// The file.
        path: PathBuf,
        /// Its columns.
        found: String,
        /// What is needed.
        expected: String,
        /// What to do about it.
        hint: String,
    },
    /// A file in which not even a header stands.
    #[error("{path:?} is empty, expected a header with a column {text_column:?}")]
    NoHeader {
        /// The file.
        path: PathBuf,
        /// The column of the texts.
        text_column: String,
    },
    /// Labels of a form that cannot be told, or that is none.
    #[error("{path:?} has {found}")]
    LabelForm {
        /// The file.
        path: PathBuf,
        /// What stands in its rows.
        found: String,
        /// What to do about it.
        hint: String,
    },
    /// More rows and labels than targets are kept in memory for.
    #[error(
        "{path:?} has {rows} rows, and there are {labels} labels: their targets take {} GiB of memory, at most {} \
         are read",
        gib(4 * *rows as u64 * *labels as u64),
        gib(crate::readers::MAX_TARGET_BYTES)
    )]
    TooManyTargets {
        /// The file.
        path: PathBuf,
        /// Its rows.
        rows: usize,
        /// Its labels.
        labels: usize,
    },
    /// A file in which no row has a label.
    #[error("no row of {0:?} has a label")]
    NoLabels(PathBuf),
    /// A file without rows.
    #[error("{0:?} has no rows")]
    Empty(PathBuf),
    /// A file whose name does not say what it is.
    #[error("{0:?} is neither .tsv, .csv, .json nor .jsonl")]
    Format(PathBuf),
    /// Neither a name nor a path.
    #[error("{0:?} is neither \"sample\", \"goemotions\", a file nor a folder")]
    Unknown(String),
    /// Malformed rows were to be passed over, and there are no others.
    #[error("no row can be read, the first for this reason")]
    AllBad {
        /// The first of them.
        #[source]
        row: RowError,
        /// What to do about it.
        hint: String,
    },
    /// A folder without any split.
    #[error(
        "{0:?} holds no file named train, dev, validation, valid, val, eval or test (.tsv, .csv, .json, .jsonl)"
    )]
    NoSplits(PathBuf),
    /// Rows of train were to be held out as dev, and there is a dev split.
    #[error("{0:?} has a dev split of its own, and none is to be held out")]
    HasDev(String),
    /// Rows were to be held out of a file in which all texts are one.
    #[error("{0:?} has no two different texts, of which one could be held out")]
    NothingToHoldOut(PathBuf),
    /// Two files of the same split.
    #[error("{first:?} and {second:?} are the same split")]
    TwoFiles {
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A line of a file of labels that is hardly a label's name.
    #[error("{}:{line}: found {found:?}, expected the name of a label", path.display())]
    LabelLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What stands there.
        found: String,
        /// What to do about it.
        hint: String,
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

/// Bytes as GiB, rounded up to a tenth.
fn gib(bytes: u64) -> f64 {
    (bytes as f64 / f64::from(1 << 30) * 10.0).ceil() / 10.0
}

impl DataError {
    /// That the file at `path` cannot be read.
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }

    /// The same error where `rows` were read before.
    pub(crate) fn after(self, rows: u64) -> Self {
        match self {
            Self::Io { path, source } if rows > 0 => Self::Ends { path, rows, source },
            error => error,
        }
    }

    /// The same error where `flag` and not --text-column names the column of the texts.
    pub fn naming(mut self, flag: &str) -> Self {
        if let Self::Header { hint, .. } | Self::Row { hint, .. } | Self::Document { hint, .. } =
            &mut self
        {
            *hint = hint.replace("--text-column", flag);
        }
        self
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Header { hint, .. }
            | Self::Row { hint, .. }
            | Self::AllBad { hint, .. }
            | Self::LabelForm { hint, .. }
            | Self::LabelLine { hint, .. }
            | Self::Document { hint, .. } => Some(hint.clone()),
            Self::NoLabels(_) => Some(
                "name the column or field that has the labels: --labels-column NAME; texts without \
                 labels are for train --unlabelled and predict"
                    .to_owned(),
            ),
            Self::Io { source, .. } => {
                let kind = source.get_ref().and_then(|error| error.downcast_ref::<NotText>());
                kind.map(|kind| kind.hint().to_owned())
            }
            Self::Ends { .. } => {
                Some("get the file again, or mend it: it is damaged, or was cut off".to_owned())
            }
            Self::NoHeader { .. } => Some(
                "see that what wrote it has ended well; its first line names columns".to_owned(),
            ),
            Self::TooManyTargets { .. } => Some(
                "leave out labels that few rows have, or rows: train on a part of the file".to_owned(),
            ),
            Self::Labels { source: LabelError::TooMany { .. }, .. } => Some(
                "leave out labels that few rows have, or see whether they are labels at all".to_owned(),
            ),
            Self::Unknown(_) => Some("check the path".to_owned()),
            Self::HasDev(_) => Some("leave out --dev-share".to_owned()),
            Self::NoSplits(_) => {
                Some("name a file itself, or rename the one to train on: train.csv, say".to_owned())
            }
            Self::TwoFiles { .. } => Some("rename the one that is not to be read".to_owned()),
            Self::Format(_) => Some(
                "save it as one of these, as pandas does with to_csv(\"train.csv\", index=False); if it is one, give it \
                 that ending"
                    .to_owned(),
            ),
            Self::Fetch(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }
}
