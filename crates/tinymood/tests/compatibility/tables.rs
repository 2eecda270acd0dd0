//! Tables and their encodings.
