//! The classifier that training begins with, where the checkpoint has none or lacks some labels.
//!
//! Labels that the checkpoint has keep their rows. Each label is a logistic regression of its own, so the
//! rows of new labels are learned without the others.

use std::sync::atomic::{AtomicBool, Ordering};

use tinymood_core::{Engine, Tensor, TensorMap, TensorSet};
use tinymood_eval::infer_split;
use tinymood_text::EncodedSplit;
use tinymood_train::{
    ClassifierBias, Meter, ProbeSettings, TrainSettings, draw_rows, linear_probe, prior_bias,
};

use crate::args::{GlobalArgs, PrecisionArg};
use crate::init::{CLASSIFIER as WEIGHT, Start};
use crate::model::{TOKENS_PER_BATCH, engine};

const BIAS: &str = "classifier.bias";
/// Texts that a probe learns from at most: more take time and memory, and teach it little.
const MOST_TEXTS: usize = 50_000;
/// Texts between two looks at whether to stop.
const CHUNK: usize = 1_024;

/// Gives the new rows of a classifier their start, as the recipe wants it, from the targets that are learned. Returns
/// false when it is stopped before that.
pub(super) fn begin_classifier(
    first: &mut Start,
    train: &EncodedSplit,
    settings: &TrainSettings,
    precision: PrecisionArg,
    global: &GlobalArgs,
    stop: &AtomicBool,
) -> anyhow::Result<bool> {
    let recipe = settings.recipe();
    let c = train.num_labels;
    let new = first.new_labels(c);
    let mut bias = vec![0.0; c];
    if recipe.classifier_bias == ClassifierBias::Prior {
        bias = prior_bias(&train.targets, c);
    }
    // Vectors of an encoder that is new itself say nothing yet.
    let pretrained = first.report.is_some();
    if pretrained && recipe.probe_epochs > 0 && !new.is_empty() && !train.texts.is_empty() {
        let rows = draw_rows(train.texts.len(), MOST_TEXTS, settings.seed());
        let Some(vectors) = vectors(first, train, &rows, precision, global, stop)? else {
            return Ok(false);
        };
        let of_row = |&row: &usize| new.iter().map(move |&label| train.targets[row * c + label]);
        let targets: Vec<f32> = rows.iter().flat_map(of_row).collect();
        let start: Vec<f32> = new.iter().map(|&label| bias[label]).collect();
        let learning = ProbeSettings {
            epochs: settings.probe_epochs(),
            batch_size: settings.rows_in_step(),
            seed: settings.seed(),
        };
        let total = rows.len() * learning.epochs;
        let mut meter = Meter::new(global.progress(), "learning the new classifier", total);
        let mut tell = |seen| meter.set(seen);
        let probe = linear_probe(vectors, &targets, &start, learning, stop, &mut tell);
        meter.stop(); // the line with the losses says that it is done
        let Some(probe) = probe else { return Ok(false) };
        let [before, after] = probe.losses;
        let what = if new.len() == c { "" } else { "new labels " };
        global.say(&format!("classifier: {what}learned alone, loss {before:.4} to {after:.4}"));
        put_rows(first, WEIGHT, &new, &probe.weight);
        new.iter().zip(probe.bias).for_each(|(&label, value)| bias[label] = value);
    }
    let of_bias = if first.is_new(BIAS) { (0..c).collect() } else { new };
    let bias: Vec<f32> = of_bias.iter().map(|&label| bias[label]).collect();
    put_rows(first, BIAS, &of_bias, &bias);
    Ok(true)
}

/// Replaces the rows of some labels in a tensor of the classifier.
fn put_rows(first: &mut Start, name: &str, labels: &[usize], rows: &[f32]) {
    let Some(tensor) = first.tensors.get_mut(name).filter(|_| !labels.is_empty()) else { return };
    let width = rows.len() / labels.len();
    let mut values = tensor.values.to_vec();
    for (&label, row) in labels.iter().zip(rows.chunks_exact(width)) {
        values[label * width..(label + 1) * width].copy_from_slice(row);
    }
    *tensor = Tensor { shape: tensor.shape.clone(), values: values.into() };
}

/// What the classifier is given of some texts, (N, H): the logits of one that changes nothing. `None` when
/// stopped.
fn vectors(
    first: &Start,
    train: &EncodedSplit,
    rows: &[usize],
    precision: PrecisionArg,
    global: &GlobalArgs,
    stop: &AtomicBool,
) -> anyhow::Result<Option<Vec<f32>>> {
    let h = first.config.hidden_size;
    let mut identity = vec![0.0; h * h];
    identity.iter_mut().step_by(h + 1).for_each(|diagonal| *diagonal = 1.0);
    let mut tensors: TensorMap = first.tensors.clone();
    tensors.insert(WEIGHT.to_owned(), Tensor { shape: vec![h, h], values: identity.into() });
    let zeros = vec![0.0; h].into();
    tensors.insert(BIAS.to_owned(), Tensor { shape: vec![h], values: zeros });
    let mut encoder = engine(first.config.clone(), h, precision, global)?;
    encoder.load_tensors(TensorSet::Parameters, &tensors)?;
    let mut vectors = Vec::with_capacity(rows.len() * h);
    let mut meter = Meter::new(global.progress(), "vectors for the new classifier", rows.len());
    for chunk in rows.chunks(CHUNK) {
        if stop.load(Ordering::Relaxed) {
            meter.stop();
            return Ok(None);
        }
        let texts: Vec<_> = chunk.iter().map(|&row| train.texts[row].clone()).collect();
        vectors.extend(infer_split(&encoder, &texts, TOKENS_PER_BATCH)?.values);
        meter.set(vectors.len() / h);
    }
    meter.finish();
    Ok(Some(vectors))
}
