use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use tinymood_core::Pooling;
use tinymood_train::{
    CheckpointEvery, ClassifierBias, DropoutRecipe, EvaluateEvery, LossRecipe, Metric,
    PosWeightRecipe, RecipeOverrides, ScheduleKind, ThresholdRecipe,
};

use super::{DatasetArgs, TaxonomyArg, TeachingArgs, Utf8Path};

/// `tinymood train`.
#[derive(Debug, Args)]
#[command(after_help = "\
A run is a folder: settings.toml, log.jsonl, tensorboard/, checkpoints/, best/ (the model; with \
--pooling cls, transformers opens it too), evaluation.json and report.html. Ctrl-C saves a checkpoint; \
`train --resume RUN` continues and produces the same bytes as a run that was never stopped.

Examples:
  tinymood train --init random:4L-312D
  tinymood train --data goemotions --init sentence-transformers/all-MiniLM-L6-v2
  tinymood train --data goemotions --recipe seed
  tinymood train --data my-data/ --labels my-labels.txt --epochs 6 --loss focal:gamma=2
  tinymood train --data comments.csv --text-column body --dev-share 0.1
  tinymood train --data goemotions --teacher runs/a --teacher runs/b --unlabelled texts.txt.gz
  tinymood train --resume runs/sample-default")]
pub struct TrainArgs {
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Train on coarser labels
    #[arg(long, value_enum, default_value = "original", help_heading = "Data")]
    pub taxonomy: TaxonomyArg,

    /// Where training starts: `bundled` (an encoder of TinyBERT's shape), a run, a model folder, a hub id (or
    /// org/name@REVISION), `tinybert` (from the hub), or random:SHAPE, such as random:4L-312D
    #[arg(long, value_name = "INIT", default_value = "bundled")]
    pub init: String,
    /// Recipe: `default`, `seed`, or a TOML file, such as a run's `settings.toml`; flags below override it
    #[arg(long, value_name = "RECIPE", default_value = "default")]
    pub recipe: String,
    /// Folder of the run [default: runs/DATA-RECIPE, numbered if it exists]
    #[arg(value_parser = Utf8Path, long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Continue a run that was stopped or killed; all settings come from its folder
    #[arg(value_parser = Utf8Path, long, value_name = "RUN", conflicts_with_all = [
        "data", "init", "recipe", "output", "teacher", "unlabelled", "unlabelled_column", "unlabelled_rows",
        "augment", "labels", "label_format", "text_column", "labels_column", "label_separator", "encoding",
        "skip_bad_rows",
        "taxonomy", "dev_share",
    ])]
    pub resume: Option<PathBuf>,
    /// Print the final evaluation as one JSON document on standard output
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub teaching: TeachingArgs,
    #[command(flatten)]
    pub overrides: OverrideArgs,
}

/// Settings of a recipe as flags.
#[derive(Clone, Debug, Default, Args)]
pub struct OverrideArgs {
    #[command(flatten)]
    steps: StepArgs,
    #[command(flatten)]
    classifier: ClassifierArgs,
}

/// Settings of whatever learns by steps, as flags.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Recipe (each overrides the recipe's value)")]
pub struct StepArgs {
    /// Passes over the training texts
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Total optimizer steps, overriding epochs; 0 to use epochs
    #[arg(long, value_name = "N")]
    max_steps: Option<u64>,
    /// Minimum number of steps, if epochs would give fewer [ignored with --epochs]
    #[arg(long, value_name = "N")]
    min_steps: Option<u64>,
    /// Texts per forward and backward pass
    #[arg(long, value_name = "N")]
    batch_size: Option<u64>,
    /// Passes accumulated into one optimizer step
    #[arg(long, value_name = "N")]
    gradient_accumulation: Option<u64>,
    /// Whether to batch texts of similar length
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    group_by_length: Option<bool>,
    /// Maximum text length in tokens
    #[arg(long, value_name = "N")]
    max_length: Option<u64>,
    /// Seed of batch order, dropout and new weights
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Peak learning rate
    #[arg(long, value_name = "X")]
    learning_rate: Option<f64>,
    /// Learning-rate schedule: linear, cosine or constant
    #[arg(long, value_name = "NAME", value_parser = ScheduleKind::from_str)]
    schedule: Option<ScheduleKind>,
    /// Share of the steps used for learning-rate warm-up
    #[arg(long, value_name = "X")]
    warmup_ratio: Option<f64>,
    /// Warm-up in steps
    #[arg(long, value_name = "N")]
    warmup_steps: Option<u64>,
    /// AdamW's weight decay
    #[arg(long, value_name = "X")]
    weight_decay: Option<f64>,
    /// AdamW's decay of the first moment
    #[arg(long, value_name = "X")]
    beta1: Option<f64>,
    /// AdamW's decay of the second moment
    #[arg(long, value_name = "X")]
    beta2: Option<f64>,
    /// AdamW's epsilon
    #[arg(long, value_name = "X")]
    epsilon: Option<f64>,
    /// Gradient norm to clip to, 0 for no clipping
    #[arg(long, value_name = "X")]
    max_grad_norm: Option<f64>,
    /// Learning rate of each layer relative to the one above
    #[arg(long, value_name = "X")]
    layer_decay: Option<f64>,
    /// Decay of the weight average (lower in the first steps), 0 for no average
    #[arg(long, value_name = "X")]
    ema_decay: Option<f64>,
    /// Dropout after embeddings and sublayers, or "model" for the configuration's
    #[arg(long, value_name = "P", value_parser = DropoutRecipe::from_str)]
    hidden_dropout: Option<DropoutRecipe>,
    /// Dropout of attention probabilities, or "model"
    #[arg(long, value_name = "P", value_parser = DropoutRecipe::from_str)]
    attention_dropout: Option<DropoutRecipe>,
    /// When to write checkpoints: evaluation, or a number of steps
    #[arg(long, value_name = "WHEN", value_parser = CheckpointEvery::from_str)]
    checkpoint_every: Option<CheckpointEvery>,
    /// Also write a checkpoint after this many minutes, 0 for never
    #[arg(long, value_name = "X")]
    checkpoint_minutes: Option<f64>,
    /// How many checkpoints to keep
    #[arg(long, value_name = "N")]
    keep_checkpoints: Option<u64>,
    /// Steps between log lines
    #[arg(long, value_name = "N")]
    log_every: Option<u64>,
}

/// Settings that only classifiers have, as flags.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Recipe, for classifiers")]
struct ClassifierArgs {
    /// Whether [NAME] and [RELIGION] become single tokens
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    placeholder_tokens: Option<bool>,
    /// Loss: bce, focal[:gamma=2,alpha=0.25] or asymmetric[:gamma_positive=1,gamma_negative=4,clip=0.05]
    #[arg(long, value_name = "LOSS", value_parser = LossRecipe::from_str)]
    loss: Option<LossRecipe>,
    /// Weights of positives: none, auto, or one number per label, comma-separated
    #[arg(long, value_name = "W", value_parser = PosWeightRecipe::from_str)]
    pos_weight: Option<PosWeightRecipe>,
    /// Maximum weight that auto gives
    #[arg(long, value_name = "X")]
    pos_weight_cap: Option<f64>,
    /// Share by which targets move toward each label's frequency
    #[arg(long, value_name = "X")]
    label_smoothing: Option<f64>,
    /// Share by which targets move toward the teachers' probabilities
    #[arg(long, value_name = "X")]
    teacher_weight: Option<f64>,
    /// Pooling: cls (BERT's pooler) or mean
    #[arg(long, value_name = "NAME", value_parser = parse_pooling)]
    pooling: Option<Pooling>,
    /// Initial bias of a new classifier: zero, or prior (each label's log odds in the training split)
    #[arg(long, value_name = "NAME", value_parser = ClassifierBias::from_str)]
    classifier_bias: Option<ClassifierBias>,
    /// Epochs of linear probing for a new classifier on a pretrained encoder, before training; 0 for none
    #[arg(long, value_name = "N")]
    probe_epochs: Option<u64>,
    /// Dropout before the classifier, or "model"
    #[arg(long, value_name = "P", value_parser = DropoutRecipe::from_str)]
    classifier_dropout: Option<DropoutRecipe>,
    /// When to evaluate: epoch, half-epoch (at least 100 steps), or a number of steps
    #[arg(long, value_name = "WHEN", value_parser = EvaluateEvery::from_str)]
    evaluate_every: Option<EvaluateEvery>,
    /// Metric that selects the best model: macro_f1, micro_f1, loss, ...
    #[arg(long, value_name = "NAME", value_parser = Metric::from_str)]
    metric: Option<Metric>,
    /// Thresholds: a number, global, or per-label
    #[arg(long, value_name = "POLICY", value_parser = ThresholdRecipe::from_str)]
    thresholds: Option<ThresholdRecipe>,
    /// Stop after this many evaluations without improvement, 0 for never
    #[arg(long, value_name = "N")]
    early_stopping_patience: Option<u64>,
}

impl From<StepArgs> for RecipeOverrides {
    fn from(args: StepArgs) -> Self {
        Self {
            epochs: args.epochs,
            max_steps: args.max_steps,
            min_steps: args.min_steps,
            batch_size: args.batch_size,
            gradient_accumulation: args.gradient_accumulation,
            group_by_length: args.group_by_length,
            max_length: args.max_length,
            seed: args.seed,
            learning_rate: args.learning_rate,
            schedule: args.schedule,
            warmup_ratio: args.warmup_ratio,
            warmup_steps: args.warmup_steps,
            weight_decay: args.weight_decay,
            beta1: args.beta1,
            beta2: args.beta2,
            epsilon: args.epsilon,
            max_grad_norm: args.max_grad_norm,
            layer_decay: args.layer_decay,
            ema_decay: args.ema_decay,
            hidden_dropout: args.hidden_dropout,
            attention_dropout: args.attention_dropout,
            checkpoint_every: args.checkpoint_every,
            checkpoint_minutes: args.checkpoint_minutes,
            keep_checkpoints: args.keep_checkpoints,
            log_every: args.log_every,
            ..Self::default()
        }
    }
}

impl From<OverrideArgs> for RecipeOverrides {
    fn from(OverrideArgs { steps, classifier: args }: OverrideArgs) -> Self {
        Self {
            placeholder_tokens: args.placeholder_tokens,
            loss: args.loss,
            pos_weight: args.pos_weight,
            pos_weight_cap: args.pos_weight_cap,
            label_smoothing: args.label_smoothing,
            teacher_weight: args.teacher_weight,
            pooling: args.pooling,
            classifier_bias: args.classifier_bias,
            probe_epochs: args.probe_epochs,
            classifier_dropout: args.classifier_dropout,
            evaluate_every: args.evaluate_every,
            metric: args.metric,
            thresholds: args.thresholds,
            early_stopping_patience: args.early_stopping_patience,
            ..steps.into()
        }
    }
}

fn parse_pooling(text: &str) -> Result<Pooling, String> {
    match text {
        "cls" => Ok(Pooling::Cls),
        "mean" => Ok(Pooling::Mean),
        _ => Err("expected cls or mean".to_owned()),
    }
}
