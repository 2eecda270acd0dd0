//! The engine itself: arenas, packed weights and workspace behind the seam.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use tinymood_core::{
    BatchLoss, Engine, EngineError, Logits, ModelConfig, Objective, PackedBatch, Randomness,
    StepReport, Targets, TensorMap, TensorSet, TensorView, Update,
};
use tinymood_kernels::adamw::{self, AdamW};
use tinymood_kernels::{Cpu, Isa, IsaError, Precision, embedding};

use crate::activations::Activations;
use crate::encoder::{DropoutSites, Model};
use crate::layout::Layout;
use crate::losses;
use crate::packed::PackedWeights;

/// How a [`CpuEngine`] computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuSettings {
    /// Number of threads; `None` takes all cores.
    pub threads: Option<usize>,
    /// Instruction level; `None` takes the best, or what `TINYMOOD_ISA` says.
    pub isa: Option<Isa>,
    /// What multiplications multiply; `None` takes bf16 where the CPU has it, else f32.
    pub precision: Option<Precision>,
}

/// Why an engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CpuEngineError {
    /// `TINYMOOD_ISA` is wrong.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// The instruction level does not multiply in the precision asked for.
    #[error("this CPU does not multiply in {precision} (its kernels are {isa})")]
    Precision {
        /// What was asked for.
        precision: Precision,
        /// The instruction level.
        isa: Isa,
    },
    /// No threads, or absurdly many.
    #[error("{0} threads asked for, expected 1 to 1024")]
    Threads(usize),
}

/// Arenas that only training needs.
#[derive(Debug)]
struct TrainingState {
    gradients: Vec<f32>,
    first_moment: Vec<f32>,
    second_moment: Vec<f32>,
    /// Word embeddings that the gradient touches, to be sorted.
    touched: Vec<u32>,
}

impl TrainingState {
    fn new(len: usize) -> Self {
        Self {
            gradients: vec![0.0; len],
            first_moment: vec![0.0; len],
            second_moment: vec![0.0; len],
            touched: Vec::new(),
        }
    }
}

/// Which arena the packed weights hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PackedFrom {
    Parameters { backward: bool },
    Average,
}

/// A BERT classifier on the CPU. In bf16 it is mixed precision: operands of the linear layers are
/// rounded, while weights, moments, sums, norms, softmax and loss are f32.
#[derive(Debug)]
pub struct CpuEngine {
    cpu: Cpu,
    config: ModelConfig,
    num_labels: usize,
    layout: Layout,
    parameters: Vec<f32>,
    average: Option<Vec<f32>>,
    training: Option<TrainingState>,
    packed: PackedWeights,
    packed_from: PackedFrom,
    activations: Activations,
    /// Workspaces of [`Engine::infer`], one per call under way.
    inference: Mutex<Vec<Activations>>,
}

impl CpuEngine {
    /// An engine with all parameters zero: load some next.
    ///
    /// # Errors
    /// When `TINYMOOD_ISA`, the precision or the number of threads is wrong.
    pub fn new(
        config: ModelConfig,
        num_labels: usize,
        settings: CpuSettings,
    ) -> Result<Self, CpuEngineError> {
        let isa = settings.isa.map_or_else(Isa::from_environment, Ok)?;
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = settings.threads.unwrap_or_else(cores);
        if !(1..=1024).contains(&threads) {
            return Err(CpuEngineError::Threads(threads));
        }
        let best = if isa.supports(Precision::Bf16) { Precision::Bf16 } else { Precision::F32 };
        let precision = settings.precision.unwrap_or(best);
        if !isa.supports(precision) {
            return Err(CpuEngineError::Precision { precision, isa });
        }
        let cpu = Cpu::new(isa, precision, threads);
        let layout = Layout::new(&config, num_labels);
        let packed = PackedWeights::new(&cpu, &config, &layout, num_labels);
        let parameters = vec![0.0; layout.len];
        Ok(Self {
            cpu,
            config,
            num_labels,
            layout,
            parameters,
            average: None,
            training: None,
            packed,
            packed_from: PackedFrom::Parameters { backward: false },
            activations: Activations::default(),
            inference: Mutex::new(Vec::new()),
        })
    }

    /// The hands it works with.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    fn model<'a>(&'a self, weights: &'a [f32]) -> Model<'a> {
        let Self { cpu, config, layout, packed, .. } = self;
        Model { cpu, config, layout, weights, packed }
    }

    fn repack(&mut self, from: PackedFrom) {
        let (arena, backward) = match (from, &self.average) {
            (PackedFrom::Average, Some(average)) => (average, false),
            (PackedFrom::Average, None) => (&self.parameters, false),
            (PackedFrom::Parameters { backward }, _) => (&self.parameters, backward),
        };
        self.packed.pack(&self.cpu, arena, backward);
        self.packed_from = from;
    }

    /// Norm of the gradient, and the touched word embeddings sorted.
    fn gradient_norm(&mut self) -> f64 {
        let Some(state) = &mut self.training else { return 0.0 };
        state.touched.sort_unstable();
        state.touched.dedup();
        let width = self.config.hidden_size;
        let word = &self.layout.word;
        let table = &state.gradients[word.clone()];
        let words = embedding::rows_sum_of_squares(&self.cpu, table, width, &state.touched);
        // Words lie first, all else is touched by every batch.
        let rest = adamw::sum_of_squares(&self.cpu, &state.gradients[word.end..]);
        (words + rest).sqrt()
    }
}

impl Engine for CpuEngine {
    fn describe(&self) -> String {
        let threads = self.cpu.threads();
        let plural = if threads == 1 { "" } else { "s" };
        let (isa, precision) = (self.cpu.isa(), self.cpu.precision());
        format!("cpu, {isa}, {precision}, {threads} thread{plural}")
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn num_labels(&self) -> usize {
        self.num_labels
    }

    fn infer(&self, batch: &PackedBatch) -> Result<Logits, EngineError> {
        batch.check(&self.config)?;
        let workspaces = || self.inference.lock().unwrap_or_else(PoisonError::into_inner);
        let mut activations = workspaces().pop().unwrap_or_default();
        activations.fit(&self.config, self.num_labels, batch, false);
        let weights = match (self.packed_from, &self.average) {
            (PackedFrom::Average, Some(average)) => average,
            _ => &self.parameters,
        };
        let model = self.model(weights);
        let sites = DropoutSites::new(&self.config, None);
        model.encoder_forward(batch, sites, false, &mut activations);
        model.head_forward(batch, sites, &mut activations);
        let logits = Logits { values: activations.logits.clone(), num_labels: self.num_labels };
        workspaces().push(activations);
        Ok(logits)
    }

    fn accumulate(
        &mut self,
        batch: &PackedBatch,
        targets: &Targets,
        objective: &Objective,
        rows_in_step: usize,
        randomness: Randomness,
    ) -> Result<BatchLoss, EngineError> {
        batch.check(&self.config)?;
        targets.check(batch, self.num_labels)?;
        losses::check(objective, self.num_labels)?;
        if self.packed_from != (PackedFrom::Parameters { backward: true }) {
            self.repack(PackedFrom::Parameters { backward: true });
        }
        let state = self.training.take();
        let mut state = state.unwrap_or_else(|| TrainingState::new(self.layout.len));
        state.touched.extend_from_slice(batch.token_ids());
        let mut activations = std::mem::take(&mut self.activations);
        activations.fit(&self.config, self.num_labels, batch, true);

        let model = self.model(&self.parameters);
        let sites = DropoutSites::new(&self.config, Some(randomness));
        model.encoder_forward(batch, sites, true, &mut activations);
        model.head_forward(batch, sites, &mut activations);
        let divisor = (rows_in_step.max(1) * self.num_labels) as f64;
        let loss = losses::forward_backward(
            objective,
            &activations.logits,
            &targets.values,
            self.num_labels,
            divisor,
            &mut activations.gradients.d_logits,
        );
        model.head_backward(batch, sites, &mut activations, &mut state.gradients);
        model.encoder_backward(batch, sites, &mut activations, &mut state.gradients);

        self.activations = activations;
        self.training = Some(state);
        Ok(BatchLoss { loss })
    }

    fn step(&mut self, update: &Update) -> StepReport {
        let gradient_norm = self.gradient_norm();
        let report = StepReport { gradient_norm };
        let Some(state) = &mut self.training else { return report };
        state.touched.clear();
        if !gradient_norm.is_finite() {
            state.gradients.fill(0.0);
            return report;
        }
        // As torch.nn.utils.clip_grad_norm_: the 1e-6 keeps the quotient finite.
        let clip = |limit: f32| (f64::from(limit) / (gradient_norm + 1e-6)).min(1.0) as f32;
        let gradient_scale = update.max_grad_norm.map_or(1.0, clip);
        if update.ema_decay.is_some() && self.average.is_none() {
            self.average = Some(self.parameters.clone());
        }
        let head = self.config.num_hidden_layers + 1;
        for (spec, place) in &self.layout.parameters {
            let below = i32::try_from(head - spec.depth).unwrap_or(i32::MAX);
            let settings = AdamW {
                learning_rate: update.learning_rate * update.layer_decay.powi(below),
                beta1: update.beta1,
                beta2: update.beta2,
                epsilon: update.epsilon,
                weight_decay: if spec.decay { update.weight_decay } else { 0.0 },
                step: update.step,
                gradient_scale,
            };
            settings.update(
                &self.cpu,
                &mut self.parameters[place.clone()],
                &mut state.gradients[place.clone()],
                &mut state.first_moment[place.clone()],
                &mut state.second_moment[place.clone()],
            );
        }
        if let (Some(decay), Some(average)) = (update.ema_decay, &mut self.average) {
            adamw::average(&self.cpu, decay, &self.parameters, average);
        }
        self.repack(PackedFrom::Parameters { backward: true });
        report
    }

    fn tensors(&self, set: TensorSet) -> Vec<TensorView<'_>> {
        let state = self.training.as_ref();
        let arena = match set {
            TensorSet::Parameters => Some(&self.parameters),
            TensorSet::Average => self.average.as_ref(),
            TensorSet::FirstMoment => state.map(|state| &state.first_moment),
            TensorSet::SecondMoment => state.map(|state| &state.second_moment),
        };
        let Some(arena) = arena else { return Vec::new() };
        let views = self.layout.parameters.iter().map(|(spec, place)| TensorView {
            name: Cow::Borrowed(&*spec.name),
            shape: Cow::Borrowed(&*spec.shape),
            values: Cow::Borrowed(&arena[place.clone()]),
        });
        views.collect()
    }

    fn load_tensors(&mut self, set: TensorSet, tensors: &TensorMap) -> Result<(), EngineError> {
        let mut arena = vec![0.0; self.layout.len];
        for (spec, place) in &self.layout.parameters {
            let wrong = |problem| EngineError::Tensor { name: spec.name.clone(), problem };
            let found = tensors.get(&spec.name).ok_or_else(|| wrong("missing".to_owned()))?;
            if found.shape != spec.shape || found.values.len() != spec.len() {
                let problem = format!("has shape {:?}, expected {:?}", found.shape, spec.shape);
                return Err(wrong(problem));
            }
            arena[place.clone()].copy_from_slice(&found.values);
        }
        if tensors.len() > self.layout.parameters.len() {
            let known = |name: &&String| {
                !self.layout.parameters.iter().any(|(spec, _)| spec.name == **name)
            };
            let name = tensors.keys().find(known).cloned().unwrap_or_default();
            return Err(EngineError::Tensor { name, problem: "not of this model".to_owned() });
        }
        match set {
            TensorSet::Parameters => {
                self.parameters = arena;
                self.average = None;
                self.training = None;
                self.repack(PackedFrom::Parameters { backward: false });
            }
            TensorSet::Average => {
                self.average = Some(arena);
                if self.packed_from == PackedFrom::Average {
                    self.repack(PackedFrom::Average);
                }
            }
            TensorSet::FirstMoment | TensorSet::SecondMoment => {
                let len = self.layout.len;
                let state = self.training.get_or_insert_with(|| TrainingState::new(len));
                match set {
                    TensorSet::FirstMoment => state.first_moment = arena,
                    _ => state.second_moment = arena,
                }
            }
        }
        Ok(())
    }

    fn infer_with_average(&mut self, average: bool) {
        match (average && self.average.is_some(), self.packed_from) {
            (true, PackedFrom::Parameters { .. }) => self.repack(PackedFrom::Average),
            (false, PackedFrom::Average) => {
                let backward = self.training.is_some();
                self.repack(PackedFrom::Parameters { backward });
            }
            _ => {}
        }
    }
}
