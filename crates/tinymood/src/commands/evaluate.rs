//! `tinymood evaluate`: a model's figures on a labelled split.

use std::path::Path;

use serde_json::Value;
use tinymood_core::{LabelSet, Logits, ProblemType, Taxonomy, TokenizedText};
use tinymood_eval::{
    Calibration, CalibrationError, CalibrationKind, CrossValidated, Evaluation, Faithfulness,
    LogLosses, Predictions, ThresholdObjective, ThresholdPolicy, Thresholds, cross_validated,
    cross_validated_with_temperatures,
};
use tinymood_report::{KeptPredictions, KeptRow};
use tinymood_text::{DataError, Dataset, EncodedSplit, Example, LabelList, ListRole, Splits};
use tinymood_train::RunFolder;
use tinymood_weights::regular;

use super::train::Source;
use super::{print_json, print_text};
use crate::args::{DatasetArgs, EvaluateArgs, GlobalArgs, JudgingArgs, ReadingArgs, SplitArg};
use crate::data::DataSettings;
use crate::misuse::Misuse;
use crate::model::{Model, ModelError, Origin};

/// Of the random words that explanations are held against.
const SEED: u64 = 0;

pub(super) fn run(args: EvaluateArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let model = Model::open(args.model.model.as_deref(), global)?;
    if args.threshold.is_some() {
        model.check_thresholds_apply("--threshold")?;
    }
    let judged = Judged::new(&model, &args.judging, args.split, global)?;
    if let Err(error) = judged.check_labels() {
        global.warn(&format!("{error}: its figures say nothing"));
    }
    let thresholds = match args.threshold {
        Some(value) => Thresholds::fixed(value, model.labels.len()),
        None => model.thresholds.clone(),
    };
    let predictions = judged.predictions()?;
    let evaluation =
        Evaluation::new(&predictions, &thresholds, &model.labels, &judged.split, args.bootstrap);
    let faithfulness = args.faithfulness.then(|| judged.faithfulness(&model)).transpose()?;
    if args.json {
        let mut json = judged.document(&evaluation);
        let found = serde_json::to_value(faithfulness)?;
        if let (Value::Object(all), Value::Object(found)) = (&mut json, found) {
            all.extend(found);
        }
        return print_json(&json);
    }
    print_text(&format!("{}\n", evaluation.table()))?;
    match faithfulness {
        Some(found) => print_text(&format!("\n{found}\n")),
        None => Ok(()),
    }
}

/// A split with what a model says of it.
pub(super) struct Judged {
    /// The data's name.
    pub(super) data: String,
    pub(super) split: String,
    /// The split as thresholds name it that are tuned on it: `dev`, or where it is not of the data that
    /// the model was trained on, `dev of sample`.
    pub(super) tuned_on: String,
    dataset: Dataset,
    encoded: EncodedSplit,
    logits: Logits,
    probabilities: Vec<f32>,
    problem_type: ProblemType,
}

impl Judged {
    /// Reads a split in the model's labels and asks the model about it.
    pub(super) fn new(
        model: &Model,
        args: &JudgingArgs,
        split: SplitArg,
        global: &GlobalArgs,
    ) -> anyhow::Result<Self> {
        let Rows { settings, split, tuned_on, dataset } = Rows::open(model, args, split, global)?;
        let (data, rows) = (settings.name(), dataset.examples.len());
        global.say(&format!("data: {}: {rows} {split} rows", settings.data));
        let judged = Self::of_dataset(model, dataset, &data, &split)?;
        judged.check_one_label_each(global);
        Ok(Self { tuned_on, ..judged })
    }

    /// Asks the model about a split of the data of its run.
    pub(super) fn of_dataset(
        model: &Model,
        dataset: Dataset,
        data: &str,
        split: &str,
    ) -> anyhow::Result<Self> {
        let [data, split, tuned_on] = [data, split, split].map(str::to_owned);
        let dataset = in_labels(dataset, &model.labels)?;
        let encoded = EncodedSplit::new(&dataset, &model.tokenizer)?;
        let logits = model.logits(&encoded.texts)?;
        let problem_type = model.problem_type();
        let probabilities = problem_type.probabilities(&logits);
        Ok(Self { data, split, tuned_on, dataset, encoded, logits, probabilities, problem_type })
    }

    /// # Errors
    /// When no row has a label, so that figures and thresholds would mean nothing.
    pub(super) fn check_labels(&self) -> Result<(), DataError> {
        self.dataset.check_labels()
    }

    /// Warns of rows that a model which gives exactly one label cannot get right.
    fn check_one_label_each(&self, global: &GlobalArgs) {
        let count = |row: &[f32]| row.iter().filter(|&&target| target >= 0.5).count();
        let rows = self.encoded.targets.chunks_exact(self.encoded.num_labels.max(1));
        let others = rows.filter(|row| count(row) != 1).count();
        if self.problem_type.is_single_label() && others > 0 {
            let rows = if others == 1 { "row has" } else { "rows have" };
            global.warn(&format!(
                "{others} {rows} several labels or none, and the model gives exactly one for each text"
            ));
        }
    }

    /// What a report needs of it; `model_sha256` is that of the weights.
    pub(super) fn kept(&self, model: &Model, model_sha256: String) -> KeptPredictions {
        let rows = self.dataset.examples.iter().zip(&self.encoded.texts);
        let row = |(example, text): (&Example, &TokenizedText)| KeptRow {
            line: usize::try_from(example.line).unwrap_or(usize::MAX),
            text: example.text.clone(),
            tokens: text.full_length,
        };
        KeptPredictions {
            split: self.split.clone(),
            model_sha256,
            max_length: model.tokenizer.max_length(),
            labels: self.dataset.labels.clone(),
            rows: rows.map(row).collect(),
            targets: self.encoded.targets.clone(),
            probabilities: self.probabilities.clone(),
            problem_type: self.problem_type,
            temperatures: model.engine.temperatures().map(<[f32]>::to_vec),
        }
    }

    /// Figures as JSON, with the name of the data.
    pub(super) fn document(&self, evaluation: &Evaluation) -> Value {
        let mut document = evaluation.to_json();
        document["data"] = self.data.clone().into();
        document
    }

    /// The split as it was judged.
    pub(super) fn encoded(&self) -> &EncodedSplit {
        &self.encoded
    }

    pub(super) fn predictions(&self) -> anyhow::Result<Predictions<'_>> {
        let EncodedSplit { targets, num_labels, .. } = &self.encoded;
        let predictions = Predictions::new(&self.probabilities, targets, *num_labels)?;
        Ok(predictions.with_problem_type(self.problem_type))
    }

    /// What makes the model's probabilities mean what they say, and what it is worth on other rows.
    pub(super) fn calibration(&self) -> Result<(Calibration, LogLosses), CalibrationError> {
        Calibration::choose(&self.logits, &self.encoded.targets)
    }

    /// Calibrates the model's answers.
    pub(super) fn calibrate(&mut self, calibration: &Calibration) {
        calibration.apply(&mut self.logits);
        self.probabilities = self.problem_type.probabilities(&self.logits);
    }

    /// Figures on rows that thresholds, and temperatures of a kind where there are to be any, were not fitted on.
    pub(super) fn cross_validated(
        &self,
        policy: ThresholdPolicy,
        objective: ThresholdObjective,
        calibration: Option<CalibrationKind>,
    ) -> anyhow::Result<Option<CrossValidated>> {
        let targets = &self.encoded.targets;
        Ok(match calibration {
            Some(kind) => {
                cross_validated_with_temperatures(policy, objective, kind, &self.logits, targets)
            }
            None => cross_validated(policy, objective, &self.predictions()?),
        })
    }

    /// How far explanations can be trusted.
    fn faithfulness(&self, model: &Model) -> anyhow::Result<Faithfulness> {
        let words = self.dataset.examples.iter().map(|example| {
            let words = model.tokenizer.words(&example.text)?;
            Ok(words.into_iter().map(|word| word.tokens).collect())
        });
        let words = words.collect::<anyhow::Result<Vec<_>>>()?;
        let explainer = model.explainer()?;
        Ok(explainer.faithfulness(&self.encoded.texts, &words, &self.logits, SEED)?)
    }
}

/// Rows that a model is judged on.
pub(super) struct Rows {
    pub(super) settings: DataSettings,
    pub(super) split: String,
    /// [`Judged::tuned_on`].
    pub(super) tuned_on: String,
    pub(super) dataset: Dataset,
}

impl Rows {
    /// The split of the data that is named, or else of that of the model's run.
    pub(super) fn open(
        model: &Model,
        args: &JudgingArgs,
        split: SplitArg,
        global: &GlobalArgs,
    ) -> anyhow::Result<Self> {
        let own = own_data(model)?;
        let settings = match &args.data {
            Some(data) => {
                let (data, reading) = (data.clone(), args.reading.clone());
                named_data(model, &DatasetArgs { data, reading })?
            }
            None if args.reading != ReadingArgs::default() => {
                let problem = "flags for reading data need --data, which names it";
                return Err(Misuse(problem.to_owned()).into());
            }
            None => match (&own, &model.origin) {
                (Some(own), _) => own.clone(),
                (None, Origin::Bundled) => DataSettings::named("sample", Taxonomy::Original),
                (None, _) => return Err(ModelError::NoData(model.path.clone()).into()),
            },
        };
        let is_trained_on = own.as_ref().is_some_and(|own| own.data == settings.data);
        let is_own = own.is_some_and(|own| own.has_rows_of(&settings));
        let is_lone = settings.is_lone();
        // A lone file is training data, all of it or all that was not held out.
        if is_trained_on && is_lone && split != SplitArg::Train {
            return Err(ModelError::NoValidation(settings.data).into());
        }
        let (settings, splits) = open_named(settings, model, split, global)?;
        if split == SplitArg::Dev && splits.dev.is_none() && !is_lone {
            return Err(ModelError::NoValidation(settings.data).into());
        }
        let (split, dataset) = settings.choose(splits, split)?;
        settings.tell_labels(&dataset, global);
        let (name, tuned_on) = (settings.name(), split.clone());
        let tuned_on =
            if is_own || split == name { tuned_on } else { format!("{split} of {name}") };
        Ok(Self { settings, split, tuned_on, dataset })
    }
}

/// The data of the run whose best model this is.
fn own_data(model: &Model) -> anyhow::Result<Option<DataSettings>> {
    let has_settings = |run: &&Path| regular::is_there(&run.join("settings.toml")).unwrap_or(true);
    let run = model.path.parent().filter(has_settings);
    let source = |run: &Path| Source::of_run(run, RunFolder::settings(run)?.source);
    Ok(run.map(source).transpose()?.map(|source| source.data))
}

/// Where data is, read in the model's labels where neither it nor the arguments name others.
fn named_data(model: &Model, args: &DatasetArgs) -> anyhow::Result<DataSettings> {
    let settings = DataSettings::new(args, Taxonomy::Original)?;
    if settings.has_labels() {
        return Ok(settings);
    }
    // For a model of coarser labels, data may name those of GoEmotions.
    if model.labels != LabelSet::goemotions()
        && view_of(&LabelSet::goemotions(), &model.labels).is_some()
    {
        return Ok(settings.with_labels(LabelList::goemotions_names()));
    }
    Ok(settings.with_labels(labels_of(model)))
}

/// A model's labels as those of data.
fn labels_of(model: &Model) -> LabelList {
    let (labels, source) = (model.labels.clone(), "the model".to_owned());
    LabelList { labels, source, role: ListRole::Model }
}

/// Opens a split. Data that does not have GoEmotions' labels may have the coarser ones of the model.
fn open_named(
    settings: DataSettings,
    model: &Model,
    split: SplitArg,
    global: &GlobalArgs,
) -> anyhow::Result<(DataSettings, Splits)> {
    let error = match settings.open(global, split.into()) {
        Ok(splits) => return Ok((settings, splits)),
        Err(error) => error,
    };
    if !settings.names_goemotions() || model.labels == LabelSet::goemotions() {
        return Err(error);
    }
    let coarser = settings.with_labels(labels_of(model));
    match coarser.open(global, split.into()) {
        Ok(splits) => Ok((coarser, splits)),
        Err(_) => Err(error),
    }
}

/// The taxonomy that makes `from` into `to`.
fn view_of(from: &LabelSet, to: &LabelSet) -> Option<Taxonomy> {
    let gives = |taxonomy: &Taxonomy| taxonomy.map(from).is_ok_and(|map| map.groups == *to);
    [Taxonomy::Original, Taxonomy::Ekman, Taxonomy::Sentiment].into_iter().find(gives)
}

/// The dataset in the model's labels: as they are, or as a taxonomy rolls them up.
pub(super) fn in_labels(dataset: Dataset, labels: &LabelSet) -> anyhow::Result<Dataset> {
    if let Some(taxonomy) = view_of(&dataset.labels, labels) {
        return Ok(dataset.with_taxonomy(taxonomy)?);
    }
    let only = |some: &LabelSet, others: &LabelSet| {
        let names = some.names().iter().filter(|name| others.index_of(name).is_none());
        LabelSet::new(names).map_or_else(|_| String::new(), |names| names.first_names())
    };
    let (data, model) = (only(&dataset.labels, labels), only(labels, &dataset.labels));
    Ok(dataset.in_order_of(labels).ok_or(ModelError::OtherLabels { data, model })?)
}
