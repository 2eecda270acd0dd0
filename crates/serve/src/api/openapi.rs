//! `/openapi.json`, made from the types that requests are read into and answers are written from, with
//! this server's limits; and `/docs`, a page of it that needs no network.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json as value};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, Type};
use utoipa::{OpenApi, PartialSchema, ToSchema};

use super::{about, emotions, json, page, predict, tokenize};
use crate::app::App;
use crate::error::{ApiError, ErrorBody};
use crate::request::{Allowed, OneOrMany};
use crate::settings::Settings;

#[derive(OpenApi)]
#[openapi(
    info(title = "tinymood", description = "Emotions of short texts, from a multi-label classifier.", license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")),
    paths(
        emotions::emotions,
        predict::predict,
        tokenize::tokenize,
        about::info,
        about::health,
        about::metrics
    ),
    components(schemas(ErrorBody<'static>, predict::Inputs))
)]
struct Api;

/// The errors of every endpoint that answers texts.
const ERRORS: [(&str, &str); 9] = [
    ("400", "The body is not JSON, or not UTF-8"),
    ("401", "The API key is missing or wrong"),
    ("408", "The body did not arrive in time"),
    ("413", "The body is too large"),
    ("415", "The content type is not application/json"),
    ("422", "A field is not as it should be, or a limit of texts is exceeded"),
    ("429", "Too many requests or tokens are waiting; Retry-After says when to ask again"),
    ("500", "The model failed"),
    ("503", "The server is shutting down, or the answer took too long"),
];

/// The document, with this server's limits.
pub(crate) fn document(settings: &Settings) -> Value {
    // Plain data: it has no form that JSON lacks.
    let mut document = serde_json::to_value(Api::openapi()).unwrap_or_default();
    document["info"]["version"] = value!(env!("CARGO_PKG_VERSION"));
    let predict = document["paths"]["/predict"].clone();
    document["paths"]["/"] = predict;
    document["paths"]["/"]["post"]["operationId"] = value!("predict_at_root");
    let schemas = &mut document["components"]["schemas"];
    schemas["Text"]["maxLength"] = value!(settings.max_characters);
    schemas["Texts"]["oneOf"][1]["maxItems"] = value!(settings.max_texts);
    for form in [1, 2] {
        schemas["Inputs"]["oneOf"][form]["maxItems"] = value!(settings.max_texts);
    }
    let error = |description: &str| {
        value!({
            "description": description,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
        })
    };
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            for (status, description) in ERRORS {
                let applies = match status {
                    "401" => path != "/health",
                    "503" => method == "post" || path == "/health",
                    _ => method == "post",
                };
                if applies {
                    operation["responses"][status] = error(description);
                }
            }
        }
    }
    if settings.api_key.is_some() {
        document["components"]["securitySchemes"] =
            value!({"key": {"type": "http", "scheme": "bearer"}});
        document["security"] = value!([{"key": []}]);
    }
    document
}

pub(super) async fn json_document(
    _: Allowed,
    State(app): State<Arc<App>>,
) -> Result<Response, ApiError> {
    json(&document(&app.settings))
}

/// The docs page loads nothing, and runs nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub(super) async fn docs(_: Allowed, State(app): State<Arc<App>>) -> Response {
    let mut response = Html(docs_page(&document(&app.settings))).into_response();
    page::protect(response.headers_mut(), POLICY);
    response
}

fn docs_page(document: &Value) -> String {
    let mut page = String::from(include_str!("docs.html"));
    let mut list = String::new();
    // What answers texts comes first.
    for wanted in ["post", "get"] {
        for (path, operations) in document["paths"].as_object().into_iter().flatten() {
            if let Some(operation) = operations.get(wanted) {
                section(&mut list, document, path, wanted, operation);
            }
        }
    }
    if let Some(at) = page.find("<!-- endpoints -->") {
        page.insert_str(at, &list);
    }
    page
}

fn section(out: &mut String, document: &Value, path: &str, method: &str, operation: &Value) {
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let method = method.to_uppercase();
    // Writing to a string does not fail.
    let _ = write!(out, "<section>\n<h2><code>{method} {}</code></h2>\n", escaped(path));
    let _ = writeln!(out, "<p>{}</p>", text(&operation["summary"]));
    let asked = &operation["requestBody"]["content"]["application/json"]["schema"];
    fields(out, document, "Sent", asked);
    let answered = &operation["responses"]["200"]["content"]["application/json"]["schema"];
    fields(out, document, "Answered", answered);
    out.push_str("<h3>Status</h3>\n<dl>\n");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let description = text(&response["description"]);
        let _ = writeln!(out, "<dt>{}</dt><dd>{description}</dd>", escaped(status));
    }
    out.push_str("</dl>\n</section>\n");
}

/// The fields of an object, where a schema is one.
fn fields(out: &mut String, document: &Value, title: &str, schema: &Value) {
    let resolved =
        schema["$ref"].as_str().and_then(|at| document.pointer(at.trim_start_matches('#')));
    let properties = resolved.and_then(|schema| schema["properties"].as_object());
    let Some(properties) = properties else { return };
    let _ = writeln!(out, "<h3>{title}</h3>\n<dl>");
    for (name, property) in properties {
        let description = property["description"].as_str().unwrap_or_default();
        let _ = writeln!(
            out,
            "<dt><code>{}</code></dt><dd>{}</dd>",
            escaped(name),
            escaped(description)
        );
    }
    out.push_str("</dl>\n");
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// One text; its longest is a setting.
struct Text;

impl PartialSchema for Text {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).into()
    }
}

impl ToSchema for Text {
    fn name() -> Cow<'static, str> {
        "Text".into()
    }
}

fn text() -> RefOr<Schema> {
    utoipa::openapi::Ref::from_schema_name("Text").into()
}

fn list(of: RefOr<Schema>) -> ArrayBuilder {
    ArrayBuilder::new().items(of).min_items(Some(1))
}

impl PartialSchema for OneOrMany {
    fn schema() -> RefOr<Schema> {
        let description = Some("One text, or a list of texts");
        OneOfBuilder::new().item(text()).item(list(text())).description(description).into()
    }
}

impl ToSchema for OneOrMany {
    fn name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("Text".to_owned(), Text::schema()));
    }
}

impl PartialSchema for predict::Inputs {
    fn schema() -> RefOr<Schema> {
        let description =
            Some("A text, a list of one (with parameters: of several), or a list of lists of one");
        let one = list(text()).max_items(Some(1));
        let forms = OneOfBuilder::new().item(text()).item(list(text()));
        forms.item(list(one.into())).description(description).into()
    }
}

impl ToSchema for predict::Inputs {
    fn name() -> Cow<'static, str> {
        "Inputs".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_this_servers_limits_and_no_loose_ends() {
        let settings = Settings { max_texts: 7, max_characters: 9, ..Settings::default() };
        let document = document(&settings);
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Text"], value!({"type": "string", "minLength": 1, "maxLength": 9}));
        assert_eq!(schemas["Texts"]["oneOf"][1]["maxItems"], 7);
        assert_eq!(schemas["Inputs"]["oneOf"][2]["maxItems"], 7);
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let (at, _) = reference.split_once('"').unwrap();
            assert!(document.pointer(at).is_some(), "{at} is not there");
        }
        for path in ["/", "/predict", "/v1/emotions", "/tokenize", "/info", "/health", "/metrics"] {
            assert!(document["paths"][path].is_object(), "{path}");
        }
    }

    #[test]
    fn docs_list_every_endpoint_and_are_escaped() {
        let page = docs_page(&document(&Settings::default()));
        assert!(page.contains("<code>POST /v1/emotions</code>") && page.contains("all_scores"));
        assert_eq!(escaped("<a & b>"), "&lt;a &amp; b&gt;");
    }
}
