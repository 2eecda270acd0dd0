//! The tokenizer against `transformers` (`reference/tokenizer.py`), and against damaged files.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use tinymood_text::{PLACEHOLDERS, Tokenizer, TokenizerError};

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn written(tokenizer: &Tokenizer, only: Option<&[&str]>) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for (name, bytes) in tokenizer.files().unwrap() {
        if only.is_none_or(|only| only.contains(&&*name)) {
            fs::write(place.path().join(name), bytes).unwrap();
        }
    }
    place
}

#[test]
fn ids_equal_those_of_transformers() {
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("../../../goldens/tokenizer.json")).unwrap();
    assert!(cases.len() > 120);
    let bundled = Tokenizer::bundled().with_max_length(512).unwrap();
    let from_json = written(&bundled, Some(&["tokenizer.json"]));
    let from_vocabulary = written(&bundled, Some(&["vocab.txt", "tokenizer_config.json"]));
    let open = |place: &tempfile::TempDir| {
        Tokenizer::from_folder(place.path()).unwrap().with_max_length(512).unwrap()
    };
    for tokenizer in [&bundled, &open(&from_json), &open(&from_vocabulary)] {
        let cut = tokenizer.clone().with_max_length(16).unwrap();
        for case in &cases {
            let text = case["text"].as_str().unwrap();
            assert_eq!(tokenizer.encode(text).unwrap().ids, ids(&case["ids"]), "{text:?}");
            let short = cut.encode(text).unwrap();
            assert_eq!(short.ids, ids(&case["cut"]), "{text:?}, cut");
            assert_eq!(short.full_length, ids(&case["ids"]).len(), "{text:?}");
        }
        let texts: Vec<&str> = cases.iter().map(|case| case["text"].as_str().unwrap()).collect();
        let all = tokenizer.encode_all(&texts).unwrap();
        assert!(all.iter().zip(&cases).all(|(found, case)| found.ids == ids(&case["ids"])));
    }
    assert_eq!(bundled.vocabulary_size(), 30522);
}

#[test]
fn a_files_own_truncation_and_padding_are_overridden() {
    let place = written(&Tokenizer::bundled(), None);
    let path = place.path().join("tokenizer.json");
    let mut value: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    value["truncation"] = serde_json::json!({
        "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0,
    });
    value["padding"] = serde_json::json!({
        "strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    });
    fs::write(&path, value.to_string()).unwrap();
    let text = "one two three four five six";
    let found = Tokenizer::from_folder(place.path()).unwrap().encode(text).unwrap();
    assert_eq!(found, Tokenizer::bundled().encode(text).unwrap());
    assert_eq!(found.ids.len(), 8);
}

#[test]
fn casing_comes_from_the_configuration() {
    let place = written(&Tokenizer::bundled(), Some(&["vocab.txt"]));
    let config = place.path().join("tokenizer_config.json");
    fs::write(config, r#"{"do_lower_case": false}"#).unwrap();
    let cased = Tokenizer::from_folder(place.path()).unwrap();
    assert_ne!(cased.encode("Hello").unwrap(), Tokenizer::bundled().encode("Hello").unwrap());
    assert_eq!(cased.encode("hello").unwrap(), Tokenizer::bundled().encode("hello").unwrap());
}

#[test]
fn placeholders_become_tokens_and_are_saved() {
    let plain = Tokenizer::bundled();
    let with = plain.clone().with_placeholders(&PLACEHOLDERS).unwrap();
    let text = "thank you [NAME], love from [RELIGION]land";
    assert!(with.encode(text).unwrap().ids.len() < plain.encode(text).unwrap().ids.len());
    assert_eq!(with.vocabulary_size(), 30522);
    assert_eq!(with.encode("a [NAME] b").unwrap().ids.len(), 5);
    let place = written(&with, None);
    let again = Tokenizer::from_folder(place.path()).unwrap();
    assert_eq!(again.encode(text).unwrap(), with.encode(text).unwrap());
    // A second time nothing changes.
    let twice = again.with_placeholders(&PLACEHOLDERS).unwrap();
    assert_eq!(twice.encode(text).unwrap(), with.encode(text).unwrap());
    let many: Vec<String> = (0..2000).map(|i| format!("[TOKEN{i}]")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(plain.with_placeholders(&many), Err(TokenizerError::NoSlot(_))));
}

#[test]
fn a_placeholder_of_the_vocabulary_keeps_its_id() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
    write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[unused0]\n[unused1]\n[NAME]\nhi\n");
    // In the vocabulary, but not found in texts until it is an added token.
    let plain = Tokenizer::from_folder(place.path()).unwrap();
    assert_eq!(plain.encode("hi [NAME]").unwrap().ids, [2, 7, 1, 1, 1, 3]);
    let with = plain.with_placeholders(&PLACEHOLDERS).unwrap();
    assert_eq!(with.encode("hi [NAME] [RELIGION]").unwrap().ids, [2, 7, 6, 4, 3]);
    // An added token beyond the vocabulary keeps its id, and so its embedding.
    write("added_tokens.json", "{\"[RELIGION]\": 8}");
    let added = Tokenizer::from_folder(place.path()).unwrap();
    let with = added.with_placeholders(&PLACEHOLDERS).unwrap();
    assert_eq!(with.encode("hi [NAME] [RELIGION]").unwrap().ids, [2, 7, 6, 8, 3]);
    let place = written(&with, None);
    let again = Tokenizer::from_folder(place.path()).unwrap();
    assert_eq!(again.encode("hi [NAME] [RELIGION]").unwrap().ids, [2, 7, 6, 8, 3]);
}

#[test]
fn what_is_no_tokenizer_is_named() {
    let place = tempfile::tempdir().unwrap();
    let error = || Tokenizer::from_folder(place.path()).unwrap_err().to_string();
    assert!(error().contains("neither tokenizer.json nor vocab.txt"));
    fs::write(place.path().join("vocab.txt"), "[UNK]\nhello\n").unwrap();
    assert!(error().contains("lacks the token \"[CLS]\""), "{}", error());
    for text in ["", "{}", "[]", "{\"model\": {\"type\": \"BPE\"}}", "{\"model\": 3}"] {
        fs::write(place.path().join("tokenizer.json"), text).unwrap();
        assert!(error().contains("tokenizer.json"), "{text}: {}", error());
    }
    assert!(Tokenizer::bundled().with_max_length(2).is_err());
}

/// A whole tokenizer.json of a small vocabulary.
fn small_json() -> String {
    let place = tempfile::tempdir().unwrap();
    let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##c\n[unused0]\n";
    fs::write(place.path().join("vocab.txt"), vocabulary).unwrap();
    let files = Tokenizer::from_folder(place.path()).unwrap().files().unwrap();
    String::from_utf8(files[0].1.clone()).unwrap()
}

fn open_json(place: &Path, text: &[u8]) {
    fs::write(place.join("tokenizer.json"), text).unwrap();
    if let Ok(tokenizer) = Tokenizer::from_folder(place) {
        let _ = tokenizer.encode("a bc [SEP] é 😀");
        let _ = tokenizer.files();
    }
}

#[test]
fn damaged_files_do_not_panic() {
    let place = tempfile::tempdir().unwrap();
    let whole = small_json().into_bytes();
    for at in 0..whole.len() {
        for replacement in [b'0', b'"', b'}', b'-', 0xFF] {
            let mut damaged = whole.clone();
            damaged[at] = replacement;
            open_json(place.path(), &damaged);
        }
        open_json(place.path(), &whole[..at]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_panics(text in "\\PC*", max_length in 3_usize..40) {
        let tokenizer = Tokenizer::bundled().with_max_length(max_length).unwrap();
        let found = tokenizer.encode(&text).unwrap();
        prop_assert!(found.ids.len() <= max_length);
        prop_assert_eq!((found.ids[0], *found.ids.last().unwrap()), (101, 102));
        prop_assert_eq!(found.is_truncated(), found.full_length > max_length);
    }
}
