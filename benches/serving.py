#!/usr/bin/env python3
"""Compares whinchat and llama-server over HTTP: many streams, prompts that begin alike, a prompt that was seen before.

    serving.py MODEL.gguf [--tests streams32,streams8,shared,seen] [--rounds 1] [--receipt NAME]

`../shared/tools/load.py` drives both, one after the other in each round; it needs httpx. Both have room for 32 sequences.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from statistics import median

import receipts
from programs import ROOT, SHARED, LlamaCpp, Whinchat, serving

STREAMS, CONTEXT = 32, 2560
LOADS = {
    "streams32": ("32 streams", ["--concurrency", 32, "--requests-per-slot", 2, "--prompt-words", 100, "--max-tokens", 64]),
    "streams8": ("8 streams", ["--concurrency", 8, "--requests-per-slot", 2, "--prompt-words", 100, "--max-tokens", 64]),
    "shared": ("32 streams, 1,000 words alike", ["--concurrency", 32, "--requests-per-slot", 1, "--shared-prefix", 1000,
                                                "--prompt-words", 20, "--max-tokens", 32]),
}
SEEN = "a prompt of about 2,000 tokens, first token"
NUMBER = r"([0-9.]+|nan)"
LINE = re.compile(rf"tok/s=\s*{NUMBER}\s+ttft p50=\s*{NUMBER} p99=\s*{NUMBER}\s+itl p50=\s*{NUMBER} p99=\s*{NUMBER}\s+errors=(\d+)")
FIGURES = ["tok_s", "ttft_p50_ms", "ttft_p99_ms", "itl_p50_ms", "itl_p99_ms", "errors"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tests", type=lambda text: text.split(","), default=[*LOADS, "seen"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--receipt", default="serving")
    options = parser.parse_args()
    ours, peer = Whinchat(options.threads), LlamaCpp(options.threads)
    commands = {
        "whinchat": [ours.program, "serve", "--model", options.model, "--context", CONTEXT, "--max-sequences", STREAMS,
                     "--any-model-name"],
        "llama.cpp": [peer.folder / "llama-server", "-m", options.model, "-np", STREAMS, "-c", STREAMS * CONTEXT, "--no-webui"],
    }
    facts = {"model": options.model.name, "whinchat": ours.version, "peer": peer.version, "threads": options.threads, "rounds": []}
    for _ in range(options.rounds):
        facts["rounds"].append({name: measured(command, options) for name, command in commands.items()})
        print(json.dumps(facts["rounds"][-1]), file=sys.stderr)
    table = receipts.markdown(["test", "figure", "whinchat", "llama.cpp", "ratio"], rows(facts["rounds"], options.tests))
    folder = receipts.save(options.receipt, facts, table)
    print(f"{table}\n\nreceipt: {folder.relative_to(ROOT)}")


def measured(command: list, options) -> dict:
    """Every test with a server of its own, so that none finds what another left."""
    found = {}
    for test in options.tests:
        with serving(command, options.threads) as address:
            found[test] = seen(address) if test == "seen" else load(address, LOADS[test][1])
    return found


def load(address: str, flags: list) -> dict:
    words = [sys.executable, str(SHARED / "tools/load.py"), address, *map(str, flags)]
    line = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return dict(zip(FIGURES, map(float, LINE.search(line).groups())))


def seen(address: str) -> dict:
    """Milliseconds to the first token of a prompt, the first time and the second."""
    prompt = " ".join(f"{i} birds and {i + 1} trees" for i in range(250))
    first(address, "Warm up.")
    cold = first(address, prompt)
    return {"cold_ms": cold, "again_ms": first(address, prompt)}


def first(address: str, prompt: str) -> float:
    body = {"model": "any", "prompt": prompt, "max_tokens": 1, "temperature": 0}
    request = urllib.request.Request(f"{address}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    started = time.perf_counter()
    with urllib.request.urlopen(request) as response:
        usage = json.load(response)["usage"]
    print(f"{address}: {usage}", file=sys.stderr)
    return (time.perf_counter() - started) * 1e3


def rows(rounds: list[dict], tests: list[str]) -> list[list[str]]:
    lines = []
    for test in tests:
        for figure in rounds[0]["whinchat"][test]:
            ours, theirs = ([r[name][test][figure] for r in rounds] for name in ("whinchat", "llama.cpp"))
            ratios = [a / b if b else float("nan") for a, b in zip(ours, theirs)]
            title = SEEN if test == "seen" else LOADS[test][0]
            lines.append([title, figure, f"{median(ours):.1f}", f"{median(theirs):.1f}", f"{median(ratios):.3f}"])
    return lines


if __name__ == "__main__":
    main()
