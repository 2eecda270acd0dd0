//! Probabilities beside targets, checked once so that metrics need not.

use tinymood_core::ProblemType;

/// What cannot be judged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// No rows.
    #[error("there are no rows to judge")]
    Empty,
    /// Probabilities and targets differ in number, or are not whole rows.
    #[error(
        "{probabilities} probabilities and {targets} targets are not rows of {num_labels} labels each"
    )]
    Shape {
        /// How many probabilities.
        probabilities: usize,
        /// How many targets.
        targets: usize,
        /// `C`.
        num_labels: usize,
    },
    /// A value that is no probability.
    #[error("row {row}, label {label}: {found} is not a number from 0 to 1")]
    Value {
        /// From 0.
        row: usize,
        /// Index of the label.
        label: usize,
        /// The value.
        found: f32,
    },
}

/// Probabilities and targets of `N` rows and `C` labels, all from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Predictions<'a> {
    probabilities: &'a [f32],
    targets: &'a [f32],
    num_labels: usize,
    problem_type: ProblemType,
}

impl<'a> Predictions<'a> {
    /// Checks and takes (N, C) probabilities and targets, of a multi-label model.
    ///
    /// # Errors
    /// When there are no rows, sizes differ, or a value is not from 0 to 1.
    pub fn new(
        probabilities: &'a [f32],
        targets: &'a [f32],
        num_labels: usize,
    ) -> Result<Self, EvalError> {
        let whole = num_labels > 0 && probabilities.len().is_multiple_of(num_labels);
        if !whole || probabilities.len() != targets.len() {
            let (probabilities, targets) = (probabilities.len(), targets.len());
            return Err(EvalError::Shape { probabilities, targets, num_labels });
        }
        if probabilities.is_empty() {
            return Err(EvalError::Empty);
        }
        for values in [probabilities, targets] {
            let outside = |value: &f32| !(0.0..=1.0).contains(value);
            if let Some(index) = values.iter().position(outside) {
                let (row, label) = (index / num_labels, index % num_labels);
                return Err(EvalError::Value { row, label, found: values[index] });
            }
        }
        Ok(Self { probabilities, targets, num_labels, problem_type: ProblemType::MultiLabel })
    }

    /// The same predictions as those of a model of this kind.
    pub fn with_problem_type(self, problem_type: ProblemType) -> Self {
        Self { problem_type, ..self }
    }

    /// What kind of model they are of.
    pub fn problem_type(&self) -> ProblemType {
        self.problem_type
    }

    /// [`ProblemType::decide`] for a row's probabilities, (C).
    pub fn decide<'p>(
        &self,
        probabilities: &'p [f32],
        thresholds: &'p [f32],
    ) -> impl Fn(usize) -> bool + use<'p> {
        self.problem_type.decide(probabilities, thresholds)
    }

    /// `N`.
    pub fn num_rows(&self) -> usize {
        self.probabilities.len() / self.num_labels
    }

    /// `C`.
    pub fn num_labels(&self) -> usize {
        self.num_labels
    }

    /// All probabilities; (N, C).
    pub fn probabilities(&self) -> &'a [f32] {
        self.probabilities
    }

    /// All targets; (N, C).
    pub fn targets(&self) -> &'a [f32] {
        self.targets
    }

    /// Probabilities and targets of each row.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&'a [f32], &'a [f32])> + use<'a> {
        let targets = self.targets.chunks_exact(self.num_labels);
        self.probabilities.chunks_exact(self.num_labels).zip(targets)
    }

    /// Each row's probability and whether the target is positive, for one label.
    pub fn label(&self, label: usize) -> impl Iterator<Item = (f32, bool)> + use<'a> {
        self.rows().map(move |(probabilities, targets)| {
            (probabilities[label], is_positive(targets[label]))
        })
    }

    /// The pairs of all rows and labels.
    pub fn pairs(&self) -> impl Iterator<Item = (f32, bool)> + use<'a> {
        let targets = self.targets.iter().map(|&target| is_positive(target));
        self.probabilities.iter().copied().zip(targets)
    }
}

/// Whether a target, perhaps soft, counts as positive.
pub(crate) fn is_positive(target: f32) -> bool {
    target >= 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_be_judged() {
        let check = |p: &[f32], t: &[f32], c| Predictions::new(p, t, c).unwrap_err();
        assert_eq!(check(&[], &[], 2), EvalError::Empty);
        assert!(matches!(check(&[0.1; 3], &[0.1; 3], 2), EvalError::Shape { .. }));
        assert!(matches!(check(&[0.1; 4], &[0.1; 2], 2), EvalError::Shape { .. }));
        assert!(matches!(check(&[0.1; 4], &[0.1; 4], 0), EvalError::Shape { .. }));
        let error = check(&[0.1, 0.2, 0.3, f32::NAN], &[0.0; 4], 2);
        assert_eq!(error.to_string(), "row 1, label 1: NaN is not a number from 0 to 1");
        assert!(matches!(check(&[0.1; 2], &[0.0, 1.5], 2), EvalError::Value { .. }));
    }
}
