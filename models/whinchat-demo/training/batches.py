# Conversations as batches: of similar length, padded, with a loss on the assistant's tokens only.
import torch

import corpus

from .fingerprint import fingerprint
from .tokenizer import template

# A batch holds about `TOKENS` positions: conversations that fit the same length.
LENGTHS = [32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048]
TOKENS = 2048
IGNORED = -100


class Batches:
    """An endless, deterministic stream of (inputs, targets), each `[TOKENS // length, length]`; `position` is all it needs to go on."""

    def __init__(self, tokenizer, held_out, position=0):
        self.tokenizer, self.held_out, self.position = tokenizer, held_out, position
        self.render = template()
        self.waiting = {length: [] for length in LENGTHS}
        self.assistant = tokenizer.token_to_id("<|assistant|>")
        self.end = tokenizer.token_to_id("<|end|>")

    def state(self):
        return {"position": self.position, "waiting": self.waiting}

    def restore(self, state):
        self.position, self.waiting = state["position"], state["waiting"]

    def next(self, late):
        while True:
            messages, tools = corpus.conversation(self.position, late)
            self.position += 1
            if fingerprint(messages) in self.held_out:
                continue
            ids = self.tokenizer.encode(self.render(messages, tools), add_special_tokens=False).ids
            length = next((length for length in LENGTHS if len(ids) <= length + 1), None)
            if length is None:
                continue
            self.waiting[length].append(ids)
            if len(self.waiting[length]) == TOKENS // length:
                batch, self.waiting[length] = self.waiting[length], []
                return self.tensors(batch, length)

    def tensors(self, batch, length):
        inputs = torch.zeros(len(batch), length, dtype=torch.long)
        targets = torch.full((len(batch), length), IGNORED)
        for row, ids in enumerate(batch):
            inputs[row, : len(ids) - 1] = torch.tensor(ids[:-1])
            targets[row, : len(ids) - 1] = torch.tensor(self.answers(ids)[1:])
        return inputs, targets

    def answers(self, ids):
        """The ids inside the assistant's turns, with their end; all others ignored."""
        inside, kept = False, []
        for token in ids:
            kept.append(token if inside else IGNORED)
            inside = token == self.assistant or (inside and token != self.end)
        return kept
