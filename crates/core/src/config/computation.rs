//! The fields of a `config.json` that change what a BERT encoder computes: each has the only value that the engine
//! computes, or is refused by name. All fields of `transformers`' `BertConfig` and `PreTrainedConfig` were gone
//! through; what is not here is either read elsewhere or changes no answer (`chunk_size_feed_forward`,
//! `torch_dtype`, `tie_word_embeddings`, TinyBERT's `cell` and `emb_size`, …).

use serde_json::Value;

use super::{ConfigError, Fields, ModelConfig, excerpt};

/// Architectures with a `classifier` that is not for whole texts, so that it would be taken for one.
const OTHER_HEADS: [&str; 2] = ["TokenClassification", "MultipleChoice"];

/// Names of GELU by its exact formula, with the error function.
const EXACT_GELU: [&str; 2] = ["gelu", "gelu_python"];

/// Fields that `transformers` takes no `null` for, though they have a default.
const NEVER_NULL: [&str; 6] = [
    "hidden_act",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
];

impl ModelConfig {
    /// The architecture that a `config.json` names, if its `classifier` classifies something else than whole
    /// texts: tokens, as for named entities, or pairs of a question and a choice.
    ///
    /// # Errors
    /// When the text is no JSON object.
    pub fn other_head(text: &str) -> Result<Option<String>, ConfigError> {
        let fields = Fields::parse(text)?;
        let is_other = |name: &&str| OTHER_HEADS.iter().any(|head| name.ends_with(head));
        let other = architectures(&fields).find(is_other).map(str::to_owned);
        Ok(other)
    }
}

/// Refuses what asks for another computation.
///
/// # Errors
/// [`ConfigError::Field`], which names the field.
pub(super) fn check(fields: &Fields) -> Result<(), ConfigError> {
    // First: another family has other values in other fields.
    check_family(fields)?;
    for field in NEVER_NULL {
        if fields.0.get(field).is_some_and(Value::is_null) {
            return Err(wrong(field, "null".to_owned(), "a value, or no such field"));
        }
    }
    if let Some(found) = fields.word("hidden_act")?.filter(|name| !EXACT_GELU.contains(name)) {
        return Err(wrong("hidden_act", format!("{found:?}"), "\"gelu\", the only kind supported"));
    }
    let positions = fields.word("position_embedding_type")?;
    if let Some(found) = positions.filter(|&name| name != "absolute") {
        let expected = "\"absolute\", the only kind supported";
        return Err(wrong("position_embedding_type", format!("{found:?}"), expected));
    }
    for field in ["is_decoder", "add_cross_attention"] {
        match fields.get(field) {
            None | Some(Value::Bool(false)) => {}
            Some(value) => return Err(wrong(field, excerpt(value), "false: an encoder")),
        }
    }
    let is_empty = |value: &Value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    if let Some(value) = fields.get("pruned_heads").filter(|value| !is_empty(value)) {
        let expected = "none: layers with fewer attention heads are not supported";
        return Err(wrong("pruned_heads", excerpt(value), expected));
    }
    if let Some(value) = fields.get("embedding_size")
        && Some(value) != fields.get("hidden_size")
    {
        let expected = "hidden_size: narrower embeddings are not supported";
        return Err(wrong("embedding_size", excerpt(value), expected));
    }
    if let Some(value) = fields.get("quantization_config") {
        let found = value.get("quant_method").unwrap_or(value);
        let expected = "none: weights as floats, or as `tinymood export --int8` writes them";
        return Err(wrong("quantization_config", excerpt(found), expected));
    }
    check_own_code(fields)
}

/// Refuses other families than BERT's, by `model_type` or, where that is absent, by `architectures`.
fn check_family(fields: &Fields) -> Result<(), ConfigError> {
    if let Some(found) = fields.word("model_type")? {
        return match found {
            "bert" => Ok(()),
            _ => {
                let expected = "\"bert\": other architectures are not supported";
                Err(wrong("model_type", format!("{found:?}"), expected))
            }
        };
    }
    let is_bert = |name: &str| ["Bert", "TinyBert"].iter().any(|family| name.starts_with(family));
    match architectures(fields).find(|name| !is_bert(name)) {
        Some(found) => {
            let expected = "BERT's: other architectures are not supported";
            Err(wrong("architectures", format!("{found:?}"), expected))
        }
        None => Ok(()),
    }
}

/// Refuses a model that brings a program of its own to compute it.
fn check_own_code(fields: &Fields) -> Result<(), ConfigError> {
    let own = fields.get("auto_map").and_then(Value::as_object);
    let model = own.and_then(|map| map.iter().find(|(class, _)| class.starts_with("AutoModel")));
    match model {
        Some((_, code)) => {
            let expected = "none: a model's own code is not run";
            Err(wrong("auto_map", excerpt(code), expected))
        }
        None => Ok(()),
    }
}

/// The classes that a configuration names.
fn architectures(fields: &Fields) -> impl Iterator<Item = &str> {
    let names = fields.get("architectures");
    let list = names
        .and_then(Value::as_array)
        .map_or_else(|| names.map(std::slice::from_ref).unwrap_or_default(), Vec::as_slice);
    list.iter().filter_map(Value::as_str)
}

fn wrong(field: &'static str, found: String, expected: &str) -> ConfigError {
    ConfigError::Field { field, found, expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// TinyBERT's configuration with further fields.
    fn with(fields: Value) -> Value {
        let mut config = json!({
            "attention_probs_dropout_prob": 0.1, "cell": {}, "emb_size": 312, "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1, "hidden_size": 312, "initializer_range": 0.02,
            "intermediate_size": 1200, "max_position_embeddings": 512, "num_attention_heads": 12,
            "num_hidden_layers": 4, "pre_trained": "", "structure": [], "type_vocab_size": 2,
            "vocab_size": 30522,
        });
        for (name, value) in fields.as_object().unwrap() {
            config[name] = value.clone();
        }
        config
    }

    fn read(fields: Value) -> Result<ModelConfig, ConfigError> {
        ModelConfig::from_json(&with(fields).to_string())
    }

    #[test]
    fn what_changes_the_computation_is_refused_by_name() {
        for (fields, expected) in [
            (json!({"is_decoder": true}), "\"is_decoder\" is true"),
            (json!({"is_decoder": "false"}), "is_decoder"),
            (json!({"add_cross_attention": true}), "add_cross_attention"),
            (json!({"pruned_heads": {"0": [1]}}), "pruned_heads"),
            (json!({"embedding_size": 128}), "\"embedding_size\" is 128"),
            (json!({"hidden_act": "gelu_new"}), "gelu_new"),
            (json!({"hidden_act": null}), "\"hidden_act\" is null"),
            (json!({"layer_norm_eps": null}), "layer_norm_eps"),
            (json!({"max_position_embeddings": null}), "max_position_embeddings"),
            (json!({"position_embedding_type": "relative_key"}), "relative_key"),
            (json!({"quantization_config": {"quant_method": "gptq", "bits": 4}}), "gptq"),
            (json!({"auto_map": {"AutoModel": "modeling.Own"}}), "modeling.Own"),
            // ALBERT as ALBERT, and not by its activation.
            (json!({"model_type": "albert", "hidden_act": "gelu_new"}), "\"albert\""),
            (json!({"architectures": ["RobertaForSequenceClassification"]}), "Roberta"),
            (json!({"architectures": "DistilBertModel"}), "DistilBertModel"),
            (json!({"hidden_size": "312"}), "hidden_size"),
            (json!({"num_hidden_layers": 4.0}), "num_hidden_layers"),
            (json!({"num_attention_heads": true}), "num_attention_heads"),
        ] {
            let error = read(fields.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{fields}: {error}");
        }
    }

    #[test]
    fn what_changes_nothing_is_passed_over() {
        let plain = read(json!({})).unwrap();
        for fields in [
            json!({"is_decoder": false, "add_cross_attention": false, "pruned_heads": {}}),
            json!({"embedding_size": 312, "quantization_config": null, "auto_map": null}),
            json!({"hidden_act": "gelu_python", "chunk_size_feed_forward": 2}),
            json!({"torch_dtype": "float16", "dtype": "bfloat16", "use_bfloat16": true}),
            json!({"tie_word_embeddings": false, "use_cache": true, "is_encoder_decoder": false}),
            json!({"rope_theta": 1e4, "pooler_type": "first_token_transform", "pooler_fc_size": 768}),
            json!({"model_type": "bert", "architectures": ["BertForMultiLabelClassification"]}),
            json!({"architectures": ["TinyBertForSequenceClassification"]}),
            json!({"architectures": null, "model_type": null, "classifier_dropout": null}),
            json!({"auto_map": {"AutoTokenizer": ["tokenization.Own", null]}}),
        ] {
            assert_eq!(read(fields.clone()).as_ref(), Ok(&plain), "{fields}");
        }
        let repeated = with(json!({})).to_string().replacen('{', "{\"vocab_size\": 7, ", 1);
        assert_eq!(ModelConfig::from_json(&repeated), Ok(plain), "the last counts");
    }

    #[test]
    fn heads_for_something_else_than_texts_are_known() {
        for (name, is_other) in [
            ("BertForTokenClassification", true),
            ("BertForMultipleChoice", true),
            ("BertForSequenceClassification", false),
            ("BertForMaskedLM", false),
        ] {
            let config = with(json!({"architectures": [name]})).to_string();
            let found = ModelConfig::other_head(&config).unwrap();
            assert_eq!(found.as_deref(), is_other.then_some(name));
        }
    }
}
