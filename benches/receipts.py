"""What both comparisons share: their options, and the receipt that says what was run, where, and all that came out."""

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from programs import ROOT, SHAPES, TESTS, text


def options(description: str, rounds: int, types: str, tests: str, *more: str) -> argparse.Namespace:
    """The command line, with the defaults given; `more` are further paths that must be said."""
    def words(value: str) -> list[str]:
        return value.split(",")

    def of(names: dict) -> Callable[[str], list[str]]:
        def known(value: str) -> list[str]:
            if unknown := [name for name in words(value) if name not in names]:
                raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(names)}")
            return words(value)
        return known

    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", type=Path, default=ROOT / "target/models", help="folder; what is missing there is made")
    parser.add_argument("--shapes", type=of(SHAPES), default=["qwen2.5-0.5b", "llama3.2-1b"], help="of " + ", ".join(SHAPES))
    parser.add_argument("--types", type=words, default=words(types), help="as `whinchat convert --type` takes them")
    parser.add_argument("--tests", type=of(TESTS), default=words(tests), help="of " + ", ".join(TESTS))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both programs")
    parser.add_argument("--rounds", type=int, default=rounds, help="of each test, in turns")
    parser.add_argument("--receipt", help="its name, if not the script's", default=argparse.SUPPRESS)
    for name in more:
        parser.add_argument(name, type=Path)
    chosen = parser.parse_args()
    chosen.models.mkdir(parents=True, exist_ok=True)
    chosen.tests = [TESTS[name] for name in chosen.tests]
    return chosen


def save(name: str, facts: dict, table: str) -> Path:
    """Writes NAME.json and NAME.md to runs/DATE-CPU; returns the folder."""
    where = machine()
    cpu = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(\w+\)", "", where["cpu"]).lower()).strip("-")
    folder = ROOT / "benches/runs" / f"{where['date'][:10]}-{cpu}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"machine": where, **facts}, indent=1) + "\n")
    lines = [f"- {key}: {value}" for key, value in {**where, **facts}.items() if not isinstance(value, (list, dict))]
    title = f"# {name}, {where['date'][:10]}, {where['cpu']}"
    (folder / f"{name}.md").write_text("\n".join([title, "", *lines, "", table, ""]))
    return folder


def machine() -> dict:
    """Where and of what."""
    # Receipts that are written anew change nothing that is measured.
    changed = text("git", "status", "--porcelain", "--untracked-files=no", "--", ":/", ":/!benches/runs")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "commit": text("git", "rev-parse", "HEAD") + (" and changes" if changed else ""),
        "cpu": field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "memory": field("/proc/meminfo", "MemTotal"),
        "system": f"{platform.system()} {platform.release()}",
        "compiler": text("rustc", "--version"),
        "RUSTFLAGS": os.environ.get("RUSTFLAGS", ""),
    }


def field(path: str, name: str) -> str:
    """The value of the first line `name : value`."""
    found = re.search(rf"^{name}\s*:\s*(.*)$", Path(path).read_text(), re.MULTILINE)
    return found[1] if found else ""


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table whose columns stand below each other in the plain text too; numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    numeric = [all(row[i][:1].isdigit() for row in rows) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in zip(cells, widths, numeric)) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if n else "-") for w, n in zip(widths, numeric)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])
