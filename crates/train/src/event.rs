//! What training tells while it runs. The trainer prints nothing: it sends [`Event`]s to
//! [`Observer`]s.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// Something that happened in a run. In `log.jsonl` each is one object with its name in `event`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Training begins or goes on.
    Start(Start),
    /// An optimizer step was taken. Not in the log: see [`Event::Step`].
    #[serde(skip)]
    Tick(Tick),
    /// The log's line on the steps since the last one.
    Step(Window),
    /// The validation split is about to be judged.
    #[serde(skip)]
    Evaluating {
        /// Steps taken so far.
        step: u64,
        /// Rows of the split.
        rows: usize,
    },
    /// The validation split was judged.
    Evaluation(Judged),
    /// A checkpoint is complete.
    Checkpoint {
        /// Steps taken so far.
        step: u64,
        /// Its folder.
        #[serde(serialize_with = "lossy")]
        path: PathBuf,
    },
    /// Something that a person should know and that does not stop training.
    Warning {
        /// What it is.
        message: String,
    },
    /// Training stopped because it was asked to; the run can be resumed.
    Stop {
        /// Steps taken so far.
        step: u64,
        /// Steps of the whole run.
        total_steps: u64,
    },
    /// Training stopped because something went wrong.
    Failure {
        /// Steps taken so far.
        step: u64,
        /// What went wrong.
        message: String,
    },
    /// Training is over.
    Finish(Finish),
}

/// The run as it begins.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Start {
    /// Steps taken so far; above 0 when resumed.
    pub step: u64,
    /// The checkpoint that training goes on from.
    #[serde(serialize_with = "lossy_option")]
    pub resumed_from: Option<PathBuf>,
    /// Wall-clock seconds that this process spent before: on teachers' labels and the classifier's start.
    pub prepared_seconds: f64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Rows of the training split.
    pub train_rows: usize,
    /// Rows of the validation split, where there is one.
    pub validation_rows: Option<usize>,
    /// Trainable numbers of the model.
    pub parameters: usize,
    /// What computes and how.
    pub engine: String,
    /// The processor, its cores, the system.
    pub machine: String,
}

/// One optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// Steps taken so far, this one included.
    pub step: u64,
    /// Its loss.
    pub loss: f64,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Its texts.
    pub rows: usize,
}

/// Several steps in a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Window {
    /// Steps taken so far.
    pub step: u64,
    /// Passes over the training split so far.
    pub epoch: f64,
    /// Mean loss of the steps.
    pub loss: f64,
    /// Learning rate of the last of them.
    pub learning_rate: f64,
    /// Gradient norm of the last of them, before clipping.
    pub gradient_norm: f64,
    /// Texts trained on a second of wall-clock time.
    pub samples_per_second: f64,
}

/// An evaluation of the validation split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Steps taken so far.
    pub step: u64,
    /// Passes over the training split so far.
    pub epoch: f64,
    /// What makes one evaluation better than another.
    pub metric: &'static str,
    /// Its value.
    pub value: f64,
    /// Whether it is the best so far.
    pub best: bool,
    /// All metrics that a recipe may choose from, by name.
    #[serde(serialize_with = "map")]
    pub metrics: Vec<(&'static str, f64)>,
    /// Wall-clock seconds it took.
    pub seconds: f64,
}

/// The run as it ends.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finish {
    /// Steps taken.
    pub step: u64,
    /// Whether training ended before its last step, for lack of improvement.
    pub early: bool,
    /// Step of the best evaluation; absent without a validation split.
    pub best_step: Option<u64>,
    /// What made it the best.
    pub metric: &'static str,
    /// Its value.
    pub best_value: Option<f64>,
    /// The folder of the model.
    #[serde(serialize_with = "lossy")]
    pub model: PathBuf,
}

/// A path as a string, whatever its bytes: a log must not fail at a folder's name.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

fn lossy_option<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(Path::to_string_lossy).serialize(serializer)
}

/// Pairs as an object, in their order.
fn map<S: Serializer>(pairs: &[(&str, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().copied())
}

/// Someone who wants to know.
pub trait Observer {
    /// Takes note of an event. Must not fail: what goes wrong here is no reason to stop training.
    fn event(&mut self, event: &Event);
}

/// Those who want to know, told in order.
#[derive(Default)]
pub struct Observers {
    list: Vec<Box<dyn Observer>>,
}

impl Observers {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, observer: impl Observer + 'static) -> Self {
        self.list.push(Box::new(observer));
        self
    }

    /// Tells all.
    pub fn event(&mut self, event: &Event) {
        for observer in &mut self.list {
            observer.event(event);
        }
    }
}
