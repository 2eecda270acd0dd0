//! Panels and blocks: how a multiplication is cut into pieces that fit the registers.

use super::word::Word;
use crate::Isa;

/// Columns of a panel and rows of a register block.
pub(crate) const fn block_shape(isa: Isa) -> (usize, usize) {
    match isa {
        Isa::Portable => (8, 4),
        Isa::Neon | Isa::Avx2 => (16, 6),
        Isa::Avx512 | Isa::Amx => (32, 12),
    }
}

/// A matrix of words read by strides: element (i, k) is `values[i * row + k * column]`.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a, W> {
    pub(crate) values: &'a [W],
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl<W> Strided<'_, W> {
    /// Whether all elements of an (m, k) matrix are inside.
    fn holds(&self, m: usize, k: usize) -> bool {
        m == 0 || k == 0 || (m - 1) * self.row + (k - 1) * self.column < self.values.len()
    }
}

/// Words along `K` that a panel has room for, of which it uses `k`.
pub(crate) fn panel_depth<W: Word>(isa: Isa, k: usize) -> usize {
    k.next_multiple_of(W::tile_depth(isa))
}

/// Number of words of a packed (K, N) matrix.
pub(crate) fn packed_len<W: Word>(isa: Isa, k: usize, n: usize) -> usize {
    let (nr, _) = block_shape(isa);
    n.div_ceil(nr) * nr * panel_depth::<W>(isa, W::words(k))
}

/// `C = A B` (or `C += A B`) on this thread, with B packed; `k` counts words; C has row stride
/// `stride`.
///
/// # Panics
/// When sizes do not fit.
pub(crate) fn gemm<W: Word>(
    isa: Isa,
    (m, k, n): (usize, usize, usize),
    a: Strided<'_, W>,
    panels: &[W],
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
pub(crate) unsafe fn gemm_into<W: Word>(
    isa: Isa,
    (m, k, n): (usize, usize, usize),
    a: Strided<'_, W>,
    panels: &[W],
    c: *mut f32,
    stride: usize,
    accumulate: bool,
) {
    let (nr, _) = block_shape(isa);
    let panel_len = nr * panel_depth::<W>(isa, k);
    assert!(a.holds(m, k) && panels.len() >= n.div_ceil(nr) * panel_len, "large enough operands");
    for (index, first) in (0..n).step_by(nr).enumerate() {
        let panel = &panels[index * panel_len..(index + 1) * panel_len];
        // SAFETY: A holds what is read, as just checked; C as the caller promises.
        unsafe {
            let c = Rows { start: c.add(first), stride, accumulate };
            panel_times(isa, PanelShape { m, k, width: nr.min(n - first) }, &a, panel, c);
        }
    }
}

/// How much is multiplied by a panel.
#[derive(Clone, Copy)]
pub(crate) struct PanelShape {
    /// Rows of A.
    pub(super) m: usize,
    /// Words along `K`.
    pub(super) k: usize,
    /// Columns of the panel that count, at most NR.
    pub(super) width: usize,
}

/// Where the rows of a result begin, how far apart they are, and whether they are added to.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(super) start: *mut f32,
    pub(super) stride: usize,
    pub(super) accumulate: bool,
}

/// One panel against all rows of A.
///
/// # Safety
/// `a` must hold an (m, k) matrix of words, `panel` be packed of k words along `K`, and `c` be valid
/// for writing `width` values in each of `m` rows. The CPU must have `isa`, and what the words need.
pub(crate) unsafe fn panel_times<W: Word>(
    isa: Isa,
    shape: PanelShape,
    a: &Strided<'_, W>,
    panel: &[W],
    c: Rows,
) {
    let (nr, _) = block_shape(isa);
    let PanelShape { m, k, width } = shape;
    let depth = panel_depth::<W>(isa, k);
    debug_assert!(a.holds(m, k) && panel.len() >= depth * nr && (1..=nr).contains(&width));
    // SAFETY: handed on.
    if unsafe { W::in_tiles(isa, shape, a, panel, c) } {
        return;
    }
    // A panel for tiles that is shorter than one ends with its words.
    let panel = &panel[(depth - k) * nr..];
    // SAFETY: handed on.
    unsafe { in_blocks(isa, shape, a, (panel, nr), c) }
}

/// `C = A B` on this thread, with B as it is: rows of row stride `b_row`, of which whole panels are
/// read, also beyond `N`.
///
/// # Panics
/// When sizes do not fit.
pub(crate) fn gemm_unpacked(
    isa: Isa,
    (m, k, n): (usize, usize, usize),
    a: Strided<'_, f32>,
    (b, b_row): (&[f32], usize),
    c: &mut [f32],
    stride: usize,
) {
    let (nr, _) = block_shape(isa);
    if m == 0 || k == 0 || n == 0 {
        return;
    }
    assert!(n <= stride && (m - 1) * stride + n <= c.len(), "the result has room");
    assert!(a.holds(m, k), "a large enough A");
    assert!((k - 1) * b_row + n.next_multiple_of(nr) <= b.len(), "a large enough B");
    for first in (0..n).step_by(nr) {
        let shape = PanelShape { m, k, width: nr.min(n - first) };
        let start = c[first..].as_mut_ptr();
        let rows = Rows { start, stride, accumulate: false };
        // SAFETY: A, B and C hold what is read and written, as just checked.
        unsafe { in_blocks(isa, shape, &a, (&b[first..], b_row), rows) }
    }
}

/// All rows of A, in blocks, against a panel of row stride `panel.1`.
///
/// # Safety
/// As [`panel_times`] asks; the panel must have `k` rows of NR words.
unsafe fn in_blocks<W: Word>(
    isa: Isa,
    PanelShape { m, k, width }: PanelShape,
    a: &Strided<'_, W>,
    (panel, panel_row): (&[W], usize),
    c: Rows,
) {
    let (_, mr) = block_shape(isa);
    let blocks = m.div_ceil(mr);
    for block in 0..blocks {
        let rows = block * m / blocks..(block + 1) * m / blocks;
        let tile = Tile {
            k,
            a: a.values.as_ptr().wrapping_add(rows.start * a.row),
            a_row: a.row,
            a_column: a.column,
            panel: panel.as_ptr(),
            panel_row,
            c: c.start.wrapping_add(rows.start * c.stride),
            c_row: c.stride,
            width,
            accumulate: c.accumulate,
        };
        // SAFETY: the tile is part of what the caller vouches for.
        unsafe { W::tile(isa, rows.len(), &tile) }
    }
}

/// The work of a micro-kernel: at most MR rows against one panel.
pub(crate) struct Tile<W> {
    /// Words along `K`.
    pub(super) k: usize,
    pub(super) a: *const W,
    pub(super) a_row: usize,
    pub(super) a_column: usize,
    pub(super) panel: *const W,
    pub(super) panel_row: usize,
    pub(super) c: *mut f32,
    pub(super) c_row: usize,
    pub(super) width: usize,
    pub(super) accumulate: bool,
}

/// Calls `$block::<ROWS>($tile)` with the number of rows as a constant.
macro_rules! with_rows {
    ($rows:expr, $block:ident($tile:expr), $($count:literal)*) => {
        match $rows {
            $($count => $block::<$count>($tile),)*
            _ => unreachable!("a block has at most MR rows"),
        }
    };
}
pub(super) use with_rows;
