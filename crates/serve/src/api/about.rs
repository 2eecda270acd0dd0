//! What the server is and how it fares: `/info`, `/health`, `/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::emotions::TaxonomyName;
use super::json;
use crate::app::App;
use crate::error::ApiError;
use crate::metrics;
use crate::request::Allowed;

/// The model that answers, and the limits of requests. A superset of text-embeddings-inference's.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Info<'a> {
    /// The name it was asked for by.
    model_id: &'a str,
    /// SHA-256 of the weights.
    model_sha: &'a str,
    /// What multiplications multiply.
    #[schema(example = "int8")]
    model_dtype: &'a str,
    /// Whether several labels may hold for a text or exactly one does, as `config.json` says it.
    #[schema(example = "multi_label_classification")]
    problem_type: &'a str,
    /// What makes scores of logits: `sigmoid`, or `softmax` of a single-label model.
    #[schema(example = "sigmoid")]
    function_to_apply: &'a str,
    /// Its labels, by index and by name.
    model_type: ModelType<'a>,
    /// The labels, in the order of the model's outputs.
    labels: &'a [String],
    /// The views of them that the model has.
    taxonomies: Vec<TaxonomyName>,
    /// Tokens of a text that are read, special ones included.
    max_input_length: usize,
    /// Texts of a request.
    max_texts: usize,
    /// Unicode code points of a text.
    max_characters: usize,
    /// Bytes of a request's body.
    max_body_bytes: usize,
    /// Connections at once.
    max_connections: usize,
    /// Requests being read, waiting or answered at once.
    max_concurrent_requests: usize,
    /// Tokens that wait; also those of one request.
    max_queue_tokens: usize,
    /// Tokens computed at once.
    max_batch_tokens: usize,
    /// The same as max_texts, as text-embeddings-inference calls it.
    max_client_batch_size: usize,
    /// Longer texts are cut unless the request says otherwise.
    auto_truncate: bool,
    /// Threads that tokenize long texts.
    tokenization_workers: usize,
    /// What computes, and how.
    engine: String,
    /// Of the server.
    version: &'a str,
}

/// What kind of model it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ModelType<'a> {
    /// A sequence classifier.
    Classifier(Classifier<'a>),
}

/// A classifier's labels, as its `config.json` has them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Classifier<'a> {
    /// By the index of the output.
    #[schema(value_type = HashMap<String, String>)]
    id2label: BTreeMap<usize, &'a str>,
    /// The index by name.
    #[schema(value_type = HashMap<String, usize>)]
    label2id: BTreeMap<&'a str, usize>,
}

/// The model and the limits.
#[utoipa::path(
    get, path = "/info", tag = "about",
    responses((status = 200, description = "The model that answers, and the limits", body = Info<'static>))
)]
pub(super) async fn info(_: Allowed, State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let served = app.served();
    let (model, settings) = (&served.classifier, &app.settings);
    let names = model.labels.names();
    let ids = || names.iter().map(String::as_str).enumerate();
    json(&Info {
        model_id: &model.about.model_id,
        model_sha: &model.about.model_sha,
        model_dtype: &model.about.model_dtype,
        problem_type: served.problem_type().name(),
        function_to_apply: served.problem_type().function(),
        model_type: ModelType::Classifier(Classifier {
            id2label: ids().collect(),
            label2id: ids().map(|(id, label)| (label, id)).collect(),
        }),
        labels: names,
        taxonomies: served.taxonomies().map(TaxonomyName::from).collect(),
        max_input_length: model.tokenizer.max_length(),
        max_texts: settings.max_texts,
        max_characters: settings.max_characters,
        max_body_bytes: settings.max_body_bytes,
        max_connections: settings.max_connections,
        max_concurrent_requests: settings.max_concurrent_requests,
        max_queue_tokens: settings.max_queue_tokens,
        max_batch_tokens: settings.max_batch_tokens,
        max_client_batch_size: settings.max_texts,
        auto_truncate: true,
        tokenization_workers: settings.tokenization_workers,
        engine: model.engine.describe(),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Whether the server takes requests. Needs no key.
#[utoipa::path(
    get, path = "/health", tag = "about", security(()),
    responses((status = 200, description = "It does"))
)]
pub(super) async fn health(State(app): State<Arc<App>>) -> Result<(), ApiError> {
    if app.is_draining() { Err(ApiError::shutting_down()) } else { Ok(()) }
}

/// Counters and histograms for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "about",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(_: Allowed, State(app): State<Arc<App>>) -> Response {
    let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
    ([(header::CONTENT_TYPE, kind)], app.metrics.text(&app.gauges())).into_response()
}
