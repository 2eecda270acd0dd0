//! TensorBoard event files, as far as scalars need them: TFRecord frames around hand-encoded
//! `tensorflow.Event` messages.
//!
//! A frame is `u64 length | u32 masked_crc32c(length) | bytes | u32 masked_crc32c(bytes)`, all
//! little-endian (`tensorflow/core/lib/io/record_writer.h`). Messages follow `event.proto` and
//! `summary.proto`; only the fields below are written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::Event;

/// Castagnoli's polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let carry = if remainder & 1 == 1 { POLYNOMIAL } else { 0 };
            remainder = (remainder >> 1) ^ carry;
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
};

fn crc32c(bytes: &[u8]) -> u32 {
    let mut remainder = !0_u32;
    for &byte in bytes {
        remainder = (remainder >> 8) ^ TABLE[usize::from(remainder as u8 ^ byte)];
    }
    !remainder
}

/// CRC-32C, rotated and shifted so that a checksum of bytes that hold checksums stays sound
/// (`tensorflow/core/lib/hash/crc32c.h`).
pub fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Appends scalars to one event file.
#[derive(Debug)]
pub struct ScalarWriter {
    file: File,
}

impl ScalarWriter {
    /// Makes a new event file in `folder`. `void_from` above 0 tells TensorBoard that earlier files'
    /// points from that step on are void: a resumed run takes those steps again.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(folder: &Path, void_from: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, process) = (now.as_secs(), std::process::id());
        // TensorBoard reads files in the order of their names, so a second one of the same
        // second must sort behind the first.
        let mut number = 0;
        let file = loop {
            let name = format!("events.out.tfevents.{seconds:010}.tinymood.{process}.{number}");
            match OpenOptions::new().write(true).create_new(true).open(folder.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                other => break other?,
            }
        };
        let mut writer = Self { file };
        let mut version = Vec::new();
        bytes_field(&mut version, 3, b"brain.Event:2");
        writer.event(0, &version)?;
        if void_from > 0 {
            let mut start = Vec::new();
            varint_field(&mut start, 1, 1); // SessionLog.status = START
            let mut event = Vec::new();
            bytes_field(&mut event, 7, &start);
            writer.event(void_from, &event)?;
        }
        Ok(writer)
    }

    /// Appends one point.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> io::Result<()> {
        let mut point = Vec::new();
        bytes_field(&mut point, 1, tag.as_bytes());
        key(&mut point, 2, 5);
        point.extend_from_slice(&(value as f32).to_le_bytes());
        let mut summary = Vec::new();
        bytes_field(&mut summary, 1, &point);
        let mut event = Vec::new();
        bytes_field(&mut event, 5, &summary);
        self.event(step, &event)
    }

    /// Appends the scalars of a training event: loss, learning rate, gradient norm and speed under
    /// `train/`, all metrics under `validation/`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Step(window) => {
                self.scalar("train/loss", window.step, window.loss)?;
                self.scalar("train/learning_rate", window.step, window.learning_rate)?;
                self.scalar("train/gradient_norm", window.step, window.gradient_norm)?;
                self.scalar("train/samples_per_second", window.step, window.samples_per_second)?;
                self.scalar("train/epoch", window.step, window.epoch)
            }
            Event::Evaluation(judged) => judged.metrics.iter().try_for_each(|(name, value)| {
                self.scalar(&format!("validation/{name}"), judged.step, *value)
            }),
            _ => Ok(()),
        }
    }

    /// Frames one event: time and step, then the encoded `what` field.
    fn event(&mut self, step: u64, what: &[u8]) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut event = Vec::with_capacity(what.len() + 24);
        key(&mut event, 1, 1);
        event.extend_from_slice(&now.as_secs_f64().to_le_bytes());
        varint_field(&mut event, 2, step);
        event.extend_from_slice(what);

        let length = (event.len() as u64).to_le_bytes();
        let mut frame = Vec::with_capacity(event.len() + 16);
        frame.extend_from_slice(&length);
        frame.extend_from_slice(&masked_crc32c(&length).to_le_bytes());
        frame.extend_from_slice(&event);
        frame.extend_from_slice(&masked_crc32c(&event).to_le_bytes());
        // One write a frame: a kill between frames leaves a readable file.
        self.file.write_all(&frame)
    }
}

/// A protobuf key: field number and wire type (0 varint, 1 eight bytes, 2 counted bytes, 5 four).
fn key(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    varint(out, field << 3 | wire_type);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_field(out: &mut Vec<u8>, field: u64, value: u64) {
    key(out, field, 0);
    varint(out, value);
}

fn bytes_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    key(out, field, 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Judged;

    /// Takes the frames of a file apart, checking both checksums of each.
    fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(12);
            let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
            assert_eq!(head[8..], masked_crc32c(&head[..8]).to_le_bytes());
            let (event, rest) = rest.split_at(length);
            let (sum, rest) = rest.split_at(4);
            assert_eq!(sum, masked_crc32c(event).to_le_bytes());
            frames.push(event.to_vec());
            bytes = rest;
        }
        frames
    }

    #[derive(Clone, Debug, PartialEq)]
    enum Value {
        Number(u64),
        Bytes(Vec<u8>),
    }

    /// Takes a protobuf message apart into its fields.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Value)> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
        fn take(bytes: &mut &[u8], length: usize) -> Vec<u8> {
            let (taken, rest) = bytes.split_at(length);
            *bytes = rest;
            taken.to_vec()
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => Value::Number(varint(&mut bytes)),
                1 => Value::Bytes(take(&mut bytes, 8)),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    Value::Bytes(take(&mut bytes, length))
                }
                5 => Value::Bytes(take(&mut bytes, 4)),
                other => panic!("wire type {other}"),
            };
            fields.push((key >> 3, value));
        }
        fields
    }

    fn bytes_of(fields: &[(u64, Value)], number: u64) -> Vec<u8> {
        let found = fields.iter().find(|(field, _)| *field == number);
        let Some((_, Value::Bytes(bytes))) = found else { panic!("no field {number}") };
        bytes.clone()
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283); // the catalogue's check value
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa); // RFC 3720, B.4
    }

    #[test]
    fn points_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ScalarWriter::create(folder.path(), 0).unwrap();
        writer.scalar("train/loss", 300, 0.125).unwrap();
        let judged = Judged {
            step: 301,
            epoch: 1.0,
            metric: "macro_f1",
            value: 0.5,
            best: true,
            metrics: vec![("macro_f1", 0.5), ("loss", 0.75)],
            seconds: 1.0,
        };
        writer.write(&Event::Evaluation(judged)).unwrap();
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
        assert!(file.file_name().to_str().unwrap().starts_with("events.out.tfevents."));
        let frames = frames(&std::fs::read(file.path()).unwrap());
        assert_eq!(bytes_of(&fields(&frames[0]), 3), b"brain.Event:2");
        let point = |frame: &[u8]| {
            let event = fields(frame);
            assert_eq!(bytes_of(&event, 1).len(), 8);
            let step = event.iter().find(|(field, _)| *field == 2).unwrap().1.clone();
            let value = fields(&bytes_of(&fields(&bytes_of(&event, 5)), 1));
            let tag = String::from_utf8(bytes_of(&value, 1)).unwrap();
            let number = f32::from_le_bytes(bytes_of(&value, 2).try_into().unwrap());
            (step, tag, number)
        };
        let expected = [
            (Value::Number(300), "train/loss".to_owned(), 0.125),
            (Value::Number(301), "validation/macro_f1".to_owned(), 0.5),
            (Value::Number(301), "validation/loss".to_owned(), 0.75),
        ];
        assert_eq!(frames.len(), 4);
        assert!(frames[1..].iter().map(|frame| point(frame)).eq(expected));
    }

    #[test]
    fn a_resumed_run_says_where_it_starts() {
        let folder = tempfile::tempdir().unwrap();
        ScalarWriter::create(folder.path(), 0).unwrap();
        ScalarWriter::create(folder.path(), 6).unwrap();
        let mut files: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 2, "the second file does not replace the first");
        let started: Vec<_> = files
            .iter()
            .map(|file| {
                let frames = frames(&std::fs::read(file).unwrap());
                let events = frames.iter().map(|frame| fields(frame));
                let starts = events.filter(|event| event.iter().any(|(field, _)| *field == 7));
                starts.map(|event| event[1].1.clone()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(started, [vec![], vec![Value::Number(6)]]);
    }
}
