//! Learning labels from rows that have them.

use std::path::Path;

use serde_json::json;
use tinymood_core::{Engine, EngineError, Objective, PackedBatch, Randomness, Targets, TensorSet};
use tinymood_eval::Tuning;
use tinymood_weights::{ModelParts, digest, durable, replace_model_folder};

use crate::error::TrainError;
use crate::judging::{self, JudgeError, Judgement};
use crate::lesson::{Lesson, Verdict};
use crate::model_card::{Figures, model_card};
use crate::objective::objective;
use crate::recipe::RecipeError;
use crate::run_folder::failed;
use crate::trainer::TrainInputs;

/// Rows, their targets, and the loss between them.
pub(crate) struct LabelLesson<'a> {
    inputs: &'a TrainInputs<'a>,
    objective: Objective,
    targets: Targets,
    /// The last one.
    judgement: Option<Judgement>,
}

impl<'a> LabelLesson<'a> {
    /// # Errors
    /// When the recipe does not fit the labels.
    pub(crate) fn new(inputs: &'a TrainInputs<'a>) -> Result<Self, RecipeError> {
        let objective = objective(inputs.settings, inputs.labels, inputs.train.targets)?;
        let targets = Targets { values: Vec::new(), num_labels: inputs.labels.len() };
        Ok(Self { inputs, objective, targets, judgement: None })
    }
}

impl<E: Engine> Lesson<E> for LabelLesson<'_> {
    fn accumulate(
        &mut self,
        engine: &mut E,
        batch: &PackedBatch,
        rows_in_step: usize,
        randomness: Randomness,
    ) -> Result<f64, EngineError> {
        let Targets { values, num_labels } = &mut self.targets;
        values.clear();
        for &row in batch.rows() {
            values.extend_from_slice(self.inputs.train.row(row, *num_labels));
        }
        let (targets, objective) = (&self.targets, &self.objective);
        Ok(engine.accumulate(batch, targets, objective, rows_in_step, randomness)?.loss)
    }

    fn validation_rows(&self) -> Option<usize> {
        self.inputs.validation.map(|split| split.texts.len())
    }

    fn judge(&mut self, engine: &E) -> Result<Verdict, JudgeError> {
        let split = self.inputs.validation.expect("asked only where there is one");
        let recipe = self.inputs.settings.recipe();
        let judgement = judging::judge(engine, &split, self.inputs.labels, recipe)?;
        let verdict =
            Verdict { value: judgement.metric(recipe.metric), metrics: judgement.metrics() };
        self.judgement = Some(judgement);
        Ok(verdict)
    }

    fn save_model(&mut self, engine: &mut E, path: &Path) -> Result<(), TrainError> {
        let inputs = self.inputs;
        let judgement = self.judgement.as_ref();
        let config = engine.config().clone();
        let average = inputs.settings.ema_decay().is_some();
        let averaged = average && !engine.tensors(TensorSet::Average).is_empty();
        let set = if averaged { TensorSet::Average } else { TensorSet::Parameters };
        let metrics = judgement.map(Judgement::metrics).unwrap_or_default();
        let split = inputs.validation.map_or("", |split| split.name);
        let figures = judgement.map(|_| Figures {
            split,
            metrics: &metrics,
            cross_validated: &[],
            details: "",
        });
        let thresholds = match judgement {
            Some(judgement) => judgement.thresholds.clone(),
            None => judging::untuned(inputs.settings.recipe(), inputs.labels.len()),
        };
        let of_thresholds = (&thresholds).into();
        let card =
            model_card(inputs.facts, inputs.settings, inputs.labels, &of_thresholds, figures);
        let mut files = inputs.tokenizer_files.to_vec();
        let tensors = engine.tensors(set);
        let values =
            |name: &str| tensors.iter().find(|tensor| tensor.name == name).map(|t| &*t.values);
        let classifier_sha256 = digest::of_classifier(values);
        let classifier = json!(classifier_sha256);
        let tuning = Tuning { classifier_sha256, ..Tuning::of_thresholds(thresholds) };
        files.push(("thresholds.json".to_owned(), pretty(&tuning.to_json(inputs.labels))));
        files.push(("README.md".to_owned(), card.into_bytes()));
        let parts = ModelParts {
            config: &config,
            labels: Some(inputs.labels),
            tensors,
            quantised: Vec::new(),
            facts: serde_json::Map::new(),
            files,
        };
        replace_model_folder(path, &parts).map_err(|source| TrainError::Save {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        if let Some(judgement) = judgement {
            let path = inputs.run.evaluation();
            let mut json = judgement.evaluation.to_json();
            json["classifier_sha256"] = classifier;
            let json = pretty(&json);
            durable::write_file(&path, &json).map_err(failed("write", &path))?;
        }
        Ok(())
    }
}

/// JSON as a file has it.
fn pretty(value: &serde_json::Value) -> Vec<u8> {
    let mut text = format!("{value:#}");
    text.push('\n');
    text.into_bytes()
}
