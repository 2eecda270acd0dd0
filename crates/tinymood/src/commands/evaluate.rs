//! `tinymood evaluate`: a model's figures on a labelled split.

use std::path::Path;

use serde_json::Value;
use tinymood_core::{LabelSet, Logits, Taxonomy, TokenizedText};
use tinymood_eval::{Calibration, Evaluation, Faithfulness, Predictions, Thresholds};
use tinymood_report::{KeptPredictions, KeptRow};
use tinymood_text::{Dataset, EncodedSplit, Example, LabelList, label_file};

use super::{print, print_json};
use crate::args::{DatasetArgs, EvaluateArgs, GlobalArgs, SplitArg};
use crate::data::DataSettings;
use crate::model::{Model, ModelError};

/// Of the random words that explanations are held against.
const SEED: u64 = 0;

pub(super) fn run(args: EvaluateArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let model = Model::open(args.model.model.as_deref(), global)?;
    let judged = Judged::new(&model, &args.dataset, args.split, global)?;
    let thresholds = match args.threshold {
        Some(value) => Thresholds::fixed(value, model.labels.len()),
        None => model.thresholds.clone(),
    };
    let predictions = judged.predictions()?;
    let evaluation =
        Evaluation::new(&predictions, &thresholds, &model.labels, &judged.split, args.bootstrap);
    let faithfulness = args.faithfulness.then(|| judged.faithfulness(&model)).transpose()?;
    if args.json {
        let mut json = evaluation.to_json();
        let found = serde_json::to_value(faithfulness)?;
        if let (Value::Object(all), Value::Object(found)) = (&mut json, found) {
            all.extend(found);
        }
        return print_json(&json);
    }
    print(&format!("{}\n", evaluation.table()))?;
    match faithfulness {
        Some(found) => print(&format!("\n{found}\n")),
        None => Ok(()),
    }
}

/// A split with what a model says of it.
pub(super) struct Judged {
    pub(super) split: String,
    dataset: Dataset,
    encoded: EncodedSplit,
    logits: Logits,
    probabilities: Vec<f32>,
}

impl Judged {
    /// Reads a split in the model's labels and asks the model about it.
    pub(super) fn new(
        model: &Model,
        args: &DatasetArgs,
        split: SplitArg,
        global: &GlobalArgs,
    ) -> anyhow::Result<Self> {
        let settings = data_for(model, args)?;
        let splits = settings.open(global, split.into())?;
        let (split, dataset) = settings.choose(splits, split)?;
        Self::of_dataset(model, dataset, split)
    }

    /// Asks the model about a split.
    pub(super) fn of_dataset(
        model: &Model,
        dataset: Dataset,
        split: String,
    ) -> anyhow::Result<Self> {
        let dataset = in_labels(dataset, &model.labels)?;
        let encoded = EncodedSplit::new(&dataset, &model.tokenizer)?;
        let logits = model.logits(&encoded.texts)?;
        let probabilities = logits.probabilities();
        Ok(Self { split, dataset, encoded, logits, probabilities })
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
        }
    }

    /// The split as it was judged.
    pub(super) fn encoded(&self) -> &EncodedSplit {
        &self.encoded
    }

    pub(super) fn predictions(&self) -> anyhow::Result<Predictions<'_>> {
        let EncodedSplit { targets, num_labels, .. } = &self.encoded;
        Ok(Predictions::new(&self.probabilities, targets, *num_labels)?)
    }

    /// What makes the model's probabilities mean what they say.
    pub(super) fn calibration(&self) -> Calibration {
        Calibration::choose(&self.logits, &self.encoded.targets)
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

/// Where data is, read in the model's labels where neither it nor the arguments name others.
pub(super) fn data_for(model: &Model, args: &DatasetArgs) -> anyhow::Result<DataSettings> {
    let settings = DataSettings::new(args, Taxonomy::Original)?;
    let bundled = ["sample", "goemotions"].contains(&settings.data.as_str());
    let is_view = view_of(&LabelSet::goemotions(), &model.labels).is_some();
    let brings_labels = label_file(Path::new(&settings.data)).is_some();
    if settings.has_labels() || bundled || is_view || brings_labels {
        return Ok(settings);
    }
    let (labels, source) = (model.labels.clone(), "the model".to_owned());
    Ok(settings.with_labels(LabelList { labels, source }))
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
    let (data, model) = (dataset.labels.first_names(), labels.first_names());
    Ok(dataset.in_order_of(labels).ok_or(ModelError::OtherLabels { data, model })?)
}
