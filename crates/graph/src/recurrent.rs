//! The parameters of recurrent operators: what a sequence is remembered by is a matrix for each head, brought forward row by row.

use crate::WeightId;

/// The gated delta rule (Yang, Kautz and Hatamizadeh 2024). The state S of a head is `[key_dim, value_dim]`. A row with the
/// query q, the key k, the value v, the logarithm of a decay g and a rate b gives
///
/// S ← e^g · S;  S ← S + k ⊗ (b · (v − Sᵀ · k));  Sᵀ · q.
///
/// The widths of a head are those of the values divided by the heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatedDelta {
    /// Index into the graph's memories: a recurrent layer of its own, with `[heads, key_dim, value_dim]`.
    pub layer: usize,
    /// Heads of values.
    pub heads: usize,
    /// Heads of queries and keys, a divisor of `heads`.
    pub key_heads: usize,
    /// Which of these a head of values reads.
    pub order: HeadOrder,
}

impl GatedDelta {
    /// The key head that value head `head` reads.
    pub fn key_head(&self, head: usize) -> usize {
        match self.order {
            HeadOrder::Grouped => head / (self.heads / self.key_heads),
            HeadOrder::Tiled => head % self.key_heads,
        }
    }
}

/// How heads of values are ordered that share heads of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadOrder {
    /// Those of one key head are neighbours: Hugging Face.
    Grouped,
    /// One of each key head, then the next of each: GGUF files of Qwen 3.5.
    Tiled,
}

/// The scan of Mamba-2 (Dao and Gu 2024). The state S of a head is `[state_dim, head_dim]`. A row with the head's x, its group's
/// b and c and a time step t gives
///
/// S ← e^(a · t) · S + b ⊗ (t · x);  Sᵀ · c + d · x.
///
/// The widths are those of the values divided by the heads and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Index into the graph's memories: a recurrent layer of its own, with `[heads, state_dim, head_dim]`.
    pub layer: usize,
    /// Heads.
    pub heads: usize,
    /// Groups of neighbouring heads that share b and c, a divisor of `heads`.
    pub groups: usize,
    /// `[heads]`: a, which is below 0.
    pub decay: WeightId,
    /// `[heads]`: d, how much of x goes past the state.
    pub skip: WeightId,
}
