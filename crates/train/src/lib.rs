//! Training: recipes, the loop, checkpoints, run folders, and those who watch.
//!
//! ```text
//! recipe       what a person writes: TOML by name or by path, flags on top
//!   choices    the settings that are a choice of words
//! settings     a recipe that has been checked
//! schedule     the learning rate of each step
//! objective    the loss, with what depends on the training data
//! order        the batches of each epoch
//! probe        a new classifier, learned alone
//! trainer      the loop
//!   lesson     what is learned, apart from how runs go
//!   labels     learning labels
//!   judging    the validation split on the way
//!   model_card the README.md beside the model
//! distill      a small student learns a teacher's hidden states
//!   student    its tensors before the first step
//!   states     the lesson
//! soft_labels  what teachers say of texts, as targets and as a file
//! augment      altered copies of texts, for teachers to label
//! checkpoint   all that a resumed run needs to end in the very same bytes
//!   fingerprint  what must not change in between
//! machine      on which machine, in words
//! run_folder   who may write, what is where, whether there is room
//! event        what training tells
//!   observers  progress, log.jsonl, TensorBoard
//! ```
//!
//! Generic over [`Engine`](tinymood_core::Engine); no engine is named here. Nothing is printed:
//! whoever wants to know is an [`Observer`].
//!
//! ```text
//! RunFolder::create(path, &saved)?            or  RunFolder::open(path)? to resume
//! train(&mut engine, &TrainInputs { … }, &mut Observers::new().with(Progress::new(style)))?
//! ```

#![forbid(unsafe_code)]

mod augment;
mod checkpoint;
mod choices;
pub mod distill;
mod error;
mod event;
mod fingerprint;
mod judging;
mod labels;
mod lesson;
mod machine;
mod model_card;
mod objective;
mod observers;
mod order;
mod probe;
mod recipe;
mod run_folder;
mod schedule;
mod settings;
mod soft_labels;
mod trainer;

pub use augment::Neighbours;
pub use checkpoint::{Best, Checkpoint, CheckpointError, State, read as read_checkpoint};
pub use choices::{
    CheckpointEvery, ClassifierBias, DropoutRecipe, EpochWord, EvaluateEvery, EvaluationWord,
    LossRecipe, Metric, PosWeightPolicy, PosWeightRecipe, ScheduleKind, ThresholdRecipe,
    TunedThresholds,
};
pub use error::TrainError;
pub use event::{Event, Finish, Judged, Observer, Observers, Start, Tick, Window};
pub use judging::JudgeError;
pub use model_card::{Figures, MEAN_POOLING_NOTE, ModelCardFacts, is_generated_card, model_card};
pub use objective::{objective, prior_bias};
pub use observers::{Meter, Progress, ProgressStyle, ScalarWriter, masked_crc32c};
pub use order::{BatchPlan, draw_rows};
pub use probe::{Probe, ProbeSettings, linear_probe};
pub use recipe::{NAMED_RECIPES, Recipe, RecipeError, RecipeOverrides};
pub use run_folder::{RunFolder, RunFolderError, SavedSettings};
pub use schedule::Schedule;
pub use settings::TrainSettings;
pub use soft_labels::{
    SoftLabelsError, Unfinished, mix, read_soft_labels, read_unfinished, write_soft_labels,
    write_unfinished,
};
pub use trainer::{Outcome, SplitView, TrainInputs, train};
