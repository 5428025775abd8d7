//! What the scheduler counts, and the check that its books balance.

use std::collections::HashMap;

use super::{Scheduler, SchedulerLimits, Sequence, Stage};
use crate::forecast::Answers;
use crate::{KvCache, LatencyModel, StateCounts, StateSlots, Work};

impl Scheduler {
    /// What the settings and the executor together allow.
    pub fn limits(&self) -> &SchedulerLimits {
        &self.limits
    }

    /// How long steps take.
    pub fn latency(&self) -> &LatencyModel {
        &self.latency
    }

    /// How long answers are.
    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// The blocks and who holds them.
    pub fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// The slots of recurrent states and who holds them.
    pub fn states(&self) -> &StateSlots {
        &self.states
    }

    /// The slots of recurrent states in numbers.
    pub fn state_counts(&self) -> StateCounts {
        let kept = self.cache.states();
        StateCounts { used: self.states.used() - kept, kept, total: self.states.total() }
    }

    /// The sequences that hold blocks, in the policy's order.
    pub fn running(&self) -> &[Sequence] {
        &self.running
    }

    /// The queue, in the policy's order.
    pub fn waiting(&self) -> &[Sequence] {
        &self.waiting
    }

    /// Whether there is no sequence.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Continuations that have not started yet.
    pub fn queued(&self) -> usize {
        self.waiting.iter().filter(|sequence| sequence.stage == Stage::New).map(Sequence::continuations).sum()
    }

    /// Tokens of the prompts of these.
    pub fn queued_tokens(&self) -> usize {
        self.waiting
            .iter()
            .filter(|sequence| sequence.stage == Stage::New)
            .map(|sequence| sequence.arrival().prompt)
            .sum()
    }

    /// What the current batch computes.
    pub fn work(&self) -> Work {
        self.batch().fold(Work::default(), Work::and)
    }

    /// Sequences that wait for a receiver to make room.
    pub fn stalled(&self) -> usize {
        self.running.iter().chain(&self.waiting).filter(|sequence| sequence.stalled()).count()
    }

    /// Checks between steps that each block in use has as many owners as references, that tables cover what was computed,
    /// and that limits and order are kept. For tests and debugging.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self) -> Result<(), String> {
        self.running.iter().try_for_each(|sequence| self.check_running(sequence))?;
        self.check_owners()?;
        let idle = |s: &Sequence| {
            s.stage != Stage::Running && s.blocks.is_empty() && s.slots.is_empty() && s.cached == 0 && s.rows == 0
        };
        ensure(self.waiting.iter().all(idle), || "the queue holds blocks or positions".to_owned())?;
        for list in [&self.waiting, &self.running] {
            ensure(list.is_sorted_by(|a, b| a.rank < b.rank), || "a list is out of order".to_owned())?;
            ensure(!list.iter().any(Sequence::ended), || "an ended sequence is still there".to_owned())?;
        }
        let running = self.running.iter().map(Sequence::continuations).sum::<usize>();
        ensure(running <= self.limits.sequences, || format!("{running} sequences run"))
    }

    fn check_running(&self, sequence: &Sequence) -> Result<(), String> {
        let (blocks, tokens, cached) = (sequence.blocks.len(), sequence.tokens, sequence.cached);
        ensure(sequence.is_running(), || format!("{:?} is {:?}", sequence.id, sequence.stage))?;
        ensure(blocks >= self.cache.blocks_for(cached), || format!("{blocks} blocks for {cached} positions"))?;
        ensure(blocks <= self.cache.blocks_for(tokens), || format!("{blocks} blocks for {tokens} tokens"))?;
        let (slots, due) = (sequence.slots.len(), self.states.slots_for(sequence.continuations));
        ensure(slots == due, || format!("{slots} state slots where {due} are due"))?;
        ensure(cached < tokens && tokens <= self.limits.context, || format!("{cached} of {tokens} tokens cached"))?;
        ensure(sequence.rows == 0, || format!("{} rows are not accounted for", sequence.rows))
    }

    fn check_owners(&self) -> Result<(), String> {
        let mut owners = HashMap::new();
        for block in self.running.iter().flat_map(Sequence::blocks).chain(self.held.pins.values().flatten()) {
            owners.entry(block.index()).or_insert((block.owners(), 0)).1 += 1;
        }
        for (block, (references, tables)) in &owners {
            ensure(references == tables, || format!("block {block}: {references} references, {tables} tables"))?;
        }
        let used = self.cache.blocks().used();
        let withheld = self.held.shortage.blocks();
        ensure(used == owners.len() + withheld, || {
            format!("{used} blocks used, {} in tables, {withheld} withheld", owners.len())
        })?;
        let held = self.running.iter().map(|s| s.slots.len()).sum::<usize>();
        let (used, kept) = (self.states.used(), self.cache.states());
        ensure(used == held + kept, || format!("{used} state slots used, {held} held, {kept} kept"))?;
        self.cache.check()
    }
}

impl Work {
    /// With what a sequence computes besides.
    pub(super) fn and(mut self, sequence: &Sequence) -> Work {
        *if sequence.decodes() { &mut self.decode_rows } else { &mut self.prefill_rows } += sequence.rows;
        self.draft_rows += sequence.drafts();
        self.reading(sequence.rows, sequence.cached)
    }

    /// With the positions that so many rows after a position read.
    pub(crate) fn reading(mut self, rows: usize, position: usize) -> Work {
        self.context += rows * position + rows * (rows + 1) / 2;
        self
    }
}

/// An error that says what is broken, unless it holds.
pub(crate) fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
