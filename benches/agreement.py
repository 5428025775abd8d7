#!/usr/bin/env python3
"""Compares what whinchat and llama.cpp say with one file: greedy answers to 20 prompts, and the perplexity of a text.

    agreement.py MODEL.gguf [--text FILE] [--tokens 64] [--receipt NAME]

Both servers are asked over the chat API, one prompt at a time, at temperature 0. Where two answers part, the margin is printed: by
how much each program preferred its own token to the other one, in nats. Rounding decides a margin near 0. The receipt has it all.
"""

import argparse
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import receipts
from programs import ROOT, LlamaCpp, Whinchat, serving, text

PROMPTS = [
    "What is the capital of France?", "Write a haiku about the sea.", "Explain photosynthesis to a child.",
    "What is 17 times 23? Show your steps.", "Write a Python function that reverses a string.",
    "Translate 'good morning, my friend' into Spanish.", "List five fruits that are red.", "Why is the sky blue?",
    "Tell me a joke about a cat and a dog.", "Who wrote 'Pride and Prejudice', and when?",
    "Summarise in one sentence: the quick brown fox jumps over the lazy dog.", "Give me a recipe for pancakes.",
    "What does HTTP 404 mean?", "Complete the list: Monday, Tuesday,", "Is 97 a prime number?",
    "Erkläre auf Deutsch, was ein Baum ist.", "Write an SQL query that counts the rows of the table users.",
    "Name three moons of Jupiter.", "What rhymes with 'light'?", "Describe a rainy evening in a small town.",
]
SYSTEM = "You are a helpful assistant."
# What an answer that is shorter says next.
END = "<|im_end|>"
# Contexts whose perplexity is compared.
CHUNKS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, help="its perplexity is compared, too")
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--near", type=float, default=0.01, help="the least margin that rounding does not explain, in nats")
    parser.add_argument("--receipt", default="agreement")
    options = parser.parse_args()
    ours, peer = Whinchat(options.threads), LlamaCpp(options.threads)
    commands = {
        "whinchat": [ours.program, "serve", "--model", options.model, "--context", 4096],
        "llama.cpp": [peer.folder / "llama-server", "-m", options.model, "-c", 4096, "-np", 1, "--no-webui"],
    }
    answers = {name: asked(command, options) for name, command in commands.items()}
    rows = [row(prompt, options.near, *pair) for prompt, *pair in zip(PROMPTS, *answers.values())]
    facts = {"model": options.model.name, "whinchat": ours.version, "peer": peer.version, "tokens": options.tokens, "near": options.near,
             "answers": [dict(zip(("prompt", "tokens", "equal", "margins", "verdict"), row)) for row in rows]}
    if options.text:
        facts["perplexity"] = perplexities(ours, peer, options)
    table = receipts.markdown(["prompt", "tokens", "equal", "margins where they part", ""], [[str(cell) for cell in row] for row in rows])
    table += "".join(f"\n\nPerplexity, {name}: {value:.4f}" for name, value in facts.get("perplexity", {}).items())
    folder = receipts.save(options.receipt, facts, table)
    print(f"{table}\n\nreceipt: {folder.relative_to(ROOT)}")
    if any(row[-1] == "DIFFERENT" for row in rows):
        sys.exit("answers differ by more than rounding explains")


def asked(command: list, options) -> list[list[dict]]:
    """The tokens of every answer, each with the likeliest ones in its place."""
    with serving(command, options.threads) as address:
        with urllib.request.urlopen(f"{address}/v1/models") as response:
            model = json.load(response)["data"][0]["id"]
        return [answer(address, model, prompt, options.tokens) for prompt in PROMPTS]


def answer(address: str, model: str, prompt: str, tokens: int) -> list[dict]:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
    body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": tokens, "logprobs": True, "top_logprobs": 5}
    request = urllib.request.Request(f"{address}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as response:
        content = json.load(response)["choices"][0]["logprobs"]["content"]
    # llama.cpp counts the mark that ends an answer as one of its tokens.
    return content[:-1] if content and content[-1]["token"] in (END, "") else content


def row(prompt: str, near: float, ours: list[dict], theirs: list[dict]) -> tuple:
    """A line of the table: how many tokens are equal, and the margins after them."""
    longest = max(len(ours), len(theirs))
    bytes_of = lambda answer, i: answer[i].get("bytes") if i < len(answer) else None
    equal = next((i for i in range(longest) if bytes_of(ours, i) != bytes_of(theirs, i)), longest)
    if equal == longest:
        return prompt, longest, equal, "", "equal"
    margins = [margin(a, b, equal) for a, b in ((ours, theirs), (theirs, ours)) if equal < len(a)]
    return prompt, longest, equal, ", ".join(f"{m:.4f}" for m in margins), "near tie" if min(margins) < near else "DIFFERENT"


def margin(ours: list[dict], theirs: list[dict], at: int) -> float:
    """By how much the first prefers its own token to the other's, in nats; infinite if the other's is not among the likeliest."""
    other = theirs[at]["token"] if at < len(theirs) else END
    tops = {top["token"]: top["logprob"] for top in ours[at]["top_logprobs"]}
    return ours[at]["logprob"] - tops[other] if other in tops else float("inf")


def perplexities(ours: Whinchat, peer: LlamaCpp, options) -> dict[str, float]:
    """Of the second halves of contexts of 512 tokens, by both."""
    output = text(ours.program, "perplexity", "--json", "--model", options.model, "--context", 512, "--chunks", CHUNKS, options.text)
    words = (peer.folder / "llama-perplexity", "-m", options.model, "-f", options.text, "-c", 512, "--chunks", CHUNKS, "-t", options.threads)
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() + done.stderr.splitlines() if "Final estimate" in line)
    return {"whinchat": json.loads(output)["perplexity"], "llama.cpp": float(line.split("PPL = ")[1].split()[0])}


if __name__ == "__main__":
    main()
