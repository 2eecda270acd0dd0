//! Configurations and heads of models.
