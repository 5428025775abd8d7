#!/usr/bin/env python3
# Trains the demo model: `python train.py --out DIR`. Makes its own data, learns its vocabulary, trains, and exports a Hugging Face folder.
# The same seed, step count, thread count and machine give the same weights. Stopped, it goes on from DIR/checkpoint.pt.
import argparse
import json
import os
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer

from training.batches import LENGTHS, Batches
from training.export import export
from training.fingerprint import fingerprint
from training.network import Network, Shape
from training.tokenizer import learn

HERE = Path(__file__).parent


def main():
    options = arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    torch._dynamo.config.recompile_limit = 2 * len(LENGTHS)  # one program for each length
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = vocabulary(options.out / "tokenizer.json")
    run = Run(options, tokenizer)
    run.restore()
    run.train()
    export(run.network, tokenizer, options.out / "hf")
    print(f"wrote {options.out / 'hf'}; next: whinchat convert {options.out / 'hf'} --type Q8_0 --name whinchat-demo --out whinchat-demo.gguf")


def arguments():
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tokenizer, the checkpoint and the result")
    parser.add_argument("--steps", type=int, default=11000, help="optimizer steps of three batches of 2,048 positions")
    parser.add_argument("--late", type=int, default=1600, help="steps after these, with the late corpus, which has more phrasings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--every", type=int, default=200, help="steps between checkpoints")
    return parser.parse_args()


def vocabulary(path):
    if not path.exists():
        learn(60_000).save(str(path))
    return Tokenizer.from_file(str(path))


def held_out():
    """Fingerprints of the suite's cases, which training leaves out."""
    cases = [json.loads(line) for file in sorted((HERE / "eval").glob("*.jsonl")) for line in file.read_text().splitlines()]
    return {fingerprint(case["messages"]) for case in cases}


class Run:
    """Everything that a checkpoint keeps, and the loop."""

    def __init__(self, options, tokenizer):
        self.options, self.step, self.start = options, 0, time.time()
        self.batches = Batches(tokenizer, held_out())
        self.network = Network(Shape()).to(options.device)
        self.compiled = torch.compile(self.network, dynamic=False)
        matrices = [p for n, p in self.network.named_parameters() if p.ndim == 2 and "embed" not in n]
        others = [p for n, p in self.network.named_parameters() if p.ndim != 2 or "embed" in n]
        self.optimizers = [
            torch.optim.Muon(matrices, lr=options.rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=options.rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self.file = options.out / "checkpoint.pt"

    def rate(self):
        """Warm up over 100 steps, stay, and fall in a line over the last half; then, lower, once more for the late steps."""
        if self.late():
            left = 1.0 - (self.step - self.options.steps) / self.options.late
            return 0.4 * self.options.rate * min(1.0, (self.step - self.options.steps + 1) / 50) * left
        done = self.step / self.options.steps
        return self.options.rate * min(1.0, (self.step + 1) / 100, 2.0 * (1.0 - done) + 0.01)

    def late(self):
        return self.step >= self.options.steps

    def train(self):
        log = open(self.options.out / "log.jsonl", "a")
        while self.step < self.options.steps + self.options.late:
            loss, targets = self.one_step()
            self.step += 1
            if self.step % 20 == 0:
                line = {"step": self.step, "loss": round(loss, 4), "targets": targets, "conversations": self.batches.position, "seconds": round(time.time() - self.start)}
                print(json.dumps(line), file=log, flush=True)
            if self.step % self.options.every == 0:
                self.save()

    def one_step(self):
        batches = [self.batches.next(self.late()) for _ in range(3)]
        count = sum(int((targets >= 0).sum()) for _, targets in batches)
        total = 0.0
        for inputs, targets in batches:
            loss = self.loss(inputs.to(self.options.device), targets.to(self.options.device)) / count
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return total, count

    def loss(self, inputs, targets):
        length = inputs.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=inputs.device).triu(1)
        with torch.autocast(inputs.device.type, torch.bfloat16):
            hidden = self.compiled(inputs, self.network.rope(length, inputs.device), mask)
            return self.network.loss(hidden, targets)

    def save(self):
        """A checkpoint that is whole or not there."""
        state = {"step": self.step, "network": self.network.state_dict(), "optimizers": [o.state_dict() for o in self.optimizers], "batches": self.batches.state(), "seconds": time.time() - self.start}
        torch.save(state, self.file.with_suffix(".new"))
        self.file.with_suffix(".new").replace(self.file)

    def restore(self):
        if not self.file.exists():
            return
        state = torch.load(self.file, weights_only=True)
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.batches.restore(state["batches"])
        self.step, self.start = state["step"], time.time() - state["seconds"]


if __name__ == "__main__":
    main()
