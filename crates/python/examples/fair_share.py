"""Fair shares of two clients who both ask for more than the server has.

What is replayed: the experiment of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024), with two clients of 90 and 180
requests a minute, 256 tokens in and 256 out. They claim that a virtual token counter bounds the difference of what both have been served,
at all times, where first come, first served lets it grow without bound.
"""

from __future__ import annotations

from replays import Curves, arguments, draw

import whinchat

#: What a token of an answer counts, beside one of a prompt.
ANSWER = 2


class VirtualTokenCounter:
    """Whoever was served least comes first; who comes, or comes back, begins with what the least served has had."""

    def __init__(self) -> None:
        self.served: dict[str | None, int] = {}
        self.active: set[str | None] = set()
        self.seen: set[str | None] = set()

    def rank(self, sequence: whinchat.Sequence, now: float) -> float:
        if sequence.tenant not in self.active | self.seen:
            least = min((self.served[tenant] for tenant in self.active), default=0)
            self.served[sequence.tenant] = max(self.served.get(sequence.tenant, 0), least)
        self.seen.add(sequence.tenant)
        return self.served[sequence.tenant]

    def computed(self, batch: list[whinchat.Sequence]) -> None:
        for sequence in batch:
            self.served[sequence.tenant] += sequence.rows * (ANSWER if sequence.generated else 1)
        self.active, self.seen = self.seen, set()


class Watched:
    """A policy, and what each client has been served so far."""

    def __init__(self, policy: whinchat.Policy) -> None:
        self.policy, self.now = policy, 0.0
        self.service: dict[str | None, int] = {"a": 0, "b": 0}
        self.gaps: list[tuple[float, float]] = []

    def rank(self, sequence: whinchat.Sequence, now: float) -> float:
        self.now = now
        return self.policy.rank(sequence, now)

    def computed(self, batch: list[whinchat.Sequence]) -> None:
        for sequence in batch:
            self.service[sequence.tenant] += sequence.rows * (ANSWER if sequence.generated else 1)
        self.gaps.append((self.now, self.service["b"] - self.service["a"]))
        if isinstance(self.policy, VirtualTokenCounter):
            self.policy.computed(batch)


def load(minutes: float) -> list[whinchat.Job]:
    """Two clients: a asks 90 times a minute, b 180 times."""
    rates = {"a": 90 / 60, "b": 180 / 60}
    jobs = [
        whinchat.Job(at / rate, 256, 256, tenant=client)
        for client, rate in rates.items()
        for at in range(round(minutes * 60 * rate))
    ]
    return sorted(jobs, key=lambda job: job.arrival)


def replay(minutes: float) -> dict[str, list[tuple[float, float]]]:
    """The difference of what both have been served, while both ask, by first come and by the counter."""
    cost = whinchat.Cost(step=30_000, prefill=250, decode=600, context=2)
    rows = {}
    policies: dict[str, whinchat.Policy] = {"first come": whinchat.Defaults(), "virtual token counter": VirtualTokenCounter()}
    for name, policy in policies.items():
        watched = Watched(policy)
        whinchat.simulate(load(minutes), watched, cost=cost, max_sequences=32, kv_blocks=2048)
        rows[name] = [(now, gap) for now, gap in watched.gaps if now <= minutes * 60]
    return rows


def main() -> None:
    given = arguments(__doc__ or "")
    rows = replay(10)
    for name, gaps in rows.items():
        print(f"{name:22} largest difference {max(abs(gap) for _, gap in gaps):9.0f}, at the end {gaps[-1][1]:9.0f}")
    curves: Curves = {
        name: ([now for now, _ in gaps[::20]], [abs(gap) for _, gap in gaps[::20]]) for name, gaps in rows.items()
    }
    draw(given.svg, "Two clients: difference of what they were served", ("seconds", "weighted tokens"), curves)


if __name__ == "__main__":
    main()
