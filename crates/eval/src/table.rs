//! An evaluation as text.

use comfy_table::{CellAlignment, Table, presets};
use tinymood_core::printable::one_line;

use crate::bootstrap::Interval;
use crate::evaluation::Evaluation;

const HEADER: [&str; 9] =
    ["", "precision", "recall", "f1", "support", "predicted", "threshold", "mcc", "ap"];

pub(crate) fn render(evaluation: &Evaluation) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(HEADER);
    for (name, label) in &evaluation.labels {
        table.add_row([
            shortened(name),
            three(label.precision),
            three(label.recall),
            three(label.f1),
            label.support.to_string(),
            label.predicted.to_string(),
            label.threshold.map_or_else(|| "-".to_owned(), three),
            three(label.mcc),
            label.average_precision.map_or_else(|| "-".to_owned(), three),
        ]);
    }
    table.add_row([""; 9]);
    let e = evaluation;
    let support: u64 = e.labels.iter().map(|(_, label)| label.support).sum();
    let predicted: u64 = e.labels.iter().map(|(_, label)| label.predicted).sum();
    let averages = [
        ("micro avg", e.micro_precision, e.micro_recall, e.micro_f1),
        ("macro avg", e.macro_precision, e.macro_recall, e.macro_f1),
        ("weighted avg", e.weighted_precision, e.weighted_recall, e.weighted_f1),
        ("samples avg", e.samples_precision, e.samples_recall, e.samples_f1),
    ];
    for (name, precision, recall, f1) in averages {
        table.add_row([
            name.to_owned(),
            three(precision),
            three(recall),
            three(f1),
            support.to_string(),
            predicted.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{}\n\n{}", table.trim_fmt(), figures(evaluation))
}

fn figures(e: &Evaluation) -> String {
    let optional = |value: Option<f64>| value.map_or_else(|| "undefined".to_owned(), three);
    let mut lines = vec![
        format!("split {}, {} rows; thresholds: {}", e.split, e.rows, e.thresholds.description),
        format!(
            "subset accuracy {}   hamming loss {}   rows without a label {:.1} %",
            three(e.subset_accuracy),
            four(e.hamming_loss),
            100.0 * e.rows_without_labels
        ),
        format!(
            "lrap {}   average precision: macro {}, micro {}   macro roc auc {}",
            three(e.lrap),
            optional(e.macro_average_precision),
            optional(e.micro_average_precision),
            optional(e.macro_roc_auc)
        ),
        format!(
            "loss {}   brier {}   expected calibration error {}",
            four(e.loss),
            four(e.brier),
            four(e.expected_calibration_error)
        ),
    ];
    for (figure, left_out, lacking) in [
        ("average precision", e.labels_without_average_precision, "without positives"),
        ("roc auc", e.labels_without_roc_auc, "of one kind only"),
    ] {
        if left_out > 0 {
            let all = e.labels.len();
            lines.push(format!("macro {figure} leaves out {left_out} of {all} labels, {lacking}"));
        }
    }
    if let Some(intervals) = &e.confidence_intervals {
        let range = |Interval([low, high]): &Interval| format!("{}..{}", three(*low), three(*high));
        lines.push(format!(
            "95 % intervals ({} resamples): micro_f1 {}, macro_f1 {}",
            intervals.resamples,
            range(&intervals.micro_f1),
            range(&intervals.macro_f1)
        ));
    }
    lines.join("\n")
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}

fn four(value: f64) -> String {
    format!("{value:.4}")
}

/// A label's name in at most 24 characters.
fn shortened(name: &str) -> String {
    let name = &*one_line(name);
    match name.char_indices().nth(24) {
        Some(_) => name.chars().take(23).chain(['…']).collect(),
        None => name.to_owned(),
    }
}
