//! Files of a user's, read whole and bounded. A file that is there but cannot be read is an error that says
//! why; only a file that is not there counts as absent.
//!
//! What stands in for a regular file, a FIFO that waits for its writer or a device that never ends, would
//! hang a command or fill its memory: it is refused before it is opened. So is a link that leads nowhere,
//! which the system reports as no file at all.

#![forbid(unsafe_code)]

pub mod durable;
mod stand_in;
mod unfinished;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

pub use stand_in::{StandIn, is_other_weights};

/// Whether anything bears this name, be it a file, a folder, or a link that leads nowhere.
///
/// # Errors
/// When the system does not tell, as for a folder that may not be searched.
pub fn is_there(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if is_absence(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an error says that there is no such file. A file where a folder would be holds no files.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Refuses a path at which something else than a regular file lies; nothing may.
///
/// # Errors
/// [`ErrorKind::InvalidInput`], or when the system does not tell.
pub fn check(path: &Path) -> io::Result<()> {
    let kind = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => return Ok(()),
        Ok(metadata) if metadata.is_dir() => "a folder".to_owned(),
        Ok(_) => "a pipe, a socket or a device".to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::read_link(path) {
            Ok(target) => format!("a link to {target:?}, which is not there"),
            Err(_) => return Ok(()),
        },
        Err(error) => return Err(error),
    };
    Err(io::Error::new(ErrorKind::InvalidInput, format!("not a regular file, but {kind}")))
}

/// Opens a file to be read.
///
/// # Errors
/// As [`check`]; [`ErrorKind::NotFound`] only when there is nothing of that name.
pub fn open(path: &Path) -> io::Result<File> {
    check(path)?;
    File::open(path)
}

/// Reads a file of any length.
///
/// # Errors
/// As [`open`], or when it cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a text of at most `most` bytes.
///
/// # Errors
/// As [`open`]; [`ErrorKind::FileTooLarge`] when it is longer, [`ErrorKind::InvalidData`] when it is
/// not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("longer than {most} bytes")));
    }
    let not_text = |error| io::Error::new(ErrorKind::InvalidData, format!("not text: {error}"));
    String::from_utf8(bytes).map_err(|error| not_text(error.utf8_error()))
}

/// Reads a text file of a model, of at most `most` bytes: `None` where there is no such file. An empty one is
/// no configuration, and no vocabulary.
///
/// # Errors
/// As [`read_text`], and [`StandIn`] where something else was stored in its place.
pub fn read_document(path: &Path, most: u64) -> io::Result<Option<String>> {
    let text = match read_text(path, most) {
        Err(error) if is_absence(&error) => return Ok(None),
        other => other?,
    };
    match StandIn::of(text.as_bytes()) {
        Some(stand_in) => Err(stand_in.into()),
        None => Ok(Some(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_whole_or_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("text");
        let kind = |most| read_text(&path, most).map_err(|error| error.kind());
        assert_eq!(kind(9), Err(ErrorKind::NotFound));
        assert_eq!(read_document(&path, 9).unwrap(), None);
        assert_eq!(read_document(&path.join("inner"), 9).unwrap(), None);
        check(&path).unwrap();
        fs::write(&path, "four").unwrap();
        assert_eq!(read_document(&path.join("inner"), 9).unwrap(), None);
        assert!(is_there(&path).unwrap() && !is_there(&path.join("inner")).unwrap());
        assert_eq!(kind(4).as_deref(), Ok("four"));
        assert_eq!(kind(u64::MAX).as_deref(), Ok("four"));
        assert_eq!(kind(3), Err(ErrorKind::FileTooLarge));
        assert_eq!(read(&path).unwrap(), b"four");
        assert_eq!(read_document(&path, 4).unwrap().as_deref(), Some("four"));
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(kind(4), Err(ErrorKind::InvalidData));
        let folder = read(place.path()).unwrap_err().to_string();
        assert!(folder.contains("a folder"), "{folder}");
    }

    #[test]
    fn what_was_stored_in_a_documents_place_is_named() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config.json");
        for (contents, expected) in [
            ("", "an empty file"),
            (" \n", "an empty file"),
            ("version https://git-lfs.example/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
            ("\n<!DOCTYPE html><html></html>", "a web page"),
        ] {
            fs::write(&path, contents).unwrap();
            let error = read_document(&path, 99).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(StandIn::behind(&error).is_some());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_no_file() {
        let error = read(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("device"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_is_there_and_cannot_be_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("link");
        for target in ["gone", "link"] {
            std::os::unix::fs::symlink(target, &path).unwrap();
            assert!(is_there(&path).unwrap(), "{target}");
            check(&path).unwrap_err();
            let error = read_document(&path, 9).unwrap_err();
            assert_ne!(error.kind(), ErrorKind::NotFound, "{target}: {error}");
            fs::remove_file(&path).unwrap();
        }
    }
}
