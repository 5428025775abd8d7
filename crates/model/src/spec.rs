//! The numbers of a model, read once and never changed.

mod embeds;
mod encoder;
mod recurrent;

pub use embeds::{AltUpSpec, LayerEmbedSpec};
pub use encoder::{EncoderSpec, HeadActivation, HeadSpec, PositionSpec};
pub use recurrent::{ConvSpec, DeltaSpec, RecurrentSpec, ScanNorm, ScanScales, ScanSpec};

use graph::{Activation, GateScoring, Groups, Growth, Rope, Squash};

/// Immutable numbers of a model; everything its graph is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// The architecture's name in the table.
    pub architecture: &'static str,
    /// Longest sequence the model was made for.
    pub context: usize,
    /// Layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Size of the vocabulary: the rows of the embedding.
    pub vocab: usize,
    /// Where a layer has norms.
    pub norms: Norms,
    /// What norms do.
    pub norm: NormSpec,
    /// How logits are made.
    pub output: OutputSpec,
    /// Constant factors.
    pub scales: Scales,
    /// What each layer adds of an embedding of its own, if layers have one (Gemma 3n and 4).
    pub layer_embed: Option<LayerEmbedSpec>,
    /// What it has if it reads texts whole and continues none.
    pub encoder: Option<EncoderSpec>,
    /// What each layer does.
    pub(crate) blocks: Vec<LayerSpec>,
}

impl LayerSpec {
    /// Whether it finds something in other rows of the sequence.
    pub(crate) fn mixes(&self) -> bool {
        self.attention.is_some() || self.recurrent.is_some()
    }
}

impl ModelSpec {
    /// What layer `i` does.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn layer(&self, i: usize) -> &LayerSpec {
        &self.blocks[i]
    }

    /// Whether it continues texts: neither reads them whole nor judges them, so that what comes out are logits.
    pub fn continues(&self) -> bool {
        self.encoder.is_none() && self.output.head.is_none()
    }

    /// The attention of every layer that has any.
    pub fn attentions(&self) -> impl Iterator<Item = &AttentionSpec> {
        self.blocks.iter().filter_map(|layer| layer.attention.as_ref())
    }
}

/// How logits are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputSpec {
    /// Whether the embedding is the output matrix too.
    pub tied: bool,
    /// Whether the matrix has a bias.
    pub bias: bool,
    /// Logits become cap · tanh(logit / cap).
    pub cap: Option<f32>,
    /// What judges a text instead, if there is something.
    pub head: Option<HeadSpec>,
}

/// What norms do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSpec {
    /// What they compute.
    pub kind: NormKind,
    /// Added to the mean square.
    pub eps: f32,
    /// As [`NormSpec::eps`], in norms of what a part adds.
    pub after_eps: f32,
    /// Whether embeddings are normalized.
    pub embed: bool,
}

/// What norms compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// They divide by the root of the mean square.
    Rms,
    /// They subtract the mean and divide by the deviation.
    Layer {
        /// Whether they add a bias.
        bias: bool,
    },
}

/// Where a layer has norms: before, after, or around attention and feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norms {
    /// On what they read.
    Pre,
    /// On what they add to the residual stream.
    Post,
    /// On both.
    Both,
    /// One, on what both parts read: the layer's input.
    Shared,
    /// One for each part; both parts read the layer's input.
    Beside,
    /// On the sum of the residual stream and what a part adds to it.
    Sum,
}

impl Norms {
    /// Whether what a part reads is normalized.
    pub fn before(self) -> bool {
        !matches!(self, Norms::Post | Norms::Sum)
    }

    /// Whether what a part adds is normalized.
    pub fn after(self) -> bool {
        matches!(self, Norms::Post | Norms::Both)
    }

    /// Whether both parts read the layer's input.
    pub fn parallel(self) -> bool {
        matches!(self, Norms::Shared | Norms::Beside)
    }
}

/// Constant factors; 1 for most models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// On embeddings.
    pub embed: f32,
    /// On what is added to the residual stream.
    pub residual: f32,
    /// On logits.
    pub logits: f32,
}

/// What one layer does.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSpec {
    /// Its attention.
    pub attention: Option<AttentionSpec>,
    /// Where the keys and values come from.
    pub keys: KeySource,
    /// What the attention's output is multiplied with; 1 for most models.
    pub attention_scale: f32,
    /// What it brings forward along a sequence. Beside attention, both read the same and what they give is added up.
    pub recurrent: Option<RecurrentSpec>,
    /// Its feed-forward part.
    pub ffn: Option<FfnSpec>,
    /// Whether its output is multiplied with a weight.
    pub scaled: bool,
}

/// Where the keys and values of a layer come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// From a projection each.
    Projected,
    /// As projected, but each head of the values is normalized.
    Normalized {
        /// Whether they are what the projection of the keys gives.
        of_keys: bool,
    },
    /// They are those of an earlier layer.
    Layer(usize),
    /// They are one vector for all heads (multi-head latent attention).
    Latent(LatentSpec),
}

/// Multi-head latent attention. Keys are the vector of [`LatentSpec::rank`] elements and then [`LatentSpec::turned`] more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentSpec {
    /// Width of the vector that queries are made from; `None` if they are made from the layer's input.
    pub queries: Option<usize>,
    /// Width of the vector that each head makes its keys and values of.
    pub rank: usize,
    /// Elements of a head's keys that are made of it.
    pub plain: usize,
    /// Elements that are rotated, the same for all heads.
    pub turned: usize,
    /// Width of a head's values.
    pub value: usize,
}

/// The attention of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionSpec {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Multiplied with the scores.
    pub scale: f32,
    /// How many positions a row sees, itself included; `None` for all.
    pub window: Option<usize>,
    /// Scores become cap · tanh(score / cap).
    pub softcap: Option<f32>,
    /// How positions enter; `None` if they do not.
    pub rope: Option<Rope>,
    /// What queries are multiplied with by their positions.
    pub growth: Option<Growth>,
    /// Norms of queries and keys.
    pub qk_norm: QkNorm,
    /// What its output is multiplied with.
    pub gate: Gate,
    /// Whether each head's softmax has a sink.
    pub sinks: bool,
    /// Which of its projections have a bias.
    pub biases: Biases,
}

/// What the output of attention is multiplied with: mostly a sigmoid of a projection of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing.
    None,
    /// A projection of its own.
    Own,
    /// The rows after each head's queries, in the projection of these.
    WithQueries,
    /// A projection of its own, which has a number for each head.
    PerHead,
    /// The softplus of a projection of its own, instead of a sigmoid.
    Softplus,
    /// As that, a number for each head.
    SoftplusPerHead,
}

/// Which projections of attention have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Biases {
    /// Those of queries, keys and values.
    pub qkv: bool,
    /// That of the output.
    pub output: bool,
}

/// Norms of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkNorm {
    /// There are none.
    None,
    /// Each head alone.
    PerHead,
    /// Each head alone, without elements.
    Unit,
    /// Each head alone, with elements of its own.
    EachHead,
    /// Each head alone, after it is rotated.
    AfterRope,
    /// All heads together.
    Full,
}

/// The feed-forward part of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct FfnSpec {
    /// Width of the hidden values (of each expert).
    pub width: usize,
    /// What is applied to the gate.
    pub act: Activation,
    /// Whether an activated gate is multiplied with what is read; without one, that itself is activated.
    pub gated: bool,
    /// Of the gate's products, what is so many deviations above their mean stays, less that much; the rest is 0.
    pub sparsity: Option<f32>,
    /// Whether its matrices (and the router) have a bias.
    pub bias: bool,
    /// What the gate's and the last matrix's products are multiplied with; 1 for most models.
    pub scales: [f32; 2],
    /// Its experts; `None` if it is dense.
    pub experts: Option<ExpertSpec>,
}

/// A mixture of experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertSpec {
    /// How many there are.
    pub count: usize,
    /// How many each token uses.
    pub used: usize,
    /// What is applied to the router's products, if anything.
    pub squash: Option<Squash>,
    /// Whether a bias decides, with the scores, who is chosen.
    pub selection_bias: bool,
    /// Groups of experts, if only some are open to choice.
    pub groups: Option<Groups>,
    /// How router scores become weights.
    pub scoring: GateScoring,
    /// Multiplied with the weights.
    pub scale: f32,
    /// Whether the weight of each is multiplied with a factor of its own.
    pub scaled: bool,
    /// Width of what the experts read and give, if that is not the residual stream's.
    pub latent: Option<usize>,
    /// What every token uses besides.
    pub shared: Option<SharedSpec>,
}

/// An expert that every token uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedSpec {
    /// Width of its hidden values.
    pub width: usize,
    /// Whether a sigmoid of the token's own says how much it counts.
    pub gated: bool,
    /// Whether what it gives is averaged with what the others give, not added.
    pub averaged: bool,
    /// Whether it is the layer's dense part. It and the experts then have norms of their own, and the router one more (Gemma 4).
    pub dense: bool,
}
