//! What must stop training, and what must be left then.

use tinymood_core::LabelSet;
use tinymood_train::TrainError;

use super::{Case, Dataset, Watch, log, names, steps_of};

#[test]
fn a_loss_that_is_no_number_stops_with_step_and_lines() {
    let temporary = tempfile::tempdir().unwrap();
    let mut case = Case::new();
    case.broken_loss_from = 8;
    let error = case.begin(temporary.path(), Watch::default()).unwrap_err();
    // Resuming with another rate would be refused.
    assert!(error.hint().unwrap().starts_with("begin a new run with a smaller learning rate"));
    let message = error.to_string();
    let TrainError::NonFinite { what, step, rows, lines } = error else { panic!("{message}") };
    assert_eq!((what, step, rows.len()), ("loss", 8, 4));
    assert_eq!(lines, rows.iter().map(|row| row + 2).collect::<Vec<_>>());
    assert!(message.contains("step 8") && message.contains(&format!("{}", lines[0])), "{message}");
    assert_eq!(log(temporary.path()).last().unwrap()["event"], "failure");

    // The last good checkpoint stands, and the run goes on from it once it is mended.
    assert_eq!(names(&temporary.path().join("checkpoints")), ["step-00000003", "step-00000006"]);
    case.broken_loss_from = u64::MAX;
    case.resume(temporary.path(), Watch::default()).unwrap();
    assert_eq!(steps_of(&log(temporary.path()), "failure"), [0; 0]);
}

#[test]
fn a_gradient_that_is_no_number_stops_too() {
    let temporary = tempfile::tempdir().unwrap();
    let mut case = Case::new();
    case.broken_gradient_from = 2;
    let error = case.begin(temporary.path(), Watch::default()).unwrap_err();
    let expected = TrainErrorKind { what: "gradient norm", step: 2 };
    assert_eq!(kind(&error), Some(expected), "{error}");
    assert!(!temporary.path().join("best").exists());
}

#[derive(Debug, PartialEq)]
struct TrainErrorKind {
    what: &'static str,
    step: u64,
}

fn kind(error: &TrainError) -> Option<TrainErrorKind> {
    match *error {
        TrainError::NonFinite { what, step, .. } => Some(TrainErrorKind { what, step }),
        _ => None,
    }
}

#[test]
fn resuming_with_something_else_is_refused_by_name() {
    let temporary = tempfile::tempdir().unwrap();
    Case::new().begin(temporary.path(), Watch::stopping_after(4)).unwrap();
    let different = |change: fn(&mut Case)| {
        let mut case = Case::new();
        change(&mut case);
        match case.resume(temporary.path(), Watch::default()) {
            Err(TrainError::Different { field, saved, now }) => (field, saved, now),
            Err(TrainError::OtherData { split }) => (split, String::new(), String::new()),
            other => panic!("{other:?}"),
        }
    };
    let (field, saved, now) = different(|case| case.overrides.learning_rate = Some(0.5));
    assert_eq!((&*field, &*saved, &*now), ("learning_rate", "0.05", "0.5"));
    let (field, ..) = different(|case| case.train.texts[3].ids[0] ^= 1);
    assert_eq!(field, "train");
    let (field, ..) = different(|case| case.train.targets[0] = 0.25);
    assert_eq!(field, "train");
    let (field, ..) = different(|case| case.validation = None);
    assert_eq!(field, "validation");
    let (field, ..) =
        different(|case| case.labels = LabelSet::new(["joy", "fear", "rage"]).unwrap());
    assert_eq!(field, "labels");
    let (field, ..) = different(|case| case.identity.clear());
    assert_eq!(field, "precision");

    // What changes nothing in the result may change.
    let mut case = Case::new();
    case.overrides.keep_checkpoints = Some(1);
    case.overrides.log_every = Some(3);
    case.overrides.checkpoint_every = Some("evaluation".parse().unwrap());
    case.resume(temporary.path(), Watch::default()).unwrap();
    assert_eq!(names(&temporary.path().join("checkpoints")), ["step-00000012"]);
}

#[test]
fn inputs_that_do_not_fit_are_refused_before_the_first_step() {
    let refuse = |change: fn(&mut Case)| {
        let temporary = tempfile::tempdir().unwrap();
        let mut case = Case::new();
        change(&mut case);
        let watch = Watch::default();
        let error = case.begin(temporary.path(), watch.clone()).unwrap_err();
        assert!(watch.events().is_empty());
        error.to_string()
    };
    assert_eq!(refuse(|case| case.train = Dataset::new(0, 3, 0)), "the training split is empty");
    let empty = refuse(|case| case.validation = Some(Dataset::new(0, 3, 0)));
    assert_eq!(empty, "the validation split is empty");
    let targets = refuse(|case| {
        case.train.targets.pop();
    });
    assert_eq!(targets, "the training split has 68 targets, expected 23 x 3");
    let weights = refuse(|case| case.overrides.pos_weight = Some("1,2".parse().unwrap()));
    assert!(weights.contains("pos_weight"), "{weights}");
}

#[test]
fn a_text_that_the_engine_refuses_is_named_with_its_step() {
    let temporary = tempfile::tempdir().unwrap();
    let mut case = Case::new();
    case.train.texts[5].ids = vec![999];
    let error = case.begin(temporary.path(), Watch::default()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("row 5") && source.contains("999"), "{source}");
}
