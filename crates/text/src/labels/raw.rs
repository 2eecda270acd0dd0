//! Labels as a row has them, before its file says what they mean.

use crate::{LabelList, RowProblem};

/// The labels of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RawLabels {
    /// Names, ids, or the numbers of a vector.
    Items(Items),
    /// Labels with their soft targets.
    Weights(Vec<(String, f32)>),
    /// A target for each label of the list; (C).
    Targets(Vec<f32>),
}

/// Where the labels of a row stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemSource {
    /// In a cell, between separators.
    Cell,
    /// In a list, printed or of JSON.
    List,
}

/// The labels of a row in one string: rows are all kept until the last one is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Items {
    text: Box<str>,
    /// Where each item ends in the text.
    ends: Box<[usize]>,
    pub(crate) source: ItemSource,
    /// Whether a comment's id of GoEmotions stands beside them, which makes numbers GoEmotions' ids.
    pub(crate) is_published: bool,
}

impl Items {
    pub(crate) fn new<S: AsRef<str>>(
        items: impl IntoIterator<Item = S>,
        source: ItemSource,
    ) -> Self {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for item in items {
            text.push_str(item.as_ref().trim());
            ends.push(text.len());
        }
        let (text, ends) = (text.into(), ends.into());
        Self { text, ends, source, is_published: false }
    }

    /// Those of a list of JSON.
    pub(crate) fn of_list<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::new(items, ItemSource::List)
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }

    /// For messages: `[0, 1, 0, 0]`, cut where it is long.
    pub(crate) fn shown(&self) -> String {
        let first: Vec<String> =
            self.iter().take(8).map(|item| item.chars().take(40).collect()).collect();
        let more = if self.len() > 8 { ", ..." } else { "" };
        format!("[{}{more}]", first.join(", "))
    }
}

/// How a cell of labels is written.
#[derive(Clone, Copy)]
pub(crate) struct CellForm<'a> {
    /// What stands between labels, unless it is empty.
    pub(crate) separator: &'a str,
    /// Labels that are known, whose names may begin with a bracket.
    pub(crate) list: Option<&'a LabelList>,
}

impl CellForm<'_> {
    /// The labels of a cell: a printed list, tuple, set or dictionary, or labels between separators, none when
    /// it is blank. One separator at the end, as many programs write it, separates nothing.
    ///
    /// # Errors
    /// When a dictionary has other values than numbers from 0 to 1, or something else is printed.
    pub(crate) fn parse(self, cell: &str) -> Result<RawLabels, RowProblem> {
        let cell = cell.trim();
        let structure = || RowProblem::Structure { found: cell.chars().take(60).collect() };
        let list = |inside: &str| {
            let items = printed(inside).ok_or_else(structure)?;
            Ok(RawLabels::Items(Items::of_list(items)))
        };
        match self.called(cell) {
            Some(("set" | "frozenset" | "list" | "tuple" | "dict", "")) => return list(""),
            Some(("set" | "frozenset" | "list" | "tuple", inside)) => {
                // In Python, set(['joy']) is {'joy'}, and so on; a dictionary's keys are none that is printed.
                return match self.parse(inside)? {
                    RawLabels::Items(items) if items.source == ItemSource::List => {
                        Ok(RawLabels::Items(items))
                    }
                    _ => Err(structure()),
                };
            }
            Some(_) => return Err(structure()),
            None => {}
        }
        if let Some(inside) = self.inside(cell, '[', ']') {
            return list(inside);
        }
        // A single word in parentheses is no tuple: Python prints (0,).
        let tuple = self
            .inside(cell, '(', ')')
            .filter(|tuple| tuple.contains(',') || tuple.trim().is_empty());
        if let Some(tuple) = tuple {
            return list(tuple);
        }
        if let Some(inside) = self.inside(cell, '{', '}') {
            return match pairs(inside) {
                Some(pairs) if pairs.iter().any(|(_, value)| is_printed(value)) => Err(structure()),
                Some(pairs) => {
                    let weight = |(label, value): (String, &str)| {
                        let target = soft_target(value, &label)?;
                        Ok((label, target))
                    };
                    pairs.into_iter().map(weight).collect::<Result<_, _>>().map(RawLabels::Weights)
                }
                None => list(inside),
            };
        }
        let items: Vec<&str> = match (cell.is_empty(), self.separator.is_empty()) {
            (true, _) => Vec::new(),
            (_, true) => vec![cell],
            (_, false) => {
                let mut items: Vec<&str> = cell.split(self.separator).collect();
                items.pop_if(|last| last.trim().is_empty());
                match items.is_empty() {
                    true => vec![cell], // a separator alone
                    false => items,
                }
            }
        };
        Ok(RawLabels::Items(Items::new(items, ItemSource::Cell)))
    }

    /// The name and the inside of what Python prints as a call, `set()` or `frozenset({'joy'})`, unless a label is so
    /// named.
    fn called(self, cell: &str) -> Option<(&str, &str)> {
        let (name, inside) = cell.strip_suffix(')')?.split_once('(')?;
        let is_name = name.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
        let is_value = inside.trim().is_empty() || is_printed(inside);
        let is_listed = self.list.is_some_and(|list| list.labels.index_of(cell).is_some());
        (is_name && is_value && !is_listed).then_some((name, inside.trim()))
    }

    /// What stands between two brackets, unless the name of a label begins so.
    fn inside(self, cell: &str, open: char, close: char) -> Option<&str> {
        let inside = cell.strip_prefix(open)?.strip_suffix(close)?;
        let mut names = self.list.into_iter().flat_map(|list| list.labels.names());
        (!names.any(|name| name.starts_with(open))).then_some(inside)
    }
}

/// Whether something begins with a bracket, or a quote, as values of lists and calls do.
fn is_printed(value: &str) -> bool {
    value.trim_start().starts_with(['[', '{', '(', '\'', '"'])
}

/// What stands in a list as Python, NumPy or JSON print it, between commas or white space: `2 14`,
/// `'joy', "it's"`, `np.int64(0), np.int64(1)`. `None` if there are lists or dictionaries in it.
fn printed(list: &str) -> Option<Vec<String>> {
    let apart = |c: char| c == ',' || c.is_whitespace();
    let mut items = Vec::new();
    let mut rest = list.trim_start_matches(apart);
    while !rest.is_empty() {
        let (item, after) = match quoted(rest).or_else(|| scalar(rest)) {
            Some(value) => value,
            None => {
                let (item, after) = rest.split_at(rest.find(apart).unwrap_or(rest.len()));
                if item.contains(['[', ']', '{', '}']) {
                    return None;
                }
                (item.to_owned(), after)
            }
        };
        if after.trim_start().starts_with(':') {
            return None;
        }
        items.push(item);
        rest = after.trim_start_matches(apart);
    }
    Some(items)
}

/// The value of a scalar that a text begins with as NumPy 2 prints it, and what follows it:
/// `np.str_('joy')`, `np.int64(1)`.
fn scalar(text: &str) -> Option<(String, &str)> {
    let (kind, rest) = text.strip_prefix("np.")?.split_once('(')?;
    let is_kind = kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let (value, rest) = match quoted(rest) {
        Some(quoted) => quoted,
        None => {
            let (value, rest) = rest.split_at(rest.find(')')?);
            (value.to_owned(), rest)
        }
    };
    Some((value, rest.strip_prefix(')')?)).filter(|_| is_kind)
}

/// The pairs of a dictionary as Python or JSON print it; `None` where it is a set.
fn pairs(inside: &str) -> Option<Vec<(String, &str)>> {
    let mut pairs = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let (label, after) = match quoted(rest) {
            Some((label, after)) => (label, after.trim_start().strip_prefix(':')?),
            None => rest.split_once(':').map(|(label, after)| (label.trim().to_owned(), after))?,
        };
        let (value, after) = after.split_once(',').unwrap_or((after, ""));
        pairs.push((label, value.trim()));
        rest = after.trim_start();
    }
    (!pairs.is_empty()).then_some(pairs)
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

/// A soft target: a number, with a comma too, or what pandas writes of booleans.
///
/// # Errors
/// When it is none, or not from 0 to 1; an empty cell and NaN are none.
pub(crate) fn soft_target(cell: &str, label: &str) -> Result<f32, RowProblem> {
    let number = match cell.trim().to_lowercase().as_str() {
        "true" => Some(1.0),
        "false" => Some(0.0),
        number => number.replace(',', ".").parse::<f32>().ok(),
    };
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| RowProblem::Target {
        label: label.to_owned(),
        found: cell.chars().take(40).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_they_were_printed() {
        let form = CellForm { separator: ",", list: None };
        let items = |cell: &str| match form.parse(cell) {
            Ok(RawLabels::Items(items)) => items.iter().map(str::to_owned).collect::<Vec<_>>(),
            other => panic!("{cell}: {other:?}"),
        };
        for (cell, expected) in [
            ("", vec![]),
            (" [] ", vec![]),
            ("joy", vec!["joy"]),
            ("joy, love,", vec!["joy", "love"]),
            (",", vec![""]),
            ("joy,,", vec!["joy", ""]),
            ("(0, 1, 0)", vec!["0", "1", "0"]),
            ("(0,)", vec!["0"]),
            ("(none)", vec!["(none)"]),
            ("[0. 1. 0.]", vec!["0.", "1.", "0."]),
            ("[np.int64(0), np.float64(0.5)]", vec!["0", "0.5"]),
            ("[np.str_('very, sad'), np.str_(\"it's\")]", vec!["very, sad", "it's"]),
            ("{'joy', 'love'}", vec!["joy", "love"]),
            ("set()", vec![]),
            ("frozenset()", vec![]),
            ("()", vec![]),
            ("frozenset({'joy', 'love'})", vec!["joy", "love"]),
            ("set(['joy'])", vec!["joy"]),
            ("anger(mild)", vec!["anger(mild)"]),
            ("anger (mild)", vec!["anger (mild)"]),
        ] {
            assert_eq!(items(cell), expected, "{cell}");
        }
        let expected = vec![("joy".to_owned(), 0.5), ("a: b".to_owned(), 1.0)];
        for cell in ["{'joy': 0.5, 'a: b': True}", "{\"joy\":0.5,\"a: b\":1.0}"] {
            assert_eq!(form.parse(cell), Ok(RawLabels::Weights(expected.clone())), "{cell}");
        }
        for cell in [
            "{'joy': 'much'}",
            r#"{"choices":["joy","anger"]}"#,
            r#"{"choices":["joy"]}"#,
            "[{'label': 'joy', 'score': 0.9}]",
            "[['joy'], ['anger']]",
            "array([0, 1])",
            "Counter({'joy': 2})",
            "Index(['joy'], dtype='object')",
        ] {
            let problem = form.parse(cell).unwrap_err();
            assert!(matches!(problem, RowProblem::Structure { .. }), "{cell}: {problem}");
        }
    }
}
