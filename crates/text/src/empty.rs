//! Which texts have nothing to classify.

use unicode_categories::UnicodeCategories;

/// Whether a text holds nothing that is seen: only white space, and control and zero-width characters. A model
/// would answer from its special tokens alone, so such a text has no answer anywhere: it is an error of its
/// row in predictions, a malformed row of labelled data, and refused by the server.
pub fn is_empty_text(text: &str) -> bool {
    text.chars().all(|character| {
        character.is_whitespace()
            || character.is_control()
            || character.is_other_format()
            || is_ignorable(character)
    })
}

/// Unicode's default ignorable code points that are no format characters, U+FFFD, which stands for text that
/// was lost, and the blank pattern of Braille.
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{34F}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FFA0}'
            | '\u{FFFD}'
            | '\u{E0100}'..='\u{E01EF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_empty() {
        for text in
            ["", " ", "\t\r\n", "\0", "\u{200B}", "\u{FEFF}\u{200D} \u{7}", "\u{A0}\u{3000}"]
        {
            assert!(is_empty_text(text), "{text:?}");
        }
        for text in ["\u{FE0F}", "\u{AD}", "\u{2800}", "\u{FFFD}", "\u{3164}", "\u{E0100}"] {
            assert!(is_empty_text(text), "{text:?}");
        }
        for text in ["a", ".", " ?", "\u{1F600}", "\u{200D}\u{2764}", "0", "\u{301}", "[PAD]"] {
            assert!(!is_empty_text(text), "{text:?}");
        }
    }
}
