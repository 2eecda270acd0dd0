//! Checkpoints: all that a resumed run needs to end in the very same bytes.
//!
//! ```text
//! checkpoints/step-00001234/
//!   parameters.safetensors  first_moment.safetensors  second_moment.safetensors
//!   average.safetensors     where a moving average is kept
//!   state.json              where the run stands
//!   SHA256SUMS              of the others, as `sha256sum -c` reads it; written last
//! ```
//!
//! The folder is written under another name, synced, and renamed: it is whole or not there. The
//! checksums find what went wrong later. Nothing in a checkpoint is executed, and no length that a
//! file claims is believed before the file has proved to be that long.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tinymood_core::{Engine, TensorMap, TensorSet};
use tinymood_weights::{WeightsError, digest, durable, read_tensors, regular, write_safetensors};

/// The version of the layout.
const FORMAT: u32 = 2;
/// Larger text files are no part of a checkpoint.
const MAX_TEXT_BYTES: u64 = 4 << 20;
const SUMS: &str = "SHA256SUMS";
const STATE: &str = "state.json";
const SETS: [(TensorSet, &str); 4] = [
    (TensorSet::Parameters, "parameters.safetensors"),
    (TensorSet::FirstMoment, "first_moment.safetensors"),
    (TensorSet::SecondMoment, "second_moment.safetensors"),
    (TensorSet::Average, "average.safetensors"),
];

/// Where a run stands after a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of the checkpoint's layout.
    pub format: u32,
    /// Steps taken so far.
    pub step: u64,
    /// Whether training has ended early, for lack of improvement.
    pub ended_early: bool,
    /// The best evaluation so far.
    pub best: Option<Best>,
    /// Evaluations since the best one.
    pub evaluations_without_improvement: u64,
    /// Sum of the losses since the log's last line.
    pub window_loss: f64,
    /// Steps since the log's last line.
    pub window_steps: u64,
    /// Length of the log, in bytes.
    pub log_offset: u64,
    /// What the engine's bits depended on: [`Engine::arithmetic`].
    pub arithmetic: String,
    /// Everything that decides the result and must not change in between, by name.
    pub fingerprint: BTreeMap<String, String>,
}

/// The best evaluation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Steps taken before it.
    pub step: u64,
    /// Value of the recipe's metric.
    pub value: f64,
}

/// A checkpoint that has been read and proved whole.
#[derive(Debug, PartialEq)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// Where the run stood.
    pub state: State,
    /// The engine's tensors.
    pub tensors: Vec<(TensorSet, TensorMap)>,
}

/// What is wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refuses.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Tensors cannot be written.
    #[error("the checkpoint's tensors cannot be written")]
    Weights(#[source] Box<WeightsError>),
    /// The checkpoint is not as it was written.
    #[error("the checkpoint {path:?} is damaged: {problem}")]
    Damaged {
        /// Its folder.
        path: PathBuf,
        /// What is not right.
        problem: String,
    },
}

impl CheckpointError {
    /// Whether the checkpoint itself is at fault, so that an older one may serve.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

fn io_error(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> CheckpointError + use<> {
    let path = path.to_owned();
    move |source| CheckpointError::Io { action, path, source }
}

/// The folder of the checkpoint after `step` steps.
pub(crate) fn folder(checkpoints: &Path, step: u64) -> PathBuf {
    checkpoints.join(format!("step-{step:08}"))
}

/// Steps of the checkpoints in a folder, ascending. Unfinished and damaged ones have other names.
pub(crate) fn list(checkpoints: &Path) -> Result<Vec<u64>, CheckpointError> {
    let mut steps = Vec::new();
    for entry in fs::read_dir(checkpoints).map_err(io_error("read", checkpoints))? {
        let name = entry.map_err(io_error("read", checkpoints))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("step-"));
        if let Some(step) = number.and_then(|number| number.parse().ok()) {
            // A name that this step would not be given (`step-7`) is not ours.
            if folder(checkpoints, step).file_name() == Some(&name) {
                steps.push(step);
            }
        }
    }
    steps.sort_unstable();
    Ok(steps)
}

/// Writes a checkpoint of the engine, in place of one of the same step; returns its folder.
///
/// # Errors
/// When the disk refuses. Older checkpoints are untouched, and nothing unfinished bears a
/// checkpoint's name.
pub(crate) fn write<E: Engine>(
    checkpoints: &Path,
    engine: &mut E,
    state: &State,
) -> Result<PathBuf, CheckpointError> {
    let path = folder(checkpoints, state.step);
    let unfinished =
        durable::Unfinished::folder(&path).map_err(io_error("make the folder", &path))?;
    let place = if path.is_dir() { durable::replace_folder } else { durable::place_folder };
    write_files(unfinished.path(), engine, state)?;
    place(unfinished.path(), &path).map_err(io_error("write", &path))?;
    Ok(path)
}

fn write_files<E: Engine>(
    unfinished: &Path,
    engine: &mut E,
    state: &State,
) -> Result<(), CheckpointError> {
    let mut sums = String::new();
    let mut add = |name: &str, sum: String| sums.push_str(&format!("{sum}  {name}\n"));
    for (set, name) in SETS {
        let tensors = engine.tensors(set);
        if tensors.is_empty() {
            continue; // no average is kept
        }
        let file = unfinished.join(name);
        write_safetensors(&file, &tensors)
            .map_err(|error| CheckpointError::Weights(Box::new(error)))?;
        add(name, digest::of_file(&file).map_err(io_error("read", &file))?);
    }
    let mut text = serde_json::to_string_pretty(state).expect("a state is plain values");
    text.push('\n');
    add(STATE, digest::hexadecimal(&Sha256::digest(text.as_bytes())));
    for (name, text) in [(STATE, &text), (SUMS, &sums)] {
        let file = unfinished.join(name);
        durable::write_file(&file, text.as_bytes()).map_err(io_error("write", &file))?;
    }
    Ok(())
}

/// Reads a checkpoint and checks that it is whole.
///
/// # Errors
/// [`CheckpointError::Damaged`] when it is not as it was written.
pub fn read(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let damaged = |problem: String| CheckpointError::Damaged { path: path.to_owned(), problem };
    let sums = read_text(path, SUMS)?;
    let sums = parse_sums(&sums).map_err(damaged)?;
    for required in [STATE, SETS[0].1, SETS[1].1, SETS[2].1] {
        if !sums.contains_key(required) {
            return Err(damaged(format!("{SUMS} does not name {required}")));
        }
    }
    for (name, expected) in &sums {
        let found =
            digest::of_file(&path.join(name)).map_err(|error| unreadable(path, name, error))?;
        if found != *expected {
            return Err(damaged(format!("the checksum of {name} is not that in {SUMS}")));
        }
    }
    let state = parse_state(&read_text(path, STATE)?).map_err(damaged)?;
    let mut tensors = Vec::new();
    for (set, name) in SETS.iter().filter(|(_, name)| sums.contains_key(*name)) {
        let file = path.join(name);
        let contents = match read_tensors(&file) {
            Err(WeightsError::Io { source, .. }) => return Err(unreadable(path, name, source)),
            other => other.map_err(|error| damaged(chain(&error)))?,
        };
        tensors.push((*set, contents.tensors));
    }
    Ok(Checkpoint { path: path.to_owned(), state, tensors })
}

/// Reads the newest whole checkpoint. Newer ones that are damaged are renamed out of the way and
/// reported to `warn`.
pub(crate) fn newest(
    checkpoints: &Path,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Checkpoint>, CheckpointError> {
    restore(checkpoints)?;
    for step in list(checkpoints)?.into_iter().rev() {
        let path = folder(checkpoints, step);
        match read(&path) {
            Ok(checkpoint) if checkpoint.state.step == step => return Ok(Some(checkpoint)),
            Ok(checkpoint) => {
                let found = checkpoint.state.step;
                warn(format!("the checkpoint {path:?} is of step {found}; passing over it"));
            }
            Err(error) if error.is_damage() => {
                warn(format!("{error}; going back to the one before"));
            }
            Err(error) => return Err(error),
        }
        let aside = path.with_extension("damaged");
        remove(&aside)?;
        fs::rename(&path, &aside).map_err(io_error("rename", &path))?;
    }
    Ok(None)
}

/// Puts a checkpoint back whose replacement was cut short after it had made way.
fn restore(checkpoints: &Path) -> Result<(), CheckpointError> {
    for entry in fs::read_dir(checkpoints).map_err(io_error("read", checkpoints))? {
        let path = entry.map_err(io_error("read", checkpoints))?.path();
        if path.extension().is_some_and(|extension| extension == "old") {
            let path = path.with_extension("");
            durable::restore_folder(&path).map_err(io_error("restore", &path))?;
        }
    }
    Ok(())
}

/// Removes all but the newest `keep` checkpoints, and damaged ones. To be called once a new one is
/// complete.
pub(crate) fn prune(checkpoints: &Path, keep: usize) -> Result<(), CheckpointError> {
    let steps = list(checkpoints)?;
    for &step in &steps[..steps.len().saturating_sub(keep.max(1))] {
        // A removal cut short must not look like a checkpoint.
        let path = folder(checkpoints, step);
        durable::remove_folder(&path).map_err(io_error("remove", &path))?;
    }
    for entry in fs::read_dir(checkpoints).map_err(io_error("read", checkpoints))? {
        let path = entry.map_err(io_error("read", checkpoints))?.path();
        if path.extension().is_some_and(|extension| extension == "damaged") {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a folder, or what else has its name; nothing may.
fn remove(path: &Path) -> Result<(), CheckpointError> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(io_error("remove", path))
}

/// Reads `state.json`.
fn parse_state(text: &str) -> Result<State, String> {
    let wrong = |error| format!("{STATE}: {error}");
    let state: serde_json::Value = serde_json::from_str(text).map_err(wrong)?;
    // First, since other formats have other fields.
    match state.get("format") {
        Some(found) if *found == FORMAT => serde_json::from_value(state).map_err(wrong),
        found => {
            let found = found.map_or_else(|| "missing".to_owned(), ToString::to_string);
            Err(format!("{STATE}: format is {found}, expected {FORMAT}"))
        }
    }
}

/// Reads `SHA256SUMS`: names that a checkpoint has, and their sums.
fn parse_sums(text: &str) -> Result<BTreeMap<&'static str, String>, String> {
    let known = [STATE].into_iter().chain(SETS.map(|(_, name)| name));
    let mut sums = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = || format!("{SUMS}, line {}: not a checksum of a file of ours", number + 1);
        let (sum, name) = line.split_once("  ").ok_or_else(wrong)?;
        let name = known.clone().find(|known| *known == name).ok_or_else(wrong)?;
        if sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        sums.insert(name, sum.to_ascii_lowercase());
    }
    Ok(sums)
}

/// Reads one of a checkpoint's text files.
fn read_text(path: &Path, name: &str) -> Result<String, CheckpointError> {
    let file = path.join(name);
    regular::read_text(&file, MAX_TEXT_BYTES).map_err(|error| unreadable(path, name, error))
}

/// A checkpoint's file that cannot be read. Whatever is wrong with the file, its folder or the disk below
/// them is the checkpoint's damage: the one before may be whole. What the system refuses to this process is not.
fn unreadable(path: &Path, name: &str, error: io::Error) -> CheckpointError {
    if is_refusal(&error) {
        return io_error("read", &path.join(name))(error);
    }
    let problem = match error.kind() {
        io::ErrorKind::NotFound => format!("{name} is missing"),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => {
            format!("{name} is {error}")
        }
        _ => format!("{name} cannot be read: {error}"),
    };
    CheckpointError::Damaged { path: path.to_owned(), problem }
}

/// Whether a file would be read by another user, or by a process with more memory or fewer open files.
fn is_refusal(error: &io::Error) -> bool {
    /// `ENFILE` and `EMFILE`, for which the standard library has no kind.
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    let refusals =
        [io::ErrorKind::PermissionDenied, io::ErrorKind::OutOfMemory, io::ErrorKind::Interrupted];
    refusals.contains(&error.kind())
        || (cfg!(unix) && error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code)))
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl State {
    /// A run that has not begun.
    pub(crate) fn new(arithmetic: String, fingerprint: BTreeMap<String, String>) -> Self {
        Self { format: FORMAT, arithmetic, fingerprint, ..Self::default() }
    }
}
