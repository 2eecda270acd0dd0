//! Predictions as people read them, a line or more a text.

use std::io::{self, Write};

use console::{Term, measure_text_width, truncate_str};
use tinymood_core::printable::{disturbs, one_line};

use super::{Prediction, Scored, Share};

/// How a table stands in so many columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
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

    /// As wide as the terminal; where there is none, as rows with all their words.
    pub(super) fn of_terminal() -> Self {
        let terminal = Term::stdout().size_checked();
        Self::new(terminal.map_or(Self::INDENT + 5 * Self::CELL, |(_, columns)| columns.into()))
    }

    fn new(columns: usize) -> Self {
        Self {
            text: columns.saturating_sub(Self::LABELS).clamp(24, 100),
            cells: (columns.saturating_sub(Self::INDENT) / Self::CELL).clamp(1, 5),
        }
    }
}

pub(super) fn write_table_row(
    out: &mut impl Write,
    layout: Layout,
    prediction: &Prediction,
) -> io::Result<()> {
    let text = clipped(&prediction.text, layout.text);
    let said = match &prediction.outcome {
        Err(problem) => format!("error: {}", one_line(problem)),
        Ok(scored) if scored.labels.is_empty() => "(no label reaches its threshold)".to_owned(),
        Ok(scored) => {
            let label = |(label, score): &(String, f32)| format!("{} {score:.2}", one_line(label));
            scored.labels.iter().map(label).collect::<Vec<_>>().join("  ")
        }
    };
    let cut = match &prediction.outcome {
        Ok(Scored { cut_at: Some(tokens), .. }) => {
            format!("  (only the first {tokens} tokens read)")
        }
        _ => String::new(),
    };
    let padding = layout.text.saturating_sub(measure_text_width(&text));
    writeln!(out, "{text}{:padding$}  {said}{cut}", "")?;
    if let Ok(Scored { scores: Some(scores), .. }) = &prediction.outcome {
        for row in scores.chunks(layout.cells) {
            let cell =
                |(label, score): &(String, f32)| format!("{:>14} {score:.4}", one_line(label));
            writeln!(out, "    {}", row.iter().map(cell).collect::<Vec<_>>().join(" "))?;
        }
    }
    if let Ok(Scored { explanation: Some(explanation), .. }) = &prediction.outcome {
        for (label, shares) in explanation {
            let words = strongest(shares, layout.cells);
            writeln!(out, "    {:>14}{}", one_line(label), words.trim_end())?;
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

    #[test]
    fn tables_stand_in_columns_whatever_the_script() {
        let outcome = || Ok(Scored { labels: vec![("joy".to_owned(), 0.9)], ..Scored::default() });
        for text in ["abc", "日本語のテキスト", &"日".repeat(40), &"long ".repeat(40), "e\u{301}a"]
        {
            let mut bytes = Vec::new();
            let row = Prediction {
                file: None,
                row: 1,
                text: text.to_owned(),
                outcome: outcome(),
                others: Vec::new(),
                text_column: None,
            };
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
}
