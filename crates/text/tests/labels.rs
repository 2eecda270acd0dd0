//! Labels in every form in which people have them, and the refusals of what can be read in two ways.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tinymood_core::LabelSet;
use tinymood_hub::Fetcher;
use tinymood_text::{
    DataError, DataSource, Dataset, LabelFormat, LabelList, ListRole, ReadOptions, Splits, Wanted,
    goemotions, open, read_dataset,
};

/// Formats that datasets are read in, as files are named.
const FORMATS: [&str; 4] = ["tsv", "csv", "jsonl", "json"];

fn list(names: &[&str], role: ListRole) -> ReadOptions {
    let (labels, source) = (LabelSet::new(names).unwrap(), "a list".to_owned());
    ReadOptions { labels: Some(LabelList { labels, source, role }), ..ReadOptions::default() }
}

fn given(names: &[&str]) -> ReadOptions {
    list(names, ListRole::Given)
}

fn four() -> ReadOptions {
    given(&["joy", "anger", "fear", "love"])
}

fn read(name: &str, text: &str, options: &ReadOptions) -> Result<Dataset, DataError> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join(name);
    fs::write(&path, text).unwrap();
    read_dataset(&path, options)
}

/// The problem of a file and what to do about it.
#[track_caller]
fn refused(name: &str, text: &str, options: &ReadOptions) -> (String, String) {
    match read(name, text, options) {
        Ok(dataset) => panic!("{text:?} was read: {:?}", targets(&dataset)),
        Err(error) => (error.to_string(), error.hint().unwrap_or_default()),
    }
}

fn targets(dataset: &Dataset) -> Vec<Vec<f32>> {
    dataset.examples.iter().map(|example| example.targets.clone()).collect()
}

/// A cell of labels in a CSV file whose other rows, if any, stand before it.
fn csv(cells: &[&str]) -> String {
    let row = |cell: &&str| format!("a,\"{}\"\n", cell.replace('"', "\"\""));
    format!("text,labels\n{}", cells.iter().map(row).collect::<String>())
}

#[derive(Deserialize)]
struct Golden {
    labels: Vec<String>,
    expected: BTreeMap<String, Vec<Vec<f32>>>,
    /// By name and format.
    tables: BTreeMap<String, BTreeMap<String, String>>,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/labels.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn tables_of_pandas_have_the_targets_of_scikit_learn() {
    let Golden { labels, expected, tables } = golden();
    let options = given(&labels.iter().map(String::as_str).collect::<Vec<_>>());
    let mut count = 0;
    for (name, formats) in &tables {
        let expected = match name.split('-').next() {
            Some("soft") => &expected["soft"],
            Some("one") => &expected["one"],
            _ => &expected["hard"],
        };
        for (format, text) in formats.iter().filter(|(format, _)| FORMATS.contains(&&***format)) {
            let dataset = read(&format!("a.{format}"), text, &options);
            let dataset = dataset.unwrap_or_else(|error| panic!("{name}.{format}: {error}"));
            assert_eq!(&targets(&dataset), expected, "{name}.{format}");
            let form = match name.as_str() {
                name if name.ends_with("columns") => LabelFormat::Auto,
                "soft-dictionary" => LabelFormat::Auto,
                name if name.starts_with("names") => LabelFormat::Names,
                name if name.contains("id") => LabelFormat::Ids,
                _ => LabelFormat::MultiHot,
            };
            assert_eq!(dataset.reading.format, form, "{name}.{format}: {:?}", dataset.reading);
            // What was found is enough to read the file again.
            let again = ReadOptions { label_format: form, ..options.clone() };
            assert_eq!(&targets(&read(&format!("a.{format}"), text, &again).unwrap()), expected);
            count += 1;
        }
    }
    assert!(count > 50, "{count} tables");
}

#[test]
fn names_are_collected_where_no_list_is_given() {
    let Golden { labels, expected, tables } = golden();
    for name in ["names-list", "names-joined", "names-set", "names-numpy", "soft-dictionary"] {
        let expected = if name.starts_with("soft") { &expected["soft"] } else { &expected["hard"] };
        for (format, text) in tables[name].iter().filter(|(it, _)| FORMATS.contains(&&***it)) {
            let dataset = read(&format!("a.{format}"), text, &ReadOptions::default()).unwrap();
            assert_eq!(dataset.labels.names(), ["anger", "fear", "joy", "love"], "{name}.{format}");
            assert!(dataset.reading.collected);
            let turned = dataset.in_order_of(&LabelSet::new(&labels).unwrap()).unwrap();
            assert_eq!(&targets(&turned), expected, "{name}.{format}");
        }
    }
    // The most frequent spelling, and GoEmotions' order where the names are all of its 28.
    let dataset = read("a.csv", &csv(&["Joy", "joy", "JOY", "joy, calm"]), &ReadOptions::default());
    assert_eq!(dataset.unwrap().labels.names(), ["calm", "joy"]);
    let mut all: Vec<String> = LabelSet::goemotions().names().to_vec();
    all.reverse();
    let cells: Vec<&str> = all.iter().map(String::as_str).collect();
    let dataset = read("a.csv", &csv(&cells), &ReadOptions::default()).unwrap();
    assert_eq!(dataset.labels, LabelSet::goemotions());
    assert_eq!(dataset.examples[0].targets[27], 1.0);
}

#[test]
fn what_is_hardly_a_set_of_names_is_refused() {
    let none = ReadOptions::default();
    let texts: Vec<String> = (0..60).map(|i| format!("comment {i}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (cells, problem, remedy) in [
        (&["joy|anger", "joy"][..], "\"joy|anger\" on line 2", "--label-separator \"|\""),
        (&["joy", "joy; anger"], "\"joy; anger\" on line 3", "--label-separator \";\""),
        (&["joy", "anger", "joy anger"], "\"joy anger\" on line 4", "--label-separator \" \""),
        (&texts, "60 different labels in 60 mentions", "--labels-column"),
        (&["joy", "nan"], "the missing value \"nan\"", "leave the cell empty"),
        (&["joy", "True"], "the number \"True\" as a label", "--labels FILE"),
        (&["joy", "4"], "the number \"4\" as a label", "--label-format names"),
        (&["0, 1, 0, 0"], "the number \"0\" as a label", "--labels FILE"),
        (&["", ""], "no row of", "--labels-column"),
    ] {
        let (error, hint) = refused("a.csv", &csv(cells), &none);
        assert!(error.contains(problem), "{error}");
        assert!(hint.contains(remedy), "{hint}");
    }
    let (error, hint) = refused("a.tsv", "sentence\temotion\nso glad\tjoy\nmeh\tcalm\n", &none);
    assert!(error.contains("seem to name columns"), "{error}");
    assert!(hint.contains("--text-column \"sentence\" --labels-column \"emotion\""), "{hint}");
    for (name, text) in [
        ("a.csv", "text,joy,anger,likes\na,1,0,7\nb,0,0.5,1\n"),
        ("a.jsonl", "{\"text\": \"a\", \"joy\": 1, \"anger\": false, \"likes\": 7}\n"),
    ] {
        let (error, hint) = refused(name, text, &none);
        assert!(error.contains("\"labels\""), "{error}");
        assert!(hint.contains("--labels joy,anger") && !hint.contains("likes"), "{hint}");
    }
    // Names between blanks that are one, a name in a list with a separator in it.
    let dataset = read("a.csv", &csv(&["very sad", "joy", "['sad, really']"]), &none).unwrap();
    assert_eq!(dataset.labels.names(), ["joy", "sad, really", "very sad"]);
    // Told to be names, numbers are names.
    let told = ReadOptions { label_format: LabelFormat::Names, ..none.clone() };
    let dataset = read("a.csv", &csv(&["5", "1", "3,5"]), &told).unwrap();
    assert_eq!(dataset.labels.names(), ["1", "3", "5"]);
    let told = ReadOptions { label_format: LabelFormat::Ids, ..none.clone() };
    let (error, hint) = refused("a.csv", &csv(&["1"]), &told);
    assert!(error.contains("no list of labels") && hint.contains("--labels"), "{error}");
    let cells = vec!["optimism"; 40];
    let dataset = read("a.csv", &csv(&[&cells[..], &["optimisn", "joy"]].concat()), &none).unwrap();
    let warnings = &dataset.reading.warnings;
    assert!(
        warnings.len() == 1 && warnings[0].contains("\"optimisn\" (1 row) may be \"optimism\" (40"),
        "{warnings:?}"
    );
}

#[test]
fn ids_or_multi_hot_is_decided_for_the_whole_file() {
    let two = given(&["joy", "anger"]);
    // Each alone may be both; a row that is only one of them decides.
    for (cells, expected) in [
        (&["[0, 1]", "[0, 0]"][..], &[[0.0, 1.0], [0.0, 0.0]][..]),
        (&["[1, 0]", "[1, 1]"], &[[1.0, 0.0], [1.0, 1.0]]),
        (&["[1, 0]", "[0.5, 0]"], &[[1.0, 0.0], [0.5, 0.0]]),
        (&["[1, 0]", "[0]"], &[[1.0, 1.0], [1.0, 0.0]]),
        (&["[1, 0]", "joy"], &[[1.0, 1.0], [1.0, 0.0]]),
        (&["[1, 0]", "[True, False]"], &[[1.0, 0.0], [1.0, 0.0]]),
    ] {
        assert_eq!(targets(&read("a.csv", &csv(cells), &two).unwrap()), expected, "{cells:?}");
    }
    for cells in [&["[0, 1]", "[1, 0]", ""][..], &["0,1"]] {
        let (error, hint) = refused("a.csv", &csv(cells), &two);
        assert!(error.contains("[0, 1] on line 2") && error.contains("ids or a vector"), "{error}");
        assert!(hint.contains("--label-format"), "{hint}");
    }
    for (format, expected) in [(LabelFormat::Ids, [1.0, 1.0]), (LabelFormat::MultiHot, [0.0, 1.0])]
    {
        let told = ReadOptions { label_format: format, ..two.clone() };
        let dataset = read("a.csv", &csv(&["[0, 1]"]), &told).unwrap();
        assert_eq!(targets(&dataset), [expected], "{format:?}");
    }
    // Of one label, 1 is no id.
    let one = given(&["toxic"]);
    assert_eq!(targets(&read("a.csv", &csv(&["0", "1"]), &one).unwrap()), [[0.0], [1.0]]);
    assert!(refused("a.csv", &csv(&["0", "0"]), &one).0.contains("ids or a vector"));

    for (cells, problem) in [
        (&["[0, 1, 0, 0]", "[2]"][..], "[0, 1, 0, 0] on line 2, a vector of 4 numbers, and [2] on"),
        (&["joy", "[0, 1, 0, 0]"], "[joy] on line 2, a list of labels"),
        (&["[0, 1, 0]"], "found [0, 1, 0], expected a vector of 4 numbers"),
        (&["[0, 1, 0, 0]", "[0, 1, 0]"], ":3: found [0, 1, 0], expected a vector of 4 numbers"),
        (&["[0, 1, 0, 0]", ""], ":3: found no labels, expected a vector of 4 numbers"),
        (&["[0, 1, 0, 0]", "[0, nan, 0, 0]"], ":3: found \"nan\" for the label \"anger\""),
        (&["[0, 1, 0, 0]", "[0, 2, 0, 0]"], ":3: found \"2\" for the label \"anger\""),
        (&["2, 2"], "the label \"fear\" twice in [2, 2]"),
        (&["joy, Joy"], "the label \"joy\" twice in [joy, Joy]"),
        (&["joy, 0"], "the label \"joy\" twice in [joy, 0]"),
        (&["joy", "NaN"], ":3: found the missing value \"NaN\""),
        (&["4"], "label id 4 is out of range"),
        (&["1.5"], "unknown label \"1.5\""),
    ] {
        let (error, hint) = refused("a.csv", &csv(cells), &four());
        assert!(error.contains(problem) && !hint.is_empty(), "{cells:?}: {error}");
    }
    let none = given(&["joy", "none", "None at all"]);
    assert_eq!(targets(&read("a.csv", &csv(&["None"]), &none).unwrap()), [[0.0, 1.0, 0.0]]);
}

#[test]
fn numbers_are_names_or_ids_in_the_whole_file() {
    let stars = given(&["1", "2", "3"]);
    let hot = |cells: &[&str]| targets(&read("a.csv", &csv(cells), &stars).unwrap());
    assert_eq!(hot(&["1", "3"]), [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
    assert_eq!(hot(&["1.0", "3.0"]), [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
    let (error, hint) = refused("a.csv", &csv(&["0", "1", "2"]), &stars);
    assert!(error.contains("\"1\" on line 3, which is the name of a label, and \"0\""), "{error}");
    assert!(hint.contains("--label-format ids"), "{hint}");
    let told = ReadOptions { label_format: LabelFormat::Ids, ..stars.clone() };
    let dataset = read("a.csv", &csv(&["0", "1", "2"]), &told).unwrap();
    assert_eq!(targets(&dataset)[1], [0.0, 1.0, 0.0]);
    let told = ReadOptions { label_format: LabelFormat::Names, ..stars };
    assert!(refused("a.csv", &csv(&["1", "0"]), &told).0.contains("unknown label \"0\""));
}

#[test]
fn a_model_with_goemotions_labels_reads_lists_of_ids_and_vectors() {
    let goemotions = LabelSet::goemotions();
    let names: Vec<&str> = goemotions.names().iter().map(String::as_str).collect();
    let hot = |labels: &[usize]| -> Vec<f32> {
        (0..28).map(|label| f32::from(u8::from(labels.contains(&label)))).collect()
    };
    for role in [ListRole::Model, ListRole::Start] {
        let options = list(&names, role);
        let found = |file: &str, text: &str| targets(&read(file, text, &options).unwrap());
        assert_eq!(found("a.csv", &csv(&["[27]", "[2, 17]"])), [hot(&[27]), hot(&[2, 17])]);
        let vector = |labels| format!("{:?}", hot(labels));
        let cells = [vector(&[27]), vector(&[2, 17])];
        let cells = cells.each_ref().map(String::as_str);
        assert_eq!(found("a.csv", &csv(&cells)), [hot(&[27]), hot(&[2, 17])]);
        let line = format!("{{\"text\": \"a\", \"labels\": {}}}\n", vector(&[3]));
        assert_eq!(found("a.jsonl", &line), [hot(&[3])]);
        for (file, text) in [
            ("a.csv", csv(&["4", "[1, 2]"])),
            ("a.jsonl", "{\"text\": \"a\", \"labels\": 4}\n".to_owned()),
        ] {
            let error = refused(file, &text, &options).0;
            assert!(error.contains("the number \"4\" as a label"), "{error}");
        }
    }
}

#[test]
fn two_fields_of_one_label_are_refused() {
    let text = "{\"text\": \"a\", \"joy\": 0.5, \"JOY\": 0.9, \"anger\": 0}\n";
    let error = refused("a.jsonl", text, &given(&["joy", "anger"])).0;
    assert!(error.contains("found the fields") && error.contains("\"JOY\""), "{error}");
}

#[test]
fn a_missing_number_of_a_vector_is_named() {
    let error = refused("a.csv", &csv(&["[0.0, 1.0, 0.0, nan]"]), &four()).0;
    assert!(error.contains("the missing value \"nan\""), "{error}");
}

#[test]
fn the_labels_of_other_rows_are_named_only_where_there_are_any() {
    let none = ReadOptions::default();
    let (error, hint) = refused("a.csv", &csv(&["['joy', '']"]), &none);
    assert!(!hint.contains("admiration"), "{error}; {hint}");
}

#[test]
fn a_models_labels_are_a_list_of_their_own_kind() {
    let goemotions = LabelSet::goemotions();
    let names: Vec<&str> = goemotions.names().iter().map(String::as_str).collect();
    for role in [ListRole::Model, ListRole::Start] {
        // Stars are no emotions, and published rows have ids whoever reads them.
        let error = refused("a.csv", &csv(&["4", "1"]), &list(&names, role)).0;
        assert!(error.contains("the number \"4\""), "{error}");
        let mine = list(&["anger", "calm"], role);
        let published = read("a.tsv", "a\t17\teebbqej\n", &mine).unwrap();
        assert_eq!(published.labels, goemotions);
        assert_eq!(targets(&read("a.csv", &csv(&["1", "0"]), &mine).unwrap())[0], [0.0, 1.0]);
    }
    let ekman = ["anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"];
    assert!(refused("a.csv", &csv(&["4"]), &list(&ekman, ListRole::Model)).0.contains("number"));

    // Names beyond those of a model are added where training starts from it, and refused elsewhere.
    let labels = |cells: &[&str], role| {
        let dataset = read("a.csv", &csv(cells), &list(&["joy", "anger"], role))?;
        Ok::<_, DataError>(dataset.labels.names().join(" "))
    };
    assert_eq!(labels(&["anger"], ListRole::Start).unwrap(), "joy anger");
    assert_eq!(labels(&["anger", "calm", "awe"], ListRole::Start).unwrap(), "joy anger awe calm");
    assert_eq!(labels(&["praise", "billing"], ListRole::Start).unwrap(), "billing praise");
    assert_eq!(labels(&["anger"], ListRole::Model).unwrap(), "joy anger");
    assert!(labels(&["calm"], ListRole::Model).unwrap_err().to_string().contains("\"calm\""));
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(place.path().join(name), text).unwrap());
        Self(place)
    }

    fn open(&self, wanted: Wanted, options: &ReadOptions) -> Result<Splits, DataError> {
        let cache = PathBuf::from("no-cache");
        let (home, fetcher) = ("http://127.0.0.1:9".to_owned(), Fetcher::default());
        let goemotions = goemotions::Source { cache, offline: true, home, fetcher };
        let data = self.0.path().display().to_string();
        let options = options.clone();
        open(&DataSource { data, options, goemotions, wanted, dev_share: 0.0 })
    }
}

#[test]
fn splits_in_formats_that_are_not_read_are_named() {
    let files = ["test.xlsx", "train.txt", "labels.md", "notes.txt", "test.py"];
    let folder = Folder::new(&files.map(|name| (name, "x")));
    let path = |name: &str| folder.0.path().join(name);
    fs::write(path("train.csv"), "text,labels\na,joy\n").unwrap();
    let open = || folder.open(Wanted::ALL, &ReadOptions::default());
    assert_eq!(open().unwrap().unused, ["test.xlsx", "train.txt"].map(path));
    for name in ["dev.parquet", "validation.csv.bz2", "Val.XLSX"] {
        fs::write(path(name), "x").unwrap();
        let error = open().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.hint().unwrap().contains("to_csv"), "{error}");
        fs::remove_file(path(name)).unwrap();
    }
    fs::write(path("dev.csv"), "text,labels\nb,joy\n").unwrap();
    fs::write(path("dev.parquet"), "x").unwrap();
    assert_eq!(open().unwrap().unused, ["dev.parquet", "test.xlsx", "train.txt"].map(path));
}

#[test]
fn the_train_split_decides_for_the_others_whichever_are_opened() {
    // What dev alone leaves open is as train says.
    for (train, format, expected) in [
        (csv(&["[1, 1]"]), LabelFormat::MultiHot, [0.0, 1.0]),
        (csv(&["[1]", "[0]"]), LabelFormat::Ids, [1.0, 1.0]),
    ] {
        let dev = csv(&["[0, 1]"]);
        let folder = Folder::new(&[
            ("labels.txt", "joy\nanger\n"),
            ("train.csv", &train),
            ("dev.csv", &dev),
        ]);
        for wanted in [Wanted::DEV, Wanted::ALL] {
            let dev = folder.open(wanted, &ReadOptions::default()).unwrap().dev.unwrap();
            assert_eq!((dev.reading.format, targets(&dev)), (format, vec![expected.to_vec()]));
        }
    }
    let ambiguous = [("labels.txt", "joy\nanger\n"), ("dev.csv", &csv(&["[0, 1]"]))];
    let error = Folder::new(&ambiguous).open(Wanted::DEV, &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("ids or a vector"), "{error}");

    // Names are those of train, also for a dev split that lacks some, or that is opened alone.
    let train = csv(&["joy", "anger", "calm"]);
    let folder = Folder::new(&[("train.csv", &train), ("dev.csv", &csv(&["joy"]))]);
    for wanted in [Wanted::DEV, Wanted::ALL] {
        let splits = folder.open(wanted, &ReadOptions::default()).unwrap();
        let dev = splits.dev.unwrap();
        assert_eq!(dev.labels.names(), ["anger", "calm", "joy"]);
        assert_eq!(targets(&dev), [[0.0, 0.0, 1.0]]);
        assert_eq!(splits.train.is_some(), wanted.train);
    }
    let folder = Folder::new(&[("train.csv", &train), ("dev.csv", &csv(&["joy", "awe"]))]);
    let error = folder.open(Wanted::DEV, &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("dev.csv:3: found unknown label \"awe\""), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("train.csv, anger, calm, joy"), "{hint}");
}

#[test]
fn rows_are_refused_in_their_order() {
    let rows = "{\"text\": \"a\", \"labels\": [\"awe\"]}\n{\n";
    assert!(refused("a.jsonl", rows, &four()).0.contains(":1: found unknown label"));
    let rows = "{\"text\": \"a\", \"labels\": [\"joy\"]}\n{\n{\"text\": \"b\", \"labels\": [9]}\n";
    assert!(refused("a.jsonl", rows, &four()).0.contains(":2: found no JSON"));
    let options = ReadOptions { skip_bad_rows: true, ..four() };
    let dataset = read("a.jsonl", rows, &options).unwrap();
    assert_eq!(dataset.bad_rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn ids_with_decimal_commas_are_refused_or_read() {
    for text in ["text;labels\na;3,0\nb;1,0\nc;\n", "text,labels\na,\"3,0\"\nb,\"0,0\"\n"] {
        let (error, hint) = refused("a.csv", text, &four());
        assert!(error.contains("\"3,0\" on line 2, which may be two ids or one with"), "{error}");
        assert!(hint.contains("--label-separator \"|\"") && hint.contains("ids"), "{hint}");
    }
    let text = "text;labels\na;3,0\nb;1,0\nc;\n";
    let told = ReadOptions { label_separator: "|".to_owned(), ..four() };
    let (joy, anger, love) = ([1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(targets(&read("a.csv", text, &told).unwrap()), [love, anger, [0.0; 4]]);
    let told = ReadOptions { label_format: LabelFormat::Ids, ..four() };
    let both = [1.0, 0.0, 0.0, 1.0];
    assert_eq!(targets(&read("a.csv", text, &told).unwrap())[0], both);
    // A row that has another form decides.
    assert_eq!(targets(&read("a.csv", &csv(&["3,0", "0"]), &four()).unwrap()), [both, joy]);
    // Of two labels, they may be vectors.
    let two = given(&["joy", "anger"]);
    let (error, hint) = refused("a.csv", &csv(&["0,0", "1,0"]), &two);
    assert!(error.contains("decimal comma") && hint.contains("multi-hot"), "{error}: {hint}");
    // Ids of train without a comma say nothing about those of dev.
    let files = [("labels.txt", "joy\nanger\nfear\nlove\n"), ("train.csv", &csv(&["3", "1"]))];
    let folder = Folder::new(&[&files[..], &[("dev.csv", &csv(&["3,0", ""]))]].concat());
    let error = folder.open(Wanted::ALL, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("dev.csv") && error.contains("decimal comma"), "{error}");
}

#[test]
fn what_python_prints_is_read_or_refused() {
    let none = ReadOptions::default();
    let cells = ["{'joy'}", "set()", "frozenset({'joy', 'awe'})", "frozenset()"];
    for options in [none.clone(), given(&["awe", "joy"])] {
        let dataset = read("a.csv", &csv(&cells), &options).unwrap();
        assert_eq!(dataset.labels.names(), ["awe", "joy"]);
        assert_eq!(targets(&dataset), [[0.0, 1.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]);
    }
    for cell in [
        r#"{"choices":["joy","anger"]}"#,
        "[{'label': 'joy', 'score': 0.9}]",
        "[['joy'], ['awe']]",
        "array(['joy', 'love'], dtype=object)",
        "dict_keys(['joy'])",
        "tensor([0, 1])",
    ] {
        let (error, hint) = refused("a.csv", &csv(&["joy", cell]), &none);
        assert!(error.contains(":3: found ") && error.contains("as labels, expected"), "{error}");
        assert!(hint.contains("--labels FILE"), "{hint}");
    }
    for cell in [
        "['joy'",
        "\"joy\": 1",
        "'joy'",
        "joy {mild}",
        "joy\nlove",
        "__label__joy __label__love",
        "#joy #love",
        "array(joy",
    ] {
        let (error, hint) = refused("a.csv", &csv(&["joy", cell]), &none);
        assert!(error.contains("has the label"), "{error}");
        assert!(hint.contains("--labels FILE"), "{hint}");
    }
    let emoticons = read("a.csv", &csv(&[":(", ":)", "#happy", "joy (mild)"]), &none).unwrap();
    assert_eq!(emoticons.labels.names(), ["#happy", ":(", ":)", "joy (mild)"]);
    // A list may have such names.
    let listed = given(&["joy", "set()", "joy {mild}"]);
    let dataset = read("a.csv", &csv(&["set()", "joy {mild}"]), &listed).unwrap();
    assert_eq!(targets(&dataset), [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
}

#[test]
fn a_file_of_labels_has_one_name_for_each_id() {
    let names = |text: &str| {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("list.txt");
        fs::write(&path, text).unwrap();
        let list = LabelList::read(&path).map(|list| list.labels.names().join("|"));
        list.map_err(|error| (error.to_string(), error.hint().unwrap_or_default()))
    };
    for text in [
        "joy\nanger\nfear\n",
        "joy\r\n\r\nanger\r\nfear",
        "\"joy\"\n\"anger\"\n\"fear\"\n",
        "[\"joy\", \"anger\", \"fear\"]",
        "[\n  \"joy\",\n  \"anger\",\n  \"fear\"\n]\n",
        "0\tjoy\n1\tanger\n2\tfear\n",
        "0,joy\n1,anger\n2,\"fear\"\n",
        "index,label\n0,joy\n1,anger\n2,fear\n",
        ",0\n0,joy\n1,anger\n2,fear\n",
    ] {
        assert_eq!(names(text).as_deref(), Ok("joy|anger|fear"), "{text:?}");
    }
    for (text, expected) in [
        ("0\n1\n2\n", "0|1|2"),
        ("1\n2\n3\n", "1|2|3"),
        ("1 star\n2 stars\n", "1 star|2 stars"),
        ("billing, payments\npraise \"loud\"\n", "billing, payments|praise \"loud\""),
        ("\"0 stars\"\n\"1 star\"\n", "0 stars|1 star"),
        ("\"say \"\"no\"\"\"\n\"# 1\"\n", "say \"no\"|# 1"),
        ("[unk]\n#happy\nlabel noise\n", "[unk]|#happy|label noise"),
        ("labels", "labels"),
    ] {
        assert_eq!(names(text).as_deref(), Ok(expected), "{text:?}");
    }
    for (text, line) in [
        ("labels\njoy\nanger\n", 1),
        ("\"Label\"\n\"joy\"\n", 1),
        ("0\njoy\nanger\n", 1),
        ("joy\n\n# not used\nanger\n", 3),
        ("joy,anger,fear,love\n", 1),
        ("['joy', 'anger']\n", 1),
        ("{\"0\": \"joy\", \"1\": \"anger\"}\n", 1),
        ("0 joy\n1 anger\n", 1),
        ("0: joy\n1: anger\n", 1),
        ("1. joy\n2. anger\n", 1),
        ("1,joy\n2,anger\n", 1),
        ("1\tjoy\n2\tanger\n", 1),
        ("id\tname\n3\tjoy\n1\tanger\n", 1),
        ("0,joy,12\n1,anger,3\n", 1),
        ("joy,0\nanger,1\n", 1),
        ("joy: 0\nanger: 1\n", 1),
        ("\"joy\",\n\"anger\",\n", 1),
        ("- joy\n- anger\n", 1),
        ("'joy'\n'anger'\n", 1),
        ("anger\n\"joy\n", 2),
    ] {
        let (error, hint) = names(text).unwrap_err();
        let place = format!("list.txt:{line}: found ");
        assert!(
            error.contains(&place) && error.contains("the name of a label"),
            "{text:?}: {error}"
        );
        assert!(!hint.is_empty(), "{text:?}");
    }
}

#[test]
fn targets_that_memory_cannot_hold_are_refused_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.csv");
    let labels = LabelSet::new((0..60_000).map(|label| format!("l{label}"))).unwrap();
    let list = LabelList { labels, source: "labels.txt".to_owned(), role: ListRole::Given };
    let options = ReadOptions { labels: Some(list), ..ReadOptions::default() };
    let read = |rows: usize| {
        fs::write(&path, "text,labels\n".to_owned() + &"a text,l7\n".repeat(rows)).unwrap();
        read_dataset(&path, &options)
    };
    let error = read(18_000).unwrap_err();
    let message = error.to_string();
    assert!(
        ["18000 rows", "60000 labels", "4.1 GiB", "at most 4"].iter().all(|n| message.contains(n)),
        "{message}"
    );
    assert!(error.hint().is_some());
    assert_eq!(read(10).unwrap().examples.len(), 10);
}

#[test]
fn columns_that_are_no_labels_are_not_offered_as_such() {
    let none = ReadOptions::default();
    let text = "text,id,example_very_unclear,joy,anger\na,0,False,1,0\nb,1,True,0,1\n";
    let hint = refused("a.csv", text, &none).1;
    assert!(hint.contains("--labels joy,anger") && !hint.contains("unclear"), "{hint}");
    let names: Vec<String> = (0..28).map(|label| format!("label-{label}")).collect();
    let text = format!("text,{}\na{}\n", names.join(","), ",0".repeat(28));
    let hint = refused("a.csv", &text, &none).1;
    assert!(hint.ends_with(&format!("--labels {}", names.join(","))), "{hint}");
}

#[test]
fn columns_of_labels_that_are_not_read_are_named() {
    let warnings = |text: &str, options: &ReadOptions| {
        read("a.csv", text, options).unwrap().reading.warnings.join("\n")
    };
    let text = "text,labels,joy,anger\na,joy,0,1\n";
    let both = given(&["joy", "anger"]);
    let found = warnings(text, &both);
    assert!(found.contains("\"labels\", not from \"joy\", \"anger\""), "{found}");
    assert_eq!(warnings("text,labels,joy\na,joy,0\n", &both), "");
    let columns = ReadOptions { labels_column: "-".to_owned(), ..both };
    assert_eq!(targets(&read("a.csv", text, &columns).unwrap()), [[0.0, 1.0]]);
    assert_eq!(warnings(text, &columns), "");
}
