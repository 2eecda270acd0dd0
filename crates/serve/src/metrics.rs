//! Counters and histograms, in Prometheus' text format. Names are text-embeddings-inference's (`te_*`)
//! where they mean the same; durations are seconds.
//!
//! A registry of its own: a fixed set of atomics, which no request waits for.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The `Content-Type` of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is counted since the server began.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Requests that got an answer or an error, by whether they held one text or several. Asking for the
    /// page, for documents and figures counts only where it failed.
    requests: BySize,
    /// Those of them that were refused before that was known.
    unread: AtomicU64,
    /// Those that got an answer.
    successes: BySize,
    /// Those that got an error.
    failures: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) texts: AtomicU64,
    pub(crate) request_duration: Histogram,
    pub(crate) tokenization_duration: Histogram,
    pub(crate) queue_duration: Histogram,
    pub(crate) inference_duration: Histogram,
    pub(crate) input_length: Histogram,
    batch_size: Histogram,
    batch_tokens: Histogram,
    batch_duration: Histogram,
    pub(crate) reloads: AtomicU64,
    pub(crate) failed_reloads: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) gone: AtomicU64,
}

/// A counter each for requests of one text and of several.
#[derive(Debug, Default)]
struct BySize {
    single: AtomicU64,
    batch: AtomicU64,
}

impl BySize {
    fn add(&self, is_single: bool) {
        let counter = if is_single { &self.single } else { &self.batch };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn write(&self, out: &mut String, name: &str) -> fmt::Result {
        for (method, counter) in [("single", &self.single), ("batch", &self.batch)] {
            writeln!(out, "{name}{{method=\"{method}\"}} {}", counter.load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}

/// What is as it is at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) waiting_requests: usize,
    pub(crate) waiting_tokens: usize,
    pub(crate) requests_in_flight: usize,
    pub(crate) model_id: String,
    pub(crate) model_sha: String,
    pub(crate) model_dtype: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new((0..35).map(|n| 1e-5 * 1.5_f64.powi(n + 1)));
        let powers = |n: i32| Histogram::new((0..n).map(|n| 2.0_f64.powi(n)));
        Self {
            requests: BySize::default(),
            unread: AtomicU64::new(0),
            successes: BySize::default(),
            failures: Mutex::default(),
            texts: AtomicU64::new(0),
            request_duration: seconds(),
            tokenization_duration: seconds(),
            queue_duration: seconds(),
            inference_duration: seconds(),
            input_length: powers(11),
            batch_size: powers(11),
            batch_tokens: powers(15),
            batch_duration: seconds(),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            gone: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// A batch was computed.
    pub(crate) fn computed(&self, texts: usize, tokens: usize, took: Duration) {
        self.batch_size.record(texts as f64);
        self.batch_tokens.record(tokens as f64);
        self.batch_duration.record(took.as_secs_f64());
    }

    /// A request of one text or several was answered.
    pub(crate) fn succeeded(&self, is_single: bool) {
        self.requests.add(is_single);
        self.successes.add(is_single);
    }

    /// A request was refused; `is_single` is `None` where it was before its texts were read.
    pub(crate) fn failed(&self, is_single: Option<bool>, error_type: &'static str) {
        match is_single {
            Some(is_single) => self.requests.add(is_single),
            None => drop(self.unread.fetch_add(1, Ordering::Relaxed)),
        }
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry(error_type).or_default() += 1;
    }

    /// Tokens computed a second so far, while computing; `None` before the first.
    pub(crate) fn tokens_per_second(&self) -> Option<f64> {
        let (tokens, seconds) = (self.batch_tokens.sum(), self.batch_duration.sum());
        (seconds > 0.0).then(|| tokens / seconds)
    }

    /// All of it, as Prometheus reads it.
    pub(crate) fn text(&self, gauges: &Gauges) -> String {
        let mut text = String::with_capacity(16 << 10);
        // Writing to a string does not fail.
        let _ = self.write(&mut text, gauges);
        text
    }

    fn write(&self, out: &mut String, gauges: &Gauges) -> fmt::Result {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (count, success, failure) =
            ("te_request_count", "te_request_success", "te_request_failure");
        head(out, count, "counter", "Requests that got an answer or an error")?;
        self.requests.write(out, count)?;
        writeln!(out, "{count}{{method=\"unknown\"}} {}", read(&self.unread))?;
        head(out, success, "counter", "Those that got an answer")?;
        self.successes.write(out, success)?;
        head(out, failure, "counter", "Those that got an error, by error_type")?;
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (error_type, count) in failures {
            writeln!(out, "{failure}{{err=\"{error_type}\"}} {count}")?;
        }
        for (name, help, counter) in [
            ("te_predict_count", "Texts of requests that got an answer", &self.texts),
            ("tinymood_reloads", "Models that replaced the one before", &self.reloads),
            ("tinymood_failed_reloads", "Models that could not", &self.failed_reloads),
            ("tinymood_gone_requests", "Requests whose client left before the answer", &self.gone),
        ] {
            plain(out, name, "counter", help, read(counter))?;
        }
        for (name, help, histogram) in [
            ("te_request_duration", "From request to answer", &self.request_duration),
            ("te_request_tokenization_duration", "Tokenizing", &self.tokenization_duration),
            ("te_request_queue_duration", "Waiting to be computed", &self.queue_duration),
            ("te_request_inference_duration", "Being computed", &self.inference_duration),
            ("te_request_input_length", "Tokens of a text, as computed", &self.input_length),
            ("te_batch_next_size", "Texts of a batch", &self.batch_size),
            ("te_batch_next_tokens", "Tokens of a batch", &self.batch_tokens),
            ("tinymood_batch_duration", "Computing a batch", &self.batch_duration),
        ] {
            head(out, name, "histogram", help)?;
            histogram.write(out, name)?;
        }
        let gauge = |out: &mut String, name, help, value| plain(out, name, "gauge", help, value);
        gauge(out, "te_queue_size", "Requests that wait", gauges.waiting_requests as u64)?;
        gauge(out, "tinymood_queue_tokens", "Tokens that wait", gauges.waiting_tokens as u64)?;
        let in_flight = gauges.requests_in_flight as u64;
        gauge(out, "tinymood_requests_in_flight", "Requests being read or answered", in_flight)?;
        gauge(out, "tinymood_connections", "Open connections", read(&self.connections))?;
        head(out, "tinymood_model_info", "gauge", "The model that answers; always 1")?;
        let Gauges { model_id, model_sha, model_dtype, .. } = gauges;
        let (id, sha, dtype) = (Quoted(model_id), Quoted(model_sha), Quoted(model_dtype));
        writeln!(out, "tinymood_model_info{{model_id={id},model_sha={sha},model_dtype={dtype}}} 1")
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn plain(out: &mut String, name: &str, kind: &str, help: &str, value: u64) -> fmt::Result {
    head(out, name, kind, help)?;
    writeln!(out, "{name} {value}")
}

/// A label's value.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// How often a value fell below each bound.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// Upper bounds, ascending; the last bucket has none.
    bounds: Vec<f64>,
    counts: Vec<AtomicU64>,
    /// Bits of an f64.
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: impl Iterator<Item = f64>) -> Self {
        let bounds: Vec<f64> = bounds.collect();
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0.0_f64.to_bits()) }
    }

    pub(crate) fn record(&self, value: f64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // `add` never gives up.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }

    fn write(&self, out: &mut String, name: &str) -> fmt::Result {
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count.load(Ordering::Relaxed);
            match self.bounds.get(bucket) {
                Some(bound) => writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}")?,
                None => writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {below}")?,
            }
        }
        writeln!(out, "{name}_sum {}\n{name}_count {below}", self.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_bounds_belong_to_them() {
        let histogram = Histogram::new([1.0, 2.0].into_iter());
        for value in [0.5, 1.0, 1.5, 2.0, 2.5] {
            histogram.record(value);
        }
        let mut text = String::new();
        histogram.write(&mut text, "x").unwrap();
        assert_eq!(
            text,
            "x_bucket{le=\"1\"} 2\nx_bucket{le=\"2\"} 4\nx_bucket{le=\"+Inf\"} 5\nx_sum 7.5\nx_count 5\n"
        );
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        let metrics = Metrics::default();
        metrics.succeeded(false);
        metrics.failed(Some(true), "overloaded");
        metrics.failed(None, "malformed");
        metrics.computed(3, 60, Duration::from_millis(30));
        assert!((metrics.tokens_per_second().unwrap() - 2000.0).abs() < 1e-6);
        let text =
            metrics.text(&Gauges { model_id: "a \"b\"\\\n".to_owned(), ..Gauges::default() });
        for method in ["single", "batch", "unknown"] {
            let sample = format!("te_request_count{{method=\"{method}\"}} 1\n");
            assert!(text.contains(&sample), "{text}");
        }
        assert!(text.contains("te_request_failure{err=\"overloaded\"} 1\n"));
        assert!(text.contains("model_id=\"a \\\"b\\\"\\\\\\n\""), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
