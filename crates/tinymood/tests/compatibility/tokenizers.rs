//! Tokenizers of models made elsewhere.
