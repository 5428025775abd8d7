"""What the reproductions share: where the traces are, and curves as SVG."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

#: Curves: a name, and its points.
Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]

ROOT = Path(__file__).resolve().parents[3]
COLOURS = ["#1f5fbf", "#c8322d", "#0a8240", "#d97a00", "#7d2a96", "#333333"]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 66, 20, 40, 50


def arguments(about: str) -> argparse.Namespace:
    """The flags of a reproduction."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--traces", type=Path, default=ROOT.parent / "shared" / "assets" / "traces", help="folder of the traces")
    parser.add_argument("--limit", type=int, help="only the first requests")
    parser.add_argument("--svg", type=Path, help="draw into this file")
    return parser.parse_args()


def trace(folder: Path, name: str) -> Path:
    """A trace; without it nothing is replayed, which is said."""
    path = folder / name
    if not path.is_file():
        print(f"skipped: there is no {name} in {folder}; --traces names the folder that has it")
        sys.exit(0)
    return path


def draw(path: Path | None, title: str, axes: tuple[str, str], curves: Curves, log: bool = False) -> None:
    """Draws curves; the horizontal axis by its logarithm with `log`."""
    if path is None:
        return
    xs = [x for points in curves.values() for x in points[0]]
    ys = [y for points in curves.values() for y in points[1]]
    scale = math.log10 if log else float
    left, right, top = scale(min(xs)), scale(max(xs)), max(ys) * 1.05 or 1.0
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> str:
        return f"{LEFT + across * (scale(x) - left) / (right - left or 1):.1f},{TOP + down * (1 - y / top):.1f}"

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{WIDTH / 2}" y="22" text-anchor="middle" font-size="15">{escape(title)}</text>',
    ]
    for tick in _ticks(0, top):
        y = place(min(xs), tick).split(",")[1]
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        lines.append(f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in [10.0**power for power in range(math.ceil(left), math.floor(right) + 1)] if log else _ticks(left, right):
        x = place(tick, 0).split(",")[0]
        lines.append(f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        lines.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>')
    lines.append(f'<text x="{LEFT + across / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(axes[0])}</text>')
    lines.append(f'<text transform="translate(16 {TOP + down / 2}) rotate(-90)" text-anchor="middle">{escape(axes[1])}</text>')
    for at, (name, points) in enumerate(curves.items()):
        colour = COLOURS[at % len(COLOURS)]
        way = " ".join(place(x, y) for x, y in zip(*points))
        lines.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        row = TOP + 16 * (at + 1)
        lines.append(f'<line x1="{LEFT + 12}" x2="{LEFT + 36}" y1="{row - 4}" y2="{row - 4}" stroke="{colour}" stroke-width="3"/>')
        lines.append(f'<text x="{LEFT + 42}" y="{row}">{escape(name)}</text>')
    path.write_text("\n".join([*lines, "</svg>", ""]), "utf-8")


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers."""
    rough = (high - low) / 5 or 1.0
    unit = 10 ** math.floor(math.log10(rough))
    step = unit * next(times for times in (1, 2, 5, 10) if times * unit >= rough)
    return [step * at for at in range(math.ceil(low / step), math.floor(high / step) + 1)]
