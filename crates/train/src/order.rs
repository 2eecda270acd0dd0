//! In which order a run sees its texts: a pure function of seed and epoch, so that a resumed run
//! sees what the first would have seen.

use tinymood_core::TokenizedText;

use crate::settings::TrainSettings;

/// Batches among which texts of like length are gathered. Few, and batches differ much in length;
/// many, and a batch's texts are always the same ones' neighbours
/// (`transformers.trainer_pt_utils.get_length_grouped_indices` takes 50, too).
const BATCHES_IN_GROUP: usize = 50;

/// The batches of each epoch. A batch holds the texts of one optimizer step, so that gathering its
/// gradient in smaller parts changes nothing.
#[derive(Clone, Debug)]
pub struct BatchPlan {
    lengths: Vec<usize>,
    batch_size: usize,
    group_by_length: bool,
    seed: u64,
}

impl BatchPlan {
    /// The plan of a recipe over the texts of a split.
    pub fn new(texts: &[TokenizedText], settings: &TrainSettings) -> Self {
        Self {
            lengths: texts.iter().map(|text| text.ids.len()).collect(),
            batch_size: settings.rows_in_step(),
            group_by_length: settings.recipe().group_by_length,
            seed: settings.seed(),
        }
    }

    /// The last batch may be smaller; it counts.
    pub fn batches_per_epoch(&self) -> usize {
        self.lengths.len().div_ceil(self.batch_size)
    }

    /// The rows of each batch of an epoch, from 0. Each row stands in exactly one.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut random = SplitMix::new(self.seed, epoch);
        let mut rows: Vec<usize> = (0..self.lengths.len()).collect();
        random.shuffle(&mut rows);
        if self.group_by_length {
            for group in rows.chunks_mut(self.batch_size.saturating_mul(BATCHES_IN_GROUP)) {
                group.sort_by_key(|&row| self.lengths[row]); // stable: ties stay shuffled
            }
        }
        let mut batches: Vec<Vec<usize>> =
            rows.chunks(self.batch_size).map(<[usize]>::to_vec).collect();
        if self.group_by_length {
            random.shuffle(&mut batches);
        }
        batches
    }
}

/// `limit` of `rows` rows, drawn by `seed`, in ascending order; all of them where `limit` is 0.
pub fn draw_rows(rows: usize, limit: usize, seed: u64) -> Vec<usize> {
    let mut all: Vec<usize> = (0..rows).collect();
    if limit > 0 && limit < rows {
        SplitMix::new(seed, 0).shuffle(&mut all);
        all.truncate(limit);
        all.sort_unstable();
    }
    all
}

/// SplitMix64 (Steele, Lea & Flood, 2014): small, and good enough to shuffle with.
pub(crate) struct SplitMix(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix {
    /// A stream of a seed. Epochs of training and of a probe, altered copies and drawn rows all count
    /// theirs from 0, so that the first of each draw the same numbers, each for a purpose of its own;
    /// to tell them apart would give other results than recorded runs have.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        // Mixed once, so that neighbouring streams do not overlap.
        let mut mixed = Self(seed ^ stream.wrapping_mul(GOLDEN).rotate_left(32));
        Self(mixed.next() ^ seed.rotate_left(17))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; its bias is below `bound / 2^64`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// A number from 0 to 1, below 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Fisher and Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rows: usize, batch_size: usize, group_by_length: bool, seed: u64) -> BatchPlan {
        let lengths = (0..rows).map(|row| 3 + row * 7 % 40).collect();
        BatchPlan { lengths, batch_size, group_by_length, seed }
    }

    #[test]
    fn drawn_rows_are_distinct_and_the_seeds() {
        assert_eq!(draw_rows(5, 0, 1), [0, 1, 2, 3, 4]);
        assert_eq!(draw_rows(5, 9, 1), [0, 1, 2, 3, 4]);
        let drawn = draw_rows(1000, 100, 1);
        assert_eq!(drawn.len(), 100);
        assert!(drawn.is_sorted_by(|a, b| a < b) && drawn[99] < 1000);
        assert_eq!(drawn, draw_rows(1000, 100, 1));
        assert_ne!(drawn, draw_rows(1000, 100, 2));
        // Not only the first ones.
        assert!(drawn[50] > 300 && drawn[50] < 700, "{drawn:?}");
    }

    #[test]
    fn each_epoch_holds_each_row_once_in_an_order_of_its_own() {
        for group_by_length in [false, true] {
            for (rows, batch_size) in [(1, 1), (1, 8), (7, 3), (64, 8), (1000, 16)] {
                let plan = plan(rows, batch_size, group_by_length, 1);
                let epochs: Vec<_> = (0..3).map(|epoch| plan.epoch(epoch)).collect();
                for epoch in &epochs {
                    assert_eq!(epoch.len(), plan.batches_per_epoch());
                    assert!(epoch.iter().all(|batch| (1..=batch_size).contains(&batch.len())));
                    let mut seen: Vec<_> = epoch.iter().flatten().copied().collect();
                    seen.sort_unstable();
                    assert!(seen.into_iter().eq(0..rows));
                }
                assert_eq!(plan.epoch(1), epochs[1], "a pure function");
                if rows > 7 {
                    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
                }
            }
        }
        assert_ne!(plan(64, 8, false, 1).epoch(0), plan(64, 8, false, 2).epoch(0));
    }

    #[test]
    fn grouping_makes_the_texts_of_a_batch_alike() {
        let spread = |group_by_length: bool| {
            let plan = plan(1000, 16, group_by_length, 5);
            let spread = |batch: &Vec<usize>| {
                let lengths = || batch.iter().map(|&row| plan.lengths[row]);
                lengths().max().unwrap() - lengths().min().unwrap()
            };
            plan.epoch(0).iter().map(spread).sum::<usize>()
        };
        assert!(10 * spread(true) < spread(false), "{} {}", spread(true), spread(false));
        // The order of the batches is no ladder.
        let grouped = plan(1000, 16, true, 5);
        let first: Vec<_> =
            grouped.epoch(0).iter().map(|batch| grouped.lengths[batch[0]]).collect();
        assert!(!first.is_sorted());
    }

    #[test]
    fn shuffling_is_fair() {
        // Where row 0 lands in 6,000 epochs of six rows: 1,000 times each place, give or take.
        let plan = plan(6, 6, false, 9);
        let mut places = [0_u32; 6];
        for epoch in 0..6000 {
            places[plan.epoch(epoch)[0].iter().position(|&row| row == 0).unwrap()] += 1;
        }
        assert!(places.iter().all(|count| (880..1120).contains(count)), "{places:?}");
    }
}
