//! `log.jsonl`: one JSON object a line.
//!
//! A checkpoint notes how long the log was; resuming cuts back to there, so that no step stands
//! in it twice and a line torn by a kill is gone.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tinymood_weights::regular;

use crate::event::Event;

/// The open log.
#[derive(Debug)]
pub(crate) struct JsonLog {
    file: File,
    offset: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970, UTC.
    time: f64,
    #[serde(flatten)]
    event: &'a Event,
}

impl JsonLog {
    /// Opens the log and cuts it back to `offset` bytes. A log that is shorter keeps what it has.
    pub(crate) fn open(path: &Path, offset: u64) -> io::Result<Self> {
        regular::check(path)?;
        let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
        let offset = offset.min(file.metadata()?.len());
        file.set_len(offset)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file, offset })
    }

    /// Appends an event, unless it is one that the log leaves out.
    pub(crate) fn write(&mut self, event: &Event) -> io::Result<()> {
        if matches!(event, Event::Tick(_) | Event::Evaluating { .. }) {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Milliseconds are enough, and keep the lines short.
        let time = (now.as_secs_f64() * 1000.0).round() / 1000.0;
        let mut line = serde_json::to_vec(&Line { time, event })?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.offset += line.len() as u64;
        Ok(())
    }

    /// Brings all lines to the disk and says how long the log is, in bytes.
    pub(crate) fn sync(&mut self) -> io::Result<u64> {
        self.file.sync_data()?;
        Ok(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(text: &str) -> Event {
        Event::Warning { message: text.to_owned() }
    }

    #[test]
    fn reopening_cuts_back_to_the_offset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut log = JsonLog::open(&path, 0).unwrap();
        log.write(&warning("kept")).unwrap();
        let offset = log.sync().unwrap();
        log.write(&warning("cut")).unwrap();
        drop(log);
        let mut log = JsonLog::open(&path, offset).unwrap();
        log.write(&warning("new\nline")).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let messages: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(messages, ["kept", "new\nline"]);
        // A log that was lost is begun anew rather than filled with zeros.
        std::fs::remove_file(&path).unwrap();
        JsonLog::open(&path, offset).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[cfg(unix)]
    #[test]
    fn no_device_stands_in_for_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        let error = JsonLog::open(&path, 0).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[test]
    fn what_cannot_be_a_number_is_null() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let judged = crate::event::Judged {
            step: 1,
            epoch: 0.5,
            metric: "macro_f1",
            value: f64::NAN,
            best: false,
            metrics: vec![("macro_f1", f64::NAN)],
            seconds: 0.0,
        };
        JsonLog::open(&path, 0).unwrap().write(&Event::Evaluation(judged)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(line["value"].is_null() && line["metrics"]["macro_f1"].is_null(), "{line}");
    }
}
