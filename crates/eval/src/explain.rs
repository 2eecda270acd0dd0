//! Which words carried a label: exact occlusion (Zeiler & Fergus, 2014; Li et al., 2016), and how far
//! such explanations can be trusted (comprehensiveness; DeYoung et al., 2020).
//!
//! ```text
//! for each word of a text (a long text: each of 29 spans of neighbouring words)
//!     score[label] = logit[label] of the text - logit[label] of the text without the word
//! ```
//!
//! Each figure is an answer of the model itself, which any engine gives in any precision; gradients
//! would be an approximation, and need an engine that trains. The limit: words that say the same
//! stand in for each other, and each alone scores low.

use std::ops::Range;

use serde::Serialize;
use tinymood_core::{EngineError, Infer, Logits, ProblemType, TokenizedText};

use crate::bootstrap::below;
use crate::infer_split;

/// The most copies of a text that are asked about. With the text itself: 30.
pub const MAX_SPANS: usize = 29;

/// How a word is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occlusion {
    /// Each of its pieces becomes this token, `[MASK]`: the other words keep their positions.
    Mask(u32),
    /// Its pieces are deleted.
    Delete,
}

/// Asks an engine about texts with words taken out.
#[derive(Clone, Copy, Debug)]
pub struct Explainer<'a, E: Infer + ?Sized> {
    /// What is asked.
    pub engine: &'a E,
    /// How words are taken out.
    pub occlusion: Occlusion,
    /// Tokens of one batch.
    pub tokens_per_batch: usize,
}

/// A text without each of its words in turn: what is asked about, for whoever asks in batches of their
/// own. `S` spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Occluded {
    /// The words of each span, in order; one each, unless there are more than [`MAX_SPANS`]; (S).
    pub spans: Vec<Range<usize>>,
    /// The text without each span; (S).
    pub copies: Vec<TokenizedText>,
}

impl Occluded {
    /// `words` are the places of the text's words' pieces, in order.
    pub fn new(text: &TokenizedText, words: &[Range<usize>], occlusion: Occlusion) -> Self {
        let spans = spans(words.len());
        let copies = spans.iter().map(|span| without(text, &words[span.clone()], occlusion));
        Self { copies: copies.collect(), spans }
    }

    /// From the logits of the text, (C), and of each of its copies, in order.
    pub fn explanation<'a>(
        self,
        whole: &[f32],
        copies: impl Iterator<Item = &'a [f32]>,
    ) -> Explanation {
        let drop = |copy: &[f32]| -> Vec<f32> {
            whole.iter().zip(copy).map(|(whole, copy)| whole - copy).collect()
        };
        let drops = copies.flat_map(drop).collect();
        Explanation { spans: self.spans, drops, num_labels: whole.len() }
    }
}

/// What each span of a text adds to each logit. `S` spans, `C` labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// The words of each span, in order; one each, unless there are more than [`MAX_SPANS`]; (S).
    pub spans: Vec<Range<usize>>,
    /// How far each logit drops without the span; (S, C).
    pub drops: Vec<f32>,
    /// `C`.
    pub num_labels: usize,
}

impl Explanation {
    /// What each span adds to the logit of a label, in order.
    pub fn scores(&self, label: usize) -> impl ExactSizeIterator<Item = f32> + '_ {
        self.drops.chunks_exact(self.num_labels.max(1)).map(move |drops| drops[label])
    }
}

/// How far the probability of texts' highest label falls when words are deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Faithfulness {
    /// Texts of at least two words; with fewer, there is no choice of words.
    #[serde(rename = "faithfulness_texts")]
    pub texts: usize,
    /// Mean drop without the fifth of the words (at least one) that score highest.
    #[serde(rename = "faithfulness_top_drop")]
    pub top_drop: f64,
    /// Mean drop without as many words drawn at random.
    #[serde(rename = "faithfulness_random_drop")]
    pub random_drop: f64,
    /// Mean drop without as many words that score lowest.
    #[serde(rename = "faithfulness_bottom_drop")]
    pub bottom_drop: f64,
}

impl std::fmt::Display for Faithfulness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { texts, top_drop, random_drop, bottom_drop } = self;
        writeln!(f, "faithfulness: mean drop of the highest probability, {texts} texts")?;
        writeln!(f, "  without the fifth of the words that score highest  {top_drop:>7.4}")?;
        writeln!(f, "  without as many random words                       {random_drop:>7.4}")?;
        write!(f, "  without as many words that score lowest            {bottom_drop:>7.4}")
    }
}

impl<E: Infer + ?Sized> Explainer<'_, E> {
    /// Explains one text: `words` are the places of its words' pieces, in order, and `logits`, (C),
    /// what the engine answers the whole text.
    ///
    /// # Errors
    /// When the engine refuses the text.
    pub fn explain(
        &self,
        text: &TokenizedText,
        words: &[Range<usize>],
        logits: &[f32],
    ) -> Result<Explanation, EngineError> {
        let occluded = Occluded::new(text, words, self.occlusion);
        let found = infer_split(self.engine, &occluded.copies, self.tokens_per_batch)?;
        Ok(occluded.explanation(logits, found.rows()))
    }

    /// Judges explanations by deletion, whatever [`Explainer::occlusion`] they are made by. Random
    /// words are the same for the same `seed`.
    ///
    /// # Errors
    /// As [`Explainer::explain`].
    pub fn faithfulness(
        &self,
        texts: &[TokenizedText],
        words: &[Vec<Range<usize>>],
        logits: &Logits,
        seed: u64,
    ) -> Result<Faithfulness, EngineError> {
        let mut copies = Vec::new(); // three of each text: top, random, bottom
        let mut judged = Vec::new(); // its highest label and that label's probability
        let problem_type = self.engine.config().problem_type;
        for (row, whole) in logits.rows().enumerate().filter(|&(row, _)| words[row].len() > 1) {
            let Some(label) = (0..whole.len()).max_by(|&a, &b| whole[a].total_cmp(&whole[b]))
            else {
                continue;
            };
            let explanation = self.explain(&texts[row], &words[row], whole)?;
            let scores: Vec<f32> = explanation.scores(label).collect();
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a])); // stable: ties in text order
            let count = (order.len() / 5).max(1);
            let bottom = order[order.len() - count..].to_vec();
            let random = drawn(count, order.len(), seed, row);
            order.truncate(count);
            for chosen in [order, random, bottom] {
                let spans = chosen.iter().map(|&span| explanation.spans[span].clone());
                let gone: Vec<_> = spans.flat_map(|span| words[row][span].to_vec()).collect();
                copies.push(without(&texts[row], &gone, Occlusion::Delete));
            }
            judged.push((label, probability(problem_type, whole, label)));
        }
        let found = infer_split(self.engine, &copies, self.tokens_per_batch)?;
        let found: Vec<&[f32]> = found.rows().collect();
        let mut drops = [0.0; 3];
        for (&(label, whole), copies) in judged.iter().zip(found.chunks_exact(3)) {
            for (drop, copy) in drops.iter_mut().zip(copies) {
                *drop += whole - probability(problem_type, copy, label);
            }
        }
        let [top_drop, random_drop, bottom_drop] =
            drops.map(|drop| drop / judged.len().max(1) as f64);
        Ok(Faithfulness { texts: judged.len(), top_drop, random_drop, bottom_drop })
    }
}

/// The probability of a label, from the logits of all, (C).
fn probability(problem_type: ProblemType, logits: &[f32], label: usize) -> f64 {
    let logits = Logits { values: logits.to_vec(), num_labels: logits.len() };
    f64::from(problem_type.probabilities(&logits)[label])
}

/// Words as at most [`MAX_SPANS`] spans, whose lengths differ by one at most.
fn spans(words: usize) -> Vec<Range<usize>> {
    let spans = words.min(MAX_SPANS);
    (0..spans).map(|span| span * words / spans..(span + 1) * words / spans).collect()
}

/// A text without some words.
fn without(text: &TokenizedText, words: &[Range<usize>], occlusion: Occlusion) -> TokenizedText {
    let is_gone = |at: usize| words.iter().any(|word| word.contains(&at));
    let keep = |(at, &id): (usize, &u32)| match occlusion {
        _ if !is_gone(at) => Some(id),
        Occlusion::Mask(mask) => Some(mask),
        Occlusion::Delete => None,
    };
    TokenizedText {
        ids: text.ids.iter().enumerate().filter_map(keep).collect(),
        full_length: text.full_length,
    }
}

/// `count` of `0..n`, none twice (the beginning of a Fisher-Yates shuffle).
fn drawn(count: usize, n: usize, seed: u64, row: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..n).collect();
    for at in 0..count {
        let counter = (row * MAX_SPANS + at) as u64;
        all.swap(at, at + below(n - at, seed, counter));
    }
    all.truncate(count);
    all
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tinymood_core::{ModelConfig, PackedBatch};

    use super::*;

    const MASK: u32 = 0;

    /// Logits are sums over tokens of [`Sum::of`]. Counts the texts that it is asked about.
    struct Sum {
        config: ModelConfig,
        texts: Cell<usize>,
    }

    impl Sum {
        fn new() -> Self {
            Self { config: ModelConfig::preset("4L-312D").unwrap(), texts: Cell::new(0) }
        }

        /// What a token adds to the two logits; `[MASK]` nothing. Small whole numbers: sums are exact.
        fn of(id: u32) -> [f32; 2] {
            [id as f32, if id.is_multiple_of(3) { -(id as f32) } else { 0.0 }]
        }

        fn sum(ids: &[u32]) -> [f32; 2] {
            let add = |[a, b]: [f32; 2], [c, d]: [f32; 2]| [a + c, b + d];
            ids.iter().map(|&id| Self::of(id)).fold([0.0; 2], add)
        }
    }

    impl Infer for Sum {
        fn describe(&self) -> String {
            "sum".to_owned()
        }
        fn config(&self) -> &ModelConfig {
            &self.config
        }
        fn num_labels(&self) -> usize {
            2
        }
        fn infer(&self, batch: &PackedBatch) -> Result<Logits, EngineError> {
            self.texts.set(self.texts.get() + batch.num_texts());
            let values = batch.ranges().flat_map(|range| Self::sum(&batch.token_ids()[range]));
            Ok(Logits { values: values.collect(), num_labels: 2 })
        }
    }

    /// A text of `n` words, of one to three pieces each, framed.
    fn text(n: usize) -> (TokenizedText, Vec<Range<usize>>) {
        let mut ids = vec![101];
        let mut words = Vec::new();
        for word in 0..n {
            let start = ids.len();
            ids.extend((0..=word % 3).map(|piece| ((word * 7 + piece * 5) % 90 + 1) as u32));
            words.push(start..ids.len());
        }
        ids.push(102);
        let full_length = ids.len();
        (TokenizedText { ids, full_length }, words)
    }

    #[test]
    fn a_word_scores_what_its_pieces_add() {
        for n in [0, 1, 2, 3, 10, 28, 29, 30, 31, 57, 58, 59, 100, 500] {
            for occlusion in [Occlusion::Mask(MASK), Occlusion::Delete] {
                for tokens_per_batch in [1, 64, 512] {
                    let engine = Sum::new();
                    let (text, words) = text(n);
                    let whole = infer_split(&engine, std::slice::from_ref(&text), 512).unwrap();
                    let explainer = Explainer { engine: &engine, occlusion, tokens_per_batch };
                    let found = explainer.explain(&text, &words, &whole.values).unwrap();
                    assert_eq!(found.spans.len(), n.min(MAX_SPANS), "{n} words");
                    assert_eq!(engine.texts.get(), 1 + n.min(MAX_SPANS), "passes of {n} words");
                    assert!(engine.texts.get() <= 30);
                    for label in 0..2 {
                        let expected = found.spans.iter().map(|span| {
                            let pieces = words[span.clone()].iter().flat_map(|word| word.clone());
                            pieces.map(|at| Sum::of(text.ids[at])[label]).sum::<f32>()
                        });
                        let scores: Vec<f32> = found.scores(label).collect();
                        assert_eq!(
                            scores,
                            expected.collect::<Vec<_>>(),
                            "{n} words, {occlusion:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn spans_hold_every_word_once_and_are_nearly_equal() {
        for n in 0..200 {
            let spans = spans(n);
            assert!(spans.iter().cloned().flatten().eq(0..n), "{n} words");
            let lengths = || spans.iter().map(ExactSizeIterator::len);
            let (least, most) = (lengths().min().unwrap_or(1), lengths().max().unwrap_or(1));
            assert!(least > 0 && most - least <= 1, "{n} words: {least} to {most}");
        }
    }

    #[test]
    fn the_highest_words_fall_the_most() {
        let engine = Sum::new();
        // Logits near 0, where probabilities move: the first label is the highest, as ids add to it.
        let frame = |ids: &[u32]| TokenizedText { ids: ids.to_vec(), full_length: ids.len() };
        let texts = [frame(&[0, 1, 4, 0]), frame(&[0, 5, 0]), frame(&[0, 0]), frame(&[0, 2, 1, 0])];
        let at = |token: usize| token..token + 1;
        let words = [vec![at(1), at(2)], vec![at(1)], vec![], vec![at(1), at(2)]];
        let logits = infer_split(&engine, &texts, 512).unwrap();
        let explainer =
            Explainer { engine: &engine, occlusion: Occlusion::Mask(MASK), tokens_per_batch: 512 };
        let judge = |seed| explainer.faithfulness(&texts, &words, &logits, seed).unwrap();
        let found = judge(1);
        assert_eq!(found.texts, 2);
        let sigmoid = |logit: f32| f64::from((1.0 / (1.0 + (-f64::from(logit)).exp())) as f32);
        let mean = |a: [f32; 2], b: [f32; 2]| {
            let drop = |[whole, left]: [f32; 2]| sigmoid(whole) - sigmoid(left);
            (drop(a) + drop(b)) / 2.0
        };
        assert_eq!(found.top_drop, mean([5.0, 1.0], [3.0, 1.0]));
        assert_eq!(found.bottom_drop, mean([5.0, 4.0], [3.0, 2.0]));
        let random: Vec<f64> = (0..20).map(|seed| judge(seed).random_drop).collect();
        assert!(random.iter().all(|&drop| found.bottom_drop <= drop && drop <= found.top_drop));
        assert!(random.iter().any(|&drop| drop != random[0]), "the seed is not used");
        assert_eq!(found, judge(1));
    }

    #[test]
    fn no_word_is_drawn_twice() {
        for (count, n) in [(1, 2), (5, 29), (29, 29)] {
            let mut chosen = drawn(count, n, 7, 3);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), count);
        }
    }
}
