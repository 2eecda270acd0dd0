//! The binary: parse, run, and say clearly what went wrong.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use tinymood::args::Cli;
use tinymood::stop::Stopped;
use tinymood::{commands, hint, misuse};
use tinymood_core::printable;

fn main() -> ExitCode {
    tinymood_text::silence_caught_panics();
    let cli = Cli::parse(); // wrong usage ends here, with status 2
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS, // `tinymood … | head`
        Err(error) if error.is::<Stopped>() => {
            ExitCode::from(error.downcast_ref().map_or(1, Stopped::status))
        }
        Err(error) => {
            report(&error);
            ExitCode::from(if misuse::is_misuse(&error) { 2 } else { 1 })
        }
    }
}

/// Prints the chain of causes, a line each, and what to do about it.
fn report(error: &anyhow::Error) {
    let mut stderr = io::stderr().lock();
    let mut lines = vec![format!("error: {error}")];
    lines.extend(error.chain().skip(1).map(|cause| format!("  caused by: {cause}")));
    lines.extend(hint::hint(error).map(|hint| format!("hint: {hint}")));
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(stderr, "{}", printable::lines(&lines.join("\n")));
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
