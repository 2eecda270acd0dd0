//! How far rows are from those they should be, relative to their length.

use crate::Cpu;
use crate::rows::{RowsMut, for_row_blocks};

/// Rows of one task.
const BLOCK: usize = 32;

/// Squared lengths below this count as this, so that a row of zeros can be wanted.
const LEAST_SQUARE: f32 = 1e-12;

/// The relative squared error of each row, `e(x, y) = |x - y|² / |y|²`, times its weight.
///
/// `values` are the rows x (T, W), and become the gradient of the sum of `weights[t] e(x[t], y[t])`
/// (T, W); `losses` are its terms (T), overwritten.
///
/// # Panics
/// When sizes do not fit.
pub fn relative_error_forward_backward(
    cpu: &Cpu,
    values: &mut [f32],
    wanted: &[f32],
    weights: &[f32],
    losses: &mut [f32],
) {
    if weights.is_empty() {
        return;
    }
    let width = values.len() / weights.len();
    assert_eq!(values.len(), wanted.len(), "(T, W) each");
    let outputs = [RowsMut::new(values, width), RowsMut::new(losses, 1)];
    for_row_blocks(cpu, weights.len(), BLOCK, outputs, |rows, [values, losses]| {
        cpu.isa().run(
            #[inline(always)]
            || {
                for (row, (x, loss)) in rows.zip(values.chunks_exact_mut(width).zip(losses)) {
                    let y = &wanted[row * width..(row + 1) * width];
                    x.iter_mut().zip(y).for_each(|(x, &y)| *x -= y);
                    let share = weights[row] / crate::math::dot(y, y).max(LEAST_SQUARE);
                    *loss = share * crate::math::dot(x, x);
                    x.iter_mut().for_each(|x| *x *= 2.0 * share);
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::test_cpus;

    /// The definition, and its slope by differences.
    fn naive(x: &[f64], y: &[f64], weight: f64) -> f64 {
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        weight * square(&mut x.iter().zip(y).map(|(x, y)| x - y)) / square(&mut y.iter().copied())
    }

    #[test]
    fn errors_and_slopes_are_the_definitions() {
        for cpu in test_cpus() {
            for (rows, width) in [(1, 1), (3, 7), (33, 16), (70, 33)] {
                let wave = |i: usize, by: f32| ((i as f32 + 1.0) * by).sin() + 0.1;
                let x: Vec<f32> = (0..rows * width).map(|i| wave(i, 0.7)).collect();
                let y: Vec<f32> = (0..rows * width).map(|i| wave(i, 1.3)).collect();
                let weights: Vec<f32> = (0..rows).map(|row| 0.5 + row as f32).collect();
                let (mut found, mut losses) = (x.clone(), vec![9.0; rows]);
                relative_error_forward_backward(&cpu, &mut found, &y, &weights, &mut losses);
                for row in 0..rows {
                    let at = row * width..(row + 1) * width;
                    let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
                    let (x, y) = (wide(&x[at.clone()]), wide(&y[at.clone()]));
                    let weight = f64::from(weights[row]);
                    let loss = naive(&x, &y, weight);
                    assert!((f64::from(losses[row]) - loss).abs() < 1e-5 * loss.max(1.0));
                    for column in 0..width {
                        let shifted = |by: f64| {
                            let mut x = x.clone();
                            x[column] += by;
                            naive(&x, &y, weight)
                        };
                        let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                        let found = f64::from(found[row * width + column]);
                        let error = (found - slope).abs();
                        assert!(error < 1e-4 * slope.abs().max(0.1), "{found} {slope}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_of_zeros_can_be_wanted_and_no_rows_given() {
        for cpu in test_cpus() {
            let (mut values, mut losses) = (vec![0.0, 0.0, 1.0, 0.0], vec![0.0; 2]);
            let (wanted, weights) = ([0.0; 4], [1.0; 2]);
            relative_error_forward_backward(&cpu, &mut values, &wanted, &weights, &mut losses);
            assert_eq!(losses[0], 0.0);
            assert!(losses[1].is_finite() && values.iter().all(|value| value.is_finite()));
            relative_error_forward_backward(&cpu, &mut [], &[], &[], &mut []);
        }
    }
}
