//! Requests that wait to be computed, bounded in tokens, and the batches that are made of them.
//!
//! ```text
//! put   a request with all its sequences, unless the queue would hold too many tokens
//! take  up to a batch's tokens, from the request that waits longest, then the next, ...
//!       a request that is not done then goes to the back, its sequences staying in order
//! ```
//!
//! So a lone request is computed at once, what came meanwhile is computed together, and a request of
//! thousands of tokens (an explanation) gives way to each small one that comes while it is computed.
//! Sequences of different models never share a batch. Who has gone is dropped when its turn comes, before it
//! costs anything.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tinymood_core::{Logits, PackedBatch, TokenizedText};
use tokio::sync::oneshot;

use crate::classifier::Served;

/// What the infer thread says of a request.
#[derive(Debug)]
pub(crate) struct Computed {
    /// One row a sequence, in their order.
    pub(crate) logits: Logits,
    /// How long the first sequence waited.
    pub(crate) queued: Duration,
    /// From then until the last was computed.
    pub(crate) inferred: Duration,
}

/// Why the infer thread has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The engine refused a batch, or fell.
    #[error("the engine failed: {0}")]
    Engine(String),
    /// The server stops.
    #[error("the server is shutting down")]
    Closed,
}

/// Why a request cannot wait here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many tokens wait already.
    Full {
        /// How many.
        waiting: usize,
    },
    /// The server stops.
    Closed,
}

/// A request that waits, perhaps partly computed.
#[derive(Debug)]
struct Waiting {
    served: Arc<Served>,
    sequences: Vec<TokenizedText>,
    /// How many of them are in batches or done.
    taken: usize,
    /// Logits of those that are done; (done, C).
    values: Vec<f32>,
    reply: oneshot::Sender<Result<Computed, Failure>>,
    since: Instant,
    first_taken: Option<Instant>,
}

impl Waiting {
    fn tokens_left(&self) -> usize {
        self.sequences[self.taken..].iter().map(|sequence| sequence.ids.len()).sum()
    }
}

/// A request's part of a batch.
#[derive(Debug)]
struct Part {
    request: Waiting,
    sequences: usize,
}

/// Sequences to be computed together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) served: Arc<Served>,
    pub(crate) packed: PackedBatch,
    parts: Vec<Part>,
}

/// Requests that wait.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    max_tokens: usize,
    max_batch_tokens: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Tokens of all sequences that are in no batch yet.
    tokens: usize,
    /// Nothing more is let in; what waits is computed.
    closed: bool,
    /// What waits is not computed either.
    abandoned: bool,
}

impl Queue {
    pub(crate) fn new(max_tokens: usize, max_batch_tokens: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), max_tokens, max_batch_tokens }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request wait. What comes back is told its logits; dropping it withdraws the request.
    pub(crate) fn put(
        &self,
        served: Arc<Served>,
        sequences: Vec<TokenizedText>,
    ) -> Result<oneshot::Receiver<Result<Computed, Failure>>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let values = Vec::with_capacity(sequences.len() * served.classifier.labels.len());
        let since = Instant::now();
        let request =
            Waiting { served, sequences, taken: 0, values, reply, since, first_taken: None };
        let tokens = request.tokens_left();
        let mut state = self.state();
        if state.closed {
            return Err(Refusal::Closed);
        }
        if state.tokens + tokens > self.max_tokens {
            state.forget_the_gone();
        }
        if state.tokens + tokens > self.max_tokens {
            return Err(Refusal::Full { waiting: state.tokens });
        }
        state.tokens += tokens;
        state.waiting.push_back(request);
        drop(state);
        self.changed.notify_one();
        Ok(answer)
    }

    /// The next batch, as soon as anything waits; `None` when the queue is closed and empty.
    pub(crate) fn take(&self) -> Option<Batch> {
        let mut state = self.state();
        loop {
            if let Some(batch) = state.batch(self.max_batch_tokens) {
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a batch's logits: answers the requests that are complete, and lets the others wait on.
    pub(crate) fn done(&self, batch: Batch, outcome: Result<Logits, Failure>) {
        let logits = match outcome {
            Ok(logits) => logits,
            Err(failure) => {
                let requests = batch.parts.into_iter().map(|part| part.request);
                self.give_up(requests, &failure);
                return;
            }
        };
        let mut rows = logits.rows();
        let mut unfinished = Vec::new();
        for Part { mut request, sequences } in batch.parts {
            rows.by_ref().take(sequences).for_each(|row| request.values.extend_from_slice(row));
            if request.taken < request.sequences.len() {
                unfinished.push(request);
                continue;
            }
            let first = request.first_taken.unwrap_or(request.since);
            let computed = Computed {
                logits: Logits { values: request.values, num_labels: logits.num_labels },
                queued: first - request.since,
                inferred: first.elapsed(),
            };
            let _ = request.reply.send(Ok(computed));
        }
        if unfinished.is_empty() {
            return;
        }
        let mut state = self.state();
        if state.abandoned {
            drop(state);
            self.give_up(unfinished, &Failure::Closed);
        } else {
            state.waiting.extend(unfinished);
        }
    }

    /// Tells requests that they will not be answered.
    fn give_up(&self, requests: impl IntoIterator<Item = Waiting>, failure: &Failure) {
        for request in requests {
            self.state().tokens -= request.tokens_left();
            let _ = request.reply.send(Err(failure.clone())); // who has gone needs no answer
        }
    }

    /// Lets nothing more in. What waits is still computed.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// Lets nothing more in, and gives up what waits.
    pub(crate) fn abandon(&self) {
        let waiting = {
            let mut state = self.state();
            (state.closed, state.abandoned) = (true, true);
            std::mem::take(&mut state.waiting)
        };
        self.give_up(waiting, &Failure::Closed);
        self.changed.notify_all();
    }

    /// How many requests wait, and how many tokens.
    pub(crate) fn size(&self) -> (usize, usize) {
        let state = self.state();
        (state.waiting.len(), state.tokens)
    }
}

impl State {
    /// Drops requests that nobody waits for.
    fn forget_the_gone(&mut self) {
        let tokens = &mut self.tokens;
        self.waiting.retain(|request| {
            let gone = request.reply.is_closed();
            if gone {
                *tokens -= request.tokens_left();
            }
            !gone
        });
    }

    /// A batch of at most so many tokens, or of one longer sequence.
    fn batch(&mut self, max_tokens: usize) -> Option<Batch> {
        let mut batch: Option<Batch> = None;
        while let Some(front) = self.waiting.front() {
            if front.reply.is_closed() {
                self.tokens -= front.tokens_left();
                self.waiting.pop_front();
                continue;
            }
            if batch.as_ref().is_some_and(|batch| !Arc::ptr_eq(&batch.served, &front.served)) {
                break;
            }
            let packed = batch.as_ref().map_or(0, |batch| batch.packed.num_tokens());
            let sequences = fitting(&front.sequences[front.taken..], max_tokens, packed);
            if sequences == 0 {
                break;
            }
            let Some(mut request) = self.waiting.pop_front() else { break };
            let batch = batch.get_or_insert_with(|| Batch {
                served: request.served.clone(),
                packed: PackedBatch::new(),
                parts: Vec::new(),
            });
            for sequence in &request.sequences[request.taken..request.taken + sequences] {
                batch.packed.push(batch.packed.num_texts(), &sequence.ids);
                self.tokens -= sequence.ids.len();
            }
            request.taken += sequences;
            request.first_taken.get_or_insert_with(Instant::now);
            batch.parts.push(Part { request, sequences });
        }
        batch
    }
}

/// How many of the first sequences fit beside `packed` tokens; at least one into an empty batch.
fn fitting(sequences: &[TokenizedText], max_tokens: usize, packed: usize) -> usize {
    let mut tokens = packed;
    let fits = |sequence: &&TokenizedText| {
        let first = tokens == 0;
        tokens += sequence.ids.len();
        first || tokens <= max_tokens
    };
    sequences.iter().take_while(fits).count()
}
