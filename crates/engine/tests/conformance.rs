//! The conformance suite against the CPU engine, at every instruction level of this machine.

mod suite;

use suite::Maker;
use tinymood_core::{
    Engine, EngineError, Infer, ModelConfig, Objective, Pooling, Randomness, TensorSet,
};
use tinymood_engine::{CpuEngine, CpuSettings};
use tinymood_kernels::{Isa, Precision};

/// Every instruction level and precision of this machine.
fn levels() -> Vec<CpuSettings> {
    let mut levels = Vec::new();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let precisions = [Precision::F32, Precision::Bf16].into_iter();
        for precision in precisions.filter(|precision| isa.supports(*precision)) {
            levels.push(CpuSettings { threads: None, isa: Some(isa), precision: Some(precision) });
        }
    }
    levels
}

/// Runs a test of the suite at each level, on one thread and on three.
fn on_all_cpus(test: impl Fn(&Maker)) {
    for level in levels() {
        for threads in [1, 3] {
            let settings = CpuSettings { threads: Some(threads), ..level };
            test(&|config: &ModelConfig, num_labels: usize| -> Box<dyn Engine> {
                Box::new(CpuEngine::new(config.clone(), num_labels, settings).unwrap())
            });
        }
    }
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let exact = |level: &CpuSettings| level.precision == Some(Precision::F32);
    for level in levels().into_iter().filter(exact) {
        let make = |config: &ModelConfig, num_labels: usize| -> Box<dyn Engine> {
            Box::new(CpuEngine::new(config.clone(), num_labels, level).unwrap())
        };
        suite::the_gradient_is_the_slope_of_the_loss(&make);
    }
}

#[test]
fn splitting_a_step_changes_nothing_but_rounding() {
    on_all_cpus(suite::splitting_a_step_changes_nothing_but_rounding);
}

#[test]
fn saved_and_loaded_state_continues_bit_for_bit() {
    on_all_cpus(suite::saved_and_loaded_state_continues_bit_for_bit);
}

#[test]
fn inference_between_steps_sees_all_of_them() {
    on_all_cpus(suite::inference_between_steps_sees_all_of_them);
}

#[test]
fn a_step_without_a_batch_has_no_gradient() {
    on_all_cpus(suite::a_step_without_a_batch_has_no_gradient);
}

#[test]
fn packing_does_not_mix_texts() {
    on_all_cpus(suite::packing_does_not_mix_texts);
}

#[test]
fn refuses_what_does_not_fit() {
    on_all_cpus(suite::refuses_what_does_not_fit);
}

#[test]
fn the_average_follows_and_is_used_when_asked() {
    on_all_cpus(suite::the_average_follows_and_is_used_when_asked);
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    on_all_cpus(suite::a_gradient_that_is_not_finite_changes_nothing);
}

#[test]
fn training_lowers_the_loss() {
    on_all_cpus(suite::training_lowers_the_loss);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for level in levels() {
        let outcomes = [1, 2, 5].map(|threads| {
            let settings = CpuSettings { threads: Some(threads), ..level };
            let config = suite::tiny_config();
            let mut engine = CpuEngine::new(config, suite::LABELS, settings).unwrap();
            suite::initialise(&mut engine);
            suite::train_steps(&mut engine, 0..4);
            suite::snapshot(&mut engine)
        });
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{level:?}");
    }
}

/// Rounding operands to bf16 turns the gradient by little, and not to nothing.
#[test]
fn bf16_stays_near_f32() {
    let bf16 = levels().into_iter().filter(|level| level.precision == Some(Precision::Bf16));
    for level in bf16 {
        let gradient = |precision| {
            let settings = CpuSettings { threads: Some(2), precision: Some(precision), ..level };
            let config = suite::tiny_config();
            let mut engine = CpuEngine::new(config, suite::LABELS, settings).unwrap();
            suite::initialise(&mut engine);
            suite::gradient(&mut engine)
        };
        let [(loss, exact), (rounded_loss, rounded)] =
            [Precision::F32, Precision::Bf16].map(gradient);
        assert!((loss - rounded_loss).abs() < 1e-2 * loss, "{loss} {rounded_loss}");
        for (name, exact) in &exact {
            let (exact, rounded) = (&exact.values, &rounded[name].values);
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
            };
            let cosine = dot(exact, rounded) / (dot(exact, exact) * dot(rounded, rounded)).sqrt();
            // A key's bias moves all scores of a row alike: its gradient is rounding, no more.
            assert!(cosine > 0.999 || name.ends_with("key.bias"), "{name}: {cosine}");
            assert!(exact != rounded, "{name} was not rounded");
        }
    }
}

/// Rounding to 8 bits moves logits by little, at every level alike, and not by nothing.
#[test]
fn int8_stays_near_f32() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for pooling in [Pooling::Cls, Pooling::Mean] {
            let logits = |precision, threads| {
                let config = ModelConfig { pooling, ..suite::tiny_config() };
                let settings = CpuSettings {
                    threads: Some(threads),
                    isa: Some(isa),
                    precision: Some(precision),
                };
                let mut engine = CpuEngine::new(config, suite::LABELS, settings).unwrap();
                suite::initialise(&mut engine);
                let (batch, _) = suite::texts(40, 3);
                engine.infer(&batch).unwrap().values
            };
            let (exact, rounded) = (logits(Precision::F32, 2), logits(Precision::Int8, 2));
            assert_eq!(rounded, logits(Precision::Int8, 3), "threads change no bit");
            let largest = exact.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let squares: f32 = exact.iter().zip(&rounded).map(|(a, b)| (a - b) * (a - b)).sum();
            let error = (squares / exact.len() as f32).sqrt() / largest;
            assert!((1e-5..1e-2).contains(&error), "{isa} {pooling:?}: {error}");
        }
    }
}

#[test]
fn int8_only_infers() {
    let settings = CpuSettings { precision: Some(Precision::Int8), ..CpuSettings::default() };
    let mut engine = CpuEngine::new(suite::tiny_config(), suite::LABELS, settings).unwrap();
    suite::initialise(&mut engine);
    let before = suite::snapshot(&mut engine);
    let (batch, targets) = suite::texts(3, 1);
    let at = Randomness { seed: 1, step: 0, first_token: 0, first_text: 0 };
    let error = engine.accumulate(&batch, &targets, &Objective::bce(), 3, at).unwrap_err();
    assert!(matches!(error, EngineError::OnlyInfers { .. }), "{error}");
    assert!(error.to_string().contains("int8"), "{error}");
    let error = engine.load_tensors(TensorSet::FirstMoment, &before[0]).unwrap_err();
    assert!(matches!(error, EngineError::OnlyInfers { .. }), "{error}");
    engine.step(&suite::update(1));
    assert!(suite::snapshot(&mut engine) == before, "nothing was trained");

    let wide = ModelConfig { intermediate_size: 200_000, ..suite::tiny_config() };
    let error = CpuEngine::new(wide, 3, settings).unwrap_err();
    assert!(error.to_string().contains("200000"), "{error}");
}

#[test]
fn a_precision_that_the_level_lacks_is_refused() {
    let settings = CpuSettings {
        threads: Some(1),
        isa: Some(Isa::Portable),
        precision: Some(Precision::Bf16),
    };
    let error = CpuEngine::new(suite::tiny_config(), 3, settings).unwrap_err();
    assert!(error.to_string().contains("bf16"), "{error}");
}

#[test]
fn threads_out_of_range_are_refused() {
    for threads in [0, 5000] {
        let settings = CpuSettings { threads: Some(threads), ..CpuSettings::default() };
        assert!(CpuEngine::new(suite::tiny_config(), 3, settings).is_err());
    }
}
