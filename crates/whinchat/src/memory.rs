//! How much memory a model takes, and how many positions of KV cache have room beside it.

use graph::{Graph, KvType, WeightInfo};

use crate::BLOCK_LEN;

/// What a model takes of the memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The weights, as in their file.
    pub weights: u64,
    /// Of these, what another model of this process has in memory already: they share it.
    pub shared_weights: u64,
    /// The KV cache, when all of it is in use.
    pub kv_pool: u64,
    /// The weights of the model that drafts for it, as far as they are not in memory already.
    pub draft_weights: u64,
    /// The KV cache of that model, when all of it is in use.
    pub draft_kv_pool: u64,
    /// The states of recurrent layers: of all sequences that run at once, and those that are kept for later ones.
    pub states: u64,
    /// What was left of the machine's or the container's memory before loading, where the system says.
    pub available: Option<u64>,
}

impl Memory {
    /// Whether more may be taken than is left.
    pub fn is_short(&self) -> bool {
        self.available.is_some_and(|available| self.total().saturating_sub(self.shared_weights) > available)
    }

    /// All of it, the model that drafts included.
    pub fn total(&self) -> u64 {
        let draft = self.draft_weights.saturating_add(self.draft_kv_pool);
        [self.kv_pool, self.states, draft].into_iter().fold(self.weights, u64::saturating_add)
    }
}

/// Bytes that a position takes in the KV cache, over all layers.
pub fn kv_bytes_per_token(graph: &Graph, kv_type: KvType) -> u64 {
    graph.kv().map(|shape| kv_type.position_bytes(shape) as u64).sum()
}

/// A default context is not made shorter than this for want of memory.
const SHORTEST: usize = 512;

/// Of the memory that is left, one part in so many at most is for states that are kept, unless more is asked for; and so many
/// states at least.
const KEPT: (u64, usize) = (16, 4);

/// States of recurrent layers that are kept for later sequences: as many as fit `bytes`, else one for each sequence that can
/// run at once.
pub(crate) fn kept_states(graph: &Graph, bytes: Option<u64>, max_sequences: usize, available: Option<u64>) -> usize {
    let each = (graph.state_len() * size_of::<f32>()) as u64;
    if each == 0 {
        return 0;
    }
    let fit = |bytes: u64| usize::try_from(bytes / each).unwrap_or(usize::MAX).min(MOST_STATES);
    let (part, least) = KEPT;
    bytes.map_or_else(
        || max_sequences.max(8).min(available.map_or(usize::MAX, |available| fit(available / part).max(least))),
        fit,
    )
}

/// No more states are kept than this.
const MOST_STATES: usize = 1 << 16;

/// Memory for all else: values between operators, logits, requests, the program itself.
const REST: u64 = 64 << 20;

/// What weights and states leave of the memory, for a KV cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    weights: u64,
    shared_weights: u64,
    states: u64,
    per_position: u64,
    available: Option<u64>,
    draft: Beside,
}

/// What a model that drafts takes beside another one, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside {
    /// Weights that are not in memory already.
    pub(crate) weights: u64,
    /// Each position of its KV cache, which has as many as the other model's.
    pub(crate) per_position: u64,
}

impl Room {
    /// What the machine has left for a model of which `shared` bytes of weights are in memory already.
    pub(crate) fn new(graph: &Graph, kv_type: KvType, states: usize, (available, shared): (Option<u64>, u64)) -> Room {
        Room {
            shared_weights: shared,
            weights: graph.weights().iter().filter_map(WeightInfo::bytes).map(|b| b as u64).sum(),
            states: ((graph.state_len() * size_of::<f32>()) as u64).saturating_mul(states as u64),
            per_position: kv_bytes_per_token(graph, kv_type),
            available,
            draft: Beside::default(),
        }
    }

    /// With another model beside it.
    pub(crate) fn with_draft(self, draft: Beside) -> Room {
        Room { draft, ..self }
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
        let pool = |per_position: u64| (positions as u64).saturating_mul(per_position);
        let (kv_pool, draft_kv_pool) = (pool(self.per_position), pool(self.draft.per_position));
        let Room { weights, shared_weights, states, available, draft: Beside { weights: draft_weights, .. }, .. } =
            *self;
        Memory { weights, shared_weights, kv_pool, draft_weights, draft_kv_pool, states, available }
    }

    /// Whole blocks of positions in a part of the room.
    fn positions(&self, numerator: u64, denominator: u64) -> usize {
        let Some(available) = self.available else { return usize::MAX };
        // Packed, weights take a little more than in their file.
        let weights = self.weights.saturating_sub(self.shared_weights).saturating_add(self.draft.weights);
        let others = weights + weights / 16 + self.states + REST;
        let positions = available.saturating_sub(others) / denominator * numerator;
        let positions = positions / self.per_position.saturating_add(self.draft.per_position).max(1);
        positions as usize / BLOCK_LEN * BLOCK_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_states_are_kept_as_fit() {
        use graph::testing::{ToyConfig, ToyRecurrence, toy_model};
        let toy = ToyConfig { recurrent: Some(ToyRecurrence::Conv(4)), ..ToyConfig::default() };
        let (graph, _) = toy_model(&toy);
        let each = 4 * graph.state_len() as u64;
        let check = |bytes: Option<u64>, available: Option<u64>, expect: usize| {
            assert_eq!(kept_states(&graph, bytes, 12, available), expect, "{bytes:?} {available:?}");
        };
        check(None, None, 12);
        check(None, Some(16 * 7 * each), 7);
        check(None, Some(0), 4);
        check(Some(100 * each + 1), Some(0), 100);
        check(Some(0), None, 0);
        check(Some(u64::MAX), None, MOST_STATES);
        assert_eq!(kept_states(&toy_model(&ToyConfig::default()).0, None, 12, None), 0);
    }

    #[test]
    fn the_kv_cache_gets_a_part_of_what_is_left() {
        const MIB: u64 = 1 << 20;
        let check = |available: Option<u64>, longest: usize, pool: usize| {
            let available = available.map(|mib| mib * MIB);
            let room = Room {
                weights: 160 * MIB,
                shared_weights: 0,
                states: 22 * MIB,
                per_position: 64 << 10,
                available,
                draft: Beside::default(),
            };
            assert_eq!((room.longest(), room.pool()), (longest, pool), "{available:?}");
            assert!(!room.taken(pool.min(1 << 30)).is_short() || available.is_some_and(|bytes| bytes < 256 * MIB));
            // What is in memory already is not counted again.
            let available = available.map(|bytes| bytes.saturating_sub(170 * MIB));
            let shared = Room { shared_weights: 160 * MIB, available, ..room };
            assert_eq!((shared.longest(), shared.pool()), (longest, pool), "{available:?}");
            // It makes no difference whose weights and whose cache they are.
            let draft = Beside { weights: 100 * MIB, per_position: 16 << 10 };
            let both = Room { weights: 60 * MIB, per_position: 48 << 10, ..room }.with_draft(draft);
            assert_eq!((both.longest(), both.pool()), (longest, pool), "{available:?}");
            assert_eq!(both.taken(1000).total(), room.taken(1000).total());
        };
        check(None, usize::MAX, usize::MAX);
        check(Some(512), 3072, 2048);
        check(Some(2304), 24576, 16384);
        check(Some(256), 512, 0);
        check(Some(0), 512, 0);
    }
}
