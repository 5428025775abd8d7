//! The operators: what a model's graph is made of.
//!
//! `n` is the number of rows of the batch. Every value is `[n, width]`, row-major, of 4-byte elements.

use std::sync::Arc;

use crate::WeightId;

/// One operator. The comment on each says its inputs → its output.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// (none; reads the batch's token ids) → `[n, cols]`: rows of `table`.
    Embed {
        /// `[vocabulary, width]`.
        table: WeightId,
    },
    /// x `[n, cols]` → `[n, rows]`: x · weightᵀ.
    Linear {
        /// `[rows, cols]`.
        weight: WeightId,
    },
    /// x → x + bias, the same for every row.
    AddBias {
        /// `[width]`.
        bias: WeightId,
    },
    /// x → x / rms(x) · weight. The row is cut into spans of the weight's length, each normalized alone (a weight as
    /// long as a head normalizes each head). Zhang and Sennrich 2019.
    RmsNorm {
        /// `[span]`, a divisor of the row's width.
        weight: WeightId,
        /// Added to the mean square.
        eps: f32,
    },
    /// a, b → a + b.
    Add,
    /// x → x · by.
    Scale {
        /// The factor.
        by: f32,
    },
    /// x → cap · tanh(x / cap).
    SoftCap {
        /// The bound.
        cap: f32,
    },
    /// gate, up → activation(gate) · up.
    Glu {
        /// What is applied to the gate.
        act: Activation,
    },
    /// x `[n, heads · head_dim]` → the same, each head turned by its row's position.
    Rope(Rope),
    /// k, v → (no output): writes the rows into the KV cache of `layer` at their positions.
    KvWrite {
        /// Index into the graph's KV shapes.
        layer: usize,
    },
    /// q `[n, heads · head_dim]` → `[n, heads · head_dim]`: each row attends to the cache of its sequence up to and
    /// including its own position. A `KvWrite` of the same layer comes before it.
    Attention(Attention),
    /// x `[tokens]` rows → `[outputs]` rows: only the rows whose logits are wanted.
    SelectOutputs,
    /// scores `[n, experts]` → ids `[n, k]` (U32): the k largest, largest first; of equals the lower id.
    TopK {
        /// How many.
        k: usize,
    },
    /// scores `[n, experts]`, ids `[n, k]` → `[n, k]`: the weight of each chosen expert.
    GateWeights {
        /// From scores to weights.
        scoring: GateScoring,
    },
    /// x, ids `[n, k]` → `[n, k · rows]`: slot j is x · weight\[ids\[j\]\]ᵀ. x is `[n, cols]` (every slot the same) or
    /// `[n, k · cols]` (each slot its own).
    ExpertLinear {
        /// `[experts, rows, cols]`.
        weight: WeightId,
    },
    /// x `[n, k · width]`, ids `[n, k]` → x + bias\[ids\] in each slot.
    ExpertBias {
        /// `[experts, width]`: a matrix with a row for each expert.
        bias: WeightId,
    },
    /// x `[n, k · width]`, weights `[n, k]` → `[n, width]`: the weighted sum of the slots, in slot order.
    ExpertSum,
}

impl Op {
    /// A short name, such as `linear`.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Embed { .. } => "embed",
            Op::Linear { .. } => "linear",
            Op::AddBias { .. } => "add_bias",
            Op::RmsNorm { .. } => "rms_norm",
            Op::Add => "add",
            Op::Scale { .. } => "scale",
            Op::SoftCap { .. } => "soft_cap",
            Op::Glu { .. } => "glu",
            Op::Rope(_) => "rope",
            Op::KvWrite { .. } => "kv_write",
            Op::Attention(_) => "attention",
            Op::SelectOutputs => "select_outputs",
            Op::TopK { .. } => "top_k",
            Op::GateWeights { .. } => "gate_weights",
            Op::ExpertLinear { .. } => "expert_linear",
            Op::ExpertBias { .. } => "expert_bias",
            Op::ExpertSum => "expert_sum",
        }
    }

    /// The weight it reads, if any.
    pub fn weight(&self) -> Option<WeightId> {
        match self {
            Op::Embed { table: id } | Op::Linear { weight: id } | Op::ExpertLinear { weight: id } => Some(*id),
            Op::AddBias { bias: id } | Op::ExpertBias { bias: id } | Op::RmsNorm { weight: id, .. } => Some(*id),
            Op::Attention(attention) => attention.sinks,
            _ => None,
        }
    }

    /// Whether a [`crate::Plan`] may give it an output that is its first input (the same place, never its second
    /// input's). A backend must cope with that for these operators, and only these.
    pub fn in_place(&self) -> bool {
        use Op::{Add, AddBias, Glu, Rope, Scale, SoftCap};
        matches!(self, Add | AddBias { .. } | Glu { .. } | Rope(_) | Scale { .. } | SoftCap { .. })
    }
}

/// Gated activations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// GELU by the error function.
    GeluErf,
    /// gpt-oss: gate is clamped above at `limit`, up to ±`limit`; result gate · sigmoid(alpha · gate) · (up + 1).
    ClampedSilu {
        /// Steepness.
        alpha: f32,
        /// Bound.
        limit: f32,
    },
}

/// Rotary position embedding (Su et al. 2021).
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Width of a head.
    pub head_dim: usize,
    /// Radians per position of each pair; twice its length is how many of a head's elements are turned, the rest pass.
    pub freqs: Arc<[f32]>,
    /// What sine and cosine are multiplied with (YaRN's attention factor); 1 for most.
    pub magnitude: f32,
    /// Which elements form a pair.
    pub style: RopeStyle,
}

/// Which elements of a head form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeStyle {
    /// Element i with element i + half: GPT-NeoX, Hugging Face.
    Halves,
    /// Elements 2i and 2i + 1: the original paper; Llama in GGUF files.
    Pairs,
}

/// Scaled dot-product attention over the paged cache with grouped queries.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Index into the graph's KV shapes.
    pub layer: usize,
    /// Query heads; a multiple of the layer's KV heads. Query head h reads KV head h / (heads / kv heads).
    pub heads: usize,
    /// Multiplied with the scores.
    pub scale: f32,
    /// How many positions a row sees, itself included; `None` for all.
    pub window: Option<usize>,
    /// Scores become cap · tanh(score / cap).
    pub softcap: Option<f32>,
    /// `[heads]`: one more score in each head's softmax, whose share is dropped (gpt-oss).
    pub sinks: Option<WeightId>,
}

/// How router scores become the weights of the chosen experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateScoring {
    /// Softmax over the chosen ones (equal to softmax over all, then renormalized).
    SoftmaxChosen,
    /// Softmax over all experts; the chosen ones keep their share (`norm_topk_prob` false).
    SoftmaxAll,
}
