//! A pool of threads for many short parallel regions.
//!
//! A training step has about a hundred regions of some ten to some hundred microseconds, so workers
//! spin a while for the next one before they sleep. Each thread begins with its own share of the
//! tasks, end to end, and then helps the others: the rows of a batch stay in the cache of one core
//! from region to region. Which thread runs which task never changes a result, because each task
//! owns its outputs.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::{fmt, io};

/// How many times a worker looks for work before it sleeps: some tens of microseconds.
const SPINS: u32 = 2_000;

thread_local! {
    /// Whether this thread is inside a task: a region within a region runs on the spot.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// A region's work, borrowed from the caller of [`Pool::run`], who waits for its end.
#[derive(Clone, Copy)]
struct Job {
    body: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

// SAFETY: the body is `Sync`, and `run` does not return before every worker is done with it.
unsafe impl Send for Job {}

/// A counter in a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Share(AtomicUsize);

struct Shared {
    /// Counts regions; a change tells the workers that `job` holds a new one.
    epoch: AtomicU64,
    job: Mutex<Option<Job>>,
    /// For each thread, the next task of its share.
    shares: Vec<Share>,
    /// Workers that have not finished the current region.
    pending: AtomicUsize,
    closing: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// The threads. Dropping the pool ends them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    sleepers: Vec<Thread>,
    /// One region at a time.
    region: Mutex<()>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

impl Pool {
    /// # Errors
    /// When the system starts no more threads.
    ///
    /// # Panics
    /// When `threads` is 0.
    pub(crate) fn new(threads: usize) -> io::Result<Self> {
        assert!(threads > 0, "a pool needs at least the caller's thread");
        let shared = Arc::new(Shared {
            epoch: AtomicU64::new(0),
            job: Mutex::new(None),
            shares: (0..threads).map(|_| Share::default()).collect(),
            pending: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let mut pool =
            Self { shared, workers: Vec::new(), sleepers: Vec::new(), region: Mutex::new(()) };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let builder = thread::Builder::new().name(format!("tinymood-{index}"));
            // Where one fails, dropping the pool ends those before it.
            let worker = builder.spawn(move || work(&shared, index))?;
            pool.sleepers.push(worker.thread().clone());
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body` with each of `0..tasks`, on all threads, and returns when all are done.
    ///
    /// # Panics
    /// When a task panics, with its payload.
    pub(crate) fn run(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        if tasks <= 1 || self.workers.is_empty() || INSIDE.get() {
            (0..tasks).for_each(body);
            return;
        }
        let region = self.region.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: only the lifetime is changed. `Waiter` blocks, also when unwinding, until no
        // worker can touch the body any more.
        let body: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(body) };
        let job = Job { body, tasks };
        *shared.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
        for (index, share) in shared.shares.iter().enumerate() {
            share.0.store(shared.start_of(index, tasks), Ordering::Relaxed);
        }
        shared.pending.store(self.workers.len(), Ordering::Relaxed);
        shared.epoch.fetch_add(1, Ordering::Release);
        self.sleepers.iter().for_each(Thread::unpark);
        {
            let _waiter = Waiter(shared);
            take_tasks(shared, job, 0);
        }
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(region);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}

/// Waits for the workers when dropped.
struct Waiter<'a>(&'a Shared);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut spins = 0;
        while self.0.pending.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { thread::yield_now() }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.sleepers.iter().for_each(Thread::unpark);
        for worker in self.workers.drain(..) {
            let _ = worker.join(); // tasks' panics were caught; there is nothing to report
        }
    }
}

/// The life of a worker: wait for a region, help with it, repeat.
fn work(shared: &Shared, index: usize) {
    let mut seen = 0;
    let mut spins = 0;
    loop {
        let epoch = shared.epoch.load(Ordering::Acquire);
        if epoch != seen {
            seen = epoch;
            spins = 0;
            let job = *shared.job.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(job) = job {
                take_tasks(shared, job, index);
            }
            shared.pending.fetch_sub(1, Ordering::Release);
        } else if shared.closing.load(Ordering::Acquire) {
            return;
        } else if spins < SPINS {
            spins += 1;
            std::hint::spin_loop();
        } else {
            thread::park(); // `run` and `drop` unpark after changing what is looked at above
        }
    }
}

impl Shared {
    /// The first task of a thread's share of `tasks`.
    fn start_of(&self, thread: usize, tasks: usize) -> usize {
        thread * tasks / self.shares.len()
    }
}

/// Runs tasks until none is left: those of thread `index`, then those of the threads after it. A
/// panic is kept for the caller, and ends the region early.
fn take_tasks(shared: &Shared, job: Job, index: usize) {
    INSIDE.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller of `run` keeps the body alive until `pending` is 0.
        let body = unsafe { &*job.body };
        let threads = shared.shares.len();
        for thread in (index..threads).chain(0..index) {
            let end = shared.start_of(thread + 1, job.tasks);
            loop {
                let task = shared.shares[thread].0.fetch_add(1, Ordering::Relaxed);
                if task >= end {
                    break;
                }
                body(task);
            }
        }
    }));
    INSIDE.set(false);
    if let Err(payload) = outcome {
        shared.shares.iter().for_each(|share| share.0.store(job.tasks, Ordering::Relaxed));
        *shared.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
            for tasks in [0, 1, 2, 3, 100] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task| {
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
                let all_once = counts.iter().all(|count| count.load(Ordering::Relaxed) == 1);
                assert!(all_once, "{threads} threads, {tasks} tasks");
            }
        }
    }

    #[test]
    fn many_regions_and_callers() {
        let pool = Pool::new(3).unwrap();
        let total = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        pool.run(7, &|_| {
                            total.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 2 * 500 * 7);
    }

    #[test]
    fn a_region_within_a_region_runs() {
        let pool = Pool::new(2).unwrap();
        let total = AtomicUsize::new(0);
        pool.run(4, &|_| {
            pool.run(3, &|_| {
                total.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(total.load(Ordering::Relaxed), 12);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool.run(50, &|task| assert!(task != 17, "task seventeen"));
        }));
        assert!(outcome.is_err());
        let total = AtomicUsize::new(0);
        pool.run(50, &|_| {
            total.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(total.load(Ordering::Relaxed), 50);
    }
}
