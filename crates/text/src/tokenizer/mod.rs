//! Texts to token ids: BERT's WordPiece, from `tokenizer.json` or `vocab.txt`, and the small files that
//! say how to apply them.
//!
//! ```text
//! config      the small files: class, casing, length, special and added tokens
//! basic       texts to words
//! vocabulary  the longest token a text begins with
//! added       the ids of added tokens
//! word_piece  texts to ids: added tokens, words, pieces
//! located     where words stand in ids and texts
//! definition  tokenizer.json to that, where it is BERT's and nothing else
//! written     the files that a tokenizer is saved as; placeholders
//! known       what else a tokenizer.json may ask for
//! guard       panics of the crate made errors
//! ```
//!
//! A folder is read as `AutoTokenizer` of `transformers` 5 reads it. For a `BertTokenizer`, which is also
//! meant where no file names a class, only the vocabulary and the added tokens of `tokenizer.json` count:
//! the rest is BERT's, with the casing of `tokenizer_config.json`. For a `PreTrainedTokenizerFast`,
//! `tokenizer.json` is read as it is.
//!
//! The reference is the `tokenizers` crate, which does all that `tokenizer.json` can ask for. What
//! is here does only what nearly every BERT asks for, gives the same ids, and takes a fraction of the
//! time. The crate is built where the files ask for more, and to write files.
//!
//! Files may bring truncation and padding of their own (MiniLM's pads to 128): both are overridden.
//! A text that spells a special token (`[SEP]`) gets that token, as `transformers` does.

mod added;
mod basic;
mod config;
mod definition;
mod guard;
mod known;
mod located;
#[cfg(test)]
mod tests;
mod vocabulary;
mod word_piece;
mod written;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value, json};
use tinymood_core::TokenizedText;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::ModelWrapper;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;

use added::AddedVocabulary;
use basic::Basic;
use config::{Class, Config};
use guard::guarded;
pub use guard::silence_caught_panics;
pub use located::{Token, Word};
use vocabulary::Vocabulary;
use word_piece::{Room, WordPiece as FastWordPiece};

/// The vocabulary of uncased BERT.
const BUNDLED: &str = include_str!("../../../../assets/vocab/vocab.txt");

/// Stand-ins for names in GoEmotions' texts, which can be made tokens of their own.
pub const PLACEHOLDERS: [&str; 2] = ["[NAME]", "[RELIGION]"];

/// The length of the bundled tokenizer.
const BUNDLED_LENGTH: usize = 128;

/// The length where no file names one. A model's positions limit it.
const NO_LIMIT: usize = usize::MAX;

/// A longer word is unknown to BERT.
const MAX_WORD_CHARACTERS: usize = 100;

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
    /// A small file that cannot be parsed.
    #[error("cannot use {from:?}: {problem}")]
    Config {
        /// The file.
        from: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A field that is not supported.
    #[error("{from}: {field} is {found}, expected {expected}")]
    Field {
        /// The file.
        from: String,
        /// The field.
        field: String,
        /// Its value.
        found: String,
        /// What is supported.
        expected: String,
    },
    /// A text has a token that the model does not know.
    #[error(
        "the token {token:?} has the id {id}, but the model has embeddings only for ids below {rows}"
    )]
    NoEmbedding {
        /// What the vocabulary calls it.
        token: String,
        /// Its id.
        id: u32,
        /// The model's `vocab_size`.
        rows: usize,
    },
    /// A row of a dataset that the tokenizer refuses.
    #[error("cannot tokenize the text of line {line}")]
    Row {
        /// Its line in the file, from 1.
        line: u64,
        /// Why.
        #[source]
        source: Box<TokenizerError>,
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

/// Texts to token ids.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    shared: Arc<Shared>,
    max_length: usize,
    threads: Option<usize>,
    /// The model's `vocab_size`, where the vocabulary is larger.
    rows: Option<usize>,
}

/// What all clones of a tokenizer share.
#[derive(Debug)]
struct Shared {
    source: Source,
    /// `None` where the files ask for more than it does.
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
    /// Whether the text is a `tokenizer.json`, or a `vocab.txt`.
    is_json: bool,
    config: Config,
    /// Names the text in errors.
    from: String,
}

impl Source {
    fn wrong(&self, problem: impl ToString) -> TokenizerError {
        TokenizerError::Contents { from: self.from.clone(), problem: problem.to_string() }
    }
}

/// The tokens of a `vocab.txt` with their ids. Blanks at the end of a line are no part of its token. Of
/// lines that are the same, the last one counts.
fn lines(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().map(str::trim_end).zip(0_u32..)
}

impl Tokenizer {
    /// The tokenizer of uncased BERT, with the bundled vocabulary. It cuts texts to 128 tokens.
    pub fn bundled() -> Self {
        let config = Config { max_length: Some(BUNDLED_LENGTH), ..Config::default() };
        Self::from_vocabulary(Cow::Borrowed(BUNDLED), config, "the bundled vocabulary".to_owned())
            .expect("the bundled vocabulary is whole, as a test shows")
    }

    /// The tokenizer of a model folder: `tokenizer.json`, else `vocab.txt`, and what
    /// `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` and `config.json` say of it.
    ///
    /// # Errors
    /// When there is none, or it cannot be read, or a file asks for what is not supported.
    pub fn from_folder(folder: &Path) -> Result<Self, TokenizerError> {
        let config = Config::read(folder)?;
        let path = folder.join("tokenizer.json");
        if let Some(text) = read(&path)? {
            return Self::from_json(text, config, path.display().to_string());
        }
        let path = folder.join("vocab.txt");
        let Some(text) = read(&path)? else {
            return Err(TokenizerError::Missing(folder.to_owned()));
        };
        let from = path.display().to_string();
        if config.class == Class::File {
            let problem = "its tokenizer_class is read from tokenizer.json, which is not there";
            return Err(TokenizerError::Contents { from, problem: problem.to_owned() });
        }
        Self::from_vocabulary(Cow::Owned(text), config, from)
    }

    fn from_json(text: String, config: Config, from: String) -> Result<Self, TokenizerError> {
        let mut source = Source { text: Cow::Owned(text), is_json: true, config, from };
        if source.config.class == Class::Bert {
            let parts = definition::vocabulary_of(&source.text);
            let (vocabulary, listed) = parts.map_err(|problem| source.wrong(problem))?;
            let Some(field) = lacking(&source.config, &vocabulary, &listed) else {
                if source.config.is_legacy {
                    source.config.listed.extend(listed);
                }
                return Self::bert(source, vocabulary);
            };
            if let Some((from, found)) = source.config.said.get(field) {
                return Err(TokenizerError::Field {
                    from: from.clone(),
                    field: field.to_owned(),
                    found: found.clone(),
                    expected: format!("a token of {}", source.from),
                });
            }
            // A BertTokenizer cannot be made of it: its special tokens have other names, which no file says.
            source.config.read_as_file();
        }
        let Some(found) = definition::word_piece(&source.text) else {
            return Self::new(source, None);
        };
        let mut added = AddedVocabulary::default();
        let known: Vec<_> = found.added.iter().map(|(_, token)| token.clone()).collect();
        added.add(&found.vocabulary, &known);
        let is_assigned = |(id, token): &(u32, tokenizers::AddedToken)| {
            added.id(&found.vocabulary, &token.content) == Some(*id)
        };
        let is_plain = found.added.iter().all(is_assigned);
        added.add(&found.vocabulary, &source.config.tokens(&known));
        let fast = added.plain().filter(|_| is_plain).map(|plain| FastWordPiece {
            basic: found.basic,
            end: found.vocabulary.end().max(added.end()),
            added: plain,
            vocabulary: found.vocabulary,
            unknown: found.unknown,
            frame: found.frame,
            max_characters: found.max_characters,
        });
        Self::new(source, fast)
    }

    fn from_vocabulary(
        text: Cow<'static, str>,
        config: Config,
        from: String,
    ) -> Result<Self, TokenizerError> {
        let source = Source { text, is_json: false, config, from };
        let mut vocabulary = Vocabulary::with_capacity(source.text.len() / 8);
        for (token, id) in lines(&source.text) {
            vocabulary.insert(token, id);
        }
        match lacking(&source.config, &vocabulary, &[]) {
            Some(field) => {
                let token = source.config.name(field).unwrap_or(field);
                Err(source.wrong(format!("it lacks the token {token:?}")))
            }
            None => Self::bert(source, vocabulary),
        }
    }

    /// A `BertTokenizer` of a vocabulary that [lacks](lacking) nothing.
    fn bert(source: Source, vocabulary: Vocabulary) -> Result<Self, TokenizerError> {
        let config = &source.config;
        let mut added = AddedVocabulary::default();
        added.add(&vocabulary, &config.tokens(&[]));
        let id = |name: &str| {
            let id = config.name(name).and_then(|name| added.id(&vocabulary, name));
            id.ok_or_else(|| source.wrong(format!("it lacks the {name}")))
        };
        let (unknown, frame) = (id("unk_token")?, [id("cls_token")?, id("sep_token")?]);
        let fast = added.plain().map(|plain| FastWordPiece {
            basic: Basic {
                lowercase: config.casing.lowercase,
                strip_accents: config.casing.strip_accents.unwrap_or(config.casing.lowercase),
                chinese_characters: config.casing.chinese_characters,
            },
            end: vocabulary.end().max(added.end()),
            added: plain,
            vocabulary,
            unknown,
            frame,
            max_characters: MAX_WORD_CHARACTERS,
        });
        Self::new(source, fast)
    }

    fn new(source: Source, fast: Option<FastWordPiece>) -> Result<Self, TokenizerError> {
        let max_length = source.config.max_length.unwrap_or(NO_LIMIT);
        let shared = Arc::new(Shared { source, fast, reference: OnceLock::new() });
        let tokenizer = Self { shared, max_length, threads: None, rows: None };
        if tokenizer.shared.fast.is_none() {
            tokenizer.reference()?;
        }
        let config = &tokenizer.shared.source.config;
        let wrong = |problem| tokenizer.shared.source.wrong(problem);
        for (&id, token) in config.listed.iter().filter(|(_, token)| !token.content.is_empty()) {
            let content = &token.content;
            if tokenizer.id(content)? != Some(id) {
                let vocabulary = &tokenizer.shared.source.from;
                return Err(TokenizerError::Contents {
                    from: config.listed_in.as_ref().unwrap_or(vocabulary).clone(),
                    problem: format!(
                        "the added token {content:?} cannot have the id {id}: {vocabulary} gives it another"
                    ),
                });
            }
        }
        for token in &config.never_split {
            if !tokenizer.is_added(token)? {
                return Err(config.split(token));
            }
        }
        // What frames every text is checked on the shortest.
        let empty = tokenizer.encode("").map_err(|error| wrong(error.to_string()))?;
        if empty.full_length != 2 {
            let problem = format!("it frames an empty text in {} tokens", empty.full_length);
            return Err(wrong(format!("{problem}, expected [CLS] and [SEP]")));
        }
        let end = tokenizer.vocabulary_size();
        match empty.ids.iter().find(|id| **id as usize >= end) {
            Some(id) => Err(wrong(format!(
                "it frames every text with the id {id}, but its vocabulary has only ids below {end}"
            ))),
            None => Ok(tokenizer),
        }
    }

    /// The id of a token, added or not.
    fn id(&self, token: &str) -> Result<Option<u32>, TokenizerError> {
        match &self.shared.fast {
            Some(fast) => Ok(fast.id(token)),
            None => Ok(self.reference()?.token_to_id(token)),
        }
    }

    /// Whether a token is found in texts before they are split into words.
    fn is_added(&self, token: &str) -> Result<bool, TokenizerError> {
        match &self.shared.fast {
            Some(fast) => Ok(fast.added.id(token).is_some()),
            None => {
                let added = self.reference()?.get_added_vocabulary();
                Ok(added.get_vocab().contains_key(token))
            }
        }
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
            let (mut tokenizer, growth) = match source.config.class {
                Class::Bert => (bert_reference(source)?, 1),
                Class::File => file_reference(source)?,
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

    /// Refuses texts that have an id without an embedding; `rows` is the model's `vocab_size`.
    ///
    /// # Errors
    /// [`TokenizerError::NoEmbedding`] where a token that frames every text has none.
    pub fn with_embeddings(mut self, rows: usize) -> Result<Self, TokenizerError> {
        self.rows = Some(rows).filter(|rows| self.vocabulary_size() > *rows);
        self.encode("")?;
        Ok(self)
    }

    /// The most tokens of a text, special ones included; `usize::MAX` where the files name no limit.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// One past the largest token id.
    pub fn vocabulary_size(&self) -> usize {
        if let Some(fast) = &self.shared.fast {
            return fast.end;
        }
        // `new` has made the reference, and would have failed if it could not.
        let ids = self.reference().map(|reference| reference.get_vocab(true)).unwrap_or_default();
        ids.into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// When the tokenizer refuses it, or a token has no [embedding](Self::with_embeddings).
    pub fn encode(&self, text: &str) -> Result<TokenizedText, TokenizerError> {
        self.encode_in(text, &mut Room::default())
    }

    fn encode_in(&self, text: &str, room: &mut Room) -> Result<TokenizedText, TokenizerError> {
        if let Some(fast) = &self.shared.fast {
            return self.checked(self.cut(fast.encode(text, room)));
        }
        let encoding = self.by_reference(text, |reference| reference.encode_fast(text, true))?;
        self.checked(self.cut(encoding.get_ids()))
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
            let mut room = Room::default();
            texts.iter().map(|text| self.encode_in(text, &mut room)).collect()
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

    /// # Errors
    /// [`TokenizerError::NoEmbedding`] of the first id that has none.
    fn checked(&self, text: TokenizedText) -> Result<TokenizedText, TokenizerError> {
        let Some(rows) = self.rows else { return Ok(text) };
        match text.ids.iter().find(|id| **id as usize >= rows) {
            None => Ok(text),
            Some(&id) => {
                let reference = self.reference()?;
                // The crate's own name of a normalized token is lower-cased.
                let added = reference.get_added_vocabulary().get_added_tokens_decoder();
                let added = added.get(&id).map(|token| token.content.clone());
                let token = added.or_else(|| reference.id_to_token(id)).unwrap_or_default();
                Err(TokenizerError::NoEmbedding { token, id, rows })
            }
        }
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
}

/// The field of the first token that a `BertTokenizer` needs and that neither the vocabulary nor the listed
/// tokens have. Of these, the unknown token must be in the vocabulary.
fn lacking(
    config: &Config,
    vocabulary: &Vocabulary,
    listed: &[(u32, tokenizers::AddedToken)],
) -> Option<&'static str> {
    let is_known = |field: &str, name: &str| {
        let of_file = listed.iter().filter(|_| config.is_legacy).map(|(_, token)| token);
        let is_listed = || config.listed.values().chain(of_file).any(|it| it.content == name);
        vocabulary.id(name).is_some() || (field != "unk_token" && is_listed())
    };
    let is_lacking = |field: &&str| config.name(field).is_none_or(|name| !is_known(field, name));
    ["unk_token", "cls_token", "sep_token"].into_iter().find(is_lacking)
}

/// The crate's tokenizer of a `tokenizer.json` as it is, with the tokens that other files add; and how many
/// bytes its normalizer may make of one.
fn file_reference(source: &Source) -> Result<(tokenizers::Tokenizer, usize), TokenizerError> {
    let value: Value = serde_json::from_str(&source.text).map_err(|error| source.wrong(error))?;
    let growth = known::check(&value).map_err(|problem| source.wrong(problem))?;
    let ids = value["model"]["vocab"].as_object().into_iter().flat_map(Map::values);
    let mut ids =
        ids.chain(value["added_tokens"].as_array().into_iter().flatten().map(|it| &it["id"]));
    if let Some(id) = ids.find(|id| id.as_u64().is_some_and(|id| id >= definition::MAX_IDS as u64))
    {
        return Err(
            source.wrong(format!("it has the id {id}, expected ids below {}", definition::MAX_IDS))
        );
    }
    if value["truncation"]["direction"] == "Left" {
        return Err(source.wrong(definition::LEFT));
    }
    // As it was checked: of a field that is there twice, the text says two things.
    let made = tokenizers::Tokenizer::from_bytes(value.to_string().as_bytes());
    let mut reference = made.map_err(|error| source.wrong(error))?;
    if !matches!(reference.get_model(), ModelWrapper::WordPiece(_)) {
        return Err(source.wrong("its model has no type, expected \"WordPiece\""));
    }
    let known = reference.get_added_vocabulary().get_added_tokens_decoder();
    let known: Vec<_> = known.values().cloned().collect();
    let tokens = source.config.tokens(&known);
    reference.add_tokens(tokens).map_err(|error| source.wrong(error))?;
    Ok((reference, growth))
}

/// The crate's tokenizer as `transformers` makes a `BertTokenizer` of a vocabulary.
fn bert_reference(source: &Source) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let wrong = |error: &dyn std::fmt::Display| source.wrong(error);
    let vocabulary: Map<String, Value> = match source.is_json {
        true => {
            let mut value: Value =
                serde_json::from_str(&source.text).map_err(|error| wrong(&error))?;
            known::check_added(&value["added_tokens"]).map_err(|problem| wrong(&problem))?;
            serde_json::from_value(value["model"]["vocab"].take()).map_err(|error| wrong(&error))?
        }
        false => lines(&source.text).map(|(token, id)| (token.to_owned(), json!(id))).collect(),
    };
    let model = json!({
        "type": "WordPiece",
        "unk_token": source.config.name("unk_token"),
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": MAX_WORD_CHARACTERS,
        "vocab": vocabulary,
    });
    let model: WordPiece =
        serde_json::from_str(&model.to_string()).map_err(|error| wrong(&error))?;
    let mut reference = tokenizers::Tokenizer::new(model);
    let casing = source.config.casing;
    let normalizer = BertNormalizer::new(
        true,
        casing.chinese_characters,
        casing.strip_accents,
        casing.lowercase,
    );
    reference.with_normalizer(Some(normalizer)).map_err(|error| wrong(&error))?;
    reference.with_pre_tokenizer(Some(BertPreTokenizer));
    reference.with_decoder(Some(WordPieceDecoder::default()));
    reference.add_tokens(source.config.tokens(&[])).map_err(|error| wrong(&error))?;
    let framing = |field: &str| {
        let name = source.config.name(field).unwrap_or_default();
        let id = reference.token_to_id(name);
        Ok((name.to_owned(), id.ok_or_else(|| source.wrong(format!("it lacks {name:?}")))?))
    };
    let processing = BertProcessing::new(framing("sep_token")?, framing("cls_token")?);
    reference.with_post_processor(Some(processing));
    Ok(reference)
}

/// A file's text, or `None` where there is no such file. One that is there and cannot be read is an error.
fn read(path: &Path) -> Result<Option<String>, TokenizerError> {
    tinymood_files::read_document(path, MAX_FILE_BYTES)
        .map_err(|source| TokenizerError::Io { path: path.to_owned(), source })
}
