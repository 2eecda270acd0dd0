"""Damages the files of a model, and labelled tables, thousands of times, and looks at what tinymood makes of each.

usage: python benchmarks/compatibility/mutate.py TINYMOOD [--count 3000] [--seed 1] [--only FILE,...] [--jobs 2]
       python benchmarks/compatibility/mutate.py TINYMOOD --case config.json:17
       python benchmarks/compatibility/mutate.py TINYMOOD --case config.json:problem_type=null

Every damaged file must be refused by name, answered as the undamaged one is, or answered as the reference answers it:
transformers for the files of a model, the csv and json modules for tables. Findings are anything else:

    panic, signal, hang     the program did not end by itself, within 20 s of CPU time and the memory of --memory
    changed                 another answer than the undamaged file's, without a warning, and the reference gives a third
    unconfirmed             another answer, without a warning, and the reference refuses the file
    overlooked              the undamaged answer, without a warning, and the reference gives another
    unnamed                 an error that names neither the file nor the field

The same seed gives the same mutations. --case shows one of them, or one of your own: FILE:FIELD=VALUE, where FIELD may
be a path such as added_tokens_decoder/7/lstrip, and FILE:slow:FIELD=VALUE in the layout without tokenizer.json. Needs
the packages of reference/requirements.txt. Exits with 1 if there is a finding that `allowed.py` does not explain.
"""

import argparse
import collections
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback

import allowed
import base
import mutations
import oracle
import pairs
import tables
from program import FINDINGS, FINE, crashed, difference, run

# Each file, and the layouts in which it is damaged in turn.
LAYOUTS = {
    "tokenizer.json": ["fast"],
    "tokenizer_config.json": ["slow", "fast"],
    "config.json": ["fast", "slow"],
    "special_tokens_map.json": ["slow"],
    "added_tokens.json": ["slow"],
    "vocab.txt": ["slow"],
}
DEFAULT = ["tokenizer.json", "tokenizer_config.json", "config.json", "tables"]
TOLERANCE = 1e-3  # of a probability
ORACLE_SECONDS = 20


class Models:
    """Damaged model folders."""

    def __init__(self, name, folder, binary, memory):
        self.name, self.folder, self.binary, self.memory = name, folder, binary, memory
        self.transformers = oracle.Oracle()
        self.undamaged = {}
        self.differing = {}
        for layout in ("fast", "slow"):
            status, answers, stderr = self.answers(folder / layout)
            assert status == 0, stderr
            self.undamaged[layout] = answers
            theirs = self.transformers.ask(folder / layout, base.TEXTS)
            assert isinstance(theirs, list), theirs
            both = zip(answers, theirs, strict=True)
            # Texts that are read wrongly from the undamaged files too tell nothing about damage.
            self.differing[layout] = [i for i, (ours, its) in enumerate(both) if not same(ours, its)]

    def answers(self, model):
        """The exit status, the answers (a dict or an error for each text) and stderr."""
        options = ["--precision", "f32", "--threads", "1", "--format", "jsonl", "--scores", "--offline"]
        files = ["--model", model, "--input", self.folder / "texts.jsonl"]
        status, out, err = run(self.binary, ["predict", *options, *files], self.memory)
        rows = []
        with contextlib.suppress(ValueError):
            for line in out.splitlines():
                row = json.loads(line)
                rows.append(row["scores"] if "error" not in row else f"error: {row['error']}")
        return status, rows, err

    def mutation(self, seed, number):
        """The layout, the kind, the description and the content of a mutation; `number` may be FIELD=VALUE."""
        if isinstance(number, str):
            path, _, written = number.removeprefix("slow:").partition("=")
            is_slow = number.startswith("slow:") or "fast" not in LAYOUTS[self.name]
            layout = "slow" if is_slow else "fast"
            data = (self.folder / layout / self.name).read_bytes()
            value = pairs.parse(data)
            assert mutations.set_path(value, path, pairs.parse(written)), f"no place {path}"
            return layout, "own", number, data, pairs.dumps(value, "\n").encode()
        layout = LAYOUTS[self.name][number % len(LAYOUTS[self.name])]
        data = (self.folder / layout / self.name).read_bytes()
        for attempt in range(100):
            rng = random.Random(f"{seed}:{self.name}:{number}:{attempt}")
            kind, said, new = mutations.mutate(self.name, data, rng)
            if new != data:
                break
        return layout, kind, said, data, new

    def case(self, seed, number, place, partial):
        layout, kind, said, data, new = self.mutation(seed, number)
        model = place / "model"
        shutil.rmtree(model, ignore_errors=True)
        model.mkdir(parents=True)
        for path in (self.folder / layout).iterdir():
            if path.name != self.name:
                os.link(path, model / path.name)
        mutations.put(model / self.name, new)
        status, ours, stderr = self.answers(model)
        found = {
            "file": self.name,
            "number": number,
            "layout": layout,
            "kind": kind,
            "mutation": said,
            "difference": difference(data, new),
            "exit": status,
            "stderr": stderr.replace(str(model), "MODEL")[:1000],
        }
        texts = [i for i in range(len(base.TEXTS)) if i not in self.differing[layout]]
        undamaged = [self.undamaged[layout][i] for i in texts]
        if len(ours) == len(base.TEXTS):
            ours = [ours[i] for i in texts]
        found["reference"] = "refused: it crashed or did not end"
        partial(found | verdict(status, ours, stderr, undamaged, found["reference"], self.name, said))
        theirs = self.transformers.ask(model, [base.TEXTS[i] for i in texts])
        found |= verdict(status, ours, stderr, undamaged, theirs, self.name, said)
        if found["outcome"] in FINDINGS:
            found |= example(ours, undamaged, theirs, [base.TEXTS[i] for i in texts])
        found["reference"] = theirs if isinstance(theirs, str) else "answers"
        if isinstance(theirs, list):
            found["reference"] = next((its for its in theirs if isinstance(its, str)), "answers")
            if all(map(same, undamaged, theirs)):
                found["reference"] = "answers as undamaged"
        return found


def same(ours, theirs):
    """Whether two dicts of scores are the same."""
    if not isinstance(ours, dict) or not isinstance(theirs, dict) or ours.keys() != theirs.keys():
        return False
    return all(abs(ours[label] - theirs[label]) <= TOLERANCE for label in ours)


def verdict(status, ours, stderr, undamaged, theirs, name, said):
    """The outcome of a damaged model."""
    crash = crashed(status, stderr)
    if crash:
        return {"outcome": crash}
    if len(ours) != len(undamaged):
        # The weights and the configuration may not fit each other, and either may be the damaged one.
        name_of_tensor = "tensor" in stderr
        fields = re.findall(r"[\w<>#-]{3,}", said.split(" = ")[0])
        is_named = name in stderr or name_of_tensor or any(field in stderr for field in fields)
        return {"outcome": "refused" if status != 0 and "error: " in stderr and is_named else "unnamed"}
    outcomes = set()
    for i, (our, before) in enumerate(zip(ours, undamaged, strict=True)):
        its = theirs if isinstance(theirs, str) else theirs[i]
        if isinstance(our, str):
            outcomes.add("row errors")
        elif same(our, before):
            outcomes.add("same" if isinstance(its, str) or same(our, its) else "overlooked")
        elif isinstance(its, str):
            outcomes.add("unconfirmed")
        else:
            outcomes.add("as reference" if same(our, its) else "changed")
    if "warning: " in stderr and outcomes & {"changed", "unconfirmed", "overlooked"}:
        return {"outcome": "warned"}
    order = ["changed", "unconfirmed", "overlooked", "row errors", "as reference", "same"]
    return {"outcome": next(outcome for outcome in order if outcome in outcomes)}


def example(ours, undamaged, theirs, texts):
    """The text on which an answer differs most, and the answers."""
    if len(ours) != len(undamaged):
        return {}
    its = [theirs] * len(texts) if isinstance(theirs, str) else theirs
    rows = list(zip(ours, undamaged, its, texts, strict=True))
    rows.sort(key=lambda row: same(row[0], row[1]) and same(row[1], row[2]))
    our, before, its, text = next((row for row in rows if not same(row[0], row[2])), rows[0])
    return {"text": text, "tinymood": rounded(our), "undamaged": rounded(before), "transformers": rounded(its)}


def rounded(scores):
    return {k: round(v, 3) for k, v in scores.items()} if isinstance(scores, dict) else scores


def worker(connection, tester, seed, place):
    """Answers numbers with cases until its parent hangs up."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # the reference prints, and Rust prints its panics
    os.dup2(silence, 2)
    with contextlib.suppress(OSError, ValueError):
        size = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 30), -1))  # for the reference
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            number = connection.recv()
            partial = lambda found: connection.send((False, found))  # noqa: E731
            try:
                connection.send((True, tester.case(seed, number, place, partial)))
            except Exception:  # of the harness itself
                connection.send((None, traceback.format_exc()))
                return


def cases(tester, seed, count, jobs, folder):
    """All cases, in their order. A worker whose reference crashes or hangs is replaced."""
    context = multiprocessing.get_context("fork")
    numbers, found = iter(range(count)), {}
    workers = {}  # connection: [process, number, what is known, since]

    def start(slot):
        ours, its = context.Pipe()
        process = context.Process(
            target=worker, args=(its, tester, seed, folder / "work" / tester.name / str(slot)), daemon=True
        )
        process.start()
        its.close()
        workers[ours] = [process, None, None, time.monotonic(), slot]
        give(ours)

    def give(connection):
        number = next(numbers, None)
        workers[connection][1:4] = number, None, time.monotonic()
        if number is None:
            end(connection)
        else:
            connection.send(number)

    def end(connection):
        process = workers.pop(connection)[0]
        connection.close()
        process.join(1)
        if process.is_alive():
            process.kill()
            process.join()

    for slot in range(jobs):
        start(slot)
    while workers:
        for connection in multiprocessing.connection.wait(list(workers), timeout=1):
            try:
                is_done, case = connection.recv()
            except (EOFError, OSError):
                is_done, case = None, workers[connection][2]
            if is_done is False:
                workers[connection][2:4] = case, time.monotonic()
                continue
            _, number, _, _, slot = workers[connection]
            if is_done is None and isinstance(case, str):
                sys.exit(f"case {number}: {case}")
            assert case is not None, f"case {number} ended the worker before tinymood answered"
            found[number] = case
            if is_done:
                give(connection)
            else:
                end(connection)
                start(slot)
        for connection, (_, number, known, since, slot) in list(workers.items()):
            if known is not None and time.monotonic() - since > ORACLE_SECONDS:
                found[number] = known
                end(connection)
                start(slot)
    return [found[number] for number in sorted(found)]


def table(results):
    """Counts by file and kind of mutation, a column for each outcome that occurs."""
    counts = collections.Counter((case["file"], case["kind"], case["outcome"]) for case in results)
    outcomes = [o for o in FINE + FINDINGS if any(key[2] == o for key in counts)]
    lines = [["file", "mutation", "count", *outcomes]]
    for file in dict.fromkeys(case["file"] for case in results):
        kinds = sorted({case["kind"] for case in results if case["file"] == file})
        for kind in [*kinds, "all"]:
            row = [sum(n for (f, k, o), n in counts.items() if f == file and kind in (k, "all") and o == outcome)
                   for outcome in outcomes]  # fmt: skip
            lines.append([file, kind, sum(row), *(n or "." for n in row)])
    widths = [max(len(str(line[i])) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        cells = [
            str(cell).ljust(w) if i < 2 else str(cell).rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def field(case):
    """What findings are grouped by: the first known field of the mutation, or its kind."""
    said = case["mutation"].split(" ")[0].strip("'\"") if case["mutation"] else ""
    return said if case["kind"] in ("known field", "set", "near", "drop", "rename", "twice", "swap") else case["kind"]


def groups(findings):
    """The findings by file, outcome and field, most first, with the smallest example of each."""
    grouped = collections.defaultdict(list)
    for case in findings:
        grouped[case["file"], case["outcome"], field(case)].append(case)
    for (file, outcome, what), members in sorted(grouped.items(), key=lambda group: (-len(group[1]), group[0])):
        smallest = min(members, key=lambda case: len(json.dumps(case["difference"])))
        yield file, outcome, what, len(members), smallest


def show(case):
    for key, value in case.items():
        shown = "\n  " + "\n  ".join(map(str, value)) if isinstance(value, list) else value
        print(f"{key}: {shown}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path, metavar="TINYMOOD")
    parser.add_argument("--count", type=int, default=3000, help="mutations of each file")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", default=",".join(DEFAULT), help=f"of {', '.join([*LAYOUTS, 'tables'])}, or all")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--memory", type=float, default=1.0, help="GB of address space of tinymood")
    parser.add_argument("--json", type=pathlib.Path, help="file to write the findings to")
    parser.add_argument("--case", metavar="FILE:NUMBER|FILE:FIELD=VALUE", help="show one case")
    options = parser.parse_args()
    files = [*LAYOUTS, "tables"] if options.only == "all" else options.only.split(",")
    if options.case:
        files = [options.case.split(":")[0]]
    binary, memory = options.binary.absolute(), int(options.memory * (1 << 30))
    began = time.monotonic()
    results, bases = [], {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if set(files) - {"tables"}:
            oracle.load()
            base.write(folder)
        for name in files:
            make = tables.Tables if name == "tables" else Models
            tester = make(name, folder, binary, memory)
            bases |= tester.differing
            if options.case:
                number = options.case.split(":", 1)[1]
                number = int(number) if number.isdigit() else number
                show(tester.case(options.seed, number, folder / "work" / name, lambda found: None))
                return
            since = time.monotonic()
            results += cases(tester, options.seed, options.count, options.jobs, folder)
            print(f"{name}: {options.count} mutations in {time.monotonic() - since:.0f} s", flush=True)
    print()
    table(results)
    findings = [case for case in results if case["outcome"] in FINDINGS]
    for case in findings:
        case["allowed"] = allowed.reason(case)
    failed = [case for case in findings if not case["allowed"]]
    refusals = [case for case in results if case["outcome"] == "refused"]
    strict = collections.Counter((c["file"], field(c)) for c in refusals if "answers" in c["reference"])
    print(f"\n{len(refusals)} refused, of which the reference answers {strict.total()}, such as:")
    for (file, what), count in strict.most_common(12):
        print(f"  {count:4} {file}: {what}")
    print("\nfindings by file, outcome and field, with the number of the smallest:")
    for file, outcome, what, count, smallest in groups(failed):
        example = f"{file}:{smallest['number']} {smallest['mutation'][:80]}"
        print(f"  {count:4} {outcome:11} {file}: {what}   ({example})")
    for reason, count in collections.Counter(case["allowed"] for case in findings if case["allowed"]).items():
        print(f"  {count:4} allowed: {reason}")
    wrong = {name: numbers for name, numbers in bases.items() if numbers}
    for name, numbers in wrong.items():
        print(f"  undamaged {name} differs from the reference: {numbers}")
    if options.json:
        options.json.write_text(json.dumps({"undamaged": bases, "findings": findings}, indent=1, ensure_ascii=False))
    print(f"\n{len(results)} mutations, seed {options.seed}, in {time.monotonic() - began:.0f} s")
    print(f"{len(results) - len(failed)} passed, {len(failed) + len(wrong)} failed")
    sys.exit(1 if failed or wrong else 0)


if __name__ == "__main__":
    main()
