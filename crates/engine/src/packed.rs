//! Weights as the matrix kernels want them: the transpose for forward, the weight itself for
//! backward, each packed once per update instead of once per multiplication.

use tinymood_core::ModelConfig;
use tinymood_kernels::adamw::{AdamW, Tensors};
use tinymood_kernels::matmul::update_weight;
use tinymood_kernels::{Cpu, PackedMatrix};

use crate::layout::{Affine, Group, Layout, Place};

/// One linear layer of `outputs` x `inputs`.
#[derive(Debug)]
pub(crate) struct PackedLinear {
    /// The weight and how it is trained.
    group: Group,
    /// (in, out).
    pub(crate) forward: PackedMatrix,
    /// (out, in); empty until training starts.
    pub(crate) backward: PackedMatrix,
    shape: (usize, usize),
}

impl PackedLinear {
    fn new(cpu: &Cpu, layout: &Layout, place: &Affine, outputs: usize, inputs: usize) -> Self {
        Self {
            group: layout.group(&place.weight),
            forward: PackedMatrix::new(cpu, inputs, outputs),
            backward: PackedMatrix::new(cpu, 0, 0),
            shape: (outputs, inputs),
        }
    }

    fn pack(&mut self, cpu: &Cpu, arena: &[f32], backward: bool) {
        let weight = &arena[self.group.place.clone()];
        self.forward.pack_transposed(cpu, weight);
        if backward {
            self.make_backward(cpu);
            self.backward.pack(cpu, weight);
        }
    }

    fn make_backward(&mut self, cpu: &Cpu) {
        let (outputs, inputs) = self.shape;
        if self.backward.rows() != outputs {
            self.backward = PackedMatrix::new(cpu, outputs, inputs);
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
    pub(crate) projections: Vec<PackedLinear>,
}

impl PackedWeights {
    pub(crate) fn new(cpu: &Cpu, config: &ModelConfig, layout: &Layout, num_labels: usize) -> Self {
        let (h, i) = (config.hidden_size, config.intermediate_size);
        let layers = layout.layers.iter().map(|layer| PackedLayer {
            qkv: PackedLinear::new(cpu, layout, &layer.qkv, 3 * h, h),
            attention_output: PackedLinear::new(cpu, layout, &layer.attention_output, h, h),
            intermediate: PackedLinear::new(cpu, layout, &layer.intermediate, i, h),
            output: PackedLinear::new(cpu, layout, &layer.output, h, i),
        });
        let projection =
            |place: &Affine| PackedLinear::new(cpu, layout, place, place.bias.len(), h);
        Self {
            layers: layers.collect(),
            pooler: layout.pooler.as_ref().map(|place| PackedLinear::new(cpu, layout, place, h, h)),
            classifier: PackedLinear::new(cpu, layout, &layout.classifier, num_labels, h),
            projections: layout.projections.iter().map(projection).collect(),
        }
    }

    /// Packs all weights of `arena`, those for backward only where asked.
    pub(crate) fn pack(&mut self, cpu: &Cpu, arena: &[f32], backward: bool) {
        self.linears_mut().for_each(|linear| linear.pack(cpu, arena, backward));
    }

    /// One optimizer step of all weights in `arena`, which are packed on the way.
    pub(crate) fn update(
        &mut self,
        cpu: &Cpu,
        settings: impl Fn(&Group) -> AdamW,
        [parameters, gradients, first_moment, second_moment]: [&mut [f32]; 4],
    ) {
        for linear in self.linears_mut() {
            linear.make_backward(cpu);
            let PackedLinear { group, forward, backward, .. } = linear;
            let place = || group.place.clone();
            let tensors = Tensors {
                parameters: &mut parameters[place()],
                first_moment: &mut first_moment[place()],
                second_moment: &mut second_moment[place()],
            };
            let gradient = &mut gradients[place()];
            update_weight(cpu, &settings(group), tensors, gradient, forward, backward);
        }
    }

    /// Where the weights are.
    pub(crate) fn places(&mut self) -> Vec<Place> {
        self.linears_mut().map(|linear| linear.group.place.clone()).collect()
    }

    fn linears_mut(&mut self) -> impl Iterator<Item = &mut PackedLinear> {
        let layers = self.layers.iter_mut().flat_map(|layer| {
            let PackedLayer { qkv, attention_output, intermediate, output } = layer;
            [qkv, attention_output, intermediate, output]
        });
        layers.chain(&mut self.pooler).chain([&mut self.classifier]).chain(&mut self.projections)
    }
}
