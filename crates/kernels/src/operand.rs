//! Activations as multiplications read them: rounded once, where they are made.

use std::ops::Range;

use crate::matmul::{Pair, Word};
use crate::rows::RowsMut;
use crate::{Buffer, Cpu, Precision};

/// A matrix that multiplications read, (T, K), as the precision of its [`Cpu`] wants it: f32 (int8
/// too rounds only when it reads), or bf16 in pairs, each row of an odd length filled up with a zero.
#[derive(Clone, Debug, Default)]
pub struct Operand {
    width: usize,
    words: Words,
}

#[derive(Clone, Debug)]
enum Words {
    F32(Buffer<f32>),
    Bf16(Buffer<Pair>),
}

impl Default for Words {
    fn default() -> Self {
        Words::F32(Buffer::default())
    }
}

/// Hidden states, (T, H): exact for residuals, and as an operand.
#[derive(Clone, Debug, Default)]
pub struct Hidden {
    width: usize,
    values: Buffer<f32>,
    /// `None` in f32 and int8, where the values themselves are the operand.
    rounded: Option<Buffer<Pair>>,
}

/// An [`Operand`] or a [`Hidden`] to read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    width: usize,
    words: WordsView<'a>,
}

#[derive(Clone, Copy, Debug)]
enum WordsView<'a> {
    F32(&'a [f32]),
    Bf16(&'a [Pair]),
}

impl Operand {
    /// Makes it (`rows`, `width`), in the precision of `cpu`. What is in it afterwards is
    /// unspecified.
    ///
    /// # Panics
    /// When the system has no such memory.
    pub fn resize(&mut self, cpu: &Cpu, rows: usize, width: usize) {
        fn resized<W: Word>(words: Option<Buffer<W>>, cpu: &Cpu, len: usize) -> Buffer<W> {
            let mut words = words.unwrap_or_default();
            cpu.resize(&mut words, len);
            words
        }
        self.width = width;
        self.words = match (cpu.precision(), std::mem::take(&mut self.words)) {
            (Precision::F32 | Precision::Int8, Words::F32(words)) => {
                Words::F32(resized(Some(words), cpu, rows * width))
            }
            (Precision::F32 | Precision::Int8, _) => Words::F32(resized(None, cpu, rows * width)),
            (Precision::Bf16, Words::Bf16(words)) => {
                Words::Bf16(resized(Some(words), cpu, rows * Pair::words(width)))
            }
            (Precision::Bf16, _) => Words::Bf16(resized(None, cpu, rows * Pair::words(width))),
        };
    }

    /// Takes the values of a row-major matrix of `width` columns, rounded.
    ///
    /// # Panics
    /// When they are not whole rows.
    pub fn set(&mut self, cpu: &Cpu, values: &[f32], width: usize) {
        assert!(width > 0 && values.len().is_multiple_of(width), "whole rows of {width}");
        self.resize(cpu, values.len() / width, width);
        match &mut self.words {
            Words::F32(words) => words.copy_from_slice(values),
            Words::Bf16(words) => {
                let rows = words.chunks_exact_mut(Pair::words(width));
                cpu.isa().run(
                    #[inline(always)]
                    || {
                        for (words, row) in rows.zip(values.chunks_exact(width)) {
                            Pair::along(row, words);
                        }
                    },
                );
            }
        }
    }

    /// As multiplications read it.
    pub fn view(&self) -> View<'_> {
        let words = match &self.words {
            Words::F32(words) => WordsView::F32(words),
            Words::Bf16(words) => WordsView::Bf16(words),
        };
        View { width: self.width, words }
    }

    pub(crate) fn store<W: Word>(&mut self) -> Store<'_, W> {
        let width = self.width;
        Store { width, rows: RowsMut::new(W::of_mut(self), W::words(width).max(1)) }
    }

    pub(crate) fn f32_mut(&mut self) -> Option<&mut [f32]> {
        match &mut self.words {
            Words::F32(words) => Some(words),
            Words::Bf16(_) => None,
        }
    }

    pub(crate) fn bf16_mut(&mut self) -> Option<&mut [Pair]> {
        match &mut self.words {
            Words::F32(_) => None,
            Words::Bf16(words) => Some(words),
        }
    }
}

impl Hidden {
    /// Makes it (`rows`, `width`). What is in it afterwards is unspecified.
    ///
    /// # Panics
    /// When the system has no such memory.
    pub fn resize(&mut self, cpu: &Cpu, rows: usize, width: usize) {
        self.width = width;
        cpu.resize(&mut self.values, rows * width);
        match cpu.precision() {
            Precision::F32 | Precision::Int8 => self.rounded = None,
            Precision::Bf16 => {
                let rounded = self.rounded.get_or_insert_default();
                cpu.resize(rounded, rows * Pair::words(width));
            }
        }
    }

    /// As they are; (T, H).
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// As multiplications read them.
    pub fn view(&self) -> View<'_> {
        let words = match &self.rounded {
            None => WordsView::F32(&self.values),
            Some(rounded) => WordsView::Bf16(rounded),
        };
        View { width: self.width, words }
    }

    /// The values, and where each finished row is to be rounded to.
    ///
    /// # Panics
    /// When it is not (`rows`, `width`): callers go by these, and rounding does not look again.
    pub(crate) fn parts_mut(&mut self, rows: usize, width: usize) -> (&mut [f32], Rounded<'_>) {
        assert_eq!((self.values.len(), self.width), (rows * width, width), "({rows}, {width})");
        let words = Pair::words(self.width).max(1);
        let rounded = self.rounded.as_mut().map(|rounded| RowsMut::new(rounded, words));
        (&mut self.values, Rounded(rounded))
    }
}

impl<'a> View<'a> {
    /// Of floats as they are, whatever the precision; whole rows of `width`.
    pub(crate) fn of_f32(values: &'a [f32], width: usize) -> Self {
        View { width, words: WordsView::F32(values) }
    }

    /// `K`.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `T`.
    pub fn rows(&self) -> usize {
        match self.words {
            WordsView::F32(words) => words.len().checked_div(self.width),
            WordsView::Bf16(words) => words.len().checked_div(Pair::words(self.width)),
        }
        .unwrap_or(0)
    }

    /// The values, row by row; (T, K).
    pub fn to_f32(&self) -> Vec<f32> {
        match self.words {
            WordsView::F32(words) => words.to_vec(),
            WordsView::Bf16(words) => {
                let mut values = vec![0.0; self.rows() * self.width];
                let rows = values.chunks_exact_mut(self.width.max(1));
                let words = words.chunks_exact(Pair::words(self.width).max(1));
                rows.zip(words).for_each(|(values, words)| Pair::widen(words, 0, values));
                values
            }
        }
    }

    pub(crate) fn f32(self) -> Option<&'a [f32]> {
        match self.words {
            WordsView::F32(words) => Some(words),
            WordsView::Bf16(_) => None,
        }
    }

    pub(crate) fn bf16(self) -> Option<&'a [Pair]> {
        match self.words {
            WordsView::F32(_) => None,
            WordsView::Bf16(words) => Some(words),
        }
    }
}

/// An operand to be written, of which each task stores blocks of its own.
pub(crate) struct Store<'a, W> {
    width: usize,
    rows: RowsMut<'a, W>,
}

impl<W: Word> Store<'_, W> {
    /// `K`.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.rows()
    }

    /// Stores the first values of a block's row as columns `columns` of row `row`.
    ///
    /// # Safety
    /// `row` and `columns` must be in range. No two live calls may store the same word: columns of
    /// a task must start at a whole word, and end at one or at the end of the row.
    #[inline(always)]
    pub(crate) unsafe fn store_block<const NR: usize>(
        &self,
        row: usize,
        columns: &Range<usize>,
        values: &[f32; NR],
    ) {
        let words = columns.start / W::DEPTH..W::words(columns.end);
        debug_assert!(columns.end <= self.width && columns.start.is_multiple_of(W::DEPTH));
        // SAFETY: in range and not shared, as the caller promises.
        let words = unsafe { self.rows.lend_part(row, words) };
        if columns.len() == NR {
            // The usual case, of a length that is known here.
            W::along(values, &mut words[..NR / W::DEPTH]);
        } else {
            W::along(&values[..columns.len()], words);
        }
    }

    /// Stores a whole row.
    ///
    /// # Safety
    /// `row` must be in range, and no two live calls may store the same row.
    #[inline(always)]
    pub(crate) unsafe fn store_row(&self, row: usize, values: &[f32]) {
        // SAFETY: handed on.
        W::along(values, unsafe { self.rows.lend(row..row + 1) });
    }

    /// Stores columns `columns` of a row.
    ///
    /// # Safety
    /// As for [`Store::store_block`].
    #[inline(always)]
    pub(crate) unsafe fn store(&self, row: usize, columns: Range<usize>, values: &[f32]) {
        debug_assert!(columns.end <= self.width && columns.start.is_multiple_of(W::DEPTH));
        let words = columns.start / W::DEPTH..W::words(columns.end);
        // SAFETY: in range and not shared, as the caller promises.
        W::along(values, unsafe { self.rows.lend_part(row, words) });
    }

    /// Adds to columns `columns` of a row. The sums are made in `sums`, as long as `values`, and rounded
    /// once more.
    ///
    /// # Safety
    /// As for [`Store::store_block`].
    #[inline(always)]
    pub(crate) unsafe fn add(
        &self,
        row: usize,
        columns: Range<usize>,
        values: &[f32],
        sums: &mut [f32],
    ) {
        debug_assert!(columns.end <= self.width && columns.start.is_multiple_of(W::DEPTH));
        let words = columns.start / W::DEPTH..W::words(columns.end);
        // SAFETY: in range and not shared, as the caller promises.
        let words = unsafe { self.rows.lend_part(row, words) };
        W::widen(words, 0, sums);
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        W::along(sums, words);
    }
}

/// Where rows of [`Hidden`] are rounded to; nowhere in f32.
pub(crate) struct Rounded<'a>(Option<RowsMut<'a, Pair>>);

impl Rounded<'_> {
    /// # Safety
    /// `row` must be in range, and no two live calls may store the same row.
    #[inline(always)]
    pub(crate) unsafe fn store(&self, row: usize, values: &[f32]) {
        if let Some(rows) = &self.0 {
            // SAFETY: handed on.
            Pair::along(values, unsafe { rows.lend(row..row + 1) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::test_cpus;
    use crate::norm::tests::waves;

    #[test]
    #[should_panic(expected = "(4, 3)")]
    fn rows_of_another_width_are_refused() {
        let cpu = &test_cpus()[0];
        let mut hidden = Hidden::default();
        hidden.resize(cpu, 2, 6);
        hidden.parts_mut(4, 3); // twelve values either way
    }

    #[test]
    fn values_are_kept_to_the_precision() {
        for cpu in test_cpus() {
            let mut operand = Operand::default();
            for (rows, width) in [(3, 5), (1, 1), (7, 64), (0, 4), (2, 33)] {
                let values = waves(rows * width, 0.3);
                operand.set(&cpu, &values, width);
                let view = operand.view();
                assert_eq!((view.rows(), view.width()), (rows, width));
                let tolerance = match cpu.precision() {
                    Precision::F32 | Precision::Int8 => 0.0,
                    Precision::Bf16 => 1.0 / 256.0,
                };
                for (found, expected) in view.to_f32().iter().zip(&values) {
                    assert!((found - expected).abs() <= tolerance * expected.abs());
                }
            }
        }
    }
}
