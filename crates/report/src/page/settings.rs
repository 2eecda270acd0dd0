//! What was run: settings, machine, times.

use maud::{Markup, html};

use super::format::{date, duration, epochs, thousands};
use super::scrolling;
use crate::log::Session;
use crate::run::RunReport;

pub(super) fn settings(run: &RunReport) -> Markup {
    html! {
        div.grid {
            (pairs("Data, model and computation", &rows(&run.settings.source)))
            (pairs("Machine and time", &machine(run)))
        }
        (recipe(&recipe_rows(run)))
        @if run.log.sessions.len() > 1 { (sessions(&run.log.sessions)) }
    }
}

/// The recipe, with what it came to where that is another number.
fn recipe_rows(run: &RunReport) -> Vec<(String, String)> {
    let mut rows = rows(&run.settings.recipe);
    if let Some(((_, asked), ran)) =
        rows.iter_mut().find(|(name, _)| name == "epochs").zip(run.epochs)
        && asked.parse::<f64>().is_ok_and(|asked| (asked - ran).abs() > 0.005)
    {
        *asked = format!("{asked}, of which {} ran", epochs(ran));
    }
    rows
}

/// Two columns: a recipe is long.
fn recipe(rows: &[(String, String)]) -> Markup {
    let (first, second) = rows.split_at(rows.len().div_ceil(2));
    html! {
        div.grid {
            (pairs("Recipe", first))
            @if !second.is_empty() { (pairs("Recipe, continued", second)) }
        }
    }
}

/// Names and values of a table, nested ones by dotted names.
pub(super) fn rows(table: &toml::Table) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => {
                rows.extend(
                    self::rows(inner).into_iter().map(|(key, v)| (format!("{name}.{key}"), v)),
                );
            }
            toml::Value::String(text) => rows.push((name.clone(), text.clone())),
            toml::Value::Array(list) => {
                let plain = |value: &toml::Value| match value {
                    toml::Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                rows.push((name.clone(), list.iter().map(plain).collect::<Vec<_>>().join(", ")));
            }
            other => rows.push((name.clone(), other.to_string())),
        }
    }
    rows
}

fn machine(run: &RunReport) -> Vec<(String, String)> {
    let log = &run.log;
    let mut rows = Vec::new();
    let mut row = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| (name.to_owned(), value)));
    };
    let (first, last) = (log.sessions.first(), log.sessions.last());
    row("tinymood", Some(run.settings.tinymood.clone()));
    row("engine", last.and_then(|session| session.engine.clone()));
    row("machine", last.and_then(|session| session.machine.clone()));
    row("begun", first.map(|session| date(session.time)));
    let prepared = log.prepared_seconds();
    let included = match prepared {
        Some(_) => "time, preparation and evaluations included",
        None => "time, evaluations included",
    };
    row(included, first.map(|_| duration(log.seconds())));
    row("of it, before the first step", prepared.map(duration));
    row("ran for", run.epochs.map(epochs));
    row("steps an epoch", last.and_then(|session| session.steps_per_epoch).map(thousands));
    row("rows learned from", last.and_then(|session| session.train_rows).map(thousands));
    row("rows judged on", last.and_then(|session| session.validation_rows).map(thousands));
    row("trained parameters", last.and_then(|session| session.parameters).map(thousands));
    rows
}

fn pairs(caption: &str, rows: &[(String, String)]) -> Markup {
    scrolling(
        caption,
        html! {
            table.pairs {
                caption { (caption) }
                thead { tr { th.text scope="col" { "name" } th.text scope="col" { "value" } } }
                tbody {
                    @for (name, value) in rows { tr { th scope="row" { (name) } td { (value) } } }
                }
            }
        },
    )
}

fn sessions(sessions: &[Session]) -> Markup {
    scrolling(
        "Sessions",
        html! {
            table {
                caption { "Sessions: the run was resumed" }
                thead {
                    tr {
                        th.text scope="col" { "begun" }
                        th scope="col" { "at step" }
                        th scope="col" { "time" }
                        th.text scope="col" { "engine" }
                    }
                }
                tbody {
                    @for session in sessions {
                        tr {
                            th scope="row" { (date(session.time)) }
                            td { (thousands(session.step)) }
                            td { (duration(session.seconds)) }
                            td.text { (session.engine.as_deref().unwrap_or("–")) }
                        }
                    }
                }
            }
        },
    )
}
