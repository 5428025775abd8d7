#!/usr/bin/env python3
"""Measures what drafts gain, by n-gram lookup and by a draft model: one stream, on code that is edited and on questions, with and without, in turns.

    speculation.py MODEL.gguf [--draft-model SMALL.gguf] [--draft-tokens 8] [--rounds 3] [--receipt NAME] [--program OTHER]

Each prompt is asked of a server with drafts and of one without, one right after the other; decoding is timed from the first token of an
answer to its last. Answers have to be the same to the last character. The files that are edited are this project's own.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import receipts
from programs import ROOT, run

FILES = ["crates/engine/src/pace.rs", "crates/engine/src/refusals.rs", "crates/engine/src/kv/key.rs", "crates/engine/src/policy/first_come.rs"]
EDIT = "Rewrite this file with every `Duration` renamed to `Span`. Answer with the whole file and nothing else.\n\n```rust\n{}\n```"
QUESTIONS = ["Why is the sky blue?", "Write a short story about a fox and a river.", "What should I see in Rome in two days?",
             "Explain how a bicycle stays upright.", "Give me a recipe for lentil soup.", "What is the difference between a virus and a bacterium?"]


class Server:
    """`whinchat serve` with so many drafted tokens, and a model that drafts, if there is one."""

    def __init__(self, program: Path, model: Path, drafts: int, draft_model: Path | None = None):
        words = [program, "serve", "--model", model, "--listen", "127.0.0.1:0", "--draft-tokens", str(drafts), "--max-sequences", "4"]
        words += ["--draft-model", draft_model] if draft_model else []
        self.process = subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        said = []
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"listening on (http://[0-9.:]+)", line):
                self.address = urlsplit(found[1]).netloc
            if "is ready" in line:
                break
        else:
            raise SystemExit(f"the server ended before it was ready: {''.join(said)}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def drafted(self) -> dict[str, list[int]]:
        """Tokens drafted and accepted so far, by source."""
        connection = http.client.HTTPConnection(self.address, timeout=600)
        connection.request("GET", "/metrics")
        text, counts = connection.getresponse().read().decode(), {}
        connection.close()
        for at, name in enumerate(("draft", "accepted")):
            for source, count in re.findall(rf'vllm:spec_decode_num_{name}_tokens_total{{.*source="(\w+)".*}} (\d+)', text):
                counts.setdefault(source, [0, 0])[at] = int(count)
        return counts

    def ask(self, question: str, tokens: int) -> "Answer":
        body = {"messages": [{"role": "user", "content": question}], "max_tokens": tokens, "temperature": 0, "stream": True,
                "stream_options": {"include_usage": True}}
        connection = http.client.HTTPConnection(self.address, timeout=600)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
        times, text, usage = [], "", {}
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                event = json.loads(line[6:])
                usage = event.get("usage") or usage
                for choice in event["choices"]:
                    text += choice["delta"].get("content") or ""
                    times.append(time.perf_counter())
        connection.close()
        details = usage.get("completion_tokens_details", {})
        computed = sum(details.values()) if details else 0
        rate = (usage["completion_tokens"] - 1) / (times[-1] - times[1]) if len(times) > 2 else float("nan")
        return Answer(text, rate, usage["completion_tokens"], computed, details.get("accepted_prediction_tokens", 0))


@dataclass
class Answer:
    text: str
    rate: float
    tokens: int
    drafted: int
    accepted: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--draft-model", type=Path)
    parser.add_argument("--draft-tokens", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--receipt", default="")
    parser.add_argument("--program", type=Path)
    options = parser.parse_args()
    if not options.program:
        run("cargo", "build", "--release", "--locked", "--package", "whinchat-cli")
        options.program = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release/whinchat"
    plain = Server(options.program, options.model, 0)
    drafting = Server(options.program, options.model, options.draft_tokens, options.draft_model)
    rows, facts = [], {}
    prompts = {"code that is edited": [EDIT.format((ROOT / name).read_text()) for name in FILES], "questions": QUESTIONS}
    for kind, questions in prompts.items():
        ratios, speeds, drafted, accepted, tokens = [], [], 0, 0, 0
        for question in questions:
            pairs = []
            for turn in range(options.rounds + 1):
                order = (plain, drafting) if turn % 2 else (drafting, plain)
                answers = {server: server.ask(question, options.tokens) for server in order}
                without, with_drafts = answers[plain], answers[drafting]
                assert with_drafts.text == without.text, f"answers differ:\n{without.text}\n{with_drafts.text}"
                # The first round fills the prefix cache.
                if turn:
                    pairs.append((with_drafts.rate / without.rate, without.rate, with_drafts.rate))
            ratios.append(median(ratio for ratio, _, _ in pairs))
            speeds.append([median(speed) for speed in list(zip(*pairs))[1:]])
            drafted, accepted, tokens = drafted + with_drafts.drafted, accepted + with_drafts.accepted, tokens + with_drafts.tokens
        rows.append([kind, str(len(questions)), f"{median(s[0] for s in speeds):.1f}", f"{median(s[1] for s in speeds):.1f}",
                     f"{median(ratios):.2f}", f"{min(ratios):.2f}", f"{accepted / max(drafted, 1):.0%} of {drafted}", f"{accepted / tokens:.0%}"])
        facts[kind] = {"ratios": ratios, "tokens per second": speeds, "drafted": drafted, "accepted": accepted, "tokens": tokens}
    sources = drafting.drafted()
    for server in (plain, drafting):
        server.process.terminate()
    table = receipts.markdown(["prompts", "how many", "without, tokens/s", "with", "ratio", "least ratio", "drafts accepted", "of all tokens"], rows)
    table += "".join(f"\n{source}: {right} of {all} drafted tokens accepted\n" for source, (all, right) in sorted(sources.items()))
    print(table)
    if options.receipt:
        facts |= {"model": options.model.name, "draft model": options.draft_model.name if options.draft_model else None, "draft tokens": options.draft_tokens, "sources": sources, "rounds": options.rounds}
        print(f"receipt: {receipts.save(options.receipt, facts, table).relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
