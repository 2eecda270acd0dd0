//! The bundled sample: some 1,250 short comments written for this project, over all 28 labels. For
//! trying things, not for measuring quality.

use std::path::Path;

use crate::readers::{Format, ReadOptions, read_from};
use crate::{DataError, Dataset, LabelFormat, LabelList, Splits};

const TRAIN: &str = include_str!("../../../assets/sample/train.tsv");
const DEV: &str = include_str!("../../../assets/sample/dev.tsv");
const TEST: &str = include_str!("../../../assets/sample/test.tsv");

/// The splits of the sample.
///
/// # Errors
/// None but for a damaged build.
pub fn sample() -> Result<Splits, DataError> {
    let read = |name: &str, text: &str| -> Result<Option<Dataset>, DataError> {
        let path = Path::new("sample").join(name);
        let labels = Some(LabelList::goemotions());
        let options = ReadOptions { labels, ..ReadOptions::default() };
        read_from(text.as_bytes(), &path, Format::Tsv, &options, LabelFormat::Auto).map(Some)
    };
    Ok(Splits {
        train: read("train.tsv", TRAIN)?,
        dev: read("dev.tsv", DEV)?,
        test: read("test.tsv", TEST)?,
        ..Splits::default()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_label_is_in_every_split_and_no_text_twice() {
        let splits = sample().unwrap();
        let mut seen = HashSet::new();
        let mut rows = 0;
        for (name, split) in splits.named() {
            rows += split.examples.len();
            for label in 0..28 {
                let holds = |example: &&crate::Example| example.targets[label] == 1.0;
                let count = split.examples.iter().filter(holds).count();
                assert!(count >= 5, "{name}: {} {count} times", split.labels.name(label));
            }
            for example in &split.examples {
                assert!(seen.insert(example.text.to_lowercase()), "twice: {}", example.text);
            }
        }
        assert!(rows >= 1000, "{rows} rows");
    }
}
