//! Answers that are sent before the body is read: clients that send the whole body first must see them, and bodies
//! that never end must hold nothing up.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::{Answer, Client, Fixture, request};

const LIMIT: usize = 2 << 20;

type Headers<'a> = &'a [(&'a str, &'a str)];

/// Sends a request as Python's `http.client` does: its head, then its whole body, and only then reads.
#[track_caller]
fn send(client: &mut Client, path: &str, headers: Headers<'_>, body: &[u8]) -> Answer {
    let length = body.len().to_string();
    let headers = [headers, &[("content-length", length.as_str())]].concat();
    client.write(&request("POST", path, &headers, b"")).unwrap();
    thread::sleep(Duration::from_millis(5)); // the server may answer now
    client.write(body).expect("the server takes in the whole body");
    client.answer().expect("an answer")
}

#[test]
fn clients_that_send_the_whole_body_first_see_why_it_is_refused() {
    let server = Fixture::with(|settings| settings.api_key = Some("sesame".to_owned()));
    let key = ("authorization", "Bearer sesame");
    let cases: [(u16, &str, Headers<'_>); 5] = [
        (401, "/v1/emotions", &[]),
        (403, "/v1/emotions", &[key, ("host", "rebound.example")]),
        (404, "/nowhere", &[key]),
        (405, "/health", &[key]),
        (415, "/v1/emotions", &[key, ("content-type", "text/plain")]),
    ];
    let mut client = server.connect();
    for size in [100_000, 700_000, LIMIT] {
        for (status, path, headers) in cases {
            let answer = send(&mut client, path, headers, &vec![b'x'; size]);
            assert_eq!(answer.status, status, "{size}: {}", answer.text());
            // All of these on one connection.
            assert_eq!(answer.header("connection"), None, "{status} {size}");
        }
    }
    // What is longer than a body may be is not waited for: the answer says that the connection ends.
    for size in [LIMIT + 1, 6 * LIMIT] {
        for (status, path, headers) in cases.into_iter().chain([(413, "/predict", &[key][..])]) {
            let mut client = server.connect();
            let answer = send(&mut client, path, headers, &vec![b'x'; size]);
            assert_eq!(answer.status, status, "{size}: {}", answer.text());
            assert_eq!(answer.header("connection"), Some("close"), "{status} {size}");
            assert!(client.answer().is_none(), "closed as announced");
        }
    }
}

#[test]
fn clients_that_are_refused_for_the_load_see_when_to_ask_again() {
    let server = Fixture::with(|settings| settings.max_concurrent_requests = 1);
    let mut holder = server.connect();
    holder.write(&request("POST", "/predict", &[("content-length", "9")], b"{")).unwrap();
    server.wait_for_metric("tinymood_requests_in_flight", 1.0);
    let mut client = server.connect();
    for _ in 0..20 {
        let answer = send(&mut client, "/predict", &[], &vec![b'x'; 1_000_000]);
        answer.is_error(429, "overloaded", Some("max_concurrent_requests"));
        assert!(answer.header("retry-after").is_some());
    }
}

#[test]
fn a_client_that_asks_before_it_sends_is_not_asked_to_send() {
    let server = Fixture::new();
    let mut client = server.connect();
    let headers = [("expect", "100-continue"), ("content-length", "1000")];
    client.write(&request("POST", "/nowhere", &headers, b"")).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    assert!(client.answer().is_none());
}

/// A client that sends a refused body without an end, a byte each so often; ended when dropped or disconnected.
fn trickle(server: &Fixture) -> thread::JoinHandle<Duration> {
    let mut client = server.connect();
    thread::spawn(move || {
        let started = Instant::now();
        let headers = [("transfer-encoding", "chunked")];
        client.write(&request("POST", "/nowhere", &headers, b"")).unwrap();
        while started.elapsed() < Duration::from_secs(60) && client.write(b"1\r\nx\r\n").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
        started.elapsed()
    })
}

#[test]
fn a_body_that_never_ends_holds_up_nothing() {
    let server = Fixture::with(|settings| {
        settings.max_concurrent_requests = 1;
        settings.request_timeout = Duration::from_secs(3);
    });
    let slow: Vec<_> = (0..4).map(|_| trickle(&server)).collect();
    server.wait_for_metric("tinymood_connections", 5.0);
    for _ in 0..10 {
        assert_eq!(server.post("/predict", &serde_json::json!({ "inputs": "a" })).status, 200);
        assert_eq!(server.metric("tinymood_requests_in_flight"), 0.0);
    }
    // Two seconds before the answer, three of lingering, and the time to notice.
    assert!(slow.into_iter().all(|slow| slow.join().unwrap() < Duration::from_secs(20)));
    // As fast as it can: more than is discarded ends it.
    let mut client = server.connect();
    let headers = [("transfer-encoding", "chunked")];
    client.write(&request("POST", "/nowhere", &headers, b"")).unwrap();
    let chunk = [b"100000\r\n".to_vec(), vec![b'x'; 1 << 20], b"\r\n".to_vec()].concat();
    let sent = (0..1000).take_while(|_| client.write(&chunk).is_ok()).count();
    assert!(sent < 100, "{sent} MB");
}

#[test]
fn a_silent_client_is_let_go_and_a_lingering_one_gives_way() {
    let server = Fixture::with(|settings| settings.max_connections = 1);
    // Silent: its answer says that the body came too late, or is not awaited.
    let mut silent = server.connect();
    let headers = [("content-length", "1000000000")];
    let started = Instant::now();
    silent.write(&request("POST", "/nowhere", &headers, b"x")).unwrap();
    let answer = silent.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    assert_eq!(silent.stream.read(&mut [0; 8]).unwrap(), 0, "half closed at once");
    assert!(started.elapsed() < Duration::from_secs(2), "such a body is not waited for");
    assert_eq!(server.get("/health").status, 200);
    assert!(started.elapsed() < Duration::from_secs(10), "it would linger for half a minute");
    // It sends and sends, and gives way all the same.
    let slow = trickle(&server);
    thread::sleep(Duration::from_secs(1)); // it has the place
    assert_eq!(server.get("/health").status, 200);
    assert!(slow.join().unwrap() < Duration::from_secs(20));
}

#[test]
fn stopping_does_not_wait_for_bodies_that_never_end() {
    let server = Fixture::new();
    let slow = trickle(&server);
    server.wait_for_metric("tinymood_connections", 2.0);
    let started = Instant::now();
    assert!(server.stopped());
    assert!(started.elapsed() < Duration::from_secs(10));
    slow.join().unwrap();
}

static RELEASED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn memory_is_given_back_after_bodies_and_answers() {
    let released = || RELEASED.load(Ordering::Relaxed);
    let wait_for = |count: usize| {
        let started = Instant::now();
        while released() < count {
            assert!(started.elapsed() < Duration::from_secs(60), "never given back");
            thread::sleep(Duration::from_millis(5));
        }
    };
    let server = Fixture::with(|settings| {
        settings.release_memory = || {
            RELEASED.fetch_add(1, Ordering::Relaxed);
        };
    });
    assert_eq!(server.get("/health").status, 200);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(released(), 0, "after a burst only");
    // Of bodies that were refused, and of a kept connection.
    let mut client = server.connect();
    for _ in 0..9 {
        assert_eq!(send(&mut client, "/nowhere", &[], &vec![b'x'; LIMIT]).status, 404);
    }
    wait_for(1);
    // Of answers, to many small requests.
    for _ in 0..1200 {
        assert_eq!(client.send("GET", "/openapi.json", &[], b"").status, 200);
    }
    wait_for(2);
}
