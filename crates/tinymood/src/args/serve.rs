use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use tinymood_serve::Settings;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArg {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// The least that a log line must be worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevelArg {
    /// What failed
    Error,
    /// What may want attention, too
    Warn,
    /// A line for each request, too
    Info,
    /// How connections ended, too
    Debug,
}

/// `tinymood serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
The page for people is at /, what programs ask at /docs. POST /predict and / speak the forms of \
text-embeddings-inference and of Hugging Face's inference, POST /v1/emotions this program's own.

Ctrl-C and SIGTERM finish what is accepted, then stop; a second one stops at once. SIGHUP opens MODEL \
again: requests that have begun are answered by the old one, and where the new one cannot be opened the \
old one stays. Where nobody reads the log or the address, it serves all the same. Flags that show a \
variable can be set by it; flags win.

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

    /// Where to listen; 0.0.0.0 for all of this machine's addresses
    #[arg(long, value_name = "HOST", env = "TINYMOOD_HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// The port; 0 for any that is free. The address is printed
    #[arg(long, value_name = "PORT", env = "TINYMOOD_PORT", default_value_t = 8080)]
    pub port: u16,
    /// What requests must bring as `Authorization: Bearer KEY`; the page's files, /docs,
    /// /openapi.json and /health need none
    #[arg(long, value_name = "KEY", env = "TINYMOOD_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// A file that holds the API key on one line: no list of processes shows it there
    #[arg(long, value_name = "FILE", env = "TINYMOOD_API_KEY_FILE", conflicts_with = "api_key")]
    pub api_key_file: Option<PathBuf>,
    /// An origin whose pages may ask (CORS), or *; may be given several times
    #[arg(long, value_name = "ORIGIN", env = "TINYMOOD_CORS_ALLOW_ORIGIN", value_delimiter = ',')]
    pub cors_allow_origin: Vec<String>,

    #[command(flatten)]
    pub limits: LimitArgs,

    /// Threads that tokenize long texts
    #[arg(long, value_name = "N", env = "TINYMOOD_TOKENIZATION_WORKERS", default_value_t = Settings::default().tokenization_workers)]
    pub tokenization_workers: usize,
    /// How log lines are written, to standard error
    #[arg(long, value_enum, env = "TINYMOOD_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormatArg,
    /// What is logged [default: info; warn with --quiet]
    #[arg(long, value_enum, value_name = "LEVEL", env = "TINYMOOD_LOG_LEVEL")]
    pub log_level: Option<LogLevelArg>,
    /// Log the texts, too
    #[arg(long, env = "TINYMOOD_LOG_TEXTS", value_parser = BoolishValueParser::new())]
    pub log_texts: bool,
}

/// What a request may cost.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// The largest body of a request, in bytes
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_BODY_BYTES", default_value_t = Settings::default().max_body_bytes)]
    pub max_body_bytes: usize,
    /// The most texts of a request
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_TEXTS", default_value_t = Settings::default().max_texts)]
    pub max_texts: usize,
    /// The longest text, in Unicode code points
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_CHARACTERS", default_value_t = Settings::default().max_characters)]
    pub max_characters: usize,
    /// The most connections at once; more wait until one is closed. Each takes one of the files that
    /// the system allows (ulimit -n)
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_CONNECTIONS", default_value_t = Settings::default().max_connections)]
    pub max_connections: usize,
    /// The most requests being read, waiting or answered at once
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_CONCURRENT_REQUESTS", default_value_t = Settings::default().max_concurrent_requests)]
    pub max_concurrent_requests: usize,
    /// The most tokens that wait to be computed; also the most of one request, /tokenize's too
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_QUEUE_TOKENS", default_value_t = Settings::default().max_queue_tokens)]
    pub max_queue_tokens: usize,
    /// The most tokens computed at once; more is slower, as it leaves the cache
    #[arg(long, value_name = "N", env = "TINYMOOD_MAX_BATCH_TOKENS", default_value_t = Settings::default().max_batch_tokens)]
    pub max_batch_tokens: usize,
    /// How long a body may take to arrive, then its answer to be computed, and then its client to take
    /// in none of it
    #[arg(long, value_name = "SECONDS", env = "TINYMOOD_REQUEST_TIMEOUT", value_parser = parse_seconds, default_value = "30")]
    pub request_timeout: Duration,
    /// Seconds that a connection stays open without a request: more than a load balancer keeps it
    #[arg(long, value_name = "SECONDS", env = "TINYMOOD_KEEP_ALIVE_TIMEOUT", value_parser = parse_seconds, default_value = "90")]
    pub keep_alive_timeout: Duration,
    /// How long what is accepted may take once the server is told to stop
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
