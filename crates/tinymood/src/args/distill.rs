use std::path::PathBuf;

use clap::Args;

use super::{EncodingArg, StepArgs, Utf8Path};

/// `tinymood distill`.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
The student learns its teacher's hidden states, layer by layer, from plain text; no labels are needed. It \
starts as a cut of the teacher: its embeddings, heads and neurons, reduced to the student's size. The result \
is an encoder; fine-tune it with `tinymood train --init RUN/best`, even if the teacher was fine-tuned.

With `--relation-weight`, the student's last layer also learns the self-attention relations of one teacher \
layer: which tokens of a text have similar queries, keys and values (MiniLMv2).

Examples:
  tinymood distill --teacher sentence-transformers/all-MiniLM-L6-v2 --texts texts.txt.gz
  tinymood distill --teacher bert-base-uncased --student 6L-384D --texts a.txt --texts b.jsonl --epochs 1
  tinymood distill --resume runs/distill-all-MiniLM-L6-v2
  tinymood train --data goemotions --init runs/distill-all-MiniLM-L6-v2")]
pub struct DistillArgs {
    /// Model whose hidden states are learned: a run, a model folder, or a hub id
    #[arg(long, value_name = "MODEL", required_unless_present = "resume")]
    pub teacher: Option<String>,
    /// Texts to learn from: .tsv, .csv, .jsonl, .json, or one text per line; may be given several times
    #[arg(value_parser = Utf8Path, long, value_name = "FILE", required_unless_present = "resume")]
    pub texts: Vec<PathBuf>,
    /// Name of the text column or field, in .csv, .jsonl, .json and .tsv with a header
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub text_column: String,
    /// Encoding of files without a byte order mark [default: utf-8]
    #[arg(long, value_enum)]
    pub encoding: Option<EncodingArg>,
    /// Skip malformed rows instead of stopping at the first
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// The student's shape
    #[arg(long, value_name = "SHAPE", default_value = "4L-312D")]
    pub student: String,
    /// Teacher layers that the student's layers match, counted from 1, comma-separated
    /// [default: spread evenly up to the last]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub layers: Vec<usize>,
    /// Weight of the embeddings and of each layer except the last
    #[arg(long, value_name = "X", default_value_t = 0.5)]
    pub state_weight: f32,
    /// Weight of the last layer
    #[arg(long, value_name = "X", default_value_t = 3.0)]
    pub last_weight: f32,
    /// Weight of the direction of a text's mean vector
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub mean_weight: f32,
    /// Weight of the pooler, whose output matches the teacher's mean vector
    #[arg(long, value_name = "X", default_value_t = 0.5)]
    pub pooler_weight: f32,
    /// Weight of the self-attention relations of the student's last layer; 0 for none
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub relation_weight: f32,
    /// Relation heads that queries, keys and values are split into; must divide both hidden sizes
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub relation_heads: usize,
    /// Teacher layer whose relations are learned, counted from 1 [default: its last]
    #[arg(long, value_name = "LAYER")]
    pub relation_layer: Option<usize>,
    /// Recipe: `distill`, or a TOML file; flags below override it
    #[arg(long, value_name = "RECIPE", default_value = "distill")]
    pub recipe: String,
    /// Folder of the run [default: runs/distill-TEACHER, numbered if it exists]
    #[arg(value_parser = Utf8Path, long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Continue a run that was stopped or killed; all settings come from its folder
    #[arg(value_parser = Utf8Path, long, value_name = "RUN", conflicts_with_all = [
        "teacher", "texts", "text_column", "encoding", "skip_bad_rows", "student", "layers", "state_weight",
        "last_weight", "mean_weight", "pooler_weight", "relation_weight", "relation_heads", "relation_layer", "recipe", "output",
    ])]
    pub resume: Option<PathBuf>,

    #[command(flatten)]
    pub overrides: StepArgs,
}
