//! The command line as it is typed. Commands turn it into settings; nothing is decided here.

#![allow(missing_docs)] // comments here are help texts, and flattened groups show none

mod bench;
mod data;
mod distill;
mod evaluate;
mod export;
mod predict;
mod report;
mod serve;
mod teaching;
mod train;
mod tune;

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use tinymood_core::{Taxonomy, printable};
use tinymood_kernels::Precision;
use tinymood_text::{Encoding, LabelFormat};
use tinymood_train::ProgressStyle;

pub use bench::{BenchArgs, BenchWhat};
pub use data::{DataArgs, DataCommand, StatsArgs};
pub use distill::DistillArgs;
pub use evaluate::EvaluateArgs;
pub use export::ExportArgs;
pub use predict::{FormatArg, InputFormatArg, PredictArgs};
pub use report::ReportArgs;
pub use serve::{LimitArgs, LogFormatArg, LogLevelArg, ServeArgs};
pub use teaching::TeachingArgs;
pub use train::{OverrideArgs, StepArgs, TrainArgs};
pub use tune::{ObjectiveArg, PolicyArg, TuneArgs};

/// Fine-tune, evaluate and run tiny multi-label emotion classifiers, on the machine you have.
#[derive(Debug, Parser)]
#[command(name = "tinymood", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "\
First steps:
  tinymood predict \"what a day!\"          ask the bundled classifier
  tinymood train                          train on the bundled sample, offline
  tinymood train --data goemotions        the real thing: 43,410 comments

Data goes to standard output, everything else to standard error. Exit status: 0 success, 1 failure,
2 wrong usage, 128 + the signal that stopped it. For details, see `tinymood COMMAND --help`.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// What holds for all commands.
    #[command(flatten)]
    pub global: GlobalArgs,
}

/// What holds for all commands.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Number of threads [default: all cores]
    #[arg(long, global = true, value_name = "N", env = "TINYMOOD_THREADS", value_parser = parse_threads)]
    pub threads: Option<usize>,
    /// Number format of multiplications: bf16 is mixed precision, twice as fast where the CPU has it;
    /// int8 is for inference only
    #[arg(long, global = true, value_enum, default_value_t, env = "TINYMOOD_PRECISION")]
    pub precision: PrecisionArg,
    /// Never use the network: models and data come from the cache or from folders
    #[arg(long, global = true)]
    pub offline: bool,
    /// Cache for datasets and teachers' predictions; hub models are in HF_HOME
    /// [default: tinymood in the system's cache folder]
    #[arg(long, global = true, value_name = "DIR", env = "TINYMOOD_CACHE")]
    pub cache_dir: Option<PathBuf>,
    /// Print only warnings and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// Paths that are saved as text, or are the name of a run or a model later. Others may have any bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Utf8Path;

impl TypedValueParser for Utf8Path {
    type Value = PathBuf;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<PathBuf, clap::Error> {
        if let Some(text) = value.to_str().filter(|text| !text.is_empty()) {
            return Ok(PathBuf::from(text));
        }
        let argument = argument.map_or_else(|| "a path".to_owned(), ToString::to_string);
        let problem = match value.is_empty() {
            true => format!("{argument} is empty, expected a path"),
            false => format!("{argument} is not UTF-8: {value:?}; rename it, or give another path"),
        };
        Err(clap::Error::raw(ErrorKind::InvalidUtf8, problem + "\n").with_cmd(command))
    }
}

/// Names of labels and files may hold escapes. Nobody is left to tell when standard error is gone: the work goes on.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable::lines(text));
}

impl GlobalArgs {
    /// Tells whoever watches, on standard error; nobody where it is to be quiet.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            tell(text);
        }
    }

    /// Tells of what went wrong and stops nothing, also where it is to be quiet.
    #[allow(clippy::unused_self)] // beside `say`
    pub fn warn(&self, text: &str) {
        tell(&format!("warning: {text}"));
    }

    /// How progress is shown.
    pub fn progress(&self) -> ProgressStyle {
        if self.quiet { ProgressStyle::Quiet } else { ProgressStyle::detect() }
    }
}

/// `--precision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionArg {
    /// int8 for a model exported as int8, else bf16 where the CPU has it, else f32
    #[default]
    Auto,
    /// 32-bit floats throughout
    F32,
    /// Operands rounded to bfloat16; sums, weights and everything else in f32
    Bf16,
    /// Operands rounded to 8 bits or a little less, weights per output and activations per token;
    /// not for training
    Int8,
}

impl PrecisionArg {
    /// The argument that asks for `precision`.
    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
            Precision::Int8 => Self::Int8,
        }
    }

    /// What to ask an engine for; `None` leaves it the choice.
    pub fn asked(self) -> Option<Precision> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(Precision::F32),
            Self::Bf16 => Some(Precision::Bf16),
            Self::Int8 => Some(Precision::Int8),
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fine-tune a BERT-family encoder
    Train(Box<TrainArgs>),
    /// Make a smaller encoder from a large one, using plain text
    Distill(Box<DistillArgs>),
    /// Evaluate a model on a labelled split
    Evaluate(EvaluateArgs),
    /// Tune a model's thresholds on a labelled split and save them
    Tune(TuneArgs),
    /// Predict the emotions that texts show
    Predict(PredictArgs),
    /// Serve predictions over HTTP: a web page, and JSON for programs
    Serve(Box<ServeArgs>),
    /// Show a run, or compare several, as an HTML page
    Report(ReportArgs),
    /// Write a model as int8, a quarter of the size, or as floats for other tools
    Export(ExportArgs),
    /// Inspect datasets, or download one
    Data(DataArgs),
    /// Measure training and inference on this machine
    Bench(BenchArgs),
    /// Show what this machine and installation support
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Which data, and how to read it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct DatasetArgs {
    /// `sample` (bundled), `goemotions` (downloaded once), a file, or a folder with train, dev and
    /// test files. Files: .tsv (text, labels, id; read like .csv if its first line names --text-column),
    /// .csv (with header; commas, semicolons or tabs), .jsonl, .json; also as .gz
    #[arg(long, value_name = "DATA", default_value = "sample")]
    pub data: String,
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// On which data a model is judged, and how to read it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct JudgingArgs {
    /// Same as `train --data` [default: the data of the model's run; `sample` for the bundled classifier]
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// How to read data files.
#[derive(Clone, Debug, PartialEq, Args)]
#[command(next_help_heading = "Data")]
pub struct ReadingArgs {
    /// The list of labels: names with commas between them (`joy,anger`, or `toxic,` for one), a file of names,
    /// one per line, or `goemotions`. With a list, rows may have ids, a label's place in it from 0
    /// [default: labels.txt or emotions.txt in the data's folder, else the model's labels, else the names in
    /// the train rows]
    #[arg(value_parser = Utf8Path, long, value_name = "LABELS")]
    pub labels: Option<PathBuf>,
    /// How a row's cell or list gives its labels
    #[arg(long, value_enum, default_value = "auto")]
    pub label_format: LabelFormatArg,
    /// Name of the text column or field
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub text_column: String,
    /// Name of the labels column or field; if there is none, each label has its own
    #[arg(long, value_name = "NAME", default_value = "labels")]
    pub labels_column: String,
    /// Separator between the labels of a row
    #[arg(long, value_name = "TEXT", default_value = ",")]
    pub label_separator: String,
    /// Encoding of data files without a byte order mark, also of --unlabelled [default: utf-8]
    #[arg(long, value_enum)]
    pub encoding: Option<EncodingArg>,
    /// Skip and list malformed rows instead of stopping at the first
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Share of the train rows to hold out as the dev split, such as 0.1, for a single file or a folder
    /// without one. The choice depends only on their texts: the same share always gives the same split
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = parse_dev_share)]
    pub dev_share: f64,
}

impl Default for ReadingArgs {
    /// As without flags.
    fn default() -> Self {
        Self {
            labels: None,
            label_format: LabelFormatArg::Auto,
            text_column: "text".to_owned(),
            labels_column: "labels".to_owned(),
            label_separator: ",".to_owned(),
            encoding: None,
            skip_bad_rows: false,
            dev_share: 0.0,
        }
    }
}

/// `--label-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LabelFormatArg {
    /// Decided from all rows of the file, and printed; a file that allows two forms is refused
    Auto,
    /// Names; a number is the name of a label
    Names,
    /// Ids; a number is never the name of a label, and other names are read too
    Ids,
    /// One number from 0 to 1 for each label of the list: multi-hot or soft vectors
    MultiHot,
}

impl From<LabelFormatArg> for LabelFormat {
    fn from(arg: LabelFormatArg) -> Self {
        match arg {
            LabelFormatArg::Auto => Self::Auto,
            LabelFormatArg::Names => Self::Names,
            LabelFormatArg::Ids => Self::Ids,
            LabelFormatArg::MultiHot => Self::MultiHot,
        }
    }
}

/// How characters are written as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EncodingArg {
    /// UTF-8
    #[value(name = "utf-8", alias = "utf8")]
    Utf8,
    /// ISO 8859-1 as in Python: 0x80 to 0x9F are control characters (browsers read cp1252 instead)
    #[value(name = "latin-1", aliases = ["latin1", "iso-8859-1"])]
    Latin1,
    /// Windows-1252: Western European text of Windows, and most text that is called Latin-1
    #[value(name = "cp1252", alias = "windows-1252")]
    Cp1252,
    /// UTF-16, low byte first
    #[value(name = "utf-16le", alias = "utf-16-le")]
    Utf16Le,
    /// UTF-16, high byte first
    #[value(name = "utf-16be", alias = "utf-16-be")]
    Utf16Be,
}

impl From<EncodingArg> for Encoding {
    fn from(arg: EncodingArg) -> Self {
        match arg {
            EncodingArg::Utf8 => Self::Utf8,
            EncodingArg::Latin1 => Self::Latin1,
            EncodingArg::Cp1252 => Self::Cp1252,
            EncodingArg::Utf16Le => Self::Utf16Le,
            EncodingArg::Utf16Be => Self::Utf16Be,
        }
    }
}

/// A taxonomy as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TaxonomyArg {
    /// The labels as they are
    Original,
    /// Ekman's six basic emotions, and neutral
    Ekman,
    /// Positive, negative, ambiguous and neutral
    Sentiment,
}

impl From<TaxonomyArg> for Taxonomy {
    fn from(arg: TaxonomyArg) -> Self {
        match arg {
            TaxonomyArg::Original => Self::Original,
            TaxonomyArg::Ekman => Self::Ekman,
            TaxonomyArg::Sentiment => Self::Sentiment,
        }
    }
}

/// Which part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitArg {
    /// The training split
    Train,
    /// The validation split, on which thresholds are tuned
    #[value(alias = "validation", alias = "valid")]
    Dev,
    /// The test split, on which nothing is tuned
    Test,
}

/// A model to use.
#[derive(Clone, Debug, Args)]
pub struct ModelArg {
    /// A run, a model folder, a hub id, or `latest`, the newest run in ./runs
    /// [default: the bundled classifier]
    #[arg(long, short, value_name = "MODEL")]
    pub model: Option<String>,
}

/// `tinymood doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if (1..=1024).contains(&count) => Ok(count),
        _ => Err("expected a whole number from 1 to 1024".to_owned()),
    }
}

/// A number from 0 to 1.
fn parse_share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// A number from 0 to below 1.
fn parse_dev_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to below 1".to_owned()),
    }
}

/// Up to a hundred thousand: more moves no digit that is shown.
fn parse_resamples(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if count <= 100_000 => Ok(count),
        _ => Err("expected a whole number from 0 to 100000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flags_are_the_default() {
        let Ok(Cli { command: Command::Evaluate(args), .. }) =
            Cli::try_parse_from(["tinymood", "evaluate"])
        else {
            panic!("`tinymood evaluate` is a command");
        };
        assert_eq!(args.judging.reading, ReadingArgs::default());
    }

    proptest! {
        #[test]
        fn no_arguments_panic(words in prop::collection::vec("(--?[a-z-]{1,12}(=\\PC{0,6})?|\\PC{0,8}|train|predict|serve|tune|report|data|evaluate|export)", 0..6)) {
            let _ = Cli::try_parse_from(std::iter::once("tinymood".to_owned()).chain(words));
        }
    }
}
