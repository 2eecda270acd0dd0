//! What a run did, as one page that people look at, and as the same numbers for programs.
//!
//! ```text
//! log        log.jsonl read back, torn or not
//! data       data.json: what the splits were like
//! kept       predictions.jsonl: what the model says of the validation split
//! record     a run's folder: all of these, and notes of what is missing
//! figures    everything that predictions say
//!   mistakes   texts that the model got wrong
//! run        a run's report as data
//! compare    runs beside one another, with the paired bootstrap
//! seeds      runs that differ in their seed alone
//! plot       SVG that follows the page's colours
//! page       HTML
//! card       Markdown: figures for the model card, and a comparison
//! write      report.html and report.json
//! ```
//!
//! A report works with what there is: only `settings.toml` must be readable.

#![forbid(unsafe_code)]

mod card;
mod compare;
mod data;
mod error;
mod figures;
mod kept;
mod log;
mod mistakes;
mod page;
mod plot;
mod record;
mod run;
mod seeds;
mod write;

pub use card::{card_details, comparison_markdown, training_summary};
pub use compare::{Adjusted, Comparison, MOST_RUNS};
pub use data::{DataSummary, SplitSummary};
pub use error::ReportError;
pub use figures::{Confusion, Detail, ReliabilityPoint, ReportOptions};
pub use kept::{KeptError, KeptPredictions, KeptRow};
pub use log::{End, EvaluationPoint, Session, StepPoint, TrainingLog};
pub use mistakes::{Mistake, Mistakes, WorstText};
pub use record::{
    RunRecord, RunSettings, data_file, name_of, order_labels_alike, predictions_file,
};
pub use run::RunReport;
pub use seeds::{SeedGroup, Spread};
pub use write::{Written, write_comparison, write_data, write_run};
