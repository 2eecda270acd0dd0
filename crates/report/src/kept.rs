//! `predictions.jsonl`: what the run's model says of the validation split, row by row, with the
//! texts and their labels. `train` keeps it, so that a report needs neither the data, which may have
//! moved, nor the model, which may be elsewhere; and it is there for whoever wants to look at rows.
//!
//! The first line says what it is of: split, labels, the SHA-256 of the weights and the temperatures, by which a
//! file of an older model is known.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Map;
use sha2::{Digest, Sha256};
use tinymood_core::{LabelSet, ProblemType};
use tinymood_eval::{EvalError, Predictions};
use tinymood_weights::{digest, durable, regular};

/// Longer lines are not ours.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Predictions as they are kept; `N` rows of `C` labels.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptPredictions {
    /// The split's name.
    pub split: String,
    /// SHA-256 of the model's `model.safetensors`, in hexadecimal; empty where it is not known.
    pub model_sha256: String,
    /// Tokens that a text may have before it is cut.
    pub max_length: usize,
    /// The labels; (C).
    pub labels: LabelSet,
    /// The rows; (N).
    pub rows: Vec<KeptRow>,
    /// What each label should be given; (N, C).
    pub targets: Vec<f32>,
    /// What the model gave; (N, C).
    pub probabilities: Vec<f32>,
    /// What kind of model they are of.
    pub problem_type: ProblemType,
    /// What logits were divided by, (C); `None` where they stayed as they were.
    pub temperatures: Option<Vec<f32>>,
}

/// A row, but for its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRow {
    /// The line of the file that it came from, from 1.
    pub line: usize,
    /// The text.
    pub text: String,
    /// Its tokens, special ones included, before any are cut off.
    pub tokens: usize,
}

#[derive(Serialize, Deserialize)]
struct Header {
    split: String,
    rows: usize,
    model_sha256: String,
    max_length: usize,
    labels: Vec<String>,
    /// Files of earlier versions are all of multi-label models.
    #[serde(default)]
    problem_type: ProblemType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    temperatures: Option<Vec<f32>>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    line: usize,
    text: String,
    tokens: usize,
    /// Targets above 0, by label.
    labels: Map<String, serde_json::Value>,
    probabilities: Vec<f32>,
}

/// Why kept predictions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line}: {problem}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// The values are no probabilities.
    #[error(transparent)]
    Values(#[from] EvalError),
}

impl KeptPredictions {
    /// The numbers, as figures are computed from them.
    ///
    /// # Errors
    /// When there are no rows, or a value is not from 0 to 1.
    pub fn predictions(&self) -> Result<Predictions<'_>, EvalError> {
        let predictions = Predictions::new(&self.probabilities, &self.targets, self.labels.len())?;
        Ok(predictions.with_problem_type(self.problem_type))
    }

    /// Puts the labels in the order of `labels`, and under its names; returns the places that they had
    /// before. `None`, and nothing changes, where they are others.
    pub(crate) fn order_labels(&mut self, labels: &LabelSet) -> Option<Vec<usize>> {
        let places: Option<Vec<usize>> =
            labels.names().iter().map(|name| self.labels.index_of(name)).collect();
        let places = places.filter(|_| labels.len() == self.labels.len())?;
        for values in [&mut self.targets, &mut self.probabilities] {
            for row in values.chunks_exact_mut(places.len()) {
                let ordered: Vec<f32> = places.iter().map(|&place| row[place]).collect();
                row.copy_from_slice(&ordered);
            }
        }
        if let Some(temperatures) = &mut self.temperatures {
            *temperatures = places.iter().map(|&place| temperatures[place]).collect();
        }
        self.labels = labels.clone();
        Some(places)
    }

    /// SHA-256 of labels, texts and targets: two runs that have the same were judged on the same
    /// rows.
    pub fn rows_sha256(&self) -> String {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        self.labels.names().iter().for_each(|name| part(name.as_bytes()));
        self.rows.iter().for_each(|row| part(row.text.as_bytes()));
        self.targets.iter().for_each(|target| part(&target.to_le_bytes()));
        digest::hexadecimal(&hasher.finalize())
    }

    /// Writes the file, as a whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        durable::replace_file(path, |place| {
            let mut out = BufWriter::new(File::create(place)?);
            self.write_to(&mut out)?;
            out.into_inner()?.sync_all()
        })
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let header = Header {
            split: self.split.clone(),
            rows: self.rows.len(),
            model_sha256: self.model_sha256.clone(),
            max_length: self.max_length,
            labels: self.labels.names().to_vec(),
            problem_type: self.problem_type,
            temperatures: self.temperatures.clone(),
        };
        serde_json::to_writer(&mut *out, &header)?;
        out.write_all(b"\n")?;
        let c = self.labels.len();
        let numbers = self.targets.chunks(c).zip(self.probabilities.chunks(c));
        for (row, (targets, probabilities)) in self.rows.iter().zip(numbers) {
            let named = self.labels.names().iter().zip(targets);
            let above = named.filter(|(_, target)| **target > 0.0);
            let row = Row {
                line: row.line,
                text: row.text.clone(),
                tokens: row.tokens,
                labels: above.map(|(name, target)| (name.clone(), (*target).into())).collect(),
                probabilities: probabilities.to_vec(),
            };
            serde_json::to_writer(&mut *out, &row)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Reads the file; `None` where there is none.
    ///
    /// # Errors
    /// With the line that is damaged, or when the file ends early.
    pub fn read(path: &Path) -> Result<Option<Self>, KeptError> {
        match regular::open(path) {
            Ok(file) => Self::read_from(BufReader::new(file)).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn read_from(mut reader: impl BufRead) -> Result<Self, KeptError> {
        let wrong = |line: usize, problem: &dyn std::fmt::Display| KeptError::Line {
            line,
            problem: problem.to_string(),
        };
        let mut bytes = Vec::new();
        let mut next = |bytes: &mut Vec<u8>| -> io::Result<bool> {
            bytes.clear();
            Ok((&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', bytes)? > 0)
        };
        next(&mut bytes)?;
        let header: Header = serde_json::from_slice(&bytes).map_err(|error| wrong(1, &error))?;
        let labels = LabelSet::new(header.labels).map_err(|error| wrong(1, &error))?;
        let is_whole = |t: &Vec<f32>| t.len() == labels.len();
        if !header.temperatures.as_ref().is_none_or(is_whole) {
            return Err(wrong(1, &"not one temperature for each label"));
        }
        let mut kept = Self {
            split: header.split,
            model_sha256: header.model_sha256,
            max_length: header.max_length,
            labels,
            rows: Vec::new(),
            targets: Vec::new(),
            probabilities: Vec::new(),
            problem_type: header.problem_type,
            temperatures: header.temperatures,
        };
        while next(&mut bytes)? {
            let line = kept.rows.len() + 2;
            if kept.rows.len() == header.rows {
                let problem = format!("the file goes on, after all of its {} rows", header.rows);
                return Err(wrong(line, &problem));
            }
            let row: Row = serde_json::from_slice(&bytes).map_err(|error| wrong(line, &error))?;
            kept.push(row).map_err(|problem| wrong(line, &problem))?;
        }
        let missing = header.rows - kept.rows.len();
        if missing > 0 {
            let problem = format!("the file ends here, with {missing} rows to come");
            return Err(wrong(kept.rows.len() + 1, &problem));
        }
        kept.predictions()?;
        Ok(kept)
    }

    fn push(&mut self, row: Row) -> Result<(), String> {
        let c = self.labels.len();
        if row.probabilities.len() != c {
            return Err(format!("{} probabilities of {c} labels", row.probabilities.len()));
        }
        let start = self.targets.len();
        self.targets.resize(start + c, 0.0);
        for (name, value) in &row.labels {
            let index = self.labels.index_of(name).ok_or_else(|| format!("no label {name:?}"))?;
            let target = value.as_f64().ok_or_else(|| format!("{name:?} is given {value}"))?;
            self.targets[start + index] = target as f32;
        }
        self.probabilities.extend(row.probabilities);
        self.rows.push(KeptRow { line: row.line, text: row.text, tokens: row.tokens });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept() -> KeptPredictions {
        let row = |line, text: &str| KeptRow { line, text: text.to_owned(), tokens: 5 };
        KeptPredictions {
            split: "dev".to_owned(),
            model_sha256: "ab".to_owned(),
            max_length: 16,
            labels: LabelSet::new(["joy", "<b>\"grief\""]).unwrap(),
            rows: vec![row(1, "so\n\"happy\""), row(4, "</script>")],
            targets: vec![1.0, 0.0, 0.1, 0.7],
            probabilities: vec![0.1, 1e-7, 0.999_999_9, 0.333_333_34],
            problem_type: ProblemType::MultiLabel,
            temperatures: None,
        }
    }

    fn written(kept: &KeptPredictions) -> Vec<u8> {
        let mut bytes = Vec::new();
        kept.write_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn every_bit_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.jsonl");
        assert!(KeptPredictions::read(&path).unwrap().is_none());
        kept().write(&path).unwrap();
        let read = KeptPredictions::read(&path).unwrap().unwrap();
        assert_eq!(read, kept());
        assert_eq!(read.rows_sha256(), kept().rows_sha256());
        let mut other = kept();
        other.targets[1] = 1.0;
        assert_ne!(other.rows_sha256(), kept().rows_sha256());
    }

    #[test]
    fn the_kind_of_model_is_kept() {
        let single = KeptPredictions { problem_type: ProblemType::SingleLabel, ..kept() };
        let text = String::from_utf8(written(&single)).unwrap();
        let read = |text: &str| KeptPredictions::read_from(text.as_bytes()).unwrap();
        assert_eq!(read(&text), single);
        assert!(single.predictions().unwrap().problem_type().is_single_label());
        // Files of earlier versions do not say it.
        let older = text.replace(",\"problem_type\":\"single_label_classification\"", "");
        assert_ne!(older, text);
        assert_eq!(read(&older), kept());
    }

    #[test]
    fn labels_take_another_order_with_their_numbers() {
        let mut other = kept();
        let reversed = LabelSet::new(["<b>\"grief\"", "Joy"]).unwrap();
        assert_eq!(other.order_labels(&reversed), Some(vec![1, 0]));
        assert_eq!(other.labels, reversed);
        assert_eq!(other.targets, [0.0, 1.0, 0.7, 0.1]);
        assert_eq!(other.probabilities, [1e-7, 0.1, 0.333_333_34, 0.999_999_9]);
        let mut same = kept();
        assert_eq!(same.order_labels(&LabelSet::new(["joy", "love"]).unwrap()), None);
        assert_eq!(same, kept());
    }

    #[test]
    fn damage_is_named_by_its_line() {
        let whole = written(&kept());
        let text = String::from_utf8(whole.clone()).unwrap();
        let problem =
            |text: &str| KeptPredictions::read_from(text.as_bytes()).unwrap_err().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(problem("").starts_with("line 1: "));
        let cut = problem(&lines[..2].join("\n"));
        assert_eq!(cut, "line 2: the file ends here, with 1 rows to come");
        let longer = [&lines[..], &lines[2..]].concat().join("\n");
        assert_eq!(problem(&longer), "line 4: the file goes on, after all of its 2 rows");
        assert!(problem(&text[..text.len() - 9]).starts_with("line 3: "));
        let no_label = text.replace("\"labels\":{\"joy\":1.0}", "\"labels\":{\"love\":1.0}");
        assert_eq!(problem(&no_label), "line 2: no label \"love\"");
        let many = text.replace("\"probabilities\":[0.1,", "\"probabilities\":[0.1,0.1,");
        assert_eq!(problem(&many), "line 2: 3 probabilities of 2 labels");
        let large = text.replace("\"probabilities\":[0.1,", "\"probabilities\":[7.5,");
        assert!(problem(&large).contains("not a number from 0 to 1"), "{}", problem(&large));
    }

    proptest! {
        #[test]
        fn no_damage_panics(place in 0_usize..400, byte: u8) {
            let mut bytes = written(&kept());
            let place = place % bytes.len();
            bytes[place] = byte;
            let _ = KeptPredictions::read_from(&bytes[..]);
        }
    }
}
