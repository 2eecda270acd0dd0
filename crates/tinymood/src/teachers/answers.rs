//! Where teachers' answers are kept: with the run, in the cache for other runs, and unfinished.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use tinymood_train::{
    RunFolder, SoftLabelsError, Unfinished, read_soft_labels, read_unfinished, write_soft_labels,
    write_unfinished,
};
use tinymood_weights::durable;

use crate::args::GlobalArgs;

/// Bytes of answers that the cache holds; those longest unused make room.
const CACHE_SIZE: u64 = 1 << 30;

/// The answers of some teachers about some texts.
pub(super) struct Answers<'a> {
    /// What tells them from others.
    fingerprint: String,
    /// Texts and labels.
    shape: [usize; 2],
    own: PathBuf,
    unfinished: PathBuf,
    /// Nowhere for a user without a home.
    cached: Option<PathBuf>,
    global: &'a GlobalArgs,
}

impl<'a> Answers<'a> {
    pub(super) fn new(
        fingerprint: String,
        shape: [usize; 2],
        run: &RunFolder,
        global: &'a GlobalArgs,
    ) -> Self {
        let cache = tinymood_hub::cache_folder(global.cache_dir.as_deref()).ok();
        let file = format!("{fingerprint}.safetensors");
        Self {
            cached: cache.map(|cache| cache.join("teachers").join(file)),
            fingerprint,
            shape,
            own: run.teacher(),
            unfinished: run.unfinished_teacher(),
            global,
        }
    }

    /// The run's own, or those of another run.
    ///
    /// # Errors
    /// When those of another run cannot be given to this one.
    pub(super) fn find(&self) -> anyhow::Result<Option<Vec<f32>>> {
        for path in std::iter::once(&self.own).chain(&self.cached) {
            let read = read_soft_labels(path, &self.fingerprint, self.shape);
            if let Some(probabilities) = self.usable(path, read) {
                self.global.say(&format!("teachers: what they say is in {}", path.display()));
                if *path != self.own {
                    durable::link_file(path, &self.own).with_context(|| cannot_write(&self.own))?;
                    let now =
                        File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
                    self.warn(now.err().map(|error| format!("{}: {error}", path.display())));
                }
                return Ok(Some(probabilities));
            }
        }
        Ok(None)
    }

    /// Where the run was interrupted; the beginning where it was not.
    pub(super) fn unfinished(&self) -> Unfinished {
        let read = read_unfinished(&self.unfinished, &self.fingerprint, self.shape);
        self.usable(&self.unfinished, read).unwrap_or_else(|| {
            let [rows, labels] = self.shape;
            Unfinished { sums: vec![0.0; rows * labels], teachers: 0, rows: 0 }
        })
    }

    /// Keeps what has been said so far with the run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn keep_unfinished(&self, unfinished: &Unfinished) -> anyhow::Result<()> {
        Ok(write_unfinished(&self.unfinished, &self.fingerprint, self.shape, unfinished)?)
    }

    /// Keeps all of it, with the run and in the cache.
    ///
    /// # Errors
    /// When the run's file cannot be written.
    pub(super) fn keep(&self, probabilities: &[f32]) -> anyhow::Result<()> {
        write_soft_labels(&self.own, &self.fingerprint, self.shape, probabilities)?;
        if let Err(error) = fs::remove_file(&self.unfinished)
            && error.kind() != io::ErrorKind::NotFound
        {
            self.warn(Some(format!("cannot remove {}: {error}", self.unfinished.display())));
        }
        if let Some(cached) = &self.cached
            && let Some(folder) = cached.parent()
        {
            let kept = fs::create_dir_all(folder)
                // Neither is ever written to again, only replaced.
                .and_then(|()| durable::link_file(&self.own, cached))
                .and_then(|()| make_room(folder, cached, CACHE_SIZE));
            self.warn(kept.err().map(|error| format!("{}: {error}", cannot_write(cached))));
        }
        Ok(())
    }

    fn usable<T>(&self, path: &Path, read: Result<Option<T>, SoftLabelsError>) -> Option<T> {
        read.unwrap_or_else(|error| {
            self.warn(Some(format!("{} {error}: it is made again", path.display())));
            None
        })
    }

    fn warn(&self, problem: Option<String>) {
        if let Some(problem) = problem {
            self.global.warn(&problem);
        }
    }
}

/// Removes files of `folder`, those longest unused first, until the others are `most` bytes
/// together; never `newest`.
fn make_room(folder: &Path, newest: &Path, most: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        if facts.is_file() && entry.path() != newest {
            files.push((facts.modified()?, facts.len(), entry.path()));
        }
    }
    files.sort();
    let mut held: u64 = files.iter().map(|(_, size, _)| size).sum();
    held += fs::metadata(newest)?.len();
    for (_, size, path) in files {
        if held <= most {
            break;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => held -= size, // by this process or another
        }
    }
    Ok(())
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_longest_unused_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let begun = SystemTime::now();
        for (name, age) in [("new", 0), ("old", 40), ("used", 10), ("older", 50)] {
            let path = folder.path().join(name);
            fs::write(&path, [0; 100]).unwrap();
            let then = begun - Duration::from_secs(age);
            File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
        }
        let left = |most| {
            make_room(folder.path(), &folder.path().join("new"), most).unwrap();
            let names = fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(left(400), ["new", "old", "older", "used"]);
        assert_eq!(left(399), ["new", "old", "used"]);
        assert_eq!(left(250), ["new", "used"]);
        assert_eq!(left(0), ["new"]);
    }
}
