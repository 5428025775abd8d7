//! The operators: what a model's graph is made of.
//!
//! `n` is the number of rows of the batch. Every value is `[n, width]`, row-major, of numbers (F32) unless an operator
//! says otherwise.

use std::sync::Arc;

use crate::{GatedDelta, Scan, WeightId};

/// One operator. The comment on each says its inputs → its output.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// (none; reads the batch's token ids) → `[n, cols]`: rows of `table`.
    Embed {
        /// `[vocabulary, width]`.
        table: WeightId,
    },
    /// (none; reads the batch's positions) → `[n, cols]`: the row of `table` for each row's position.
    EmbedPositions {
        /// `[positions, width]`. Batches have no position beyond it.
        table: WeightId,
    },
    /// (none; reads the batch's token types) → `[n, cols]`: the row of `table` for each token's type.
    EmbedTypes {
        /// `[types, width]`.
        table: WeightId,
    },
    /// (none; reads the batch's [inputs](crate::Batch::inputs)) → `[n, width]`: what the stage before has given. It is the first node.
    Input {
        /// Numbers of a row.
        width: usize,
    },
    /// x `[n, cols]` → `[n, rows]`: x · weightᵀ. If the weight is quantized, x may be Q8.
    Linear {
        /// `[rows, cols]`.
        weight: WeightId,
    },
    /// y `[n, rows]`, x `[n, cols]` → y + x · (b · a)ᵀ in each row whose adapter in the batch changes the weight by b · a; other rows
    /// are as they are. If the weight is quantized, x may be Q8. [`crate::adapted`] puts it behind products.
    Adapt {
        /// `[rows, cols]`; it is not read.
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
        /// Gives the result as Q8 in blocks; the span is then the whole row.
        quantize: bool,
    },
    /// x → (x − mean(x)) / deviation(x) · weight + bias, of each span alone. Ba, Kiros and Hinton 2016.
    LayerNorm {
        /// `[m · span]` or `[m, span]`, a divisor of the row's width: m spans in turn have elements of their own.
        weight: WeightId,
        /// As long as the weight.
        bias: Option<WeightId>,
        /// Elements that are normalized together.
        span: usize,
        /// Added to the variance.
        eps: f32,
    },
    /// x → x / rms(x). The row is cut into spans, each normalized alone.
    UnitNorm {
        /// Elements of a span, a divisor of the row's width.
        span: usize,
        /// Added to the mean square.
        eps: f32,
    },
    /// x → max(0, x − mean(x) − deviations · deviation(x)) of each row: about the part of its elements stays that a normal
    /// distribution has beyond so many deviations (Gemma 3n's activation sparsity).
    GaussianTopK {
        /// From the mean to what stays.
        deviations: f32,
    },
    /// a, b → a + b.
    Add,
    /// a, b → a · b, element by element. b may be narrower: then each of its numbers is for a span of a's, as for a head.
    Mul,
    /// x → x · by.
    Scale {
        /// The factor.
        by: f32,
    },
    /// x → x · weight, element by element, the same for every row. The row is cut into spans of the weight's length; a weight of one
    /// element is a factor for all.
    ScaleBy {
        /// `[span]`, a divisor of the row's width.
        weight: WeightId,
    },
    /// x → x · the growth at its row's position.
    Grow(Growth),
    /// x → cap · tanh(x / cap). x is F32 or [`crate::Elem::Positions`].
    SoftCap {
        /// The bound.
        cap: f32,
    },
    /// gate, up → activation(gate) · up.
    Glu {
        /// What is applied to the gate.
        act: Activation,
    },
    /// x → activation(x), where nothing is gated.
    Activate {
        /// What is applied; not [`Activation::ClampedSilu`], which needs a gate.
        act: Activation,
    },
    /// x → the same as Q8: half-way cases to even, all zeros where a span's scale is 0.
    Quantize {
        /// Columns that are rounded together: a multiple of 32, and a divisor of the row's width.
        span: usize,
    },
    /// Products with one or several matrices, and what is done with them at once.
    Product(Product),
    /// x `[n, heads · head_dim]` → the same, each head rotated by its row's position.
    Rope(Rope),
    /// q, k, v → q rotated: [`Op::Rope`] of q and of k, and [`Op::KvWrite`] of the rotated k and v, in one.
    RopeKvWrite {
        /// Of q and k.
        rope: Rope,
        /// Index into the graph's memories.
        layer: usize,
    },
    /// k, v → (no output): writes the rows into the KV cache of `layer` at their positions.
    KvWrite {
        /// Index into the graph's memories.
        layer: usize,
    },
    /// q `[n, heads · head_dim]` → `[n, heads · head_dim]`: each row attends to the cache of its sequence: up to and including its own
    /// position, or, if it is not causal, up to the last position of its span. A write of the same layer comes before it.
    Attention(Attention),
    /// q `[n, heads · head_dim]` → `[n, heads, positions]`: scale · (the head's query · the key of each position of the row's
    /// sequence up to and including its own), from the cache of `layer`. A write of the same layer comes before it.
    Scores {
        /// Index into the graph's memories.
        layer: usize,
        /// As [`Attention::heads`].
        heads: usize,
        /// Multiplied with the products.
        scale: f32,
    },
    /// scores `[n, heads, positions]` → the same: each head's softmax weights. They add up to 1 with that of its sink.
    Softmax {
        /// As [`Attention::window`]; all other positions have a weight of 0.
        window: Option<usize>,
        /// As [`Attention::sinks`].
        sinks: Option<WeightId>,
    },
    /// weights `[n, heads, positions]` → `[n, heads · head_dim]`: the weighted sum of the positions' values, from the cache of `layer`.
    /// Values before the first weight that is not 0 are not read: those that a window hides may be NaN.
    Weigh {
        /// Index into the graph's memories.
        layer: usize,
    },
    /// x `[n, channels]` → the same: each channel is convolved along its sequence with taps of its own. The output at a position is
    /// Σ taps\[j\] · the input `width` − 1 − j positions before it, from j = 0 to `width` − 1; inputs before the first position are
    /// 0. The state of `layer`, `[width - 1, channels]`, is the last inputs, oldest first.
    CausalConv {
        /// Index into the graph's memories: a recurrent layer of its own.
        layer: usize,
        /// The taps: `[channels, width]`, read as elements.
        weight: WeightId,
    },
    /// x → some columns of it: the row is cut into spans, and of each the columns from `first` on stay.
    Slice {
        /// A divisor of the row's width.
        span: usize,
        /// The first column of a span that stays.
        first: usize,
        /// How many stay.
        width: usize,
    },
    /// a `[n, parts · x]`, b `[n, parts · y]` → `[n, parts · (x + y)]`: a part of a, a part of b, and so on.
    Concat {
        /// How many of each.
        parts: usize,
    },
    /// x `[n, heads · cols]` → `[n, heads · rows]`: each head's columns times the head's own matrix, transposed. If the weight is
    /// quantized, x may be Q8.
    HeadLinear {
        /// `[heads, rows, cols]`.
        weight: WeightId,
    },
    /// q, k `[n, key_heads · key_dim]`, v `[n, heads · value_dim]`, decay `[n, heads]` or `[n, heads · key_dim]`, rate `[n, heads]` →
    /// `[n, heads · value_dim]`. The decay is a logarithm, of the whole state or of each of its rows.
    GatedDelta(GatedDelta),
    /// x `[n, heads · head_dim]`, b, c `[n, groups · state_dim]`, t `[n, heads]` → `[n, heads · head_dim]`.
    Scan(Scan),
    /// x `[tokens]` rows → `[outputs]` rows: only the rows whose logits are wanted.
    SelectOutputs,
    /// x → the same: what a router's products are as scores.
    Squash(Squash),
    /// scores `[n, experts]` → the same, −∞ for experts of all groups but the best ones.
    KeepGroups(Groups),
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
    /// `[n, k · cols]` (each slot its own). If the weight is quantized, x may be Q8.
    ExpertLinear {
        /// `[experts, rows, cols]`.
        weight: WeightId,
    },
    /// x `[n, k · width]`, ids `[n, k]` → x + bias\[ids\] in each slot.
    ExpertBias {
        /// `[experts, width]`: a matrix with a row for each expert.
        bias: WeightId,
    },
    /// x `[n, k · width]`, ids `[n, k]` → x · scale\[ids\] in each slot.
    ExpertScale {
        /// `[experts]`.
        scale: WeightId,
    },
    /// x `[n, k · width]`, weights `[n, k]` → `[n, width]`: the weighted sum of the slots, in slot order.
    ExpertSum,
}

impl Op {
    /// A short name, such as `linear`.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Embed { .. } => "embed",
            Op::EmbedPositions { .. } => "embed_positions",
            Op::EmbedTypes { .. } => "embed_types",
            Op::Input { .. } => "input",
            Op::Linear { .. } => "linear",
            Op::Adapt { .. } => "adapt",
            Op::AddBias { .. } => "add_bias",
            Op::RmsNorm { .. } => "rms_norm",
            Op::LayerNorm { .. } => "layer_norm",
            Op::UnitNorm { .. } => "unit_norm",
            Op::GaussianTopK { .. } => "gaussian_top_k",
            Op::Add => "add",
            Op::Mul => "mul",
            Op::Scale { .. } => "scale",
            Op::ScaleBy { .. } => "scale_by",
            Op::Grow(_) => "grow",
            Op::SoftCap { .. } => "soft_cap",
            Op::Glu { .. } => "glu",
            Op::Activate { .. } => "activate",
            Op::Quantize { .. } => "quantize",
            Op::Product(_) => "product",
            Op::Rope(_) => "rope",
            Op::RopeKvWrite { .. } => "rope_kv_write",
            Op::KvWrite { .. } => "kv_write",
            Op::Attention(_) => "attention",
            Op::Scores { .. } => "scores",
            Op::Softmax { .. } => "softmax",
            Op::Weigh { .. } => "weigh",
            Op::CausalConv { .. } => "causal_conv",
            Op::Slice { .. } => "slice",
            Op::Concat { .. } => "concat",
            Op::HeadLinear { .. } => "head_linear",
            Op::GatedDelta(_) => "gated_delta",
            Op::Scan(_) => "scan",
            Op::SelectOutputs => "select_outputs",
            Op::Squash(_) => "squash",
            Op::KeepGroups(_) => "keep_groups",
            Op::TopK { .. } => "top_k",
            Op::GateWeights { .. } => "gate_weights",
            Op::ExpertLinear { .. } => "expert_linear",
            Op::ExpertBias { .. } => "expert_bias",
            Op::ExpertScale { .. } => "expert_scale",
            Op::ExpertSum => "expert_sum",
        }
    }

    /// How many inputs it takes.
    pub(crate) fn arity(&self) -> usize {
        match self {
            Op::Embed { .. } | Op::EmbedPositions { .. } | Op::EmbedTypes { .. } | Op::Input { .. } => 0,
            Op::Add | Op::Mul | Op::Glu { .. } | Op::KvWrite { .. } | Op::GateWeights { .. } | Op::Concat { .. } => 2,
            Op::Adapt { .. } => 2,
            Op::ExpertLinear { .. } | Op::ExpertBias { .. } | Op::ExpertScale { .. } | Op::ExpertSum => 2,
            Op::Scan(_) => 4,
            Op::GatedDelta(_) => 5,
            Op::Product(product) if product.end == End::Add => 2,
            Op::RopeKvWrite { .. } => 3,
            _ => 1,
        }
    }

    /// The weights it reads: of a product each matrix, followed by its bias.
    pub fn weights(&self) -> Vec<WeightId> {
        match self {
            Op::Embed { table: id } | Op::EmbedPositions { table: id } | Op::EmbedTypes { table: id } => vec![*id],
            Op::Linear { weight: id } | Op::ExpertLinear { weight: id } => vec![*id],
            Op::HeadLinear { weight } => vec![*weight],
            Op::LayerNorm { weight, bias, .. } => [Some(*weight), *bias].into_iter().flatten().collect(),
            Op::AddBias { bias: id } | Op::ExpertBias { bias: id } | Op::RmsNorm { weight: id, .. } => vec![*id],
            Op::CausalConv { weight: id, .. } | Op::ScaleBy { weight: id } => vec![*id],
            Op::ExpertScale { scale } => vec![*scale],
            Op::Scan(Scan { decay, skip, .. }) => vec![*decay, *skip],
            Op::Product(Product { weights, biases, .. }) => {
                weights.iter().zip(biases).flat_map(|(&weight, &bias)| [Some(weight), bias]).flatten().collect()
            }
            Op::Attention(Attention { sinks, .. }) | Op::Softmax { sinks, .. } => sinks.iter().copied().collect(),
            _ => vec![],
        }
    }

    /// The layer whose memory it writes, if any. No two operators of a graph write the same.
    pub fn writes(&self) -> Option<usize> {
        match self {
            Op::KvWrite { layer } | Op::RopeKvWrite { layer, .. } | Op::CausalConv { layer, .. } => Some(*layer),
            Op::GatedDelta(GatedDelta { layer, .. }) | Op::Scan(Scan { layer, .. }) => Some(*layer),
            _ => None,
        }
    }

    /// Whether a [`crate::Plan`] may give it an output that is its first input (the same place, never its second
    /// input's). A backend must cope with that for these operators, and only these.
    pub fn in_place(&self) -> bool {
        use Op::{
            Activate, Adapt, Add, AddBias, GaussianTopK, Glu, Grow, Mul, Rope, RopeKvWrite, Scale, ScaleBy, SoftCap,
            Softmax, UnitNorm,
        };
        match self {
            Add | AddBias { .. } | Mul | Glu { .. } | Rope(_) | RopeKvWrite { .. } | UnitNorm { .. } => true,
            Activate { .. }
            | Adapt { .. }
            | GaussianTopK { .. }
            | Grow(_)
            | Scale { .. }
            | ScaleBy { .. }
            | SoftCap { .. }
            | Softmax { .. } => true,
            Op::Product(product) => product.end == End::Add && !product.quantize,
            _ => false,
        }
    }
}

/// x · weightᵀ + bias for each weight, and what becomes of them. If the weights are quantized, x may be Q8.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// `[rows, cols]` each, of the same cols; all quantized or none, and with the same [`crate::WeightInfo::span`].
    pub weights: Vec<WeightId>,
    /// `[rows]` for each weight that has one.
    pub biases: Vec<Option<WeightId>>,
    /// What is done with the sums.
    pub end: End,
    /// Gives the result, which is then one, as Q8 in blocks.
    pub quantize: bool,
}

/// What a [`Product`] does with its sums: where it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// x → a value for each weight.
    Store,
    /// residual, x → residual + the sum. One weight.
    Add,
    /// x → activation(gate) · up. Two weights: gate, up.
    Glu(Activation),
}

/// Activations: of a gate, which an up projection is multiplied with, or alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// sigmoid(x): how gates of attention are applied.
    Sigmoid,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// GELU by the error function.
    GeluErf,
    /// x where it is above 0, else 0.
    Relu,
    /// x² where x is above 0, else 0 (So et al. 2021).
    SquaredRelu,
    /// ln(1 + e^x).
    Softplus,
    /// xIELU (Huang and Schlag 2024): linear · x + square · x² where x is above 0, else linear · x + exponential · (e^x − 1 − x).
    Xielu {
        /// What the square counts above 0.
        square: f32,
        /// What the exponential counts below 0.
        exponential: f32,
        /// The slope at 0.
        linear: f32,
    },
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
    /// Radians per position of each pair; twice its length is how many of a head's elements are rotated. The rest stay as they are.
    pub freqs: Arc<[f32]>,
    /// What sine and cosine are multiplied with (YaRN's attention factor); 1 for most.
    pub magnitude: f32,
    /// Which elements form a pair.
    pub style: RopeStyle,
}

/// A factor that grows step by step with the position, as Llama 4 and Ministral 3 scale queries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// How fast.
    pub rate: f32,
    /// Positions of a step.
    pub every: usize,
}

impl Growth {
    /// 1 + rate · ln(1 + ⌊position / every⌋).
    ///
    /// # Panics
    /// If a step has no positions.
    pub fn at(self, position: usize) -> f32 {
        1.0 + self.rate * ((1 + position / self.every) as f32).ln()
    }
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
    /// Index into the graph's memories.
    pub layer: usize,
    /// Query heads; a multiple of the layer's KV heads. Query head h reads KV head h / (heads / kv heads).
    pub heads: usize,
    /// Multiplied with the scores.
    pub scale: f32,
    /// How many positions a row sees, itself included; `None` for all. If it is not causal, as many as it sees before itself it sees
    /// after itself.
    pub window: Option<usize>,
    /// Whether a row sees no position after its own. Else a sequence has to be in one span, whole.
    pub causal: bool,
    /// Scores become cap · tanh(score / cap).
    pub softcap: Option<f32>,
    /// `[heads]`: one more score in each head's softmax, whose weight is dropped (gpt-oss).
    pub sinks: Option<WeightId>,
}

/// Functions that bring a router's products between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squash {
    /// Each alone.
    Sigmoid,
    /// Softmax over the row.
    Softmax,
}

/// Groups of experts, of which only the best are open to choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// How many there are, of as many experts each.
    pub count: usize,
    /// How many stay; of equals the first.
    pub used: usize,
    /// A group is as good as the sum of so many of its best scores.
    pub best: usize,
}

/// How router scores become the weights of the chosen experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateScoring {
    /// Softmax over the chosen ones (equal to softmax over all, then renormalized).
    SoftmaxChosen,
    /// Softmax over all experts. The chosen ones keep their weights (`norm_topk_prob` false).
    SoftmaxAll,
    /// The scores as they are.
    Kept,
    /// The chosen scores, each divided by their sum. None is below 0.
    Shared,
}
