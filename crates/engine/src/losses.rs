//! Losses of one label of one text: value and slope, in f64, stable at any logit.

use tinymood_core::{EngineError, Loss, Objective};

/// Checks that an objective fits a model of `num_labels`.
///
/// # Errors
/// [`EngineError::Objective`].
pub fn check(objective: &Objective, num_labels: usize) -> Result<(), EngineError> {
    let wrong = |what, found| Err(EngineError::Objective { what, found, expected: num_labels });
    match &objective.pos_weight {
        Some(weights) if weights.len() != num_labels => {
            return wrong("pos_weight", weights.len());
        }
        _ => {}
    }
    if objective.label_smoothing != 0.0 && objective.label_priors.len() != num_labels {
        return wrong("label_priors", objective.label_priors.len());
    }
    Ok(())
}

/// The loss of a batch and its slope: `Σ loss / divisor` over (B, C), with `d_logits` (B, C)
/// overwritten by the derivative of just that.
///
/// The objective must have passed [`check`].
pub fn forward_backward(
    objective: &Objective,
    logits: &[f32],
    targets: &[f32],
    num_labels: usize,
    divisor: f64,
    d_logits: &mut [f32],
) -> f64 {
    let smoothing = f64::from(objective.label_smoothing);
    let mut total = 0.0;
    for (i, ((&logit, &target), d_logit)) in logits.iter().zip(targets).zip(d_logits).enumerate() {
        let label = i % num_labels;
        let mut target = f64::from(target);
        if smoothing != 0.0 {
            let prior = f64::from(objective.label_priors[label]);
            target += smoothing * (prior - target);
        }
        let pos_weight = objective.pos_weight.as_ref().map_or(1.0, |list| f64::from(list[label]));
        let (loss, slope) = one(objective.loss, f64::from(logit), target, pos_weight);
        total += loss;
        *d_logit = (slope / divisor) as f32;
    }
    total / divisor
}

/// Value and slope at logit `x`, target `y` in 0..=1, with weight `w` of the positive term.
fn one(loss: Loss, x: f64, y: f64, w: f64) -> (f64, f64) {
    // p and 1 - p, and the logarithms of both, each exact at its own end.
    let (p, q) = (sigmoid(x), sigmoid(-x));
    let (log_p, log_q) = (-softplus(-x), -softplus(x));
    match loss {
        Loss::Bce => {
            let value = -(w * y * log_p + (1.0 - y) * log_q);
            (value, -w * y * q + (1.0 - y) * p)
        }
        Loss::Focal { gamma, alpha } => {
            let gamma = f64::from(gamma);
            let entropy = -(w * y * log_p + (1.0 - y) * log_q);
            let d_entropy = -w * y * q + (1.0 - y) * p;
            let miss = q * y + p * (1.0 - y);
            let d_miss = p * q * (1.0 - 2.0 * y);
            let (focus, d_focus) = power(miss, gamma, d_miss);
            let share = alpha.map_or(1.0, |alpha| {
                let alpha = f64::from(alpha);
                alpha * y + (1.0 - alpha) * (1.0 - y)
            });
            (share * entropy * focus, share * (d_entropy * focus + entropy * d_focus))
        }
        Loss::Asymmetric { gamma_positive, gamma_negative, clip } => {
            let clip = f64::from(clip);
            // Probability of a negative after the shift, and what it lacks to 1.
            let shifted = p > clip;
            let (log_negative, d_log_negative, lack, d_lack) = if clip == 0.0 {
                (log_q, -p, p, p * q)
            } else if shifted {
                let negative = q + clip;
                (negative.ln(), -p * q / negative, p - clip, p * q)
            } else {
                (0.0, 0.0, 0.0, 0.0)
            };
            let entropy = -(w * y * log_p + (1.0 - y) * log_negative);
            let d_entropy = -w * y * q - (1.0 - y) * d_log_negative;
            let miss = y * q + (1.0 - y) * lack;
            let d_miss = -y * p * q + (1.0 - y) * d_lack;
            let gamma = f64::from(gamma_positive) * y + f64::from(gamma_negative) * (1.0 - y);
            let (focus, d_focus) = power(miss, gamma, d_miss);
            (entropy * focus, d_entropy * focus + entropy * d_focus)
        }
    }
}

/// `base^gamma` and its slope, given the slope of `base >= 0`; the slope at 0 is taken as 0.
fn power(base: f64, gamma: f64, d_base: f64) -> (f64, f64) {
    if gamma == 0.0 {
        (1.0, 0.0)
    } else if base <= 0.0 {
        (0.0, 0.0)
    } else {
        (base.powf(gamma), gamma * base.powf(gamma - 1.0) * d_base)
    }
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// `ln(1 + e^x)`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [Loss; 6] = [
        Loss::Bce,
        Loss::Focal { gamma: 2.0, alpha: None },
        Loss::Focal { gamma: 0.5, alpha: Some(0.25) },
        Loss::Asymmetric { gamma_positive: 1.0, gamma_negative: 4.0, clip: 0.05 },
        Loss::Asymmetric { gamma_positive: 0.0, gamma_negative: 2.0, clip: 0.0 },
        Loss::Asymmetric { gamma_positive: 0.0, gamma_negative: 0.0, clip: 0.0 },
    ];

    #[test]
    fn slopes_are_slopes() {
        for loss in LOSSES {
            for x in [-6.1, -3.3, -1.0, -0.2, 0.0, 0.4, 2.2, 5.5] {
                for y in [0.0, 0.3, 1.0] {
                    for w in [1.0, 3.5] {
                        let at = |x: f64| one(loss, x, y, w).0;
                        let slope = (at(x + 1e-6) - at(x - 1e-6)) / 2e-6;
                        let found = one(loss, x, y, w).1;
                        assert!((found - slope).abs() < 1e-6, "{loss:?} {x} {y}: {found} {slope}");
                    }
                }
            }
        }
    }

    #[test]
    fn without_focus_all_are_cross_entropy() {
        let plain = one(Loss::Bce, 1.3, 0.7, 2.0);
        assert_eq!(one(Loss::Focal { gamma: 0.0, alpha: None }, 1.3, 0.7, 2.0), plain);
        let (value, slope) = one(LOSSES[5], 1.3, 0.7, 2.0);
        assert!((value - plain.0).abs() < 1e-12 && (slope - plain.1).abs() < 1e-12);
    }

    #[test]
    fn extreme_logits_stay_finite() {
        for loss in LOSSES {
            for x in [-1e30, -800.0, -80.0, 80.0, 800.0, 1e30] {
                for y in [0.0, 0.5, 1.0] {
                    let (value, slope) = one(loss, x, y, 2.0);
                    assert!(value.is_finite() && slope.is_finite(), "{loss:?} {x} {y}");
                }
            }
        }
    }

    #[test]
    fn smoothing_pulls_toward_the_prior() {
        let objective =
            Objective { label_smoothing: 0.1, label_priors: vec![0.2, 0.02], ..Objective::bce() };
        let mut d_logits = [0.0; 2];
        forward_backward(&objective, &[0.0, 0.0], &[1.0, 0.0], 2, 1.0, &mut d_logits);
        assert!((d_logits[0] - (0.5 - 0.92)).abs() < 1e-6);
        assert!((d_logits[1] - (0.5 - 0.002)).abs() < 1e-6);
        let short = Objective { label_priors: vec![0.2], ..objective };
        assert!(check(&short, 2).is_err());
    }
}
