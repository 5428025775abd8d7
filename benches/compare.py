"""Compares the speed of whinchat and llama.cpp, in turns, beside what the machine can do at the same time."""

import sys
from statistics import median

import receipts
from programs import LlamaCpp, Model, Test, Whinchat, limits

HEAD = ["model", "type", "test", "whinchat tok/s", "llama.cpp tok/s", "ratio", "least–most", "limit", "whinchat of it", "llama.cpp of it"]
UNITS = {"read_gb_s": "GB/s read", "int8_gop_s": "int8 GOP/s", "f32_gflop_s": "f32 GFLOP/s"}


def main() -> None:
    options = receipts.options(__doc__, rounds=5, types="Q8_0,Q4_0,Q4_K_M,F16", tests="prefill,decode,batched")
    ours, peer = Whinchat(options.threads), LlamaCpp(options.threads)
    models = [ours.model(options.models, shape, type) for shape in options.shapes for type in options.types]
    facts = {"whinchat": ours.version, "peer": peer.version, "threads": options.threads, "rounds": options.rounds, "tests": []}
    for model in models:
        facts["tests"] += compare(model, options, ours, peer)
        # Anew after each model: a long run that is stopped has left something.
        table = receipts.markdown(HEAD, [row(**test) for test in facts["tests"]])
        folder = receipts.save(getattr(options, "receipt", "compare"), facts, table)
    print(table)
    print(f"\nreceipt: {folder.relative_to(receipts.ROOT)}")


def compare(model: Model, options, ours: Whinchat, peer: LlamaCpp) -> list[dict]:
    """All rounds of all tests with a model."""
    found = [{"model": model.shape, "type": model.type, "test": test.name, **bound(model, test)} for test in options.tests]
    for result, test in zip(found, options.tests):
        # Not a round: it brings the file into memory, too.
        trial = {choice: peer.rate(model, test, choice) for choice in ("off", "on")}
        result |= {"flash_attention": max(trial, key=trial.get), "trial": trial, "rounds": []}
    for number in range(options.rounds):
        can = limits(options.threads, model.weights[0])
        for result, test in zip(found, options.tests):
            figures = {"whinchat": ours.rate(model, test), "peer": peer.rate(model, test, result["flash_attention"])}
            result["rounds"].append(figures | {"limit": can[result["bound"]]})
            print(f"{model.path.name}, round {number + 1}, {test.name}: {figures}", file=sys.stderr)
    return found


def bound(model: Model, test: Test) -> dict:
    """What limits a test, and how much of it a token takes."""
    read, prompt, generated = model.weights
    if test.phase == "decode" and test.streams == 1:
        positions = test.prompt + test.generate / 2
        return {"bound": "read_gb_s", "per_token": (read + positions * model.position + model.state) / 1e9}
    kind = "f32_gflop_s" if model.type in ("F32", "F16", "BF16") else "int8_gop_s"
    return {"bound": kind, "per_token": 2 * (prompt if test.phase == "prefill" else generated) / 1e9}


def row(model, type, test, bound, per_token, flash_attention, trial, rounds) -> list[str]:
    """A line of the table, from medians over the rounds."""
    ratios = [r["whinchat"] / r["peer"] for r in rounds]
    share = {name: median(100 * r[name] * per_token / r["limit"] for r in rounds) for name in ("whinchat", "peer")}
    return [
        model, type, test,
        f"{median(r['whinchat'] for r in rounds):.1f}",
        f"{median(r['peer'] for r in rounds):.1f}" + ("" if flash_attention == "off" else " fa"),
        f"{median(ratios):.2f}", f"{min(ratios):.2f}–{max(ratios):.2f}",
        f"{median(r['limit'] for r in rounds):.0f} {UNITS[bound]}", f"{share['whinchat']:.0f} %", f"{share['peer']:.0f} %",
    ]


if __name__ == "__main__":
    main()
