//! What models have that read a text whole, and what judges texts.

use graph::Activation;

/// What a model has that reads a text whole: each of its tokens sees all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderSpec {
    /// Embeddings of positions, if they are added to those of tokens.
    pub positions: Option<PositionSpec>,
    /// How many types of tokens there are; their embeddings are added too.
    pub types: Option<usize>,
    /// Whether the sum of the embeddings is normalized.
    pub embed_norm: bool,
    /// Whether the first layer normalizes what it reads, where others do.
    pub first_norm: bool,
    /// Widths of what the last rows are multiplied with, one matrix after the other (EmbeddingGemma).
    pub dense: Option<[usize; 2]>,
}

/// A table of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionSpec {
    /// How many there are.
    pub count: usize,
    /// The row of the first one.
    pub first: usize,
}

/// What makes scores of a text's row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadSpec {
    /// How many scores.
    pub labels: usize,
    /// What is applied to a projection before the last one, if there is one.
    pub dense: Option<HeadActivation>,
    /// Whether what that gives is normalized.
    pub norm: bool,
}

/// What heads apply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeadActivation {
    /// The hyperbolic tangent.
    Tanh,
    /// What feed-forward parts apply as well.
    As(Activation),
}
