//! Rows of tables, `.csv` and `.tsv`, to texts and targets.

use std::io::BufRead;
use std::path::Path;

use super::csv::{Record, Table, check_is_one, listed, position, text_column};
use super::encoding::BadBytes;
use super::{Format, ReadOptions, Row, soft_target};
use crate::labels::Known;
use crate::{DataError, RowProblem};

pub(super) fn read(
    source: impl BufRead,
    path: &Path,
    format: Format,
    options: &ReadOptions,
    known: Known<'_>,
    keep: &mut dyn FnMut(Row) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let fits = |header: &[String]| Columns::find(header, path, options, known).is_ok();
    let has_text = |header: &[String]| position(header, &options.text_column).is_some();
    let table = Table::open(source, format, has_text, fits);
    let Table { mut records, header } = table.map_err(DataError::io(path))?;
    let columns = header.map(|header| Columns::find(&header, path, options, known)).transpose()?;
    while let Some((line, record)) = records.next().map_err(DataError::io(path))? {
        let row = record.and_then(|record| match &columns {
            Some(columns) => columns.row(record, known),
            None => published_row(record, known),
        });
        keep((line, row))?;
    }
    Ok(())
}

/// A row as GoEmotions is published: text, labels, and whatever follows.
fn published_row(record: Record<'_>, known: Known<'_>) -> Result<(String, Vec<f32>), RowProblem> {
    let (Some(text), Some(cell)) = (record.get(0), record.get(1)) else {
        return Err(RowProblem::Columns { found: record.len() });
    };
    if record.within(3).is_err() {
        return Err(RowProblem::Columns { found: record.len() });
    }
    let (text, cell) = (utf8(text, "text")?, utf8(cell, "labels")?);
    Ok((text.to_owned(), known.beside(record.get(2)).targets_of_cell(cell)?))
}

fn utf8<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, RowProblem> {
    BadBytes::check(bytes, field)
}

/// Where text and targets stand in a table with a header.
struct Columns {
    text: usize,
    targets: TargetColumns,
    /// How many the header names.
    count: usize,
}

enum TargetColumns {
    /// In one column of labels between separators.
    List(usize),
    /// In one column of numbers a label; (C).
    Soft(Vec<usize>),
}

impl Columns {
    fn find(
        header: &[String],
        path: &Path,
        options: &ReadOptions,
        known: Known<'_>,
    ) -> Result<Self, DataError> {
        let text = text_column(header, &options.text_column, path)?;
        check_is_one(header, &options.labels_column, path, "--labels-column")?;
        let targets = match position(header, &options.labels_column) {
            Some(list) => TargetColumns::List(list),
            None => TargetColumns::Soft(label_columns(header, path, options, known)?),
        };
        Ok(Self { text, targets, count: header.len() })
    }

    fn row(&self, record: Record<'_>, known: Known<'_>) -> Result<(String, Vec<f32>), RowProblem> {
        let record = record.within(self.count)?;
        let cell = |column: usize, field: &'static str| {
            let missing = RowProblem::Cells { found: record.len(), header: self.count };
            utf8(record.get(column).ok_or(missing)?, field)
        };
        let text = cell(self.text, "text")?;
        let targets = match &self.targets {
            TargetColumns::List(column) => known.targets_of_cell(cell(*column, "labels")?)?,
            TargetColumns::Soft(columns) => {
                let soft = columns.iter().zip(known.labels.names());
                let soft =
                    soft.map(|(&column, label)| soft_target(cell(column, "targets")?, label));
                soft.collect::<Result<_, _>>()?
            }
        };
        Ok((text.to_owned(), targets))
    }
}

/// The columns of the labels, where each has its own; (C).
fn label_columns(
    header: &[String],
    path: &Path,
    options: &ReadOptions,
    known: Known<'_>,
) -> Result<Vec<usize>, DataError> {
    let column = |label: &String| {
        check_is_one(header, label, path, "")?;
        position(header, label).ok_or_else(|| DataError::Header {
            path: path.to_owned(),
            found: listed(header),
            expected: format!(
                "a column {:?}, or one of each label (there is none of {label:?})",
                options.labels_column
            ),
            hint: known.columns_hint(),
        })
    };
    known.labels.names().iter().map(column).collect()
}
