//! Who runs in a step: decoding sequences first, then prompts in chunks, in the policy's order, within the budget of rows
//! and blocks.
//!
//! The scheduler works on plain numbers: names of sequences, counts of tokens, blocks. It knows no receivers, and hands
//! tokens to the cache unread, to find blocks of others that hold them and to let others find its own. Both lists are kept in the policy's order. Nobody overtakes the first in the queue; when blocks run short the
//! policy says who gives way and is computed again later. A sequence whose receiver is full keeps its blocks and its place,
//! for [`PATIENCE`]; then it gives way before anyone else does.

mod books;
mod checkpoints;
mod pins;
mod plan;
mod restored;
mod sequence;
mod shortage;
mod speculate;
mod told;

use std::time::Duration;

pub(crate) use books::ensure;
use pins::Pins;
pub(crate) use restored::Wanted;
use sequence::Stage;
pub use sequence::{Arrival, Sequence, SequenceId};
use shortage::Shortage;
pub use speculate::Draft;
use speculate::Undo;
pub use told::Progress;

use crate::forecast::Answers;
use crate::setup::MakeMemory;
use crate::{BlockId, EngineConfig, ExecutorLimits, Instruments, KvCache, LatencyModel, Policy, StateSlot, StateSlots};

/// How long a sequence may hold blocks that others need while its receiver does not read. A stopped client must not stop
/// the others; a slow one should not pay for its prompt twice.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the tokens of sequences are.
pub trait Contents {
    /// The tokens of a sequence; none if others shall not find them.
    fn tokens(&self, id: SequenceId) -> &[u32];

    /// Where in a sequence's prompt later ones are likely to part from it: the ends of its first and its last message.
    fn ends(&self, _id: SequenceId) -> Vec<usize> {
        Vec::new()
    }

    /// What may follow a sequence that decodes; `None` if nothing is known.
    fn draft(&self, _id: SequenceId) -> Option<Draft> {
        None
    }
}

/// Knows no tokens: nothing is shared.
impl Contents for () {
    fn tokens(&self, _: SequenceId) -> &[u32] {
        &[]
    }
}

/// The queue, the running sequences and their memory.
///
/// A step: [`Scheduler::schedule`], and [`Scheduler::speculate`] if there are drafts; compute what [`Scheduler::batch`] names; then [`Scheduler::share`] and
/// [`Scheduler::advance`], or
/// [`Scheduler::abandon`] if it could not be computed.
pub struct Scheduler {
    waiting: Vec<Sequence>,
    running: Vec<Sequence>,
    cache: KvCache,
    states: StateSlots,
    limits: SchedulerLimits,
    policy: Box<dyn Policy>,
    /// How long a step may take in which somebody decodes, or beside which somebody else computes.
    goal: Option<Duration>,
    /// Whether somebody else computes on the same threads.
    is_shared: bool,
    latency: LatencyModel,
    answers: Answers,
    step: Step,
    held: Held,
}

/// Blocks that no sequence holds, and yet nobody else gets.
#[derive(Default)]
struct Held {
    shortage: Shortage,
    pins: Pins,
}

/// What the settings and the executor together allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerLimits {
    /// Rows in a batch.
    pub rows: usize,
    /// Rows in a batch whose logits are computed; never fewer than `sequences`.
    pub outputs: usize,
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
    /// Rows with logits that are left.
    outputs: usize,
    /// Tokens found in the cache.
    found: usize,
    copies: Vec<(u32, u32)>,
    /// From the last forks, and from and to states that are kept; kept until a batch is computed.
    state_copies: Vec<(u32, u32)>,
    /// Sequences of the batch, by their index into `running`, whose states before it are copied into these slots to be kept.
    checkpoints: Vec<(usize, StateSlot)>,
    /// Of models with recurrent layers, what becomes of sequences with drafted rows if these are wrong.
    undo: Vec<Undo>,
    started: Vec<SequenceId>,
    preempted: Vec<SequenceId>,
}

impl Scheduler {
    /// An empty queue, for an executor with these limits. Settings beyond them are cut to them.
    pub fn new(config: &EngineConfig, limits: ExecutorLimits, policy: Box<dyn Policy>) -> Scheduler {
        let positions = limits.kv_blocks.saturating_mul(limits.block_len.max(1));
        let longest = config.context.min(positions);
        let kept = config.prefix_tokens.unwrap_or((positions / 4).max(longest));
        let cache = KvCache::keeping(limits.kv_blocks, limits.block_len, config.prefix_cache, kept);
        let cache = match limits.state_slots {
            0 => cache,
            slots => cache.recurrent(config.prefix_states.unwrap_or(slots)),
        };
        let states = StateSlots::new(limits.state_slots);
        let slots = if limits.state_slots > 0 { limits.state_slots } else { usize::MAX };
        let rows = config.max_batch_tokens.min(limits.max_tokens).max(1);
        let limits = SchedulerLimits {
            rows,
            outputs: limits.max_outputs.max(1),
            sequences: config.max_sequences.min(limits.max_outputs).min(rows).min(slots).max(1),
            context: longest,
        };
        let (waiting, running, step, held) = (Vec::new(), Vec::new(), Step::default(), Held::default());
        let (goal, latency, answers) = (config.max_step, LatencyModel::default(), Answers::default());
        Scheduler {
            waiting,
            running,
            cache,
            states,
            limits,
            policy,
            goal,
            is_shared: false,
            latency,
            answers,
            step,
            held,
        }
    }

    /// Lets the policy have counters of its own.
    pub(crate) fn register(&mut self, instruments: &Instruments) {
        self.policy.register(instruments);
    }

    /// The same scheduler, empty, with another manager of its blocks.
    pub(crate) fn with_memory(self, make: MakeMemory) -> Scheduler {
        Scheduler { cache: self.cache.managed_by(make), ..self }
    }

    /// Says whether somebody else computes on the same threads: steps are then as short as if somebody decoded.
    pub fn share_threads(&mut self, is_shared: bool) {
        self.is_shared = is_shared;
    }

    /// Queues a sequence. `id` is above all that came before; it has at most [`SchedulerLimits::sequences`] continuations
    /// and its prompt leaves room in [`SchedulerLimits::context`], else it would wait for ever.
    pub fn add(&mut self, id: SequenceId, arrival: Arrival) {
        let now = arrival.time;
        let mut sequence = Sequence::new(id, arrival);
        sequence.rank.0 = self.policy.rank(&sequence, now);
        insert(&mut self.waiting, sequence);
    }

    /// As [`Scheduler::add`], of a sequence that another engine has brought to so many tokens.
    pub(crate) fn adopt(&mut self, id: SequenceId, arrival: Arrival, tokens: usize) {
        let now = arrival.time;
        let mut sequence = Sequence::begun(id, arrival, tokens);
        sequence.rank.0 = self.policy.rank(&sequence, now);
        insert(&mut self.waiting, sequence);
    }

    /// Takes note of what the cache has of a sequence in the queue, for what is expected of it and of others.
    pub fn foresee(&mut self, id: SequenceId, contents: &impl Contents) {
        let Some(sequence) = self.waiting.iter().find(|sequence| sequence.id == id) else { return };
        let found = self.found_of(&sequence.arrival, contents.tokens(id));
        if let Some(sequence) = self.find(id) {
            sequence.prefix.foreseen = found;
        }
    }

    /// Tokens that the cache has of a request with these tokens.
    pub fn found_of(&self, arrival: &Arrival, tokens: &[u32]) -> usize {
        if arrival.scored {
            return 0;
        }
        self.cache.resume(&[], arrival.cache_salt.as_deref(), tokens).blocks.len() * self.cache.block_len()
    }

    /// A sequence as it would stand in the queue, behind all that are its equals.
    pub(crate) fn as_if_waiting(&self, arrival: &Arrival, now: Duration) -> Sequence {
        let mut sequence = Sequence::new(SequenceId(u64::MAX), arrival.clone());
        sequence.rank.0 = self.policy.rank(&sequence, now);
        sequence
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
            let (ended, generated) = (sequence.continuations > continuations, sequence.generated());
            sequence.narrow(continuations);
            if ended && generated > 0 {
                self.answers.learn(generated, false);
            }
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
    pub fn schedule(&mut self, now: Duration, contents: &impl Contents) {
        self.step.clear();
        self.step.outputs = self.limits.outputs;
        self.cache.tick();
        self.held.shortage.update(now, &self.cache);
        self.sort(now);
        self.let_pins_go(now, contents);
        self.make_room(now, contents);
        let decoding = self.decode(now);
        let chunk = self.chunk(now);
        let budget = self.prefill(chunk, contents);
        self.admit(now, decoding, budget, contents);
        self.collect();
        self.keep_states();
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

    /// Slots (from, to) whose states to copy before the step computes anything. A step without a batch computes nothing;
    /// the next one has them again.
    pub fn state_copies(&self) -> &[(u32, u32)] {
        &self.step.state_copies
    }

    /// Tokens that the step found in the cache.
    pub fn found(&self) -> usize {
        self.step.found
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
        sequence.blocks[..blocks].iter().map(BlockId::index)
    }

    /// Takes note of how long the batch took.
    pub fn learn(&mut self, time: Duration) {
        self.latency.learn(self.work(), time);
    }

    /// Takes note that the batch was computed: others find the blocks that it filled from now on.
    pub fn share(&mut self, contents: &impl Contents) {
        for &at in &self.step.batch {
            let sequence = &mut self.running[at];
            let filled = sequence.cached + sequence.rows();
            let (salt, tokens) = (sequence.arrival.cache_salt.as_deref(), contents.tokens(sequence.id));
            let shared = (sequence.prefix.shared, filled);
            sequence.prefix.shared = self.cache.share(&mut sequence.blocks, shared, salt, tokens);
        }
        self.states_kept();
        self.policy.computed(&mut self.step.batch.iter().map(|&at| &self.running[at]));
    }

    /// Lets the sequences of the batch go on. Of each sequence that completes, in the order of the batch, `next` adds to
    /// a list the sequences that go on, one for each continuation that got a token and has not ended: the sequence itself,
    /// or new ones.
    pub fn advance(&mut self, mut next: impl FnMut(SequenceId, &mut Vec<SequenceId>)) {
        let (mut living, mut forks) = (Vec::new(), Vec::new());
        if !self.step.batch.is_empty() {
            self.step.state_copies.clear();
        }
        for at in self.step.batch.drain(..) {
            let sequence = &mut self.running[at];
            let completes = sequence.completes();
            sequence.computed();
            if completes {
                living.clear();
                let before = sequence.continuations;
                next(sequence.id, &mut living);
                let (generated, whole) = (sequence.generated() + 1, sequence.tokens_left() <= 1);
                (living.len()..before).for_each(|_| self.answers.learn(generated, whole));
                sequence.go_on(&living, &mut forks, &mut self.step.state_copies);
            }
        }
        self.running.append(&mut forks);
        self.running.sort_unstable_by_key(|sequence| sequence.rank);
        self.sweep();
    }

    /// Takes note that the batch could not be computed: its sequences end. Gives their names.
    pub fn abandon(&mut self) -> Vec<SequenceId> {
        self.step.checkpoints.clear();
        self.step.undo.clear();
        let end = |at: usize| {
            // What its slot holds is not its state any more.
            self.running[at].slots.clear();
            self.running[at].continuations = 0;
            self.running[at].id
        };
        let ended = self.step.batch.drain(..).map(end).collect();
        self.sweep();
        self.forget_states();
        ended
    }

    fn find(&mut self, id: SequenceId) -> Option<&mut Sequence> {
        self.running.iter_mut().chain(&mut self.waiting).find(|sequence| sequence.id == id)
    }

    /// Forgets what has ended; its blocks are free with it.
    fn sweep(&mut self) {
        self.leave_states();
        self.running.retain(|sequence| !sequence.ended());
        self.step.undo.retain(|undo| self.running.iter().any(|sequence| sequence.id == undo.id));
        self.waiting.retain(|sequence| !sequence.ended());
    }
}

impl Step {
    fn clear(&mut self) {
        self.batch.clear();
        self.found = 0;
        self.copies.clear();
        self.checkpoints.clear();
        self.undo.clear();
        self.started.clear();
        self.preempted.clear();
    }
}

/// Inserts in the order of rank.
fn insert(list: &mut Vec<Sequence>, sequence: Sequence) {
    let at = list.partition_point(|other| other.rank < sequence.rank);
    list.insert(at, sequence);
}
