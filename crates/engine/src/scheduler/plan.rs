//! How a step is decided: who gets blocks and rows, who starts, who gives way.

use std::time::Duration;

use super::{Contents, PATIENCE, Scheduler, Sequence, Stage, Step, insert};
use crate::{Found, Load, Work};

/// Rows of prompts in a step that misses its goal in any case.
const LEAST_ROWS: usize = 8;

impl Step {
    /// Plans the next rows of a sequence, `budget` at most, as far as their logits have room.
    fn plan(&mut self, sequence: &mut Sequence, budget: usize) {
        sequence.rows = sequence.rows_within(budget, self.outputs);
        self.outputs -= sequence.scored_rows().len() + usize::from(sequence.completes());
    }
}

impl Scheduler {
    /// Starts who is first in the queue at the expense of running sequences, as far as the policy wants that; these are not
    /// planned yet.
    pub(super) fn make_room(&mut self, now: Duration, contents: &impl Contents) {
        let mut preempted = false;
        while let Some(next) = self.waiting.iter().position(|sequence| !sequence.stalled()) {
            let needy = &self.waiting[next];
            match self.fits(needy, now, 0, contents) {
                None => {
                    let Some(victim) = self.giving_way(needy, now) else { return };
                    self.preempt(victim);
                    preempted = true;
                }
                Some(found) if std::mem::take(&mut preempted) => _ = self.start(next, found, 0, contents),
                Some(_) => return,
            }
        }
    }

    /// Lets go of what is pinned if nothing could run otherwise: a request is worth more.
    pub(super) fn let_pins_go(&mut self, now: Duration, contents: &impl Contents) {
        if self.held.pins.is_empty() || !self.running.is_empty() {
            return;
        }
        let first = self.waiting.iter().find(|sequence| !sequence.stalled());
        if first.is_some_and(|first| self.fits(first, now, 0, contents).is_none()) {
            self.held.pins.clear();
        }
    }

    /// Plans a token for each running sequence that has its prompt behind it; returns how many. One that has got several tokens
    /// at once gets the blocks for them, and its rows like a prompt.
    pub(super) fn decode(&mut self, now: Duration) -> usize {
        let (mut at, mut planned) = (0, 0);
        while at < self.running.len() {
            let sequence = &mut self.running[at];
            if sequence.stalled() || sequence.generated() == 0 {
                at += 1;
            } else if self.cache.reserve(&mut sequence.blocks, sequence.cached, sequence.tokens, &mut self.step.copies)
            {
                if sequence.decodes() {
                    sequence.rows = 1;
                    self.step.outputs -= 1;
                    planned += 1;
                }
                at += 1;
            } else {
                let victim = self.victim(&self.running[at], now).unwrap_or(at);
                self.preempt(victim);
                at -= usize::from(victim < at);
            }
        }
        planned
    }

    /// Rows of prompts in the step.
    pub(super) fn chunk(&self, now: Duration) -> usize {
        let decode = self.running.iter().filter(|s| s.rows > 0).fold(Work::default(), Work::and);
        let next = self.running.iter().find(|s| s.rows == 0 && !s.stalled()).map_or(0, Sequence::cached);
        self.rows_beside(decode, next, now)
    }

    /// Rows of prompts, the first at a position, beside what decodes: as many as fit the goal, if there is one, but so many that
    /// prompts go on; else as the policy says.
    pub(crate) fn rows_beside(&self, decode: Work, position: usize, now: Duration) -> usize {
        let left = self.limits.rows.saturating_sub(decode.decode_rows);
        let goal = self.goal.filter(|_| decode.decode_rows > 0 || self.is_shared);
        let fit = goal.and_then(|goal| self.latency.rows_within(goal, decode, position, left));
        let by_policy = || self.policy.chunk(&self.load(now, decode.decode_rows));
        fit.map_or_else(by_policy, |rows| rows.max(LEAST_ROWS)).min(left)
    }

    /// Plans chunks of the prompts under way; returns the rows left. Their blocks were reserved when they started, or by [`Scheduler::decode`].
    pub(super) fn prefill(&mut self, mut budget: usize, contents: &impl Contents) -> usize {
        let Scheduler { running, cache, step, .. } = self;
        for sequence in running.iter_mut().filter(|s| s.rows == 0 && !s.stalled() && !s.decodes()) {
            let (found, state) = sequence.catch_up(cache, contents);
            step.found += found;
            step.resume(sequence, state);
            step.plan(sequence, budget);
            budget -= sequence.rows;
        }
        budget
    }

    /// Starts who is first in the queue while there is room.
    pub(super) fn admit(&mut self, now: Duration, decoding: usize, mut budget: usize, contents: &impl Contents) {
        while budget > 0 {
            let Some(next) = self.waiting.iter().position(|sequence| !sequence.stalled()) else { return };
            if let Some(found) = self.fits(&self.waiting[next], now, decoding, contents) {
                budget -= self.start(next, found, budget, contents);
            } else if let Some(victim) = self.victim(&self.waiting[next], now) {
                self.preempt(victim);
            } else {
                return;
            }
        }
    }

    /// If there is room for all its continuations and all its tokens, and the policy agrees: the blocks with its first
    /// tokens that the cache has already.
    fn fits(&self, sequence: &Sequence, now: Duration, decoding: usize, contents: &impl Contents) -> Option<Found> {
        let continuations: usize = self.running.iter().map(|running| running.continuations).sum();
        let slots = self.states.slots_for(sequence.continuations);
        if continuations + sequence.continuations > self.limits.sequences || slots > self.free_slots() {
            return None;
        }
        // What is found and held by nobody else is not free from here on.
        let tokens = if sequence.scores() { &[] } else { contents.tokens(sequence.id) };
        let found = self.cache.resume(&[], sequence.arrival.cache_salt.as_deref(), tokens);
        let (load, blocks) = (self.load(now, decoding), self.cache.blocks_for(sequence.tokens) - found.blocks.len());
        (blocks <= load.free_blocks && self.policy.admit(sequence, blocks, &load)).then_some(found)
    }

    /// Moves a sequence of the queue that fits among the running, with the blocks that it found; returns the rows it gets.
    fn start(&mut self, next: usize, found: Found, budget: usize, contents: &impl Contents) -> usize {
        let mut sequence = self.waiting.remove(next);
        self.step.found += sequence.take(&self.cache, found.blocks);
        let reserved =
            self.cache.reserve(&mut sequence.blocks, sequence.cached, sequence.tokens, &mut self.step.copies);
        debug_assert!(reserved || self.cache.trouble().is_some(), "the free blocks were counted");
        sequence.slots = self.take_slots(sequence.continuations);
        self.step.resume(&sequence, found.state);
        sequence.prefix.checkpoints.planned = self.checkpoints(&sequence, found.known, contents);
        self.step.plan(&mut sequence, budget);
        if std::mem::replace(&mut sequence.stage, Stage::Running) == Stage::New {
            self.step.started.push(sequence.id);
        }
        let rows = sequence.rows;
        insert(&mut self.running, sequence);
        rows
    }

    /// Which running sequence gives way to `needy`: the last whose receiver has not read for longer than [`PATIENCE`],
    /// else whom the policy names. Never one that is planned already.
    fn victim(&self, needy: &Sequence, now: Duration) -> Option<usize> {
        let overdue = |since: Duration| now.saturating_sub(since) >= PATIENCE;
        let idle = self.running.iter().rposition(|sequence| sequence.stalled_since.is_some_and(overdue));
        idle.or_else(|| self.giving_way(needy, now))
    }

    /// The last running sequence that gives way to `needy` by the policy, which is not asked about those before `needy`.
    fn giving_way(&self, needy: &Sequence, now: Duration) -> Option<usize> {
        let gives_way = |s: &Sequence| s.rows == 0 && s.rank > needy.rank && self.policy.victim(s, needy, now);
        self.running.iter().rposition(gives_way)
    }

    /// Takes a running sequence's blocks and puts it back in the queue, to be computed again with the tokens it has.
    fn preempt(&mut self, victim: usize) {
        let mut sequence = self.running.remove(victim);
        sequence.release();
        self.step.preempted.push(sequence.id);
        insert(&mut self.waiting, sequence);
    }

    /// States that were to be copied by a batch that failed are lost: their sequences are computed again.
    pub(super) fn forget_states(&mut self) {
        for (_, lost) in std::mem::take(&mut self.step.state_copies) {
            let forked = |sequence: &Sequence| sequence.state() == Some(lost) && sequence.cached > 0;
            if let Some(victim) = self.running.iter().position(forked) {
                self.preempt(victim);
            }
        }
    }

    /// The step was decided by nobody: its sequences end, and it has done nothing to others.
    pub(crate) fn drop_step(&mut self) {
        self.abandon();
        self.step.clear();
    }

    /// What was computed of all sequences is gone: they are computed again, and nothing is found any more.
    pub(crate) fn lose(&mut self) {
        while let Some(last) = self.running.len().checked_sub(1) {
            self.preempt(last);
        }
        self.step.state_copies.clear();
        self.cache.forget();
    }

    /// Why the step could not be decided, if it could not.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.policy.trouble().or_else(|| self.cache.trouble())
    }

    /// Writes down who is planned: decoding sequences first.
    pub(super) fn collect(&mut self) {
        for decodes in [true, false] {
            let planned = self.running.iter().enumerate().filter(|(_, s)| s.rows > 0 && s.decodes() == decodes);
            self.step.batch.extend(planned.map(|(at, _)| at));
        }
    }

    pub(super) fn load(&self, now: Duration, decoding: usize) -> Load {
        Load {
            now,
            rows: self.limits.rows,
            decoding,
            is_shared: self.is_shared,
            running: self.running.len(),
            waiting: self.waiting.len(),
            free_blocks: self.cache.blocks().free(),
        }
    }

    /// Brings both lists into the policy's order, which may change with time.
    pub(super) fn sort(&mut self, now: Duration) {
        self.policy.begin(now, &mut self.running.iter().chain(&self.waiting));
        for list in [&mut self.running, &mut self.waiting] {
            list.iter_mut().for_each(|sequence| sequence.rank.0 = self.policy.rank(sequence, now));
            list.sort_unstable_by_key(|sequence| sequence.rank);
        }
    }
}
