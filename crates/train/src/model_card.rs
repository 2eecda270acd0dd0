//! The model card: the `README.md` that stands beside a model, with the figures in the front
//! matter where the hub and its tools look for them (`model-index`).

use std::fmt::Write;

use tinymood_core::printable::markdown;
use tinymood_core::{LabelSet, Pooling};
use tinymood_eval::{ThresholdPolicy, ThresholdSummary};

use crate::choices::ThresholdRecipe;
use crate::settings::TrainSettings;

/// What a model card says that training itself does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelCardFacts {
    /// The model's name.
    pub name: String,
    /// What it was fine-tuned from: a hub id, a folder, or how it was made.
    pub base_model: String,
    /// The commit that it was at, where the hub has it.
    pub base_revision: Option<String>,
    /// Whether `base_model` is an id on the hub, which the front matter may name.
    pub base_is_on_hub: bool,
    /// The dataset's name for people, `GoEmotions`.
    pub dataset: String,
    /// The dataset's id, `go_emotions`, or its name where it has none.
    pub dataset_id: String,
    /// Whether `dataset_id` is an id on the hub, which the front matter may name.
    pub dataset_is_on_hub: bool,
    /// What training took, as a sentence.
    pub training: Option<String>,
}

/// Figures on the split that chose the model.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    /// The split's name.
    pub split: &'a str,
    /// Values by name.
    pub metrics: &'a [(&'a str, f64)],
    /// Of those that thresholds tuned on this split flatter: values with thresholds that were tuned on other rows.
    pub cross_validated: &'a [(&'a str, f64)],
    /// Markdown that follows them: figures of each label, say.
    pub details: &'a str,
}

/// Stands in every card that was generated.
const MARKER: &str = "<!-- Written by tinymood. Remove this line, and `tinymood report` leaves your changes alone. -->";

/// Whether a card may be written anew: nobody has taken it for their own.
pub fn is_generated_card(card: &str) -> bool {
    card.lines().any(|line| line == MARKER)
}

/// Text as a YAML string: JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Text as it may stand in a Markdown sentence: on one line.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The card; without a validation split there are no figures.
pub fn model_card(
    facts: &ModelCardFacts,
    settings: &TrainSettings,
    labels: &LabelSet,
    thresholds: &ThresholdSummary,
    figures: Option<Figures<'_>>,
) -> String {
    let mut card = String::from("---\n");
    front_matter(&mut card, facts, settings, labels, figures);
    card.push_str("---\n\n");
    body(&mut card, facts, settings, labels, thresholds, figures);
    card
}

/// Whether labels are emotions: all of them are GoEmotions'.
fn are_emotions(labels: &LabelSet) -> bool {
    let known = LabelSet::goemotions();
    labels.names().iter().all(|name| known.index_of(name).is_some())
}

fn front_matter(
    card: &mut String,
    facts: &ModelCardFacts,
    settings: &TrainSettings,
    labels: &LabelSet,
    figures: Option<Figures<'_>>,
) {
    let mut line = |text: String| {
        card.push_str(&text);
        card.push('\n');
    };
    // Hubs and `pipeline` load a model with what stands here.
    let library = match settings.recipe().pooling {
        Pooling::Cls => "transformers",
        Pooling::Mean => "tinymood",
    };
    line(format!("library_name: {library}"));
    line("pipeline_tag: text-classification".to_owned());
    let emotion = if are_emotions(labels) { "- emotion\n" } else { "" };
    line(format!("tags:\n{emotion}- multi-label"));
    if facts.base_is_on_hub {
        line(format!("base_model: {}", quoted(&facts.base_model)));
    }
    if facts.dataset_is_on_hub {
        line(format!("datasets:\n- {}", quoted(&facts.dataset_id)));
    }
    let Some(figures) = figures else { return };
    let finite = figures.metrics.iter().filter(|(_, value)| value.is_finite());
    line(format!("model-index:\n- name: {}\n  results:", quoted(&facts.name)));
    line("  - task:\n      type: text-classification".to_owned());
    line("      name: Multi-label text classification".to_owned());
    line(format!("    dataset:\n      type: {}", quoted(&facts.dataset_id)));
    line(format!("      name: {}", quoted(&facts.dataset)));
    line(format!("      split: {}", quoted(figures.split)));
    line("    metrics:".to_owned());
    for (name, value) in finite {
        let kind = if name.ends_with("_f1") { "f1" } else { name };
        line(format!("    - type: {kind}\n      name: {name}\n      value: {value:.6}"));
        if let Some(value) = unflattered(figures, name) {
            let name = format!("{name}, cross-validated");
            line(format!("    - type: {kind}\n      name: {name}\n      value: {value:.6}"));
        }
    }
}

/// The cross-validated value of a metric, where it has one.
fn unflattered(figures: Figures<'_>, metric: &str) -> Option<f64> {
    let mut all = figures.cross_validated.iter();
    all.find(|(name, _)| *name == metric).map(|(_, value)| *value)
}

/// Where thresholds come from, as the end of a sentence.
fn origin(thresholds: &ThresholdSummary, recipe: ThresholdRecipe) -> String {
    let split = thresholds.split.as_deref().map(markdown);
    match (thresholds.policy, split, thresholds.value) {
        (ThresholdPolicy::PerLabel, Some(split), _) => {
            format!("tuned for each label on the {split} split")
        }
        (ThresholdPolicy::PerLabel, None, _) => "set for each label".to_owned(),
        (_, Some(split), Some(value)) => {
            format!("{value:.3} for every label, tuned on the {split} split")
        }
        (_, Some(split), None) => format!("one for every label, tuned on the {split} split"),
        (_, None, Some(value)) if matches!(recipe, ThresholdRecipe::Tuned(_)) => {
            format!("{value} for every label: they were not tuned")
        }
        (_, None, Some(value)) => format!("{value} for every label"),
        (_, None, None) => "one for every label".to_owned(),
    }
}

fn body(
    card: &mut String,
    facts: &ModelCardFacts,
    settings: &TrainSettings,
    labels: &LabelSet,
    thresholds: &ThresholdSummary,
    figures: Option<Figures<'_>>,
) {
    let recipe = settings.recipe();
    let mut line = |text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(card, "{text}");
    };
    line(format!("{MARKER}\n\n# {}\n", markdown(&facts.name)));
    let revision = facts.base_revision.as_deref().map(|commit| format!(" at {}", markdown(commit)));
    line(format!(
        "Says which of {} labels a text has; several may hold, or none. Fine-tuned \
         with tinymood from {}{} on {}.\n",
        labels.len(),
        markdown(&facts.base_model),
        revision.unwrap_or_default(),
        markdown(&facts.dataset),
    ));
    line(format!("Labels: {}.\n", markdown(&labels.names().join(", "))));
    line("## Thresholds\n".to_owned());
    let policy = origin(thresholds, recipe.thresholds);
    line(format!(
        "A label holds when its probability is at least its threshold. Thresholds are {policy}; \
         they stand in `thresholds.json`. Tools that do not read that file decide otherwise.\n"
    ));
    line(TEMPERATURES_NOTE.to_owned());
    if let Some(figures) = figures {
        let Figures { split, metrics, cross_validated, details } = figures;
        line(format!("## Figures on the {} split\n", markdown(split)));
        if cross_validated.is_empty() {
            line("| metric | value |\n|---|---|".to_owned());
            metrics.iter().for_each(|(name, value)| line(format!("| {name} | {value:.4} |")));
        } else {
            line("| metric | value | cross-validated |\n|---|---|---|".to_owned());
            for (name, value) in metrics {
                let other = unflattered(figures, name).map(|value| format!("{value:.4}"));
                let other = other.unwrap_or_default();
                line(format!("| {name} | {value:.4} | {other} |"));
            }
        }
        let choice = match thresholds.split.as_deref() == Some(split) {
            true => "The thresholds and the step were",
            false => "The step was",
        };
        line(format!("\n{choice} chosen on this split, so expect a little less elsewhere."));
        if !cross_validated.is_empty() {
            line(
                "Cross-validated: thresholds tuned on one half of the split and judged on the other, the \
                 mean of ten shuffles."
                    .to_owned(),
            );
        }
        line(String::new());
        if !details.is_empty() {
            line(format!("{}\n", details.trim_end()));
        }
    }
    line("## Recipe\n".to_owned());
    if let Some(training) = &facts.training {
        line(format!("{}\n", plain(training)));
    }
    line(format!("```toml\n{}```\n", recipe.to_toml()));
    line("## Limits\n".to_owned());
    let limits = match are_emotions(labels) {
        true => {
            "The model learned from what annotators of one dataset saw in its texts. It does not read \
             minds: rare labels are often missed, irony is often missed, and texts of other places, times \
             and people may be judged worse. Do not decide about people by it."
        }
        false => {
            "The model learned from the labels of one dataset: rare ones are often missed, and texts of \
             other places, times and people may be judged worse. Do not decide about people by it."
        }
    };
    line(limits.to_owned());
    if recipe.pooling == Pooling::Mean {
        line(format!("\n{MEAN_POOLING_NOTE}"));
    }
}

/// What a model card says of models that were calibrated, which may happen after it was written.
const TEMPERATURES_NOTE: &str = r#"If `thresholds.json` has `temperatures` (`tinymood tune --calibrate`), the logit of each label is divided by its own
before the sigmoid. Probabilities of tools that do not read that file, transformers' pipeline among them, are
uncalibrated then. In Python: `logits / torch.tensor([temperatures[id2label[i]] for i in range(len(id2label))])`, with
`temperatures = json.load(open("thresholds.json"))["temperatures"]` and `id2label = model.config.id2label`.
"#;

/// What a model card says of a model with mean pooling: how to use it without tinymood.
/// `reference/check_transformers.py` runs the code.
pub const MEAN_POOLING_NOTE: &str = r#"## In Python

States are pooled by their mean, padding left out, and classified. `AutoModelForSequenceClassification`,
and so `pipeline`, does not do this: it opens the folder, but with a pooler of random weights, and its answers are
noise. The encoder opens as it is:

```python
import json
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder, texts = ".", ["what a lovely day"]
tokenizer = AutoTokenizer.from_pretrained(folder)
encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False)
head = load_file(f"{folder}/model.safetensors")
names = [encoder.config.id2label[i] for i in range(encoder.config.num_labels)]
temperatures = json.load(open(f"{folder}/thresholds.json")).get("temperatures", {})

inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
mask = inputs["attention_mask"].unsqueeze(-1)
with torch.inference_mode():
    states = encoder(**inputs).last_hidden_state
    means = (states * mask).sum(1) / mask.sum(1)
    logits = means @ head["classifier.weight"].T + head["classifier.bias"]
    logits /= torch.tensor([temperatures.get(name, 1.0) for name in names])
probabilities = logits.sigmoid()  # of `names`
```
"#;

#[cfg(test)]
mod tests {
    use tinymood_eval::Thresholds;

    use super::*;
    use crate::recipe::Recipe;

    fn per_label(split: &str) -> ThresholdSummary {
        let fixed = Thresholds::fixed(0.5, 1);
        let (policy, split) = (ThresholdPolicy::PerLabel, Some(split.to_owned()));
        (&Thresholds { policy, split, ..fixed }).into()
    }

    #[test]
    fn a_card_says_what_is_so() {
        let settings = TrainSettings::new(Recipe::default()).unwrap();
        let tickets = LabelSet::new(["billing", "joy"]).unwrap();
        let emotions = LabelSet::new(["joy", "anger"]).unwrap();
        let facts = ModelCardFacts {
            dataset: "tickets".to_owned(),
            dataset_id: "tickets".to_owned(),
            training: Some("5 steps.".to_owned()),
            ..ModelCardFacts::default()
        };
        let metrics = [("macro_f1", 0.75), ("loss", 0.5)];
        let card = |labels: &LabelSet, thresholds, cross_validated: &[(&str, f64)]| {
            let figures = Figures { split: "dev", metrics: &metrics, cross_validated, details: "" };
            model_card(&facts, &settings, labels, &thresholds, Some(figures))
        };
        let untuned = card(&tickets, (&Thresholds::fixed(0.5, 2)).into(), &[]);
        assert!(!untuned.to_lowercase().contains("emotion"), "{untuned}");
        assert!(!untuned.contains("datasets:"), "of the hub there is none: {untuned}");
        // The recipe wants tuned ones; these are not.
        assert!(
            untuned.contains("Thresholds are 0.5 for every label: they were not tuned;"),
            "{untuned}"
        );
        assert!(untuned.contains("The step was chosen on this split"), "{untuned}");
        assert!(untuned.contains("## Recipe\n\n5 steps.\n\n```toml"), "{untuned}");
        let tuned = card(&emotions, per_label("dev"), &[("macro_f1", 0.625)]);
        assert!(tuned.contains("tags:\n- emotion\n- multi-label\n"), "{tuned}");
        assert!(tuned.contains("tuned for each label on the dev split"), "{tuned}");
        assert!(tuned.contains("The thresholds and the step were chosen on this split"), "{tuned}");
        assert!(
            tuned.contains("| macro_f1 | 0.7500 | 0.6250 |\n| loss | 0.5000 |  |\n"),
            "{tuned}"
        );
        let index = "name: macro_f1, cross-validated\n      value: 0.625000\n";
        assert!(tuned.contains(index), "{tuned}");
        // Thresholds of other rows do not flatter.
        let elsewhere = card(&emotions, per_label("dev of sample"), &[]);
        assert!(
            elsewhere.contains("tuned for each label on the dev of sample split"),
            "{elsewhere}"
        );
        assert!(elsewhere.contains("The step was chosen"), "{elsewhere}");
    }

    #[test]
    fn names_cannot_break_out_of_the_front_matter() {
        let facts = ModelCardFacts {
            name: "a\n---\nlicense: \"mit\"".to_owned(),
            dataset: "x: [y".to_owned(),
            dataset_id: "go_emotions".to_owned(),
            ..ModelCardFacts::default()
        };
        let settings = TrainSettings::new(Recipe::default()).unwrap();
        let labels = LabelSet::new(["joy"]).unwrap();
        let metrics = [("macro_f1", 0.5371), ("loss", f64::NAN)];
        let figures = Figures {
            split: "dev",
            metrics: &metrics,
            cross_validated: &[],
            details: "| more |\n",
        };
        let card = model_card(&facts, &settings, &labels, &per_label("dev"), Some(figures));
        let front: Vec<_> = card.lines().skip(1).take_while(|line| *line != "---").collect();
        assert!(front.contains(&r#"- name: "a\n---\nlicense: \"mit\"""#), "{card}");
        assert!(front.contains(&r#"      name: "x: [y""#), "{card}");
        assert_eq!(
            front.iter().rfind(|line| line.contains("value")),
            Some(&"      value: 0.537100")
        );
        assert!(!front.iter().any(|line| line.starts_with("license")), "{card}");
        assert!(card.contains("pooling = \"mean\""), "the recipe is told");
        assert!(front.contains(&"library_name: tinymood"), "transformers has no such head");
        assert!(card.contains("elsewhere.\n\n| more |\n\n## Recipe"), "{card}");
        assert!(is_generated_card(&card));
        assert!(!is_generated_card(&card.replace("<!-- ", "<!--")), "the line is gone");
    }

    #[test]
    fn without_figures_there_is_no_index() {
        let settings = TrainSettings::new(Recipe::named("seed").unwrap()).unwrap();
        let labels = LabelSet::goemotions();
        let fixed = (&Thresholds::fixed(0.5, labels.len())).into();
        let card = model_card(&ModelCardFacts::default(), &settings, &labels, &fixed, None);
        assert!(!card.contains("model-index") && !card.contains("## Figures"), "{card}");
        assert!(card.contains("Thresholds are 0.5 for every label"), "{card}");
    }
}
