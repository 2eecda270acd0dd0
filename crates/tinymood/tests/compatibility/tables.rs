//! Tables and their encodings.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use crate::common::{Ran, copied_model, json, rows, run, run_with, trained};

/// Predicts with the small model; JSON, quietly.
fn predict(folder: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let model = trained().join("runs/quick");
    let model = model.to_str().unwrap();
    run_with(folder, &[&["predict", "--model", model, "--json"], arguments].concat(), input)
}

/// The texts of answers, `!` and the problem where there are none.
fn said(ran: &Ran) -> Vec<String> {
    let text = |row: &Value| match row["error"].as_str() {
        Some(problem) => {
            assert_eq!(row["labels"], json("[]"));
            format!("!{problem}")
        }
        None => row["text"].as_str().unwrap().to_owned(),
    };
    rows(&ran.stdout).iter().map(text).collect()
}

fn place(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(place.path().join(name), bytes).unwrap());
    place
}

const EMPTY: &str = "!found an empty text, expected some words";

#[test]
fn a_text_with_commas_is_not_cut() {
    let lines = b"text\nI love you, but I hate this\nfine\nno, no\n";
    let folder = place(&[("a.csv", lines), ("b.csv", b"text,labels\nhello,joy,love\nhi,joy\n")]);
    let ran = predict(folder.path(), &["-i", "a.csv"], b"").fails(1, &["2 rows could not be read"]);
    let problem = "!found 2 columns, expected 1 as in the header";
    assert_eq!(said(&ran), [problem, "fine", problem]);
    assert_eq!(ran.stderr.matches("--input-format lines").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("a.csv:2: found 2 columns"), "{}", ran.stderr);
    let ran = predict(folder.path(), &["-i", "a.csv", "--input-format", "lines"], b"").ok();
    assert_eq!(said(&ran)[1], "I love you, but I hate this");
    let show = |rest: &str| run(folder.path(), &format!("data show --data b.csv {rest}"));
    show("").fails(1, &["b.csv:2: found 3 columns, expected 2", "hint: quote the text"]);
    let shown = show("--skip-bad-rows").ok();
    assert_eq!(rows(&shown.stdout).len(), 1);
    run(folder.path(), "train --data b.csv --output x").fails(1, &["b.csv:2: found 3 columns"]);
}

#[test]
fn rows_that_end_in_returns_are_rows() {
    let folder = place(&[
        ("a.csv", b"text,labels\rso glad,joy\r\"I hate it,\rall\",anger\r"),
        ("b.tsv", b"sep=|\rso glad|joy\rI hate it|anger\r"),
        ("c.txt", b"so glad\rI hate it"),
    ]);
    let folder = folder.path();
    let said_of = |name: &str| said(&predict(folder, &["-i", name], b"").ok());
    assert_eq!(said_of("a.csv"), ["so glad", "I hate it,\rall"]);
    assert_eq!(said_of("b.tsv"), ["so glad", "I hate it"]);
    assert_eq!(said_of("c.txt"), ["so glad", "I hate it"]);
    let shown = run(folder, "data show --data a.csv").ok();
    let labels = |row: &Value| row["labels"][0].as_str().unwrap().to_owned();
    assert_eq!(rows(&shown.stdout).iter().map(labels).collect::<Vec<_>>(), ["joy", "anger"]);
}

#[test]
fn a_file_without_rows_is_named() {
    let files = [("a.csv", &b"text\n"[..]), ("a.json", b"[]"), ("a.txt", b""), ("b.txt", b"fine")];
    let folder = place(&files);
    for (name, _) in &files[..3] {
        let ran = predict(folder.path(), &["-i", name, "-i", "b.txt"], b"").ok();
        assert_eq!(said(&ran), ["fine"]);
        assert!(ran.stderr.contains(&format!("warning: {name} has no rows")), "{}", ran.stderr);
        assert!(!ran.stderr.contains("b.txt"), "{}", ran.stderr);
    }
    let utf32 = "text\nfine\n".chars().flat_map(|letter| u32::from(letter).to_le_bytes());
    fs::write(folder.path().join("c.csv"), utf32.collect::<Vec<_>>()).unwrap();
    predict(folder.path(), &["-i", "c.csv"], b"")
        .fails(1, &["c.csv", "it is UTF-32", "hint: save"]);
}

#[test]
fn an_empty_text_has_no_answer() {
    let folder =
        place(&[("a.txt", b"fine\n\n  \n\xE2\x80\x8B\n"), ("a.csv", b"id,text\n1,\n2,fine\n")]);
    let folder = folder.path();
    let ran = predict(folder, &["fine", "", " ", "\u{200B}"], b"").fails(1, &["3 rows"]);
    assert_eq!(said(&ran), ["fine", EMPTY, EMPTY, EMPTY]);
    assert_eq!(said(&predict(folder, &["-i", "a.txt"], b"").fails(1, &["3 rows"])), said(&ran));
    assert_eq!(said(&predict(folder, &[], b"\nfine\n").fails(1, &["1 row"])), [EMPTY, "fine"]);
    let kept = predict(folder, &["-i", "a.csv", "--keep-columns"], b"").fails(1, &["1 row"]);
    assert_eq!(said(&kept), [EMPTY, "fine"]);
    assert_eq!(rows(&kept.stdout)[0]["id"], "1");
    let explained = predict(folder, &["--explain", "", "fine"], b"").fails(1, &["1 row"]);
    assert_eq!(said(&explained), [EMPTY, "fine"]);
}

#[test]
fn json_is_input_and_data() {
    let array = br#"[{"id": 7, "text": "so [glad]"}, {"id": 8, "text": "meh"}]"#;
    let folder = place(&[
        ("a.json", array),
        ("b.json", b"{\"text\": \"so [glad]\"}\n{\"text\": \"meh\"}\n"),
        ("c.json", b"[\"so [glad]\",\n\"meh\"]\n"),
        ("wrapped.json", br#"{"data": [{"text": "meh"}]}"#),
        ("frame.json", br#"{"text": {"0": "meh"}}"#),
    ]);
    for name in ["a.json", "b.json", "c.json"] {
        let bytes = fs::read(folder.path().join(name)).unwrap();
        let ran = predict(folder.path(), &["-i", name], b"").ok();
        assert_eq!(said(&ran), ["so [glad]", "meh"], "{name}");
        let piped = predict(folder.path(), &["--input-format", "json"], &bytes).ok();
        assert_eq!(said(&piped), said(&ran), "{name}");
    }
    let kept = predict(folder.path(), &["-i", "a.json", "--keep-columns"], b"").ok();
    assert_eq!(rows(&kept.stdout)[1]["id"], 8);
    predict(folder.path(), &["-i", "wrapped.json"], b"")
        .fails(1, &["wrapped.json", "array \"data\"", "hint: ", "jq"]);
    predict(folder.path(), &["-i", "frame.json"], b"")
        .fails(1, &["orient=\"columns\"", "orient=\"records\""]);

    let row = |text: &str| format!("{{\"text\": \"{text}\", \"labels\": [\"joy\"]}}");
    let data = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| fs::write(data.path().join(name), text).unwrap();
    write("train.json", format!("[{},\n{}]", row("a"), row("b")));
    write("dev.json", format!("{}\n{}\n", row("c"), row("d")));
    let show = |split: &str| {
        let data = data.path().to_str().unwrap();
        let shown =
            run_with(folder.path(), &["data", "show", "--data", data, "--split", split], b"");
        rows(&shown.ok().stdout)
            .iter()
            .map(|row| row["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (show("train"), show("dev")),
        (vec!["a".into(), "b".into()], vec!["c".into(), "d".into()])
    );
}

#[test]
fn an_encoding_is_named_and_kept_with_the_run() {
    let latin =
        b"text,labels\nGr\xFC\xDFe aus K\xF6ln,joy\nna ja,anger\nsch\xF6n,love\nna gut,joy\n";
    let folder = place(&[
        ("a.csv", latin),
        ("labels.txt", b"joy\nanger\nlove\n"),
        ("a.txt", b"fine\nna\xEFve\n\xFCber\n"),
        ("u.txt", b"f\0i\0n\0e\0\n\0m\0e\0h\0\n\0"),
    ]);
    let folder = folder.path();
    let ran = predict(folder, &["-i", "a.txt"], b"").fails(1, &["2 rows could not be read"]);
    assert!(said(&ran)[1].contains("not UTF-8 in the text (0xEF at byte 3)"), "{}", ran.stdout);
    assert_eq!(ran.stderr.matches("--encoding cp1252").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("a.txt:2: found bytes"), "{}", ran.stderr);
    for encoding in ["cp1252", "windows-1252", "latin-1", "iso-8859-1"] {
        let ran = predict(folder, &["-i", "a.txt", "--encoding", encoding], b"").ok();
        assert_eq!(said(&ran), ["fine", "na\u{EF}ve", "\u{FC}ber"], "{encoding}");
    }
    predict(folder, &["-i", "u.txt"], b"")
        .fails(1, &["u.txt", "UTF-16 without", "hint: ", "utf-16le"]);
    let ran = predict(folder, &["-i", "u.txt", "--encoding", "utf-16le"], b"").ok();
    assert_eq!(said(&ran), ["fine", "meh"]);
    predict(folder, &["-i", "u.txt", "--encoding", "utf-7"], b"").fails(2, &["utf-7", "cp1252"]);
    predict(folder, &["meh", "--encoding", "cp1252"], b"").fails(2, &["--encoding"]);

    let train = "train --init random:1L-64D --max-steps 1 --batch-size 2 --data a.csv --dev-share 0.25 --quiet";
    run(folder, &format!("{train} --output x"))
        .fails(1, &["a.csv:2: found bytes", "--encoding cp1252"]);
    run(folder, &format!("{train} --output x --encoding cp1252")).ok();
    let settings = fs::read_to_string(folder.join("x/settings.toml")).unwrap();
    assert!(settings.contains("encoding = \"cp1252\""), "{settings}");
    run(folder, "evaluate --model x").ok();
    run(folder, "train --resume x --encoding cp1252").fails(2, &["--encoding"]);
    let kept = fs::read_to_string(trained().join("runs/quick/settings.toml")).unwrap();
    assert!(!kept.contains("encoding"), "{kept}");

    let texts = "distill --student 1L-64D --max-steps 1 --texts a.txt --output d --teacher";
    let texts = format!("{texts} {}", trained().join("runs/quick").display());
    run(folder, &texts).fails(1, &["a.txt:2: found bytes", "--encoding cp1252"]);
    run(folder, &format!("{texts} --encoding cp1252")).ok();
    let settings = fs::read_to_string(folder.join("d/settings.toml")).unwrap();
    assert!(settings.contains("encoding = \"cp1252\""), "{settings}");
}

#[test]
fn what_comes_before_damage_is_answered() {
    let texts: Vec<String> = (0..3000).map(|i| format!("row {i} of {}", i * i % 9973)).collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(texts.join("\n").as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    let folder = place(&[("a.txt.gz", &whole[..whole.len() / 2])]);
    let ran = predict(folder.path(), &["-i", "a.txt.gz"], b"");
    let found = said(&ran);
    assert!(found.len() > 1000 && found == texts[..found.len()], "{}", found.len());
    let told = format!("rows before the damage: {}", found.len());
    ran.fails(1, &["a.txt.gz", &told, "caused by: the .gz file is cut off", "hint:"]);
}

#[test]
fn names_stand_once() {
    let folder = place(&[
        ("a.csv", b"text,text\na,b\n"),
        ("a.jsonl", br#"{"text": "a", "text": "b"}"#),
        ("b.jsonl", br#"{"text": "a", "labels": {"joy": 0.5, "JOY": 0.9}}"#),
    ]);
    predict(folder.path(), &["-i", "a.csv"], b"").fails(1, &["one column \"text\"", "hint:"]);
    let ran = predict(folder.path(), &["-i", "a.jsonl"], b"").fails(1, &["1 row"]);
    assert!(said(&ran)[0].contains("the field \"text\" twice"), "{}", ran.stdout);
    run(folder.path(), "data show --data b.jsonl")
        .fails(1, &["b.jsonl:1", "two targets for the label \"joy\""]);

    let model = copied_model();
    let path = model.path().join("thresholds.json");
    let text = fs::read_to_string(&path).unwrap();
    let at = text.find("\"joy\"").unwrap();
    fs::write(&path, format!("{}\"joy\": 0.9, {}", &text[..at], &text[at..])).unwrap();
    run_with(folder.path(), &["predict", "--model", model.path().to_str().unwrap(), "meh"], b"")
        .fails(1, &["thresholds.json", "two thresholds for the label \"joy\""]);
}

#[test]
fn excels_first_line_is_no_header() {
    let folder = place(&[("a.csv", b"\xEF\xBB\xBFsep=;\r\nid;text\r\n1;so, glad\r\n2;meh\r\n")]);
    let ran = predict(folder.path(), &["-i", "a.csv", "--keep-columns"], b"").ok();
    assert_eq!(said(&ran), ["so, glad", "meh"]);
    assert_eq!(rows(&ran.stdout)[1]["id"], "2");
}
