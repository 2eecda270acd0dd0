//! `tinymood predict`: labels for texts, streaming, one row of answers for each row of questions.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, bail};
use tinymood_core::TokenizedText;
use tinymood_engine::CpuEngine;
use tinymood_eval::{Choice, Explainer, Selection};
use tinymood_text::{StreamOptions, StreamedText, TextFormat, TextStream};

use crate::args::{FormatArg, GlobalArgs, PredictArgs};
use crate::misuse::Misuse;
use crate::model::Model;
use crate::predictions::{Prediction, PredictionWriter, Scored, Share, default_format};
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
    let texts = texts(&args, global)?;
    let out: Box<dyn Write> = if to_stdout {
        Box::new(BufWriter::new(io::stdout()))
    } else {
        // Creating it empties what is there.
        if args.input.as_deref().is_some_and(|input| is_same_file(input, &args.output)) {
            let path = args.output.display();
            return Err(
                Misuse(format!("{path} is both --input and --output: write elsewhere")).into()
            );
        }
        let file = File::create(&args.output)
            .with_context(|| format!("cannot write {}", args.output.display()))?;
        Box::new(BufWriter::new(file))
    };
    let scores = args.scores.then(|| selection.labels());
    let mut writer = PredictionWriter::new(out, format, scores)?;
    let answering = Answering {
        explainer: args.explain.then(|| model.explainer()).transpose()?,
        model: &model,
        selection,
        scores: args.scores,
    };
    let mut bad_rows = 0;
    let mut coming = ReadAhead::new(texts)?;
    let mut waiting = Vec::new();
    loop {
        coming.next(&mut waiting)?;
        if waiting.is_empty() {
            break;
        }
        bad_rows += answering.answer(&mut waiting, &mut writer)?;
    }
    if bad_rows > 0 {
        let plural = if bad_rows == 1 { "row" } else { "rows" };
        bail!("{bad_rows} {plural} could not be read; each has an answer that says why");
    }
    Ok(())
}

/// Whether two names are of one file, which is there.
fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The texts that the arguments name.
fn texts(args: &PredictArgs, global: &GlobalArgs) -> anyhow::Result<Texts> {
    if !args.texts.is_empty() {
        for text in args.texts.iter().filter(|text| Path::new(text).exists()) {
            global.warn(&format!(
                "{text:?} is taken for a text, and there is a file of that name: --input reads the texts \
                 of a file, --model names a model"
            ));
        }
        let rows = (1..).zip(args.texts.clone());
        return Ok(Box::new(
            rows.map(|(row, text)| Ok(StreamedText { row, line: row, text: Ok(text) })),
        ));
    }
    Ok(Box::new(open(args.input.as_deref(), args, global)?))
}

/// The texts of a file, or of standard input.
fn open(
    path: Option<&Path>,
    args: &PredictArgs,
    global: &GlobalArgs,
) -> anyhow::Result<TextStream> {
    let path = path.filter(|path| *path != Path::new("-"));
    let told = args.input_format.map(TextFormat::from);
    let format = match (told, path) {
        (Some(format), _) => format,
        (None, Some(path)) => TextFormat::of(path)?,
        (None, None) => TextFormat::Lines,
    };
    let name = path.map_or("standard input".to_owned(), |path| path.display().to_string());
    if format == TextFormat::Lines && args.text_column.is_some() {
        return Err(Misuse(format!(
            "--text-column names a column, and {name} is read as lines, each a text: say what it is with \
             --input-format csv, tsv or jsonl"
        ))
        .into());
    }
    let options = StreamOptions {
        format: Some(format),
        text_column: args.text_column.clone().unwrap_or_else(|| "text".to_owned()),
        needs_header: args.text_column.is_some(),
    };
    if let Some(path) = path {
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
        for StreamedText { row, text, .. } in waiting.drain(..) {
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
            writer.write(&Prediction { row, text, outcome })?;
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
