//! A server of a fake engine, on a port of its own, and a client that sends whatever bytes a test likes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tinymood_core::{EngineError, Infer, LabelSet, Logits, ModelConfig, PackedBatch};
use tinymood_eval::Thresholds;
use tinymood_serve::{About, Classifier, Reloader, Server, Settings};
use tinymood_text::Tokenizer;
use tokio::sync::oneshot;

/// The labels, of which the fake engine knows nothing but the number.
pub const LABELS: [&str; 4] = ["joy", "love", "anger", "surprise"];

/// A text that the fake engine falls over.
pub const FATAL: &str = "zebra";

/// What a test steers the engine by, and what the engine has seen.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    /// Batches that wait before the gate.
    waiting: usize,
    /// Tokens and texts of each batch that went through.
    batches: Vec<(usize, usize)>,
}

impl Gate {
    pub fn shut(&self) {
        self.state.lock().unwrap().shut = true;
    }

    pub fn open(&self) {
        self.state.lock().unwrap().shut = false;
        self.changed.notify_all();
    }

    /// Waits until a batch stands before the gate.
    pub fn wait_for_batch(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.waiting == 0).unwrap());
    }

    /// Tokens and texts of the batches so far.
    pub fn batches(&self) -> Vec<(usize, usize)> {
        self.state.lock().unwrap().batches.clone()
    }

    fn pass(&self, tokens: usize, texts: usize) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |state| state.shut).unwrap();
        state.waiting -= 1;
        state.batches.push((tokens, texts));
    }
}

/// Answers from a text's ids alone, so that each text has an answer of its own.
pub struct Fake {
    config: ModelConfig,
    gate: Arc<Gate>,
    /// Added to every logit: tells models apart.
    offset: f32,
    fatal: u32,
    /// Whether it has answered the text that every model is tried out with. No test means that one.
    tried: AtomicBool,
}

/// What the fake engine answers; (C).
pub fn logits(ids: &[u32], offset: f32) -> Vec<f32> {
    let sum: u32 = ids.iter().sum();
    let label = |label: u32| (sum.wrapping_mul(label * 2 + 7) % 97) as f32 / 16.0 - 3.0 + offset;
    (0..LABELS.len() as u32).map(label).collect()
}

pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

impl Infer for Fake {
    fn describe(&self) -> String {
        "fake".to_owned()
    }
    fn config(&self) -> &ModelConfig {
        &self.config
    }
    fn num_labels(&self) -> usize {
        LABELS.len()
    }
    fn infer(&self, batch: &PackedBatch) -> Result<Logits, EngineError> {
        if self.tried.swap(true, Ordering::Relaxed) {
            self.gate.pass(batch.num_tokens(), batch.num_texts());
        }
        assert!(!batch.token_ids().contains(&self.fatal), "on purpose");
        let ids = batch.token_ids();
        let values = batch.ranges().flat_map(|range| logits(&ids[range], self.offset)).collect();
        Ok(Logits { values, num_labels: LABELS.len() })
    }
}

/// The longest text that the fake classifier reads, in tokens.
pub const MAX_LENGTH: usize = 32;

pub fn tokenizer() -> Tokenizer {
    Tokenizer::bundled().with_max_length(MAX_LENGTH).unwrap()
}

/// A classifier of a fake engine.
pub fn classifier(gate: &Arc<Gate>, offset: f32) -> Classifier {
    with_embeddings(gate, offset, tokenizer().vocabulary_size())
}

/// A classifier of a fake engine with embeddings for ids below `rows`.
pub fn with_embeddings(gate: &Arc<Gate>, offset: f32, rows: usize) -> Classifier {
    let fatal = tokenizer().encode(FATAL).unwrap().ids[1];
    let config = ModelConfig { vocab_size: rows, ..ModelConfig::preset("4L-312D").unwrap() };
    let gate = gate.clone();
    Classifier {
        engine: Box::new(Fake { config, gate, offset, fatal, tried: AtomicBool::new(false) }),
        tokenizer: tokenizer(),
        labels: LabelSet::new(LABELS).unwrap(),
        thresholds: Thresholds::fixed(0.5, LABELS.len()),
        about: About {
            model_id: format!("fake {offset}"),
            model_sha: "0".repeat(64),
            model_dtype: "float32".to_owned(),
        },
    }
}

/// A running server; it stops when dropped.
pub struct Fixture {
    pub address: SocketAddr,
    pub gate: Arc<Gate>,
    pub reloader: Reloader,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    running: Option<JoinHandle<bool>>,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With other settings than the default.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings =
            Settings { address: SocketAddr::from(([127, 0, 0, 1], 0)), ..Settings::default() };
        change(&mut settings);
        let gate = Arc::new(Gate::default());
        let classifier = classifier(&gate, 0.0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = runtime.block_on(Server::bind(settings, classifier)).unwrap();
        let (address, reloader) = (server.local_address().unwrap(), server.reloader());
        let (stop, stopped) = oneshot::channel();
        let running = thread::spawn(move || {
            runtime.block_on(server.run(async {
                let _ = stopped.await;
            }))
        });
        Self { address, gate, reloader, stop: Mutex::new(Some(stop)), running: Some(running) }
    }

    /// Tells the server to stop.
    pub fn stop(&self) {
        self.stop.lock().unwrap().take();
    }

    /// Waits until it has; returns whether all that it had accepted was answered.
    pub fn stopped(mut self) -> bool {
        self.stop();
        self.running.take().unwrap().join().unwrap()
    }

    pub fn connect(&self) -> Client {
        Client::new(self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.connect().send("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.connect().post(path, body)
    }

    /// A sample of `/metrics`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until a sample of `/metrics` has a value; one that never has it fails the test.
    #[track_caller]
    pub fn wait_for_metric(&self, name: &str, value: f64) {
        let started = Instant::now();
        while self.metric(name) != value {
            assert!(started.elapsed() < Duration::from_secs(120), "{name} is not {value}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.gate.open();
        self.stop();
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// Fails the test unless it is this error, whole.
    #[track_caller]
    pub fn is_error(&self, status: u16, error_type: &str, limit: Option<&str>) -> Value {
        let body = self.json();
        assert_eq!(self.status, status, "{body}");
        assert_eq!(body["error_type"], error_type, "{body}");
        assert_eq!(body["limit"].as_str(), limit, "{body}");
        assert!(body["error"].as_str().is_some_and(|error| error.len() > 10), "{body}");
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"), "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        body
    }
}

/// A connection.
pub struct Client {
    pub stream: TcpStream,
    /// What was read beyond the last answer.
    read: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        // A server that is stuck fails the test instead of holding it up.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], body.to_string().as_bytes())
    }

    /// A request with JSON (unless a header says otherwise), and its answer.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.write(&request(method, path, headers, body)).unwrap();
        self.answer().expect("an answer")
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next answer; `None` where the connection ends before one begins.
    pub fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if !self.more() {
                let left = String::from_utf8_lossy(&self.read);
                assert!(left.is_empty(), "half an answer: {left}");
                return None;
            }
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers: Vec<(String, String)> = lines.map(header).collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            assert!(self.more(), "an answer that ends early");
        }
        answer.body = self.read.drain(..length).collect();
        Some(answer)
    }

    /// Reads more; whether there was any.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.read.extend_from_slice(&buffer[..read]);
                true
            }
            // What was sent after the server had closed comes back as a reset.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n").into_bytes();
    let has = |name: &str| headers.iter().any(|(found, _)| *found == name);
    if !has("content-type") && method == "POST" {
        bytes.extend_from_slice(b"content-type: application/json\r\n");
    }
    if !has("content-length") && !has("transfer-encoding") && method == "POST" {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}
