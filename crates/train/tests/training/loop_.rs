//! The loop when nothing goes wrong.

use std::fs;

use tinymood_train::{Event, Outcome, RecipeOverrides};

use super::{Case, Watch, log, names, result, steps_of};

#[test]
fn a_run_leaves_what_it_should() {
    let temporary = tempfile::tempdir().unwrap();
    let watch = Watch::default();
    let outcome = Case::new().begin(temporary.path(), watch.clone()).unwrap();
    let Outcome::Finished(finish) = outcome else { panic!("{outcome:?}") };
    assert_eq!((finish.step, finish.early, finish.metric), (12, false, "loss"));
    // It learns: the last evaluation is the best.
    assert_eq!(finish.best_step, Some(12));

    let log = log(temporary.path());
    assert_eq!(log[0]["event"], "start");
    assert_eq!(log[0]["prepared_seconds"], 0.25);
    assert_eq!(log[0]["total_steps"], 12);
    assert_eq!(log[0]["steps_per_epoch"], 6);
    assert_eq!(steps_of(&log, "step"), [2, 4, 6, 8, 10, 12]);
    assert_eq!(steps_of(&log, "evaluation"), [5, 10, 12]);
    assert_eq!(steps_of(&log, "checkpoint"), [3, 6, 9, 12]);
    assert_eq!(log.last().unwrap()["event"], "finish");
    let step = log.iter().find(|line| line["event"] == "step").unwrap();
    for field in ["loss", "learning_rate", "gradient_norm", "samples_per_second", "epoch", "time"] {
        assert!(step[field].is_number(), "{field} in {step}");
    }
    let judged = log.iter().rfind(|line| line["event"] == "evaluation").unwrap();
    assert_eq!(judged["metrics"]["loss"], judged["value"]);
    assert_eq!(judged["best"], true);

    // Two are kept, and nothing unfinished lies about.
    assert_eq!(names(&temporary.path().join("checkpoints")), ["step-00000009", "step-00000012"]);
    assert!(
        names(temporary.path()).iter().all(|name| !name.contains("tmp") && !name.contains("old"))
    );
    let best = names(&temporary.path().join("best"));
    for file in ["README.md", "config.json", "model.safetensors", "thresholds.json", "vocab.txt"] {
        assert!(best.iter().any(|name| name == file), "{file} in {best:?}");
    }
    let ticks = watch.events().into_iter().filter(|event| matches!(event, Event::Tick(_))).count();
    assert_eq!(ticks, 12);
}

#[test]
fn the_checksums_are_those_of_sha256sum() {
    let temporary = tempfile::tempdir().unwrap();
    Case::new().begin(temporary.path(), Watch::default()).unwrap();
    let folder = temporary.path().join("checkpoints/step-00000012");
    assert_eq!(names(&folder).len(), 6, "{:?}", names(&folder));
    let checked = std::process::Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(&folder)
        .status();
    // Where there is no such program, reading the checkpoint back is the test.
    if let Ok(status) = checked {
        assert!(status.success());
    }
    assert_eq!(tinymood_train::read_checkpoint(&folder).unwrap().state.step, 12);
}

#[test]
fn accumulation_equals_one_big_batch() {
    let mut results = Vec::new();
    for (batch_size, gradient_accumulation) in [(8, 1), (4, 2), (1, 8), (3, 3)] {
        let temporary = tempfile::tempdir().unwrap();
        let mut case = Case::new();
        case.overrides.batch_size = Some(batch_size);
        case.overrides.gradient_accumulation = Some(gradient_accumulation);
        case.begin(temporary.path(), Watch::default()).unwrap();
        results.push(result(temporary.path(), 6));
    }
    assert!(results[0] == results[1] && results[0] == results[2], "bits differ");
    assert!(results[0] != results[3], "9 texts a step are not 8");
}

#[test]
fn without_validation_the_last_weights_are_the_model() {
    let temporary = tempfile::tempdir().unwrap();
    let mut case = Case::new();
    case.validation = None;
    case.overrides.ema_decay = Some(0.0);
    let outcome = case.begin(temporary.path(), Watch::default()).unwrap();
    let Outcome::Finished(finish) = outcome else { panic!("{outcome:?}") };
    assert_eq!((finish.best_step, finish.best_value), (None, None));
    let bytes = result(temporary.path(), 12);
    assert!(bytes[4].is_empty(), "no average is kept");
    let tensors = |bytes: &[u8]| {
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        file.tensor("classifier.weight").unwrap().data().to_vec()
    };
    assert_eq!(tensors(&bytes[0]), tensors(&bytes[1]));
}

#[test]
fn the_average_is_what_is_judged_and_saved() {
    let temporary = tempfile::tempdir().unwrap();
    Case::new().begin(temporary.path(), Watch::default()).unwrap();
    let bytes = result(temporary.path(), 12);
    let tensor = |bytes: &[u8]| {
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        file.tensor("classifier.weight").unwrap().data().to_vec()
    };
    assert_eq!(tensor(&bytes[0]), tensor(&bytes[4]));
    assert_ne!(tensor(&bytes[0]), tensor(&bytes[1]));
}

#[test]
fn training_ends_early_when_nothing_improves() {
    let temporary = tempfile::tempdir().unwrap();
    let mut case = Case::new();
    case.overrides = RecipeOverrides {
        // Steps far too large: the loss rises from the first evaluation on.
        learning_rate: Some(9.0),
        schedule: Some("constant".parse().unwrap()),
        warmup_steps: Some(3),
        ema_decay: Some(0.0),
        epochs: Some(10),
        evaluate_every: Some("2".parse().unwrap()),
        early_stopping_patience: Some(3),
        ..case.overrides
    };
    let watch = Watch::default();
    let outcome = case.begin(temporary.path(), watch.clone()).unwrap();
    let Outcome::Finished(finish) = &outcome else { panic!("{outcome:?}") };
    assert!(finish.early);
    let events = watch.events();
    let judged = events.iter().filter_map(|event| match event {
        Event::Evaluation(judged) => Some((judged.step, judged.best)),
        _ => None,
    });
    let judged: Vec<_> = judged.collect();
    assert!(judged.len() >= 4);
    let (last_three, before) = (&judged[judged.len() - 3..], judged[judged.len() - 4]);
    assert!(last_three.iter().all(|(_, best)| !best) && before.1, "{judged:?}");
    assert_eq!(finish.best_step, Some(before.0));
    assert_eq!(finish.step, last_three[2].0);
    // Resuming a run that has ended changes nothing.
    assert_eq!(case.resume(temporary.path(), Watch::default()).unwrap(), outcome);
}

#[test]
fn patience_begins_anew_with_each_improvement_and_survives_a_stop() {
    let mut case = Case::new();
    case.overrides = RecipeOverrides {
        // Large steps: the loss wavers before it rises for good.
        learning_rate: Some(0.8),
        schedule: Some("constant".parse().unwrap()),
        warmup_steps: Some(0),
        ema_decay: Some(0.0),
        epochs: Some(10),
        evaluate_every: Some("1".parse().unwrap()),
        early_stopping_patience: Some(3),
        ..case.overrides
    };
    let temporary = tempfile::tempdir().unwrap();
    let watch = Watch::default();
    let whole = case.begin(temporary.path(), watch.clone()).unwrap();
    let bests: Vec<bool> = watch
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::Evaluation(judged) => Some(judged.best),
            _ => None,
        })
        .collect();
    assert!(bests.len() < 60 && bests.ends_with(&[true, false, false, false]), "{bests:?}");
    let before = &bests[..bests.len() - 4];
    let misses = before.iter().filter(|best| !**best).count();
    assert!(misses >= 2, "a miss before the last improvement must be forgiven: {bests:?}");
    assert!(!before.windows(3).any(|three| !three.contains(&true)), "{bests:?}");

    for step in (1..bests.len() as u64).step_by(4) {
        let temporary = tempfile::tempdir().unwrap();
        case.begin(temporary.path(), Watch::stopping_after(step)).unwrap();
        let resumed = case.resume(temporary.path(), Watch::default()).unwrap();
        let (Outcome::Finished(resumed), Outcome::Finished(whole)) = (resumed, &whole) else {
            panic!("stopped after step {step}")
        };
        let end = (resumed.step, resumed.early, resumed.best_step, resumed.best_value);
        assert_eq!(end, (whole.step, true, whole.best_step, whole.best_value));
    }
}

#[test]
fn max_steps_takes_the_place_of_epochs() {
    let temporary = tempfile::tempdir().unwrap();
    let mut case = Case::new();
    case.overrides.max_steps = Some(15);
    let outcome = case.begin(temporary.path(), Watch::default()).unwrap();
    let Outcome::Finished(finish) = outcome else { panic!("{outcome:?}") };
    assert_eq!(finish.step, 15, "two and a half epochs");
    let log = log(temporary.path());
    let last = log.iter().rfind(|line| line["event"] == "step").unwrap();
    assert_eq!(last["step"], 14);
    assert!((last["epoch"].as_f64().unwrap() - 14.0 / 6.0).abs() < 1e-12);
}

#[test]
fn the_settings_are_saved() {
    let temporary = tempfile::tempdir().unwrap();
    Case::new().begin(temporary.path(), Watch::default()).unwrap();
    let text = fs::read_to_string(temporary.path().join("settings.toml")).unwrap();
    assert!(text.contains("learning_rate = 0.05"), "{text}");
}
