//! Text of others, such as names of labels, where people read it: on a terminal and in Markdown. Files and answers
//! keep it as it is.

use std::borrow::Cow;

/// Whether a character moves the cursor, ends the line, or turns the direction of what follows on it.
pub fn disturbs(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A text on one line: each character that [`disturbs`] is a space.
pub fn one_line(text: &str) -> Cow<'_, str> {
    without(text, disturbs)
}

/// Lines without characters that [`disturbs`], each of which is a space. Line feeds and tabs stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    without(text, |c| disturbs(c) && !matches!(c, '\n' | '\t'))
}

fn without(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    match text.contains(&unwanted) {
        true => Cow::Owned(text.replace(unwanted, " ")),
        false => Cow::Borrowed(text),
    }
}

/// A text as it may stand in a sentence or a cell of a table in Markdown: on one line, nothing of it markup.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in one_line(text).split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        for c in word.chars() {
            match c {
                '<' => out.push_str("&lt;"),
                '&' => out.push_str("&amp;"),
                '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => out.extend(['\\', c]),
                c => out.push(c),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[31m\r\n\tb\u{202e}c\u{9b}d\u{2028}<img src=x>|`&é";

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(one_line(HOSTILE), "a [31m   b c d <img src=x>|`&é");
        assert_eq!(lines(HOSTILE), "a [31m \n\tb c d <img src=x>|`&é");
        assert!(matches!(one_line("日本 é"), Cow::Borrowed(_)));
    }

    #[test]
    fn nothing_is_markup() {
        assert_eq!(markdown(HOSTILE), "a \\[31m b c d &lt;img src=x>\\|\\`&amp;é");
    }
}
