//! Recipes: everything that decides how a run trains, as a flat TOML file with one name a setting.
//!
//! A [`Recipe`] is what a person writes; [`TrainSettings`](crate::TrainSettings) is a recipe whose every value has been
//! checked. Numbers that turn something off do so at 0 (`ema_decay = 0`), since TOML has no word
//! for "none".

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tinymood_core::Pooling;
use tinymood_weights::regular;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::choices::{
    CheckpointEvery, ClassifierBias, DropoutRecipe, EvaluateEvery, LossRecipe, Metric,
    PosWeightRecipe, ScheduleKind, ThresholdRecipe,
};
use crate::settings::check;

/// The recipes that come with tinymood, by name.
pub const NAMED_RECIPES: [(&str, &str); 3] = [
    ("default", include_str!("recipes/default.toml")),
    ("seed", include_str!("recipes/seed.toml")),
    ("distill", include_str!("recipes/distill.toml")),
];

/// Larger files are not recipes.
const MAX_RECIPE_BYTES: u64 = 1 << 20;

/// How a run trains. Field names are those of the TOML file and, with dashes, of the flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Passes over the training split.
    pub epochs: u64,
    /// Optimizer steps in all, in place of `epochs`, shorter or longer; 0 to go by `epochs`.
    pub max_steps: u64,
    /// Steps at least, where `epochs` would make fewer: small data is passed over more often. 0 for
    /// none.
    #[serde(default)]
    pub min_steps: u64,
    /// Texts of one forward and backward pass.
    pub batch_size: u64,
    /// Passes gathered into one optimizer step: a step sees `batch_size` times this many texts.
    pub gradient_accumulation: u64,
    /// Whether texts of like length share a batch, which spares work; the order of the batches
    /// stays random.
    pub group_by_length: bool,
    /// Longest text in tokens, special tokens included; longer ones are cut.
    pub max_length: u64,
    /// Whether `[NAME]` and `[RELIGION]` become tokens of their own.
    pub placeholder_tokens: bool,
    /// Decides the order of the texts, dropout, and new weights.
    pub seed: u64,
    /// The largest learning rate.
    pub learning_rate: f64,
    /// How the learning rate falls after warm-up.
    pub schedule: ScheduleKind,
    /// Share of all steps in which the learning rate rises from 0.
    pub warmup_ratio: f64,
    /// The same in steps; 0 to go by `warmup_ratio`.
    pub warmup_steps: u64,
    /// AdamW's decoupled weight decay; biases and layer norms have none.
    pub weight_decay: f64,
    /// Decay of AdamW's first moment.
    pub beta1: f64,
    /// Decay of AdamW's second moment.
    pub beta2: f64,
    /// Added to AdamW's denominator.
    pub epsilon: f64,
    /// Gradients of a larger norm are scaled down to it; 0 for no clipping.
    pub max_grad_norm: f64,
    /// Each layer learns at this times the rate of the one above it; 1 for all alike.
    pub layer_decay: f64,
    /// Decay of the moving average of the weights, which then is what is judged and saved; less in the
    /// first steps, `(1 + step) / (10 + step)`; 0 for none.
    pub ema_decay: f64,
    /// The loss of one label of one text.
    pub loss: LossRecipe,
    /// Weight of each label's positive term.
    pub pos_weight: PosWeightRecipe,
    /// Largest weight that `pos_weight = "auto"` gives; the smallest is one over it.
    pub pos_weight_cap: f64,
    /// Share by which targets move to each label's frequency.
    pub label_smoothing: f64,
    /// Share by which targets move to what teachers say; without teachers it changes nothing.
    #[serde(default = "half")]
    pub teacher_weight: f64,
    /// How hidden states become one vector.
    pub pooling: Pooling,
    /// What the bias of a new classifier starts at.
    #[serde(default)]
    pub classifier_bias: ClassifierBias,
    /// Epochs that a new classifier on a pretrained encoder learns alone before training, by a linear
    /// probe; 0 for none.
    #[serde(default)]
    pub probe_epochs: u64,
    /// Dropout after embeddings and sublayers; `"model"`: as the model's configuration says.
    #[serde(default)]
    pub hidden_dropout: DropoutRecipe,
    /// Dropout of attention probabilities, likewise.
    #[serde(default)]
    pub attention_dropout: DropoutRecipe,
    /// Dropout before the classifier, likewise.
    #[serde(default)]
    pub classifier_dropout: DropoutRecipe,
    /// When the validation split is judged; the last step always is followed by it.
    pub evaluate_every: EvaluateEvery,
    /// What makes one evaluation better than another.
    pub metric: Metric,
    /// Thresholds with which the F1 metrics are taken, and that are saved with the model.
    pub thresholds: ThresholdRecipe,
    /// Evaluations without improvement after which training ends; 0 to never end early.
    pub early_stopping_patience: u64,
    /// When a checkpoint is written; one is also written at the end and when stopped.
    pub checkpoint_every: CheckpointEvery,
    /// Also write one when this many minutes have passed since the last; 0 for never.
    pub checkpoint_minutes: f64,
    /// How many checkpoints are kept, the newest ones.
    pub keep_checkpoints: u64,
    /// Steps from one line of the log to the next.
    pub log_every: u64,
}

/// Settings given on top of a recipe: by flags, or by a recipe file that names only some.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // each field is the one of `Recipe`
pub struct RecipeOverrides {
    pub epochs: Option<u64>,
    pub max_steps: Option<u64>,
    pub min_steps: Option<u64>,
    pub batch_size: Option<u64>,
    pub gradient_accumulation: Option<u64>,
    pub group_by_length: Option<bool>,
    pub max_length: Option<u64>,
    pub placeholder_tokens: Option<bool>,
    pub seed: Option<u64>,
    pub learning_rate: Option<f64>,
    pub schedule: Option<ScheduleKind>,
    pub warmup_ratio: Option<f64>,
    pub warmup_steps: Option<u64>,
    pub weight_decay: Option<f64>,
    pub beta1: Option<f64>,
    pub beta2: Option<f64>,
    pub epsilon: Option<f64>,
    pub max_grad_norm: Option<f64>,
    pub layer_decay: Option<f64>,
    pub ema_decay: Option<f64>,
    pub loss: Option<LossRecipe>,
    pub pos_weight: Option<PosWeightRecipe>,
    pub pos_weight_cap: Option<f64>,
    pub label_smoothing: Option<f64>,
    pub teacher_weight: Option<f64>,
    pub pooling: Option<Pooling>,
    pub classifier_bias: Option<ClassifierBias>,
    pub probe_epochs: Option<u64>,
    pub hidden_dropout: Option<DropoutRecipe>,
    pub attention_dropout: Option<DropoutRecipe>,
    pub classifier_dropout: Option<DropoutRecipe>,
    pub evaluate_every: Option<EvaluateEvery>,
    pub metric: Option<Metric>,
    pub thresholds: Option<ThresholdRecipe>,
    pub early_stopping_patience: Option<u64>,
    pub checkpoint_every: Option<CheckpointEvery>,
    pub checkpoint_minutes: Option<f64>,
    pub keep_checkpoints: Option<u64>,
    pub log_every: Option<u64>,
}

/// What is wrong with a recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Neither a recipe's name nor a file.
    #[error("{name:?} is neither a recipe's name ({}) nor a file", names())]
    Unknown {
        /// What was given.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read the recipe {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a TOML recipe.
    #[error("{from} is not a recipe")]
    Syntax {
        /// Where it came from.
        from: String,
        /// The line and what is wrong there.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A setting of a recipe file has a value that cannot be.
    #[error("{from}:{line}: the setting {field:?} is {found}, expected {expected}")]
    ValueInFile {
        /// Where it came from.
        from: String,
        /// Its line, from 1.
        line: usize,
        /// Its name.
        field: &'static str,
        /// Its value.
        found: String,
        /// What may stand there.
        expected: String,
    },
    /// A setting has a value that cannot be.
    #[error("the setting {field:?} is {found}, expected {expected}")]
    Value {
        /// Its name.
        field: &'static str,
        /// Its value.
        found: String,
        /// What may stand there.
        expected: String,
    },
}

/// What settings of runs from before there were teachers leave out.
fn half() -> f64 {
    0.5
}

/// The settings of a run, as `settings.toml` keeps them.
#[derive(Deserialize)]
struct OfRun {
    recipe: RecipeOverrides,
}

/// Whether a text is the settings of a run.
fn is_of_run(text: &str) -> bool {
    DeTable::parse(text).is_ok_and(|table| table.get_ref().contains_key("recipe"))
}

/// The line, from 1, on which a recipe file names a setting; of `loss.gamma` that of `loss`.
fn line_of(field: &str, text: &str) -> usize {
    let name = field.split('.').next().unwrap_or(field);
    let table = DeTable::parse(text).map(Spanned::into_inner).unwrap_or_default();
    let table = match table.get("recipe").map(Spanned::get_ref) {
        Some(DeValue::Table(recipe)) => recipe,
        _ => &table,
    };
    let start = table.get_key_value(name).map_or(0, |(key, _)| key.span().start);
    1 + text[..start].matches('\n').count()
}

/// [`check`] of a recipe that was read from a text; `from` names it in errors.
///
/// # Errors
/// [`RecipeError::ValueInFile`], since no argument is to blame.
pub(crate) fn check_file(recipe: &Recipe, text: &str, from: &str) -> Result<(), RecipeError> {
    check(recipe).map_err(|error| match error {
        RecipeError::Value { field, found, expected } => {
            let (from, line) = (from.to_owned(), line_of(field, text));
            RecipeError::ValueInFile { from, line, field, found, expected }
        }
        other => other,
    })
}

/// The named recipes, for messages.
fn names() -> String {
    NAMED_RECIPES.map(|(name, _)| name).join(", ")
}

impl Default for Recipe {
    fn default() -> Self {
        Self::named("default").expect("the recipe is bundled")
    }
}

impl Recipe {
    /// A bundled recipe.
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = NAMED_RECIPES.iter().find(|(known, _)| *known == name)?;
        Some(toml::from_str(text).expect("bundled recipes are complete, as a test shows"))
    }

    /// A recipe by name, or by the path of a TOML file: a recipe, or the `settings.toml` of a run. A file
    /// need not name every setting: those it leaves out are the default recipe's.
    ///
    /// # Errors
    /// When there is no such recipe, or the file is not one.
    pub fn load(name_or_path: &str) -> Result<Self, RecipeError> {
        Self::default().load_over(name_or_path)
    }

    /// [`Recipe::load`], but that settings a file leaves out are this recipe's.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn load_over(self, name_or_path: &str) -> Result<Self, RecipeError> {
        if let Some(recipe) = Self::named(name_or_path) {
            return Ok(recipe);
        }
        let path = Path::new(name_or_path);
        let read = |source| RecipeError::Read { path: path.to_owned(), source };
        if !regular::is_there(path).map_err(read)? {
            return Err(RecipeError::Unknown { name: name_or_path.to_owned() });
        }
        let text = regular::read_text(path, MAX_RECIPE_BYTES).map_err(read)?;
        self.parse_over(&text, name_or_path)
    }

    /// Reads a recipe file's text over the default recipe; `from` names it in errors.
    ///
    /// # Errors
    /// [`RecipeError::Syntax`] and [`RecipeError::ValueInFile`], with the line.
    pub fn parse(text: &str, from: &str) -> Result<Self, RecipeError> {
        Self::default().parse_over(text, from)
    }

    fn parse_over(self, text: &str, from: &str) -> Result<Self, RecipeError> {
        let syntax =
            |source| RecipeError::Syntax { from: from.to_owned(), source: Box::new(source) };
        let overrides = match is_of_run(text) {
            true => toml::from_str(text).map(|run: OfRun| run.recipe),
            false => toml::from_str(text),
        };
        let overrides: RecipeOverrides = overrides.map_err(syntax)?;
        let recipe = self.with(&overrides);
        check_file(&recipe, text, from)?;
        Ok(recipe)
    }

    /// This recipe with some settings replaced.
    ///
    /// Warm-up is one setting under two names: whichever is given replaces the other. Who names
    /// `epochs` gets just these: `min_steps` is off then.
    #[must_use]
    pub fn with(mut self, overrides: &RecipeOverrides) -> Self {
        fn set<T: Clone>(field: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                *field = value.clone();
            }
        }
        // All of them by name: one that is forgotten below is an unused variable.
        let RecipeOverrides {
            epochs,
            max_steps,
            min_steps,
            batch_size,
            gradient_accumulation,
            group_by_length,
            max_length,
            placeholder_tokens,
            seed,
            learning_rate,
            schedule,
            warmup_ratio,
            warmup_steps,
            weight_decay,
            beta1,
            beta2,
            epsilon,
            max_grad_norm,
            layer_decay,
            ema_decay,
            loss,
            pos_weight,
            pos_weight_cap,
            label_smoothing,
            teacher_weight,
            pooling,
            classifier_bias,
            probe_epochs,
            hidden_dropout,
            attention_dropout,
            classifier_dropout,
            evaluate_every,
            metric,
            thresholds,
            early_stopping_patience,
            checkpoint_every,
            checkpoint_minutes,
            keep_checkpoints,
            log_every,
        } = overrides;
        match (warmup_ratio, warmup_steps) {
            (Some(_), None) => self.warmup_steps = 0,
            (None, Some(_)) => self.warmup_ratio = 0.0,
            _ => {}
        }
        if epochs.is_some() {
            self.min_steps = 0;
        }
        set(&mut self.epochs, epochs);
        set(&mut self.max_steps, max_steps);
        set(&mut self.min_steps, min_steps);
        set(&mut self.batch_size, batch_size);
        set(&mut self.gradient_accumulation, gradient_accumulation);
        set(&mut self.group_by_length, group_by_length);
        set(&mut self.max_length, max_length);
        set(&mut self.placeholder_tokens, placeholder_tokens);
        set(&mut self.seed, seed);
        set(&mut self.learning_rate, learning_rate);
        set(&mut self.schedule, schedule);
        set(&mut self.warmup_ratio, warmup_ratio);
        set(&mut self.warmup_steps, warmup_steps);
        set(&mut self.weight_decay, weight_decay);
        set(&mut self.beta1, beta1);
        set(&mut self.beta2, beta2);
        set(&mut self.epsilon, epsilon);
        set(&mut self.max_grad_norm, max_grad_norm);
        set(&mut self.layer_decay, layer_decay);
        set(&mut self.ema_decay, ema_decay);
        set(&mut self.loss, loss);
        set(&mut self.pos_weight, pos_weight);
        set(&mut self.pos_weight_cap, pos_weight_cap);
        set(&mut self.label_smoothing, label_smoothing);
        set(&mut self.teacher_weight, teacher_weight);
        set(&mut self.pooling, pooling);
        set(&mut self.classifier_bias, classifier_bias);
        set(&mut self.probe_epochs, probe_epochs);
        set(&mut self.hidden_dropout, hidden_dropout);
        set(&mut self.attention_dropout, attention_dropout);
        set(&mut self.classifier_dropout, classifier_dropout);
        set(&mut self.evaluate_every, evaluate_every);
        set(&mut self.metric, metric);
        set(&mut self.thresholds, thresholds);
        set(&mut self.early_stopping_patience, early_stopping_patience);
        set(&mut self.checkpoint_every, checkpoint_every);
        set(&mut self.checkpoint_minutes, checkpoint_minutes);
        set(&mut self.keep_checkpoints, keep_checkpoints);
        set(&mut self.log_every, log_every);
        self
    }

    /// The recipe as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe is plain values")
    }
}
