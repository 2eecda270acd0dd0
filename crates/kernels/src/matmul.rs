//! Matrix multiplication in f32.
//!
//! Letters: `M` rows of the result, `N` its columns, `K` the length of the sums.
//!
//! ```text
//! for each panel of NR columns of B (packed: K rows of NR values end to end)
//!     for each block of at most MR rows of A
//!         acc[MR][NR] = 0
//!         for k in 0..K: acc[i][j] += A[i][k] * panel[k][j]
//!         C[i][j] = acc[i][j], or += acc[i][j]
//! ```
//!
//! 1. The accumulators fill the registers: 12 x 2 vectors of 16 on AVX-512, 6 x 2 of 8 on AVX2. Per
//!    step of `k` two vectors of B are loaded and each value of A is broadcast once.
//! 2. B is packed so that the inner loop reads it end to end; ragged last panels are padded with
//!    zeros, and only the store looks at the true width. Weights are packed once per update.
//! 3. A row of blocks meets a panel while the panel is in the nearest cache; A is read in place by
//!    strides, so that a transposed A costs nothing.
//! 4. `k` is not split: each sum runs over the whole of `K` in order, whatever the split among
//!    threads, which is what makes results independent of their number.
//!
//! The cost of 4 is that very large `K` leaves the L2 cache; at this project's sizes it does not.

use std::cell::RefCell;
use std::ops::Range;

use crate::rows::{ColumnsMut, RowsMut, for_row_blocks};
use crate::{Cpu, Isa};

/// Rows a task takes at a time: a few register blocks, so that a panel is used more than once.
const TASK_ROWS: usize = 48;

/// Columns of a panel and rows of a register block.
const fn block_shape(isa: Isa) -> (usize, usize) {
    match isa {
        Isa::Portable => (8, 4),
        Isa::Avx2 => (16, 6),
        Isa::Avx512 => (32, 12),
    }
}

/// The right-hand side of a multiplication, (K, N), packed in panels of columns.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    isa: Isa,
    /// `K`.
    rows: usize,
    /// `N`.
    columns: usize,
    /// `ceil(N / NR)` panels of `K * NR` values, the last padded with zeros.
    panels: Vec<f32>,
}

impl PackedMatrix {
    /// Room for a (`rows`, `columns`) matrix, all zeros.
    pub fn new(cpu: &Cpu, rows: usize, columns: usize) -> Self {
        let (nr, _) = block_shape(cpu.isa());
        let panels = vec![0.0; columns.div_ceil(nr) * nr * rows];
        Self { isa: cpu.isa(), rows, columns, panels }
    }

    /// `K`.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// `N`.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Packs a row-major (K, N) matrix.
    ///
    /// # Panics
    /// When the size differs.
    pub fn pack(&mut self, cpu: &Cpu, matrix: &[f32]) {
        assert_eq!(matrix.len(), self.rows * self.columns, "(K, N) values");
        let (columns, rows) = (self.columns, self.rows);
        self.pack_with(cpu, |range, panel, nr| {
            for k in 0..rows {
                let source = &matrix[k * columns + range.start..k * columns + range.end];
                panel[k * nr..k * nr + range.len()].copy_from_slice(source);
            }
        });
    }

    /// Packs the transpose of a row-major (N, K) matrix: a weight as `torch.nn.Linear` keeps it.
    ///
    /// # Panics
    /// When the size differs.
    pub fn pack_transposed(&mut self, cpu: &Cpu, matrix: &[f32]) {
        assert_eq!(matrix.len(), self.rows * self.columns, "(N, K) values");
        let rows = self.rows;
        self.pack_with(cpu, |range, panel, nr| pack_columns(matrix, rows, rows, range, panel, nr));
    }

    fn pack_with(&mut self, cpu: &Cpu, fill: impl Fn(Range<usize>, &mut [f32], usize) + Sync) {
        assert_eq!(self.isa, cpu.isa(), "packed for another instruction set");
        if self.panels.is_empty() {
            return;
        }
        let (nr, _) = block_shape(self.isa);
        let (columns, panel_len) = (self.columns, self.rows * nr);
        let panels = columns.div_ceil(nr);
        let outputs = [RowsMut::new(&mut self.panels, panel_len)];
        for_row_blocks(cpu, panels, 4, outputs, |indices, [values]| {
            for (index, panel) in indices.zip(values.chunks_exact_mut(panel_len)) {
                fill(index * nr..((index + 1) * nr).min(columns), panel, nr);
            }
        });
    }
}

/// Fills one panel with rows `range` of a matrix of `K` columns and row stride `stride`, transposed.
fn pack_columns(
    matrix: &[f32],
    k: usize,
    stride: usize,
    range: Range<usize>,
    panel: &mut [f32],
    nr: usize,
) {
    for (column, row) in range.enumerate() {
        let source = &matrix[row * stride..row * stride + k];
        for (slot, &value) in panel[column..].iter_mut().step_by(nr).zip(source) {
            *slot = value;
        }
    }
}

/// `C = A B` (or `C += A B`), (M, K) by (K, N), then `epilogue` over each finished block of rows while it is in
/// cache: it is called with the block's row range and its slices of the outputs, the first of which
/// is `C`.
///
/// # Panics
/// When sizes do not fit.
pub(crate) fn matmul_rows<const O: usize>(
    cpu: &Cpu,
    a: &[f32],
    b: &PackedMatrix,
    accumulate: bool,
    outputs: [RowsMut<'_>; O],
    epilogue: impl Fn(Range<usize>, [&mut [f32]; O]) + Sync,
) {
    let (n, k) = (b.columns, b.rows);
    assert_eq!(b.isa, cpu.isa(), "packed for another instruction set");
    assert!(k > 0 && a.len().is_multiple_of(k), "whole rows of {k}");
    assert!(O > 0 && outputs[0].width() == n, "the result has rows of {n}");
    for_row_blocks(cpu, a.len() / k, TASK_ROWS, outputs, |rows, slices| {
        let a_rows = Strided { values: &a[rows.start * k..rows.end * k], row: k, column: 1 };
        gemm(b.isa, rows.len(), k, n, a_rows, &b.panels, slices[0], n, accumulate);
        epilogue(rows, slices);
    });
}

/// `C = A B`, (M, K) by (K, N).
///
/// # Panics
/// When sizes do not fit.
pub fn matmul(cpu: &Cpu, a: &[f32], b: &PackedMatrix, c: &mut [f32]) {
    matmul_rows(cpu, a, b, false, [RowsMut::new(c, b.columns)], |_, _| {});
}

/// `C += Aᵀ B`, (T, M) and (T, N) to (M, N): the gradient of a weight, summed over tokens in order.
///
/// # Panics
/// When sizes do not fit.
pub fn matmul_transposed_accumulate(cpu: &Cpu, a: &[f32], b: &[f32], tokens: usize, c: &mut [f32]) {
    if tokens == 0 {
        return;
    }
    assert!(a.len().is_multiple_of(tokens) && b.len().is_multiple_of(tokens), "whole rows");
    let (m, n) = (a.len() / tokens, b.len() / tokens);
    assert_eq!(c.len(), m * n, "(M, N) results");
    let (nr, _) = block_shape(cpu.isa());
    let c = ColumnsMut::new(c, n);
    crate::rows::for_column_blocks(cpu, n, nr, |columns| {
        with_scratch(tokens * nr, |panel| {
            let width = columns.len();
            for (slot, row) in panel.chunks_exact_mut(nr).zip(b.chunks_exact(n)) {
                slot[..width].copy_from_slice(&row[columns.clone()]);
                slot[width..].fill(0.0);
            }
            let view = Strided { values: a, row: 1, column: m };
            // SAFETY: columns `columns` of all M rows of C are this task's own; A is (T, M) read
            // with strides (1, M); the panel is `tokens` rows of NR.
            unsafe {
                let start = c.as_mut_ptr().add(columns.start);
                panel_times(cpu.isa(), m, tokens, width, &view, panel, start, n, true);
            }
        });
    });
}

/// A matrix read by strides: element (i, k) is `values[i * row + k * column]`.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl Strided<'_> {
    /// Whether all elements of an (m, k) matrix are inside.
    fn holds(&self, m: usize, k: usize) -> bool {
        m == 0 || k == 0 || (m - 1) * self.row + (k - 1) * self.column < self.values.len()
    }
}

/// Number of floats that [`pack_small`] and [`pack_small_transposed`] fill.
pub(crate) fn packed_len(isa: Isa, k: usize, n: usize) -> usize {
    let (nr, _) = block_shape(isa);
    n.div_ceil(nr) * nr * k
}

/// Packs a (K, N) matrix of row stride `stride` into `panels`, on this thread.
pub(crate) fn pack_small(
    isa: Isa,
    matrix: &[f32],
    stride: usize,
    (k, n): (usize, usize),
    panels: &mut [f32],
) {
    let (nr, _) = block_shape(isa);
    for (index, panel) in panels.chunks_exact_mut(nr * k).take(n.div_ceil(nr)).enumerate() {
        let first = index * nr;
        let width = nr.min(n - first);
        for (slot, row) in panel.chunks_exact_mut(nr).zip(matrix.chunks(stride)) {
            slot[..width].copy_from_slice(&row[first..first + width]);
            slot[width..].fill(0.0);
        }
    }
}

/// Packs the transpose of an (N, K) matrix of row stride `stride` into `panels`, on this thread.
pub(crate) fn pack_small_transposed(
    isa: Isa,
    matrix: &[f32],
    stride: usize,
    (k, n): (usize, usize),
    panels: &mut [f32],
) {
    let (nr, _) = block_shape(isa);
    for (index, panel) in panels.chunks_exact_mut(nr * k).take(n.div_ceil(nr)).enumerate() {
        let range = index * nr..((index + 1) * nr).min(n);
        if range.len() < nr {
            panel.fill(0.0);
        }
        pack_columns(matrix, k, stride, range, panel, nr);
    }
}

/// `C = A B` (or `C += A B`) on this thread, with B packed; C has row stride `stride`.
///
/// # Panics
/// When sizes do not fit.
pub(crate) fn gemm(
    isa: Isa,
    m: usize,
    k: usize,
    n: usize,
    a: Strided<'_>,
    panels: &[f32],
    c: &mut [f32],
    stride: usize,
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= stride && (m - 1) * stride + n <= c.len(), "the result has room");
    // SAFETY: C holds what is written, as just checked.
    unsafe { gemm_into(isa, (m, k, n), a, panels, c.as_mut_ptr(), stride, accumulate) }
}

/// [`gemm`] into memory of which other threads may write other columns.
///
/// # Safety
/// `c` must be valid for writing `n` values in each of `m` rows `stride` apart.
///
/// # Panics
/// When A or B is too small.
pub(crate) unsafe fn gemm_into(
    isa: Isa,
    (m, k, n): (usize, usize, usize),
    a: Strided<'_>,
    panels: &[f32],
    c: *mut f32,
    stride: usize,
    accumulate: bool,
) {
    let (nr, _) = block_shape(isa);
    assert!(a.holds(m, k) && panels.len() >= packed_len(isa, k, n), "operands are large enough");
    for first in (0..n).step_by(nr) {
        let panel = &panels[first * k..first * k + nr * k];
        // SAFETY: A holds what is read, as just checked; C as the caller promises.
        unsafe {
            let c = c.add(first);
            panel_times(isa, m, k, nr.min(n - first), &a, panel, c, stride, accumulate);
        }
    }
}

/// One panel against all rows of A.
///
/// # Safety
/// `a` must hold an (m, k) matrix, `panel` k rows of NR values, and `c` must be valid for writing
/// `width <= NR` values in each of `m` rows `stride` apart. The CPU must have `isa`.
unsafe fn panel_times(
    isa: Isa,
    m: usize,
    k: usize,
    width: usize,
    a: &Strided<'_>,
    panel: &[f32],
    c: *mut f32,
    stride: usize,
    accumulate: bool,
) {
    let (nr, mr) = block_shape(isa);
    debug_assert!(a.holds(m, k) && panel.len() >= k * nr && (1..=nr).contains(&width));
    let blocks = m.div_ceil(mr);
    for block in 0..blocks {
        let rows = block * m / blocks..(block + 1) * m / blocks;
        let tile = Tile {
            k,
            a: a.values.as_ptr().wrapping_add(rows.start * a.row),
            a_row: a.row,
            a_column: a.column,
            panel: panel.as_ptr(),
            c: c.wrapping_add(rows.start * stride),
            c_row: stride,
            width,
            accumulate,
        };
        // SAFETY: the tile is part of what the caller vouches for.
        unsafe {
            match isa {
                Isa::Portable => portable::tile(rows.len(), &tile),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2::tile(rows.len(), &tile),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => avx512::tile(rows.len(), &tile),
                #[cfg(not(target_arch = "x86_64"))]
                _ => portable::tile(rows.len(), &tile),
            }
        }
    }
}

/// The work of a micro-kernel: at most MR rows against one panel.
struct Tile {
    k: usize,
    a: *const f32,
    a_row: usize,
    a_column: usize,
    panel: *const f32,
    c: *mut f32,
    c_row: usize,
    width: usize,
    accumulate: bool,
}

mod portable {
    use super::Tile;

    /// # Safety
    /// As [`super::panel_times`] asks, for `rows <= 4`.
    pub(super) unsafe fn tile(rows: usize, tile: &Tile) {
        // SAFETY: handed on.
        unsafe {
            match rows {
                1 => block::<1>(tile),
                2 => block::<2>(tile),
                3 => block::<3>(tile),
                _ => block::<4>(tile),
            }
        }
    }

    /// # Safety
    /// As [`super::panel_times`] asks, for `MR` rows.
    unsafe fn block<const MR: usize>(t: &Tile) {
        let mut acc = [[0.0_f32; 8]; MR];
        // SAFETY: all offsets are inside what the caller vouches for.
        unsafe {
            for k in 0..t.k {
                let b = &*t.panel.add(k * 8).cast::<[f32; 8]>();
                for i in 0..MR {
                    let a = *t.a.add(i * t.a_row + k * t.a_column);
                    for j in 0..8 {
                        acc[i][j] += a * b[j];
                    }
                }
            }
            for i in 0..MR {
                let row = std::slice::from_raw_parts_mut(t.c.add(i * t.c_row), t.width);
                for (slot, &value) in row.iter_mut().zip(&acc[i]) {
                    *slot = if t.accumulate { *slot + value } else { value };
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    use super::Tile;

    /// # Safety
    /// As [`super::panel_times`] asks, for `rows <= 6`; the CPU must have AVX2 and FMA.
    pub(super) unsafe fn tile(rows: usize, tile: &Tile) {
        // SAFETY: handed on.
        unsafe {
            match rows {
                1 => block::<1>(tile),
                2 => block::<2>(tile),
                3 => block::<3>(tile),
                4 => block::<4>(tile),
                5 => block::<5>(tile),
                _ => block::<6>(tile),
            }
        }
    }

    /// # Safety
    /// As [`super::panel_times`] asks, for `MR` rows; the CPU must have AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn block<const MR: usize>(t: &Tile) {
        let mut acc = [[_mm256_setzero_ps(); 2]; MR];
        // SAFETY: all offsets are inside what the caller vouches for.
        unsafe {
            for k in 0..t.k {
                let b0 = _mm256_loadu_ps(t.panel.add(k * 16));
                let b1 = _mm256_loadu_ps(t.panel.add(k * 16 + 8));
                for i in 0..MR {
                    let a = _mm256_broadcast_ss(&*t.a.add(i * t.a_row + k * t.a_column));
                    acc[i][0] = _mm256_fmadd_ps(a, b0, acc[i][0]);
                    acc[i][1] = _mm256_fmadd_ps(a, b1, acc[i][1]);
                }
            }
            for i in 0..MR {
                let mut values = [0.0_f32; 16];
                _mm256_storeu_ps(values.as_mut_ptr(), acc[i][0]);
                _mm256_storeu_ps(values.as_mut_ptr().add(8), acc[i][1]);
                let row = std::slice::from_raw_parts_mut(t.c.add(i * t.c_row), t.width);
                for (slot, &value) in row.iter_mut().zip(&values) {
                    *slot = if t.accumulate { *slot + value } else { value };
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
        _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
    };

    use super::Tile;

    /// # Safety
    /// As [`super::panel_times`] asks, for `rows <= 12`; the CPU must have AVX-512 F.
    pub(super) unsafe fn tile(rows: usize, tile: &Tile) {
        // SAFETY: handed on.
        unsafe {
            match rows {
                1 => block::<1>(tile),
                2 => block::<2>(tile),
                3 => block::<3>(tile),
                4 => block::<4>(tile),
                5 => block::<5>(tile),
                6 => block::<6>(tile),
                7 => block::<7>(tile),
                8 => block::<8>(tile),
                9 => block::<9>(tile),
                10 => block::<10>(tile),
                11 => block::<11>(tile),
                _ => block::<12>(tile),
            }
        }
    }

    /// # Safety
    /// As [`super::panel_times`] asks, for `MR` rows; the CPU must have AVX-512 F.
    #[target_feature(enable = "avx512f")]
    unsafe fn block<const MR: usize>(t: &Tile) {
        let mut acc = [[_mm512_setzero_ps(); 2]; MR];
        // SAFETY: all offsets are inside what the caller vouches for; masked-off lanes are not
        // touched.
        unsafe {
            for k in 0..t.k {
                let b0 = _mm512_loadu_ps(t.panel.add(k * 32));
                let b1 = _mm512_loadu_ps(t.panel.add(k * 32 + 16));
                for i in 0..MR {
                    let a = _mm512_set1_ps(*t.a.add(i * t.a_row + k * t.a_column));
                    acc[i][0] = _mm512_fmadd_ps(a, b0, acc[i][0]);
                    acc[i][1] = _mm512_fmadd_ps(a, b1, acc[i][1]);
                }
            }
            let mask = if t.width >= 32 { u32::MAX } else { (1_u32 << t.width) - 1 };
            let masks = [mask as u16, (mask >> 16) as u16];
            for i in 0..MR {
                for half in 0..2 {
                    let address = t.c.add(i * t.c_row).wrapping_add(16 * half);
                    let mut value = acc[i][half];
                    if t.accumulate {
                        value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(masks[half], address));
                    }
                    _mm512_mask_storeu_ps(address, masks[half], value);
                }
            }
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` floats of this thread's own memory, of any content. It grows once and is kept.
pub(crate) fn with_scratch<R>(len: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        body(&mut scratch[..len])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::test_cpus;

    /// Small whole numbers: sums are exact in any order.
    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 31 + seed * 17) % 11) as f32 - 5.0).collect()
    }

    fn naive(a: Strided<'_>, b: &[f32], (m, k, n): (usize, usize, usize)) -> Vec<f32> {
        let mut c = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                for p in 0..k {
                    c[i * n + j] += a.values[i * a.row + p * a.column] * b[p * n + j];
                }
            }
        }
        c
    }

    fn transpose(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        let mut out = vec![0.0; matrix.len()];
        for i in 0..rows {
            for j in 0..columns {
                out[j * rows + i] = matrix[i * columns + j];
            }
        }
        out
    }

    const SIZES: [usize; 9] = [1, 2, 7, 12, 13, 26, 31, 33, 65];

    #[test]
    fn multiplies_at_ragged_sizes() {
        for cpu in test_cpus() {
            for m in SIZES {
                for n in SIZES {
                    let k = (m * 3 + n) % 40 + 1;
                    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
                    let view = Strided { values: &a, row: k, column: 1 };
                    let expected = naive(view, &b, (m, k, n));
                    let mut packed = PackedMatrix::new(&cpu, k, n);
                    let mut c = vec![f32::NAN; m * n];
                    packed.pack(&cpu, &b);
                    matmul(&cpu, &a, &packed, &mut c);
                    assert_eq!(c, expected, "{cpu:?} m {m} k {k} n {n}");
                    packed.pack_transposed(&cpu, &transpose(&b, k, n));
                    c.fill(f32::NAN);
                    matmul(&cpu, &a, &packed, &mut c);
                    assert_eq!(c, expected, "transposed, {cpu:?} m {m} k {k} n {n}");
                }
            }
        }
    }

    #[test]
    fn accumulates_transposed_products() {
        for cpu in test_cpus() {
            for m in SIZES {
                for n in SIZES {
                    let tokens = (m + 5 * n) % 37 + 1;
                    let (a, b) = (numbers(tokens * m, 3), numbers(tokens * n, 4));
                    let view = Strided { values: &a, row: 1, column: m };
                    let product = naive(view, &b, (m, tokens, n));
                    let mut c = vec![1.0; m * n];
                    matmul_transposed_accumulate(&cpu, &a, &b, tokens, &mut c);
                    let expected: Vec<f32> = product.iter().map(|x| x + 1.0).collect();
                    assert_eq!(c, expected, "{cpu:?} m {m} tokens {tokens} n {n}");
                }
            }
        }
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let (m, k, n) = (101, 77, 90);
            let uneven = |len: usize| (0..len).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
            let (a, b) = (uneven(m * k), uneven(k * n));
            let results = [1, 2, 3, 8].map(|threads| {
                let cpu = Cpu::new(isa, threads);
                let mut packed = PackedMatrix::new(&cpu, k, n);
                packed.pack(&cpu, &b);
                let (mut c, mut d) = (vec![0.0; m * n], vec![0.5; k * n]);
                matmul(&cpu, &a, &packed, &mut c);
                matmul_transposed_accumulate(&cpu, &a, &c, m, &mut d);
                (c, d)
            });
            assert!(results.iter().all(|result| *result == results[0]), "{isa}");
        }
    }

    #[test]
    fn small_packing_takes_strided_blocks() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let (m, k, n, stride) = (5, 26, 19, 40);
            let (a, b) = (numbers(m * k, 5), numbers(n * stride, 6));
            let tight: Vec<f32> =
                (0..n).flat_map(|j| b[j * stride..j * stride + k].to_vec()).collect();
            let expected = naive(
                Strided { values: &a, row: k, column: 1 },
                &transpose(&tight, n, k),
                (m, k, n),
            );
            let mut panels = vec![f32::NAN; packed_len(isa, k, n)];
            pack_small_transposed(isa, &b, stride, (k, n), &mut panels);
            let mut c = vec![f32::NAN; m * 50];
            let view = Strided { values: &a, row: k, column: 1 };
            gemm(isa, m, k, n, view, &panels, &mut c, 50, false);
            for i in 0..m {
                assert_eq!(c[i * 50..i * 50 + n], expected[i * n..(i + 1) * n], "{isa}");
                assert!(c[i * 50 + n..(i + 1) * 50].iter().all(|x| x.is_nan()), "{isa}");
            }
        }
    }
}
