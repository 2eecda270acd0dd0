use clap::Args;

use super::{JudgingArgs, ModelArg, SplitArg, parse_resamples, parse_share};

/// `tinymood evaluate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tinymood evaluate                        the bundled classifier, on the sample's dev split
  tinymood evaluate --model latest         the newest run, on the dev split of its data
  tinymood evaluate --model runs/x --data goemotions --split test
  tinymood evaluate --threshold 0.3 --json | jq .macro_f1")]
pub struct EvaluateArgs {
    #[command(flatten)]
    pub model: ModelArg,
    #[command(flatten)]
    pub judging: JudgingArgs,
    /// Split to evaluate; a single file has only one
    #[arg(long, value_enum, default_value = "dev")]
    pub split: SplitArg,
    /// One threshold for all labels, instead of the model's own
    #[arg(long, value_name = "X", value_parser = parse_share)]
    pub threshold: Option<f32>,
    /// Bootstrap resamples for the confidence intervals, 0 for none
    #[arg(long, value_name = "N", default_value = "1000", value_parser = parse_resamples)]
    pub bootstrap: usize,
    /// Also evaluate `predict --explain`: delete the words it names, and as many random ones
    #[arg(long)]
    pub faithfulness: bool,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}
