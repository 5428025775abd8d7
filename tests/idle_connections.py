#!/usr/bin/env python3
"""A thousand clients are connected and ask nothing: others are answered all the same, and little memory is taken.

    idle_connections.py PROGRAM [--connections 1000]
"""

import argparse
import json
import re
import resource
import socket
import subprocess
import threading
import urllib.request
from pathlib import Path

PATIENCE = 60
# For each connection: its buffers, its timers and what hyper keeps of it.
MOST_BYTES = 64 << 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--connections", type=int, default=1000)
    options = parser.parse_args()
    raised(options.connections + 256)
    words = [options.program, "serve", "--listen", "127.0.0.1:0", "--threads", "1"]
    server = subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, text=True)
    try:
        host, port = address(server).split(":")
        threading.Thread(target=server.stderr.read, daemon=True).start()
        ask(host, port)
        before = resident(server.pid)
        idle = [socket.create_connection((host, int(port)), PATIENCE) for _ in range(options.connections)]
        # Half of them have asked once.
        for connection in idle[::2]:
            assert health(connection) == 200
        for _ in range(5):
            ask(host, port)
        each = (resident(server.pid) - before) / len(idle)
        assert each <= MOST_BYTES, f"{each:.0f} bytes for each connection"
        # The server has closed none, and answers on every one.
        statuses = {health(connection) for connection in idle}
        assert statuses == {200}, statuses
        print(f"{len(idle)} idle connections took {each:.0f} bytes each; others were answered")
    finally:
        server.terminate()
        server.wait(PATIENCE)


def raised(files: int) -> None:
    """So many files may be open, in the server too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, hard) if hard != resource.RLIM_INFINITY else files, hard))


def address(server: subprocess.Popen) -> str:
    found, said = None, []
    for line in server.stderr:
        said.append(line)
        if listening := re.search(r"listening on http://([0-9.:]+)", line):
            found = listening[1]
        if "is ready" in line:
            return found
    raise SystemExit(f"it ended before it was ready: {''.join(said)}")


def ask(host: str, port: str) -> None:
    body = json.dumps({"prompt": "Once", "max_tokens": 4}).encode()
    request = urllib.request.Request(f"http://{host}:{port}/v1/completions", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        assert json.load(response)["choices"], "no answer"


def health(connection: socket.socket) -> int:
    """The status of an answer by this connection, which stays open."""
    connection.sendall(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(4096)
        assert part, f"closed after {answer!r}"
        answer += part
    head, rest = answer.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
    while len(rest) < length:
        rest += connection.recv(4096)
    return int(head.split(b" ")[1])


def resident(process: int) -> int:
    """Bytes of memory that a process has."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


if __name__ == "__main__":
    main()
