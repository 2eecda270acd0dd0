"""Findings of mutate.py in which tinymood's answer is right, each with the reason.

A finding holds what mutate.py writes with --json; `tinymood`, `undamaged` and `transformers` are answers to one text.
"""

import ast
import json
import re


def names_pooling(case):
    return case["file"] == "config.json" and "tinymood" in case["mutation"] and case["outcome"] == "changed"


def has_no_names(case):
    """Whether labels are LABEL_0, …, with the scores of the undamaged model, and no two labels change places."""
    ours, before = case.get("tinymood"), case.get("undamaged")
    if case["file"] != "config.json" or case["outcome"] != "unconfirmed" or not isinstance(ours, dict):
        return False
    return list(ours) == [f"LABEL_{i}" for i in range(len(before))] and list(ours.values()) == list(before.values())


def is_trimmed(case):
    """Whether answers differ only in blanks around the names of labels."""
    ours, theirs = case.get("tinymood"), case.get("transformers")
    if (
        case["file"] != "config.json"
        or not isinstance(ours, dict)
        or not isinstance(theirs, dict)
        or len(ours) != len(theirs)
    ):
        return False
    stripped = {name.strip(): score for name, score in theirs.items()}
    is_close = all(abs(score - stripped.get(name, 9)) < 2e-3 for name, score in ours.items())
    return is_close and len(ours) == len(theirs)


def is_vector(case):
    """Whether a table's labels were changed to a list that cannot be ids: of truth values, or with a number twice."""
    if case["file"] != "tables" or not str(case["reference"]).startswith("unclear"):
        return False
    found = re.search(r"labels = (\[[^\]]*\])", case["mutation"])
    values = json.loads(found.group(1)) if found else []
    return any(isinstance(value, bool) for value in values) or len(set(values)) < len(values)


def is_mapping(case):
    """Whether a cell was changed to a dictionary of labels and numbers, as pandas writes one."""
    found = re.search(r"= \"(\{.*\})\"$", case["mutation"]) if case["file"] == "tables" else None
    return bool(found) and all(isinstance(value, (int, float)) for value in ast.literal_eval(found.group(1)).values())


ALLOWED = [
    (names_pooling, "`tinymood.pooling` is tinymood's own field: the mean, for which transformers has no head"),
    (has_no_names, "without `id2label` labels are LABEL_0, … as in transformers, which wants `num_labels` too"),
    (is_trimmed, "blanks around a label's name are no part of it, here as in labels.txt"),
    (is_vector, "truth values are no ids, and an id stands once in a row: such a list can only be a vector"),
    (is_mapping, "a cell `{'joy': 1}` has soft targets, with a list of labels or without; the csv reading takes a name"),
]


def reason(case):
    """Why a finding is none, or None."""
    return next((why for is_right, why in ALLOWED if is_right(case)), None)
