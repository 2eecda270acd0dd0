//! Curves over steps, of one run or of several.

use maud::{Markup, html};

use super::format::{small, thousands, three_or_dash};
use super::{figure, line_key, scrolling};
use crate::error::ReportError;
use crate::log::{End, StepPoint};
use crate::plot::{Axis, LineChart, Series, line_chart};
use crate::run::RunReport;

/// Metrics that are drawn, with their names for people.
const METRICS: [(&str, &str); 3] = [
    ("macro_f1", "macro-F1"),
    ("micro_f1", "micro-F1"),
    ("macro_average_precision", "macro average precision"),
];

/// A value of each logged window.
pub(super) fn of_steps(run: &RunReport, value: fn(&StepPoint) -> Option<f64>) -> Vec<(f64, f64)> {
    let points = run.log.steps.iter();
    points.map(|point| (point.step as f64, value(point).unwrap_or(f64::NAN))).collect()
}

/// A metric of each evaluation.
pub(super) fn of_evaluations(run: &RunReport, metric: &str) -> Vec<(f64, f64)> {
    let points = run.log.evaluations.iter();
    points.map(|point| (point.step as f64, point.metric(metric).unwrap_or(f64::NAN))).collect()
}

fn is_empty(points: &[(f64, f64)]) -> bool {
    points.iter().all(|(_, value)| !value.is_finite())
}

pub(super) fn whole(value: f64) -> String {
    thousands(value.max(0.0).round() as u64)
}

pub(super) fn training(run: &RunReport) -> Result<Markup, ReportError> {
    let best = match run.log.end {
        End::Finished { best_step, .. } => best_step,
        _ => run.log.evaluations.iter().rfind(|point| point.best).map(|point| point.step),
    };
    let marks: Vec<f64> = best.iter().map(|step| *step as f64).collect();
    let best_said = best
        .map(|step| {
            format!("The upright line marks the best evaluation, step {}.", thousands(step))
        })
        .unwrap_or_default();
    if run.log.steps.is_empty() && run.log.evaluations.is_empty() {
        return Ok(html! { p { "The log has no steps to draw curves of." } });
    }
    Ok(html! {
        div.grid {
            (loss(run)?)
            @if !run.log.evaluations.is_empty() { (metrics(run, marks, &best_said)?) }
            (figure(
                "Learning rate",
                curve("Learning rate by step", "learning rate", small, of_steps(run, |p| p.learning_rate))?,
                html! {},
                html! { "Of the last step of each line of the log." },
            ))
            (figure(
                "Throughput",
                curve("Texts a second by step", "texts a second", whole, of_steps(run, |p| p.samples_per_second))?,
                html! {},
                html! { "Texts trained on a second of wall-clock time, evaluations left out." },
            ))
        }
        @if !run.log.evaluations.is_empty() { (evaluations(run)) }
        @if !run.log.warnings.is_empty() {
            h3 { "Warnings" }
            ul { @for warning in &run.log.warnings { li { (warning) } } }
        }
    })
}

fn curve(
    title: &str,
    y_name: &str,
    y_label: fn(f64) -> String,
    points: Vec<(f64, f64)>,
) -> Result<Option<String>, ReportError> {
    let series = vec![Series { points, style: 0, marked: false }];
    let (y_axis, y_label) = (Axis::FromZero, Some(y_label));
    line_chart(&LineChart { title, x_name: "step", y_name, y_axis, y_label, series, marks: vec![] })
}

fn loss(run: &RunReport) -> Result<Markup, ReportError> {
    let mut series =
        vec![Series { points: of_steps(run, |point| point.loss), style: 0, marked: false }];
    let mut names = vec![(0, "training")];
    let validation = of_evaluations(run, "loss");
    if !is_empty(&validation) {
        series.push(Series { points: validation, style: 1, marked: true });
        names.push((1, "validation"));
    }
    let plot = line_chart(&LineChart {
        title: "Loss by step, on a logarithmic axis",
        x_name: "step",
        y_name: "loss",
        y_axis: Axis::Logarithmic,
        y_label: Some(small),
        series,
        marks: vec![],
    })?;
    let caption = html! {
        @if run.is_distillation { "Distance from the teacher's states, weighed as the settings say. " }
        @else { "Training: the recipe's loss, regularisation and all. " }
        @if names.len() > 1 { "Validation: plain binary cross-entropy. " }
        "Logarithmic."
    };
    Ok(figure("Loss", plot, line_key(&names), caption))
}

fn metrics(run: &RunReport, marks: Vec<f64>, said: &str) -> Result<Markup, ReportError> {
    let all = METRICS.iter().enumerate().map(|(style, (key, name))| {
        (Series { points: of_evaluations(run, key), style, marked: true }, (style, *name))
    });
    let (series, names): (Vec<_>, Vec<_>) =
        all.filter(|(series, _)| !is_empty(&series.points)).unzip();
    let plot = line_chart(&LineChart {
        title: "Metrics on the validation split by step",
        x_name: "step",
        y_name: "value",
        y_axis: Axis::Near,
        y_label: None,
        series,
        marks,
    })?;
    Ok(figure("Metrics on the validation split", plot, line_key(&names), html! { (said) }))
}

/// The numbers behind the curves of evaluations.
fn evaluations(run: &RunReport) -> Markup {
    let mut names: Vec<&String> = Vec::new();
    for name in run.log.evaluations.iter().flat_map(|point| point.metrics.keys()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let table = html! {
        table {
            caption { "Each evaluation on the way; a star marks a new best" }
            thead {
                tr {
                    th scope="col" { "step" }
                    @for name in &names { th scope="col" { (name.replace('_', " ")) } }
                }
            }
            tbody {
                @for point in &run.log.evaluations {
                    tr {
                        th scope="row" { (thousands(point.step)) @if point.best { " ★" } }
                        @for name in &names { td { (three_or_dash(point.metric(name))) } }
                    }
                }
            }
        }
    };
    html! {
        details {
            summary { "All evaluations as numbers" }
            (scrolling("All evaluations", table))
        }
    }
}
