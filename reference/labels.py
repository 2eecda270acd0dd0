"""Tables of labels as pandas writes them, and the targets that scikit-learn makes of these labels.

Every table holds the same five rows. Writes `goldens/labels.json`: the tables' text by name and format, and the
targets of those whose names begin with `soft`, of `one-id-with-a-gap`, and of all others.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.preprocessing import MultiLabelBinarizer

LABELS = ["joy", "anger", "fear", "love"]
TEXTS = ["a", "b, c", "d", 'e "f"', "g"]
ROWS = [["anger"], ["joy", "love"], [], ["joy", "anger", "fear", "love"], ["fear"]]
SOFT = [[0.0, 0.75, 0.25, 0.0], [1.0, 0.0, 0.0, 0.5], [0.0] * 4, [1.0] * 4, [0.0, 0.125, 0.5, 0.0]]


def main() -> None:
    tables = {}
    binary = MultiLabelBinarizer(classes=LABELS).fit_transform(ROWS)
    ids = [[LABELS.index(name) for name in row] for row in ROWS]
    columns = {
        "names-list": ROWS,
        "names-joined": [",".join(row) for row in ROWS],
        "names-set": [set(row) if row else [] for row in ROWS],
        "names-numpy": [np.array(row, dtype=str) for row in ROWS],
        "ids-list": ids,
        "ids-numpy-scalars": [[np.int64(one) for one in row] for row in ids],
        "ids-joined": [",".join(map(str, row)) for row in ids],
        "multi-hot-list": binary.tolist(),
        "multi-hot-numpy": list(binary),
        "multi-hot-numpy-float": list(binary.astype(np.float32)),
        "multi-hot-tuple": [tuple(row) for row in binary.tolist()],
        "multi-hot-bool": binary.astype(bool).tolist(),
        "multi-hot-joined": [",".join(map(str, row)) for row in binary.tolist()],
        "soft-list": SOFT,
        "soft-numpy": [np.array(row) for row in SOFT],
        "soft-dictionary": [dict(zip(LABELS, row)) for row in SOFT],
    }
    def write(name: str, table: pd.DataFrame) -> None:
        tables[name] = {"csv": table.to_csv(index=False), "tsv": table.to_csv(index=False, sep="\t")}
        if "set" not in name:  # of which JSON has none
            tables[name]["jsonl"] = table.to_json(orient="records", lines=True)
            tables[name]["json"] = table.to_json(orient="records")

    for name, labels in columns.items():
        write(name, pd.DataFrame({"text": TEXTS, "labels": labels}))
    for name, values in {"multi-hot": binary, "bool": binary.astype(bool), "soft": SOFT}.items():
        table = pd.DataFrame(values, columns=LABELS)
        table.insert(0, "text", TEXTS)
        write(f"{name}-columns", table)
    # One id a row, in a column that has a gap: pandas makes floats of it.
    one = pd.DataFrame({"text": TEXTS, "labels": pd.Series([1, 3, None, 0, 2])})
    tables["one-id-with-a-gap"] = {"csv": one.to_csv(index=False)}
    expected = {
        "hard": binary.astype(float).tolist(),
        "soft": SOFT,
        "one": [[float(label == one) for label in range(4)] for one in [1, 3, None, 0, 2]],
    }
    golden = {"labels": LABELS, "expected": expected, "tables": tables}
    Path("goldens/labels.json").write_text(json.dumps(golden, indent=1) + "\n")


main()
