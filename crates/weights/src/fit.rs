//! A checkpoint's tensors to a model's parameters: what fits is taken, what is missing and may be
//! new is initialised, what is left over is named.

use std::collections::BTreeMap;
use std::fmt;

use tinymood_core::{ModelConfig, ParameterSpec, Tensor, TensorMap};

use crate::head::HeadReport;
use crate::init::initialise;
use crate::names::canonical_name;
use crate::{TensorFile, WeightsError};

/// What became of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Parameters taken from it.
    pub loaded: usize,
    /// Tensors of the checkpoint that the model has no use for.
    pub ignored: Vec<String>,
    /// Parameters that the checkpoint lacks, or has for other labels: new.
    pub initialised: Vec<String>,
    /// Which rows of the classifier were kept, where they were matched by label and differ.
    pub head: Option<HeadReport>,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors loaded", self.loaded)?;
        if !self.initialised.is_empty() {
            write!(f, "; newly initialised: {}", fold(&self.initialised))?;
        }
        if !self.ignored.is_empty() {
            write!(f, "; ignored: {}", fold(&self.ignored))?;
        }
        if let Some(head) = &self.head {
            write!(f, "; classifier: {head}")?;
        }
        Ok(())
    }
}

/// Names between commas, numbers in them folded: `encoder.layer.*.output.dense.bias (x4)`; at most
/// eight.
pub(crate) fn fold(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut patterns: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        let part = |part: &str| match part.bytes().all(|byte| byte.is_ascii_digit()) {
            true if !part.is_empty() => "*".to_owned(),
            _ => part.to_owned(),
        };
        let pattern: Vec<String> = name.split('.').map(part).collect();
        *patterns.entry(pattern.join(".")).or_default() += 1;
    }
    let more = patterns.len().saturating_sub(SHOWN);
    let shown = patterns.into_iter().take(SHOWN).map(|(pattern, count)| match count {
        1 => pattern,
        _ => format!("{pattern} (x{count})"),
    });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more kinds"));
    }
    text
}

const TOKEN_TYPES: &str = "bert.embeddings.token_type_embeddings.weight";

/// May be absent from a checkpoint: the head, and token types, which some encoders lack.
fn may_be_new(name: &str) -> bool {
    name.starts_with("classifier.") || name.starts_with("bert.pooler.") || name == TOKEN_TYPES
}

/// Whether a tensor is the classifier of a model with other labels: only the outputs differ.
fn is_other_head(spec: &ParameterSpec, found: &[usize]) -> bool {
    spec.name.starts_with("classifier.")
        && found.len() == spec.shape.len()
        && found[1..] == spec.shape[1..]
}

/// Takes the parameters `specs` out of a checkpoint.
///
/// A classifier for another number of labels is replaced by a new one; any other difference of
/// shape is an error. New values follow from `seed`; token types that are not there are zeros.
///
/// # Errors
/// When encoder tensors are missing, a shape differs, or two tensors mean the same parameter.
pub fn fit(
    specs: &[ParameterSpec],
    file: TensorFile,
    config: &ModelConfig,
    seed: u64,
) -> Result<(TensorMap, LoadReport), WeightsError> {
    let mut report = LoadReport { ignored: file.skipped, ..LoadReport::default() };
    let mut found = BTreeMap::new();
    for (original, tensor) in file.tensors {
        let name = canonical_name(&original);
        if let Some((first, _)) = found.insert(name.clone(), (original.clone(), tensor)) {
            return Err(WeightsError::Duplicate { name, first, second: original });
        }
    }
    let required = specs.iter().filter(|spec| !may_be_new(&spec.name));
    let is_missing = |spec: &&ParameterSpec| !found.contains_key(&spec.name);
    let missing: Vec<String> =
        required.clone().filter(is_missing).map(|spec| spec.name.clone()).collect();
    if !missing.is_empty() {
        return Err(WeightsError::Missing { missing, total: required.count() });
    }
    let mut tensors = TensorMap::new();
    for spec in specs {
        let tensor = match found.remove(&spec.name) {
            Some((_, tensor)) if tensor.shape == spec.shape => {
                report.loaded += 1;
                tensor
            }
            Some((_, tensor)) if !is_other_head(spec, &tensor.shape) => {
                let (name, expected) = (spec.name.clone(), spec.shape.clone());
                return Err(WeightsError::Shape { name, found: tensor.shape, expected });
            }
            _ if spec.name == TOKEN_TYPES => {
                // An encoder without them adds nothing to its tokens.
                Tensor { shape: spec.shape.clone(), values: vec![0.0; spec.len()].into() }
            }
            _ => {
                report.initialised.push(spec.name.clone());
                initialise(spec, config, seed)
            }
        };
        tensors.insert(spec.name.clone(), tensor);
    }
    report.ignored.extend(found.into_values().map(|(original, _)| original));
    Ok((tensors, report))
}

#[cfg(test)]
mod tests {
    use tinymood_core::Pooling;

    use super::*;

    fn config() -> ModelConfig {
        ModelConfig {
            vocab_size: 10,
            hidden_size: 4,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 6,
            max_position_embeddings: 8,
            ..ModelConfig::preset("4L-312D").unwrap()
        }
    }

    /// A checkpoint of the model, each tensor filled with its own number, under other names.
    fn checkpoint(labels: usize, rename: impl Fn(&str) -> String) -> TensorFile {
        let specs = config().parameters(labels);
        let tensors = specs.iter().enumerate().map(|(i, spec)| {
            let values = vec![i as f32; spec.len()].into();
            (rename(&spec.name), Tensor { shape: spec.shape.clone(), values })
        });
        TensorFile { tensors: tensors.collect(), ..TensorFile::default() }
    }

    #[test]
    fn old_and_bare_names_fit() {
        let specs = config().parameters(3);
        let old = |name: &str| {
            name.replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta")
        };
        let bare = |name: &str| name.replace("bert.", "");
        for file in [checkpoint(3, str::to_owned), checkpoint(3, old), checkpoint(3, bare)] {
            let (tensors, report) = fit(&specs, file, &config(), 1).unwrap();
            assert_eq!((report.loaded, report.ignored.len()), (specs.len(), 0));
            for (i, spec) in specs.iter().enumerate() {
                assert_eq!(tensors[&spec.name].values[0], i as f32, "{}", spec.name);
            }
        }
    }

    #[test]
    fn heads_are_new_and_extras_are_named() {
        let specs = config().parameters(3);
        let mut file = checkpoint(5, str::to_owned);
        file.tensors.remove("bert.pooler.dense.weight");
        let extra = Tensor { shape: vec![1], values: vec![0.0].into() };
        file.tensors.insert("cls.predictions.bias".to_owned(), extra.clone());
        for layer in 0..5 {
            file.tensors.insert(format!("fit_denses.{layer}.weight"), extra.clone());
        }
        file.skipped.push("bert.embeddings.position_ids".to_owned());
        let (tensors, report) = fit(&specs, file, &config(), 1).unwrap();
        assert_eq!(tensors["classifier.weight"].shape, [3, 4]);
        assert_eq!(
            report.to_string(),
            format!(
                "{} tensors loaded; newly initialised: bert.pooler.dense.weight, classifier.bias, \
                 classifier.weight; ignored: bert.embeddings.position_ids, cls.predictions.bias, \
                 fit_denses.*.weight (x5)",
                specs.len() - 3
            )
        );
    }

    #[test]
    fn an_encoder_without_token_types_adds_none() {
        let specs = config().parameters(3);
        let mut file = checkpoint(3, str::to_owned);
        file.tensors.remove(TOKEN_TYPES);
        let (tensors, report) = fit(&specs, file, &config(), 1).unwrap();
        assert_eq!(report.initialised, Vec::<String>::new());
        assert!(tensors[TOKEN_TYPES].values.iter().all(|&value| value == 0.0));
    }

    #[test]
    fn what_cannot_fit_is_an_error_that_names_it() {
        let specs = config().parameters(3);
        let mut file = checkpoint(3, str::to_owned);
        file.tensors.get_mut("bert.embeddings.word_embeddings.weight").unwrap().shape = vec![9, 4];
        let error = fit(&specs, file, &config(), 1).unwrap_err().to_string();
        assert!(error.contains("[9, 4]") && error.contains("[10, 4]"), "{error}");

        let mut file = checkpoint(3, str::to_owned);
        file.tensors.get_mut("classifier.weight").unwrap().shape = vec![3, 5];
        let error = fit(&specs, file, &config(), 1).unwrap_err().to_string();
        assert!(error.contains("[3, 5]") && error.contains("[3, 4]"), "{error}");

        let mut file = checkpoint(3, str::to_owned);
        file.tensors.remove("bert.encoder.layer.1.output.dense.bias");
        let error = fit(&specs, file, &config(), 1).unwrap_err().to_string();
        assert!(error.contains("lacks 1 of") && error.contains("output.dense.bias"), "{error}");

        let mut file = checkpoint(3, str::to_owned);
        let twin = file.tensors["classifier.bias"].clone();
        file.tensors.insert("module.classifier.bias".to_owned(), twin);
        let error = fit(&specs, file, &config(), 1).unwrap_err().to_string();
        assert!(error.contains("twice"), "{error}");
    }

    #[test]
    fn mean_pooling_ignores_the_pooler() {
        let config = ModelConfig { pooling: Pooling::Mean, ..config() };
        let (_, report) =
            fit(&config.parameters(3), checkpoint(3, str::to_owned), &config, 1).unwrap();
        assert_eq!(report.ignored, ["bert.pooler.dense.bias", "bert.pooler.dense.weight"]);
    }
}
