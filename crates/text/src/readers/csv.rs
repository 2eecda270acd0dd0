//! Records between commas, semicolons or tabs, quoted as RFC 4180 says.

use std::fmt::Debug;
use std::io::{self, BufRead, Chain, Read};
use std::path::Path;

use ::csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::Format;
use super::returns::{Returns, ends_in_returns, first_line};
use crate::column_names::{LABELS, OTHERS, TEXTS};
use crate::stream::MAX_LINE;
use crate::{DataError, RowProblem};

/// Records with the lines they start on.
///
/// The csv crate says where it stood before a record, which is earlier where blank lines or the
/// second half of a `\r\n` lie between. So lines are counted back from a record's end, which is
/// always a `\n`: one is added at the end of the file, and `\r` is taken off the last cell here, unless
/// a quote stands behind it.
///
/// A quote that nobody closes makes one cell of all that follows, rows and all. Such cells are refused
/// where they can be told: those that swallow the [`END`] added to the file, and those of tab-separated
/// files in which there are both tabs and ends of lines. A record longer than [`MAX_RECORD`] ends the file.
pub(crate) struct Records<R: Read> {
    reader: Reader<Bounded<Chain<R, &'static [u8]>>>,
    delimiter: u8,
    record: ByteRecord,
    /// Lines of the file before what is read here.
    lines_before: u64,
}

/// A record of its own behind the last one.
const END: &[u8] = b"\0end\0";
/// What is added to a file.
const ENDING: &[u8] = b"\n\0end\0\n";

impl<R: Read> Records<R> {
    pub(crate) fn new(source: R, delimiter: u8) -> Self {
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .has_headers(false)
            .flexible(true)
            .from_reader(Bounded::new(source.chain(ENDING)));
        Self { reader, delimiter, record: ByteRecord::new(), lines_before: 0 }
    }

    /// The first line of the next record and its cells, unless a quote of it went too far; `None` after
    /// the last. A line of nothing but white space is no record, as for pandas.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Result<Record<'_>, RowProblem>)>> {
        loop {
            self.reader.get_mut().read = 0;
            let line = self.lines_before + self.reader.position().line();
            let read = self.reader.read_byte_record(&mut self.record);
            if !read.map_err(|error| io::Error::other(format!("line {line}: {error}")))? {
                return Ok(None);
            }
            let position = self.reader.position();
            let (end, byte) = (self.lines_before + position.line(), position.byte());
            let ending = self.reader.get_ref().before(byte);
            let has_return = ending.ends_with(b"\r\n");
            let only = (self.record.len() == 1).then(|| &self.record[0]);
            let is_quoted = ending.trim_ascii_end().ends_with(b"\"");
            if only.is_some_and(|cell| cell.trim_ascii().is_empty() && !is_quoted) {
                continue; // a blank line
            }
            if only == Some(END) {
                return Ok(None);
            }
            let cells = self.record.iter().flatten();
            let inside = cells.filter(|&&byte| byte == b'\n').count() as u64;
            if self.record.iter().next_back().is_some_and(|cell| cell.ends_with(ENDING)) {
                return Ok(Some((end - inside, Err(RowProblem::OpenQuote))));
            }
            let line = end.saturating_sub(1 + inside);
            let spans = |cell: &[u8]| cell.contains(&b'\n') && cell.contains(&b'\t');
            if self.delimiter == b'\t' && self.record.iter().any(spans) {
                return Ok(Some((line, Err(RowProblem::LongQuote { last: line + inside }))));
            }
            return Ok(Some((line, Ok(Record { cells: &self.record, has_return }))));
        }
    }

    /// The next record as column names; none after the last.
    pub(crate) fn header(&mut self) -> io::Result<Vec<String>> {
        let Some((line, record)) = self.next()? else { return Ok(Vec::new()) };
        let problem = |problem| io::Error::other(format!("line {line}: found {problem}"));
        let record = record.map_err(problem)?;
        let cells = (0..record.len()).filter_map(|column| record.get(column));
        let mut header: Vec<String> =
            cells.map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
        // Spreadsheets write separators for columns that once held something.
        if let Some(last) = header.iter().rposition(|name| !name.is_empty()) {
            header.truncate(last + 1);
        }
        Ok(header)
    }
}

/// The most bytes of a record, about: the reader reads ahead.
const MAX_RECORD: usize = 4 * MAX_LINE;

/// A source that fails when too much of it is read for one record.
struct Bounded<R> {
    source: R,
    /// Since the record began.
    read: usize,
    /// What was read last, and a few bytes before it: a record ends in there.
    last: Vec<u8>,
    /// All that was read.
    total: u64,
}

/// How many bytes before a record's end are looked at.
const LOOKED_BACK: usize = 3;

impl<R> Bounded<R> {
    fn new(source: R) -> Self {
        Self { source, read: 0, last: Vec::new(), total: 0 }
    }

    /// The bytes before the one of this number, as they stand in the file: at most [`LOOKED_BACK`].
    fn before(&self, byte: u64) -> &[u8] {
        let behind = usize::try_from(self.total.saturating_sub(byte)).unwrap_or(usize::MAX);
        let read = &self.last[..self.last.len().saturating_sub(behind)];
        &read[read.len().saturating_sub(LOOKED_BACK)..]
    }
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
        self.total += count as u64;
        self.last.drain(..self.last.len().saturating_sub(LOOKED_BACK));
        self.last.extend_from_slice(&out[..count]);
        Ok(count)
    }
}

/// The cells of a record.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    cells: &'a ByteRecord,
    /// Whether its line ends in `\r\n`, of which the last cell has the first half.
    has_return: bool,
}

impl<'a> Record<'a> {
    pub(crate) fn len(self) -> usize {
        self.cells.len()
    }

    pub(crate) fn get(self, column: usize) -> Option<&'a [u8]> {
        let cell = self.cells.get(column)?;
        let is_cut = self.has_return && column + 1 == self.cells.len();
        Some(cell.strip_suffix(b"\r").filter(|_| is_cut).unwrap_or(cell))
    }

    /// Refuses a record with more cells than its header has names: part of a text would be lost. Empty
    /// cells at the end, as spreadsheets write them, are none.
    pub(crate) fn within(self, header: usize) -> Result<Self, RowProblem> {
        let beyond = (header..self.len()).filter_map(|column| self.get(column));
        match beyond.map(<[u8]>::trim_ascii).all(<[u8]>::is_empty) {
            true => Ok(self),
            false => Err(RowProblem::Cells { found: self.len(), header }),
        }
    }
}

/// A file of records, and the names of its columns where it has any.
pub(crate) struct Table<R: BufRead> {
    pub(crate) records: Records<Returns<R>>,
    /// `None` in files as GoEmotions has them.
    pub(crate) header: Option<Vec<String>>,
}

impl<R: BufRead> Table<R> {
    /// Opens what is CSV or TSV by its name. CSV stands between commas, unless its header `fits` only when
    /// it is cut at semicolons, as spreadsheets write it in much of Europe, or at tabs. TSV has a header where
    /// the cells of its first line are one, as `is_header` says. A first line `sep=;`, as Excel understands it,
    /// says what to cut at. Rows may [end in `\r`](ends_in_returns) alone.
    pub(crate) fn open(
        mut source: R,
        format: Format,
        is_header: impl Fn(&[String]) -> bool,
        fits: impl Fn(&[String]) -> bool,
    ) -> io::Result<Self> {
        let mut start = first_line(&mut source)?;
        let has_returns = ends_in_returns(&start);
        let mut lines_before = 0;
        let end = first_end(&start, has_returns);
        let told = separator(&start[..end]);
        if told.is_some() {
            let is_end = |byte: &&u8| matches!((has_returns, byte), (true, b'\r') | (false, b'\n'));
            lines_before = start[..end].iter().filter(is_end).count() as u64;
            start.drain(..end);
            if start.trim_ascii().is_empty() {
                start.extend(first_line(&mut source)?);
            }
        }
        let cut_at = |delimiter| header_of(&start, delimiter, has_returns);
        let (delimiter, has_header) = match format {
            Format::Tsv => {
                let delimiter = told.unwrap_or(b'\t');
                (delimiter, is_header(&cut_at(delimiter)))
            }
            _ => (told.unwrap_or_else(|| delimiter(cut_at, fits)), true),
        };
        let source = Returns::new(start, source, delimiter, has_returns);
        let mut records = Records::new(source, delimiter);
        records.lines_before = lines_before;
        let header = has_header.then(|| records.header()).transpose()?;
        Ok(Self { records, header })
    }
}

/// How many bytes of a file's start are blank lines and the first other line.
fn first_end(start: &[u8], has_returns: bool) -> usize {
    if !has_returns {
        return start.len();
    }
    let blank = start.len() - start.trim_ascii_start().len();
    let end = start[blank..].iter().position(|&byte| byte == b'\r');
    end.map_or(start.len(), |end| blank + end + 1)
}

/// What a line `sep=;` names.
fn separator(line: &[u8]) -> Option<u8> {
    let line = line.trim_ascii_start();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    let (name, separator) = line.split_at_checked(4)?;
    let &[separator] = separator else { return None };
    let is_one = separator.is_ascii_punctuation() && separator != b'"' || separator == b'\t';
    (name.eq_ignore_ascii_case(b"sep=") && is_one).then_some(separator)
}

/// Column names as they are when cut at `delimiter`; none where they go on behind `start`.
fn header_of(start: &[u8], delimiter: u8, has_returns: bool) -> Vec<String> {
    let source = Returns::new(Vec::new(), start, delimiter, has_returns);
    Records::new(source, delimiter).header().unwrap_or_default()
}

/// What a header is to be cut at: the first that makes it fit, else what makes most columns of it.
fn delimiter(cut_at: impl Fn(u8) -> Vec<String>, fits: impl Fn(&[String]) -> bool) -> u8 {
    let headers = [b',', b';', b'\t'].map(|delimiter| (delimiter, cut_at(delimiter)));
    let fitting = headers.iter().find(|(_, header)| fits(header));
    let most = || headers.iter().rev().max_by_key(|(_, header)| header.len());
    fitting.or_else(most).map_or(b',', |(delimiter, _)| *delimiter)
}

/// The index of a column by name; case counts only where two names differ by it alone.
pub(crate) fn position(header: &[String], name: &str) -> Option<usize> {
    let exact = header.iter().position(|column| column == name);
    exact.or_else(|| header.iter().position(|column| column.eq_ignore_ascii_case(name)))
}

/// Refuses a header in which two columns have the name of one that is read: one of them would be taken, and
/// nobody could tell which.
pub(crate) fn check_is_one(
    header: &[String],
    name: &str,
    path: &Path,
    flag: &str,
) -> Result<(), DataError> {
    let exact = header.iter().filter(|column| *column == name).count();
    let loose = header.iter().filter(|column| column.eq_ignore_ascii_case(name)).count();
    if exact == 1 || exact + loose < 2 {
        return Ok(());
    }
    let hint = match (exact, flag) {
        (0, "") | (2.., _) => "rename or remove one of them".to_owned(),
        _ => format!(
            "rename one of them, or name the right one exactly as it is written: {flag} NAME"
        ),
    };
    Err(DataError::Header {
        path: path.to_owned(),
        found: listed(header),
        expected: format!("one column {name:?}, not several"),
        hint,
    })
}

/// The index of the column of the texts.
pub(crate) fn text_column(header: &[String], name: &str, path: &Path) -> Result<usize, DataError> {
    check_is_one(header, name, path, "--text-column")?;
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

/// Whether the first line of a table that may lack a header is hardly a row whose first cell is a text: it names
/// columns, or begins with a number.
pub(crate) fn begins_without_text(cells: &[String]) -> bool {
    let is = |names: &[&str], cell: &str| names.contains(&cell.to_lowercase().as_str());
    let is_word =
        |cell: &String| !cell.contains(char::is_whitespace) && cell.parse::<f64>().is_err();
    match cells {
        [] => false,
        [only] => is(&TEXTS, only),
        [first, others @ ..] => {
            let names_columns = cells.iter().all(is_word)
                && cells
                    .iter()
                    .any(|cell| [&TEXTS[..], &LABELS, &OTHERS].iter().any(|names| is(names, cell)));
            // Rows may have numbers before their texts.
            let is_numbered = first.parse::<f64>().is_ok_and(f64::is_finite)
                && others.iter().any(|cell| cell.contains(char::is_whitespace));
            names_columns || is_numbered
        }
    }
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
