//! The memory of an engine as it can be looked at and changed from outside: what is where, and what is moved, held or forgotten on
//! request.

use std::collections::VecDeque;

use graph::MemoryPart;

use crate::drafter::Drafter;
use crate::tier::Second;
use crate::{Engine, Eviction, Executor, Level, LevelOrder, RequestId, Scheduler, Sequence, TierKey};

/// What an engine's memory is asked to do. Each order is answered with a [`MemoryReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryOrder {
    /// Nothing.
    Report,
    /// Evict so many blocks that nobody holds, by the rule.
    EvictBlocks(usize),
    /// Evict what is kept of this prefix and nobody holds, from its end on.
    EvictPrefix(TierKey),
    /// Hold what the cache has of this prefix, so that it is not evicted.
    Pin(TierKey),
    /// Let go of a prefix that was held.
    Unpin(TierKey),
    /// Evict all blocks that nobody holds: into the level below, if there is one.
    Flush,
    /// Evict by this rule from now on.
    Rule(Eviction),
    /// Keep so many positions at most that nobody uses.
    Keep(usize),
    /// Evict these prefixes' last blocks next, in this order, before the rule is asked again. It takes the place of the advice before.
    Advise(Vec<TierKey>),
    /// For the level of this name below the cache.
    Level(String, LevelOrder),
}

/// Why an order was not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// Nothing of the prefix is in the cache.
    #[error("the cache has no such prefix")]
    NoPrefix,
    /// As much is held as may be.
    #[error("{wanted} blocks would be pinned, but half of the {blocks} blocks may be at most")]
    TooManyPins {
        /// Blocks that would be held.
        wanted: usize,
        /// Blocks of the cache.
        blocks: usize,
    },
    /// There is no such level, or it cannot do that.
    #[error("there is no level {name:?} that can do that; the levels below the cache are {levels}")]
    NoLevel {
        /// The name that was given.
        name: String,
        /// The names that there are.
        levels: String,
    },
}

/// An engine's memory at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryReport {
    /// Blocks or entries that the order concerned.
    pub done: usize,
    /// The KV cache itself.
    pub cache: CacheMemory,
    /// The levels below it, the fastest first.
    pub levels: Vec<Level>,
    /// Sequences that hold blocks, in the order of service.
    pub sequences: Vec<SequenceMemory>,
    /// What a draft model keeps of sequences, if there is one.
    pub draft: Option<DraftMemory>,
    /// Prefixes that can be found: one for each block that no other follows, and those that are pinned.
    pub prefixes: Vec<PrefixMemory>,
}

/// The blocks of a KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheMemory {
    /// All.
    pub blocks: usize,
    /// Positions in a block.
    pub block_len: usize,
    /// Bytes of a block over all layers, if the executor can tell.
    pub block_bytes: Option<usize>,
    /// Blocks that somebody holds, pins among them.
    pub used: usize,
    /// Blocks that nobody holds and that are kept for later sequences.
    pub kept: usize,
    /// Of these, how many there may be.
    pub most_kept: usize,
    /// Blocks that are pinned.
    pub pinned: usize,
    /// By which rule blocks are evicted.
    pub rule: &'static str,
    /// Blocks that were evicted by advice so far, and by the rule.
    pub evicted: (u64, u64),
}

/// The KV cache of a draft model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftMemory {
    /// All blocks.
    pub blocks: usize,
    /// Positions in a block.
    pub block_len: usize,
    /// Bytes of a block over all layers, if the executor can tell.
    pub block_bytes: Option<usize>,
    /// Blocks that hold what it has read of sequences.
    pub used: usize,
}

/// What a sequence holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceMemory {
    /// Its request.
    pub request: RequestId,
    /// Blocks that it alone holds.
    pub own: usize,
    /// Blocks that it shares with others.
    pub shared: usize,
    /// Positions that are computed.
    pub positions: usize,
    /// Slots of recurrent states.
    pub states: usize,
}

/// A prefix in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixMemory {
    /// Its name.
    pub key: TierKey,
    /// Whether it is shared with few: it has a salt.
    pub salted: bool,
    /// Its first tokens.
    pub begins: Vec<u32>,
    /// Blocks from the first token on.
    pub blocks: usize,
    /// How often its last block was found.
    pub hits: u64,
    /// Steps since its last block was let go; `None` while somebody holds it.
    pub idle: Option<u64>,
    /// Whether it is pinned.
    pub pinned: bool,
}

/// The order in which somebody else wants blocks evicted, while they hold what they held.
#[derive(Debug, Default)]
pub(crate) struct Advice {
    /// Blocks with a hash of their contents.
    pub(crate) next: VecDeque<(u32, u64)>,
    /// Blocks evicted by advice, and by the rule.
    pub(crate) evicted: (u64, u64),
}

impl<E: Executor> Engine<E> {
    /// Follows an order, and reports what the memory looks like then.
    ///
    /// # Errors
    /// If the order cannot be followed; nothing is changed then.
    pub fn memory(&mut self, order: &MemoryOrder) -> Result<MemoryReport, MemoryError> {
        let done = self.follow(order)?;
        // What was evicted is saved before its memory is used otherwise.
        self.spill();
        let bytes = self.block_bytes();
        let levels = self.levels();
        let report = self.scheduler.memory_report(done, bytes, levels);
        Ok(MemoryReport { draft: self.delivery.drafter.as_mut().map(Drafter::memory), ..report })
    }

    fn follow(&mut self, order: &MemoryOrder) -> Result<usize, MemoryError> {
        let cache = self.scheduler.cache();
        match order {
            MemoryOrder::Report => Ok(0),
            MemoryOrder::EvictBlocks(blocks) => Ok(cache.blocks().evict_kept(*blocks)),
            MemoryOrder::Flush => Ok(cache.blocks().evict_kept(usize::MAX)),
            MemoryOrder::EvictPrefix(key) => cache.blocks().evict_prefix(key).ok_or(MemoryError::NoPrefix),
            MemoryOrder::Pin(key) => self.scheduler.pin(key),
            MemoryOrder::Unpin(key) => self.scheduler.unpin(key).ok_or(MemoryError::NoPrefix),
            MemoryOrder::Rule(rule) => Ok(cache.blocks().evict_by(*rule)),
            MemoryOrder::Keep(positions) => Ok(cache.blocks().keep_at_most(positions / cache.block_len())),
            MemoryOrder::Advise(keys) => Ok(cache.blocks().advise(keys)),
            MemoryOrder::Level(name, order) => self.level(name, order),
        }
    }

    fn level(&mut self, name: &str, order: &LevelOrder) -> Result<usize, MemoryError> {
        let levels = self.levels();
        let done = self.second.as_mut().and_then(|second| second.order(name, order));
        let names = || levels.iter().map(|level| level.name.as_str()).collect::<Vec<_>>().join(", ");
        let none = || if levels.is_empty() { "none".to_owned() } else { names() };
        done.ok_or_else(|| MemoryError::NoLevel { name: name.to_owned(), levels: none() })
    }

    fn levels(&mut self) -> Vec<Level> {
        self.second.as_mut().map(Second::levels).unwrap_or_default()
    }

    /// Bytes of a block: what is saved of one.
    fn block_bytes(&mut self) -> Option<usize> {
        let mut bytes = Vec::new();
        self.executor.save(MemoryPart::Block(0), &mut bytes).then_some(bytes.len())
    }
}

impl Scheduler {
    fn memory_report(&self, done: usize, block_bytes: Option<usize>, levels: Vec<Level>) -> MemoryReport {
        let blocks = self.cache().blocks();
        let pins = self.pins();
        let sequence = |sequence: &Sequence| {
            let shared = sequence.blocks().iter().filter(|block| block.owners() > 1).count();
            SequenceMemory {
                request: sequence.arrival().request,
                own: sequence.blocks().len() - shared,
                shared,
                positions: sequence.cached(),
                states: self.states().slots_for(sequence.continuations()),
            }
        };
        MemoryReport {
            done,
            cache: CacheMemory {
                blocks: blocks.total(),
                block_len: self.cache().block_len(),
                block_bytes,
                used: blocks.used(),
                kept: blocks.kept(),
                most_kept: blocks.most_kept(),
                pinned: self.pinned_blocks(),
                rule: blocks.rule(),
                evicted: blocks.evicted(),
            },
            levels,
            draft: None,
            sequences: self.running().iter().map(sequence).collect(),
            prefixes: blocks.prefixes(&|key| pins.contains_key(key)),
        }
    }
}

/// A name of a prefix as people and programs write it: 64 hexadecimal digits.
impl std::fmt::Display for TierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for TierKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<TierKey, NoKey> {
        let digits: Vec<u8> =
            text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>().ok_or(NoKey)?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        match <[u8; 32]>::try_from(bytes) {
            Ok(bytes) if digits.len() == 64 => Ok(TierKey(bytes)),
            _ => Err(NoKey),
        }
    }
}

/// A text is no name of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix's name is 64 hexadecimal digits")]
pub struct NoKey;

/// Whoever speaks to an engine hears what became of an order.
pub(crate) type MemoryAnswer = Result<MemoryReport, MemoryError>;
