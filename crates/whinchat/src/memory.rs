//! How much memory a model takes, and how many positions of KV cache have room beside it.

use graph::{Graph, KvType, WeightInfo};

use crate::BLOCK_LEN;

/// What a model takes of the memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The weights, as in their file.
    pub weights: u64,
    /// The KV cache, when all of it is in use.
    pub kv_pool: u64,
    /// The states of recurrent layers, of all sequences that run at once.
    pub states: u64,
    /// What was left of the machine's or the container's memory before loading, where the system says.
    pub available: Option<u64>,
}

impl Memory {
    /// Whether more may be taken than is left.
    pub fn is_short(&self) -> bool {
        self.available.is_some_and(|available| self.weights + self.kv_pool + self.states > available)
    }
}

/// Bytes that a position takes in the KV cache, over all layers.
pub fn kv_bytes_per_token(graph: &Graph, kv_type: KvType) -> u64 {
    graph.kv().map(|shape| kv_type.position_bytes(shape) as u64).sum()
}

/// A default context is not made shorter than this for want of memory.
const SHORTEST: usize = 512;

/// Memory for all else: values between operators, logits, requests, the program itself.
const REST: u64 = 64 << 20;

/// What weights and states leave of the memory, for a KV cache.
pub(crate) struct Room {
    weights: u64,
    states: u64,
    per_position: u64,
    available: Option<u64>,
}

impl Room {
    pub(crate) fn new(graph: &Graph, kv_type: KvType, max_sequences: usize, available: Option<u64>) -> Room {
        Room {
            weights: graph.weights().iter().filter_map(WeightInfo::bytes).map(|b| b as u64).sum(),
            states: (graph.state_len() * size_of::<f32>() * max_sequences) as u64,
            per_position: kv_bytes_per_token(graph, kv_type),
            available,
        }
    }

    /// The longest default context: it takes three quarters of the room at most.
    pub(crate) fn longest(&self) -> usize {
        self.positions(3, 4).max(SHORTEST)
    }

    /// The most positions of a default KV cache: half of the room, as other programs want memory too.
    pub(crate) fn pool(&self) -> usize {
        self.positions(1, 2)
    }

    /// What is taken with so many positions.
    pub(crate) fn taken(&self, positions: usize) -> Memory {
        let kv_pool = (positions as u64).saturating_mul(self.per_position);
        Memory { weights: self.weights, kv_pool, states: self.states, available: self.available }
    }

    /// Whole blocks of positions in a part of the room.
    fn positions(&self, numerator: u64, denominator: u64) -> usize {
        let Some(available) = self.available else { return usize::MAX };
        // Packed, weights take a little more than in their file.
        let others = self.weights + self.weights / 16 + self.states + REST;
        let positions = available.saturating_sub(others) / denominator * numerator / self.per_position.max(1);
        positions as usize / BLOCK_LEN * BLOCK_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kv_cache_gets_a_part_of_what_is_left() {
        const MIB: u64 = 1 << 20;
        let check = |available: Option<u64>, longest: usize, pool: usize| {
            let available = available.map(|mib| mib * MIB);
            let room = Room { weights: 160 * MIB, states: 22 * MIB, per_position: 64 << 10, available };
            assert_eq!((room.longest(), room.pool()), (longest, pool), "{available:?}");
            assert!(!room.taken(pool.min(1 << 30)).is_short() || available.is_some_and(|bytes| bytes < 256 * MIB));
        };
        check(None, usize::MAX, usize::MAX);
        check(Some(512), 3072, 2048);
        check(Some(2304), 24576, 16384);
        check(Some(256), 512, 0);
        check(Some(0), 512, 0);
    }
}
