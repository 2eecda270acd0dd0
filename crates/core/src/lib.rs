//! What every stage of tinymood shares: the model's configuration and parameter list, label sets
//! and taxonomies, packed batches, and the interface between all of them and arithmetic, [`Infer`] and
//! [`Engine`].
//!
//! No I/O and no arithmetic live here, so that every other crate may depend on it.

#![forbid(unsafe_code)]

mod batch;
mod config;
mod decimal;
mod distillation;
mod engine;
mod id2label;
mod labels;
pub mod printable;
mod problem;
mod taxonomy;
mod tensor;

pub use batch::{BatchError, Logits, PackedBatch, Targets, TokenizedText};
pub use config::{ConfigError, ModelConfig, ParameterSpec, Pooling};
pub use decimal::shortest_decimal;
pub use distillation::{Matching, MatchingError, Projections, Relations, TeacherStates};
pub use engine::{
    BatchLoss, Engine, EngineError, Infer, Loss, Objective, Randomness, StepReport, TensorSet,
    Update,
};
pub use labels::{GOEMOTIONS, LabelError, LabelSet, MOST_LABELS};
pub use problem::ProblemType;
pub use taxonomy::{Taxonomy, TaxonomyError, TaxonomyMap};
pub use tensor::{Elements, Tensor, TensorMap, TensorView, Values};
