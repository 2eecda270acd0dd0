//! Records between commas, semicolons or tabs, quoted as RFC 4180 says.

use std::fmt::Debug;
use std::io::{self, BufRead, Chain, Cursor, Read};
use std::path::Path;

use ::csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::Format;
use crate::stream::MAX_LINE;
use crate::{DataError, RowProblem};

/// Records with the lines they start on.
///
/// The csv crate says where it stood before a record, which is earlier where blank lines or the
/// second half of a `\r\n` lie between. So lines are counted back from a record's end, which is
/// always a `\n`: one is added at the end of the file, and `\r` is taken off the last cell here.
///
/// A quote that nobody closes makes one cell of all that follows, rows and all. Such cells are refused
/// where they can be told: those that swallow the [`END`] added to the file, and those of tab-separated
/// files in which there are both tabs and ends of lines. A record longer than [`MAX_RECORD`] ends the file.
pub(crate) struct Records<R: Read> {
    reader: Reader<Bounded<Chain<R, &'static [u8]>>>,
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
            .from_reader(Bounded { source: source.chain(ENDING), read: 0 });
        Self { reader, delimiter, record: ByteRecord::new() }
    }

    /// The first line of the next record and its cells, unless a quote of it went too far; `None` after
    /// the last.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Result<Record<'_>, RowProblem>)>> {
        loop {
            self.reader.get_mut().read = 0;
            let line = self.reader.position().line();
            let read = self.reader.read_byte_record(&mut self.record);
            if !read.map_err(|error| io::Error::other(format!("line {line}: {error}")))? {
                return Ok(None);
            }
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
    }

    /// The next record as column names; none after the last.
    pub(crate) fn header(&mut self) -> io::Result<Vec<String>> {
        let Some((line, record)) = self.next()? else { return Ok(Vec::new()) };
        let problem = |problem| io::Error::other(format!("line {line}: found {problem}"));
        let record = record.map_err(problem)?;
        let cells = (0..record.len()).filter_map(|column| record.get(column));
        Ok(cells.map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect())
    }
}

/// The most bytes of a record, about: the reader reads ahead.
const MAX_RECORD: usize = 4 * MAX_LINE;

/// A source that fails when too much of it is read for one record.
struct Bounded<R> {
    source: R,
    /// Since the record began.
    read: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read > MAX_RECORD {
            let problem = format!(
                "a row of more than {MAX_RECORD} bytes: a quote that is never closed, or no table"
            );
            return Err(io::Error::other(problem));
        }
        let count = self.source.read(out)?;
        self.read += count;
        Ok(count)
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

/// A file of records, and the names of its columns where it has any.
pub(crate) struct Table<R: Read> {
    pub(crate) records: Records<Chain<Cursor<Vec<u8>>, R>>,
    /// `None` in files as GoEmotions has them.
    pub(crate) header: Option<Vec<String>>,
}

impl<R: BufRead> Table<R> {
    /// Opens what is CSV or TSV by its name. CSV stands between commas, unless its header `fits` only when
    /// it is cut at semicolons, as spreadsheets write it in much of Europe, or at tabs. TSV has a header where
    /// the cells of its first line are one, as `is_header` says.
    pub(crate) fn open(
        mut source: R,
        format: Format,
        is_header: impl Fn(&[String]) -> bool,
        fits: impl Fn(&[String]) -> bool,
    ) -> io::Result<Self> {
        let start = first_line(&mut source)?;
        let (delimiter, has_header) = match format {
            Format::Tsv => (b'\t', is_header(&header_of(&start, b'\t'))),
            _ => (delimiter(&start, fits), true),
        };
        let mut records = Records::new(Cursor::new(start).chain(source), delimiter);
        let header = has_header.then(|| records.header()).transpose()?;
        Ok(Self { records, header })
    }
}

/// What a file begins with, up to the end of the first line that is not blank.
fn first_line(source: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    while start.len() < MAX_LINE && start.iter().all(u8::is_ascii_whitespace) {
        if source.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut start)? == 0 {
            break;
        }
    }
    Ok(start)
}

/// Column names as they are when cut at `delimiter`; none where they go on behind `start`.
fn header_of(start: &[u8], delimiter: u8) -> Vec<String> {
    Records::new(start, delimiter).header().unwrap_or_default()
}

/// What a header is to be cut at: the first that makes it fit, else what makes most columns of it.
fn delimiter(start: &[u8], fits: impl Fn(&[String]) -> bool) -> u8 {
    let headers = [b',', b';', b'\t'].map(|delimiter| (delimiter, header_of(start, delimiter)));
    let fitting = headers.iter().find(|(_, header)| fits(header));
    let most = || headers.iter().rev().max_by_key(|(_, header)| header.len());
    fitting.or_else(most).map_or(b',', |(delimiter, _)| *delimiter)
}

/// The index of a column by name; case counts only where two names differ by it alone.
pub(crate) fn position(header: &[String], name: &str) -> Option<usize> {
    let exact = header.iter().position(|column| column == name);
    exact.or_else(|| header.iter().position(|column| column.eq_ignore_ascii_case(name)))
}

/// The index of the column of the texts.
pub(crate) fn text_column(header: &[String], name: &str, path: &Path) -> Result<usize, DataError> {
    position(header, name).ok_or_else(|| match header.is_empty() {
        true => DataError::NoHeader { path: path.to_owned(), text_column: name.to_owned() },
        false => DataError::Header {
            path: path.to_owned(),
            found: listed(header),
            expected: format!("a column {name:?}"),
            hint: "name the column that has it: --text-column NAME".to_owned(),
        },
    })
}

/// Names between commas, at most twelve.
pub(crate) fn listed<S: Debug>(names: &[S]) -> String {
    let shown: Vec<String> = names.iter().take(12).map(|name| format!("{name:?}")).collect();
    let more = if names.len() > 12 { ", ..." } else { "" };
    shown.join(", ") + more
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn a_record_without_end_is_refused_before_it_fills_memory() {
        let endless = b"one,two\n".chain(io::repeat(b'x'));
        let mut records = Records::new(BufReader::new(endless), b',');
        assert_eq!(records.next().unwrap().unwrap().0, 1);
        let error = records.next().err().unwrap().to_string();
        assert!(error.starts_with("line 2: a row of more than"), "{error}");

        let long = vec![b'x'; MAX_RECORD - (1 << 20)];
        let twice = [&long[..], b"\n", &long, b"\n"].concat();
        let mut records = Records::new(&twice[..], b',');
        for line in [1, 2] {
            let (found, record) = records.next().unwrap().unwrap();
            assert_eq!((found, record.unwrap().get(0).unwrap().len()), (line, long.len()));
        }
        assert!(records.next().unwrap().is_none());
    }
}
