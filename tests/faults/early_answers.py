"""Answers that a server gives before it has read the body: do Python's clients see them?

http.client and urllib send the whole body before they read. A server that answers and closes while they
still send gives them a broken pipe in place of the answer. This sends requests that are refused for their
key, path, method, size, type, host or for the load, with bodies of 100 kB to 2 MB (12 MB where the size is
the reason), from both clients, on kept and on new connections. An answer counts as lost if the client
raises, gets another status, misses Retry-After, or finds a connection closed that no answer announced.

Then clients send bodies that never end, fast and slow: the server must disconnect them in bounded time, keep
no request slot for them, and stop when told to.

usage: python3 tests/faults/early_answers.py BINARY [REQUESTS]     (1,000 requests: about a minute)
"""

import http.client
import random
import socket
import sys
import threading
import time
import urllib.error
import urllib.request

from served import Served

KEY = "sesame"
JSON = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
LIMIT = 2 << 20

# name: expected status, method, path, headers
CASES = {
    "401 no key": (401, "POST", "/v1/emotions", {"Content-Type": "application/json"}),
    "403 host": (403, "POST", "/v1/emotions", {**JSON, "Host": "rebound.example"}),
    "404 no such path": (404, "POST", "/nowhere", JSON),
    "405 no such method": (405, "POST", "/health", JSON),
    "413 too large": (413, "POST", "/v1/emotions", JSON),
    "415 not JSON": (415, "POST", "/v1/emotions", {**JSON, "Content-Type": "text/plain"}),
    "429 too many": (429, "POST", "/v1/emotions", JSON),
}


class Kept:
    """http.client on one connection, for as long as the answers let it."""

    def __init__(self, server):
        self.server, self.connection = server, None

    def ask(self, method, path, headers, body):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=30)
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            answer.read()
        except BaseException:
            self.connection.close()
            self.connection = None
            raise
        if answer.will_close:
            self.connection.close()
            self.connection = None
        return answer.status, answer.headers


class New:
    """urllib, which opens a connection for each request."""

    def __init__(self, server):
        self.server = server

    def ask(self, method, path, headers, body):
        request = urllib.request.Request(f"http://{self.server.address}{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()
                return answer.status, answer.headers
        except urllib.error.HTTPError as error:
            error.read()
            return error.code, error.headers


def refused(server, requests, seed=1):
    """Sends the requests; returns how many were sent and lost, by case and client, and some reasons."""
    numbers, sent, lost, reasons = random.Random(seed), {}, {}, {}
    clients = {"http.client": Kept(server), "urllib": New(server)}
    for number in range(requests):
        name = list(CASES)[number % len(CASES)]
        which = list(clients)[number // len(CASES) % 2]
        status, method, path, headers = CASES[name]
        size = 6 * LIMIT if status == 413 else numbers.randint(100_000, LIMIT)
        at = name, which
        sent[at] = sent.get(at, 0) + 1
        try:
            found, said = clients[which].ask(method, path, headers, b"x" * size)
            if found != status:
                raise ValueError(f"status {found}")
            if found == 429 and "Retry-After" not in said:
                raise ValueError("no Retry-After")
        except (OSError, http.client.HTTPException, ValueError) as error:
            lost[at] = lost.get(at, 0) + 1
            reasons.setdefault(repr(error), at)
    return sent, lost, reasons


def hold_the_slot(server):
    """Takes the server's only request slot: a request whose body does not come."""
    holder = socket.create_connection((server.host, server.port))
    head = f"POST /v1/emotions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n"
    holder.sendall((head + "content-type: application/json\r\ncontent-length: 9\r\n\r\n").encode())
    while server.metrics(KEY)["tinymood_requests_in_flight"] < 1:
        time.sleep(0.01)
    return holder


def endless(server, pause):
    """Sends a refused body that does not end; returns after how many seconds the server closed."""
    client = socket.create_connection((server.host, server.port), timeout=60)
    started = time.monotonic()
    head = "POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    try:
        client.sendall((head + "transfer-encoding: chunked\r\n\r\n").encode())
        while time.monotonic() - started < 60:
            part = 1 if pause else 16 << 10
            client.sendall(f"{part:x}\r\n".encode() + b"x" * part + b"\r\n")
            time.sleep(pause)
    except OSError:
        pass
    return time.monotonic() - started


def main(binary, requests=1000):
    started = time.monotonic()
    # 429 needs a server whose only slot is taken; it refuses all else before it looks at the slot.
    arguments = ["--api-key", KEY, "--max-concurrent-requests", "1", "--request-timeout", "600"]
    with Served(binary, *arguments) as server:
        holder = hold_the_slot(server)
        cases = dict(CASES)
        for name in ("413 too large", "415 not JSON"):
            CASES.pop(name)
        first = refused(server, requests * len(CASES) // len(cases))
        holder.close()
        CASES.clear()
        CASES.update({name: case for name, case in cases.items() if name[:3] in ("413", "415")})
        while server.metrics(KEY)["tinymood_requests_in_flight"]:
            time.sleep(0.01)
        second = refused(server, requests - sum(first[0].values()))
        assert server.metrics(KEY)["tinymood_requests_in_flight"] == 0
    sent, lost = {**first[0], **second[0]}, {**first[1], **second[1]}
    for at in sorted(sent):
        print(f"{at[0]:20} {at[1]:12} {sent[at]:4} sent {lost.get(at, 0):4} lost")
    for reason, at in {**first[2], **second[2]}.items():
        print(f"  {at[0]}, {at[1]}: {reason}")

    with Served(binary, "--request-timeout", "5") as server:
        took = []
        bodies = [0.0] * 10 + [0.5] * 10
        threads = [threading.Thread(target=lambda p=pause: took.append(endless(server, p))) for pause in bodies]
        for thread in threads:
            thread.start()
        for _ in range(20):
            assert server.metrics()["tinymood_requests_in_flight"] == 0
            server.answers()
        for thread in threads:
            thread.join()
        while server.metrics()["tinymood_connections"] > 1:
            assert time.monotonic() - started < 300
            time.sleep(0.05)
        again = [threading.Thread(target=endless, args=(server, pause), daemon=True) for pause in bodies]
        for thread in again:
            thread.start()
        time.sleep(0.5)
        status, stopped = server.stop()
        for thread in again:
            thread.join()
    print(f"endless bodies       {len(bodies)} sent, closed after at most {max(took):.1f} s; "
          f"SIGTERM under 20 more: status {status} after {stopped:.1f} s")
    total = sum(lost.values())
    print(f"{sum(sent.values())} requests, {total} answers lost, {time.monotonic() - started:.0f} s")
    sys.exit(total > 0 or max(took) > 30 or status != 0)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
