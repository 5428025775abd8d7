//! Recurrent layers: what they keep of a sequence, in numbers.

use graph::HeadOrder;

/// What a layer brings forward along a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum RecurrentSpec {
    /// The gated delta rule.
    Delta(DeltaSpec),
    /// A short convolution between two gates.
    Conv(ConvSpec),
    /// The scan of Mamba-2.
    Scan(ScanSpec),
}

/// A short convolution between two gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Its taps.
    pub taps: usize,
    /// Whether it and its projections have a bias.
    pub bias: bool,
}

/// A layer of Mamba-2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScanSpec {
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Groups of heads.
    pub groups: usize,
    /// Rows of a head's state.
    pub state_dim: usize,
    /// Taps of the convolution before it.
    pub taps: usize,
    /// Whether the convolution has a bias.
    pub conv_bias: bool,
    /// Whether the projection of its input has a bias.
    pub bias: bool,
    /// Whether the projection of its output has one.
    pub output_bias: bool,
    /// The norm of its output, of each group alone.
    pub norm: ScanNorm,
    /// Constant factors.
    pub scales: ScanScales,
}

/// Where the output of a scan is normalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanNorm {
    /// Nowhere.
    None,
    /// Before it is gated.
    BeforeGate,
    /// After it is gated.
    AfterGate,
}

/// Constant factors of what a scan reads and gives; 1 for most models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScanScales {
    /// On what is projected: gate, x, b, c and time step.
    pub projected: [f32; 5],
    /// On what the layer gives.
    pub output: f32,
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
    /// Whether each row of a head's state has a decay of its own (Kimi Delta Attention); a projection in two steps makes them, and another
    /// one the gate.
    pub by_row: bool,
}
