//! The endpoints.
//!
//! ```text
//! emotions  POST /v1/emotions: labels over their thresholds, scores, words
//! predict   POST / and /predict: the forms of text-embeddings-inference and of Hugging Face's inference
//! tokenize  POST /tokenize
//! about     GET /info, /health, /metrics
//! openapi   GET /openapi.json, /docs
//! page      GET / and the files that it is made of
//! ```

mod about;
mod emotions;
mod openapi;
mod page;
mod predict;
mod tokenize;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::app::{App, Work};
use crate::error::ApiError;

/// All endpoints.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .merge(page::router())
        .route("/", post(predict::predict))
        .route("/predict", post(predict::predict))
        .route("/v1/emotions", post(emotions::emotions))
        .route("/tokenize", post(tokenize::tokenize))
        .route("/info", get(about::info))
        .route("/health", get(about::health))
        .route("/metrics", get(about::metrics))
        .route("/openapi.json", get(openapi::json_document))
        .route("/docs", get(openapi::docs))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

async fn not_found(uri: Uri) -> ApiError {
    let message = format!("there is no {}; GET /docs lists what there is", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} does not take {method}; GET /docs lists what does", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// An answer that sockets may not take at once has so many bytes.
const LARGE: usize = 64 << 10;

/// A large answer, and the place of its request, which is taken until the client has it all.
struct Unsent {
    bytes: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer with what it took.
fn answer(
    body: &impl Serialize,
    work: Work,
    place: OwnedSemaphorePermit,
) -> Result<Response, ApiError> {
    let bytes = json_bytes(body)?;
    let bytes = match bytes.len() < LARGE {
        true => bytes.into(),
        false => Bytes::from_owner(Unsent { bytes, _place: place }),
    };
    let mut response = json_response(bytes);
    response.extensions_mut().insert(work);
    Ok(response)
}

fn json(body: &impl Serialize) -> Result<Response, ApiError> {
    Ok(json_response(json_bytes(body)?.into()))
}

fn json_bytes(body: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(body).map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "backend", error.to_string())
    })
}

fn json_response(bytes: Bytes) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], bytes).into_response()
}
