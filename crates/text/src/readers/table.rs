//! Rows of tables, `.csv` and `.tsv`, to texts and targets.

use std::io::{BufRead, Read};
use std::path::Path;

use super::csv::{Record, Records, Table, check_is_one, listed, position, text_column};
use super::encoding::BadBytes;
use super::{Format, ReadOptions, Row};
use crate::labels::{CellForm, RawLabels, columns_hint, soft_target};
use crate::{DataError, RowProblem};

/// How many rows are looked into for columns of numbers.
const LOOKED_INTO: usize = 1000;

/// Reads all rows; returns a warning of columns that were not read, where they may say something else.
pub(super) fn read(
    source: impl BufRead,
    path: &Path,
    format: Format,
    options: &ReadOptions,
    keep: &mut dyn FnMut(Row) -> Result<(), DataError>,
) -> Result<Option<String>, DataError> {
    let fits = |header: &[String]| Columns::find(header, path, options).is_ok();
    let has_text = |header: &[String]| position(header, &options.text_column).is_some();
    let table = Table::open(source, format, has_text, fits);
    let Table { mut records, header } = table.map_err(DataError::io(path))?;
    let columns = match &header {
        Some(header) => match Columns::find(header, path, options) {
            Err(DataError::Header { path, found, expected, hint: _ })
                if options.labels.is_none() && has_text(header) =>
            {
                let numbers = number_columns(&mut records, header);
                let hint = columns_hint(None, &numbers);
                return Err(DataError::Header { path, found, expected, hint });
            }
            columns => Some(columns?),
        },
        None => None,
    };
    while let Some((line, record)) = records.next().map_err(DataError::io(path))? {
        let row = record.and_then(|record| match &columns {
            Some(columns) => columns.row(record, options),
            None => published_row(record, options),
        });
        keep((line, row))?;
    }
    Ok(header.and_then(|header| passed_over(&header, options)))
}

/// Says that the labels' own columns were not read, where there is one column of labels, too.
fn passed_over(header: &[String], options: &ReadOptions) -> Option<String> {
    let labels = &header[position(header, &options.labels_column)?];
    let names = options.labels.as_ref()?.labels.names();
    let has_all = names.iter().all(|name| position(header, name).is_some());
    (has_all && !names.contains(labels)).then(|| {
        format!(
            "labels are read from the column {labels:?}, not from {}; for these, name no column with \
             --labels-column, as in --labels-column -",
            listed(names)
        )
    })
}

/// The names of columns in whose first rows there are only numbers from 0 to 1 and truth values.
fn number_columns<R: Read>(records: &mut Records<R>, header: &[String]) -> Vec<String> {
    let mut numbers = vec![true; header.len()];
    let mut rows = 0;
    while rows < LOOKED_INTO
        && let Ok(Some((_, Ok(record)))) = records.next()
    {
        rows += 1;
        for (column, is_number) in numbers.iter_mut().enumerate() {
            let cell = record.get(column).and_then(|cell| std::str::from_utf8(cell).ok());
            *is_number &= cell.is_some_and(|cell| soft_target(cell, "").is_ok());
        }
    }
    let names =
        header.iter().zip(numbers).filter(|(name, is_number)| *is_number && !name.is_empty());
    names.filter(|_| rows > 0).map(|(name, _)| name.clone()).collect()
}

fn cell_form(options: &ReadOptions) -> CellForm<'_> {
    CellForm { separator: &options.label_separator, list: options.labels.as_ref() }
}

/// A row as GoEmotions is published: text, labels, and whatever follows.
fn published_row(
    record: Record<'_>,
    options: &ReadOptions,
) -> Result<(String, RawLabels), RowProblem> {
    let (Some(text), Some(cell)) = (record.get(0), record.get(1)) else {
        return Err(RowProblem::Columns { found: record.len() });
    };
    if record.within(3).is_err() {
        return Err(RowProblem::Columns { found: record.len() });
    }
    let (text, cell) = (utf8(text, "text")?, utf8(cell, "labels")?);
    let mut labels = cell_form(options).parse(cell)?;
    if let RawLabels::Items(items) = &mut labels {
        items.is_published = record.get(2).is_some_and(is_comment_id);
    }
    Ok((text.to_owned(), labels))
}

/// Whether GoEmotions' comments have such ids: seven digits in base 36, from 2018 and 2019.
fn is_comment_id(cell: &[u8]) -> bool {
    let in_base_36 = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    cell.len() == 7 && cell.starts_with(b"e") && cell.iter().all(in_base_36)
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
    fn find(header: &[String], path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let text = text_column(header, &options.text_column, path)?;
        check_is_one(header, &options.labels_column, path, "--labels-column")?;
        let targets = match position(header, &options.labels_column) {
            Some(list) => TargetColumns::List(list),
            None => TargetColumns::Soft(label_columns(header, path, options)?),
        };
        Ok(Self { text, targets, count: header.len() })
    }

    fn row(
        &self,
        record: Record<'_>,
        options: &ReadOptions,
    ) -> Result<(String, RawLabels), RowProblem> {
        let record = record.within(self.count)?;
        let cell = |column: usize, field: &'static str| {
            let missing = RowProblem::Cells { found: record.len(), header: self.count };
            utf8(record.get(column).ok_or(missing)?, field)
        };
        let text = cell(self.text, "text")?;
        let labels = match &self.targets {
            TargetColumns::List(column) => cell_form(options).parse(cell(*column, "labels")?)?,
            TargetColumns::Soft(columns) => {
                let names = options.labels.iter().flat_map(|list| list.labels.names());
                let soft = columns.iter().zip(names);
                let soft =
                    soft.map(|(&column, label)| soft_target(cell(column, "targets")?, label));
                RawLabels::Targets(soft.collect::<Result<_, _>>()?)
            }
        };
        Ok((text.to_owned(), labels))
    }
}

/// The columns of the labels, where each has its own; (C).
fn label_columns(
    header: &[String],
    path: &Path,
    options: &ReadOptions,
) -> Result<Vec<usize>, DataError> {
    let missing = |which: String| DataError::Header {
        path: path.to_owned(),
        found: listed(header),
        expected: format!("a column {:?}{which}", options.labels_column),
        hint: columns_hint(options.labels.as_ref(), &[]),
    };
    let Some(list) = &options.labels else { return Err(missing(String::new())) };
    let column = |label: &String| {
        check_is_one(header, label, path, "")?;
        position(header, label)
            .ok_or_else(|| missing(format!(", or one of each label (there is none of {label:?})")))
    };
    list.labels.names().iter().map(column).collect()
}
