//! Memory for the engine's large arrays: aligned to cache lines, in huge pages where the system has
//! them.
//!
//! Both are worth having. A vector of 64 bytes that straddles two cache lines is two loads; and a
//! step walks through some hundred megabytes, far more than a TLB holds of 4 KB pages.

use std::alloc::{Layout, handle_alloc_error};
use std::fmt;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// Two cache lines: what prefetchers fetch together.
const ALIGNMENT: usize = 128;
/// A huge page of x86-64, and of aarch64 with pages of 4 KB.
const HUGE_PAGE: usize = 2 << 20;
/// Small buffers share blocks of this size.
const BLOCK: usize = 8 << 20;

/// Values that may begin as zero bytes.
///
/// # Safety
/// All zero bytes must be a value. Alignment is no part of the promise: a buffer of what is aligned more
/// strictly than to 128 bytes does not compile.
pub unsafe trait Zeroed: Copy + Send + Sync + 'static {}

// SAFETY: 0.0.
unsafe impl Zeroed for f32 {}
// SAFETY: 0.
unsafe impl Zeroed for u32 {}
// SAFETY: two times 0.0.
unsafe impl Zeroed for crate::matmul::Pair {}

/// `bytes`, or a little more: a multiple of `unit`.
///
/// # Panics
/// When no allocation can be so large.
fn padded(bytes: usize, unit: usize) -> usize {
    let padded = bytes.checked_next_multiple_of(unit).filter(|&size| size <= isize::MAX as usize);
    padded.expect("a size that can be had")
}

/// Zeros from the system, given back when their last buffer is dropped. Pages that nobody touches
/// take no memory and no time.
struct Block {
    start: NonNull<u8>,
    size: usize,
    _region: Region,
}

// SAFETY: a block is memory and nothing else; what is in it belongs to its buffers.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    fn new(bytes: usize) -> Self {
        let size = padded(bytes, HUGE_PAGE);
        let region = Region::new(size);
        // SAFETY: the region has a huge page more than the size, or is aligned to one.
        let start = unsafe { region.start.add(region.start.align_offset(HUGE_PAGE)) };
        #[cfg(target_os = "linux")]
        // SAFETY: the range is ours. Advice changes no content; where it is not taken, pages are
        // small, and all is as before.
        unsafe {
            libc::madvise(start.as_ptr().cast(), size, libc::MADV_HUGEPAGE);
        }
        Self { start, size, _region: region }
    }
}

/// A mapping of its own: `alloc_zeroed` would write zeros to memory so strictly aligned.
#[cfg(target_os = "linux")]
struct Region {
    start: NonNull<u8>,
    len: usize,
}

#[cfg(target_os = "linux")]
impl Region {
    /// At least `size` zero bytes from the next multiple of [`HUGE_PAGE`] on.
    fn new(size: usize) -> Self {
        let len = size.checked_add(HUGE_PAGE).expect("a size that can be had");
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, of no file, wherever there is room.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            handle_alloc_error(Layout::from_size_align(len, 1).expect("a size that can be had"));
        }
        Self { start: NonNull::new(start.cast()).expect("mappings are not at 0"), len }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped with this length; no buffer is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(not(target_os = "linux"))]
struct Region {
    start: NonNull<u8>,
    layout: Layout,
}

#[cfg(not(target_os = "linux"))]
impl Region {
    /// `size` zero bytes, aligned to [`HUGE_PAGE`].
    fn new(size: usize) -> Self {
        let layout = Layout::from_size_align(size, HUGE_PAGE).expect("a size that can be had");
        // SAFETY: the size is not 0.
        let start = unsafe { std::alloc::alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Self { start, layout }
    }
}

#[cfg(not(target_os = "linux"))]
impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; no buffer is left.
        unsafe { std::alloc::dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// A file's bytes where the system keeps them, read when they are touched.
///
/// Whoever cuts the file short while it is mapped ends this process; tinymood itself only ever
/// replaces files as a whole, which leaves the old one mapped.
#[derive(Debug)]
pub struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// # Errors
    /// When the file cannot be opened or mapped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the mapping is read-only; others who write to the file in place change what is
        // read, which is numbers of any value.
        Ok(Self(unsafe { memmap2::Mmap::map(&file)? }))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Gives what the allocator holds of freed memory back to the system. glibc's arenas keep it otherwise, unless it lies
/// at their end; elsewhere, this does nothing. Other threads that allocate wait for a few milliseconds.
pub fn release_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it locks each arena, and touches what is free in it only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Where buffers come from. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Option<Current>>>);

/// The block that small buffers are taken from, and how much of it is.
struct Current {
    block: Arc<Block>,
    used: usize,
}

impl Memory {
    /// Room for `bytes` bytes, in a block that stays as long as it is held.
    fn take(&self, bytes: usize) -> (Arc<Block>, usize) {
        let bytes = padded(bytes, ALIGNMENT);
        if bytes >= BLOCK {
            return (Arc::new(Block::new(bytes)), 0);
        }
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *current {
            Some(Current { block, used }) if *used + bytes <= block.size => {
                let at = *used;
                *used += bytes;
                (Arc::clone(block), at)
            }
            _ => {
                let block = Arc::new(Block::new(BLOCK));
                *current = Some(Current { block: Arc::clone(&block), used: bytes });
                (block, 0)
            }
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

/// A slice of memory of its own, zeros at first: `Vec` without growth by pushing.
pub struct Buffer<T> {
    start: NonNull<T>,
    len: usize,
    capacity: usize,
    /// Where more comes from; none for the empty buffer of `default`.
    memory: Option<(Memory, Arc<Block>)>,
    _values: PhantomData<T>,
}

// SAFETY: a buffer owns its values, as a `Vec` does.
unsafe impl<T: Send> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Buffer<T> {}

impl<T: Zeroed> Buffer<T> {
    /// `len` zeros.
    ///
    /// # Panics
    /// When the system has no such memory.
    pub(crate) fn new(memory: &Memory, len: usize) -> Self {
        const { assert!(align_of::<T>() <= ALIGNMENT, "aligned as the places in a block are") };
        let bytes = len.checked_mul(size_of::<T>()).expect("a size that can be had");
        let (block, at) = memory.take(bytes.max(1));
        // SAFETY: `at..at + bytes` is in the block and was lent to nobody before: it is zero, zero
        // bytes are values, and places are aligned as `T` is: asserted above.
        let start = unsafe { block.start.add(at).cast() };
        let memory = Some((memory.clone(), block));
        Self { start, len, capacity: len, memory, _values: PhantomData }
    }

    /// Makes it `len` values long. What is in it afterwards is unspecified.
    ///
    /// # Panics
    /// When the system has no such memory.
    pub(crate) fn resize_in(&mut self, memory: &Memory, len: usize) {
        if len > self.capacity {
            *self = Self::new(memory, len.max(self.capacity * 3 / 2));
        }
        self.len = len;
    }
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        let start = NonNull::dangling();
        Self { start, len: 0, capacity: 0, memory: None, _values: PhantomData }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised values of its own; none for the empty buffer.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Zeroed> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        let Some((memory, _)) = &self.memory else { return Self::default() };
        let mut copy = Self::new(memory, self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a size that can be had")]
    fn lengths_that_wrap_are_refused() {
        Buffer::<f32>::new(&Memory::default(), usize::MAX / 4);
    }

    #[test]
    fn buffers_are_zero_aligned_and_apart() {
        let memory = Memory::default();
        let lens = [0, 1, 33, 1000, BLOCK / 4 - 7, BLOCK / 4 + 1, 3 * BLOCK];
        let mut buffers: Vec<Buffer<f32>> =
            lens.iter().map(|&len| Buffer::new(&memory, len)).collect();
        for (index, buffer) in buffers.iter_mut().enumerate() {
            assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
            assert!(buffer.iter().all(|&value| value == 0.0));
            buffer.fill(index as f32);
        }
        drop(memory);
        for (index, (buffer, len)) in buffers.iter().zip(lens).enumerate() {
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|&value| value == index as f32));
        }
        let copy = buffers[3].clone();
        buffers.clear();
        assert!(copy.iter().all(|&value| value == 3.0));
    }

    #[test]
    fn a_mapped_file_is_what_it_holds() {
        let path = std::env::temp_dir().join(format!("tinymood-map-{}", std::process::id()));
        std::fs::write(&path, b"some bytes").unwrap();
        let file = MappedFile::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(*file, *b"some bytes");
        assert!(MappedFile::open(&path).is_err());
    }

    /// Resident memory in bytes.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    #[test]
    fn freed_memory_goes_back_to_the_system() {
        // Below what glibc maps by itself; the last one keeps those before it from the arena's end.
        let mut blocks = vec![vec![1_u8; 64 << 10]; 4096];
        let full = resident();
        blocks.drain(..4095);
        release_free_memory();
        let left = resident();
        assert!(left + (200 << 20) < full, "{left} of {full}");
        assert_eq!(blocks[0][0], 1);
    }

    #[test]
    fn resizing_keeps_room() {
        let memory = Memory::default();
        let mut buffer = Buffer::<f32>::default();
        assert!(buffer.is_empty() && buffer.clone().is_empty());
        buffer.resize_in(&memory, 100);
        let start = buffer.as_ptr();
        for len in [10, 100, 0, 100] {
            buffer.resize_in(&memory, len);
            assert_eq!((buffer.len(), buffer.as_ptr()), (len, start));
        }
        buffer.resize_in(&memory, 101);
        assert_eq!(buffer.len(), 101);
        buffer.resize_in(&memory, 150);
        assert_eq!(buffer.len(), 150);
    }
}
