//! An encoder without a classifier as int8: there is no F1 to judge by, so the vectors of texts do.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, json};
use tinymood_core::{
    Engine, Infer, ModelConfig, PackedBatch, Pooling, TensorMap, TensorSet, TensorView,
};
use tinymood_text::{Tokenizer, sample};
use tinymood_weights::{ModelFolder, ModelParts, canonical_name, fit, write_new_model_folder};

use super::{check_weights, quantise, read_back, read_card, written};
use crate::args::{ExportArgs, GlobalArgs, PrecisionArg};
use crate::commands::{print, print_json};
use crate::init::of_model;
use crate::model::{ModelError, engine};

/// The smallest cosine between a text's vectors in both forms that passes, on average.
const LEAST_COSINE: f64 = 0.99;

/// Whether a folder's weights have no classifier.
pub(super) fn is_encoder(model: &ModelFolder) -> bool {
    !model.tensors.tensors.keys().any(|name| canonical_name(name).starts_with("classifier."))
}

/// An encoder's folder, opened.
pub(super) struct Encoder {
    pub(super) path: PathBuf,
    pub(super) config: ModelConfig,
    pub(super) tokenizer: Tokenizer,
    /// Whether its weights are int8.
    pub(super) is_quantised: bool,
    /// Its own, and of a classifier as engines want one.
    weights: TensorMap,
}

impl Encoder {
    pub(super) fn open(model: ModelFolder) -> anyhow::Result<Self> {
        let ModelFolder { path, config, tensors, .. } = model;
        let tokenizer = of_model(Tokenizer::from_folder(&path)?, &config)?;
        let is_of_pooler = |name: &String| canonical_name(name).contains(".pooler.");
        let has_pooler = tensors.tensors.keys().any(is_of_pooler);
        let pooling = if has_pooler { Pooling::Cls } else { Pooling::Mean };
        let config = ModelConfig { pooling, ..config };
        let is_quantised = tensors.quantised;
        let (weights, _) = fit(&config.parameters(1), tensors, &config, 0)?;
        Ok(Self { path, config, tokenizer, is_quantised, weights })
    }

    /// The encoder's own tensors.
    pub(super) fn tensors(&self) -> Vec<TensorView<'_>> {
        let own = self.weights.iter().filter(|(name, _)| is_of_encoder(name));
        let views = own.map(|(name, tensor)| TensorView {
            name: name.as_str().into(),
            shape: tensor.shape.as_slice().into(),
            values: (&*tensor.values).into(),
        });
        views.collect()
    }
}

fn is_of_encoder(name: &str) -> bool {
    name.starts_with("bert.")
}

pub(super) fn export(
    model: ModelFolder,
    args: &ExportArgs,
    global: &GlobalArgs,
) -> anyhow::Result<()> {
    if model.tensors.quantised {
        return Err(ModelError::AlreadyInt8(model.path).into());
    }
    let opened = Encoder::open(model)?;
    let tensors = opened.tensors();
    check_weights(&tensors, &opened.path)?;
    let (rounded, kept) = quantise(tensors, args.embedding_bits);
    let Encoder { path, config, tokenizer, weights, .. } = opened;

    let texts = sample_texts(&tokenizer)?;
    let vectors = |weights: &TensorMap, precision| -> anyhow::Result<Vec<f32>> {
        let mut engine = engine(config.clone(), 1, precision, global)?;
        engine.load_tensors(TensorSet::Parameters, weights)?;
        Ok(means(&engine.hidden_states(&texts, &[config.num_hidden_layers])?[0], &texts))
    };
    let exact = vectors(&weights, PrecisionArg::F32)?;
    let mut as_read = read_back(&rounded, &kept);
    as_read.extend(
        weights
            .iter()
            .filter(|(name, _)| !is_of_encoder(name))
            .map(|(name, tensor)| (name.clone(), tensor.clone())),
    );
    let found = vectors(&as_read, PrecisionArg::Int8)?;
    let cosine = mean_cosine(&exact, &found, config.hidden_size);

    let passed = cosine >= LEAST_COSINE;
    let judgement = json!({
        "data": "sample",
        "rows": texts.num_texts(),
        "mean_cosine": cosine,
        "least_cosine_allowed": LEAST_COSINE,
        "passed": passed,
    });
    let write = passed || args.force;
    if write {
        let kept = kept.iter().map(|(name, tensor)| TensorView {
            name: name.as_str().into(),
            shape: tensor.shape.as_slice().into(),
            values: (&*tensor.values).into(),
        });
        let mut files = tokenizer.files()?;
        files.push(("README.md".to_owned(), card(&path, cosine)?));
        let parts = ModelParts {
            config: &config,
            labels: None,
            tensors: kept.collect(),
            quantised: rounded,
            facts: Map::from_iter([("int8".to_owned(), judgement.clone())]),
            files,
        };
        write_new_model_folder(&args.output, &parts)?;
    }
    if args.json {
        let mut document = judgement;
        document["written"] = json!(write);
        print_json(&document)?;
    } else {
        let rows = texts.num_texts();
        print(&format!("vectors of {rows} texts, f32 and int8: cosine {cosine:.5} on average\n"))?;
    }
    match write {
        true => written(args, global),
        false => {
            let losses = format!("vectors have a cosine of {cosine:.4}, at least {LEAST_COSINE}");
            Err(ModelError::GateFailed(losses).into())
        }
    }
}

/// The dev split of the sample: of these texts no labels are asked.
fn sample_texts(tokenizer: &Tokenizer) -> anyhow::Result<PackedBatch> {
    let dev = sample()?.dev.context("the sample has a dev split")?;
    let texts: Vec<&str> = dev.examples.iter().map(|example| example.text.as_str()).collect();
    Ok(PackedBatch::pack(tokenizer.encode_all(&texts)?.iter().enumerate()))
}

/// The mean of each text's rows (T, H); (B, H).
fn means(states: &[f32], batch: &PackedBatch) -> Vec<f32> {
    let width = states.len() / batch.num_tokens();
    let mean = |range: std::ops::Range<usize>| {
        let rows = &states[range.start * width..range.end * width];
        let sum = move |column: usize| rows.iter().skip(column).step_by(width).sum::<f32>();
        (0..width).map(move |column| sum(column) / range.len() as f32)
    };
    batch.ranges().flat_map(mean).collect()
}

/// The mean cosine between vectors (B, H) and others.
fn mean_cosine(a: &[f32], b: &[f32], width: usize) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let pairs = a.chunks_exact(width).zip(b.chunks_exact(width));
    let cosines = pairs.map(|(a, b)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt());
    cosines.sum::<f64>() / (a.len() / width) as f64
}

/// The card with what was found.
fn card(path: &Path, cosine: f64) -> anyhow::Result<Vec<u8>> {
    let card = read_card(path)?;
    let found = format!(
        "\n## int8\n\nThe weights of this copy are 8-bit integers with a scale for each output, those \
         of embeddings with one for each token, which tinymood reads and other tools do not. The \
         vectors of texts in both forms have a cosine of {cosine:.5} on average.\n"
    );
    Ok((card + &found).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_means_and_cosines_their_angles() {
        let mut batch = PackedBatch::new();
        batch.push(0, &[5, 6]);
        batch.push(1, &[7]);
        let vectors = means(&[1.0, 0.0, 3.0, 2.0, 0.0, 5.0], &batch);
        assert_eq!(vectors, [2.0, 1.0, 0.0, 5.0]);
        assert!((mean_cosine(&vectors, &[4.0, 2.0, 1.0, 0.0], 2) - 0.5).abs() < 1e-9);
    }
}
