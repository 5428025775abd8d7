"""The quantization lab: small variants of a model, and what they cost. Each call runs a command of `whinchat lab` and reads what it made."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union

from .errors import CommandError
from .server import command

PathLike = Union[str, "os.PathLike[str]"]


def run(
    model: PathLike, data: Sequence[PathLike], out: PathLike, *arguments: str, variants: Sequence[str] | None = None
) -> dict[str, Any]:
    """Makes variants of a model, compares each with it on held-out text, and gives the report (`report.json`).

    The folder `out` gets the variants and the report as HTML, Markdown and JSON. `arguments` are further flags of
    `whinchat lab run`. What is finished is found again: the same call goes on where it was stopped.
    """
    line = ["lab", "run", "--model", os.fspath(model), "--out", os.fspath(out), *_each("--data", data), *arguments]
    if variants is not None:
        line += ["--variants", ",".join(variants)]
    _checked(line)
    return _object(Path(out, "report.json").read_text("utf-8"))


def calibrate(model: PathLike, data: Sequence[PathLike], out: PathLike, *arguments: str) -> Path:
    """Finds out which columns of a model's matrices count, and writes an importance matrix, which llama.cpp reads too."""
    _checked(["lab", "calibrate", "--model", os.fspath(model), "--out", os.fspath(out), *_each("--data", data), *arguments])
    return Path(out)


def quantize(model: PathLike, out: PathLike, *arguments: str, type: str | None = None, imatrix: PathLike | None = None) -> Path:
    """Writes a model with smaller weights: of a type, or as `--target-size`, `--target-bpw` or `--max-loss` among `arguments` say."""
    line = ["lab", "quantize", "--model", os.fspath(model), "--out", os.fspath(out), *arguments]
    line += [] if type is None else ["--type", type]
    line += [] if imatrix is None else ["--imatrix", os.fspath(imatrix)]
    _checked(line)
    return Path(out)


def compare(reports: Sequence[PathLike]) -> dict[str, Any]:
    """The variants of several reports in one."""
    return _object(_checked(["lab", "compare", "--json", *(os.fspath(report) for report in reports)]))


def recommend(
    reports: Sequence[PathLike],
    *,
    max_size: str | None = None,
    max_loss: float | None = None,
    min_speed: float | None = None,
) -> dict[str, Any]:
    """Which variant to take within these limits, why, and which it beats."""
    line = ["lab", "recommend", "--json", *(os.fspath(report) for report in reports)]
    limits = [("--max-size", max_size), ("--max-loss", max_loss), ("--min-speed", min_speed)]
    for flag, limit in limits:
        line += [] if limit is None else [flag, str(limit)]
    return _object(_checked(line))


def _each(flag: str, values: Sequence[PathLike]) -> list[str]:
    return [word for value in values for word in (flag, os.fspath(value))]


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    assert isinstance(value, dict)
    return value


def _checked(line: Sequence[str]) -> str:
    done = command(line)
    if done.returncode != 0:
        raise CommandError(done.stderr.strip() or f"whinchat {' '.join(line)}: status {done.returncode}")
    return done.stdout
