//! How predictions are written: for people, or for programs.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use console::{Term, measure_text_width, truncate_str};
use serde::ser::{Serialize, SerializeMap, Serializer};
use tinymood_core::LabelSet;
use tinymood_eval::Choice;
use tinymood_text::Field;

use crate::args::FormatArg;

/// What is said of one text.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Where the text was read from, when rows tell.
    pub file: Option<Arc<str>>,
    /// 1 for the first row of all files.
    pub row: u64,
    /// The text; empty where it could not be read.
    pub text: String,
    /// The labels and their probabilities, or why there are none.
    pub outcome: Result<Scored, String>,
    /// What stands beside the text, to be passed on.
    pub others: Vec<Field>,
}

/// The labels of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Labels that hold, highest probability first; may be empty.
    pub labels: Vec<(String, f32)>,
    /// All labels in the model's order, when asked for.
    pub scores: Option<Vec<(String, f32)>>,
    /// For each of `labels`, what carried it, when asked for.
    pub explanation: Option<Vec<(String, Vec<Share>)>>,
}

/// A word's share in a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The word as the text spells it; of a long text, several.
    pub word: String,
    /// Its place in the text, in characters.
    pub characters: Range<usize>,
    /// How far the label's logit drops without it.
    pub score: f32,
}

impl Scored {
    /// Names what was chosen; all scores with `scores`.
    pub fn new(choice: &Choice, labels: &LabelSet, scores: bool) -> Self {
        let named = |label: usize| (labels.name(label).to_owned(), choice.scores[label]);
        Self {
            labels: choice.labels.iter().copied().map(named).collect(),
            scores: scores.then(|| (0..choice.scores.len()).map(named).collect()),
            explanation: None,
        }
    }
}

/// The columns and fields that predictions have themselves.
const OURS: [&str; 7] = ["row", "file", "text", "labels", "scores", "explanation", "error"];
/// What others begin with that would have the name of one of ours.
const PREFIX: &str = "input_";

/// The name under which a column is passed on: with [`PREFIX`] if, without all of them, it is one of ours.
/// So no two columns get one name.
fn passed_on<'a>(name: &'a str, is_ours: impl Fn(&str) -> bool) -> Cow<'a, str> {
    match is_ours(name.trim_start_matches(PREFIX)) {
        true => format!("{PREFIX}{name}").into(),
        false => name.into(),
    }
}

/// Six decimals: all that an f32 near 1 has.
fn rounded(score: f32) -> f64 {
    (f64::from(score) * 1e6).round() / 1e6
}

/// Labels and scores as one JSON object in the given order.
struct ScoreMap<'a>(&'a [(String, f32)]);

impl Serialize for ScoreMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (label, score) in self.0 {
            map.serialize_entry(label, &rounded(*score))?;
        }
        map.end()
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("word", &self.word)?;
        map.serialize_entry("start", &self.characters.start)?;
        map.serialize_entry("end", &self.characters.end)?;
        map.serialize_entry("score", &rounded(self.score))?;
        map.end()
    }
}

/// Labels and what carried them as one JSON object.
struct ShareMap<'a>(&'a [(String, Vec<Share>)]);

impl Serialize for ShareMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(label, shares)| (label, shares)))
    }
}

impl Serialize for Prediction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("row", &self.row)?;
        if let Some(file) = &self.file {
            map.serialize_entry("file", &**file)?;
        }
        map.serialize_entry("text", &self.text)?;
        match &self.outcome {
            Ok(scored) => {
                let object = |(label, score): &(String, f32)| serde_json::json!({ "label": label, "score": rounded(*score) });
                let labels: Vec<_> = scored.labels.iter().map(object).collect();
                map.serialize_entry("labels", &labels)?;
                if let Some(scores) = &scored.scores {
                    map.serialize_entry("scores", &ScoreMap(scores))?;
                }
                if let Some(explanation) = &scored.explanation {
                    map.serialize_entry("explanation", &ShareMap(explanation))?;
                }
            }
            Err(problem) => {
                map.serialize_entry("labels", &[(); 0])?;
                map.serialize_entry("error", problem)?;
            }
        }
        for Field { name, value } in &self.others {
            map.serialize_entry(&passed_on(name, |name| OURS.contains(&name)), value)?;
        }
        map.end()
    }
}

/// Writes predictions as they come.
pub struct PredictionWriter<W: Write> {
    format: Format<W>,
}

enum Format<W: Write> {
    Table {
        out: W,
        layout: Layout,
    },
    Jsonl(W),
    Csv {
        writer: Box<csv::Writer<W>>,
        /// How many columns are ours.
        ours: usize,
        /// The places behind them of those that are passed on.
        others: HashMap<Arc<str>, usize>,
    },
}

/// What rows of CSV have beside the columns that all have.
#[derive(Clone, Copy, Debug, Default)]
pub struct CsvColumns<'a> {
    /// Whether rows tell their file.
    pub has_file: bool,
    /// The labels, where all scores are told.
    pub scores: Option<&'a LabelSet>,
    /// The columns that are passed on.
    pub others: &'a [Arc<str>],
}

impl<W: Write> PredictionWriter<W> {
    /// A writer to `out`; CSV starts with its header.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn new(out: W, format: FormatArg, columns: CsvColumns<'_>) -> anyhow::Result<Self> {
        let format = match format {
            FormatArg::Table => Format::Table { out, layout: Layout::new(terminal_columns()) },
            FormatArg::Jsonl => Format::Jsonl(out),
            FormatArg::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                let header = csv_header(columns);
                let written = writer.write_record(header.iter().map(|name| name.as_bytes()));
                written.map_err(from_csv).context("cannot write the predictions")?;
                let others = columns.others.iter().cloned().zip(0..).collect();
                let ours = header.len() - columns.others.len();
                Format::Csv { writer: Box::new(writer), ours, others }
            }
        };
        Ok(Self { format })
    }

    /// Writes one row.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, prediction: &Prediction) -> anyhow::Result<()> {
        let written: io::Result<()> = match &mut self.format {
            Format::Table { out, layout } => write_table_row(out, *layout, prediction),
            Format::Jsonl(out) => serde_json::to_writer(&mut *out, prediction)
                .map_err(io::Error::from)
                .and_then(|()| out.write_all(b"\n")),
            Format::Csv { writer, ours, others } => {
                let mut record = csv_record(prediction);
                record.resize(*ours + others.len(), String::new()); // a bad row has no scores
                for Field { name, value } in &prediction.others {
                    if let Some(place) = others.get(name) {
                        record[*ours + place] = value.as_cell().into_owned();
                    }
                }
                writer.write_record(record).map_err(from_csv)
            }
        };
        written.context("cannot write the predictions")
    }

    /// Hands on what is still in memory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        let flushed = match &mut self.format {
            Format::Table { out, .. } | Format::Jsonl(out) => out.flush(),
            Format::Csv { writer, .. } => writer.flush(),
        };
        flushed.context("cannot write the predictions")
    }
}

/// `--format` where none is given: a table for people, for programs JSONL, or what a file's name says.
pub fn default_format(output: &Path) -> FormatArg {
    if output == Path::new("-") {
        return if io::stdout().is_terminal() { FormatArg::Table } else { FormatArg::Jsonl };
    }
    match output.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("csv") => FormatArg::Csv,
        _ => FormatArg::Jsonl,
    }
}

/// How a table stands in so many columns.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Columns of the texts: what two labels with their scores leave.
    text: usize,
    /// How many words, or scores, stand in a line behind a label.
    cells: usize,
}

impl Layout {
    /// Of a label and two scores, and what lies between.
    const LABELS: usize = 36;
    /// Of a label before its words.
    const INDENT: usize = 18;
    /// Of a word, or a label, and its score.
    const CELL: usize = 21;

    fn new(columns: usize) -> Self {
        Self {
            text: columns.saturating_sub(Self::LABELS).clamp(24, 100),
            cells: (columns.saturating_sub(Self::INDENT) / Self::CELL).clamp(1, 5),
        }
    }
}

/// How wide the terminal is; where there is none, as wide as rows with all their words.
fn terminal_columns() -> usize {
    let terminal = Term::stdout().size_checked();
    terminal.map_or(Layout::INDENT + 5 * Layout::CELL, |(_, columns)| columns.into())
}

/// The error beneath, by whose kind a pipe that was closed is known.
fn from_csv(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn csv_header(columns: CsvColumns<'_>) -> Vec<Cow<'_, str>> {
    let labels = columns.scores.map(LabelSet::names).unwrap_or_default();
    let file = columns.has_file.then_some("file");
    let common = ["row"].into_iter().chain(file).chain(["text", "labels", "scores", "error"]);
    let ours = common.chain(labels.iter().map(String::as_str));
    let taken: HashSet<&str> = OURS.into_iter().chain(ours.clone()).collect();
    let others = columns.others.iter().map(|name| passed_on(name, |name| taken.contains(name)));
    ours.map(Cow::Borrowed).chain(others).collect()
}

fn csv_record(prediction: &Prediction) -> Vec<String> {
    let mut record = vec![prediction.row.to_string()];
    record.extend(prediction.file.as_deref().map(str::to_owned));
    record.push(prediction.text.clone());
    match &prediction.outcome {
        Ok(scored) => {
            let names: Vec<&str> = scored.labels.iter().map(|(label, _)| label.as_str()).collect();
            let values: Vec<String> =
                scored.labels.iter().map(|(_, score)| rounded(*score).to_string()).collect();
            record.extend([names.join(","), values.join(","), String::new()]);
            let scores = scored.scores.iter().flatten();
            record.extend(scores.map(|(_, score)| rounded(*score).to_string()));
        }
        Err(problem) => record.extend([String::new(), String::new(), problem.clone()]),
    }
    record
}

fn write_table_row(
    out: &mut impl Write,
    layout: Layout,
    prediction: &Prediction,
) -> io::Result<()> {
    let text = clipped(&prediction.text, layout.text);
    let said = match &prediction.outcome {
        Err(problem) => format!("error: {}", problem.replace(disturbs, " ")),
        Ok(scored) if scored.labels.is_empty() => "(no label reaches its threshold)".to_owned(),
        Ok(scored) => {
            let label = |(label, score): &(String, f32)| format!("{label} {score:.2}");
            scored.labels.iter().map(label).collect::<Vec<_>>().join("  ")
        }
    };
    let padding = layout.text.saturating_sub(measure_text_width(&text));
    writeln!(out, "{text}{:padding$}  {said}", "")?;
    if let Ok(Scored { scores: Some(scores), .. }) = &prediction.outcome {
        for row in scores.chunks(layout.cells) {
            let cell = |(label, score): &(String, f32)| format!("{label:>14} {score:.4}");
            writeln!(out, "    {}", row.iter().map(cell).collect::<Vec<_>>().join(" "))?;
        }
    }
    if let Ok(Scored { explanation: Some(explanation), .. }) = &prediction.outcome {
        for (label, shares) in explanation {
            let words = strongest(shares, layout.cells);
            writeln!(out, "    {label:>14}{}", words.trim_end())?;
        }
    }
    Ok(())
}

/// The words that speak most for a label, and those that speak most against it, in `cells` columns.
fn strongest(shares: &[Share], cells: usize) -> String {
    let column = |sign: f32, count: usize| -> String {
        let signed = shares.iter().filter(|share| share.score * sign >= 0.005); // else shown as 0.00
        let mut signed: Vec<&Share> = signed.collect();
        signed.sort_by(|a, b| (b.score * sign).total_cmp(&(a.score * sign))); // stable: in text order
        let cell = |share: Option<&&Share>| match share {
            Some(Share { word, score, .. }) => {
                let word = clipped(word, 14);
                let padding = 14 - measure_text_width(&word).min(14);
                format!(" {:padding$}{word} {score:+.2}", "")
            }
            None => " ".repeat(Layout::CELL),
        };
        (0..count).map(|rank| cell(signed.get(rank))).collect()
    };
    let against = cells * 2 / 5;
    column(1.0, cells - against) + &column(-1.0, against)
}

/// Whether a character moves the cursor, ends the line, or turns the direction of what follows on it.
fn disturbs(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A text on one line of at most `width` columns, without what [`disturbs`] a terminal.
fn clipped(text: &str, width: usize) -> String {
    let clean = |c: char| if disturbs(c) { ' ' } else { c };
    // No character is narrower than none: enough for the width, and not a whole book.
    let cleaned: String = text.chars().map(clean).take(4 * width + 1).collect();
    truncate_str(&cleaned, width, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> LabelSet {
        LabelSet::new(["joy", "love", "anger"]).unwrap()
    }

    fn written(format: FormatArg, prediction: &Prediction, scores: bool) -> String {
        let labels = labels();
        let columns = CsvColumns { scores: scores.then_some(&labels), ..CsvColumns::default() };
        let mut bytes = Vec::new();
        let mut writer = PredictionWriter::new(&mut bytes, format, columns).unwrap();
        writer.write(prediction).unwrap();
        writer.flush().unwrap();
        drop(writer);
        String::from_utf8(bytes).unwrap()
    }

    fn row(row: u64, text: &str, outcome: Result<Scored, String>) -> Prediction {
        Prediction { file: None, row, text: text.to_owned(), outcome, others: Vec::new() }
    }

    #[test]
    fn each_format_tells_the_same() {
        let choice = Choice { labels: vec![0], scores: vec![0.75, 0.1, 0.123_456_7] };
        let scored = Scored::new(&choice, &labels(), true);
        let text = "so \"happy\",\nreally".to_owned();
        let prediction = row(3, &text, Ok(scored));
        assert_eq!(
            written(FormatArg::Jsonl, &prediction, true),
            "{\"row\":3,\"text\":\"so \\\"happy\\\",\\nreally\",\
             \"labels\":[{\"label\":\"joy\",\"score\":0.75}],\
             \"scores\":{\"joy\":0.75,\"love\":0.1,\"anger\":0.123457}}\n"
        );
        assert_eq!(
            written(FormatArg::Csv, &prediction, true),
            "row,text,labels,scores,error,joy,love,anger\n\
             3,\"so \"\"happy\"\",\nreally\",joy,0.75,,0.75,0.1,0.123457\n"
        );
        let table = written(FormatArg::Table, &prediction, true);
        assert!(table.starts_with("so \"happy\", really"), "{table}");
        assert!(table.contains("joy 0.75"), "{table}");
    }

    #[test]
    fn tables_stand_in_columns_whatever_the_script() {
        let outcome = || {
            Ok(Scored { labels: vec![("joy".to_owned(), 0.9)], scores: None, explanation: None })
        };
        for text in ["abc", "日本語のテキスト", &"日".repeat(40), &"long ".repeat(40), "e\u{301}a"]
        {
            let mut bytes = Vec::new();
            let row = row(1, text, outcome());
            write_table_row(&mut bytes, Layout::new(66), &row).unwrap();
            let line = String::from_utf8(bytes).unwrap();
            let (before, _) = line.split_once("joy 0.90").unwrap();
            assert_eq!(measure_text_width(before), 32, "{line}");
        }
        let share = |word: &str, score| Share { word: word.to_owned(), characters: 0..1, score };
        let shares =
            [share("日本語", 1.0), share("so", 2.0), share("not", -1.5), share("no", -1.0)];
        for columns in [39, 60, 80, 130] {
            let words = strongest(&shares, Layout::new(columns).cells);
            let width = Layout::INDENT + measure_text_width(&words);
            assert!(width <= columns && words.contains("so +2.00"), "{columns}: {words}");
        }
    }

    #[test]
    fn nothing_that_turns_a_line_reaches_a_terminal() {
        let turning = "\u{202e}a\u{2066}b\u{200f}c\u{1b}[2J\u{9b}\u{061c}\u{2028}d";
        let family = "👩\u{200d}👩"; // joined, it turns nothing
        let text = format!("{family}{turning}");
        let bad = |problem: &str| row(1, &text, Err(problem.to_owned()));
        let table = written(FormatArg::Table, &bad(turning), false);
        assert!(table.starts_with(&format!("{family} a b c [2J   d")), "{table:?}");
        assert!(table.ends_with("error:  a b c [2J   d\n"), "{table:?}");
        // Programs are told what there is.
        assert!(written(FormatArg::Csv, &bad("x"), false).contains(turning));
    }

    #[test]
    fn a_files_name_says_how_it_is_written() {
        for (path, format) in
            [("a.csv", FormatArg::Csv), ("a.jsonl", FormatArg::Jsonl), ("a", FormatArg::Jsonl)]
        {
            assert_eq!(default_format(Path::new(path)), format, "{path}");
        }
    }

    #[test]
    fn an_empty_answer_and_a_bad_row_are_explicit() {
        let outcome =
            Ok(Scored { labels: Vec::new(), scores: None, explanation: Some(Vec::new()) });
        let empty = row(1, "x", outcome);
        let json = written(FormatArg::Jsonl, &empty, false);
        assert!(json.contains("\"labels\":[],\"explanation\":{}"), "{json}");
        let bad = row(2, "", Err("not UTF-8".to_owned()));
        let json = written(FormatArg::Jsonl, &bad, false);
        assert!(json.contains("\"labels\":[]") && json.contains("\"error\":\"not UTF-8\""));
        assert!(written(FormatArg::Csv, &bad, false).ends_with("2,,,,not UTF-8\n"));
        assert!(written(FormatArg::Csv, &bad, true).ends_with("2,,,,not UTF-8,,,\n"));
    }

    #[test]
    fn explanations_are_written_in_text_order_and_shown_by_strength() {
        let shares = [("not", -1.5), ("so", 0.25), ("happy", 2.0), ("a", 0.001)];
        let mut at = 0;
        let share = |(word, score): (&str, f32)| {
            let start = at;
            at += word.len() + 1;
            Share { word: word.to_owned(), characters: start..start + word.len(), score }
        };
        let shares = shares.map(share).to_vec();
        let labels = vec![("joy".to_owned(), 0.75)];
        let explanation = Some(vec![("joy".to_owned(), shares)]);
        let outcome = Ok(Scored { labels, scores: None, explanation });
        let prediction = row(1, "not so happy a", outcome);
        let json = written(FormatArg::Jsonl, &prediction, false);
        let first =
            "\"explanation\":{\"joy\":[{\"word\":\"not\",\"start\":0,\"end\":3,\"score\":-1.5},";
        assert!(json.contains(first), "{json}");
        let table = written(FormatArg::Table, &prediction, false);
        let words: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words, ["joy", "happy", "+2.00", "so", "+0.25", "not", "-1.50"]);
    }
}
