//! The real all-MiniLM-L6-v2 against PyTorch (`reference/encoder.py`). Needs its folder, named by
//! TINYMOOD_TEST_MINILM, so it runs on request: `cargo test --workspace --test minilm -- --ignored`.

mod golden;

use std::path::PathBuf;

use golden::{Golden, close, on_all_cpus};
use tinymood_core::{ModelConfig, Objective, Pooling, Randomness, TensorSet, Update};

fn minilm() -> Golden {
    let folder = std::env::var_os("TINYMOOD_TEST_MINILM");
    let folder = folder.expect("TINYMOOD_TEST_MINILM names the folder of all-MiniLM-L6-v2");
    Golden::with_model("minilm", &PathBuf::from(folder))
}

fn config(golden: &Golden, pooling: Pooling) -> ModelConfig {
    ModelConfig {
        pooling,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..golden.config.clone()
    }
}

#[test]
#[ignore = "needs a checkpoint, whose folder TINYMOOD_TEST_MINILM names"]
fn logits_losses_and_every_gradient() {
    let golden = minilm();
    for (name, pooling) in [("cls", Pooling::Cls), ("mean", Pooling::Mean)] {
        on_all_cpus(&config(&golden, pooling), golden.num_labels, |engine| {
            golden.load(engine);
            let (batch, targets) = golden.batch();
            let logits = engine.infer(&batch).unwrap();
            close(&logits.values, golden.tensor(&format!("{name}.logits")), 1e-5, name);
            let at = Randomness { seed: 0, step: 0, first_token: 0, first_text: 0 };
            let rows = batch.num_texts();
            let loss =
                engine.accumulate(&batch, &targets, &Objective::bce(), rows, at).unwrap().loss;
            let expected = golden.number(&[name, "loss"]);
            assert!((loss - expected).abs() < 1e-5 * expected, "{loss} {expected}");
            engine.step(&Update {
                step: 1,
                learning_rate: 0.0,
                layer_decay: 1.0,
                beta1: 0.0,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.0,
                max_grad_norm: None,
                ema_decay: None,
            });
            let gradients = golden::owned(engine.tensors(TensorSet::FirstMoment));
            for (parameter, gradient) in &gradients {
                let values = &gradient.values;
                let squares: f64 = values.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
                let expected = golden.number(&[name, "gradient_norms", parameter]);
                let norm = squares.sqrt();
                if golden::has_no_effect(parameter) {
                    assert!(norm < 1e-5, "{parameter}: {norm}");
                    continue;
                }
                let tolerance = 1e-4 * expected;
                assert!((norm - expected).abs() < tolerance, "{parameter}: {norm} {expected}");
                let at = |k: usize| if values.len() < 64 { k } else { k * values.len() / 64 };
                let count = values.len().min(64);
                let sampled = golden.tensor(&format!("{name}.gradient.{parameter}"));
                let largest = values.iter().fold(1e-6_f32, |scale, value| scale.max(value.abs()));
                for k in 0..count {
                    let (found, expected) = (values[at(k)], sampled[k]);
                    let error = (found - expected).abs() / largest;
                    assert!(error < 1e-4, "{parameter}[{}]: {found} {expected}", at(k));
                }
            }
        });
    }
}

#[test]
#[ignore = "needs a checkpoint, whose folder TINYMOOD_TEST_MINILM names"]
fn ten_steps_of_adamw() {
    let golden = minilm();
    on_all_cpus(&config(&golden, Pooling::Mean), golden.num_labels, |engine| {
        golden.load(engine);
        let update = Update {
            step: 1,
            learning_rate: 0.0,
            layer_decay: 1.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_grad_norm: Some(1.0),
            ema_decay: None,
        };
        golden.ten_steps(engine, "adamw", 2e-4, update);
    });
}
