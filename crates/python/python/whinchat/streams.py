"""An answer as it is made, for a loop or for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import TracebackType

from ._native import Answer, Event, Generation


class Stream:
    """The text of an answer, piece by piece: `for text in stream`, or `async for text in stream`.

    `with` (or `async with`) cancels what is left at its end; so does forgetting the stream. Afterwards `answer` has the whole.
    """

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> str:
        text = self._generation.next_text()
        if text is None:
            raise StopIteration
        return text

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> str:
        while (event := await self._next_event()) is not None:
            if event.kind == "text" and event.choice == 0 and event.text:
                return event.text
        raise StopAsyncIteration

    def events(self) -> Iterator[Event]:
        """Everything that happens, of all answers: text, reasoning, calls of tools, ends."""
        while (event := self._generation.next_event()) is not None:
            yield event

    async def async_events(self) -> AsyncIterator[Event]:
        """The same for an event loop."""
        while (event := await self._next_event()) is not None:
            yield event

    async def _next_event(self) -> Event | None:
        loop = asyncio.get_running_loop()
        while True:
            ready = asyncio.Event()
            done, event = self._generation.poll_event(lambda: loop.call_soon_threadsafe(ready.set))
            if done:
                return event
            await ready.wait()

    def finish(self) -> Answer:
        """Waits for the end; the first answer, whole."""
        self._generation.finish()
        return self.answer

    def cancel(self) -> None:
        """Ends what is still running."""
        self._generation.cancel()

    @property
    def answer(self) -> Answer:
        """The first answer as far as it came."""
        return self._generation.answers()[0]

    @property
    def answers(self) -> list[Answer]:
        """All answers as far as they came."""
        return self._generation.answers()

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that were found in the KV cache and not computed."""
        return self._generation.cached_tokens

    @property
    def first_token(self) -> float | None:
        """Seconds from the request to its first token."""
        return self._generation.first_token

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cancel()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()
