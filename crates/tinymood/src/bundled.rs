//! The encoder and the classifier that are part of the program, so that the first command needs neither
//! a network nor a folder (`assets/README.md` says how they were made).

use std::path::Path;

use tinymood_weights::{ModelFolder, WeightsError, read_static_model};

/// The name of either, where a model or a start is asked for.
pub(crate) const NAME: &str = "bundled";

/// Files of a model folder.
struct Files {
    config: &'static str,
    weights: &'static [u8],
}

#[cfg(feature = "bundled")]
const ENCODER: Option<Files> = Some(Files {
    config: include_str!("../../../assets/encoder/config.json"),
    weights: include_bytes!("../../../assets/encoder/model.safetensors"),
});
#[cfg(feature = "bundled")]
const CLASSIFIER: Option<Files> = Some(Files {
    config: include_str!("../../../assets/classifier/config.json"),
    weights: include_bytes!("../../../assets/classifier/model.safetensors"),
});
#[cfg(feature = "bundled")]
const THRESHOLDS: &str = include_str!("../../../assets/classifier/thresholds.json");

#[cfg(not(feature = "bundled"))]
const ENCODER: Option<Files> = None;
#[cfg(not(feature = "bundled"))]
const CLASSIFIER: Option<Files> = None;
#[cfg(not(feature = "bundled"))]
const THRESHOLDS: &str = "";

/// The encoder that training starts from; `None` where it was left out of the build.
///
/// # Errors
/// None but for a damaged build.
pub(crate) fn encoder() -> Result<Option<ModelFolder>, WeightsError> {
    ENCODER.map(|files| read("encoder", files)).transpose()
}

/// The classifier that answers where none is named, with its `thresholds.json`; `None` where it was
/// left out of the build.
///
/// # Errors
/// None but for a damaged build.
pub(crate) fn classifier() -> Result<Option<(ModelFolder, &'static str)>, WeightsError> {
    let model = CLASSIFIER.map(|files| read("classifier", files)).transpose()?;
    Ok(model.map(|model| (model, THRESHOLDS)))
}

/// SHA-256 of the classifier's weights, in hexadecimal; of nothing, where they were left out.
pub(crate) fn classifier_sha256() -> String {
    tinymood_hub::sha256(CLASSIFIER.map_or(&[], |files| files.weights))
}

fn read(name: &str, files: Files) -> Result<ModelFolder, WeightsError> {
    read_static_model(&Path::new(NAME).join(name), files.config, files.weights)
}
