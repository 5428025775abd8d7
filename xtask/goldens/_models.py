# Shared by the scripts of tiny models: weights by a formula that the tests can repeat, and logits by transformers.
#
# Element i of a tensor is center + k * 2**exponent, where k is the top byte, signed, of splitmix64(fnv1a(name) + i).
# Such values are exact in BF16, F16 and F32, so a fixture needs no weights, only names, shapes and these two numbers.

import json
import math
import pathlib
import tempfile

import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import save_file

DATA = pathlib.Path(__file__).parents[2] / "crates/model/tests/data"
VOCAB, LENGTH = 71, 40
TOKENS = [(7 * i * i + 13 * i + 5) % VOCAB for i in range(LENGTH)]
MASK = 2**64 - 1


def fnv1a(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    return h


def signed_bytes(name, count):
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + np.arange(count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((z ^ (z >> np.uint64(31))) >> np.uint64(56)).astype(np.uint8).view(np.int8)


def numbers(config, name, shape):
    """(center, exponent) that make every tensor of a random model matter and none drown the others."""
    if name.endswith("_blocks"):
        return 0, 0
    if name.endswith("act_fn.beta"):
        # So small an exponent changes no number in F32.
        return 0.5, -40
    if name.endswith("act_fn.eps"):
        return 0, -28
    if name.endswith("_scales"):
        return 124, -6
    if "norm" in name and "linear_attn" not in name and config["model_type"].startswith(("qwen3_5", "qwen3_next")):
        return 0, -8
    if "muse" in config["model_type"] and name.endswith("layernorm.weight"):
        return 0, -8
    if ("norm" in name.lower() or "emb_ln" in name) and not name.endswith("bias") or name.endswith(("layer_scalar", "scale")):
        shifted = "gemma" in config["model_type"] and not config["model_type"].startswith(("gemma4", "gemma3n"))
        return (0 if shifted else 1), -8
    if len(shape) == 1 or name.endswith("bias") or "sinks" in name:
        return 0, -7
    if "embed_tokens" in name or "embed_in" in name:
        return 0, -7
    fan_in = shape[-2] if len(shape) == 3 and config["model_type"] == "gpt_oss" else shape[-1]
    return 0, round(-math.log2(0.577 * math.sqrt(fan_in))) - 7


def values(name, shape, center, exponent):
    k = signed_bytes(name, math.prod(shape)).reshape(shape)
    if name.endswith("_blocks"):
        return k.view(np.uint8)
    made = center + k.astype(np.float64) * 2.0**exponent
    return np.asarray(np.floor(made).astype(np.uint8) if name.endswith("_scales") else made.astype(np.float32))


def saved_shapes(config):
    """Names and shapes as transformers saves a model of that config.json."""
    with tempfile.TemporaryDirectory() as folder:
        model = auto(config).from_config(parsed(config), dtype=torch.float32)
        model.save_pretrained(folder)
        with safe_open(pathlib.Path(folder) / "model.safetensors", "np") as file:
            return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}


def auto(config):
    seeing = "vision_config" in config
    return transformers.AutoModelForImageTextToText if seeing else transformers.AutoModelForCausalLM


def parsed(config):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
        return transformers.AutoConfig.from_pretrained(folder)


def logits(config, tensors):
    """What transformers answers to TOKENS, from the same files that we read."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.json").write_text(json.dumps(config))
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        model, info = auto(config).from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
    strange = {k: v for k, v in info.items() if v and k in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    assert not strange, strange
    gaps = watch_routers(model)
    with torch.no_grad():
        out = model.eval()(torch.tensor([TOKENS])).logits[0].float().numpy()
    assert np.isfinite(out).all() and out.std() > 0.05, out.std()
    assert not gaps or min(gaps) > 1e-5, min(gaps)
    return out


def watch_routers(model):
    """Notes how clearly each choice of experts was made: a near tie would fall either way."""
    gaps = []

    def note(module, _, out):
        scores = out[0].reshape(-1, out[0].shape[-1]).sort(-1, descending=True).values
        if module.top_k < scores.shape[-1]:
            gaps.append((scores[:, module.top_k - 1] - scores[:, module.top_k]).min().item())

    for module in model.modules():
        if type(module).__name__.endswith("TopKRouter"):
            module.register_forward_hook(note)
    return gaps
