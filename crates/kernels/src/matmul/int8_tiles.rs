//! Blocks of an int8 multiplication: unsigned bytes by signed ones, exact sums in i32, one module a
//! set of instructions.

#[cfg(target_arch = "x86_64")]
use std::mem::MaybeUninit;

use super::tile::with_rows;
use crate::Isa;

/// Words along `K` come in multiples of this, those beyond the last zero: whole tiles.
pub(super) fn panel_multiple(isa: Isa) -> usize {
    if isa == Isa::Amx { 16 } else { 1 }
}

/// With what bytes are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dot {
    /// What the compiler makes of plain loops.
    Portable,
    /// The same, on panels of NEON.
    Neon,
    /// Four bytes at once (NEON's dot product, of signed bytes by signed ones).
    NeonSdot,
    /// Pairs of bytes, summed in 16 bits (`vpmaddubsw`), hence the narrower bytes of A: see
    /// [`Dot::largest`].
    Avx2,
    /// Four bytes at once (AVX-VNNI).
    Avx2Vnni,
    /// Bytes of both widened for each block, on AVX-512 BW.
    Avx512,
    /// Four bytes at once (AVX-512 VNNI).
    Avx512Vnni,
    /// Tiles (AMX).
    Amx,
}

/// At most [`Dot::block_rows`] rows against one panel.
pub(super) struct Tile {
    /// Words along `K`.
    pub(super) k: usize,
    /// Rows of `k` words, end to end.
    pub(super) a: *const u32,
    /// One a row.
    pub(super) row_scales: *const f32,
    /// `k` rows of NR words.
    pub(super) panel: *const u32,
    /// What A's offset adds to each of NR columns.
    pub(super) sums: *const i32,
    /// One for each of NR columns.
    pub(super) scales: *const f32,
    pub(super) c: *mut f32,
    pub(super) c_row: usize,
    pub(super) width: usize,
}

impl Dot {
    #[cfg(test)]
    pub(super) const ALL: [Dot; 8] = [
        Dot::Portable,
        Dot::Neon,
        Dot::NeonSdot,
        Dot::Avx2,
        Dot::Avx2Vnni,
        Dot::Avx512,
        Dot::Avx512Vnni,
        Dot::Amx,
    ];

    /// The level whose panels it reads.
    pub(super) fn isa(self) -> Isa {
        match self {
            Dot::Portable => Isa::Portable,
            Dot::Neon | Dot::NeonSdot => Isa::Neon,
            Dot::Avx2 | Dot::Avx2Vnni => Isa::Avx2,
            Dot::Avx512 | Dot::Avx512Vnni => Isa::Avx512,
            Dot::Amx => Isa::Amx,
        }
    }

    /// Whether this CPU has it.
    pub(super) fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let has = match self {
            Dot::Avx2Vnni => is_x86_feature_detected!("avxvnni"),
            Dot::Avx512Vnni => is_x86_feature_detected!("avx512vnni"),
            _ => true,
        };
        #[cfg(target_arch = "aarch64")]
        let has = self != Dot::NeonSdot || std::arch::is_aarch64_feature_detected!("dotprod");
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let has = true;
        has && self.isa().is_available()
    }

    /// The fastest of a level that this CPU has.
    pub(super) fn best(isa: Isa) -> Self {
        let fastest_first: &[Dot] = match isa {
            Isa::Portable => &[],
            Isa::Neon => &[Dot::NeonSdot, Dot::Neon],
            Isa::Avx2 => &[Dot::Avx2Vnni, Dot::Avx2],
            Isa::Avx512 => &[Dot::Avx512Vnni, Dot::Avx512],
            Isa::Amx => &[Dot::Amx, Dot::Avx512Vnni, Dot::Avx512],
        };
        let mut all = fastest_first.iter().copied();
        all.find(|dot| dot.is_available()).unwrap_or(Dot::Portable)
    }

    /// Rows of a block: as many as the registers hold beside what is multiplied.
    pub(super) fn block_rows(self) -> usize {
        match self {
            Dot::Portable | Dot::Neon => 4,
            Dot::NeonSdot | Dot::Avx2 | Dot::Avx2Vnni => 6,
            Dot::Avx512 | Dot::Avx512Vnni => 12,
            Dot::Amx => 32,
        }
    }

    /// Rows that a task takes at a time, as for other precisions.
    pub(super) fn task_rows(self) -> usize {
        if self == Dot::Amx { 32 } else { 96 }
    }

    /// Rows of A come in multiples of this, those beyond the last of any content.
    pub(super) fn row_multiple(self) -> usize {
        if self == Dot::Amx { 16 } else { 1 }
    }

    /// The largest value that A is rounded to. Sums of two products must fit 16 bits on AVX2, which
    /// leaves A seven bits and a half: `(2 * 64 + 1) * 2 * 127 = 32_766`.
    pub(super) fn largest(self) -> u8 {
        if self == Dot::Avx2 { 64 } else { 127 }
    }

    /// What is added to A's values, so that they are unsigned and not zero.
    pub(super) fn offset(self) -> u8 {
        self.largest() + 1
    }

    /// Multiplies one block and stores it.
    ///
    /// # Safety
    /// The CPU must have the instructions, `rows` be at most [`Dot::block_rows`], and the tile hold
    /// what it says, with A's rows in a [`Dot::row_multiple`], `k` a multiple of [`panel_multiple`]
    /// of the level, and `c` valid for writing `width <= NR` values in each of `rows` rows `c_row`
    /// apart.
    #[inline(always)]
    pub(super) unsafe fn tile(self, rows: usize, tile: &Tile) {
        // SAFETY: handed on.
        unsafe {
            match self {
                Dot::Portable => with_rows!(rows, portable_block(tile), 1 2 3 4),
                Dot::Neon => with_rows!(rows, wide_block(tile), 1 2 3 4),
                #[cfg(target_arch = "aarch64")]
                Dot::NeonSdot => with_rows!(rows, neon_sdot_block(tile), 1 2 3 4 5 6),
                #[cfg(target_arch = "x86_64")]
                Dot::Avx2 => with_rows!(rows, avx2_block(tile), 1 2 3 4 5 6),
                #[cfg(target_arch = "x86_64")]
                Dot::Avx2Vnni => with_rows!(rows, avx2_vnni_block(tile), 1 2 3 4 5 6),
                #[cfg(target_arch = "x86_64")]
                Dot::Avx512 => with_rows!(rows, avx512_block(tile), 1 2 3 4 5 6 7 8 9 10 11 12),
                #[cfg(target_arch = "x86_64")]
                Dot::Avx512Vnni => {
                    with_rows!(rows, avx512_vnni_block(tile), 1 2 3 4 5 6 7 8 9 10 11 12);
                }
                #[cfg(target_arch = "x86_64")]
                Dot::Amx => {
                    let mut sums = MaybeUninit::<x86::TileSums>::uninit();
                    let to = sums.as_mut_ptr().cast();
                    super::amx::int8_block(rows > 16, tile.k, tile.a, tile.panel, to);
                    x86::amx_store(rows, tile, to);
                }
                // `Dot::best` chooses what the CPU has.
                #[allow(unreachable_patterns)]
                _ => unreachable!("{self:?} is of another architecture"),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
use x86::{avx2_block, avx2_vnni_block, avx512_block, avx512_vnni_block};

#[cfg(target_arch = "aarch64")]
use neon::neon_sdot_block;

/// # Safety
/// As [`Dot::tile`] asks, for `MR` rows of panels 8 wide.
unsafe fn portable_block<const MR: usize>(t: &Tile) {
    // SAFETY: handed on.
    unsafe { plain_block::<MR, 8>(t) }
}

/// # Safety
/// As [`Dot::tile`] asks, for `MR` rows of panels 16 wide.
unsafe fn wide_block<const MR: usize>(t: &Tile) {
    // SAFETY: handed on.
    unsafe { plain_block::<MR, 16>(t) }
}

/// # Safety
/// As [`Dot::tile`] asks, for `MR` rows of panels `NR` wide.
#[inline(always)]
unsafe fn plain_block<const MR: usize, const NR: usize>(t: &Tile) {
    let mut acc = [[0_i32; NR]; MR];
    // SAFETY: all offsets are inside what the caller vouches for.
    unsafe {
        for k in 0..t.k {
            let b = &*t.panel.add(k * NR).cast::<[[i8; 4]; NR]>();
            for i in 0..MR {
                let a = &*t.a.add(i * t.k + k).cast::<[u8; 4]>();
                for j in 0..NR {
                    for d in 0..4 {
                        acc[i][j] += i32::from(a[d]) * i32::from(b[j][d]);
                    }
                }
            }
        }
        for i in 0..MR {
            let row = std::slice::from_raw_parts_mut(t.c.add(i * t.c_row), t.width);
            for (j, slot) in row.iter_mut().enumerate() {
                let sum = acc[i][j] - *t.sums.add(j);
                *slot = sum as f32 * (*t.row_scales.add(i) * *t.scales.add(j));
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::{
        int32x4_t, uint32x4_t, vcvtq_f32_s32, vdupq_n_s32, vdupq_n_u32, vld1q_f32, vld1q_u32,
        vmulq_f32, vmulq_n_f32, vst1q_f32,
    };
    use std::arch::asm;

    use super::Tile;

    /// Takes A's offset off again: an unsigned byte above its value by 128, as the signed one.
    const SIGNED: u32 = 0x8080_8080;

    /// # Safety
    /// As [`super::Dot::tile`] asks, for `MR` rows.
    #[target_feature(enable = "neon,dotprod")]
    pub(super) unsafe fn neon_sdot_block<const MR: usize>(t: &Tile) {
        let mut acc = [[vdupq_n_s32(0); 4]; MR];
        // SAFETY: all offsets are inside what the caller vouches for.
        unsafe {
            for k in 0..t.k {
                let b: [uint32x4_t; 4] =
                    std::array::from_fn(|quarter| vld1q_u32(t.panel.add(k * 16 + 4 * quarter)));
                for i in 0..MR {
                    let a = vdupq_n_u32(*t.a.add(i * t.k + k) ^ SIGNED);
                    for (sum, &b) in acc[i].iter_mut().zip(&b) {
                        *sum = dot(*sum, a, b);
                    }
                }
            }
            for i in 0..MR {
                let mut values = [0.0_f32; 16];
                for (quarter, &sum) in acc[i].iter().enumerate() {
                    // Both factors signed: nothing to take off, unlike elsewhere.
                    let scale =
                        vmulq_n_f32(vld1q_f32(t.scales.add(4 * quarter)), *t.row_scales.add(i));
                    let scaled = vmulq_f32(vcvtq_f32_s32(sum), scale);
                    vst1q_f32(values.as_mut_ptr().add(4 * quarter), scaled);
                }
                let row = std::slice::from_raw_parts_mut(t.c.add(i * t.c_row), t.width);
                row.copy_from_slice(&values[..t.width]);
            }
        }
    }

    /// Four products of signed bytes added to each sum (`vdotq_s32`, which std does not have in a
    /// stable form yet).
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn dot(mut sums: int32x4_t, a: uint32x4_t, b: uint32x4_t) -> int32x4_t {
        // SAFETY: one instruction on registers; the CPU has it, as the attribute asks.
        unsafe {
            asm!(
                "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
                sums = inout(vreg) sums, a = in(vreg) a, b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _MM_HINT_ET0, _mm_prefetch, _mm256_add_epi32, _mm256_cmpgt_epi32,
        _mm256_cvtepi32_ps, _mm256_dpbusd_avx_epi32, _mm256_loadu_ps, _mm256_loadu_si256,
        _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_maskstore_ps, _mm256_mul_ps,
        _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32,
        _mm256_setzero_si256, _mm256_storeu_ps, _mm256_sub_epi32, _mm512_add_epi32,
        _mm512_and_si512, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps,
        _mm512_loadu_si512, _mm512_madd_epi16, _mm512_mask_storeu_ps, _mm512_mul_ps,
        _mm512_set1_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512,
        _mm512_slli_epi16, _mm512_srai_epi16, _mm512_srli_epi16, _mm512_sub_epi32,
    };

    use super::Tile;

    /// # Safety
    /// As [`super::Dot::tile`] asks, for `MR` rows.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2_block<const MR: usize>(t: &Tile) {
        let ones = _mm256_set1_epi16(1);
        let mut acc = [[_mm256_setzero_si256(); 2]; MR];
        // SAFETY: all offsets are inside what the caller vouches for.
        unsafe {
            for k in 0..t.k {
                let b0 = _mm256_loadu_si256(t.panel.add(k * 16).cast());
                let b1 = _mm256_loadu_si256(t.panel.add(k * 16 + 8).cast());
                for i in 0..MR {
                    let a = _mm256_set1_epi32((*t.a.add(i * t.k + k)).cast_signed());
                    for (sum, b) in acc[i].iter_mut().zip([b0, b1]) {
                        let products = _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones);
                        *sum = _mm256_add_epi32(*sum, products);
                    }
                }
            }
            avx2_store(t, &acc);
        }
    }

    /// # Safety
    /// As [`super::Dot::tile`] asks, for `MR` rows.
    #[target_feature(enable = "avx2,fma,avxvnni")]
    pub(super) unsafe fn avx2_vnni_block<const MR: usize>(t: &Tile) {
        let mut acc = [[_mm256_setzero_si256(); 2]; MR];
        // SAFETY: all offsets are inside what the caller vouches for.
        unsafe {
            for k in 0..t.k {
                let b0 = _mm256_loadu_si256(t.panel.add(k * 16).cast());
                let b1 = _mm256_loadu_si256(t.panel.add(k * 16 + 8).cast());
                for i in 0..MR {
                    let a = _mm256_set1_epi32((*t.a.add(i * t.k + k)).cast_signed());
                    acc[i][0] = _mm256_dpbusd_avx_epi32(acc[i][0], a, b0);
                    acc[i][1] = _mm256_dpbusd_avx_epi32(acc[i][1], a, b1);
                }
            }
            avx2_store(t, &acc);
        }
    }

    /// Part of its caller, as sums that are lent to another function lie in memory while they are made.
    ///
    /// # Safety
    /// As [`super::Dot::tile`] asks, for `MR` rows; the caller must have AVX2 and FMA.
    #[inline(always)]
    unsafe fn avx2_store<const MR: usize>(t: &Tile, acc: &[[__m256i; 2]; MR]) {
        // SAFETY: all offsets are inside what the caller vouches for; masked-off lanes are not
        // touched.
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            for i in 0..MR {
                let row_scale = _mm256_set1_ps(*t.row_scales.add(i));
                for half in 0..2 {
                    let sums = _mm256_loadu_si256(t.sums.add(8 * half).cast());
                    let sums = _mm256_sub_epi32(acc[i][half], sums);
                    let scale = _mm256_mul_ps(row_scale, _mm256_loadu_ps(t.scales.add(8 * half)));
                    let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scale);
                    let address = t.c.add(i * t.c_row).wrapping_add(8 * half);
                    if t.width == 16 {
                        _mm256_storeu_ps(address, scaled);
                    } else {
                        let columns = _mm256_set1_epi32(t.width as i32 - 8 * half as i32);
                        let mask = _mm256_cmpgt_epi32(columns, lanes);
                        _mm256_maskstore_ps(address, mask, scaled);
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`super::Dot::tile`] asks, for `MR` rows.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn avx512_block<const MR: usize>(t: &Tile) {
        let low = _mm512_set1_epi16(0xFF);
        let mut acc = [[_mm512_setzero_si512(); 2]; MR];
        // SAFETY: all offsets are inside what the caller vouches for.
        unsafe {
            for k in 0..t.k {
                // Bytes 0 and 2 of each word, and bytes 1 and 3, as signed 16 bits.
                let b: [[__m512i; 2]; 2] = std::array::from_fn(|half| {
                    let b = _mm512_loadu_si512(t.panel.add(k * 32 + 16 * half).cast());
                    [_mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8), _mm512_srai_epi16(b, 8)]
                });
                for i in 0..MR {
                    let a = _mm512_set1_epi32((*t.a.add(i * t.k + k)).cast_signed());
                    let (even, odd) = (_mm512_and_si512(a, low), _mm512_srli_epi16(a, 8));
                    for half in 0..2 {
                        let sums = _mm512_add_epi32(
                            _mm512_madd_epi16(even, b[half][0]),
                            _mm512_madd_epi16(odd, b[half][1]),
                        );
                        acc[i][half] = _mm512_add_epi32(acc[i][half], sums);
                    }
                }
            }
            avx512_store(t, &acc);
        }
    }

    /// # Safety
    /// As [`super::Dot::tile`] asks, for `MR` rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn avx512_vnni_block<const MR: usize>(t: &Tile) {
        let mut acc = [[_mm512_setzero_si512(); 2]; MR];
        // SAFETY: all offsets are inside what the caller vouches for.
        unsafe {
            // The result is far away: on its way while the sums are made.
            for i in 0..MR {
                let row = t.c.add(i * t.c_row).cast::<i8>();
                _mm_prefetch::<_MM_HINT_ET0>(row);
                _mm_prefetch::<_MM_HINT_ET0>(row.wrapping_add(64));
            }
            for k in 0..t.k {
                let b0 = _mm512_loadu_si512(t.panel.add(k * 32).cast());
                let b1 = _mm512_loadu_si512(t.panel.add(k * 32 + 16).cast());
                for i in 0..MR {
                    let a = _mm512_set1_epi32((*t.a.add(i * t.k + k)).cast_signed());
                    acc[i][0] = _mm512_dpbusd_epi32(acc[i][0], a, b0);
                    acc[i][1] = _mm512_dpbusd_epi32(acc[i][1], a, b1);
                }
            }
            avx512_store(t, &acc);
        }
    }

    /// Part of its caller, as sums that are lent to another function lie in memory while they are made.
    ///
    /// # Safety
    /// As [`super::Dot::tile`] asks, for `MR` rows; the caller must have AVX-512 F and BW.
    #[inline(always)]
    unsafe fn avx512_store<const MR: usize>(t: &Tile, acc: &[[__m512i; 2]; MR]) {
        let mask = if t.width >= 32 { u32::MAX } else { (1_u32 << t.width) - 1 };
        let masks = [mask as u16, (mask >> 16) as u16];
        // SAFETY: all offsets are inside what the caller vouches for; masked-off lanes are not
        // touched.
        unsafe {
            for i in 0..MR {
                let row_scale = _mm512_set1_ps(*t.row_scales.add(i));
                for half in 0..2 {
                    let sums = _mm512_loadu_si512(t.sums.add(16 * half).cast());
                    let sums = _mm512_sub_epi32(acc[i][half], sums);
                    let scale = _mm512_mul_ps(row_scale, _mm512_loadu_ps(t.scales.add(16 * half)));
                    let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale);
                    let address = t.c.add(i * t.c_row).wrapping_add(16 * half);
                    _mm512_mask_storeu_ps(address, masks[half], scaled);
                }
            }
        }
    }

    /// The sums of a block of tiles, each tile's row in one cache line.
    #[repr(C, align(64))]
    pub(super) struct TileSums([[i32; 32]; 32]);

    /// Stores `rows` rows of 32 sums.
    ///
    /// # Safety
    /// As [`super::Dot::tile`] asks, for `rows <= 32`; `sums` must hold as many rows.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn amx_store(rows: usize, t: &Tile, sums: *const i32) {
        let mask = if t.width >= 32 { u32::MAX } else { (1_u32 << t.width) - 1 };
        let masks = [mask as u16, (mask >> 16) as u16];
        // SAFETY: all offsets are inside what the caller vouches for; masked-off lanes are not
        // touched.
        unsafe {
            for half in 0..2 {
                let offsets = _mm512_loadu_si512(t.sums.add(16 * half).cast());
                let scales = _mm512_loadu_ps(t.scales.add(16 * half));
                for i in 0..rows {
                    let row = _mm512_loadu_si512(sums.add(32 * i + 16 * half).cast());
                    let row = _mm512_cvtepi32_ps(_mm512_sub_epi32(row, offsets));
                    let scale = _mm512_mul_ps(_mm512_set1_ps(*t.row_scales.add(i)), scales);
                    let address = t.c.add(i * t.c_row).wrapping_add(16 * half);
                    _mm512_mask_storeu_ps(address, masks[half], _mm512_mul_ps(row, scale));
                }
            }
        }
    }
}
