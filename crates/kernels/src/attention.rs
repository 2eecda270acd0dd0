//! Self-attention over packed texts (Vaswani et al., 2017), per text and per head, nothing padded.
//!
//! Letters: `B` texts, `T` tokens, `H` hidden size, `A` heads, `D = H / A` head size, `n` tokens of one
//! text, `q` of them that look at the others ([`Queries`]: all, or the first).
//!
//! ```text
//! for each text, for each head:
//!     S = Q Kᵀ / sqrt(D)        (q, n)
//!     P = softmax(S)            (q, n)   kept for backward
//!     O = dropout(P) V          (q, D)
//! ```
//!
//! 1. A task is a text, or some heads of it where there are few texts. It widens its rows into the
//!    thread's scratch, all heads at once: the arithmetic is f32, and a head of 26 is no whole
//!    number of vectors, but twelve of them nearly are.
//! 2. Each product is the matrix kernel on one thread, which reads the right-hand side where it is:
//!    what its whole vectors read beyond a head is the next one, and the results are not stored.
//!    Only K and, backward, V are transposed, in whole blocks of 16.
//! 3. Rows of S and P are padded to whole vectors: -inf before the softmax, 0 after it.
//! 4. Dropout masks are drawn again in backward instead of being kept.
//! 5. The softmax's backward needs `Σ_j P_ij dP_ij`, which is `dO_i · O_i` (FlashAttention, Dao et
//!    al., 2022), so dP is never summed.

use std::ops::Range;

use crate::dropout::Dropout;
use crate::heads::{
    LANES, Target, Text, padded, rows_of, turn, turned_len, wide_len, widen_rows, with_parts,
};
pub use crate::heads::{Queries, Shape};
use crate::math::{dot, exp, max, sum};
use crate::matmul::{Strided, Word, by_precision, gemm_unpacked};
use crate::operand::{Operand, View};
use crate::{Cpu, Isa};

/// From `qkv` (T, 3H: queries, keys, values) to `context`, (T, H) or (B, H) as [`Queries`] say,
/// overwritten.
///
/// `probabilities` ([`Shape::probabilities_len`]) keeps the softmax for [`backward`]; without it
/// nothing is kept. Dropout's row is `token * A + head`, its element the key's position.
///
/// # Panics
/// When sizes do not fit.
pub fn forward(
    cpu: &Cpu,
    shape: Shape<'_>,
    qkv: View<'_>,
    dropout: Dropout<'_>,
    probabilities: Option<&mut [f32]>,
    context: &mut Operand,
) {
    by_precision!(cpu, W => forward_in::<W>(cpu, shape, qkv, dropout, probabilities, context));
}

fn forward_in<W: Word>(
    cpu: &Cpu,
    shape: Shape<'_>,
    qkv: View<'_>,
    dropout: Dropout<'_>,
    probabilities: Option<&mut [f32]>,
    context: &mut Operand,
) {
    let tokens = shape.check();
    let (hidden, size, isa) = (shape.hidden_size(), shape.head_size, cpu.isa());
    assert_eq!((qkv.rows(), qkv.width()), (tokens, 3 * hidden), "(T, 3H) queries, keys, values");
    let context = context.store::<W>();
    let contexts = (shape.contexts(), hidden);
    assert_eq!((context.rows(), context.width()), contexts, "(T, H) or (B, H) context");
    let kept = probabilities.map(|kept| {
        assert!(kept.len() >= shape.probabilities_len(), "room for the probabilities");
        Target(kept.as_mut_ptr())
    });
    let scale = 1.0 / (size as f32).sqrt();
    shape.for_each(cpu, shape.depth::<W>(), |text, heads| {
        let Text { tokens, contexts, probabilities: kept_at } = text;
        let (n, q, width) = (tokens.len(), contexts.len(), heads.len() * size);
        let row = padded(n);
        let lens = [wide_len(n, 3 * width), turned_len(n, size), q * row, q * row, q * width];
        with_parts(lens, |[wide, turned, own, dropped, out]| {
            let places = [0, 1, 2].map(|part| part * hidden + heads.start * size);
            let parts = places.map(|place| (qkv, &tokens, place));
            widen_rows::<W>(isa, &parts, width, wide);
            for head in heads.clone() {
                let column = (head - heads.start) * size;
                let [queries, keys, values] = [0, 1, 2].map(|part| &wide[part * width + column..]);
                let softmax: &mut [f32] = match &kept {
                    // SAFETY: this head's own rows, inside the buffer as checked.
                    Some(kept) => unsafe {
                        std::slice::from_raw_parts_mut(kept.at(kept_at + head * q * row), q * row)
                    },
                    None => own,
                };
                let stride = 3 * width;
                let keys = turn(isa, (n, size), (keys, stride), turned);
                gemm_unpacked(isa, (q, size, row), rows_of(queries, stride), keys, softmax, row);
                isa.run(
                    #[inline(always)]
                    || {
                        for row in softmax.chunks_exact_mut(row) {
                            softmax_row(row, n, scale);
                        }
                    },
                );
                let weights = if dropout.is_none() {
                    &*softmax
                } else {
                    drop_rows(isa, dropout, softmax, &tokens, (shape.heads, head), dropped);
                    &*dropped
                };
                let (weights, out) = (rows_of(weights, row), &mut out[column..]);
                gemm_unpacked(isa, (q, n, size), weights, (values, stride), out, width);
            }
            let columns = heads.start * size..heads.end * size;
            isa.run(
                #[inline(always)]
                || {
                    for (context_row, row) in contexts.clone().zip(out.chunks_exact(width)) {
                        // SAFETY: these heads' columns of this text's rows; whole words, or all.
                        unsafe { context.store(context_row, columns.clone(), row) };
                    }
                },
            );
        });
    });
}

/// From `d_context`, (T, H) or (B, H), to `d_qkv` (T, 3H), overwritten; the rest as [`forward`] had and
/// left it.
///
/// # Panics
/// When sizes do not fit.
pub fn backward(
    cpu: &Cpu,
    shape: Shape<'_>,
    qkv: View<'_>,
    dropout: Dropout<'_>,
    probabilities: &[f32],
    context: View<'_>,
    d_context: View<'_>,
    d_qkv: &mut Operand,
) {
    by_precision!(cpu, W => {
        backward_in::<W>(cpu, shape, qkv, dropout, probabilities, context, d_context, d_qkv);
    });
}

fn backward_in<W: Word>(
    cpu: &Cpu,
    shape: Shape<'_>,
    qkv: View<'_>,
    dropout: Dropout<'_>,
    probabilities: &[f32],
    context: View<'_>,
    d_context: View<'_>,
    d_qkv: &mut Operand,
) {
    let tokens = shape.check();
    let (hidden, size, isa) = (shape.hidden_size(), shape.head_size, cpu.isa());
    assert_eq!((qkv.rows(), qkv.width()), (tokens, 3 * hidden), "(T, 3H) queries, keys, values");
    for view in [context, d_context] {
        let contexts = (shape.contexts(), hidden);
        assert_eq!((view.rows(), view.width()), contexts, "(T, H) or (B, H) context, gradients");
    }
    let d_qkv = d_qkv.store::<W>();
    assert_eq!((d_qkv.rows(), d_qkv.width()), (tokens, 3 * hidden), "(T, 3H) gradients");
    assert!(probabilities.len() >= shape.probabilities_len(), "all probabilities");
    let scale = 1.0 / (size as f32).sqrt();
    shape.for_each(cpu, shape.depth::<W>(), |text, heads| {
        let Text { tokens, contexts, probabilities: kept_at } = text;
        let (n, q, width) = (tokens.len(), contexts.len(), heads.len() * size);
        let row = padded(n);
        let lens = [wide_len(n, 5 * width), turned_len(n, size), q * row, q * row, 3 * n * width];
        with_parts(lens, |[wide, turned, dropped, d_scores, out_buffer]| {
            let first = heads.start * size;
            let parts = [
                (qkv, &tokens, first),
                (qkv, &tokens, hidden + first),
                (qkv, &tokens, 2 * hidden + first),
                (context, &contexts, first),
                (d_context, &contexts, first),
            ];
            widen_rows::<W>(isa, &parts, width, wide);
            let stride = 5 * width;
            // Who does not look at others has a query without a gradient.
            for row in out_buffer.chunks_exact_mut(3 * width).skip(q) {
                row[..width].fill(0.0);
            }
            for head in heads.clone() {
                let column = (head - heads.start) * size;
                let [queries, keys, values, outputs, d_outputs] =
                    [0, 1, 2, 3, 4].map(|part| &wide[part * width + column..]);
                let kept_at = kept_at + head * q * row;
                let softmax = &probabilities[kept_at..kept_at + q * row];
                let mut product = |part: usize, (m, k), a: Strided<'_, f32>, b: &[f32]| {
                    let out = &mut out_buffer[part * width + column..];
                    gemm_unpacked(isa, (m, k, size), a, (b, stride), out, 3 * width);
                };

                // d_values = dropped' d_outputs
                let weights = if dropout.is_none() {
                    softmax
                } else {
                    drop_rows(isa, dropout, softmax, &tokens, (shape.heads, head), dropped);
                    &*dropped
                };
                product(2, (n, q), columns_of(weights, row), d_outputs);

                // d_scores = softmax (dropout(d_outputs values') - d_outputs · outputs) scale
                let values = turn(isa, (n, size), (values, stride), turned);
                let a = rows_of(d_outputs, stride);
                gemm_unpacked(isa, (q, size, row), a, values, d_scores, row);
                isa.run(
                    #[inline(always)]
                    || {
                        for (i, d_row) in d_scores.chunks_exact_mut(row).enumerate() {
                            dropout.apply((tokens.start + i) * shape.heads + head, d_row);
                            let at = i * stride..i * stride + size;
                            let total = dot(&d_outputs[at.clone()], &outputs[at]);
                            for (d, &p) in d_row.iter_mut().zip(&softmax[i * row..(i + 1) * row]) {
                                *d = p * (*d - total) * scale;
                            }
                        }
                    },
                );

                // d_queries = d_scores keys, d_keys = d_scores' queries
                product(0, (q, n), rows_of(d_scores, row), keys);
                product(1, (n, q), columns_of(d_scores, row), queries);
            }
            isa.run(
                #[inline(always)]
                || {
                    for (token, row) in tokens.clone().zip(out_buffer.chunks_exact(3 * width)) {
                        if width == hidden {
                            // SAFETY: this text's rows are this task's own.
                            unsafe { d_qkv.store_row(token, row) };
                            continue;
                        }
                        for (part, values) in row.chunks_exact(width).enumerate() {
                            let start = part * hidden + heads.start * size;
                            // SAFETY: these heads' columns of this text's rows; whole words.
                            unsafe { d_qkv.store(token, start..start + width, values) };
                        }
                    }
                },
            );
        });
    });
}

/// The transpose of a row-major matrix.
fn columns_of(values: &[f32], stride: usize) -> Strided<'_, f32> {
    Strided { values, row: 1, column: stride }
}

/// Softmax of `scale * row[..n]`, in place; what is behind becomes 0.
#[inline(always)]
fn softmax_row(row: &mut [f32], n: usize, scale: f32) {
    row[n..].fill(f32::NEG_INFINITY);
    let highest = max(row);
    let (chunks, _) = row.as_chunks_mut::<LANES>();
    for chunk in &mut *chunks {
        for value in chunk {
            *value = exp((*value - highest) * scale);
        }
    }
    let inverse = 1.0 / sum(chunks.as_flattened());
    for chunk in chunks {
        for value in chunk {
            *value *= inverse;
        }
    }
}

/// Dropout of the rows of `softmax`, those of the first tokens.
fn drop_rows(
    isa: Isa,
    dropout: Dropout<'_>,
    softmax: &[f32],
    tokens: &Range<usize>,
    (heads, head): (usize, usize),
    dropped: &mut [f32],
) {
    let row = padded(tokens.len());
    dropped.copy_from_slice(softmax);
    isa.run(
        #[inline(always)]
        || {
            for (token, row) in tokens.clone().zip(dropped.chunks_exact_mut(row)) {
                dropout.apply(token * heads + head, row);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;
    use crate::cpu::test_cpus;
    use crate::norm::tests::waves;

    /// Attention in f64, straight from the formula.
    fn naive(shape: Shape<'_>, qkv: &[f64], dropout: Dropout<'_>) -> Vec<f64> {
        let (hidden, size) = (shape.hidden_size(), shape.head_size);
        let mut context = vec![0.0; qkv.len() / 3];
        for pair in shape.cumulative_lengths.windows(2) {
            let (start, end) = (pair[0] as usize, pair[1] as usize);
            for head in 0..shape.heads {
                let at = |token: usize, part: usize, d: usize| {
                    qkv[token * 3 * hidden + part * hidden + head * size + d]
                };
                for i in start..end {
                    let scores: Vec<f64> = (start..end)
                        .map(|j| {
                            let product = (0..size).map(|d| at(i, 0, d) * at(j, 1, d)).sum::<f64>();
                            (product / (size as f64).sqrt()).exp()
                        })
                        .collect();
                    let total: f64 = scores.iter().sum();
                    let mut mask = vec![1.0_f32; end - start];
                    dropout.apply(i * shape.heads + head, &mut mask);
                    for (j, (score, mask)) in scores.iter().zip(mask).enumerate() {
                        for d in 0..size {
                            context[i * hidden + head * size + d] +=
                                score / total * f64::from(mask) * at(start + j, 2, d);
                        }
                    }
                }
            }
        }
        if shape.queries == Queries::First {
            let starts = shape.cumulative_lengths[..shape.contexts()].iter();
            return starts
                .flat_map(|&at| context[at as usize * hidden..][..hidden].to_vec())
                .collect();
        }
        context
    }

    fn widen(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&x| f64::from(x)).collect()
    }

    #[test]
    fn forward_and_backward_match_the_formula() {
        for cpu in test_cpus() {
            for (cumulative_lengths, heads, head_size, queries) in [
                (&[0_u32, 1][..], 1, 1, Queries::All),
                (&[0, 3, 20], 2, 26, Queries::All),
                (&[0, 5, 5, 38], 3, 7, Queries::All),
                (&[0, 1], 1, 1, Queries::First),
                (&[0, 3, 4, 20], 2, 26, Queries::First),
                (&[0, 5, 38], 3, 7, Queries::First),
            ] {
                let shape = Shape { cumulative_lengths, heads, head_size, queries };
                let (hidden, tokens) = (heads * head_size, shape.check());
                let rounded = cpu.precision() == Precision::Bf16;
                let (tolerance, slope_tolerance) =
                    if rounded { (1.0 / 256.0, 1e-2) } else { (1e-5, 2e-5) };
                let operand = |values: &[f32], width: usize| {
                    let mut operand = Operand::default();
                    operand.set(&cpu, values, width);
                    operand
                };
                let room =
                    |rows: usize, width: usize| operand(&vec![f32::NAN; rows * width], width);
                let qkv = operand(&waves(tokens * 3 * hidden, 0.1), 3 * hidden);
                let d_context = operand(&waves(shape.contexts() * hidden, 0.2), hidden);
                let exact = widen(&qkv.view().to_f32());
                for dropout in [Dropout::NONE, Dropout::new(0.3, 1, 2, 3, 4)] {
                    let mut kept = vec![f32::NAN; shape.probabilities_len()];
                    let mut context = room(shape.contexts(), hidden);
                    forward(&cpu, shape, qkv.view(), dropout, Some(&mut kept), &mut context);
                    let expected = naive(shape, &exact, dropout);
                    let found = context.view().to_f32();
                    assert_eq!(found.len(), expected.len());
                    for (&found, expected) in found.iter().zip(&expected) {
                        let off = (f64::from(found) - expected).abs();
                        assert!(off < tolerance, "{cpu:?} {shape:?}: {off}");
                    }
                    let mut alone = room(shape.contexts(), hidden);
                    forward(&cpu, shape, qkv.view(), dropout, None, &mut alone);
                    assert_eq!(alone.view().to_f32(), found);

                    let mut d_qkv = room(tokens, 3 * hidden);
                    let (view, d_view) = (context.view(), d_context.view());
                    backward(&cpu, shape, qkv.view(), dropout, &kept, view, d_view, &mut d_qkv);
                    let d_qkv = d_qkv.view().to_f32();
                    let weights = widen(&d_view.to_f32());
                    let objective = |qkv: &[f64]| -> f64 {
                        naive(shape, qkv, dropout).iter().zip(&weights).map(|(o, d)| o * d).sum()
                    };
                    for i in (0..exact.len()).step_by(exact.len() / 40 + 1) {
                        let (mut up, mut down) = (exact.clone(), exact.clone());
                        up[i] += 1e-5;
                        down[i] -= 1e-5;
                        let slope = (objective(&up) - objective(&down)) / 2e-5;
                        let found = f64::from(d_qkv[i]);
                        let off = (found - slope).abs();
                        assert!(off < slope_tolerance, "{shape:?} {i}: {found} {slope}");
                    }
                }
            }
        }
    }
}
