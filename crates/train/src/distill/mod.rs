//! Distillation: a smaller student learns to give the hidden states of a larger teacher.
//!
//! ```text
//! student  the student's tensors before the first step, cut from the teacher's
//! ```

mod student;

pub use student::{Basis, SecondMoment, StudentError, default_layers, student_from_teacher};
