//! `tinymood train`: from data and a checkpoint to a run with a model, its thresholds and figures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tinymood_core::{Engine, Infer, LabelSet, Taxonomy, TensorSet};
use tinymood_eval::counts::Decisions;
use tinymood_eval::{
    CrossValidated, Evaluation, Predictions, ThresholdObjective, ThresholdPolicy, Thresholds,
    cross_validated,
};
use tinymood_report::DataSummary;
use tinymood_text::{Dataset, EncodedSplit, Wanted};
use tinymood_train::{
    ModelCardFacts, Observers, Outcome, Progress, Recipe, RecipeOverrides, RunFolder,
    SavedSettings, SplitView, TrainInputs, TrainSettings, train,
};

use super::evaluate::Judged;
use super::print;
use super::probe::begin_classifier;
use super::report;
use super::teaching::{Class, Means, Teaching};
use crate::args::{GlobalArgs, PrecisionArg, TrainArgs};
use crate::bundled;
use crate::data::DataSettings;
use crate::init::{absolute_model, labels_of_start, split_commit, start};
use crate::model::{Model, ModelError, engine};
use crate::output::check_folder;
use crate::stop::Stop;

const WORD_EMBEDDINGS: &str = "bert.embeddings.word_embeddings.weight";

/// Where data and weights of a run come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Source {
    init: String,
    /// `auto` until an engine has been made, then what it computes in.
    #[serde(default)]
    pub(super) precision: PrecisionArg,
    #[serde(flatten)]
    pub(super) data: DataSettings,
    #[serde(flatten)]
    teaching: Teaching,
}

impl Source {
    /// What the settings of a run say.
    pub(super) fn of_run(path: &Path, saved: toml::Table) -> anyhow::Result<Self> {
        if saved.contains_key("student") {
            let path = path.display();
            bail!("{path} is a distillation: it goes on with `tinymood distill --resume {path}`");
        }
        saved.try_into().with_context(|| {
            format!("the settings of {} do not say where its data is", path.display())
        })
    }
}

/// What is to be done, and where.
struct Plan {
    settings: TrainSettings,
    source: Source,
    place: Place,
}

impl Plan {
    fn new(args: TrainArgs, global: &GlobalArgs) -> anyhow::Result<Self> {
        let overrides = RecipeOverrides::from(args.overrides);
        let weighs_teachers = overrides.teacher_weight.is_some();
        let (recipe, source, place) = match args.resume {
            Some(path) => {
                let saved = RunFolder::settings(&path)?;
                let mut source = Source::of_run(&path, saved.source)?;
                if global.precision != PrecisionArg::Auto {
                    source.precision = global.precision;
                }
                (saved.recipe, source, Place::Existing(path))
            }
            None => {
                let data = DataSettings::new(&args.dataset, Taxonomy::from(args.taxonomy))?;
                args.output.as_deref().map(check_folder).transpose()?;
                let place = Place::of(args.output, || default_name(&data.name(), &args.recipe));
                let init = absolute_model(&args.init);
                let teaching = Teaching::new(&args.teaching)?;
                let source = Source { init, precision: global.precision, data, teaching };
                (Recipe::load(&args.recipe)?, source, place)
            }
        };
        if source.precision == PrecisionArg::Int8 {
            return Err(ModelError::TrainInt8.into());
        }
        source.teaching.check(weighs_teachers)?;
        let settings = TrainSettings::new(recipe.clone().with(&overrides))?;
        place.check(&settings, &recipe)?;
        Ok(Self { settings, source, place })
    }
}

pub(super) fn run(args: TrainArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let json = args.json;
    let Plan { settings, mut source, place } = Plan::new(args, global)?;
    if place.is_new()
        && !source.data.has_labels()
        && let Some(list) = labels_of_start(&source.init, global)?
    {
        source.data = source.data.with_labels(list);
    }
    let splits = source.data.open(global, Wanted::FOR_TRAINING)?;
    let train_split = splits.train.context("the data has no train split")?;
    let labels = train_split.labels.clone();
    if source.teaching.has_no_teachers() {
        train_split.check_labels()?;
    }
    source.data.tell_labels(&train_split, global);
    if place.is_new() {
        source.data = source.data.with_reading(&train_split.reading);
    }
    settings.check_labels(&labels)?;
    let mut class = source.teaching.open(&source.data, &labels, &settings, global)?;
    let mut first = start(&source.init, &labels, &settings, global)?;
    if place.is_new() {
        // A resumed run is known by the name that it began with.
        source.init.clone_from(&first.init);
    }
    let tokenizer = first.tokenizer.clone();
    if let Some(class) = &mut class {
        let embeddings = first.tensors.get(WORD_EMBEDDINGS);
        let embeddings = embeddings.filter(|_| !first.is_new(WORD_EMBEDDINGS));
        class.alter(&train_split, embeddings, &tokenizer, &settings)?;
    }
    let data = &source.data.data;
    global.say(&describe_data(data, &train_split, class.as_ref(), splits.dev.as_ref()));
    global.say(&format!("init: {}: {}", source.init, first.describe()));
    let mut encoded = EncodedSplit::new(&train_split, &tokenizer)?;
    let validation =
        splits.dev.as_ref().map(|dev| EncodedSplit::new(dev, &tokenizer)).transpose()?;
    let mut described = summary(&labels, &encoded, validation.as_ref(), settings.max_length());
    if let (Some(dev), [_, of_dev]) = (&splits.dev, &mut described.splits[..]) {
        of_dev.also_in_train = report::shared_texts(&train_split, dev);
    }
    described.warnings().iter().for_each(|warning| global.warn(warning));
    let mut engine = engine(first.config.clone(), labels.len(), source.precision, global)?;
    source.precision = PrecisionArg::of(engine.cpu().precision());
    let stop = Stop::on_signals()?;
    let average = settings.ema_decay().is_some();
    RunFolder::check_space(
        &place.path(),
        first.parameters(),
        settings.keep_checkpoints(),
        average,
    )?;
    // After all the checks above: a run's folder is made for what can run.
    let (run, resume) = place.open(&settings, &source)?;
    global.say(&format!("engine: {}; run: {}", engine.describe(), run.path().display()));

    let mut identity = BTreeMap::from([
        ("init".to_owned(), source.init.clone()),
        ("precision".to_owned(), engine.cpu().precision().to_string()),
    ]);
    let begun = Instant::now();
    if let Some(class) = class {
        let (precision, run) = (source.precision, &run);
        let by = Means { settings: &settings, precision, run, global, stop: stop.asked() };
        if !class.teach(&train_split, &mut encoded, &tokenizer, &by)? {
            return Err(stopped("before all texts were labelled", run, &stop, global));
        }
        class.tell_identity(&settings, &mut identity);
    }
    // Of the targets that are learned: teachers may have changed them.
    let goes_on = resume && run.has_checkpoint(&mut |warning| global.warn(&warning))?;
    if !goes_on
        && !begin_classifier(
            &mut first,
            &encoded,
            &settings,
            source.precision,
            global,
            stop.asked(),
        )?
    {
        return Err(stopped("before the first step", &run, &stop, global));
    }
    engine.load_tensors(TensorSet::Parameters, &first.tensors)?;
    drop(first);
    report::describe(run.path(), &described, global);
    let facts = card_facts(run.path(), &source);
    let inputs = TrainInputs {
        settings: &settings,
        labels: &labels,
        train: view("train", &encoded),
        validation: validation.as_ref().map(|split| view("dev", split)),
        run: &run,
        resume,
        identity: &identity,
        tokenizer_files: &tokenizer.files()?,
        facts: &facts,
        prepared_seconds: (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        stop: stop.asked(),
    };
    let mut observers = Observers::new().with(Progress::new(global.progress()));
    let outcome = train(&mut engine, &inputs, &mut observers)?;
    drop(engine);
    match outcome {
        Outcome::Stopped { step, total_steps } => {
            let when = format!("after step {step} of {total_steps}");
            return Err(stopped(&when, &run, &stop, global));
        }
        Outcome::Finished(finish) => {
            run.check_held()?;
            let model = finish.model.display();
            global.say(&format!(
                "model: {model}\nuse it: tinymood predict --model {model} \"what a day!\""
            ));
            let figures = match splits.dev {
                Some(dev) => figures(&run, dev, &source.data.name(), json, global)?,
                None => String::new(),
            };
            report::of_finished(&run, global);
            // Last: whoever stops reading still has all of the run.
            print(&figures)?;
        }
    }
    Ok(())
}

/// Says when a run was stopped and how it goes on; returns what the command ends with.
fn stopped(when: &str, run: &RunFolder, stop: &Stop, global: &GlobalArgs) -> anyhow::Error {
    let run = run.path().display();
    global.say(&format!("stopped {when}; go on with: tinymood train --resume {run}"));
    stop.stopped()
}

/// Where a run is to be.
pub(super) enum Place {
    /// In a new folder of this name.
    New(PathBuf),
    /// In a new folder of this name, with a number behind it if it is taken.
    Numbered(PathBuf),
    /// In the folder that it has.
    Existing(PathBuf),
}

impl Place {
    /// The folder asked for, or one in `runs/` that is called `name`.
    pub(super) fn of(output: Option<PathBuf>, name: impl FnOnce() -> String) -> Self {
        output.map_or_else(|| Self::Numbered(Path::new("runs").join(name())), Self::New)
    }

    /// The folder, as far as it is known before it is made: another run may take the number.
    fn path(&self) -> PathBuf {
        match self {
            Self::New(path) | Self::Existing(path) => path.clone(),
            Self::Numbered(path) => RunFolder::free_name(path),
        }
    }

    pub(super) fn is_new(&self) -> bool {
        !matches!(self, Self::Existing(_))
    }

    /// Refuses a folder that a new run may not have, and settings with which an old one cannot go on:
    /// `saved` is the recipe that it began with.
    pub(super) fn check(&self, settings: &TrainSettings, saved: &Recipe) -> anyhow::Result<()> {
        match self {
            Self::New(path) => RunFolder::check_free(path)?,
            Self::Numbered(_) => {}
            Self::Existing(_) => settings.check_resumed(saved)?,
        }
        Ok(())
    }

    /// Makes or opens the folder; says whether training goes on from what is there.
    pub(super) fn open(
        self,
        settings: &TrainSettings,
        source: &impl Serialize,
    ) -> anyhow::Result<(RunFolder, bool)> {
        let saved = || -> anyhow::Result<SavedSettings> {
            Ok(SavedSettings {
                tinymood: env!("CARGO_PKG_VERSION").to_owned(),
                source: toml::Table::try_from(source).context("settings are plain values")?,
                recipe: settings.recipe().clone(),
            })
        };
        match self {
            Self::Existing(path) => Ok((RunFolder::open(&path)?.0, true)),
            Self::New(path) => Ok((RunFolder::create(&path, &saved()?)?, false)),
            Self::Numbered(path) => Ok((RunFolder::create_numbered(&path, &saved()?)?, false)),
        }
    }
}

/// `DATA-RECIPE`.
fn default_name(data: &str, recipe: &str) -> String {
    let recipe = Path::new(recipe).file_stem().unwrap_or_default().to_string_lossy();
    format!("{data}-{recipe}")
}

fn describe_data(
    data: &str,
    train: &Dataset,
    class: Option<&Class>,
    dev: Option<&Dataset>,
) -> String {
    let dev = dev.map_or_else(
        || {
            "no dev split, so no figures and no tuned thresholds (--dev-share 0.1 holds out a tenth of \
             the rows): the last weights become the model"
                .to_owned()
        },
        |dev| format!("{} dev rows", dev.examples.len()),
    );
    let (rows, labels) = (train.examples.len(), train.labels.len());
    let more = class.map(Class::describe).unwrap_or_default();
    format!("data: {data}: {rows} train rows{more}, {dev}, {labels} labels")
}

fn summary(
    labels: &LabelSet,
    train: &EncodedSplit,
    dev: Option<&EncodedSplit>,
    max_length: usize,
) -> DataSummary {
    let splits = [("train", Some(train)), ("dev", dev)].into_iter();
    let splits = splits.filter_map(|(name, split)| Some(report::summary(name, split?, max_length)));
    DataSummary { max_length, labels: labels.names().to_vec(), splits: splits.collect() }
}

fn view<'a>(name: &'a str, split: &'a EncodedSplit) -> SplitView<'a> {
    SplitView { name, texts: &split.texts, targets: &split.targets, lines: &split.lines }
}

/// What the model card of a run says of its origin.
pub(super) fn card_facts(run: &Path, source: &Source) -> ModelCardFacts {
    let name = tinymood_report::name_of(run);
    let is_goemotions = source.data.data == "goemotions";
    let is_folder = Path::new(&source.init).is_absolute();
    let base_is_on_hub =
        !is_folder && source.init != bundled::NAME && !source.init.starts_with("random:");
    let (id, commit) = split_commit(&source.init);
    let base_model = match Path::new(&source.init).file_name() {
        // A path of this machine says nothing to others.
        Some(name) if is_folder => name.to_string_lossy().into_owned(),
        _ => id.to_owned(),
    };
    ModelCardFacts {
        name,
        base_is_on_hub,
        base_model,
        base_revision: commit.map(str::to_owned),
        dataset: if is_goemotions { "GoEmotions".to_owned() } else { source.data.name() },
        dataset_id: if is_goemotions { "go_emotions".to_owned() } else { source.data.name() },
        dataset_is_on_hub: is_goemotions,
        training: None,
    }
}

/// Judges the finished model as anyone would who opens its folder.
fn figures(
    run: &RunFolder,
    dev: Dataset,
    data: &str,
    json: bool,
    global: &GlobalArgs,
) -> anyhow::Result<String> {
    let model = Model::open(Some(&run.best().to_string_lossy()), global)?;
    let judged = Judged::of_dataset(&model, dev, data, "dev")?;
    report::keep(run.path(), &model, &judged, global);
    let predictions = judged.predictions()?;
    let evaluation = Evaluation::new(&predictions, &model.thresholds, &model.labels, "dev", 1000);
    if json {
        return Ok(format!("{:#}\n", judged.document(&evaluation)));
    }
    let mut text = format!("{}\n\n", evaluation.table());
    text += "thresholds tuned on dev              micro_f1  macro_f1   on the other half\n";
    for (name, policy, objective) in [
        ("one for all, for micro_f1", ThresholdPolicy::Global, ThresholdObjective::MicroF1),
        ("one for all, for macro_f1", ThresholdPolicy::Global, ThresholdObjective::MacroF1),
        ("one per label", ThresholdPolicy::PerLabel, ThresholdObjective::MicroF1),
    ] {
        let thresholds = Thresholds::tune(policy, objective, &predictions, "dev");
        let other_half = match cross_validated(policy, objective, &predictions) {
            Some(CrossValidated { micro_f1, macro_f1 }) => format!("{micro_f1:.3} / {macro_f1:.3}"),
            None => "-".to_owned(),
        };
        text += &figures_line(name, &thresholds, &predictions, &other_half);
    }
    let exact = Thresholds::fitted(&predictions, "dev");
    text += &figures_line(
        "one per label, fitted exactly",
        &exact,
        &predictions,
        "(not used: flatters)",
    );
    text += "(the other half: tuned on one half of dev and judged on the other, the mean of ten shuffles;\n\
             weights were chosen on all of dev)\n";
    Ok(text)
}

fn figures_line(
    name: &str,
    thresholds: &Thresholds,
    predictions: &Predictions<'_>,
    other_half: &str,
) -> String {
    let decisions = Decisions::new(predictions, &thresholds.values);
    let (micro, macro_f1) = (decisions.micro().f1, decisions.macro_average().f1);
    format!("  {name:<34} {micro:>8.3}  {macro_f1:>8.3}   {other_half}\n")
}
