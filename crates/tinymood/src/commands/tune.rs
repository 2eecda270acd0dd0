//! `tinymood tune`: thresholds and temperatures for a model, tuned on a labelled split and saved with it.

use anyhow::Context;
use serde_json::json;
use tinymood_eval::counts::Decisions;
use tinymood_eval::{
    Calibration, CalibrationKind, CrossValidated, Evaluation, ThresholdObjective, ThresholdPolicy,
    Thresholds, Tuning,
};
use tinymood_weights::durable;

use super::evaluate::Judged;
use super::{print_json, print_text};
use crate::args::{GlobalArgs, ObjectiveArg, PolicyArg, TuneArgs};
use crate::model::{Model, ModelError, THRESHOLDS, read_text, thresholds_file};

pub(super) fn run(args: TuneArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let model = Model::open_untuned(args.model.model.as_deref(), global)?;
    model.check_thresholds_apply("tune")?;
    if !args.dry_run {
        model.origin.check_writable()?;
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
    let calibrated = match args.calibrate {
        true => Some(judged.calibration().map_err(ModelError::NotCalibrated)?),
        false => None,
    };
    let kind = calibrated.as_ref().map(|(calibration, _)| calibration.kind);
    let cross_validated = judged.cross_validated(policy, objective, kind)?;
    if let Some((calibration, _)) = &calibrated {
        judged.calibrate(calibration);
        global.say(&format!("calibrated: {}", describe(calibration)));
    }
    let predictions = judged.predictions()?;
    let thresholds = Thresholds::tune(policy, objective, &predictions, &judged.tuned_on);
    let evaluation = Evaluation::new(&predictions, &thresholds, &model.labels, &judged.split, 0);
    let fitted = Thresholds::fitted(&predictions, &judged.tuned_on);
    let fitted = Decisions::new(&predictions, &fitted.values);
    let (micro_f1, macro_f1) = (fitted.micro().f1, fitted.macro_average().f1);
    let (temperatures, log_losses) =
        calibrated.map(|(calibration, losses)| (calibration.temperatures, losses)).unzip();
    let classifier_sha256 = model.classifier_sha256();
    let tuning = Tuning { thresholds, temperatures, classifier_sha256 };
    // First: whoever stops reading still has what was to be saved.
    if !args.dry_run {
        save(&model, &tuning, global)?;
    }
    if args.json {
        let mut document = tuning.to_json(&model.labels);
        document["evaluation"] = judged.document(&evaluation);
        document["cross_validated"] = json!(cross_validated);
        if let Some(log_losses) = log_losses {
            document["calibration"] = json!({"kind": kind, "log_loss": log_losses});
        }
        document["fitted_exactly"] = json!({"micro_f1": micro_f1, "macro_f1": macro_f1});
        document["saved"] = json!(!args.dry_run);
        print_json(&document)?;
    } else {
        let mut text = format!("{}\n", evaluation.table());
        if let Some(losses) = log_losses {
            text += &format!(
                "log loss on rows that temperatures were not fitted on: {:.4} with one, {:.4} with one per label, \
                 {:.4} with none\n",
                losses.one, losses.per_label, losses.uncalibrated
            );
        }
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
        print_text(&text)?;
    }
    Ok(())
}

/// Replaces `thresholds.json`, which has all that is tuned, so that a kill leaves the old or the new.
fn save(model: &Model, tuning: &Tuning, global: &GlobalArgs) -> anyhow::Result<()> {
    let path = model.path.join(THRESHOLDS);
    let (_, bytes) = thresholds_file(tuning, &model.labels, model.problem_type())
        .context("a single-label model has no thresholds")?;
    // What cannot be read is replaced, too.
    let before = read_text(&path).ok().flatten();
    let before = before.and_then(|text| Tuning::from_json(&text, &model.labels).ok());
    let was_calibrated = before.is_some_and(|before| before.temperatures.is_some());
    durable::write_file(&path, &bytes)
        .with_context(|| format!("cannot write {}", path.display()))?;
    global.say(&format!("saved: {}", path.display()));
    if was_calibrated && tuning.temperatures.is_none() {
        global.say("calibrated: no longer; --calibrate fits temperatures again");
    }
    Ok(())
}

/// `one temperature, 1.21`.
fn describe(calibration: &Calibration) -> String {
    let temperatures = calibration.temperatures.iter().copied();
    let least = temperatures.clone().fold(f32::INFINITY, f32::min);
    let most = temperatures.fold(0.0, f32::max);
    match calibration.kind {
        CalibrationKind::One => format!("one temperature, {least:.2}"),
        CalibrationKind::PerLabel => format!("a temperature a label, {least:.2} to {most:.2}"),
    }
}
