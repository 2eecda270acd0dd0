//! The container before PyTorch 1.6: pickles of a magic number, the protocol, the writer's system,
//! the object, and the list of storage keys; then each storage, its length first.

use std::collections::HashMap;

use super::Problem;
use super::pickle::{Arena, Cursor, Value, load};
use super::storage::tensors;
use crate::TensorFile;

/// How such a file begins: protocol 2, a ten-byte number, 0x1950a86a20f9469cfc6c.
pub(super) const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// `torch.serialization.PROTOCOL_VERSION`.
const PROTOCOL: i64 = 1001;

pub(super) fn read(bytes: &[u8]) -> Result<TensorFile, Problem> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(Problem::contents("neither a zip archive nor a file of torch.save"));
    };
    let mut cursor = Cursor { bytes: rest };
    let mut arena = Arena::default();
    if load(&mut cursor, &mut arena)? != Value::Int(PROTOCOL) {
        return Err(Problem::contents("written by an unknown version of torch.save"));
    }
    load(&mut cursor, &mut arena)?; // the writer's system; only little-endian ones were ever seen
    let value = load(&mut cursor, &mut arena)?;
    let keys = load(&mut cursor, &mut arena)?;
    let wrong = || Problem::contents("its list of storages is no list of names");
    let keys = arena.sequence(keys).ok_or_else(wrong)?;

    // The kind of each storage stands only with the tensors that use it.
    let mut sizes: HashMap<&str, usize> = HashMap::new();
    for storage in arena.storages() {
        sizes.insert(arena.key(*storage), storage.dtype.size());
    }
    let mut storages: HashMap<&str, &[u8]> = HashMap::new();
    for &key in keys {
        let key = arena.text(key).ok_or_else(wrong)?;
        let size = sizes.get(key);
        let size = *size.ok_or_else(|| Problem::contents(format!("storage {key:?} is unused")))?;
        let count: [u8; 8] = cursor.take(8)?.try_into().expect("eight bytes were taken");
        let count = usize::try_from(i64::from_le_bytes(count)).ok();
        let len = count.and_then(|count| count.checked_mul(size));
        let len = len.ok_or_else(|| Problem::contents("a storage of impossible length"))?;
        storages.insert(key, cursor.take(len)?);
    }
    tensors(&arena, value, bytes.len(), |key| {
        let missing = || Problem::contents(format!("it lacks the storage {key:?}"));
        storages.get(key).copied().ok_or_else(missing)
    })
}
