//! Files as UTF-8, without the byte order mark that they may begin with. Marks of UTF-16 begin what
//! Excel saves as Unicode text and what PowerShell writes with `>`.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use super::encoding::Encoding;

const UTF_8: &[u8] = b"\xEF\xBB\xBF";
const UTF_16_LITTLE: &[u8] = b"\xFF\xFE";
const UTF_16_BIG: &[u8] = b"\xFE\xFF";
const UTF_32_LITTLE: &[u8] = b"\xFF\xFE\0\0";
const UTF_32_BIG: &[u8] = b"\0\0\xFE\xFF";

/// How much of a file's start tells what it is.
const LOOKED_AT: usize = 4096;

/// A source in UTF-8, and the encoding that it is written in.
pub(crate) type Decoded<'a> = (Box<dyn BufRead + Send + 'a>, Encoding);

/// A file that is no text in UTF-8, as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotText {
    /// UTF-32, by its mark or by its NULs. Hardly any program writes it, so it is not read.
    #[error("it is UTF-32")]
    Utf32,
    /// UTF-16, of which every other byte is NUL where letters are ASCII.
    #[error("it seems to be UTF-16 without a byte order mark")]
    Utf16(Encoding),
    /// What begins like a file of another kind.
    #[error("it is {0}, not text")]
    Binary(&'static str, &'static str),
}

impl NotText {
    /// What to do about it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Utf16(Encoding::Utf16Be) => {
                "read it with --encoding utf-16be, or save the file as UTF-8"
            }
            Self::Utf16(_) => "read it with --encoding utf-16le, or save the file as UTF-8",
            Self::Utf32 => "save the file as UTF-8",
            Self::Binary(_, hint) => hint,
        }
    }
}

/// A source as UTF-8, in memory that does not depend on its length.
///
/// # Errors
/// When its start cannot be read, or is that of no text.
pub(crate) fn decoded<'a>(
    source: impl Read + Send + 'a,
) -> io::Result<Box<dyn BufRead + Send + 'a>> {
    decoded_as(source, None).map(|(source, _)| source)
}

/// A source as UTF-8. A byte order mark says how it is written, as in WHATWG's Encoding Standard; without
/// one `encoding` does, or it is UTF-8. What is no character is passed on as bytes that are no UTF-8: the
/// rows that have it are refused, and no others.
///
/// # Errors
/// When its start cannot be read, or is that of no text in UTF-8 and no encoding is given.
pub(crate) fn decoded_as<'a>(
    source: impl Read + Send + 'a,
    encoding: Option<Encoding>,
) -> io::Result<Decoded<'a>> {
    let mut source = BufReader::with_capacity(1 << 16, source);
    let mut start = Vec::new();
    // Byte by byte: who writes little at a time is not waited for longer than a mark asks.
    let marks = [UTF_8, UTF_16_BIG, UTF_32_LITTLE, UTF_32_BIG];
    while marks.iter().any(|mark| begins(mark, &start)) {
        if source.by_ref().take(1).read_to_end(&mut start)? == 0 {
            break;
        }
    }
    let marked = [
        (UTF_8, Encoding::Utf8),
        (UTF_16_LITTLE, Encoding::Utf16Le),
        (UTF_16_BIG, Encoding::Utf16Be),
    ];
    let marked = marked.into_iter().find(|(mark, _)| start.starts_with(mark));
    let more = source.buffer().iter().copied();
    let looked_at: Vec<u8> = start.iter().copied().chain(more).take(LOOKED_AT).collect();
    let found = match (marked, encoding) {
        _ if is_utf32(&looked_at) => Some(NotText::Utf32),
        (Some(_), _) => None,
        (None, Some(_)) => binary(&looked_at),
        (None, None) => binary(&looked_at).or_else(|| utf16_without_mark(&looked_at)),
    };
    if let Some(found) = found {
        return Err(io::Error::new(io::ErrorKind::InvalidData, found));
    }
    if let Some((mark, _)) = marked {
        start.drain(..mark.len());
    }
    let marked = marked.map(|(_, encoding)| encoding);
    let encoding = marked.or(encoding).unwrap_or(Encoding::Utf8);
    let source = Cursor::new(start).chain(source);
    Ok(match encoding {
        Encoding::Utf8 => (Box::new(source), encoding),
        _ => (Box::new(BufReader::new(Decoder::new(source, encoding))), encoding),
    })
}

/// Whether `mark` goes on behind `start`.
fn begins(mark: &[u8], start: &[u8]) -> bool {
    mark.len() > start.len() && mark.starts_with(start)
}

/// What a file is that begins as no text does.
fn binary(start: &[u8]) -> Option<NotText> {
    const SHEET: &str = "save the sheet as CSV UTF-8";
    const TABLE: &str = "write it as .csv or .jsonl";
    let kinds: [(&[u8], &str, &str); 8] = [
        (b"PK\x03\x04", "a zip archive, as .xlsx and .ods files are", SHEET),
        (b"\xD0\xCF\x11\xE0", "an Office file, as .xls is", SHEET),
        (b"\x1F\x8B", "compressed with gzip", "give it a name that ends in .gz, or decompress it"),
        (b"BZh", "compressed with bzip2", "decompress it: bunzip2"),
        (b"\xFD7zXZ\0", "compressed with xz", "decompress it: unxz"),
        (b"\x28\xB5\x2F\xFD", "compressed with zstd", "decompress it: unzstd"),
        (b"PAR1", "a Parquet file", TABLE),
        (b"ARROW1", "an Arrow file", TABLE),
    ];
    let found = kinds.into_iter().find(|(magic, ..)| start.starts_with(magic));
    // Of these a text may begin with the same letters.
    let is_text = start.len() > 8 && start.iter().all(|&byte| byte.is_ascii() && byte != 0);
    found.filter(|_| !is_text).map(|(_, kind, hint)| NotText::Binary(kind, hint))
}

/// UTF-32 with a mark; or without one, if each four bytes are a character, and most of them below U+10000. As
/// UTF-16, every second character would be NUL.
fn is_utf32(start: &[u8]) -> bool {
    let (units, _) = start.as_chunks::<4>();
    let is_written = |number: fn([u8; 4]) -> u32| {
        let mut numbers = units.iter().map(|&unit| number(unit));
        let low = numbers.clone().filter(|number| *number < 0x1_0000).count();
        let is_character = |number| number != 0 && char::from_u32(number).is_some();
        units.len() >= 2 && 4 * low >= 3 * units.len() && numbers.all(is_character)
    };
    [UTF_32_LITTLE, UTF_32_BIG].iter().any(|mark| start.starts_with(mark))
        || is_written(u32::from_le_bytes)
        || is_written(u32::from_be_bytes)
}

/// UTF-16 of mostly ASCII letters: NUL is every other byte of at least a quarter of the units, and hardly any of
/// the rest.
fn utf16_without_mark(start: &[u8]) -> Option<NotText> {
    let (units, _) = start.as_chunks::<2>();
    let high = units.iter().filter(|[first, second]| *first == 0 && *second != 0).count();
    let low = units.iter().filter(|[first, second]| *first != 0 && *second == 0).count();
    let many = |count: usize, other: usize| {
        count >= 2 && 4 * count >= units.len() && 20 * other <= units.len()
    };
    match (many(low, high), many(high, low)) {
        (true, _) => Some(NotText::Utf16(Encoding::Utf16Le)),
        (_, true) => Some(NotText::Utf16(Encoding::Utf16Be)),
        _ => None,
    }
}

/// A source as UTF-8. Half a unit of UTF-16 at the end is an error, since more than it may be missing.
struct Decoder<R> {
    source: R,
    encoding: Encoding,
    /// Read and not decoded: half a unit, half a pair.
    waiting: Vec<u8>,
    /// Decoded.
    ready: Vec<u8>,
    /// How much of it has been given away.
    given: usize,
}

impl<R: BufRead> Decoder<R> {
    fn new(source: R, encoding: Encoding) -> Self {
        Self { source, encoding, waiting: Vec::new(), ready: Vec::new(), given: 0 }
    }

    /// Decodes what comes next; returns false after the last.
    fn decode(&mut self) -> io::Result<bool> {
        self.ready.clear();
        self.given = 0;
        match self.encoding {
            Encoding::Utf16Le => self.decode_units(u16::from_le_bytes),
            Encoding::Utf16Be => self.decode_units(u16::from_be_bytes),
            _ => self.decode_bytes(),
        }
    }

    /// One byte a character.
    fn decode_bytes(&mut self) -> io::Result<bool> {
        let chunk = self.source.fill_buf()?;
        for &byte in chunk {
            match self.encoding.character(byte) {
                Some(character) => {
                    self.ready.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                None => self.ready.push(byte),
            }
        }
        let count = chunk.len();
        self.source.consume(count);
        Ok(count > 0)
    }

    fn decode_units(&mut self, unit: fn([u8; 2]) -> u16) -> io::Result<bool> {
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
        let mut units: Vec<u16> = pairs.iter().map(|&pair| unit(pair)).collect();
        let is_first_half = |unit: &mut u16| (0xD800..0xDC00).contains(unit);
        if !is_last {
            units.pop_if(is_first_half);
        }
        self.waiting.drain(..2 * units.len());
        for character in char::decode_utf16(units) {
            match character {
                Ok(character) => {
                    self.ready.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Err(lone) => self.ready.extend(three_bytes(lone.unpaired_surrogate())),
            }
        }
        Ok(!is_last)
    }
}

/// A surrogate as UTF-8 would write it, if it were a character.
fn three_bytes(surrogate: u16) -> [u8; 3] {
    let low_bits = |unit: u16| (unit & 0x3F) as u8 | 0x80;
    [0xED, low_bits(surrogate >> 6), low_bits(surrogate)]
}

impl<R: BufRead> Read for Decoder<R> {
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
