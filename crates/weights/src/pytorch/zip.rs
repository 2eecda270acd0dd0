//! The container of PyTorch 1.6 and later: a zip archive of `NAME/data.pkl` and `NAME/data/KEY`,
//! all stored uncompressed.

use std::collections::HashMap;
use std::io::Cursor as IoCursor;

use zip::{CompressionMethod, ZipArchive};

use super::Problem;
use super::pickle::{Arena, Cursor, load};
use super::storage::tensors;
use crate::TensorFile;

pub(super) fn read(bytes: &[u8]) -> Result<TensorFile, Problem> {
    let damaged = |error: zip::result::ZipError| Problem::contents(format!("zip: {error}"));
    let mut archive = ZipArchive::new(IoCursor::new(bytes)).map_err(damaged)?;
    let mut entries: HashMap<String, &[u8]> = HashMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?.into_owned();
        if entry.compression() != CompressionMethod::Stored {
            return Err(Problem::contents(format!("entry {name:?} is compressed")));
        }
        let (start, len) = (entry.data_start(), entry.compressed_size());
        let start = start.and_then(|start| usize::try_from(start).ok());
        let data = start
            .zip(usize::try_from(len).ok())
            .and_then(|(start, len)| bytes.get(start..start.checked_add(len)?));
        let outside = || Problem::contents(format!("entry {name:?} reaches beyond the file"));
        entries.insert(name.clone(), data.ok_or_else(outside)?);
    }
    let pickle = entries.keys().find(|name| name.ends_with("/data.pkl") || *name == "data.pkl");
    let pickle = pickle.ok_or_else(|| Problem::contents("the archive has no data.pkl"))?;
    let folder = pickle.strip_suffix("data.pkl").unwrap_or_default().to_owned();
    if entries.get(&format!("{folder}byteorder")).is_some_and(|order| *order != b"little") {
        return Err(Problem::contents("its numbers are big-endian"));
    }
    let mut arena = Arena::default();
    let value = load(&mut Cursor { bytes: entries[pickle] }, &mut arena)?;
    tensors(&arena, value, bytes.len(), |key| {
        let missing = || Problem::contents(format!("the archive lacks the storage {key:?}"));
        entries.get(&format!("{folder}data/{key}")).copied().ok_or_else(missing)
    })
}
