//! Where training starts: the bundled encoder, a run, a model folder, a hub id, or random weights of a shape.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tinymood_core::{LabelSet, ModelConfig, TensorMap};
use tinymood_hub::{Hub, HubSettings};
use tinymood_text::{LabelList, ListRole, PLACEHOLDERS, Tokenizer};
use tinymood_train::TrainSettings;

use crate::args::GlobalArgs;
use crate::bundled;
use crate::fetching::fetcher;
use crate::model::ModelError;
use tinymood_weights::{LoadReport, TensorFile, fit, initialise, read_model_folder};

/// What training starts from.
pub(crate) struct Start {
    /// What means the same start for good: an id of the hub is at its commit.
    pub(crate) init: String,
    pub(crate) config: ModelConfig,
    pub(crate) tensors: TensorMap,
    pub(crate) tokenizer: Tokenizer,
    /// What became of the checkpoint; none for random weights.
    pub(crate) report: Option<LoadReport>,
}

impl Start {
    /// Whether a tensor is not of the checkpoint.
    pub(crate) fn is_new(&self, name: &str) -> bool {
        let initialised = self.report.as_ref().map(|report| &report.initialised);
        initialised.is_none_or(|names| names.iter().any(|it| it == name))
    }

    /// How many numbers there are.
    pub(crate) fn parameters(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.values.len()).sum()
    }

    pub(crate) fn describe(&self) -> String {
        match &self.report {
            Some(report) => report.to_string(),
            None => "all weights are new".to_owned(),
        }
    }
}

/// What `tinybert` is short for.
const TINYBERT: &str = "huawei-noah/TinyBERT_General_4L_312D";

/// A hub of the environment's settings.
pub(crate) fn hub(global: &GlobalArgs) -> anyhow::Result<Hub> {
    Ok(Hub::new(HubSettings::from_environment(global.offline)?).with(fetcher(global)))
}

/// What `tinybert` is short for, also at a revision; other names stay as they are.
fn in_full(name: &str) -> String {
    match name.strip_prefix("tinybert") {
        Some(rest) if rest.is_empty() || rest.starts_with('@') => format!("{TINYBERT}{rest}"),
        _ => name.to_owned(),
    }
}

/// A model folder's path that holds from anywhere, and what `tinybert` is short for; other names, hub
/// ids and random shapes stay as they are. A folder of one of those names is `./NAME`.
pub(crate) fn absolute_model(name: &str) -> String {
    let full = in_full(name);
    match std::path::absolute(name) {
        _ if full != name => full,
        _ if name == bundled::NAME => full,
        Ok(path) if Path::new(name).is_dir() => path.to_string_lossy().into_owned(),
        _ => full,
    }
}

/// The name of a model in a run's settings without its commit, and the commit where it is of the hub.
pub(crate) fn split_commit(name: &str) -> (&str, Option<&str>) {
    match name.split_once('@') {
        Some((id, commit)) if !Path::new(name).is_absolute() => (id, Some(commit)),
        _ => (name, None),
    }
}

/// The model of a run's folder; other folders stay as they are.
pub(crate) fn best_of(path: PathBuf) -> PathBuf {
    let best = path.join("best");
    if best.join("config.json").is_file() { best } else { path }
}

/// Whether a model's name is one of the hub.
pub(crate) fn is_of_hub(model: &str) -> bool {
    in_full(model) != model || !Path::new(model).exists()
}

/// A model that was looked for.
pub(crate) struct Found {
    pub(crate) folder: PathBuf,
    /// What means the same model for good: an id of the hub is at its commit.
    pub(crate) name: String,
}

/// Finds a model: one that is here, the best one of a run, or one of the hub.
pub(crate) fn find(model: &str, global: &GlobalArgs) -> anyhow::Result<Found> {
    if is_of_hub(model) {
        let full = in_full(model);
        let folder = hub(global)?.model(&full);
        let folder = folder
            .with_context(|| format!("there is no folder {model:?} here, and the hub gave none"))?;
        let name = Hub::pinned(&full, &folder);
        return Ok(Found { folder, name });
    }
    let path = Path::new(model);
    if !path.is_dir() {
        bail!("{model:?} is a file, expected a model folder");
    }
    Ok(Found { folder: best_of(path.to_owned()), name: model.to_owned() })
}

/// The labels of the classifier that training starts from, for data that names none; `None` for an encoder
/// alone, and for labels that are only numbered.
pub(crate) fn labels_of_start(
    init: &str,
    global: &GlobalArgs,
) -> anyhow::Result<Option<LabelList>> {
    if init == bundled::NAME || init.starts_with("random:") {
        return Ok(None);
    }
    let labels = read_model_folder(&find(init, global)?.folder)?.labels;
    let is_numbered = |(id, name): (usize, &String)| *name == format!("LABEL_{id}");
    let labels = labels.filter(|labels| !labels.names().iter().enumerate().all(is_numbered));
    let source = format!("--init {init}");
    Ok(labels.map(|labels| LabelList { labels, source, role: ListRole::Start }))
}

/// Loads what `--init` names, with the recipe's pooling, dropout and length.
pub(crate) fn start(
    init: &str,
    labels: &LabelSet,
    settings: &TrainSettings,
    global: &GlobalArgs,
) -> anyhow::Result<Start> {
    let mut name = init.to_owned();
    let (mut config, checkpoint, tokenizer) = match (init, init.strip_prefix("random:")) {
        (_, Some(shape)) => (ModelConfig::preset(shape)?, None, Tokenizer::bundled()),
        (bundled::NAME, _) => {
            let model = bundled::encoder()?.ok_or(ModelError::NotBundled)?;
            (model.config, Some(model.tensors), Tokenizer::bundled())
        }
        _ => {
            let found = find(init, global)?;
            name = found.name;
            let folder = found.folder;
            let model = read_model_folder(&folder)?;
            (model.config, Some(model.tensors), Tokenizer::from_folder(&folder)?)
        }
    };
    settings.apply_to(&mut config);
    let positions = config.max_position_embeddings;
    if settings.max_length() > positions {
        bail!("max_length is {}, the model has {positions} positions", settings.max_length());
    }
    let tokenizer = tokenizer.with_threads(global.threads);
    let mut tokenizer = tokenizer.with_max_length(settings.max_length())?;
    if settings.recipe().placeholder_tokens {
        tokenizer = tokenizer.with_placeholders(&PLACEHOLDERS)?;
    }
    check_vocabulary(&tokenizer, &config)?;
    let (tensors, report) = weights(checkpoint, &config, labels, settings.seed())
        .with_context(|| format!("cannot start from {init:?}"))?;
    Ok(Start { init: name, config, tensors, tokenizer, report })
}

fn weights(
    checkpoint: Option<TensorFile>,
    config: &ModelConfig,
    labels: &LabelSet,
    seed: u64,
) -> anyhow::Result<(TensorMap, Option<LoadReport>)> {
    let specs = config.parameters(labels.len());
    match checkpoint {
        Some(file) => {
            let (tensors, report) = fit(&specs, file, config, seed)?;
            Ok((tensors, Some(report)))
        }
        None => {
            let new = |spec: &tinymood_core::ParameterSpec| initialise(spec, config, seed);
            Ok((specs.iter().map(|spec| (spec.name.clone(), new(spec))).collect(), None))
        }
    }
}

/// Every id of the tokenizer must have an embedding.
pub(crate) fn check_vocabulary(tokenizer: &Tokenizer, config: &ModelConfig) -> anyhow::Result<()> {
    let (tokens, rows) = (tokenizer.vocabulary_size(), config.vocab_size);
    if tokens > rows {
        bail!("the tokenizer has {tokens} tokens, the model has embeddings for {rows}");
    }
    Ok(())
}
