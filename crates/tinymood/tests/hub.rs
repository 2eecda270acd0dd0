//! Models of the hub, as a user names them.

mod common;

use std::fs;

use common::{put_in_the_hubs_cache, run};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn a_run_says_at_which_commit_its_start_and_its_teachers_were() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    put_in_the_hubs_cache(folder, COMMIT);
    let quick = "--batch-size 8 --max-length 16 --offline --quiet";
    let train = |flags: &str| run(folder, &format!("train {quick} {flags}"));
    train("--init org/name --teacher org/name --max-steps 3 --output run").ok();
    let pinned = format!("org/name@{COMMIT}");
    let settings = fs::read_to_string(folder.join("run/settings.toml")).unwrap();
    assert!(settings.contains(&format!("init = \"{pinned}\"")), "{settings}");
    assert!(settings.contains(&format!("teachers = [\"{pinned}\"]")), "{settings}");
    let card = fs::read_to_string(folder.join("run/best/README.md")).unwrap();
    assert!(card.contains("base_model: \"org/name\""), "{card}");
    assert!(card.contains(&format!("from org/name at {COMMIT} on")), "{card}");

    // The branch moves; what the settings say does not.
    put_in_the_hubs_cache(folder, &COMMIT.replace('0', "9"));
    train("--resume run").ok();
    train(&format!("--init {pinned} --max-steps 1 --output again")).ok();
    run(folder, &format!("predict --model {pinned} --offline happy")).ok();
    run(folder, &format!("tune --model {pinned} --data sample --offline"))
        .fails(1, &[&pinned, "hub's cache"]);
    train("--init org/name@v1 --max-steps 1 --output other").fails(1, &["org/name@v1", "hint: "]);
}

#[test]
fn a_run_that_named_no_commit_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    put_in_the_hubs_cache(folder, COMMIT);
    let quick = "--batch-size 8 --max-length 16 --offline --quiet";
    run(folder, &format!("train {quick} --init org/name --max-steps 3 --output run")).ok();
    // As it was before commits were saved.
    let settings = folder.join("run/settings.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace(&format!("@{COMMIT}"), "")).unwrap();
    for entry in fs::read_dir(folder.join("run/checkpoints")).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    run(folder, "train --resume run --offline --quiet").ok();
    // By the same name as ever, so that its checkpoints stay those of one run.
    let state = fs::read_to_string(folder.join("run/checkpoints/step-00000003/state.json")).unwrap();
    assert!(state.contains("\"init\": \"org/name\""), "{state}");
}
