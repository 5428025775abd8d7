"""What decides between sequences and between blocks of the KV cache: protocols for policies written in Python."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ._native import Load, Sequence, Usage


@runtime_checkable
class Policy(Protocol):
    """Who runs first. Only `rank` must be there; the scheduler asks for these too, where an object has them:

    - `victim(holder, needy, now) -> bool | None`: whether the running sequence `holder` gives its blocks to `needy`, which comes before
      it in rank. By default if `needy` runs already.
    - `chunk(load) -> int | None`: tokens of prompts in a step. By default all if nobody decodes, else a quarter of them.
    - `admit(sequence, blocks, load) -> bool | None`: whether the first in the queue may start, which takes `blocks` of
      `load.free_blocks`. By default if a block is left for each running sequence. Where nothing runs it may in any case.
    - `computed(batch) -> None`: hears what a step has computed, `rows` tokens of each sequence.

    None stands for the default. The methods are called on the engine's thread, for each sequence in each step: keep them short. What one
    raises ends the policy: the engine goes on first come, first served, and the next call of the model raises `PolicyError`.
    """

    def rank(self, sequence: Sequence, now: float, /) -> float:
        """Where a sequence stands, in the queue and among the running: the lowest comes first. `now` is in seconds."""
        ...


class Defaults:
    """A base for policies that like to inherit: first come, first served, and every default."""

    def rank(self, sequence: Sequence, now: float, /) -> float:
        """In the order of arrival."""
        return sequence.id

    def victim(self, holder: Sequence, needy: Sequence, now: float, /) -> bool | None:
        """As the scheduler does by default."""
        return None

    def chunk(self, load: Load, /) -> int | None:
        """As the scheduler does by default."""
        return None

    def admit(self, sequence: Sequence, blocks: int, load: Load, /) -> bool | None:
        """As the scheduler does by default."""
        return None

    def computed(self, batch: list[Sequence], /) -> None:
        """Hears nothing."""


@runtime_checkable
class EvictionRule(Protocol):
    """Which block of the KV cache goes next."""

    def insert(self, block: int, usage: Usage, /) -> None:
        """A block may be evicted from now on."""
        ...

    def remove(self, block: int, /) -> None:
        """A block may not be evicted any more: somebody uses it again."""
        ...

    def evict(self) -> int:
        """Names the block that goes next, and forgets it."""
        ...
