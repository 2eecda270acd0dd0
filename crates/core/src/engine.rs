//! The interface between training and arithmetic: whole batches go in, logits or losses come out.
//!
//! It is coarse so that the CPU may fuse freely and a GPU may keep everything resident. One
//! conformance suite runs against every engine.

use crate::{
    BatchError, Logits, Matching, MatchingError, ModelConfig, PackedBatch, Targets, TeacherStates,
    TensorMap, TensorView,
};

/// The loss of one label of one text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Binary cross-entropy with logits (`torch.nn.BCEWithLogitsLoss`).
    Bce,
    /// Focal loss, `(1 - p_t)^gamma` times the cross-entropy (Lin et al., 2017;
    /// `torchvision.ops.sigmoid_focal_loss`).
    Focal {
        /// How much easy examples are held down; 0 is cross-entropy.
        gamma: f32,
        /// Weight of positives, `1 - alpha` that of negatives; `None` weighs both 1.
        alpha: Option<f32>,
    },
    /// Asymmetric loss (Ridnik et al., 2021), with the gradient of all of it, as in their analysis;
    /// `AsymmetricLoss` of their repository takes the focusing weight for a constant by default.
    Asymmetric {
        /// Focusing of positives.
        gamma_positive: f32,
        /// Focusing of negatives.
        gamma_negative: f32,
        /// Probability by which negatives are shifted down before the loss, 0 for none.
        clip: f32,
    },
}

/// The loss of a batch: the mean over texts and labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// The loss of one label of one text.
    pub loss: Loss,
    /// Weight of each label's positive term, (C); `None` weighs all 1.
    pub pos_weight: Option<Vec<f32>>,
    /// `ε`: targets become `(1 - ε) y + ε prior`. Unlike smoothing toward 1/2, which would claim
    /// each rare label in `ε/2` of all texts, this keeps every label's expected frequency.
    pub label_smoothing: f32,
    /// Each label's frequency in the training data, (C); needed when smoothing.
    pub label_priors: Vec<f32>,
}

impl Objective {
    /// Plain binary cross-entropy.
    pub fn bce() -> Self {
        Self { loss: Loss::Bce, pos_weight: None, label_smoothing: 0.0, label_priors: Vec::new() }
    }
}

/// Where in a run a batch stands: dropout is a pure function of this and of the position of an
/// element, so that a resumed run draws what the first would have drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Randomness {
    /// The run's seed.
    pub seed: u64,
    /// Optimizer steps taken before this one.
    pub step: u64,
    /// Tokens of this step's earlier micro-batches: splitting a step does not change its masks.
    pub first_token: u64,
    /// Texts of this step's earlier micro-batches.
    pub first_text: u64,
}

/// What a batch contributed to its step's loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchLoss {
    /// Sum over texts and labels, divided by `rows_in_step * C`; of a student, sum over texts, divided by
    /// `rows_in_step`. What a step's batches contribute adds up to its mean loss.
    pub loss: f64,
}

/// One optimizer step: AdamW (Loshchilov & Hutter, 2019; `torch.optim.AdamW`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// 1 for the first step; corrects the moments' bias.
    pub step: u64,
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Each layer below the head learns at this times the rate of the one above; 1 for all alike.
    pub layer_decay: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// Decoupled weight decay, for parameters that have it.
    pub weight_decay: f32,
    /// Largest norm of the whole gradient (`torch.nn.utils.clip_grad_norm_`); `None` for any.
    pub max_grad_norm: Option<f32>,
    /// Decay of the exponential moving average of the weights; `None` keeps none.
    pub ema_decay: Option<f32>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Norm of the whole gradient before clipping. When it is not finite the step was not taken.
    pub gradient_norm: f64,
}

/// Which tensors of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorSet {
    /// The weights being trained.
    Parameters,
    /// Their exponential moving average.
    Average,
    /// AdamW's first moments.
    FirstMoment,
    /// AdamW's second moments.
    SecondMoment,
}

/// What an engine refuses.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The batch does not fit the model.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The engine gives no hidden states and matches none.
    #[error("this engine ({engine}) does not distill")]
    NoDistillation {
        /// [`Infer::describe`].
        engine: String,
    },
    /// A teacher's states do not fit the student.
    #[error(transparent)]
    Matching(#[from] MatchingError),
    /// A hidden state that the model does not have.
    #[error("hidden state {state} asked for, the model has {layers} layers")]
    State {
        /// What was asked for; 0 are the embeddings.
        state: usize,
        /// `L`.
        layers: usize,
    },
    /// Queries, keys and values that the model does not have.
    #[error("queries, keys and values of layer {layer} asked for, the model has {layers} layers")]
    Layer {
        /// What was asked for, from 1.
        layer: usize,
        /// `L`.
        layers: usize,
    },
    /// An objective that does not fit the model.
    #[error("{what} has {found} values, the model has {expected} labels")]
    Objective {
        /// The field.
        what: &'static str,
        /// Its length.
        found: usize,
        /// `C`.
        expected: usize,
    },
    /// The engine only infers.
    #[error("this engine ({engine}) only infers, and does not train")]
    OnlyInfers {
        /// [`Infer::describe`].
        engine: String,
    },
    /// Tensors given to an engine do not match its parameters.
    #[error("tensor {name:?}: {problem}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong, with both shapes where shapes differ.
        problem: String,
    },
}

/// Something that answers with a model: all that judging, serving and students ask of it. Calls see
/// whole batches.
pub trait Infer {
    /// What computes and how, for people: `cpu, avx512, f32, 2 threads`.
    fn describe(&self) -> String;

    /// The model's configuration.
    fn config(&self) -> &ModelConfig;

    /// `C`, outputs of the classifier.
    fn num_labels(&self) -> usize;

    /// Logits of a batch, without dropout; (B, C).
    ///
    /// # Errors
    /// When the batch does not fit the model.
    fn infer(&self, batch: &PackedBatch) -> Result<Logits, EngineError>;

    /// Hidden states of a batch, without dropout: for each of `states`, ascending, (T, H). 0 are the
    /// embeddings, `n` the output of layer `n`.
    ///
    /// # Errors
    /// When the batch does not fit the model, it has no such layer, or the engine does not distill.
    fn hidden_states(
        &self,
        batch: &PackedBatch,
        states: &[usize],
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        self.teacher_states(batch, states, None).map(|teacher| teacher.states)
    }

    /// [`Infer::hidden_states`] of a teacher, with the queries, keys and values of layer `qkv_layer`,
    /// from 1, where one is named.
    ///
    /// # Errors
    /// As [`Infer::hidden_states`].
    fn teacher_states(
        &self,
        batch: &PackedBatch,
        states: &[usize],
        qkv_layer: Option<usize>,
    ) -> Result<TeacherStates, EngineError> {
        let _ = (batch, states, qkv_layer);
        Err(EngineError::NoDistillation { engine: self.describe() })
    }
}

/// Something that computes a model and trains it.
pub trait Engine: Infer {
    /// What its bits depend on beside tensors, batches and precision, for people: `avx512`. Not the
    /// number of threads.
    fn arithmetic(&self) -> String;

    /// Forward and backward with dropout: adds the gradient of this batch's share of the step's
    /// mean loss. `rows_in_step` counts the texts of all batches of the step.
    ///
    /// # Errors
    /// When batch, targets or objective do not fit the model, or the engine only infers. Nothing is
    /// added then.
    fn accumulate(
        &mut self,
        batch: &PackedBatch,
        targets: &Targets,
        objective: &Objective,
        rows_in_step: usize,
        randomness: Randomness,
    ) -> Result<BatchLoss, EngineError>;

    /// [`Engine::accumulate`] for a student, whose model has projections: the loss is what
    /// [`Matching`] says.
    ///
    /// # Errors
    /// When the batch, the teacher's states or the weights do not fit the model, or the engine only
    /// infers or does not distill. Nothing is added then.
    fn accumulate_states(
        &mut self,
        batch: &PackedBatch,
        teacher: &TeacherStates,
        matching: &Matching,
        rows_in_step: usize,
        randomness: Randomness,
    ) -> Result<BatchLoss, EngineError> {
        let _ = (batch, teacher, matching, rows_in_step, randomness);
        Err(EngineError::NoDistillation { engine: self.describe() })
    }

    /// Clips the gathered gradient, takes one AdamW step, and forgets the gradient. A gradient
    /// whose norm is not finite changes nothing.
    fn step(&mut self, update: &Update) -> StepReport;

    /// The tensors of a set as they are after all steps so far, in the order of
    /// [`ModelConfig::parameters`]; empty for a set that the engine does not keep (an average before the
    /// first step with one).
    fn tensors(&mut self, set: TensorSet) -> Vec<TensorView<'_>>;

    /// Replaces a whole set. Loading parameters forgets moments, average and gradient.
    ///
    /// # Errors
    /// When a tensor is missing, unknown, or of another shape, or moments are for an engine that only
    /// infers. Nothing changes then.
    fn load_tensors(&mut self, set: TensorSet, tensors: &TensorMap) -> Result<(), EngineError>;

    /// Whether [`Infer::infer`] uses the average of the weights, where there is one, or the weights
    /// themselves. Training, from the next [`Engine::accumulate`] on, uses the weights again.
    fn infer_with_average(&mut self, average: bool);
}
