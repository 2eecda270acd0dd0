"""Does a server give memory back after bursts of uploads?

Sends 500 requests with bodies of 2 MB at once, three times, and reads the server's resident memory from /proc
before, at its peak, and at rest after each burst. The bodies are of three kinds: one text that is too long, many
texts that are together too much for the queue, and bodies that stop before their end (their clients leave).

usage: python3 tests/faults/uploads.py BINARY [UPLOADS] [LIMIT]     (Linux; 500 uploads: about a minute)

Ends with status 1 if more than LIMIT MB (64 unless given) stay resident beyond what was before the bursts.
"""

import json
import socket
import sys
import threading
import time

from served import Served

BYTES = 2_000_000


def body(kind):
    """A body of some 2 MB."""
    if kind == "one long text":
        return json.dumps({"texts": "x" * BYTES}).encode()
    return json.dumps({"texts": ["so it goes " * 900] * (BYTES // 9_905)}).encode()


def burst(server, kind, uploads):
    """Sends all uploads at once: no body ends before all have been sent but for their last byte."""
    whole = body(kind)
    head = (f"POST /v1/emotions HTTP/1.1\r\nhost: {server.address}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(whole)}\r\nconnection: close\r\n\r\n").encode()
    ready, answers = threading.Barrier(uploads), {}

    def upload():
        client = socket.create_connection((server.host, server.port), timeout=120)
        said = b""
        try:
            client.sendall(head + whole[:-1])
            ready.wait(120)
            if kind != "clients that leave":
                client.sendall(whole[-1:])
                while part := client.recv(1 << 16):
                    said += part
        except (OSError, threading.BrokenBarrierError) as error:
            said = said or repr(error).encode()
        client.close()
        status = said[9:12].decode() if said.startswith(b"HTTP/1.1 ") else said.decode() or "no answer"
        answers[status] = answers.get(status, 0) + 1

    threads = [threading.Thread(target=upload) for _ in range(uploads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def main(binary, uploads=500, limit=64):
    threading.stack_size(256 << 10)
    more, worst = ["--max-connections", str(uploads + 8), "--max-concurrent-requests", str(uploads + 8)], 0
    for kind in ("one long text", "many texts", "clients that leave"):
        with Served(binary, *more) as server:
            server.answers()
            time.sleep(1)
            before = server.memory()[0]
            print(f"{kind}: {before} MB before", flush=True)
            for number in range(3):
                answers = burst(server, kind, uploads)
                while server.metrics()["tinymood_connections"] > 1:
                    time.sleep(0.05)
                time.sleep(3)
                server.answers()
                after, peak = server.memory()
                print(f"  burst {number + 1}: {uploads} uploads, {answers}; peak {peak} MB, at rest {after} MB", flush=True)
            worst = max(worst, after - before)
    print(f"{worst} MB more than before at rest, allowed are {limit}")
    sys.exit(worst > limit)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
