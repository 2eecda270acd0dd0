//! A small pool of threads that tokenize, so that a long text does not hold up connections.
//!
//! Texts as short as comments are tokenized where they arrive: handing one over takes longer than it
//! does.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use tokio::sync::oneshot;

/// Texts of so many bytes together go to the pool: some tens of microseconds of work.
const BYTES_IN_PLACE: usize = 2 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// The pool. Its threads end when it is dropped.
#[derive(Debug)]
pub(crate) struct Tokenization {
    jobs: Sender<Job>,
}

/// A job that did not come back: it panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

impl Tokenization {
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn new(workers: usize) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for worker in 0..workers {
            let waiting = waiting.clone();
            let builder = thread::Builder::new().name(format!("tokenize-{worker}"));
            builder.spawn(move || work(&waiting))?;
        }
        Ok(Self { jobs })
    }

    /// Runs `tokenize`, whose cost grows with `bytes`. Who stops waiting before its turn costs nothing.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        tokenize: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Lost> {
        if bytes <= BYTES_IN_PLACE {
            return Ok(tokenize());
        }
        let (reply, answer) = oneshot::channel();
        let job = move || {
            if !reply.is_closed() {
                let _ = reply.send(tokenize()); // who has gone needs no answer
            }
        };
        self.jobs.send(Box::new(job)).map_err(|_| Lost)?;
        answer.await.map_err(|_| Lost)
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A text that a tokenizer falls over costs its own request, not the thread.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_come_back_and_panics_are_told() {
        let pool = Tokenization::new(1).unwrap();
        for bytes in [0, BYTES_IN_PLACE, BYTES_IN_PLACE + 1] {
            assert_eq!(pool.run(bytes, move || bytes).await, Ok(bytes));
        }
        let large = BYTES_IN_PLACE + 1;
        assert_eq!(pool.run(large, || -> usize { panic!("on purpose") }).await, Err(Lost));
        let place = || thread::current().name().map(str::to_owned);
        assert_eq!(pool.run(large, place).await, Ok(Some("tokenize-0".to_owned())));
        assert_ne!(pool.run(1, place).await, Ok(Some("tokenize-0".to_owned())));
    }
}
