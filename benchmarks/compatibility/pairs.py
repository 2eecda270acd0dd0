"""JSON whose keys may stand twice and whose numbers are written as they were meant."""

import json


class Pairs(list):
    """A JSON object as pairs, so that a key may stand twice."""

    def get(self, key, default=None):
        return next((value for name, value in self if name == key), default)


class Raw(str):
    """A value as it is to be written, which json would write otherwise: 1e30, 40.0, 007."""


def parse(data):
    return json.loads(data, object_pairs_hook=lambda pairs: Pairs([k, v] for k, v in pairs))


def dumps(value, newline=None):
    """As json.dumps does, on one line, or with `newline = "\\n"` as with indent=2."""
    if isinstance(value, dict):
        value = Pairs([k, v] for k, v in value.items())
    if isinstance(value, Raw):
        return str(value)
    if not isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    inner = newline and newline + "  "
    if isinstance(value, Pairs):
        parts = [f"{json.dumps(str(key), ensure_ascii=False)}: {dumps(item, inner)}" for key, item in value]
    else:
        parts = [dumps(item, inner) for item in value]
    start, end = "{}" if isinstance(value, Pairs) else "[]"
    if newline and parts:
        return start + inner + ("," + inner).join(parts) + newline + end
    return start + ", ".join(parts) + end
