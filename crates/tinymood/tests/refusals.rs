//! What users do wrong, and what machines do to them: named, refused, and nothing lost.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{QUICK, copied_model, json, make_too_sure, rows, run, run_with, tinymood, trained};

const QUICK_RUN: &str = "runs/quick";

#[test]
fn wrong_usage_is_two_and_failures_are_one_with_a_hint() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    run(folder, "tarin").fails(2, &["unrecognized subcommand", "train"]);
    run(folder, "train --epochs many").fails(2, &["invalid value 'many'"]);
    run(folder, "predict --threshold 2 x").fails(2, &["a number from 0 to 1"]);
    run(folder, "train --loss hinge").fails(2, &["hinge"]);
    run(folder, "predict --model latest hello").fails(1, &["./runs", "hint:", "tinymood train"]);
    run(folder, "evaluate --model no/such/model").fails(1, &["no/such/model", "hint:"]);
    run(folder, "train --offline --init org/name").fails(1, &["org/name", "--offline", "hint:"]);
    run(folder, "train --init random:4L-313D").fails(1, &["4L-313D"]);
    run(folder, "train --data goemotions --offline --init random:2L-128D")
        .fails(1, &["GoEmotions", "caused by", "hint:"]);
    run(folder, "train --data nowhere.tsv").fails(1, &["nowhere.tsv", "hint:"]);
    run(folder, "train --resume nothing").fails(1, &["nothing", "hint:"]);
    run(folder, "train --learning-rate=-1 --init random:2L-128D")
        .fails(2, &["learning_rate", "-1", "expected"]);
    run(folder, "train --recipe nope").fails(2, &["nope", "default", "seed"]);
    run(folder, "train --teacher-weight 0.3").fails(2, &["--teacher-weight", "--teacher"]);
    run(folder, "train --resume x --taxonomy ekman").fails(2, &["--taxonomy", "--resume"]);
    run(folder, "distill --resume x --student 6L-384D").fails(2, &["--student", "--resume"]);
    run(folder, "distill --teacher x --texts y --loss focal").fails(2, &["--loss"]);
    run(folder, "distill --teacher bundled --texts y").fails(2, &["larger teacher"]);
    run(folder, "predict --explain --format csv x").fails(2, &["--explain", "CSV"]);
    run(folder, "predict --explain --output x.csv x").fails(2, &["--explain", "CSV", "--format"]);
    assert!(!folder.join("x.csv").exists());
    run(folder, "bench --batch-size 0").fails(2, &["from 1"]);
    run(folder, "train --threads 0 --init random:2L-128D").fails(2, &["from 1 to 1024"]);
    fs::write(folder.join("bad.tsv"), "fine\tjoy\nworse\thapiness\n").unwrap();
    run(folder, "train --data bad.tsv --labels goemotions --init random:2L-128D")
        .fails(1, &["bad.tsv:2", "hapiness", "hint:", "--labels"]);
    fs::write(folder.join("stars.csv"), "text,labels\nfine,4\nworse,1\n").unwrap();
    run(folder, "train --data stars.csv --init random:2L-128D")
        .fails(1, &["stars.csv:2", "the number \"4\"", "hint:", "labels.txt"]);
    fs::write(folder.join("bad.tsv"), "worse\thapiness\n").unwrap();
    run(folder, "train --data bad.tsv --labels goemotions --init random:2L-128D --skip-bad-rows")
        .fails(1, &["no row can be read", "bad.tsv:1", "hapiness", "hint:"]);
    fs::write(folder.join("file"), "x").unwrap();
    run(folder, &format!("train {QUICK} --max-steps 1 --output file/run")).fails(1, &["file/run"]);
    assert!(!folder.join("runs").exists(), "nothing was begun");
}

#[test]
fn a_run_takes_no_folder_that_holds_something_else() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::create_dir_all(folder.join("mine/best")).unwrap();
    fs::write(folder.join("mine/best/precious.txt"), "").unwrap();
    let train = |more: &str| run(folder, &format!("train {QUICK} --max-steps 1 {more}"));
    train("--output mine").fails(1, &["mine", "best", "would replace", "hint:"]);
    assert!(folder.join("mine/best/precious.txt").exists());
    // What is refused leaves no folder in the way of the command put right.
    train("--pos-weight 1,2 --output run").fails(2, &["pos_weight", "28 labels"]);
    train("--output run").ok();
    train("--output run").fails(1, &["already holds a run", "--resume"]);
    fs::create_dir_all(folder.join("copy.old")).unwrap();
    run(folder, "export --f32 --model run --output copy").ok();
    assert!(folder.join("copy.old").exists() && folder.join("copy/config.json").exists());

    // Without a checkpoint too, a run goes on as it began.
    fs::remove_dir_all(folder.join("run/checkpoints")).unwrap();
    run(folder, "train --resume run --seed 7")
        .fails(1, &["the run began with \"seed\" = 42, now it is 7", "hint:"]);
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_said_stops_nothing() {
    let folder = trained();
    let told = |arguments: &str, out: Stdio| {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = tinymood(folder);
        command.args(arguments.split(' ')).stdin(Stdio::null()).stdout(out).stderr(full);
        command.spawn().unwrap()
    };
    let train = format!("train {QUICK} --max-steps 2 --output runs/unheard");
    assert!(told(&train, Stdio::null()).wait().unwrap().success());
    assert!(folder.join("runs/unheard/report.html").exists());
    // What is to be kept is kept before anything is printed.
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let train = format!("train {QUICK} --max-steps 2 --output runs/unsaid");
    assert_eq!(told(&train, full().into()).wait().unwrap().code(), Some(1));
    assert!(folder.join("runs/unsaid/report.html").exists());
    let kept = |file: &str| fs::read(folder.join("runs/unsaid/best").join(file)).unwrap();
    let files = ["thresholds.json", "model.safetensors"];
    make_too_sure(&folder.join("runs/unsaid/best"));
    let before = files.map(kept);
    let tune = "tune --model runs/unsaid --policy global --calibrate";
    assert_eq!(told(tune, full().into()).wait().unwrap().code(), Some(1));
    let after = files.map(kept);
    assert!(before[0] != after[0] && before[1] == after[1], "thresholds.json alone has all");
    // Who stops reading, stops reading: CSV as well as JSONL.
    fs::write(folder.join("many.txt"), "so happy\n".repeat(20_000)).unwrap();
    for format in ["csv", "jsonl", "table"] {
        let predict = format!("predict --model runs/quick --format {format} --input many.txt");
        let mut child = told(&predict, Stdio::piped());
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty() && child.wait().unwrap().success(), "{format}");
    }
}

#[test]
fn predict_keeps_what_it_cannot_replace() {
    let folder = trained();
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("texts.csv"), "text\nfine\n").unwrap();
    fs::write(path("no-text.csv"), "word\nfine\n").unwrap();
    fs::write(path("answers.jsonl"), "earlier answers\n").unwrap();
    let predict = |input: &str, output: &str| {
        let (input, output) = (path(input), path(output));
        run_with(folder, &["predict", "--model", QUICK_RUN, "-i", &input, "-o", &output], b"")
    };
    // A path among the texts is answered as a text, but not without a word.
    let said = run(folder, "predict --model runs/quick --quiet runs/quick").ok();
    assert!(
        said.stderr.contains("warning: ") && said.stderr.contains("--model"),
        "{}",
        said.stderr
    );
    predict("texts.csv", "texts.csv").fails(2, &["both --input and --output"]);
    assert_eq!(fs::read_to_string(path("texts.csv")).unwrap(), "text\nfine\n");
    predict("nowhere.csv", "answers.jsonl").fails(1, &["nowhere.csv"]);
    predict("no-text.csv", "answers.jsonl").fails(1, &["no-text.csv", "\"text\""]);
    assert_eq!(fs::read_to_string(path("answers.jsonl")).unwrap(), "earlier answers\n");
    predict("texts.csv", "answers.jsonl").ok();
    assert_eq!(rows(&fs::read_to_string(path("answers.jsonl")).unwrap())[0]["text"], "fine");
}

#[test]
fn who_writes_line_by_line_is_answered_line_by_line() {
    let mut command = tinymood(trained());
    command.args(["predict", "--model", QUICK_RUN, "--quiet", "--format", "jsonl"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut questions = child.stdin.take().unwrap();
    let answers = BufReader::new(child.stdout.take().unwrap());
    let (send, received) = mpsc::channel();
    thread::spawn(move || answers.lines().try_for_each(|line| send.send(line.unwrap())));
    for text in ["one", "two"] {
        writeln!(questions, "{text}").unwrap();
        questions.flush().unwrap();
        let answer = received.recv_timeout(Duration::from_secs(120));
        assert_eq!(json(&answer.expect("an answer while the input is open"))["text"], text);
    }
    drop(questions);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_model_of_the_hub_stays_as_other_programs_know_it() {
    let folder = trained();
    let snapshot = folder.join("hub/models--org--name/snapshots/0123abcd");
    let reference = folder.join("hub/models--org--name/refs/main");
    for made in [&snapshot, reference.parent().unwrap()] {
        fs::create_dir_all(made).unwrap();
    }
    fs::write(&reference, "0123abcd").unwrap();
    for entry in fs::read_dir(folder.join("runs/quick/best")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, snapshot.join(path.file_name().unwrap())).unwrap();
    }
    let thresholds = fs::read(snapshot.join("thresholds.json")).unwrap();
    run(folder, "tune --model org/name --policy global")
        .fails(1, &["org/name", "hub's cache", "hint:", "export --f32"]);
    assert_eq!(fs::read(snapshot.join("thresholds.json")).unwrap(), thresholds);
    run(folder, "tune --model org/name --data sample --policy global --dry-run").ok();
}

#[test]
fn damaged_models_are_errors_that_name_the_file() {
    let folder = trained();
    for (file, contents, expected) in [
        ("config.json", b"{".as_slice(), "config.json"),
        ("model.safetensors", b"\x10\0\0\0\0\0\0\0{garbage", "model.safetensors"),
        ("tokenizer.json", b"{}", "tokenizer.json"),
        ("thresholds.json", b"{\"policy\": \"global\"}", "thresholds.json"),
    ] {
        let place = copied_model();
        fs::write(place.path().join(file), contents).unwrap();
        let model = place.path().to_str().unwrap();
        run_with(folder, &["predict", "--model", model, "x"], b"").fails(1, &[expected]);
    }
}

/// Writes a folder's `model.safetensors` with one tensor of floats.
fn write_tensor(folder: &Path, name: &str, shape: &[u64], bytes: &[u8]) {
    let tensor =
        serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [0, bytes.len()]});
    let header = serde_json::json!({ name: tensor }).to_string();
    let length = (header.len() as u64).to_le_bytes();
    let file = [&length, header.as_bytes(), bytes].concat();
    fs::write(folder.join("model.safetensors"), file).unwrap();
}

#[test]
fn a_shape_names_no_more_labels_than_there_can_be() {
    let place = copied_model();
    let config = place.path().join("config.json");
    let predict = |shape: &[u64], bytes: &[u8]| {
        write_tensor(place.path(), "classifier.weight", shape, bytes);
        run_with(trained(), &["predict", "--model", place.path().to_str().unwrap(), "x"], b"")
    };
    let wrong = |expected| ["the classifier of", "expected", expected, "hint:", "config.json"];
    predict(&[3, 128], &[0; 4 * 3 * 128]).fails(1, &wrong("[3, 128], expected [28, 128]"));
    let mut unnamed = json(&fs::read_to_string(&config).unwrap());
    unnamed["id2label"].take();
    unnamed["label2id"].take();
    fs::write(&config, unnamed.to_string()).unwrap();
    // Shapes with a zero in them are of no bytes, whatever else they say.
    predict(&[1 << 40, 0], b"").fails(1, &wrong("[1099511627776, 0], expected [1 to 65536, 128]"));
    predict(&[0, 128], b"").fails(1, &wrong("[0, 128]"));
    predict(&[3], &[0; 12]).fails(1, &wrong("[3]"));
    unnamed["hidden_size"] = 4.into();
    unnamed["num_attention_heads"] = 2.into();
    fs::write(&config, unnamed.to_string()).unwrap();
    let many = (1 << 16) + 1;
    predict(&[many, 4], &vec![0; 16 * many as usize]).fails(1, &wrong("[65537, 4]"));
}

/// Puts a FIFO in a file's place, and at its other end who reads it or writes `contents`: waiting for
/// ever fails no test, so that who opens it is served.
#[cfg(unix)]
fn put_fifo(path: &Path, contents: Option<Vec<u8>>) {
    fs::remove_file(path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    let path = path.to_owned();
    thread::spawn(move || match contents {
        Some(contents) => fs::write(path, contents),
        None => fs::read(path).map(drop),
    });
}

#[cfg(unix)]
#[test]
fn no_fifo_stands_in_for_a_file() {
    let folder = trained();
    for file in ["thresholds.json", "config.json", "model.safetensors"] {
        let place = copied_model();
        let path = place.path().join(file);
        let contents = fs::read(&path).unwrap();
        put_fifo(&path, Some(contents));
        run_with(folder, &["predict", "--model", place.path().to_str().unwrap(), "x"], b"")
            .fails(1, &[file, "not a regular file, but a pipe"]);
    }
    let train = format!("train {QUICK} --max-steps 2 --output runs/fifo --quiet");
    run(folder, &train).ok();
    let path = |file: &str| folder.join("runs/fifo").join(file);
    put_fifo(&path("log.jsonl"), None);
    run(folder, "train --resume runs/fifo").fails(1, &["log.jsonl", "not a regular file"]);
    let settings = fs::read(path("settings.toml")).unwrap();
    for command in ["train --resume", "report"] {
        fs::write(path("new"), "").unwrap();
        fs::rename(path("new"), path("settings.toml")).unwrap();
        put_fifo(&path("settings.toml"), Some(settings.clone()));
        run(folder, &format!("{command} runs/fifo"))
            .fails(1, &["settings.toml", "not a regular file"]);
    }
}

#[test]
fn a_run_whose_settings_cannot_be_is_not_the_command_lines_fault() {
    let folder = trained();
    let train = format!("train {QUICK} --max-steps 2 --output runs/edited --quiet");
    run(folder, &train).ok();
    let path = folder.join("runs/edited/settings.toml");
    let settings = fs::read_to_string(&path).unwrap();
    let line = 1 + settings.lines().position(|line| line == "batch_size = 8").unwrap();
    fs::write(&path, settings.replace("batch_size = 8", "batch_size = 0")).unwrap();
    let place = format!("runs/edited/settings.toml:{line}: ");
    run(folder, "train --resume runs/edited")
        .fails(1, &[&place, "the setting \"batch_size\" is 0, expected", "hint:"]);
}

/// Makes the last number of a tensor none.
fn damage(folder: &Path, tensor: &str) {
    let path = folder.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let described = json(std::str::from_utf8(&bytes[8..header]).unwrap());
    let end = header + described[tensor]["data_offsets"][1].as_u64().unwrap() as usize;
    bytes[end - 4..end].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn damaged_weights_are_not_exported() {
    let folder = trained();
    // All answers come from the one, none from the other.
    for tensor in ["classifier.bias", "bert.embeddings.word_embeddings.weight"] {
        let place = copied_model();
        damage(place.path(), tensor);
        let (model, output) = (place.path().to_str().unwrap(), place.path().join("copy"));
        for form in [&["--f32"][..], &["--int8", "--data", "sample"]] {
            let whence = ["export", "--model", model, "--output", output.to_str().unwrap()];
            run_with(folder, &[&whence, form].concat(), b"")
                .fails(1, &["its weights are damaged", "hint:"]);
        }
        assert!(!output.exists());
    }
}

#[cfg(unix)]
#[test]
fn an_export_takes_no_link_that_leads_nowhere() {
    let place = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", place.path().join("link")).unwrap();
    run(place.path(), "export --f32 --output link").fails(1, &["link exists already"]);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn an_encoder_is_no_classifier() {
    let folder = trained();
    let place = tempfile::tempdir().unwrap();
    let best = folder.join("runs/quick/best");
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(best.join(file), place.path().join(file)).unwrap();
    }
    write_tensor(place.path(), "w", &[1], &[0; 4]);
    let model = place.path().to_str().unwrap();
    run_with(folder, &["predict", "--model", model, "x"], b"")
        .fails(1, &["encoder without a classifier", "hint:", "--init"]);
}
