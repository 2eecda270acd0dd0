//! `tinymood serve` as a process: its answers beside `predict`'s, its signals, its log.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{run, run_with, tinymood, trained};
use serde_json::{Value, json};

/// A server process; killed when dropped.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = tinymood(folder);
        command.args(["serve", "--port", "0"]).args(arguments).envs(environment.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").map(str::to_owned);
        let address = address.unwrap_or_else(|| {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("said {line:?} and {said}")
        });
        Self { child, address }
    }

    /// Status and body of a request.
    fn ask(&self, method: &str, path: &str, key: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
             authorization: Bearer {key}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask("POST", path, "", &body.to_string());
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    fn get(&self, path: &str) -> String {
        let (status, answer) = self.ask("GET", path, "", "");
        assert_eq!(status, 200, "{answer}");
        answer
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Tells it to stop; its exit status, and what it has logged.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal("-TERM");
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }

    /// Waits until a sample of `/metrics` has a value.
    fn wait_for_metric(&self, sample: &str) {
        while !self.get("/metrics").lines().any(|line| line == sample) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Labels and scores as `{label: score}`.
fn scores(list: &Value) -> Vec<(String, f64)> {
    let pair =
        |one: &Value| (one["label"].as_str().unwrap().to_owned(), one["score"].as_f64().unwrap());
    let mut scores: Vec<_> = list.as_array().unwrap().iter().map(pair).collect();
    scores.sort_by(|a, b| a.0.cmp(&b.0));
    scores
}

#[test]
fn the_server_says_what_predict_says() {
    let folder = trained();
    let server = Served::start(folder, &["runs/quick", "--quiet"], &[]);
    let texts = [
        "so happy",
        "what a \u{1F600} day",
        "no [SEP] way",
        "a b c d e f g h i j k l m n o p q r s t",
    ];
    let mut arguments = vec![
        "predict",
        "--model",
        "runs/quick",
        "--scores",
        "--explain",
        "--quiet",
        "--json",
        "--top-k",
        "3",
    ];
    arguments.extend(texts);
    let said = run_with(folder, &arguments, b"").ok();
    let asked = json!({ "texts": texts, "all_scores": true, "explain": true, "top_k": 3 });
    let answer = server.post("/v1/emotions", &asked);
    for (line, result) in said.stdout.lines().zip(answer["results"].as_array().unwrap()) {
        let line: Value = serde_json::from_str(line).unwrap();
        let offline: Vec<(String, f64)> = scores(&line["labels"]);
        for (offline, online) in offline.iter().zip(scores(&result["labels"])) {
            assert_eq!(offline.0, online.0);
            assert!((offline.1 - online.1).abs() < 1e-6, "{offline:?} {online:?}");
        }
        let all = line["scores"].as_object().unwrap();
        assert_eq!(all.len(), result["scores"].as_array().unwrap().len());
        for (label, score) in scores(&result["scores"]) {
            assert!((all[&label].as_f64().unwrap() - score).abs() < 1e-6, "{label}");
        }
        for (label, shares) in line["explanation"].as_object().unwrap() {
            let online = result["explanation"]["labels"][label].as_array().unwrap();
            let words = result["explanation"]["words"].as_array().unwrap();
            assert_eq!(shares.as_array().unwrap().len(), online.len());
            for ((share, online), word) in shares.as_array().unwrap().iter().zip(online).zip(words)
            {
                assert!((share["score"].as_f64().unwrap() - online.as_f64().unwrap()).abs() < 1e-5);
                assert_eq!((&share["word"], &share["start"]), (&word["text"], &word["start"]));
            }
        }
    }
    let (status, log) = server.stop();
    assert_eq!((status, log.as_str()), (Some(0), ""), "quiet");
}

#[test]
fn flags_come_from_the_environment_and_texts_stay_out_of_the_log() {
    let environment = [
        ("TINYMOOD_API_KEY", "sesame"),
        ("TINYMOOD_MAX_TEXTS", "2"),
        ("TINYMOOD_LOG_FORMAT", "json"),
    ];
    let server = Served::start(trained(), &["runs/quick"], &environment);
    assert_eq!(server.ask("GET", "/info", "wrong", "").0, 401);
    assert_eq!(server.ask("GET", "/health", "", "").0, 200);
    let (status, answer) =
        server.ask("POST", "/v1/emotions", "sesame", r#"{"texts":["a","b","c"]}"#);
    assert_eq!(status, 422);
    assert!(answer.contains("--max-texts"), "{answer}");
    let secret = "zyzzyva";
    let body = json!({ "texts": secret }).to_string();
    assert_eq!(server.ask("POST", "/v1/emotions", "sesame", &body).0, 200);
    let (status, log) = server.stop();
    assert_eq!(status, Some(0));
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests: Vec<&Value> = lines.iter().filter(|line| line["message"] == "request").collect();
    assert_eq!(requests.len(), 4, "{log}");
    assert_eq!((&requests[3]["status"], &requests[3]["texts"]), (&json!(200), &json!(1)));
    assert!(requests.iter().all(|line| line["request_id"].as_str().is_some_and(|id| id.len() > 8)));
    assert!(!log.contains(secret) && !log.contains("sesame"), "{log}");

    let server = Served::start(trained(), &["runs/quick", "--log-texts"], &[]);
    server.post("/v1/emotions", &json!({ "texts": secret }));
    assert!(server.stop().1.contains(secret));

    let arguments = ["runs/quick", "--log-texts", "--log-format", "json"];
    let server = Served::start(trained(), &arguments, &[]);
    let texts = json!([secret, "quo\"ted", "\u{7f}\u{e9}\n"]);
    server.post("/v1/emotions", &json!({ "texts": texts }));
    let (_, log) = server.stop();
    let line = log.lines().find(|line| line.contains(secret)).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let logged: Value = serde_json::from_str(line["text"].as_str().unwrap()).unwrap();
    assert_eq!(logged, texts);
}

#[test]
fn a_hang_up_opens_the_model_again_unless_it_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |to: &Path| {
        fs::create_dir_all(to).unwrap();
        for file in fs::read_dir(trained().join("runs/quick/best")).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    let model = folder.path().join("model");
    copy(&model);
    let server = Served::start(folder.path(), &["model", "--precision", "f32"], &[]);
    let asked = json!({ "inputs": "so happy" });
    let before = server.post("/predict", &asked);

    // Written over in place, as `cp` does: what is served is in memory.
    fs::write(model.join("model.safetensors"), b"broken").unwrap();
    assert_eq!(server.post("/predict", &asked), before);
    server.signal("-HUP");
    server.wait_for_metric("tinymood_failed_reloads 1");
    assert_eq!(server.post("/predict", &asked), before);

    let another = folder.path().join("another");
    fs::create_dir(&another).unwrap();
    run(
        folder.path(),
        &format!("train {} --max-steps 3 --seed 7 --output run --quiet", common::QUICK),
    )
    .ok();
    fs::remove_dir_all(&model).unwrap();
    fs::rename(folder.path().join("run/best"), &model).unwrap();
    let old = server.get("/info");
    server.signal("-HUP");
    server.wait_for_metric("tinymood_reloads 1");
    assert_ne!(server.post("/predict", &asked), before);
    assert_ne!(server.get("/info"), old);
    let (status, log) = server.stop();
    assert_eq!(status, Some(0));
    assert!(log.contains("the model before goes on") && log.contains("model reloaded"), "{log}");
}

#[test]
fn a_folder_that_is_missing_is_no_hub_id() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    fs::create_dir(&runs).unwrap();
    run(folder.path(), &format!("train {} --max-steps 3 --output runs/x --quiet", common::QUICK))
        .ok();
    // A hub that nobody answers for.
    let hub = [("HF_ENDPOINT", "http://127.0.0.1:9")];
    let server = Served::start(folder.path(), &["runs/x"], &hub);
    assert!(server.get("/info").contains("\"model_id\":\"runs/x\""));
    fs::rename(runs.join("x"), runs.join("y")).unwrap();
    server.signal("-HUP");
    server.wait_for_metric("tinymood_failed_reloads 1");
    fs::rename(runs.join("y"), runs.join("x")).unwrap();
    server.signal("-HUP");
    server.wait_for_metric("tinymood_reloads 1");
    assert!(server.get("/info").contains("\"model_id\":\"runs/x\""));
    let (status, log) = server.stop();
    assert_eq!(status, Some(0));
    assert!(log.contains("runs/x\" is neither") && !log.contains("127.0.0.1:9"), "{log}");
}

#[test]
fn a_hang_up_refuses_weights_that_are_no_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let quick = format!("train {} --max-steps 3 --output run --quiet", common::QUICK);
    run(folder.path(), &quick).ok();
    let server = Served::start(folder.path(), &["run", "--precision", "f32"], &[]);
    let asked = json!({ "inputs": "so happy" });
    let before = server.post("/predict", &asked);
    let file = folder.path().join("run/best/model.safetensors");
    let mut weights = fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    weights[header..].chunks_exact_mut(4).for_each(|w| w.copy_from_slice(&f32::NAN.to_le_bytes()));
    fs::write(&file, weights).unwrap();
    server.signal("-HUP");
    server.wait_for_metric("tinymood_failed_reloads 1");
    assert_eq!(server.post("/predict", &asked), before);
    assert!(server.stop().1.contains("is no number"));
    run(folder.path(), "serve run --precision f32 --port 0").fails(1, &["is no number"]);
}

#[test]
fn what_cannot_be_served_is_said_before_anything_else() {
    let folder = trained();
    run(folder, "serve nowhere --offline").fails(1, &["nowhere"]);
    run(folder, "serve runs/quick --max-texts 0").fails(2, &["max_texts is 0"]);
    run(folder, "serve runs/quick --max-concurrent-requests 4611686018427387904")
        .fails(2, &["max_concurrent_requests is 4611686018427387904, expected at most"]);
    run(folder, "serve runs/quick --cors-allow-origin example.org").fails(2, &["no origin"]);
    run(folder, "serve runs/quick --request-timeout 0").fails(2, &["seconds above 0"]);
    run(folder, "serve runs/quick --host nowhere.invalid").fails(1, &["--host"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    run(folder, &format!("serve runs/quick --port {port}"))
        .fails(1, &["cannot listen on 127.0.0.1"]);
}
