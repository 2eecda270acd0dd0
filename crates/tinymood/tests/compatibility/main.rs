//! What users bring, read as its maker meant it or refused by name: the cases of
//! `benchmarks/compatibility.md`, through the command line. Expected values come from transformers,
//! scikit-learn, pandas or the format's own tool.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod files;
mod labels;
mod models;
mod output;
mod tables;
mod tokenizers;
