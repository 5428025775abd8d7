"""How much speed is left, of whinchat and of llama.cpp, while other processes want the cores too."""

import contextlib
import subprocess
import sys
from statistics import median

import receipts
from programs import LlamaCpp, Whinchat

HEAD = ["model", "type", "test", "program", "quiet tok/s", "in competition", "left", "least–most"]


def main() -> None:
    options = receipts.options(__doc__, rounds=3, types="Q8_0", tests="prefill,decode")
    programs = [Whinchat(options.threads), LlamaCpp(options.threads)]
    models = [programs[0].model(options.models, shape, type) for shape in options.shapes for type in options.types]
    tests = [
        {"model": model.shape, "type": model.type, "test": test.name, "program": program.name}
        | {"rounds": rounds(lambda: program.rate(model, test), options)}
        for model in models for test in options.tests for program in programs
    ]
    facts = {"whinchat": programs[0].version, "peer": programs[1].version, "threads": options.threads}
    facts |= {"competitors": options.threads, "rounds": options.rounds, "tests": tests}
    table = receipts.markdown(HEAD, [row(**test) for test in tests])
    folder = receipts.save(getattr(options, "receipt", "compete"), facts, table)
    print(table)
    print(f"\nreceipt: {folder.relative_to(receipts.ROOT)}")


def rounds(rate, options) -> list[dict]:
    """Quiet and in competition, in turns."""
    found = []
    for _ in range(options.rounds):
        quiet = rate()
        with competitors(options.threads):
            found.append({"quiet": quiet, "busy": rate()})
        print(found[-1], file=sys.stderr)
    return found


@contextlib.contextmanager
def competitors(count: int):
    """Processes that compute and never wait."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def row(model, type, test, program, rounds) -> list[str]:
    """A line of the table, from medians over the rounds."""
    left = [100 * r["busy"] / r["quiet"] for r in rounds]
    figures = [f"{median(r[when] for r in rounds):.1f}" for when in ("quiet", "busy")]
    return [model, type, test, program, *figures, f"{median(left):.0f} %", f"{min(left):.0f}–{max(left):.0f} %"]


if __name__ == "__main__":
    main()
