//! Labels of datasets: names, ids, multi-hot vectors, soft targets.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tinymood_text::sample;

use crate::common::{self, QUICK, Ran, lasting, rows, run, trained};

/// In an order that is not theirs by name.
const LABELS: [&str; 4] = ["joy", "anger", "fear", "love"];
/// The labels of each row, as ids.
const ROWS: [&[usize]; 5] = [&[1], &[0, 3], &[], &[0, 1, 2, 3], &[1, 2]];

/// The formats of files, as they are named.
const FORMATS: [&str; 4] = ["tsv", "csv", "jsonl", "json"];

/// How rows have their labels.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Ids,
    Names,
    MultiHot,
    /// A 0/1 column or field a label.
    Columns,
    /// Soft targets by name.
    Soft,
    SoftVectors,
    SoftColumns,
}

impl Form {
    const ALL: [Self; 7] = [
        Self::Ids,
        Self::Names,
        Self::MultiHot,
        Self::Columns,
        Self::Soft,
        Self::SoftVectors,
        Self::SoftColumns,
    ];

    fn is_soft(self) -> bool {
        matches!(self, Self::Soft | Self::SoftVectors | Self::SoftColumns)
    }

    /// The targets of a row; (4).
    fn targets(self, row: usize) -> [f64; 4] {
        std::array::from_fn(|label| match (ROWS[row].contains(&label), self.is_soft()) {
            (true, true) => 0.7,
            (false, true) => 0.2,
            (holds, false) => f64::from(u8::from(holds)),
        })
    }

    /// The labels of a row as JSON; `None` where each has a column.
    fn value(self, row: usize) -> Option<Value> {
        let targets = self.targets(row);
        Some(match self {
            Self::Ids => json!(ROWS[row]),
            Self::Names => json!(ROWS[row].iter().map(|&id| LABELS[id]).collect::<Vec<_>>()),
            Self::MultiHot => json!(targets.map(|target| target as u8)),
            Self::SoftVectors => json!(targets),
            Self::Soft => LABELS.iter().zip(targets).map(|(name, it)| (*name, json!(it))).collect(),
            Self::Columns | Self::SoftColumns => return None,
        })
    }

    /// A file of all rows.
    fn file(self, format: &str) -> String {
        let objects = (0..ROWS.len()).map(|row| {
            let mut object = json!({ "text": format!("text {row}") });
            match self.value(row) {
                Some(labels) => object["labels"] = labels,
                None => {
                    for (name, target) in LABELS.iter().zip(self.targets(row)) {
                        object[*name] = json!(target);
                    }
                }
            }
            object
        });
        let cells = |row: usize| match self.value(row) {
            Some(Value::Array(items)) if self == Self::Names => {
                vec![items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")]
            }
            Some(Value::Array(items)) => {
                vec![items.iter().map(Value::to_string).collect::<Vec<_>>().join(",")]
            }
            Some(other) => vec![other.to_string()],
            None => self.targets(row).map(|target| target.to_string()).to_vec(),
        };
        let header = match self.value(0) {
            Some(_) => vec!["labels"],
            None => LABELS.to_vec(),
        };
        let table = |delimiter: &str, has_header: bool| {
            let quoted = |cell: String| format!("\"{}\"", cell.replace('"', "\"\""));
            let mut text = String::new();
            if has_header {
                writeln!(text, "text{delimiter}{}", header.join(delimiter)).unwrap();
            }
            for row in 0..ROWS.len() {
                let cells: Vec<String> = cells(row).into_iter().map(quoted).collect();
                writeln!(text, "text {row}{delimiter}{}", cells.join(delimiter)).unwrap();
            }
            text
        };
        match format {
            "csv" => table(",", true),
            // As GoEmotions is published where it can be: without a header.
            "tsv" => table("\t", self.value(0).is_none()),
            "json" => Value::Array(objects.collect()).to_string(),
            _ => objects.map(|object| format!("{object}\n")).collect(),
        }
    }
}

/// A folder with a run on [`LABELS`] in `run`.
fn school() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = lasting("labels");
        fs::write(folder.join("train.csv"), Form::Columns.file("csv")).unwrap();
        let train = format!("train {QUICK} --max-steps 2 --data train.csv --quiet --output run");
        run(&folder, &format!("{train} --labels {}", LABELS.join(","))).ok();
        folder
    })
}

/// Whether a file was read with all its targets, or refused by name with a hint.
fn outcome(ran: Ran, file: &str, is_right: impl FnOnce(&str) -> bool) -> &'static str {
    match ran.status {
        Some(0) if is_right(&ran.stdout) => "read",
        Some(0) => "WRONG",
        Some(1) if ran.stderr.contains(file) && ran.stderr.contains("hint: ") => "refused",
        _ => "UNNAMED",
    }
}

/// Whether `data show` shows the rows of a form.
fn shows(form: Form, shown: &str) -> bool {
    let expected: Vec<Value> = (0..ROWS.len())
        .map(|row| {
            let targets = LABELS.iter().zip(form.targets(row)).filter(|(_, target)| *target > 0.0);
            let mut names: Vec<&str> = targets.clone().map(|(name, _)| *name).collect();
            names.sort_unstable();
            match form.is_soft() {
                true => targets.map(|(name, target)| (name.to_string(), json!(target))).collect(),
                false => json!(names),
            }
        })
        .collect();
    let sorted = |row: &Value| match &row["labels"] {
        Value::Array(names) => {
            let mut names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            names.sort_unstable();
            json!(names)
        }
        other => other.clone(),
    };
    rows(shown).iter().map(sorted).eq(expected)
}

/// Whether `evaluate` counted the rows of each label.
fn counts(figures: &str) -> bool {
    let figures = common::json(figures);
    let rows = |label: usize| ROWS.iter().filter(|row| row.contains(&label)).count();
    (0..4).all(|label| figures["labels"][LABELS[label]]["support"] == json!(rows(label)))
}

/// Each form in each format with each list, as the command line takes them. Ids, vectors and columns say
/// nothing without a list.
#[test]
fn all_combinations_are_read_right_or_refused_by_name() {
    let folder = school();
    let list = folder.join("list.txt");
    fs::write(&list, LABELS.join("\n")).unwrap();
    let mut table = format!("| labels | list | {} |\n", FORMATS.join(" | "));
    let mut expected = table.clone();
    for form in Form::ALL {
        for given in ["labels file", "id2label", "none"] {
            let outcomes = FORMATS.map(|format| {
                let name = format!("{form:?}-{}.{format}", given.replace(' ', "-"));
                fs::write(folder.join(&name), form.file(format)).unwrap();
                let show = format!("data show --data {name}");
                match given {
                    "labels file" => {
                        let ran = run(folder, &format!("{show} --labels list.txt"));
                        outcome(ran, &name, |shown| shows(form, shown))
                    }
                    "id2label" => {
                        let ran =
                            run(folder, &format!("evaluate --model run --data {name} --json"));
                        outcome(ran, &name, counts)
                    }
                    _ => outcome(run(folder, &show), &name, |shown| shows(form, shown)),
                }
            });
            let names_labels = matches!(form, Form::Names | Form::Soft);
            let right = if given == "none" && !names_labels { "refused" } else { "read" };
            writeln!(table, "| {form:?} | {given} | {} |", outcomes.join(" | ")).unwrap();
            let right = FORMATS.map(|_| right).join(" | ");
            writeln!(expected, "| {form:?} | {given} | {right} |").unwrap();
        }
    }
    assert_eq!(table, expected);
}

/// The bundled sample's dev split as multi-hot vectors has the figures that it has with names.
#[test]
fn a_split_as_multi_hot_vectors_has_the_same_figures() {
    let folder = trained();
    let place = tempfile::tempdir().unwrap();
    let dev = sample().unwrap().dev.unwrap();
    let (mut ids, mut vectors) = (String::new(), String::new());
    for example in &dev.examples {
        let holding = (0..28).filter(|&label| example.targets[label] == 1.0).collect::<Vec<_>>();
        writeln!(ids, "{}", json!({ "text": example.text, "labels": holding })).unwrap();
        let vector: Vec<u8> = example.targets.iter().map(|&target| target as u8).collect();
        writeln!(vectors, "{}", json!({ "text": example.text, "labels": vector })).unwrap();
    }
    fs::write(place.path().join("labels.txt"), dev.labels.names().join("\n")).unwrap();
    let figures = |name: &str, text: &str, form: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        let arguments = format!("evaluate --model runs/quick --json --data {}", path.display());
        let ran = run(folder, &arguments).ok();
        assert!(ran.stderr.contains(&format!("labels as {form}")), "{}", ran.stderr);
        let mut figures = common::json(&ran.stdout);
        figures.as_object_mut().unwrap().retain(|name, _| name != "data" && name != "split");
        figures
    };
    let of_ids = figures("ids.jsonl", &ids, "ids; 28 of ");
    assert_eq!(of_ids["rows"], 170);
    assert_eq!(figures("vectors.jsonl", &vectors, "multi-hot vectors of 28; 28 of "), of_ids);
}

#[test]
fn a_run_remembers_how_its_labels_were_read() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    // Without a list: names are collected, printed, and those of the run ever after.
    write("names.csv", &format!("text,labels\n{}", "good,praise\nbad,billing\n".repeat(8)));
    let train = |arguments: &str| run(folder, &format!("train {QUICK} --max-steps 2 {arguments}"));
    let said = train("--data names.csv --output names --dev-share 0.5").ok().stderr;
    assert!(said.contains("labels as names; 2 collected from"), "{said}");
    assert!(said.contains(": billing ("), "{said}");
    let settings = fs::read_to_string(folder.join("names/settings.toml")).unwrap();
    assert!(settings.contains("label_format = \"names\""), "{settings}");
    assert!(settings.contains("labels = [\"billing\", \"praise\"]"), "{settings}");
    run(folder, "evaluate --model names").ok();
    // What may be ids or vectors is refused, unless a flag says which; a run keeps what it said.
    let rows = "good,\"1,0\"\nbad,\"0,1\"\n".repeat(8);
    write("both.csv", &format!("text,labels\n{rows}"));
    let both = "--data both.csv --labels praise,billing --dev-share 0.5";
    train(both).fails(1, &["both.csv", "may be ids or a vector of 2 numbers", "--label-format"]);
    train(&format!("{both} --label-format multi-hot --output both")).ok();
    let supports = |arguments: &str| {
        let labels = &common::json(&run(folder, arguments).ok().stdout)["labels"];
        ["praise", "billing"].map(|label| labels[label]["support"].as_u64().unwrap())
    };
    assert_eq!(supports("evaluate --model both --json"), [0, 8], "all eight are \"bad\"");
    // Settings of runs before there were such flags: GoEmotions' labels where they name none.
    write("old.csv", &format!("text,labels\n{}", "good,joy\nbad,anger\n".repeat(8)));
    train("--data old.csv --labels goemotions --dev-share 0.5 --output old").ok();
    let path = folder.join("old/settings.toml");
    let settings = fs::read_to_string(&path).unwrap();
    let is_new = |line: &&str| line.starts_with("labels = ") || line.contains("label_format = ");
    let (new, older): (Vec<&str>, Vec<&str>) = settings.lines().partition(is_new);
    assert_eq!(new.len(), 2, "{settings}");
    fs::write(&path, older.join("\n")).unwrap();
    let figures = common::json(&run(folder, "evaluate --model old --json").ok().stdout);
    assert_eq!(figures["labels"].as_object().unwrap().len(), 28);
}

#[test]
fn a_model_brings_its_labels() {
    let folder = school();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    let show = |ran: Ran| ran.ok().stderr;
    write(
        "ids.jsonl",
        "{\"text\": \"a\", \"labels\": [1]}\n{\"text\": \"b\", \"labels\": [0, 3]}\n",
    );
    let quick = "--max-steps 1 --batch-size 2 --max-length 16";
    let train = |arguments: &str| run(folder, &format!("train --init run {quick} {arguments}"));
    let said = show(train("--data ids.jsonl --output from-ids"));
    assert!(said.contains("labels as ids; 4 of --init "), "{said}");
    write("more.csv", "text,labels\na,joy\nb,\"anger,boredom\"\n");
    let said = show(train("--data more.csv --output from-more"));
    assert!(said.contains("labels as names; 5 collected from"), "{said}");
    assert!(said.contains("joy (1), anger (1), fear (0), love (0), boredom (1)"), "{said}");
    write("stars.csv", "text,labels\na,4\nb,1\n");
    run(folder, "evaluate --data stars.csv")
        .fails(1, &["stars.csv:2", "the number \"4\"", "hint:"]);
    write("none.csv", "text,labels\na,\nb,\n");
    train("--data none.csv --output x")
        .fails(1, &["none.csv", "no row of", "has a label", "hint:"]);
    write("gap.csv", "text,joy,anger\na,1,0\nb,,0\n");
    run(folder, "data show --data gap.csv --labels joy,anger")
        .fails(1, &["gap.csv:3", "\"\" for the label \"joy\"", "hint: write 0"]);
    run(folder, "data show --data gap.csv").fails(1, &["gap.csv", "hint:", "--labels-column"]);
    let stats = common::json(&run(folder, "data stats --data more.csv --json").ok().stdout);
    assert_eq!(stats["splits"]["train"]["label_form"], "names");
}

#[test]
fn splits_with_labels_in_different_forms_are_read_again() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let names = "text,labels\na,joy\nb,anger\n".to_owned();
    let vectors = "text,labels\na,\"0,0,0,1\"\nb,\"1,0,0,0\"\n".to_owned();
    let ids = "text,labels\na,1\nb,0\nc,1\n".to_owned();
    for (run_name, train) in [("names", names), ("vectors", vectors)] {
        fs::create_dir(folder.join(format!("{run_name}-data"))).unwrap();
        for (split, text) in [("train", &train), ("dev", &ids)] {
            fs::write(folder.join(format!("{run_name}-data/{split}.csv")), text).unwrap();
        }
        let data = format!("--data {run_name}-data --labels {}", LABELS.join(","));
        run(folder, &format!("train {QUICK} --max-steps 2 {data} --output {run_name}")).ok();
        let figures = run(folder, &format!("evaluate --model {run_name} --json")).ok().stdout;
        let support = &common::json(&figures)["labels"]["anger"]["support"];
        assert_eq!(*support, json!(2), "{run_name}");
        run(folder, &format!("tune --model {run_name}")).ok();
        run(folder, &format!("train --resume {run_name}")).ok();
    }
}

#[test]
fn thresholds_are_not_tuned_on_rows_without_labels() {
    let place = common::copied_model();
    let folder = place.path();
    fs::write(folder.join("none.csv"), "text,labels\na,\nb,\n").unwrap();
    let thresholds = || fs::read(folder.join("thresholds.json")).ok();
    let before = thresholds();
    run(folder, "tune --model . --data none.csv").fails(1, &["none.csv", "no row of", "hint:"]);
    assert_eq!(thresholds(), before);
    let ran = run(folder, "evaluate --model . --data none.csv").ok();
    assert!(ran.stderr.contains("no row of") && ran.stderr.contains("none.csv"), "{}", ran.stderr);
}

#[test]
fn a_model_of_goemotions_reads_its_vectors() {
    let place = tempfile::tempdir().unwrap();
    let row = |label: usize| (0..28).map(|at| u8::from(at == label)).collect::<Vec<_>>();
    let line = |label: usize| format!("{{\"text\": \"so\", \"labels\": {:?}}}\n", row(label));
    fs::write(place.path().join("mh.jsonl"), line(27) + &line(3)).unwrap();
    let goemotions = run(place.path(), "evaluate --data mh.jsonl").ok();
    assert!(goemotions.stderr.contains("multi-hot vectors of 28"), "{}", goemotions.stderr);
}

#[test]
fn thresholds_of_another_form_are_refused_with_what_writes_them() {
    let place = common::copied_model();
    fs::write(place.path().join("thresholds.json"), "{\"joy\": 0.5}").unwrap();
    run(place.path(), "predict --model . glad")
        .fails(1, &["thresholds.json", "not a thresholds file", "hint: `tinymood tune`"]);
}
