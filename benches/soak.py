#!/usr/bin/env python3
"""A server that is changed without a pause while clients ask: no request may be lost, and memory may not grow.

  soak.py [HOURS] [--clients 4] [--receipt soak] [--program OTHER]

HOURS may have a fraction; the default is half an hour. Clients of a route and of a second model ask all the time, and read their streams
to the end; others vanish in the middle of theirs. Meanwhile candidates are released, promoted or aborted, back and forth; the second
model is swapped, unloaded and loaded; and the configuration is read again. Memory is what /proc says, once a second, and its slope the
median of the slopes between all pairs of minutes (Theil and Sen). Linux alone. The exit status is 1 if a request was lost or memory grew.
"""

import argparse
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import combinations
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import receipts
from programs import ROOT, run

# What was computed of prompts is kept as long as there is room: with small KV caches the room is used up before memory is watched.
CONFIGURATION = """
model: {{name: chat, source: {first}}}
cache: {{kv_tokens: 8192}}
models: [{{name: side, source: {second}}}]
storage: {{max_responses: {number}}}
"""

# A release that needs little to be promoted: it is to happen often.
PLAN = {"stages": [{"share": share, "min_time_s": 0.5, "min_samples": 20} for share in (0.5, 1.0)],
        "margins": {"failures": 0.5, "median": 9.0, "tail": 99.0, "quality": 0.9}, "freeze_after": 20, "warm_up_s": 0.5, "alpha": 0.4, "give_up_after_s": 60}

# The first part of the time fills caches, rings, pools, and what the system's allocator keeps of each thread's memory: that took a
# quarter of an hour.
WARM_UP = 0.5

# What happens beside the clients that read to the end.
CHANGES = ["release", "swap", "reload", "vanish"]

# What memory may grow by from the end of the warm-up to the end, of what it is then; the allocator breathes.
GROWTH = 0.05


class Soak:
    """A server and everything that is done to it."""

    def __init__(self, program: Path, folder: Path, seconds: float):
        self.folder, self.end = folder, time.monotonic() + seconds
        self.began, self.lost, self.counts, self.memory = time.monotonic(), [], Counter(), []
        self.lock = threading.Lock()
        self.files = [converted(program, folder, place) for place in ("one", "two")]
        self.write_configuration(4096)
        words = [program, "serve", "--config", folder / "whinchat.yaml", "--listen", "127.0.0.1:0", "--admin", "--data-dir", folder / "data"]
        self.process = subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.address, said = "", []
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"listening on http://([0-9.:]+)", line):
                self.address = found[1]
            if "is ready" in line:
                break
        else:
            raise SystemExit(f"the server ended before it was ready: {''.join(said)}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        # The first model is ready before the second.
        while self.status("/admin/models") != 200 or self.status("/v1/models/side") != 200:
            time.sleep(0.1)

    def status(self, path: str) -> int:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status

    def lasts(self) -> bool:
        return time.monotonic() < self.end

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def write_configuration(self, number: int) -> None:
        text = CONFIGURATION.format(first=json.dumps(str(self.files[0])), second=json.dumps(str(self.files[1])), number=number)
        beside = self.folder / "new.yaml"
        beside.write_text(text)
        beside.rename(self.folder / "whinchat.yaml")

    def fetch(self, method: str, path: str, body: dict | None = None) -> dict:
        connection = http.client.HTTPConnection(self.address, timeout=120)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, f"{method} {path}: {answer.status} {text.decode()}"
            return json.loads(text)
        finally:
            connection.close()

    # Clients.

    def ask(self, model: str, number: int) -> None:
        """Asks again and again on one connection; what is not answered to its end is lost."""
        chance, connection = random.Random(number), http.client.HTTPConnection(self.address, timeout=120)
        while self.lasts():
            try:
                connection.request("POST", "/v1/chat/completions", body(model, chance), {"content-type": "application/json"})
                answer = connection.getresponse()
                text = answer.read().decode()
                if answer.status != 200 or not text.rstrip().endswith("data: [DONE]"):
                    self.lost.append(f"{model}: {answer.status} {text[-300:]}")
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(f"{model}: {error!r}")
                connection.close()
            self.count(f"answers of {model}")

    def vanish(self, number: int) -> None:
        """Reads the beginning of a stream, and is gone."""
        chance = random.Random(number)
        while self.lasts():
            connection = http.client.HTTPConnection(self.address, timeout=120)
            connection.request("POST", "/v1/chat/completions", body("chat", chance, tokens=400), {"content-type": "application/json"})
            connection.getresponse().read(chance.randint(1, 600))
            connection.sock and connection.sock.close()
            connection.close()
            self.count("clients that vanished")

    # What is changed.

    def release(self) -> None:
        """Candidates one after the other, each of the other file; every third is aborted."""
        number = 0
        while self.lasts():
            number += 1
            order = {"route": "chat", "source": str(self.files[number % 2]), "version": f"v{number}", "plan": PLAN}
            told = self.fetch("POST", "/admin/releases", order)
            abort = number % 3 == 0
            while told["verdict"] is None and self.lasts():
                time.sleep(0.05)
                if abort and told["state"] == "running" and told["units"]["candidate"] > 10:
                    self.fetch("POST", f"/admin/releases/{told['id']}/abort", {"why": "back again"})
                told = self.fetch("GET", f"/admin/releases/{told['id']}")
            if told["verdict"]:
                self.count(f"releases {told['verdict'].replace('_', ' ')}")
                if told["verdict"] == "rolled_back":
                    print(f"{told['candidate']}: {told['why']}", file=sys.stderr)

    def swap(self) -> None:
        """The second model: swapped, and now and then taken from memory, so that the next request loads it."""
        number = 0
        while self.lasts():
            number += 1
            if number % 4 == 0:
                self.fetch("PATCH", "/admin/models/side", {"loaded": False})
                self.count("unloads")
            else:
                self.fetch("POST", "/admin/models", {"model": str(self.files[number % 2]), "name": "side"})
                self.count("swaps")
            time.sleep(0.5)

    def reload(self) -> None:
        number = 0
        while self.lasts():
            number += 1
            self.write_configuration(4096 - number % 2)
            if number % 2:
                self.process.send_signal(signal.SIGHUP)
            self.count("reloads")
            time.sleep(1)

    def weigh(self) -> None:
        """The server's memory once a second: seconds, MiB."""
        page = os.sysconf("SC_PAGE_SIZE")
        while self.lasts():
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
            self.memory.append((time.monotonic() - self.began, pages * page / 2**20))
            time.sleep(1)

    def run(self, clients: int, only: list[str]) -> None:
        changes = {"release": (self.release, ()), "swap": (self.swap, ()), "reload": (self.reload, ()), "vanish": (self.vanish, (200,))}
        works = [(self.ask, ("chat", number)) for number in range(clients)] + [(self.ask, ("side", 100)), (self.weigh, ())]
        works += [changes[name] for name in only]
        threads = [threading.Thread(target=self.guarded, args=work) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alive = self.process.poll() is None
        self.process.terminate()
        status = self.process.wait(timeout=120)
        if not alive or status != 0:
            self.lost.append(f"the server ended with {status}")

    def guarded(self, work, arguments: tuple) -> None:
        """What fails ends the whole: nothing goes on unseen."""
        try:
            work(*arguments)
        except Exception as error:
            self.lost.append(f"{work.__name__}: {error!r}")
            self.end = 0.0


def body(model: str, chance: random.Random, tokens: int = 24) -> str:
    question = f"What is {chance.randint(1, 40)} plus {chance.randint(1, 40)}?"
    messages = [{"role": "user", "content": question}]
    return json.dumps({"model": model, "messages": messages, "max_tokens": tokens, "stream": True, "ignore_eos": tokens > 100})


def built() -> Path:
    """This program, with what makes releases last."""
    run("cargo", "build", "--release", "--locked", "--package", "whinchat-cli", "--features", "batches")
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release/whinchat"


def converted(program: Path, folder: Path, place: str) -> Path:
    file = folder / f"{place}.gguf"
    subprocess.run([program, "convert", "whinchat-demo", "--type", "Q8_0", "--out", file], check=True, capture_output=True)
    return file


def slope(memory: list[tuple[float, float]], bins: int = 60) -> float:
    """The median slope between all pairs of times, in MiB per hour, once it is warm; each time is the median of its part."""
    warm = [point for point in memory if point[0] >= WARM_UP * memory[-1][0]]
    size = max(1, len(warm) // bins)
    parts = [warm[at:at + size] for at in range(0, len(warm), size)]
    points = [(median(at for at, _ in part), median(mib for _, mib in part)) for part in parts]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] > a[0]]
    return 3600 * median(slopes) if slopes else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hours", type=float, nargs="?", default=0.5)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--only", type=lambda text: text.split(","), default=CHANGES, help="of " + ",".join(CHANGES))
    parser.add_argument("--receipt", default="soak")
    parser.add_argument("--program", type=Path, help="another build, with the feature batches")
    options = parser.parse_args()
    program = options.program or built()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(program.resolve(), Path(folder), 3600 * options.hours)
        soak.run(options.clients, options.only)
    if len(soak.memory) < 10:
        sys.exit(f"it ended too soon: {soak.lost}")
    warm = [mib for at, mib in soak.memory if at >= WARM_UP * soak.memory[-1][0]]
    hours = soak.memory[-1][0] * (1 - WARM_UP) / 3600
    per_hour = slope(soak.memory)
    grew = per_hour * hours
    fine = not soak.lost and grew <= GROWTH * median(warm)
    rows = [[what, str(many)] for what, many in sorted(soak.counts.items())]
    rows += [["requests lost", str(len(soak.lost))], ["memory when warm, MiB", f"{warm[0]:.1f}"], ["memory at the end, MiB", f"{warm[-1]:.1f}"],
             ["slope of memory, MiB/h", f"{per_hour:.2f}"]]
    table = receipts.markdown(["what", "how many"], rows)
    facts = {"hours": options.hours, "clients": options.clients, "ok": fine, "lost": soak.lost[:20], "memory": [[round(at), round(mib, 1)] for at, mib in soak.memory]}
    print(table)
    for why in soak.lost[:5]:
        print(why, file=sys.stderr)
    if options.receipt:
        print(f"receipt: {receipts.save(options.receipt, facts, table).relative_to(ROOT)}")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
