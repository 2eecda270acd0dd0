//! Texts to token ids, by the `tokenizers` crate: BERT's WordPiece, from `tokenizer.json` or from
//! `vocab.txt` and `tokenizer_config.json`.
//!
//! Files may bring truncation and padding of their own (MiniLM's pads to 128): both are overridden.
//! A text that spells a special token (`[SEP]`) gets that token, as `transformers` does.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tinymood_core::TokenizedText;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, decoders::wordpiece::WordPiece as WordPieceDecoder};

/// The vocabulary of uncased BERT.
const BUNDLED: &str = include_str!("../../../assets/vocab/vocab.txt");

/// Stand-ins for names in GoEmotions' texts, which can be made tokens of their own.
pub const PLACEHOLDERS: [&str; 2] = ["[NAME]", "[RELIGION]"];

const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// A tokenizer file is a few megabytes; one above this is not.
const MAX_FILE_BYTES: u64 = 256 << 20;

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
    inner: tokenizers::Tokenizer,
    casing: Casing,
    max_length: usize,
}

impl Tokenizer {
    /// The tokenizer of uncased BERT, with the bundled vocabulary.
    pub fn bundled() -> Self {
        Self::from_vocabulary(BUNDLED, Casing::default(), "the bundled vocabulary")
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
            return Self::from_json(&text, casing, &path.display().to_string());
        }
        let path = folder.join("vocab.txt");
        match read(&path)? {
            Some(text) => Self::from_vocabulary(&text, casing, &path.display().to_string()),
            None => Err(TokenizerError::Missing(folder.to_owned())),
        }
    }

    fn from_json(text: &str, casing: Casing, from: &str) -> Result<Self, TokenizerError> {
        let wrong = |problem: String| TokenizerError::Contents { from: from.to_owned(), problem };
        let value: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if value["model"]["type"].as_str().is_some_and(|kind| kind != "WordPiece") {
            let kind = &value["model"]["type"];
            return Err(wrong(format!("its model is {kind}, expected \"WordPiece\"")));
        }
        let inner = tokenizers::Tokenizer::from_bytes(text.as_bytes())
            .map_err(|error| wrong(error.to_string()))?;
        Self::new(inner, casing, from)
    }

    fn from_vocabulary(text: &str, casing: Casing, from: &str) -> Result<Self, TokenizerError> {
        let wrong = |problem: String| TokenizerError::Contents { from: from.to_owned(), problem };
        let lines = text.lines().zip(0_u32..);
        let mut vocabulary = Map::new();
        for (token, id) in lines {
            if vocabulary.insert(token.to_owned(), json!(id)).is_some() {
                return Err(wrong(format!("the token {token:?} stands twice")));
            }
        }
        let id = |token: &str| -> Result<u32, TokenizerError> {
            let id = vocabulary.get(token).and_then(Value::as_u64);
            id.map(|id| id as u32).ok_or_else(|| wrong(format!("it lacks the token {token:?}")))
        };
        let (unknown, cls, sep) = (id("[UNK]")?, id("[CLS]")?, id("[SEP]")?);
        debug_assert!(unknown < vocabulary.len() as u32);
        let model = json!({
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        });
        let model: WordPiece =
            serde_json::from_str(&model.to_string()).map_err(|error| wrong(error.to_string()))?;
        let mut inner = tokenizers::Tokenizer::new(model);
        let normalizer = BertNormalizer::new(
            true,
            casing.chinese_characters,
            casing.strip_accents,
            casing.lowercase,
        );
        inner.with_normalizer(Some(normalizer)).map_err(|error| wrong(error.to_string()))?;
        inner.with_pre_tokenizer(Some(BertPreTokenizer));
        let processing = BertProcessing::new(("[SEP]".to_owned(), sep), ("[CLS]".to_owned(), cls));
        inner.with_post_processor(Some(processing));
        inner.with_decoder(Some(WordPieceDecoder::default()));
        let special = SPECIAL.into_iter().filter(|token| vocabulary.contains_key(*token));
        inner
            .add_special_tokens(special.map(|token| AddedToken::from(token, true)))
            .map_err(|error| wrong(error.to_string()))?;
        Self::new(inner, casing, from)
    }

    fn new(
        mut inner: tokenizers::Tokenizer,
        casing: Casing,
        from: &str,
    ) -> Result<Self, TokenizerError> {
        let wrong = |problem: String| TokenizerError::Contents { from: from.to_owned(), problem };
        inner.with_truncation(None).map_err(|error| wrong(error.to_string()))?;
        inner.with_padding(None);
        let tokenizer = Self { inner, casing, max_length: casing.max_length };
        // What frames every text is checked on the shortest.
        let empty = tokenizer.encode("").map_err(|error| wrong(error.to_string()))?;
        if empty.full_length != 2 {
            let problem = format!("it frames an empty text in {} tokens", empty.full_length);
            return Err(wrong(format!("{problem}, expected [CLS] and [SEP]")));
        }
        Ok(tokenizer)
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

    /// The most tokens of a text, special ones included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// One past the largest token id.
    pub fn vocabulary_size(&self) -> usize {
        let ids = self.inner.get_vocab(true).into_values();
        ids.max().map_or(0, |id| id as usize + 1)
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// When the tokenizer refuses it.
    pub fn encode(&self, text: &str) -> Result<TokenizedText, TokenizerError> {
        let encoding = self.inner.encode_fast(text, true);
        let encoding = encoding.map_err(|error| TokenizerError::Encode(error.to_string()))?;
        Ok(self.cut(encoding.get_ids()))
    }

    /// The ids of many texts, in their order, on all cores.
    ///
    /// # Errors
    /// When the tokenizer refuses one.
    pub fn encode_all(&self, texts: &[&str]) -> Result<Vec<TokenizedText>, TokenizerError> {
        let encodings = self.inner.encode_batch_fast(texts.to_vec(), true);
        let encodings = encodings.map_err(|error| TokenizerError::Encode(error.to_string()))?;
        Ok(encodings.iter().map(|encoding| self.cut(encoding.get_ids())).collect())
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
        let tokenizer = Self::from_json(&value.to_string(), self.casing, "the tokenizer")?;
        tokenizer.with_max_length(self.max_length)
    }

    fn to_json(&self) -> Result<Value, TokenizerError> {
        serde_json::to_value(&self.inner).map_err(|error| TokenizerError::Encode(error.to_string()))
    }

    /// The files that `transformers` opens the tokenizer from, by name.
    ///
    /// # Errors
    /// When the tokenizer cannot be written down.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, TokenizerError> {
        let mut tokens: Vec<(u32, String)> =
            self.inner.get_vocab(true).into_iter().map(|(token, id)| (id, token)).collect();
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

/// A file's text, or `None` where there is no such file.
fn read(path: &Path) -> Result<Option<String>, TokenizerError> {
    let failed = |source| TokenizerError::Io { path: path.to_owned(), source };
    if !path.is_file() {
        return Ok(None);
    }
    let length = path.metadata().map_err(failed)?.len();
    if length > MAX_FILE_BYTES {
        return Err(failed(std::io::Error::other(format!(
            "{length} bytes, which is no tokenizer"
        ))));
    }
    fs::read_to_string(path).map(Some).map_err(failed)
}
