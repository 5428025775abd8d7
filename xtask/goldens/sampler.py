# Goldens of crates/engine's sampler: which tokens may be chosen and how likely, by the logits processors of Hugging Face
# transformers (frequency and presence penalties, which it lacks, in plain torch).
#
# Writes crates/engine/tests/fixtures/sampler.json: rows of logits, and cases with their parameters, the distribution
# [[id, probability], ...], the greedy choice and the log-probabilities of the raw logits.

import json
import pathlib
import random

import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

OUT = pathlib.Path(__file__).parents[2] / "crates/engine/tests/fixtures/sampler.json"


def main():
    random.seed(7)
    torch.manual_seed(7)
    sizes = [48] * 12 + [3001]
    rows = [[round(x, 3) for x in (torch.randn(size) * 3).tolist()] for size in sizes]
    plans = [{}, {"temperature": 0.7}, {"top_k": 1}, {"top_k": 5}, {"top_k": 1000}, {"top_p": 0.9}, {"top_p": 0.05},
             {"min_p": 0.1}, {"typical_p": 0.6}, {"typical_p": 0.95, "temperature": 1.3}, {"repetition": 1.3},
             {"repetition": 0.8}, {"frequency": 0.5}, {"presence": 1.5}, {"frequency": -0.7, "presence": -0.2},
             {"bias": True}, {"banned": True}, {"temperature": 1.5, "top_k": 20, "top_p": 0.8, "min_p": 0.02},
             {"temperature": 0.5, "top_p": 0.99, "repetition": 1.1, "frequency": 0.3, "presence": 0.1, "bias": True}]
    cases = [case(rows, plan) for plan in plans for _ in range(2)] + [case(rows, random_plan()) for _ in range(60)]
    large = [{"top_k": 40}, {"top_p": 0.95}, {"typical_p": 0.5, "top_k": 200}, {"top_k": 90, "top_p": 0.9, "min_p": 0.03}]
    cases += [case(rows, plan, len(rows) - 1) for plan in large]
    lines = ",\n".join(json.dumps(case) for case in cases)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(f'{{"rows": {json.dumps(rows)},\n"cases": [\n{lines}\n]}}\n')


def random_plan():
    options = {
        "temperature": random.choice([0.3, 0.8, 1.0, 1.7]), "top_k": random.choice([3, 10, 30]),
        "top_p": random.choice([0.3, 0.8, 0.95]), "min_p": random.choice([0.01, 0.05, 0.3]),
        "typical_p": random.choice([0.3, 0.7, 0.9]), "repetition": random.choice([0.9, 1.2, 2.0]),
        "frequency": random.choice([-0.5, 0.4]), "presence": random.choice([-1.0, 0.6]), "bias": True, "banned": True,
    }
    return {name: value for name, value in options.items() if random.random() < 0.4}


def case(rows, plan, row=None):
    row = random.randrange(len(rows) - 1) if row is None else row
    some = lambda most: [random.randrange(len(rows[row])) for _ in range(random.randint(1, most))]
    case = {"row": row, "prompt": some(12), "answer": some(20)} | plan
    case["bias"] = [[id, round(random.uniform(-8, 8), 2)] for id in sorted(set(some(4)))] if plan.get("bias") else []
    case["banned"] = sorted(set(some(3))) if plan.get("banned") else []
    raw = torch.tensor([rows[row]], dtype=torch.float32)
    logits = adjusted(raw.clone(), case)
    probabilities = torch.softmax(filtered(logits.clone(), case), -1)[0]
    case["greedy"] = int(logits.argmax())
    case["distribution"] = [[id, float(f"{p:.7g}")] for id, p in enumerate(probabilities.tolist()) if p > 0]
    top = torch.log_softmax(raw.double(), -1)[0].topk(5)
    case["top"] = [[id, float(f"{p:.7g}")] for p, id in zip(top.values.tolist(), top.indices.tolist())]
    return case


def adjusted(logits, case):
    logits[0, case["banned"]] = float("-inf")
    for id, bias in case["bias"]:
        logits[0, id] += bias
    ids = torch.tensor([case["prompt"] + case["answer"]])
    if "repetition" in case:
        logits = RepetitionPenaltyLogitsProcessor(case["repetition"])(ids, logits)
    counts = torch.bincount(torch.tensor(case["answer"]), minlength=logits.shape[1])
    return logits - case.get("frequency", 0.0) * counts - case.get("presence", 0.0) * (counts > 0)


def filtered(logits, case):
    steps = {"temperature": TemperatureLogitsWarper, "min_p": MinPLogitsWarper, "top_k": TopKLogitsWarper,
             "typical_p": TypicalLogitsWarper, "top_p": TopPLogitsWarper}
    for name, step in steps.items():
        if name in case:
            logits = step(case[name])(None, logits)
    return logits


if __name__ == "__main__":
    main()
