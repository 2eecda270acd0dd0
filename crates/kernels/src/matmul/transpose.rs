//! Transposes matrices of four-byte words.

use super::word::Word;
use crate::Isa;

/// Rows and columns that are turned together: a vector of words, a cache line.
const BLOCK: usize = 16;

/// The transpose of rows of `width` words, to rows `stride` words apart.
///
/// # Panics
/// When the rows are not whole, or sizes do not fit.
pub(super) fn transpose<W: Word>(
    isa: Isa,
    rows: &[W],
    width: usize,
    columns: &mut [W],
    stride: usize,
) {
    let height = rows.len() / width;
    assert!(rows.len() == height * width && height <= stride, "whole rows, and room for each");
    assert!(columns.len() >= (width - 1) * stride + height, "room for all columns");
    for row in (0..height).step_by(BLOCK) {
        for column in (0..width).step_by(BLOCK) {
            #[cfg(target_arch = "x86_64")]
            if isa >= Isa::Avx512 && row + BLOCK <= height && column + BLOCK <= width {
                const { assert!(size_of::<W>() == 4) };
                // SAFETY: the block is inside both, and words are four bytes of any content.
                unsafe {
                    let from = rows.as_ptr().add(row * width + column).cast();
                    let to = columns.as_mut_ptr().add(column * stride + row).cast();
                    avx512::transpose_block(from, width, to, stride);
                }
                continue;
            }
            let _ = isa; // of no use on other architectures
            for column in column..(column + BLOCK).min(width) {
                for row in row..(row + BLOCK).min(height) {
                    columns[column * stride + row] = rows[row * width + column];
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
                let rows: Vec<f32> = (0..height * width).map(|i| i as f32).collect();
                let stride = height + 3;
                let mut columns = vec![-1.0; width * stride];
                transpose(isa, &rows, width, &mut columns, stride);
                for (column, found) in columns.chunks(stride).enumerate() {
                    let expected = rows.iter().skip(column).step_by(width);
                    assert!(expected.eq(&found[..height]), "{isa} {height} x {width}");
                    assert_eq!(found[height..], [-1.0; 3], "{isa} {height} x {width}");
                }
            }
        }
    }
}
