use clap::{Args, Subcommand};

use super::{DatasetArgs, SplitArg, TaxonomyArg};

/// `tinymood data`.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// What to do with data.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Show rows, labels, lengths, truncation and duplicates
    Stats(StatsArgs),
    /// Download GoEmotions into the cache and verify it
    Fetch {
        /// Download the test split too
        #[arg(long)]
        test: bool,
    },
    /// Print rows of a split as parsed, one JSON object per line, and how their labels were read
    Show {
        #[command(flatten)]
        dataset: DatasetArgs,
        /// Which split
        #[arg(long, value_enum, default_value = "train")]
        split: SplitArg,
        /// How many rows
        #[arg(long, value_name = "N", default_value_t = 10)]
        rows: usize,
    },
}

/// `tinymood data stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Count coarser labels
    #[arg(long, value_enum, default_value = "original")]
    pub taxonomy: TaxonomyArg,
    /// Maximum text length in tokens
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub max_length: usize,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}
