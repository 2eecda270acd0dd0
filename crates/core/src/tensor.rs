//! Named tensors as they travel between files and engines: plain `f32`, row-major.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The elements of a tensor, which all clones share: a vector, or a part of a mapped file.
#[derive(Clone)]
pub struct Values(Arc<dyn AsRef<[f32]> + Send + Sync>);

impl Values {
    /// What `owner` lends. It must lend the same at every call.
    pub fn shared(owner: Arc<dyn AsRef<[f32]> + Send + Sync>) -> Self {
        Self(owner)
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        (*self.0).as_ref()
    }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self(Arc::new(values))
    }
}

impl FromIterator<f32> for Values {
    fn from_iter<I: IntoIterator<Item = f32>>(values: I) -> Self {
        Vec::from_iter(values).into()
    }
}

impl<'a> IntoIterator for &'a Values {
    type Item = &'a f32;
    type IntoIter = std::slice::Iter<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// An owned tensor: `values.len()` is the product of `shape`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sizes of the dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub values: Values,
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
