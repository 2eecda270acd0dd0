//! Files whose lines end in `\r` alone, as Excel writes "CSV (Macintosh)": read as if they ended in `\n`.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use crate::stream::MAX_LINE;

/// What a file begins with, up to the end of the first line that is not blank.
pub(super) fn first_line(source: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    while start.len() < MAX_LINE && start.iter().all(u8::is_ascii_whitespace) {
        if source.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut start)? == 0 {
            break;
        }
    }
    Ok(start)
}

/// Whether the lines of a table end in `\r` alone, as its [`first_line`] tells: the first end of a line outside of
/// quotes is one, or there is no other. Where lines end in `\n`, a `\r` within them is part of a cell.
pub(super) fn ends_in_returns(start: &[u8]) -> bool {
    let start = start.trim_ascii_start();
    if !start.contains(&b'\n') {
        return start.contains(&b'\r');
    }
    let mut is_quoted = false;
    for (index, byte) in start.iter().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\r' if !is_quoted => return start.get(index + 1) != Some(&b'\n'),
            b'\n' if !is_quoted => return false,
            _ => {}
        }
    }
    false
}

/// A file of plain lines; none of its quotes count.
pub(crate) fn lines(mut source: Box<dyn BufRead + Send>) -> io::Result<Box<dyn BufRead + Send>> {
    // No more than a line: whoever writes into a pipe may wait for its answer.
    let mut start = Vec::new();
    source.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut start)?;
    let is_on = !start.contains(&b'\n') && start.contains(&b'\r');
    let source = Cursor::new(start).chain(source);
    Ok(match is_on {
        true => Box::new(BufReader::new(Returns { source, rows: Rows::Lines })),
        false => Box::new(source),
    })
}

/// A source in which each `\r` that ends a row is `\n`.
pub(crate) struct Returns<R> {
    source: Chain<Cursor<Vec<u8>>, R>,
    rows: Rows,
}

/// What a `\r` is.
enum Rows {
    /// Part of a row.
    AsTheyAre,
    /// The end of a line.
    Lines,
    /// The end of a row, unless it is quoted.
    Records { delimiter: u8, place: Place },
}

/// Where a byte of a record stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// At the start of a cell, where a quote opens one.
    Start,
    /// In a cell without quotes.
    Bare,
    /// Between quotes.
    Quoted,
    /// Behind a quote that closes a cell, or is the first of two.
    Behind,
}

impl<R: BufRead> Returns<R> {
    /// A table that begins with `start`, and ends its rows in `\r` where `is_on`.
    pub(super) fn new(start: Vec<u8>, source: R, delimiter: u8, is_on: bool) -> Self {
        let rows = match is_on {
            true => Rows::Records { delimiter, place: Place::Start },
            false => Rows::AsTheyAre,
        };
        Self { source: Cursor::new(start).chain(source), rows }
    }
}

impl<R: BufRead> Read for Returns<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(out)?;
        let read = &mut out[..count];
        match &mut self.rows {
            Rows::AsTheyAre => {}
            Rows::Lines => {
                read.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n')
            }
            Rows::Records { delimiter, place } => {
                for byte in read {
                    if *byte == b'\r' && *place != Place::Quoted {
                        *byte = b'\n';
                    }
                    *place = match (*place, *byte) {
                        (Place::Quoted, b'"') => Place::Behind,
                        (Place::Quoted, _) | (Place::Start | Place::Behind, b'"') => Place::Quoted,
                        (_, b'\n') => Place::Start,
                        (_, byte) if byte == *delimiter => Place::Start,
                        _ => Place::Bare,
                    };
                }
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use crate::{StreamOptions, TextFormat, TextStream};

    fn texts(format: TextFormat, file: &str) -> Vec<(u64, String)> {
        let options = StreamOptions { format: Some(format), ..StreamOptions::default() };
        let source = std::io::Cursor::new(file.to_owned());
        let rows = TextStream::read_from(source, "a", &options).unwrap();
        rows.map(|row| row.unwrap())
            .map(|row| (row.line, row.text.unwrap_or_else(|problem| format!("!{problem}"))))
            .collect()
    }

    fn rows(texts: &[(u64, &str)]) -> Vec<(u64, String)> {
        texts.iter().map(|(line, text)| (*line, (*text).to_owned())).collect()
    }

    #[test]
    fn rows_end_in_returns_where_the_first_does() {
        let csv = |file: &str| texts(TextFormat::Rows(Format::Csv), file);
        let tsv = |file: &str| texts(TextFormat::Rows(Format::Tsv), file);
        assert_eq!(csv("text,id\ra,1\rb,2"), rows(&[(2, "a"), (3, "b")]));
        assert_eq!(csv("text;id\r\"a, b\";1\rc;2\r"), rows(&[(2, "a, b"), (3, "c")]));
        assert_eq!(csv("sep=;\rtext;id\r\"a;\rb\";1\rc;2\r"), rows(&[(3, "a;\rb"), (4, "c")]));
        assert_eq!(csv("\rsep=|\r\rtext|id\ra|1\r"), rows(&[(5, "a")]));
        assert_eq!(
            tsv("a\tjoy\r\"b\"\"c\"\tlove\rd \"e\tjoy\rf\tjoy"),
            rows(&[(1, "a"), (2, "b\"c"), (3, "d \"e"), (4, "f"),])
        );
        assert_eq!(tsv("sep=|\ra|joy\r"), rows(&[(2, "a")]));
        // Where rows end in another way, it is part of a text.
        assert_eq!(csv("text,id\na\rb,1\n"), rows(&[(2, "a\rb")]));
        assert_eq!(csv("text,id\r\na\rb,1\r\n"), rows(&[(2, "a\rb")]));
        assert_eq!(csv("id,text\n1,\"a\r\"\n"), rows(&[(2, "a\r")]));
    }

    #[test]
    fn lines_end_in_returns_where_there_are_no_other_ends() {
        let lines = |file: &str| texts(TextFormat::Lines, file);
        assert_eq!(lines("a \"b\rc\rd"), rows(&[(1, "a \"b"), (2, "c"), (3, "d")]));
        assert_eq!(lines("a\r"), rows(&[(1, "a")]));
        let empty = "!an empty text, expected some words";
        assert_eq!(lines("a\r\rb\r"), rows(&[(1, "a"), (2, empty), (3, "b")]));
        assert_eq!(lines("a\rb\nc\r\n"), rows(&[(1, "a\rb"), (2, "c")]));
        assert_eq!(lines("\nb\rc"), rows(&[(1, empty), (2, "b\rc")]));
        // Longer than what is looked at.
        let long = "so glad\r".repeat(super::MAX_LINE / 4);
        assert_eq!(lines(&long).len(), super::MAX_LINE / 4);
        let table = format!("text\r{long}");
        assert_eq!(texts(TextFormat::Rows(Format::Csv), &table).len(), super::MAX_LINE / 4);
    }
}
