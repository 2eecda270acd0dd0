//! Texts to token ids: BERT's WordPiece, from `tokenizer.json` or from `vocab.txt` and
//! `tokenizer_config.json`.
//!
//! ```text
//! basic       texts to words
//! vocabulary  the longest token a text begins with
//! word_piece  texts to ids: added tokens, words, pieces
//! located     where words stand in ids and texts
//! definition  tokenizer.json to that, where it is BERT's and nothing else
//! known       what else a tokenizer.json may ask for
//! guard       panics of the crate made errors
//! ```
//!
//! The reference is the `tokenizers` crate, which does all that `tokenizer.json` can ask for. What
//! is here does only what nearly every BERT asks for, gives the same ids, and takes a fraction of the
//! time. The crate is built where the file asks for more, and to write files.
//!
//! Files may bring truncation and padding of their own (MiniLM's pads to 128): both are overridden.
//! A text that spells a special token (`[SEP]`) gets that token, as `transformers` does.

mod basic;
mod definition;
mod guard;
mod known;
mod located;
#[cfg(test)]
mod tests;
mod vocabulary;
mod word_piece;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value, json};
use tinymood_core::TokenizedText;
use tokenizers::models::ModelWrapper;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, decoders::wordpiece::WordPiece as WordPieceDecoder};

use basic::Basic;
use guard::guarded;
pub use guard::silence_caught_panics;
pub use located::{Token, Word};
use vocabulary::Vocabulary;
use word_piece::{Added, Room, WordPiece as FastWordPiece};

/// The vocabulary of uncased BERT.
const BUNDLED: &str = include_str!("../../../../assets/vocab/vocab.txt");

/// Stand-ins for names in GoEmotions' texts, which can be made tokens of their own.
pub const PLACEHOLDERS: [&str; 2] = ["[NAME]", "[RELIGION]"];

const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// A tokenizer file is a few megabytes; one above this is not.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The crate takes up to 300 bytes of memory for one of text, once it is normalized: a text that may become longer
/// than this is refused.
const MOST_REFERENCE_BYTES: usize = 4 << 20;

/// Texts of this many bytes together are worth a thread: starting one takes as long as they do.
const BYTES_PER_THREAD: usize = 32 << 10;

/// Why there is no tokenizer, or no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A folder without one.
    #[error("{0:?} holds neither tokenizer.json nor vocab.txt")]
    Missing(PathBuf),
    /// A file that cannot be read.
    #[error("cannot read {path:?}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file that is no tokenizer.
    #[error("{from} is no usable tokenizer: {problem}")]
    Contents {
        /// Where it came from.
        from: String,
        /// What is wrong.
        problem: String,
    },
    /// No room for a new token.
    #[error("the vocabulary has no unused slot left for {0:?}")]
    NoSlot(String),
    /// A length that leaves no room for text.
    #[error("max_length is {0}, expected at least 3: two special tokens and one of text")]
    MaxLength(usize),
    /// The tokenizer refuses a text.
    #[error("cannot tokenize a text: {0}")]
    Encode(String),
    /// The tokenizer fails on a text: it is damaged.
    #[error("the tokenizer fails on a text: {0}")]
    Failed(String),
}

/// How BERT's vocabulary is applied, as `tokenizer_config.json` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Casing {
    lowercase: bool,
    /// `None`: as `lowercase`.
    strip_accents: Option<bool>,
    chinese_characters: bool,
    /// `model_max_length`, which `transformers` cuts texts to.
    max_length: usize,
}

impl Default for Casing {
    fn default() -> Self {
        let (lowercase, chinese_characters) = (true, true);
        Self { lowercase, strip_accents: None, chinese_characters, max_length: 128 }
    }
}

/// Texts to token ids.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    shared: Arc<Shared>,
    casing: Casing,
    max_length: usize,
    threads: Option<usize>,
}

/// What all clones of a tokenizer share.
#[derive(Debug)]
struct Shared {
    source: Source,
    /// `None` where the file asks for more than it does.
    fast: Option<FastWordPiece>,
    /// Made when it is first needed.
    reference: OnceLock<Result<Reference, TokenizerError>>,
}

/// The `tokenizers` crate's tokenizer.
#[derive(Debug)]
struct Reference {
    tokenizer: tokenizers::Tokenizer,
    /// How many bytes its normalizer may make of one.
    growth: usize,
}

/// What a tokenizer is made from.
#[derive(Debug)]
struct Source {
    text: Cow<'static, str>,
    /// Whether the text is a `vocab.txt`, and how it is applied, or a `tokenizer.json`.
    vocabulary: Option<Casing>,
    /// Names it in errors.
    from: String,
}

impl Source {
    fn wrong(&self, problem: impl ToString) -> TokenizerError {
        TokenizerError::Contents { from: self.from.clone(), problem: problem.to_string() }
    }
}

impl Tokenizer {
    /// The tokenizer of uncased BERT, with the bundled vocabulary.
    pub fn bundled() -> Self {
        let from = "the bundled vocabulary".to_owned();
        Self::from_vocabulary(Cow::Borrowed(BUNDLED), Casing::default(), from)
            .expect("the bundled vocabulary is whole, as a test shows")
    }

    /// The tokenizer of a model folder: `tokenizer.json`, else `vocab.txt`, which
    /// `tokenizer_config.json` says how to apply.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn from_folder(folder: &Path) -> Result<Self, TokenizerError> {
        let casing = match read(&folder.join("tokenizer_config.json"))? {
            Some(text) => casing(&text),
            None => Casing::default(),
        };
        let path = folder.join("tokenizer.json");
        if let Some(text) = read(&path)? {
            return Self::from_json(text, casing, path.display().to_string());
        }
        let path = folder.join("vocab.txt");
        match read(&path)? {
            Some(text) => {
                Self::from_vocabulary(Cow::Owned(text), casing, path.display().to_string())
            }
            None => Err(TokenizerError::Missing(folder.to_owned())),
        }
    }

    fn from_json(text: String, casing: Casing, from: String) -> Result<Self, TokenizerError> {
        let fast = definition::word_piece(&text);
        Self::new(Source { text: Cow::Owned(text), vocabulary: None, from }, fast, casing)
    }

    fn from_vocabulary(
        text: Cow<'static, str>,
        casing: Casing,
        from: String,
    ) -> Result<Self, TokenizerError> {
        let source = Source { text, vocabulary: Some(casing), from };
        let mut vocabulary = Vocabulary::with_capacity(source.text.len() / 8);
        for (token, id) in source.text.lines().zip(0_u32..) {
            if vocabulary.insert(token, id).is_some() {
                return Err(source.wrong(format!("the token {token:?} stands twice")));
            }
        }
        let id = |token: &str| {
            let id = vocabulary.id(token);
            id.ok_or_else(|| source.wrong(format!("it lacks the token {token:?}")))
        };
        let (unknown, cls, sep) = (id("[UNK]")?, id("[CLS]")?, id("[SEP]")?);
        let special = SPECIAL.iter().filter_map(|token| Some((*token, vocabulary.id(token)?)));
        let fast = FastWordPiece {
            basic: Basic {
                lowercase: casing.lowercase,
                strip_accents: casing.strip_accents.unwrap_or(casing.lowercase),
                chinese_characters: casing.chinese_characters,
            },
            added: Added::new(special),
            vocabulary,
            unknown,
            frame: [cls, sep],
            max_characters: 100,
        };
        Self::new(source, Some(fast), casing)
    }

    fn new(
        source: Source,
        fast: Option<FastWordPiece>,
        casing: Casing,
    ) -> Result<Self, TokenizerError> {
        let shared = Arc::new(Shared { source, fast, reference: OnceLock::new() });
        let tokenizer = Self { shared, casing, max_length: casing.max_length, threads: None };
        if tokenizer.shared.fast.is_none() {
            tokenizer.reference()?;
        }
        // What frames every text is checked on the shortest.
        let wrong = |problem| tokenizer.shared.source.wrong(problem);
        let empty = tokenizer.encode("").map_err(|error| wrong(error.to_string()))?;
        if empty.full_length != 2 {
            let problem = format!("it frames an empty text in {} tokens", empty.full_length);
            return Err(wrong(format!("{problem}, expected [CLS] and [SEP]")));
        }
        Ok(tokenizer)
    }

    /// The `tokenizers` crate's tokenizer.
    fn reference(&self) -> Result<&tokenizers::Tokenizer, TokenizerError> {
        Ok(&self.bounded_reference()?.tokenizer)
    }

    /// What the crate makes of a text.
    ///
    /// # Errors
    /// When the crate refuses the text or panics, or the text may become too long.
    fn by_reference<T>(
        &self,
        text: &str,
        encode: impl FnOnce(&tokenizers::Tokenizer) -> tokenizers::Result<T>,
    ) -> Result<T, TokenizerError> {
        let Reference { tokenizer, growth } = self.bounded_reference()?;
        let most = MOST_REFERENCE_BYTES / growth;
        if text.len() > most {
            let length = text.len();
            let problem = format!("it has {length} bytes, this tokenizer takes at most {most}");
            return Err(TokenizerError::Encode(problem));
        }
        let encoded = guarded(|| encode(tokenizer)).map_err(TokenizerError::Failed)?;
        encoded.map_err(|error| TokenizerError::Encode(error.to_string()))
    }

    fn bounded_reference(&self) -> Result<&Reference, TokenizerError> {
        let Shared { source, reference, .. } = &*self.shared;
        let make = || {
            let (mut tokenizer, growth) = match source.vocabulary {
                Some(casing) => (reference_from_vocabulary(source, casing)?, 1),
                None => reference_from_json(source)?,
            };
            tokenizer.with_truncation(None).map_err(|error| source.wrong(error))?;
            tokenizer.with_padding(None);
            Ok(Reference { tokenizer, growth })
        };
        let made = reference.get_or_init(|| {
            guarded(make)
                .unwrap_or_else(|problem| Err(source.wrong(format!("it is damaged: {problem}"))))
        });
        made.as_ref().map_err(|error| {
            source.wrong(match error {
                TokenizerError::Contents { problem, .. } => problem.clone(),
                other => other.to_string(),
            })
        })
    }

    /// Cuts texts to this many tokens, special ones included.
    ///
    /// # Errors
    /// When no room is left for text.
    pub fn with_max_length(mut self, max_length: usize) -> Result<Self, TokenizerError> {
        if max_length < 3 {
            return Err(TokenizerError::MaxLength(max_length));
        }
        self.max_length = max_length;
        Ok(self)
    }

    /// Encodes many texts on so many threads; `None`, as it is made, on all cores.
    #[must_use]
    pub fn with_threads(self, threads: Option<usize>) -> Self {
        Self { threads, ..self }
    }

    /// The most tokens of a text, special ones included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// One past the largest token id.
    pub fn vocabulary_size(&self) -> usize {
        if let Some(fast) = &self.shared.fast {
            return fast.vocabulary.end();
        }
        // `new` has made the reference, and would have failed if it could not.
        let ids = self.reference().map(|reference| reference.get_vocab(true)).unwrap_or_default();
        ids.into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// When the tokenizer refuses it.
    pub fn encode(&self, text: &str) -> Result<TokenizedText, TokenizerError> {
        if let Some(fast) = &self.shared.fast {
            let mut room = Room::default();
            return Ok(self.cut(fast.encode(text, &mut room)));
        }
        let encoding = self.by_reference(text, |reference| reference.encode_fast(text, true))?;
        Ok(self.cut(encoding.get_ids()))
    }

    /// The ids of many texts, in their order, on all [threads](Self::with_threads).
    ///
    /// # Errors
    /// When the tokenizer refuses one.
    pub fn encode_all(&self, texts: &[&str]) -> Result<Vec<TokenizedText>, TokenizerError> {
        self.encode_each(texts).into_iter().collect()
    }

    /// [`Self::encode_all`] where a text that the tokenizer refuses takes nothing from the others.
    pub fn encode_each(&self, texts: &[&str]) -> Vec<Result<TokenizedText, TokenizerError>> {
        let encode = |texts: &[&str]| -> Vec<Result<TokenizedText, TokenizerError>> {
            let Some(fast) = &self.shared.fast else {
                return texts.iter().map(|text| self.encode(text)).collect();
            };
            let mut room = Room::default();
            texts.iter().map(|text| Ok(self.cut(fast.encode(text, &mut room)))).collect()
        };
        let shares = self.shares(texts.iter().map(|text| text.len()).sum());
        if shares < 2 {
            return encode(texts);
        }
        let share = texts.len().div_ceil(shares).max(1);
        let mut encoded = Vec::with_capacity(texts.len());
        std::thread::scope(|scope| {
            let (own, others) = texts.split_at(share.min(texts.len()));
            let others = others.chunks(share).map(|texts| scope.spawn(move || encode(texts)));
            let others: Vec<_> = others.collect();
            encoded.extend(encode(own));
            for other in others {
                let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                encoded.extend(other);
            }
        });
        encoded
    }

    /// How many threads texts of so many bytes together are worth.
    fn shares(&self, bytes: usize) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (bytes / BYTES_PER_THREAD).min(self.threads.unwrap_or_else(cores))
    }

    /// Keeps the beginning and the closing `[SEP]`.
    fn cut(&self, ids: &[u32]) -> TokenizedText {
        let full_length = ids.len();
        let mut kept = ids[..full_length.min(self.max_length)].to_vec();
        if let (true, Some(end), Some(last)) =
            (full_length > self.max_length, kept.last_mut(), ids.last())
        {
            *end = *last;
        }
        TokenizedText { ids: kept, full_length }
    }

    /// Makes each of `names` a token of its own, in a slot of the vocabulary that no text uses
    /// (`[unused0]`, …). Those that are tokens already stay as they are.
    ///
    /// # Errors
    /// When no slot is left.
    pub fn with_placeholders(self, names: &[&str]) -> Result<Self, TokenizerError> {
        let mut value = self.to_json()?;
        for name in names {
            if value["model"]["vocab"].get(name).is_some() {
                continue;
            }
            let vocabulary = value["model"]["vocab"].as_object_mut();
            let no_slot = || TokenizerError::NoSlot((*name).to_owned());
            let vocabulary = vocabulary.ok_or_else(no_slot)?;
            let slot = vocabulary
                .iter()
                .filter(|(token, _)| token.starts_with("[unused"))
                .filter_map(|(token, id)| Some((id.as_u64()?, token.clone())))
                .min();
            let (id, token) = slot.ok_or_else(no_slot)?;
            vocabulary.remove(&token);
            vocabulary.insert((*name).to_owned(), json!(id));
            let added = json!({
                "id": id, "content": name, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": false,
            });
            match value["added_tokens"].as_array_mut() {
                Some(list) => list.push(added),
                None => value["added_tokens"] = json!([added]),
            }
        }
        let from = self.shared.source.from.clone();
        let tokenizer = Self::from_json(value.to_string(), self.casing, from)?;
        tokenizer.with_threads(self.threads).with_max_length(self.max_length)
    }

    fn to_json(&self) -> Result<Value, TokenizerError> {
        let reference = self.reference()?;
        serde_json::to_value(reference).map_err(|error| self.shared.source.wrong(error))
    }

    /// The files that `transformers` opens the tokenizer from, by name.
    ///
    /// # Errors
    /// When the tokenizer cannot be written down.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, TokenizerError> {
        let mut tokens: Vec<(u32, String)> =
            self.reference()?.get_vocab(true).into_iter().map(|(t, id)| (id, t)).collect();
        tokens.sort_unstable();
        let vocabulary: String = tokens.iter().map(|(_, token)| format!("{token}\n")).collect();
        let special = json!({
            "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]",
            "cls_token": "[CLS]", "mask_token": "[MASK]",
        });
        let mut config = special.clone();
        config["tokenizer_class"] = json!("BertTokenizer");
        config["do_lower_case"] = json!(self.casing.lowercase);
        config["strip_accents"] = json!(self.casing.strip_accents);
        config["tokenize_chinese_chars"] = json!(self.casing.chinese_characters);
        config["model_max_length"] = json!(self.max_length);
        let text = |value: &Value| format!("{value:#}\n").into_bytes();
        Ok(vec![
            ("tokenizer.json".to_owned(), self.to_json()?.to_string().into_bytes()),
            ("vocab.txt".to_owned(), vocabulary.into_bytes()),
            ("tokenizer_config.json".to_owned(), text(&config)),
            ("special_tokens_map.json".to_owned(), text(&special)),
        ])
    }
}

/// The crate's tokenizer of a `tokenizer.json`, and how many bytes its normalizer may make of one.
fn reference_from_json(source: &Source) -> Result<(tokenizers::Tokenizer, usize), TokenizerError> {
    let value: Value = serde_json::from_str(&source.text).map_err(|error| source.wrong(error))?;
    let growth = known::check(&value).map_err(|problem| source.wrong(problem))?;
    // As it was checked: of a field that is there twice, the text says two things.
    let made = tokenizers::Tokenizer::from_bytes(value.to_string().as_bytes());
    let made = made.map_err(|error| source.wrong(error))?;
    match made.get_model() {
        ModelWrapper::WordPiece(_) => Ok((made, growth)),
        _ => Err(source.wrong("its model has no type, expected \"WordPiece\"")),
    }
}

/// The crate's tokenizer of a `vocab.txt` that has been read already.
fn reference_from_vocabulary(
    source: &Source,
    casing: Casing,
) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let vocabulary: Map<String, Value> =
        source.text.lines().zip(0_u32..).map(|(token, id)| (token.to_owned(), json!(id))).collect();
    let id = |token: &str| vocabulary[token].as_u64().unwrap_or_default() as u32;
    let (cls, sep) = (id("[CLS]"), id("[SEP]"));
    let special = SPECIAL.into_iter().filter(|token| vocabulary.contains_key(*token));
    let special: Vec<AddedToken> = special.map(|token| AddedToken::from(token, true)).collect();
    let model = json!({
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": vocabulary,
    });
    let model: WordPiece =
        serde_json::from_str(&model.to_string()).map_err(|error| source.wrong(error))?;
    let mut reference = tokenizers::Tokenizer::new(model);
    let normalizer = BertNormalizer::new(
        true,
        casing.chinese_characters,
        casing.strip_accents,
        casing.lowercase,
    );
    reference.with_normalizer(Some(normalizer)).map_err(|error| source.wrong(error))?;
    reference.with_pre_tokenizer(Some(BertPreTokenizer));
    let processing = BertProcessing::new(("[SEP]".to_owned(), sep), ("[CLS]".to_owned(), cls));
    reference.with_post_processor(Some(processing));
    reference.with_decoder(Some(WordPieceDecoder::default()));
    reference.add_special_tokens(special).map_err(|error| source.wrong(error))?;
    Ok(reference)
}

/// What a `tokenizer_config.json` says; what it does not say, or a damaged one, is BERT's default.
fn casing(text: &str) -> Casing {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let default = Casing::default();
    Casing {
        lowercase: value["do_lower_case"].as_bool().unwrap_or(default.lowercase),
        strip_accents: value["strip_accents"].as_bool(),
        chinese_characters: value["tokenize_chinese_chars"]
            .as_bool()
            .unwrap_or(default.chinese_characters),
        max_length: value["model_max_length"]
            .as_u64()
            .and_then(|length| usize::try_from(length).ok())
            .filter(|length| (3..=1 << 20).contains(length)) // 10^30 stands for none
            .unwrap_or(default.max_length),
    }
}

/// A file's text, or `None` where there is no such file. One that is there and cannot be read is an error.
fn read(path: &Path) -> Result<Option<String>, TokenizerError> {
    tinymood_files::read_document(path, MAX_FILE_BYTES)
        .map_err(|source| TokenizerError::Io { path: path.to_owned(), source })
}
