"""Traces of requests before the real scheduler and the real KV cache, on a virtual clock: only the computing is left out."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy

from . import _native
from .policies import EvictionRule, Policy

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Job:
    """A request of a trace: when it comes (in seconds), and the tokens of its prompt and of its answer.

    `spans` are numbers for each 512 tokens of the prompt: equal ones after equal ones are the same tokens.
    """

    arrival: float
    prompt: int
    output: int
    spans: Sequence[int] = field(default_factory=tuple)
    tenant: str | None = None


@dataclass(frozen=True)
class RandomTrace:
    """So many requests by chance, of all lengths, so many a second on average."""

    requests: int
    rate: float = 1.0
    seed: int = 0


#: A file of Mooncake's or Azure's, requests by chance, or requests one by one.
Trace: TypeAlias = Union[str, "os.PathLike[str]", RandomTrace, Sequence[Job]]


@dataclass(frozen=True)
class Cost:
    """How long a step takes: a time of its own, for each token of a prompt, for each that decodes (all in microseconds), and for each
    thousand positions that attention reads."""

    step: float = 5000.0
    prefill: float = 100.0
    decode: float = 500.0
    context: float = 2.0


class Replay:
    """What became of the requests of a trace."""

    def __init__(self, native: _native.Replay) -> None:
        self._native = native
        #: Everything in numbers, as `whinchat simulate --json` says it.
        self.figures: dict[str, Any] = json.loads(native.figures)

    def column(self, name: str) -> NDArray[numpy.float64]:
        """A number for each request: `arrival`, `first_token`, `last_token`, `longest_gap` (in seconds), `prompt`, `output`, `found` (in
        tokens). NaN where there is none. Times of tokens count from the request's arrival."""
        return numpy.asarray(self._native.column(name))

    @property
    def ends(self) -> list[str]:
        """How each request ended: `complete`, `left`, `refused` or `failed`."""
        return self._native.ends()

    @property
    def tenants(self) -> list[str | None]:
        """On whose behalf each came."""
        return self._native.tenants()

    def __len__(self) -> int:
        return len(self._native)


def simulate(
    trace: Trace,
    policy: str | Policy = "first-come",
    *,
    eviction: str = "lru",
    kv_blocks: int = 8192,
    block: int = 16,
    max_batch_tokens: int = 512,
    max_sequences: int = 32,
    max_queue: int | None = None,
    max_step: float | None = None,
    cost: Cost = Cost(),
    noise: float = 0.0,
    max_tokens: int = 0,
    goal_first: float = 2.0,
    goal_between: float = 0.2,
    limit: int | None = None,
    speed: float = 1.0,
    check: bool = False,
) -> Replay:
    """Replays a trace by a policy: a name, or an object with a method `rank` (see `whinchat.Policy`).

    `max_tokens` is what clients allow an answer at least; the scheduler does not know that it ends before. 0 lets it know each
    answer's length (`Sequence.longest`), as an oracle would. `check` checks the scheduler's books after each step.

    Raises `TraceError`, `PolicyError` or `InvalidRequestError`.
    """
    server = {
        "kv_blocks": kv_blocks,
        "block": block,
        "max_batch_tokens": max_batch_tokens,
        "max_sequences": max_sequences,
        "max_queue": max_queue,
        "max_step": max_step,
        "cost": [cost.step, cost.prefill, cost.decode, cost.context],
        "noise": noise,
        "max_tokens": max_tokens,
        "eviction": eviction,
        "goal": [goal_first, goal_between],
        "check": check,
    }
    return Replay(_native.simulate(_load(trace, limit, speed), json.dumps(server), policy))


@dataclass(frozen=True)
class Hits:
    """What a cache had: the share of a prompt, averaged over prompts, and the share of all tokens."""

    by_request: float
    by_token: float


def look_up(
    trace: Trace, eviction: str | EvictionRule = "lru", *, kv_blocks: int, block: int = 512, limit: int | None = None
) -> Hits:
    """Looks up the prompts of a trace in the KV cache alone, whole and one after the other, as if computing took no time.

    `eviction` is a name or an object with `insert`, `remove` and `evict` (see `whinchat.EvictionRule`).
    """
    return Hits(*_native.look_up(_load(trace, limit, 1.0), kv_blocks, block, eviction))


def _load(trace: Trace, limit: int | None, speed: float) -> str:
    given: dict[str, Any]
    if isinstance(trace, (str, os.PathLike)):
        given = {"file": os.fspath(trace)}
    elif isinstance(trace, RandomTrace):
        given = {"random": asdict(trace)}
    else:
        given = {"jobs": [_job(job) for job in trace]}
    return json.dumps({"trace": given, "limit": limit, "speed": speed})


def _job(job: Job) -> dict[str, Any]:
    return {
        "arrival": float(job.arrival),
        "prompt": int(job.prompt),
        "output": int(job.output),
        "spans": [int(span) for span in job.spans],
        "tenant": job.tenant,
    }
