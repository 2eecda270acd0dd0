//! Judging the validation split on the way, with thresholds as the recipe wants them.

use tinymood_core::{Engine, EngineError, LabelSet};
use tinymood_eval::{
    EvalError, Evaluation, Predictions, ThresholdObjective, ThresholdPolicy, Thresholds,
    infer_split,
};

use crate::choices::{Metric, ThresholdRecipe, TunedThresholds};
use crate::recipe::Recipe;
use crate::trainer::SplitView;

/// Tokens of one batch when judging: enough to keep an engine busy, few enough for its caches.
pub(crate) const TOKENS_PER_BATCH: usize = 512;

/// What an evaluation found.
pub(crate) struct Judgement {
    pub(crate) evaluation: Evaluation,
    pub(crate) thresholds: Thresholds,
}

/// Why there is no judgement.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The engine refuses a text.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What the engine answers cannot be judged.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

/// Judges a split with the engine as it stands.
pub(crate) fn judge<E: Engine>(
    engine: &E,
    split: &SplitView<'_>,
    labels: &LabelSet,
    recipe: &Recipe,
) -> Result<Judgement, JudgeError> {
    let problem_type = engine.config().problem_type;
    let logits = infer_split(engine, split.texts, TOKENS_PER_BATCH)?;
    let probabilities = problem_type.probabilities(&logits);
    let predictions = Predictions::new(&probabilities, split.targets, labels.len())?
        .with_problem_type(problem_type);
    let thresholds = thresholds(recipe, &predictions, split.name);
    let evaluation = Evaluation::new(&predictions, &thresholds, labels, split.name, 0);
    Ok(Judgement { evaluation, thresholds })
}

fn thresholds(recipe: &Recipe, predictions: &Predictions<'_>, split: &str) -> Thresholds {
    let policy = match recipe.thresholds {
        ThresholdRecipe::Fixed(value) => {
            return Thresholds::fixed(value as f32, predictions.num_labels());
        }
        ThresholdRecipe::Tuned(TunedThresholds::Global) => ThresholdPolicy::Global,
        ThresholdRecipe::Tuned(TunedThresholds::PerLabel) => ThresholdPolicy::PerLabel,
    };
    // One threshold for all serves the metric that the run is after.
    let objective = match recipe.metric {
        Metric::MacroF1 => ThresholdObjective::MacroF1,
        _ => ThresholdObjective::MicroF1,
    };
    Thresholds::tune(policy, objective, predictions, split)
}

/// The thresholds of a model that was never judged: there was nothing to tune them on.
pub(crate) fn untuned(recipe: &Recipe, num_labels: usize) -> Thresholds {
    match recipe.thresholds {
        ThresholdRecipe::Fixed(value) => Thresholds::fixed(value as f32, num_labels),
        ThresholdRecipe::Tuned(_) => Thresholds::fixed(0.5, num_labels),
    }
}

impl Metric {
    /// Its value in an evaluation; not a number where it has none.
    pub fn of(self, evaluation: &Evaluation) -> f64 {
        match self {
            Self::MacroF1 => evaluation.macro_f1,
            Self::MicroF1 => evaluation.micro_f1,
            Self::WeightedF1 => evaluation.weighted_f1,
            Self::SamplesF1 => evaluation.samples_f1,
            Self::MacroAveragePrecision => evaluation.macro_average_precision.unwrap_or(f64::NAN),
            Self::SubsetAccuracy => evaluation.subset_accuracy,
            Self::Loss => evaluation.loss,
        }
    }
}

impl Judgement {
    /// The value of a metric; not a number where it has none.
    pub(crate) fn metric(&self, metric: Metric) -> f64 {
        metric.of(&self.evaluation)
    }

    /// All metrics that a recipe may choose from, by name.
    pub(crate) fn metrics(&self) -> Vec<(&'static str, f64)> {
        Metric::ALL.map(|metric| (metric.name(), self.metric(metric))).to_vec()
    }
}
