//! The queue played forward: who decodes, whose prompt is computed, who starts when a place is free. Steps that are alike are
//! taken together, so that it takes a few operations for each request, not for each step.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use crate::{Arrival, Scheduler, Sequence, Work};

/// Phases of like steps at most: what is further ahead than this is beyond foretelling.
const MOST_PHASES: usize = 20_000;

/// What is seen of a request, in seconds from now.
pub(super) struct Seen {
    pub(super) start: f64,
    pub(super) first_token: f64,
    /// Between two tokens of its answer.
    pub(super) each: f64,
    /// Tokens of its answer, as usual and at the least.
    pub(super) answer: usize,
    pub(super) shortest: usize,
    /// It starts in the next step; else so many wait before it.
    pub(super) at_once: bool,
    pub(super) before: usize,
}

/// Looks ahead until the first token of a request that comes now.
pub(super) fn look(scheduler: &Scheduler, arrival: &Arrival, found: usize, now: Duration) -> Option<Seen> {
    let newcomer = scheduler.as_if_waiting(arrival, now);
    let mut ahead = Ahead::new(scheduler, now);
    let before = scheduler.waiting().iter().take_while(|sequence| sequence.comes_before(&newcomer));
    let mut waiting: VecDeque<Job> = before.map(|sequence| ahead.job(sequence, sequence.foreseen(), false)).collect();
    waiting.push_back(ahead.job(&newcomer, found, true));
    let before = waiting.len() - 1;
    for _ in 0..MOST_PHASES {
        ahead.admit(&mut waiting);
        if let Some(seen) = ahead.phase(&mut waiting)? {
            return Some(Seen { before, ..seen });
        }
    }
    None
}

/// A request that is not decoding yet.
struct Job {
    /// Rows until its first token, the first at a position.
    rows: usize,
    position: usize,
    tokens: usize,
    slots: usize,
    /// Tokens of each of its answers, as usual and at most.
    answer: usize,
    most: usize,
    wanted: bool,
}

/// Sequences that decode and end together.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Decoding {
    /// In which step from now.
    end: u64,
    slots: usize,
    /// Tokens they hold then.
    tokens: usize,
}

struct Ahead<'a> {
    scheduler: &'a Scheduler,
    now: Duration,
    /// Seconds from now, and steps.
    seconds: f64,
    step: u64,
    decoding: BinaryHeap<Reverse<Decoding>>,
    decode_rows: usize,
    /// Positions that a step of decoding reads.
    context: f64,
    prompts: VecDeque<Job>,
    free_slots: usize,
    free_blocks: f64,
    /// When the wanted one started.
    started: f64,
}

impl<'a> Ahead<'a> {
    fn new(scheduler: &'a Scheduler, now: Duration) -> Ahead<'a> {
        let running = scheduler.running();
        let slots: usize = running.iter().map(Sequence::continuations).sum();
        let mut ahead = Ahead {
            scheduler,
            now,
            seconds: 0.0,
            step: 0,
            decoding: BinaryHeap::with_capacity(running.len()),
            decode_rows: 0,
            context: 0.0,
            prompts: VecDeque::new(),
            free_slots: scheduler.limits().sequences.saturating_sub(slots),
            free_blocks: scheduler.cache().blocks().free() as f64,
            started: 0.0,
        };
        let decoding = running.iter().filter(|sequence| sequence.decodes());
        let count = decoding.clone().count();
        for (place, sequence) in decoding.enumerate() {
            let left = scheduler.answers().left(sequence.tokens_left(), (place, count));
            ahead.decode(sequence.tokens(), 1, left);
        }
        for sequence in running.iter().filter(|sequence| !sequence.decodes()) {
            let job = ahead.job(sequence, sequence.cached(), false);
            ahead.prompts.push_back(job);
        }
        ahead
    }

    fn job(&self, sequence: &Sequence, position: usize, wanted: bool) -> Job {
        let position = position.min(sequence.tokens() - 1);
        let answer = self.scheduler.answers().left(sequence.tokens_left(), (0, 1));
        Job {
            rows: sequence.tokens() - position,
            position,
            tokens: sequence.tokens(),
            slots: sequence.continuations(),
            answer,
            most: sequence.tokens_left(),
            wanted,
        }
    }

    /// Starts who is first in the queue while there is room.
    fn admit(&mut self, waiting: &mut VecDeque<Job>) {
        while let Some(next) = waiting.front() {
            let blocks = self.scheduler.cache().blocks_for(next.tokens) as f64;
            let alone = self.decode_rows == 0 && self.prompts.is_empty();
            let room = blocks + (self.decode_rows + self.prompts.len()) as f64 <= self.free_blocks;
            if next.slots > self.free_slots || !room && !alone {
                return;
            }
            self.free_slots = self.free_slots.saturating_sub(next.slots);
            self.free_blocks -= blocks;
            if next.wanted {
                self.started = self.seconds;
            }
            self.prompts.extend(waiting.pop_front());
        }
    }

    /// Steps that are alike; what is seen of the wanted one if it gets its first token in the last of them.
    fn phase(&mut self, waiting: &mut VecDeque<Job>) -> Option<Option<Seen>> {
        let until_end =
            self.decoding.peek().map_or(u64::MAX, |Reverse(next)| next.end.saturating_sub(self.step).max(1));
        let Some(head) = self.prompts.front_mut() else {
            // Without anyone to wait for, who does not fit never will.
            return if until_end == u64::MAX { None } else { self.take(until_end, 0, 0).map(|()| None) };
        };
        let beside = Work { decode_rows: self.decode_rows, context: self.context as usize, ..Work::default() };
        let rows = self.scheduler.rows_beside(beside, head.position, self.now).max(1);
        if head.rows > rows {
            let steps = (((head.rows - 1) / rows) as u64).min(until_end);
            let position = head.position;
            head.position += steps as usize * rows;
            head.rows -= steps as usize * rows;
            return self.take(steps, rows, position).map(|()| None);
        }
        self.last_rows(rows, waiting)
    }

    /// A step that ends prompts: the rows that one leaves are those of the next.
    fn last_rows(&mut self, rows: usize, waiting: &mut VecDeque<Job>) -> Option<Option<Seen>> {
        let (mut left, mut context, mut ended) = (rows, 0, Vec::new());
        while left > 0 {
            self.admit(waiting);
            let Some(head) = self.prompts.front_mut() else { break };
            let taken = head.rows.min(left);
            context += taken * head.position + taken * (taken + 1) / 2;
            left -= taken;
            head.rows -= taken;
            head.position += taken;
            if head.rows == 0 {
                ended.extend(self.prompts.pop_front());
            }
        }
        self.spend(1, Work { prefill_rows: rows - left, context, ..Work::default() })?;
        let wanted = ended.iter().position(|job| job.wanted);
        for job in &ended {
            self.decode(job.tokens, job.slots, job.answer.saturating_sub(1));
        }
        let Some(job) = wanted.map(|at| &ended[at]) else { return Some(None) };
        let (each, at_once) = (self.predict(1, Work::default())?, self.started == 0.0);
        let shortest = self.scheduler.answers().least(job.most);
        Some(Some(Seen {
            start: self.started,
            first_token: self.seconds,
            each,
            answer: job.answer,
            shortest,
            at_once,
            before: 0,
        }))
    }

    /// Takes steps that each compute so many rows of one prompt.
    fn take(&mut self, steps: u64, rows: usize, position: usize) -> Option<()> {
        let middle = position + rows * steps as usize / 2;
        self.spend(steps, Work { prefill_rows: rows, context: rows * middle, ..Work::default() })
    }

    /// Takes steps that compute `work` beside what decodes, and lets go who ends.
    fn spend(&mut self, steps: u64, work: Work) -> Option<()> {
        self.seconds += self.predict(steps, work)? * steps as f64;
        self.step += steps;
        self.context += self.decode_rows as f64 * steps as f64;
        self.free_blocks -= self.decode_rows as f64 * steps as f64 / self.scheduler.cache().block_len() as f64;
        while self.decoding.peek().is_some_and(|Reverse(next)| next.end <= self.step) {
            let Some(Reverse(Decoding { slots, tokens, .. })) = self.decoding.pop() else { break };
            self.let_go(tokens, slots);
            self.decode_rows -= slots;
            self.context -= (tokens * slots) as f64;
        }
        self.context = self.context.max(0.0);
        Some(())
    }

    /// Seconds of one of some like steps, in the middle of them.
    fn predict(&self, steps: u64, work: Work) -> Option<f64> {
        let context = self.context + (self.decode_rows as u64 * steps / 2) as f64;
        let (decode_rows, context) = (self.decode_rows, work.context + context as usize);
        let time = self.scheduler.latency().predict(Work { decode_rows, context, ..work })?;
        Some(time.as_secs_f64())
    }

    /// Sequences with so many tokens decode so many more.
    fn decode(&mut self, tokens: usize, slots: usize, left: usize) {
        if left == 0 {
            self.let_go(tokens, slots);
            return;
        }
        self.decoding.push(Reverse(Decoding { end: self.step + left as u64, slots, tokens: tokens + left }));
        self.decode_rows += slots;
        self.context += (tokens * slots) as f64;
    }

    fn let_go(&mut self, tokens: usize, slots: usize) {
        self.free_slots += slots;
        self.free_blocks += self.scheduler.cache().blocks_for(tokens) as f64;
    }
}
