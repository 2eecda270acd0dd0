//! `tokenizer.json` files that make the `tokenizers` crate panic, or fill all memory: refused by name, or one text
//! at a time. And those that ask for more than BERT's tokenizer and are read.

use std::fs;

use serde_json::{Value, json};
use tinymood_text::{Tokenizer, TokenizerError};

const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##c\n\"\n";

/// Opens a tokenizer.json of a small vocabulary after a change, as it is: of a `BertTokenizer`, only its
/// vocabulary would count.
fn open(change: impl Fn(&mut Value)) -> Result<Tokenizer, TokenizerError> {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("vocab.txt"), VOCABULARY).unwrap();
    let files = Tokenizer::from_folder(place.path()).unwrap().files().unwrap();
    let mut value: Value = serde_json::from_slice(&files[0].1).unwrap();
    change(&mut value);
    fs::write(place.path().join("tokenizer.json"), value.to_string()).unwrap();
    let config = json!({"tokenizer_class": "PreTrainedTokenizerFast"}).to_string();
    fs::write(place.path().join("tokenizer_config.json"), config).unwrap();
    Tokenizer::from_folder(place.path())
}

fn replace(pattern: Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

fn sequence(steps: Vec<Value>) -> Value {
    json!({"type": "Sequence", "normalizers": steps})
}

#[test]
fn what_the_crate_would_panic_or_choke_on_is_refused_by_name() {
    let bert = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
        "strip_accents": null, "lowercase": true});
    let special = json!({"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}});
    let piece = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
    let text = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    let template = |single: Vec<Value>| {
        json!({"type": "TemplateProcessing", "single": single,
            "pair": [text("A"), text("B")], "special_tokens": special})
    };
    // A trie of one unit that leads far beyond its end.
    let charsmap = "BAAAAP///3///w==";
    let ten_times = replace(json!({"String": "a"}), "aaaaaaaaaa");
    for (field, value, expected) in [
        (
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": charsmap}),
            "Precompiled",
        ),
        (
            "normalizer",
            sequence(vec![bert, json!({"type": "Precompiled", "precompiled_charsmap": charsmap})]),
            "Precompiled",
        ),
        ("normalizer", sequence(vec![ten_times; 9]), "times as long"),
        ("normalizer", replace(json!({"Regex": "(a|aa)+(?=b)"}), "a"), "backtracking"),
        ("normalizer", replace(json!({"String": "a".repeat(1000)}), "a"), "1000 bytes"),
        ("pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "FixedLength"),
        (
            "pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "(?!x)(a*)*b"}, "behavior": "Isolated",
                "invert": false}),
            "backtracking",
        ),
        ("post_processor", template(vec![piece("[CLS]"), text("A"), piece("[GONE]")]), "[GONE]"),
        ("post_processor", template(vec![piece("[CLS]"), text("B"), piece("[CLS]")]), "text A"),
        ("post_processor", template(vec![text("A"), text("A")]), "2 times"),
        ("model", json!({"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 0}), "Unigram"),
    ] {
        let error = open(|file| file[field] = value.clone()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json") && error.contains(expected), "{error}");
    }
    let long = open(|file| file["model"]["max_input_chars_per_word"] = json!(1 << 30)).unwrap_err();
    assert!(long.to_string().contains("max_input_chars_per_word"), "{long}");
}

#[test]
fn what_is_known_is_read() {
    let step = |value: Value| open(|file| file["normalizer"] = value.clone()).unwrap();
    let ids = |tokenizer: &Tokenizer, text: &str| tokenizer.encode(text).unwrap().ids;
    let quotes = step(sequence(vec![
        json!({"type": "Strip", "strip_left": true, "strip_right": true}),
        replace(json!({"String": "''"}), "\""),
        replace(json!({"Regex": " {2,}"}), " "),
        json!({"type": "Lowercase"}),
    ]));
    assert_eq!(ids(&quotes, " ''A  b''"), [2, 8, 5, 6, 8, 3]);
    let split = open(|file| {
        file["pre_tokenizer"] = json!({"type": "Split", "pattern": {"Regex": "\\s+|b"},
            "behavior": "Isolated", "invert": false});
    });
    assert_eq!(ids(&split.unwrap(), "acb"), [2, 5, 7, 6, 3]);
}

#[test]
fn a_text_that_cannot_be_taken_costs_no_other_text() {
    // Of a vocabulary without the token for unknown words, only texts of known words have ids.
    let no_unknown = open(|file| file["model"]["unk_token"] = json!("[GONE]")).unwrap();
    // What may become 64 times as long must be short.
    let long = open(|file| file["normalizer"] = replace(json!({"String": "x"}), &"a".repeat(64)));
    let long_text = "b ".repeat(50_000);
    for (tokenizer, text) in [(no_unknown, "zzz"), (long.unwrap(), &*long_text)] {
        let outcomes = tokenizer.encode_each(&["a", text, "b"]);
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        let error = outcomes[1].as_ref().unwrap_err();
        assert!(matches!(error, TokenizerError::Encode(_)), "{error}");
        assert!(tokenizer.encode_all(&["a", text]).is_err());
        assert!(tokenizer.tokens(text, true).is_err());
        assert_eq!(tokenizer.encode("a b").unwrap().ids, [2, 5, 6, 3]);
    }
}
