//! What `torch.save(state_dict)` writes, read without PyTorch and without executing anything.
//!
//! Two containers exist: a zip archive (PyTorch 1.6 and later) and a plain sequence of pickles
//! followed by the storages (before; TinyBERT's own weights are of that kind). Both describe their
//! tensors by a pickle, which is a program; [`pickle`] runs only the part of its language that
//! builds dictionaries, tuples and tensors, and refuses every other name.

mod legacy;
mod pickle;
mod storage;
mod zip;

use std::path::Path;

use crate::{TensorFile, WeightsError};

/// What went wrong within a file.
#[derive(Debug)]
pub(crate) enum Problem {
    /// Damaged, or not of a form that can be read.
    Contents(String),
    /// Asks for something else than tensors.
    Unsafe(String),
}

impl Problem {
    fn contents(problem: impl Into<String>) -> Self {
        Self::Contents(problem.into())
    }
}

/// How a zip archive begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// Whether bytes begin as `torch.save` writes them.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(ZIP) || bytes.starts_with(legacy::MAGIC)
}

/// Reads the bytes of a `.bin` file; `path` names it in errors.
///
/// # Errors
/// When they are not one, are damaged, or ask for anything but tensors to be built.
pub(crate) fn read(bytes: &[u8], path: &Path) -> Result<TensorFile, WeightsError> {
    let outcome = if bytes.starts_with(ZIP) { zip::read(bytes) } else { legacy::read(bytes) };
    outcome.map_err(|problem| match problem {
        Problem::Contents(problem) => WeightsError::Contents { path: path.to_owned(), problem },
        Problem::Unsafe(global) => WeightsError::Unsafe { path: path.to_owned(), global },
    })
}
