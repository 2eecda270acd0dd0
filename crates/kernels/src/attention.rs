//! Self-attention over packed texts (Vaswani et al., 2017), per text and per head, nothing padded.
//!
//! Letters: `T` tokens, `H` hidden size, `A` heads, `D = H / A` head size, `n` tokens of one text.
//!
//! ```text
//! for each text, for each head:
//!     S = Q Kᵀ / sqrt(D)        (n, n)
//!     P = softmax(S)            (n, n)   kept for backward
//!     O = dropout(P) V          (n, D)
//! ```
//!
//! 1. Each product is the matrix kernel on one thread: K, V and their like are packed into the
//!    thread's scratch, which zero-pads D = 26 to whole vectors. A (text, head) pair is one task.
//! 2. Dropout masks are drawn again in backward instead of being kept.
//! 3. The softmax's backward needs `Σ_j P_ij dP_ij`, which is `dO_i · O_i` (FlashAttention, Dao et
//!    al., 2022), so dP is never summed.

use std::ops::Range;

use crate::dropout::Dropout;
use crate::math::{dot, exp, max, sum};
use crate::matmul::{
    Strided, gemm, gemm_into, pack_small, pack_small_transposed, packed_len, with_scratch,
};
use crate::{Cpu, Isa};

/// The texts of a batch and the heads of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// Where each text starts, and the end of the last; (B + 1).
    pub cumulative_lengths: &'a [u32],
    /// `A`.
    pub heads: usize,
    /// `D`.
    pub head_size: usize,
}

impl Shape<'_> {
    /// Number of floats that the probabilities of all texts and heads take.
    pub fn probabilities_len(&self) -> usize {
        let squares = self.cumulative_lengths.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
        squares.map(|n| n * n).sum::<usize>() * self.heads
    }

    fn hidden_size(&self) -> usize {
        self.heads * self.head_size
    }

    fn check(&self) -> usize {
        let lengths = self.cumulative_lengths;
        assert!(!lengths.is_empty() && lengths.is_sorted(), "cumulative lengths rise");
        lengths[lengths.len() - 1] as usize
    }

    /// Runs `task` for each text and head with the text's tokens and the start of its
    /// probabilities.
    fn for_each(&self, cpu: &Cpu, task: impl Fn(Range<usize>, usize, usize) + Sync) {
        let texts = self.cumulative_lengths.len() - 1;
        cpu.pool().run(texts * self.heads, &|index| {
            let (text, head) = (index / self.heads, index % self.heads);
            let before = Shape { cumulative_lengths: &self.cumulative_lengths[..=text], ..*self };
            let start = self.cumulative_lengths[text] as usize;
            let end = self.cumulative_lengths[text + 1] as usize;
            let n = end - start;
            if n == 0 {
                return;
            }
            task(start..end, head, before.probabilities_len() + head * n * n);
        });
    }
}

/// A pointer into a buffer of which each task writes its own part.
#[derive(Clone, Copy)]
struct Target(*mut f32);

// SAFETY: each task writes other elements: its head's columns of its text's rows, or its own
// probabilities.
unsafe impl Sync for Target {}

impl Target {
    /// # Safety
    /// The offset must be inside the buffer.
    unsafe fn at(&self, offset: usize) -> *mut f32 {
        // SAFETY: inside, as the caller promises.
        unsafe { self.0.add(offset) }
    }
}

/// From `qkv` (T, 3H: queries, keys, values) to `context` (T, H), overwritten.
///
/// `probabilities` ([`Shape::probabilities_len`]) keeps the softmax for [`backward`]; without it
/// nothing is kept. Dropout's row is `token * A + head`, its element the key's position.
///
/// # Panics
/// When sizes do not fit.
pub fn forward(
    cpu: &Cpu,
    shape: Shape<'_>,
    qkv: &[f32],
    dropout: Dropout,
    probabilities: Option<&mut [f32]>,
    context: &mut [f32],
) {
    let tokens = shape.check();
    let (hidden, size, isa) = (shape.hidden_size(), shape.head_size, cpu.isa());
    assert_eq!(qkv.len(), tokens * 3 * hidden, "(T, 3H) queries, keys, values");
    assert_eq!(context.len(), tokens * hidden, "(T, H) context");
    let kept = probabilities.map(|kept| {
        assert!(kept.len() >= shape.probabilities_len(), "room for the probabilities");
        Target(kept.as_mut_ptr())
    });
    let context = Target(context.as_mut_ptr());
    let scale = 1.0 / (size as f32).sqrt();
    shape.for_each(cpu, |text, head, kept_at| {
        let n = text.len();
        let [queries, keys, values] = heads_of(qkv, &text, hidden, head * size);
        let panels_len = packed_len::<f32>(isa, size, n).max(packed_len::<f32>(isa, n, size));
        with_scratch(panels_len + 2 * n * n, |scratch: &mut [f32]| {
            let (panels, squares) = scratch.split_at_mut(panels_len);
            let (own, dropped) = squares.split_at_mut(n * n);
            let softmax: &mut [f32] = match &kept {
                // SAFETY: this task's own n * n floats, inside the buffer as checked.
                Some(kept) => unsafe { std::slice::from_raw_parts_mut(kept.at(kept_at), n * n) },
                None => own,
            };
            let stride = 3 * hidden;
            pack_small_transposed(isa, keys, stride, (size, n), panels);
            gemm(isa, (n, size, n), rows_of(queries, stride), panels, softmax, n, false);
            isa.run(|| softmax.chunks_exact_mut(n).for_each(|row| softmax_row(row, scale)));
            let weights = if dropout.is_none() {
                &*softmax
            } else {
                drop_rows(isa, dropout, softmax, &text, (shape.heads, head), dropped);
                dropped
            };
            pack_small(isa, values, stride, (n, size), panels);
            let weights = rows_of(weights, n);
            // SAFETY: this head's columns of this text's rows, inside (T, H).
            unsafe {
                let target = context.at(text.start * hidden + head * size);
                gemm_into(isa, (n, n, size), weights, panels, target, hidden, false);
            }
        });
    });
}

/// From `d_context` (T, H) to `d_qkv` (T, 3H), overwritten; the rest as [`forward`] had and left it.
///
/// # Panics
/// When sizes do not fit.
pub fn backward(
    cpu: &Cpu,
    shape: Shape<'_>,
    qkv: &[f32],
    dropout: Dropout,
    probabilities: &[f32],
    context: &[f32],
    d_context: &[f32],
    d_qkv: &mut [f32],
) {
    let tokens = shape.check();
    let (hidden, size, isa) = (shape.hidden_size(), shape.head_size, cpu.isa());
    assert_eq!(qkv.len(), tokens * 3 * hidden, "(T, 3H) queries, keys, values");
    assert_eq!(d_qkv.len(), qkv.len(), "(T, 3H) gradients");
    assert_eq!(context.len(), tokens * hidden, "(T, H) context");
    assert_eq!(d_context.len(), context.len(), "(T, H) gradients");
    assert!(probabilities.len() >= shape.probabilities_len(), "all probabilities");
    let d_qkv = Target(d_qkv.as_mut_ptr());
    let scale = 1.0 / (size as f32).sqrt();
    shape.for_each(cpu, |text, head, kept_at| {
        let n = text.len();
        let [queries, keys, values] = heads_of(qkv, &text, hidden, head * size);
        let column = head * size;
        let outputs = &context[text.start * hidden + column..text.end * hidden];
        let d_outputs = &d_context[text.start * hidden + column..text.end * hidden];
        let softmax = &probabilities[kept_at..kept_at + n * n];
        let panels_len = packed_len::<f32>(isa, size, n).max(packed_len::<f32>(isa, n, size));
        with_scratch(panels_len + 2 * n * n, |scratch: &mut [f32]| {
            let (panels, squares) = scratch.split_at_mut(panels_len);
            let (dropped, d_scores) = squares.split_at_mut(n * n);
            let stride = 3 * hidden;
            // SAFETY: this head's columns of this text's rows, inside (T, 3H).
            let [d_queries, d_keys, d_values] = [0, 1, 2]
                .map(|part| unsafe { d_qkv.at(text.start * stride + part * hidden + column) });

            // d_values = dropped' d_outputs
            let weights = if dropout.is_none() {
                softmax
            } else {
                drop_rows(isa, dropout, softmax, &text, (shape.heads, head), dropped);
                &*dropped
            };
            pack_small(isa, d_outputs, hidden, (n, size), panels);
            // SAFETY: as above.
            unsafe {
                let weights = columns_of(weights, n);
                gemm_into(isa, (n, n, size), weights, panels, d_values, stride, false);
            }

            // d_scores = softmax (dropout(d_outputs values') - d_outputs · outputs) scale
            pack_small_transposed(isa, values, stride, (size, n), panels);
            gemm(isa, (n, size, n), rows_of(d_outputs, hidden), panels, d_scores, n, false);
            isa.run(|| {
                for (i, d_row) in d_scores.chunks_exact_mut(n).enumerate() {
                    dropout.apply((text.start + i) * shape.heads + head, d_row);
                    let at = i * hidden..i * hidden + size;
                    let total = dot(&d_outputs[at.clone()], &outputs[at]);
                    for (d, &p) in d_row.iter_mut().zip(&softmax[i * n..(i + 1) * n]) {
                        *d = p * (*d - total) * scale;
                    }
                }
            });

            // d_queries = d_scores keys, d_keys = d_scores' queries
            pack_small(isa, keys, stride, (n, size), panels);
            // SAFETY: as above.
            unsafe {
                let scores = rows_of(d_scores, n);
                gemm_into(isa, (n, n, size), scores, panels, d_queries, stride, false);
            }
            pack_small(isa, queries, stride, (n, size), panels);
            // SAFETY: as above.
            unsafe {
                let scores = columns_of(d_scores, n);
                gemm_into(isa, (n, n, size), scores, panels, d_keys, stride, false);
            }
        });
    });
}

/// The queries, keys and values of a head in the rows of a text; each of row stride 3H.
fn heads_of<'a>(
    qkv: &'a [f32],
    text: &Range<usize>,
    hidden: usize,
    column: usize,
) -> [&'a [f32]; 3] {
    let rows = &qkv[text.start * 3 * hidden..text.end * 3 * hidden];
    [0, 1, 2].map(|part| rows.get(part * hidden + column..).unwrap_or_default())
}

/// A row-major matrix as it is.
fn rows_of(values: &[f32], stride: usize) -> Strided<'_, f32> {
    Strided { values, row: stride, column: 1 }
}

/// The transpose of a row-major matrix.
fn columns_of(values: &[f32], stride: usize) -> Strided<'_, f32> {
    Strided { values, row: 1, column: stride }
}

/// Softmax of `scale * row`, in place.
#[inline(always)]
fn softmax_row(row: &mut [f32], scale: f32) {
    let highest = max(row);
    for value in row.iter_mut() {
        *value = exp((*value - highest) * scale);
    }
    let inverse = 1.0 / sum(row);
    for value in row {
        *value *= inverse;
    }
}

fn drop_rows(
    isa: Isa,
    dropout: Dropout,
    softmax: &[f32],
    text: &Range<usize>,
    (heads, head): (usize, usize),
    dropped: &mut [f32],
) {
    let n = text.len();
    dropped.copy_from_slice(softmax);
    isa.run(|| {
        for (token, row) in text.clone().zip(dropped.chunks_exact_mut(n)) {
            dropout.apply(token * heads + head, row);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::test_cpus;
    use crate::norm::tests::waves;

    /// Attention in f64, straight from the formula.
    fn naive(shape: Shape<'_>, qkv: &[f64], dropout: Dropout) -> Vec<f64> {
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
        context
    }

    fn widen(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&x| f64::from(x)).collect()
    }

    #[test]
    fn forward_and_backward_match_the_formula() {
        for cpu in test_cpus() {
            for (lengths, heads, head_size) in
                [(&[0_u32, 1][..], 1, 1), (&[0, 3, 20], 2, 26), (&[0, 5, 5, 38], 3, 7)]
            {
                let shape = Shape { cumulative_lengths: lengths, heads, head_size };
                let (hidden, tokens) = (heads * head_size, shape.check());
                let qkv = waves(tokens * 3 * hidden, 0.1);
                let d_context = waves(tokens * hidden, 0.2);
                for dropout in [Dropout::NONE, Dropout::new(0.3, 1, 2, 3, 4)] {
                    let mut kept = vec![f32::NAN; shape.probabilities_len()];
                    let mut context = vec![f32::NAN; tokens * hidden];
                    forward(&cpu, shape, &qkv, dropout, Some(&mut kept), &mut context);
                    let expected = naive(shape, &widen(&qkv), dropout);
                    for (&found, expected) in context.iter().zip(&expected) {
                        assert!((f64::from(found) - expected).abs() < 1e-5, "{cpu:?} {lengths:?}");
                    }
                    let mut alone = vec![f32::NAN; tokens * hidden];
                    forward(&cpu, shape, &qkv, dropout, None, &mut alone);
                    assert_eq!(alone, context);

                    let mut d_qkv = vec![f32::NAN; qkv.len()];
                    backward(&cpu, shape, &qkv, dropout, &kept, &context, &d_context, &mut d_qkv);
                    let weights = widen(&d_context);
                    let objective = |qkv: &[f64]| -> f64 {
                        naive(shape, qkv, dropout).iter().zip(&weights).map(|(o, d)| o * d).sum()
                    };
                    for i in (0..qkv.len()).step_by(qkv.len() / 40 + 1) {
                        let (mut up, mut down) = (widen(&qkv), widen(&qkv));
                        up[i] += 1e-5;
                        down[i] -= 1e-5;
                        let slope = (objective(&up) - objective(&down)) / 2e-5;
                        let found = f64::from(d_qkv[i]);
                        assert!((found - slope).abs() < 2e-5, "{lengths:?} {i}: {found} {slope}");
                    }
                }
            }
        }
    }
}
