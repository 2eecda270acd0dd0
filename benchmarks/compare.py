#!/usr/bin/env python3
"""tinymood beside its peers, in turn, round after round: medians of ratios, as a table and a record.

    python3 benchmarks/compare.py --data GOEMOTIONS [--python PEERS/bin/python] [--rounds 5]
        [--only WORD] [--markdown FILE] [--json FILE] [--list]

Needs only the standard library; README.md beside it says how to build what is compared. A run that
fails is left out of the table and named on standard error, and the exit status is then 1.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
COLD_STARTS = 10


@dataclass
class Line:
    """A line of the table: a figure of ours, the same of peers (the best of them counts), and a goal."""

    what: str
    figure: str
    ours: str
    peers: tuple = ()
    goal: str = ""  # ">= 3.8 x" and "<= 0.6 x" are of the ratio, "<= 80" of the figure itself

    def met(self, ours, ratio):
        sign, bound, *times = self.goal.split()
        value = ratio if times else ours
        return value >= float(bound) if sign == ">=" else value <= float(bound)


# Neighbours in this list run one after the other.
LINES = [
    Line("training, bf16, batch 16", "samples/s", "train bf16 16", ("pytorch group-bf16-fused 16",), ">= 3.8 x"),
    Line("training, bf16, batch 16", "samples/s", "train bf16 16", ("pytorch pad 16",), ">= 30 x"),
    Line("training, f32, batch 16", "samples/s", "train f32 16", ("pytorch group-fused 16",), ">= 3.2 x"),
    Line("training, f32, batch 16", "samples/s", "train f32 16", ("candle train 16",), ">= 1.6 x"),
    Line("training, f32, batch 16, candle without dropout", "samples/s", "train f32 16", ("candle train 16 plain",)),
    Line("training, f32, batch 16", "samples/s", "train f32 16", ("burn train 16",)),
    Line("training, bf16, batch 64", "samples/s", "train bf16 64", ("pytorch group-bf16-fused 64",), ">= 2.5 x"),
    Line(
        "inference from text, int8",
        "texts/s",
        "infer int8",
        ("onnxruntime int8", "pytorch bf16", "onnxruntime f32", "pytorch f32"),
        ">= 3 x",
    ),
    Line(
        "inference from text, bf16",
        "texts/s",
        "infer bf16",
        ("pytorch bf16", "onnxruntime f32", "pytorch f32"),
        ">= 2 x",
    ),
    Line("inference from text, f32", "texts/s", "infer f32", ("onnxruntime f32", "pytorch f32"), ">= 1.5 x"),
    Line("inference from text, f32", "texts/s", "infer f32", ("candle infer",)),
    Line("inference from text, f32", "texts/s", "infer f32", ("burn infer",)),
    Line("one text, int8, p50 (peer: from ids)", "ms", "infer int8", ("onnxruntime int8",), "<= 0.6 x"),
    Line("one text, f32, p50 (peer: from ids)", "ms", "infer f32", ("onnxruntime f32", "pytorch f32")),
    Line("predict of one text, new process", "wall ms", "predict cold", (), "<= 80"),
    Line("predict of one text, new process, peak memory", "peak MB", "predict cold", (), "<= 120"),
    Line(
        "training, bf16, batch 16, peak memory",
        "peak MB",
        "train run bf16 16",
        ("pytorch group-bf16-fused 16",),
        "<= 450",
    ),
    Line(
        "training, bf16, batch 16, all threads over one",
        "samples/s",
        "train bf16 16",
        ("train bf16 16 one thread",),
        ">= 1.85 x",
    ),
    Line("share of the limit in linear layers, f32, batch 16", "% of limit", "train f32 16", (), ">= 85"),
    Line("share of the limit in linear layers, bf16, batch 16", "% of limit", "train bf16 16", (), ">= 75"),
]


class Failed(Exception):
    pass


class Runs:
    """The runs by name: each gives a dictionary of figures."""

    def __init__(self, args, scratch):
        self.args, self.scratch = args, scratch
        self.data = args.data.resolve()
        # tinymood bench measures the train split: dev alone stands for it.
        self.dev = self.data / "dev.tsv"

    def run(self, name):
        words = name.split()
        if words[0] in ("train", "infer"):
            return self.tinymood(words)
        if name == "predict cold":
            return self.predict_cold()
        if words[0] in ("candle", "burn"):
            return self.rust_peer(words)
        if words[0] == "pytorch" and words[-1].isdigit():
            return self.pytorch_training(words[1], words[2])
        return self.inference_peer(name)

    def tinymood(self, words):
        if words[:2] == ["train", "run"]:
            return self.whole_run(*words[2:4])
        precision = words[1]
        command = [self.args.tinymood, "bench", "--json", "--seconds", self.args.seconds]
        command += ["--what", words[0], "--precision", precision]
        if words[0] == "train":
            command += ["--data", self.data, "--batch-size", words[2]]
        else:
            command += ["--data", self.dev]
        if words[-2:] == ["one", "thread"]:
            command += ["--threads", 1]
        output, figures = execute(command)
        result = json.loads(output)["results"][0]
        if words[0] == "infer":
            of = result["inference"]
            return {"texts/s": of["texts_per_second"], "ms": of["one_text_ms"]["p50"]}
        of = result["training"][0]
        figures = {"samples/s": of["samples_per_second"], "step ms": of["step_ms"]}
        figures["% of limit"] = 100 * of["linear_layers"]["share_of_limit"]
        return figures

    def whole_run(self, precision, batch_size):
        """`tinymood train`, with its evaluation: the memory that a user's run takes."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            return execute(
                [self.args.tinymood, "train", "--data", self.data, "--recipe", "seed", "--init", "random:4L-312D"]
                + ["--group-by-length", "--precision", precision, "--batch-size", batch_size]
                + ["--max-steps", self.args.steps, "--output", Path(folder) / "run", "--quiet"]
            )[1]

    def predict_cold(self):
        """New processes over a model in the file cache: medians."""
        model = self.scratch / "model"
        if not model.exists():
            command = [self.args.tinymood, "train", "--init", "random:4L-312D", "--max-steps", 1, "--quiet"]
            execute(command + ["--output", model])
        command = [self.args.tinymood, "predict", "--model", model / "best", "--quiet", "so proud of you"]
        starts = [execute(command)[1] for _ in range(1 + COLD_STARTS)][1:]
        return {figure: statistics.median(start[figure] for start in starts) for figure in starts[0]}

    def pytorch_training(self, mode, batch_size):
        # A padded step takes ten times as long as the others.
        steps = max(10, self.args.steps // 10) if mode == "pad" else self.args.steps
        options = [f"--{word}" for word in mode.split("-")] + ["--batch-size", batch_size, "--steps", steps]
        return self.python("pytorch_train.py", self.data / "train.tsv", *options)

    def inference_peer(self, name):
        return self.python("infer.py", self.dev, "--only", name)

    def python(self, script, *arguments):
        if self.args.python is None:
            raise Failed("no --python with the peers' packages")
        return peers_figures(*execute([self.args.python, HERE / "peers" / script, *arguments]))

    def rust_peer(self, words):
        binary = HERE / words[0] / "target" / "release" / f"{words[0]}-bench"
        if not binary.exists():
            raise Failed(f"not built: cd {binary.parents[2].relative_to(ROOT)} && cargo build --release")
        if words[1] == "infer":
            return peers_figures(*execute([binary, "infer", self.dev]))
        options = ["--batch-size", words[2], "--steps", self.args.steps]
        options += ["--dropout", 0] if words[-1] == "plain" else []
        return peers_figures(*execute([binary, "train", self.data / "train.tsv", *options]))


def execute(command):
    """Standard output of a command, with its wall time and the most memory it held."""
    command = [str(word) for word in command]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        try:
            process = subprocess.Popen(command, stdout=output, stderr=errors, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise Failed(f"{command[0]}: {error.strerror}") from error
        # Not process.wait: only wait4 tells the memory of this one child.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        output.seek(0), errors.seek(0)
        if process.returncode != 0:
            raise Failed((errors.read().strip().splitlines() or [f"exit status {process.returncode}"])[0])
        peak = usage.ru_maxrss * (1 if platform.system() == "Darwin" else 1024)
        return output.read(), {"wall ms": 1e3 * wall, "peak MB": peak / 1e6}


def peers_figures(output, figures):
    """The best of each figure that a peer printed, such as `texts/s from text` of two batch sizes."""
    rates = {}
    for value, figure in re.findall(r"([\d.]+) (samples/s|texts/s from text)", output):
        figure = figure.split()[0]
        rates[figure] = max(float(value), rates.get(figure, 0))
    for value in re.findall(r"p50 ([\d.]+) ms", output):
        rates["ms"] = float(value)
    if not rates:
        raise Failed(f"no figure in its output: {output.strip()!r}")
    return figures | rates


def measure(lines, args, scratch):
    """Figures of each run in each round, and why the others failed."""
    runs, found, failures = Runs(args, scratch), {}, {}
    names = list(dict.fromkeys(name for line in lines for name in (line.ours, *line.peers)))
    for round_ in range(1, args.rounds + 1):
        for name in names:
            if name in failures:
                continue
            try:
                figures = runs.run(name)
            except (Failed, KeyError, ValueError) as error:
                failures[name] = str(error) or type(error).__name__
                found.pop(name, None)
                print(f"{name}: {failures[name]}", file=sys.stderr)
                continue
            found.setdefault(name, []).append(figures)
            shown = ", ".join(f"{short(value)} {figure}" for figure, value in figures.items())
            print(f"round {round_}: {name}: {shown}", file=sys.stderr, flush=True)
    return found, failures


def compare(line, found):
    """Medians of a line, and of its ratios round by round. None where ours was not measured."""

    def median(name):
        return statistics.median(figures[line.figure] for figures in found[name])

    def present(name):
        return name in found and all(line.figure in figures for figures in found[name])

    if not present(line.ours):
        return None
    row = {"what": line.what, "figure": line.figure, "ours": median(line.ours), "goal": line.goal}
    peers = [name for name in line.peers if present(name)]
    if peers:
        lower_is_better = line.figure in ("ms", "wall ms", "peak MB")
        best = (min if lower_is_better else max)(peers, key=median)
        ratios = [a[line.figure] / b[line.figure] for a, b in zip(found[line.ours], found[best])]
        row |= {"peer": best, "theirs": median(best), "ratio": statistics.median(ratios), "ratios": ratios}
    if line.goal and (peers or not line.goal.endswith("x")):
        row["met"] = line.met(row["ours"], row.get("ratio"))
    return row if peers or not line.peers else None


def host(args):
    def output(*command):
        try:
            return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return ""

    def locked(package, crate):
        lock = (HERE / package / "Cargo.lock").read_text()
        return re.search(rf'name = "{crate}"\nversion = "([^"]+)"', lock).group(1)

    try:
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()).group(1)
    except (OSError, AttributeError):
        cpu = output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    versions = {"candle": locked("candle", "candle-core"), "burn": locked("burn", "burn")}
    if args.python:
        code = "import torch, onnxruntime; print(torch.__version__, onnxruntime.__version__)"
        found = output(str(args.python), "-c", code).split()
        versions |= dict(zip(("pytorch", "onnxruntime"), found))
    changed = "with changes" if output("git", "status", "--porcelain", "--untracked-files=no") else ""
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "date": datetime.date.today().isoformat(),
        "commit": f"{output('git', 'rev-parse', '--short', 'HEAD')} {changed}".strip(),
        "load_average": os.getloadavg()[0],
        "versions": versions,
    }


def short(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def markdown(record):
    of = record["host"]
    versions = ", ".join(f"{name} {version}" for name, version in of["versions"].items())
    text = [
        "# Speed",
        "",
        f"{of['cpu']}, {of['cores']} cores, {of['system']}; {of['date']}; commit {of['commit']}; {versions}.",
        f"Medians of {record['rounds']} rounds, runs in turn ([how](README.md)). In brackets the lowest and",
        "the highest ratio. Of several peers, the best.",
        "",
        "| what | tinymood | peer | its figure | ratio | goal |",
        "|---|---|---|---|---|---|",
    ]
    for row in record["lines"]:
        unit = row["figure"].removeprefix("wall ").removeprefix("peak ")
        cells = [row["what"], f"{short(row['ours'])} {unit}", "", "", "", ""]
        if "peer" in row:
            low, high = min(row["ratios"]), max(row["ratios"])
            ratio = f"{row['ratio']:.2f} ×" + (f" ({low:.2f}–{high:.2f})" if low < high else "")
            cells[2:5] = [row["peer"], f"{short(row['theirs'])} {unit}", ratio]
        if row["goal"]:
            goal = row["goal"].replace(">=", "≥").replace("<=", "≤").replace(" x", " ×")
            cells[5] = f"{goal}: {'met' if row.get('met') else 'missed'}"
        text.append("| " + " | ".join(cells) + " |")
    for name, reason in record["failures"].items():
        text += ["", f"Not measured: {name} ({reason})."]
    return "\n".join(text) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the folder of GoEmotions' train.tsv and dev.tsv")
    parser.add_argument("--python", type=Path, help="a Python with peers/requirements.txt installed")
    parser.add_argument("--tinymood", type=Path, default=ROOT / "target" / "release" / "tinymood")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="of each of tinymood's figures")
    parser.add_argument("--steps", type=int, default=200, help="of each of the peers' trainings")
    parser.add_argument("--only", default="", metavar="WORD", help="lines of the table that contain this")
    parser.add_argument("--markdown", type=Path, help="write the table there; else to standard output")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--list", action="store_true", help="name the lines and their runs, measure nothing")
    args = parser.parse_args()
    if args.rounds < 1 or args.steps < 1 or args.seconds <= 0:
        parser.error("--rounds, --steps and --seconds are above zero")
    if args.data is None and not args.list:
        parser.error("--data is needed: the folder of GoEmotions' train.tsv and dev.tsv")
    for name in ("train.tsv", "dev.tsv") if args.data else ():
        if not (args.data / name).is_file():
            parser.error(f"{args.data} has no {name}")
    return args


def main():
    args = arguments()
    lines = [line for line in LINES if args.only in f"{line.what} {line.ours} {' '.join(line.peers)}"]
    if not lines:
        sys.exit(f"--only {args.only}: no line contains this (--list names them)")
    if args.list:
        for line in lines:
            print(f"{line.what}: {line.ours} | {', '.join(line.peers)} | {line.goal}")
        return
    scratch = Path(tempfile.mkdtemp(prefix="tinymood-compare-"))
    try:
        described = host(args)
        if described["load_average"] > 0.5:
            print(f"warning: load average {described['load_average']:.1f}: the machine is not quiet", file=sys.stderr)
        found, failures = measure(lines, args, scratch)
    finally:
        shutil.rmtree(scratch)
    rows = [row for row in (compare(line, found) for line in lines) if row]
    record = {"host": described, "rounds": args.rounds, "seconds": args.seconds, "steps": args.steps}
    record |= {"lines": rows, "failures": failures, "runs": found}
    if args.json:
        args.json.write_text(json.dumps(record, indent=2) + "\n")
    if args.markdown:
        args.markdown.write_text(markdown(record))
    else:
        print(markdown(record), end="")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
