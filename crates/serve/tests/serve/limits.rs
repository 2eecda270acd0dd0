//! Every limit: its status, its name, and that the server goes on after.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tinymood_serve::Settings;

use crate::fixture::{Answer, Fixture, request};

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn texts_have_limits_on_every_endpoint() {
    let server = Fixture::with(|settings| {
        settings.max_texts = 2;
        settings.max_characters = 5;
        settings.max_queue_tokens = 16;
    });
    for (path, field) in
        [("/v1/emotions", "texts"), ("/predict", "inputs"), ("/tokenize", "inputs")]
    {
        let nest = |texts: &[&str]| match path {
            "/predict" => json!({ field: texts.iter().map(|text| [text]).collect::<Vec<_>>() }),
            _ => json!({ field: texts }),
        };
        let refused = |body: Value, limit: Option<&str>| {
            let error = server.post(path, &body).is_error(422, "validation", limit);
            error["error"].as_str().unwrap().to_owned()
        };
        let error = refused(nest(&["a", "b", "c"]), Some("max_texts"));
        assert_eq!(error, format!("{field} holds 3 texts, the limit is 2 (--max-texts)"));
        // Characters, not bytes.
        assert_eq!(server.post(path, &nest(&["ééééé"])).status, 200);
        let error = refused(nest(&["a", "éééééé"]), Some("max_characters"));
        assert!(error.contains("text 1") && error.contains("--max-characters"), "{error}");
        refused(nest(&[]), None);
        for empty in ["", " ", "\u{200B}\n"] {
            let error = refused(nest(&["a", empty]), None);
            assert_eq!(error, format!("text 1 of {field} is empty"));
        }
        refused(json!({ field: 5 }), None);
        refused(json!({ field: null }), None);
        refused(json!({ field: [1] }), None);
        refused(json!({}), None);
        refused(json!([]), None);
    }
    let explained = json!({ "texts": ["a b c", "d e f"], "explain": true });
    let answer = server.post("/v1/emotions", &explained);
    answer.is_error(422, "validation", Some("max_queue_tokens"));
    for wrong in [
        json!({ "texts": "a", "threshold": 1.5 }),
        json!({ "texts": "a", "threshold": -0.1 }),
        json!({ "texts": "a", "top_k": 0 }),
        json!({ "texts": "a", "top_k": -1 }),
        json!({ "texts": "a", "top_k": 1e30 }),
        json!({ "texts": "a", "taxonomy": "colours" }),
        json!({ "texts": "a", "taxonomy": null }),
        json!({ "texts": "a", "taxonomy": 1 }),
        json!({ "texts": "a", "taxonomy": { "ekman": null } }),
        json!({ "texts": "a", "unknown": 1 }),
    ] {
        server.post("/v1/emotions", &wrong).is_error(422, "validation", None);
    }
    for wrong in [
        json!({ "inputs": "a", "truncation_direction": null }),
        json!({ "inputs": "a", "truncation_direction": ["left"] }),
        json!({ "inputs": "a", "parameters": { "top_k": 0 } }),
        json!({ "inputs": "a", "parameters": { "function_to_apply": "tanh" } }),
        json!({ "inputs": "a", "parameters": { "function_to_apply": 1 } }),
        json!({ "inputs": "a", "parameters": [1] }),
        json!({ "inputs": "a", "parameters": [] }),
    ] {
        server.post("/predict", &wrong).is_error(422, "validation", None);
    }
    for fine in [
        json!({ "inputs": "a", "truncation_direction": "Left" }),
        json!({ "inputs": "a", "parameters": null }),
        json!({ "inputs": "a", "parameters": { "top_k": null, "function_to_apply": null } }),
    ] {
        assert_eq!(server.post("/predict", &fine).status, 200, "{fine}");
    }
}

#[test]
fn tokens_of_a_request_are_limited_where_they_are_told_too() {
    let server = Fixture::with(|settings| settings.max_queue_tokens = 8);
    let ask = |texts: &[&str]| server.post("/tokenize", &json!({ "inputs": texts }));
    assert_eq!(ask(&["a b", "c d"]).status, 200); // 4 tokens each
    let refused = ask(&["a b", "c d", "e"]);
    let error = refused.is_error(422, "validation", Some("max_queue_tokens"));
    assert_eq!(
        error["error"],
        "the request needs more tokens than that, the limit is 8 (--max-queue-tokens)"
    );
    let bare = json!({ "inputs": ["a b", "c d", "e"], "add_special_tokens": false });
    assert_eq!(server.post("/tokenize", &bare).status, 200);
}

/// As many long texts as a body holds. They end in a word that is none: few tokens, and all of the work.
fn many_long_texts(start: &str) -> Vec<String> {
    vec![start.to_owned() + &"so".repeat(4_000); 240]
}

#[test]
fn what_explains_too_much_is_refused_before_it_holds_up_others() {
    let server = Fixture::with(|settings| settings.max_queue_tokens = 2_000); // two of them
    let start = "so it goes ".repeat(20);
    let asked = json!({ "texts": many_long_texts(&start), "explain": true }).to_string();
    let asked = request("POST", "/v1/emotions", &[], asked.as_bytes());
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.write(&asked).unwrap());
    let started = Instant::now();
    let ordinary = json!({ "texts": "so it goes ".repeat(250) });
    assert_eq!(server.post("/v1/emotions", &ordinary).status, 200);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "it waited for {took:?}");
    for client in &mut clients {
        let refused = client.answer().unwrap();
        refused.is_error(422, "validation", Some("max_queue_tokens"));
    }
}

#[test]
fn long_texts_take_turns_and_no_longer_than_a_request_may() {
    let server = Fixture::with(|settings| settings.request_timeout = Duration::from_secs(3));
    let asked = json!({ "inputs": many_long_texts("") }).to_string();
    let asked = request("POST", "/tokenize", &[], asked.as_bytes());
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.write(&asked).unwrap());
    let ordinary = json!({ "texts": "so it goes ".repeat(250) });
    assert_eq!(server.post("/v1/emotions", &ordinary).status, 200);
    let mut late = 0;
    for client in &mut clients {
        let answer = client.answer().unwrap();
        if answer.status == 503 {
            let error = answer.is_error(503, "timeout", None);
            assert!(error["error"].as_str().unwrap().contains("--request-timeout"), "{error}");
            late += 1;
        }
    }
    assert!(late > 0, "together they take longer");
}

/// Texts of a request whose answer is larger than what sockets hold.
const MANY: usize = 50_000;

fn large_request() -> Vec<u8> {
    let body = json!({ "texts": vec!["x"; MANY], "all_scores": true }).to_string();
    request("POST", "/v1/emotions", &[], body.as_bytes())
}

fn allow_large_requests(settings: &mut Settings) {
    (settings.max_texts, settings.max_queue_tokens) = (MANY, 1 << 20);
}

#[test]
fn a_large_answer_has_its_place_until_it_is_read() {
    let server = Fixture::with(allow_large_requests);
    let mut client = server.connect();
    client.write(&large_request()).unwrap();
    server.wait_for_metric("te_request_success{method=\"batch\"}", 1.0);
    for _ in 0..20 {
        assert_eq!(server.metric("tinymood_requests_in_flight"), 1.0);
    }
    let answer = client.answer().unwrap().json();
    assert_eq!(answer["results"].as_array().unwrap().len(), MANY);
    server.wait_for_metric("tinymood_requests_in_flight", 0.0);
}

#[test]
fn who_reads_nothing_of_an_answer_is_cut_off() {
    let server = Fixture::with(|settings| {
        allow_large_requests(settings);
        settings.request_timeout = Duration::from_secs(5);
    });
    let mut clients: Vec<_> = (0..2).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.write(&large_request()).unwrap());
    server.wait_for_metric("te_request_success{method=\"batch\"}", 2.0);
    // Only who asks for the figures is left.
    server.wait_for_metric("tinymood_connections", 1.0);
    server.wait_for_metric("tinymood_requests_in_flight", 0.0);
    assert!(server.stopped(), "it waits for nobody");
}

#[test]
fn so_many_connections_at_once_and_the_next_waits() {
    let server = Fixture::with(|settings| settings.max_connections = 2);
    let (mut one, mut two) = (server.connect(), server.connect());
    for client in [&mut one, &mut two] {
        assert_eq!(client.send("GET", "/health", &[], b"").status, 200);
    }
    let mut next = server.connect();
    next.write(&request("GET", "/health", &[], b"")).unwrap();
    for _ in 0..20 {
        let figures = one.send("GET", "/metrics", &[], b"").text();
        assert!(figures.contains("\ntinymood_connections 2\n"), "{figures}");
        thread::sleep(Duration::from_millis(5));
    }
    drop(two);
    assert_eq!(next.answer().unwrap().status, 200);
}

#[test]
fn who_has_been_idle_for_longest_gives_way_when_no_place_is_left() {
    let server = Fixture::with(|settings| settings.max_connections = 3);
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    let [busy, longest, other] = &mut clients[..] else { unreachable!() };
    server.gate.shut();
    busy.write(&request("POST", "/predict", &[], br#"{"inputs":"a"}"#)).unwrap();
    server.gate.wait_for_batch();
    for client in [&mut *longest, &mut *other] {
        assert_eq!(client.send("GET", "/health", &[], b"").status, 200);
    }
    assert_eq!(server.get("/health").status, 200);
    assert!(longest.answer().is_none(), "closed without a word");
    assert_eq!(other.send("GET", "/health", &[], b"").status, 200);
    server.gate.open();
    assert_eq!(busy.answer().unwrap().status, 200);
}

#[test]
fn a_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let brief = Duration::from_millis(300);
    let server = Fixture::with(|settings| settings.request_timeout = brief);
    let (mut idle, mut slow) = (server.connect(), server.connect());
    assert_eq!(idle.send("GET", "/health", &[], b"").status, 200);
    slow.write(b"GET /health HTTP/1.1\r\n").unwrap();
    assert!(slow.answer().is_none(), "its head does not end");
    thread::sleep(brief);
    assert_eq!(idle.send("GET", "/health", &[], b"").status, 200);

    let (brief, less) = (Duration::from_secs(1), Duration::from_millis(400));
    let server = Fixture::with(|settings| settings.keep_alive_timeout = brief);
    let (mut idle, mut new) = (server.connect(), server.connect());
    for _ in 0..3 {
        thread::sleep(less);
        assert_eq!(idle.send("GET", "/health", &[], b"").status, 200, "its time begins anew");
    }
    let started = Instant::now();
    assert!(idle.answer().is_none() && new.answer().is_none());
    assert!(started.elapsed() > less);
    server.wait_for_metric("tinymood_connections", 1.0);
    // A request that takes longer is no idle connection.
    server.gate.shut();
    let mut busy = server.connect();
    busy.write(&request("POST", "/predict", &[], br#"{"inputs":"a"}"#)).unwrap();
    server.gate.wait_for_batch();
    thread::sleep(brief * 2);
    server.gate.open();
    assert_eq!(busy.answer().unwrap().status, 200);
}

#[test]
fn a_body_has_a_size_whether_it_says_so_or_not() {
    let server = Fixture::with(|settings| settings.max_body_bytes = 100);
    let body = json!({ "inputs": "x".repeat(100) }).to_string();
    let answer = server.connect().send("POST", "/predict", &[], body.as_bytes());
    let error = answer.is_error(413, "validation", Some("max_body_bytes"));
    assert!(error["error"].as_str().unwrap().contains("--max-body-bytes"), "{error}");
    let chunked: String = body
        .as_bytes()
        .chunks(60)
        .map(|part| format!("{:x}\r\n{}\r\n", part.len(), str(part)))
        .collect();
    let answer = server.connect().send(
        "POST",
        "/predict",
        &[("transfer-encoding", "chunked")],
        format!("{chunked}0\r\n\r\n").as_bytes(),
    );
    answer.is_error(413, "validation", Some("max_body_bytes"));
    let answer = server.connect().send(
        "POST",
        "/predict",
        &[("transfer-encoding", "chunked")],
        b"9\r\n{\"inputs\"\r\n6\r\n:\"a\"} \r\n0\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
}

fn str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_full_queue_says_so_at_once_and_takes_more_once_it_is_not() {
    let server = Fixture::with(|settings| settings.max_queue_tokens = 10);
    server.gate.shut();
    let ask = || server.post("/predict", &json!({ "inputs": "a b" })); // 4 tokens
    thread::scope(|scope| {
        let computing = scope.spawn(ask);
        server.gate.wait_for_batch();
        let waiting = [scope.spawn(ask), scope.spawn(ask)];
        server.wait_for_metric("tinymood_queue_tokens", 8.0);
        for _ in 0..20 {
            let refused = ask();
            refused.is_error(429, "overloaded", Some("max_queue_tokens"));
            assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        }
        server.gate.open();
        assert_eq!(computing.join().unwrap().status, 200);
        assert!(waiting.into_iter().all(|waiting| waiting.join().unwrap().status == 200));
    });
    assert_eq!(ask().status, 200);
    assert_eq!(server.metric("te_request_failure{err=\"overloaded\"}"), 20.0);
    // Of four texts that were let in; the refused ones were not computed.
    assert_eq!(server.metric("te_request_input_length_count"), 4.0);
}

#[test]
fn so_many_requests_at_once_and_no_more() {
    let server = Fixture::with(|settings| settings.max_concurrent_requests = 2);
    server.gate.shut();
    let ask = || server.post("/predict", &json!({ "inputs": "a" }));
    thread::scope(|scope| {
        let computing = scope.spawn(ask);
        server.gate.wait_for_batch();
        // A request that is still being sent has its place, too.
        let mut slow = server.connect();
        let bytes = request("POST", "/predict", &[], br#"{"inputs":"a"}"#);
        slow.write(&bytes[..bytes.len() - 1]).unwrap();
        server.wait_for_metric("tinymood_requests_in_flight", 2.0);
        let refused = ask();
        refused.is_error(429, "overloaded", Some("max_concurrent_requests"));
        assert!(refused.header("retry-after").is_some());
        // What needs no model is answered all the same.
        assert_eq!(server.get("/health").status, 200);
        slow.write(&bytes[bytes.len() - 1..]).unwrap();
        server.wait_for_metric("te_queue_size", 1.0);
        server.gate.open();
        assert_eq!(slow.answer().unwrap().status, 200);
        assert_eq!(computing.join().unwrap().status, 200);
    });
    assert_eq!(ask().status, 200);
}

#[test]
fn a_body_that_does_not_come_and_an_answer_that_does_not() {
    let server = Fixture::with(|settings| settings.request_timeout = Duration::from_millis(200));
    let mut slow = server.connect();
    slow.write(&request("POST", "/predict", &[("content-length", "100")], b"{\"inp")).unwrap();
    let error = slow.answer().unwrap();
    let error = error.is_error(408, "timeout", None);
    assert!(error["error"].as_str().unwrap().contains("--request-timeout"), "{error}");
    server.gate.shut();
    let late = server.post("/predict", &json!({ "inputs": "a" }));
    late.is_error(503, "timeout", None);
    server.gate.open();
    assert_eq!(server.post("/predict", &json!({ "inputs": "a" })).status, 200);
}

#[test]
fn who_has_no_key_may_ask_nothing_but_health_documents_and_the_page() {
    let server = Fixture::with(|settings| settings.api_key = Some("sesame".to_owned()));
    let get =
        |path: &str, headers: &[(&str, &str)]| server.connect().send("GET", path, headers, b"");
    for path in ["/info", "/metrics"] {
        let refused = get(path, &[]);
        refused.is_error(401, "authentication", None);
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        assert_eq!(get(path, &[("authorization", "Bearer sesame")]).status, 200, "{path}");
    }
    let open = ["/health", "/docs", "/openapi.json", "/", "/page.css", "/parts/server.js"];
    for path in open {
        assert_eq!(get(path, &[]).status, 200, "{path}");
    }
    for path in ["/v1/emotions", "/predict", "/", "/tokenize"] {
        for wrong in
            ["sesame", "Bearer", "Bearer ", "Bearer sesam", "Bearer sesamee", "Basic sesame"]
        {
            let headers = [JSON, ("authorization", wrong)];
            let refused = server.connect().send("POST", path, &headers, b"{}");
            refused.is_error(401, "authentication", None);
        }
        let headers = [("authorization", "bearer sesame")];
        let allowed = server.connect().send("POST", path, &headers, b"{}");
        assert_eq!(allowed.status, 422, "{path}");
    }
}

#[test]
fn what_is_not_there_or_not_meant_so() {
    let server = Fixture::new();
    server.get("/nowhere").is_error(404, "not_found", None);
    let refused = server.get("/predict");
    refused.is_error(405, "method_not_allowed", None);
    assert_eq!(refused.header("allow"), Some("POST"));
    let refused = server.connect().send("DELETE", "/health", &[], b"");
    refused.is_error(405, "method_not_allowed", None);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let refused = server.connect().send("POST", "/predict", &[("content-type", kind)], b"{}");
        refused.is_error(415, "unsupported_media_type", None);
    }
    let body = br#"{"inputs":"a"}"#;
    for (encoding, status) in [("gzip", 415), ("br", 415), ("identity", 200)] {
        let headers = [("content-encoding", encoding)];
        let answer = server.connect().send("POST", "/predict", &headers, body);
        assert_eq!(answer.status, status, "{encoding}");
        if status == 415 {
            let error = answer.is_error(415, "unsupported_media_type", None);
            assert!(error["error"].as_str().unwrap().contains(encoding), "{error}");
        }
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        let body = br#"{"inputs":"a"}"#;
        let answer = server.connect().send("POST", "/predict", &[("content-type", kind)], body);
        assert_eq!(answer.status, 200, "{kind}");
    }
}

#[test]
fn pages_of_other_origins_ask_only_where_they_are_allowed() {
    let preflight = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let ask = |server: &Fixture| {
        let mut client = server.connect();
        let said = client.send("OPTIONS", "/predict", &preflight, b"");
        let body = br#"{"inputs":"a"}"#;
        let answer = client.send("POST", "/predict", &[("origin", "https://a.example")], body);
        let allowed = "access-control-allow-origin";
        [said, answer].map(|answer| answer.header(allowed).map(str::to_owned))
    };
    assert_eq!(ask(&Fixture::new()), [None, None]);
    let allowing = |origins: &[&str]| {
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        Fixture::with(|settings| settings.cors_allow_origins = origins)
    };
    let yes = |origin: &str| [Some(origin.to_owned()), Some(origin.to_owned())];
    assert_eq!(ask(&allowing(&["*"])), yes("*"));
    assert_eq!(ask(&allowing(&["https://b.example"])), [None, None]);
    let both = allowing(&["https://b.example", "https://a.example"]);
    assert_eq!(ask(&both), yes("https://a.example"));
}

#[test]
fn pages_of_other_origins_can_read_errors_too() {
    let origin = ("origin", "https://a.example");
    let server = Fixture::with(|settings| {
        settings.cors_allow_origins = vec![origin.1.to_owned()];
        settings.api_key = Some("sesame".to_owned());
        settings.max_queue_tokens = 3;
    });
    let key = ("authorization", "Bearer sesame");
    server.gate.shut();
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        server.connect().send(method, path, &[headers, &[origin]].concat(), body)
    };
    let check = |answer: &Answer, status: u16| {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin.1), "{status}");
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("retry-after") && exposed.contains("x-request-id"), "{exposed}");
        assert!(answer.header("vary").unwrap().contains("origin"), "{status}");
        assert!(answer.json()["error"].is_string(), "{status}");
    };
    check(&ask("POST", "/v1/emotions", &[], b"{}"), 401);
    check(&ask("GET", "/nowhere", &[], b""), 404);
    check(&ask("GET", "/predict", &[], b""), 405);
    check(&ask("POST", "/v1/emotions", &[key, ("content-type", "text/plain")], b"{}"), 415);
    check(&ask("POST", "/v1/emotions", &[key], b"{"), 400);
    check(&ask("POST", "/v1/emotions", &[key], br#"{"texts":[]}"#), 422);
    let one = br#"{"inputs":"a"}"#; // 3 tokens
    thread::scope(|scope| {
        let computing = scope.spawn(|| ask("POST", "/predict", &[key], one));
        server.gate.wait_for_batch();
        let waiting = scope.spawn(|| ask("POST", "/predict", &[key], one));
        let queued = || {
            let answer = ask("GET", "/metrics", &[key], b"").text();
            answer.contains("\ntinymood_queue_tokens 3\n")
        };
        while !queued() {
            thread::sleep(Duration::from_millis(2));
        }
        let refused = ask("POST", "/predict", &[key], one);
        check(&refused, 429);
        assert!(refused.header("retry-after").is_some());
        server.gate.open();
        assert_eq!([computing, waiting].map(|asked| asked.join().unwrap().status), [200, 200]);
    });
}
