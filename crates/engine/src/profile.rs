//! Where the time of a step goes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A part of a pass or a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Embedding lookup, sum and norm, and their gradients.
    Embeddings,
    /// The linear layers forward, with what rides on them: bias, GELU, dropout, residual, norm.
    LinearForward,
    /// Scores, softmax, dropout and weighted sums.
    AttentionForward,
    /// Pooling, classifier and loss, forward and backward.
    Head,
    /// Gradients of layer norms.
    NormBackward,
    /// Gradients of the linear layers' weights and biases.
    WeightGradients,
    /// Gradients of the linear layers' inputs.
    InputGradients,
    /// Gradients of attention.
    AttentionBackward,
    /// The norm of the gradient, for clipping.
    GradientNorm,
    /// AdamW of all but word embeddings, with the packing of weights.
    Optimizer,
    /// AdamW of word embeddings.
    WordOptimizer,
}

impl Part {
    /// All parts, in the order of a step.
    pub const ALL: [Part; 11] = [
        Part::Embeddings,
        Part::LinearForward,
        Part::AttentionForward,
        Part::Head,
        Part::NormBackward,
        Part::WeightGradients,
        Part::InputGradients,
        Part::AttentionBackward,
        Part::GradientNorm,
        Part::Optimizer,
        Part::WordOptimizer,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Part::Embeddings => "embeddings",
            Part::LinearForward => "linear forward",
            Part::AttentionForward => "attention forward",
            Part::Head => "head and loss",
            Part::NormBackward => "norm backward",
            Part::WeightGradients => "weight gradients",
            Part::InputGradients => "input gradients",
            Part::AttentionBackward => "attention backward",
            Part::GradientNorm => "gradient norm",
            Part::Optimizer => "optimizer",
            Part::WordOptimizer => "optimizer, words",
        }
    }
}

/// Time spent on each part since profiling began. Off until it is asked for, when it costs nothing
/// but a look at a flag.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    is_on: AtomicBool,
    nanoseconds: [AtomicU64; Part::ALL.len()],
}

impl Profile {
    pub(crate) fn start(&self) {
        self.nanoseconds.iter().for_each(|part| part.store(0, Ordering::Relaxed));
        self.is_on.store(true, Ordering::Relaxed);
    }

    pub(crate) fn times(&self) -> Vec<(Part, Duration)> {
        let times = self.nanoseconds.iter().map(|part| part.load(Ordering::Relaxed));
        Part::ALL.into_iter().zip(times.map(Duration::from_nanos)).collect()
    }

    pub(crate) fn time<R>(&self, part: Part, body: impl FnOnce() -> R) -> R {
        if !self.is_on.load(Ordering::Relaxed) {
            return body();
        }
        let start = Instant::now();
        let result = body();
        let spent = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds[part as usize].fetch_add(spent, Ordering::Relaxed);
        result
    }
}
