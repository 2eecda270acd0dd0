//! Readers on what people have, and on what goes wrong.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use tinymood_core::{LabelSet, Taxonomy};
use tinymood_hub::Fetcher;
use tinymood_text::{
    DataSource, Dataset, EncodedSplit, LabelList, ListRole, ReadOptions, RowProblem, Stats,
    StreamOptions, TextStream, Tokenizer, Unlabelled, Wanted, goemotions, open, read_dataset,
    sample,
};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn read(name: &str, bytes: impl AsRef<[u8]>, options: &ReadOptions) -> Result<Dataset, String> {
    let path = Place::new();
    let path = (path.write(name, bytes), path);
    let problem = |error: &dyn std::fmt::Display| {
        error.to_string().replace(&path.0.display().to_string(), name)
    };
    read_dataset(&path.0, options).map_err(|error| problem(&error))
}

fn plain(name: &str, bytes: impl AsRef<[u8]>) -> Result<Dataset, String> {
    read(name, bytes, &ReadOptions::default())
}

fn listed(names: &[&str]) -> ReadOptions {
    let (labels, source) = (LabelSet::new(names).unwrap(), "a list".to_owned());
    let list = LabelList { labels, source, role: ListRole::Given };
    ReadOptions { labels: Some(list), ..ReadOptions::default() }
}

/// With GoEmotions' ids in whatever file.
fn ids() -> ReadOptions {
    ReadOptions { labels: Some(LabelList::goemotions()), ..ReadOptions::default() }
}

fn two() -> ReadOptions {
    listed(&["joy", "anger"])
}

fn rows(dataset: &Dataset) -> Vec<(&str, Vec<usize>, u64)> {
    let holding = |targets: &[f32]| {
        targets.iter().enumerate().filter(|(_, t)| **t >= 0.5).map(|(label, _)| label).collect()
    };
    dataset.examples.iter().map(|e| (e.text.as_str(), holding(&e.targets), e.line)).collect()
}

#[test]
fn the_official_format() {
    let text = "My favourite\t27\teebbqej\n\"He said \"\"no\"\", twice\"\t3,10\ted00q6i\nplain 'quote\" inside\tanger\tx\n";
    let dataset = plain("train.tsv", text).unwrap();
    assert_eq!(
        rows(&dataset),
        [
            ("My favourite", vec![27], 1),
            ("He said \"no\", twice", vec![3, 10], 2),
            ("plain 'quote\" inside", vec![2], 3),
        ]
    );
    let windows = plain("train.tsv", "\u{feff}a\t1\teczm50f\r\nb\t\ty\r\n").unwrap();
    assert_eq!(rows(&windows), [("a", vec![1], 1), ("b", vec![], 2)]);
}

#[test]
fn csv_with_a_header() {
    let text = "id,Text,labels\n1,\"two\nlines, one text\",\"joy,love\"\n2,second,18\n";
    let dataset = read("a.csv", text, &ids()).unwrap();
    assert_eq!(
        rows(&dataset),
        [("two\nlines, one text", vec![17, 18], 2), ("second", vec![18], 4)]
    );
    let options = ReadOptions {
        text_column: "body".to_owned(),
        labels_column: "tags".to_owned(),
        label_separator: "|".to_owned(),
        ..two()
    };
    let dataset = read("a.csv", "tags,body\njoy | anger,x\n,y\n", &options).unwrap();
    assert_eq!(rows(&dataset), [("x", vec![0, 1], 2), ("y", vec![], 3)]);
    let soft = read("a.csv", "text,anger,joy\nx,0.25,1\n", &two()).unwrap();
    assert_eq!(soft.examples[0].targets, [1.0, 0.25]);
}

#[test]
fn printed_lists_are_lists() {
    let three = listed(&["joy", "anger", "very sad"]);
    for (cell, expected) in [
        ("[0]", vec![0]),
        ("[1 0]", vec![0, 1]), // as NumPy prints it
        ("[ 0\n  2]", vec![0, 2]),
        ("[0, 2]", vec![0, 2]),
        ("['joy', 'very sad']", vec![0, 2]),
        ("['joy' \"very sad\"]", vec![0, 2]),
        ("[\"Anger\",\"joy\"]", vec![0, 1]),
        (" [joy anger] ", vec![0, 1]),
        ("['1']", vec![1]),
        ("[]", vec![]),
    ] {
        let quoted = cell.replace('"', "\"\"");
        let text = serde_json::json!({ "text": "a", "labels": cell });
        for (name, bytes) in [
            ("a.csv", format!("text,labels\na,\"{quoted}\"\n")),
            ("a.csv", format!("text;labels\na;\"{quoted}\"\n")),
            ("a.tsv", format!("a\t\"{quoted}\"\n")),
            ("a.jsonl", text.to_string()),
        ] {
            let dataset = read(name, bytes, &three).unwrap();
            assert_eq!(rows(&dataset)[0].1, expected, "{name}: {cell}");
        }
    }
    let named =
        read("a.csv", "text,labels\na,\"it's, \"\"no\"\"\"\n", &listed(&["it's", "\"no\""]));
    assert_eq!(rows(&named.unwrap())[0].1, [0, 1], "without brackets quotes are of the name");
    let printed = "text,labels\na,\"[\"\"it's\"\", 'say \\'no\\'']\"\n";
    let named = read("a.csv", printed, &listed(&["it's", "say 'no'"]));
    assert_eq!(rows(&named.unwrap())[0].1, [0, 1]);
    let named = read("a.csv", "text,labels\na,[sic]\nb,sic\n", &listed(&["sic", "[sic]"])).unwrap();
    assert_eq!((&rows(&named)[0].1[..], &rows(&named)[1].1[..]), (&[1][..], &[0][..]));
    // As elsewhere, a number says nothing by itself, and GoEmotions' rows say which they are.
    let error = plain("a.csv", "text,labels\na,[17]\n").unwrap_err();
    assert!(error.contains("the number \"17\" as a label"), "{error}");
    assert_eq!(rows(&plain("a.tsv", "a\t[2 14]\teebbqej\n").unwrap())[0].1, [2, 14]);
    for (cell, found) in
        [("[joy sorrow]", "\"sorrow\""), ("['joy]", "\"'joy\""), ("[very sad]", "\"very\"")]
    {
        let error = read("a.csv", format!("text,labels\na,{cell}\n"), &three).unwrap_err();
        assert!(error.contains(&format!("unknown label {found}")), "{error}");
    }
}

#[test]
fn tables_are_cut_where_their_header_says() {
    // Each holds the same two rows; the last column is the name of that of the texts.
    for (name, bytes, text_column) in [
        ("a.csv", "text;labels\n\"a; b\";joy,anger\nc;\n", "text"),
        ("a.csv", "\r\n\r\nText;labels;x\r\n\"a; b\";\"joy,anger\";\r\nc;;\r\n", "text"),
        ("a.csv", "text;p,q,r,s;labels\n\"a; b\";;joy,anger\nc;;\n", "text"),
        ("a.csv", "labels\ttext\njoy,anger\ta; b\n\tc\n", "text"),
        ("a.csv", "body;joy;anger\n\"a; b\";1;1\nc;0;0,2\n", "body"),
        ("a.csv", "\"text\",\"labels\"\n\"a; b\",\"joy,anger\"\nc,\n", "text"),
        ("a.csv", "text,a;b\tc,labels\na; b,,\"joy,anger\"\nc,,\n", "text"),
        ("a.csv", "\"two\nlines\",text,labels\n,a; b,\"joy,anger\"\n,c,\n", "text"),
        ("a.tsv", "ID\tTweet\tjoy\tanger\n1\ta; b\t1\t1\n2\tc\t0\t0\n", "tweet"),
        ("a.tsv", "labels\tTEXT\r\njoy,anger\ta; b\r\n\tc\r\n", "text"),
        ("a.tsv", "a; b\tjoy,anger\nc\t\n", "text"),
        ("a.tsv", "a; b\tjoy,anger\tmy text\nc\t\n", "text"),
    ] {
        let options = ReadOptions { text_column: text_column.to_owned(), ..two() };
        let dataset = read(name, bytes, &options).unwrap();
        let last = bytes.trim_end().lines().count() as u64;
        let first = bytes.lines().position(|line| line.contains("a; b")).unwrap() as u64 + 1;
        let expected = [("a; b", vec![0, 1], first), ("c", vec![], last)];
        assert_eq!(rows(&dataset), expected, "{bytes:?}");
    }
    let ours = hint(&[("a.csv", "text,praise\nx,1\n")], &ReadOptions::default());
    assert!(ours.contains("--labels-column") && ours.contains("--labels praise,"), "{ours}");
    // What is wrong, and what a hint says of it and does not.
    for (name, bytes, problem, said, unsaid) in [
        (
            "a.csv",
            "body;labels\nx;joy\n",
            "columns \"body\", \"labels\"",
            "--text-column",
            "--labels",
        ),
        ("a.csv", "text;tags\nx;joy\n", "none of \"joy\"", "--labels-column", "--text-column"),
        (
            "a.tsv",
            "text\tjoy\nx\t1\n",
            "none of \"anger\"",
            "each label of a list",
            "--labels FILE",
        ),
        ("a.tsv", "ID\tTweet\tjoy\n1\tx\t0\n", "label \"Tweet\"", "--text-column", "--skip"),
        ("a.tsv", "only text\n", "1 columns", "--text-column", "--skip"),
        ("a.csv", "text;labels\nx\n", "1 columns, expected 2 as in", "mend the row", ".tsv"),
    ] {
        let error = read(name, bytes, &two()).unwrap_err();
        assert!(error.contains(problem), "{bytes:?}: {error}");
        let hint = hint(&[(name, bytes)], &two());
        assert!(hint.contains(said) && !hint.contains(unsaid), "{bytes:?}: {hint}");
    }
}

#[test]
fn one_column_or_field_a_label() {
    for (name, bytes) in [
        ("a.csv", "text,joy,anger\na,True,false\nb,TRUE,1.0\nc,0,False\n"),
        ("a.tsv", "text\tanger\tjoy\na\tFalse\tTrue\nb\ttrue\t1\nc\t0\t0\n"),
        (
            "a.jsonl",
            "{\"text\": \"a\", \"labels\": {\"joy\": true, \"anger\": false}}\n\
             {\"text\": \"b\", \"Joy\": true, \"anger\": 1.0, \"more\": null}\n\
             {\"anger\": 0, \"text\": \"c\", \"joy\": \"False\"}\n",
        ),
    ] {
        let dataset = read(name, bytes, &two()).unwrap();
        let expected = [("a", vec![0], 2), ("b", vec![0, 1], 3), ("c", vec![], 4)];
        let header = u64::from(name != "a.jsonl");
        let lines = expected.map(|(text, labels, line)| (text, labels, line - 1 + header));
        assert_eq!(rows(&dataset), lines, "{name}");
    }
    let yes = "\"yes\" for the label \"joy\", expected a number from 0 to 1, true or false";
    for (name, bytes, expected) in [
        ("a.csv", "text,joy,anger\na,yes,0\n", yes),
        ("a.csv", "text,joy,anger\na,,0\n", "\"\" for the label \"joy\""),
        ("a.csv", "text,joy,anger\na,5,0\n", "\"5\" for the label \"joy\""),
        ("a.jsonl", "{\"text\": \"a\", \"joy\": 1}", "no field \"labels\", and none of \"anger\""),
        ("a.jsonl", "{\"text\": \"a\", \"joy\": 1, \"anger\": null}", "\"null\" for the label"),
        ("a.jsonl", "{\"text\": \"a\", \"joy\": [1], \"anger\": 0}", "\"[1]\" for the label"),
        (
            "a.jsonl",
            "{\"text\": \"a\", \"labels\": null, \"joy\": 1}",
            "null in the field \"labels\"",
        ),
    ] {
        let error = read(name, bytes, &two()).unwrap_err();
        assert!(error.contains(expected), "{bytes}: {error}");
    }
}

#[test]
fn json_lines() {
    let text = concat!(
        r#"{"text": "a", "labels": ["joy", 18]}"#,
        "\n\n",
        r#"{"labels": {"love": 0.75}, "text": "b", "more": null}"#,
        "\n",
        r#"{"text": "c", "labels": "joy,anger"}"#,
        "\n",
        r#"{"text": "d", "labels": []}"#,
    );
    let dataset = read("a.jsonl", text, &ids()).unwrap();
    assert_eq!(
        rows(&dataset),
        [("a", vec![17, 18], 1), ("b", vec![18], 3), ("c", vec![2, 17], 4), ("d", vec![], 5)]
    );
    assert_eq!(dataset.examples[1].targets[18], 0.75);
    // Case counts only where two names differ by it alone, as in a header.
    let text = concat!(
        r#"{"Text": "a", "LABELS": ["joy"]}"#,
        "\n",
        r#"{"TEXT": "no", "text": "b", "labels": "love", "Labels": 3}"#,
    );
    let dataset = read("a.jsonl", text, &ids()).unwrap();
    assert_eq!(rows(&dataset), [("a", vec![17], 1), ("b", vec![18], 2)]);
}

#[test]
fn malformed_rows_are_named_with_file_line_found_and_expected() {
    for (name, bytes, expected) in [
        ("a.tsv", b"x\tjoy\ty\nonly text\n".as_slice(), "a.tsv:2: found 1 columns, expected text"),
        ("a.tsv", b"x\thapiness\ty\n", "a.tsv:1: found unknown label \"hapiness\""),
        ("a.tsv", b"x\tangr\ty\n", "did you mean \"anger\"?"),
        ("a.tsv", b"x\t28\tedcu99z\n", "label id 28 is out of range, ids go from 0 to 27"),
        ("a.tsv", b"x\t1,,2\tedcu99z\n", "unknown label \"\""),
        (
            "a.tsv",
            b"ok\tjoy\n\xff\xfe\t1\ty\n",
            "a.tsv:2: found bytes that are not UTF-8 in the text",
        ),
        ("a.tsv", b"  \tjoy\ty\n", "found an empty text"),
        ("a.csv", b"text,labels\n\"a\nb\",joy\nc\n", "a.csv:4: found 1 columns"),
        ("a.csv", b"words,labels\na,1\n", "expected a column \"text\""),
        ("a.csv", b"text,joy\na,1\n", "there is none of \"admiration\""),
        ("a.jsonl", b"{\"text\": \"a\"}\n", "no field \"labels\", expected a list of labels"),
        ("a.jsonl", b"{\"text\": 3, \"labels\": []}\n", "3 in the field \"text\", expected a text"),
        ("a.jsonl", b"[]\n", "found [], expected a JSON object"),
        ("a.jsonl", b"{\"text\"\n", "found no JSON"),
        (
            "a.jsonl",
            b"{\"text\": \"a\", \"labels\": {\"joy\": 1.5}}\n",
            "\"1.5\" for the label \"joy\"",
        ),
        ("a.jsonl", b"{\"text\": \"a\", \"labels\": [null]}\n", "null in the field \"labels\""),
        ("a.tsv", b"", "has no rows"),
        ("a.csv", b"", "\"a.csv\" is empty, expected a header with a column \"text\""),
        ("a.csv", b"\r\n\n", "\"a.csv\" is empty"),
        ("a.csv", b"\"text,labels\na,joy\n", "cannot read \"a.csv\""),
        ("a.tsv", b"\"Best.\tjoy\n", "a.tsv:1: found a quote that is never closed"),
        ("a.tsv", b"\n\r\nok\tjoy\r\n\"x\ny\tjoy\nz\tjoy", "a.tsv:4: found a quote that is never"),
        (
            "a.csv",
            b"text,labels\na,joy\n\"b,1\nc,1\n",
            "a.csv:3: found a quote that is never closed",
        ),
        (
            "a.tsv",
            b"ok\tjoy\n\"Best.\tjoy\nb\tjoy\nso he said \"bye\"\tjoy\n",
            "a.tsv:2: found a quote that is closed on line 4, with tabs and lines in between",
        ),
        ("a.parquet", b"x", "neither .tsv, .csv, .json nor .jsonl"),
    ] {
        let error = read(name, bytes, &ids()).unwrap_err();
        assert!(error.contains(expected), "{name}: {error:?} lacks {expected:?}");
    }
    let nan = read("a.csv", "text,joy,anger\nx,NaN,0\n", &two()).unwrap_err();
    assert!(nan.contains("\"NaN\" for the label \"joy\", expected a number from 0 to 1"), "{nan}");
}

/// The hint of a dataset that cannot be read, which lies in a folder of these files.
fn hint(files: &[(&str, &str)], options: &ReadOptions) -> String {
    let place = Place::new();
    files.iter().for_each(|(name, bytes)| drop(place.write(name, bytes)));
    let data = place.0.path().join(files[0].0);
    let hint = open(&source(&data, options.clone())).unwrap_err().hint().unwrap();
    hint.replace(&place.0.path().display().to_string(), "folder")
}

#[test]
fn numbers_are_labels_only_where_something_says_which() {
    for (name, bytes, found) in [
        ("a.csv", "text,labels\nfine,4\n", "4"),
        ("a.csv", "text,labels\nfine,joy\nfine,4.0\n", "4.0"),
        ("a.csv", "text,labels\nfine,-1\n", "-1"),
        ("a.tsv", "fine\t0\n", "0"),
        ("a.tsv", "fine\t5\tkitchen\n", "5"),
        ("a.tsv", "fine\t5\tEEBBQEJ\n", "5"),
        ("a.tsv", "fine\t5\teebbqej1\n", "5"),
        ("a.jsonl", "{\"text\": \"fine\", \"labels\": [1]}\n", "1"),
        ("a.jsonl", "{\"text\": \"fine\", \"labels\": 1}\n", "1"),
        ("a.jsonl", "{\"text\": \"fine\", \"labels\": \"joy,1\"}\n", "1"),
        ("a.jsonl", "{\"text\": \"fine\", \"labels\": {\"1\": 0.5}}\n", "1"),
    ] {
        let error = plain(name, bytes).unwrap_err();
        let expected = format!("found the number {found:?} as a label, expected a name");
        assert!(error.contains(&expected), "{bytes:?}: {error}");
        let hint = hint(&[(name, bytes)], &ReadOptions::default());
        for expected in ["--labels FILE", "labels.txt", "--labels goemotions"] {
            assert!(hint.contains(expected), "{bytes:?}: {hint}");
        }
    }
    // The form in which GoEmotions is published, and lists.
    assert_eq!(rows(&plain("a.tsv", "a\t17,18\teebbqej\n").unwrap())[0].1, [17, 18]);
    let one = "{\"text\": \"a\", \"labels\": [1]}\n";
    for (name, bytes) in [("a.csv", "text,labels\na,1\n"), ("a.tsv", "a\t1\n"), ("a.jsonl", one)] {
        assert_eq!(rows(&read(name, bytes, &two()).unwrap())[0].1, [1], "{name}");
        // A name that is a number is a name.
        assert_eq!(rows(&read(name, bytes, &listed(&["1", "2"])).unwrap())[0].1, [0], "{name}");
    }
}

#[test]
fn hints_say_which_labels_are_known_and_where_they_are_from() {
    let csv = |cell: &str| format!("text,labels\nfine,joy\nworse,{cell}\n");
    let none = ReadOptions::default();
    let unknown = csv("complaint");
    // Beside a lone file too, unless the arguments name others.
    let beside = [("a.csv", &*unknown), ("labels.txt", "joy\npraise\n")];
    let listed = hint(&beside, &none);
    assert!(listed.contains("those of folder/labels.txt, joy, praise"), "{listed}");
    let given = hint(&beside, &two());
    assert!(given.contains("those of a list, joy, anger"), "{given}");
    let alone = hint(&[("a.tsv", "x\t7\n"), ("labels.txt", "joy\npraise\n")], &none);
    assert!(alone.contains("those of folder/labels.txt, joy, praise"), "{alone}");

    let apart = |cell: &str, separator: &str| {
        let options = ReadOptions { label_separator: separator.to_owned(), ..two() };
        hint(&[("a.csv", &csv(cell))], &options)
    };
    for (cell, separator, remedy) in [
        ("joy|anger", ",", "|"),
        ("joy;anger", ",", ";"),
        ("\"joy, anger\"", ";", ","),
        ("joy anger", ",", " "),
        ("0|1", ",", "|"),
    ] {
        let hint = apart(cell, separator);
        let expected = format!("--label-separator {remedy:?}");
        assert!(hint.contains(&expected), "{cell}: {hint}");
    }
    for cell in ["joy|sorrow", "joy|", "glad"] {
        let hint = apart(cell, ",");
        assert!(!hint.contains("--label-separator"), "{cell}: {hint}");
    }
}

#[test]
fn rows_are_passed_over_only_where_others_are_well() {
    let skip = "--skip-bad-rows";
    for (name, good, bad) in [
        ("a.csv", "text,joy,anger\nfine,1,0\n", "fine,yes,no\n"),
        ("a.jsonl", "{\"text\": \"a\", \"labels\": []}\n", "[\n"),
        ("a.jsonl", "{\"text\": \"a\", \"labels\": []}\n", "{\"text\": \"a\"}\n"),
        ("a.tsv", "a\tjoy\n", " \tjoy\n"),
    ] {
        let after = hint(&[(name, &format!("{good}{bad}"))], &two());
        assert!(after.contains(skip), "{bad}: {after}");
        let header = good.lines().next().filter(|_| name == "a.csv");
        let first = format!("{}{bad}", header.map(|line| format!("{line}\n")).unwrap_or_default());
        for skip_bad_rows in [false, true] {
            let hint = hint(&[(name, &first)], &ReadOptions { skip_bad_rows, ..two() });
            assert!(!hint.contains(skip), "{bad}: {hint}");
        }
    }
}

#[test]
fn bad_rows_can_be_passed_over_and_are_listed() {
    let options = ReadOptions { skip_bad_rows: true, ..ids() };
    let dataset = read("a.tsv", "a\t1\nb\nc\t99\nd\t2\n", &options).unwrap();
    assert_eq!(rows(&dataset), [("a", vec![1], 1), ("d", vec![2], 4)]);
    assert_eq!(dataset.bad_rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3]);
}

fn source(data: &Path, options: ReadOptions) -> DataSource {
    let home = "http://127.0.0.1:9".to_owned();
    let (cache, fetcher) = (data.join("no-cache"), Fetcher::default());
    let goemotions = goemotions::Source { cache, offline: true, home, fetcher };
    DataSource {
        data: data.display().to_string(),
        options,
        goemotions,
        wanted: Wanted::ALL,
        dev_share: 0.0,
    }
}

#[test]
fn folders_give_splits_by_name() {
    let place = Place::new();
    place.write("train.csv", "text,labels\na,joy\n");
    place.write("Validation.jsonl", "{\"text\": \"b\", \"labels\": [\"calm\"]}\n");
    place.write("labels.txt", "joy\ncalm\n\n");
    place.write("notes.md", "x");
    let splits = open(&source(place.0.path(), ReadOptions::default())).unwrap();
    assert!(splits.test.is_none());
    assert_eq!(splits.dev.as_ref().unwrap().labels.names(), ["joy", "calm"]);
    let calm_first = LabelSet::new(["calm", "joy"]).unwrap();
    let turned = splits.dev.unwrap().in_order_of(&calm_first).unwrap();
    assert_eq!((turned.labels.name(0), &turned.examples[0].targets[..]), ("calm", &[1.0, 0.0][..]));
    assert!(turned.in_order_of(&LabelSet::new(["calm", "rage"]).unwrap()).is_none());
    // Nobody looks into a split that is not wanted.
    place.write("train.csv", "no header at all");
    let only =
        |wanted| open(&DataSource { wanted, ..source(place.0.path(), ReadOptions::default()) });
    let splits = only(Wanted::DEV).unwrap();
    assert!(splits.dev.is_some() && splits.train.is_none());
    assert!(only(Wanted::TRAIN).is_err());
    place.write("dev.tsv", "a\tjoy\n");
    let error = open(&source(place.0.path(), ReadOptions::default())).unwrap_err().to_string();
    assert!(error.contains("the same split"), "{error}");
    for name in ["val", "EVAL", "valid"] {
        let place = Place::new();
        place.write("train.tsv.gz", compressed(b"a\tjoy\n"));
        place.write(&format!("{name}.csv"), "text,labels\nb,joy\n");
        let others = ["extra.tsv", "labels.csv", "train-2.jsonl.gz"];
        for other in others.iter().chain(&["notes.txt", "model.bin.gz"]) {
            place.write(other, "not looked into");
        }
        let splits = open(&source(place.0.path(), ReadOptions::default())).unwrap();
        assert_eq!(splits.dev.unwrap().examples[0].text, "b", "{name}");
        assert_eq!(splits.unused, others.map(|name| place.0.path().join(name)));
        place.write("dev.tsv", "b\tjoy\n");
        let error = open(&source(place.0.path(), ReadOptions::default())).unwrap_err().to_string();
        assert!(error.contains("the same split") && error.contains(name), "{error}");
    }
    let empty = Place::new();
    let error = open(&source(empty.0.path(), ReadOptions::default())).unwrap_err().to_string();
    assert!(error.contains("train, dev, validation, valid, val, eval or test"), "{error}");
    let error = open(&source(Path::new("no/where"), ReadOptions::default())).unwrap_err();
    assert!(error.to_string().contains("neither \"sample\""), "{error}");
}

#[test]
fn rows_are_held_out_by_their_texts() {
    let place = Place::new();
    let text = |i: usize| format!("text {}", i % 180); // the first 20 stand twice
    let file = |order: &mut dyn Iterator<Item = usize>| -> String {
        order.map(|i| format!("{}\tjoy\n", text(i))).collect()
    };
    let path = place.write("a.tsv", file(&mut (0..200)));
    let open_with = |data: &Path, dev_share: f64, wanted: Wanted| {
        open(&DataSource { dev_share, wanted, ..source(data, ReadOptions::default()) })
    };
    let texts = |split: &Option<Dataset>| -> Vec<String> {
        split.iter().flat_map(|split| &split.examples).map(|row| row.text.clone()).collect()
    };
    let mut before = Vec::new();
    for (share, expected) in [(0.001, 1), (0.1, 20), (0.25, 50), (0.999, 199)] {
        let splits = open_with(&path, share, Wanted::ALL).unwrap();
        let (train, dev) = (texts(&splits.train), texts(&splits.dev));
        assert_eq!(train.len() + dev.len(), 200);
        assert!(!train.is_empty() && dev.len().abs_diff(expected) <= 1, "{share}: {}", dev.len());
        assert!(!dev.iter().any(|text| train.contains(text)), "{share}: a text on both sides");
        assert!(before.iter().all(|text| dev.contains(text)), "a larger share holds a smaller");
        // Each alone is as it is with the other, whoever asks.
        assert_eq!(texts(&open_with(&path, share, Wanted::DEV).unwrap().dev), dev);
        assert_eq!(texts(&open_with(&path, share, Wanted::TRAIN).unwrap().train), train);
        let lines = splits.dev.unwrap().examples.iter().map(|row| row.line).collect::<Vec<_>>();
        assert!(lines.is_sorted());
        before = dev;
    }
    // The same rows in another order; and a constant, so that other versions hold out the same.
    let turned = place.write("turned.tsv", file(&mut (0..200).rev()));
    let sorted = |data: &Path| {
        let mut texts = texts(&open_with(data, 0.1, Wanted::DEV).unwrap().dev);
        texts.sort();
        texts
    };
    assert_eq!(sorted(&path), sorted(&turned));
    assert_eq!(texts(&open_with(&path, 0.001, Wanted::DEV).unwrap().dev), ["text 118"]);

    let folder = Place::new();
    folder.write("train.tsv", file(&mut (0..50)));
    folder.write("test.tsv", "a\tjoy\n");
    let splits = open_with(folder.0.path(), 0.2, Wanted::ALL).unwrap();
    assert_eq!(
        splits.named().map(|(_, split)| split.examples.len()).collect::<Vec<_>>(),
        [40, 10, 1]
    );
    let alone = open_with(folder.0.path(), 0.2, Wanted::DEV).unwrap();
    assert_eq!(alone.named().map(|(name, _)| name).collect::<Vec<_>>(), ["dev"]);
    assert_eq!(texts(&alone.dev), texts(&splits.dev));
    folder.write("val.tsv", "no row that anyone reads");
    for data in [folder.0.path(), Path::new("sample"), Path::new("goemotions")] {
        let error = open_with(data, 0.2, Wanted::TRAIN).unwrap_err();
        assert!(error.to_string().contains("dev split of its own"), "{error}");
        assert!(error.hint().unwrap().contains("--dev-share"));
    }
    let same = place.write("same.tsv", "a\tjoy\na\tanger\n");
    let error = open_with(&same, 0.2, Wanted::ALL).unwrap_err().to_string();
    assert!(error.contains("no two different texts"), "{error}");
}

#[test]
fn taxonomies_change_labels_and_targets() {
    let dataset = plain("a.tsv", "x\tjoy,anger\ny\tneutral\n").unwrap();
    let ekman = dataset.clone().with_taxonomy(Taxonomy::Ekman).unwrap();
    assert_eq!(ekman.labels.len(), 7);
    assert_eq!(rows(&ekman), [("x", vec![0, 3], 1), ("y", vec![6], 2)]);
    let foreign = read("a.tsv", "x\tjoy\n", &listed(&["joy", "calm"]));
    let error = foreign.unwrap().with_taxonomy(Taxonomy::Sentiment).unwrap_err();
    assert!(error.to_string().contains("calm"), "{error}");
}

#[test]
fn statistics_count() {
    let place = Place::new();
    place.write("train.tsv", "one two three\t1,2\nsame\t\nsame\t1\nshared\t3\n");
    place.write("dev.tsv", "shared\t3\n");
    let splits = open(&source(place.0.path(), ids())).unwrap();
    let tokenizer = Tokenizer::bundled().with_max_length(4).unwrap();
    let stats = Stats::new(&splits, 4, |split| EncodedSplit::new(split, &tokenizer)).unwrap();
    let train = &stats.splits["train"];
    assert_eq!((train.rows, train.duplicates, train.truncated, train.longest), (4, 1, 1, 5));
    assert_eq!(train.labels_per_row.iter().collect::<Vec<_>>(), [(&0, &1), (&1, &2), (&2, &1)]);
    assert_eq!(train.label_counts[1], ("amusement".to_owned(), 2));
    assert_eq!(train.lengths.iter().map(|bin| bin.rows).sum::<usize>(), 4);
    assert_eq!(stats.duplicates_across["train, dev"], 1);
}

#[test]
fn the_sample_is_tokenized_without_cuts() {
    let splits = sample().unwrap();
    let tokenizer = Tokenizer::bundled();
    for (_, split) in splits.named() {
        let encoded = EncodedSplit::new(split, &tokenizer).unwrap();
        assert!(encoded.texts.iter().all(|text| !text.is_truncated()));
        assert_eq!(encoded.targets.len(), split.examples.len() * 28);
    }
}

fn stream(name: &str, bytes: &[u8]) -> Vec<(u64, Result<String, String>)> {
    let place = Place::new();
    let stream = TextStream::open(&place.write(name, bytes), &StreamOptions::default()).unwrap();
    let row = |row: Result<tinymood_text::StreamedText, _>| {
        let row = row.unwrap();
        (row.row, row.text.map_err(|problem| problem.to_string()))
    };
    stream.map(row).collect()
}

#[test]
fn streams_give_one_item_a_row() {
    let ok = |row: u64, text: &str| (row, Ok(text.to_owned()));
    let empty = |row: u64| (row, Err(RowProblem::EmptyText.to_string()));
    assert_eq!(stream("a.txt", b"one\r\n\ntwo"), [ok(1, "one"), empty(2), ok(3, "two")]);
    let damaged = stream("a.txt", b"one\n\xff\nthree\n");
    assert_eq!(damaged.len(), 3);
    assert!(damaged[1].1.as_ref().unwrap_err().contains("UTF-8"));
    assert_eq!(stream("a.csv", b"id,text\n1,\"a\nb\"\n2,c\n"), [ok(1, "a\nb"), ok(2, "c")]);
    assert_eq!(stream("a.tsv", b"a\t1\tx\nb\t2\ty\n"), [ok(1, "a"), ok(2, "b")]);
    assert_eq!(stream("a.tsv", b"id\tText\n1\ta\n2\tb\n"), [ok(1, "a"), ok(2, "b")]);
    assert_eq!(stream("a.csv", b"id;text\n1;\"a;b\"\n2;c,d\n"), [ok(1, "a;b"), ok(2, "c,d")]);
    assert_eq!(stream("a.csv", b"id\ttext\n1\ta;b\n"), [ok(1, "a;b")]);
    assert_eq!(stream("a.csv", b"text\na;b\n"), [ok(1, "a;b")]);
    let short = stream("a.csv", b"id;text\n1\n2;c\n");
    assert!(short[0].1.as_ref().unwrap_err().contains("expected 2 as in the header"), "{short:?}");
    let json = stream("a.jsonl", b"{\"text\": \"a\"}\n{\"txt\": 1}\n{\"text\": \"c\"}\n");
    assert_eq!((&json[0], &json[2]), (&ok(1, "a"), &ok(3, "c")));
    assert!(json[1].1.as_ref().unwrap_err().contains("no field \"text\""));
    let named = stream("a.jsonl", b"{\"Text\": \"a\"}\n{\"TEXT\": 1, \"text\": \"b\"}\n");
    assert_eq!(named, [ok(1, "a"), ok(2, "b")]);
    let long = [vec![b'x'; 5 << 20], b"\nshort\n".to_vec()].concat();
    let rows = stream("a.txt", &long);
    assert!(rows[0].1.as_ref().unwrap_err().contains("in one row"));
    assert_eq!(rows[1..], [ok(2, "short")]);
    assert_eq!(stream("a.txt", b""), []);
    for (name, bytes) in [("a.csv", Vec::new()), ("a.csv.gz", compressed(b""))] {
        let error = TextStream::open(&Place::new().write(name, bytes), &StreamOptions::default())
            .err()
            .unwrap();
        assert!(error.to_string().contains("is empty, expected a header"), "{error}");
        assert!(error.hint().unwrap().contains("first line"));
    }
    let parquet = Place::new().write("a.parquet", "x");
    let error = TextStream::open(&parquet, &StreamOptions::default()).err().unwrap();
    assert!(error.to_string().contains("a.parquet"), "{error}");
}

#[test]
fn streams_keep_what_stands_beside_texts() {
    let options = StreamOptions { keeps_columns: true, ..StreamOptions::default() };
    let place = Place::new();
    let kept = |name: &str, bytes: &[u8]| -> Vec<(Result<String, String>, String)> {
        let mut stream = TextStream::open(&place.write(name, bytes), &options).unwrap();
        stream.columns().unwrap(); // takes no row away
        let row = |row: Result<tinymood_text::StreamedText, _>| {
            let row = row.unwrap();
            let others =
                row.others.iter().map(|field| format!("{}={}", field.name, field.value.as_cell()));
            (row.text.map_err(|problem| problem.to_string()), others.collect::<Vec<_>>().join("|"))
        };
        stream.map(row).collect()
    };
    let ok = |text: &str, others: &str| (Ok(text.to_owned()), others.to_owned());
    let rows = kept("a.csv", b"id;Text;x\n1;a;b\n2;c\n3;d;e;f\n\xff;g;\n4;\xff;h\n");
    assert_eq!(rows[..2], [ok("a", "id=1|x=b"), ok("c", "id=2|x=")]);
    let problem = |index: usize| rows[index].0.as_ref().unwrap_err();
    assert!(problem(2).contains("4 columns, expected 3") && rows[2].1 == "id=3|x=e", "{rows:?}");
    assert!(problem(3).contains("not UTF-8 in the columns beside") && rows[3].1.is_empty());
    assert!(problem(4).contains("not UTF-8 in the text") && rows[4].1 == "id=4|x=h", "{rows:?}");
    assert_eq!(kept("a.tsv", b"text\tid\na\t1\n"), [ok("a", "id=1")]);
    let rows = kept(
        "a.jsonl",
        b"{\"b\": \"x\\u00fc\", \"TEXT\": \"a\", \"a\": null}\n[\n{\"text\": \"b\", \"c\": true}\n",
    );
    assert_eq!((&rows[0], &rows[2]), (&ok("a", "b=x\u{fc}|a="), &ok("b", "c=true")));
    assert_eq!(kept("a.txt", b"a\n"), [ok("a", "")]);

    let columns = |name: &str, bytes: &[u8]| -> Result<Vec<String>, String> {
        let stream = TextStream::open(&place.write(name, bytes), &options);
        let columns = stream.and_then(|mut stream| stream.columns());
        let Some(columns) = columns.map_err(|error| error.to_string())? else {
            return Ok(Vec::new());
        };
        let mut names: Vec<String> = columns.others.iter().map(|name| name.to_string()).collect();
        names.insert(columns.text.place, format!("<{}>", columns.text.name));
        Ok(names)
    };
    assert_eq!(columns("a.csv", b"id,Text,x\n").unwrap(), ["id", "<Text>", "x"]);
    assert_eq!(
        columns("a.jsonl", b"\n{\"x\": 1, \"text\": \"a\", \"id\": 2}\n").unwrap(),
        ["x", "<text>", "id"]
    );
    // A row without a text has it behind all others.
    assert_eq!(columns("a.jsonl", b"{\"x\": 1}\n").unwrap(), ["x", "<text>"]);
    assert_eq!(columns("a.jsonl", b"").unwrap(), [""; 0]);
    for (name, bytes, expected) in [
        ("a.csv", &b"id,text,id\n"[..], "expected each name once"),
        ("a.tsv", b"a\tjoy\teebbqej\n", "expected a column \"text\""),
        ("a.jsonl", b"{\n{\"text\": \"a\"}\n", "a.jsonl:1: found no JSON"),
    ] {
        let error = columns(name, bytes).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_files_are_what_they_hold() {
    let ok = |row: u64, text: &str| (row, Ok(text.to_owned()));
    assert_eq!(
        stream("a.txt.gz", &compressed(b"one\n\ntwo")),
        [ok(1, "one"), (2, Err(RowProblem::EmptyText.to_string())), ok(3, "two")]
    );
    assert_eq!(stream("a.CSV.GZ", &compressed(b"id,text\n1,a\n")), [ok(1, "a")]);
    // As `cat a.gz b.gz` and many writers of logs leave them.
    let members = [compressed(b"one\n"), compressed(b"two\n")].concat();
    assert_eq!(stream("a.txt.gz", &members), [ok(1, "one"), ok(2, "two")]);

    let place = Place::new();
    place.write("train.tsv.gz", compressed(b"a\tjoy\n"));
    place.write("dev.csv.gz", compressed(b"text,labels\nb,joy\n"));
    let splits = open(&source(place.0.path(), ReadOptions::default())).unwrap();
    assert_eq!(splits.train.unwrap().examples[0].text, "a");
    assert_eq!(splits.dev.unwrap().examples[0].text, "b");
    let whole = compressed(&b"a line like any other\n".repeat(1000));
    for damaged in [&whole[..whole.len() / 2], &b"one\n"[..], b""] {
        let path = place.write("a.txt.gz", damaged);
        let error = Unlabelled::read(&[path], &StreamOptions::default(), true).unwrap_err();
        assert!(error.to_string().contains("a.txt.gz"), "{error}");
    }
}

#[test]
fn unlabelled_texts_are_read_whatever_stands_beside_them() {
    let place = Place::new();
    let read = |paths: &[PathBuf], skip| Unlabelled::read(paths, &StreamOptions::default(), skip);
    let files = [
        place.write("a.txt", "one\n\n  \ntwo\n"),
        place.write("b.jsonl", "{\"text\": \"three\", \"labels\": [\"no such\"]}\n"),
        place.write("c.csv", "labels,text\nnonsense,four\n"),
        place.write("d.tsv", "five\t99\tx\n"),
    ];
    let all = read(&files, false).unwrap();
    assert_eq!(all.texts, ["one", "two", "three", "four", "five"]);
    assert_eq!((all.blank, all.bad_rows.len()), (2, 0));

    let damaged = [files[0].clone(), place.write("e.txt", b"fine\n\xff\xfe\nfine too\n")];
    let error = read(&damaged, false).unwrap_err();
    assert!(error.to_string().contains("e.txt:2: found bytes that are not UTF-8"), "{error}");
    let passed = read(&damaged, true).unwrap();
    assert_eq!(passed.texts, ["one", "two", "fine", "fine too"]);
    assert_eq!(passed.bad_rows.len(), 1);

    let empty = read(&[place.write("f.txt", "\n\n")], false).unwrap_err();
    assert!(empty.to_string().contains("f.txt"), "{empty}");
    assert!(read(&[place.0.path().join("none.txt")], false).is_err());
    assert!(read(&[place.0.path().to_owned()], false).is_err());
}

/// A text as UTF-16 with its mark.
fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(unit).collect()
}

/// Gives one byte at a time.
struct Dripping<R>(R);

impl<R: Read> Read for Dripping<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let end = out.len().min(1);
        self.0.read(&mut out[..end])
    }
}

#[test]
fn utf_16_is_read_by_its_mark() {
    let ok = |row: u64, text: &str| (row, Ok(text.to_owned()));
    for unit in [u16::to_le_bytes, u16::to_be_bytes] {
        let empty = (2, Err(RowProblem::EmptyText.to_string()));
        let lines = utf16("Grüße 😀\r\n\nzwei", unit);
        assert_eq!(stream("a.txt", &lines), [ok(1, "Grüße 😀"), empty, ok(3, "zwei")]);
        let dripping = TextStream::read_from(
            Dripping(io::Cursor::new(lines)),
            "input",
            &StreamOptions::default(),
        )
        .unwrap();
        let texts: Vec<String> = dripping.flat_map(|row| row.unwrap().text).collect();
        assert_eq!(texts, ["Grüße 😀", "zwei"]);
        for (name, text) in [
            ("a.tsv", "so 😀\tjoy\r\n"),
            ("a.csv", "text,labels\r\nso 😀,joy\r\n"),
            ("a.jsonl", "{\"text\": \"so 😀\", \"labels\": [\"joy\"]}\r\n"),
        ] {
            let dataset = read(name, utf16(text, unit), &two()).unwrap();
            assert_eq!(rows(&dataset)[0].0, "so 😀", "{name}");
        }
        let place = Place::new();
        place.write("labels.txt", utf16("Ärger\r\nFreude\r\n", unit));
        place.write("train.tsv", utf16("so\tfreude\r\n", unit));
        let splits = open(&source(place.0.path(), ReadOptions::default())).unwrap();
        assert_eq!(splits.train.unwrap().examples[0].targets, [0.0, 1.0]);

        // More than the decoder holds, with a pair of units across each border it may have.
        let long = format!("{}\n", "a😀".repeat(60_000));
        for shift in ["", "b"] {
            let found = stream("a.txt", &utf16(&format!("{shift}{long}"), unit));
            assert_eq!(found, [ok(1, &format!("{shift}{}", long.trim()))]);
        }
        // Half a pair is a row that cannot be read, half a unit the end of what can.
        let halves = [0xFEFF, 0x61, 0xD83D, 0x62, 0xDE00, 0x0A, 0x63, 0xD83D];
        let mut bytes: Vec<u8> = halves.into_iter().flat_map(unit).collect();
        let half = |row: u64, unit: &str, at: usize| {
            let where_it_is = format!("({unit} at character {at})");
            let found = format!(
                "half a surrogate pair in the text {where_it_is}, expected whole characters"
            );
            (row, Err(found))
        };
        assert_eq!(stream("a.txt", &bytes), [half(1, "U+D83D", 2), half(2, "U+D83D", 2)]);
        bytes.push(0x61);
        let path = place.write("a.txt", &bytes);
        let error = Unlabelled::read(&[path], &StreamOptions::default(), true).unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().contains("a.txt") && why.contains("within a character"), "{why}");
    }
    for mark in [&b"\xFF\xFE"[..], b"\xFE\xFF", b"\xEF\xBB\xBF"] {
        assert_eq!(stream("a.txt", mark), [], "nothing but a mark");
        let half = stream("a.txt", &mark[..1]);
        assert!(half[0].1.as_ref().unwrap_err().contains("UTF-8"), "{half:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_file_panics(
        bytes in prop::collection::vec(prop::sample::select(b"ab\"\t,\n\r{}[]:0129.\xff\\ ".to_vec()), 0..120),
        skip_bad_rows: bool,
    ) {
        let options = ReadOptions { skip_bad_rows, ..ReadOptions::default() };
        for name in ["a.tsv", "a.csv", "a.jsonl"] {
            let _ = read(name, &bytes, &options);
            for start in [b"text,labels\n".as_slice(), b"\xFF\xFE", b"\xFE\xFF"] {
                let _ = read(name, [start, &bytes].concat(), &options);
            }
            let place = Place::new();
            if let Ok(stream) = TextStream::open(&place.write(name, &bytes), &StreamOptions::default()) {
                prop_assert!(stream.take(1000).count() < 1000);
            }
        }
    }

    #[test]
    fn what_is_written_as_csv_reads_back(text in "\\PC{1,40}", labels in prop::collection::btree_set(0..28_usize, 0..4)) {
        prop_assume!(!tinymood_text::is_empty_text(&text));
        let cell: Vec<String> = labels.iter().map(usize::to_string).collect();
        let quoted = format!("\"{}\"", text.replace('"', "\"\""));
        let tsv = read("a.tsv", format!("{quoted}\t{}\tid\n", cell.join(",")), &ids()).unwrap();
        let csv = read("a.csv", format!("labels,text\n\"{}\",{quoted}\n", cell.join(",")), &ids()).unwrap();
        for dataset in [tsv, csv] {
            prop_assert_eq!(&dataset.examples[0].text, &text);
            let found = rows(&dataset)[0].1.clone();
            prop_assert_eq!(found, labels.iter().copied().collect::<Vec<_>>());
        }
    }
}
