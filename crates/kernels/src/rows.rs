//! Splitting row-major matrices by rows among threads.

use std::marker::PhantomData;
use std::ops::Range;

use crate::Cpu;

/// A matrix to be written, of which each task is lent its own rows.
pub(crate) struct RowsMut<'a, T> {
    start: *mut T,
    rows: usize,
    width: usize,
    _owner: PhantomData<&'a mut [T]>,
}

// SAFETY: `for_row_blocks` lends each row to one task only.
unsafe impl<T: Send> Sync for RowsMut<'_, T> {}

impl<'a, T> RowsMut<'a, T> {
    /// # Panics
    /// When the slice is not whole rows.
    pub(crate) fn new(values: &'a mut [T], width: usize) -> Self {
        assert!(width > 0 && values.len().is_multiple_of(width), "whole rows of {width}");
        let rows = values.len() / width;
        Self { start: values.as_mut_ptr(), rows, width, _owner: PhantomData }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn as_mut_ptr(&self) -> *mut T {
        self.start
    }

    /// Some columns of one row.
    ///
    /// # Safety
    /// `row` and `columns` must be in range, and no two live borrows may share an element.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn lend_part(&self, row: usize, columns: Range<usize>) -> &mut [T] {
        debug_assert!(row < self.rows && columns.end <= self.width);
        // SAFETY: in range and not shared, as the caller promises.
        unsafe {
            let start = self.start.add(row * self.width + columns.start);
            std::slice::from_raw_parts_mut(start, columns.end - columns.start)
        }
    }

    /// # Safety
    /// `rows` must be in range, and no two live borrows may share a row.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn lend(&self, rows: Range<usize>) -> &mut [T] {
        debug_assert!(rows.end <= self.rows);
        let len = (rows.end - rows.start) * self.width;
        // SAFETY: in range and not shared, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(rows.start * self.width), len) }
    }
}

/// Calls `body` with blocks of at most `block` rows and the outputs' slices of these rows. Blocks
/// are of nearly equal size and a multiple of the threads in number where there are rows enough.
///
/// # Panics
/// When the outputs differ in their number of rows from `rows`.
pub(crate) fn for_row_blocks<T: Send, const N: usize>(
    cpu: &Cpu,
    rows: usize,
    block: usize,
    outputs: [RowsMut<'_, T>; N],
    body: impl Fn(Range<usize>, [&mut [T]; N]) + Sync,
) {
    assert!(outputs.iter().all(|output| output.rows == rows), "all outputs have {rows} rows");
    let threads = cpu.threads();
    let blocks = rows.div_ceil(block).next_multiple_of(threads).min(rows);
    cpu.pool().run(blocks, &|index| {
        let range = index * rows / blocks..(index + 1) * rows / blocks;
        // SAFETY: the ranges of different indices do not overlap and end at `rows`.
        let slices = std::array::from_fn(|n| unsafe { outputs[n].lend(range.clone()) });
        body(range, slices);
    });
}

/// Calls `body` with blocks of exactly `block` rows, but for a shorter last one.
///
/// # Panics
/// When the outputs differ in their number of rows from `rows`.
pub(crate) fn for_aligned_row_blocks<T: Send, const N: usize>(
    cpu: &Cpu,
    rows: usize,
    block: usize,
    outputs: [RowsMut<'_, T>; N],
    body: impl Fn(Range<usize>, [&mut [T]; N]) + Sync,
) {
    assert!(outputs.iter().all(|output| output.rows == rows), "all outputs have {rows} rows");
    cpu.pool().run(rows.div_ceil(block), &|index| {
        let range = index * block..((index + 1) * block).min(rows);
        // SAFETY: the ranges of different indices do not overlap and end at `rows`.
        let slices = std::array::from_fn(|n| unsafe { outputs[n].lend(range.clone()) });
        body(range, slices);
    });
}

/// Calls `body` with ranges of at most `block` columns.
pub(crate) fn for_column_blocks(
    cpu: &Cpu,
    columns: usize,
    block: usize,
    body: impl Fn(Range<usize>) + Sync,
) {
    let blocks = columns.div_ceil(block);
    cpu.pool().run(blocks, &|index| {
        body(index * block..((index + 1) * block).min(columns));
    });
}
