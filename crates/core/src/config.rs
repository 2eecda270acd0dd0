//! The model's configuration: what a Hugging Face `config.json` of a BERT-shaped model says, and
//! the list of parameters that follows from it.

mod computation;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::decimal::shortest_decimal as short;
use crate::id2label::placeholder;
use crate::{LabelError, LabelSet, ProblemType, Projections};

/// How a text's hidden states become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// BERT's pooler: `tanh(W h[CLS] + b)`. What `transformers` does.
    #[default]
    Cls,
    /// The mean of all hidden states of the text, as sentence encoders are trained for.
    Mean,
}

/// Shape and dropout of a BERT encoder with a classification head.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Rows of the word embedding, `V`.
    pub vocab_size: usize,
    /// Width of the hidden states, `H`.
    pub hidden_size: usize,
    /// Number of encoder layers, `L`.
    pub num_hidden_layers: usize,
    /// Attention heads, `A`; the head size is `H / A`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer, `I`.
    pub intermediate_size: usize,
    /// Longest text in tokens.
    pub max_position_embeddings: usize,
    /// Rows of the token type embedding; type 0 is used throughout.
    pub type_vocab_size: usize,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f32,
    /// Dropout after embeddings and each sublayer.
    pub hidden_dropout_prob: f32,
    /// Dropout of attention probabilities.
    pub attention_probs_dropout_prob: f32,
    /// Dropout before the classifier; `None` takes [`ModelConfig::hidden_dropout_prob`].
    pub classifier_dropout: Option<f32>,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f32,
    /// The id of `[PAD]`; kept for files, padding itself never happens.
    pub pad_token_id: u32,
    /// How hidden states become one vector.
    pub pooling: Pooling,
    /// What the classifier's outputs mean together.
    pub problem_type: ProblemType,
    /// Of a student that is being distilled; in no file.
    pub projections: Option<Projections>,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text is not a JSON object.
    #[error("not a JSON object: {0}")]
    Json(String),
    /// A field that has no default is not there.
    #[error("the field {0:?} is missing")]
    Missing(&'static str),
    /// A field has a value that cannot be.
    #[error("the field {field:?} is {found}, expected {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What stands there.
        found: String,
        /// What may stand there.
        expected: String,
    },
    /// `id2label` does not make a label set.
    #[error("the field \"id2label\" is wrong")]
    Labels(#[source] LabelError),
    /// A shape name such as `4L-312D` that cannot be read.
    #[error(
        "{0:?} names no model shape: expected LAYERSL-HIDDEND with a hidden size of 128, 256, 312, 384 or a multiple of 64 up to 1024, as 4L-312D"
    )]
    Preset(String),
}

/// One trainable tensor: its name in checkpoints, its shape, and how the optimizer treats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// The name as `transformers` writes it, `bert.encoder.layer.0.…`.
    pub name: String,
    /// Sizes of the dimensions; weights are `(out, in)`.
    pub shape: Vec<usize>,
    /// Whether weight decay applies: not to biases and layer norms.
    pub decay: bool,
    /// 0 for embeddings, 1..=L for layers, L + 1 for pooler and classifier; for layer-wise
    /// learning-rate decay.
    pub depth: usize,
}

impl ParameterSpec {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// No model has more parameters than this; a larger count is a damaged or hostile file.
const MAX_PARAMETERS: usize = 1 << 31;

/// No encoder has more layers, nor more token types.
const MOST_LAYERS: usize = 1024;

impl ModelConfig {
    /// A configuration by shape name, `4L-312D` (TinyBERT), `6L-384D` (MiniLM), `12L-768D` (BERT).
    /// Vocabulary and everything else are those of uncased BERT.
    ///
    /// # Errors
    /// [`ConfigError::Preset`].
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::Preset(name.to_owned());
        let (layers, hidden) = name.split_once("L-").ok_or_else(wrong)?;
        let hidden = hidden.strip_suffix('D').ok_or_else(wrong)?;
        let num_hidden_layers: usize = layers.parse().map_err(|_| wrong())?;
        let hidden_size: usize = hidden.parse().map_err(|_| wrong())?;
        let (num_attention_heads, intermediate_size) = match hidden_size {
            312 => (12, 1200),
            384 => (12, 1536),
            size if size % 64 == 0 && (64..=1024).contains(&size) => (size / 64, 4 * size),
            _ => return Err(wrong()),
        };
        if !(1..=48).contains(&num_hidden_layers) {
            return Err(wrong());
        }
        Ok(Self {
            vocab_size: 30522,
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            initializer_range: 0.02,
            pad_token_id: 0,
            pooling: Pooling::Cls,
            problem_type: ProblemType::MultiLabel,
            projections: None,
        })
    }

    /// Reads a Hugging Face `config.json`. Absent fields take BERT's defaults (`transformers.BertConfig`), but
    /// for the five that give the shape. Fields that change nothing of the computation are passed over; of a
    /// field that is there twice, the last counts, as in Python.
    ///
    /// # Errors
    /// When the text is no JSON object, a shape field is missing, a value cannot be, or a field asks for
    /// another computation than that of BERT's encoder.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let fields = Fields::parse(text)?;
        computation::check(&fields)?;
        let pooling = match fields.0.get("tinymood").and_then(|own| own.get("pooling")) {
            None => Pooling::Cls,
            Some(value) => serde_json::from_value(value.clone()).map_err(|_| {
                let expected = "\"cls\" or \"mean\"".to_owned();
                ConfigError::Field { field: "tinymood.pooling", found: value.to_string(), expected }
            })?,
        };
        let config = Self {
            vocab_size: fields.size("vocab_size", None)?,
            hidden_size: fields.size("hidden_size", None)?,
            num_hidden_layers: fields.size("num_hidden_layers", None)?,
            num_attention_heads: fields.size("num_attention_heads", None)?,
            intermediate_size: fields.size("intermediate_size", None)?,
            max_position_embeddings: fields.size("max_position_embeddings", Some(512))?,
            type_vocab_size: fields.size("type_vocab_size", Some(2))?,
            layer_norm_eps: fields.number("layer_norm_eps", 1e-12, f32::MIN_POSITIVE..1.0)?,
            hidden_dropout_prob: fields.number("hidden_dropout_prob", 0.1, 0.0..1.0)?,
            attention_probs_dropout_prob: fields.number(
                "attention_probs_dropout_prob",
                0.1,
                0.0..1.0,
            )?,
            classifier_dropout: fields.optional_number("classifier_dropout", 0.0..1.0)?,
            initializer_range: fields.number("initializer_range", 0.02, 0.0..10.0)?,
            pad_token_id: fields.pad_token_id()?,
            pooling,
            problem_type: fields.problem_type()?,
            projections: None,
        };
        config.check()?;
        Ok(config)
    }

    /// Checks what fields must say together.
    ///
    /// # Errors
    /// [`ConfigError::Field`].
    fn check(&self) -> Result<(), ConfigError> {
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(ConfigError::Field {
                field: "num_attention_heads",
                found: self.num_attention_heads.to_string(),
                expected: format!("a divisor of hidden_size = {}", self.hidden_size),
            });
        }
        for (field, size) in [
            ("num_hidden_layers", self.num_hidden_layers),
            ("type_vocab_size", self.type_vocab_size),
        ] {
            if size > MOST_LAYERS {
                return Err(ConfigError::Field {
                    field,
                    found: size.to_string(),
                    expected: format!("a whole number from 1 to {MOST_LAYERS}"),
                });
            }
        }
        let total = self.parameters(1).iter().try_fold(0_usize, |total, parameter| {
            let len = parameter.shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size))?;
            total.checked_add(len).filter(|&total| total <= MAX_PARAMETERS)
        });
        match total {
            Some(_) => Ok(()),
            None => Err(ConfigError::Field {
                field: "hidden_size",
                found: format!("{} in {} layers", self.hidden_size, self.num_hidden_layers),
                expected: format!("a model of at most {MAX_PARAMETERS} parameters"),
            }),
        }
    }

    /// The configuration as `transformers` reads it, with a `tinymood` object for what it has no field
    /// for: of a `BertForSequenceClassification`, or, without labels, of a `BertModel`.
    pub fn to_json(&self, labels: Option<&LabelSet>) -> Value {
        let mut json = json!({
            "architectures": ["BertModel"],
            "model_type": "bert",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "intermediate_size": self.intermediate_size,
            "hidden_act": "gelu",
            "position_embedding_type": "absolute",
            "max_position_embeddings": self.max_position_embeddings,
            "type_vocab_size": self.type_vocab_size,
            "layer_norm_eps": short(self.layer_norm_eps),
            "hidden_dropout_prob": short(self.hidden_dropout_prob),
            "attention_probs_dropout_prob": short(self.attention_probs_dropout_prob),
            "classifier_dropout": self.classifier_dropout.map(short),
            "initializer_range": short(self.initializer_range),
            "pad_token_id": self.pad_token_id,
            "torch_dtype": "float32",
            "tinymood": { "pooling": self.pooling },
        });
        if let Some(labels) = labels {
            let names = labels.names().iter().enumerate();
            let id2label: Map<String, Value> =
                names.clone().map(|(id, name)| (id.to_string(), json!(name))).collect();
            let label2id: Map<String, Value> =
                names.map(|(id, name)| (name.clone(), json!(id))).collect();
            // transformers has no such head that pools by the mean: with it, it would make a pooler up.
            if self.pooling == Pooling::Cls {
                json["architectures"] = json!(["BertForSequenceClassification"]);
            }
            json["problem_type"] = json!(self.problem_type);
            json["id2label"] = Value::Object(id2label);
            json["label2id"] = Value::Object(label2id);
        }
        json
    }

    /// `D`, the width of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Dropout before the classifier.
    pub fn classifier_dropout_prob(&self) -> f32 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// The trainable tensors of the encoder and a head of `num_labels`, in the order of the forward
    /// pass. With [`Pooling::Mean`] there is no pooler; a student's projections come last.
    pub fn parameters(&self, num_labels: usize) -> Vec<ParameterSpec> {
        let (h, i) = (self.hidden_size, self.intermediate_size);
        let mut list = ParameterList::default();
        let embeddings = "bert.embeddings";
        list.table(format!("{embeddings}.word_embeddings"), self.vocab_size, h);
        list.table(format!("{embeddings}.position_embeddings"), self.max_position_embeddings, h);
        list.table(format!("{embeddings}.token_type_embeddings"), self.type_vocab_size, h);
        list.layer_norm(format!("{embeddings}.LayerNorm"), h);
        for layer in 0..self.num_hidden_layers {
            list.depth = layer + 1;
            let at = format!("bert.encoder.layer.{layer}");
            for projection in ["query", "key", "value"] {
                list.linear(format!("{at}.attention.self.{projection}"), h, h);
            }
            list.linear(format!("{at}.attention.output.dense"), h, h);
            list.layer_norm(format!("{at}.attention.output.LayerNorm"), h);
            list.linear(format!("{at}.intermediate.dense"), i, h);
            list.linear(format!("{at}.output.dense"), h, i);
            list.layer_norm(format!("{at}.output.LayerNorm"), h);
        }
        list.depth = self.num_hidden_layers + 1;
        if self.pooling == Pooling::Cls {
            list.linear("bert.pooler.dense".to_owned(), h, h);
        }
        list.linear("classifier".to_owned(), num_labels, h);
        if let Some(Projections { width, states }) = &self.projections {
            (0..states.len()).for_each(|index| list.linear(Projections::name(index), *width, h));
        }
        list.specs
    }
}

impl ProblemType {
    /// Whether a `config.json` names the problem, rather than leaving it to its reader.
    pub fn is_named_in_config_json(text: &str) -> bool {
        Fields::parse(text).is_ok_and(|fields| fields.get("problem_type").is_some())
    }
}

/// The start of a value, for messages.
pub(crate) fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[derive(Default)]
struct ParameterList {
    specs: Vec<ParameterSpec>,
    depth: usize,
}

impl ParameterList {
    fn push(&mut self, name: String, shape: Vec<usize>, decay: bool) {
        self.specs.push(ParameterSpec { name, shape, decay, depth: self.depth });
    }

    fn table(&mut self, name: String, rows: usize, width: usize) {
        self.push(format!("{name}.weight"), vec![rows, width], true);
    }

    fn linear(&mut self, name: String, outputs: usize, inputs: usize) {
        self.push(format!("{name}.weight"), vec![outputs, inputs], true);
        self.push(format!("{name}.bias"), vec![outputs], false);
    }

    fn layer_norm(&mut self, name: String, width: usize) {
        self.push(format!("{name}.weight"), vec![width], false);
        self.push(format!("{name}.bias"), vec![width], false);
    }
}

/// The fields of a JSON object, read with defaults and bounds.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(other) => Err(ConfigError::Json(excerpt(&other))),
            Err(error) => Err(ConfigError::Json(error.to_string())),
        }
    }

    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    fn size(&self, field: &'static str, default: Option<usize>) -> Result<usize, ConfigError> {
        let limit = 1_u64 << 24;
        match self.get(field) {
            None => default.ok_or(ConfigError::Missing(field)),
            Some(value) => match value.as_u64() {
                Some(size) if (1..=limit).contains(&size) => Ok(size as usize),
                _ => Err(ConfigError::Field {
                    field,
                    found: excerpt(value),
                    expected: format!("a whole number from 1 to {limit}"),
                }),
            },
        }
    }

    /// A number of a range once it is an f32, as which it is used and written: 0.99999999999 is 1 then.
    fn optional_number(
        &self,
        field: &'static str,
        range: std::ops::Range<f32>,
    ) -> Result<Option<f32>, ConfigError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let number = value.as_f64().map(|number| number as f32);
        let wrong = || ConfigError::Field {
            field,
            found: excerpt(value),
            expected: format!("a number from {:?} to below {:?}", range.start, range.end),
        };
        number.filter(|number| range.contains(number)).map(Some).ok_or_else(wrong)
    }

    fn number(
        &self,
        field: &'static str,
        default: f32,
        range: std::ops::Range<f32>,
    ) -> Result<f32, ConfigError> {
        Ok(self.optional_number(field, range)?.unwrap_or(default))
    }

    fn pad_token_id(&self) -> Result<u32, ConfigError> {
        let Some(value) = self.get("pad_token_id") else { return Ok(0) };
        value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| ConfigError::Field {
            field: "pad_token_id",
            found: excerpt(value),
            expected: "a token id".to_owned(),
        })
    }

    /// Absent, it is one sigmoid for each label, since public multi-label models leave it out. Of a
    /// single output that nobody named it is a regression, as `transformers` trains it.
    fn problem_type(&self) -> Result<ProblemType, ConfigError> {
        let Some(found) = self.get("problem_type") else {
            let one = self.get("num_labels").and_then(Value::as_u64) == Some(1);
            let id2label = self.get("id2label").and_then(Value::as_object);
            let unnamed = match id2label {
                Some(names) => {
                    names.len() == 1 && names.values().all(|name| *name == placeholder(0))
                }
                None => one,
            };
            return Ok(if unnamed { ProblemType::Regression } else { ProblemType::MultiLabel });
        };
        let known = ProblemType::ALL.into_iter().find(|known| found == known.name());
        known.ok_or_else(|| ConfigError::Field {
            field: "problem_type",
            found: excerpt(found),
            expected: format!("one of {}", ProblemType::ALL.map(ProblemType::name).join(", ")),
        })
    }

    fn word(&self, field: &'static str) -> Result<Option<&str>, ConfigError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let wrong =
            || ConfigError::Field { field, found: excerpt(value), expected: "a text".to_owned() };
        value.as_str().map(Some).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TINYBERT: &str = r#"{
        "attention_probs_dropout_prob": 0.1, "cell": {}, "emb_size": 312, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "hidden_size": 312, "initializer_range": 0.02,
        "intermediate_size": 1200, "max_position_embeddings": 512, "num_attention_heads": 12,
        "num_hidden_layers": 4, "pre_trained": "", "structure": [], "type_vocab_size": 2,
        "vocab_size": 30522 }"#;

    #[test]
    fn tinybert_reads_with_defaults() {
        let config = ModelConfig::from_json(TINYBERT).unwrap();
        assert_eq!(config, ModelConfig::preset("4L-312D").unwrap());
        assert_eq!(config.head_size(), 26);
        let total: usize = config.parameters(28).iter().map(ParameterSpec::len).sum();
        assert_eq!(total, 14_350_248 + 28 * 313);
        assert_eq!(LabelSet::from_config_json(TINYBERT), Ok(None));
    }

    #[test]
    fn what_is_written_reads_back() {
        let labels = LabelSet::goemotions();
        let config =
            ModelConfig { pooling: Pooling::Mean, ..ModelConfig::preset("6L-384D").unwrap() };
        let text = config.to_json(Some(&labels)).to_string();
        assert_eq!(ModelConfig::from_json(&text), Ok(config));
        assert_eq!(LabelSet::from_config_json(&text), Ok(Some(labels)));
    }

    #[test]
    fn decay_leaves_out_biases_and_layer_norms() {
        for spec in ModelConfig::preset("4L-312D").unwrap().parameters(28) {
            let exempt = spec.name.ends_with("bias") || spec.name.contains("LayerNorm");
            assert_eq!(spec.decay, !exempt, "{}", spec.name);
        }
    }

    #[test]
    fn wrong_fields_are_named() {
        let wrong = |from: &str, to: &str| {
            let text = TINYBERT.replace(from, to);
            assert_ne!(text, TINYBERT);
            ModelConfig::from_json(&text).unwrap_err().to_string()
        };
        for (from, to, expected) in [
            ("\"hidden_size\": 312", "\"hidden\": 312", "hidden_size"),
            ("\"hidden_size\": 312", "\"hidden_size\": 313", "num_attention_heads"),
            ("\"hidden_size\": 312", "\"hidden_size\": -1", "hidden_size"),
            ("\"gelu\"", "\"relu\"", "hidden_act"),
            ("\"vocab_size\": 30522", "\"vocab_size\": 1e12", "vocab_size"),
            ("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 100000", "num_hidden_layers"),
            ("\"type_vocab_size\": 2", "\"type_vocab_size\": 16000000", "type_vocab_size"),
            ("0.02", "\"a\"", "initializer_range"),
            // Inside of the range, until they are rounded to an f32.
            ("0.02", "9.99999999999", "initializer_range"),
            ("\"hidden_dropout_prob\": 0.1", "\"hidden_dropout_prob\": 0.99999999999", "dropout"),
            ("\"cell\": {}", "\"layer_norm_eps\": 1e-60", "layer_norm_eps"),
            ("\"cell\": {}", "\"layer_norm_eps\": 0", "layer_norm_eps"),
        ] {
            let message = wrong(from, to);
            assert!(message.contains(expected), "{to}: {message}");
        }
        assert!(ModelConfig::from_json("[]").is_err());
    }

    #[test]
    fn the_problem_type_is_read_and_written() {
        let read = |fields: &str| {
            let text = TINYBERT.replace("\"cell\": {}", fields);
            ModelConfig::from_json(&text).map(|config| config.problem_type)
        };
        for (fields, expected) in [
            (r#""id2label": {"0": "a", "1": "b"}"#, ProblemType::MultiLabel),
            (r#""problem_type": null"#, ProblemType::MultiLabel),
            (r#""problem_type": "multi_label_classification""#, ProblemType::MultiLabel),
            (r#""problem_type": "single_label_classification""#, ProblemType::SingleLabel),
            (r#""problem_type": "regression""#, ProblemType::Regression),
            // One output is a number, unless its label or the problem has a name.
            (r#""num_labels": 1"#, ProblemType::Regression),
            (r#""id2label": {"0": "LABEL_0"}"#, ProblemType::Regression),
            (r#""id2label": {"0": "toxic"}"#, ProblemType::MultiLabel),
            (
                r#""id2label": {"0": "LABEL_0"}, "problem_type": "multi_label_classification""#,
                ProblemType::MultiLabel,
            ),
        ] {
            assert_eq!(read(fields), Ok(expected), "{fields}");
        }
        for value in ["\"multi_label\"", "\"\"", "3", "[]"] {
            let message = read(&format!("\"problem_type\": {value}")).unwrap_err().to_string();
            let expected = format!("\"problem_type\" is {value}, expected one of multi_label_");
            assert!(message.contains(&expected), "{message}");
        }
        let labels = LabelSet::new(["a", "b"]).unwrap();
        let single = ModelConfig {
            problem_type: ProblemType::SingleLabel,
            ..ModelConfig::preset("4L-312D").unwrap()
        };
        let json = single.to_json(Some(&labels));
        assert_eq!(json["problem_type"], "single_label_classification");
        assert_eq!(ModelConfig::from_json(&json.to_string()), Ok(single));
    }

    /// What is read of a `config.json`.
    const FIELDS: [&str; 20] = [
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
        "type_vocab_size",
        "layer_norm_eps",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "classifier_dropout",
        "initializer_range",
        "pad_token_id",
        "hidden_act",
        "position_embedding_type",
        "model_type",
        "tinymood",
        "id2label",
        "num_labels",
        "problem_type",
    ];

    /// Values of every kind: numbers that fields take and any others, words, ids and what holds them.
    fn values() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            0.0..1.0,
            (0..400_i32).prop_map(|digits| 10.0_f64.powi(-digits)),
            (0..20_i32).prop_map(|digits| 1.0 - 10.0_f64.powi(-digits)),
            any::<f64>(),
        ];
        let word = prop_oneof![
            Just("gelu"),
            Just("absolute"),
            Just("bert"),
            Just("cls"),
            Just("mean"),
            Just("LABEL_0"),
            Just("multi_label_classification"),
            Just("single_label_classification"),
            Just("regression"),
            Just(""),
            Just("joy"),
            Just("Joy"),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..100_u64).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            number.prop_map(Value::from),
            word.prop_map(Value::from),
        ];
        let name = prop_oneof![
            (0..4_usize).prop_map(|id| id.to_string()),
            Just("pooling".to_owned()),
            any::<String>(),
        ];
        leaf.prop_recursive(2, 12, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name.clone(), inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn no_value_panics_and_what_is_read_can_be_written_and_read_again(
            changes in prop::collection::vec((prop::sample::select(&FIELDS[..]), values()), 1..4),
        ) {
            let mut json: Value = serde_json::from_str(TINYBERT).unwrap();
            for (field, value) in changes {
                json[field] = value;
            }
            let text = json.to_string();
            let labels = LabelSet::from_config_json(&text);
            if let Ok(config) = ModelConfig::from_json(&text) {
                let labels = labels.ok().flatten();
                let problem_type = match labels {
                    Some(_) => config.problem_type,
                    None => ProblemType::MultiLabel, // an encoder has none
                };
                let config = ModelConfig { problem_type, ..config };
                let again = config.to_json(labels.as_ref()).to_string();
                prop_assert_eq!(ModelConfig::from_json(&again), Ok(config));
                prop_assert_eq!(LabelSet::from_config_json(&again), Ok(labels));
            }
        }

        #[test]
        fn no_preset_panics(name in "[0-9]{0,21}(L|L-)[+-]?[0-9]{0,21}D?") {
            let _ = ModelConfig::preset(&name);
        }
    }
}
