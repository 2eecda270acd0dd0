//! `tokenizer.json` to a [`WordPiece`], where it asks for BERT's tokenizer and nothing else. What
//! differs in the least is left to the `tokenizers` crate.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

use super::basic::Basic;
use super::known::MOST_WORD;
use super::vocabulary::Vocabulary;
use super::word_piece::{Added, WordPiece};

/// More added tokens than this want an automaton, which the crate has.
const MAX_ADDED: usize = 64;

/// A whole file. Truncation and padding are overridden whatever they are; the decoder is not used.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    version: Version,
    #[serde(rename = "truncation")]
    _truncation: Option<IgnoredAny>,
    #[serde(rename = "padding")]
    _padding: Option<IgnoredAny>,
    #[serde(rename = "decoder")]
    _decoder: Option<IgnoredAny>,
    #[serde(borrow)]
    added_tokens: Vec<AddedToken<'a>>,
    normalizer: Normalizer,
    pre_tokenizer: PreTokenizer,
    post_processor: Value,
    #[serde(borrow)]
    model: Model<'a>,
}

#[derive(Deserialize)]
enum Version {
    #[serde(rename = "1.0")]
    One,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddedToken<'a> {
    id: u32,
    #[serde(borrow)]
    content: Cow<'a, str>,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    #[serde(rename = "special")]
    _special: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum Normalizer {
    BertNormalizer {
        clean_text: bool,
        handle_chinese_chars: bool,
        strip_accents: Option<bool>,
        lowercase: bool,
    },
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum PreTokenizer {
    BertPreTokenizer {},
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model<'a> {
    r#type: Kind,
    #[serde(borrow)]
    unk_token: Cow<'a, str>,
    #[serde(borrow)]
    continuing_subword_prefix: Cow<'a, str>,
    max_input_chars_per_word: usize,
    #[serde(rename = "vocab", deserialize_with = "vocabulary")]
    vocabulary: Vocabulary,
}

#[derive(Deserialize)]
enum Kind {
    WordPiece,
}

/// The tokenizer that a file asks for; `None` where only the crate can tell what it is.
pub(super) fn word_piece(text: &str) -> Option<WordPiece> {
    let file: File<'_> = serde_json::from_str(text).ok()?;
    let File { version: Version::One, model, added_tokens, .. } = file;
    let Model { r#type: Kind::WordPiece, vocabulary, .. } = model;
    let Normalizer::BertNormalizer { clean_text, handle_chinese_chars, strip_accents, lowercase } =
        file.normalizer;
    let PreTokenizer::BertPreTokenizer {} = file.pre_tokenizer;
    let unknown = vocabulary.id(&model.unk_token)?;
    let is_plain = |token: &AddedToken<'_>| {
        let AddedToken { id, single_word, lstrip, rstrip, normalized, .. } = *token;
        let bends = single_word || lstrip || rstrip || normalized;
        !bends && !token.content.is_empty() && vocabulary.id(&token.content) == Some(id)
    };
    let ids: BTreeSet<u32> = added_tokens.iter().map(|token| token.id).collect();
    let is_all = clean_text
        && model.continuing_subword_prefix == "##"
        && model.max_input_chars_per_word as u64 <= MOST_WORD
        && added_tokens.len() <= MAX_ADDED
        && ids.len() == added_tokens.len()
        && added_tokens.iter().all(is_plain);
    let frame = frame(&file.post_processor)?;
    is_all.then(|| WordPiece {
        basic: Basic {
            lowercase,
            strip_accents: strip_accents.unwrap_or(lowercase),
            chinese_characters: handle_chinese_chars,
        },
        added: Added::new(added_tokens.iter().map(|token| (&*token.content, token.id))),
        vocabulary,
        unknown,
        frame,
        max_characters: model.max_input_chars_per_word,
    })
}

/// The ids of what is set before and after a text.
fn frame(post_processor: &Value) -> Option<[u32; 2]> {
    let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
    match post_processor["type"].as_str()? {
        "BertProcessing" => {
            let of = |field: &str| match post_processor[field].as_array()?.as_slice() {
                [Value::String(_), value] => id(value),
                _ => None,
            };
            Some([of("cls")?, of("sep")?])
        }
        "TemplateProcessing" => {
            let single = post_processor["single"].as_array()?;
            let [before, text, after] = single.as_slice() else { return None };
            let of = |part: &Value| {
                let name = part["SpecialToken"]["id"].as_str()?;
                let is_plain = *part == json!({"SpecialToken": {"id": name, "type_id": 0}});
                let ids = post_processor["special_tokens"][name]["ids"].as_array()?;
                if let ([value], true) = (ids.as_slice(), is_plain) { id(value) } else { None }
            };
            let is_text = *text == json!({"Sequence": {"id": "A", "type_id": 0}});
            is_text.then_some([of(before)?, of(after)?])
        }
        _ => None,
    }
}

/// A map of tokens to ids, without a string for each.
fn vocabulary<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vocabulary, D::Error> {
    /// Borrowed where nothing in it is escaped.
    #[derive(Deserialize)]
    struct Token<'a>(#[serde(borrow)] Cow<'a, str>);

    struct Tokens;

    impl<'de> Visitor<'de> for Tokens {
        type Value = Vocabulary;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of tokens to ids")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
            let mut vocabulary = Vocabulary::with_capacity(1 << 12);
            while let Some((Token(token), id)) = map.next_entry()? {
                vocabulary.insert(&token, id);
            }
            Ok(vocabulary)
        }
    }
    deserializer.deserialize_map(Tokens)
}
