//! A `--data` argument to splits: a name, a file, or a folder.

use std::fs;
use std::path::{Path, PathBuf};

use tinymood_core::LabelSet;

use crate::readers::{Format, ReadOptions, read_dataset};
use crate::{DataError, Dataset, Splits, goemotions, sample};

/// Where data comes from.
#[derive(Clone, Debug)]
pub struct DataSource {
    /// `sample`, `goemotions`, a file, or a folder.
    pub data: String,
    /// How files are read.
    pub options: ReadOptions,
    /// Where GoEmotions is kept.
    pub goemotions: goemotions::Source,
    /// Whether the test split is wanted, too: for GoEmotions it is not even fetched otherwise.
    pub with_test: bool,
}

/// Opens a source. A lone file is all of a dataset: it is put where `train` is.
///
/// # Errors
/// When it is none, cannot be read, or a row is malformed.
pub fn open(source: &DataSource) -> Result<Splits, DataError> {
    let path = Path::new(&source.data);
    match source.data.as_str() {
        "sample" => sample::sample(),
        "goemotions" => {
            let test = source.with_test.then(|| source.goemotions.read(goemotions::TEST));
            Ok(Splits {
                train: Some(source.goemotions.read(goemotions::TRAIN)?),
                dev: Some(source.goemotions.read(goemotions::DEV)?),
                test: test.transpose()?,
            })
        }
        _ if path.is_dir() => open_folder(path, &source.options),
        _ if path.exists() => {
            Ok(Splits { train: Some(read_dataset(path, &source.options)?), ..Splits::default() })
        }
        other => Err(DataError::Unknown(other.to_owned())),
    }
}

fn open_folder(folder: &Path, options: &ReadOptions) -> Result<Splits, DataError> {
    let failed = |source| DataError::Io { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, _>>()
        .map_err(failed)?;
    paths.sort();
    let options = match label_file(folder).filter(|_| options.labels.is_none()) {
        Some(path) => ReadOptions { labels: Some(read_labels(&path)?), ..options.clone() },
        None => options.clone(),
    };
    let find = |names: &[&str]| -> Result<Option<Dataset>, DataError> {
        let named = |path: &&PathBuf| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_lowercase);
            stem.is_some_and(|stem| names.contains(&&*stem)) && Format::of(path).is_some()
        };
        let mut found = paths.iter().filter(named);
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(path), None) => read_dataset(path, &options).map(Some),
            (Some(first), Some(second)) => {
                Err(DataError::TwoFiles { first: first.clone(), second: second.clone() })
            }
        }
    };
    let splits = Splits {
        train: find(&["train"])?,
        dev: find(&["dev", "validation", "valid"])?,
        test: find(&["test"])?,
    };
    if splits.named().next().is_none() {
        return Err(DataError::NoSplits(folder.to_owned()));
    }
    Ok(splits)
}

/// A list of labels that lies beside the splits.
fn label_file(folder: &Path) -> Option<PathBuf> {
    let candidates = ["labels.txt", "emotions.txt"].map(|name| folder.join(name));
    candidates.into_iter().find(|path| path.is_file())
}

/// Reads a file of label names, one a line; blank lines are passed over.
///
/// # Errors
/// When it cannot be read, or the names make no label set.
pub fn read_labels(path: &Path) -> Result<LabelSet, DataError> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|source| DataError::Io { path: path.to_owned(), source })?;
    let names = text.trim_start_matches('\u{feff}').lines().filter(|line| !line.trim().is_empty());
    LabelSet::new(names).map_err(|source| DataError::Labels { path: path.to_owned(), source })
}
