//! The safetensors format, over its own crate: f32, f16 and bf16 in, f32 out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use ::safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use half::{bf16, f16};
use tinymood_core::{Tensor, TensorView};
use zerocopy::IntoBytes;

use crate::{TensorFile, WeightsError, durable};

/// Reads the bytes of a safetensors file; `path` names it in errors.
///
/// # Errors
/// When they are not one, or a tensor is of a kind that cannot become f32.
pub fn read_safetensors(bytes: &[u8], path: &Path) -> Result<TensorFile, WeightsError> {
    let wrong = |problem: String| WeightsError::Contents { path: path.to_owned(), problem };
    let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
    let mut out = TensorFile::default();
    for (name, view) in file.iter() {
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => chunks(data).map(f32::from_le_bytes).collect(),
            Dtype::F16 => chunks(data).map(|b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => chunks(data).map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
            Dtype::F64 => chunks(data).map(|b| f64::from_le_bytes(b) as f32).collect(),
            Dtype::BOOL
            | Dtype::U8
            | Dtype::I8
            | Dtype::I16
            | Dtype::U16
            | Dtype::I32
            | Dtype::U32
            | Dtype::I64
            | Dtype::U64 => {
                out.skipped.push(name.to_owned());
                continue;
            }
            other => {
                return Err(wrong(format!(
                    "tensor {name:?} is of type {other:?}, expected F32, F16 or BF16"
                )));
            }
        };
        let tensor = Tensor { shape: view.shape().to_vec(), values };
        out.tensors.insert(name.to_owned(), tensor);
    }
    out.skipped.sort_unstable();
    Ok(out)
}

fn chunks<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    data.chunks_exact(N).map(|chunk| chunk.try_into().expect("chunks of N bytes"))
}

/// A tensor as the safetensors crate wants to see it: its memory is what is written, where that is
/// little-endian.
struct Bytes<'a>(&'a TensorView<'a>);

impl View for Bytes<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            Cow::Borrowed(self.0.values.as_bytes())
        } else {
            Cow::Owned(self.0.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
    }

    fn data_len(&self) -> usize {
        4 * self.0.values.len()
    }
}

/// Writes tensors to a file as f32, the same bytes for the same tensors, and brings it to the disk.
///
/// # Errors
/// When it cannot be written.
pub fn write_safetensors(path: &Path, tensors: &[TensorView<'_>]) -> Result<(), WeightsError> {
    let failed = |source| WeightsError::Io { action: "write", path: path.to_owned(), source };
    let views = tensors.iter().map(|tensor| (tensor.name.as_ref(), Bytes(tensor)));
    // transformers refuses files that do not say which framework's layout they have.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // Tensor by tensor: a second copy of a whole model is memory that training has a use for.
    let write = |unfinished: &Path| {
        ::safetensors::serialize_to_file(views, Some(metadata), unfinished).map_err(|error| {
            match error {
                SafeTensorError::IoError(error) => error,
                error => std::io::Error::other(error),
            }
        })
    };
    durable::replace_file(path, write).map_err(failed)
}
