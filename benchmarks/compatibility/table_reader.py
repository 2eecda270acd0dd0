"""The reference's reading of a table: Python's csv and json modules, and what labels mean in a form.

What has no plain meaning is `Unclear`, and must be an error: a row with more cells than the header, a repeated column
or key, NaN or nothing where a number should be, half a surrogate pair.
"""

import codecs
import csv
import io
import json
import re

from table_forms import LABELS

csv.field_size_limit(1 << 27)
LONE_CR = "\ue000"


class Unclear:
    """A row, or labels, without a plain meaning; `is_error` where even the undamaged reading would be wrong."""

    def __init__(self, why, is_error=False):
        self.why, self.is_error = why, is_error

    def __repr__(self):
        return f"unclear: {self.why}"


def decode(data):
    """The text of a file; bytes that are not its encoding become lone surrogates."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise ValueError("UTF-32")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        if len(data) % 2:
            raise ValueError("UTF-16 that ends within a character")
        order = "utf-16-le" if data.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
        return data[2:].decode(order, "surrogatepass")
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def has_surrogate(text):
    return any(0xD800 <= ord(character) < 0xE000 for character in text)


def position(header, name):
    """The column of a name; case counts only where names differ by it alone.."""
    exact = [i for i, column in enumerate(header) if column.strip() == name]
    loose = [i for i, column in enumerate(header) if column.strip().lower() == name.lower()]
    if len(exact) > 1 or (not exact and len(loose) > 1):
        return Unclear(f"two columns {name!r}", is_error=True)
    return (exact or loose or [None])[0]


class Reader:
    """Reads a file of a form as its maker meant it."""

    def __init__(self, form, is_labelled, keeps_blank=False):
        self.form, self.style = form, form.style
        self.is_labelled, self.keeps_blank = is_labelled, keeps_blank
        self.free = {}  # labels without a list, by their lower-cased names

    def read(self, data):
        """A list of (text, targets) or Unclear; Unclear for the whole file where there is no such list."""
        try:
            text = decode(data)
            read = {"json": self.json, "jsonl": self.jsonl}.get(self.form.extension, self.table)
            rows = read(text)
            if self.style == "multi-hot" and all(isinstance(row, Unclear) for row in rows):
                self.style = "ids"  # damage to all rows may make them that
                rows = read(text)
        except (ValueError, csv.Error) as error:
            return Unclear(str(error))
        return rows

    def table(self, text):
        lines = text.split("\n")
        candidates = ",;\t"
        if lines[0].strip().lower().startswith("sep=") and len(lines[0].strip()) == 5:
            candidates, text = lines[0].strip()[-1], "\n".join(lines[1:])
        elif self.form.extension == "tsv":
            candidates = "\t"
        if "\n" in text:
            # The csv module ends a record at any CR. Where others end at LF, one within a cell is part of it.
            text = re.sub("\r(?!\n)", LONE_CR, text)
        header, records = None, []
        for delimiter in candidates:
            records = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            # As in pandas, a line of blanks is no row; one of two quotes is, and looks the same here.
            records = [row for row in records if len(row) > 1 or any(map(str.strip, row)) or (row and self.keeps_blank)]
            records = [[cell.replace(LONE_CR, "\r") for cell in row] for row in records]
            if not records:
                break
            if position(records[0], "text") is not None and (not self.is_labelled or self.label_columns(records[0])):
                header, records = records[0], records[1:]
                break
        if header is None:
            if self.form.extension != "tsv" or (self.is_labelled and not records):
                raise ValueError("no header")
            return [self.published(row) for row in records]
        column = position(header, "text")
        columns = self.label_columns(header) if self.is_labelled else []
        if isinstance(column, Unclear) or any(isinstance(c, Unclear) for c in columns):
            return [Unclear("two columns of a name", True) for _ in records]
        return [self.record(row, header, column, columns) for row in records]

    def published(self, row):
        """A row without a header: text, labels and whatever follows."""
        if not self.is_labelled:
            return self.row(row[0], {})
        return self.row(row[0], self.cell(row[1])) if len(row) > 1 else Unclear("one cell", is_error=True)

    def record(self, row, header, column, columns):
        if any(row[len(header) :]):  # spreadsheets write empty cells behind a row
            return Unclear("more cells than the header", is_error=True)
        if max([column, *columns]) >= len(row):
            return Unclear("fewer cells than the header", is_error=True)
        if not self.is_labelled:
            return self.row(row[column], {})
        if position(header, "labels") is not None:
            return self.row(row[column], self.cell(row[columns[0]]))
        targets = [self.number(row[c]) for c in columns]
        unclear = next((target for target in targets if isinstance(target, Unclear)), None)
        return self.row(row[column], unclear or dict(zip(LABELS, targets, strict=True)))

    def label_columns(self, header):
        """The columns of the labels; none where the header lacks them."""
        one = position(header, "labels")
        if one is not None:
            return [one]
        each = [position(header, label) for label in LABELS]
        return [] if None in each or not self.form.has_list else each

    def row(self, text, targets):
        if not isinstance(text, str):
            return Unclear("no text", is_error=True)
        if has_surrogate(text):
            return Unclear("bytes that are not the encoding, or half a character", is_error=True)
        if isinstance(targets, Unclear):
            return targets
        return text, {label: target for label, target in targets.items() if target}

    def number(self, cell):
        cell = cell.strip().lower()
        try:
            number = {"true": 1.0, "false": 0.0}[cell] if cell in ("true", "false") else float(cell.replace(",", "."))
        except ValueError:
            return Unclear(f"{cell!r} is no number", is_error=True)
        return number if 0 <= number <= 1 else Unclear(f"{cell!r} is no probability", is_error=True)

    def cell(self, cell):
        """The labels of a cell: a printed list or labels between commas."""
        inner = cell.strip()
        if inner[:1] + inner[-1:] in ("[]", "()"):
            inner = inner[1:-1]
            parts = inner.split(",") if "," in inner else inner.split()
            parts = [part.strip().strip("'\"") for part in parts]
        else:
            parts = [part.strip() for part in inner.split(",")]
        if self.style == "multi-hot":
            return self.multi_hot([self.number(part) for part in parts]) if parts != [""] else Unclear("empty", True)
        while parts and not parts[-1]:
            parts.pop()
        return self.names(parts)

    def names(self, parts):
        """Targets of labels or ids."""
        hot = [str(part).removesuffix(".0") for part in parts]
        if len(parts) == len(LABELS) and set(hot) <= {"0", "1", "True", "False"}:
            return Unclear("ids, or multi-hot", is_error=True)
        targets = {}
        for part in parts:
            label = self.label(part)
            if isinstance(label, Unclear):
                return label
            if label in targets and str(part).strip().lower() != label.lower():
                return Unclear("an id twice", is_error=True)
            targets[label] = 1.0
        return targets

    def label(self, part):
        if isinstance(part, bool) or not isinstance(part, (str, int, float)):
            return Unclear(f"{part!r} is no label", is_error=True)
        name = str(part).strip()
        if not self.form.has_list:
            if not name or name.lower() in ("nan", "none", "null") or not name.strip("+-.0123456789eE"):
                return Unclear(f"{name!r} is no name", is_error=True)
            if self.free.setdefault(name.lower(), name) != name:
                return Unclear(f"{name!r} and {self.free[name.lower()]!r}", is_error=True)
            return name
        if name.lower() in LABELS:
            return name.lower()
        try:
            number = float(name)
        except ValueError:
            number = -1
        if number in range(len(LABELS)) and (self.style == "ids" or self.form.has_list):
            return LABELS[int(number)]
        return Unclear(f"{name!r} is no label", is_error=True)

    def multi_hot(self, values):
        unclear = next((value for value in values if isinstance(value, Unclear)), None)
        if unclear or len(values) != len(LABELS):
            return unclear or Unclear(f"{len(values)} numbers", is_error=True)
        return dict(zip(LABELS, values, strict=True))

    def json(self, text):
        """An array of objects, or objects one after another."""
        decoder, values = self.decoder(), []
        try:
            while text := text.lstrip(" \t\r\n"):
                value, end = decoder.raw_decode(text)
                values, text = [*values, value], text[end:]
        except ValueError:
            return self.jsonl(text)
        if len(values) == 1 and isinstance(values[0], list) and values[0]:
            values = values[0]
        return [self.object(value) for value in values]

    def jsonl(self, text):
        rows = []
        for line in text.split("\n"):
            if line.strip(" \t\r"):
                try:
                    rows.append(self.object(self.decoder().decode(line)))
                except ValueError:
                    rows.append(Unclear("no JSON", is_error=True))
        return rows

    def decoder(self):
        """Python's decoder, for which a key that stands twice and NaN are wrong."""

        def pairs(found):
            names = [name for name, _ in found]
            return dict(found) if len(set(names)) == len(names) else Unclear("a key twice", is_error=True)

        def no_number(name):
            raise ValueError(f"{name} is no JSON")

        return json.JSONDecoder(object_pairs_hook=pairs, parse_constant=no_number)

    def field(self, row, name):
        """The value of a field; case counts only where two names differ by it alone."""
        loose = [key for key in row if key.lower() == name.lower()]
        if name not in row and len(loose) > 1:
            return Unclear(f"two fields {name!r}", is_error=True)
        return row[name] if name in row else row[loose[0]] if loose else None

    def object(self, row):
        if isinstance(row, Unclear):
            return row
        if not isinstance(row, dict):
            return Unclear("no object", is_error=True)
        text = self.field(row, "text")
        if not self.is_labelled:
            return self.row(text, {})
        return self.row(text, self.targets(row))

    def targets(self, row):
        value = self.field(row, "labels")
        if isinstance(value, Unclear):
            return value
        if value is None and "labels" not in {key.lower() for key in row}:
            fields = [self.field(row, label) for label in LABELS]
            return self.multi_hot([self.probability(value) for value in fields])
        if isinstance(value, dict):
            targets = {}
            for name, probability in value.items():
                label, target = self.label(name), self.probability(probability)
                unclear = next((each for each in (label, target) if isinstance(each, Unclear)), None)
                if unclear or label in targets:
                    return unclear or Unclear("a label twice", is_error=True)
                targets[label] = target
            return targets
        if isinstance(value, list):
            if self.style == "multi-hot":
                return self.multi_hot([self.probability(each) for each in value])
            return self.names(value)
        if isinstance(value, str):
            return self.cell(value)
        if self.style == "multi-hot" or value is None:
            return Unclear("no list", is_error=True)
        return self.names([value])

    def probability(self, value):
        if isinstance(value, Unclear):
            return value
        if isinstance(value, (bool, int, float, str)):
            return self.number(str(value))
        return Unclear(f"{value!r} is no number", is_error=True)
