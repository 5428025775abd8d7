# Goldens of crates/model: tiny models as GGUF files with the keys, names and layouts of llama.cpp's converter, written by
# the PyPI package gguf, beside the logits that transformers gives for the same weights.
#
# Writes crates/model/tests/data/gguf-NAME.gguf and gguf-NAME.npy (see architectures.py).

import math
import sys

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

import _hybrids
import _kindred
from _keys import gemma4, latent
from _models import DATA, VOCAB, logits, numbers, saved_shapes, values

BASE = {
    "vocab_size": VOCAB, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
}
MOE = {"num_experts_per_tok": 2, "num_local_experts": 4, "intermediate_size": 16}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32, "rope_theta": 500.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 1000.0}
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 16,
        "short_factor": [1.0 + 0.1 * i for i in range(3)], "long_factor": [1.5 + i for i in range(3)]}
GEMMA = {"tie_word_embeddings": True, "sliding_window": 8, "hidden_activation": "gelu_pytorch_tanh",
         "query_pre_attn_scalar": 16}

GEMMA4 = {"model_type": "gemma4_text", "tie_word_embeddings": True, "sliding_window": 8, "num_hidden_layers": 4,
          "hidden_activation": "gelu_pytorch_tanh", "global_head_dim": 24, "num_global_key_value_heads": 1,
          "layer_types": ["sliding_attention", "full_attention"] * 2, "final_logit_softcapping": 3.0,
          "hidden_size_per_layer_input": 0}

SPARSE = MOE | {"moe_intermediate_size": 16}

LATENT = SPARSE | {"head_dim": 6, "kv_lora_rank": 12, "q_lora_rank": 20, "qk_nope_head_dim": 10, "qk_rope_head_dim": 6, "v_head_dim": 14,
                   "num_key_value_heads": 6, "n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 1}

# Name: GGUF's architecture, type of the matrices, config.
CASES = {
    "llama": ("llama", "F16", {"model_type": "llama", "rope_parameters": LLAMA3, "attention_bias": True}),
    "granite": ("granite", "F16", {"model_type": "granite", "embedding_multiplier": 6.0, "residual_multiplier": 0.3,
                "attention_multiplier": 0.1, "logits_scaling": 2.5, "tie_word_embeddings": True, "head_dim": 4}),
    "smollm3": ("smollm3", "F16", {"model_type": "smollm3", "num_hidden_layers": 4, "tie_word_embeddings": True,
                                   "rope_theta": 5000.0}),
    "qwen2": ("qwen2", "Q8_0", {"model_type": "qwen2", "hidden_size": 96, "rope_parameters": YARN}),
    "qwen3": ("qwen3", "F16", {"model_type": "qwen3", "rope_theta": 1000.0}),
    "phi3": ("phi3", "F16", {"model_type": "phi3", "hidden_size": 48, "intermediate_size": 24, "head_dim": 8,
             "partial_rotary_factor": 0.75, "rope_parameters": LONG, "original_max_position_embeddings": 16}),
    "gemma2": ("gemma2", "F16", GEMMA | {"model_type": "gemma2", "attn_logit_softcapping": 2.0,
                                         "final_logit_softcapping": 3.0}),
    "gemma3": ("gemma3", "F16", GEMMA | {"model_type": "gemma3_text", "num_hidden_layers": 6,
               "rope_parameters": {
                   "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5000.0},
                   "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}),
    "gemma4": ("gemma4", "F16", GEMMA4 | {"attention_k_eq_v": True}),
    "gemma4-moe": ("gemma4", "F16", GEMMA4 | SPARSE | {
        "attention_k_eq_v": True, "enable_moe_block": True, "num_experts": 4, "top_k_experts": 2}),
    "gemma4-layers": ("gemma4", "F16", GEMMA4 | {
        "hidden_size_per_layer_input": 12, "vocab_size_per_layer_input": VOCAB, "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True}),
    "olmo2": ("olmo2", "F16", {"model_type": "olmo2", "head_dim": 4}),
    "mixtral": ("llama", "F16", MOE | {"model_type": "mixtral", "rope_theta": 1000.0}),
    "mixtral-split": ("llama", "F16", MOE | {"model_type": "mixtral", "rope_theta": 1000.0}),
    "qwen3moe": ("qwen3moe", "F16", MOE | {"model_type": "qwen3_moe", "num_experts": 4, "moe_intermediate_size": 16,
                                           "norm_topk_prob": True}),
    "gpt-oss": ("gpt-oss", "F16", MOE | {"model_type": "gpt_oss", "hidden_size": 32, "intermediate_size": 32,
                "sliding_window": 8, "rope_parameters": YARN | {"truncate": False}}),
    "gemma": ("gemma", "F16", GEMMA | {"model_type": "gemma"}),
    "seed_oss": ("seed_oss", "F16", {"model_type": "seed_oss", "attention_out_bias": False}),
    "exaone4": ("exaone4", "F16", {"model_type": "exaone4", "num_hidden_layers": 4, "sliding_window": 8,
                                   "sliding_window_pattern": 4, "head_dim": 4}),
    "glm": ("chatglm", "F16", {"model_type": "glm", "partial_rotary_factor": 0.5}),
    "glm4": ("glm4", "F16", {"model_type": "glm4", "partial_rotary_factor": 0.5, "hidden_size": 32}),
    "glm4v": ("glm4", "F16", {"model_type": "glm4", "partial_rotary_factor": 0.5, "hidden_size": 32, "sections": [2, 3, 3, 0]}),
    "olmo3": ("olmo2", "F16", {"model_type": "olmo3", "num_hidden_layers": 4, "sliding_window": 8, "head_dim": 4,
              "layer_types": ["sliding_attention", "full_attention"] * 2, "rope_parameters": {
                  "full_attention": YARN | {"rope_theta": 500000.0},
                  "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0}}}),
    "ernie4_5": ("ernie4_5", "F16", {"model_type": "ernie4_5", "tie_word_embeddings": True,
                                     "rope_theta": 1000.0}),
    "hunyuan": ("hunyuan-dense", "F16", {"model_type": "hunyuan_v1_dense"}),
    "internlm2": ("internlm2", "F16", {"model_type": "llama"}),
    "granitemoe": ("granitemoe", "F16", MOE | {"model_type": "granitemoe", "embedding_multiplier": 6.0,
                   "residual_multiplier": 0.3, "attention_multiplier": 0.1, "logits_scaling": 2.5, "head_dim": 4}),
    "olmoe": ("olmoe", "F16", MOE | {"model_type": "olmoe", "num_experts": 4, "head_dim": 4}),
    "qwen3vl": ("qwen3vl", "F16", {"model_type": "qwen3", "rope_theta": 1000.0, "sections": [24, 20, 20, 0]}),
    "qwen2vl": ("qwen2vl", "F16", {"model_type": "qwen2", "rope_theta": 1000.0, "sections": [16, 24, 24, 0]}),
    "qwen3vlmoe": ("qwen3vlmoe", "F16", MOE | {"model_type": "qwen3_moe", "num_experts": 4, "norm_topk_prob": True,
                   "moe_intermediate_size": 16, "sections": [24, 20, 20, 0]}),
    "ministral3": ("mistral3", "F16", {"model_type": "ministral3", "rope_parameters": YARN | {
        "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 8, "llama_4_scaling_beta": 0.3}}),
    "qwen2moe": ("qwen2moe", "F16", SPARSE | {"model_type": "qwen2_moe", "num_experts": 4, "head_dim": 4,
                 "shared_expert_intermediate_size": 32}),
    "glm4moe": ("glm4moe", "F16", SPARSE | {"model_type": "glm4_moe", "n_routed_experts": 4, "n_shared_experts": 1,
                "use_qk_norm": True, "routed_scaling_factor": 2.5, "partial_rotary_factor": 0.5}),
    "deepseek2": ("deepseek2", "F16", LATENT | {"model_type": "deepseek_v2", "q_lora_rank": None, "rope_parameters": YARN | {
        "mscale": 0.707, "mscale_all_dim": 0.707}}),
    "deepseek2-old": ("deepseek2", "F16", LATENT | {"model_type": "deepseek_v2"}),
    "deepseek3": ("deepseek2", "F16", LATENT | {"model_type": "deepseek_v3", "n_group": 2, "topk_group": 1,
                  "rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0}, "routed_scaling_factor": 2.5}),
    "starcoder2": ("starcoder2", "F16", {"model_type": "starcoder2", "head_dim": 4, "tie_word_embeddings": True}),
    "phi2": ("phi2", "F16", {"model_type": "phi", "head_dim": 4, "num_key_value_heads": 6}),
    "gptneox": ("gptneox", "F16", {"model_type": "gpt_neox", "head_dim": 4, "num_key_value_heads": 6, "rotary_pct": 0.5}),
    "command-r": ("command-r", "F16", {"model_type": "cohere", "use_qk_norm": True, "head_dim": 4,
                                       "logit_scale": 0.25, "tie_word_embeddings": True}),
    "cohere2": ("cohere2", "F16", {"model_type": "cohere2", "head_dim": 4, "sliding_window": 8, "num_hidden_layers": 4,
                                   "logit_scale": 0.25, "tie_word_embeddings": True}),
    "stablelm": ("stablelm", "F16", {"model_type": "stablelm", "head_dim": 4, "partial_rotary_factor": 0.5}),
    "nemotron": ("nemotron", "F16", {"model_type": "nemotron", "head_dim": 4, "hidden_act": "relu2"}),
    "arcee": ("arcee", "F16", {"model_type": "arcee", "rope_theta": 1000.0}),
    "laguna": ("laguna", "F16", SPARSE | {"model_type": "laguna", "num_experts": 4, "num_hidden_layers": 4,
               "shared_expert_intermediate_size": 32, "moe_routed_scaling_factor": 2.5, "sliding_window": 8,
               "layer_types": ["full_attention"] + ["sliding_attention"] * 3,
               "num_attention_heads_per_layer": [4, 6, 6, 6]}),
    "muse-glimmer": ("muse-glimmer", "F16", {"model_type": "muse_glimmer_text", "num_hidden_layers": 4, "sliding_window": 8,
                     "rope_theta": 500.0, "final_logit_softcapping": 3.0, "output_multiplier": 0.7, "vision_config": {
                         "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
                         "patch_size": 2, "pos_emb_height": 2, "pos_emb_width": 2}}),
    "cohere2moe": ("cohere2moe", "F16", MOE | {
        "model_type": "cohere2_moe", "head_dim": 4, "num_experts": 4, "expert_selection_fn": "sigmoid", "num_shared_experts": 1,
        "sliding_window": 8, "num_hidden_layers": 4, "rms_norm_eps": None, "logit_scale": 0.25, "tie_word_embeddings": True,
        "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"], "prefix_dense_intermediate_size": 32,
        "layer_types": ["full_attention"] + ["sliding_attention"] * 3}),
    "exaone-moe": ("exaone-moe", "F16", SPARSE | {"model_type": "exaone_moe", "num_experts": 4, "num_hidden_layers": 4,
                   "sliding_window": 8, "routed_scaling_factor": 2.5}),
    "dots1": ("dots1", "F16", SPARSE | {"model_type": "dots1", "n_routed_experts": 4, "n_shared_experts": 2,
              "norm_topk_prob": True, "routed_scaling_factor": 1.5, "first_k_dense_replace": 1}),
    "minimax-m2": ("minimax-m2", "F16", SPARSE | {"model_type": "minimax_m2", "rope_theta": 1000.0, "rotary_dim": 8}),
    "ernie4_5-moe": ("ernie4_5-moe", "F16", SPARSE | {"model_type": "ernie4_5_moe", "moe_num_experts": 4, "moe_k": 2,
                     "moe_num_shared_experts": 1, "rope_theta": 1000.0, "head_dim": 4}),
    "hunyuan-moe": ("hunyuan-moe", "F16", SPARSE | {"model_type": "hunyuan_v1_moe", "num_experts": 4, "moe_topk": 2}),
    "afmoe": ("afmoe", "F16", SPARSE | {"model_type": "afmoe", "num_experts": 4, "num_shared_experts": 1,
              "route_scale": 2.5, "sliding_window": 8, "num_hidden_layers": 4, "mup_enabled": True}),
}
DELTA = {"linear_num_key_heads": 2, "linear_num_value_heads": 6, "linear_key_head_dim": 4, "linear_value_head_dim": 5,
         "linear_conv_kernel_dim": 4, "num_hidden_layers": 4}
DELTA_MOE = DELTA | SPARSE | {"num_experts": 4, "shared_expert_intermediate_size": 32, "hidden_size": 32}
CASES |= {
    "qwen35": ("qwen35", "F16", DELTA | {"model_type": "qwen3_5_text"}),
    "qwen35-blocks": ("qwen35", "Q8_0", DELTA | {"model_type": "qwen3_5_text", "hidden_size": 96, "num_hidden_layers": 2,
                      "linear_value_head_dim": 32, "linear_key_head_dim": 48, "layer_types": ["full_attention", "linear_attention"]}),
    "qwen35moe": ("qwen35moe", "F16", DELTA_MOE | {"model_type": "qwen3_5_moe_text"}),
    "qwen3next": ("qwen3next", "F16", DELTA_MOE | {"model_type": "qwen3_next"}),
    "qwen3next-old": ("qwen3next", "F16", DELTA_MOE | {"model_type": "qwen3_next"}),
}
CONV = {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"], "norm_eps": 1e-5, "conv_L_cache": 3,
        "tie_word_embeddings": True, "block_auto_adjust_ff_dim": False, "rope_theta": 1000.0, "head_dim": 4}
MAMBA = {"mamba_n_heads": 6, "mamba_d_head": 8, "mamba_n_groups": 2, "mamba_d_state": 5, "mamba_d_conv": 4, "head_dim": 4,
         "num_hidden_layers": 3, "layer_types": ["linear_attention", "full_attention", "linear_attention"]}
GRANITE = MAMBA | {"model_type": "granitemoehybrid", "embedding_multiplier": 6.0, "residual_multiplier": 0.3,
                   "attention_multiplier": 0.3, "logits_scaling": 2.5, "shared_intermediate_size": 32}
NEMOTRON = {"model_type": "nemotron_h", "mamba_num_heads": 6, "mamba_head_dim": 7, "n_groups": 3, "ssm_state_size": 5,
            "conv_kernel": 4, "time_step_min": 1e-30, "layer_norm_epsilon": 1e-5, "num_hidden_layers": 4}
CASES |= {
    "lfm2": ("lfm2", "F16", CONV | {"model_type": "lfm2"}),
    "lfm2moe": ("lfm2moe", "F16", CONV | SPARSE | {"model_type": "lfm2_moe", "num_experts": 4, "num_dense_layers": 1}),
    "granitehybrid": ("granitehybrid", "F16", SPARSE | GRANITE),
    "granitehybrid-dense": ("granitehybrid", "F16", GRANITE | {"num_local_experts": 0, "num_experts_per_tok": 0}),
    "nemotron_h": ("nemotron_h", "F16", NEMOTRON | {
        "layers_block_type": ["linear_attention", "mlp", "full_attention", "mlp"]}),
    "nemotron_h-moe": ("nemotron_h_moe", "F16", NEMOTRON | SPARSE | {
        "layers_block_type": ["linear_attention", "moe", "full_attention", "moe"], "n_routed_experts": 4,
        "moe_shared_expert_intermediate_size": 32, "moe_latent_size": 16, "routed_scaling_factor": 2.5}),
    "falcon-h1": ("falcon-h1", "F32", {k: v for k, v in MAMBA.items() if k != "layer_types"} | {
        "model_type": "falcon_h1", "mamba_d_ssm": 48, "mamba_rms_norm": True, "mamba_norm_before_gate": False,
        "embedding_multiplier": 6.0, "lm_head_multiplier": 0.7, "mlp_multipliers": [0.8, 1.3], "key_multiplier": 0.6,
        "attention_in_multiplier": 1.2, "attention_out_multiplier": 0.9, "ssm_in_multiplier": 1.3,
        "ssm_multipliers": [0.9, 1.1, 0.8, 1.2, 0.7], "ssm_out_multiplier": 0.6}),
    "mamba2": ("mamba2", "F16", {"model_type": "mamba2", "num_heads": 6, "head_dim": 8, "n_groups": 2, "state_size": 5,
                                 "conv_kernel": 4, "num_hidden_layers": 3, "layer_norm_epsilon": 1e-5}),
}
CASES |= _kindred.cases(MOE, SPARSE, LATENT, LLAMA3)
CLASSIC = ("starcoder2", "phi2", "gptneox", "command-r", "cohere2", "stablelm", "nemotron", "cohere2moe", "jais2", "olmo", "orion", "falcon")
UNSAID = CLASSIC + ("granite", "granitemoe", "granitehybrid", "phi3", "mamba2", "lfm2", "lfm2moe", "minicpm", "minicpm3", "qwen",
                    "baichuan", "xverse", "bailingmoe", "deepseek", "granitemoe_swa", "kimi-linear")
# Those whose files get a layer that guesses the token after the next.
GUESSING = ("glm4moe", "qwen35")
PERMUTED = ("llama", "granite", "smollm3", "internlm2", "granitemoe", "mistral3", "granitehybrid", "arcee", "muse-glimmer",
            "minicpm", "olmo", "baichuan", "xverse", "granite_swa", "bailingmoe", "deepseek")


def main():
    for name, (arch, kind, case) in CASES.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        config = whole = BASE | {k: v for k, v in case.items() if k not in ("sections", "vision_config")}
        if arch == "falcon":
            del config["head_dim"]
        if "vision_config" in case:
            seeing = config["model_type"].removesuffix("_text")
            whole = {"model_type": seeing, "text_config": config, "vision_config": case["vision_config"]}
        made = weights(whole, gguf.GGMLQuantizationType[kind])
        np.save(DATA / f"gguf-{name}.npy", logits(whole, plain(made)))
        made = {n.replace(".language_model.", "."): d for n, d in made.items() if ".vision_" not in n}
        writer = gguf.GGUFWriter(DATA / f"gguf-{name}.gguf", arch)
        keys(writer, name, arch, config)
        _kindred.keys(writer, arch, config, made)
        for tensor, (data, kind_of) in sorted(converted(name, arch, config, made).items()):
            writer.add_tensor(tensor, data, raw_dtype=kind_of)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        print(name, (DATA / f"gguf-{name}.gguf").stat().st_size)


def weights(config, kind):
    """Values that are exact in their type; gpt-oss's experts are MXFP4 blocks and scales."""
    out = {}
    for name, shape in saved_shapes(config).items():
        if config["model_type"] == "gpt_oss" and name.endswith(("gate_up_proj", "down_proj")):
            experts, cols, rows = shape
            for part, dims in (("_blocks", [experts, rows, cols // 32, 16]), ("_scales", [experts, rows, cols // 32])):
                out[name + part] = values(name + part, dims, *numbers(config, name + part, dims))
            continue
        data = values(name, shape, *numbers(config, name, shape))
        if config["model_type"] == "qwen2_moe" and config["num_local_experts"] == 4 and not config.get("norm_topk_prob", True):
            # The oracle of DeepSeek's first mixture: neither biases nor a gate of the shared expert.
            data = data * np.float32(not name.endswith(("proj.bias", "shared_expert_gate.weight")))
        out[name] = rounded(data, kind) if matrix(name, data) else data
    return out


def matrix(name, data):
    whole = ("bias", "router", "gate_inp", "shared_expert_gate", "mlp.gate.", "conv1d", "conv.conv",
             "feed_forward.gate.", "mixer.gate.", "A_log", ".D", "norm.", "sinks")
    return data.ndim > 1 and not any(part in name for part in whole)


def rounded(data, kind):
    return dequantize(quantize(data, kind), kind)


def plain(made):
    out = {n: d for n, d in made.items() if not n.endswith(("_blocks", "_scales"))}
    for name in [n for n in made if n.endswith("_blocks")]:
        stem = name.removesuffix("_blocks")
        both = torch.tensor(made[name]), torch.tensor(made[f"{stem}_scales"])
        out[stem] = convert_moe_packed_tensors(*both, dtype=torch.float32).contiguous().numpy()
    return out


def keys(w, name, arch, c):
    """What the converter writes of a config."""
    rope = c.get("rope_parameters", {})
    rope = rope.get("full_attention", rope)
    head_dim = c["hidden_size"] // c["num_attention_heads"] if arch in UNSAID else c["head_dim"]
    w.add_block_count(c["num_hidden_layers"] + (arch in GUESSING))
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    if arch != "gemma4":
        w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c.get("num_attention_heads_per_layer", c["num_attention_heads"]))
    if arch != "gemma4":
        w.add_head_count_kv(1 if arch == "deepseek2" and name != "deepseek2-old" else c["num_key_value_heads"])
    if arch in CLASSIC:
        w.add_layer_norm_eps(1e-5)
    else:
        w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    if arch in ("gptneox", "stablelm"):
        w.add_parallel_residual(True)
    if "logit_scale" in c:
        w.add_logit_scale(c["logit_scale"])
        w.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    w.add_rope_freq_base(float(rope.get("rope_theta", c.get("rope_theta", {"smollm3": 2e6, "gemma4": 1e6, "command-r": 5e5, "laguna": 5e5}.get(arch, 10000.0)))))
    if arch == "gemma4":
        gemma4(w, c)
    elif arch == "deepseek2":
        latent(w, c, name == "deepseek2-old")
    elif arch not in UNSAID:
        w.add_key_length(head_dim)
        w.add_value_length(head_dim)
    if arch == "cohere2moe":
        w.add_sliding_window_pattern([kind == "sliding_attention" for kind in c["layer_types"]])
        w.add_expert_weights_norm(True)
        w.add_leading_dense_block_count(1)
        w.add_expert_feed_forward_length(c["intermediate_size"])
        w.add_expert_shared_count(1)
    if arch == "laguna":
        w.add_sliding_window(c["sliding_window"])
        w.add_rope_freq_base_swa(10000.0)
        w.add_rope_dimension_count_swa(head_dim)
    if arch in PERMUTED or arch in CLASSIC or arch in ("laguna", "phi3", "chatglm", "glm4", "glm4moe", "minimax-m2"):
        w.add_rope_dimension_count(c.get("rotary_dim", int(head_dim * c.get("partial_rotary_factor", c.get("rotary_pct", 0.5 if arch in ("phi2", "nemotron", "laguna") else 1.0)))))
    scaling(w, c, rope)
    if arch in ("gemma2", "gemma3", "gpt-oss", "phi3"):
        w.add_sliding_window(c.get("sliding_window") or 0)
    if arch in ("cohere2", "cohere2moe", "muse-glimmer"):
        w.add_sliding_window(c["sliding_window"])
    if arch == "muse-glimmer":
        w.add_sliding_window_pattern([True, True, True, False])
        w.add_final_logit_softcapping(c["final_logit_softcapping"])
        w.add_logit_scale(c["output_multiplier"])
    if arch in ("exaone4", "exaone-moe", "olmo2") and "sliding_window" in c:
        w.add_sliding_window(c["sliding_window"])
        default = ["full_attention" if i % 4 == 3 else "sliding_attention" for i in range(c["num_hidden_layers"])]
        w.add_sliding_window_pattern([kind == "sliding_attention" for kind in c.get("layer_types", default)])
    if "sections" in CASES[name][2]:
        w.add_rope_dimension_sections(CASES[name][2]["sections"])
    if arch.startswith("qwen3vl"):
        w.add_num_deepstack_layers(3)
    if arch == "gemma2":
        w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        w.add_final_logit_softcapping(c["final_logit_softcapping"])
    if arch.startswith("granite") and arch != "granite_swa":
        w.add_attention_scale(c["attention_multiplier"])
        w.add_embedding_scale(c["embedding_multiplier"])
        w.add_residual_scale(c["residual_multiplier"])
        w.add_logit_scale(c["logits_scaling"])
    if "num_local_experts" in c and arch != "gemma4":
        w.add_expert_count(c["num_local_experts"])
        w.add_expert_used_count(c["num_experts_per_tok"])
    if "shared_expert_intermediate_size" in c or arch == "hunyuan-moe":
        w.add_expert_shared_feed_forward_length(c.get("shared_expert_intermediate_size", c["intermediate_size"]))
    if arch in ("glm4moe", "dots1", "afmoe", "minimax-m2", "laguna"):
        w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if arch in ("glm4moe", "dots1", "afmoe", "laguna", "exaone-moe"):
        w.add_leading_dense_block_count(1)
        w.add_expert_weights_norm(True)
        w.add_expert_weights_scale(c.get("routed_scaling_factor", c.get("route_scale", c.get("moe_routed_scaling_factor"))))
        w.add_expert_shared_count(c.get("n_shared_experts", c.get("num_shared_experts", 1)))
    _hybrids.keys(w, arch, c)
    if arch in GUESSING:
        w.add_nextn_predict_layers(1)
    if arch == "afmoe":
        w.add_sliding_window(c["sliding_window"])
    if arch in ("qwen3moe", "qwen3vlmoe", "gpt-oss") or "moe_intermediate_size" in c:
        w.add_expert_feed_forward_length(c.get("moe_intermediate_size", c["intermediate_size"]))


def scaling(w, c, rope):
    match rope.get("rope_type"):
        case "linear":
            w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            w.add_rope_scaling_factor(rope["factor"])
        case "yarn":
            w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            w.add_rope_scaling_factor(rope["factor"])
            w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
            if "kv_lora_rank" in c:
                w.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])
            elif "mscale_all_dim" in rope:
                w.add_rope_scaling_yarn_log_mul(rope["mscale_all_dim"])
                w.add_attn_temperature_scale(rope["llama_4_scaling_beta"])
        case "longrope":
            original = rope["original_max_position_embeddings"]
            w.add_rope_scaling_orig_ctx_len(original)
            factor = c["max_position_embeddings"] / original
            w.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(factor) / math.log(original)))


def converted(name, arch, c, made):
    """The tensors under GGUF's names, in its layouts."""
    # gguf does not know some yet; their tensors have the names of others.
    of = ({"laguna": "afmoe", "muse-glimmer": "gemma3", "cohere2moe": "dots1"} | _kindred.NAMED).get(arch, arch)
    known = gguf.get_tensor_name_map(next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == of), c["num_hidden_layers"])
    kind = gguf.GGMLQuantizationType[CASES[name][1]]
    out = extra(c)
    if arch in GUESSING:
        enorm = f"blk.{c['num_hidden_layers']}.nextn.enorm.weight"
        out[enorm] = (np.ones(24, np.float32), gguf.GGMLQuantizationType.F32)
    for tensor, data in regrouped(name, _kindred.laid_out(arch, c, _hybrids.laid_out(name, arch, c, made))).items():
        if isinstance(data, tuple):
            out[renamed(known, tensor)] = (mxfp4(*data), gguf.GGMLQuantizationType.MXFP4)
            continue
        if tensor.endswith("e_score_correction_bias"):
            data = data.reshape(-1)
        if arch in PERMUTED and tensor.endswith(("q_proj.weight", "k_proj.weight", "q_proj.bias", "k_proj.bias")):
            data = permuted(data, c["num_attention_heads" if "q_proj" in tensor else "num_key_value_heads"])
        if name == "glm4v" and tensor.endswith(("q_proj.weight", "k_proj.weight", "q_proj.bias", "k_proj.bias")):
            data = apart(data, c["head_dim"], c["head_dim"] // 2)
        shifted = "gemma" in arch and arch not in ("gemma4", "gemma3n") or arch == "nemotron"
        if shifted and tensor.endswith("norm.weight") or arch == "muse-glimmer" and tensor.endswith("layernorm.weight"):
            data = data + np.float32(1)
        if matrix(tensor, data):
            again = quantize(data, kind)
            assert (dequantize(again, kind) == data).all()
            out[renamed(known, tensor)] = (again, kind)
        else:
            out[renamed(known, tensor)] = (data.astype(np.float32), gguf.GGMLQuantizationType.F32)
    return out


def renamed(known, tensor):
    if tensor.startswith("blk."):
        return tensor
    tensor = tensor.replace(".self_attn.sinks", ".self_attn.sinks.weight")
    if tensor.endswith(("self_attn.g_proj.weight", "self_attn.gate_proj.weight")):
        return f"blk.{tensor.split('.')[2]}.attn_gate.weight"
    if tensor.endswith(("router.scale", "per_expert_scale")):
        return f"blk.{tensor.split('.')[2]}.{'ffn_down_exps' if 'expert' in tensor else 'ffn_gate_inp'}.scale"
    if tensor.endswith("layer_scalar") or ".experts." in tensor and not tensor.endswith((".weight", ".bias", "_bias")):
        tensor += ".weight"
    if tensor.endswith(("e_score_correction_bias", "expert_bias")):
        return f"blk.{tensor.split('.')[2]}.exp_probs_b.bias"
    tensor = tensor.replace("model.layers.", "layers.") if ".feed_forward.experts." in tensor else tensor
    if ".mixer.experts." in tensor:
        tensor = tensor.replace("backbone.", "model.").replace(".mixer.", ".mlp.")
    found = known.get_name(tensor, try_suffixes=(".weight", ".bias"))
    assert found, tensor
    return found


def permuted(data, heads):
    """Halves of each head into neighbours."""
    return data.reshape(heads, 2, data.shape[0] // heads // 2, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)


def apart(data, head, dims):
    """Neighbours among the first elements of each head into halves: where positions have several dimensions, files have them so."""
    heads = data.reshape(-1, head, *data.shape[1:])
    parts = heads[:, :dims:2], heads[:, 1:dims:2], heads[:, dims:]
    return np.concatenate(parts, 1).reshape(data.shape)


def regrouped(name, made):
    """Experts of a layer together, gate and up projection apart."""
    out, experts = {}, {}
    for tensor, data in made.items():
        stem, _, rest = tensor.partition(".experts.")
        if rest[:1].isdigit():
            expert, matrix_name, _ = rest.split(".")
            experts.setdefault((stem, matrix_name), {})[int(expert)] = data
        elif tensor.endswith("block_sparse_moe.input_linear.weight"):
            layer, half = tensor.split(".")[2], data.shape[1] // 2
            out[f"blk.{layer}.ffn_gate_exps.weight"], out[f"blk.{layer}.ffn_up_exps.weight"] = data[:, :half], data[:, half:]
        elif tensor.endswith("kv_b_proj.weight") and name not in ("deepseek2-old", "minicpm3"):
            heads = data.reshape(BASE["num_attention_heads"], -1, data.shape[-1])
            keys, of_values = np.split(heads, [LATENT["qk_nope_head_dim"]], 1)
            out[tensor.replace("kv_b", "k_b")], out[tensor.replace("kv_b", "v_b")] = keys.swapaxes(1, 2).copy(), of_values.copy()
        elif "query_key_value" in tensor and "falcon" in name:
            kv = 2 if "grouped" in name else 1
            heads = data.reshape(kv, BASE["num_attention_heads"] // kv + 2, -1, *data.shape[1:])
            parts = heads[:, :-2], heads[:, -2:-1], heads[:, -1:]
            out[tensor] = np.concatenate([part.reshape(-1, *data.shape[1:]) for part in parts])
        elif "query_key_value" in tensor:
            heads = data.reshape(BASE["num_attention_heads"], 3, -1, *data.shape[1:])
            out[tensor] = heads.swapaxes(0, 1).reshape(data.shape)
        elif tensor.endswith("gate_up_proj_bias"):
            out[f"{stem}.experts.gate_proj.bias"], out[f"{stem}.experts.up_proj.bias"] = data[:, ::2], data[:, 1::2]
        elif tensor.endswith("down_proj_bias"):
            out[f"{stem}.experts.down_proj.bias"] = data
        elif tensor.endswith("_blocks"):
            both = data, made[tensor.replace("_blocks", "_scales")]
            if "gate_up" in tensor:
                out[f"{stem}.experts.gate_proj.weight"] = tuple(d[:, ::2] for d in both)
                out[f"{stem}.experts.up_proj.weight"] = tuple(d[:, 1::2] for d in both)
            else:
                out[f"{stem}.experts.down_proj.weight"] = both
        elif not tensor.endswith("_scales"):
            out[tensor] = data
    for (stem, matrix_name), by_expert in experts.items():
        if name == "mixtral-split":
            layer, old = stem.split(".")[2], {"w1": "gate", "w2": "down", "w3": "up"}[matrix_name]
            out |= {f"blk.{layer}.ffn_{old}.{e}.weight": d for e, d in by_expert.items()}
        else:
            out[f"{stem}.experts.{matrix_name}.weight"] = np.stack([by_expert[e] for e in sorted(by_expert)])
    return out


def mxfp4(blocks, scales):
    """gpt-oss has neighbours in a byte; GGUF has elements 0 to 15 in the low nibbles and the scale in front."""
    nibbles = np.stack([blocks & 15, blocks >> 4], -1).reshape(*blocks.shape[:-1], 32)
    packed = nibbles[..., :16] | nibbles[..., 16:] << 4
    rows = np.concatenate([scales[..., None], packed], -1)
    return np.ascontiguousarray(rows.reshape(*rows.shape[:2], -1))


def extra(c):
    """Factors of rope's frequencies."""
    rope, f32 = c.get("rope_parameters", {}), gguf.GGMLQuantizationType.F32
    if c["model_type"] == "muse_glimmer_text":
        ones = np.ones(c["head_dim"], np.float32)
        norms = {"q": 3.87 * ones, "k": ones}
        return {f"blk.{i}.attn_{n}_norm.weight": (norms[n], f32) for n in "qk" for i in range(c["num_hidden_layers"])}
    if c["model_type"] == "gemma4_text":
        # Of global heads a quarter is rotated.
        pairs = c["global_head_dim"] // 2
        return {"rope_freqs.weight": (np.array([1.0] * (pairs // 4) + [1e30] * (pairs - pairs // 4), np.float32), f32)}
    if rope.get("rope_type") == "longrope":
        factors = {f"rope_factors_{k}.weight": rope[f"{k}_factor"] for k in ("long", "short")}
        return {n: (np.array(f, np.float32), f32) for n, f in factors.items()}
    if rope.get("rope_type") != "llama3":
        return {}
    freqs = rope["rope_theta"] ** -(np.arange(0, c["head_dim"], 2) / c["head_dim"])
    waves, original = 2 * np.pi / freqs, rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    smooth = np.clip((original / waves - low) / (high - low), 0, 1)
    return {"rope_freqs.weight": ((1 / ((1 - smooth) / rope["factor"] + smooth)).astype(np.float32), f32)}


if __name__ == "__main__":
    main()
