//! The encoder (Devlin et al., 2019; `transformers.models.bert.BertModel`), forward and backward
//! side by side. Letters as in [`crate::activations`]; gradients are `d_` and the name.

use tinymood_core::{ModelConfig, PackedBatch, Randomness};
use tinymood_kernels::attention::Queries;
use tinymood_kernels::norm::{AffineGradients, NormWeights};
use tinymood_kernels::{Cpu, Dropout, Hidden, Operand, View, attention, embedding, linear, norm};

use crate::activations::{
    Activations, GradientBuffers, LayerActivations, attention_shape, gather_first,
};
use crate::layout::{Affine, LayerLayout, Layout};
use crate::packed::{PackedLayer, PackedWeights};
use crate::profile::{Part, Profile};

/// What a pass reads and never writes.
pub(crate) struct Model<'a> {
    pub(crate) cpu: &'a Cpu,
    pub(crate) config: &'a ModelConfig,
    pub(crate) layout: &'a Layout,
    /// The arena of weights.
    pub(crate) weights: &'a [f32],
    /// Word embeddings, (V, H).
    pub(crate) words: &'a [f32],
    pub(crate) packed: &'a PackedWeights,
    pub(crate) profile: &'a Profile,
    /// Whether backward adds to the gradients of linear weights, or overwrites them. All other
    /// gradients are added to.
    pub(crate) accumulate: bool,
}

/// What a loss adds to gradients on their way back, beside what comes from the head.
pub(crate) trait Additions {
    /// Is shown each hidden state (T, H): adds to its gradient `d_hidden` and to those of weights.
    fn state(
        &mut self,
        model: &Model<'_>,
        state: usize,
        hidden: &Hidden,
        d_hidden: &mut [f32],
        d_weights: &mut [f32],
    );

    /// Is shown the queries, keys and values of each layer (T, 3H): adds to their gradient `d_qkv`.
    fn qkv(&mut self, model: &Model<'_>, layer: usize, qkv: View<'_>, d_qkv: &mut Operand);
}

/// Nothing is added.
impl Additions for () {
    fn state(&mut self, _: &Model<'_>, _: usize, _: &Hidden, _: &mut [f32], _: &mut [f32]) {}

    fn qkv(&mut self, _: &Model<'_>, _: usize, _: View<'_>, _: &mut Operand) {}
}

/// The dropout of each site of a pass. Sites are numbered: 0 embeddings; for layer `l`, `1 + 3l`
/// attention probabilities, `2 + 3l` attention output, `3 + 3l` feed-forward output; `1 + 3L` the
/// pooled vector. Rows count tokens of the step, tokens times heads for probabilities, and texts for
/// the pooled vector.
#[derive(Clone, Copy)]
pub(crate) struct DropoutSites<'a> {
    config: &'a ModelConfig,
    /// `None`: nothing is dropped.
    randomness: Option<Randomness>,
}

impl<'a> DropoutSites<'a> {
    pub(crate) fn new(config: &'a ModelConfig, randomness: Option<Randomness>) -> Self {
        Self { config, randomness }
    }

    fn site(&self, site: usize, p: f32, first_row: impl Fn(Randomness) -> u64) -> Dropout<'a> {
        self.randomness.map_or(Dropout::NONE, |at| {
            Dropout::new(p, at.seed, at.step, site as u64, first_row(at))
        })
    }

    pub(crate) fn embeddings(&self) -> Dropout<'a> {
        self.site(0, self.config.hidden_dropout_prob, |at| at.first_token)
    }

    pub(crate) fn probabilities(&self, layer: usize) -> Dropout<'a> {
        let heads = self.config.num_attention_heads as u64;
        let p = self.config.attention_probs_dropout_prob;
        self.site(1 + 3 * layer, p, |at| at.first_token.wrapping_mul(heads))
    }

    pub(crate) fn attention_output(&self, layer: usize) -> Dropout<'a> {
        self.site(2 + 3 * layer, self.config.hidden_dropout_prob, |at| at.first_token)
    }

    pub(crate) fn output(&self, layer: usize) -> Dropout<'a> {
        self.site(3 + 3 * layer, self.config.hidden_dropout_prob, |at| at.first_token)
    }

    pub(crate) fn pooled(&self) -> Dropout<'a> {
        let site = 1 + 3 * self.config.num_hidden_layers;
        self.site(site, self.config.classifier_dropout_prob(), |at| at.first_text)
    }
}

impl<'a> Model<'a> {
    fn norm_weights(&self, place: &Affine) -> NormWeights<'a> {
        NormWeights {
            weight: &self.weights[place.weight.clone()],
            bias: &self.weights[place.bias.clone()],
            epsilon: self.config.layer_norm_eps,
        }
    }

    /// From tokens to hidden states, in `activations`, which fits the batch. Word embeddings are
    /// read from `words`, (T, H), where given, else from the table. Each hidden state is shown to
    /// `seen`, with the layer's queries, keys and values, (T, 3H), but for the embeddings, since only
    /// `keep` leaves all of them in place.
    pub(crate) fn encoder_forward(
        &self,
        batch: &PackedBatch,
        words: Option<&[f32]>,
        sites: DropoutSites<'_>,
        keep: bool,
        activations: &mut Activations,
        mut seen: impl FnMut(usize, &Hidden, Option<View<'_>>),
    ) {
        let Activations { positions, embedding_norm, embedded, layers, last, .. } = activations;
        let tokens: Vec<u32>;
        let (word, ids) = match words {
            Some(words) => {
                tokens = (0..batch.num_tokens() as u32).collect();
                (words, &tokens[..])
            }
            None => (self.words, batch.token_ids()),
        };
        let tables = embedding::Tables {
            word,
            position: &self.weights[self.layout.position.clone()],
            token_type: &self.weights[self.layout.token_type.clone()],
        };
        let norm = self.norm_weights(&self.layout.embedding_norm);
        let at = (ids, &positions[..]);
        let saved = keep.then(|| embedding_norm.saved());
        self.profile.time(Part::Embeddings, || {
            embedding::forward(self.cpu, tables, at, norm, saved, sites.embeddings(), embedded);
        });
        seen(0, embedded, None);
        for layer in 0..self.config.num_hidden_layers {
            if keep {
                let (before, rest) = layers.split_at_mut(layer);
                let input = before.last().map_or(&*embedded, |before| &before.output);
                self.layer_forward(layer, batch, sites, keep, input, &mut rest[0]);
                seen(layer + 1, &rest[0].output, Some(rest[0].qkv.view()));
            } else {
                // One layer's buffers for all: they stay in cache.
                if layer + 1 == self.config.num_hidden_layers {
                    layers[0].fit(self.cpu, self.config, batch, *last, false);
                }
                self.layer_forward(layer, batch, sites, keep, embedded, &mut layers[0]);
                std::mem::swap(embedded, &mut layers[0].output);
                seen(layer + 1, embedded, Some(layers[0].qkv.view()));
            }
        }
    }

    /// The reverse of [`Model::encoder_forward`]: from `d_hidden` in `activations.gradients` to the
    /// gradients of all weights, added to, with what `additions` adds.
    pub(crate) fn encoder_backward(
        &self,
        batch: &PackedBatch,
        sites: DropoutSites<'_>,
        activations: &mut Activations,
        d_weights: &mut [f32],
        additions: &mut impl Additions,
    ) {
        let Activations { positions, embedding_norm, embedded, layers, gradients, .. } =
            activations;
        for layer in (0..self.config.num_hidden_layers).rev() {
            let input = if layer == 0 { &*embedded } else { &layers[layer - 1].output };
            let a = &layers[layer];
            additions.state(self, layer + 1, &a.output, &mut gradients.d_hidden, d_weights);
            self.layer_backward(layer, batch, sites, input, a, gradients, d_weights, additions);
        }
        additions.state(self, 0, embedded, &mut gradients.d_hidden, d_weights);
        self.profile.time(Part::Embeddings, || {
            let hidden = self.config.hidden_size;
            let GradientBuffers { d_hidden, d_attended: d_sum, .. } = gradients;
            // A layer that only first tokens leave has made it shorter.
            self.cpu.resize(d_sum, batch.num_tokens() * hidden);
            embedding::dropout_backward(self.cpu, sites.embeddings(), d_hidden, hidden);
            let place = &self.layout.embedding_norm;
            let weight = &self.weights[place.weight.clone()];
            let (kept, sums) = (embedding_norm.kept(), place.gradients(d_weights));
            norm::backward(self.cpu, d_hidden, weight, kept, d_sum, sums);
            let Layout { word, position, token_type, .. } = self.layout;
            let tables =
                d_weights.get_disjoint_mut([word.clone(), position.clone(), token_type.clone()]);
            let [d_word, d_position, d_type] = tables.expect("a layout's places do not overlap");
            let at = (batch.token_ids(), &positions[..]);
            embedding::backward(self.cpu, d_sum, at, hidden, d_word, d_position, d_type);
        });
    }

    /// The dropout of the rows that a layer makes, counted by their tokens.
    fn rows_of<'b>(dropout: Dropout<'b>, batch: &'b PackedBatch, queries: Queries) -> Dropout<'b> {
        match queries {
            Queries::All => dropout,
            Queries::First => dropout.of_rows(batch.cumulative_lengths()),
        }
    }

    /// One layer: attention, residual, norm; feed-forward, residual, norm. `input` is (T, H). After
    /// attention only those tokens go on that looked at the others.
    fn layer_forward(
        &self,
        layer: usize,
        batch: &PackedBatch,
        sites: DropoutSites<'_>,
        keep: bool,
        input: &Hidden,
        a: &mut LayerActivations,
    ) {
        let (cpu, place, packed) = self.layer_parts(layer);
        let bias = |affine: &Affine| &self.weights[affine.bias.clone()];
        let shape = attention_shape(self.config, batch, a.queries);
        self.profile.time(Part::LinearForward, || {
            let weight = &packed.qkv.forward;
            linear::operand_forward(cpu, input.view(), weight, bias(&place.qkv), &mut a.qkv);
        });
        let probabilities = keep.then_some(&mut a.probabilities[..]);
        let dropout = sites.probabilities(layer);
        self.profile.time(Part::AttentionForward, || {
            attention::forward(cpu, shape, a.qkv.view(), dropout, probabilities, &mut a.context);
        });
        let residual = match a.queries {
            Queries::All => input.values(),
            Queries::First => {
                gather_first(batch, input.values(), &mut a.first);
                &a.first
            }
        };
        self.profile.time(Part::LinearForward, || {
            linear::residual_norm_forward(
                cpu,
                a.context.view(),
                &packed.attention_output.forward,
                bias(&place.attention_output),
                Self::rows_of(sites.attention_output(layer), batch, a.queries),
                residual,
                self.norm_weights(&place.attention_norm),
                keep.then(|| a.attention_norm.saved()),
                &mut a.attended,
            );
        });
        self.profile.time(Part::LinearForward, || {
            linear::gelu_forward(
                cpu,
                a.attended.view(),
                &packed.intermediate.forward,
                bias(&place.intermediate),
                keep.then_some(&mut a.slope),
                &mut a.activation,
            );
        });
        self.profile.time(Part::LinearForward, || {
            linear::residual_norm_forward(
                cpu,
                a.activation.view(),
                &packed.output.forward,
                bias(&place.output),
                Self::rows_of(sites.output(layer), batch, a.queries),
                a.attended.values(),
                self.norm_weights(&place.output_norm),
                keep.then(|| a.output_norm.saved()),
                &mut a.output,
            );
        });
    }

    /// From the gradient of the layer's output to that of its input, both in `g.d_hidden`, adding to
    /// the gradients of its weights.
    fn layer_backward(
        &self,
        layer: usize,
        batch: &PackedBatch,
        sites: DropoutSites<'_>,
        input: &Hidden,
        a: &LayerActivations,
        g: &mut GradientBuffers,
        d_weights: &mut [f32],
        additions: &mut impl Additions,
    ) {
        let rows = attention_shape(self.config, batch, a.queries).contexts();
        g.fit_rows(self.cpu, self.config, rows);
        self.feed_forward_backward(layer, batch, sites, a, g, d_weights);
        self.attention_backward(layer, batch, sites, a, g, d_weights);
        additions.qkv(self, layer, a.qkv.view(), &mut g.d_qkv);
        let (cpu, place, packed) = self.layer_parts(layer);
        self.weight_gradients(&place.qkv, g.d_qkv.view(), input.view(), d_weights);
        self.profile.time(Part::InputGradients, || {
            linear::input_backward(cpu, g.d_qkv.view(), &packed.qkv.backward, &mut g.d_hidden);
        });
    }

    /// From `g.d_hidden` to `g.d_attended`, both (R, H).
    fn feed_forward_backward(
        &self,
        layer: usize,
        batch: &PackedBatch,
        sites: DropoutSites<'_>,
        a: &LayerActivations,
        g: &mut GradientBuffers,
        d_weights: &mut [f32],
    ) {
        let (cpu, place, packed) = self.layer_parts(layer);
        self.profile.time(Part::NormBackward, || {
            norm::residual_backward(
                cpu,
                &g.d_hidden,
                &self.weights[place.output_norm.weight.clone()],
                a.output_norm.kept(),
                Self::rows_of(sites.output(layer), batch, a.queries),
                &mut g.d_attended,
                &mut g.d_sublayer,
                place.output_norm.gradients(d_weights),
            );
        });
        let d_output = g.d_sublayer.view();
        self.weight_gradients(&place.output, d_output, a.activation.view(), d_weights);
        self.profile.time(Part::InputGradients, || {
            let (backward, slope) = (&packed.output.backward, a.slope.view());
            linear::gelu_input_backward(cpu, d_output, backward, slope, &mut g.d_preactivation);
        });
        let d_intermediate = g.d_preactivation.view();
        self.weight_gradients(&place.intermediate, d_intermediate, a.attended.view(), d_weights);
        self.profile.time(Part::InputGradients, || {
            let backward = &packed.intermediate.backward;
            linear::input_backward(cpu, d_intermediate, backward, &mut g.d_attended);
        });
    }

    /// From `g.d_attended` (R, H) to the gradient of queries, keys and values, `g.d_qkv`, and that of the
    /// residual, `g.d_hidden` (T, H).
    fn attention_backward(
        &self,
        layer: usize,
        batch: &PackedBatch,
        sites: DropoutSites<'_>,
        a: &LayerActivations,
        g: &mut GradientBuffers,
        d_weights: &mut [f32],
    ) {
        let (cpu, place, packed) = self.layer_parts(layer);
        self.profile.time(Part::NormBackward, || {
            let d_residual = match a.queries {
                Queries::All => &mut g.d_hidden,
                Queries::First => {
                    // The head left it as long as `d_hidden` was.
                    cpu.resize(&mut g.d_first, batch.num_texts() * self.config.hidden_size);
                    &mut g.d_first
                }
            };
            norm::residual_backward(
                cpu,
                &g.d_attended,
                &self.weights[place.attention_norm.weight.clone()],
                a.attention_norm.kept(),
                Self::rows_of(sites.attention_output(layer), batch, a.queries),
                d_residual,
                &mut g.d_sublayer,
                place.attention_norm.gradients(d_weights),
            );
            if a.queries == Queries::First {
                g.spread_first(cpu, batch);
            }
        });
        let d_output = g.d_sublayer.view();
        self.weight_gradients(&place.attention_output, d_output, a.context.view(), d_weights);
        self.profile.time(Part::InputGradients, || {
            let backward = &packed.attention_output.backward;
            linear::operand_input_backward(cpu, d_output, backward, &mut g.d_context);
        });
        self.profile.time(Part::AttentionBackward, || {
            attention::backward(
                cpu,
                attention_shape(self.config, batch, a.queries),
                a.qkv.view(),
                sites.probabilities(layer),
                &a.probabilities,
                a.context.view(),
                g.d_context.view(),
                &mut g.d_qkv,
            );
        });
    }

    /// Adds to the gradients of a map's weight and bias: `d_output` is (R, out), `input` (R, in).
    fn weight_gradients(
        &self,
        map: &Affine,
        d_output: View<'_>,
        input: View<'_>,
        d_weights: &mut [f32],
    ) {
        let AffineGradients { weight: d_weight, bias: d_bias } = map.gradients(d_weights);
        self.profile.time(Part::WeightGradients, || {
            let (cpu, accumulate) = (self.cpu, self.accumulate);
            linear::weight_backward(cpu, d_output, input, accumulate, d_weight, d_bias);
        });
    }

    fn layer_parts(&self, layer: usize) -> (&'a Cpu, &'a LayerLayout, &'a PackedLayer) {
        (self.cpu, &self.layout.layers[layer], &self.packed.layers[layer])
    }
}
