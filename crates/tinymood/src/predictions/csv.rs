//! Predictions as CSV, in three shapes: labels in one cell, a 0 or 1 for each label, or each label's probability.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;

use tinymood_core::LabelSet;
use tinymood_text::{Columns, Field};

use super::{Prediction, Scored, free_name, rounded};

/// What the cells of a row say of its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsvShape {
    /// The labels that hold in one cell, their scores in another; all scores behind them, if asked for.
    Lists {
        /// Whether they are asked for.
        all_scores: bool,
    },
    /// 0 or 1 for each label.
    Indicators,
    /// The probability of each label.
    Scores,
}

/// What rows of CSV hold.
#[derive(Clone, Copy, Debug)]
pub struct CsvColumns<'a> {
    /// How labels are told.
    pub shape: CsvShape,
    /// All labels.
    pub labels: &'a LabelSet,
    /// Whether rows tell their file.
    pub has_file: bool,
    /// The columns that are passed on.
    pub kept: Option<&'a Columns>,
    /// Whether a spreadsheet must not take a cell for a formula.
    pub guards_formulas: bool,
}

/// Writes rows of CSV.
pub(super) struct CsvWriter<W: Write> {
    writer: Box<::csv::Writer<W>>,
    shape: CsvShape,
    labels: Vec<String>,
    has_file: bool,
    /// Whether the labels of a row are a JSON list, since the name of one holds what would stand between them.
    lists_as_json: bool,
    kept: Option<Kept>,
    guards_formulas: bool,
}

/// The places of the columns that are passed on, which are the first.
struct Kept {
    text: usize,
    others: HashMap<Arc<str>, usize>,
}

impl<W: Write> CsvWriter<W> {
    pub(super) fn new(out: W, columns: &CsvColumns<'_>) -> io::Result<Self> {
        let labels = columns.labels;
        let kept = columns.kept.map(|kept| {
            let text = kept.text.place.min(kept.others.len());
            let place = |(index, name): (usize, &Arc<str>)| {
                (Arc::clone(name), index + usize::from(index >= text))
            };
            Kept { text, others: kept.others.iter().enumerate().map(place).collect() }
        });
        let mut writer = Self {
            writer: Box::new(::csv::Writer::from_writer(out)),
            shape: columns.shape,
            labels: labels.names().to_vec(),
            has_file: columns.has_file,
            lists_as_json: labels.names().iter().any(|name| name.contains(',')),
            kept,
            guards_formulas: columns.guards_formulas,
        };
        writer.write_record(&header(columns))?;
        Ok(writer)
    }

    pub(super) fn write(&mut self, prediction: &Prediction) -> io::Result<()> {
        let Prediction { file, row, text, outcome, others, .. } = prediction;
        let mut record: Vec<Cow<'_, str>> = Vec::new();
        if let Some(kept) = &self.kept {
            record.resize(kept.others.len() + 1, "".into());
            for Field { name, value } in others {
                if let Some(place) = kept.others.get(name) {
                    record[*place] = value.as_cell();
                }
            }
            record[kept.text] = text.into();
        }
        record.push(row.to_string().into());
        if self.has_file {
            record.push(file.as_deref().unwrap_or_default().into());
        }
        if self.kept.is_none() {
            record.push(text.into());
        }
        let scored = outcome.as_ref().ok();
        let all_scores = |record: &mut Vec<Cow<'_, str>>| {
            let scores = scored.and_then(|scored| scored.scores.as_deref()).unwrap_or_default();
            let cell = |label| scores.get(label).map_or(String::new(), |(_, score)| number(*score));
            record.extend((0..self.labels.len()).map(|label| Cow::Owned(cell(label))));
        };
        match self.shape {
            CsvShape::Lists { .. } => record.extend(match scored {
                Some(scored) => [self.names(scored).into(), values(scored).into()],
                None => ["".into(), "".into()],
            }),
            CsvShape::Indicators => {
                let holds = |name: &String| match scored {
                    Some(scored) if scored.labels.iter().any(|(label, _)| label == name) => "1",
                    Some(_) => "0",
                    None => "",
                };
                record.extend(self.labels.iter().map(|name| Cow::Borrowed(holds(name))));
            }
            CsvShape::Scores => all_scores(&mut record),
        }
        let is_cut =
            scored.map_or("", |scored| if scored.cut_at.is_some() { "true" } else { "false" });
        let problem = outcome.as_ref().err().map_or("", String::as_str);
        record.extend([is_cut.into(), problem.into()]);
        if self.shape == (CsvShape::Lists { all_scores: true }) {
            all_scores(&mut record);
        }
        self.write_record(&record)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// The labels of a row, between commas or as a JSON list.
    fn names(&self, scored: &Scored) -> String {
        let names: Vec<&str> = scored.labels.iter().map(|(label, _)| label.as_str()).collect();
        match self.lists_as_json {
            true => serde_json::Value::from(names).to_string(),
            false => names.join(","),
        }
    }

    fn write_record(&mut self, record: &[Cow<'_, str>]) -> io::Result<()> {
        let guards = self.guards_formulas;
        let cells = record.iter().map(|cell| match guards && is_formula(cell) {
            true => Cow::Owned(format!("'{cell}")),
            false => Cow::Borrowed(&**cell),
        });
        self.writer.write_record(cells.map(|cell| cell.into_owned().into_bytes())).map_err(from_csv)
    }
}

/// The names of the columns. Those of the input keep theirs, then the labels; one of ours whose name is taken is
/// called `tinymood_NAME`, so no two columns have one name.
fn header<'a>(columns: &CsvColumns<'a>) -> Vec<Cow<'a, str>> {
    let mut names: Vec<Cow<'a, str>> = Vec::new();
    if let Some(kept) = columns.kept {
        names.extend(kept.others.iter().map(|name| Cow::Borrowed(&**name)));
        names.insert(kept.text.place.min(names.len()), Cow::Borrowed(&*kept.text.name));
    }
    let mut taken: HashSet<String> = names.iter().map(|name| name.to_string()).collect();
    let mut free = |name: &str| -> Cow<'a, str> {
        let free = free_name(name, |name| taken.contains(name));
        taken.insert(free.clone());
        free.into()
    };
    let has_labels = columns.shape != (CsvShape::Lists { all_scores: false });
    let labels = columns.labels.names().iter().filter(|_| has_labels);
    let labels: Vec<Cow<'a, str>> = labels.map(|name| free(name)).collect();
    names.push(free("row"));
    names.extend(columns.has_file.then(|| free("file")));
    names.extend(columns.kept.is_none().then(|| free("text")));
    let end = [free("truncated"), free("error")];
    match columns.shape {
        CsvShape::Lists { .. } => {
            names.extend([free("labels"), free("scores")]);
            names.extend(end);
            names.extend(labels);
        }
        CsvShape::Indicators | CsvShape::Scores => {
            names.extend(labels);
            names.extend(end);
        }
    }
    names
}

fn number(score: f32) -> String {
    rounded(score).to_string()
}

fn values(scored: &Scored) -> String {
    scored.labels.iter().map(|(_, score)| number(*score)).collect::<Vec<_>>().join(",")
}

/// Whether a spreadsheet runs a cell: what begins as OWASP lists for CSV injection, and is no number.
fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
        && !cell.parse::<f64>().is_ok_and(f64::is_finite)
}

/// The error beneath, by whose kind a pipe that was closed is known.
fn from_csv(error: ::csv::Error) -> io::Error {
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use tinymood_text::{FieldValue, TextColumn};

    use super::*;
    use crate::predictions::PredictionWriter;

    fn kept(before: &[&str], text: &str, behind: &[&str]) -> Columns {
        let others = before.iter().chain(behind).map(|name| Arc::from(*name)).collect();
        Columns { others, text: TextColumn { place: before.len(), name: text.into() } }
    }

    fn written(
        shape: CsvShape,
        labels: &[&str],
        kept: Option<&Columns>,
        guards_formulas: bool,
        predictions: &[Prediction],
    ) -> String {
        let labels = LabelSet::new(labels).unwrap();
        let (labels, has_file) = (&labels, false);
        let columns = CsvColumns { shape, labels, has_file, kept, guards_formulas };
        let mut bytes = Vec::new();
        let mut writer = PredictionWriter::csv(&mut bytes, &columns).unwrap();
        predictions.iter().for_each(|prediction| writer.write(prediction).unwrap());
        writer.flush().unwrap();
        drop(writer);
        String::from_utf8(bytes).unwrap()
    }

    fn given(text: &str, labels: &[&str]) -> Prediction {
        let labels = labels.iter().map(|label| ((*label).to_owned(), 0.5)).collect();
        let outcome = Ok(Scored { labels, ..Scored::default() });
        let (text, others) = (text.to_owned(), Vec::new());
        Prediction { file: None, row: 1, text, outcome, others, text_column: None }
    }

    const LISTS: CsvShape = CsvShape::Lists { all_scores: false };

    #[test]
    fn labels_with_commas_are_json_lists() {
        let rows = [given("a", &["b, c", "d\"e"]), given("f", &[])];
        let found = written(LISTS, &["b, c", "d\"e"], None, false, &rows);
        let lines: Vec<&str> = found.lines().skip(1).collect();
        let expected =
            ["1,a,\"[\"\"b, c\"\",\"\"d\\\"\"e\"\"]\",\"0.5,0.5\",false,", "1,f,[],,false,"];
        assert_eq!(lines, expected);
        let plain = written(LISTS, &["b", "d\"e"], None, false, &[given("a", &["b", "d\"e"])]);
        assert!(plain.ends_with("1,a,\"b,d\"\"e\",\"0.5,0.5\",false,\n"), "{plain}");
    }

    #[test]
    fn columns_of_the_input_come_first_and_keep_their_names() {
        let kept = kept(&["id", "labels"], "Body", &["error", "tinymood_error", "joy"]);
        let field = |name: &str, cell: &str| Field {
            name: name.into(),
            value: FieldValue::Cell(cell.to_owned()),
        };
        let mut row = given("so glad", &["joy"]);
        row.others = vec![field("joy", "j"), field("id", "7"), field("labels", "l")];
        let found = written(LISTS, &["joy", "row"], Some(&kept), false, &[row.clone()]);
        assert_eq!(
            found,
            "id,labels,Body,error,tinymood_error,joy,row,tinymood_labels,scores,truncated,\
             tinymood_tinymood_error\n7,l,so glad,,,j,1,joy,0.5,false,\n"
        );
        // A label's own column goes before one of ours.
        let found = written(CsvShape::Indicators, &["joy", "row"], Some(&kept), false, &[row]);
        assert_eq!(
            found,
            "id,labels,Body,error,tinymood_error,joy,tinymood_row,tinymood_joy,row,truncated,\
             tinymood_tinymood_error\n7,l,so glad,,,j,1,1,0,false,\n"
        );
        let alone = written(CsvShape::Indicators, &["error", "text"], None, false, &[]);
        assert_eq!(alone, "row,tinymood_text,error,text,truncated,tinymood_error\n");
    }

    #[test]
    fn formulas_are_guarded_where_asked_for() {
        for (cell, guarded) in [
            ("=1+1", "'=1+1"),
            ("+a", "'+a"),
            ("-a", "'-a"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\ta", "'\ta"),
            ("＝a", "'＝a"),
            ("-1.5", "-1.5"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            let row = [given(cell, &[])];
            let found = written(LISTS, &["=x"], None, true, &row);
            assert_eq!(
                found,
                format!("row,text,labels,scores,truncated,error\n1,{guarded},,,false,\n")
            );
            assert!(written(LISTS, &["=x"], None, false, &row).contains(&format!("\n1,{cell},")));
        }
        let found = written(CsvShape::Indicators, &["=x"], None, true, &[]);
        assert!(found.starts_with("row,text,'=x,"), "a name is a cell too: {found}");
    }
}
