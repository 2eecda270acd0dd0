//! What ends training before its time.

use std::path::PathBuf;

use tinymood_core::EngineError;
use tinymood_weights::WeightsError;

use crate::checkpoint::CheckpointError;
use crate::judging::JudgeError;
use crate::recipe::RecipeError;
use crate::run_folder::RunFolderError;

/// What ends training before its time.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A split without rows.
    #[error("the {split} split is empty")]
    Empty {
        /// Which split.
        split: &'static str,
    },
    /// The engine was made for another number of labels.
    #[error("the model has {engine} outputs, the data has {labels} labels")]
    Labels {
        /// Outputs of the engine.
        engine: usize,
        /// Labels of the data.
        labels: usize,
    },
    /// Texts and targets differ in number.
    #[error("the {split} split has {found} targets, expected {rows} x {labels}")]
    Targets {
        /// Which split.
        split: &'static str,
        /// Values there are.
        found: usize,
        /// Its texts.
        rows: usize,
        /// `C`.
        labels: usize,
    },
    /// The recipe does not fit the data.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The run's folder cannot be used.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A run is resumed with something else than it began with.
    #[error("the run began with {field:?} = {saved}, now it is {now}")]
    Different {
        /// The name of what differs.
        field: String,
        /// Its value in the checkpoint.
        saved: String,
        /// Its value now.
        now: String,
    },
    /// A run is resumed with other data than it began with.
    #[error("the run began with other data: texts or labels of {split} have changed")]
    OtherData {
        /// `train`, `validation`, or `texts`.
        split: String,
    },
    /// The engine refuses a batch or tensors.
    #[error("the engine cannot go on at step {step}")]
    Engine {
        /// The step under way, 1 for the first.
        step: u64,
        /// Why.
        #[source]
        source: EngineError,
    },
    /// The validation split cannot be judged.
    #[error("the validation split cannot be judged after step {step}")]
    Judge {
        /// Steps taken so far.
        step: u64,
        /// Why.
        #[source]
        source: JudgeError,
    },
    /// The model cannot be written.
    #[error("the model cannot be saved in {path:?}")]
    Save {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<WeightsError>,
    },
    /// A loss or gradient that is no number. The step was not taken.
    #[error("the {what} of step {step} is not finite; its batch holds {}", batch(rows, lines))]
    NonFinite {
        /// Loss or gradient norm.
        what: &'static str,
        /// The step, 1 for the first.
        step: u64,
        /// Rows of the training split, from 0.
        rows: Vec<usize>,
        /// The lines of its file that they came from, from 1; empty where unknown.
        lines: Vec<usize>,
    },
}

impl TrainError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NonFinite { .. } => Some(
                "begin a new run with a smaller learning rate, more warm-up, or max_grad_norm = 1: \
                 a run is resumed only with the settings that it began with",
            ),
            Self::Different { .. } => {
                Some("resume with what the run began with, or begin a new run under another name")
            }
            Self::OtherData { .. } => {
                Some("give the files back as they were, or begin a new run under another name")
            }
            Self::Folder(error) => error.hint(),
            Self::Save { .. } | Self::Checkpoint(_) => {
                Some("see that the disk is not full; the checkpoint before is untouched")
            }
            _ => None,
        }
    }
}

/// Lines of the file where they are known, rows otherwise.
fn batch(rows: &[usize], lines: &[usize]) -> String {
    let (what, numbers) = if lines.is_empty() { ("rows", rows) } else { ("lines", lines) };
    let listed = numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    format!("{what} {listed}")
}
