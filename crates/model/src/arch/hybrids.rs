//! Rows of the table for models with recurrent layers.

use graph::{Activation, HeadOrder, Squash};

use crate::spec::{Gate, Norms, QkNorm};

use super::defaults::*;
use super::{ATTN, Arch, Attn, EXTRAS, Extras, LLAMA, LocalRope, PAIRS, Recurrence, Windows};

// Some layers have the gated delta rule, the others a gate beside their queries.
const QWEN35: Arch = Arch {
    norm_shift: 1.0,
    attn: Attn { qk_norm: QkNorm::PerHead, gate: Gate::WithQueries, ..ATTN },
    extras: Extras { recurrent: Some(Recurrence::Delta(HeadOrder::Tiled)), ..EXTRAS },
    ..LLAMA
};

// Some layers have a short convolution between two gates.
const LFM2: Arch = Arch {
    attn: Attn { qk_norm: QkNorm::PerHead, ..ATTN },
    extras: Extras { recurrent: Some(Recurrence::Conv), ..EXTRAS },
    ..LLAMA
};

// Some layers, or all, have the scan of Mamba-2.
const MAMBA2: Arch = Arch { attn: ATTN, extras: Extras { recurrent: Some(Recurrence::Scan), ..EXTRAS }, ..LLAMA };

pub(super) static ARCHITECTURES: [Arch; 12] = [
    Arch {
        name: "qwen35",
        model_types: &["qwen3_5", "qwen3_5_text"],
        gguf: &["qwen35"],
        defaults: QWEN35_DEFAULTS,
        ..QWEN35
    },
    Arch {
        name: "qwen35moe",
        model_types: &["qwen3_5_moe", "qwen3_5_moe_text"],
        gguf: &["qwen35moe"],
        defaults: QWEN35_MOE_DEFAULTS,
        ..QWEN35
    },
    Arch {
        name: "qwen3next",
        model_types: &["qwen3_next"],
        gguf: &["qwen3next"],
        defaults: QWEN3_NEXT_DEFAULTS,
        extras: Extras { recurrent: Some(Recurrence::Delta(HeadOrder::Grouped)), ..EXTRAS },
        ..QWEN35
    },
    Arch {
        name: "kimi-linear",
        model_types: &["kimi_linear"],
        gguf: &["kimi-linear"],
        defaults: KIMI_LINEAR_DEFAULTS,
        attn: Attn { global_rope: false, ..ATTN },
        squash: Some(Squash::Sigmoid),
        extras: Extras { recurrent: Some(Recurrence::DeltaByRow), latent: true, ..EXTRAS },
        ..LLAMA
    },
    Arch { name: "lfm2", model_types: &["lfm2"], gguf: &["lfm2"], defaults: LFM2_DEFAULTS, ..LFM2 },
    Arch {
        name: "lfm2moe",
        model_types: &["lfm2_moe"],
        gguf: &["lfm2moe"],
        defaults: LFM2_DEFAULTS,
        squash: Some(Squash::Sigmoid),
        ..LFM2
    },
    Arch {
        name: "lfm3",
        model_types: &["lfm3"],
        gguf: &[],
        defaults: LFM3_DEFAULTS,
        norms: Norms::Both,
        attn: Attn {
            qk_norm: QkNorm::PerHead,
            gate: Gate::PerHead,
            windows: Windows::Last,
            local_rope: LocalRope::Unscaled,
            ..ATTN
        },
        extras: Extras { proportional: Some(0.5), ..LFM2.extras },
        ..LLAMA
    },
    Arch {
        name: "granitehybrid",
        model_types: &["granitemoehybrid"],
        gguf: &["granitehybrid"],
        defaults: GRANITE_HYBRID_DEFAULTS,
        attn: PAIRS,
        ..MAMBA2
    },
    Arch { name: "bamba", model_types: &["bamba"], gguf: &[], defaults: BAMBA_DEFAULTS, ..MAMBA2 },
    Arch {
        name: "nemotron_h",
        model_types: &["nemotron_h"],
        gguf: &["nemotron_h", "nemotron_h_moe"],
        defaults: NEMOTRON_H_DEFAULTS,
        act: Activation::SquaredRelu,
        attn: Attn { global_rope: false, ..ATTN },
        squash: Some(Squash::Sigmoid),
        extras: Extras { gated: false, ..MAMBA2.extras },
        ..LLAMA
    },
    Arch {
        name: "falcon-h1",
        model_types: &["falcon_h1"],
        gguf: &["falcon-h1"],
        defaults: FALCON_H1_DEFAULTS,
        ..MAMBA2
    },
    Arch { name: "mamba2", model_types: &["mamba2"], gguf: &["mamba2"], defaults: MAMBA2_DEFAULTS, ..MAMBA2 },
];
