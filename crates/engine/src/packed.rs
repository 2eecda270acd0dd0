//! Weights as the matrix kernels want them: the transpose for forward, the weight itself for
//! backward, each packed once per update instead of once per multiplication.

use tinymood_core::ModelConfig;
use tinymood_kernels::{Cpu, PackedMatrix};

use crate::layout::{Affine, Layout};

/// One linear layer of `outputs` x `inputs`.
#[derive(Debug)]
pub(crate) struct PackedLinear {
    place: Affine,
    /// (in, out).
    pub(crate) forward: PackedMatrix,
    /// (out, in); empty until training starts.
    pub(crate) backward: PackedMatrix,
    shape: (usize, usize),
}

impl PackedLinear {
    fn new(cpu: &Cpu, place: &Affine, outputs: usize, inputs: usize) -> Self {
        Self {
            place: place.clone(),
            forward: PackedMatrix::new(cpu, inputs, outputs),
            backward: PackedMatrix::new(cpu, 0, 0),
            shape: (outputs, inputs),
        }
    }

    fn pack(&mut self, cpu: &Cpu, arena: &[f32], backward: bool) {
        let weight = &arena[self.place.weight.clone()];
        self.forward.pack_transposed(cpu, weight);
        if backward {
            let (outputs, inputs) = self.shape;
            if self.backward.rows() != outputs {
                self.backward = PackedMatrix::new(cpu, outputs, inputs);
            }
            self.backward.pack(cpu, weight);
        }
    }
}

/// The linear layers of one encoder layer.
#[derive(Debug)]
pub(crate) struct PackedLayer {
    pub(crate) qkv: PackedLinear,
    pub(crate) attention_output: PackedLinear,
    pub(crate) intermediate: PackedLinear,
    pub(crate) output: PackedLinear,
}

/// All linear layers of a model.
#[derive(Debug)]
pub(crate) struct PackedWeights {
    pub(crate) layers: Vec<PackedLayer>,
    pub(crate) pooler: Option<PackedLinear>,
    pub(crate) classifier: PackedLinear,
}

impl PackedWeights {
    pub(crate) fn new(cpu: &Cpu, config: &ModelConfig, layout: &Layout, num_labels: usize) -> Self {
        let (h, i) = (config.hidden_size, config.intermediate_size);
        let layers = layout.layers.iter().map(|layer| PackedLayer {
            qkv: PackedLinear::new(cpu, &layer.qkv, 3 * h, h),
            attention_output: PackedLinear::new(cpu, &layer.attention_output, h, h),
            intermediate: PackedLinear::new(cpu, &layer.intermediate, i, h),
            output: PackedLinear::new(cpu, &layer.output, h, i),
        });
        Self {
            layers: layers.collect(),
            pooler: layout.pooler.as_ref().map(|place| PackedLinear::new(cpu, place, h, h)),
            classifier: PackedLinear::new(cpu, &layout.classifier, num_labels, h),
        }
    }

    /// Packs all weights of `arena`, those for backward only where asked.
    pub(crate) fn pack(&mut self, cpu: &Cpu, arena: &[f32], backward: bool) {
        for layer in &mut self.layers {
            let parts = [
                &mut layer.qkv,
                &mut layer.attention_output,
                &mut layer.intermediate,
                &mut layer.output,
            ];
            parts.into_iter().for_each(|linear| linear.pack(cpu, arena, backward));
        }
        let head = self.pooler.iter_mut().chain([&mut self.classifier]);
        head.for_each(|linear| linear.pack(cpu, arena, backward));
    }
}
