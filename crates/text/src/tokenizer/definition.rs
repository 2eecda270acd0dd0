//! `tokenizer.json` where it asks for BERT's tokenizer and nothing else. What differs in the least is
//! left to the `tokenizers` crate.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::basic::Basic;
use super::known::MOST_WORD;
use super::vocabulary::Vocabulary;

/// No vocabulary is larger. The crate writes one in as many steps as its largest id.
pub(super) const MAX_IDS: usize = 1 << 24;

/// What is wrong with a file that keeps the end of a long text.
pub(super) const LEFT: &str = "truncation.direction is \"Left\", expected \"Right\"";

/// The decoders of the `tokenizers` crate.
const DECODERS: [&str; 10] = [
    "BPEDecoder",
    "ByteFallback",
    "ByteLevel",
    "CTC",
    "Fuse",
    "Metaspace",
    "Replace",
    "Sequence",
    "Strip",
    "WordPiece",
];

/// A whole file. The length of truncation and padding are overridden; the decoder is not used.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    version: Version,
    truncation: Option<Truncation>,
    #[serde(rename = "padding")]
    _padding: Option<IgnoredAny>,
    #[serde(rename = "decoder")]
    _decoder: Option<IgnoredAny>,
    #[serde(borrow)]
    added_tokens: Vec<Listed<'a>>,
    normalizer: Normalizer,
    pre_tokenizer: PreTokenizer,
    post_processor: Value,
    #[serde(borrow)]
    model: Model<'a>,
}

#[derive(Deserialize)]
struct Truncation {
    direction: Option<Direction>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
enum Direction {
    Left,
    Right,
}

#[derive(Deserialize)]
enum Version {
    #[serde(rename = "1.0")]
    One,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed<'a> {
    id: u32,
    #[serde(borrow)]
    content: Cow<'a, str>,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

impl Listed<'_> {
    fn into_token(self) -> (u32, AddedToken) {
        let token = AddedToken {
            content: self.content.into_owned(),
            single_word: self.single_word,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            normalized: self.normalized,
            special: self.special,
        };
        (self.id, token)
    }
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

/// A `tokenizer.json` that asks for BERT's tokenizer.
pub(super) struct Definition {
    pub(super) basic: Basic,
    pub(super) vocabulary: Vocabulary,
    /// Its added tokens, in their order.
    pub(super) added: Vec<(u32, AddedToken)>,
    pub(super) unknown: u32,
    pub(super) frame: [u32; 2],
    pub(super) max_characters: usize,
}

/// What a file asks for; `None` where only the crate can tell what it is.
pub(super) fn word_piece(text: &str) -> Option<Definition> {
    let file: File<'_> = serde_json::from_str(text).ok()?;
    let File { version: Version::One, model, added_tokens, .. } = file;
    let Model { r#type: Kind::WordPiece, vocabulary, .. } = model;
    let Normalizer::BertNormalizer { clean_text, handle_chinese_chars, strip_accents, lowercase } =
        file.normalizer;
    let PreTokenizer::BertPreTokenizer {} = file.pre_tokenizer;
    let unknown = vocabulary.id(&model.unk_token)?;
    let frame = frame(&file.post_processor)?;
    let is_left = file.truncation.and_then(|it| it.direction) == Some(Direction::Left);
    let is_all = vocabulary.end() <= MAX_IDS
        && clean_text
        && !is_left
        && model.max_input_chars_per_word as u64 <= MOST_WORD
        && model.continuing_subword_prefix == "##";
    is_all.then(|| Definition {
        basic: Basic {
            lowercase,
            strip_accents: strip_accents.unwrap_or(lowercase),
            chinese_characters: handle_chinese_chars,
        },
        vocabulary,
        added: added_tokens.into_iter().map(Listed::into_token).collect(),
        unknown,
        frame,
        max_characters: model.max_input_chars_per_word,
    })
}

/// The vocabulary and the added tokens of a file, and nothing else of it.
///
/// # Errors
/// When the file has none, or its model is no WordPiece.
pub(super) fn vocabulary_of(text: &str) -> Result<Parts, String> {
    /// What transformers takes from a file for a `BertTokenizer`.
    #[derive(Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        added_tokens: Vec<Listed<'a>>,
        truncation: Option<Truncation>,
        /// Not used, but a file with one that nobody knows is refused by transformers.
        #[serde(default)]
        decoder: Value,
        #[serde(borrow)]
        model: Model<'a>,
    }

    /// Of these, transformers uses the vocabulary alone, but refuses the others if they are of another kind.
    #[derive(Deserialize)]
    struct Model<'a> {
        #[serde(default)]
        r#type: Value,
        #[serde(rename = "unk_token", default, borrow)]
        _unknown: Cow<'a, str>,
        #[serde(rename = "continuing_subword_prefix", default, borrow)]
        _prefix: Cow<'a, str>,
        #[serde(rename = "max_input_chars_per_word", default)]
        _max_characters: usize,
        #[serde(rename = "vocab", deserialize_with = "vocabulary")]
        vocabulary: Vocabulary,
    }

    let File { added_tokens, truncation, decoder, model } =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !model.r#type.is_null() && model.r#type != "WordPiece" {
        return Err(format!("its model is {}, expected \"WordPiece\"", model.r#type));
    }
    let kind = decoder["type"].as_str();
    if !decoder.is_null() && !kind.is_some_and(|kind| DECODERS.contains(&kind)) {
        return Err(format!("its decoder is {decoder}, expected one of {}", DECODERS.join(", ")));
    }
    if truncation.and_then(|it| it.direction) == Some(Direction::Left) {
        return Err(LEFT.to_owned());
    }
    if model.vocabulary.end() > MAX_IDS {
        return Err(format!(
            "it has the id {}, expected ids below {MAX_IDS}",
            model.vocabulary.end() - 1
        ));
    }
    let added = added_tokens.into_iter().map(Listed::into_token).collect();
    Ok((model.vocabulary, added))
}

/// A vocabulary, and added tokens with their ids.
pub(super) type Parts = (Vocabulary, Vec<(u32, AddedToken)>);

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
