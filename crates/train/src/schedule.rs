//! The learning rate of each step: a pure function of the step, as `transformers` defines it.

use crate::choices::ScheduleKind;
use crate::settings::TrainSettings;

/// The learning rates of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// How the rate falls after warm-up.
    pub kind: ScheduleKind,
    /// The largest rate.
    pub peak: f64,
    /// Steps in which the rate rises from 0.
    pub warmup_steps: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
}

impl Schedule {
    /// The schedule that settings ask for in a run of `total_steps`.
    pub fn new(settings: &TrainSettings, total_steps: u64) -> Self {
        Self {
            kind: settings.recipe().schedule,
            peak: settings.recipe().learning_rate,
            warmup_steps: settings.warmup_steps(total_steps),
            total_steps,
        }
    }

    /// The rate of the step that follows `steps_taken` others
    /// (`transformers.get_{linear,cosine,constant}_schedule_with_warmup`, so the first step of a
    /// warm-up has rate 0 and the last step of the run has not).
    pub fn learning_rate(&self, steps_taken: u64) -> f64 {
        self.peak * self.factor(steps_taken)
    }

    fn factor(&self, steps_taken: u64) -> f64 {
        if steps_taken < self.warmup_steps {
            return steps_taken as f64 / self.warmup_steps as f64;
        }
        let falling = self.total_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let left = self.total_steps.saturating_sub(steps_taken) as f64;
        match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Linear => left / falling,
            ScheduleKind::Cosine => {
                let progress = (steps_taken - self.warmup_steps) as f64 / falling;
                (0.5 * (1.0 + (std::f64::consts::PI * progress).cos())).max(0.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(kind: ScheduleKind, warmup_steps: u64, total_steps: u64) -> Vec<f64> {
        let schedule = Schedule { kind, peak: 2e-4, warmup_steps, total_steps };
        (0..=total_steps).map(|step| schedule.learning_rate(step)).collect()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= 1e-15 * expected.abs().max(1.0),
                "{found} {expected}"
            );
        }
    }

    /// `transformers.get_linear_schedule_with_warmup(optimizer, 3, 12)` at rate 2e-4.
    #[test]
    fn linear_is_that_of_transformers() {
        let expected = [
            0.0,
            6.666666666666667e-05,
            0.00013333333333333334,
            0.0002,
            0.00017777777777777779,
            0.00015555555555555556,
            0.00013333333333333334,
            0.00011111111111111112,
            8.888888888888889e-05,
            6.666666666666667e-05,
            4.4444444444444447e-05,
            2.2222222222222223e-05,
            0.0,
        ];
        assert_close(&rates(ScheduleKind::Linear, 3, 12), &expected);
        // Without warm-up the first step has the full rate, as in the recipe `seed`.
        let expected = [2e-4, 1.6e-4, 1.2e-4, 8e-5, 4e-5, 0.0];
        assert_close(&rates(ScheduleKind::Linear, 0, 5), &expected);
    }

    /// `transformers.get_cosine_schedule_with_warmup(optimizer, 3, 12)` at rate 2e-4.
    #[test]
    fn cosine_is_that_of_transformers() {
        let expected = [
            0.0,
            6.666666666666667e-05,
            0.00013333333333333334,
            0.0002,
            0.00019396926207859084,
            0.0001766044443118978,
            0.00015000000000000001,
            0.00011736481776669306,
            8.263518223330697e-05,
            5.000000000000002e-05,
            2.339555568810221e-05,
            6.030737921409169e-06,
            0.0,
        ];
        assert_close(&rates(ScheduleKind::Cosine, 3, 12), &expected);
    }

    #[test]
    fn constant_stays_after_warm_up() {
        let expected = [0.0, 1e-4, 2e-4, 2e-4, 2e-4];
        assert_close(&rates(ScheduleKind::Constant, 2, 4), &expected);
    }

    #[test]
    fn no_rate_is_out_of_bounds() {
        for kind in [ScheduleKind::Linear, ScheduleKind::Cosine, ScheduleKind::Constant] {
            for (warmup, total) in [(0, 1), (1, 1), (5, 3), (0, 0), (2, 7)] {
                let schedule =
                    Schedule { kind, peak: 1.0, warmup_steps: warmup, total_steps: total };
                for step in [0, 1, 2, 3, 10, u64::MAX] {
                    let rate = schedule.learning_rate(step);
                    assert!(
                        (0.0..=1.0).contains(&rate),
                        "{kind:?} {warmup} {total} {step}: {rate}"
                    );
                }
            }
        }
    }
}
