//! Predictions, reports, cards and messages.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::common::{QUICK, json, lasting, rows, run, run_with, trained};

/// Tickets, whose labels hold commas, quotes and what a spreadsheet would run.
const TICKETS: &str = "text\tlabels\n\
    the invoice is wrong\tbilling, payments\n\
    charged twice again\tbilling, payments|urgent\n\
    love the new release\tpraise \"loud\"\n\
    the app crashes\t=bug|urgent\n";
const TICKET_LABELS: [&str; 4] = ["billing, payments", "urgent", "praise \"loud\"", "=bug"];

/// A folder with a run on [`TICKETS`] in `run`, which has no dev split.
fn tickets() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = lasting("tickets");
        let (head, body) = TICKETS.split_once('\n').unwrap();
        fs::write(folder.join("tickets.tsv"), format!("{head}\n{}", body.repeat(8))).unwrap();
        fs::write(folder.join("labels.txt"), TICKET_LABELS.join("\n")).unwrap();
        let train = "train --data tickets.tsv --label-separator | --epochs 5 --max-steps 6";
        run(&folder, &format!("{train} {QUICK} --output run --quiet")).ok();
        folder
    })
}

fn predict(arguments: &str) -> crate::common::Ran {
    run(tickets(), &format!("predict --model run --quiet {arguments}"))
}

/// Cells of CSV as they are, with its header.
fn cells(csv: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(csv.as_bytes());
    let row = |row: Result<csv::StringRecord, _>| row.unwrap().iter().map(str::to_owned).collect();
    reader.records().map(row).collect()
}

/// Whatever labels are called, what `predict` writes is what `data show` reads.
#[test]
fn labels_are_read_back_as_they_were_written() {
    let folder = tickets();
    fs::write(folder.join("in.txt"), "the invoice\nlove it\nit crashes\n").unwrap();
    let mut given = Vec::new();
    for top_k in [1, 2, 4] {
        for format in ["csv", "csv-indicators"] {
            let name = format!("back-{format}-{top_k}.csv");
            predict(&format!("-i in.txt --top-k {top_k} --format {format} -o {name}")).ok();
            let shown = run(folder, &format!("data show --data {name} --labels labels.txt"));
            let shown = rows(&shown.ok().stdout);
            let read: Vec<Vec<String>> = shown
                .iter()
                .map(|row| {
                    let labels = row["labels"].as_array().unwrap().iter();
                    let mut labels: Vec<_> =
                        labels.map(|label| label.as_str().unwrap().to_owned()).collect();
                    labels.sort();
                    labels
                })
                .collect();
            let said = rows(&predict(&format!("-i in.txt --top-k {top_k} --json")).ok().stdout);
            let written: Vec<Vec<String>> = said
                .iter()
                .map(|row| {
                    let labels = row["labels"].as_array().unwrap().iter();
                    let mut labels: Vec<_> =
                        labels.map(|label| label["label"].as_str().unwrap().to_owned()).collect();
                    labels.sort();
                    labels
                })
                .collect();
            assert_eq!(read, written, "{name}");
            given.extend(written);
        }
    }
    assert!(given.iter().any(|labels| labels.contains(&"billing, payments".to_owned())));
    // pandas: `frame["labels"].map(json.loads)`.
    let csv = cells(&fs::read_to_string(folder.join("back-csv-4.csv")).unwrap());
    assert_eq!(csv[0], ["row", "text", "labels", "scores", "truncated", "error"]);
    let list = json(&csv[1][2]);
    assert_eq!(list.as_array().unwrap().len(), 4);
}

#[test]
fn scores_are_read_back_as_soft_labels() {
    let folder = tickets();
    fs::write(folder.join("in.txt"), "the invoice\nlove it\n").unwrap();
    predict("-i in.txt --format csv-scores -o scores.csv").ok();
    let csv = cells(&fs::read_to_string(folder.join("scores.csv")).unwrap());
    let labels = TICKET_LABELS.map(str::to_owned);
    assert_eq!(
        csv[0],
        [
            &["row".to_owned(), "text".to_owned()],
            &labels[..],
            &["truncated".to_owned(), "error".to_owned()]
        ]
        .concat()
    );
    let said = rows(&predict("-i in.txt --json --scores").ok().stdout);
    let shown = run(folder, "data show --data scores.csv --labels labels.txt").ok().stdout;
    for (row, (said, shown)) in said.iter().zip(rows(&shown)).enumerate() {
        for (column, label) in TICKET_LABELS.iter().enumerate() {
            let score = said["scores"][label].as_f64().unwrap();
            assert_eq!(csv[row + 1][2 + column].parse::<f64>().unwrap(), score);
            let read = shown["labels"][label].as_f64().unwrap();
            assert!((read - score).abs() < 1e-6, "{label}: {read} {score}");
        }
    }
}

/// The columns that people bring stand where they were, under their names.
#[test]
fn columns_of_the_input_keep_their_places_and_names() {
    let folder = tickets();
    fs::write(folder.join("kept.csv"), "id,text,urgent,labels,error\n7,the invoice,0,old,none\n")
        .unwrap();
    let written = |arguments: &str| {
        cells(&predict(&format!("-i kept.csv --keep-columns {arguments}")).ok().stdout)
    };
    let lists = written("--format csv --top-k 1");
    let ours = ["row", "tinymood_labels", "scores", "truncated", "tinymood_error"];
    assert_eq!(lists[0], [&["id", "text", "urgent", "labels", "error"], &ours[..]].concat());
    assert_eq!(lists[1][..6], ["7", "the invoice", "0", "old", "none", "1"]);
    let wide = written("--format csv-indicators");
    let ours = [
        "row",
        "billing, payments",
        "tinymood_urgent",
        "praise \"loud\"",
        "=bug",
        "truncated",
        "tinymood_error",
    ];
    assert_eq!(wide[0], [&["id", "text", "urgent", "labels", "error"], &ours[..]].concat());

    fs::write(
        folder.join("kept.jsonl"),
        "{\"id\": 7, \"text\": \"the invoice\", \"labels\": [1]}\n{\"text\": \"a\", \"tinymood_labels\": 2}\n",
    )
    .unwrap();
    let said = predict("-i kept.jsonl --keep-columns --format jsonl").fails(1, &["1 row"]).stdout;
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with(
            "{\"id\":7,\"text\":\"the invoice\",\"labels\":[1],\"row\":1,\"tinymood_labels\":["
        ),
        "{said}"
    );
    // One name means one thing in all rows.
    assert!(
        lines[1].starts_with("{\"text\":\"\",\"row\":2,\"tinymood_labels\":[],\"error\":"),
        "{said}"
    );
    assert!(
        lines[1].contains("the field \\\"tinymood_labels\\\", which the first row does not have"),
        "{said}"
    );
}

#[test]
fn a_row_that_cannot_be_read_has_empty_cells() {
    let folder = tickets();
    fs::write(folder.join("bad.jsonl"), "{\"text\": \"a\"}\n{\"text\": 5}\n").unwrap();
    for (format, empty) in [("csv", 2), ("csv-indicators", 4), ("csv-scores", 4)] {
        let said = predict(&format!("-i bad.jsonl --format {format}")).fails(1, &["1 row"]).stdout;
        let rows = cells(&said);
        assert!(rows[2][1..empty + 3].iter().all(String::is_empty), "{said}");
        assert!(rows[2][empty + 3].contains("found 5 in the field"), "{said}");
        assert!(rows[1][2..].iter().any(|cell| !cell.is_empty()), "{said}");
    }
}

#[test]
fn formulas_are_guarded_on_request() {
    let folder = tickets();
    fs::write(folder.join("formulas.csv"), "text,n\n\"=HYPERLINK(\"\"x\"\")\",-5\nfine,@a\n")
        .unwrap();
    let written = |arguments: &str| {
        cells(
            &predict(&format!(
                "-i formulas.csv --keep-columns --format csv-indicators {arguments}"
            ))
            .ok()
            .stdout,
        )
    };
    let plain = written("");
    assert_eq!((&*plain[1][0], &*plain[2][1], &*plain[0][6]), ("=HYPERLINK(\"x\")", "@a", "=bug"));
    let guarded = written("--guard-formulas");
    let found = (&*guarded[1][0], &*guarded[1][1], &*guarded[2][1], &*guarded[0][6]);
    assert_eq!(found, ("'=HYPERLINK(\"x\")", "-5", "'@a", "'=bug"));
    predict("--guard-formulas --format jsonl x").fails(2, &["--guard-formulas", "jsonl"]);
}

/// A file is never another thing than its name says.
#[test]
fn an_output_is_what_its_name_says() {
    let folder = tickets();
    for name in
        ["x.parquet", "x.arrow", "x.feather", "x.xlsx", "x.xls", "x.tsv", "x.csv.gz", "x.jsonl.gz"]
    {
        predict(&format!("-o {name} a")).fails(2, &[name, ".csv or .jsonl"]);
        predict(&format!("-o {name} --format jsonl a")).fails(2, &[name, ".csv or .jsonl"]);
        assert!(!folder.join(name).exists(), "{name}");
    }
    for name in ["x.json", "x.txt", "x.dat"] {
        predict(&format!("-o {name} a")).fails(2, &[name, "--format"]);
        assert!(!folder.join(name).exists(), "{name}");
        predict(&format!("-o {name} --format jsonl a")).ok();
        assert_eq!(rows(&fs::read_to_string(folder.join(name)).unwrap())[0]["text"], "a");
    }
    predict("-o x.csv --format jsonl a").fails(2, &["x.csv", "--format is jsonl"]);
    predict("-o x.jsonl --format csv a").fails(2, &["x.jsonl", "--format is csv"]);
    predict("-o scores.csv --format csv-scores --top-k 2 a").fails(2, &["--top-k", "csv-scores"]);
    predict("--format csv-indicators --scores a").fails(2, &["--scores", "csv-scores"]);
    for name in ["x.onnx", "x.safetensors", "x.gguf"] {
        run(folder, &format!("export --f32 --model run --output {name}"))
            .fails(2, &[name, "a folder"]);
        run(folder, &format!("train --data tickets.tsv --output {name}")).fails(2, &[name]);
        run(folder, &format!("distill --texts in.txt --teacher run --output {name}"))
            .fails(2, &[name]);
        assert!(!folder.join(name).exists(), "{name}");
    }
    run(folder, "report run --output x.pdf").fails(2, &["x.pdf", ".html"]);
}

/// As `/v1/emotions` says it: `tokens` and `truncated`.
#[test]
fn texts_that_were_cut_say_so() {
    let folder = trained();
    let long = "so happy ".repeat(40);
    let predict = |format: &str| {
        let arguments =
            ["predict", "--model", "runs/quick", "--quiet", "--format", format, &long, "so happy"];
        run_with(folder, &arguments, b"").ok().stdout
    };
    let said = rows(&predict("jsonl"));
    assert_eq!((&said[0]["tokens"], &said[0]["truncated"]), (&16.into(), &true.into()));
    let whole = said[1].as_object().unwrap();
    assert!(!whole.contains_key("tokens") && !whole.contains_key("truncated"), "{whole:?}");
    for format in ["csv", "csv-indicators", "csv-scores"] {
        let written = cells(&predict(format));
        let column = written[0].iter().position(|name| name == "truncated").unwrap();
        assert_eq!([&*written[1][column], &*written[2][column]], ["true", "false"], "{format}");
    }
    let table = predict("table");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].ends_with("(only the first 16 tokens read)"), "{table}");
    assert!(!lines[1].contains("tokens"), "{table}");
}

fn read(path: &str) -> String {
    fs::read_to_string(tickets().join(path)).unwrap()
}

/// A run without a dev split, on labels that are no emotions, of which fewer steps ran than its epochs have.
#[test]
fn card_and_report_tell_what_ran() {
    let card = read("run/best/README.md");
    for said in [
        "tags:\n- multi-label\n",
        "Thresholds are 0.5 for every label: they were not tuned;",
        "Training took 6 steps, 1.5 epochs, in ",
        "`epochs` below is what was asked for",
        "\nepochs = 5\n",
        "Says which of 4 labels a text has;",
    ] {
        assert!(card.contains(said), "{said}: {card}");
    }
    for lie in ["emotion", "validation split", "datasets:", "English", "model-index"] {
        assert!(!card.contains(lie), "{lie}: {card}");
    }
    let html = read("run/report.html");
    for said in [
        "Finished: 6 steps (1.5 epochs) in ",
        "5, of which 1.5 epochs ran",
        "the run has no validation split",
        "--dev-share",
    ] {
        assert!(html.contains(said), "{said}");
    }
    assert!(!html.contains("looked at anew") && !html.to_lowercase().contains("emotion"));
    assert_eq!(json(&read("run/report.json"))["run"]["epochs"], 1.5);
    // Written again, they say the same.
    run(tickets(), "report run").ok();
    assert_eq!(read("run/best/README.md"), card);
}

/// The figures that tuned thresholds flatter stand beside those that they do not.
#[test]
fn cross_validated_figures_stand_beside_the_flattering_ones() {
    let folder = trained();
    let read = |file: &str| fs::read_to_string(folder.join("runs/quick").join(file)).unwrap();
    let tuned = run(folder, "tune --model runs/quick --policy per-label --dry-run --json").ok();
    let expected = json(&tuned.stdout)["cross_validated"].clone();
    let report = json(&read("report.json"));
    assert_eq!(report["run"]["detail"]["cross_validated"], expected);
    let (html, card) = (read("report.html"), read("best/README.md"));
    for (name, key) in [("macro-F1", "macro_f1"), ("micro-F1", "micro_f1")] {
        let value = expected[key].as_f64().unwrap();
        let figure = report["run"]["evaluation"][key].as_f64().unwrap();
        let tiles = format!("<dt>{name}, cross-validated</dt><dd>{value:.3}<small>");
        assert!(html.contains(&tiles), "{tiles}");
        assert!(card.contains(&format!("| {key} | {figure:.4} | {value:.4} |\n")), "{card}");
        let index = format!("name: {key}, cross-validated\n      value: {value:.6}\n");
        assert!(card.contains(&index), "{card}");
    }
    assert!(card.contains("Thresholds are tuned for each label on the dev split"), "{card}");
    assert!(card.contains("tags:\n- emotion\n- multi-label\n"), "the sample's labels are emotions");
    assert!(!card.contains("datasets:"), "the sample is not on the hub: {card}");

    let place = tempfile::tempdir().unwrap();
    let fixed = format!("train {QUICK} --max-steps 4 --thresholds 0.3 --quiet --output fixed");
    run(place.path(), &fixed).ok();
    let file = |name: &str| fs::read_to_string(place.path().join("fixed").join(name)).unwrap();
    let card = file("best/README.md");
    assert!(card.contains("Thresholds are 0.3 for every label;"), "{card}");
    assert!(card.contains("The step was chosen on this split"), "{card}");
    assert!(!card.contains("cross-validated") && !file("report.html").contains("cross-validated"));
    // No number has digits that nobody wrote.
    for name in
        ["best/thresholds.json", "evaluation.json", "report.json", "report.html", "best/README.md"]
    {
        let text = file(name);
        assert!(!text.contains("0.3000000") && text.contains("0.3"), "{name}");
    }
    assert!(json(&file("best/thresholds.json"))["thresholds"]["joy"] == 0.3);
    let evaluated = run(place.path(), "evaluate --model fixed --bootstrap 0 --json").ok().stdout;
    assert_eq!(json(&evaluated)["thresholds"]["value"], 0.3);
    let compared = place.path().join("comparison.md");
    let quick = folder.join("runs/quick").display().to_string();
    run(place.path(), &format!("report fixed {quick} --bootstrap 0")).ok();
    let compared = fs::read_to_string(compared).unwrap();
    let value = expected["macro_f1"].as_f64().unwrap();
    assert!(
        compared.contains(&format!("| macro-F1, cross-validated | – | {value:.4} |")),
        "{compared}"
    );
}

/// The probe on a pretrained encoder is part of the time that training takes.
#[test]
fn training_time_includes_the_probe() {
    let folder = tickets();
    run(
        folder,
        "train --data tickets.tsv --label-separator | --max-steps 1 --batch-size 2 --max-length 16 \
         --output probed --quiet",
    )
    .ok();
    let start = json(read("probed/log.jsonl").lines().next().unwrap());
    let prepared = start["prepared_seconds"].as_f64().unwrap();
    assert!(prepared > 0.0, "{start}");
    let session = &json(&read("probed/report.json"))["run"]["log"]["sessions"][0];
    assert_eq!(session["prepared_seconds"], prepared);
    assert!(session["seconds"].as_f64().unwrap() >= prepared, "{session}");
    let begun = start["time"].as_f64().unwrap() - session["time"].as_f64().unwrap();
    assert!((begun - prepared).abs() < 2e-3, "{session}");
    assert!(read("probed/report.html").contains("preparation and evaluations included"));
}

#[test]
fn numbers_of_settings_are_as_they_were_given() {
    let folder = tickets();
    fs::write(folder.join("texts.txt"), "so happy\nhow sad\n".repeat(8)).unwrap();
    run(
        folder,
        "distill --quiet --teacher run --student 1L-64D --texts texts.txt --max-steps 1 \
         --batch-size 8 --max-length 16 --state-weight 0.3 --output distilled",
    )
    .ok();
    assert!(read("distilled/settings.toml").contains("\nstate_weight = 0.3\n"));
    fs::write(folder.join("soft.jsonl"), "{\"text\": \"a\", \"labels\": {\"urgent\": 0.3}}\n")
        .unwrap();
    let shown = run(folder, "data show --data soft.jsonl --labels labels.txt").ok().stdout;
    assert_eq!(rows(&shown)[0]["labels"], json("{\"urgent\": 0.3}"));
}

/// A run that held nothing out is told how to, not to judge itself on other data.
#[test]
fn a_run_without_dev_is_pointed_to_dev_share() {
    for command in ["evaluate", "tune", "export --int8 --output x-int8"] {
        let said = run(tickets(), &format!("{command} --model run"));
        let said = said.fails(1, &["no validation (dev) split", "hint:", "--dev-share 0.1"]);
        assert!(!said.stderr.to_lowercase().contains("goemotions"), "{}", said.stderr);
    }
}

#[test]
fn doctor_says_what_is_not_there() {
    let place = tempfile::tempdir().unwrap();
    let said = run(place.path(), "doctor --offline").ok().stdout;
    let value = |name: &str| {
        let line = said.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {said}"))[name.len()..].trim().to_owned()
    };
    assert_eq!(value("goemotions cached"), "none");
    assert_eq!(value("hub models cached"), "none");
    assert_eq!(value("hub token"), "no");
    assert_eq!(value("bundled models"), "yes");
    assert!(value("cache").ends_with("cache (not there yet)"), "{said}");
    assert!(value("hub cache").ends_with("hub (not there yet)"), "{said}");
    assert!(said.lines().all(|line| line.len() > 23), "{said}");
    let said = json(&run(place.path(), "doctor --offline --json").ok().stdout);
    assert_eq!((&said["goemotions_cached"], &said["hub_token"]), (&json("[]"), &json("false")));
}
