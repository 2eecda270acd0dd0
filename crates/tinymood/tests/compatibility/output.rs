//! Predictions, reports, cards and messages.
