use std::path::PathBuf;

use clap::{Args, value_parser};

/// Who else says what labels texts have.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Teachers")]
pub struct TeachingArgs {
    /// A trained model to learn from: a run, a model folder, a hub id, or `bundled`, the classifier that
    /// comes with tinymood; of several, the mean of their probabilities is learned. Targets move to it by --teacher-weight
    #[arg(long, value_name = "MODEL")]
    pub teacher: Vec<String>,
    /// Texts for the teachers to label, in which labels are not looked at: one a line, .csv, .tsv or
    /// .jsonl, also as .gz; may be given several times
    #[arg(long, value_name = "FILE")]
    pub unlabelled: Vec<PathBuf>,
    /// Column or field of the text in these files [default: that of --text-column]
    #[arg(long, value_name = "NAME", requires = "unlabelled")]
    pub unlabelled_column: Option<String>,
    /// How many of these texts are used, drawn by the seed; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0, requires = "unlabelled")]
    pub unlabelled_rows: usize,
    /// How many altered copies of each training text the teachers label: words that are one token give
    /// way with probability 0.4 to one of the 15 nearest in --init's word embeddings (as TinyBERT does); at most 100
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u8).range(..=100))]
    pub augment: u8,
}
