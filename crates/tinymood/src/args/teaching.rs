use std::path::PathBuf;

use clap::{Args, value_parser};

use super::Utf8Path;

/// Who else says what labels texts have.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Teachers")]
pub struct TeachingArgs {
    /// Trained model to learn from: a run, a model folder, a hub id, or `bundled`, the classifier that
    /// comes with tinymood. Targets move toward its probabilities, or the mean of several teachers', by
    /// --teacher-weight
    #[arg(long, value_name = "MODEL")]
    pub teacher: Vec<String>,
    /// Texts for the teachers to label, ignoring any labels in the file: .csv, .tsv, .jsonl, .json, or
    /// one text per line, also as .gz; may be given several times
    #[arg(value_parser = Utf8Path, long, value_name = "FILE")]
    pub unlabelled: Vec<PathBuf>,
    /// Name of the text column or field in these files [default: that of --text-column]
    #[arg(long, value_name = "NAME", requires = "unlabelled")]
    pub unlabelled_column: Option<String>,
    /// How many of these texts to use, sampled with the seed; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0, requires = "unlabelled")]
    pub unlabelled_rows: usize,
    /// How many altered copies of each training text the teachers label, at most 100. In a copy, each
    /// single-token word is replaced with probability 0.4 by one of its 15 nearest neighbours in --init's
    /// word embeddings (similar to TinyBERT)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u8).range(..=100))]
    pub augment: u8,
}
