//! Altered copies of texts: TinyBERT's data augmentation (Jiao et al., 2020, algorithm 1).
//!
//! Each word that is one token is replaced with a probability of 0.4 by one of the 15 words whose
//! embeddings are nearest to its own. TinyBERT asks BERT's masked language model for words, which a
//! sentence encoder or a classifier no longer has, and GloVe where a word has several tokens; those
//! stay here. Neighbours need not mean the same (`happy`, `sad`), so a copy is for a teacher to label.

use std::cmp::Reverse;
use std::collections::HashMap;

use nalgebra::DMatrix;

use crate::order::SplitMix;

/// With which probability a word is replaced (`p_t` of the paper).
const REPLACED: f64 = 0.4;
/// How many words may stand for one (`K` of the paper).
const CHOICES: usize = 15;
/// Words whose neighbours are looked for at a time.
const CHUNK: usize = 256;

/// The words that may stand for others.
#[derive(Clone, Debug)]
pub struct Neighbours {
    nearest: HashMap<u32, Vec<u32>>,
}

impl Neighbours {
    /// The 15 of `words` nearest to each of `asked`, which are of `words` too: by the cosine of
    /// their embeddings less the mean embedding, that all share. `table` is (V, `width`), row-major.
    ///
    /// # Panics
    /// When an id is not of the table.
    pub fn find(table: &[f32], width: usize, words: &[u32], asked: &[u32]) -> Self {
        let row = |id: u32| &table[id as usize * width..][..width];
        let mut mean = vec![0.0_f64; width];
        for &id in words {
            mean.iter_mut().zip(row(id)).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        mean.iter_mut().for_each(|sum| *sum /= words.len() as f64);
        let unit = |id: u32| {
            let apart = row(id).iter().zip(&mean).map(|(&value, mean)| f64::from(value) - mean);
            let apart: Vec<f64> = apart.collect();
            let norm = apart.iter().map(|value| value * value).sum::<f64>().sqrt();
            let scale = if norm > 0.0 { norm.recip() } else { 0.0 };
            apart.into_iter().map(move |value| (value * scale) as f32)
        };
        let units = |ids: &[u32]| -> DMatrix<f32> {
            let values: Vec<f32> = ids.iter().flat_map(|&id| unit(id)).collect();
            DMatrix::from_vec(width, ids.len(), values)
        };
        let all = units(words).transpose();
        let mut nearest = HashMap::new();
        for chunk in asked.chunks(CHUNK) {
            let cosines = &all * units(chunk);
            for (&id, cosines) in chunk.iter().zip(cosines.column_iter()) {
                let mut others: Vec<(f32, Reverse<u32>)> = words
                    .iter()
                    .zip(&cosines)
                    .filter(|&(&word, _)| word != id)
                    .map(|(&word, &cosine)| (cosine, Reverse(word)))
                    .collect();
                let nearer = |a: &(f32, Reverse<u32>), b: &(f32, Reverse<u32>)| {
                    b.0.total_cmp(&a.0).then(b.1.cmp(&a.1))
                };
                if others.len() > CHOICES {
                    others.select_nth_unstable_by(CHOICES, nearer);
                    others.truncate(CHOICES);
                }
                others.sort_unstable_by(nearer);
                nearest.insert(id, others.into_iter().map(|(_, Reverse(word))| word).collect());
            }
        }
        Self { nearest }
    }

    /// What stands for each word of a text in its `copy`-th altered copy, counted over all texts:
    /// `None` where the word stays. At least one does not, unless none was asked for: then there is
    /// no copy.
    pub fn replace(&self, words: &[u32], seed: u64, copy: u64) -> Option<Vec<Option<u32>>> {
        let mut random = SplitMix::new(seed, copy);
        let choices: Vec<Option<&[u32]>> = words
            .iter()
            .map(|id| self.nearest.get(id).map(Vec::as_slice).filter(|others| !others.is_empty()))
            .collect();
        let open: Vec<usize> = (0..words.len()).filter(|&at| choices[at].is_some()).collect();
        if open.is_empty() {
            return None;
        }
        let sure = open[random.below(open.len())];
        let mut drawn: Vec<bool> = words.iter().map(|_| random.fraction() < REPLACED).collect();
        if !open.iter().any(|&at| drawn[at]) {
            drawn[sure] = true;
        }
        let one = |(others, drawn): (Option<&[u32]>, bool)| {
            others.filter(|_| drawn).map(|others| others[random.below(others.len())])
        };
        Some(choices.into_iter().zip(drawn).map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 words on a circle that is far from the origin; their ids are 10 to 49.
    fn table() -> (Vec<f32>, Vec<u32>) {
        let mut table = vec![9.0; 10 * 2]; // no words
        for word in 0..40_u16 {
            let angle = f32::from(word) * std::f32::consts::TAU / 40.0;
            table.extend([100.0 + angle.cos(), -50.0 + angle.sin()]);
        }
        (table, (10..50).collect())
    }

    #[test]
    fn neighbours_are_the_nearest_by_angle() {
        let (table, words) = table();
        let found = Neighbours::find(&table, 2, &words, &[10, 30, 49]);
        assert_eq!(found.nearest.len(), 3);
        for id in [10, 30, 49] {
            let nearest = &found.nearest[&id];
            assert_eq!(nearest.len(), CHOICES);
            let steps = |other: &u32| (other + 40 - id) % 40;
            let apart = nearest.iter().map(|other| steps(other).min(40 - steps(other)));
            assert_eq!(apart.collect::<Vec<_>>(), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8]);
        }
        // Of fewer words than may stand for one, all others do.
        assert_eq!(Neighbours::find(&table, 2, &[10, 11, 40], &[10]).nearest[&10], [11, 40]);
        assert!(Neighbours::find(&table, 2, &[10], &[10]).nearest[&10].is_empty());
    }

    #[test]
    fn copies_differ_in_the_share_that_is_drawn() {
        let (table, words) = table();
        let found = Neighbours::find(&table, 2, &words, &words);
        let text: Vec<u32> = (0..20).map(|at| if at % 2 == 0 { 10 + at } else { 3 }).collect();
        let mut replaced = 0;
        for copy in 0..1000 {
            let new = found.replace(&text, 7, copy).unwrap();
            assert_eq!(new.len(), text.len());
            assert!(new.iter().any(Option::is_some), "copy {copy} is none");
            for (at, word) in new.iter().enumerate() {
                let Some(word) = word else { continue };
                assert!(found.nearest[&text[at]].contains(word), "{at}: {word}");
                replaced += 1;
            }
        }
        // 10,000 words; of a text, none is drawn with a probability of 0.6^10.
        assert!((3800..4300).contains(&replaced), "{replaced}");
        assert_eq!(found.replace(&text, 7, 1), found.replace(&text, 7, 1));
        assert_ne!(found.replace(&text, 7, 1), found.replace(&text, 7, 2));
        assert_ne!(found.replace(&text, 7, 1), found.replace(&text, 8, 1));
        assert_eq!(found.replace(&[3, 4], 7, 1), None);
        assert_eq!(found.replace(&[], 7, 1), None);
    }
}
