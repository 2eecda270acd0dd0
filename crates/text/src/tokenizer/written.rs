//! The files that a tokenizer is saved as, so that `transformers` opens it with the same ids; and
//! placeholders, which become tokens of their own.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::config::{Class, added_token};
use super::{NO_LIMIT, Tokenizer, TokenizerError};

/// Names of tokens where no file names them.
const PADDING: [&str; 2] = ["[PAD]", "<pad>"];
const MASKS: [&str; 2] = ["[MASK]", "<mask>"];

impl Tokenizer {
    /// Makes each of `names` an added token, which texts that spell it get.
    ///
    /// A name that is one already stays as it is. A name in the vocabulary keeps its id. Any other takes a
    /// slot of the vocabulary that no text uses (`[unused0]`, …).
    ///
    /// # Errors
    /// When no slot is left.
    pub fn with_placeholders(self, names: &[&str]) -> Result<Self, TokenizerError> {
        let mut value = self.to_json()?;
        let source = &self.shared.source;
        let mut config = source.config.clone();
        for name in names {
            if self.is_added(name)? {
                continue;
            }
            let no_slot = || TokenizerError::NoSlot((*name).to_owned());
            let vocabulary = value["model"]["vocab"].as_object_mut().ok_or_else(no_slot)?;
            let id = match vocabulary.get(*name).and_then(Value::as_u64) {
                Some(id) => id,
                None => {
                    let slot = vocabulary
                        .iter()
                        .filter(|(token, _)| token.starts_with("[unused"))
                        .filter(|(token, _)| !self.is_added(token).unwrap_or(true))
                        .filter_map(|(token, id)| Some((id.as_u64()?, token.clone())))
                        .min();
                    let (id, token) = slot.ok_or_else(no_slot)?;
                    vocabulary.remove(&token);
                    vocabulary.insert((*name).to_owned(), json!(id));
                    id
                }
            };
            let added = json!({
                "id": id, "content": name, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": false,
            });
            let list = value["added_tokens"].as_array_mut().ok_or_else(no_slot)?;
            list.push(added);
        }
        // The text lists all that the other files add.
        config.listed = BTreeMap::new();
        for token in value["added_tokens"].as_array().into_iter().flatten() {
            if let Some(id) = token["id"].as_u64().and_then(|id| u32::try_from(id).ok()) {
                let token = added_token(&source.from, "added_tokens", token, false)?;
                config.listed.insert(id, token);
            }
        }
        let made = Self::from_json(value.to_string(), config, source.from.clone())?;
        Ok(Self { max_length: self.max_length, threads: self.threads, rows: self.rows, ..made })
    }

    pub(super) fn to_json(&self) -> Result<Value, TokenizerError> {
        let reference = self.reference()?;
        let mut json =
            serde_json::to_value(reference).map_err(|error| self.shared.source.wrong(error))?;
        // The crate writes one of several tokens with the same id.
        let mut tokens: Vec<(u32, String)> =
            reference.get_vocab(false).into_iter().map(|(token, id)| (id, token)).collect();
        tokens.sort_unstable();
        let vocabulary = tokens.into_iter().map(|(id, token)| (token, json!(id)));
        json["model"]["vocab"] = Value::Object(vocabulary.collect());
        Ok(json)
    }

    /// The token that stands for a masked one, where there is one.
    pub(super) fn mask_name(&self) -> Result<Option<String>, TokenizerError> {
        let config = &self.shared.source.config;
        self.named(config.name("mask_token"), &MASKS)
    }

    /// A name, where the tokenizer has it; else, of a `tokenizer.json` that is read as it is, the first of
    /// `usual` that it has.
    fn named(&self, name: Option<&str>, usual: &[&str]) -> Result<Option<String>, TokenizerError> {
        let usual = match self.shared.source.config.class {
            Class::Bert => &[],
            Class::File => usual,
        };
        for name in name.into_iter().chain(usual.iter().copied()) {
            if self.id(name)?.is_some() {
                return Ok(Some(name.to_owned()));
            }
        }
        Ok(None)
    }

    /// The names of special tokens, by the fields of `tokenizer_config.json`.
    fn special_names(&self, json: &Value) -> Result<Map<String, Value>, TokenizerError> {
        let config = &self.shared.source.config;
        let frame = self.tokens("", true)?;
        let frame = |at: usize| frame.get(at).map(|token| token.name.clone());
        let padding = json["padding"]["pad_token"].as_str();
        let names = [
            ("bos_token", self.named(config.name("bos_token"), &[])?),
            ("eos_token", self.named(config.name("eos_token"), &[])?),
            ("unk_token", json["model"]["unk_token"].as_str().map(str::to_owned)),
            ("sep_token", frame(1)),
            ("pad_token", self.named(config.name("pad_token").or(padding), &PADDING)?),
            ("cls_token", frame(0)),
            ("mask_token", self.mask_name()?),
        ];
        let named = names.into_iter().filter_map(|(field, name)| Some((field.to_owned(), name?)));
        Ok(named.map(|(field, name)| (field, Value::from(name))).collect())
    }

    /// The files that `transformers` opens the tokenizer from, by name.
    ///
    /// # Errors
    /// When the tokenizer cannot be written down.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, TokenizerError> {
        let json = self.to_json()?;
        let config = &self.shared.source.config;
        let names = self.special_names(&json)?;
        let mut settings = names.clone();
        let is_bert = config.class == Class::Bert;
        let class = if is_bert { "BertTokenizer" } else { "PreTrainedTokenizerFast" };
        settings.insert("tokenizer_class".to_owned(), json!(class));
        if is_bert {
            // A field that is absent stands for BERT's name.
            for field in ["pad_token", "mask_token"] {
                settings.entry(field).or_insert(Value::Null);
            }
            settings.insert("do_lower_case".to_owned(), json!(config.casing.lowercase));
            settings.insert("strip_accents".to_owned(), json!(config.casing.strip_accents));
            let chinese = json!(config.casing.chinese_characters);
            settings.insert("tokenize_chinese_chars".to_owned(), chinese);
        }
        if self.max_length != NO_LIMIT {
            settings.insert("model_max_length".to_owned(), json!(self.max_length));
        }
        let mut special = names;
        let listed = json["added_tokens"].as_array().into_iter().flatten();
        let others = listed.filter(|token| token["special"] == true).map(|it| &it["content"]);
        let others: Vec<&Value> =
            others.filter(|token| !special.values().any(|name| name == *token)).collect();
        if !others.is_empty() {
            special.insert("additional_special_tokens".to_owned(), json!(others));
        }
        let text = |map: Map<String, Value>| format!("{:#}\n", Value::Object(map)).into_bytes();
        let mut files = vec![
            ("tokenizer.json".to_owned(), json.to_string().into_bytes()),
            ("tokenizer_config.json".to_owned(), text(settings)),
            ("special_tokens_map.json".to_owned(), text(special)),
        ];
        if let Some(vocabulary) = self.vocabulary_lines()? {
            files.push(("vocab.txt".to_owned(), vocabulary.into_bytes()));
        }
        Ok(files)
    }

    /// All tokens, one a line, in the order of their ids; `None` where a `vocab.txt` cannot hold them.
    fn vocabulary_lines(&self) -> Result<Option<String>, TokenizerError> {
        let names = self.reference()?.get_vocab(true);
        let mut tokens: Vec<(u32, &str)> = names.iter().map(|(name, id)| (*id, &**name)).collect();
        tokens.sort_unstable();
        let is_line = |token: &str| {
            !token.is_empty() && token.trim_end() == token && !token.contains(['\n', '\r'])
        };
        let is_whole =
            tokens.iter().zip(0..).all(|((id, token), line)| *id == line && is_line(token));
        Ok(is_whole.then(|| tokens.iter().map(|(_, token)| format!("{token}\n")).collect()))
    }
}
