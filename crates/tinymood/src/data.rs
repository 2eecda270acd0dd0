//! A dataset's arguments to splits.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tinymood_core::{LabelSet, Taxonomy};
use tinymood_text::{
    DataSource, Dataset, Encoding, LabelList, ReadOptions, Splits, Wanted, goemotions, open,
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
    /// The names of the labels, where a file gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    /// What gave them, for hints.
    #[serde(skip, default = "settings_of_a_run")]
    labels_source: String,
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
            path => path.map(LabelList::read).transpose()?,
        };
        let settings = Self {
            text_column: args.reading.text_column.clone(),
            labels_column: args.reading.labels_column.clone(),
            label_separator: args.reading.label_separator.clone(),
            skip_bad_rows: args.reading.skip_bad_rows,
            encoding: args.reading.encoding.map(Encoding::from),
            dev_share: args.reading.dev_share,
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
        Self { labels, labels_source: list.source, ..self }
    }

    /// Whether the labels are given.
    pub(crate) fn has_labels(&self) -> bool {
        self.labels.is_some()
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
            labels_source: settings_of_a_run(),
        }
    }

    /// Opens the splits that are wanted.
    pub(crate) fn open(&self, global: &GlobalArgs, wanted: Wanted) -> anyhow::Result<Splits> {
        let labels = self.labels.as_ref().map(LabelSet::new).transpose()?;
        let labels = labels.map(|labels| LabelList { labels, source: self.labels_source.clone() });
        let options = ReadOptions {
            text_column: self.text_column.clone(),
            labels_column: self.labels_column.clone(),
            label_separator: self.label_separator.clone(),
            labels,
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

/// Lists the files that were not looked into.
fn tell_unused(paths: &[PathBuf], global: &GlobalArgs) {
    if !paths.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        global.warn(&format!(
            "not read, since their names are of no split (train, dev, test): {}",
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
