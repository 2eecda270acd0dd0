//! Pages of runs in every state: well-formed, self-contained, accessible as far as structure goes,
//! and safe from what texts and names hold.

mod common;

use std::fs;

use common::{HOSTILE, Run, Tag, kept, labels, parse};
use serde_json::Value;
use tinymood_report::{
    Comparison, ReportError, ReportOptions, RunRecord, RunReport, card_details,
    comparison_markdown, write_comparison, write_run,
};

const OPTIONS: ReportOptions = ReportOptions { resamples: 50, examples: 5 };

struct Page {
    html: String,
    json: Value,
    report: RunReport,
}

fn page(run: &Run) -> Page {
    let record = RunRecord::read(&run.path).unwrap();
    let report = RunReport::new(&record, &OPTIONS).unwrap();
    let written = write_run(&report, &run.path.join("report.html")).unwrap();
    let html = fs::read_to_string(written.html).unwrap();
    check(&html);
    let json = serde_json::from_str(&fs::read_to_string(written.json).unwrap()).unwrap();
    Page { html, json, report }
}

/// What holds for any page.
fn check(html: &str) -> Vec<Tag> {
    let tags = parse(html);
    let count = |name: &str| tags.iter().filter(|tag| tag.name == name).count();
    assert_eq!((count("h1"), count("main"), count("title")), (1, 1, 1));
    for forbidden in ["script", "link", "img", "iframe", "object", "image", "use", "b"] {
        assert_eq!(count(forbidden), 0, "<{forbidden}>");
    }
    for tag in &tags {
        for (name, value) in &tag.attributes {
            assert!(!name.starts_with("on") && name != "src" && name != "xmlns", "{name}={value}");
            let inside = name != "href" || value.starts_with('#');
            assert!(inside && !value.contains("://"), "{name}={value}");
        }
    }
    assert!(!html.contains("url(") && !html.contains("@import"), "an external reference");
    assert!(!html.contains("NaN") && !html.contains("inf<"), "a number that is none");
    assert!(!html.contains('\0'), "a control character");
    assert_eq!(count("table"), count("caption"), "each table says what it is");
    let plots: Vec<&Tag> =
        tags.iter().filter(|tag| tag.attribute("class") == Some("plot")).collect();
    for plot in plots {
        assert_eq!(plot.attribute("role"), Some("img"));
        assert!(plot.attribute("aria-label").is_some_and(|label| !label.is_empty()));
    }
    let ids: Vec<&str> = tags.iter().filter_map(|tag| tag.attribute("id")).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    let links = tags.iter().filter_map(|tag| tag.attribute("href")?.strip_prefix('#'));
    links.for_each(|link| assert!(ids.contains(&link), "{link}"));
    tags
}

fn plots(html: &str) -> usize {
    html.matches("class=\"plot\"").count()
}

#[test]
fn a_whole_run_shows_everything_and_nothing_breaks_out() {
    let folder = tempfile::tempdir().unwrap();
    let labels = labels(6);
    let run = Run::whole(folder.path(), "whole \"<i>run</i>", kept(&labels, 60, 1));
    let Page { html, json, report } = page(&run);
    for hostile in HOSTILE {
        // Single quotes stand in texts and between double ones only, as `check` has seen.
        assert!(!hostile.contains(['<', '"']) || !html.contains(hostile), "{hostile}");
        // SVG and HTML escape quotes differently; the letters are there.
        let letters = hostile.split(['<', '>', '"', '\'', '&', '/']).max_by_key(|part| part.len());
        assert!(html.contains(letters.unwrap()), "{hostile} is shown");
    }
    for heading in ["Training", "Labels", "Thresholds", "Calibration", "Data", "Settings"] {
        assert!(html.contains(&format!(">{heading}</h2>")), "{heading}");
    }
    // Loss, metrics, rate, throughput; F1; a curve for each label; reliability; two maps; lengths and counts.
    assert_eq!(plots(&html), 4 + 1 + 6 + 1 + 2 + 2);
    assert!(html.contains("<text"), "texts of plots can be selected");
    assert_eq!(html.matches("aria-label=\"Colours of the map: ").count(), 2, "one beside each map");
    assert!(report.notes.is_empty(), "{:?}", report.notes);

    let detail = &json["run"]["detail"];
    assert_eq!(detail["threshold_curves"].as_array().unwrap().len(), 6);
    let bins = detail["reliability"].as_array().unwrap();
    assert_eq!(bins.len(), 15);
    for bin in bins {
        let Some(ends) = bin["share_positive_interval"].as_array() else {
            assert_eq!(bin["count"], 0, "{bin}");
            continue;
        };
        let [low, high] = [0, 1].map(|end| ends[end].as_f64().unwrap());
        let share = bin["share_positive"].as_f64().unwrap();
        assert!(0.0 <= low && low <= share && share <= high && high <= 1.0 && low < high, "{bin}");
        assert!(
            html.contains(&format!("<td>{share:.3}<small>{low:.3}–{high:.3}</small></td>")),
            "{bin}"
        );
    }
    assert_eq!(detail["pairs"]["labels"].as_array().unwrap().len(), 6);
    let labels = json["run"]["evaluation"]["labels"].as_object().unwrap();
    let support = &labels.values().next().unwrap()["support"];
    let first = &detail["pairs"]["together"][0];
    assert_eq!(*first, serde_json::json!([0, 0, support]), "[label, other, rows]");
    assert_eq!(json["run"]["log"]["steps"][0]["step"], 5);
    let shown = format!("{:.3}", json["run"]["evaluation"]["macro_f1"].as_f64().unwrap());
    assert!(html.contains(&format!("<dd>{shown}")), "{shown}");
    // The table of false positives has the JSON's first.
    let first = &detail["mistakes"]["false_positives"][0];
    assert!(html.contains(&format!("<td>{:.3}</td>", first["probability"].as_f64().unwrap())));

    let card = card_details(&report);
    assert!(card.contains("| label | support |") && !card.contains("<script>"), "{card}");
    assert_eq!(card.lines().filter(|line| line.starts_with("| ")).count(), 1 + 6);
}

#[test]
fn texts_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::whole(folder.path(), "private", kept(&labels(5), 30, 1));
    let record = RunRecord::read(&run.path).unwrap();
    let options = ReportOptions { examples: 0, resamples: 0 };
    let report = RunReport::new(&record, &options).unwrap();
    let written = write_run(&report, &folder.path().join("page.html")).unwrap();
    for file in [written.html, written.json] {
        let text = fs::read_to_string(file).unwrap();
        assert!(!text.contains("text 1 "), "a text of the data");
    }
}

#[test]
fn one_label_and_two_hundred() {
    let folder = tempfile::tempdir().unwrap();
    let one = Run::whole(folder.path(), "one", kept(&labels(1), 30, 1));
    assert_eq!(plots(&page(&one).html), 4 + 1 + 1 + 1 + 2, "no pairs of labels");
    let many = Run::whole(folder.path(), "many", kept(&labels(200), 20, 1));
    let Page { html, json, .. } = page(&many);
    assert!(html.contains("The 40 most frequent of 200 labels"));
    assert_eq!(json["run"]["detail"]["pairs"]["labels"].as_array().unwrap().len(), 200);
}

#[test]
fn thousands_of_labels_keep_report_and_memory_small() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::whole(folder.path(), "thousands", kept(&labels(3000), 4, 1));
    let Page { html, json, .. } = page(&run);
    let detail = &json["run"]["detail"];
    for list in ["labels", "label_intervals", "threshold_curves"] {
        assert_eq!(detail[list].as_array().unwrap().len(), 512, "{list}");
    }
    assert_eq!(json["run"]["evaluation"]["labels"].as_object().unwrap().len(), 3000);
    assert!(html.contains("The 512 labels that most rows have, of 3000"));
    let written = fs::metadata(run.path.join("report.json")).unwrap().len();
    assert!(written < 24 << 20, "{written} bytes");
}

#[test]
fn labels_without_positives_or_decisions() {
    let folder = tempfile::tempdir().unwrap();
    let mut none = kept(&labels(3), 20, 1);
    none.targets.fill(0.0);
    page(&Run::whole(folder.path(), "none", none.clone()));
    none.probabilities.fill(0.0);
    page(&Run::whole(folder.path(), "nothing", none.clone()));
    none.targets.fill(1.0);
    none.probabilities.fill(1.0);
    page(&Run::whole(folder.path(), "all", none));
}

#[test]
fn what_is_missing_or_damaged_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let said = |run: &Run, expected: &str| {
        let Page { html, report, .. } = page(run);
        assert!(report.notes.iter().any(|note| note.contains(expected)), "{:?}", report.notes);
        assert!(html.contains("What is missing"));
        report
    };
    let bare = Run::new(folder.path(), "bare", "data = \"sample\"");
    said(&bare, "There are no figures");

    let run = Run::whole(folder.path(), "damaged", kept(&labels(3), 30, 1));
    let whole = page(&run).report.evaluation.unwrap();
    run.write("evaluation.json", whole.to_json().to_string());
    run.write("predictions.jsonl", "{\"split\":");
    let report = said(&run, "predictions.jsonl cannot be used: line 1");
    assert_eq!(report.evaluation.unwrap().macro_f1, whole.macro_f1, "evaluation.json's");
    run.write("evaluation.json", "{}");
    assert!(said(&run, "evaluation.json is damaged").evaluation.is_none());
    run.write("data.json", [0xff, 0xfe]);
    assert!(said(&run, "data.json cannot be read").data.is_none());
    run.write("log.jsonl", "\u{0}\u{0}\n{\"event\":\"start\"}\nnull\n[]\n\"\n");
    said(&run, "5 lines of log.jsonl could not be read");
    fs::remove_file(run.path.join("log.jsonl")).unwrap();
    said(&run, "No curves: log.jsonl is not there");

    run.keep(kept(&labels(3), 30, 1));
    run.write("best/model.safetensors", "another model");
    said(&run, "predictions.jsonl is of another model");
    run.write("best/model.safetensors", "damaged");
    run.write("best/thresholds.json", "{}");
    run.keep(kept(&labels(3), 30, 1));
    said(&run, "thresholds.json: not a thresholds file; 0.5 used instead");
    fs::remove_dir_all(run.path.join("best")).unwrap();
    assert!(said(&run, "The model is not there; its kept predictions are shown").detail.is_some());

    let settings = fs::read_to_string(run.path.join("settings.toml")).unwrap();
    let newer = settings.replace("[recipe]", "[recipe]\na_later_setting = true");
    run.write("settings.toml", newer);
    assert!(page(&run).html.contains("a_later_setting"), "of a later version");
    run.write("settings.toml", "no settings");
    assert!(matches!(RunRecord::read(&run.path), Err(ReportError::Run(_))));
    let nowhere = RunRecord::read(&folder.path().join("nowhere")).unwrap_err();
    assert!(nowhere.to_string().contains("holds no run") && nowhere.hint().is_some());
}

#[test]
fn every_state_of_a_run_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path(), "state", "data = \"sample\"");
    let log = common::log();
    let (going, _finish) = log.trim_end().rsplit_once('\n').unwrap();
    let told = |end: &str, expected: &str| {
        run.write("log.jsonl", format!("{going}\n{end}"));
        let html = page(&run).html;
        assert!(html.contains(expected), "{expected}");
    };
    told("", "It is still training, or was cut off.");
    told(r#"{"time":1795612790,"event":"stop","step":30,"total_steps":90}"#, "it can be resumed");
    told(
        r#"{"time":1795612790,"event":"failure","step":30,"message":"the loss is <i>"}"#,
        "the loss is &lt;i&gt;",
    );
    let nans = r#"{"time":1795612790,"event":"step","step":41,"loss":null,"learning_rate":1e400}"#;
    told(nans, "It is still training");
    run.write("log.jsonl", "");
    assert!(page(&run).html.contains("The log says nothing of this run"));
}

#[test]
fn a_distillation_has_curves_and_no_labels() {
    let folder = tempfile::tempdir().unwrap();
    let source = "teacher = \"t\"\nstudent = \"4L-312D\"\ntexts = [\"a.txt\"]\nlayers = [1, 2]";
    let run = Run::new(folder.path(), "distill", source);
    let log: String = common::log()
        .lines()
        .filter(|l| !l.contains("evaluation"))
        .map(|l| format!("{l}\n"))
        .collect();
    run.write("log.jsonl", log);
    let Page { html, report, .. } = page(&run);
    assert!(report.is_distillation && report.notes.is_empty(), "{:?}", report.notes);
    assert_eq!(plots(&html), 3, "loss, rate, throughput");
    assert_eq!(card_details(&report), "");
}

fn read(runs: &[&Run]) -> Vec<RunRecord> {
    runs.iter().map(|run| RunRecord::read(&run.path).unwrap()).collect()
}

#[test]
fn runs_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let labels = labels(5);
    let [a, b, c] = ["a", "b|<b>", "c"]
        .map(|name| Run::whole(folder.path(), name, kept(&labels, 40, name.len())));
    // The same model under another name, one of other predictions, and one that kept none.
    c.write("evaluation.json", page(&c).report.evaluation.unwrap().to_json().to_string());
    fs::remove_file(c.path.join("predictions.jsonl")).unwrap();
    let comparison = Comparison::new(&read(&[&a, &b, &c]), &OPTIONS).unwrap();
    assert!(comparison.tests[0].is_some() && comparison.tests[1].is_none());
    let test = comparison.tests[0].unwrap();
    let figure = |index: usize| comparison.runs[index].evaluation.as_ref().unwrap().macro_f1;
    assert!((test.macro_f1.difference - (figure(1) - figure(0))).abs() < 1e-12);
    assert_eq!(comparison.adjusted, [None, None], "one test needs no correction");

    let written = write_comparison(&comparison, &folder.path().join("comparison.html")).unwrap();
    let html = fs::read_to_string(&written.html).unwrap();
    check(&html);
    assert!(html.contains("Paired bootstrap") && html.contains("Differences from a"));
    let loss = "<strong>Loss, training</strong>Logarithmic.</figcaption>";
    assert_eq!(html.matches("Logarithmic.").count(), html.matches(loss).count());
    assert!(html.contains(loss), "an axis that is not what it seems is said to be");
    let json: Value = serde_json::from_str(&fs::read_to_string(&written.json).unwrap()).unwrap();
    assert_eq!(json["comparison"]["runs"].as_array().unwrap().len(), 3);
    assert!(json["comparison"]["tests"][0]["macro_f1"]["p_value"].is_number());
    let markdown = comparison_markdown(&comparison);
    assert!(markdown.contains("| figure | a | b\\|&lt;b> | c |"), "{markdown}");
    assert!(markdown.contains("| b\\|&lt;b> | macro-F1 | "), "{markdown}");

    let d = Run::whole(folder.path(), "d", kept(&labels, 40, 7));
    let several = Comparison::new(&read(&[&a, &b, &c, &d]), &OPTIONS).unwrap();
    let p = |index: usize| several.tests[index].unwrap().macro_f1.p_value;
    let adjusted = |index: usize| several.adjusted[index].unwrap().macro_f1;
    let (least, most) = if p(0) < p(2) { (0, 2) } else { (2, 0) };
    assert_eq!(adjusted(least), (2.0 * p(least)).min(1.0), "the least of two p-values is doubled");
    assert_eq!(adjusted(most), adjusted(least).max(p(most)));
    assert_eq!(several.adjusted[1], None, "no test");
    let written = write_comparison(&several, &folder.path().join("several.html")).unwrap();
    let html = fs::read_to_string(&written.html).unwrap();
    check(&html);
    assert!(html.contains("With 2 runs held against the first"));
    let markdown = comparison_markdown(&several);
    assert!(markdown.contains(&format!("{:.4} | {:.4} |", p(0), adjusted(0))), "{markdown}");

    let none = ReportOptions { resamples: 0, ..OPTIONS };
    assert!(Comparison::new(&read(&[&a, &b]), &none).unwrap().tests[0].is_none());
}

#[test]
fn runs_of_several_seeds_have_a_mean() {
    let folder = tempfile::tempdir().unwrap();
    let labels = labels(5);
    let run = |name: &str, seed: u64, epochs: u64| {
        let run = Run::whole(folder.path(), name, kept(&labels, 40, name.len()));
        let text = fs::read_to_string(run.path.join("settings.toml")).unwrap();
        let mut settings: toml::Table = text.parse().unwrap();
        let recipe = settings["recipe"].as_table_mut().unwrap();
        recipe.insert("seed".to_owned(), (seed as i64).into());
        recipe.insert("epochs".to_owned(), (epochs as i64).into());
        run.write("settings.toml", settings.to_string());
        run
    };
    let [a, bb, other] = [run("a", 1, 2), run("bb", 2, 2), run("other", 3, 4)];
    let again = run("again", 2, 2);
    let comparison = Comparison::new(&read(&[&a, &bb, &other, &again]), &OPTIONS).unwrap();
    let [group] = &comparison.seeds[..] else { panic!("{:?}", comparison.seeds) };
    assert_eq!(group.runs, ["a", "bb"]);
    let f1 = |index: usize| comparison.runs[index].evaluation.as_ref().unwrap().macro_f1;
    let (mean, far) = ((f1(0) + f1(1)) / 2.0, (f1(0) - f1(1)).abs() / 2.0_f64.sqrt());
    assert!((group.macro_f1.mean - mean).abs() < 1e-12);
    assert!(far > 1e-3 && (group.macro_f1.standard_deviation - far).abs() < 1e-12);
    let written = write_comparison(&comparison, &folder.path().join("seeds.html")).unwrap();
    let html = fs::read_to_string(&written.html).unwrap();
    check(&html);
    assert!(html.contains(&format!("{mean:.3} ± {far:.3}")) && html.contains("Over seeds"));
    let markdown = comparison_markdown(&comparison);
    assert!(markdown.contains(&format!("| a, bb | {mean:.4} ± {far:.4} |")), "{markdown}");
    assert_eq!(Comparison::new(&read(&[&a, &other]), &OPTIONS).unwrap().seeds, []);
}

#[test]
fn runs_of_different_rows_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let five = labels(5);
    let mut count = 0;
    let mut run = |kept| {
        count += 1;
        Run::whole(folder.path(), &format!("run{count}"), kept)
    };
    let base = run(kept(&five, 40, 1));
    let refused = |other: &Run, expected: &str| {
        for pair in [[&base, other], [other, &base]] {
            let error = Comparison::new(&read(&pair), &OPTIONS).unwrap_err();
            assert!(error.to_string().contains("judged on different rows"), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.hint().is_some());
        }
    };
    refused(&run(kept(&five, 39, 1)), " rows");
    refused(&run(kept(&labels(4), 40, 1)), " labels");
    let mut split = kept(&five, 40, 1);
    split.split = "test".to_owned();
    split.rows[0].text.push('x');
    refused(&run(split), "the splits ");
    let mut text = kept(&five, 40, 1);
    text.rows[6].text.push('x');
    refused(&run(text), "row 7 has another text");
    let mut target = kept(&five, 40, 1);
    target.targets[5 * 8] = 1.0 - target.targets[5 * 8];
    let other = run(target);
    refused(&other, "row 9 has other labels");
    // Figures alone tell too.
    other.write("evaluation.json", page(&other).report.evaluation.unwrap().to_json().to_string());
    fs::remove_file(other.path.join("predictions.jsonl")).unwrap();
    refused(&other, "true in other numbers of rows");

    let twice = Comparison::new(&read(&[&base, &base]), &OPTIONS).unwrap_err();
    assert!(matches!(twice, ReportError::Twice(_)), "{twice}");
    let many: Vec<&Run> = vec![&base; 9];
    let many = Comparison::new(&read(&many), &OPTIONS).unwrap_err();
    assert!(matches!(many, ReportError::TooManyRuns { found: 9, most: 8 }), "{many}");
}

#[cfg(unix)]
#[test]
fn no_device_stands_in_for_a_file_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::whole(folder.path(), "run", kept(&labels(3), 9, 1));
    let stand_in = |name: &str| {
        let path = run.path.join(name);
        let _ = fs::remove_file(&path); // or it is not there
        std::os::unix::fs::symlink("/dev/null", path).unwrap();
    };
    let names = ["log.jsonl", "data.json", "evaluation.json", "predictions.jsonl"];
    names.into_iter().for_each(stand_in);
    let notes = RunRecord::read(&run.path).unwrap().notes;
    for name in names {
        let told = |note: &String| note.contains(name) && note.contains("not a regular file");
        assert!(notes.iter().any(told), "{name}: {notes:?}");
    }
    stand_in("settings.toml");
    let error = RunRecord::read(&run.path).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("settings.toml"), "{error}");
    assert!(source.contains("not a regular file"), "{source}");
}
