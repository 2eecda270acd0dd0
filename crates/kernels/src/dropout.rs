//! Dropout from a counter-based generator: whether an element is kept is a pure function of (seed,
//! step, site, row, element), so nothing is stored between forward and backward, and a resumed run
//! draws what the first would have drawn.
//!
//! Each 64-bit word of a row gives four elements, 16 bits each: probabilities are whole multiples
//! of 1/65536, and the scale is that of the probability actually used. Words come from the
//! finaliser of SplitMix64 (Steele, Lea & Flood, 2014) over counters spaced by the golden ratio.

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
pub struct Dropout {
    key: u64,
    first_row: u64,
    /// Elements whose 16 bits are below this are dropped; 0 keeps all.
    threshold: u32,
    scale: f32,
}

impl Dropout {
    /// Keeps everything.
    pub const NONE: Self = Self { key: 0, first_row: 0, threshold: 0, scale: 1.0 };

    /// Drops with probability `p` (rounded to a multiple of 1/65536, below 1). Row `r` of a call is
    /// row `first_row + r` of the step.
    pub fn new(p: f32, seed: u64, step: u64, site: u64, first_row: u64) -> Self {
        let threshold = (p * 65536.0).round().clamp(0.0, 65535.0) as u32;
        let key = derive(derive(mix(seed.wrapping_add(GOLDEN)), step), site);
        Self { key, first_row, threshold, scale: 65536.0 / (65536 - threshold) as f32 }
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
        let row_key = derive(self.key, self.first_row.wrapping_add(row as u64));
        let mut quads = values.chunks_exact_mut(4);
        let mut block = 0;
        for quad in &mut quads {
            let word = derive(row_key, block);
            for (part, value) in quad.iter_mut().enumerate() {
                *value *= self.factor(word, part);
            }
            block += 1;
        }
        let word = derive(row_key, block);
        for (part, value) in quads.into_remainder().iter_mut().enumerate() {
            *value *= self.factor(word, part);
        }
    }

    #[inline(always)]
    fn factor(&self, word: u64, part: usize) -> f32 {
        let bits = (word >> (16 * part)) as u32 & 0xFFFF;
        if bits >= self.threshold { self.scale } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(dropout: Dropout, row: usize, len: usize) -> Vec<f32> {
        let mut values = vec![1.0; len];
        dropout.apply(row, &mut values);
        values
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
        assert_eq!(mask(Dropout::NONE, 4, 8), [1.0; 8]);
        assert!(Dropout::new(0.0, 1, 2, 3, 4).is_none());
    }
}
