//! A tiny BERT of head size 26 against PyTorch (`reference/encoder.py`): activations, losses, every
//! gradient, dropout, and ten steps of AdamW; relations (`reference/relations.py`); at every instruction
//! level of this machine.

mod golden;

use std::path::Path;

use golden::{Golden, close, close_gradients, close_tensors};
use tinymood_core::{
    Engine, Loss, ModelConfig, Objective, Pooling, Randomness, TensorMap, TensorSet, Update,
};
use tinymood_engine::losses;
use tinymood_kernels::attention::{Queries, Shape};
use tinymood_kernels::{Cpu, Isa, Operand, Precision, relations};
use tinymood_weights::read_tensors;

fn tiny() -> Golden {
    Golden::read("tiny")
}

fn objectives(golden: &Golden) -> Vec<(&'static str, Objective)> {
    let pos_weight = Some(golden.floats(&["pos_weight"]));
    let smoothing = Objective {
        label_smoothing: 0.1,
        label_priors: golden.floats(&["label_priors"]),
        ..Objective::bce()
    };
    let with = |loss| Objective { loss, ..Objective::bce() };
    vec![
        ("pos_weight", Objective { pos_weight: pos_weight.clone(), ..Objective::bce() }),
        ("focal", with(Loss::Focal { gamma: 2.0, alpha: None })),
        ("focal_alpha", with(Loss::Focal { gamma: 2.0, alpha: Some(0.25) })),
        (
            "asymmetric",
            with(Loss::Asymmetric { gamma_positive: 1.0, gamma_negative: 4.0, clip: 0.05 }),
        ),
        ("smoothing", smoothing.clone()),
        ("smoothing_pos_weight", Objective { pos_weight, ..smoothing }),
    ]
}

/// Dropout off: the goldens of plain passes have none.
fn without_dropout(config: &ModelConfig) -> ModelConfig {
    ModelConfig {
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        classifier_dropout: Some(0.0),
        ..config.clone()
    }
}

/// An update that turns the first moment into the gradient itself and moves nothing.
fn reveal() -> Update {
    Update {
        step: 1,
        learning_rate: 0.0,
        layer_decay: 1.0,
        beta1: 0.0,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        max_grad_norm: None,
        ema_decay: None,
    }
}

fn gradients(engine: &mut dyn Engine) -> TensorMap {
    engine.step(&reveal());
    golden::owned(engine.tensors(TensorSet::FirstMoment))
}

const START: Randomness = Randomness { seed: 0, step: 0, first_token: 0, first_text: 0 };

#[test]
fn logits_losses_and_gradients_are_those_of_pytorch() {
    let golden = tiny();
    for (name, pooling) in [("cls", Pooling::Cls), ("mean", Pooling::Mean)] {
        let config = ModelConfig { pooling, ..without_dropout(&golden.config) };
        golden::on_all_cpus(&config, golden.num_labels, |engine| {
            golden.load(engine);
            let (batch, targets) = golden.batch();
            let logits = engine.infer(&batch).unwrap();
            close(&logits.values, golden.tensor(&format!("{name}.logits")), 1e-5, name);
            let objective = Objective::bce();
            let loss = engine.accumulate(&batch, &targets, &objective, 6, START).unwrap().loss;
            let expected = golden.number(&["losses", name]);
            assert!((loss - expected).abs() < 1e-5 * expected, "{loss} {expected}");
            close_gradients(&gradients(engine), &golden.under(&format!("{name}.gradient")), 1e-4);
        });
    }
}

#[test]
fn every_loss_and_its_slope() {
    let golden = tiny();
    let config = without_dropout(&golden.config);
    golden::on_all_cpus(&config, golden.num_labels, |engine| {
        for (name, objective) in objectives(&golden) {
            golden.load(engine);
            let (batch, targets) = golden.batch();
            let loss = engine.accumulate(&batch, &targets, &objective, 6, START).unwrap().loss;
            let expected = golden.number(&["losses", name]);
            assert!((loss - expected).abs() < 1e-5 * expected, "{name}: {loss} {expected}");
            let found = &gradients(engine)["classifier.weight"].values;
            close(found, golden.tensor(&format!("{name}.gradient.classifier.weight")), 1e-4, name);
        }
    });
    let logits = golden.floats(&["extreme", "logits"]);
    let targets = golden.floats(&["extreme", "targets"]);
    for (name, objective) in objectives(&golden) {
        let mut d_logits = vec![0.0; 10];
        let loss = losses::forward_backward(&objective, &logits, &targets, 5, 10.0, &mut d_logits);
        let expected = golden.number(&["extreme", "losses", name]);
        assert!((loss - expected).abs() < 1e-6 * expected, "{name}: {loss} {expected}");
        close(&d_logits, golden.tensor(&format!("extreme.{name}.d_logits")), 1e-5, name);
    }
}

#[test]
fn dropout_with_the_same_masks() {
    let golden = tiny();
    for (name, pooling) in [("cls", Pooling::Cls), ("mean", Pooling::Mean)] {
        let config = ModelConfig { pooling, ..golden.config.clone() };
        golden::on_all_cpus(&config, golden.num_labels, |engine| {
            for (case, first_token, first_text) in [("dropout", 0, 0), ("dropout_later", 1000, 50)]
            {
                golden.load(engine);
                let (batch, targets) = golden.batch();
                let at = Randomness { seed: 12_345_678_901, step: 7, first_token, first_text };
                let objective = Objective::bce();
                let loss = engine.accumulate(&batch, &targets, &objective, 6, at).unwrap().loss;
                let expected = golden.number(&["losses", &format!("{case}.{name}")]);
                assert!((loss - expected).abs() < 1e-5 * expected, "{case}: {loss} {expected}");
                if case == "dropout" {
                    let expected = golden.under(&format!("dropout.{name}.gradient"));
                    close_gradients(&gradients(engine), &expected, 1e-4);
                }
            }
        });
    }
}

#[test]
fn ten_steps_of_adamw() {
    let golden = tiny();
    for (run, pooling, layer_decay, ema_decay) in
        [("adamw", Pooling::Cls, 1.0, None), ("adamw_layered", Pooling::Mean, 0.8, Some(0.9))]
    {
        let config = ModelConfig { pooling, ..without_dropout(&golden.config) };
        golden::on_all_cpus(&config, golden.num_labels, |engine| {
            golden.load(engine);
            let update = Update {
                layer_decay,
                ema_decay,
                beta1: 0.9,
                weight_decay: 0.05,
                max_grad_norm: Some(0.5),
                ..reveal()
            };
            golden.ten_steps(engine, run, 3e-3, update);
            let found = golden::owned(engine.tensors(TensorSet::Parameters));
            close_tensors(&found, &golden.under(&format!("{run}.final")), 1e-4);
            if ema_decay.is_some() {
                let found = golden::owned(engine.tensors(TensorSet::Average));
                close_tensors(&found, &golden.under(&format!("{run}.average")), 1e-4);
            }
        });
    }
}

#[test]
fn relations_and_their_slopes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/relations.safetensors");
    let golden = read_tensors(&path).unwrap().tensors;
    let values = |name: &str| -> &[f32] { &golden[name].values };
    let lengths: Vec<usize> = values("lengths").iter().map(|&length| length as usize).collect();
    let mut cumulative_lengths = vec![0];
    let mut weights = Vec::new();
    for length in &lengths {
        cumulative_lengths.push(cumulative_lengths[cumulative_lengths.len() - 1] + *length as u32);
        weights.extend(vec![1.0 / (lengths.len() * length) as f32; *length]);
    }
    let (tokens, width) = (weights.len(), golden["student"].shape[1]);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let cpu = Cpu::new(isa, Precision::F32, 2).unwrap();
        for heads in [1, 2, 4] {
            let head_size = width / 3 / heads;
            let shape = Shape {
                cumulative_lengths: &cumulative_lengths,
                heads,
                head_size,
                queries: Queries::All,
            };
            let (mut student, mut d_student) = (Operand::default(), Operand::default());
            student.set(&cpu, values("student"), width);
            d_student.set(&cpu, &vec![0.0; tokens * width], width);
            let (mut losses, teacher) = (vec![f32::NAN; tokens * heads], values("teacher"));
            let (view, d_view) = (student.view(), &mut d_student);
            relations::forward_backward(&cpu, shape, view, teacher, &weights, &mut losses, d_view);

            let text = |pair: &[u32]| pair[0] as usize * heads..pair[1] as usize * heads;
            let texts = cumulative_lengths.windows(2).map(|pair| &losses[text(pair)]);
            let found: Vec<f32> =
                texts.map(|losses| lengths.len() as f32 * losses.iter().sum::<f32>()).collect();
            close(&found, values(&format!("{heads}.losses")), 1e-5, "losses");
            let expected = values(&format!("{heads}.d_student"));
            close(&d_student.view().to_f32(), expected, 1e-5, "d_student");
        }
    }
}
