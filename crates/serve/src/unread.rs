//! Request bodies that no handler has read to the end.
//!
//! Many clients (Python's `http.client` and `urllib` among them) send a whole body before they read the answer. If a
//! server answers without reading the body and closes, their write fails, and they never see the answer.
//!
//! ```text
//! 1. the rest of a body that is no longer than a body may be is read and discarded before the answer is sent,
//!    if it arrives soon: the connection is kept
//! 2. otherwise the answer says Connection: close, and the connection lingers (stalled): the server closes its
//!    sending side, and discards what arrives until the client closes, stops sending, or sends too much
//! ```
//!
//! Neither holds a place of `max_concurrent_requests`. A client that waits for `100 Continue` sends no body.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

/// How long the rest of a body may take to arrive before the answer is sent without it.
const TIME: Duration = Duration::from_secs(2);

/// What a handler has left of a body.
#[derive(Debug)]
struct Rest {
    body: Incoming,
    /// Whether the client sends it: at once, or after the `100 Continue` that reading it causes.
    is_sent: bool,
}

/// Receives what the handler leaves of a body.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    rest: Arc<Mutex<Option<Rest>>>,
    /// Whether the client waits for `100 Continue`.
    expects: bool,
}

/// A request's body, which gives what is left of it to [`Unread`] when it is dropped.
#[derive(Debug)]
pub(crate) struct Tracked {
    rest: Option<Rest>,
    unread: Unread,
}

impl Unread {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let expects = request.headers().contains_key(header::EXPECT);
        Self { rest: Arc::default(), expects }
    }

    pub(crate) fn track(&self, body: Incoming) -> Tracked {
        Tracked { rest: Some(Rest { body, is_sent: !self.expects }), unread: self.clone() }
    }

    fn rest(&self) -> MutexGuard<'_, Option<Rest>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and discards what is left of the body of a request that is answered with `status`, if it is at most
    /// `limit` bytes and arrives in time. Returns whether nothing is left.
    pub(crate) async fn drain(self, status: StatusCode, limit: usize) -> bool {
        let rest = self.rest().take();
        let Some(Rest { body, is_sent }) = rest else { return true };
        let is_short = body.size_hint().lower() <= limit as u64;
        // A body that is refused for being slow has had its time.
        if !is_sent || !is_short || status == StatusCode::REQUEST_TIMEOUT {
            return false;
        }
        tokio::time::timeout(TIME, discard(body, limit)).await.unwrap_or(false)
    }
}

/// Reads a body to its end, for nothing. Returns whether there is one within `limit` bytes.
async fn discard(mut body: Incoming, mut limit: usize) -> bool {
    while let Some(frame) = body.frame().await {
        let length = frame.as_ref().ok().map(|frame| frame.data_ref().map_or(0, Bytes::len));
        match length.and_then(|length| limit.checked_sub(length)) {
            Some(left) => limit = left,
            None => return false,
        }
    }
    true
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        rest.is_sent = true;
        Pin::new(&mut rest.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(SizeHint::default, |rest| rest.body.size_hint())
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let rest = self.rest.take().filter(|rest| !rest.body.is_end_stream());
        if rest.is_some() {
            *self.unread.rest() = rest;
        }
    }
}
