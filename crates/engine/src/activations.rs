//! The workspace: every buffer that forward and backward write. It grows to the largest batch seen
//! and is kept, so that a step allocates nothing.
//!
//! Letters: `B` texts, `T` tokens, `H` hidden, `I` intermediate, `A` heads, `C` labels, `n` tokens
//! of one text, `R` rows that a layer makes of them: `T`, or `B` in the last layer where nobody reads
//! more than the first token of each text.

use tinymood_core::{ModelConfig, PackedBatch};
use tinymood_kernels::attention::{Queries, Shape};
use tinymood_kernels::norm::{NormKept, NormSaved};
use tinymood_kernels::{Buffer, Cpu, Hidden, Operand};

/// What one encoder layer computes, and keeps for backward.
#[derive(Debug, Default)]
pub(crate) struct LayerActivations {
    /// Whose hidden states it makes.
    pub(crate) queries: Queries,
    /// Queries, keys, values; (T, 3H).
    pub(crate) qkv: Operand,
    /// Attention probabilities before dropout; (Σ A n²), or (Σ A n) of the first tokens; empty when
    /// nothing is kept.
    pub(crate) probabilities: Buffer<f32>,
    /// (R, H).
    pub(crate) context: Operand,
    /// The first tokens of the layer's input; (B, H), empty where all tokens go on.
    pub(crate) first: Buffer<f32>,
    pub(crate) attention_norm: NormActivations,
    /// After attention, residual and norm; (R, H).
    pub(crate) attended: Hidden,
    /// Of GELU; (R, I), empty when nothing is kept.
    pub(crate) slope: Operand,
    /// After GELU; (R, I).
    pub(crate) activation: Operand,
    pub(crate) output_norm: NormActivations,
    /// The layer's hidden states; (R, H).
    pub(crate) output: Hidden,
}

impl LayerActivations {
    /// Sizes all buffers for a batch; those of backward only when `keep`.
    pub(crate) fn fit(
        &mut self,
        cpu: &Cpu,
        config: &ModelConfig,
        batch: &PackedBatch,
        queries: Queries,
        keep: bool,
    ) {
        let (h, i) = (config.hidden_size, config.intermediate_size);
        let shape = attention_shape(config, batch, queries);
        let rows = shape.contexts();
        let kept = if keep { rows } else { 0 };
        self.queries = queries;
        self.qkv.resize(cpu, batch.num_tokens(), 3 * h);
        cpu.resize(&mut self.probabilities, if keep { shape.probabilities_len() } else { 0 });
        self.context.resize(cpu, rows, h);
        cpu.resize(&mut self.first, if queries == Queries::First { rows * h } else { 0 });
        self.attention_norm.resize(cpu, kept, h);
        self.attended.resize(cpu, rows, h);
        self.slope.resize(cpu, kept, i);
        self.activation.resize(cpu, rows, i);
        self.output_norm.resize(cpu, kept, h);
        self.output.resize(cpu, rows, h);
    }
}

/// What a layer norm keeps for backward; empty when nothing is kept.
#[derive(Debug, Default)]
pub(crate) struct NormActivations {
    /// (R, H).
    pub(crate) normalised: Buffer<f32>,
    /// (R).
    pub(crate) inverse_std: Buffer<f32>,
}

impl NormActivations {
    fn resize(&mut self, cpu: &Cpu, rows: usize, hidden: usize) {
        cpu.resize(&mut self.normalised, rows * hidden);
        cpu.resize(&mut self.inverse_std, rows);
    }

    /// As forward writes it.
    pub(crate) fn saved(&mut self) -> NormSaved<'_> {
        NormSaved { normalised: &mut self.normalised, inverse_std: &mut self.inverse_std }
    }

    /// As backward reads it.
    pub(crate) fn kept(&self) -> NormKept<'_> {
        NormKept { normalised: &self.normalised, inverse_std: &self.inverse_std }
    }
}

/// Gradients on their way back; shared by all layers.
#[derive(Debug, Default)]
pub(crate) struct GradientBuffers {
    /// Of the current hidden states; (R, H).
    pub(crate) d_hidden: Buffer<f32>,
    /// Of the states between attention and feed-forward; (R, H).
    pub(crate) d_attended: Buffer<f32>,
    /// Of a sublayer's output before dropout; (R, H).
    pub(crate) d_sublayer: Operand,
    /// (R, I).
    pub(crate) d_preactivation: Operand,
    /// (R, H).
    pub(crate) d_context: Operand,
    /// (T, 3H).
    pub(crate) d_qkv: Operand,
    /// (B, H).
    pub(crate) d_pooled: Buffer<f32>,
    /// Of the first tokens' hidden states; (B, H).
    pub(crate) d_first: Buffer<f32>,
    /// (B, C).
    pub(crate) d_logits: Buffer<f32>,
    /// `d_pooled` or `d_logits`, as multiplications read it.
    pub(crate) operand: Operand,
}

impl GradientBuffers {
    /// Sizes what a layer writes of `rows` rows.
    pub(crate) fn fit_rows(&mut self, cpu: &Cpu, config: &ModelConfig, rows: usize) {
        let (h, i) = (config.hidden_size, config.intermediate_size);
        cpu.resize(&mut self.d_attended, rows * h);
        self.d_sublayer.resize(cpu, rows, h);
        self.d_preactivation.resize(cpu, rows, i);
        self.d_context.resize(cpu, rows, h);
    }

    /// `d_first` (B, H) to `d_hidden` (T, H), overwritten: zeros but for the first tokens.
    pub(crate) fn spread_first(&mut self, cpu: &Cpu, batch: &PackedBatch) {
        let width = self.d_first.len() / batch.num_texts().max(1);
        cpu.resize(&mut self.d_hidden, batch.num_tokens() * width);
        self.d_hidden.fill(0.0);
        for (range, row) in batch.ranges().zip(self.d_first.chunks_exact(width.max(1))) {
            self.d_hidden[range.start * width..(range.start + 1) * width].copy_from_slice(row);
        }
    }
}

/// The first token of each text (T, H); (B, H), overwritten.
pub(crate) fn gather_first(batch: &PackedBatch, hidden: &[f32], first: &mut [f32]) {
    let width = first.len() / batch.num_texts().max(1);
    for (range, row) in batch.ranges().zip(first.chunks_exact_mut(width.max(1))) {
        row.copy_from_slice(&hidden[range.start * width..(range.start + 1) * width]);
    }
}

/// All buffers of a pass.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    /// Position of each token within its text; (T).
    pub(crate) positions: Vec<u32>,
    pub(crate) embedding_norm: NormActivations,
    /// Embeddings after norm and dropout; (T, H). Where nothing is kept, then the last layer's output
    /// (R, H).
    pub(crate) embedded: Hidden,
    /// One per layer when kept for backward, else one for all.
    pub(crate) layers: Vec<LayerActivations>,
    /// Whether each layer's activations are kept.
    keep: bool,
    /// Whose hidden states are the last ones; all where there is no layer.
    pub(crate) last: Queries,
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
        last: Queries,
        keep: bool,
    ) {
        let (b, t, c) = (batch.num_texts(), batch.num_tokens(), num_labels);
        let (h, depth) = (config.hidden_size, config.num_hidden_layers);
        self.positions.clear();
        self.positions.extend(batch.ranges().flat_map(|range| 0..range.len() as u32));
        let kept = if keep { t } else { 0 };
        self.embedding_norm.resize(cpu, kept, h);
        self.embedded.resize(cpu, t, h);
        self.keep = keep;
        self.last = if depth == 0 { Queries::All } else { last };
        self.layers.resize_with(if keep { depth } else { depth.min(1) }, Default::default);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let queries = if index + 1 == depth { last } else { Queries::All };
            layer.fit(cpu, config, batch, queries, keep);
        }
        for buffer in [&mut self.pooled, &mut self.rows] {
            cpu.resize(buffer, b * h);
        }
        cpu.resize(&mut self.logits, b * c);
        if keep {
            let gradients = &mut self.gradients;
            cpu.resize(&mut gradients.d_hidden, t * h);
            gradients.fit_rows(cpu, config, t);
            gradients.d_qkv.resize(cpu, t, 3 * h);
            cpu.resize(&mut gradients.d_pooled, b * h);
            cpu.resize(&mut gradients.d_first, b * h);
            cpu.resize(&mut gradients.d_logits, b * c);
        }
    }

    /// The hidden states that the head reads; (R, H).
    pub(crate) fn last_hidden(&self) -> &[f32] {
        match self.layers.last() {
            Some(layer) if self.keep => layer.output.values(),
            _ => self.embedded.values(),
        }
    }
}

/// The texts of a batch as attention sees them.
pub(crate) fn attention_shape<'a>(
    config: &ModelConfig,
    batch: &'a PackedBatch,
    queries: Queries,
) -> Shape<'a> {
    Shape {
        cumulative_lengths: batch.cumulative_lengths(),
        heads: config.num_attention_heads,
        head_size: config.head_size(),
        queries,
    }
}
