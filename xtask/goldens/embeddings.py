#!/usr/bin/env python3
"""Vectors of texts by transformers, of the model in tests/data/tiny: its last hidden states, pooled and scaled to length 1.

Writes tests/data/tiny/embeddings.json.
"""
import json
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

TINY = Path(__file__).parents[2] / "tests/data/tiny"
TEXTS = ["The whinchat is a small bird.", "1 2 3 4", "It flies south over the sea, and it eats insects. " * 3]


def main():
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    model = AutoModel.from_pretrained(TINY, dtype=torch.float32).eval()
    cases = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            rows = model(ids).last_hidden_state[0].double()
        pooled = {"mean": rows.mean(0), "cls": rows[0], "last": rows[-1]}
        unit = {name: [round(x, 6) for x in (row / row.norm()).tolist()] for name, row in pooled.items()}
        cases.append({"text": text, "tokens": ids.shape[1]} | unit)
    (TINY / "embeddings.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
