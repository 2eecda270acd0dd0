//! Transposes matrices of four-byte words.

use super::word::Word;
use crate::Isa;

/// Rows and columns that are turned together: a vector of words, a cache line.
const BLOCK: usize = 16;

/// The transpose of `height` rows of `width` words: from rows `from.1` words apart to rows `to.1`
/// words apart.
///
/// # Panics
/// When sizes do not fit.
pub(crate) fn transpose<W: Word>(
    isa: Isa,
    (height, width): (usize, usize),
    (from, from_row): (&[W], usize),
    (to, to_row): (&mut [W], usize),
) {
    if height == 0 || width == 0 {
        return;
    }
    assert!(width <= from_row && (height - 1) * from_row + width <= from.len(), "all rows");
    assert!(height <= to_row && (width - 1) * to_row + height <= to.len(), "room for all columns");
    for row in (0..height).step_by(BLOCK) {
        for column in (0..width).step_by(BLOCK) {
            #[cfg(target_arch = "x86_64")]
            if isa >= Isa::Avx512 && row + BLOCK <= height && column + BLOCK <= width {
                const { assert!(size_of::<W>() == 4) };
                // SAFETY: the block is inside both, and words are four bytes of any content.
                unsafe {
                    let from = from.as_ptr().add(row * from_row + column).cast();
                    let to = to.as_mut_ptr().add(column * to_row + row).cast();
                    avx512::transpose_block(from, from_row, to, to_row);
                }
                continue;
            }
            let _ = isa; // of no use on other architectures
            for column in column..(column + BLOCK).min(width) {
                for row in row..(row + BLOCK).min(height) {
                    to[column * to_row + row] = from[row * from_row + column];
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512i, _mm512_loadu_si512, _mm512_setzero_si512, _mm512_shuffle_i32x4,
        _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
        _mm512_unpacklo_epi64,
    };

    /// Transposes 16 x 16 words: within 4 x 4 blocks first, then the blocks.
    ///
    /// # Safety
    /// Both must have 16 rows of 16 words, `from_row` and `to_row` words apart; the CPU must have
    /// AVX-512 F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn transpose_block(
        from: *const u32,
        from_row: usize,
        to: *mut u32,
        to_row: usize,
    ) {
        let mut rows = [_mm512_setzero_si512(); 16];
        for (i, row) in rows.iter_mut().enumerate() {
            // SAFETY: row i, as the caller promises.
            *row = unsafe { _mm512_loadu_si512(from.add(i * from_row).cast()) };
        }
        // Quarter q of quads[4 b + j]: column 4 q + j of rows 4 b to 4 b + 3.
        let mut quads = [_mm512_setzero_si512(); 16];
        for b in 0..4 {
            let [r0, r1, r2, r3] = [rows[4 * b], rows[4 * b + 1], rows[4 * b + 2], rows[4 * b + 3]];
            let (low01, high01) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
            let (low23, high23) = (_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
            quads[4 * b] = _mm512_unpacklo_epi64(low01, low23);
            quads[4 * b + 1] = _mm512_unpackhi_epi64(low01, low23);
            quads[4 * b + 2] = _mm512_unpacklo_epi64(high01, high23);
            quads[4 * b + 3] = _mm512_unpackhi_epi64(high01, high23);
        }
        for j in 0..4 {
            let [b0, b1, b2, b3]: [__m512i; 4] =
                [quads[j], quads[4 + j], quads[8 + j], quads[12 + j]];
            // Quarters 0 and 2 of two, then 1 and 3.
            let (even01, odd01) =
                (_mm512_shuffle_i32x4::<0x88>(b0, b1), _mm512_shuffle_i32x4::<0xDD>(b0, b1));
            let (even23, odd23) =
                (_mm512_shuffle_i32x4::<0x88>(b2, b3), _mm512_shuffle_i32x4::<0xDD>(b2, b3));
            let columns = [
                (j, _mm512_shuffle_i32x4::<0x88>(even01, even23)),
                (8 + j, _mm512_shuffle_i32x4::<0xDD>(even01, even23)),
                (4 + j, _mm512_shuffle_i32x4::<0x88>(odd01, odd23)),
                (12 + j, _mm512_shuffle_i32x4::<0xDD>(odd01, odd23)),
            ];
            for (column, words) in columns {
                // SAFETY: row `column` of the result, as the caller promises.
                unsafe { _mm512_storeu_si512(to.add(column * to_row).cast(), words) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (height, width) in [(1, 1), (3, 16), (16, 16), (33, 47), (48, 32), (15, 96)] {
                let (from_row, stride) = (width + 2, height + 3);
                let rows: Vec<f32> = (0..height * from_row).map(|i| i as f32).collect();
                let mut columns = vec![-1.0; width * stride];
                transpose(isa, (height, width), (&rows, from_row), (&mut columns, stride));
                for (column, found) in columns.chunks(stride).enumerate() {
                    let expected = rows.iter().skip(column).step_by(from_row);
                    assert!(expected.eq(&found[..height]), "{isa} {height} x {width}");
                    assert_eq!(found[height..], [-1.0; 3], "{isa} {height} x {width}");
                }
            }
        }
    }
}
