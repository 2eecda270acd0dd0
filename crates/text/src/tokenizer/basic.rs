//! Texts to words as BERT does it (`transformers`' BasicTokenizer; `BertNormalizer` and
//! `BertPreTokenizer` of the `tokenizers` crate, which the tests hold this against).
//!
//! ```text
//! for each character
//!     drop it if it is a control character, make it a blank if it is white
//!     set blanks around it if it is Chinese
//! decompose (NFD) and drop accents; then lowercase
//! split at blanks; punctuation is a word each
//! ```
//!
//! 1. ASCII goes through one table. Only runs of other characters take the long way.
//! 2. That is exact since ASCII never takes part in decomposition: it decomposes to itself, and marks
//!    are put in order only among themselves. ASCII that is dropped does not end a run, as the marks on
//!    both sides of it meet.
//! 3. Unicode's tables are those of the crates that `tokenizers` takes them from, old as they are:
//!    vocabularies were made with them.

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;

/// What is done to characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Basic {
    pub(super) lowercase: bool,
    pub(super) strip_accents: bool,
    pub(super) chinese_characters: bool,
}

/// Room that is used again from text to text.
#[derive(Debug, Default)]
pub(super) struct Words {
    word: String,
    run: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    White,
    Punctuation,
    Dropped,
}

const ASCII: [Class; 128] = {
    let mut classes = [Class::Letter; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => Class::White,
            _ if byte.is_ascii_control() => Class::Dropped,
            _ if byte.is_ascii_punctuation() => Class::Punctuation,
            _ => Class::Letter,
        };
        byte += 1;
    }
    classes
};

impl Basic {
    /// Calls `found` with each word of a text, in order.
    #[inline]
    pub(super) fn words(&self, text: &str, room: &mut Words, mut found: impl FnMut(&str)) {
        let Words { word, run } = room;
        word.clear();
        let mut end_word = |word: &mut String| {
            if !word.is_empty() {
                found(word);
                word.clear();
            }
        };
        let mut characters = text.chars();
        while let Some(first) = characters.next() {
            if first.is_ascii() {
                match ASCII[first as usize] {
                    Class::Letter if self.lowercase => word.push(first.to_ascii_lowercase()),
                    Class::Letter => word.push(first),
                    Class::White => end_word(word),
                    Class::Punctuation => {
                        end_word(word);
                        word.push(first);
                        end_word(word);
                    }
                    Class::Dropped => {}
                }
                continue;
            }
            run.clear();
            self.clean(first, run);
            while let Some(next) = characters
                .clone()
                .next()
                .filter(|&next| !next.is_ascii() || ASCII[next as usize] == Class::Dropped)
            {
                self.clean(next, run);
                characters.next();
            }
            let mut lowered = |character: char| {
                let mut add = |character: char| {
                    if character.is_whitespace() {
                        end_word(word);
                    } else if character.is_ascii_punctuation() || character.is_punctuation() {
                        end_word(word);
                        word.push(character);
                        end_word(word);
                    } else {
                        word.push(character);
                    }
                };
                match self.lowercase {
                    true => character.to_lowercase().for_each(add),
                    false => add(character),
                }
            };
            if self.strip_accents {
                let decomposed = run.nfd().map(|(character, _)| character);
                decomposed.filter(|character| !character.is_mark_nonspacing()).for_each(lowered);
            } else {
                run.chars().for_each(&mut lowered);
            }
        }
        end_word(word);
    }

    /// Whether what stands before a character is what it would be at the end of a text.
    pub(super) fn stands_alone(&self, character: char, room: &mut String) -> bool {
        if character.is_ascii() {
            return matches!(ASCII[character as usize], Class::White | Class::Punctuation);
        }
        room.clear();
        self.clean(character, room);
        room.starts_with(' ') // which parts words, and no mark is moved across it
    }

    /// Adds to a run what becomes of a character before it is decomposed.
    fn clean(&self, character: char, run: &mut String) {
        let white = matches!(character, '\t' | '\n' | '\r');
        if character == '\0' || character == '\u{FFFD}' || (!white && character.is_other()) {
            return;
        }
        if white || character.is_whitespace() {
            run.push(' ');
        } else if self.chinese_characters && is_chinese(character) {
            run.extend([' ', character, ' ']);
        } else {
            run.push(character);
        }
    }
}

/// What BERT takes for Chinese, hole and all (`_is_chinese_char`; `tokenizers` has U+2B920 where
/// `transformers` has U+2B820, and is followed here).
fn is_chinese(character: char) -> bool {
    matches!(
        u32::from(character),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}
