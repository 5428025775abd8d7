# Recurrent layers as llama.cpp's converter lays them out in GGUF files: what architectures_gguf.py adds for them.

import numpy as np

DELTA = ("qwen35", "qwen35moe", "qwen3next")


def keys(w, arch, c):
    """What the converter writes of recurrent layers."""
    if arch in DELTA:
        w.add_ssm_conv_kernel(c["linear_conv_kernel_dim"])
        w.add_ssm_state_size(c["linear_key_head_dim"])
        w.add_ssm_group_count(c["linear_num_key_heads"])
        w.add_ssm_time_step_rank(c["linear_num_value_heads"])
        w.add_ssm_inner_size(c["linear_value_head_dim"] * c["linear_num_value_heads"])
        w.add_full_attention_interval(c.get("full_attention_interval", 4))
        w.add_rope_dimension_count(int(c["head_dim"] * 0.25))
    if arch in ("qwen35", "qwen35moe"):
        w.add_rope_dimension_sections([11, 11, 10, 0])


def laid_out(name, arch, c, made):
    """Tensors under transformers' names, or GGUF's where it cuts them."""
    out = {}
    for tensor, data in made.items():
        if arch in DELTA:
            out |= delta(name, arch, c, tensor, data)
        else:
            out[tensor] = data
    return out


def delta(name, arch, c, tensor, data):
    layer = tensor.split(".")[2] if ".layers." in tensor else ""
    if tensor.endswith("norm.weight") and not tensor.endswith("linear_attn.norm.weight"):
        return {tensor: data + np.float32(1)}
    if tensor.endswith("in_proj_qkvz.weight") and name != "qwen3next-old":
        qkv, z = cut(c, data)
        return {f"blk.{layer}.attn_qkv.weight": qkv, f"blk.{layer}.attn_gate.weight": z}
    if arch != "qwen3next" and "linear_attn." in tensor:
        data = tiled(c, tensor, data)
    if tensor.endswith(".A_log"):
        data = -np.exp(data)
    if "conv1d" in tensor:
        data = data.reshape(data.shape[0], -1)
    return {tensor.replace(".dt_bias", ".dt_proj.bias"): data}


def cut(c, qkvz):
    """Queries, keys, values and gates of each key head: all queries, all keys, all values; all gates."""
    heads, key = c["linear_num_key_heads"], c["linear_key_head_dim"]
    values = c["linear_num_value_heads"] // heads * c["linear_value_head_dim"]
    by_head = qkvz.reshape(heads, 2 * (key + values), -1)
    parts = np.split(by_head, [key, 2 * key, 2 * key + values], axis=1)
    q, k, v, z = (part.reshape(-1, qkvz.shape[1]) for part in parts)
    return np.concatenate([q, k, v]), z


def tiled(c, tensor, data):
    """The first value head of each key head, then the second of each."""
    keys = c["linear_num_key_heads"]
    each, width = c["linear_num_value_heads"] // keys, c["linear_value_head_dim"]

    def turn(x, width):
        return x.reshape(keys, each, width, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)

    first = 2 * keys * c["linear_key_head_dim"]
    if "in_proj_qkv." in tensor or "conv1d" in tensor:
        return np.concatenate([data[:first], turn(data[first:], width)])
    if "in_proj_z." in tensor:
        return turn(data, width)
    if tensor.endswith(("in_proj_a.weight", "in_proj_b.weight", "A_log", "dt_bias")):
        return turn(data, 1)
    return turn(data.T, width).T if "out_proj." in tensor else data
