//! What a run learns, apart from how runs go: labels, or a teacher's hidden states.

use std::path::Path;

use tinymood_core::{Engine, EngineError, PackedBatch, Randomness};

use crate::error::TrainError;
use crate::judging::JudgeError;

/// The part of a run that knows what is learned. The trainer knows the rest: order, schedule,
/// checkpoints, and when to do what.
pub(crate) trait Lesson<E: Engine> {
    /// Adds the gradient of a micro-batch; its rows are those of the run's texts.
    fn accumulate(
        &mut self,
        engine: &mut E,
        batch: &PackedBatch,
        rows_in_step: usize,
        randomness: Randomness,
    ) -> Result<f64, EngineError>;

    /// Rows of the validation split, where there is one.
    fn validation_rows(&self) -> Option<usize>;

    /// Judges the validation split with the engine as it stands. Called only where there is one.
    fn judge(&mut self, engine: &E) -> Result<Verdict, JudgeError>;

    /// Writes the model as it stands, as the last verdict found it to be.
    fn save_model(&mut self, engine: &mut E, path: &Path) -> Result<(), TrainError>;
}

/// What a validation split says.
pub(crate) struct Verdict {
    /// The recipe's metric.
    pub(crate) value: f64,
    /// All metrics, by name.
    pub(crate) metrics: Vec<(&'static str, f64)>,
}
