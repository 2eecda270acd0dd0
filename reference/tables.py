"""Writes goldens/tables.json: what pandas reads of tables that are easily misread, and Python's codecs."""

import io
import json
import warnings

import pandas as pd

CSV = {
    "commas in the only column": "text\nI love you, but I hate this\n",
    "commas in one row of the only column": "text\nfine\nI love you, but I hate this\n",
    "a cell too many": "text,labels\nfine,joy\nhello,joy,love\n",
    "a cell too many in each row": "text,labels\nhello,joy,love\n",
    "an empty cell behind each row": "text,labels\nhello,joy,\nmeh,anger,\n",
    "empty cells behind one row": "text,labels\nfine,joy\nhello,joy,,\n",
    "columns without names": "text,labels,,\nhello,joy,,\n",
    "text under columns without names": "text,,\nI love you, but I hate this,\n",
    "a quoted return": 'labels,text\njoy,"abc\r"\njoy,d\n',
    "a quoted return before CRLF": 'labels,text\r\njoy,"abc\r"\r\njoy,d\r\n',
    "a quoted CRLF": 'labels,text\r\njoy,"abc\r\n"\r\njoy,d\r\n',
    "blank lines": "text,labels\na,joy\n\n   \nb,love\n",
    "blank lines of one column": 'text\na\n\n  \n""\nb\n',
    "rows of separators": "text,labels\na,joy\n,\n",
    "short rows": "text,labels,id\na,joy\nb,love,2\n",
    "a short row without its text": "id,text\n1\n2,b\n",
    "two columns of one name": "text,text\na,b\n",
    "returns": 'text,labels\r"a, b",joy\rc,love\r',
    "returns around quoted ends of lines": 'text,labels\r"a\nb",joy\r"c\rd",love\r"e\r\nf",love',
    "returns alone and blank lines": "text,labels\r\ra,joy\r \rb,love\r\r",
    "sep": "sep=;\ntext;labels\na;joy\n",
}

JSON = {
    "array": '[{"text": "a"},\n {"text": "b, [c]"}]',
    "lines": '{"text": "a"}\n{"text": "b"}\n',
    "repeated name": '[{"text": "a", "text": "b"}]',
}


def read_csv(text, **options):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            source = io.StringIO(text, newline="")
            table = pd.read_csv(source, dtype=str, keep_default_na=False, **options)
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        return {"error": str(error).strip().removeprefix("Error tokenizing data. C error: ")}
    shifted = not isinstance(table.index, pd.RangeIndex)
    return {"rows": table.to_dict("records"), "shifted": shifted}


def read_json(text):
    return pd.read_json(io.StringIO(text), lines=text.startswith("{")).to_dict("records")


def codec(name):
    characters = []
    for byte in range(256):
        try:
            characters.append(bytes([byte]).decode(name))
        except UnicodeDecodeError:
            characters.append(None)
    return characters


frame = pd.DataFrame({"text": ["a", "b"], "labels": ["joy", "love"]})
orients = ["split", "index", "columns", "values", "table", "records"]
goldens = {
    "pandas": pd.__version__,
    "csv": [
        {
            "name": name,
            "file": text,
            "default": read_csv(text),
            "index_col=False": read_csv(text, index_col=False),
        }
        for name, text in CSV.items()
    ],
    "json": [{"name": name, "file": text, "rows": read_json(text)} for name, text in JSON.items()],
    "orients": {orient: frame.to_json(orient=orient) for orient in orients},
    "codecs": {name: codec(name) for name in ["latin-1", "cp1252"]},
}
with open("goldens/tables.json", "w", encoding="utf-8") as file:
    json.dump(goldens, file, ensure_ascii=True, indent=1)
    file.write("\n")
