//! Markdown: what a model card says beyond training's own figures, and a comparison for a pull
//! request or a wiki.

use std::fmt::Write;

use tinymood_core::printable::markdown;
use tinymood_eval::CrossValidated;

use crate::compare::Comparison;
use crate::figures::detailed_labels;
use crate::log::End;
use crate::page::{duration, epochs, percent, signed, thousands, three};
use crate::run::RunReport;
use crate::seeds::Spread;

/// Tables for the model card: each label's figures, and calibration. Empty without figures.
pub fn card_details(run: &RunReport) -> String {
    let Some(evaluation) = &run.evaluation else { return String::new() };
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    if let Some(intervals) = &evaluation.confidence_intervals {
        let ends = |[low, high]: [f64; 2]| format!("{}–{}", three(low), three(high));
        line(format!(
            "95 % intervals over {} bootstrap resamples of the {} rows: macro-F1 {}, micro-F1 {}.\n",
            thousands(intervals.resamples as u64),
            thousands(evaluation.rows as u64),
            ends(intervals.macro_f1.0),
            ends(intervals.micro_f1.0)
        ));
    }
    line(format!(
        "Expected calibration error, mean over labels: {:.4}. Rows for which no label reaches its \
         threshold: {}.\n",
        evaluation.expected_calibration_error,
        percent(evaluation.rows_without_labels)
    ));
    let shown = detailed_labels(evaluation);
    if shown.len() < evaluation.labels.len() {
        line(format!(
            "The {} labels that most rows have, of {}:\n",
            shown.len(),
            evaluation.labels.len()
        ));
    }
    line("| label | support | threshold | precision | recall | F1 | 95 % of F1 |".to_owned());
    line("|---|--:|--:|--:|--:|--:|--:|".to_owned());
    for index in shown {
        let (name, label) = &evaluation.labels[index];
        let ends = run.detail.as_ref().and_then(|detail| detail.intervals(index));
        let ends = ends.map(|found| found.f1.0);
        line(format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            markdown(name),
            label.support,
            label.threshold.map_or("–".to_owned(), three),
            three(label.precision),
            three(label.recall),
            three(label.f1),
            ends.map_or("–".to_owned(), |[low, high]| format!("{}–{}", three(low), three(high)))
        ));
    }
    out
}

/// What training took, as a sentence for the model card. `None` where the log says nothing.
pub fn training_summary(run: &RunReport) -> Option<String> {
    let log = &run.log;
    log.sessions.last()?;
    let passed = run.epochs.map(|passed| format!(", {}", epochs(passed))).unwrap_or_default();
    let asked = run.settings.recipe.get("epochs").and_then(toml::Value::as_integer);
    let differs = |asked: i64| run.epochs.is_some_and(|ran| (ran - asked as f64).abs() > 0.005);
    let asked = match asked.filter(|asked| differs(*asked)) {
        Some(_) => "; `epochs` below is what was asked for",
        None => "",
    };
    let model = match log.end {
        End::Finished { best_step: Some(best), .. } if best != log.last_step => {
            format!("; the model is that of step {}", thousands(best))
        }
        _ => String::new(),
    };
    Some(format!(
        "Training took {} steps{passed}, in {}{model}{asked}.",
        thousands(log.last_step),
        duration(log.seconds())
    ))
}

/// What a comparison begins with.
pub(crate) const COMPARISON_TITLE: &str = "# Runs compared\n";

/// A figure's name, that of its cross-validated value, and the value.
type Unflattered = (&'static str, &'static str, fn(CrossValidated) -> f64);

/// Figures that tuned thresholds flatter, under the names of their cross-validated values.
pub(crate) const CROSS_VALIDATED: [Unflattered; 2] = [
    ("macro-F1", "macro-F1, cross-validated", |found| found.macro_f1),
    ("micro-F1", "micro-F1, cross-validated", |found| found.micro_f1),
];

/// Runs side by side with their tests.
pub fn comparison_markdown(comparison: &Comparison) -> String {
    let runs = &comparison.runs;
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    line(COMPARISON_TITLE.to_owned());
    let names = runs.iter().map(|run| markdown(&run.name));
    line(row(std::iter::once("figure".to_owned()).chain(names).collect()));
    line(format!("|---|{}", "--:|".repeat(runs.len())));
    for (name, figure) in [
        ("macro-F1", (|e| e.macro_f1) as fn(&tinymood_eval::Evaluation) -> f64),
        ("micro-F1", |e| e.micro_f1),
        ("weighted F1", |e| e.weighted_f1),
        ("subset accuracy", |e| e.subset_accuracy),
        ("binary cross-entropy", |e| e.loss),
        ("calibration error", |e| e.expected_calibration_error),
    ] {
        let value = |run: &RunReport| {
            run.evaluation.as_ref().map_or("–".to_owned(), |e| format!("{:.4}", figure(e)))
        };
        line(row(std::iter::once(name.to_owned()).chain(runs.iter().map(value)).collect()));
        if let Some(name) = CROSS_VALIDATED.iter().find(|(known, ..)| *known == name) {
            let (_, name, figure) = name;
            let value = |run: &RunReport| {
                let found = run.detail.as_ref().and_then(|detail| detail.cross_validated);
                found.map_or("–".to_owned(), |found| format!("{:.4}", figure(found)))
            };
            line(row(std::iter::once((*name).to_owned()).chain(runs.iter().map(value)).collect()));
        }
    }
    if !comparison.seeds.is_empty() {
        line("\nMean and standard deviation of runs that differ in their seed alone:\n".to_owned());
        line("| runs | macro-F1 | micro-F1 | binary cross-entropy |\n|---|--:|--:|--:|".to_owned());
    }
    for group in &comparison.seeds {
        let names = group.runs.iter().map(|name| markdown(name)).collect::<Vec<_>>().join(", ");
        let spreads = [group.macro_f1, group.micro_f1, group.loss].map(
            |Spread { mean, standard_deviation }| format!("{mean:.4} ± {standard_deviation:.4}"),
        );
        line(row([vec![names], spreads.to_vec()].concat()));
    }
    let tests: Vec<_> = comparison
        .tests
        .iter()
        .zip(&comparison.adjusted)
        .zip(&runs[1..])
        .filter_map(|((test, adjusted), run)| {
            Some((test.as_ref()?, *adjusted, markdown(&run.name)))
        })
        .collect();
    let Some((any, adjusted, _)) = tests.first() else { return out };
    line(format!(
        "\nPaired bootstrap against {}, the run named first, {} resamples of the rows{}:\n",
        markdown(&runs[0].name),
        thousands(any.resamples as u64),
        if adjusted.is_some() {
            "; adjusted for the runs tested in each figure (Holm)"
        } else {
            ""
        }
    ));
    let mut head = vec!["run", "figure", "difference", "95 % interval", "p-value"];
    head.extend(adjusted.map(|_| "adjusted"));
    line(row(head.iter().map(|&name| name.to_owned()).collect()));
    line(format!("|---|---|{}", "--:|".repeat(head.len() - 2)));
    for (test, adjusted, name) in &tests {
        for (figure, found, adjusted) in [
            ("macro-F1", &test.macro_f1, adjusted.map(|p| p.macro_f1)),
            ("micro-F1", &test.micro_f1, adjusted.map(|p| p.micro_f1)),
        ] {
            let [low, high] = found.interval.0;
            let mut cells = vec![
                name.clone(),
                figure.to_owned(),
                signed(found.difference),
                format!("{} to {}", signed(low), signed(high)),
            ];
            cells.extend(
                [Some(found.p_value), adjusted].iter().flatten().map(|p| format!("{p:.4}")),
            );
            line(row(cells));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_break_out_of_their_cell() {
        assert_eq!(markdown("a|b\n<script> *x* [l](u)"), "a\\|b &lt;script> \\*x\\* \\[l\\](u)");
    }
}
