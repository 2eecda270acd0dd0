//! What all requests share, and the way of a request: texts, tokens, queue, logits.

use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use std::{io, thread};

use axum::http::StatusCode;
use tinymood_core::{Logits, TokenizedText};
use tinymood_text::is_empty_text;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::classifier::Served;
use crate::error::{ApiError, CHARACTERS, CONCURRENT_REQUESTS, REQUEST_TOKENS, TEXTS};
use crate::infer;
use crate::metrics::{Gauges, Metrics};
use crate::queue::{Computed, Queue};
use crate::settings::Settings;
use crate::tokenization::Tokenization;

/// Texts of so many bytes together are tokenized in one turn: at most some tens of milliseconds of work.
const BYTES_PER_TURN: usize = 32 << 10;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tokenization: Tokenization,
    served: RwLock<Arc<Served>>,
    queue: Arc<Queue>,
    permits: Arc<Semaphore>,
    /// Told to stop: what is accepted is answered, connections are closed after.
    draining: AtomicBool,
}

/// What a request took, for its log line, its headers and the metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    pub(crate) texts: usize,
    pub(crate) characters: usize,
    /// Tokens computed, those of explanations included.
    pub(crate) tokens: usize,
    pub(crate) tokenization: Duration,
    pub(crate) queue: Duration,
    pub(crate) inference: Duration,
    /// The texts, where they may be logged.
    pub(crate) logged: Option<Arc<[String]>>,
}

impl App {
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn new(settings: Settings, served: Served) -> io::Result<Arc<Self>> {
        let metrics = Arc::new(Metrics::default());
        let queue = Arc::new(Queue::new(settings.max_queue_tokens, settings.max_batch_tokens));
        let (its_queue, its_metrics) = (queue.clone(), metrics.clone());
        let infer = thread::Builder::new().name("infer".to_owned());
        infer.spawn(move || infer::run(&its_queue, &its_metrics))?;
        Ok(Arc::new(Self {
            tokenization: Tokenization::new(settings.tokenization_workers)?,
            served: RwLock::new(Arc::new(served)),
            permits: Arc::new(Semaphore::new(settings.max_concurrent_requests)),
            draining: AtomicBool::new(false),
            metrics,
            queue,
            settings,
        }))
    }

    /// The classifier that answers requests which begin now.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers requests that begin from now on with another classifier.
    pub(crate) fn replace(&self, served: Served) {
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(served);
    }

    /// Lets a request in, until the permit is dropped.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.permits.clone().try_acquire_owned().map_err(|_| {
            let limit = self.settings.max_concurrent_requests;
            let what = format!("{limit} requests are being answered");
            ApiError::limit(what, CONCURRENT_REQUESTS, limit).retry_after(self.queue_seconds())
        })
    }

    /// Checks what every endpoint wants of its texts; returns how many characters they have. `field` is
    /// where they stand.
    pub(crate) fn check_texts(&self, field: &str, texts: &[String]) -> Result<usize, ApiError> {
        let Settings { max_texts, max_characters, .. } = self.settings;
        if texts.is_empty() {
            return Err(ApiError::validation(format!(
                "{field} holds no text, expected at least 1"
            )));
        }
        if texts.len() > max_texts {
            let what = format!("{field} holds {} texts", texts.len());
            return Err(ApiError::limit(what, TEXTS, max_texts));
        }
        let mut characters = 0;
        for (row, text) in texts.iter().enumerate() {
            let length = text.chars().count();
            if is_empty_text(text) {
                let message = format!("text {row} of {field} is empty");
                return Err(ApiError::validation(message));
            }
            if length > max_characters {
                let what = format!("text {row} of {field} has {length} characters");
                return Err(ApiError::limit(what, CHARACTERS, max_characters));
            }
            characters += length;
        }
        Ok(characters)
    }

    /// What a request is answered with, if that takes no longer than it may.
    pub(crate) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let timeout = self.settings.request_timeout;
        tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
            let message = format!(
                "the answer took longer than {} s (--request-timeout)",
                timeout.as_secs_f64()
            );
            let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message);
            Err(error.retry_after(self.queue_seconds()))
        })
    }

    /// Logits of sequences, in their order. Dropping what is returned withdraws them.
    pub(crate) async fn compute(
        &self,
        served: &Arc<Served>,
        sequences: Vec<TokenizedText>,
        work: &mut Work,
    ) -> Result<Logits, ApiError> {
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
        work.tokens = lengths.iter().sum();
        let limit = self.settings.max_queue_tokens;
        let answer = self
            .queue
            .put(served.clone(), sequences)
            .map_err(|refusal| ApiError::refused(refusal, limit, self.queue_seconds()))?;
        // Of what was let in only: what is refused is not computed.
        lengths.iter().for_each(|&length| self.metrics.input_length.record(length as f64));
        // The infer thread only ends when the queue is closed.
        let Computed { logits, queued, inferred } =
            answer.await.map_err(|_| ApiError::shutting_down())??;
        if !logits.values.iter().all(|logit| logit.is_finite()) {
            let message = "the engine gave a logit that is no number";
            return Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "backend", message));
        }
        (work.queue, work.inference) = (queued, inferred);
        Ok(logits)
    }

    /// Texts to ids, on the pool where they are long: a portion at a time, so that others have their turn
    /// in between. `tokenize` gets the classifier, a text, and what is left of the tokens that a request may
    /// have; where they run out it ends, before the other texts cost anything.
    pub(crate) async fn tokenize<T: Send + 'static>(
        &self,
        served: &Arc<Served>,
        texts: Vec<String>,
        work: &mut Work,
        tokenize: impl Fn(&Served, &str, &mut TokensLeft) -> Result<T, ApiError> + Send + Sync + 'static,
    ) -> Result<Vec<T>, ApiError> {
        let started = Instant::now();
        let texts: Arc<[String]> = texts.into();
        if self.settings.log_texts {
            work.logged = Some(texts.clone());
        }
        let limit = self.settings.max_queue_tokens;
        let mut left = TokensLeft { left: limit, limit };
        let (mut made, tokenize) = (Vec::with_capacity(texts.len()), Arc::new(tokenize));
        while made.len() < texts.len() {
            let (portion, bytes) = portion(&texts, made.len());
            let (texts, served, tokenize) = (texts.clone(), served.clone(), tokenize.clone());
            let job = move || {
                let mut left = left;
                let texts = texts[portion].iter();
                let made: Result<Vec<T>, ApiError> =
                    texts.map(|text| tokenize(&served, text, &mut left)).collect();
                made.map(|made| (made, left))
            };
            let (more, still_left) = self.tokenization.run(bytes, job).await??;
            made.extend(more);
            left = still_left;
        }
        work.tokenization = started.elapsed();
        Ok(made)
    }

    /// How long what waits takes to compute, in whole seconds, at least 1 and at most a minute.
    fn queue_seconds(&self) -> u64 {
        let (_, tokens) = self.queue.size();
        let rate = self.metrics.tokens_per_second().unwrap_or(f64::INFINITY);
        (tokens as f64 / rate).ceil().clamp(1.0, 60.0) as u64
    }

    pub(crate) fn gauges(&self) -> Gauges {
        let (waiting_requests, waiting_tokens) = self.queue.size();
        let free = self.permits.available_permits();
        let about = &self.served().classifier.about;
        Gauges {
            waiting_requests,
            waiting_tokens,
            requests_in_flight: self.settings.max_concurrent_requests.saturating_sub(free),
            model_id: about.model_id.clone(),
            model_sha: about.model_sha.clone(),
            model_dtype: about.model_dtype.clone(),
        }
    }

    /// From now on `/health` says no, and each connection is closed after its next answer.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Gives up what waits: it is told that the server stops.
    pub(crate) fn abandon(&self) {
        self.queue.abandon();
    }
}

/// How many tokens a request may still have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokensLeft {
    left: usize,
    limit: usize,
}

impl TokensLeft {
    /// Takes so many of them.
    pub(crate) fn take(&mut self, tokens: usize) -> Result<(), ApiError> {
        let left = self.left.checked_sub(tokens);
        let what = "the request needs more tokens than that";
        self.left = left.ok_or_else(|| ApiError::limit(what, REQUEST_TOKENS, self.limit))?;
        Ok(())
    }
}

/// The texts from `first` on that have one turn on the pool, at least one, and their bytes.
fn portion(texts: &[String], first: usize) -> (Range<usize>, usize) {
    let (mut end, mut bytes) = (first, 0);
    while let Some(text) = texts.get(end)
        && (end == first || bytes + text.len() <= BYTES_PER_TURN)
    {
        (end, bytes) = (end + 1, bytes + text.len());
    }
    (first..end, bytes)
}

impl Drop for App {
    fn drop(&mut self) {
        self.queue.close(); // and with it the infer thread ends
    }
}
