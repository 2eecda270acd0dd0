//! How the characters of a file are written as bytes, and what to say of bytes that are none.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::RowProblem;

/// How the characters of a file are written as bytes. A byte order mark in the file counts more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
    /// ISO 8859-1: each byte is the character of that number.
    #[serde(rename = "latin-1")]
    Latin1,
    /// Windows-1252, as Windows writes Western European text: Latin-1 with quotes, dashes and the euro sign
    /// in 0x80 to 0x9F.
    #[serde(rename = "cp1252")]
    Cp1252,
    /// UTF-16, low byte first, as Windows writes it.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// UTF-16, high byte first.
    #[serde(rename = "utf-16be")]
    Utf16Be,
}

/// The characters of 0x80 to 0x9F in Windows-1252; `None` where a byte is no character.
const CP1252: [Option<char>; 32] = [
    Some('€'),
    None,
    Some('‚'),
    Some('ƒ'),
    Some('„'),
    Some('…'),
    Some('†'),
    Some('‡'),
    Some('ˆ'),
    Some('‰'),
    Some('Š'),
    Some('‹'),
    Some('Œ'),
    None,
    Some('Ž'),
    None,
    None,
    Some('‘'),
    Some('’'),
    Some('“'),
    Some('”'),
    Some('•'),
    Some('–'),
    Some('—'),
    Some('˜'),
    Some('™'),
    Some('š'),
    Some('›'),
    Some('œ'),
    None,
    Some('ž'),
    Some('Ÿ'),
];

impl Encoding {
    /// Its name, as `--encoding` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Latin1 => "latin-1",
            Self::Cp1252 => "cp1252",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
        }
    }

    /// The character of a byte in an encoding of one byte a character.
    pub(super) fn character(self, byte: u8) -> Option<char> {
        match byte {
            0x80..=0x9F if self == Self::Cp1252 => CP1252[usize::from(byte - 0x80)],
            byte => Some(char::from(byte)),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Utf8 => "UTF-8",
            Self::Latin1 => "Latin-1",
            Self::Cp1252 => "cp1252",
            Self::Utf16Le | Self::Utf16Be => "UTF-16",
        })
    }
}

/// The first bytes of a row that are no character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadBytes {
    /// The part of the row.
    pub field: &'static str,
    /// The encoding of the file.
    pub encoding: Encoding,
    /// The first of them, or half a pair of UTF-16's units.
    pub found: u16,
    /// Where it is in its field, as UTF-8: the number of its byte, from 1.
    pub byte: usize,
    /// The number of its character, from 1.
    pub character: usize,
    /// What the file seems to be written in.
    pub suggested: Option<Encoding>,
}

impl BadBytes {
    /// The text of a field of a row.
    pub(crate) fn check<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, RowProblem> {
        std::str::from_utf8(bytes)
            .map_err(|error| RowProblem::Utf8(Self::find(bytes, error.valid_up_to(), field)))
    }

    /// The bytes that are no UTF-8 from `start` on. Decoders pass on what is no character: a byte as it is,
    /// a lone surrogate in three bytes, as UTF-8 would have it.
    fn find(bytes: &[u8], start: usize, field: &'static str) -> Self {
        let found = match bytes[start..] {
            [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, ..] => {
                0xD000 | (u16::from(second & 0x3F) << 6) | u16::from(third & 0x3F)
            }
            [first, ..] => u16::from(first),
            [] => 0, // not reached: there is a byte that is no UTF-8
        };
        let suggested = suggested(bytes, start);
        let character = String::from_utf8_lossy(&bytes[..start]).chars().count() + 1;
        Self { field, encoding: Encoding::Utf8, found, byte: start + 1, character, suggested }
    }

    /// The same of a file in `encoding`.
    pub(crate) fn of(self, encoding: Encoding) -> Self {
        let suggested = self.suggested.filter(|_| encoding == Encoding::Utf8);
        Self { encoding, suggested, ..self }
    }

    /// Whether it is half a pair of UTF-16's units.
    pub(crate) fn is_surrogate(&self) -> bool {
        self.found > 0xFF
    }
}

impl fmt::Display for BadBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, encoding, found, byte, character, .. } = self;
        let (unit, at) = match encoding {
            Encoding::Utf8 => ("byte", byte),
            _ => ("character", character),
        };
        match self.is_surrogate() {
            true => write!(
                f,
                "half a surrogate pair in the {field} (U+{found:04X} at {unit} {at}), expected whole \
                 characters"
            ),
            false => write!(
                f,
                "bytes that are not {encoding} in the {field} (0x{found:02X} at {unit} {at}), expected \
                 {encoding} text"
            ),
        }
    }
}

/// What bytes are written in that are no UTF-8 from `start` on, as far as they tell. Western European text
/// has few letters beyond ASCII; one in which characters of UTF-8 stand is damaged UTF-8.
fn suggested(bytes: &[u8], start: usize) -> Option<Encoding> {
    let is_utf8 = !bytes[..start].is_ascii();
    let is_text = |&byte: &u8| byte != 0 && Encoding::Cp1252.character(byte).is_some();
    let high = bytes.iter().filter(|byte| !byte.is_ascii()).count();
    let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let is_western = 2 * high <= letters + 3;
    (!is_utf8 && is_western && bytes.iter().all(is_text)).then_some(Encoding::Cp1252)
}
