"""Writes goldens/report.json: what a report shows, by scikit-learn and by brute force in numpy.

usage: python reference/report.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
from sklearn import metrics
from sklearn.calibration import calibration_curve

warnings.filterwarnings("ignore")  # undefined figures are part of the goldens
BINS, GRID, SEED, RESAMPLES = 15, 101, 5, 60


def drawn(n, resample):
    """SplitMix64 over a counter, as crates/eval/src/bootstrap.rs draws rows."""
    mask = (1 << 64) - 1
    rows = []
    for i in range(n):
        x = (SEED + (resample * n + i + 1) * 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        rows.append(((x ^ (x >> 31)) * n) >> 64)
    return rows


def f1(targets, decided, known):
    """Micro and macro; by columns, since scikit-learn takes one column for two classes. A known label that no row has
    here is left out of the macro-F1."""
    pairs = [(t, d) for t, d, k in zip(targets.T, decided.T, known) if t.any() or not k]
    columns = [metrics.f1_score(t, d, zero_division=0) for t, d in pairs] or [0.0]
    return [metrics.f1_score(targets.ravel(), decided.ravel(), zero_division=0), np.mean(columns)]


def paired(targets, first, second):
    def difference(rows):
        return np.subtract(*(f1(targets[rows], decided[rows], targets.any(0)) for decided in (second, first)))

    observed = difference(slice(None))
    resampled = np.array([difference(drawn(len(targets), r)) for r in range(RESAMPLES)])
    expected = {}
    for index, name in enumerate(("micro_f1", "macro_f1")):
        d = resampled[:, index]
        extreme = np.sum(np.abs(d - observed[index]) >= abs(observed[index]) - 1e-12)
        expected[name] = {
            "difference": observed[index],
            "interval": np.percentile(d, [2.5, 97.5]).tolist(),
            "p_value": float((1 + extreme) / (1 + RESAMPLES)),
            "second_better": float(np.mean(np.where(d > 1e-12, 1, np.where(d < -1e-12, 0, 0.5)))),
        }
    return expected


def label_intervals(targets, decided):
    figures = []
    for r in range(RESAMPLES):
        rows = drawn(len(targets), r)
        columns = zip(targets[rows].T, decided[rows].T)
        binary = {"average": "binary", "zero_division": 0}
        scores = [metrics.precision_recall_fscore_support(t, d, **binary)[:3] for t, d in columns]
        figures.append(np.transpose(scores))
    low, high = np.percentile(np.array(figures), [2.5, 97.5], axis=0)
    names = ("precision", "recall", "f1")
    return [
        {name: [low[i, c], high[i, c]] for i, name in enumerate(names)} for c in range(targets.shape[1])
    ]


def curve(targets, probabilities):
    precision, recall, scores = [], [], []
    for k in range(GRID):
        decided = (probabilities >= np.float32(k / (GRID - 1))).astype(int)
        precision.append(float(metrics.precision_score(targets, decided, zero_division=0)) if decided.any() else None)
        recall.append(float(metrics.recall_score(targets, decided, zero_division=0)) if targets.any() else None)
        scores.append(float(metrics.f1_score(targets, decided, zero_division=0)))
    return {"precision": precision, "recall": recall, "f1": scores}


def case(name, probabilities, second, targets, thresholds):
    probabilities, second = probabilities.astype(np.float32), second.astype(np.float32)
    thresholds = np.asarray(thresholds, np.float32)
    decided, other = (probabilities >= thresholds).astype(int), (second >= thresholds).astype(int)
    share, mean = calibration_curve(targets.ravel(), probabilities.ravel().astype(np.float64), n_bins=BINS)
    missed, wrong = targets & (1 - decided), decided & (1 - targets)
    confused = missed.T @ wrong + np.diag((targets & decided).sum(0))
    return {
        "name": name,
        "num_labels": targets.shape[1],
        "seed": SEED,
        "resamples": RESAMPLES,
        "thresholds": thresholds.astype(float).tolist(),
        "probabilities": probabilities.astype(float).ravel().tolist(),
        "second": second.astype(float).ravel().tolist(),
        "targets": targets.ravel().tolist(),
        "curves": [curve(targets[:, c], probabilities[:, c]) for c in range(targets.shape[1])],
        "reliability": {"share_positive": share.tolist(), "mean_probability": mean.tolist()},
        "together": (targets.T @ targets).ravel().tolist(),
        "confused": confused.ravel().tolist(),
        "label_intervals": label_intervals(targets, decided),
        "paired": paired(targets, decided, other),
    }


def main():
    rng = np.random.default_rng(11)
    random = lambda n, c: rng.random((n, c))
    truth = lambda n, c, p: (rng.random((n, c)) < p).astype(int)
    skewed = random(70, 6) ** 3
    hints = (skewed + 0.4 * random(70, 6) > 0.6).astype(int)
    lacking = truth(30, 4, 0.3)
    lacking[:, 2] = 0
    cases = [
        case("two systems", skewed, np.clip(skewed + 0.3 * (random(70, 6) - 0.5), 0, 1), hints, rng.random(6) * 0.6),
        case("a label without positives", random(30, 4), random(30, 4), lacking, [0.5] * 4),
        case("one label", random(25, 1), random(25, 1), truth(25, 1, 0.4), [0.4]),
        case("nothing decided", random(20, 3) * 0.4, random(20, 3) * 0.4, truth(20, 3, 0.5), [0.5] * 3),
    ]
    path = Path(__file__).parent.parent / "goldens" / "report.json"
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes,", len(cases), "cases")


main()
