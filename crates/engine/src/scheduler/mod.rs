//! Who runs in a step: decoding sequences first, then prompts in chunks, in the order of arrival, within the budget of rows
//! and blocks.
//!
//! Both lists are kept in the order of arrival. Nobody overtakes the first in the queue; when blocks run short the youngest
//! running sequence gives way and is computed again later. A sequence whose receiver is full keeps its blocks and its
//! place, for [`PATIENCE`]; then it gives way before anyone else does. Beside sequences that decode, prompts come in smaller
//! chunks: who reads an answer waits for each of them.

mod commit;
mod queue;

use std::time::Duration;

pub(crate) use commit::Drawn;
use graph::Batch;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::sequence::Sequence;
use crate::{BlockId, EngineConfig, EngineStats, ExecutorLimits, KvCache, StepReport};

/// How long a sequence may hold blocks that others need while its receiver does not read. A stopped client must not stop
/// the others; a slow one should not pay for its prompt twice.
const PATIENCE: Duration = Duration::from_secs(1);

/// Rows of prompts in a step in which others decode: this share of the rows, but so many at least. Chunks of a few dozen
/// rows run at nearly the speed of large ones, and a stream pauses for a quarter of the time.
const BESIDE_DECODING: (usize, usize) = (4, 32);

/// The queue, the running sequences and their memory.
pub(crate) struct Scheduler {
    waiting: Vec<Sequence>,
    running: Vec<Sequence>,
    /// Indices into `running`, in the order of the batch's spans.
    batched: Vec<usize>,
    cache: KvCache,
    limits: StepLimits,
    arrivals: u64,
    seeds: ChaCha8Rng,
    report: StepReport,
    totals: EngineStats,
}

/// What the settings and the executor together allow.
struct StepLimits {
    /// Rows in a batch.
    rows: usize,
    /// Sequences running; never more than `rows`, so that each of them can decode in every step.
    sequences: usize,
    /// Longest sequence.
    context: usize,
    /// Token ids below this exist.
    vocab: usize,
}

impl StepLimits {
    /// Rows left for prompts beside so many that decode.
    fn prompt_rows(&self, decoding: usize) -> usize {
        let (share, least) = BESIDE_DECODING;
        let most = if decoding == 0 { self.rows } else { (self.rows / share).max(least) };
        most.min(self.rows - decoding)
    }
}

impl Scheduler {
    pub(crate) fn new(config: &EngineConfig, limits: ExecutorLimits) -> Scheduler {
        let cache = KvCache::new(limits.kv_blocks, limits.block_len);
        let rows = config.max_batch_tokens.min(limits.max_tokens).max(1);
        let limits = StepLimits {
            rows,
            sequences: config.max_sequences.min(limits.max_outputs).min(rows).max(1),
            context: config.context.min(cache.positions()),
            vocab: limits.vocab.max(1),
        };
        Scheduler {
            waiting: Vec::new(),
            running: Vec::new(),
            batched: Vec::new(),
            cache,
            limits,
            arrivals: 0,
            seeds: ChaCha8Rng::seed_from_u64(config.seed),
            report: StepReport::default(),
            totals: EngineStats::default(),
        }
    }

    /// Fills `batch` with the work of a step.
    pub(crate) fn schedule(&mut self, now: Duration, batch: &mut Batch) {
        batch.clear();
        self.poll(now);
        let decoding = self.decode(now, &mut batch.copies);
        let budget = self.prefill(self.limits.prompt_rows(decoding));
        self.admit(now, budget);
        self.fill(batch);
    }

    /// Drops whom nobody listens to any more, and notes who waits for room.
    fn poll(&mut self, now: Duration) {
        let all = self.running.iter_mut().chain(&mut self.waiting);
        self.report.cancelled += all.map(|sequence| sequence.poll(now)).sum::<usize>();
        self.report.now = now;
        self.sweep();
    }

    /// Forgets what has ended; its blocks are free with it.
    fn sweep(&mut self) {
        self.running.retain(|sequence| !sequence.ended());
        self.waiting.retain(|sequence| !sequence.ended());
    }

    /// Plans a token for each running sequence that has its prompt behind it; returns how many.
    fn decode(&mut self, now: Duration, copies: &mut Vec<(u32, u32)>) -> usize {
        let (mut at, mut planned) = (0, 0);
        while at < self.running.len() {
            let sequence = &mut self.running[at];
            if sequence.stalled() || !sequence.decodes() {
                at += 1;
            } else if self.cache.reserve(&mut sequence.blocks, sequence.cached, sequence.tokens.len(), copies) {
                sequence.rows = 1;
                (at, planned) = (at + 1, planned + 1);
            } else {
                // Who gives way is younger, or this one itself, or stalled: never one that is planned already.
                let victim = self.overdue(now).unwrap_or(self.running.len() - 1);
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
    fn admit(&mut self, now: Duration, mut budget: usize) {
        while budget > 0 {
            let Some(next) = self.waiting.iter().position(|sequence| !sequence.stalled()) else { return };
            if self.fits(&self.waiting[next]) {
                let sequence = self.waiting.remove(next);
                budget -= self.start(sequence, budget);
            } else if let Some(victim) = self.overdue(now) {
                self.preempt(victim);
            } else {
                return;
            }
        }
    }

    /// Whether there is room for all its continuations and all its tokens, and then a block for each running sequence to
    /// grow into, lest the newcomer be sent away again at once.
    fn fits(&self, sequence: &Sequence) -> bool {
        let outputs: usize = self.running.iter().map(|running| running.outputs.len()).sum();
        let blocks = self.cache.blocks_for(sequence.tokens.len()) + self.running.len();
        outputs + sequence.outputs.len() <= self.limits.sequences && blocks <= self.cache.blocks().free()
    }

    /// Moves a sequence that fits among the running; returns the rows it gets.
    fn start(&mut self, mut sequence: Sequence, budget: usize) -> usize {
        let reserved = self.cache.reserve(&mut sequence.blocks, 0, sequence.tokens.len(), &mut Vec::new());
        debug_assert!(reserved, "the free blocks were counted");
        sequence.rows = sequence.pending().min(budget);
        sequence.started = true;
        let rows = sequence.rows;
        insert(&mut self.running, sequence);
        rows
    }

    /// The youngest running sequence whose receiver has not read for longer than [`PATIENCE`].
    fn overdue(&self, now: Duration) -> Option<usize> {
        let overdue = |since: Duration| now.saturating_sub(since) >= PATIENCE;
        self.running.iter().rposition(|sequence| sequence.stalled_since.is_some_and(overdue))
    }

    /// Takes a running sequence's blocks and puts it back in the queue, to be computed again with the tokens it has.
    fn preempt(&mut self, victim: usize) {
        let mut sequence = self.running.remove(victim);
        sequence.blocks.clear();
        sequence.cached = 0;
        self.report.preempted += 1;
        insert(&mut self.waiting, sequence);
    }

    /// Writes the planned rows into the batch: decoding sequences first.
    fn fill(&mut self, batch: &mut Batch) {
        self.batched.clear();
        for decodes in [true, false] {
            for (at, sequence) in self.running.iter().enumerate() {
                if sequence.rows == 0 || sequence.decodes() != decodes {
                    continue;
                }
                let filled = sequence.cached + sequence.rows;
                let table = sequence.blocks[..self.cache.blocks_for(filled)].iter().map(BlockId::index);
                let rows = batch.push(&sequence.tokens[sequence.cached..filled], sequence.cached, table);
                if sequence.completes() {
                    batch.outputs.push(rows.end as u32 - 1);
                }
                let counter = if decodes { &mut self.report.decode_rows } else { &mut self.report.prefill_rows };
                *counter += sequence.rows;
                self.batched.push(at);
            }
        }
    }
}

/// Inserts in the order of arrival.
fn insert(list: &mut Vec<Sequence>, sequence: Sequence) {
    let at = list.partition_point(|other| other.order() < sequence.order());
    list.insert(at, sequence);
}
