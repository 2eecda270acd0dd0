//! The optimizer's passes over memory: AdamW, the average of weights, the norm of the gradient.

use std::ops::Range;

use crate::Cpu;
use crate::math::dot;
use crate::matmul::with_scratch;
use crate::rows::{RowsMut, for_aligned_row_blocks, for_row_blocks};

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

/// The numbers of one step as the update of an element uses them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Coefficients {
    pub(crate) step_size: f32,
    pub(crate) root_correction: f32,
    /// `1 - learning rate * weight decay`.
    pub(crate) keep: f32,
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) epsilon: f32,
}

impl Coefficients {
    /// Updates one element from its (scaled) gradient.
    #[inline(always)]
    pub(crate) fn apply(&self, gradient: f32, w: &mut f32, m: &mut f32, v: &mut f32) {
        *m = self.beta1 * *m + (1.0 - self.beta1) * gradient;
        *v = self.beta2 * *v + (1.0 - self.beta2) * gradient * gradient;
        let denominator = v.sqrt() * self.root_correction + self.epsilon;
        *w = *w * self.keep - self.step_size * *m / denominator;
    }
}

/// What an optimizer step reads and writes: parameters and moments, all of one length.
#[derive(Debug)]
pub struct Tensors<'a> {
    /// The parameters.
    pub parameters: &'a mut [f32],
    /// First moments.
    pub first_moment: &'a mut [f32],
    /// Second moments.
    pub second_moment: &'a mut [f32],
}

impl AdamW {
    pub(crate) fn coefficients(&self) -> Coefficients {
        let exponent = i32::try_from(self.step).unwrap_or(i32::MAX);
        let correction1 = 1.0 - f64::from(self.beta1).powi(exponent);
        let correction2 = 1.0 - f64::from(self.beta2).powi(exponent);
        Coefficients {
            step_size: (f64::from(self.learning_rate) / correction1) as f32,
            root_correction: (1.0 / correction2.sqrt()) as f32,
            keep: (1.0 - f64::from(self.learning_rate) * f64::from(self.weight_decay)) as f32,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
        }
    }

    /// Updates all of `tensors` from the gradient (n), and clears it.
    ///
    /// # Panics
    /// When sizes differ.
    pub fn update(&self, cpu: &Cpu, tensors: Tensors<'_>, gradients: &mut [f32]) {
        self.update_blocks(cpu, tensors, gradients, CHUNK, |_, _, gradient| gradient.fill(0.0));
    }

    /// [`AdamW::update`] in blocks of at most `block` elements. Each block's range, parameters and
    /// gradient are handed to `then` while they are in cache; the gradient is left as it is. Blocks
    /// start at multiples of `block`.
    pub(crate) fn update_blocks(
        &self,
        cpu: &Cpu,
        tensors: Tensors<'_>,
        gradients: &mut [f32],
        block: usize,
        then: impl Fn(Range<usize>, &[f32], &mut [f32]) + Sync,
    ) {
        let (coefficients, scale) = (self.coefficients(), self.gradient_scale);
        let len = gradients.len();
        let outputs = [
            RowsMut::new(tensors.parameters, 1),
            RowsMut::new(gradients, 1),
            RowsMut::new(tensors.first_moment, 1),
            RowsMut::new(tensors.second_moment, 1),
        ];
        for_aligned_row_blocks(cpu, len, block, outputs, |range, [w, gradient, m, v]| {
            cpu.isa().run(
                #[inline(always)]
                || {
                    let moments = m.iter_mut().zip(v.iter_mut());
                    let values = w.iter_mut().zip(moments).zip(&*gradient);
                    for ((w, (m, v)), &gradient) in values {
                        coefficients.apply(gradient * scale, w, m, v);
                    }
                },
            );
            then(range, w, gradient);
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
        cpu.isa().run(
            #[inline(always)]
            || {
                for (average, &parameter) in average.iter_mut().zip(&parameters[range]) {
                    *average = decay * *average + (1.0 - decay) * parameter;
                }
            },
        );
    });
}

/// Sum of squares, in an order that depends on the length alone.
pub fn sum_of_squares(cpu: &Cpu, values: &[f32]) -> f64 {
    let parts = values.len().div_ceil(PARTIAL);
    with_scratch(parts, |partials: &mut [f32]| {
        let outputs = [RowsMut::new(partials, 1)];
        for_row_blocks(cpu, parts, 8, outputs, |range, [partials]| {
            cpu.isa().run(
                #[inline(always)]
                || {
                    for (part, partial) in range.zip(partials) {
                        let end = ((part + 1) * PARTIAL).min(values.len());
                        let values = &values[part * PARTIAL..end];
                        *partial = dot(values, values);
                    }
                },
            );
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
                let tensors =
                    Tensors { parameters: &mut w, first_moment: &mut m, second_moment: &mut v };
                settings.update(&cpu, tensors, &mut cleared);
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
