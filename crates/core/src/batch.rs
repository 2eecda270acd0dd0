//! Packed batches: the tokens of several texts end to end, never padded.

use crate::ModelConfig;

/// One text as token ids, special tokens included, already truncated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenizedText {
    /// Token ids: `[CLS] … [SEP]`.
    pub ids: Vec<u32>,
    /// How many tokens the text has before truncation, special tokens included.
    pub full_length: usize,
}

impl TokenizedText {
    /// Whether tokens were cut off.
    pub fn is_truncated(&self) -> bool {
        self.full_length > self.ids.len()
    }
}

/// What is wrong with a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A text has no tokens at all, not even special ones.
    #[error("row {row} has no tokens")]
    Empty {
        /// Row of the dataset.
        row: usize,
    },
    /// A text is longer than the model has positions for.
    #[error("row {row} has {length} tokens, the model has {limit} positions")]
    TooLong {
        /// Row of the dataset.
        row: usize,
        /// Its length in tokens.
        length: usize,
        /// `max_position_embeddings`.
        limit: usize,
    },
    /// A token id that the model has no embedding for.
    #[error("row {row} holds token id {token}, the model's vocabulary ends at {}", vocab_size - 1)]
    TokenOutOfRange {
        /// Row of the dataset.
        row: usize,
        /// The offending id.
        token: u32,
        /// `vocab_size`.
        vocab_size: usize,
    },
    /// Targets and texts differ in number, or labels do.
    #[error("targets are {found_rows} x {found_labels}, the batch needs {rows} x {labels}")]
    TargetShape {
        /// Rows in the targets.
        found_rows: usize,
        /// Labels in the targets.
        found_labels: usize,
        /// Texts in the batch.
        rows: usize,
        /// Labels of the model.
        labels: usize,
    },
}

/// Texts packed end to end. `B` texts, `T` tokens in all.
///
/// The position of a token is its offset within its text; all token types are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedBatch {
    /// All token ids; (T).
    token_ids: Vec<u32>,
    /// Where each text starts, and the end of the last; (B + 1), first is 0.
    cumulative_lengths: Vec<u32>,
    /// The dataset row of each text, for messages; (B).
    rows: Vec<usize>,
}

impl Default for PackedBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl PackedBatch {
    /// A batch without texts.
    pub fn new() -> Self {
        Self { token_ids: Vec::new(), cumulative_lengths: vec![0], rows: Vec::new() }
    }

    /// Packs texts; `rows` names each one's dataset row.
    pub fn pack<'a>(texts: impl IntoIterator<Item = (usize, &'a TokenizedText)>) -> Self {
        let mut batch = Self::new();
        for (row, text) in texts {
            batch.push(row, &text.ids);
        }
        batch
    }

    /// Appends one text.
    ///
    /// # Panics
    /// When the batch would hold more than `u32::MAX` tokens.
    pub fn push(&mut self, row: usize, ids: &[u32]) {
        self.token_ids.extend_from_slice(ids);
        let end = u32::try_from(self.token_ids.len()).expect("a batch has fewer than 2^32 tokens");
        self.cumulative_lengths.push(end);
        self.rows.push(row);
    }

    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.token_ids.clear();
        self.cumulative_lengths.truncate(1);
        self.rows.clear();
    }

    /// `B`, the number of texts.
    pub fn num_texts(&self) -> usize {
        self.rows.len()
    }

    /// `T`, the number of tokens.
    pub fn num_tokens(&self) -> usize {
        self.token_ids.len()
    }

    /// All token ids; (T).
    pub fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    /// Where each text starts, and the end of the last; (B + 1).
    pub fn cumulative_lengths(&self) -> &[u32] {
        &self.cumulative_lengths
    }

    /// The dataset row of each text; (B).
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// The token range of each text, in order.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = std::ops::Range<usize>> + '_ {
        self.cumulative_lengths.windows(2).map(|pair| pair[0] as usize..pair[1] as usize)
    }

    /// Length of the longest text in tokens; 0 for an empty batch.
    pub fn longest(&self) -> usize {
        self.ranges().map(|range| range.len()).max().unwrap_or(0)
    }

    /// Checks that a model of this configuration can take the batch.
    ///
    /// # Errors
    /// The first text that is empty, too long, or holds an id outside the vocabulary.
    pub fn check(&self, config: &ModelConfig) -> Result<(), BatchError> {
        for (range, &row) in self.ranges().zip(&self.rows) {
            if range.is_empty() {
                return Err(BatchError::Empty { row });
            }
            if range.len() > config.max_position_embeddings {
                let limit = config.max_position_embeddings;
                return Err(BatchError::TooLong { row, length: range.len(), limit });
            }
            let too_large = |&&token: &&u32| token as usize >= config.vocab_size;
            if let Some(&token) = self.token_ids[range].iter().find(too_large) {
                let vocab_size = config.vocab_size;
                return Err(BatchError::TokenOutOfRange { row, token, vocab_size });
            }
        }
        Ok(())
    }
}

/// What each text should be given: (B, C), each value 0..=1 (multi-hot, or soft).
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// Row-major values; (B, C).
    pub values: Vec<f32>,
    /// `C`.
    pub num_labels: usize,
}

impl Targets {
    /// Number of rows, `B`.
    pub fn num_rows(&self) -> usize {
        self.values.len() / self.num_labels.max(1)
    }

    /// Checks that the targets belong to `batch`.
    ///
    /// # Errors
    /// [`BatchError::TargetShape`].
    pub fn check(&self, batch: &PackedBatch, num_labels: usize) -> Result<(), BatchError> {
        if self.num_labels == num_labels && self.values.len() == batch.num_texts() * num_labels {
            return Ok(());
        }
        Err(BatchError::TargetShape {
            found_rows: self.num_rows(),
            found_labels: self.num_labels,
            rows: batch.num_texts(),
            labels: num_labels,
        })
    }
}

/// What the model answers before sigmoid or softmax; (B, C).
/// [`ProblemType::probabilities`](crate::ProblemType::probabilities) makes probabilities of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logits {
    /// Row-major values; (B, C).
    pub values: Vec<f32>,
    /// `C`.
    pub num_labels: usize,
}

impl Logits {
    /// The logits of each text, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.num_labels.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ids: &[u32]) -> TokenizedText {
        TokenizedText { ids: ids.to_vec(), full_length: ids.len() }
    }

    #[test]
    fn packs_end_to_end() {
        let (a, b) = (text(&[1, 2, 3]), text(&[4]));
        let batch = PackedBatch::pack([(7, &a), (9, &b)]);
        assert_eq!(batch.token_ids(), [1, 2, 3, 4]);
        assert_eq!(batch.cumulative_lengths(), [0, 3, 4]);
        assert_eq!(batch.rows(), [7, 9]);
        assert_eq!(batch.longest(), 3);
    }

    #[test]
    fn check_names_the_row() {
        let config = ModelConfig {
            vocab_size: 5,
            max_position_embeddings: 2,
            ..ModelConfig::preset("4L-312D").unwrap()
        };
        let check = |ids: &[u32]| PackedBatch::pack([(3, &text(ids))]).check(&config);
        assert_eq!(check(&[4, 0]), Ok(()));
        assert_eq!(check(&[]), Err(BatchError::Empty { row: 3 }));
        assert_eq!(check(&[0, 0, 0]), Err(BatchError::TooLong { row: 3, length: 3, limit: 2 }));
        assert_eq!(
            check(&[5]),
            Err(BatchError::TokenOutOfRange { row: 3, token: 5, vocab_size: 5 })
        );
    }
}
