#!/usr/bin/env python3
"""A whole model small enough to commit: tests/data/tiny, a random Llama with its own byte-level tokenizer and chat template.

Writes the model's files as Hugging Face's libraries save them, and expected.json with what those libraries answer: token
ids, the rendered chat, and greedy continuations whose every choice is clear (no near ties) and whose
tokens are many.
"""
import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

OUT = Path(__file__).parents[2] / "tests/data/tiny"
TEXT = """The whinchat is a small bird. It sings from a low perch, and it eats insects. In autumn it flies south over the sea.
A program serves a model: a text goes in, a text comes out, one token after the other. Hello, world! How are you today?
numbers 0 1 2 3 4 5 6 7 8 9 10 20 30 40 50 60 70 80 90 100. for (i = 0; i < n; i++) { sum += x[i]; }"""
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{{ message.content | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
PROMPTS = ["The whinchat", "Hello, world! How are you?", "1 2 3 4", "naïve café ☕", "a"]
CHAT = [{"role": "system", "content": "Be brief. "}, {"role": "user", "content": "Where does it fly?"}]


def tokenizer() -> PreTrainedTokenizerFast:
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    special = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tok.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=331, special_tokens=special, initial_alphabet=alphabet))
    tok.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<|begin|>", eos_token="<|end|>")
    fast.chat_template = TEMPLATE
    return fast


def model(vocab: int, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=256, tie_word_embeddings=False, bos_token_id=0,
        eos_token_id=1,
    )
    m = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, p in m.named_parameters():
            p.copy_(1 + 0.1 * torch.randn_like(p) if "norm" in name else torch.randn_like(p) * p.shape[-1] ** -0.5)
    return m.half().float()  # values that F16 holds exactly


@torch.no_grad()
def greedy(m: LlamaForCausalLM, ids: list[int], n: int) -> tuple[list[int], float]:
    """n tokens, and the smallest lead that a chosen token had over the second, of the largest logit."""
    lead, out = 1.0, []
    for _ in range(n):
        logits = m(torch.tensor([ids + out])).logits[0, -1]
        top = logits.topk(2).values
        lead = min(lead, float((top[0] - top[1]) / logits.abs().max()))
        out.append(int(logits.argmax()))
    return out, lead


def main() -> None:
    tok = tokenizer()
    prompts = {p: tok(p).input_ids for p in PROMPTS}
    chat = tok.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    prompts["@chat"] = tok(chat, add_special_tokens=False).input_ids
    for seed in range(1000):
        m = model(len(tok), seed)
        runs = {p: greedy(m, ids, 24) for p, ids in prompts.items()}
        if all(lead > 4e-3 and 1 not in out[:-1] and len(set(out)) > 9 for out, lead in runs.values()):
            break
    shutil.rmtree(OUT, ignore_errors=True)
    m.half().save_pretrained(OUT)
    (OUT / "model.safetensors").chmod(0o644)
    tok.save_pretrained(OUT)
    cases = [{"prompt": p, "ids": prompts[p], "greedy": out, "text": tok.decode(out, skip_special_tokens=True)} for p, (out, _) in runs.items()]
    expected = {"seed": seed, "chat": {"messages": CHAT, "rendered": chat}, "cases": cases}
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    print(f"seed {seed}", {p: round(lead, 4) for p, (_, lead) in runs.items()})


main()
