//! Stopped, killed and damaged runs end as if nothing had happened.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tinymood_train::{Event, Outcome, RecipeOverrides, RunFolder};

use super::{Case, Watch, log, result, steps_of};

fn uninterrupted(case: &Case) -> Vec<Vec<u8>> {
    let temporary = tempfile::tempdir().unwrap();
    case.begin(temporary.path(), Watch::default()).unwrap();
    result(temporary.path(), 12)
}

fn assert_finished(outcome: Outcome) {
    assert!(matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
}

#[test]
fn stopped_after_any_step_and_resumed() {
    for grouped in [false, true] {
        let mut case = Case::new();
        case.overrides.group_by_length = Some(grouped);
        case.overrides.gradient_accumulation = Some(1);
        let expected = uninterrupted(&case);
        for step in 1..12 {
            let temporary = tempfile::tempdir().unwrap();
            let outcome = case.begin(temporary.path(), Watch::stopping_after(step)).unwrap();
            assert_eq!(outcome, Outcome::Stopped { step, total_steps: 12 });
            assert_finished(case.resume(temporary.path(), Watch::default()).unwrap());
            assert!(result(temporary.path(), 12) == expected, "stopped after step {step}");
            let log = log(temporary.path());
            assert_eq!(steps_of(&log, "step"), [2, 4, 6, 8, 10, 12], "stopped after step {step}");
            assert_eq!(steps_of(&log, "evaluation"), [5, 10, 12], "stopped after step {step}");
        }
    }
}

#[test]
fn stopped_after_each_step() {
    let case = Case::new();
    let expected = uninterrupted(&case);
    let temporary = tempfile::tempdir().unwrap();
    case.begin(temporary.path(), Watch::stopping_after(1)).unwrap();
    for step in 2..12 {
        let outcome = case.resume(temporary.path(), Watch::stopping_after(step)).unwrap();
        assert_eq!(outcome, Outcome::Stopped { step, total_steps: 12 });
    }
    assert_finished(case.resume(temporary.path(), Watch::default()).unwrap());
    assert!(result(temporary.path(), 12) == expected);
    // Means over the log's intervals are carried over, too.
    let whole = tempfile::tempdir().unwrap();
    case.begin(whole.path(), Watch::default()).unwrap();
    let losses = |path: &Path| -> Vec<_> {
        let log = log(path);
        log.iter().filter(|line| line["event"] == "step").map(|line| line["loss"].clone()).collect()
    };
    assert_eq!(losses(temporary.path()), losses(whole.path()));
}

#[test]
fn killed_at_any_event_and_resumed() {
    let case = Case::new();
    let expected = uninterrupted(&case);
    let mut event = 0;
    loop {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path();
        let watch = Watch::dying_at(event);
        let killed = catch_unwind(AssertUnwindSafe(|| case.begin(path, watch.clone()))).is_err();
        if !killed {
            break;
        }
        // A line torn by the kill, and a folder that was being written.
        let mut text = fs::read(path.join("log.jsonl")).unwrap_or_default();
        text.extend_from_slice(b"{\"time\":17");
        fs::write(path.join("log.jsonl"), text).unwrap();
        fs::create_dir_all(path.join("checkpoints/step-00000004.tmp-tinymood-1-0")).unwrap();
        assert_finished(case.resume(path, Watch::default()).unwrap());
        assert!(result(path, 12) == expected, "killed at event {event}");
        assert_eq!(steps_of(&log(path), "step"), [2, 4, 6, 8, 10, 12], "killed at event {event}");
        assert!(!path.join("checkpoints/step-00000004.tmp-tinymood-1-0").exists());
        event += 1;
    }
    assert!(event > 25, "only {event} events");
}

#[test]
fn checkpoints_by_the_clock_change_nothing() {
    let mut case = Case::new();
    let expected = uninterrupted(&case);
    case.overrides.checkpoint_minutes = Some(1e-9);
    let temporary = tempfile::tempdir().unwrap();
    case.begin(temporary.path(), Watch::default()).unwrap();
    assert!(result(temporary.path(), 12) == expected);
    assert_eq!(steps_of(&log(temporary.path()), "checkpoint").len(), 12);
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let case = Case::new();
    let expected = uninterrupted(&case);
    type Damage = fn(&Path);
    let damages: [Damage; 6] = [
        |path| flip_a_bit(&path.join("first_moment.safetensors")),
        |path| flip_a_bit(&path.join("state.json")),
        |path| fs::remove_file(path.join("parameters.safetensors")).unwrap(),
        |path| fs::remove_file(path.join("SHA256SUMS")).unwrap(),
        |path| fs::write(path.join("SHA256SUMS"), "").unwrap(),
        |path| {
            let file = fs::File::options().write(true).open(path.join("second_moment.safetensors"));
            file.unwrap().set_len(20).unwrap();
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let temporary = tempfile::tempdir().unwrap();
        case.begin(temporary.path(), Watch::stopping_after(8)).unwrap();
        damage(&temporary.path().join("checkpoints/step-00000008"));
        let watch = Watch::default();
        assert_finished(case.resume(temporary.path(), watch.clone()).unwrap());
        let events = watch.events();
        assert!(
            matches!(&events[0], Event::Warning { message } if message.contains("step-00000008")),
            "damage {number}: {:?}",
            events[0]
        );
        let Event::Start(start) = &events[1] else { panic!("{:?}", events[1]) };
        assert_eq!(start.step, 6, "damage {number}");
        assert!(result(temporary.path(), 12) == expected, "damage {number}");
    }
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_checkpoint_that_cannot_be_read_gives_way_to_the_one_before() {
    use std::os::unix::fs::symlink;

    let case = Case::new();
    let expected = uninterrupted(&case);
    type Damage = fn(&Path);
    let damages: [(Damage, &str); 6] = [
        // A regular file whose first byte cannot be read: an I/O error, as of a failing disk.
        (|path| replace(&path.join("second_moment.safetensors"), "/proc/self/mem"), "os error 5"),
        (|path| replace(&path.join("SHA256SUMS"), "/proc/self/mem"), "os error 5"),
        (|path| replace(&path.join("state.json"), "state.json"), "symbolic links"),
        (|path| replace(&path.join("parameters.safetensors"), "gone"), "a link to \"gone\""),
        (
            |path| {
                fs::remove_dir_all(path).unwrap();
                symlink(path.file_name().unwrap(), path).unwrap();
            },
            "symbolic links",
        ),
        (
            |path| {
                fs::remove_dir_all(path).unwrap();
                fs::write(path, "").unwrap();
            },
            "ot a directory",
        ),
    ];
    fn replace(file: &Path, target: &str) {
        fs::remove_file(file).unwrap();
        symlink(target, file).unwrap();
    }
    for (damage, problem) in damages {
        let temporary = tempfile::tempdir().unwrap();
        case.begin(temporary.path(), Watch::stopping_after(8)).unwrap();
        damage(&temporary.path().join("checkpoints/step-00000008"));
        let watch = Watch::default();
        assert_finished(case.resume(temporary.path(), watch.clone()).unwrap());
        let events = watch.events();
        let Event::Warning { message: warned } = &events[0] else { panic!("{:?}", events[0]) };
        assert!(warned.contains("step-00000008") && warned.contains(problem), "{warned}");
        assert!(warned.contains("going back"), "{warned}");
        assert!(result(temporary.path(), 12) == expected, "{problem}");
        let left = fs::read_dir(temporary.path().join("checkpoints")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().path()).collect();
        assert!(left.iter().all(|path| path.extension().is_none()), "{left:?}");
    }
}

#[test]
fn with_all_checkpoints_damaged_it_begins_again() {
    let case = Case::new();
    let expected = uninterrupted(&case);
    let temporary = tempfile::tempdir().unwrap();
    case.begin(temporary.path(), Watch::stopping_after(7)).unwrap();
    for step in [6, 7] {
        flip_a_bit(
            &temporary.path().join(format!("checkpoints/step-{step:08}/parameters.safetensors")),
        );
    }
    let watch = Watch::default();
    assert_finished(case.resume(temporary.path(), watch.clone()).unwrap());
    let warnings =
        watch.events().into_iter().filter(|event| matches!(event, Event::Warning { .. }));
    assert_eq!(warnings.count(), 3);
    assert!(result(temporary.path(), 12) == expected);
}

#[test]
fn other_arithmetic_is_warned_of_once() {
    let mut case = Case::new();
    let temporary = tempfile::tempdir().unwrap();
    case.begin(temporary.path(), Watch::stopping_after(4)).unwrap();
    let mut warnings = |arithmetic, step| {
        case.arithmetic = arithmetic;
        let watch = Watch::stopping_after(step);
        case.resume(temporary.path(), watch.clone()).unwrap();
        let messages = watch.events().into_iter().filter_map(|event| match event {
            Event::Warning { message } => Some(message),
            _ => None,
        });
        messages.collect::<Vec<_>>()
    };
    assert_eq!(warnings("f64", 5), [""; 0]);
    let told = warnings("f80", 6);
    assert!(told.len() == 1 && told[0].contains("f64") && told[0].contains("f80"), "{told:?}");
    assert_eq!(warnings("f80", 7), [""; 0]);
}

#[test]
fn a_checkpoint_that_was_looked_for_is_not_read_again() {
    let case = Case::new();
    let expected = uninterrupted(&case);
    let temporary = tempfile::tempdir().unwrap();
    case.begin(temporary.path(), Watch::stopping_after(7)).unwrap();
    let (run, _) = RunFolder::open(temporary.path()).unwrap();
    assert!(run.has_checkpoint(&mut |warning| panic!("{warning}")).unwrap());
    // Without these it would not be whole.
    fs::remove_file(temporary.path().join("checkpoints/step-00000007/SHA256SUMS")).unwrap();
    let watch = Watch::default();
    assert_finished(case.go(&run, &case.settings(), true, watch.clone()).unwrap());
    let warnings =
        watch.events().into_iter().filter(|event| matches!(event, Event::Warning { .. }));
    assert_eq!(warnings.count(), 0);
    assert!(result(temporary.path(), 12) == expected);
}

#[test]
fn a_lost_model_is_made_again() {
    let case = Case::new();
    let temporary = tempfile::tempdir().unwrap();
    case.begin(temporary.path(), Watch::stopping_after(6)).unwrap();
    fs::remove_dir_all(temporary.path().join("best")).unwrap();
    let watch = Watch::default();
    assert_finished(case.resume(temporary.path(), watch.clone()).unwrap());
    assert!(matches!(&watch.events()[0], Event::Warning { .. }));
    assert!(temporary.path().join("best/model.safetensors").is_file());
}

#[test]
fn a_finished_run_stays_as_it_is() {
    let case = Case::new();
    let temporary = tempfile::tempdir().unwrap();
    let first = case.begin(temporary.path(), Watch::default()).unwrap();
    let before = result(temporary.path(), 12);
    assert_eq!(case.resume(temporary.path(), Watch::default()).unwrap(), first);
    assert!(result(temporary.path(), 12) == before);
}

#[test]
fn the_lost_model_of_a_finished_run_is_judged_again() {
    let mut ends_early = Case::new();
    ends_early.overrides = RecipeOverrides {
        // Steps far too large: the loss rises from the first evaluation on.
        learning_rate: Some(9.0),
        schedule: Some("constant".parse().unwrap()),
        ema_decay: Some(0.0),
        epochs: Some(10),
        evaluate_every: Some("2".parse().unwrap()),
        early_stopping_patience: Some(3),
        ..ends_early.overrides
    };
    for (mut case, early) in [(Case::new(), false), (ends_early, true)] {
        case.overrides.thresholds = Some("global".parse().unwrap());
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path();
        let Outcome::Finished(first) = case.begin(path, Watch::default()).unwrap() else {
            panic!("it was not stopped")
        };
        assert_eq!(first.early, early);
        fs::remove_dir_all(path.join("best")).unwrap();
        let judged_before = fs::read(path.join("evaluation.json")).unwrap();
        let outcome = case.resume(path, Watch::default()).unwrap();
        let Outcome::Finished(finish) = &outcome else { panic!("{outcome:?}") };
        // The last weights are all that is left, and what is said of them is theirs.
        assert_eq!((finish.step, finish.early), (first.step, early));
        assert_eq!(finish.best_step, Some(first.step));
        let evaluations: Vec<_> =
            log(path).into_iter().filter(|line| line["event"] == "evaluation").collect();
        let value = evaluations.last().unwrap()["value"].as_f64();
        assert!(finish.best_value.is_some() && value == finish.best_value, "{value:?}");
        let thresholds = fs::read_to_string(path.join("best/thresholds.json")).unwrap();
        assert!(thresholds.contains("\"dev\""), "tuned on the split: {thresholds}");
        let judged = fs::read(path.join("evaluation.json")).unwrap();
        assert_eq!(judged == judged_before, first.best_step == Some(first.step));
        // Its checkpoint knows, too: resuming once more changes nothing.
        let before = result(path, first.step);
        assert_eq!(case.resume(path, Watch::default()).unwrap(), outcome);
        assert!(result(path, first.step) == before);
    }
}

#[test]
fn a_checkpoint_whose_replacement_was_cut_short_is_put_back() {
    let case = Case::new();
    let expected = uninterrupted(&case);
    let temporary = tempfile::tempdir().unwrap();
    case.begin(temporary.path(), Watch::stopping_after(8)).unwrap();
    let checkpoint = temporary.path().join("checkpoints/step-00000008");
    fs::rename(&checkpoint, checkpoint.with_extension("old")).unwrap();
    let watch = Watch::default();
    assert_finished(case.resume(temporary.path(), watch.clone()).unwrap());
    let Event::Start(start) = &watch.events()[0] else { panic!("{:?}", watch.events()[0]) };
    assert_eq!(start.step, 8);
    assert!(result(temporary.path(), 12) == expected);
}
