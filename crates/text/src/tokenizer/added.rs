//! Tokens that are added to a vocabulary, and the ids they get: `AddedVocabulary::add_tokens` of the
//! `tokenizers` crate.

use std::collections::{BTreeMap, HashMap};

use tokenizers::AddedToken;

use super::vocabulary::Vocabulary;
use super::word_piece::Added;

/// More added tokens than this want an automaton, which the crate has.
const MAX_ADDED: usize = 64;

/// Added tokens and their ids.
#[derive(Debug, Default)]
pub(super) struct AddedVocabulary {
    ids: HashMap<String, u32>,
    tokens: BTreeMap<u32, AddedToken>,
}

impl AddedVocabulary {
    /// Adds tokens in their order. A token of the vocabulary keeps its id, others get the next free one.
    pub(super) fn add(&mut self, vocabulary: &Vocabulary, tokens: &[AddedToken]) {
        // As many as there are different tokens, which are fewer than lines where one is there twice.
        let size = u32::try_from(vocabulary.len()).unwrap_or(u32::MAX);
        let last = self.tokens.last_key_value().map(|(id, _)| *id);
        let mut next =
            last.filter(|last| *last >= size).map_or(size, |last| last.saturating_add(1));
        for token in tokens.iter().filter(|token| !token.content.is_empty()) {
            let id = self.id(vocabulary, &token.content).unwrap_or_else(|| {
                next = next.saturating_add(1);
                next - 1
            });
            self.ids.insert(token.content.clone(), id);
            self.tokens.insert(id, token.clone());
        }
    }

    /// The id of a token, added or not.
    pub(super) fn id(&self, vocabulary: &Vocabulary, token: &str) -> Option<u32> {
        self.ids.get(token).copied().or_else(|| vocabulary.id(token))
    }

    /// One past the largest id.
    pub(super) fn end(&self) -> usize {
        self.tokens.last_key_value().map_or(0, |(id, _)| *id as usize + 1)
    }

    /// The tokens as the fast tokenizer finds them; `None` where one asks for more.
    pub(super) fn plain(&self) -> Option<Added> {
        let bends = |token: &AddedToken| {
            token.single_word || token.lstrip || token.rstrip || token.normalized
        };
        let is_plain = self.tokens.len() <= MAX_ADDED && !self.tokens.values().any(bends);
        let tokens = self.tokens.iter().map(|(id, token)| (&*token.content, *id));
        is_plain.then(|| Added::new(tokens))
    }
}
