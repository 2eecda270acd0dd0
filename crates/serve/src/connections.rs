//! Connections: how many there may be, what is done where the system gives none, and what serves each.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::app::App;
use crate::idle::{Answer, Pulse, Verdict};
use crate::settings::Settings;
use crate::stalled::Impatient;
use crate::threads::Threads;
use crate::unread::Unread;

/// A connection that has been idle for less is left so: its next request may be under way.
const IDLE_ENOUGH: Duration = Duration::from_secs(1);

/// How long to wait for a place before looking again who is idle.
const NO_PLACE: Duration = Duration::from_millis(100);

/// The largest head of a request, and the most that is read of a body at once.
const READ_BUFFER: usize = 64 << 10;

/// After an answer, so many times the largest body is discarded if its client goes on sending.
const DISCARDED_BODIES: usize = 8;

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
    /// Who has connected and has no place yet.
    arrived: Option<TcpStream>,
    /// What connections are at; of those that have ended, nothing.
    pulses: Vec<Weak<Pulse>>,
    /// Tells all connections to end. Each holds a receiver as long as it is there.
    pub(crate) stop: watch::Sender<()>,
    waits: Repeated,
    failures: Repeated,
}

impl Connections {
    pub(crate) fn new(app: Arc<App>, service: Router, threads: Threads) -> Self {
        Self {
            places: Arc::new(Semaphore::new(app.settings.max_connections)),
            arrived: None,
            pulses: Vec::new(),
            stop: watch::Sender::new(()),
            waits: Repeated::default(),
            failures: Repeated::default(),
            app,
            service,
            threads,
        }
    }

    /// The next client. While there are as many as may be, it waits for who is idle to be closed, or any other to
    /// end, and others wait with the system. Who stops waiting loses no client.
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
                    // Which gives one back.
                    if let Some(pulse) = self.longest_idle() {
                        pulse.unwanted.notify_one();
                    }
                    tokio::time::sleep(NO_FILES).await;
                }
            }
        }
    }

    async fn accept(&mut self, listener: &TcpListener) -> io::Result<Client> {
        let stream = match self.arrived.take() {
            Some(stream) => stream,
            None => listener.accept().await?.0,
        };
        self.arrived = Some(stream);
        let place = self.place().await?;
        let stream = self.arrived.take().ok_or(io::ErrorKind::NotConnected)?;
        let _ = stream.set_nodelay(true); // answers are small, and whole
        let stream = stream.into_std()?;
        let thread = self.threads.next().clone();
        let entered = thread.enter();
        let stream = TcpStream::from_std(stream)?;
        drop(entered);
        Ok(Client { stream, thread, place })
    }

    /// A place among as many as may be.
    async fn place(&mut self) -> io::Result<OwnedSemaphorePermit> {
        loop {
            if let Ok(place) = self.places.clone().try_acquire_owned() {
                return Ok(place);
            }
            if let Some(times) = self.waits.again(Instant::now()) {
                let limit = self.app.settings.max_connections;
                tracing::warn!(limit, times, "no more connections for now (--max-connections)");
            }
            if let Some(pulse) = self.longest_idle() {
                pulse.unwanted.notify_one();
            }
            let place = self.places.clone().acquire_owned();
            if let Ok(place) = tokio::time::timeout(NO_PLACE, place).await {
                return place.map_err(io::Error::other); // it is never closed
            }
        }
    }

    /// The connection that has been idle for longest, and long enough.
    fn longest_idle(&self) -> Option<Arc<Pulse>> {
        let pulses = self.pulses.iter().filter_map(Weak::upgrade);
        let idle = pulses.filter_map(|pulse| Some((pulse.idle_since()?, pulse)));
        let (since, pulse) = idle.min_by_key(|(since, _)| *since)?;
        (since.elapsed() >= IDLE_ENOUGH).then_some(pulse)
    }

    /// Serves a client until it or the server has enough.
    pub(crate) fn serve(&mut self, client: Client) {
        let Client { stream, thread, place } = client;
        let app = self.app.clone();
        let Settings { request_timeout, max_body_bytes, .. } = app.settings;
        let pulse = Arc::new(Pulse::new(&app.settings, app.memory.clone()));
        if self.pulses.len() >= app.settings.max_connections {
            self.pulses.retain(|pulse| pulse.strong_count() > 0);
        }
        self.pulses.push(Arc::downgrade(&pulse));
        let discardable = max_body_bytes.saturating_mul(DISCARDED_BODIES);
        let stream = Impatient::new(stream, request_timeout, discardable, pulse.clone());
        let stream = TokioIo::new(stream);
        let service = answering(self.service.clone(), pulse.clone(), max_body_bytes);
        let stop = self.stop.subscribe();
        app.metrics.connections.fetch_add(1, Ordering::Relaxed);
        thread.spawn(async move {
            let mut http = http1::Builder::new();
            http.header_read_timeout(None).max_buf_size(READ_BUFFER);
            let connection = http.serve_connection(stream, service);
            if let Err(error) = attend(connection, &pulse, stop).await {
                // Clients that leave, send what is no HTTP, or read no answer: theirs to know.
                tracing::debug!(%error, "a connection ended");
            }
            app.metrics.connections.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
    }
}

/// A service that says when it is busy, and waits for at most `max_body_bytes` of a body that no handler reads.
fn answering(
    service: Router,
    pulse: Arc<Pulse>,
    max_body_bytes: usize,
) -> impl HttpService<Incoming, ResBody = Answer, Error = Infallible, Future: Send> + Send {
    let service = TowerToHyperService::new(service);
    service_fn(move |request: Request<Incoming>| {
        let (busy, pulse) = (pulse.busy(), pulse.clone());
        let unread = Unread::of(&request);
        let answer = service.call(request.map(|body| unread.track(body)));
        async move {
            let mut answer = answer.await?;
            if !unread.drain(answer.status(), max_body_bytes).await {
                pulse.leave_unread();
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(header::CONNECTION, close);
            }
            Ok(answer.map(|body| Answer { body, _busy: busy }))
        }
    })
}

/// Serves a connection until it ends, is idle or slow for too long, its place is wanted while it is idle, or the
/// server stops.
async fn attend<S>(
    connection: http1::Connection<TokioIo<Impatient<TcpStream>>, S>,
    pulse: &Pulse,
    mut stop: watch::Receiver<()>,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = Answer, Error = Infallible>,
{
    let mut connection = pin!(connection);
    let mut is_stopping = false;
    loop {
        let is_over = match pulse.judge(Instant::now(), is_stopping) {
            Verdict::Close => true,
            Verdict::Drop => {
                tracing::debug!("the head of a request took too long");
                return Ok(());
            }
            Verdict::Until(next) => tokio::select! {
                biased;
                ended = connection.as_mut() => return ended,
                _ = stop.changed(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                    false
                }
                () = pulse.unwanted.notified() => pulse.idle_since().is_some(),
                () = tokio::time::sleep_until(next.into()) => false,
            },
        };
        if is_over {
            pulse.leave();
            connection.as_mut().graceful_shutdown(); // what is not sent yet still is
            return connection.await;
        }
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
