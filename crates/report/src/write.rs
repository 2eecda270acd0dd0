//! Reports as files, each replaced as a whole. Only the page is named by its user, so what lies beside it is
//! replaced only where it is of a report too.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tinymood_weights::{durable, regular};

use crate::card::{COMPARISON_TITLE, comparison_markdown};
use crate::compare::Comparison;
use crate::data::DataSummary;
use crate::error::{ReportError, failed};
use crate::page::{comparison_page, run_page};
use crate::record::{MAX_JSON_BYTES, data_file};
use crate::run::RunReport;

/// Where a report is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The page.
    pub html: PathBuf,
    /// Its numbers.
    pub json: PathBuf,
    /// The tables of a comparison.
    pub markdown: Option<PathBuf>,
}

impl Written {
    /// The files of a run's page at `html`.
    ///
    /// # Errors
    /// When what lies beside the page is no report's.
    pub fn of_run(html: &Path) -> Result<Self, ReportError> {
        let json = html.with_extension("json");
        check_replaceable(&json, is_our_json)?;
        Ok(Self { html: html.to_owned(), json, markdown: None })
    }

    /// The files of a comparison's page at `html`.
    ///
    /// # Errors
    /// As [`Written::of_run`].
    pub fn of_comparison(html: &Path) -> Result<Self, ReportError> {
        let markdown = html.with_extension("md");
        check_replaceable(&markdown, |text| text.starts_with(COMPARISON_TITLE))?;
        Ok(Self { markdown: Some(markdown), ..Self::of_run(html)? })
    }

    /// What lies beside the page.
    pub fn beside(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.json), self.markdown.as_ref()].into_iter().flatten().map(PathBuf::as_path)
    }
}

/// Writes a run's page at `html`, and the JSON beside it.
///
/// # Errors
/// When what lies beside it is no report's, a plot cannot be drawn or a file not written.
pub fn write_run(report: &RunReport, html: &Path) -> Result<Written, ReportError> {
    let files = Written::of_run(html)?;
    write(&files, &run_page(report)?, &to_json("run", report))?;
    Ok(files)
}

/// Writes the page of a comparison at `html`, and beside it the JSON and the Markdown twin.
///
/// # Errors
/// As [`write_run`].
pub fn write_comparison(comparison: &Comparison, html: &Path) -> Result<Written, ReportError> {
    let files = Written::of_comparison(html)?;
    if let Some(markdown) = &files.markdown {
        replace(markdown, comparison_markdown(comparison).as_bytes())?;
    }
    write(&files, &comparison_page(comparison)?, &to_json("comparison", comparison))?;
    Ok(files)
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

fn is_our_json(text: &str) -> bool {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    ["tinymood", "report"].iter().all(|key| value.get(key).is_some_and(Value::is_string))
}

/// Refuses what cannot be told to be ours.
fn check_replaceable(path: &Path, is_ours: impl Fn(&str) -> bool) -> Result<(), ReportError> {
    match regular::read_text(path, MAX_JSON_BYTES) {
        Ok(text) if is_ours(&text) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(ReportError::InTheWay(path.to_owned())),
    }
}

fn write(files: &Written, page: &str, json: &Value) -> Result<(), ReportError> {
    replace(&files.json, format!("{json:#}\n").as_bytes())?;
    replace(&files.html, page.as_bytes())
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    durable::write_file(path, bytes).map_err(failed("write", path))
}
