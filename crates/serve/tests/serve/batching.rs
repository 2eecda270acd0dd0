//! How requests share batches, and that answers never get mixed up.

use std::thread;

use serde_json::{Value, json};

use crate::fixture::{FATAL, Fixture, LABELS, logits, sigmoid, tokenizer};

/// Whether an answer's scores are those of a text.
fn is_of(answer: &Value, text: &str) -> bool {
    let logits = logits(&tokenizer().encode(text).unwrap().ids, 0.0);
    let expected = LABELS.into_iter().zip(logits.into_iter().map(sigmoid));
    let scores = answer.as_array().unwrap();
    expected.into_iter().all(|(label, score)| {
        let found = scores.iter().find(|found| found["label"] == label);
        found
            .is_some_and(|found| (found["score"].as_f64().unwrap() - f64::from(score)).abs() < 1e-6)
    })
}

#[test]
fn each_of_many_clients_gets_its_own_answers() {
    let server = Fixture::new();
    thread::scope(|scope| {
        for client in 0..24 {
            let server = &server;
            scope.spawn(move || {
                let mut connection = server.connect();
                for n in 0..40 {
                    let texts: Vec<String> = (0..=n % 5)
                        .map(|k| format!("{client} says {n} {}", "so ".repeat(k)))
                        .collect();
                    let batch: Vec<[&String; 1]> = texts.iter().map(|text| [text]).collect();
                    let id = format!("{client}-{n}");
                    let body = json!({ "inputs": batch }).to_string();
                    let headers = [("x-request-id", id.as_str())];
                    let answer = connection.send("POST", "/predict", &headers, body.as_bytes());
                    assert_eq!(answer.header("x-request-id"), Some(id.as_str()));
                    let answer = answer.json();
                    assert_eq!(answer.as_array().unwrap().len(), texts.len());
                    for (answer, text) in answer.as_array().unwrap().iter().zip(&texts) {
                        assert!(is_of(answer, text), "{text:?}: {answer}");
                    }
                }
            });
        }
    });
    assert_eq!(server.metric("te_request_success{method=\"batch\"}"), 24.0 * 40.0);
    assert_eq!(server.metric("tinymood_queue_tokens"), 0.0);
    assert_eq!(server.metric("tinymood_requests_in_flight"), 0.0);
}

#[test]
fn what_waits_is_computed_together_within_the_budget() {
    let server = Fixture::with(|settings| settings.max_batch_tokens = 64);
    server.gate.shut();
    let texts: Vec<String> = (0..30).map(|n| format!("text {n} here")).collect();
    let post = |text: String| server.post("/predict", &json!({ "inputs": text })).json();
    thread::scope(|scope| {
        let first = scope.spawn(|| post("alone".to_owned()));
        server.gate.wait_for_batch();
        // A lone text has gone ahead; these gather behind it.
        let others: Vec<_> = texts.iter().map(|text| scope.spawn(|| post(text.clone()))).collect();
        server.wait_for_metric("te_queue_size", 30.0);
        server.gate.open();
        assert!(is_of(&first.join().unwrap(), "alone"));
        for (other, text) in others.into_iter().zip(&texts) {
            assert!(is_of(&other.join().unwrap(), text));
        }
    });
    let batches = server.gate.batches();
    assert_eq!(batches[0], (3, 1));
    // 30 texts of 5 tokens, 12 at a time.
    assert_eq!(batches[1..], [(60, 12), (60, 12), (30, 6)]);
}

#[test]
fn a_request_of_many_batches_keeps_its_order() {
    let server = Fixture::with(|settings| settings.max_batch_tokens = 16);
    let texts: Vec<String> = (0..100).map(|n| format!("text {n}{}", " so".repeat(n % 4))).collect();
    let batch: Vec<[&String; 1]> = texts.iter().map(|text| [text]).collect();
    let answer = server.post("/predict", &json!({ "inputs": batch })).json();
    assert_eq!(answer.as_array().unwrap().len(), 100);
    for (answer, text) in answer.as_array().unwrap().iter().zip(&texts) {
        assert!(is_of(answer, text), "{text:?}: {answer}");
    }
    assert!(server.gate.batches().len() > 20);
}

#[test]
fn a_large_request_gives_way_to_a_small_one() {
    let server = Fixture::new();
    server.gate.shut();
    thread::scope(|scope| {
        scope.spawn(|| {
            let texts: Vec<String> = (0..40).map(|n| format!("{n} is one of many words")).collect();
            let asked = json!({ "texts": texts, "explain": true });
            let answer = server.post("/v1/emotions", &asked).json();
            assert_eq!(answer["results"].as_array().unwrap().len(), 40);
        });
        server.gate.wait_for_batch();
        scope.spawn(|| {
            let answer = server.post("/predict", &json!({ "inputs": "small" })).json();
            assert!(is_of(&answer, "small"));
        });
        // The large one goes behind it once its first batch is done.
        server.wait_for_metric("te_queue_size", 1.0);
        server.gate.open();
    });
    let batches = server.gate.batches();
    assert!(batches.len() > 4, "{batches:?}");
    let texts: usize = batches.iter().map(|(_, texts)| texts).sum();
    assert_eq!(texts, 40 * 7 + 1, "its copies are counted: {batches:?}");
    assert!(batches.iter().all(|(tokens, _)| *tokens <= 512));
    // All others have 8 tokens: the small one is in the second batch, with its 3.
    assert_eq!(batches[1].0 % 8, 3, "{batches:?}");
}

#[test]
fn a_request_whose_client_has_gone_costs_nothing() {
    let server = Fixture::new();
    server.gate.shut();
    thread::scope(|scope| {
        let first = scope.spawn(|| server.post("/predict", &json!({ "inputs": "first" })));
        server.gate.wait_for_batch();
        let mut gone = server.connect();
        let body = json!({ "inputs": "never mind" }).to_string();
        let bytes = crate::fixture::request("POST", "/predict", &[], body.as_bytes());
        gone.write(&bytes).unwrap();
        server.wait_for_metric("te_queue_size", 1.0);
        drop(gone);
        server.wait_for_metric("tinymood_gone_requests", 1.0);
        server.gate.open();
        assert_eq!(first.join().unwrap().status, 200);
    });
    assert_eq!(server.post("/predict", &json!({ "inputs": "last" })).status, 200);
    assert_eq!(server.gate.batches(), [(3, 1), (3, 1)]);
    assert_eq!(server.metric("tinymood_queue_tokens"), 0.0);
    assert_eq!(server.metric("tinymood_requests_in_flight"), 0.0);
}

#[test]
fn an_engine_that_falls_takes_nothing_along_but_its_batch() {
    let server = Fixture::new();
    let answer = server.post("/predict", &json!({ "inputs": FATAL }));
    answer.is_error(500, "backend", None);
    let answer = server.post("/predict", &json!({ "inputs": "fine" }));
    assert!(is_of(&answer.json(), "fine"));
    assert_eq!(server.metric("tinymood_queue_tokens"), 0.0);
}
