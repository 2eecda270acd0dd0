//! What a run learned from: labels and lengths.

use maud::{Markup, html};

use super::format::{percent, thousands};
use super::{bar_key, figure, line_key, scrolling};
use crate::data::{DataSummary, SplitSummary};
use crate::error::ReportError;
use crate::figures::DETAILED_LABELS;
use crate::plot::{Axis, Bars, LineChart, Series, bar_chart, line_chart};
use crate::run::RunReport;

/// Bars of a histogram, at most.
const BINS: usize = 40;

pub(super) fn data(run: &RunReport) -> Result<Option<Markup>, ReportError> {
    let Some(data) = run.data.as_ref().filter(|data| !data.splits.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(html! {
        (scrolling("Splits", splits(data)))
        div.grid {
            (lengths(data)?)
            @if !data.labels.is_empty() { (label_shares(data)?) }
        }
        @if !data.labels.is_empty() {
            details {
                summary { "Label counts as numbers" }
                (scrolling("Label counts", label_counts(data)))
            }
        }
    }))
}

fn splits(data: &DataSummary) -> Markup {
    let share =
        |count: usize, split: &SplitSummary| percent(count as f64 / split.rows.max(1) as f64);
    let labels_of = |split: &SplitSummary| {
        let total: usize = split.labels_per_row.iter().map(|(number, rows)| number * rows).sum();
        format!("{:.2}", total as f64 / split.rows.max(1) as f64)
    };
    let none_of = |split: &SplitSummary| split.labels_per_row.get(&0).copied().unwrap_or(0);
    let length = |split: &SplitSummary, share| thousands(split.length_quantile(share) as u64);
    html! {
        table {
            caption { "Splits; lengths are in tokens, special ones included" }
            thead {
                tr {
                    th.text scope="col" { "split" }
                    th scope="col" { "rows" }
                    @if !data.labels.is_empty() {
                        th scope="col" { "labels a row" }
                        th scope="col" { "without a label" }
                    }
                    th scope="col" { "mean length" }
                    th scope="col" { "median" }
                    th scope="col" { "99 % are within" }
                    th scope="col" { "longest" }
                    th scope="col" { "cut at " (thousands(data.max_length as u64)) }
                }
            }
            tbody {
                @for split in &data.splits {
                    tr {
                        th scope="row" { (split.name) }
                        td { (thousands(split.rows as u64)) }
                        @if !data.labels.is_empty() {
                            td { (labels_of(split)) }
                            td { (share(none_of(split), split)) }
                        }
                        td { (split.mean_length().map_or("–".to_owned(), |mean| format!("{mean:.1}"))) }
                        td { (length(split, 0.5)) }
                        td { (length(split, 0.99)) }
                        td { (length(split, 1.0)) }
                        td { (thousands(split.truncated as u64)) " (" (share(split.truncated, split)) ")" }
                    }
                }
            }
        }
    }
}

fn lengths(data: &DataSummary) -> Result<Markup, ReportError> {
    // Few long texts must not press all others into one bar.
    let longest = data.splits.iter().map(|split| split.length_quantile(0.995)).max().unwrap_or(0);
    let width = longest.div_ceil(BINS).max(1);
    let series = data.splits.iter().enumerate().map(|(style, split)| Series {
        points: steps(split, longest, width),
        style,
        marked: false,
    });
    let marks = Some(data.max_length as f64).filter(|at| *at <= longest as f64);
    let plot = line_chart(&LineChart {
        title: "Histogram of text lengths in tokens",
        x_name: "tokens",
        y_name: "share of rows, %",
        y_axis: Axis::FromZero,
        y_label: Some(super::format::small),
        series: series.collect(),
        marks: marks.into_iter().collect(),
    })?;
    let names: Vec<(usize, &str)> =
        data.splits.iter().enumerate().map(|(style, split)| (style, split.name.as_str())).collect();
    let caption = html! {
        "Up to the length that 99.5 % of the rows do not exceed"
        @if width > 1 { ", " (width) " lengths to a step" }
        ". Longer than " (thousands(data.max_length as u64)) " tokens are cut"
        @if marks.is_some() { ", at the upright line" }
        "."
    };
    Ok(figure("Lengths", plot, line_key(&names), caption))
}

/// The outline of a histogram, in percent of the rows.
fn steps(split: &SplitSummary, longest: usize, width: usize) -> Vec<(f64, f64)> {
    let bins = longest / width + 1;
    let mut counts = vec![0; bins];
    for (length, rows) in split.lengths.range(..=longest) {
        counts[length / width] += rows;
    }
    let bin = |(index, count): (usize, usize)| {
        let share = 100.0 * count as f64 / split.rows.max(1) as f64;
        let (from, to) = (index * width, (index + 1) * width);
        [(from as f64, share), (to as f64, share)]
    };
    counts.into_iter().enumerate().flat_map(bin).collect()
}

/// The most frequent labels, most frequent first, as many as a page shows.
fn most_frequent(data: &DataSummary) -> Vec<usize> {
    let count = |label: &usize| data.splits.first()?.label_counts.get(*label).copied();
    let mut order: Vec<usize> = (0..data.labels.len()).collect();
    order.sort_by_key(|label| std::cmp::Reverse(count(label)));
    order.truncate(DETAILED_LABELS);
    order
}

fn label_shares(data: &DataSummary) -> Result<Markup, ReportError> {
    let count = |split: &SplitSummary, label: usize| split.label_counts.get(label).copied();
    let order = most_frequent(data);
    let shares = |split: &SplitSummary| {
        let share = |label: &usize| {
            100.0 * count(split, *label).unwrap_or(0) as f64 / split.rows.max(1) as f64
        };
        order.iter().map(share).collect()
    };
    let plot = bar_chart(&Bars {
        title: "Share of the rows that each label has; the table has the counts",
        x_name: "share of rows, %",
        names: order.iter().map(|label| data.labels[*label].as_str()).collect(),
        splits: data.splits.iter().map(shares).collect(),
        x_label: |value| format!("{value:.0}"),
    })?;
    let names: Vec<&str> = data.splits.iter().map(|split| split.name.as_str()).collect();
    let caption = html! {
        "Share of the rows that each label has, most frequent first"
        @if order.len() < data.labels.len() {
            "; the first " (order.len()) " of " (data.labels.len()) ", data.json has all"
        }
        @if names.len() > 1 { "; bars from the top: " (names.join(", ")) }
        "."
    };
    Ok(figure("Label counts", plot, bar_key(&names), caption))
}

fn label_counts(data: &DataSummary) -> Markup {
    let mut shown = most_frequent(data);
    shown.sort_unstable();
    html! {
        table {
            caption { "Rows in which each label is true" }
            thead {
                tr {
                    th.text scope="col" { "label" }
                    @for split in &data.splits { th scope="col" { (split.name) } }
                }
            }
            tbody {
                @for index in shown {
                    tr {
                        th scope="row" { (data.labels[index]) }
                        @for split in &data.splits {
                            td { (split.label_counts.get(index).map_or("–".to_owned(), |n| thousands(*n as u64))) }
                        }
                    }
                }
            }
        }
    }
}
