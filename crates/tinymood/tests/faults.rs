//! What machines and other processes do to a command while it runs.
#![cfg(unix)]

mod common;

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{QUICK, Ran, run, tinymood};

/// Waits until a condition holds, for a minute at most.
#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_run_writes_nothing_into_a_folder_that_replaced_its_own() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    let mut command = tinymood(place.path());
    command.args("train --max-steps 3000 --output run".split(' ')).args(QUICK.split(' '));
    let first = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the first run begins", || path.join("log.jsonl").exists());
    fs::remove_dir_all(&path).unwrap();
    run(place.path(), &format!("train {QUICK} --max-steps 2 --output run --quiet")).ok();
    let first: Ran = first.wait_with_output().unwrap().into();
    first.fails(1, &["run", "removed or replaced", "hint:"]);
    let mut checkpoints = fs::read_dir(path.join("checkpoints")).unwrap();
    assert_eq!(checkpoints.next().unwrap().unwrap().file_name(), "step-00000002");
    assert!(checkpoints.next().is_none());
}

#[test]
fn runs_that_begin_at_once_all_train() {
    let place = tempfile::tempdir().unwrap();
    let begin = |_| {
        let mut command = tinymood(place.path());
        command.args("train --max-steps 1 --quiet".split(' ')).args(QUICK.split(' '));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let runs: Vec<Child> = (0..4).map(begin).collect();
    for run in runs {
        Ran::from(run.wait_with_output().unwrap()).ok();
    }
    for name in ["", "-2", "-3", "-4"] {
        let model = place.path().join(format!("runs/sample-default{name}/best/model.safetensors"));
        assert!(model.exists(), "{}", model.display());
    }
}
