//! Regular files, read whole. What stands in for one, a FIFO that waits for its writer or a device that
//! never ends, would hang a command or fill its memory: it is refused before it is opened.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Refuses a path at which something else than a regular file lies; nothing may.
///
/// # Errors
/// [`ErrorKind::InvalidInput`], or when the system does not tell.
pub fn check(path: &Path) -> io::Result<()> {
    let kind = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => return Ok(()),
        Ok(metadata) if metadata.is_dir() => "a folder",
        Ok(_) => "a pipe, a socket or a device",
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    Err(io::Error::new(ErrorKind::InvalidInput, format!("not a regular file, but {kind}")))
}

/// Opens a file to be read.
///
/// # Errors
/// As [`check`], or when it cannot be opened.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_whole_or_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("text");
        let kind = |most| read_text(&path, most).map_err(|error| error.kind());
        assert_eq!(kind(9), Err(ErrorKind::NotFound));
        check(&path).unwrap();
        fs::write(&path, "four").unwrap();
        assert_eq!(kind(4).as_deref(), Ok("four"));
        assert_eq!(kind(u64::MAX).as_deref(), Ok("four"));
        assert_eq!(kind(3), Err(ErrorKind::FileTooLarge));
        assert_eq!(read(&path).unwrap(), b"four");
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(kind(4), Err(ErrorKind::InvalidData));
        let folder = read(place.path()).unwrap_err().to_string();
        assert!(folder.contains("a folder"), "{folder}");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_no_file() {
        let error = read(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("device"), "{error}");
    }
}
