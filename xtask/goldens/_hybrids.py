# Recurrent layers as llama.cpp's converter lays them out in GGUF files: what architectures_gguf.py adds for them.

import numpy as np
from gguf import ExpertGatingFuncType

DELTA = ("qwen35", "qwen35moe", "qwen3next")
CONV = ("lfm2", "lfm2moe")
SCAN = ("granitehybrid", "nemotron_h", "nemotron_h_moe", "falcon-h1", "mamba2")


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
    if arch in CONV:
        w.add_shortconv_l_cache(c["conv_L_cache"])
        w.add_head_count_kv([0 if t == "conv" else c["num_key_value_heads"] for t in c["layer_types"]])
        w.add_layer_norm_rms_eps(c["norm_eps"])
    if arch == "lfm2moe":
        w.add_leading_dense_block_count(c["num_dense_layers"])
        w.add_expert_count(c["num_experts"])
        w.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)
    if arch in SCAN:
        scan_keys(w, arch, c)


def scan_keys(w, arch, c):
    heads, width = mamba(c, "n_heads", "num_heads"), mamba(c, "d_head", "head_dim")
    w.add_ssm_conv_kernel(mamba(c, "d_conv", "conv_kernel"))
    w.add_ssm_state_size(mamba(c, "d_state", "ssm_state_size", "state_size"))
    w.add_ssm_group_count(mamba(c, "n_groups"))
    w.add_ssm_inner_size(heads * width)
    w.add_ssm_time_step_rank(heads)
    w.add_layer_norm_rms_eps(c.get("layer_norm_epsilon", c["rms_norm_eps"]))
    types = c.get("layer_types", c.get("layers_block_type", []))
    if arch in ("granitehybrid", "nemotron_h", "nemotron_h_moe"):
        w.add_head_count_kv([c["num_key_value_heads"] if t == "full_attention" else 0 for t in types])
    if arch == "granitehybrid":
        w.add_rope_scaling_finetuned(False)
    if arch == "nemotron_h":
        w.add_feed_forward_length([c["intermediate_size"] if t == "mlp" else 0 for t in types])
    if arch == "nemotron_h_moe":
        w.add_feed_forward_length([c["moe_intermediate_size"] if t == "moe" else 0 for t in types])
        w.add_expert_count(c["n_routed_experts"])
        w.add_expert_shared_feed_forward_length(c["moe_shared_expert_intermediate_size"])
        w.add_expert_shared_count(1)
        w.add_expert_weights_norm(True)
        w.add_expert_weights_scale(c["routed_scaling_factor"])
        w.add_expert_group_count(1)
        w.add_moe_latent_size(c["moe_latent_size"])
    if arch == "mamba2":
        w.add_context_length(2**20)
        w.add_feed_forward_length(0)
        w.add_head_count(0)


def mamba(c, *names):
    return next(c[n] for name in names for n in (f"mamba_{name}", name) if n in c)


def laid_out(name, arch, c, made):
    """Tensors under transformers' names, or GGUF's where it cuts them."""
    out = {}
    for tensor, data in made.items():
        if arch in DELTA:
            out |= delta(name, arch, c, tensor, data)
        elif arch in SCAN:
            out |= scan(arch, c, tensor, data)
        elif arch in CONV and "conv.conv" in tensor:
            out[tensor] = data.reshape(data.shape[0], *data.shape[2:])
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


def scan(arch, c, tensor, data):
    layer = tensor.split(".")[2] if ".layers." in tensor else ""
    if tensor.endswith("shared_mlp.input_linear.weight"):
        gate, up = np.split(data, 2)
        kind = "_shexp" if c["num_local_experts"] else ""
        return {f"blk.{layer}.ffn_gate{kind}.weight": gate, f"blk.{layer}.ffn_up{kind}.weight": up}
    if tensor.endswith("shared_mlp.output_linear.weight") and not c["num_local_experts"]:
        return {f"blk.{layer}.ffn_down.weight": data}
    if arch == "falcon-h1":
        data = multiplied(c, tensor, data)
    if tensor.endswith(".A_log"):
        data = -np.exp(data)
    if tensor.endswith((".A_log", ".D")):
        data = data.reshape(-1, 1)
    if tensor.endswith("conv1d.weight"):
        data = data.reshape(data.shape[0], -1)
    if tensor.endswith(("mixer.norm.weight", "mamba.norm.weight")):
        data = data.reshape(mamba(c, "n_groups"), -1)
    return {tensor.replace(".dt_bias", ".dt_proj.bias"): data}


def multiplied(c, tensor, data):
    """Falcon-H1's factors, in the weights."""
    def by(key, i=None):
        return c.get(key, 1.0) if i is None else c.get(key, [1.0] * 5)[i]

    if "mamba.in_proj" in tensor:
        inner, group = c["mamba_d_ssm"], c["mamba_n_groups"] * c["mamba_d_state"]
        rows = [inner, inner, group, group, c["mamba_n_heads"]]
        factors = np.repeat([by("ssm_multipliers", i) for i in range(5)], rows)
        return data * np.float32(by("ssm_in_multiplier")) * factors.astype(np.float32)[:, None]
    names = {
        "down_proj": by("mlp_multipliers", 1), "gate_proj": by("mlp_multipliers", 0),
        "k_proj": by("key_multiplier") * by("attention_in_multiplier"), "q_proj": by("attention_in_multiplier"),
        "v_proj": by("attention_in_multiplier"), "o_proj": by("attention_out_multiplier"),
        "out_proj": by("ssm_out_multiplier"), "lm_head": by("lm_head_multiplier"),
        "embed_tokens": by("embedding_multiplier"),
    }
    found = [factor for part, factor in names.items() if f".{part}." in f".{tensor}"]
    return data * np.float32(found[0]) if found else data
