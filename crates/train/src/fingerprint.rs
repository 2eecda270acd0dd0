//! What decides a run's result, by name: a checkpoint keeps it, and resuming with anything else is
//! refused by the name of what differs.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tinymood_core::{LabelSet, ModelConfig, TokenizedText};

use crate::checkpoint::hex;
use crate::settings::TrainSettings;

/// Settings that change what is kept and shown, and not what is learned; and the teachers' weight,
/// which is seen in the targets.
const HARMLESS: [&str; 5] =
    ["checkpoint_every", "checkpoint_minutes", "keep_checkpoints", "log_every", "teacher_weight"];

/// Names and values of everything that decides the result but for the data.
pub(crate) fn of_settings(
    settings: &TrainSettings,
    config: &ModelConfig,
    labels: &LabelSet,
) -> BTreeMap<String, String> {
    let mut fingerprint = of_model(settings, config);
    fingerprint.insert("labels".to_owned(), labels.names().join(", "));
    fingerprint
}

/// [`of_settings`] without labels.
pub(crate) fn of_model(settings: &TrainSettings, config: &ModelConfig) -> BTreeMap<String, String> {
    let mut fingerprint = BTreeMap::new();
    let recipe = serde_json::to_value(settings.recipe()).expect("a recipe is plain values");
    for (name, value) in fields(&recipe).filter(|(name, _)| !HARMLESS.contains(&name.as_str())) {
        fingerprint.insert(name.clone(), value.to_string());
    }
    let config = config.to_json(None);
    let told_otherwise = ["architectures", "torch_dtype"];
    for (name, value) in
        fields(&config).filter(|(name, _)| !told_otherwise.contains(&name.as_str()))
    {
        fingerprint.insert(format!("model.{name}"), value.to_string());
    }
    fingerprint
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// SHA-256 of a split's token ids and targets.
pub(crate) fn of_split<'a>(
    texts: impl Iterator<Item = &'a TokenizedText>,
    targets: &[f32],
) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.ids.len() as u64).to_le_bytes());
        text.ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
    }
    targets.iter().for_each(|target| hasher.update(target.to_le_bytes()));
    hex(&hasher.finalize())
}

/// The first name under which two fingerprints differ, with both values; `-` where one has none.
/// Data comes last, since settings that change it say more.
pub(crate) fn difference(
    saved: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Option<(String, String, String)> {
    let names = saved.keys().chain(now.keys());
    let value = |of: &BTreeMap<String, String>, name| {
        of.get(name).cloned().unwrap_or_else(|| "-".to_owned())
    };
    let differing = names.filter(|name| saved.get(*name) != now.get(*name));
    differing
        .min_by_key(|name| name.starts_with("data."))
        .map(|name| (name.clone(), value(saved, name), value(now, name)))
}
