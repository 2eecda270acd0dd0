//! What a dataset is like: counts, lengths, duplicates.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::{Dataset, EncodedSplit, Splits};

/// What a dataset is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// By the split's name.
    pub splits: BTreeMap<&'static str, SplitStats>,
    /// Texts that stand in two splits, by the splits' names (`dev, train`).
    pub duplicates_across: BTreeMap<String, usize>,
    /// Longest text in tokens.
    pub max_length: usize,
}

/// What a split is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitStats {
    /// Rows read.
    pub rows: usize,
    /// Malformed rows passed over.
    pub bad_rows: usize,
    /// How labels were read: `names`, `multi-hot vectors of 4`.
    pub label_form: String,
    /// Rows by their number of labels.
    pub labels_per_row: BTreeMap<usize, usize>,
    /// Rows by label, in label order.
    pub label_counts: Vec<(String, usize)>,
    /// Mean length in tokens, special ones included, before truncation.
    pub mean_length: f64,
    /// Length of the longest text.
    pub longest: usize,
    /// Rows by length.
    pub lengths: Vec<LengthBin>,
    /// Rows of which tokens are cut off.
    pub truncated: usize,
    /// Rows whose text stands earlier in the split.
    pub duplicates: usize,
}

/// Rows of similar length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LengthBin {
    /// Shortest length.
    pub from: usize,
    /// Longest length.
    pub to: usize,
    /// How many rows.
    pub rows: usize,
}

/// Upper ends of the length bins.
const BIN_ENDS: [usize; 9] = [8, 16, 24, 32, 48, 64, 96, 128, usize::MAX];

impl Stats {
    /// Counts. `encode` gives the tokens of a split.
    ///
    /// # Errors
    /// Those of `encode`.
    pub fn new<E>(
        splits: &Splits,
        max_length: usize,
        encode: impl Fn(&Dataset) -> Result<EncodedSplit, E>,
    ) -> Result<Self, E> {
        let mut stats = BTreeMap::new();
        let mut texts: Vec<(&'static str, HashMap<&str, usize>)> = Vec::new();
        let mut duplicates_across = BTreeMap::new();
        for (name, split) in splits.named() {
            let mut counts: HashMap<&str, usize> = HashMap::new();
            for example in &split.examples {
                *counts.entry(example.text.as_str()).or_default() += 1;
            }
            for (other, seen) in &texts {
                let both = counts.keys().filter(|text| seen.contains_key(**text)).count();
                duplicates_across.insert(format!("{other}, {name}"), both);
            }
            let duplicates = split.examples.len() - counts.len();
            stats.insert(name, split_stats(split, &encode(split)?, duplicates));
            texts.push((name, counts));
        }
        Ok(Self { splits: stats, duplicates_across, max_length })
    }
}

fn split_stats(split: &Dataset, encoded: &EncodedSplit, duplicates: usize) -> SplitStats {
    let mut labels_per_row = BTreeMap::new();
    let mut counts = vec![0; split.labels.len()];
    for example in &split.examples {
        let holding = example.targets.iter().enumerate().filter(|(_, target)| **target >= 0.5);
        let mut number = 0;
        for (label, _) in holding {
            counts[label] += 1;
            number += 1;
        }
        *labels_per_row.entry(number).or_default() += 1;
    }
    let mut bins = Vec::new();
    let mut from = 0;
    for end in BIN_ENDS {
        let inside =
            encoded.texts.iter().filter(|text| (from..=end).contains(&text.full_length)).count();
        bins.push(LengthBin { from, to: end, rows: inside });
        from = end.saturating_add(1);
    }
    let longest = encoded.texts.iter().map(|text| text.full_length).max().unwrap_or(0);
    if let Some(last) = bins.last_mut() {
        last.to = longest.max(last.from);
    }
    let total: usize = encoded.texts.iter().map(|text| text.full_length).sum();
    SplitStats {
        rows: split.examples.len(),
        bad_rows: split.bad_rows.len(),
        label_form: split.reading.form.clone(),
        labels_per_row,
        label_counts: split.labels.names().iter().cloned().zip(counts).collect(),
        mean_length: total as f64 / encoded.texts.len().max(1) as f64,
        longest,
        lengths: bins,
        truncated: encoded.texts.iter().filter(|text| text.is_truncated()).count(),
        duplicates,
    }
}
