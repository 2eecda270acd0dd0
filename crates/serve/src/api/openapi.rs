//! `/openapi.json`, made from the types that requests are read into and answers are written from, with
//! this server's limits; and `/docs`, a page of it that needs no network. Neither needs a key: they say
//! what every server of this version says, but for the limits.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json as value};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, Type};
use utoipa::{OpenApi, PartialSchema, ToSchema};

use super::{about, emotions, json, page, predict, tokenize};
use crate::app::App;
use crate::error::{ApiError, ErrorBody};
use crate::request::OneOrMany;
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
const ERRORS: [(&str, &str); 10] = [
    ("400", "The body is not JSON, or not UTF-8"),
    ("401", "The API key is missing or wrong"),
    ("403", "The host that the request names is not one that this server answers to"),
    ("408", "The body did not arrive in time"),
    ("413", "The body is too large"),
    ("415", "The content type is not application/json, or the body is compressed"),
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
    // Clients of text-embeddings-inference write them so.
    schemas["TruncationDirection"]["enum"] = value!(["left", "right", "Left", "Right"]);
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
                    "401" | "403" => path != "/health",
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

pub(super) async fn json_document(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    json(&document(&app.settings))
}

/// The docs page loads nothing, and runs nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub(super) async fn docs(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let page = docs_page(&document(&app.settings), &example(&app.settings, &headers));
    let mut response = Html(page).into_response();
    page::protect(response.headers_mut(), POLICY);
    response
}

/// A request to this server, as whoever reads the docs has reached it.
fn example(settings: &Settings, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b".-:[]".contains(&c);
    let host = host.filter(|host| !host.is_empty() && host.bytes().all(is_plain));
    let host = host.map_or_else(|| settings.address.to_string(), str::to_owned);
    let key = match settings.api_key {
        Some(_) => " -H 'authorization: Bearer KEY'",
        None => "",
    };
    format!(
        "curl -s {host}/v1/emotions{key} -H 'content-type: application/json' \
         -d '{{\"texts\": \"thank you so much!\"}}'"
    )
}

fn docs_page(document: &Value, example: &str) -> String {
    let mut list = String::new();
    // What answers texts comes first.
    for wanted in ["post", "get"] {
        for (path, operations) in document["paths"].as_object().into_iter().flatten() {
            if let Some(operation) = operations.get(wanted) {
                section(&mut list, document, path, wanted, operation);
            }
        }
    }
    let page = include_str!("docs.html").replace("<!-- example -->", &escaped(example));
    page.replace("<!-- endpoints -->", &list)
}

fn section(out: &mut String, document: &Value, path: &str, method: &str, operation: &Value) {
    let method = method.to_uppercase();
    // Writing to a string does not fail.
    let _ = write!(out, "<section>\n<h2><code>{method} {}</code></h2>\n", escaped(path));
    let _ = writeln!(out, "<p>{}</p>", prose(&operation["summary"]));
    let asked = &operation["requestBody"]["content"]["application/json"]["schema"];
    body(out, document, "Sent", asked);
    let answered = &operation["responses"]["200"]["content"]["application/json"]["schema"];
    body(out, document, "Answered", answered);
    out.push_str("<h3>Status</h3>\n<dl>\n");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let description = prose(&response["description"]);
        let _ = writeln!(out, "<dt>{}</dt><dd>{description}</dd>", escaped(status));
    }
    out.push_str("</dl>\n</section>\n");
}

/// What is sent or answered: what it is, and the fields of the objects in it.
fn body(out: &mut String, document: &Value, title: &str, schema: &Value) {
    if !schema.is_null() {
        let _ = writeln!(out, "<h3>{title}</h3>\n<p><i>{}</i></p>", kind(document, schema));
        fields(out, document, schema);
    }
}

/// The fields of every object in a schema, and below each the fields of what it holds.
fn fields(out: &mut String, document: &Value, schema: &Value) {
    let schema = resolved(document, schema);
    for part in ["items", "additionalProperties"] {
        if let Some(part) = schema.get(part) {
            fields(out, document, part);
        }
    }
    // Of forms that differ in how many there are, the first has the fields.
    for form in schema["oneOf"].as_array().into_iter().flatten().take(1) {
        fields(out, document, form);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    out.push_str("<dl>\n");
    for (name, property) in properties {
        let required = schema["required"].as_array();
        let is_optional = required.is_none_or(|names| !names.contains(&value!(name)));
        let _ = writeln!(
            out,
            "<dt><code>{}</code></dt><dd><i>{}{}</i>. {}",
            escaped(name),
            kind(document, property),
            if is_optional { ", optional" } else { "" },
            description(document, property)
        );
        fields(out, document, property);
        out.push_str("</dd>\n");
    }
    out.push_str("</dl>\n");
}

/// The schema that a reference means.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let at = schema["$ref"].as_str().map(|at| at.trim_start_matches('#'));
    at.and_then(|at| document.pointer(at)).unwrap_or(schema)
}

/// What a field's description says, or else that of what it holds.
fn description(document: &Value, schema: &Value) -> String {
    let of =
        |schema: &Value| schema["description"].is_string().then(|| prose(&schema["description"]));
    of(schema)
        .or_else(|| of(&schema["oneOf"][0]))
        .or_else(|| of(resolved(document, schema)))
        .unwrap_or_default()
}

/// What a schema allows, in words.
fn kind(document: &Value, schema: &Value) -> String {
    let schema = resolved(document, schema);
    if let Some(names) = schema["enum"].as_array() {
        let names: Vec<String> = names.iter().map(|name| escaped(&name.to_string())).collect();
        return names.join(" or ");
    }
    if let Some(forms) = schema["oneOf"].as_array() {
        let forms: Vec<String> = forms.iter().map(|form| kind(document, form)).collect();
        return forms.join(", or ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let named = |name: &&str| match *name {
        "array" => format!("list of {}", kind(document, &schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", kind(document, &schema["additionalProperties"]))
        }
        "number" | "integer" => match (&schema["minimum"], &schema["maximum"]) {
            (Value::Number(least), Value::Number(most)) => format!("{name} from {least} to {most}"),
            (Value::Number(least), _) if least.as_u64() != Some(0) => {
                format!("{name} from {least}")
            }
            _ => (*name).to_owned(),
        },
        other => other.to_owned(),
    };
    types.iter().map(named).collect::<Vec<_>>().join(" or ")
}

/// A sentence, in which backticks frame code.
fn prose(text: &Value) -> String {
    let parts = text.as_str().unwrap_or_default().split('`').enumerate();
    let framed = |(index, part): (usize, &str)| match index % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    };
    parts.map(framed).collect()
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
        let description = Some(
            "One text, a list of one, or a list of lists of one. With `parameters` a list may hold several; \
             without them two are a pair, which is refused",
        );
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
        let page = docs_page(&document(&Settings::default()), "curl -s here:1/<x>");
        assert!(page.contains("<code>POST /v1/emotions</code>") && page.contains("all_scores"));
        assert!(page.contains("curl -s here:1/&lt;x&gt;") && !page.contains("<!--"), "{page}");
        assert_eq!(escaped("<a & b>"), "&lt;a &amp; b&gt;");
    }
    #[test]
    fn docs_say_what_each_field_is() {
        let page = docs_page(&document(&Settings::default()), "");
        for section in page.split("<section>").skip(1) {
            let (head, rest) = section.split_once("</h2>").unwrap();
            let is_post = head.contains("POST");
            assert_eq!(rest.contains("<h3>Sent</h3>"), is_post, "{head}");
            assert_eq!(
                rest.contains("<h3>Answered</h3>"),
                is_post || head.contains("/info"),
                "{head}"
            );
            let (fields, _) = rest.split_once("<h3>Status</h3>").unwrap();
            for field in fields.split("<dt><code>").skip(1) {
                let (name, said) = field.split_once("</code></dt><dd><i>").unwrap();
                let (kind, said) = said.split_once("</i>. ").unwrap();
                let description = said.lines().next().unwrap();
                assert!(!kind.is_empty(), "{head}: {name} has no type");
                assert!(!description.is_empty(), "{head}: {name} has no description");
            }
        }
        for said in [
            "<code>texts</code></dt><dd><i>string, or list of string</i>. One text",
            "<i>number from 0 to 1 or null, optional</i>",
            "<i>&quot;original&quot; or",
            "<code>function_to_apply</code>",
            "<i>list of list of object</i>",
            "As <code>/info</code>'s <code>model_id</code>.",
        ] {
            let said = said.replace("&quot;", "\"");
            assert!(page.contains(&said), "no {said} in {page}");
        }
        assert!(!page.contains('`'), "{page}");
    }

    #[test]
    fn the_example_asks_the_server_that_was_reached() {
        let mut headers = HeaderMap::new();
        let mut settings = Settings::default();
        assert!(example(&settings, &headers).starts_with("curl -s 127.0.0.1:8080/v1/emotions -H"));
        headers.insert(header::HOST, "a.example:9".parse().unwrap());
        settings.api_key = Some("sesame".to_owned());
        let said = example(&settings, &headers);
        assert!(said.starts_with("curl -s a.example:9/v1/emotions -H 'authorization: Bearer KEY'"));
        headers.insert(header::HOST, "a;rm".parse().unwrap());
        assert!(example(&settings, &headers).starts_with("curl -s 127.0.0.1:8080/"));
    }
}
