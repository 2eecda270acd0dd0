//! Blocks of an f32 multiplication, one module an instruction level.

use super::tile::Tile;
use crate::Isa;

/// # Safety
/// As [`super::tile::panel_times`] asks.
#[inline(always)]
pub(super) unsafe fn tile(isa: Isa, rows: usize, tile: &Tile<f32>) {
    // SAFETY: handed on; the CPU has `isa`.
    unsafe {
        match isa {
            Isa::Portable => portable::tile(rows, tile),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::tile(rows, tile),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx => avx512::tile(rows, tile),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::tile(rows, tile),
            // `Cpu::new` refuses levels that the CPU lacks.
            _ => unreachable!("{isa} is of another architecture"),
        }
    }
}

mod portable {
    use super::super::tile::{Tile, with_rows};

    /// # Safety
    /// As [`super::super::tile::panel_times`] asks, for `rows <= 4`.
    pub(super) unsafe fn tile(rows: usize, tile: &Tile<f32>) {
        // SAFETY: handed on.
        unsafe { with_rows!(rows, block(tile), 1 2 3 4) }
    }

    /// # Safety
    /// As [`super::super::tile::panel_times`] asks, for `MR` rows.
    unsafe fn block<const MR: usize>(t: &Tile<f32>) {
        let mut acc = [[0.0_f32; 8]; MR];
        // SAFETY: all offsets are inside what the caller vouches for.
        unsafe {
            for k in 0..t.k {
                let b = &*t.panel.add(k * t.panel_row).cast::<[f32; 8]>();
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

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::{
        float32x4x4_t, vaddq_f32, vdupq_n_f32, vfmaq_n_f32, vld1q_f32, vld1q_f32_x4, vst1q_f32,
        vst1q_f32_x4,
    };

    use super::super::tile::{Tile, with_rows};

    /// # Safety
    /// As [`super::super::tile::panel_times`] asks, for `rows <= 6`; the CPU must have NEON.
    pub(super) unsafe fn tile(rows: usize, tile: &Tile<f32>) {
        // SAFETY: handed on.
        unsafe { with_rows!(rows, block(tile), 1 2 3 4 5 6) }
    }

    /// # Safety
    /// As [`super::super::tile::panel_times`] asks, for `MR` rows; the CPU must have NEON.
    #[target_feature(enable = "neon")]
    unsafe fn block<const MR: usize>(t: &Tile<f32>) {
        let mut acc = [[vdupq_n_f32(0.0); 4]; MR];
        // SAFETY: all offsets are inside what the caller vouches for; rows of C shorter than a panel
        // are stored by way of an array.
        unsafe {
            for k in 0..t.k {
                let b = vld1q_f32_x4(t.panel.add(k * t.panel_row));
                let b = [b.0, b.1, b.2, b.3];
                for i in 0..MR {
                    let a = *t.a.add(i * t.a_row + k * t.a_column);
                    for (sum, &b) in acc[i].iter_mut().zip(&b) {
                        *sum = vfmaq_n_f32(*sum, b, a);
                    }
                }
            }
            for i in 0..MR {
                let c = t.c.add(i * t.c_row);
                if t.width == 16 {
                    for (quarter, &sum) in acc[i].iter().enumerate() {
                        let c = c.add(4 * quarter);
                        let sum = if t.accumulate { vaddq_f32(vld1q_f32(c), sum) } else { sum };
                        vst1q_f32(c, sum);
                    }
                } else {
                    let mut values = [0.0_f32; 16];
                    let [first, second, third, fourth] = acc[i];
                    let sums = float32x4x4_t(first, second, third, fourth);
                    vst1q_f32_x4(values.as_mut_ptr(), sums);
                    let row = std::slice::from_raw_parts_mut(c, t.width);
                    for (slot, &value) in row.iter_mut().zip(&values) {
                        *slot = if t.accumulate { *slot + value } else { value };
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256, _MM_HINT_ET0, _mm_prefetch, _mm256_add_ps, _mm256_broadcast_ss, _mm256_fmadd_ps,
        _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    use super::super::tile::{Tile, with_rows};

    /// # Safety
    /// As [`super::super::tile::panel_times`] asks, for `rows <= 6`; the CPU must have AVX2 and FMA.
    pub(super) unsafe fn tile(rows: usize, tile: &Tile<f32>) {
        // SAFETY: handed on.
        unsafe { with_rows!(rows, block(tile), 1 2 3 4 5 6) }
    }

    /// Adds the products to sums, with element (i, k) of A `at(i, k)` after its first.
    ///
    /// # Safety
    /// As [`block`] asks.
    #[inline(always)]
    unsafe fn multiply<const MR: usize>(
        t: &Tile<f32>,
        acc: &mut [[__m256; 2]; MR],
        at: impl Fn(usize, usize) -> usize,
    ) {
        const STEPS: usize = 4; // between two tests for the end
        let whole = t.k - t.k % STEPS;
        // SAFETY: all offsets are inside what the caller vouches for.
        unsafe {
            let mut k = 0;
            while k < whole {
                for step in 0..STEPS {
                    multiply_one(t, acc, k + step, &at);
                }
                k += STEPS;
            }
            while k < t.k {
                multiply_one(t, acc, k, &at);
                k += 1;
            }
        }
    }

    /// One step of [`multiply`].
    ///
    /// # Safety
    /// As [`block`] asks, for `k < t.k`.
    #[inline(always)]
    unsafe fn multiply_one<const MR: usize>(
        t: &Tile<f32>,
        acc: &mut [[__m256; 2]; MR],
        k: usize,
        at: impl Fn(usize, usize) -> usize,
    ) {
        // SAFETY: all offsets are inside what the caller vouches for.
        unsafe {
            let b0 = _mm256_loadu_ps(t.panel.add(k * t.panel_row));
            let b1 = _mm256_loadu_ps(t.panel.add(k * t.panel_row + 8));
            for i in 0..MR {
                let a = _mm256_broadcast_ss(&*t.a.add(at(i, k)));
                acc[i][0] = _mm256_fmadd_ps(a, b0, acc[i][0]);
                acc[i][1] = _mm256_fmadd_ps(a, b1, acc[i][1]);
            }
        }
    }

    /// # Safety
    /// As [`super::super::tile::panel_times`] asks, for `MR` rows; the CPU must have AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn block<const MR: usize>(t: &Tile<f32>) {
        let mut acc = [[_mm256_setzero_ps(); 2]; MR];
        // SAFETY: all offsets are inside what the caller vouches for.
        unsafe {
            // The result is far away: on its way while the sums are made.
            for i in 0..MR {
                _mm_prefetch::<_MM_HINT_ET0>(t.c.add(i * t.c_row).cast());
            }
            // Where A's elements lie next to one another, their addresses cost less.
            match (t.a_row, t.a_column) {
                (row, 1) => multiply(t, &mut acc, |i, k| i * row + k),
                (1, column) => multiply(t, &mut acc, |i, k| i + k * column),
                (row, column) => multiply(t, &mut acc, |i, k| i * row + k * column),
            }
            for i in 0..MR {
                let c = t.c.add(i * t.c_row);
                if t.width == 16 {
                    for (half, &sum) in acc[i].iter().enumerate() {
                        let c = c.add(8 * half);
                        let sum =
                            if t.accumulate { _mm256_add_ps(_mm256_loadu_ps(c), sum) } else { sum };
                        _mm256_storeu_ps(c, sum);
                    }
                } else {
                    let mut values = [0.0_f32; 16];
                    _mm256_storeu_ps(values.as_mut_ptr(), acc[i][0]);
                    _mm256_storeu_ps(values.as_mut_ptr().add(8), acc[i][1]);
                    let row = std::slice::from_raw_parts_mut(c, t.width);
                    for (slot, &value) in row.iter_mut().zip(&values) {
                        *slot = if t.accumulate { *slot + value } else { value };
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        _MM_HINT_ET0, _mm_prefetch, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
        _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
    };

    use super::super::tile::{Tile, with_rows};

    /// # Safety
    /// As [`super::super::tile::panel_times`] asks, for `rows <= 12`; the CPU must have AVX-512 F.
    pub(super) unsafe fn tile(rows: usize, tile: &Tile<f32>) {
        // SAFETY: handed on.
        unsafe { with_rows!(rows, block(tile), 1 2 3 4 5 6 7 8 9 10 11 12) }
    }

    /// # Safety
    /// As [`super::super::tile::panel_times`] asks, for `MR` rows; the CPU must have AVX-512 F.
    #[target_feature(enable = "avx512f")]
    unsafe fn block<const MR: usize>(t: &Tile<f32>) {
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
                let b0 = _mm512_loadu_ps(t.panel.add(k * t.panel_row));
                let b1 = _mm512_loadu_ps(t.panel.add(k * t.panel_row + 16));
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
