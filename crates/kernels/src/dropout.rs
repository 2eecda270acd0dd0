//! Dropout from a counter-based generator: whether an element is kept is a pure function of (seed,
//! step, site, row, element), so nothing is stored between forward and backward, and a resumed run
//! draws what the first would have drawn.
//!
//! Each 64-bit word of a row gives four elements, 16 bits each: probabilities are whole multiples
//! of 1/65536, and the scale is that of the probability actually used. Words come from the
//! finaliser of SplitMix64 (Steele, Lea & Flood, 2014) over counters spaced by the golden ratio.

/// Words that are drawn at a time: a vector of AVX-512.
const WORDS: usize = 8;
/// Elements that they decide about.
const CHUNK: usize = 4 * WORDS;

/// 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

#[inline(always)]
fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The `index`-th key derived from `key`.
#[inline(always)]
fn derive(key: u64, index: u64) -> u64 {
    mix(key.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
}

/// Dropout at one site of the model, in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout<'a> {
    key: u64,
    first_row: u64,
    /// Which rows the rows of a call are, where they are not the first ones.
    rows: Option<&'a [u32]>,
    /// Elements whose 16 bits are below this are dropped; 0 keeps all.
    threshold: u32,
    scale: f32,
}

impl<'a> Dropout<'a> {
    /// Keeps everything.
    pub const NONE: Self = Self { key: 0, first_row: 0, rows: None, threshold: 0, scale: 1.0 };

    /// Drops with probability `p` (rounded to a multiple of 1/65536, below 1). Row `r` of a call is
    /// row `first_row + r` of the step.
    pub fn new(p: f32, seed: u64, step: u64, site: u64, first_row: u64) -> Self {
        let threshold = (p * 65536.0).round().clamp(0.0, 65535.0) as u32;
        let key = derive(derive(mix(seed.wrapping_add(GOLDEN)), step), site);
        let scale = 65536.0 / (65536 - threshold) as f32;
        Self { key, first_row, rows: None, threshold, scale }
    }

    /// The same of some rows: row `r` of a call is row `first_row + rows[r]` of the step.
    pub fn of_rows(self, rows: &'a [u32]) -> Self {
        Self { rows: Some(rows), ..self }
    }

    /// Whether everything is kept.
    #[inline(always)]
    pub fn is_none(&self) -> bool {
        self.threshold == 0
    }

    /// Multiplies each element of row `row` by 0 or by the scale. Forward and backward are the same.
    #[inline(always)]
    pub fn apply(&self, row: usize, values: &mut [f32]) {
        if self.is_none() {
            return;
        }
        let row = self.rows.map_or(row as u64, |rows| u64::from(rows[row]));
        let row_key = derive(self.key, self.first_row.wrapping_add(row));
        let (chunks, rest) = values.as_chunks_mut::<CHUNK>();
        let mut first = 0;
        for chunk in chunks {
            let factors = self.factors(row_key, first);
            chunk.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
            first += WORDS as u64;
        }
        if !rest.is_empty() {
            let factors = self.factors(row_key, first);
            rest.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
        }
    }

    /// The factors of a chunk whose first word is the `first`-th of its row.
    #[inline(always)]
    fn factors(&self, row_key: u64, first: u64) -> [f32; CHUNK] {
        // Plain loops: unlike `from_fn` and `map` they become vectors.
        let mut words = [0; WORDS];
        for (word, index) in words.iter_mut().zip(first..) {
            *word = derive(row_key, index);
        }
        const { assert!(cfg!(target_endian = "little"), "the low bits come first") };
        // SAFETY: both are 64 bytes of any content.
        let parts: [u16; CHUNK] = unsafe { std::mem::transmute(words) };
        let mut factors = [0.0; CHUNK];
        for (factor, bits) in factors.iter_mut().zip(parts) {
            *factor = if u32::from(bits) >= self.threshold { self.scale } else { 0.0 };
        }
        factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(dropout: Dropout<'_>, row: usize, len: usize) -> Vec<f32> {
        let mut values = vec![1.0; len];
        dropout.apply(row, &mut values);
        values
    }

    /// The definition, element by element.
    #[test]
    fn four_elements_share_a_word() {
        let dropout = Dropout::new(0.4, 1, 2, 3, 5);
        let row_key = derive(dropout.key, 5 + 7);
        for len in [1, 3, 4, 31, 32, 33, 100] {
            for (i, factor) in mask(dropout, 7, len).into_iter().enumerate() {
                let bits = derive(row_key, i as u64 / 4) >> (16 * (i % 4)) & 0xFFFF;
                let kept = bits as f32 / 65536.0 >= 0.4;
                assert_eq!(factor, if kept { dropout.scale } else { 0.0 }, "{i} of {len}");
            }
        }
    }

    #[test]
    fn keeps_the_expected_share() {
        for p in [0.1_f32, 0.5, 0.9] {
            let dropout = Dropout::new(p, 1, 2, 3, 0);
            let mut total = 0.0_f64;
            for row in 0..400 {
                total += mask(dropout, row, 251).into_iter().map(f64::from).sum::<f64>();
            }
            let mean = total / (400.0 * 251.0);
            let deviation = (f64::from(p) / (1.0 - f64::from(p)) / (400.0 * 251.0)).sqrt();
            assert!((mean - 1.0).abs() < 4.5 * deviation, "p {p}: mean {mean}");
        }
    }

    #[test]
    fn every_coordinate_matters_and_rows_shift() {
        let base = mask(Dropout::new(0.5, 1, 2, 3, 0), 4, 64);
        for other in [(9, 2, 3, 0), (1, 9, 3, 0), (1, 2, 9, 0), (1, 2, 3, 9)] {
            let (seed, step, site, first_row) = other;
            assert_ne!(mask(Dropout::new(0.5, seed, step, site, first_row), 4, 64), base);
        }
        assert_eq!(mask(Dropout::new(0.5, 1, 2, 3, 3), 1, 64), base);
        assert_eq!(mask(Dropout::new(0.5, 1, 2, 3, 0), 4, 37), base[..37]);
        assert_eq!(mask(Dropout::new(0.5, 1, 2, 3, 0).of_rows(&[9, 4]), 1, 64), base);
        assert_eq!(mask(Dropout::NONE, 4, 8), [1.0; 8]);
        assert!(Dropout::new(0.0, 1, 2, 3, 4).is_none());
    }
}
