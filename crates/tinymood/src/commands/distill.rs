//! `tinymood distill`: from a teacher and plain text to a smaller encoder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use tinymood_core::{
    Engine, Infer, Matching, ModelConfig, PackedBatch, Pooling, Projections, Relations, TensorMap,
    TensorSet, TokenizedText, shortest_decimal,
};
use tinymood_engine::CpuEngine;
use tinymood_report::{DataSummary, SplitSummary};
use tinymood_text::{Encoding, StreamOptions, Tokenizer, Unlabelled};
use tinymood_train::distill::{
    DistillInputs, SecondMoment, default_layers, distill, hidden_states, student_from_teacher,
};
use tinymood_train::{
    Observers, Outcome, Progress, Recipe, RecipeOverrides, RunFolder, TrainSettings,
};
use tinymood_weights::{fit, initialise, load_model_folder};

use super::report;
use super::train::Place;
use crate::args::{DistillArgs, GlobalArgs, PrecisionArg};
use crate::bundled;
use crate::init::{absolute_model, of_model, split_commit};
use crate::misuse::Misuse;
use crate::model::{ModelError, engine, find_model};
use crate::output::check_folder;
use crate::stop::Stop;

/// The recipe of a student unless told otherwise, and what a recipe file leaves out.
const DEFAULT_RECIPE: &str = "distill";

/// Texts whose hidden states say which directions the student keeps.
const BASIS_TEXTS: usize = 512;
/// How many of them are looked at at a time.
const BASIS_BATCH: usize = 16;

/// Where teacher and texts of a run come from, and what of the teacher is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Source {
    teacher: String,
    texts: Vec<PathBuf>,
    #[serde(default = "text")]
    text_column: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
    #[serde(default)]
    skip_bad_rows: bool,
    student: String,
    /// From 1, as a person counts; empty until the teacher is known.
    layers: Vec<usize>,
    #[serde(serialize_with = "as_decimal")]
    state_weight: f32,
    #[serde(serialize_with = "as_decimal")]
    last_weight: f32,
    #[serde(serialize_with = "as_decimal")]
    mean_weight: f32,
    #[serde(serialize_with = "as_decimal")]
    pooler_weight: f32,
    /// 0 for no relations, as in runs older than they are.
    #[serde(default, serialize_with = "as_decimal")]
    relation_weight: f32,
    #[serde(default)]
    relation_heads: usize,
    /// From 1; `None` until the teacher is known, and where no relations are learned.
    relation_layer: Option<usize>,
    #[serde(default)]
    precision: PrecisionArg,
}

/// TOML has no f32: 0.3 would be written as 0.30000001192092896.
fn as_decimal<S: serde::Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(shortest_decimal(*value))
}

/// The column of texts in runs that name none.
fn text() -> String {
    "text".to_owned()
}

/// A teacher that infers, with its parts.
struct Teacher {
    /// What means the same teacher for good.
    name: String,
    engine: CpuEngine,
    tensors: TensorMap,
    tokenizer: Tokenizer,
}

/// What is to be done, and where.
struct Plan {
    settings: TrainSettings,
    source: Source,
    place: Place,
}

impl Plan {
    fn new(args: DistillArgs, global: &GlobalArgs) -> anyhow::Result<Self> {
        let overrides = RecipeOverrides::from(args.overrides);
        let (recipe, source, place) = match args.resume {
            Some(path) => {
                let saved = RunFolder::settings(&path)?;
                let source: Source = saved.source.try_into().with_context(|| {
                    format!("the settings of {} are not of a distillation", path.display())
                })?;
                (saved.recipe, source, Place::Existing(path))
            }
            None => {
                let recipe = Recipe::named(DEFAULT_RECIPE).context("a bundled recipe")?;
                let source = Source {
                    teacher: absolute_model(&args.teacher.context("no teacher: --teacher")?),
                    texts: args.texts.iter().map(std::path::absolute).collect::<Result<_, _>>()?,
                    text_column: args.text_column,
                    encoding: args.encoding.map(Encoding::from),
                    skip_bad_rows: args.skip_bad_rows,
                    student: args.student,
                    layers: args.layers,
                    state_weight: args.state_weight,
                    last_weight: args.last_weight,
                    mean_weight: args.mean_weight,
                    pooler_weight: args.pooler_weight,
                    relation_weight: args.relation_weight,
                    relation_heads: args.relation_heads,
                    relation_layer: args.relation_layer,
                    precision: global.precision,
                };
                args.output.as_deref().map(check_folder).transpose()?;
                let name = || format!("distill-{}", teacher_name(&source.teacher));
                let place = Place::of(args.output, name);
                (recipe.load_over(&args.recipe)?, source, place)
            }
        };
        if source.precision == PrecisionArg::Int8 {
            return Err(ModelError::TrainInt8.into());
        }
        if source.teacher == bundled::NAME {
            let problem = "the bundled classifier is as small as the students that `distill` makes: \
                           name a larger teacher";
            return Err(Misuse(problem.to_owned()).into());
        }
        let settings = TrainSettings::new(recipe.clone().with(&overrides))?;
        place.check(&settings, &recipe)?;
        Ok(Self { settings, source, place })
    }
}

pub(super) fn run(args: DistillArgs, global: &GlobalArgs) -> anyhow::Result<()> {
    let Plan { settings, mut source, place } = Plan::new(args, global)?;
    let teacher = Teacher::open(&source, global)
        .with_context(|| format!("cannot learn from {:?}", source.teacher))?;
    if place.is_new() {
        // A resumed run is known by the name that it began with.
        source.teacher.clone_from(&teacher.name);
    }
    let saved_config = source.student_config(&teacher, &settings)?;
    let layers = source.teacher_layers(teacher.engine.config(), &saved_config)?;
    let relations = source.relations(teacher.engine.config(), &saved_config)?;
    let width = teacher.engine.config().hidden_size;
    let config = learning(saved_config.clone(), &settings, width);
    let texts = source.texts(&teacher.tokenizer, &settings, global)?;
    let (tensors, kept) = teacher.student(&config, &layers, &texts, settings.seed())?;
    global.say(&format!(
        "student: {} from the teacher's layers {}; its width keeps {:.1} % of the teacher's energy",
        source.student,
        join(&source.layers),
        100.0 * kept
    ));

    let mut engine = engine(config, width, source.precision, global)?;
    source.precision = PrecisionArg::of(engine.cpu().precision());
    engine.load_tensors(TensorSet::Parameters, &tensors)?;
    drop(tensors);
    let (run, resume) = place.open(&settings, &source)?;
    global.say(&format!("engine: {}; run: {}", engine.describe(), run.path().display()));

    let teacher_states: Vec<usize> =
        std::iter::once(0).chain(layers.iter().map(|layer| layer + 1)).collect();
    let mut files = teacher.tokenizer.files()?;
    files.push(("README.md".to_owned(), source.card().into_bytes()));
    report::describe(run.path(), &summary(&texts, settings.max_length()), global);
    let stop = Stop::on_signals()?;
    let inputs = DistillInputs {
        settings: &settings,
        texts: &texts,
        teacher: &teacher.engine,
        teacher_states: &teacher_states,
        teacher_relations: source.relation_layer,
        matching: &source.matching(layers.len(), relations),
        config: &saved_config,
        run: &run,
        resume,
        identity: &BTreeMap::from([
            ("teacher".to_owned(), source.teacher.clone()),
            ("student".to_owned(), source.student.clone()),
            ("precision".to_owned(), engine.cpu().precision().to_string()),
        ]),
        files: &files,
        stop: stop.asked(),
    };
    let mut observers = Observers::new().with(Progress::new(global.progress()));
    match distill(&mut engine, &inputs, &mut observers)? {
        Outcome::Stopped { step, total_steps } => {
            let run = run.path().display();
            global.say(&format!(
                "stopped after step {step} of {total_steps}; go on with: tinymood distill --resume {run}"
            ));
            return Err(stop.stopped());
        }
        Outcome::Finished(finish) => {
            global.say(&format!(
                "encoder: {0}\nfine-tune it with: tinymood train --init {0}",
                finish.model.display()
            ));
            report::of_finished(&run, global);
        }
    }
    Ok(())
}

/// The student while it learns: with the recipe's dropout, and projections to its teacher's width.
fn learning(mut config: ModelConfig, settings: &TrainSettings, width: usize) -> ModelConfig {
    let pooling = config.pooling;
    settings.apply_to(&mut config);
    config.pooling = pooling;
    let states = (0..=config.num_hidden_layers).collect();
    config.projections = Some(Projections { width, states });
    config
}

fn summary(texts: &[TokenizedText], max_length: usize) -> DataSummary {
    let lengths = texts.iter().map(|text| text.full_length);
    let splits = vec![SplitSummary::new("texts", &[], 0, lengths, max_length)];
    DataSummary { max_length, labels: Vec::new(), splits }
}

impl Source {
    /// The student as it is saved: with a pooler, and its teacher's vocabulary.
    fn student_config(
        &self,
        teacher: &Teacher,
        settings: &TrainSettings,
    ) -> anyhow::Result<ModelConfig> {
        let mut config = ModelConfig::preset(&self.student)?;
        config.pooling = Pooling::Cls;
        config.vocab_size = teacher.engine.config().vocab_size;
        ensure!(
            settings.max_length() <= config.max_position_embeddings,
            "max_length is {}, the student has {} positions",
            settings.max_length(),
            config.max_position_embeddings
        );
        Ok(config)
    }

    /// The texts to learn from.
    fn texts(
        &self,
        tokenizer: &Tokenizer,
        settings: &TrainSettings,
        global: &GlobalArgs,
    ) -> anyhow::Result<Vec<TokenizedText>> {
        let options = StreamOptions {
            text_column: self.text_column.clone(),
            encoding: self.encoding,
            ..StreamOptions::default()
        };
        let Unlabelled { texts, bad_rows, .. } =
            Unlabelled::read(&self.texts, &options, self.skip_bad_rows)?;
        if !bad_rows.is_empty() {
            global.warn(&format!("{} malformed rows passed over", bad_rows.len()));
        }
        let tokenizer = tokenizer.clone().with_max_length(settings.max_length())?;
        let texts = tokenizer.encode_all(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
        let files = self.texts.len();
        let plural = if files == 1 { "file" } else { "files" };
        global.say(&format!("texts: {} of {files} {plural}", texts.len()));
        Ok(texts)
    }

    /// Which of the teacher's layers, from 0, each of the student's follows; noted in the settings.
    fn teacher_layers(
        &mut self,
        teacher: &ModelConfig,
        student: &ModelConfig,
    ) -> anyhow::Result<Vec<usize>> {
        let (has, needs) = (teacher.num_hidden_layers, student.num_hidden_layers);
        ensure!(needs <= has, "the student has {needs} layers, its teacher only {has}");
        if self.layers.is_empty() {
            self.layers = default_layers(has, needs).iter().map(|layer| layer + 1).collect();
        }
        if self.layers.len() != needs {
            bail!("--layers names {}, the student has {needs} layers", join(&self.layers));
        }
        if self.layers.iter().any(|layer| !(1..=has).contains(layer))
            || !self.layers.is_sorted_by(|a, b| a < b)
        {
            bail!("--layers is {}, expected layers from 1 to {has}, ascending", join(&self.layers));
        }
        Ok(self.layers.iter().map(|layer| layer - 1).collect())
    }

    /// The relations to learn, if any; their layer is noted in the settings.
    fn relations(
        &mut self,
        teacher: &ModelConfig,
        student: &ModelConfig,
    ) -> anyhow::Result<Option<Relations>> {
        let (weight, heads) = (self.relation_weight, self.relation_heads);
        if weight.is_nan() || weight.is_infinite() || weight < 0.0 {
            let problem = format!("--relation-weight is {weight}, expected a number from 0 up");
            return Err(Misuse(problem).into());
        }
        if weight == 0.0 && self.relation_layer.is_some() {
            return Err(Misuse("--relation-layer needs a --relation-weight".to_owned()).into());
        }
        if weight == 0.0 {
            return Ok(None);
        }
        let relations = Relations { weight, heads };
        let (teacher_size, size) = (teacher.hidden_size, student.hidden_size);
        relations.check(teacher_size, size).context("--relation-heads does not fit")?;
        let has = teacher.num_hidden_layers;
        let layer = *self.relation_layer.get_or_insert(has);
        ensure!(
            (1..=has).contains(&layer),
            "--relation-layer is {layer}, expected a layer from 1 to {has}"
        );
        Ok(Some(relations))
    }

    fn matching(&self, layers: usize, relations: Option<Relations>) -> Matching {
        let mut state_weights = vec![self.state_weight; layers];
        state_weights.push(self.last_weight);
        let Self { mean_weight, pooler_weight: head_weight, .. } = *self;
        Matching { state_weights, mean_weight, head_weight, relations }
    }

    fn card(&self) -> String {
        let name = teacher_name(&self.teacher);
        let origin = match split_commit(&self.teacher) {
            (id, Some(commit)) => format!(" from {id} at {commit}"),
            _ => String::new(),
        };
        let relations = self.relation_layer.map_or_else(String::new, |layer| {
            let heads = self.relation_heads;
            format!(", and self-attention relations of layer {layer} in {heads} heads")
        });
        format!(
            "# A {} encoder distilled from {name}\n\nMade with `tinymood distill`{origin}: hidden states of \
             layers {} and the embeddings{relations}, on plain text. `bert.pooler` follows the \
             teacher's mean over the text. It has no classifier: fine-tune it with `tinymood train \
             --init`.\n",
            self.student,
            join(&self.layers)
        )
    }
}

impl Teacher {
    fn open(source: &Source, global: &GlobalArgs) -> anyhow::Result<Self> {
        let found = find_model(&source.teacher, global)?;
        let path = found.folder;
        let model = load_model_folder(&path)?;
        let tokenizer = Tokenizer::from_folder(&path)?.with_threads(global.threads);
        let tokenizer = of_model(tokenizer, &model.config)?;
        // Only hidden states are asked of it: a head of any shape will do.
        let config = ModelConfig { pooling: Pooling::Mean, ..model.config };
        let (tensors, _) = fit(&config.parameters(1), model.tensors, &config, 0)?;
        let mut engine = engine(config, 1, source.precision, global)?;
        engine.load_tensors(TensorSet::Parameters, &tensors)?;
        Ok(Self { name: found.name, engine, tensors, tokenizer })
    }

    /// The weights that a student begins with, and the share of the energy of the teacher's hidden
    /// states that its width keeps.
    fn student(
        &self,
        config: &ModelConfig,
        layers: &[usize],
        texts: &[TokenizedText],
        seed: u64,
    ) -> anyhow::Result<(TensorMap, f64)> {
        let teacher = self.engine.config();
        let all: Vec<usize> = (0..=teacher.num_hidden_layers).collect();
        let mut moment = SecondMoment::new(teacher.hidden_size);
        // All states of a large teacher are some megabytes a text.
        for texts in texts[..texts.len().min(BASIS_TEXTS)].chunks(BASIS_BATCH) {
            let batch = PackedBatch::pack(texts.iter().enumerate());
            for state in hidden_states(&self.engine, &batch, &all)? {
                moment.add_rows(&state)?;
            }
        }
        let basis = moment.basis(config.hidden_size)?;
        let mut tensors = student_from_teacher(teacher, &self.tensors, config, layers, &basis)?;
        for index in 0..=config.num_hidden_layers {
            let (weight, bias) = basis.projection();
            tensors.insert(format!("{}.weight", Projections::name(index)), weight);
            tensors.insert(format!("{}.bias", Projections::name(index)), bias);
        }
        for spec in config.parameters(teacher.hidden_size) {
            let new = || initialise(&spec, config, seed);
            tensors.entry(spec.name.clone()).or_insert_with(new);
        }
        Ok((tensors, basis.energy_kept()))
    }
}

fn join(layers: &[usize]) -> String {
    layers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// The teacher's name without folders: a run's is that of the run.
fn teacher_name(teacher: &str) -> String {
    let path = Path::new(split_commit(teacher).0);
    let path = if path.ends_with("best") { path.parent().unwrap_or(path) } else { path };
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
