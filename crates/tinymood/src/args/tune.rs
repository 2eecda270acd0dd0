use clap::{Args, ValueEnum};

use super::{JudgingArgs, ModelArg, SplitArg};

/// What thresholds are tuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PolicyArg {
    /// One for each label, for its F1; rare labels lean on the model's own expectation
    PerLabel,
    /// One for all labels
    Global,
}

/// What the global threshold is tuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ObjectiveArg {
    /// F1 over all decisions
    MicroF1,
    /// Mean F1 of the labels
    MacroF1,
}

/// `tinymood tune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Tune on a split that nothing else is judged on. The figures are those on the very split the
thresholds were tuned on, and beside them cross-validated ones (tuned on one half, judged on the
other), which do not flatter.

Example:
  tinymood tune --model runs/x --policy global")]
pub struct TuneArgs {
    #[command(flatten)]
    pub model: ModelArg,
    #[command(flatten)]
    pub judging: JudgingArgs,
    /// Which split
    #[arg(long, value_enum, default_value = "dev")]
    pub split: SplitArg,
    /// One threshold a label, or one for all
    #[arg(long, value_enum, default_value = "per-label")]
    pub policy: PolicyArg,
    /// What the global threshold is to make largest
    #[arg(long, value_enum, default_value = "micro_f1")]
    pub objective: ObjectiveArg,
    /// First scale the classifier's outputs so that probabilities mean what they say: by one
    /// temperature, one a label, or none, whichever does best on rows it was not fitted on. The
    /// model's weights are written anew
    #[arg(long, conflicts_with = "dry_run")]
    pub calibrate: bool,
    /// Show the thresholds without saving them
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}
