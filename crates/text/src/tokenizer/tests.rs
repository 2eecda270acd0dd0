//! The fast tokenizer against the `tokenizers` crate.

use std::fs;

use proptest::prelude::*;
use tokenizers::{NormalizedString, Normalizer, PreTokenizedString, PreTokenizer};

use super::basic::Words;
use super::config::Casing;
use super::*;

/// Texts of the kinds that tokenizers stumble over.
const ADVERSARIAL: [&str; 25] = [
    "",
    " \t\r\n\u{A0}\u{2028}\u{3000}\u{85}\u{B}\u{C}",
    "it's [NAME]'s [RELIGION]day: [SEP][CLS] [MASK][[PAD]] [UNK] [sep] [SEP",
    "[[NAME][NAME]] [NAM[NAME]E] [NAME",
    "Ünïcödé ÀÉÎÕÜ àéîõü Å ﬁ ﬀ ß ẞ İ ı ſ Σίσυφος ΑΣ",
    "e\u{301}a\u{308}\u{323}o\u{323}\u{308} \u{301}x",
    "a\u{315}\0\u{300}\u{1D165}\u{93C}\u{20DD}b",
    "中文字符 mixed中with文latin，。！ 한국어 조선글 ひらがな カタカナ が",
    "\u{F900}\u{FA0E}\u{2F800}\u{2B81F}\u{2B820}\u{2B91F}\u{2B920}\u{2CEAF}\u{30000}",
    "😀👍🏽👩\u{200D}👩\u{200D}👧 ❤\u{FE0F} 🇩🇪",
    "’‘“”…—–•°€£™®½²",
    "\u{0}\u{1}\u{7F}\u{80}\u{9F}\u{AD}\u{200B}\u{200E}\u{FEFF}\u{FFFD}\u{E000}\u{10FFFF}x",
    "≮≯≠ \u{37E} \u{1FEF} \u{2126} \u{212A}elvin \u{1E9E}",
    "http://www.example.org/~user?q=a+b&c=%20#x ##ing # ## ###a",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "don't_do-this.please,ok?!?! ... $5.00 50% <b> `code` ^_^ |x| {y} ~z",
    "ก็ดี ไทย हिन्दी தமிழ் עִבְרִית العَرَبِيَّة",
    "\u{1D400}\u{1F1E6}\u{10330}\u{E0041}\u{E0100}",
    "A\u{30A}ngstro\u{308}m \u{212B}ngström",
    "\u{AC00}\u{1100}\u{1161}\u{11A8}",
    "x\u{34F}y \u{180E}z \u{61C}w",
    "\u{FF21}\u{FF22}\u{FF23} \u{FF01} \u{3001}",
    "\u{2B73F}\u{2B740}\u{2B73E}\u{2A6DF}\u{2A6E0}\u{2A700}\u{9FFF}\u{A000}\u{3400}\u{33FF}",
    "x\u{302E}\0\u{1D165}y \u{302E}\u{1D165}",
    "0\u{338}=\u{338}<\u{338} ;\u{300}",
];

fn all_basics() -> impl Iterator<Item = Basic> {
    (0..8).map(|bits| Basic {
        lowercase: bits & 1 > 0,
        strip_accents: bits & 2 > 0,
        chinese_characters: bits & 4 > 0,
    })
}

fn reference_words(basic: Basic, text: &str) -> Vec<String> {
    let Basic { lowercase, strip_accents, chinese_characters } = basic;
    let normalizer = BertNormalizer::new(true, chinese_characters, Some(strip_accents), lowercase);
    let mut normalized = NormalizedString::from(text);
    normalizer.normalize(&mut normalized).unwrap();
    let mut split = PreTokenizedString::from(normalized.get());
    BertPreTokenizer.pre_tokenize(&mut split).unwrap();
    let words =
        split.get_splits(tokenizers::OffsetReferential::Normalized, tokenizers::OffsetType::Byte);
    words.into_iter().map(|(word, _, _)| word.to_owned()).collect()
}

fn words(basic: Basic, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    basic.words(text, &mut Words::default(), |word| found.push(word.to_owned()));
    found
}

#[test]
fn every_character_is_treated_as_by_the_crate() {
    let characters: Vec<char> = (0..=0x10_FFFF).filter_map(char::from_u32).collect();
    let default = Basic { lowercase: true, strip_accents: true, chinese_characters: true };
    let others = [
        Basic { lowercase: false, ..default },
        Basic { strip_accents: false, ..default },
        Basic { chinese_characters: false, ..default },
    ];
    for (index, characters) in characters.chunks(256).enumerate() {
        let text: String =
            characters.iter().flat_map(|&character| ['a', character, 'B', ' ']).collect();
        // All of it in one way, a part of it in each other way.
        let basics = [default].into_iter().chain(others).take(if index < 800 { 4 } else { 1 });
        for basic in basics {
            assert_eq!(words(basic, &text), reference_words(basic, &text), "{basic:?} {text:?}");
        }
    }
}

/// Characters that meet in interesting ways, and any others.
fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => prop::char::range(' ', '~'),
        2 => prop::char::range('\u{300}', '\u{36F}'),
        1 => prop::char::range('\0', '\u{2FF}'),
        1 => prop::char::range('\u{590}', '\u{FFF}'),
        1 => prop::char::range('\u{1E00}', '\u{33FF}'),
        1 => prop::char::range('\u{4DF0}', '\u{4E10}'),
        1 => prop::char::range('\u{AC00}', '\u{AC80}'),
        1 => prop::char::range('\u{F8F0}', '\u{FFFF}'),
        1 => prop::char::range('\u{1D150}', '\u{1D1FF}'),
        1 => prop::sample::select(vec!['\0', '\u{AD}', '\u{200D}', '\u{FFFD}', '\u{34F}', '\n', '[', ']']),
        2 => any::<char>(),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        6 => prop::collection::vec(character(), 0..12).prop_map(|c| c.into_iter().collect()),
        2 => "[a-e]{1,8}",
        1 => "[a-e]{90,110}",
        1 => prop::sample::select(vec![
            "[CLS]", "[SEP]", "[NAME]", "[RELIGION]", "[UNK]", "[PAD]", "[NAM", "[[", "##", "[SEP]]",
        ]).prop_map(str::to_owned),
        1 => prop::sample::select(ADVERSARIAL.to_vec()).prop_map(str::to_owned),
    ];
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

/// The ids of a text in both ways.
fn both(tokenizer: &Tokenizer, text: &str) -> (Vec<u32>, Vec<u32>) {
    let fast = tokenizer.shared.fast.as_ref().expect("the definition is BERT's");
    let fast = fast.encode(text, &mut Room::default()).to_vec();
    let reference = tokenizer.reference().unwrap().encode_fast(text, true).unwrap();
    (fast, reference.get_ids().to_vec())
}

/// The bundled one, from a vocabulary; with placeholders, from JSON; and one of few letters, in which
/// words have many partial matches and longest matches that lead nowhere.
fn tokenizers() -> Vec<Tokenizer> {
    let mut few = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##a\n##b\n##c\nab\nabcd\n##cde\nabc\n\
                   ##bcdea\nedcba\n##ab\n##ba\n##abab\n中\né\n##é\nß\n##ß\n'\n’\n[\n]\n#\n##"
        .to_owned();
    few.push_str(&format!("\n{}\n##{}\n", "a".repeat(100), "b".repeat(99)));
    let small = |casing| {
        let config = Config { casing, ..Config::default() };
        Tokenizer::from_vocabulary(few.clone().into(), config, "few".to_owned())
    };
    let cased = Casing { lowercase: false, chinese_characters: false, ..Casing::default() };
    vec![
        Tokenizer::bundled(),
        Tokenizer::bundled().with_placeholders(&PLACEHOLDERS).unwrap(),
        small(Casing::default()).unwrap(),
        small(cased).unwrap(),
    ]
}

#[test]
fn adversarial_texts_and_the_sample_give_the_crates_ids() {
    let sample = crate::sample().unwrap();
    let splits = [&sample.train, &sample.dev, &sample.test].into_iter().flatten();
    let sample: Vec<String> = splits
        .flat_map(|split| split.examples.iter().map(|example| example.text.clone()))
        .collect();
    assert!(sample.len() > 900);
    for tokenizer in tokenizers() {
        for text in ADVERSARIAL.iter().copied().chain(sample.iter().map(String::as_str)) {
            let (fast, reference) = both(&tokenizer, text);
            assert_eq!(fast, reference, "{text:?}");
        }
        for length in [99, 100, 101] {
            for text in ["a".repeat(length), "é".repeat(length), format!("a{}", "b".repeat(length))]
            {
                let (fast, reference) = both(&tokenizer, &text);
                assert_eq!(fast, reference, "{text:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_texts_give_the_crates_words(text in text()) {
        for basic in all_basics() {
            prop_assert_eq!(words(basic, &text), reference_words(basic, &text), "{:?}", basic);
        }
    }
}

#[test]
fn random_texts_give_the_crates_ids() {
    let tokenizers = tokenizers();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(2000));
    let outcome = runner.run(&text(), |text| {
        for tokenizer in &tokenizers {
            let (fast, reference) = both(tokenizer, &text);
            prop_assert_eq!(fast, reference);
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn the_beginning_of_a_text_has_the_words_of_the_whole() {
    let tokenizers = tokenizers();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(2000));
    let long = prop::collection::vec(text(), 1..4).prop_map(|texts| texts.concat());
    let outcome = runner.run(&(long, 3..20_usize), |(text, length)| {
        for tokenizer in &tokenizers {
            let tokenizer = tokenizer.clone().with_max_length(length).unwrap();
            prop_assert_eq!(tokenizer.words(&text).unwrap(), tokenizer.words_of(&text).unwrap());
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn only_the_beginning_of_a_long_text_is_read_for_its_words() {
    for text in ["so it goes ", "so,it.", "\u{4E2D}\u{6587}", "\u{FEFF}x\u{3000}", "a\tb-c"] {
        let long = text.repeat(3_000);
        for length in [3, 128] {
            let tokenizer = Tokenizer::bundled().with_max_length(length).unwrap();
            let read = tokenizer.beginning(&long);
            assert!(read.len() <= 64 * length, "{} bytes of {text:?}", read.len());
            assert_eq!(tokenizer.words(&long).unwrap(), tokenizer.words_of(&long).unwrap());
            // What is not cut is read whole.
            let short = "x ".repeat(length - 2);
            assert_eq!(tokenizer.beginning(&short), short);
        }
    }
}

#[test]
fn many_texts_are_encoded_in_their_order() {
    let texts: Vec<String> = (0..20_000).map(|i| format!("text {i} of many")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let tokenizer = Tokenizer::bundled();
    let all = tokenizer.encode_all(&texts).unwrap();
    assert_eq!(all.len(), texts.len());
    for (text, found) in texts.iter().zip(all) {
        assert_eq!(found, tokenizer.encode(text).unwrap());
    }
    assert!(tokenizer.encode_all(&[]).unwrap().is_empty());
    let long = "so it goes ".repeat(20_000);
    assert_eq!(tokenizer.encode_all(&[&long]).unwrap()[0].full_length, 60_002);
}

#[test]
fn threads_are_no_more_than_asked_for() {
    let shares = |threads, bytes| Tokenizer::bundled().with_threads(threads).shares(bytes);
    assert_eq!([Some(1), Some(3)].map(|threads| shares(threads, 1 << 30)), [1, 3]);
    assert_eq!(shares(Some(3), BYTES_PER_THREAD), 1);
    assert!(shares(None, 1 << 30) >= 1);
    let texts = vec!["so it goes"; 20_000];
    let mut slow = json();
    slow["added_tokens"][4]["lstrip"] = json!(true);
    for tokenizer in [Tokenizer::bundled(), as_it_is(slow)] {
        let all = [1, 3].map(|threads| {
            tokenizer.clone().with_threads(Some(threads)).encode_all(&texts).unwrap()
        });
        assert_eq!(all[0], all[1]);
        assert_eq!(all[0].len(), texts.len());
    }
}

/// The bundled tokenizer as JSON.
fn json() -> Value {
    Tokenizer::bundled().to_json().unwrap()
}

/// A `tokenizer.json` read as it is.
fn as_it_is(value: Value) -> Tokenizer {
    let config = Config { class: Class::File, max_length: Some(128), ..Config::default() };
    Tokenizer::from_json(value.to_string(), config, "made".to_owned()).unwrap()
}

/// Whether a `tokenizer.json` is read without the crate, where anything can read it.
fn is_fast(value: &Value) -> bool {
    let config = Config { class: Class::File, ..Config::default() };
    let made = Tokenizer::from_json(value.to_string(), config, "made".to_owned());
    made.is_ok_and(|made| made.shared.fast.is_some())
}

#[test]
fn only_berts_definition_is_taken() {
    assert!(is_fast(&json()));
    let template = json!({
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [102], "tokens": ["[SEP]"]},
        },
    });
    let mut value = json();
    value["post_processor"] = template;
    assert!(is_fast(&value));
    let (fast, reference) = both(&as_it_is(value), "all's well [SEP]");
    assert_eq!(fast, reference);

    // What each asks for, the fast one does not do.
    let others: [(&str, Value); 13] = [
        ("/normalizer/clean_text", json!(false)),
        ("/normalizer", json!({"type": "Lowercase"})),
        ("/normalizer", Value::Null),
        ("/pre_tokenizer", json!({"type": "Whitespace"})),
        ("/pre_tokenizer", Value::Null),
        ("/model/continuing_subword_prefix", json!("@@")),
        ("/model/unk_token", json!("none such")),
        ("/added_tokens/0/lstrip", json!(true)),
        ("/added_tokens/0/single_word", json!(true)),
        ("/added_tokens/1/normalized", json!(true)),
        ("/added_tokens/1/content", json!("[new]")),
        ("/post_processor/cls", json!(["[CLS]", "101"])),
        ("/version", json!("2.0")),
    ];
    for (at, other) in others {
        let mut value = json();
        *value.pointer_mut(at).unwrap_or_else(|| panic!("no {at}")) = other;
        assert!(!is_fast(&value), "{at}");
    }
    // And the crate does it.
    let mut value = json();
    value["added_tokens"][4]["lstrip"] = json!(true);
    let slow = as_it_is(value);
    assert!(slow.shared.fast.is_none());
    assert_eq!(slow.encode("a [MASK]").unwrap().ids.len(), 4);
    assert_eq!(slow.encode_all(&["a [MASK]"]).unwrap()[0].ids.len(), 4);
    assert_eq!(slow.vocabulary_size(), 30522);
}

/// All lines of a file in both ways, timed: of the sample, or of what `TINYMOOD_TEST_TEXTS` names.
#[test]
fn texts_of_a_file_give_the_crates_ids() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/sample/train.tsv");
    let path = std::env::var_os("TINYMOOD_TEST_TEXTS").unwrap_or_else(|| sample.into());
    let contents = fs::read(path).unwrap();
    let contents = String::from_utf8_lossy(&contents);
    let texts: Vec<&str> = contents.lines().collect();
    let tokenizer = Tokenizer::bundled();
    let (mut fast_time, mut reference_time) =
        (std::time::Duration::ZERO, std::time::Duration::ZERO);
    let reference = tokenizer.reference().unwrap();
    for texts in texts.chunks(20_000) {
        let start = std::time::Instant::now();
        let fast = tokenizer.encode_all(texts).unwrap();
        fast_time += start.elapsed();
        let start = std::time::Instant::now();
        let expected = reference.encode_batch_fast(texts.to_vec(), true).unwrap();
        reference_time += start.elapsed();
        for ((fast, expected), text) in fast.iter().zip(expected).zip(texts) {
            assert_eq!(*fast, tokenizer.cut(expected.get_ids()), "{text:?}");
        }
    }
    let rate = |time: std::time::Duration| texts.len() as f64 / time.as_secs_f64();
    let (fast, reference) = (rate(fast_time), rate(reference_time));
    println!("{} texts: {fast:.0} a second, the crate {reference:.0}", texts.len());
}
