//! A run's folder: who may write to it, what it holds, and whether there is room.
//!
//! ```text
//! runs/NAME/
//!   settings.toml        everything resolved: enough to resume and to repeat
//!   log.jsonl            one object a line
//!   tensorboard/         event files
//!   checkpoints/step-…/  what a resumed run goes on from
//!   best/                the model
//!   teacher.safetensors  what teachers said of the texts, where there are any;
//!                        teacher.unfinished.safetensors until all is said
//!   evaluation.json      the evaluation that made it the best
//!   data.json            what the splits are like
//!   predictions.jsonl    what the best model says of the validation split
//!   report.html, .json   what a person looks at, and its numbers
//!   .lock                held by the process that trains; the system lets go when that dies
//! ```

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tinymood_weights::{durable, regular};

use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::recipe::{Recipe, RecipeError, check_file};

/// Room for logs, tables and the file system's own needs, in bytes.
const SLACK: u64 = 64 << 20;
const SETTINGS: &str = "settings.toml";
const LOCK: &str = ".lock";
/// What a run writes over as it goes.
const RESULTS: [&str; 10] = [
    "best",
    "best.old",
    "log.jsonl",
    "evaluation.json",
    "data.json",
    "predictions.jsonl",
    "report.html",
    "report.json",
    "teacher.safetensors",
    "teacher.unfinished.safetensors",
];
/// Folders that are empty when a run begins: beside older checkpoints of more steps its own would be pruned.
const FOLDERS: [&str; 2] = ["checkpoints", "tensorboard"];
/// Larger settings files are not ours.
const MAX_SETTINGS_BYTES: u64 = 16 << 20;

/// What is wrong with a run's folder.
#[derive(Debug, thiserror::Error)]
pub enum RunFolderError {
    /// The folder already holds a run.
    #[error("{path:?} already holds a run")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something that a run would write over.
    #[error("{path:?} holds {name}, which a run would replace")]
    Taken {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        name: &'static str,
    },
    /// The folder holds no run.
    #[error("{path:?} holds no run: there is no settings.toml in it")]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// Another process trains in the folder.
    #[error("another process is training in {path:?}")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder was removed or replaced while the run trained in it.
    #[error("{path:?} was removed or replaced while this run was training in it")]
    Gone {
        /// The folder.
        path: PathBuf,
    },
    /// The folder cannot be read or written.
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
    /// The settings cannot be read.
    #[error("{path:?} does not hold a run's settings")]
    Settings {
        /// The file.
        path: PathBuf,
        /// The line and what is wrong there.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A setting has a value that cannot be.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// There is too little room.
    #[error(
        "{path:?} has {} MB of free space, the run needs up to {} MB",
        available.div_ceil(1_000_000),
        needed.div_ceil(1_000_000)
    )]
    Space {
        /// The folder.
        path: PathBuf,
        /// Bytes that the run may need.
        needed: u64,
        /// Bytes that there are.
        available: u64,
    },
}

impl RunFolderError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Exists { .. } => Some("continue it with --resume, or give this run another name"),
            Self::Taken { .. } => Some("give this run a folder of its own"),
            Self::NoRun { .. } => Some("name the folder of a run, as runs/NAME"),
            Self::Locked { .. } => Some("wait for it to end, or give this run another name"),
            Self::Space { .. } => {
                Some("free some space, keep fewer checkpoints, or choose another folder")
            }
            Self::Gone { .. } => Some(
                "train again, and move or remove a run's folder only when its command has ended",
            ),
            Self::Recipe(_) => Some("give it back the value that the run began with"),
            Self::Io { .. } | Self::Settings { .. } => None,
        }
    }
}

/// What `settings.toml` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedSettings {
    /// The version that wrote it.
    pub tinymood: String,
    /// Where data and model came from and how to compute: whatever the caller needs to make the
    /// same engine and the same splits again.
    pub source: toml::Table,
    /// The recipe, with every override resolved.
    pub recipe: Recipe,
}

/// A run's folder, locked for as long as this lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The checkpoint that has been read and waits for training.
    newest: RefCell<Option<Checkpoint>>,
    /// Holds the lock.
    lock: File,
}

/// Folders are numbered up to here.
const MOST_NUMBERED: usize = 100_000;

impl RunFolder {
    /// Checks that a new run may have this folder.
    ///
    /// # Errors
    /// When there is a run already, or anything that a run would write over.
    pub fn check_free(path: &Path) -> Result<(), RunFolderError> {
        let holds = |name: &str| path.join(name).symlink_metadata().is_ok();
        if holds(SETTINGS) {
            return Err(RunFolderError::Exists { path: path.to_owned() });
        }
        let fills = |name: &&str| {
            fs::read_dir(path.join(name)).is_ok_and(|mut entries| entries.next().is_some())
        };
        let taken = RESULTS.into_iter().find(|name| holds(name));
        match taken.or_else(|| FOLDERS.into_iter().find(fills)) {
            Some(name) => Err(RunFolderError::Taken { path: path.to_owned(), name }),
            None => Ok(()),
        }
    }

    /// Makes the folder of a new run and saves its settings.
    ///
    /// # Errors
    /// As [`RunFolder::check_free`], or when the folder cannot be written.
    pub fn create(path: &Path, settings: &SavedSettings) -> Result<Self, RunFolderError> {
        fs::create_dir_all(path).map_err(failed("make the folder", path))?;
        let run = Self { path: path.to_owned(), newest: RefCell::default(), lock: lock(path)? };
        Self::check_free(path)?;
        let file = run.settings_path();
        for folder in [run.checkpoints(), run.tensorboard()] {
            fs::create_dir_all(&folder).map_err(failed("make the folder", &folder))?;
        }
        // Last: a folder with settings is a run that can be resumed.
        let text = toml::to_string(settings).expect("settings are plain values");
        durable::write_file(&file, text.as_bytes()).map_err(failed("write", &file))?;
        Ok(run)
    }

    /// [`RunFolder::create`] in the first of the folders `path`, `path-2`, `path-3`, … that nobody has. Several
    /// processes may ask for the same `path` at once: each gets a folder of its own.
    ///
    /// # Errors
    /// When no folder can be made or written.
    pub fn create_numbered(path: &Path, settings: &SavedSettings) -> Result<Self, RunFolderError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed("make the folder", parent))?;
        }
        for path in numbered(path) {
            // Making the folder claims it: of several processes one succeeds.
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other.map_err(failed("make the folder", &path))?,
            }
            return Self::create(&path, settings);
        }
        Err(RunFolderError::Exists { path: path.to_owned() })
    }

    /// The first of the folders of [`RunFolder::create_numbered`] that is not there now.
    pub fn free_name(path: &Path) -> PathBuf {
        let mut names = numbered(path);
        names.find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| path.to_owned())
    }

    /// Checks that the folder is still the one that was locked. Its name may meanwhile belong to another run,
    /// whose files would be replaced.
    ///
    /// # Errors
    /// [`RunFolderError::Gone`].
    pub fn check_held(&self) -> Result<(), RunFolderError> {
        let there = fs::metadata(self.path.join(LOCK));
        match there.and_then(|there| Ok(durable::is_same_file(&there, &self.lock.metadata()?))) {
            Ok(true) => Ok(()),
            _ => Err(RunFolderError::Gone { path: self.path.clone() }),
        }
    }

    /// Opens the folder of a run to resume, and clears away what a killed write left behind.
    ///
    /// # Errors
    /// When there is no run, another process trains in it, or the folder cannot be written.
    pub fn open(path: &Path) -> Result<(Self, SavedSettings), RunFolderError> {
        let settings = path.join(SETTINGS);
        if !regular::is_there(&settings).map_err(failed("read", &settings))? {
            return Err(RunFolderError::NoRun { path: path.to_owned() });
        }
        let run = Self { path: path.to_owned(), newest: RefCell::default(), lock: lock(path)? };
        run.clean()?;
        let settings = Self::settings(path)?;
        Ok((run, settings))
    }

    /// Reads the settings of a run without locking it.
    ///
    /// # Errors
    /// When there are none, or they cannot be read.
    pub fn settings(path: &Path) -> Result<SavedSettings, RunFolderError> {
        let file = path.join(SETTINGS);
        let text = match regular::read_text(&file, MAX_SETTINGS_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RunFolderError::NoRun { path: path.to_owned() });
            }
            other => other.map_err(failed("read", &file))?,
        };
        let from = file.display().to_string();
        let settings: SavedSettings = toml::from_str(&text)
            .map_err(|source| RunFolderError::Settings { path: file, source: Box::new(source) })?;
        check_file(&settings.recipe, &text, &from)?;
        Ok(settings)
    }

    fn clean(&self) -> Result<(), RunFolderError> {
        durable::remove_leftovers(&self.path)
            .and_then(|()| durable::restore_folder(&self.best()))
            .and_then(|()| durable::remove_leftovers(&self.best()))
            .and_then(|()| durable::remove_leftovers(&self.checkpoints()))
            .and_then(|()| fs::create_dir_all(self.checkpoints()))
            .and_then(|()| fs::create_dir_all(self.tensorboard()))
            .map_err(failed("clean up", &self.path))
    }

    /// Checks that there is room in a folder, which need not be there yet, for a run of a model with this
    /// many parameters: checkpoints (the kept ones and the one being written), and the best model twice
    /// while it is replaced.
    ///
    /// # Errors
    /// [`RunFolderError::Space`].
    pub fn check_space(
        path: &Path,
        parameters: usize,
        keep_checkpoints: usize,
        average: bool,
    ) -> Result<(), RunFolderError> {
        let there = std::path::absolute(path).map_err(failed("find", path))?;
        let there = there.ancestors().find(|folder| folder.is_dir()).unwrap_or(&there);
        let available =
            fs4::available_space(there).map_err(failed("ask for the free space of", there))?;
        // What a resumed run finds of its own it will replace rather than add to.
        let needed = space_needed(parameters, keep_checkpoints, average)
            .saturating_sub(size_of_folder(path));
        if available >= needed {
            return Ok(());
        }
        Err(RunFolderError::Space { path: path.to_owned(), needed, available })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `settings.toml`.
    pub fn settings_path(&self) -> PathBuf {
        self.path.join(SETTINGS)
    }

    /// `log.jsonl`.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }

    /// The folder of the event files.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Whether there is a whole checkpoint, with which a resumed run goes on: it is read, and kept until training
    /// takes it. Newer ones that are damaged are renamed out of the way and reported to `warn`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn has_checkpoint(&self, warn: &mut dyn FnMut(String)) -> Result<bool, CheckpointError> {
        let newest = checkpoint::newest(&self.checkpoints(), warn)?;
        let has_one = newest.is_some();
        self.newest.replace(newest);
        Ok(has_one)
    }

    /// The checkpoint that [`RunFolder::has_checkpoint`] has read, or else the newest whole one.
    pub(crate) fn take_checkpoint(
        &self,
        warn: &mut dyn FnMut(String),
    ) -> Result<Option<Checkpoint>, CheckpointError> {
        match self.newest.take() {
            Some(read) => Ok(Some(read)),
            None => checkpoint::newest(&self.checkpoints(), warn),
        }
    }

    /// The folder of the model.
    pub fn best(&self) -> PathBuf {
        self.path.join("best")
    }

    /// `teacher.safetensors`.
    pub fn teacher(&self) -> PathBuf {
        self.path.join("teacher.safetensors")
    }

    /// `teacher.unfinished.safetensors`, until all teachers have labelled all texts.
    pub fn unfinished_teacher(&self) -> PathBuf {
        self.path.join("teacher.unfinished.safetensors")
    }

    /// `evaluation.json`.
    pub fn evaluation(&self) -> PathBuf {
        self.path.join("evaluation.json")
    }
}

/// An [`RunFolderError::Io`] of `action` on `path`.
pub(crate) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> RunFolderError + use<> {
    let path = path.to_owned();
    move |source| RunFolderError::Io { action, path, source }
}

/// `path`, `path-2`, `path-3`, …
fn numbered(path: &Path) -> impl Iterator<Item = PathBuf> + use<'_> {
    let name = path.file_name().unwrap_or_default();
    let with = move |number| {
        let mut name = name.to_owned();
        name.push(format!("-{number}"));
        path.with_file_name(name)
    };
    std::iter::once(path.to_owned()).chain((2..MOST_NUMBERED).map(with))
}

fn lock(path: &Path) -> Result<File, RunFolderError> {
    let file = path.join(LOCK);
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false);
    let opened = regular::check(&file).and_then(|()| options.open(&file));
    let opened = opened.map_err(failed("write", &file))?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err(RunFolderError::Locked { path: path.to_owned() }),
        // Some network file systems know no locks; training there is better than not training.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(opened),
        Err(TryLockError::Error(error)) => Err(failed("lock", &file)(error)),
    }
}

/// The most bytes that a run needs at one time.
fn space_needed(parameters: usize, keep_checkpoints: usize, average: bool) -> u64 {
    let model = 4 * parameters as u64;
    let checkpoint = model * if average { 4 } else { 3 };
    let checkpoints = checkpoint.saturating_mul(keep_checkpoints as u64 + 1);
    checkpoints.saturating_add(2 * model).saturating_add(SLACK)
}

/// Bytes of all files below `path`, as far as they can be read.
fn size_of_folder(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size_of_folder(&entry.path()),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |metadata| metadata.len()),
        _ => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tinymood_weights::durable::Unfinished;

    use super::*;

    fn settings() -> SavedSettings {
        let mut source = toml::Table::new();
        source.insert("data".to_owned(), toml::Value::String("sample".to_owned()));
        SavedSettings { tinymood: "0.1.0".to_owned(), source, recipe: Recipe::default() }
    }

    #[test]
    fn a_run_is_made_once_and_read_back() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("runs/first");
        let run = RunFolder::create(&path, &settings()).unwrap();
        assert!(run.checkpoints().is_dir());
        drop(run);
        assert!(matches!(
            RunFolder::create(&path, &settings()),
            Err(RunFolderError::Exists { .. })
        ));
        let (_run, read) = RunFolder::open(&path).unwrap();
        assert_eq!(read, settings());
        let nothing = RunFolder::open(temporary.path()).unwrap_err();
        assert!(matches!(nothing, RunFolderError::NoRun { .. }));
    }

    #[test]
    fn what_another_run_left_is_not_mixed_with_a_new_one() {
        for left in ["checkpoints/step-00000900", "tensorboard/events", "best", "log.jsonl"] {
            let temporary = tempfile::tempdir().unwrap();
            fs::create_dir_all(temporary.path().join(left)).unwrap();
            let error = RunFolder::create(temporary.path(), &settings()).unwrap_err();
            let RunFolderError::Taken { name, .. } = &error else { panic!("{left}: {error}") };
            assert!(left.starts_with(name) && error.hint().is_some(), "{left}: {error}");
        }
        // What a failed start leaves is empty, and in nobody's way.
        let temporary = tempfile::tempdir().unwrap();
        for empty in FOLDERS {
            fs::create_dir_all(temporary.path().join(empty)).unwrap();
        }
        RunFolder::create(temporary.path(), &settings()).unwrap();
    }

    #[test]
    fn one_process_at_a_time() {
        let temporary = tempfile::tempdir().unwrap();
        let run = RunFolder::create(temporary.path(), &settings()).unwrap();
        let second = RunFolder::open(temporary.path()).unwrap_err();
        assert!(matches!(second, RunFolderError::Locked { .. }), "{second}");
        drop(run);
        // The file stays, the lock does not.
        assert!(temporary.path().join(".lock").is_file());
        RunFolder::open(temporary.path()).unwrap();
    }

    #[test]
    fn a_folder_that_was_replaced_is_not_written_to() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("run");
        let first = RunFolder::create(&path, &settings()).unwrap();
        first.check_held().unwrap();
        fs::remove_dir_all(&path).unwrap();
        assert!(matches!(first.check_held(), Err(RunFolderError::Gone { .. })));
        let second = RunFolder::create(&path, &settings()).unwrap();
        let error = first.check_held().unwrap_err();
        assert!(matches!(error, RunFolderError::Gone { .. }) && error.hint().is_some(), "{error}");
        second.check_held().unwrap();
    }

    #[test]
    fn runs_that_begin_at_once_have_folders_of_their_own() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("runs/base");
        let begin = || RunFolder::create_numbered(&path, &settings()).unwrap();
        let mut names: Vec<String> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
            let runs = runs.into_iter().map(|run| run.join().unwrap());
            runs.map(|run| run.path().file_name().unwrap().to_string_lossy().into_owned()).collect()
        });
        names.sort_unstable();
        let expected =
            ["base", "base-2", "base-3", "base-4", "base-5", "base-6", "base-7", "base-8"];
        assert_eq!(names, expected);
    }

    #[test]
    fn leftovers_go_and_the_rest_stays() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path();
        drop(RunFolder::create(path, &settings()).unwrap());
        let left = [
            "checkpoints/step-00000003.tmp-tinymood-77-0",
            "best.tmp-tinymood-77-1",
            "evaluation.json.tmp-tinymood-9-2",
            "teacher.safetensors.tmp-tinymood-9-3",
            "best.old/thresholds.json.tmp-tinymood-9-4",
        ];
        for folder in left.into_iter().chain(["best.old", "mine.tmp-1"]) {
            fs::create_dir_all(path.join(folder)).unwrap();
            fs::write(path.join(folder).join("file"), folder).unwrap();
        }
        let mut running = Unfinished::file(&path.join("report.html")).unwrap();
        RunFolder::open(path).unwrap();
        for left in left {
            assert!(!path.join(left).exists(), "{left}");
        }
        assert!(!path.join("best/thresholds.json.tmp-tinymood-9-4").exists());
        assert!(path.join("mine.tmp-1").exists(), "not ours");
        // Another command writes it.
        running.write_all(b"whole").unwrap();
        running.finish(&path.join("report.html")).unwrap();
        assert_eq!(fs::read_to_string(path.join("report.html")).unwrap(), "whole");
        // The kill came after the old model had made way: it is back.
        assert_eq!(fs::read_to_string(path.join("best/file")).unwrap(), "best.old");
        assert!(!path.join("best.old").exists());
    }

    #[test]
    fn room_is_asked_for_before_training() {
        let temporary = tempfile::tempdir().unwrap();
        let run = RunFolder::create(temporary.path(), &settings()).unwrap();
        RunFolder::check_space(run.path(), 1000, 2, true).unwrap();
        RunFolder::check_space(&run.path().join("not/there/yet"), 1000, 2, true).unwrap();
        let error = RunFolder::check_space(run.path(), 1 << 50, 2, false).unwrap_err();
        let RunFolderError::Space { needed, available, .. } = &error else { panic!("{error}") };
        assert!(needed > available);
        assert!(error.hint().is_some());
        // 14.36 M parameters, two kept and one being written, the model twice.
        let needed = space_needed(14_360_000, 2, false);
        assert_eq!(needed, 14_360_000 * 4 * (3 * 3 + 2) + SLACK);
    }

    #[cfg(unix)]
    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("file");
        fs::write(&file, "").unwrap();
        let error = RunFolder::create(&file.join("run"), &settings()).unwrap_err();
        assert!(error.to_string().contains("file/run"), "{error}");
    }

    #[test]
    fn settings_of_any_bytes_are_refused_by_name() {
        let temporary = tempfile::tempdir().unwrap();
        for bytes in [&b"\xff\xfe"[..], b"tinymood = 3", b"", b"[source]\n[recipe]\n"] {
            fs::write(temporary.path().join("settings.toml"), bytes).unwrap();
            let error = RunFolder::settings(temporary.path()).unwrap_err();
            assert!(error.to_string().contains("settings.toml"), "{error}");
        }
    }

    #[test]
    fn a_setting_that_cannot_be_is_named_by_its_line() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("settings.toml");
        drop(RunFolder::create(temporary.path(), &settings()).unwrap());
        let text = fs::read_to_string(&path).unwrap();
        let line = 1 + text.lines().position(|line| line.starts_with("batch_size")).unwrap();
        fs::write(&path, text.replace("batch_size = ", "batch_size = 0 # was ")).unwrap();
        for error in [
            RunFolder::settings(temporary.path()).unwrap_err(),
            RunFolder::open(temporary.path()).unwrap_err(),
        ] {
            let place = format!("settings.toml:{line}: the setting \"batch_size\" is 0");
            assert!(error.to_string().contains(&place) && error.hint().is_some(), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn no_device_stands_in_for_settings_or_lock() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path();
        let stand_in =
            |name: &str| std::os::unix::fs::symlink("/dev/null", path.join(name)).unwrap();
        let refused = |error: RunFolderError, name: &str| {
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(error.to_string().contains(name), "{error}");
            assert!(source.contains("not a regular file"), "{source}");
        };
        stand_in("settings.toml");
        refused(RunFolder::settings(path).unwrap_err(), "settings.toml");
        fs::remove_file(path.join("settings.toml")).unwrap();
        stand_in(".lock");
        refused(RunFolder::create(path, &settings()).unwrap_err(), ".lock");
    }
}
