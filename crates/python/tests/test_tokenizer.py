"""Tokenizers: the ids of transformers, alone and in batches, on any number of threads, and what was counted."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import TINY

import whinchat
from whinchat import errors


def test_ids_are_those_of_transformers(cases: list[dict[str, Any]]) -> None:
    tokenizer = whinchat.Tokenizer(TINY, num_threads=2)
    assert tokenizer.num_threads == 2 and tokenizer.vocab_size == 331 and tokenizer.bos == 0
    prompts = [case["prompt"] for case in cases]
    ids = [case["ids"] for case in cases]
    assert [tokenizer.encode(prompt) for prompt in prompts] == ids
    assert tokenizer.encode_batch(prompts) == ids
    assert whinchat.ParallelTokenizer(TINY / "tokenizer.json", 1).encode_batch(prompts, add_special=False) == [
        one[1:] for one in ids
    ]
    for prompt, tokens in zip(prompts, ids):
        assert tokenizer.decode(tokens) == prompt
        assert tokenizer.count(prompt) == len(tokens)
        spans = tokenizer.offsets(prompt, tokens[1:])
        assert spans is not None
        covered = {at for start, end in spans for at in range(start, end)}
        assert covered == set(range(len(prompt.encode()))) and spans == sorted(spans)
    piece = tokenizer.piece(ids[0][1])
    assert piece is not None and tokenizer.id(piece) == ids[0][1] and tokenizer.piece(1 << 20) is None


def test_what_was_done_is_counted(cases: list[dict[str, Any]]) -> None:
    tokenizer = whinchat.Tokenizer(TINY, num_threads=1)
    texts = ["The whinchat"] * 10
    ids = tokenizer.encode_batch(texts)
    counted = tokenizer.get_statistics()
    assert counted["encodes"] == 10 and counted["bytes"] == sum(map(len, texts))
    assert counted["tokens"] == sum(map(len, ids)) and counted["seconds"] > 0 and counted["tokens_per_second"] > 0
    tokenizer.reset_statistics()
    assert tokenizer.get_statistics()["encodes"] == 0


def test_long_texts_have_the_same_ids_on_several_threads() -> None:
    text = "The whinchat sits on a fence. " * 5000
    one, two = (whinchat.Tokenizer(TINY, num_threads=threads).encode(text) for threads in (1, 2))
    assert one == two and len(one) > 5000


def test_mistakes_are_said() -> None:
    tokenizer = whinchat.Tokenizer(TINY)
    with pytest.raises(errors.InvalidRequestError, match="not in the vocabulary"):
        tokenizer.decode([1 << 20])
    with pytest.raises(errors.InvalidRequestError, match="num_threads"):
        whinchat.Tokenizer(TINY, num_threads=0)
    with pytest.raises(whinchat.Error):
        whinchat.Tokenizer("no/such/tokenizer.json")
