"""Measures a server under load from a second process: 64 connections, one text of GoEmotions' dev split a
request, every answer checked against offline `predict`.

usage: python benchmarks/serve/load.py --tinymood PATH --load PATH --data GOEMOTIONS [--model FOLDER]
       [--precision int8] [--soak SECONDS] [--fastapi PYTHON] [--seconds 10] [--rounds 3] [--json FILE]

In order: offline batch inference (the same texts, from a file), throughput, latency at half of it, four
times as much as it can do, again as before, and a soak with the memory of the process. With --fastapi, a
FastAPI and ONNX Runtime server of the same folder in the same run (MODEL must be one that transformers
opens). Client and server share the machine's cores; what the client takes is in the figures.
"""

import argparse
import csv
import json
import os
import pathlib
import platform
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
CONNECTIONS = 64


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tinymood", required=True)
    parser.add_argument("--load", required=True, help="cargo build --release -p tinymood-serve --example load")
    parser.add_argument("--data", required=True)
    parser.add_argument("--model")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", help="of the engine, offline and served [default: all cores]")
    parser.add_argument("--copies", type=int, default=10, help="of the texts, for the offline figure")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=float, default=0)
    parser.add_argument("--fastapi", help="a Python with fastapi, uvicorn, onnxruntime, torch and transformers")
    parser.add_argument("--json")
    return parser.parse_args()


def memory(pid):
    """Resident memory of a process, in MB."""
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def engine(args):
    return ["--precision", args.precision, *(["--threads", args.threads] if args.threads else [])]


class Server:
    def __init__(self, args, *flags):
        model = [args.model] if args.model else []
        command = [args.tinymood, "serve", *model, "--port", "0", *engine(args), "--quiet", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = re.search(r"http://(\S+)", self.process.stdout.readline())[1]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.terminate()
        assert self.process.wait() == 0, "the server did not end well"


def load(args, address, expected, connections, seconds, rate=None):
    command = [args.load, address, "/predict", expected, str(connections), str(seconds)]
    found = subprocess.check_output([*command, *([str(rate)] if rate else [])])
    return json.loads(found)


def offline(args, texts, folder):
    """Texts a second of `predict` on a file, and its answers. The time of starting is taken off: that of
    one text."""
    model = ["--model", args.model] if args.model else []
    command = [args.tinymood, "predict", *model, *engine(args), "--quiet", "--json"]
    one, many, answers = (str(folder / name) for name in ["one.txt", "many.txt", "answers.jsonl"])
    pathlib.Path(one).write_text(texts[0] + "\n")
    pathlib.Path(many).write_text("\n".join(texts * args.copies) + "\n")
    full = folder / "texts.txt"
    full.write_text("\n".join(texts) + "\n")
    subprocess.check_call([*command, "--scores", "--input", str(full), "--output", answers])
    times = []
    for path in [one, many] * args.rounds:
        started = time.monotonic()
        subprocess.check_call([*command, "--input", path, "--output", os.devnull])
        times.append(time.monotonic() - started)
    took = min(times[1::2]) - min(times[::2])
    return len(texts) * args.copies / took, answers


def shown(name, found):
    clean = found["wrong"] == 0 and found["lost"] == 0 and found["other_status"] == 0
    answered, refused = found["answered_ms"], found["refused_ms"]
    line = f"{name}: {found['answered_per_second']:.0f} answers/s, p50 {answered['p50']:.2f} ms, p99 {answered['p99']:.2f} ms"
    if found["refused"]:
        line += f"; {found['refused']} refused, p50 {refused['p50']:.2f} ms, p99 {refused['p99']:.2f} ms"
    print(line, "" if clean else f"WRONG: {found}", flush=True)
    return found | {"name": name}


def fastapi(args, expected, workers, threads):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [args.fastapi, HERE / "fastapi_server.py", args.model, str(port), str(workers), str(threads)]
    process = subprocess.Popen(command)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        time.sleep(3)  # all workers
        address = f"127.0.0.1:{port}"
        load(args, address, expected, CONNECTIONS, 2)
        best = max((load(args, address, expected, CONNECTIONS, args.seconds) for _ in range(args.rounds)), key=lambda f: f["answered"])
        return shown(f"FastAPI and ONNX Runtime, {workers} workers of {threads} threads", best)
    finally:
        process.terminate()
        process.wait()


def main():
    args = arguments()
    with open(pathlib.Path(args.data) / "dev.tsv", newline="", encoding="utf-8") as file:
        texts = [row[0] for row in csv.reader(file, delimiter="\t")]
    texts = [text for text in texts if text.strip() and "\n" not in text and "\r" not in text]
    found = {"cpu": platform.processor() or platform.machine(), "cores": len(os.sched_getaffinity(0))}
    with tempfile.TemporaryDirectory() as folder:
        rate, expected = offline(args, texts, pathlib.Path(folder))
        print(f"offline: {rate:.0f} texts/s of {len(texts)} texts, {found['cores']} cores, load {os.getloadavg()[0]:.1f}", flush=True)
        found |= {"offline": rate, "texts": len(texts)}
        with Server(args) as server:
            load(args, server.address, expected, CONNECTIONS, 2)  # warm
            runs = []
            for _ in range(args.rounds):
                before = cpu_seconds(server.process.pid)
                run = load(args, server.address, expected, CONNECTIONS, args.seconds)
                runs.append(run | {"server_cpus": (cpu_seconds(server.process.pid) - before) / args.seconds})
            best = max(runs, key=lambda run: run["answered"])
            found["throughput"] = shown(f"{CONNECTIONS} connections", best)
            print(f"  that is {best['answered_per_second'] / rate:.0%} of offline; the server used {best['server_cpus']:.2f} cores of {found['cores']}")
            half = best["answered_per_second"] / 2
            found["half"] = shown(f"half of that, {half:.0f}/s", load(args, server.address, expected, CONNECTIONS, args.seconds, half))
            found["alone"] = shown("1 connection", load(args, server.address, expected, 1, min(args.seconds, 5)))
        flags = ["--max-concurrent-requests", "64"]
        with Server(args, *flags) as server:
            full = load(args, server.address, expected, CONNECTIONS, min(args.seconds, 5))["answered_per_second"]
            over = load(args, server.address, expected, 512, args.seconds, 4 * full)
            found["overload"] = shown(f"4 times as much, {4 * full:.0f}/s due, 512 connections, {' '.join(flags)}", over)
            found["after"] = shown("after that, half load", load(args, server.address, expected, CONNECTIONS, min(args.seconds, 5), full / 2))
        if args.soak:
            found["soak"] = soak(args, expected)
        if args.fastapi:
            found["fastapi"] = [fastapi(args, expected, *shape) for shape in [(1, 2), (2, 1)]]
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(found, indent=1) + "\n")


def soak(args, expected):
    with Server(args) as server:
        load(args, server.address, expected, CONNECTIONS, 5)
        samples = [memory(server.process.pid)]
        done = threading.Event()

        def sample():
            while not done.wait(5):
                samples.append(memory(server.process.pid))

        sampler = threading.Thread(target=sample)
        sampler.start()
        run = load(args, server.address, expected, CONNECTIONS, args.soak)
        done.set()
        sampler.join()
        shown(f"soak of {args.soak:.0f} s", run)
        print(f"  memory: {samples[0]:.1f} MB when warm, {samples[-1]:.1f} MB at the end, {max(samples):.1f} MB at most")
        return run | {"memory_mb": samples}


if __name__ == "__main__":
    sys.exit(main())
