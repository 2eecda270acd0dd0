//! Downloads against a small server on the loopback interface.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tinymood_hub::{
    Expected, Fetcher, Hub, HubError, HubSettings, Offline, Patience, Token, Watch,
};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
/// SHA-256 of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Serves whole responses by path, without what follows a `?`, and notes what was asked for. The thread
/// ends with the process.
fn serve(responses: HashMap<String, Vec<u8>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().take(100) {
            let Ok(mut stream) = stream else { continue };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let Some(Ok(request)) = lines.next() else { continue };
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
            let response =
                responses.get(path.split('?').next().unwrap()).cloned().unwrap_or(missing);
            log.lock().unwrap().push(path);
            let _ = stream.write_all(&response);
        }
    });
    (address, asked)
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn one(response: Vec<u8>) -> String {
    let (address, _) = serve(HashMap::from([("/file".to_owned(), response)]));
    format!("{address}/file")
}

fn fetch(url: &str, path: &Path, sha256: Option<&str>) -> Result<(), HubError> {
    Fetcher::default().file(url, None, path, Expected { max_bytes: 1000, sha256 })
}

#[test]
fn a_file_arrives_whole_or_not_at_all() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("folder/file");
    fetch(&one(ok(b"hello")), &path, Some(HELLO)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"hello");

    let other = place.path().join("other");
    let error = fetch(&one(ok(b"hallo")), &other, Some(HELLO)).unwrap_err();
    assert!(matches!(&error, HubError::Checksum { .. }) && error.to_string().contains(HELLO));

    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nhello".to_vec();
    assert!(matches!(fetch(&one(cut), &other, None), Err(HubError::Network { .. })));

    let large = ok(&[b'x'; 2000]);
    assert!(matches!(fetch(&one(large), &other, None), Err(HubError::TooLarge { .. })));
    let endless = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".as_slice(), &[b'x'; 5000]];
    assert!(matches!(fetch(&one(endless.concat()), &other, None), Err(HubError::TooLarge { .. })));

    let denied = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec();
    let error = fetch(&one(denied), &other, None).unwrap_err();
    assert!(matches!(error, HubError::Status { status: 401, .. }));
    assert!(error.hint().unwrap().contains("HF_TOKEN"));

    assert!(!other.exists());
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "no leftovers");
}

#[test]
fn nobody_there_is_a_network_error_with_a_hint() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    drop(listener);
    let place = tempfile::tempdir().unwrap();
    let error = fetch(&url, &place.path().join("file"), None).unwrap_err();
    assert!(matches!(&error, HubError::Network { .. }) && error.hint().is_some());
}

/// Answers each request by a space every so often; it ends some time, so that who waits fails, too.
fn drip() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            for _ in 0..500 {
                if stream.write_all(b" ").is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    });
    url
}

#[test]
fn who_drips_is_given_up() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    let moment = Duration::from_millis(100);
    let long = Duration::from_secs(600);
    let fetcher = |text, window| Fetcher::new(Patience { text, window, least_bytes: 100 });
    let expected = Expected { max_bytes: 1000, sha256: None };
    let url = drip();
    let file = fetcher(long, moment).file(&url, None, &path, expected).unwrap_err();
    let text = fetcher(moment, long).text(&url, None, 1000).unwrap_err();
    for error in [file, text] {
        assert!(matches!(error, HubError::Slow { .. }), "{error}");
        assert!(error.to_string().contains("too slowly: ") && error.hint().is_some());
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "no leftovers");
}

#[test]
fn who_pauses_for_good_is_given_up() {
    // What is announced and does not come; the connection stays open.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").unwrap();
        BufReader::new(stream).lines().for_each(drop); // until the other end closes it
    });
    let place = tempfile::tempdir().unwrap();
    let patience = Patience { window: Duration::from_millis(100), ..Patience::default() };
    let expected = Expected { max_bytes: 1000, sha256: None };
    let fetched = Fetcher::new(patience).file(&url, None, &place.path().join("file"), expected);
    let error = fetched.unwrap_err();
    assert!(matches!(error, HubError::Slow { .. }), "{error}");
    server.join().unwrap();
}

/// Serves these responses in turn, each over a connection of its own, and notes the requests' heads.
fn serve_in_turn(responses: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heads);
    std::thread::spawn(move || {
        for response in responses {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            log.lock().unwrap().push(head.join("\n").to_lowercase());
            let _ = stream.write_all(response.as_bytes());
        }
    });
    (url, heads)
}

/// `hello`, of which `body` comes.
fn hello(tag: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n{tag}Connection: close\r\n\r\n{body}")
}

/// The rest of `hello` from a place, of which `body` comes.
fn rest(from: usize, body: &str) -> String {
    format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-4/5\r\n\
         Connection: close\r\n\r\n{body}",
        5 - from
    )
}

const TAG: &str = "ETag: \"one\"\r\n";

#[test]
fn what_breaks_off_is_gone_on_with() {
    for (responses, ranges) in [
        (vec![hello(TAG, "he"), rest(2, "llo")], vec!["bytes=2-"]),
        (vec![hello(TAG, "he"), rest(2, "l"), rest(3, "lo")], vec!["bytes=2-"]),
        // Another file by now.
        (vec![hello(TAG, "xx"), hello("", "hello")], vec!["bytes=2-"]),
        // Nothing tells whether it is the same.
        (vec![hello("", "xx"), hello("", "hello")], vec![]),
        (vec![hello("ETag: W/\"one\"\r\n", "xx"), hello("", "hello")], vec![]),
    ] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let (url, heads) = serve_in_turn(responses);
        fetch(&url, &path, Some(HELLO)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"hello");
        let heads = heads.lock().unwrap();
        assert!(!heads[0].contains("range"), "{heads:?}");
        match ranges[..] {
            [range] => {
                let asked = ["range: ", range, "\nif-range: \"one\""].concat();
                assert!(heads[1].contains(&asked), "{heads:?}");
            }
            _ => assert!(!heads[1].contains("range"), "{heads:?}"),
        }
    }
}

#[test]
fn what_breaks_off_for_good_is_given_up() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    // Each but the last has another byte; no byte more is no reason to ask again.
    for responses in [
        vec![hello(TAG, "")],
        vec![hello(TAG, "h"), rest(1, "")],
        vec![hello(TAG, "h"), rest(2, "llo")],
        vec![hello("", "h"); 5],
    ] {
        let count = responses.len();
        let (url, heads) = serve_in_turn(responses);
        let error = fetch(&url, &path, None).unwrap_err();
        assert!(matches!(error, HubError::Network { .. }), "{error}");
        assert_eq!(heads.lock().unwrap().len(), count);
    }
    let (url, _) = serve_in_turn(vec![hello(TAG, "ha"), rest(2, "llo")]);
    assert!(matches!(fetch(&url, &path, Some(HELLO)), Err(HubError::Checksum { .. })));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "no leftovers");
}

#[test]
fn who_asks_is_said_wherever_the_hub_sends_on_to() {
    let place = tempfile::tempdir().unwrap();
    let moved = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /other\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n";
    let (url, heads) = serve_in_turn(vec![moved.to_owned(), hello("", "hello")]);
    let expected = Expected { max_bytes: 1000, sha256: None };
    Fetcher::default().file(&url, Some("who"), &place.path().join("file"), expected).unwrap();
    for head in heads.lock().unwrap().iter() {
        assert!(head.contains("authorization: bearer who"), "{head}");
    }
}

/// Notes what it hears.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.note("end".to_owned());
    }
}

impl Watch for Heard {
    fn begin(&self, name: &str, bytes: Option<u64>) -> Box<dyn FnMut(u64)> {
        self.note(format!("{name} of {bytes:?}"));
        let heard = self.clone();
        Box::new(move |received| heard.note(received.to_string()))
    }
}

#[test]
fn who_watches_hears_of_each_file_until_its_end() {
    let place = tempfile::tempdir().unwrap();
    for (responses, expected) in [
        (vec![hello(TAG, "he"), rest(2, "llo")], ["file of Some(5)", "2", "5", "end"]),
        (vec![hello("", "he"), hello("", "hello")], ["file of Some(5)", "2", "5", "end"]),
        (vec![hello(TAG, "he"), rest(2, "")], ["file of Some(5)", "2", "end", ""]),
    ] {
        let (url, _) = serve_in_turn(responses);
        let heard = Heard::default();
        let noted = Arc::clone(&heard.0);
        let fetcher = Fetcher::default().watched(Arc::new(heard));
        let expect = Expected { max_bytes: 1000, sha256: None };
        let _ = fetcher.file(&url, None, &place.path().join("file"), expect);
        let expected: Vec<&str> = expected.into_iter().filter(|note| !note.is_empty()).collect();
        let noted = noted.lock().unwrap().clone();
        assert_eq!(noted, expected);
    }
}

fn repository(files: &[&str]) -> HashMap<String, Vec<u8>> {
    let siblings: Vec<_> = files.iter().map(|file| json!({ "rfilename": file })).collect();
    let listing = json!({ "sha": SHA, "siblings": siblings }).to_string();
    let mut responses =
        HashMap::from([("/api/models/org/name/revision/main".to_owned(), ok(listing.as_bytes()))]);
    for file in files {
        responses.insert(format!("/org/name/resolve/{SHA}/{file}"), ok(file.as_bytes()));
    }
    responses
}

/// What the hub says of the repository at `main`, said of another revision instead.
fn at(revision: &str, files: &[&str]) -> HashMap<String, Vec<u8>> {
    let mut responses = repository(files);
    let listing = responses.remove("/api/models/org/name/revision/main").unwrap();
    responses.insert(format!("/api/models/org/name/revision/{revision}"), listing);
    responses
}

fn hub(endpoint: &str, cache: &Path, offline: bool) -> Hub {
    let (endpoint, cache) = (endpoint.to_owned(), cache.to_owned());
    let offline = offline.then_some(Offline::Environment);
    Hub::new(HubSettings { endpoint, cache, offline, token: Token::None })
}

#[test]
fn a_model_is_fetched_once_and_then_found() {
    let place = tempfile::tempdir().unwrap();
    let weights = ["pytorch_model.bin", "model.safetensors", "big.h5"];
    let small = ["config.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"];
    let files = [&weights[..], &small, &["added_tokens.json"]].concat();
    let (address, asked) = serve(repository(&files));
    let offline = hub(&address, place.path(), true).model("org/name").unwrap_err();
    assert!(matches!(offline, HubError::Offline { .. }));
    for text in [offline.to_string(), offline.hint().unwrap().to_owned()] {
        assert!(text.contains("HF_HUB_OFFLINE") && !text.contains("--offline"), "{text}");
    }
    let folder = hub(&address, place.path(), false).model("org/name").unwrap();
    assert_eq!(folder, place.path().join("models--org--name/snapshots").join(SHA));
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), b"model.safetensors");
    assert!(!folder.join("pytorch_model.bin").exists() && !folder.join("big.h5").exists());
    assert!(small.iter().chain(&["added_tokens.json"]).all(|file| folder.join(file).exists()));
    let count = asked.lock().unwrap().len();
    assert_eq!(hub(&address, place.path(), true).model("org/name").unwrap(), folder);
    assert_eq!(asked.lock().unwrap().len(), count, "nothing is fetched twice");
}

#[test]
fn a_revision_is_kept_by_its_name_and_found_by_its_commit() {
    let files = ["config.json", "vocab.txt", "model.safetensors"];
    for (revision, asked) in [("v1.0", "v1.0"), ("refs/pr/1", "refs%2Fpr%2F1")] {
        let place = tempfile::tempdir().unwrap();
        let (address, _) = serve(at(asked, &files));
        let id = format!("org/name@{revision}");
        let folder = hub(&address, place.path(), false).model(&id).unwrap();
        assert_eq!(folder.file_name().unwrap(), SHA);
        let references = place.path().join("models--org--name/refs");
        assert_eq!(std::fs::read_to_string(references.join(revision)).unwrap(), SHA);
        let offline = hub(&address, place.path(), true);
        let pinned = Hub::pinned(&id, &folder);
        assert_eq!(pinned, format!("org/name@{SHA}"));
        assert_eq!(Hub::pinned(&pinned, &folder), pinned);
        assert_eq!(offline.model(&id).unwrap(), folder);
        assert_eq!(offline.model(&pinned).unwrap(), folder);
        let of_main = offline.model("org/name").unwrap_err().to_string();
        assert!(of_main.contains("the model org/name is not in the cache"), "{of_main}");
    }
}

#[test]
fn weights_are_checked_by_the_sum_that_the_hub_has() {
    let files = ["config.json", "vocab.txt", "model.safetensors"];
    let right = tinymood_hub::sha256(b"model.safetensors");
    for (sum, is_right) in [(json!(right), true), (json!(HELLO), false), (json!(null), true)] {
        let mut responses = repository(&files);
        let weights = json!({ "rfilename": files[2], "lfs": { "size": 17, "sha256": sum } });
        let siblings =
            json!([{ "rfilename": files[0] }, { "rfilename": files[1], "lfs": null }, weights]);
        let listing = json!({ "sha": SHA, "siblings": siblings }).to_string();
        let url = "/api/models/org/name/revision/main".to_owned();
        responses.insert(url.clone(), ok(listing.as_bytes()));
        let (address, asked) = serve(responses);
        let place = tempfile::tempdir().unwrap();
        let fetched = hub(&address, place.path(), false).model("org/name");
        assert!(asked.lock().unwrap().contains(&format!("{url}?blobs=true")), "{asked:?}");
        match (is_right, fetched) {
            (true, fetched) => assert!(fetched.is_ok(), "{fetched:?}"),
            (false, fetched) => {
                let error = fetched.unwrap_err();
                assert!(matches!(error, HubError::Checksum { .. }), "{error}");
                assert!(!place.path().join("models--org--name/refs").exists(), "it is not whole");
            }
        }
    }
}

#[test]
fn a_commit_is_fetched_as_such_or_not_at_all() {
    let files = ["config.json", "vocab.txt", "model.safetensors"];
    let place = tempfile::tempdir().unwrap();
    let (address, _) = serve(at(SHA, &files));
    let folder = hub(&address, place.path(), false).model(&format!("org/name@{SHA}")).unwrap();
    assert_eq!(folder, place.path().join("models--org--name/snapshots").join(SHA));
    assert!(!place.path().join("models--org--name/refs").exists(), "a commit never moves");

    let other = SHA.replace('0', "9");
    let (address, _) = serve(at(&other, &files));
    let error = hub(&address, place.path(), false).model(&format!("org/name@{other}")).unwrap_err();
    assert!(matches!(error, HubError::Network { .. }), "{error}");
    let missing = hub(&address, place.path(), false).model("org/name@gone").unwrap_err();
    assert!(matches!(missing, HubError::Status { status: 404, .. }), "{missing}");
    assert!(missing.hint().unwrap().contains("revision"));
}

#[cfg(unix)]
#[test]
fn a_reference_is_a_file() {
    let place = tempfile::tempdir().unwrap();
    let (address, _) = serve(repository(&["config.json", "vocab.txt", "model.safetensors"]));
    hub(&address, place.path(), false).model("org/name").unwrap();
    let reference = place.path().join("models--org--name/refs/main");
    std::fs::remove_file(&reference).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&reference).status().unwrap().success());
    // Who opens it is served, so that this fails rather than waits.
    std::thread::spawn(move || std::fs::write(reference, SHA));
    let error = hub(&address, place.path(), true).model("org/name").unwrap_err();
    assert!(matches!(error, HubError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("refs/main"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_whose_file_is_gone_is_fetched_again() {
    for file in ["config.json", "tokenizer_config.json", "model.safetensors"] {
        let place = tempfile::tempdir().unwrap();
        let files = ["config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"];
        let (address, asked) = serve(repository(&files));
        let online = hub(&address, place.path(), false);
        let path = online.model("org/name").unwrap().join(file);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("../../blobs/gone", &path).unwrap();
        // As cleaning the cache leaves it: all names are there, a file is not.
        let error = hub(&address, place.path(), true).model("org/name").unwrap_err();
        assert!(matches!(error, HubError::Offline { .. }), "{error}");
        assert!(error.to_string().contains(file), "{error}");
        let count = asked.lock().unwrap().len();
        online.model("org/name").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), file.as_bytes());
        let asked = asked.lock().unwrap()[count..].to_vec();
        assert_eq!(asked.len(), 2, "the list and this file: {asked:?}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_in_the_cache_is_named() {
    let files = ["config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"];
    let (address, _) = serve(repository(&files));
    for file in ["config.json", "tokenizer_config.json", "model.safetensors"] {
        for (put, problem) in [("mkdir", "a folder"), ("mkfifo", "a pipe"), ("ln", "symbolic")] {
            let place = tempfile::tempdir().unwrap();
            let path = hub(&address, place.path(), false).model("org/name").unwrap().join(file);
            std::fs::remove_file(&path).unwrap();
            let mut command = std::process::Command::new(put);
            if put == "ln" {
                command.args(["-s", file]); // a link to itself
            }
            assert!(command.arg(&path).status().unwrap().success());
            for offline in [true, false] {
                let error = hub(&address, place.path(), offline).model("org/name").unwrap_err();
                let source = std::error::Error::source(&error).unwrap().to_string();
                assert!(error.to_string().contains(file), "{put}: {error}");
                assert!(source.contains(problem) && error.hint().is_some(), "{put}: {source}");
            }
        }
    }
}

#[test]
fn a_model_that_is_cached_in_part_is_fetched_or_named() {
    let place = tempfile::tempdir().unwrap();
    let (address, _) = serve(repository(&["config.json", "vocab.txt", "model.safetensors"]));
    let folder = hub(&address, place.path(), false).model("org/name").unwrap();
    let offline = || hub(&address, place.path(), true).model("org/name").unwrap_err().to_string();
    std::fs::remove_file(folder.join("vocab.txt")).unwrap();
    assert!(offline().contains("its tokenizer.json or vocab.txt"), "{}", offline());
    let reference = place.path().join("models--org--name/refs/main");
    std::fs::write(&reference, "no commit").unwrap();
    assert!(offline().contains("the commit of"), "{}", offline());
    assert_eq!(hub(&address, place.path(), false).model("org/name").unwrap(), folder);
    assert_eq!(std::fs::read_to_string(reference).unwrap(), SHA);
}

#[test]
fn an_unreadable_token_is_an_error_once_it_is_needed() {
    let place = tempfile::tempdir().unwrap();
    let (address, _) = serve(repository(&["config.json", "vocab.txt", "model.safetensors"]));
    let source = std::sync::Arc::new(std::io::Error::other("denied"));
    let token = Token::Unreadable { path: "some/token".into(), source };
    let (endpoint, cache) = (address.clone(), place.path().to_owned());
    let logged_in = Hub::new(HubSettings { endpoint, cache, offline: None, token });
    let error = logged_in.model("org/name").unwrap_err();
    assert!(error.to_string().contains("some/token") && error.hint().is_some(), "{error}");
    let folder = hub(&address, place.path(), false).model("org/name").unwrap();
    assert_eq!(logged_in.model("org/name").unwrap(), folder, "what is cached needs none");
}

#[test]
fn weights_that_cannot_be_read_are_named_before_anything_is_fetched() {
    for (weights, expected, hint) in [
        (
            &["model.safetensors.index.json", "model-00001-of-00002.safetensors"][..],
            "in several files (model.safetensors.index.json)",
            "max_shard_size",
        ),
        (&["pytorch_model.bin.index.json"], "pytorch_model.bin.index.json", "max_shard_size"),
        (&["tf_model.h5", "flax_model.msgpack"], "only tf_model.h5, flax_model.msgpack", "save"),
        (&["onnx/model.onnx"], "only onnx/model.onnx", "save_pretrained"),
        (&["model.Q4_K.gguf"], "only model.Q4_K.gguf", "save_pretrained"),
        (&["consolidated.00.pth"], "only consolidated.00.pth", "save_pretrained"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let files = [&["config.json", "vocab.txt"], weights].concat();
        let (address, asked) = serve(repository(&files));
        let error = hub(&address, place.path(), false).model("org/name").unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().unwrap().contains(hint), "{error}");
        assert_eq!(asked.lock().unwrap().len(), 1, "{asked:?}");
    }
}

#[test]
fn thresholds_and_added_tokens_come_with_the_model() {
    let place = tempfile::tempdir().unwrap();
    let files =
        ["config.json", "vocab.txt", "model.safetensors", "thresholds.json", "added_tokens.json"];
    let (address, _) = serve(repository(&files));
    let folder = hub(&address, place.path(), false).model("org/name").unwrap();
    for file in files {
        assert_eq!(std::fs::read_to_string(folder.join(file)).unwrap(), file);
    }
}

#[test]
fn a_repository_that_lacks_something_is_named() {
    let place = tempfile::tempdir().unwrap();
    for (files, missing) in [
        (&["config.json", "vocab.txt"][..], "model.safetensors"),
        (&["vocab.txt", "model.safetensors"], "config.json"),
        (&["config.json", "model.safetensors"], "vocab.txt"),
    ] {
        let (address, _) = serve(repository(files));
        let error = hub(&address, place.path(), false).model("org/name").unwrap_err().to_string();
        assert!(error.contains(missing), "{error}");
    }
}

#[test]
fn ids_that_are_paths_are_refused() {
    for id in [
        "",
        "/",
        "a/b/c",
        "../x",
        "a/../b",
        "a/",
        ".hidden/x",
        "a b",
        "a--b/c",
        "a\\b",
        "a/b@",
        "@main",
        "a/b@../x",
        "a/b@x/../y",
        "a/b@/x",
        "a/b@x@y",
        "a/b@x?y",
        "a/b@x y",
    ] {
        assert!(!Hub::is_id(id), "{id}");
    }
    for id in
        ["huawei-noah/TinyBERT_General_4L_312D", "bert-base-uncased", "a/b@v1.0+x", "b@refs/pr/1"]
    {
        assert!(Hub::is_id(id), "{id}");
    }
}
