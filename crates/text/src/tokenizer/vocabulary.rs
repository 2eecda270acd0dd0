//! A WordPiece vocabulary as a hash table that finds the longest token a text begins with.
//!
//! The hash of a prefix is a step away from that of the prefix before it, so the candidates of all
//! lengths cost one walk over the text; then they are looked up, longest first. Most words are whole
//! tokens and need one look. A trie finds the same, but building one takes far longer than filling
//! this, and a cold process pays for that.

/// What a continuing token begins with.
const CONTINUING: &str = "##";

/// Tokens to ids.
#[derive(Clone, Debug)]
pub(super) struct Vocabulary {
    /// All tokens end to end; continuing ones without their mark.
    bytes: Vec<u8>,
    /// Open addressing, at most half full; a power of two.
    slots: Vec<Slot>,
    len: usize,
    /// Bytes of the longest token.
    longest: usize,
    /// One past the largest id.
    end: usize,
}

/// An entry of the table.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Of the token's bytes, begun by whether it continues a word.
    hash: u32,
    start: u32,
    /// [`shape`] of the token; 0 where the slot is free.
    shape: u32,
    id: u32,
}

impl Slot {
    fn is_free(&self) -> bool {
        self.shape == 0
    }
}

/// A token's length and whether it continues a word, in one number; never 0.
fn shape(length: usize, continuing: bool) -> u32 {
    2 * (length as u32 + 1) + u32::from(continuing)
}

/// The hash of nothing.
fn begin(continuing: bool) -> u64 {
    if continuing { 0x9E37_79B9_7F4A_7C15 } else { 0xD1B5_4A32_D192_ED03 }
}

/// The hash of one byte more (FNV-1a, with a wider constant; its high half is what is used).
fn extend(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x2545_F491_4F6C_DD1D)
}

fn finish(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Vocabulary {
    /// An empty one, with room for about `tokens` tokens.
    pub(super) fn with_capacity(tokens: usize) -> Self {
        let slots = (2 * tokens).next_power_of_two().max(16);
        let slots = vec![Slot::default(); slots];
        Self { bytes: Vec::with_capacity(8 * tokens), slots, len: 0, longest: 0, end: 0 }
    }

    /// One past the largest id.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// How many different tokens there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a token and returns the id it had: one that is there already gets the new id.
    ///
    /// # Panics
    /// When tokens have more than 2^30 bytes together; files are smaller.
    pub(super) fn insert(&mut self, token: &str, id: u32) -> Option<u32> {
        self.end = self.end.max(id as usize + 1);
        if 2 * (self.len + 1) > self.slots.len() {
            self.grow();
        }
        let (continuing, letters) = split(token);
        let letters = letters.as_bytes();
        let start = self.bytes.len();
        assert!(start + letters.len() < 1 << 30, "a vocabulary of 2^30 bytes");
        let hash = finish(letters.iter().copied().fold(begin(continuing), extend));
        let index = self.place(hash, letters, continuing);
        let slot = &mut self.slots[index];
        if !slot.is_free() {
            return Some(std::mem::replace(&mut slot.id, id));
        }
        *slot = Slot { hash, start: start as u32, shape: shape(letters.len(), continuing), id };
        self.bytes.extend_from_slice(letters);
        self.len += 1;
        self.longest = self.longest.max(letters.len());
        None
    }

    /// The id of a token.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        let (continuing, letters) = split(token);
        let hash = finish(letters.bytes().fold(begin(continuing), extend));
        let slot = &self.slots[self.place(hash, letters.as_bytes(), continuing)];
        (!slot.is_free()).then_some(slot.id)
    }

    /// The longest token that `text` begins with, as its length in bytes and its id. `hashes` is room.
    #[inline]
    pub(super) fn longest(
        &self,
        text: &[u8],
        continuing: bool,
        hashes: &mut Vec<u32>,
    ) -> Option<(usize, u32)> {
        hashes.clear();
        let text = &text[..text.len().min(self.longest)];
        let mut hash = begin(continuing);
        hashes.extend(text.iter().map(|&byte| {
            hash = extend(hash, byte);
            finish(hash)
        }));
        let lengths = (1..=text.len()).rev();
        lengths.zip(hashes.iter().rev()).find_map(|(length, &hash)| {
            let slot = &self.slots[self.place(hash, &text[..length], continuing)];
            (!slot.is_free()).then_some((length, slot.id))
        })
    }

    /// The slot that a token has, or would have.
    #[inline]
    fn place(&self, hash: u32, token: &[u8], continuing: bool) -> usize {
        let (mask, shape) = (self.slots.len() - 1, shape(token.len(), continuing));
        let mut index = hash as usize & mask;
        loop {
            let slot = &self.slots[index];
            let is_it = || {
                let start = slot.start as usize;
                slot.hash == hash
                    && slot.shape == shape
                    && self.bytes[start..start + token.len()] == *token
            };
            if slot.is_free() || is_it() {
                return index;
            }
            index = (index + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let slots = vec![Slot::default(); 2 * self.slots.len()];
        let mask = slots.len() - 1;
        for slot in std::mem::replace(&mut self.slots, slots) {
            if !slot.is_free() {
                let mut index = slot.hash as usize & mask;
                while !self.slots[index].is_free() {
                    index = (index + 1) & mask;
                }
                self.slots[index] = slot;
            }
        }
    }
}

/// Whether a token continues a word, and the letters of it.
fn split(token: &str) -> (bool, &str) {
    token.strip_prefix(CONTINUING).map_or((false, token), |rest| (true, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_longest_and_grows() {
        let mut vocabulary = Vocabulary::with_capacity(0);
        let tokens: Vec<String> = (0..5000_u32)
            .map(|id| format!("{}{:x}", if id % 2 == 0 { "" } else { "##" }, id * id))
            .collect();
        for (token, id) in tokens.iter().zip(0..) {
            assert_eq!(vocabulary.insert(token, id), None, "{token}");
        }
        assert_eq!((vocabulary.len, vocabulary.end()), (5000, 5000));
        assert!(tokens.iter().zip(0..).all(|(token, id)| vocabulary.id(token) == Some(id)));
        assert_eq!(vocabulary.id("##0"), None);
        assert_eq!(vocabulary.id(""), None);
        assert_eq!((vocabulary.insert("", 2), vocabulary.insert("", 3)), (None, Some(2)));
        let mut room = Vec::new();
        for text in ["10", "100", "1000z", "64fff", "zz", "", "ffffffffffff"] {
            for continuing in [false, true] {
                let mark = if continuing { "##" } else { "" };
                let by_length = (1..=text.len()).rev();
                let naive = by_length
                    .filter_map(|end| {
                        Some((end, vocabulary.id(&format!("{mark}{}", &text[..end]))?))
                    })
                    .next();
                assert_eq!(vocabulary.longest(text.as_bytes(), continuing, &mut room), naive);
            }
        }
        assert_eq!(vocabulary.insert(&tokens[7], 9000), Some(7));
        assert_eq!((vocabulary.id(&tokens[7]), vocabulary.end()), (Some(9000), 9001));
    }
}
