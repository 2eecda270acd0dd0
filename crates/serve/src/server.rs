//! The server itself: connections, reloading, and how it stops.
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
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::api;
use crate::app::App;
use crate::classifier::{Classifier, ClassifierError, Served};
use crate::observe::observe;
use crate::settings::{Settings, SettingsError};

/// How long a connection may take to send a request's head, and to stay idle before it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// The system gives no threads or sockets.
    #[error("cannot start the server")]
    System(#[from] io::Error),
}

/// A server that listens, and answers once it is run.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
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
    /// When settings or classifier are wrong, or the address cannot be had.
    pub async fn bind(settings: Settings, classifier: Classifier) -> Result<Self, ServeError> {
        settings.check()?;
        let served = Served::new(classifier)?;
        let address = settings.address;
        let listen = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        Ok(Self { app: App::new(settings, served)?, listener })
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
        let Self { app, listener } = self;
        let connections = Connections {
            service: router(&app),
            graceful: GracefulShutdown::new(),
            app: app.clone(),
        };
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => connections.accepted(accepted).await,
            }
        }
        app.drain();
        tracing::info!("shutting down");
        // What the system has accepted in our name counts as accepted.
        let soon = Duration::from_millis(10);
        while let Ok(accepted) = tokio::time::timeout(soon, listener.accept()).await {
            connections.accepted(accepted).await;
        }
        drop(listener);
        let Connections { graceful, .. } = connections;
        let until = tokio::time::Instant::now() + LINGER;
        while graceful.count() > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let closed = graceful.shutdown();
        let mut closed = std::pin::pin!(closed);
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

/// What serves each connection.
struct Connections {
    service: Router,
    graceful: GracefulShutdown,
    app: Arc<App>,
}

impl Connections {
    async fn accepted(&self, accepted: io::Result<(TcpStream, std::net::SocketAddr)>) {
        match accepted {
            Ok((stream, _)) => self.serve(stream),
            // The client left, or files have run out: waiting for some to be closed is all there is.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true); // answers are small, and whole
        let service = TowerToHyperService::new(self.service.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        let app = self.app.clone();
        app.metrics.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Clients that leave, or send what is no HTTP: theirs to know.
                tracing::debug!(%error, "a connection ended");
            }
            app.metrics.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// All endpoints with what is around them.
fn router(app: &Arc<App>) -> Router {
    let router = api::router().with_state(app.clone());
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
