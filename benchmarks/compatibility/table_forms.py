"""Undamaged tables: the same rows in several formats, with their labels written in several ways."""

import csv
import io

import pairs

LABELS = ["joy", "anger", "fear", "love", "neutral"]

ROWS = [  # texts, and the probabilities of LABELS
    ("I love you, but I hate this", [1, 1, 0, 0, 0]),
    ('She said "hi; bye"', [0, 0, 1, 0, 0]),
    ("Café naïve, über", [0, 0, 0, 1, 1]),
    ("nobody knows", [0, 0, 0, 0, 0]),
    ("two lines\nin one text", [0, 1, 0, 1, 0]),
    ("😀 it's 1,5 or 2.5", [1, 0, 0, 0, 0]),
    ("plain", [0, 0, 0, 0, 1]),
    ("[NAME] = fine", [0, 0, 1, 1, 0]),
    ("last one", [1, 0, 1, 0, 1]),
]
SOFT = [0.25, 0.5, 0.75, 1.0, 0.125]


class Form:
    """A format and a way of writing labels."""

    def __init__(self, extension, style, header=True, has_list=True, third=False):
        self.extension, self.style, self.header, self.has_list, self.third = extension, style, header, has_list, third
        self.name = (
            f"{extension} {style}" + ("" if header else " without header") + ("" if has_list else " without list")
        )

    def rows(self):
        """The header and the cells of each row, or objects."""
        rows = []
        for i, (text, targets) in enumerate(ROWS):
            if self.extension == "tsv":
                text = text.replace("\n", " ")
            ids = [label for label, target in enumerate(targets) if target]
            names = [LABELS[label] for label in ids]
            soft = [SOFT[(i + label) % 5] * target for label, target in enumerate(targets)]
            is_json = self.extension in ("jsonl", "json")
            labels = {
                "ids": ids if is_json else ",".join(map(str, ids)),
                "names": names if is_json else ",".join(names),
                "printed": str(names),
                "multi-hot": targets if is_json else str(targets),
                "soft": dict(zip(LABELS, soft, strict=True)),
            }.get(self.style)
            columns = {"columns": targets, "soft columns": soft}.get(self.style)
            beside = dict(zip(LABELS, columns, strict=True)) if columns else {"labels": labels}
            row = {"text": text, **beside} | ({"id": f"e{i:06}"} if self.third else {})
            rows.append(row if is_json else [str(cell) for cell in row.values()])
        if self.extension in ("jsonl", "json"):
            return None, rows
        names = ["text", *(LABELS if self.style.endswith("columns") else ["labels"])] + (["id"] if self.third else [])
        return (names if self.header else None), rows


FORMS = [
    Form("csv", "ids", third=True),
    Form("csv", "names"),
    Form("csv", "printed", third=True),
    Form("csv", "multi-hot"),
    Form("csv", "columns"),
    Form("csv", "soft columns", third=True),
    Form("csv", "names", has_list=False),
    Form("tsv", "ids"),
    Form("tsv", "ids", header=False, third=True),
    Form("tsv", "names", third=True),
    Form("tsv", "columns"),
    Form("jsonl", "ids"),
    Form("jsonl", "names", third=True),
    Form("jsonl", "multi-hot"),
    Form("jsonl", "soft"),
    Form("jsonl", "columns"),
    Form("json", "names"),
    Form("json", "multi-hot"),
]


def write_table(header, rows, delimiter=",", end="\n", quoting=csv.QUOTE_MINIMAL, quotechar='"'):
    out = io.StringIO()
    options = {"escapechar": "\\"} if quoting == csv.QUOTE_NONE else {}
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting, quotechar=quotechar, **options)
    writer.writerows(([header] if header else []) + rows)
    return out.getvalue()


def write(form, header=None, rows=None):
    if rows is None:
        header, rows = form.rows()
    if form.extension == "jsonl":
        return "".join(pairs.dumps(row) + "\n" for row in rows)
    if form.extension == "json":
        return "[\n" + ",\n".join(pairs.dumps(row) for row in rows) + "\n]\n"
    return write_table(header, rows, delimiter="\t" if form.extension == "tsv" else ",")
