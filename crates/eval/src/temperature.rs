//! Temperature scaling (Guo et al., 2017): logits divided by numbers that make probabilities mean what they
//! say. Order and ranking within a label stay as they are.
//!
//! On few rows, or on rows that the model tells apart without a mistake, the cross-entropy falls with the
//! temperature without end. So temperatures are bounded, and regularised in the way that thresholds are: a
//! target counts with weight `n / (n + SHRINKAGE)`, for `n` positives or negatives, whichever are fewer, and else
//! the model's own probability does. The temperatures of labels are drawn to the one of all labels, and that one
//! to 1. `SHRINKAGE` is thus a number of pseudo-rows on which the model is right about itself.
//!
//! Whether any of this helps is decided on rows that nothing was fitted on.

use std::ops::RangeInclusive;

use serde::Serialize;
use tinymood_core::{EngineError, Infer, Logits, ModelConfig, PackedBatch, TeacherStates};

use crate::halves::halvings;

/// The range of `1 / temperature`. Beyond it a model is so far from what it says that a split of a few hundred
/// rows is no reason to believe it: 0.9 becomes 0.9998 at a temperature of 1/4, and 0.63 at 4.
const SCALES: RangeInclusive<f64> = 0.25..=4.0;

/// Positives at which rows and the model's own probabilities weigh alike.
const SHRINKAGE: f64 = 10.0;

/// Positives, and negatives, that a temperature needs. Ten events for each parameter are the rule of thumb of
/// logistic regression (Peduzzi et al., 1996).
const FEWEST: usize = 10;

/// What logits are divided by.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// From 1/4 to 4; (C).
    pub temperatures: Vec<f32>,
    /// How many temperatures there are.
    pub kind: CalibrationKind,
}

/// How many temperatures a [`Calibration`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CalibrationKind {
    /// One for all labels.
    One,
    /// One for each label with at least ten positives and ten negatives; the others get that of
    /// [`CalibrationKind::One`].
    PerLabel,
}

/// Mean cross-entropy of a decision on rows that nothing was fitted on, over ten halvings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LogLosses {
    /// Of the logits as they are.
    pub uncalibrated: f64,
    /// With [`CalibrationKind::One`].
    pub one: f64,
    /// With [`CalibrationKind::PerLabel`].
    pub per_label: f64,
}

/// Why a model is not calibrated.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// One half of the rows could not be trusted with a temperature.
    #[error(
        "too few rows to calibrate on: {rows} with {positives} labels that hold and {negatives} that do not, \
         expected at least {needed} of each"
    )]
    TooFew {
        /// Rows.
        rows: usize,
        /// Labels that hold, over all rows.
        positives: usize,
        /// Labels that do not hold, over all rows.
        negatives: usize,
        /// The least of each.
        needed: usize,
    },
    /// No temperature does better on rows it was not fitted on.
    #[error(
        "calibrating does not help on rows it was not fitted on: log loss {:.5} with one temperature, {:.5} with \
         one for each label, {:.5} with none",
        .0.one, .0.per_label, .0.uncalibrated
    )]
    NoGain(LogLosses),
}

/// Logits and targets; (C) each.
type Row<'a> = (&'a [f32], &'a [f32]);

impl Calibration {
    /// Whichever kind has the least cross-entropy on rows that it was not fitted on (fitted on one half, judged
    /// on the other, and the reverse, the mean of ten shuffles), fitted on all rows then. `targets` are (N, C).
    ///
    /// # Errors
    /// When no kind has less than the logits as they are, or there are too few rows to tell.
    ///
    /// # Panics
    /// When there are not as many targets as logits.
    pub fn choose(logits: &Logits, targets: &[f32]) -> Result<(Self, LogLosses), CalibrationError> {
        let (rows, c) = (rows(logits, targets), logits.num_labels);
        let positives = targets.iter().filter(|&&target| target >= 0.5).count();
        let negatives = targets.len() - positives;
        // Each half is to have enough.
        let needed = 2 * FEWEST;
        if rows.len().min(positives).min(negatives) < needed {
            return Err(CalibrationError::TooFew {
                rows: rows.len(),
                positives,
                negatives,
                needed,
            });
        }
        let mut sums = [0.0; 3];
        let mut halved = 0.0;
        for halves in halvings(rows.len()) {
            let [first, second] =
                halves.map(|half| half.iter().map(|&row| rows[row]).collect::<Vec<_>>());
            for (fitted_on, judged_on) in [(&first, &second), (&second, &first)] {
                let one = fit_one(fitted_on);
                let kinds = [vec![1.0; c], vec![one; c], fit_labels(fitted_on, one, c)];
                for (sum, scales) in sums.iter_mut().zip(&kinds) {
                    *sum += cross_entropy(judged_on, scales);
                }
            }
            halved += 1.0;
        }
        let [uncalibrated, one, per_label] = sums.map(|sum| sum / halved / targets.len() as f64);
        let losses = LogLosses { uncalibrated, one, per_label };
        let kind = match per_label < one {
            true => CalibrationKind::PerLabel,
            false => CalibrationKind::One,
        };
        match one.min(per_label) < uncalibrated {
            true => Ok((Self::fit(kind, logits, targets), losses)),
            false => Err(CalibrationError::NoGain(losses)),
        }
    }

    /// The temperatures of a kind for all rows. `targets` are (N, C).
    ///
    /// # Panics
    /// When there are not as many targets as logits.
    pub fn fit(kind: CalibrationKind, logits: &Logits, targets: &[f32]) -> Self {
        let (rows, c) = (rows(logits, targets), logits.num_labels);
        let one = fit_one(&rows);
        let scales = match kind {
            CalibrationKind::One => vec![one; c],
            CalibrationKind::PerLabel => fit_labels(&rows, one, c),
        };
        let temperatures = scales.into_iter().map(|scale| (1.0 / scale) as f32).collect();
        Self { temperatures, kind }
    }

    /// Divides logits by the temperatures.
    pub fn apply(&self, logits: &mut Logits) {
        divide(logits, &self.temperatures);
    }
}

/// Divides logits, (N, C), by temperatures, (C).
fn divide(logits: &mut Logits, temperatures: &[f32]) {
    for row in logits.values.chunks_mut(logits.num_labels.max(1)) {
        row.iter_mut().zip(temperatures).for_each(|(logit, temperature)| *logit /= temperature);
    }
}

fn rows<'a>(logits: &'a Logits, targets: &'a [f32]) -> Vec<Row<'a>> {
    assert_eq!(logits.values.len(), targets.len(), "(N, C) each");
    logits.rows().zip(targets.chunks(logits.num_labels.max(1))).collect()
}

/// The scale for all labels, drawn to 1.
fn fit_one(rows: &[Row<'_>]) -> f64 {
    let pairs = rows.iter().flat_map(|(logits, targets)| logits.iter().zip(*targets));
    scale(pairs.map(|(&logit, &target)| (logit, target)), 1.0)
}

/// A scale for each label, drawn to that of all, `one`; (C).
fn fit_labels(rows: &[Row<'_>], one: f64, c: usize) -> Vec<f64> {
    let of_label = |label: usize| {
        let pairs = rows.iter().map(move |(logits, targets)| (logits[label], targets[label]));
        match fewer(pairs.clone()) {
            FEWEST.. => scale(pairs, one),
            _ => one,
        }
    };
    (0..c).map(of_label).collect()
}

/// How many are positive or how many are not, whichever are fewer.
fn fewer(pairs: impl Iterator<Item = (f32, f32)>) -> usize {
    let (mut positives, mut negatives) = (0, 0);
    pairs.for_each(|(_, target)| match target >= 0.5 {
        true => positives += 1,
        false => negatives += 1,
    });
    positives.min(negatives)
}

/// The scale with the least regularised cross-entropy, by Newton's method: the loss is convex in it.
/// Regularised: a target counts in part, and else the probability that the scale `prior` gives.
fn scale(pairs: impl Iterator<Item = (f32, f32)> + Clone, prior: f64) -> f64 {
    let n = fewer(pairs.clone()) as f64;
    let share = n / (n + SHRINKAGE);
    let mut scale = prior;
    for _ in 0..50 {
        let (mut slope, mut curvature) = (0.0, 0.0);
        for (logit, target) in pairs.clone() {
            let x = f64::from(logit);
            let p = sigmoid(scale * x);
            let target = share * f64::from(target) + (1.0 - share) * sigmoid(prior * x);
            slope += (p - target) * x;
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
    scale
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Sum of the cross-entropies of all labels of rows, whose logits are multiplied by scales, (C).
fn cross_entropy(rows: &[Row<'_>], scales: &[f64]) -> f64 {
    let of_row = |(logits, targets): &Row<'_>| -> f64 {
        let labels = logits.iter().zip(*targets).zip(scales);
        let loss = labels.map(|((&logit, &target), scale)| {
            let x = f64::from(logit) * scale;
            x.max(0.0) - x * f64::from(target) + (-x.abs()).exp().ln_1p()
        });
        loss.sum()
    };
    rows.iter().map(of_row).sum()
}

/// An engine whose logits are divided by the temperatures of its model. Whoever asks it, for probabilities, for
/// the drop of a logit or for a teacher's answer, gets calibrated logits.
pub struct Calibrated<E> {
    /// Computes the logits of the weights.
    pub engine: E,
    /// (C); `None` where the logits stay as they are.
    temperatures: Option<Vec<f32>>,
}

impl<E: Infer> Calibrated<E> {
    /// # Panics
    /// When there are not as many temperatures as outputs.
    pub fn new(engine: E, temperatures: Option<Vec<f32>>) -> Self {
        if let Some(temperatures) = &temperatures {
            assert_eq!(temperatures.len(), engine.num_labels(), "a temperature for each output");
        }
        Self { engine, temperatures }
    }

    /// What logits are divided by, (C); `None` where they stay as they are.
    pub fn temperatures(&self) -> Option<&[f32]> {
        self.temperatures.as_deref()
    }
}

impl<E: Infer> Infer for Calibrated<E> {
    fn describe(&self) -> String {
        self.engine.describe()
    }

    fn config(&self) -> &ModelConfig {
        self.engine.config()
    }

    fn num_labels(&self) -> usize {
        self.engine.num_labels()
    }

    fn infer(&self, batch: &PackedBatch) -> Result<Logits, EngineError> {
        let mut logits = self.engine.infer(batch)?;
        if let Some(temperatures) = &self.temperatures {
            divide(&mut logits, temperatures);
        }
        Ok(logits)
    }

    fn teacher_states(
        &self,
        batch: &PackedBatch,
        states: &[usize],
        qkv_layer: Option<usize>,
    ) -> Result<TeacherStates, EngineError> {
        self.engine.teacher_states(batch, states, qkv_layer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
            [([3.0, 3.0], CalibrationKind::One), ([3.0, 0.3], CalibrationKind::PerLabel)]
        {
            let (logits, targets) = drawn(4000, &factors);
            let (found, losses) = Calibration::choose(&logits, &targets).unwrap();
            assert_eq!(found.kind, kind);
            assert!(losses.one.min(losses.per_label) < losses.uncalibrated - 0.01, "{losses:?}");
            for (temperature, factor) in found.temperatures.iter().zip(factors) {
                assert!((factor / temperature - 1.0).abs() < 0.1, "{found:?}");
            }
            let mut applied = logits.clone();
            found.apply(&mut applied);
            assert_eq!(applied.values[1], logits.values[1] / found.temperatures[1]);
        }
    }

    #[test]
    fn temperatures_are_those_that_scipy_finds() {
        let golden = include_str!("../../../goldens/calibration.json");
        let golden: Value = serde_json::from_str(golden).unwrap();
        let numbers = |value: &Value| -> Vec<f32> {
            value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
        };
        for case in golden["cases"].as_array().unwrap() {
            let num_labels = case["num_labels"].as_u64().unwrap() as usize;
            let logits = Logits { values: numbers(&case["logits"]), num_labels };
            let targets = numbers(&case["targets"]);
            let kinds = [("one", CalibrationKind::One), ("per_label", CalibrationKind::PerLabel)];
            for (name, kind) in kinds {
                let found = Calibration::fit(kind, &logits, &targets).temperatures;
                let expected = numbers(&case[name]);
                assert_eq!(found.len(), expected.len());
                let near = |(a, b): (&f32, &f32)| (a / b - 1.0).abs() < 1e-5;
                let is_near = found.iter().zip(&expected).all(near);
                assert!(is_near, "{} {name}: {found:?} {expected:?}", case["name"]);
            }
        }
    }

    #[test]
    fn separable_rows_give_no_extreme_temperature() {
        // Every row is right, by a logit of 2: unbounded, the cross-entropy falls for ever.
        let separable = |rows: usize| {
            let targets: Vec<f32> = (0..rows).map(|row| f32::from(row % 2 == 0)).collect();
            let values = targets.iter().map(|target| 4.0 * target - 2.0).collect();
            (Logits { values, num_labels: 1 }, targets)
        };
        let temperature = |rows| {
            let (logits, targets) = separable(rows);
            Calibration::fit(CalibrationKind::One, &logits, &targets).temperatures[0]
        };
        // Targets are shares of 1 and of sigmoid(2), so this has a closed form.
        for rows in [4, 40, 400] {
            let n = f64::from(rows) / 2.0;
            let target = (n + SHRINKAGE * sigmoid(2.0)) / (n + SHRINKAGE);
            let expected = 2.0 / (target / (1.0 - target)).ln();
            let found = f64::from(temperature(rows as usize));
            assert!((found - expected.max(0.25)).abs() < 1e-5, "{rows}: {found} {expected}");
        }
        assert!(temperature(4) > 0.85 && temperature(40) > 0.5, "few rows say little");
        assert_eq!(temperature(1 << 20), 0.25, "the bound");
    }

    #[test]
    fn few_rows_are_refused() {
        let (logits, targets) = drawn(19, &[3.0; 4]);
        let error = Calibration::choose(&logits, &targets).unwrap_err();
        assert!(matches!(error, CalibrationError::TooFew { rows: 19, .. }), "{error}");
        assert!(error.to_string().contains("19 with"), "{error}");
        // Many rows, and no positives.
        let logits = Logits { values: vec![-2.0; 100], num_labels: 1 };
        let error = Calibration::choose(&logits, &[0.0; 100]).unwrap_err();
        assert!(matches!(error, CalibrationError::TooFew { positives: 0, .. }), "{error}");
        let none = Logits { values: Vec::new(), num_labels: 3 };
        assert!(Calibration::choose(&none, &[]).is_err());
    }

    #[test]
    fn honest_logits_stay_as_they_are() {
        // Each logit has the frequency that its probability promises, on every quarter of the rows.
        let logits = Logits { values: [0.0, 3_f32.ln(), -(3_f32.ln())].repeat(400), num_labels: 1 };
        let cycle = |row: usize| match (row % 3, row / 3 % 4) {
            (0, turn) => turn % 2 == 0,
            (1, turn) => turn != 0,
            (_, turn) => turn == 0,
        };
        let targets: Vec<f32> = (0..1200).map(|row| f32::from(cycle(row))).collect();
        let error = Calibration::choose(&logits, &targets).unwrap_err();
        let CalibrationError::NoGain(losses) = error else { panic!("{error}") };
        assert!(losses.uncalibrated <= losses.one, "{losses:?}");
        assert!(error.to_string().contains("does not help"), "{error}");
    }

    #[test]
    fn rare_labels_take_the_temperature_of_all() {
        let (mut logits, mut targets) = drawn(500, &[3.0, 3.0]);
        // The second label holds in nine rows.
        let mut left = 9;
        for (target, logit) in targets.iter_mut().zip(&mut logits.values).skip(1).step_by(2) {
            *target = f32::from(left > 0);
            *logit = if left > 0 { 2.0 } else { -2.0 };
            left = std::cmp::max(left, 1) - 1;
        }
        let fit = |kind| Calibration::fit(kind, &logits, &targets).temperatures;
        let (one, per_label) = (fit(CalibrationKind::One), fit(CalibrationKind::PerLabel));
        assert_eq!(per_label[1], one[1]);
        assert_ne!(per_label[0], one[0]);
    }
}
