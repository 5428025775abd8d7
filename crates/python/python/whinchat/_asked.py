"""Requests as the native half reads them: JSON, in which every field has its place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, Union

#: A conversation: OpenAI's messages.
Messages: TypeAlias = Sequence[Mapping[str, Any]]

#: What to continue: a text as it is, token ids, or a conversation.
Prompt: TypeAlias = Union[str, Sequence[int], Messages]


class Options(TypedDict, total=False):
    """How an answer is made. What is left out is as the model suggests, else the program's default."""

    # How tokens are chosen.
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    repetition_penalty: float
    frequency_penalty: float
    presence_penalty: float
    logit_bias: Mapping[int, float]
    allowed_token_ids: Sequence[int]
    bad_words: Sequence[str]
    seed: int
    # When it ends (by default after 256 tokens).
    max_tokens: int | None
    min_tokens: int
    ignore_eos: bool
    stop_token_ids: Sequence[int]
    stop: str | Sequence[str]
    include_stop: bool
    # What is told.
    n: int
    logprobs: int
    prompt_logprobs: int
    echo: bool
    skip_special_tokens: bool
    # How it is served among others.
    priority: str
    time_limit: float
    tenant: str
    cache_salt: str
    # What it has to fit: one of these.
    json_schema: Mapping[str, Any] | bool
    regex: str
    choice: Sequence[str]
    lark: str
    gbnf: str
    # Of conversations.
    tools: Sequence[Mapping[str, Any]]
    tool_choice: str
    parallel_tool_calls: bool
    continue_final_message: bool
    template_variables: Mapping[str, Any]


_SAMPLING = {
    "temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty", "frequency_penalty", "presence_penalty",
    "logit_bias", "allowed_token_ids", "bad_words", "seed",
}  # fmt: skip
_ENDING = {"max_tokens", "min_tokens", "ignore_eos", "stop_token_ids", "stop", "include_stop"}
_OUTPUT = {"n", "logprobs", "prompt_logprobs", "echo", "skip_special_tokens"}
_SERVICE = {"priority", "time_limit", "tenant", "cache_salt"}
_CONSTRAINT = {"json_schema", "regex", "choice", "lark", "gbnf"}
_CHAT = {"tools", "tool_choice", "parallel_tool_calls", "continue_final_message", "template_variables"}


def asked(prompt: Prompt, options: Mapping[str, Any], message: bool = False, metadata: Mapping[str, str] | None = None) -> str:
    """A request as JSON. With `message` a text is what a user says, if the model chats."""
    parts: dict[str, Any] = {"sampling": {}, "ending": {"max_tokens": 256}, "output": {}, "service": {}}
    chat: dict[str, Any] = {}
    for name, value in options.items():
        if name in _SAMPLING:
            parts["sampling"][name] = value
        elif name in _ENDING:
            parts["ending"][name] = [value] if name == "stop" and isinstance(value, str) else value
        elif name in _OUTPUT:
            parts["output"][name] = value
        elif name in _SERVICE:
            parts["service"][name] = value
        elif name in _CONSTRAINT:
            if "constraint" in parts:
                raise TypeError(f"{name}: an answer fits one of {', '.join(sorted(_CONSTRAINT))}, not several")
            parts["constraint"] = {name: value}
        elif name in _CHAT:
            chat[name] = value
        else:
            raise TypeError(f"there is no option {name!r}")
    parts["input"] = _given(prompt, chat, message)
    if metadata:
        parts["metadata"] = dict(metadata)
    return json.dumps(parts, default=_plain)


def _given(prompt: Prompt, chat: dict[str, Any], message: bool) -> dict[str, Any]:
    if isinstance(prompt, str):
        if message and chat:
            return {"chat": {"messages": [{"role": "user", "content": prompt}], **chat}}
        given: dict[str, Any] = {"message" if message else "text": prompt}
    elif len(prompt) > 0 and isinstance(prompt[0], Mapping):
        return {"chat": {"messages": list(prompt), **chat}}
    else:
        given = {"tokens": list(prompt)}
    if chat:
        raise TypeError(f"{', '.join(sorted(chat))}: only of conversations")
    return given


def _plain(value: Any) -> Any:
    """Numbers of NumPy and other sequences as JSON has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no place in a request")
