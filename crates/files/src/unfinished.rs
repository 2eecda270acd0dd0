//! Files and folders while they are written, and what killed writers left of them.
//!
//! Each is named `NAME.tmp-tinymood-PROCESS-NUMBER`, beside the place it is for, and locked by its writer. The
//! system lets go of a lock when a process dies, however it dies, in whichever container. So what has such a name
//! and a free lock is a leftover: the next writer in the folder removes it. A process id alone would not tell, since
//! it is used again, and containers have their own.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::durable::{parent, sync_folder};

/// What stands between the name of the place and the numbers.
const UNFINISHED: &str = ".tmp-tinymood-";
/// File systems allow names of 255 bytes; the numbers need some of them.
const MAX_NAME_BYTES: usize = 200;
/// Where there are no locks, what nobody has written to for this long is a leftover.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);
/// How many names are tried.
const TRIES: usize = 1000;

/// A file or folder that is being written. It is removed when dropped, unless it was given its place.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    /// Holds the lock; folders have one on Unix only.
    handle: Option<File>,
}

impl Unfinished {
    /// A new empty file beside `path`. Leftovers in the folder are removed first.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn file(path: &Path) -> io::Result<Self> {
        Self::create(path, |name| File::options().write(true).create_new(true).open(name).map(Some))
    }

    /// A new empty folder beside `path`. Leftovers in the folder are removed first.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(path: &Path) -> io::Result<Self> {
        Self::create(path, |name| {
            fs::create_dir(name)?;
            // A cleaner may have removed it before it was locked.
            if cfg!(unix) { File::open(name).map(Some) } else { Ok(None) }
        })
    }

    fn create(path: &Path, make: fn(&Path) -> io::Result<Option<File>>) -> io::Result<Self> {
        let _ = remove_leftovers(parent(path)); // a leftover that stays is no reason not to write
        for _ in 0..TRIES {
            let name = name_beside(path);
            let handle = match make(&name) {
                // Another container's process of this id has it, or a cleaner was faster.
                Err(error) if is_taken(&error, path) => continue,
                other => other?,
            };
            let unfinished = Self { path: name, handle };
            let is_locked = unfinished.handle.as_ref().is_none_or(|file| lock(file) != Lock::Taken);
            if is_locked && unfinished.is_ours() {
                return Ok(unfinished);
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, "no name for a temporary file is free"))
    }

    /// Where it is while it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its name is still that of what was made and locked.
    fn is_ours(&self) -> bool {
        let Some(handle) = &self.handle else { return self.path.exists() };
        bears(handle, &self.path)
    }

    /// The file. A folder has none.
    ///
    /// # Errors
    /// When it is a folder.
    pub fn as_file(&mut self) -> io::Result<&mut File> {
        self.handle.as_mut().ok_or_else(|| ErrorKind::IsADirectory.into())
    }

    /// Gives the finished file its place, with all that was written to it on the disk. The lock is let go
    /// afterwards: until then, the name could be a leftover's.
    ///
    /// # Errors
    /// When it cannot be synced or renamed; what was in its place is still there.
    pub fn finish(self, path: &Path) -> io::Result<()> {
        // Syncing wants the right to write where systems are strict about it.
        File::options().write(true).open(&self.path)?.sync_all()?;
        fs::rename(&self.path, path)?;
        sync_folder(parent(path))
    }
}

impl Drop for Unfinished {
    /// Removes what was not given its place.
    fn drop(&mut self) {
        if self.is_ours() {
            let _ = remove(&self.path); // or the next writer does
        }
    }
}

/// Adds to the file.
impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.as_file()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.as_file()?.flush()
    }
}

/// Whether a new name cannot be had since somebody else was there first; the folder itself must be there.
fn is_taken(error: &io::Error, path: &Path) -> bool {
    match error.kind() {
        ErrorKind::AlreadyExists => true,
        ErrorKind::NotFound => parent(path).is_dir(),
        _ => false,
    }
}

/// A name beside `path` that this process has not used before.
pub(crate) fn name_beside(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default();
    let name = if name.len() > MAX_NAME_BYTES { OsStr::new("long") } else { name };
    let mut name = OsString::from(name);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    name.push(format!("{UNFINISHED}{}-{number}", std::process::id()));
    path.with_file_name(name)
}

/// Whether a name is one of [`name_beside`].
fn is_unfinished(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = name.rsplit_once(UNFINISHED).and_then(|(_, end)| end.split_once('-'));
    numbers.is_some_and(|(process, number)| is_number(process) && is_number(number))
}

/// Removes the unfinished files and folders in `folder` whose writers are dead: those whose lock is free, or, where
/// there are no locks, those that nobody has written to for a day.
///
/// # Errors
/// When the folder cannot be read or a leftover not removed. A folder that is not there has no leftovers.
pub fn remove_leftovers(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if !is_unfinished(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        // Held until it is removed: a writer that has just made it and does not get the lock makes another.
        let handle = match entry.file_type() {
            Ok(kind) if kind.is_dir() && cfg!(unix) => File::open(&path).ok(),
            Ok(kind) if kind.is_file() => File::options().write(true).open(&path).ok(),
            Ok(kind) if kind.is_dir() => None,
            _ => continue, // writers make files and folders alone
        };
        let is_left = match handle.as_ref().map_or(Lock::Unknown, lock) {
            // Unless its writer has finished it meanwhile, and the name is another's.
            Lock::Held => handle.as_ref().is_some_and(|handle| bears(handle, &path)),
            Lock::Taken => false,
            Lock::Unknown => is_abandoned(&path),
        };
        if is_left {
            remove(&path)?;
        }
    }
    Ok(())
}

/// What became of an attempt to lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    /// This handle has the lock.
    Held,
    /// Another handle has it.
    Taken,
    /// There are no locks here.
    Unknown,
}

/// Locks a file, or on Unix a folder, until the handle is dropped. Windows' locks keep others from writing, which
/// the writer itself does through other handles.
fn lock(file: &File) -> Lock {
    if !cfg!(unix) {
        return Lock::Unknown;
    }
    match file.try_lock() {
        Ok(()) => Lock::Held,
        Err(TryLockError::WouldBlock) => Lock::Taken,
        Err(TryLockError::Error(_)) => Lock::Unknown,
    }
}

/// Whether nobody has written to a file, or to a folder and what is in it, for long.
fn is_abandoned(path: &Path) -> bool {
    let is_old = |metadata: io::Result<Metadata>| {
        let modified = metadata.and_then(|metadata| metadata.modified());
        let age = modified.map(|time| SystemTime::now().duration_since(time));
        matches!(age, Ok(Ok(age)) if age > ABANDONED)
    };
    let mut inside = fs::read_dir(path).into_iter().flatten();
    is_old(path.symlink_metadata())
        && inside.all(|entry| entry.is_ok_and(|entry| is_old(entry.metadata())))
}

/// Removes a file, or a folder and what is in it; another cleaner may be faster.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Whether an open file still has the name `path`.
fn bears(file: &File, path: &Path) -> bool {
    let named = fs::symlink_metadata(path);
    named.and_then(|named| Ok(is_same_file(&named, &file.metadata()?))).unwrap_or(false)
}

/// Whether two names, or a name and a handle, are of one file.
#[cfg(unix)]
pub fn is_same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Elsewhere a file that is open keeps its folder and its name.
#[cfg(not(unix))]
pub fn is_same_file(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = fs::read_dir(folder).unwrap().map(name);
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    #[cfg(unix)]
    #[test]
    fn leftovers_go_and_what_is_being_written_stays() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let mut file = Unfinished::file(&path("settings.toml")).unwrap();
        let folder = Unfinished::folder(&path("best")).unwrap();
        fs::write(folder.path().join("config.json"), "{").unwrap();
        for left in ["settings.toml.tmp-tinymood-1-0", "ö.tmp-tinymood-77-12"] {
            fs::write(path(left), "half").unwrap();
        }
        fs::create_dir_all(path("best.tmp-tinymood-1-1/inner")).unwrap();
        let others = [
            "mine.tmp-1",
            "mine.tmp-tinymood-",
            "mine.tmp-tinymood-1",
            "mine.tmp-tinymood-1-a",
            "mine.tmp-tinymood-1-2.txt",
        ];
        others.iter().for_each(|other| fs::write(path(other), "").unwrap());
        std::os::unix::fs::symlink("mine.tmp-1", path("link.tmp-tinymood-1-3")).unwrap();
        // Whatever is written next in the folder.
        drop(Unfinished::file(&path("other")).unwrap());
        let mut expected: Vec<_> = others.map(str::to_owned).into();
        let running = [file.path(), folder.path()].map(|path| path.file_name().unwrap());
        expected.extend(running.map(|name| name.to_string_lossy().into_owned()));
        expected.push("link.tmp-tinymood-1-3".to_owned());
        expected.sort_unstable();
        assert_eq!(names(place.path()), expected);
        file.write_all(b"whole").unwrap();
        file.finish(&path("settings.toml")).unwrap();
        assert_eq!(fs::read_to_string(path("settings.toml")).unwrap(), "whole");
        drop(folder);
        assert_eq!(names(place.path()).len(), expected.len() - 1);
    }

    #[test]
    fn without_locks_a_leftover_is_a_day_old() {
        let place = tempfile::tempdir().unwrap();
        let (folder, inner) = (place.path().join("folder"), place.path().join("folder/inner"));
        fs::create_dir(&folder).unwrap();
        let inner = File::create(&inner).unwrap();
        assert!(!is_abandoned(&folder));
        let long_ago = SystemTime::now() - ABANDONED * 2;
        inner.set_modified(long_ago).unwrap();
        assert!(!is_abandoned(&folder));
        if cfg!(unix) {
            File::open(&folder).unwrap().set_modified(long_ago).unwrap();
            assert!(is_abandoned(&folder));
            inner.set_modified(SystemTime::now()).unwrap();
            assert!(!is_abandoned(&folder), "somebody writes in it");
        }
    }

    #[test]
    fn what_is_dropped_is_gone_but_not_anothers() {
        let place = tempfile::tempdir().unwrap();
        let file = Unfinished::file(&place.path().join("a")).unwrap();
        let name = file.path().to_owned();
        if cfg!(unix) {
            fs::remove_file(&name).unwrap();
            fs::write(&name, "another's").unwrap();
            drop(file);
            assert!(name.exists());
        }
        let folder = Unfinished::folder(&place.path().join("long".repeat(63))).unwrap();
        let name = folder.path().to_owned();
        fs::write(name.join("file"), "").unwrap();
        drop(folder);
        assert!(!name.exists());
        let nowhere = Unfinished::file(&place.path().join("not/there")).unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn writers_and_cleaners_at_once_lose_nothing() {
        let place = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let place = place.path();
                scope.spawn(move || {
                    for number in 0..100 {
                        let path = place.join(format!("{writer}-{number}"));
                        if number % 2 == 0 {
                            let mut file = Unfinished::file(&path).unwrap();
                            file.write_all(b"whole").unwrap();
                            file.finish(&path).unwrap();
                        } else {
                            let folder = Unfinished::folder(&path).unwrap();
                            fs::write(folder.path().join("file"), "whole").unwrap();
                            crate::durable::place_folder(folder.path(), &path).unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(names(place.path()).len(), 400);
        assert!(names(place.path()).iter().all(|name| !name.contains("tmp")));
    }
}
