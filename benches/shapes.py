#!/usr/bin/env python3
"""Writes a GGUF file of random weights in the shape of a mixture of experts or of a hybrid.

    shapes.py SHAPE VOCABULARY.gguf OUT.gguf --type Q8_0

Speed does not depend on what the weights are. So each matrix repeats one block of noise, quantized once for its width:
a file of gigabytes is written as fast as the disk takes it. The noise is normal with a deviation of 1/sqrt(columns), with which
activations stay finite in every layer.
"""

import argparse
from functools import cache

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants

# Numbers as the models' own configurations have them.
SHAPES = {
    # Qwen3.5-0.8B: three gated delta nets, then attention with a gate; 752 million weights.
    "qwen3.5-0.8b": dict(arch="qwen35", vocab=248320, layers=24, width=1024, ffn=3584, heads=8, kv=2, head=256, tied=True,
                         base=1e7, delta_heads=16, delta_width=128, conv=4, interval=4, rotated=64),
    # A few layers of Llama-3.2-1B, for types whose blocks are 256 wide; the head is small beside them.
    "llama-6-layers": dict(arch="llama", vocab=32000, layers=6, width=2048, ffn=8192, heads=32, kv=8, head=64, base=5e5),
    # Qwen1.5-MoE-A2.7B: 4 of 60 experts and a shared one; 14.3 billion weights, 2.7 active.
    "qwen1.5-moe-a2.7b": dict(arch="qwen2moe", vocab=151936, layers=24, width=2048, ffn=5632, heads=16, kv=16, head=128,
                              base=1e6, experts=60, used=4, expert_ffn=1408, shared_ffn=5632),
}


# Types that the package gguf cannot write: bytes of a block, and where its factor is. The rest of a block may be anything.
BLOCKS = {"IQ1_S": (50, 0), "IQ2_XXS": (66, 0), "IQ2_XS": (74, 0), "IQ2_S": (82, 0), "IQ3_XXS": (98, 0), "IQ3_S": (110, 0),
          "TQ1_0": (54, 52), "TQ2_0": (66, 64)}


class Writer:
    """Tensors and keys of one file."""

    def __init__(self, path: str, shape: dict, type: str, seed: int):
        self.file = GGUFWriter(path, shape["arch"])
        self.type = GGMLQuantizationType[type]
        self.noise = np.random.default_rng(seed).standard_normal(1 << 22).astype(np.float32)

    @cache
    def block(self, cols: int) -> np.ndarray:
        """Quantized rows of that many columns."""
        rows = len(self.noise) // cols
        if self.type.name in BLOCKS:
            size, factor = BLOCKS[self.type.name]
            blocks = np.random.default_rng(cols).integers(0, 256, (rows, cols // 256, size), np.uint8)
            blocks[..., factor : factor + 2] = np.array([0.1 * cols**-0.5], np.float16).view(np.uint8)
            return blocks.reshape(rows, -1)
        x = self.noise[: rows * cols].reshape(rows, cols) * np.float32(cols**-0.5)
        return quants.quantize(x, self.type)

    def matrix(self, name: str, cols: int, *rows: int) -> None:
        data = np.resize(self.block(cols), (*rows, self.block(cols).shape[-1]))
        self.file.add_tensor(f"{name}.weight", data, raw_dtype=self.type)

    def numbers(self, name: str, value: float, *dims: int) -> None:
        """All the same: norms, biases and what else is small."""
        self.file.add_tensor(name, np.full(dims, value, np.float32))

    def floats(self, name: str, *dims: int) -> None:
        """Small noise, unquantized."""
        self.file.add_tensor(name, (np.resize(self.noise, dims) * np.float32(dims[-1] ** -0.5)).copy())

    def close(self) -> None:
        self.file.write_header_to_file()
        self.file.write_kv_data_to_file()
        self.file.write_tensors_to_file()
        self.file.close()


def tokenizer(path: str, file: GGUFWriter, vocab: int) -> None:
    """The vocabulary of that file, with unused tokens up to `vocab`."""
    for key, field in GGUFReader(path).fields.items():
        value = field.contents()
        if key == "tokenizer.ggml.tokens":
            value = value + [f"[PAD{i}]" for i in range(len(value), vocab)]
        if key == "tokenizer.ggml.token_type":
            value = value + [5] * (vocab - len(value))
        if key.startswith("tokenizer."):
            file.add_array(key, value) if field.types[0] == GGUFValueType.ARRAY else file.add_key_value(key, value, field.types[0])


def keys(file: GGUFWriter, s: dict) -> None:
    file.add_block_count(s["layers"])
    file.add_context_length(32768)
    file.add_embedding_length(s["width"])
    file.add_feed_forward_length(s["ffn"])
    file.add_head_count(s["heads"])
    file.add_head_count_kv(s["kv"])
    file.add_key_length(s["head"])
    file.add_value_length(s["head"])
    file.add_rope_freq_base(s["base"])
    file.add_layer_norm_rms_eps(1e-6)
    file.add_vocab_size(s["vocab"])
    if s["arch"] == "llama":
        file.add_rope_dimension_count(s["head"])
    if "experts" in s:
        file.add_expert_count(s["experts"])
        file.add_expert_used_count(s["used"])
        file.add_expert_feed_forward_length(s["expert_ffn"])
        file.add_expert_shared_feed_forward_length(s["shared_ffn"])
    if "delta_heads" in s:
        file.add_ssm_conv_kernel(s["conv"])
        file.add_ssm_state_size(s["delta_width"])
        file.add_ssm_group_count(s["delta_heads"])
        file.add_ssm_time_step_rank(s["delta_heads"])
        file.add_ssm_inner_size(s["delta_heads"] * s["delta_width"])
        file.add_full_attention_interval(s["interval"])
        file.add_rope_dimension_count(s["rotated"])
        file.add_rope_dimension_sections([11, 11, 10, 0])


def delta(w: Writer, b: str, s: dict) -> None:
    """A gated delta net."""
    heads, inner, width = s["delta_heads"], s["delta_heads"] * s["delta_width"], s["width"]
    w.matrix(f"{b}attn_qkv", width, 3 * inner)
    w.matrix(f"{b}attn_gate", width, inner)
    w.floats(f"{b}ssm_conv1d.weight", 3 * inner, s["conv"])
    w.numbers(f"{b}ssm_dt.bias", 1.0, heads)
    w.numbers(f"{b}ssm_a", -0.1, heads)
    w.matrix(f"{b}ssm_beta", width, heads)
    w.matrix(f"{b}ssm_alpha", width, heads)
    w.numbers(f"{b}ssm_norm.weight", 1.0, s["delta_width"])
    w.matrix(f"{b}ssm_out", inner, width)


def attention(w: Writer, b: str, s: dict) -> None:
    gated = 2 if s["arch"] == "qwen35" else 1
    rows = {"attn_q": gated * s["heads"] * s["head"], "attn_k": s["kv"] * s["head"], "attn_v": s["kv"] * s["head"]}
    for name, count in rows.items():
        w.matrix(b + name, s["width"], count)
        if s["arch"] == "qwen2moe":
            w.numbers(f"{b}{name}.bias", 0.01, count)
    if s["arch"] == "qwen35":
        w.numbers(f"{b}attn_q_norm.weight", 1.0, s["head"])
        w.numbers(f"{b}attn_k_norm.weight", 1.0, s["head"])
    w.matrix(f"{b}attn_output", s["heads"] * s["head"], s["width"])


def feed_forward(w: Writer, b: str, s: dict, end: str = "", ffn: int = 0, experts: tuple = ()) -> None:
    ffn = ffn or s["ffn"]
    w.matrix(f"{b}ffn_gate{end}", s["width"], *experts, ffn)
    w.matrix(f"{b}ffn_up{end}", s["width"], *experts, ffn)
    w.matrix(f"{b}ffn_down{end}", ffn, *experts, s["width"])


def mixture(w: Writer, b: str, s: dict) -> None:
    w.floats(f"{b}ffn_gate_inp.weight", s["experts"], s["width"])
    feed_forward(w, b, s, "_exps", s["expert_ffn"], (s["experts"],))
    w.floats(f"{b}ffn_gate_inp_shexp.weight", s["width"])
    feed_forward(w, b, s, "_shexp", s["shared_ffn"])


def layer(w: Writer, index: int, s: dict) -> None:
    b = f"blk.{index}."
    w.numbers(f"{b}attn_norm.weight", 1.0, s["width"])
    w.numbers(b + ("post_attention_norm.weight" if s["arch"] == "qwen35" else "ffn_norm.weight"), 1.0, s["width"])
    recurrent = "interval" in s and (index + 1) % s["interval"]
    (delta if recurrent else attention)(w, b, s)
    (mixture if "experts" in s else feed_forward)(w, b, s)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("shape", choices=SHAPES)
    options.add_argument("vocabulary", help="GGUF file whose tokenizer is copied")
    options.add_argument("out")
    options.add_argument("--type", default="F16", choices=["F32", "F16", "BF16", "Q8_0", "Q4_0", *BLOCKS])
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    shape = SHAPES[given.shape]
    writer = Writer(given.out, shape, given.type, given.seed)
    writer.file.add_name(f"{given.shape} random {given.type}")
    tokenizer(given.vocabulary, writer.file, shape["vocab"])
    keys(writer.file, shape)
    writer.matrix("token_embd", shape["width"], shape["vocab"])
    if not shape.get("tied"):
        writer.matrix("output", shape["width"], shape["vocab"])
    writer.numbers("output_norm.weight", 1.0, shape["width"])
    for index in range(shape["layers"]):
        layer(writer, index, shape)
    writer.close()


if __name__ == "__main__":
    main()
