//! Texts one by one, in constant memory: what predictions are made for.
//!
//! Each row of the file gives one item, also when it is damaged, so that rows of answers can be
//! counted against rows of questions.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::readers::{
    BadBytes, Elements, Encoding, Format, Record, Records, Returns, Table, begins_without_text,
    csv_position, csv_text_column, decoded_as, inner_name, json_bare_text, json_fields,
    json_object, json_place, json_text, lines, listed, open_file,
};
use crate::{DataError, RowError, RowProblem, is_empty_text};

/// The longest line of texts or JSON.
pub(crate) const MAX_LINE: usize = 4 << 20;

/// One row of a file of texts.
#[derive(Clone, Debug)]
pub struct StreamedText {
    /// What it was read from.
    pub file: Arc<str>,
    /// 1 for the first row of data.
    pub row: u64,
    /// The line of the file it starts on, from 1.
    pub line: u64,
    /// The text, or why there is none.
    pub text: Result<String, RowProblem>,
    /// What stands beside it, where columns are kept and can be read.
    pub others: Vec<Field>,
    /// The text's own column, where columns are kept.
    pub text_column: Option<TextColumn>,
}

/// The column or field of the text among those of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextColumn {
    /// How many stand before it.
    pub place: usize,
    /// Its name, as the file spells it.
    pub name: Arc<str>,
}

/// The columns of a file, or the fields of its first row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Those beside the text, in their order.
    pub others: Vec<Arc<str>>,
    /// That of the text.
    pub text: TextColumn,
}

/// What a column or field beside the text holds.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: Arc<str>,
    /// What stands there.
    pub value: FieldValue,
}

/// A cell of a table, or what is written in JSON.
#[derive(Clone, Debug)]
pub enum FieldValue {
    /// A cell.
    Cell(String),
    /// JSON, as it is written.
    Json(Box<RawValue>),
}

impl FieldValue {
    /// Its bytes.
    #[allow(clippy::len_without_is_empty)] // emptiness means one thing in a table, another in JSON
    pub fn len(&self) -> usize {
        match self {
            Self::Cell(cell) => cell.len(),
            Self::Json(json) => json.get().len(),
        }
    }

    /// As a cell: a text without its quotes, null as an empty one, other JSON as it is written.
    pub fn as_cell(&self) -> Cow<'_, str> {
        match self {
            Self::Cell(cell) => cell.into(),
            Self::Json(json) => match json.get() {
                "null" => "".into(),
                json => serde_json::from_str::<String>(json).map_or(json.into(), Cow::Owned),
            },
        }
    }
}

impl Serialize for FieldValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Cell(cell) => cell.serialize(serializer),
            Self::Json(json) => json.serialize(serializer),
        }
    }
}

/// The form of a file of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// One text a line.
    Lines,
    /// Rows, of which a column or field is the text.
    Rows(Format),
}

impl TextFormat {
    /// What a file's name says: CSV, TSV, JSON or JSONL, compressed or not, else one text a line.
    ///
    /// # Errors
    /// When the name is of none of these: read as lines, such a file would give answers to what is no text.
    pub fn of(path: &Path) -> Result<Self, DataError> {
        let inner = inner_name(path);
        let extension = inner.extension().unwrap_or_default();
        let others = [
            "parquet", "arrow", "feather", "orc", "avro", "xlsx", "xls", "ods", "zip", "bz2", "xz",
            "zst", "7z", "tar", "tgz", "pdf", "doc", "docx", "odt", "html", "htm", "pkl", "npy",
            "db", "sqlite",
        ];
        if others.iter().any(|no| extension.eq_ignore_ascii_case(no)) {
            return Err(DataError::Format(path.to_owned()));
        }
        Ok(Format::of(path).map_or(Self::Lines, Self::Rows))
    }
}

/// How texts are read.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamOptions {
    /// The form of the file; `None` for what its name says.
    pub format: Option<TextFormat>,
    /// The column or field of the text.
    pub text_column: String,
    /// Whether TSV must have a header; else one without gives its first column.
    pub needs_header: bool,
    /// Whether rows keep what stands beside the text; tables must have a header then.
    pub keeps_columns: bool,
    /// How a file without a byte order mark is written; UTF-8 where it is not given.
    pub encoding: Option<Encoding>,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            format: None,
            text_column: "text".to_owned(),
            needs_header: false,
            keeps_columns: false,
            encoding: None,
        }
    }
}

/// The rows of a file of texts.
pub struct TextStream {
    path: PathBuf,
    file: Arc<str>,
    text_column: String,
    encoding: Encoding,
    /// Where columns are kept: that of the text, in JSONL of the row read last.
    place: Option<TextColumn>,
    row: u64,
    rows: Rows,
    /// The first row, where it was looked at.
    first: Option<StreamedText>,
}

enum Rows {
    /// One text a line.
    Lines { source: Box<dyn BufRead + Send>, line: u64, buffer: Vec<u8> },
    /// JSON objects, or the texts of an array where `has_texts`.
    Json { elements: Elements<Box<dyn BufRead + Send>>, has_texts: bool, buffer: Vec<u8> },
    /// Records with the text in this column, of as many as the header has, or the first row without a header
    /// (0 before it is read), and the columns to keep.
    Table {
        records: Box<Records<Returns<Box<dyn BufRead + Send>>>>,
        column: usize,
        header: usize,
        kept: Vec<(usize, Arc<str>)>,
    },
}

/// A line's number, its text or why there is none, and what stands beside it.
type NumberedText = (u64, Result<String, RowProblem>, Vec<Field>);

impl TextStream {
    /// The rows of a file: CSV with a header, TSV (without one, the first column), JSON, JSONL, or one text a
    /// line; one whose name ends in `.gz` is compressed.
    ///
    /// # Errors
    /// When it cannot be read, is of no such form, or a header lacks the text's column.
    pub fn open(path: &Path, options: &StreamOptions) -> Result<Self, DataError> {
        let format = options.format.map_or_else(|| TextFormat::of(path), Ok)?;
        Self::new(open_file(path)?, path, format, options)
    }

    /// The rows of a reader, lines unless told otherwise; `name` stands for its path in errors.
    ///
    /// # Errors
    /// When its start cannot be read, or a header lacks the text's column.
    pub fn read_from(
        source: impl Read + Send + 'static,
        name: &str,
        options: &StreamOptions,
    ) -> Result<Self, DataError> {
        let format = options.format.unwrap_or(TextFormat::Lines);
        Self::new(source, Path::new(name), format, options)
    }

    fn new(
        source: impl Read + Send + 'static,
        path: &Path,
        format: TextFormat,
        options: &StreamOptions,
    ) -> Result<Self, DataError> {
        let text_column = &*options.text_column;
        let (source, encoding) =
            decoded_as(source, options.encoding).map_err(DataError::io(path))?;
        let mut place = TextColumn { place: 0, name: text_column.into() };
        let rows = match format {
            TextFormat::Lines => {
                let source = lines(source).map_err(DataError::io(path))?;
                Rows::Lines { source, line: 0, buffer: Vec::new() }
            }
            TextFormat::Rows(format @ (Format::Json | Format::Jsonl)) => {
                let elements = Elements::open(source, format, text_column);
                let elements = elements.map_err(|error| error.at(path))?;
                Rows::Json { elements, has_texts: format == Format::Json, buffer: Vec::new() }
            }
            TextFormat::Rows(format) => {
                let fits = |header: &[String]| csv_text_column(header, text_column, path).is_ok();
                let needs_header = options.needs_header || options.keeps_columns;
                let has_header = |header: &[String]| {
                    let is_named = csv_position(header, text_column).is_some();
                    needs_header || is_named || begins_without_text(header)
                };
                let table = Table::open(source, format, has_header, fits);
                let Table { records, header } = table.map_err(DataError::io(path))?;
                let header = header.as_deref();
                let column = header.map(|header| csv_text_column(header, text_column, path));
                let column = column.transpose().map_err(|error| or_without_header(error, format));
                let column = column?.unwrap_or(0);
                if let Some(name) = header.and_then(|header| header.get(column)) {
                    place = TextColumn { place: column, name: (&**name).into() };
                }
                let kept = match header.filter(|_| options.keeps_columns) {
                    Some(header) => kept_columns(header, column, path)?,
                    None => Vec::new(),
                };
                let header = header.map_or(0, <[String]>::len);
                Rows::Table { records: Box::new(records), column, header, kept }
            }
        };
        Ok(Self {
            path: path.to_owned(),
            file: path.display().to_string().into(),
            text_column: text_column.to_owned(),
            place: options.keeps_columns.then_some(place),
            encoding,
            row: 0,
            rows,
            first: None,
        })
    }

    /// The columns, where they are kept: those of the header; in JSONL, those of the first row. `None` where they
    /// are not kept, and of JSONL without rows.
    ///
    /// # Errors
    /// When the first row of JSONL cannot be read.
    pub fn columns(&mut self) -> Result<Option<Columns>, DataError> {
        if let (Rows::Table { kept, .. }, Some(text)) = (&self.rows, &self.place) {
            let others = kept.iter().map(|(_, name)| Arc::clone(name)).collect();
            return Ok(Some(Columns { others, text: text.clone() }));
        }
        if self.first.is_none() {
            self.first = self.next().transpose()?;
        }
        let Some(StreamedText { line, text, others, text_column, .. }) = &self.first else {
            return Ok(None);
        };
        match text {
            Err(problem) if others.is_empty() && *problem != RowProblem::EmptyText => {
                let hint = problem.hint(true).to_owned();
                let (path, line, problem) = (self.path.clone(), *line, problem.clone());
                Err(DataError::Row { row: RowError { path, line, problem }, hint })
            }
            _ => {
                let others = others.iter().map(|field| Arc::clone(&field.name)).collect();
                Ok(text_column.clone().map(|text| Columns { others, text }))
            }
        }
    }

    fn read(&mut self) -> Result<Option<NumberedText>, DataError> {
        let failed = DataError::io(&self.path);
        match &mut self.rows {
            Rows::Lines { source, line, buffer } => {
                let read = read_line(source, buffer).map_err(&failed)?;
                *line += 1;
                Ok(match read {
                    Line::End => None,
                    Line::TooLong => Some((*line, Err(TOO_LONG), Vec::new())),
                    Line::Whole => Some((*line, utf8(buffer), Vec::new())),
                })
            }
            Rows::Json { elements, has_texts, buffer } => {
                let (line, read) = elements.next(buffer).map_err(&failed)?;
                match read {
                    Line::End => return Ok(None),
                    Line::TooLong => return Ok(Some((line, Err(TOO_LONG), Vec::new()))),
                    Line::Whole => {}
                }
                if let Some(text) = has_texts.then(|| json_bare_text(buffer)).flatten() {
                    return Ok(Some((line, Ok(text), Vec::new())));
                }
                let mut object = match json_object(buffer) {
                    Ok(object) => object,
                    Err(problem) => return Ok(Some((line, Err(problem), Vec::new()))),
                };
                if let Some(place) = &mut self.place {
                    *place = json_place(&object, &self.text_column);
                }
                let text = json_text(&mut object, &self.text_column);
                let others = self.place.as_ref().map(|_| json_fields(buffer, &object));
                Ok(Some((line, text, others.unwrap_or_default())))
            }
            Rows::Table { records, column, header, kept } => {
                let Some((line, record)) = records.next().map_err(&failed)? else {
                    return Ok(None);
                };
                let record = match record {
                    Ok(record) => record,
                    Err(problem) => return Ok(Some((line, Err(problem), Vec::new()))),
                };
                if *header == 0 {
                    *header = record.len();
                }
                let cells = RowProblem::Cells { found: record.len(), header: *header };
                let cell = record.within(*header).map(|record| record.get(*column));
                let text = cell.and_then(|cell| utf8(cell.ok_or(cells)?));
                Ok(Some(match others(record, kept) {
                    Ok(others) => (line, text, others),
                    Err(problem) => (line, text.and(Err(problem)), Vec::new()),
                }))
            }
        }
    }
}

impl Iterator for TextStream {
    type Item = Result<StreamedText, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        match self.read() {
            Ok(None) => None,
            Ok(Some((line, text, others))) => {
                self.row += 1;
                let text = text.and_then(|text| match is_empty_text(&text) {
                    true => Err(RowProblem::EmptyText),
                    false => Ok(text),
                });
                let text = text.map_err(|problem| problem.in_encoding(self.encoding));
                let (file, row) = (Arc::clone(&self.file), self.row);
                let text_column = self.place.clone();
                Some(Ok(StreamedText { file, row, line, text, others, text_column }))
            }
            Err(error) => Some(Err(error.after(self.row))),
        }
    }
}

/// The columns beside the text, which have names of their own.
fn kept_columns(
    header: &[String],
    text_column: usize,
    path: &Path,
) -> Result<Vec<(usize, Arc<str>)>, DataError> {
    let mut seen = HashSet::new();
    if !header.iter().all(|name| seen.insert(name)) {
        return Err(DataError::Header {
            path: path.to_owned(),
            found: listed(header),
            expected: "each name once, so that columns can be kept".to_owned(),
            hint: "give the columns names that differ".to_owned(),
        });
    }
    let named = header.iter().map(|name| Arc::from(&**name)).enumerate();
    Ok(named.filter(|(column, _)| *column != text_column).collect())
}

/// A header's error, which in TSV may come of there being none.
fn or_without_header(mut error: DataError, format: Format) -> DataError {
    if let DataError::Header { hint, .. } = &mut error
        && format == Format::Tsv
    {
        hint.push_str(", or begin the file with a line that names its columns");
    }
    error
}

/// The cells of some columns; those that a short record lacks are empty.
fn others(record: Record<'_>, kept: &[(usize, Arc<str>)]) -> Result<Vec<Field>, RowProblem> {
    let field = |(column, name): &(usize, Arc<str>)| {
        let cell = record.get(*column).unwrap_or_default();
        let cell = BadBytes::check(cell, "columns beside the text")?;
        Ok(Field { name: Arc::clone(name), value: FieldValue::Cell(cell.to_owned()) })
    };
    kept.iter().map(field).collect()
}

const TOO_LONG: RowProblem = RowProblem::TooLong { limit: MAX_LINE };

fn utf8(bytes: &[u8]) -> Result<String, RowProblem> {
    BadBytes::check(bytes, "text").map(str::to_owned)
}

/// What [`read_line`] found.
pub(crate) enum Line {
    /// Nothing more.
    End,
    /// A line, in the buffer without its end.
    Whole,
    /// A line of more than [`MAX_LINE`] bytes, passed over.
    TooLong,
}

/// Reads a line of bounded length into `buffer`, without its `\n` or `\r\n`.
pub(crate) fn read_line(source: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<Line> {
    buffer.clear();
    let limit = MAX_LINE as u64 + 1;
    if source.by_ref().take(limit).read_until(b'\n', buffer)? == 0 {
        return Ok(Line::End);
    }
    if buffer.ends_with(b"\n") {
        buffer.pop();
        if buffer.ends_with(b"\r") {
            buffer.pop();
        }
        return Ok(Line::Whole);
    }
    if buffer.len() <= MAX_LINE {
        return Ok(Line::Whole); // the last line has no end
    }
    loop {
        let chunk = source.fill_buf()?;
        if chunk.is_empty() {
            return Ok(Line::TooLong);
        }
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let used = end.map_or(chunk.len(), |end| end + 1);
        source.consume(used);
        if end.is_some() {
            return Ok(Line::TooLong);
        }
    }
}
