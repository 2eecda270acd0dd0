//! `POST /predict` and `POST /`: all labels of texts, highest first, in the two forms that clients know.
//!
//! | sent | form | answered |
//! |---|---|---|
//! | `inputs`: `"a"` or `["a"]` | text-embeddings-inference | `[{"score", "label"}, ...]` |
//! | `inputs`: `[["a"], ["b"]]` | text-embeddings-inference | `[[...], [...]]` |
//! | `parameters` (may be `{}`), `inputs`: `"a"` or `["a", "b"]` | Hugging Face inference | `[[...], ...]` |
//!
//! The field `parameters` tells them apart: `huggingface_hub`'s `InferenceClient` always sends it, and
//! text-embeddings-inference has none. Without it `["a", "b"]` is a pair of texts there, which no model
//! here reads, so it is refused rather than taken for two texts. Unknown fields pass, as they do there.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tinymood_core::{ProblemType, TokenizedText};
use tinymood_text::{Tokenizer, TokenizerError};
use utoipa::ToSchema;

use super::answer;
use crate::app::{App, TokensLeft, Work};
use crate::classifier::Served;
use crate::error::{ApiError, INPUT_LENGTH};
use crate::fields::{Field, Fields, is_count, is_one_of, is_texts};
use crate::request::{Asked, OneOrMany, name_or_default, name_or_null, object_or_null, or_default};

/// Texts in either form.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PredictRequest {
    inputs: Inputs,
    /// Whether a text that is longer than the model reads is cut, or refused.
    #[serde(default)]
    #[schema(default = true)]
    truncate: Option<bool>,
    /// Which end is cut off.
    #[serde(default, deserialize_with = "name_or_default")]
    truncation_direction: TruncationDirection,
    /// Whether to give logits instead of probabilities.
    #[serde(default, deserialize_with = "or_default")]
    raw_scores: bool,
    /// Makes it the Hugging Face form.
    #[serde(default, deserialize_with = "object_or_null")]
    parameters: Option<Parameters>,
}

impl Fields for PredictRequest {
    const FIELDS: &'static [Field] = &[
        Field::needed("inputs", "a string, [\"a\"] or [[\"a\"], [\"b\"]]", |value| match value {
            Value::Array(items) => items.iter().all(is_texts),
            other => other.is_string(),
        }),
        Field::flag("truncate"),
        Field::optional("truncation_direction", "\"left\" or \"right\"", |value| {
            is_one_of(value, &["left", "right", "Left", "Right"])
        }),
        Field::flag("raw_scores"),
        Field::optional("parameters", "an object", Value::is_object),
        Field::optional("parameters.top_k", "a whole number above 0", is_count),
        Field::optional(
            "parameters.function_to_apply",
            "\"sigmoid\", \"softmax\" or \"none\"",
            |value| is_one_of(value, &["sigmoid", "softmax", "none"]),
        ),
    ];
    const TAKES_OTHERS: bool = true;
}

/// The end of a text.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum TruncationDirection {
    /// The beginning.
    #[serde(alias = "Left")]
    Left,
    /// The end.
    #[default]
    #[serde(alias = "Right")]
    Right,
}

/// The Hugging Face form's own.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
pub(super) struct Parameters {
    /// The highest so many labels; all where there is none.
    #[serde(default)]
    #[schema(minimum = 1)]
    top_k: Option<usize>,
    /// What makes scores of logits; without it, what `/info` says.
    #[serde(default, deserialize_with = "name_or_null")]
    function_to_apply: Option<Function>,
}

/// What makes scores of logits.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Function {
    /// Each label on its own, as multi-label models are trained.
    Sigmoid,
    /// One label against the others, as single-label models are trained.
    Softmax,
    /// The logits themselves.
    None,
}

/// What stands in `inputs`.
#[derive(Debug, PartialEq)]
pub(super) enum Inputs {
    One(String),
    List(Vec<OneOrMany>),
}

/// A label and its score.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Prediction<'a> {
    /// Its probability, or whatever the request asks for.
    #[schema(example = 0.98)]
    score: f32,
    /// Its name.
    #[schema(example = "gratitude")]
    label: &'a str,
}

/// Labels of one text, or of several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum PredictResponse<'a> {
    /// Of one text.
    Single(Vec<Prediction<'a>>),
    /// Of each text.
    Batch(Vec<Vec<Prediction<'a>>>),
}

/// All labels of texts.
#[utoipa::path(
    post, path = "/predict", tag = "answers", request_body = PredictRequest,
    responses((status = 200, description = "All labels, highest score first", body = PredictResponse<'static>))
)]
pub(super) async fn predict(
    State(app): State<Arc<App>>,
    asked: Asked<PredictRequest>,
) -> Result<Response, ApiError> {
    let PredictRequest { inputs, truncate, truncation_direction, raw_scores, parameters } =
        asked.body;
    let (texts, is_single) = inputs.texts(parameters.is_some())?;
    asked.kind.set(is_single);
    let mut work = Work { texts: texts.len(), ..Work::default() };
    work.characters = app.check_texts("inputs", &texts)?;
    let served = app.served();
    let Parameters { top_k, function_to_apply } = parameters.unwrap_or_default();
    if top_k == Some(0) {
        return Err(ApiError::validation("top_k is 0, expected at least 1"));
    }

    let tokenize = move |served: &Served, text: &str, left: &mut TokensLeft| {
        let sequence = cut(&served.classifier.tokenizer, text, truncation_direction)?;
        left.take(sequence.ids.len())?;
        Ok(sequence)
    };
    let logits = app
        .in_time(async {
            let sequences = app.tokenize(&served, texts, &mut work, tokenize).await?;
            if truncate == Some(false)
                && let Some(row) = sequences.iter().position(TokenizedText::is_truncated)
            {
                let what =
                    format!("text {row} of inputs has {} tokens", sequences[row].full_length);
                let limit = served.classifier.tokenizer.max_length();
                return Err(ApiError::limit(what, INPUT_LENGTH, limit));
            }
            app.compute(&served, sequences, &mut work).await
        })
        .await?;

    let scores = match function_to_apply {
        Some(Function::None) => logits.values,
        None if raw_scores => logits.values,
        None => served.problem_type().probabilities(&logits),
        Some(Function::Sigmoid) => ProblemType::MultiLabel.probabilities(&logits),
        Some(Function::Softmax) => ProblemType::SingleLabel.probabilities(&logits),
    };
    let labels = &served.classifier.labels;
    let top_k = top_k.unwrap_or(labels.len());
    let mut answers = scores.chunks_exact(labels.len()).map(|scores| {
        let named = scores.iter().zip(labels.names());
        let mut named: Vec<Prediction<'_>> =
            named.map(|(&score, label)| Prediction { score, label }).collect();
        named.sort_by(|a, b| b.score.total_cmp(&a.score)); // stable: ties in label order
        named.truncate(top_k);
        named
    });
    let response = match is_single && parameters.is_none() {
        true => PredictResponse::Single(answers.next().unwrap_or_default()),
        false => PredictResponse::Batch(answers.collect()),
    };
    answer(&response, work, asked.place)
}

impl Inputs {
    /// The texts, and whether there is one that is no list of texts.
    fn texts(self, is_hugging_face: bool) -> Result<(Vec<String>, bool), ApiError> {
        let items = match self {
            Self::One(text) => return Ok((vec![text], true)),
            Self::List(items) => items,
        };
        let is_flat = items.iter().all(|item| matches!(item, OneOrMany::One(_)));
        let is_nested = items.iter().all(|item| matches!(item, OneOrMany::Many(_)));
        if !is_flat && !is_nested {
            let message = "inputs mixes texts and lists, expected one kind: [[\"a\"], [\"b\"]]";
            return Err(ApiError::validation(message));
        }
        // Texts that a model which reads several would read together.
        let length = |item: &OneOrMany| match item {
            OneOrMany::One(_) => 1,
            OneOrMany::Many(texts) => texts.len(),
        };
        let together = match is_flat && !is_hugging_face {
            true => items.len(),
            false => items.iter().map(length).max().unwrap_or_default(),
        };
        if together > 1 {
            let what = match together {
                2 => "a pair of texts".to_owned(),
                more => format!("a list of {more} texts in the place of one"),
            };
            return Err(ApiError::validation(format!(
                "inputs holds {what}, and this model reads single ones; for several texts send \
                 [[\"a\"], [\"b\"]], or [\"a\", \"b\"] with \"parameters\": {{}}",
            )));
        }
        let is_single = is_flat && items.len() == 1 && !is_hugging_face;
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item {
                OneOrMany::One(text) => texts.push(text),
                OneOrMany::Many(list) if list.is_empty() => {
                    return Err(ApiError::validation("inputs holds an empty list"));
                }
                OneOrMany::Many(list) => texts.extend(list),
            }
        }
        Ok((texts, is_single))
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Inputs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, [\"a\"] or [[\"a\"], [\"b\"]]")
            }

            fn visit_str<E>(self, text: &str) -> Result<Inputs, E> {
                Ok(Inputs::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Inputs, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Inputs::List(items))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

/// A text as the model reads it, cut at one end where it is too long.
fn cut(
    tokenizer: &Tokenizer,
    text: &str,
    direction: TruncationDirection,
) -> Result<TokenizedText, TokenizerError> {
    if direction == TruncationDirection::Right {
        return tokenizer.encode(text);
    }
    let length = tokenizer.max_length();
    let mut whole = tokenizer.clone().with_max_length(usize::MAX)?.encode(text)?;
    let over = whole.ids.len().saturating_sub(length);
    whole.ids.drain(1..1 + over); // [CLS] stays
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str, is_hugging_face: bool) -> Option<(Vec<String>, bool)> {
        let inputs: Inputs = serde_json::from_str(json).ok()?;
        inputs.texts(is_hugging_face).ok()
    }

    #[test]
    fn forms_are_told_apart() {
        let given = |texts: &[&str], is_single| {
            Some((texts.iter().map(|text| (*text).to_owned()).collect(), is_single))
        };
        for (json, tei, hugging_face) in [
            (r#""a""#, given(&["a"], true), given(&["a"], true)),
            (r#"["a"]"#, given(&["a"], true), given(&["a"], false)),
            (r#"["a","b"]"#, None, given(&["a", "b"], false)),
            (r#"["a","b","c"]"#, None, given(&["a", "b", "c"], false)),
            (r#"[["a"],["b"]]"#, given(&["a", "b"], false), given(&["a", "b"], false)),
            (r#"[["a","b"]]"#, None, None),
            (r#"[["a"],"b"]"#, None, None),
            (r#"[[]]"#, None, None),
            (r#"[]"#, given(&[], false), given(&[], false)), // refused with the other limits
            (r#"{"text":"a"}"#, None, None),
            ("5", None, None),
        ] {
            assert_eq!(texts(json, false), tei, "{json}");
            assert_eq!(texts(json, true), hugging_face, "{json}");
        }
    }

    #[test]
    fn either_end_is_cut() {
        let tokenizer = Tokenizer::bundled().with_max_length(4).unwrap();
        let whole = Tokenizer::bundled().encode("one two three").unwrap().ids;
        let right = cut(&tokenizer, "one two three", TruncationDirection::Right).unwrap();
        assert_eq!(right.ids, [whole[0], whole[1], whole[2], whole[4]]);
        let left = cut(&tokenizer, "one two three", TruncationDirection::Left).unwrap();
        assert_eq!(left.ids, [whole[0], whole[2], whole[3], whole[4]]);
        assert!(left.is_truncated() && left.full_length == 5);
        let short = cut(&tokenizer, "one", TruncationDirection::Left).unwrap();
        assert!(!short.is_truncated());
    }
}
