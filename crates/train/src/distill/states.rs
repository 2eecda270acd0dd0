//! Learning a teacher's hidden states (the first of TinyBERT's two stages: Jiao et al., 2020).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use tinymood_core::{
    Engine, EngineError, Matching, ModelConfig, PackedBatch, Randomness, TeacherStates, TensorSet,
    TokenizedText,
};
use tinymood_weights::{ModelParts, write_model_folder};

use crate::error::TrainError;
use crate::event::Observers;
use crate::fingerprint;
use crate::judging::{JudgeError, TOKENS_PER_BATCH};
use crate::lesson::{Lesson, Verdict};
use crate::run_folder::RunFolder;
use crate::settings::TrainSettings;
use crate::trainer::{Course, Outcome, take};

/// What a student learns from, and where it goes.
#[derive(Clone, Copy)]
pub struct DistillInputs<'a> {
    /// How to train.
    pub settings: &'a TrainSettings,
    /// The texts, as tokens that mean the same to student and teacher.
    pub texts: &'a [TokenizedText],
    /// The teacher, which infers.
    pub teacher: &'a dyn Engine,
    /// The teacher's hidden state for each of the student's
    /// [`Projections::states`](tinymood_core::Projections::states).
    pub teacher_states: &'a [usize],
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
    fingerprint.insert("matching".to_owned(), format!("{:?}", inputs.matching));
    fingerprint.insert("teacher.states".to_owned(), format!("{:?}", inputs.teacher_states));
    fingerprint.insert("data".to_owned(), fingerprint::of_split(inputs.texts.iter(), &[]));
    fingerprint.extend(inputs.identity.iter().map(|(name, value)| (name.clone(), value.clone())));
    let course = Course {
        settings: inputs.settings,
        texts: inputs.texts,
        lines: &[],
        run: inputs.run,
        resume: inputs.resume,
        fingerprint,
        stop: inputs.stop,
    };
    take(engine, &course, States { inputs }, observers)
}

struct States<'a> {
    inputs: &'a DistillInputs<'a>,
}

impl<E: Engine> Lesson<E> for States<'_> {
    fn accumulate(
        &mut self,
        engine: &mut E,
        batch: &PackedBatch,
        rows_in_step: usize,
        randomness: Randomness,
    ) -> Result<f64, EngineError> {
        let DistillInputs { teacher, teacher_states, matching, .. } = *self.inputs;
        let states = hidden_states(teacher, batch, teacher_states)?;
        let states = TeacherStates { width: teacher.config().hidden_size, states };
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
        write_model_folder(path, &parts)
            .map_err(|source| TrainError::Save { path: path.to_owned(), source: Box::new(source) })
    }
}

/// Hidden states of a batch as [`Engine::hidden_states`] gives them, by parts that stay in an engine's
/// caches.
///
/// # Errors
/// As the engine's.
pub fn hidden_states(
    engine: &dyn Engine,
    batch: &PackedBatch,
    states: &[usize],
) -> Result<Vec<Vec<f32>>, EngineError> {
    let mut all = vec![Vec::new(); states.len()];
    let mut part = PackedBatch::new();
    for (text, range) in batch.ranges().enumerate() {
        part.push(batch.rows()[text], &batch.token_ids()[range]);
        if part.num_tokens() >= TOKENS_PER_BATCH || text + 1 == batch.num_texts() {
            let found = engine.hidden_states(&part, states)?;
            all.iter_mut().zip(found).for_each(|(all, found)| all.extend(found));
            part.clear();
        }
    }
    Ok(all)
}
