//! Recurrent layers: what they keep of a sequence, in numbers.

use graph::HeadOrder;

/// What a layer brings forward along a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum RecurrentSpec {
    /// The gated delta rule.
    Delta(DeltaSpec),
}

/// A layer of the gated delta rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaSpec {
    /// Heads of values.
    pub heads: usize,
    /// Heads of queries and keys.
    pub key_heads: usize,
    /// Width of a head of queries or keys.
    pub key_dim: usize,
    /// Width of a head of values.
    pub value_dim: usize,
    /// How heads of values are ordered that share heads of keys.
    pub order: HeadOrder,
    /// Taps of the convolution before it.
    pub taps: usize,
}
