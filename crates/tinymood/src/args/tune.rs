use clap::{Args, ValueEnum};

use super::{JudgingArgs, ModelArg, SplitArg};

/// What thresholds are tuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PolicyArg {
    /// One per label, tuned for its smoothed F1; rare labels lean on the model's own probabilities
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
    /// Mean of the labels' F1
    MacroF1,
}

/// `tinymood tune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Tune on a split that is not used for evaluation. Figures are printed for the split the thresholds
were tuned on, which are optimistic, and cross-validated (tuned on one half, evaluated on the
other, the mean of ten shuffles), which are not. Per-label thresholds fitted exactly to the split,
as they are often reported elsewhere, come last: they are more optimistic still, and are not saved.

Example:
  tinymood tune --model runs/x --policy global")]
pub struct TuneArgs {
    #[command(flatten)]
    pub model: ModelArg,
    #[command(flatten)]
    pub judging: JudgingArgs,
    /// Split to tune on
    #[arg(long, value_enum, default_value = "dev")]
    pub split: SplitArg,
    /// One threshold per label, or one for all
    #[arg(long, value_enum, default_value = "per-label")]
    pub policy: PolicyArg,
    /// What the global threshold maximises
    #[arg(long, value_enum, default_value = "micro_f1")]
    pub objective: ObjectiveArg,
    /// First calibrate probabilities: divide logits by one temperature, or by one per label, whichever
    /// has the lower log loss on rows it was not fitted on. If neither lowers it, or rows are too few,
    /// this is an error. Temperatures are saved in thresholds.json; tune without this flag to drop them
    #[arg(long)]
    pub calibrate: bool,
    /// Show the thresholds, and temperatures, without saving them
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}
