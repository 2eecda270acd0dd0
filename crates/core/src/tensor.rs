//! Named tensors as they travel between files and engines: plain `f32`, row-major.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// An owned tensor: `values.len()` is the product of `shape`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sizes of the dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub values: Vec<f32>,
}

/// Tensors by name, in name order.
pub type TensorMap = BTreeMap<String, Tensor>;

/// A tensor that an engine lends out: borrowed where it lives in memory, owned where it had to be
/// fetched from a device.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorView<'a> {
    /// The name as in the checkpoint, `bert.encoder.layer.0.…`.
    pub name: Cow<'a, str>,
    /// Sizes of the dimensions, outermost first.
    pub shape: Cow<'a, [usize]>,
    /// The elements, row-major.
    pub values: Cow<'a, [f32]>,
}
