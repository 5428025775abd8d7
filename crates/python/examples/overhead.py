"""What a stream costs in Python beside the same stream in Rust: both in turns, the same model, prompt and number of tokens.

    overhead.py PROGRAM [MODEL]

PROGRAM is the example `stream_speed` of the crate `whinchat`, built as the package is.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import whinchat

TURNS, TOKENS = 7, 400


def python(model: whinchat.Model) -> float:
    """Tokens a second of a stream in Python, from the first piece on."""
    stream = model.stream("Once upon a time", max_tokens=TOKENS, temperature=0, ignore_eos=True)
    next(stream)
    began = time.perf_counter()
    for _ in stream:
        pass
    return (TOKENS - 1) / (time.perf_counter() - began)


def rust(program: str, source: list[str]) -> float:
    """The same in Rust."""
    done = subprocess.run([program, str(TOKENS), *source], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    program, *source = sys.argv[1:]
    with whinchat.Model.load(*source) as model:
        python(model)
        pairs = [(python(model), rust(program, source)) for _ in range(TURNS)]
    ours, theirs = (statistics.median(side) for side in zip(*pairs))
    print(f"Python {ours:.1f} tokens/s, Rust {theirs:.1f} tokens/s: {100 * (theirs / ours - 1):+.2f} %")


if __name__ == "__main__":
    main()
