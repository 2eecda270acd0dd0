//! Soft labels: what teachers say of texts, mixed into targets and kept in a file (Hinton et al.,
//! *Distilling the Knowledge in a Neural Network*, 2015; the prediction layer of Jiao et al.,
//! *TinyBERT*, 2020).
//!
//! The file is safetensors with one tensor, `probabilities` (N, C), in f32: what is read back must
//! be what was computed, bit for bit, or a resumed run would learn something else. Its metadata
//! holds a fingerprint of teachers and texts, and a checksum of the values. Answers that are not all
//! there yet are kept in the same way, as sums, with how far the teachers have come.

// Shapes: N texts, C labels.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use tinymood_core::TensorView;
use tinymood_weights::digest::hexadecimal;
use tinymood_weights::{
    WeightsError, read_safetensors, regular, safetensors_metadata, write_safetensors_with_metadata,
};

/// The tensor.
const TENSOR: &str = "probabilities";

/// Why a file of soft labels is of no use. It can be made again.
#[derive(Debug, thiserror::Error)]
pub enum SoftLabelsError {
    /// It cannot be read.
    #[error("cannot be read")]
    Read(#[source] std::io::Error),
    /// It is no such file, or not whole.
    #[error("is damaged")]
    Damaged,
    /// Other teachers said it, or of other texts.
    #[error("is of other teachers or texts")]
    Foreign,
}

/// Moves targets to what teachers say: `targets = (1 - weight) * targets + weight * probabilities`;
/// (N, C) both.
pub fn mix(targets: &mut [f32], probabilities: &[f32], weight: f64) {
    assert_eq!(targets.len(), probabilities.len(), "one probability for each target");
    for (target, &probability) in targets.iter_mut().zip(probabilities) {
        let mixed = (1.0 - weight) * f64::from(*target) + weight * f64::from(probability);
        *target = mixed.clamp(0.0, 1.0) as f32;
    }
}

/// What teachers have said until they were interrupted.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfinished {
    /// Sums of their probabilities, row-major; (N, C).
    pub sums: Vec<f32>,
    /// Teachers that have labelled all texts.
    pub teachers: usize,
    /// Texts that the next one has labelled.
    pub rows: usize,
}

/// Reads what [`write_soft_labels`] wrote under the same fingerprint; row-major, (N, C). `None`
/// where there is no file.
///
/// # Errors
/// When the file is of no use.
pub fn read_soft_labels(
    path: &Path,
    fingerprint: &str,
    shape: [usize; 2],
) -> Result<Option<Vec<f32>>, SoftLabelsError> {
    let found = read(path, fingerprint, shape)?;
    Ok(found.map(|(probabilities, _)| probabilities))
}

/// Writes what teachers said of texts, as a whole or not at all; `probabilities` is row-major,
/// (N, C).
///
/// # Errors
/// When it cannot be written.
pub fn write_soft_labels(
    path: &Path,
    fingerprint: &str,
    shape: [usize; 2],
    probabilities: &[f32],
) -> Result<(), WeightsError> {
    write(path, fingerprint, shape, probabilities, [])
}

/// Reads what [`write_unfinished`] wrote under the same fingerprint. `None` where there is no file.
///
/// # Errors
/// When the file is of no use.
pub fn read_unfinished(
    path: &Path,
    fingerprint: &str,
    shape: [usize; 2],
) -> Result<Option<Unfinished>, SoftLabelsError> {
    let Some((sums, metadata)) = read(path, fingerprint, shape)? else { return Ok(None) };
    let count = |name| metadata.get(name).and_then(|count: &String| count.parse().ok());
    match (count("teachers"), count("rows")) {
        (Some(teachers), Some(rows)) if rows <= shape[0] => {
            Ok(Some(Unfinished { sums, teachers, rows }))
        }
        _ => Err(SoftLabelsError::Damaged),
    }
}

/// Writes what teachers have said so far, as a whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write_unfinished(
    path: &Path,
    fingerprint: &str,
    shape: [usize; 2],
    unfinished: &Unfinished,
) -> Result<(), WeightsError> {
    let Unfinished { sums, teachers, rows } = unfinished;
    let counts = [("teachers", teachers), ("rows", rows)];
    let counts = counts.map(|(name, count)| (name.to_owned(), count.to_string()));
    write(path, fingerprint, shape, sums, counts)
}

type Metadata = HashMap<String, String>;

fn read(
    path: &Path,
    fingerprint: &str,
    shape: [usize; 2],
) -> Result<Option<(Vec<f32>, Metadata)>, SoftLabelsError> {
    let bytes = match regular::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SoftLabelsError::Read(error)),
    };
    let damaged = |_| SoftLabelsError::Damaged;
    let metadata = safetensors_metadata(&bytes, path).map_err(damaged)?;
    let mut file = read_safetensors(bytes, path).map_err(damaged)?;
    let tensor = file.tensors.remove(TENSOR).ok_or(SoftLabelsError::Damaged)?;
    if metadata.get("sha256") != Some(&checksum(&tensor.values)) {
        return Err(SoftLabelsError::Damaged);
    }
    if metadata.get("fingerprint").map(String::as_str) != Some(fingerprint) || tensor.shape != shape
    {
        return Err(SoftLabelsError::Foreign);
    }
    Ok(Some((tensor.values.to_vec(), metadata)))
}

fn write(
    path: &Path,
    fingerprint: &str,
    shape: [usize; 2],
    values: &[f32],
    more: impl IntoIterator<Item = (String, String)>,
) -> Result<(), WeightsError> {
    let tensor =
        TensorView { name: TENSOR.into(), shape: shape.as_slice().into(), values: values.into() };
    let facts = [
        ("fingerprint".to_owned(), fingerprint.to_owned()),
        ("sha256".to_owned(), checksum(values)),
    ];
    write_safetensors_with_metadata(path, &[tensor], facts.into_iter().chain(more))
}

fn checksum(values: &[f32]) -> String {
    let mut hasher = Sha256::new();
    let mut buffer = Vec::with_capacity(1 << 16);
    for values in values.chunks(1 << 14) {
        buffer.clear();
        buffer.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        hasher.update(&buffer);
    }
    hexadecimal(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn targets_move_by_the_weight() {
        let probabilities = [0.25, 1.0, 0.0, 0.7];
        for (weight, expected) in
            [(0.0, [1.0, 1.0, 0.0, 0.0]), (0.5, [0.625, 1.0, 0.0, 0.35]), (1.0, probabilities)]
        {
            let mut targets = [1.0, 1.0, 0.0, 0.0];
            mix(&mut targets, &probabilities, weight);
            assert_eq!(targets, expected, "{weight}");
        }
        // Rounding never leaves the range that losses take.
        for step in 0..1000 {
            let mut target = [1.0];
            mix(&mut target, &[1.0], f64::from(step) / 1000.0);
            assert_eq!(target, [1.0]);
        }
    }

    #[test]
    fn unfinished_answers_say_how_far_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("unfinished.safetensors");
        let unfinished = Unfinished { sums: vec![0.5, 1.0, 0.25, 0.0], teachers: 3, rows: 1 };
        assert!(read_unfinished(&path, "a", [2, 2]).unwrap().is_none());
        write_unfinished(&path, "a", [2, 2], &unfinished).unwrap();
        assert_eq!(read_unfinished(&path, "a", [2, 2]).unwrap().unwrap(), unfinished);
        assert!(matches!(read_unfinished(&path, "b", [2, 2]), Err(SoftLabelsError::Foreign)));
        // A finished file is none, nor one with more rows than there are.
        write_soft_labels(&path, "a", [2, 2], &unfinished.sums).unwrap();
        assert!(matches!(read_unfinished(&path, "a", [2, 2]), Err(SoftLabelsError::Damaged)));
        write_unfinished(&path, "a", [2, 2], &Unfinished { rows: 3, ..unfinished }).unwrap();
        assert!(matches!(read_unfinished(&path, "a", [2, 2]), Err(SoftLabelsError::Damaged)));
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("teacher.safetensors");
        let values: Vec<f32> = (0..60_000_u16).map(|i| f32::from(i) / 60_001.0).collect();
        let shape = [20_000, 3];
        assert!(read_soft_labels(&path, "a", shape).unwrap().is_none());
        write_soft_labels(&path, "a", shape, &values).unwrap();
        assert_eq!(read_soft_labels(&path, "a", shape).unwrap().unwrap(), values);

        let foreign = |fingerprint, shape| {
            matches!(read_soft_labels(&path, fingerprint, shape), Err(SoftLabelsError::Foreign))
        };
        assert!(foreign("b", shape));
        assert!(foreign("a", [30_000, 2]));
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() - 1000] ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() - 4], &whole[..100], b"{}", b""] {
            fs::write(&path, damaged).unwrap();
            let read = read_soft_labels(&path, "a", shape);
            assert!(matches!(read, Err(SoftLabelsError::Damaged)), "{}", damaged.len());
        }
    }
}
