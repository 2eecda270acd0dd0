//! The right-hand side of a multiplication, packed once and used many times.

use super::int8::Int8Panels;
use super::tile::{block_shape, packed_len, panel_depth};
use super::word::{Pair, Word, pack_columns, pack_rows};
use crate::adamw::{AdamW, Tensors};
use crate::rows::{RowsMut, for_row_blocks};
use crate::{Buffer, Cpu, Isa, Precision};

/// The right-hand side of a multiplication, (K, N), packed in panels of columns, in the precision
/// of its [`Cpu`].
#[derive(Clone, Debug, PartialEq)]
pub struct PackedMatrix {
    isa: Isa,
    /// `K`.
    rows: usize,
    /// `N`.
    columns: usize,
    panels: Panels,
}

/// `ceil(N / NR)` panels of NR columns, the last padded with zeros.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Panels {
    F32(Buffer<f32>),
    Bf16(Buffer<Pair>),
    Int8(Int8Panels),
}

impl PackedMatrix {
    /// Room for a (`rows`, `columns`) matrix, all zeros.
    ///
    /// # Panics
    /// In int8, when there are more rows than [`super::INT8_LONGEST_SUM`].
    pub fn new(cpu: &Cpu, rows: usize, columns: usize) -> Self {
        fn zeros<W: Word>(cpu: &Cpu, rows: usize, columns: usize) -> Buffer<W> {
            cpu.buffer(packed_len::<W>(cpu.isa(), rows, columns))
        }
        let isa = cpu.isa();
        let panels = match cpu.precision() {
            Precision::F32 => Panels::F32(zeros(cpu, rows, columns)),
            Precision::Bf16 => Panels::Bf16(zeros(cpu, rows, columns)),
            Precision::Int8 => Panels::Int8(Int8Panels::new(cpu, rows, columns)),
        };
        Self { isa, rows, columns, panels }
    }

    /// `K`.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// `N`.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The panels, once sure that they are for this CPU.
    pub(super) fn panels(&self, cpu: &Cpu) -> &Panels {
        assert_eq!(self.isa, cpu.isa(), "packed for another instruction set");
        &self.panels
    }

    /// Packs a row-major (K, N) matrix.
    ///
    /// # Panics
    /// When the size differs.
    pub fn pack(&mut self, cpu: &Cpu, matrix: &[f32]) {
        self.pack_as(cpu, matrix, false);
    }

    /// Packs the transpose of a row-major (N, K) matrix: a weight as `torch.nn.Linear` keeps it.
    ///
    /// # Panics
    /// When the size differs.
    pub fn pack_transposed(&mut self, cpu: &Cpu, matrix: &[f32]) {
        self.pack_as(cpu, matrix, true);
    }

    fn pack_as(&mut self, cpu: &Cpu, matrix: &[f32], transposed: bool) {
        assert_eq!(self.isa, cpu.isa(), "packed for another instruction set");
        assert_eq!(matrix.len(), self.rows * self.columns, "(K, N) or (N, K) values");
        let shape = (self.rows, self.columns);
        match &mut self.panels {
            Panels::F32(panels) => pack(cpu, matrix, shape, transposed, panels),
            Panels::Bf16(panels) => pack(cpu, matrix, shape, transposed, panels),
            Panels::Int8(panels) => panels.pack(cpu, matrix, shape, transposed),
        }
    }
}

/// Updates a weight (N, K) by AdamW and packs it while its rows are in cache: its transpose into
/// `forward` (K, N), itself into `backward` (N, K). The gradient is left as it is.
///
/// # Panics
/// When sizes do not fit, or the matrices are of int8, which is for inference.
pub fn update_weight(
    cpu: &Cpu,
    settings: &AdamW,
    tensors: Tensors<'_>,
    gradient: &mut [f32],
    forward: &mut PackedMatrix,
    backward: &mut PackedMatrix,
) {
    let (k, n) = (forward.rows, forward.columns);
    assert_eq!((backward.rows, backward.columns), (n, k), "one is the transpose of the other");
    assert_eq!(gradient.len(), n * k, "(N, K) values");
    assert!(forward.isa == cpu.isa() && backward.isa == cpu.isa(), "packed for this CPU");
    match (&mut forward.panels, &mut backward.panels) {
        (Panels::F32(forward), Panels::F32(backward)) => {
            update_and_pack(cpu, settings, tensors, gradient, (k, n), forward, backward);
        }
        (Panels::Bf16(forward), Panels::Bf16(backward)) => {
            update_and_pack(cpu, settings, tensors, gradient, (k, n), forward, backward);
        }
        _ => panic!("both of one precision, which is not int8"),
    }
}

fn update_and_pack<W: Word>(
    cpu: &Cpu,
    settings: &AdamW,
    tensors: Tensors<'_>,
    gradient: &mut [f32],
    (k, n): (usize, usize),
    forward: &mut [W],
    backward: &mut [W],
) {
    let isa = cpu.isa();
    let (nr, _) = block_shape(isa);
    let forward_len = panel_depth::<W>(isa, W::words(k)) * nr;
    let backward_depth = panel_depth::<W>(isa, W::words(n));
    // Rows of words: a task of NR rows of the weight owns one panel of `forward`, and
    // `words(NR)` of the rows of each panel of `backward`.
    let forward = RowsMut::new(forward, forward_len);
    let backward = RowsMut::new(backward, nr);
    settings.update_blocks(cpu, tensors, gradient, nr * k, |range, values, _| {
        let rows = range.start / k..range.end / k;
        // SAFETY: blocks start at multiples of NR rows, so each has a panel of its own.
        let panel = unsafe { forward.lend(rows.start / nr..rows.start / nr + 1) };
        isa.run(
            #[inline(always)]
            || pack_columns(values, k, 0..rows.len(), nr, k, panel),
        );
        W::seal(isa, W::words(k), panel);
        // As if sealed: tiles are as deep as a block, so only the last block is not whole.
        let gap = if rows.end == n { backward_depth - W::words(n) } else { 0 };
        for (index, first) in (0..k).step_by(nr).enumerate() {
            let start = index * backward_depth + rows.start / W::DEPTH + gap;
            // SAFETY: NR is a multiple of a word's depth, so no word is of two blocks.
            let words = unsafe { backward.lend(start..start + W::words(rows.len())) };
            let columns = first..(first + nr).min(k);
            isa.run(
                #[inline(always)]
                || pack_rows(values, k, columns, nr, rows.len(), words),
            );
        }
    });
}

fn pack<W: Word>(
    cpu: &Cpu,
    matrix: &[f32],
    (k, n): (usize, usize),
    transposed: bool,
    panels: &mut [W],
) {
    if panels.is_empty() {
        return;
    }
    let isa = cpu.isa();
    let (nr, _) = block_shape(isa);
    let panel_len = panel_depth::<W>(isa, W::words(k)) * nr;
    let outputs = [RowsMut::new(panels, panel_len)];
    for_row_blocks(cpu, n.div_ceil(nr), 4, outputs, |indices, [values]| {
        isa.run(
            #[inline(always)]
            || {
                for (index, panel) in indices.zip(values.chunks_exact_mut(panel_len)) {
                    let columns = index * nr..((index + 1) * nr).min(n);
                    if transposed {
                        pack_columns(matrix, k, columns, nr, k, panel);
                    } else {
                        pack_rows(matrix, n, columns, nr, k, panel);
                    }
                    W::seal(isa, W::words(k), panel);
                }
            },
        );
    });
}
