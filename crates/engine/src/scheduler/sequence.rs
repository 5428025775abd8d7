//! A sequence as the scheduler sees it: how many tokens it has, how many of them the cache holds, and in which blocks.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::Contents;
use crate::{BlockId, KvCache, Priority, Request, RequestId, StateSlot, prefix_salt};

/// Names a sequence. Numbers grow in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u64);

/// What a sequence comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The request it belongs to.
    pub request: RequestId,
    /// How urgent it is.
    pub priority: Priority,
    /// When it should be complete.
    pub deadline: Option<Duration>,
    /// On whose behalf it runs.
    pub tenant: Option<Arc<str>>,
    /// When it came.
    pub time: Duration,
    /// With whom it shares prefixes ([`prefix_salt`]).
    pub cache_salt: Option<Arc<str>>,
    /// Tokens of its prompt, at least one.
    pub prompt: usize,
    /// Tokens that it has at most, its prompt included.
    pub longest: usize,
    /// Whether the logits of the prompt's tokens are wanted too.
    pub scored: bool,
    /// Continuations that share the prompt, at least one; once it is computed, each becomes a sequence of its own.
    pub continuations: usize,
}

impl Arrival {
    /// A request that came at the time `time`, as one sequence of `context` tokens at most.
    pub fn of(request: &Request, time: Duration, context: usize) -> Arrival {
        let prompt = request.prompt.tokens().len();
        Arrival {
            request: request.id,
            priority: request.priority,
            deadline: request.deadline,
            tenant: request.tenant.clone(),
            time,
            cache_salt: prefix_salt(request.rows.adapter.as_deref(), request.cache_salt.clone()),
            prompt,
            longest: prompt.saturating_add(request.stop.max_tokens).min(context),
            scored: request.prompt_logprobs.is_some(),
            continuations: request.continuations.len(),
        }
    }
}

/// A prompt and what was generated after it.
#[derive(Debug)]
pub struct Sequence {
    pub(super) id: SequenceId,
    pub(super) arrival: Arc<Arrival>,
    /// Continuations it stands for: those of a request until its prompt is computed, then one. None: it has ended.
    pub(super) continuations: usize,
    /// Prompt and generated tokens.
    pub(super) tokens: usize,
    /// Tokens from the front whose keys and values are in `blocks`.
    pub(super) cached: usize,
    pub(super) blocks: Vec<BlockId>,
    pub(super) prefix: Prefix,
    /// A slot for each continuation while it runs, of models with recurrent layers. The first holds the state after the
    /// `cached` tokens; the others are kept for the forks.
    pub(super) slots: Vec<StateSlot>,
    /// Rows in the current batch; those beyond its tokens are of drafted ones.
    pub(super) rows: usize,
    pub(super) stalled_since: Option<Duration>,
    pub(super) stage: Stage,
    /// Its place in the order.
    pub(super) rank: (u64, SequenceId),
}

/// What need not be computed (again) of a sequence, and where others may go on from it.
#[derive(Clone, Debug)]
pub(super) struct Prefix {
    pub(super) checkpoints: Checkpoints,
    /// Tokens of the prompt that the cache had when it came.
    pub(super) foreseen: usize,
    /// Whether the second tier was asked for it since it came into the queue.
    pub(super) looked_after: bool,
    /// Blocks from the front that others can find.
    pub(super) shared: usize,
    /// Tokens of the prompt that were found in the cache and not computed.
    pub(super) found: usize,
    /// Tokens from the front whose logits are not wanted, or not any more. The last one's are whenever it is computed.
    pub(super) scored: usize,
}

/// Where the states of a sequence are kept for later ones, of models with recurrent layers.
#[derive(Clone, Debug, Default)]
pub(super) struct Checkpoints {
    /// Positions in its prompt, ends of blocks, in ascending order: steps end there.
    pub(super) planned: Vec<usize>,
    /// The block after which the latest state of its answer is kept.
    pub(super) latest: Option<u32>,
}

/// Where a sequence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the queue, for the first time.
    New,
    /// In the queue, after others have taken its blocks.
    Preempted,
    /// Among the running: it holds blocks.
    Running,
}

impl Sequence {
    pub(super) fn new(id: SequenceId, arrival: Arrival) -> Sequence {
        let scored = if arrival.scored { 0 } else { arrival.prompt };
        Sequence {
            id,
            continuations: arrival.continuations,
            tokens: arrival.prompt,
            arrival: Arc::new(arrival),
            cached: 0,
            blocks: Vec::new(),
            prefix: Prefix {
                checkpoints: Checkpoints::default(),
                foreseen: 0,
                looked_after: false,
                shared: 0,
                found: 0,
                scored,
            },
            slots: Vec::new(),
            rows: 0,
            stalled_since: None,
            stage: Stage::New,
            rank: (0, id),
        }
    }

    /// One that another engine has brought to so many tokens, and that is computed again.
    pub(super) fn begun(id: SequenceId, arrival: Arrival, tokens: usize) -> Sequence {
        let mut sequence = Sequence::new(id, arrival);
        if tokens > sequence.tokens {
            sequence.prefix.scored = sequence.arrival.prompt;
            (sequence.tokens, sequence.stage) = (tokens, Stage::Preempted);
        }
        sequence
    }

    /// Its name.
    pub fn id(&self) -> SequenceId {
        self.id
    }

    /// What it came with.
    pub fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// Continuations it stands for.
    pub fn continuations(&self) -> usize {
        self.continuations
    }

    /// Tokens it has: its prompt and what was generated.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Tokens generated.
    pub fn generated(&self) -> usize {
        self.tokens - self.arrival.prompt
    }

    /// Tokens from the front that the cache holds.
    pub fn cached(&self) -> usize {
        self.cached
    }

    /// Tokens that may follow, at least one.
    pub(crate) fn tokens_left(&self) -> usize {
        self.arrival.longest.saturating_sub(self.tokens).max(1)
    }

    /// Tokens that need not be computed when it starts, as far as that was known when it came.
    pub(crate) fn foreseen(&self) -> usize {
        self.prefix.foreseen
    }

    /// Whether it is served before another one.
    pub(crate) fn comes_before(&self, other: &Sequence) -> bool {
        self.rank < other.rank
    }

    /// Tokens to be computed before the next one can be chosen.
    pub fn pending(&self) -> usize {
        self.tokens - self.cached
    }

    /// Tokens of the prompt that were found in the cache and not computed.
    pub fn found(&self) -> usize {
        self.prefix.found
    }

    /// Its blocks: block i holds positions i · block length ….
    pub fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }

    /// The slot of its recurrent state, if its model has one and it runs.
    pub fn state(&self) -> Option<u32> {
        self.slots.first().map(StateSlot::index)
    }

    /// Tokens that the current batch computes.
    pub fn rows(&self) -> usize {
        self.rows.min(self.pending())
    }

    /// Drafted tokens that the current batch computes after these.
    pub fn drafts(&self) -> usize {
        self.rows.saturating_sub(self.pending())
    }

    /// Whether it is about to compute just its latest token.
    pub fn decodes(&self) -> bool {
        self.pending() == 1 && self.generated() > 0
    }

    /// Whether the current batch computes all that is pending, so that the next token can be chosen.
    pub fn completes(&self) -> bool {
        self.rows > 0 && self.rows >= self.pending()
    }

    /// Of the current batch's rows, those whose logits tell what the prompt's next token is worth.
    pub fn scored_rows(&self) -> Range<usize> {
        self.scored_of(self.rows())
    }

    /// Whether it has no use for what others have computed, which comes without logits.
    pub(super) fn scores(&self) -> bool {
        self.prefix.scored + 1 < self.arrival.prompt
    }

    /// The batch was computed, so the prompt is scored as far as that went.
    pub(super) fn computed(&mut self) {
        self.cached += self.rows();
        self.rows = 0;
        self.prefix.scored = self.prefix.scored.max(self.cached.min(self.arrival.prompt));
    }

    /// How many of `most` rows at most it can compute next if only so many may have logits.
    pub(super) fn rows_within(&self, most: usize, outputs: usize) -> usize {
        let most = self.pending().min(most).min(self.until_checkpoint());
        let wanted = |rows: usize| self.scored_of(rows).len() + usize::from(rows == self.pending());
        if wanted(most) <= outputs {
            return most;
        }
        let unscored = self.prefix.scored.saturating_sub(self.cached);
        let fewer = if self.scores() { unscored + outputs } else { most };
        fewer.min(most.saturating_sub(1))
    }

    /// Rows until a state is to be kept.
    fn until_checkpoint(&self) -> usize {
        let next = self.prefix.checkpoints.planned.iter().find(|position| **position > self.cached);
        next.map_or(usize::MAX, |position| position - self.cached)
    }

    /// The prompt's last token is worth nothing to it, as no token of the prompt follows.
    fn scored_of(&self, rows: usize) -> Range<usize> {
        let end = (self.cached + rows).min(self.arrival.prompt - 1);
        let start = self.cached.max(self.prefix.scored).min(end);
        start.saturating_sub(self.cached)..end.saturating_sub(self.cached)
    }

    /// Whether it holds blocks; else it is in the queue.
    pub fn is_running(&self) -> bool {
        self.stage == Stage::Running
    }

    /// Since when it waits for a receiver to make room.
    pub fn stalled_since(&self) -> Option<Duration> {
        self.stalled_since
    }

    pub(super) fn stalled(&self) -> bool {
        self.stalled_since.is_some()
    }

    pub(super) fn ended(&self) -> bool {
        self.continuations == 0
    }

    /// Gives back everything that it holds while it runs.
    pub(super) fn release(&mut self) {
        self.blocks.clear();
        self.slots.clear();
        self.prefix.checkpoints = Checkpoints::default();
        self.prefix.looked_after = false;
        (self.cached, self.prefix.shared) = (0, 0);
        if self.generated() == 0 {
            self.prefix.found = 0;
        }
        self.stage = Stage::Preempted;
    }

    /// Goes on from blocks that others have computed, which follow those it has filled; gives the tokens it need not compute.
    pub(super) fn take(&mut self, cache: &KvCache, found: Vec<BlockId>) -> usize {
        let tokens = cache.used_again(&found);
        for block in found {
            match self.blocks.get_mut(self.prefix.shared) {
                Some(own) => *own = block,
                None => self.blocks.push(block),
            }
            self.prefix.shared += 1;
        }
        self.cached += tokens;
        if self.generated() == 0 {
            self.prefix.found += tokens;
        }
        tokens
    }

    /// Goes on from blocks that others have computed since it started; gives the tokens it need not compute, and the slot
    /// with the state to go on from.
    pub(super) fn catch_up(&mut self, cache: &KvCache, contents: &impl Contents) -> (usize, Option<u32>) {
        if self.scores() || !cache.filled(self.cached, self.prefix.shared) {
            return (0, None);
        }
        let salt = self.arrival.cache_salt.as_deref();
        let found = cache.resume(&self.blocks[..self.prefix.shared], salt, contents.tokens(self.id));
        (self.take(cache, found.blocks), found.state)
    }

    /// Stands for fewer continuations than before.
    pub(super) fn narrow(&mut self, continuations: usize) {
        self.continuations = continuations;
        // One that has ended may leave its state to others.
        self.slots.truncate(continuations.max(1));
    }

    /// Goes on with a token more as the sequences in `living`, itself among them or not; the others become `forks`, which
    /// share the blocks of what was computed and have `copies` of its state.
    pub(super) fn go_on(&mut self, living: &[SequenceId], forks: &mut Vec<Sequence>, copies: &mut Vec<(u32, u32)>) {
        self.continuations = 0;
        self.tokens += 1;
        for &id in living {
            if id == self.id {
                self.continuations = 1;
            } else {
                let fork = self.fork(id);
                copies.extend(self.state().zip(fork.state()));
                forks.push(fork);
            }
        }
        // Slots of continuations that have ended at once.
        self.slots.truncate(1);
    }

    fn fork(&mut self, id: SequenceId) -> Sequence {
        let slot = if self.slots.len() > 1 { self.slots.pop() } else { None };
        Sequence {
            id,
            arrival: Arc::clone(&self.arrival),
            continuations: 1,
            tokens: self.tokens,
            cached: self.cached,
            blocks: self.blocks.clone(),
            prefix: Prefix { checkpoints: Checkpoints::default(), ..self.prefix.clone() },
            slots: slot.into_iter().collect(),
            rows: 0,
            stalled_since: None,
            stage: Stage::Running,
            rank: (self.rank.0, id),
        }
    }
}
