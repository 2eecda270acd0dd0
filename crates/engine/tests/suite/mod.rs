//! What every engine must do, whatever it computes with: written against the interface alone.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part

use std::ops::Range;

use tinymood_core::{
    Engine, EngineError, ModelConfig, Objective, PackedBatch, Pooling, Randomness, Targets, Tensor,
    TensorMap, TensorSet, Update,
};

/// Makes an engine of a configuration and a number of labels.
pub type Maker<'a> = dyn Fn(&ModelConfig, usize) -> Box<dyn Engine> + 'a;

pub const LABELS: usize = 5;

/// Two layers, two heads of 26, sizes that are no multiple of any vector.
pub fn tiny_config() -> ModelConfig {
    ModelConfig {
        vocab_size: 60,
        hidden_size: 52,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 90,
        max_position_embeddings: 40,
        ..ModelConfig::preset("4L-312D").unwrap()
    }
}

/// Numbers between -1 and 1 without a pattern: waves would make weights of rank 2, in which gradients
/// cancel and rounding does not.
fn noise(tensor: usize, index: usize) -> f32 {
    let mut bits = ((tensor as u64) << 32 | index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits ^= bits >> 31;
    bits = bits.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
}

pub fn initialise(engine: &mut dyn Engine) {
    let parameters = engine.config().parameters(engine.num_labels());
    let tensors: TensorMap = parameters
        .into_iter()
        .enumerate()
        .map(|(t, spec)| {
            let center = if spec.name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
            let values = (0..spec.len()).map(|i| center + 0.2 * noise(t, i)).collect();
            (spec.name, Tensor { shape: spec.shape, values })
        })
        .collect();
    engine.load_tensors(TensorSet::Parameters, &tensors).unwrap();
}

/// Texts of 1 to 31 tokens; the same for the same `seed`.
pub fn texts(count: usize, seed: usize) -> (PackedBatch, Targets) {
    let mut batch = PackedBatch::new();
    let mut values = Vec::new();
    for row in 0..count {
        let length = 1 + (row * 7 + seed * 5) % 31;
        let ids: Vec<u32> = (0..length).map(|i| ((i * 11 + row * 3 + seed) % 60) as u32).collect();
        batch.push(row, &ids);
        values.extend((0..LABELS).map(|label| f32::from((row + label + seed).is_multiple_of(3))));
    }
    (batch, Targets { values, num_labels: LABELS })
}

fn slice(batch: &PackedBatch, targets: &Targets, rows: Range<usize>) -> (PackedBatch, Targets) {
    let mut part = PackedBatch::new();
    for row in rows.clone() {
        let range = batch.ranges().nth(row).unwrap();
        part.push(row, &batch.token_ids()[range]);
    }
    let values = targets.values[rows.start * LABELS..rows.end * LABELS].to_vec();
    (part, Targets { values, num_labels: LABELS })
}

pub fn update(step: u64) -> Update {
    Update {
        step,
        learning_rate: 3e-3,
        layer_decay: 0.9,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.05,
        max_grad_norm: Some(0.5),
        ema_decay: Some(0.9),
    }
}

pub fn at_step(step: u64) -> Randomness {
    Randomness { seed: 42, step, first_token: 0, first_text: 0 }
}

pub fn train_steps(engine: &mut dyn Engine, steps: Range<u64>) -> Vec<f64> {
    let mut losses = Vec::new();
    for step in steps {
        let (batch, targets) = texts(6, step as usize);
        let objective = Objective::bce();
        let rows = batch.num_texts();
        let loss = engine.accumulate(&batch, &targets, &objective, rows, at_step(step)).unwrap();
        losses.push(loss.loss);
        assert!(engine.step(&update(step + 1)).gradient_norm.is_finite());
    }
    losses
}

/// The loss and the gradient of one batch, read from the first moment of a step that moves nothing.
pub fn gradient(engine: &mut dyn Engine) -> (f64, TensorMap) {
    let (batch, targets) = texts(6, 0);
    let rows = batch.num_texts();
    let objective = Objective::bce();
    let loss = engine.accumulate(&batch, &targets, &objective, rows, at_step(0)).unwrap().loss;
    engine.step(&Update { learning_rate: 0.0, beta1: 0.0, max_grad_norm: None, ..update(1) });
    let [_, _, first_moment, _] = snapshot(engine).try_into().expect("four sets");
    (loss, first_moment)
}

/// A small step along the gradient changes the loss by the gradient's length times the step's. Dropout
/// is the same on both sides, so that the loss is a function of the weights alone.
pub fn the_gradient_is_the_slope_of_the_loss(make: &Maker<'_>) {
    for layers in [1, 2, 3] {
        for pooling in [Pooling::Cls, Pooling::Mean] {
            let config = ModelConfig { num_hidden_layers: layers, pooling, ..tiny_config() };
            let mut engine = make(&config, LABELS);
            initialise(&mut *engine);
            let weights = snapshot(&mut *engine).swap_remove(0);
            let (_, slope) = gradient(&mut *engine);
            let squares = slope.values().flat_map(|tensor| tensor.values.iter().copied());
            let length = squares.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            let step = 1e-2 / length;
            let mut loss_at = |step: f64| {
                let mut moved = weights.clone();
                for (name, tensor) in &mut moved {
                    let along = &slope[name].values;
                    tensor.values = tensor
                        .values
                        .iter()
                        .zip(along.iter())
                        .map(|(w, g)| w + step as f32 * g)
                        .collect();
                }
                engine.load_tensors(TensorSet::Parameters, &moved).unwrap();
                gradient(&mut *engine).0
            };
            let found = (loss_at(step) - loss_at(-step)) / (2.0 * step * length * length);
            assert!(
                (found - 1.0).abs() < 0.01,
                "{layers} layers, {pooling:?}: {found} of the slope"
            );
        }
    }
}

const SETS: [TensorSet; 4] =
    [TensorSet::Parameters, TensorSet::Average, TensorSet::FirstMoment, TensorSet::SecondMoment];

/// All sets of tensors, in [`SETS`] order.
pub fn snapshot(engine: &mut dyn Engine) -> Vec<TensorMap> {
    let set = |set| -> TensorMap {
        let views = engine.tensors(set).into_iter();
        views
            .map(|view| {
                let tensor = Tensor {
                    shape: view.shape.into_owned(),
                    values: view.values.into_owned().into(),
                };
                (view.name.into_owned(), tensor)
            })
            .collect()
    };
    SETS.map(set).to_vec()
}

fn restore(engine: &mut dyn Engine, snapshot: &[TensorMap]) {
    for (set, tensors) in SETS.into_iter().zip(snapshot) {
        engine.load_tensors(set, tensors).unwrap();
    }
}

fn largest_difference(a: &TensorMap, b: &TensorMap) -> f32 {
    let pairs = a.iter().zip(b).flat_map(|(a, b)| a.1.values.iter().zip(b.1.values.iter()));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

pub fn splitting_a_step_changes_nothing_but_rounding(make: &Maker<'_>) {
    for pooling in [Pooling::Cls, Pooling::Mean] {
        let config = ModelConfig { pooling, ..tiny_config() };
        let (batch, targets) = texts(9, 1);
        let mut whole = make(&config, LABELS);
        initialise(&mut *whole);
        let objective = Objective::bce();
        let loss = whole.accumulate(&batch, &targets, &objective, 9, at_step(7)).unwrap().loss;

        let mut split = make(&config, LABELS);
        initialise(&mut *split);
        let mut total = 0.0;
        let (mut first_token, mut first_text) = (0, 0);
        for rows in [0..4, 4..5, 5..9] {
            let (part, part_targets) = slice(&batch, &targets, rows);
            let at = Randomness { first_token, first_text, ..at_step(7) };
            total += split.accumulate(&part, &part_targets, &objective, 9, at).unwrap().loss;
            first_token += part.num_tokens() as u64;
            first_text += part.num_texts() as u64;
        }
        assert!((loss - total).abs() < 1e-9, "{loss} {total}");
        let (a, b) = (whole.step(&update(1)), split.step(&update(1)));
        let tolerance = 1e-5 * a.gradient_norm;
        assert!((a.gradient_norm - b.gradient_norm).abs() < tolerance, "{a:?} {b:?}");
        // The first moment is a tenth of the clipped gradient.
        let (a, b) = (snapshot(&mut *whole), snapshot(&mut *split));
        assert!(largest_difference(&a[2], &b[2]) < 1e-7);
    }
}

pub fn saved_and_loaded_state_continues_bit_for_bit(make: &Maker<'_>) {
    let mut through = make(&tiny_config(), LABELS);
    initialise(&mut *through);
    train_steps(&mut *through, 0..3);
    let saved = snapshot(&mut *through);
    let losses = train_steps(&mut *through, 3..6);

    let mut resumed = make(&tiny_config(), LABELS);
    restore(&mut *resumed, &saved);
    assert_eq!(train_steps(&mut *resumed, 3..6), losses);
    assert_eq!(snapshot(&mut *resumed), snapshot(&mut *through));
}

pub fn packing_does_not_mix_texts(make: &Maker<'_>) {
    for pooling in [Pooling::Cls, Pooling::Mean] {
        let mut engine = make(&ModelConfig { pooling, ..tiny_config() }, LABELS);
        initialise(&mut *engine);
        let (batch, targets) = texts(9, 2);
        let together = engine.infer(&batch).unwrap();
        for (row, logits) in together.rows().enumerate() {
            let (alone, _) = slice(&batch, &targets, row..row + 1);
            let alone = engine.infer(&alone).unwrap();
            for (a, b) in alone.values.iter().zip(logits) {
                assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "row {row}: {a} {b}");
            }
        }
        assert!(engine.infer(&PackedBatch::new()).unwrap().values.is_empty());
    }
}

pub fn refuses_what_does_not_fit(make: &Maker<'_>) {
    let mut engine = make(&tiny_config(), LABELS);
    initialise(&mut *engine);
    let before = snapshot(&mut *engine);
    let mut outside = PackedBatch::new();
    outside.push(3, &[1, 60]);
    assert!(matches!(engine.infer(&outside), Err(EngineError::Batch(_))));
    let (batch, targets) = texts(2, 0);
    let objective = Objective::bce();
    let wrong = Targets { values: vec![0.0; 3], num_labels: 3 };
    assert!(engine.accumulate(&batch, &wrong, &objective, 2, at_step(0)).is_err());
    let weights = Objective { pos_weight: Some(vec![1.0; 2]), ..Objective::bce() };
    let error = engine.accumulate(&batch, &targets, &weights, 2, at_step(0)).unwrap_err();
    assert_eq!(error.to_string(), "pos_weight has 2 values, the model has 5 labels");

    let mut tensors = before[0].clone();
    tensors.get_mut("classifier.weight").unwrap().shape = vec![52, 5];
    let error = engine.load_tensors(TensorSet::Parameters, &tensors).unwrap_err().to_string();
    assert!(error.contains("[52, 5]") && error.contains("[5, 52]"), "{error}");
    tensors = before[0].clone();
    tensors.remove("classifier.bias");
    let error = engine.load_tensors(TensorSet::Parameters, &tensors).unwrap_err().to_string();
    assert!(error.contains("classifier.bias") && error.contains("missing"), "{error}");
    tensors = before[0].clone();
    tensors.insert("extra".to_owned(), Tensor { shape: vec![1], values: vec![0.0].into() });
    let error = engine.load_tensors(TensorSet::Parameters, &tensors).unwrap_err().to_string();
    assert!(error.contains("extra"), "{error}");
    assert_eq!(snapshot(&mut *engine), before);
}

pub fn the_average_follows_and_is_used_when_asked(make: &Maker<'_>) {
    let mut engine = make(&tiny_config(), LABELS);
    initialise(&mut *engine);
    let start = snapshot(&mut *engine);
    assert!(start[1].is_empty());
    train_steps(&mut *engine, 0..1);
    let after = snapshot(&mut *engine);
    let names = after[1].keys();
    for name in names {
        let values = start[0][name].values.iter().zip(&after[0][name].values);
        for ((old, new), average) in values.zip(&after[1][name].values) {
            assert!((0.9 * old + 0.1 * new - average).abs() < 1e-6, "{name}");
        }
    }
    let (batch, _) = texts(3, 0);
    let plain = engine.infer(&batch).unwrap();
    engine.infer_with_average(true);
    let averaged = engine.infer(&batch).unwrap();
    assert_ne!(plain, averaged);
    let mut other = make(&tiny_config(), LABELS);
    other.load_tensors(TensorSet::Parameters, &after[1]).unwrap();
    assert_eq!(other.infer(&batch).unwrap(), averaged);
    engine.infer_with_average(false);
    assert_eq!(engine.infer(&batch).unwrap(), plain);
    // Training goes on from the weights, not from the average.
    engine.infer_with_average(true);
    let mut twin = make(&tiny_config(), LABELS);
    restore(&mut *twin, &after);
    assert_eq!(train_steps(&mut *engine, 1..3), train_steps(&mut *twin, 1..3));
}

pub fn a_gradient_that_is_not_finite_changes_nothing(make: &Maker<'_>) {
    let mut engine = make(&tiny_config(), LABELS);
    initialise(&mut *engine);
    train_steps(&mut *engine, 0..1);
    let before = snapshot(&mut *engine);
    let (batch, mut targets) = texts(3, 0);
    targets.values[4] = f32::NAN;
    let objective = Objective::bce();
    let loss = engine.accumulate(&batch, &targets, &objective, 3, at_step(1)).unwrap().loss;
    assert!(loss.is_nan());
    assert!(!engine.step(&update(2)).gradient_norm.is_finite());
    assert_eq!(snapshot(&mut *engine), before);
    // And the broken gradient is gone.
    let mut twin = make(&tiny_config(), LABELS);
    restore(&mut *twin, &before);
    assert_eq!(train_steps(&mut *engine, 1..2), train_steps(&mut *twin, 1..2));
}

pub fn training_lowers_the_loss(make: &Maker<'_>) {
    let config = ModelConfig {
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..tiny_config()
    };
    let mut engine = make(&config, LABELS);
    initialise(&mut *engine);
    let (batch, targets) = texts(6, 0);
    let objective = Objective::bce();
    let mut losses = Vec::new();
    for step in 0..40 {
        let at = at_step(step);
        losses.push(engine.accumulate(&batch, &targets, &objective, 6, at).unwrap().loss);
        engine.step(&update(step + 1));
    }
    assert!(losses[39] < 0.5 * losses[0], "{losses:?}");
}

/// Whatever an engine puts off, inference sees the weights as they are after the last step: those of
/// the words of no batch too.
pub fn inference_between_steps_sees_all_of_them(maker: &Maker) {
    let mut engine = maker(&tiny_config(), LABELS);
    initialise(&mut *engine);
    // Words 40 and up have gradients in the first steps and none in the later ones.
    for step in 0..40 {
        let first = if step < 3 { 40 } else { 0 };
        let mut batch = PackedBatch::new();
        let ids: Vec<u32> = (0..8).map(|i| first + (i * 5 + step as u32) % 20).collect();
        batch.push(0, &ids);
        let targets = Targets { values: vec![1.0; LABELS], num_labels: LABELS };
        engine.accumulate(&batch, &targets, &Objective::bce(), 1, at_step(step)).unwrap();
        engine.step(&update(step + 1));
    }
    let mut all = PackedBatch::new();
    all.push(0, &(0..30).collect::<Vec<u32>>());
    all.push(1, &(30..60).collect::<Vec<u32>>());
    for average in [false, true] {
        let at_once = engine.infer(&all).unwrap();
        engine.infer_with_average(average);
        let found = engine.infer(&all).unwrap();
        if !average {
            assert_eq!(at_once, found);
        }
        let set = if average { TensorSet::Average } else { TensorSet::Parameters };
        let mut fresh = maker(&tiny_config(), LABELS);
        let tensors = snapshot(&mut *engine);
        let index = SETS.iter().position(|of| *of == set).unwrap();
        fresh.load_tensors(TensorSet::Parameters, &tensors[index]).unwrap();
        assert_eq!(fresh.infer(&all).unwrap(), found, "average: {average}");
    }
}

/// A step that no batch came before has a gradient of zero: not that of the step before.
pub fn a_step_without_a_batch_has_no_gradient(maker: &Maker) {
    let mut engine = maker(&tiny_config(), LABELS);
    initialise(&mut *engine);
    train_steps(&mut *engine, 0..2);
    let before = snapshot(&mut *engine);
    assert_eq!(engine.step(&update(3)).gradient_norm, 0.0);
    let after = snapshot(&mut *engine);
    for (name, tensor) in &before[2] {
        let faded: Vec<f32> = tensor.values.iter().map(|m| update(3).beta1 * m).collect();
        assert_eq!(faded, *after[2][name].values, "first moment of {name}");
    }
}
