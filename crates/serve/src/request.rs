//! What a request must be before its handler sees it: allowed, let in, read in time, JSON.
//!
//! The order is that of cost: a key is compared before a place is taken, and a place is taken before a
//! byte of the body is read, so that `max_concurrent_requests` bodies are the most that memory holds. Who gets
//! a large answer keeps the place until it is sent, so the same goes for answers.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error, IgnoredAny, IntoDeserializer, SeqAccess,
    Visitor,
};
use serde_json::error::Category;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::error::{ApiError, BODY_BYTES};
use crate::fields::{Fields, no_json, problem};
use crate::observe::Kind;

/// A request with the right API key.
pub(crate) struct Allowed;

/// A request for an answer: its JSON, and its place, which it keeps until it is answered.
pub(crate) struct Asked<T> {
    pub(crate) body: T,
    /// To be told once the texts are known.
    pub(crate) kind: Kind,
    pub(crate) place: OwnedSemaphorePermit,
}

impl FromRequestParts<Arc<App>> for Allowed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        allow(app, &parts.headers)
    }
}

impl<T: DeserializeOwned + Fields> FromRequest<Arc<App>> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        allow(app, request.headers())?;
        let place = app.admit()?;
        check_content(request.headers())?;
        let limit = app.settings.max_body_bytes;
        let timeout = app.settings.request_timeout;
        let kind = request.extensions().get::<Kind>().cloned().unwrap_or_default();
        let mut body = request.into_body();
        let Ok(read) = tokio::time::timeout(timeout, read(&mut body, limit)).await else {
            let message = format!(
                "the body did not arrive within {} s (--request-timeout)",
                timeout.as_secs_f64()
            );
            return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message));
        };
        Ok(Self { body: parse_object(&read?)?, kind, place })
    }
}

/// `Authorization: Bearer KEY`, where a key is asked for.
fn allow(app: &App, headers: &HeaderMap) -> Result<Allowed, ApiError> {
    let Some(key) = &app.settings.api_key else { return Ok(Allowed) };
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let given = given.and_then(|value| match value.split_at_checked(7) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => Some(key),
        _ => None,
    });
    // In a time that does not depend on where they differ; only the length shows.
    if given.is_some_and(|given| bool::from(given.ct_eq(key.as_bytes()))) {
        return Ok(Allowed);
    }
    let message = match given {
        Some(_) => "the API key is wrong",
        None => "an API key is needed: Authorization: Bearer KEY",
    };
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "authentication", message))
}

/// The body must be JSON as it is, and called so: a page of another origin cannot send that without being asked (CORS), and
/// could send anything else.
fn check_content(headers: &HeaderMap) -> Result<(), ApiError> {
    let unsupported = |message: String| {
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    };
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes());
    if let Some(found) = encoding.filter(|found| !found.eq_ignore_ascii_case(b"identity")) {
        let found = String::from_utf8_lossy(found);
        let message = format!("the content encoding is {found:?}, expected none");
        return Err(unsupported(message));
    }
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = found.map(|value| value.split(';').next().unwrap_or(value).trim());
    if media.is_some_and(|media| media.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let found = found.map_or("none".to_owned(), |found| format!("{found:?}"));
    Err(unsupported(format!("the content type is {found}, expected application/json")))
}

/// The whole body, which is at most `limit` bytes.
async fn read(body: &mut Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let said = body.size_hint().lower();
    if said > limit as u64 {
        return Err(ApiError::limit(format!("the body has {said} bytes"), BODY_BYTES, limit));
    }
    let mut bytes = Vec::with_capacity(said as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let message = format!("the body ended early or is damaged: {error}");
            ApiError::new(StatusCode::BAD_REQUEST, "malformed", message)
        })?;
        let Ok(data) = frame.into_data() else { continue }; // trailers say nothing to us
        if bytes.len() + data.len() > limit {
            return Err(ApiError::limit("the body is larger than that", BODY_BYTES, limit));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// [`parse`] of an object: serde would take the fields in a list, too.
fn parse_object<T: DeserializeOwned + Fields>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        return parse(bytes);
    }
    parse::<Anything>(bytes)?;
    Err(ApiError::validation("the body is JSON, but no object"))
}

/// JSON of any kind.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Anything(#[allow(dead_code)] IgnoredAny);

impl Fields for Anything {
    const FIELDS: &'static [crate::fields::Field] = &[];
    const TAKES_OTHERS: bool = true;
}

/// 400 for what is not JSON, 422 for JSON that is not what is asked for.
fn parse<T: DeserializeOwned + Fields>(bytes: &[u8]) -> Result<T, ApiError> {
    let malformed = |message: String| ApiError::new(StatusCode::BAD_REQUEST, "malformed", message);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        malformed(format!("the body is not UTF-8: wrong at byte {}", error.valid_up_to()))
    })?;
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => ApiError::validation(problem::<T>(text, &error)),
        // JSON has numbers of any size.
        _ if error.to_string().starts_with("number out of range") => {
            ApiError::validation(no_json(text, &error))
        }
        _ => malformed(format!("the body is not JSON: {}", no_json(text, &error))),
    })
}

/// A value, or null, which means the same as none.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// [`name_or_null`], where null means the same as none.
pub(crate) fn name_or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + DeserializeOwned,
{
    name_or_null(deserializer).map(Option::unwrap_or_default)
}

/// A name of an enum's, or null. `serde_json` calls what is no string in its place no JSON.
pub(crate) fn name_or_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let name = Option::<String>::deserialize(deserializer)?;
    name.map(|name| T::deserialize(name.into_deserializer())).transpose()
}

/// An object, or null: serde would take the fields in a list, too.
pub(crate) fn object_or_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let fields = Option::<Map<String, Value>>::deserialize(deserializer)?;
    fields.map(|fields| T::deserialize(Value::Object(fields))).transpose().map_err(D::Error::custom)
}

/// One text or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMany::Many(texts))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::{Field, is_texts};

    impl Fields for OneOrMany {
        const FIELDS: &'static [Field] = &[Field::needed("texts", "texts", is_texts)];
        const TAKES_OTHERS: bool = true;
    }

    #[test]
    fn what_is_no_json_differs_from_what_is_other_json() {
        let status = |bytes: &[u8]| parse::<OneOrMany>(bytes).map_err(|error| error.status);
        assert_eq!(status(b"\"a\"").unwrap(), OneOrMany::One("a".to_owned()));
        let list = OneOrMany::Many(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(status(b"[\"a\", \"b\"]").unwrap(), list);
        for bytes in [&b""[..], b"[\"a\"", b"\"\xff\"", b"\"\\ud800\"", b"\"a\" x", b"nul"] {
            assert_eq!(status(bytes), Err(StatusCode::BAD_REQUEST), "{bytes:?}");
        }
        assert_eq!(status("[".repeat(100_000).as_bytes()), Err(StatusCode::UNPROCESSABLE_ENTITY));
        let listed = parse_object::<OneOrMany>(b" [\"a\"]").map_err(|error| error.status);
        assert_eq!(listed, Err(StatusCode::UNPROCESSABLE_ENTITY));
        assert_eq!(parse_object::<OneOrMany>(b"[").unwrap_err().status, StatusCode::BAD_REQUEST);
        for bytes in [&b"5"[..], b"null", b"{}", b"1e999", b"[1]", b"[[\"a\"]]", b"[null]"] {
            assert_eq!(status(bytes), Err(StatusCode::UNPROCESSABLE_ENTITY), "{bytes:?}");
        }
    }
}
