//! `tinymood serve`: a model behind HTTP, until it is told to stop.

mod signals;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use anyhow::{Context, bail};
use tinymood_serve::{
    About, Classifier, Reloader, ServeError, Server, Settings, reserve_descriptors,
};
use tinymood_weights::regular;
use tracing_subscriber::filter::LevelFilter;

use self::signals::{Signal, Signals};
use crate::args::{GlobalArgs, LogFormatArg, LogLevelArg, ServeArgs};
use crate::bundled;
use crate::init::is_of_hub;
use crate::model::{LATEST, Model};
use crate::stop::Stopped;

/// No header holds a longer key.
const MOST_KEY_BYTES: u64 = 32 << 10;

/// Of the thread that opens the model: as much as a main thread has.
const STACK_BYTES: usize = 8 << 20;

pub(super) fn run(args: ServeArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let settings = settings(&args, global)?;
    reserve_descriptors(&settings)?;
    start_log(&args, global.quiet)?;
    // It accepts connections and hears signals; the server has threads of its own for the rest.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the server")?;
    let in_time = runtime.block_on(open_and_serve(settings, args, global.clone()))?;
    if !in_time {
        bail!("some requests were not answered within --shutdown-timeout");
    }
    Ok(())
}

/// What the command line tells `tinymood_serve`, as far as nothing has to be read or resolved for it.
fn settings(args: &ServeArgs, global: &GlobalArgs) -> anyhow::Result<Settings> {
    let limits = &args.limits;
    let settings = Settings {
        api_key: args.api_key.clone(),
        cors_allow_origins: args.cors_allow_origin.clone(),
        allowed_hosts: args.allowed_host.clone(),
        max_body_bytes: limits.max_body_bytes,
        max_texts: limits.max_texts,
        max_characters: limits.max_characters,
        max_connections: limits.max_connections,
        max_concurrent_requests: limits.max_concurrent_requests,
        max_queue_tokens: limits.max_queue_tokens,
        max_batch_tokens: limits.max_batch_tokens,
        request_timeout: limits.request_timeout,
        keep_alive_timeout: limits.keep_alive_timeout,
        shutdown_timeout: limits.shutdown_timeout,
        threads: global.threads.unwrap_or(Settings::default().threads),
        tokenization_workers: args.tokenization_workers,
        log_texts: args.log_texts,
        release_memory: tinymood_kernels::release_free_memory,
        ..Settings::default()
    };
    settings.check()?;
    Ok(settings)
}

fn address(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let unknown = || format!("--host {host:?} is no address of this machine");
    let mut found = (host, port).to_socket_addrs().with_context(unknown)?;
    found.next().with_context(unknown)
}

/// The key in a file.
fn read_api_key(path: &Path) -> anyhow::Result<String> {
    let text = regular::read_text(path, MOST_KEY_BYTES)
        .with_context(|| format!("cannot read the API key in {}", path.display()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let key = line.strip_suffix('\r').unwrap_or(line);
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("{} holds no API key: expected one line of visible ASCII characters", path.display());
    }
    Ok(key.to_owned())
}

fn start_log(args: &ServeArgs, quiet: bool) -> anyhow::Result<()> {
    let level = match args.log_level {
        None if quiet => LevelFilter::WARN,
        Some(LogLevelArg::Error) => LevelFilter::ERROR,
        Some(LogLevelArg::Warn) => LevelFilter::WARN,
        Some(LogLevelArg::Info) | None => LevelFilter::INFO,
        Some(LogLevelArg::Debug) => LevelFilter::DEBUG,
    };
    let log = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level);
    // It says on standard error that it cannot write to standard error, which panics.
    let log = log.with_target(false).with_ansi(false).log_internal_errors(false);
    let started = match args.log_format {
        LogFormatArg::Text => log.try_init(),
        LogFormatArg::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

/// How the model is opened, now and again.
struct Opening {
    name: Option<String>,
    /// Where `name` lies, if it is a folder's: no hub has an absolute path.
    folder: Option<String>,
    global: GlobalArgs,
}

impl Opening {
    /// Opens the model for the first time. What is a folder now is one for good: while it is missing, its
    /// name must not be taken for a hub id.
    fn open_first(&mut self) -> anyhow::Result<Classifier> {
        let is_folder = |name: &&str| ![LATEST, bundled::NAME].contains(name) && !is_of_hub(name);
        if let Some(name) = self.name.as_deref().filter(is_folder) {
            let folder = std::path::absolute(name).context("cannot tell where the model lies")?;
            self.folder = folder.into_os_string().into_string().ok();
        }
        self.open()
    }

    fn open(&self) -> anyhow::Result<Classifier> {
        let name = self.folder.as_ref().or(self.name.as_ref());
        let model = Model::load(name.map(String::as_str), &self.global)?;
        let about = About {
            model_id: self.name.clone().unwrap_or_else(|| "bundled".to_owned()),
            model_sha: model.weights_sha256()?,
            model_dtype: model.dtype().to_owned(),
        };
        let Model { engine, tokenizer, labels, thresholds, .. } = model;
        Ok(Classifier { engine: Box::new(engine), tokenizer, labels, thresholds, about })
    }
}

/// What takes a while to have: names are resolved, files are read, a model may be downloaded.
struct Opened {
    settings: Settings,
    classifier: Classifier,
    opening: Opening,
}

impl Opened {
    fn open(mut settings: Settings, args: ServeArgs, global: GlobalArgs) -> anyhow::Result<Self> {
        settings.address = address(&args.host, args.port)?;
        if let Some(path) = &args.api_key_file {
            settings.api_key = Some(read_api_key(path)?);
        }
        if settings.api_key.is_none() && !settings.address.ip().is_loopback() {
            tracing::warn!(
                "no --api-key: everyone who reaches {} may send requests",
                settings.address
            );
        }
        let mut opening = Opening { name: args.model, folder: None, global };
        let classifier = opening.open_first()?;
        Ok(Self { settings, classifier, opening })
    }
}

/// Signals are listened to from the start on: without a handler, a SIGHUP would end the process. Returns whether all
/// requests were answered in time.
async fn open_and_serve(
    settings: Settings,
    args: ServeArgs,
    global: GlobalArgs,
) -> anyhow::Result<bool> {
    let mut signals = Signals::new().context("cannot listen to signals")?;
    let (give, mut opened) = tokio::sync::oneshot::channel();
    // Nobody receives it after a signal to stop.
    let open = move || drop(give.send(Opened::open(settings, args, global)));
    let thread = thread::Builder::new().name("open".to_owned()).stack_size(STACK_BYTES);
    thread.spawn(open).map_err(ServeError::Thread)?;
    let mut reload = false;
    let opened = loop {
        tokio::select! {
            biased;
            opened = &mut opened => break opened.context("opening the model panicked")??,
            signal = signals.next() => match signal {
                Signal::Stop(signal) => {
                    tracing::info!("told to stop before the model is open: stopping at once");
                    // By the signal itself: a shell sees a start that was broken off, systemd no failure.
                    signal_hook::low_level::emulate_default_handler(signal)?;
                    return Err(Stopped::by(signal));
                }
                Signal::Reload => {
                    tracing::info!("told to reload while the model is being opened: it is opened again after that");
                    reload = true;
                }
            }
        }
    };
    serve(opened, signals, reload).await
}

async fn serve(opened: Opened, mut signals: Signals, reload: bool) -> anyhow::Result<bool> {
    let Opened { settings, classifier, opening } = opened;
    tracing::info!(about = ?classifier.about, engine = classifier.engine.describe(), "model");
    let server = Server::bind(settings, classifier).await?;
    let address = server.local_address().context("cannot tell the address")?;
    let reloads = reloads(server.reloader(), opening)?;
    if reload {
        let _ = reloads.try_send(()); // nothing waits yet
    }
    if let Err(error) = super::print(&format!("listening on http://{address}\n")) {
        // Nobody reads it, which is no reason to serve nobody.
        tracing::warn!("listening on http://{address}, but {error:#}");
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let mut stop = Some(stop);
        loop {
            match (signals.next().await, stop.take()) {
                (Signal::Reload, still) => {
                    stop = still;
                    // One that waits already has not begun, and will do for this one.
                    let _ = reloads.try_send(());
                }
                (Signal::Stop(_), Some(stop)) => drop(stop), // the receiver sees it gone
                (Signal::Stop(_), None) => {
                    tracing::warn!("told to stop again: stopping at once");
                    std::process::exit(1);
                }
            }
        }
    });
    let stopped = async {
        let _ = stopped.await;
    };
    Ok(server.run(stopped).await)
}

/// A thread that opens the model again for each message, one after the other. Where that takes for ever, nobody
/// waits for it.
fn reloads(reloader: Reloader, opening: Opening) -> Result<SyncSender<()>, ServeError> {
    let (reloads, asked) = mpsc::sync_channel(1);
    let work = move || asked.iter().for_each(|()| reload(&reloader, &opening));
    thread::Builder::new().name("reload".to_owned()).spawn(work).map_err(ServeError::Thread)?;
    Ok(reloads)
}

/// Opens the model again; where that fails, says why, and the old one goes on.
fn reload(reloader: &Reloader, opening: &Opening) {
    tracing::info!("reloading the model");
    let opened = catch_unwind(AssertUnwindSafe(|| opening.open()));
    // A failure that counts as every other.
    let opened = opened.unwrap_or_else(|_| Err(anyhow::anyhow!("opening the new model panicked")));
    match catch_unwind(AssertUnwindSafe(|| reloader.reload(opened))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!("the model before goes on: {error:#}"),
        Err(_) => tracing::error!("the model before goes on: trying the new one panicked"),
    }
}
