//! Rows of the table for models that are less like Llama: with layer norms, without gates, with both parts of a layer side by side.

use graph::Activation;

use crate::spec::{NormKind, Norms, QkNorm};

use super::defaults::*;
use super::{ATTN, Arch, Attn, DEEPSEEK_ATTN, EXTRAS, Extras, LLAMA, Windows};

// Layer norms, biases, and a feed-forward part without a gate.
const CLASSIC: Extras = Extras { norm: NormKind::Layer { bias: true }, gated: false, found_biases: true, ..EXTRAS };

// Layer norms without biases; a factor for logits.
const COHERE: Extras = Extras { norm: NormKind::Layer { bias: false }, logit_factor: Some(0.0625), ..EXTRAS };

pub(super) static ARCHITECTURES: [Arch; 5] = [
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
];
