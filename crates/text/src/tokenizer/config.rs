//! What the small files of a folder say of its tokenizer: `tokenizer_config.json`,
//! `special_tokens_map.json`, `added_tokens.json` and the `tokenizer_class` of `config.json`.
//!
//! They are merged as `transformers` 5 does (`PreTrainedTokenizerBase._from_pretrained` and
//! `TokenizersBackend.__init__`):
//!
//! 1. With `added_tokens_decoder` in `tokenizer_config.json`, no other file names added tokens.
//! 2. Without it, `special_tokens_map.json` replaces fields of `tokenizer_config.json`, and
//!    `added_tokens.json` and `tokenizer.json` list added tokens. Tokens with their flags need no
//!    `"__type": "AddedToken"` there, as `transformers` 4 writes and reads them.
//! 3. A field that would change the ids, but is not implemented here, is an error that names it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::{TokenizerError, read};

const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

/// The named special tokens, in the order in which `transformers` adds them.
const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Classes that build BERT's tokenizer from a vocabulary and `tokenizer_config.json`.
const BERT_CLASSES: [&str; 7] = [
    "BertTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "LayoutLMTokenizer",
    "LxmertTokenizer",
    "MobileBertTokenizer",
    "SqueezeBertTokenizer",
];

/// Classes that read `tokenizer.json` as it is.
const FILE_CLASSES: [&str; 3] =
    ["PreTrainedTokenizerFast", "TokenizersBackend", "PreTrainedTokenizer"];

/// Fields that change the ids in some version or class of `transformers`, and the values that do not.
const FIXED: [(&str, &[&str]); 16] = [
    ("add_special_tokens", &[]), // transformers has a method of that name, and raises
    ("init_inputs", &["[]"]),
    ("split_special_tokens", &["false"]),
    ("truncation_side", &["\"right\""]),
    ("do_basic_tokenize", &["true"]),
    ("do_word_tokenize", &["true"]),
    ("do_subword_tokenize", &["true"]),
    ("word_tokenizer_type", &["\"basic\""]),
    ("subword_tokenizer_type", &["\"wordpiece\""]),
    ("wordpiece_tokenizer_type", &["\"wordpiece\""]),
    ("mecab_kwargs", &[]),
    ("clean_text", &["true"]),
    ("wordpieces_prefix", &["\"##\""]),
    ("max_input_chars_per_word", &["100"]),
    ("fast_tokenizer_files", &["[]", "[\"tokenizer.json\"]"]),
    ("vocab", &[]),
];

/// How the vocabulary is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Casing {
    pub(super) lowercase: bool,
    /// `None`: as `lowercase`.
    pub(super) strip_accents: Option<bool>,
    pub(super) chinese_characters: bool,
}

impl Default for Casing {
    fn default() -> Self {
        Self { lowercase: true, strip_accents: None, chinese_characters: true }
    }
}

/// What a `tokenizer_class` takes from the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The vocabulary alone; all else is BERT's.
    Bert,
    /// `tokenizer.json` as it is.
    File,
}

/// The contents of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) class: Class,
    pub(super) casing: Casing,
    /// `None` where no limit is named: the model's positions.
    pub(super) max_length: Option<usize>,
    /// The special tokens that the files name, by field, in the order of [`NAMES`]; then others.
    pub(super) special: Named,
    /// Names that are `null`, which take BERT's name away.
    pub(super) absent: BTreeSet<String>,
    /// Where the fields of [`NAMES`] stand, and what they say there.
    pub(super) said: BTreeMap<String, (String, String)>,
    /// Further special tokens.
    pub(super) extra: Vec<AddedToken>,
    /// Added tokens by their ids.
    pub(super) listed: BTreeMap<u32, AddedToken>,
    /// The file that lists them; `None` for the tokenizer's own.
    pub(super) listed_in: Option<String>,
    /// Whether `tokenizer.json` may list more.
    pub(super) is_legacy: bool,
    /// Tokens of `never_split`, which must be added tokens.
    pub(super) never_split: Vec<String>,
    /// Names the file in errors.
    pub(super) from: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            class: Class::Bert,
            casing: Casing::default(),
            max_length: None,
            special: Vec::new(),
            absent: BTreeSet::new(),
            said: BTreeMap::new(),
            extra: Vec::new(),
            listed: BTreeMap::new(),
            listed_in: None,
            is_legacy: true,
            never_split: Vec::new(),
            from: CONFIG.to_owned(),
        }
    }
}

impl Config {
    /// Reads the files of a folder. A file that is absent says nothing.
    ///
    /// # Errors
    /// When a file cannot be read, or a field has a value that would change the ids and is not supported.
    pub(super) fn read(folder: &Path) -> Result<Self, TokenizerError> {
        let path = folder.join(CONFIG);
        let mut fields = object(&path)?.unwrap_or_default();
        let from = path.display().to_string();
        let model = folder.join("config.json");
        let of_model = object(&model)?.unwrap_or_default();
        let class = match (fields.remove("tokenizer_class"), of_model.get("tokenizer_class")) {
            (Some(value), _) if !value.is_null() => class(&from, &value)?,
            (_, Some(value)) if !value.is_null() => class(&model.display().to_string(), value)?,
            _ => Class::Bert,
        };
        check_auto_map(&from, fields.get("auto_map"))?;
        check_auto_map(&model.display().to_string(), of_model.get("auto_map"))?;
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        let mut extra = EXTRA;
        if fields.get(EXTRA).is_none_or(is_empty)
            && let Some(tokens) = fields.remove(ADDITIONAL)
        {
            fields.insert(EXTRA.to_owned(), tokens);
            extra = ADDITIONAL;
        }
        let is_legacy = !fields.contains_key("added_tokens_decoder");
        let mut of = Fields { from: from.clone(), extra, special: None, fields, named: Vec::new() };
        of.take_named()?;
        let (mut listed, mut listed_in) = (BTreeMap::new(), None);
        if is_legacy {
            let path = folder.join(SPECIAL);
            if let Some(map) = object(&path)? {
                of.merge(path.display().to_string(), map);
                of.take_named()?;
            }
            let path = folder.join(ADDED);
            if let Some(map) = object(&path)? {
                let path = path.display().to_string();
                listed = of.added_tokens(&path, &map)?;
                listed_in = Some(path);
            }
        } else {
            listed_in = Some(from.clone());
            let value = of.fields.remove("added_tokens_decoder").unwrap_or_default();
            let wrong = |expected| field(&from, "added_tokens_decoder", &value, expected);
            let Value::Object(map) = &value else { return Err(wrong("an object of tokens by id")) };
            for (id, token) in map {
                let id = id.parse().map_err(|_| wrong("ids as its keys"))?;
                listed.insert(id, added_token(&from, "added_tokens_decoder", token, false)?);
            }
        }
        Ok(Config { listed, listed_in, is_legacy, ..of.resolve(class)? })
    }

    /// The name of a special token, as the files say it, or BERT's.
    pub(super) fn name(&self, name: &str) -> Option<&str> {
        if let Some((_, token)) = self.special.iter().find(|(field, _)| field == name) {
            return Some(&token.content);
        }
        let is_of_bert = self.class == Class::Bert && !self.absent.contains(name);
        bert_name(name).filter(|_| is_of_bert)
    }

    /// The tokens that are added to a vocabulary, in the order of their ids where these are new.
    ///
    /// `known` are the tokens of a `tokenizer.json` that is read as it is.
    pub(super) fn tokens(&self, known: &[AddedToken]) -> Vec<AddedToken> {
        let mut tokens: Vec<AddedToken> = self.listed.values().cloned().collect();
        let listed = known.iter().chain(self.listed.values());
        let names: BTreeSet<&str> = listed.map(|token| &*token.content).collect();
        let mut special: Vec<AddedToken> = Vec::new();
        for name in NAMES {
            match self.special.iter().find(|(field, _)| field == name) {
                Some((_, token)) => special.push(token.clone()),
                None => special.extend(self.name(name).map(|name| AddedToken::from(name, true))),
            }
        }
        let others = self.special.iter().filter(|(field, _)| !NAMES.contains(&&**field));
        special.extend(others.map(|(_, token)| token.clone()));
        // What is listed keeps the flags that it has there.
        let missing = special.into_iter().chain(self.extra.iter().cloned());
        tokens.extend(missing.filter(|token| !names.contains(&*token.content)));
        tokens
    }

    /// Makes the class one that reads `tokenizer.json` as it is, with its own special tokens.
    pub(super) fn read_as_file(&mut self) {
        self.class = Class::File;
        self.special.clear();
    }

    /// The error that a token of `never_split` is no added token.
    pub(super) fn split(&self, token: &str) -> TokenizerError {
        let expected = "only tokens that are added tokens";
        field(&self.from, "never_split", &Value::from(token), expected)
    }
}

/// Further special tokens: the name of the field since `transformers` 5, and that before.
const EXTRA: &str = "extra_special_tokens";
const ADDITIONAL: &str = "additional_special_tokens";

/// The name that BERT has for a special token.
fn bert_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "unk_token" => "[UNK]",
        "sep_token" => "[SEP]",
        "pad_token" => "[PAD]",
        "cls_token" => "[CLS]",
        "mask_token" => "[MASK]",
        _ => return None,
    })
}

/// Tokens by the names of their fields.
type Named = Vec<(String, AddedToken)>;

/// Fields of two files, merged.
struct Fields {
    from: String,
    /// The name under which `tokenizer_config.json` has `extra_special_tokens`.
    extra: &'static str,
    /// `special_tokens_map.json`, and the fields it replaced.
    special: Option<(String, BTreeSet<String>)>,
    fields: Map<String, Value>,
    /// Tokens of [`EXTRA`] where it is an object.
    named: Named,
}

impl Fields {
    /// Takes the fields of `special_tokens_map.json`, which replace those that are there.
    fn merge(&mut self, from: String, map: Map<String, Value>) {
        let mut replaced = BTreeSet::new();
        for (name, value) in map {
            let value = match (&*name, self.fields.get(EXTRA), value) {
                (EXTRA, Some(Value::Array(known)), Value::Array(more)) => {
                    let new = more.into_iter().filter(|token| !known.contains(token));
                    Value::Array(known.iter().cloned().chain(new).collect())
                }
                (_, _, value) => value,
            };
            let is_own = name.ends_with("_token") && !NAMES.contains(&&*name);
            if is_own && self.fields.get(&name).is_some_and(Value::is_string) {
                continue; // here tokenizer_config.json counts more
            }
            if name == EXTRA {
                self.extra = EXTRA;
            }
            replaced.insert(name.clone());
            self.fields.insert(name, value);
        }
        self.special = Some((from, replaced));
    }

    /// Takes [`EXTRA`] away where it is an object of tokens by their names.
    fn take_named(&mut self) -> Result<(), TokenizerError> {
        let Some(Value::Object(map)) = self.fields.get(EXTRA) else { return Ok(()) };
        let mut named = self.named.clone();
        for (name, value) in map {
            if NAMES.contains(&&**name) {
                let expected = format!("no token {name:?}, which is a field of its own");
                return Err(self.wrong(EXTRA, &Value::Object(map.clone()), &expected));
            }
            let token = self.typed_token(EXTRA, value)?;
            named.retain(|(other, _)| other != name);
            named.push((name.clone(), token));
        }
        self.named = named;
        self.fields.remove(EXTRA);
        Ok(())
    }

    /// A special token as a text, or with its flags and its type.
    fn typed_token(&self, name: &str, value: &Value) -> Result<AddedToken, TokenizerError> {
        if value.is_object() && value.get("__type") != Some(&Value::from("AddedToken")) {
            let expected = "a token as a text, or its flags with \"__type\": \"AddedToken\"";
            return Err(self.wrong(name, value, expected));
        }
        added_token(self.from(name), self.shown(name), value, true)
    }

    /// A special token of a field. In `special_tokens_map.json` flags need no type.
    fn token(&self, name: &str, value: &Value) -> Result<AddedToken, TokenizerError> {
        match self.is_of_map(name) {
            true => added_token(self.from(name), self.shown(name), value, true),
            false => self.typed_token(name, value),
        }
    }

    /// Whether `special_tokens_map.json` has a field.
    fn is_of_map(&self, name: &str) -> bool {
        self.special.as_ref().is_some_and(|(_, replaced)| replaced.contains(name))
    }

    /// The file that a field is of.
    fn from(&self, name: &str) -> &str {
        match &self.special {
            Some((from, replaced)) if replaced.contains(name) => from,
            _ => &self.from,
        }
    }

    fn wrong(&self, name: &str, value: &Value, expected: &str) -> TokenizerError {
        field(self.from(name), self.shown(name), value, expected)
    }

    /// The name of a field in its file.
    fn shown<'a>(&self, name: &'a str) -> &'a str {
        if name == EXTRA { self.extra } else { name }
    }

    /// The tokens of `added_tokens.json`. `transformers` takes those for special that
    /// `tokenizer_config.json` names, but not those of `additional_special_tokens` in
    /// `special_tokens_map.json`; others are matched in lower-cased text.
    fn added_tokens(
        &self,
        from: &str,
        map: &Map<String, Value>,
    ) -> Result<BTreeMap<u32, AddedToken>, TokenizerError> {
        let content = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            value => Some(value.get("content")?.as_str()?.to_owned()),
        };
        let named = NAMES.iter().filter_map(|name| content(self.fields.get(*name)?));
        let mut special: BTreeSet<String> = named.collect();
        if let Some(Value::Array(extra)) = self.fields.get(EXTRA) {
            special.extend(extra.iter().filter_map(content));
        }
        let mut listed = BTreeMap::new();
        for (token, value) in map {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or_else(|| field(from, token, value, "a token id"))?;
            listed.insert(id, AddedToken::from(token.as_str(), special.contains(token)));
        }
        Ok(listed)
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, TokenizerError> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(value) => Err(self.wrong(name, value, "true or false")),
        }
    }

    /// `model_max_length`, or the older `max_len`; `None` where it names no limit.
    fn max_length(&self) -> Result<Option<usize>, TokenizerError> {
        let name = ["model_max_length", "max_len"];
        let Some(name) = name.into_iter().find(|name| self.fields.contains_key(*name)) else {
            return Ok(None);
        };
        let value = &self.fields[name];
        // 10^30 and the like stand for no limit, as do 0 and -1 in older files.
        match (value, value.as_f64()) {
            (Value::Null, _) => Ok(None),
            (_, Some(number)) if number == 0.0 || number == -1.0 => Ok(None),
            (_, Some(number)) if number > f64::from(u32::MAX) => Ok(None),
            (_, Some(number)) if number >= 3.0 && number.fract() == 0.0 => {
                Ok(Some(number as usize))
            }
            _ => Err(self.wrong(name, value, "a whole number of tokens, at least 3")),
        }
    }

    /// The further special tokens without a name of their own. [`ADDITIONAL`] of `special_tokens_map.json` counts
    /// only where there is no [`EXTRA`].
    fn extra(&self) -> Result<Vec<AddedToken>, TokenizerError> {
        let key = if self.fields.contains_key(EXTRA) { EXTRA } else { ADDITIONAL };
        match self.fields.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(|value| self.token(key, value)).collect(),
            Some(other) => Err(self.wrong(key, other, "a list of tokens")),
        }
    }

    fn resolve(self, class: Class) -> Result<Config, TokenizerError> {
        for (name, allowed) in FIXED {
            // transformers takes null for none, but for a side.
            let is_said = |value: &&Value| !value.is_null() || name == "truncation_side";
            if let Some(value) = self.fields.get(name).filter(is_said)
                && !allowed.contains(&&*value.to_string())
            {
                let expected = match allowed {
                    [] => "no such field".to_owned(),
                    allowed => format!("{}, the only value supported", allowed.join(" or ")),
                };
                return Err(self.wrong(name, value, &expected));
            }
        }
        let never_split = match self.fields.get("never_split") {
            None | Some(Value::Null) => Vec::new(),
            Some(value) => {
                let list = value.as_array().and_then(|list| {
                    list.iter().map(|token| Some(token.as_str()?.to_owned())).collect()
                });
                list.ok_or_else(|| self.wrong("never_split", value, "a list of tokens"))?
            }
        };
        let default = Casing::default();
        let strip_accents = match self.fields.get("strip_accents") {
            None | Some(Value::Null) => None,
            Some(_) => self.flag("strip_accents")?,
        };
        let casing = Casing {
            lowercase: self.flag("do_lower_case")?.unwrap_or(default.lowercase),
            strip_accents,
            chinese_characters: self
                .flag("tokenize_chinese_chars")?
                .unwrap_or(default.chinese_characters),
        };
        let (mut special, mut absent, mut said) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        for (name, value) in self.fields.iter().filter(|(name, _)| name.ends_with("_token")) {
            let is_named = NAMES.contains(&&**name);
            if is_named {
                said.insert(name.clone(), (self.from(name).to_owned(), excerpt(value)));
            }
            match value {
                Value::Null if is_named => {
                    absent.insert(name.clone());
                }
                Value::Object(map)
                    if !is_named && !map.contains_key("__type") && !self.is_of_map(name) => {}
                Value::String(_) | Value::Object(_) => {
                    special.push((name.clone(), self.token(name, value)?));
                }
                value if is_named => return Err(self.wrong(name, value, "a token")),
                _ => {} // such as add_bos_token
            }
        }
        let extra = self.extra()?;
        let max_length = self.max_length()?;
        special.extend(self.named);
        let from = self.from;
        Ok(Config {
            class,
            casing,
            max_length,
            special,
            absent,
            said,
            extra,
            never_split,
            from,
            ..Config::default()
        })
    }
}

/// The object that a file holds, or `None` where there is no such file.
fn object(path: &Path) -> Result<Option<Map<String, Value>>, TokenizerError> {
    let Some(text) = read(path)? else { return Ok(None) };
    let wrong = |problem: String| TokenizerError::Config { from: path.to_owned(), problem };
    match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => Ok(Some(map)),
        Ok(other) => Err(wrong(format!("found {}, expected an object", excerpt(&other)))),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn class(from: &str, value: &Value) -> Result<Class, TokenizerError> {
    let name = value.as_str().unwrap_or_default();
    let is_one_of = |classes: &[&str]| {
        classes.contains(&name)
            || name.strip_suffix("Fast").is_some_and(|name| classes.contains(&name))
    };
    match () {
        () if is_one_of(&BERT_CLASSES) => Ok(Class::Bert),
        () if is_one_of(&FILE_CLASSES) => Ok(Class::File),
        () => {
            let expected =
                "BertTokenizer, PreTrainedTokenizerFast, or a class that equals one of them";
            Err(field(from, "tokenizer_class", value, expected))
        }
    }
}

/// # Errors
/// When a file names Python code of its own for the tokenizer.
fn check_auto_map(from: &str, value: Option<&Value>) -> Result<(), TokenizerError> {
    let Some(value) = value else { return Ok(()) };
    let tokenizer = match value {
        Value::Object(map) => map.get("AutoTokenizer").unwrap_or(&Value::Null),
        other => other,
    };
    match tokenizer {
        Value::Null => Ok(()),
        code => {
            let expected = "no code of its own: only transformers' own tokenizers are supported";
            Err(field(from, "auto_map", code, expected))
        }
    }
}

/// A token as a string or with its flags. `is_special` is what it is where it does not say so; special
/// tokens are matched in the text as it is, others in the normalized text.
pub(super) fn added_token(
    from: &str,
    name: &str,
    value: &Value,
    is_special: bool,
) -> Result<AddedToken, TokenizerError> {
    let wrong = |expected| field(from, name, value, expected);
    let map = match value {
        Value::String(text) => return Ok(AddedToken::from(text.as_str(), is_special)),
        Value::Object(map) => map,
        _ => return Err(wrong("a token")),
    };
    let flag = |name: &str| match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(wrong("true or false as its flags")),
    };
    let content = map.get("content").and_then(Value::as_str);
    let content = content.ok_or_else(|| wrong("a token with its content"))?;
    let is_special = is_special || flag("special")?.unwrap_or_default();
    let token = AddedToken::from(content, is_special)
        .single_word(flag("single_word")?.unwrap_or_default())
        .lstrip(flag("lstrip")?.unwrap_or_default())
        .rstrip(flag("rstrip")?.unwrap_or_default());
    Ok(match flag("normalized")? {
        Some(normalized) => token.normalized(normalized),
        None => token,
    })
}

fn field(from: &str, field: &str, value: &Value, expected: &str) -> TokenizerError {
    TokenizerError::Field {
        from: from.to_owned(),
        field: field.to_owned(),
        found: excerpt(value),
        expected: expected.to_owned(),
    }
}

/// The start of a value, for messages.
fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
