//! What a connection is at, and for how long it may be.
//!
//! hyper has one timer for waiting for a request and for reading its head. But load balancers keep connections that
//! are idle for a minute and longer, and whoever closes first loses them a request; a head takes no such time.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;

use crate::memory::Memory;
use crate::settings::Settings;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It waits for a request.
    Idle,
    /// A request's head has begun.
    Head,
    /// A request is answered, which has limits of its own.
    Busy,
    /// Its answer is sent and its sending side closed; what the client still sends is discarded.
    Lingering,
    /// It is being closed.
    Leaving,
}

/// How long a connection may linger once the server is told to stop.
const LINGER_AT_STOP: Duration = Duration::from_millis(500);

/// What a connection is at. It may be idle, and take for a head, so long.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// And since when.
    state: Mutex<(State, Instant)>,
    keep_alive: Duration,
    /// Also for how long it may linger.
    head: Duration,
    /// The client may still send what nobody reads.
    has_unread: AtomicBool,
    /// Bytes read and written since the last answer.
    bytes: AtomicU64,
    memory: Arc<Memory>,
    /// Its place is wanted.
    pub(crate) unwanted: Notify,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on, and is looked at again.
    Until(Instant),
    /// It has been idle for long enough.
    Close,
    /// Its head never ends.
    Drop,
}

impl Pulse {
    pub(crate) fn new(settings: &Settings, memory: Arc<Memory>) -> Self {
        Self {
            state: Mutex::new((State::Idle, Instant::now())),
            keep_alive: settings.keep_alive_timeout,
            head: settings.request_timeout,
            has_unread: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            memory,
            unwanted: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, (State, Instant)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state() = (state, Instant::now());
    }

    /// So many bytes have been read.
    pub(crate) fn has_read(&self, bytes: usize) {
        self.count(bytes);
        let mut state = self.state();
        if state.0 == State::Idle {
            *state = (State::Head, Instant::now());
        }
    }

    /// So many bytes have been read or written.
    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Since when it owes its client nothing, if it does not: it waits for a request, or lingers.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let (state, since) = *self.state();
        matches!(state, State::Idle | State::Lingering).then_some(since)
    }

    /// A request has come, and is answered when what is returned is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.set(State::Busy);
        Busy(self.clone())
    }

    /// The client may still send what nobody reads: the connection lingers before it is closed.
    pub(crate) fn leave_unread(&self) {
        self.has_unread.store(true, Ordering::Relaxed);
    }

    /// Its sending side is closed. Returns whether it lingers: after a body that nobody has read, or a head that is
    /// no HTTP.
    pub(crate) fn linger(&self) -> bool {
        let mut state = self.state();
        let lingers = state.0 == State::Head || self.has_unread.load(Ordering::Relaxed);
        if lingers && state.0 != State::Leaving {
            *state = (State::Lingering, Instant::now());
        }
        state.0 == State::Lingering
    }

    pub(crate) fn is_lingering(&self) -> bool {
        self.state().0 == State::Lingering
    }

    /// It is being closed.
    pub(crate) fn leave(&self) {
        self.set(State::Leaving);
    }

    /// What is to be done now with a connection of a server that stops, or does not.
    pub(crate) fn judge(&self, now: Instant, is_stopping: bool) -> Verdict {
        let linger = if is_stopping { LINGER_AT_STOP.min(self.head) } else { self.head };
        // Whatever begins in the meantime may last as long at least.
        let soon = now + self.keep_alive.min(linger);
        let (state, since) = *self.state();
        let (until, verdict) = match state {
            State::Idle => (since + self.keep_alive, Verdict::Close),
            State::Head => (since + self.head, Verdict::Drop),
            State::Lingering => (since + linger, Verdict::Close),
            State::Busy | State::Leaving => return Verdict::Until(soon),
        };
        if now < until { Verdict::Until(until.min(soon)) } else { verdict }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.memory.done_with(*self.bytes.get_mut());
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Pulse>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(State::Idle);
        self.0.memory.done_with(self.0.bytes.swap(0, Ordering::Relaxed));
    }
}

/// The body of an answer, whose connection is idle once it is sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Body,
    pub(crate) _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_is_at_has_its_time_whenever_it_is_looked_at() {
        let (keep_alive, head) = (Duration::from_secs(90), Duration::from_secs(30));
        let settings = Settings {
            keep_alive_timeout: keep_alive,
            request_timeout: head,
            ..Settings::default()
        };
        let memory = Arc::new(Memory::new(|| {}).unwrap());
        let pulse = Arc::new(Pulse::new(&settings, memory));
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        let judge = |pulse: &Pulse, now| pulse.judge(now, false);
        let idle = |pulse: &Pulse| {
            assert!(matches!(judge(pulse, after(0)), Verdict::Until(_)));
            assert!(matches!(judge(pulse, after(89)), Verdict::Until(next) if next < after(90)));
            assert_eq!(judge(pulse, after(91)), Verdict::Close);
            assert!(pulse.idle_since().is_some());
        };
        idle(&pulse);
        pulse.has_read(1);
        assert!(matches!(judge(&pulse, after(29)), Verdict::Until(next) if next < after(30)));
        pulse.has_read(1); // its time goes on
        assert_eq!(judge(&pulse, after(31)), Verdict::Drop);
        assert_eq!(pulse.idle_since(), None);
        let busy = pulse.busy();
        // A head that begins after that is looked at in time.
        assert!(matches!(judge(&pulse, after(1000)), Verdict::Until(next) if next < after(1031)));
        assert_eq!(pulse.idle_since(), None);
        pulse.has_read(1);
        assert!(matches!(judge(&pulse, after(1000)), Verdict::Until(_)));
        drop(busy);
        idle(&pulse);
        assert!(!pulse.linger() && !pulse.is_lingering(), "nothing is unread");
        pulse.leave_unread();
        assert!(pulse.linger() && pulse.is_lingering());
        assert!(pulse.idle_since().is_some(), "its place may be wanted");
        assert!(matches!(judge(&pulse, after(29)), Verdict::Until(next) if next < after(30)));
        assert_eq!(judge(&pulse, after(31)), Verdict::Close);
        assert!(matches!(pulse.judge(after(0), true), Verdict::Until(next) if next < after(1)));
        assert_eq!(pulse.judge(after(1), true), Verdict::Close);
        pulse.leave();
        assert!(!pulse.linger() && !pulse.is_lingering());
        assert!(matches!(judge(&pulse, after(1000)), Verdict::Until(_)));
        assert_eq!(pulse.idle_since(), None);
    }
}
