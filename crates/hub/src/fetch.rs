//! A file from the network: streamed beside its place, bounded, checked, synced, renamed.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

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

/// Fetches files over HTTP(S).
#[derive(Clone, Debug)]
pub struct Fetcher {
    agent: ureq::Agent,
}

impl Default for Fetcher {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .user_agent(concat!("tinymood/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .build();
        Self { agent: config.into() }
    }
}

impl Fetcher {
    fn get(&self, url: &str, token: Option<&str>) -> Result<ureq::Body, HubError> {
        let mut request = self.agent.get(url);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        match request.call() {
            Ok(response) => Ok(response.into_body()),
            Err(ureq::Error::StatusCode(status)) => {
                Err(HubError::Status { url: url.to_owned(), status })
            }
            Err(error) => Err(network(url, error)),
        }
    }

    /// A small text.
    ///
    /// # Errors
    /// When it cannot be had, or is longer than `max_bytes`.
    pub fn text(&self, url: &str, token: Option<&str>, max_bytes: u64) -> Result<String, HubError> {
        let mut text = String::new();
        let mut reader = self.get(url, token)?.into_reader().take(max_bytes + 1);
        reader.read_to_string(&mut text).map_err(|error| network(url, error))?;
        if text.len() as u64 > max_bytes {
            return Err(HubError::TooLarge { url: url.to_owned(), limit: max_bytes });
        }
        Ok(text)
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
        let body = self.get(url, token)?;
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
        loop {
            let count = reader.read(&mut buffer).map_err(|error| network(url, error))?;
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
