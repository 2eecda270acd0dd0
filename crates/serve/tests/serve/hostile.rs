//! Bytes that no good client sends: a clear answer or a closed connection, no panic, nothing stuck.

use std::net::Shutdown;

use serde_json::json;

use crate::fixture::{Client, Fixture, request};

fn post(body: &[u8]) -> Vec<u8> {
    request("POST", "/v1/emotions", &[], body)
}

#[track_caller]
fn still_answers(server: &Fixture) {
    let answer = server.post("/predict", &json!({ "inputs": "a" }));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn bodies_that_are_not_json() {
    let server = Fixture::new();
    let deep = [b"[".repeat(50_000), b"]".repeat(50_000)].concat();
    let deep_field = [br#"{"texts":"a","top_k":"#.to_vec(), deep.clone(), b"}".to_vec()].concat();
    for (body, status) in [
        (&b""[..], 400),
        (b"{", 400),
        (b"\x00", 400),
        (b"\xef\xbb\xbf{\"texts\":\"a\"}", 400),
        (b"{\"texts\":\"\xff\xfe\"}", 400),
        (b"{\"texts\":\"\xed\xa0\x80\"}", 400),
        (br#"{"texts":"\ud800"}"#, 400),
        (b"{\"texts\":\"a\nb\"}", 400),
        (br#"{"texts":"a"} {"texts":"b"}"#, 400),
        (br#"{"texts":"a","threshold":NaN}"#, 400),
        (br#"{"texts":"a","top_k":99999999999999999999999999}"#, 422),
        (br#"{"texts":"a","texts":"b"}"#, 422),
        (br#"{"texts":"a","threshold":1e300}"#, 422),
        (br#"{"texts":"a","threshold":1e999}"#, 422),
        (&deep, 422),
        (&deep_field, 422),
        // Well formed, if strange; where nothing is seen, there is no answer.
        (br#"{"texts":"\u0000"}"#, 422),
        (br#"{"texts":"a\u0000b \ufffd\u202e [SEP] [PAD]"}"#, 200),
        (br#"{"texts":" \t\r\n"}"#, 422),
    ] {
        let mut client = server.connect();
        client.write(&post(body)).unwrap();
        let answer = client.answer().unwrap();
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
        if status != 200 {
            assert!(answer.json()["error"].is_string());
        }
        // The connection is as good as before.
        assert_eq!(client.post("/predict", &json!({ "inputs": "a" })).status, 200, "{shown}");
    }
}

#[test]
fn texts_of_any_size() {
    let server = Fixture::with(|settings| settings.max_characters = 2 << 20);
    for text in ["a".repeat(1 << 20), "a ".repeat(1 << 19), "😀".repeat(1 << 18)] {
        for body in [json!({ "texts": text }), json!({ "texts": text, "explain": true })] {
            assert_eq!(server.post("/v1/emotions", &body).status, 200);
        }
    }
    let server = Fixture::new();
    let answer = server.post("/v1/emotions", &json!({ "texts": "a".repeat(1 << 20) }));
    answer.is_error(422, "validation", Some("max_characters"));
    // Far more than sockets hold: the client is heard out, so that it can read why.
    let large = json!({ "texts": "a".repeat(12 << 20) });
    let answer = server.post("/v1/emotions", &large);
    answer.is_error(413, "validation", Some("max_body_bytes"));
    still_answers(&server);
}

#[test]
fn heads_that_are_no_http() {
    let server = Fixture::new();
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(5_000));
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], // a TLS hello
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
    ] {
        let mut client = server.connect();
        // The server may answer and close before it has read all.
        let _ = client.write(bytes);
        let _ = client.stream.shutdown(Shutdown::Write);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        while let Some(answer) = client.answer() {
            assert!((400..500).contains(&answer.status), "{shown}: {}", answer.status);
        }
    }
    still_answers(&server);
}

#[test]
fn requests_that_end_early() {
    let server = Fixture::new();
    let whole = post(br#"{"texts":"a"}"#);
    for end in 0..whole.len() {
        let mut client = server.connect();
        client.write(&whole[..end]).unwrap();
        client.stream.shutdown(Shutdown::Write).unwrap();
        // Whatever it is told, the connection ends.
        while let Some(answer) = client.answer() {
            assert_eq!(answer.status, 400, "cut at {end}");
        }
    }
    still_answers(&server);
    assert_eq!(server.metric("tinymood_requests_in_flight"), 0.0);
}

#[test]
fn requests_one_behind_the_other_are_answered_in_order() {
    let server = Fixture::new();
    let mut client = server.connect();
    let mut bytes = Vec::new();
    for n in 0..20 {
        let id = format!("n{n}");
        let body = json!({ "texts": vec!["x"; n + 1] }).to_string();
        let headers = [("x-request-id", id.as_str())];
        bytes.extend(request("POST", "/v1/emotions", &headers, body.as_bytes()));
    }
    client.write(&bytes).unwrap();
    for n in 0..20 {
        let answer = client.answer().unwrap();
        assert_eq!(answer.header("x-request-id"), Some(format!("n{n}").as_str()));
        assert_eq!(answer.json()["results"].as_array().unwrap().len(), n + 1);
    }
}

#[test]
fn an_expectation_is_met() {
    let server = Fixture::new();
    let mut client = server.connect();
    let body = br#"{"texts":"a"}"#;
    let length = body.len().to_string();
    let headers = [("expect", "100-continue"), ("content-length", length.as_str())];
    client.write(&request("POST", "/v1/emotions", &headers, b"")).unwrap();
    assert_eq!(client.answer().unwrap().status, 100);
    client.write(body).unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
}

#[test]
fn requests_with_bytes_changed_at_random() {
    let server = Fixture::new();
    let whole = post(br#"{"texts":["a","b"],"all_scores":true,"threshold":0.5}"#);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..=random(3) {
            match random(3) {
                0 => {
                    let at = random(bytes.len());
                    bytes[at] = random(256) as u8;
                }
                1 => drop(bytes.remove(random(bytes.len()))),
                _ => bytes.insert(random(bytes.len()), random(256) as u8),
            }
        }
        let mut client = Client::new(server.address);
        let _ = client.write(&bytes);
        let _ = client.stream.shutdown(Shutdown::Write);
        while let Some(answer) = client.answer() {
            assert!(answer.status < 500, "round {round}: {}", answer.text());
        }
    }
    still_answers(&server);
    assert_eq!(server.metric("tinymood_requests_in_flight"), 0.0);
}
