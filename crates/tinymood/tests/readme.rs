//! The README's commands, run as they stand there: each `console` block in one folder, in order.
//! Lines shown as output must come out, in their order; `...` stands for any lines. Numbers may differ, but
//! those below 1 not by much: figures come out alike on other machines, not the same.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use clap::{CommandFactory, Parser};
use common::{json, tinymood};
use serde_json::Value;
use tinymood::args::Cli;

/// A command and the lines shown under it.
struct Shown {
    command: String,
    lines: Vec<String>,
}

fn shown(readme: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match (line, line.strip_prefix("$ ")) {
            ("```console", _) => inside = true,
            ("```", _) => inside = false,
            (_, Some(command)) if inside => {
                all.push(Shown { command: command.to_owned(), lines: Vec::new() });
            }
            _ if inside => {
                all.last_mut().expect("output follows a command").lines.push(line.into())
            }
            _ => {}
        }
    }
    all
}

/// A line without its numbers and the width of its gaps.
fn pattern(line: &str) -> String {
    let digits = |c: char| if c.is_ascii_digit() { '#' } else { c };
    let text: String = line.chars().map(digits).collect();
    let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    words.iter_mut().for_each(|word| {
        while word.contains("##") {
            *word = word.replace("##", "#");
        }
    });
    words.join(" ")
}

/// How far a figure may be from what is shown.
const FAR: f64 = 0.15;

/// Whether a line is what is shown: the same words, and figures near those shown.
fn is_like(shown: &str, found: &str) -> bool {
    let figures = |line: &str| -> Vec<f64> {
        let words = line.split(|c: char| !c.is_ascii_digit() && c != '.');
        let figures =
            words.filter(|word| word.starts_with("0.")).map(|word| word.trim_end_matches('.'));
        figures.filter_map(|word| word.parse().ok()).collect()
    };
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= FAR;
    pattern(shown) == pattern(found) && figures(shown).iter().zip(&figures(found)).all(near)
}

#[test]
fn figures_far_from_those_shown_are_not_alike() {
    assert!(is_like("micro_f1 0.595, rows 12", "micro_f1  0.62, rows 3"));
    assert!(!is_like("micro_f1 0.595, rows 12", "micro_f1 0.087, rows 12"));
    assert!(!is_like("micro_f1 0.595", "macro_f1 0.595"));
}

#[test]
fn the_commands_of_the_readme_do_what_it_shows() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let commands = shown(&fs::read_to_string(readme).unwrap());
    assert!(commands.len() >= 6, "only {} commands", commands.len());
    let place = tempfile::tempdir().unwrap();
    let template = tinymood(place.path());
    let binary = Path::new(template.get_program()).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    for Shown { command, lines } in commands {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{command} 2>&1")).current_dir(place.path());
        shell.env("PATH", format!("{}:{path}", binary.display()));
        for (name, value) in template.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "$ {command}\n{said}");
        let mut found = said.lines();
        for line in lines.iter().filter(|line| !["", "..."].contains(&line.trim())) {
            assert!(found.any(|found| is_like(line, found)), "$ {command}\nno {line:?} in\n{said}");
        }
    }
}

/// The words of a shell's line up to its comment, pipe or redirection; none of a line that is not literal.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            ('$' | '…', _) => return None,
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take()),
            ('#' | '|' | '>' | '&', None) if word.is_none() => break,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// The calls of the program in a text: lines, joined where they go on, up to what is said of them.
fn calls(text: &str) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        let part = line.trim().trim_end_matches('\\').trim_end();
        match joined.last_mut().filter(|_| goes_on) {
            Some(last) => last.extend([" ", part]),
            None => joined.push(part.to_owned()),
        }
        goes_on = line.ends_with('\\');
    }
    let calls = joined.iter().filter_map(|line| {
        let line = line.strip_prefix("$ ").unwrap_or(line);
        let line = line.strip_prefix("target/release/").unwrap_or(line);
        let line = line.replacen("cargo run --release --", "tinymood", 1);
        let call = line.split_once("  ").map_or(&*line, |(call, _)| call);
        call.starts_with("tinymood ").then(|| call.to_owned())
    });
    calls.collect()
}

#[test]
fn every_command_that_is_shown_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut shown = Vec::new();
    for file in ["README.md", "assets/README.md", "benchmarks/README.md", "benchmarks/quality.md"] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        // Odd parts are code: what stands between fences.
        let code = text.split("```").skip(1).step_by(2);
        shown.extend(code.flat_map(calls).map(|call| (file.to_owned(), call)));
    }
    let command = Cli::command();
    for of in std::iter::once(&command).chain(command.get_subcommands()) {
        let help = of.get_after_help().map(ToString::to_string).unwrap_or_default();
        shown.extend(calls(&help).into_iter().map(|call| (of.get_name().to_owned(), call)));
    }
    assert!(shown.len() > 40, "{shown:?}");
    for (place, call) in shown {
        let Some(words) = words(&call) else { continue };
        if let Err(error) = Cli::try_parse_from(words) {
            panic!("{place}: {call}\n{error}");
        }
    }
}

/// A server of the bundled classifier; killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut command = tinymood(folder);
        command.args(["serve", "--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Self { child, address }
    }

    fn post(&self, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (address, length) = (&self.address, body.len());
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        json(answer.split_once("\r\n\r\n").unwrap().1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the README holds between a fence of `kind` and the next, where `mark` stands in it.
fn block<'a>(readme: &'a str, kind: &str, mark: &str) -> &'a str {
    let mut parts = readme.split("```").skip(1).step_by(2);
    let found = parts.find(|part| part.starts_with(&format!("{kind}\n")) && part.contains(mark));
    &found.unwrap_or_else(|| panic!("no {kind} block with {mark}"))[kind.len() + 1..]
}

/// Checks that an answer holds what is shown: scores to 0.02, since instruction sets differ, thresholds to the
/// digits shown, all else as it stands there.
#[track_caller]
fn assert_shown(shown: &Value, found: &Value, place: &str) {
    match (shown, found) {
        (Value::Object(shown), Value::Object(_)) => {
            shown.iter().for_each(|(name, value)| assert_shown(value, &found[name], name));
        }
        (Value::Array(shown), Value::Array(found)) => {
            assert!(shown.len() <= found.len(), "{place}: {found:?}");
            shown.iter().zip(found).for_each(|(shown, found)| assert_shown(shown, found, place));
        }
        (Value::Number(shown), Value::Number(found)) if ["score", "threshold"].contains(&place) => {
            let (shown, found) = (shown.as_f64().unwrap(), found.as_f64().unwrap());
            let far = if place == "score" { 0.02 } else { 0.000_05 };
            assert!((shown - found).abs() <= far, "{place}: {shown}, found {found}");
        }
        _ => assert_eq!(shown, found, "{place}"),
    }
}

#[test]
fn the_answers_of_the_server_are_those_shown() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(place.path());

    let call = block(&readme, "sh", "curl -s localhost:8080/v1/emotions");
    let body = call.split_once("-d '").unwrap().1.split_once('\'').unwrap().0;
    let shown = block(&readme, "json", "\"results\"").replace(", ...", "");
    assert_shown(&json(&shown), &server.post("/v1/emotions", body), "");

    let Ok(version) = Command::new("python3").arg("--version").output() else {
        return println!("not run, there is no python3: the README's Python");
    };
    assert!(version.status.success());
    let program = block(&readme, "python", "urllib.request");
    let (_, printed) = program.rsplit_once("  # ").unwrap();
    let program = program.replace("localhost:8080", &server.address);
    let output = Command::new("python3").args(["-c", &program]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), printed.trim(), "{}", String::from_utf8_lossy(&output.stderr));
}
