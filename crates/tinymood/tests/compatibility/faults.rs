//! What kills leave behind, and names that reach terminals and pages.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::{QUICK, run, tinymood, trained};

/// A folder with a copy of the trained model in `model`.
fn with_model() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let model = place.path().join("model");
    fs::create_dir(&model).unwrap();
    for entry in fs::read_dir(trained().join("runs/quick/best")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    place
}

/// Waits until a condition holds, or the process has ended.
#[track_caller]
fn wait_for(child: &mut Child, condition: impl Fn(&Child) -> bool) {
    let began = Instant::now();
    while !condition(child) {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        assert!(began.elapsed() < Duration::from_secs(60), "it takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How many unfinished files and folders there are in a folder and those in it.
fn unfinished(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |entry: fs::DirEntry| {
        usize::from(entry.file_name().to_string_lossy().contains(".tmp-tinymood-"))
            + unfinished(&entry.path())
    };
    entries.map(count).sum()
}

#[cfg(unix)]
#[test]
fn what_a_killed_run_leaves_goes_with_the_next_write() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let runs = folder.join("runs/killed");
    let train = "train --init random:4L-312D --batch-size 8 --max-length 16 --max-steps 40 \
                 --checkpoint-every 1 --output runs/killed --quiet";
    // From its settings on, a run can be resumed.
    let is_cut = || runs.join("settings.toml").exists() && unfinished(&runs) > 0;
    let mut kills = 0;
    for _ in 0..12 {
        if is_cut() {
            break;
        }
        let _ = fs::remove_dir_all(&runs);
        let mut child = tinymood(folder).args(train.split_whitespace()).spawn().unwrap();
        wait_for(&mut child, |_| is_cut());
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(is_cut(), "no kill of {kills} came in the middle of a write");
    run(folder, "train --resume runs/killed --quiet").ok();
    assert_eq!(unfinished(&runs), 0);
}

#[cfg(unix)]
#[test]
fn each_command_that_writes_removes_leftovers_and_spares_running_writers() {
    use tinymood_weights::durable::Unfinished;
    let place = with_model();
    let folder = place.path();
    let model = folder.join("model");
    let left = |name: &str| fs::write(model.join(name), "half").unwrap();
    left("thresholds.json.tmp-tinymood-1-0");
    fs::create_dir(model.join("model.safetensors.tmp-tinymood-1-0")).unwrap();
    left("model.safetensors.tmp-tinymood-1-0/.tmpAbCdEf");
    fs::create_dir(folder.join("exported.tmp-tinymood-1-0")).unwrap();
    let running = Unfinished::folder(&folder.join("exported")).unwrap();
    let writing = Unfinished::file(&model.join("thresholds.json")).unwrap();
    assert_eq!(unfinished(&model), 1, "as the writer has begun");
    left("thresholds.json.tmp-tinymood-1-0");
    // What only reads cleans nothing.
    let mut texts = String::new();
    let mut predict = tinymood(folder);
    predict.args(["predict", "--model", "model", "--quiet", "a text"]).stdout(Stdio::piped());
    predict.spawn().unwrap().stdout.take().unwrap().read_to_string(&mut texts).unwrap();
    assert!(texts.contains("a text"));
    assert_eq!(unfinished(&model), 2);
    run(folder, "tune --model model --data sample --quiet").ok();
    assert_eq!(unfinished(&model), 1);
    fs::create_dir(folder.join("other.tmp-tinymood-1-0")).unwrap();
    run(folder, "export --f32 --model model --output exported --quiet").ok();
    assert_eq!(unfinished(folder), 2, "those of the running writers");
    assert!(running.path().exists() && writing.path().exists());
}

#[cfg(unix)]
#[test]
fn paths_that_are_not_utf_8_are_refused_before_any_work() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = tempfile::tempdir().unwrap();
    let path = OsStr::from_bytes(b"caf\xe9");
    let texts = place.path().join(path);
    fs::write(&texts, "a text\nanother\n").unwrap();
    for (arguments, flag) in [
        (&["train", "--output"][..], "--output"),
        (&["train", "--resume"], "--resume"),
        (&["train", "--labels"], "--labels"),
        (&["train", "--teacher", "bundled", "--unlabelled"], "--unlabelled"),
        (&["distill", "--teacher", "bundled", "--texts"], "--texts"),
        (&["distill", "--teacher", "bundled", "--texts", "t.txt", "--output"], "--output"),
        (&["export", "--f32", "--output"], "--output"),
    ] {
        let ran = tinymood(place.path()).args(arguments).arg(path).output().unwrap();
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(flag) && stderr.contains("is not UTF-8: \"caf\\xE9\""), "{stderr}");
        assert!(!place.path().join("runs").exists());
    }
    // What is only read or written works throughout.
    let output = OsStr::from_bytes(b"\xe9.jsonl");
    let mut predict = tinymood(place.path());
    predict.args(["predict", "--format", "jsonl", "--output"]).arg(output).arg("--input").arg(path);
    assert!(predict.status().unwrap().success());
    assert_eq!(fs::read_to_string(place.path().join(output)).unwrap().lines().count(), 2);
    let mut doctor = tinymood(place.path());
    doctor.args(["doctor", "--offline", "--cache-dir"]).arg(path);
    assert_eq!(doctor.output().unwrap().status.code(), Some(0));
}

/// Names of labels that would write to a terminal, a page or a table.
const HOSTILE: [&str; 4] = [
    "red\u{1b}[31m\u{9b}2J",
    "<img src=x onerror=alert(1)>",
    "two\nlines\tand a tab",
    "turned\u{202e}*round*</script>",
];

#[test]
fn names_of_labels_reach_no_terminal_and_no_markup() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let row = |index: usize| {
        let labels = [HOSTILE[index % 4]];
        let text = format!("a text of the kind {}", ["one", "two", "three", "four"][index % 4]);
        serde_json::json!({"text": format!("{text} {index}"), "labels": labels}).to_string() + "\n"
    };
    for (name, rows) in [("train.jsonl", 80), ("dev.jsonl", 40)] {
        fs::create_dir_all(folder.join("data")).unwrap();
        let rows: String = (0..rows).map(row).collect();
        fs::write(folder.join("data").join(name), rows).unwrap();
    }
    // Names that only a list may have.
    let list = serde_json::json!(HOSTILE).to_string();
    fs::write(folder.join("data/labels.txt"), list).unwrap();
    let train = format!("train --data data {QUICK} --max-steps 8 --output runs/x");
    let commands = [
        train.as_str(),
        "data stats --data data",
        "evaluate --model runs/x",
        "tune --model runs/x --policy per-label",
        "report runs/x",
        "predict --model runs/x --format table --all-scores --explain text",
        "predict --model runs/x --format table --top-k 4 text",
        "export --int8 --model runs/x --output int8",
        "evaluate --model runs/x --data sample",
    ];
    for command in commands {
        let ran = run(folder, command);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        for said in [&ran.stdout, &ran.stderr] {
            let disturbs = |c: &char| c.is_control() && !"\n\t".contains(*c) || *c == '\u{202e}';
            assert_eq!(said.chars().find(disturbs), None, "{command}: {said}");
            assert!(!said.contains("two\nlines"), "{command}: {said}");
        }
    }
    let read = |path: &str| fs::read_to_string(folder.join("runs/x").join(path)).unwrap();
    for path in ["best/README.md", "report.html"] {
        let text = read(path);
        assert!(text.contains("img src=x"), "{path}");
        for markup in ["<img src=x", "*round*</script>", "\u{1b}", "\u{202e}"] {
            let is_escape = path == "report.html" && markup.len() < 4;
            assert!(is_escape || !text.contains(markup), "{path}: {markup:?}");
        }
    }
    // Files keep the names.
    let named: Vec<serde_json::Value> =
        read("predictions.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = HOSTILE;
    assert_eq!(named[0]["labels"], serde_json::json!(expected));
    let csv = run(folder, "predict --model runs/x --format csv-scores text").ok().stdout;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert!(expected.iter().all(|name| header.iter().any(|column| column == name)), "{header:?}");
    assert_eq!(reader.records().count(), 1);
}
