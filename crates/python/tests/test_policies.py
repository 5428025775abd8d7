"""Policies in Python: the real scheduler and the real cache do what they say, in an engine and in a simulation."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from conftest import TINY

import whinchat
from whinchat import Job, errors, look_up, simulate

COST = whinchat.Cost(step=1000, prefill=10, decode=100, context=0)


class FirstCome:
    """What the program's own policy does."""

    def rank(self, sequence: whinchat.Sequence, now: float) -> float:
        return sequence.id


class LastCome(whinchat.Defaults):
    """The youngest first."""

    def rank(self, sequence: whinchat.Sequence, now: float) -> float:
        return -sequence.arrival


class Shortest(whinchat.Defaults):
    """Who has least left first, at anybody's expense."""

    def rank(self, sequence: whinchat.Sequence, now: float) -> float:
        return sequence.longest - sequence.tokens

    def victim(self, holder: whinchat.Sequence, needy: whinchat.Sequence, now: float) -> bool:
        return True


def replay(policy: Any, jobs: Any, **settings: Any) -> whinchat.Replay:
    return simulate(jobs, policy, cost=COST, check=True, **settings)


def test_the_same_policy_gives_the_same_times() -> None:
    trace = whinchat.RandomTrace(requests=200, rate=20, seed=3)
    ours = replay(FirstCome(), trace, kv_blocks=400, max_sequences=8)
    theirs = replay("first-come", trace, kv_blocks=400, max_sequences=8)
    assert ours.figures == theirs.figures and len(ours) == 200
    for column in ["arrival", "first_token", "last_token", "longest_gap", "prompt", "output", "found"]:
        assert numpy.array_equal(ours.column(column), theirs.column(column), equal_nan=True), column
    assert set(ours.ends) == {"complete"}
    assert numpy.isfinite(ours.column("last_token")).all()


def test_rank_decides_who_waits() -> None:
    # One at a time: the second and third come while the first is served.
    jobs = [Job(0, 10, 50), Job(0.001, 10, 50), Job(0.002, 10, 5)]
    order = {}
    for name, policy in [("first", FirstCome()), ("last", LastCome()), ("shortest", Shortest())]:
        ends = replay(policy, jobs, max_sequences=1)
        order[name] = list(numpy.argsort(ends.column("arrival") + ends.column("last_token")))
    assert order["first"] == [0, 1, 2]
    assert order["last"] == [0, 2, 1], "whoever runs keeps its blocks"
    assert order["shortest"][0] == 2 or order["shortest"] == [0, 2, 1]


def test_every_method_is_asked() -> None:
    class Counting(whinchat.Defaults):
        def __init__(self) -> None:
            self.asked: dict[str, int] = {}
            self.rows = 0

        def count(self, name: str) -> None:
            self.asked[name] = self.asked.get(name, 0) + 1

        def rank(self, sequence: whinchat.Sequence, now: float) -> float:
            assert sequence.generated == sequence.tokens - sequence.prompt and now >= sequence.arrival
            self.count("rank")
            return sequence.id

        def victim(self, holder: whinchat.Sequence, needy: whinchat.Sequence, now: float) -> bool | None:
            assert holder.running
            self.count("victim")
            return None

        def chunk(self, load: whinchat.Load) -> int:
            self.count("chunk")
            return 64

        def admit(self, sequence: whinchat.Sequence, blocks: int, load: whinchat.Load) -> bool:
            assert blocks <= load.free_blocks
            self.count("admit")
            return True

        def computed(self, batch: list[whinchat.Sequence]) -> None:
            self.count("computed")
            self.rows += sum(sequence.rows for sequence in batch)

    policy = Counting()
    told = replay(policy, whinchat.RandomTrace(requests=60, rate=50, seed=1), kv_blocks=320, max_sequences=8)
    assert set(policy.asked) == {"rank", "victim", "chunk", "admit", "computed"}
    assert policy.asked["computed"] == told.figures["steps"] and policy.rows > 0
    assert told.figures["preemptions"] > 0


def test_tenants_are_told() -> None:
    class ByTenant:
        def rank(self, sequence: whinchat.Sequence, now: float) -> float:
            return 0 if sequence.tenant == "b" else 1

    jobs = [Job(0, 10, 5, tenant="a"), Job(0, 10, 5, tenant="a"), Job(0, 10, 5, tenant="b")]
    told = replay(ByTenant(), jobs, max_sequences=1)
    assert told.tenants == ["a", "a", "b"]
    assert told.column("first_token").argmin() == 2


@pytest.mark.parametrize("rank, said", [(lambda: float("nan"), "NaN"), (lambda: "x", "str"), (lambda: 1 // 0, "division")])
def test_what_a_policy_raises_is_raised(rank: Any, said: str) -> None:
    class Broken:
        def rank(self, sequence: whinchat.Sequence, now: float) -> float:
            value: float = rank()
            return value

    with pytest.raises(errors.PolicyError, match=said) as caught:
        replay(Broken(), whinchat.RandomTrace(requests=10))
    assert caught.value.__cause__ is not None
    with whinchat.Model.load(TINY, threads=1, policy=Broken()) as model:
        with pytest.raises(errors.PolicyError, match=said):
            model.generate("The", max_tokens=3)
        with pytest.raises(errors.PolicyError, match=said):
            model.stream("The", max_tokens=3)


def test_a_policy_in_python_changes_no_answer(cases: list[dict[str, Any]]) -> None:
    served: list[int] = []

    class Watching(LastCome):
        def computed(self, batch: list[whinchat.Sequence]) -> None:
            served.extend(sequence.rows for sequence in batch)

    with whinchat.Model.load(TINY, threads=1, policy=Watching(), max_sequences=2) as model:
        requests = [whinchat.Request(case["prompt"], {"max_tokens": 24, "temperature": 0}) for case in cases]
        texts = {one.place: one.answers[0].text for one in model.infer_batch(requests)}
    assert texts == {at: case["text"] for at, case in enumerate(cases)}
    assert sum(served) > 24 * len(cases)


class Lru:
    """The least recently used block first, as the program's own rule."""

    def __init__(self) -> None:
        self.order: dict[int, tuple[int, int]] = {}

    def insert(self, block: int, usage: whinchat.Usage) -> None:
        self.order[block] = (usage.last, -usage.depth)

    def remove(self, block: int) -> None:
        del self.order[block]

    def evict(self) -> int:
        block = min(self.order, key=lambda block: (self.order[block], block))
        del self.order[block]
        return block


def jobs_that_share() -> list[Job]:
    """Prompts of three spans, of which the first ones come again."""
    return [Job(at, 1500, 1, spans=[at % 5, 100 + at % 7, 1000 + at]) for at in range(60)]


def test_a_rule_in_python_finds_what_ours_finds() -> None:
    jobs = jobs_that_share()
    ours, theirs = look_up(jobs, Lru(), kv_blocks=24), look_up(jobs, "lru", kv_blocks=24)
    assert ours == theirs and 0 < ours.by_token < 1
    assert look_up(jobs, "lru", kv_blocks=1000).by_token > ours.by_token


def test_a_rule_that_names_what_it_cannot_is_told_so() -> None:
    class Wrong(Lru):
        def evict(self) -> int:
            return 1 << 20

    with pytest.raises(errors.PolicyError, match="cannot be evicted"):
        look_up(jobs_that_share(), Wrong(), kv_blocks=24)
    with pytest.raises(errors.InvalidRequestError, match="evict"):
        look_up(jobs_that_share(), FirstCome(), kv_blocks=24)  # type: ignore[arg-type]


def test_traces_that_are_none_are_named(tmp_path: Any) -> None:
    with pytest.raises(errors.TraceError, match="no/such"):
        simulate("no/such.csv")
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1,2\n")
    with pytest.raises(errors.TraceError, match="line 1: no column TIMESTAMP"):
        simulate(bad)
    for jobs in ([], [Job(-1, 1, 1)], [Job(0, 0, 1)], [Job(0, 600, 1, spans=[1])]):
        with pytest.raises(errors.InvalidRequestError):
            simulate(jobs)
    with pytest.raises(errors.InvalidRequestError, match="there are first-come"):
        simulate([Job(0, 1, 1)], "nobody")
