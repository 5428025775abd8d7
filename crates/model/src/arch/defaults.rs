//! What a family's config.json and GGUF files leave out, and what is assumed then.

/// What transformers assumes of every family that does not say otherwise.
pub(super) const COMMON_DEFAULTS: Defaults = &[("rms_norm_eps", 1e-6), ("num_attention_heads", 32.0)];

pub(super) type Defaults = &'static [(&'static str, f64)];

pub(super) const MISTRAL_DEFAULTS: Defaults =
    &[("num_key_value_heads", 8.0), ("sliding_window", 4096.0), ("max_position_embeddings", 131_072.0)];

pub(super) const QWEN_DEFAULTS: Defaults =
    &[("use_sliding_window", 0.0), ("max_window_layers", 28.0), ("max_position_embeddings", 32_768.0)];

pub(super) const QWEN3_DEFAULTS: Defaults = &[
    ("use_sliding_window", 0.0),
    ("max_window_layers", 28.0),
    ("max_position_embeddings", 32_768.0),
    ("head_dim", 128.0),
];

pub(super) const PHI3_DEFAULTS: Defaults =
    &[("rms_norm_eps", 1e-5), ("original_max_position_embeddings", 4096.0), ("max_position_embeddings", 4096.0)];

pub(super) const SMOLLM3_DEFAULTS: Defaults = &[
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 16.0),
    ("num_key_value_heads", 4.0),
    ("max_position_embeddings", 32_768.0),
    ("rope_theta", 2e6),
    ("no_rope_layer_interval", 4.0),
];

pub(super) const MIXTRAL_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_key_value_heads", 8.0),
    ("max_position_embeddings", 131_072.0),
    ("rope_theta", 1e6),
    ("num_local_experts", 8.0),
    ("num_experts_per_tok", 2.0),
    ("norm_topk_prob", 1.0),
];

pub(super) const QWEN3_MOE_DEFAULTS: Defaults = &[
    ("use_sliding_window", 0.0),
    ("num_key_value_heads", 4.0),
    ("max_position_embeddings", 32_768.0),
    ("num_experts", 128.0),
    ("num_experts_per_tok", 8.0),
    ("moe_intermediate_size", 768.0),
    ("norm_topk_prob", 0.0),
];

pub(super) const QWEN3_VL_MOE_DEFAULTS: Defaults = &[
    ("num_attention_heads", 16.0),
    ("num_key_value_heads", 16.0),
    ("max_position_embeddings", 128_000.0),
    ("num_experts", 60.0),
    ("num_experts_per_tok", 4.0),
    ("moe_intermediate_size", 1408.0),
];

// Gemma's published config.json leave out what transformers assumes; GGUF files leave out what llama.cpp assumes.
pub(super) const GEMMA2_DEFAULTS: Defaults = &[
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 8.0),
    ("num_key_value_heads", 4.0),
    ("max_position_embeddings", 8192.0),
    ("attn_logit_softcapping", 50.0),
    ("final_logit_softcapping", 30.0),
    ("head_dim", 256.0),
    ("query_pre_attn_scalar", 256.0),
    ("sliding_window", 4096.0),
    (".attention.sliding_window", 4096.0),
    (".attn_logit_softcapping", 50.0),
    (".final_logit_softcapping", 30.0),
];

pub(super) const GEMMA3_DEFAULTS: Defaults = &[
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 8.0),
    ("num_key_value_heads", 4.0),
    ("head_dim", 256.0),
    ("query_pre_attn_scalar", 256.0),
    ("sliding_window", 4096.0),
    ("max_position_embeddings", 131_072.0),
    ("rope_theta", 1e6),
    ("rope_local_base_freq", 1e4),
    (".rope.freq_base_swa", 1e4),
];

pub(super) const GEMMA4_DEFAULTS: Defaults = &[
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 8.0),
    ("num_key_value_heads", 4.0),
    ("head_dim", 256.0),
    ("global_head_dim", 512.0),
    ("attention_multiplier", 1.0),
    (".attention.scale", 1.0),
    ("sliding_window", 512.0),
    ("hidden_size_per_layer_input", 256.0),
    ("max_position_embeddings", 131_072.0),
    ("rope_theta", 1e6),
    ("rope_local_base_freq", 1e4),
    (".rope.freq_base_swa", 1e4),
];

pub(super) const GEMMA_DEFAULTS: Defaults = &[
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 16.0),
    ("num_key_value_heads", 16.0),
    ("head_dim", 256.0),
    ("max_position_embeddings", 8192.0),
];

pub(super) const SEED_OSS_DEFAULTS: Defaults = &[
    ("num_attention_heads", 80.0),
    ("num_key_value_heads", 8.0),
    ("head_dim", 128.0),
    ("attention_bias", 1.0),
    ("max_position_embeddings", 524_288.0),
];

pub(super) const GLM_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1.5625e-7),
    ("num_key_value_heads", 2.0),
    ("head_dim", 128.0),
    ("partial_rotary_factor", 0.5),
    ("attention_bias", 1.0),
    ("max_position_embeddings", 131_072.0),
];

pub(super) const OLMO3_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("max_position_embeddings", 2048.0),
    ("sliding_window", 4096.0),
    ("rope_theta", 500_000.0),
];

pub(super) const ERNIE_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 16.0),
    ("num_key_value_heads", 2.0),
    ("head_dim", 128.0),
    ("rope_theta", 500_000.0),
    ("max_position_embeddings", 131_072.0),
];

pub(super) const GRANITE_MOE_DEFAULTS: Defaults = &[
    ("attention_multiplier", 1.0),
    ("max_position_embeddings", 2048.0),
    ("num_local_experts", 8.0),
    ("num_experts_per_tok", 2.0),
];

pub(super) const OLMOE_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_attention_heads", 16.0),
    ("num_experts", 64.0),
    ("num_experts_per_tok", 8.0),
    ("norm_topk_prob", 0.0),
    (".expert_weights_norm", 0.0),
    ("max_position_embeddings", 4096.0),
];

pub(super) const GPT_OSS_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_attention_heads", 64.0),
    ("num_key_value_heads", 8.0),
    ("max_position_embeddings", 131_072.0),
    ("num_local_experts", 128.0),
    ("num_experts_per_tok", 4.0),
    ("rope_theta", 150_000.0),
    ("head_dim", 64.0),
    ("attention_bias", 1.0),
    ("norm_topk_prob", 1.0),
    ("sliding_window", 128.0),
    // Not in GGUF: gpt-oss was trained without rounding YaRN's bounds.
    (".rope.scaling.yarn_truncate", 0.0),
];

pub(super) const QWEN2_MOE_DEFAULTS: Defaults = &[
    ("use_sliding_window", 0.0),
    ("num_attention_heads", 16.0),
    ("num_key_value_heads", 16.0),
    ("max_window_layers", 28.0),
    ("max_position_embeddings", 32_768.0),
    ("num_experts", 60.0),
    ("num_experts_per_tok", 4.0),
    ("moe_intermediate_size", 1408.0),
    ("norm_topk_prob", 0.0),
    (".expert_weights_norm", 0.0),
];

pub(super) const GLM4_MOE_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_attention_heads", 96.0),
    ("num_key_value_heads", 8.0),
    ("partial_rotary_factor", 0.5),
    ("max_position_embeddings", 131_072.0),
    ("n_routed_experts", 128.0),
    ("num_experts_per_tok", 8.0),
    ("moe_intermediate_size", 1408.0),
];

pub(super) const DEEPSEEK_V2_DEFAULTS: Defaults = &[
    ("max_position_embeddings", 2048.0),
    ("kv_lora_rank", 512.0),
    ("q_lora_rank", 1536.0),
    ("qk_nope_head_dim", 128.0),
    ("qk_rope_head_dim", 64.0),
    ("v_head_dim", 128.0),
    ("n_routed_experts", 64.0),
    ("moe_intermediate_size", 1407.0),
    ("norm_topk_prob", 0.0),
    (".expert_weights_norm", 0.0),
];

pub(super) const DEEPSEEK_V3_DEFAULTS: Defaults = &[
    ("num_attention_heads", 128.0),
    ("max_position_embeddings", 4096.0),
    ("kv_lora_rank", 512.0),
    ("q_lora_rank", 1536.0),
    ("qk_nope_head_dim", 128.0),
    ("qk_rope_head_dim", 64.0),
    ("v_head_dim", 128.0),
    ("n_routed_experts", 256.0),
    ("num_experts_per_tok", 8.0),
    ("moe_intermediate_size", 2048.0),
    ("routed_scaling_factor", 2.5),
    ("n_group", 8.0),
    ("topk_group", 4.0),
    (".expert_weights_norm", 0.0),
];

pub(super) const GLM4_MOE_LITE_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_attention_heads", 20.0),
    ("max_position_embeddings", 202_752.0),
    ("kv_lora_rank", 512.0),
    ("q_lora_rank", 768.0),
    ("qk_nope_head_dim", 192.0),
    ("qk_rope_head_dim", 64.0),
    ("v_head_dim", 256.0),
    ("n_routed_experts", 64.0),
    ("num_experts_per_tok", 4.0),
    ("moe_intermediate_size", 1536.0),
    ("routed_scaling_factor", 1.8),
    (".expert_weights_norm", 0.0),
];

pub(super) const DOTS1_DEFAULTS: Defaults = &[
    ("max_position_embeddings", 2048.0),
    ("sliding_window", 4096.0),
    ("max_window_layers", 62.0),
    ("moe_intermediate_size", 1408.0),
    ("norm_topk_prob", 0.0),
];

pub(super) const MINIMAX_M2_DEFAULTS: Defaults = &[
    ("num_attention_heads", 48.0),
    ("num_key_value_heads", 8.0),
    ("head_dim", 128.0),
    ("max_position_embeddings", 196_608.0),
    ("rope_theta", 5e6),
    ("num_local_experts", 256.0),
    ("num_experts_per_tok", 8.0),
];

pub(super) const ERNIE_MOE_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 20.0),
    ("num_key_value_heads", 4.0),
    ("rope_theta", 500_000.0),
    ("max_position_embeddings", 131_072.0),
    ("moe_num_experts", 64.0),
    ("moe_k", 6.0),
    ("moe_intermediate_size", 1536.0),
];

pub(super) const AFMOE_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_attention_heads", 16.0),
    ("head_dim", 128.0),
    ("max_position_embeddings", 16_384.0),
    ("sliding_window", 1024.0),
    ("num_experts", 64.0),
    ("num_experts_per_tok", 6.0),
    ("moe_intermediate_size", 1408.0),
    ("mup_enabled", 0.0),
];

pub(super) const MINISTRAL3_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_key_value_heads", 8.0),
    ("head_dim", 128.0),
    ("max_position_embeddings", 262_144.0),
];

pub(super) const QWEN35_DEFAULTS: Defaults = &[
    ("max_position_embeddings", 32_768.0),
    ("num_attention_heads", 16.0),
    ("num_key_value_heads", 4.0),
    ("head_dim", 256.0),
    ("partial_rotary_factor", 0.25),
    ("linear_num_key_heads", 16.0),
    ("linear_num_value_heads", 32.0),
    ("linear_key_head_dim", 128.0),
    ("linear_value_head_dim", 128.0),
    ("linear_conv_kernel_dim", 4.0),
];

pub(super) const QWEN35_MOE_DEFAULTS: Defaults = &[
    ("max_position_embeddings", 32_768.0),
    ("num_attention_heads", 16.0),
    ("num_key_value_heads", 2.0),
    ("head_dim", 256.0),
    ("partial_rotary_factor", 0.25),
    ("linear_num_key_heads", 16.0),
    ("linear_num_value_heads", 32.0),
    ("linear_key_head_dim", 128.0),
    ("linear_value_head_dim", 128.0),
    ("linear_conv_kernel_dim", 4.0),
    ("num_experts", 256.0),
    ("num_experts_per_tok", 8.0),
    ("moe_intermediate_size", 512.0),
];

pub(super) const QWEN3_NEXT_DEFAULTS: Defaults = &[
    ("max_position_embeddings", 32_768.0),
    ("num_attention_heads", 16.0),
    ("num_key_value_heads", 2.0),
    ("head_dim", 256.0),
    ("partial_rotary_factor", 0.25),
    ("linear_num_key_heads", 16.0),
    ("linear_num_value_heads", 32.0),
    ("linear_key_head_dim", 128.0),
    ("linear_value_head_dim", 128.0),
    ("linear_conv_kernel_dim", 4.0),
    ("intermediate_size", 5632.0),
    ("num_experts", 512.0),
    ("num_experts_per_tok", 10.0),
    ("moe_intermediate_size", 512.0),
    ("norm_topk_prob", 1.0),
];

pub(super) const KIMI_LINEAR_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("max_position_embeddings", 1_048_576.0),
    ("kv_lora_rank", 512.0),
    ("qk_nope_head_dim", 128.0),
    ("qk_rope_head_dim", 64.0),
    ("v_head_dim", 128.0),
    ("num_experts", 256.0),
    ("num_experts_per_tok", 8.0),
    ("moe_intermediate_size", 1024.0),
    ("routed_scaling_factor", 2.446),
    ("topk_group", 1.0),
    ("linear_num_heads", 32.0),
    ("linear_head_dim", 128.0),
    ("linear_conv_kernel_dim", 4.0),
];

pub(super) const LFM2_DEFAULTS: Defaults = &[
    ("tie_word_embeddings", 1.0),
    ("norm_eps", 1e-5),
    ("num_key_value_heads", 8.0),
    ("max_position_embeddings", 128_000.0),
    ("rope_theta", 1e6),
    ("conv_L_cache", 3.0),
    ("num_experts", 32.0),
    ("num_experts_per_tok", 4.0),
    ("moe_intermediate_size", 1792.0),
];

pub(super) const GRANITE_HYBRID_DEFAULTS: Defaults = &[
    ("attention_multiplier", 1.0),
    ("max_position_embeddings", 2048.0),
    ("num_local_experts", 8.0),
    ("num_experts_per_tok", 2.0),
    ("mamba_n_heads", 128.0),
    ("mamba_n_groups", 1.0),
    ("mamba_d_state", 256.0),
    ("mamba_d_conv", 4.0),
];

pub(super) const BAMBA_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("max_position_embeddings", 262_144.0),
    ("num_key_value_heads", 8.0),
    ("partial_rotary_factor", 0.5),
    ("mamba_n_heads", 128.0),
    ("mamba_n_groups", 1.0),
    ("mamba_d_state", 256.0),
    ("mamba_d_conv", 4.0),
];

pub(super) const NEMOTRON_H_DEFAULTS: Defaults = &[
    ("layer_norm_epsilon", 1e-5),
    ("max_position_embeddings", 4096.0),
    ("num_key_value_heads", 8.0),
    ("head_dim", 128.0),
    ("mamba_num_heads", 128.0),
    ("n_groups", 8.0),
    ("ssm_state_size", 128.0),
    ("conv_kernel", 4.0),
    ("n_routed_experts", 8.0),
    ("num_experts_per_tok", 2.0),
    ("moe_intermediate_size", 7688.0),
];

pub(super) const FALCON_H1_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("max_position_embeddings", 8192.0),
    ("num_key_value_heads", 8.0),
    ("mamba_n_heads", 128.0),
    ("mamba_n_groups", 1.0),
    ("mamba_d_state", 256.0),
    ("mamba_d_conv", 4.0),
    ("mamba_norm_before_gate", 1.0),
];

pub(super) const MAMBA2_DEFAULTS: Defaults = &[
    ("layer_norm_epsilon", 1e-5),
    ("max_position_embeddings", 1_048_576.0),
    ("num_heads", 128.0),
    ("n_groups", 8.0),
    ("state_size", 128.0),
    ("conv_kernel", 4.0),
];

pub(super) const LFM3_DEFAULTS: Defaults = &[
    ("tie_word_embeddings", 1.0),
    ("norm_eps", 1e-5),
    ("num_attention_heads", 16.0),
    ("num_key_value_heads", 4.0),
    ("head_dim", 128.0),
    ("max_position_embeddings", 128_000.0),
    ("rope_theta", 1e6),
    ("rope_local_base_freq", 1e4),
    ("sliding_window", 256.0),
    ("conv_L_cache", 7.0),
];
