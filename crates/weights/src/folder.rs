//! A model's folder as Hugging Face tools know it, read and written as a whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use tinymood_core::{LabelSet, ModelConfig, ProblemType, TensorView};
use tinymood_kernels::MappedFile;

use crate::durable;
use crate::pytorch;
use crate::regular;
use crate::safetensors::{
    FileBytes, QuantisedTensor, read, read_safetensors, write_quantised_safetensors,
};
use crate::{TensorFile, WeightsError, canonical_name};

const CONFIG: &str = "config.json";
const SAFETENSORS: &str = "model.safetensors";
const PYTORCH: &str = "pytorch_model.bin";

/// A `config.json` is some kilobytes; one above this is not.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// A folder of configuration and weights.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// Where it is.
    pub path: PathBuf,
    /// From `config.json`.
    pub config: ModelConfig,
    /// From `config.json`, where it names any.
    pub labels: Option<LabelSet>,
    /// How many labels `config.json` says that there are, named or not.
    pub num_labels: Option<usize>,
    /// Whether `config.json` names the problem type.
    pub names_problem_type: bool,
    /// The weights, as the file names them; without a classifier that is not for texts.
    pub tensors: TensorFile,
    /// The architecture of such a classifier: `BertForTokenClassification`, say.
    pub other_head: Option<String>,
}

/// Reads a folder's `config.json` and its weights (`model.safetensors`, else `pytorch_model.bin`).
///
/// # Errors
/// When one is missing, damaged, or of a kind that is not supported.
pub fn read_model_folder(path: &Path) -> Result<ModelFolder, WeightsError> {
    read_folder(path, map_tensors)
}

/// [`read_model_folder`] with the weights in memory: what becomes of the file later changes nothing, where a
/// mapped one that is written over would end the program. For programs that outlive their model's folder.
///
/// # Errors
/// As [`read_model_folder`].
pub fn load_model_folder(path: &Path) -> Result<ModelFolder, WeightsError> {
    read_folder(path, read_tensors)
}

fn read_folder(
    path: &Path,
    read_tensors: fn(&Path) -> Result<TensorFile, WeightsError>,
) -> Result<ModelFolder, WeightsError> {
    if !path.is_dir() {
        return Err(WeightsError::NoFolder(path.to_owned()));
    }
    let config_path = path.join(CONFIG);
    let text = regular::read_document(&config_path, MAX_CONFIG_BYTES);
    let text = text.map_err(failed("read", &config_path))?;
    let text = text.ok_or_else(|| WeightsError::NoConfig(path.to_owned()))?;
    let parts = read_config(&text, &config_path)?;
    let is_there = |file: &Path| regular::is_there(file).map_err(failed("read", file));
    for weights in [SAFETENSORS, PYTORCH] {
        let weights_path = path.join(weights);
        if is_there(&weights_path)? {
            let tensors = read_tensors(&weights_path)?;
            return Ok(parts.into_folder(path, tensors));
        }
        let index = path.join(format!("{weights}.index.json"));
        if is_there(&index)? {
            return Err(WeightsError::Sharded(index));
        }
    }
    let others = other_weights(path).map_err(failed("read", path))?;
    Err(WeightsError::NoWeights { path: path.to_owned(), others })
}

/// The names of a folder's weight files that are read by other programs only.
fn other_weights(folder: &Path) -> io::Result<Vec<String>> {
    let mut others = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if regular::is_other_weights(&name) {
            others.push(name);
        }
    }
    others.sort_unstable();
    Ok(others)
}

/// Reads a model that is part of the program: its `config.json` and the bytes of its
/// `model.safetensors`; `path` stands for its folder.
///
/// # Errors
/// When one is damaged or of a kind that is not supported.
pub fn read_static_model(
    path: &Path,
    config: &str,
    weights: &'static [u8],
) -> Result<ModelFolder, WeightsError> {
    let parts = read_config(config, &path.join(CONFIG))?;
    let tensors = read(&FileBytes::Static(weights), &path.join(SAFETENSORS))?;
    Ok(parts.into_folder(path, tensors))
}

/// What a `config.json` says; the fields are those of [`ModelFolder`].
struct ReadConfig {
    config: ModelConfig,
    labels: Option<LabelSet>,
    num_labels: Option<usize>,
    names_problem_type: bool,
    other_head: Option<String>,
}

impl ReadConfig {
    fn into_folder(self, path: &Path, mut tensors: TensorFile) -> ModelFolder {
        let Self { config, labels, num_labels, names_problem_type, other_head } = self;
        if other_head.is_some() {
            tensors.tensors.retain(|name, _| !canonical_name(name).starts_with("classifier."));
        }
        let path = path.to_owned();
        ModelFolder { path, config, labels, num_labels, names_problem_type, tensors, other_head }
    }
}

fn read_config(text: &str, path: &Path) -> Result<ReadConfig, WeightsError> {
    let wrong = |source| WeightsError::Config { path: path.to_owned(), source };
    Ok(ReadConfig {
        config: ModelConfig::from_json(text).map_err(wrong)?,
        labels: LabelSet::from_config_json(text).map_err(wrong)?,
        num_labels: LabelSet::count_in_config_json(text).map_err(wrong)?,
        names_problem_type: ProblemType::is_named_in_config_json(text),
        other_head: ModelConfig::other_head(text).map_err(wrong)?,
    })
}

/// Whether bytes are of a safetensors file: the length of its header, then JSON's blanks, which the format's own
/// reader passes over, and the header's brace.
fn are_safetensors(bytes: &[u8]) -> bool {
    let header = bytes.get(8..).unwrap_or_default();
    header.iter().find(|byte| !b" \t\r\n".contains(byte)) == Some(&b'{')
}

/// How files begin that are no weights for this program, and what they are.
const OTHER_FORMATS: [(&[u8], &str); 5] = [
    (b"\x89HDF", "an HDF5 file, as TensorFlow and Keras write it"),
    (b"GGUF", "a GGUF file, as llama.cpp reads it"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"{", "a JSON text"),
    (b"Entry not found", "the hub's message that there is no such file"),
];

/// A [`WeightsError::Io`] of `action` on `path`.
fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> WeightsError + use<> {
    let path = path.to_owned();
    move |source| WeightsError::Io { action, path: path.clone(), source }
}

/// [`read_tensors`] of a file that is mapped, so that only what is used of it is read.
fn map_tensors(path: &Path) -> Result<TensorFile, WeightsError> {
    regular::check(path).map_err(failed("read", path))?;
    // What cannot be mapped, as an empty file, can still be read, or says better what is wrong.
    match MappedFile::open(path) {
        Ok(file) if are_safetensors(&file) => read(&FileBytes::Mapped(Arc::new(file)), path),
        _ => read_tensors(path),
    }
}

/// Reads a weight file, of whichever format its contents are.
///
/// # Errors
/// When it cannot be read or is of none.
pub fn read_tensors(path: &Path) -> Result<TensorFile, WeightsError> {
    let bytes = regular::read(path).map_err(failed("read", path))?;
    if are_safetensors(&bytes) {
        return read_safetensors(bytes, path);
    }
    if let Some(stand_in) = regular::StandIn::of(&bytes) {
        return Err(failed("read", path)(stand_in.into()));
    }
    if let Some((_, what)) = OTHER_FORMATS.iter().find(|(start, _)| bytes.starts_with(start)) {
        let problem = format!("it is {what}");
        return Err(WeightsError::Contents { path: path.to_owned(), problem });
    }
    if path.extension().is_some_and(|end| end == "safetensors") && !pytorch::begins(&bytes) {
        return read_safetensors(bytes, path); // which says what is wrong with it
    }
    pytorch::read(&bytes, path)
}

/// What a model's folder is written from.
#[derive(Clone, Debug)]
pub struct ModelParts<'a> {
    /// For `config.json`.
    pub config: &'a ModelConfig,
    /// For `id2label`; `None` for an encoder without a classifier.
    pub labels: Option<&'a LabelSet>,
    /// For `model.safetensors`.
    pub tensors: Vec<TensorView<'a>>,
    /// For the same file, as int8.
    pub quantised: Vec<QuantisedTensor>,
    /// For the `tinymood` object of `config.json`, beside what the configuration has there.
    pub facts: Map<String, Value>,
    /// Further files by name: the tokenizer's, `thresholds.json`, `README.md`.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Writes a model folder where there is none: all of it beside `path`, synced, then renamed.
///
/// # Errors
/// When something has that name already, or cannot be written.
pub fn write_new_model_folder(path: &Path, parts: &ModelParts<'_>) -> Result<(), WeightsError> {
    write_beside(path, parts, durable::place_folder)
}

/// Writes a run's model folder over the one before: all of it beside `path`, synced, then put in its
/// place by [`durable::replace_folder`]. A kill leaves the old folder, the new one, or for an instant the
/// old one under the name that [`durable::restore_folder`] looks for.
///
/// # Errors
/// When something cannot be written.
pub fn replace_model_folder(path: &Path, parts: &ModelParts<'_>) -> Result<(), WeightsError> {
    write_beside(path, parts, durable::replace_folder)
}

/// Writes a folder beside `path` and has `place` put it there. What fails leaves nothing beside.
fn write_beside(
    path: &Path,
    parts: &ModelParts<'_>,
    place: fn(&Path, &Path) -> io::Result<()>,
) -> Result<(), WeightsError> {
    let failed = failed("write", path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(&failed)?;
    }
    let beside = durable::Unfinished::folder(path).map_err(&failed)?;
    write_parts(beside.path(), path, parts)?;
    place(beside.path(), path).map_err(failed)
}

/// Writes a folder's files; `path` names it in errors.
fn write_parts(folder: &Path, path: &Path, parts: &ModelParts<'_>) -> Result<(), WeightsError> {
    let failed = failed("write", path);
    let mut config = parts.config.to_json(parts.labels);
    if let Some(own) = config.get_mut("tinymood").and_then(Value::as_object_mut) {
        own.extend(parts.facts.clone());
    }
    let config = serde_json::to_string_pretty(&config);
    let config = config.expect("a configuration is plain values") + "\n";
    durable::write_file(&folder.join(CONFIG), config.as_bytes()).map_err(&failed)?;
    for (name, bytes) in &parts.files {
        durable::write_file(&folder.join(name), bytes).map_err(&failed)?;
    }
    write_quantised_safetensors(&folder.join(SAFETENSORS), &parts.tensors, &parts.quantised)
}
