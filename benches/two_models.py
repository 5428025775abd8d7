#!/usr/bin/env python3
"""Measures how two models in one server share the cores: each alone, then both at once.

    two_models.py LARGE.gguf SMALL.gguf [--seconds 30] [--receipt NAME] [--program OTHER]

In `decode` each model has one stream after another; in `prefill` the large one computes long prompts, each a new one. A model's
part is its rate beside the other over its rate alone; fair parts are about a half each, and together about 1.
"""

import argparse
import itertools
import json
import os
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import receipts
from programs import ROOT, Whinchat, serving

CONTEXT, WORDS = 4096, 1000
SMALL = {"prompt": "Once upon a time", "max_tokens": 64}
LARGE = {"decode": lambda _: SMALL, "prefill": lambda n: {"prompt": f"{n}. " + "the bird and the tree " * (WORDS // 5), "max_tokens": 1}}


@dataclass
class Load:
    """Asks one model again and again until it is told to stop."""

    address: str
    model: str
    body: object
    times: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    prompts: int = 0
    failure: OSError | None = None

    def run(self, numbers, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.ask(next(numbers), stop)
            except OSError as error:
                self.failure = error
                stop.set()

    def ask(self, number: int, stop: threading.Event) -> None:
        body = {"model": self.model, "stream": True, "temperature": 0, "ignore_eos": True, **self.body(number)}
        data, kind = json.dumps(body).encode(), {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.address}/v1/completions", data, kind)
        before, first = time.perf_counter(), True
        with urllib.request.urlopen(request) as response:
            for line in response:
                if not line.startswith(b"data: {"):
                    continue
                now = time.perf_counter()
                if stop.is_set():
                    return
                (self.firsts if first else self.gaps).append(now - before)
                self.times.append(now)
                before, first = now, False
        self.prompts += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("large", type=Path)
    parser.add_argument("small", type=Path)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--program", type=Path, help="another build")
    parser.add_argument("--receipt", default="two-models")
    options = parser.parse_args()
    ours = Whinchat(options.threads) if options.program is None else None
    program = options.program or ours.program
    command = [program, "serve", "--model", options.large, "--alias", "large", "--also", f"small={options.small}", "--context", CONTEXT]
    facts = {"large": options.large.name, "small": options.small.name, "threads": options.threads, "seconds": options.seconds,
             "whinchat": ours.version if ours else str(program), "tests": {}}
    with serving(command, options.threads) as address:
        until_both(address)
        for test in LARGE:
            facts["tests"][test] = measured(address, test, options.seconds)
    table = receipts.markdown(["test", "model", "alone", "beside", "part", "gap p50", "gap p99", "first p50"], rows(facts["tests"]))
    folder = receipts.save(options.receipt, facts, table)
    print(f"{table}\n\nreceipt: {folder.relative_to(ROOT)}")


def until_both(address: str) -> None:
    while True:
        with urllib.request.urlopen(f"{address}/v1/models") as response:
            if len(json.load(response)["data"]) == 2:
                return
        time.sleep(0.1)


def measured(address: str, test: str, seconds: float) -> dict:
    """Figures of each model, alone and beside the other."""
    bodies = {"large": LARGE[test], "small": lambda _: SMALL}
    found = {name: {"alone": together(address, {name: body}, seconds)[name]} for name, body in bodies.items()}
    for name, figures in together(address, bodies, seconds).items():
        found[name]["beside"] = figures
    return found


# A prompt that has been asked before is found in the cache, so none is asked twice.
NUMBERS = itertools.count()


def together(address: str, bodies: dict, seconds: float) -> dict:
    stop = threading.Event()
    loads = {name: Load(address, name, body) for name, body in bodies.items()}
    threads = [threading.Thread(target=load.run, args=(NUMBERS, stop)) for load in loads.values()]
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    for load in loads.values():
        if load.failure:
            raise load.failure
    return {name: figures(load, seconds) for name, load in loads.items()}


def figures(load: Load, seconds: float) -> dict:
    gaps = sorted(load.gaps)
    at = lambda share: gaps[min(int(share * len(gaps)), len(gaps) - 1)] * 1e3 if gaps else 0.0
    first = median(load.firsts) * 1e3 if load.firsts else 0.0
    return {"per_s": len(load.times) / seconds, "gap_p50_ms": at(0.5), "gap_p99_ms": at(0.99), "first_p50_ms": first,
            "answers": load.prompts}


def rows(tests: dict) -> list[list[str]]:
    lines = []
    for test, models in tests.items():
        for name, found in models.items():
            alone, beside = found["alone"], found["beside"]
            part = beside["per_s"] / alone["per_s"] if alone["per_s"] else float("nan")
            lines.append([test, name, f"{alone['per_s']:.2f}", f"{beside['per_s']:.2f}", f"{part:.2f}",
                          *(f"{beside[figure]:.1f}" for figure in ("gap_p50_ms", "gap_p99_ms", "first_p50_ms"))])
    return lines


if __name__ == "__main__":
    main()
