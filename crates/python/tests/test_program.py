"""What is beside the models: the server, the command line, the lab and the statistics."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from conftest import TINY

import whinchat
from whinchat import errors, statistics
from whinchat.server import command


def test_a_server_answers_on_a_port_of_its_own() -> None:
    with whinchat.Server(TINY, "--threads", "1") as server:
        assert server.port > 0 and server.api == f"{server.url}/v1"
        with urllib.request.urlopen(f"{server.api}/models") as response:
            (name,) = [one["id"] for one in json.load(response)["data"]]
        body = json.dumps({"model": name, "prompt": "The", "max_tokens": 3, "temperature": 0}).encode()
        request = urllib.request.Request(f"{server.api}/completions", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
        assert answer["usage"]["completion_tokens"] == 3
        with pytest.raises(errors.ServerError, match="in use|cannot listen"):
            whinchat.Server(TINY, listen=f"127.0.0.1:{server.port}")
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{server.url}/health")


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(errors.ServerError, match="no/such/model"):
        whinchat.Server("no/such/model.gguf")


def test_the_program_is_a_command() -> None:
    said = command(["run", "--model", str(TINY), "--raw", "--max-tokens", "2", "--temperature", "0", "The"])
    assert said.returncode == 0 and said.stdout.strip()
    assert command(["run", "--model", "no/such/model.gguf", "The"]).returncode == 1
    assert command(["nothing"]).returncode == 2


def test_the_lab_makes_variants_and_says_which_to_take(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"The whinchat sits on fence {at} and sings of summer.\n\n" for at in range(300)))
    lab = whinchat.lab
    few = ["--context", "64", "--chunks", "4", "--eval-chunks", "2", "--sensitivity-tokens", "0", "--threads", "1"]
    report = lab.run(TINY, [text], tmp_path / "lab", *few, variants=["Q8_0", "Q4_0"])
    names = [variant["name"] for variant in report["variants"]]
    assert names == ["Q8_0", "Q4_0"]
    assert [variant["name"] for variant in lab.compare([tmp_path / "lab"])["variants"]] == names
    assert lab.recommend([tmp_path / "lab"])["name"] in names
    with pytest.raises(errors.CommandError, match="no variant keeps"):
        lab.recommend([tmp_path / "lab"], max_size="1KB")
    matrix = lab.calibrate(TINY, [text], tmp_path / "m.gguf", *few[:4], "--threads", "1")
    small = lab.quantize(TINY, tmp_path / "small.gguf", type="Q8_0", imatrix=matrix)
    with whinchat.Model.load(small, threads=1) as model:
        assert model.generate("The", max_tokens=2, ignore_eos=True).generated_tokens == 2


def test_statistics_may_be_looked_at_always() -> None:
    low, high = statistics.proportion(30, 100)
    assert 0 < low < 0.3 < high < 1
    moments, bounded, bet = statistics.Moments(), statistics.Bounded(), statistics.Bet(0.5, "above")
    sketch, pairs = statistics.Sketch(), statistics.Pairs()
    harm, drift = statistics.Harm(), statistics.Detector(rate=0.01, patience=1000)
    for at in range(400):
        value = 0.8 if at % 2 else 0.9
        moments.record(value)
        bounded.record(value)
        bet.record(value)
        sketch.record(value)
        pairs.record(value, 0.5)
        harm.record(at % 4 > 0, True, 0.5)
    assert moments.count == bounded.count == sketch.count == 400
    assert abs(moments.mean - 0.85) < 1e-9 and abs(moments.variance - 0.0025) < 1e-9
    for low, high in (moments.interval(), bounded.interval()):
        assert low < 0.85 < high and high - low < 0.5
    assert bet.evidence > 20 and pairs.gain > 20 > pairs.harm and harm.evidence > 20
    quantile = sketch.quantile(0.25)
    assert quantile is not None and abs(quantile - 0.8) < 0.01
    low, high = sketch.interval(0.5)
    assert low <= 0.9 <= high or low <= 0.8 <= high
    assert any(drift.record(True) for _ in range(50)) and drift.level > 1000
    assert statistics.mismatch([500, 500], [1, 1]) < 1 < 20 < statistics.mismatch([700, 300], [1, 1])
    for wrong in (lambda: statistics.proportion(1, 2, alpha=0), lambda: statistics.mismatch([1], []), lambda: statistics.Bet(2)):
        with pytest.raises(errors.InvalidRequestError):
            wrong()


def test_ctrl_c_is_what_a_program_expects() -> None:
    """The command line ends at SIGINT, which Python would only take note of."""
    code = "import signal, whinchat.__main__ as m; m._native.main = lambda a: print(signal.getsignal(2) == signal.SIG_DFL) or 0; m.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
