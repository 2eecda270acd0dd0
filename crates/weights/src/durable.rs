//! Files and folders that are whole or not there: written beside, synced, renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What the names of unfinished files and folders hold; leftovers are found by it.
const UNFINISHED: &str = ".tmp-";

/// The name beside `path` under which it is written.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("{UNFINISHED}{}", std::process::id()));
    path.with_file_name(name)
}

/// Brings a folder's list of names to the disk.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) } // elsewhere folders do not open
}

/// The folder that holds `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Replaces a file as a whole.
///
/// # Errors
/// When it cannot be written; the old file is still there then.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_file(path, |unfinished| fs::write(unfinished, bytes))
}

/// Replaces a file as a whole by what `write` makes at the path it is given.
///
/// # Errors
/// When it cannot be written; the old file is still there then.
pub fn replace_file(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let unfinished = beside(path);
    // Syncing wants the right to write where systems are strict about it.
    let sync = |()| File::options().write(true).open(&unfinished)?.sync_all();
    let written = write(&unfinished).and_then(sync);
    if let Err(error) = written.and_then(|()| fs::rename(&unfinished, path)) {
        let _ = fs::remove_file(&unfinished); // the first error says more
        return Err(error);
    }
    sync_folder(parent(path))
}

/// Gives the finished folder `from` the name `path`, which nothing has.
///
/// # Errors
/// When something has that name, or the folder cannot be renamed.
pub fn place_folder(from: &Path, path: &Path) -> io::Result<()> {
    sync_folder(from)?;
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, path)?;
    sync_folder(parent(path))
}

/// Puts the finished folder `from` in the place of `path`, in a folder that is ours alone: what stood
/// there, there or under the name that [`restore_folder`] looks for, is gone afterwards. A kill in
/// between leaves it under that name.
///
/// # Errors
/// When a folder cannot be renamed or removed; what stood there is still there, unless it could not be
/// put back either.
pub fn replace_folder(from: &Path, path: &Path) -> io::Result<()> {
    sync_folder(from)?;
    if !path.exists() {
        return place_folder(from, path);
    }
    let old = old_name(path);
    if old.exists() {
        fs::remove_dir_all(&old)?;
    }
    fs::rename(path, &old)?;
    if let Err(error) = fs::rename(from, path) {
        let _ = fs::rename(&old, path); // or restore_folder does; the first error is the news
        return Err(error);
    }
    sync_folder(parent(path))?;
    fs::remove_dir_all(&old)
}

/// Undoes a [`replace_folder`] that was cut short after the old folder had made way.
///
/// # Errors
/// When a folder cannot be renamed or removed.
pub fn restore_folder(path: &Path) -> io::Result<()> {
    let old = old_name(path);
    match (old.exists(), path.exists()) {
        (true, false) => fs::rename(&old, path),
        (true, true) => fs::remove_dir_all(&old),
        _ => Ok(()),
    }
}

fn old_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".old");
    path.with_file_name(name)
}

/// Removes what a killed write left in `folder`: names that start with one of `prefixes` and go on
/// as an unfinished name does.
///
/// # Errors
/// When the folder cannot be read or a leftover not removed.
pub fn remove_leftovers(folder: &Path, prefixes: &[&str]) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = prefixes.iter().any(|prefix| name.starts_with(prefix));
        if !ours || !name.contains(UNFINISHED) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_replacement_is_undone() {
        let place = tempfile::tempdir().unwrap();
        let (model, new) = (place.path().join("model"), place.path().join("model.tmp-1"));
        fs::create_dir(&model).unwrap();
        fs::write(model.join("old"), "").unwrap();
        fs::create_dir(&new).unwrap();
        // Killed between the two renames.
        fs::rename(&model, old_name(&model)).unwrap();
        restore_folder(&model).unwrap();
        assert!(model.join("old").exists());
        replace_folder(&new, &model).unwrap();
        assert!(model.exists() && !model.join("old").exists() && !old_name(&model).exists());
        fs::create_dir(&new).unwrap();
        let taken = place_folder(&new, &model).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        // Another's folder of that name is no business of a model that is new.
        fs::create_dir(old_name(&place.path().join("other"))).unwrap();
        place_folder(&new, &place.path().join("other")).unwrap();
        assert!(old_name(&place.path().join("other")).exists());
        fs::create_dir(place.path().join("model.tmp-77")).unwrap();
        fs::write(place.path().join("other.tmp-77"), "").unwrap();
        remove_leftovers(place.path(), &["model"]).unwrap();
        assert!(!place.path().join("model.tmp-77").exists());
        assert!(place.path().join("other.tmp-77").exists());
    }

    #[test]
    fn a_replacement_that_fails_halfway_is_undone() {
        let place = tempfile::tempdir().unwrap();
        let model = place.path().join("model");
        // Within what makes way, so that the second rename finds nothing.
        let new = model.join("new");
        fs::create_dir_all(&new).unwrap();
        let failed = replace_folder(&new, &model).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::NotFound);
        assert!(new.exists() && !old_name(&model).exists());
    }
}
