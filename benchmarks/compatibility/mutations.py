"""Damage to JSON files of a model: to their structure, to the values of known fields, and to their bytes.

`mutate(name, data, rng)` returns what the mutation is (a kind and a description) and the new bytes, or for `Place`
what stands in the file's place. Every choice comes from `rng`.
"""

import json
import os
import random

from known import KNOWN
from pairs import Pairs, Raw, dumps, parse

EMOJI = "\N{GRINNING FACE}"
ANY = [None, True, False, 0, 1, -1, 2, 3, 7, 128, 1 << 31, 1 << 63, Raw("1e30"), Raw("0.5"), Raw("-0.0"), Raw("1e999")]
ANY += ["", "x", "None", "null", "true", "0", "bert", "[UNK]", "\x00", EMOJI, [], {}, [None], {"x": 1}, ["x", "y"]]
UNKNOWN = ["foo", "use_cache", "_name_or_path", "transformers_version", "note", "comment", "vocab", "type", "x" * 300]


def set_path(value, path, new):
    """Sets what stands at `a/b/2`, making absent keys; returns whether it could."""
    keys = path.split("/")
    for depth, key in enumerate(keys):
        last = depth + 1 == len(keys)
        if isinstance(value, Pairs):
            pair = next((pair for pair in value if pair[0] == key), None)
            if pair is None:
                pair = [key, Pairs()]
                value.append(pair)
            if last:
                pair[1] = new
            value = pair[1]
        elif isinstance(value, list) and key.isdigit():
            if int(key) >= len(value):
                value.append(None)
                key = str(len(value) - 1)
            if last:
                value[int(key)] = new
            value = value[int(key)]
        else:
            return False
    return True


def semantic(name, value, rng):
    """A known field with a value that could have been meant; sometimes two fields."""
    said = []
    for _ in range(1 if rng.random() < 0.8 else 2):
        path = rng.choice(list(KNOWN[name]))
        new = rng.choice(KNOWN[name][path])
        if set_path(value, path, new):
            said.append(f"{path} = {dumps(new)}")
    return "known field", " and ".join(said)


def walk(value, rng):
    """A random place below the root: its parent and its index, and its path. Each branch is as likely as another."""
    path = []
    while True:
        if not value:
            return None
        index = rng.randrange(len(value))
        pairs = isinstance(value, Pairs)
        path.append(str(value[index][0] if pairs else index))
        child = value[index][1] if pairs else value[index]
        if not isinstance(child, list) or not child or rng.random() < 0.35:
            return value, index, "/".join(path)
        value = child


def misspell(key, rng):
    ways = [key + "s", key.upper(), key.replace("_", "-"), key.replace("_", ""), key[:-1], "_" + key, key + " "]
    ways += [key.title().replace("_", ""), key.capitalize(), key.replace("special", "specials")]
    return rng.choice([way for way in ways if way != key])


def other(value, rng):
    """A value near this one: of another type, or a little off."""
    ways = [lambda: rng.choice(ANY), lambda: [value], lambda: {"value": value}]
    if isinstance(value, bool):
        ways += [lambda: not value, lambda: str(value).lower(), lambda: int(value), lambda: None]
    elif isinstance(value, (int, float)):
        ways += [lambda: str(value), lambda: value + rng.choice([-1, 1]), lambda: value * rng.choice([2, 10, -1])]
        ways += [lambda: Raw(f"{float(value)}"), lambda: Raw(f"{value}e0"), lambda: None, lambda: Raw(f"0{value}")]
    elif isinstance(value, str):
        ways += [lambda: value.upper(), lambda: value.lower(), lambda: value + " ", lambda: " " + value, lambda: ""]
        ways += [lambda: value[:-1], lambda: value + "x", lambda: value[::-1], lambda: None, lambda: value * 2]
        ways += [lambda: Raw(json.dumps(value)[:-1] + '\\ud800"')]
    elif isinstance(value, list) and value:
        ways += [lambda: value[:-1], lambda: value[1:], lambda: value[::-1], lambda: value + value[:1]]
        ways = [lambda way=way: way_of(value, way) for way in ways]
    return rng.choice(ways)()


def way_of(value, way):
    """Keeps an object an object."""
    new = way()
    if isinstance(value, Pairs) and isinstance(new, list) and all(isinstance(pair, list) for pair in new):
        return Pairs(new) if all(len(pair) == 2 for pair in new) else new
    return new


def structural(value, rng):
    """A change to the structure at a random place."""
    place = walk(value, rng)
    if place is None:
        return "empty", "nothing to change"
    parent, index, path = place
    pairs = isinstance(parent, Pairs)
    get = lambda i: parent[i][1] if pairs else parent[i]  # noqa: E731

    def put(i, new):
        if pairs:
            parent[i][1] = new
        else:
            parent[i] = new

    ways = ["set"] * 4 + ["near"] * 5 + ["drop"] * 3 + ["twice"] * 2 + ["swap"] * 2 + ["unknown"]
    way = rng.choice(ways + (["rename"] * 2 if pairs else ["move"]))
    if way == "drop":
        del parent[index]
    elif way == "rename":
        parent[index][0] = misspell(parent[index][0], rng)
        path += f" to {parent[index][0]!r}"
    elif way == "set":
        new = rng.choice(ANY)
        put(index, new)
        path += f" = {dumps(new)[:60]}"
    elif way == "near":
        new = other(get(index), rng)
        put(index, new)
        path += f" = {dumps(new)[:60]}"
    elif way == "twice":
        new = get(index) if rng.random() < 0.3 else other(get(index), rng)
        again = [parent[index][0], new] if pairs else new
        parent.insert(rng.choice([index, len(parent)]), again)
        path += f" again, {dumps(new)[:60]}"
    elif way == "swap":
        same = [i for i in range(len(parent)) if i != index and type(get(i)) is type(get(index))]
        with_index = rng.choice(same or [index])
        mine, its = get(index), get(with_index)
        put(index, its)
        put(with_index, mine)
        path += f" with {parent[with_index][0] if pairs else with_index}"
    elif way == "move":
        parent.append(parent.pop(index))
    elif way == "unknown" and pairs:
        key = rng.choice(UNKNOWN)
        parent.insert(index, [key, rng.choice(ANY)])
        path += f" before it {key[:20]!r}"
    else:
        parent.insert(index, rng.choice(ANY))
    return way, path


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 4012\n" % (b"4d" * 32)
HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>Not Found</body></html>\n"


class Place(str):
    """What stands in the place of a file: absent, folder, FIFO, /dev/null, dangling link, link loop."""


def damaged(data, rng):
    """A change to the bytes, or to what stands in the file's place."""
    at = rng.randrange(len(data)) if data else 0
    way = rng.choice(
        [
            "flip",
            "flip",
            "flip",
            "cut",
            "cut",
            "empty",
            "BOM",
            "NUL",
            "not UTF-8",
            "LFS",
            "HTML",
            "UTF-16",
            "CRLF",
            "tail",
        ]
        + ["twice", "blanks", "comment", "comma", "place", "place", "place", "quote", "digit"]
    )
    if way == "flip":
        bit = 1 << rng.randrange(8)
        return way, f"byte {at} by {bit}", data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
    if way == "cut":
        at = rng.choice([at, max(len(data) - 2, 0), len(data) // 2])
        return way, f"to {at} bytes", data[:at]
    if way == "place":
        kind = rng.choice(["absent", "folder", "FIFO", "/dev/null", "dangling link", "link loop", "/dev/zero"])
        return way, kind, Place(kind)
    if way == "digit":
        places = [i for i, byte in enumerate(data) if 48 <= byte <= 57] or [0]
        at = rng.choice(places)
        return way, f"byte {at}", data[:at] + b"%d" % rng.randrange(10) + data[at + 1 :]
    new = {
        "empty": b"",
        "BOM": b"\xef\xbb\xbf" + data,
        "NUL": data[:at] + b"\0" + data[at:],
        "not UTF-8": data[:at] + b"\xe9\xff" + data[at:],
        "LFS": LFS,
        "HTML": HTML,
        "UTF-16": data.decode("utf-8", "replace").encode("utf-16"),
        "CRLF": data.replace(b"\n", b"\r\n"),
        "tail": data + rng.choice([b"x", b"{}", b"\0", b",", b"]"]),
        "twice": data + data,
        "blanks": b" \n\t" * 3 + data + b"\n\n  ",
        "comment": b"// a comment\n" + data,
        "comma": data.rstrip()[:-1] + b",\n" + data.rstrip()[-1:],
        "quote": data.replace(b'"', b"'"),
    }[way]
    return way, f"at {at}" if way in ("NUL", "not UTF-8") else "", new


def lines_mutated(data, rng):
    """A change to the lines of vocab.txt."""
    lines = data.decode().split("\n")[:-1]
    at = rng.randrange(len(lines))
    way = rng.choice(
        ["drop", "blank", "twice", "swap", "CR", "space", "case", "end", "NEL", "special", "no end", "unused"]
    )
    word = lines.index(rng.choice(["love", "hate", "the", "day", "##s", "[NAME]", "[UNK]", "[CLS]", "Café"]))
    ending = "" if way == "no end" else "\n"
    if way == "drop":
        at = rng.choice([at, word])
        gone = lines.pop(at)
        return way, f"{gone!r}", ("\n".join(lines) + ending).encode()
    if way == "blank":
        lines.insert(at, rng.choice(["", " ", "\t"]))
    elif way == "twice":
        lines.insert(rng.choice([at, len(lines)]), lines[word])
    elif way == "swap":
        lines[at], lines[word] = lines[word], lines[at]
    elif way == "CR":
        return way, "", ("\r\n".join(lines) + "\r\n").encode()
    elif way == "space":
        lines[word] = rng.choice([" {}", "{} ", "{}\t", "\u00a0{}", "{}\u2003", "{}\u3000"]).format(lines[word])
    elif way == "case":
        lines[word] = lines[word].swapcase()
    elif way == "end":
        lines += rng.choice([[""], ["", "new"], ["new", "love"], ["x"] * 3])
    elif way == "NEL":
        lines[at] += rng.choice(["\u0085", "\u2028", "\x0b", "\x1c", "\r"]) + "love"
    elif way == "special":
        lines[lines.index(rng.choice(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]))] = rng.choice(
            ["<s>", "[unk]", "x1"]
        )
    elif way == "unused":
        lines[lines.index("[unused0]")] = rng.choice(["lov", "##ve", "[new]", "hated", "\u4e16\u754c"])
    return way, f"line {at + 1}, {lines[min(word, len(lines) - 1)]!r}", ("\n".join(lines) + ending).encode()


def mutate(name, data, rng: random.Random):
    """(kind, description, new bytes or Place)."""
    share = rng.random()
    if share < 0.15:
        return damaged(data, rng)
    if name == "vocab.txt":
        return lines_mutated(data, rng)
    value = parse(data)
    kind, said = semantic(name, value, rng) if share < 0.6 else structural(value, rng)
    if share > 0.93:  # two at once
        kind, more = semantic(name, value, rng)
        said += " and " + more
    return kind, said, (dumps(value, "\n") + "\n").encode("utf-8", "surrogatepass")


def put(path, new):
    """Writes bytes, or sets what stands in the file's place."""
    if path.is_symlink() or path.exists():
        path.unlink()
    if not isinstance(new, Place):
        path.write_bytes(new)
    elif new == "folder":
        path.mkdir()
    elif new == "FIFO":
        os.mkfifo(path)
    elif new.startswith("/dev"):
        path.symlink_to(new)
    elif new == "dangling link":
        path.symlink_to("../blobs/absent")
    elif new == "link loop":
        path.symlink_to(path.name)
