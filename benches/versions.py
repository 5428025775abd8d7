"""Compares the speed of two builds of whinchat, in turns: an earlier one's program, and this one."""

import sys
from statistics import median

import receipts
from programs import Whinchat, text

HEAD = ["model", "type", "test", "this tok/s", "earlier tok/s", "ratio", "least–most"]


def main() -> None:
    options = receipts.options(__doc__, 7, "Q8_0,Q4_K_M", "prefill,decode,batched", "earlier")
    ours, earlier = Whinchat(options.threads), options.earlier.resolve()
    facts = {"this": ours.version, "earlier": text(earlier, "--version"), "threads": options.threads, "rounds": options.rounds, "tests": []}
    for shape in options.shapes:
        for type in options.types:
            model = ours.model(options.models, shape, type)
            for test in options.tests:
                rounds = [compare(ours, earlier, model, test, number) for number in range(options.rounds)]
                facts["tests"].append({"model": shape, "type": type, "test": test.name, "rounds": rounds})
    table = receipts.markdown(HEAD, [row(**test) for test in facts["tests"]])
    folder = receipts.save(getattr(options, "receipt", "versions"), facts, table)
    print(f"{table}\n\nreceipt: {folder.relative_to(receipts.ROOT)}")


def compare(ours: Whinchat, earlier, model, test, number: int) -> dict:
    """A round; who is first changes from round to round, for a machine that grows warm or is shared."""
    rates = {"this": lambda: ours.rate(model, test), "earlier": lambda: ours.rate_of(earlier, model, test)}
    found = {name: rates[name]() for name in sorted(rates, reverse=number % 2 == 1)}
    print(f"{model.path.name}, round {number + 1}, {test.name}: {found}", file=sys.stderr)
    return found


def row(model, type, test, rounds) -> list[str]:
    """A line of the table, from medians over the rounds."""
    ratios = [r["this"] / r["earlier"] for r in rounds]
    rates = [f"{median(r[name] for r in rounds):.1f}" for name in ("this", "earlier")]
    return [model, type, test, *rates, f"{median(ratios):.3f}", f"{min(ratios):.3f}–{max(ratios):.3f}"]


if __name__ == "__main__":
    main()
