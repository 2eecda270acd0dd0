//! The conformance suite against the CPU engine, at every instruction level of this machine.

mod suite;

use suite::Maker;
use tinymood_core::{Engine, ModelConfig};
use tinymood_engine::{CpuEngine, CpuSettings};
use tinymood_kernels::Isa;

/// Runs a test of the suite at each level, on one thread and on three.
fn on_all_cpus(test: impl Fn(&Maker)) {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for threads in [1, 3] {
            let settings = CpuSettings { threads: Some(threads), isa: Some(isa) };
            test(&|config: &ModelConfig, num_labels: usize| -> Box<dyn Engine> {
                Box::new(CpuEngine::new(config.clone(), num_labels, settings).unwrap())
            });
        }
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
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let outcomes = [1, 2, 5].map(|threads| {
            let settings = CpuSettings { threads: Some(threads), isa: Some(isa) };
            let config = suite::tiny_config();
            let mut engine = CpuEngine::new(config, suite::LABELS, settings).unwrap();
            suite::initialise(&mut engine);
            suite::train_steps(&mut engine, 0..4);
            suite::snapshot(&engine)
        });
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{isa}");
    }
}

#[test]
fn threads_out_of_range_are_refused() {
    for threads in [0, 5000] {
        let settings = CpuSettings { threads: Some(threads), isa: None };
        assert!(CpuEngine::new(suite::tiny_config(), 3, settings).is_err());
    }
}
