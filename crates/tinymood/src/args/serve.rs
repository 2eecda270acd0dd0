use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use tinymood_serve::Settings;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArg {
    /// Human-readable
    Text,
    /// One JSON object per line
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevelArg {
    /// Failures
    Error,
    /// And what needs attention
    Warn,
    /// And a line for each request
    Info,
    /// And how connections ended
    Debug,
}

/// `tinymood serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
The web page is at /, the API documentation at /docs. POST /predict and / accept the formats of \
text-embeddings-inference and of Hugging Face's inference API; POST /v1/emotions is tinymood's own.

On Ctrl-C or SIGTERM the server finishes accepted requests, then stops; a second one stops it at once. \
SIGHUP reloads MODEL: requests that have begun are answered by the old one, which stays if the new one \
cannot be opened. While MODEL is being opened for the first time, SIGTERM ends the server at once, and SIGHUP \
is remembered. It serves even if the log or the printed address cannot be written. Where an environment \
variable is shown, it sets the flag's default.

Examples:
  tinymood serve
  tinymood serve runs/emotions --port 9000 --threads 4
  TINYMOOD_API_KEY=secret tinymood serve --host 0.0.0.0
  curl -s localhost:8080/v1/emotions -H 'content-type: application/json' -d '{\"texts\": \"thank you!\"}'")]
pub struct ServeArgs {
    /// A run, a model folder, a hub id, or `latest`, the newest run in ./runs
    /// [default: the bundled classifier]
    #[arg(value_name = "MODEL", env = "TINYMOOD_MODEL")]
    pub model: Option<String>,

    /// Address to listen on; 0.0.0.0 for all of this machine's addresses
    #[arg(long, value_name = "HOST", env = "TINYMOOD_HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 for any free one. The address is printed
    #[arg(long, value_name = "PORT", env = "TINYMOOD_PORT", default_value_t = 8080)]
    pub port: u16,
    /// Key that requests must send as `Authorization: Bearer KEY`; the page's files, /docs,
    /// /openapi.json and /health need none
    #[arg(long, value_name = "KEY", env = "TINYMOOD_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// File with the API key as its only line, which keeps the key out of `ps`
    #[arg(long, value_name = "FILE", env = "TINYMOOD_API_KEY_FILE", conflicts_with = "api_key")]
    pub api_key_file: Option<PathBuf>,
    /// Origin whose pages may send requests (CORS), or *; may be given several times
    #[arg(long, value_name = "ORIGIN", env = "TINYMOOD_CORS_ALLOW_ORIGIN", value_delimiter = ',')]
    pub cors_allow_origin: Vec<String>,
    /// Host that requests may name besides localhost and loopback addresses (a name or IP address without a
    /// port), or *; may be given several times. On a loopback address, requests for other hosts get 403, so
    /// that no web page reaches the server by DNS rebinding; on other addresses, all hosts are answered
    /// unless one is given. /health is answered for any host
    #[arg(long, value_name = "HOST", env = "TINYMOOD_ALLOWED_HOST", value_delimiter = ',')]
    pub allowed_host: Vec<String>,

    #[command(flatten)]
    pub limits: LimitArgs,

    /// Number of threads that tokenize long texts
    #[arg(long, value_name = "N", env = "TINYMOOD_TOKENIZATION_WORKERS", default_value_t = Settings::default().tokenization_workers)]
    pub tokenization_workers: usize,
    /// Format of the log on standard error
    #[arg(long, value_enum, env = "TINYMOOD_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormatArg,
    /// How much is logged [default: info, or warn with --quiet]
    #[arg(long, value_enum, value_name = "LEVEL", env = "TINYMOOD_LOG_LEVEL")]
    pub log_level: Option<LogLevelArg>,
    /// Also log the texts
    #[arg(long, env = "TINYMOOD_LOG_TEXTS", value_parser = BoolishValueParser::new())]
    pub log_texts: bool,
}

/// What a request may cost.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Maximum size of a request body in bytes
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_BODY_BYTES", default_value_t = Settings::default().max_body_bytes)]
    pub max_body_bytes: usize,
    /// Maximum number of texts per request
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_TEXTS", default_value_t = Settings::default().max_texts)]
    pub max_texts: usize,
    /// Maximum length of a text in Unicode code points
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_CHARACTERS", default_value_t = Settings::default().max_characters)]
    pub max_characters: usize,
    /// Maximum number of open connections. A new one beyond them waits until one closes; a connection
    /// that has been idle for a second is closed for it. If the limit of file descriptors (ulimit -n) is too
    /// low for them, the server raises it, or does not start and names both numbers
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_CONNECTIONS", default_value_t = Settings::default().max_connections)]
    pub max_connections: usize,
    /// Maximum number of requests being read, waiting or answered at once
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_CONCURRENT_REQUESTS", default_value_t = Settings::default().max_concurrent_requests)]
    pub max_concurrent_requests: usize,
    /// Maximum number of tokens in the queue, and in one request (also for /tokenize)
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_QUEUE_TOKENS", default_value_t = Settings::default().max_queue_tokens)]
    pub max_queue_tokens: usize,
    /// Maximum number of tokens per batch; larger batches are slower, as they no longer fit in the cache
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_BATCH_TOKENS", default_value_t = Settings::default().max_batch_tokens)]
    pub max_batch_tokens: usize,
    /// Time limit for each stage: receiving the head, receiving the body, computing the answer, and each
    /// stall while sending it
    #[arg(long, value_name = "SECONDS", env = "TINYMOOD_REQUEST_TIMEOUT", value_parser = parse_seconds, default_value = "30")]
    pub request_timeout: Duration,
    /// Time that an idle connection is kept open. Behind a load balancer, set it above the balancer's
    /// own idle timeout
    #[arg(long, value_name = "SECONDS", env = "TINYMOOD_KEEP_ALIVE_TIMEOUT", value_parser = parse_seconds, default_value = "90")]
    pub keep_alive_timeout: Duration,
    /// Time limit for accepted requests once the server is told to stop
    #[arg(long, value_name = "SECONDS", env = "TINYMOOD_SHUTDOWN_TIMEOUT", value_parser = parse_seconds, default_value = "30")]
    pub shutdown_timeout: Duration,
}

/// Seconds, up to a day; parts of one are fine.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a number of seconds above 0, at most 86400".to_owned()),
    }
}
