//! What layers remember: a buffer of keys and one of values, or one of states.

use graph::{BackendError, Graph, KvShape, KvType, Limits, Memory};

use crate::buffers::{Block, Kind, Pool};

/// The memory of a layer on the device.
#[derive(Debug)]
pub(crate) enum Layer {
    Kv { keys: Block, values: Block },
    Recurrent(Block),
}

/// Words of a head's keys (and as many of its values) of a position.
pub(crate) fn head_words(shape: KvShape, kv_type: KvType) -> usize {
    match kv_type {
        KvType::F32 => shape.head_dim.next_multiple_of(2),
        KvType::F16 => shape.head_dim.div_ceil(2),
        // 8 words (or 4) and their scale.
        KvType::Q8_0 => 9 * shape.head_dim.div_ceil(32),
        KvType::Q4_0 => 5 * shape.head_dim.div_ceil(32),
    }
}

/// Words of a position's keys.
pub(crate) fn position_words(shape: KvShape, kv_type: KvType) -> usize {
    shape.heads * head_words(shape, kv_type)
}

/// Words of what is copied as a whole: the keys (or values) of a block, or a state.
pub(crate) fn words(memory: &Memory, limits: &Limits) -> usize {
    match memory {
        Memory::Kv(shape) => position_words(*shape, limits.kv_type) * limits.block_len,
        Memory::Recurrent { len } => *len,
    }
}

/// The bytes of a buffer of a layer.
fn bytes(memory: &Memory, limits: &Limits) -> u64 {
    let count = if let Memory::Kv(_) = memory { limits.kv_blocks } else { limits.state_slots };
    (words(memory, limits) as u64).saturating_mul(4).saturating_mul(count as u64)
}

/// The bytes of all memories of a graph.
pub(crate) fn all_bytes(graph: &Graph, limits: &Limits) -> u64 {
    let layer = |memory: &Memory| bytes(memory, limits).saturating_mul(if let Memory::Kv(_) = memory { 2 } else { 1 });
    graph.memory().iter().map(layer).fold(0, u64::saturating_add)
}

/// Allocates them.
pub(crate) fn new(pool: &Pool, graph: &Graph, limits: &Limits) -> Result<Vec<Layer>, BackendError> {
    let layer = |memory: &Memory| {
        let bytes = bytes(memory, limits);
        Ok(match memory {
            Memory::Kv(_) => Layer::Kv {
                keys: pool.take(Kind::Work, bytes, "the KV cache")?,
                values: pool.take(Kind::Work, bytes, "the KV cache")?,
            },
            Memory::Recurrent { .. } => Layer::Recurrent(pool.take(Kind::Work, bytes, "recurrent states")?),
        })
    };
    graph.memory().iter().map(layer).collect()
}
