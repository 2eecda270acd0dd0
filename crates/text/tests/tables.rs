//! Tables as people have them, read as pandas and Python read them (`reference/tables.py`), or refused by name.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use serde_json::{Value, json};
use tinymood_core::LabelSet;
use tinymood_text::{
    DataError, Dataset, Encoding, Format, LabelList, ListRole, ReadOptions, RowProblem,
    StreamOptions, TextFormat, TextStream, Unlabelled, read_dataset,
};

fn goldens() -> Value {
    serde_json::from_str(include_str!("../../../goldens/tables.json")).unwrap()
}

/// A folder with one file.
struct Lone {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Lone {
    fn new(name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        Self { _folder: folder, path }
    }
}

fn labels() -> LabelList {
    let labels = LabelSet::new(["joy", "anger", "love"]).unwrap();
    LabelList { labels, source: "a list".to_owned(), role: ListRole::Given }
}

fn options() -> ReadOptions {
    ReadOptions { labels: Some(labels()), ..ReadOptions::default() }
}

fn read(name: &str, bytes: impl AsRef<[u8]>, options: &ReadOptions) -> Result<Dataset, DataError> {
    read_dataset(&Lone::new(name, bytes).path, options)
}

/// The problem of the first malformed row, and what is said to do about it.
#[track_caller]
fn refused(name: &str, bytes: impl AsRef<[u8]>) -> (String, String) {
    let error = read(name, bytes, &options()).unwrap_err();
    (error.to_string(), error.hint().unwrap_or_default())
}

fn texts_of(dataset: &Dataset) -> Vec<&str> {
    dataset.examples.iter().map(|row| row.text.as_str()).collect()
}

type Rows = Vec<Result<String, RowProblem>>;

fn stream_as(
    name: &str,
    bytes: impl AsRef<[u8]>,
    options: &StreamOptions,
) -> Result<Rows, DataError> {
    let file = Lone::new(name, bytes);
    TextStream::open(&file.path, options)?.map(|row| Ok(row?.text)).collect()
}

#[track_caller]
fn stream(name: &str, bytes: impl AsRef<[u8]>) -> Rows {
    stream_as(name, bytes, &StreamOptions::default()).unwrap()
}

fn ok(text: &str) -> Result<String, RowProblem> {
    Ok(text.to_owned())
}

fn cells(found: usize, header: usize) -> Result<String, RowProblem> {
    Err(RowProblem::Cells { found, header })
}

#[test]
fn csv_rows_are_those_of_pandas_or_refused() {
    let goldens = goldens();
    let mut differ = Vec::new();
    for case in goldens["csv"].as_array().unwrap() {
        let (name, file) = (case["name"].as_str().unwrap(), case["file"].as_str().unwrap());
        let pandas = &case["default"];
        let is_read = pandas["shifted"] == false;
        let rows = pandas["rows"].as_array().filter(|_| is_read);
        // What pandas reads as an empty cell has nothing to classify.
        let expected = rows.map(|rows| -> Rows {
            rows.iter()
                .map(|row| match row["text"].as_str() {
                    Some("") | None => Err(RowProblem::EmptyText),
                    Some(text) => ok(text),
                })
                .collect()
        });
        match (expected, stream_as("a.csv", file, &StreamOptions::default())) {
            (Some(expected), Ok(found)) if found == expected => {}
            // pandas fails, or takes the first column for an index and the next for the text.
            (None, Ok(found)) if found.iter().any(Result::is_err) => {}
            (_, found) => differ.push((name, found.map_err(|error| error.to_string()))),
        }
    }
    let differ: Vec<(&str, Result<Rows, String>)> = differ;
    let found =
        |name: &str| differ.iter().find(|(other, _)| *other == name).map(|(_, found)| found);
    // Each case in which we differ, on purpose.
    let spreadsheet = Ok(vec![ok("hello"), ok("meh")]);
    assert_eq!(found("an empty cell behind each row"), Some(&spreadsheet), "nothing is lost");
    assert_eq!(found("empty cells behind one row"), Some(&Ok(vec![ok("fine"), ok("hello")])));
    assert_eq!(
        found("text under columns without names"),
        Some(&Ok(vec![cells(3, 1)])),
        "a text cut at its comma"
    );
    let short = Ok(vec![cells(1, 2), ok("b")]);
    assert_eq!(found("a short row without its text"), Some(&short));
    assert_eq!(found("sep"), Some(&Ok(vec![ok("a")])), "Excel's own line");
    let twice = found("two columns of one name").unwrap().as_ref().unwrap_err();
    assert!(twice.contains("expected one column \"text\", not several"), "{twice}");
    assert_eq!(differ.len(), 6, "{differ:?}");
}

#[test]
fn a_row_with_more_cells_than_the_header_is_refused() {
    assert_eq!(
        stream("a.csv", "text\nI love you, but I hate this\nfine\n"),
        [cells(2, 1), ok("fine")]
    );
    assert_eq!(stream("a.csv", "id;text\n1;so; glad\n2;fine\n"), [cells(3, 2), ok("fine")]);
    assert_eq!(stream("a.tsv", "text\tid\nso\tglad\t1\nfine\t2\n"), [cells(3, 2), ok("fine")]);
    // Without a header the first row says how many there are.
    assert_eq!(
        stream("a.tsv", "fine\t27\nso\tglad\t17\nmeh\n"),
        [ok("fine"), cells(3, 2), ok("meh")]
    );
    assert_eq!(cells(2, 1).unwrap_err().to_string(), "2 columns, expected 1 as in the header");
    let advice = cells(2, 1).unwrap_err().advice().unwrap();
    assert!(advice.contains("--input-format lines") && advice.contains(".txt"), "{advice}");

    let (error, hint) = refused("a.csv", "text,labels\nfine,joy\nhello,joy,love\n");
    assert!(error.ends_with("a.csv:3: found 3 columns, expected 2 as in the header"), "{error}");
    assert!(hint.contains("quote the text") && hint.contains("--skip-bad-rows"), "{hint}");
    let (error, hint) = refused("a.csv", "text,labels\nhello,joy,love\n");
    assert!(error.contains("a.csv:2: found 3 columns") && !hint.contains("--skip"), "{hint}");
    let skipping = ReadOptions { skip_bad_rows: true, ..options() };
    let dataset = read("a.csv", "text,labels\nhello,joy,love\nfine,joy\n", &skipping).unwrap();
    assert_eq!((texts_of(&dataset), dataset.bad_rows.len()), (vec!["fine"], 1));
    // Published rows have at most an id behind their labels.
    let (error, _) = refused("a.tsv", "fine\tjoy\tid\nso\tjoy\tid\tglad\n");
    assert!(error.contains("a.tsv:2: found 4 columns, expected text, labels"), "{error}");
    let (error, _) = refused("a.tsv", "text\tlabels\nso\tglad\tjoy\n");
    assert!(error.contains("a.tsv:2: found 3 columns"), "{error}");
    // As R's write.table leaves a header: without a name for the names of the rows.
    let (error, _) = refused("a.csv", "\"text\",\"labels\"\n\"1\",\"hello\",\"joy\"\n");
    assert!(error.contains("found 3 columns, expected 2"), "{error}");
    // Separators of a spreadsheet's empty columns are no cells.
    for text in ["text,labels,,\r\na,joy,,\r\nb,love,,\r\n", "text,labels\na,joy, ,\nb,love\n"] {
        assert_eq!(texts_of(&read("a.csv", text, &options()).unwrap()), ["a", "b"], "{text:?}");
        assert_eq!(stream("a.csv", text), [ok("a"), ok("b")], "{text:?}");
    }
    let (error, _) = refused("a.csv", "text,labels,\nhello,joy,a note\n");
    assert!(error.contains("found 3 columns, expected 2"), "{error}");
    // A short row may lack what is not read, and nothing else.
    let dataset = read("a.csv", "text,labels,id\na,joy\n", &options()).unwrap();
    assert_eq!(texts_of(&dataset), ["a"]);
    let (error, _) = refused("a.csv", "text,labels\na\n");
    assert!(error.contains("found 1 columns, expected 2"), "{error}");
}

#[test]
fn names_that_stand_twice_are_refused() {
    for (name, bytes, expected) in [
        ("a.csv", "text,text,labels\na,b,joy\n", "one column \"text\", not several"),
        ("a.csv", "Text,TEXT,labels\na,b,joy\n", "one column \"text\", not several"),
        ("a.tsv", "labels\ttext\ttext\njoy\ta\tb\n", "one column \"text\", not several"),
        ("a.csv", "text,labels,labels\na,joy,love\n", "one column \"labels\", not several"),
        ("a.csv", "text,Labels,LABELS\na,joy,love\n", "one column \"labels\", not several"),
        ("a.csv", "text,joy,anger,love,joy\na,0,0,0,1\n", "one column \"joy\", not several"),
        ("a.csv", "text,Joy,anger,love,JOY\na,0,0,0,1\n", "one column \"joy\", not several"),
        (
            "a.jsonl",
            r#"{"text": "a", "text": "b", "labels": []}"#,
            "found the field \"text\" twice",
        ),
        (
            "a.jsonl",
            r#"{"Text": "a", "TEXT": "b", "labels": []}"#,
            "\"Text\", \"TEXT\", expected one",
        ),
        (
            "a.jsonl",
            r#"{"text": "a", "labels": "joy", "labels": []}"#,
            "the field \"labels\" twice",
        ),
        (
            "a.jsonl",
            r#"{"text": "a", "Labels": "joy", "LABELS": []}"#,
            "expected one field \"labels\"",
        ),
        (
            "a.jsonl",
            r#"{"text": "a", "labels": {"joy": 0.5, "joy": 0.9}}"#,
            "the field \"joy\" twice",
        ),
        (
            "a.jsonl",
            r#"{"text": "a", "labels": {"joy": 0.5, "JOY": 0.9}}"#,
            "two targets for the label \"joy\"",
        ),
        (
            "a.jsonl",
            r#"{"text": "a", "labels": {"joy": 0.5, "0": 0.9}}"#,
            "two targets for the label",
        ),
        (
            "a.jsonl",
            r#"{"text": "a", "Joy": 0, "JOY": 1, "anger": 0, "love": 0}"#,
            "expected one field \"joy\"",
        ),
        (
            "a.jsonl",
            r#"{"text": "a", "labels": [], "x": [{"y": 1, "y": 2}]}"#,
            "the field \"y\" twice",
        ),
        (
            "a.json",
            "[{\"text\": \"a\",\n\"text\": \"b\"}]",
            "the field \"text\" twice at column 6 of",
        ),
    ] {
        let (error, hint) = refused(name, bytes);
        assert!(error.contains(expected) && !hint.is_empty(), "{bytes}: {error}");
    }
    let told = refused("a.csv", "Text,TEXT,labels\na,b,joy\n").1;
    assert!(told.contains("--text-column"), "{told}");
    // One that is written as it was asked for is the one that is meant.
    for (name, bytes) in [
        ("a.csv", "TEXT,text,labels\nno,a,joy\n"),
        ("a.jsonl", r#"{"TEXT": "no", "text": "a", "labels": ["joy"]}"#),
    ] {
        assert_eq!(texts_of(&read(name, bytes, &options()).unwrap()), ["a"], "{bytes}");
        assert_eq!(stream(name, bytes), [ok("a")]);
    }
    // Which of two other columns is which is nobody's matter.
    assert_eq!(stream("a.csv", "id,text,id\n1,a,2\n"), [ok("a")]);
    let twice = stream("a.jsonl", r#"{"text": "a", "text": "b"}"#);
    assert!(twice[0].as_ref().unwrap_err().to_string().contains("\"text\" twice"), "{twice:?}");
}

#[test]
fn values_of_json_are_those_of_serde() {
    let row = json!({
        "text": "ä\n\"😀\\", "labels": ["joy"], "n": [0, -1, 1.5, 1e300, u64::MAX, i64::MIN, null, true],
        "o": {"": {}, "a": [[], {}]},
    });
    let kept = StreamOptions { keeps_columns: true, ..StreamOptions::default() };
    let file = Lone::new("a.jsonl", row.to_string());
    let row_read = TextStream::open(&file.path, &kept).unwrap().next().unwrap().unwrap();
    assert_eq!(row_read.text.unwrap(), "ä\n\"😀\\");
    let names: Vec<&str> = row_read.others.iter().map(|field| &*field.name).collect();
    assert_eq!(names, ["labels", "n", "o"]);
    assert_eq!(row_read.others[1].value.as_cell(), row["n"].to_string());
    // A first row without a text has no columns, but is no reason to stop.
    let file = Lone::new("a.jsonl", "{\"text\": \"\"}\n{\"text\": \"a\"}\n");
    let mut stream = TextStream::open(&file.path, &kept).unwrap();
    assert!(stream.columns().unwrap().unwrap().others.is_empty());
    assert_eq!(stream.count(), 2);
}

#[test]
fn lone_surrogates_are_errors_of_their_rows() {
    for (unit, encoding) in [
        (u16::to_le_bytes as fn(u16) -> [u8; 2], Encoding::Utf16Le),
        (u16::to_be_bytes, Encoding::Utf16Be),
    ] {
        let bytes = |units: &[u16]| -> Vec<u8> { units.iter().flat_map(|&u| unit(u)).collect() };
        let text = |text: &str| -> Vec<u16> { text.encode_utf16().collect() };
        let lines = [
            &[0xFEFF][..],
            &text("ä😀b\nä"),
            &[0xD83D],
            &text("b\nc\n"),
            &[0xDE00, 0x0A, 0xD83D, 0xD83D, 0xDE00],
        ];
        let found = stream("a.txt", bytes(&lines.concat()));
        let problem = |at: usize| found[at].as_ref().unwrap_err().to_string();
        assert_eq!((&found[0], &found[2]), (&ok("ä😀b"), &ok("c")));
        assert!(problem(1).contains("half a surrogate pair in the text (U+D83D at character 2)"));
        assert!(problem(3).contains("U+DE00 at character 1"), "{}", problem(3));
        assert!(problem(4).contains("U+D83D at character 1"), "{}", problem(4));
        let csv = [&[0xFEFF][..], &text("text,labels\nfine,joy\n"), &[0xD83D], &text(",joy\n")];
        let error = read("a.csv", bytes(&csv.concat()), &options()).unwrap_err();
        assert!(error.to_string().contains("a.csv:3: found half a surrogate pair"), "{error}");
        assert!(error.hint().unwrap().contains("--skip-bad-rows"));
        let unmarked = StreamOptions { encoding: Some(encoding), ..StreamOptions::default() };
        let found = stream_as("a.txt", bytes(&text("é\nb")), &unmarked).unwrap();
        assert_eq!(found, [ok("é"), ok("b")]);
    }
    // In an escape, and in bytes as CESU-8 has them.
    for escape in ["\\ud800", "\\ude00", "\\ud83d\\u0041"] {
        let found = stream("a.jsonl", format!("{{\"text\": \"a{escape}\"}}\n{{\"text\": \"b\"}}"));
        let problem = found[0].as_ref().unwrap_err().to_string();
        assert!(
            problem.contains("no JSON (") && problem.contains("half a surrogate pair"),
            "{problem}"
        );
        assert_eq!(found[1], ok("b"));
    }
    let found = stream("a.txt", b"a\xED\xA0\xBD\nb\n");
    assert!(found[0].as_ref().unwrap_err().to_string().contains("U+D83D at byte 2"), "{found:?}");
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn rows_before_a_damaged_tail_are_not_lost() {
    let rows = |format: &str| -> String {
        (0..5000)
            .map(|i| {
                let text = format!("row {i} of {}", i * i % 9973);
                match format {
                    "json" => format!(
                        "{}{{\"text\": \"{text}\", \"labels\": []}}\n",
                        if i > 0 { "," } else { "[" }
                    ),
                    "jsonl" => format!("{{\"text\": \"{text}\", \"labels\": []}}\n"),
                    "txt" => format!("{text}\n"),
                    _ => format!("{text},joy\n"),
                }
            })
            .collect()
    };
    for format in ["txt", "csv", "jsonl", "json"] {
        let header = if format == "csv" { "text,labels\n" } else { "" };
        let whole = compressed(format!("{header}{}", rows(format)).as_bytes());
        let mut flipped = whole.clone();
        flipped[whole.len() * 2 / 3] ^= 0xFF;
        for (damaged, least) in [
            (&whole[..whole.len() - 8], 4999),
            (&whole[..whole.len() / 2], 2000),
            (&flipped[..], 2500),
        ] {
            let file = Lone::new(&format!("a.{format}.gz"), damaged);
            let mut count = 0;
            let error =
                TextStream::open(&file.path, &StreamOptions::default()).unwrap().find_map(|row| {
                    match row {
                        Ok(row) => {
                            let expected = format!("row {count} of {}", count * count % 9973);
                            // Bytes that are damaged may go on for a while before it shows.
                            if damaged.len() < whole.len() {
                                assert_eq!(row.text.unwrap(), expected);
                            }
                            count += 1;
                            None
                        }
                        Err(error) => Some(error),
                    }
                });
            let error = error.unwrap();
            assert!(count >= least, "{format}: {count} rows");
            assert!(
                error.to_string().ends_with(&format!("rows before the damage: {count}")),
                "{error}"
            );
            let why = error.source().unwrap().to_string();
            let may_seem_to_end = format == "json" && damaged.len() == whole.len();
            assert!(why.contains(".gz file is") || may_seem_to_end, "{why}");
            assert!(error.hint().is_some());
            if format != "txt" && damaged.len() < whole.len() {
                let error = read_dataset(&file.path, &options()).unwrap_err().to_string();
                assert!(error.ends_with(&format!("rows before the damage: {count}")), "{error}");
            }
        }
    }
}

#[test]
fn a_text_in_which_nothing_is_seen_is_empty_everywhere() {
    for text in ["", "  ", "\u{200B}", "\u{7}\u{FE0F}"] {
        let quoted = json!({ "text": text, "labels": [] }).to_string();
        for (name, bytes) in [
            ("a.txt", format!("fine\n{text}\n")),
            ("a.csv", format!("text,labels\nfine,joy\n\"{text}\",joy\n")),
            ("a.tsv", format!("fine\tjoy\n\"{text}\"\tjoy\n")),
            ("a.jsonl", format!("{{\"text\": \"fine\", \"labels\": []}}\n{quoted}\n")),
            ("a.json", format!("[{{\"text\": \"fine\", \"labels\": []}},{quoted}]")),
        ] {
            assert_eq!(stream(name, &bytes), [ok("fine"), Err(RowProblem::EmptyText)], "{bytes:?}");
            let file = Lone::new(name, &bytes);
            let unlabelled = Unlabelled::read(
                std::slice::from_ref(&file.path),
                &StreamOptions::default(),
                false,
            )
            .unwrap();
            assert_eq!((unlabelled.texts.len(), unlabelled.blank), (1, 1), "{bytes:?}");
            if name != "a.txt" {
                let error = read_dataset(&file.path, &options()).unwrap_err().to_string();
                assert!(error.contains("found an empty text, expected some words"), "{error}");
            }
        }
    }
}

#[test]
fn json_is_read_as_an_array_or_as_lines() {
    for case in goldens()["json"].as_array().unwrap() {
        let texts: Rows = case["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| ok(row["text"].as_str().unwrap()))
            .collect();
        let found = stream("a.json", case["file"].as_str().unwrap());
        match case["name"].as_str().unwrap() {
            "repeated name" => assert!(found[0].is_err(), "pandas keeps the last: {texts:?}"),
            _ => assert_eq!(found, texts),
        }
    }
    let labelled = |text: &str| format!("{{\"text\": \"{text}\",\n  \"labels\": [\"joy\"]}}");
    let (a, b) = (labelled("a ]}"), labelled("b\\\", {"));
    let flat = |row: &str| row.replace('\n', "");
    // The same two rows, and the lines that they begin on.
    for (file, lines) in [
        (format!("[{a},{b}]"), [1, 2]),
        (format!("\u{feff}\n [\n{a} ,\n\n{b}\n]\n\n"), [3, 6]),
        (format!("{a}\n{b}\n"), [1, 3]),
        (format!("\n{a} {b}"), [2, 3]),
        (format!("\n{}\n\n{}", flat(&a), flat(&b)), [2, 4]),
        (format!("{}\n{}\n", flat(&a), flat(&b)), [1, 2]),
    ] {
        for bytes in [file.clone().into_bytes(), compressed(file.as_bytes())] {
            let name = if bytes == file.as_bytes() { "a.json" } else { "a.json.gz" };
            let dataset = read(name, &bytes, &options()).unwrap();
            assert_eq!(texts_of(&dataset), ["a ]}", "b\", {"], "{file}");
            let found: Vec<u64> = dataset.examples.iter().map(|row| row.line).collect();
            assert_eq!(found, lines, "{file}");
            assert_eq!(stream(name, &bytes), [ok("a ]}"), ok("b\", {")]);
        }
    }
    assert_eq!(
        stream("a.json", " [\"a\", \"b]\\\"\",\n{\"text\": \"c\"}]"),
        [ok("a"), ok("b]\""), ok("c")]
    );
    for nothing in ["", " \n", "[]", "[ \n]\n"] {
        assert_eq!(stream("a.json", nothing), [], "{nothing:?}");
        let error = read("a.json", nothing, &options()).unwrap_err();
        assert!(error.to_string().contains("has no rows"), "{nothing:?}: {error}");
    }
    // A malformed element is one row's matter, and the others are read.
    let found = stream("a.json", "[{\"text\": 1}, {\"text\": \"a\"},, 3, {\"text\": \"b\"\n}]");
    assert_eq!((found.len(), &found[1], &found[4]), (5, &ok("a"), &ok("b")));
    assert!([0, 2, 3].iter().all(|&at| found[at].is_err()), "{found:?}");
    let found = stream("a.json", "{\"text\": \"a\"}\n{\"text\": \"b\"\n{\"text\": \"c\"}\n");
    assert_eq!((found.len(), &found[0], &found[2]), (3, &ok("a"), &ok("c")));
    let found = stream("a.json", "{\"text\": \"a\"\n{\"text\": \"b\"}\n{\"text\": \"c\"}\n");
    assert_eq!((found.len(), &found[1], &found[2]), (3, &ok("b"), &ok("c")));
    // A long element is passed over.
    let long = format!("[\"a\", \"{}\", \"b\"]", "x,".repeat(3 << 20));
    let found = stream("a.json", long);
    assert!(matches!(found[1], Err(RowProblem::TooLong { .. })));
    assert_eq!((found.len(), &found[0], &found[2]), (3, &ok("a"), &ok("b")));
    // What does not end as it should is told once all is read.
    for (file, problem) in [
        ("[\"a\", \"b", "ends within the element that begins on line 1"),
        ("[\"a\",\n", "ends within the element that begins on line 2"),
        ("[\"a\"] [\"b\"]", "goes on behind the first, on line 1"),
        ("[\"a\"]\n{}", "goes on behind the first, on line 2"),
    ] {
        let error = stream_as("a.json", file, &StreamOptions::default()).unwrap_err();
        let why = error.source().unwrap().to_string();
        assert!(why.contains(problem), "{file}: {why}");
    }
}

#[test]
fn json_that_is_no_list_of_rows_is_refused_by_what_it_is() {
    let goldens = goldens();
    for (orient, found) in [
        ("split", "orient=\"split\""),
        ("index", "orient=\"index\""),
        ("columns", "orient=\"columns\""),
        ("values", "orient=\"values\""),
        ("table", "orient=\"table\""),
    ] {
        let file = goldens["orients"][orient].as_str().unwrap();
        for file in [file.to_owned(), file.replace("},", "},\n ")] {
            let (error, hint) = refused("a.json", &file);
            assert!(error.contains(found), "{file}: {error}");
            assert!(hint.contains("orient=\"records\""), "{hint}");
            assert!(stream_as("a.json", &file, &StreamOptions::default()).is_err(), "{file}");
        }
    }
    let records = goldens["orients"]["records"].as_str().unwrap();
    assert_eq!(texts_of(&read("a.json", records, &options()).unwrap()), ["a", "b"]);
    let rows = "[{\"text\": \"a\", \"labels\": []}]";
    for (file, expected, to_do) in [
        (
            format!("{{\"version\": 1, \"data\": {rows}}}"),
            "whose array \"data\" may be",
            "jq '.[\"data\"]'",
        ),
        (format!("{{\n \"name\": \"x\",\n \"examples\": {rows}\n}}\n"), "array \"examples\"", "jq"),
        ("{\"data\": [\"a\", \"b\"]}".to_owned(), "array \"data\"", "jq"),
        (
            "{\"text\": [\"a\", \"b\"], \"labels\": [\"joy\", \"joy\"]}".to_owned(),
            "one array a column",
            "records",
        ),
        ("\"a\"".to_owned(), "it begins with '\"'", ".txt"),
        ("text,labels\na,joy\n".to_owned(), "it begins with 't'", ".csv"),
    ] {
        let (error, hint) = refused("a.json", &file);
        assert!(error.contains(expected) && error.contains("a.json\" is "), "{file}: {error}");
        assert!(hint.contains(to_do), "{file}: {hint}");
    }
    // More than memory is to hold of it.
    let long = format!("{{\"data\": [{}\"\"]}}", "{\"text\": \"a\"},".repeat(1 << 19));
    assert!(refused("a.json", long).0.contains("array \"data\""));
    // A row of a single object, though it has arrays.
    let one = "{\"text\": \"a\", \"labels\": [\"joy\"], \"spans\": [{\"start\": 0}]}";
    assert_eq!(texts_of(&read("a.json", one, &options()).unwrap()), ["a"]);
    let (error, hint) = refused("a.json", "{\"body\": \"a\", \"labels\": [\"joy\"]}");
    assert!(error.contains("no field \"text\"") && hint.contains("--text-column"), "{error}");
}

#[test]
fn bytes_are_read_in_the_encoding_that_is_named() {
    let goldens = goldens();
    for (name, encoding) in [("latin-1", Encoding::Latin1), ("cp1252", Encoding::Cp1252)] {
        assert_eq!(encoding.name(), name);
        let options = StreamOptions { encoding: Some(encoding), ..StreamOptions::default() };
        for byte in (0..=255_u8).filter(|byte| !b"\n\r".contains(byte)) {
            let found = stream_as("a.txt", [b'a', byte, b'b'], &options).unwrap();
            match goldens["codecs"][name][usize::from(byte)].as_str() {
                Some(character) => assert_eq!(found, [ok(&format!("a{character}b"))], "{byte}"),
                None => {
                    let problem = found[0].as_ref().unwrap_err().to_string();
                    let expected = format!("not cp1252 in the text (0x{byte:02X} at character 2)");
                    assert!(problem.contains(&expected), "{problem}");
                }
            }
        }
    }
    let within = |encoding| ReadOptions { encoding: Some(encoding), ..options() };
    for (name, text) in [
        ("a.csv", "text,labels\nGrüße,joy\n"),
        ("a.tsv", "Grüße\tjoy\n"),
        ("a.jsonl", "{\"text\": \"Grüße\", \"labels\": [\"joy\"]}\n"),
        ("a.json", "[{\"text\": \"Grüße\", \"labels\": [\"joy\"]}]\n"),
    ] {
        let single: Vec<u8> = text.chars().map(|character| character as u8).collect();
        let units =
            |unit: fn(u16) -> [u8; 2]| -> Vec<u8> { text.encode_utf16().flat_map(unit).collect() };
        for (encoding, bytes) in [
            (Encoding::Utf8, text.as_bytes().to_vec()),
            (Encoding::Latin1, single.clone()),
            (Encoding::Cp1252, single.clone()),
            (Encoding::Utf16Le, units(u16::to_le_bytes)),
            (Encoding::Utf16Be, units(u16::to_be_bytes)),
        ] {
            let dataset = read(name, &bytes, &within(encoding)).unwrap();
            assert_eq!(texts_of(&dataset), ["Grüße"], "{name}, {encoding}");
            // A mark in the file counts more than what it is said to be.
            let marked = match encoding {
                Encoding::Utf8 => [&b"\xEF\xBB\xBF"[..], &bytes].concat(),
                Encoding::Utf16Le => [&b"\xFF\xFE"[..], &bytes].concat(),
                Encoding::Utf16Be => [&b"\xFE\xFF"[..], &bytes].concat(),
                _ => continue,
            };
            for other in [Encoding::Cp1252, Encoding::Utf16Le, Encoding::Utf16Be] {
                let dataset = read(name, &marked, &within(other)).unwrap();
                assert_eq!(texts_of(&dataset), ["Grüße"], "{name}, {encoding} said to be {other}");
            }
        }
        // Without its name, file, line and byte are told, and the encoding that fits.
        let (error, hint) = refused(name, &single);
        let line = if name == "a.csv" { 2 } else { 1 };
        assert!(
            error.contains(&format!("{name}:{line}: found bytes that are not UTF-8")),
            "{error}"
        );
        assert!(error.contains("(0xFC at byte "), "{error}");
        assert!(hint.contains("--encoding cp1252"), "{hint}");
        // UTF-16 without its mark is not taken for UTF-8 with odd letters.
        for (unit, told) in
            [(u16::to_le_bytes as fn(u16) -> [u8; 2], "utf-16le"), (u16::to_be_bytes, "utf-16be")]
        {
            let error = read(name, units(unit), &options()).unwrap_err();
            let why = error.source().unwrap().to_string();
            assert!(why.contains("UTF-16 without a byte order mark"), "{why}");
            assert!(error.hint().unwrap().contains(told), "{error}");
            assert!(stream_as(name, units(unit), &StreamOptions::default()).is_err());
        }
    }
    let found = stream("a.txt", b"one\nna\xEFve \x93yes\x94\n");
    let problem = found[1].as_ref().unwrap_err();
    assert!(problem.to_string().contains("not UTF-8 in the text (0xEF at byte 3)"), "{problem}");
    assert!(problem.advice().unwrap().contains("--encoding cp1252"));
    // Other alphabets, and UTF-8 that was cut, are no cp1252.
    for bytes in
        [&b"\xEF\xF0\xE8\xE2\xE5\xF2 \xEC\xE8\xF0"[..], b"Gr\xC3\xBC\xC3", b"a\x81b", b"a\0\xFF"]
    {
        let found = stream("a.txt", bytes);
        let advice = found[0].as_ref().unwrap_err().advice().unwrap();
        assert!(!advice.contains("cp1252"), "{bytes:?}: {advice}");
    }
    // A text may hold a NUL, and CJK has none in UTF-16.
    assert!(stream("a.txt", b"a\0b\nso glad that this is over\n").iter().all(Result::is_ok));
}

#[test]
fn files_of_other_kinds_are_refused_by_what_they_are() {
    for (name, bytes, kind) in [
        ("a.csv", &b"PK\x03\x04\x14\0\x06\0"[..], "zip archive"),
        ("a.csv", b"\xD0\xCF\x11\xE0\xA1\xB1", "Office"),
        ("a.txt", &compressed(b"one\n"), "gzip"),
        ("a.jsonl", b"PAR1\x15\0", "Parquet"),
        ("a.txt", b"BZh91AY&SY\x1F\0", "bzip2"),
        ("a.tsv", b"\xFF\xFE\0\0a\0\0\0", "UTF-32"),
        ("a.csv", b"\0\0\xFE\xFF\0\0\0a", "UTF-32"),
        ("a.txt", b"a\0\0\0\xAC \0\0b\0\0\0\0\xF6\x01\0", "UTF-32"),
        ("a.jsonl", b"\0\0\0{\0\0\0}", "UTF-32"),
    ] {
        let error = stream_as(name, bytes, &StreamOptions::default()).unwrap_err();
        assert!(error.source().unwrap().to_string().contains(kind), "{error:?}");
        assert!(error.hint().is_some());
    }
    assert_eq!(stream("a.txt", "BZh is a name\n"), [ok("BZh is a name")]);
    // Also where the encoding is named: it is that of UTF-16, with a NUL behind each letter.
    let options = StreamOptions { encoding: Some(Encoding::Utf16Le), ..StreamOptions::default() };
    let error = stream_as("a.txt", b"a\0\0\0b\0\0\0", &options).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("UTF-32"), "{error:?}");
    assert_eq!(stream_as("a.txt", b"a\0\n\0b\0\n\0", &options).unwrap(), [ok("a"), ok("b")]);
    assert_eq!(stream("a.txt", b"\xFF\xFEa\0"), [ok("a")]);
    assert_eq!(stream("a.txt", b"\xFF\xFE"), []);
    for name in ["a.zip", "a.csv.bz2", "a.csv.zst", "a.ods", "a.pdf"] {
        let error = TextFormat::of(PathBuf::from(name).as_path()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn excel_says_what_cells_are_cut_at() {
    let semicolon = "sep=;\r\ntext;labels\r\n\"a; b\";joy\r\nc;love\r\n";
    for file in [
        semicolon.to_owned(),
        format!("\u{feff}{semicolon}"),
        semicolon.replace("sep=;", "\"sep=;\""),
        semicolon.replace("sep", "SEP"),
        semicolon.replace(';', "|").replace("a|", "a;"),
        semicolon.replace(';', "\t").replace("a\t", "a;"),
        semicolon.replace("text;labels", "text;\"la,bels\"").replace("la,bels", "labels"),
    ] {
        let dataset = read("a.csv", &file, &options()).unwrap();
        let rows: Vec<(&str, u64)> =
            dataset.examples.iter().map(|row| (row.text.as_str(), row.line)).collect();
        assert_eq!(rows, [("a; b", 3), ("c", 4)], "{file:?}");
        assert_eq!(stream("a.csv", &file), [ok("a; b"), ok("c")]);
    }
    assert_eq!(stream("a.tsv", "sep=\t\ntext\tid\na\t1\n"), [ok("a")]);
    // Also before rows without a header.
    assert_eq!(stream("a.tsv", "sep=|\na|joy\n\"b|\"|love\n"), [ok("a"), ok("b|")]);
    let dataset = read("a.tsv", "sep=;\na;joy\nb;love\n", &options()).unwrap();
    assert_eq!(texts_of(&dataset), ["a", "b"]);
    let (error, _) = refused("a.csv", semicolon.replace("c;love", "c;love;joy"));
    assert!(error.contains("a.csv:4: found 3 columns"), "{error}");
    assert_eq!(stream("a.txt", "sep=;\n"), [ok("sep=;")]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_json_panics_and_elements_are_those_of_serde(
        bytes in prop::collection::vec(prop::sample::select(b"ab\"\\,\n{}[]: 1\xff".to_vec()), 0..60),
        texts in prop::collection::vec("\\PC{0,12}", 0..6),
        is_pretty: bool,
    ) {
        for start in [&b""[..], b"[", b"{\"text\": \"a\"}\n", b"{\"a\": [{"] {
            let file = [start, &bytes].concat();
            let _ = read("a.json", &file, &options());
            if let Ok(rows) = stream_as("a.json", &file, &StreamOptions::default()) {
                prop_assert!(rows.len() < 100);
            }
        }
        let rows: Vec<Value> = texts.iter().map(|text| json!({ "x": [text], "text": text })).collect();
        let file = if is_pretty { serde_json::to_string_pretty(&rows) } else { serde_json::to_string(&rows) };
        let found: Vec<String> = stream("a.json", file.unwrap()).into_iter().flatten().collect();
        let seen: Vec<String> =
            texts.into_iter().filter(|text| !tinymood_text::is_empty_text(text)).collect();
        prop_assert_eq!(found, seen);
    }
}

#[test]
fn a_line_of_names_is_no_text() {
    let open = |bytes: &str| {
        let format = Some(TextFormat::Rows(Format::Tsv));
        let options = StreamOptions { format, ..StreamOptions::default() };
        let source = std::io::Cursor::new(bytes.as_bytes().to_vec());
        let stream = TextStream::read_from(source, "a.tsv", &options);
        let stream =
            stream.map_err(|error| (error.to_string(), error.hint().unwrap_or_default()))?;
        Ok::<_, (String, String)>(stream.map(|row| row.unwrap().text.unwrap()).collect::<Vec<_>>())
    };
    for (bytes, problem, remedy) in [
        ("text\ttext\na\tb\n", "one column \"text\"", "rename"),
        ("id\ttweet\tjoy\n1\tI love it\t1\n", "a column \"text\"", "--text-column"),
        ("tweet\nI love it\n", "a column \"text\"", "--text-column"),
        ("1\tI love it\t1\n", "a column \"text\"", "a line that names its columns"),
    ] {
        let (error, hint) = open(bytes).unwrap_err();
        assert!(error.contains("a.tsv") && error.contains(problem), "{bytes:?}: {error}");
        assert!(hint.contains(remedy), "{bytes:?}: {hint}");
    }
    for (bytes, texts) in [
        ("id\tText\tjoy\n1\tI love it\t1\n", vec!["I love it"]),
        ("meh\t27\teebbqej\n5\t0\teebbqek\n", vec!["meh", "5"]),
        ("my tweet\tjoy\ntweet\tjoy\n", vec!["my tweet", "tweet"]),
        ("great\tjoy\n", vec!["great"]),
        ("10\t3\teebbqej\n", vec!["10"]),
    ] {
        assert_eq!(open(bytes), Ok(texts.iter().map(|text| text.to_string()).collect()));
    }
}
