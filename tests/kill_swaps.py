#!/usr/bin/env python3
"""Kills a server while models are swapped, again and again: it starts each time, says the same, and no file has changed.

    kill_swaps.py PROGRAM MODEL [--rounds 50] [--seed 1]

MODEL is a file or a folder; what is served is a copy of it, beside which the server may keep a cache.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ASK = {"model": "m", "prompt": "Once upon a time", "max_tokens": 16, "temperature": 0}


class Server:
    """A server of the folder's model `one`, that may be told to load `two`."""

    def __init__(self, program: Path, folder: Path, model: Path):
        home = {**os.environ, "HOME": str(folder), "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"}
        words = [program, "serve", "--model", model, "--alias", "m", "--listen", "127.0.0.1:0", "--admin",
                 "--sessions", folder / "sessions"]
        began = time.perf_counter()
        self.process = subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        text=True, env=home)
        self.address, said = None, []
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"listening on (http://[0-9.:]+)", line):
                self.address = found[1]
            if "is ready" in line:
                break
        else:
            raise SystemExit(f"it ended before it was ready: {''.join(said)}")
        self.took = time.perf_counter() - began
        # Nobody reads on: it must not wait for that.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def post(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def says(self) -> str:
        return self.post("/v1/completions", ASK)["choices"][0]["text"]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copies = [copied(options.model, folder / f"models/{place}") for place in ("one", "two")]
        (folder / "sessions").mkdir()
        before = {path: digest(path) for path in files(folder)}
        server = Server(options.program, folder, copies[0])
        expected, swap = server.says(), timed(lambda: server.post("/admin/models", order(copies[1])))
        assert server.says() == expected, "a copy says something else"
        server.kill()
        swapped = 0
        for _ in range(options.rounds):
            swapped += killed(Server(options.program, folder, copies[0]), copies, expected, chance.uniform(0, 3 * swap))
        server = Server(options.program, folder, copies[0])
        said = server.says()
        server.kill()
        assert said == expected, f"it says {said!r}, not {expected!r}"
        changed = [str(path.relative_to(folder)) for path, was in before.items() if not path.exists() or digest(path) != was]
        assert not changed, f"changed: {changed}"
        new = sorted(str(path.relative_to(folder)) for path in files(folder) if path not in before)
        print(f"{options.rounds} kills, {swapped} swaps had ended; new files: {', '.join(new) or 'none'}; ok")


def killed(server: Server, copies: list[Path], expected: str, after: float) -> int:
    """Swaps and asks until the server is killed; says how many swaps had ended, all of whose answers were right."""
    swapped, wrong, over = 0, [], threading.Event()

    def swaps() -> None:
        nonlocal swapped
        while not over.is_set():
            try:
                server.post("/admin/models", order(copies[swapped % 2]))
                swapped += 1
            except (OSError, urllib.error.URLError, ValueError):
                return

    def asks() -> None:
        while not over.is_set():
            try:
                if (said := server.says()) != expected:
                    wrong.append(said)
            except (OSError, urllib.error.URLError, ValueError) as error:
                if not over.is_set():
                    wrong.append(repr(error))
                return

    threads = [threading.Thread(target=work) for work in (swaps, asks, asks)]
    for thread in threads:
        thread.start()
    time.sleep(after)
    over.set()
    server.kill()
    for thread in threads:
        thread.join()
    assert not wrong, f"{after:.3f} s: {wrong[0]}"
    return swapped


def order(model: Path) -> dict:
    return {"model": str(model), "name": "m"}


def copied(model: Path, folder: Path) -> Path:
    if model.is_dir():
        return Path(shutil.copytree(model, folder))
    folder.mkdir(parents=True)
    return Path(shutil.copy(model, folder))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
