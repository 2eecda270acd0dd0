//! A recipe whose every value has been checked, in the types that training uses.

use tinymood_core::{LabelSet, Loss, ModelConfig, ProblemType, Update};

use crate::choices::{
    CheckpointEvery, EpochWord, EvaluateEvery, EvaluationWord, LossRecipe, PosWeightRecipe,
    ThresholdRecipe,
};
use crate::error::TrainError;
use crate::fingerprint;
use crate::recipe::{Recipe, RecipeError};

/// Largest count that a recipe may name; more is a slip of the pen.
const MAX_COUNT: u64 = 1_000_000_000;
/// A probe has long learned what it can by then.
const MOST_PROBE_EPOCHS: u64 = 1_000;

/// Steps between evaluations where half an epoch is shorter: judging would take longer than training.
const FEWEST_STEPS: u64 = 100;

/// A [`Recipe`] that has been checked. What 0 turns off is an `Option` here.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSettings {
    recipe: Recipe,
}

impl TrainSettings {
    /// Checks a recipe.
    ///
    /// # Errors
    /// [`RecipeError::Value`] for the first setting that cannot be.
    pub fn new(recipe: Recipe) -> Result<Self, RecipeError> {
        check(&recipe)?;
        Ok(Self { recipe })
    }

    /// Checks what a recipe says of single labels.
    ///
    /// # Errors
    /// [`RecipeError::Value`].
    pub fn check_labels(&self, labels: &LabelSet) -> Result<(), RecipeError> {
        match &self.recipe.pos_weight {
            PosWeightRecipe::List(weights) if weights.len() != labels.len() => {
                Err(RecipeError::Value {
                    field: "pos_weight",
                    found: format!("a list of {}", weights.len()),
                    expected: format!("one weight for each of the {} labels", labels.len()),
                })
            }
            _ => Ok(()),
        }
    }

    /// Checks that a run which began with `saved` can go on with these settings.
    ///
    /// # Errors
    /// [`TrainError::Different`] for the first that would change its result.
    pub fn check_resumed(&self, saved: &Recipe) -> Result<(), TrainError> {
        let [saved, now] = [saved, &self.recipe].map(fingerprint::of_recipe);
        match fingerprint::difference(&saved, &now) {
            Some((field, saved, now)) => Err(TrainError::Different { field, saved, now }),
            None => Ok(()),
        }
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The run's seed.
    pub fn seed(&self) -> u64 {
        self.recipe.seed
    }

    /// Texts of one pass.
    pub fn micro_batch(&self) -> usize {
        to_size(self.recipe.batch_size)
    }

    /// Texts of one optimizer step.
    pub fn rows_in_step(&self) -> usize {
        to_size(self.recipe.batch_size.saturating_mul(self.recipe.gradient_accumulation))
    }

    /// Longest text in tokens.
    pub fn max_length(&self) -> usize {
        to_size(self.recipe.max_length)
    }

    /// Optimizer steps of the whole run.
    pub fn total_steps(&self, steps_per_epoch: u64) -> u64 {
        match self.recipe.max_steps {
            0 => self.recipe.epochs.saturating_mul(steps_per_epoch).max(self.recipe.min_steps),
            steps => steps,
        }
    }

    /// Steps in which the learning rate rises (`transformers.TrainingArguments.get_warmup_steps`).
    pub fn warmup_steps(&self, total_steps: u64) -> u64 {
        match self.recipe.warmup_steps {
            0 => (total_steps as f64 * self.recipe.warmup_ratio).ceil() as u64,
            steps => steps,
        }
    }

    /// Decay of the weights' moving average, where one is kept.
    pub fn ema_decay(&self) -> Option<f32> {
        (self.recipe.ema_decay > 0.0).then_some(self.recipe.ema_decay as f32)
    }

    /// Evaluations without improvement after which training ends.
    pub fn early_stopping_patience(&self) -> Option<u64> {
        (self.recipe.early_stopping_patience > 0).then_some(self.recipe.early_stopping_patience)
    }

    /// Epochs that a new classifier learns alone.
    pub fn probe_epochs(&self) -> usize {
        to_size(self.recipe.probe_epochs)
    }

    /// How many checkpoints are kept.
    pub fn keep_checkpoints(&self) -> usize {
        to_size(self.recipe.keep_checkpoints)
    }

    /// Whether the validation split is judged once `step` steps have been taken.
    pub fn evaluates_after(&self, step: u64, steps_per_epoch: u64, total_steps: u64) -> bool {
        let within = step % steps_per_epoch.max(1);
        let due = match self.recipe.evaluate_every {
            EvaluateEvery::Word(EpochWord::Epoch) => within == 0,
            EvaluateEvery::Word(EpochWord::HalfEpoch) if steps_per_epoch < 2 * FEWEST_STEPS => {
                step.is_multiple_of(FEWEST_STEPS)
            }
            EvaluateEvery::Word(EpochWord::HalfEpoch) => {
                within == 0 || within == steps_per_epoch / 2
            }
            EvaluateEvery::Steps(steps) => step.is_multiple_of(steps),
        };
        step == total_steps || due
    }

    /// Whether a checkpoint is due once `step` steps have been taken; `evaluated` says whether an
    /// evaluation just was (or, without a validation split, would have been).
    pub fn checkpoints_after(&self, step: u64, evaluated: bool) -> bool {
        match self.recipe.checkpoint_every {
            CheckpointEvery::Word(EvaluationWord::Evaluation) => evaluated,
            CheckpointEvery::Steps(steps) => step.is_multiple_of(steps),
        }
    }

    /// The loss in the engine's terms.
    pub fn loss(&self) -> Loss {
        match self.recipe.loss {
            LossRecipe::Bce => Loss::Bce,
            LossRecipe::Focal { gamma, alpha } => {
                Loss::Focal { gamma: gamma as f32, alpha: alpha.map(|alpha| alpha as f32) }
            }
            LossRecipe::Asymmetric { gamma_positive, gamma_negative, clip } => Loss::Asymmetric {
                gamma_positive: gamma_positive as f32,
                gamma_negative: gamma_negative as f32,
                clip: clip as f32,
            },
        }
    }

    /// What the optimizer is told for its step number `step` (1 for the first).
    pub fn update(&self, step: u64, learning_rate: f64) -> Update {
        let recipe = &self.recipe;
        Update {
            step,
            learning_rate: learning_rate as f32,
            layer_decay: recipe.layer_decay as f32,
            beta1: recipe.beta1 as f32,
            beta2: recipe.beta2 as f32,
            epsilon: recipe.epsilon as f32,
            weight_decay: recipe.weight_decay as f32,
            max_grad_norm: (recipe.max_grad_norm > 0.0).then_some(recipe.max_grad_norm as f32),
            ema_decay: self.ema_decay().map(|decay| decay.min(early_decay(step))),
        }
    }

    /// Puts pooling and dropout of the recipe into a model's configuration. To be called before
    /// the engine is made.
    pub fn apply_to(&self, config: &mut ModelConfig) {
        config.pooling = self.recipe.pooling;
        config.problem_type = ProblemType::MultiLabel; // which all losses are for
        if let Some(probability) = self.recipe.hidden_dropout.probability() {
            config.hidden_dropout_prob = probability as f32;
        }
        if let Some(probability) = self.recipe.attention_dropout.probability() {
            config.attention_probs_dropout_prob = probability as f32;
        }
        if let Some(probability) = self.recipe.classifier_dropout.probability() {
            config.classifier_dropout = Some(probability as f32);
        }
    }
}

/// The most that the average of the weights keeps of itself at a step: with no more than this its first
/// value, weights that have learned nothing, is soon forgotten. Source: TensorFlow's
/// `ExponentialMovingAverage` with `num_updates`.
fn early_decay(step: u64) -> f32 {
    ((1 + step) as f64 / (10 + step) as f64) as f32
}

/// A checked count as a size.
fn to_size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Refuses the first setting that cannot be, with [`RecipeError::Value`].
pub(crate) fn check(recipe: &Recipe) -> Result<(), RecipeError> {
    count("epochs", recipe.epochs, 1)?;
    count("max_steps", recipe.max_steps, 0)?;
    count("min_steps", recipe.min_steps, 0)?;
    count("batch_size", recipe.batch_size, 1)?;
    count("gradient_accumulation", recipe.gradient_accumulation, 1)?;
    if recipe.probe_epochs > MOST_PROBE_EPOCHS {
        let expected = format!("a whole number from 0 to {MOST_PROBE_EPOCHS}");
        return Err(wrong("probe_epochs", recipe.probe_epochs, expected));
    }
    if recipe.max_length < 3 || recipe.max_length > MAX_COUNT {
        let expected = "at least 3: two special tokens and one of the text".to_owned();
        return Err(wrong("max_length", recipe.max_length, expected));
    }
    if recipe.seed > i64::MAX as u64 {
        return Err(wrong("seed", recipe.seed, format!("at most {}", i64::MAX)));
    }
    number("learning_rate", recipe.learning_rate, 0.0, 10.0)?;
    if recipe.learning_rate == 0.0 {
        return Err(wrong("learning_rate", recipe.learning_rate, "a number above 0".to_owned()));
    }
    number("warmup_ratio", recipe.warmup_ratio, 0.0, 1.0)?;
    count("warmup_steps", recipe.warmup_steps, 0)?;
    if recipe.warmup_steps > 0 && recipe.warmup_ratio > 0.0 {
        let expected = format!("0 where \"warmup_ratio\" is {}", recipe.warmup_ratio);
        return Err(wrong("warmup_steps", recipe.warmup_steps, expected));
    }
    number("weight_decay", recipe.weight_decay, 0.0, 10.0)?;
    below_one("beta1", recipe.beta1)?;
    below_one("beta2", recipe.beta2)?;
    number("epsilon", recipe.epsilon, 0.0, 1.0)?;
    if recipe.epsilon as f32 == 0.0 {
        return Err(wrong("epsilon", recipe.epsilon, "a number above 0, as 1e-8".to_owned()));
    }
    number("max_grad_norm", recipe.max_grad_norm, 0.0, 1e9)?;
    number("layer_decay", recipe.layer_decay, 0.0, 1.0)?;
    if recipe.layer_decay == 0.0 {
        let expected = "above 0 and at most 1, 1 for the same rate in all layers".to_owned();
        return Err(wrong("layer_decay", recipe.layer_decay, expected));
    }
    below_one("ema_decay", recipe.ema_decay)?;
    check_loss(&recipe.loss)?;
    if let PosWeightRecipe::List(weights) = &recipe.pos_weight {
        for &weight in weights {
            number("pos_weight", weight, 0.0, 1e6)?;
        }
    }
    number("pos_weight_cap", recipe.pos_weight_cap, 1.0, 1e6)?;
    number("label_smoothing", recipe.label_smoothing, 0.0, 1.0)?;
    number("teacher_weight", recipe.teacher_weight, 0.0, 1.0)?;
    for (field, value) in [
        ("hidden_dropout", recipe.hidden_dropout),
        ("attention_dropout", recipe.attention_dropout),
        ("classifier_dropout", recipe.classifier_dropout),
    ] {
        value.probability().map_or(Ok(()), |value| below_one(field, value))?;
    }
    if let EvaluateEvery::Steps(steps) = recipe.evaluate_every {
        count("evaluate_every", steps, 1)?;
    }
    if let CheckpointEvery::Steps(steps) = recipe.checkpoint_every {
        count("checkpoint_every", steps, 1)?;
    }
    if let ThresholdRecipe::Fixed(threshold) = recipe.thresholds {
        number("thresholds", threshold, 0.0, 1.0)?;
    }
    count("early_stopping_patience", recipe.early_stopping_patience, 0)?;
    number("checkpoint_minutes", recipe.checkpoint_minutes, 0.0, 1e6)?;
    count("keep_checkpoints", recipe.keep_checkpoints, 1)?;
    count("log_every", recipe.log_every, 1)
}

fn check_loss(loss: &LossRecipe) -> Result<(), RecipeError> {
    match *loss {
        LossRecipe::Bce => Ok(()),
        LossRecipe::Focal { gamma, alpha } => {
            number("loss.gamma", gamma, 0.0, 100.0)?;
            alpha.map_or(Ok(()), |alpha| number("loss.alpha", alpha, 0.0, 1.0))
        }
        LossRecipe::Asymmetric { gamma_positive, gamma_negative, clip } => {
            number("loss.gamma_positive", gamma_positive, 0.0, 100.0)?;
            number("loss.gamma_negative", gamma_negative, 0.0, 100.0)?;
            below_one("loss.clip", clip)
        }
    }
}

fn wrong(field: &'static str, found: impl ToString, expected: String) -> RecipeError {
    RecipeError::Value { field, found: found.to_string(), expected }
}

fn count(field: &'static str, value: u64, least: u64) -> Result<(), RecipeError> {
    if (least..=MAX_COUNT).contains(&value) {
        return Ok(());
    }
    Err(wrong(field, value, format!("a whole number from {least} to {MAX_COUNT}")))
}

/// Refuses what is not a number, too.
fn number(field: &'static str, value: f64, least: f64, most: f64) -> Result<(), RecipeError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(wrong(field, value, format!("a number from {least} to {most}")))
}

fn below_one(field: &'static str, value: f64) -> Result<(), RecipeError> {
    // As f32, since 0.99999999 becomes 1 there.
    if (0.0..1.0).contains(&(value as f32)) {
        return Ok(());
    }
    Err(wrong(field, value, "a number from 0 to below 1".to_owned()))
}
