//! Where each parameter lies in the arena: one buffer holds them all, and gradients, moments
//! and averages lie in arenas of the same layout.
//!
//! The order is that of [`ModelConfig::parameters`], but for one thing: within a layer the weights
//! of query, key and value lie end to end, and so do their biases, so that the three are one
//! (3H, H) matrix to the kernels.

use std::ops::Range;

use tinymood_core::{ModelConfig, ParameterSpec, Pooling, Projections};
use tinymood_kernels::norm::AffineGradients;

/// A place in the arena.
pub(crate) type Place = Range<usize>;

/// A linear layer's weight (out, in) and bias (out), or a norm's weight and bias (H each).
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    pub(crate) weight: Place,
    pub(crate) bias: Place,
}

impl Affine {
    /// Both parts of an arena of gradients, to be written at once.
    pub(crate) fn gradients<'a>(&self, arena: &'a mut [f32]) -> AffineGradients<'a> {
        let parts = arena.get_disjoint_mut([self.weight.clone(), self.bias.clone()]);
        let [weight, bias] = parts.expect("a layout's places do not overlap");
        AffineGradients { weight, bias }
    }
}

/// The parameters of one encoder layer.
#[derive(Clone, Debug)]
pub(crate) struct LayerLayout {
    /// Weight (3H, H), bias (3H).
    pub(crate) qkv: Affine,
    /// Weight (H, H), bias (H).
    pub(crate) attention_output: Affine,
    pub(crate) attention_norm: Affine,
    /// Weight (I, H), bias (I).
    pub(crate) intermediate: Affine,
    /// Weight (H, I), bias (H).
    pub(crate) output: Affine,
    pub(crate) output_norm: Affine,
}

/// Parameters that an optimizer step treats alike.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) place: Place,
    /// [`ParameterSpec::depth`].
    pub(crate) depth: usize,
    /// Whether weight decay applies.
    pub(crate) decay: bool,
}

/// All places.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The parameters in file order, each with its place.
    pub(crate) parameters: Vec<(ParameterSpec, Place)>,
    pub(crate) len: usize,
    pub(crate) word: Place,
    pub(crate) position: Place,
    pub(crate) token_type: Place,
    pub(crate) embedding_norm: Affine,
    pub(crate) layers: Vec<LayerLayout>,
    /// Weight (H, H), bias (H); none with mean pooling.
    pub(crate) pooler: Option<Affine>,
    /// Weight (C, H), bias (C).
    pub(crate) classifier: Affine,
    /// Of a student: weight (W, H), bias (W) each.
    pub(crate) projections: Vec<Affine>,
}

impl Layout {
    pub(crate) fn new(config: &ModelConfig, num_labels: usize) -> Self {
        let specs = config.parameters(num_labels);
        let projections = config.projections.as_ref().map_or(0, |of| of.states.len());
        let mut places = vec![0..0; specs.len()];
        let mut len = 0;
        for index in arena_order(&specs) {
            places[index] = len..len + specs[index].len();
            len = places[index].end;
        }
        let parameters: Vec<(ParameterSpec, Place)> = specs.into_iter().zip(places).collect();
        let place = |name: &str| -> Place {
            let found = parameters.iter().find(|(spec, _)| spec.name == name);
            found.expect("the configuration lists every parameter").1.clone()
        };
        let affine = |name: &str| Affine {
            weight: place(&format!("{name}.weight")),
            bias: place(&format!("{name}.bias")),
        };
        let layer = |index: usize| {
            let at = format!("bert.encoder.layer.{index}");
            let query = affine(&format!("{at}.attention.self.query"));
            let value = affine(&format!("{at}.attention.self.value"));
            LayerLayout {
                qkv: Affine {
                    weight: query.weight.start..value.weight.end,
                    bias: query.bias.start..value.bias.end,
                },
                attention_output: affine(&format!("{at}.attention.output.dense")),
                attention_norm: affine(&format!("{at}.attention.output.LayerNorm")),
                intermediate: affine(&format!("{at}.intermediate.dense")),
                output: affine(&format!("{at}.output.dense")),
                output_norm: affine(&format!("{at}.output.LayerNorm")),
            }
        };
        Self {
            len,
            word: place("bert.embeddings.word_embeddings.weight"),
            position: place("bert.embeddings.position_embeddings.weight"),
            token_type: place("bert.embeddings.token_type_embeddings.weight"),
            embedding_norm: affine("bert.embeddings.LayerNorm"),
            layers: (0..config.num_hidden_layers).map(layer).collect(),
            pooler: (config.pooling == Pooling::Cls).then(|| affine("bert.pooler.dense")),
            classifier: affine("classifier"),
            projections: (0..projections).map(|index| affine(&Projections::name(index))).collect(),
            parameters,
        }
    }
}

impl Layout {
    /// How the optimizer treats what begins where `place` begins, end to end.
    pub(crate) fn group(&self, place: &Place) -> Group {
        let starts_there = |(_, of): &&(ParameterSpec, Place)| of.start == place.start;
        let (spec, _) =
            self.parameters.iter().find(starts_there).expect("a parameter starts at the place");
        Group { place: place.clone(), depth: spec.depth, decay: spec.decay }
    }

    /// All that is neither in `apart` nor a word embedding; neighbours treated alike are one group.
    pub(crate) fn rest(&self, apart: &[Place]) -> Vec<Group> {
        let mut rest: Vec<Group> = Vec::new();
        let mut places: Vec<&Place> = self.parameters.iter().map(|(_, place)| place).collect();
        places.sort_by_key(|place| place.start);
        let is_apart = |place: &Place| apart.iter().any(|apart| apart.contains(&place.start));
        for place in places.into_iter().filter(|place| **place != self.word && !is_apart(place)) {
            let group = self.group(place);
            match rest.last_mut() {
                Some(last)
                    if last.place.end == place.start
                        && (last.depth, last.decay) == (group.depth, group.decay) =>
                {
                    last.place.end = place.end;
                }
                _ => rest.push(group),
            }
        }
        rest
    }
}

/// File order, with the weights of query, key and value before their biases.
fn arena_order(specs: &[ParameterSpec]) -> Vec<usize> {
    let mut order = Vec::with_capacity(specs.len());
    let mut index = 0;
    while index < specs.len() {
        if specs[index].name.ends_with("attention.self.query.weight") {
            order.extend([0, 2, 4, 1, 3, 5].map(|offset| index + offset));
            index += 6;
        } else {
            order.push(index);
            index += 1;
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_cover_the_arena_once() {
        for pooling in [Pooling::Cls, Pooling::Mean] {
            let config = ModelConfig { pooling, ..ModelConfig::preset("2L-128D").unwrap() };
            let layout = Layout::new(&config, 7);
            let mut places: Vec<Place> =
                layout.parameters.iter().map(|(_, place)| place.clone()).collect();
            places.sort_by_key(|place| place.start);
            assert_eq!(places[0].start, 0);
            assert_eq!(places.last().unwrap().end, layout.len);
            assert!(places.windows(2).all(|pair| pair[0].end == pair[1].start));
            let h = config.hidden_size;
            assert_eq!(layout.layers[1].qkv.weight.len(), 3 * h * h);
            assert_eq!(layout.layers[1].qkv.bias.len(), 3 * h);
            assert_eq!(layout.pooler.is_some(), pooling == Pooling::Cls);

            let apart = [layout.layers[0].qkv.weight.clone()];
            let rest = layout.rest(&apart);
            let words = layout.word.len();
            let len: usize = rest.iter().map(|group| group.place.len()).sum();
            assert_eq!(len, layout.len - words - apart[0].len());
            for (spec, place) in &layout.parameters {
                let of = rest.iter().find(|group| group.place.contains(&place.start));
                let known = of.is_none_or(|of| (of.depth, of.decay) == (spec.depth, spec.decay));
                assert!(known, "{}", spec.name);
            }
        }
    }
}
