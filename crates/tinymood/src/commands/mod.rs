//! The commands: each turns its arguments into settings and calls the library.

mod bench;
mod data;
mod distill;
mod doctor;
mod evaluate;
mod export;
mod predict;
mod probe;
mod report;
mod serve;
mod teaching;
mod train;
mod tune;

use std::io::Write;

use anyhow::Context;
use clap::CommandFactory;
use serde_json::Value;
use tinymood_core::printable;

use crate::args::{Cli, Command};

/// Runs what was asked for.
///
/// # Errors
/// With a chain of causes, from what was to be done to what went wrong.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { command, global } = cli;
    match command {
        Command::Train(args) => train::run(*args, &global),
        Command::Distill(args) => distill::run(*args, &global),
        Command::Evaluate(args) => evaluate::run(args, &global),
        Command::Tune(args) => tune::run(args, &global),
        Command::Predict(args) => predict::run(args, &global),
        Command::Report(args) => report::run(args, &global),
        Command::Serve(args) => serve::run(*args, &global),
        Command::Export(args) => export::run(args, &global),
        Command::Data(args) => data::run(args, &global),
        Command::Bench(args) => bench::run(args, &global),
        Command::Doctor(args) => doctor::run(args, &global),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tinymood", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

/// Writes to standard output; who stopped reading is no error of ours.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.context("cannot write to standard output")
}

/// Writes text for people to standard output, without what disturbs a terminal.
fn print_text(text: &str) -> anyhow::Result<()> {
    print(&printable::lines(text))
}

/// Writes one JSON document to standard output.
fn print_json(value: &Value) -> anyhow::Result<()> {
    print(&format!("{value:#}\n"))
}
