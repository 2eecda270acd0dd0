//! Configurations and heads of models, as `goldens/heads` has them: a tiny classifier, and what
//! transformers' pipeline answers with it when `config.json` names the problem or the labels in various
//! ways (`reference/heads.py`).

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tinymood_weights::read_safetensors;

use crate::common::{Ran, json, rows, run, run_with, tinymood};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/heads")
}

fn heads() -> Value {
    json(&fs::read_to_string(goldens().join("heads.json")).unwrap())
}

fn texts(heads: &Value) -> Vec<&str> {
    heads["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn case<'a>(heads: &'a Value, name: &str) -> &'a Value {
    heads["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap()
}

/// The tiny classifier in a folder of its own, with `fields` in its `config.json`.
fn model(folder: &Path, fields: &Value) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    for file in ["model.safetensors", "vocab.txt", "tokenizer_config.json"] {
        fs::copy(goldens().join(file), folder.join(file)).unwrap();
    }
    let mut config = json(&fs::read_to_string(goldens().join("config.json")).unwrap());
    let fields = fields.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(fields);
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    folder.to_owned()
}

/// A folder with a model `m` of the named case.
fn place(heads: &Value, name: &str) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    model(&place.path().join("m"), &case(heads, name)["config"]);
    place
}

fn predict(folder: &Path, model: &str, flags: &str, texts: &[&str]) -> Ran {
    let input = format!("{}\n", texts.join("\n"));
    let mut arguments = vec!["predict", "--model", model, "--precision", "f32", "--quiet"];
    arguments.extend(flags.split_whitespace());
    run_with(folder, &arguments, input.as_bytes())
}

/// The scores of a label are those of the pipeline, within 1e-4.
#[track_caller]
fn assert_near(found: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-4, "{what}: {found}, expected {expected}");
}

#[test]
fn answers_are_those_of_the_pipeline() {
    let heads = heads();
    let texts = texts(&heads);
    for case in heads["cases"].as_array().unwrap() {
        let (name, place) = (case["name"].as_str().unwrap(), tempfile::tempdir().unwrap());
        model(&place.path().join("m"), &case["config"]);
        let said = predict(place.path(), "m", "--scores --format jsonl", &texts);
        if case.get("refused").is_some() {
            let what = if name == "two of three" { "[3, 16]" } else { "id2label" };
            said.fails(1, &[what, "m"]);
            continue;
        }
        let answers = case["answers"].as_array().unwrap();
        let is_single = case["config"]["problem_type"] == "single_label_classification";
        for (row, answer) in rows(&said.ok().stdout).iter().zip(answers) {
            let scores = row["scores"].as_object().unwrap();
            assert_eq!(scores.len(), 3, "{name}: {row}");
            for pair in answer.as_array().unwrap() {
                let label = pair[0].as_str().unwrap();
                assert_near(scores[label].as_f64().unwrap(), &pair[1], &format!("{name} {label}"));
            }
            let held: Vec<&str> = row["labels"]
                .as_array()
                .unwrap()
                .iter()
                .map(|l| l["label"].as_str().unwrap())
                .collect();
            let expected: Vec<&str> = answer
                .as_array()
                .unwrap()
                .iter()
                .enumerate()
                .filter(
                    |(rank, pair)| {
                        if is_single { *rank == 0 } else { pair[1].as_f64() >= Some(0.5) }
                    },
                )
                .map(|(_, pair)| pair[0].as_str().unwrap())
                .collect();
            assert_eq!(held, expected, "{name}");
        }
    }
}

#[test]
fn a_problem_that_nobody_named_is_said() {
    let heads = heads();
    for (name, is_said) in [("no problem_type, sigmoid asked for", true), ("multi-label", false)] {
        let place = place(&heads, name);
        let said = run(place.path(), "predict --model m no").ok().stderr;
        assert_eq!(
            said.contains("names no problem_type, so each label has a sigmoid"),
            is_said,
            "{said}"
        );
    }
}

/// A server of a model; killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(folder: &Path, model: &str) -> Self {
        let mut command = tinymood(folder);
        command.args(["serve", model, "--port", "0", "--precision", "f32", "--quiet"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Self { child, address }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), json(body))
    }
}

#[test]
fn a_server_answers_as_the_pipeline() {
    let heads = heads();
    let texts = texts(&heads);
    for name in ["multi-label", "single-label", "permuted"] {
        let place = place(&heads, name);
        let server = Server::start(place.path(), "m");
        let answers = case(&heads, name)["answers"].as_array().unwrap();
        let is_single = name == "single-label";

        let (_, info) = server.ask("GET", "/info", &Value::Null);
        let function = if is_single { "softmax" } else { "sigmoid" };
        assert_eq!(info["function_to_apply"], function);
        assert_eq!(info["problem_type"], case(&heads, name)["config"]["problem_type"]);

        // Hugging Face's form, and text-embeddings-inference's.
        let nested: Vec<[&str; 1]> = texts.iter().map(|text| [*text]).collect();
        for body in [json!({"inputs": texts, "parameters": {}}), json!({"inputs": nested})] {
            let (status, found) = server.ask("POST", "/predict", &body);
            assert_eq!(status, 200, "{found}");
            for (found, answer) in found.as_array().unwrap().iter().zip(answers) {
                let pairs = found.as_array().unwrap().iter().zip(answer.as_array().unwrap());
                for (found, pair) in pairs {
                    assert_eq!(found["label"], pair[0], "{name}: in the pipeline's order");
                    assert_near(found["score"].as_f64().unwrap(), &pair[1], name);
                }
            }
        }
        // Whoever names a function gets that one.
        let sigmoid = json!({"inputs": texts, "parameters": {"function_to_apply": "sigmoid"}});
        let (_, found) = server.ask("POST", "/predict", &sigmoid);
        let multi = &case(&heads, "multi-label")["answers"][0][0];
        assert_near(found[0][0]["score"].as_f64().unwrap(), &multi[1], "sigmoid");

        let body = json!({"texts": texts, "all_scores": true});
        let (_, found) = server.ask("POST", "/v1/emotions", &body);
        for (result, answer) in found["results"].as_array().unwrap().iter().zip(answers) {
            assert_eq!(result["scores"][0]["label"], answer[0][0], "{name}");
            assert_near(result["scores"][0]["score"].as_f64().unwrap(), &answer[0][1], name);
            assert_eq!(result["scores"][0].get("threshold").is_some(), !is_single, "{result}");
            if is_single {
                assert_eq!(result["labels"].as_array().unwrap().len(), 1, "{result}");
                assert_eq!(result["labels"][0]["label"], answer[0][0]);
            }
        }
        let body = json!({"texts": texts, "threshold": 0.3});
        let (status, found) = server.ask("POST", "/v1/emotions", &body);
        assert_eq!(status, if is_single { 422 } else { 200 }, "{found}");
        assert!(!is_single || found.to_string().contains("threshold"), "{found}");
    }
}

/// Labelled rows for the tiny classifier, with its labels in this order.
fn data(folder: &Path, labels: &[&str]) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("labels.txt"), labels.join("\n")).unwrap();
    let mut rows = String::from("text,labels\n");
    for (text, label) in [
        ("i love this song !", "joy"),
        ("they lost my train", "anger"),
        ("the lake is so still .", "joy"),
        ("no", "calm"),
        ("what a happy day", "joy"),
        ("she and i hate rain", "anger"),
        ("old friend of the dog", "calm"),
    ] {
        if labels.contains(&label) {
            rows += &format!("{text},{label}\n");
        }
    }
    fs::write(folder.join("train.csv"), &rows).unwrap();
    fs::write(folder.join("dev.csv"), &rows).unwrap();
}

#[test]
fn a_single_label_model_is_judged_by_its_most_probable_label() {
    let heads = heads();
    let place = place(&heads, "single-label");
    let folder = place.path();
    data(&folder.join("data"), &["joy", "anger", "calm"]);
    let said = run(folder, "evaluate --model m --data data --json --precision f32").ok();
    let found = json(&said.stdout);
    // Every text has one label, and the model says one: micro-F1 is the accuracy.
    let table = fs::read_to_string(folder.join("data/dev.csv")).unwrap();
    let pairs: Vec<(&str, &str)> =
        table.lines().skip(1).map(|line| line.rsplit_once(',').unwrap()).collect();
    let texts: Vec<&str> = pairs.iter().map(|(text, _)| *text).collect();
    let said = rows(&predict(folder, "m", "--format jsonl", &texts).ok().stdout);
    let right = said.iter().zip(&pairs).filter(|(row, pair)| row["labels"][0]["label"] == pair.1);
    let accuracy = right.count() as f64 / pairs.len() as f64;
    assert!(accuracy > 0.0 && accuracy < 1.0, "shows nothing: {accuracy}");
    for figure in ["micro_f1", "subset_accuracy"] {
        assert_near(found[figure].as_f64().unwrap(), &json!(accuracy), figure);
    }
    assert_eq!(found["thresholds"]["policy"], "argmax");
    assert_eq!(found["rows_without_labels"], 0.0);

    let more = fs::read_to_string(folder.join("data/dev.csv")).unwrap() + "rain,\"joy,calm\"\n";
    fs::write(folder.join("data/dev.csv"), more).unwrap();
    let said = run(folder, "evaluate --model m --data data").ok();
    assert!(said.stderr.contains("1 row has several labels or none"), "{}", said.stderr);

    for command in [
        "predict --model m --threshold 0.3 text",
        "evaluate --model m --data data --threshold 0.3",
        "tune --model m --data data",
    ] {
        run(folder, command).fails(1, &["m", "single_label_classification", "hint: "]);
    }
    let top = rows(&predict(folder, "m", "--format jsonl --top-k 2", &["no"]).ok().stdout);
    assert_eq!(top[0]["labels"].as_array().unwrap().len(), 2);
    let words = run(folder, "predict --model m --explain --format jsonl happy").ok();
    assert_eq!(rows(&words.stdout)[0]["explanation"].as_object().unwrap().len(), 1);

    // A file of thresholds can only be a mistake.
    let thresholds =
        json!({"policy": "fixed", "thresholds": {"joy": 0.5, "anger": 0.5, "calm": 0.5}});
    fs::write(folder.join("m/thresholds.json"), thresholds.to_string()).unwrap();
    run(folder, "predict --model m no").fails(1, &["thresholds.json", "exactly one label"]);
}

#[test]
fn an_exported_single_label_model_is_one() {
    let heads = heads();
    let place = place(&heads, "single-label");
    let folder = place.path();
    data(&folder.join("data"), &["calm", "joy", "anger"]);
    run(folder, "export --f32 --model m --output f32").ok();
    let said = run(folder, "export --int8 --model m --output int8 --data data --json --force").ok();
    assert!(json(&said.stdout)["thresholds"].as_str().unwrap().contains("most probable"));
    let texts = texts(&heads);
    let answers = case(&heads, "single-label")["answers"].as_array().unwrap();
    for (form, tolerance) in [("f32", 1e-4), ("int8", 0.1)] {
        let config = fs::read_to_string(folder.join(form).join("config.json")).unwrap();
        assert_eq!(json(&config)["problem_type"], "single_label_classification");
        assert!(!folder.join(form).join("thresholds.json").exists());
        let precision = if form == "f32" { "f32" } else { "auto" };
        let arguments =
            ["predict", "--model", form, "--scores", "--format", "jsonl", "--precision", precision];
        let said = run_with(folder, &arguments, texts.join("\n").as_bytes()).ok();
        for (row, answer) in rows(&said.stdout).iter().zip(answers) {
            let best = answer[0][0].as_str().unwrap();
            let (found, expected) = (&row["scores"][best], &answer[0][1]);
            let apart = (found.as_f64().unwrap() - expected.as_f64().unwrap()).abs();
            assert!(apart < tolerance, "{form}: {found}, expected {expected}");
            assert_eq!(row["labels"].as_array().unwrap().len(), 1, "{form}: {row}");
        }
    }
}

#[test]
fn numbers_are_no_labels() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    for (fields, expected) in [
        (json!({"problem_type": "regression", "num_labels": 3}), &["regression model"][..]),
        (json!({"problem_type": "multi_label"}), &["problem_type", "\"multi_label\""]),
        (json!({"problem_type": 2, "num_labels": 3}), &["problem_type", "is 2"]),
        (json!({"num_labels": 2}), &["[3, 16]", "[2, 16]"]),
        (json!({"id2label": {"0": "a", "1": "b", "2": "c"}, "num_labels": 2}), &["num_labels"]),
    ] {
        model(&folder.join("m"), &fields);
        run(folder, "predict --model m text").fails(1, expected);
        run(folder, "serve m --port 0").fails(1, expected);
    }
    // One output, which nobody named.
    let path = model(&folder.join("m"), &json!({"num_labels": 1})).join("model.safetensors");
    let mut file = read_safetensors(fs::read(&path).unwrap(), &path).unwrap();
    for name in ["classifier.weight", "classifier.bias"] {
        let tensor = file.tensors.get_mut(name).unwrap();
        let width = tensor.values.len() / 3;
        tensor.shape[0] = 1;
        tensor.values = tensor.values[..width].to_vec().into();
    }
    let views = file.tensors.iter().map(|(name, tensor)| tinymood_core::TensorView {
        name: name.as_str().into(),
        shape: tensor.shape.as_slice().into(),
        values: (&*tensor.values).into(),
    });
    tinymood_weights::write_safetensors(&path, &views.collect::<Vec<_>>()).unwrap();
    let refused = |fields: &Value, expected: &[&str]| {
        let config = json(&fs::read_to_string(folder.join("m/config.json")).unwrap());
        let mut changed = config.clone();
        changed.as_object_mut().unwrap().remove("num_labels");
        changed.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        fs::write(folder.join("m/config.json"), changed.to_string()).unwrap();
        let said = run(folder, "predict --model m text");
        fs::write(folder.join("m/config.json"), config.to_string()).unwrap();
        match expected {
            [] => drop(said.ok()),
            expected => drop(said.fails(1, expected)),
        }
    };
    for fields in [json!({}), json!({"num_labels": 1}), json!({"id2label": {"0": "LABEL_0"}})] {
        refused(&fields, &["regression model", "hint: fine-tune its encoder"]);
    }
    let single = json!({"num_labels": 1, "problem_type": "single_label_classification"});
    refused(&single, &["one output", "multi_label_classification"]);
    refused(&json!({"id2label": {"0": "toxic"}}), &[]);

    // The encoder of such a model is as good as any.
    data(&folder.join("data"), &["joy", "anger"]);
    let said = run(folder, &format!("train --init m --data data {ONE_STEP} --output run")).ok();
    assert!(said.stderr.contains("classifier: all labels new"), "{}", said.stderr);
}

/// A run that changes next to nothing: what it begins with can be seen in what it writes.
const ONE_STEP: &str = "--max-steps 1 --learning-rate 1e-9 --weight-decay 0 --max-length 16 \
                        --pooling cls --batch-size 4 --precision f32";

#[test]
fn heads_are_matched_by_the_names_of_labels() {
    let heads = heads();
    let place = place(&heads, "multi-label");
    let (folder, texts) = (place.path(), texts(&heads));
    let answers = case(&heads, "multi-label")["answers"].as_array().unwrap();
    let keeps = |run: &str, label: &str| {
        let said = predict(folder, run, "--scores --format jsonl", &texts).ok().stdout;
        let pairs = rows(&said).into_iter().zip(answers);
        let apart = pairs.map(|(row, answer)| {
            let pair = answer.as_array().unwrap().iter().find(|pair| pair[0] == label).unwrap();
            (row["scores"][label].as_f64().unwrap() - pair[1].as_f64().unwrap()).abs()
        });
        apart.fold(0.0, f64::max) < 1e-3
    };
    for (name, labels, expected) in [
        ("same", &["joy", "anger", "calm"][..], None),
        ("order", &["calm", "joy", "anger"], Some("; classifier: 3 labels kept by name\n")),
        (
            "other",
            &["calm", "grief", "joy"],
            Some("; classifier: 2 labels kept by name, 1 new (grief), 1 dropped (anger)\n"),
        ),
        ("fewer", &["calm", "anger"], Some("2 labels kept by name, 1 dropped (joy)\n")),
        (
            "foreign",
            &["relief", "grief", "pride"],
            Some("all labels new, none of the 3 before is among them (joy, anger, calm)"),
        ),
    ] {
        data(&folder.join(name), &["joy", "anger", "calm"]);
        let rows = fs::read_to_string(folder.join(name).join("train.csv")).unwrap();
        let known = |line: &&str| {
            line.rsplit_once(',').is_none_or(|(_, l)| l == "labels" || labels.contains(&l))
        };
        let mut rows: String = rows.lines().filter(known).map(|line| format!("{line}\n")).collect();
        rows += &format!("the old lake,{}\nmy dog is lost,{}\n", labels[1], labels[0]);
        for split in ["train.csv", "dev.csv"] {
            fs::write(folder.join(name).join(split), &rows).unwrap();
        }
        fs::write(folder.join(name).join("labels.txt"), labels.join("\n")).unwrap();
        // Also with the probe, which learns the rows of new labels alone.
        for probe in [0, 2] {
            let output = format!("run-{name}-{probe}");
            let flags = format!("{ONE_STEP} --probe-epochs {probe} --output {output}");
            let said = run(folder, &format!("train --init m --data {name} {flags}")).ok().stderr;
            assert!(expected.is_none_or(|expected| said.contains(expected)), "{name}: {said}");
            assert_eq!(
                said.contains("kept by name"),
                !["same", "foreign"].contains(&name),
                "{said}"
            );
            let learned = said.contains("learned alone");
            assert_eq!(
                learned,
                probe > 0 && ["other", "foreign"].contains(&name),
                "{name}: {said}"
            );
            for label in ["joy", "anger", "calm"].iter().filter(|label| labels.contains(label)) {
                assert!(keeps(&output, label), "{name} {probe}: {label} is another");
            }
        }
    }
    // A head that nobody named is not taken for one of other labels.
    model(&folder.join("unnamed"), &json!({"num_labels": 3}));
    let flags = format!("{ONE_STEP} --data same --output run-unnamed");
    let said = run(folder, &format!("train --init unnamed {flags}")).ok().stderr;
    assert!(said.contains("all labels new, none of the 3 before"), "{said}");
}

#[test]
fn a_single_label_model_starts_a_multi_label_one() {
    let heads = heads();
    let place = place(&heads, "single-label");
    let folder = place.path();
    data(&folder.join("data"), &["joy", "anger", "calm"]);
    let said = run(folder, &format!("train --init m --data data {ONE_STEP} --output run")).ok();
    let expected = "single_label_classification), the new model is multi_label_classification";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
    let config = fs::read_to_string(folder.join("run/best/config.json")).unwrap();
    assert_eq!(json(&config)["problem_type"], "multi_label_classification");
    // Its rows are those of before.
    let scores = predict(folder, "run", "--scores --format jsonl", &texts(&heads)).ok().stdout;
    let expected = &case(&heads, "multi-label")["answers"][0][0];
    let found = rows(&scores)[0]["scores"][expected[0].as_str().unwrap()].as_f64().unwrap();
    assert!((found - expected[1].as_f64().unwrap()).abs() < 1e-3, "{found} {expected}");
}

#[test]
fn a_single_label_teacher_teaches_its_softmax() {
    let heads = heads();
    let place = place(&heads, "single-label");
    let folder = place.path();
    data(&folder.join("data"), &["calm", "joy"]);
    let teach = "train --init random:2L-128D --data data --teacher m --batch-size 4 --max-length 16 \
                 --max-steps 1 --precision f32 --output run";
    run(folder, teach).ok();
    let path = folder.join("run/teacher.safetensors");
    let file = read_safetensors(fs::read(&path).unwrap(), &path).unwrap();
    let found = &file.tensors["probabilities"];
    // The first text is the first of the goldens'; anger, which the data lacks, keeps its share.
    let answer = case(&heads, "single-label")["answers"][0].as_array().unwrap();
    for (at, label) in ["calm", "joy"].into_iter().enumerate() {
        let pair = answer.iter().find(|pair| pair[0] == label).unwrap();
        assert_near(f64::from(found.values[at]), &pair[1], label);
    }
    // Of unnamed labels none is the data's.
    model(&folder.join("unnamed"), &json!({"num_labels": 3}));
    let teach = teach.replace("--teacher m", "--teacher unnamed").replace("run", "other");
    run(folder, &teach).fails(1, &["unnamed has no label \"calm\""]);
}

#[test]
fn data_in_another_order_is_judged_alike() {
    let heads = heads();
    let place = place(&heads, "multi-label");
    let folder = place.path();
    data(&folder.join("one"), &["joy", "anger", "calm"]);
    data(&folder.join("other"), &["Calm", "joy", "anger"]);
    let rows = fs::read_to_string(folder.join("one/dev.csv")).unwrap();
    fs::write(folder.join("other/dev.csv"), rows).unwrap();
    let evaluate = |data: &str| run(folder, &format!("evaluate --model m --data {data} --json"));
    let [mut one, mut other] = ["one", "other"].map(|data| json(&evaluate(data).ok().stdout));
    assert!(one["micro_f1"].as_f64().unwrap() > 0.0);
    for found in [&mut one, &mut other] {
        found.as_object_mut().unwrap().remove("data");
    }
    assert_eq!(one, other);
    fs::write(folder.join("other/labels.txt"), "calm\njoy\nanger\ngrief\n").unwrap();
    evaluate("other").fails(1, &["the data's labels are not the model's; only the data has grief"]);
}

#[test]
fn runs_with_labels_in_another_order_are_compared() {
    let heads = heads();
    let place = place(&heads, "multi-label");
    let folder = place.path();
    for (name, labels) in [("a", &["joy", "anger", "calm"]), ("b", &["calm", "joy", "anger"])] {
        data(&folder.join(name), labels);
        let flags = format!("{ONE_STEP} --data {name} --output runs/{name} --thresholds 0.5");
        run(folder, &format!("train --init m {flags} --quiet")).ok();
    }
    let said = run(folder, "report runs/a runs/b --json --bootstrap 50").ok();
    let found = &json(&said.stdout)["comparison"];
    let names = |run: usize| -> Vec<String> {
        found["runs"][run]["evaluation"]["labels"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names(0), names(1));
    // One head, whatever the order: the same answers, so no difference.
    for figure in ["micro_f1", "macro_f1"] {
        let [a, b] = [0, 1].map(|run| found["runs"][run]["evaluation"][figure].clone());
        assert_eq!(a, b, "{figure}");
    }
    // Other labels are others still.
    data(&folder.join("c"), &["joy", "anger"]);
    let flags = format!("{ONE_STEP} --data c --output runs/c --thresholds 0.5");
    run(folder, &format!("train --init m {flags} --quiet")).ok();
    run(folder, "report runs/a runs/c").fails(1, &["different rows: 7 and 5 rows"]);
}
