//! Rows between commas or tabs, quoted as RFC 4180 says.

use std::io::{self, BufRead, Chain, Read};
use std::path::Path;

use ::csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use tinymood_core::LabelSet;

use super::{ReadOptions, Row, soft_target};
use crate::labels::Known;
use crate::{DataError, RowProblem};

type Keep<'a> = &'a mut dyn FnMut(Row) -> Result<(), DataError>;

/// Records with the lines they start on.
///
/// The csv crate says where it stood before a record, which is earlier where blank lines or the
/// second half of a `\r\n` lie between. So lines are counted back from a record's end, which is
/// always a `\n`: one is added at the end of the file, and `\r` is taken off the last cell here.
///
/// A quote that nobody closes makes one cell of all that follows, rows and all. Such cells are refused
/// where they can be told: those that swallow the [`END`] added to the file, and those of tab-separated
/// files in which there are both tabs and ends of lines.
pub(crate) struct Records<R: Read> {
    reader: Reader<Chain<R, &'static [u8]>>,
    delimiter: u8,
    record: ByteRecord,
}

/// A record of its own behind the last one.
const END: &[u8] = b"\0end\0";
/// What is added to a file.
const ENDING: &[u8] = b"\n\0end\0\n";

impl<R: BufRead> Records<R> {
    pub(crate) fn new(source: R, delimiter: u8) -> Self {
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .has_headers(false)
            .flexible(true)
            .from_reader(source.chain(ENDING));
        Self { reader, delimiter, record: ByteRecord::new() }
    }

    /// The first line of the next record and its cells, unless a quote of it went too far; `None` after
    /// the last.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Result<Record<'_>, RowProblem>)>> {
        while self.reader.read_byte_record(&mut self.record)? {
            let only = (self.record.len() == 1).then(|| &self.record[0]);
            if only == Some(b"\r") {
                continue; // a blank line
            }
            if only == Some(END) {
                return Ok(None);
            }
            let cells = self.record.iter().flatten();
            let inside = cells.filter(|&&byte| byte == b'\n').count() as u64;
            let end = self.reader.position().line();
            if self.record.iter().next_back().is_some_and(|cell| cell.ends_with(ENDING)) {
                return Ok(Some((end - inside, Err(RowProblem::OpenQuote))));
            }
            let line = end.saturating_sub(1 + inside);
            let spans = |cell: &[u8]| cell.contains(&b'\n') && cell.contains(&b'\t');
            if self.delimiter == b'\t' && self.record.iter().any(spans) {
                return Ok(Some((line, Err(RowProblem::LongQuote { last: line + inside }))));
            }
            return Ok(Some((line, Ok(Record(&self.record)))));
        }
        Ok(None)
    }

    /// The next record as column names.
    pub(crate) fn header(&mut self) -> io::Result<Vec<String>> {
        let Some((_, Ok(record))) = self.next()? else { return Ok(Vec::new()) };
        let cells = (0..record.len()).filter_map(|column| record.get(column));
        Ok(cells.map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect())
    }
}

/// The cells of a record.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a>(&'a ByteRecord);

impl<'a> Record<'a> {
    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(self, column: usize) -> Option<&'a [u8]> {
        let cell = self.0.get(column)?;
        let last = column + 1 == self.0.len();
        Some(cell.strip_suffix(b"\r").filter(|_| last).unwrap_or(cell))
    }
}

fn utf8<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, RowProblem> {
    std::str::from_utf8(bytes).map_err(|_| RowProblem::Utf8 { field })
}

/// GoEmotions' own format: text, labels, and whatever follows.
pub(super) fn read_tsv(
    source: impl BufRead,
    path: &Path,
    known: Known<'_>,
    keep: Keep<'_>,
) -> Result<(), DataError> {
    let mut records = Records::new(source, b'\t');
    while let Some((line, record)) = records.next().map_err(DataError::io(path))? {
        let row = || {
            let record = record?;
            let (Some(text), Some(cell)) = (record.get(0), record.get(1)) else {
                let expected = "text, labels and perhaps an id between tabs";
                return Err(RowProblem::Columns { found: record.len(), expected });
            };
            let (text, cell) = (utf8(text, "text")?, utf8(cell, "labels")?);
            let targets = known.beside(record.get(2)).targets_of_cell(cell)?;
            Ok((text.to_owned(), targets))
        };
        keep((line, row()))?;
    }
    Ok(())
}

/// Where the targets of a row stand.
enum TargetColumns {
    /// In one column of labels between separators.
    List(usize),
    /// In one column of numbers a label; (C).
    Soft(Vec<usize>),
}

/// A file with a header.
pub(super) fn read_csv(
    source: impl BufRead,
    path: &Path,
    options: &ReadOptions,
    known: Known<'_>,
    keep: Keep<'_>,
) -> Result<(), DataError> {
    let mut records = Records::new(source, b',');
    let header = records.header().map_err(DataError::io(path))?;
    let text_column = column(&header, &options.text_column, path)?;
    let targets = target_columns(&header, options, known.labels, path)?;
    while let Some((line, record)) = records.next().map_err(DataError::io(path))? {
        let row = || {
            let record = record?;
            let cell = |column: usize| {
                let expected = "as many as the header has";
                let found = record.len();
                record.get(column).ok_or(RowProblem::Columns { found, expected })
            };
            let text = utf8(cell(text_column)?, "text")?;
            let targets = match &targets {
                TargetColumns::List(column) => {
                    known.targets_of_cell(utf8(cell(*column)?, "labels")?)?
                }
                TargetColumns::Soft(columns) => {
                    let soft = columns.iter().zip(known.labels.names()).map(|(&column, label)| {
                        soft_target(utf8(cell(column)?, "targets")?, label)
                    });
                    soft.collect::<Result<_, _>>()?
                }
            };
            Ok((text.to_owned(), targets))
        };
        keep((line, row()))?;
    }
    Ok(())
}

/// The index of a column by name; case counts only where two names differ by it alone.
pub(crate) fn column(header: &[String], name: &str, path: &Path) -> Result<usize, DataError> {
    let exact = header.iter().position(|column| column == name);
    let loose = || header.iter().position(|column| column.eq_ignore_ascii_case(name));
    exact.or_else(loose).ok_or_else(|| DataError::Header {
        path: path.to_owned(),
        found: listed(header),
        expected: format!("a column {name:?}"),
    })
}

fn target_columns(
    header: &[String],
    options: &ReadOptions,
    labels: &LabelSet,
    path: &Path,
) -> Result<TargetColumns, DataError> {
    if let Ok(list) = column(header, &options.labels_column, path) {
        return Ok(TargetColumns::List(list));
    }
    let soft: Vec<Option<usize>> =
        labels.names().iter().map(|label| column(header, label, path).ok()).collect();
    let missing = labels.names().iter().zip(&soft).find(|(_, column)| column.is_none());
    match missing {
        None => Ok(TargetColumns::Soft(soft.into_iter().flatten().collect())),
        Some((label, _)) => Err(DataError::Header {
            path: path.to_owned(),
            found: listed(header),
            expected: format!(
                "a column {:?}, or one of each label (there is none of {label:?})",
                options.labels_column
            ),
        }),
    }
}

/// Column names between commas, at most twelve.
fn listed(header: &[String]) -> String {
    let shown: Vec<String> = header.iter().take(12).map(|column| format!("{column:?}")).collect();
    let more = if header.len() > 12 { ", ..." } else { "" };
    shown.join(", ") + more
}
