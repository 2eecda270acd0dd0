//! A file from the network: streamed beside its place, bounded, checked, synced, renamed.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

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

/// Fetches files over HTTP(S).
#[derive(Clone, Debug)]
pub struct Fetcher {
    agent: ureq::Agent,
    patience: Patience,
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
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_per_read(Some(patience.window))
            .build();
        Self { agent: config.into(), patience }
    }

    /// Asks for `url`; its body may take `time`, or as long as it likes.
    fn get(
        &self,
        url: &str,
        token: Option<&str>,
        time: Option<Duration>,
    ) -> Result<ureq::Body, HubError> {
        let mut request = self.agent.get(url).config().timeout_recv_body(time).build();
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let began = Instant::now();
        let response = request.call().map_err(|error| broken(url, error, 0, began))?;
        Ok(response.into_body())
    }

    /// A small text.
    ///
    /// # Errors
    /// When it cannot be had, or is longer than `max_bytes`.
    pub fn text(&self, url: &str, token: Option<&str>, max_bytes: u64) -> Result<String, HubError> {
        let body = self.get(url, token, Some(self.patience.text))?;
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
        let body = self.get(url, token, None)?;
        let too_large = || HubError::TooLarge { url: url.to_owned(), limit: expected.max_bytes };
        let announced = body.content_length();
        if announced.is_some_and(|length| length > expected.max_bytes) {
            return Err(too_large());
        }
        let failed = |source| HubError::Io { path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        let mut beside = temporary(folder).map_err(failed)?;
        let mut reader = body.into_reader();
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        let mut received = 0_u64;
        let mut pace = Pace::new(url, self.patience);
        loop {
            let count = pace.keep(reader.read(&mut buffer))?;
            if count == 0 {
                break;
            }
            received += count as u64;
            if received > expected.max_bytes {
                return Err(too_large());
            }
            digest.update(&buffer[..count]);
            beside.write_all(&buffer[..count]).map_err(failed)?;
        }
        if let Some(length) = announced.filter(|&length| length != received) {
            let problem = format!("it broke off after {received} of {length} bytes");
            return Err(network(url, std::io::Error::other(problem)));
        }
        let found = hex(&digest.finalize());
        if let Some(sum) = expected.sha256.filter(|sum| *sum != found) {
            let expected = sum.to_owned();
            return Err(HubError::Checksum { url: url.to_owned(), found, expected });
        }
        beside.as_file().sync_all().map_err(failed)?;
        beside.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
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

/// A temporary file that, once renamed, may be read by whom the user's umask lets read.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&digest.finalize())),
            count => digest.update(&buffer[..count]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn network(url: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HubError {
    HubError::Network { url: url.to_owned(), source: source.into() }
}
