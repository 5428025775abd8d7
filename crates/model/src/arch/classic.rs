//! Rows of the table for models that are less like Llama: with layer norms, without gates or with gates of another kind, with both parts
//! of a layer side by side.

use graph::{Activation, Squash};

use crate::spec::{Gate, NormKind, Norms, QkNorm};

use super::defaults::Defaults;
use super::{ATTN, Arch, Attn, DEEPSEEK_ATTN, EXTRAS, Extras, Input, LLAMA, LocalRope, PAIRS, Windows};

// Layer norms, biases, and a feed-forward part without a gate.
const CLASSIC: Extras = Extras { norm: NormKind::Layer { bias: true }, gated: false, found_biases: true, ..EXTRAS };

// Layer norms without biases; a factor for logits.
const COHERE: Extras = Extras { norm: NormKind::Layer { bias: false }, logit_factor: Some(0.0625), ..EXTRAS };

pub(super) static ARCHITECTURES: [Arch; 14] = [
    Arch {
        name: "starcoder2",
        model_types: &["starcoder2"],
        gguf: &["starcoder2"],
        defaults: STARCODER2_DEFAULTS,
        act: Activation::GeluTanh,
        attn: Attn { windows: Windows::All, ..ATTN },
        extras: CLASSIC,
        ..LLAMA
    },
    Arch {
        name: "phi2",
        model_types: &["phi"],
        gguf: &["phi2"],
        defaults: PHI_DEFAULTS,
        norms: Norms::Shared,
        act: Activation::GeluTanh,
        extras: CLASSIC,
        ..LLAMA
    },
    Arch {
        name: "gptneox",
        model_types: &["gpt_neox"],
        gguf: &["gptneox"],
        defaults: GPT_NEOX_DEFAULTS,
        norms: Norms::Beside,
        act: Activation::GeluErf,
        extras: Extras { mixed_heads: true, ..CLASSIC },
        ..LLAMA
    },
    Arch {
        name: "falcon",
        model_types: &["falcon"],
        gguf: &["falcon"],
        defaults: FALCON_DEFAULTS,
        norms: Norms::Beside,
        act: Activation::GeluErf,
        extras: Extras { mixed_heads: true, ..CLASSIC },
        ..LLAMA
    },
    Arch {
        name: "command-r",
        model_types: &["cohere"],
        gguf: &["command-r"],
        defaults: COHERE_DEFAULTS,
        norms: Norms::Shared,
        attn: Attn { qk_norm: QkNorm::EachHead, qk_norm_optional: true, ..DEEPSEEK_ATTN },
        extras: COHERE,
        ..LLAMA
    },
    Arch {
        name: "cohere2",
        model_types: &["cohere2"],
        gguf: &["cohere2"],
        defaults: COHERE2_DEFAULTS,
        norms: Norms::Shared,
        attn: Attn { windows: Windows::Every(4), global_rope: false, ..DEEPSEEK_ATTN },
        extras: COHERE,
        ..LLAMA
    },
    Arch {
        name: "cohere2moe",
        model_types: &["cohere2_moe"],
        gguf: &["cohere2moe"],
        defaults: COHERE2_MOE_DEFAULTS,
        norms: Norms::Shared,
        attn: Attn { windows: Windows::AfterFirst(4), global_rope: false, ..DEEPSEEK_ATTN },
        squash: Some(Squash::Sigmoid),
        extras: Extras { averaged: true, ..COHERE },
        ..LLAMA
    },
    Arch {
        name: "youtu",
        model_types: &["youtu"],
        gguf: &["deepseek2"],
        defaults: YOUTU_DEFAULTS,
        attn: DEEPSEEK_ATTN,
        extras: Extras { latent: true, ..EXTRAS },
        ..LLAMA
    },
    Arch {
        name: "exaone-moe",
        model_types: &["exaone_moe"],
        gguf: &["exaone-moe"],
        defaults: EXAONE_MOE_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::PerHead, windows: Windows::Every(4), global_rope: false, ..ATTN },
        squash: Some(Squash::Sigmoid),
        ..LLAMA
    },
    Arch {
        name: "stablelm",
        model_types: &["stablelm"],
        gguf: &["stablelm"],
        defaults: STABLELM_DEFAULTS,
        extras: Extras { gated: true, ..CLASSIC },
        ..LLAMA
    },
    Arch {
        name: "nemotron",
        model_types: &["nemotron"],
        gguf: &["nemotron"],
        defaults: NEMOTRON_DEFAULTS,
        norm_shift: 1.0,
        act: Activation::SquaredRelu,
        extras: CLASSIC,
        ..LLAMA
    },
    Arch {
        name: "arcee",
        model_types: &["arcee"],
        gguf: &["arcee"],
        defaults: &[("rms_norm_eps", 1e-5), ("max_position_embeddings", 4096.0)],
        act: Activation::SquaredRelu,
        attn: PAIRS,
        extras: Extras { gated: false, ..EXTRAS },
        ..LLAMA
    },
    Arch {
        name: "laguna",
        model_types: &["laguna"],
        gguf: &["laguna"],
        defaults: LAGUNA_DEFAULTS,
        attn: Attn {
            qk_norm: QkNorm::PerHead,
            gate: Gate::Softplus,
            windows: Windows::AfterFirst(4),
            local_rope: LocalRope::Unscaled,
            ..ATTN
        },
        squash: Some(Squash::Sigmoid),
        ..LLAMA
    },
    Arch {
        name: "muse-glimmer",
        model_types: &["muse_glimmer", "muse_glimmer_text"],
        gguf: &["muse-glimmer"],
        defaults: MUSE_GLIMMER_DEFAULTS,
        norms: Norms::Both,
        norm_shift: 1.0,
        attn: Attn {
            qk_norm: QkNorm::PerHead,
            gate: Gate::Own,
            windows: Windows::Every(4),
            global_rope: false,
            softcap: false,
            ..PAIRS
        },
        extras: Extras { input: Input::Unit, logit_factor: Some(0.196_116_135_138_184_04), ..EXTRAS },
        ..LLAMA
    },
];

const STARCODER2_DEFAULTS: Defaults = &[
    ("norm_epsilon", 1e-5),
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 24.0),
    ("num_key_value_heads", 2.0),
    ("max_position_embeddings", 4096.0),
];

const PHI_DEFAULTS: Defaults =
    &[("layer_norm_eps", 1e-5), ("partial_rotary_factor", 0.5), ("max_position_embeddings", 2048.0)];

const GPT_NEOX_DEFAULTS: Defaults = &[
    ("layer_norm_eps", 1e-5),
    ("num_attention_heads", 64.0),
    ("rotary_pct", 0.25),
    ("use_parallel_residual", 1.0),
    (".use_parallel_residual", 1.0),
    ("max_position_embeddings", 2048.0),
];

const FALCON_DEFAULTS: Defaults = &[
    ("layer_norm_eps", 1e-5),
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 71.0),
    ("multi_query", 1.0),
    ("max_position_embeddings", 2048.0),
];

const STABLELM_DEFAULTS: Defaults = &[
    ("layer_norm_eps", 1e-5),
    ("partial_rotary_factor", 0.25),
    ("use_parallel_residual", 0.0),
    ("num_key_value_heads", 32.0),
    ("max_position_embeddings", 4096.0),
];

const NEMOTRON_DEFAULTS: Defaults = &[
    ("norm_eps", 1e-5),
    ("partial_rotary_factor", 0.5),
    ("num_attention_heads", 48.0),
    ("max_position_embeddings", 4096.0),
];

const LAGUNA_DEFAULTS: Defaults = &[
    ("num_attention_heads", 48.0),
    ("num_key_value_heads", 8.0),
    ("head_dim", 128.0),
    ("partial_rotary_factor", 0.5),
    ("rope_theta", 500_000.0),
    ("rope_local_base_freq", 10_000.0),
    ("sliding_window", 512.0),
    ("max_position_embeddings", 131_072.0),
    ("num_experts", 256.0),
    ("num_experts_per_tok", 8.0),
    ("moe_intermediate_size", 512.0),
];

const MUSE_GLIMMER_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("post_norm_eps", 1e-8),
    (".post_norm_eps", 1e-8),
    ("num_key_value_heads", 2.0),
    ("head_dim", 128.0),
    ("qk_scale_factor", 3.87),
    ("final_logit_softcapping", 20.0),
    ("sliding_window", 2048.0),
    ("max_position_embeddings", 131_072.0),
];

const COHERE_DEFAULTS: Defaults = &[
    ("layer_norm_eps", 1e-5),
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 64.0),
    ("rope_theta", 500_000.0),
    ("max_position_embeddings", 8192.0),
];

const COHERE2_DEFAULTS: Defaults = &[
    ("layer_norm_eps", 1e-5),
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 64.0),
    ("sliding_window", 4096.0),
    ("max_position_embeddings", 8192.0),
];

const COHERE2_MOE_DEFAULTS: Defaults = &[
    ("layer_norm_eps", 1e-5),
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 64.0),
    ("head_dim", 128.0),
    ("sliding_window", 4096.0),
    ("max_position_embeddings", 8192.0),
    ("num_experts", 8.0),
    ("num_experts_per_tok", 2.0),
];

const YOUTU_DEFAULTS: Defaults = &[
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 16.0),
    ("kv_lora_rank", 512.0),
    ("q_lora_rank", 1536.0),
    ("qk_nope_head_dim", 128.0),
    ("qk_rope_head_dim", 64.0),
    ("v_head_dim", 128.0),
    ("max_position_embeddings", 131_072.0),
];

const EXAONE_MOE_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_key_value_heads", 32.0),
    ("max_position_embeddings", 2048.0),
    ("sliding_window", 4096.0),
    ("num_experts", 64.0),
    ("num_experts_per_tok", 8.0),
    ("moe_intermediate_size", 1024.0),
    ("routed_scaling_factor", 2.5),
];
