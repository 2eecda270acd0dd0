//! Coarser views of the GoEmotions labels, for training and for rolling up predictions.
//!
//! The groups are those of the paper's appendix and of the files published beside the data
//! (`ekman_mapping.json`, `sentiment_mapping.json`).

use serde::{Deserialize, Serialize};

use crate::LabelSet;

/// Which view of the labels to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Taxonomy {
    /// The labels as they are (28 for GoEmotions).
    #[default]
    Original,
    /// Ekman's six basic emotions and neutral.
    Ekman,
    /// Positive, negative, ambiguous and neutral.
    Sentiment,
}

const EKMAN: &[(&str, &[&str])] = &[
    ("anger", &["anger", "annoyance", "disapproval"]),
    ("disgust", &["disgust"]),
    ("fear", &["fear", "nervousness"]),
    (
        "joy",
        &[
            "joy",
            "amusement",
            "approval",
            "excitement",
            "gratitude",
            "love",
            "optimism",
            "relief",
            "pride",
            "admiration",
            "desire",
            "caring",
        ],
    ),
    ("sadness", &["sadness", "disappointment", "embarrassment", "grief", "remorse"]),
    ("surprise", &["surprise", "realization", "confusion", "curiosity"]),
    ("neutral", &["neutral"]),
];

const SENTIMENT: &[(&str, &[&str])] = &[
    (
        "positive",
        &[
            "amusement",
            "excitement",
            "joy",
            "love",
            "desire",
            "optimism",
            "caring",
            "pride",
            "admiration",
            "gratitude",
            "relief",
            "approval",
        ],
    ),
    (
        "negative",
        &[
            "fear",
            "nervousness",
            "remorse",
            "embarrassment",
            "disappointment",
            "sadness",
            "grief",
            "disgust",
            "anger",
            "annoyance",
            "disapproval",
        ],
    ),
    ("ambiguous", &["realization", "surprise", "curiosity", "confusion"]),
    ("neutral", &["neutral"]),
];

/// A label that no group of the taxonomy holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "label {label:?} has no place in the {taxonomy:?} taxonomy, which groups GoEmotions' labels"
)]
pub struct TaxonomyError {
    /// The label.
    pub label: String,
    /// The taxonomy asked for.
    pub taxonomy: Taxonomy,
}

/// How the labels of a set fall into the groups of a taxonomy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxonomyMap {
    /// The groups, as a label set of its own.
    pub groups: LabelSet,
    /// For each label of the original set, the index of its group; (C).
    pub group_of: Vec<usize>,
}

impl Taxonomy {
    /// Maps `labels` to this taxonomy's groups.
    ///
    /// # Errors
    /// When a label is not one of GoEmotions' (unless the taxonomy is [`Taxonomy::Original`]).
    pub fn map(self, labels: &LabelSet) -> Result<TaxonomyMap, TaxonomyError> {
        let table = match self {
            Taxonomy::Original => {
                let group_of = (0..labels.len()).collect();
                return Ok(TaxonomyMap { groups: labels.clone(), group_of });
            }
            Taxonomy::Ekman => EKMAN,
            Taxonomy::Sentiment => SENTIMENT,
        };
        let group_of = labels.names().iter().map(|label| {
            let lower = label.to_lowercase();
            let holds = |(_, members): &(&str, &[&str])| members.contains(&lower.as_str());
            let missing = || TaxonomyError { label: label.clone(), taxonomy: self };
            table.iter().position(holds).ok_or_else(missing)
        });
        let group_of = group_of.collect::<Result<Vec<usize>, _>>()?;
        let groups = LabelSet::new(table.iter().map(|(group, _)| group));
        Ok(TaxonomyMap { groups: groups.expect("the tables hold distinct names"), group_of })
    }
}

impl TaxonomyMap {
    /// The largest value of each group; (C) to (G).
    ///
    /// For multi-hot targets this is "any member holds". For probabilities it is the lower bound
    /// of the union, and the member that decides it can be named; a sum would count one feeling
    /// twice, since neighbouring labels are alternatives rather than independent events.
    pub fn roll_up(&self, values: &[f32]) -> Vec<f32> {
        let mut rolled = vec![0.0_f32; self.groups.len()];
        for (&value, &group) in values.iter().zip(&self.group_of) {
            rolled[group] = rolled[group].max(value);
        }
        rolled
    }

    /// The sum of each group's values; (C) to (G): its probability, where labels exclude one another.
    pub fn add_up(&self, values: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0_f32; self.groups.len()];
        values.iter().zip(&self.group_of).for_each(|(&value, &group)| sums[group] += value);
        sums.iter_mut().for_each(|sum| *sum = sum.min(1.0)); // rounding
        sums
    }

    /// Whether any member of each group holds; (C) to (G).
    pub fn roll_up_decisions(&self, decisions: &[bool]) -> Vec<bool> {
        let mut rolled = vec![false; self.groups.len()];
        for (&decision, &group) in decisions.iter().zip(&self.group_of) {
            rolled[group] |= decision;
        }
        rolled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_goemotions_label_has_one_place() {
        let labels = LabelSet::goemotions();
        for (taxonomy, table) in [(Taxonomy::Ekman, EKMAN), (Taxonomy::Sentiment, SENTIMENT)] {
            let members: usize = table.iter().map(|(_, members)| members.len()).sum();
            assert_eq!(members, 28, "{taxonomy:?}");
            let map = taxonomy.map(&labels).unwrap();
            assert_eq!(map.group_of.len(), 28);
        }
        let ekman = Taxonomy::Ekman.map(&labels).unwrap();
        assert_eq!(ekman.groups.len(), 7);
        assert_eq!(ekman.groups.name(ekman.group_of[labels.parse("annoyance").unwrap()]), "anger");
    }

    #[test]
    fn rolls_up_by_the_largest_member() {
        let labels = LabelSet::goemotions();
        let map = Taxonomy::Sentiment.map(&labels).unwrap();
        let mut row = vec![0.0; 28];
        row[labels.parse("joy").unwrap()] = 0.4;
        row[labels.parse("love").unwrap()] = 0.7;
        assert_eq!(map.roll_up(&row), [0.7, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_foreign_label_is_named() {
        let labels = LabelSet::new(["joy", "boredom"]).unwrap();
        let error = Taxonomy::Ekman.map(&labels).unwrap_err();
        assert!(error.to_string().contains("boredom"), "{error}");
        assert_eq!(Taxonomy::Original.map(&labels).unwrap().group_of, [0, 1]);
    }
}
