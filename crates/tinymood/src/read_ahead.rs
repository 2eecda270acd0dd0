//! Texts read while others are answered, at most so many rows and bytes of them.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use anyhow::Context;
use tinymood_text::{DataError, Field, StreamedText};

/// Texts, or why there are no more.
pub(crate) type Texts = Box<dyn Iterator<Item = Result<StreamedText, DataError>> + Send>;

/// Rows taken at a time at most: enough to keep the engine busy.
const ROWS: usize = 512;
/// Bytes of texts in memory, and one text more: a line may have megabytes.
const BYTES: usize = 16 << 20;

/// The reading end.
pub(crate) struct ReadAhead {
    coming: Receiver<Result<StreamedText, DataError>>,
    held: Arc<Held>,
    /// Bytes of the rows handed out last.
    lent: usize,
    /// Why there are no more rows, to be told once those before are answered.
    error: Option<DataError>,
}

/// Bytes of texts that were read and are not answered yet.
#[derive(Default)]
struct Held {
    bytes: Mutex<usize>,
    fewer: Condvar,
}

impl ReadAhead {
    /// Starts to read.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub(crate) fn new(texts: Texts) -> anyhow::Result<Self> {
        let (sender, coming) = sync_channel(ROWS);
        let held = Arc::<Held>::default();
        let reading = Arc::clone(&held);
        // It ends with the texts, or at the first one that nobody wants.
        let read = move || {
            for text in texts {
                reading.add(text.as_ref().map_or(0, bytes));
                if sender.send(text).is_err() {
                    break;
                }
            }
        };
        let started = thread::Builder::new().name("texts".to_owned()).spawn(read);
        started.context("the system starts no thread to read texts")?;
        Ok(Self { coming, held, lent: 0, error: None })
    }

    /// Puts the next rows into `rows`, which is empty: those that are there, at least one unless all were
    /// read. The ones before count as answered.
    ///
    /// # Errors
    /// When the texts cannot be read on, and all rows before were handed out.
    pub(crate) fn next(&mut self, rows: &mut Vec<StreamedText>) -> Result<(), DataError> {
        self.held.remove(std::mem::take(&mut self.lent));
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        // Whoever writes into a pipe line by line may wait for the answer to one before the next.
        let first = self.coming.recv().into_iter();
        for text in first.chain(self.coming.try_iter()).take(ROWS) {
            let text = match text {
                Ok(text) => text,
                Err(error) if rows.is_empty() => return Err(error),
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            };
            self.lent += bytes(&text);
            rows.push(text);
        }
        Ok(())
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.held.remove(usize::MAX); // whoever waits reads on, and finds nobody there
    }
}

impl Held {
    /// Waits until there is room, then takes it.
    fn add(&self, bytes: usize) {
        let held = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.fewer.wait_while(held, |held| *held >= BYTES);
        *held.unwrap_or_else(PoisonError::into_inner) += bytes;
    }

    fn remove(&self, bytes: usize) {
        let mut held = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_sub(bytes);
        self.fewer.notify_one();
    }
}

/// What a text takes, and what stands beside it.
fn bytes(text: &StreamedText) -> usize {
    let others = text.others.iter();
    let others = others.map(|Field { name, value }| size_of::<Field>() + name.len() + value.len());
    text.text.as_ref().map_or(0, String::len) + others.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn text(row: u64, len: usize) -> Result<StreamedText, DataError> {
        let text = Ok("x".repeat(len));
        Ok(StreamedText { file: "x".into(), row, line: row, text, others: Vec::new() })
    }

    fn all(mut ahead: ReadAhead) -> Vec<u64> {
        let (mut found, mut rows) = (Vec::new(), Vec::new());
        loop {
            ahead.next(&mut rows).unwrap();
            assert!(rows.len() <= ROWS);
            if rows.is_empty() {
                return found;
            }
            found.extend(rows.drain(..).map(|text| text.row));
        }
    }

    #[test]
    fn all_rows_come_in_order_whatever_their_size() {
        for len in [0, 10, BYTES / 3, BYTES + 1] {
            let rows = if len > 10 { 9 } else { 3 * ROWS as u64 };
            let texts = (0..rows).map(move |row| text(row, len));
            assert_eq!(
                all(ReadAhead::new(Box::new(texts)).unwrap()),
                (0..rows).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn rows_before_an_error_come_before_it() {
        let gone = || DataError::Unknown("gone".to_owned());
        for count in [0, 1, 700] {
            let texts = (0..count)
                .map(|row| text(row, 10))
                .chain(std::iter::once_with(move || Err(gone())));
            let mut ahead = ReadAhead::new(Box::new(texts)).unwrap();
            let (mut rows, mut found) = (Vec::new(), 0);
            let error = loop {
                match ahead.next(&mut rows) {
                    Ok(()) => found += rows.drain(..).count() as u64,
                    Err(error) => break error,
                }
            };
            assert_eq!((found, error.to_string()), (count, gone().to_string()));
        }
    }

    #[test]
    fn no_more_is_read_than_may_be_held() {
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let texts = (0..100).map(move |row| {
            count.fetch_add(1, Ordering::SeqCst);
            text(row, BYTES / 4)
        });
        let ahead = ReadAhead::new(Box::new(texts)).unwrap();
        // Four fit, and the reader has one more in its hand.
        while read.load(Ordering::SeqCst) < 5 {
            thread::yield_now();
        }
        thread::sleep(std::time::Duration::from_millis(300)); // who reads on has the time to
        assert_eq!(read.load(Ordering::SeqCst), 5);
        assert_eq!(all(ahead).len(), 100);
    }

    #[test]
    fn who_reads_ends_when_nobody_wants_more() {
        let (sender, ended) = std::sync::mpsc::channel::<()>();
        let texts = (0..100).map(move |row| {
            let _ = &sender; // dropped with the texts
            text(row, BYTES)
        });
        drop(ReadAhead::new(Box::new(texts)).unwrap());
        assert!(ended.recv_timeout(std::time::Duration::from_secs(60)).is_err());
        assert!(matches!(ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected)));
    }
}
