//! Texts to ids: tokens that were added to the vocabulary are found first, as they are spelled; what
//! is between them becomes words, and words become pieces (Wu et al., 2016; `transformers`'
//! WordpieceTokenizer): the longest token a word begins with, then the longest the rest begins with.

use super::basic::{Basic, Words};
use super::vocabulary::Vocabulary;

/// BERT's tokenizer.
#[derive(Clone, Debug)]
pub(super) struct WordPiece {
    pub(super) basic: Basic,
    pub(super) added: Added,
    pub(super) vocabulary: Vocabulary,
    /// One past the largest id, added tokens included.
    pub(super) end: usize,
    /// The id of a word that is not made of tokens.
    pub(super) unknown: u32,
    /// The ids before and after every text.
    pub(super) frame: [u32; 2],
    /// A longer word is unknown.
    pub(super) max_characters: usize,
}

/// Tokens that are found in texts before anything is done to them, the longest of those that begin
/// first.
#[derive(Clone, Debug)]
pub(super) struct Added {
    /// Longest first.
    tokens: Vec<(String, u32)>,
    /// Whether one begins with a byte.
    begins: [bool; 256],
}

impl Added {
    /// Of tokens that are not empty.
    pub(super) fn new<'a>(tokens: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let mut tokens: Vec<(String, u32)> =
            tokens.map(|(token, id)| (token.to_owned(), id)).collect();
        tokens.sort_by_key(|(token, _)| std::cmp::Reverse(token.len()));
        let mut begins = [false; 256];
        tokens.iter().for_each(|(token, _)| begins[token.as_bytes()[0] as usize] = true);
        Self { tokens, begins }
    }

    /// The id of one of them.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.tokens.iter().find(|(content, _)| content == token).map(|(_, id)| *id)
    }

    /// Whether one of them has this character.
    fn contain(&self, character: char) -> bool {
        self.tokens.iter().any(|(token, _)| token.contains(character))
    }

    /// The first in a text: where it begins and ends, and its id.
    fn find(&self, text: &str) -> Option<(usize, usize, u32)> {
        let bytes = text.as_bytes();
        bytes.iter().enumerate().filter(|(_, byte)| self.begins[**byte as usize]).find_map(
            |(start, _)| {
                let at = &bytes[start..];
                let (token, id) =
                    self.tokens.iter().find(|(token, _)| at.starts_with(token.as_bytes()))?;
                Some((start, start + token.len(), *id))
            },
        )
    }
}

/// Room that is used again from text to text.
#[derive(Debug, Default)]
pub(super) struct Room {
    words: Words,
    hashes: Vec<u32>,
    ids: Vec<u32>,
}

impl WordPiece {
    /// The id of a token, added or not.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.added.id(token).or_else(|| self.vocabulary.id(token))
    }

    /// The ids of a text, framed and uncut.
    pub(super) fn encode<'a>(&self, text: &str, room: &'a mut Room) -> &'a [u32] {
        let Room { words, hashes, ids } = room;
        ids.clear();
        ids.push(self.frame[0]);
        let mut rest = text;
        while let Some((start, end, id)) = self.added.find(rest) {
            self.basic.words(&rest[..start], words, |word| self.pieces(word, hashes, ids));
            ids.push(id);
            rest = &rest[end..];
        }
        self.basic.words(rest, words, |word| self.pieces(word, hashes, ids));
        ids.push(self.frame[1]);
        ids
    }

    /// The first place at or after so many bytes where a text can be cut and what comes before keeps its ids:
    /// where something begins that is a word by itself, or none, and part of no added token.
    pub(super) fn seam(&self, text: &str, bytes: usize) -> Option<usize> {
        let mut room = String::new();
        let mut places = text.char_indices().skip_while(|&(at, _)| at < bytes);
        let found = places.find(|&(_, character)| {
            self.basic.stands_alone(character, &mut room) && !self.added.contain(character)
        });
        found.map(|(at, _)| at)
    }

    #[inline]
    fn pieces(&self, word: &str, hashes: &mut Vec<u32>, ids: &mut Vec<u32>) {
        let is_short =
            word.len() <= self.max_characters || word.chars().nth(self.max_characters).is_none();
        let first = ids.len();
        let mut start = 0;
        while is_short && start < word.len() {
            let rest = &word.as_bytes()[start..];
            let Some((length, id)) = self.vocabulary.longest(rest, start > 0, hashes) else {
                break;
            };
            ids.push(id);
            start += length;
        }
        if start < word.len() {
            ids.truncate(first);
            ids.push(self.unknown);
        }
    }
}
