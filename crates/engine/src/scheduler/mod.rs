//! Who runs in a step: decoding sequences first, then prompts in chunks, in the policy's order, within the budget of rows
//! and blocks.
//!
//! The scheduler works on plain numbers: names of sequences, counts of tokens, blocks. It knows neither tokens nor
//! receivers. Both lists are kept in the policy's order. Nobody overtakes the first in the queue; when blocks run short the
//! policy says who gives way and is computed again later. A sequence whose receiver is full keeps its blocks and its place,
//! for [`PATIENCE`]; then it gives way before anyone else does.

mod books;
mod sequence;

use std::time::Duration;

pub(crate) use books::ensure;
pub use sequence::{Arrival, Sequence, SequenceId};

use crate::{EngineConfig, ExecutorLimits, KvCache, Load, Policy};

/// How long a sequence may hold blocks that others need while its receiver does not read. A stopped client must not stop
/// the others; a slow one should not pay for its prompt twice.
const PATIENCE: Duration = Duration::from_secs(1);

/// The queue, the running sequences and their memory.
///
/// A step: [`Scheduler::schedule`]; compute what [`Scheduler::batch`] names; then [`Scheduler::advance`], or
/// [`Scheduler::abandon`] if it could not be computed.
pub struct Scheduler {
    waiting: Vec<Sequence>,
    running: Vec<Sequence>,
    cache: KvCache,
    limits: SchedulerLimits,
    policy: Box<dyn Policy>,
    step: Step,
}

/// What the settings and the executor together allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerLimits {
    /// Rows in a batch.
    pub rows: usize,
    /// Sequences running; never more than `rows`, so that each of them can decode in every step.
    pub sequences: usize,
    /// Longest sequence.
    pub context: usize,
}

/// What was decided in a step.
#[derive(Default)]
struct Step {
    /// Indices into `running`, in the order of the batch.
    batch: Vec<usize>,
    copies: Vec<(u32, u32)>,
    started: Vec<SequenceId>,
    preempted: Vec<SequenceId>,
}

impl Scheduler {
    /// An empty queue, for an executor with these limits. Settings beyond them are cut to them.
    pub fn new(config: &EngineConfig, limits: ExecutorLimits, policy: Box<dyn Policy>) -> Scheduler {
        let cache = KvCache::new(limits.kv_blocks, limits.block_len);
        let rows = config.max_batch_tokens.min(limits.max_tokens).max(1);
        let limits = SchedulerLimits {
            rows,
            sequences: config.max_sequences.min(limits.max_outputs).min(rows).max(1),
            context: config.context.min(cache.positions()),
        };
        Scheduler { waiting: Vec::new(), running: Vec::new(), cache, limits, policy, step: Step::default() }
    }

    /// Queues a sequence. `id` is above all that came before; it has at most [`SchedulerLimits::sequences`] continuations
    /// and its prompt leaves room in [`SchedulerLimits::context`], else it would wait for ever.
    pub fn add(&mut self, id: SequenceId, arrival: Arrival) {
        let now = arrival.time;
        let mut sequence = Sequence::new(id, arrival);
        sequence.rank.0 = self.policy.rank(&sequence, now);
        insert(&mut self.waiting, sequence);
    }

    /// Takes out a sequence that has ended; its blocks are free with it.
    pub fn remove(&mut self, id: SequenceId) {
        if let Some(sequence) = self.find(id) {
            sequence.continuations = 0;
        }
        self.sweep();
    }

    /// Says how many continuations a sequence still stands for.
    pub fn narrow(&mut self, id: SequenceId, continuations: usize) {
        if let Some(sequence) = self.find(id) {
            sequence.continuations = continuations;
        }
        self.sweep();
    }

    /// Says since when a receiver of the sequence is full (`None`: it has room): until then it is not computed.
    pub fn stall(&mut self, id: SequenceId, since: Option<Duration>) {
        if let Some(sequence) = self.find(id) {
            sequence.stalled_since = since;
        }
    }

    /// Decides what the next step computes.
    pub fn schedule(&mut self, now: Duration) {
        self.step.clear();
        self.sort(now);
        self.make_room(now);
        let decoding = self.decode(now);
        let chunk = self.policy.chunk(&self.load(now, decoding)).min(self.limits.rows - decoding);
        let budget = self.prefill(chunk);
        self.admit(now, decoding, budget);
        self.collect();
    }

    /// The sequences of the step, decoding ones first. Each computes [`Sequence::rows`] tokens after
    /// [`Sequence::cached`]; one that [`Sequence::completes`] gets its next token for each continuation.
    pub fn batch(&self) -> impl Iterator<Item = &Sequence> {
        self.step.batch.iter().map(|&at| &self.running[at])
    }

    /// Blocks (from, to) to copy before the step computes anything.
    pub fn copies(&self) -> &[(u32, u32)] {
        &self.step.copies
    }

    /// Sequences that the step took out of the queue for the first time.
    pub fn started(&self) -> &[SequenceId] {
        &self.step.started
    }

    /// Sequences that lost their blocks in the step and are back in the queue.
    pub fn preempted(&self) -> &[SequenceId] {
        &self.step.preempted
    }

    /// Blocks of the cache that a sequence's batch reads and writes.
    pub fn table(&self, sequence: &Sequence) -> impl Iterator<Item = u32> {
        let blocks = self.cache.blocks_for(sequence.cached + sequence.rows);
        sequence.blocks[..blocks].iter().map(crate::BlockId::index)
    }

    /// Takes note that the batch was computed. Of each sequence that completes, in the order of the batch, `next` adds to
    /// a list the sequences that go on, one for each continuation that got a token and has not ended: the sequence itself,
    /// or new ones.
    pub fn advance(&mut self, mut next: impl FnMut(SequenceId, &mut Vec<SequenceId>)) {
        let (mut living, mut forks) = (Vec::new(), Vec::new());
        for at in self.step.batch.drain(..) {
            let sequence = &mut self.running[at];
            let completes = sequence.completes();
            sequence.cached += std::mem::take(&mut sequence.rows);
            if completes {
                living.clear();
                next(sequence.id, &mut living);
                sequence.go_on(&living, &mut forks);
            }
        }
        self.running.append(&mut forks);
        self.running.sort_unstable_by_key(|sequence| sequence.rank);
        self.sweep();
    }

    /// Takes note that the batch could not be computed: its sequences end. Gives their names.
    pub fn abandon(&mut self) -> Vec<SequenceId> {
        let end = |at: usize| {
            self.running[at].continuations = 0;
            self.running[at].id
        };
        let ended = self.step.batch.drain(..).map(end).collect();
        self.sweep();
        ended
    }

    /// Starts who is first in the queue at the expense of running sequences, as far as the policy wants that; these are not
    /// planned yet.
    fn make_room(&mut self, now: Duration) {
        let mut preempted = false;
        while let Some(next) = self.waiting.iter().position(|sequence| !sequence.stalled()) {
            let needy = &self.waiting[next];
            if !self.fits(needy, now, 0) {
                let Some(victim) = self.giving_way(needy, now) else { return };
                self.preempt(victim);
                preempted = true;
            } else if std::mem::take(&mut preempted) {
                let sequence = self.waiting.remove(next);
                self.start(sequence, 0);
            } else {
                return;
            }
        }
    }

    /// Plans a token for each running sequence that has its prompt behind it; returns how many.
    fn decode(&mut self, now: Duration) -> usize {
        let (mut at, mut planned) = (0, 0);
        while at < self.running.len() {
            let sequence = &mut self.running[at];
            if sequence.stalled() || !sequence.decodes() {
                at += 1;
            } else if self.cache.reserve(&mut sequence.blocks, sequence.cached, sequence.tokens, &mut self.step.copies)
            {
                sequence.rows = 1;
                (at, planned) = (at + 1, planned + 1);
            } else {
                let victim = self.victim(&self.running[at], now).unwrap_or(at);
                self.preempt(victim);
                at -= usize::from(victim < at);
            }
        }
        planned
    }

    /// Plans chunks of the prompts under way; returns the rows left. Their blocks were reserved when they started.
    fn prefill(&mut self, mut budget: usize) -> usize {
        for sequence in self.running.iter_mut().filter(|s| s.rows == 0 && !s.stalled() && !s.decodes()) {
            sequence.rows = sequence.pending().min(budget);
            budget -= sequence.rows;
        }
        budget
    }

    /// Starts who is first in the queue while there is room.
    fn admit(&mut self, now: Duration, decoding: usize, mut budget: usize) {
        while budget > 0 {
            let Some(next) = self.waiting.iter().position(|sequence| !sequence.stalled()) else { return };
            if self.fits(&self.waiting[next], now, decoding) {
                let sequence = self.waiting.remove(next);
                budget -= self.start(sequence, budget);
            } else if let Some(victim) = self.victim(&self.waiting[next], now) {
                self.preempt(victim);
            } else {
                return;
            }
        }
    }

    /// Whether there is room for all its continuations and all its tokens, and the policy agrees.
    fn fits(&self, sequence: &Sequence, now: Duration, decoding: usize) -> bool {
        let continuations: usize = self.running.iter().map(|running| running.continuations).sum();
        let (load, blocks) = (self.load(now, decoding), self.cache.blocks_for(sequence.tokens));
        continuations + sequence.continuations <= self.limits.sequences
            && blocks <= load.free_blocks
            && self.policy.admit(sequence, blocks, &load)
    }

    /// Moves a sequence that fits among the running; returns the rows it gets.
    fn start(&mut self, mut sequence: Sequence, budget: usize) -> usize {
        let reserved = self.cache.reserve(&mut sequence.blocks, 0, sequence.tokens, &mut Vec::new());
        debug_assert!(reserved, "the free blocks were counted");
        sequence.rows = sequence.pending().min(budget);
        sequence.running = true;
        if !std::mem::replace(&mut sequence.started, true) {
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
        sequence.blocks.clear();
        sequence.cached = 0;
        sequence.running = false;
        self.step.preempted.push(sequence.id);
        insert(&mut self.waiting, sequence);
    }

    /// Writes down who is planned: decoding sequences first.
    fn collect(&mut self) {
        for decodes in [true, false] {
            let planned = self.running.iter().enumerate().filter(|(_, s)| s.rows > 0 && s.decodes() == decodes);
            self.step.batch.extend(planned.map(|(at, _)| at));
        }
    }

    fn load(&self, now: Duration, decoding: usize) -> Load {
        Load {
            now,
            rows: self.limits.rows,
            decoding,
            running: self.running.len(),
            waiting: self.waiting.len(),
            free_blocks: self.cache.blocks().free(),
        }
    }

    /// Brings both lists into the policy's order, which may change with time.
    fn sort(&mut self, now: Duration) {
        for list in [&mut self.running, &mut self.waiting] {
            list.iter_mut().for_each(|sequence| sequence.rank.0 = self.policy.rank(sequence, now));
            list.sort_unstable_by_key(|sequence| sequence.rank);
        }
    }

    fn find(&mut self, id: SequenceId) -> Option<&mut Sequence> {
        self.running.iter_mut().chain(&mut self.waiting).find(|sequence| sequence.id == id)
    }

    /// Forgets what has ended; its blocks are free with it.
    fn sweep(&mut self) {
        self.running.retain(|sequence| !sequence.ended());
        self.waiting.retain(|sequence| !sequence.ended());
    }
}

impl Step {
    fn clear(&mut self) {
        self.batch.clear();
        self.copies.clear();
        self.started.clear();
        self.preempted.clear();
    }
}

/// Inserts in the order of rank.
fn insert(list: &mut Vec<Sequence>, sequence: Sequence) {
    let at = list.partition_point(|other| other.rank < sequence.rank);
    list.insert(at, sequence);
}
