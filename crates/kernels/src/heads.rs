//! What attention and its relations share: how packed texts and heads are split among tasks, and how a
//! task lays out the rows of its text.
//!
//! Letters as in [`crate::attention`].

use std::ops::Range;

use crate::matmul::{Strided, Word, transpose, with_scratch};
use crate::operand::View;
use crate::{Cpu, Isa};

/// Rows of scores are padded to a multiple of this, which whole panels are at every level.
pub(crate) const LANES: usize = 16;

/// Length of a row of `n` scores.
pub(crate) fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// Which tokens of a text look at the others, and so have a context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Queries {
    /// All of them; contexts are (T, H).
    #[default]
    All,
    /// The first; contexts are (B, H). No text may be empty.
    First,
}

/// The texts of a batch and the heads of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// Where each text starts, and the end of the last; (B + 1).
    pub cumulative_lengths: &'a [u32],
    /// `A`.
    pub heads: usize,
    /// `D`.
    pub head_size: usize,
    /// Who has a context.
    pub queries: Queries,
}

/// A text, as a task finds it.
pub(crate) struct Text {
    /// Its tokens; as many of the first look at the others as there are contexts.
    pub(crate) tokens: Range<usize>,
    /// Its rows of contexts.
    pub(crate) contexts: Range<usize>,
    /// Where its probabilities start.
    pub(crate) probabilities: usize,
}

impl Shape<'_> {
    /// Number of floats that the probabilities of all texts and heads take.
    pub fn probabilities_len(&self) -> usize {
        let lengths = self.cumulative_lengths.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
        let rows = |n: usize| if self.queries == Queries::All { n } else { 1 };
        lengths.map(|n| rows(n) * padded(n)).sum::<usize>() * self.heads
    }

    /// Rows of contexts.
    pub fn contexts(&self) -> usize {
        match self.queries {
            Queries::All => self.cumulative_lengths.last().map_or(0, |&tokens| tokens as usize),
            Queries::First => self.cumulative_lengths.len() - 1,
        }
    }

    pub(crate) fn hidden_size(&self) -> usize {
        self.heads * self.head_size
    }

    pub(crate) fn check(&self) -> usize {
        let lengths = self.cumulative_lengths;
        assert!(!lengths.is_empty() && lengths.is_sorted(), "cumulative lengths rise");
        let is_empty = |pair: &[u32]| pair[0] == pair[1];
        let first_only = self.queries == Queries::First;
        assert!(!(first_only && lengths.windows(2).any(is_empty)), "texts have a first token");
        lengths[lengths.len() - 1] as usize
    }

    /// Runs `task` for each text and each group of heads. `depth` heads or a multiple begin and end at
    /// whole words.
    pub(crate) fn for_each(
        &self,
        cpu: &Cpu,
        depth: usize,
        task: impl Fn(Text, Range<usize>) + Sync,
    ) {
        let texts = self.cumulative_lengths.len() - 1;
        // Heads are shared out where there are not texts enough for all threads.
        let wanted =
            if cpu.threads() == 1 { 1 } else { (4 * cpu.threads()).div_ceil(texts.max(1)) };
        let group = self.heads.div_ceil(wanted).next_multiple_of(depth).min(self.heads);
        let groups = self.heads.div_ceil(group);
        cpu.pool().run(texts * groups, &|index| {
            let (text, first) = (index / groups, index % groups * group);
            let before = Shape { cumulative_lengths: &self.cumulative_lengths[..=text], ..*self };
            let start = self.cumulative_lengths[text] as usize;
            let end = self.cumulative_lengths[text + 1] as usize;
            if start < end {
                let heads = first..(first + group).min(self.heads);
                let (tokens, probabilities) = (start..end, before.probabilities_len());
                let contexts = match self.queries {
                    Queries::All => tokens.clone(),
                    Queries::First => text..text + 1,
                };
                task(Text { tokens, contexts, probabilities }, heads);
            }
        });
    }

    /// How many heads are whole words: all where a head is not.
    pub(crate) fn depth<W: Word>(&self) -> usize {
        if self.head_size.is_multiple_of(W::DEPTH) { 1 } else { self.heads }
    }
}

/// A pointer into a buffer of which each task writes its own part.
#[derive(Clone, Copy)]
pub(crate) struct Target<T>(pub(crate) *mut T);

// SAFETY: each task writes other elements: its heads' columns of its text's rows, or its own
// probabilities.
unsafe impl<T: Send> Sync for Target<T> {}

impl<T> Target<T> {
    /// # Safety
    /// The offset must be inside the buffer.
    pub(crate) unsafe fn at(&self, offset: usize) -> *mut T {
        // SAFETY: inside, as the caller promises.
        unsafe { self.0.add(offset) }
    }
}

/// Cuts this thread's scratch into parts.
pub(crate) fn with_parts<const N: usize, R>(
    lens: [usize; N],
    body: impl FnOnce([&mut [f32]; N]) -> R,
) -> R {
    with_scratch(lens.iter().sum(), |mut rest: &mut [f32]| {
        body(lens.map(|len| {
            let (part, left) = std::mem::take(&mut rest).split_at_mut(len);
            rest = left;
            part
        }))
    })
}

/// Floats that `n` rows of `width` values take: whole blocks of rows, and a vector's overhang.
pub(crate) fn wide_len(n: usize, width: usize) -> usize {
    padded(n) * width + 2 * LANES
}

/// Length of a row of transposed keys: whole panels at every level.
fn turned_row(n: usize) -> usize {
    n.next_multiple_of(2 * LANES)
}

/// Floats that `n` transposed keys take.
pub(crate) fn turned_len(n: usize, size: usize) -> usize {
    padded(size) * turned_row(n)
}

/// Some columns of a text's rows from each of `parts` (a matrix, the rows, and the first column),
/// `width` of them, side by side.
pub(crate) fn widen_rows<W: Word>(
    isa: Isa,
    parts: &[(View<'_>, &Range<usize>, usize)],
    width: usize,
    wide: &mut [f32],
) {
    for (part, (matrix, rows, column)) in parts.iter().enumerate() {
        let stride = W::words(matrix.width());
        let words = &W::of(*matrix)[rows.start * stride..rows.end * stride];
        isa.run(
            #[inline(always)]
            || {
                let rows = wide.chunks_exact_mut(parts.len() * width);
                for (row, words) in rows.zip(words.chunks_exact(stride)) {
                    W::widen(words, *column, &mut row[part * width..(part + 1) * width]);
                }
            },
        );
    }
}

/// The transpose of `n` rows of `size` values, and its row stride. What is beside them is turned
/// with them: whole blocks take less time than exact ones.
pub(crate) fn turn<'a>(
    isa: Isa,
    (n, size): (usize, usize),
    (rows, stride): (&[f32], usize),
    turned: &'a mut [f32],
) -> (&'a [f32], usize) {
    let row = turned_row(n);
    let whole = padded(size).min(stride);
    transpose(isa, (padded(n), whole), (rows, stride), (turned, row));
    (turned, row)
}

/// A row-major matrix as it is.
pub(crate) fn rows_of(values: &[f32], stride: usize) -> Strided<'_, f32> {
    Strided { values, row: stride, column: 1 }
}
