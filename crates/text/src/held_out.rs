//! A dev split out of train rows, where data has none of its own.
//!
//! Which rows are held out depends on the texts alone: on no seed, and not on the order of the rows. So whoever
//! names the same data and the same share gets the same split, and texts that stand twice are on one side.

use std::collections::HashMap;

use tinymood_hub::sha256;

use crate::{DataError, Dataset};

impl Dataset {
    /// The rows to train on, and `share` of them held out: at least one, and never all.
    ///
    /// # Errors
    /// When there are no two different texts.
    pub fn hold_out(self, share: f64) -> Result<(Self, Self), DataError> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for example in &self.examples {
            *counts.entry(&example.text).or_default() += 1;
        }
        if counts.len() < 2 {
            return Err(DataError::NothingToHoldOut(self.path));
        }
        let mut texts: Vec<(String, usize)> =
            counts.into_iter().map(|(text, count)| (sha256(text.as_bytes()), count)).collect();
        texts.sort_unstable();
        let wanted = (share * self.examples.len() as f64).round() as usize;
        let (mut rows, mut last) = (0, "");
        for (digest, count) in &texts[..texts.len() - 1] {
            if rows >= wanted.max(1) {
                break;
            }
            (rows, last) = (rows + count, digest.as_str());
        }
        let is_held_out = |text: &str| sha256(text.as_bytes()).as_str() <= last;
        let Self { path, labels, examples, bad_rows, reading } = self;
        let (dev, train) = examples.into_iter().partition(|row| is_held_out(&row.text));
        let dev = Self {
            path: path.clone(),
            labels: labels.clone(),
            examples: dev,
            bad_rows: Vec::new(),
            reading: reading.clone(),
        };
        Ok((Self { path, labels, examples: train, bad_rows, reading }, dev))
    }
}
