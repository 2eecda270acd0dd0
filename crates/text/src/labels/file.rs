//! A file of label names.
//!
//! A line too many or too few gives each later label another id. So lines that are hardly names are refused.

use std::path::Path;

use super::is_number;
use crate::DataError;
use crate::column_names::is_no_label;

/// A line that is not blank: its number, from 1, and its text without white space around it.
type Line<'a> = (u64, &'a str);

/// The names in a file: one a line, quoted or not; a JSON list; or lines `0,joy` or `0<TAB>joy` whose numbers
/// count from 0.
///
/// # Errors
/// [`DataError::LabelLine`].
pub(super) fn names(text: &str, path: &Path) -> Result<Vec<String>, DataError> {
    let lines = text.lines().zip(1..).map(|(line, number)| (number, line.trim()));
    let lines: Vec<Line<'_>> = lines.filter(|(_, line)| !line.is_empty()).collect();
    let refused = |(line, hint): (Line<'_>, String)| DataError::LabelLine {
        path: path.to_owned(),
        line: line.0,
        found: line.1.chars().take(60).collect(),
        hint,
    };
    if let Ok(names) = serde_json::from_str::<Vec<String>>(text) {
        return Ok(names);
    }
    if let Some(names) = numbered(&lines) {
        return names.into_iter().map(|line| name(line).map_err(refused)).collect();
    }
    check(&lines).map_err(refused)?;
    lines.into_iter().map(|line| name(line).map_err(refused)).collect()
}

/// The names behind numbers that count from 0, below a line that names columns or not.
fn numbered<'a>(lines: &[Line<'a>]) -> Option<Vec<Line<'a>>> {
    let counted = |lines: &[Line<'a>]| {
        let behind = |(at, &(number, line)): (usize, &Line<'a>)| {
            let (index, name) = line.split_once(['\t', ','])?;
            let counts = index.trim() == at.to_string();
            // A second comma may stand in the name, or before a third column.
            let is_one = !name.contains(['\t', ',']) || is_quoted(name.trim());
            (counts && is_one && !name.trim().is_empty()).then_some((number, name.trim()))
        };
        lines.iter().enumerate().map(behind).collect::<Option<Vec<_>>>()
    };
    let below = || {
        let (header, lines) = lines.split_first()?;
        (header.1.contains(['\t', ',']) && !lines.is_empty()).then(|| counted(lines))?
    };
    counted(lines).filter(|names| !names.is_empty()).or_else(below)
}

/// A line's name, without the quotes around it.
fn name<'a>((number, line): Line<'a>) -> Result<String, (Line<'a>, String)> {
    if !line.starts_with('"') {
        return Ok(line.to_owned());
    }
    match is_quoted(line) {
        true => Ok(line[1..line.len() - 1].replace("\"\"", "\"")),
        false => {
            let hint = "a name that begins with a quote stands in quotes as a whole, with inner ones doubled";
            Err(((number, line), hint.to_owned()))
        }
    }
}

/// Whether quotes stand around a line, and inner ones are doubled.
fn is_quoted(line: &str) -> bool {
    let inside = line.strip_prefix('"').and_then(|line| line.strip_suffix('"'));
    inside.is_some_and(|inside| !inside.replace("\"\"", "").contains('"'))
}

/// Refuses lines that are hardly names.
fn check<'a>(lines: &[Line<'a>]) -> Result<(), (Line<'a>, String)> {
    let Some(&first) = lines.first() else { return Ok(()) };
    let refused = |line: Line<'a>, hint: &str| Err((line, hint.to_owned()));
    let one_a_line = "write one name a line, id 0 first, or a JSON list: [\"joy\", \"anger\"]; a name \
                      that is so written stands in quotes";
    // A word for a column, or pandas' name of a column without one. Quotes say nothing: all names may have them.
    let header = first.1.trim_matches(['"', '\'']).to_lowercase();
    let has_numbers = lines.iter().all(|(_, line)| is_number(line.trim_matches('"')));
    let is_header = header == "0" && !has_numbers || is_header(&header);
    if lines.len() > 1 && is_header {
        return refused(
            first,
            "if this line names the column, remove it; if it is a label, list all labels on the command \
             line: --labels joy,anger",
        );
    }
    let all = |fits: &dyn Fn(&str) -> bool| lines.iter().all(|(_, line)| fits(line));
    let bare = || lines.iter().filter(|(_, line)| !is_quoted(line));
    let is_json = |line: &str| {
        let line = line.trim_end_matches(',');
        let is_open = line.starts_with(['[', '{']);
        matches!(line, "[" | "]" | "{" | "}") || is_open && line.contains(['"', '\'', ','])
    };
    let is_odd = |line: &str| {
        line.contains('\t')
            || line == "#"
            || line.starts_with("# ")
            || is_json(line)
            || line.starts_with('\'') && line.trim_end_matches(',').ends_with('\'')
    };
    if let Some(&odd) = bare().find(|(_, line)| is_odd(line)) {
        return refused(odd, one_a_line);
    }
    if is_listed(lines)
        || lines.len() == 1 && first.1.contains([',', ';', '|']) && !is_quoted(first.1)
    {
        return refused(first, one_a_line);
    }
    // Marks at the same place of each line, of which one name may have one.
    let is_bullet = |line: &str| line.starts_with("- ") || line.starts_with("* ");
    let ends = |line: &str| {
        let mut parts = line.rsplitn(2, [',', ':', ';']);
        parts.next().is_some_and(is_number) && parts.next().is_some_and(|name| !name.is_empty())
    };
    let are_marked = lines.len() > 1 && (all(&ends) || all(&|line| line.ends_with(',')));
    if all(&is_bullet) || are_marked {
        return refused(first, one_a_line);
    }
    Ok(())
}

/// Whether each line, perhaps but for the first, begins with a number as lists have them. After a blank, it must
/// count from 0, since `1 star` and `2 stars` are names.
fn is_listed(lines: &[Line<'_>]) -> bool {
    let has_number = |&(_, line): &Line<'_>| {
        let name = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let mark = name.chars().next().filter(|_| name.len() < line.len());
        mark.is_some_and(|mark| matches!(mark, ',' | ';' | ':' | ')' | '|' | '='))
            || mark == Some('.') && name[1..].starts_with(char::is_whitespace)
    };
    let counts = |(at, &(_, line)): (usize, &Line<'_>)| {
        line.split_once(char::is_whitespace).is_some_and(|(index, _)| index == at.to_string())
    };
    let below = lines.get(1..).unwrap_or_default();
    lines.iter().all(has_number)
        || below.len() > 1 && below.iter().all(has_number)
        || lines.iter().enumerate().all(counts)
        || below.len() > 1 && below.iter().enumerate().all(counts)
}

/// Whether a column of labels may be called so, in lower case.
fn is_header(name: &str) -> bool {
    let others = ["name", "names", "label_name", "label_names", "class_name", "class_names", "id"];
    is_no_label(name) || others.contains(&name)
}
