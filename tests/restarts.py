#!/usr/bin/env python3
"""Restarts a server again and again while clients ask: every request gets its whole answer.

    restarts.py PROGRAM MODEL [--restarts 100] [--clients 2] [--seed 1] [--tls]

Each server is started with `--hand-over` and the same flags, takes the sockets over from the one before, and has a name of its own. There are
so many clients of each kind: with a new connection for each request or one that is kept, for whole answers or streams; and one whose
connection is idle for longer than a server that leaves waits for it. None of them tries a request twice. A connection that the server has
closed before a request is written is opened anew, as every HTTP client does it. `--tls` makes a certificate with openssl.
"""

import argparse
import collections
import http.client
import json
import os
import random
import re
import select
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

KINDS = {"new, whole": (False, False, 16, 0.02), "new, stream": (False, True, 200, 0.02), "kept, whole": (True, False, 16, 0.02),
         "kept, stream": (True, True, 200, 0.02), "kept, idle": (True, False, 16, 6.0)}
DEADLINE = 120


class Server:
    """A server with a name of its own, on the sockets of the one before if there is one."""

    def __init__(self, words: list[str], name: str, home: Path, takes_over: bool):
        began = time.perf_counter()
        environment = {**os.environ, "HOME": str(home), "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen([*words, "--alias", name], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                                        env=environment)
        self.said, self.port = [], None
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"listening on https?://127.0.0.1:([0-9]+)", line):
                self.port = int(found[1])
            if ("took over" if takes_over else "is ready") in line:
                break
        else:
            raise SystemExit(f"it ended before it was ready: {''.join(self.said)}")
        self.took = time.perf_counter() - began
        # It must not wait for who reads what it says.
        threading.Thread(target=lambda: self.said.extend(self.process.stderr), daemon=True).start()

    def ended(self) -> None:
        """Waits for its end, which must be a good one."""
        status = self.process.wait(DEADLINE)
        assert status == 0, f"a server ended with {status}: {''.join(self.said)}"


class Client(threading.Thread):
    """Asks until it is told to stop; what went wrong ends it."""

    def __init__(self, kind: str, seed: int, port: int, tls: ssl.SSLContext | None, over: threading.Event):
        super().__init__(daemon=True)
        self.kind, self.port, self.tls, self.over = kind, port, tls, over
        self.kept, self.stream, self.tokens, self.idle = KINDS[kind]
        self.chance, self.connection, self.connected = random.Random(seed), None, 0
        self.answers, self.wrong, self.slowest = collections.Counter(), None, 0.0
        self.texts: set[str] = set()

    def run(self) -> None:
        try:
            while not self.over.is_set():
                began = time.perf_counter()
                name, text = self.ask()
                self.slowest = max(self.slowest, time.perf_counter() - began)
                self.answers[name] += 1
                self.texts.add(text)
                # The idle ones wait as long as they say, the others up to that.
                self.over.wait(self.idle if self.idle > 1 else self.chance.uniform(0, self.idle))
        except Exception as error:  # whatever it is, it is a request that was lost
            self.wrong = f"{self.kind}, after {sum(self.answers.values())} answers: {error!r}"

    def ask(self) -> tuple[str, str]:
        connection = self.connection if self.kept and self.is_open() else self.connect()
        body = {"prompt": "Once upon a time", "max_tokens": self.tokens, "ignore_eos": True, "temperature": 0, "stream": self.stream}
        connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        raw = response.read().decode()
        assert response.status == 200, f"{response.status} {raw}"
        if not self.kept:
            connection.close()
        if not self.stream:
            answer = json.loads(raw)
            return answer["model"], answer["choices"][0]["text"]
        data = [line.removeprefix("data: ") for line in raw.splitlines() if line.startswith("data: ")]
        assert data and data[-1] == "[DONE]", f"the stream ends with {raw[-200:]!r}"
        chunks = [json.loads(event) for event in data[:-1]]
        reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
        assert reasons == ["length"], f"the stream ends for {reasons}"
        return chunks[0]["model"], "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])

    def is_open(self) -> bool:
        """Whether the connection is there and the server has not closed it."""
        socket = self.connection and self.connection.sock
        return socket is not None and not select.select([socket], [], [], 0)[0]

    def connect(self) -> http.client.HTTPConnection:
        if self.connection:
            self.connection.close()
        self.connected += 1
        if self.tls:
            self.connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=DEADLINE, context=self.tls)
        else:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        self.connection.connect()
        return self.connection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--restarts", type=int, default=100)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [str(options.program), "serve", "--model", str(options.model), "--listen", "127.0.0.1:0",
                 "--hand-over", str(folder / "door"), "--grace", "2m"]
        tls = certified(folder, words) if options.tls else None
        servers = [Server(words, "server-0", folder, False)]
        over = threading.Event()
        kinds = [kind for kind in KINDS for _ in range(1 if "idle" in kind else options.clients)]
        clients = [Client(kind, options.seed + at, servers[0].port, tls, over) for at, kind in enumerate(kinds)]
        try:
            for client in clients:
                client.start()
            began = time.perf_counter()
            for restart in range(options.restarts):
                time.sleep(chance.uniform(0, 0.5))
                servers.append(Server(words, f"server-{restart + 1}", folder, True))
                if any(client.wrong for client in clients):
                    break
            answered(clients, f"server-{len(servers) - 1}")
            took = time.perf_counter() - began
            over.set()
            for client in clients:
                client.join(DEADLINE)
            for server in servers[:-1]:
                server.ended()
        finally:
            over.set()
            for server in servers:
                server.process.kill()
        report(clients, servers, took)


def answered(clients: list[Client], name: str) -> None:
    """Waits until the last server has answered every client but the idle ones."""
    deadline = time.perf_counter() + DEADLINE
    while any(not client.answers[name] and not client.wrong for client in clients if client.idle < 1):
        assert time.perf_counter() < deadline, f"{name} does not answer all"
        time.sleep(0.01)


def report(clients: list[Client], servers: list[Server], took: float) -> None:
    wrong = [client.wrong for client in clients if client.wrong]
    assert not wrong, f"{len(wrong)} clients lost a request: {'; '.join(wrong)}"
    assert not any(client.is_alive() for client in clients), "a client waits still"
    by_length = collections.defaultdict(set)
    for client in clients:
        by_length[client.tokens] |= client.texts
    assert all(len(texts) == 1 for texts in by_length.values()), "the same request had different answers"
    names = {name for client in clients for name in client.answers}
    starts = sorted(server.took for server in servers[1:])
    print(f"{len(servers) - 1} restarts in {took:.1f} s under load: no request lost; {len(names)} of {len(servers)} servers answered;"
          f" a start took {starts[len(starts) // 2]:.2f} s, at most {starts[-1]:.2f} s")
    print("| clients | requests | lost | connections | slowest answer |\n|---|---|---|---|---|")
    for kind in KINDS:
        group = [client for client in clients if client.kind == kind]
        total = sum(sum(client.answers.values()) for client in group)
        slowest = max(client.slowest for client in group)
        print(f"| {len(group)} × {kind} | {total} | 0 | {sum(client.connected for client in group)} | {slowest:.2f} s |")


def certified(folder: Path, words: list[str]) -> ssl.SSLContext:
    """Makes a certificate, which the server shows and clients trust."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    words += ["--tls-cert", str(cert), "--tls-key", str(key)]
    return ssl.create_default_context(cafile=cert)


if __name__ == "__main__":
    main()
