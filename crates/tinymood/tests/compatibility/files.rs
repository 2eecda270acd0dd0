//! Files of a model that are not what their names say: unreadable, empty, of other formats, or hostile.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{
    Ran, copied_model, json as parse, put_in_the_hubs_cache, rows, run_with, tinymood, trained,
};

/// What `predict` says of some texts.
fn predict(model: &Path, texts: &[&str]) -> Ran {
    let model = model.to_str().unwrap();
    let flags =
        ["predict", "--quiet", "--offline", "--format", "jsonl", "--scores", "--model", model];
    run_with(trained(), &[&flags[..], texts].concat(), b"")
}

/// Changes a JSON file.
fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = parse(&fs::read_to_string(path).unwrap());
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

#[cfg(unix)]
mod unreadable {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;
    use crate::common::run;

    /// What may lie in a file's place, and what is said of it.
    const KINDS: [(&str, &str); 6] = [
        ("folder", "a folder"),
        ("fifo", "a pipe"),
        ("device", "a device"),
        ("socket", "a socket"),
        ("dangling link", "a link to \"gone\", which is not there"),
        ("link loop", "symbolic links"),
    ];

    /// Puts something in a file's place, where there may be one.
    fn put(kind: &str, path: &Path) {
        if path.symlink_metadata().is_ok() {
            fs::remove_file(path).unwrap();
        }
        match kind {
            "folder" => fs::create_dir(path).unwrap(),
            "fifo" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            "device" => symlink("/dev/zero", path).unwrap(),
            // A short name: the address of a socket has some hundred bytes at most.
            "socket" => {
                let place = tempfile::Builder::new().prefix("s").tempdir_in("/tmp").unwrap();
                drop(UnixListener::bind(place.path().join("s")).unwrap());
                fs::rename(place.path().join("s"), path).unwrap();
            }
            "dangling link" => symlink("gone", path).unwrap(),
            "link loop" => symlink(path.file_name().unwrap(), path).unwrap(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_is_no_file_in_a_models_place_is_named() {
        for file in [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "thresholds.json",
        ] {
            for (kind, problem) in KINDS {
                let place = copied_model();
                put(kind, &place.path().join(file));
                predict(place.path(), &["x"]).fails(1, &[file, problem]);
            }
        }
        // Only where there is no tokenizer.json, and no model.safetensors.
        for (file, instead_of) in
            [("vocab.txt", "tokenizer.json"), ("pytorch_model.bin", "model.safetensors")]
        {
            let place = copied_model();
            fs::remove_file(place.path().join(instead_of)).unwrap();
            put("dangling link", &place.path().join(file));
            predict(place.path(), &["x"]).fails(1, &[file, "a link to \"gone\""]);
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_no_absent_run_and_no_hub_id() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        put("dangling link", &folder.join("model"));
        // A hub that nobody answers for: it is not asked.
        let mut command = tinymood(folder);
        command.args(["predict", "--model", "model", "x"]);
        command.env("HF_ENDPOINT", "http://127.0.0.1:9");
        let said = Ran::from(command.output().unwrap()).fails(1, &["model"]).stderr;
        assert!(!said.contains("hub"), "{said}");

        fs::create_dir(folder.join("run")).unwrap();
        fs::write(folder.join("run/config.json"), "{}").unwrap();
        put("dangling link", &folder.join("run/best"));
        run(folder, "predict --model run x").fails(1, &["run/best"]);
        put("dangling link", &folder.join("run/settings.toml"));
        run(folder, "train --resume run").fails(1, &["settings.toml", "a link to \"gone\""]);
        put("link loop", &folder.join("recipe.toml"));
        run(folder, "train --recipe recipe.toml").fails(1, &["recipe.toml", "symbolic links"]);
    }

    #[test]
    fn a_list_of_labels_that_cannot_be_read_is_not_goemotions() {
        for (kind, problem) in KINDS {
            let place = tempfile::tempdir().unwrap();
            fs::create_dir(place.path().join("data")).unwrap();
            fs::write(place.path().join("data/train.csv"), "text,labels\nfine,joy\n").unwrap();
            put(kind, &place.path().join("data/labels.txt"));
            run(place.path(), "data show --data data").fails(1, &["labels.txt", problem]);
        }
    }

    #[test]
    fn a_file_that_the_hubs_cache_has_lost_is_named() {
        const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
        for file in ["config.json", "model.safetensors", "tokenizer_config.json", "thresholds.json"]
        {
            for (kind, problem) in KINDS {
                let place = tempfile::tempdir().unwrap();
                put_in_the_hubs_cache(place.path(), COMMIT);
                let snapshot = place.path().join("hub/models--org--name/snapshots").join(COMMIT);
                put(kind, &snapshot.join(file));
                let problem = if kind == "dangling link" { "links to is not in" } else { problem };
                run(place.path(), "predict --offline --model org/name x")
                    .fails(1, &[file, problem, "hint: "]);
            }
        }
    }
}

#[test]
fn what_a_download_left_in_a_files_place_is_said() {
    let pointer = "version https://git-lfs.example/spec/v1\noid sha256:4d7a\nsize 57409344\n";
    let page = "<!DOCTYPE html>\n<html><body>Please log in</body></html>\n";
    for file in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "thresholds.json",
    ] {
        for (contents, problem, hint) in [
            ("", "an empty file", "fetch it again"),
            (pointer, "a Git LFS pointer", "git lfs pull"),
            (page, "a web page", "hub id"),
        ] {
            let place = copied_model();
            fs::write(place.path().join(file), contents).unwrap();
            predict(place.path(), &["x"]).fails(1, &[file, problem, "hint: ", hint]);
        }
        let place = copied_model();
        // As PowerShell's `>` writes a text.
        fs::write(place.path().join(file), b"\xFF\xFE{\0}\0").unwrap();
        predict(place.path(), &["x"]).fails(1, &[file]);
    }
    let place = copied_model();
    fs::remove_file(place.path().join("tokenizer.json")).unwrap();
    fs::write(place.path().join("vocab.txt"), pointer).unwrap();
    predict(place.path(), &["x"]).fails(1, &["vocab.txt", "a Git LFS pointer"]);
}

#[test]
fn an_endless_configuration_is_refused() {
    for file in ["config.json", "thresholds.json"] {
        let place = copied_model();
        let path = place.path().join(file);
        let long = fs::File::options().write(true).open(&path).unwrap();
        long.set_len(1 << 30).unwrap(); // takes no room
        predict(place.path(), &["x"]).fails(1, &[file, "longer than"]);
    }
}

#[test]
fn weights_of_other_programs_are_named() {
    for (files, expected, hint) in [
        (&[][..], "holds neither model.safetensors nor pytorch_model.bin", "save_pretrained"),
        (&["tf_model.h5", "flax_model.msgpack"], "only flax_model.msgpack, tf_model.h5", "PyTorch"),
        (&["model.gguf"], "only model.gguf", "save_pretrained"),
        (&["model.onnx"], "only model.onnx", "save_pretrained"),
        (&["consolidated.00.pth"], "only consolidated.00.pth", "save_pretrained"),
        (&["adapter_model.safetensors"], "only adapter_model", "merge_and_unload"),
        (&["model.safetensors.index.json"], "in several files", "max_shard_size"),
    ] {
        let place = copied_model();
        fs::remove_file(place.path().join("model.safetensors")).unwrap();
        files.iter().for_each(|file| fs::write(place.path().join(file), "x").unwrap());
        predict(place.path(), &["x"]).fails(1, &[expected, "hint: ", hint]);
    }
    for (contents, expected) in [
        (&b"\x89HDF\r\n\x1a\n"[..], "HDF5"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"{\"error\":\"Unauthorized\"}", "JSON"),
        (b"Entry not found", "no such file"),
        (b"\x20\0\0\0\0\0\0\0[]", "model.safetensors"),
    ] {
        let place = copied_model();
        fs::write(place.path().join("model.safetensors"), contents).unwrap();
        predict(place.path(), &["x"]).fails(1, &["model.safetensors", expected, "hint: "]);
    }
}

#[test]
fn blanks_before_a_safetensors_header_are_passed_over() {
    let place = copied_model();
    let plain = predict(place.path(), &["so happy"]).ok().stdout;
    let path = place.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap());
    // Those of JSON, as the safetensors library itself takes them; a multiple of 8, so that floats stay aligned.
    let blanks = b" \n\t\r    ";
    let longer = (length + blanks.len() as u64).to_le_bytes();
    fs::write(&path, [&longer[..], blanks, rest].concat()).unwrap();
    assert_eq!(predict(place.path(), &["so happy"]).ok().stdout, plain);
}

#[test]
fn a_configuration_of_another_computation_is_refused_by_name() {
    for (field, value, expected) in [
        ("is_decoder", json!(true), "is_decoder"),
        ("pruned_heads", json!({"0": [1]}), "pruned_heads"),
        ("model_type", json!("albert"), "\"albert\""),
        ("architectures", json!(["BertForTokenClassification"]), "BertForTokenClassification"),
        ("architectures", json!(["BertForMultipleChoice"]), "BertForMultipleChoice"),
        ("hidden_size", json!(128.0), "hidden_size"),
    ] {
        let place = copied_model();
        edit(&place.path().join("config.json"), |config| {
            config["hidden_act"] = json!(if field == "model_type" { "gelu_new" } else { "gelu" });
            config[field] = value.clone();
        });
        predict(place.path(), &["x"]).fails(1, &[expected]);
    }
}

#[test]
fn of_a_head_that_is_not_for_texts_training_takes_the_encoder_alone() {
    let train = |architecture: &str| {
        let place = copied_model();
        edit(&place.path().join("config.json"), |config| {
            config["architectures"] = json!([architecture]);
        });
        let init = place.path().to_str().unwrap();
        let output = place.path().join("run");
        let flags = ["train", "--max-steps", "1", "--max-length", "16", "--batch-size", "8"];
        let more = ["--probe-epochs", "0", "--init", init, "--output", output.to_str().unwrap()];
        run_with(place.path(), &[&flags[..], &more].concat(), b"").ok().stderr
    };
    let said = train("BertForTokenClassification");
    assert!(said.contains("newly initialised: classifier.bias, classifier.weight"), "{said}");
    let said = train("BertForSequenceClassification");
    assert!(!said.contains("newly initialised"), "{said}");
}

/// Changes of a tokenizer.json that make the `tokenizers` crate panic or take all memory, and what is said of each.
fn hostile() -> [(&'static str, Value, &'static str); 6] {
    let piece = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
    let text = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    let template = |single: [Value; 3]| {
        json!({"type": "TemplateProcessing", "single": single, "pair": [text("A"), text("B")],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]}}})
    };
    let ten_times = json!({"type": "Replace", "pattern": {"String": "e"}, "content": "eeeeeeeeee"});
    [
        (
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAP///3///w=="}),
            "Precompiled",
        ),
        (
            "normalizer",
            json!({"type": "Sequence", "normalizers": vec![ten_times; 9]}),
            "times as long",
        ),
        ("pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "FixedLength"),
        ("post_processor", template([piece("[CLS]"), text("A"), piece("[GONE]")]), "[GONE]"),
        ("post_processor", template([piece("[CLS]"), text("B"), piece("[CLS]")]), "text A"),
        (
            "normalizer",
            json!({"type": "Replace", "pattern": {"Regex": "(x+x+)+(?=y)"}, "content": ""}),
            "backtracking",
        ),
    ]
}

/// Has `tokenizer.json` read as it is. Of a `BertTokenizer`, only its vocabulary and added tokens count.
fn read_as_it_is(model: &Path) {
    edit(&model.join("tokenizer_config.json"), |config| {
        config["tokenizer_class"] = json!("PreTrainedTokenizerFast");
    });
}

/// A tokenizer that takes short texts only: a letter may become 60 bytes.
fn make_greedy(tokenizer: &mut Value) {
    let content = "q".repeat(60);
    tokenizer["normalizer"] =
        json!({"type": "Replace", "pattern": {"String": "~"}, "content": content});
}

#[test]
fn a_hostile_tokenizer_is_refused_by_name() {
    for (field, value, expected) in hostile() {
        let place = copied_model();
        read_as_it_is(place.path());
        edit(&place.path().join("tokenizer.json"), |tokenizer| tokenizer[field] = value);
        predict(place.path(), &["x"]).fails(1, &["tokenizer.json", expected, "hint: "]);
    }
}

#[test]
fn a_text_that_the_tokenizer_refuses_is_an_error_of_its_row() {
    let place = copied_model();
    read_as_it_is(place.path());
    edit(&place.path().join("tokenizer.json"), make_greedy);
    let long = "fine ".repeat(20_000);
    let said = predict(place.path(), &["fine", &long, "well"]).fails(1, &["1 row could not"]);
    let rows = rows(&said.stdout);
    assert_eq!(rows.len(), 3);
    assert!(rows[0]["error"].is_null() && rows[2]["error"].is_null(), "{}", said.stdout);
    let error = rows[1]["error"].as_str().unwrap();
    assert!(error.contains("100000 bytes") && error.contains("tokenizer"), "{error}");
}

#[cfg(unix)]
mod served {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpStream;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    /// A server process; killed when dropped.
    struct Server {
        child: Child,
        address: String,
    }

    impl Server {
        fn start(model: &Path) -> Self {
            let mut command = tinymood(model);
            command.args(["serve", "--port", "0", "--quiet", "--max-characters", "1000000"]);
            command.args(["--max-body-bytes", "10000000", "."]);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
            Self { child, address }
        }

        fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            let length = body.len();
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
        }

        #[track_caller]
        fn wait_for_metric(&self, sample: &str) {
            let started = Instant::now();
            while !self.ask("GET", "/metrics", "").1.lines().any(|line| line == sample) {
                assert!(started.elapsed() < Duration::from_secs(120), "no {sample}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }

        fn reload(&self) {
            let pid = self.child.id().to_string();
            assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn a_reload_of_a_hostile_tokenizer_fails_and_is_counted() {
        let place = copied_model();
        super::read_as_it_is(place.path());
        let path = place.path().join("tokenizer.json");
        let whole = fs::read(&path).unwrap();
        let server = Server::start(place.path());
        let asked = json!({"inputs": "so happy"}).to_string();
        let before = server.ask("POST", "/predict", &asked);
        assert_eq!(before.0, 200, "{}", before.1);
        for (count, (field, value, _)) in (1..).zip(hostile()) {
            fs::write(&path, &whole).unwrap();
            edit(&path, |tokenizer| tokenizer[field] = value);
            server.reload();
            server.wait_for_metric(&format!("tinymood_failed_reloads {count}"));
            assert_eq!(server.ask("POST", "/predict", &asked), before);
        }
        server.wait_for_metric("tinymood_reloads 0");
    }

    #[test]
    fn a_text_that_the_tokenizer_refuses_is_counted_and_stops_nothing() {
        let place = copied_model();
        super::read_as_it_is(place.path());
        edit(&place.path().join("tokenizer.json"), make_greedy);
        let server = Server::start(place.path());
        for (count, path) in (1..).zip(["/predict", "/tokenize"]) {
            let asked = json!({"inputs": "fine ".repeat(20_000), "truncate": true}).to_string();
            let (status, body) = server.ask("POST", path, &asked);
            assert_eq!(status, 422, "{body}");
            assert!(body.contains("100000 bytes"), "{body}");
            server.wait_for_metric(&format!("te_request_failure{{err=\"tokenizer\"}} {count}"));
        }
        let (status, body) = server.ask("POST", "/predict", &json!({"inputs": "fine"}).to_string());
        assert_eq!(status, 200, "{body}");
    }
}
