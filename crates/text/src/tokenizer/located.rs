//! Where the words of a text stand, among its ids and in the text itself: for explanations.
//!
//! The `tokenizers` crate finds them, which gives the ids of the fast tokenizer and knows where each
//! came from; what needs words can wait for it. It takes 300 bytes of memory for one of text, so of a text
//! that is cut it gets only the beginning.

use std::ops::Range;

use super::{Room, Tokenizer, TokenizerError};

/// Most texts need fewer for a token.
const BYTES_PER_TOKEN: usize = 8;

/// A word as people see it. Punctuation is a word each; an apostrophe joins (`don't`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its pieces, in the ids that [`Tokenizer::encode`] gives.
    pub tokens: Range<usize>,
    /// Its place in the text, in characters.
    pub characters: Range<usize>,
}

/// A token of a text, as `/tokenize` of text-embeddings-inference tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// What the vocabulary calls it.
    pub name: String,
    /// Its place in the text, in characters; `None` of tokens that frame a text.
    pub characters: Option<Range<usize>>,
}

impl Tokenizer {
    /// The tokens of a text, uncut; with `frame`, those that stand before and after every text.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn tokens(&self, text: &str, frame: bool) -> Result<Vec<Token>, TokenizerError> {
        let encode = |it: &tokenizers::Tokenizer| it.encode_char_offsets(text, frame);
        let encoding = self.by_reference(text, encode)?;
        let places = encoding.get_word_ids().iter().zip(encoding.get_offsets());
        let tokens = encoding.get_ids().iter().zip(encoding.get_tokens()).zip(places);
        let token = |((&id, name), (word, &(start, end))): ((&u32, &String), _)| {
            let word: &Option<u32> = word;
            Token { id, name: name.clone(), characters: word.map(|_| start..end) }
        };
        Ok(tokens.map(token).collect())
    }

    /// The words of a text, in order. What is cut off has none, and of a word that is cut in two the
    /// first pieces count.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn words(&self, text: &str) -> Result<Vec<Word>, TokenizerError> {
        self.words_of(self.beginning(text))
    }

    /// As much of a text as has more tokens than count, so that the last of these has its neighbour. The
    /// whole text where it has no more, where it cannot be cut, or where only the crate has its ids.
    pub(super) fn beginning<'a>(&self, text: &'a str) -> &'a str {
        let Some(fast) = &self.shared.fast else { return text };
        let mut room = Room::default();
        let mut bytes = self.max_length.saturating_mul(BYTES_PER_TOKEN);
        while let Some(end) = fast.seam(text, bytes) {
            let beginning = &text[..end];
            if fast.encode(beginning, &mut room).len() > self.max_length {
                return beginning;
            }
            bytes = bytes.saturating_mul(4);
        }
        text
    }

    /// [`Self::words`], by all of a text.
    pub(super) fn words_of(&self, text: &str) -> Result<Vec<Word>, TokenizerError> {
        let encode = |it: &tokenizers::Tokenizer| it.encode_char_offsets(text, true);
        let encoding = self.by_reference(text, encode)?;
        let end = match encoding.len() > self.max_length {
            true => self.max_length - 1, // the closing [SEP] stands there
            false => encoding.len(),
        };
        let characters: Vec<char> = text.chars().collect();
        let mut words: Vec<Word> = Vec::new();
        let mut last = None;
        let pieces = encoding.get_word_ids().iter().zip(encoding.get_offsets()).enumerate();
        for (token, (&id, &(start, stop))) in pieces.take(end) {
            let Some(id) = id else { continue }; // [CLS] and [SEP]
            let (start, stop) = trimmed(&characters, start, stop);
            let joined = |word: &Word| last == Some(id) || joins(&characters, word, start);
            match words.last_mut().filter(|word| joined(word)) {
                Some(word) => (word.tokens.end, word.characters.end) = (token + 1, stop),
                None => words.push(Word { tokens: token..token + 1, characters: start..stop }),
            }
            last = Some(id);
        }
        Ok(words)
    }

    /// The tokens that are words: two letters or more and nothing else, and no rest of a word. With
    /// their ids, in the order of these.
    ///
    /// # Errors
    /// When the tokenizer cannot be built.
    pub fn whole_words(&self) -> Result<Vec<(u32, String)>, TokenizerError> {
        let is_word =
            |name: &str| name.chars().all(char::is_alphabetic) && name.chars().nth(1).is_some();
        let names = self.reference()?.get_vocab(false).into_iter();
        let mut words: Vec<(u32, String)> =
            names.filter(|(name, _)| is_word(name)).map(|(name, id)| (id, name)).collect();
        words.sort_unstable();
        Ok(words)
    }

    /// The id of the token that stands for a masked one (`[MASK]`), where there is one with an embedding.
    ///
    /// # Errors
    /// When the tokenizer cannot be built.
    pub fn mask_token(&self) -> Result<Option<u32>, TokenizerError> {
        let Some(name) = self.mask_name()? else { return Ok(None) };
        let id = self.reference()?.token_to_id(&name);
        Ok(id.filter(|id| self.rows.is_none_or(|rows| (*id as usize) < rows)))
    }
}

/// A place without the blanks around it, which some added tokens take with them (`lstrip`, `rstrip`).
fn trimmed(characters: &[char], start: usize, stop: usize) -> (usize, usize) {
    let is_blank = |at: usize| characters.get(at).is_some_and(|c| c.is_whitespace());
    let start = (start..stop).find(|at| !is_blank(*at)).unwrap_or(start);
    let stop = (start..stop).rev().find(|at| !is_blank(*at)).map_or(stop, |last| last + 1);
    (start, stop)
}

/// Whether a piece goes on with the word that ends where it starts: on both sides of an apostrophe
/// between letters.
fn joins(characters: &[char], word: &Word, start: usize) -> bool {
    let apostrophe = |at: usize| matches!(characters.get(at), Some('\'' | '’'));
    let letter = |at: usize| characters.get(at).is_some_and(|c| c.is_alphanumeric());
    let between = |at: usize| at > 0 && apostrophe(at) && letter(at - 1) && letter(at + 1);
    word.characters.end == start && start > 0 && (between(start) || between(start - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        let taken = |word: Word| text.chars().collect::<Vec<_>>()[word.characters].iter().collect();
        tokenizer.words(text).unwrap().into_iter().map(taken).collect()
    }

    #[test]
    fn words_are_as_the_text_spells_them() {
        let tokenizer = Tokenizer::bundled();
        assert_eq!(words(&tokenizer, "Thänks, I don't!"), ["Thänks", ",", "I", "don't", "!"]);
        assert_eq!(words(&tokenizer, "'tis ok’s"), ["'", "tis", "ok’s"]);
        assert_eq!(words(&tokenizer, "unbefuckinglievable 😀😀"), ["unbefuckinglievable", "😀😀"]);
        assert_eq!(words(&tokenizer, " \t"), [""; 0]);
        let placeholders = tokenizer.with_placeholders(&["[NAME]"]).unwrap();
        assert_eq!(words(&placeholders, "so,[NAME] wins"), ["so", ",", "[NAME]", "wins"]);
    }

    #[test]
    fn every_id_but_the_frame_is_of_one_word() {
        for length in [3, 4, 5, 6, 128] {
            let tokenizer = Tokenizer::bundled().with_max_length(length).unwrap();
            for text in ["", "x", "it's unbelievableness, isn't it", "a [MASK] b"] {
                let ids = tokenizer.encode(text).unwrap().ids;
                let mut next = 1;
                for word in tokenizer.words(text).unwrap() {
                    assert_eq!(word.tokens.start, next, "{text:?} cut to {length}");
                    next = word.tokens.end;
                }
                assert_eq!(next, ids.len() - 1, "{text:?} cut to {length}");
            }
        }
        assert_eq!(Tokenizer::bundled().mask_token().unwrap(), Some(103));
    }

    #[test]
    fn whole_words_stand_for_themselves() {
        let tokenizer = Tokenizer::bundled();
        let found = tokenizer.whole_words().unwrap();
        let id = |name: &str| found.iter().find(|(_, word)| word == name).map(|(id, _)| *id);
        assert_eq!(id("happy"), Some(3407));
        assert!(["[MASK]", "##ing", "ing!", "a", "7", "1990"].iter().all(|it| id(it).is_none()));
        assert!(found.is_sorted() && found.len() > 20_000, "{}", found.len());
        for (id, word) in found.iter().step_by(97) {
            let ids = tokenizer.encode(word).unwrap().ids;
            assert_eq!(ids[1..ids.len() - 1], [*id], "{word}");
        }
    }

    #[test]
    fn tokens_are_the_ids_with_their_places() {
        let tokenizer = Tokenizer::bundled().with_max_length(3).unwrap();
        let text = "é unbelievable\u{1F600}!";
        let tokens = tokenizer.tokens(text, true).unwrap();
        let whole = Tokenizer::bundled().encode(text).unwrap();
        assert_eq!(tokens.iter().map(|token| token.id).collect::<Vec<_>>(), whole.ids);
        assert_eq!((tokens[0].name.as_str(), &tokens[0].characters), ("[CLS]", &None));
        assert_eq!(tokens[1].characters, Some(0..1));
        assert_eq!(tokens[tokens.len() - 2].characters, Some(15..16));
        assert_eq!(tokenizer.tokens(text, false).unwrap(), tokens[1..tokens.len() - 1]);
    }
}
