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
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;

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

/// An answer with what it took.
fn answer(body: &impl Serialize, work: Work) -> Result<Response, ApiError> {
    let mut response = json(body)?;
    response.extensions_mut().insert(work);
    Ok(response)
}

fn json(body: &impl Serialize) -> Result<Response, ApiError> {
    let failed = |error: serde_json::Error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "backend", error.to_string())
    };
    let body = serde_json::to_vec(body).map_err(failed)?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], body).into_response())
}
