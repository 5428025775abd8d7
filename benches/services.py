#!/usr/bin/env python3
"""Measures what it costs to have stages of the pipeline apart: each alone, all together, and the process over shared memory.

    services.py MODEL.gguf [--streams 4] [--tokens 16] [--rounds 60] [--program OTHER] [--before OLDER] [--receipt NAME]

All compositions are up at once and asked in many short turns, so that what else the machine does hits all of them. It only adds to a turn:
of times the shortest of all turns counts, of other figures the median. What two equal servers differ by stands beside them. A stage's share
is the time that the server waits for its answers, of the time of its steps; both grow with what else the machine does, so its median counts. `--before` is a build of this program in which the stages cannot
be apart: the composed engine beside one whose stages are written into it. (`cargo bench -p whinchat-engine --bench seams` tells the same in
microseconds a step, beside a loop that is written by hand.)
"""

import argparse
import json
import os
import re
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import receipts
import programs
from programs import ROOT, Whinchat

STAGES = ["tokenizer", "scheduler", "memory", "compute"]
WORDS = "the bird sang in the tree until it was dark and nobody heard it ".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--prompt", type=int, default=60, help="words")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--program", type=Path, help="another build of this program")
    parser.add_argument("--before", type=Path, help="a build without stages that can be apart")
    parser.add_argument("--receipt", default="services")
    options = parser.parse_args()
    program = options.program or Whinchat(options.threads).program
    with ExitStack() as stack:
        compositions = {name: start(options, of, stack) for name, of in composed(options, program).items()}
        for server in compositions.values():
            burst(server, options, 0)
        found: dict = {name: [] for name in compositions}
        for turn in range(1, options.rounds + 1):
            for name in list(compositions)[:: 1 if turn % 2 else -1]:
                found[name].append(measured(options, compositions[name], turn))
            rates = [f"{name} {figures[-1]['tokens_per_s']:.0f}" for name, figures in found.items()]
            print(f"{turn}: {', '.join(rates)} tokens/s", file=sys.stderr)
    table = receipts.markdown(HEAD, rows(found))
    facts = {"model": options.model.name, "streams": options.streams, "tokens": options.tokens, "prompt words": options.prompt,
             "rounds": options.rounds, "threads": options.threads, "program": options.program.name if options.program else "release build", "found": found}
    folder = receipts.save(options.receipt, facts, table)
    print(f"{table}\n\nreceipt: {folder.relative_to(ROOT)}")


def composed(options: argparse.Namespace, program: Path) -> dict:
    """Compositions by name: the program, the stages that are apart, and further flags."""
    apart = {stage: (program, [stage], []) for stage in STAGES}
    before = {"before": (options.before, [], [])} if options.before else {}
    # The second one is what two equal servers differ by.
    return {"together": (program, [], []), "together again": (program, [], []), **before, **apart, "all four": (program, STAGES, []),
            "process": (program, [], ["--compute", "process"])}


def started(options: argparse.Namespace, program: Path, words: list):
    """The process of a command, and its address, once it answers."""
    return programs.server([program, *words, "--model", options.model, "--quiet"], options.threads)


class Composition(NamedTuple):
    """A server, and the processes that its stages are."""

    url: str
    pid: int
    services: dict


def start(options: argparse.Namespace, composition: tuple, stack: ExitStack) -> Composition:
    program, stages, flags = composition
    services = {stage: stack.enter_context(started(options, program, ["service", stage])) for stage in stages}
    urls = [word for stage, (_, url) in services.items() for word in (f"--{stage}", url)]
    pid, url = stack.enter_context(started(options, program, ["serve", "--max-sequences", options.streams, *urls, *flags]))
    pids = {stage: worker for stage, (worker, _) in services.items()}
    children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return Composition(url, pid, {**pids, **{"compute": int(child) for child in children}})


def burst(server: Composition, options: argparse.Namespace, turn: int) -> int:
    """Asks for an answer on each stream; gives their tokens."""
    numbers = range(1000 * turn, 1000 * turn + options.streams)
    with ThreadPoolExecutor(options.streams) as streams:
        return sum(streams.map(lambda number: ask(server.url, options, number), numbers))


def measured(options: argparse.Namespace, server: Composition, turn: int) -> dict:
    """Figures of a burst."""
    before, steps = asked(server.url), counted(server.url)
    began = time.perf_counter()
    tokens = burst(server, options, turn)
    seconds = time.perf_counter() - began
    after, done = asked(server.url), counted(server.url)
    stages = {stage: {key: value - before[stage].get(key, 0) for key, value in after[stage].items()} for stage in after}
    for stage, numbers in stages.items():
        numbers["mib"] = resident(server.services[stage])
    return {"tokens_per_s": tokens / seconds, "steps": done["count"] - steps["count"], "step_s": done["sum"] - steps["sum"],
            "server_mib": resident(server.pid), "asked": stages}


def ask(server: str, options: argparse.Namespace, number: int) -> int:
    """Asks for an answer; gives its tokens. No prompt is asked twice."""
    text = f"{number} " + " ".join(WORDS[(number + at) % len(WORDS)] for at in range(options.prompt))
    body = {"prompt": text, "max_tokens": options.tokens, "temperature": 0, "ignore_eos": True}
    request = urllib.request.Request(f"{server}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)["usage"]["completion_tokens"]


def asked(server: str) -> dict:
    """What the server has asked of each service."""
    with urllib.request.urlopen(f"{server}/metrics") as response:
        text = response.read().decode()
    found: dict = {}
    for column, stage, value in re.findall(r'^whinchat_asked_(\w+?)_total\{service="(\w+)"\} (\S+)$', text, re.M):
        found.setdefault(stage, {})[column] = float(value)
    return found


def counted(server: str) -> dict:
    """Steps of the engine, and the seconds that they took."""
    with urllib.request.urlopen(f"{server}/metrics") as response:
        found = re.findall(r'^vllm:step_seconds_(sum|count)\{[^}]*\} (\S+)$', response.read().decode(), re.M)
    return {name: float(value) for name, value in found}


def resident(pid: int) -> float:
    """MiB that a process has of its own in memory: without files that are mapped."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(int(kib) for kib in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+)", status, re.M)) / 1024


HEAD = ["composition", "ms a step", "beside together", "stage", "calls a step", "µs a call", "share of a step", "bytes a call", "MiB apart", "MiB server"]


def rows(found: dict) -> list[list[str]]:
    together, lines = step(found["together"]), []
    for name, turns in found.items():
        first = [name, f"{step(turns) * 1e3:.2f}", f"{step(turns) / together - 1:+.1%}"]
        server = f"{median(figures['server_mib'] for figures in turns):.0f}"
        for stage in turns[0]["asked"] or [""]:
            lines.append([*first, *(stage_cells(turns, stage) if stage else [""] * 6), server])
            first, server = ["", "", ""], ""
    return lines


def step(turns: list[dict]) -> float:
    """Seconds."""
    return min(figures["step_s"] / figures["steps"] for figures in turns)


def stage_cells(turns: list[dict], stage: str) -> list[str]:
    def of(pick, value) -> float:
        return pick([value(figures, figures["asked"][stage]) for figures in turns])

    return [
        stage,
        f"{of(median, lambda figures, of: of['calls'] / figures['steps']):.2f}",
        f"{of(min, lambda _, of: of['seconds'] / of['calls'] * 1e6):.0f}",
        "before it" if stage == "tokenizer" else f"{of(median, lambda figures, of: of['seconds'] / figures['step_s']):.1%}",
        f"{of(median, lambda _, of: (of['sent_bytes'] + of['received_bytes']) / of['calls']):.0f}",
        f"{of(median, lambda _, of: of['mib']):.0f}",
    ]


if __name__ == "__main__":
    main()
