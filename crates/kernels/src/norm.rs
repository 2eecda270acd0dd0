//! Layer normalisation over the last dimension (Ba et al., 2016; `torch.nn.LayerNorm`).
//!
//! Letters: `T` rows, `H` their width. Forward keeps the normalised input and the inverse standard
//! deviation; backward needs nothing else.

use crate::Cpu;
use crate::dropout::Dropout;
use crate::math::{dot, sum};
use crate::matmul::{Word, by_precision, with_scratch};
use crate::operand::{Operand, Store};
use crate::rows::{RowsMut, for_column_blocks, for_row_blocks};

/// Rows a task takes at a time.
const BLOCK: usize = 32;
/// Columns a task takes at a time.
const COLUMNS: usize = 64;

/// The weights of a layer norm.
#[derive(Clone, Copy, Debug)]
pub struct NormWeights<'a> {
    /// Scale; (H).
    pub weight: &'a [f32],
    /// Shift; (H).
    pub bias: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// What forward keeps for backward.
#[derive(Debug)]
pub struct NormSaved<'a> {
    /// `(x - mean) / sqrt(variance + epsilon)`; (T, H), overwritten.
    pub normalised: &'a mut [f32],
    /// `1 / sqrt(variance + epsilon)`; (T), overwritten.
    pub inverse_std: &'a mut [f32],
}

/// [`NormSaved`] as backward reads it.
#[derive(Clone, Copy, Debug)]
pub struct NormKept<'a> {
    /// (T, H).
    pub normalised: &'a [f32],
    /// (T).
    pub inverse_std: &'a [f32],
}

/// The gradients of a weight and a bias.
#[derive(Debug)]
pub struct AffineGradients<'a> {
    /// Of a norm (H), of a linear layer (out, in).
    pub weight: &'a mut [f32],
    /// Of a norm (H), of a linear layer (out).
    pub bias: &'a mut [f32],
}

/// The rows of [`NormSaved`]; none where nothing is kept.
pub(crate) struct Saving<'a>(Option<(RowsMut<'a, f32>, RowsMut<'a, f32>)>);

impl<'a> Saving<'a> {
    /// # Panics
    /// When there are not `rows` rows of `width`.
    pub(crate) fn new(saved: Option<NormSaved<'a>>, rows: usize, width: usize) -> Self {
        Self(saved.map(|NormSaved { normalised, inverse_std }| {
            let saved = (RowsMut::new(normalised, width), RowsMut::new(inverse_std, 1));
            assert!(saved.0.rows() == rows && saved.1.rows() == rows, "(T, H) and (T)");
            saved
        }))
    }

    /// [`NormWeights::forward_row`] of row `row`; `scratch` is a row too.
    ///
    /// # Safety
    /// `row` must be in range, and no two live calls may have the same row.
    #[inline(always)]
    pub(crate) unsafe fn forward_row(
        &self,
        norm: &NormWeights<'_>,
        row: usize,
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        match &self.0 {
            Some((normalised, inverse_std)) => {
                // SAFETY: handed on.
                let (normalised, inverse_std) =
                    unsafe { (normalised.lend(row..row + 1), inverse_std.lend(row..row + 1)) };
                inverse_std[0] = norm.forward_row(out, normalised);
            }
            None => {
                norm.forward_row(out, scratch);
            }
        }
    }
}

impl NormWeights<'_> {
    /// One row: `x` is normalised into `normalised`, scaled and shifted into `out`, which may have
    /// held `x`. Returns the inverse standard deviation.
    #[inline(always)]
    pub(crate) fn forward_row(&self, out: &mut [f32], normalised: &mut [f32]) -> f32 {
        let scale = 1.0 / out.len() as f32;
        let mean = sum(out) * scale;
        for (centred, &x) in normalised.iter_mut().zip(&*out) {
            *centred = x - mean;
        }
        let variance = dot(normalised, normalised) * scale;
        let inverse_std = 1.0 / (variance + self.epsilon).sqrt();
        let weights = self.weight.iter().zip(self.bias);
        for ((out, centred), (&weight, &bias)) in out.iter_mut().zip(normalised).zip(weights) {
            *centred *= inverse_std;
            *out = *centred * weight + bias;
        }
        inverse_std
    }
}

/// Backward through `y = norm(residual + dropout(x))`.
///
/// From `d_output` (T, H) to `d_residual` (T, H) and `d_input` (T, H), both overwritten, the latter
/// rounded; `d_weights` are added to.
///
/// # Panics
/// When sizes do not fit.
pub fn residual_backward(
    cpu: &Cpu,
    d_output: &[f32],
    weight: &[f32],
    kept: NormKept<'_>,
    dropout: Dropout<'_>,
    d_residual: &mut [f32],
    d_input: &mut Operand,
    d_weights: AffineGradients<'_>,
) {
    by_precision!(cpu, W => residual_backward_in(
        cpu, d_output, weight, kept, dropout, d_residual, d_input.store::<W>(), d_weights,
    ));
}

fn residual_backward_in<W: Word>(
    cpu: &Cpu,
    d_output: &[f32],
    weight: &[f32],
    kept: NormKept<'_>,
    dropout: Dropout<'_>,
    d_residual: &mut [f32],
    d_input: Store<'_, W>,
    d_weights: AffineGradients<'_>,
) {
    let width = weight.len();
    let NormKept { normalised, inverse_std } = kept;
    weights_backward(cpu, d_output, normalised, d_weights);
    let rows = inverse_std.len();
    assert_eq!((d_input.rows(), d_input.width()), (rows, width), "(T, H) gradients");
    let outputs = [RowsMut::new(d_residual, width)];
    for_row_blocks(cpu, rows, BLOCK, outputs, |rows, [d_residual]| {
        with_scratch(width, |dropped: &mut [f32]| {
            cpu.isa().run(
                #[inline(always)]
                || {
                    for (row, d_residual) in rows.zip(d_residual.chunks_exact_mut(width)) {
                        let at = row * width..(row + 1) * width;
                        let d_out = &d_output[at.clone()];
                        backward_row(d_out, &normalised[at], inverse_std[row], weight, d_residual);
                        dropped.copy_from_slice(d_residual);
                        dropout.apply(row, dropped);
                        // SAFETY: each row is of one task.
                        unsafe { d_input.store_row(row, dropped) };
                    }
                },
            );
        });
    });
}

/// Backward through `y = norm(x)`: from `d_output` (T, H) to `d_input` (T, H), overwritten;
/// `d_weights` are added to.
///
/// # Panics
/// When sizes do not fit.
pub fn backward(
    cpu: &Cpu,
    d_output: &[f32],
    weight: &[f32],
    kept: NormKept<'_>,
    d_input: &mut [f32],
    d_weights: AffineGradients<'_>,
) {
    let width = weight.len();
    let NormKept { normalised, inverse_std } = kept;
    weights_backward(cpu, d_output, normalised, d_weights);
    let outputs = [RowsMut::new(d_input, width)];
    for_row_blocks(cpu, inverse_std.len(), BLOCK, outputs, |rows, [d_input]| {
        cpu.isa().run(
            #[inline(always)]
            || {
                for (row, d_input) in rows.zip(d_input.chunks_exact_mut(width)) {
                    let at = row * width..(row + 1) * width;
                    let d_out = &d_output[at.clone()];
                    backward_row(d_out, &normalised[at], inverse_std[row], weight, d_input);
                }
            },
        );
    });
}

/// One row: `d_x = s (g - mean(g) - n mean(g n))` with `g = d_y w`, `n` normalised, `s` inverse std.
#[inline(always)]
fn backward_row(
    d_output: &[f32],
    normalised: &[f32],
    inverse_std: f32,
    weight: &[f32],
    d_input: &mut [f32],
) {
    for (g, (&d_y, &weight)) in d_input.iter_mut().zip(d_output.iter().zip(weight)) {
        *g = d_y * weight;
    }
    let scale = 1.0 / weight.len() as f32;
    let mean = sum(d_input) * scale;
    let projection = dot(d_input, normalised) * scale;
    for (g, &n) in d_input.iter_mut().zip(normalised) {
        *g = inverse_std * (*g - mean - n * projection);
    }
}

/// `d_weight[h] += Σ d_y n`, `d_bias[h] += Σ d_y`, over rows in order.
fn weights_backward(
    cpu: &Cpu,
    d_output: &[f32],
    normalised: &[f32],
    AffineGradients { weight: d_weight, bias: d_bias }: AffineGradients<'_>,
) {
    let width = d_weight.len();
    assert_eq!(d_bias.len(), width, "(H) gradients");
    assert_eq!(d_output.len(), normalised.len(), "(T, H) each");
    let (d_weight, d_bias) = (RowsMut::new(d_weight, width), RowsMut::new(d_bias, width));
    for_column_blocks(cpu, width, COLUMNS, |columns| {
        // SAFETY: each task has its own columns.
        let (d_weight, d_bias) = unsafe {
            (d_weight.lend_part(0, columns.clone()), d_bias.lend_part(0, columns.clone()))
        };
        cpu.isa().run(
            #[inline(always)]
            || {
                let rows = d_output.chunks_exact(width).zip(normalised.chunks_exact(width));
                for (d_y, n) in rows {
                    let sums = d_weight.iter_mut().zip(d_bias.iter_mut());
                    let values = d_y[columns.clone()].iter().zip(&n[columns.clone()]);
                    for ((d_weight, d_bias), (&d_y, &n)) in sums.zip(values) {
                        *d_weight += d_y * n;
                        *d_bias += d_y;
                    }
                }
            },
        );
    });
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cpu::test_cpus;

    /// Uneven numbers between -1 and 1.
    pub(crate) fn waves(len: usize, seed: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 0.77 + seed).sin()).collect()
    }

    fn naive_forward(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f64) -> Vec<f64> {
        let n = x.len() as f64;
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / (variance + epsilon).sqrt();
        let affine = weight.iter().zip(bias).map(|(&w, &b)| (f64::from(w), f64::from(b)));
        x.iter().zip(affine).map(|(&x, (w, b))| (f64::from(x) - mean) * scale * w + b).collect()
    }

    #[test]
    fn backward_is_the_slope_of_forward() {
        for cpu in test_cpus() {
            for width in [1, 2, 15, 16, 17, 33, 312] {
                let rows = 3;
                let x = waves(rows * width, 0.1);
                let (weight, bias) = (waves(width, 0.2), waves(width, 0.3));
                let d_y = waves(rows * width, 0.4);
                let norm = NormWeights { weight: &weight, bias: &bias, epsilon: 1e-3 };
                let (mut out, mut normalised) = (x.clone(), vec![0.0; x.len()]);
                let mut inverse_std = vec![0.0; rows];
                for row in 0..rows {
                    let at = row * width..(row + 1) * width;
                    inverse_std[row] =
                        norm.forward_row(&mut out[at.clone()], &mut normalised[at.clone()]);
                    let expected = naive_forward(&x[at.clone()], &weight, &bias, 1e-3);
                    for (&found, expected) in out[at].iter().zip(expected) {
                        assert!((f64::from(found) - expected).abs() < 1e-5, "width {width}");
                    }
                }
                let mut d_x = vec![f32::NAN; x.len()];
                let (mut d_weight, mut d_bias) = (vec![1.0; width], vec![1.0; width]);
                let kept = NormKept { normalised: &normalised, inverse_std: &inverse_std };
                let sums = AffineGradients { weight: &mut d_weight, bias: &mut d_bias };
                backward(&cpu, &d_y, &weight, kept, &mut d_x, sums);
                let objective = |x: &[f32]| -> f64 {
                    let rows = x.chunks(width).zip(d_y.chunks(width));
                    rows.map(|(x, d_y)| {
                        let y = naive_forward(x, &weight, &bias, 1e-3);
                        y.iter().zip(d_y).map(|(y, &d)| y * f64::from(d)).sum::<f64>()
                    })
                    .sum()
                };
                for i in [0, width / 2, 2 * width, 3 * width - 1] {
                    let step = 1e-2;
                    let (mut up, mut down) = (x.clone(), x.clone());
                    up[i] += step;
                    down[i] -= step;
                    let width_of_step = f64::from(up[i]) - f64::from(down[i]);
                    let slope = (objective(&up) - objective(&down)) / width_of_step;
                    let found = f64::from(d_x[i]);
                    let tolerance = 2e-2 * slope.abs().max(0.2);
                    assert!((found - slope).abs() < tolerance, "{width}, {i}: {found} {slope}");
                }
                for h in 0..width {
                    let column =
                        |values: &[f32]| -> f32 { (0..rows).map(|r| values[r * width + h]).sum() };
                    let product: Vec<f32> =
                        d_y.iter().zip(&normalised).map(|(a, b)| a * b).collect();
                    assert!((d_bias[h] - 1.0 - column(&d_y)).abs() < 1e-5);
                    assert!((d_weight[h] - 1.0 - column(&product)).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn the_residual_form_drops_the_input_only() {
        for cpu in test_cpus() {
            let (rows, width) = (5, 40);
            let weight = waves(width, 0.2);
            let d_y = waves(rows * width, 0.4);
            let (normalised, inverse_std) = (waves(rows * width, 0.5), vec![0.7; rows]);
            let kept = NormKept { normalised: &normalised, inverse_std: &inverse_std };
            let dropout = Dropout::new(0.3, 1, 2, 3, 4);
            let (mut plain, mut residual) = (vec![0.0; d_y.len()], vec![0.0; d_y.len()]);
            let mut input = Operand::default();
            input.resize(&cpu, rows, width);
            let (mut a, mut b) = (vec![0.0; width], vec![0.0; width]);
            let sums = AffineGradients { weight: &mut a, bias: &mut b };
            backward(&cpu, &d_y, &weight, kept, &mut plain, sums);
            let (mut c, mut d) = (vec![0.0; width], vec![0.0; width]);
            let sums = AffineGradients { weight: &mut c, bias: &mut d };
            residual_backward(&cpu, &d_y, &weight, kept, dropout, &mut residual, &mut input, sums);
            assert_eq!((&plain, &a, &b), (&residual, &c, &d));
            for (row, values) in plain.chunks_mut(width).enumerate() {
                dropout.apply(row, values);
            }
            let mut expected = Operand::default();
            expected.set(&cpu, &plain, width);
            assert_eq!(input.view().to_f32(), expected.view().to_f32());
            assert_ne!(plain, residual);
        }
    }
}
