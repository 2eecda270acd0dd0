//! Judging a multi-label classifier: metrics as scikit-learn defines them, thresholds, calibration,
//! confidence intervals, and the tables that show them.
//!
//! ```text
//! infer             a whole split through an engine, length-sorted
//! predictions       probabilities beside targets, checked once
//! counts            what a threshold decides: precision, recall, F1, MCC
//! ranking           what no threshold decides: average precision, ROC AUC, LRAP
//! calibration       whether probabilities mean what they say
//! temperature       logits divided by temperatures so that they do
//! thresholds        fixed, one for all, one a label; tuned
//! tuning            thresholds and temperatures, saved and read back
//! halves            rows to fit on, and others to judge on
//! cross_validation  thresholds on rows that they were not tuned on
//! selection         probabilities to the labels that are told
//! curves            what other thresholds would have given
//! confusion         which labels are true together, and which are taken for one another
//! bootstrap         how far the figures would move on other rows
//! paired            whether one system is better than another on the same rows
//! explain           which words carried a label, and whether that is so
//! evaluation        all of it together, as a table and as JSON
//! ```
//!
//! Sums are taken in f64. A target of at least 1/2 counts as positive.

#![forbid(unsafe_code)]

pub mod bootstrap;
pub mod calibration;
pub mod confusion;
pub mod counts;
mod cross_validation;
pub mod curves;
mod evaluation;
mod explain;
mod halves;
mod infer;
pub mod paired;
mod predictions;
pub mod ranking;
mod selection;
mod table;
mod temperature;
mod thresholds;
mod tuning;

pub use cross_validation::{CrossValidated, cross_validated, cross_validated_with_temperatures};
pub use evaluation::{Evaluation, LabelEvaluation, ThresholdSummary};
pub use explain::{Explainer, Explanation, Faithfulness, MAX_SPANS, Occluded, Occlusion};
pub use infer::{infer_split, infer_split_with};
pub use predictions::{EvalError, Predictions};
pub use selection::{Choice, Selection};
pub use temperature::{Calibrated, Calibration, CalibrationError, CalibrationKind, LogLosses};
pub use thresholds::{ThresholdObjective, ThresholdPolicy, Thresholds};
pub use tuning::{ThresholdError, Tuning};
