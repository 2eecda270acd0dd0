//! Gives memory back to the system after bursts.
//!
//! Allocators keep what is freed: glibc's arenas, one or more a thread, give back only what lies at their end. After
//! 500 bodies of 2 MB, over 1 GB stayed resident. So a thread asks the allocator for all of it whenever enough bytes
//! have gone through connections, about a second later and thus at most once a second.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::Duration;

/// Memory is given back once so many bytes have been read and written. A burst that reads less, leaves less.
const BYTES: u64 = 16 << 20;

/// How long a burst may go on before its memory is given back.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts the bytes of connections, and wakes the thread that gives memory back.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes: AtomicU64,
    /// The thread ends when this is dropped.
    wake: SyncSender<()>,
}

impl Memory {
    /// `release` gives free memory back to the system.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub(crate) fn new(release: fn()) -> io::Result<Self> {
        let (wake, woken) = mpsc::sync_channel(1);
        let give_back = move || {
            woken.iter().for_each(|()| {
                thread::sleep(PAUSE);
                release();
            });
        };
        thread::Builder::new().name("memory".to_owned()).spawn(give_back)?;
        Ok(Self { bytes: AtomicU64::new(0), wake })
    }

    /// A connection that has read and written so many bytes has no use for what it was given for them.
    pub(crate) fn done_with(&self, bytes: u64) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before / BYTES != before.wrapping_add(bytes) / BYTES {
            let _ = self.wake.try_send(()); // one that waits already will do for this one
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    use super::*;

    static RELEASED: AtomicUsize = AtomicUsize::new(0);

    fn released() -> usize {
        RELEASED.load(Ordering::Relaxed)
    }

    #[test]
    fn memory_is_given_back_after_so_many_bytes_and_once_a_second_at_most() {
        let count = || {
            RELEASED.fetch_add(1, Ordering::Relaxed);
        };
        let memory = Memory::new(count).unwrap();
        memory.done_with(BYTES - 1);
        thread::sleep(PAUSE + PAUSE / 2);
        assert_eq!(released(), 0, "a few bytes wake nobody");
        let started = Instant::now();
        (0..100).for_each(|_| memory.done_with(BYTES));
        while released() == 0 {
            assert!(started.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(5));
        }
        assert!(started.elapsed() >= PAUSE);
        thread::sleep(3 * PAUSE);
        assert!(released() <= 2, "those that come before it, and those that come meanwhile");
    }
}
