//! What each endpoint gives.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::fixture::{Fixture, LABELS, MAX_LENGTH, logits, sigmoid, tokenizer};

/// Labels and probabilities of a text, highest first.
fn expected(text: &str) -> Vec<(&'static str, f32)> {
    let logits = logits(&tokenizer().encode(text).unwrap().ids, 0.0);
    let mut scores: Vec<_> = LABELS.into_iter().zip(logits.into_iter().map(sigmoid)).collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1));
    scores
}

#[track_caller]
fn assert_scores(found: &Value, expected: &[(&str, f32)]) {
    let found = found.as_array().unwrap_or_else(|| panic!("{found} is no list"));
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, (label, score)) in found.iter().zip(expected) {
        assert_eq!(found["label"], *label);
        assert!((found["score"].as_f64().unwrap() - f64::from(*score)).abs() < 1e-6, "{found}");
    }
}

fn holding(text: &str) -> Vec<(&'static str, f32)> {
    expected(text).into_iter().filter(|(_, score)| *score >= 0.5).collect()
}

#[test]
fn emotions_of_one_text_and_of_several() {
    let server = Fixture::new();
    let answer = server.post("/v1/emotions", &json!({ "texts": "what a day" })).json();
    assert_eq!(answer["model"], "fake 0");
    assert_eq!(answer["taxonomy"], "original");
    let result = &answer["results"][0];
    assert_scores(&result["labels"], &holding("what a day"));
    assert_eq!((&result["tokens"], &result["truncated"]), (&json!(5), &json!(false)));
    assert!(result.get("scores").is_none() && result.get("explanation").is_none());
    for label in result["labels"].as_array().unwrap() {
        assert_eq!(label["threshold"], 0.5);
    }

    let texts: Vec<String> = (0..40).map(|n| format!("text number {n}")).collect();
    let asked = json!({ "texts": texts, "all_scores": true });
    let answer = server.post("/v1/emotions", &asked).json();
    assert_eq!(answer["results"].as_array().unwrap().len(), 40);
    for (result, text) in answer["results"].as_array().unwrap().iter().zip(&texts) {
        assert_scores(&result["labels"], &holding(text));
        assert_scores(&result["scores"], &expected(text));
    }
}

#[test]
fn emotions_as_they_are_chosen() {
    let server = Fixture::new();
    let text = "what a day";
    let ask = |more: Value| {
        let mut asked = json!({ "texts": [text] });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.post("/v1/emotions", &asked).json()["results"][0].clone()
    };
    assert_scores(&ask(json!({ "top_k": 3 }))["labels"], &expected(text)[..3]);
    assert_scores(&ask(json!({ "top_k": 100 }))["labels"], &expected(text));
    assert_scores(&ask(json!({ "threshold": 1.0 }))["labels"], &[]);
    assert_scores(&ask(json!({ "threshold": 0 }))["labels"], &expected(text));
    let best = ask(json!({ "threshold": 1.0, "at_least_one": true }));
    assert_scores(&best["labels"], &expected(text)[..1]);
    assert_eq!(best["labels"][0]["threshold"], 1.0);
    // Nulls are what is left out.
    let nulls = ask(json!({
        "threshold": null, "top_k": null, "all_scores": null, "explain": null, "taxonomy": null,
        "at_least_one": null,
    }));
    assert_scores(&nulls["labels"], &holding(text));

    let rolled = ask(json!({ "taxonomy": "sentiment", "all_scores": true }));
    let scores = rolled["scores"].as_array().unwrap();
    assert_eq!(scores.len(), 4);
    let of = |name: &str| {
        let found = expected(text).into_iter().find(|(label, _)| *label == name);
        f64::from(found.unwrap().1)
    };
    let positive = scores.iter().find(|score| score["label"] == "positive").unwrap();
    assert!((positive["score"].as_f64().unwrap() - of("joy").max(of("love"))).abs() < 1e-6);
}

#[test]
fn emotions_are_explained_by_words_where_the_text_has_them() {
    let server = Fixture::new();
    let text = "Thänks, 😀 I don't mind!";
    let asked = json!({ "texts": [text, "so"], "explain": true, "all_scores": true });
    let answer = server.post("/v1/emotions", &asked).json();
    let explanation = &answer["results"][0]["explanation"];
    let words = explanation["words"].as_array().unwrap();
    let named: Vec<&str> = words.iter().map(|word| word["text"].as_str().unwrap()).collect();
    assert_eq!(named, ["Thänks", ",", "😀", "I", "don't", "mind", "!"]);
    let characters: Vec<char> = text.chars().collect();
    for word in words {
        let place = |end: &str| word[end].as_u64().unwrap() as usize;
        let spelled: String = characters[place("start")..place("end")].iter().collect();
        assert_eq!(word["text"], spelled);
    }
    // The drop of a logit is what the engine answers without the word.
    let tokenizer = tokenizer();
    let whole = tokenizer.encode(text).unwrap().ids;
    let mut masked = whole.clone();
    masked[1] = tokenizer.mask_token().unwrap().unwrap();
    assert_eq!(tokenizer.words(text).unwrap()[0].tokens, 1..2);
    let labels = explanation["labels"].as_object().unwrap();
    assert_eq!(labels.len(), LABELS.len());
    for (index, label) in LABELS.into_iter().enumerate() {
        let drop = logits(&whole, 0.0)[index] - logits(&masked, 0.0)[index];
        assert_eq!(labels[label].as_array().unwrap().len(), words.len());
        assert!((labels[label][0].as_f64().unwrap() - f64::from(drop)).abs() < 1e-6);
    }
    // Without all scores, of the labels given only.
    let asked = json!({ "texts": text, "explain": true, "taxonomy": "ekman" });
    let result = server.post("/v1/emotions", &asked).json()["results"][0].clone();
    let given: Vec<&Value> =
        result["labels"].as_array().unwrap().iter().map(|label| &label["label"]).collect();
    let explained: Vec<&String> =
        result["explanation"]["labels"].as_object().unwrap().keys().collect();
    assert_eq!(given, explained);
}

#[test]
fn a_long_text_is_cut_and_says_so() {
    let server = Fixture::new();
    let long = "word ".repeat(100);
    let result =
        server.post("/v1/emotions", &json!({ "texts": long })).json()["results"][0].clone();
    assert_eq!((&result["tokens"], &result["truncated"]), (&json!(MAX_LENGTH), &json!(true)));
    assert_eq!(server.post("/predict", &json!({ "inputs": long })).status, 200);
    let whole = json!({ "inputs": long, "truncate": false });
    server.post("/predict", &whole).is_error(422, "validation", Some("max_input_length"));
}

#[test]
fn predict_in_both_forms_at_both_places() {
    let server = Fixture::new();
    for path in ["/predict", "/"] {
        let ask = |body: Value| {
            let answer = server.post(path, &body);
            assert_eq!(answer.status, 200, "{body}: {}", answer.text());
            answer.json()
        };
        // text-embeddings-inference
        assert_scores(&ask(json!({ "inputs": "a" })), &expected("a"));
        assert_scores(&ask(json!({ "inputs": ["a"] })), &expected("a"));
        let batch = ask(json!({ "inputs": [["a"], ["b"]] }));
        assert_scores(&batch[0], &expected("a"));
        assert_scores(&batch[1], &expected("b"));
        assert_eq!(batch.as_array().unwrap().len(), 2);
        let raw = ask(json!({ "inputs": "a", "raw_scores": true, "truncate": true }));
        let ids = tokenizer().encode("a").unwrap().ids;
        let highest = logits(&ids, 0.0).into_iter().fold(f32::MIN, f32::max);
        assert_eq!(raw[0]["score"].as_f64().unwrap(), f64::from(highest));
        // Hugging Face inference
        let one = ask(json!({ "inputs": "a", "parameters": {} }));
        assert_scores(&one[0], &expected("a"));
        assert_eq!(one.as_array().unwrap().len(), 1);
        let two = ask(json!({ "inputs": ["a", "b"], "parameters": { "top_k": 2 } }));
        assert_scores(&two[0], &expected("a")[..2]);
        assert_scores(&two[1], &expected("b")[..2]);
        let none = ask(json!({ "inputs": "a", "parameters": { "function_to_apply": "none" } }));
        assert_eq!(none[0], raw);
        let softmax =
            ask(json!({ "inputs": "a", "parameters": { "function_to_apply": "softmax" } }));
        let scores = softmax[0].as_array().unwrap().iter();
        let sum: f64 = scores.map(|score| score["score"].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        // A pair is neither two texts nor one.
        let pair = server.post(path, &json!({ "inputs": ["a", "b"] }));
        let error = pair.is_error(422, "validation", None);
        assert!(error["error"].as_str().unwrap().contains("pair"));
        let many = server.post(path, &json!({ "inputs": vec!["a"; 257] }));
        let error = many.is_error(422, "validation", None);
        assert!(error["error"].as_str().unwrap().contains("a list of 257 texts"), "{error}");
    }
}

#[test]
fn tokens_are_told_with_their_places() {
    let server = Fixture::new();
    let answer = server.post("/tokenize", &json!({ "inputs": "é x" })).json();
    let text = |token: usize| answer[0][token]["text"].as_str().unwrap();
    assert_eq!([text(0), text(1), text(2), text(3)], ["[CLS]", "é", "x", "[SEP]"]);
    assert_eq!(answer[0][0]["special"], true);
    assert_eq!(answer[0][0]["start"], Value::Null);
    assert_eq!((&answer[0][2]["start"], &answer[0][2]["stop"]), (&json!(2), &json!(3)));
    let bare = json!({ "inputs": ["é x", "y"], "add_special_tokens": false });
    let answer = server.post("/tokenize", &bare).json();
    assert_eq!(answer[0].as_array().unwrap().len(), 2);
    assert_eq!(answer[1][0]["text"], "y");
}

#[test]
fn the_server_tells_what_it_is() {
    let server = Fixture::with(|settings| settings.max_texts = 7);
    let info = server.get("/info").json();
    assert_eq!(info["model_id"], "fake 0");
    assert_eq!(info["labels"], json!(LABELS));
    assert_eq!(info["taxonomies"], json!(["original", "ekman", "sentiment"]));
    assert_eq!((&info["max_texts"], &info["max_client_batch_size"]), (&json!(7), &json!(7)));
    assert_eq!(info["max_input_length"], MAX_LENGTH);
    assert_eq!(info["model_type"]["classifier"]["id2label"]["1"], "love");
    assert_eq!(server.get("/health").status, 200);

    server.post("/predict", &json!({ "inputs": "a b c" }));
    server.post("/predict", &json!({ "inputs": [["a"], ["b"]] }));
    server.post("/predict", &json!({ "inputs": [] }));
    assert_eq!(server.metric("te_request_count{method=\"single\"}"), 1.0);
    assert_eq!(server.metric("te_request_success{method=\"batch\"}"), 1.0);
    assert_eq!(server.metric("te_request_failure{err=\"validation\"}"), 1.0);
    assert_eq!(server.metric("te_predict_count"), 3.0);
    assert_eq!(server.metric("te_request_duration_count"), 2.0);
    assert_eq!(server.metric("te_request_input_length_sum"), 11.0);
    assert_eq!(server.metric("te_batch_next_tokens_sum"), 11.0);
    assert_eq!(server.metric("te_queue_size"), 0.0);

    // What is only tokenized has not waited.
    server.post("/tokenize", &json!({ "inputs": "a b c" }));
    assert_eq!(server.metric("te_request_tokenization_duration_count"), 3.0);
    assert_eq!(server.metric("te_request_queue_duration_count"), 2.0);
    assert_eq!(server.metric("te_request_inference_duration_count"), 2.0);
}

#[test]
fn every_request_that_is_counted_succeeded_or_failed() {
    let server = Fixture::with(|settings| settings.max_body_bytes = 1000);
    server.get("/nowhere");
    server.get("/predict");
    server.get("/info"); // is no request for an answer
    for path in ["/v1/emotions", "/predict", "/tokenize"] {
        let field = if path == "/v1/emotions" { "texts" } else { "inputs" };
        server.connect().send("POST", path, &[], b"{");
        server.connect().send("POST", path, &[], b"[]");
        server.connect().send("POST", path, &[("content-type", "text/plain")], b"{}");
        server.post(path, &json!({ field: "a".repeat(2000) }));
        server.post(path, &json!({ field: "" }));
        server.post(path, &json!({ field: [""] }));
        server.post(path, &json!({ field: "a" }));
        server.post(path, &json!({ field: ["a"] }));
    }
    let count = |name: &str| server.metric(name);
    assert_eq!(count("te_request_count{method=\"unknown\"}"), 2.0 + 3.0 * 4.0);
    // The list of one text is one text to /predict.
    assert_eq!(count("te_request_count{method=\"single\"}"), 8.0);
    assert_eq!(count("te_request_count{method=\"batch\"}"), 4.0);
    assert_eq!(count("te_request_success{method=\"single\"}"), 4.0);
    assert_eq!(count("te_request_success{method=\"batch\"}"), 2.0);
    let text = server.get("/metrics").text();
    let failures = text.lines().filter(|line| line.starts_with("te_request_failure{"));
    let failures: f64 =
        failures.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum();
    assert_eq!(failures, 20.0);
}

#[test]
fn the_documents_are_served() {
    let server = Fixture::new();
    let document = server.get("/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    assert!(document["paths"]["/v1/emotions"]["post"].is_object());
    let docs = server.get("/docs");
    assert!(docs.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert!(docs.text().contains("curl -s localhost/v1/emotions"), "{}", docs.text());
}

#[test]
fn the_page_is_served_with_all_that_it_asks_for() {
    let server = Fixture::new();
    let mut found = BTreeSet::from(["/".to_owned()]);
    let mut waiting = Vec::from_iter(found.clone());
    while let Some(path) = waiting.pop() {
        let file = server.get(&path);
        let kind = match path.rsplit_once('.') {
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!((file.status, file.header("content-type")), (200, Some(kind)), "{path}");
        let policy = file.header("content-security-policy").unwrap();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(file.header("cache-control"), Some("no-cache"));
        let tag = file.header("etag").unwrap().to_owned();
        let again = server.connect().send("GET", &path, &[("if-none-match", &tag)], b"");
        assert_eq!((again.status, again.body.len()), (304, 0));
        for next in named_in(&path, &file.text()) {
            if found.insert(next.clone()) {
                waiting.push(next);
            }
        }
    }
    found.remove("/");
    found.insert("/index.html".to_owned());
    assert_eq!(found, files_in("page"), "what the page asks for, and what lies in its folder");
}

#[test]
fn the_page_names_its_scripts_beforehand() {
    // Else a browser finds them one after the other, a round trip for each step.
    let server = Fixture::new();
    let named = named_in("/", &server.get("/").text());
    for path in files_in("page").iter().filter(|path| path.ends_with(".js")) {
        assert!(named.contains(path), "index.html has no modulepreload of {path}");
    }
}

/// The files that a file of the page names, as paths of the server. A proxy may serve the page under a
/// prefix, so the names must be relative.
fn named_in(path: &str, content: &str) -> BTreeSet<String> {
    let (folder, _) = path.rsplit_once('/').unwrap();
    let names = ["src=\"", "href=\"", "from \"", "import \"", "import(\""]
        .into_iter()
        .flat_map(|before| content.split(before).skip(1).filter_map(|rest| rest.split('"').next()));
    let files = names.filter(|name| name.ends_with(".js") || name.ends_with(".css"));
    files
        .map(|name| {
            assert!(!name.starts_with('/') && !name.contains(':'), "{path} names {name}");
            format!("{folder}/{}", name.trim_start_matches("./"))
        })
        .collect()
}

/// Every file below a folder of this crate, as if the folder were the server's root.
fn files_in(folder: &str) -> BTreeSet<String> {
    fn walk(folder: &Path, at: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{at}/{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => walk(&entry.path(), &path, found),
                false => drop(found.insert(path)),
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", &mut found);
    found
}

#[test]
fn answers_carry_the_requests_id_and_what_they_took() {
    let server = Fixture::new();
    let body = json!({ "inputs": "one two" }).to_string();
    let answer =
        server.connect().send("POST", "/predict", &[("x-request-id", "mine-1")], body.as_bytes());
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    assert_eq!(answer.header("x-compute-tokens"), Some("4"));
    assert_eq!(answer.header("x-compute-characters"), Some("7"));
    for name in ["x-total-time", "x-queue-time", "x-inference-time", "x-tokenization-time"] {
        assert!(answer.header(name).unwrap().parse::<u64>().is_ok(), "{name}");
    }
    let made = server.get("/health").header("x-request-id").unwrap().to_owned();
    assert_ne!(made, server.get("/health").header("x-request-id").unwrap());
}

/// Errors of JSON name the field and what it must be; nothing in them is of serde's.
#[test]
fn wrong_fields_are_named() {
    let server = Fixture::new();
    let texts = "expected a string or a list of strings";
    let inputs = "expected a string, [\"a\"] or [[\"a\"], [\"b\"]]";
    let yes_or_no = "expected true or false";
    for (path, body, message) in [
        ("/v1/emotions", json!({}), format!("the field \"texts\" is missing, {texts}")),
        ("/v1/emotions", json!({ "texts": null }), format!("the field \"texts\" is null, {texts}")),
        ("/v1/emotions", json!({ "texts": {"a": 1} }), format!("the field \"texts\" is {{\"a\":1}}, {texts}")),
        (
            "/v1/emotions",
            json!({ "texts": ["a", 5] }),
            format!("item 1 of the field \"texts\" is 5, {texts}"),
        ),
        (
            "/v1/emotions",
            json!({ "text": "a" }),
            "unknown field \"text\", expected one of texts, all_scores, explain, taxonomy, threshold, \
             top_k, at_least_one"
                .to_owned(),
        ),
        (
            "/v1/emotions",
            json!({ "texts": "a", "explain": "yes" }),
            format!("the field \"explain\" is \"yes\", {yes_or_no}"),
        ),
        (
            "/v1/emotions",
            json!({ "texts": "a", "taxonomy": "coarse" }),
            "the field \"taxonomy\" is \"coarse\", expected \"original\", \"ekman\" or \"sentiment\""
                .to_owned(),
        ),
        (
            "/v1/emotions",
            json!({ "texts": "a", "taxonomy": 3 }),
            "the field \"taxonomy\" is 3, expected \"original\", \"ekman\" or \"sentiment\"".to_owned(),
        ),
        (
            "/v1/emotions",
            json!({ "texts": "a", "threshold": "0.5" }),
            "the field \"threshold\" is \"0.5\", expected a number from 0 to 1".to_owned(),
        ),
        (
            "/v1/emotions",
            json!({ "texts": "a", "top_k": -1 }),
            "the field \"top_k\" is -1, expected a whole number above 0".to_owned(),
        ),
        ("/predict", json!({ "text": "a" }), format!("the field \"inputs\" is missing, {inputs}")),
        (
            "/predict",
            json!({ "inputs": ["a", {"b": 1}] }),
            format!("item 1 of the field \"inputs\" is {{\"b\":1}}, {inputs}"),
        ),
        (
            "/predict",
            json!({ "inputs": "a", "raw_scores": 1 }),
            format!("the field \"raw_scores\" is 1, {yes_or_no}"),
        ),
        (
            "/predict",
            json!({ "inputs": "a", "truncation_direction": "up" }),
            "the field \"truncation_direction\" is \"up\", expected \"left\" or \"right\"".to_owned(),
        ),
        (
            "/predict",
            json!({ "inputs": "a", "parameters": [1] }),
            "the field \"parameters\" is [1], expected an object".to_owned(),
        ),
        (
            "/predict",
            json!({ "inputs": "a", "parameters": { "top_k": 1.5 } }),
            "the field \"parameters.top_k\" is 1.5, expected a whole number above 0".to_owned(),
        ),
        (
            "/predict",
            json!({ "inputs": "a", "parameters": { "function_to_apply": "tanh" } }),
            "the field \"parameters.function_to_apply\" is \"tanh\", expected \"sigmoid\", \"softmax\" or \
             \"none\""
                .to_owned(),
        ),
        ("/tokenize", json!({ "inputs": 5 }), format!("the field \"inputs\" is 5, {texts}")),
        (
            "/tokenize",
            json!({ "inputs": "a", "add_special_tokens": "no" }),
            format!("the field \"add_special_tokens\" is \"no\", {yes_or_no}"),
        ),
    ] {
        let error = server.post(path, &body).is_error(422, "validation", None);
        assert_eq!(error["error"], message.as_str(), "{body}");
    }
}

/// What a client leaves out, it may send as null.
#[test]
fn nulls_mean_the_same_as_nothing() {
    let server = Fixture::new();
    let plain = server.post("/predict", &json!({ "inputs": "so glad" })).json();
    let nulls = json!({
        "inputs": "so glad", "raw_scores": null, "truncate": null, "truncation_direction": null,
        "parameters": null,
    });
    assert_eq!(server.post("/predict", &nulls).json(), plain);
    let logits = json!({ "inputs": "so glad", "raw_scores": true });
    assert_ne!(server.post("/predict", &logits).json(), plain);
    let parameters = json!({ "top_k": null, "function_to_apply": null });
    let nested = json!({ "inputs": "so glad", "parameters": parameters });
    assert_eq!(server.post("/predict", &nested).json(), json!([plain]));
    let tokens = server.post("/tokenize", &json!({ "inputs": "so glad" })).json();
    let nulls = json!({ "inputs": "so glad", "add_special_tokens": null });
    assert_eq!(server.post("/tokenize", &nulls).json(), tokens);
}
