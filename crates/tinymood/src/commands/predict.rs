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
use tinymood_eval::{Choice, Explainer, Selection};
use tinymood_text::{
    Encoding, Field, RowProblem, StreamOptions, StreamedText, TextFormat, TextStream, is_empty_text,
};

use crate::args::{FormatArg, GlobalArgs, PredictArgs};
use crate::misuse::Misuse;
use crate::model::Model;
use crate::predictions::{CsvColumns, Prediction, PredictionWriter, Scored, Share, default_format};
use crate::read_ahead::{ReadAhead, Texts};

pub(super) fn run(args: PredictArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let format = match (args.format, args.json) {
        (_, true) => FormatArg::Jsonl,
        (Some(format), _) => format,
        (None, _) => default_format(&args.output),
    };
    if args.explain && format == FormatArg::Csv {
        let problem = "--explain has no place in CSV: --format must be table or jsonl";
        return Err(Misuse(problem.to_owned()).into());
    }
    if args.keep_columns && format == FormatArg::Table {
        let problem = "--keep-columns has no place in a table: --format must be jsonl or csv";
        return Err(Misuse(problem.to_owned()).into());
    }
    if args.input.iter().filter(|input| *input == Path::new(STDIN)).count() > 1 {
        return Err(Misuse("standard input (--input -) can be read only once".to_owned()).into());
    }
    let model = Model::open(args.model.model.as_deref(), global)?;
    let taxonomy = tinymood_core::Taxonomy::from(args.taxonomy).map(&model.labels)?;
    let thresholds = match args.threshold {
        Some(value) => vec![value; model.labels.len()],
        None => model.thresholds.values.clone(),
    };
    let selection =
        Selection { thresholds, taxonomy, top_k: args.top_k, at_least_one: args.at_least_one };
    let to_stdout = args.output == Path::new("-");
    if format == FormatArg::Table {
        let policy = match args.threshold {
            Some(value) => format!("fixed {value}"),
            None => model.thresholds.describe(),
        };
        global.say(&format!("thresholds: {policy}"));
    }
    let Asked { texts, others } = texts(&args, format, global)?;
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
    let scores = args.scores.then(|| selection.labels());
    let columns = CsvColumns { has_file: tells_file, scores, others: &others };
    let mut writer = PredictionWriter::new(out, format, columns)?;
    let answering = Answering {
        explainer: args.explain.then(|| model.explainer()).transpose()?,
        model: &model,
        selection,
        scores: args.scores,
        tells_file,
    };
    let mut bad_rows = 0;
    let mut advised = HashMap::new();
    let mut coming = ReadAhead::new(texts)?;
    let mut waiting = Vec::new();
    loop {
        coming.next(&mut waiting)?;
        if waiting.is_empty() {
            break;
        }
        advise(&waiting, &mut advised, global);
        bad_rows += answering.answer(&mut waiting, &mut writer)?;
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

/// Whether two names are of one file, which is there.
fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// What is to be answered.
struct Asked {
    texts: Texts,
    /// The columns that CSV passes on.
    others: Vec<Arc<str>>,
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
            Ok(StreamedText { file, row, line: row, text, others: Vec::new() })
        });
        return Ok(Asked { texts: Box::new(rows), others: Vec::new() });
    }
    // All are opened before anything is answered, so that none is missed half-way.
    let mut files = match &args.input[..] {
        [] => vec![open(Path::new(STDIN), args, global)?],
        paths => paths.iter().map(|path| open(path, args, global)).collect::<Result<_, _>>()?,
    };
    let mut others = Vec::new();
    if format == FormatArg::Csv && args.keep_columns {
        for file in &mut files {
            others.extend(file.columns()?);
        }
        let mut seen = HashSet::new();
        others.retain(|name| seen.insert(Arc::clone(name)));
    }
    let columns: Option<HashSet<_>> =
        (format == FormatArg::Csv).then(|| others.iter().cloned().collect());
    let rows = (1..).zip(files.into_iter().flatten()).map(move |(row, text)| {
        let text = StreamedText { row, ..text? };
        Ok(match &columns {
            Some(columns) => within(text, columns),
            None => text,
        })
    });
    Ok(Asked { texts: Box::new(rows), others })
}

/// A row of CSV, which has these columns: one with others is no answer, since they would be lost.
fn within(mut text: StreamedText, columns: &HashSet<Arc<str>>) -> StreamedText {
    if let Some(Field { name, .. }) =
        text.others.iter().find(|field| !columns.contains(&field.name))
        && text.text.is_ok()
    {
        text.text = Err(RowProblem::Json {
            found: format!("the field {name:?}, which the first row has not"),
            expected:
                "those of the first row, which are CSV's columns (--format jsonl passes on any)"
                    .to_owned(),
        });
    }
    text
}

/// What names standard input.
const STDIN: &str = "-";

/// The texts of a file, or of standard input.
fn open(path: &Path, args: &PredictArgs, global: &GlobalArgs) -> anyhow::Result<TextStream> {
    let is_stdin = path == Path::new(STDIN);
    let told = args.input_format.map(TextFormat::from);
    let format = match told {
        Some(format) => format,
        None if is_stdin => TextFormat::Lines,
        None => TextFormat::of(path)?,
    };
    let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
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

/// What answers texts.
struct Answering<'a> {
    model: &'a Model,
    selection: Selection,
    /// Whether all scores are told.
    scores: bool,
    /// Whether rows tell the file that they are of.
    tells_file: bool,
    /// When words are asked for.
    explainer: Option<Explainer<'a, CpuEngine>>,
}

impl Answering<'_> {
    /// Answers what waits, in its order; returns how many rows could not be read.
    fn answer<W: Write>(
        &self,
        waiting: &mut Vec<StreamedText>,
        writer: &mut PredictionWriter<W>,
    ) -> anyhow::Result<usize> {
        let readable: Vec<&str> =
            waiting.iter().filter_map(|text| text.text.as_deref().ok()).collect();
        let encoded = self.model.tokenizer.encode_all(&readable)?;
        let logits = self.model.logits(&encoded)?;
        let probabilities = logits.probabilities();
        let probabilities = probabilities.chunks_exact(self.model.labels.len());
        let mut answers = encoded.iter().zip(logits.rows()).zip(probabilities);
        let mut bad_rows = 0;
        for StreamedText { file, row, text, others, .. } in waiting.drain(..) {
            let (text, outcome) = match text {
                Ok(text) => {
                    let ((encoded, logits), probabilities) =
                        answers.next().context("a text without an answer")?;
                    let choice = self.selection.choose(probabilities);
                    let mut scored = Scored::new(&choice, self.selection.labels(), self.scores);
                    if let Some(explainer) = &self.explainer {
                        let shares = self.explain(explainer, &text, encoded, logits, &choice)?;
                        scored.explanation = Some(shares);
                    }
                    (text, Ok::<Scored, String>(scored))
                }
                Err(problem) => {
                    bad_rows += 1;
                    (String::new(), Err(format!("found {problem}")))
                }
            };
            let file = self.tells_file.then_some(file);
            writer.write(&Prediction { file, row, text, outcome, others })?;
        }
        writer.flush()?;
        Ok(bad_rows)
    }

    /// What carried each label that a text was given.
    fn explain(
        &self,
        explainer: &Explainer<'_, CpuEngine>,
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
