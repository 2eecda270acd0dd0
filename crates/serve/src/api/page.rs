//! The page for people, part of the program: three files, no network. They hold nothing secret, so they
//! need no key; what the page asks for does.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

const HTML: &str = include_str!("../../page/index.html");
const CSS: &str = include_str!("../../page/page.css");
const JS: &str = include_str!("../../page/page.js");

/// Nothing but this server's own files and answers; no page may frame it, no form leave it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn html(headers: HeaderMap) -> Response {
    file(&headers, "text/html; charset=utf-8", HTML, POLICY)
}

pub(super) async fn css(headers: HeaderMap) -> Response {
    file(&headers, "text/css; charset=utf-8", CSS, POLICY)
}

pub(super) async fn js(headers: HeaderMap) -> Response {
    file(&headers, "text/javascript; charset=utf-8", JS, POLICY)
}

/// A file that is part of the program: kept by browsers, but asked for again each time, since the next
/// program may bring another.
fn file(
    asked: &HeaderMap,
    kind: &'static str,
    content: &'static str,
    policy: &'static str,
) -> Response {
    let tag = format!("\"{:016x}\"", fingerprint(content));
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| known.contains(&tag));
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => content.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    protect(headers, policy);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// What browsers must not do with a page of ours.
pub(super) fn protect(headers: &mut HeaderMap, policy: &'static str) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// FNV-1a: tells versions of a file apart, no more.
fn fingerprint(content: &str) -> u64 {
    let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    content.bytes().fold(0xcbf2_9ce4_8422_2325, add)
}
