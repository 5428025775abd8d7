//! The interface of a backend: five verbs; operators are data.

use std::sync::Arc;

use crate::{Batch, Device, Graph, KvType, WeightInfo};

/// The most that a compiled program will be asked for; its memory is allocated once, from these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows in a batch.
    pub max_tokens: usize,
    /// Output rows in a batch.
    pub max_outputs: usize,
    /// Blocks of the KV cache in each layer.
    pub kv_blocks: usize,
    /// Positions in a block.
    pub block_len: usize,
    /// How keys and values are stored.
    pub kv_type: KvType,
    /// Slots for recurrent states in each layer: sequences that are remembered at once.
    pub state_slots: usize,
}

/// A part of a program's memories that sequences share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryPart {
    /// The keys and values of a block.
    Block(u32),
    /// The recurrent state in a slot.
    State(u32),
}

/// Runs graphs on a device.
pub trait Backend {
    /// A weight in the form this device reads.
    type Weight;
    /// A graph with its weights, scratch memory, KV cache and recurrent states.
    type Program;

    /// What the device can do and how it lays out values.
    fn device(&self) -> Device;

    /// Brings a weight to the device; `bytes` are its elements as `info` says. Every graph that declares the same shape, type and
    /// role can use it.
    ///
    /// # Errors
    /// If the length of `bytes` is wrong or the device's memory is short.
    fn upload(&self, info: &WeightInfo, bytes: &[u8]) -> Result<Self::Weight, BackendError>;

    /// Plans the buffers and allocates scratch and memories; `weights` are in the order of [`Graph::weights`].
    ///
    /// # Errors
    /// If the memory is short, an operator is not supported, or a weight is not what the graph declares.
    fn compile(
        &self,
        graph: &Graph,
        weights: Vec<Arc<Self::Weight>>,
        limits: Limits,
    ) -> Result<Self::Program, BackendError>;

    /// Runs one batch; its outputs are then ready for [`Backend::download`].
    ///
    /// # Errors
    /// If the batch breaks the program's limits or names a token, block or slot that does not exist. Nothing is computed then.
    fn run(&self, program: &mut Self::Program, batch: &Batch) -> Result<(), BackendError>;

    /// The graph's output for the last batch: `[outputs, width]`, or of some rows the greatest numbers ([`crate::Outputs`]).
    fn download<'p>(&self, program: &'p Self::Program) -> &'p [f32];

    /// Forgets what these blocks of the KV cache hold (in ascending order; each is one): their memory may go back to the system
    /// until they are written again. A backend that cannot do that does nothing.
    fn forget(&self, _program: &mut Self::Program, _blocks: &[u32]) {}

    /// Forgets the recurrent states in these slots, likewise.
    fn forget_states(&self, _program: &mut Self::Program, _slots: &[u32]) {}

    /// Calls `work` for each of so many tasks, in any order and on any threads, and waits for all; says whether it did. A device
    /// that has no threads of the host's, or is at work for somebody else, calls it for none.
    fn spread(&self, _tasks: usize, _work: &(dyn Fn(usize) + Sync)) -> bool {
        false
    }

    /// Whether somebody else computes on this device too, now or a moment ago: short steps then let others go on.
    fn is_shared(&self) -> bool {
        false
    }

    /// Adds what a part of the memories holds, over all layers, to `bytes`, in an order of the device's own; says whether it
    /// can. A program of the same graph and limits takes them back.
    fn save(&self, _program: &Self::Program, _part: MemoryPart, _bytes: &mut Vec<u8>) -> bool {
        false
    }

    /// Lets a part of the memories hold what was saved of one of its kind; says whether it can. Bytes of another length are
    /// none of its own, and change nothing.
    fn load(&self, _program: &mut Self::Program, _part: MemoryPart, _bytes: &[u8]) -> bool {
        false
    }
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
    /// A program was given a weight that its graph does not declare so, or none.
    #[error("weight {name}: {given} was given where {wanted} is needed")]
    WeightMismatch {
        /// The weight.
        name: String,
        /// Shape, type and role of the one given.
        given: String,
        /// Those that the graph declares.
        wanted: String,
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
    /// The device computes nothing any more: all that it had is gone.
    #[error("{0}")]
    Lost(String),
}
