//! Predictions as JSON, an object a line.

use std::collections::HashSet;

use serde::ser::{Serialize, SerializeMap, Serializer};
use tinymood_text::{Field, TextColumn};

use super::{Prediction, Scored, Share, free_name, rounded};

/// The fields that predictions have themselves.
const OURS: [&str; 9] =
    ["row", "file", "text", "labels", "scores", "tokens", "truncated", "explanation", "error"];

/// The names of the fields that predictions have themselves: those of the input keep theirs, so one of ours that
/// the input has too is called `tinymood_NAME`, in all rows.
#[derive(Clone, Debug, Default)]
pub struct OwnNames {
    /// Those of [`OURS`] that rows may have, and what they are called.
    names: Vec<(&'static str, String)>,
}

impl OwnNames {
    /// The names beside the fields that the input is known to have; no row has those that are `absent`.
    pub fn beside<'a>(input: impl IntoIterator<Item = &'a str>, absent: &[&str]) -> Self {
        let input: HashSet<&str> = input.into_iter().collect();
        let present = OURS.into_iter().filter(|name| !absent.contains(name));
        let free = |name| (name, free_name(name, |name| input.contains(name)));
        Self { names: present.map(free).collect() }
    }

    fn of<'a>(&'a self, name: &'static str) -> &'a str {
        self.names.iter().find(|(own, _)| *own == name).map_or(name, |(_, called)| called)
    }

    /// Whether a field of the input would have the name of one of ours.
    pub fn collides(&self, field: &str) -> bool {
        self.names.iter().any(|(_, called)| called == field)
    }
}

/// Labels and scores as one JSON object in the given order.
struct ScoreMap<'a>(&'a [(String, f32)]);

impl Serialize for ScoreMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (label, score) in self.0 {
            map.serialize_entry(label, &rounded(*score))?;
        }
        map.end()
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("word", &self.word)?;
        map.serialize_entry("start", &self.characters.start)?;
        map.serialize_entry("end", &self.characters.end)?;
        map.serialize_entry("score", &rounded(self.score))?;
        map.end()
    }
}

/// Labels and what carried them as one JSON object.
struct ShareMap<'a>(&'a [(String, Vec<Share>)]);

impl Serialize for ShareMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(label, shares)| (label, shares)))
    }
}

/// A prediction as an object.
pub(super) struct JsonRow<'a> {
    pub(super) prediction: &'a Prediction,
    pub(super) names: &'a OwnNames,
}

impl Serialize for JsonRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { prediction, names } = self;
        let Prediction { file, row, text, outcome, others, text_column } = prediction;
        let mut map = serializer.serialize_map(None)?;
        if let Some(TextColumn { place, name }) = text_column {
            let (before, behind) = others.split_at((*place).min(others.len()));
            for Field { name, value } in before {
                map.serialize_entry(&**name, value)?;
            }
            map.serialize_entry(&**name, text)?;
            for Field { name, value } in behind {
                map.serialize_entry(&**name, value)?;
            }
        }
        map.serialize_entry(names.of("row"), row)?;
        if let Some(file) = file {
            map.serialize_entry(names.of("file"), &**file)?;
        }
        if text_column.is_none() {
            map.serialize_entry(names.of("text"), text)?;
        }
        match outcome {
            Ok(Scored { labels, scores, explanation, cut_at }) => {
                let object = |(label, score): &(String, f32)| serde_json::json!({ "label": label, "score": rounded(*score) });
                let labels: Vec<_> = labels.iter().map(object).collect();
                map.serialize_entry(names.of("labels"), &labels)?;
                if let Some(scores) = scores {
                    map.serialize_entry(names.of("scores"), &ScoreMap(scores))?;
                }
                if let Some(tokens) = cut_at {
                    map.serialize_entry(names.of("tokens"), tokens)?;
                    map.serialize_entry(names.of("truncated"), &true)?;
                }
                if let Some(explanation) = explanation {
                    map.serialize_entry(names.of("explanation"), &ShareMap(explanation))?;
                }
            }
            Err(problem) => {
                map.serialize_entry(names.of("labels"), &[(); 0])?;
                map.serialize_entry(names.of("error"), problem)?;
            }
        }
        map.end()
    }
}
