//! Models of the hub, as a user names them.

mod common;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use common::{Ran, json as json_of, put_in_the_hubs_cache, run, tinymood, trained};
use serde_json::{Value, json};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn a_run_says_at_which_commit_its_start_and_its_teachers_were() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    put_in_the_hubs_cache(folder, COMMIT);
    let quick = "--batch-size 8 --max-length 16 --offline --quiet";
    let train = |flags: &str| run(folder, &format!("train {quick} {flags}"));
    train("--init org/name --teacher org/name --max-steps 3 --output run").ok();
    let pinned = format!("org/name@{COMMIT}");
    let settings = fs::read_to_string(folder.join("run/settings.toml")).unwrap();
    assert!(settings.contains(&format!("init = \"{pinned}\"")), "{settings}");
    assert!(settings.contains(&format!("teachers = [\"{pinned}\"]")), "{settings}");
    let card = fs::read_to_string(folder.join("run/best/README.md")).unwrap();
    assert!(card.contains("base_model: \"org/name\""), "{card}");
    assert!(card.contains(&format!("from org/name at {COMMIT} on")), "{card}");

    // The branch moves; what the settings say does not.
    put_in_the_hubs_cache(folder, &COMMIT.replace('0', "9"));
    train("--resume run").ok();
    train(&format!("--init {pinned} --max-steps 1 --output again")).ok();
    run(folder, &format!("predict --model {pinned} --offline happy")).ok();
    run(folder, &format!("tune --model {pinned} --data sample --offline"))
        .fails(1, &[&pinned, "hub's cache"]);
    train("--init org/name@v1 --max-steps 1 --output other").fails(1, &["org/name@v1", "hint: "]);
}

#[test]
fn a_run_that_named_no_commit_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    put_in_the_hubs_cache(folder, COMMIT);
    let quick = "--batch-size 8 --max-length 16 --offline --quiet";
    run(folder, &format!("train {quick} --init org/name --max-steps 3 --output run")).ok();
    // As it was before commits were saved.
    let settings = folder.join("run/settings.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace(&format!("@{COMMIT}"), "")).unwrap();
    for entry in fs::read_dir(folder.join("run/checkpoints")).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    run(folder, "train --resume run --offline --quiet").ok();
    // By the same name as ever, so that its checkpoints stay those of one run.
    let state =
        fs::read_to_string(folder.join("run/checkpoints/step-00000003/state.json")).unwrap();
    assert!(state.contains("\"init\": \"org/name\""), "{state}");
}

/// A hub with the model that [`common::trained`] made as `org/name`; its address.
fn serve_the_model() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let model = trained().join("runs/quick/best");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let path = head[0].split(' ').nth(1).unwrap();
            let body = match path.rsplit_once('/') {
                Some((_, file)) if file.starts_with("main") => {
                    let names =
                        fs::read_dir(&model).unwrap().map(|entry| entry.unwrap().file_name());
                    let file = |name: OsString| json!({ "rfilename": name.to_str().unwrap() });
                    let siblings: Vec<Value> = names.map(file).collect();
                    json!({ "sha": COMMIT, "siblings": siblings }).to_string().into_bytes()
                }
                Some((_, file)) => fs::read(model.join(file)).unwrap(),
                None => Vec::new(),
            };
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    address
}

#[test]
fn who_waits_for_a_download_is_told() {
    let address = serve_the_model();
    let predict = |flags: &[&str]| {
        let place = tempfile::tempdir().unwrap();
        let mut command = tinymood(place.path());
        command.args(["predict", "--model", "org/name", "happy"]).args(flags);
        Ran::from(command.env("HF_ENDPOINT", &address).output().unwrap()).ok().stderr
    };
    let size = trained().join("runs/quick/best/model.safetensors").metadata().unwrap().len();
    let said = predict(&[]);
    let weights = format!("fetching model.safetensors ({:.1} MB)\n", size as f64 / 1e6);
    assert!(said.contains("fetching config.json (") && said.contains(&weights), "{said}");
    assert!(!said.contains('\r'), "no bar where there is no terminal: {said}");
    assert_eq!(predict(&["--quiet"]), "");
}

#[test]
fn doctor_asks_the_hub_as_downloads_do() {
    let network = |variables: &[(&str, &str)]| {
        let mut command = tinymood(trained());
        for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
            command.env_remove(proxy).env_remove(proxy.to_lowercase());
        }
        command.args(["doctor", "--json"]).envs(variables.iter().copied());
        let said = Ran::from(command.output().unwrap()).ok().stdout;
        json_of(&said)["network"].as_str().unwrap().to_owned()
    };
    // A name that only the proxy knows.
    let hub = ("HF_ENDPOINT", "http://hub.invalid");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        for answer in ["200 OK\r\n", "401 Unauthorized\r\nContent-Length: 0\r\n"] {
            assert!(lines.by_ref().take_while(|line| !line.is_empty()).count() > 0);
            stream.write_all(format!("HTTP/1.1 {answer}\r\n").as_bytes()).unwrap();
        }
    });
    assert_eq!(network(&[hub, ("HTTP_PROXY", &proxy)]), "hub.invalid answers");
    let alone = network(&[hub]);
    assert!(alone.starts_with("hub.invalid does not answer ("), "{alone}");
    // Someone who accepts, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    assert!(network(&[("HF_ENDPOINT", &silent)]).contains("does not answer ("));
    assert_eq!(network(&[("HF_HUB_OFFLINE", "1")]), "not used: HF_HUB_OFFLINE");
}
