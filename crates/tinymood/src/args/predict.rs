use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tinymood_text::{Format, TextFormat};

use super::{EncodingArg, ModelArg, TaxonomyArg, parse_share};

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// Human-readable
    Table,
    /// One JSON object per line
    Jsonl,
    /// Comma-separated, with a header; the labels of a text in one cell
    Csv,
    /// CSV with a column per label, 1 where it holds and else 0: scikit-learn's indicator matrix
    CsvIndicators,
    /// CSV with a column per label, its probability
    CsvScores,
}

impl FormatArg {
    /// Whether it is a table between commas.
    pub fn is_csv(self) -> bool {
        matches!(self, Self::Csv | Self::CsvIndicators | Self::CsvScores)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::CsvIndicators => "csv-indicators",
            Self::CsvScores => "csv-scores",
        }
    }
}

/// What the texts stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputFormatArg {
    /// One text a line
    Lines,
    /// With a header; commas, semicolons or tabs
    Csv,
    /// Tab-separated; a first line that has --text-column is a header, else texts are in the first column
    Tsv,
    /// One JSON object a line
    Jsonl,
    /// An array of JSON objects or texts, or one object a line
    Json,
}

impl From<InputFormatArg> for TextFormat {
    fn from(arg: InputFormatArg) -> Self {
        match arg {
            InputFormatArg::Lines => Self::Lines,
            InputFormatArg::Csv => Self::Rows(Format::Csv),
            InputFormatArg::Tsv => Self::Rows(Format::Tsv),
            InputFormatArg::Jsonl => Self::Rows(Format::Jsonl),
            InputFormatArg::Json => Self::Rows(Format::Json),
        }
    }
}

/// `tinymood predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each text gets one row, even if no label reaches its threshold (an empty list) or the row cannot be \
read or is empty (the row says why, and the exit status is 1). A text that is longer than the model reads is marked \
as truncated.

In CSV, the labels of a text are in one cell, with commas between them; if the name of any label has a \
comma, these cells are JSON lists. tinymood reads all CSV formats back, and csv-scores as soft labels.

Examples:
  tinymood predict \"thank you so much!\" \"who knows\"
  tinymood predict --input comments.csv --text-column body --format csv > emotions.csv
  tinymood predict --input a.csv --input b.csv --keep-columns --output emotions.csv
  tinymood predict --input comments.csv --format csv-indicators --output indicators.csv
  cat lines.txt | tinymood predict --format jsonl --taxonomy ekman
  cat comments.csv | tinymood predict --input-format csv --text-column body
  tinymood predict --explain --format jsonl \"thank you so much!\" | jq .explanation")]
pub struct PredictArgs {
    /// Texts; without any and without --input, reads standard input, one text per line
    #[arg(value_name = "TEXT", conflicts_with = "input")]
    pub texts: Vec<String>,
    #[command(flatten)]
    pub model: ModelArg,
    /// File of texts: .csv (with header), .tsv (first column if it has no header), .jsonl, .json, otherwise
    /// one text per line; any of them also as .gz; - for standard input. Several files are read one after
    /// another: rows are counted over all of them, and jsonl and csv output names each row's file
    #[arg(long, short, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Format of the input [default: by file name; lines for standard input]
    #[arg(long, value_enum, conflicts_with = "texts")]
    pub input_format: Option<InputFormatArg>,
    /// Encoding of input without a byte order mark [default: utf-8]
    #[arg(long, value_enum, conflicts_with = "texts")]
    pub encoding: Option<EncodingArg>,
    /// Name of the text column or field [default: text]
    #[arg(long, value_name = "NAME", conflicts_with = "texts")]
    pub text_column: Option<String>,
    /// Write the input's columns or fields first, in their order and under their names, then tinymood's own,
    /// which are called tinymood_NAME if a name is taken, such as tinymood_labels. For csv, tsv (with a
    /// header), json and jsonl input, and jsonl or csv output (of JSON, csv takes the fields of the first row)
    #[arg(long, conflicts_with = "texts")]
    pub keep_columns: bool,
    /// File to write, named .csv or .jsonl, or anything with --format; - for standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Output format [default: table on a terminal, csv for a .csv file, else jsonl]
    #[arg(long, short, value_enum)]
    pub format: Option<FormatArg>,
    /// Put a ' before cells of csv that a spreadsheet would run as a formula: those that begin with =, +, -,
    /// @, a tab or a line break, and are not numbers. This changes the cells
    #[arg(long)]
    pub guard_formulas: bool,
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
