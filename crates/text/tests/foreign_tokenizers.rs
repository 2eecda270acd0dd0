//! Folders of tokenizer files as other people have them, against what `transformers` makes of them
//! (`reference/foreign_tokenizers.py`); and fields that are refused.

use std::fs;

use serde_json::{Value, json};
use tinymood_text::{Tokenizer, TokenizerError};

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("../../../goldens/foreign_tokenizers.json")).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn folder(files: &Value) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for (name, text) in files.as_object().unwrap() {
        fs::write(place.path().join(name), text.as_str().unwrap()).unwrap();
    }
    place
}

fn check(tokenizer: &Tokenizer, case: &Value, name: &str) {
    let limit = case["max_length"].as_u64().map_or(usize::MAX, |length| length as usize);
    assert_eq!(tokenizer.max_length(), limit, "{name}");
    let whole = tokenizer.clone().with_max_length(usize::MAX).unwrap();
    for case in case["texts"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        assert_eq!(whole.encode(text).unwrap().ids, ids(&case["ids"]), "{name}: {text:?}");
        assert_eq!(tokenizer.encode(text).unwrap().ids, ids(&case["cut"]), "{name}: {text:?}, cut");
        let tokens = whole.tokens(text, true).unwrap();
        let named: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        assert_eq!(named, ids(&case["ids"]), "{name}: the crate's ids of {text:?}");
        // Every id but the frame is of one word, and no word begins or ends with a blank.
        let mut next = 1;
        let characters: Vec<char> = text.chars().collect();
        for word in whole.words(text).unwrap() {
            assert_eq!(word.tokens.start, next, "{name}: {text:?}");
            next = word.tokens.end;
            let spelled: String = characters[word.characters].iter().collect();
            assert_eq!(spelled.trim(), spelled, "{name}: {text:?}");
        }
        assert_eq!(next, ids(&case["ids"]).len() - 1, "{name}: {text:?}");
    }
}

#[test]
fn folders_give_the_ids_of_transformers() {
    let cases = cases();
    assert!(cases.len() > 70);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let place = folder(&case["files"]);
        let tokenizer =
            Tokenizer::from_folder(place.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        check(&tokenizer, case, name);
        // What is written is read the same.
        let again = tempfile::tempdir().unwrap();
        for (file, bytes) in tokenizer.files().unwrap() {
            fs::write(again.path().join(file), bytes).unwrap();
        }
        let again = Tokenizer::from_folder(again.path())
            .unwrap_or_else(|error| panic!("{name}, written: {error}"));
        check(&again, case, &format!("{name}, written"));
        assert_eq!(again.mask_token().unwrap(), tokenizer.mask_token().unwrap(), "{name}");
    }
}

const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n";

/// What opening a folder with these files beside a vocabulary says.
fn error(files: &Value) -> String {
    let place = folder(&json!({"vocab.txt": VOCABULARY}));
    for (name, content) in files.as_object().unwrap() {
        let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
        fs::write(place.path().join(name), text).unwrap();
    }
    match Tokenizer::from_folder(place.path()) {
        Ok(_) => panic!("{files} is read"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_would_change_the_ids_is_refused_by_name() {
    let config = "tokenizer_config.json";
    for (field, value) in [
        ("tokenizer_class", json!("BertJapaneseTokenizer")),
        ("tokenizer_class", json!("RobertaTokenizerFast")),
        ("tokenizer_class", json!("MyTokenizer")),
        ("tokenizer_class", json!("")),
        ("tokenizer_class", json!(3)),
        ("auto_map", json!({"AutoTokenizer": ["code.MyTokenizer", null]})),
        ("auto_map", json!(["code.MyTokenizer", null])),
        ("do_lower_case", json!("false")),
        ("do_lower_case", json!(0)),
        ("do_lower_case", json!(null)),
        ("strip_accents", json!("no")),
        ("tokenize_chinese_chars", json!(1)),
        ("do_basic_tokenize", json!(false)),
        ("never_split", json!(["hello"])),
        ("never_split", json!("hello")),
        ("word_tokenizer_type", json!("mecab")),
        ("subword_tokenizer_type", json!("character")),
        ("do_word_tokenize", json!(false)),
        ("split_special_tokens", json!(true)),
        ("truncation_side", json!("left")),
        ("truncation_side", json!(null)),
        ("add_special_tokens", json!(true)),
        ("init_inputs", json!(["other.txt"])),
        ("fast_tokenizer_files", json!(["tokenizer.json", "tokenizer.4.0.json"])),
        ("model_max_length", json!(-2)),
        ("model_max_length", json!(2)),
        ("model_max_length", json!(5.5)),
        ("model_max_length", json!("512")),
        ("model_max_length", json!(true)),
        ("model_max_length", json!([512])),
        ("max_len", json!("512")),
        ("unk_token", json!(7)),
        ("additional_special_tokens", json!("[NAME]")),
        ("additional_special_tokens", json!([7])),
        ("extra_special_tokens", json!([{"lstrip": true}])),
        ("extra_special_tokens", json!([{"content": "[NAME]"}])),
        ("extra_special_tokens", json!({"name_token": {"content": "[NAME]"}})),
        ("extra_special_tokens", json!({"name_token": null})),
        ("extra_special_tokens", json!({"cls_token": "world"})),
        ("additional_special_tokens", json!([{"content": "[NAME]"}])),
        ("cls_token", json!({"content": "[CLS]"})),
        ("mask_token", json!({"content": "[MASK]", "__type": "Token"})),
        ("added_tokens_decoder", json!(null)),
        ("added_tokens_decoder", json!({"seven": "x"})),
        ("added_tokens_decoder", json!({"7": {"content": "x", "lstrip": "yes"}})),
    ] {
        let message = error(&json!({config: {field: value}}));
        assert!(message.contains(config) && message.contains(field), "{value}: {message}");
    }
    for (file, content, expected) in [
        ("config.json", json!({"tokenizer_class": "BertJapaneseTokenizer"}), "tokenizer_class"),
        ("config.json", json!({"auto_map": {"AutoTokenizer": "a.B"}}), "auto_map"),
        ("special_tokens_map.json", json!({"do_basic_tokenize": false}), "do_basic_tokenize"),
        ("special_tokens_map.json", json!({"mask_token": {"content": 3}}), "mask_token"),
        (
            "special_tokens_map.json",
            json!({"additional_special_tokens": {"name_token": "[NAME]"}}),
            "additional_special_tokens",
        ),
        ("added_tokens.json", json!({"[NAME]": "7"}), "[NAME]"),
        ("added_tokens.json", json!({"[NAME]": -7}), "[NAME]"),
        ("tokenizer_config.json", json!(""), "tokenizer_config.json"),
        ("tokenizer_config.json", json!("{\"do_lower_case\""), "tokenizer_config.json"),
        ("tokenizer_config.json", json!([]), "expected an object"),
        ("special_tokens_map.json", json!("[]"), "expected an object"),
        ("added_tokens.json", json!("3"), "expected an object"),
    ] {
        let message = error(&json!({file: content}));
        assert!(message.contains(file) && message.contains(expected), "{content}: {message}");
    }
    // transformers would give these another id, or none.
    for (file, content) in [
        (config, json!({"added_tokens_decoder": {"7": {"content": "a"}, "9": {"content": "b"}}})),
        (config, json!({"added_tokens_decoder": {"9": {"content": "[NAME]"}}})),
        (config, json!({"added_tokens_decoder": {"5": {"content": "world"}}})),
        ("added_tokens.json", json!({"[NAME]": 8})),
    ] {
        let message = error(&json!({file: content}));
        assert!(
            message.contains(&format!("{file} is no usable"))
                && message.contains("vocab.txt gives"),
            "{message}"
        );
    }
    for (name, value) in [("cls_token", json!("<s>")), ("unk_token", json!("<unk>"))] {
        let message = error(&json!({config: {name: value}}));
        assert!(message.contains("lacks the token \"<"), "{message}");
    }
    assert!(error(&json!({config: {"sep_token": null}})).contains("lacks the token \"sep_token\""));
    let message = error(&json!({config: {"tokenizer_class": "PreTrainedTokenizerFast"}}));
    assert!(message.contains("tokenizer.json, which is not there"), "{message}");
}

#[test]
fn a_frame_that_the_configuration_takes_away_is_refused() {
    let place = folder(&json!({"vocab.txt": VOCABULARY}));
    let files = Tokenizer::from_folder(place.path()).unwrap().files().unwrap();
    let definition: Value = serde_json::from_slice(&files[0].1).unwrap();
    for (field, value) in [
        ("cls_token", json!("")),
        ("cls_token", json!("<s>")),
        ("sep_token", json!(null)),
        ("unk_token", json!("<unk>")),
    ] {
        for file in ["tokenizer_config.json", "special_tokens_map.json"] {
            let message = error(&json!({"tokenizer.json": definition, file: {field: value}}));
            let expected = format!("{file}: {field} is {value}, expected a token of ");
            assert!(message.contains(&expected), "{message}");
        }
    }
}

#[test]
fn a_tokenizer_json_that_keeps_the_end_of_a_text_is_refused() {
    let place = folder(&json!({"vocab.txt": VOCABULARY}));
    let files = Tokenizer::from_folder(place.path()).unwrap().files().unwrap();
    let mut value: Value = serde_json::from_slice(&files[0].1).unwrap();
    value["truncation"] =
        json!({"direction": "Left", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
    for class in ["BertTokenizer", "PreTrainedTokenizerFast"] {
        let files = json!({
            "tokenizer.json": value,
            "tokenizer_config.json": {"tokenizer_class": class},
        });
        assert!(error(&files).contains("truncation.direction is \"Left\""), "{}", error(&files));
    }
}

#[test]
fn fields_of_another_kind_are_refused_though_they_change_nothing() {
    let place = folder(&json!({"vocab.txt": VOCABULARY}));
    let files = Tokenizer::from_folder(place.path()).unwrap().files().unwrap();
    let definition: Value = serde_json::from_slice(&files[0].1).unwrap();
    for (field, value) in [
        ("continuing_subword_prefix", json!(1)),
        ("unk_token", json!(null)),
        ("max_input_chars_per_word", json!("100")),
    ] {
        let mut changed = definition.clone();
        changed["model"][field] = value;
        let message = error(&json!({"tokenizer.json": changed}));
        assert!(message.contains("tokenizer.json") && message.contains("expected"), "{message}");
    }
    let mut changed = definition;
    changed["decoder"] = json!({"type": "x"});
    assert!(error(&json!({"tokenizer.json": changed})).contains("tokenizer.json"));
}

#[test]
fn lengths_that_are_none_and_whole_numbers_with_a_point_are_read() {
    // transformers fails on these where it cuts a text: 512.0 is no integer there, and -1 none of a length.
    for (field, value, expected) in [
        ("model_max_length", json!(512.0), 512),
        ("max_len", json!(64.0), 64),
        ("model_max_length", json!(-1), usize::MAX),
        ("model_max_length", json!(1e20), usize::MAX),
    ] {
        let config = json!({ field: value }).to_string();
        let place = folder(&json!({"vocab.txt": VOCABULARY, "tokenizer_config.json": config}));
        let tokenizer = Tokenizer::from_folder(place.path()).unwrap();
        assert_eq!(tokenizer.max_length(), expected, "{field}: {value}");
    }
}

#[test]
fn tokens_with_flags_but_without_their_type_are_read() {
    // As transformers 4 writes and reads them; 5 fails on them.
    let token = json!({"content": "[NAME]", "lstrip": true, "rstrip": false, "normalized": false, "single_word": false});
    let map = json!({"additional_special_tokens": [token]}).to_string();
    let place = folder(&json!({"vocab.txt": VOCABULARY, "special_tokens_map.json": map}));
    let tokenizer = Tokenizer::from_folder(place.path()).unwrap();
    assert_eq!(tokenizer.encode("hello  [NAME]world").unwrap().ids, [2, 5, 7, 6, 3]);
}

#[test]
fn only_texts_with_an_id_that_has_no_embedding_are_refused() {
    let map = json!({"additional_special_tokens": ["[NAME]"]}).to_string();
    let place = folder(&json!({"vocab.txt": VOCABULARY, "special_tokens_map.json": map}));
    let tokenizer = Tokenizer::from_folder(place.path()).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 8);
    let narrow = tokenizer.clone().with_embeddings(7).unwrap();
    assert_eq!(narrow.encode("hello world").unwrap().ids, [2, 5, 6, 3]);
    let error = narrow.encode("hello [NAME]").unwrap_err();
    assert!(matches!(&error, TokenizerError::NoEmbedding { id: 7, rows: 7, .. }), "{error}");
    assert!(error.to_string().contains("[NAME]"), "{error}");
    let each = narrow.encode_each(&["hello", "[NAME]", "world"]);
    assert_eq!(each.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert!(narrow.encode_all(&["hello", "[NAME]"]).is_err());
    // What is cut off does not count.
    let cut = narrow.clone().with_max_length(3).unwrap();
    assert_eq!(cut.encode("hello [NAME]").unwrap().ids, [2, 5, 3]);
    // Without an embedding of [SEP] there is no text; without one of [MASK], no masking.
    let error = tokenizer.clone().with_embeddings(3).unwrap_err();
    assert!(error.to_string().contains("[SEP]"), "{error}");
    let narrow = tokenizer.clone().with_embeddings(4).unwrap();
    assert_eq!((tokenizer.mask_token().unwrap(), narrow.mask_token().unwrap()), (Some(4), None));
}
