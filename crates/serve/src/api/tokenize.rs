//! `POST /tokenize`: texts as the model's tokenizer sees them, as text-embeddings-inference tells it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tinymood_text::{Token, TokenizerError};
use utoipa::ToSchema;

use super::answer;
use crate::app::{App, TokensLeft, Work};
use crate::classifier::Served;
use crate::error::ApiError;
use crate::fields::{Field, Fields, is_texts};
use crate::request::{Asked, OneOrMany};

/// Texts to tokenize.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TokenizeRequest {
    inputs: OneOrMany,
    /// Whether the tokens that frame every text are told too.
    #[serde(default)]
    #[schema(default = true)]
    add_special_tokens: Option<bool>,
}

impl Fields for TokenizeRequest {
    const FIELDS: &'static [Field] = &[
        Field::needed("inputs", "a string or a list of strings", is_texts),
        Field::flag("add_special_tokens"),
    ];
    const TAKES_OTHERS: bool = true;
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SimpleToken {
    /// Its row in the model's vocabulary.
    #[schema(example = 4067)]
    id: u32,
    /// As the text spells it; of special tokens, their name.
    #[schema(example = "thank")]
    text: String,
    /// Whether it frames the text and is no part of it.
    special: bool,
    /// Its first character, counted in Unicode code points; null of special tokens.
    start: Option<usize>,
    /// One past its last.
    stop: Option<usize>,
}

/// Tokens of texts, uncut.
#[utoipa::path(
    post, path = "/tokenize", tag = "answers", request_body = TokenizeRequest,
    responses((status = 200, description = "Tokens of each text, in order", body = Vec<Vec<SimpleToken>>))
)]
pub(super) async fn tokenize(
    State(app): State<Arc<App>>,
    asked: Asked<TokenizeRequest>,
) -> Result<Response, ApiError> {
    let TokenizeRequest { inputs, add_special_tokens } = asked.body;
    let add_special_tokens = add_special_tokens.unwrap_or(true);
    asked.kind.set(matches!(inputs, OneOrMany::One(_)));
    let texts = inputs.into_vec();
    let mut work = Work { texts: texts.len(), ..Work::default() };
    work.characters = app.check_texts("inputs", &texts)?;
    let tokenize = move |served: &Served, text: &str, left: &mut TokensLeft| {
        let tokens = tokens(served, text, add_special_tokens)?;
        // What is told of a token is much larger than its text.
        left.take(tokens.len())?;
        Ok(tokens)
    };
    let tokens = app.in_time(app.tokenize(&app.served(), texts, &mut work, tokenize)).await?;
    answer(&tokens, work, asked.place)
}

fn tokens(
    served: &Served,
    text: &str,
    add_special_tokens: bool,
) -> Result<Vec<SimpleToken>, TokenizerError> {
    let characters: Vec<char> = text.chars().collect();
    let token = |Token { id, name, characters: place }: Token| match place {
        Some(place) => SimpleToken {
            id,
            text: characters[place.clone()].iter().collect(),
            special: false,
            start: Some(place.start),
            stop: Some(place.end),
        },
        None => SimpleToken { id, text: name, special: true, start: None, stop: None },
    };
    let tokens = served.classifier.tokenizer.tokens(text, add_special_tokens)?;
    Ok(tokens.into_iter().map(token).collect())
}
