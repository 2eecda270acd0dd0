//! Named tensors as they travel between files and engines: plain `f32`, row-major.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Where the elements of a tensor are.
pub trait Elements: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// All of them, where they lie in memory as they are.
    fn borrowed(&self) -> Option<&[f32]>;

    /// All of them, made and kept where need be.
    fn all(&self) -> &[f32];

    /// Writes some of them to `out`, without making the others.
    ///
    /// # Panics
    /// When the range is not within them, or `out` is not as long.
    fn read(&self, range: Range<usize>, out: &mut [f32]);
}

impl Elements for Vec<f32> {
    fn count(&self) -> usize {
        self.len()
    }

    fn borrowed(&self) -> Option<&[f32]> {
        Some(self)
    }

    fn all(&self) -> &[f32] {
        self
    }

    fn read(&self, range: Range<usize>, out: &mut [f32]) {
        out.copy_from_slice(&self[range]);
    }
}

/// The elements of a tensor, which all clones share: a vector, or a part of a mapped file. As a slice
/// they are all made, where they are not floats yet.
#[derive(Clone)]
pub struct Values(Arc<dyn Elements>);

impl Values {
    /// Elements that lie elsewhere.
    pub fn shared(elements: Arc<dyn Elements>) -> Self {
        Self(elements)
    }

    /// How many there are; nothing is made to know it.
    #[allow(clippy::len_without_is_empty)] // that of the slice will do
    pub fn len(&self) -> usize {
        self.0.count()
    }

    /// See [`Elements::borrowed`].
    pub fn borrowed(&self) -> Option<&[f32]> {
        self.0.borrowed()
    }

    /// See [`Elements::read`].
    ///
    /// # Panics
    /// When the range is not within them, or `out` is not as long.
    pub fn read(&self, range: Range<usize>, out: &mut [f32]) {
        self.0.read(range, out);
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.all()
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
