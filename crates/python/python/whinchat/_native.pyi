"""The native half: what is compiled. `whinchat` itself is what to import."""

from collections.abc import Callable
from collections.abc import Sequence as _Sequence
from os import PathLike
from typing import Any, final

from .policies import EvictionRule, Policy

__all__ = [
    "Answer", "Batch", "Bet", "Bounded", "Detector", "Event", "Generation", "Harm", "Inference", "Load",
    "Matrix", "Model", "Moments", "Pairs", "Replay", "Sequence", "Sketch", "Tokenizer", "Usage", "look_up",
    "main", "mismatch", "proportion", "simulate",
]  # fmt: skip

@final
class Matrix:
    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    @property
    def shape(self) -> list[int]: ...

@final
class Answer:
    """A whole answer; `str` gives its text."""

    @property
    def text(self) -> str: ...
    @property
    def reasoning(self) -> str:
        """What the model thought before."""
    @property
    def tool_calls(self) -> list[dict[str, str]]:
        """The calls of tools: `name`, and `arguments` as JSON."""
    @property
    def finish_reason(self) -> str | None:
        """`stop`, `length` or `tool_calls`; None while it goes on."""
    @property
    def stop(self) -> str | None:
        """The stop string that ended it."""
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def generated_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...
    @property
    def logprobs(self) -> list[dict[str, Any]]:
        """The tokens of the text, if asked for: `token` (bytes), `logprob`, and the most likely ones in `top`."""
    @property
    def prompt_logprobs(self) -> list[dict[str, Any]]:
        """The tokens of the prompt, if asked for, with their `id`."""

@final
class Event:
    """Something that happened in a generation."""

    @property
    def kind(self) -> str:
        """`prompt`, `text`, `reasoning`, `tool_call` or `finished`."""
    @property
    def choice(self) -> int:
        """Which answer's it is."""
    @property
    def text(self) -> str:
        """More of the text, of the reasoning, or of the arguments of a call."""
    @property
    def tool(self) -> str | None:
        """The name of a tool, where its call begins."""
    @property
    def finish_reason(self) -> str | None: ...

@final
class Generation:
    def next_event(self) -> Event | None: ...
    def next_text(self) -> str | None: ...
    def finish(self) -> None: ...
    def poll_event(self, wake: Callable[[], object]) -> tuple[bool, Event | None]: ...
    def cancel(self) -> None: ...
    def answers(self) -> list[Answer]: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def generated_tokens(self) -> int: ...
    @property
    def elapsed(self) -> float: ...
    @property
    def first_token(self) -> float | None: ...

@final
class Inference:
    """What became of a request of a batch."""

    @property
    def place(self) -> int:
        """Its place among the requests."""
    @property
    def status(self) -> str:
        """`success`, `cancelled`, `timed_out` or `failed`."""
    @property
    def error(self) -> BaseException | None:
        """Why it has not succeeded."""
    @property
    def answers(self) -> list[Answer]:
        """The answers, as far as they came."""
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def generated_tokens(self) -> int: ...
    @property
    def first_token(self) -> float | None:
        """Seconds to the first token."""
    @property
    def took(self) -> float:
        """Seconds to the end."""
    @property
    def metadata(self) -> dict[str, str]: ...

@final
class Batch:
    def __iter__(self) -> Batch: ...
    def __next__(self) -> Inference: ...
    def cancel(self) -> None: ...

@final
class Model:
    @staticmethod
    def load(
        loading: str, policy: Policy | None = None, progress: Callable[[str, int, int], object] | None = None
    ) -> Model: ...
    def begin(self, asked: str) -> Generation: ...
    def infer_batch(self, asked: _Sequence[str]) -> Batch: ...
    def embed(self, texts: _Sequence[str], pooling: str | None = None, dimensions: int | None = None) -> Matrix: ...
    def logits(self, prompt: str | _Sequence[int]) -> Matrix: ...
    def render(self, asked: str) -> str: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def name(self) -> str: ...
    @property
    def context(self) -> int: ...
    @property
    def max_sequences(self) -> int: ...
    @property
    def template(self) -> str | None: ...
    def stats(self) -> dict[str, int]: ...
    def close(self) -> None: ...

@final
class Tokenizer:
    """Text to token ids and back, on several threads, without the interpreter."""

    def __new__(cls, source: str | PathLike[str] | None = None, num_threads: int | None = None) -> Tokenizer:
        """The tokenizer of a model, or of a tokenizer.json, tokenizer.model or .tiktoken file."""
    def encode(self, text: str, add_special: bool = True, parse_special: bool = False) -> list[int]:
        """Token ids; with `parse_special`, control tokens that are written out are recognised."""
    def encode_batch(
        self, texts: _Sequence[str], add_special: bool = True, parse_special: bool = False
    ) -> list[list[int]]:
        """Token ids of each text, on all threads."""
    def decode(self, ids: _Sequence[int], special: bool = False) -> str:
        """The text; control tokens have none, unless `special`."""
    def count(self, text: str, add_special: bool = True) -> int:
        """How many tokens a text has."""
    def offsets(self, text: str, ids: _Sequence[int]) -> list[tuple[int, int]] | None:
        """Where each token stands in its text, in bytes of UTF-8."""
    def piece(self, id: int) -> str | None:
        """A token as the vocabulary writes it."""
    def id(self, piece: str) -> int | None:
        """The id of a token as the vocabulary writes it."""
    @property
    def vocab_size(self) -> int: ...
    @property
    def bos(self) -> int | None: ...
    @property
    def eos(self) -> int | None: ...
    @property
    def num_threads(self) -> int:
        """Threads that encode batches and long texts."""
    def get_statistics(self) -> dict[str, float]:
        """`encodes`, `bytes`, `tokens`, `seconds`, `tokens_per_second`, `cache_hits`, `cache_misses`."""
    def reset_statistics(self) -> None: ...

@final
class Sequence:
    """A sequence at the moment when a policy is asked about it. Times are in seconds by the engine's clock."""

    @property
    def id(self) -> int:
        """Grows in the order of arrival."""
    @property
    def arrival(self) -> float: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def priority(self) -> str:
        """`high`, `normal` or `low`."""
    @property
    def tenant(self) -> str | None: ...
    @property
    def prompt(self) -> int:
        """Tokens of its prompt."""
    @property
    def longest(self) -> int:
        """Tokens that it has at most, its prompt included; in a simulation with `max_tokens=0`, exactly."""
    @property
    def tokens(self) -> int:
        """Tokens that it has."""
    @property
    def generated(self) -> int:
        """Tokens generated."""
    @property
    def cached(self) -> int:
        """Tokens that the KV cache holds of it."""
    @property
    def pending(self) -> int:
        """Tokens to be computed before its next one can be chosen."""
    @property
    def rows(self) -> int:
        """Tokens that the current batch computes."""
    @property
    def running(self) -> bool:
        """Whether it holds blocks; else it is in the queue."""
    @property
    def continuations(self) -> int:
        """Answers that it stands for."""

@final
class Load:
    """What goes on in an engine."""

    @property
    def now(self) -> float:
        """The time in seconds."""
    @property
    def rows(self) -> int:
        """Tokens that a step can compute."""
    @property
    def decoding(self) -> int:
        """Sequences that decode in this step."""
    @property
    def shared(self) -> bool:
        """Whether another model computes on the same threads."""
    @property
    def running(self) -> int:
        """Sequences that hold blocks."""
    @property
    def waiting(self) -> int:
        """Sequences in the queue."""
    @property
    def free_blocks(self) -> int:
        """Free blocks of the KV cache."""

@final
class Usage:
    """What is known of the use of a block of the KV cache."""

    @property
    def hits(self) -> int:
        """How often it was found."""
    @property
    def last(self) -> int:
        """When it was let go, in lookups."""
    @property
    def depth(self) -> int:
        """Blocks before it."""
    @property
    def content(self) -> int:
        """A hash of its contents."""

@final
class Replay:
    @property
    def figures(self) -> str: ...
    def column(self, name: str) -> Matrix: ...
    def ends(self) -> list[str]: ...
    def tenants(self) -> list[str | None]: ...
    def __len__(self) -> int: ...

def simulate(load: str, server: str, policy: str | Policy) -> Replay: ...
def look_up(load: str, blocks: int, block: int, rule: str | EvictionRule) -> tuple[float, float]: ...
def main(arguments: _Sequence[str]) -> int: ...
def proportion(hits: int, trials: int, alpha: float = 0.05, tuned: float = 1000.0) -> tuple[float, float]:
    """The confidence sequence of a proportion, narrowest near `tuned` trials, wrong with a chance of at most `alpha`."""

def mismatch(counts: _Sequence[int], shares: _Sequence[float], strength: float = 10_000.0) -> float:
    """Evidence that the shares of `counts` are not those stated."""

@final
class Moments:
    """The count, mean and variance of values, and an asymptotic confidence sequence of the mean."""

    def __new__(cls) -> Moments: ...
    def record(self, value: float) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def mean(self) -> float: ...
    @property
    def variance(self) -> float: ...
    def interval(self, alpha: float = 0.05, tuned: float = 1000.0) -> tuple[float, float]: ...

@final
class Bounded:
    """The mean of values between 0 and 1: a confidence sequence that is valid from the first value on."""

    def __new__(cls, alpha: float = 0.05) -> Bounded: ...
    def record(self, value: float) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def mean(self) -> float: ...
    def interval(self) -> tuple[float, float]: ...

@final
class Bet:
    """Evidence that the mean of values between 0 and 1 is `above` (or `below`) a bound."""

    def __new__(cls, bound: float, side: str = "above") -> Bet: ...
    def record(self, value: float) -> None: ...
    @property
    def evidence(self) -> float: ...

@final
class Pairs:
    """Pairs of answers of which one is better: evidence that one side wins more often."""

    def __new__(cls) -> Pairs: ...
    def record(self, candidate: float, stable: float) -> None: ...
    @property
    def harm(self) -> float: ...
    @property
    def gain(self) -> float: ...

@final
class Sketch:
    """Values above 0 in narrow buckets, and confidence sequences of their quantiles."""

    def __new__(cls) -> Sketch: ...
    def record(self, value: float) -> None: ...
    @property
    def count(self) -> int: ...
    def quantile(self, p: float) -> float | None: ...
    def interval(self, p: float, alpha: float = 0.05, tuned: float = 1000.0) -> tuple[float, float]: ...

@final
class Harm:
    """Evidence that a candidate has more than its share of events: of failures, or of values above what `base` of all exceed."""

    def __new__(cls, base: float | None = None) -> Harm: ...
    def record(self, candidate: bool, event: bool, share: float) -> None: ...
    @property
    def evidence(self) -> float: ...

@final
class Detector:
    """Watches how often an event happens, against a rate; false alarms are `patience` observations apart on average, or more."""

    def __new__(cls, rate: float, patience: float) -> Detector: ...
    def record(self, event: bool) -> bool: ...
    @property
    def level(self) -> float: ...
