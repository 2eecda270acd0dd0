//! A model as 32-bit floats, which other tools read: of int8 weights, what they stand for. Other tools know no
//! temperatures, so the classifier is divided by them, and gives calibrated logits by itself.

use serde_json::Map;
use tinymood_core::{Engine, Infer, TensorSet, TensorView};
use tinymood_eval::Tuning;
use tinymood_train::MEAN_POOLING_NOTE;
use tinymood_weights::{ModelParts, digest, read_model_folder, write_new_model_folder};

use super::encoder::{Encoder, is_encoder};
use super::{check_weights, read_card, written};
use crate::args::{ExportArgs, GlobalArgs, PrecisionArg};
use crate::bundled;
use crate::model::{Model, Origin, model_folder, thresholds_file};

/// The card of the bundled classifier, which has no folder to keep one in.
const BUNDLED_CARD: &str = "\
---
language: en
license: apache-2.0
library_name: tinymood
pipeline_tag: text-classification
tags:
- emotion
- multi-label
datasets:
- go_emotions
---

# The classifier that comes with tinymood

Says which of GoEmotions' 28 labels a short English text shows; several may hold, or none. 4 layers, 312 wide, 14
million parameters; one sigmoid a label, thresholds in `thresholds.json`.

On GoEmotions' dev split: micro-F1 0.606, macro-F1 0.525; with thresholds tuned on one half and judged on the other
0.605 and 0.520.

It learned from comments of Reddit. Other languages, long texts and other ways of writing are outside what was
measured; of rare labels it is often wrong. Nothing should be decided about a person by it.

Apache-2.0, as what it was made from: its encoder was distilled from sentence-transformers/all-MiniLM-L6-v2, and it was
fine-tuned on GoEmotions (Demszky et al., 2020).
";

pub(super) fn export(args: &ExportArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    if let Some(name) = args.model.model.as_deref().filter(|name| *name != bundled::NAME) {
        let folder = read_model_folder(&model_folder(name, global)?)?;
        if is_encoder(&folder) {
            return export_encoder(&Encoder::open(folder)?, args, global);
        }
    }
    let exact = GlobalArgs { precision: PrecisionArg::F32, ..global.clone() };
    let mut model = Model::open(args.model.model.as_deref(), &exact)?;
    let card = match model.origin {
        Origin::Bundled => format!("{BUNDLED_CARD}\n{MEAN_POOLING_NOTE}"),
        _ => read_card(&model.path)?,
    };
    let mut files = model.tokenizer.files()?;
    let config = model.engine.config().clone();
    let temperatures = model.engine.temperatures().map(<[f32]>::to_vec);
    let mut tensors = model.engine.engine.tensors(TensorSet::Parameters);
    check_weights(&tensors, &model.path)?;
    if let Some(temperatures) = &temperatures {
        divide_classifier(&mut tensors, temperatures);
    }
    let values = |name: &str| tensors.iter().find(|tensor| tensor.name == name).map(|t| &*t.values);
    let tuning = Tuning {
        classifier_sha256: digest::of_classifier(values),
        ..Tuning::of_thresholds(model.thresholds)
    };
    files.extend(thresholds_file(&tuning, &model.labels, config.problem_type));
    let card = if temperatures.is_some() { card + CALIBRATED_NOTE } else { card };
    files.push(("README.md".to_owned(), with_note(card, model.quantised)));
    let parts = ModelParts {
        config: &config,
        labels: Some(&model.labels),
        tensors,
        quantised: Vec::new(),
        facts: Map::new(),
        files,
    };
    write_new_model_folder(&args.output, &parts)?;
    written(args, global)
}

/// Divides the outputs of a classifier by temperatures, (C).
fn divide_classifier(tensors: &mut [TensorView<'_>], temperatures: &[f32]) {
    for tensor in tensors.iter_mut().filter(|tensor| tensor.name.starts_with("classifier.")) {
        let width = tensor.values.len() / temperatures.len();
        for (row, temperature) in tensor.values.to_mut().chunks_exact_mut(width).zip(temperatures) {
            row.iter_mut().for_each(|value| *value /= temperature);
        }
    }
}

fn export_encoder(encoder: &Encoder, args: &ExportArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let mut files = encoder.tokenizer.files()?;
    let card = read_card(&encoder.path)?;
    files.push(("README.md".to_owned(), with_note(card, encoder.is_quantised)));
    let tensors = encoder.tensors();
    check_weights(&tensors, &encoder.path)?;
    let parts = ModelParts {
        config: &encoder.config,
        labels: None,
        tensors,
        quantised: Vec::new(),
        facts: Map::new(),
        files,
    };
    write_new_model_folder(&args.output, &parts)?;
    written(args, global)
}

/// What the card says of a classifier that was divided.
const CALIBRATED_NOTE: &str = "\n## Calibration\n\nThe classifier of this copy is divided by the temperatures of \
                               the model that it was made of, so its probabilities are calibrated in every tool, \
                               and its `thresholds.json` has no `temperatures`.\n";

/// The card, and where the floats came from.
fn with_note(card: String, is_quantised: bool) -> Vec<u8> {
    let note = "\n## 32-bit floats\n\nThe weights of this copy are floats again: what the 8-bit \
                integers that they were made of stand for.\n";
    (card + if is_quantised { note } else { "" }).into_bytes()
}
