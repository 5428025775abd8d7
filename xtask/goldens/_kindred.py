# Families that differ from others by a few numbers, names or switches, as llama.cpp's converter lays them out in GGUF files: what
# architectures_gguf.py adds for them.

import gguf
import numpy as np
import torch

from _models import VOCAB

GRANITE = {"sliding_window": 8, "embedding_multiplier": 6.0, "residual_multiplier": 0.3, "attention_multiplier": 0.1,
           "logits_scaling": 2.5, "num_hidden_layers": 4, "layer_rope_theta": [0, 1000.0, 1000.0, 1000.0],
           "layer_types": ["full_attention"] + ["sliding_attention"] * 3, "rope_theta": 1000.0}


def cases(moe, sparse, latent, llama3):
    """Name: GGUF's architecture, type of the matrices, config."""
    return {
        "apertus": ("apertus", "F16", {"model_type": "apertus", "rope_parameters": llama3}),
        "gemma3n": ("gemma3n", "F16", {
            "model_type": "gemma3n_text", "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 8, "num_hidden_layers": 4,
            "tie_word_embeddings": True, "num_kv_shared_layers": 2, "laurel_rank": 8, "altup_active_idx": 1,
            "layer_types": ["sliding_attention", "full_attention"] * 2, "hidden_size_per_layer_input": 12,
            "vocab_size_per_layer_input": VOCAB, "activation_sparsity_pattern": [0.6, 0.95, 0.0, 0.3],
            "final_logit_softcapping": 3.0, "rope_theta": 1000.0}),
        "minicpm": ("minicpm", "F16", {"model_type": "granite", "embedding_multiplier": 6.0, "residual_multiplier": 0.3,
                    "attention_multiplier": 0.5, "logits_scaling": 2.5, "head_dim": 4}),
        "minicpm3": ("minicpm3", "F16", {
            "model_type": "minicpm3", "tie_word_embeddings": True, "head_dim": 6, "kv_lora_rank": 12, "q_lora_rank": 20,
            "qk_nope_head_dim": 10, "qk_rope_head_dim": 6, "num_key_value_heads": 6, "scale_emb": 12, "scale_depth": 1.4,
            "dim_model_base": 256, "rope_theta": 1000.0}),
        "exaone": ("exaone", "F16", {"model_type": "exaone", "rope_parameters": llama3 | {"rope_theta": 500.0}}),
        "jais2": ("jais2", "F16", {"model_type": "jais2", "head_dim": 4, "hidden_act": "relu2"}),
        "olmo": ("olmo", "F16", {"model_type": "olmo", "head_dim": 4}),
        "falcon": ("falcon", "F16", {"model_type": "falcon", "tie_word_embeddings": True, "num_key_value_heads": 1,
                                     "ffn_hidden_size": 32}),
        "falcon-grouped": ("falcon", "F16", {"model_type": "falcon", "new_decoder_architecture": True, "num_kv_heads": 2,
                                             "ffn_hidden_size": 32}),
        "qwen": ("qwen", "F16", {"model_type": "qwen2", "num_key_value_heads": 6, "head_dim": 4}),
        "baichuan": ("baichuan", "F16", {"model_type": "llama", "num_key_value_heads": 6, "head_dim": 4}),
        "xverse": ("xverse", "F16", {"model_type": "llama", "num_key_value_heads": 6, "head_dim": 4}),
        "orion": ("orion", "F16", {"model_type": "stablelm", "head_dim": 4, "use_parallel_residual": False,
                                   "partial_rotary_factor": 1.0, "use_qkv_bias": False}),
        "pangu-embedded": ("pangu-embedded", "F16", {"model_type": "llama", "attention_bias": True}),
        "granite_swa": ("granite_swa", "F16", GRANITE | {"model_type": "granite_swa"}),
        "granitemoe_swa": ("granite_swa", "F16", GRANITE | moe | {"model_type": "granitemoe_swa", "shared_intermediate_size": 0, "head_dim": 4}),
        "mellum": ("mellum", "F16", sparse | {
            "model_type": "mellum", "num_experts": 4, "sliding_window": 8, "num_hidden_layers": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 1000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0}}}),
        "hy_v3": ("hy_v3", "F16", sparse | {"model_type": "hy_v3", "num_experts": 4, "num_shared_experts": 1,
                                            "router_scaling_factor": 2.5, "rope_theta": 1000.0}),
        "bailingmoe": ("bailingmoe", "F16", moe | {"model_type": "granitemoeshared", "shared_intermediate_size": 32, "head_dim": 4,
                                                   "attention_multiplier": 0.5}),
        "bailingmoe2": ("bailingmoe2", "F16", sparse | {
            "model_type": "sarvam_moe", "num_experts": 4, "num_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 2,
            "topk_group": 1, "routed_scaling_factor": 2.5, "partial_rotary_factor": 0.5, "rope_theta": 1000.0}),
        "kimi-linear": ("kimi-linear", "F16", latent | {
            "model_type": "kimi_linear", "q_lora_rank": None, "num_hidden_layers": 3, "num_experts": 4, "num_experts_per_token": 2,
            "num_shared_experts": 1, "n_group": 1, "topk_group": 1, "routed_scaling_factor": 2.5,
            "linear_attn_config": {"head_dim": 4, "num_heads": 6, "short_conv_kernel_size": 4, "full_attn_layers": [2],
                                   "kda_layers": [1, 3]}}),
        "deepseek": ("deepseek", "F16", sparse | {"model_type": "qwen2_moe", "num_experts": 4, "head_dim": 4, "mlp_only_layers": [0],
                     "shared_expert_intermediate_size": 32, "norm_topk_prob": False}),
    }


# Their tensors have the names of others, where the package gguf does not know them or has them under another name.
NAMED = {"mellum": "qwen3moe", "hy_v3": "dots1", "granite_swa": "granitehybrid"}
SWA = {"self_attn.sinks": "attn_sinks.weight", "block_sparse_moe.experts.down_proj": "ffn_down_exps.weight",
       "block_sparse_moe.router.weight": "ffn_gate_inp.weight"}
BAILING = ("kimi-linear", "bailingmoe", "bailingmoe2", "deepseek", "hy_v3", "mellum")


def keys(w, arch, c, made):
    """What the converter writes of them."""
    if arch == "apertus":
        layers = range(c["num_hidden_layers"])
        act = {part: [float(made[f"model.layers.{i}.mlp.act_fn.{part}"].reshape(())) for i in layers]
               for part in ("alpha_n", "alpha_p", "beta", "eps")}
        w.add_xielu_alpha_n(act["alpha_n"])
        w.add_xielu_alpha_p(act["alpha_p"])
        w.add_xielu_beta(act["beta"])
        w.add_xielu_eps(act["eps"])
    if arch == "gemma3n":
        gemma3n(w, c)
    if arch in ("minicpm", "granite_swa"):
        w.add_embedding_scale(c["embedding_multiplier"])
        w.add_residual_scale(c["residual_multiplier"])
        w.add_logit_scale(c["logits_scaling"])
    if arch == "granite_swa":
        w.add_attention_scale(c["attention_multiplier"])
        w.add_array("granite_swa.attention.rope_pattern", [base != 0 for base in c["layer_rope_theta"]])
    if arch in ("granite_swa", "mellum"):
        w.add_sliding_window(c["sliding_window"])
        w.add_sliding_window_pattern([kind == "sliding_attention" for kind in c["layer_types"]])
    if arch == "minicpm3":
        w.add_q_lora_rank(c["q_lora_rank"])
        w.add_kv_lora_rank(c["kv_lora_rank"])
        w.add_key_length(c["qk_nope_head_dim"] + c["qk_rope_head_dim"])
        w.add_rope_dimension_count(c["qk_rope_head_dim"])
    if arch == "kimi-linear":
        linear = c["linear_attn_config"]
        w.add_head_count_kv([int(i + 1 in linear["full_attn_layers"]) for i in range(c["num_hidden_layers"])])
        w.add_ssm_conv_kernel(linear["short_conv_kernel_size"])
        w.add_kda_head_dim(linear["head_dim"])
        w.add_kv_lora_rank(c["kv_lora_rank"])
        w.add_rope_dimension_count(c["qk_rope_head_dim"])
        w.add_key_length(c["kv_lora_rank"] + c["qk_rope_head_dim"])
        w.add_key_length_mla(c["qk_nope_head_dim"] + c["qk_rope_head_dim"])
        w.add_value_length_mla(c["v_head_dim"])
    if arch in BAILING:
        mixtures(w, arch, c)


def gemma3n(w, c):
    w.add_altup_active_idx(c["altup_active_idx"])
    w.add_altup_num_inputs(4)
    w.add_embedding_length_per_layer_input(c["hidden_size_per_layer_input"])
    w.add_shared_kv_layers(c["num_kv_shared_layers"])
    parts = torch.tensor(c["activation_sparsity_pattern"], dtype=torch.float32)
    w.add_activation_sparsity_scale(torch.distributions.normal.Normal(0, 1).icdf(parts).tolist())
    w.add_sliding_window(c["sliding_window"])
    w.add_sliding_window_pattern([kind == "sliding_attention" for kind in c["layer_types"]])
    w.add_final_logit_softcapping(c["final_logit_softcapping"])


def mixtures(w, arch, c):
    if arch != "mellum":
        w.add_leading_dense_block_count(c.get("first_k_dense_replace", 1 if arch != "bailingmoe" else 0))
        w.add_expert_weights_scale(c.get("routed_scaling_factor", c.get("router_scaling_factor", 1.0)))
        w.add_expert_shared_count(c.get("num_shared_experts", 1))
    if arch in ("bailingmoe2", "hy_v3"):
        w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if arch in ("bailingmoe", "bailingmoe2", "hy_v3"):
        w.add_expert_weights_norm(True)
    if arch == "bailingmoe2":
        w.add_expert_group_count(c["n_group"])
        w.add_expert_group_used_count(c["topk_group"])
        w.add_rope_dimension_count(c["head_dim"] // 2)
    if arch in ("bailingmoe", "deepseek"):
        w.add_expert_feed_forward_length(c["intermediate_size"] if arch == "bailingmoe" else c["moe_intermediate_size"])


def laid_out(arch, c, made):
    """Tensors under transformers' names, or GGUF's where the package has no name for them."""
    out = {}
    for tensor, data in made.items():
        layer = tensor.split(".")[2] if ".layers." in tensor else ""
        if ".act_fn." in tensor or arch == "deepseek" and tensor.endswith("shared_expert_gate.weight"):
            continue
        if arch == "deepseek" and tensor.endswith("proj.bias"):
            assert not data.any()
            continue
        if arch == "deepseek" and "shared_expert.down_proj" in tensor:
            # A gate of 0 leaves half of it.
            data = data / np.float32(2)
        if arch == "bailingmoe" and "shared_mlp.input_linear" in tensor:
            gate, up = np.split(data, 2)
            out |= {f"blk.{layer}.ffn_gate_shexp.weight": gate, f"blk.{layer}.ffn_up_shexp.weight": up}
            continue
        if arch == "bailingmoe" and "shared_mlp.output_linear" in tensor:
            tensor = f"blk.{layer}.ffn_down_shexp.weight"
        if tensor.startswith("model.altup_"):
            continue
        if arch == "kimi-linear":
            tensor, data = kimi(tensor, data)
        if arch == "bailingmoe2":
            tensor = tensor.replace(f"model.layers.{layer}.attention.query_key_value", f"blk.{layer}.attn_qkv")
        if arch == "granite_swa" and "experts.gate_up_proj" in tensor:
            gate, up = np.split(data, 2, axis=1)
            out |= {f"blk.{layer}.ffn_gate_exps.weight": gate, f"blk.{layer}.ffn_up_exps.weight": up}
            continue
        for theirs, ours in SWA.items() if arch == "granite_swa" else ():
            tensor = tensor.replace(f"model.layers.{layer}.{theirs}", f"blk.{layer}.{ours}")
        if tensor.endswith("correct_output_scale"):
            tensor += ".weight"
        if "embed_tokens_per_layer" in tensor and len(data) < c["vocab_size"]:
            data = np.concatenate([data, np.zeros((c["vocab_size"] - len(data), data.shape[1]), data.dtype)])
        out[tensor] = data
    if arch == "gemma3n":
        for ours, theirs in (("altup_proj", "altup_projections"), ("altup_unembd_proj", "altup_unembed_projections")):
            out[f"{ours}.weight"] = np.stack([made[f"model.{theirs}.{i}.weight"] for i in range(3)])
    return fused(out) if arch == "qwen" else out


def kimi(tensor, data):
    if tensor.endswith("_conv1d.weight"):
        data = data.reshape(1, data.shape[0], 1, data.shape[-1])
    if tensor.endswith(".A_log"):
        data = -np.exp(data)
    for part in ("gate", "up", "down"):
        # What is renamed for mixtures is renamed for dense parts too.
        tensor = tensor.replace(f".block_sparse_moe.{part}_proj.", f".mlp.{part}_proj.")
    return tensor.replace(".dt_bias", ".dt_proj.bias"), data


def fused(made):
    """Queries, keys and values in one."""
    out = {n: d for n, d in made.items() if not any(f"self_attn.{p}_proj." in n for p in "qkv")}
    for name in [n for n in made if "self_attn.q_proj." in n]:
        layer, ending = name.split(".")[2], name.rsplit(".", 1)[1]
        parts = [made[name.replace("q_proj", f"{p}_proj")] for p in "qkv"]
        out[f"blk.{layer}.attn_qkv.{ending}"] = np.concatenate(parts)
    return out
