//! Why a file cannot be had.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What forbids to use the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// `--offline`.
    Flag,
    /// `HF_HUB_OFFLINE`.
    Environment,
}

impl fmt::Display for Offline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "--offline",
            Self::Environment => "HF_HUB_OFFLINE",
        })
    }
}

/// Why a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No home folder to keep a cache in.
    #[error("there is no home folder to keep a cache in")]
    NoHome {
        /// What names another folder.
        hint: &'static str,
    },
    /// The thing is not in the cache and the network is not to be used.
    #[error("{what} is not in the cache ({cache:?}), and {by} forbids to fetch it")]
    Offline {
        /// What was asked for.
        what: String,
        /// Where it was looked for.
        cache: PathBuf,
        /// What forbids it.
        by: Offline,
    },
    /// No answer, or one that broke off.
    #[error("cannot fetch {url}")]
    Network {
        /// The address.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer that comes too slowly to wait for.
    #[error("{url} comes too slowly: {received} bytes in {} seconds", waited.as_secs())]
    Slow {
        /// The address.
        url: String,
        /// Bytes that came in that time.
        received: u64,
        /// How long they were waited for.
        waited: Duration,
    },
    /// An answer that is no success.
    #[error("{url} answered {status}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// More bytes than such a file can have.
    #[error("{url} is larger than {limit} bytes, which it should not be")]
    TooLarge {
        /// The address.
        url: String,
        /// The most that was expected.
        limit: u64,
    },
    /// The file is another than the one expected.
    #[error("{url} has SHA-256 {found}, expected {expected}")]
    Checksum {
        /// The address.
        url: String,
        /// The sum of what came.
        found: String,
        /// The known sum.
        expected: String,
    },
    /// A name that is no hub id.
    #[error(
        "{0:?} is neither a folder nor a hub id of the form organisation/name or organisation/name@revision"
    )]
    Id(String),
    /// The repository lacks something.
    #[error("the model {id} has no {file}")]
    Missing {
        /// The hub id.
        id: String,
        /// What it lacks.
        file: &'static str,
    },
    /// The repository's weights are spread over several files.
    #[error("the model {id} has its weights in several files ({index}), which is not supported")]
    Sharded {
        /// The hub id.
        id: String,
        /// The file that lists them.
        index: String,
    },
    /// The repository's weights are of other programs.
    #[error("the model {id} has no model.safetensors or pytorch_model.bin, only {others}")]
    OtherWeights {
        /// The hub id.
        id: String,
        /// The first of the files that it has.
        others: String,
    },
    /// The cache holds something that cannot be read.
    #[error("cannot read {path:?} in the hub's cache")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file of the hub's token cannot be read.
    #[error("cannot read the hub's token in {path:?}")]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The cache cannot be written.
    #[error("cannot write {path:?}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl HubError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoHome { hint } => hint,
            Self::Offline { by: Offline::Flag, .. } => {
                "run once without --offline where there is a network, or give a local folder"
            }
            Self::Offline { by: Offline::Environment, .. } => {
                "run once without HF_HUB_OFFLINE where there is a network, or give a local folder"
            }
            Self::Network { .. } => {
                "is there a network? folders that are here work without one, and so do the bundled \
                 sample and models"
            }
            Self::Slow { .. } => {
                "try again later, or fetch the files by other means and name the folder they are in"
            }
            Self::Status { status: 401 | 403, .. } => {
                "the hub wants to know who asks: set HF_TOKEN or log in with its own tools, and check the spelling of the id"
            }
            Self::Status { status: 404, .. } | Self::Missing { .. } => {
                "check the spelling of the id, and of the revision behind its @"
            }
            Self::Status { .. } => "try again later",
            Self::Checksum { .. } => {
                "the download is damaged or the file has changed at its source; try again"
            }
            Self::Id(_) => "local folders need an existing path; random weights are random:4L-312D",
            Self::Sharded { .. } => {
                "download it, load it with transformers, and save it in one file: \
                 model.save_pretrained(folder, max_shard_size=\"100GB\")"
            }
            Self::OtherWeights { .. } => {
                "name a model with PyTorch weights, or convert it with the library that made it: \
                 model.save_pretrained(folder) of transformers writes model.safetensors"
            }
            Self::Unreadable { .. } => "remove it from the cache, so that it is fetched again",
            Self::Token { .. } => "log in again with the hub's own tools, or set HF_TOKEN",
            Self::Io { .. } => {
                "name folders that may be written to: models are kept in HF_HOME, data in --cache-dir"
            }
            Self::TooLarge { .. } => return None,
        })
    }
}
