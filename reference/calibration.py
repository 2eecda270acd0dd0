"""Writes goldens/calibration.json: temperatures with the least regularised cross-entropy, by scikit-learn's log_loss
and scipy's minimize_scalar.

usage: python reference/calibration.py
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.metrics import log_loss

SHRINKAGE, FEWEST, SCALES = 10, 10, (0.25, 4.0)


def fewer(targets):
    return int(min(targets.sum(), (1 - targets).sum()))


def scale(logits, targets, prior):
    """A target counts with weight n / (n + SHRINKAGE), and else the probability that the prior scale gives."""
    share = fewer(targets) / (fewer(targets) + SHRINKAGE)
    soft = share * targets + (1 - share) * expit(prior * logits)
    both = np.r_[np.ones(len(soft)), np.zeros(len(soft))]  # each row as a positive and a negative, weighted

    def loss(x):
        probabilities = expit(x * np.r_[logits, logits])
        return log_loss(both, np.c_[1 - probabilities, probabilities], sample_weight=np.r_[soft, 1 - soft])

    return minimize_scalar(loss, bounds=SCALES, method="bounded", options={"xatol": 1e-12}).x


def temperatures(logits, targets):
    one = scale(logits.ravel(), targets.ravel(), 1.0)
    labels = [scale(x, y, one) if fewer(y) >= FEWEST else one for x, y in zip(logits.T, targets.T)]
    return {"one": [1 / one] * logits.shape[1], "per_label": [1 / s for s in labels]}


def case(name, rows, factors, seed):
    random = np.random.default_rng(seed)
    true = random.normal(-0.5, 2, (rows, len(factors)))
    targets = (random.random(true.shape) < expit(true)).astype(float)
    logits = (true * factors).astype(np.float32).astype(float)
    return {
        "name": name,
        "num_labels": len(factors),
        "logits": logits.ravel().tolist(),
        "targets": targets.ravel().tolist(),
        **temperatures(logits, targets),
    }


if __name__ == "__main__":
    cases = [
        case("too sure", 80, [2.5, 2.5], 1),
        case("too sure and not sure enough", 80, [3.0, 0.4, 1.0], 2),
        case("few rows", 22, [2.0, 2.0], 3),
    ]
    Path("goldens/calibration.json").write_text(json.dumps({"cases": cases}) + "\n")
