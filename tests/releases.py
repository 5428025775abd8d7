#!/usr/bin/env python3
"""Releases against a real server with real clients: who is promoted, who is rolled back and how fast, and that nobody notices.

    releases.py PROGRAM [--long] [--only NAME,…] [--workers 6] [--receipt NAME]

The stable variant is the built-in model. The candidates are: itself in Q8_0, which must be promoted; with 5 % errors; 30 % slower; one
whose executor panics; in Q2_K, which the shadow must refuse; a file that is broken. And a server is killed in the middle of a release.
The short form has wide margins and leaves the good candidate's times out, so that it need not wait; the long form has the default ones, and stages of 10, 25, 50 and 100 %.
"""

import argparse
import http.client
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
EVAL = ROOT / "models/whinchat-demo/eval"
ROUTE = "chat"

# How long anything may take before it has failed, in seconds.
DEADLINE = {"short": 330, "long": 1800}


def plans(long: bool) -> dict:
    """What releases are to do; the shadow alone decides in the second."""
    if long:
        stages = [{"share": share, "min_time_s": 10, "min_samples": 200} for share in (0.1, 0.25, 0.5, 1.0)]
        # The candidate's caches are empty when it begins.
        plan = {"stages": stages, "warm_up_s": 10, "give_up_after_s": 1200}
    else:
        stages = [{"share": share, "min_time_s": 1, "min_samples": 40} for share in (0.5, 1.0)]
        margins = {"failures": 0.1, "median": 1.5, "tail": 9.0, "quality": 0.5}
        plan = {"stages": stages, "margins": margins, "freeze_after": 60, "alpha": 0.2, "warm_up_s": 1,
                "give_up_after_s": 80}
    # Where failures are to decide no time counts, and the margin is far below the share that fails.
    untimed = {**plan, "warm_up_s": 3600}
    failures = {**untimed, "margins": {**plan.get("margins", {}), "failures": 0.005}}
    # Two types differ in speed on some machines, and a difference that is shown rolls back: the short form leaves times out.
    good = plan if long else untimed
    # Mirrored requests run last of all: on a machine that does other things too they take long, so that few have to do in the short form.
    compared = {"share": 0.5} if long else {"share": 1.0, "divergence": 0.02, "most": 0.5, "alpha": 0.2}
    shadow = {"shadow": compared, "give_up_after_s": max(plan["give_up_after_s"], 300)}
    return {"good": good, "canary": plan, "failures": failures, "shadow": {**plan, **shadow}}


class Server:
    """`whinchat serve` with the built-in model; what it remembers is in a folder that outlives it."""

    def __init__(self, program: Path, folder: Path):
        self.program, self.folder = program, folder
        words = [program, "serve", "--alias", ROUTE, "--listen", "127.0.0.1:0", "--admin", "--allow-faults",
                 "--data-dir", folder / "data"]
        home = {**os.environ, "HOME": str(folder), "HF_HUB_OFFLINE": "1"}
        home.pop("WHINCHAT_MODEL", None)
        self.process = subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        text=True, env=home)
        self.address, said = "", []
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"listening on (http://[0-9.:]+)", line):
                self.address = found[1]
            if "is ready" in line:
                break
        else:
            raise SystemExit(f"it ended before it was ready: {''.join(said)}")
        self.log = said
        threading.Thread(target=lambda: said.extend(self.process.stderr), daemon=True).start()

    def fetch(self, method: str, path: str, body: dict | None = None) -> tuple[int, dict]:
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def get(self, path: str) -> dict:
        status, answer = self.fetch("GET", path)
        assert status == 200, f"{path}: {status} {answer}"
        return answer

    def inject(self, version: str, **fault) -> None:
        status, answer = self.fetch("POST", "/admin/faults", {"match": {"model": f"{ROUTE}@{version}"}, "seconds": 3600, **fault})
        assert status == 200, f"{fault}: {status} {answer}"

    def heal(self) -> None:
        assert self.fetch("DELETE", "/admin/faults")[0] == 200

    def whinchat(self, *words) -> subprocess.Popen:
        """The program's own command, which asks this server."""
        command = [str(self.program), "release", *map(str, words), "--server", self.address]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def says(self, *words) -> str:
        command = self.whinchat(*words)
        out, err = command.communicate(timeout=60)
        assert command.returncode == 0, f"{words}: {command.returncode} {err}"
        return out

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Record:
    """A request as its client saw it."""

    began: float
    status: int
    variant: str
    fallback: str
    first: float
    between: float
    ok: bool
    why: str = ""


class Load:
    """Clients that ask without a pause, each on connections of its own, and remember everything."""

    def __init__(self, server: Server, workers: int):
        self.address = urlsplit(server.address).netloc
        self.records: list[Record] = []
        self.over = threading.Event()
        self.questions = questions()
        self.threads = [threading.Thread(target=self.run, args=(worker,)) for worker in range(workers)]

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def run(self, worker: int) -> None:
        chance = random.Random(worker)
        while not self.over.is_set():
            # A quarter of the clients takes answers whole.
            self.records.append(ask(self.address, chance.choice(self.questions), stream=worker % 4 != 3))

    def lost(self) -> list[Record]:
        return [record for record in self.records if not record.ok]

    def since(self, began: float) -> list[Record]:
        return [record for record in list(self.records) if record.began >= began]


def questions() -> list[list[dict]]:
    """Conversations that the built-in model knows how to answer."""
    lines = itertools.chain.from_iterable((EVAL / f"{task}.jsonl").read_text().splitlines() for task in ("facts", "greetings", "words", "arithmetic"))
    return [json.loads(line)["messages"] for line in lines]


def ask(address: str, messages: list[dict], stream: bool, session: str = "") -> Record:
    """Asks once, over a connection of its own."""
    body = {"model": ROUTE, "messages": messages, "max_tokens": 24, "temperature": 0, "stream": stream}
    headers = {"content-type": "application/json", **({"x-session-id": session} if session else {})}
    began = time.perf_counter()
    record = Record(began, 0, "", "", 0.0, 0.0, False)
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        record.status, record.variant = answer.status, answer.headers.get("x-whinchat-variant", "")
        record.fallback = answer.headers.get("x-whinchat-fallback", "")
        if stream and answer.status == 200:
            read_stream(answer, record)
        else:
            text = answer.read().decode()
            record.ok = answer.status == 200 and bool(json.loads(text)["choices"][0]["message"]["content"])
            record.why = "" if record.ok else text
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        record.why = repr(error)
    finally:
        connection.close()
    return record


def read_stream(answer: http.client.HTTPResponse, record: Record) -> None:
    """Reads to the end; an answer without an end is not one."""
    times, last = [], ""
    for line in answer:
        if line.startswith(b"data: "):
            last = line.decode().strip()
            times.append(time.perf_counter())
    record.ok = last == "data: [DONE]" and len(times) > 2
    record.why = "" if record.ok else f"the stream ended with {last!r}"
    record.first = times[0] - record.began if times else 0.0
    record.between = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0


@dataclass
class Ended:
    """How a release ended."""

    release: dict
    status: int
    seconds: float
    # From the verdict to the beginning of the last request that the candidate answered; below zero: before it.
    settled: float
    requests: int
    lost: int


def release(server: Server, load: Load, candidate: str, source: Path, plan: dict, deadline: float) -> Ended:
    """Releases a candidate by the program's own command, and follows it to its end."""
    file = server.folder / f"{candidate}.json"
    file.write_text(json.dumps(plan))
    began, before = time.perf_counter(), len(load.records)
    command = server.whinchat("start", ROUTE, "--source", source, "--version", candidate, "--plan", file, "--watch", "--json")
    late = threading.Timer(deadline, command.kill)
    late.start()
    messages, over = [], 0.0
    for line in command.stdout:
        messages.append(json.loads(line))
        if messages[-1].get("kind") == "ended":
            over = time.perf_counter()
    status = command.wait()
    late.cancel()
    assert over, f"{candidate}: no verdict after {deadline} s: {command.stderr.read()} {messages[-1:]}"
    # Requests that come from now on tell who answers after the verdict.
    settle(load, over + 1.5)
    last = max((record.began for record in load.since(began) if record.variant == "candidate"), default=over)
    told = server.get(f"/admin/releases/{messages[0].get('id', 'latest')}")
    lost = [record for record in load.records[before:] if not record.ok]
    return Ended(told, status, over - began, last - over, len(load.records) - before, len(lost))


def settle(load: Load, until: float) -> None:
    """Waits until requests have been asked and answered after that time."""
    while len(load.since(until)) < 2 * len(load.threads):
        assert load.over.wait(0.02) is False


@dataclass
class Case:
    """A candidate, and what has to become of it."""

    name: str
    source: str
    plan: str
    verdict: str
    # What has to be in the reason.
    why: str
    # How many requests of the candidate it may take at most.
    most: int
    faults: tuple = ()


CASES = [
    Case("q8", "Q8_0", "good", "promoted", "no worse", 10**6),
    Case("errors", "Q8_0", "failures", "rolled_back", "failures", 600, ({"kind": "error", "status": 500, "share": 0.05},)),
    Case("slow", "Q8_0", "canary", "rolled_back", "time", 600, ("slower",)),
    Case("crashing", "Q8_0", "failures", "rolled_back", "failures", 40, ({"kind": "panic"},)),
    Case("q2", "Q2_K", "shadow", "rolled_back", "nats", 150),
]


def run(case: Case, server: Server, load: Load, files: dict[str, Path], options: argparse.Namespace) -> dict:
    """Releases a candidate, and says what became of it."""
    for fault in case.faults:
        for one in slower(load) if fault == "slower" else [fault]:
            server.inject(case.name, **one)
    plan = plans(options.long)[case.plan]
    ended = release(server, load, case.name, files[case.source], plan, DEADLINE["long" if options.long else "short"])
    server.heal()
    told, answered = ended.release, ended.release["requests"]["candidate"]["ended"]
    tried = told["shadow"]["compared"] if case.plan == "shadow" and told.get("shadow") else answered
    assert told["verdict"] == case.verdict, f"{case.name}: {told['verdict']}: {told['why']}"
    assert case.why in told["why"], f"{case.name}: {told['why']}"
    assert ended.status == (0 if case.verdict == "promoted" else 1), f"{case.name}: the exit status is {ended.status}"
    assert tried <= case.most, f"{case.name}: {tried} requests of the candidate"
    assert ended.lost == 0, f"{case.name}: {ended.lost} requests failed: {load.lost()[0]}"
    assert case.verdict == "promoted" or ended.settled < 1.0, f"{case.name}: {ended.settled} s to 100 % stable"
    explained = server.says("explain", told["id"])
    assert "Replayed" in explained and told["why"] in explained, explained
    fallbacks = told["requests"]["candidate"].get("fallbacks", 0)
    print(f"{case.name}: {told['verdict']} after {ended.seconds:.1f} s and {tried} requests of the candidate: {told['why']}", flush=True)
    return {"candidate": case.name, "verdict": told["verdict"], "seconds": f"{ended.seconds:.1f}", "its requests": str(tried),
            "all requests": str(ended.requests), "answered instead": str(fallbacks), "lost": str(ended.lost),
            "to 100 % stable": f"{max(ended.settled, 0.0):.2f} s" if case.verdict != "promoted" else "–", "why": told["why"]}


def slower(load: Load) -> list[dict]:
    """Faults that make a variant's times a third longer than they are."""
    settle(load, time.perf_counter() + 1.0)
    seen = [record for record in load.records[-300:] if record.first]
    longer = lambda seconds: max(1, round(1300 * seconds))
    return [{"kind": "delay", "milliseconds": longer(median(r.first for r in seen))},
            {"kind": "slow_stream", "milliseconds": longer(median(r.between for r in seen))}]


def broken(server: Server, load: Load, folder: Path) -> dict:
    """A file that is none is refused, and nothing changes."""
    file = folder / "broken.gguf"
    file.write_bytes(b"GGUF" + bytes(60))
    command = server.whinchat("start", ROUTE, "--source", file, "--version", "broken", "--watch", "--json")
    out, err = command.communicate(timeout=60)
    assert command.returncode in (1, 2, 3), f"{command.returncode}: {out}{err}"
    assert not load.lost(), load.lost()[0]
    print(f"broken: refused: {err.strip().splitlines()[0]}", flush=True)
    return {"candidate": "broken", "verdict": "refused", "seconds": "0", "its requests": "0", "all requests": "0",
            "answered instead": "0", "lost": "0", "to 100 % stable": "0.00 s", "why": err.strip().splitlines()[0]}


def killed(program: Path, folder: Path, source: Path, kills: int) -> dict:
    """A server that is killed in a stage: the release goes on where it was, with the same sessions on the same variants."""
    server = Server(program, folder)
    stages = [{"share": 0.4, "min_time_s": 3600, "min_samples": 10**6}, {"share": 1.0, "min_time_s": 0, "min_samples": 1}]
    plan = folder / "killed.json"
    plan.write_text(json.dumps({"stages": stages, "by": "session"}))
    server.says("start", ROUTE, "--source", source, "--version", "killed", "--plan", plan)
    until_running(server)
    people = [f"person-{number}" for number in range(40)]
    first = variants(server, people)
    assert len(set(first.values())) == 2, f"one variant has all sessions: {Counter(first.values())}"
    began = time.perf_counter()
    for _ in range(kills):
        before = server.get(f"/admin/releases/{ROUTE}")
        server.kill()
        server = Server(program, folder)
        until_running(server)
        after = server.get(f"/admin/releases/{ROUTE}")
        same = ("id", "stage", "share", "stable", "candidate", "plan")
        assert all(before[field] == after[field] for field in same), f"{before}\n{after}"
        assert after["units"]["candidate"] >= before["units"]["candidate"] > 0, f"{before}\n{after}"
        again = variants(server, people)
        others = {person: (first[person], again[person]) for person in people if first[person] != again[person]}
        assert not others, f"sessions met other variants after the kill: {others} {server.get(f'/admin/routes/{ROUTE}')}"
    server.says("promote", ROUTE, "--why", "the test")
    server.says("pause", ROUTE)
    server.says("resume", ROUTE)
    told = json.loads(server.says("abort", ROUTE, "--why", "it was a test", "--json"))
    assert (told["verdict"], told["why"]) == ("aborted", "it was a test"), told
    explained = server.says("explain", ROUTE)
    for part in ("began", "somebody promoted it", "paused", "resumed", "it was a test", "Replayed"):
        assert part in explained, explained
    assert "aborted" in server.says("status") and "somebody promoted it" in server.says("history", ROUTE)
    server.kill()
    print(f"killed: {kills} times, {len(people)} sessions met the same variants", flush=True)
    return {"candidate": f"killed {kills} times", "verdict": "goes on", "seconds": f"{time.perf_counter() - began:.1f}",
            "its requests": str(told["requests"]["candidate"]["ended"]), "all requests": str(len(people) * (kills + 1)),
            "answered instead": "0", "lost": "0", "to 100 % stable": "–", "why": f"{len(people)} sessions met the same variants"}


def until_running(server: Server) -> None:
    """Waits until the candidate is in memory."""
    end, status, told = time.monotonic() + 60, 0, {}
    while status != 200 or told["state"] == "loading":
        assert time.monotonic() < end, told
        time.sleep(0.02)
        status, told = server.fetch("GET", f"/admin/releases/{ROUTE}")
    assert told["state"] == "running", told


def variants(server: Server, people: list[str]) -> dict[str, str]:
    """Which variant each session meets."""
    address = urlsplit(server.address).netloc
    answers = {person: ask(address, questions()[0], stream=False, session=person) for person in people}
    wrong = [answer for answer in answers.values() if not answer.ok]
    assert not wrong, wrong[0]
    return {person: answer.variant for person, answer in answers.items()}


def converted(program: Path, folder: Path) -> dict[str, Path]:
    """The built-in model in each type."""
    files = {}
    for kind in ("Q8_0", "Q2_K"):
        files[kind] = folder / f"{kind}.gguf"
        subprocess.run([program, "convert", "whinchat-demo", "--type", kind, "--out", files[kind]], check=True, capture_output=True)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--receipt", help="also writes benches/runs/…/NAME.md")
    options = parser.parse_args()
    options.program = options.program.resolve()
    wanted = lambda name: not options.only or name in options.only
    rows, began = [], time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = converted(options.program, folder)
        if any(wanted(case.name) for case in CASES) or wanted("broken"):
            server = Server(options.program, folder)
            try:
                with Load(server, options.workers) as load:
                    settle(load, time.perf_counter())
                    rows += [run(case, server, load, files, options) for case in CASES if wanted(case.name)]
                    rows += [broken(server, load, folder)] if wanted("broken") else []
            except BaseException:
                print("".join(server.log[-40:]), file=sys.stderr)
                raise
            finally:
                server.kill()
        if wanted("killed"):
            rows.append(killed(options.program, Path(tempfile.mkdtemp(dir=folder)), files["Q8_0"], 20 if options.long else 2))
    seconds = time.perf_counter() - began
    print(f"{len(rows)} releases in {seconds:.0f} s; ok")
    if options.receipt:
        receipt(options, rows, seconds)


def receipt(options: argparse.Namespace, rows: list[dict], seconds: float) -> None:
    sys.path.insert(0, str(ROOT / "benches"))
    import receipts

    head = list(rows[0])
    table = receipts.markdown(head, [[row[name] for name in head] for row in rows])
    form = "long" if options.long else "short"
    facts = {"command": f"tests/releases.py target/…/whinchat{' --long' if options.long else ''} --receipt {options.receipt}",
             "form": form, "plan": json.dumps(plans(options.long)["canary"]), "clients": options.workers, "seconds": round(seconds), "releases": rows}
    print(f"receipt: {receipts.save(options.receipt, facts, table)}")


if __name__ == "__main__":
    main()
