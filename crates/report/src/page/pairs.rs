//! Labels beside labels: together, and taken for one another.

use maud::{Markup, html};

use super::format::{percent, thousands};
use super::scrolling;
use crate::error::ReportError;
use crate::figures::Detail;
use crate::plot::{HEAT_CLASSES, HeatMap, heat_map};
use crate::run::RunReport;

/// Labels that a map has room for; the JSON has more.
const MOST: usize = 40;

pub(super) fn pairs(run: &RunReport) -> Result<Option<Markup>, ReportError> {
    let Some((evaluation, detail)) = run.evaluation.as_ref().zip(run.detail.as_ref()) else {
        return Ok(None);
    };
    let names: Vec<&str> = evaluation.labels.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() < 2 {
        return Ok(None);
    }
    let shown = most_frequent(detail);
    let together = map(
        "Share of each label's rows (down) in which another label (across) is true too",
        &names,
        &shown,
        |row, column| {
            (row != column).then(|| share(detail, row, detail.pairs.together(row, column)))?
        },
    )?;
    let confused = map(
        "Share of each label's rows (down) in which it was missed and another (across) wrongly given; on the diagonal the share found",
        &names,
        &shown,
        |row, column| share(detail, row, detail.pairs.confused(row, column)),
    )?;
    Ok(Some(html! {
        @if shown.len() < names.len() {
            p { "The " (shown.len()) " most frequent of " (names.len()) " labels; the JSON file has those of " (detail.labels.len()) "." }
        }
        (heat_figure(
            "True together",
            "Of the rows that have the label on the left, the percentage that have the label above too, as annotated.",
            together, shown.len(),
        ))
        (heat_figure(
            "Taken for one another",
            "Of the rows that have the label on the left, the percentage in which it was missed and the label above \
             given although it is not true. On the diagonal the percentage in which it was found: its recall.",
            confused, shown.len(),
        ))
        @if !detail.confusions.is_empty() { (confusions(detail)) }
    }))
}

fn share(detail: &Detail, row: usize, count: u32) -> Option<f64> {
    let support = detail.pairs.support(row);
    (support > 0).then(|| f64::from(count) / f64::from(support))
}

/// The labels of a map, in label order.
fn most_frequent(detail: &Detail) -> Vec<usize> {
    let mut order = detail.labels.clone();
    order.sort_by_key(|label| std::cmp::Reverse(detail.pairs.support(*label)));
    order.truncate(MOST);
    order.sort_unstable();
    order
}

fn map(
    title: &str,
    names: &[&str],
    shown: &[usize],
    share: impl Fn(usize, usize) -> Option<f64>,
) -> Result<Option<String>, ReportError> {
    let pairs = shown.iter().flat_map(|row| shown.iter().map(move |column| (*row, *column)));
    heat_map(&HeatMap {
        title,
        names: shown.iter().map(|label| names[*label]).collect(),
        shares: pairs.map(|(row, column)| share(row, column)).collect(),
    })
}

fn heat_figure(heading: &str, caption: &str, plot: Option<String>, labels: usize) -> Markup {
    let width = 122 + 25 * labels;
    let plot = plot.unwrap_or_default();
    // Its own size, whatever the page's: 28 columns are not to be read on a phone's width.
    let plot = plot.replacen("<svg ", &format!("<svg style=\"width:{width}px\" "), 1);
    html! {
        h3 { (heading) }
        p { (caption) }
        (heat_key(heading))
        div.scroll.wide role="region" tabindex="0" aria-label={ "Map: " (heading) } { (maud::PreEscaped(plot)) }
    }
}

/// What the colours of a map are; beside each, since on paper they may be pages apart.
fn heat_key(heading: &str) -> Markup {
    let ends = HEAT_CLASSES.iter().skip(1).map(|end| Some(*end)).chain([None]);
    html! {
        ul.key aria-label={ "Colours of the map: " (heading) } {
            @for (class, (from, to)) in HEAT_CLASSES.iter().zip(ends).enumerate() {
                li {
                    svg.swatch viewBox="0 0 16 16" aria-hidden="true" {
                        rect width="16" height="16" fill={ "var(--h" (class) ")" } {}
                    }
                    @match to {
                        Some(to) if class == 0 => { "below " (whole(to)) " %" }
                        Some(to) => { (whole(*from)) "–" (whole(to)) " %" }
                        None => { (whole(*from)) " % and more" }
                    }
                }
            }
        }
    }
}

fn whole(share: f64) -> String {
    format!("{:.0}", share * 100.0)
}

fn confusions(detail: &Detail) -> Markup {
    scrolling(
        "Most frequent confusions",
        html! {
            table {
                caption { "Most frequent confusions: missed, and another given wrongly" }
                thead {
                    tr {
                        th.text scope="col" { "true and missed" }
                        th.text scope="col" { "wrongly given" }
                        th scope="col" { "rows" }
                        th scope="col" { "share of the label's rows" }
                    }
                }
                tbody {
                    @for confusion in &detail.confusions {
                        tr {
                            th scope="row" { (confusion.label) }
                            td.text { (confusion.taken_for) }
                            td { (thousands(u64::from(confusion.rows))) }
                            td { (percent(confusion.share)) }
                        }
                    }
                }
            }
        },
    )
}
