//! Learning a teacher's hidden states (the first of TinyBERT's two stages: Jiao et al., 2020), and its
//! self-attention relations (MiniLMv2: Wang et al., 2021).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use tinymood_core::{
    Engine, EngineError, Infer, Matching, ModelConfig, PackedBatch, Randomness, TeacherStates,
    TensorSet, TokenizedText,
};
use tinymood_weights::{ModelParts, replace_model_folder};

use crate::error::TrainError;
use crate::event::Observers;
use crate::fingerprint;
use crate::judging::{JudgeError, TOKENS_PER_BATCH};
use crate::lesson::{Lesson, Verdict};
use crate::run_folder::RunFolder;
use crate::settings::TrainSettings;
use crate::trainer::{Outcome, RunPlan, run_lesson};

/// What a student learns from, and where it goes.
#[derive(Clone, Copy)]
pub struct DistillInputs<'a> {
    /// How to train.
    pub settings: &'a TrainSettings,
    /// The texts, as tokens that mean the same to student and teacher.
    pub texts: &'a [TokenizedText],
    /// The teacher, which infers.
    pub teacher: &'a dyn Infer,
    /// The teacher's hidden state for each of the student's
    /// [`Projections::states`](tinymood_core::Projections::states).
    pub teacher_states: &'a [usize],
    /// The teacher's layer, from 1, whose relations the student's last layer follows, where `matching`
    /// has any.
    pub teacher_relations: Option<usize>,
    /// How much each part counts.
    pub matching: &'a Matching,
    /// What the encoder's `config.json` says: the student's configuration, with the dropout that
    /// fine-tuning is to have.
    pub config: &'a ModelConfig,
    /// The folder of the run.
    pub run: &'a RunFolder,
    /// Whether to go on from the folder's newest whole checkpoint.
    pub resume: bool,
    /// Whatever else decides the result, by name: the teacher, the layers, the weights of losses.
    pub identity: &'a BTreeMap<String, String>,
    /// Files to stand beside the encoder, by name: the tokenizer's, a model card.
    pub files: &'a [(String, Vec<u8>)],
    /// See [`TrainInputs::stop`](crate::TrainInputs::stop).
    pub stop: &'a AtomicBool,
}

/// Trains a student, whose model has projections to the teacher's width and as many outputs, to have
/// its teacher's hidden states. What is saved is its encoder, with the pooler where it has one.
///
/// # Errors
/// See [`TrainError`]. Checkpoints stay as they are.
pub fn distill<E: Engine>(
    engine: &mut E,
    inputs: &DistillInputs<'_>,
    observers: &mut Observers,
) -> Result<Outcome, TrainError> {
    if inputs.texts.is_empty() {
        return Err(TrainError::Empty { split: "training" });
    }
    let mut fingerprint = fingerprint::of_model(inputs.settings, engine.config());
    fingerprint.extend(of_matching(inputs.matching, inputs.teacher_relations));
    fingerprint.insert("teacher.states".to_owned(), format!("{:?}", inputs.teacher_states));
    fingerprint.insert("data".to_owned(), fingerprint::of_split(inputs.texts.iter(), &[]));
    fingerprint.extend(inputs.identity.iter().map(|(name, value)| (name.clone(), value.clone())));
    let plan = RunPlan {
        settings: inputs.settings,
        texts: inputs.texts,
        lines: &[],
        run: inputs.run,
        resume: inputs.resume,
        fingerprint,
        prepared_seconds: 0.0,
        stop: inputs.stop,
    };
    run_lesson(engine, &plan, StateLesson { inputs }, observers)
}

/// What of a teacher is learned, by name. Without relations nothing is said of them, as in runs older than
/// they are.
fn of_matching(matching: &Matching, layer: Option<usize>) -> Vec<(String, String)> {
    let Matching { state_weights, mean_weight, head_weight, relations } = matching;
    let weights = format!(
        "Matching {{ state_weights: {state_weights:?}, mean_weight: {mean_weight:?}, head_weight: \
         {head_weight:?} }}"
    );
    let relations = relations.map(|of| ("relations", format!("{of:?}")));
    let layer = layer.map(|layer| ("teacher.relations", layer.to_string()));
    let named = [Some(("matching", weights)), relations, layer].into_iter().flatten();
    named.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Texts, and what their teacher makes of them.
struct StateLesson<'a> {
    inputs: &'a DistillInputs<'a>,
}

impl<E: Engine> Lesson<E> for StateLesson<'_> {
    fn accumulate(
        &mut self,
        engine: &mut E,
        batch: &PackedBatch,
        rows_in_step: usize,
        randomness: Randomness,
    ) -> Result<f64, EngineError> {
        let DistillInputs { teacher, teacher_states: states, teacher_relations, matching, .. } =
            *self.inputs;
        let states = teacher_states(teacher, batch, states, teacher_relations)?;
        let loss = engine.accumulate_states(batch, &states, matching, rows_in_step, randomness)?;
        Ok(loss.loss)
    }

    fn validation_rows(&self) -> Option<usize> {
        None
    }

    fn judge(&mut self, _engine: &E) -> Result<Verdict, JudgeError> {
        unreachable!("there is no validation split")
    }

    fn save_model(&mut self, engine: &mut E, path: &Path) -> Result<(), TrainError> {
        let average = engine.tensors(TensorSet::Average);
        let mut tensors =
            if average.is_empty() { engine.tensors(TensorSet::Parameters) } else { average };
        tensors.retain(|tensor| tensor.name.starts_with("bert."));
        let parts = ModelParts {
            config: self.inputs.config,
            labels: None,
            tensors,
            quantised: Vec::new(),
            facts: serde_json::Map::new(),
            files: self.inputs.files.to_vec(),
        };
        replace_model_folder(path, &parts)
            .map_err(|source| TrainError::Save { path: path.to_owned(), source: Box::new(source) })
    }
}

/// Hidden states of a batch as [`Infer::hidden_states`] gives them, by parts that stay in an engine's
/// caches.
///
/// # Errors
/// As the engine's.
pub fn hidden_states(
    engine: &dyn Infer,
    batch: &PackedBatch,
    states: &[usize],
) -> Result<Vec<Vec<f32>>, EngineError> {
    teacher_states(engine, batch, states, None).map(|teacher| teacher.states)
}

/// [`Infer::teacher_states`], by the same parts.
fn teacher_states(
    engine: &dyn Infer,
    batch: &PackedBatch,
    states: &[usize],
    qkv_layer: Option<usize>,
) -> Result<TeacherStates, EngineError> {
    let width = engine.config().hidden_size;
    let mut all = TeacherStates { width, states: vec![Vec::new(); states.len()], qkv: Vec::new() };
    let mut part = PackedBatch::new();
    for (text, range) in batch.ranges().enumerate() {
        part.push(batch.rows()[text], &batch.token_ids()[range]);
        if part.num_tokens() >= TOKENS_PER_BATCH || text + 1 == batch.num_texts() {
            let found = engine.teacher_states(&part, states, qkv_layer)?;
            let states = all.states.iter_mut().zip(found.states);
            states.for_each(|(all, found)| all.extend(found));
            all.qkv.extend(found.qkv);
            part.clear();
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tinymood_core::Relations;

    #[test]
    fn checkpoints_older_than_relations_can_be_resumed_and_relations_are_told_apart() {
        let none = Matching {
            state_weights: vec![0.5, 3.0],
            mean_weight: 1.0,
            head_weight: 0.25,
            relations: None,
        };
        let of = |matching: &Matching, layer| BTreeMap::from_iter(of_matching(matching, layer));
        let weights = "Matching { state_weights: [0.5, 3.0], mean_weight: 1.0, head_weight: 0.25 }"
            .to_owned();
        assert_eq!(of(&none, None), BTreeMap::from([("matching".to_owned(), weights)]));
        let some = |weight, heads| Matching {
            relations: Some(Relations { weight, heads }),
            ..none.clone()
        };
        let related = of(&some(1.0, 12), Some(6));
        assert_eq!(related["teacher.relations"], "6");
        for other in
            [of(&some(1.0, 6), Some(6)), of(&some(2.0, 12), Some(6)), of(&some(1.0, 12), Some(5))]
        {
            assert_ne!(other, related);
        }
    }
}
