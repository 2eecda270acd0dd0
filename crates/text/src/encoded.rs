//! A split as token ids and targets: what training and judging read.

use tinymood_core::TokenizedText;

use crate::{Dataset, Tokenizer, TokenizerError};

/// A tokenized split.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedSplit {
    /// The texts; (N).
    pub texts: Vec<TokenizedText>,
    /// What each should be given, row-major; (N, C).
    pub targets: Vec<f32>,
    /// `C`.
    pub num_labels: usize,
    /// The line of the file that each row came from, from 1; (N).
    pub lines: Vec<usize>,
}

impl EncodedSplit {
    /// Tokenizes all texts of a split, on all cores.
    ///
    /// # Errors
    /// When the tokenizer fails; [`TokenizerError::Row`] for a text that it refuses.
    pub fn new(dataset: &Dataset, tokenizer: &Tokenizer) -> Result<Self, TokenizerError> {
        let texts: Vec<&str> =
            dataset.examples.iter().map(|example| example.text.as_str()).collect();
        let line = |line: u64| usize::try_from(line).unwrap_or(usize::MAX);
        let refused = |line: u64, error| TokenizerError::Row { line, source: Box::new(error) };
        let encoded = tokenizer.encode_each(&texts).into_iter().zip(&dataset.examples);
        let encoded = encoded.map(|(text, row)| text.map_err(|error| refused(row.line, error)));
        Ok(Self {
            texts: encoded.collect::<Result<_, _>>()?,
            targets: dataset.examples.iter().flat_map(|e| e.targets.iter().copied()).collect(),
            num_labels: dataset.labels.len(),
            lines: dataset.examples.iter().map(|example| line(example.line)).collect(),
        })
    }
}
