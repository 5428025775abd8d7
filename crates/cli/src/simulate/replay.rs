//! Requests of a trace before the real scheduler and the real KV cache, on a virtual clock: only the computing is left out.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::time::Duration;

use engine::{
    Accuracy, Arrival, Contents, EngineConfig, ExecutorLimits, Forecast, Policy, Prediction, Priority, RequestId,
    Scheduler, SequenceId,
};
use hdrhistogram::Histogram;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::cost::Cost;
use super::trace::{Job, SPAN};

/// Steps after which somebody looks whether the replay is to go on.
const WATCHED: u64 = 256;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The engine's settings; its queue has `max_queue` places.
    pub config: EngineConfig,
    /// Positions of a block.
    pub block_len: usize,
    /// Blocks of the KV cache.
    pub blocks: usize,
    /// How long steps take.
    pub cost: Cost,
    /// By which share of it the time of a step is off, more or less.
    pub noise: f64,
    /// Tokens that clients allow an answer at least; the scheduler does not know when it ends before them.
    pub max_tokens: usize,
    /// Whether first tokens are foretold.
    pub foretells: bool,
    /// Every so many steps the executor fails.
    pub fault_every: Option<u64>,
    /// Checks the scheduler's books after each step.
    pub check: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// From its coming to its first token.
    pub first: Option<Duration>,
    /// From its coming to its last token, if it has them all.
    pub last: Option<Duration>,
    /// The longest time between two of its tokens.
    pub longest_gap: Duration,
    /// Tokens of its prompt that the cache had.
    pub found: usize,
    /// How it ended.
    pub end: End,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// With all its tokens.
    #[default]
    Complete,
    /// Its client left.
    Left,
    /// The queue was full when it came, or it never fits.
    Refused,
    /// The executor failed.
    Failed,
}

/// What became of all.
pub struct Replayed {
    /// One for each job.
    pub outcomes: Vec<Outcome>,
    /// Between two tokens of a request, in microseconds.
    pub gaps: Histogram<u64>,
    /// Steps that computed something.
    pub steps: u64,
    /// Times that a sequence lost its blocks.
    pub preemptions: u64,
    /// From the first request's coming to the last token.
    pub time: Duration,
    /// Of which steps took so much.
    pub busy: Duration,
    /// Tokens generated.
    pub tokens: u64,
    /// How well first tokens were foretold, if they were.
    pub accuracy: Option<Accuracy>,
}

/// Replays `jobs`, which are in the order of their coming, by the policy that the settings name.
///
/// # Errors
/// If the scheduler's books do not balance.
pub fn replay(jobs: &[Job], setup: &Setup) -> anyhow::Result<Replayed> {
    replay_with(jobs, setup, setup.config.policy.policy(), &mut || Ok(()))
}

/// The same by any policy. `watch` is called every few steps, and ends the replay if it fails.
///
/// # Errors
/// If the scheduler's books do not balance, or `watch` fails.
pub fn replay_with(
    jobs: &[Job],
    setup: &Setup,
    policy: Box<dyn Policy>,
    watch: &mut dyn FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Replayed> {
    let mut replay = Replay::new(jobs, setup, policy);
    while replay.step() {
        if replay.replayed.steps.is_multiple_of(WATCHED) {
            watch()?;
        }
        if setup.check {
            let said = replay.scheduler.check();
            said.map_err(|e| anyhow::anyhow!("after step {}: {e}", replay.replayed.steps))?;
        }
    }
    replay.replayed.time = replay.now;
    replay.replayed.accuracy = setup.foretells.then(|| replay.forecast.accuracy());
    Ok(replay.replayed)
}

struct Replay<'a> {
    setup: &'a Setup,
    scheduler: Scheduler,
    contents: Tokens<'a>,
    /// When each had its latest token.
    latest: Vec<Duration>,
    generated: Vec<usize>,
    forecast: Forecast,
    /// What was expected of each that has no token yet.
    expected: HashMap<SequenceId, Prediction>,
    noise: ChaCha8Rng,
    /// Jobs that have come.
    come: usize,
    now: Duration,
    replayed: Replayed,
}

/// The tokens of those that are there. A sequence's name is the number of its job.
struct Tokens<'a> {
    jobs: &'a [Job],
    known: Vec<OnceCell<Vec<u32>>>,
}

impl Contents for Tokens<'_> {
    fn tokens(&self, id: SequenceId) -> &[u32] {
        let at = id.0 as usize;
        self.known[at].get_or_init(|| tokens(&self.jobs[at], at as u32))
    }
}

/// Tokens of a prompt: those of a span are its number and the place in it, so that equal spans have equal tokens. A prompt
/// without spans begins with a token of its own.
pub(super) fn tokens(job: &Job, at: u32) -> Vec<u32> {
    let token = |position: usize| match job.spans.get(position / SPAN) {
        Some(span) => span.wrapping_mul(SPAN as u32) | (position % SPAN) as u32,
        None if position == 0 => at,
        None => 0,
    };
    (0..job.prompt).map(token).collect()
}

fn record(gaps: &mut Histogram<u64>, gap: Duration) {
    // It grows as it must.
    gaps.record(gap.as_micros() as u64).expect("it resizes itself");
}

/// A token of an answer, which no prompt has again: a trace does not say which prompts go on from it.
fn answered(at: usize) -> u32 {
    !(at as u32)
}

impl<'a> Replay<'a> {
    fn new(jobs: &'a [Job], setup: &'a Setup, policy: Box<dyn Policy>) -> Replay<'a> {
        let limits = ExecutorLimits {
            max_tokens: setup.config.max_batch_tokens,
            max_outputs: setup.config.max_sequences,
            kv_blocks: setup.blocks,
            block_len: setup.block_len,
            state_slots: 0,
            vocab: usize::MAX,
        };
        let known = jobs.iter().map(|_| OnceCell::new()).collect();
        let replayed = Replayed {
            outcomes: vec![Outcome::default(); jobs.len()],
            gaps: Histogram::new(3).expect("three digits are allowed"),
            steps: 0,
            preemptions: 0,
            time: Duration::ZERO,
            busy: Duration::ZERO,
            tokens: 0,
            accuracy: None,
        };
        Replay {
            setup,
            scheduler: Scheduler::new(&setup.config, limits, policy),
            contents: Tokens { jobs, known },
            latest: vec![Duration::ZERO; jobs.len()],
            generated: vec![0; jobs.len()],
            forecast: Forecast::default(),
            expected: HashMap::new(),
            noise: ChaCha8Rng::seed_from_u64(0),
            come: 0,
            now: Duration::ZERO,
            replayed,
        }
    }

    /// A step; false when nothing is left to do.
    fn step(&mut self) -> bool {
        self.arrive();
        if self.scheduler.is_idle() {
            let Some(next) = self.contents.jobs.get(self.come) else { return false };
            self.now = self.now.max(next.arrives);
            return true;
        }
        self.scheduler.schedule(self.now, &self.contents);
        self.replayed.preemptions += self.scheduler.preempted().len() as u64;
        let work = self.scheduler.work();
        // The sum of four is nearly normal, with a deviation of 1 as all of them together.
        let off =
            (0..4).map(|_| f64::from(self.noise.next_u32()) / f64::from(u32::MAX) - 0.5).sum::<f64>() * 3f64.sqrt();
        let took = self.setup.cost.of(work).mul_f64((1.0 + self.setup.noise * off).max(0.1));
        self.now += took;
        self.replayed.busy += took;
        self.replayed.steps += 1;
        if self.setup.fault_every.is_some_and(|every| self.replayed.steps.is_multiple_of(every)) {
            self.fail();
        } else {
            self.scheduler.learn(took);
            self.scheduler.share(&self.contents);
            self.advance();
        }
        true
    }

    /// Takes who has come meanwhile.
    fn arrive(&mut self) {
        while let Some(job) = self.contents.jobs.get(self.come).filter(|job| job.arrives <= self.now) {
            let at = self.come;
            self.come += 1;
            let longest = self.scheduler.limits().context;
            if job.prompt + job.output > longest || self.scheduler.waiting().len() >= self.setup.config.max_queue {
                self.replayed.outcomes[at].end = End::Refused;
                continue;
            }
            let arrival = Arrival {
                request: RequestId(at as u64),
                priority: Priority::default(),
                deadline: None,
                tenant: job.tenant.clone(),
                time: job.arrives,
                cache_salt: None,
                prompt: job.prompt,
                longest: (job.prompt + job.output.max(self.setup.max_tokens)).min(longest),
                scored: false,
                continuations: 1,
            };
            let id = SequenceId(at as u64);
            if self.setup.foretells {
                let found = self.scheduler.found_of(&arrival, self.contents.tokens(id));
                let expected = self.forecast.predict(&self.scheduler, &arrival, found, self.now);
                self.expected.extend(expected.map(|expected| (id, expected)));
            }
            self.scheduler.add(id, arrival);
            if self.setup.foretells {
                self.scheduler.foresee(id, &self.contents);
            }
        }
    }

    /// Every sequence whose tokens are computed gets its next one, and ends with its last.
    fn advance(&mut self) {
        let Replay { scheduler, contents, latest, generated, now, replayed, forecast, expected, .. } = self;
        for sequence in scheduler.batch().filter(|sequence| sequence.completes() && sequence.generated() == 0) {
            replayed.outcomes[sequence.id().0 as usize].found = sequence.found();
        }
        scheduler.advance(|id, living| {
            let at = id.0 as usize;
            let (job, outcome) = (&contents.jobs[at], &mut replayed.outcomes[at]);
            if generated[at] == 0 {
                outcome.first = Some(*now - job.arrives);
                if let Some(expected) = expected.remove(&id) {
                    forecast.learn(&expected, *now - job.arrives);
                }
            } else {
                let gap = *now - latest[at];
                outcome.longest_gap = outcome.longest_gap.max(gap);
                record(&mut replayed.gaps, gap);
            }
            (latest[at], generated[at]) = (*now, generated[at] + 1);
            replayed.tokens += 1;
            let complete = generated[at] >= job.output;
            if complete {
                outcome.last = Some(*now - job.arrives);
            } else if job.leaves.is_some_and(|after| generated[at] > after) {
                outcome.end = End::Left;
            } else {
                living.push(id);
            }
            match contents.known[at].get_mut() {
                _ if living.is_empty() => _ = contents.known[at].take(),
                Some(tokens) => tokens.push(answered(at)),
                None => {}
            }
        });
    }

    /// The executor fails: who was in the batch ends.
    fn fail(&mut self) {
        for id in self.scheduler.abandon() {
            self.replayed.outcomes[id.0 as usize].end = End::Failed;
            self.contents.known[id.0 as usize].take();
        }
    }
}
