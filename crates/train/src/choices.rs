//! The settings of a recipe that are a choice of words: schedule, loss, metric, thresholds.
//!
//! Each reads from TOML, and from one word on the command line (`FromStr`), with an error that
//! lists what may stand there.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the learning rate falls after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// In a straight line to zero.
    Linear,
    /// Along half a cosine to zero.
    Cosine,
    /// Not at all.
    Constant,
}

impl FromStr for ScheduleKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "linear" => Ok(Self::Linear),
            "cosine" => Ok(Self::Cosine),
            "constant" => Ok(Self::Constant),
            _ => Err(format!("{text:?} is no schedule, expected linear, cosine or constant")),
        }
    }
}

/// The loss of one label of one text, as a recipe names it.
///
/// In TOML a word (`loss = "focal"`) or a table (`loss = { name = "focal", gamma = 2.0 }`); as a
/// flag a word with its numbers behind a colon (`focal:gamma=2,alpha=0.25`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "LossWritten", tag = "name", rename_all = "lowercase")]
pub enum LossRecipe {
    /// Binary cross-entropy.
    Bce,
    /// Focal loss.
    Focal {
        /// How much easy examples are held down; 2 where not given.
        gamma: f64,
        /// Weight of positives, `1 - alpha` that of negatives; not given: both 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        alpha: Option<f64>,
    },
    /// Asymmetric loss.
    Asymmetric {
        /// Focusing of positives; 1 where not given.
        gamma_positive: f64,
        /// Focusing of negatives; 4 where not given.
        gamma_negative: f64,
        /// Shift of the negatives' probabilities; 0.05 where not given.
        clip: f64,
    },
}

/// [`LossRecipe`] as a file writes it.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"bce\", \"focal\", \"asymmetric\", or a table of one of \
    these names, as { name = \"focal\", gamma = 2.0 }"
)]
enum LossWritten {
    Word(String),
    Table(LossTable),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LossTable {
    name: String,
    gamma: Option<f64>,
    alpha: Option<f64>,
    gamma_positive: Option<f64>,
    gamma_negative: Option<f64>,
    clip: Option<f64>,
}

impl LossTable {
    fn resolve(self) -> Result<LossRecipe, String> {
        let refuse = |field: &str, value: Option<f64>| match value {
            None => Ok(()),
            Some(_) => Err(format!("the loss {:?} has no {field:?}", self.name)),
        };
        let of_focal = || refuse("gamma", self.gamma).and(refuse("alpha", self.alpha));
        let of_asymmetric = || {
            refuse("gamma_positive", self.gamma_positive)
                .and(refuse("gamma_negative", self.gamma_negative))
                .and(refuse("clip", self.clip))
        };
        match self.name.as_str() {
            "bce" => {
                of_focal().and(of_asymmetric())?;
                Ok(LossRecipe::Bce)
            }
            "focal" => {
                of_asymmetric()?;
                Ok(LossRecipe::Focal { gamma: self.gamma.unwrap_or(2.0), alpha: self.alpha })
            }
            "asymmetric" => {
                of_focal()?;
                Ok(LossRecipe::Asymmetric {
                    gamma_positive: self.gamma_positive.unwrap_or(1.0),
                    gamma_negative: self.gamma_negative.unwrap_or(4.0),
                    clip: self.clip.unwrap_or(0.05),
                })
            }
            other => Err(format!("{other:?} is no loss, expected bce, focal or asymmetric")),
        }
    }
}

impl TryFrom<LossWritten> for LossRecipe {
    type Error = String;

    fn try_from(written: LossWritten) -> Result<Self, String> {
        match written {
            LossWritten::Word(word) => word.parse(),
            LossWritten::Table(table) => table.resolve(),
        }
    }
}

impl FromStr for LossRecipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, numbers) = text.split_once(':').unwrap_or((text, ""));
        let mut table = LossTable { name: name.trim().to_owned(), ..LossTable::default() };
        for part in numbers.split(',').filter(|part| !part.trim().is_empty()) {
            let wrong = || format!("{part:?} is not of the form gamma=2");
            let (field, value) = part.split_once('=').ok_or_else(wrong)?;
            let value: f64 = value.trim().parse().map_err(|_| wrong())?;
            let slot = match field.trim() {
                "gamma" => &mut table.gamma,
                "alpha" => &mut table.alpha,
                "gamma_positive" => &mut table.gamma_positive,
                "gamma_negative" => &mut table.gamma_negative,
                "clip" => &mut table.clip,
                other => return Err(format!("no loss has {other:?}")),
            };
            *slot = Some(value);
        }
        table.resolve()
    }
}

/// Weight of each label's positive term, as a recipe names it: `"none"`, `"auto"`, or a list with
/// one number a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"none\", \"auto\", or a list with one weight a label")]
pub enum PosWeightRecipe {
    /// A policy.
    Policy(PosWeightPolicy),
    /// Given weights; (C).
    List(Vec<f64>),
}

/// Where the weights of positives come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PosWeightPolicy {
    /// All weigh 1.
    None,
    /// Negatives over positives of the training split, at most `pos_weight_cap` and at least one over it.
    Auto,
}

impl FromStr for PosWeightRecipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" => Ok(Self::Policy(PosWeightPolicy::None)),
            "auto" => Ok(Self::Policy(PosWeightPolicy::Auto)),
            list => {
                let numbers = list.split(',').map(|number| number.trim().parse::<f64>());
                numbers.collect::<Result<_, _>>().map(Self::List).map_err(|_| {
                    format!("{text:?} is not \"none\", \"auto\" or numbers between commas")
                })
            }
        }
    }
}

/// What the bias of a new classifier starts at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassifierBias {
    /// 0, as in `transformers`: every probability is a half.
    #[default]
    Zero,
    /// The log odds of each label in the training split: every probability is the label's frequency
    /// (Lin et al., 2017, section 3.3).
    Prior,
}

impl FromStr for ClassifierBias {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "zero" => Ok(Self::Zero),
            "prior" => Ok(Self::Prior),
            _ => Err(format!("{text:?} is no start of a bias, expected zero or prior")),
        }
    }
}

/// When the validation split is judged: `"epoch"`, `"half-epoch"`, or a number of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"epoch\", \"half-epoch\" or a number of steps")]
pub enum EvaluateEvery {
    /// By epochs.
    Word(EpochWord),
    /// Each time this many steps have been taken.
    Steps(u64),
}

/// How often in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpochWord {
    /// At the end of each epoch.
    Epoch,
    /// In the middle and at the end of each epoch; every 100 steps where half of one is shorter.
    HalfEpoch,
}

impl FromStr for EvaluateEvery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "epoch" => Ok(Self::Word(EpochWord::Epoch)),
            "half-epoch" => Ok(Self::Word(EpochWord::HalfEpoch)),
            number => number.parse().map(Self::Steps).map_err(|_| {
                format!("{text:?} is neither \"epoch\", \"half-epoch\" nor a number of steps")
            }),
        }
    }
}

/// When a checkpoint is written: `"evaluation"`, or a number of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"evaluation\" or a number of steps")]
pub enum CheckpointEvery {
    /// After each evaluation; without a validation split, after each epoch.
    Word(EvaluationWord),
    /// Each time this many steps have been taken.
    Steps(u64),
}

/// The word `evaluation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvaluationWord {
    /// After each evaluation.
    Evaluation,
}

impl FromStr for CheckpointEvery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "evaluation" => Ok(Self::Word(EvaluationWord::Evaluation)),
            number => number
                .parse()
                .map(Self::Steps)
                .map_err(|_| format!("{text:?} is neither \"evaluation\" nor a number of steps")),
        }
    }
}

/// What makes one evaluation better than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean F1 of the labels; larger is better, as for all but the loss.
    MacroF1,
    /// F1 over all decisions.
    MicroF1,
    /// Mean F1 of the labels, weighed by support.
    WeightedF1,
    /// Mean F1 of the texts.
    SamplesF1,
    /// Mean average precision of the labels; needs no thresholds.
    MacroAveragePrecision,
    /// Share of texts with every label right.
    SubsetAccuracy,
    /// Mean binary cross-entropy; smaller is better; needs no thresholds.
    Loss,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 7] = [
        Self::MacroF1,
        Self::MicroF1,
        Self::WeightedF1,
        Self::SamplesF1,
        Self::MacroAveragePrecision,
        Self::SubsetAccuracy,
        Self::Loss,
    ];

    /// Its name in recipes and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::MacroF1 => "macro_f1",
            Self::MicroF1 => "micro_f1",
            Self::WeightedF1 => "weighted_f1",
            Self::SamplesF1 => "samples_f1",
            Self::MacroAveragePrecision => "macro_average_precision",
            Self::SubsetAccuracy => "subset_accuracy",
            Self::Loss => "loss",
        }
    }

    /// Whether `value` is strictly better than `best`. What is not finite is no improvement.
    pub fn improves(self, value: f64, best: Option<f64>) -> bool {
        match best {
            _ if !value.is_finite() => false,
            None => true,
            Some(best) if self == Self::Loss => value < best,
            Some(best) => value > best,
        }
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|metric| metric.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no metric, expected one of {names}")
        })
    }
}

/// A probability of dropout: a number, or `"model"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "DropoutWritten", into = "DropoutWritten")]
pub enum DropoutRecipe {
    /// As the model's configuration says.
    #[default]
    Model,
    /// This one.
    Probability(f64),
}

/// [`DropoutRecipe`] as a file writes it.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number from 0 to below 1, or \"model\"")]
enum DropoutWritten {
    Word(ModelWord),
    Probability(f64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModelWord {
    Model,
}

impl From<DropoutWritten> for DropoutRecipe {
    fn from(written: DropoutWritten) -> Self {
        match written {
            DropoutWritten::Word(ModelWord::Model) => Self::Model,
            DropoutWritten::Probability(p) => Self::Probability(p),
        }
    }
}

impl From<DropoutRecipe> for DropoutWritten {
    fn from(recipe: DropoutRecipe) -> Self {
        match recipe {
            DropoutRecipe::Model => Self::Word(ModelWord::Model),
            DropoutRecipe::Probability(p) => Self::Probability(p),
        }
    }
}

impl DropoutRecipe {
    /// The probability, where the recipe gives one.
    pub fn probability(self) -> Option<f64> {
        match self {
            Self::Model => None,
            Self::Probability(p) => Some(p),
        }
    }
}

impl FromStr for DropoutRecipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "model" => Ok(Self::Model),
            number => number.parse().map(Self::Probability).map_err(|_| {
                format!("{text:?} is neither \"model\" nor a number from 0 to below 1")
            }),
        }
    }
}

/// Thresholds of the F1 metrics: a number, `"global"`, or `"per-label"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number from 0 to 1, \"global\" or \"per-label\"")]
pub enum ThresholdRecipe {
    /// Tuned on the validation split at each evaluation.
    Tuned(TunedThresholds),
    /// The same for all labels, always.
    Fixed(f64),
}

/// Which thresholds are tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunedThresholds {
    /// One for all labels.
    Global,
    /// One for each label; rare ones lean on the model's own expectation.
    PerLabel,
}

impl FromStr for ThresholdRecipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "global" => Ok(Self::Tuned(TunedThresholds::Global)),
            "per-label" => Ok(Self::Tuned(TunedThresholds::PerLabel)),
            number => number.parse().map(Self::Fixed).map_err(|_| {
                format!("{text:?} is not \"global\", \"per-label\" or a number from 0 to 1")
            }),
        }
    }
}
