//! The memory manager that stands alone: which blocks of a KV cache are free, which hold what, and what is forgotten first. Both ends, and
//! what goes between them. The memory itself is the executor's, and never leaves it.
//!
//! A session is one engine's cache. What needs no answer (a block that nobody holds any more, a step that began) waits for the next
//! question, so a step in which no block is filled asks nothing at all.

mod client;
mod examples;
mod service;

use engine::{Eviction, Managing};
use serde::{Deserialize, Serialize};

pub use client::RemoteBlocks;
pub use service::MemoryService;

/// Something that happens to blocks, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Op {
    /// So many blocks are wanted; the answer is which.
    Allocate { count: usize },
    /// Nobody holds these any more.
    LetGo { blocks: Vec<u32> },
    /// Which blocks hold these tokens after a block; the answer is held from now on.
    Find { parent: Option<u32>, salt: Option<String>, tokens: Vec<u32> },
    /// These blocks hold these tokens; the answer is under which blocks they can be found.
    Share { parent: Option<u32>, salt: Option<String>, blocks: Vec<u32>, tokens: Vec<u32> },
    /// A sequence goes on from these.
    Hit { blocks: Vec<u32> },
    /// Steps have begun.
    Tick { steps: usize },
    /// The memory of so many free blocks goes back; the answer is of which.
    Cool { count: usize },
    /// What nobody holds is forgotten.
    Forget {},
}

impl Op {
    /// Whether it has an answer.
    fn answers(&self) -> bool {
        matches!(self, Op::Allocate { .. } | Op::Find { .. } | Op::Share { .. } | Op::Cool { .. })
    }
}

/// Begins a session anew: a cache of which nothing is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    session: String,
    blocks: usize,
    block_len: usize,
    /// The rule by which blocks are forgotten; that of the service if nothing is said.
    #[serde(default)]
    eviction: Option<String>,
    /// Blocks that are kept though nobody holds them; all if nothing is said.
    #[serde(default)]
    most_kept: Option<usize>,
}

impl Open {
    fn of(session: String, managing: &Managing, own: Option<&str>) -> Open {
        let Managing { blocks, block_len, most_kept, .. } = *managing;
        Open { session, blocks, block_len, eviction: own.map(str::to_owned), most_kept: Some(most_kept) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Opened {
    session: String,
    version: u64,
    eviction: String,
}

/// What has happened since a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Apply {
    session: String,
    version: u64,
    ops: Vec<Op>,
}

/// The blocks that each operation with an answer has, and what there is then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Applied {
    version: u64,
    answers: Vec<Vec<u32>>,
    /// Blocks that nobody holds and that can be found.
    kept: usize,
    /// Free blocks with memory.
    warm: usize,
}

/// The rule of this name.
fn rule(name: &str) -> Result<Eviction, String> {
    let all = || Eviction::ALL.map(Eviction::name).join(", ");
    Eviction::named(name).ok_or_else(|| format!("eviction: {name} is none of {}.", all()))
}
