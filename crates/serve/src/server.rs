//! The server itself: listening, reloading, and how it stops.
//!
//! Told to stop, it
//!
//! ```text
//! 1. says no at /health, and closes each connection after its next answer
//! 2. takes in the connections that the system has accepted already, and then no more
//! 3. waits until no connection is left, or those that are left have been idle for a moment
//! 4. closes idle connections, and waits until what is in flight is answered, or its time is up
//! 5. tells what still waits that the server is shutting down
//! ```
//!
//! so that a client which sent a request on an open connection gets its answer, as long as it can.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware;
use tokio::net::TcpListener;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::api;
use crate::app::App;
use crate::classifier::{Classifier, ClassifierError, Served};
use crate::connections::Connections;
use crate::hosts;
use crate::observe::observe;
use crate::settings::{Settings, SettingsError};
use crate::threads::Threads;

/// How long open connections have for one more request once the server is told to stop.
const LINGER: Duration = Duration::from_millis(500);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting that no server could keep.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A classifier that does not fit together.
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("the system refuses a thread that the server needs")]
    Thread(#[source] io::Error),
    /// The system allows fewer files than the settings need.
    #[error(
        "the system allows {allowed} file descriptors; connections ({connections}) and threads ({threads}) need {needed}"
    )]
    Descriptors {
        /// The hard limit.
        allowed: u64,
        /// What a server with these settings needs.
        needed: usize,
        /// The most connections at once.
        connections: usize,
        /// Threads that read and write connections.
        threads: usize,
    },
    /// The system gives no sockets.
    #[error("cannot start the server")]
    System(#[from] io::Error),
}

impl ServeError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Thread(_) => Some(
                "raise the limit of processes and threads: ulimit -u, TasksMax= of systemd, \
                 --pids-limit of a container",
            ),
            Self::Descriptors { .. } => Some(
                "raise the limit of file descriptors (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of a \
                 container), or lower --max-connections",
            ),
            _ => None,
        }
    }
}

/// A server that listens, and answers once it is run.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    threads: Threads,
}

/// Replaces the classifier of a running server.
#[derive(Clone, Debug)]
pub struct Reloader {
    app: Arc<App>,
}

impl Reloader {
    /// Answers requests that begin from now on with `classifier`; those that began before keep theirs.
    ///
    /// # Errors
    /// When it does not fit together, or `classifier` is why there is none. The one before stays then.
    pub fn reload<E>(&self, classifier: Result<Classifier, E>) -> Result<(), E>
    where
        E: From<ClassifierError>,
    {
        let metrics = &self.app.metrics;
        let served = classifier.and_then(|classifier| Ok(Served::new(classifier)?));
        match served {
            Ok(served) => {
                tracing::info!(about = ?served.classifier.about, "model reloaded");
                self.app.replace(served);
                metrics.reloads.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                metrics.failed_reloads.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }
}

impl Server {
    /// Listens; must be called on a tokio runtime.
    ///
    /// # Errors
    /// When settings or classifier are wrong, or the system gives neither address nor threads.
    pub async fn bind(settings: Settings, classifier: Classifier) -> Result<Self, ServeError> {
        settings.check()?;
        let served = Served::new(classifier)?;
        let address = settings.address;
        let listen = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let threads = Threads::new(settings.threads)?;
        let app = App::new(settings, served).map_err(ServeError::Thread)?;
        Ok(Self { app, listener, threads })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_address(&self) -> io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// What replaces the classifier while it runs.
    pub fn reloader(&self) -> Reloader {
        Reloader { app: self.app.clone() }
    }

    /// Answers until `stop` is done, then finishes what it has accepted. Returns whether all of it got
    /// an answer in time.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let Self { app, listener, threads } = self;
        let mut connections = Connections::new(app.clone(), router(&app), threads);
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                client = connections.next(&listener) => connections.serve(client),
            }
        }
        app.drain();
        tracing::info!("shutting down");
        // What the system has accepted in our name counts as accepted.
        let soon = Duration::from_millis(10);
        while let Ok(client) = tokio::time::timeout(soon, connections.next(&listener)).await {
            connections.serve(client);
        }
        drop(listener);
        // Dropped at the end, and with them whoever has no answer by then.
        let Connections { stop, threads: _threads, .. } = connections;
        let until = tokio::time::Instant::now() + LINGER;
        while stop.receiver_count() > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.send_replace(());
        let mut closed = std::pin::pin!(stop.closed());
        let in_time = tokio::time::timeout(app.settings.shutdown_timeout, &mut closed).await;
        if in_time.is_err() {
            tracing::warn!("time is up: telling what waits that the server is shutting down");
            app.abandon();
            // Telling it takes no longer than a batch that is being computed.
            let _ = tokio::time::timeout(Duration::from_secs(1), closed).await;
        }
        tracing::info!("stopped");
        in_time.is_ok()
    }
}

/// All endpoints with what is around them.
fn router(app: &Arc<App>) -> Router {
    let router = api::router().with_state(app.clone());
    let router = router.layer(middleware::from_fn_with_state(app.clone(), hosts::check));
    let router = match cors(&app.settings.cors_allow_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(middleware::from_fn_with_state(app.clone(), observe))
}

/// Which pages may ask; `None` leaves that to browsers: pages of this server only.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        // Settings have been checked: each is a header's value.
        false => AllowOrigin::list(origins.iter().filter_map(|o| HeaderValue::from_str(o).ok())),
    };
    let request_id = HeaderName::from_static("x-request-id");
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, request_id.clone()])
        .expose_headers([request_id, header::RETRY_AFTER])
        .max_age(Duration::from_secs(600));
    Some(layer)
}
