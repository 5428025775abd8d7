"""S3-FIFO against LRU as rules of eviction of the KV cache, on Mooncake's traces.

What is replayed: the claim of Yang et al., "FIFO queues are all you need for cache eviction" (SOSP 2023), that three queues without a
ranking miss less than LRU. They replay caches of objects; here prefixes of prompts are cached, in blocks of 512 tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from replays import Curves, arguments, draw, trace

import whinchat

SIZES = [1000, 2000, 5000, 10000, 20000, 50000]


class S3Fifo:
    """New blocks go through a small queue; those found again go to the main one, where each hit gives a further round."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.small: OrderedDict[int, whinchat.Usage] = OrderedDict()
        self.main: OrderedDict[int, tuple[whinchat.Usage, int]] = OrderedDict()
        self.ghosts: OrderedDict[int, None] = OrderedDict()

    def insert(self, block: int, usage: whinchat.Usage) -> None:
        if usage.hits > 0 or usage.content in self.ghosts:
            self.main[block] = (usage, min(usage.hits, 3))
        else:
            self.small[block] = usage

    def remove(self, block: int) -> None:
        if self.small.pop(block, None) is None:
            self.main.pop(block)

    def evict(self) -> int:
        while self.main and (not self.small or len(self.main) > 9 * len(self.small)):
            block, (usage, rounds) = self.main.popitem(last=False)
            if rounds == 0:
                return block
            self.main[block] = (usage, rounds - 1)
        block, usage = self.small.popitem(last=False)
        self.ghosts.setdefault(usage.content)
        if len(self.ghosts) > self.blocks:
            self.ghosts.popitem(last=False)
        return block


def hits(path: Path, sizes: list[int], limit: int | None = None) -> dict[str, list[float]]:
    """Shares of tokens found, in per cent, for each size of the cache."""

    def of(rule: str | whinchat.EvictionRule, blocks: int) -> float:
        return 100 * whinchat.look_up(path, rule, kv_blocks=blocks, block=512, limit=limit).by_token

    rows = {
        "LRU": [of("lru", blocks) for blocks in sizes],
        "S3-FIFO": [of(S3Fifo(blocks), blocks) for blocks in sizes],
    }
    return rows


def main() -> None:
    given = arguments(__doc__ or "")
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for name in ["conversation", "synthetic"]:
        for rule, shares in hits(trace(given.traces, f"mooncake_{name}.jsonl"), SIZES, given.limit).items():
            print(f"{name:13} {rule:8}", "  ".join(f"{size}: {share:5.2f} %" for size, share in zip(SIZES, shares)))
            curves[f"{rule}, {name}"] = ([float(size) for size in SIZES], shares)
    shown: Curves = curves
    draw(given.svg, "Mooncake: tokens found in the KV cache", ("blocks of 512 tokens", "% of tokens"), shown, log=True)


if __name__ == "__main__":
    main()
