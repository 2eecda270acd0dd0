//! Self-attention relations: how the tokens of a text lie to one another in the eyes of a student, and
//! how far that is from what its teacher sees (MiniLMv2: Wang et al., 2021).
//!
//! Letters: `T` tokens, `n` tokens of one text, `R` relation heads, `H` and `W` the hidden sizes of
//! student and teacher, `D = H / R` and `E = W / R` their head sizes.
//!
//! ```text
//! for each text, for each relation head, for each X of Q, K, V and the teacher's Y beside it:
//!     P = softmax(X Xᵀ / sqrt(D))                              (n, n)
//!     G = softmax(Y Yᵀ / sqrt(E))                              (n, n)
//!     loss_i += weight_i / R  Σ_j G_ij log(G_ij / P_ij)        KL divergence
//!     dS_ij = weight_i / R  (P_ij - G_ij)
//!     dX = (dS + dSᵀ) X / sqrt(D)                              (n, D)
//! ```
//!
//! 1. A relation compares tokens with tokens, so that widths and numbers of heads may differ: the heads
//!    that each model attends with are put side by side, and cut anew.
//! 2. Work is shared out as attention's is, and the products are the same kernels on one thread.
//! 3. The divergence is summed from scores and not from probabilities, of which the small ones become 0:
//!    `Σ_j G_ij (y_ij - x_ij) - log Σ exp(y_i) + log Σ exp(x_i)` is finite for all of them.
//! 4. The scores are a matrix times its own transpose, so that a token's row moves them twice; `dS` is
//!    added to its transpose in place, and multiplied once.
//!
//! It costs nine products of `n² D` and six softmaxes a head where attention, forward and backward, costs six
//! and one: at 19 tokens a text, twice its time, for one layer of a student.

use crate::heads::{
    LANES, Queries, Shape, Target, Text, padded, rows_of, turn, turned_len, wide_len, widen_rows,
    with_parts,
};
use crate::math::{exp, max, sum};
use crate::matmul::{Word, by_precision, gemm_unpacked};
use crate::operand::{Operand, View};
use crate::{Cpu, Isa};

/// Queries, keys and values.
const PARTS: usize = 3;

/// Adds to `d_student` (T, 3H) the gradient of all losses by `student` (T, 3H: queries, keys, values),
/// whose teacher's are `teacher` (T, 3W). `shape` has the relation heads and the student's share of
/// each. `weights` are those of the tokens' rows (T); `losses` are the terms of each token and relation
/// head (T, R), overwritten.
///
/// # Panics
/// When sizes do not fit, or the relation heads do not divide the teacher's width.
pub fn forward_backward(
    cpu: &Cpu,
    shape: Shape<'_>,
    student: View<'_>,
    teacher: &[f32],
    weights: &[f32],
    losses: &mut [f32],
    d_student: &mut Operand,
) {
    by_precision!(cpu, W => {
        forward_backward_in::<W>(cpu, shape, student, teacher, weights, losses, d_student);
    });
}

fn forward_backward_in<W: Word>(
    cpu: &Cpu,
    shape: Shape<'_>,
    student: View<'_>,
    teacher: &[f32],
    weights: &[f32],
    losses: &mut [f32],
    d_student: &mut Operand,
) {
    let tokens = shape.check();
    if tokens == 0 {
        return;
    }
    assert_eq!(shape.queries, Queries::All, "relations are among all tokens");
    let (hidden, relation_heads, isa) = (shape.hidden_size(), shape.heads, cpu.isa());
    assert_eq!((student.rows(), student.width()), (tokens, PARTS * hidden), "(T, 3H) student");
    let teacher_hidden = teacher.len() / (PARTS * tokens);
    assert_eq!(teacher.len(), tokens * PARTS * teacher_hidden, "(T, 3W) teacher");
    assert!(teacher_hidden > 0 && teacher_hidden.is_multiple_of(relation_heads), "R divides W");
    let teacher = View::of_f32(teacher, PARTS * teacher_hidden);
    assert_eq!((weights.len(), losses.len()), (tokens, tokens * relation_heads), "(T), (T, R)");
    let losses = Target(losses.as_mut_ptr());
    let d_student = d_student.store::<W>();
    assert_eq!(
        (d_student.rows(), d_student.width()),
        (tokens, PARTS * hidden),
        "(T, 3H) gradients"
    );
    let (size, teacher_size) = (shape.head_size, teacher_hidden / relation_heads);
    let [scale, teacher_scale] = [size, teacher_size].map(|size| 1.0 / (size as f32).sqrt());
    shape.for_each(cpu, shape.depth::<W>(), |Text { tokens: text, .. }, heads| {
        let (n, row) = (text.len(), padded(text.len()));
        let [width, teacher_width] = [size, teacher_size].map(|size| heads.len() * size);
        let lens = [
            wide_len(n, PARTS * width),
            wide_len(n, PARTS * teacher_width),
            turned_len(n, size.max(teacher_size)),
            n * row,
            n * row,
            PARTS * n * width,
            PARTS * width,
        ];
        with_parts(lens, |[wide, teacher_wide, turned, scores, wanted, out, spare]| {
            let places = [0, 1, 2].map(|part| part * hidden + heads.start * size);
            let parts = places.map(|place| (student, &text, place));
            widen_rows::<W>(isa, &parts, width, wide);
            let places = [0, 1, 2].map(|part| part * teacher_hidden + heads.start * teacher_size);
            let parts = places.map(|place| (teacher, &text, place));
            widen_rows::<f32>(isa, &parts, teacher_width, teacher_wide);
            for head in heads.clone() {
                // SAFETY: these tokens' terms of this head are this task's own.
                let loss_of = |token| unsafe { &mut *losses.at(token * relation_heads + head) };
                text.clone().for_each(|token| *loss_of(token) = 0.0);
                for part in 0..PARTS {
                    let column = part * width + (head - heads.start) * size;
                    let x = &wide[column..];
                    products(isa, (n, size), (x, PARTS * width), turned, scores);
                    let column = part * teacher_width + (head - heads.start) * teacher_size;
                    let y = (&teacher_wide[column..], PARTS * teacher_width);
                    products(isa, (n, teacher_size), y, turned, wanted);
                    isa.run(
                        #[inline(always)]
                        || {
                            let rows = scores.chunks_exact_mut(row);
                            let rows = rows.zip(wanted.chunks_exact_mut(row));
                            for (token, (scores, wanted)) in text.clone().zip(rows) {
                                let weight = weights[token] / relation_heads as f32;
                                let scales = (scale, teacher_scale);
                                let divergence =
                                    divergence_row(scores, wanted, n, scales, weight * scale);
                                *loss_of(token) += weight * divergence;
                            }
                        },
                    );
                    add_transpose(n, row, scores);
                    let out = &mut out[part * width + (head - heads.start) * size..];
                    let (slopes, x) = (rows_of(scores, row), (x, PARTS * width));
                    gemm_unpacked(isa, (n, n, size), slopes, x, out, PARTS * width);
                }
            }
            isa.run(
                #[inline(always)]
                || {
                    for (token, row) in text.clone().zip(out.chunks_exact(PARTS * width)) {
                        if width == hidden {
                            // SAFETY: this text's rows are this task's own.
                            unsafe { d_student.add(token, 0..PARTS * hidden, row, spare) };
                            continue;
                        }
                        for (part, values) in row.chunks_exact(width).enumerate() {
                            let start = part * hidden + heads.start * size;
                            let (columns, spare) = (start..start + width, &mut spare[..width]);
                            // SAFETY: these heads' columns of this text's rows; whole words.
                            unsafe { d_student.add(token, columns, values, spare) };
                        }
                    }
                },
            );
        });
    });
}

/// All products of `n` rows of `size` values with one another; (n, n), rows padded.
fn products(
    isa: Isa,
    (n, size): (usize, usize),
    (rows, stride): (&[f32], usize),
    turned: &mut [f32],
    out: &mut [f32],
) {
    let row = padded(n);
    let turned = turn(isa, (n, size), (rows, stride), turned);
    gemm_unpacked(isa, (n, size, row), rows_of(rows, stride), turned, out, row);
}

/// The KL divergence of softmax(`scales.0 * student`) from softmax(`scales.1 * teacher`), of rows of `n`
/// products; `student` becomes `weight` times its slope by the scaled products, with zeros behind `n`.
#[inline(always)]
fn divergence_row(
    student: &mut [f32],
    teacher: &mut [f32],
    n: usize,
    scales: (f32, f32),
    weight: f32,
) -> f32 {
    for row in [&mut *student, &mut *teacher] {
        row[n..].fill(f32::NEG_INFINITY);
    }
    let (highest, teacher_highest) = (max(student), max(teacher));
    let (students, _) = student.as_chunks_mut::<LANES>();
    let (teachers, _) = teacher.as_chunks_mut::<LANES>();
    let mut gaps = [0.0; LANES];
    for (xs, ys) in students.iter_mut().zip(&mut *teachers) {
        for lane in 0..LANES {
            let x = (xs[lane] - highest) * scales.0;
            let y = (ys[lane] - teacher_highest) * scales.1;
            (xs[lane], ys[lane]) = (exp(x), exp(y));
            // Behind the row both are -inf.
            gaps[lane] += if ys[lane] > 0.0 { ys[lane] * (y - x) } else { 0.0 };
        }
    }
    let (total, teacher_total) = (sum(students.as_flattened()), sum(teachers.as_flattened()));
    let (share, teacher_share) = (weight / total, weight / teacher_total);
    for (xs, ys) in students.iter_mut().zip(teachers) {
        for lane in 0..LANES {
            xs[lane] = share * xs[lane] - teacher_share * ys[lane];
        }
    }
    sum(&gaps) / teacher_total + (total / teacher_total).ln()
}

/// Adds to the first `n` columns of `n` rows their transpose, in place.
fn add_transpose(n: usize, row: usize, values: &mut [f32]) {
    for i in 0..n {
        for j in 0..=i {
            let both = values[i * row + j] + values[j * row + i];
            values[i * row + j] = both;
            values[j * row + i] = both;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;
    use crate::cpu::test_cpus;
    use crate::norm::tests::waves;

    /// The relations of one token with those of its text, as logarithms: log softmax(X Xᵀ / sqrt(size))_i.
    fn log_relations(
        rows: &[f64],
        (stride, first, size): (usize, usize, usize),
        i: usize,
    ) -> Vec<f64> {
        let rows: Vec<&[f64]> = rows.chunks(stride).map(|row| &row[first..first + size]).collect();
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let scores = rows.iter().map(|row| dot(rows[i], row) / (size as f64).sqrt());
        let scores: Vec<f64> = scores.collect();
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total = scores.iter().map(|score| (score - highest).exp()).sum::<f64>();
        scores.iter().map(|score| score - highest - total.ln()).collect()
    }

    /// The losses in f64, straight from the definition; (T, R).
    fn naive(shape: Shape<'_>, student: &[f64], teacher: &[f64], weights: &[f32]) -> Vec<f64> {
        let (tokens, heads) = (weights.len(), shape.heads);
        let [width, teacher_width] = [student, teacher].map(|rows| rows.len() / tokens / 3);
        let mut losses = Vec::new();
        for pair in shape.cumulative_lengths.windows(2) {
            let (start, end) = (pair[0] as usize, pair[1] as usize);
            for (token, head) in (start..end).flat_map(|t| (0..heads).map(move |head| (t, head))) {
                let mut divergence = 0.0;
                for part in 0..3 {
                    let relations = |rows: &[f64], width: usize| {
                        let size = width / heads;
                        let text = &rows[start * 3 * width..end * 3 * width];
                        let place = (3 * width, part * width + head * size, size);
                        log_relations(text, place, token - start)
                    };
                    let (p, g) = (relations(student, width), relations(teacher, teacher_width));
                    divergence += g.iter().zip(p).map(|(g, p)| g.exp() * (g - p)).sum::<f64>();
                }
                losses.push(f64::from(weights[token]) / heads as f64 * divergence);
            }
        }
        losses
    }

    fn widen(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&x| f64::from(x)).collect()
    }

    fn operand(cpu: &Cpu, values: &[f32], width: usize) -> Operand {
        let mut operand = Operand::default();
        operand.set(cpu, values, width);
        operand
    }

    #[test]
    fn losses_and_slopes_are_the_definitions() {
        for cpu in test_cpus() {
            for (lengths, heads, size, teacher_size) in [
                (&[0_u32, 1][..], 1, 1, 1),
                (&[0, 3, 20], 2, 26, 32),
                (&[0, 5, 5, 38], 3, 7, 5),
                (&[0, 2, 17, 50], 4, 16, 20),
                (&[0, 40], 12, 26, 32),
            ] {
                let shape = Shape {
                    cumulative_lengths: lengths,
                    heads,
                    head_size: size,
                    queries: Queries::All,
                };
                let (hidden, tokens) = (heads * size, shape.check());
                let student = operand(&cpu, &waves(tokens * 3 * hidden, 0.1), 3 * hidden);
                let teacher: Vec<f32> =
                    waves(tokens * 3 * heads * teacher_size, 0.4).iter().map(|x| 1.3 * x).collect();
                let weights: Vec<f32> = (0..tokens).map(|t| 0.5 + (t % 7) as f32).collect();
                let before = waves(tokens * 3 * hidden, 0.7);
                let mut d_student = operand(&cpu, &before, 3 * hidden);
                let before = widen(&d_student.view().to_f32());
                let mut losses = vec![f32::NAN; tokens * heads];
                let view = student.view();
                forward_backward(
                    &cpu,
                    shape,
                    view,
                    &teacher,
                    &weights,
                    &mut losses,
                    &mut d_student,
                );

                let (exact, teacher) = (widen(&view.to_f32()), widen(&teacher));
                let expected = naive(shape, &exact, &teacher, &weights);
                for (&found, expected) in losses.iter().zip(&expected) {
                    let off = (f64::from(found) - expected).abs();
                    assert!(off < 1e-5 * expected.max(1.0), "{cpu:?} {lengths:?}: {off}");
                }
                let total = |student: &[f64]| -> f64 {
                    naive(shape, student, &teacher, &weights).iter().sum()
                };
                let rounded = cpu.precision() == Precision::Bf16;
                let d_student = d_student.view().to_f32();
                for i in (0..exact.len()).step_by(exact.len() / 15 + 1) {
                    let (mut up, mut down) = (exact.clone(), exact.clone());
                    up[i] += 1e-5;
                    down[i] -= 1e-5;
                    let slope = before[i] + (total(&up) - total(&down)) / 2e-5;
                    let found = f64::from(d_student[i]);
                    let tolerance = 2e-6 * slope.abs().max(10.0)
                        + if rounded { slope.abs() / 256.0 } else { 0.0 };
                    let off = (found - slope).abs();
                    assert!(off <= tolerance, "{cpu:?} {lengths:?} {i}: {found} {slope}");
                }
            }
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let lengths = [0, 9, 30];
        let shape =
            Shape { cumulative_lengths: &lengths, heads: 6, head_size: 10, queries: Queries::All };
        let (student, teacher) = (waves(30 * 180, 0.1), waves(30 * 126, 0.4));
        let results = |cpu: &Cpu| {
            let student = operand(cpu, &student, 180);
            let mut d_student = operand(cpu, &waves(30 * 180, 0.7), 180);
            let (weights, mut losses) = ([0.3; 30], vec![f32::NAN; 30 * 6]);
            let view = student.view();
            forward_backward(cpu, shape, view, &teacher, &weights, &mut losses, &mut d_student);
            (losses, d_student.view().to_f32())
        };
        for cpu in test_cpus() {
            let alone = Cpu::new(cpu.isa(), cpu.precision(), 1).unwrap();
            assert!(results(&cpu) == results(&alone), "{cpu:?}");
        }
    }

    #[test]
    fn far_relations_stay_finite_and_equal_ones_cost_nothing() {
        let lengths = [0, 5];
        let shape =
            Shape { cumulative_lengths: &lengths, heads: 2, head_size: 4, queries: Queries::All };
        for cpu in test_cpus() {
            let near = waves(5 * 24, 0.1);
            let far: Vec<f32> = near.iter().map(|x| 64.0 * x).collect();
            let results = |student: &[f32], teacher: &[f32]| {
                let student = operand(&cpu, student, 24);
                let mut d_student = operand(&cpu, &[0.0; 5 * 24], 24);
                let mut losses = vec![f32::NAN; 10];
                let (view, weights) = (student.view(), [1.0; 5]);
                forward_backward(&cpu, shape, view, teacher, &weights, &mut losses, &mut d_student);
                (losses, d_student.view().to_f32())
            };
            for (student, teacher) in [(&near, &far), (&far, &near), (&far, &far)] {
                let (losses, slopes) = results(student, teacher);
                let all = losses.iter().chain(&slopes);
                assert!(all.copied().all(f32::is_finite), "{losses:?} {slopes:?}");
            }
            let same = operand(&cpu, &near, 24).view().to_f32();
            let (losses, slopes) = results(&near, &same);
            assert!(losses.iter().chain(&slopes).all(|x| x.abs() < 1e-6), "{losses:?} {slopes:?}");
            let (losses, _) = results(&far, &near);
            assert!(losses.iter().all(|&loss| loss > 1.0), "{losses:?}");
        }
    }

    #[test]
    fn no_tokens_do_nothing() {
        for cpu in test_cpus() {
            let shape = Shape {
                cumulative_lengths: &[0, 0],
                heads: 2,
                head_size: 3,
                queries: Queries::All,
            };
            let student = operand(&cpu, &[], 18);
            let mut d_student = student.clone();
            forward_backward(&cpu, shape, student.view(), &[], &[], &mut [], &mut d_student);
        }
    }
}
