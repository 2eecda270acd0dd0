//! `tinymood report`: what a run did, or several side by side, as a page.
//!
//! What the page needs is kept in the run's folder by training. Of a run that kept nothing, since it
//! is older, was stopped or has a new model, the predictions are computed anew, if the model and
//! the data are still there; else the page says what is missing.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tinymood_core::LabelSet;
use tinymood_eval::{CrossValidated, Tuning};
use tinymood_report::{
    Comparison, DataSummary, KeptPredictions, ReportOptions, RunRecord, RunReport, SplitSummary,
    Written, card_details, order_labels_alike, predictions_file, training_summary,
    write_comparison, write_data, write_run,
};
use tinymood_text::{Dataset, EncodedSplit, Wanted};
use tinymood_train::{
    Figures, Metric, ModelCardFacts, RunFolder, TrainSettings, is_generated_card, model_card,
};
use tinymood_weights::{digest, durable, regular};

use super::evaluate::{Judged, in_labels};
use super::print;
use super::train::{Source, card_facts};
use crate::args::{GlobalArgs, PrecisionArg, ReportArgs};
use crate::misuse::Misuse;
use crate::model::{LATEST, Model, ModelError, modified, newest_run, read_text};

/// The page of several runs.
const COMPARISON: &str = "comparison.html";

pub(super) fn run(args: ReportArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let options = ReportOptions { resamples: args.bootstrap, examples: args.examples };
    if let Some(output) = &args.output {
        let extension = output.extension().unwrap_or_default();
        if extension != "html" && extension != "htm" {
            let path = output.display();
            let problem = format!("the page is to be {path}, expected a name that ends in .html");
            return Err(Misuse(problem).into());
        }
    }
    let mut records = args
        .runs
        .iter()
        .map(|path| RunRecord::read(&run_path(path)?).map_err(Into::into))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let page = args.output.unwrap_or_else(|| match &records[..] {
        [record] => page_of(&record.path),
        _ => PathBuf::from(COMPARISON),
    });
    // Before the work, and before it leaves files in a run's folder.
    match records.len() {
        1 => Written::of_run(&page)?,
        _ => Written::of_comparison(&page)?,
    };
    for record in &mut records {
        complete(record, global);
    }
    order_labels_alike(&mut records);
    let written = match &records[..] {
        [record] => write_one(record, &RunReport::new(record, &options)?, &page, global)?,
        several => write_comparison(&Comparison::new(several, &options)?, &page)?,
    };
    let beside: Vec<String> = written.beside().map(|path| path.display().to_string()).collect();
    global.say(&format!("beside the page: {}", beside.join(", ")));
    if args.json {
        let json = fs::read_to_string(&written.json);
        return print(&json.with_context(|| format!("cannot read {:?}", written.json))?);
    }
    print(&format!("{}\n", written.html.display()))
}

/// The folder of a run; `latest` is the newest.
fn run_path(path: &Path) -> anyhow::Result<PathBuf> {
    if path == Path::new(LATEST) && !path.exists() {
        // A run that was stopped early has no model, and its log may be empty.
        let written = |run: &Path| {
            let begun = modified(&run.join("settings.toml"))?;
            Some(modified(&run.join("log.jsonl")).unwrap_or(begun))
        };
        return Ok(newest_run(Path::new("runs"), written).ok_or(ModelError::NoRuns)?);
    }
    Ok(path.to_owned())
}

fn page_of(run: &Path) -> PathBuf {
    run.join("report.html")
}

/// Writes a run's page and model card.
fn write_one(
    record: &RunRecord,
    report: &RunReport,
    page: &Path,
    global: &GlobalArgs,
) -> anyhow::Result<Written> {
    let written = write_run(report, page)?;
    if let Err(error) = write_card(record, report) {
        global.warn(&format!("the model card stays as it is: {error:#}"));
    }
    Ok(written)
}

/// Writes the model card anew, unless a person has taken it for their own.
fn write_card(record: &RunRecord, report: &RunReport) -> anyhow::Result<()> {
    let card = record.path.join("best").join("README.md");
    let is_ours = match read_text(&card)? {
        Some(text) => is_generated_card(&text),
        // Without a model there is nothing to describe.
        None => card.parent().is_some_and(Path::is_dir),
    };
    if !is_ours || report.is_distillation {
        return Ok(());
    }
    let names: Vec<&String> = match (&report.evaluation, &report.data) {
        (Some(evaluation), _) => evaluation.labels.iter().map(|(name, _)| name).collect(),
        (None, Some(data)) => data.labels.iter().collect(),
        (None, None) => return Ok(()),
    };
    let labels = LabelSet::new(names)?;
    let source = Source::of_run(&record.path, record.settings.source.clone())?;
    // Strictly: a card tells the whole recipe.
    let settings = TrainSettings::new(RunFolder::settings(&record.path)?.recipe)?;
    let facts =
        ModelCardFacts { training: training_summary(report), ..card_facts(&record.path, &source) };
    let text = match &report.evaluation {
        Some(evaluation) => {
            let metrics = Metric::ALL.map(|metric| (metric.name(), metric.of(evaluation)));
            let unflattered = report.detail.as_ref().and_then(|detail| detail.cross_validated);
            let unflattered = unflattered.map(|CrossValidated { micro_f1, macro_f1 }| {
                [(Metric::MacroF1.name(), macro_f1), (Metric::MicroF1.name(), micro_f1)]
            });
            let figures = Figures {
                split: &evaluation.split,
                metrics: &metrics,
                cross_validated: unflattered.as_ref().map_or(&[], |found| found),
                details: &card_details(report),
            };
            model_card(&facts, &settings, &labels, &evaluation.thresholds, Some(figures))
        }
        None => {
            let file = record.path.join("best").join("thresholds.json");
            let Some(thresholds) = read_text(&file)? else { return Ok(()) };
            let thresholds = Tuning::from_json(&thresholds, &labels)?.thresholds;
            model_card(&facts, &settings, &labels, &(&thresholds).into(), None)
        }
    };
    durable::write_file(&card, text.as_bytes()).with_context(|| format!("cannot write {card:?}"))
}

/// Computes what the run did not keep, as far as model and data are there, and keeps it.
fn complete(record: &mut RunRecord, global: &GlobalArgs) {
    if record.is_distillation() || (record.kept.is_some() && record.data.is_some()) {
        return;
    }
    let config = record.path.join("best").join("config.json");
    if matches!(regular::is_there(&config), Ok(false)) {
        return; // nothing to ask
    }
    if record.log.has_no_validation() && record.data.is_some() {
        return; // and nothing to ask it
    }
    match Anew::new(record, global) {
        Ok(anew) => anew.keep(record, global),
        Err(error) => {
            let missing = if record.kept.is_some() { "The data" } else { "Predictions" };
            record.notes.push(format!("{missing} could not be looked at anew: {error:#}."));
        }
    }
}

/// What is computed of a run that did not keep it.
struct Anew {
    kept: KeptPredictions,
    data: DataSummary,
}

impl Anew {
    fn new(record: &RunRecord, global: &GlobalArgs) -> anyhow::Result<Self> {
        let source = Source::of_run(&record.path, record.settings.source.clone())?;
        let precision = match global.precision {
            PrecisionArg::Auto => source.precision,
            asked => asked,
        };
        let splits = source.data.open(global, Wanted::FOR_TRAINING)?;
        let global = GlobalArgs { precision, ..global.clone() };
        let path = record.path.join("best");
        let model = Model::open_folder(&path, &global)?;
        let max_length = model.tokenizer.max_length();
        let dev = splits.dev.context("the data has no dev split")?;
        let mut described = Vec::new();
        let shared = splits.train.as_ref().map_or(0, |train| shared_texts(train, &dev));
        if let Some(train) = splits.train {
            let encoded = EncodedSplit::new(&in_labels(train, &model.labels)?, &model.tokenizer)?;
            described.push(summary("train", &encoded, max_length));
        }
        let judged = Judged::of_dataset(&model, dev, &source.data.name(), "dev")?;
        let dev = summary("dev", judged.encoded(), max_length);
        described.push(SplitSummary { also_in_train: shared, ..dev });
        let weights = path.join("model.safetensors");
        let sha256 =
            digest::of_file(&weights).with_context(|| format!("cannot read {weights:?}"))?;
        Ok(Self {
            kept: judged.kept(&model, sha256),
            data: DataSummary {
                max_length,
                labels: model.labels.names().to_vec(),
                splits: described,
            },
        })
    }

    fn keep(self, record: &mut RunRecord, global: &GlobalArgs) {
        if let Some(told) = &record.evaluation
            && (told.rows != self.kept.rows.len() || told.split != self.kept.split)
        {
            record.notes.push(format!(
                "The data has changed since training: {} rows, where {} were judged.",
                self.kept.rows.len(),
                told.rows
            ));
        }
        if let Err(error) = self.kept.write(&predictions_file(&record.path)) {
            global.warn(&format!("the predictions are not kept: {error}"));
        }
        if record.kept.is_none() {
            record.set_kept(self.kept);
        }
        if record.data.is_none() {
            if let Err(error) = write_data(&self.data, &record.path) {
                global.warn(&format!("the data's description is not kept: {error}"));
            }
            record.data = Some(self.data);
        }
    }
}

/// Writes the page of a run that has just ended. What goes wrong is told and no more: the model is
/// there.
pub(super) fn of_finished(run: &RunFolder, global: &GlobalArgs) {
    let write = || -> anyhow::Result<Written> {
        let record = RunRecord::read(run.path())?;
        let report = RunReport::new(&record, &ReportOptions::default())?;
        write_one(&record, &report, &page_of(run.path()), global)
    };
    match write() {
        Ok(written) => global.say(&format!("report: {}", written.html.display())),
        Err(error) => global.warn(&format!("there is no report: {error:#}")),
    }
}

/// Keeps what a run's model says of its validation split.
pub(super) fn keep(run: &Path, model: &Model, judged: &Judged, global: &GlobalArgs) {
    let weights = run.join("best").join("model.safetensors");
    let kept = digest::of_file(&weights)
        .and_then(|sha256| judged.kept(model, sha256).write(&predictions_file(run)));
    if let Err(error) = kept {
        global.warn(&format!("the predictions are not kept: {error}"));
    }
}

/// What a split is like.
pub(super) fn summary(name: &str, split: &EncodedSplit, max_length: usize) -> SplitSummary {
    let lengths = split.texts.iter().map(|text| text.full_length);
    SplitSummary::new(name, &split.targets, split.num_labels, lengths, max_length)
}

/// How many texts of `other` stand in the training split too.
pub(super) fn shared_texts(train: &Dataset, other: &Dataset) -> usize {
    let seen: HashSet<&str> = train.examples.iter().map(|example| example.text.as_str()).collect();
    other.examples.iter().filter(|example| seen.contains(example.text.as_str())).count()
}

/// Keeps what the splits of a run are like.
pub(super) fn describe(run: &Path, data: &DataSummary, global: &GlobalArgs) {
    if let Err(error) = write_data(data, run) {
        global.warn(&format!("the data's description is not kept: {error}"));
    }
}
