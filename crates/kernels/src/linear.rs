//! Linear layers with what rides on them: bias, GELU, dropout, residual and layer norm.
//!
//! Letters: `M` rows, `K` inputs, `N` outputs. Weights are packed: forward multiplies by the packed
//! transpose (K, N) of `torch.nn.Linear`'s weight (N, K), backward by the packed weight itself.

use crate::Cpu;
use crate::dropout::Dropout;
use crate::math::{gelu, gelu_derivative};
use crate::matmul::{PackedMatrix, matmul_rows, matmul_transposed};
use crate::norm::{NormSaved, NormWeights};
use crate::rows::RowsMut;

/// `output = input Wᵀ + bias`; (M, K) to (M, N), overwritten.
///
/// # Panics
/// When sizes do not fit.
pub fn forward(cpu: &Cpu, input: &[f32], weight: &PackedMatrix, bias: &[f32], output: &mut [f32]) {
    let width = bias.len();
    matmul_rows(cpu, input, weight, false, [RowsMut::new(output, width)], |_, [output]| {
        cpu.isa().run(|| output.chunks_exact_mut(width).for_each(|row| add(row, bias)));
    });
}

/// `preactivation = input Wᵀ + bias`, `output = gelu(preactivation)`; both (M, N), overwritten.
///
/// # Panics
/// When sizes do not fit.
pub fn gelu_forward(
    cpu: &Cpu,
    input: &[f32],
    weight: &PackedMatrix,
    bias: &[f32],
    preactivation: &mut [f32],
    output: &mut [f32],
) {
    let width = bias.len();
    let outputs = [RowsMut::new(preactivation, width), RowsMut::new(output, width)];
    matmul_rows(cpu, input, weight, false, outputs, |_, [preactivation, output]| {
        cpu.isa().run(|| {
            let rows = preactivation.chunks_exact_mut(width).zip(output.chunks_exact_mut(width));
            for (preactivation, output) in rows {
                add(preactivation, bias);
                for (y, &x) in output.iter_mut().zip(&*preactivation) {
                    *y = gelu(x);
                }
            }
        });
    });
}

/// `output = norm(residual + dropout(input Wᵀ + bias))`; (M, N), overwritten, as is what the norm
/// saves.
///
/// # Panics
/// When sizes do not fit.
pub fn residual_norm_forward(
    cpu: &Cpu,
    input: &[f32],
    weight: &PackedMatrix,
    bias: &[f32],
    dropout: Dropout,
    residual: &[f32],
    norm: NormWeights<'_>,
    saved: NormSaved<'_>,
    output: &mut [f32],
) {
    let width = bias.len();
    let outputs = [
        RowsMut::new(output, width),
        RowsMut::new(saved.normalised, width),
        RowsMut::new(saved.inverse_std, 1),
    ];
    assert_eq!(residual.len() % width, 0, "whole rows of {width}");
    matmul_rows(cpu, input, weight, false, outputs, |rows, [output, normalised, inverse_std]| {
        cpu.isa().run(|| {
            let values = output.chunks_exact_mut(width).zip(normalised.chunks_exact_mut(width));
            for ((row, (output, normalised)), inverse_std) in rows.zip(values).zip(inverse_std) {
                add(output, bias);
                dropout.apply(row, output);
                add(output, &residual[row * width..(row + 1) * width]);
                *inverse_std = norm.forward_row(output, normalised);
            }
        });
    });
}

/// `d_input = d_output W`, or `d_input += d_output W`; (M, N) to (M, K).
///
/// # Panics
/// When sizes do not fit.
pub fn input_backward(
    cpu: &Cpu,
    d_output: &[f32],
    weight: &PackedMatrix,
    accumulate: bool,
    d_input: &mut [f32],
) {
    let outputs = [RowsMut::new(d_input, weight.columns())];
    matmul_rows(cpu, d_output, weight, accumulate, outputs, |_, _| {});
}

/// `d_preactivation = (d_output W) gelu'(preactivation)`; (M, N) to (M, K), overwritten.
///
/// # Panics
/// When sizes do not fit.
pub fn gelu_input_backward(
    cpu: &Cpu,
    d_output: &[f32],
    weight: &PackedMatrix,
    preactivation: &[f32],
    d_preactivation: &mut [f32],
) {
    let width = weight.columns();
    assert_eq!(preactivation.len(), d_preactivation.len(), "(M, K) each");
    let outputs = [RowsMut::new(d_preactivation, width)];
    matmul_rows(cpu, d_output, weight, false, outputs, |rows, [d_preactivation]| {
        cpu.isa().run(|| {
            let saved = &preactivation[rows.start * width..rows.end * width];
            for (d_x, &x) in d_preactivation.iter_mut().zip(saved) {
                *d_x *= gelu_derivative(x);
            }
        });
    });
}

/// `d_weight = d_outputᵀ input` (`+=` if `accumulate`), `d_bias += Σ d_output`: (M, N) and (M, K) to
/// (N, K) and (N), sums over rows in order.
///
/// # Panics
/// When sizes do not fit.
pub fn weight_backward(
    cpu: &Cpu,
    d_output: &[f32],
    input: &[f32],
    accumulate: bool,
    d_weight: &mut [f32],
    d_bias: &mut [f32],
) {
    matmul_transposed(cpu, d_output, input, accumulate, d_weight, d_bias);
}

#[inline(always)]
fn add(values: &mut [f32], addend: &[f32]) {
    for (value, &addend) in values.iter_mut().zip(addend) {
        *value += addend;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;
    use crate::cpu::test_cpus;
    use crate::norm::tests::waves;

    fn close(cpu: &Cpu, found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let tolerance = match cpu.precision() {
            Precision::F32 => 2e-5,
            Precision::Bf16 => 3e-2, // sums of up to a hundred products of relative error 2^-8
        };
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{cpu:?} at {i}: {a} {b}");
        }
    }

    /// `input Wᵀ + bias`, W (N, K).
    fn naive(input: &[f32], weight: &[f32], bias: &[f32], k: usize) -> Vec<f32> {
        let row = |x: &[f32]| -> Vec<f32> {
            let outputs = weight.chunks(k).zip(bias);
            outputs.map(|(w, b)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + b).collect()
        };
        input.chunks(k).flat_map(row).collect()
    }

    #[test]
    fn forward_forms_agree_with_their_parts() {
        for cpu in test_cpus() {
            for (m, k, n) in [(1, 1, 1), (5, 26, 33), (50, 33, 64), (97, 52, 31)] {
                let (x, w, b) = (waves(m * k, 0.1), waves(n * k, 0.2), waves(n, 0.3));
                let mut packed = PackedMatrix::new(&cpu, k, n);
                packed.pack_transposed(&cpu, &w);
                let plain = naive(&x, &w, &b, k);
                let mut y = vec![f32::NAN; m * n];
                forward(&cpu, &x, &packed, &b, &mut y);
                close(&cpu, &y, &plain);

                let mut pre = vec![f32::NAN; m * n];
                gelu_forward(&cpu, &x, &packed, &b, &mut pre, &mut y);
                close(&cpu, &pre, &plain);
                close(&cpu, &y, &plain.iter().map(|&x| gelu(x)).collect::<Vec<_>>());

                let (weight, bias, residual) = (waves(n, 0.4), waves(n, 0.5), waves(m * n, 0.6));
                let norm = NormWeights { weight: &weight, bias: &bias, epsilon: 1e-2 };
                let dropout = Dropout::new(0.2, 1, 2, 3, 4);
                let (mut normalised, mut inverse_std) = (vec![0.0; m * n], vec![0.0; m]);
                let saved =
                    NormSaved { normalised: &mut normalised, inverse_std: &mut inverse_std };
                residual_norm_forward(
                    &cpu, &x, &packed, &b, dropout, &residual, norm, saved, &mut y,
                );
                let mut expected = plain.clone();
                for (row, values) in expected.chunks_mut(n).enumerate() {
                    dropout.apply(row, values);
                    add(values, &residual[row * n..(row + 1) * n]);
                    norm.forward_row(values, &mut vec![0.0; n]);
                }
                close(&cpu, &y, &expected);
            }
        }
    }

    #[test]
    fn backward_forms_agree_with_their_parts() {
        for cpu in test_cpus() {
            for (m, k, n) in [(1, 1, 1), (5, 26, 33), (50, 33, 64), (97, 52, 31)] {
                let (d_y, w, x) = (waves(m * n, 0.1), waves(n * k, 0.2), waves(m * k, 0.3));
                let mut packed = PackedMatrix::new(&cpu, n, k);
                packed.pack(&cpu, &w);
                let mut expected = vec![0.0; m * k];
                for i in 0..m {
                    for j in 0..n {
                        for p in 0..k {
                            expected[i * k + p] += d_y[i * n + j] * w[j * k + p];
                        }
                    }
                }
                let mut d_x = vec![1.0; m * k];
                input_backward(&cpu, &d_y, &packed, true, &mut d_x);
                close(&cpu, &d_x, &expected.iter().map(|x| x + 1.0).collect::<Vec<_>>());
                gelu_input_backward(&cpu, &d_y, &packed, &x, &mut d_x);
                let slopes = x.iter().map(|&x| gelu_derivative(x));
                close(
                    &cpu,
                    &d_x,
                    &expected.iter().zip(slopes).map(|(d, s)| d * s).collect::<Vec<_>>(),
                );

                let (mut d_w, mut d_b) = (vec![0.5; n * k], vec![0.5; n]);
                weight_backward(&cpu, &d_y, &x, true, &mut d_w, &mut d_b);
                let (mut w_expected, mut b_expected) = (vec![0.5; n * k], vec![0.5; n]);
                for i in 0..m {
                    for j in 0..n {
                        b_expected[j] += d_y[i * n + j];
                        for p in 0..k {
                            w_expected[j * k + p] += d_y[i * n + j] * x[i * k + p];
                        }
                    }
                }
                close(&cpu, &d_w, &w_expected);
                close(&cpu, &d_b, &b_expected);
            }
        }
    }
}
