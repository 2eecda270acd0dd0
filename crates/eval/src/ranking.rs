//! What the order of probabilities says, whatever the thresholds.

use crate::predictions::{Predictions, is_positive};

/// Pairs by falling score; equal scores stay together.
fn sorted(pairs: impl Iterator<Item = (f32, bool)>) -> Vec<(f32, bool)> {
    let mut pairs: Vec<(f32, bool)> = pairs.collect();
    pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    pairs
}

/// Groups of equal score, from the highest: how many there are and how many are positive.
fn groups(pairs: &[(f32, bool)]) -> impl Iterator<Item = (u64, u64)> {
    pairs.chunk_by(|a, b| a.0 == b.0).map(|group| {
        let positive = group.iter().filter(|(_, positive)| *positive).count();
        (group.len() as u64, positive as u64)
    })
}

/// Average precision: the mean of the precision at each positive's rank
/// (`sklearn.metrics.average_precision_score`); `None` without positives.
pub fn average_precision(pairs: impl Iterator<Item = (f32, bool)>) -> Option<f64> {
    let pairs = sorted(pairs);
    let positives = pairs.iter().filter(|(_, positive)| *positive).count();
    let (mut seen, mut hits, mut total) = (0_u64, 0_u64, 0.0);
    for (count, positive) in groups(&pairs) {
        seen += count;
        hits += positive;
        total += positive as f64 * hits as f64 / seen as f64;
    }
    (positives > 0).then(|| total / positives as f64)
}

/// Area under the ROC curve: how often a positive scores above a negative, half for ties
/// (`sklearn.metrics.roc_auc_score`); `None` when all rows are of one kind.
pub fn roc_auc(pairs: impl Iterator<Item = (f32, bool)>) -> Option<f64> {
    let pairs = sorted(pairs);
    let positives = pairs.iter().filter(|(_, positive)| *positive).count() as f64;
    let negatives = pairs.len() as f64 - positives;
    let (mut above, mut wins) = (0_u64, 0.0);
    for (count, positive) in groups(&pairs) {
        let negative = (count - positive) as f64;
        wins += negative * (above as f64 + positive as f64 / 2.0);
        above += positive;
    }
    (positives > 0.0 && negatives > 0.0).then(|| wins / positives / negatives)
}

/// Label ranking average precision: for each true label of a row, the share of true ones among the
/// labels ranked no lower (`sklearn.metrics.label_ranking_average_precision_score`); rows with no
/// or all labels count 1.
pub fn label_ranking_average_precision(predictions: &Predictions<'_>) -> f64 {
    let row = |(probabilities, targets): (&[f32], &[f32])| {
        let positives = targets.iter().filter(|&&target| is_positive(target)).count();
        if positives == 0 || positives == targets.len() {
            return 1.0;
        }
        let pairs = sorted(
            probabilities.iter().copied().zip(targets.iter().map(|&target| is_positive(target))),
        );
        let (mut seen, mut hits, mut total) = (0_u64, 0_u64, 0.0);
        for (count, positive) in groups(&pairs) {
            seen += count;
            hits += positive;
            total += positive as f64 * hits as f64 / seen as f64;
        }
        total / positives as f64
    };
    predictions.rows().map(row).sum::<f64>() / predictions.num_rows() as f64
}
