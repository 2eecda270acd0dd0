//! `tinymood doctor`: what this machine and installation offer.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tinymood_hub::{Fetcher, HubSettings, Token};
use tinymood_kernels::{Isa, Precision};
use tinymood_text::goemotions;

use super::{print, print_json};
use crate::args::{DoctorArgs, GlobalArgs};
use crate::data::goemotions_source;

/// How long an answer from the network is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn run(args: DoctorArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let report = examine(global)?;
    if args.json {
        return print_json(&report);
    }
    let mut text = String::new();
    for (name, value) in report.as_object().into_iter().flatten() {
        text.push_str(&format!("{:<22} {}\n", name.replace('_', " "), for_people(name, value)));
    }
    print(&text)
}

/// A value in words; what is not there is said too.
fn for_people(name: &str, value: &Value) -> String {
    match value {
        Value::String(path) if name.ends_with("cache") && !name.starts_with("free") => {
            let missing = if Path::new(path).exists() { "" } else { " (not there yet)" };
            format!("{path}{missing}")
        }
        Value::String(value) => value.clone(),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

fn examine(global: &GlobalArgs) -> anyhow::Result<Value> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let available = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    let (chosen, precision) = match Isa::from_environment() {
        Ok(isa) if isa.supports(Precision::Bf16) => (isa.to_string(), "bf16"),
        Ok(isa) => (isa.to_string(), "f32"),
        Err(error) => (format!("error: {error}"), "-"),
    };
    let source = goemotions_source(global)?;
    let hub = HubSettings::from_environment(global.offline)?;
    let cached: Vec<&str> = [goemotions::TRAIN, goemotions::DEV, goemotions::TEST]
        .into_iter()
        .filter(|split| source.path(*split).is_file())
        .map(|split| split.name)
        .collect();
    let here = std::env::current_dir()?;
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "instruction_sets": available.map(|isa| isa.to_string()).collect::<Vec<_>>(),
        "kernels": chosen,
        "precision": precision,
        "threads": global.threads.unwrap_or(cores),
        "cores": cores,
        "bundled_models": cfg!(feature = "bundled"),
        "cache": source.cache.display().to_string(),
        "goemotions_cached": cached,
        "hub_cache": hub.cache.display().to_string(),
        "hub_models_cached": models_in(&hub.cache),
        "hub_token": token(&hub),
        "network": network(&hub),
        "free_disk_here": free(&here),
        "free_disk_cache": free(&source.cache),
    }))
}

/// The hub ids in a cache.
fn models_in(cache: &Path) -> Vec<String> {
    let entries = fs::read_dir(cache).into_iter().flatten().filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let ids = names.filter_map(|name| Some(name.strip_prefix("models--")?.replace("--", "/")));
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    ids
}

/// Whether the hub can be reached, and by the way that downloads take, through a proxy or not.
fn network(hub: &HubSettings) -> String {
    if let Some(by) = hub.offline {
        return format!("not used: {by}");
    }
    let rest = hub.endpoint.split_once("://").map_or(&*hub.endpoint, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    match Fetcher::default().status(&hub.endpoint, PATIENCE) {
        // Its own or a proxy's, which speaks so of one that it does not reach.
        Ok(status @ 500..) => format!("{host} answers with status {status}"),
        Ok(_) => format!("{host} answers"),
        Err(error) => {
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            format!("{host} does not answer ({cause})")
        }
    }
}

/// Whether there is a hub token; of a file that cannot be read, why.
fn token(hub: &HubSettings) -> Value {
    match &hub.token {
        Token::None => json!(false),
        Token::Known(_) => json!(true),
        Token::Unreadable { path, source } => {
            json!(format!("{} cannot be read ({source})", path.display()))
        }
    }
}

/// Free space where a path is, or would be.
fn free(path: &Path) -> String {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(path);
    match fs4::available_space(there) {
        Ok(bytes) => format!("{:.1} GB", bytes as f64 / 1e9),
        Err(error) => format!("unknown ({error})"),
    }
}
