//! Texts one by one, in constant memory: what predictions are made for.
//!
//! Each row of the file gives one item, also when it is damaged, so that rows of answers can be
//! counted against rows of questions.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use crate::readers::{
    Format, Records, Table, csv_text_column, decoded, inner_name, json_object, json_text, open_file,
};
use crate::{DataError, RowProblem};

/// The longest line of texts or JSON.
pub(crate) const MAX_LINE: usize = 4 << 20;

/// One row of a file of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamedText {
    /// 1 for the first row of data.
    pub row: u64,
    /// The line of the file it starts on, from 1.
    pub line: u64,
    /// The text, or why there is none.
    pub text: Result<String, RowProblem>,
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
    /// What a file's name says: CSV, TSV or JSONL, compressed or not, else one text a line.
    ///
    /// # Errors
    /// When the name is of none of these: read as lines, such a file would give answers to what is no text.
    pub fn of(path: &Path) -> Result<Self, DataError> {
        let inner = inner_name(path);
        let extension = inner.extension().unwrap_or_default();
        let others = ["json", "parquet", "arrow", "xlsx", "xls"];
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
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { format: None, text_column: "text".to_owned(), needs_header: false }
    }
}

/// The rows of a file of texts.
pub struct TextStream {
    path: PathBuf,
    text_column: String,
    row: u64,
    rows: Rows,
}

enum Rows {
    /// One text a line.
    Lines { source: Box<dyn BufRead + Send>, line: u64, buffer: Vec<u8> },
    /// One JSON object a line.
    Json { source: Box<dyn BufRead + Send>, line: u64, buffer: Vec<u8> },
    /// Records with the text in this column, of as many as the header has.
    Table { records: Box<Records<Started>>, column: usize, header: usize },
}

/// A file of which the first line was looked at.
type Started = io::Chain<io::Cursor<Vec<u8>>, Box<dyn BufRead + Send>>;

/// A line's number and its text, or why there is none.
type NumberedText = (u64, Result<String, RowProblem>);

impl TextStream {
    /// The rows of a file: CSV with a header, TSV (without one, the first column), JSONL, or one text a line;
    /// one whose name ends in `.gz` is compressed.
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
        let source = decoded(source).map_err(DataError::io(path))?;
        let rows = match format {
            TextFormat::Lines => Rows::Lines { source, line: 0, buffer: Vec::new() },
            TextFormat::Rows(Format::Jsonl) => Rows::Json { source, line: 0, buffer: Vec::new() },
            TextFormat::Rows(format) => {
                let fits = |header: &[String]| csv_text_column(header, text_column, path).is_ok();
                let has_header = |header: &[String]| options.needs_header || fits(header);
                let table = Table::open(source, format, has_header, fits);
                let Table { records, header } = table.map_err(DataError::io(path))?;
                let header = header.as_deref();
                let column = header.map(|header| csv_text_column(header, text_column, path));
                Rows::Table {
                    records: Box::new(records),
                    column: column.transpose()?.unwrap_or(0),
                    header: header.map_or(0, <[String]>::len),
                }
            }
        };
        Ok(Self { path: path.to_owned(), text_column: text_column.to_owned(), row: 0, rows })
    }

    fn read(&mut self) -> Result<Option<NumberedText>, DataError> {
        let failed = DataError::io(&self.path);
        match &mut self.rows {
            Rows::Lines { source, line, buffer } => {
                let read = read_line(source, buffer).map_err(&failed)?;
                *line += 1;
                Ok(match read {
                    Line::End => None,
                    Line::TooLong => Some((*line, Err(RowProblem::TooLong { limit: MAX_LINE }))),
                    Line::Whole => Some((*line, utf8(buffer))),
                })
            }
            Rows::Json { source, line, buffer } => loop {
                let read = read_line(source, buffer).map_err(&failed)?;
                *line += 1;
                match read {
                    Line::End => return Ok(None),
                    Line::TooLong => {
                        return Ok(Some((*line, Err(RowProblem::TooLong { limit: MAX_LINE }))));
                    }
                    // A blank line is no row of JSONL.
                    Line::Whole if buffer.iter().all(u8::is_ascii_whitespace) => {}
                    Line::Whole => {
                        let text = json_object(buffer)
                            .and_then(|mut object| json_text(&mut object, &self.text_column));
                        return Ok(Some((*line, text)));
                    }
                }
            },
            Rows::Table { records, column, header } => {
                let Some((line, record)) = records.next().map_err(&failed)? else {
                    return Ok(None);
                };
                let text = record.and_then(|record| match record.get(*column) {
                    Some(cell) => utf8(cell),
                    None => Err(RowProblem::Cells { found: record.len(), header: *header }),
                });
                Ok(Some((line, text)))
            }
        }
    }
}

impl Iterator for TextStream {
    type Item = Result<StreamedText, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read() {
            Ok(None) => None,
            Ok(Some((line, text))) => {
                self.row += 1;
                Some(Ok(StreamedText { row: self.row, line, text }))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<String, RowProblem> {
    let text = std::str::from_utf8(bytes).map(str::to_owned);
    text.map_err(|_| RowProblem::Utf8 { field: "text" })
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
