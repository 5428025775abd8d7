//! The table of architectures: a row says what a model family does differently from Llama; the rest is numbers in the
//! files.

mod build;
mod config;
mod export;
mod family;
mod layers;
mod rope;
mod rope_gguf;
mod rope_hf;
mod spec;

pub(crate) use build::build;
pub(crate) use config::Config;
pub(crate) use export::{keys, rope_factors};
pub(crate) use family::{Arch, Attn, ExpertLayout, LocalRope, Windows};
pub(crate) use spec::read_spec;

use graph::{Activation, RopeStyle};

use crate::spec::{Norms, QkNorm};

/// Llama itself, and what every other row starts from.
const LLAMA: Arch = Arch {
    name: "llama",
    model_types: &["llama"],
    gguf: &["llama"],
    defaults: &[("max_position_embeddings", 2048.0)],
    norms: Norms::Pre,
    norm_shift: 0.0,
    embed_sqrt: false,
    act: Activation::Silu,
    attn: ATTN,
    experts: ExpertLayout::Rows,
};

const ATTN: Attn = Attn {
    gguf_rope: RopeStyle::Halves,
    qk_norm: QkNorm::None,
    qkv_bias: false,
    sinks: false,
    softcap: true,
    windows: Windows::Gguf,
    local_rope: LocalRope::Same,
};

const PAIRS: Attn = Attn { gguf_rope: RopeStyle::Pairs, ..ATTN };

/// Every architecture that Whinchat runs.
pub(crate) static ARCHITECTURES: [Arch; 13] = [
    Arch { attn: PAIRS, ..LLAMA },
    Arch {
        name: "mistral",
        model_types: &["mistral"],
        gguf: &[],
        defaults: MISTRAL_DEFAULTS,
        attn: Attn { windows: Windows::All, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "qwen2",
        model_types: &["qwen2"],
        gguf: &["qwen2"],
        defaults: QWEN_DEFAULTS,
        attn: Attn { qkv_bias: true, windows: Windows::Last, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "qwen3",
        model_types: &["qwen3"],
        gguf: &["qwen3"],
        defaults: QWEN3_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::PerHead, windows: Windows::Last, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "phi3",
        model_types: &["phi3"],
        gguf: &["phi3"],
        defaults: PHI3_DEFAULTS,
        attn: Attn { windows: Windows::All, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "gemma2",
        model_types: &["gemma2"],
        gguf: &["gemma2"],
        defaults: GEMMA2_DEFAULTS,
        norms: Norms::Both,
        norm_shift: 1.0,
        embed_sqrt: true,
        act: Activation::GeluTanh,
        attn: Attn { windows: Windows::Every(2), ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "gemma3",
        model_types: &["gemma3_text", "gemma3"],
        gguf: &["gemma3"],
        defaults: GEMMA3_DEFAULTS,
        norms: Norms::Both,
        norm_shift: 1.0,
        embed_sqrt: true,
        act: Activation::GeluTanh,
        attn: GEMMA3_ATTN,
        ..LLAMA
    },
    Arch {
        name: "granite",
        model_types: &["granite"],
        gguf: &["granite"],
        defaults: &[("attention_multiplier", 1.0), ("max_position_embeddings", 2048.0)],
        attn: PAIRS,
        ..LLAMA
    },
    Arch {
        name: "olmo2",
        model_types: &["olmo2"],
        gguf: &["olmo2"],
        defaults: &[("rms_norm_eps", 1e-5), ("max_position_embeddings", 2048.0)],
        norms: Norms::Post,
        attn: Attn { qk_norm: QkNorm::Full, windows: Windows::Every(4), local_rope: LocalRope::Unscaled, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "smollm3",
        model_types: &["smollm3"],
        gguf: &["smollm3"],
        defaults: SMOLLM3_DEFAULTS,
        attn: Attn { windows: Windows::NoRope, ..PAIRS },
        ..LLAMA
    },
    Arch {
        name: "mixtral",
        model_types: &["mixtral"],
        gguf: &[],
        defaults: MIXTRAL_DEFAULTS,
        attn: Attn { windows: Windows::All, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "qwen3moe",
        model_types: &["qwen3_moe"],
        gguf: &["qwen3moe"],
        defaults: QWEN3_MOE_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::PerHead, windows: Windows::All, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "gpt-oss",
        model_types: &["gpt_oss"],
        gguf: &["gpt-oss"],
        defaults: GPT_OSS_DEFAULTS,
        act: Activation::ClampedSilu { alpha: 1.702, limit: 7.0 },
        attn: Attn { sinks: true, windows: Windows::Every(2), ..ATTN },
        experts: ExpertLayout::Interleaved,
        ..LLAMA
    },
];

/// What transformers assumes of every family that does not say otherwise.
const COMMON_DEFAULTS: Defaults = &[("rms_norm_eps", 1e-6), ("num_attention_heads", 32.0)];

type Defaults = &'static [(&'static str, f64)];

const MISTRAL_DEFAULTS: Defaults =
    &[("num_key_value_heads", 8.0), ("sliding_window", 4096.0), ("max_position_embeddings", 131_072.0)];

const QWEN_DEFAULTS: Defaults =
    &[("use_sliding_window", 0.0), ("max_window_layers", 28.0), ("max_position_embeddings", 32_768.0)];

const QWEN3_DEFAULTS: Defaults = &[
    ("use_sliding_window", 0.0),
    ("max_window_layers", 28.0),
    ("max_position_embeddings", 32_768.0),
    ("head_dim", 128.0),
];

const PHI3_DEFAULTS: Defaults =
    &[("rms_norm_eps", 1e-5), ("original_max_position_embeddings", 4096.0), ("max_position_embeddings", 4096.0)];

const SMOLLM3_DEFAULTS: Defaults = &[
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 16.0),
    ("num_key_value_heads", 4.0),
    ("max_position_embeddings", 32_768.0),
    ("rope_theta", 2e6),
    ("no_rope_layer_interval", 4.0),
];

const MIXTRAL_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_key_value_heads", 8.0),
    ("max_position_embeddings", 131_072.0),
    ("rope_theta", 1e6),
    ("num_local_experts", 8.0),
    ("num_experts_per_tok", 2.0),
    ("norm_topk_prob", 1.0),
];

const QWEN3_MOE_DEFAULTS: Defaults = &[
    ("use_sliding_window", 0.0),
    ("num_key_value_heads", 4.0),
    ("max_position_embeddings", 32_768.0),
    ("num_experts", 128.0),
    ("num_experts_per_tok", 8.0),
    ("moe_intermediate_size", 768.0),
    ("norm_topk_prob", 0.0),
];

// Gemma's published config.json leave out what transformers assumes; GGUF files leave out what llama.cpp assumes.
const GEMMA2_DEFAULTS: Defaults = &[
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

const GEMMA3_DEFAULTS: Defaults = &[
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

// Gemma 3 dropped the cap on attention scores; transformers reads the field and does not apply it.
const GEMMA3_ATTN: Attn = Attn {
    qk_norm: QkNorm::PerHead,
    windows: Windows::Every(6),
    local_rope: LocalRope::Unscaled,
    softcap: false,
    ..ATTN
};

const GPT_OSS_DEFAULTS: Defaults = &[
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
