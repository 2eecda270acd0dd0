//! Linear layers with what rides on them: bias, GELU, dropout, residual and layer norm.
//!
//! Letters: `M` rows, `K` inputs, `N` outputs. Weights are packed: forward multiplies by the packed
//! transpose (K, N) of `torch.nn.Linear`'s weight (N, K), backward by the packed weight itself.

use std::ops::Range;

use crate::Cpu;
use crate::dropout::Dropout;
use crate::math::{gelu, gelu_and_slope};
use crate::matmul::{
    Finish, PackedMatrix, Word, by_precision, matmul_blocks, matmul_rows, matmul_transposed,
    with_scratch,
};
use crate::norm::{NormSaved, NormWeights, Saving};
use crate::operand::{Hidden, Operand, Store, View};
use crate::rows::RowsMut;

/// `output = input Wᵀ + bias`; (M, K) to (M, N), overwritten.
///
/// # Panics
/// When sizes do not fit.
pub fn forward(
    cpu: &Cpu,
    input: View<'_>,
    weight: &PackedMatrix,
    bias: &[f32],
    output: &mut [f32],
) {
    let width = bias.len();
    matmul_rows(cpu, input, weight, [RowsMut::new(output, width)], |_, [output]| {
        cpu.isa().run(
            #[inline(always)]
            || {
                for row in output.chunks_exact_mut(width) {
                    add(row, bias);
                }
            },
        );
    });
}

/// [`forward`] to an operand, which is rounded on the way.
///
/// # Panics
/// When sizes do not fit.
pub fn operand_forward(
    cpu: &Cpu,
    input: View<'_>,
    weight: &PackedMatrix,
    bias: &[f32],
    output: &mut Operand,
) {
    by_precision!(cpu, W => {
        let output = fitting::<W>(output, input.rows(), weight.columns());
        matmul_blocks::<W>(cpu, input, weight, &Biased { bias, output });
    });
}

/// `output = gelu(x)`, `slope = gelu'(x)` where wanted, with `x = input Wᵀ + bias`; (M, K) to
/// (M, N), overwritten.
///
/// # Panics
/// When sizes do not fit.
pub fn gelu_forward(
    cpu: &Cpu,
    input: View<'_>,
    weight: &PackedMatrix,
    bias: &[f32],
    slope: Option<&mut Operand>,
    output: &mut Operand,
) {
    by_precision!(cpu, W => {
        let (rows, columns) = (input.rows(), weight.columns());
        let slope = slope.map(|slope| fitting::<W>(slope, rows, columns));
        let output = fitting::<W>(output, rows, columns);
        matmul_blocks::<W>(cpu, input, weight, &BiasedGelu { bias, slope, output });
    });
}

/// `output = norm(residual + dropout(input Wᵀ + bias))`; (M, N), overwritten, as is what the norm
/// saves, where that is wanted.
///
/// # Panics
/// When sizes do not fit.
pub fn residual_norm_forward(
    cpu: &Cpu,
    input: View<'_>,
    weight: &PackedMatrix,
    bias: &[f32],
    dropout: Dropout<'_>,
    residual: &[f32],
    norm: NormWeights<'_>,
    saved: Option<NormSaved<'_>>,
    output: &mut Hidden,
) {
    let width = bias.len();
    let saving = Saving::new(saved, input.rows(), width);
    let (output, rounded) = output.parts_mut(input.rows(), width);
    assert_eq!(residual.len() % width, 0, "whole rows of {width}");
    matmul_rows(cpu, input, weight, [RowsMut::new(output, width)], |rows, [output]| {
        with_scratch(width, |scratch: &mut [f32]| {
            cpu.isa().run(
                #[inline(always)]
                || {
                    for (row, output) in rows.zip(output.chunks_exact_mut(width)) {
                        add(output, bias);
                        dropout.apply(row, output);
                        add(output, &residual[row * width..(row + 1) * width]);
                        // SAFETY: each row is of one task.
                        unsafe {
                            saving.forward_row(&norm, row, output, scratch);
                            rounded.store(row, output);
                        }
                    }
                },
            );
        });
    });
}

/// `d_input += d_output W`; (M, N) to (M, K).
///
/// # Panics
/// When sizes do not fit.
pub fn input_backward(cpu: &Cpu, d_output: View<'_>, weight: &PackedMatrix, d_input: &mut [f32]) {
    let output = RowsMut::new(d_input, weight.columns());
    assert_eq!(output.rows(), d_output.rows(), "as many rows");
    by_precision!(cpu, W => matmul_blocks::<W>(cpu, d_output, weight, &Added { output }));
}

/// `d_input = d_output W`; (M, N) to (M, K), overwritten and rounded.
///
/// # Panics
/// When sizes do not fit.
pub fn operand_input_backward(
    cpu: &Cpu,
    d_output: View<'_>,
    weight: &PackedMatrix,
    d_input: &mut Operand,
) {
    by_precision!(cpu, W => {
        let output = fitting::<W>(d_input, d_output.rows(), weight.columns());
        matmul_blocks::<W>(cpu, d_output, weight, &Stored { output });
    });
}

/// `d_preactivation = (d_output W) slope`; (M, N) to (M, K), overwritten and rounded; the slope is
/// that of [`gelu_forward`].
///
/// # Panics
/// When sizes do not fit.
pub fn gelu_input_backward(
    cpu: &Cpu,
    d_output: View<'_>,
    weight: &PackedMatrix,
    slope: View<'_>,
    d_preactivation: &mut Operand,
) {
    by_precision!(cpu, W => {
        let (rows, columns) = (d_output.rows(), weight.columns());
        assert!(slope.rows() == rows && slope.width() == columns, "(M, K) slopes");
        let output = fitting::<W>(d_preactivation, rows, columns);
        let slope = W::of(slope);
        matmul_blocks::<W>(cpu, d_output, weight, &TimesSlope { slope, output });
    });
}

/// `d_weight = d_outputᵀ input` (`+=` if `accumulate`), `d_bias += Σ d_output`: (M, N) and (M, K) to
/// (N, K) and (N), sums over rows in order.
///
/// # Panics
/// When sizes do not fit.
pub fn weight_backward(
    cpu: &Cpu,
    d_output: View<'_>,
    input: View<'_>,
    accumulate: bool,
    d_weight: &mut [f32],
    d_bias: &mut [f32],
) {
    matmul_transposed(cpu, d_output, input, accumulate, d_weight, d_bias);
}

/// # Panics
/// When the operand has another shape.
fn fitting<W: Word>(operand: &mut Operand, rows: usize, columns: usize) -> Store<'_, W> {
    let store = operand.store();
    assert_eq!((store.rows(), store.width()), (rows, columns), "shape of the result");
    store
}

/// `values + bias`, stored.
struct Biased<'a, W> {
    bias: &'a [f32],
    output: Store<'a, W>,
}

impl<W: Word> Finish for Biased<'_, W> {
    #[inline(always)]
    fn finish<const NR: usize>(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        block: &mut [[f32; NR]],
    ) {
        let bias = padded::<NR>(&self.bias[columns.clone()]);
        for (row, values) in rows.zip(block) {
            values.iter_mut().zip(&bias).for_each(|(x, bias)| *x += bias);
            // SAFETY: each block is of one task.
            unsafe { self.output.store_block(row, &columns, values) };
        }
    }
}

/// `gelu(values + bias)` and its slope, stored.
struct BiasedGelu<'a, W> {
    bias: &'a [f32],
    slope: Option<Store<'a, W>>,
    output: Store<'a, W>,
}

impl<W: Word> Finish for BiasedGelu<'_, W> {
    #[inline(always)]
    fn finish<const NR: usize>(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        block: &mut [[f32; NR]],
    ) {
        let bias = padded::<NR>(&self.bias[columns.clone()]);
        for (row, values) in rows.zip(block) {
            match &self.slope {
                Some(slope) => {
                    let mut slopes = [0.0; NR];
                    for ((x, slope), bias) in values.iter_mut().zip(&mut slopes).zip(&bias) {
                        (*x, *slope) = gelu_and_slope(*x + bias);
                    }
                    // SAFETY: each block is of one task.
                    unsafe { slope.store_block(row, &columns, &slopes) };
                }
                None => {
                    for (x, bias) in values.iter_mut().zip(&bias) {
                        *x = gelu(*x + bias);
                    }
                }
            }
            // SAFETY: each block is of one task.
            unsafe { self.output.store_block(row, &columns, values) };
        }
    }
}

/// The values, stored.
struct Stored<'a, W> {
    output: Store<'a, W>,
}

impl<W: Word> Finish for Stored<'_, W> {
    #[inline(always)]
    fn finish<const NR: usize>(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        block: &mut [[f32; NR]],
    ) {
        for (row, values) in rows.zip(block) {
            // SAFETY: each block is of one task.
            unsafe { self.output.store_block(row, &columns, values) };
        }
    }
}

/// The values times the slope, stored.
struct TimesSlope<'a, W> {
    slope: &'a [W],
    output: Store<'a, W>,
}

impl<W: Word> Finish for TimesSlope<'_, W> {
    #[inline(always)]
    fn finish<const NR: usize>(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        block: &mut [[f32; NR]],
    ) {
        let words = W::words(self.output.width());
        for (row, values) in rows.zip(block) {
            let mut slopes = [0.0; NR];
            let saved = &self.slope[row * words..(row + 1) * words];
            if columns.len() == NR {
                W::widen(saved, columns.start, &mut slopes);
            } else {
                W::widen(saved, columns.start, &mut slopes[..columns.len()]);
            }
            values.iter_mut().zip(&slopes).for_each(|(x, slope)| *x *= slope);
            // SAFETY: each block is of one task.
            unsafe { self.output.store_block(row, &columns, values) };
        }
    }
}

/// The values, added to what is there.
struct Added<'a> {
    output: RowsMut<'a, f32>,
}

impl Finish for Added<'_> {
    #[inline(always)]
    fn finish<const NR: usize>(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        block: &mut [[f32; NR]],
    ) {
        for (row, values) in rows.zip(block) {
            // SAFETY: each block is of one task.
            let sums = unsafe { self.output.lend_part(row, columns.clone()) };
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
        }
    }
}

/// The values with zeros behind them.
#[inline(always)]
fn padded<const NR: usize>(values: &[f32]) -> [f32; NR] {
    let mut padded = [0.0; NR];
    padded[..values.len()].copy_from_slice(values);
    padded
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
    use crate::math::gelu_derivative;
    use crate::norm::tests::waves;

    fn close(cpu: &Cpu, found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let tolerance = match cpu.precision() {
            Precision::F32 => 2e-5,
            Precision::Bf16 | Precision::Int8 => 3e-2, // sums of up to a hundred products of relative error 2^-8
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

    fn operand(cpu: &Cpu, values: &[f32], width: usize) -> Operand {
        let mut operand = Operand::default();
        operand.set(cpu, values, width);
        operand
    }

    fn room(cpu: &Cpu, rows: usize, width: usize) -> Operand {
        operand(cpu, &vec![f32::NAN; rows * width], width)
    }

    #[test]
    fn forward_forms_agree_with_their_parts() {
        for cpu in test_cpus() {
            for (m, k, n) in [(1, 1, 1), (5, 26, 33), (50, 33, 64), (97, 52, 31)] {
                let (x, w, b) = (waves(m * k, 0.1), waves(n * k, 0.2), waves(n, 0.3));
                let mut packed = PackedMatrix::new(&cpu, k, n);
                packed.pack_transposed(&cpu, &w);
                let plain = naive(&x, &w, &b, k);
                let x = operand(&cpu, &x, k);
                let mut y = vec![f32::NAN; m * n];
                forward(&cpu, x.view(), &packed, &b, &mut y);
                close(&cpu, &y, &plain);
                let mut stored = room(&cpu, m, n);
                operand_forward(&cpu, x.view(), &packed, &b, &mut stored);
                close(&cpu, &stored.view().to_f32(), &plain);

                let (mut slope, mut alone) = (room(&cpu, m, n), room(&cpu, m, n));
                gelu_forward(&cpu, x.view(), &packed, &b, Some(&mut slope), &mut stored);
                gelu_forward(&cpu, x.view(), &packed, &b, None, &mut alone);
                let found = stored.view().to_f32();
                close(&cpu, &found, &plain.iter().map(|&x| gelu(x)).collect::<Vec<_>>());
                assert_eq!(alone.view().to_f32(), found);
                let slopes: Vec<_> = plain.iter().map(|&x| gelu_derivative(x)).collect();
                close(&cpu, &slope.view().to_f32(), &slopes);

                let (weight, bias, residual) = (waves(n, 0.4), waves(n, 0.5), waves(m * n, 0.6));
                let norm = NormWeights { weight: &weight, bias: &bias, epsilon: 1e-2 };
                let dropout = Dropout::new(0.2, 1, 2, 3, 4);
                let (mut normalised, mut inverse_std) = (vec![0.0; m * n], vec![0.0; m]);
                let saved =
                    NormSaved { normalised: &mut normalised, inverse_std: &mut inverse_std };
                let mut hidden = Hidden::default();
                hidden.resize(&cpu, m, n);
                let (x, packed) = (x.view(), &packed);
                let forward = |saved, hidden: &mut Hidden| {
                    residual_norm_forward(
                        &cpu, x, packed, &b, dropout, &residual, norm, saved, hidden,
                    );
                };
                forward(Some(saved), &mut hidden);
                let mut alone = Hidden::default();
                alone.resize(&cpu, m, n);
                forward(None, &mut alone);
                assert_eq!(alone.values(), hidden.values(), "nothing saved");
                let mut expected = plain.clone();
                for (row, values) in expected.chunks_mut(n).enumerate() {
                    dropout.apply(row, values);
                    add(values, &residual[row * n..(row + 1) * n]);
                    norm.forward_row(values, &mut vec![0.0; n]);
                }
                close(&cpu, hidden.values(), &expected);
                let rounded = operand(&cpu, hidden.values(), n);
                assert_eq!(hidden.view().to_f32(), rounded.view().to_f32());
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
                let d = operand(&cpu, &d_y, n);
                let mut d_x = vec![1.0; m * k];
                input_backward(&cpu, d.view(), &packed, &mut d_x);
                close(&cpu, &d_x, &expected.iter().map(|x| x + 1.0).collect::<Vec<_>>());
                let mut stored = room(&cpu, m, k);
                operand_input_backward(&cpu, d.view(), &packed, &mut stored);
                close(&cpu, &stored.view().to_f32(), &expected);
                let slope = operand(&cpu, &x, k);
                gelu_input_backward(&cpu, d.view(), &packed, slope.view(), &mut stored);
                let times: Vec<_> = expected.iter().zip(&x).map(|(d, s)| d * s).collect();
                close(&cpu, &stored.view().to_f32(), &times);

                let (mut d_w, mut d_b) = (vec![0.5; n * k], vec![0.5; n]);
                let input = operand(&cpu, &x, k);
                weight_backward(&cpu, d.view(), input.view(), true, &mut d_w, &mut d_b);
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
