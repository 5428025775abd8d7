"""A model in memory, and the ways to have text and numbers from it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

import numpy

from . import _native
from ._asked import Messages, Options, Prompt, asked
from ._native import Answer, Inference, Tokenizer
from .policies import Policy
from .streams import Stream

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Unpack


@dataclass
class Request:
    """One of many requests: a prompt or a conversation, options as of `Model.generate`, and metadata that come back with the answer."""

    prompt: Prompt
    options: Options = field(default_factory=lambda: Options())
    metadata: Mapping[str, str] = field(default_factory=dict)


class Model:
    """A model in memory, run by an engine on its own thread. `with` closes it at the end.

    Every call lets go of the interpreter while it computes or waits, and Ctrl-C ends a generation. Threads may share a model: what
    they ask runs in one batch, and an answer is the same bits whatever runs beside it.
    """

    def __init__(self, native: _native.Model) -> None:
        self._native = native

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str] | None = None,
        *,
        name: str | None = None,
        context: int | None = None,
        chat_template: str | os.PathLike[str] | None = None,
        sampling_defaults: str | None = None,
        draft_model: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        pin: bool = False,
        max_sequences: int | None = None,
        max_batch_tokens: int | None = None,
        max_queue: int | None = None,
        max_step: float | None = None,
        draft_tokens: int | None = None,
        policy: str | Policy | None = None,
        kv_tokens: int | None = None,
        kv_type: str | None = None,
        eviction: str | None = None,
        weights_cache: str | os.PathLike[str] | None = None,
        progress: Callable[[str, int, int], object] | None = None,
    ) -> Model:
        """Loads a GGUF file, a safetensors folder or a Hugging Face id (`org/name`, `org/name:file.gguf`); without a source, the small
        model that is built in.

        `policy` is a name (`first-come`, `priority`, `deadline`, `shortest-prefill`, `fair-share`) or an object with a method `rank`:
        see `whinchat.Policy`. `eviction` is `lru`, `lfu`, `s3-fifo`, `cost` or `none`.
        `draft_tokens` are drafted at most from what an answer and its prompt have said before, or by `draft_model`, a smaller model with
        the same vocabulary, an EAGLE-3 head or `mtp`, the model's own layer for that; answers are the same. `progress` hears a stage, bytes
        done and bytes in all. What is None follows from the model and the machine.

        Raises `ModelError`, `HubError`, `DeviceError` or `InvalidRequestError`.
        """
        loading = {
            "source": None if source is None else os.fspath(source),
            "model": {
                "name": name,
                "context": context,
                "chat_template": None if chat_template is None else os.fspath(chat_template),
                "sampling_defaults": sampling_defaults,
                "draft_model": None if draft_model is None else os.fspath(draft_model),
            },
            "engine": {
                "threads": threads,
                "pin": pin,
                "max_sequences": max_sequences,
                "max_batch_tokens": max_batch_tokens,
                "max_queue": max_queue,
                "max_step": max_step,
                "draft_tokens": draft_tokens,
                "policy": policy if isinstance(policy, str) else None,
            },
            "cache": {
                "kv_tokens": kv_tokens,
                "kv_type": kv_type,
                "eviction": eviction,
                "weights_cache": None if weights_cache is None else os.fspath(weights_cache),
            },
        }
        own = None if isinstance(policy, str) else policy
        return cls(_native.Model.load(json.dumps(loading), own, progress))

    def generate(self, prompt: Prompt, **options: Unpack[Options]) -> Answer:
        """Continues a text as it is, token ids, or answers a conversation; waits for the whole. `print` shows its text."""
        return self.stream(prompt, **options).finish()

    def chat(self, messages: str | Messages, **options: Unpack[Options]) -> Answer:
        """Answers a conversation, or a text as a user's message (a model that does not chat goes on with it)."""
        return self.chat_stream(messages, **options).finish()

    def stream(self, prompt: Prompt, **options: Unpack[Options]) -> Stream:
        """As `generate`, piece by piece. What is wrong with the request is raised here, not later."""
        return Stream(self._native.begin(asked(prompt, options)))

    def chat_stream(self, messages: str | Messages, **options: Unpack[Options]) -> Stream:
        """As `chat`, piece by piece."""
        return Stream(self._native.begin(asked(messages, options, message=True)))

    async def generate_async(self, prompt: Prompt, **options: Unpack[Options]) -> Answer:
        """As `generate`, for an event loop. Cancelling the task cancels the generation."""
        return await _whole(self.stream(prompt, **options))

    async def chat_async(self, messages: str | Messages, **options: Unpack[Options]) -> Answer:
        """As `chat`, for an event loop."""
        return await _whole(self.chat_stream(messages, **options))

    def infer_batch(self, requests: Sequence[Request | Prompt]) -> Iterator[Inference]:
        """Answers many requests, and gives what became of each as it ends, with its `place` among them.

        What is wrong with a request is raised before any begins; what goes wrong later is an inference with an `error`.
        """
        all_of = [one if isinstance(one, Request) else Request(one) for one in requests]
        return self._native.infer_batch([asked(one.prompt, one.options, metadata=one.metadata) for one in all_of])

    def embed(
        self, texts: str | Sequence[str], *, pooling: str | None = None, dimensions: int | None = None
    ) -> NDArray[numpy.float32]:
        """The vectors of texts, each of length 1: an array of shape (texts, dimensions).

        `pooling` is `mean`, `cls` or `last`; without it as the model's files say. `dimensions` keeps the first numbers.
        """
        several = [texts] if isinstance(texts, str) else list(texts)
        return numpy.asarray(self._native.embed(several, pooling, dimensions))

    def logits(self, prompt: str | Sequence[int]) -> NDArray[numpy.float32]:
        """What the model expects after each token: an array of shape (tokens, vocabulary), where the numbers were computed, not a copy.

        A text is encoded as a prompt is, with what the model wants around it.
        """
        given = prompt if isinstance(prompt, str) else [int(token) for token in prompt]
        return numpy.asarray(self._native.logits(given))

    def render(self, messages: str | Messages, **options: Unpack[Options]) -> str:
        """The prompt that the model's chat template makes of a conversation."""
        return self._native.render(asked(messages, options, message=True))

    @property
    def tokenizer(self) -> Tokenizer:
        """Its tokenizer."""
        return self._native.tokenizer

    @property
    def name(self) -> str:
        """What it is called."""
        return self._native.name

    @property
    def context(self) -> int:
        """Longest sequence, prompt and answer, in tokens."""
        return self._native.context

    @property
    def max_sequences(self) -> int:
        """Sequences that run at once."""
        return self._native.max_sequences

    @property
    def template(self) -> str | None:
        """Where its chat template comes from; None if it does not chat."""
        return self._native.template

    def stats(self) -> dict[str, int]:
        """The engine's counters: sequences, blocks of the KV cache, steps, tokens."""
        return self._native.stats()

    def close(self) -> None:
        """Ends the engine, once the generations under way are forgotten."""
        self._native.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


async def _whole(stream: Stream) -> Answer:
    async with stream:
        async for _ in stream.async_events():
            pass
        return stream.answer
