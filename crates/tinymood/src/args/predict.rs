use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ModelArg, TaxonomyArg, parse_share};

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// Human-readable
    Table,
    /// One JSON object per line
    Jsonl,
    /// Comma-separated, with a header
    Csv,
}

/// `tinymood predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each text gets one row, even if no label reaches its threshold (an empty list) or the row cannot be \
read (the row says why, and the exit status is 1).

Examples:
  tinymood predict \"thank you so much!\" \"who knows\"
  tinymood predict --input comments.csv --text-column body --format csv > emotions.csv
  cat lines.txt | tinymood predict --format jsonl --taxonomy ekman
  tinymood predict --explain --format jsonl \"thank you so much!\" | jq .explanation")]
pub struct PredictArgs {
    /// Texts; without any and without --input, reads standard input, one text per line
    #[arg(value_name = "TEXT", conflicts_with = "input")]
    pub texts: Vec<String>,
    #[command(flatten)]
    pub model: ModelArg,
    /// File of texts: .csv (with header), .tsv (first column if it has no header), .jsonl, otherwise one
    /// text per line; any of them also as .gz; - for standard input
    #[arg(long, short, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Name of the text column or field
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub text_column: String,
    /// File to write; - for standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Output format [default: table on a terminal, csv for a .csv file, else jsonl]
    #[arg(long, short, value_enum)]
    pub format: Option<FormatArg>,
    /// The same as --format jsonl
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Add the scores of all labels
    #[arg(long)]
    pub scores: bool,
    /// Add the words behind each label, and how far its logit drops without them (table, jsonl)
    #[arg(long)]
    pub explain: bool,
    /// Give the K highest labels, whether or not they reach their thresholds
    #[arg(long, value_name = "K", value_parser = parse_count, conflicts_with = "at_least_one")]
    pub top_k: Option<usize>,
    /// One threshold for all labels, instead of the model's own
    #[arg(long, value_name = "X", value_parser = parse_share)]
    pub threshold: Option<f32>,
    /// If no label reaches its threshold, give the highest one
    #[arg(long)]
    pub at_least_one: bool,
    /// Group the labels into coarser ones
    #[arg(long, value_enum, default_value = "original")]
    pub taxonomy: TaxonomyArg,
}

/// A number of 1 or more.
fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected a whole number above 0".to_owned()),
    }
}
