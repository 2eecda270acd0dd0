//! Signals that ask a command to stop: it leaves everything so that it can go on, and the program ends
//! with the status that a shell gives whom the signal ended, so that `train && next` does not go on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};

/// Whether to stop, and since which signal.
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Listens for Ctrl-C and SIGTERM. A second Ctrl-C ends the process at once.
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
        let stop = Self { asked: Arc::default(), signal: Arc::default() };
        stop.listen().context("cannot listen for signals")?;
        Ok(stop)
    }

    fn listen(&self) -> std::io::Result<()> {
        use signal_hook::flag;
        flag::register_conditional_shutdown(SIGINT, status(SIGINT), Arc::clone(&self.asked))?;
        for signal in [SIGINT, SIGTERM] {
            flag::register_usize(signal, Arc::clone(&self.signal), signal as usize)?;
            flag::register(signal, Arc::clone(&self.asked))?;
        }
        Ok(())
    }

    /// Set once a signal has come.
    pub(crate) fn asked(&self) -> &AtomicBool {
        &self.asked
    }

    /// How a command ends that was stopped, after it has said how to go on.
    pub(crate) fn stopped(&self) -> anyhow::Error {
        Stopped::by(self.signal.load(Ordering::Relaxed) as i32)
    }
}

fn status(signal: i32) -> i32 {
    128 + signal
}

/// A command stopped since it was asked to.
#[derive(Debug)]
pub struct Stopped {
    signal: i32,
}

impl Stopped {
    pub(crate) fn by(signal: i32) -> anyhow::Error {
        Self { signal }.into()
    }

    /// The status that the program ends with.
    pub fn status(&self) -> u8 {
        u8::try_from(status(self.signal)).unwrap_or(1)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by signal {}", self.signal)
    }
}

impl std::error::Error for Stopped {}
