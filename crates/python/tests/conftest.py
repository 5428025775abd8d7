"""What the tests share: the small model of the repository, loaded once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import whinchat

ROOT = Path(__file__).parents[3]
TINY = ROOT / "tests" / "data" / "tiny"


@pytest.fixture(scope="session")
def model() -> Iterator[whinchat.Model]:
    with whinchat.Model.load(TINY, kv_type="f32", threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def cases() -> list[dict[str, Any]]:
    """Prompts with what transformers generates for them greedily."""
    every = json.loads((TINY / "expected.json").read_text("utf-8"))["cases"]
    return [case for case in every if case["prompt"] != "@chat"]


@pytest.fixture(scope="session")
def builtin() -> Iterator[whinchat.Model]:
    with whinchat.Model.load(threads=1, context=512, max_sequences=4) as loaded:
        yield loaded
