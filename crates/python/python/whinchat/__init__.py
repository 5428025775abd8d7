"""Whinchat serves language models: load, generate, stream, embed; schedulers and caches to experiment with.

    import whinchat

    with whinchat.Model.load() as model:
        print(model.chat("Who are you?", max_tokens=40))
"""

from . import errors, lab, statistics
from ._asked import Options
from ._native import Answer, Event, Inference, Load, Sequence, Tokenizer, Usage
from .errors import Error
from .model import Model, Request
from .policies import Defaults, EvictionRule, Policy
from .server import Server
from .simulation import Cost, Hits, Job, RandomTrace, Replay, look_up, simulate
from .streams import Stream

#: The tokenizer encodes on several threads; this is another name for it.
ParallelTokenizer = Tokenizer

__all__ = [
    "Answer", "Cost", "Defaults", "Error", "Event", "EvictionRule", "Hits", "Inference", "Job", "Load", "Model", "Options",
    "ParallelTokenizer", "Policy", "RandomTrace", "Replay", "Request", "Sequence", "Server", "Stream", "Tokenizer", "Usage",
    "errors", "lab", "look_up", "simulate", "statistics",
]  # fmt: skip
