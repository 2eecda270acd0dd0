//! What a student takes from a teacher of another width: hidden states, layer for layer, and one vector
//! a text (TinyBERT: Jiao et al., 2020), and how a text's tokens lie to one another (MiniLMv2: Wang et
//! al., 2021).

use crate::{ModelConfig, PackedBatch};

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
/// + the loss of [`Relations`]
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
    /// The student's last layer beside one of the teacher's; `None` where relations are not learned.
    pub relations: Option<Relations>,
}

/// The loss of self-attention relations (MiniLMv2). Queries, keys and values of one layer of each model,
/// biases included, are cut anew into `heads` of equal width, so that the models' own heads may differ
/// in number. With `r(X) = softmax(X Xᵀ / sqrt(width of X))` over the tokens of the text, each text
/// contributes
///
/// ```text
/// weight * mean over heads and tokens of  Σ over X of Q, K, V  KL(r(teacher's X) || r(student's X))
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relations {
    /// How much it counts.
    pub weight: f32,
    /// `R`, relation heads; divides both hidden sizes.
    pub heads: usize,
}

/// What a teacher makes of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherStates {
    /// `W`, the teacher's hidden size.
    pub width: usize,
    /// For each of the student's matched states the teacher's; (T, W) each.
    pub states: Vec<Vec<f32>>,
    /// Queries, keys and values of the layer whose relations the student follows, side by side;
    /// (T, 3W). Empty where none are asked for.
    pub qkv: Vec<f32>,
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
    /// Relation heads that are not of equal width.
    #[error(
        "{heads} relation heads do not divide both the teacher's hidden size {teacher} and the \
         student's {student}; these numbers do: {}",
        common_divisors(*teacher, *student)
    )]
    RelationHeads {
        /// `R`.
        heads: usize,
        /// `W`.
        teacher: usize,
        /// `H`.
        student: usize,
    },
}

impl Relations {
    /// Checks that the heads are of equal width in a teacher and a student of these hidden sizes.
    ///
    /// # Errors
    /// [`MatchingError::RelationHeads`].
    pub fn check(&self, teacher: usize, student: usize) -> Result<(), MatchingError> {
        let heads = self.heads;
        let divides = |size: usize| heads > 0 && size.is_multiple_of(heads);
        match divides(teacher) && divides(student) {
            true => Ok(()),
            false => Err(MatchingError::RelationHeads { heads, teacher, student }),
        }
    }
}

impl Matching {
    /// Checks that all fits a student of `num_labels` outputs.
    ///
    /// # Errors
    /// [`MatchingError`].
    pub fn check(
        &self,
        student: &ModelConfig,
        num_labels: usize,
        teacher: &TeacherStates,
        batch: &PackedBatch,
    ) -> Result<(), MatchingError> {
        let projections = student.projections.as_ref().ok_or(MatchingError::NoStudent)?;
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
        let mut states = teacher.states.iter();
        states.try_for_each(|state| same("values of a state", state.len(), values))?;
        let Some(relations) = &self.relations else { return Ok(()) };
        relations.check(teacher.width, student.hidden_size)?;
        same("queries, keys and values of the teacher", teacher.qkv.len(), 3 * values)
    }
}

/// All numbers that divide both, for people.
fn common_divisors(a: usize, b: usize) -> String {
    let divides = |by: &usize| a.is_multiple_of(*by) && b.is_multiple_of(*by);
    let divisors: Vec<String> = (1..=a.min(b)).filter(divides).map(|by| by.to_string()).collect();
    divisors.join(", ")
}
