//! `tinymood tune`: thresholds for a model, tuned on a labelled split and saved with it.

use anyhow::Context;
use serde_json::json;
use tinymood_core::{Engine, TensorSet, TensorView};
use tinymood_eval::{
    Calibration, CalibrationKind, Evaluation, Objective, ThresholdPolicy, Thresholds,
    cross_validated,
};
use tinymood_weights::{durable, write_safetensors};

use super::evaluate::Judged;
use super::{print, print_json};
use crate::args::{GlobalArgs, ObjectiveArg, PolicyArg, TuneArgs};
use crate::model::{Model, ModelError};

pub(super) fn run(args: TuneArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let mut model = Model::open(args.model.model.as_deref(), global)?;
    if !args.dry_run {
        model.origin.check_writable()?;
    }
    if args.calibrate && model.quantised {
        return Err(ModelError::CalibrateInt8(model.path).into());
    }
    let mut judged = Judged::new(&model, &args.judging, args.split, global)?;
    if args.calibrate {
        let calibration = judged.calibration();
        model = calibrated(model, &calibration.scales, global)?;
        global.say(&format!("calibrated: {}", describe(&calibration)));
        judged = Judged::new(&model, &args.judging, args.split, global)?;
    }
    let predictions = judged.predictions()?;
    let policy = match args.policy {
        PolicyArg::PerLabel => ThresholdPolicy::PerLabel,
        PolicyArg::Global => ThresholdPolicy::Global,
    };
    let objective = match args.objective {
        ObjectiveArg::MicroF1 => Objective::MicroF1,
        ObjectiveArg::MacroF1 => Objective::MacroF1,
    };
    let thresholds = Thresholds::tune(policy, objective, &predictions, &judged.tuned_on);
    let evaluation = Evaluation::new(&predictions, &thresholds, &model.labels, &judged.split, 0);
    let unseen = cross_validated(policy, objective, &predictions);
    if args.json {
        let mut document = thresholds.to_json(&model.labels);
        document["evaluation"] = judged.document(&evaluation);
        document["cross_validated"] = json!(unseen);
        document["saved"] = json!(!args.dry_run);
        print_json(&document)?;
    } else {
        let mut text = format!("{}\n", evaluation.table());
        if let Some(unseen) = unseen {
            text += &format!(
                "cross-validated (tuned on one half, judged on the other): micro_f1 {:.3}, \
                 macro_f1 {:.3}\n",
                unseen.micro_f1, unseen.macro_f1
            );
        }
        print(&text)?;
    }
    if !args.dry_run {
        let path = model.path.join("thresholds.json");
        let text = format!("{:#}\n", thresholds.to_json(&model.labels));
        durable::write_file(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        global.say(&format!("saved: {}", path.display()));
    }
    Ok(())
}

/// Writes a model's weights with the outputs of its classifier scaled, (C), and opens it again.
fn calibrated(mut model: Model, scales: &[f32], global: &GlobalArgs) -> anyhow::Result<Model> {
    let mut tensors = model.engine.tensors(TensorSet::Parameters);
    let of_classifier = |tensor: &&mut TensorView<'_>| tensor.name.starts_with("classifier.");
    for tensor in tensors.iter_mut().filter(of_classifier) {
        let width = tensor.values.len() / scales.len();
        for (row, scale) in tensor.values.to_mut().chunks_exact_mut(width).zip(scales) {
            row.iter_mut().for_each(|value| *value *= scale);
        }
    }
    write_safetensors(&model.path.join("model.safetensors"), &tensors)?;
    Model::open_folder(&model.path, global)
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
