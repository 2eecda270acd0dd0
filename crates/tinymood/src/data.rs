//! A dataset's arguments to splits.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tinymood_core::printable::one_line;
use tinymood_core::{LabelSet, Taxonomy};
use tinymood_text::{
    DataSource, Dataset, Encoding, LabelFormat, LabelList, LabelReading, ListRole, ReadOptions,
    Splits, Wanted, goemotions, label_file, open,
};

use crate::args::{DatasetArgs, GlobalArgs, SplitArg};
use crate::fetching::fetcher;

/// Where data comes from, resolved: enough to open it again from anywhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DataSettings {
    pub(crate) data: String,
    pub(crate) taxonomy: Taxonomy,
    pub(crate) text_column: String,
    pub(crate) labels_column: String,
    pub(crate) label_separator: String,
    pub(crate) skip_bad_rows: bool,
    /// Of files without a byte order mark, where it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encoding: Option<Encoding>,
    /// Of the train rows, what is held out as dev.
    #[serde(default, skip_serializing_if = "is_default")]
    dev_share: f64,
    /// The names of the labels, where they are given or were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    /// How rows of all splits have them, where it is told, or numbers are no ids.
    #[serde(default, skip_serializing_if = "is_default")]
    label_format: LabelFormat,
    /// How the rows of train had them, which settles what could be either in others.
    #[serde(default, skip_serializing_if = "is_default")]
    train_label_format: LabelFormat,
    /// What gave them, for hints.
    #[serde(skip, default = "settings_of_a_run")]
    labels_source: String,
    /// Who gave them; `None` in settings of runs, which had GoEmotions' where they name none.
    #[serde(skip)]
    role: Option<ListRole>,
}

/// Whether settings say it by saying nothing.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What names the labels of settings that were saved.
fn settings_of_a_run() -> String {
    "the run's settings".to_owned()
}

impl DataSettings {
    pub(crate) fn new(args: &DatasetArgs, taxonomy: Taxonomy) -> anyhow::Result<Self> {
        let list = match args.reading.labels.as_deref() {
            Some(name) if name == Path::new("goemotions") => Some(LabelList::goemotions()),
            argument => argument.map(LabelList::of_argument).transpose()?,
        };
        let settings = Self {
            text_column: args.reading.text_column.clone(),
            labels_column: args.reading.labels_column.clone(),
            label_separator: args.reading.label_separator.clone(),
            skip_bad_rows: args.reading.skip_bad_rows,
            encoding: args.reading.encoding.map(Encoding::from),
            dev_share: args.reading.dev_share,
            label_format: args.reading.label_format.into(),
            ..Self::named(&args.data, taxonomy)
        };
        Ok(match list {
            Some(list) => settings.with_labels(list),
            None => settings,
        })
    }

    /// The same data read in these labels.
    pub(crate) fn with_labels(self, list: LabelList) -> Self {
        let labels = Some(list.labels.names().to_vec());
        Self { labels, labels_source: list.source, role: Some(list.role), ..self }
    }

    /// Whether it is clear which labels the data has: they are given, or lie beside it, or are the dataset's
    /// own.
    pub(crate) fn has_labels(&self) -> bool {
        self.labels.is_some() || self.is_bundled() || label_file(Path::new(&self.data)).is_some()
    }

    /// Whether the data was taken for one with GoEmotions' names, without a word of its user.
    pub(crate) fn names_goemotions(&self) -> bool {
        self.role == Some(ListRole::Names)
    }

    /// Whether the data is one of those that have a name.
    fn is_bundled(&self) -> bool {
        ["sample", "goemotions"].contains(&self.data.as_str())
    }

    /// The same data as it was read: with the labels and their form that were found. Other splits may have another
    /// form, where the labels are enough to tell it.
    pub(crate) fn with_reading(self, reading: &LabelReading) -> Self {
        if self.is_bundled() {
            return self;
        }
        // Labels of settings have ids; those that were collected must not.
        let is_free = reading.has_ids && (!reading.collected || reading.format == LabelFormat::Ids);
        let label_format = match self.label_format {
            LabelFormat::Auto if !is_free => reading.format,
            told => told,
        };
        let train_label_format = match label_format {
            LabelFormat::Auto => reading.format,
            _ => LabelFormat::Auto,
        };
        Self { labels: Some(reading.labels.clone()), label_format, train_label_format, ..self }
    }

    /// Says how the labels of a split were read, where that is not of the dataset's name.
    pub(crate) fn tell_labels(&self, split: &Dataset, global: &GlobalArgs) {
        let LabelReading { form, source, collected, labels, warnings, .. } = &split.reading;
        if self.is_bundled() {
            return;
        }
        let form = match form.is_empty() {
            true => "no row has labels".to_owned(),
            false => format!("labels as {form}"),
        };
        let from = if *collected { "collected from" } else { "of" };
        let count = labels.len();
        let shown = if labels == split.labels.names() { shown(split) } else { labels.join(", ") };
        let shown = one_line(&shown);
        global.say(&format!("{form}; {count} {from} {source}: {shown}"));
        warnings.iter().for_each(|warning| global.warn(warning));
    }

    /// A dataset read with the defaults of all other settings.
    pub(crate) fn named(data: &str, taxonomy: Taxonomy) -> Self {
        Self {
            data: absolute(data),
            taxonomy,
            text_column: "text".to_owned(),
            labels_column: "labels".to_owned(),
            label_separator: ",".to_owned(),
            skip_bad_rows: false,
            encoding: None,
            dev_share: 0.0,
            labels: None,
            label_format: LabelFormat::Auto,
            train_label_format: LabelFormat::Auto,
            labels_source: settings_of_a_run(),
            role: Some(ListRole::Given),
        }
    }

    /// Opens the splits that are wanted.
    pub(crate) fn open(&self, global: &GlobalArgs, wanted: Wanted) -> anyhow::Result<Splits> {
        let labels = self.labels.as_ref().map(LabelSet::new).transpose()?;
        let source = self.labels_source.clone();
        let role = self.role.unwrap_or(ListRole::Given);
        let labels = labels.map(|labels| LabelList { labels, source, role });
        let is_of_older_run = self.role.is_none() && !self.has_labels();
        let labels = labels.or_else(|| is_of_older_run.then(LabelList::goemotions_names));
        let options = ReadOptions {
            text_column: self.text_column.clone(),
            labels_column: self.labels_column.clone(),
            label_separator: self.label_separator.clone(),
            labels,
            label_format: self.label_format,
            leaning: self.train_label_format,
            skip_bad_rows: self.skip_bad_rows,
            encoding: self.encoding,
        };
        let goemotions = goemotions_source(global)?;
        let (data, dev_share) = (self.data.clone(), self.dev_share);
        let source = DataSource { data, options, goemotions, wanted, dev_share };
        let splits = open(&source)?.with_taxonomy(self.taxonomy)?;
        tell_unused(&splits.unused, global);
        splits.named().for_each(|(_, split)| tell_bad_rows(split, global));
        Ok(splits)
    }

    /// Whether both have the same rows in the same splits, as far as names tell.
    pub(crate) fn has_rows_of(&self, other: &Self) -> bool {
        self.data == other.data && self.dev_share == other.dev_share
    }

    /// Whether the data is one split that stands for any: a file of which nothing is held out.
    pub(crate) fn is_lone(&self) -> bool {
        self.dev_share == 0.0 && Path::new(&self.data).is_file()
    }

    /// The split asked for.
    pub(crate) fn choose(
        &self,
        splits: Splits,
        split: SplitArg,
    ) -> anyhow::Result<(String, Dataset)> {
        let data = &self.data;
        if self.is_lone() {
            let stem = Path::new(data).file_stem().unwrap_or_default();
            let split = splits.train.with_context(|| format!("{data:?} has no rows"))?;
            return Ok((stem.to_string_lossy().into_owned(), split));
        }
        let (name, chosen) = match split {
            SplitArg::Train => ("train", splits.train),
            SplitArg::Dev => ("dev", splits.dev),
            SplitArg::Test => ("test", splits.test),
        };
        match chosen {
            Some(chosen) => Ok((name.to_owned(), chosen)),
            None => bail!("{data:?} has no {name} split"),
        }
    }

    /// A short name for folders and cards: `sample`, `goemotions`, or the file's own.
    pub(crate) fn name(&self) -> String {
        let stem = Path::new(&self.data).file_stem();
        stem.map_or_else(|| "data".to_owned(), |stem| stem.to_string_lossy().into_owned())
    }
}

pub(crate) fn goemotions_source(global: &GlobalArgs) -> anyhow::Result<goemotions::Source> {
    let cache = tinymood_hub::cache_folder(global.cache_dir.as_deref())?;
    let (home, fetcher) = (goemotions::HOME.to_owned(), fetcher(global));
    Ok(goemotions::Source { cache, offline: global.offline, home, fetcher })
}

/// A path that holds from any folder; names stay names.
fn absolute(data: &str) -> String {
    match std::path::absolute(data) {
        Ok(path) if Path::new(data).exists() && !["sample", "goemotions"].contains(&data) => {
            path.to_string_lossy().into_owned()
        }
        _ => data.to_owned(),
    }
}

impl From<SplitArg> for Wanted {
    fn from(split: SplitArg) -> Self {
        match split {
            SplitArg::Train => Self::TRAIN,
            SplitArg::Dev => Self::DEV,
            SplitArg::Test => Self::TEST,
        }
    }
}

/// The names of a split's labels, with their rows where they were collected and are few.
fn shown(split: &Dataset) -> String {
    const SHOWN: usize = 30;
    let labels = &split.labels;
    if !split.reading.collected || labels.len() > SHOWN {
        return labels.first_names();
    }
    let rows = |label: usize| split.examples.iter().filter(|row| row.targets[label] > 0.0).count();
    let names = labels.names().iter().enumerate();
    names
        .map(|(label, name)| format!("{} ({})", one_line(name), rows(label)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Lists the files that were not looked into.
fn tell_unused(paths: &[PathBuf], global: &GlobalArgs) {
    if !paths.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        global.warn(&format!(
            "not read, since their names are of no split (train, dev, test) or of no format that is read \
             (.tsv, .csv, .json, .jsonl): {}",
            names.join(", ")
        ));
    }
}

/// Lists the malformed rows that were passed over.
fn tell_bad_rows(split: &Dataset, global: &GlobalArgs) {
    const SHOWN: usize = 10;
    let count = split.bad_rows.len();
    if count == 0 {
        return;
    }
    let plural = if count == 1 { "row" } else { "rows" };
    let mut lines =
        vec![format!("{count} malformed {plural} of {} passed over:", split.path.display())];
    lines.extend(split.bad_rows.iter().take(SHOWN).map(|row| format!("  {row}")));
    if count > SHOWN {
        lines.push(format!("  and {} more", count - SHOWN));
    }
    global.warn(&lines.join("\n"));
}
