//! Multiplication of int8 operands, for inference: whole products, exact sums, one scale a row of A
//! and one a column of B.
//!
//! Letters: `M` rows of the result, `N` its columns, `K` the length of the sums.
//!
//! ```text
//! packed once: for each column j of B: s_j = max |B[.][j]| / 127, b[.][j] = round(B[.][j] / s_j)
//! for each block of rows of A, when it is read
//!     for each row i: r_i = max |A[i][.]| / 127, a[i][.] = round(A[i][.] / r_i) + 128
//!     C[i][j] = (Σ_k a[i][k] b[k][j] - 128 Σ_k b[k][j]) r_i s_j
//! ```
//!
//! 1. Values are symmetric, from -127 to 127 (on AVX2 without VNNI, A's from -64 to 64: see
//!    [`Dot::largest`]). The instructions multiply an unsigned byte by a signed one, hence the 128;
//!    what it adds is known per column when B is packed, and taken off again.
//! 2. A is rounded when it is read and not where it is made: a row's scale needs the whole row, and
//!    rows are made block by block. So activations are f32 in memory, and all other kernels are
//!    those of f32. A row is rounded once and multiplied by all of B.
//! 3. A word is four neighbours along `K`, in panels of the same width as those of f32: what
//!    `vpdpbusd` reads, and AMX's `tdpbusd` too.
//! 4. Sums are exact, and what follows is one conversion and two multiplications: instruction levels
//!    that round A to the same range give the same bits.
//!
//! A row or column with something that is no finite number gives no finite number.

use std::cell::RefCell;
use std::ops::Range;

use super::Finish;
use super::int8_tiles::{Dot, Tile, panel_multiple};
use super::packed::PackedMatrix;
use super::tile::block_shape;
use super::word::lend;
use crate::memory::{Buffer, Memory};
use crate::operand::View;
use crate::rows::{RowsMut, for_row_blocks};
use crate::{Cpu, Isa};

/// Values of a word, neighbours along `K`.
const DEPTH: usize = 4;
/// The largest value of B's bytes.
const LARGEST: u8 = 127;

/// Longest sum that cannot leave an i32 on its way: a byte of A is up to 255, one of B up to 127.
pub const INT8_LONGEST_SUM: usize = 66_000;
const _: () = assert!(255 * 127 * INT8_LONGEST_SUM as u64 <= i32::MAX as u64);

/// The panels of a (K, N) matrix.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Int8Panels {
    dot: Dot,
    /// `ceil(N / NR)` panels of `words(K) * NR` words, the last padded with zeros.
    words: Buffer<u32>,
    /// `Σ b` of each column times the offset of A, padded to whole panels.
    sums: Buffer<u32>,
    /// Of each column, padded to whole panels.
    scales: Buffer<f32>,
}

/// Words of a row of `k` values, as panels of the level want them.
fn words(isa: Isa, k: usize) -> usize {
    k.div_ceil(DEPTH).next_multiple_of(panel_multiple(isa))
}

/// The scale of values, and what they are multiplied by to become at most `most`. Values all but
/// zero become zeros; the scale of what is not finite is not finite.
#[inline(always)]
fn scale_of(values: &[f32], most: f32) -> (f32, f32) {
    // Without its sign a float orders as its bits do, and NaN above all.
    let largest = values.iter().fold(0, |largest: u32, x| largest.max(x.to_bits() & 0x7FFF_FFFF));
    let largest = f32::from_bits(largest);
    if largest < 1e-35 { (0.0, 0.0) } else { (largest / most, most / largest) }
}

/// Rounds values, neighbours along `K`, to words of bytes of at most `most`, each `offset` above its
/// value; missing bytes are zero, up to the last word. Returns the scale.
#[inline(always)]
fn quantise(values: &[f32], most: u8, offset: u8, words: &mut [u32]) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to a whole number
    const { assert!(cfg!(target_endian = "little"), "the first byte is the lowest") };
    let (scale, inverse) = scale_of(values, f32::from(most));
    words[values.len() / DEPTH..].fill(0);
    // SAFETY: a word is four bytes of any content.
    let bytes = unsafe {
        std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), words.len() * DEPTH)
    };
    assert!(values.len() <= bytes.len(), "room for all values");
    for (byte, &value) in bytes.iter_mut().zip(values) {
        // The low bits of the sum hold the whole number in two's complement.
        *byte = ((value * inverse + ROUND).to_bits() as u8).wrapping_add(offset);
    }
    scale
}

/// Rounds each value of a row (an output's weights, a token's embedding) to a byte. Returns the
/// scale: `values[i]` is about `bytes[i] * scale`.
///
/// # Panics
/// When the lengths differ.
pub fn quantise_row(values: &[f32], bytes: &mut [i8]) -> f32 {
    assert_eq!(values.len(), bytes.len(), "a byte each");
    with_words(values.len().div_ceil(DEPTH), |words| {
        let scale = quantise(values, LARGEST, 0, words);
        let of_words = words.iter().flat_map(|word| word.to_le_bytes());
        bytes.iter_mut().zip(of_words).for_each(|(to, byte)| *to = byte.cast_signed());
        scale
    })
}

impl Int8Panels {
    pub(super) fn new(cpu: &Cpu, k: usize, n: usize) -> Self {
        Self::of(Dot::best(cpu.isa()), cpu, k, n)
    }

    /// For the multiplication `dot`, of the CPU's level.
    fn of(dot: Dot, cpu: &Cpu, k: usize, n: usize) -> Self {
        assert!(k <= INT8_LONGEST_SUM, "sums of at most {INT8_LONGEST_SUM} products, not {k}");
        let (nr, _) = block_shape(cpu.isa());
        let columns = n.next_multiple_of(nr);
        Self {
            dot,
            words: cpu.buffer(columns * words(cpu.isa(), k)),
            sums: cpu.buffer(columns),
            scales: cpu.buffer(columns),
        }
    }

    /// Packs a row-major (K, N) matrix, or where `transposed` an (N, K) one.
    pub(super) fn pack(
        &mut self,
        cpu: &Cpu,
        matrix: &[f32],
        (k, n): (usize, usize),
        transposed: bool,
    ) {
        if self.words.is_empty() {
            return;
        }
        let (nr, _) = block_shape(cpu.isa());
        let depth = words(cpu.isa(), k);
        let panel_len = depth * nr;
        let offset = i32::from(self.dot.offset());
        let (sums, scales) = (RowsMut::new(&mut self.sums, nr), RowsMut::new(&mut self.scales, nr));
        let panels = RowsMut::new(&mut self.words, panel_len);
        cpu.pool().run(n.div_ceil(nr), &|index| {
            // SAFETY: each panel is of one task.
            let (panel, sums, scales) = unsafe {
                let range = index..index + 1;
                (panels.lend(range.clone()), sums.lend(range.clone()), scales.lend(range))
            };
            panel.fill(0);
            let mut column = Vec::new();
            with_words(depth, |bytes| {
                for (slot, at) in (index * nr..((index + 1) * nr).min(n)).enumerate() {
                    column.clear();
                    if transposed {
                        column.extend_from_slice(&matrix[at * k..(at + 1) * k]);
                    } else {
                        column.extend((0..k).map(|row| matrix[row * n + at]));
                    }
                    cpu.isa().run(
                        #[inline(always)]
                        || {
                            scales[slot] = quantise(&column, LARGEST, 0, bytes);
                            let mut sum = 0;
                            for (&word, step) in bytes.iter().zip(panel.chunks_exact_mut(nr)) {
                                step[slot] = word;
                                for byte in word.to_le_bytes() {
                                    sum += i32::from(byte.cast_signed());
                                }
                            }
                            sums[slot] = (sum * offset).cast_unsigned();
                        },
                    );
                }
            });
        });
    }
}

/// Rows of A, rounded, and how they are multiplied.
struct Rows<'a> {
    dot: Dot,
    /// Words of a row along `K`.
    k: usize,
    words: &'a [u32],
    scales: &'a [f32],
}

impl Rows<'_> {
    /// Rounds rows of `k` values and lends them.
    fn with<R>(dot: Dot, values: &[f32], k: usize, body: impl FnOnce(Rows<'_>) -> R) -> R {
        let (rows, depth) = (values.len() / k, words(dot.isa(), k));
        let room = rows.next_multiple_of(dot.row_multiple()) * depth;
        with_words(room + rows, |scratch| {
            let (bytes, scales) = scratch.split_at_mut(room);
            // SAFETY: an f32 is four bytes of any content, and aligned as a word is.
            let scales: &mut [f32] =
                unsafe { std::slice::from_raw_parts_mut(scales.as_mut_ptr().cast(), rows) };
            dot.isa().run(
                #[inline(always)]
                || {
                    let rows = values.chunks_exact(k).zip(bytes.chunks_exact_mut(depth));
                    for ((values, words), scale) in rows.zip(&mut *scales) {
                        *scale = quantise(values, dot.largest(), dot.offset(), words);
                    }
                },
            );
            body(Rows { dot, k: depth, words: bytes, scales })
        })
    }

    /// These rows times panel `index`, of which the first `width` columns are stored to C, of row
    /// stride `stride`.
    fn times(&self, panels: &Int8Panels, index: usize, width: usize, c: &mut [f32], stride: usize) {
        let (nr, _) = block_shape(self.dot.isa());
        let m = self.scales.len();
        assert!(width <= nr && (m == 0 || (m - 1) * stride + width <= c.len()), "room for C");
        let panel = &panels.words[index * self.k * nr..(index + 1) * self.k * nr];
        let columns = index * nr..(index + 1) * nr;
        let most = self.dot.block_rows();
        let blocks = m.div_ceil(most);
        for block in 0..blocks {
            let rows = match self.dot {
                Dot::Amx => block * most..((block + 1) * most).min(m), // whole tiles, but for the last
                _ => block * m / blocks..(block + 1) * m / blocks,
            };
            let padded = rows.start + rows.len().next_multiple_of(self.dot.row_multiple());
            let tile = Tile {
                k: self.k,
                a: self.words[rows.start * self.k..padded * self.k].as_ptr(),
                row_scales: self.scales[rows.clone()].as_ptr(),
                panel: panel.as_ptr(),
                sums: panels.sums[columns.clone()].as_ptr().cast(),
                scales: panels.scales[columns.clone()].as_ptr(),
                c: c[rows.start * stride..].as_mut_ptr(),
                c_row: stride,
                width,
            };
            // SAFETY: the slices hold what the tile says; C was checked above.
            unsafe { self.dot.tile(rows.len(), &tile) }
        }
    }
}

/// [`super::matmul_blocks`] of int8.
pub(super) fn matmul_blocks(
    cpu: &Cpu,
    a: View<'_>,
    b: &PackedMatrix,
    panels: &Int8Panels,
    finish: &impl Finish,
) {
    fn all<const NR: usize>(
        isa: Isa,
        rows: Range<usize>,
        a: Rows<'_>,
        n: usize,
        panels: &Int8Panels,
        finish: &impl Finish,
    ) {
        super::with_scratch(rows.len() * NR, |block: &mut [f32]| {
            for index in 0..n.div_ceil(NR) {
                let columns = index * NR..((index + 1) * NR).min(n);
                a.times(panels, index, NR, block, NR);
                let (block, _) = block.as_chunks_mut::<NR>();
                isa.run(
                    #[inline(always)]
                    || finish.finish(rows.clone(), columns, block),
                );
            }
        });
    }
    let (n, k, isa) = (b.columns(), b.rows(), cpu.isa());
    let (values, dot) = (operand(a, k), panels.dot);
    let outputs: [RowsMut<'_, f32>; 0] = [];
    for_row_blocks(cpu, a.rows(), dot.task_rows(), outputs, |rows, []| {
        Rows::with(dot, &values[rows.start * k..rows.end * k], k, |a| match block_shape(isa).0 {
            8 => all::<8>(isa, rows, a, n, panels, finish),
            16 => all::<16>(isa, rows, a, n, panels, finish),
            32 => all::<32>(isa, rows, a, n, panels, finish),
            width => unreachable!("no panels are {width} wide"),
        });
    });
}

/// [`super::matmul_rows`] of int8.
pub(super) fn matmul_rows<const O: usize>(
    cpu: &Cpu,
    a: View<'_>,
    b: &PackedMatrix,
    panels: &Int8Panels,
    outputs: [RowsMut<'_, f32>; O],
    epilogue: impl Fn(Range<usize>, [&mut [f32]; O]) + Sync,
) {
    let (n, k, isa) = (b.columns(), b.rows(), cpu.isa());
    assert!(O > 0 && outputs[0].width() == n, "the result has rows of {n}");
    let (nr, _) = block_shape(isa);
    let (values, dot) = (operand(a, k), panels.dot);
    for_row_blocks(cpu, a.rows(), dot.task_rows(), outputs, |rows, slices| {
        Rows::with(dot, &values[rows.start * k..rows.end * k], k, |a| {
            for (index, first) in (0..n).step_by(nr).enumerate() {
                a.times(panels, index, nr.min(n - first), &mut slices[0][first..], n);
            }
        });
        epilogue(rows, slices);
    });
}

/// The values of an operand; activations of an int8 engine are f32 in memory.
fn operand(a: View<'_>, k: usize) -> &[f32] {
    assert!(k > 0 && a.width() == k, "rows of {k}");
    a.f32().expect("operands are of the precision of their CPU")
}

/// Multiplies a block of rows by a panel `repeats` times; returns the operations of one.
pub(super) fn exercise(cpu: &Cpu, repeats: usize) -> usize {
    const K: usize = 384; // as many bytes as a panel of `limit_of` has
    let isa = cpu.isa();
    let (nr, _) = block_shape(isa);
    let dot = Dot::best(isa);
    let m = dot.block_rows();
    let cpu = Cpu::new(isa, crate::Precision::Int8, 1).unwrap();
    let mut b = Int8Panels::of(dot, &cpu, K, nr);
    b.words.fill(0x0102_0304);
    let mut c = vec![0.0; m * nr];
    Rows::with(dot, &vec![1.0; m * K], K, |a| {
        for _ in 0..repeats {
            a.times(&b, 0, nr, &mut c, nr);
        }
    });
    std::hint::black_box(c);
    2 * m * nr * K
}

/// As [`super::with_scratch`], of words of bytes.
fn with_words<R>(len: usize, body: impl FnOnce(&mut [u32]) -> R) -> R {
    thread_local!(static BUFFERS: RefCell<(Memory, Vec<Buffer<u32>>)> = RefCell::default());
    lend(&BUFFERS, len, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;
    use crate::norm::tests::waves;
    use crate::operand::Operand;

    const SIZES: [usize; 13] = [1, 2, 5, 7, 8, 12, 13, 16, 17, 31, 32, 33, 65];

    fn cpus() -> Vec<Cpu> {
        let isas = Isa::ALL.into_iter().filter(|isa| isa.is_available());
        isas.flat_map(|isa| [1, 3].map(|threads| Cpu::new(isa, Precision::Int8, threads).unwrap()))
            .collect()
    }

    /// A row's bytes, of at most `most`, and scale, in plain arithmetic.
    fn naive_row(values: &[f32], most: u8) -> (Vec<i32>, f32) {
        let most = f32::from(most);
        let largest = values.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let inverse = if largest == 0.0 { 0.0 } else { most / largest };
        let round = |x: &f32| (x * inverse).round_ties_even() as i32;
        (values.iter().map(round).collect(), largest / most)
    }

    /// `A Bᵀ`; (M, K) and (N, K), with A rounded to at most `most`.
    fn naive(a: &[f32], b: &[f32], (m, k, n): (usize, usize, usize), most: u8) -> Vec<f32> {
        let rows = |x: &[f32], most| x.chunks(k).map(|x| naive_row(x, most)).collect::<Vec<_>>();
        let (a, b) = (rows(a, most), rows(b, LARGEST));
        let mut c = vec![0.0; m * n];
        for (i, (left, row_scale)) in a.iter().enumerate() {
            for (j, (right, scale)) in b.iter().enumerate() {
                let sum: i32 = left.iter().zip(right).map(|(x, y)| x * y).sum();
                c[i * n + j] = sum as f32 * (row_scale * scale);
            }
        }
        c
    }

    fn transpose(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        let at = |index: usize| matrix[index % rows * columns + index / rows];
        (0..matrix.len()).map(at).collect()
    }

    fn multiply(cpu: &Cpu, a: &[f32], packed: &PackedMatrix, c: &mut [f32]) {
        let mut operand = Operand::default();
        operand.set(cpu, a, packed.rows());
        crate::matmul::matmul(cpu, operand.view(), packed, c);
    }

    #[test]
    fn every_level_gives_the_bits_of_the_naive_twin() {
        for cpu in cpus() {
            for m in SIZES {
                for n in SIZES {
                    let k = (m * 7 + n * 3) % 70 + 1;
                    let (a, b) = (waves(m * k, 0.3), waves(n * k, 1.7));
                    let expected = naive(&a, &b, (m, k, n), Dot::best(cpu.isa()).largest());
                    let mut packed = PackedMatrix::new(&cpu, k, n);
                    packed.pack_transposed(&cpu, &b);
                    let mut c = vec![f32::NAN; m * n];
                    multiply(&cpu, &a, &packed, &mut c);
                    assert_eq!(c, expected, "{cpu:?} m {m} k {k} n {n}");
                    packed.pack(&cpu, &transpose(&b, n, k));
                    c.fill(f32::NAN);
                    multiply(&cpu, &a, &packed, &mut c);
                    assert_eq!(c, expected, "not transposed, {cpu:?} m {m} k {k} n {n}");
                }
            }
        }
    }

    /// The largest bytes of every sign: products of pairs do not fit 16 bits.
    #[test]
    fn no_sum_saturates() {
        check_extremes(13, 1203, 35);
    }

    #[test]
    fn the_longest_sum_fits() {
        check_extremes(1, INT8_LONGEST_SUM, 1);
    }

    fn check_extremes(m: usize, k: usize, n: usize) {
        let sign = |i: usize, of: usize| if i.is_multiple_of(of) { -1.0 } else { 1.0 };
        for of in [1, 2, 3, usize::MAX] {
            let a: Vec<f32> = (0..m * k).map(|i| sign(i, of)).collect();
            let b: Vec<f32> = (0..n * k).map(|i| sign(i, 5)).collect();
            for dot in Dot::ALL.into_iter().filter(|dot| dot.is_available()) {
                let expected = naive(&a, &b, (m, k, n), dot.largest());
                let isa = dot.isa();
                let cpu = Cpu::new(isa, Precision::Int8, 1).unwrap();
                let (nr, _) = block_shape(isa);
                let mut panels = Int8Panels::of(dot, &cpu, k, n);
                panels.pack(&cpu, &b, (k, n), true);
                let mut c = vec![f32::NAN; m * n];
                Rows::with(dot, &a, k, |rows| {
                    for (index, first) in (0..n).step_by(nr).enumerate() {
                        rows.times(&panels, index, nr.min(n - first), &mut c[first..], n);
                    }
                });
                assert_eq!(c, expected, "{dot:?}");
            }
        }
    }

    #[test]
    fn zeros_stay_zeros_and_what_is_not_finite_is_not_hidden() {
        for cpu in cpus() {
            let (k, n) = (9, 3);
            let b = waves(n * k, 0.4);
            let mut packed = PackedMatrix::new(&cpu, k, n);
            packed.pack_transposed(&cpu, &b);
            for (value, finite) in
                [(0.0, true), (1e-40, true), (f32::NAN, false), (f32::NEG_INFINITY, false)]
            {
                let mut a = vec![0.0; 2 * k];
                a[4] = value;
                a[k + 1] = 1.0;
                let mut c = vec![f32::NAN; 2 * n];
                multiply(&cpu, &a, &packed, &mut c);
                assert!(c[..n].iter().all(|x| if finite { *x == 0.0 } else { !x.is_finite() }));
                assert!(c[n..].iter().all(|x| x.is_finite() && *x != 0.0), "{c:?}");
            }
        }
    }

    #[test]
    fn rows_are_rounded_to_bytes() {
        for len in SIZES {
            let values = waves(len, 0.2);
            let mut bytes = vec![0; len];
            let scale = quantise_row(&values, &mut bytes);
            let (expected, expected_scale) = naive_row(&values, LARGEST);
            assert_eq!(scale, expected_scale);
            assert!(bytes.iter().zip(&expected).all(|(&byte, &value)| i32::from(byte) == value));
            // What was rounded once is rounded to the same again.
            let back: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) * scale).collect();
            let mut again = vec![0; len];
            quantise_row(&back, &mut again);
            assert_eq!(again, bytes);
        }
    }
}
