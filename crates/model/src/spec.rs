//! The numbers of a model, read once and never changed.

/// Immutable numbers of a model. (Grows the switches that the table of architectures sets.)
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
    /// Size of the vocabulary.
    pub vocab: usize,
}
