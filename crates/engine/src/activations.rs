//! The workspace: every buffer that forward and backward write. It grows to the largest batch seen
//! and is kept, so that a step allocates nothing.
//!
//! Letters: `B` texts, `T` tokens, `H` hidden, `I` intermediate, `A` heads, `C` labels, `n` tokens
//! of one text.

use tinymood_core::{ModelConfig, PackedBatch};
use tinymood_kernels::attention::Shape;
use tinymood_kernels::{Buffer, Cpu, Hidden, Operand};

/// What one encoder layer computes, and keeps for backward.
#[derive(Debug, Default)]
pub(crate) struct LayerActivations {
    /// Queries, keys, values; (T, 3H).
    pub(crate) qkv: Operand,
    /// Attention probabilities before dropout; (Σ A n²), empty when nothing is kept.
    pub(crate) probabilities: Buffer<f32>,
    /// (T, H).
    pub(crate) context: Operand,
    pub(crate) attention_norm: NormActivations,
    /// After attention, residual and norm; (T, H).
    pub(crate) attended: Hidden,
    /// Of GELU; (T, I), empty when nothing is kept.
    pub(crate) slope: Operand,
    /// After GELU; (T, I).
    pub(crate) activation: Operand,
    pub(crate) output_norm: NormActivations,
    /// The layer's hidden states; (T, H).
    pub(crate) output: Hidden,
}

/// What a layer norm keeps for backward; empty when nothing is kept.
#[derive(Debug, Default)]
pub(crate) struct NormActivations {
    /// (T, H).
    pub(crate) normalised: Buffer<f32>,
    /// (T).
    pub(crate) inverse_std: Buffer<f32>,
}

impl NormActivations {
    fn resize(&mut self, cpu: &Cpu, tokens: usize, hidden: usize) {
        cpu.resize(&mut self.normalised, tokens * hidden);
        cpu.resize(&mut self.inverse_std, tokens);
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
    pub(crate) d_hidden: Buffer<f32>,
    /// Of the states between attention and feed-forward; (T, H).
    pub(crate) d_attended: Buffer<f32>,
    /// Of a sublayer's output before dropout; (T, H).
    pub(crate) d_sublayer: Operand,
    /// (T, I).
    pub(crate) d_preactivation: Operand,
    /// (T, H).
    pub(crate) d_context: Operand,
    /// (T, 3H).
    pub(crate) d_qkv: Operand,
    /// (B, H).
    pub(crate) d_pooled: Buffer<f32>,
    /// (B, H).
    pub(crate) d_first: Buffer<f32>,
    /// (B, C).
    pub(crate) d_logits: Buffer<f32>,
    /// One of the three above, as multiplications read it.
    pub(crate) operand: Operand,
}

/// All buffers of a pass.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    /// Position of each token within its text; (T).
    pub(crate) positions: Vec<u32>,
    pub(crate) embedding_norm: NormActivations,
    /// Embeddings after norm and dropout; (T, H). Where nothing is kept, then the last layer's output.
    pub(crate) embedded: Hidden,
    /// One per layer when kept for backward, else one for all.
    pub(crate) layers: Vec<LayerActivations>,
    /// Whether each layer's activations are kept.
    keep: bool,
    /// Hidden states of the first token of each text; (B, H).
    pub(crate) first: Operand,
    /// The text's vector before dropout; (B, H).
    pub(crate) pooled: Buffer<f32>,
    /// The text's vector after dropout; (B, H).
    pub(crate) dropped: Operand,
    /// What becomes one of the operands above; (B, H).
    pub(crate) rows: Buffer<f32>,
    /// (B, C).
    pub(crate) logits: Buffer<f32>,
    pub(crate) gradients: GradientBuffers,
}

impl Activations {
    /// Sizes all buffers for a batch; those of backward only when `keep`.
    pub(crate) fn fit(
        &mut self,
        cpu: &Cpu,
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
        let kept = if keep { t } else { 0 };
        self.embedding_norm.resize(cpu, kept, h);
        self.embedded.resize(cpu, t, h);
        let layers = if keep { config.num_hidden_layers } else { config.num_hidden_layers.min(1) };
        self.keep = keep;
        self.layers.resize_with(layers, LayerActivations::default);
        for layer in &mut self.layers {
            layer.qkv.resize(cpu, t, 3 * h);
            cpu.resize(&mut layer.probabilities, probabilities);
            layer.context.resize(cpu, t, h);
            layer.attention_norm.resize(cpu, kept, h);
            layer.attended.resize(cpu, t, h);
            layer.slope.resize(cpu, kept, i);
            layer.activation.resize(cpu, t, i);
            layer.output_norm.resize(cpu, kept, h);
            layer.output.resize(cpu, t, h);
        }
        for buffer in [&mut self.pooled, &mut self.rows] {
            cpu.resize(buffer, b * h);
        }
        cpu.resize(&mut self.logits, b * c);
        if keep {
            let gradients = &mut self.gradients;
            cpu.resize(&mut gradients.d_hidden, t * h);
            cpu.resize(&mut gradients.d_attended, t * h);
            gradients.d_sublayer.resize(cpu, t, h);
            gradients.d_preactivation.resize(cpu, t, i);
            gradients.d_context.resize(cpu, t, h);
            gradients.d_qkv.resize(cpu, t, 3 * h);
            cpu.resize(&mut gradients.d_pooled, b * h);
            cpu.resize(&mut gradients.d_first, b * h);
            cpu.resize(&mut gradients.d_logits, b * c);
        }
    }

    /// The hidden states that the head reads; (T, H).
    pub(crate) fn last_hidden(&self) -> &[f32] {
        match self.layers.last() {
            Some(layer) if self.keep => layer.output.values(),
            _ => self.embedded.values(),
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
