//! A stream that disconnects a client that reads nothing, and lingers for one that still sends.
//!
//! Nothing else would do the first: an answer lies in memory until it is read, and a client that never reads never
//! closes. The second is for answers that were sent before a body was read (see `unread`): if a socket is closed with
//! unread data, the client gets a reset, and may lose the answer.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::idle::Pulse;

/// A lingering connection is closed once its client has sent nothing for so long.
const SILENCE: Duration = Duration::from_secs(2);

/// A stream whose writes fail once they have stood still for a while. Any progress begins it anew.
#[derive(Debug)]
pub(crate) struct Impatient<S> {
    stream: S,
    patience: Duration,
    /// Is told what comes.
    pulse: Arc<Pulse>,
    /// Runs while a write stands still, or a client is silent.
    stalled: Option<Pin<Box<Sleep>>>,
    /// So many bytes more are discarded while it lingers.
    discardable: usize,
    /// Its sending side is closed.
    is_shut: bool,
}

impl<S> Impatient<S> {
    pub(crate) fn new(
        stream: S,
        patience: Duration,
        discardable: usize,
        pulse: Arc<Pulse>,
    ) -> Self {
        Self { stream, patience, pulse, stalled: None, discardable, is_shut: false }
    }

    /// What has become of a write.
    fn checked(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.stalled = None;
            if let Ok(bytes) = &written {
                self.pulse.count(*bytes);
            }
            return Poll::Ready(written);
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> Impatient<S> {
    /// Discards what comes until the client closes, is silent, or has sent too much, or the connection may no longer
    /// linger.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [MaybeUninit::uninit(); 8 << 10];
        while self.pulse.is_lingering() {
            let mut buffer = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Pending => {
                    let silence = || Box::pin(tokio::time::sleep(SILENCE));
                    let stalled = self.stalled.get_or_insert_with(silence);
                    return stalled.as_mut().poll(context);
                }
                Poll::Ready(Err(_)) => break,
                Poll::Ready(Ok(())) => {
                    let read = buffer.filled().len();
                    self.pulse.count(read);
                    self.stalled = None;
                    self.discardable = self.discardable.saturating_sub(read);
                    if read == 0 || self.discardable == 0 {
                        break;
                    }
                }
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.pulse.has_read(bytes);
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.checked(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.checked(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.is_shut = true;
            self.stalled = None;
            self.pulse.linger();
        }
        self.poll_discard(context).map(Ok)
    }
}
