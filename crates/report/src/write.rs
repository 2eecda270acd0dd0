//! Reports as files, each replaced as a whole.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tinymood_weights::durable;

use crate::card::comparison_markdown;
use crate::compare::Comparison;
use crate::data::DataSummary;
use crate::error::{ReportError, failed};
use crate::page::{comparison_page, run_page};
use crate::record::data_file;
use crate::run::RunReport;

/// Where a report was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The page.
    pub html: PathBuf,
    /// Its numbers.
    pub json: PathBuf,
}

/// Writes a run's page at `html`, and the JSON beside it.
///
/// # Errors
/// When a plot cannot be drawn or a file not written.
pub fn write_run(report: &RunReport, html: &Path) -> Result<Written, ReportError> {
    write(html, run_page(report)?, &to_json("run", report))
}

/// Writes the page of a comparison at `html`, and beside it the JSON and the Markdown twin.
///
/// # Errors
/// When a plot cannot be drawn or a file not written.
pub fn write_comparison(comparison: &Comparison, html: &Path) -> Result<Written, ReportError> {
    let markdown = html.with_extension("md");
    replace(&markdown, comparison_markdown(comparison).as_bytes())?;
    write(html, comparison_page(comparison)?, &to_json("comparison", comparison))
}

/// Writes what the splits of a run are like into its folder.
///
/// # Errors
/// When it cannot be written.
pub fn write_data(data: &DataSummary, run: &Path) -> Result<(), ReportError> {
    replace(&data_file(run), format!("{:#}\n", json!(data)).as_bytes())
}

fn to_json(kind: &str, value: &impl serde::Serialize) -> Value {
    json!({ "tinymood": env!("CARGO_PKG_VERSION"), "report": kind, kind: value })
}

fn write(html: &Path, page: String, json: &Value) -> Result<Written, ReportError> {
    let beside = html.with_extension("json");
    replace(&beside, format!("{json:#}\n").as_bytes())?;
    replace(html, page.as_bytes())?;
    Ok(Written { html: html.to_owned(), json: beside })
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    durable::write_file(path, bytes).map_err(failed("write", path))
}
