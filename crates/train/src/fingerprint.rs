//! What decides a run's result, by name: a checkpoint keeps it, and resuming with anything else is
//! refused by the name of what differs.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tinymood_core::{LabelSet, ModelConfig, TokenizedText};
use tinymood_weights::digest::hexadecimal;

use crate::recipe::Recipe;
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

/// Names and values of the settings that decide the result.
pub(crate) fn of_recipe(recipe: &Recipe) -> BTreeMap<String, String> {
    let recipe = serde_json::to_value(recipe).expect("a recipe is plain values");
    let deciding = fields(&recipe).filter(|(name, _)| !HARMLESS.contains(&name.as_str()));
    deciding.map(|(name, value)| (name.clone(), value.to_string())).collect()
}

/// [`of_settings`] without labels.
pub(crate) fn of_model(settings: &TrainSettings, config: &ModelConfig) -> BTreeMap<String, String> {
    let mut fingerprint = of_recipe(settings.recipe());
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
    hexadecimal(&hasher.finalize())
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
        .min_by_key(|name| *name == "data" || name.starts_with("data."))
        .map(|name| (name.clone(), value(saved, name), value(now, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_blamed_before_the_data_that_they_change() {
        let of = |pairs: [(&str, &str); 3]| -> BTreeMap<String, String> {
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
        };
        for data in ["data", "data.train"] {
            let saved = of([(data, "a"), ("max_length", "64"), ("seed", "1")]);
            let now = of([(data, "b"), ("max_length", "32"), ("seed", "1")]);
            assert_eq!(difference(&saved, &now).unwrap().0, "max_length");
            let now = of([(data, "b"), ("max_length", "64"), ("seed", "1")]);
            assert_eq!(difference(&saved, &now).unwrap().0, data);
            assert_eq!(difference(&saved, &saved), None);
        }
    }
}
