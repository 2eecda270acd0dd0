//! Connections: how many there may be, what is done where the system gives none, and what serves each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::App;
use crate::stalled::Impatient;
use crate::threads::Threads;

/// How long a connection may take to send a request's head, and to stay idle before it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait where the system gives no connection, mostly since files have run out.
const NO_FILES: Duration = Duration::from_millis(100);

/// A client that has connected.
pub(crate) struct Client {
    /// Wakes the thread that will serve it.
    stream: TcpStream,
    thread: Handle,
    /// Among as many as may be.
    place: OwnedSemaphorePermit,
}

/// What serves each connection.
pub(crate) struct Connections {
    app: Arc<App>,
    service: Router,
    pub(crate) threads: Threads,
    places: Arc<Semaphore>,
    pub(crate) graceful: GracefulShutdown,
    waits: Repeated,
    failures: Repeated,
}

impl Connections {
    pub(crate) fn new(app: Arc<App>, service: Router, threads: Threads) -> Self {
        Self {
            places: Arc::new(Semaphore::new(app.settings.max_connections)),
            graceful: GracefulShutdown::new(),
            waits: Repeated::default(),
            failures: Repeated::default(),
            app,
            service,
            threads,
        }
    }

    /// The next client. While there are as many as may be, others wait with the system.
    pub(crate) async fn next(&mut self, listener: &TcpListener) -> Client {
        loop {
            match self.accept(listener).await {
                Ok(client) => return client,
                Err(error) if is_of_client(&error) => tracing::debug!(%error, "a client left"),
                Err(error) => {
                    if let Some(times) = self.failures.again(Instant::now()) {
                        tracing::warn!(%error, times, "connections could not be accepted: raise the limit of \
                             files (ulimit -n), or lower --max-connections");
                    }
                    tokio::time::sleep(NO_FILES).await;
                }
            }
        }
    }

    async fn accept(&mut self, listener: &TcpListener) -> io::Result<Client> {
        if self.places.available_permits() == 0
            && let Some(times) = self.waits.again(Instant::now())
        {
            let limit = self.app.settings.max_connections;
            tracing::warn!(limit, times, "no more connections for now (--max-connections)");
        }
        // It is never closed.
        let place = self.places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true); // answers are small, and whole
        let stream = stream.into_std()?;
        let thread = self.threads.next().clone();
        let entered = thread.enter();
        let stream = TcpStream::from_std(stream)?;
        drop(entered);
        Ok(Client { stream, thread, place })
    }

    /// Serves a client until it or the server has enough.
    pub(crate) fn serve(&self, client: Client) {
        let Client { stream, thread, place } = client;
        let stream = Impatient::new(stream, self.app.settings.request_timeout);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.service.clone()));
        let connection = self.graceful.watch(connection);
        let app = self.app.clone();
        app.metrics.connections.fetch_add(1, Ordering::Relaxed);
        thread.spawn(async move {
            if let Err(error) = connection.await {
                // Clients that leave, send what is no HTTP, or read no answer: theirs to know.
                tracing::debug!(%error, "a connection ended");
            }
            app.metrics.connections.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
    }
}

/// Whether it was the client that went, before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// What happens again and again, and is said once a second at most.
#[derive(Debug, Default)]
struct Repeated {
    times: u64,
    said: Option<Instant>,
}

impl Repeated {
    /// It happens again. How often it has since it was said, if it is to be said now.
    fn again(&mut self, now: Instant) -> Option<u64> {
        self.times += 1;
        if self.said.is_some_and(|said| now - said < Duration::from_secs(1)) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_again_and_again_is_said_once_a_second_with_its_count() {
        let mut repeated = Repeated::default();
        let start = Instant::now();
        let said: Vec<Option<u64>> =
            (0..25_u64).map(|n| repeated.again(start + Duration::from_millis(n * 100))).collect();
        let expected = |n: u64| match n {
            0 => Some(1),
            10 | 20 => Some(10),
            _ => None,
        };
        assert_eq!(said, (0..25).map(expected).collect::<Vec<_>>());
    }
}
