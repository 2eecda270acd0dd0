"""A `tinymood serve` process for the scripts of this folder."""

import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.request


class Served:
    """A server on a free port of 127.0.0.1. It is killed when the `with` block ends."""

    def __init__(self, binary, *arguments, environment=()):
        self.log = tempfile.TemporaryFile("w+")
        command = [binary, "serve", "--port", "0", "--log-level", "warn", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, text=True, env={**os.environ, **dict(environment)}
        )
        line = self.process.stdout.readline()
        if not line.startswith("listening on http://"):
            self.process.kill()
            raise SystemExit(f"the server did not start: {line!r} {self.said()}")
        self.address = line.split("//")[1].strip()
        self.host, port = self.address.rsplit(":", 1)
        self.port = int(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        """Sends SIGTERM. Returns the exit status and the seconds it took."""
        started = time.monotonic()
        self.process.terminate()
        return self.process.wait(timeout=60), time.monotonic() - started

    def metrics(self, key=None):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        request = urllib.request.Request(f"http://{self.address}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")}

    def memory(self):
        """Resident set size and its peak, in MB of 10^6 bytes (Linux)."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith("Vm")}
        return tuple(round(kilobytes[name] * 1024 / 1e6) for name in ("VmRSS", "VmHWM"))

    def answers(self, key=None):
        """Sends one ordinary request; fails unless it is answered."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        body = json.dumps({"texts": ["thank you so much!"]}).encode()
        request = urllib.request.Request(f"http://{self.address}/v1/emotions", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["results"]
