//! What a connection is at, and for how long it may be.
//!
//! hyper has one timer for waiting for a request and for reading its head. But load balancers keep connections that
//! are idle for a minute and longer, and whoever closes first loses them a request; a head takes no such time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It waits for a request.
    Idle,
    /// A request's head has begun.
    Head,
    /// A request is answered, which has limits of its own.
    Busy,
    /// It is being closed.
    Leaving,
}

/// What a connection is at. It may be idle, and take for a head, so long.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// And since when.
    state: Mutex<(State, Instant)>,
    keep_alive: Duration,
    head: Duration,
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
    pub(crate) fn new(keep_alive: Duration, head: Duration) -> Self {
        let state = Mutex::new((State::Idle, Instant::now()));
        Self { state, keep_alive, head, unwanted: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, (State, Instant)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state() = (state, Instant::now());
    }

    /// Bytes have come.
    pub(crate) fn has_read(&self) {
        let mut state = self.state();
        if state.0 == State::Idle {
            *state = (State::Head, Instant::now());
        }
    }

    /// Since when it waits for a request, if it does.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let (state, since) = *self.state();
        (state == State::Idle).then_some(since)
    }

    /// A request has come, and is answered when what is returned is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.set(State::Busy);
        Busy(self.clone())
    }

    /// It is being closed.
    pub(crate) fn leave(&self) {
        self.set(State::Leaving);
    }

    pub(crate) fn judge(&self, now: Instant) -> Verdict {
        // Whatever begins in the meantime may last as long at least.
        let soon = now + self.keep_alive.min(self.head);
        let (state, since) = *self.state();
        let (until, verdict) = match state {
            State::Idle => (since + self.keep_alive, Verdict::Close),
            State::Head => (since + self.head, Verdict::Drop),
            State::Busy | State::Leaving => return Verdict::Until(soon),
        };
        if now < until { Verdict::Until(until.min(soon)) } else { verdict }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Pulse>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(State::Idle);
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
        let pulse = Arc::new(Pulse::new(keep_alive, head));
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        let idle = |pulse: &Pulse| {
            assert!(matches!(pulse.judge(after(0)), Verdict::Until(_)));
            assert!(matches!(pulse.judge(after(89)), Verdict::Until(next) if next < after(90)));
            assert_eq!(pulse.judge(after(91)), Verdict::Close);
            assert!(pulse.idle_since().is_some());
        };
        idle(&pulse);
        pulse.has_read();
        assert!(matches!(pulse.judge(after(29)), Verdict::Until(next) if next < after(30)));
        pulse.has_read(); // its time goes on
        assert_eq!(pulse.judge(after(31)), Verdict::Drop);
        assert_eq!(pulse.idle_since(), None);
        let busy = pulse.busy();
        // A head that begins after that is looked at in time.
        assert!(matches!(pulse.judge(after(1000)), Verdict::Until(next) if next < after(1031)));
        assert_eq!(pulse.idle_since(), None);
        pulse.has_read();
        assert!(matches!(pulse.judge(after(1000)), Verdict::Until(_)));
        drop(busy);
        idle(&pulse);
        pulse.leave();
        assert!(matches!(pulse.judge(after(1000)), Verdict::Until(_)));
        assert_eq!(pulse.idle_since(), None);
    }
}
