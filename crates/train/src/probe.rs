//! A linear probe (Alain & Bengio, 2016): a new classifier is learned alone, from the vectors that the
//! encoder as it is gives its texts. Fine-tuning then begins with a head that knows the labels, and does
//! not distort first what the encoder knows (LP-FT; Kumar et al., 2022).
//!
//! Letters: `N` texts, `B` those of a batch, `H` width of a vector, `C` labels.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::order::SplitMix;

/// The largest learning rate, of standardised vectors; it falls linearly to 0.
const LEARNING_RATE: f32 = 3e-3;
const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// A classifier learned alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// (C, H).
    pub weight: Vec<f32>,
    /// (C).
    pub bias: Vec<f32>,
    /// Mean binary cross-entropy over its first epoch and over its last.
    pub losses: [f64; 2],
}

/// How a probe learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// Times that it sees all texts. Few are its only regularisation.
    pub epochs: usize,
    /// Texts of a step.
    pub batch_size: usize,
    /// Draws the batches.
    pub seed: u64,
}

/// Learns a classifier of `vectors` (N, H) by binary cross-entropy with `targets` (N, C): Adam over
/// vectors standardised by column, from weights of 0 and `bias` (C). After each batch `progress` is told how
/// many texts were gone through, of N an epoch. `None` once `stop` is set.
///
/// # Panics
/// When sizes do not fit, or there is nothing to learn from.
pub fn linear_probe(
    mut vectors: Vec<f32>,
    targets: &[f32],
    bias: &[f32],
    settings: ProbeSettings,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize),
) -> Option<Probe> {
    let ProbeSettings { epochs, batch_size, seed } = settings;
    let c = bias.len();
    let rows = targets.len() / c;
    let h = vectors.len() / rows;
    assert!(targets.len() == rows * c && vectors.len() == rows * h, "(N, H) and (N, C)");
    assert!(epochs > 0 && batch_size > 0, "something to learn from");
    let columns = standardise(&mut vectors, h);
    let mut learner = Adam::new((h + 1) * c, (epochs * rows.div_ceil(batch_size)) as f32);
    // (H + 1, C): a label is a column, so that inner loops run over labels; the bias is last.
    let mut classifier = vec![0.0; h * c];
    classifier.extend_from_slice(bias);
    let mut gradient = vec![0.0; classifier.len()];
    let mut slopes = vec![0.0; batch_size.min(rows) * c];
    let mut order: Vec<usize> = (0..rows).collect();
    let (mut losses, mut seen) = (Vec::new(), 0);
    for epoch in 0..epochs {
        SplitMix::new(seed, epoch as u64).shuffle(&mut order);
        let mut loss = 0.0;
        for batch in order.chunks(batch_size) {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let slopes = &mut slopes[..batch.len() * c];
            logits_of(&classifier, &vectors, batch, slopes);
            for (&row, slopes) in batch.iter().zip(slopes.chunks_exact_mut(c)) {
                loss += slopes_of(slopes, &targets[row * c..(row + 1) * c]);
            }
            gradient_of(slopes, &vectors, batch, &mut gradient);
            learner.step(&mut classifier, &gradient, 1.0 / batch.len() as f32);
            seen += batch.len();
            progress(seen);
        }
        losses.push(loss / (rows * c) as f64);
    }
    let (mut weight, mut bias) = (vec![0.0; c * h], classifier[h * c..].to_vec());
    for (column, (mean, scale)) in columns.into_iter().enumerate() {
        for label in 0..c {
            let slope = classifier[column * c + label] * scale;
            weight[label * h + column] = slope;
            bias[label] -= slope * mean;
        }
    }
    Some(Probe { weight, bias, losses: [losses[0], losses[epochs - 1]] })
}

/// Gives each column mean 0 and standard deviation 1, in place; returns what was taken off and then
/// multiplied by. A column of one value becomes zeros.
fn standardise(vectors: &mut [f32], width: usize) -> Vec<(f32, f32)> {
    let rows = (vectors.len() / width) as f64;
    let mut sums = vec![(0.0_f64, 0.0_f64); width];
    for row in vectors.chunks_exact(width) {
        for ((sum, squares), &value) in sums.iter_mut().zip(row) {
            *sum += f64::from(value);
            *squares += f64::from(value) * f64::from(value);
        }
    }
    let column = |(sum, squares): (f64, f64)| {
        let mean = sum / rows;
        let deviation = (squares / rows - mean * mean).max(0.0).sqrt();
        let varies = deviation > 1e-6 * mean.abs().max(1e-6);
        (mean as f32, if varies { deviation.recip() as f32 } else { 0.0 })
    };
    let columns: Vec<_> = sums.into_iter().map(column).collect();
    for row in vectors.chunks_exact_mut(width) {
        for (value, (mean, scale)) in row.iter_mut().zip(&columns) {
            *value = (*value - mean) * scale;
        }
    }
    columns
}

/// The logits of a batch, (B, C), overwritten. A column of all its texts at a time, so that many labels'
/// weights are read once a batch.
fn logits_of(classifier: &[f32], vectors: &[f32], batch: &[usize], logits: &mut [f32]) {
    let c = logits.len() / batch.len();
    let h = classifier.len() / c - 1;
    let (weight, bias) = classifier.split_at(h * c);
    logits.chunks_exact_mut(c).for_each(|logits| logits.copy_from_slice(bias));
    for (column, weight) in weight.chunks_exact(c).enumerate() {
        for (&row, logits) in batch.iter().zip(logits.chunks_exact_mut(c)) {
            let x = vectors[row * h + column];
            logits.iter_mut().zip(weight).for_each(|(logit, weight)| *logit += x * weight);
        }
    }
}

/// From one text's logits to the slopes of its loss, (C), in place; returns the loss, summed over labels.
fn slopes_of(slopes: &mut [f32], y: &[f32]) -> f64 {
    let mut loss = 0.0;
    for (slope, &y) in slopes.iter_mut().zip(y) {
        let logit = *slope;
        loss += f64::from(logit.max(0.0) - logit * y + (-logit.abs()).exp().ln_1p());
        *slope = 1.0 / (1.0 + (-logit).exp()) - y;
    }
    loss
}

/// The gradient of a batch's summed loss, (H + 1, C), overwritten, by columns as in [`logits_of`].
fn gradient_of(slopes: &[f32], vectors: &[f32], batch: &[usize], gradient: &mut [f32]) {
    let c = slopes.len() / batch.len();
    let h = gradient.len() / c - 1;
    gradient.fill(0.0);
    for (column, gradient) in gradient.chunks_exact_mut(c).enumerate() {
        for (&row, slopes) in batch.iter().zip(slopes.chunks_exact(c)) {
            let x = if column < h { vectors[row * h + column] } else { 1.0 };
            gradient.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += x * slope);
        }
    }
}

/// Adam (Kingma & Ba, 2015) with a learning rate that falls linearly.
struct Adam {
    first_moment: Vec<f32>,
    second_moment: Vec<f32>,
    step: f32,
    steps: f32,
}

impl Adam {
    fn new(len: usize, steps: f32) -> Self {
        Self { first_moment: vec![0.0; len], second_moment: vec![0.0; len], step: 0.0, steps }
    }

    fn step(&mut self, parameters: &mut [f32], gradient: &[f32], scale: f32) {
        let rate = LEARNING_RATE * (1.0 - self.step / self.steps);
        self.step += 1.0;
        let [bias1, bias2] = [BETA1, BETA2].map(|beta| 1.0 / (1.0 - beta.powf(self.step)));
        let moments = self.first_moment.iter_mut().zip(&mut self.second_moment);
        for ((parameter, &gradient), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient * scale;
            *m += (1.0 - BETA1) * (gradient - *m);
            *v += (1.0 - BETA2) * (gradient * gradient - *v);
            *parameter -= rate * (*m * bias1) / ((*v * bias2).sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 60;
    const H: usize = 3;
    const C: usize = 2;

    /// Vectors of unlike columns, the third of one value, and labels that no line parts.
    fn problem() -> (Vec<f32>, Vec<f32>) {
        let wave = |i: usize, of: f32| (i as f32 * of).sin();
        let vectors = (0..ROWS).flat_map(|i| [5.0 + 3.0 * wave(i, 1.3), 0.1 * wave(i, 2.1), 7.0]);
        let label = |value: f32| if value > 0.0 { 1.0 } else { 0.0 };
        let targets = (0..ROWS).flat_map(|i| {
            let noise = wave(i, 7.7);
            [label(wave(i, 1.3) + noise), label(wave(i, 1.3) - wave(i, 2.1) + noise - 0.5)]
        });
        (vectors.collect(), targets.collect())
    }

    fn learn(
        vectors: &[f32],
        targets: &[f32],
        bias: &[f32],
        (epochs, batch_size, seed): (usize, usize, u64),
    ) -> Probe {
        let settings = ProbeSettings { epochs, batch_size, seed };
        let stop = AtomicBool::new(false);
        linear_probe(vectors.to_vec(), targets, bias, settings, &stop, &mut |_| {}).unwrap()
    }

    /// Mean slopes of the loss by weight and bias, in f64.
    fn slopes(probe: &Probe, vectors: &[f32], targets: &[f32]) -> Vec<f64> {
        let mut slopes = vec![0.0; C * (H + 1)];
        for (x, y) in vectors.chunks(H).zip(targets.chunks(C)) {
            for label in 0..C {
                let weight = &probe.weight[label * H..(label + 1) * H];
                let products = weight.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                let logit = products.sum::<f64>() + f64::from(probe.bias[label]);
                let slope = 1.0 / (1.0 + (-logit).exp()) - f64::from(y[label]);
                for (column, &x) in x.iter().enumerate() {
                    slopes[label * (H + 1) + column] += slope * f64::from(x) / ROWS as f64;
                }
                slopes[label * (H + 1) + H] += slope / ROWS as f64;
            }
        }
        slopes
    }

    #[test]
    fn many_epochs_end_where_the_loss_is_level() {
        let (vectors, targets) = problem();
        let probe = learn(&vectors, &targets, &[0.3, -0.2], (20_000, ROWS, 1));
        let slopes = slopes(&probe, &vectors, &targets);
        assert!(slopes.iter().all(|slope| slope.abs() < 2e-3), "{slopes:?}");
        assert!(probe.losses[1] < 0.8 * probe.losses[0], "{:?}", probe.losses);
        assert_eq!([probe.weight[2], probe.weight[H + 2]], [0.0; 2], "of a column of one value");
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let (vectors, targets) = problem();
        let learn = |seed| learn(&vectors, &targets, &[0.0; C], (2, 7, seed));
        assert_eq!(learn(1), learn(1));
        assert_ne!(learn(1), learn(2));
    }

    /// Text by text, as the formula reads: another order of loops must not change a bit.
    fn naive_step(classifier: &[f32], x: &[f32], y: &[f32], gradient: &mut [f32]) -> f64 {
        let at = |column: usize, label: usize| column * C + label;
        let mut loss = 0.0;
        for (label, &y) in y.iter().enumerate() {
            let mut logit = classifier[at(H, label)];
            for (column, &x) in x.iter().enumerate() {
                logit += x * classifier[at(column, label)];
            }
            loss += f64::from(logit.max(0.0) - logit * y + (-logit.abs()).exp().ln_1p());
            let slope = 1.0 / (1.0 + (-logit).exp()) - y;
            for (column, &x) in x.iter().chain(&[1.0]).enumerate() {
                gradient[at(column, label)] += x * slope;
            }
        }
        loss
    }

    #[test]
    fn a_batch_gives_the_bits_of_its_texts_one_by_one() {
        let (vectors, targets) = problem();
        let classifier: Vec<f32> = (0..(H + 1) * C).map(|i| (i as f32 * 0.9).sin()).collect();
        for batch in [&[4][..], &[8, 3, 59, 0, 17]] {
            let (mut expected, mut losses) = (vec![0.0; classifier.len()], Vec::new());
            for &row in batch {
                let (x, y) = (&vectors[row * H..][..H], &targets[row * C..][..C]);
                losses.push(naive_step(&classifier, x, y, &mut expected));
            }
            let mut slopes = vec![f32::NAN; batch.len() * C];
            logits_of(&classifier, &vectors, batch, &mut slopes);
            for ((&row, slopes), loss) in batch.iter().zip(slopes.chunks_mut(C)).zip(losses) {
                assert_eq!(slopes_of(slopes, &targets[row * C..][..C]), loss);
            }
            let mut gradient = vec![f32::NAN; classifier.len()];
            gradient_of(&slopes, &vectors, batch, &mut gradient);
            assert_eq!(gradient, expected);
        }
    }

    #[test]
    fn it_tells_how_far_it_is_and_stops_when_asked() {
        let (vectors, targets) = problem();
        let settings = ProbeSettings { epochs: 2, batch_size: 25, seed: 1 };
        let (stop, mut told) = (AtomicBool::new(false), Vec::new());
        let mut note = |seen| {
            told.push(seen);
            stop.store(seen == 85, Ordering::Relaxed);
        };
        let probe = linear_probe(vectors, &targets, &[0.0; C], settings, &stop, &mut note);
        assert_eq!(probe, None);
        assert_eq!(told, [25, 50, 60, 85]);
    }

    #[test]
    fn losses_are_those_of_the_formula() {
        // Zero weights and half of all labels: ln 2, before anything was learned.
        let probe = learn(&[1.0, 2.0], &[1.0, 0.0], &[0.0], (1, 2, 1));
        assert!((probe.losses[0] - std::f64::consts::LN_2).abs() < 1e-6, "{:?}", probe.losses);
        let (mut slopes, mut gradient) = ([0.0], [0.0; 2]);
        logits_of(&[2.0, 1.0], &[3.0], &[0], &mut slopes);
        let loss = slopes_of(&mut slopes, &[1.0]);
        gradient_of(&slopes, &[3.0], &[0], &mut gradient);
        let (logit, slope) = (7.0_f64, 1.0 / (1.0 + (-7.0_f64).exp()) - 1.0);
        assert!((loss - (-logit).exp().ln_1p()).abs() < 1e-6, "{loss}");
        let off = f64::from(gradient[0]) - 3.0 * slope;
        assert!(off.abs() < 1e-6 && (f64::from(gradient[1]) - slope).abs() < 1e-6, "{gradient:?}");
    }
}
