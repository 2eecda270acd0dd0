//! The page of several runs beside one another.

use std::collections::BTreeMap;

use maud::{Markup, html};
use tinymood_eval::paired::{Difference, PairedBootstrap};
use tinymood_eval::{CrossValidated, Evaluation, bootstrap::Interval};

use super::format::{
    duration, epochs, interval, percent, signed, small, thousands, three, three_or_dash,
};
use super::training::{of_evaluations, of_steps, whole};
use super::{Section, figure, line_key, mark_key, run, scrolling, settings, shell};
use crate::card::CROSS_VALIDATED;
use crate::compare::{Adjusted, Comparison};
use crate::error::ReportError;
use crate::figures::{ReliabilityPoint, detailed_labels};
use crate::plot::{Axis, Dots, LineChart, Series, dot_chart, line_chart, reliability_chart};
use crate::run::RunReport;
use crate::seeds::{SeedGroup, Spread};

type Column = (&'static str, fn(&Evaluation) -> String);

/// Figures that stand side by side.
const FIGURES: [Column; 14] = [
    ("macro-F1", |e| three(e.macro_f1)),
    ("micro-F1", |e| three(e.micro_f1)),
    ("weighted F1", |e| three(e.weighted_f1)),
    ("samples F1", |e| three(e.samples_f1)),
    ("macro precision", |e| three(e.macro_precision)),
    ("macro recall", |e| three(e.macro_recall)),
    ("micro precision", |e| three(e.micro_precision)),
    ("micro recall", |e| three(e.micro_recall)),
    ("macro average precision", |e| three_or_dash(e.macro_average_precision)),
    ("macro ROC AUC", |e| three_or_dash(e.macro_roc_auc)),
    ("subset accuracy", |e| three(e.subset_accuracy)),
    ("binary cross-entropy", |e| format!("{:.4}", e.loss)),
    ("calibration error", |e| format!("{:.4}", e.expected_calibration_error)),
    ("rows without a label", |e| percent(e.rows_without_labels)),
];

/// Renders the page.
///
/// # Errors
/// When a plot cannot be drawn.
pub(crate) fn comparison_page(comparison: &Comparison) -> Result<String, ReportError> {
    let runs = &comparison.runs;
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let mut sections = vec![
        Section { id: "figures", heading: "Figures", body: figures(comparison) },
        Section { id: "curves", heading: "Curves", body: curves(runs)? },
    ];
    if let Some(body) = labels(runs)? {
        sections.push(Section { id: "labels", heading: "Labels", body });
    }
    if let Some(body) = calibration(runs)? {
        sections.push(Section { id: "calibration", heading: "Calibration", body });
    }
    sections.push(Section {
        id: "settings",
        heading: "Settings that differ",
        body: differing(runs),
    });
    let head = html! {
        @for run in runs { p { strong { (run.name) } " – " (run::state(run)) } }
        @for run in runs.iter().filter(|run| !run.notes.is_empty()) {
            div.note {
                h2 { "What is missing of " (run.name) }
                ul { @for note in &run.notes { li { (note) } } }
            }
        }
    };
    Ok(shell(&names.join(" · "), "Runs compared", head, sections))
}

fn header(first: &str, runs: &[RunReport]) -> Markup {
    html! {
        thead {
            tr {
                th.text scope="col" { (first) }
                @for run in runs { th scope="col" { (run.name) } }
            }
        }
    }
}

fn figures(comparison: &Comparison) -> Markup {
    let runs = &comparison.runs;
    let of = |run: &RunReport, figure: fn(&Evaluation) -> String| {
        run.evaluation.as_ref().map_or("–".to_owned(), figure)
    };
    let unflattered = |run: &RunReport, figure: fn(CrossValidated) -> f64| {
        three_or_dash(run.detail.as_ref().and_then(|detail| detail.cross_validated).map(figure))
    };
    let passed = |run: &RunReport| run.epochs.map_or("–".to_owned(), epochs);
    let speed = |run: &RunReport| run.log.samples_per_second().map_or("–".to_owned(), whole);
    let parameters = |run: &RunReport| {
        let last = run.log.sessions.last();
        last.and_then(|session| session.parameters).map_or("–".to_owned(), thousands)
    };
    html! {
        (scrolling("Figures side by side", html! {
            table {
                caption { "Figures side by side" }
                (header("figure", runs))
                tbody {
                    @for (name, figure) in FIGURES {
                        tr { th scope="row" { (name) } @for run in runs { td { (of(run, figure)) } } }
                        @if let Some((_, name, figure)) = CROSS_VALIDATED.iter().find(|(known, ..)| *known == name) {
                            tr { th scope="row" { (name) } @for run in runs { td { (unflattered(run, *figure)) } } }
                        }
                    }
                    tr { th scope="row" { "steps" } @for run in runs { td { (thousands(run.log.last_step)) } } }
                    tr { th scope="row" { "epochs" } @for run in runs { td { (passed(run)) } } }
                    tr { th scope="row" { "texts a second, training" } @for run in runs { td { (speed(run)) } } }
                    tr { th scope="row" { "time" } @for run in runs { td { (duration(run.log.seconds())) } } }
                    tr { th scope="row" { "parameters" } @for run in runs { td { (parameters(run)) } } }
                }
            }
        }))
        @if !comparison.seeds.is_empty() { (over_seeds(&comparison.seeds)) }
        (tests(comparison))
    }
}

fn over_seeds(groups: &[SeedGroup]) -> Markup {
    let of = |Spread { mean, standard_deviation }: Spread, digits: usize| {
        format!("{mean:.digits$} ± {standard_deviation:.digits$}")
    };
    html! {
        h3 { "Over seeds" }
        (scrolling("Over seeds", html! {
            table {
                caption { "Mean and standard deviation of runs that differ in their seed alone" }
                thead {
                    tr {
                        th.text scope="col" { "runs" }
                        th scope="col" { "macro-F1" }
                        th scope="col" { "micro-F1" }
                        th scope="col" { "macro average precision" }
                        th scope="col" { "binary cross-entropy" }
                    }
                }
                tbody {
                    @for group in groups {
                        tr {
                            th scope="row" { (group.runs.join(", ")) }
                            td { (of(group.macro_f1, 3)) }
                            td { (of(group.micro_f1, 3)) }
                            td { (group.macro_average_precision.map_or("–".to_owned(), |of_all| of(of_all, 3))) }
                            td { (of(group.loss, 4)) }
                        }
                    }
                }
            }
        }))
    }
}

fn tests(comparison: &Comparison) -> Markup {
    let first = &comparison.runs[0].name;
    let found: Vec<(&str, &PairedBootstrap, Option<Adjusted>)> = comparison
        .tests
        .iter()
        .zip(&comparison.adjusted)
        .zip(&comparison.runs[1..])
        .filter_map(|((test, adjusted), run)| Some((run.name.as_str(), test.as_ref()?, *adjusted)))
        .collect();
    let Some((_, any, adjusted)) = found.first() else {
        return html! {
            h3 { "Is the difference more than chance?" }
            p { "There is no test: it needs the predictions of " (first) " and of another run, and resamplings." }
        };
    };
    let tuned =
        |run: &RunReport| run.evaluation.as_ref().is_some_and(Evaluation::is_tuned_on_its_rows);
    let is_tuned = comparison.runs.iter().any(tuned);
    // One block: else Chromium may put a page break between the rows of this small table.
    html! {
        div.whole {
            h3 { "Is the difference more than chance?" }
            p {
                "Paired bootstrap: " (thousands(any.resamples as u64)) " times as many rows are drawn with replacement, "
                "the same for both runs, and the difference of their figures is taken anew. The interval holds 95 % of "
                "these differences. The p-value is the share in which they lie as far from the difference found as that "
                "lies from none (Efron and Tibshirani, 1993; Koehn, 2004; Berg-Kirkpatrick et al., 2012). It does not see "
                "what another seed would have given"
                @if is_tuned { ", nor that thresholds were tuned on these rows" }
                "."
                @if adjusted.is_some() {
                    " With " (found.len()) " runs held against the first, chance has as many tries in each figure: the "
                    "adjusted p-value allows for them (Holm, 1979)."
                }
            }
            (scrolling("Paired bootstrap", html! {
                table {
                    caption { "Differences from " (first) ", the run named first" }
                    thead {
                        tr {
                            th.text scope="col" { "run" }
                            th.text scope="col" { "figure" }
                            th scope="col" { "difference" }
                            th scope="col" { "95 % interval" }
                            th scope="col" { "p-value" }
                            @if adjusted.is_some() { th scope="col" { "adjusted" } }
                            th scope="col" { "better in" }
                        }
                    }
                    tbody {
                        @for (name, test, adjusted) in &found {
                            (difference(name, "macro-F1", &test.macro_f1, adjusted.map(|p| p.macro_f1)))
                            (difference(name, "micro-F1", &test.micro_f1, adjusted.map(|p| p.micro_f1)))
                        }
                    }
                }
            }))
        }
    }
}

fn difference(run: &str, figure: &str, found: &Difference, adjusted: Option<f64>) -> Markup {
    let Interval(ends) = found.interval;
    html! {
        tr {
            th scope="row" { (run) }
            td.text { (figure) }
            td { (signed(found.difference)) }
            td { (signed(ends[0])) " to " (signed(ends[1])) }
            td { (format!("{:.4}", found.p_value)) }
            @if let Some(p) = adjusted { td { (format!("{p:.4}")) } }
            td { (percent(found.second_better)) " of resamples" }
        }
    }
}

/// The one plot that does not say by its ticks alone how its axis is divided.
const LOSS: &str = "Loss, training";

fn curves(runs: &[RunReport]) -> Result<Markup, ReportError> {
    let names: Vec<(usize, &str)> =
        runs.iter().enumerate().map(|(style, run)| (style, run.name.as_str())).collect();
    let of = |points: &dyn Fn(&RunReport) -> Vec<(f64, f64)>, marked: bool| -> Vec<Series> {
        let series =
            |(style, run): (usize, &RunReport)| Series { points: points(run), style, marked };
        runs.iter().enumerate().map(series).collect()
    };
    let chart = |title, y_name, y_axis, y_label, series| {
        line_chart(&LineChart {
            title,
            x_name: "step",
            y_name,
            y_axis,
            y_label,
            series,
            marks: vec![],
        })
    };
    let metric = |name: &'static str| of(&|run| of_evaluations(run, name), true);
    let plots = [
        (
            "macro-F1 on the validation split",
            chart(
                "macro-F1 of each run by step",
                "macro-F1",
                Axis::Near,
                None,
                metric("macro_f1"),
            )?,
        ),
        (
            "micro-F1 on the validation split",
            chart(
                "micro-F1 of each run by step",
                "micro-F1",
                Axis::Near,
                None,
                metric("micro_f1"),
            )?,
        ),
        (
            LOSS,
            chart(
                "Training loss of each run by step, on a logarithmic axis",
                "loss",
                Axis::Logarithmic,
                Some(small),
                of(&|run| of_steps(run, |p| p.loss), false),
            )?,
        ),
        (
            "Loss, validation",
            chart("Validation loss of each run by step", "loss", Axis::Near, None, metric("loss"))?,
        ),
        (
            "Learning rate",
            chart(
                "Learning rate of each run by step",
                "learning rate",
                Axis::FromZero,
                Some(small),
                of(&|run| of_steps(run, |p| p.learning_rate), false),
            )?,
        ),
        (
            "Throughput",
            chart(
                "Texts a second of each run by step",
                "texts a second",
                Axis::FromZero,
                Some(whole),
                of(&|run| of_steps(run, |p| p.samples_per_second), false),
            )?,
        ),
    ];
    Ok(html! {
        div.grid {
            @for (heading, plot) in plots.into_iter().filter(|(_, plot)| plot.is_some()) {
                (figure(heading, plot, line_key(&names), html! {
                    @if heading == LOSS { "Logarithmic." }
                }))
            }
        }
    })
}

fn labels(runs: &[RunReport]) -> Result<Option<Markup>, ReportError> {
    let judged: Vec<&RunReport> = runs.iter().filter(|run| run.evaluation.is_some()).collect();
    let Some(first) = judged.first().and_then(|run| run.evaluation.as_ref()) else {
        return Ok(None);
    };
    let f1 = |run: &RunReport, label: usize| {
        run.evaluation.as_ref().and_then(|e| e.labels.get(label)).map_or(f64::NAN, |(_, l)| l.f1)
    };
    let shown = detailed_labels(first);
    let mut order = shown.clone();
    order.sort_by(|a, b| f1(judged[0], *b).total_cmp(&f1(judged[0], *a)));
    let value = |run: &RunReport, label: usize| {
        let intervals = run.detail.as_ref().and_then(|detail| detail.intervals(label));
        (f1(run, label), intervals.map(|found| found.f1.0))
    };
    let plot = dot_chart(&Dots {
        title: "F1 of each label and run with its 95 % interval; the table has the numbers",
        x_name: "F1",
        names: order.iter().map(|label| first.labels[*label].0.as_str()).collect(),
        runs: judged.iter().map(|run| order.iter().map(|l| value(run, *l)).collect()).collect(),
    })?;
    let names: Vec<&str> = judged.iter().map(|run| run.name.as_str()).collect();
    let caption =
        html! { "In the order of " (names[0]) ". Lines: 95 % intervals of each run by itself." };
    let table = html! {
        table {
            caption { "F1 of each label" }
            thead {
                tr {
                    th.text scope="col" { "label" }
                    th scope="col" { "support" }
                    @for name in &names { th scope="col" { (name) } }
                }
            }
            tbody {
                @for index in shown.iter().copied() {
                    @let (name, label) = &first.labels[index];
                    tr {
                        th scope="row" { (name) }
                        td { (thousands(label.support)) }
                        @for run in &judged {
                            @let (value, ends) = value(run, index);
                            td { (three(value)) @if let Some(ends) = ends { small { (interval(ends)) } } }
                        }
                    }
                }
            }
        }
    };
    Ok(Some(html! {
        div.grid {
            (figure("F1 of each label", plot, mark_key(&names), caption))
            (scrolling("F1 of each label", table))
        }
    }))
}

fn calibration(runs: &[RunReport]) -> Result<Option<Markup>, ReportError> {
    let judged: Vec<(&str, &[ReliabilityPoint])> = runs
        .iter()
        .filter_map(|run| Some((run.name.as_str(), &run.detail.as_ref()?.reliability[..])))
        .collect();
    if judged.is_empty() {
        return Ok(None);
    }
    let points: Vec<&[ReliabilityPoint]> = judged.iter().map(|(_, points)| *points).collect();
    let plot = reliability_chart("Reliability diagram of each run", &points)?;
    let names: Vec<(usize, &str)> =
        judged.iter().enumerate().map(|(style, (name, _))| (style, *name)).collect();
    let caption = html! {
        "Share that is true by mean probability, over all decisions. On the straight line probabilities mean what "
        "they say. Upright lines: 95 % intervals (Wilson, 1927), as if decisions were independent of one another. "
        "The JSON file has the numbers."
    };
    Ok(Some(html! { div.grid { (figure("Reliability", plot, line_key(&names), caption)) } }))
}

/// Settings that are not the same in all runs.
fn differing(runs: &[RunReport]) -> Markup {
    let all: Vec<BTreeMap<String, String>> = runs
        .iter()
        .map(|run| {
            let mut rows = settings::rows(&run.settings.source);
            rows.extend(settings::rows(&run.settings.recipe));
            rows.push(("tinymood".to_owned(), run.settings.tinymood.clone()));
            let engine = run.log.sessions.last().and_then(|session| session.engine.clone());
            rows.extend(engine.map(|engine| ("engine".to_owned(), engine)));
            rows.into_iter().collect()
        })
        .collect();
    let mut names: Vec<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    names.sort();
    names.dedup();
    names.retain(|name| all.iter().any(|rows| rows.get(*name) != all[0].get(*name)));
    if names.is_empty() {
        return html! { p { "None: the runs have the same settings." } };
    }
    scrolling(
        "Settings that differ",
        html! {
            table.pairs {
                caption { "Settings that are not the same in all runs" }
                (header("setting", runs))
                tbody {
                    @for name in names {
                        tr {
                            th scope="row" { (name) }
                            @for rows in &all { td { (rows.get(name).map_or("–", String::as_str)) } }
                        }
                    }
                }
            }
        },
    )
}
