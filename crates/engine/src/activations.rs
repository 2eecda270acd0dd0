//! The workspace: every buffer that forward and backward write. It grows to the largest batch seen
//! and is kept, so that a step allocates nothing.
//!
//! Letters: `B` texts, `T` tokens, `H` hidden, `I` intermediate, `A` heads, `C` labels, `n` tokens
//! of one text.

use tinymood_core::{ModelConfig, PackedBatch};
use tinymood_kernels::attention::Shape;

/// What one encoder layer computes, and keeps for backward.
#[derive(Debug, Default)]
pub(crate) struct LayerActivations {
    /// Queries, keys, values; (T, 3H).
    pub(crate) qkv: Vec<f32>,
    /// Attention probabilities before dropout; (Σ A n²), empty when nothing is kept.
    pub(crate) probabilities: Vec<f32>,
    /// (T, H).
    pub(crate) context: Vec<f32>,
    pub(crate) attention_norm: NormActivations,
    /// After attention, residual and norm; (T, H).
    pub(crate) attended: Vec<f32>,
    /// (T, I).
    pub(crate) preactivation: Vec<f32>,
    /// After GELU; (T, I).
    pub(crate) activation: Vec<f32>,
    pub(crate) output_norm: NormActivations,
    /// The layer's hidden states; (T, H).
    pub(crate) output: Vec<f32>,
}

/// What a layer norm keeps for backward.
#[derive(Debug, Default)]
pub(crate) struct NormActivations {
    /// (T, H).
    pub(crate) normalised: Vec<f32>,
    /// (T).
    pub(crate) inverse_std: Vec<f32>,
}

impl NormActivations {
    fn resize(&mut self, tokens: usize, hidden: usize) {
        self.normalised.resize(tokens * hidden, 0.0);
        self.inverse_std.resize(tokens, 0.0);
    }

    /// Both parts, as backward reads them.
    pub(crate) fn saved(&self) -> (&[f32], &[f32]) {
        (&self.normalised, &self.inverse_std)
    }
}

/// Gradients on their way back; shared by all layers.
#[derive(Debug, Default)]
pub(crate) struct GradientBuffers {
    /// Of the current hidden states; (T, H).
    pub(crate) d_hidden: Vec<f32>,
    /// Of the states between attention and feed-forward; (T, H).
    pub(crate) d_attended: Vec<f32>,
    /// Of a sublayer's output before dropout; (T, H).
    pub(crate) d_sublayer: Vec<f32>,
    /// (T, I).
    pub(crate) d_preactivation: Vec<f32>,
    /// (T, H).
    pub(crate) d_context: Vec<f32>,
    /// (T, 3H).
    pub(crate) d_qkv: Vec<f32>,
    /// (B, H).
    pub(crate) d_pooled: Vec<f32>,
    /// (B, H).
    pub(crate) d_first: Vec<f32>,
    /// (B, C).
    pub(crate) d_logits: Vec<f32>,
}

/// All buffers of a pass.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    /// Position of each token within its text; (T).
    pub(crate) positions: Vec<u32>,
    pub(crate) embedding_norm: NormActivations,
    /// Embeddings after norm and dropout; (T, H).
    pub(crate) embedded: Vec<f32>,
    /// One per layer when kept for backward, else two that take turns.
    pub(crate) layers: Vec<LayerActivations>,
    /// Hidden states of the first token of each text; (B, H).
    pub(crate) first: Vec<f32>,
    /// The text's vector before dropout; (B, H).
    pub(crate) pooled: Vec<f32>,
    /// The text's vector after dropout; (B, H).
    pub(crate) dropped: Vec<f32>,
    /// (B, C).
    pub(crate) logits: Vec<f32>,
    pub(crate) gradients: GradientBuffers,
}

impl Activations {
    /// Sizes all buffers for a batch; those of backward only when `keep`.
    pub(crate) fn fit(
        &mut self,
        config: &ModelConfig,
        num_labels: usize,
        batch: &PackedBatch,
        keep: bool,
    ) {
        let (b, t, c) = (batch.num_texts(), batch.num_tokens(), num_labels);
        let (h, i) = (config.hidden_size, config.intermediate_size);
        let probabilities =
            if keep { attention_shape(config, batch).probabilities_len() } else { 0 };
        self.positions.clear();
        self.positions.extend(batch.ranges().flat_map(|range| 0..range.len() as u32));
        self.embedding_norm.resize(t, h);
        self.embedded.resize(t * h, 0.0);
        let layers = if keep { config.num_hidden_layers } else { config.num_hidden_layers.min(2) };
        self.layers.resize_with(layers, LayerActivations::default);
        for layer in &mut self.layers {
            layer.qkv.resize(t * 3 * h, 0.0);
            layer.probabilities.resize(probabilities, 0.0);
            layer.context.resize(t * h, 0.0);
            layer.attention_norm.resize(t, h);
            layer.attended.resize(t * h, 0.0);
            layer.preactivation.resize(t * i, 0.0);
            layer.activation.resize(t * i, 0.0);
            layer.output_norm.resize(t, h);
            layer.output.resize(t * h, 0.0);
        }
        for buffer in [&mut self.first, &mut self.pooled, &mut self.dropped] {
            buffer.resize(b * h, 0.0);
        }
        self.logits.resize(b * c, 0.0);
        if keep {
            let gradients = &mut self.gradients;
            gradients.d_hidden.resize(t * h, 0.0);
            gradients.d_attended.resize(t * h, 0.0);
            gradients.d_sublayer.resize(t * h, 0.0);
            gradients.d_preactivation.resize(t * i, 0.0);
            gradients.d_context.resize(t * h, 0.0);
            gradients.d_qkv.resize(t * 3 * h, 0.0);
            gradients.d_pooled.resize(b * h, 0.0);
            gradients.d_first.resize(b * h, 0.0);
            gradients.d_logits.resize(b * c, 0.0);
        }
    }

    /// The hidden states that the head reads; (T, H).
    pub(crate) fn last_hidden(&self, num_layers: usize) -> &[f32] {
        match num_layers {
            0 => &self.embedded,
            n => &self.layers[(n - 1) % self.layers.len()].output,
        }
    }
}

/// The texts of a batch as attention sees them.
pub(crate) fn attention_shape<'a>(config: &ModelConfig, batch: &'a PackedBatch) -> Shape<'a> {
    Shape {
        cumulative_lengths: batch.cumulative_lengths(),
        heads: config.num_attention_heads,
        head_size: config.head_size(),
    }
}
