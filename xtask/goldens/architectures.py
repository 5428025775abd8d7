# Goldens of crates/model: logits of a tiny random model of every architecture, by transformers on the CPU in float32.
#
# Writes crates/model/tests/data/NAME.json (config.json, and of each tensor its type, shape and the numbers of the
# formula in _models.py) and NAME.npy (the logits of 40 tokens). Configs are in the styles of transformers 4 and 5.

import copy
import json
import sys

import numpy as np
import torch
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from _models import DATA, LENGTH, VOCAB, logits, numbers, parsed, saved_shapes, values

# Heads of 80, three query heads to a KV head, a vocabulary that is no multiple of 32, windows shorter than the text.
BASE = {
    "vocab_size": VOCAB, "hidden_size": 48, "intermediate_size": 56, "num_hidden_layers": 2,
    "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 80, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
YARN = {"factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 8.0, "beta_slow": 1.0}
GEMMA2 = {"query_pre_attn_scalar": 56, "sliding_window": 8, "hidden_activation": "gelu_pytorch_tanh"}
GEMMA3 = GEMMA2 | {"num_hidden_layers": 4, "sliding_window_pattern": 3, "num_key_value_heads": 2}
GPT_OSS = {"hidden_size": 64, "intermediate_size": 32, "num_local_experts": 5, "num_experts_per_tok": 2,
           "sliding_window": 8, "num_hidden_layers": 2}
MOE = {"num_experts_per_tok": 2, "num_hidden_layers": 2}
GEMMA4 = {"model_type": "gemma4_text", "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 8,
          "tie_word_embeddings": True, "num_hidden_layers": 4, "global_head_dim": 112, "num_global_key_value_heads": 1,
          "layer_types": ["sliding_attention", "full_attention"] * 2, "hidden_size_per_layer_input": 0,
          "final_logit_softcapping": 3.0}
LATENT = MOE | {"kv_lora_rank": 24, "q_lora_rank": 40, "qk_nope_head_dim": 20, "qk_rope_head_dim": 12, "v_head_dim": 28,
                "num_key_value_heads": 6, "n_routed_experts": 6, "moe_intermediate_size": 24, "n_shared_experts": 2,
                "first_k_dense_replace": 1, "head_dim": 12}
COHERE_MOE = MOE | {"model_type": "cohere2_moe", "num_experts": 6, "sliding_window": 8, "num_hidden_layers": 4,
                    "layer_types": ["full_attention", "sliding_attention", "full_attention", "sliding_attention"],
                    "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"], "tie_word_embeddings": True}
LONG = {"short_factor": [1.0 + 0.05 * i for i in range(30)], "long_factor": [1.5 + 0.4 * i for i in range(30)]}
PHI3 = {"hidden_size": 240, "num_attention_heads": 3, "num_key_value_heads": 1, "partial_rotary_factor": 0.75}

# Name: config, and what its files hold instead of what transformers would save now.
CASES = {
    "llama": {"model_type": "llama"},
    "llama-llama3": {"model_type": "llama", "rope_theta": 500.0, "rope_scaling": LLAMA3 | {"rope_type": "llama3"},
                     "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "num_hidden_layers": 3},
    "llama-linear": {"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 3.0},
                     "hidden_act": "gelu", "num_key_value_heads": 6},
    "llama-bf16": {"model_type": "llama", "rope_parameters": {"rope_type": "dynamic", "factor": 2.0,
                   "rope_theta": 300.0}, "hidden_act": "gelu_pytorch_tanh"},
    "mistral": {"model_type": "mistral", "sliding_window": 8},
    "mistral-full": {"model_type": "mistral", "sliding_window": None, "rope_theta": 1000.0},
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True, "sliding_window": 8},
    "qwen2-window": {"model_type": "qwen2", "sliding_window": 8, "use_sliding_window": True, "max_window_layers": 1,
                     "num_hidden_layers": 3, "rope_scaling": YARN | {"type": "yarn"}},
    "qwen3": {"model_type": "qwen3", "attention_bias": True},
    "qwen3-types": {"model_type": "qwen3", "sliding_window": 6, "use_sliding_window": True, "num_hidden_layers": 3,
                    "layer_types": ["full_attention", "sliding_attention", "full_attention"],
                    "rope_parameters": YARN | {"rope_type": "yarn", "rope_theta": 700.0, "attention_factor": 0.9}},
    "phi3": {"model_type": "phi3", "sliding_window": 8},
    "phi3-short": PHI3 | {"model_type": "phi3", "rope_scaling": LONG | {"type": "longrope"}, "sliding_window": 64,
                          "original_max_position_embeddings": 64},
    "phi3-long": PHI3 | {"model_type": "phi3", "rope_scaling": LONG | {"type": "longrope"}, "tie_word_embeddings": True,
                         "original_max_position_embeddings": 16},
    "gemma2": GEMMA2 | {"model_type": "gemma2", "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0,
                        "tie_word_embeddings": True},
    "gemma2-uncapped": GEMMA2 | {"model_type": "gemma2", "attn_logit_softcapping": None, "attention_bias": True,
                                 "final_logit_softcapping": None, "tie_word_embeddings": True},
    "gemma3": GEMMA3 | {"model_type": "gemma3_text", "tie_word_embeddings": True, "rope_theta": 5000.0,
                        "rope_local_base_freq": 100.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    "gemma3-new": GEMMA3 | {"model_type": "gemma3_text", "tie_word_embeddings": True, "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 900.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 60.0}},
        "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
        "final_logit_softcapping": 2.0},
    "granite": {"model_type": "granite", "embedding_multiplier": 6.0, "residual_multiplier": 0.3,
                "attention_multiplier": 0.05, "logits_scaling": 2.5, "tie_word_embeddings": True},
    "olmo2": {"model_type": "olmo2", "rope_theta": 500000.0},
    "smollm3": {"model_type": "smollm3", "num_hidden_layers": 4, "no_rope_layer_interval": 3, "rope_theta": 5000.0},
    "smollm3-window": {"model_type": "smollm3", "num_hidden_layers": 3, "no_rope_layers": [1, 0, 1],
                       "use_sliding_window": True, "sliding_window": 7, "tie_word_embeddings": True},
    "mixtral": MOE | {"model_type": "mixtral", "num_local_experts": 5, "sliding_window": 8},
    "mixtral-fused": MOE | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 3},
    "qwen3moe": MOE | {"model_type": "qwen3_moe", "num_experts": 6, "moe_intermediate_size": 24,
                       "norm_topk_prob": True, "mlp_only_layers": []},
    "qwen3moe-sparse": MOE | {"model_type": "qwen3_moe", "num_experts": 6, "moe_intermediate_size": 24,
                              "norm_topk_prob": False, "decoder_sparse_step": 2, "num_hidden_layers": 4,
                              "mlp_only_layers": [1]},
    "qwen3moe-fused": MOE | {"model_type": "qwen3_moe", "num_experts": 4, "moe_intermediate_size": 24,
                             "norm_topk_prob": False, "use_sliding_window": True, "sliding_window": 9},
    "gpt-oss": GPT_OSS | {"model_type": "gpt_oss", "rope_theta": 150000, "rope_scaling": YARN | {
        "rope_type": "yarn", "truncate": False, "beta_fast": 32.0}},
    "gpt-oss-mxfp4": GPT_OSS | {"model_type": "gpt_oss", "swiglu_limit": 1.0,
                                "quantization_config": {"quant_method": "mxfp4"}},
    "gemma": {"model_type": "gemma", "tie_word_embeddings": True, "hidden_act": "gelu"},
    "seed_oss": {"model_type": "seed_oss", "attention_out_bias": False},
    "seed_oss-out": {"model_type": "seed_oss", "attention_bias": False, "attention_out_bias": True},
    "exaone4": {"model_type": "exaone4", "num_hidden_layers": 4, "sliding_window": 8, "sliding_window_pattern": 2,
                "head_dim": 8},
    "exaone4-full": {"model_type": "exaone4", "sliding_window": None, "head_dim": 8, "rope_theta": 500.0,
                     "rope_scaling": LLAMA3 | {"rope_type": "llama3"},
                     "layer_types": ["full_attention", "full_attention"]},
    "glm": {"model_type": "glm"},
    "glm4": {"model_type": "glm4", "rope_theta": 500.0, "partial_rotary_factor": 0.25},
    "olmo3": {"model_type": "olmo3", "num_hidden_layers": 4, "sliding_window": 8,
              "rope_scaling": YARN | {"rope_type": "yarn"}},
    "ernie4_5": {"model_type": "ernie4_5", "tie_word_embeddings": True},
    "hunyuan": {"model_type": "hunyuan_v1_dense", "rope_theta": 500.0,
                "rope_scaling": {"type": "dynamic", "alpha": 20.0, "factor": 1.0}},
    "granitemoe": MOE | {"model_type": "granitemoe", "num_local_experts": 5, "embedding_multiplier": 6.0,
                         "residual_multiplier": 0.3, "attention_multiplier": 0.05, "logits_scaling": 2.5},
    "olmoe": MOE | {"model_type": "olmoe", "num_experts": 6, "head_dim": 8},
    "ministral3": {"model_type": "ministral3", "rope_parameters": YARN | {
        "rope_type": "yarn", "rope_theta": 500.0, "mscale": 1.0, "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 8, "llama_4_scaling_beta": 0.3}},
    "qwen2moe": MOE | {"model_type": "qwen2_moe", "num_experts": 6, "moe_intermediate_size": 24, "head_dim": 8,
                       "shared_expert_intermediate_size": 40, "decoder_sparse_step": 2, "num_hidden_layers": 4},
    "glm4moe": MOE | {"model_type": "glm4_moe", "n_routed_experts": 6, "moe_intermediate_size": 24,
                      "n_shared_experts": 2, "routed_scaling_factor": 2.5, "use_qk_norm": True, "num_hidden_layers": 3,
                      "attention_bias": True},
    "glm4moe-plain": MOE | {"model_type": "glm4_moe", "n_routed_experts": 6, "moe_intermediate_size": 24,
                            "first_k_dense_replace": 0, "norm_topk_prob": False},
    "deepseek2": LATENT | {"model_type": "deepseek_v2", "q_lora_rank": None, "rope_scaling": YARN | {
        "type": "yarn", "mscale": 0.707, "mscale_all_dim": 0.707}},
    "deepseek2-groups": LATENT | {"model_type": "deepseek_v2", "topk_method": "group_limited_greedy", "n_group": 3,
                                  "topk_group": 2, "routed_scaling_factor": 3.0, "attention_bias": True},
    "deepseek3": LATENT | {"model_type": "deepseek_v3", "n_routed_experts": 8, "n_group": 4, "topk_group": 2,
                           "rope_parameters": YARN | {"rope_type": "yarn", "rope_theta": 500.0, "mscale": 1.0,
                                                      "mscale_all_dim": 1.0}},
    "youtu": {k: v for k, v in LATENT.items() if "expert" not in k} | {
        "model_type": "youtu", "tie_word_embeddings": True, "pad_token_id": None},
    "glm4moe-lite": LATENT | {"model_type": "glm4_moe_lite", "rope_theta": 500.0, "rms_norm_eps": 1e-6},
    "dots1": MOE | {"model_type": "dots1", "n_routed_experts": 5, "moe_intermediate_size": 24, "n_shared_experts": 1,
                    "norm_topk_prob": True, "routed_scaling_factor": 1.5, "first_k_dense_replace": 1},
    "minimax-m2": MOE | {"model_type": "minimax_m2", "num_local_experts": 6, "rotary_dim": 40},
    "ernie4_5-moe": MOE | {"model_type": "ernie4_5_moe", "moe_num_experts": 6, "moe_k": 2, "head_dim": 8,
                           "moe_intermediate_size": 24, "moe_num_shared_experts": 2, "num_hidden_layers": 3},
    "hunyuan-moe": MOE | {"model_type": "hunyuan_v1_moe", "num_experts": 5, "moe_topk": 2},
    "afmoe": MOE | {"model_type": "afmoe", "num_experts": 6, "moe_intermediate_size": 24, "num_shared_experts": 1,
                    "route_scale": 2.5, "sliding_window": 8, "num_hidden_layers": 4, "mup_enabled": True},
    "granitemoeshared": MOE | {"model_type": "granitemoeshared", "num_local_experts": 5, "head_dim": 8,
                               "shared_intermediate_size": 40, "attention_multiplier": 0.3},
    "gemma4": GEMMA4 | {"attention_k_eq_v": True, "rope_parameters": {
        "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 900.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 60.0}}},
    "gemma4-moe": GEMMA4 | {"attention_k_eq_v": True, "enable_moe_block": True, "num_experts": 6, "top_k_experts": 2,
                            "moe_intermediate_size": 24, "tie_word_embeddings": False},
    "gemma4-layers": GEMMA4 | {"num_hidden_layers": 6, "layer_types": ["sliding_attention", "full_attention"] * 3,
                               "hidden_size_per_layer_input": 20, "vocab_size_per_layer_input": VOCAB,
                               "num_kv_shared_layers": 3, "use_double_wide_mlp": True},
    "starcoder2": {"model_type": "starcoder2", "sliding_window": 8, "tie_word_embeddings": True},
    "starcoder2-plain": {"model_type": "starcoder2", "use_bias": False, "norm_epsilon": 1e-3},
    "phi2": {"model_type": "phi", "layer_norm_eps": 1e-4, "num_key_value_heads": 6},
    "gptneox": {"model_type": "gpt_neox", "head_dim": 8, "num_key_value_heads": 6},
    "gptneox-serial": {"model_type": "gpt_neox", "head_dim": 8, "num_key_value_heads": 6, "attention_bias": False,
                       "use_parallel_residual": False, "rotary_pct": 0.5, "rotary_emb_base": 500},
    "command-r": {"model_type": "cohere", "use_qk_norm": True, "logit_scale": 0.25, "tie_word_embeddings": True},
    "command-r-plain": {"model_type": "cohere", "attention_bias": True},
    "cohere2": {"model_type": "cohere2", "head_dim": 8, "sliding_window": 8, "num_hidden_layers": 4,
                "sliding_window_pattern": 3, "tie_word_embeddings": True},
    "cohere2moe": COHERE_MOE | {"expert_selection_fn": "sigmoid", "num_shared_experts": 2, "rms_norm_eps": None,
                                "prefix_dense_intermediate_size": 40},
    "cohere2moe-rms": COHERE_MOE | {"num_shared_experts": 1, "shared_expert_combination_strategy": "sum",
                                    "prefix_dense_intermediate_size": 56, "tie_word_embeddings": False},
    "exaone-moe": MOE | {"model_type": "exaone_moe", "num_experts": 6, "moe_intermediate_size": 24, "sliding_window": 8,
                         "num_hidden_layers": 4, "n_group": 3, "topk_group": 2, "num_shared_experts": 2},
    "stablelm": {"model_type": "stablelm", "head_dim": 8, "use_qkv_bias": True},
    "stablelm-parallel": {"model_type": "stablelm", "head_dim": 8, "use_parallel_residual": True},
    "nemotron": {"model_type": "nemotron", "hidden_act": "relu2"},
    "arcee": {"model_type": "arcee", "mlp_bias": True, "rope_scaling": YARN | {"type": "yarn"}},
    "laguna": MOE | {"model_type": "laguna", "num_experts": 6, "moe_intermediate_size": 24, "num_hidden_layers": 4,
                     "shared_expert_intermediate_size": 40, "moe_routed_scaling_factor": 2.5, "sliding_window": 8,
                     "layer_types": ["full_attention"] + ["sliding_attention"] * 3,
                     "num_attention_heads_per_layer": [4, 6, 6, 6]},
    "laguna-full": MOE | {"model_type": "laguna", "num_experts": 6, "moe_intermediate_size": 24, "gating": "per-element",
                          "rope_parameters": {"full_attention": YARN | {
                              "rope_type": "yarn", "rope_theta": 500.0, "partial_rotary_factor": 0.5}}},
    "gemma3-vision": {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]},
}
# Heads of values share heads of keys.
DELTA = {"linear_num_key_heads": 2, "linear_num_value_heads": 6, "linear_key_head_dim": 12, "linear_value_head_dim": 20}
SHARED = {"num_experts": 6, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 40}
DELTA_TYPES = {"num_hidden_layers": 3, "layer_types": ["linear_attention", "full_attention", "linear_attention"]}
CASES |= {
    "qwen35": DELTA | {"model_type": "qwen3_5_text", "num_hidden_layers": 4, "attention_bias": True},
    "qwen35moe": DELTA | SHARED | MOE | DELTA_TYPES | {"model_type": "qwen3_5_moe_text", "linear_conv_kernel_dim": 3},
    "qwen3next": DELTA | SHARED | MOE | DELTA_TYPES | {"model_type": "qwen3_next", "mlp_only_layers": [1]},
}
# A short convolution between gates.
CONV = {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"], "norm_eps": 1e-5,
        "tie_word_embeddings": True}
CASES |= {
    "lfm2": CONV | {"model_type": "lfm2", "conv_L_cache": 4, "block_multiple_of": 8, "block_ffn_dim_multiplier": 1.3},
    "lfm3": {"model_type": "lfm3", "num_hidden_layers": 4, "conv_L_cache": 7, "sliding_window": 8, "norm_eps": 1e-5,
             "layer_types": ["conv", "full_attention", "sliding_attention", "conv"], "tie_word_embeddings": True},
    "lfm2-bias": CONV | {"model_type": "lfm2", "conv_bias": True, "block_auto_adjust_ff_dim": False},
    "lfm2moe": CONV | MOE | {"model_type": "lfm2_moe", "num_hidden_layers": 3, "num_experts": 6, "moe_intermediate_size": 24,
                             "num_dense_layers": 1, "routed_scaling_factor": 1.5},
}
# Mamba-2: heads of 16 in two groups.
MAMBA = {"mamba_n_heads": 6, "mamba_d_head": 16, "mamba_n_groups": 2, "mamba_d_state": 10, "mamba_d_conv": 4,
         "num_hidden_layers": 3, "head_dim": 8}
MAMBA_TYPES = {"layer_types": ["linear_attention", "full_attention", "linear_attention"]}
NEMOTRON = {"model_type": "nemotron_h", "mamba_num_heads": 6, "mamba_head_dim": 14, "n_groups": 3, "ssm_state_size": 10,
            "time_step_min": 1e-30, "layer_norm_epsilon": 1e-5}
FALCON = {"model_type": "falcon_h1", "mamba_d_ssm": 84, "mamba_d_head": 14, "num_hidden_layers": 2}
CASES |= {
    "granitehybrid": MOE | MAMBA | MAMBA_TYPES | {
        "model_type": "granitemoehybrid", "num_hidden_layers": 3, "num_local_experts": 5, "shared_intermediate_size": 40,
        "embedding_multiplier": 6.0, "residual_multiplier": 0.3, "attention_multiplier": 0.3, "logits_scaling": 2.5},
    "granitehybrid-dense": MAMBA | MAMBA_TYPES | {
        "model_type": "granitemoehybrid", "num_local_experts": 0, "shared_intermediate_size": 40, "mamba_proj_bias": True,
        "mamba_conv_bias": False, "position_embedding_type": "rope", "attention_multiplier": 0.3, "mamba_n_groups": 3},
    "bamba": MAMBA | {"model_type": "bamba", "attn_layer_indices": [1]},
    "nemotron_h": NEMOTRON | {"layers_block_type": ["linear_attention", "mlp", "full_attention", "linear_attention", "mlp"],
                              "num_hidden_layers": 5},
    "nemotron_h-moe": NEMOTRON | MOE | {
        "layers_block_type": ["linear_attention", "moe", "full_attention", "moe"], "num_hidden_layers": 4,
        "n_routed_experts": 6, "moe_intermediate_size": 24, "moe_shared_expert_intermediate_size": 40,
        "routed_scaling_factor": 2.5, "use_bias": True},
    "nemotron_h-latent": NEMOTRON | MOE | {
        "layers_block_type": ["linear_attention", "moe", "full_attention", "moe"], "num_hidden_layers": 4,
        "n_routed_experts": 6, "moe_intermediate_size": 24, "moe_shared_expert_intermediate_size": 40,
        "moe_latent_size": 20},
    "falcon-h1": MAMBA | FALCON | {
        "mamba_rms_norm": True, "mamba_norm_before_gate": False, "embedding_multiplier": 6.0, "lm_head_multiplier": 0.7,
        "mlp_multipliers": [0.8, 1.3], "key_multiplier": 0.6, "attention_in_multiplier": 1.2,
        "attention_out_multiplier": 0.9, "ssm_multipliers": [0.9, 1.1, 0.8, 1.2, 0.7], "ssm_in_multiplier": 1.3,
        "ssm_out_multiplier": 0.6},
    "falcon-h1-norm": MAMBA | FALCON | {"mamba_rms_norm": True},
    "falcon-h1-plain": MAMBA | FALCON | {"mamba_proj_bias": True, "rope_theta": 500.0},
    "mamba2": {"model_type": "mamba2", "num_heads": 6, "head_dim": 16, "n_groups": 2, "state_size": 10,
               "num_hidden_layers": 3, "layer_norm_epsilon": 1e-5},
}
# Models that see, whole: the tower's tensors are in the files and not used.
SECTIONS = {"rope_theta": 500.0}
QWEN2_EYE = {"depth": 1, "embed_dim": 8, "hidden_size": 48, "num_heads": 1, "mlp_ratio": 1, "patch_size": 2}
QWEN3_EYE = {"depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 1, "out_hidden_size": 48,
             "patch_size": 2, "num_position_embeddings": 4, "deepstack_visual_indexes": [0]}
GEMMA4_EYE = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
              "num_key_value_heads": 1, "head_dim": 8, "patch_size": 2, "position_embedding_size": 4}
MUSE_EYE = {"hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "patch_size": 2,
            "pos_emb_height": 2, "pos_emb_width": 2}
QWEN3_VL_MOE = MOE | {"num_experts": 6, "moe_intermediate_size": 20, "rope_parameters": SECTIONS | {
    "rope_type": "default", "mrope_section": [14, 14, 12]}}
QWEN35_EYE = {"depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 1, "out_hidden_size": 48,
              "patch_size": 2, "num_position_embeddings": 4}
SEEING = {
    "qwen35-vision": ("qwen3_5", QWEN35_EYE, DELTA | {"linear_num_value_heads": 2} | DELTA_TYPES | {
        "rope_parameters": SECTIONS | {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [4, 3, 3],
                                       "partial_rotary_factor": 0.25}}),
    "qwen2vl": ("qwen2_vl", QWEN2_EYE, {"head_dim": 8, "rope_scaling": SECTIONS | {"type": "mrope", "mrope_section": [1, 1, 2]}}),
    "qwen3vl": ("qwen3_vl", QWEN3_EYE, {"rope_parameters": SECTIONS | {
        "rope_type": "default", "mrope_interleaved": True, "mrope_section": [14, 14, 12]}}),
    "qwen3vlmoe": ("qwen3_vl_moe", QWEN3_EYE, QWEN3_VL_MOE),
    "gemma4-vision": ("gemma4", GEMMA4_EYE, GEMMA4 | {"attention_k_eq_v": True, "num_hidden_layers": 2,
                                                      "layer_types": ["sliding_attention", "full_attention"],
                                                      "use_bidirectional_attention": "vision"}),
    "muse-glimmer": ("muse_glimmer", MUSE_EYE, {"sliding_window": 8, "num_hidden_layers": 4, "rope_theta": 500.0}),
    "qwen3vlmoe-turned": ("qwen3_vl_moe", QWEN3_EYE, QWEN3_VL_MOE),
}
CASES |= {name: {"model_type": family, "tie_word_embeddings": False, "vision_config": eye,
                 "text_config": BASE | {"model_type": f"{family}_text"} | text}
          for name, (family, eye, text) in SEEING.items()}
# Families that differ by a few numbers, names or switches.
SWA = {"sliding_window": 8, "embedding_multiplier": 6.0, "residual_multiplier": 0.3, "attention_multiplier": 0.05,
       "logits_scaling": 2.5}
SPARSE = MOE | {"num_experts": 6, "moe_intermediate_size": 24}
BAILING = SPARSE | {"model_type": "sarvam_moe", "num_shared_experts": 2, "first_k_dense_replace": 1, "num_hidden_layers": 3,
                    "n_group": 3, "topk_group": 2, "routed_scaling_factor": 2.5}
CASES |= {
    "internlm3": {"model_type": "internlm3", "qkv_bias": True, "bias": True},
    "iquestcoder": {"model_type": "iquestcoder", "rope_theta": 500.0},
    "mobilellm": {"model_type": "mobilellm", "share_embedding": True},
    "exaone": {"model_type": "exaone", "rope_theta": 500.0, "rope_scaling": LLAMA3 | {"rope_type": "llama3"}, "head_dim": 8},
    "cwm": {"model_type": "cwm", "num_hidden_layers": 5, "sliding_window": 8,
            "rope_parameters": LLAMA3 | {"rope_type": "llama3", "rope_theta": 500.0}},
    "ministral": {"model_type": "ministral", "sliding_window": 8, "num_hidden_layers": 3,
                  "layer_types": ["full_attention", "sliding_attention", "sliding_attention"]},
    "helium": {"model_type": "helium", "head_dim": 8},
    "apertus": {"model_type": "apertus", "rope_parameters": LLAMA3 | {"rope_type": "llama3", "rope_theta": 500.0}},
    "falcon": {"model_type": "falcon", "tie_word_embeddings": True, "alibi": False},
    "falcon-grouped": {"model_type": "falcon", "new_decoder_architecture": True, "num_kv_heads": 3, "bias": True},
    "falcon-one-norm": {"model_type": "falcon", "new_decoder_architecture": True, "num_kv_heads": 2,
                        "num_ln_in_parallel_attn": 1, "ffn_hidden_size": 56, "tie_word_embeddings": True},
    "jais2": {"model_type": "jais2", "rms_norm_eps": None},
    "olmo": {"model_type": "olmo", "rms_norm_eps": None},
    "nanochat": {"model_type": "nanochat", "hidden_act": "relu2"},
    "granite_swa": SWA | {"model_type": "granite_swa", "num_hidden_layers": 5, "layer_rope_theta": [0, 500, 500, 500, 0]},
    "granitemoe_swa": MOE | SWA | {"model_type": "granitemoe_swa", "num_local_experts": 5, "shared_intermediate_size": 40,
                                   "num_hidden_layers": 4, "head_dim": 8, "attention_multiplier": 0.3},
    "hyperclovax": {"model_type": "hyperclovax", "logits_scaling": 0.5, "residual_multiplier": 0.7,
                    "embedding_multiplier": 3.0},
    "hyperclovax-pre": {"model_type": "hyperclovax", "use_post_norm": False, "attention_multiplier": 0.05},
    "vaultgemma": GEMMA2 | {"model_type": "vaultgemma", "tie_word_embeddings": True, "num_hidden_layers": 3},
    "minicpm": {"model_type": "minicpm", "scale_emb": 6, "scale_depth": 1.4, "dim_model_base": 16},
    "minicpm3": {k: v for k, v in LATENT.items() if "expert" not in k and k != "first_k_dense_replace"} | {
        "model_type": "minicpm3", "v_head_dim": None, "dim_model_base": 16, "scale_emb": 6, "tie_word_embeddings": True},
    "gemma3n": {"model_type": "gemma3n_text", "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 8,
                "tie_word_embeddings": True, "num_hidden_layers": 6, "num_kv_shared_layers": 2, "laurel_rank": 12,
                "layer_types": ["sliding_attention", "full_attention"] * 3, "hidden_size_per_layer_input": 20,
                "vocab_size_per_layer_input": VOCAB - 8, "activation_sparsity_pattern": [0.6, 0.95, 0.0, 0.3, 0.0, 0.8],
                "intermediate_size": [56, 56, 64, 56, 48, 56], "final_logit_softcapping": 3.0},
    "gemma4-unified": {k: v for k, v in GEMMA4.items() if k != "hidden_size_per_layer_input"} | {
        "model_type": "gemma4_unified_text", "attention_k_eq_v": True, "use_bidirectional_attention": "vision"},
    "mellum": SPARSE | {"model_type": "mellum", "sliding_window": 8, "num_hidden_layers": 3,
                        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
                        "mlp_layer_types": ["dense", "sparse", "sparse"], "rope_parameters": {
                            "full_attention": YARN | {"rope_type": "yarn", "rope_theta": 900.0},
                            "sliding_attention": {"rope_type": "default", "rope_theta": 60.0}}},
    "flint": SPARSE | {"model_type": "flint", "sliding_window": 8, "num_hidden_layers": 4, "mlp_only_layers": [0],
                       "shared_expert_intermediate_size": 40,
                       "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]},
    "hy_v3": SPARSE | {"model_type": "hy_v3", "num_shared_experts": 2, "num_hidden_layers": 3},
    "solar_open": MOE | {"model_type": "solar_open", "n_routed_experts": 6, "moe_intermediate_size": 24,
                         "n_shared_experts": 1, "routed_scaling_factor": 2.5},
    "kimi_linear": LATENT | {
        "model_type": "kimi_linear", "q_lora_rank": None, "num_hidden_layers": 4, "num_experts": 6, "num_experts_per_token": 2,
        "num_shared_experts": 2, "num_expert_group": 3, "topk_group": 2, "routed_scaling_factor": 2.5,
        "linear_attn_config": {"head_dim": 12, "num_heads": 5, "short_conv_kernel_size": 4, "full_attn_layers": [2, 4],
                               "kda_layers": [1, 3]}},
    "sarvam_moe": BAILING,
    "bailingmoe2": BAILING | {"model_type": "bailing_moe_v2"},
}
# Families whose own code is not part of transformers: what there computes the same, and what it calls the numbers.
ORACLES = {
    "minicpm": {"model_type": "granite", "embedding_multiplier": 6, "residual_multiplier": 1.4 / 2**0.5,
                "logits_scaling": 48 / 16, "attention_multiplier": 80**-0.5},
    "mobilellm": {"model_type": "llama", "tie_word_embeddings": True},
    "bailingmoe2": {"model_type": "sarvam_moe", "partial_rotary_factor": 0.5, "rope_theta": 600000.0},
}
# Other names of keys, as the family's files have them.
RENAMED = {"exaone": {"num_hidden_layers": "num_layers", "rms_norm_eps": "layer_norm_epsilon"}}
TYPES = {"llama-bf16": "BF16", "qwen2": "F16"}


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    for name, case in CASES.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        config = vision() if name == "gemma3-vision" else case if name in SEEING else BASE | case
        if config["model_type"] == "falcon":
            # Its heads are as wide as they are many.
            del config["head_dim"]
        renamed = RENAMED.get(name, {})
        write(name, {renamed.get(key, key): value for key, value in config.items()})


def vision():
    """The text part of a model that sees: a config in a config, names with a prefix."""
    text = BASE | GEMMA3 | {"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    del text["tie_word_embeddings"]
    return {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "text_config": text}


def write(name, config):
    text = config.get("text_config", config)
    whole = config if "vision_config" in config else text
    oracle = {k: v for k, v in whole.items() if k != "quantization_config"} | ORACLES.get(name, {})
    fused = {}
    if name.endswith("fused"):
        fused = in_memory_shapes(oracle)
    shapes = fused or saved_shapes(oracle)
    if name.endswith("turned"):
        shapes = {n: s[:1] + s[:0:-1] if ".experts." in n else s for n, s in shapes.items()}
    if "quantization_config" in text:
        shapes = packed(shapes)
    recipe = {n: [kind(name, n, s), s, *numbers(oracle, n, s)] for n, s in sorted(shapes.items())}
    made = {n: values(n, *r[1:]) for n, r in recipe.items()}
    np.save(DATA / f"{name}.npy", logits(oracle, unpacked(made)))
    if whole is not config:
        # The formula goes by transformers' own name of the tensor, the file's name has the prefix.
        recipe = {f"language_model.{n}": [*r, n] for n, r in recipe.items()}
    lines = [f"  {json.dumps(n)}: {json.dumps(r)}" for n, r in recipe.items()]
    body = f'{{"config": {json.dumps(config)},\n"tensors": {{\n' + ",\n".join(lines) + "\n}}\n"
    (DATA / f"{name}.json").write_text(body)
    print(name, (DATA / f"{name}.json").stat().st_size)


def kind(name, tensor, shape):
    if tensor.endswith(("_blocks", "_scales")):
        return "U8"
    return "F32" if len(shape) == 1 or "bias" in tensor else TYPES.get(name, "F32")


def in_memory_shapes(config):
    """Experts fused as transformers 5 has them in memory, and as some publish them."""
    import transformers
    model = transformers.AutoModelForCausalLM.from_config(parsed(config), dtype=torch.float32)
    return {n: list(p.shape) for n, p in model.state_dict().items()}


def packed(shapes):
    """gpt-oss's MXFP4: 32 numbers of a row in 16 bytes and a scale."""
    out = {}
    for name, shape in shapes.items():
        if name.endswith(("gate_up_proj", "down_proj")):
            experts, cols, rows = shape
            out[f"{name}_blocks"], out[f"{name}_scales"] = [experts, rows, cols // 32, 16], [experts, rows, cols // 32]
        else:
            out[name] = shape
    return out


def unpacked(made):
    out = copy.copy(made)
    for name in [n for n in made if n.endswith("_blocks")]:
        stem = name.removesuffix("_blocks")
        blocks, scales = torch.tensor(out.pop(name)), torch.tensor(out.pop(f"{stem}_scales"))
        plain = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
        out[stem] = plain.contiguous().numpy()
    return out


if __name__ == "__main__":
    assert LENGTH > 32
    main()
