//! What a request is refused with: one JSON object on every endpoint, which names the limit that was
//! exceeded and the flag that moves it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::queue::{Failure, Refusal};
use crate::tokenization::Lost;

/// Why a request has no answer. The outermost layer writes it out, since only that knows the request's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) error_type: &'static str,
    pub(crate) message: String,
    pub(crate) limit: Option<&'static str>,
    /// Seconds after which to ask again.
    pub(crate) retry_after: Option<u64>,
}

/// An error as it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody<'a> {
    /// What is wrong, and what to do about it.
    #[schema(example = "texts holds 300 texts, the limit is 256 (--max-texts)")]
    pub(crate) error: &'a str,
    /// What kind of error it is.
    #[schema(example = "validation")]
    pub(crate) error_type: &'a str,
    /// The limit that was exceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "max_texts")]
    pub(crate) limit: Option<&'a str>,
    /// The request's id, as in `x-request-id` and in the log.
    pub(crate) request_id: &'a str,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        error_type: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { status, error_type, message: message.into(), limit: None, retry_after: None }
    }

    /// A field that is not as it should be.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation", message)
    }

    /// More than a limit allows; `what` says of what there is how much.
    pub(crate) fn limit(what: impl std::fmt::Display, limit: Limit, value: usize) -> Self {
        let message = format!("{what}, the limit is {value} ({})", limit.flag);
        Self { limit: Some(limit.name), ..Self::new(limit.status, limit.error_type, message) }
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(crate) fn shutting_down() -> Self {
        let message = "the server is shutting down";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unhealthy", message).retry_after(1)
    }

    fn backend(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "backend", message)
    }

    /// What the queue says to a request that may not wait, `seconds` being how long it is.
    pub(crate) fn refused(refusal: Refusal, max_queue_tokens: usize, seconds: u64) -> Self {
        match refusal {
            Refusal::Closed => Self::shutting_down(),
            Refusal::Full { waiting } => {
                let what = format!("{waiting} tokens are waiting to be computed");
                Self::limit(what, QUEUE_TOKENS, max_queue_tokens).retry_after(seconds)
            }
        }
    }
}

/// A limit as errors name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    name: &'static str,
    flag: &'static str,
    status: StatusCode,
    error_type: &'static str,
}

impl Limit {
    const fn new(name: &'static str, flag: &'static str, status: StatusCode) -> Self {
        let overloaded = status.as_u16() == StatusCode::TOO_MANY_REQUESTS.as_u16();
        let error_type = if overloaded { "overloaded" } else { "validation" };
        Self { name, flag, status, error_type }
    }
}

pub(crate) const BODY_BYTES: Limit =
    Limit::new("max_body_bytes", "--max-body-bytes", StatusCode::PAYLOAD_TOO_LARGE);
pub(crate) const TEXTS: Limit =
    Limit::new("max_texts", "--max-texts", StatusCode::UNPROCESSABLE_ENTITY);
pub(crate) const CHARACTERS: Limit =
    Limit::new("max_characters", "--max-characters", StatusCode::UNPROCESSABLE_ENTITY);
pub(crate) const INPUT_LENGTH: Limit =
    Limit::new("max_input_length", "send \"truncate\": true", StatusCode::UNPROCESSABLE_ENTITY);
/// Of one request.
pub(crate) const REQUEST_TOKENS: Limit =
    Limit::new("max_queue_tokens", "--max-queue-tokens", StatusCode::UNPROCESSABLE_ENTITY);
/// Of all that wait.
pub(crate) const QUEUE_TOKENS: Limit =
    Limit::new("max_queue_tokens", "--max-queue-tokens", StatusCode::TOO_MANY_REQUESTS);
pub(crate) const CONCURRENT_REQUESTS: Limit = Limit::new(
    "max_concurrent_requests",
    "--max-concurrent-requests",
    StatusCode::TOO_MANY_REQUESTS,
);

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Closed => Self::shutting_down(),
            Failure::Engine(_) => Self::backend(failure.to_string()),
        }
    }
}

impl From<Lost> for ApiError {
    fn from(Lost: Lost) -> Self {
        Self::backend("the tokenizer failed")
    }
}

impl From<tinymood_text::TokenizerError> for ApiError {
    fn from(error: tinymood_text::TokenizerError) -> Self {
        let status = match error {
            // Another text may do.
            tinymood_text::TokenizerError::Encode(_)
            | tinymood_text::TokenizerError::NoEmbedding { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, "tokenizer", error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
