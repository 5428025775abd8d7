//! The interface of a device: four verbs; operators are data.

use crate::{Batch, Graph, WeightId};

/// The most that a compiled program will be asked for; its memory is allocated once, from these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows in a batch.
    pub max_tokens: usize,
    /// Rows with logits in a batch.
    pub max_outputs: usize,
    /// Blocks of the KV cache in each layer.
    pub kv_blocks: usize,
    /// Positions in a block.
    pub block_len: usize,
}

/// A device that runs graphs.
pub trait Backend {
    /// A weight in the form this device reads.
    type Weight;
    /// A graph with its weights, scratch memory and KV cache.
    type Program;

    /// Brings one weight of `graph` to the device; `bytes` are its elements as its [`crate::WeightInfo`] says.
    ///
    /// # Errors
    /// If the length of `bytes` is wrong or the device's memory is short.
    fn upload(&self, graph: &Graph, id: WeightId, bytes: &[u8]) -> Result<Self::Weight, BackendError>;

    /// Plans the buffers and allocates scratch and KV cache; `weights` are in the order of [`Graph::weights`].
    ///
    /// # Errors
    /// If the memory is short or an operator is not supported.
    fn compile(&self, graph: &Graph, weights: Vec<Self::Weight>, limits: Limits)
    -> Result<Self::Program, BackendError>;

    /// Runs one batch; logits are then ready for [`Backend::download`].
    ///
    /// # Errors
    /// If the batch breaks the program's limits or names a token or block that does not exist. Nothing is computed then.
    fn run(&self, program: &mut Self::Program, batch: &Batch) -> Result<(), BackendError>;

    /// The logits of the last batch: `[outputs, vocabulary]`.
    fn download<'p>(&self, program: &'p Self::Program) -> &'p [f32];
}

/// Why a backend could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A weight's bytes do not have the length its shape and type ask for.
    #[error("weight {name}: {given} bytes where {wanted} are needed")]
    WeightLength {
        /// The weight.
        name: String,
        /// Bytes given.
        given: usize,
        /// Bytes its shape and type need.
        wanted: usize,
    },
    /// Memory for the given purpose could not be had.
    #[error("no memory for {what} ({bytes} bytes); lower --context, --max-batch-tokens or the number of sequences")]
    Memory {
        /// What it was for.
        what: &'static str,
        /// How much.
        bytes: usize,
    },
    /// The batch breaks the program's limits.
    #[error("batch refused: {0}")]
    Batch(String),
}
