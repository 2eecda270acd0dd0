//! A whole split through an engine.

use tinymood_core::{EngineError, Infer, Logits, PackedBatch, TokenizedText};

/// Logits of all texts, in the order given; (N, C).
///
/// Texts are taken in order of length, so that a batch holds texts that take alike long, in batches
/// of at most `tokens_per_batch` tokens (at least one text).
///
/// # Errors
/// The first that the engine reports; rows count from 0.
pub fn infer_split<E: Infer + ?Sized>(
    engine: &E,
    texts: &[TokenizedText],
    tokens_per_batch: usize,
) -> Result<Logits, EngineError> {
    infer_split_with(engine, texts, tokens_per_batch, |_| {})
}

/// [`infer_split`] that tells `progress` how many texts are done after each batch.
///
/// # Errors
/// As [`infer_split`].
pub fn infer_split_with<E: Infer + ?Sized>(
    engine: &E,
    texts: &[TokenizedText],
    tokens_per_batch: usize,
    mut progress: impl FnMut(usize),
) -> Result<Logits, EngineError> {
    let num_labels = engine.num_labels();
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&row| texts[row].ids.len()); // stable: ties in row order
    let mut values = vec![0.0; texts.len() * num_labels];
    let mut batch = PackedBatch::new();
    let mut done = 0;
    while done < order.len() {
        batch.clear();
        for &row in &order[done..] {
            let tokens = batch.num_tokens() + texts[row].ids.len();
            if batch.num_texts() > 0 && tokens > tokens_per_batch {
                break;
            }
            batch.push(row, &texts[row].ids);
        }
        let logits = engine.infer(&batch)?;
        let expected = batch.num_texts() * num_labels;
        assert_eq!(logits.values.len(), expected, "an engine answers each text with each label");
        for (&row, found) in batch.rows().iter().zip(logits.rows()) {
            values[row * num_labels..(row + 1) * num_labels].copy_from_slice(found);
        }
        done += batch.num_texts();
        progress(done);
    }
    Ok(Logits { values, num_labels })
}

#[cfg(test)]
mod tests {
    use tinymood_core::ModelConfig;

    use super::*;

    /// Answers each text with its length and its first token.
    struct Echo {
        config: ModelConfig,
        limit: usize,
    }

    impl Infer for Echo {
        fn describe(&self) -> String {
            "echo".to_owned()
        }
        fn config(&self) -> &ModelConfig {
            &self.config
        }
        fn num_labels(&self) -> usize {
            2
        }
        fn infer(&self, batch: &PackedBatch) -> Result<Logits, EngineError> {
            assert!(batch.num_tokens() <= self.limit || batch.num_texts() == 1);
            let ids = batch.token_ids();
            let answer =
                |range: std::ops::Range<usize>| [range.len() as f32, ids[range.start] as f32];
            Ok(Logits { values: batch.ranges().flat_map(answer).collect(), num_labels: 2 })
        }
    }

    #[test]
    fn answers_in_the_order_given() {
        let text = |row: u32| {
            let length = (row * 7 % 13 + 1) as usize;
            TokenizedText { ids: vec![row; length], full_length: length }
        };
        let texts: Vec<_> = (0..40).map(text).collect();
        for limit in [1, 20, 1000] {
            let engine = Echo { config: ModelConfig::preset("4L-312D").unwrap(), limit };
            let mut seen = Vec::new();
            let logits = infer_split_with(&engine, &texts, limit, |done| seen.push(done)).unwrap();
            for (row, found) in logits.rows().enumerate() {
                assert_eq!(found, [texts[row].ids.len() as f32, row as f32]);
            }
            assert_eq!(seen.last(), Some(&40));
        }
    }
}
