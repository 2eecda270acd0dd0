//! The optimizer's passes over memory: AdamW, the average of weights, the norm of the gradient.

use crate::Cpu;
use crate::math::dot;
use crate::matmul::with_scratch;
use crate::rows::{RowsMut, for_row_blocks};

/// Elements a task takes at a time.
const CHUNK: usize = 1 << 14;
/// Elements of one partial sum; fixed, so that the norm is the same on any number of threads.
const PARTIAL: usize = 1 << 13;

/// One AdamW step of some tensor (Loshchilov & Hutter, 2019; `torch.optim.AdamW`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// Decoupled weight decay; 0 for none.
    pub weight_decay: f32,
    /// The step, 1 for the first.
    pub step: u64,
    /// What gradients are multiplied by: below 1 when clipping.
    pub gradient_scale: f32,
}

impl AdamW {
    /// Updates `parameters` and both moments, all (n), from the gradient (n), and clears it.
    ///
    /// # Panics
    /// When sizes differ.
    pub fn update(
        &self,
        cpu: &Cpu,
        parameters: &mut [f32],
        gradients: &mut [f32],
        first_moment: &mut [f32],
        second_moment: &mut [f32],
    ) {
        let exponent = i32::try_from(self.step).unwrap_or(i32::MAX);
        let correction1 = 1.0 - f64::from(self.beta1).powi(exponent);
        let correction2 = 1.0 - f64::from(self.beta2).powi(exponent);
        let step_size = (f64::from(self.learning_rate) / correction1) as f32;
        let root_correction = (1.0 / correction2.sqrt()) as f32;
        let keep = (1.0 - f64::from(self.learning_rate) * f64::from(self.weight_decay)) as f32;
        let (beta1, beta2, epsilon) = (self.beta1, self.beta2, self.epsilon);
        let (complement1, complement2) = (1.0 - beta1, 1.0 - beta2);
        let scale = self.gradient_scale;
        let len = gradients.len();
        let outputs = [
            RowsMut::new(parameters, 1),
            RowsMut::new(gradients, 1),
            RowsMut::new(first_moment, 1),
            RowsMut::new(second_moment, 1),
        ];
        for_row_blocks(cpu, len, CHUNK, outputs, |_, [w, gradient, m, v]| {
            cpu.isa().run(|| {
                let moments = m.iter_mut().zip(v.iter_mut());
                let values = w.iter_mut().zip(moments).zip(gradient);
                for ((w, (m, v)), gradient) in values {
                    let g = *gradient * scale;
                    *gradient = 0.0;
                    *m = beta1 * *m + complement1 * g;
                    *v = beta2 * *v + complement2 * g * g;
                    *w = *w * keep - step_size * *m / (v.sqrt() * root_correction + epsilon);
                }
            });
        });
    }
}

/// `average = decay average + (1 - decay) parameters`, elementwise.
///
/// # Panics
/// When sizes differ.
pub fn average(cpu: &Cpu, decay: f32, parameters: &[f32], average: &mut [f32]) {
    let outputs = [RowsMut::new(average, 1)];
    for_row_blocks(cpu, parameters.len(), CHUNK, outputs, |range, [average]| {
        cpu.isa().run(|| {
            for (average, &parameter) in average.iter_mut().zip(&parameters[range]) {
                *average = decay * *average + (1.0 - decay) * parameter;
            }
        });
    });
}

/// Sum of squares, in an order that depends on the length alone.
pub fn sum_of_squares(cpu: &Cpu, values: &[f32]) -> f64 {
    let parts = values.len().div_ceil(PARTIAL);
    with_scratch(parts, |partials: &mut [f32]| {
        let outputs = [RowsMut::new(partials, 1)];
        for_row_blocks(cpu, parts, 8, outputs, |range, [partials]| {
            cpu.isa().run(|| {
                for (part, partial) in range.zip(partials) {
                    let end = ((part + 1) * PARTIAL).min(values.len());
                    let values = &values[part * PARTIAL..end];
                    *partial = dot(values, values);
                }
            });
        });
        partials.iter().map(|&partial| f64::from(partial)).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::test_cpus;
    use crate::norm::tests::waves;

    #[test]
    fn updates_as_the_formula_says() {
        for cpu in test_cpus() {
            for len in [1, 17, CHUNK + 3] {
                let settings = AdamW {
                    learning_rate: 0.01,
                    beta1: 0.9,
                    beta2: 0.999,
                    epsilon: 1e-8,
                    weight_decay: 0.1,
                    step: 3,
                    gradient_scale: 0.5,
                };
                let (start, gradients) = (waves(len, 0.1), waves(len, 0.2));
                let (mut w, mut m) = (start.clone(), waves(len, 0.3));
                let mut v: Vec<f32> = waves(len, 0.4).iter().map(|x| x * x).collect();
                let (m0, v0) = (m.clone(), v.clone());
                let mut cleared = gradients.clone();
                settings.update(&cpu, &mut w, &mut cleared, &mut m, &mut v);
                assert!(cleared.iter().all(|&gradient| gradient == 0.0));
                for i in 0..len {
                    let g = f64::from(gradients[i]) * 0.5;
                    let m1 = 0.9 * f64::from(m0[i]) + 0.1 * g;
                    let v1 = 0.999 * f64::from(v0[i]) + 0.001 * g * g;
                    let corrected = (m1 / (1.0 - 0.9_f64.powi(3)), v1 / (1.0 - 0.999_f64.powi(3)));
                    let step = 0.01 * corrected.0 / (corrected.1.sqrt() + 1e-8);
                    let expected = f64::from(start[i]) * (1.0 - 0.001) - step;
                    let tolerance = 1e-5 * step.abs().max(1.0);
                    assert!((f64::from(w[i]) - expected).abs() < tolerance, "{len}: {i}");
                }
            }
        }
    }

    #[test]
    fn averages_and_norms() {
        for cpu in test_cpus() {
            let mut kept = vec![1.0, 2.0, 3.0];
            average(&cpu, 0.75, &[5.0, 2.0, -1.0], &mut kept);
            assert_eq!(kept, [2.0, 2.0, 2.0]);
            for len in [0, 1, PARTIAL, 5 * PARTIAL + 7] {
                let values: Vec<f32> = (0..len).map(|i| (i % 5) as f32).collect();
                let expected: f64 = values.iter().map(|&x| f64::from(x * x)).sum();
                assert_eq!(sum_of_squares(&cpu, &values), expected);
            }
        }
    }
}
