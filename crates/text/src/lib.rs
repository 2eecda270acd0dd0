//! Texts in, token ids out: datasets in the formats people have them in, and BERT's tokenizer.
//!
//! ```text
//! open       a `--data` argument to splits: a name, a file, or a folder
//! readers    TSV, CSV, JSON and JSONL rows to texts and targets
//! empty      which texts have nothing to classify
//! held_out   a dev split out of train rows
//! labels     which labels rows may name, who says so, and how rows have them
//! stream     texts one by one, for predictions, in constant memory
//! unlabelled texts without labels, for a teacher to label
//! goemotions the dataset itself: cached, downloaded, verified
//! sample     the bundled sample
//! stats      what a dataset is like
//! tokenizer  texts to ids
//! encoded    a split as ids and targets
//! column_names  what columns are usually called
//! ```
//!
//! A malformed row is an error that names file, line, what was found and what was expected.

#![forbid(unsafe_code)]

mod column_names;
mod dataset;
mod empty;
mod encoded;
mod error;
pub mod goemotions;
mod held_out;
mod labels;
mod open;
mod readers;
mod sample;
mod stats;
mod stream;
mod tokenizer;
mod unlabelled;

pub use dataset::{Dataset, Example, Splits};
pub use empty::is_empty_text;
pub use encoded::EncodedSplit;
pub use error::{DataError, RowError, RowProblem};
pub use labels::{LabelFormat, LabelList, LabelReading, ListRole, label_file};
pub use open::{DataSource, Wanted, open};
pub use readers::{BadBytes, Encoding, Format, ReadOptions, read_dataset};
pub use sample::sample;
pub use stats::{LengthBin, SplitStats, Stats};
pub use stream::{
    Columns, Field, FieldValue, StreamOptions, StreamedText, TextColumn, TextFormat, TextStream,
};
pub use tokenizer::{PLACEHOLDERS, Token, Tokenizer, TokenizerError, Word, silence_caught_panics};
pub use unlabelled::Unlabelled;
