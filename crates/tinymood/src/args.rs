//! The command line as it is typed. Commands turn it into settings; nothing is decided here.

#![allow(missing_docs)] // comments here are help texts, and flattened groups show none

mod distill;
mod teaching;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use tinymood_core::{Pooling, Taxonomy};
use tinymood_kernels::Precision;
use tinymood_train::{
    CheckpointEvery, DropoutRecipe, EvaluateEvery, LossRecipe, Metric, PosWeightRecipe,
    RecipeOverrides, ScheduleKind, ThresholdRecipe,
};

pub use distill::DistillArgs;
pub use teaching::TeachingArgs;

/// Fine-tune, judge and use tiny multi-label emotion classifiers, on the machine you have.
#[derive(Debug, Parser)]
#[command(name = "tinymood", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "\
First steps:
  tinymood train --init random:4L-312D     train on the bundled sample, offline
  tinymood predict \"what a day!\"           use the newest run
  tinymood train --data goemotions         the real thing: TinyBERT on GoEmotions

Data goes to standard output, all else to standard error. Exit status: 0 done, 1 failed,
2 wrong usage. `tinymood COMMAND --help` says more.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// What holds for all commands.
    #[command(flatten)]
    pub global: GlobalArgs,
}

/// What holds for all commands.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Number of threads [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// What multiplications multiply: bf16 is mixed precision, twice as fast where the CPU has it;
    /// int8 is for using a model, not for training one
    #[arg(long, global = true, value_enum, default_value_t)]
    pub precision: PrecisionArg,
    /// Never use the network: models and data come from the cache or from folders
    #[arg(long, global = true)]
    pub offline: bool,
    /// Where downloaded datasets are kept [default: the system's cache folder]
    #[arg(long, global = true, value_name = "DIR", env = "TINYMOOD_CACHE")]
    pub cache_dir: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// `--precision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionArg {
    /// int8 for a model that was exported so, else bf16 where the CPU has it, else f32
    #[default]
    Auto,
    /// 32-bit floats throughout
    F32,
    /// Operands rounded to bfloat16; sums, weights and all else in f32
    Bf16,
    /// Operands rounded to 8 bits, weights per output and activations per token; not for training
    Int8,
}

impl PrecisionArg {
    /// The argument that asks for `precision`.
    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
            Precision::Int8 => Self::Int8,
        }
    }

    /// What to ask an engine for; `None` leaves it the choice.
    pub fn asked(self) -> Option<Precision> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(Precision::F32),
            Self::Bf16 => Some(Precision::Bf16),
            Self::Int8 => Some(Precision::Int8),
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fine-tune a BERT-family encoder
    Train(Box<TrainArgs>),
    /// Make a smaller encoder of a large one, from plain text
    Distill(Box<DistillArgs>),
    /// Judge a model on a labelled split
    Evaluate(EvaluateArgs),
    /// Tune a model's thresholds on a labelled split and save them with it
    Tune(TuneArgs),
    /// Say what emotions texts show
    Predict(PredictArgs),
    /// Write a model in another form: int8, a quarter of the size
    Export(ExportArgs),
    /// Look at datasets, or fetch one
    Data(DataArgs),
    /// Measure training and inference on this machine
    Bench(BenchArgs),
    /// Show what this machine and installation offer
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Which data, and how to read it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct DatasetArgs {
    /// `sample` (bundled), `goemotions` (downloaded once), a file, or a folder with train, dev and
    /// test files. Files: .tsv (text, labels, id; no header), .csv (with header), .jsonl
    #[arg(long, value_name = "DATA", default_value = "sample")]
    pub data: String,
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// How to read data files.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Data")]
pub struct ReadingArgs {
    /// File of label names, one a line [default: GoEmotions' 28]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Column or field of the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub text_column: String,
    /// Column or field of the labels
    #[arg(long, value_name = "NAME", default_value = "labels")]
    pub labels_column: String,
    /// What stands between the labels of a row
    #[arg(long, value_name = "TEXT", default_value = ",")]
    pub label_separator: String,
    /// Count and list malformed rows instead of stopping at the first
    #[arg(long)]
    pub skip_bad_rows: bool,
}

/// A taxonomy as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TaxonomyArg {
    /// The labels as they are
    Original,
    /// Ekman's six basic emotions and neutral
    Ekman,
    /// Positive, negative, ambiguous and neutral
    Sentiment,
}

impl From<TaxonomyArg> for Taxonomy {
    fn from(arg: TaxonomyArg) -> Self {
        match arg {
            TaxonomyArg::Original => Self::Original,
            TaxonomyArg::Ekman => Self::Ekman,
            TaxonomyArg::Sentiment => Self::Sentiment,
        }
    }
}

/// `tinymood train`.
#[derive(Debug, Args)]
#[command(after_help = "\
A run is a folder: settings.toml, log.jsonl, tensorboard/, checkpoints/, best/ (the model, which
transformers opens too) and evaluation.json. Ctrl-C saves a checkpoint; `train --resume RUN` goes on
and ends in the very bytes of a run that was never stopped.

Examples:
  tinymood train --init random:4L-312D
  tinymood train --data goemotions --init sentence-transformers/all-MiniLM-L6-v2
  tinymood train --data goemotions --recipe seed
  tinymood train --data my-data/ --labels my-labels.txt --epochs 6 --loss focal:gamma=2
  tinymood train --data goemotions --teacher runs/a --teacher runs/b --unlabelled texts.txt.gz
  tinymood train --resume runs/sample-default")]
pub struct TrainArgs {
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Train on coarser labels
    #[arg(long, value_enum, default_value = "original", help_heading = "Data")]
    pub taxonomy: TaxonomyArg,

    /// Where training starts: a model folder, a hub id, or random:SHAPE as random:4L-312D
    #[arg(long, value_name = "INIT", default_value = "huawei-noah/TinyBERT_General_4L_312D")]
    pub init: String,
    /// `default`, `seed`, or a TOML file; flags below override it
    #[arg(long, value_name = "RECIPE", default_value = "default")]
    pub recipe: String,
    /// The run's folder [default: runs/DATA-RECIPE, numbered when it exists]
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Go on with a run that was stopped or killed; all settings come from its folder
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "data", "init", "recipe", "output", "teacher", "unlabelled", "unlabelled_rows",
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
#[command(next_help_heading = "Recipe (each overrides the recipe's value)")]
pub struct OverrideArgs {
    /// Passes over the training split
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Optimizer steps in all, in place of epochs
    #[arg(long, value_name = "N")]
    max_steps: Option<u64>,
    /// Texts of one pass
    #[arg(long, value_name = "N")]
    batch_size: Option<u64>,
    /// Passes gathered into one optimizer step
    #[arg(long, value_name = "N")]
    gradient_accumulation: Option<u64>,
    /// Whether texts of like length share a batch
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    group_by_length: Option<bool>,
    /// Longest text in tokens
    #[arg(long, value_name = "N")]
    max_length: Option<u64>,
    /// Whether [NAME] and [RELIGION] become tokens of their own
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    placeholder_tokens: Option<bool>,
    /// Decides order, dropout and new weights
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The largest learning rate
    #[arg(long, value_name = "X")]
    learning_rate: Option<f64>,
    /// linear, cosine or constant
    #[arg(long, value_name = "NAME", value_parser = ScheduleKind::from_str)]
    schedule: Option<ScheduleKind>,
    /// Share of the steps in which the learning rate rises
    #[arg(long, value_name = "X")]
    warmup_ratio: Option<f64>,
    /// The same in steps
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
    /// Largest gradient norm, 0 for any
    #[arg(long, value_name = "X")]
    max_grad_norm: Option<f64>,
    /// Each layer learns at this times the rate of the one above
    #[arg(long, value_name = "X")]
    layer_decay: Option<f64>,
    /// Decay of the average of the weights, 0 for none
    #[arg(long, value_name = "X")]
    ema_decay: Option<f64>,
    /// bce, focal[:gamma=2,alpha=0.25] or asymmetric[:gamma_positive=1,gamma_negative=4,clip=0.05]
    #[arg(long, value_name = "LOSS", value_parser = LossRecipe::from_str)]
    loss: Option<LossRecipe>,
    /// none, auto, or one number a label between commas
    #[arg(long, value_name = "W", value_parser = PosWeightRecipe::from_str)]
    pos_weight: Option<PosWeightRecipe>,
    /// Largest weight that auto gives
    #[arg(long, value_name = "X")]
    pos_weight_cap: Option<f64>,
    /// Share by which targets move to each label's frequency
    #[arg(long, value_name = "X")]
    label_smoothing: Option<f64>,
    /// Share by which targets move to what teachers say
    #[arg(long, value_name = "X")]
    teacher_weight: Option<f64>,
    /// cls (BERT's pooler) or mean
    #[arg(long, value_name = "NAME", value_parser = parse_pooling)]
    pooling: Option<Pooling>,
    /// Dropout after embeddings and sublayers, or "model": as its configuration says
    #[arg(long, value_name = "P", value_parser = DropoutRecipe::from_str)]
    hidden_dropout: Option<DropoutRecipe>,
    /// Dropout of attention probabilities, or "model"
    #[arg(long, value_name = "P", value_parser = DropoutRecipe::from_str)]
    attention_dropout: Option<DropoutRecipe>,
    /// Dropout before the classifier, or "model"
    #[arg(long, value_name = "P", value_parser = DropoutRecipe::from_str)]
    classifier_dropout: Option<DropoutRecipe>,
    /// epoch, half-epoch, or a number of steps
    #[arg(long, value_name = "WHEN", value_parser = EvaluateEvery::from_str)]
    evaluate_every: Option<EvaluateEvery>,
    /// What makes one evaluation better than another: macro_f1, micro_f1, loss, ...
    #[arg(long, value_name = "NAME", value_parser = Metric::from_str)]
    metric: Option<Metric>,
    /// A number, global, or per-label
    #[arg(long, value_name = "POLICY", value_parser = ThresholdRecipe::from_str)]
    thresholds: Option<ThresholdRecipe>,
    /// Evaluations without improvement after which training ends, 0 for never
    #[arg(long, value_name = "N")]
    early_stopping_patience: Option<u64>,
    /// evaluation, or a number of steps
    #[arg(long, value_name = "WHEN", value_parser = CheckpointEvery::from_str)]
    checkpoint_every: Option<CheckpointEvery>,
    /// Also write one after this many minutes, 0 for never
    #[arg(long, value_name = "X")]
    checkpoint_minutes: Option<f64>,
    /// How many checkpoints are kept
    #[arg(long, value_name = "N")]
    keep_checkpoints: Option<u64>,
    /// Steps from one line of the log to the next
    #[arg(long, value_name = "N")]
    log_every: Option<u64>,
}

impl From<OverrideArgs> for RecipeOverrides {
    fn from(args: OverrideArgs) -> Self {
        Self {
            epochs: args.epochs,
            max_steps: args.max_steps,
            batch_size: args.batch_size,
            gradient_accumulation: args.gradient_accumulation,
            group_by_length: args.group_by_length,
            max_length: args.max_length,
            placeholder_tokens: args.placeholder_tokens,
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
            loss: args.loss,
            pos_weight: args.pos_weight,
            pos_weight_cap: args.pos_weight_cap,
            label_smoothing: args.label_smoothing,
            teacher_weight: args.teacher_weight,
            pooling: args.pooling,
            hidden_dropout: args.hidden_dropout,
            attention_dropout: args.attention_dropout,
            classifier_dropout: args.classifier_dropout,
            evaluate_every: args.evaluate_every,
            metric: args.metric,
            thresholds: args.thresholds,
            early_stopping_patience: args.early_stopping_patience,
            checkpoint_every: args.checkpoint_every,
            checkpoint_minutes: args.checkpoint_minutes,
            keep_checkpoints: args.keep_checkpoints,
            log_every: args.log_every,
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

/// A number from 0 to 1.
fn parse_share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// A number of 1 or more.
fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected a whole number above 0".to_owned()),
    }
}

/// Up to a hundred thousand: more moves no digit that is shown.
fn parse_resamples(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if count <= 100_000 => Ok(count),
        _ => Err("expected a whole number from 0 to 100000".to_owned()),
    }
}

/// Which part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitArg {
    /// What models are trained on
    Train,
    /// The validation split, which thresholds are tuned on
    #[value(alias = "validation", alias = "valid")]
    Dev,
    /// The split that nothing is tuned on
    Test,
}

/// A model to use.
#[derive(Clone, Debug, Args)]
pub struct ModelArg {
    /// A run, a model folder, or a hub id [default: the newest run in ./runs]
    #[arg(long, short, value_name = "MODEL")]
    pub model: Option<String>,
}

/// `tinymood evaluate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tinymood evaluate                                 the newest run, on the sample's dev split
  tinymood evaluate --model runs/x --data goemotions --split test
  tinymood evaluate --threshold 0.3 --json | jq .macro_f1")]
pub struct EvaluateArgs {
    #[command(flatten)]
    pub model: ModelArg,
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Which split; a lone file has only one
    #[arg(long, value_enum, default_value = "dev")]
    pub split: SplitArg,
    /// One threshold for all labels, instead of the model's own
    #[arg(long, value_name = "X", value_parser = parse_share)]
    pub threshold: Option<f32>,
    /// Resamplings behind the confidence intervals, 0 for none
    #[arg(long, value_name = "N", default_value = "1000", value_parser = parse_resamples)]
    pub bootstrap: usize,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

/// What thresholds are tuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PolicyArg {
    /// One for each label, for its F1; rare labels lean on the model's own expectation
    PerLabel,
    /// One for all labels
    Global,
}

/// What the global threshold is tuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ObjectiveArg {
    /// F1 over all decisions
    MicroF1,
    /// Mean F1 of the labels
    MacroF1,
}

/// `tinymood tune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Tune on a split that nothing else is judged on. The figures are those on the very split the
thresholds were tuned on, and beside them cross-validated ones (tuned on one half, judged on the
other), which do not flatter.

Example:
  tinymood tune --model runs/x --data goemotions --policy global")]
pub struct TuneArgs {
    #[command(flatten)]
    pub model: ModelArg,
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Which split
    #[arg(long, value_enum, default_value = "dev")]
    pub split: SplitArg,
    /// One threshold a label, or one for all
    #[arg(long, value_enum, default_value = "per-label")]
    pub policy: PolicyArg,
    /// What the global threshold is to make largest
    #[arg(long, value_enum, default_value = "micro_f1")]
    pub objective: ObjectiveArg,
    /// Show the thresholds without saving them
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// For people
    Table,
    /// One JSON object a line
    Jsonl,
    /// With a header
    Csv,
}

/// `tinymood predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each text gets one row, also when no label reaches its threshold (an empty list) and when the row
could not be read (the row says why, and the exit status is 1).

Examples:
  tinymood predict \"thank you so much!\" \"who knows\"
  tinymood predict --input comments.csv --text-column body --format csv > emotions.csv
  cat lines.txt | tinymood predict --format jsonl --taxonomy ekman")]
pub struct PredictArgs {
    /// Texts; without any, and without --input, standard input is read, one text a line
    #[arg(value_name = "TEXT", conflicts_with = "input")]
    pub texts: Vec<String>,
    #[command(flatten)]
    pub model: ModelArg,
    /// A file of texts: .csv (with header), .tsv, .jsonl, else one text a line; - for standard input
    #[arg(long, short, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Column or field of the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub text_column: String,
    /// Where to write; - for standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// How to write [default: table on a terminal, else jsonl]
    #[arg(long, short, value_enum)]
    pub format: Option<FormatArg>,
    /// The same as --format jsonl
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Add the scores of all labels
    #[arg(long)]
    pub scores: bool,
    /// The K highest labels, whether or not they reach their thresholds
    #[arg(long, value_name = "K", value_parser = parse_count, conflicts_with = "at_least_one")]
    pub top_k: Option<usize>,
    /// One threshold for all labels, instead of the model's own
    #[arg(long, value_name = "X", value_parser = parse_share)]
    pub threshold: Option<f32>,
    /// Where no label reaches its threshold, give the best one
    #[arg(long)]
    pub at_least_one: bool,
    /// Roll the labels up into coarser ones
    #[arg(long, value_enum, default_value = "original")]
    pub taxonomy: TaxonomyArg,
}

/// `tinymood export`.
#[derive(Debug, Args)]
#[command(after_help = "\
The exported folder is a model as any other to tinymood, a quarter of the size, and answers in int8
unless --precision says otherwise. Other tools do not read its weights.

Before anything is written, the model is judged in f32 and in int8 on the validation split, with its
own thresholds. Where int8 loses more than 0.3 points (0.003) of micro- or macro-F1, nothing is
written, unless --force. Both sides are printed, and kept in the folder's config.json and README.md.

Example:
  tinymood export --int8 --model runs/x --output x-int8")]
pub struct ExportArgs {
    #[command(flatten)]
    pub model: ModelArg,
    /// Weights as 8-bit integers with a scale for each output; embeddings, one for each token
    #[arg(long, required = true)]
    pub int8: bool,
    /// The folder to write; it must not exist
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,
    /// Whose validation split judges: as of `train --data` [default: the data of the model's run]
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub data: Option<String>,
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Write the folder whatever the judgement; it is kept there all the same
    #[arg(long)]
    pub force: bool,
    /// Print the judgement as one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

/// `tinymood data`.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// What to do with data.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Rows, labels, lengths, truncation, duplicates
    Stats(StatsArgs),
    /// Download GoEmotions into the cache and check it
    Fetch {
        /// The test split too
        #[arg(long)]
        test: bool,
    },
    /// Print rows of a split as the readers see them, one JSON object a line
    Show {
        #[command(flatten)]
        dataset: DatasetArgs,
        /// Which split
        #[arg(long, value_enum, default_value = "train")]
        split: SplitArg,
        /// How many rows
        #[arg(long, value_name = "N", default_value_t = 10)]
        rows: usize,
    },
}

/// `tinymood data stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Count coarser labels
    #[arg(long, value_enum, default_value = "original")]
    pub taxonomy: TaxonomyArg,
    /// Longest text in tokens
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub max_length: usize,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

/// `tinymood bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The model: a folder, a hub id, or random:SHAPE
    #[arg(long, default_value = "random:4L-312D")]
    pub init: String,
    /// Whose texts: `sample`, `goemotions`, a file or a folder
    #[arg(long, default_value = "sample")]
    pub data: String,
    /// Texts of a training step; several are measured in turn
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "16")]
    pub batch_size: Vec<usize>,
    /// What to measure
    #[arg(long, value_enum, default_value_t)]
    pub what: BenchWhat,
    /// Seconds for each figure
    #[arg(long, value_name = "X", default_value_t = 5.0)]
    pub seconds: f64,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
    /// Append the figures to a file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// `--what`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BenchWhat {
    /// Training and inference
    #[default]
    All,
    /// Training steps: forward, backward, clipping, AdamW
    Train,
    /// From text to logits, many texts and one at a time
    Infer,
}

/// `tinymood doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    proptest! {
        #[test]
        fn no_arguments_panic(words in prop::collection::vec("(--?[a-z-]{1,12}(=\\PC{0,6})?|\\PC{0,8}|train|predict|tune|data|evaluate|export)", 0..6)) {
            let _ = Cli::try_parse_from(std::iter::once("tinymood".to_owned()).chain(words));
        }
    }
}
