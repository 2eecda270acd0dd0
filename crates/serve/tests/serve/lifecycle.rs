//! Stopping and reloading, under load.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tinymood_core::LabelSet;
use tinymood_serve::ClassifierError;

use crate::fixture::{Fixture, Gate, LABELS, classifier, logits, tokenizer, with_embeddings};

fn ask(text: &str) -> Value {
    json!({ "inputs": text, "raw_scores": true })
}

/// The offset of the model that gave an answer to [`ask`].
fn offset_of(answer: &Value, text: &str) -> f64 {
    let expected = logits(&tokenizer().encode(text).unwrap().ids, 0.0);
    let scores = answer.as_array().unwrap();
    let offset = |label: usize| {
        let found = scores.iter().find(|found| found["label"] == LABELS[label]).unwrap();
        found["score"].as_f64().unwrap() - f64::from(expected[label])
    };
    let first = offset(0);
    assert!((0..LABELS.len()).all(|label| (offset(label) - first).abs() < 1e-4), "{answer}");
    (first * 1e3).round() / 1e3
}

#[test]
fn stopping_under_load_answers_all_that_was_accepted() {
    let server = Fixture::new();
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for client in 0..16 {
            let (answered, server) = (&answered, &server);
            scope.spawn(move || {
                let mut connection = server.connect();
                for n in 0.. {
                    let text = format!("{client} {n}");
                    // Nothing that is sent on an open connection may be lost.
                    let answer = connection.post("/predict", &ask(&text));
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    assert_eq!(offset_of(&answer.json(), &text), 0.0);
                    answered.fetch_add(1, Ordering::Relaxed);
                    if answer.header("connection") == Some("close") {
                        return;
                    }
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 500 {
            thread::sleep(Duration::from_millis(1));
        }
        server.stop();
    });
    let address = server.address;
    assert!(server.stopped(), "not all was answered in time");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_server_that_stops_says_so_and_closes_idle_connections() {
    let server = Fixture::new();
    let (mut idle, mut busy, mut other) = (server.connect(), server.connect(), server.connect());
    assert_eq!(idle.send("GET", "/health", &[], b"").status, 200);
    server.gate.shut();
    thread::scope(|scope| {
        let busy = scope.spawn(move || busy.post("/predict", &ask("busy")));
        server.gate.wait_for_batch();
        server.stop();
        // Until the connection has been told to close, it is served.
        let answer = other.send("GET", "/health", &[], b"");
        if answer.status != 200 {
            answer.is_error(503, "unhealthy", None);
            assert_eq!(answer.header("connection"), Some("close"));
            assert!(other.answer().is_none());
        }
        assert!(idle.answer().is_none(), "closed without a word");
        server.gate.open();
        assert_eq!(busy.join().unwrap().status, 200);
    });
    assert!(server.stopped());
}

#[test]
fn what_waits_when_time_is_up_is_told_so() {
    let server = Fixture::with(|settings| settings.shutdown_timeout = Duration::from_millis(50));
    server.gate.shut();
    thread::scope(|scope| {
        let computing = scope.spawn(|| server.post("/predict", &ask("computing")));
        server.gate.wait_for_batch();
        let waiting = scope.spawn(|| server.post("/predict", &ask("waiting")));
        server.wait_for_metric("te_queue_size", 1.0);
        server.stop();
        let refused = waiting.join().unwrap();
        refused.is_error(503, "unhealthy", None);
        assert!(refused.header("retry-after").is_some());
        server.gate.open();
        assert_eq!(computing.join().unwrap().status, 200);
    });
    assert!(!server.stopped());
}

#[test]
fn reloading_under_load_loses_nothing_and_mixes_nothing() {
    let server = Fixture::new();
    let (done, old, new) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..8 {
            let (server, done, old, new) = (&server, &done, &old, &new);
            scope.spawn(move || {
                let mut connection = server.connect();
                let mut last = 0.0;
                for n in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let text = format!("{client} {n}");
                    let answer = connection.post("/predict", &ask(&text));
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let offset = offset_of(&answer.json(), &text);
                    assert!(offset == 0.0 || offset == 0.5, "{offset}");
                    assert!(offset >= last, "the old model came back");
                    last = offset;
                    let counter = if offset == 0.0 { old } else { new };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let wait_for = |counter: &AtomicUsize| {
            while counter.load(Ordering::Relaxed) < 200 {
                thread::sleep(Duration::from_millis(1));
            }
        };
        wait_for(&old);
        let gate = Arc::new(Gate::default());
        server.reloader.reload::<ClassifierError>(Ok(classifier(&gate, 0.5))).unwrap();
        let answer = server.post("/predict", &ask("after")).json();
        assert_eq!(offset_of(&answer, "after"), 0.5);
        wait_for(&new);
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(server.get("/info").json()["model_id"], "fake 0.5");
    assert_eq!(server.metric("tinymood_reloads"), 1.0);
}

#[test]
fn a_request_keeps_the_model_that_it_began_with() {
    let server = Fixture::new();
    server.gate.shut();
    thread::scope(|scope| {
        let computing = scope.spawn(|| server.post("/predict", &ask("computing")));
        server.gate.wait_for_batch();
        let waiting = scope.spawn(|| server.post("/predict", &ask("waiting")));
        server.wait_for_metric("te_queue_size", 1.0);
        let gate = Arc::new(Gate::default());
        server.reloader.reload::<ClassifierError>(Ok(classifier(&gate, 0.5))).unwrap();
        let after = scope.spawn(|| server.post("/predict", &ask("after")));
        server.wait_for_metric("te_queue_size", 2.0);
        server.gate.open();
        assert_eq!(offset_of(&computing.join().unwrap().json(), "computing"), 0.0);
        assert_eq!(offset_of(&waiting.join().unwrap().json(), "waiting"), 0.0);
        assert_eq!(offset_of(&after.join().unwrap().json(), "after"), 0.5);
        // Never in one batch: each model's own gate has seen its own.
        assert_eq!(gate.batches().len(), 1);
        assert_eq!(server.gate.batches().len(), 2);
    });
}

#[test]
fn a_model_that_does_not_fit_leaves_the_one_before() {
    let server = Fixture::new();
    let mut wrong = classifier(&server.gate, 0.5);
    wrong.labels = LabelSet::new(["one", "two"]).unwrap();
    let error = server.reloader.reload::<ClassifierError>(Ok(wrong)).unwrap_err();
    assert!(matches!(error, ClassifierError::Labels { outputs: 4, labels: 2, .. }), "{error}");
    let none: Result<_, ClassifierError> =
        Err(ClassifierError::Labels { outputs: 0, labels: 0, thresholds: 0 });
    assert!(server.reloader.reload(none).is_err());
    let answer = server.post("/predict", &ask("as before")).json();
    assert_eq!(offset_of(&answer, "as before"), 0.0);
    assert_eq!(server.metric("tinymood_failed_reloads"), 2.0);
}

#[test]
fn a_model_without_a_number_for_an_answer_leaves_the_one_before() {
    let server = Fixture::new();
    for offset in [f32::NAN, f32::INFINITY] {
        let damaged = classifier(&server.gate, offset);
        let error = server.reloader.reload::<ClassifierError>(Ok(damaged)).unwrap_err();
        assert!(matches!(error, ClassifierError::NotANumber), "{error}");
    }
    let answer = server.post("/predict", &ask("as before")).json();
    assert_eq!(offset_of(&answer, "as before"), 0.0);
    assert_eq!(server.metric("tinymood_failed_reloads"), 2.0);
}

#[test]
fn only_texts_with_a_token_that_has_no_embedding_are_refused() {
    let server = Fixture::new();
    let gate = Arc::new(Gate::default());
    // The trial text has ids below 5000; "unbelievable" has 23653.
    let narrow = with_embeddings(&gate, 0.0, 20_000);
    server.reloader.reload::<ClassifierError>(Ok(narrow)).unwrap();
    for path in ["/v1/emotions", "/predict"] {
        let ask = |text: &str| match path {
            "/predict" => ask(text),
            _ => json!({ "texts": text }),
        };
        let body = server.post(path, &ask("an unbelievable day")).is_error(422, "tokenizer", None);
        let error = body["error"].as_str().unwrap();
        assert!(error.contains("\"unbelievable\"") && error.contains("20000"), "{error}");
        assert_eq!(server.post(path, &ask("what a day")).status, 200);
    }
    // Without an embedding of [SEP], no text has an answer.
    let none = with_embeddings(&gate, 0.0, 102);
    let error = server.reloader.reload::<ClassifierError>(Ok(none)).unwrap_err();
    assert!(error.to_string().contains("[SEP]"), "{error}");
    assert_eq!(server.post("/predict", &ask("what a day")).status, 200);
}
