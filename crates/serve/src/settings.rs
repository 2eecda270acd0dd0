//! What a server is told: limits, timeouts, who may ask. Checked once, so that nothing else checks.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::hosts::Host;

/// How a server answers. Every limit here is named in the error of who exceeds it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 takes any that is free.
    pub address: SocketAddr,
    /// What `Authorization: Bearer …` must say; `None` lets everyone ask.
    pub api_key: Option<String>,
    /// Origins whose pages may ask (CORS); `*` for any. Empty: pages of other origins may not.
    pub cors_allow_origins: Vec<String>,
    /// Hosts that requests may name besides localhost and loopback addresses; `*` for any. Empty: any, unless
    /// `address` is a loopback address.
    pub allowed_hosts: Vec<String>,
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The most texts of a request.
    pub max_texts: usize,
    /// The longest text, in Unicode code points.
    pub max_characters: usize,
    /// The most connections at once; more wait until one is closed.
    pub max_connections: usize,
    /// The most requests being read, waiting or answered at once.
    pub max_concurrent_requests: usize,
    /// The most tokens that wait to be computed; also the most of one request.
    pub max_queue_tokens: usize,
    /// The most tokens computed at once (one text may be longer).
    pub max_batch_tokens: usize,
    /// How long each stage of a request may take: its head to arrive, its body to arrive, its answer to be
    /// made; and how long its client may take in none of the answer.
    pub request_timeout: Duration,
    /// How long a connection stays open without a request.
    pub keep_alive_timeout: Duration,
    /// How long accepted requests may take once the server is told to stop.
    pub shutdown_timeout: Duration,
    /// Threads that read and write connections.
    pub threads: usize,
    /// Threads that tokenize long texts.
    pub tokenization_workers: usize,
    /// Whether texts may be logged.
    pub log_texts: bool,
    /// Gives memory that is free back to the system; called after bursts.
    pub release_memory: fn(),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            api_key: None,
            cors_allow_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            max_body_bytes: 2 << 20,
            max_texts: 256,
            max_characters: 10_000,
            // Below the 1,024 files that most systems let a process open.
            max_connections: 768,
            max_concurrent_requests: 512,
            max_queue_tokens: 65_536,
            max_batch_tokens: 512,
            request_timeout: Duration::from_secs(30),
            // Above the 60 s that most load balancers keep idle connections for.
            keep_alive_timeout: Duration::from_secs(90),
            shutdown_timeout: Duration::from_secs(30),
            threads: thread::available_parallelism().map_or(1, usize::from),
            tokenization_workers: 1,
            log_texts: false,
            release_memory: || {},
        }
    }
}

/// What is wrong with settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A limit that nothing could stay under.
    #[error("{0} is 0, expected at least 1")]
    Zero(&'static str),
    /// More than can be counted.
    #[error("{0} is {1}, expected at most {2}")]
    TooMany(&'static str, usize, usize),
    /// A key that no header can carry.
    #[error("the API key must be visible ASCII characters, at least one")]
    ApiKey,
    /// An origin that no browser sends.
    #[error("{0:?} is no origin: expected * or scheme://host[:port], without a path")]
    Origin(String),
    /// A host that no request names.
    #[error("{0:?} is no host: expected * or a name or IP address, without a scheme, port or path")]
    Host(String),
}

impl Settings {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// The first setting that no server could keep.
    pub fn check(&self) -> Result<(), SettingsError> {
        let counts = [
            ("max_body_bytes", self.max_body_bytes),
            ("max_texts", self.max_texts),
            ("max_characters", self.max_characters),
            ("max_connections", self.max_connections),
            ("max_concurrent_requests", self.max_concurrent_requests),
            ("max_queue_tokens", self.max_queue_tokens),
            ("max_batch_tokens", self.max_batch_tokens),
            ("threads", self.threads),
            ("tokenization_workers", self.tokenization_workers),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(SettingsError::Zero(name));
        }
        let most = Semaphore::MAX_PERMITS;
        for name in ["max_connections", "max_concurrent_requests"] {
            let found = counts.iter().find(|count| count.0 == name).map_or(0, |count| count.1);
            if found > most {
                return Err(SettingsError::TooMany(name, found, most));
            }
        }
        let timeouts = [
            ("request_timeout", self.request_timeout),
            ("keep_alive_timeout", self.keep_alive_timeout),
        ];
        if let Some((name, _)) = timeouts.iter().find(|(_, timeout)| timeout.is_zero()) {
            return Err(SettingsError::Zero(name));
        }
        let usable = |key: &String| !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
        if !self.api_key.as_ref().is_none_or(usable) {
            return Err(SettingsError::ApiKey);
        }
        if let Some(origin) = self.cors_allow_origins.iter().find(|origin| !is_origin(origin)) {
            return Err(SettingsError::Origin(origin.clone()));
        }
        let is_host = |host: &String| host == "*" || Host::parse(host).is_some();
        match self.allowed_hosts.iter().find(|host| !is_host(host)) {
            Some(host) => Err(SettingsError::Host(host.clone())),
            None => Ok(()),
        }
    }
}

/// Whether a browser could send it in `Origin`.
fn is_origin(origin: &str) -> bool {
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    origin == "*" || !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_server_could_keep_is_refused() {
        let ok = Settings::default();
        assert_eq!(ok.check(), Ok(()));
        assert_eq!(
            Settings { max_texts: 0, ..ok.clone() }.check(),
            Err(SettingsError::Zero("max_texts"))
        );
        for (max_concurrent_requests, fine) in
            [(usize::MAX >> 3, true), ((usize::MAX >> 3) + 1, false), (usize::MAX, false)]
        {
            let settings = Settings { max_concurrent_requests, ..ok.clone() };
            assert_eq!(settings.check().is_ok(), fine, "{max_concurrent_requests}");
        }
        let connections = |max_connections| Settings { max_connections, ..ok.clone() }.check();
        assert_eq!(connections(0), Err(SettingsError::Zero("max_connections")));
        assert!(matches!(connections(usize::MAX), Err(SettingsError::TooMany(..))));
        for key in ["", "two words", "naïve", "a\nb"] {
            let settings = Settings { api_key: Some(key.to_owned()), ..ok.clone() };
            assert_eq!(settings.check(), Err(SettingsError::ApiKey), "{key:?}");
        }
        for (origin, fine) in [
            ("*", true),
            ("https://example.org", true),
            ("http://localhost:3000", true),
            ("example.org", false),
            ("https://example.org/", false),
            ("https://", false),
        ] {
            let settings = Settings { cors_allow_origins: vec![origin.to_owned()], ..ok.clone() };
            assert_eq!(settings.check().is_ok(), fine, "{origin}");
        }
        for (host, fine) in [
            ("*", true),
            ("a.example", true),
            ("192.0.2.7", true),
            ("::1", true),
            ("[2001:db8::7]", true),
            ("", false),
            ("a.example:8080", false),
            ("http://a.example", false),
            ("*.example", false),
            ("a/b", false),
        ] {
            let settings = Settings { allowed_hosts: vec![host.to_owned()], ..ok.clone() };
            assert_eq!(settings.check().is_ok(), fine, "{host:?}");
        }
    }
}
