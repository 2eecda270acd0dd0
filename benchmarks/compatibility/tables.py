"""Damaged tables, read by `tinymood data show` and `tinymood predict`, and by the csv and json modules."""

import gzip
import json
import random

import mutations
import program
from table_damage import cells_damaged, objects_damaged, written_damaged
from table_forms import FORMS, LABELS, write
from table_reader import Reader, Unclear


class Tables:
    """Damaged tables, read by tinymood and by the reference."""

    def __init__(self, name, folder, binary, memory):
        self.name, self.folder, self.binary, self.memory = name, folder, binary, memory
        self.forms, self.undamaged, self.differing = [], {}, {}
        for form in FORMS:
            place = folder / "undamaged" / form.name.replace(" ", "-")
            self.undamaged[form.name] = {}
            problems = []
            for command in ("data show", "predict"):
                status, rows, stderr = self.answers(form, command, place, write(form).encode())
                theirs = Reader(form, command == "data show").read(write(form).encode())
                assert isinstance(theirs, list) and not any(isinstance(row, Unclear) for row in theirs), (
                    form.name,
                    theirs,
                )
                self.undamaged[form.name][command] = rows
                if status != 0 or len(rows) != len(theirs) or not all(map(same, rows, theirs)):
                    problems.append(f"{command}: {(stderr.strip() or str(rows)).splitlines()[0][:160]}")
            # A form that is read wrongly undamaged tells nothing about damage.
            if problems:
                self.differing[form.name] = problems
            else:
                self.forms.append(form)
        assert self.forms, self.differing

    def form(self, number):
        """The form of a case, which depends on the others only where it is read wrongly itself."""
        form = FORMS[number % len(FORMS)]
        return form if form in self.forms else self.forms[number % len(self.forms)]

    def answers(self, form, command, place, data, compressed=False):
        """The exit status, the rows (text and targets, or an error) and stderr."""
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"data.{form.extension}"
        for old in place.iterdir():
            old.unlink()
        if compressed:
            path = path.with_name(path.name + ".gz")
        path.write_bytes(data)
        if form.has_list:
            (place / "labels.txt").write_text("".join(label + "\n" for label in LABELS))
        if command == "predict":
            arguments = ["predict", "--input", path, "--format", "jsonl", "--threads", "1", "--offline"]
        else:
            arguments = ["data", "show", "--data", path, "--rows", "1000", "--offline"]
        status, out, stderr = program.run(self.binary, arguments, self.memory)
        rows = []
        for line in out.split("\n"):
            row = json.loads(line) if line.startswith("{") else {}
            if "error" in row:
                rows.append(f"error: {row['error']}")
            elif "text" in row and command == "predict":
                rows.append((row["text"], {}))
            elif "text" in row:
                labels = row["labels"]
                rows.append((row["text"], labels if isinstance(labels, dict) else dict.fromkeys(labels, 1.0)))
        return status, rows, stderr.replace(str(place), "PLACE")

    def mutation(self, seed, number):
        """The form, the kind, the description, the bytes before and after, and whether they are compressed."""
        form = self.form(number)
        data = write(form).encode()
        for attempt in range(100):
            rng = random.Random(f"{seed}:tables:{number}:{attempt}")
            share = rng.random()
            compressed = False
            if share < 0.12:
                kind, said, new = mutations.damaged(data, rng)
                if isinstance(new, mutations.Place):
                    kind, said, compressed = "gz cut", "", True
                    packed = gzip.compress(data, mtime=0)
                    new = packed[: rng.randrange(11, len(packed))]
            elif share < 0.4:
                kind, said, new = written_damaged(form, rng)
            elif form.extension in ("jsonl", "json"):
                kind, said, new = objects_damaged(form, rng)
            else:
                kind, said, new = cells_damaged(form, rng)
            if new != data:
                break
        return form, kind, said, data, new, compressed

    def case(self, seed, number, place, partial):
        form, kind, said, data, new, compressed = self.mutation(seed, number)
        command = ("data show", "predict")[number // len(FORMS) % 2]
        status, ours, stderr = self.answers(form, command, place, new, compressed)
        undamaged = self.undamaged[form.name][command]
        theirs = Unclear("a cut .gz") if compressed else Reader(form, command == "data show").read(new)
        with_blank = theirs if compressed else Reader(form, command == "data show", keeps_blank=True).read(new)
        if len(rows_of(with_blank)) == len(ours):
            theirs = with_blank
        found = {
            "file": self.name,
            "number": number,
            "layout": f"{form.name}, {command}",
            "kind": kind,
            "mutation": said or kind,
            "difference": program.difference(data, new) if not compressed else [f"{len(new)} bytes"],
            "exit": status,
            "stderr": stderr[:1000],
            "reference": next((repr(its) for its in [theirs, *rows_of(theirs)] if isinstance(its, Unclear)), "answers"),
        }
        found |= verdict(status, ours, stderr, undamaged, theirs)
        if compressed and ours:
            whole = status != 0 and all(map(same, ours, undamaged))
            found["outcome"] = "row errors" if whole else "changed"
        if found["outcome"] in program.FINDINGS:
            its = rows_of(theirs) or [repr(theirs)] * len(ours)
            pairs = [(a, b) for a, b in zip(ours, its) if not same(a, b)] or list(zip(ours, its))
            found |= {"tinymood": repr(pairs[0][0])[:300], "csv or json": repr(pairs[0][1])[:300]} if pairs else {}
            found |= {"rows": [len(ours), len(undamaged), len(its)]}
        return found


def rows_of(theirs):
    return theirs if isinstance(theirs, list) else []


def same(ours, theirs):
    """Whether two rows are the same text and targets."""
    if not isinstance(ours, tuple) or not isinstance(theirs, tuple) or ours[0] != theirs[0]:
        return False
    labels = ours[1].keys() | theirs[1].keys()
    return all(abs(ours[1].get(label, 0) - theirs[1].get(label, 0)) < 1e-5 for label in labels)


def in_order(ours, theirs):
    """Whether rows other than errors are rows of `theirs`, in their order."""
    rest = iter(theirs)
    return all(any(same(our, its) for its in rest) for our in ours if not isinstance(our, str))


def verdict(status, ours, stderr, undamaged, theirs):
    """The outcome of a damaged table."""
    crash = program.crashed(status, stderr)
    if crash:
        return {"outcome": crash}
    if not ours and status != 0:
        is_named = "data." in stderr or "column" in stderr
        return {"outcome": "refused" if "error: " in stderr and is_named else "unnamed"}
    errors = any(isinstance(row, str) for row in ours)
    if status != 0 and in_order(ours, undamaged):
        return {"outcome": "row errors"}  # the others are as they were
    is_same = len(ours) == len(undamaged) and all(same(a, b) for a, b in zip(ours, undamaged) if not isinstance(a, str))
    outcome = None
    if isinstance(theirs, Unclear):
        outcome = ("overlooked" if theirs.is_error else "same") if is_same else "unconfirmed"
    elif len(ours) == len(theirs):
        outcomes = set()
        for i, (our, its) in enumerate(zip(ours, theirs)):
            before = undamaged[i] if i < len(undamaged) else None
            if isinstance(our, str):
                continue
            if isinstance(its, Unclear):
                bad = not same(our, before)
                outcomes.add("unconfirmed" if bad else "overlooked" if its.is_error else "same")
            elif same(our, its):
                outcomes.add("same" if same(our, before) else "as reference")
            else:
                outcomes.add("overlooked" if same(our, before) else "changed")
        order = ["changed", "unconfirmed", "overlooked", "as reference", "same"]
        outcome = next((each for each in order if each in outcomes), "row errors")
    elif is_same:
        outcome = "overlooked"
    else:
        # Rows with errors may stand for more or fewer rows of the reference.
        outcome = "row errors" if errors and in_order(ours, theirs) else "changed"
    if outcome in ("changed", "unconfirmed", "overlooked") and "warning: " in stderr:
        return {"outcome": "warned"}
    if outcome in ("same", "as reference") and (errors or status != 0):
        return {"outcome": "row errors"}
    if outcome in ("unconfirmed", "overlooked") and status != 0 and isinstance(theirs, Unclear):
        return {"outcome": "row errors"}  # the whole is unclear, and an error said so
    return {"outcome": outcome}
