"""Damage to tables: to cells, columns and objects, and to the way in which the same rows are written."""

import codecs
import csv
import json

import mutations
import pairs
from table_forms import write, write_table

CELLS = ["0", "4", "1,2", "0,1,0,0,0", "[0, 1, 0, 0, 0]", "[0 1 0 0 0]", "[1.0, 0.0, 0.0, 0.0, 0.0]", "[0, 1]", "3.0"]
CELLS += [
    "joy,",
    ",joy",
    "joy;love",
    "joy|love",
    "joy love",
    "JOY",
    "Joy",
    " joy ",
    "",
    " ",
    "nan",
    "NaN",
    "None",
    "null",
]
CELLS += ["-1", "5", "99", "1e0", "true", "True", "False", "['joy']", '["joy", "love"]', "('joy', 'love')", "joy,joy"]
CELLS += ["1,1", "0.5", "0,5", "1.5", "[1]", "[]", "[[1]]", "{'joy': 1}", "#N/A", "inf", "0x1", "\u0661", "1.", "+1"]
CELLS += ["joy, love", "joy,love,", "[True, False, False, False, False]", "01", "1 ", "yes", "no", "x", "joy\n", "1;2"]
TEXTS = ["", " ", "a\nb", 'say "hi"', "x,y", "x;y", "x\ty", "=1+1", "\ufeffx", "null", "NaN", "x\r", "x\x00y", "\u2028"]
TEXTS += ["'quoted'", "#comment", "text", "\\", '"', "x" * 70000, " lead", "tail ", "a\r\nb", "\u0085", '"a"b', "\x1a"]
NAMES = [
    "text",
    "Text",
    "TEXT",
    " text ",
    "tweet",
    "labels",
    "Labels",
    "label",
    "id",
    "",
    "joy",
    "JOY",
    "text.1",
    "\ufefftext",
]
VALUES = [
    0,
    1,
    2,
    4,
    5,
    -1,
    1.0,
    0.5,
    1.5,
    True,
    False,
    None,
    "joy",
    "JOY",
    "",
    "0",
    "nan",
    [],
    {},
    [0],
    [1],
    ["joy"],
    [None],
]
VALUES += [
    [0, 1, 0, 0, 0],
    [0.0, 1.0, 0.0, 0.0, 0.0],
    [True, False, False, False, False],
    [0, 1, 0, 0],
    [0, 0],
    ["joy", "joy"],
]
VALUES += [["joy", 1], [["joy"]], {"joy": 0.5}, {"joy": 2}, {"JOY": 1, "joy": 0.5}, {"0": 1}, {"x": 1}, {"joy": True}]
VALUES += ["joy,love", "[0, 1, 0, 0, 0]", [1.0], [3.5], ["1"], "['joy']", pairs.Raw("NaN"), pairs.Raw("1e999")]


def cells_damaged(form, rng):
    """A change to cells, columns or the header, written as it should be written."""
    header, rows = form.rows()
    width = len(rows[0])
    way = rng.choice(
        [
            "label",
            "label",
            "label",
            "labels",
            "text",
            "text",
            "name",
            "name",
            "two names",
            "swap columns",
            "drop column",
        ]
        + ["drop cell", "extra cell", "extra cell", "extra cells", "empty cells", "row", "header again", "no header"]
    )
    row = rng.choice(rows)
    column = rng.randrange(width)
    said = f"row {rows.index(row) + 1}"
    if way == "label":
        column = rng.randrange(1, width - form.third)
        row[column] = rng.choice(CELLS)
        said += f", column {column + 1} = {row[column]!r}"
    elif way == "labels":
        column, cell = rng.randrange(1, width - form.third), rng.choice(CELLS)
        for row in rows:
            row[column] = cell
        said = f"column {column + 1} = {cell!r}"
    elif way == "text":
        row[0] = rng.choice(TEXTS)
        said += f" = {row[0][:20]!r}"
    elif way in ("name", "two names") and header:
        said = f"column {column + 1}, {header[column]!r}"
        header[column] = rng.choice(NAMES)
        said += f" to {header[column]!r}"
        if way == "two names":
            header.append(rng.choice(header))
            rows = [row + [rng.choice(["x", row[0], row[1]])] for row in rows]
            said += f", again {header[-1]!r}"
    elif way == "swap columns":
        other = rng.randrange(width)
        for row in [*rows, *([header] if header else [])]:
            row[column], row[other] = row[other], row[column]
        said = f"{column + 1} and {other + 1}"
    elif way == "drop column":
        for row in [*rows, *([header] if header else [])]:
            del row[column]
        said = f"{column + 1}"
    elif way == "drop cell":
        del row[column]
    elif way == "extra cell":
        row.insert(rng.choice([column, width]), rng.choice(["", "x", "joy", "0", "1"]))
    elif way == "extra cells":
        cell = rng.choice(["", "x", "1"])
        rows = [row + [cell] for row in rows]
        said = repr(cell)
    elif way == "empty cells":
        row[:] = [""] * rng.choice([0, 1, width])
    elif way == "row":
        change = rng.choice(["drop", "twice", "swap"])
        said += " " + change
        if change == "drop":
            rows.remove(row)
        elif change == "twice":
            rows.append(row)
        else:
            rows.reverse()
    elif way == "header again":
        rows.insert(rng.randrange(len(rows)), header or ["text", "labels"])
    else:
        header = None if header else ["text", "labels", "id"][:width]
    return way, said, write(form, header, rows).encode("utf-8", "surrogatepass")


def objects_damaged(form, rng):
    """A change to the objects of JSON."""
    _, rows = form.rows()
    rows = [pairs.parse(json.dumps(row)) for row in rows]
    row = rng.choice(rows)
    pair = rng.choice(row)
    said = f"row {rows.index(row) + 1}, {pair[0]}"
    way = rng.choice(
        ["value"] * 4 + ["text", "key", "key", "all keys", "twice", "twice", "twice", "drop", "more", "one value"]
    )
    if way == "value":
        pair = rng.choice(row[1:])
        pair[1] = rng.choice(VALUES)
        said = f"row {rows.index(row) + 1}, {pair[0]} = {pairs.dumps(pair[1])}"
    elif way == "text":
        row[0][1] = rng.choice([*TEXTS, *VALUES, pairs.Raw('"a\\ud83db"'), pairs.Raw('"\\u0000"')])
        said += f", text = {pairs.dumps(row[0][1])[:40]}"
    elif way == "key":
        pair[0] = rng.choice([*NAMES, mutations.misspell(pair[0], rng)])
        said += f" to {pair[0]!r}"
    elif way == "all keys":
        at = rng.randrange(len(row))
        name = rng.choice(NAMES)
        for row in rows:
            row[at][0] = name
        said = f"key {at + 1} to {name!r}"
    elif way == "twice":
        value = rng.choice([pair[1], rng.choice(VALUES), "other"])
        name = rng.choice([pair[0], pair[0], pair[0].upper(), pair[0].title()])
        if isinstance(pair[1], pairs.Pairs) and rng.random() < 0.6:
            pair[1].append([rng.choice(["joy", "JOY", "love"]), 0.9])
        else:
            row.insert(rng.choice([0, len(row)]), [name, value])
            said += f" again as {name}, {pairs.dumps(value)}"
    elif way == "drop":
        row.remove(pair)
    elif way == "more":
        row.insert(rng.randrange(len(row) + 1), [rng.choice(NAMES), rng.choice(VALUES)])
    else:
        value = rng.choice(VALUES)
        for row in rows:
            row[1][1] = value
        said = f"{rows[0][1][0]} = {pairs.dumps(value)} in all rows"
    return way, said, write(form, None, rows).encode("utf-8", "surrogatepass")


def written_damaged(form, rng):
    """The same rows written in another way: separators, quotes, ends of lines, encodings, layout."""
    header, rows = form.rows()
    text = write(form)
    if form.extension in ("jsonl", "json"):
        way = rng.choice(
            ["pretty", "array", "lines", "one line", "single quotes", "commas", "blank lines"] + ENCODINGS + ENDS
        )
        lines = [pairs.dumps(row) for row in rows]
        text = {
            "pretty": "\n".join(pairs.dumps(row, "\n") for row in rows),
            "array": "[" + ",".join(lines) + "]",
            "lines": "\n".join(lines),
            "one line": " ".join(lines),
            "single quotes": text.replace('"', "'"),
            "commas": ",\n".join(lines) + ",\n",
            "blank lines": "\n\n".join(lines) + "\n\n\n",
        }.get(way, text)
    else:
        own = "\t" if form.extension == "tsv" else ","
        way = rng.choice(
            [
                "separator",
                "separator",
                "raw separator",
                "quote all",
                "no quotes",
                "apostrophes",
                "backslash",
                "stray quote",
            ]
            + ["lost quote", "blank lines", "comment", "sep=", "title", "spaces", "trailing", "bars", "twice"]
            + ENCODINGS
            + ENDS
        )
        other = rng.choice([c for c in ",;\t|" if c != own])
        at = rng.randrange(len(text))
        if way == "separator":
            text = write_table(header, rows, delimiter=other)
            way += f" {other!r}"
        elif way == "raw separator":
            text = text.replace(own, other)
        elif way == "quote all":
            text = write_table(header, rows, delimiter=own, quoting=csv.QUOTE_ALL)
        elif way == "no quotes":
            text = text.replace('"', "")
        elif way == "apostrophes":
            text = write_table(header, rows, delimiter=own, quotechar="'")
        elif way == "backslash":
            text = write_table(header, rows, delimiter=own, quoting=csv.QUOTE_NONE)
        elif way == "stray quote":
            text = text[:at] + '"' + text[at:]
        elif way == "lost quote":
            places = [i for i, c in enumerate(text) if c == '"']
            at = rng.choice(places or [at])
            text = text[:at] + text[at + 1 :]
        elif way == "blank lines":
            text = "\n" * rng.randrange(3) + text.replace("\n", "\n\n") + rng.choice(["", "\n", " \n"])
        elif way == "comment":
            text = "# a comment\n" + text
        elif way == "sep=":
            text = f"sep={other}\n" + write_table(header, rows, delimiter=other)
        elif way == "title":
            text = "My table\n" + text
        elif way == "spaces":
            text = text.replace(own, own + " ")
        elif way == "trailing":
            text = text.replace("\n", own + "\n")
        elif way == "bars":
            text = "\n".join("|" + line + "|" for line in text.split("\n"))
        elif way == "twice":
            text += text
    if way in ENCODINGS:
        return way, "", encoded(text, way, rng)
    if way in ENDS:
        if way == "CR behind quotes" and form.extension in ("csv", "tsv"):
            text = write_table(header, rows, delimiter="\t" if form.extension == "tsv" else ",", quoting=csv.QUOTE_ALL)
        end = {"CR": "\r", "mixed": "\r\n", "no end": "\n"}.get(way, "\r\n")
        places = [i for i, c in enumerate(text) if c == "\n"]
        chosen = set(rng.sample(places, len(places) // 2)) if way == "mixed" else set(places)
        text = "".join(end if i in chosen else c for i, c in enumerate(text))
        text = text.rstrip("\n") if way == "no end" else text
    return way, "", text.encode()


ENCODINGS = [
    "UTF-8 BOM",
    "UTF-16",
    "UTF-16 BE",
    "UTF-16 no mark",
    "Latin-1",
    "cp1252",
    "UTF-16 cut",
    "surrogate",
    "UTF-32",
]
ENDS = ["CRLF", "CR", "mixed", "no end", "CR behind quotes"]


def encoded(text, way, rng):
    if way == "surrogate":
        at = rng.randrange(len(text))
        return codecs.BOM_UTF16_LE + (text[:at] + "\ud83d" + text[at:]).encode("utf-16-le", "surrogatepass")
    return {
        "UTF-8 BOM": lambda: text.encode("utf-8-sig"),
        "UTF-16": lambda: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        "UTF-16 BE": lambda: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        "UTF-16 no mark": lambda: text.encode("utf-16-le"),
        "Latin-1": lambda: text.encode("latin-1", "replace"),
        "cp1252": lambda: text.replace("Café", "“Café” – 5 €").encode("cp1252", "replace"),
        "UTF-16 cut": lambda: (codecs.BOM_UTF16_LE + text.encode("utf-16-le"))[: -rng.choice([1, 3, 20])],
        "UTF-32": lambda: text.encode("utf-32"),
    }[way]()
