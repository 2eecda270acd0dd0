//! Which labels a file may name, who says so, and in which form its rows have them.
//!
//! A number is a label only where a list gives it a meaning, or in a row as GoEmotions publishes it.
//! Elsewhere it may count stars, or say no and yes, and a model would learn emotions from that.
//!
//! ```text
//! raw      a cell or a JSON value to labels as they are written
//! collect  names to a label set, where no list is given
//! file     a file of names to a label set
//! decide   names, ids or multi-hot vectors: one form for a whole file; rows to targets
//! ```

mod collect;
mod decide;
mod file;
mod raw;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tinymood_core::{LabelSet, Taxonomy};

pub(crate) use self::decide::{Decision, LabelRow, columns_hint};
pub(crate) use self::raw::{CellForm, ItemSource, Items, RawLabels, soft_target};
use crate::DataError;
use crate::readers::{decoded, open_file};

/// Larger files list no labels.
const MAX_LIST: u64 = 1 << 20;

/// Who gives a list of labels, and so what else rows may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListRole {
    /// The user: the list is complete, and numbers are its ids.
    Given,
    /// Rows or files that only name labels: the list is complete, and numbers are no ids.
    Names,
    /// A model: as [`ListRole::Given`], unless its labels are GoEmotions'. A file as GoEmotions is published
    /// has GoEmotions' labels.
    Model,
    /// The model that training starts from: as [`ListRole::Model`], but rows may name further labels.
    Start,
}

/// Labels that are given, in the order of their ids.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelList {
    /// The labels.
    pub labels: LabelSet,
    /// What names them, as hints say it: `data/labels.txt`, `the model`.
    pub source: String,
    /// Who gives them.
    pub role: ListRole,
}

impl LabelList {
    /// GoEmotions' own, with their ids.
    pub fn goemotions() -> Self {
        let source = "GoEmotions".to_owned();
        Self { labels: LabelSet::goemotions(), source, role: ListRole::Given }
    }

    /// GoEmotions' own names: numbers are no ids.
    pub fn goemotions_names() -> Self {
        Self { role: ListRole::Names, ..Self::goemotions() }
    }

    /// Reads a file of label names: one a line, quoted or not; a JSON list; or `0,joy` or `0<TAB>joy`, counted
    /// from 0. Blank lines are passed over.
    ///
    /// # Errors
    /// When it cannot be read, a line is hardly a name, or the names make no label set.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let mut text = String::new();
        let limited = open_file(path)?.take(MAX_LIST + 1); // a device never ends
        let read = decoded(limited).and_then(|mut file| file.read_to_string(&mut text));
        read.map_err(DataError::io(path))?;
        if text.len() as u64 > MAX_LIST {
            let problem = format!("larger than {MAX_LIST} bytes, which no list of labels is");
            return Err(DataError::io(path)(io::Error::other(problem)));
        }
        let labels = LabelSet::new(file::names(&text, path)?)
            .map_err(|source| DataError::Labels { path: path.to_owned(), source })?;
        Ok(Self { labels, source: path.display().to_string(), role: ListRole::Given })
    }

    /// Reads what `--labels` names: a file, else names between commas, as `joy,anger` or `toxic,`.
    ///
    /// # Errors
    /// As [`LabelList::read`].
    pub fn of_argument(argument: &Path) -> Result<Self, DataError> {
        if argument.exists() {
            return Self::read(argument);
        }
        let is_path = |names: &&str| names.contains(['/', '\\']) || names.ends_with(".txt");
        let names = argument.to_str().filter(|names| names.contains(',') && !is_path(names));
        let Some(names) = names else {
            let problem = "there is no such file; for names of labels, write commas between them \
                           (joy,anger), and one behind a single name (toxic,)";
            let source = io::Error::new(io::ErrorKind::NotFound, problem);
            return Err(DataError::io(argument)(source));
        };
        let names = names.trim().strip_suffix(',').unwrap_or(names).split(',');
        let labels = LabelSet::new(names)
            .map_err(|source| DataError::Labels { path: argument.to_owned(), source })?;
        Ok(Self { labels, source: "--labels".to_owned(), role: ListRole::Given })
    }

    /// Whether numbers are ids of this list.
    pub(crate) fn has_ids(&self) -> bool {
        match self.role {
            ListRole::Given => true,
            ListRole::Names => false,
            ListRole::Model | ListRole::Start => !is_view_of_goemotions(&self.labels),
        }
    }
}

/// Whether labels are GoEmotions', or groups of them: stars from 1 to 5 are then no ids.
fn is_view_of_goemotions(labels: &LabelSet) -> bool {
    let all = LabelSet::goemotions();
    let mut views = [Taxonomy::Original, Taxonomy::Ekman, Taxonomy::Sentiment].into_iter();
    views.any(|taxonomy| taxonomy.map(&all).is_ok_and(|map| map.groups == *labels))
}

/// The list of labels in the folder of `data`, a folder or a file: `labels.txt` or `emotions.txt`.
pub fn label_file(data: &Path) -> Option<PathBuf> {
    let folder = match data.is_file() {
        true => data.parent()?,
        false => data,
    };
    let candidates = ["labels.txt", "emotions.txt"].map(|name| folder.join(name));
    // What is there and cannot be read is found, too: reading it says why.
    let is_there = |path: &PathBuf| tinymood_files::is_there(path).unwrap_or(true);
    candidates.into_iter().find(|path| path != data && is_there(path))
}

/// How labels are written in the rows of a file that have them in one cell or list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelFormat {
    /// As the file's rows say; refused where they say two things.
    #[default]
    Auto,
    /// Names; a number is the name that is so written.
    Names,
    /// Ids, or names that are no numbers.
    Ids,
    /// One number from 0 to 1 for each label, in the order of the list.
    MultiHot,
}

impl LabelFormat {
    /// As `--label-format` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Names => "names",
            Self::Ids => "ids",
            Self::MultiHot => "multi-hot",
        }
    }
}

/// How the labels of a dataset were read: enough to read them so again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelReading {
    /// The form that was found; [`LabelFormat::Auto`] where no row has labels in one cell or list.
    pub format: LabelFormat,
    /// In words: `names`, `ids`, `multi-hot vectors of 4`, `one column each`.
    pub form: String,
    /// What names the labels: `data/labels.txt`, or the file they were collected from.
    pub source: String,
    /// Whether they were collected from the rows' own names.
    pub collected: bool,
    /// The labels' names, before any taxonomy.
    pub labels: Vec<String>,
    /// Whether numbers were ids of the labels, where nobody told the form.
    pub has_ids: bool,
    /// What looks like a mistake and is none for certain.
    pub warnings: Vec<String>,
}

/// Whether a label is written in digits, as `4`, `-1`, `4.0` or `4,0`.
fn is_number(label: &str) -> bool {
    let label = without_fraction(label);
    let digits = label.strip_prefix('-').unwrap_or(label);
    digits.starts_with(|first: char| first.is_ascii_digit()) && digits.parse::<f64>().is_ok()
}

/// A whole number without the zeros that pandas writes behind it in a column with gaps: `3.0` is `3`, and so is
/// `3,0`, as much of Europe writes it.
fn without_fraction(label: &str) -> &str {
    let label = label.trim();
    let is_whole = |whole: &str| {
        let digits = whole.strip_prefix('-').unwrap_or(whole);
        !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    };
    match label.split_once(['.', ',']) {
        Some((whole, zeros)) if is_whole(whole) && zeros.bytes().all(|digit| digit == b'0') => {
            whole
        }
        _ => label,
    }
}

/// What pandas reads as a missing value, but for the empty cell.
pub(crate) fn is_missing(cell: &str) -> bool {
    const MISSING: [&str; 18] = [
        "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
        "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
    ];
    MISSING.contains(&cell.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_is_endless() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.txt");
        std::fs::write(&path, "joy\n".repeat(1 << 18) + "anger\n").unwrap();
        let error = LabelList::read(&path).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("larger than"), "{source}");
    }

    #[test]
    fn names_between_commas_are_a_list_unless_a_file_has_that_name() {
        let names = |argument: &Path| {
            LabelList::of_argument(argument).map(|list| list.labels.names().join("|"))
        };
        assert_eq!(names(Path::new("joy, anger")).unwrap(), "joy|anger");
        assert_eq!(names(Path::new("toxic,")).unwrap(), "toxic");
        for wrong in ["joy", "joy,,anger", "joy,Joy", ",", "no/where/a,b", "a,b.txt"] {
            assert!(names(Path::new(wrong)).is_err(), "{wrong}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a,b");
        std::fs::write(&file, "calm\nrage\n").unwrap();
        assert_eq!(names(&file).unwrap(), "calm|rage");
    }

    #[test]
    fn only_zeros_are_cut_off_a_number() {
        for (label, expected) in [
            ("3.0", "3"),
            (" 12. ", "12"),
            ("3.5", "3.5"),
            ("v3.0", "v3.0"),
            ("-1.00", "-1"),
            ("3,0", "3"),
            ("3,5", "3,5"),
        ] {
            assert_eq!(without_fraction(label), expected);
        }
    }
}
