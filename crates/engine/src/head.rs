//! The head: hidden states to one vector a text, dropout, classifier
//! (`transformers.BertForSequenceClassification`). Letters as in [`crate::activations`].

use tinymood_core::PackedBatch;
use tinymood_kernels::attention::Queries;
use tinymood_kernels::linear;
use tinymood_kernels::norm::AffineGradients;

use crate::activations::{Activations, gather_first};
use crate::encoder::{DropoutSites, Model};

impl Model<'_> {
    /// From the last hidden states to `activations.logits`.
    pub(crate) fn head_forward(
        &self,
        batch: &PackedBatch,
        sites: DropoutSites<'_>,
        activations: &mut Activations,
    ) {
        let (cpu, h) = (self.cpu, self.config.hidden_size);
        let mut rows = std::mem::take(&mut activations.rows);
        let mut pooled = std::mem::take(&mut activations.pooled);
        let hidden = activations.last_hidden();
        match (&self.layout.pooler, &self.packed.pooler) {
            (Some(place), Some(packed)) => {
                match activations.last {
                    Queries::All => gather_first(batch, hidden, &mut rows),
                    Queries::First => rows.copy_from_slice(hidden),
                }
                activations.first.set(cpu, &rows, h);
                let bias = &self.weights[place.bias.clone()];
                let first = activations.first.view();
                linear::forward(cpu, first, &packed.forward, bias, &mut pooled);
                pooled.iter_mut().for_each(|x| *x = x.tanh());
            }
            _ => {
                for (range, row) in batch.ranges().zip(pooled.chunks_exact_mut(h)) {
                    mean_rows(&hidden[range.start * h..range.end * h], row);
                }
            }
        }
        rows.copy_from_slice(&pooled);
        let dropout = sites.pooled();
        for (text, row) in rows.chunks_exact_mut(h).enumerate() {
            dropout.apply(text, row);
        }
        activations.dropped.set(cpu, &rows, h);
        activations.rows = rows;
        activations.pooled = pooled;
        let Activations { dropped, logits, .. } = activations;
        let bias = &self.weights[self.layout.classifier.bias.clone()];
        linear::forward(cpu, dropped.view(), &self.packed.classifier.forward, bias, logits);
    }

    /// From `d_logits` to `d_hidden`, both in `activations.gradients`, adding to the gradients of the
    /// head's weights.
    pub(crate) fn head_backward(
        &self,
        batch: &PackedBatch,
        sites: DropoutSites<'_>,
        activations: &mut Activations,
        d_weights: &mut [f32],
    ) {
        let (cpu, h) = (self.cpu, self.config.hidden_size);
        let Activations { last, first, pooled, dropped, gradients: g, .. } = activations;
        let sums = self.layout.classifier.gradients(d_weights);
        let AffineGradients { weight: d_weight, bias: d_bias } = sums;
        g.operand.set(cpu, &g.d_logits, d_bias.len());
        let (d_logits, accumulate) = (g.operand.view(), self.accumulate);
        linear::weight_backward(cpu, d_logits, dropped.view(), accumulate, d_weight, d_bias);
        g.d_pooled.fill(0.0);
        linear::input_backward(cpu, d_logits, &self.packed.classifier.backward, &mut g.d_pooled);
        let dropout = sites.pooled();
        for (text, row) in g.d_pooled.chunks_exact_mut(h).enumerate() {
            dropout.apply(text, row);
        }
        match (&self.layout.pooler, &self.packed.pooler) {
            (Some(place), Some(packed)) => {
                let tanh = g.d_pooled.iter_mut().zip(&**pooled);
                tanh.for_each(|(d, &y)| *d *= 1.0 - y * y);
                let AffineGradients { weight: d_weight, bias: d_bias } = place.gradients(d_weights);
                g.operand.set(cpu, &g.d_pooled, h);
                let d_output = g.operand.view();
                linear::weight_backward(cpu, d_output, first.view(), accumulate, d_weight, d_bias);
                g.d_first.fill(0.0);
                linear::input_backward(cpu, d_output, &packed.backward, &mut g.d_first);
                match last {
                    Queries::All => g.spread_first(cpu, batch),
                    Queries::First => std::mem::swap(&mut g.d_hidden, &mut g.d_first),
                }
            }
            _ => {
                for (range, row) in batch.ranges().zip(g.d_pooled.chunks_exact(h)) {
                    let share = 1.0 / range.len() as f32;
                    let tokens = g.d_hidden[range.start * h..range.end * h].chunks_exact_mut(h);
                    for d_token in tokens {
                        d_token.iter_mut().zip(row).for_each(|(d, &value)| *d = value * share);
                    }
                }
            }
        }
    }
}

/// Mean of rows (n, H) into one (H), overwritten.
fn mean_rows(rows: &[f32], mean: &mut [f32]) {
    mean.fill(0.0);
    let width = mean.len();
    for row in rows.chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
    }
    let share = width as f32 / rows.len() as f32;
    mean.iter_mut().for_each(|sum| *sum *= share);
}
