//! Tokenizers as other people save them: what a command answers with one, or how it refuses it. The ids
//! of many more folders are compared with those of transformers in `crates/text/tests/foreign_tokenizers.rs`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Ran, copy_model, run, run_with};

const CONFIG: &str = "tokenizer_config.json";

/// A copy of the trained model in `model`, with only `vocab.txt` and these files of a tokenizer.
fn model(folder: &Path, files: &[(&str, Value)]) {
    let model = folder.join("model");
    fs::create_dir_all(&model).unwrap();
    copy_model(&model);
    for name in ["tokenizer.json", CONFIG, "special_tokens_map.json"] {
        fs::remove_file(model.join(name)).unwrap();
    }
    for (name, content) in files {
        fs::write(model.join(name), content.to_string()).unwrap();
    }
}

fn set(folder: &Path, name: &str, field: &str, value: Value) {
    let path = folder.join("model").join(name);
    let mut json: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    json[field] = value;
    fs::write(path, json.to_string()).unwrap();
}

fn predict(folder: &Path, flags: &[&str], texts: &[&str]) -> Ran {
    let fixed =
        ["predict", "--model", "model", "--precision", "f32", "--format", "jsonl", "--quiet"];
    run_with(folder, &[&fixed[..], flags, texts].concat(), b"")
}

fn rows(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The scores of texts.
fn scores(folder: &Path, texts: &[&str]) -> Vec<Value> {
    rows(&predict(folder, &["--scores"], texts).ok())
        .into_iter()
        .map(|mut row| row["scores"].take())
        .collect()
}

/// What a model says about `[unused5]`, where that is a token.
const UNUSED: &str = "so [unused5] said";

#[test]
fn additional_special_tokens_are_tokens() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let with = |files: &[(&str, Value)]| {
        model(folder, files);
        let found = scores(folder, &[UNUSED, "so it goes"]);
        for (name, _) in files {
            fs::remove_file(folder.join("model").join(name)).unwrap();
        }
        found
    };
    let plain = with(&[]);
    let flags = json!({"content": "[unused5]", "lstrip": false, "rstrip": false,
        "normalized": false, "single_word": false, "special": true});
    let all = [
        with(&[("special_tokens_map.json", json!({"additional_special_tokens": ["[unused5]"]}))]),
        with(&[("added_tokens.json", json!({"[unused5]": 6}))]),
        with(&[(CONFIG, json!({"added_tokens_decoder": {"6": flags}}))]),
        with(&[(CONFIG, json!({"extra_special_tokens": ["[unused5]"]}))]),
        with(&[("special_tokens_map.json", json!({"additional_special_tokens": [flags]}))]),
        with(&[
            (CONFIG, json!({"extra_special_tokens": {}})),
            ("special_tokens_map.json", json!({"additional_special_tokens": ["[unused5]"]})),
        ]),
        with(&[("special_tokens_map.json", json!({"extra_special_tokens": {"a": "[unused5]"}}))]),
    ];
    for found in &all {
        assert_ne!(found[0], plain[0]);
        assert_eq!((&found[0], &found[1]), (&all[0][0], &plain[1]));
    }
}

#[test]
fn a_class_that_is_not_understood_is_named() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let class = json!("BertJapaneseTokenizer");
    for name in [CONFIG, "config.json"] {
        model(folder, &[(CONFIG, json!({}))]);
        set(folder, name, "tokenizer_class", class.clone());
        let expected = [name, "tokenizer_class is \"BertJapaneseTokenizer\"", "hint: "];
        for command in [
            "predict --model model hello",
            "evaluate --model model --data sample",
            "export --f32 --model model --output copy",
            "train --init model --max-steps 1 --output started",
            "train --teacher model --max-steps 1 --output taught",
            "distill --teacher model --texts model/vocab.txt --output distilled",
            "serve model --port 0",
        ] {
            run(folder, command).fails(1, &expected);
        }
        let _ = fs::remove_dir_all(folder.join("taught"));
    }
    // What writes its class as transformers' other names for the same is read.
    for class in ["BertTokenizerFast", "ElectraTokenizer", "DistilBertTokenizerFast"] {
        model(folder, &[(CONFIG, json!({"tokenizer_class": class}))]);
        predict(folder, &[], &["hello"]).ok();
    }
}

#[test]
fn a_model_that_names_no_length_reads_all_its_positions() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let long = |last: &str| format!("{}{last}", "so it goes ".repeat(100));
    let texts = [long("happy"), long("sad")];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for config in [
        json!({}),
        json!({"model_max_length": null}),
        json!({"model_max_length": 1e30}),
        json!({"model_max_length": 512.0}),
        json!({"model_max_length": 0}),
        json!({"model_max_length": -1}),
        json!({"max_len": 512}),
        json!({"model_max_length": 100_000}),
    ] {
        model(folder, &[(CONFIG, config.clone())]);
        let found = scores(folder, &texts);
        assert_ne!(found[0], found[1], "{config}");
    }
    model(folder, &[(CONFIG, json!({"max_len": 128}))]);
    let found = scores(folder, &texts);
    assert_eq!(found[0], found[1]);
    // A copy keeps the length, which is written down.
    model(folder, &[(CONFIG, json!({}))]);
    run(folder, "export --f32 --model model --output copy").ok();
    let written = fs::read_to_string(folder.join("copy").join(CONFIG)).unwrap();
    assert!(written.contains("\"model_max_length\": 512"), "{written}");
    // Training uses the recipe's.
    run(folder, "train --init model --max-steps 1 --quiet --output run").ok();
    let written = fs::read_to_string(folder.join("run/best").join(CONFIG)).unwrap();
    assert!(written.contains("\"model_max_length\": 128"), "{written}");
    for value in [json!(2), json!("512"), json!(5.5)] {
        model(folder, &[(CONFIG, json!({"model_max_length": value}))]);
        predict(folder, &[], &["hello"]).fails(1, &[CONFIG, "model_max_length"]);
    }
}

#[test]
fn only_texts_with_a_token_that_has_no_embedding_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    model(folder, &[]);
    let plain = scores(folder, &["so it goes"]);
    model(folder, &[("added_tokens.json", json!({"[NAME]": 30522}))]);
    let ran = predict(folder, &["--scores"], &["thank you, [NAME]", "so it goes"]);
    let ran = ran.fails(1, &["1 row could not be read"]);
    let rows = rows(&ran);
    let problem = rows[0]["error"].as_str().unwrap();
    assert!(problem.contains("\"[NAME]\"") && problem.contains("30522"), "{problem}");
    assert_eq!(rows[1]["scores"], plain[0]);
    // Where all rows are needed, an error names the row.
    let data = "text,labels\nso it goes,joy\nthank [NAME],joy\n";
    fs::write(folder.join("train.csv"), data).unwrap();
    let command =
        "train --init model --data train.csv --labels goemotions --max-steps 1 --output run";
    run(folder, command).fails(1, &["line 3", "\"[NAME]\"", "hint: "]);
    // A token that frames every text is one of the model.
    let config = json!({"cls_token": "<s>"});
    model(folder, &[("added_tokens.json", json!({"<s>": 30522})), (CONFIG, config)]);
    predict(folder, &[], &["hello"]).fails(1, &["\"<s>\"", "30522"]);
}

/// A `tokenizer.json` whose special tokens are named as RoBERTa names them.
fn other_names(folder: &Path) {
    model(folder, &[]);
    run(folder, "export --f32 --model model --output plain").ok();
    let text = fs::read_to_string(folder.join("plain/tokenizer.json")).unwrap();
    let mut text = text.replace("\"[unused9]\"", "\"##unused\"");
    for (from, to) in [
        ("[CLS]", "<s>"),
        ("[SEP]", "</s>"),
        ("[UNK]", "<unk>"),
        ("[PAD]", "<pad>"),
        ("[MASK]", "<mask>"),
    ] {
        text = text.replace(&format!("\"{from}\""), &format!("\"{to}\""));
    }
    fs::write(folder.join("model/tokenizer.json"), text).unwrap();
    fs::remove_file(folder.join("model/vocab.txt")).unwrap();
}

#[test]
fn a_run_names_the_special_tokens_of_its_tokenizer() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    other_names(folder);
    let texts = ["thank you so much", "<s> </s> \u{4E2D} zzz"];
    let read = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    for class in [None, Some("PreTrainedTokenizerFast")] {
        if let Some(class) = class {
            fs::write(
                folder.join("model").join(CONFIG),
                json!({"tokenizer_class": class}).to_string(),
            )
            .unwrap();
        }
        let before = scores(folder, &texts);
        let _ = fs::remove_dir_all(folder.join("copy"));
        run(folder, "export --f32 --model model --output copy").ok();
        let config = read("copy/tokenizer_config.json");
        assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast");
        for config in [&config, &read("copy/special_tokens_map.json")] {
            let names = ["cls_token", "sep_token", "unk_token", "pad_token", "mask_token"];
            let found = names.map(|name| config[name].as_str().unwrap_or_default());
            assert_eq!(found, ["<s>", "</s>", "<unk>", "<pad>", "<mask>"]);
        }
        fs::rename(folder.join("model"), folder.join("kept")).unwrap();
        fs::rename(folder.join("copy"), folder.join("model")).unwrap();
        assert_eq!(scores(folder, &texts), before);
        fs::rename(folder.join("model"), folder.join("copy")).unwrap();
        fs::rename(folder.join("kept"), folder.join("model")).unwrap();
    }
}

#[test]
fn placeholders_of_the_vocabulary_are_found_and_keep_their_rows() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let train = "train --init model --max-steps 1 --quiet --placeholder-tokens --output";
    let id = |run: &str| {
        let path = folder.join(run).join("best/tokenizer.json");
        let json: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let added = json["added_tokens"].as_array().unwrap().clone();
        let name = added.into_iter().find(|token| token["content"] == "[NAME]").unwrap();
        name["id"].as_u64().unwrap()
    };
    // A plain entry of the vocabulary becomes an added token, which texts are searched for.
    model(folder, &[]);
    let path = folder.join("model/vocab.txt");
    let vocabulary = fs::read_to_string(&path).unwrap().replace("[unused50]", "[NAME]");
    fs::write(&path, &vocabulary).unwrap();
    let line = vocabulary.lines().position(|token| token == "[NAME]").unwrap();
    run(folder, &format!("{train} plain")).ok();
    assert_eq!(id("plain"), line as u64);
    // An added token keeps its id, here one without an embedding: texts of the sample have it.
    model(folder, &[("added_tokens.json", json!({"[NAME]": 30522}))]);
    fs::write(&path, vocabulary.replace("[NAME]", "[unused50]")).unwrap();
    run(folder, &format!("{train} added")).fails(1, &["\"[NAME]\"", "30522"]);
}

#[test]
fn words_are_explained_with_tokens_that_take_blanks_with_them() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let token = json!({"content": "[unused5]", "lstrip": true, "rstrip": true, "normalized": false,
        "single_word": false, "special": true});
    model(folder, &[(CONFIG, json!({"added_tokens_decoder": {"6": token}}))]);
    let flags = ["--explain", "--threshold", "0"];
    let row = &rows(&predict(folder, &flags, &["so  [unused5]  said"]).ok())[0];
    let text = row.to_string();
    assert!(text.contains("\"[unused5]\"") && !text.contains("\" "), "{text}");
    assert!(text.contains("\"so\"") && text.contains("\"said\""), "{text}");
}

#[test]
fn a_template_with_an_id_outside_of_the_vocabulary_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let model = folder.join("model");
    fs::create_dir_all(&model).unwrap();
    copy_model(&model);
    set(folder, CONFIG, "tokenizer_class", json!("PreTrainedTokenizerFast"));
    predict(folder, &[], &["so glad"]).ok();
    let path = model.join("tokenizer.json");
    let mut file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    file["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        ],
        "pair": [],
        "special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [99_999], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [102], "tokens": ["[SEP]"]},
        },
    });
    fs::write(&path, file.to_string()).unwrap();
    predict(folder, &[], &["so glad"]).fails(1, &["tokenizer.json", "the id 99999", "hint:"]);
}
