//! Names to a label set, where no list is given: those that the rows of a file have, sorted.

use std::collections::BTreeMap;

use tinymood_core::{LabelError, LabelSet};

use super::decide::LabelRow;
use super::raw::{ItemSource, Items, RawLabels};
use super::{is_missing, is_number};
use crate::column_names::is_no_label;

/// More different names are texts, or ids of rows.
const MAX_LABELS: usize = 1000;
/// From so many different names on, most of them must stand in more than one row.
const FEW_LABELS: usize = 50;
/// A name that is one edit from another one so many times as frequent may be misspelt.
const MISSPELT: usize = 20;

/// The names of a file's labels and how many rows have each.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By the name in lower case: each spelling and its rows.
    spellings: BTreeMap<String, BTreeMap<String, usize>>,
}

/// Why names are not taken for labels: what was found, and what to do.
pub(super) struct Refused {
    pub(super) found: String,
    pub(super) hint: String,
}

impl Names {
    /// Those of all rows that have nothing else: numbers say nothing by themselves unless `has_numbers`.
    pub(super) fn of(rows: &[LabelRow], has_numbers: bool) -> Self {
        let mut names = Self::default();
        for labels in rows.iter().filter_map(LabelRow::labels) {
            let items: Vec<&str> = match labels {
                RawLabels::Items(items) => items.iter().collect(),
                RawLabels::Weights(weights) => {
                    weights.iter().map(|(label, _)| label.trim()).collect()
                }
                RawLabels::Targets(_) => continue,
            };
            if items.iter().all(|item| is_name(item, has_numbers)) {
                items.into_iter().for_each(|item| names.add(item));
            }
        }
        names
    }

    fn add(&mut self, name: &str) {
        let spellings = self.spellings.entry(name.to_lowercase()).or_default();
        *spellings.entry(name.to_owned()).or_default() += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spellings.is_empty()
    }

    /// Each name in its most frequent spelling, and how many rows have it; sorted.
    pub(super) fn counts(&self) -> BTreeMap<&str, usize> {
        let count = |spellings: &'_ BTreeMap<String, usize>| spellings.values().sum();
        let name = |spellings| -> Option<(&str, usize)> {
            let most = most_frequent(spellings)?;
            Some((most, count(spellings)))
        };
        self.spellings.values().filter_map(name).collect()
    }

    /// The names as a label set: sorted by code point, as scikit-learn's `MultiLabelBinarizer` does, or in
    /// GoEmotions' order where they are its 28.
    ///
    /// # Errors
    /// When there are none.
    pub(super) fn label_set(&self) -> Result<LabelSet, LabelError> {
        let labels = LabelSet::new(self.counts().keys())?;
        let goemotions = LabelSet::goemotions();
        let is_known = |name: &String| goemotions.index_of(name).is_some();
        match labels.len() == goemotions.len() && labels.names().iter().all(is_known) {
            true => Ok(goemotions),
            false => Ok(labels),
        }
    }

    /// Those that `labels` lacks.
    pub(super) fn beyond(&self, labels: &LabelSet) -> Vec<&str> {
        self.counts().into_keys().filter(|name| labels.index_of(name).is_none()).collect()
    }

    /// Refuses what is hardly a set of labels: texts, or several labels in one.
    pub(super) fn check(&self, rows: &[LabelRow], separator: &str) -> Result<(), Refused> {
        self.check_first_line(rows)?;
        self.check_structure()?;
        self.check_separator(rows, separator)?;
        let different = self.spellings.len();
        let mentions: usize = self.spellings.values().flat_map(BTreeMap::values).sum();
        let are_texts = different > FEW_LABELS && 2 * different > mentions;
        if different > MAX_LABELS || are_texts {
            return Err(Refused {
                found: format!("{different} different labels in {mentions} mentions"),
                hint: "name the column that has the labels: --labels-column NAME; if these are labels, \
                       list them, one a line: --labels FILE, or a labels.txt in the data's folder"
                    .to_owned(),
            });
        }
        Ok(())
    }

    /// Refuses a first line that names columns, where a table without a header was expected.
    fn check_first_line(&self, rows: &[LabelRow]) -> Result<(), Refused> {
        let Some(LabelRow { line: 1, row: Ok((text, RawLabels::Items(items))) }) = rows.first()
        else {
            return Ok(());
        };
        let label = items.iter().next().unwrap_or_default();
        let is_column = items.len() == 1
            && items.source == ItemSource::Cell
            && is_no_label(&label.to_lowercase())
            && !text.contains(char::is_whitespace)
            && self.counts().get(label) == Some(&1);
        if is_column && rows.len() > 1 {
            return Err(Refused {
                found: format!(
                    "{text:?} and {label:?} on its first line, which seem to name columns"
                ),
                hint: format!(
                    "if so, name them: --text-column {text:?} --labels-column {label:?}; if they are a text and \
                     its label, list all labels: --labels FILE"
                ),
            });
        }
        Ok(())
    }

    /// Refuses names that are parts of something printed, as `["joy"` or `"score": 0.5`, or several names in one:
    /// lines, `#joy #love`.
    fn check_structure(&self) -> Result<(), Refused> {
        let is_part = |name: &&str| {
            let is_in = |quote| name.len() > 1 && name.starts_with(quote) && name.ends_with(quote);
            let count = |mark| name.matches(mark).count();
            let has_letters = name.contains(char::is_alphanumeric); // ":(" is a name
            let are_marked =
                |mark| count(' ') > 0 && name.split_whitespace().all(|word| word.starts_with(mark));
            name.contains(['[', ']', '{', '}'])
                || name.contains(|c: char| c.is_control() && c != '\t')
                || ["\":", "':"].into_iter().any(|colon| name.contains(colon))
                || is_in('"')
                || is_in('\'')
                || has_letters && count('(') != count(')')
                || are_marked("#")
                || are_marked("__label__")
        };
        match self.counts().into_keys().find(is_part) {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().take(60).collect();
                let hint = "write joy,anger, ['joy', 'anger'] or {'joy': 0.5, 'anger': 1}; if this is one label, \
                            list all labels, one a line: --labels FILE, or a labels.txt in the data's folder";
                Err(Refused { found: format!("the label {name:?}"), hint: hint.to_owned() })
            }
        }
    }

    /// Refuses names in which there are other separators than the one that is given, and names made of
    /// others, between blanks or slashes.
    fn check_separator(&self, rows: &[LabelRow], separator: &str) -> Result<(), Refused> {
        let is_made_of_names = |item: &str, apart: &str| {
            let mut parts = item.split(apart);
            parts.clone().count() > 1
                && parts.all(|part| self.spellings.contains_key(&part.trim().to_lowercase()))
        };
        for (line, item) in rows.iter().flat_map(cell_items) {
            let other = ["|", ";", ",", "\t", " ", "/", "+", "&"].into_iter().find(|&other| {
                let always = matches!(other, "|" | ";" | "," | "\t");
                other != separator
                    && item.contains(other)
                    && (always || is_made_of_names(item, other))
            });
            if let Some(other) = other {
                let item: String = item.chars().take(60).collect();
                return Err(Refused {
                    found: format!("the label {item:?} on line {line}, with {other:?} in it"),
                    hint: format!(
                        "if {other:?} separates labels: --label-separator {other:?}; if this is one label, list \
                         all labels, one a line: --labels FILE, or a labels.txt in the data's folder"
                    ),
                });
            }
        }
        Ok(())
    }

    /// Rare names that are one edit away from a frequent one, for warnings.
    pub(super) fn misspelt(&self) -> Vec<String> {
        let counts = self.counts();
        let mut warnings = Vec::new();
        for (rare, &few) in &counts {
            let is_likely = |(name, many): &(&&str, &usize)| {
                few * MISSPELT <= **many && rare.chars().count() > 3 && is_one_edit(rare, name)
            };
            if let Some((name, many)) = counts.iter().find(is_likely) {
                warnings.push(format!(
                    "the label {rare:?} ({}) may be {name:?} ({}), misspelt",
                    in_rows(few),
                    in_rows(*many)
                ));
            }
        }
        warnings
    }
}

/// `1 row`, `20 rows`.
fn in_rows(count: usize) -> String {
    format!("{count} row{}", if count == 1 { "" } else { "s" })
}

fn most_frequent(spellings: &BTreeMap<String, usize>) -> Option<&str> {
    // Of equals the last one: small letters come behind capitals.
    spellings.iter().max_by_key(|(_, count)| **count).map(|(name, _)| name.as_str())
}

/// Whether an item can be the name of a label where nothing says which there are.
pub(super) fn is_name(item: &str, has_numbers: bool) -> bool {
    let says_nothing = is_number(item) || is_truth_value(item);
    !item.is_empty() && !is_missing(item) && (has_numbers || !says_nothing)
}

/// Whether an item is `true` or `false` of Python, JSON or a spreadsheet.
pub(super) fn is_truth_value(item: &str) -> bool {
    item.eq_ignore_ascii_case("true") || item.eq_ignore_ascii_case("false")
}

/// The items of a row that stood between separators, each with the row's line.
fn cell_items(row: &LabelRow) -> impl Iterator<Item = (u64, &str)> {
    let items = match row.labels() {
        Some(RawLabels::Items(items)) if items.source == ItemSource::Cell => Some(items),
        _ => None,
    };
    let line = row.line;
    items.into_iter().flat_map(Items::iter).map(move |item| (line, item))
}

/// Whether one character that is added, left out or replaced makes `a` of `b`.
fn is_one_edit(a: &str, b: &str) -> bool {
    let [a, b] = [a, b].map(|name| name.to_lowercase().chars().collect::<Vec<_>>());
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let same = short.iter().zip(&long).take_while(|(x, y)| x == y).count();
    match long.len() - short.len() {
        0 => same < long.len() && short[same + 1..] == long[same + 1..],
        1 => short[same..] == long[same + 1..],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_edit_is_one_character() {
        for (a, b, expected) in [
            ("joy", "joy", false),
            ("joy", "Joys", true),
            ("anger", "angr", true),
            ("anger", "angel", true),
            ("anger", "angle", false),
            ("", "ab", false),
        ] {
            assert_eq!(is_one_edit(a, b), expected, "{a} {b}");
            assert_eq!(is_one_edit(b, a), expected, "{b} {a}");
        }
    }
}
