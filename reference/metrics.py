"""Writes goldens/metrics.json: scikit-learn's figures for random and degenerate predictions.

usage: python reference/metrics.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
from sklearn import metrics

warnings.filterwarnings("ignore")  # undefined figures are part of the goldens
BINS = 15


def calibration_error(probability, target):
    """Expected calibration error over equal-width bins; scikit-learn has no function for it."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    total = 0.0
    for b in range(BINS):
        inside = bins == b
        total += abs(probability[inside].sum() - target[inside].sum())
    return total / len(probability)


def case(name, probabilities, targets, thresholds):
    probabilities = probabilities.astype(np.float32).astype(np.float64)
    thresholds = np.asarray(thresholds, np.float32).astype(np.float64)
    decided = (probabilities >= thresholds).astype(int)
    labels = range(targets.shape[1])
    expected = {}
    for average in ("micro", "macro", "weighted", "samples"):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            targets, decided, average=average, zero_division=0
        )
        expected |= {f"{average}_precision": precision, f"{average}_recall": recall, f"{average}_f1": f1}
    expected["subset_accuracy"] = metrics.accuracy_score(targets, decided)
    expected["hamming_loss"] = metrics.hamming_loss(targets, decided)
    expected["lrap"] = metrics.label_ranking_average_precision_score(targets, probabilities)
    precision = [
        metrics.average_precision_score(targets[:, c], probabilities[:, c]) if targets[:, c].any() else None
        for c in labels
    ]
    auc = [
        metrics.roc_auc_score(targets[:, c], probabilities[:, c]) if len(set(targets[:, c])) == 2 else None
        for c in labels
    ]
    mean = lambda values: float(np.mean(values)) if values else None
    expected["macro_average_precision"] = mean([value for value in precision if value is not None])
    expected["macro_roc_auc"] = mean([value for value in auc if value is not None])
    flat = metrics.average_precision_score(targets.ravel(), probabilities.ravel()) if targets.any() else None
    expected["micro_average_precision"] = flat
    expected["brier"] = float(np.mean((probabilities - targets) ** 2))
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    expected["loss"] = float(np.mean(-(targets * np.log(clipped) + (1 - targets) * np.log(1 - clipped))))
    errors = [calibration_error(probabilities[:, c], targets[:, c]) for c in labels]
    expected["expected_calibration_error"] = float(np.mean(errors))
    expected["rows_without_labels"] = float(np.mean(decided.sum(1) == 0))
    each = metrics.precision_recall_fscore_support(targets, decided, average=None, zero_division=0)
    per_label = [
        {
            "precision": each[0][c],
            "recall": each[1][c],
            "f1": each[2][c],
            "support": int(each[3][c]),
            "predicted": int(decided[:, c].sum()),
            "mcc": metrics.matthews_corrcoef(targets[:, c], decided[:, c]),
            "average_precision": precision[c],
            "roc_auc": auc[c],
            "brier": metrics.brier_score_loss(targets[:, c], probabilities[:, c], pos_label=1),
            "expected_calibration_error": errors[c],
        }
        for c in labels
    ]
    return {
        "name": name,
        "num_labels": targets.shape[1],
        "thresholds": thresholds.tolist(),
        "probabilities": probabilities.ravel().tolist(),
        "targets": targets.ravel().tolist(),
        "expected": expected,
        "labels": per_label,
    }


def main():
    rng = np.random.default_rng(7)
    random = lambda n, c: rng.random((n, c))
    truth = lambda n, c, p: (rng.random((n, c)) < p).astype(int)
    skewed = random(60, 28) ** 4
    ties = np.round(random(80, 6) * 8) / 8
    no_positives = truth(40, 5, 0.3)
    no_positives[:, 2] = 0
    all_positives = truth(40, 5, 0.3)
    all_positives[:, 1] = 1
    cases = [
        case("random", random(50, 5), truth(50, 5, 0.3), [0.5] * 5),
        case("like GoEmotions", skewed, (skewed + 0.3 * random(60, 28) > 0.6).astype(int), rng.random(28) * 0.6),
        case("tied scores", ties, truth(80, 6, 0.4), [0.5, 0.25, 0.375, 0.5, 0.75, 1.0]),
        case("two labels", random(30, 2), truth(30, 2, 0.5), [0.4, 0.6]),
        case("a label without positives", random(40, 5), no_positives, [0.5] * 5),
        case("a label without negatives", random(40, 5), all_positives, [0.5] * 5),
        case("no positives at all", random(20, 4), np.zeros((20, 4), int), [0.5] * 4),
        case("nothing decided", random(20, 4) * 0.4, truth(20, 4, 0.5), [0.5] * 4),
        case("everything decided", 0.6 + 0.4 * random(20, 4), truth(20, 4, 0.5), [0.5] * 4),
        case("nothing true, nothing decided", random(20, 4) * 0.4, np.zeros((20, 4), int), [0.5] * 4),
        case("one row", random(1, 4), np.array([[1, 0, 0, 1]]), [0.5] * 4),
        case("equal scores", np.full((15, 3), 0.5), truth(15, 3, 0.4), [0.5] * 3),
        case("zeros and ones", truth(25, 3, 0.5).astype(float), truth(25, 3, 0.4), [0.5] * 3),
    ]
    path = Path(__file__).parent.parent / "goldens" / "metrics.json"
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes,", len(cases), "cases")


main()
