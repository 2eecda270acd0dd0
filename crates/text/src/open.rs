//! A `--data` argument to splits: a name, a file, or a folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::labels::{LabelList, label_file};
use crate::readers::{Format, ReadOptions, inner_name, read_dataset};
use crate::{DataError, Splits, goemotions, sample};

/// Where data comes from.
#[derive(Clone, Debug)]
pub struct DataSource {
    /// `sample`, `goemotions`, a file, or a folder.
    pub data: String,
    /// How files are read.
    pub options: ReadOptions,
    /// Where GoEmotions is kept.
    pub goemotions: goemotions::Source,
    /// Which splits are read, where they are apart.
    pub wanted: Wanted,
}

/// Which splits of a source are read: no other is looked into, nor fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What models are trained on.
    pub train: bool,
    /// What thresholds are tuned on.
    pub dev: bool,
    /// What nothing is tuned on.
    pub test: bool,
}

impl Wanted {
    /// All that there are.
    pub const ALL: Self = Self { train: true, dev: true, test: true };
    /// What training reads.
    pub const FOR_TRAINING: Self = Self { test: false, ..Self::ALL };
    /// Only the first.
    pub const TRAIN: Self = Self { train: true, dev: false, test: false };
    /// Only the second.
    pub const DEV: Self = Self { train: false, dev: true, test: false };
    /// Only the third.
    pub const TEST: Self = Self { train: false, dev: false, test: true };
}

/// Opens a source. A lone file is all of a dataset: it is put where `train` is.
///
/// # Errors
/// When it is none, cannot be read, or a row is malformed.
pub fn open(source: &DataSource) -> Result<Splits, DataError> {
    let path = Path::new(&source.data);
    let wanted = source.wanted;
    match source.data.as_str() {
        "sample" => {
            let Splits { train, dev, test } = sample::sample()?;
            Ok(Splits {
                train: train.filter(|_| wanted.train),
                dev: dev.filter(|_| wanted.dev),
                test: test.filter(|_| wanted.test),
            })
        }
        "goemotions" => {
            let read =
                |wanted: bool, file| wanted.then(|| source.goemotions.read(file)).transpose();
            Ok(Splits {
                train: read(wanted.train, goemotions::TRAIN)?,
                dev: read(wanted.dev, goemotions::DEV)?,
                test: read(wanted.test, goemotions::TEST)?,
            })
        }
        _ if path.is_dir() => open_folder(path, &with_labels(path, &source.options)?, wanted),
        _ if path.exists() => {
            let options = with_labels(path, &source.options)?;
            Ok(Splits { train: Some(read_dataset(path, &options)?), ..Splits::default() })
        }
        other => Err(DataError::Unknown(other.to_owned())),
    }
}

/// The options with the labels that are listed in the data's folder, unless others are given.
fn with_labels(data: &Path, options: &ReadOptions) -> Result<ReadOptions, DataError> {
    let list = label_file(data).filter(|_| options.labels.is_none());
    let list = list.map(|path| LabelList::read(&path)).transpose()?;
    Ok(ReadOptions { labels: list.or_else(|| options.labels.clone()), ..options.clone() })
}

fn open_folder(folder: &Path, options: &ReadOptions, wanted: Wanted) -> Result<Splits, DataError> {
    let failed = DataError::io(folder);
    let entries = fs::read_dir(folder).map_err(&failed)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, _>>()
        .map_err(failed)?;
    paths.sort();
    let find = |names: &[&str]| -> Result<Option<&PathBuf>, DataError> {
        let named = |path: &&PathBuf| {
            let inner = inner_name(path);
            let stem = inner.file_stem().and_then(|stem| stem.to_str()).map(str::to_lowercase);
            stem.is_some_and(|stem| names.contains(&&*stem)) && Format::of(path).is_some()
        };
        let mut found = paths.iter().filter(named);
        match (found.next(), found.next()) {
            (Some(first), Some(second)) => {
                Err(DataError::TwoFiles { first: first.clone(), second: second.clone() })
            }
            (first, _) => Ok(first),
        }
    };
    let files = [find(&["train"])?, find(&["dev", "validation", "valid"])?, find(&["test"])?];
    if files.iter().all(Option::is_none) {
        return Err(DataError::NoSplits(folder.to_owned()));
    }
    let read = |path: Option<&PathBuf>, wanted: bool| {
        path.filter(|_| wanted).map(|path| read_dataset(path, options)).transpose()
    };
    let [train, dev, test] = files;
    Ok(Splits {
        train: read(train, wanted.train)?,
        dev: read(dev, wanted.dev)?,
        test: read(test, wanted.test)?,
    })
}
