"""Runs tinymood within limits, and names what came of it."""

import difflib
import subprocess

import mutations

FINDINGS = ["panic", "signal", "hang", "changed", "unconfirmed", "overlooked", "unnamed"]
FINE = ["refused", "row errors", "same", "as reference", "warned"]
CPU_SECONDS = 20
WALL_SECONDS = 120  # the machine may be busy with other work


# The shell sets the limits: a function called between fork and exec would make Python copy its own page tables.
LIMITED = 'ulimit -c 0; ulimit -t "$1"; ulimit -v "$2"; shift 2; exec nice -n 10 "$@"'


def run(binary, arguments, memory):
    """Runs tinymood within limits. Returns (exit status or "hang", stdout, stderr)."""
    limits = [str(CPU_SECONDS), str(memory >> 10)]
    command = ["sh", "-c", LIMITED, "sh", *limits, binary, *arguments]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=WALL_SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        return "hang", "", (error.stderr or b"").decode("utf-8", "replace")
    out, err = (text.decode("utf-8", "replace") for text in (ran.stdout, ran.stderr))
    if ran.returncode in (-24, -9):  # SIGXCPU, or SIGKILL behind it
        return "hang", out, err
    return ran.returncode, out, err


def crashed(status, stderr):
    """The kind of finding of a program that did not end by itself, if any."""
    if "panicked at" in stderr or status == 101:
        return "panic"
    if status == "hang":
        return "hang"
    return "signal" if isinstance(status, int) and (status < 0 or status > 2) else None


def difference(data, new):
    """The lines that differ."""
    if isinstance(new, mutations.Place):
        return [f"a {new}"]
    before, after = (text.decode("utf-8", "backslashreplace").split("\n") for text in (data, new))
    lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    return [line[:200] for line in lines if not line.startswith("@@")][:12]
