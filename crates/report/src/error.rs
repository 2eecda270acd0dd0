//! What can go wrong with a report.

use std::io;
use std::path::{Path, PathBuf};

use tinymood_eval::EvalError;
use tinymood_eval::paired::PairedError;
use tinymood_train::RunFolderError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The folder holds no run, or its settings cannot be read.
    #[error(transparent)]
    Run(#[from] RunFolderError),
    /// A file cannot be read or written.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Predictions that are no probabilities.
    #[error("the predictions of {run:?} cannot be judged")]
    Judge {
        /// The run's name.
        run: String,
        /// Why.
        #[source]
        source: EvalError,
    },
    /// Runs whose figures are of different rows.
    #[error("{first:?} and {second:?} were judged on different rows: {how}")]
    DifferentRows {
        /// The first run's name.
        first: String,
        /// The other's.
        second: String,
        /// What differs.
        how: String,
    },
    /// Two systems that the paired bootstrap refuses.
    #[error("{first:?} and {second:?} cannot be compared")]
    Paired {
        /// The first run's name.
        first: String,
        /// The other's.
        second: String,
        /// Why.
        #[source]
        source: PairedError,
    },
    /// More runs than colours and dashes can tell apart.
    #[error("{found} runs, and at most {most} can be told apart in one plot")]
    TooManyRuns {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A file beside the page that is no report's.
    #[error("{0:?} lies where the page has its figures, and is of no report")]
    InTheWay(PathBuf),
    /// A run named twice.
    #[error("the run {0:?} is named twice")]
    Twice(PathBuf),
    /// A plot that the library refuses to draw.
    #[error("cannot draw a plot: {0}")]
    Plot(String),
}

impl ReportError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Run(error) => error.hint(),
            Self::DifferentRows { .. } | Self::Paired { .. } => {
                Some("judge both on one split: train them with the same --data and --taxonomy")
            }
            Self::TooManyRuns { .. } => Some("compare fewer at a time"),
            Self::InTheWay(_) => {
                Some("give the page another name with --output, or move that file")
            }
            Self::Twice(_) => Some("name each run once"),
            Self::Io { .. } | Self::Judge { .. } | Self::Plot(_) => None,
        }
    }
}

/// A [`ReportError::Io`] of `action` on `path`.
pub(crate) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> ReportError + use<> {
    let path = path.to_owned();
    move |source| ReportError::Io { action, path, source }
}
