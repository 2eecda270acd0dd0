//! Runs of numbers, and the tensors that look at them.

use half::{bf16, f16};
use tinymood_core::Tensor;

use super::Problem;
use super::pickle::{Arena, TensorRef, Value};
use crate::TensorFile;

/// The kind of a storage's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    /// Whole numbers or booleans of so many bytes: passed over.
    Whole(usize),
}

impl Dtype {
    /// The kind of a class of `torch`, as `FloatStorage`.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::Whole(8),
            "IntStorage" => Self::Whole(4),
            "ShortStorage" => Self::Whole(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" => Self::Whole(1),
            _ => return None,
        })
    }

    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Whole(size) => size,
        }
    }

    /// The number at `bytes[index * size..]`; `None` outside, or for whole numbers.
    fn get(self, bytes: &[u8], index: usize) -> Option<f32> {
        let start = index.checked_mul(self.size())?;
        let bytes = bytes.get(start..start.checked_add(self.size())?)?;
        Some(match self {
            Self::F64 => f64::from_le_bytes(bytes.try_into().ok()?) as f32,
            Self::F32 => f32::from_le_bytes(bytes.try_into().ok()?),
            Self::F16 => f16::from_le_bytes(bytes.try_into().ok()?).to_f32(),
            Self::Bf16 => bf16::from_le_bytes(bytes.try_into().ok()?).to_f32(),
            Self::Whole(_) => return None,
        })
    }
}

/// The state dictionary of a checkpoint: the value itself, or what stands under `state_dict` or
/// `model` in it.
fn state_dict(arena: &Arena, value: Value) -> Result<&[(Value, Value)], Problem> {
    let dict = arena.dict(value);
    let dict = dict.ok_or_else(|| Problem::contents("it holds no dictionary of tensors"))?;
    let nested = dict.iter().find_map(|&(key, value)| {
        let inner = arena.dict(value)?;
        matches!(arena.text(key), Some("state_dict" | "model")).then_some(inner)
    });
    Ok(nested.unwrap_or(dict))
}

/// Copies the tensors of a state dictionary out of their storages. `find` gives the bytes of a
/// storage by its key.
pub(super) fn tensors<'a>(
    arena: &Arena,
    value: Value,
    file_len: usize,
    find: impl Fn(&str) -> Result<&'a [u8], Problem>,
) -> Result<TensorFile, Problem> {
    let mut out = TensorFile::default();
    // Tensors may share a storage; a file that uses one very often is no checkpoint.
    let mut budget = 4 * file_len;
    for &(key, value) in state_dict(arena, value)? {
        let (Some(name), Some(tensor)) = (arena.text(key), arena.tensor(value)) else {
            continue; // a number or a text beside the tensors: nothing to load
        };
        if let Dtype::Whole(_) = tensor.storage.dtype {
            out.skipped.push(name.to_owned());
            continue;
        }
        let wrong = |problem: &str| Problem::contents(format!("tensor {name:?} {problem}"));
        let count = checked_count(tensor).ok_or_else(|| wrong("reaches beyond its storage"))?;
        budget = budget
            .checked_sub(count.saturating_mul(tensor.storage.dtype.size()))
            .ok_or_else(|| wrong("is one of too many that share a storage"))?;
        let bytes = find(arena.key(tensor.storage))?;
        let values = copy(tensor, count, bytes);
        let values = values.ok_or_else(|| wrong("reaches beyond the end of its storage"))?;
        let tensor = Tensor { shape: tensor.shape.clone(), values: values.into() };
        if out.tensors.insert(name.to_owned(), tensor).is_some() {
            return Err(wrong("stands twice"));
        }
    }
    if out.tensors.is_empty() {
        return Err(Problem::contents("it holds no tensors"));
    }
    out.skipped.sort_unstable();
    Ok(out)
}

/// Number of elements, when all of them lie inside the storage and are no more than it has.
fn checked_count(tensor: &TensorRef) -> Option<usize> {
    if tensor.shape.len() != tensor.strides.len() || tensor.shape.len() > 8 {
        return None;
    }
    let count = tensor.shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size))?;
    if count == 0 {
        return Some(0);
    }
    let mut last = tensor.offset;
    for (&size, &stride) in tensor.shape.iter().zip(&tensor.strides) {
        last = last.checked_add((size - 1).checked_mul(stride)?)?;
    }
    (last < tensor.storage.len && count <= tensor.storage.len).then_some(count)
}

/// The elements in row-major order; `None` when the bytes end before.
fn copy(tensor: &TensorRef, count: usize, bytes: &[u8]) -> Option<Vec<f32>> {
    if count.checked_mul(tensor.storage.dtype.size())? > bytes.len() {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    let mut index = vec![0_usize; tensor.shape.len()];
    for _ in 0..count {
        let steps = index.iter().zip(&tensor.strides).map(|(i, stride)| i * stride);
        let at = tensor.offset + steps.sum::<usize>();
        values.push(tensor.storage.dtype.get(bytes, at)?);
        for dimension in (0..index.len()).rev() {
            index[dimension] += 1;
            if index[dimension] < tensor.shape[dimension] {
                break;
            }
            index[dimension] = 0;
        }
    }
    Some(values)
}
