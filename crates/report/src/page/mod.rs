//! Pages: one HTML file each, with its style inside and nothing outside of it.

mod compare;
mod data;
mod format;
mod labels;
mod pairs;
mod run;
mod settings;
mod texts;
mod training;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(crate) use compare::comparison_page;
pub(crate) use format::{duration, epochs, percent, signed, thousands, three};
pub(crate) use run::run_page;

use crate::plot::{DASHES, SERIES};

const STYLE: &str = include_str!("style.css");

/// A part of a page: its anchor, its heading, and what stands below.
struct Section {
    id: &'static str,
    heading: &'static str,
    body: Markup,
}

/// A page of a head, sections, and the list of them.
fn shell(title: &str, eyebrow: &str, head: Markup, sections: Vec<Section>) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content={ "tinymood " (env!("CARGO_PKG_VERSION")) };
                title { (title) " · tinymood" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.eyebrow { (eyebrow) }
                    h1 { (title) }
                    (head)
                }
                nav aria-label="Contents" {
                    ul {
                        @for section in &sections {
                            li { a href={ "#" (section.id) } { (section.heading) } }
                        }
                    }
                }
                main {
                    @for section in &sections {
                        section aria-labelledby=(section.id) {
                            h2 id=(section.id) { (section.heading) }
                            (section.body)
                        }
                    }
                }
                footer { "Written by tinymood " (env!("CARGO_PKG_VERSION")) ". All numbers of the plots stand in the JSON file beside this one." }
            }
        }
    };
    page.into_string()
}

/// A plot with its heading, key and caption; a sentence where there is nothing to draw.
fn figure(heading: &str, plot: Option<String>, key: Markup, caption: Markup) -> Markup {
    html! {
        figure {
            figcaption { strong { (heading) } (caption) }
            @match plot {
                Some(plot) => { (key) (PreEscaped(plot)) }
                None => { p.muted { "Nothing to draw: there are no numbers." } }
            }
        }
    }
}

/// What the lines of a plot are: a name each, in the order of their styles.
fn line_key(names: &[(usize, &str)]) -> Markup {
    html! {
        ul.key {
            @for (style, name) in names {
                li {
                    svg width="30" height="8" viewBox="0 0 30 8" aria-hidden="true" {
                        line x1="0" y1="4" x2="30" y2="4" stroke-width="2.5"
                            stroke={ "var(--s" (style % SERIES) ")" }
                            stroke-dasharray=[Some(DASHES[style % SERIES]).filter(|dash| !dash.is_empty())] {}
                    }
                    (name)
                }
            }
        }
    }
}

/// What the colours of bars are.
fn bar_key(names: &[&str]) -> Markup {
    html! {
        ul.key {
            @for (style, name) in names.iter().enumerate() {
                li {
                    svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" {
                        rect width="12" height="12" fill={ "var(--s" (style % SERIES) ")" } {}
                    }
                    (name)
                }
            }
        }
    }
}

/// What the marks are.
fn mark_key(names: &[&str]) -> Markup {
    html! {
        ul.key {
            @for (style, name) in names.iter().enumerate() {
                li {
                    svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" {
                        (mark(style))
                    }
                    (name)
                }
            }
        }
    }
}

/// A run's mark, as `plot::labels` draws it.
fn mark(style: usize) -> Markup {
    let color = format!("var(--s{})", style % SERIES);
    html! {
        @match style % 4 {
            0 => circle cx="6" cy="6" r="5" fill=(color) {}
            1 => rect x="1" y="1" width="10" height="10" fill=(color) {}
            2 => circle cx="6" cy="6" r="4" fill="none" stroke-width="2.5" stroke=(color) {}
            _ => rect x="2" y="2" width="8" height="8" fill="none" stroke-width="2.5" stroke=(color) {}
        }
    }
}

/// A table that is wider than a phone: it scrolls by itself, by keyboard too.
fn scrolling(name: &str, table: Markup) -> Markup {
    html! { div.scroll role="region" tabindex="0" aria-label={ "Table: " (name) } { (table) } }
}

/// A box of sentences, where there are any.
fn notes(heading: &str, notes: &[String]) -> Markup {
    html! {
        @if !notes.is_empty() {
            div.note {
                h2 { (heading) }
                ul { @for note in notes { li { (note) } } }
            }
        }
    }
}
