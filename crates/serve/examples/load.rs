//! Load on a server from a process of its own: many connections, one text a request, every answer
//! checked. `benchmarks/serve/load.py` runs it.
//!
//! ```text
//! load ADDRESS PATH EXPECTED CONNECTIONS SECONDS [RATE]
//! ```
//!
//! `EXPECTED` is what `tinymood predict --json --scores` wrote: texts and their scores. Without a rate each
//! connection sends as soon as it has its answer; with one, requests are due at even times, all connections
//! together, and their time counts from when they were due. Prints one JSON object.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How far a score may be from the offline one: `predict` prints six decimals.
const TOLERANCE: f64 = 2e-6;

/// A text as it is sent, and what must come back.
struct Question {
    request: Vec<u8>,
    scores: HashMap<String, f64>,
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    /// Seconds from due to answer, of answers and of refusals.
    answered: Vec<f64>,
    refused: Vec<f64>,
    wrong: usize,
    lost: usize,
    other: usize,
    /// The farthest that a score was from the offline one.
    worst: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, expected, connections, seconds, rate @ ..] = arguments.as_slice() else {
        return Err("usage: load ADDRESS PATH EXPECTED CONNECTIONS SECONDS [RATE]".into());
    };
    let questions = Arc::new(questions(path, &std::fs::read_to_string(expected)?)?);
    let connections: usize = connections.parse()?;
    let seconds: f64 = seconds.parse()?;
    let rate: Option<f64> = rate.first().map(|rate| rate.parse()).transpose()?;
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now() + Duration::from_millis(200);
    let end = start + Duration::from_secs_f64(seconds);
    let clients = (0..connections).map(|_| {
        let (questions, next, address) = (questions.clone(), next.clone(), address.clone());
        let builder = thread::Builder::new().stack_size(256 << 10);
        builder.spawn(move || client(&address, &questions, &next, start, end, rate))
    });
    let clients: Vec<_> = clients.collect::<Result<_, _>>()?;
    let mut all = Seen::default();
    for client in clients {
        let seen = client.join().map_err(|_| "a client panicked")?;
        all.answered.extend(seen.answered);
        all.refused.extend(seen.refused);
        all.wrong += seen.wrong;
        all.lost += seen.lost;
        all.other += seen.other;
        all.worst = all.worst.max(seen.worst);
    }
    let took = start.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({
            "connections": connections, "seconds": took, "rate": rate,
            "answered": all.answered.len(), "answered_per_second": all.answered.len() as f64 / took,
            "answered_ms": quantiles(&mut all.answered),
            "refused": all.refused.len(), "refused_ms": quantiles(&mut all.refused),
            "wrong": all.wrong, "lost": all.lost, "other_status": all.other, "worst_score": all.worst,
        })
    );
    Ok(())
}

/// Each text once, in the order of the file.
fn questions(path: &str, lines: &str) -> Result<Vec<Question>, Box<dyn std::error::Error>> {
    let question = |line: &str| -> Result<Question, Box<dyn std::error::Error>> {
        let line: Value = serde_json::from_str(line)?;
        let scores = line["scores"].as_object().ok_or("no scores: run predict with --scores")?;
        let scores =
            scores.iter().filter_map(|(label, score)| Some((label.clone(), score.as_f64()?)));
        let body = json!({ "inputs": line["text"] }).to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Question { request: request.into_bytes(), scores: scores.collect() })
    };
    lines.lines().map(question).collect()
}

fn client(
    address: &str,
    questions: &[Question],
    next: &AtomicUsize,
    start: Instant,
    end: Instant,
    rate: Option<f64>,
) -> Seen {
    let mut seen = Seen::default();
    let mut stream = None;
    let mut buffer = Vec::new();
    thread::sleep(start.saturating_duration_since(Instant::now()));
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = match rate {
            Some(rate) => start + Duration::from_secs_f64(number as f64 / rate),
            None => Instant::now(),
        };
        if due >= end {
            return seen;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let question = &questions[number % questions.len()];
        let asked = ask(&mut stream, address, &question.request, &mut buffer);
        let took = due.elapsed().as_secs_f64();
        match asked {
            Ok((200, body)) => {
                seen.answered.push(took);
                match distance(body, question) {
                    Some(distance) => {
                        seen.worst = seen.worst.max(distance);
                        seen.wrong += usize::from(distance > TOLERANCE);
                    }
                    None => seen.wrong += 1,
                }
            }
            Ok((429, _)) => seen.refused.push(took),
            Ok(_) => seen.other += 1,
            Err(_) => {
                seen.lost += 1;
                stream = None;
            }
        }
    }
}

/// Status and body of one request.
fn ask<'a>(
    stream: &mut Option<TcpStream>,
    address: &str,
    request: &[u8],
    buffer: &'a mut Vec<u8>,
) -> io::Result<(u16, &'a [u8])> {
    let stream = match stream {
        Some(stream) => stream,
        none => {
            let connected = TcpStream::connect(address)?;
            connected.set_nodelay(true)?;
            connected.set_read_timeout(Some(Duration::from_secs(60)))?;
            none.insert(connected)
        }
    };
    stream.write_all(request)?;
    buffer.clear();
    let mut end = None; // of head and of body
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "no HTTP");
    loop {
        let mut part = [0; 8 << 10];
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => buffer.extend_from_slice(&part[..read]),
        }
        if end.is_none()
            && let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let text = std::str::from_utf8(&buffer[..head]).map_err(|_| broken())?;
            let lower = text.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|l| l.trim().parse().ok()).ok_or_else(broken)?;
            end = Some((head + 4, head + 4 + length));
        }
        if let Some((head, end)) = end
            && buffer.len() >= end
        {
            let status = std::str::from_utf8(&buffer[9..12]).ok().and_then(|s| s.parse().ok());
            return Ok((status.ok_or_else(broken)?, &buffer[head..end]));
        }
    }
}

/// How far the answer's scores are from the offline ones at most; `None` where labels differ.
fn distance(body: &[u8], question: &Question) -> Option<f64> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let scores = answer.as_array()?;
    if scores.len() != question.scores.len() {
        return None;
    }
    let mut worst = 0.0_f64;
    for score in scores {
        let offline = question.scores.get(score["label"].as_str()?)?;
        worst = worst.max((score["score"].as_f64()? - offline).abs());
    }
    Some(worst)
}

/// Median, 99th percentile and largest, in milliseconds.
fn quantiles(seconds: &mut [f64]) -> Value {
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = ((seconds.len() as f64 * share) as usize).min(seconds.len().saturating_sub(1));
        seconds.get(index).map(|seconds| seconds * 1e3)
    };
    json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}
