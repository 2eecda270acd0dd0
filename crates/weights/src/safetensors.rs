//! The safetensors format, over its own crate: f32, f16, bf16 and int8 with scales in, f32 out.
//!
//! An int8 weight is a tensor `NAME` of type I8 and beside it `NAME_scale` of type F32, one scale
//! for each of its rows: an element is its byte times its row's scale.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ::safetensors::tensor::TensorView as FileView;
use ::safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use half::{bf16, f16};
use tinymood_core::{Elements, Tensor, TensorView, Values};
use tinymood_kernels::MappedFile;
use zerocopy::{FromBytes, IntoBytes};

use crate::{TensorFile, WeightsError, durable};

/// The bytes of a safetensors file, which stay for as long as a tensor of it does.
#[derive(Clone)]
pub(crate) enum FileBytes {
    Mapped(Arc<MappedFile>),
    Owned(Arc<Vec<u8>>),
    Static(&'static [u8]),
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file,
            Self::Owned(bytes) => bytes,
            Self::Static(bytes) => bytes,
        }
    }
}

impl FileBytes {
    /// Where `part`, a part of these bytes, lies.
    fn range(&self, part: &[u8]) -> Range<usize> {
        let start = part.as_ptr().addr() - self.as_ptr().addr();
        start..start + part.len()
    }
}

/// Floats of a file, as they lie there.
struct StoredFloats {
    file: FileBytes,
    range: Range<usize>,
}

impl StoredFloats {
    /// The floats, where they are aligned and this machine is little-endian as the file is.
    fn floats(&self) -> Option<&[f32]> {
        let floats = <[f32]>::ref_from_bytes(&self.file[self.range.clone()]).ok();
        floats.filter(|_| cfg!(target_endian = "little"))
    }
}

impl Elements for StoredFloats {
    fn count(&self) -> usize {
        self.range.len() / size_of::<f32>()
    }

    fn borrowed(&self) -> Option<&[f32]> {
        self.floats()
    }

    fn all(&self) -> &[f32] {
        self.floats().expect("asked when it was made")
    }

    fn read(&self, range: Range<usize>, out: &mut [f32]) {
        out.copy_from_slice(&self.all()[range]);
    }
}

/// Rows of bytes with a scale each, floats only once they are asked for.
struct StoredInt8 {
    file: FileBytes,
    /// Where the bytes are.
    range: Range<usize>,
    scales: Vec<f32>,
    /// Elements of a row.
    width: usize,
    all: OnceLock<Vec<f32>>,
}

impl Elements for StoredInt8 {
    fn count(&self) -> usize {
        self.range.len()
    }

    fn borrowed(&self) -> Option<&[f32]> {
        self.all.get().map(Vec::as_slice)
    }

    fn all(&self) -> &[f32] {
        self.all.get_or_init(|| {
            let mut all = vec![0.0; self.count()];
            self.read(0..all.len(), &mut all);
            all
        })
    }

    fn read(&self, range: Range<usize>, out: &mut [f32]) {
        let bytes = &self.file[self.range.clone()][range.clone()];
        assert_eq!(bytes.len(), out.len(), "as many as asked for");
        let (mut bytes, mut out, mut at) = (bytes, out, range.start);
        while !bytes.is_empty() {
            // To the end of the row at hand.
            let len = (self.width - at % self.width).min(bytes.len());
            let scale = self.scales[at / self.width];
            let (row, other_bytes) = bytes.split_at(len);
            let (values, other_out) = std::mem::take(&mut out).split_at_mut(len);
            for (value, byte) in values.iter_mut().zip(row) {
                *value = f32::from(byte.cast_signed()) * scale;
            }
            (bytes, out, at) = (other_bytes, other_out, at + len);
        }
    }
}

/// Reads the bytes of a safetensors file; `path` names it in errors.
///
/// # Errors
/// When they are not one, or a tensor is of a kind that cannot become f32.
pub fn read_safetensors(bytes: Vec<u8>, path: &Path) -> Result<TensorFile, WeightsError> {
    read(&FileBytes::Owned(Arc::new(bytes)), path)
}

/// [`read_safetensors`] of bytes that stay where they are. So do tensors of f32 and int8: of what is
/// not looked at, nothing is read.
///
/// # Errors
/// As [`read_safetensors`].
pub(crate) fn read(bytes: &FileBytes, path: &Path) -> Result<TensorFile, WeightsError> {
    let wrong = |problem: String| WeightsError::Contents { path: path.to_owned(), problem };
    let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
    let mut out = TensorFile::default();
    let mut scales = Vec::new();
    for (name, view) in file.iter() {
        let data = view.data();
        let values: Values = match view.dtype() {
            Dtype::F32 => {
                let place = StoredFloats { file: bytes.clone(), range: bytes.range(data) };
                match place.floats() {
                    Some(_) => Values::shared(Arc::new(place)),
                    None => chunks(data).map(f32::from_le_bytes).collect(),
                }
            }
            Dtype::F16 => chunks(data).map(|b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => chunks(data).map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
            Dtype::F64 => chunks(data).map(|b| f64::from_le_bytes(b) as f32).collect(),
            Dtype::I8 if file.tensor(&scale_name(name)).is_ok() => {
                scales.push(scale_name(name));
                let scales = file.tensor(&scale_name(name)).map_err(|e| wrong(e.to_string()))?;
                let stored = stored_int8(bytes, &view, &scales).map_err(|problem| {
                    wrong(format!("the scales of the int8 tensor {name:?} {problem}"))
                })?;
                Values::shared(Arc::new(stored))
            }
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
    out.quantised = !scales.is_empty();
    scales.iter().for_each(|name| drop(out.tensors.remove(name)));
    out.skipped.sort_unstable();
    Ok(out)
}

/// The name of the scales of an int8 tensor.
fn scale_name(name: &str) -> String {
    format!("{name}_scale")
}

/// An int8 tensor of a file, or what is wrong with its scales.
fn stored_int8(
    file: &FileBytes,
    tensor: &FileView<'_>,
    scales: &FileView<'_>,
) -> Result<StoredInt8, String> {
    let Some(&rows) = tensor.shape().first() else {
        return Err("are for no rows: it has no dimensions".to_owned());
    };
    if scales.dtype() != Dtype::F32 || scales.shape() != [rows] {
        let (dtype, shape) = (scales.dtype(), scales.shape());
        return Err(format!("are {dtype:?} of shape {shape:?}, expected F32 of shape [{rows}]"));
    }
    let range = file.range(tensor.data());
    let width = range.len().checked_div(rows).unwrap_or(0).max(1);
    let scales = chunks(scales.data()).map(f32::from_le_bytes).collect();
    Ok(StoredInt8 { file: file.clone(), range, scales, width, all: OnceLock::new() })
}

fn chunks<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    data.chunks_exact(N).map(|chunk| chunk.try_into().expect("chunks of N bytes"))
}

/// A matrix whose rows are bytes with a scale each.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantisedTensor {
    /// The name, as of the parameter it stands for.
    pub name: String,
    /// Sizes of the dimensions, outermost first; rows are counted by the first.
    pub shape: Vec<usize>,
    /// The elements in units of their rows' scales, row-major.
    pub bytes: Vec<i8>,
    /// One a row.
    pub scales: Vec<f32>,
}

/// A tensor as the safetensors crate wants to see it: its memory is what is written, where that is
/// little-endian.
enum Bytes<'a> {
    F32 { shape: &'a [usize], values: &'a [f32] },
    Int8 { shape: &'a [usize], values: &'a [i8] },
}

impl View for Bytes<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::F32 { .. } => Dtype::F32,
            Self::Int8 { .. } => Dtype::I8,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::F32 { shape, .. } | Self::Int8 { shape, .. } => shape,
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Int8 { values, .. } => Cow::Borrowed(values.as_bytes()),
            Self::F32 { values, .. } if cfg!(target_endian = "little") => {
                Cow::Borrowed(values.as_bytes())
            }
            Self::F32 { values, .. } => {
                Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Self::F32 { values, .. } => 4 * values.len(),
            Self::Int8 { values, .. } => values.len(),
        }
    }
}

/// A tensor as it is written.
fn plain<'a>(tensor: &'a TensorView<'_>) -> (String, Bytes<'a>) {
    (tensor.name.to_string(), Bytes::F32 { shape: &tensor.shape, values: &tensor.values })
}

/// Writes tensors to a file as f32, the same bytes for the same tensors, and brings it to the disk.
///
/// # Errors
/// When it cannot be written.
pub fn write_safetensors(path: &Path, tensors: &[TensorView<'_>]) -> Result<(), WeightsError> {
    write(path, tensors.iter().map(plain).collect(), [])
}

/// [`write_safetensors`] with names and values that the file's metadata is to hold.
///
/// # Errors
/// When it cannot be written.
pub fn write_safetensors_with_metadata(
    path: &Path,
    tensors: &[TensorView<'_>],
    metadata: impl IntoIterator<Item = (String, String)>,
) -> Result<(), WeightsError> {
    write(path, tensors.iter().map(plain).collect(), metadata)
}

/// The names and values that the metadata of a safetensors file holds; `path` names it in errors.
///
/// # Errors
/// When the bytes are not one.
pub fn safetensors_metadata(
    bytes: &[u8],
    path: &Path,
) -> Result<HashMap<String, String>, WeightsError> {
    let wrong = |error: SafeTensorError| WeightsError::Contents {
        path: path.to_owned(),
        problem: error.to_string(),
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
    Ok(metadata.metadata().clone().unwrap_or_default())
}

/// [`write_safetensors`] with some tensors as int8, each with its scales beside it.
///
/// # Errors
/// When it cannot be written.
pub fn write_quantised_safetensors(
    path: &Path,
    tensors: &[TensorView<'_>],
    quantised: &[QuantisedTensor],
) -> Result<(), WeightsError> {
    let rows: Vec<[usize; 1]> = quantised.iter().map(|tensor| [tensor.scales.len()]).collect();
    let mut views: Vec<(String, Bytes<'_>)> = tensors.iter().map(plain).collect();
    for (tensor, rows) in quantised.iter().zip(&rows) {
        let QuantisedTensor { name, shape, bytes, scales } = tensor;
        views.push((name.clone(), Bytes::Int8 { shape, values: bytes }));
        views.push((scale_name(name), Bytes::F32 { shape: rows, values: scales }));
    }
    write(path, views, [])
}

fn write(
    path: &Path,
    views: Vec<(String, Bytes<'_>)>,
    metadata: impl IntoIterator<Item = (String, String)>,
) -> Result<(), WeightsError> {
    let failed = |source| WeightsError::Io { action: "write", path: path.to_owned(), source };
    // transformers refuses files that do not say which framework's layout they have.
    let format = ("format".to_owned(), "pt".to_owned());
    let metadata = HashMap::from_iter(metadata.into_iter().chain([format]));
    // Tensor by tensor: a second copy of a whole model is memory that training has a use for. The crate writes to
    // a temporary file of its own beside the path that it is given.
    let write = |unfinished: &Path| {
        // The crate's own file is for its owner alone: a model may be read by whom the umask lets.
        let permissions = fs::File::create(unfinished)?.metadata()?.permissions();
        let written = ::safetensors::serialize_to_file(views, Some(metadata), unfinished);
        written.map_err(|error| match error {
            SafeTensorError::IoError(error) => error,
            error => std::io::Error::other(error),
        })?;
        fs::set_permissions(unfinished, permissions)
    };
    durable::replace_file_within(path, write).map_err(failed)
}
