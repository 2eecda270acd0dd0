use std::path::PathBuf;

use clap::Args;

use super::StepArgs;

/// `tinymood distill`.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
The student learns the hidden states of its teacher, layer for layer, from plain text: labels are not \
needed. It starts from the teacher itself: embeddings, heads and neurons cut to its own size. What comes \
of it is an encoder to fine-tune. For a student of a fine-tuned teacher, fine-tune it with \
`tinymood train --init RUN/best`.

With `--relation-weight` the student's last layer also learns the self-attention relations of one of the \
teacher's layers: which tokens of a text are alike in their queries, keys and values (MiniLMv2).

Examples:
  tinymood distill --teacher sentence-transformers/all-MiniLM-L6-v2 --texts texts.txt.gz
  tinymood distill --teacher bert-base-uncased --student 6L-384D --texts a.txt --texts b.jsonl --epochs 1
  tinymood distill --resume runs/distill-all-MiniLM-L6-v2
  tinymood train --data goemotions --init runs/distill-all-MiniLM-L6-v2")]
pub struct DistillArgs {
    /// Whose hidden states are learned: a run, a model folder, or a hub id
    #[arg(long, value_name = "MODEL", required_unless_present = "resume")]
    pub teacher: Option<String>,
    /// Texts to learn from: one a line, .tsv, .csv or .jsonl; may be given several times
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    pub texts: Vec<PathBuf>,
    /// Column or field of the text, in .csv, .jsonl and .tsv with a header
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub text_column: String,
    /// Pass over malformed rows instead of stopping at the first
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// The student's shape
    #[arg(long, value_name = "SHAPE", default_value = "4L-312D")]
    pub student: String,
    /// The teacher's layers that the student's follow, from 1, between commas
    /// [default: spread evenly up to the last]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub layers: Vec<usize>,
    /// Weight of the embeddings and of each layer but the last
    #[arg(long, value_name = "X", default_value_t = 0.5)]
    pub state_weight: f32,
    /// Weight of the last layer
    #[arg(long, value_name = "X", default_value_t = 3.0)]
    pub last_weight: f32,
    /// Weight of the direction of a text's mean
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub mean_weight: f32,
    /// Weight of the pooler, whose vector follows the teacher's mean
    #[arg(long, value_name = "X", default_value_t = 0.5)]
    pub pooler_weight: f32,
    /// Weight of the self-attention relations of the student's last layer; 0 for none
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub relation_weight: f32,
    /// Relation heads, into which queries, keys and values are cut anew; divides both hidden sizes
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub relation_heads: usize,
    /// The teacher's layer whose relations are learned, from 1 [default: its last]
    #[arg(long, value_name = "LAYER")]
    pub relation_layer: Option<usize>,
    /// `distill`, or a TOML file; flags below override it
    #[arg(long, value_name = "RECIPE", default_value = "distill")]
    pub recipe: String,
    /// The run's folder [default: runs/distill-TEACHER, numbered when it exists]
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Go on with a run that was stopped or killed; all settings come from its folder
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "teacher", "texts", "text_column", "skip_bad_rows", "student", "layers", "state_weight", "last_weight",
        "mean_weight", "pooler_weight", "relation_weight", "relation_heads", "relation_layer", "recipe", "output",
    ])]
    pub resume: Option<PathBuf>,

    #[command(flatten)]
    pub overrides: StepArgs,
}
