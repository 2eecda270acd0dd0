//! The outermost layer: every request gets an id, every answer a log line and its figures, every error
//! its JSON.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::{App, Work};
use crate::error::{ApiError, ErrorBody};
use crate::metrics::Metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const LONGEST_ID: usize = 128;

/// Whether a request holds one text, or a list of them. Not known before it is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kind(Arc<OnceLock<bool>>);

impl Kind {
    pub(crate) fn set(&self, is_single: bool) {
        let _ = self.0.set(is_single); // each request is read once
    }
}

pub(crate) async fn observe(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut watch = Watch { app: &app, method, uri, id: id.clone(), started, is_answered: false };
    let kind = Kind::default();
    request.extensions_mut().insert(kind.clone());
    let mut response = next.run(request).await;
    watch.is_answered = true;
    let took = started.elapsed();
    let work = response.extensions_mut().remove::<Work>();
    let error = response.extensions_mut().remove::<ApiError>();
    if let Some(error) = &error {
        app.metrics.failed(kind.0.get().copied(), error.error_type);
        write_error(&mut response, error, &id);
    }
    if let Some(work) = &work {
        app.metrics.succeeded(kind.0.get().copied().unwrap_or(true));
        record(&app.metrics, work, took);
        write_work(response.headers_mut(), work, took);
    }
    response.headers_mut().insert(REQUEST_ID, id);
    if app.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    watch.log(&response, error.as_ref(), work.unwrap_or_default(), took);
    response
}

/// A request that is being answered. Where it is dropped unanswered, its client has gone.
struct Watch<'a> {
    app: &'a App,
    method: Method,
    uri: Uri,
    id: HeaderValue,
    started: Instant,
    is_answered: bool,
}

impl Watch<'_> {
    fn log(&self, response: &Response, error: Option<&ApiError>, work: Work, took: Duration) {
        tracing::info!(
            request_id = self.id.to_str().unwrap_or_default(),
            method = %self.method,
            path = self.uri.path(),
            status = response.status().as_u16(),
            total_ms = milliseconds(took),
            texts = work.texts,
            tokens = work.tokens,
            queue_ms = milliseconds(work.queue),
            inference_ms = milliseconds(work.inference),
            error = error.map(|error| error.error_type),
            limit = error.and_then(|error| error.limit),
            // May quote what was sent.
            problem = error.filter(|_| self.app.settings.log_texts).map(|e| e.message.as_str()),
            // Fields are no lists: this is a string that holds one, in JSON.
            text = work.logged.and_then(|texts| serde_json::to_string(&texts[..]).ok()),
            "request"
        );
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.app.metrics.gone.fetch_add(1, Ordering::Relaxed);
            tracing::info!(
                request_id = self.id.to_str().unwrap_or_default(),
                method = %self.method,
                path = self.uri.path(),
                total_ms = milliseconds(self.started.elapsed()),
                "client gone"
            );
        }
    }
}

fn write_error(response: &mut Response, error: &ApiError, id: &HeaderValue) {
    let body = ErrorBody {
        error: &error.message,
        error_type: error.error_type,
        limit: error.limit,
        request_id: id.to_str().unwrap_or_default(),
    };
    // Strings always have a form in JSON.
    let body = serde_json::to_vec(&body).unwrap_or_default();
    *response.body_mut() = Body::from(body);
    // What layers below have set stays: without CORS's headers a page could not read the error.
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH); // of the body that was not there yet
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = error.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if error.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
}

fn record(metrics: &Metrics, work: &Work, took: Duration) {
    metrics.texts.fetch_add(work.texts as u64, Ordering::Relaxed);
    metrics.request_duration.record(took.as_secs_f64());
    metrics.tokenization_duration.record(work.tokenization.as_secs_f64());
    // What is only tokenized neither waits nor is computed, which is not to take no time for it.
    if work.tokens > 0 {
        metrics.queue_duration.record(work.queue.as_secs_f64());
        metrics.inference_duration.record(work.inference.as_secs_f64());
    }
}

/// The headers of text-embeddings-inference; times in milliseconds.
fn write_work(headers: &mut HeaderMap, work: &Work, took: Duration) {
    headers.insert("x-compute-type", HeaderValue::from_static("cpu"));
    for (name, count) in
        [("x-compute-characters", work.characters), ("x-compute-tokens", work.tokens)]
    {
        headers.insert(name, count.into());
    }
    for (name, duration) in [
        ("x-total-time", took),
        ("x-tokenization-time", work.tokenization),
        ("x-queue-time", work.queue),
        ("x-inference-time", work.inference),
    ] {
        headers.insert(name, u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into());
    }
}

/// Milliseconds to a thousandth.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The client's id of the request, or one that no other request has.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(&REQUEST_ID).filter(|id| {
        let bytes = id.as_bytes();
        (1..=LONGEST_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(made_id)
}

fn made_id() -> HeaderValue {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let id = format!("{:016x}{number:08x}", KEYS.hash_one(number));
    // Hexadecimal digits are a header's value.
    HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_or_made() {
        let with = |id: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(id).unwrap());
            request_id(&headers)
        };
        assert_eq!(with(b"abc-1"), "abc-1");
        let long = "x".repeat(LONGEST_ID + 1);
        for bad in [&b""[..], b"two words", "é".as_bytes(), long.as_bytes()] {
            assert_eq!(with(bad).len(), 24);
        }
        assert_ne!(made_id(), made_id());
    }
}
