//! The losses of a student, as [`Matching`] defines them, with their gradients.
//!
//! Letters as in [`crate::activations`], and `W`, the teacher's width.

use tinymood_core::{Matching, PackedBatch, Relations, TeacherStates};
use tinymood_kernels::attention::{Queries, Shape};
use tinymood_kernels::distance::relative_error_forward_backward;
use tinymood_kernels::norm::AffineGradients;
use tinymood_kernels::{Buffer, Cpu, Hidden, Operand, View, linear, relations};

use crate::encoder::{Additions, Model};
use crate::profile::Part;

/// What the losses of a batch write; kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// A hidden state of the student projected, and then its gradient; (T, W).
    projected: Buffer<f32>,
    /// The gradient as multiplications read it; (T, W).
    d_projected: Operand,
    /// Weight of each row, and its terms of the loss; (T) or (B), of relations (T) and (T, R).
    weights: Vec<f32>,
    losses: Vec<f32>,
}

/// The losses of one batch.
pub(crate) struct Matcher<'a> {
    matching: &'a Matching,
    teacher: &'a TeacherStates,
    batch: &'a PackedBatch,
    workspace: &'a mut Workspace,
    /// Mean of the teacher's last state over each text; (B, W).
    teacher_means: Vec<f32>,
    /// `1 / rows_in_step`.
    text_share: f64,
    /// The loss so far.
    pub(crate) loss: f64,
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(
        matching: &'a Matching,
        teacher: &'a TeacherStates,
        batch: &'a PackedBatch,
        rows_in_step: usize,
        workspace: &'a mut Workspace,
    ) -> Self {
        let last = teacher.states.last().map_or(&[][..], Vec::as_slice);
        let teacher_means = means(batch, last, teacher.width);
        let text_share = 1.0 / rows_in_step.max(1) as f64;
        Self { matching, teacher, batch, workspace, teacher_means, text_share, loss: 0.0 }
    }

    /// The head's outputs (B, W) against the teacher's means; `d_logits` (B, W) is overwritten.
    pub(crate) fn head(&mut self, cpu: &Cpu, logits: &[f32], d_logits: &mut [f32]) {
        d_logits.copy_from_slice(logits);
        let weight = f64::from(self.matching.head_weight) * self.text_share;
        let Workspace { weights, losses, .. } = &mut *self.workspace;
        weights.clear();
        weights.resize(self.batch.num_texts(), weight as f32);
        losses.resize(weights.len(), 0.0);
        relative_error_forward_backward(cpu, d_logits, &self.teacher_means, weights, losses);
        self.loss += sum(losses);
    }

    /// A hidden state of the student (T, H), where it is matched: adds to its gradient `d_hidden` and to
    /// those of its projection.
    fn match_state(
        &mut self,
        model: &Model<'_>,
        state: usize,
        hidden: &Hidden,
        d_hidden: &mut [f32],
        d_weights: &mut [f32],
    ) {
        let matched = model.config.projections.as_ref().map_or(&[][..], |of| &of.states);
        let Some(index) = matched.iter().position(|&matched| matched == state) else { return };
        let (cpu, width) = (model.cpu, self.teacher.width);
        let (place, packed) = (&model.layout.projections[index], &model.packed.projections[index]);
        let Workspace { projected, d_projected, weights, losses } = &mut *self.workspace;
        cpu.resize(projected, self.batch.num_tokens() * width);
        let bias = &model.weights[place.bias.clone()];
        linear::forward(cpu, hidden.view(), &packed.forward, bias, projected);

        let is_last = index + 1 == matched.len();
        let student_means = is_last.then(|| means(self.batch, projected, width));
        let weight = f64::from(self.matching.state_weights[index]) * self.text_share;
        share_among_tokens(self.batch, weight, weights);
        losses.resize(weights.len(), 0.0);
        let teacher = &self.teacher.states[index];
        relative_error_forward_backward(cpu, projected, teacher, weights, losses);
        self.loss += sum(losses);
        if let Some(student_means) = student_means {
            let weight = f64::from(self.matching.mean_weight) * self.text_share;
            let texts =
                student_means.chunks_exact(width).zip(self.teacher_means.chunks_exact(width));
            for (range, (student, teacher)) in self.batch.ranges().zip(texts) {
                let (distance, slope) = cosine_distance(student, teacher);
                self.loss += weight * distance;
                let share = weight / range.len() as f64;
                let tokens =
                    projected[range.start * width..range.end * width].chunks_exact_mut(width);
                for d_token in tokens {
                    let slopes = d_token.iter_mut().zip(&slope);
                    slopes.for_each(|(d, slope)| *d += (share * slope) as f32);
                }
            }
        }

        d_projected.set(cpu, projected, width);
        let AffineGradients { weight: d_weight, bias: d_bias } = place.gradients(d_weights);
        let d_output = d_projected.view();
        linear::weight_backward(cpu, d_output, hidden.view(), model.accumulate, d_weight, d_bias);
        linear::input_backward(cpu, d_output, &packed.backward, d_hidden);
    }

    /// Queries, keys and values of the student (T, 3H): adds to their gradient `d_qkv` that of their
    /// relations.
    fn match_relations(
        &mut self,
        model: &Model<'_>,
        relations: Relations,
        qkv: View<'_>,
        d_qkv: &mut Operand,
    ) {
        let Workspace { weights, losses, .. } = &mut *self.workspace;
        let weight = f64::from(relations.weight) * self.text_share;
        share_among_tokens(self.batch, weight, weights);
        losses.resize(weights.len() * relations.heads, 0.0);
        let shape = Shape {
            cumulative_lengths: self.batch.cumulative_lengths(),
            heads: relations.heads,
            head_size: model.config.hidden_size / relations.heads,
            queries: Queries::All,
        };
        let teacher = &self.teacher.qkv;
        relations::forward_backward(model.cpu, shape, qkv, teacher, weights, losses, d_qkv);
        self.loss += sum(losses);
    }
}

impl Additions for Matcher<'_> {
    /// Where the state is matched, adds also to the gradients of its projection.
    fn state(
        &mut self,
        model: &Model<'_>,
        state: usize,
        hidden: &Hidden,
        d_hidden: &mut [f32],
        d_weights: &mut [f32],
    ) {
        let matched = || self.match_state(model, state, hidden, d_hidden, d_weights);
        model.profile.time(Part::Head, matched);
    }

    fn qkv(&mut self, model: &Model<'_>, layer: usize, qkv: View<'_>, d_qkv: &mut Operand) {
        let Some(of) = self.matching.relations else { return };
        if layer + 1 == model.config.num_hidden_layers {
            model.profile.time(Part::Head, || self.match_relations(model, of, qkv, d_qkv));
        }
    }
}

/// Each token's share of the `weight` of its text; (T).
fn share_among_tokens(batch: &PackedBatch, weight: f64, weights: &mut Vec<f32>) {
    weights.clear();
    for range in batch.ranges() {
        let share = (weight / range.len() as f64) as f32;
        weights.extend(range.map(|_| share));
    }
}

fn sum(losses: &[f32]) -> f64 {
    losses.iter().map(|&loss| f64::from(loss)).sum()
}

/// The mean of each text's rows (T, W); (B, W).
fn means(batch: &PackedBatch, rows: &[f32], width: usize) -> Vec<f32> {
    let mut means = vec![0.0; batch.num_texts() * width];
    for (range, mean) in batch.ranges().zip(means.chunks_exact_mut(width)) {
        let share = 1.0 / range.len() as f32;
        for row in rows[range.start * width..range.end * width].chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(mean, &value)| *mean += share * value);
        }
    }
    means
}

/// `1 - cos(x, y)` and its slope by `x`; (W) each. A vector of zeros has no direction: distance 1,
/// slope 0.
fn cosine_distance(x: &[f32], y: &[f32]) -> (f64, Vec<f64>) {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let (length_x, length_y) = (dot(x, x).sqrt(), dot(y, y).sqrt());
    if length_x == 0.0 || length_y == 0.0 {
        return (1.0, vec![0.0; x.len()]);
    }
    let cosine = dot(x, y) / (length_x * length_y);
    let slope = x
        .iter()
        .zip(y)
        .map(|(&x, &y)| (cosine * f64::from(x) / length_x - f64::from(y) / length_y) / length_x);
    (1.0 - cosine, slope.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_slopes_are_slopes() {
        let (x, y) = ([0.3_f32, -1.2, 0.7, 2.0], [1.0_f32, 0.4, -0.2, 1.5]);
        let (_, slope) = cosine_distance(&x, &y);
        for at in 0..x.len() {
            let moved = |by: f32| {
                let mut x = x;
                x[at] += by;
                cosine_distance(&x, &y).0
            };
            let found = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((found - slope[at]).abs() < 1e-4, "{found} {}", slope[at]);
        }
        assert_eq!(cosine_distance(&[0.0; 2], &[1.0; 2]), (1.0, vec![0.0; 2]));
        assert!(cosine_distance(&y, &y).0.abs() < 1e-12);
    }
}
