//! What a student takes from a teacher of another width: hidden states, layer for layer, and one vector
//! a text (TinyBERT: Jiao et al., 2020).

use crate::PackedBatch;

/// Learned projections of a student's hidden states to its teacher's width. They are parameters of the
/// student while it is one, `distillation.projections.N`, and no part of the encoder that comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projections {
    /// `W`, the teacher's hidden size.
    pub width: usize,
    /// Which hidden states of the student have one, ascending: 0 are the embeddings, `n` the output of
    /// layer `n`.
    pub states: Vec<usize>,
}

impl Projections {
    /// The name of a projection's parameters, without `.weight` and `.bias`.
    pub fn name(index: usize) -> String {
        format!("distillation.projections.{index}")
    }
}

/// How much each part of a teacher counts in the loss of a step.
///
/// With `e(x, y) = |x - y|² / |y|²`, the relative squared error, each text contributes
///
/// ```text
/// Σ over states of  weight * mean over tokens of e(projected student's, teacher's)
/// + mean_weight * (1 - cos(mean of the last state's projected tokens, mean of the teacher's))
/// + head_weight * e(outputs of the student's head, mean of the teacher's last state)
/// ```
///
/// and the loss of a step is the mean over its texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// Weight of each of [`Projections::states`].
    pub state_weights: Vec<f32>,
    /// Weight of the direction of the mean.
    pub mean_weight: f32,
    /// Weight of the head, whose outputs are as many as the teacher is wide.
    pub head_weight: f32,
}

/// A teacher's hidden states of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherStates {
    /// `W`, the teacher's hidden size.
    pub width: usize,
    /// For each of the student's matched states the teacher's; (T, W) each.
    pub states: Vec<Vec<f32>>,
}

/// States and weights that do not fit the student.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchingError {
    /// The model has no projections.
    #[error("the model is no student: it has no projections to match a teacher with")]
    NoStudent,
    /// Counts that differ.
    #[error("{what}: {found}, the student needs {expected}")]
    Count {
        /// Of what.
        what: &'static str,
        /// What was given.
        found: usize,
        /// What is needed.
        expected: usize,
    },
}

impl Matching {
    /// Checks that all fits a student of `num_labels` outputs.
    ///
    /// # Errors
    /// [`MatchingError`].
    pub fn check(
        &self,
        projections: Option<&Projections>,
        num_labels: usize,
        teacher: &TeacherStates,
        batch: &PackedBatch,
    ) -> Result<(), MatchingError> {
        let projections = projections.ok_or(MatchingError::NoStudent)?;
        let states = projections.states.len();
        let same = |what, found, expected| match found == expected {
            true => Ok(()),
            false => Err(MatchingError::Count { what, found, expected }),
        };
        same("weights of states", self.state_weights.len(), states)?;
        same("states of the teacher", teacher.states.len(), states)?;
        same("width of the teacher", teacher.width, projections.width)?;
        same("outputs of the head", num_labels, projections.width)?;
        let values = batch.num_tokens() * teacher.width;
        teacher.states.iter().try_for_each(|state| same("values of a state", state.len(), values))
    }
}
