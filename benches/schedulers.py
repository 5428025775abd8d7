#!/usr/bin/env python3
"""Compares the two ways of requests to the engine, under 100 at once: continuous batching, and a pool of workers in front.

    schedulers.py MODEL.gguf OURS PARKING [--rounds 3] [--receipt NAME]

OURS is a build of whinchat with the default features, PARKING one with `parking-lot-scheduler`. Each request has a prompt of 64
tokens by chance and an answer of 32; each of the 100 clients sends its next one when the last is complete. It needs httpx.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

import receipts
from programs import ROOT, text
from under_load import Server, percentile, stream, tokens

CLIENTS, EACH, ANSWER = 100, 3, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("ours", type=Path)
    parser.add_argument("parking", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--receipt", default="schedulers")
    options = parser.parse_args()
    programs = {"continuous batching": options.ours, "parking lot": options.parking}
    facts = {"model": options.model.name, "whinchat": text(options.ours, "--version"), "threads": options.threads, "rounds": []}
    for _ in range(options.rounds):
        facts["rounds"].append({name: measured(program, options) for name, program in programs.items()})
        print(json.dumps(facts["rounds"][-1]), file=sys.stderr)
    mean = lambda name, figure: sum(each[name][figure] for each in facts["rounds"]) / options.rounds
    rows = [[figure, *(f"{mean(name, figure):.1f}" for name in programs)] for figure in facts["rounds"][0]["parking lot"]]
    table = receipts.markdown(["figure, mean of the rounds", *programs], rows)
    folder = receipts.save(options.receipt, facts, table)
    print(f"{table}\n\nreceipt: {folder.relative_to(ROOT)}")


def measured(program: Path, options) -> dict:
    with Server(program, options, "--context", 512, "--kv-tokens", 16384) as server:
        return asyncio.run(load(server))


async def load(server) -> dict:
    runs, failed = [], 0

    async def client(http, number):
        nonlocal failed
        chance = random.Random(number)
        for _ in range(EACH):
            try:
                runs.append(await stream(http, tokens(chance, 64), ANSWER))
            except RuntimeError as problem:
                failed += 1
                print(problem, file=sys.stderr)

    async with server.client() as http:
        await stream(http, tokens(random.Random(-1), 64), 4)
        began = time.perf_counter()
        await asyncio.gather(*(client(http, number) for number in range(CLIENTS)))
        took = time.perf_counter() - began
    firsts = [(run[1] - run[0]) * 1e3 for run in runs]
    whole = [(run[-1] - run[0]) * 1e3 for run in runs]
    gaps = [(b - a) * 1e3 for run in runs for a, b in zip(run[1:], run[2:])]
    return {"answered": len(runs), "failed": failed, "tokens a second": len(runs) * ANSWER / took,
            "first token p50, ms": percentile(firsts, 0.5), "first token p99, ms": percentile(firsts, 0.99),
            "whole answer p50, ms": percentile(whole, 0.5), "whole answer p99, ms": percentile(whole, 0.99),
            "between tokens p50, ms": percentile(gaps, 0.5), "between tokens p99, ms": percentile(gaps, 0.99)}


if __name__ == "__main__":
    main()
