"""The blocks of docs/python.md run, one after the other, as in a notebook; what a block shows at its end is what the page says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from conftest import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    blocks = BLOCK.findall(page)
    assert len(blocks) >= 12
    monkeypatch.chdir(tmp_path)
    cells: dict[str, object] = {"__name__": "__main__"}
    for code, shown in blocks:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, "docs/python.md", "exec"), cells)
        assert not shown or out.getvalue() == shown, code
