//! What multiplications read: words of four bytes, each one f32 or two bf16 that are neighbours
//! along `K`.

use std::cell::RefCell;
use std::ops::Range;
use std::thread::LocalKey;

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::packed::Panels;
use super::tile::{PanelShape, Rows, Strided, Tile};
use crate::Isa;
use crate::memory::{Buffer, Memory, Zeroed};
use crate::operand::{Operand, View};

/// Buffers of a thread that are not lent at the moment, and where they come from.
pub(super) type Scratch<W> = LocalKey<RefCell<(Memory, Vec<Buffer<W>>)>>;

/// Four bytes of an operand: `DEPTH` values that are neighbours along `K`.
pub(crate) trait Word: Zeroed + Default {
    /// Values in a word.
    const DEPTH: usize;

    /// `K / DEPTH`, rounded up: a last word is filled with zeros.
    fn words(k: usize) -> usize {
        k.div_ceil(Self::DEPTH)
    }

    /// Fills `words` from values that are neighbours along `K`.
    fn along(values: &[f32], words: &mut [Self]);

    /// Fills `words` (one per column) from up to `DEPTH` rows, neighbours along `K`. Missing rows
    /// count as zeros.
    fn across<'a>(rows: impl Iterator<Item = &'a [f32]>, words: &mut [Self]);

    /// The values that `words` hold from the `first` on.
    fn widen(words: &[Self], first: usize, values: &mut [f32]);

    /// [`Word::across`] of rows that are words already, neighbours along their own columns: fills
    /// `words`, one per column.
    fn turn(first: &[Self], second: Option<&[Self]>, words: &mut [Self]);

    /// Adds each word's values to one sum.
    fn add_to(words: &[Self], sums: &mut [f32]);

    /// The words of an operand.
    ///
    /// # Panics
    /// When it is of another precision.
    fn of(view: View<'_>) -> &[Self];

    /// As [`Word::of`], to be written.
    fn of_mut(operand: &mut Operand) -> &mut [Self];

    /// As [`Word::of`], of a packed matrix.
    fn panels(panels: &Panels) -> &[Self];

    /// Panels' words along `K` come in multiples of this.
    fn tile_depth(_: Isa) -> usize {
        1
    }

    /// Makes of `k` words along `K`, packed from the start of a panel, what multiplications read.
    fn seal(_: Isa, _k: usize, _panel: &mut [Self]) {}

    /// Multiplies by a panel in tiles, where the CPU has them and the operands fit them; says
    /// whether it did.
    ///
    /// # Safety
    /// As [`super::tile::panel_times`] asks.
    unsafe fn in_tiles(
        _: Isa,
        _: PanelShape,
        _a: &Strided<'_, Self>,
        _panel: &[Self],
        _c: Rows,
    ) -> bool {
        false
    }

    /// Multiplies one block.
    ///
    /// # Safety
    /// As [`super::tile::panel_times`] asks.
    unsafe fn tile(isa: Isa, rows: usize, tile: &Tile<Self>);

    #[doc(hidden)]
    fn scratch() -> &'static Scratch<Self>;
}

impl Word for f32 {
    const DEPTH: usize = 1;

    #[inline(always)]
    fn along(values: &[f32], words: &mut [f32]) {
        copy(values, words);
    }

    #[inline(always)]
    fn across<'a>(mut rows: impl Iterator<Item = &'a [f32]>, words: &mut [f32]) {
        copy(rows.next().expect("one row a word"), words);
    }

    #[inline(always)]
    fn widen(words: &[f32], first: usize, values: &mut [f32]) {
        values.copy_from_slice(&words[first..first + values.len()]);
    }

    #[inline(always)]
    fn turn(first: &[f32], _: Option<&[f32]>, words: &mut [f32]) {
        copy(first, words);
    }

    #[inline(always)]
    fn add_to(words: &[f32], sums: &mut [f32]) {
        sums.iter_mut().zip(words).for_each(|(sum, value)| *sum += value);
    }

    fn of(view: View<'_>) -> &[f32] {
        view.f32().expect(OF_THE_CPU)
    }

    fn of_mut(operand: &mut Operand) -> &mut [f32] {
        operand.f32_mut().expect(OF_THE_CPU)
    }

    fn panels(panels: &Panels) -> &[f32] {
        match panels {
            Panels::F32(panels) => panels,
            Panels::Bf16(_) | Panels::Int8(_) => panic!("{OF_THE_CPU}"),
        }
    }

    #[inline(always)]
    unsafe fn tile(isa: Isa, rows: usize, tile: &Tile<f32>) {
        // SAFETY: handed on.
        unsafe { super::f32_tiles::tile(isa, rows, tile) }
    }

    fn scratch() -> &'static Scratch<f32> {
        thread_local!(static BUFFERS: RefCell<(Memory, Vec<Buffer<f32>>)> = RefCell::default());
        &BUFFERS
    }
}

/// Copies as many values as there are. The usual numbers (steps that are turned, panels, strips) are
/// known here, which spares a call for each of these short rows.
#[inline(always)]
fn copy(from: &[f32], to: &mut [f32]) {
    #[inline(always)]
    fn sized<const N: usize>(from: &[f32], to: &mut [f32]) -> bool {
        match (<&[f32; N]>::try_from(from), <&mut [f32; N]>::try_from(to)) {
            (Ok(from), Ok(to)) => {
                *to = *from;
                true
            }
            _ => false,
        }
    }
    if !(sized::<32>(from, to) || sized::<96>(from, to) || sized::<16>(from, to)) {
        to.copy_from_slice(from);
    }
}

const OF_THE_CPU: &str = "operands are of the precision of their CPU";

/// Two bf16, the first along `K` in the low half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Pair(pub(crate) u32);

/// The upper 16 bits are `value` rounded to bf16, to nearest and ties to even; the lower are zero.
#[inline(always)]
pub(crate) fn round_to_bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1));
    // A NaN must not be rounded up to an infinity or a zero.
    let rounded = if value.is_nan() { bits | 0x40_0000 } else { rounded };
    rounded & 0xFFFF_0000
}

impl Word for Pair {
    const DEPTH: usize = 2;

    #[inline(always)]
    fn along(values: &[f32], words: &mut [Pair]) {
        if let Some(last) = words.last_mut() {
            *last = Pair(0);
        }
        for (half, &value) in Pair::halves_mut(words).iter_mut().zip(values) {
            *half = (round_to_bf16(value) >> 16) as u16;
        }
    }

    #[inline(always)]
    fn across<'a>(mut rows: impl Iterator<Item = &'a [f32]>, words: &mut [Pair]) {
        let first = rows.next().expect("at least one row a word");
        match rows.next() {
            Some(second) => {
                for (word, (&first, &second)) in words.iter_mut().zip(first.iter().zip(second)) {
                    *word = Pair(round_to_bf16(first) >> 16 | round_to_bf16(second));
                }
            }
            None => {
                for (word, &first) in words.iter_mut().zip(first) {
                    *word = Pair(round_to_bf16(first) >> 16);
                }
            }
        }
    }

    #[inline(always)]
    fn widen(words: &[Pair], first: usize, values: &mut [f32]) {
        let halves = &Pair::halves(words)[first..first + values.len()];
        for (value, &half) in values.iter_mut().zip(halves) {
            *value = f32::from_bits(u32::from(half) << 16);
        }
    }

    #[inline(always)]
    fn turn(first: &[Pair], second: Option<&[Pair]>, words: &mut [Pair]) {
        let first = Pair::halves(first);
        match second {
            Some(second) => {
                let halves = first.iter().zip(Pair::halves(second));
                for (word, (&first, &second)) in words.iter_mut().zip(halves) {
                    *word = Pair(u32::from(first) | u32::from(second) << 16);
                }
            }
            None => {
                let pairs = words.iter_mut().zip(first);
                pairs.for_each(|(word, &first)| *word = Pair(u32::from(first)));
            }
        }
    }

    #[inline(always)]
    fn add_to(words: &[Pair], sums: &mut [f32]) {
        for (sum, &Pair(word)) in sums.iter_mut().zip(words) {
            *sum += f32::from_bits(word << 16);
            *sum += f32::from_bits(word & 0xFFFF_0000);
        }
    }

    fn of(view: View<'_>) -> &[Pair] {
        view.bf16().expect(OF_THE_CPU)
    }

    fn of_mut(operand: &mut Operand) -> &mut [Pair] {
        operand.bf16_mut().expect(OF_THE_CPU)
    }

    fn panels(panels: &Panels) -> &[Pair] {
        match panels {
            Panels::Bf16(panels) => panels,
            Panels::F32(_) | Panels::Int8(_) => panic!("{OF_THE_CPU}"),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn tile_depth(isa: Isa) -> usize {
        if isa == Isa::Amx { amx::DEPTH } else { 1 }
    }

    #[cfg(target_arch = "x86_64")]
    fn seal(isa: Isa, k: usize, panel: &mut [Pair]) {
        if isa == Isa::Amx {
            amx::seal(k, panel);
        }
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn in_tiles(
        isa: Isa,
        shape: PanelShape,
        a: &Strided<'_, Pair>,
        panel: &[Pair],
        c: Rows,
    ) -> bool {
        let fits = isa == Isa::Amx && shape.k >= amx::DEPTH;
        if fits {
            assert_eq!(a.column, 1, "tiles read words along K end to end");
            // SAFETY: handed on; the CPU has tiles.
            unsafe { amx::panel_times(shape, a, panel, c) };
        }
        fits
    }

    #[inline(always)]
    unsafe fn tile(isa: Isa, rows: usize, tile: &Tile<Pair>) {
        // SAFETY: handed on.
        unsafe { super::bf16_tiles::tile(isa, rows, tile) }
    }

    fn scratch() -> &'static Scratch<Pair> {
        thread_local!(static BUFFERS: RefCell<(Memory, Vec<Buffer<Pair>>)> = RefCell::default());
        &BUFFERS
    }
}

impl Pair {
    /// All halves, the first of each pair first.
    #[inline(always)]
    fn halves(words: &[Pair]) -> &[u16] {
        const { assert!(cfg!(target_endian = "little"), "the low half comes first") };
        // SAFETY: a pair is four bytes of any content, as are two halves.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 2) }
    }

    /// As [`Pair::halves`], to be written.
    #[inline(always)]
    fn halves_mut(words: &mut [Pair]) -> &mut [u16] {
        const { assert!(cfg!(target_endian = "little"), "the low half comes first") };
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len() * 2) }
    }
}

/// Lends `len` words of this thread's own memory, of any content. Buffers grow once and are kept;
/// calls may nest.
pub(crate) fn with_scratch<W: Word, R>(len: usize, body: impl FnOnce(&mut [W]) -> R) -> R {
    lend(W::scratch(), len, body)
}

/// [`with_scratch`] of whatever is kept in `scratch`.
pub(super) fn lend<T: Zeroed, R>(
    scratch: &'static Scratch<T>,
    len: usize,
    body: impl FnOnce(&mut [T]) -> R,
) -> R {
    let mut buffer = scratch.with_borrow_mut(|(memory, buffers)| {
        let mut buffer = buffers.pop().unwrap_or_default();
        buffer.resize_in(memory, len);
        buffer
    });
    let result = body(&mut buffer);
    scratch.with_borrow_mut(|(_, buffers)| buffers.push(buffer));
    result
}

/// Packs columns `columns` of a row-major matrix of `stride` columns whose rows run along `K`:
/// `width` words for each of `words(K)` steps, missing columns zero.
#[inline(always)]
pub(crate) fn pack_rows<W: Word>(
    matrix: &[f32],
    stride: usize,
    columns: Range<usize>,
    width: usize,
    k: usize,
    packed: &mut [W],
) {
    let used = columns.len();
    for (step, words) in packed.chunks_exact_mut(width).take(W::words(k)).enumerate() {
        let rows = step * W::DEPTH..((step + 1) * W::DEPTH).min(k);
        let start = columns.start;
        W::across(rows.map(|row| &matrix[row * stride + start..][..used]), &mut words[..used]);
        words[used..].fill(W::default());
    }
}

/// Packs columns `columns` of a matrix of words, `stride` of them a row, whose rows run along `K`:
/// `width` words for each of `words(k)` steps, missing columns zero. Columns start at a whole word.
#[inline(always)]
pub(crate) fn pack_turned<W: Word>(
    matrix: &[W],
    stride: usize,
    columns: Range<usize>,
    width: usize,
    k: usize,
    packed: &mut [W],
) {
    debug_assert!(columns.start.is_multiple_of(W::DEPTH), "whole words");
    let used = columns.len();
    let words = columns.start / W::DEPTH..W::words(columns.end);
    for (step, packed) in packed.chunks_exact_mut(width).take(W::words(k)).enumerate() {
        let row = |row: usize| &matrix[row * stride..][words.clone()];
        let second = step * W::DEPTH + 1;
        let second = (W::DEPTH > 1 && second < k).then(|| row(second));
        W::turn(row(step * W::DEPTH), second, &mut packed[..used]);
        packed[used..].fill(W::default());
    }
}

/// Packs rows `rows` of a row-major matrix of row stride `stride` whose first `k` columns run along
/// `K`: `width` words for each of `words(k)` steps, missing rows zero.
#[inline(always)]
pub(crate) fn pack_columns<W: Word>(
    matrix: &[f32],
    stride: usize,
    rows: Range<usize>,
    width: usize,
    k: usize,
    packed: &mut [W],
) {
    /// Steps that are turned at a time.
    const STEPS: usize = 16;
    let (full, words) = (rows.len(), W::words(k));
    let mut turned = [[W::default(); STEPS]; 32];
    assert!(full <= width && width <= turned.len(), "a panel is at most {} wide", turned.len());
    for first in (0..words).step_by(STEPS) {
        let steps = STEPS.min(words - first);
        for (row, turned) in rows.clone().zip(&mut turned) {
            let values = first * W::DEPTH..((first + steps) * W::DEPTH).min(k);
            W::along(&matrix[row * stride..][values], &mut turned[..steps]);
        }
        let packed = &mut packed[first * width..(first + steps) * width];
        for (step, packed) in packed.chunks_exact_mut(width).enumerate() {
            for (word, turned) in packed.iter_mut().zip(&turned) {
                *word = turned[step];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_nearest_even() {
        for (value, expected) in [
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),               // a tie, to even
            (1.0 + 3.0 / 256.0, 1.0 + 1.0 / 64.0),  // a tie, to even
            (1.0 + 1.1 / 256.0, 1.0 + 1.0 / 128.0), // above a tie
            (f32::MAX, f32::INFINITY),
            (-0.0, -0.0),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            let found = f32::from_bits(round_to_bf16(value));
            assert_eq!(found.to_bits(), f32::to_bits(expected), "{value}: {found}, not {expected}");
        }
        for nan in [f32::NAN, f32::from_bits(0x7F80_0001), f32::from_bits(0xFFFF_FFFF)] {
            assert!(f32::from_bits(round_to_bf16(nan)).is_nan());
        }
    }

    #[test]
    fn both_ways_of_packing_agree() {
        fn check<W: Word + PartialEq + std::fmt::Debug>() {
            for (k, n) in [(1, 1), (5, 3), (26, 32), (33, 17), (64, 31)] {
                let matrix: Vec<f32> = (0..k * n).map(|i| (i as f32).sin()).collect();
                let mut turned = vec![0.0; k * n];
                for i in 0..k {
                    for j in 0..n {
                        turned[j * k + i] = matrix[i * n + j];
                    }
                }
                let mut across = vec![W::default(); 32 * W::words(k)];
                let mut along = across.clone();
                pack_rows(&matrix, n, 0..n, 32, k, &mut across);
                pack_columns(&turned, k, 0..n, 32, k, &mut along);
                assert_eq!(across, along, "k {k} n {n}");
                let stride = W::words(n);
                let mut rounded = vec![W::default(); k * stride];
                for (row, words) in matrix.chunks(n).zip(rounded.chunks_mut(stride)) {
                    W::along(row, words);
                }
                let mut turned = vec![W::default(); 32 * W::words(k)];
                pack_turned(&rounded, stride, 0..n, 32, k, &mut turned);
                assert_eq!(turned, across, "k {k} n {n}");
            }
        }
        check::<f32>();
        check::<Pair>();
    }
}
