//! Damaged and unusual files of a model.
