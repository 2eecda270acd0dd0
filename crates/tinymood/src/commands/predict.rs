//! `tinymood predict`: labels for texts, streaming, one row of answers for each row of questions.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use tinymood_core::TokenizedText;
use tinymood_engine::CpuEngine;
use tinymood_eval::{Calibrated, Choice, Explainer, Selection};
use tinymood_text::{
    Columns, DataError, Encoding, RowProblem, StreamOptions, StreamedText, TextFormat, TextStream,
    TokenizerError, is_empty_text,
};

use crate::args::{FormatArg, GlobalArgs, PredictArgs};
use crate::misuse::Misuse;
use crate::model::Model;
use crate::output::format_of;
use crate::predictions::{
    CsvColumns, CsvShape, OwnNames, Prediction, PredictionWriter, Scored, Share,
};
use crate::read_ahead::{ReadAhead, Texts};

pub(super) fn run(args: PredictArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let asked = if args.json { Some(FormatArg::Jsonl) } else { args.format };
    let format = format_of(asked, &args.output)?;
    check_format(&args, format)?;
    if args.input.iter().filter(|input| *input == Path::new(STDIN)).count() > 1 {
        return Err(Misuse("standard input (--input -) can be read only once".to_owned()).into());
    }
    let model = Model::open(args.model.model.as_deref(), global)?;
    if args.threshold.is_some() {
        model.check_thresholds_apply("--threshold")?;
    }
    let problem_type = model.problem_type();
    let taxonomy = tinymood_core::Taxonomy::from(args.taxonomy).map(&model.labels)?;
    let thresholds = match args.threshold {
        Some(value) => vec![value; model.labels.len()],
        None => model.thresholds.values.clone(),
    };
    let (top_k, at_least_one) = (args.top_k, args.at_least_one);
    let selection = Selection { problem_type, thresholds, taxonomy, top_k, at_least_one };
    let to_stdout = args.output == Path::new("-");
    if format == FormatArg::Table {
        let policy = match args.threshold {
            Some(value) => format!("fixed {value}"),
            None => model.thresholds.describe(),
        };
        global.say(&format!("thresholds: {policy}"));
    }
    let Asked { texts, columns, names } = texts(&args, format, global)?;
    let out: Box<dyn Write> = if to_stdout {
        Box::new(BufWriter::new(io::stdout()))
    } else {
        // Creating it empties what is there.
        if args.input.iter().any(|input| is_same_file(input, &args.output)) {
            let path = args.output.display();
            return Err(
                Misuse(format!("{path} is both --input and --output: write elsewhere")).into()
            );
        }
        let file = File::create(&args.output)
            .with_context(|| format!("cannot write {}", args.output.display()))?;
        Box::new(BufWriter::new(file))
    };
    let tells_file = args.input.len() > 1;
    let mut writer = match format {
        FormatArg::Table => PredictionWriter::table(out),
        FormatArg::Jsonl => PredictionWriter::jsonl(out, names),
        _ => {
            let shape = match format {
                FormatArg::CsvIndicators => CsvShape::Indicators,
                FormatArg::CsvScores => CsvShape::Scores,
                _ => CsvShape::Lists { all_scores: args.scores },
            };
            let columns = CsvColumns {
                shape,
                labels: selection.labels(),
                has_file: tells_file,
                kept: columns.as_ref(),
                guards_formulas: args.guard_formulas,
            };
            PredictionWriter::csv(out, &columns)?
        }
    };
    let answering = Answering {
        explainer: args.explain.then(|| model.explainer()).transpose()?,
        model: &model,
        selection,
        scores: args.scores || format == FormatArg::CsvScores,
        tells_file,
    };
    let mut bad_rows = 0;
    let mut advised = HashMap::new();
    let mut read = HashSet::new();
    let mut coming = ReadAhead::new(texts)?;
    let mut waiting = Vec::new();
    loop {
        coming.next(&mut waiting)?;
        if waiting.is_empty() {
            break;
        }
        read.extend(waiting.iter().map(|row| Arc::clone(&row.file)));
        advise(&waiting, &mut advised, global);
        bad_rows += answering.answer(&mut waiting, &mut writer)?;
    }
    for name in args.input.iter().map(|path| input_name(path)) {
        if !read.contains(&*name) {
            global.warn(&format!("{name} has no rows: nothing in it is answered"));
        }
    }
    if bad_rows > 0 {
        let plural = if bad_rows == 1 { "row" } else { "rows" };
        bail!("{bad_rows} {plural} could not be read; each has an answer that says why");
    }
    Ok(())
}

/// Says once a file what to do about rows that cannot be read because the whole file is to be read in another
/// way.
fn advise(
    rows: &[StreamedText],
    advised: &mut HashMap<Arc<str>, HashSet<&'static str>>,
    global: &GlobalArgs,
) {
    for StreamedText { file, line, text, .. } in rows {
        let Err(problem) = text else { continue };
        let Some(advice) = problem.advice() else { continue };
        if advised.entry(Arc::clone(file)).or_default().insert(advice) {
            global.warn(&format!("{file}:{line}: found {problem}: {advice}"));
        }
    }
}

/// Refuses flags that an output of this format has no place for.
fn check_format(args: &PredictArgs, format: FormatArg) -> Result<(), Misuse> {
    let (is_csv, name) = (format.is_csv(), format.name());
    let chosen = args.top_k.is_some() || args.at_least_one || args.threshold.is_some();
    let problem = if args.explain && is_csv {
        "--explain has no place in CSV: --format must be table or jsonl"
    } else if args.keep_columns && format == FormatArg::Table {
        "--keep-columns has no place in a table: --format must be jsonl or csv"
    } else if args.guard_formulas && !is_csv {
        return Err(Misuse(format!("--guard-formulas is for CSV, but --format is {name}")));
    } else if args.scores && format == FormatArg::CsvIndicators {
        "--scores has no place in csv-indicators: --format csv-scores writes them"
    } else if chosen && format == FormatArg::CsvScores {
        "--top-k, --at-least-one and --threshold choose labels, and csv-scores writes the scores of all: \
         --format csv or csv-indicators writes what is chosen"
    } else {
        return Ok(());
    };
    Err(Misuse(problem.to_owned()))
}

/// Whether two names are of one file, which is there.
fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// What is to be answered.
struct Asked {
    texts: Texts,
    /// The columns that CSV passes on.
    columns: Option<Columns>,
    /// The names of JSONL's own fields.
    names: OwnNames,
}

/// The texts that the arguments name.
fn texts(args: &PredictArgs, format: FormatArg, global: &GlobalArgs) -> anyhow::Result<Asked> {
    if !args.texts.is_empty() {
        for text in args.texts.iter().filter(|text| Path::new(text).exists()) {
            global.warn(&format!(
                "{text:?} is taken for a text, and there is a file of that name: --input reads the texts \
                 of a file, --model names a model"
            ));
        }
        let rows = (1..).zip(args.texts.clone()).map(|(row, text)| {
            let file = "arguments".into();
            let text = if is_empty_text(&text) { Err(RowProblem::EmptyText) } else { Ok(text) };
            let others = Vec::new();
            Ok(StreamedText { file, row, line: row, text, others, text_column: None })
        });
        let names = OwnNames::default();
        return Ok(Asked { texts: Box::new(rows), columns: None, names });
    }
    // All are opened before anything is answered, so that none is missed half-way.
    let mut files = match &args.input[..] {
        [] => vec![open(Path::new(STDIN), args, global)?],
        paths => paths.iter().map(|path| open(path, args, global)).collect::<Result<_, _>>()?,
    };
    let mut columns = None;
    if args.keep_columns {
        for file in &mut files {
            match file.columns() {
                Ok(found) => columns = merged(columns, found),
                // In JSONL a damaged row is one like any other.
                Err(DataError::Row { .. }) if format == FormatArg::Jsonl => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let known =
        columns.iter().flat_map(|columns| columns.others.iter().chain([&columns.text.name]));
    // The text has its own name, that of the input.
    let written = [
        ("text", false),
        ("file", files.len() > 1),
        ("scores", args.scores),
        ("explanation", args.explain),
    ];
    let absent: Vec<&str> =
        written.iter().filter(|(_, is_written)| !is_written).map(|(name, _)| *name).collect();
    let names = OwnNames::beside(known.map(|name| &**name), &absent);
    let known = known_names(&columns);
    let (is_csv, own) = (format.is_csv(), names.clone());
    let rows = (1..).zip(files.into_iter().flatten()).map(move |(row, text)| {
        let text = StreamedText { row, ..text? };
        Ok(match is_csv {
            true => within(text, |field| known.contains(field), OF_CSV),
            false => within(text, |field| !own.collides(field), OF_JSONL),
        })
    });
    Ok(Asked { texts: Box::new(rows), columns, names })
}

/// The columns of several files: those of the first, then what others have beside them.
fn merged(first: Option<Columns>, second: Option<Columns>) -> Option<Columns> {
    let (Some(mut first), Some(second)) = (first.clone(), second.clone()) else {
        return first.or(second);
    };
    for name in second.others {
        if name != first.text.name && !first.others.contains(&name) {
            first.others.push(name);
        }
    }
    Some(first)
}

/// The columns beside the text.
fn known_names(columns: &Option<Columns>) -> HashSet<Arc<str>> {
    columns.iter().flat_map(|columns| &columns.others).cloned().collect()
}

const OF_CSV: &str =
    "fields of the first row, which are the columns of the CSV (--format jsonl writes any)";
const OF_JSONL: &str =
    "other names than those of tinymood's own fields, unless the first row has the field too";

/// A row of fields that may be passed on: one with others is no answer, since they would be lost.
fn within(mut text: StreamedText, may_pass: impl Fn(&str) -> bool, expected: &str) -> StreamedText {
    let Some(index) = text.others.iter().position(|field| !may_pass(&field.name)) else {
        return text;
    };
    let name = Arc::clone(&text.others[index].name);
    text.others.retain(|field| may_pass(&field.name));
    if text.text.is_ok() {
        text.text = Err(RowProblem::Json {
            found: format!("the field {name:?}, which the first row does not have"),
            expected: expected.to_owned(),
        });
    }
    text
}

/// What names standard input.
const STDIN: &str = "-";

/// What an input is called in messages and answers.
fn input_name(path: &Path) -> String {
    match path == Path::new(STDIN) {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

/// The texts of a file, or of standard input.
fn open(path: &Path, args: &PredictArgs, global: &GlobalArgs) -> anyhow::Result<TextStream> {
    let is_stdin = path == Path::new(STDIN);
    let told = args.input_format.map(TextFormat::from);
    let format = match told {
        Some(format) => format,
        None if is_stdin => TextFormat::Lines,
        None => TextFormat::of(path)?,
    };
    let name = input_name(path);
    let asked =
        [("--text-column", args.text_column.is_some()), ("--keep-columns", args.keep_columns)];
    if let Some((flag, _)) = asked.iter().find(|(_, is_given)| *is_given)
        && format == TextFormat::Lines
    {
        return Err(Misuse(format!(
            "{flag} is of columns, and {name} is read as lines, each a text: say what it is with \
             --input-format csv, tsv, jsonl or json"
        ))
        .into());
    }
    let options = StreamOptions {
        format: Some(format),
        text_column: args.text_column.clone().unwrap_or_else(|| "text".to_owned()),
        needs_header: args.text_column.is_some(),
        keeps_columns: args.keep_columns,
        encoding: args.encoding.map(Encoding::from),
    };
    if !is_stdin {
        return Ok(TextStream::open(path, &options)?);
    }
    if io::stdin().is_terminal() {
        let what = if format == TextFormat::Lines { "texts" } else { "rows" };
        global.say(&format!("reading {what} from the keyboard, one a line; end with Ctrl-D"));
    }
    Ok(TextStream::read_from(io::stdin(), &name, &options)?)
}

/// What is wrong with a text that the tokenizer fails on.
fn without_tokens(error: &impl std::fmt::Display) -> RowProblem {
    RowProblem::Tokens { problem: error.to_string() }
}

/// What answers texts.
struct Answering<'a> {
    model: &'a Model,
    selection: Selection,
    /// Whether all scores are told.
    scores: bool,
    /// Whether rows tell the file that they are of.
    tells_file: bool,
    /// When words are asked for.
    explainer: Option<Explainer<'a, Calibrated<CpuEngine>>>,
}

impl Answering<'_> {
    /// Answers what waits, in its order; returns how many rows could not be read.
    fn answer<W: Write>(
        &self,
        waiting: &mut Vec<StreamedText>,
        writer: &mut PredictionWriter<W>,
    ) -> anyhow::Result<usize> {
        let encoded = self.encode(waiting);
        let logits = self.model.logits(&encoded)?;
        let probabilities = self.selection.problem_type.probabilities(&logits);
        let probabilities = probabilities.chunks_exact(self.model.labels.len());
        let mut answers = encoded.iter().zip(logits.rows()).zip(probabilities);
        let mut bad_rows = 0;
        for StreamedText { file, row, text, others, text_column, .. } in waiting.drain(..) {
            let (text, outcome) = match text {
                Ok(text) => {
                    let ((encoded, logits), probabilities) =
                        answers.next().context("a text without an answer")?;
                    let choice = self.selection.choose(probabilities);
                    let mut scored = Scored::new(&choice, self.selection.labels(), self.scores);
                    scored.cut_at = encoded.is_truncated().then_some(encoded.ids.len());
                    let shares = self
                        .explainer
                        .as_ref()
                        .map(|explainer| self.explain(explainer, &text, encoded, logits, &choice));
                    match shares.transpose() {
                        Ok(shares) => {
                            scored.explanation = shares;
                            (text, Ok::<Scored, String>(scored))
                        }
                        Err(error) if error.is::<TokenizerError>() => {
                            bad_rows += 1;
                            (String::new(), Err(format!("found {}", without_tokens(&error))))
                        }
                        Err(error) => return Err(error),
                    }
                }
                Err(problem) => {
                    bad_rows += 1;
                    (String::new(), Err(format!("found {problem}")))
                }
            };
            let file = self.tells_file.then_some(file);
            writer.write(&Prediction { file, row, text, outcome, others, text_column })?;
        }
        writer.flush()?;
        Ok(bad_rows)
    }

    /// Encodes the texts that could be read. One that the tokenizer fails on becomes a row that could not.
    fn encode(&self, waiting: &mut [StreamedText]) -> Vec<TokenizedText> {
        let readable: Vec<&str> =
            waiting.iter().filter_map(|text| text.text.as_deref().ok()).collect();
        let outcomes = self.model.tokenizer.encode_each(&readable);
        let mut encoded = Vec::with_capacity(outcomes.len());
        let rows = waiting.iter_mut().filter(|row| row.text.is_ok());
        for (row, outcome) in rows.zip(outcomes) {
            match outcome {
                Ok(text) => encoded.push(text),
                Err(error) => row.text = Err(without_tokens(&error)),
            }
        }
        encoded
    }

    /// What carried each label that a text was given.
    fn explain(
        &self,
        explainer: &Explainer<'_, Calibrated<CpuEngine>>,
        text: &str,
        encoded: &TokenizedText,
        logits: &[f32],
        choice: &Choice,
    ) -> anyhow::Result<Vec<(String, Vec<Share>)>> {
        if choice.labels.is_empty() {
            return Ok(Vec::new());
        }
        let words = self.model.tokenizer.words(text)?;
        let tokens: Vec<Range<usize>> = words.iter().map(|word| word.tokens.clone()).collect();
        let explanation = explainer.explain(encoded, &tokens, logits)?;
        let characters: Vec<char> = text.chars().collect();
        let share = |(span, score): (&Range<usize>, f32)| {
            let (first, last) = (&words[span.start], &words[span.end - 1]);
            let place = first.characters.start..last.characters.end;
            Share { word: characters[place.clone()].iter().collect(), characters: place, score }
        };
        let labels = choice.labels.iter().map(|&label| {
            let decisive = self.selection.decisive(label, logits).context("a label without one")?;
            let scores = explanation.scores(decisive);
            let name = self.selection.labels().name(label).to_owned();
            Ok((name, explanation.spans.iter().zip(scores).map(share).collect()))
        });
        labels.collect()
    }
}
