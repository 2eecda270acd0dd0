//! Each label's figures, what other thresholds would give, and calibration.

use maud::{Markup, PreEscaped, html};
use tinymood_eval::bootstrap::{Interval, LabelIntervals};
use tinymood_eval::{LabelEvaluation, ThresholdPolicy};

use super::format::{interval, percent, thousands, three, three_or_dash};
use super::{figure, line_key, scrolling};
use crate::error::ReportError;
use crate::figures::detailed_labels;
use crate::plot::{Dots, dot_chart, reliability_chart, threshold_chart};
use crate::run::RunReport;

/// The labels' table and their F1 as a plot.
pub(super) fn labels(run: &RunReport) -> Result<Option<Markup>, ReportError> {
    let Some(evaluation) = &run.evaluation else { return Ok(None) };
    let mut order = detailed_labels(evaluation);
    order.sort_by(|a, b| evaluation.labels[*b].1.f1.total_cmp(&evaluation.labels[*a].1.f1));
    let value = |label: &usize| {
        let ends = run.detail.as_ref().and_then(|detail| detail.intervals(*label));
        let ends = ends.map(|found| found.f1.0);
        (evaluation.labels[*label].1.f1, ends)
    };
    let plot = dot_chart(&Dots {
        title: "F1 of each label with its 95 % interval, highest first; the table has the numbers",
        x_name: "F1",
        names: order.iter().map(|label| evaluation.labels[*label].0.as_str()).collect(),
        runs: vec![order.iter().map(value).collect()],
    })?;
    let caption = html! {
        @if let Some(detail) = run.detail.as_ref().filter(|detail| detail.resamples > 0) {
            "Lines: 95 % of " (thousands(detail.resamples as u64)) " bootstrap resamples of the rows. A resample without "
            "any row of a rare label counts as 0 for it, so intervals of rare labels lean low; macro-F1's leaves it out."
        } @else {
            "Highest first."
        }
    };
    Ok(Some(html! {
        @if order.len() < evaluation.labels.len() {
            p {
                "The " (order.len()) " labels that most rows have, of " (evaluation.labels.len()) ", here and below; "
                "the JSON file has the figures of all."
            }
        }
        (scrolling("Figures of each label", table(run)))
        div.grid {
            (figure("F1 of each label", plot, html! {}, caption))
            (averages(run))
        }
    }))
}

fn table(run: &RunReport) -> Markup {
    let Some(evaluation) = &run.evaluation else { return html! {} };
    let detail = run.detail.as_ref().filter(|detail| detail.label_intervals.is_some());
    let trained = run.data.as_ref().and_then(|data| {
        let split = data.splits.iter().find(|split| split.name == "train")?;
        Some(data.labels.iter().zip(&split.label_counts).collect::<Vec<_>>())
    });
    let trained_on = |name: &str| {
        let (_, count) = trained.as_ref()?.iter().find(|(known, _)| *known == name)?;
        Some(**count)
    };
    let cell = |value: f64, of: fn(&LabelIntervals) -> Interval, label: usize| {
        let found = detail.and_then(|detail| detail.intervals(label)).map(of);
        html! { td { (three(value)) @if let Some(Interval(ends)) = found { small { (interval(ends)) } } } }
    };
    html! {
        table {
            caption {
                "Figures of each label on " (evaluation.split)
                @if detail.is_some() { "; below each its 95 % interval" }
            }
            thead {
                tr {
                    th.text scope="col" { "label" }
                    @if trained.is_some() { th scope="col" { "rows in train" } }
                    th scope="col" { "support" }
                    th scope="col" { "predicted" }
                    th scope="col" { "threshold" }
                    th scope="col" { "precision" }
                    th scope="col" { "recall" }
                    th scope="col" { "F1" }
                    th scope="col" { "average precision" }
                    th scope="col" { "calibration error" }
                }
            }
            tbody {
                @for index in detailed_labels(evaluation) {
                    @let (name, label) = &evaluation.labels[index];
                    tr {
                        th scope="row" { (name) }
                        @if trained.is_some() {
                            td { (trained_on(name).map_or("–".to_owned(), |count| thousands(count as u64))) }
                        }
                        (counts(label))
                        td { (three_or_dash(label.threshold)) }
                        (cell(label.precision, |found| found.precision, index))
                        (cell(label.recall, |found| found.recall, index))
                        (cell(label.f1, |found| found.f1, index))
                        td { (three_or_dash(label.average_precision)) }
                        td { (three(label.expected_calibration_error)) }
                    }
                }
            }
        }
    }
}

fn counts(label: &LabelEvaluation) -> Markup {
    html! {
        td { (thousands(label.support)) }
        td { (thousands(label.predicted)) }
    }
}

fn averages(run: &RunReport) -> Markup {
    let Some(e) = &run.evaluation else { return html! {} };
    let rows = [
        ("micro", e.micro_precision, e.micro_recall, e.micro_f1),
        ("macro", e.macro_precision, e.macro_recall, e.macro_f1),
        ("weighted", e.weighted_precision, e.weighted_recall, e.weighted_f1),
        ("samples", e.samples_precision, e.samples_recall, e.samples_f1),
    ];
    let others = [
        ("subset accuracy", three(e.subset_accuracy)),
        ("Hamming loss", format!("{:.4}", e.hamming_loss)),
        ("label ranking average precision", three(e.lrap)),
        ("macro average precision", three_or_dash(e.macro_average_precision)),
        ("micro average precision", three_or_dash(e.micro_average_precision)),
        ("macro ROC AUC", three_or_dash(e.macro_roc_auc)),
        ("binary cross-entropy", format!("{:.4}", e.loss)),
        ("Brier score", format!("{:.4}", e.brier)),
        ("rows without a label", percent(e.rows_without_labels)),
    ];
    html! {
        div {
            (scrolling("Averages", html! {
                table {
                    caption { "Averages, as scikit-learn defines them" }
                    thead {
                        tr {
                            th.text scope="col" { "average" }
                            th scope="col" { "precision" }
                            th scope="col" { "recall" }
                            th scope="col" { "F1" }
                        }
                    }
                    tbody {
                        @for (name, precision, recall, f1) in rows {
                            tr {
                                th scope="row" { (name) }
                                td { (three(precision)) }
                                td { (three(recall)) }
                                td { (three(f1)) }
                            }
                        }
                    }
                }
            }))
            (scrolling("Other figures", html! {
                table {
                    caption { "Other figures" }
                    thead { tr { th.text scope="col" { "figure" } th scope="col" { "value" } } }
                    tbody {
                        @for (name, value) in others { tr { th scope="row" { (name) } td { (value) } } }
                    }
                }
            }))
        }
    }
}

/// A small plot for each label.
pub(super) fn thresholds(run: &RunReport) -> Result<Option<Markup>, ReportError> {
    let Some((evaluation, detail)) = run.evaluation.as_ref().zip(run.detail.as_ref()) else {
        return Ok(None);
    };
    let plots: Vec<Markup> = detail
        .labels
        .iter()
        .zip(&detail.threshold_curves)
        // A single-label model has no thresholds that could be others.
        .filter_map(|(index, curve)| {
            let (name, label) = &evaluation.labels[*index];
            Some((name, label, label.threshold?, curve))
        })
        .map(|(name, label, threshold, curve)| {
            let title = format!(
                "{name}: precision, recall and F1 by threshold; in use {} with F1 {}",
                three(threshold),
                three(label.f1)
            );
            let plot = threshold_chart(&title, curve, (threshold, label.f1))?;
            Ok(html! {
                figure {
                    figcaption {
                        strong { (name) }
                        (three(threshold)) " · F1 " (three(label.f1))
                    }
                    (PreEscaped(plot))
                }
            })
        })
        .collect::<Result<_, ReportError>>()?;
    if plots.is_empty() {
        return Ok(None);
    }
    Ok(Some(html! {
        p {
            "Precision, recall and F1 of each label (upwards) if its threshold (to the right) were another. "
            "The upright line is the threshold in use, the point its F1."
            @if evaluation.thresholds.policy == ThresholdPolicy::PerLabel {
                " Thresholds of rare labels are drawn toward what the model's own probabilities lead to expect, so "
                "they need not lie on the peak."
            }
        }
        (line_key(&[(0, "F1"), (1, "precision"), (2, "recall")]))
        div.small { @for plot in &plots { (plot) } }
    }))
}

/// The reliability diagram.
pub(super) fn calibration(run: &RunReport) -> Result<Option<Markup>, ReportError> {
    let Some((evaluation, detail)) = run.evaluation.as_ref().zip(run.detail.as_ref()) else {
        return Ok(None);
    };
    let title =
        "Reliability diagram: share that is true by mean probability; the table has the numbers";
    let plot = reliability_chart(title, &[&detail.reliability])?;
    let table = html! {
        table {
            caption { "Decisions by probability; below each share its 95 % interval" }
            thead {
                tr {
                    th.text scope="col" { "probability" }
                    th scope="col" { "decisions" }
                    th scope="col" { "mean" }
                    th scope="col" { "true" }
                }
            }
            tbody {
                @for point in &detail.reliability {
                    tr {
                        th scope="row" { (format!("{:.2}–{:.2}", point.from, point.to)) }
                        td { (thousands(point.bin.count)) }
                        td { (three_or_dash(point.mean_probability)) }
                        td {
                            (three_or_dash(point.share_positive))
                            @if let Some(Interval(ends)) = point.share_positive_interval {
                                small { (interval(ends)) }
                            }
                        }
                    }
                }
            }
        }
    };
    let caption = html! {
        "All decisions of all rows in 15 bins. On the straight line probabilities mean what they say; "
        "below it the model is too sure. Upright lines: 95 % intervals (Wilson, 1927), as if decisions were "
        "independent of one another; those of one row are not, so the true ones are wider. Bars: how many "
        "decisions, by factors of ten."
    };
    Ok(Some(html! {
        p {
            "Expected calibration error (15 bins): " strong { (format!("{:.4}", detail.expected_calibration_error)) }
            " over all decisions, " strong { (format!("{:.4}", evaluation.expected_calibration_error)) }
            " as the mean over labels."
        }
        div.grid {
            (figure("Reliability", plot, html! {}, caption))
            (scrolling("Decisions by probability", table))
        }
    }))
}
