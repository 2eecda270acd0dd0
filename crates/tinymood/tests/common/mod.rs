//! Running the binary as a user would.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The binary, in a folder, with nothing of the user's environment that matters.
pub fn tinymood(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinymood"));
    command.current_dir(folder).env("TINYMOOD_CACHE", folder.join("cache"));
    command.env("HF_HUB_CACHE", folder.join("hub")).env("NO_COLOR", "1");
    command.env("HF_TOKEN_PATH", folder.join("token"));
    for name in [
        "TINYMOOD_ISA",
        "TINYMOOD_THREADS",
        "TINYMOOD_PRECISION",
        "TINYMOOD_MODEL",
        "HF_HUB_OFFLINE",
        "HF_ENDPOINT",
        "HF_HOME",
        "HF_TOKEN",
    ] {
        command.env_remove(name);
    }
    command
}

/// What a command said and how it ended.
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub status: Option<i32>,
}

impl Ran {
    /// Fails the test unless the command did what it should.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, Some(0), "stderr: {}", self.stderr);
        self
    }

    /// Fails the test unless the command failed with this status, said all of `expected`, and did
    /// not panic.
    #[track_caller]
    pub fn fails(self, status: i32, expected: &[&str]) -> Self {
        assert_eq!(self.status, Some(status), "stderr: {}", self.stderr);
        for expected in expected {
            assert!(self.stderr.contains(expected), "no {expected:?} in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status.code(),
        }
    }
}

/// Runs with arguments between blanks, nothing on standard input.
pub fn run(folder: &Path, arguments: &str) -> Ran {
    run_with(folder, &arguments.split_whitespace().collect::<Vec<_>>(), b"")
}

/// Runs with these arguments and this standard input.
pub fn run_with(folder: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = tinymood(folder);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who fails early does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap().into()
}

/// Arguments of a training run that takes a second.
pub const QUICK: &str = "--init random:2L-128D --batch-size 8 --max-length 16";

/// A new folder in the target folder, for all tests of a process. Those of processes an hour ago go: they
/// hold hundreds of megabytes, and nobody is told when the last test ends.
pub fn lasting(name: &str) -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lasting");
    fs::create_dir_all(&all).unwrap();
    for entry in fs::read_dir(&all).unwrap().flatten() {
        let made = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age.as_secs() > 3600));
        if is_old {
            let _ = fs::remove_dir_all(entry.path()); // or another process has just done so
        }
    }
    tempfile::Builder::new().prefix(name).tempdir_in(all).unwrap().keep()
}

/// A folder with a run in `runs/quick`, trained once for all tests of a binary.
pub fn trained() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = lasting("trained");
        run(&folder, &format!("train {QUICK} --max-steps 12 --output runs/quick --quiet")).ok();
        folder
    })
}

/// Copies the model that [`trained`] made into a folder that exists.
pub fn copy_model(to: &Path) {
    for entry in fs::read_dir(trained().join("runs/quick/best")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// A copy of the model that [`trained`] made.
pub fn copied_model() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    copy_model(place.path());
    place
}

/// Puts a copy of the model that [`trained`] made into the hub's cache of a folder, as `org/name` at a commit.
pub fn put_in_the_hubs_cache(folder: &Path, commit: &str) {
    let of_hub = folder.join("hub/models--org--name");
    let snapshot = of_hub.join("snapshots").join(commit);
    fs::create_dir_all(&snapshot).unwrap();
    for entry in fs::read_dir(trained().join("runs/quick/best")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, snapshot.join(path.file_name().unwrap())).unwrap();
    }
    fs::create_dir_all(of_hub.join("refs")).unwrap();
    fs::write(of_hub.join("refs/main"), commit).unwrap();
}

/// A JSON document.
#[track_caller]
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// A JSON document a line.
#[track_caller]
pub fn rows(text: &str) -> Vec<Value> {
    text.lines().map(json).collect()
}

/// Changes single weights of a file of f32: `set(name, index, change)`. Thresholds beside it no longer name the
/// weights that they are for, as those of earlier versions do not.
pub fn change_weights(
    file: &Path,
    changes: impl Fn(&mut dyn FnMut(&str, usize, &dyn Fn(f32) -> f32)),
) {
    let mut bytes = fs::read(file).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let entries = json(std::str::from_utf8(&bytes[8..header]).unwrap());
    changes(&mut |name, at, change| {
        let start = header + entries[name]["data_offsets"][0].as_u64().unwrap() as usize + 4 * at;
        let value = f32::from_le_bytes(bytes[start..start + 4].try_into().unwrap());
        bytes[start..start + 4].copy_from_slice(&change(value).to_le_bytes());
    });
    fs::write(file, bytes).unwrap();
    let thresholds = file.with_file_name("thresholds.json");
    if let Ok(text) = fs::read_to_string(&thresholds) {
        let mut tuning = json(&text);
        tuning.as_object_mut().unwrap().remove("classifier_sha256");
        fs::write(&thresholds, tuning.to_string()).unwrap();
    }
}

/// Makes a model of [`QUICK`] surer of itself than it may be: its logits are three times what they were.
pub fn make_too_sure(model: &Path) {
    change_weights(&model.join("model.safetensors"), |set| {
        for row in 0..28 {
            (0..128)
                .for_each(|at| set("classifier.weight", 128 * row + at, &|weight| 3.0 * weight));
            set("classifier.bias", row, &|bias| 3.0 * bias);
        }
    });
}
