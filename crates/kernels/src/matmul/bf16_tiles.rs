//! Blocks of a bf16 multiplication: products of pairs, summed in f32 (`vdpbf16ps`).

use super::tile::Tile;
use super::word::Pair;
use crate::Isa;

/// # Safety
/// As [`super::tile::panel_times`] asks; the CPU must have AVX-512 BF16.
#[inline(always)]
pub(super) unsafe fn tile(isa: Isa, rows: usize, tile: &Tile<Pair>) {
    match isa {
        // SAFETY: handed on.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Amx => unsafe { avx512::tile(rows, tile) },
        // `Cpu::new` refuses bf16 on other levels.
        _ => unreachable!("no bf16 arithmetic on {isa}, for {rows} rows of {} words", tile.k),
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512bh, _MM_HINT_ET0, _mm_prefetch, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_si512,
        _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
    };

    use std::mem::transmute;

    use super::super::tile::{Tile, with_rows};
    use super::super::word::Pair;

    /// # Safety
    /// As [`super::super::tile::panel_times`] asks, for `rows <= 12`; the CPU must have AVX-512 F
    /// and BF16.
    pub(super) unsafe fn tile(rows: usize, tile: &Tile<Pair>) {
        // SAFETY: handed on.
        unsafe { with_rows!(rows, block(tile), 1 2 3 4 5 6 7 8 9 10 11 12) }
    }

    /// # Safety
    /// As [`super::super::tile::panel_times`] asks, for `MR` rows; the CPU must have AVX-512 F
    /// and BF16.
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn block<const MR: usize>(t: &Tile<Pair>) {
        let mut acc = [[_mm512_setzero_ps(); 2]; MR];
        // SAFETY: all offsets are inside what the caller vouches for; masked-off lanes are not
        // touched.
        unsafe {
            // The result is far away: on its way while the sums are made.
            for i in 0..MR {
                let row = t.c.add(i * t.c_row).cast::<i8>();
                _mm_prefetch::<_MM_HINT_ET0>(row);
                _mm_prefetch::<_MM_HINT_ET0>(row.wrapping_add(64));
            }
            for k in 0..t.k {
                let panel = t.panel.add(k * t.panel_row);
                let b0: __m512bh = transmute(_mm512_loadu_si512(panel.cast()));
                let b1: __m512bh = transmute(_mm512_loadu_si512(panel.add(16).cast()));
                for i in 0..MR {
                    let Pair(a) = *t.a.add(i * t.a_row + k * t.a_column);
                    let a: __m512bh = transmute(_mm512_set1_epi32(a.cast_signed()));
                    acc[i][0] = _mm512_dpbf16_ps(acc[i][0], a, b0);
                    acc[i][1] = _mm512_dpbf16_ps(acc[i][1], a, b1);
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
