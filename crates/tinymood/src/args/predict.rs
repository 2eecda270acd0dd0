use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tinymood_text::{Format, TextFormat};

use super::{ModelArg, TaxonomyArg, parse_share};

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// For people
    Table,
    /// One JSON object a line
    Jsonl,
    /// With a header
    Csv,
}

/// What the texts stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputFormatArg {
    /// One text a line
    Lines,
    /// With a header; commas, semicolons or tabs
    Csv,
    /// Tabs; with a header where --text-column stands in the first line, else the first column
    Tsv,
    /// One JSON object a line
    Jsonl,
}

impl From<InputFormatArg> for TextFormat {
    fn from(arg: InputFormatArg) -> Self {
        match arg {
            InputFormatArg::Lines => Self::Lines,
            InputFormatArg::Csv => Self::Rows(Format::Csv),
            InputFormatArg::Tsv => Self::Rows(Format::Tsv),
            InputFormatArg::Jsonl => Self::Rows(Format::Jsonl),
        }
    }
}

/// `tinymood predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each text gets one row, also when no label reaches its threshold (an empty list) and when the row \
could not be read (the row says why, and the exit status is 1).

Examples:
  tinymood predict \"thank you so much!\" \"who knows\"
  tinymood predict --input comments.csv --text-column body --format csv > emotions.csv
  tinymood predict --input a.csv --input b.csv --keep-columns --output emotions.csv
  cat lines.txt | tinymood predict --format jsonl --taxonomy ekman
  cat comments.csv | tinymood predict --input-format csv --text-column body
  tinymood predict --explain --format jsonl \"thank you so much!\" | jq .explanation")]
pub struct PredictArgs {
    /// Texts; without any, and without --input, standard input is read, one text a line
    #[arg(value_name = "TEXT", conflicts_with = "input")]
    pub texts: Vec<String>,
    #[command(flatten)]
    pub model: ModelArg,
    /// A file of texts: .csv (with header), .tsv (without one, the first column), .jsonl, else one text a
    /// line, any of them also as .gz; - for standard input. Of several, read one after another, rows are
    /// counted on, and each tells its file (jsonl, csv)
    #[arg(long, short, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// What the input is, whatever its name [default: as the name ends; standard input: lines]
    #[arg(long, value_enum, conflicts_with = "texts")]
    pub input_format: Option<InputFormatArg>,
    /// Column or field of the text [default: text]
    #[arg(long, value_name = "NAME", conflicts_with = "texts")]
    pub text_column: Option<String>,
    /// Pass on the other columns or fields of csv, tsv (with a header) and jsonl (to jsonl or csv, which has
    /// those of JSONL's first row). One named like ours begins with input_: input_labels
    #[arg(long, conflicts_with = "texts")]
    pub keep_columns: bool,
    /// Where to write; - for standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// How to write [default: table on a terminal, csv into a file of that name, else jsonl]
    #[arg(long, short, value_enum)]
    pub format: Option<FormatArg>,
    /// The same as --format jsonl
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Add the scores of all labels
    #[arg(long)]
    pub scores: bool,
    /// Add which words carried each label, and how far its logit drops without them (table, jsonl)
    #[arg(long)]
    pub explain: bool,
    /// The K highest labels, whether or not they reach their thresholds
    #[arg(long, value_name = "K", value_parser = parse_count, conflicts_with = "at_least_one")]
    pub top_k: Option<usize>,
    /// One threshold for all labels, instead of the model's own
    #[arg(long, value_name = "X", value_parser = parse_share)]
    pub threshold: Option<f32>,
    /// Where no label reaches its threshold, give the best one
    #[arg(long)]
    pub at_least_one: bool,
    /// Roll the labels up into coarser ones
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
