//! The CPU engine: a BERT encoder with a classification head, forward and backward over packed
//! batches, and AdamW, behind the [`tinymood_core::Engine`] interface.
//!
//! ```text
//! layout       one arena for all parameters, named ranges into it
//! packed       weights as the matrix kernels want them, refreshed after each update
//! activations  the workspace: sized by the largest batch seen, never allocated inside a step
//! encoder      embeddings, attention, feed-forward: forward and backward side by side
//! head         pooling and classifier
//! losses       cross-entropy, focal, asymmetric: value and slope
//! matching     what a student takes from its teacher's hidden states and attention
//! profile      where the time of a step goes
//! cpu_engine   the interface
//! ```

#![forbid(unsafe_code)]

mod activations;
mod cpu_engine;
mod encoder;
mod head;
mod layout;
pub mod losses;
mod matching;
mod packed;
mod profile;

pub use cpu_engine::{CpuEngine, CpuEngineError, CpuSettings};
pub use profile::Part;
