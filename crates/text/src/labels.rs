//! Which labels a file may name, and who says so.
//!
//! A number is a label only where a list gives it a meaning, or in a row as GoEmotions publishes it.
//! Elsewhere it may count stars, or say no and yes, and a model would learn emotions from that.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tinymood_core::{LabelError, LabelSet};

use crate::readers::{decoded, open_file};
use crate::{DataError, ReadOptions, RowProblem};

/// Larger files list no labels.
const MAX_LIST: u64 = 1 << 20;

/// Labels that are given, in the order of their ids.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelList {
    /// The labels.
    pub labels: LabelSet,
    /// What names them, as hints say it: `data/labels.txt`, `the model`.
    pub source: String,
}

impl LabelList {
    /// GoEmotions' own.
    pub fn goemotions() -> Self {
        Self { labels: LabelSet::goemotions(), source: "GoEmotions".to_owned() }
    }

    /// Reads a file of label names, one a line; blank lines are passed over.
    ///
    /// # Errors
    /// When it cannot be read, or the names make no label set.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let mut text = String::new();
        let limited = open_file(path)?.take(MAX_LIST + 1); // a device never ends
        let read = decoded(limited).and_then(|mut file| file.read_to_string(&mut text));
        read.map_err(DataError::io(path))?;
        if text.len() as u64 > MAX_LIST {
            let problem = format!("larger than {MAX_LIST} bytes, which no list of labels is");
            return Err(DataError::io(path)(io::Error::other(problem)));
        }
        let labels = LabelSet::new(text.lines().filter(|line| !line.trim().is_empty()))
            .map_err(|source| DataError::Labels { path: path.to_owned(), source })?;
        Ok(Self { labels, source: path.display().to_string() })
    }
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

/// The labels that the rows of a file may name.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) labels: &'a LabelSet,
    /// What names them; `None` where they are GoEmotions' because nothing does.
    source: Option<&'a str>,
    /// What stands between those of a row.
    separator: &'a str,
    /// Whether numbers are ids.
    has_ids: bool,
}

impl<'a> Known<'a> {
    /// The labels of `options`, else `default`, GoEmotions'.
    pub(crate) fn new(options: &'a ReadOptions, default: &'a LabelSet) -> Self {
        let list = options.labels.as_ref();
        Self {
            labels: list.map_or(default, |list| &list.labels),
            source: list.map(|list| list.source.as_str()),
            separator: &options.label_separator,
            has_ids: list.is_some(),
        }
    }

    /// As they are in a row whose third column holds `id`: that of a comment marks GoEmotions' rows.
    pub(crate) fn beside(self, id: Option<&[u8]>) -> Self {
        Self { has_ids: self.has_ids || id.is_some_and(is_comment_id), ..self }
    }

    /// The index of a label given by name, or by id where these have a meaning.
    pub(crate) fn parse(self, label: &str) -> Result<usize, RowProblem> {
        if !self.has_ids && is_number(label) && self.labels.index_of(label).is_none() {
            return Err(RowProblem::Number { found: label.trim().to_owned() });
        }
        Ok(self.labels.parse(label)?)
    }

    /// The targets of a list of labels; (C).
    pub(crate) fn targets<'b>(
        self,
        list: impl IntoIterator<Item = &'b str>,
    ) -> Result<Vec<f32>, RowProblem> {
        let mut targets = vec![0.0; self.labels.len()];
        for label in list {
            targets[self.parse(label)?] = 1.0;
        }
        Ok(targets)
    }

    /// The targets of a cell: a printed list, or labels between separators, none when it is blank; (C).
    pub(crate) fn targets_of_cell(self, cell: &str) -> Result<Vec<f32>, RowProblem> {
        let list = cell.trim().strip_prefix('[').and_then(|list| list.strip_suffix(']'));
        let is_name = || self.labels.names().iter().any(|name| name.starts_with('['));
        if let Some(list) = list.filter(|_| !is_name()) {
            return self.targets(printed(list).iter().map(String::as_str));
        }
        match (cell.trim().is_empty(), self.separator.is_empty()) {
            (true, _) => self.targets([]),
            (_, true) => self.targets([cell]),
            (_, false) => self.targets(cell.split(self.separator)),
        }
    }

    /// What to do about a label that is none, on a line that may name columns or may not.
    pub(crate) fn hint(self, error: &LabelError, may_be_header: bool) -> String {
        if let LabelError::Unknown { found, .. } = error
            && let Some(separator) = self.other_separator(found)
        {
            return format!(
                "labels seem to stand apart by {separator:?}: --label-separator {separator:?}"
            );
        }
        let header = match may_be_header {
            true => {
                "where this line names columns, name that of the texts: --text-column NAME; else "
            }
            false => "",
        };
        let first = self.labels.first_names();
        match self.source {
            Some(source) => {
                format!(
                    "{header}the labels are those of {source}, {first}: mend the row, or give a list that has it \
                     with --labels FILE"
                )
            }
            None => format!(
                "{header}where no labels are given they are GoEmotions', {first}: list yours, one a line, in a \
                 labels.txt in the data's folder or in --labels FILE"
            ),
        }
    }

    /// What to do about a header without a column of labels and without one of each.
    pub(crate) fn columns_hint(self) -> String {
        let each = match self.source {
            Some(source) => format!("or give each label of {source} a column"),
            None => "where each has a column, list them, one a line, in a labels.txt in the data's folder or \
                     in --labels FILE"
                .to_owned(),
        };
        format!("name the column that has the labels: --labels-column NAME; {each}")
    }

    /// What `found` would have to be split by to be labels, all of them.
    fn other_separator(self, found: &str) -> Option<&'static str> {
        let all_known = |separator: &&str| {
            let mut parts = found.trim().split(*separator);
            found.trim().contains(*separator) && parts.all(|part| self.parse(part).is_ok())
        };
        ["|", ";", ",", " "].into_iter().find(all_known)
    }
}

/// What stands in a list as Python, NumPy or JSON print it, between commas or white space: `2 14`,
/// `'joy', "it's"`.
fn printed(list: &str) -> Vec<String> {
    let apart = |c: char| c == ',' || c.is_whitespace();
    let mut items = Vec::new();
    let mut rest = list.trim_start_matches(apart);
    while !rest.is_empty() {
        let (item, after) = quoted(rest).unwrap_or_else(|| {
            let (item, after) = rest.split_at(rest.find(apart).unwrap_or(rest.len()));
            (item.to_owned(), after)
        });
        items.push(item);
        rest = after.trim_start_matches(apart);
    }
    items
}

/// What stands in the quotes that a text begins with, and what follows them; a backslash makes the next
/// character one like any other.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut characters = text.char_indices();
    let (_, quote) = characters.next().filter(|(_, first)| matches!(first, '\'' | '"'))?;
    let mut inside = String::new();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => inside.push(characters.next()?.1),
            _ if character == quote => return Some((inside, &text[at + quote.len_utf8()..])),
            _ => inside.push(character),
        }
    }
    None
}

/// Whether GoEmotions' comments have such ids: seven digits in base 36, from 2018 and 2019.
fn is_comment_id(cell: &[u8]) -> bool {
    let in_base_36 = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    cell.len() == 7 && cell.starts_with(b"e") && cell.iter().all(in_base_36)
}

/// Whether a label is written in digits, as `4`, `-1` or `4.0`.
fn is_number(label: &str) -> bool {
    let label = label.trim();
    let digits = label.strip_prefix('-').unwrap_or(label);
    digits.starts_with(|first: char| first.is_ascii_digit()) && digits.parse::<f64>().is_ok()
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
}
