//! What is wrong with a weight file or model folder.

use std::io;
use std::path::PathBuf;

use tinymood_core::ConfigError;

/// Why weights cannot be read, fitted or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {path:?}")]
    Io {
        /// Read or write.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder is not there.
    #[error("{0:?} is no folder")]
    NoFolder(PathBuf),
    /// The folder has no `config.json`.
    #[error("{0:?} holds no config.json, so it is no model folder")]
    NoConfig(PathBuf),
    /// The folder has no weights, or only some that other programs read.
    #[error("{path:?} holds neither model.safetensors nor pytorch_model.bin{}", only(others))]
    NoWeights {
        /// The folder.
        path: PathBuf,
        /// The names of weight files that are there.
        others: Vec<String>,
    },
    /// The weights are spread over several files.
    #[error("{0:?} says that the weights are in several files, which is not supported")]
    Sharded(PathBuf),
    /// The configuration is wrong.
    #[error("{path:?} is no usable configuration")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ConfigError,
    },
    /// The file's contents are wrong.
    #[error("{path:?} is no usable weight file: {problem}")]
    Contents {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file asks for something else than tensors to be built.
    #[error(
        "{path:?} asks to build {global:?}, which is no tensor: refused, since it could run code"
    )]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// The module and name it asks for.
        global: String,
    },
    /// A tensor of the checkpoint does not have the model's shape.
    #[error("tensor {name:?} has shape {found:?}, the model needs {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// The checkpoint's.
        found: Vec<usize>,
        /// The model's.
        expected: Vec<usize>,
    },
    /// The checkpoint lacks parameters that cannot be new.
    #[error("the checkpoint lacks {} of the encoder's {total} tensors: {}", missing.len(), crate::fit::fold(missing))]
    Missing {
        /// Their names.
        missing: Vec<String>,
        /// How many the encoder has.
        total: usize,
    },
    /// Two tensors of the checkpoint mean the same parameter.
    #[error("the checkpoint holds {name:?} twice, as {first:?} and {second:?}")]
    Duplicate {
        /// The parameter.
        name: String,
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
}

/// What there is instead, for messages.
fn only(others: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = others.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match others.len() {
        0 => String::new(),
        1..=SHOWN => format!(", only {shown}"),
        more => format!(", only {shown} and {} more", more - SHOWN),
    }
}

impl WeightsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoConfig(_) | Self::NoFolder(_) => {
                "give a folder as transformers' save_pretrained or `tinymood train` writes it"
            }
            Self::NoWeights { others, .. }
                if others.iter().any(|it| it.starts_with("adapter_")) =>
            {
                "an adapter is no model: merge it with PEFT's merge_and_unload(), and save the result \
                 with save_pretrained(folder)"
            }
            Self::NoWeights { others, .. } if !others.is_empty() => {
                "save the model in PyTorch's form with the library that made it: \
                 model.save_pretrained(folder) of transformers writes model.safetensors"
            }
            Self::NoWeights { .. } | Self::Contents { .. } => {
                "fetch the file again from where it came from, or save the model again: \
                 model.save_pretrained(folder) of transformers writes model.safetensors"
            }
            Self::Sharded(_) => {
                "load it with transformers and save it with \
                 model.save_pretrained(folder, max_shard_size=\"100GB\")"
            }
            Self::Unsafe { .. } => {
                "if you trust the file, load it in Python and save it as model.safetensors"
            }
            Self::Missing { .. } => {
                "is this a BERT encoder? the configuration and the weights must be of one model"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
