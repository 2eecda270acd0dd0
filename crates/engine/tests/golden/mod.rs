//! What PyTorch computed, and how near is near enough.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tinymood_core::{
    Engine, ModelConfig, Objective, PackedBatch, Randomness, Targets, Tensor, TensorMap, TensorSet,
    TensorView, Update,
};
use tinymood_engine::{CpuEngine, CpuSettings};
use tinymood_kernels::{Isa, Precision};
use tinymood_weights::{TensorFile, fit, read_tensors};

/// The goldens of one model.
pub struct Golden {
    folder: PathBuf,
    record: Value,
    tensors: TensorMap,
    pub config: ModelConfig,
    pub num_labels: usize,
}

impl Golden {
    /// Goldens of a model that lies beside them.
    pub fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/encoder").join(name);
        Self::with_model(name, &folder)
    }

    /// Goldens of a model in a folder of its own.
    pub fn with_model(name: &str, model: &Path) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/encoder").join(name);
        let text = |path: PathBuf| {
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let record: Value = serde_json::from_str(&text(folder.join("goldens.json"))).unwrap();
        let tensors = read_tensors(&folder.join("goldens.safetensors")).unwrap().tensors;
        let config = ModelConfig::from_json(&text(model.join("config.json"))).unwrap();
        let rows = record["lengths"].as_array().unwrap().len();
        let num_labels = record["targets"].as_array().unwrap().len() / rows;
        Self { folder: model.to_owned(), record, tensors, config, num_labels }
    }

    /// Loads the model's weights, and the golden's own classifier where it has one.
    pub fn load(&self, engine: &mut dyn Engine) {
        let mut file = read_tensors(&self.folder.join("model.safetensors")).unwrap();
        for name in ["classifier.weight", "classifier.bias"] {
            if let Some(tensor) = self.tensors.get(name) {
                file.tensors.insert(name.to_owned(), tensor.clone());
            }
        }
        let specs = engine.config().parameters(self.num_labels);
        let file = TensorFile { tensors: file.tensors, ..TensorFile::default() };
        let (tensors, report) = fit(&specs, file, engine.config(), 0).unwrap();
        assert!(report.initialised.is_empty(), "{report}");
        engine.load_tensors(TensorSet::Parameters, &tensors).unwrap();
    }

    pub fn value(&self, path: &[&str]) -> &Value {
        path.iter().fold(&self.record, |value, key| &value[*key])
    }

    pub fn number(&self, path: &[&str]) -> f64 {
        self.value(path).as_f64().unwrap_or_else(|| panic!("no number at {path:?}"))
    }

    pub fn floats(&self, path: &[&str]) -> Vec<f32> {
        let list = self.value(path).as_array().unwrap_or_else(|| panic!("no list at {path:?}"));
        list.iter().map(|value| value.as_f64().unwrap() as f32).collect()
    }

    pub fn tensor(&self, name: &str) -> &[f32] {
        &self.tensors.get(name).unwrap_or_else(|| panic!("no golden {name}")).values
    }

    /// The tensors whose names begin with a prefix, without it.
    pub fn under(&self, prefix: &str) -> TensorMap {
        let prefix = format!("{prefix}.");
        let found = self.tensors.iter().filter_map(|(name, tensor)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), tensor.clone()))
        });
        found.collect()
    }

    /// All texts.
    pub fn batch(&self) -> (PackedBatch, Targets) {
        let rows = self.value(&["lengths"]).as_array().unwrap().len();
        self.rows(0..rows)
    }

    fn rows(&self, rows: impl IntoIterator<Item = usize>) -> (PackedBatch, Targets) {
        let ids: Vec<u32> = self.floats(&["token_ids"]).iter().map(|&id| id as u32).collect();
        let lengths: Vec<usize> = self.floats(&["lengths"]).iter().map(|&n| n as usize).collect();
        let targets = self.floats(&["targets"]);
        let mut batch = PackedBatch::new();
        let mut values = Vec::new();
        for row in rows {
            let start: usize = lengths[..row].iter().sum();
            batch.push(row, &ids[start..start + lengths[row]]);
            values.extend_from_slice(&targets[row * self.num_labels..][..self.num_labels]);
        }
        (batch, Targets { values, num_labels: self.num_labels })
    }

    /// The recorded steps, three texts each: losses to 1e-5, norms to 1e-4.
    pub fn ten_steps(
        &self,
        engine: &mut dyn Engine,
        run: &str,
        learning_rate: f32,
        update: Update,
    ) {
        let rows = self.value(&["lengths"]).as_array().unwrap().len();
        let losses = self.value(&[run, "losses"]).as_array().unwrap();
        assert_eq!(losses.len(), 10);
        for (step, loss) in losses.iter().enumerate() {
            let (batch, targets) = self.rows((0..3).map(|i| (step + i) % rows));
            let at = Randomness { seed: 0, step: step as u64, first_token: 0, first_text: 0 };
            let found = engine.accumulate(&batch, &targets, &Objective::bce(), 3, at).unwrap().loss;
            let expected = loss.as_f64().unwrap();
            assert!((found - expected).abs() < 1e-5 * expected, "{step}: {found} {expected}");
            let factor = self.value(&[run, "factors"])[step].as_f64().unwrap() as f32;
            let learning_rate = learning_rate * factor;
            let found = engine.step(&Update { step: step as u64 + 1, learning_rate, ..update });
            let expected = self.value(&[run, "gradient_norms"])[step].as_f64().unwrap();
            let found = found.gradient_norm;
            assert!((found - expected).abs() < 1e-4 * expected, "{step}: {found} {expected}");
        }
    }
}

/// Runs a test at each instruction level in f32, on two threads.
pub fn on_all_cpus(config: &ModelConfig, num_labels: usize, test: impl Fn(&mut dyn Engine)) {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let settings =
            CpuSettings { threads: Some(2), isa: Some(isa), precision: Some(Precision::F32) };
        test(&mut CpuEngine::new(config.clone(), num_labels, settings).unwrap());
    }
}

pub fn owned(views: Vec<TensorView<'_>>) -> TensorMap {
    let owned = |view: TensorView<'_>| {
        let tensor =
            Tensor { shape: view.shape.into_owned(), values: view.values.into_owned().into() };
        (view.name.into_owned(), tensor)
    };
    views.into_iter().map(owned).collect()
}

/// Within `tolerance` of the largest expected value.
pub fn close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-6_f32, |scale, value| scale.max(value.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / scale;
        assert!(error <= tolerance, "{what}[{i}]: {found}, PyTorch {expected}, off by {error:.1e}");
    }
}

/// Whether a parameter has no effect: a key's bias adds the same to all scores of a query, which the
/// softmax takes away again. Its gradient is rounding alone, and AdamW makes full steps of it.
pub fn has_no_effect(name: &str) -> bool {
    name.ends_with("attention.self.key.bias")
}

/// Each tensor of `expected` within `tolerance`, but for those without effect.
pub fn close_tensors(found: &TensorMap, expected: &TensorMap, tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (name, expected) in expected.iter().filter(|(name, _)| !has_no_effect(name)) {
        close(&found[name].values, &expected.values, tolerance, name);
    }
}

/// Gradients: as [`close_tensors`], and those without effect next to nothing.
pub fn close_gradients(found: &TensorMap, expected: &TensorMap, tolerance: f32) {
    close_tensors(found, expected, tolerance);
    for (name, gradient) in found.iter().filter(|(name, _)| has_no_effect(name)) {
        assert!(gradient.values.iter().all(|value| value.abs() < 1e-6), "{name}");
    }
}
