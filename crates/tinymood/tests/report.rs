//! Reports as users meet them: after training, of old and broken runs, side by side.

mod common;

use std::fs;
use std::path::Path;

use common::{QUICK, run, trained};
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &place),
            false => drop(fs::copy(entry.path(), &place).unwrap()),
        }
    }
}

#[test]
fn training_leaves_a_report() {
    let quick = trained().join("runs/quick");
    let html = fs::read_to_string(quick.join("report.html")).unwrap();
    assert!(html.contains("<h1>quick</h1>") && html.contains("Finished: 12 steps"), "{html}");
    assert!(!html.contains("What is missing"));
    // The report's figures are those that training left, to the last digit.
    let (report, evaluation) =
        (json(&quick.join("report.json")), json(&quick.join("evaluation.json")));
    for figure in ["micro_f1", "macro_f1", "loss", "expected_calibration_error"] {
        assert_eq!(report["run"]["evaluation"][figure], evaluation[figure], "{figure}");
    }
    assert_eq!(report["run"]["data"]["splits"][0]["rows"], 911);
    let sessions = &report["run"]["log"]["sessions"];
    assert!(sessions[0]["machine"].as_str().unwrap().contains("core"), "{sessions}");
    let card = fs::read_to_string(quick.join("best/README.md")).unwrap();
    assert!(card.starts_with("---\n") && card.contains("| admiration |"), "{card}");
    let rows = fs::read_to_string(quick.join("predictions.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), 1 + 170);
}

#[test]
fn a_run_that_kept_nothing_is_judged_anew() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old");
    copy(&trained().join("runs/quick"), &old);
    let whole = json(&old.join("report.json"));
    for file in ["predictions.jsonl", "data.json", "report.html", "report.json"] {
        fs::remove_file(old.join(file)).unwrap();
    }
    let said = run(folder.path(), "report old").ok();
    assert_eq!(said.stdout, "old/report.html\n");
    let mut anew = json(&old.join("report.json"));
    anew["run"]["name"] = whole["run"]["name"].clone();
    assert_eq!(anew, whole, "to the last digit");

    // The data has moved: figures stay, and the page says what is missing.
    fs::remove_file(old.join("predictions.jsonl")).unwrap();
    let settings = fs::read_to_string(old.join("settings.toml")).unwrap();
    let moved = settings.replace("data = \"sample\"", "data = \"/nowhere/data\"");
    fs::write(old.join("settings.toml"), moved).unwrap();
    run(folder.path(), "report old").ok();
    let html = fs::read_to_string(old.join("report.html")).unwrap();
    assert!(
        html.contains("Predictions could not be looked at anew") && html.contains("/nowhere/data")
    );
    let report = json(&old.join("report.json"));
    assert_eq!(report["run"]["evaluation"]["macro_f1"], whole["run"]["evaluation"]["macro_f1"]);
    assert!(report["run"]["detail"].is_null());
}

#[test]
fn thresholds_tuned_later_are_those_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    copy(&trained().join("runs/quick"), &folder.path().join("tuned"));
    run(folder.path(), "tune --model tuned --policy global --objective macro_f1").ok();
    run(folder.path(), "report tuned --bootstrap 0 --examples 0 --output page.html").ok();
    let report = json(&folder.path().join("page.json"));
    let thresholds = &report["run"]["evaluation"]["thresholds"];
    assert_eq!(thresholds["policy"], "global", "per label when it was trained");
    let of_joy = &report["run"]["evaluation"]["labels"]["joy"]["threshold"];
    assert!(thresholds["value"].is_number() && thresholds["value"] == *of_joy, "{of_joy}");
    assert!(report["run"]["evaluation"]["confidence_intervals"].is_null());
}

#[test]
fn a_card_that_a_person_took_over_stays() {
    let folder = tempfile::tempdir().unwrap();
    copy(&trained().join("runs/quick"), &folder.path().join("mine"));
    let card = folder.path().join("mine/best/README.md");
    fs::write(&card, "# Mine\n").unwrap();
    run(folder.path(), "report mine").ok();
    assert_eq!(fs::read_to_string(&card).unwrap(), "# Mine\n");
    fs::remove_file(&card).unwrap();
    run(folder.path(), "report mine").ok();
    assert!(fs::read_to_string(&card).unwrap().contains("model-index"));
}

#[test]
fn stopped_and_failed_runs_and_distillations_have_pages_too() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    copy(&trained().join("runs/quick"), &here.join("going"));
    fs::write(here.join("texts.txt"), "so happy\nhow sad\nwho knows\n".repeat(8)).unwrap();
    run(here, "distill --quiet --teacher going --student 1L-64D --texts texts.txt --epochs 1 --batch-size 8 --max-length 16 --output distilled").ok();
    let html = fs::read_to_string(here.join("distilled/report.html")).unwrap();
    assert!(html.contains("Finished: ") && !html.contains("Thresholds</h2>"), "{html}");

    for gone in ["best", "evaluation.json", "predictions.jsonl", "report.html"] {
        let path = here.join("going").join(gone);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    let log = fs::read(here.join("going/log.jsonl")).unwrap();
    fs::write(here.join("going/log.jsonl"), &log[..log.len() * 2 / 3]).unwrap();
    run(here, "report going").ok();
    let html = fs::read_to_string(here.join("going/report.html")).unwrap();
    assert!(html.contains("There are no figures") && html.contains("It is still training"));
}

#[test]
fn the_latest_run_is_the_one_that_wrote_last() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    run(here, "report latest").fails(1, &["./runs holds no run", "hint:"]);
    let settings = fs::read(trained().join("runs/quick/settings.toml")).unwrap();
    let now = std::time::SystemTime::now();
    let write = |file: &str, bytes: &[u8], age: u64| {
        let path = here.join("runs").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(now - std::time::Duration::from_secs(age)).unwrap();
    };
    copy(&trained().join("runs/quick"), &here.join("runs/whole"));
    write("whole/log.jsonl", &fs::read(trained().join("runs/quick/log.jsonl")).unwrap(), 100);
    write("whole/best/config.json", b"{}", 100);
    write("notes/log.jsonl", b"", 0); // of no run
    let latest = || run(here, "report latest --bootstrap 0").ok().stdout;
    assert_eq!(latest(), "runs/whole/report.html\n");
    // Stopped before it had a model, or a line of its log.
    write("stopped/settings.toml", &settings, 200);
    write("stopped/log.jsonl", b"", 50);
    assert_eq!(latest(), "runs/stopped/report.html\n");
    write("begun/settings.toml", &settings, 20);
    assert_eq!(latest(), "runs/begun/report.html\n");
}

#[test]
fn runs_are_compared_on_the_same_rows_only() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    copy(&trained().join("runs/quick"), &here.join("runs/one"));
    run(here, &format!("train {QUICK} --max-steps 12 --seed 7 --output runs/two --quiet")).ok();
    run(
        here,
        &format!("train {QUICK} --max-steps 2 --taxonomy ekman --output runs/coarse --quiet"),
    )
    .ok();
    let said = run(here, "report runs/one runs/two --json").ok();
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(report["comparison"]["tests"][0]["macro_f1"]["p_value"].is_number());
    let html = fs::read_to_string(here.join("comparison.html")).unwrap();
    assert!(html.contains("<td>7</td>") && html.contains("<td>42</td>"), "seeds differ");
    assert!(here.join("comparison.md").is_file());

    // What lies beside the page is replaced where it is of a report, else nothing is written.
    run(here, "report runs/one runs/two").ok();
    fs::write(here.join("README.md"), "# Mine\n").unwrap();
    fs::write(here.join("package.json"), "{\"name\": \"mine\"}").unwrap();
    fs::create_dir(here.join("folder.json")).unwrap();
    for (runs, output, in_the_way) in [
        ("runs/one runs/two", "README.html", "\"README.md\""),
        ("runs/one", "package.html", "\"package.json\""),
        ("runs/one runs/two", "package.html", "\"package.json\""),
        ("runs/one", "folder.html", "\"folder.json\""),
    ] {
        run(here, &format!("report {runs} --output {output}"))
            .fails(1, &[in_the_way, "no report", "hint:", "--output"]);
        assert!(!here.join(output).exists(), "{output}");
    }
    assert!(!here.join("README.json").exists() && !here.join("package.md").exists());
    assert_eq!(fs::read_to_string(here.join("README.md")).unwrap(), "# Mine\n");
    assert_eq!(json(&here.join("package.json"))["name"], "mine");
    let said = run(here, "report runs/one --output README.html").ok();
    assert!(said.stderr.contains("README.json"), "{}", said.stderr);

    run(here, "report runs/one runs/coarse")
        .fails(1, &["different rows", "28 and 7 labels", "hint:"]);
    run(here, "report runs/one runs/one").fails(2, &["named twice"]);
    run(here, "report nowhere").fails(1, &["holds no run", "hint:"]);
    run(here, "report runs/one --output page.txt").fails(2, &["ends in .html"]);
    run(here, "report").fails(2, &["RUN"]);
}
