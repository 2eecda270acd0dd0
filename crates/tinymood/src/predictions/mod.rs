//! How predictions are written: for people, or for programs.

mod csv;
mod json;
mod table;

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use anyhow::Context;
use tinymood_core::LabelSet;
use tinymood_eval::Choice;
use tinymood_text::{Field, TextColumn};

use self::csv::CsvWriter;
pub use self::csv::{CsvColumns, CsvShape};
use self::json::JsonRow;
pub use self::json::OwnNames;
use self::table::{Layout, write_table_row};

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
    /// The text's own column, where the others are passed on.
    pub text_column: Option<TextColumn>,
}

/// The labels of one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    /// Labels that hold, highest probability first; may be empty.
    pub labels: Vec<(String, f32)>,
    /// All labels in the model's order, when asked for.
    pub scores: Option<Vec<(String, f32)>>,
    /// For each of `labels`, what carried it, when asked for.
    pub explanation: Option<Vec<(String, Vec<Share>)>>,
    /// Tokens that were read, special ones included, of a text that has more.
    pub cut_at: Option<usize>,
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
            ..Self::default()
        }
    }
}

/// What the name of a column begins with that would have the name of another.
const PREFIX: &str = "tinymood_";

/// `name`, with [`PREFIX`] as often as it takes to be no name that is taken.
fn free_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut free = name.to_owned();
    while is_taken(&free) {
        free.insert_str(0, PREFIX);
    }
    free
}

/// Six decimals: all that an f32 near 1 has.
fn rounded(score: f32) -> f64 {
    (f64::from(score) * 1e6).round() / 1e6
}

/// Writes predictions as they come.
pub struct PredictionWriter<W: Write> {
    format: Format<W>,
}

enum Format<W: Write> {
    Table { out: W, layout: Layout },
    Jsonl { out: W, names: OwnNames },
    Csv(CsvWriter<W>),
}

impl<W: Write> PredictionWriter<W> {
    /// A writer of a table for people.
    pub fn table(out: W) -> Self {
        Self { format: Format::Table { out, layout: Layout::of_terminal() } }
    }

    /// A writer of an object a line, whose own fields have these names.
    pub fn jsonl(out: W, names: OwnNames) -> Self {
        Self { format: Format::Jsonl { out, names } }
    }

    /// A writer of CSV, which starts with its header.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn csv(out: W, columns: &CsvColumns<'_>) -> anyhow::Result<Self> {
        let writer = CsvWriter::new(out, columns).context("cannot write the predictions")?;
        Ok(Self { format: Format::Csv(writer) })
    }

    /// Writes one row.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, prediction: &Prediction) -> anyhow::Result<()> {
        let written: io::Result<()> = match &mut self.format {
            Format::Table { out, layout } => write_table_row(out, *layout, prediction),
            Format::Jsonl { out, names } => {
                serde_json::to_writer(&mut *out, &JsonRow { prediction, names })
                    .map_err(io::Error::from)
                    .and_then(|()| out.write_all(b"\n"))
            }
            Format::Csv(writer) => writer.write(prediction),
        };
        written.context("cannot write the predictions")
    }

    /// Hands on what is still in memory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        let flushed = match &mut self.format {
            Format::Table { out, .. } | Format::Jsonl { out, .. } => out.flush(),
            Format::Csv(writer) => writer.flush(),
        };
        flushed.context("cannot write the predictions")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::FormatArg;

    fn labels() -> LabelSet {
        LabelSet::new(["joy", "love", "anger"]).unwrap()
    }

    fn written(format: FormatArg, prediction: &Prediction, scores: bool) -> String {
        let mut bytes = Vec::new();
        let labels = labels();
        let mut writer = match format {
            FormatArg::Table => PredictionWriter::table(&mut bytes),
            FormatArg::Jsonl => PredictionWriter::jsonl(&mut bytes, OwnNames::default()),
            _ => {
                let shape = match format {
                    FormatArg::CsvIndicators => CsvShape::Indicators,
                    FormatArg::CsvScores => CsvShape::Scores,
                    _ => CsvShape::Lists { all_scores: scores },
                };
                let (labels, kept) = (&labels, None);
                let columns =
                    CsvColumns { shape, labels, has_file: false, kept, guards_formulas: false };
                PredictionWriter::csv(&mut bytes, &columns).unwrap()
            }
        };
        writer.write(prediction).unwrap();
        writer.flush().unwrap();
        drop(writer);
        String::from_utf8(bytes).unwrap()
    }

    fn row(row: u64, text: &str, outcome: Result<Scored, String>) -> Prediction {
        let (text, others) = (text.to_owned(), Vec::new());
        Prediction { file: None, row, text, outcome, others, text_column: None }
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
            "row,text,labels,scores,truncated,error,joy,love,anger\n\
             3,\"so \"\"happy\"\",\nreally\",joy,0.75,false,,0.75,0.1,0.123457\n"
        );
        let wide = |format| {
            let written = written(format, &prediction, true);
            written.replace("\"so \"\"happy\"\",\nreally\"", "TEXT")
        };
        assert_eq!(
            wide(FormatArg::CsvIndicators),
            "row,text,joy,love,anger,truncated,error\n3,TEXT,1,0,0,false,\n"
        );
        assert_eq!(
            wide(FormatArg::CsvScores),
            "row,text,joy,love,anger,truncated,error\n3,TEXT,0.75,0.1,0.123457,false,\n"
        );
        let table = written(FormatArg::Table, &prediction, true);
        assert!(table.starts_with("so \"happy\", really"), "{table}");
        assert!(table.contains("joy 0.75"), "{table}");
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
    fn a_text_that_was_cut_is_marked() {
        let labels = vec![("joy".to_owned(), 0.75)];
        let scored = Scored { labels, cut_at: Some(16), ..Scored::default() };
        let cut = row(1, "x", Ok(scored));
        let json = written(FormatArg::Jsonl, &cut, false);
        assert!(json.ends_with("],\"tokens\":16,\"truncated\":true}\n"), "{json}");
        assert!(written(FormatArg::Csv, &cut, false).ends_with("1,x,joy,0.75,true,\n"));
        let table = written(FormatArg::Table, &cut, false);
        assert!(table.ends_with("joy 0.75  (only the first 16 tokens read)\n"), "{table}");
    }

    #[test]
    fn an_empty_answer_and_a_bad_row_are_explicit() {
        let outcome = Ok(Scored { explanation: Some(Vec::new()), ..Scored::default() });
        let empty = row(1, "x", outcome);
        let json = written(FormatArg::Jsonl, &empty, false);
        assert!(json.contains("\"labels\":[],\"explanation\":{}"), "{json}");
        let bad = row(2, "", Err("not UTF-8".to_owned()));
        let json = written(FormatArg::Jsonl, &bad, false);
        assert!(json.contains("\"labels\":[]") && json.contains("\"error\":\"not UTF-8\""));
        assert!(written(FormatArg::Csv, &bad, false).ends_with("2,,,,,not UTF-8\n"));
        assert!(written(FormatArg::Csv, &bad, true).ends_with("2,,,,,not UTF-8,,,\n"));
        for format in [FormatArg::CsvIndicators, FormatArg::CsvScores] {
            assert!(written(format, &bad, true).ends_with("2,,,,,,not UTF-8\n"));
        }
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
        let outcome = Ok(Scored { labels, explanation, ..Scored::default() });
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
