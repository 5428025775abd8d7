//! A second tier below the KV cache: what is evicted is kept there, and comes back where that is faster than computing it.

use std::time::Duration;

use graph::MemoryPart;

use crate::panics::Guarded;
use crate::scheduler::Wanted;
use crate::{BlockId, Engine, Executor, Instruments, SequenceId, TierKey, Work};

/// Keeps what the KV cache evicts. It may forget anything at any time, but never gives other bytes than it was given. One that
/// panics is dropped.
pub trait Tier: Send {
    /// Keeps bytes under a name, perhaps in the place of others.
    fn put(&mut self, key: &TierKey, bytes: &[u8]);

    /// Whether there is something under a name, as far as that is known without reading it.
    fn has(&self, key: &TierKey) -> bool;

    /// Replaces `bytes` by what is under a name; says whether there is anything, undamaged.
    fn get(&mut self, key: &TierKey, bytes: &mut Vec<u8>) -> bool;

    /// What it consists of, the fastest first; a tier that says nothing is not told of.
    fn levels(&self) -> Vec<Level> {
        Vec::new()
    }

    /// Does something to the level of this name; gives how many entries that concerned, `None` if it has no such level or cannot.
    fn order(&mut self, _level: &str, _order: &LevelOrder) -> Option<usize> {
        None
    }

    /// Makes counters and histograms of its own; called once, when the engine starts.
    fn register(&mut self, _instruments: &Instruments) {}
}

/// A level of memory below the KV cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Its name, such as `host` or `file`.
    pub name: String,
    /// Bytes that it holds.
    pub used: u64,
    /// Bytes that it may hold.
    pub limit: u64,
    /// Blocks and states that it holds.
    pub entries: usize,
    /// By which rule it forgets.
    pub rule: &'static str,
    /// When what is found moves up from it, if it can.
    pub promotion: Option<Promotion>,
    /// What happened so far.
    pub counts: LevelCounts,
}

/// What happened in a level so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelCounts {
    /// Entries that came.
    pub put: u64,
    /// Entries that were found.
    pub hits: u64,
    /// Entries that had to go for others.
    pub evicted: u64,
    /// Entries that moved up to a faster level.
    pub promoted: u64,
}

/// What a level is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelOrder {
    /// Let so many entries go, by its rule: into the level below, if there is one.
    Evict(usize),
    /// Let all entries go, likewise.
    Flush,
    /// Hold so many bytes at most.
    Resize(u64),
    /// Forget by this rule.
    Rule(LevelRule),
    /// Let what is found move up so.
    Promote(Promotion),
}

/// Which entry of a level goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LevelRule {
    /// The one that was used least recently.
    #[default]
    Lru,
    /// The one that was found least often, then the one that was used least recently.
    Lfu,
    /// The one that came first.
    Fifo,
}

impl LevelRule {
    /// All rules.
    pub const ALL: [LevelRule; 3] = [LevelRule::Lru, LevelRule::Lfu, LevelRule::Fifo];

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            LevelRule::Lru => "lru",
            LevelRule::Lfu => "lfu",
            LevelRule::Fifo => "fifo",
        }
    }

    /// The rule of this name.
    pub fn named(name: &str) -> Option<LevelRule> {
        LevelRule::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

/// When what is found in a level is kept in the faster one above it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Promotion {
    /// Whenever it is found.
    #[default]
    Always,
    /// When it is found for the second time.
    Second,
    /// Never.
    Never,
}

impl Promotion {
    /// All of them.
    pub const ALL: [Promotion; 3] = [Promotion::Always, Promotion::Second, Promotion::Never];

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Promotion::Always => "always",
            Promotion::Second => "second",
            Promotion::Never => "never",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Promotion> {
        Promotion::ALL.into_iter().find(|promotion| promotion.name() == name)
    }
}

/// A block or state that was evicted from the cache, whose memory has not been used otherwise yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// Its name elsewhere.
    pub key: TierKey,
    /// Where it still is.
    pub part: MemoryPart,
}

/// The tier and what is known of it.
pub(crate) struct Second {
    tier: Guarded<dyn Tier>,
    bytes: Vec<u8>,
    /// Seconds that a byte takes to come back, of late.
    pace: f64,
    /// Bytes of a block.
    block: usize,
    /// What came back in this step: held until it has found its sequence.
    held: Vec<BlockId>,
}

/// Seconds for a byte before any is known: those of a slow disk.
const PACE: f64 = 1e-8;

/// Waiting sequences that are looked after in a step.
const LOOKS: usize = 8;

impl Second {
    pub(crate) fn new(tier: Box<dyn Tier>) -> Second {
        Second { tier: Guarded::new(tier), bytes: Vec::new(), pace: PACE, block: 0, held: Vec::new() }
    }

    fn has(&mut self, key: &TierKey) -> bool {
        self.tier.call(|tier| tier.has(key)).unwrap_or(false)
    }

    /// How many blocks from the first on a sequence could go on from with what is there.
    fn reach(&mut self, wanted: &Wanted) -> usize {
        let Wanted { keys, found, usable, recurrent, .. } = wanted;
        let blocks = found.len() + keys[found.len()..].iter().take_while(|key| self.has(key)).count();
        if !recurrent {
            return blocks;
        }
        (usable + 1..=blocks).rev().find(|blocks| self.has(&keys[blocks - 1].state())).unwrap_or(*usable)
    }

    /// What it consists of.
    pub(crate) fn levels(&mut self) -> Vec<Level> {
        self.tier.call(|tier| tier.levels()).unwrap_or_default()
    }

    pub(crate) fn order(&mut self, level: &str, order: &LevelOrder) -> Option<usize> {
        self.tier.call(|tier| tier.order(level, order)).ok().flatten()
    }

    pub(crate) fn register(&mut self, instruments: &Instruments) {
        // One that panics is gone, and has no instruments.
        let _ = self.tier.call(|tier| tier.register(instruments));
    }

    fn read(&mut self, key: &TierKey) -> bool {
        let Second { tier, bytes, .. } = self;
        tier.call(|tier| tier.get(key, bytes)).unwrap_or(false)
    }
}

impl<E: Executor> Engine<E> {
    /// With a tier to which evicted blocks and states go. Without a prefix cache it is of no use.
    #[must_use]
    pub fn with_tier(mut self, tier: Box<dyn Tier>) -> Engine<E> {
        self.scheduler.keep_keys();
        self.second = Some(Second::new(tier));
        self
    }

    /// Brings what was evicted into the tier, before its memory is used otherwise.
    pub(crate) fn spill(&mut self) {
        let Some(second) = &mut self.second else { return };
        for Evicted { key, part } in self.scheduler.cache().take_evicted() {
            second.bytes.clear();
            let Second { tier, bytes, .. } = second;
            if !tier.call(|tier| tier.has(&key)).unwrap_or(true) && self.executor.save(part, bytes) {
                let _ = tier.call(|tier| tier.put(&key, bytes));
                self.totals.tier.spilled += 1;
                if let MemoryPart::Block(_) = part {
                    second.block = bytes.len();
                }
            }
        }
    }

    /// Lets the first sequences of the queue find what is in the tier, if it is there faster than computed.
    pub(crate) fn fetch(&mut self, clock: &dyn Fn() -> Duration) {
        if self.second.is_none() {
            return;
        }
        let waiting: Vec<SequenceId> = self.scheduler.waiting().iter().take(LOOKS).map(crate::Sequence::id).collect();
        for id in waiting {
            let Some(wanted) = self.scheduler.wanted(id, &self.delivery) else { continue };
            let reach = self.second.as_mut().map_or(0, |second| second.reach(&wanted));
            if reach <= wanted.usable || !self.pays(&wanted, reach) {
                continue;
            }
            let began = clock();
            let bytes = self.bring_back(wanted, reach);
            if let Some(second) = self.second.as_mut().filter(|_| bytes > 0) {
                let took = clock().saturating_sub(began).as_secs_f64();
                second.pace += (took / bytes as f64 - second.pace) / 4.0;
            }
        }
    }

    /// The sequences have what came back.
    pub(crate) fn let_go_of_fetched(&mut self) {
        self.second.iter_mut().for_each(|second| second.held.clear());
    }

    /// Whether blocks up to so many come back faster than they are computed.
    fn pays(&self, wanted: &Wanted, reach: usize) -> bool {
        let Some(second) = &self.second else { return false };
        let (len, usable) = (self.scheduler.cache().block_len(), wanted.usable);
        let rows = (reach - usable) * len;
        let work = Work { prefill_rows: rows, ..Work::default() }.reading(rows, usable * len);
        let back = second.pace * (reach.saturating_sub(wanted.found.len()) * second.block) as f64;
        self.scheduler.latency().predict(work).is_none_or(|computed| back < computed.as_secs_f64())
    }

    /// Brings blocks back into the cache until it has so many, and the state after the last; gives the bytes.
    fn bring_back(&mut self, wanted: Wanted, reach: usize) -> usize {
        let Wanted { id, keys, found: mut table, recurrent, .. } = wanted;
        let (mut bytes, before) = (0, table.len());
        for key in keys[..reach].iter().skip(before) {
            let Some(block) = self.scheduler.cache().blocks().allocate() else { break };
            // What had to go for it is saved before it is overwritten.
            self.spill();
            let Some(second) = &mut self.second else { break };
            if !second.read(key) || !self.executor.load(MemoryPart::Block(block.index()), &second.bytes) {
                break;
            }
            bytes += second.bytes.len();
            table.push(block);
        }
        self.totals.tier.restored += table.len().saturating_sub(before) as u64;
        let shared = self.scheduler.share_restored(id, &mut table, before, &self.delivery);
        if recurrent && shared.max(before) >= reach {
            bytes += self.bring_back_state(&keys[reach - 1].state(), &table[reach - 1]);
        }
        self.second.iter_mut().for_each(|second| second.held.append(&mut table));
        bytes
    }

    fn bring_back_state(&mut self, key: &TierKey, block: &BlockId) -> usize {
        let Some(slot) = self.scheduler.spare_slot() else { return 0 };
        self.spill();
        let Some(second) = &mut self.second else { return 0 };
        if !second.read(key) || !self.executor.load(MemoryPart::State(slot.index()), &second.bytes) {
            return 0;
        }
        self.totals.tier.restored += 1;
        self.scheduler.cache().keep_state(block, slot);
        second.bytes.len()
    }
}
