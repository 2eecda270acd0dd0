//! Matrix multiplication, of f32 or of bf16 operands with sums in f32; of int8 in `int8`.
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
//! 1. The accumulators fill the registers: 12 x 2 vectors of 16 on AVX-512, 6 x 2 of 8 on AVX2,
//!    6 x 4 of 4 on NEON. Per step of `k` two vectors of B are loaded and each value of A is broadcast once.
//! 2. B is packed so that the inner loop reads it end to end; ragged last panels are padded with
//!    zeros, and only the store looks at the true width. Weights are packed once per update.
//! 3. A row of blocks meets a panel while the panel is in the nearest cache; A is read by
//!    strides; a transposed A is packed in strips.
//! 4. `k` is not split: each sum runs over the whole of `K` in order, whatever the split among
//!    threads, which is what makes results independent of their number.
//!
//! The cost of 4 is that very large `K` leaves the L2 cache; at this project's sizes it does not.
//!
//! A bf16 word is two values that are neighbours along `K`, multiplied and summed by one
//! instruction; all else is the same for both precisions.

#[cfg(target_arch = "x86_64")]
mod amx;
mod bf16_tiles;
mod f32_tiles;
mod int8;
mod int8_tiles;
mod packed;
mod tile;
mod transpose;
mod transposed;
mod word;

use std::ops::Range;
use std::time::Instant;

#[cfg(target_arch = "x86_64")]
pub(crate) use amx::is_available as amx_is_available;
pub use int8::{INT8_LONGEST_SUM, quantise_row};
pub use packed::{PackedMatrix, update_weight};
pub(crate) use tile::{Strided, block_shape, gemm_unpacked};
pub(crate) use transpose::transpose;
pub use transposed::matmul_transposed;
pub use word::Pair;
pub(crate) use word::{Word, with_scratch};

use packed::Panels;
use tile::{gemm, panel_depth};

use crate::operand::View;
use crate::rows::{RowsMut, for_row_blocks};
use crate::{Cpu, Isa, Precision};

/// Rows that a task takes at a time.
///
/// Register blocks are small: a panel in the nearest cache meets several of them. Tiles are so fast
/// that both operands must come from there: a task is one block, and panels pass by.
fn task_rows<W: Word>(isa: Isa) -> usize {
    if W::tile_depth(isa) > 1 { 32 } else { 96 }
}
/// Calls `$body` with `$Word` standing for the words of the CPU's operands.
macro_rules! by_precision {
    ($cpu:expr, $Word:ident => $body:expr) => {
        match $cpu.precision() {
            // Of int8 only the multiplications know, see `int8`.
            $crate::Precision::F32 | $crate::Precision::Int8 => {
                type $Word = f32;
                $body
            }
            $crate::Precision::Bf16 => {
                type $Word = $crate::matmul::Pair;
                $body
            }
        }
    };
}
pub(crate) use by_precision;

/// What becomes of the blocks of a product.
pub(crate) trait Finish: Sync {
    /// Takes columns `columns` of rows `rows`, which are in the nearest cache. What is in `block`
    /// beyond the columns is padding.
    fn finish<const NR: usize>(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        block: &mut [[f32; NR]],
    );
}

/// `A B`, (M, K) by (K, N), block by block handed to `finish`.
///
/// # Panics
/// When sizes do not fit.
pub(crate) fn matmul_blocks<W: Word>(
    cpu: &Cpu,
    a: View<'_>,
    b: &PackedMatrix,
    finish: &impl Finish,
) {
    /// One block of rows and one panel after the other.
    fn all<W: Word, const NR: usize>(
        isa: Isa,
        rows: Range<usize>,
        a: Strided<'_, W>,
        (k, n): (usize, usize),
        panels: &[W],
        finish: &impl Finish,
    ) {
        let m = rows.len();
        with_scratch(m * NR, |block: &mut [f32]| {
            for (index, panel) in panels.chunks_exact(panel_depth::<W>(isa, k) * NR).enumerate() {
                let columns = index * NR..((index + 1) * NR).min(n);
                gemm(isa, (m, k, NR), a, panel, block, NR, false);
                let (block, _) = block.as_chunks_mut::<NR>();
                isa.run(
                    #[inline(always)]
                    || finish.finish(rows.clone(), columns, block),
                );
            }
        });
    }
    if let Panels::Int8(panels) = b.panels(cpu) {
        return int8::matmul_blocks(cpu, a, b, panels, finish);
    }
    let (n, k, isa) = (b.columns(), b.rows(), cpu.isa());
    assert!(k > 0 && a.width() == k, "rows of {k}");
    let (words, k) = (W::of(a), W::words(k));
    let panels = W::panels(b.panels(cpu));
    let outputs: [RowsMut<'_, f32>; 0] = [];
    for_row_blocks(cpu, a.rows(), task_rows::<W>(cpu.isa()), outputs, |rows, []| {
        let values = &words[rows.start * k..rows.end * k];
        let a = Strided { values, row: k, column: 1 };
        match block_shape(isa).0 {
            8 => all::<W, 8>(isa, rows, a, (k, n), panels, finish),
            16 => all::<W, 16>(isa, rows, a, (k, n), panels, finish),
            32 => all::<W, 32>(isa, rows, a, (k, n), panels, finish),
            width => unreachable!("no panels are {width} wide"),
        }
    });
}

/// `C = A B`, (M, K) by (K, N), then `epilogue` over each finished block of rows while it is in
/// cache: it is called with the block's row range and its slices of the outputs, the first of which
/// is `C`.
///
/// # Panics
/// When sizes do not fit.
pub(crate) fn matmul_rows<const O: usize>(
    cpu: &Cpu,
    a: View<'_>,
    b: &PackedMatrix,
    outputs: [RowsMut<'_, f32>; O],
    epilogue: impl Fn(Range<usize>, [&mut [f32]; O]) + Sync,
) {
    if let Panels::Int8(panels) = b.panels(cpu) {
        return int8::matmul_rows(cpu, a, b, panels, outputs, epilogue);
    }
    by_precision!(cpu, W => matmul_rows_in::<W, O>(cpu, a, b, outputs, epilogue));
}

fn matmul_rows_in<W: Word, const O: usize>(
    cpu: &Cpu,
    a: View<'_>,
    b: &PackedMatrix,
    outputs: [RowsMut<'_, f32>; O],
    epilogue: impl Fn(Range<usize>, [&mut [f32]; O]) + Sync,
) {
    let (n, k) = (b.columns(), b.rows());
    assert!(k > 0 && a.width() == k, "rows of {k}");
    assert!(O > 0 && outputs[0].width() == n, "the result has rows of {n}");
    let (words, k) = (W::of(a), W::words(k));
    let panels = W::panels(b.panels(cpu));
    for_row_blocks(cpu, a.rows(), task_rows::<W>(cpu.isa()), outputs, |rows, slices| {
        let values = &words[rows.start * k..rows.end * k];
        let a = Strided { values, row: k, column: 1 };
        gemm(cpu.isa(), (rows.len(), k, n), a, panels, slices[0], n, false);
        epilogue(rows, slices);
    });
}

/// `C = A B`, (M, K) by (K, N).
///
/// # Panics
/// When sizes do not fit.
pub fn matmul(cpu: &Cpu, a: View<'_>, b: &PackedMatrix, c: &mut [f32]) {
    matmul_rows(cpu, a, b, [RowsMut::new(c, b.columns())], |_, _| {});
}

/// What the register blocks reach with operands in the nearest cache, in operations
/// a second on all threads: the limit of every multiplication here. Measures for `seconds`.
pub fn limit(cpu: &Cpu, seconds: f64) -> f64 {
    match cpu.precision() {
        Precision::F32 => limit_of::<f32>(cpu, seconds),
        Precision::Bf16 => limit_of::<Pair>(cpu, seconds),
        Precision::Int8 => limit_of_int8(cpu, seconds),
    }
}

fn limit_of<W: Word>(cpu: &Cpu, seconds: f64) -> f64 {
    const WORDS: usize = 160; // a panel and a block of A fit the first-level cache
    const REPEATS: usize = 2_000;
    let (nr, mr) = block_shape(cpu.isa());
    let mr = if W::tile_depth(cpu.isa()) > 1 { 32 } else { mr };
    let (a, panel) = (cpu.buffer::<W>(mr * WORDS), cpu.buffer::<W>(nr * WORDS));
    let start = Instant::now();
    let mut best = 0.0_f64;
    while start.elapsed().as_secs_f64() < seconds {
        let round = Instant::now();
        cpu.pool().run(cpu.threads(), &|_| {
            let mut c = cpu.buffer::<f32>(mr * nr);
            for _ in 0..REPEATS {
                let a = Strided { values: &a, row: WORDS, column: 1 };
                gemm(cpu.isa(), (mr, WORDS, nr), a, &panel, &mut c, nr, false);
            }
            std::hint::black_box(c);
        });
        let operations = 2 * mr * nr * WORDS * W::DEPTH * REPEATS * cpu.threads();
        best = best.max(operations as f64 / round.elapsed().as_secs_f64());
    }
    best
}

fn limit_of_int8(cpu: &Cpu, seconds: f64) -> f64 {
    const REPEATS: usize = 2_000;
    let of_one = int8::exercise(cpu, 1);
    let start = Instant::now();
    let mut best = 0.0_f64;
    while start.elapsed().as_secs_f64() < seconds {
        let round = Instant::now();
        cpu.pool().run(cpu.threads(), &|_| {
            int8::exercise(cpu, REPEATS);
        });
        let operations = of_one * REPEATS * cpu.threads();
        best = best.max(operations as f64 / round.elapsed().as_secs_f64());
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::adamw::{AdamW, Tensors};
    use crate::cpu::test_cpus;
    use crate::operand::Operand;

    /// Small whole numbers: sums are exact in any order.
    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 31 + seed * 17) % 11) as f32 - 5.0).collect()
    }

    fn naive(a: Strided<'_, f32>, b: &[f32], (m, k, n): (usize, usize, usize)) -> Vec<f32> {
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

    fn operand(cpu: &Cpu, values: &[f32], width: usize) -> Operand {
        let mut operand = Operand::default();
        operand.set(cpu, values, width);
        operand
    }

    const SIZES: [usize; 9] = [1, 2, 7, 12, 13, 26, 31, 33, 65];

    #[test]
    fn multiplies_at_ragged_sizes() {
        for cpu in test_cpus() {
            for m in SIZES {
                for n in SIZES {
                    let k = (m * 3 + n) % 90 + 1;
                    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
                    let view = Strided { values: &a, row: k, column: 1 };
                    let expected = naive(view, &b, (m, k, n));
                    let a = operand(&cpu, &a, k);
                    let mut packed = PackedMatrix::new(&cpu, k, n);
                    let mut c = vec![f32::NAN; m * n];
                    packed.pack(&cpu, &b);
                    matmul(&cpu, a.view(), &packed, &mut c);
                    assert_eq!(c, expected, "{cpu:?} m {m} k {k} n {n}");
                    packed.pack_transposed(&cpu, &transpose(&b, k, n));
                    c.fill(f32::NAN);
                    matmul(&cpu, a.view(), &packed, &mut c);
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
                    let tokens = (m + 5 * n) % 90 + 1;
                    let (a, b) = (numbers(tokens * m, 3), numbers(tokens * n, 4));
                    let view = Strided { values: &a, row: 1, column: m };
                    let product = naive(view, &b, (m, tokens, n));
                    let (mut c, mut sums) = (vec![1.0; m * n], vec![2.0; m]);
                    let (left, right) = (operand(&cpu, &a, m), operand(&cpu, &b, n));
                    let (left, right) = (left.view(), right.view());
                    matmul_transposed(&cpu, left, right, true, &mut c, &mut sums);
                    let expected: Vec<f32> = product.iter().map(|x| x + 1.0).collect();
                    assert_eq!(c, expected, "{cpu:?} m {m} tokens {tokens} n {n}");
                    let column = |i: usize| a.iter().skip(i).step_by(m).sum::<f32>();
                    let expected: Vec<f32> = (0..m).map(|i| column(i) + 2.0).collect();
                    assert_eq!(sums, expected, "{cpu:?} m {m} tokens {tokens} n {n}");
                    matmul_transposed(&cpu, left, right, false, &mut c, &mut sums);
                    assert_eq!(c, product, "overwritten, {cpu:?} m {m} tokens {tokens} n {n}");
                }
            }
        }
    }

    #[test]
    fn an_updated_weight_is_packed_as_if_packed_afterwards() {
        for cpu in test_cpus() {
            for (n, k) in [(1, 1), (33, 26), (70, 65), (32, 64)] {
                let settings = AdamW {
                    learning_rate: 0.01,
                    beta1: 0.9,
                    beta2: 0.999,
                    epsilon: 1e-8,
                    weight_decay: 0.1,
                    step: 1,
                    gradient_scale: 1.0,
                };
                let waves = |seed: f32| -> Vec<f32> {
                    (0..n * k).map(|i| (i as f32 * 0.7 + seed).sin()).collect()
                };
                let (mut w, mut g, mut m, mut v) =
                    (waves(0.1), waves(0.2), vec![0.0; n * k], vec![0.0; n * k]);
                let mut forward = PackedMatrix::new(&cpu, k, n);
                let mut backward = PackedMatrix::new(&cpu, n, k);
                let tensors =
                    Tensors { parameters: &mut w, first_moment: &mut m, second_moment: &mut v };
                update_weight(&cpu, &settings, tensors, &mut g, &mut forward, &mut backward);
                assert_ne!(w, waves(0.1));
                let mut expected = PackedMatrix::new(&cpu, k, n);
                expected.pack_transposed(&cpu, &w);
                assert_eq!(forward, expected, "{cpu:?} n {n} k {k}");
                let mut expected = PackedMatrix::new(&cpu, n, k);
                expected.pack(&cpu, &w);
                assert_eq!(backward, expected, "{cpu:?} n {n} k {k}");
            }
        }
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads() {
        for cpu in test_cpus() {
            let (m, k, n) = (101, 77, 90);
            let uneven = |len: usize| (0..len).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
            let (a, b) = (uneven(m * k), uneven(k * n));
            let results = [1, 2, 3, 8].map(|threads| {
                let cpu = Cpu::new(cpu.isa(), cpu.precision(), threads).unwrap();
                let mut packed = PackedMatrix::new(&cpu, k, n);
                packed.pack(&cpu, &b);
                let (mut c, mut d, mut sums) = (vec![0.0; m * n], vec![0.5; k * n], vec![0.0; k]);
                let a = operand(&cpu, &a, k);
                matmul(&cpu, a.view(), &packed, &mut c);
                let right = operand(&cpu, &c, n);
                matmul_transposed(&cpu, a.view(), right.view(), true, &mut d, &mut sums);
                (c, d, sums)
            });
            assert!(results.iter().all(|result| *result == results[0]), "{cpu:?}");
        }
    }

    #[test]
    fn multiplies_by_what_is_not_packed() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (m, k, n) in [(1, 1, 1), (5, 26, 19), (13, 7, 33), (30, 40, 64_usize)] {
                let stride = n.next_multiple_of(32) + 3;
                let (a, b) = (numbers(m * k, 5), numbers(k * stride, 6));
                let tight: Vec<f32> = b.chunks(stride).flat_map(|row| row[..n].to_vec()).collect();
                let view = Strided { values: &a, row: k, column: 1 };
                let expected = naive(view, &tight, (m, k, n));
                let mut c = vec![f32::NAN; m * 70];
                gemm_unpacked(isa, (m, k, n), view, (&b, stride), &mut c, 70);
                for (found, expected) in c.chunks(70).zip(expected.chunks(n)) {
                    assert_eq!(found[..n], *expected, "{isa} {m} {k} {n}");
                    assert!(found[n..].iter().all(|x| x.is_nan()), "{isa} {m} {k} {n}");
                }
            }
        }
    }
}
