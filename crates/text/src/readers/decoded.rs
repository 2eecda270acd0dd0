//! Files as UTF-8, without the byte order mark that they may begin with. Marks of UTF-16 begin what
//! Excel saves as Unicode text and what PowerShell writes with `>`.

use std::io::{self, BufRead, BufReader, Cursor, Read};

const UTF_8: &[u8] = b"\xEF\xBB\xBF";
const UTF_16_LITTLE: &[u8] = b"\xFF\xFE";
const UTF_16_BIG: &[u8] = b"\xFE\xFF";

/// A source as UTF-8, in memory that does not depend on its length.
///
/// # Errors
/// When its start cannot be read.
pub(crate) fn decoded<'a>(
    source: impl Read + Send + 'a,
) -> io::Result<Box<dyn BufRead + Send + 'a>> {
    let mut source = BufReader::with_capacity(1 << 16, source);
    let mut start = Vec::new();
    // Byte by byte: who writes little at a time is not waited for longer than a mark asks.
    while [UTF_8, UTF_16_LITTLE, UTF_16_BIG].iter().any(|mark| begins(mark, &start)) {
        if source.by_ref().take(1).read_to_end(&mut start)? == 0 {
            break;
        }
    }
    Ok(match &start[..] {
        UTF_8 => Box::new(source),
        UTF_16_LITTLE => Box::new(BufReader::new(Utf16::new(source, u16::from_le_bytes))),
        UTF_16_BIG => Box::new(BufReader::new(Utf16::new(source, u16::from_be_bytes))),
        _ => Box::new(Cursor::new(start).chain(source)),
    })
}

/// Whether `mark` goes on behind `start`.
fn begins(mark: &[u8], start: &[u8]) -> bool {
    mark.len() > start.len() && mark.starts_with(start)
}

/// UTF-16 as UTF-8. Half a pair of units becomes U+FFFD, since texts cut between two units are still
/// texts; half a unit at the end is an error, since more than it may be missing.
struct Utf16<R> {
    source: R,
    unit: fn([u8; 2]) -> u16,
    /// Read and not decoded: half a unit, half a pair.
    waiting: Vec<u8>,
    /// Decoded.
    ready: Vec<u8>,
    /// How much of it has been given away.
    given: usize,
}

impl<R: BufRead> Utf16<R> {
    fn new(source: R, unit: fn([u8; 2]) -> u16) -> Self {
        Self { source, unit, waiting: Vec::new(), ready: Vec::new(), given: 0 }
    }

    /// Decodes what comes next; returns false after the last.
    fn decode(&mut self) -> io::Result<bool> {
        let chunk = self.source.fill_buf()?;
        let (count, is_last) = (chunk.len(), chunk.is_empty());
        self.waiting.extend_from_slice(chunk);
        self.source.consume(count);
        if is_last && self.waiting.len() % 2 == 1 {
            self.waiting.clear();
            let problem = "it is UTF-16 and ends within a character";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let (pairs, _) = self.waiting.as_chunks::<2>();
        let mut units: Vec<u16> = pairs.iter().map(|&pair| (self.unit)(pair)).collect();
        let is_first_half = |unit: &mut u16| (0xD800..0xDC00).contains(unit);
        if !is_last {
            units.pop_if(is_first_half);
        }
        self.waiting.drain(..2 * units.len());
        let text: String = char::decode_utf16(units)
            .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        (self.ready, self.given) = (text.into_bytes(), 0);
        Ok(!is_last)
    }
}

impl<R: BufRead> Read for Utf16<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut goes_on = true;
        while goes_on && self.given == self.ready.len() {
            goes_on = self.decode()?;
        }
        let given = (&self.ready[self.given..]).read(out)?;
        self.given += given;
        Ok(given)
    }
}
