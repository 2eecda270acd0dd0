//! The threads that read and write connections: each has a runtime of its own, and each connection stays on
//! one of them.
//!
//! tokio has a runtime of several threads; but where the system refuses it one, it panics, or waits for ever
//! for a thread that never began. A refused thread of ours is an error before anyone is served.

use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::server::ServeError;

/// The threads. They end when it is dropped, and with them what they still serve.
#[derive(Debug)]
pub(crate) struct Threads {
    runtimes: Vec<Handle>,
    next: usize,
    _running: watch::Sender<()>,
}

impl Threads {
    /// So many.
    pub(crate) fn new(count: usize) -> Result<Self, ServeError> {
        let (running, runs) = watch::channel(());
        let runtimes = (0..count).map(|number| start(number, runs.clone()));
        Ok(Self { runtimes: runtimes.collect::<Result<_, _>>()?, next: 0, _running: running })
    }

    /// The one whose turn it is.
    pub(crate) fn next(&mut self) -> &Handle {
        self.next = (self.next + 1) % self.runtimes.len();
        &self.runtimes[self.next]
    }
}

fn start(number: usize, mut runs: watch::Receiver<()>) -> Result<Handle, ServeError> {
    let until_dropped = async move { while runs.changed().await.is_ok() {} };
    // The thread comes first: a runtime must not be dropped where another one runs, as it would be with
    // what a refused thread was to do.
    let (give, given) = mpsc::channel::<Runtime>();
    thread::Builder::new()
        .name(format!("serve-{number}"))
        .spawn(move || given.recv().map(|runtime| runtime.block_on(until_dropped)))
        .map_err(ServeError::Thread)?;
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let handle = runtime.handle().clone();
    let _ = give.send(runtime); // it waits for that
    Ok(handle)
}
