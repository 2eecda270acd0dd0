//! A `--data` argument to splits: a name, a file, or a folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::labels::{LabelFormat, LabelList, ListRole, label_file};
use crate::readers::{Format, ReadOptions, inner_name, read_dataset, read_leaning};
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
    /// Which splits are read, where they are apart.
    pub wanted: Wanted,
    /// Share of the train rows to hold out as dev, where data has no dev split; 0 for none.
    pub dev_share: f64,
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
/// When it is none, cannot be read, or a row is malformed; when rows are to be held out as dev and there
/// is a dev split.
pub fn open(source: &DataSource) -> Result<Splits, DataError> {
    if source.dev_share <= 0.0 {
        return read(source, source.wanted);
    }
    if has_dev(&source.data)? {
        return Err(DataError::HasDev(source.data.clone()));
    }
    let Wanted { train, dev, test } = source.wanted;
    let mut splits = read(source, Wanted { train: train || dev, dev: false, test })?;
    if let Some(rows) = splits.train.take() {
        let (rest, held_out) = rows.hold_out(source.dev_share)?;
        splits.train = Some(rest).filter(|_| train);
        splits.dev = Some(held_out).filter(|_| dev);
    }
    Ok(splits)
}

/// Whether data has a dev split, as its names say.
fn has_dev(data: &str) -> Result<bool, DataError> {
    let path = Path::new(data);
    Ok(match data {
        "sample" | "goemotions" => true,
        _ if path.is_dir() => Files::of(path)?.dev.is_some(),
        _ => false,
    })
}

fn read(source: &DataSource, wanted: Wanted) -> Result<Splits, DataError> {
    let path = Path::new(&source.data);
    match source.data.as_str() {
        "sample" => {
            let Splits { train, dev, test, .. } = sample::sample()?;
            Ok(Splits {
                train: train.filter(|_| wanted.train),
                dev: dev.filter(|_| wanted.dev),
                test: test.filter(|_| wanted.test),
                ..Splits::default()
            })
        }
        "goemotions" => {
            let read =
                |wanted: bool, file| wanted.then(|| source.goemotions.read(file)).transpose();
            Ok(Splits {
                train: read(wanted.train, goemotions::TRAIN)?,
                dev: read(wanted.dev, goemotions::DEV)?,
                test: read(wanted.test, goemotions::TEST)?,
                ..Splits::default()
            })
        }
        _ if path.is_dir() => read_folder(path, &with_labels(path, &source.options)?, wanted),
        _ if path.exists() => {
            let options = with_labels(path, &source.options)?;
            Ok(Splits { train: Some(read_dataset(path, &options)?), ..Splits::default() })
        }
        other => Err(DataError::Unknown(other.to_owned())),
    }
}

/// The options with the labels that are listed in the data's folder, unless others are given. A model's labels
/// are only what the data has where nothing says otherwise.
fn with_labels(data: &Path, options: &ReadOptions) -> Result<ReadOptions, DataError> {
    let given = options.labels.as_ref();
    let given = given.filter(|list| matches!(list.role, ListRole::Given | ListRole::Names));
    let list = label_file(data).filter(|_| given.is_none());
    let read = |path: PathBuf| {
        // Nobody asked for it by name: a pipe there may have no writer.
        tinymood_files::check(&path).map_err(DataError::io(&path))?;
        LabelList::read(&path)
    };
    let list = list.map(read).transpose()?;
    Ok(ReadOptions { labels: list.or_else(|| options.labels.clone()), ..options.clone() })
}

/// The files of a folder, by what their names say.
#[derive(Default)]
struct Files {
    train: Option<PathBuf>,
    dev: Option<PathBuf>,
    test: Option<PathBuf>,
    /// Data of no split.
    unused: Vec<PathBuf>,
}

impl Files {
    fn of(folder: &Path) -> Result<Self, DataError> {
        let failed = DataError::io(folder);
        let mut paths = fs::read_dir(folder)
            .map_err(&failed)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<PathBuf>, _>>()
            .map_err(&failed)?;
        paths.sort();
        let mut files = Self::default();
        let (read, others): (Vec<_>, Vec<_>) =
            paths.into_iter().partition(|path| Format::of(path).is_some());
        for path in read {
            files.place(path)?;
        }
        if [&files.train, &files.dev, &files.test].into_iter().all(Option::is_none) {
            return Err(DataError::NoSplits(folder.to_owned()));
        }
        for path in others {
            match split_of_unread(&path) {
                Some("dev") if files.dev.is_none() => return Err(DataError::Format(path)),
                Some(_) => files.unused.push(path),
                None => {}
            }
        }
        Ok(files)
    }

    fn place(&mut self, path: PathBuf) -> Result<(), DataError> {
        let inner = inner_name(&path);
        let stem = inner.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        let split = match split_named(&stem) {
            Some("train") => &mut self.train,
            Some("dev") => &mut self.dev,
            Some(_) => &mut self.test,
            None => {
                self.unused.push(path);
                return Ok(());
            }
        };
        match split.replace(path.clone()) {
            Some(first) => Err(DataError::TwoFiles { first, second: path }),
            None => Ok(()),
        }
    }
}

/// The split that a file's name without extensions means, in lower case.
fn split_named(stem: &str) -> Option<&'static str> {
    match stem {
        "train" => Some("train"),
        "dev" | "validation" | "valid" | "val" | "eval" => Some("dev"),
        "test" => Some("test"),
        _ => None,
    }
}

/// The split of a file that seems to be data in a format that is not read.
fn split_of_unread(path: &Path) -> Option<&'static str> {
    const FORMATS: [&str; 18] = [
        "parquet", "arrow", "feather", "orc", "avro", "xlsx", "xls", "ods", "txt", "xml", "pkl",
        "pickle", "bz2", "zip", "xz", "zst", "7z", "h5",
    ];
    let inner = inner_name(path); // train.txt.gz is none that is read, too
    let extension = inner.extension()?.to_str()?.to_lowercase();
    let name = path.file_name()?.to_str()?.to_lowercase();
    split_named(name.split('.').next()?).filter(|_| FORMATS.contains(&&*extension))
}

/// Reads the splits of a folder. The first of train, dev and test says what labels there are where no list does,
/// and what is in doubt in the others; so it is read for them too.
fn read_folder(folder: &Path, options: &ReadOptions, wanted: Wanted) -> Result<Splits, DataError> {
    let Files { train, dev, test, unused } = Files::of(folder)?;
    let files = [(train, wanted.train), (dev, wanted.dev), (test, wanted.test)];
    let first = files.iter().position(|(path, _)| path.is_some());
    let is_listed = options.labels.as_ref().is_some_and(|list| list.role != ListRole::Start);
    let mut leader = None;
    let mut splits = [None, None, None];
    for (index, (path, is_wanted)) in files.iter().enumerate() {
        let Some(path) = path else { continue };
        let is_first = first == Some(index);
        if is_first && (*is_wanted || !is_listed) {
            let split = read_dataset(path, options)?;
            leader = Some(Leader::of(&split, options));
            splits[index] = Some(split).filter(|_| *is_wanted);
        } else if *is_wanted {
            splits[index] = Some(match &leader {
                Some(leader) => leader.read(path)?,
                None => read_dataset(path, options).or_else(|error| {
                    let lead = files.iter().find_map(|(path, _)| path.as_ref());
                    follow(lead, path, options, error)
                })?,
            });
        }
    }
    let [train, dev, test] = splits;
    Ok(Splits { train, dev, test, unused })
}

/// Reads a split as the first one of its folder says, where only its form is in doubt.
fn follow(
    first: Option<&PathBuf>,
    path: &Path,
    options: &ReadOptions,
    error: DataError,
) -> Result<Dataset, DataError> {
    if !matches!(error, DataError::LabelForm { .. }) {
        return Err(error);
    }
    let first = first.and_then(|first| read_dataset(first, options).ok());
    first.map_or(Err(error), |first| Leader::of(&first, options).read(path))
}

/// What the first split of a folder says about the others.
struct Leader {
    options: ReadOptions,
    /// The form of its labels.
    format: LabelFormat,
}

impl Leader {
    fn of(split: &Dataset, options: &ReadOptions) -> Self {
        let list = LabelList {
            labels: split.labels.clone(),
            source: split.reading.source.clone(),
            role: match &options.labels {
                Some(list) if list.labels == split.labels => match list.role {
                    ListRole::Start => ListRole::Model,
                    role => role,
                },
                // That the model's labels were added to: their ids are still theirs.
                Some(_) if split.reading.format == LabelFormat::Ids && split.reading.collected => {
                    ListRole::Given
                }
                _ => ListRole::Names,
            },
        };
        let options = ReadOptions { labels: Some(list), ..options.clone() };
        Self { options, format: split.reading.format }
    }

    fn read(&self, path: &Path) -> Result<Dataset, DataError> {
        read_leaning(path, &self.options, self.format)
    }
}
