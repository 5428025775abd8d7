#!/usr/bin/env python3
"""What a safe change costs those who are served meanwhile.

    safe_change.py [--stable FILE] [--candidate FILE] [--rate 4] [--seconds 2] [--rounds 50] [--receipt NAME] [--program OTHER]

Shadow: one server has two routes over the same two models; in one of them each tenth request is mirrored to the candidate. Requests come
at random moments at a stated rate, and the routes take turns. Roll-back: a candidate answers half of the requests until it is given
up; counted is how long after that the candidate still gets requests. Without files the built-in model and itself in Q8_0 are taken.
"""

import argparse
import http.client
import json
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import receipts
from programs import ROOT, Whinchat, run, serving

ROUTES = ("plain", "mirrored")
TOKENS = 48
CONFIGURATION = """
demand:
  routes:
    - {name: plain, policy: single, variants: [{id: stable, model: first}]}
    - {name: mirrored, policy: shadow, share: 0.1, variants: [{id: stable, model: first}, {id: candidate, model: second}]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stable", default="whinchat-demo")
    parser.add_argument("--candidate", type=Path)
    parser.add_argument("--rate", type=float, default=4, help="requests a second")
    parser.add_argument("--seconds", type=int, default=2, help="of each route in each round: what else the machine does takes longer")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--rollbacks", type=int, default=20)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--receipt", default="safe-change")
    parser.add_argument("--program", type=Path, help="another build")
    chosen = parser.parse_args()
    program = chosen.program or Whinchat(chosen.threads).program
    with tempfile.TemporaryDirectory() as folder:
        candidate = chosen.candidate or converted(program, Path(folder))
        configuration = Path(folder, "routes.yaml")
        configuration.write_text(CONFIGURATION)
        command = [program, "serve", "--config", configuration, "--admin", "--model", chosen.stable, "--alias", "first", "--also", f"second={candidate}"]
        with serving(command, chosen.threads) as address:
            netloc = urlsplit(address).netloc
            until_loaded(netloc)
            times = shadowed(netloc, chosen)
            gaps = [rolled_back(netloc, number) for number in range(chosen.rollbacks)]
    facts = {"program": str(chosen.program or "this"), "stable": Path(chosen.stable).name, "candidate": candidate.name, "rate": chosen.rate,
             "rounds": chosen.rounds, "seconds": chosen.seconds, "rollbacks": chosen.rollbacks}
    table = told(times, gaps)
    folder = receipts.save(chosen.receipt, {**facts, "seconds_of_requests": times, "rollback_ms": gaps}, table)
    print(f"{table}\n\nreceipt: {folder.relative_to(ROOT)}")


def converted(program: Path, folder: Path) -> Path:
    path = folder / "whinchat-demo-Q8_0.gguf"
    run(program, "convert", "whinchat-demo", "--type", "Q8_0", "--out", path)
    return path


def fetch(netloc: str, method: str, path: str, body: dict | None = None) -> tuple[dict, str]:
    """The answer, and which variant gave it."""
    connection = http.client.HTTPConnection(netloc, timeout=60)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, {"content-type": "application/json"})
        answer = connection.getresponse()
        text = json.loads(answer.read())
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status} {text}")
        return text, answer.headers.get("x-whinchat-variant", "")
    finally:
        connection.close()


def asked(netloc: str, route: str, number: int) -> str:
    body = {"model": route, "prompt": f"{number}. Once upon a time there was", "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}
    return fetch(netloc, "POST", "/v1/completions", body)[1]


def until_loaded(netloc: str) -> None:
    while len(fetch(netloc, "GET", "/v1/models")[0]["data"]) < 2:
        time.sleep(0.1)
    for model in ("first", "second"):
        asked(netloc, model, 0)


def shadowed(netloc: str, chosen: argparse.Namespace) -> dict[str, list[float]]:
    """How long requests took, by route; the routes take turns, and which is first too."""
    times: dict[str, list[float]] = {route: [] for route in ROUTES}
    for number in range(chosen.rounds):
        for route in ROUTES if number % 2 else ROUTES[::-1]:
            # Both routes meet the same moments.
            times[route] += arrivals(netloc, route, chosen, random.Random(number))
    shown, _ = fetch(netloc, "GET", "/admin/routes/mirrored")
    print(f"compared: {shown['shadow']['compared']}", file=sys.stderr)
    return times


def arrivals(netloc: str, route: str, chosen: argparse.Namespace, chance: random.Random) -> list[float]:
    times: list[float] = []

    def one(number: int) -> None:
        before = time.perf_counter()
        asked(netloc, route, number)
        times.append(time.perf_counter() - before)

    threads, end = [], time.perf_counter() + chosen.seconds
    while time.perf_counter() < end:
        time.sleep(chance.expovariate(chosen.rate))
        threads.append(threading.Thread(target=one, args=(chance.randrange(10**6),)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return times


def rolled_back(netloc: str, number: int) -> float:
    """Milliseconds from the command until the last request came that the candidate answered."""
    plan = {"stages": [{"share": 0.5, "min_time_s": 600, "min_samples": 100000}, {"share": 1.0}], "warm_up_s": 3600}
    release, _ = fetch(netloc, "POST", "/admin/releases", {"route": "plain", "candidate": "second", "plan": plan})
    path = f"/admin/releases/{release['id']}"
    while fetch(netloc, "GET", path)[0]["state"] != "running":
        time.sleep(0.01)
    met: list[tuple[float, str]] = []
    over = threading.Event()

    def client(of: int) -> None:
        while not over.is_set():
            began = time.perf_counter()
            met.append((began, asked(netloc, "plain", number * 1000 + of)))

    clients = [threading.Thread(target=client, args=(of,)) for of in range(4)]
    for thread in clients:
        thread.start()
    while sum(variant == "candidate" for _, variant in list(met)) < 8:
        time.sleep(0.01)
    verdict = time.perf_counter()
    fetch(netloc, "POST", f"{path}/abort", {})
    time.sleep(0.3)
    over.set()
    for thread in clients:
        thread.join()
    after = [began - verdict for began, variant in met if variant == "candidate" and began > verdict]
    if not any(began > verdict for began, _ in met):
        sys.exit("nobody asked after the verdict")
    return 1e3 * max(after, default=0.0)


def quantile(times: list[float], share: float) -> float:
    return sorted(times)[min(int(share * len(times)), len(times) - 1)]


def told(times: dict[str, list[float]], gaps: list[float]) -> str:
    rows = []
    for route, taken in times.items():
        rows.append([route, str(len(taken)), *(f"{1e3 * quantile(taken, share):.1f}" for share in (0.5, 0.9, 0.99))])
    ratio = [f"{quantile(times['mirrored'], share) / quantile(times['plain'], share):.3f}" for share in (0.5, 0.9, 0.99)]
    rows.append(["mirrored / plain", "", *ratio])
    table = receipts.markdown(["route", "requests", "p50 ms", "p90 ms", "p99 ms"], rows)
    return f"{table}\n\nRoll-back: the last request to the candidate came {median(gaps):.1f} ms (median) and {max(gaps):.1f} ms (at most) after the command."


if __name__ == "__main__":
    main()
