//! The right-hand side of a multiplication, packed once and used many times.

use super::tile::block_shape;
use super::word::{Pair, Word, pack_columns, pack_rows};
use crate::rows::{RowsMut, for_row_blocks};
use crate::{Cpu, Isa, Precision};

/// The right-hand side of a multiplication, (K, N), packed in panels of columns, in the precision
/// of its [`Cpu`].
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    isa: Isa,
    /// `K`.
    rows: usize,
    /// `N`.
    columns: usize,
    panels: Panels,
}

/// `ceil(N / NR)` panels of `words(K) * NR` words, the last padded with zeros.
#[derive(Clone, Debug)]
pub(super) enum Panels {
    F32(Vec<f32>),
    Bf16(Vec<Pair>),
}

impl PackedMatrix {
    /// Room for a (`rows`, `columns`) matrix, all zeros.
    pub fn new(cpu: &Cpu, rows: usize, columns: usize) -> Self {
        fn zeros<W: Word>(isa: Isa, rows: usize, columns: usize) -> Vec<W> {
            let (nr, _) = block_shape(isa);
            vec![W::default(); columns.div_ceil(nr) * nr * W::words(rows)]
        }
        let isa = cpu.isa();
        let panels = match cpu.precision() {
            Precision::F32 => Panels::F32(zeros(isa, rows, columns)),
            Precision::Bf16 => Panels::Bf16(zeros(isa, rows, columns)),
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
        }
    }
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
    let (nr, _) = block_shape(cpu.isa());
    let panel_len = W::words(k) * nr;
    let outputs = [RowsMut::new(panels, panel_len)];
    for_row_blocks(cpu, n.div_ceil(nr), 4, outputs, |indices, [values]| {
        cpu.isa().run(|| {
            for (index, panel) in indices.zip(values.chunks_exact_mut(panel_len)) {
                let columns = index * nr..((index + 1) * nr).min(n);
                if transposed {
                    pack_columns(matrix, k, columns, nr, k, panel);
                } else {
                    pack_rows(matrix, n, columns, nr, k, panel);
                }
            }
        });
    });
}
