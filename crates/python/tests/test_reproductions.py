"""The reproductions of docs/reproductions.md, on the first requests of their traces; where the traces are not there they say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import whinchat

EXAMPLES = Path(__file__).parents[1] / "examples"
TRACES = ROOT.parent / "shared" / "assets" / "traces"
sys.path.insert(0, str(EXAMPLES))

import fair_share  # noqa: E402
import replays  # noqa: E402
import s3_fifo  # noqa: E402
import shortest_first  # noqa: E402


def found(name: str) -> Path:
    path = TRACES / name
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    return path


def test_shortest_first_answers_sooner_on_average() -> None:
    replayed = shortest_first.replay(found("AzureLLMInferenceTrace_conv.csv"), 600)
    figures = shortest_first.figures(replayed)
    assert figures["shortest remaining first"]["mean"] < figures["first come"]["mean"]
    assert all(set(one.ends) == {"complete"} for one in replayed.values()), "nobody starves"


def test_three_queues_of_python_are_those_of_the_program() -> None:
    path = found("mooncake_conversation.jsonl")
    ours = s3_fifo.hits(path, [1000], 2000)
    theirs = whinchat.look_up(path, "s3-fifo", kv_blocks=1000, block=512, limit=2000)
    assert ours["S3-FIFO"] == [100 * theirs.by_token]
    assert ours["LRU"][0] > 0


def test_counters_bound_what_first_come_does_not() -> None:
    rows = fair_share.replay(2)
    largest = {name: max(abs(gap) for _, gap in gaps) for name, gaps in rows.items()}
    # The bound of theorem 4.4: twice the larger of a prompt and of what a full batch generates, weighted.
    bound = 2 * max(256, fair_share.ANSWER * 32 * (256 + 256))
    assert largest["virtual token counter"] <= bound
    assert largest["first come"] > 2 * largest["virtual token counter"]


def test_pictures_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    curves = {"a & b": ([1.0, 10.0, 100.0], [0.0, 50.0, 100.0])}
    for name in ["one.svg", "two.svg"]:
        replays.draw(tmp_path / name, "title", ("x", "y"), curves, log=True)
    first, second = ((tmp_path / name).read_text() for name in ["one.svg", "two.svg"])
    assert first == second and "a &amp; b" in first and "nan" not in first


def test_what_is_absent_is_said(tmp_path: Path) -> None:
    for example in ["shortest_first", "s3_fifo"]:
        line = [sys.executable, str(EXAMPLES / f"{example}.py"), "--traces", str(tmp_path)]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("skipped: there is no "), done.stdout
