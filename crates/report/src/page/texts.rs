//! Texts that the model got wrong.

use maud::{Markup, html};

use super::format::{clean, probability, thousands, three_or_dash};
use super::scrolling;
use crate::mistakes::{Mistake, WorstText};
use crate::run::RunReport;

pub(super) fn texts(run: &RunReport) -> Option<Markup> {
    let mistakes = &run.detail.as_ref()?.mistakes;
    let wrong = &mistakes.false_positives;
    let missed = &mistakes.false_negatives;
    if wrong.is_empty() && missed.is_empty() && mistakes.worst.is_empty() {
        return None;
    }
    Some(html! {
        p {
            "Labels are the judgement of annotators, so the surest mistakes are often theirs: read them before "
            "training again. Lines are those of the data's file."
        }
        @if !wrong.is_empty() {
            h3 { "Given and not annotated, most surely" }
            (table("False positives with the highest probabilities", "given", wrong))
        }
        @if !missed.is_empty() {
            h3 { "Annotated and missed, most surely" }
            (table("False negatives with the lowest probabilities", "missed", missed))
        }
        @if !mistakes.worst.is_empty() {
            h3 { "Most wrong altogether" }
            (worst(&mistakes.worst))
        }
    })
}

fn names(names: &[String]) -> Markup {
    html! { @if names.is_empty() { "none" } @else { (names.join(", ")) } }
}

fn table(caption: &str, verb: &str, mistakes: &[Mistake]) -> Markup {
    scrolling(
        caption,
        html! {
            table.texts {
                caption { (caption) }
                thead {
                    tr {
                        th.text scope="col" { (verb) }
                        th scope="col" { "probability" }
                        th scope="col" { "threshold" }
                        th.text scope="col" { "text" }
                        th.text scope="col" { "annotated" }
                        th scope="col" { "line" }
                    }
                }
                tbody {
                    @for mistake in mistakes {
                        tr {
                            th scope="row" { (mistake.label) }
                            td { (probability(mistake.probability)) }
                            td { (three_or_dash(mistake.threshold)) }
                            td.said dir="auto" { (clean(&mistake.text)) }
                            td.names { (names(&mistake.truth)) }
                            td { (thousands(mistake.line as u64)) }
                        }
                    }
                }
            }
        },
    )
}

fn worst(worst: &[WorstText]) -> Markup {
    let caption = "Texts with the largest sum of their labels' cross-entropy";
    scrolling(
        caption,
        html! {
            table.texts {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { "loss" }
                        th.text scope="col" { "text" }
                        th.text scope="col" { "annotated" }
                        th.text scope="col" { "given" }
                        th scope="col" { "line" }
                    }
                }
                tbody {
                    @for text in worst {
                        tr {
                            td { (format!("{:.2}", text.loss)) }
                            td.said dir="auto" { (clean(&text.text)) }
                            td.names { (names(&text.truth)) }
                            td.names {
                                @if text.said.is_empty() { "none" }
                                @for (index, (label, value)) in text.said.iter().enumerate() {
                                    @if index > 0 { ", " }
                                    (label) " " (probability(*value))
                                }
                            }
                            td { (thousands(text.line as u64)) }
                        }
                    }
                }
            }
        },
    )
}
