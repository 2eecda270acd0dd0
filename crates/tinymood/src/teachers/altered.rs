//! Altered copies of the training texts, for teachers to label.

use std::collections::HashMap;

use tinymood_core::Tensor;
use tinymood_text::{Tokenizer, TokenizerError, Word};
use tinymood_train::Neighbours;

/// A text, and those of its words that are one token, with the tokens' ids.
struct Read<'a> {
    text: &'a str,
    words: Vec<(u32, Word)>,
}

impl<'a> Read<'a> {
    fn new(text: &'a str, tokenizer: &Tokenizer) -> Result<Self, TokenizerError> {
        let ids = tokenizer.encode(text)?.ids;
        let characters: Vec<char> = text.chars().collect();
        // `[NAME]` and the like stand for something else.
        let bracketed = |word: &Word| {
            let before = word.characters.start.checked_sub(1).map(|at| characters[at]);
            before == Some('[') && characters.get(word.characters.end) == Some(&']')
        };
        let words = tokenizer.words(text)?.into_iter();
        let words = words.filter(|word| word.tokens.len() == 1 && !bracketed(word));
        let words = words.map(|word| (ids[word.tokens.start], word)).collect();
        Ok(Self { text, words })
    }

    /// The text with other words in the place of some.
    fn with(&self, others: &[Option<u32>], names: &HashMap<u32, &str>) -> String {
        let mut characters = self.text.chars();
        let (mut copy, mut at) = (String::with_capacity(self.text.len() + 16), 0);
        for ((_, word), other) in self.words.iter().zip(others) {
            let Some(name) = other.and_then(|id| names.get(&id)) else { continue };
            copy.extend(characters.by_ref().take(word.characters.start - at));
            copy.push_str(name);
            characters.by_ref().take(word.characters.len()).for_each(drop);
            at = word.characters.end;
        }
        copy.extend(characters);
        copy
    }
}

/// `copies` altered copies of each text that has a word to alter; `embeddings` is (V, H), by the
/// tokenizer's ids.
///
/// # Errors
/// When the tokenizer refuses a text.
pub(crate) fn altered(
    texts: &[&str],
    copies: usize,
    embeddings: &Tensor,
    tokenizer: &Tokenizer,
    seed: u64,
) -> Result<Vec<String>, TokenizerError> {
    let [rows, width] = embeddings.shape[..] else { return Ok(Vec::new()) };
    let mut whole = tokenizer.whole_words()?;
    whole.retain(|(id, _)| (*id as usize) < rows);
    let names: HashMap<u32, &str> = whole.iter().map(|(id, name)| (*id, name.as_str())).collect();
    let words: Vec<u32> = whole.iter().map(|(id, _)| *id).collect();
    let texts = texts.iter().map(|text| Read::new(text, tokenizer));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let mut asked: Vec<u32> =
        texts.iter().flat_map(|text| &text.words).map(|(id, _)| *id).collect();
    asked.sort_unstable();
    asked.dedup();
    asked.retain(|id| names.contains_key(id));
    let neighbours = Neighbours::find(&embeddings.values, width, &words, &asked);
    let mut found = Vec::new();
    for (row, text) in texts.iter().enumerate() {
        let ids: Vec<u32> = text.words.iter().map(|(id, _)| *id).collect();
        let all = (0..copies).map(|copy| (row * copies + copy) as u64);
        let others = all.map_while(|copy| neighbours.replace(&ids, seed, copy));
        found.extend(others.map(|others| text.with(&others, &names)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_keep_all_but_the_words_that_give_way() {
        let tokenizer = Tokenizer::bundled();
        // Along one line, so that a word's neighbours are those of ids around it.
        let place = |id: usize| {
            let angle = id as f32 * 1e-4;
            [angle.cos(), angle.sin()]
        };
        let rows = tokenizer.vocabulary_size();
        let values: Vec<f32> = (0..rows).flat_map(place).collect();
        let embeddings = Tensor { shape: vec![rows, 2], values: values.into() };
        let texts = ["So happy,  [NAME]!! Don't unbefuckinglievable 7 é", "?!", "", "[MASK] cat"];
        let copies = altered(&texts, 5, &embeddings, &tokenizer, 1).unwrap();
        assert_eq!(copies.len(), 10, "{copies:?}");
        let id = |word: &str| i64::from(tokenizer.encode(word).unwrap().ids[1]);
        let mut changed = 0;
        for copy in &copies[..5] {
            let rest = ",  [NAME]!! Don't unbefuckinglievable 7 é";
            let head = copy.strip_suffix(rest).unwrap_or_else(|| panic!("{copy:?}"));
            let (so, happy) = head.split_once(' ').unwrap();
            assert_ne!(head, "So happy");
            for (new, old) in [(so, "So"), (happy, "happy")] {
                assert!((id(new) - id(old)).abs() < 60, "{new} for {old}");
                changed += usize::from(new != old);
            }
        }
        assert!(changed < 10, "all words of all copies changed");
        for copy in &copies[5..] {
            let cat = copy.strip_prefix("[MASK] ").unwrap();
            assert!(cat != "cat" && (id(cat) - id("cat")).abs() < 60, "{cat}");
        }
        assert_eq!(altered(&texts, 5, &embeddings, &tokenizer, 1).unwrap(), copies);
        assert_ne!(altered(&texts, 5, &embeddings, &tokenizer, 2).unwrap(), copies);
    }
}
