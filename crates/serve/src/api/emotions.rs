//! `POST /v1/emotions`: which labels hold for each text, and on request all scores, coarser labels and
//! the words that carried them.

use std::ops::Range;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use tinymood_core::{Taxonomy, TokenizedText};
use tinymood_eval::{Choice, Explanation, Occluded, Selection};
use tinymood_text::Word;
use utoipa::ToSchema;

use super::answer;
use crate::app::{App, TokensLeft, Work};
use crate::classifier::Served;
use crate::error::ApiError;
use crate::fields::{Field, Fields, is_count, is_one_of, is_texts};
use crate::request::{Asked, OneOrMany, name_or_default, or_default};

/// What is asked of texts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmotionsRequest {
    texts: OneOrMany,
    /// Whether to give every label's score too.
    #[serde(default, deserialize_with = "or_default")]
    all_scores: bool,
    /// Whether to tell which words carried each label.
    #[serde(default, deserialize_with = "or_default")]
    explain: bool,
    /// The labels, or coarser ones.
    #[serde(default, deserialize_with = "name_or_default")]
    taxonomy: TaxonomyName,
    /// One threshold for all labels instead of the model's own. Refused by a single-label model, which has
    /// none.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    threshold: Option<f32>,
    /// The highest so many labels, whether or not they reach their thresholds.
    #[serde(default)]
    #[schema(minimum = 1)]
    top_k: Option<usize>,
    /// Where no label reaches its threshold, give the best one.
    #[serde(default, deserialize_with = "or_default")]
    at_least_one: bool,
}

impl Fields for EmotionsRequest {
    const FIELDS: &'static [Field] = &[
        Field::needed("texts", "a string or a list of strings", is_texts),
        Field::flag("all_scores"),
        Field::flag("explain"),
        Field::optional("taxonomy", "\"original\", \"ekman\" or \"sentiment\"", |value| {
            is_one_of(value, &["original", "ekman", "sentiment"])
        }),
        Field::optional("threshold", "a number from 0 to 1", Value::is_number),
        Field::optional("top_k", "a whole number above 0", is_count),
        Field::flag("at_least_one"),
    ];
    const TAKES_OTHERS: bool = false;
}

/// A view of the labels.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum TaxonomyName {
    /// The model's own labels.
    #[default]
    Original,
    /// Ekman's six basic emotions and neutral.
    Ekman,
    /// Positive, negative, ambiguous and neutral.
    Sentiment,
}

impl From<TaxonomyName> for Taxonomy {
    fn from(name: TaxonomyName) -> Self {
        match name {
            TaxonomyName::Original => Self::Original,
            TaxonomyName::Ekman => Self::Ekman,
            TaxonomyName::Sentiment => Self::Sentiment,
        }
    }
}

impl From<Taxonomy> for TaxonomyName {
    fn from(taxonomy: Taxonomy) -> Self {
        match taxonomy {
            Taxonomy::Original => Self::Original,
            Taxonomy::Ekman => Self::Ekman,
            Taxonomy::Sentiment => Self::Sentiment,
        }
    }
}

/// The answer: one result for each text, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EmotionsResponse<'a> {
    /// As `/info`'s `model_id`.
    model: &'a str,
    /// The view of the labels that was asked for.
    taxonomy: TaxonomyName,
    /// What is said of each text.
    results: Vec<EmotionsResult<'a>>,
}

/// What is said of one text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EmotionsResult<'a> {
    /// Labels that hold, highest score first; may be empty. Of a single-label model exactly one, unless
    /// `top_k` asks for others.
    labels: Vec<LabelScore<'a>>,
    /// All labels, highest score first, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<Vec<LabelScore<'a>>>,
    /// Tokens that were read, special ones included.
    tokens: usize,
    /// Whether the text is longer than the model reads.
    truncated: bool,
    /// What carried the labels, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<WordShares<'a>>,
}

/// A label's probability. It holds when that is at least its threshold, or, of a single-label model, when it
/// is the highest.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct LabelScore<'a> {
    /// Its name.
    #[schema(example = "gratitude")]
    label: &'a str,
    /// Its probability.
    #[schema(minimum = 0.0, maximum = 1.0, example = 0.98)]
    score: f32,
    /// The probability from which it holds; absent of a single-label model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.0, maximum = 1.0, example = 0.48)]
    threshold: Option<f32>,
}

/// How much each word adds to each label's logit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WordShares<'a> {
    /// Words, in the text's order; of a long text, spans of neighbouring words.
    words: Vec<Place>,
    /// For each label that was given (with `all_scores` all labels), how far its logit drops without each
    /// of `words`.
    #[serde(serialize_with = "as_object")]
    #[schema(value_type = HashMap<String, Vec<f32>>)]
    labels: Vec<(&'a str, Vec<f32>)>,
}

/// A word's place in the text that was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Place {
    /// Its first character, counted in Unicode code points.
    start: usize,
    /// One past its last.
    end: usize,
    /// The word as the text spells it.
    #[schema(example = "thank")]
    text: String,
}

/// A text as the engine reads it.
struct Tokenized {
    text: TokenizedText,
    /// When an explanation is asked for: its places, and the text without each.
    words: Option<(Vec<Place>, Occluded)>,
}

/// Labels of texts.
#[utoipa::path(
    post, path = "/v1/emotions", tag = "answers", request_body = EmotionsRequest,
    responses((status = 200, description = "One result for each text, in order", body = EmotionsResponse<'static>))
)]
pub(super) async fn emotions(
    State(app): State<Arc<App>>,
    asked: Asked<EmotionsRequest>,
) -> Result<Response, ApiError> {
    let served = app.served();
    let EmotionsRequest { texts, all_scores, explain, taxonomy, .. } = &asked.body;
    let (all_scores, explain, taxonomy) = (*all_scores, *explain, *taxonomy);
    asked.kind.set(matches!(texts, OneOrMany::One(_)));
    let selection = selection(&asked.body, &served)?;
    let texts = asked.body.texts.into_vec();
    let mut work = Work { texts: texts.len(), ..Work::default() };
    work.characters = app.check_texts("texts", &texts)?;

    let tokenize = move |served: &Served, text: &str, left: &mut TokensLeft| {
        tokenized(served, text, explain, left)
    };
    let (texts, logits) = app
        .in_time(async {
            let mut texts = app.tokenize(&served, texts, &mut work, tokenize).await?;
            let mut sequences = Vec::with_capacity(texts.len());
            for Tokenized { text, words } in &mut texts {
                sequences.push(text.clone());
                let copies = words.iter_mut().flat_map(|(_, occluded)| occluded.copies.drain(..));
                sequences.extend(copies);
            }
            Ok((texts, app.compute(&served, sequences, &mut work).await?))
        })
        .await?;

    let probabilities = selection.problem_type.probabilities(&logits);
    let mut rows = logits.rows().zip(probabilities.chunks_exact(logits.num_labels));
    let results = texts.into_iter().filter_map(|Tokenized { text, words }| {
        let (whole, probabilities) = rows.next()?;
        let choice = selection.choose(probabilities);
        let named = |labels: &[usize]| -> Vec<LabelScore<'_>> {
            labels.iter().map(|&label| score(&selection, label, &choice, probabilities)).collect()
        };
        let ranking = choice.ranking();
        let explanation = words.map(|(places, occluded)| {
            let copies = rows.by_ref().take(places.len()).map(|(logits, _)| logits);
            let explanation = occluded.explanation(whole, copies);
            let told = if all_scores { &ranking } else { &choice.labels };
            shares(&selection, told, whole, &explanation, places)
        });
        Some(EmotionsResult {
            labels: named(&choice.labels),
            scores: all_scores.then(|| named(&ranking)),
            tokens: text.ids.len(),
            truncated: text.is_truncated(),
            explanation,
        })
    });
    let results = results.collect();
    let model = &served.classifier.about.model_id;
    answer(&EmotionsResponse { model, taxonomy, results }, work, asked.place)
}

/// How labels are chosen, as the request says.
fn selection(asked: &EmotionsRequest, served: &Served) -> Result<Selection, ApiError> {
    let taxonomy: Taxonomy = asked.taxonomy.into();
    let Some(map) = served.taxonomy(taxonomy) else {
        let known: Vec<String> =
            served.taxonomies().map(|known| format!("{known:?}").to_lowercase()).collect();
        let message = format!(
            "the model's labels have no place in this taxonomy, expected one of: {}",
            known.join(", ")
        );
        return Err(ApiError::validation(message));
    };
    let model = &served.classifier;
    let problem_type = served.problem_type();
    if asked.threshold.is_some() && problem_type.is_single_label() {
        let message = "threshold has no meaning: the model gives exactly one label for each text \
                       (problem_type is single_label_classification)";
        return Err(ApiError::validation(message));
    }
    let thresholds = match asked.threshold {
        Some(value) if (0.0..=1.0).contains(&value) => vec![value; model.labels.len()],
        Some(value) => {
            let message = format!("threshold is {value}, expected a number from 0 to 1");
            return Err(ApiError::validation(message));
        }
        None => model.thresholds.values.clone(),
    };
    if asked.top_k == Some(0) {
        return Err(ApiError::validation("top_k is 0, expected at least 1"));
    }
    let (top_k, at_least_one) = (asked.top_k, asked.at_least_one);
    let taxonomy = map.clone();
    Ok(Selection { problem_type, thresholds, taxonomy, top_k, at_least_one })
}

/// A text's tokens and, to explain it, its words, whose places take far longer to find: so what is too much
/// without them ends before.
fn tokenized(
    served: &Served,
    text: &str,
    explain: bool,
    left: &mut TokensLeft,
) -> Result<Tokenized, ApiError> {
    let tokenizer = &served.classifier.tokenizer;
    let encoded = tokenizer.encode(text)?;
    left.take(encoded.ids.len())?;
    if !explain {
        return Ok(Tokenized { text: encoded, words: None });
    }
    let words = tokenizer.words(text)?;
    let tokens: Vec<Range<usize>> = words.iter().map(|word| word.tokens.clone()).collect();
    let occluded = Occluded::new(&encoded, &tokens, served.occlusion);
    left.take(occluded.copies.iter().map(|copy| copy.ids.len()).sum())?;
    let words = Some((places(text, &words, &occluded.spans), occluded));
    Ok(Tokenized { text: encoded, words })
}

/// Where spans of words stand in a text.
fn places(text: &str, words: &[Word], spans: &[Range<usize>]) -> Vec<Place> {
    let characters: Vec<char> = text.chars().collect();
    let place = |span: &Range<usize>| {
        let (start, end) = (words[span.start].characters.start, words[span.end - 1].characters.end);
        Place { start, end, text: characters[start..end].iter().collect() }
    };
    spans.iter().map(place).collect()
}

fn score<'a>(
    selection: &'a Selection,
    label: usize,
    choice: &Choice,
    probabilities: &[f32],
) -> LabelScore<'a> {
    LabelScore {
        label: selection.labels().name(label),
        score: choice.scores[label],
        threshold: match selection.problem_type.is_single_label() {
            true => None,
            // A group of a taxonomy may have no member in the model: nothing reaches it.
            false => Some(selection.threshold(label, probabilities).unwrap_or(1.0)),
        },
    }
}

/// What carried each of `told`; of a group, its best member.
fn shares<'a>(
    selection: &'a Selection,
    told: &[usize],
    whole: &[f32],
    explanation: &Explanation,
    words: Vec<Place>,
) -> WordShares<'a> {
    let of_label = |&label: &usize| {
        let decisive = selection.decisive(label, whole)?;
        Some((selection.labels().name(label), explanation.scores(decisive).collect()))
    };
    WordShares { words, labels: told.iter().filter_map(of_label).collect() }
}

/// Pairs as one JSON object, in their order.
fn as_object<S: Serializer>(pairs: &[(&str, Vec<f32>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, values)| (name, values)))
}
