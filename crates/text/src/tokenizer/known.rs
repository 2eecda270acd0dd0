//! What a `tokenizer.json` may ask of the `tokenizers` crate: the parts that WordPiece tokenizers use, with bounds.
//!
//! The crate believes its files. It panics where a table of SentencePiece's is damaged or a template names an
//! absent token, and it fills all memory where replacements multiply a text. Parts that are not known here are
//! refused by name, before the crate sees the file.

use serde_json::{Map, Value};

/// The most bytes that a normalizer may make of one.
const MOST_GROWTH: usize = 64;

/// The most steps of a normalizer or pre-tokenizer, nested ones included.
const MOST_STEPS: usize = 64;

/// The most bytes of a pattern.
const MOST_PATTERN: usize = 256;

/// The most added tokens, and their bytes together.
const MOST_ADDED: usize = 1 << 16;
const MOST_ADDED_BYTES: usize = 1 << 22;

/// A longer word is unknown: the crate tries all its parts. BERT's is 100.
pub(super) const MOST_WORD: u64 = 1000;

/// Checks a whole file; returns how many bytes a normalizer may make of one.
///
/// # Errors
/// What is not known, by its name.
pub(super) fn check(file: &Value) -> Result<usize, String> {
    check_model(&file["model"])?;
    check_added(&file["added_tokens"])?;
    let mut steps = Steps { left: MOST_STEPS, growth: 1 };
    steps.normalizer(&file["normalizer"])?;
    steps.pre_tokenizer(&file["pre_tokenizer"])?;
    check_post_processor(&file["post_processor"])?;
    steps.decoder(&file["decoder"])?;
    Ok(steps.growth)
}

fn check_model(model: &Value) -> Result<(), String> {
    let kind = &model["type"];
    if kind.as_str().is_some_and(|kind| kind != "WordPiece") {
        return Err(format!("its model is {kind}, expected \"WordPiece\""));
    }
    let most = &model["max_input_chars_per_word"];
    if most.as_u64().is_some_and(|most| most > MOST_WORD) {
        return Err(format!("max_input_chars_per_word is {most}, expected at most {MOST_WORD}"));
    }
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or_default();
    if prefix.len() > MOST_PATTERN {
        let length = prefix.len();
        return Err(format!("continuing_subword_prefix is {length} bytes long, expected \"##\""));
    }
    Ok(())
}

/// Checks the number of added tokens.
///
/// # Errors
/// When there are too many.
pub(super) fn check_added(added: &Value) -> Result<(), String> {
    let tokens = added.as_array().map_or(&[][..], Vec::as_slice);
    let content = |token: &Value| token["content"].as_str().map_or(0, str::len);
    let bytes: usize = tokens.iter().map(content).sum();
    if tokens.len() > MOST_ADDED || bytes > MOST_ADDED_BYTES {
        let count = tokens.len();
        return Err(format!(
            "added_tokens holds {count} tokens of {bytes} bytes, expected at most {MOST_ADDED} of \
             {MOST_ADDED_BYTES}"
        ));
    }
    Ok(())
}

/// The parts of a tokenizer that are applied one after the other.
struct Steps {
    /// How many more there may be.
    left: usize,
    /// How many bytes they make of one so far, at most.
    growth: usize,
}

impl Steps {
    /// The type of a step; `None` where there is none.
    fn next<'a>(&mut self, part: &str, step: &'a Value) -> Result<Option<&'a str>, String> {
        if step.is_null() {
            return Ok(None);
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            format!("its normalizer and pre_tokenizer have more than {MOST_STEPS} steps")
        })?;
        let kind = step["type"].as_str();
        kind.map(Some).ok_or_else(|| format!("its {part} has no \"type\""))
    }

    fn normalizer(&mut self, step: &Value) -> Result<(), String> {
        match self.next("normalizer", step)? {
            None
            | Some(
                "BertNormalizer" | "NFC" | "NFD" | "NFKC" | "NFKD" | "Nmt" | "Lowercase" | "Strip"
                | "StripAccents",
            ) => Ok(()),
            Some("Sequence") => list(step, "normalizers").try_for_each(|it| self.normalizer(it)),
            Some("Prepend") => self.grow(1, step["prepend"].as_str().unwrap_or_default()),
            Some("Replace") => {
                let content = step["content"].as_str().unwrap_or_default();
                match check_pattern(&step["pattern"])? {
                    // It may match between any two characters.
                    Pattern::Regex | Pattern::Literal("") => self.grow(1, content),
                    Pattern::Literal(pattern) => {
                        self.multiply(content.len().div_ceil(pattern.len()).max(1))
                    }
                }
            }
            Some(other) => Err(unknown("normalizer", other)),
        }
    }

    /// `content` is put before or after each of so many bytes.
    fn grow(&mut self, bytes: usize, content: &str) -> Result<(), String> {
        self.multiply(content.len().saturating_add(bytes))
    }

    fn multiply(&mut self, factor: usize) -> Result<(), String> {
        self.growth = self.growth.saturating_mul(factor);
        match self.growth > MOST_GROWTH {
            true => Err(format!(
                "its normalizer can make a text {} times as long, expected at most {MOST_GROWTH} times",
                self.growth
            )),
            false => Ok(()),
        }
    }

    fn pre_tokenizer(&mut self, step: &Value) -> Result<(), String> {
        match self.next("pre_tokenizer", step)? {
            None
            | Some(
                "BertPreTokenizer" | "Whitespace" | "WhitespaceSplit" | "Punctuation" | "Digits"
                | "CharDelimiterSplit" | "UnicodeScripts",
            ) => Ok(()),
            Some("Sequence") => {
                list(step, "pretokenizers").try_for_each(|it| self.pre_tokenizer(it))
            }
            Some("Split") => check_pattern(&step["pattern"]).map(drop),
            Some(other) => Err(unknown("pre_tokenizer", other)),
        }
    }

    /// No text comes to the decoder; only its patterns are compiled.
    fn decoder(&mut self, step: &Value) -> Result<(), String> {
        match self.next("decoder", step)? {
            Some("Sequence") => list(step, "decoders").try_for_each(|it| self.decoder(it)),
            Some("Replace") => check_pattern(&step["pattern"]).map(drop),
            _ => Ok(()),
        }
    }
}

/// The steps of a sequence.
fn list<'a>(step: &'a Value, field: &str) -> std::slice::Iter<'a, Value> {
    step[field].as_array().map_or(&[][..], Vec::as_slice).iter()
}

fn unknown(part: &str, kind: &str) -> String {
    format!("its {part} is {kind:?}, which no WordPiece tokenizer is known to use")
}

/// What a pattern is.
enum Pattern<'a> {
    Literal(&'a str),
    Regex,
}

/// Refuses patterns that can only be searched for by trying all ways (backtracking), in exponential time.
fn check_pattern(pattern: &Value) -> Result<Pattern<'_>, String> {
    let (literal, regex) = (pattern["String"].as_str(), pattern["Regex"].as_str());
    let text = literal.or(regex).unwrap_or_default();
    if text.len() > MOST_PATTERN {
        let length = text.len();
        return Err(format!("a pattern of {length} bytes, expected at most {MOST_PATTERN}"));
    }
    match (literal, regex) {
        (Some(literal), _) => Ok(Pattern::Literal(literal)),
        (_, Some(regex)) if has_anchor(regex) => Err(format!(
            "the pattern {text:?} has \"^\" or \"$\", which match at every line there and are not supported"
        )),
        (_, Some(regex)) if is_regular(regex) => Ok(Pattern::Regex),
        _ => Err(format!("the pattern {text:?} needs backtracking, which is not supported")),
    }
}

/// Whether a pattern has none of what goes beyond regular expressions: looking around, references back, atomic
/// groups, possessive repetition. What looks like it is taken for it.
fn is_regular(pattern: &str) -> bool {
    let mut characters = pattern.chars().peekable();
    let mut repeats = false;
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        match character {
            '\\' => match characters.next() {
                Some('p' | 'P') if characters.peek() == Some(&'{') => {
                    characters.find(|&it| it == '}'); // of a class, and no repetition
                    repeats = false;
                    continue;
                }
                Some(c) if !c.is_ascii_alphanumeric() || "wWsSdDnrtbB".contains(c) => {}
                _ => return false,
            },
            '(' if next == Some('?') => {
                characters.next();
                if !matches!(characters.next(), Some(':' | 'i')) {
                    return false;
                }
            }
            '+' if repeats => return false,
            _ => {}
        }
        repeats = matches!(character, '*' | '+' | '?' | '}');
    }
    true
}

/// Whether a pattern has `^` or `$` outside of a class. Oniguruma, with which `tokenizers` compiles patterns in
/// Python, takes them for the ends of each line; the engine that is built in here, for the ends of the text.
fn has_anchor(pattern: &str) -> bool {
    let mut characters = pattern.chars().peekable();
    let mut depth = 0_usize; // of classes
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '[' => {
                depth += 1;
                characters.next_if_eq(&'^');
            }
            ']' => depth = depth.saturating_sub(1),
            '^' | '$' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

fn check_post_processor(step: &Value) -> Result<(), String> {
    match step["type"].as_str() {
        _ if step.is_null() => Ok(()),
        Some("BertProcessing" | "RobertaProcessing") => Ok(()),
        Some("TemplateProcessing") => check_template(step),
        Some("Sequence") => list(step, "processors").try_for_each(check_post_processor),
        Some(other) => Err(unknown("post_processor", other)),
        None => Err("its post_processor has no \"type\"".to_owned()),
    }
}

/// The template of a text alone, with that text once in it.
fn check_template(step: &Value) -> Result<(), String> {
    let no_tokens = Map::new();
    let tokens = step["special_tokens"].as_object().unwrap_or(&no_tokens);
    let mut texts = 0;
    for piece in list(step, "single") {
        if let Some(name) = piece["SpecialToken"]["id"].as_str() {
            let token = tokens.get(name);
            let token = token.ok_or_else(|| {
                format!(
                    "the template \"single\" names the token {name:?}, which it does not define"
                )
            })?;
            let count = |field: &str| token[field].as_array().map(Vec::len);
            if count("ids") != count("tokens") {
                return Err(format!(
                    "the token {name:?} of the template has not as many \"ids\" as \"tokens\""
                ));
            }
        } else if piece["Sequence"]["id"] == "A" {
            texts += 1;
        } else {
            return Err(format!("the template \"single\" holds {piece}, expected the text A"));
        }
    }
    match texts {
        1 => Ok(()),
        _ => Err(format!("the template \"single\" holds the text {texts} times, expected once")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn replace(pattern: Value, content: &str) -> Value {
        json!({"type": "Replace", "pattern": pattern, "content": content})
    }

    fn normalizer(step: Value) -> Result<usize, String> {
        check(&json!({"normalizer": step}))
    }

    #[test]
    fn growth_is_the_product_of_all_replacements() {
        let quotes = replace(json!({"String": "''"}), "\"");
        let euro = replace(json!({"String": "€"}), " euro ");
        let blanks = replace(json!({"Regex": "\\s+"}), " ");
        let sequence =
            |steps: &[Value]| normalizer(json!({"type": "Sequence", "normalizers": steps}));
        assert_eq!(sequence(&[quotes.clone(), json!({"type": "NFC"})]), Ok(1));
        assert_eq!(sequence(&[euro.clone(), quotes]), Ok(2));
        assert_eq!(sequence(&[euro.clone(), blanks.clone(), euro]), Ok(8));
        let ten = replace(json!({"String": "a"}), "aaaaaaaaaa");
        let error = sequence(&vec![ten; 9]).unwrap_err();
        assert!(error.contains("100 times as long"), "{error}");
        assert!(normalizer(replace(json!({"String": ""}), &"a".repeat(64))).is_err());
        assert!(sequence(&vec![json!({"type": "NFC"}); 64]).is_err());
    }

    #[test]
    fn only_regular_patterns_are_searched_for() {
        for pattern in ["\\s+", " {2,}", "[\\r\\n]", "(?:a|b)*", "(?i)x", "\\p{L}+?", "a\\+\\+", ""]
        {
            assert!(is_regular(pattern), "{pattern}");
        }
        for pattern in
            ["(a)\\1", "(?=a)", "(?<!a)b", "(?>a)", "a*+", "a{1}+", "(?P<x>a)", "\\K", "\\", "(?"]
        {
            assert!(!is_regular(pattern), "{pattern}");
        }
    }

    #[test]
    fn anchors_are_refused_outside_of_classes() {
        for pattern in ["^you", "love$", "(?i)^a", "a|^b", "[a]$", "[^a]^", "\\\\$"] {
            let error = normalizer(replace(json!({"Regex": pattern}), "x")).unwrap_err();
            assert!(error.contains(&format!("{pattern:?} has \"^\" or \"$\"")), "{error}");
        }
        for pattern in ["[^a]", "[a^$]", "\\^", "\\$", "[[:punct:]$]", "[\\]$]"] {
            assert!(normalizer(replace(json!({"Regex": pattern}), "x")).is_ok(), "{pattern}");
        }
        assert_eq!(normalizer(replace(json!({"String": "^$"}), "x")), Ok(1));
        assert!(
            check(&json!({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "^a"}}}))
                .is_err()
        );
    }

    #[test]
    fn unknown_parts_are_named() {
        for (file, expected) in [
            (json!({"normalizer": {"type": "Precompiled"}}), "Precompiled"),
            (json!({"normalizer": {"lowercase": true}}), "no \"type\""),
            (json!({"pre_tokenizer": {"type": "FixedLength", "length": 0}}), "FixedLength"),
            (json!({"post_processor": {"type": "ByteLevel"}}), "ByteLevel"),
            (json!({"model": {"type": "BPE"}}), "BPE"),
            (
                json!({"model": {"max_input_chars_per_word": 1_000_000_000}}),
                "max_input_chars_per_word",
            ),
            (json!({"decoder": replace(json!({"Regex": "(?=a)"}), "")}), "backtracking"),
        ] {
            let error = check(&file).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
