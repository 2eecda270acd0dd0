//! The page of one run: what it came to, and the order of its parts.

use maud::{Markup, html};
use tinymood_eval::bootstrap::Interval;

use super::format::{date, duration, epochs, interval, percent, thousands, three};
use super::{Section, data, labels, notes, pairs, settings, shell, texts, training};
use crate::error::ReportError;
use crate::log::End;
use crate::run::RunReport;

/// Renders the page.
///
/// # Errors
/// When a plot cannot be drawn.
pub(crate) fn run_page(run: &RunReport) -> Result<String, ReportError> {
    let mut sections =
        vec![Section { id: "training", heading: "Training", body: training::training(run)? }];
    let mut section = |id, heading, body: Option<Markup>| {
        sections.extend(body.map(|body| Section { id, heading, body }));
    };
    section("labels", "Labels", labels::labels(run)?);
    section("thresholds", "Thresholds", labels::thresholds(run)?);
    section("calibration", "Calibration", labels::calibration(run)?);
    section("pairs", "Labels beside labels", pairs::pairs(run)?);
    section("texts", "Texts it got wrong", texts::texts(run));
    section("data", "Data", data::data(run)?);
    section("settings", "Settings", Some(settings::settings(run)));
    let head = html! {
        p.lead { (state(run)) }
        (tiles(run))
        (notes("What to bear in mind", &run.warnings))
        (notes("What is missing", &run.notes))
    };
    let kind = if run.is_distillation { "Report of a distillation" } else { "Report of a run" };
    Ok(shell(&run.name, kind, head, sections))
}

/// How the run ended, in a sentence or two.
pub(crate) fn state(run: &RunReport) -> String {
    let log = &run.log;
    let Some(last) = log.sessions.last() else {
        return "The log says nothing of this run.".to_owned();
    };
    let (step, took) = (thousands(log.last_step), duration(log.seconds()));
    let steps = match last.total_steps {
        Some(total) if total != log.last_step => format!("{step} of {} steps", thousands(total)),
        _ => format!("{step} steps"),
    };
    let steps = match run.epochs {
        Some(passed) => format!("{steps} ({})", epochs(passed)),
        None => steps,
    };
    let mut text = match &log.end {
        End::Finished { early: false, .. } => format!("Finished: {steps} in {took}."),
        End::Finished { early: true, .. } => {
            format!("Ended early, for lack of improvement: {steps} in {took}.")
        }
        End::Stopped => {
            format!("Stopped when asked to, after {steps} and {took}; it can be resumed.")
        }
        End::Failed { message } => format!("Failed after {steps} and {took}: {message}."),
        End::Open => {
            let seen = log.last_time.map(date).unwrap_or_default();
            format!(
                "Unfinished: {steps} in {took}, last heard of {seen}. It is still training, or was cut off."
            )
        }
    };
    if let End::Finished { best_step: Some(best), .. } = log.end {
        text += &format!(" The model is that of step {}.", thousands(best));
    }
    if let Some(evaluation) = &run.evaluation {
        let (rows, split) = (thousands(evaluation.rows as u64), &evaluation.split);
        let policy = evaluation.thresholds.policy;
        text += &format!(" Judged on the {rows} rows of {split}, thresholds {policy}.");
        if evaluation.is_tuned_on_its_rows() {
            text += " They and the step were chosen on these rows: expect a little less elsewhere.";
        } else if log.evaluations.len() > 1 {
            text += " The step was chosen on these rows: expect a little less elsewhere.";
        }
    }
    text
}

fn tiles(run: &RunReport) -> Markup {
    let mut tiles: Vec<(&str, String, String)> = Vec::new();
    if let Some(evaluation) = &run.evaluation {
        let intervals = evaluation.confidence_intervals.as_ref();
        let said = |value: Option<Interval>| {
            value.map(|Interval(ends)| format!("95 %: {}", interval(ends))).unwrap_or_default()
        };
        let of_macro = said(intervals.map(|intervals| intervals.macro_f1));
        let of_micro = said(intervals.map(|intervals| intervals.micro_f1));
        let unflattered = run.detail.as_ref().and_then(|detail| detail.cross_validated);
        let other_half = "thresholds tuned on the other half";
        tiles.push(("macro-F1", three(evaluation.macro_f1), of_macro));
        tiles.extend(unflattered.map(|found| {
            ("macro-F1, cross-validated", three(found.macro_f1), other_half.to_owned())
        }));
        tiles.push(("micro-F1", three(evaluation.micro_f1), of_micro));
        tiles.extend(unflattered.map(|found| {
            ("micro-F1, cross-validated", three(found.micro_f1), other_half.to_owned())
        }));
        let all_right = percent(evaluation.subset_accuracy);
        tiles.push(("rows all right", all_right, "every label".to_owned()));
        let error = evaluation.expected_calibration_error;
        tiles.push(("calibration error", three(error), "mean over labels".to_owned()));
    } else if let Some(loss) = run.log.steps.last().and_then(|point| point.loss) {
        tiles.push(("loss", three(loss), "of the last steps".to_owned()));
    }
    if let Some(speed) = run.log.samples_per_second() {
        let speed = thousands(speed.round() as u64);
        tiles.push(("texts a second", speed, "median, training".to_owned()));
    }
    if let Some(parameters) = run.log.sessions.last().and_then(|session| session.parameters) {
        let millions = format!("{:.1} M", parameters as f64 / 1e6);
        tiles.push(("parameters", millions, thousands(parameters)));
    }
    html! {
        @if !tiles.is_empty() {
            dl.tiles {
                @for (name, value, more) in &tiles {
                    div {
                        dt { (name) }
                        dd { (value) small { (more) } }
                    }
                }
            }
        }
    }
}
