//! Products whose sums run over rows, `C = Aᵀ B`: the gradients of weights.
//!
//! ```text
//! pack all panels of the narrower of A and B
//! for each panel of the wider, in parallel: pack it, multiply it by all of the narrower
//! ```
//!
//! What one thread packs and another reads travels between the cores' caches, so that it is the
//! smaller part; each result is of one task either way.

use std::ops::Range;

use super::by_precision;
use super::tile::{PanelShape, Rows, Strided, block_shape, panel_depth, panel_times};
use super::transpose::transpose;
use super::word::{Word, pack_turned, with_scratch};
use crate::operand::View;
use crate::rows::{RowsMut, for_row_blocks};
use crate::{Cpu, Isa};

/// Words along `K` that are transposed at a time.
const TURNED: usize = 64;

/// `C = Aᵀ B` (or `C += Aᵀ B`), (T, M) and (T, N) to (M, N), and `sums += Σ A` over rows, (M): the
/// gradients of a weight and its bias, summed over tokens in order.
///
/// # Panics
/// When sizes do not fit.
pub fn matmul_transposed(
    cpu: &Cpu,
    a: View<'_>,
    b: View<'_>,
    accumulate: bool,
    c: &mut [f32],
    sums: &mut [f32],
) {
    let (tokens, m, n, isa) = (a.rows(), a.width(), b.width(), cpu.isa());
    assert!(b.rows() == tokens, "{tokens} rows each");
    assert!(sums.len() == m && c.len() == m * n, "(M) sums and (M, N) results");
    if tokens == 0 {
        if !accumulate {
            c.fill(0.0);
        }
        return;
    }
    let (c, sums) = (RowsMut::new(c, n), RowsMut::new(sums, m));
    by_precision!(cpu, W => {
        let product = Transposed::<W> {
            isa,
            tokens,
            a: W::of(a),
            b: W::of(b),
            shape: (m, n),
            accumulate,
            c,
            sums,
        };
        product.compute(cpu);
    });
}

struct Transposed<'a, W> {
    isa: Isa,
    tokens: usize,
    a: &'a [W],
    b: &'a [W],
    /// `M` and `N`.
    shape: (usize, usize),
    accumulate: bool,
    c: RowsMut<'a, f32>,
    sums: RowsMut<'a, f32>,
}

impl<W: Word> Transposed<'_, W> {
    fn compute(&self, cpu: &Cpu) {
        let (m, n) = self.shape;
        let (strips, panels) = (m.div_ceil(self.strip()), n.div_ceil(block_shape(self.isa).0));
        let (strip_len, panel_len) = (self.strip_len(), self.panel_len());
        if m > n {
            with_scratch(panels * panel_len, |packed: &mut [W]| {
                let outputs = [RowsMut::new(packed, panel_len)];
                for_row_blocks(cpu, panels, 1, outputs, |panel, [packed]| {
                    self.pack_panel(panel.start, packed);
                });
                cpu.pool().run(strips, &|strip| {
                    with_scratch(strip_len, |values: &mut [W]| {
                        self.pack_strip(strip, values);
                        for (panel, packed) in packed.chunks_exact(panel_len).enumerate() {
                            self.multiply(strip, values, panel, packed);
                        }
                    });
                });
            });
        } else {
            with_scratch(strips * strip_len, |packed: &mut [W]| {
                let outputs = [RowsMut::new(packed, strip_len)];
                for_row_blocks(cpu, strips, 1, outputs, |strip, [packed]| {
                    self.pack_strip(strip.start, packed);
                });
                cpu.pool().run(panels, &|panel| {
                    with_scratch(panel_len, |values: &mut [W]| {
                        self.pack_panel(panel, values);
                        for (strip, packed) in packed.chunks_exact(strip_len).enumerate() {
                            self.multiply(strip, packed, panel, values);
                        }
                    });
                });
            });
        }
    }

    fn in_tiles(&self) -> bool {
        W::tile_depth(self.isa) > 1
    }

    /// Columns of a strip of A: whole register blocks at every level and whole cache lines; one
    /// block of tiles, which wants both operands in the nearest cache.
    fn strip(&self) -> usize {
        if self.in_tiles() { 32 } else { 96 }
    }

    fn strip_len(&self) -> usize {
        W::words(self.tokens) * self.strip()
    }

    fn panel_len(&self) -> usize {
        panel_depth::<W>(self.isa, W::words(self.tokens)) * block_shape(self.isa).0
    }

    /// Columns of A that a strip has.
    fn rows(&self, strip: usize) -> Range<usize> {
        strip * self.strip()..((strip + 1) * self.strip()).min(self.shape.0)
    }

    /// Columns of B that a panel has.
    fn columns(&self, panel: usize) -> Range<usize> {
        let (nr, _) = block_shape(self.isa);
        panel * nr..((panel + 1) * nr).min(self.shape.1)
    }

    /// Packs a strip of A and adds its columns to their sums: `words(T)` rows of words, or
    /// the transpose where words along `K` are to be neighbours. No other task may have the strip.
    fn pack_strip(&self, strip: usize, packed: &mut [W]) {
        let (columns, stride) = (self.rows(strip), W::words(self.shape.0));
        let width = self.strip();
        // SAFETY: each strip has its own columns, and is packed by one task.
        let sums = unsafe { self.sums.lend_part(0, columns.clone()) };
        let mut pack = |tokens: Range<usize>, packed: &mut [W]| {
            let a = &self.a[tokens.start * stride..tokens.end * stride];
            self.isa.run(
                #[inline(always)]
                || {
                    pack_turned(a, stride, columns.clone(), width, tokens.len(), packed);
                    for words in packed.chunks_exact(width) {
                        W::add_to(words, sums);
                    }
                },
            );
        };
        if !self.in_tiles() {
            pack(0..self.tokens, packed);
            return;
        }
        // Some steps at a time, while they are in the nearest cache.
        let words = W::words(self.tokens);
        with_scratch(TURNED * width, |steps: &mut [W]| {
            for first in (0..words).step_by(TURNED) {
                let last = (first + TURNED).min(words);
                let steps = &mut steps[..(last - first) * width];
                pack(first * W::DEPTH..(last * W::DEPTH).min(self.tokens), steps);
                let to = (&mut packed[first..], words);
                transpose(self.isa, (last - first, width), (steps, width), to);
            }
        });
    }

    fn pack_panel(&self, panel: usize, packed: &mut [W]) {
        let (columns, stride) = (self.columns(panel), W::words(self.shape.1));
        let (nr, _) = block_shape(self.isa);
        self.isa.run(
            #[inline(always)]
            || pack_turned(self.b, stride, columns, nr, self.tokens, packed),
        );
        W::seal(self.isa, W::words(self.tokens), packed);
    }

    /// One strip, packed, against one panel. No other task may have both.
    fn multiply(&self, strip: usize, values: &[W], panel: usize, packed: &[W]) {
        let (rows, columns, words) = (self.rows(strip), self.columns(panel), W::words(self.tokens));
        let (row, column) = if self.in_tiles() { (words, 1) } else { (1, self.strip()) };
        let a = Strided { values, row, column };
        let shape = PanelShape { m: rows.len(), k: words, width: columns.len() };
        let stride = self.shape.1;
        // SAFETY: these columns of these rows of C are this task's own; strip and panel are packed
        // of `words` words along `K`.
        unsafe {
            let start = self.c.as_mut_ptr().add(rows.start * stride + columns.start);
            let c = Rows { start, stride, accumulate: self.accumulate };
            panel_times(self.isa, shape, &a, packed, c);
        }
    }
}
