//! Rows of the table for models that are less like Llama: with layer norms, without gates or with gates of another kind, with both parts
//! of a layer side by side.

use graph::{Activation, Squash};

use crate::spec::{Gate, NormKind, Norms, QkNorm};

use super::defaults::*;
use super::{ATTN, Arch, Attn, DEEPSEEK_ATTN, EXTRAS, Extras, LLAMA, LocalRope, PAIRS, Windows};

// Layer norms, biases, and a feed-forward part without a gate.
const CLASSIC: Extras = Extras { norm: NormKind::Layer { bias: true }, gated: false, found_biases: true, ..EXTRAS };

// Layer norms without biases; a factor for logits.
const COHERE: Extras = Extras { norm: NormKind::Layer { bias: false }, logit_factor: Some(0.0625), ..EXTRAS };

pub(super) static ARCHITECTURES: [Arch; 9] = [
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
];
