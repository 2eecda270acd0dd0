use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{JudgingArgs, ModelArg};

/// `tinymood export`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("form").required(true))]
#[command(after_help = "\
--int8: the exported folder is a model as any other to tinymood, a quarter of the size, and answers in \
int8 unless --precision says otherwise. Other tools do not read its weights.

--f32: 32-bit floats, as other tools read them, also of a model in int8. With cls pooling transformers \
opens the folder as it is; with mean pooling it opens the encoder.

Before int8 is written, the model is judged in f32 and in int8 on the validation split, each \
with thresholds tuned alike. Where int8 loses more than 0.3 points (0.003) of micro- or macro-F1, nothing is \
written, unless --force. Both sides are printed, and kept in the folder's config.json and README.md.

Examples:
  tinymood export --int8 --model runs/x --output x-int8
  tinymood export --f32 --output emotions          the bundled classifier as floats")]
pub struct ExportArgs {
    #[command(flatten)]
    pub model: ModelArg,
    /// Weights as 8-bit integers with a scale for each output; embeddings, one for each token
    #[arg(long, group = "form")]
    pub int8: bool,
    /// Bits of a word embedding's values, 2 to 8. The file keeps its size, and fewer make it smaller
    /// where it is compressed (archives, git, images of containers)
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=8), conflicts_with = "f32")]
    pub embedding_bits: u32,
    /// Weights as 32-bit floats
    #[arg(long, group = "form", conflicts_with_all = ["data", "force", "json"])]
    pub f32: bool,
    /// The folder to write; it must not exist
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,
    /// Whose validation split judges
    #[command(flatten)]
    pub judging: JudgingArgs,
    /// Write the folder whatever the judgement; it is kept there all the same
    #[arg(long)]
    pub force: bool,
    /// Print the judgement as one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}
