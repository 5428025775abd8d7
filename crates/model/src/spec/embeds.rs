//! Embeddings that layers have of their own, and what Gemma 3n has besides.

/// Embeddings of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerEmbedSpec {
    /// Width of what each layer adds of its own.
    pub width: usize,
    /// Several residual streams, if there are.
    pub altup: Option<AltUpSpec>,
}

/// Alternating updates (Baykal et al. 2023): several residual streams, of which a layer computes one and predicts and corrects all;
/// beside attention, a low-rank projection of what it reads (a learned augmented residual layer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AltUpSpec {
    /// How many streams there are.
    pub streams: usize,
    /// Which of them layers compute.
    pub active: usize,
    /// Rank of the projection beside attention.
    pub rank: usize,
    /// Whether what a layer's own embedding is gated by is scaled.
    pub scaled: bool,
}
