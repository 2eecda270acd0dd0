//! Files and folders that are whole or not there: written beside, synced, renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::unfinished;
pub use crate::unfinished::{Unfinished, is_same_file, remove_leftovers};

/// Brings a folder's list of names to the disk.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) } // elsewhere folders do not open
}

/// The folder that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
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

/// Replaces a file as a whole by what `write` makes of the empty file at the path it is given. The file there is
/// locked, and must be written to, not replaced: see [`replace_file_within`].
///
/// # Errors
/// When it cannot be written; the old file is still there then.
pub fn replace_file(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let unfinished = Unfinished::file(path)?;
    write(unfinished.path())?;
    unfinished.finish(path)
}

/// [`replace_file`] by a `write` that makes a file itself, and temporary ones beside it: all of them are in an
/// unfinished folder.
///
/// # Errors
/// When it cannot be written; the old file is still there then.
pub fn replace_file_within(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = Unfinished::folder(path)?;
    let inside = folder.path().join("file");
    write(&inside)?;
    // Syncing wants the right to write where systems are strict about it.
    File::options().write(true).open(&inside)?.sync_all()?;
    fs::rename(&inside, path)?;
    sync_folder(parent(path))
}

/// Gives the file `from` a second name, or copies it where that cannot be. What has that name is replaced.
///
/// # Errors
/// When it cannot be written; what had that name is still there then.
pub fn link_file(from: &Path, path: &Path) -> io::Result<()> {
    replace_file_within(path, |inside| {
        fs::hard_link(from, inside).or_else(|_| fs::copy(from, inside).map(drop))
    })
}

/// Removes a folder. A kill in between leaves nothing of its name, only a leftover.
///
/// # Errors
/// When it cannot be renamed or removed.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    let unwanted = unfinished::name_beside(path);
    fs::rename(path, &unwanted)?;
    unfinished::remove(&unwanted)
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

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        write_file(&path, b"old").unwrap();
        let fails = |unfinished: &Path| {
            fs::write(unfinished, "half")?;
            Err(io::ErrorKind::StorageFull.into())
        };
        for error in [replace_file(&path, fails), replace_file_within(&path, fails)] {
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        }
        replace_file_within(&path, |unfinished| fs::write(unfinished, "new")).unwrap();
        let second = place.path().join("second");
        link_file(&path, &second).unwrap();
        assert_eq!(fs::read_to_string(&second).unwrap(), "new");
        let folder = place.path().join("folder");
        fs::create_dir_all(folder.join("inner")).unwrap();
        remove_folder(&folder).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2, "no leftovers");
    }
}
