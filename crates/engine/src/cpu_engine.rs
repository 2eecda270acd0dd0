//! The engine itself: arenas, packed weights and workspace behind the engine interface.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tinymood_core::{
    BatchLoss, Engine, EngineError, Infer, Logits, Matching, ModelConfig, Objective, PackedBatch,
    Pooling, Randomness, StepReport, Targets, TeacherStates, TensorMap, TensorSet, TensorView,
    Update, Values,
};
use tinymood_kernels::adamw::{self, AdamW, Tensors};
use tinymood_kernels::attention::Queries;
use tinymood_kernels::lazy::{LazyRows, LazyTable};
use tinymood_kernels::matmul::INT8_LONGEST_SUM;
use tinymood_kernels::{Buffer, Cpu, Hidden, Isa, IsaError, Precision, View, embedding};

use crate::activations::Activations;
use crate::encoder::{DropoutSites, Model};
use crate::layout::{Group, Layout};
use crate::losses;
use crate::matching::{Matcher, Workspace};
use crate::packed::PackedWeights;
use crate::profile::{Part, Profile};

/// How a [`CpuEngine`] computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuSettings {
    /// Number of threads; `None` takes all cores.
    pub threads: Option<usize>,
    /// Instruction level; `None` takes the best, or what `TINYMOOD_ISA` says.
    pub isa: Option<Isa>,
    /// What multiplications multiply; `None` takes bf16 where the CPU has it, else f32. With int8 the
    /// engine only infers.
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
    /// Sums of the model are longer than int8 arithmetic allows.
    #[error("a model {width} wide is too wide for int8: {INT8_LONGEST_SUM} at most")]
    Width {
        /// The larger of its hidden and intermediate sizes.
        width: usize,
    },
    /// No threads, or absurdly many.
    #[error("{0} threads asked for, expected 1 to 1024")]
    Threads(usize),
    /// The system gives no more threads.
    #[error("cannot start {threads} threads: ask for fewer with --threads")]
    Start {
        /// How many were wanted.
        threads: usize,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Arenas that only training needs.
#[derive(Debug)]
struct TrainingState {
    gradients: Buffer<f32>,
    /// Whether a batch has added to the gradient since the last step. If none has, what is there of
    /// the linear weights is the last step's.
    has_gradient: bool,
    first_moment: Buffer<f32>,
    second_moment: Buffer<f32>,
    /// What word embeddings have missed of the steps so far.
    words: LazyRows,
    /// Word embeddings of the current batch, ascending.
    batch_words: Vec<u32>,
    /// Word embeddings that the gradient touches, in any order.
    touched: Vec<u32>,
}

impl TrainingState {
    fn new(cpu: &Cpu, config: &ModelConfig, layout: &Layout) -> Self {
        let len = layout.len;
        Self {
            gradients: cpu.buffer(len),
            has_gradient: false,
            first_moment: cpu.buffer(len),
            second_moment: cpu.buffer(len),
            words: LazyRows::new(config.vocab_size, config.hidden_size),
            batch_words: Vec::new(),
            touched: Vec::new(),
        }
    }
}

/// The word embeddings with all that an optimizer step reads and writes of them.
fn word_table<'a>(
    layout: &Layout,
    parameters: &'a mut [f32],
    first_moment: &'a mut [f32],
    second_moment: &'a mut [f32],
    average: Option<&'a mut Buffer<f32>>,
) -> LazyTable<'a> {
    let words = || layout.word.clone();
    LazyTable {
        tensors: Tensors {
            parameters: &mut parameters[words()],
            first_moment: &mut first_moment[words()],
            second_moment: &mut second_moment[words()],
        },
        average: average.map(|average| &mut average[words()]),
    }
}

/// What an update is for each group of parameters.
struct Rates<'a> {
    update: &'a Update,
    /// Depth of the head: `L + 1`.
    head: usize,
    /// What the gradient is multiplied by to be clipped.
    gradient_scale: f32,
}

impl<'a> Rates<'a> {
    fn new(update: &'a Update, gradient_norm: f64, config: &ModelConfig) -> Self {
        // As torch.nn.utils.clip_grad_norm_: the 1e-6 keeps the quotient finite.
        let clip = |limit: f32| (f64::from(limit) / (gradient_norm + 1e-6)).min(1.0) as f32;
        let gradient_scale = update.max_grad_norm.map_or(1.0, clip);
        Self { update, head: config.num_hidden_layers + 1, gradient_scale }
    }

    fn of(&self, group: &Group) -> AdamW {
        let update = self.update;
        let below = i32::try_from(self.head - group.depth).unwrap_or(i32::MAX);
        AdamW {
            learning_rate: update.learning_rate * update.layer_decay.powi(below),
            beta1: update.beta1,
            beta2: update.beta2,
            epsilon: update.epsilon,
            weight_decay: if group.decay { update.weight_decay } else { 0.0 },
            step: update.step,
            gradient_scale: self.gradient_scale,
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
/// rounded, while weights, moments, sums, norms, softmax and loss are f32. In int8 it only infers.
#[derive(Debug)]
pub struct CpuEngine {
    cpu: Cpu,
    config: ModelConfig,
    num_labels: usize,
    layout: Layout,
    /// What an optimizer step updates beside word embeddings and packed weights.
    rest: Vec<Group>,
    parameters: Buffer<f32>,
    /// The word embeddings where they were loaded from, until training needs them in the arena: two
    /// thirds of the weights, of which a text reads a few rows.
    loaded_words: Option<Values>,
    average: Option<Buffer<f32>>,
    training: Option<TrainingState>,
    packed: PackedWeights,
    packed_from: PackedFrom,
    activations: Activations,
    /// Of a student.
    matching: Workspace,
    /// Workspaces of [`Infer::infer`], one per call under way.
    inference: Mutex<Vec<Activations>>,
    profile: Profile,
}

impl CpuEngine {
    /// An engine with all parameters zero: load some next.
    ///
    /// # Errors
    /// When `TINYMOOD_ISA`, the precision or the number of threads is wrong, or the model too wide for
    /// the precision.
    pub fn new(
        config: ModelConfig,
        num_labels: usize,
        settings: CpuSettings,
    ) -> Result<Self, CpuEngineError> {
        let isa = settings.isa.map_or_else(Isa::from_environment, Ok)?;
        if !isa.is_available() {
            return Err(IsaError::Missing { wanted: isa, best: Isa::best() }.into());
        }
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
        let width = config.hidden_size.max(config.intermediate_size);
        if precision == Precision::Int8 && width > INT8_LONGEST_SUM {
            return Err(CpuEngineError::Width { width });
        }
        let start = |source| CpuEngineError::Start { threads, source };
        let cpu = Cpu::new(isa, precision, threads).map_err(start)?;
        let layout = Layout::new(&config, num_labels);
        let mut packed = PackedWeights::new(&cpu, &config, &layout, num_labels);
        let rest = layout.rest(&packed.places());
        let parameters = cpu.buffer(layout.len);
        Ok(Self {
            cpu,
            config,
            num_labels,
            layout,
            rest,
            parameters,
            loaded_words: None,
            average: None,
            training: None,
            packed,
            packed_from: PackedFrom::Parameters { backward: false },
            activations: Activations::default(),
            matching: Workspace::default(),
            inference: Mutex::new(Vec::new()),
            profile: Profile::default(),
        })
    }

    /// The hands it works with.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// Begins to measure where time goes, from zero.
    pub fn start_profile(&self) {
        self.profile.start();
    }

    /// Time spent on each part since [`CpuEngine::start_profile`].
    pub fn profile(&self) -> Vec<(Part, Duration)> {
        self.profile.times()
    }

    fn model<'a>(&'a self, weights: &'a [f32]) -> Model<'a> {
        let Self { cpu, config, layout, packed, profile, .. } = self;
        let words = &weights[layout.word.clone()];
        Model { cpu, config, layout, weights, words, packed, profile, accumulate: false }
    }

    /// # Errors
    /// In int8.
    fn check_trains(&self) -> Result<(), EngineError> {
        match self.cpu.precision() {
            Precision::F32 | Precision::Bf16 => Ok(()),
            Precision::Int8 => Err(EngineError::OnlyInfers { engine: self.describe() }),
        }
    }

    /// The last hidden states that the head reads.
    fn pooled(&self) -> Queries {
        match self.config.pooling {
            Pooling::Cls => Queries::First,
            Pooling::Mean => Queries::All,
        }
    }

    /// A forward pass without dropout to the last hidden states of `last`: each hidden state, with its
    /// layer's queries, keys and values, is shown to `seen`, the end of it to `read`.
    fn infer_with<R>(
        &self,
        batch: &PackedBatch,
        last: Queries,
        seen: impl FnMut(usize, &Hidden, Option<View<'_>>),
        read: impl FnOnce(&Model<'_>, DropoutSites<'_>, &mut Activations) -> R,
    ) -> Result<R, EngineError> {
        batch.check(&self.config)?;
        let workspaces = || self.inference.lock().unwrap_or_else(PoisonError::into_inner);
        let mut activations = workspaces().pop().unwrap_or_default();
        activations.fit(&self.cpu, &self.config, self.num_labels, batch, last, false);
        let loaded = self.loaded_words.as_ref().and_then(Values::borrowed);
        let model = match (self.packed_from, &self.average, loaded) {
            (PackedFrom::Average, Some(average), _) => self.model(average),
            (_, _, Some(words)) => Model { words, ..self.model(&self.parameters) },
            _ => self.model(&self.parameters),
        };
        let words = self.words_of(batch);
        let sites = DropoutSites::new(&self.config, None);
        model.encoder_forward(batch, words.as_deref(), sites, false, &mut activations, seen);
        let result = read(&model, sites, &mut activations);
        workspaces().push(activations);
        Ok(result)
    }

    /// A forward pass with dropout to the last hidden states of `last`, and `loss` with the backward
    /// pass: it returns the loss of the batch and adds to the gradients of the weights.
    fn accumulate_with(
        &mut self,
        batch: &PackedBatch,
        last: Queries,
        randomness: Randomness,
        loss: impl FnOnce(&Model<'_>, DropoutSites<'_>, &mut Activations, &mut [f32]) -> f64,
    ) -> BatchLoss {
        self.own_words();
        if self.packed_from != (PackedFrom::Parameters { backward: true }) {
            self.repack(PackedFrom::Parameters { backward: true });
        }
        let state = self.training.take();
        let mut state =
            state.unwrap_or_else(|| TrainingState::new(&self.cpu, &self.config, &self.layout));
        let TrainingState { first_moment, second_moment, words, batch_words, touched, .. } =
            &mut state;
        batch_words.clear();
        batch_words.extend_from_slice(batch.token_ids());
        batch_words.sort_unstable();
        batch_words.dedup();
        touched.extend_from_slice(batch_words);
        let average = self.average.as_mut();
        let (layout, parameters) = (&self.layout, &mut self.parameters);
        let mut table = word_table(layout, parameters, first_moment, second_moment, average);
        self.profile.time(Part::WordOptimizer, || {
            words.catch_up(&self.cpu, batch_words, &mut table);
        });
        let mut activations = std::mem::take(&mut self.activations);
        activations.fit(&self.cpu, &self.config, self.num_labels, batch, last, true);

        let model = Model { accumulate: state.has_gradient, ..self.model(&self.parameters) };
        let sites = DropoutSites::new(&self.config, Some(randomness));
        model.encoder_forward(batch, None, sites, true, &mut activations, |_, _, _| {});
        let loss = loss(&model, sites, &mut activations, &mut state.gradients);

        state.has_gradient = true;
        self.activations = activations;
        self.training = Some(state);
        BatchLoss { loss }
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

    /// Copies the word embeddings to the arena.
    fn own_words(&mut self) {
        if let Some(words) = self.loaded_words.take() {
            words.read(0..words.len(), &mut self.parameters[self.layout.word.clone()]);
        }
    }

    /// Lets all word embeddings take the steps they have missed.
    fn settle(&mut self) {
        let Some(state) = &mut self.training else { return };
        let TrainingState { first_moment, second_moment, words, .. } = state;
        let average = self.average.as_mut();
        let (layout, parameters) = (&self.layout, &mut self.parameters);
        let mut table = word_table(layout, parameters, first_moment, second_moment, average);
        words.settle(&self.cpu, &mut table);
    }

    /// Norm of the gradient that was gathered since the last step; 0 of none.
    fn gathered_norm(&mut self) -> f64 {
        let Some(state) = &mut self.training else { return 0.0 };
        if !std::mem::take(&mut state.has_gradient) {
            state.gradients.fill(0.0);
        }
        let width = self.config.hidden_size;
        self.profile
            .time(Part::GradientNorm, || state.gradient_norm(&self.cpu, &self.layout, width))
    }

    fn forget_gradient(&mut self) {
        let Some(state) = &mut self.training else { return };
        state.touched.clear();
        state.gradients.fill(0.0);
    }

    /// Makes the average of the weights where there is to be one: it begins at the weights.
    fn begin_average(&mut self, update: &Update) {
        if update.ema_decay.is_some() && self.average.is_none() {
            self.settle();
            self.average = Some(self.parameters.clone());
        }
    }

    /// Updates all but the word embeddings.
    fn update_dense(&mut self, rates: &Rates<'_>) {
        let Self { cpu, layout, parameters, packed, rest, average, training, profile, .. } = self;
        let Some(state) = training else { return };
        let TrainingState { gradients, first_moment, second_moment, .. } = state;
        profile.time(Part::Optimizer, || {
            let arenas = [&mut parameters[..], gradients, first_moment, second_moment];
            packed.update(cpu, |group| rates.of(group), arenas);
            for group in &*rest {
                let place = || group.place.clone();
                let tensors = Tensors {
                    parameters: &mut parameters[place()],
                    first_moment: &mut first_moment[place()],
                    second_moment: &mut second_moment[place()],
                };
                rates.of(group).update(cpu, tensors, &mut gradients[place()]);
            }
            if let (Some(decay), Some(average)) = (rates.update.ema_decay, average) {
                let rest = layout.word.end..;
                adamw::average(cpu, decay, &parameters[rest.clone()], &mut average[rest]);
            }
        });
    }

    /// Updates the word embeddings that the gradient touches; the others will catch up.
    fn update_words(&mut self, rates: &Rates<'_>) {
        let Self { cpu, layout, parameters, average, training, profile, .. } = self;
        let Some(state) = training else { return };
        let TrainingState { gradients, first_moment, second_moment, words, touched, .. } = state;
        let average = average.as_mut();
        let mut table = word_table(layout, parameters, first_moment, second_moment, average);
        let gradients = &mut gradients[layout.word.clone()];
        let (settings, decay) = (rates.of(&layout.group(&layout.word)), rates.update.ema_decay);
        profile.time(Part::WordOptimizer, || {
            words.step(cpu, touched, &settings, decay, gradients, &mut table);
        });
        touched.clear();
    }

    /// The word embeddings of a batch, (T, H), where some have missed steps or are no floats yet; `None`
    /// where the table itself can be read.
    fn words_of(&self, batch: &PackedBatch) -> Option<Vec<f32>> {
        let stored =
            |words: &&Values| words.borrowed().is_none() && self.packed_from != PackedFrom::Average;
        if let Some(loaded) = self.loaded_words.as_ref().filter(stored) {
            let width = self.config.hidden_size;
            let mut rows = vec![0.0; batch.num_tokens() * width];
            for (&id, row) in batch.token_ids().iter().zip(rows.chunks_exact_mut(width)) {
                let start = id as usize * width;
                loaded.read(start..start + width, row);
            }
            return Some(rows);
        }
        let state = self.training.as_ref().filter(|state| !state.words.is_settled())?;
        let width = self.config.hidden_size;
        let from_average = self.packed_from == PackedFrom::Average;
        let mut rows = vec![0.0; batch.num_tokens() * width];
        let (mut m, mut v, mut other) = (Vec::new(), Vec::new(), Vec::new());
        for (&id, row) in batch.token_ids().iter().zip(rows.chunks_exact_mut(width)) {
            let start = self.layout.word.start + id as usize * width;
            let at = start..start + width;
            let copy = |values: &mut Vec<f32>, from: &[f32]| {
                values.clear();
                values.extend_from_slice(from);
            };
            copy(&mut m, &state.first_moment[at.clone()]);
            copy(&mut v, &state.second_moment[at.clone()]);
            match &self.average {
                Some(average) if from_average => {
                    row.copy_from_slice(&average[at.clone()]);
                    copy(&mut other, &self.parameters[at]);
                    let copy = Tensors {
                        parameters: &mut other,
                        first_moment: &mut m,
                        second_moment: &mut v,
                    };
                    state.words.replay_copy(&self.cpu, id, copy, Some(row));
                }
                _ => {
                    row.copy_from_slice(&self.parameters[at]);
                    let copy =
                        Tensors { parameters: row, first_moment: &mut m, second_moment: &mut v };
                    state.words.replay_copy(&self.cpu, id, copy, None);
                }
            }
        }
        Some(rows)
    }
}

impl TrainingState {
    /// Norm of the gradient, and the touched word embeddings sorted.
    fn gradient_norm(&mut self, cpu: &Cpu, layout: &Layout, width: usize) -> f64 {
        self.touched.sort_unstable();
        self.touched.dedup();
        let table = &self.gradients[layout.word.clone()];
        let words = embedding::rows_sum_of_squares(cpu, table, width, &self.touched);
        // Words lie first, all else is touched by every batch.
        let rest = adamw::sum_of_squares(cpu, &self.gradients[layout.word.end..]);
        (words + rest).sqrt()
    }
}

impl Infer for CpuEngine {
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
        self.infer_with(
            batch,
            self.pooled(),
            |_, _, _| {},
            |model, sites, activations| {
                model.head_forward(batch, sites, activations);
                Logits { values: activations.logits.to_vec(), num_labels: self.num_labels }
            },
        )
    }

    fn teacher_states(
        &self,
        batch: &PackedBatch,
        states: &[usize],
        qkv_layer: Option<usize>,
    ) -> Result<TeacherStates, EngineError> {
        let layers = self.config.num_hidden_layers;
        if let Some(&state) = states.iter().find(|&&state| state > layers) {
            return Err(EngineError::State { state, layers });
        }
        if let Some(layer) = qkv_layer.filter(|layer| !(1..=layers).contains(layer)) {
            return Err(EngineError::Layer { layer, layers });
        }
        let mut found = vec![Vec::new(); states.len()];
        let mut found_qkv = Vec::new();
        let see = |state: usize, hidden: &Hidden, qkv: Option<View<'_>>| {
            let wanted = states.iter().zip(&mut found).filter(|(wanted, _)| **wanted == state);
            wanted.for_each(|(_, values)| values.extend_from_slice(hidden.values()));
            if let Some(qkv) = qkv.filter(|_| qkv_layer == Some(state)) {
                found_qkv = qkv.to_f32();
            }
        };
        self.infer_with(batch, Queries::All, see, |_, _, _| {})?;
        Ok(TeacherStates { width: self.config.hidden_size, states: found, qkv: found_qkv })
    }
}

impl Engine for CpuEngine {
    fn arithmetic(&self) -> String {
        self.cpu.isa().to_string()
    }

    fn accumulate(
        &mut self,
        batch: &PackedBatch,
        targets: &Targets,
        objective: &Objective,
        rows_in_step: usize,
        randomness: Randomness,
    ) -> Result<BatchLoss, EngineError> {
        self.check_trains()?;
        batch.check(&self.config)?;
        targets.check(batch, self.num_labels)?;
        losses::check(objective, self.num_labels)?;
        let divisor = (rows_in_step.max(1) * self.num_labels) as f64;
        let last = self.pooled();
        Ok(self.accumulate_with(batch, last, randomness, |model, sites, activations, d_weights| {
            let loss = model.profile.time(Part::Head, || {
                model.head_forward(batch, sites, activations);
                let loss = losses::forward_backward(
                    objective,
                    &activations.logits,
                    &targets.values,
                    targets.num_labels,
                    divisor,
                    &mut activations.gradients.d_logits,
                );
                model.head_backward(batch, sites, activations, d_weights);
                loss
            });
            model.encoder_backward(batch, sites, activations, d_weights, &mut ());
            loss
        }))
    }

    fn accumulate_states(
        &mut self,
        batch: &PackedBatch,
        teacher: &TeacherStates,
        matching: &Matching,
        rows_in_step: usize,
        randomness: Randomness,
    ) -> Result<BatchLoss, EngineError> {
        self.check_trains()?;
        batch.check(&self.config)?;
        matching.check(&self.config, self.num_labels, teacher, batch)?;
        let mut workspace = std::mem::take(&mut self.matching);
        let mut matcher = Matcher::new(matching, teacher, batch, rows_in_step, &mut workspace);
        let last = Queries::All;
        let loss = self.accumulate_with(
            batch,
            last,
            randomness,
            |model, sites, activations, d_weights| {
                model.profile.time(Part::Head, || {
                    model.head_forward(batch, sites, activations);
                    let Activations { logits, gradients, .. } = &mut *activations;
                    matcher.head(model.cpu, logits, &mut gradients.d_logits);
                    model.head_backward(batch, sites, activations, d_weights);
                });
                model.encoder_backward(batch, sites, activations, d_weights, &mut matcher);
                matcher.loss
            },
        );
        self.matching = workspace;
        Ok(loss)
    }

    fn step(&mut self, update: &Update) -> StepReport {
        self.own_words();
        let gradient_norm = self.gathered_norm();
        if !gradient_norm.is_finite() {
            self.forget_gradient();
        } else if self.training.is_some() {
            self.begin_average(update);
            let rates = Rates::new(update, gradient_norm, &self.config);
            self.update_dense(&rates);
            self.update_words(&rates);
            self.packed_from = PackedFrom::Parameters { backward: true };
        }
        StepReport { gradient_norm }
    }

    fn tensors(&mut self, set: TensorSet) -> Vec<TensorView<'_>> {
        self.own_words();
        self.settle();
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
        if matches!(set, TensorSet::FirstMoment | TensorSet::SecondMoment) {
            self.check_trains()?;
        }
        let mut arena: Buffer<f32> = self.cpu.buffer(self.layout.len);
        let mut words = None;
        for (spec, place) in &self.layout.parameters {
            let wrong = |problem| EngineError::Tensor { name: spec.name.clone(), problem };
            let found = tensors.get(&spec.name).ok_or_else(|| wrong("missing".to_owned()))?;
            if found.shape != spec.shape || found.values.len() != spec.len() {
                let problem = format!("has shape {:?}, expected {:?}", found.shape, spec.shape);
                return Err(wrong(problem));
            }
            if set == TensorSet::Parameters && *place == self.layout.word {
                words = Some(found.values.clone());
            } else {
                found.values.read(0..spec.len(), &mut arena[place.clone()]);
            }
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
                self.loaded_words = words;
                self.average = None;
                self.training = None;
                self.repack(PackedFrom::Parameters { backward: false });
            }
            TensorSet::Average => {
                self.settle();
                self.average = Some(arena);
                if self.packed_from == PackedFrom::Average {
                    self.repack(PackedFrom::Average);
                }
            }
            TensorSet::FirstMoment | TensorSet::SecondMoment => {
                self.settle();
                let make = || TrainingState::new(&self.cpu, &self.config, &self.layout);
                let state = self.training.get_or_insert_with(make);
                match set {
                    TensorSet::FirstMoment => state.first_moment = arena,
                    _ => state.second_moment = arena,
                }
            }
        }
        Ok(())
    }

    fn infer_with_average(&mut self, average: bool) {
        self.settle(); // once here is cheaper than for each batch of an evaluation
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
