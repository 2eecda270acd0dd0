//! Requests that name another host: a web page may send them by DNS rebinding.

use tinymood_serve::Settings;

use crate::fixture::{Answer, Fixture};

fn ask(server: &Fixture, method: &str, target: &str, hosts: &[&str]) -> Answer {
    let mut client = server.connect();
    let body = if method == "POST" { r#"{"inputs":"a"}"# } else { "" };
    let hosts: String = hosts.iter().map(|host| format!("host: {host}\r\n")).collect();
    let head = format!(
        "{method} {target} HTTP/1.1\r\n{hosts}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.write(format!("{head}{body}").as_bytes()).unwrap();
    client.answer().unwrap()
}

#[test]
fn on_loopback_other_hosts_are_refused_with_the_reason_and_the_flag() {
    let server = Fixture::new();
    let other = "rebound.example:8080";
    for (method, path) in [
        ("POST", "/predict"),
        ("POST", "/v1/emotions"),
        ("GET", "/"),
        ("GET", "/page.js"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/info"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("DELETE", "/predict"),
    ] {
        let refused = ask(&server, method, path, &[other]);
        let error = refused.is_error(403, "host_not_allowed", None);
        let error = error["error"].as_str().unwrap();
        for said in [other, "DNS rebinding", "--allowed-host rebound.example"] {
            assert!(error.contains(said), "{error}");
        }
    }
    assert_eq!(ask(&server, "GET", "/health", &[other]).status, 200);
    for local in ["localhost", "LOCALHOST:9", "127.0.0.1:9", "127.8.9.1", "[::1]:9"] {
        assert_eq!(ask(&server, "POST", "/predict", &[local]).status, 200, "{local}");
    }
    assert_eq!(ask(&server, "POST", "/predict", &[]).status, 200, "HTTP/1.0 probes name none");
    assert_eq!(ask(&server, "POST", "/predict", &["localhost", other]).status, 403);
    assert_eq!(ask(&server, "POST", "http://rebound.example/predict", &["localhost"]).status, 403);
    assert_eq!(ask(&server, "POST", "http://localhost/predict", &["localhost"]).status, 200);
    // Before the key: a page learns nothing of it.
    let server = Fixture::with(|settings| settings.api_key = Some("sesame".to_owned()));
    assert_eq!(ask(&server, "POST", "/predict", &[other]).status, 403);
    assert_eq!(ask(&server, "POST", "/predict", &["localhost"]).status, 401);
}

#[test]
fn hosts_may_be_allowed() {
    let with = |listed: &[&str], any_address: bool| {
        Fixture::with(|settings: &mut Settings| {
            settings.allowed_hosts = listed.iter().map(|host| (*host).to_owned()).collect();
            if any_address {
                settings.address.set_ip([0, 0, 0, 0].into());
            }
        })
    };
    let statuses = |server: &Fixture| {
        ["a.example", "A.EXAMPLE:9", "b.example"]
            .map(|host| ask(server, "POST", "/predict", &[host]).status)
    };
    assert_eq!(statuses(&with(&["a.example"], false)), [200, 200, 403]);
    assert_eq!(statuses(&with(&["*"], false)), [200, 200, 200]);
    assert_eq!(statuses(&with(&[], true)), [200, 200, 200]);
    assert_eq!(statuses(&with(&["a.example"], true)), [200, 200, 403]);
}
