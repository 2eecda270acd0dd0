//! Elementary functions without branches, so that loops over them vectorise.

/// `exp(x)` to about 2 units in the last place; 0 below -87.3, saturating at 88, NaN of NaN.
///
/// `x = n ln 2 + r`, `|r| <= ln 2 / 2`: a polynomial for `exp(r)`, and `n` added to the exponent.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4; // 355/512: times n it is exact
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to a whole number
    let clamped = x.clamp(-87.3, 88.0);
    let biased = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = biased - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    // The low bits of `biased` hold n in two's complement.
    let scaled = f32::from_bits(p.to_bits().wrapping_add(biased.to_bits() << 23));
    // The product is 0 or NaN. Of a NaN `scaled` need not be one: what is added reaches its exponent.
    if x >= -87.3 { scaled } else { clamped * -0.0 }
}

/// `erf(x)` to 4e-7: `x P(x^2) / Q(x^2)` on `[-4, 4]`, a least-squares rational fit.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let t = x * x;
    let p = 1.974_833_1e-6;
    let p = p * t + 2.880_404e-4;
    let p = p * t + 4.003_611e-3;
    let p = p * t + 5.346_737_3e-2;
    let p = p * t + 0.196_248_19;
    let p = p * t + std::f32::consts::FRAC_2_SQRT_PI;
    let q = 3.748_084e-5;
    let q = q * t + 1.216_351e-3;
    let q = q * t + 1.544_435_3e-2;
    let q = q * t + 0.116_476_1;
    let q = q * t + 0.507_251_6;
    let q = q * t + 1.0;
    (x * p / q).clamp(-1.0, 1.0)
}

/// `x Φ(x)` with the exact normal distribution function (`torch.nn.functional.gelu`).
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// [`gelu`] and its derivative, `Φ(x) + x φ(x)`.
#[inline(always)]
pub(crate) fn gelu_and_slope(x: f32) -> (f32, f32) {
    const INVERSE_SQRT_2_PI: f32 = 0.398_942_3;
    let erf_plus_one = 1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2);
    let slope = 0.5 * erf_plus_one + x * INVERSE_SQRT_2_PI * exp(-0.5 * x * x);
    (0.5 * x * erf_plus_one, slope)
}

/// The derivative alone.
#[cfg(test)]
pub(crate) fn gelu_derivative(x: f32) -> f32 {
    gelu_and_slope(x).1
}

const LANES: usize = 16;

/// Sum in 16 interleaved partial sums: vectorises, and is the same on every instruction set.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let chunks = values.chunks_exact(LANES);
    for (lane, &value) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += value;
    }
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    sum_lanes(lanes)
}

/// Dot product, in the order of [`sum`].
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let remainders = a_chunks.remainder().iter().zip(b_chunks.remainder());
    for (lane, (&x, &y)) in lanes.iter_mut().zip(remainders) {
        *lane += x * y;
    }
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    sum_lanes(lanes)
}

/// Largest value; negative infinity for none.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    for (lane, &value) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = if value > *lane { value } else { *lane };
    }
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    // By halves, as `sum_lanes`: a fold would take the lanes one by one.
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            let other = lanes[lane + width];
            lanes[lane] = if other > lanes[lane] { other } else { lanes[lane] };
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_near_the_standard_library() {
        for step in -9_000..9_000 {
            let x = step as f32 * 0.01;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            let expected = if x < -87.3 { 0.0 } else { expected };
            if x <= 88.0 {
                assert!((found - expected).abs() <= 3e-7 * expected, "{x}: {found} {expected}");
            }
        }
        for x in [f32::NEG_INFINITY, f32::MIN, -87.31] {
            assert_eq!(exp(x).to_bits(), 0.0_f32.to_bits(), "{x}");
        }
    }

    #[test]
    fn exp_of_any_nan_is_nan() {
        for payload in (1..1 << 23).step_by(4097).chain([1, 1 << 22, (1 << 23) - 1]) {
            for sign in [0, 1 << 31] {
                let x = f32::from_bits(sign | 0x7F80_0000 | payload);
                assert!(x.is_nan() && exp(x).is_nan(), "{:#x}: {}", x.to_bits(), exp(x));
            }
        }
    }

    /// erf by its Taylor series in f64, for |x| <= 4.
    fn erf_series(x: f64) -> f64 {
        let (mut term, mut total) = (x, x);
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            total += term / f64::from(2 * n + 1);
        }
        total * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn erf_is_near_its_series() {
        for step in -4_000..=4_000 {
            let x = step as f32 * 1e-3;
            let (found, expected) = (f64::from(erf(x)), erf_series(f64::from(x)));
            assert!((found - expected).abs() < 5e-7, "{x}: {found} {expected}");
        }
        assert!((erf(9.0) - 1.0).abs() < 5e-7 && (erf(-9.0) + 1.0).abs() < 5e-7);
    }

    #[test]
    fn gelu_derivative_is_the_slope() {
        for step in -500..=500 {
            let x = f64::from(step) * 0.01;
            let exact =
                |x: f64| 0.5 * x * (1.0 + erf_series((x / 2.0_f64.sqrt()).clamp(-4.0, 4.0)));
            let slope = (exact(x + 1e-5) - exact(x - 1e-5)) / 2e-5;
            assert!((f64::from(gelu_derivative(x as f32)) - slope).abs() < 2e-6, "{x}");
            assert!((f64::from(gelu(x as f32)) - exact(x)).abs() < 2e-6, "{x}");
            assert_eq!(gelu(x as f32), gelu_and_slope(x as f32).0);
        }
    }

    #[test]
    fn reductions_at_ragged_lengths() {
        for len in [0, 1, 15, 16, 17, 33, 100] {
            let values: Vec<f32> = (0..len).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
            assert_eq!(sum(&values), values.iter().sum::<f32>(), "{len}");
            assert_eq!(dot(&values, &values), values.iter().map(|x| x * x).sum::<f32>(), "{len}");
            assert_eq!(max(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
