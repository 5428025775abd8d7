"""Shortest remaining first against first come, first served, on Azure's trace of conversations.

What is replayed: the claim of Fu et al., "Efficient LLM Scheduling by Learning to Rank" (NeurIPS 2024), that serving the shortest answers
first cuts the latency of chats by a multiple. They predict the order of lengths; here the scheduler knows them, or only the cap.
"""

from __future__ import annotations

from pathlib import Path

import numpy
from replays import Curves, arguments, draw, trace

import whinchat


#: How fast the requests come, beside the trace.
SPEEDS = [0.6, 0.65, 0.7, 0.75, 0.8]


class ShortestRemainingFirst:
    """Whoever has the fewest tokens left comes first, but ages: who waits is served in the end."""

    #: Each second of waiting counts as so many tokens.
    AGEING = 0.5

    def rank(self, sequence: whinchat.Sequence, now: float) -> float:
        # A token of a prompt costs a fifth of one that is generated.
        left = (sequence.longest - max(sequence.tokens, sequence.prompt)) + sequence.pending / 5
        return left - self.AGEING * (now - sequence.arrival)


def replay(path: Path, limit: int | None, speed: float = 0.66) -> dict[str, whinchat.Replay]:
    """The replays: first come, shortest first with known lengths, and with a cap in place of them."""

    def by(policy: str | whinchat.Policy, max_tokens: int = 0) -> whinchat.Replay:
        return whinchat.simulate(path, policy, max_tokens=max_tokens, limit=limit, speed=speed, kv_blocks=16384)

    return {
        "first come": by("first-come"),
        "shortest remaining first": by(ShortestRemainingFirst()),
        "the same, lengths unknown": by(ShortestRemainingFirst(), max_tokens=1000),
    }


def figures(replayed: dict[str, whinchat.Replay]) -> dict[str, dict[str, float]]:
    """Times in seconds, of whole answers and of first tokens."""
    return {
        name: {
            "mean": float(one.column("last_token").mean()),
            "p50": float(numpy.quantile(one.column("last_token"), 0.5)),
            "p99": float(numpy.quantile(one.column("last_token"), 0.99)),
            "first token": float(one.column("first_token").mean()),
            "busy": float(one.figures["busy"]),
        }
        for name, one in replayed.items()
    }


def main() -> None:
    given = arguments(__doc__ or "")
    path = trace(given.traces, "AzureLLMInferenceTrace_conv.csv")
    means: dict[str, list[float]] = {}
    for speed in SPEEDS:
        for name, row in figures(replay(path, given.limit or 3000, speed)).items():
            print(f"{speed:4} {name:26}", "  ".join(f"{what} {value:6.2f}" for what, value in row.items()), flush=True)
            means.setdefault(name, []).append(row["mean"])
    curves: Curves = {name: (SPEEDS, values) for name, values in means.items()}
    axes = ("requests, as a multiple of the trace's", "seconds of an answer, on average")
    draw(given.svg, "Azure's conversations: shortest remaining first", axes, curves)


if __name__ == "__main__":
    main()
