//! Distillation: a small student takes over what a larger teacher of the same vocabulary has learned
//! (TinyBERT: Jiao et al., 2020; MiniLMv2: Wang et al., 2021).
//!
//! ```text
//! student  the student's tensors before the first step, cut from the teacher's
//! states   learning the teacher's hidden states and self-attention relations
//! ```

mod states;
mod student;

pub use states::{DistillInputs, distill, hidden_states};
pub use student::{Basis, SecondMoment, StudentError, default_layers, student_from_teacher};
