use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `tinymood bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The model: a folder, a hub id, or random:SHAPE
    #[arg(long, default_value = "random:4L-312D")]
    pub init: String,
    /// Dataset to take texts from: `sample`, `goemotions`, a file or a folder
    #[arg(long, default_value = "sample")]
    pub data: String,
    /// Texts per training step; several sizes are measured in turn
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "16", value_parser = parse_batch_size)]
    pub batch_size: Vec<usize>,
    /// What to measure
    #[arg(long, value_enum, default_value_t)]
    pub what: BenchWhat,
    /// Seconds per measurement
    #[arg(long, value_name = "X", default_value = "5", value_parser = parse_seconds)]
    pub seconds: f64,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
    /// Append the figures to a file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// `--what`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BenchWhat {
    /// Training and inference
    #[default]
    All,
    /// Training steps: forward, backward, clipping, AdamW
    Train,
    /// Inference from text to logits, for many texts and one at a time
    Infer,
}

fn parse_batch_size(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(size) if size > 0 => Ok(size),
        _ => Err("expected a whole number from 1".to_owned()),
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("expected a number of seconds above 0, at most 3600".to_owned()),
    }
}
