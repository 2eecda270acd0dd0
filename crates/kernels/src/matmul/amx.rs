//! Multiplication in AMX tiles, of bf16 and (at the end) of int8: registers of 16 rows of 64 bytes, multiplied by one
//! instruction (`tdpbf16ps`: 16 x 16 sums, each of 32 products).
//!
//! ```text
//! for each block of 32 rows of A
//!     4 tiles of sums = 0
//!     for each 16 words along K: 2 tiles of A, 2 of B, 4 products
//! ```
//!
//! 1. A panel is a tile of B as it is: rows of words, 32 columns wide. A row of A is a tile's row
//!    where words that are neighbours along `K` are neighbours in memory.
//! 2. `K` is rarely a multiple of 16 words. The last tile of A begins 16 words before the end of its
//!    rows, so that nothing outside them is read; the last tile of the panel has zeros where both
//!    overlap what is counted already ([`seal`]).
//! 3. The number of rows is not a multiple of 32 either. The last block begins 32 rows before the
//!    end and stores some results twice; only where results are added, or there are fewer rows, are
//!    the tiles configured smaller, which costs some 50 ns.
//!
//! The instructions are not in `std::arch` yet: they are written out. Compilers never use tiles by
//! themselves, so that nothing has to be saved around them.

use std::arch::asm;
use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
use std::cell::Cell;

use super::tile::{PanelShape, Rows, Strided};
use super::word::Pair;

/// Words along `K` of a tile.
pub(super) const DEPTH: usize = 16;
/// Rows of a block: two tiles.
const ROWS: usize = 32;
/// Columns of a panel: two tiles.
const COLUMNS: usize = 32;
/// Rows of a tile.
const TILE: usize = 16;

/// Whether this CPU has the tiles, for bf16 and int8, and the system lets this process use them.
#[cfg(target_os = "linux")]
pub(crate) fn is_available() -> bool {
    use std::sync::OnceLock;
    /// `ARCH_REQ_XCOMP_PERM` of Linux's arch_prctl, and the number of the tiles' state.
    const REQUEST: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        const BF16_TILES_INT8: u32 = 1 << 22 | 1 << 24 | 1 << 25;
        // SAFETY: every CPU that is asked has AVX-512, and so leaf 7. Newer compilers know that.
        #[allow(unused_unsafe)]
        let features = unsafe { std::arch::x86_64::__cpuid_count(7, 0) }.edx;
        // SAFETY: the call asks for permission and touches no memory of ours.
        features & BF16_TILES_INT8 == BF16_TILES_INT8
            && unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) } == 0
    })
}

/// Whether this CPU has the tiles and the system lets this process use them: not asked here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_available() -> bool {
    false
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    _reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Makes tiles 0, 1 and 4 `rows` high, up to 16, and tiles 2, 3 and 5 as high as what is left.
///
/// # Safety
/// The process must be allowed to use tiles; `rows` is 1 to 32.
unsafe fn configure(rows: usize) {
    thread_local!(static CONFIGURED: Cell<usize> = const { Cell::new(0) });
    if CONFIGURED.replace(rows) == rows {
        return;
    }
    let mut configuration = Configuration {
        palette: 1,
        start_row: 0,
        _reserved: [0; 14],
        row_bytes: [0; 16],
        rows: [0; 16],
    };
    let (upper, lower) = (rows.min(TILE), rows.saturating_sub(TILE));
    for (tile, rows) in [upper, upper, lower, lower, upper, lower, TILE, TILE].iter().enumerate() {
        configuration.rows[tile] = *rows as u8;
        configuration.row_bytes[tile] = if *rows > 0 { 64 } else { 0 };
    }
    // SAFETY: allowed, as the caller promises; palette 1 has 8 tiles of 16 rows of 64 bytes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &configuration, options(nostack, readonly)) }
}

/// Brings a panel of `k` words along `K`, packed from its start, into the form that tiles read:
/// what is beyond whole tiles goes to the end of the last one, behind zeros.
pub(super) fn seal(k: usize, panel: &mut [Pair]) {
    let (whole, gap) = (k / DEPTH * DEPTH, k.next_multiple_of(DEPTH) - k);
    panel.copy_within(whole * COLUMNS..k * COLUMNS, (whole + gap) * COLUMNS);
    panel[whole * COLUMNS..(whole + gap) * COLUMNS].fill(Pair(0));
}

/// # Safety
/// As [`super::tile::panel_times`] asks, for a sealed panel, `k >= DEPTH` and `a.column == 1`; the
/// process must be allowed to use tiles.
pub(super) unsafe fn panel_times(
    PanelShape { m, k, width }: PanelShape,
    a: &Strided<'_, Pair>,
    panel: &[Pair],
    Rows { start: c, stride, accumulate }: Rows,
) {
    let panel = panel.as_ptr().cast();
    let mut first = 0;
    while first < m {
        let rows = (m - first).min(ROWS);
        // The last block moves up and overwrites what is there with the same.
        let (start, rows) =
            if rows < ROWS && m > ROWS && !accumulate { (m - ROWS, ROWS) } else { (first, rows) };
        // SAFETY: these rows are part of what the caller vouches for.
        unsafe {
            configure(rows);
            let rows_of_a = a.values.as_ptr().add(start * a.row).cast();
            let c = c.add(start * stride);
            if width == COLUMNS && !accumulate {
                block::<false>(rows, k, (rows_of_a, a.row), panel, c.cast(), stride);
            } else {
                let mut sums = [[0.0_f32; COLUMNS]; ROWS];
                let target = sums.as_mut_ptr().cast();
                block::<false>(rows, k, (rows_of_a, a.row), panel, target, COLUMNS);
                for (row, sums) in sums[..rows].iter().enumerate() {
                    let c = std::slice::from_raw_parts_mut(c.add(row * stride), width);
                    for (slot, &value) in c.iter_mut().zip(sums) {
                        *slot = if accumulate { *slot + value } else { value };
                    }
                }
            }
        }
        first = start + rows;
    }
}

/// Instructions with their operands.
macro_rules! tiles {
    ($($instruction:literal)*; $($name:ident = $value:expr),*) => {
        asm!(
            $($instruction,)*
            $($name = in(reg) $value,)*
            options(nostack, preserves_flags)
        )
    };
}

/// One block: `rows` rows of A, which begin at `a.0` and are `a.1` words apart, against a panel of `k`
/// words along `K`, to rows of C that are `stride` apart: pairs of bf16 to sums in f32, or where
/// `INT8` bytes, unsigned by signed, to sums in i32.
///
/// # Safety
/// All must be in bounds, `k >= DEPTH` and the panel sealed where `k` is no multiple of it, the tiles
/// configured for `rows`, C 32 columns wide.
#[inline(always)]
unsafe fn block<const INT8: bool>(
    rows: usize,
    k: usize,
    (a, a_row): (*const u32, usize),
    panel: *const u32,
    c: *mut u32,
    stride: usize,
) {
    let (a_bytes, b_bytes, c_bytes) = (4 * a_row, 4 * COLUMNS, 4 * stride);
    let two = rows > TILE;
    let tiles = k.div_ceil(DEPTH);
    // SAFETY: tiles are registers; memory is read and written in the bounds that the caller vouches
    // for: the last tile of A ends where its rows do.
    unsafe {
        tiles!("tilezero tmm0" "tilezero tmm1"; );
        if two {
            tiles!("tilezero tmm2" "tilezero tmm3"; );
        }
        if stride != COLUMNS {
            // The result is far away: on its way while the sums are made.
            for row in 0..rows {
                let row = c.add(row * stride).cast::<i8>();
                _mm_prefetch::<_MM_HINT_ET0>(row);
                _mm_prefetch::<_MM_HINT_ET0>(row.wrapping_add(64));
            }
        }
        for tile in 0..tiles {
            let a = a.add((tile * DEPTH).min(k - DEPTH));
            let b = panel.add(tile * DEPTH * COLUMNS);
            tiles!(
                "tileloadd tmm4, [{a} + {a_bytes}]"
                "tileloadd tmm6, [{b} + {b_bytes}]"
                "tileloadd tmm7, [{b} + {b_bytes} + 64]";
                a = a, b = b, a_bytes = a_bytes, b_bytes = b_bytes
            );
            if INT8 {
                tiles!("tdpbusd tmm0, tmm4, tmm6" "tdpbusd tmm1, tmm4, tmm7"; );
            } else {
                tiles!("tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm1, tmm4, tmm7"; );
            }
            if two {
                tiles!(
                    "tileloadd tmm5, [{a} + {a_bytes}]";
                    a = a.add(TILE * a_row), a_bytes = a_bytes
                );
                if INT8 {
                    tiles!("tdpbusd tmm2, tmm5, tmm6" "tdpbusd tmm3, tmm5, tmm7"; );
                } else {
                    tiles!("tdpbf16ps tmm2, tmm5, tmm6" "tdpbf16ps tmm3, tmm5, tmm7"; );
                }
            }
        }
        tiles!(
            "tilestored [{c} + {c_bytes}], tmm0"
            "tilestored [{c} + {c_bytes} + 64], tmm1";
            c = c, c_bytes = c_bytes
        );
        if two {
            tiles!(
                "tilestored [{c} + {c_bytes}], tmm2"
                "tilestored [{c} + {c_bytes} + 64], tmm3";
                c = c.add(TILE * stride), c_bytes = c_bytes
            );
        }
    }
}

/// One block of bytes: 16 rows of A, or 32 where `two`, each of `k` words end to end, against a panel
/// of `k` words along `K`, to as many rows of 32 sums end to end.
///
/// # Safety
/// All must be in bounds, `k` a multiple of [`DEPTH`], and the process allowed to use tiles.
pub(super) unsafe fn int8_block(
    two: bool,
    k: usize,
    a: *const u32,
    panel: *const u32,
    sums: *mut i32,
) {
    let rows = if two { ROWS } else { TILE };
    // SAFETY: handed on. Tiles for 32 rows do for 16, of which only the upper ones are used.
    unsafe {
        configure(ROWS);
        block::<true>(rows, k, (a, k), panel, sums.cast(), COLUMNS);
    }
}
