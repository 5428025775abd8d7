//! Rows of the table for families that differ from others by a few numbers, names or switches.

use graph::{Activation, RopeStyle, Squash};

use crate::spec::{NormKind, Norms, QkNorm};

use super::config::Key;
use super::defaults::{Defaults, GEMMA2_DEFAULTS};
use super::{ATTN, Arch, Attn, EXTRAS, Extras, GEMMA3_ATTN, Input, LLAMA, LocalRope, PAIRS, Windows};

// Layer norms, biases where the file has them.
const BIASED: Extras = Extras { norm: NormKind::Layer { bias: true }, found_biases: true, ..EXTRAS };

// Norms that files have no elements of.
const BARE: Extras = Extras { bare: true, ..EXTRAS };

// Granite with windows and sinks; some layers are not rotated.
const GRANITE_SWA: Attn = Attn { sinks: true, windows: Windows::ButFirst(4), ..PAIRS };

// GLM 4.5's mixture with halves of the heads rotated, or whole ones.
const BAILING: Arch = Arch {
    attn: Attn { qk_norm: QkNorm::PerHead, qk_norm_optional: true, output_bias: Key("use_bias", ""), ..ATTN },
    squash: Some(Squash::Sigmoid),
    ..LLAMA
};

pub(super) static ARCHITECTURES: [Arch; 31] = [
    Arch { name: "internlm3", model_types: &["internlm3"], gguf: &[], defaults: INTERNLM3_DEFAULTS, ..LLAMA },
    Arch { name: "iquestcoder", model_types: &["iquestcoder"], gguf: &[], defaults: IQUESTCODER_DEFAULTS, ..LLAMA },
    Arch { name: "exaone", model_types: &["exaone"], gguf: &["exaone"], defaults: EXAONE_DEFAULTS, ..LLAMA },
    Arch {
        name: "cwm",
        model_types: &["cwm"],
        gguf: &[],
        defaults: CWM_DEFAULTS,
        attn: Attn { windows: Windows::ButFirst(4), ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "ministral",
        model_types: &["ministral"],
        gguf: &[],
        defaults: MINISTRAL_DEFAULTS,
        attn: Attn { windows: Windows::Every(usize::MAX), ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "helium",
        model_types: &["helium"],
        gguf: &[],
        defaults: HELIUM_DEFAULTS,
        attn: Attn { hf_rope: RopeStyle::Pairs, output_bias: Key("", ""), ..PAIRS },
        ..LLAMA
    },
    Arch { name: "baichuan", model_types: &[], gguf: &["baichuan"], attn: PAIRS, ..LLAMA },
    Arch { name: "xverse", model_types: &[], gguf: &["xverse"], attn: PAIRS, ..LLAMA },
    Arch { name: "qwen", model_types: &[], gguf: &["qwen"], ..LLAMA },
    Arch { name: "pangu-embedded", model_types: &[], gguf: &["pangu-embedded"], ..LLAMA },
    Arch {
        name: "orion",
        model_types: &[],
        gguf: &["orion"],
        extras: Extras { norm: NormKind::Layer { bias: true }, ..EXTRAS },
        ..LLAMA
    },
    Arch {
        name: "minicpm",
        model_types: &["minicpm"],
        gguf: &["minicpm"],
        defaults: MINICPM_DEFAULTS,
        attn: PAIRS,
        ..LLAMA
    },
    Arch {
        name: "minicpm3",
        model_types: &["minicpm3"],
        gguf: &["minicpm3"],
        defaults: MINICPM3_DEFAULTS,
        extras: Extras { latent: true, ..EXTRAS },
        ..LLAMA
    },
    Arch {
        name: "apertus",
        model_types: &["apertus"],
        gguf: &["apertus"],
        defaults: APERTUS_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::PerHead, ..ATTN },
        extras: Extras { gated: false, ..EXTRAS },
        ..LLAMA
    },
    Arch {
        name: "jais2",
        model_types: &["jais2"],
        gguf: &["jais2"],
        defaults: &[("layer_norm_eps", 1e-5), ("num_attention_heads", 26.0), ("max_position_embeddings", 8192.0)],
        act: Activation::SquaredRelu,
        extras: Extras { gated: false, ..BIASED },
        ..LLAMA
    },
    Arch {
        name: "olmo",
        model_types: &["olmo"],
        gguf: &["olmo"],
        defaults: &[("layer_norm_eps", 1e-5), ("max_position_embeddings", 2048.0)],
        attn: PAIRS,
        extras: Extras { norm: NormKind::Layer { bias: false }, ..BARE },
        ..LLAMA
    },
    Arch {
        name: "nanochat",
        model_types: &["nanochat"],
        gguf: &[],
        defaults: NANOCHAT_DEFAULTS,
        act: Activation::SquaredRelu,
        // Before the rotation as well as after it: it changes no length.
        attn: Attn { qk_norm: QkNorm::Unit, ..ATTN },
        extras: Extras { gated: false, input: Input::Unit, ..BARE },
        ..LLAMA
    },
    Arch {
        name: "granite_swa",
        model_types: &["granite_swa"],
        gguf: &["granite_swa"],
        defaults: GRANITE_SWA_DEFAULTS,
        attn: GRANITE_SWA,
        ..LLAMA
    },
    Arch {
        name: "granitemoe_swa",
        model_types: &["granitemoe_swa"],
        gguf: &["granite_swa"],
        defaults: GRANITE_MOE_SWA_DEFAULTS,
        attn: GRANITE_SWA,
        ..LLAMA
    },
    Arch {
        name: "hyperclovax",
        model_types: &["hyperclovax"],
        gguf: &[],
        defaults: &[("max_position_embeddings", 2048.0)],
        norms: Norms::Both,
        extras: Extras { logit_factor: Some(1.0), ..EXTRAS },
        ..LLAMA
    },
    Arch {
        name: "vaultgemma",
        model_types: &["vaultgemma"],
        gguf: &[],
        defaults: GEMMA2_DEFAULTS,
        norm_shift: 1.0,
        embed_sqrt: true,
        act: Activation::GeluTanh,
        attn: Attn { windows: Windows::Every(2), ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "gemma3n",
        model_types: &["gemma3n_text", "gemma3n"],
        gguf: &["gemma3n"],
        defaults: GEMMA3N_DEFAULTS,
        norms: Norms::Both,
        embed_sqrt: true,
        act: Activation::GeluTanh,
        attn: Attn { windows: Windows::Every(5), ..GEMMA3_ATTN },
        extras: Extras { value_norm: true, ..EXTRAS },
        ..LLAMA
    },
    Arch {
        name: "gemma4-unified",
        model_types: &["gemma4_unified_text", "gemma4_unified"],
        gguf: &["gemma4"],
        defaults: GEMMA4_UNIFIED_DEFAULTS,
        norms: Norms::Both,
        embed_sqrt: true,
        act: Activation::GeluTanh,
        attn: GEMMA3_ATTN,
        extras: Extras { value_norm: true, proportional: Some(0.25), ..EXTRAS },
        ..LLAMA
    },
    Arch {
        name: "mellum",
        model_types: &["mellum"],
        gguf: &["mellum"],
        defaults: MELLUM_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::PerHead, windows: Windows::Listed, local_rope: LocalRope::Unscaled, ..ATTN },
        ..LLAMA
    },
    Arch {
        name: "flint",
        model_types: &["flint"],
        gguf: &[],
        defaults: FLINT_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::PerHead, sinks: true, windows: Windows::Listed, global_rope: false, ..ATTN },
        squash: Some(Squash::Sigmoid),
        ..LLAMA
    },
    Arch {
        name: "hy_v3",
        model_types: &["hy_v3"],
        gguf: &["hy_v3"],
        defaults: HY_V3_DEFAULTS,
        attn: Attn { qk_norm: QkNorm::PerHead, ..ATTN },
        squash: Some(Squash::Sigmoid),
        ..LLAMA
    },
    Arch {
        name: "solar_open",
        model_types: &["solar_open"],
        gguf: &[],
        defaults: SOLAR_OPEN_DEFAULTS,
        attn: Attn { output_bias: Key("", ""), ..ATTN },
        squash: Some(Squash::Sigmoid),
        ..LLAMA
    },
    Arch {
        name: "sarvam_moe",
        model_types: &["sarvam_moe"],
        gguf: &["bailingmoe2"],
        defaults: SARVAM_MOE_DEFAULTS,
        ..BAILING
    },
    Arch {
        name: "bailingmoe2",
        model_types: &["bailing_moe_v2"],
        gguf: &["bailingmoe2"],
        defaults: BAILING_MOE2_DEFAULTS,
        ..BAILING
    },
    Arch { name: "bailingmoe", model_types: &[], gguf: &["bailingmoe"], attn: PAIRS, ..LLAMA },
    Arch { name: "deepseek", model_types: &[], gguf: &["deepseek"], defaults: DEEPSEEK_DEFAULTS, attn: PAIRS, ..LLAMA },
];

const INTERNLM3_DEFAULTS: Defaults =
    &[("rms_norm_eps", 1e-5), ("num_key_value_heads", 2.0), ("head_dim", 128.0), ("max_position_embeddings", 32_768.0)];

const IQUESTCODER_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_attention_heads", 40.0),
    ("num_key_value_heads", 8.0),
    ("head_dim", 128.0),
    ("max_position_embeddings", 131_072.0),
];

const EXAONE_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_key_value_heads", 8.0),
    ("max_position_embeddings", 4096.0),
    ("rope_theta", 500_000.0),
];

const CWM_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_attention_heads", 48.0),
    ("num_key_value_heads", 8.0),
    ("head_dim", 128.0),
    ("rope_theta", 1e6),
    ("sliding_window", 8192.0),
    ("max_position_embeddings", 131_072.0),
];

const MINISTRAL_DEFAULTS: Defaults =
    &[("num_key_value_heads", 8.0), ("sliding_window", 4096.0), ("max_position_embeddings", 131_072.0)];

const HELIUM_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-8),
    ("num_attention_heads", 20.0),
    ("num_key_value_heads", 20.0),
    ("head_dim", 128.0),
    ("rope_theta", 100_000.0),
    ("max_position_embeddings", 4096.0),
];

const MINICPM_DEFAULTS: Defaults =
    &[("max_position_embeddings", 2048.0), ("scale_emb", 1.0), ("scale_depth", 1.0), ("dim_model_base", 1.0)];

const MINICPM3_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 40.0),
    ("max_position_embeddings", 32_768.0),
    ("kv_lora_rank", 256.0),
    ("q_lora_rank", 768.0),
    ("qk_nope_head_dim", 64.0),
    ("qk_rope_head_dim", 32.0),
    ("scale_emb", 12.0),
    ("scale_depth", 1.4),
    ("dim_model_base", 256.0),
];

const APERTUS_DEFAULTS: Defaults =
    &[("rms_norm_eps", 1e-5), ("max_position_embeddings", 65_536.0), ("rope_theta", 12e6)];

const NANOCHAT_DEFAULTS: Defaults =
    &[("num_attention_heads", 6.0), ("max_position_embeddings", 2048.0), ("final_logit_softcapping", 15.0)];

const GRANITE_SWA_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 20.0),
    ("num_key_value_heads", 4.0),
    ("attention_multiplier", 1.0),
    ("sliding_window", 128.0),
    ("max_position_embeddings", 8192.0),
];

const GRANITE_MOE_SWA_DEFAULTS: Defaults = &[
    ("attention_multiplier", 1.0),
    ("max_position_embeddings", 2048.0),
    ("sliding_window", 128.0),
    ("num_local_experts", 8.0),
    ("num_experts_per_tok", 2.0),
];

const GEMMA3N_DEFAULTS: Defaults = &[
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 8.0),
    ("num_key_value_heads", 2.0),
    ("head_dim", 256.0),
    ("attention_multiplier", 1.0),
    (".attention.scale", 1.0),
    ("final_logit_softcapping", 30.0),
    (".final_logit_softcapping", 30.0),
    ("sliding_window", 512.0),
    ("max_position_embeddings", 32_768.0),
    ("rope_theta", 1e6),
    ("rope_local_base_freq", 1e4),
    (".rope.freq_base_swa", 1e4),
    ("hidden_size_per_layer_input", 256.0),
    ("num_kv_shared_layers", 15.0),
    ("altup_num_inputs", 4.0),
    (".altup.num_inputs", 4.0),
];

const GEMMA4_UNIFIED_DEFAULTS: Defaults = &[
    ("tie_word_embeddings", 1.0),
    ("num_attention_heads", 8.0),
    ("num_key_value_heads", 4.0),
    ("head_dim", 256.0),
    ("global_head_dim", 512.0),
    ("attention_multiplier", 1.0),
    ("sliding_window", 1024.0),
    ("max_position_embeddings", 262_144.0),
    ("rope_theta", 1e6),
    ("rope_local_base_freq", 1e4),
];

const MELLUM_DEFAULTS: Defaults = &[
    ("num_key_value_heads", 4.0),
    ("head_dim", 128.0),
    ("max_position_embeddings", 131_072.0),
    ("rope_theta", 500_000.0),
    ("rope_local_base_freq", 10_000.0),
    ("num_experts", 64.0),
    ("num_experts_per_tok", 8.0),
    ("moe_intermediate_size", 896.0),
];

const FLINT_DEFAULTS: Defaults = &[
    ("num_key_value_heads", 4.0),
    ("head_dim", 128.0),
    ("sliding_window", 513.0),
    ("max_position_embeddings", 262_144.0),
    ("num_experts", 256.0),
    ("num_experts_per_tok", 6.0),
    ("moe_intermediate_size", 512.0),
];

const HY_V3_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_attention_heads", 64.0),
    ("num_key_value_heads", 8.0),
    ("head_dim", 128.0),
    ("rope_theta", 11_158_840.0),
    ("max_position_embeddings", 131_072.0),
    ("num_experts", 192.0),
    ("num_experts_per_tok", 8.0),
    ("moe_intermediate_size", 1536.0),
    ("router_scaling_factor", 2.826),
];

const SOLAR_OPEN_DEFAULTS: Defaults = &[
    ("rms_norm_eps", 1e-5),
    ("num_attention_heads", 64.0),
    ("num_key_value_heads", 8.0),
    ("head_dim", 128.0),
    ("rope_theta", 1e6),
    ("max_position_embeddings", 131_072.0),
    ("n_routed_experts", 128.0),
    ("num_experts_per_tok", 8.0),
    ("moe_intermediate_size", 1280.0),
];

const SARVAM_MOE_DEFAULTS: Defaults = &[
    ("num_attention_heads", 64.0),
    ("num_key_value_heads", 4.0),
    ("head_dim", 64.0),
    ("rope_theta", 8e6),
    ("max_position_embeddings", 131_072.0),
    ("n_routed_experts", 128.0),
    ("num_experts_per_tok", 6.0),
    ("moe_intermediate_size", 1024.0),
    ("routed_scaling_factor", 2.5),
];

const BAILING_MOE2_DEFAULTS: Defaults =
    &[("partial_rotary_factor", 0.5), ("rope_theta", 600_000.0), ("max_position_embeddings", 32_768.0)];

const DEEPSEEK_DEFAULTS: Defaults =
    &[("max_position_embeddings", 2048.0), ("norm_topk_prob", 0.0), (".expert_weights_norm", 0.0)];
