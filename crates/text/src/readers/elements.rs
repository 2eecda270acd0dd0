//! The rows of JSON files as they are written: one a line, or the elements of an array. Memory holds one of
//! them, whatever the file's length.

use std::io::{self, BufRead, Chain, Cursor, Read};
use std::path::Path;

use super::Format;
use super::csv::listed;
use crate::DataError;
use crate::stream::{Line, MAX_LINE, read_line};

/// The rows of a JSON file.
pub(crate) struct Elements<R> {
    source: Chain<Cursor<Vec<u8>>, R>,
    layout: Layout,
    /// Lines that were read to their end.
    lines: u64,
    /// Elements that were read.
    count: u64,
}

/// Where rows end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// With the line.
    Lines,
    /// With the object, which may have several lines; white space lies between them.
    Objects,
    /// With the element of the one array.
    Array,
    /// Nowhere: all were read.
    Ended,
}

/// A JSON file that has no rows, and what to do about it.
#[derive(Debug)]
pub(crate) struct NoRows {
    found: String,
    hint: String,
}

impl NoRows {
    /// The error of the file at `path`.
    pub(crate) fn at(self, path: &Path) -> DataError {
        DataError::Document { path: path.to_owned(), found: self.found, hint: self.hint }
    }
}

/// Why the rows of a JSON file cannot be had.
pub(crate) enum OpenError {
    /// Its start cannot be read.
    Io(io::Error),
    /// It has none.
    NoRows(NoRows),
}

impl OpenError {
    /// The error of the file at `path`.
    pub(crate) fn at(self, path: &Path) -> DataError {
        match self {
            Self::Io(error) => DataError::io(path)(error),
            Self::NoRows(problem) => problem.at(path),
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<R: BufRead> Elements<R> {
    /// The rows of a file whose objects have the text in the field `text`. JSONL has one a line; other
    /// JSON begins with an array, or with the first of several objects.
    ///
    /// # Errors
    /// When the start cannot be read, or is of a document without rows.
    pub(crate) fn open(mut source: R, format: Format, text: &str) -> Result<Self, OpenError> {
        let mut start = Vec::new();
        let (layout, lines) = match format {
            Format::Json => layout(&mut source, &mut start, text)?,
            _ => (Layout::Lines, 0),
        };
        Ok(Self { source: Cursor::new(start).chain(source), layout, lines, count: 0 })
    }

    /// Reads the next row into `buffer`; returns the line that it begins on, from 1.
    ///
    /// # Errors
    /// When the source cannot be read, or the array does not end as an array does.
    pub(crate) fn next(&mut self, buffer: &mut Vec<u8>) -> io::Result<(u64, Line)> {
        buffer.clear();
        match self.layout {
            Layout::Lines => loop {
                let line = read_line(&mut self.source, buffer)?;
                self.lines += 1;
                // A blank line is no row.
                if !matches!(line, Line::Whole) || !buffer.trim_ascii().is_empty() {
                    return Ok((self.lines, line));
                }
            },
            Layout::Objects => {
                if self.next_byte()?.is_none() {
                    return Ok((self.lines + 1, Line::End));
                }
                let begins_on = self.lines + 1;
                let mut scan = Scan::new(Ends::WithValue);
                let kept = self.take(&mut scan, buffer)?;
                Ok((begins_on, kept))
            }
            Layout::Array => self.element(buffer),
            Layout::Ended => Ok((self.lines + 1, Line::End)),
        }
    }

    /// The next element of the array.
    fn element(&mut self, buffer: &mut Vec<u8>) -> io::Result<(u64, Line)> {
        let first = self.next_byte()?;
        let begins_on = self.lines + 1;
        if first == Some(b']') && self.count == 0 {
            self.source.consume(1);
            self.end()?;
            return Ok((begins_on, Line::End));
        }
        let mut scan = Scan::new(Ends::BeforeSeparator);
        let kept = self.take(&mut scan, buffer)?;
        self.count += 1;
        if !scan.has_ended {
            let problem = format!(
                "its array is not closed: the file ends within the element that begins on line {begins_on}"
            );
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        }
        let separator = self.source.fill_buf()?.first().copied();
        self.source.consume(1);
        if separator == Some(b']') {
            self.end()?;
        }
        Ok((begins_on, kept))
    }

    /// What follows the array: nothing.
    fn end(&mut self) -> io::Result<()> {
        self.layout = Layout::Ended;
        match self.next_byte()? {
            None => Ok(()),
            Some(_) => {
                let problem = format!(
                    "more than one array: it goes on behind the first, on line {}",
                    self.lines + 1
                );
                Err(io::Error::new(io::ErrorKind::InvalidData, problem))
            }
        }
    }

    /// The next byte that is no white space, which stays where it is.
    fn next_byte(&mut self) -> io::Result<Option<u8>> {
        let (byte, lines) = skip_blanks(&mut self.source, &mut Vec::new())?;
        self.lines += lines;
        Ok(byte)
    }

    /// Moves bytes into `buffer` until `scan` ends, at most [`MAX_LINE`] of them; drops the others.
    fn take(&mut self, scan: &mut Scan, buffer: &mut Vec<u8>) -> io::Result<Line> {
        let mut whole = true;
        while !scan.has_ended {
            let chunk = self.source.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            let used = scan.feed(chunk);
            let taken = &chunk[..used];
            self.lines += taken.iter().filter(|&&byte| byte == b'\n').count() as u64;
            whole &= buffer.len() + used <= MAX_LINE;
            if whole {
                buffer.extend_from_slice(taken);
            }
            self.source.consume(used);
        }
        Ok(if whole { Line::Whole } else { Line::TooLong })
    }
}

/// Passes over white space, of which `passed` gets a copy; returns the byte behind it, which stays in the
/// source, and the number of ends of lines.
fn skip_blanks(source: &mut impl BufRead, passed: &mut Vec<u8>) -> io::Result<(Option<u8>, u64)> {
    let mut lines = 0;
    loop {
        let chunk = source.fill_buf()?;
        let blank = chunk.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        lines += chunk[..blank].iter().filter(|&&byte| byte == b'\n').count() as u64;
        let (next, is_end) = (chunk.get(blank).copied(), chunk.is_empty());
        if passed.len() < MAX_LINE {
            passed.extend_from_slice(&chunk[..blank]);
        }
        source.consume(blank);
        if next.is_some() || is_end {
            return Ok((next, lines));
        }
    }
}

/// Where a value ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// With its last bracket; what has none ends with its line.
    WithValue,
    /// Before the `,` or `]` that follows it in an array.
    BeforeSeparator,
}

/// Finds the end of a JSON value by its brackets and quotes.
struct Scan {
    ends: Ends,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    has_ended: bool,
}

impl Scan {
    fn new(ends: Ends) -> Self {
        Self { ends, depth: 0, in_string: false, is_escaped: false, has_ended: false }
    }

    /// How many of these bytes are of the value.
    fn feed(&mut self, bytes: &[u8]) -> usize {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b',' | b']' if self.depth == 0 && self.ends == Ends::BeforeSeparator => {
                    self.has_ended = true;
                    return at;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 && self.ends == Ends::WithValue {
                        self.has_ended = true;
                        return at + 1;
                    }
                }
                b'\n' if self.depth == 0 && self.ends == Ends::WithValue => {
                    self.has_ended = true;
                    return at + 1;
                }
                _ => {}
            }
        }
        bytes.len()
    }
}

/// How the rows of a JSON file lie, and how many lines come before what is left of it. What was looked at
/// and is to be read again goes to `start`.
fn layout<R: BufRead>(
    source: &mut R,
    start: &mut Vec<u8>,
    text: &str,
) -> Result<(Layout, u64), OpenError> {
    let (first, blank_lines) = skip_blanks(source, &mut Vec::new())?;
    match first {
        None => Ok((Layout::Ended, blank_lines)),
        Some(b'[') => {
            source.consume(1);
            let (inner, lines) = skip_blanks(source, &mut Vec::new())?;
            match inner {
                Some(b'[') => Err(OpenError::NoRows(NoRows {
                    found: "an array of arrays, as pandas writes it with orient=\"values\"".to_owned(),
                    hint: RECORDS.to_owned(),
                })),
                _ => Ok((Layout::Array, blank_lines + lines)),
            }
        }
        Some(b'{') => {
            let mut scan = Scan::new(Ends::WithValue);
            while !scan.has_ended && start.len() < MAX_LINE {
                let chunk = source.fill_buf()?;
                if chunk.is_empty() {
                    break;
                }
                let used = scan.feed(&chunk[..chunk.len().min(MAX_LINE - start.len())]);
                start.extend_from_slice(&chunk[..used]);
                source.consume(used);
            }
            let fields = fields_of(start);
            // Only an object alone in its file may be a whole table.
            let is_alone = !scan.has_ended
                || holds_rows(&fields, text) && skip_blanks(source, start)?.0.is_none();
            if let Some(problem) = no_rows(&fields, text).filter(|_| is_alone) {
                return Err(OpenError::NoRows(problem));
            }
            // An object with a line for each field, unless a line was damaged and the next is an object.
            let mut more_lines = start.trim_ascii_end().split(|&byte| byte == b'\n').skip(1);
            let (first, mut others) = (more_lines.next(), more_lines);
            let has_row = |line: &[u8]| line.starts_with(b"{");
            let is_lines = first.is_none_or(has_row) || others.any(has_row);
            Ok((if is_lines { Layout::Lines } else { Layout::Objects }, blank_lines))
        }
        Some(other) => Err(OpenError::NoRows(NoRows {
            found: format!("no JSON of rows: it begins with {:?}", char::from(other)),
            hint: "an array of objects, or one object a line, is read as .json; name a file of another form by \
                   what it is: .csv, .tsv, .txt"
                .to_owned(),
        })),
    }
}

const RECORDS: &str = "write one object a row: df.to_json(\"train.json\", orient=\"records\")";

/// A field of an object: its name, and the bytes that its value begins with, and goes on with behind a
/// bracket.
struct FieldStart {
    name: String,
    first: u8,
    inner: u8,
}

/// The fields of the object that `start` begins with, as far as it goes.
fn fields_of(start: &[u8]) -> Vec<FieldStart> {
    let mut fields = Vec::new();
    let (mut depth, mut at) = (0_usize, 0);
    let blank = |at: usize| at + start[at..].iter().take_while(|b| b.is_ascii_whitespace()).count();
    while let Some(&byte) = start.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let begin = at - 1;
                let mut is_escaped = false;
                while let Some(&byte) = start.get(at) {
                    at += 1;
                    if byte == b'"' && !is_escaped {
                        break;
                    }
                    is_escaped = byte == b'\\' && !is_escaped;
                }
                let colon = blank(at);
                if depth == 1 && start.get(colon) == Some(&b':') {
                    let name = serde_json::from_slice(&start[begin..at]).unwrap_or_default();
                    let value = blank(colon + 1);
                    let inner = blank((value + 1).min(start.len()));
                    let byte = |at: usize| start.get(at).copied().unwrap_or_default();
                    fields.push(FieldStart { name, first: byte(value), inner: byte(inner) });
                    at = colon + 1;
                }
            }
            _ => {}
        }
    }
    fields
}

/// Whether an object may be a table of its own and no row: one without a text where rows have it.
fn holds_rows(fields: &[FieldStart], text: &str) -> bool {
    let is_text = |field: &&FieldStart| field.name.eq_ignore_ascii_case(text);
    let holds = |field: &FieldStart| matches!(field.first, b'{' | b'[');
    match fields.iter().find(is_text) {
        Some(field) => holds(field),
        None => fields.iter().any(holds),
    }
}

/// Why an object that is alone in its file is no row, where it is none.
fn no_rows(fields: &[FieldStart], text: &str) -> Option<NoRows> {
    let named = |name: &str| fields.iter().find(|field| field.name == name);
    let of = |found: &str| Some(NoRows { found: found.to_owned(), hint: RECORDS.to_owned() });
    let the_text = fields.iter().find(|field| field.name.eq_ignore_ascii_case(text));
    match the_text.map(|field| field.first) {
        Some(b'{') => {
            return of("one object a column, as pandas writes it with orient=\"columns\"");
        }
        Some(b'[') => return of("one array a column"),
        Some(_) => return None,
        None => {}
    }
    if named("columns").is_some() && named("data").is_some() {
        return of("columns beside their data, as pandas writes them with orient=\"split\"");
    }
    if named("schema").is_some() && named("data").is_some() {
        return of("a schema beside its data, as pandas writes them with orient=\"table\"");
    }
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if !fields.is_empty()
        && fields.iter().all(|field| is_number(&field.name) && field.first == b'{')
    {
        return of("an object of numbered rows, as pandas writes it with orient=\"index\"");
    }
    let has_strings = fields.iter().any(|field| field.first == b'"');
    let is_array = |field: &&FieldStart| {
        field.first == b'[' && (field.inner == b'{' || !has_strings && field.inner != b']')
    };
    if let Some(field) = fields.iter().find(is_array) {
        let name = &field.name;
        let names: Vec<&String> = fields.iter().map(|field| &field.name).collect();
        return Some(NoRows {
            found: format!(
                "an object with {}, whose array {name:?} may be the rows",
                listed(&names)
            ),
            hint: format!(
                "write that array alone: jq '.[{name:?}]' IN.json > OUT.json; if the object is a row, name \
                 the field of its text: --text-column NAME"
            ),
        });
    }
    None
}
