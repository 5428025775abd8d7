//! The table of architectures: a row says what a model family does differently from Llama; the rest is numbers in the
//! files.

mod activation;
mod altup;
mod build;
mod classic;
mod config;
mod defaults;
mod eagle3;
mod encoders;
mod export;
mod family;
mod gemma4;
mod hybrids;
mod kindred;
mod latent;
mod layers;
mod mtp;
mod recurrent;
mod refused;
mod rope;
mod rope_gguf;
mod rope_hf;
mod scales;
mod spec;

pub(crate) use build::{Built, build};
pub(crate) use config::Config;
pub(crate) use eagle3::build_eagle3;
pub(crate) use export::{AHEAD, keys, rope_factors};
pub(crate) use family::{Arch, Attn, Encoding, ExpertLayout, Extras, Input, LocalRope, Positions, Recurrence, Windows};
pub(crate) use mtp::build_mtp;
pub(crate) use spec::{guessing, read_mtp, read_spec};

pub use family::{Family, families, refused};

use graph::{Activation, RopeStyle, Squash};

use crate::spec::{Gate, NormKind, Norms, QkNorm};

use config::Key;
use defaults::*;

/// Llama itself, and what every other row starts from.
const LLAMA: Arch = Arch {
    name: "llama",
    model_types: &["llama", "mobilellm"],
    gguf: &["llama"],
    defaults: &[("max_position_embeddings", 2048.0)],
    norms: Norms::Pre,
    norm_shift: 0.0,
    embed_sqrt: false,
    act: Activation::Silu,
    attn: ATTN,
    experts: ExpertLayout::Rows,
    squash: None,
    extras: EXTRAS,
};

const EXTRAS: Extras = Extras {
    recurrent: None,
    value_norm: false,
    proportional: None,
    latent: false,
    norm: NormKind::Rms,
    bare: false,
    gated: true,
    found_biases: false,
    mixed_heads: false,
    input: Input::Plain,
    averaged: false,
    logit_factor: None,
};

const ATTN: Attn = Attn {
    gguf_rope: RopeStyle::Halves,
    hf_rope: RopeStyle::Halves,
    qk_norm: QkNorm::None,
    qk_norm_optional: false,
    gate: Gate::None,
    qkv_bias: false,
    output_bias: spec::ATTENTION_BIAS,
    sinks: false,
    softcap: true,
    windows: Windows::Gguf,
    local_rope: LocalRope::Same,
    global_rope: true,
};

const PAIRS: Attn = Attn { gguf_rope: RopeStyle::Pairs, ..ATTN };

// Gemma 3 dropped the cap on attention scores; transformers reads the field and does not apply it.
const GEMMA3_ATTN: Attn = Attn {
    qk_norm: QkNorm::PerHead,
    windows: Windows::Every(6),
    local_rope: LocalRope::Unscaled,
    softcap: false,
    ..ATTN
};

// The first half of each head is rotated, in pairs of neighbours; only queries, keys and values have a bias.
const GLM_ATTN: Attn = Attn { hf_rope: RopeStyle::Pairs, output_bias: Key("", ""), ..PAIRS };

const DEEPSEEK_ATTN: Attn = Attn { hf_rope: RopeStyle::Pairs, ..PAIRS };

/// Every architecture that Whinchat runs.
pub(crate) fn architectures() -> impl Iterator<Item = &'static Arch> {
    ARCHITECTURES
        .iter()
        .chain(&classic::ARCHITECTURES)
        .chain(&kindred::ARCHITECTURES)
        .chain(&hybrids::ARCHITECTURES)
        .chain(&encoders::ARCHITECTURES)
}

/// Those that are most like Llama.
static ARCHITECTURES: [Arch; 38] = [
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
        name: "ministral3",
        model_types: &["ministral3"],
        gguf: &["mistral3"],
        defaults: MINISTRAL3_DEFAULTS,
        attn: Attn { windows: Windows::All, ..PAIRS },
        ..LLAMA
    },
    Arch {
        name: "qwen2",
        model_types: &["qwen2", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"],
        gguf: &["qwen2", "qwen2vl"],
        defaults: QWEN_DEFAULTS,
        attn: Attn { qkv_bias: true, windows: Windows::Last, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "qwen3",
        model_types: &["qwen3", "qwen3_vl", "qwen3_vl_text"],
        gguf: &["qwen3", "qwen3vl"],
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
        name: "gemma4",
        model_types: &["gemma4_text", "gemma4"],
        gguf: &["gemma4"],
        defaults: GEMMA4_DEFAULTS,
        norms: Norms::Both,
        embed_sqrt: true,
        act: Activation::GeluTanh,
        attn: GEMMA3_ATTN,
        extras: Extras { value_norm: true, proportional: Some(0.25), ..EXTRAS },
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
        name: "qwen3vlmoe",
        model_types: &["qwen3_vl_moe", "qwen3_vl_moe_text"],
        gguf: &["qwen3vlmoe"],
        defaults: QWEN3_VL_MOE_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::PerHead, windows: Windows::All, ..ATTN },
        experts: ExpertLayout::Columns,
        ..LLAMA
    },
    Arch {
        name: "gemma",
        model_types: &["gemma"],
        gguf: &["gemma"],
        defaults: GEMMA_DEFAULTS,
        norm_shift: 1.0,
        embed_sqrt: true,
        act: Activation::GeluTanh,
        ..LLAMA
    },
    Arch {
        name: "seed_oss",
        model_types: &["seed_oss"],
        gguf: &["seed_oss"],
        defaults: SEED_OSS_DEFAULTS,
        attn: Attn { output_bias: Key("attention_out_bias", ""), ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "exaone4",
        model_types: &["exaone4"],
        gguf: &["exaone4"],
        defaults: &[("rms_norm_eps", 1e-5), ("max_position_embeddings", 2048.0), ("sliding_window", 4096.0)],
        norms: Norms::Post,
        attn: Attn { qk_norm: QkNorm::PerHead, windows: Windows::Every(4), global_rope: false, ..ATTN },
        ..LLAMA
    },
    Arch { name: "glm", model_types: &["glm"], gguf: &["chatglm"], defaults: GLM_DEFAULTS, attn: GLM_ATTN, ..LLAMA },
    Arch {
        name: "glm4",
        model_types: &["glm4"],
        gguf: &["glm4"],
        defaults: GLM_DEFAULTS,
        norms: Norms::Both,
        attn: GLM_ATTN,
        ..LLAMA
    },
    Arch {
        name: "olmo3",
        model_types: &["olmo3"],
        gguf: &["olmo2"],
        defaults: OLMO3_DEFAULTS,
        norms: Norms::Post,
        attn: Attn { qk_norm: QkNorm::Full, windows: Windows::Every(4), local_rope: LocalRope::Unscaled, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "ernie4_5",
        model_types: &["ernie4_5"],
        gguf: &["ernie4_5"],
        defaults: ERNIE_DEFAULTS,
        attn: Attn { hf_rope: RopeStyle::Pairs, output_bias: Key("", ""), ..PAIRS },
        ..LLAMA
    },
    Arch {
        name: "hunyuan-dense",
        model_types: &["hunyuan_v1_dense"],
        gguf: &["hunyuan-dense"],
        defaults: &[("rms_norm_eps", 1e-5), ("max_position_embeddings", 2048.0)],
        attn: Attn { qk_norm: QkNorm::AfterRope, ..ATTN },
        ..LLAMA
    },
    Arch { name: "internlm2", model_types: &[], gguf: &["internlm2"], attn: PAIRS, ..LLAMA },
    Arch {
        name: "qwen2moe",
        model_types: &["qwen2_moe"],
        gguf: &["qwen2moe"],
        defaults: QWEN2_MOE_DEFAULTS,
        attn: Attn { qkv_bias: true, output_bias: Key("", ""), windows: Windows::Last, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "glm4moe",
        model_types: &["glm4_moe"],
        gguf: &["glm4moe"],
        defaults: GLM4_MOE_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::PerHead, qk_norm_optional: true, output_bias: Key("", ""), ..ATTN },
        squash: Some(Squash::Sigmoid),
        ..LLAMA
    },
    Arch {
        name: "deepseek2",
        model_types: &["deepseek_v2"],
        gguf: &["deepseek2"],
        defaults: DEEPSEEK_V2_DEFAULTS,
        attn: DEEPSEEK_ATTN,
        squash: Some(Squash::Softmax),
        extras: Extras { latent: true, ..EXTRAS },
        ..LLAMA
    },
    Arch {
        name: "deepseek3",
        model_types: &["deepseek_v3"],
        gguf: &["deepseek2"],
        defaults: DEEPSEEK_V3_DEFAULTS,
        attn: DEEPSEEK_ATTN,
        squash: Some(Squash::Sigmoid),
        extras: Extras { latent: true, ..EXTRAS },
        ..LLAMA
    },
    Arch {
        name: "glm4moe-lite",
        model_types: &["glm4_moe_lite"],
        gguf: &["deepseek2"],
        defaults: GLM4_MOE_LITE_DEFAULTS,
        attn: DEEPSEEK_ATTN,
        squash: Some(Squash::Sigmoid),
        extras: Extras { latent: true, ..EXTRAS },
        ..LLAMA
    },
    Arch {
        name: "dots1",
        model_types: &["dots1"],
        gguf: &["dots1"],
        defaults: DOTS1_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::PerHead, windows: Windows::Last, ..ATTN },
        squash: Some(Squash::Sigmoid),
        ..LLAMA
    },
    Arch {
        name: "minimax-m2",
        model_types: &["minimax_m2"],
        gguf: &["minimax-m2"],
        defaults: MINIMAX_M2_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::Full, ..ATTN },
        squash: Some(Squash::Sigmoid),
        ..LLAMA
    },
    Arch {
        name: "ernie4_5-moe",
        model_types: &["ernie4_5_moe"],
        gguf: &["ernie4_5-moe"],
        defaults: ERNIE_MOE_DEFAULTS,
        attn: Attn { hf_rope: RopeStyle::Pairs, output_bias: Key("", ""), ..PAIRS },
        squash: Some(Squash::Softmax),
        ..LLAMA
    },
    Arch {
        name: "hunyuan-moe",
        model_types: &["hunyuan_v1_moe"],
        gguf: &["hunyuan-moe"],
        defaults: &[("rms_norm_eps", 1e-5), ("max_position_embeddings", 2048.0)],
        attn: Attn { qk_norm: QkNorm::AfterRope, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "afmoe",
        model_types: &["afmoe"],
        gguf: &["afmoe"],
        defaults: AFMOE_DEFAULTS,
        norms: Norms::Both,
        embed_sqrt: true,
        attn: Attn {
            qk_norm: QkNorm::PerHead,
            gate: Gate::Own,
            windows: Windows::Every(4),
            global_rope: false,
            ..ATTN
        },
        squash: Some(Squash::Sigmoid),
        ..LLAMA
    },
    Arch {
        name: "granitemoeshared",
        model_types: &["granitemoeshared"],
        gguf: &["granitemoe"],
        defaults: GRANITE_MOE_DEFAULTS,
        attn: PAIRS,
        ..LLAMA
    },
    Arch {
        name: "granitemoe",
        model_types: &["granitemoe"],
        gguf: &["granitemoe"],
        defaults: GRANITE_MOE_DEFAULTS,
        attn: PAIRS,
        ..LLAMA
    },
    Arch {
        name: "olmoe",
        model_types: &["olmoe"],
        gguf: &["olmoe"],
        defaults: OLMOE_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::Full, ..ATTN },
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
