//! Which hosts requests may name.
//!
//! A page of any origin may let its own name resolve to a loopback address (DNS rebinding). Browsers then take this
//! server for that origin, so neither CORS nor the check of the content type keeps the page from reading its answers.
//! But such a request names the page's host. A server that listens on a loopback address therefore answers only to
//! `localhost`, to loopback addresses, and to what `allowed_hosts` lists.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::error::ApiError;
use crate::settings::Settings;

/// No name in DNS is longer.
const LONGEST_NAME: usize = 253;

/// A host without its port: names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// Reads a host as `--allowed-host` takes it: a name, or an IP address with or without brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let in_brackets = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(address) = in_brackets {
            return address.parse::<Ipv6Addr>().ok().map(|a| Self::Address(a.to_canonical()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_of_names = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_of_names);
        is_name.then(|| Self::Name(name.to_ascii_lowercase()))
    }

    /// Reads `Host` or `:authority`: a host and perhaps a port.
    fn of_authority(authority: &str) -> Option<Self> {
        // The colons of an IPv6 address stand in brackets.
        let port_at = match authority.rfind(']') {
            Some(end) => end + 1,
            None => authority.find(':').unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at(port_at);
        let digits = port.strip_prefix(':').unwrap_or(port);
        let is_port = port.is_empty() || port.starts_with(':');
        if !is_port || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let host = Self::parse(host)?;
        let is_bare_v6 =
            matches!(host, Self::Address(IpAddr::V6(_))) && !authority.starts_with('[');
        (!is_bare_v6).then_some(host)
    }

    fn is_local(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => address.is_loopback(),
        }
    }
}

/// The hosts that a server answers to.
#[derive(Debug)]
pub(crate) struct AllowedHosts {
    /// `None`: all of them.
    listed: Option<Vec<Host>>,
}

impl AllowedHosts {
    pub(crate) fn new(settings: &Settings) -> Self {
        let listed = &settings.allowed_hosts;
        let is_local = settings.address.ip().to_canonical().is_loopback();
        // Which names lead to another address is for the network to know.
        let is_open = !is_local && listed.is_empty() || listed.iter().any(|host| host == "*");
        // Settings have been checked: each is a host.
        let hosts = || listed.iter().filter_map(|host| Host::parse(host)).collect();
        Self { listed: (!is_open).then(hosts) }
    }

    /// Checks every host that a request names. HTTP/1.0 clients may name none; browsers always do.
    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(listed) = &self.listed else { return Ok(()) };
        let of_headers = headers.get_all(header::HOST).iter();
        let of_headers = of_headers.map(|host| String::from_utf8_lossy(host.as_bytes()));
        let of_uri = uri.authority().map(|authority| authority.as_str().into());
        for named in of_headers.chain(of_uri) {
            let host = Host::of_authority(&named);
            if !host.as_ref().is_some_and(|host| host.is_local() || listed.contains(host)) {
                return Err(refused(&named, host.as_ref()));
            }
        }
        Ok(())
    }
}

/// The field's servers (Vite, webpack-dev-server, Jupyter) answer 403, too.
fn refused(named: &str, host: Option<&Host>) -> ApiError {
    let named: String = named.chars().take(LONGEST_NAME).collect();
    let remedy = match host {
        Some(Host::Name(name)) => format!("; --allowed-host {name} allows it"),
        Some(Host::Address(address)) => format!("; --allowed-host {address} allows it"),
        None => String::new(),
    };
    let message = format!(
        "the host {named:?} is not allowed: against DNS rebinding, this server answers only to localhost, loopback \
         addresses and the hosts of --allowed-host{remedy}"
    );
    ApiError::new(StatusCode::FORBIDDEN, "host_not_allowed", message)
}

/// Refuses requests for other hosts. `/health` tells nothing but that there is a server; probes of orchestrators ask
/// for it by whatever address they know.
pub(crate) async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.uri().path() != "/health"
        && let Err(error) = app.allowed_hosts.check(request.uri(), request.headers())
    {
        return error.into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(address: &str, listed: &[&str]) -> AllowedHosts {
        let address = format!("{address}:0").parse().unwrap();
        let allowed_hosts = listed.iter().map(|host| (*host).to_owned()).collect();
        AllowedHosts::new(&Settings { address, allowed_hosts, ..Settings::default() })
    }

    fn answers(hosts: &AllowedHosts, named: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, named.parse().unwrap());
        hosts.check(&Uri::from_static("/"), &headers).is_ok()
    }

    #[test]
    fn on_loopback_only_local_hosts_and_those_listed_are_answered() {
        for address in ["127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]"] {
            let hosts = allowed(address, &["a.example", "192.0.2.7", "[2001:db8::7]"]);
            for local in [
                "localhost",
                "localhost:8080",
                "LOCALHOST:1",
                "localhost.",
                "localhost:",
                "127.0.0.1",
                "127.0.0.1:8080",
                "127.255.0.9:1",
                "[::1]",
                "[::1]:8080",
                "[0:0:0:0:0:0:0:1]:1",
                "[::ffff:127.0.0.1]:1",
            ] {
                assert!(answers(&hosts, local), "{address}: {local}");
            }
            for listed in ["a.example", "A.Example:8080", "192.0.2.7:1", "[2001:db8::7]:1"] {
                assert!(answers(&hosts, listed), "{address}: {listed}");
            }
            for other in [
                "",
                ":8080",
                "b.example",
                "x.a.example",
                "a.example.b",
                "localhost.b.example",
                "localhost:1:2",
                "localhost:http",
                "localhost@b.example",
                "b.example@localhost",
                "127.0.0.1.b.example",
                "127.1",
                "10.0.0.1",
                "0.0.0.0",
                "[::]",
                "::1",
                "[::1",
                "[::1]x",
                "[::1]:x",
                "[localhost]",
                "a b",
                "localhost, b.example",
                "localhost/",
                "\u{e9}",
            ] {
                assert!(!answers(&hosts, other), "{address}: {other:?}");
            }
        }
    }

    #[test]
    fn on_other_addresses_all_hosts_are_answered_unless_some_are_listed() {
        for address in ["0.0.0.0", "192.0.2.1", "[::]"] {
            assert!(answers(&allowed(address, &[]), "b.example"));
            let hosts = allowed(address, &["a.example"]);
            assert!(answers(&hosts, "a.example:8080") && answers(&hosts, "localhost:8080"));
            assert!(!answers(&hosts, "b.example") && !answers(&hosts, "192.0.2.1"));
        }
        assert!(answers(&allowed("127.0.0.1", &["*"]), "b.example"));
    }

    #[test]
    fn every_host_that_a_request_names_counts() {
        let hosts = allowed("127.0.0.1", &[]);
        let (local, other) = ("localhost:1", "b.example");
        for (uri, named, is_fine) in [
            ("/", vec![], true),
            ("/", vec![local, local], true),
            ("/", vec![local, other], false),
            ("/", vec![other, local], false),
            ("http://localhost:1/", vec![local], true),
            ("http://localhost:1/", vec![], true),
            ("http://b.example/", vec![local], false),
            ("http://localhost/", vec![other], false),
        ] {
            let mut headers = HeaderMap::new();
            for host in &named {
                headers.append(header::HOST, host.parse().unwrap());
            }
            let checked = hosts.check(&Uri::from_static(uri), &headers);
            assert_eq!(checked.is_ok(), is_fine, "{uri} {named:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let hosts = allowed("127.0.0.1", &[]);
        let said = |named: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, named.parse().unwrap());
            hosts.check(&Uri::from_static("/"), &headers).unwrap_err().message
        };
        let message = said("B.example:8080");
        assert!(message.contains("\"B.example:8080\" is not allowed"), "{message}");
        assert!(message.ends_with("--allowed-host b.example allows it"), "{message}");
        assert!(said("[2001:db8::7]:1").ends_with("--allowed-host 2001:db8::7 allows it"));
        // What is no host is not suggested, nor quoted at length.
        assert!(said("$(x)").ends_with("the hosts of --allowed-host"));
        assert!(said(&"x".repeat(50_000)).len() < 600);
    }
}
