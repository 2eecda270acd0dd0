//! An engine small enough to be right at sight: logistic regression over the tokens of a text, with
//! dropout of tokens that depends on everything in [`Randomness`], so that a run which resumes at a
//! wrong position ends elsewhere. Sums are taken text by text in f64, so that splitting a step into
//! micro-batches changes no bit.

use std::borrow::Cow;

use tinymood_core::{
    BatchLoss, Engine, EngineError, Infer, Logits, ModelConfig, Objective, PackedBatch, Randomness,
    StepReport, Targets, Tensor, TensorMap, TensorSet, TensorView, Update,
};

pub(crate) const VOCABULARY: usize = 24;

/// One flat table: weights (C, V), then biases (C).
type Table = Vec<f32>;

pub(crate) struct FakeEngine {
    config: ModelConfig,
    labels: usize,
    parameters: Table,
    average: Option<Table>,
    moments: [Table; 2],
    gradient: Vec<f64>,
    use_average: bool,
    /// From this step on (1 for the first) losses are no numbers.
    pub broken_loss_from: u64,
    /// The same for gradients.
    pub broken_gradient_from: u64,
    /// What it says of its bits.
    pub arithmetic: &'static str,
}

impl FakeEngine {
    pub(crate) fn new(labels: usize) -> Self {
        let size = labels * (VOCABULARY + 1);
        let parameters = (0..size).map(|i| noise(7, 0, i as u64, 0) as f32 * 0.1 - 0.05).collect();
        Self {
            config: ModelConfig {
                vocab_size: VOCABULARY,
                num_hidden_layers: 1,
                hidden_size: 12,
                intermediate_size: 12,
                max_position_embeddings: 16,
                ..ModelConfig::preset("1L-312D").unwrap()
            },
            labels,
            average: None,
            moments: [vec![0.0; size], vec![0.0; size]],
            gradient: vec![0.0; size],
            parameters,
            use_average: false,
            broken_loss_from: u64::MAX,
            broken_gradient_from: u64::MAX,
            arithmetic: "f64",
        }
    }

    /// The logit of one label given the tokens that dropout leaves.
    fn logit(&self, table: &Table, label: usize, tokens: &[(u32, f64)]) -> f64 {
        let row = &table[label * VOCABULARY..(label + 1) * VOCABULARY];
        let sum: f64 =
            tokens.iter().map(|&(token, kept)| f64::from(row[token as usize]) * kept).sum();
        sum / tokens.len() as f64 + f64::from(table[self.labels * VOCABULARY + label])
    }

    fn views<'a>(&self, table: &'a Table) -> Vec<TensorView<'a>> {
        let (weights, biases) = table.split_at(self.labels * VOCABULARY);
        let view = |name: &'static str, shape: Vec<usize>, values: &'a [f32]| TensorView {
            name: Cow::Borrowed(name),
            shape: Cow::Owned(shape),
            values: Cow::Borrowed(values),
        };
        vec![
            view("classifier.weight", vec![self.labels, VOCABULARY], weights),
            view("classifier.bias", vec![self.labels], biases),
        ]
    }
}

/// A number in 0..1 from four others.
fn noise(a: u64, b: u64, c: u64, d: u64) -> f64 {
    let mut z = a;
    for part in [b, c, d, 1] {
        z = (z ^ part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 29)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    }
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

impl Infer for FakeEngine {
    fn describe(&self) -> String {
        "fake".to_owned()
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn num_labels(&self) -> usize {
        self.labels
    }

    fn infer(&self, batch: &PackedBatch) -> Result<Logits, EngineError> {
        batch.check(&self.config)?;
        let average = self.average.as_ref().filter(|_| self.use_average);
        let table = average.unwrap_or(&self.parameters);
        let mut values = Vec::new();
        for range in batch.ranges() {
            let tokens: Vec<_> = batch.token_ids()[range].iter().map(|&id| (id, 1.0)).collect();
            values.extend((0..self.labels).map(|label| self.logit(table, label, &tokens) as f32));
        }
        Ok(Logits { values, num_labels: self.labels })
    }
}

impl Engine for FakeEngine {
    fn arithmetic(&self) -> String {
        self.arithmetic.to_owned()
    }

    fn accumulate(
        &mut self,
        batch: &PackedBatch,
        targets: &Targets,
        _objective: &Objective,
        rows_in_step: usize,
        randomness: Randomness,
    ) -> Result<BatchLoss, EngineError> {
        batch.check(&self.config)?;
        targets.check(batch, self.labels)?;
        self.use_average = false;
        let share = 1.0 / (rows_in_step * self.labels) as f64;
        let mut loss = 0.0;
        for (text, range) in batch.ranges().enumerate() {
            let at = randomness.first_token + range.start as u64;
            let row = randomness.first_text + text as u64;
            let ids = &batch.token_ids()[range];
            let kept = |i: usize| {
                let drawn = noise(randomness.seed, randomness.step, at + i as u64, row);
                if drawn < 0.5 { 2.0 } else { 0.0 }
            };
            let tokens: Vec<_> = ids.iter().enumerate().map(|(i, &id)| (id, kept(i))).collect();
            for label in 0..self.labels {
                let x = self.logit(&self.parameters, label, &tokens);
                let y = f64::from(targets.values[text * self.labels + label]);
                loss += (x.max(0.0) - x * y + (-x.abs()).exp().ln_1p()) * share;
                let d_x = (1.0 / (1.0 + (-x).exp()) - y) * share;
                for &(id, kept) in &tokens {
                    let slot = label * VOCABULARY + id as usize;
                    self.gradient[slot] += d_x * kept / tokens.len() as f64;
                }
                self.gradient[self.labels * VOCABULARY + label] += d_x;
            }
        }
        let broken = randomness.step + 1 >= self.broken_loss_from;
        Ok(BatchLoss { loss: if broken { f64::NAN } else { loss } })
    }

    fn step(&mut self, update: &Update) -> StepReport {
        let norm = self.gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        if update.step >= self.broken_gradient_from {
            self.gradient.fill(0.0);
            return StepReport { gradient_norm: f64::INFINITY };
        }
        let [first, second] = &mut self.moments;
        let correct = |beta: f32| 1.0 - f64::from(beta).powi(update.step as i32);
        let (correct1, correct2) = (correct(update.beta1), correct(update.beta2));
        for (i, d) in self.gradient.iter_mut().enumerate() {
            let gradient = std::mem::take(d) as f32;
            first[i] += (1.0 - update.beta1) * (gradient - first[i]);
            second[i] += (1.0 - update.beta2) * (gradient * gradient - second[i]);
            let root = (f64::from(second[i]) / correct2).sqrt() + f64::from(update.epsilon);
            let move_by = f64::from(first[i]) / correct1 / root;
            self.parameters[i] -= (f64::from(update.learning_rate) * move_by) as f32;
        }
        if let Some(decay) = update.ema_decay {
            let average = self.average.get_or_insert_with(|| self.parameters.clone());
            for (mean, &value) in average.iter_mut().zip(&self.parameters) {
                *mean += (1.0 - decay) * (value - *mean);
            }
        }
        StepReport { gradient_norm: norm }
    }

    fn tensors(&mut self, set: TensorSet) -> Vec<TensorView<'_>> {
        match set {
            TensorSet::Parameters => self.views(&self.parameters),
            TensorSet::FirstMoment => self.views(&self.moments[0]),
            TensorSet::SecondMoment => self.views(&self.moments[1]),
            TensorSet::Average => self.average.as_ref().map_or(Vec::new(), |it| self.views(it)),
        }
    }

    fn load_tensors(&mut self, set: TensorSet, tensors: &TensorMap) -> Result<(), EngineError> {
        let part = |name: &str| -> Result<&Tensor, EngineError> {
            let problem = "missing".to_owned();
            tensors.get(name).ok_or(EngineError::Tensor { name: name.to_owned(), problem })
        };
        let mut table = part("classifier.weight")?.values.to_vec();
        table.extend(part("classifier.bias")?.values.iter());
        assert_eq!(table.len(), self.parameters.len());
        match set {
            TensorSet::Parameters => {
                self.parameters = table;
                self.average = None;
                self.moments.iter_mut().for_each(|moment| moment.fill(0.0));
                self.gradient.fill(0.0);
            }
            TensorSet::FirstMoment => self.moments[0] = table,
            TensorSet::SecondMoment => self.moments[1] = table,
            TensorSet::Average => self.average = Some(table),
        }
        Ok(())
    }

    fn infer_with_average(&mut self, average: bool) {
        self.use_average = average;
    }
}
