//! `tinymood tune`: thresholds for a model, tuned on a labelled split and saved with it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context;
use serde_json::json;
use tinymood_core::{Engine, Tensor, TensorMap, TensorSet, TensorView};
use tinymood_eval::counts::Decisions;
use tinymood_eval::{
    Calibration, CalibrationKind, CrossValidated, Evaluation, ThresholdObjective, ThresholdPolicy,
    Thresholds,
};
use tinymood_weights::{durable, write_safetensors};

use super::evaluate::Judged;
use super::{print, print_json};
use crate::args::{GlobalArgs, ObjectiveArg, PolicyArg, TuneArgs};
use crate::model::{Model, ModelError};

pub(super) fn run(args: TuneArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let mut model = Model::open(args.model.model.as_deref(), global)?;
    model.check_thresholds_apply("tune")?;
    if !args.dry_run {
        model.origin.check_writable()?;
    }
    if args.calibrate && model.quantised {
        return Err(ModelError::CalibrateInt8(model.path).into());
    }
    let mut judged = Judged::new(&model, &args.judging, args.split, global)?;
    judged.check_labels()?;
    let policy = match args.policy {
        PolicyArg::PerLabel => ThresholdPolicy::PerLabel,
        PolicyArg::Global => ThresholdPolicy::Global,
    };
    let objective = match args.objective {
        ObjectiveArg::MicroF1 => ThresholdObjective::MicroF1,
        ObjectiveArg::MacroF1 => ThresholdObjective::MacroF1,
    };
    let cross_validated = judged.cross_validated(policy, objective, args.calibrate)?;
    if args.calibrate {
        let calibration = judged.calibration();
        scale_classifier(&mut model, &calibration.scales)?;
        global.say(&format!("calibrated: {}", describe(&calibration)));
        judged = Judged::new(&model, &args.judging, args.split, global)?;
    }
    let predictions = judged.predictions()?;
    let thresholds = Thresholds::tune(policy, objective, &predictions, &judged.tuned_on);
    let evaluation = Evaluation::new(&predictions, &thresholds, &model.labels, &judged.split, 0);
    let fitted = Thresholds::fitted(&predictions, &judged.tuned_on);
    let fitted = Decisions::new(&predictions, &fitted.values);
    let (micro_f1, macro_f1) = (fitted.micro().f1, fitted.macro_average().f1);
    // First: whoever stops reading still has what was to be saved.
    if !args.dry_run {
        let path = save(&mut model, &thresholds, args.calibrate)?;
        global.say(&format!("saved: {}", path.display()));
    }
    if args.json {
        let mut document = thresholds.to_json(&model.labels);
        document["evaluation"] = judged.document(&evaluation);
        document["cross_validated"] = json!(cross_validated);
        document["fitted_exactly"] = json!({"micro_f1": micro_f1, "macro_f1": macro_f1});
        document["saved"] = json!(!args.dry_run);
        print_json(&document)?;
    } else {
        let mut text = format!("{}\n", evaluation.table());
        if let Some(CrossValidated { micro_f1, macro_f1 }) = cross_validated {
            let fitted = if args.calibrate { "calibrated and tuned" } else { "tuned" };
            text += &format!(
                "cross-validated ({fitted} on one half, judged on the other): micro_f1 {micro_f1:.3}, \
                 macro_f1 {macro_f1:.3}\n"
            );
        }
        text += &format!(
            "fitted exactly to these rows (flatters; not saved): micro_f1 {micro_f1:.3}, macro_f1 {macro_f1:.3}\n"
        );
        print(&text)?;
    }
    Ok(())
}

/// Scales the outputs of a model's classifier, (C).
fn scale_classifier(model: &mut Model, scales: &[f32]) -> anyhow::Result<()> {
    let mut tensors = model.engine.tensors(TensorSet::Parameters);
    let of_classifier = |tensor: &&mut TensorView<'_>| tensor.name.starts_with("classifier.");
    for tensor in tensors.iter_mut().filter(of_classifier) {
        let width = tensor.values.len() / scales.len();
        for (row, scale) in tensor.values.to_mut().chunks_exact_mut(width).zip(scales) {
            row.iter_mut().for_each(|value| *value *= scale);
        }
    }
    let owned = |TensorView { name, shape, values }: TensorView<'_>| {
        let (shape, values) = (shape.into_owned(), values.into_owned().into());
        (name.into_owned(), Tensor { shape, values })
    };
    let tensors: TensorMap = tensors.into_iter().map(owned).collect();
    Ok(model.engine.load_tensors(TensorSet::Parameters, &tensors)?)
}

/// Writes the thresholds of a model, and its weights where they are new; returns the file of the former.
///
/// Thresholds of other weights would be wrong without a word. So they are written first, under another
/// name, and get theirs right after the weights.
fn save(model: &mut Model, thresholds: &Thresholds, new_weights: bool) -> anyhow::Result<PathBuf> {
    let path = model.path.join("thresholds.json");
    let text = format!("{:#}\n", thresholds.to_json(&model.labels));
    let write = |unfinished: &Path| {
        fs::write(unfinished, text)?;
        if new_weights {
            let tensors = model.engine.tensors(TensorSet::Parameters);
            let weights = model.path.join("model.safetensors");
            write_safetensors(&weights, &tensors).map_err(io::Error::other)?;
        }
        Ok(())
    };
    let written = durable::replace_file(&path, write);
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// `one temperature, 1.21`.
fn describe(calibration: &Calibration) -> String {
    let temperatures = calibration.scales.iter().map(|scale| 1.0 / scale);
    let least = temperatures.clone().fold(f32::INFINITY, f32::min);
    let most = temperatures.fold(0.0, f32::max);
    match calibration.kind {
        CalibrationKind::None => {
            "no temperature does better on rows it was not fitted on".to_owned()
        }
        CalibrationKind::One => format!("one temperature, {least:.2}"),
        CalibrationKind::PerLabel => format!("a temperature a label, {least:.2} to {most:.2}"),
    }
}
