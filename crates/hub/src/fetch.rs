//! A file from the network: streamed beside its place, bounded, checked, synced, renamed. One that breaks
//! off is gone on with where it broke, if the server still has the same one.

use std::fmt;
use std::fs;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tinymood_files::durable::Unfinished;

use crate::HubError;

/// What is known of a file before it is fetched.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The most bytes that it can have.
    pub max_bytes: u64,
    /// Its SHA-256 in hexadecimal, where known.
    pub sha256: Option<&'a str>,
}

/// How slow an answer may be before it is given up. A pause would not tell: who sends a byte a second
/// never pauses.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The time that a small text may take in all.
    pub text: Duration,
    /// The time over which bytes of a file are counted, and the longest pause.
    pub window: Duration,
    /// The fewest bytes of a file in such a time.
    pub least_bytes: u64,
}

impl Default for Patience {
    /// A kilobyte a second over a minute.
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { text: minute, window: minute, least_bytes: 60 << 10 }
    }
}

/// How often a file is asked for that breaks off each time.
const MOST_BREAKS: usize = 5;

/// Hears of files as they come.
pub trait Watch: fmt::Debug + Send + Sync {
    /// A file of this name begins, of so many bytes where the server says it. What is returned is told how many
    /// bytes have come, and dropped when no more will.
    fn begin(&self, name: &str, bytes: Option<u64>) -> Box<dyn FnMut(u64)>;
}

/// Fetches files over HTTP(S).
#[derive(Clone, Debug)]
pub struct Fetcher {
    agent: ureq::Agent,
    patience: Patience,
    watch: Option<Arc<dyn Watch>>,
}

impl Default for Fetcher {
    fn default() -> Self {
        Self::new(Patience::default())
    }
}

impl Fetcher {
    /// A fetcher that waits as long as `patience` says.
    pub fn new(patience: Patience) -> Self {
        let config = ureq::Agent::config_builder()
            .user_agent(concat!("tinymood/", env!("CARGO_PKG_VERSION")))
            // The hub sends on to other places of its own, some of which want to know who asks, too.
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_per_read(Some(patience.window))
            .build();
        Self { agent: config.into(), patience, watch: None }
    }

    /// The same, with one who hears of files.
    pub fn watched(self, watch: Arc<dyn Watch>) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// Asks for `url`; its body may take `time`, or as long as it likes. Of a file that is there in part, the
    /// rest will do.
    fn get(
        &self,
        url: &str,
        token: Option<&str>,
        time: Option<Duration>,
        rest: Option<&Rest>,
    ) -> Result<Response, HubError> {
        let mut request = self.agent.get(url).config().timeout_recv_body(time).build();
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(Rest { from, tag }) = rest {
            request = request.header("Range", format!("bytes={from}-")).header("If-Range", tag);
        }
        let began = Instant::now();
        request.call().map_err(|error| broken(url, error, 0, began))
    }

    /// The status of the answer at `url`, for which `time` is waited.
    ///
    /// # Errors
    /// When there is none.
    pub fn status(&self, url: &str, time: Duration) -> Result<u16, HubError> {
        let asked = self.agent.get(url).config().timeout_global(Some(time));
        let response = asked.http_status_as_error(false).build().call();
        response.map(|response| response.status().as_u16()).map_err(|error| network(url, error))
    }

    /// A small text.
    ///
    /// # Errors
    /// When it cannot be had, or is longer than `max_bytes`.
    pub fn text(&self, url: &str, token: Option<&str>, max_bytes: u64) -> Result<String, HubError> {
        let body = self.get(url, token, Some(self.patience.text), None)?.into_body();
        let began = Instant::now();
        let mut text = Vec::new();
        let read = body.into_reader().take(max_bytes + 1).read_to_end(&mut text);
        let received = text.len() as u64;
        read.map_err(|error| broken(url, error, received, began))?;
        if received > max_bytes {
            return Err(HubError::TooLarge { url: url.to_owned(), limit: max_bytes });
        }
        String::from_utf8(text).map_err(|error| network(url, error))
    }

    /// Fetches `url` to `path`, which is afterwards the whole file or what it was before.
    ///
    /// # Errors
    /// When it cannot be had, is not what was expected, or cannot be written.
    pub fn file(
        &self,
        url: &str,
        token: Option<&str>,
        path: &Path,
        expected: Expected<'_>,
    ) -> Result<(), HubError> {
        let mut response = self.get(url, token, None, None)?;
        let announced = response.body().content_length();
        check_length(url, announced.unwrap_or(0), expected)?;
        let failed = |source| HubError::Io { path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let mut part = Part {
            file: Unfinished::file(path).map_err(failed)?,
            digest: Sha256::new(),
            length: 0,
        };
        let mut tell: Box<dyn FnMut(u64)> = match &self.watch {
            Some(watch) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                watch.begin(&name, announced)
            }
            None => Box::new(|_| {}),
        };
        for breaks in 1.. {
            let before = part.length;
            let tag = strong_tag(&response);
            let came = self.receive(url, response, expected, &mut part, &mut tell, failed);
            let has_more = part.length > before;
            match came {
                Err(HubError::Network { .. }) if has_more && breaks < MOST_BREAKS => {}
                other => {
                    other?;
                    break;
                }
            }
            let rest = tag.map(|tag| Rest { from: part.length, tag });
            response = self.get(url, token, None, rest.as_ref())?;
            match begins_at(&response) {
                Some(0) => part.begin_again().map_err(failed)?,
                Some(place) if place == part.length => {}
                _ => {
                    return Err(network(
                        url,
                        "it sends another part of the file than was asked for",
                    ));
                }
            }
        }
        drop(tell);
        let found = hex(&part.digest.finalize());
        if let Some(sum) = expected.sha256.filter(|sum| !sum.eq_ignore_ascii_case(&found)) {
            let expected = sum.to_owned();
            return Err(HubError::Checksum { url: url.to_owned(), found, expected });
        }
        part.file.finish(path).map_err(failed)
    }

    /// Adds the body of a response to what is there of a file.
    fn receive(
        &self,
        url: &str,
        response: Response,
        expected: Expected<'_>,
        part: &mut Part,
        tell: &mut dyn FnMut(u64),
        failed: impl Fn(io::Error) -> HubError,
    ) -> Result<(), HubError> {
        let whole = response.body().content_length().map(|length| part.length + length);
        check_length(url, whole.unwrap_or(0), expected)?;
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        let mut pace = Pace::new(url, self.patience);
        loop {
            let count = pace.keep(reader.read(&mut buffer))?;
            if count == 0 {
                break;
            }
            check_length(url, part.length + count as u64, expected)?;
            part.add(&buffer[..count]).map_err(&failed)?;
            tell(part.length);
        }
        match whole.filter(|&whole| whole != part.length) {
            Some(whole) => {
                let problem = format!("it broke off after {} of {whole} bytes", part.length);
                Err(network(url, io::Error::other(problem)))
            }
            None => Ok(()),
        }
    }
}

type Response = ureq::http::Response<ureq::Body>;

/// What is there of a file that is coming.
struct Part {
    file: Unfinished,
    digest: Sha256,
    length: u64,
}

impl Part {
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn begin_again(&mut self) -> io::Result<()> {
        let file = self.file.as_file()?;
        file.set_len(0)?;
        file.rewind()?;
        (self.digest, self.length) = (Sha256::new(), 0);
        Ok(())
    }
}

/// What is still to come of a file.
struct Rest {
    from: u64,
    /// What the server called the file, of which it then sends no other one's rest.
    tag: String,
}

/// The tag by which a server tells a file from one of other bytes.
fn strong_tag(response: &Response) -> Option<String> {
    let tag = response.headers().get("ETag")?.to_str().ok()?;
    tag.starts_with('"').then(|| tag.to_owned())
}

/// The place in the file of a response's first byte; `None` where it is not said.
fn begins_at(response: &Response) -> Option<u64> {
    if response.status() != 206 {
        return Some(0);
    }
    let range = response.headers().get("Content-Range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn check_length(url: &str, length: u64, expected: Expected<'_>) -> Result<(), HubError> {
    match length > expected.max_bytes {
        true => Err(HubError::TooLarge { url: url.to_owned(), limit: expected.max_bytes }),
        false => Ok(()),
    }
}

/// How fast a file comes: its bytes since the window at hand began.
struct Pace<'a> {
    url: &'a str,
    patience: Patience,
    began: Instant,
    received: u64,
}

impl<'a> Pace<'a> {
    fn new(url: &'a str, patience: Patience) -> Self {
        Self { url, patience, began: Instant::now(), received: 0 }
    }

    /// Counts what has been read.
    ///
    /// # Errors
    /// When nothing has, or too little within the window.
    fn keep(&mut self, read: io::Result<usize>) -> Result<usize, HubError> {
        let Self { url, patience, began, received } = *self;
        let count = read.map_err(|error| broken(url, error, received, began))?;
        self.received += count as u64;
        let waited = began.elapsed();
        if count > 0 && waited >= patience.window {
            if self.received < patience.least_bytes {
                let (url, received) = (url.to_owned(), self.received);
                return Err(HubError::Slow { url, received, waited });
            }
            *self = Self::new(url, patience);
        }
        Ok(count)
    }
}

/// Why an answer broke off after `received` bytes of its body since `began`.
fn broken(url: &str, error: impl Into<ureq::Error>, received: u64, began: Instant) -> HubError {
    use ureq::Timeout::{PerRead, RecvBody, RecvResponse};
    match error.into() {
        ureq::Error::StatusCode(status) => HubError::Status { url: url.to_owned(), status },
        ureq::Error::Timeout(PerRead | RecvBody | RecvResponse) => {
            HubError::Slow { url: url.to_owned(), received, waited: began.elapsed() }
        }
        error => network(url, error),
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn network(url: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HubError {
    HubError::Network { url: url.to_owned(), source: source.into() }
}
