//! The arithmetic under the CPU engine, and all of tinymood's `unsafe` code: run-time CPU dispatch,
//! a thread pool, matrix multiplication, attention, and the kernels that run along rows.
//!
//! Functions here are safe to call: they check the sizes of what they are given. Every fast kernel
//! has a naive twin in its module's tests. Results depend on the instruction set and never on the
//! number of threads: work is split by output, so that each sum has one owner and one order.
//!
//! This crate knows nothing of emotions, texts or files.

pub mod adamw;
pub mod attention;
mod cpu;
pub mod distance;
pub mod dropout;
pub mod embedding;
mod heads;
pub mod lazy;
pub mod linear;
mod math;
pub mod matmul;
mod memory;
pub mod norm;
mod operand;
mod pool;
pub mod relations;
mod rows;

pub use cpu::{Cpu, Isa, IsaError, Precision};
pub use dropout::Dropout;
pub use matmul::PackedMatrix;
pub use memory::{Buffer, MappedFile, Zeroed, release_free_memory};
pub use operand::{Hidden, Operand, View};
