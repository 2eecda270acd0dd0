//! Temperature scaling (Guo et al., 2017): logits times numbers that make probabilities mean what they
//! say. Order and ranking within a label stay as they are.

use tinymood_core::Logits;

use crate::halves::halvings;

/// The range of a scale: beyond it a split says nothing that would hold on others.
const SCALES: std::ops::RangeInclusive<f64> = 0.05..=20.0;

/// How many halvings say which kind is best.
const SHUFFLES: usize = 3;

/// What logits are multiplied by, `1 / temperature`, one a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// (C).
    pub scales: Vec<f32>,
    /// How many temperatures there are.
    pub kind: CalibrationKind,
}

/// How many temperatures a [`Calibration`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalibrationKind {
    /// None: the logits are as good as they get.
    None,
    /// One for all labels.
    One,
    /// One for each label.
    PerLabel,
}

impl Calibration {
    /// Whichever kind has the least cross-entropy on rows that it was not fitted on (on one half, judged on
    /// the other, and the reverse), fitted on all rows then. `targets` are (N, C).
    ///
    /// # Panics
    /// When there are not as many targets as logits.
    pub fn choose(logits: &Logits, targets: &[f32]) -> Self {
        assert_eq!(logits.values.len(), targets.len(), "(N, C) each");
        let rows: Vec<Row<'_>> =
            logits.rows().zip(targets.chunks(logits.num_labels.max(1))).collect();
        let held_out = |kind: CalibrationKind| -> f64 {
            let fitted_on = |rows: &[Row<'_>]| Self::fit(kind, rows, logits.num_labels);
            let of_halves = halvings(rows.len()).take(SHUFFLES).map(|halves| {
                let [first, second] =
                    halves.map(|half| half.iter().map(|&row| rows[row]).collect());
                let (first, second): (Vec<_>, Vec<_>) = (first, second);
                fitted_on(&first).cross_entropy(&second) + fitted_on(&second).cross_entropy(&first)
            });
            of_halves.sum()
        };
        let kinds = [CalibrationKind::None, CalibrationKind::One, CalibrationKind::PerLabel];
        let losses = kinds.map(held_out);
        let best = (0..kinds.len()).reduce(|best, kind| match losses[kind] < losses[best] {
            true => kind,
            false => best,
        });
        let kind = best.map_or(CalibrationKind::None, |best| kinds[best]);
        Self::fit(kind, &rows, logits.num_labels)
    }

    fn fit(kind: CalibrationKind, rows: &[Row<'_>], num_labels: usize) -> Self {
        let of_label = |label: usize| {
            let pairs = rows.iter().map(move |(logits, targets)| (logits[label], targets[label]));
            scale(pairs)
        };
        let scales = match kind {
            CalibrationKind::None => vec![1.0; num_labels],
            CalibrationKind::One => {
                let pairs = rows.iter().flat_map(|(logits, targets)| logits.iter().zip(*targets));
                vec![scale(pairs.map(|(&logit, &target)| (logit, target))); num_labels]
            }
            CalibrationKind::PerLabel => (0..num_labels).map(of_label).collect(),
        };
        Self { scales, kind }
    }

    /// Sum of the cross-entropies of all labels of rows.
    fn cross_entropy(&self, rows: &[Row<'_>]) -> f64 {
        let of_row = |(logits, targets): &Row<'_>| -> f64 {
            let labels = logits.iter().zip(*targets).zip(&self.scales);
            let loss = labels.map(|((&logit, &target), &scale)| {
                let x = f64::from(logit) * f64::from(scale);
                x.max(0.0) - x * f64::from(target) + (-x.abs()).exp().ln_1p()
            });
            loss.sum()
        };
        rows.iter().map(of_row).sum()
    }

    /// Multiplies logits.
    pub fn apply(&self, logits: &mut Logits) {
        for row in logits.values.chunks_mut(logits.num_labels.max(1)) {
            row.iter_mut().zip(&self.scales).for_each(|(logit, scale)| *logit *= scale);
        }
    }
}

/// Logits and targets; (C) each.
type Row<'a> = (&'a [f32], &'a [f32]);

/// The scale with the least cross-entropy, by Newton's method: the loss is convex in it.
fn scale(pairs: impl Iterator<Item = (f32, f32)> + Clone) -> f32 {
    let mut scale = 1.0_f64;
    for _ in 0..50 {
        let (mut slope, mut curvature) = (0.0, 0.0);
        for (logit, target) in pairs.clone() {
            let x = f64::from(logit);
            let p = 1.0 / (1.0 + (-scale * x).exp());
            slope += (p - f64::from(target)) * x;
            curvature += p * (1.0 - p) * x * x;
        }
        // A step of at most half the way down or twice the way up keeps it from running off.
        let wanted = if curvature > 0.0 { scale - slope / curvature } else { scale };
        let next = wanted.clamp(scale / 2.0, 2.0 * scale).clamp(*SCALES.start(), *SCALES.end());
        let moved = (next - scale).abs();
        scale = next;
        if moved < 1e-7 * scale {
            break;
        }
    }
    scale as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows whose targets are drawn with the probabilities of true logits, which are shown times
    /// `factors`.
    fn drawn(rows: usize, factors: &[f32]) -> (Logits, Vec<f32>) {
        let mut state = 7_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        let (mut values, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            for factor in factors {
                let logit = 6.0 * random() - 4.0;
                let probability = 1.0 / (1.0 + (-logit).exp());
                targets.push(f32::from(random() < probability));
                values.push(logit * factor);
            }
        }
        (Logits { values, num_labels: factors.len() }, targets)
    }

    #[test]
    fn what_was_stretched_is_found() {
        for (factors, kind) in
            [([3.0, 3.0], CalibrationKind::One), ([4.0, 0.3], CalibrationKind::PerLabel)]
        {
            let (logits, targets) = drawn(4000, &factors);
            let found = Calibration::choose(&logits, &targets);
            assert_eq!(found.kind, kind);
            for (scale, factor) in found.scales.iter().zip(factors) {
                assert!((scale * factor - 1.0).abs() < 0.1, "{found:?}");
            }
            let mut applied = logits.clone();
            found.apply(&mut applied);
            assert_eq!(applied.values[1], logits.values[1] * found.scales[1]);
        }
    }

    #[test]
    fn few_rows_and_perfect_ones_stay_in_bounds() {
        for rows in 0..4 {
            let (logits, targets) = drawn(rows, &[1.0, 1.0]);
            let found = Calibration::choose(&logits, &targets);
            assert!(found.scales.iter().all(|&scale| SCALES.contains(&f64::from(scale))));
        }
        let logits = Logits { values: vec![2.0, -2.0, 0.0, 3.0], num_labels: 1 };
        let found = Calibration::choose(&logits, &[1.0, 0.0, 1.0, 1.0]);
        assert!(found.scales[0] >= 1.0 && found.scales[0] <= 20.0, "{found:?}");
        let zeros = Logits { values: vec![0.0; 4], num_labels: 2 };
        assert_eq!(Calibration::choose(&zeros, &[1.0, 0.0, 0.0, 0.0]).scales, [1.0, 1.0]);
    }
}
