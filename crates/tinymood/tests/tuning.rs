//! `thresholds.json`: thresholds and temperatures, and the weights that they belong to.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use common::{QUICK, copied_model, copy_model, json, make_too_sure, rows, run, run_with, tinymood};
use serde_json::{Value, json};
use tinymood::Model;
use tinymood::args::{GlobalArgs, PrecisionArg};

const TEXTS: [&str; 3] = ["so happy", "this is awful, i hate it", "who knows"];

/// A folder with a model in `copy` that is three times as sure as it may be.
fn too_sure() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("copy");
    fs::create_dir(&copy).unwrap();
    copy_model(&copy);
    make_too_sure(&copy);
    place
}

fn tuning(model: &Path) -> Value {
    json(&fs::read_to_string(model.join("thresholds.json")).unwrap())
}

/// The scores of TEXTS, by label.
fn scores(folder: &Path, model: &str) -> Vec<BTreeMap<String, f64>> {
    let arguments = ["predict", "--model", model, "--precision", "f32", "--scores"];
    let said = run_with(folder, &[&arguments[..], &TEXTS].concat(), b"").ok();
    rows(&said.stdout).into_iter().map(|row| of_labels(&row["scores"])).collect()
}

fn of_labels(scores: &Value) -> BTreeMap<String, f64> {
    let scores = scores.as_object().unwrap().iter();
    scores.map(|(label, score)| (label.clone(), score.as_f64().unwrap())).collect()
}

/// `sigmoid(logit / temperature)` of TEXTS, with the logits of the weights alone.
fn expected(model: &Path) -> Vec<BTreeMap<String, f64>> {
    let bare = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(model).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, bare.path().join(path.file_name().unwrap())).unwrap();
    }
    fs::remove_file(bare.path().join("thresholds.json")).unwrap();
    let (threads, precision, cache_dir) = (None, PrecisionArg::F32, None);
    let global = GlobalArgs { threads, precision, cache_dir, offline: true, quiet: true };
    let opened = Model::open(bare.path().to_str(), &global).unwrap();
    let logits = opened.logits(&opened.tokenizer.encode_all(&TEXTS).unwrap()).unwrap();
    let temperatures = of_labels(&tuning(model)["temperatures"]);
    let row = |logits: &[f32]| {
        let named = opened.labels.names().iter().zip(logits);
        let score = |(label, logit): (&String, &f32)| {
            let x = f64::from(*logit) / temperatures[label];
            (label.clone(), 1.0 / (1.0 + (-x).exp()))
        };
        named.map(score).collect()
    };
    logits.rows().map(row).collect()
}

#[track_caller]
fn assert_near(found: &[BTreeMap<String, f64>], expected: &[BTreeMap<String, f64>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        for (label, score) in found {
            let difference = (score - expected[label]).abs();
            assert!(difference < 1e-6, "{label}: {score} {}", expected[label]);
        }
    }
}

#[test]
fn calibrating_replaces_one_file_and_helps() {
    let place = too_sure();
    let here = place.path();
    let copy = here.join("copy");
    let evaluate = "evaluate --model copy --data sample --json --bootstrap 0";
    let loss = || json(&run(here, evaluate).ok().stdout)["loss"].as_f64().unwrap();
    let files = || -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
        let entries = fs::read_dir(&copy).unwrap().map(Result::unwrap);
        let file = |entry: fs::DirEntry| {
            let modified = entry.metadata().unwrap().modified().unwrap();
            (entry.file_name().into_string().unwrap(), (fs::read(entry.path()).unwrap(), modified))
        };
        entries.map(file).collect()
    };
    let (before, files_before) = (loss(), files());
    let raw = scores(here, "copy");
    let tune = "tune --model copy --data sample --calibrate --json";
    // A dry run says the same and writes nothing.
    let dry = json(&run(here, &format!("{tune} --dry-run")).ok().stdout);
    assert_eq!((&dry["saved"], files() == files_before), (&json!(false), true));
    let said = run(here, tune).ok();
    assert!(said.stderr.contains("calibrated: "), "{}", said.stderr);
    let document = json(&said.stdout);
    assert_eq!(dry["temperatures"], document["temperatures"]);

    // Thresholds and temperatures are one file, so a kill can part neither from the other nor from the weights.
    let files_after = files();
    assert!(files_after.keys().eq(files_before.keys()), "nothing is left behind");
    let changed = files_after.iter().filter(|(name, file)| files_before[*name] != **file);
    assert_eq!(changed.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["thresholds.json"]);

    let after = loss();
    assert!(after < before - 0.01, "{before} {after}");
    let found = document["evaluation"]["loss"].as_f64().unwrap();
    assert!((found - after).abs() < 1e-6, "{found} {after}");
    let log_loss = |kind: &str| document["calibration"]["log_loss"][kind].as_f64().unwrap();
    assert!(log_loss("one").min(log_loss("per_label")) < log_loss("uncalibrated"), "{document}");
    let macro_f1 = |part: &str| document[part]["macro_f1"].as_f64().unwrap();
    assert!(macro_f1("cross_validated") < macro_f1("fitted_exactly"), "{document}");

    let calibrated = scores(here, "copy");
    assert_near(&calibrated, &expected(&copy));
    // Again, and nothing is divided twice.
    let again = json(&run(here, tune).ok().stdout);
    assert_eq!(again["temperatures"], document["temperatures"]);

    // Without the flag, it is taken back.
    let plain = run(here, "tune --model copy --data sample").ok();
    assert!(plain.stderr.contains("calibrated: no longer"), "{}", plain.stderr);
    assert_eq!(tuning(&copy).get("temperatures"), None);
    assert_eq!(scores(here, "copy"), raw);
}

#[test]
fn what_answers_is_calibrated_everywhere() {
    let place = too_sure();
    let here = place.path();
    run(here, "tune --model copy --data sample --calibrate").ok();
    let expected = expected(&here.join("copy"));

    // The server.
    let mut serve = tinymood(here);
    serve.args(["serve", "copy", "--port", "0", "--precision", "f32"]);
    let mut serve = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(serve.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
    let ask = |path: &str, body: Value| -> Value {
        let mut stream = TcpStream::connect(&address).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        json(answer.split_once("\r\n\r\n").unwrap().1)
    };
    let emotions = ask("/v1/emotions", json!({"texts": TEXTS, "all_scores": true}));
    let predict = ask("/predict", json!({"inputs": TEXTS, "parameters": {"top_k": 28}}));
    let named = |list: &Value| -> BTreeMap<String, f64> {
        let list = list.as_array().unwrap().iter();
        let pair = |one: &Value| {
            (one["label"].as_str().unwrap().to_owned(), one["score"].as_f64().unwrap())
        };
        list.map(pair).collect()
    };
    serve.kill().unwrap();
    serve.wait().unwrap();
    let results = emotions["results"].as_array().unwrap().iter();
    let scores_of = |result: &Value| match &result["scores"] {
        Value::Array(_) => named(&result["scores"]),
        scores => of_labels(scores),
    };
    let close = |found: Vec<BTreeMap<String, f64>>| {
        let near = |(found, expected): (&BTreeMap<String, f64>, &BTreeMap<String, f64>)| {
            found.len() == 28 && found.iter().all(|(name, p)| (p - expected[name]).abs() < 1e-4)
        };
        assert!(found.iter().zip(&expected).all(near), "{found:?} {expected:?}");
    };
    close(results.map(scores_of).collect());
    close(predict.as_array().unwrap().iter().map(named).collect());

    // Copies of the model: int8 has the temperatures, floats are divided by them for other tools.
    run(here, "export --int8 --model copy --output small --data sample --force").ok();
    assert_eq!(
        tuning(&here.join("small"))["temperatures"],
        tuning(&here.join("copy"))["temperatures"]
    );
    assert_near(&scores(here, "small"), &self::expected(&here.join("small")));
    run(here, "tune --model small --data sample --calibrate").ok();
    run(here, "export --f32 --model copy --output floats").ok();
    assert_eq!(tuning(&here.join("floats")).get("temperatures"), None);
    assert!(fs::read_to_string(here.join("floats/README.md")).unwrap().contains("## Calibration"));
    assert_near(&scores(here, "floats"), &expected);
}

#[test]
fn a_report_knows_predictions_of_other_temperatures() {
    let place = tempfile::tempdir().unwrap();
    let here = place.path();
    run(here, &format!("train {QUICK} --max-steps 4 --output run --quiet")).ok();
    let path = here.join("run/best/thresholds.json");
    let mut changed = json(&fs::read_to_string(&path).unwrap());
    let labels: Vec<String> = changed["thresholds"].as_object().unwrap().keys().cloned().collect();
    let temperatures = labels.iter().map(|label| (label.clone(), json!(2.5)));
    changed["temperatures"] = Value::Object(temperatures.collect());
    fs::write(&path, changed.to_string()).unwrap();
    let header = || {
        let kept = fs::read_to_string(here.join("run/predictions.jsonl")).unwrap();
        json(kept.lines().next().unwrap())
    };
    assert_eq!(header().get("temperatures"), None);
    run(here, "report run").ok();
    assert_eq!(header()["temperatures"][27], 2.5, "judged anew");
    let report = json(&fs::read_to_string(here.join("run/report.json")).unwrap());
    let evaluated = json(&run(here, "evaluate --model run --json --bootstrap 0").ok().stdout);
    let loss = |document: &Value| document["loss"].as_f64().unwrap();
    let (found, expected) = (loss(&report["run"]["evaluation"]), loss(&evaluated));
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");

    // Teachers are calibrated too, and their kept answers known by it.
    fs::create_dir(here.join("data")).unwrap();
    let rows: String = (0..20).map(|row| format!("so happy {row}\tjoy\n")).collect();
    fs::write(here.join("data/train.tsv"), &rows).unwrap();
    let train = |output: &str| {
        let train = format!("train {QUICK} --data data --labels joy,anger --teacher run");
        run(here, &format!("{train} --max-steps 1 --output {output}")).ok();
        fs::read(here.join(output).join("teacher.safetensors")).unwrap()
    };
    let calibrated = train("one");
    changed.as_object_mut().unwrap().remove("temperatures");
    fs::write(&path, changed.to_string()).unwrap();
    assert!(train("two") != calibrated, "not those of the cache");
}

#[test]
fn thresholds_of_other_weights_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let here = place.path();
    for (name, seed) in [("a", 1), ("b", 2)] {
        let seed = format!("--seed {seed} --max-steps 3 --output {name} --quiet");
        run(here, &format!("train {QUICK} {seed}")).ok();
    }
    let own = fs::read(here.join("a/best/thresholds.json")).unwrap();
    fs::copy(here.join("b/best/thresholds.json"), here.join("a/best/thresholds.json")).unwrap();
    let expected = ["thresholds.json", "model.safetensors", "classifier_sha256", "hint:", "tune"];
    for command in ["predict fine --model", "evaluate --model", "export --f32 --output x --model"] {
        run(here, &format!("{command} a")).fails(1, &expected);
    }
    run(here, "serve --port 0 a").fails(1, &expected[..3]);
    fs::copy(here.join("b/evaluation.json"), here.join("a/evaluation.json")).unwrap();
    let said = run(here, "report a").ok();
    let page = fs::read_to_string(here.join("a/report.html")).unwrap();
    for note in ["thresholds.json: of other weights", "evaluation.json is of another model"] {
        assert!(page.contains(note), "no {note:?} in {} {page}", said.stderr);
    }
    // Either way out of the hint.
    run(here, "tune --model a").ok();
    run(here, "predict fine --model a").ok();
    assert_eq!(
        fs::read(here.join("a/best/thresholds.json")).unwrap(),
        own,
        "as training tuned them"
    );
    fs::remove_file(here.join("a/best/thresholds.json")).unwrap();
    run(here, "predict fine --model a/best").ok();
    // A file of an earlier version names no weights.
    let mut earlier = json(&String::from_utf8(own).unwrap());
    assert_eq!(earlier["classifier_sha256"].as_str().unwrap().len(), 64);
    earlier.as_object_mut().unwrap().remove("classifier_sha256");
    fs::write(here.join("b/best/thresholds.json"), earlier.to_string()).unwrap();
    run(here, "predict fine --model b").ok();
    // A field that is not known may change what the others mean.
    earlier["version"] = json!(2);
    fs::write(here.join("b/best/thresholds.json"), earlier.to_string()).unwrap();
    run(here, "predict fine --model b").fails(1, &["thresholds.json", "unknown field `version`"]);
}

#[test]
fn calibrating_on_few_or_separable_rows_is_refused_or_bounded() {
    let place = copied_model();
    let here = place.path();
    let before = fs::read(here.join("thresholds.json")).unwrap();
    let rows = |number: usize| -> String {
        let row = |row: usize| match row % 2 {
            0 => format!("well done, number {row}\tpraise\n"),
            _ => format!("this is bad, number {row}\tblame\n"),
        };
        (0..number).map(row).collect()
    };
    for (folder, number) in [("few", 8), ("many", 60)] {
        fs::create_dir(here.join(folder)).unwrap();
        fs::write(here.join(folder).join("train.tsv"), rows(60)).unwrap();
        fs::write(here.join(folder).join("dev.tsv"), rows(number)).unwrap();
    }
    // Few rows of the model's own labels.
    fs::write(here.join("few.tsv"), "so happy\tjoy\nso sad\tsadness\n").unwrap();
    run(here, "tune --model . --data few.tsv --calibrate")
        .fails(1, &["too few rows", "2 with", "hint:", "--calibrate"]);
    assert_eq!(fs::read(here.join("thresholds.json")).unwrap(), before);

    let train = format!("train {QUICK} --learning-rate 2e-3 --max-steps 60 --quiet");
    run(here, &format!("{train} --data many --labels praise,blame --output run")).ok();
    let score = || {
        let said = run(here, "predict --model run --scores --json --quiet hello").ok();
        of_labels(&common::rows(&said.stdout)[0]["scores"])
    };
    let logit = |p: f64| (p.clamp(1e-6, 1.0 - 1e-6) / (1.0 - p.clamp(1e-6, 1.0 - 1e-6))).ln();
    let raw = score();
    let labels = "--labels praise,blame";
    run(here, &format!("tune --model run --data few {labels} --calibrate"))
        .fails(1, &["too few rows", "8 with 8 labels that hold", "at least 20"]);
    let tuned = run(here, &format!("tune --model run --data many {labels} --calibrate"));
    if tuned.status != Some(0) {
        tuned.fails(1, &["does not help", "log loss", "nothing was written"]);
        return;
    }
    for temperature in of_labels(&tuning(&here.join("run/best"))["temperatures"]).values() {
        assert!((0.25..=4.0).contains(temperature), "{temperature}");
    }
    for (label, p) in score() {
        let (found, most) = (logit(p).abs(), 4.0 * logit(raw[&label]).abs() + 0.01);
        assert!(found <= most, "{label}: {p} was {}", raw[&label]);
    }
}
