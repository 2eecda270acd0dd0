//! Label sets: what a model may answer, in the order of its outputs.

use std::collections::HashMap;

use crate::printable::one_line;

/// The labels of GoEmotions in their official order (index 2 is anger, 3 is annoyance).
///
/// Demszky et al., *GoEmotions: A Dataset of Fine-Grained Emotions*, ACL 2020.
pub const GOEMOTIONS: [&str; 28] = [
    "admiration",
    "amusement",
    "anger",
    "annoyance",
    "approval",
    "caring",
    "confusion",
    "curiosity",
    "desire",
    "disappointment",
    "disapproval",
    "disgust",
    "embarrassment",
    "excitement",
    "fear",
    "gratitude",
    "grief",
    "joy",
    "love",
    "nervousness",
    "optimism",
    "pride",
    "realization",
    "relief",
    "remorse",
    "sadness",
    "surprise",
    "neutral",
];

/// No model has more labels: a larger number is a mistake, or a damaged or hostile file.
pub const MOST_LABELS: usize = 1 << 16;

/// What is wrong with a label or a set of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A set without labels.
    #[error("the label set is empty")]
    Empty,
    /// More labels than a model may have.
    #[error("there are {count} labels, a model has at most {MOST_LABELS}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A label whose name is blank.
    #[error("label {index} has an empty name")]
    Blank {
        /// Its index.
        index: usize,
    },
    /// Two labels of one name.
    #[error("label {name:?} stands twice, at {first} and {second}")]
    Duplicate {
        /// The name.
        name: String,
        /// Index of its first mention.
        first: usize,
        /// Index of its second.
        second: usize,
    },
    /// A name that the set does not hold.
    #[error("unknown label {found:?}{}", suggestion.as_ref().map(|s| format!(", did you mean {s:?}?")).unwrap_or_default())]
    Unknown {
        /// What was given.
        found: String,
        /// The nearest name, if one is near.
        suggestion: Option<String>,
    },
    /// An id past the end of the set.
    #[error("label id {found} is out of range, ids go from 0 to {}", count - 1)]
    OutOfRange {
        /// What was given.
        found: String,
        /// Number of labels.
        count: usize,
    },
}

/// The labels of a model or dataset, in the order of the outputs. `C` is their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSet {
    names: Vec<String>,
    index_by_name: HashMap<String, usize>,
}

impl LabelSet {
    /// A set from names in order; surrounding blanks are cut.
    ///
    /// # Errors
    /// When there are none or more than [`MOST_LABELS`], one is blank, or two are equal but for case.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, LabelError> {
        let names: Vec<String> =
            names.into_iter().map(|name| name.as_ref().trim().to_owned()).collect();
        if names.is_empty() {
            return Err(LabelError::Empty);
        }
        if names.len() > MOST_LABELS {
            return Err(LabelError::TooMany { count: names.len() });
        }
        let mut index_by_name = HashMap::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(LabelError::Blank { index });
            }
            if let Some(first) = index_by_name.insert(name.to_lowercase(), index) {
                let name = name.clone();
                return Err(LabelError::Duplicate { name, first, second: index });
            }
        }
        Ok(Self { names, index_by_name })
    }

    /// The 28 labels of [`GOEMOTIONS`].
    pub fn goemotions() -> Self {
        Self::new(GOEMOTIONS).expect("the constant holds distinct names")
    }

    /// `C`, how many labels there are.
    #[allow(clippy::len_without_is_empty)] // a label set is never empty
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The names in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The first names, for messages, on one line: `joy, anger and 26 more`.
    pub fn first_names(&self) -> String {
        const SHOWN: usize = 6;
        let first = self.names[..self.len().min(SHOWN)].join(", ");
        let first = one_line(&first).into_owned();
        match self.len().saturating_sub(SHOWN) {
            0 => first,
            more => format!("{first} and {more} more"),
        }
    }

    /// The name of label `index`.
    ///
    /// # Panics
    /// When `index` is not below [`LabelSet::len`].
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// The index of a name, whatever its case.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.index_by_name.get(&name.trim().to_lowercase()).copied()
    }

    /// The index of a label given by name or by id. A name wins over an id of the same spelling.
    ///
    /// # Errors
    /// [`LabelError::Unknown`] or [`LabelError::OutOfRange`].
    pub fn parse(&self, label: &str) -> Result<usize, LabelError> {
        let label = label.trim();
        if let Some(index) = self.index_of(label) {
            return Ok(index);
        }
        let found = label.to_owned();
        let digits = label.strip_prefix('-').unwrap_or(label);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return match label.parse::<usize>() {
                Ok(index) if index < self.len() => Ok(index),
                _ => Err(LabelError::OutOfRange { found, count: self.len() }),
            };
        }
        let suggestion = self.nearest(&label.to_lowercase());
        Err(LabelError::Unknown { found, suggestion })
    }

    /// The name within two edits of `label`, nearest first.
    fn nearest(&self, label: &str) -> Option<String> {
        let length = label.chars().count();
        if length > 64 {
            return None; // no label is near, and the distance would cost too much
        }
        let distances = self.names.iter().map(|name| (edits(label, &name.to_lowercase()), name));
        // Any two names of two characters are two edits apart.
        let is_near = |&(edits, name): &(usize, &String)| {
            edits <= 2 && edits < length.min(name.chars().count())
        };
        distances.filter(is_near).min().map(|(_, name)| name.clone())
    }
}

/// Levenshtein distance in characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annoyance_is_three() {
        let labels = LabelSet::goemotions();
        assert_eq!(labels.len(), 28);
        assert_eq!(labels.name(2), "anger");
        assert_eq!(labels.name(3), "annoyance");
        assert_eq!(labels.parse("Annoyance"), Ok(3));
        assert_eq!(labels.parse(" 27 "), Ok(27));
    }

    #[test]
    fn refuses_what_it_does_not_hold() {
        let labels = LabelSet::goemotions();
        let unknown = labels.parse("hapiness").unwrap_err();
        assert_eq!(unknown.to_string(), "unknown label \"hapiness\"");
        let near = labels.parse("gratitud").unwrap_err();
        assert_eq!(near.to_string(), "unknown label \"gratitud\", did you mean \"gratitude\"?");
        let letters = LabelSet::new(["a", "b2"]).unwrap();
        assert_eq!(letters.parse("v3").unwrap_err().to_string(), "unknown label \"v3\"");
        for id in ["28", "-1", "99999999999999999999999"] {
            assert!(matches!(labels.parse(id), Err(LabelError::OutOfRange { count: 28, .. })));
        }
        assert_eq!(LabelSet::new(["a", "A"]).unwrap_err().to_string().matches("twice").count(), 1);
        assert_eq!(LabelSet::new(["a", " "]), Err(LabelError::Blank { index: 1 }));
        assert_eq!(LabelSet::new(Vec::<String>::new()), Err(LabelError::Empty));
        let numbered = |count: usize| LabelSet::new((0..count).map(|label| label.to_string()));
        assert_eq!(numbered(MOST_LABELS).unwrap().len(), MOST_LABELS);
        let error = numbered(MOST_LABELS + 1).unwrap_err().to_string();
        assert!(error.contains("65537") && error.contains("65536"), "{error}");
    }

    #[test]
    fn the_first_names_are_six() {
        let first = LabelSet::goemotions().first_names();
        assert!(first.starts_with("admiration, ") && first.ends_with("caring and 22 more"));
        assert_eq!(LabelSet::new(["a", "b"]).unwrap().first_names(), "a, b");
    }

    #[test]
    fn a_name_that_is_a_number_wins_over_the_id() {
        let labels = LabelSet::new(["1", "0"]).unwrap();
        assert_eq!(labels.parse("0"), Ok(1));
    }
}
