//! The infer thread: the only one that asks engines that are served, batch after batch, as long as the
//! queue lives.
//!
//! One thread, since an engine computes a batch on all cores by itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tinymood_core::{Logits, PackedBatch};

use crate::classifier::Classifier;
use crate::metrics::Metrics;
use crate::queue::{Failure, Queue};

/// Computes what waits until the queue is closed and empty.
pub(crate) fn run(queue: &Queue, metrics: &Metrics) {
    while let Some(batch) = queue.take() {
        let (texts, tokens) = (batch.packed.num_texts(), batch.packed.num_tokens());
        let started = Instant::now();
        let outcome = compute(&batch.served.classifier, &batch.packed);
        if let Err(failure) = &outcome {
            tracing::error!(texts, tokens, %failure, "a batch failed");
        }
        metrics.computed(texts, tokens, started.elapsed());
        queue.done(batch, outcome);
    }
}

/// Asks an engine for the logits of a batch; a row a text.
pub(crate) fn compute(classifier: &Classifier, packed: &PackedBatch) -> Result<Logits, Failure> {
    let engine = &classifier.engine;
    // An engine that falls must not take the requests after it along: its state is its own, and `infer`
    // leaves none behind.
    let answer = catch_unwind(AssertUnwindSafe(|| engine.infer(packed)));
    let logits = match answer {
        Ok(answer) => answer.map_err(|error| Failure::Engine(error.to_string()))?,
        Err(_) => return Err(Failure::Engine("it panicked".to_owned())),
    };
    let expected = packed.num_texts() * classifier.labels.len();
    if logits.values.len() != expected {
        let found = logits.values.len();
        return Err(Failure::Engine(format!("it gave {found} logits, expected {expected}")));
    }
    Ok(logits)
}
