//! `tinymood serve` as a process: its answers beside `predict`'s, its signals, its log.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Ran, rows, run, run_with, tinymood, trained};
#[cfg(target_os = "linux")]
use rustix::process::{Pid, Resource, Rlimit};
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
        command.stderr(Stdio::piped());
        Self::start_as(command)
    }

    fn start_as(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").map(str::to_owned);
        let address = address.unwrap_or_else(|| {
            let mut said = String::new();
            let stderr = child.stderr.take().map(|mut log| log.read_to_string(&mut said));
            panic!("said {line:?} and {said} ({stderr:?})")
        });
        Self { child, address }
    }

    /// Status and body of a request.
    fn ask(&self, method: &str, path: &str, key: &str, body: &str) -> (u16, String) {
        self.ask_as("localhost", method, path, key, body)
    }

    /// As [`Self::ask`], naming this host.
    fn ask_as(&self, host: &str, method: &str, path: &str, key: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
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

    /// Tells it to stop; its exit status, and what it has logged, where that is read at all.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal("-TERM");
        let log = self.child.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut log = String::new();
                stderr.read_to_string(&mut log).map(|_| log).unwrap()
            })
        });
        let status = self.ended();
        (status, log.map(|log| log.join().unwrap()).unwrap_or_default())
    }

    /// Waits until it has ended by itself; a server that does not fails the test.
    #[track_caller]
    fn ended(&mut self) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(120) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("it goes on")
    }

    /// Reads the log until a line holds `what`; returns that line.
    #[track_caller]
    fn wait_for_log(&mut self, what: &str) -> String {
        let log = BufReader::new(ByteByByte(self.child.stderr.as_mut().unwrap()));
        let line = log.lines().map(Result::unwrap).find(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("no {what} in its log"))
    }

    /// Waits until a sample of `/metrics` has a value.
    #[track_caller]
    fn wait_for_metric(&self, sample: &str) {
        let started = Instant::now();
        while !self.get("/metrics").lines().any(|line| line == sample) {
            assert!(started.elapsed() < Duration::from_secs(120), "no {sample}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Takes nothing from a log that who reads on would miss.
struct ByteByByte<'a>(&'a mut ChildStderr);

impl Read for ByteByByte<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(&mut buffer[..1])
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
    let (said, results) = (rows(&said.stdout), answer["results"].as_array().unwrap());
    assert_eq!((said.len(), results.len()), (texts.len(), texts.len()));
    for (line, result) in said.iter().zip(results) {
        let (offline, online) = (scores(&line["labels"]), scores(&result["labels"]));
        assert_eq!((offline.len(), online.len()), (3, 3));
        for (offline, online) in offline.iter().zip(online) {
            assert_eq!(offline.0, online.0);
            assert!((offline.1 - online.1).abs() < 1e-6, "{offline:?} {online:?}");
        }
        let all = line["scores"].as_object().unwrap();
        assert_eq!((all.len(), result["scores"].as_array().unwrap().len()), (28, 28));
        for (label, score) in scores(&result["scores"]) {
            assert!((all[&label].as_f64().unwrap() - score).abs() < 1e-6, "{label}");
        }
        let (words, told) = (&result["explanation"]["words"], &result["explanation"]["labels"]);
        let words = words.as_array().unwrap();
        let explained = line["explanation"].as_object().unwrap();
        assert_eq!((explained.len(), told.as_object().unwrap().len()), (3, 28));
        assert!(words.len() > 1, "{result}");
        for (label, shares) in explained {
            let online = told[label].as_array().unwrap();
            assert_eq!(
                (shares.as_array().unwrap().len(), online.len()),
                (words.len(), words.len())
            );
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
fn a_key_comes_from_a_file_that_holds_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let path = file.to_str().unwrap();
    let arguments = ["runs/quick", "--api-key-file", path];
    for (text, by_flag) in [("sesame", true), ("sesame\n", true), ("sesame\r\n", false)] {
        fs::write(&file, text).unwrap();
        let server = match by_flag {
            true => Served::start(trained(), &arguments, &[]),
            false => Served::start(trained(), &arguments[..1], &[("TINYMOOD_API_KEY_FILE", path)]),
        };
        assert_eq!(server.ask("GET", "/info", "sesame", "").0, 200, "{text:?}");
        assert_eq!(server.ask("GET", "/info", "sesam", "").0, 401, "{text:?}");
    }
    let serve = |more: &str| {
        run(trained(), &format!("serve runs/quick --port 0 --api-key-file {path} {more}"))
    };
    let long = "x".repeat(100_000);
    for text in ["", "\n", "one\ntwo\n", "sesame\n\n", " sesame", "na\u{EF}ve"] {
        fs::write(&file, text).unwrap();
        serve("").fails(1, &[path, "holds no API key", "one line"]);
    }
    fs::write(&file, long).unwrap();
    serve("").fails(1, &[path, "longer than"]);
    serve("--api-key sesame").fails(2, &["--api-key", "cannot be used with", "--api-key-file"]);
    fs::remove_file(&file).unwrap();
    serve("").fails(1, &[path, "cannot read the API key"]);
    fs::create_dir(&file).unwrap();
    serve("").fails(1, &[path, "not a regular file"]);
}

#[test]
fn a_log_says_as_much_as_it_is_told_to() {
    let log = |arguments: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["runs/quick"], arguments].concat();
        let server = Served::start(trained(), &arguments, environment);
        server.get("/health");
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.write_all(b"no HTTP\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        drop(stream);
        // The connection that asks is the only one left.
        server.wait_for_metric("tinymood_connections 1");
        let (status, log) = server.stop();
        assert_eq!(status, Some(0));
        (log.contains("/health"), log.contains("a connection ended"))
    };
    assert_eq!(log(&[], &[]), (true, false));
    assert_eq!(log(&["--quiet"], &[]), (false, false));
    assert_eq!(log(&["--log-level", "debug"], &[]), (true, true));
    assert_eq!(log(&["--log-level", "error"], &[]), (false, false));
    assert_eq!(log(&["--quiet"], &[("TINYMOOD_LOG_LEVEL", "info")]), (true, false));
}

#[test]
fn a_hang_up_opens_the_model_again_unless_it_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    copy_of_the_model(&model);
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
    run(folder, "serve runs/quick --allowed-host http://a").fails(2, &["\"http://a\" is no host"]);
    run(folder, "serve runs/quick --request-timeout 0").fails(2, &["seconds above 0"]);
    run(folder, "serve runs/quick --host nowhere.invalid").fails(1, &["--host"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    run(folder, &format!("serve runs/quick --port {port}"))
        .fails(1, &["cannot listen on 127.0.0.1"]);
}

/// A copy of the trained model, for tests that break theirs.
fn copy_of_the_model(to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(trained().join("runs/quick/best")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_log_that_cannot_be_written_costs_no_answer() {
    let asked = json!({ "inputs": "so happy" });
    // Whoever reads it dies, as in `| logger`.
    let mut server = Served::start(trained(), &["runs/quick"], &[]);
    let before = server.post("/predict", &asked);
    drop(server.child.stderr.take());
    assert_eq!(server.post("/predict", &asked), before);
    assert_eq!(server.stop().0, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_no_server_from_starting() {
    let mut command = tinymood(trained());
    command.args(["serve", "runs/quick", "--port", "0"]);
    command.stderr(fs::File::options().write(true).open("/dev/full").unwrap());
    let server = Served::start_as(command);
    server.post("/predict", &json!({ "inputs": "so happy" }));
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn who_does_not_read_the_address_is_served_all_the_same() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = tinymood(trained());
    command.args(["serve", "runs/quick", "--port", "0", "--quiet"]);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let mut server = Served { child, address: String::new() };
    // The log has it then, or nobody would know.
    let line = server.wait_for_log("listening on http://");
    let (_, address) = line.split_once("listening on http://").unwrap();
    server.address = address.split([',', ' ']).next().unwrap().to_owned();
    server.post("/predict", &json!({ "inputs": "so happy" }));
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_reload_that_hangs_holds_nothing_up_and_is_done_again_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let of_hub = folder.path().join("hub/models--org--name");
    copy_of_the_model(&of_hub.join("snapshots/0123abcd"));
    let reference = of_hub.join("refs/main");
    fs::create_dir_all(of_hub.join("refs")).unwrap();
    fs::write(&reference, "0123abcd").unwrap();
    // A hub that never answers, asked once the reference has gone.
    let hub = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", hub.local_addr().unwrap());
    let server = Served::start(folder.path(), &["org/name"], &[("HF_ENDPOINT", &endpoint)]);
    let hang = || {
        fs::remove_file(&reference).unwrap();
        server.signal("-HUP");
        hub.accept().unwrap().0
    };
    let hung = hang();
    // What is asked meanwhile is done after, once however often it was asked.
    server.signal("-HUP");
    server.signal("-HUP");
    server.get("/health");
    fs::write(&reference, "0123abcd").unwrap();
    drop(hung); // and the first fails
    server.wait_for_metric("tinymood_failed_reloads 1");
    server.wait_for_metric("tinymood_reloads 1");
    let _hung = hang();
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_thread_that_the_system_refuses_is_an_error() {
    for threads in ["1", "2"] {
        let mut command = tinymood(trained());
        command.args(["serve", "runs/quick", "--port", "0", "--threads", threads]);
        // A stack that no address space holds is refused as a thread over the limit is.
        command.env("RUST_MIN_STACK", (1_u64 << 52).to_string());
        let ran = Ran::from(command.output().unwrap());
        match threads {
            "1" => ran.fails(1, &["refuses a thread", "hint: ", "ulimit -u"]),
            _ => ran.fails(1, &["cannot start 2 threads", "--threads"]),
        };
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_has_as_many_threads_as_it_is_told() {
    for (asked, count) in [("1", 1), ("3", 3)] {
        let server = Served::start(trained(), &["runs/quick", "--threads", asked], &[]);
        let names = || -> Vec<String> {
            let threads = fs::read_dir(format!("/proc/{}/task", server.child.id())).unwrap();
            let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm"));
            threads.map(|thread| name(thread.unwrap()).unwrap()).collect()
        };
        // A new thread has the main one's name until it runs.
        while names().iter().filter(|name| name.trim() == "tinymood").count() > 1 {
            thread::sleep(Duration::from_millis(5));
        }
        let names = names();
        let of_connections = names.iter().filter(|name| name.starts_with("serve-")).count();
        assert_eq!(of_connections, count, "{names:?}");
    }
}

/// A server under a shell's `ulimit`.
fn limited(ulimit: &str, arguments: &str) -> Command {
    let program = tinymood(trained()).get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        &format!("ulimit {ulimit}; exec \"$0\" serve runs/quick --port 0 {arguments}"),
    ]);
    shell.arg(program).current_dir(trained()).stderr(Stdio::piped());
    shell
}

#[cfg(target_os = "linux")]
#[test]
fn fewer_files_than_connections_need_are_an_error_at_the_start() {
    for (ulimit, arguments, said) in [
        ("-n 256", "", "allows 256 file descriptors; connections (768) and threads (1) need 808"),
        ("-n 6", "", "allows 6 file descriptors; connections (768) and threads (1) need 808"),
        (
            "-n 5",
            "--max-connections 1",
            "allows 5 file descriptors; connections (1) and threads (1) need 41",
        ),
    ] {
        let ran = limited(ulimit, &format!("--threads 1 {arguments}")).output().unwrap();
        let hint = "hint: raise the limit of file descriptors (ulimit -n";
        Ran::from(ran).fails(1, &[said, hint, "--max-connections"]);
    }
    // A soft limit is raised.
    let server = Served::start_as(limited("-Sn 64", "--threads 1"));
    let clients: Vec<TcpStream> =
        (0..300).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    server.wait_for_metric("tinymood_connections 301");
    drop(clients);
    assert_eq!(server.stop().0, Some(0));
    let server = Served::start_as(limited("-n 41", "--threads 1 --max-connections 1"));
    server.post("/predict", &json!({ "inputs": "so happy" }));
    assert_eq!(server.stop().0, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn where_files_run_out_idle_connections_are_closed_for_new_ones() {
    let mut server = Served::start(trained(), &["runs/quick"], &[]);
    let open = fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().count() as u64;
    let limit = Rlimit { current: Some(open + 20), maximum: Some(open + 20) };
    let pid = Pid::from_child(&server.child);
    rustix::process::prlimit(Some(pid), Resource::Nofile, limit).unwrap();
    let idle: Vec<TcpStream> =
        (0..40).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    let line = server.wait_for_log("could not be accepted");
    assert!(line.contains("ulimit -n") && line.contains("--max-connections"), "{line}");
    // Behind the others in the queue; each takes a second until one is idle for long enough.
    server.post("/predict", &json!({ "inputs": "so happy" }));
    assert_eq!(server.stop().0, Some(0));
    drop(idle);
}

#[test]
fn signals_are_heard_while_the_model_is_being_opened() {
    let folder = tempfile::tempdir().unwrap();
    let of_hub = folder.path().join("hub/models--org--name");
    let snapshot = of_hub.join("snapshots/0123abcd");
    copy_of_the_model(&snapshot);
    // A hub that takes its time to say which commit that is.
    let hub = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = || {
        let mut command = tinymood(folder.path());
        command.args(["serve", "org/name", "--port", "0"]);
        command.env("HF_ENDPOINT", format!("http://{}", hub.local_addr().unwrap()));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        (Served { child, address: String::new() }, hub.accept().unwrap().0)
    };
    let (mut server, mut asked) = start();
    server.signal("-HUP");
    server.wait_for_log("told to reload while the model is being opened");
    let files = fs::read_dir(&snapshot).unwrap().map(|file| file.unwrap().file_name());
    let files = files.map(|name| json!({ "rfilename": name.into_string().unwrap() }));
    let said = json!({ "sha": "0123abcd", "siblings": files.collect::<Vec<_>>() }).to_string();
    let length = said.len();
    write!(asked, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{said}")
        .unwrap();
    drop(asked);
    let mut line = String::new();
    BufReader::new(server.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    server.address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
    server.wait_for_metric("tinymood_reloads 1");
    assert_eq!(server.stop().0, Some(0));

    fs::remove_dir_all(of_hub.join("refs")).unwrap();
    for (signal, number) in [("-TERM", 15), ("-INT", 2)] {
        let (mut server, _asked) = start();
        let started = Instant::now();
        server.signal(signal);
        server.ended();
        assert_eq!(server.child.wait().unwrap().signal(), Some(number), "its signal's status");
        assert!(started.elapsed() < Duration::from_secs(10), "it waited for the hub");
        server.wait_for_log("told to stop before the model is open");
    }
}

#[test]
fn hosts_are_allowed_by_flag_and_by_environment() {
    let asked = r#"{"inputs":"so happy"}"#;
    let ask = |server: &Served, host: &str| server.ask_as(host, "POST", "/predict", "", asked);
    let server = Served::start(trained(), &["runs/quick"], &[]);
    assert_eq!(ask(&server, &server.address).0, 200);
    let (status, answer) = ask(&server, "rebound.example:8080");
    assert_eq!(status, 403);
    assert!(answer.contains("--allowed-host rebound.example allows it"), "{answer}");
    let by_flag = ["runs/quick", "--allowed-host", "a.example", "--allowed-host", "192.0.2.7"];
    let by_environment = [("TINYMOOD_ALLOWED_HOST", "a.example,192.0.2.7")];
    for server in [
        Served::start(trained(), &by_flag, &[]),
        Served::start(trained(), &by_flag[..1], &by_environment),
    ] {
        for (host, status) in [("a.example", 200), ("192.0.2.7:1", 200), ("b.example", 403)] {
            assert_eq!(ask(&server, host).0, status, "{host}");
        }
    }
    // What reaches all addresses has many names.
    let mut server = Served::start(trained(), &["runs/quick", "--host", "0.0.0.0"], &[]);
    server.address = server.address.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(ask(&server, "b.example").0, 200);
}
