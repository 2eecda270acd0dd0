//! New parameters, as `transformers.BertPreTrainedModel._init_weights` makes them: weights normal
//! with the configuration's deviation, biases 0, layer norms the identity, `[PAD]`'s embedding 0.
//!
//! A value is a pure function of (seed, name, index), so that it does not depend on what else is
//! initialised: SplitMix64's finaliser (Steele, Lea & Flood, 2014) gives two uniform numbers, the
//! Box-Muller transform a normal one.

use std::f64::consts::TAU;

use tinymood_core::{ModelConfig, ParameterSpec, Tensor};

/// A new tensor for `spec`.
pub fn initialise(spec: &ParameterSpec, config: &ModelConfig, seed: u64) -> Tensor {
    let mut values = if spec.name.ends_with("LayerNorm.weight") {
        vec![1.0; spec.len()]
    } else if spec.name.ends_with(".bias") {
        vec![0.0; spec.len()]
    } else {
        let key = spec.name.bytes().fold(mix(seed), |key, byte| mix(key ^ u64::from(byte)));
        let deviation = f64::from(config.initializer_range);
        (0..spec.len() as u64).map(|index| (deviation * normal(key, index)) as f32).collect()
    };
    if spec.name.ends_with("word_embeddings.weight") {
        let width = config.hidden_size;
        let pad = config.pad_token_id as usize * width;
        if let Some(row) = values.get_mut(pad..pad + width) {
            row.fill(0.0);
        }
    }
    Tensor { shape: spec.shape.clone(), values: values.into() }
}

fn mix(x: u64) -> u64 {
    let mut x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A standard normal number.
fn normal(key: u64, index: u64) -> f64 {
    let uniform = |counter: u64| (mix(key ^ mix(counter)) >> 11) as f64 / (1_u64 << 53) as f64;
    let radius = (-2.0 * (1.0 - uniform(2 * index)).ln()).sqrt();
    radius * (TAU * uniform(2 * index + 1)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_special_cases() {
        let config = ModelConfig::preset("4L-312D").unwrap();
        let specs = config.parameters(28);
        let make = |ending: &str, seed| {
            let spec = specs.iter().find(|spec| spec.name.ends_with(ending)).unwrap();
            initialise(spec, &config, seed)
        };
        let words = make("word_embeddings.weight", 1);
        assert!(words.values[..312].iter().all(|&value| value == 0.0));
        let values = &words.values[312..];
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let square = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n;
        let fourth = values.iter().map(|&x| f64::from(x).powi(4)).sum::<f64>() / n;
        assert!(mean.abs() < 1e-4 && (square.sqrt() - 0.02).abs() < 1e-4, "{mean} {square}");
        assert!((fourth / square.powi(2) - 3.0).abs() < 0.05, "not normal");
        assert_eq!(words, make("word_embeddings.weight", 1));
        assert_ne!(words, make("word_embeddings.weight", 2));
        let (query, key) = (make("query.weight", 1), make("key.weight", 1));
        assert_ne!(query.values[0], key.values[0]);
        assert!(make("LayerNorm.weight", 1).values.iter().all(|&value| value == 1.0));
        assert!(make("classifier.bias", 1).values.iter().all(|&value| value == 0.0));
    }
}
