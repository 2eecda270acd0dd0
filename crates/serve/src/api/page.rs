//! The page for people, part of the program: a few files, no network. They hold nothing secret, so they
//! need no key; what the page asks for does.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// All that lies in `crates/serve/page`: where it is served, as what, and what it holds.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("../../page/index.html")),
    ("/page.css", CSS, include_str!("../../page/page.css")),
    ("/page.js", JS, include_str!("../../page/page.js")),
    ("/parts/bars.js", JS, include_str!("../../page/parts/bars.js")),
    ("/parts/dom.js", JS, include_str!("../../page/parts/dom.js")),
    ("/parts/format.js", JS, include_str!("../../page/parts/format.js")),
    ("/parts/history.js", JS, include_str!("../../page/parts/history.js")),
    ("/parts/lines.js", JS, include_str!("../../page/parts/lines.js")),
    ("/parts/notice.js", JS, include_str!("../../page/parts/notice.js")),
    ("/parts/one.js", JS, include_str!("../../page/parts/one.js")),
    ("/parts/pause.js", JS, include_str!("../../page/parts/pause.js")),
    ("/parts/reading.js", JS, include_str!("../../page/parts/reading.js")),
    ("/parts/refusal.js", JS, include_str!("../../page/parts/refusal.js")),
    ("/parts/rows.js", JS, include_str!("../../page/parts/rows.js")),
    ("/parts/server.js", JS, include_str!("../../page/parts/server.js")),
    ("/parts/storage.js", JS, include_str!("../../page/parts/storage.js")),
    ("/parts/table.js", JS, include_str!("../../page/parts/table.js")),
    ("/parts/take.js", JS, include_str!("../../page/parts/take.js")),
    ("/parts/words.js", JS, include_str!("../../page/parts/words.js")),
];

/// Nothing but this server's own files and answers; no page may frame it, no form leave it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// An endpoint for each file.
pub(super) fn router() -> Router<Arc<App>> {
    FILES.iter().fold(Router::new(), |router, &(path, kind, content)| {
        let answer = move |headers: HeaderMap| async move { file(&headers, kind, content) };
        router.route(path, get(answer))
    })
}

/// A file that is part of the program: kept by browsers, but asked for again each time, since the next
/// program may bring another.
fn file(asked: &HeaderMap, kind: &'static str, content: &'static str) -> Response {
    let tag = format!("\"{:016x}\"", fingerprint(content));
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| known.contains(&tag));
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => content.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    protect(headers, POLICY);
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
