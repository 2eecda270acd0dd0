use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{JudgingArgs, ModelArg, Utf8Path};

/// `tinymood export`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("form").required(true))]
#[command(after_help = "\
--int8: tinymood opens the exported folder like any other model. It is a quarter of the size and runs in \
int8 unless --precision says otherwise. Other tools cannot read its weights.

--f32: 32-bit floats that other tools can read, also from an int8 model. With cls pooling, transformers \
opens the folder as it is; with mean pooling, it opens only the encoder.

Before int8 is written, the model is evaluated in f32 and in int8 on the validation split, each with \
thresholds tuned the same way. If int8 loses more than 0.3 points (0.003) of micro- or macro-F1, nothing is \
written without --force. Both results are printed, and stored in the folder's config.json and README.md.

Examples:
  tinymood export --int8 --model runs/x --output x-int8
  tinymood export --f32 --output emotions          the bundled classifier as floats")]
pub struct ExportArgs {
    #[command(flatten)]
    pub model: ModelArg,
    /// Write 8-bit integer weights with one scale per output; for embeddings, one per token
    #[arg(long, group = "form")]
    pub int8: bool,
    /// Bits per word-embedding value, 2 to 8. The file keeps its size, but fewer bits make it smaller
    /// when compressed (archives, git, container images)
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=8), conflicts_with = "f32")]
    pub embedding_bits: u32,
    /// Write weights as 32-bit floats
    #[arg(long, group = "form", conflicts_with_all = ["data", "force", "json"])]
    pub f32: bool,
    /// Folder to write; it must not exist
    #[arg(value_parser = Utf8Path, long, short, value_name = "DIR")]
    pub output: PathBuf,
    /// The data to evaluate on
    #[command(flatten)]
    pub judging: JudgingArgs,
    /// Write the folder whatever the evaluation says; the figures are stored all the same
    #[arg(long)]
    pub force: bool,
    /// Print the evaluation as one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}
