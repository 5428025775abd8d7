//! Who runs when: requests, the scheduler, the paged KV cache, the sampler and the step that joins them.
//!
//! Architecture invariant: this crate knows nothing of text, HTTP, JSON, async, the wall clock (time is passed in), files
//! or metrics exporters.

mod admission;
mod commit;
mod delivery;
mod drafter;
mod driver;
mod encoder;
mod event;
mod executor;
mod faults;
mod forecast;
mod handle;
mod handover;
mod instruments;
mod interposed;
mod kv;
mod latency;
mod mask;
mod memory;
mod observer;
mod pace;
mod panics;
mod phase;
mod pipeline;
mod policy;
mod refusals;
mod remote;
mod repetition;
mod report;
mod request;
mod sampler;
mod scheduler;
mod session;
mod setup;
mod spare;
mod state;
mod tier;
mod view;

use std::sync::Arc;
use std::time::Duration;

use graph::Batch;

pub use admission::TooLate;
use commit::advance;
use delivery::{Delivery, Drawn};
use drafter::Drafter;
pub use drafter::{DraftModel, HiddenInputs};
pub use driver::spawn;
pub use encoder::{Encoded, Encoder, EncoderText, Pooling};
pub use event::{Finish, FinishReason, SampledToken, SinkState, TokenEvent, TokenSink};
pub use executor::{BackendExecutor, Executor, ExecutorError, ExecutorLimits, Spread, spread_of};
pub use faults::FAILURES_IN_A_ROW;
use faults::{Faults, execute};
pub use forecast::{Accuracy, Expected, Forecast, Prediction};
pub use graph::Adapter;
pub use handle::{EngineHandle, Liveness, SubmitError};
pub use instruments::{Count, Gauge, Histogram, Instruments, Reading, Value as ReadingValue};
pub use interposed::Interposed;
pub use kv::{
    BlockAllocator, BlockId, BlockManager, Eviction, Found, KvCache, LocalBlocks, Managing, Rule, StateManager,
    TierKey, Usage, prefix_salt,
};
pub use latency::LatencyModel;
pub use mask::{MaskError, MaskState, TokenMask, TokenSet};
pub use memory::{
    CacheMemory, DraftMemory, MemoryError, MemoryOrder, MemoryReport, NoKey, PrefixMemory, SequenceMemory,
};
pub use observer::{Drafts, Observer, RequestRecord, RequestTimes, TokenCounts};
use panics::Guarded;
pub use phase::{Phase, PhaseKind};
pub use pipeline::{Pipeline, PipelineStage};
pub use policy::{Ageing, EarliestDeadline, FairShare, FirstCome, Load, Policy, PolicyName, ShortestPrefill};
pub use remote::{Answer, Courier, ExecutorHost, LastSpan, Malformed, RemoteExecutor};
pub use repetition::Repetition;
pub use report::{EngineStats, StateCounts, StepReport, TierCounts, Work};
pub use request::{
    Continuation, Penalties, Priority, Prompt, Request, RequestId, RequestRows, SamplingParams, StopRules, Words, Xtc,
};
pub use sampler::{Breakers, Draw, Dry, SampleError, Sampler};
pub use scheduler::{Arrival, Contents, Draft, Progress, Scheduler, SchedulerLimits, Sequence, SequenceId};
pub use session::{RestoreError, SavedPrefix};
pub use setup::{MakeMemory, Setup};
use spare::Spare;
pub use state::{StateSlot, StateSlots};
use tier::Second;
pub use tier::{Evicted, Level, LevelCounts, LevelOrder, LevelRule, Promotion, Tier};
pub use view::{EngineView, SequenceView};

/// The settings of an engine that the executor does not fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Rows computed in a step at most: long prompts are cut to it and go on in later steps.
    pub max_batch_tokens: usize,
    /// Sequences running at once at most.
    pub max_sequences: usize,
    /// Continuations queued at most before [`SubmitError::Full`].
    pub max_queue: usize,
    /// Tokens of the prompts that are queued at most before [`SubmitError::FullOfTokens`].
    pub max_queue_tokens: usize,
    /// Longest sequence (prompt and answer).
    pub context: usize,
    /// Seeds requests that bring none.
    pub seed: u64,
    /// By which rule prefixes are evicted that the KV cache keeps for later requests; `None` shares none. An engine computes
    /// one model, and its cache is its own: prefixes of different models never meet.
    pub prefix_cache: Option<Eviction>,
    /// Positions that are kept for later requests at most, where nobody uses them now. `None`: a quarter of the KV cache, at
    /// least a longest sequence. What is not kept takes no memory until somebody needs it.
    pub prefix_tokens: Option<usize>,
    /// States of recurrent layers that are kept for later requests at most, in slots that no sequence needs now. `None`: as
    /// many as there are slots. A prefix is found as far as its blocks and a state after them are kept.
    pub prefix_states: Option<usize>,
    /// Who runs first.
    pub policy: PolicyName,
    /// Tokens of a sequence that are drafted at most, from its own text or by a draft model, and computed besides where that is expected to
    /// pay; 0 drafts none.
    pub max_draft: usize,
    /// How long a step may take in which somebody decodes: prompts get the rows that fit, by what the engine has learnt of
    /// its steps. `None` leaves it to the policy.
    pub max_step: Option<Duration>,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            max_batch_tokens: 512,
            max_sequences: 32,
            max_queue: 1024,
            max_queue_tokens: 1 << 22,
            context: usize::MAX,
            seed: 0,
            prefix_cache: Some(Eviction::default()),
            prefix_tokens: None,
            prefix_states: None,
            policy: PolicyName::default(),
            max_draft: 8,
            max_step: None,
        }
    }
}

/// Requests, the memory they share, and what computes them.
pub struct Engine<E> {
    executor: E,
    scheduler: Scheduler,
    delivery: Delivery,
    observer: Guarded<dyn Observer>,
    batch: Batch,
    drawn: Vec<Drawn>,
    faults: Faults,
    spare: Spare,
    forecast: Forecast,
    second: Option<Second>,
    /// The latest time that the clock has shown.
    latest: Duration,
    totals: EngineStats,
}

impl<E: Executor> Engine<E> {
    /// An idle engine. Settings beyond what the executor can take are cut to it.
    pub fn new(executor: E, config: EngineConfig, observer: impl Observer + 'static) -> Engine<E> {
        Engine::of(executor, config.into(), observer)
    }

    /// An idle engine that serves requests in the order of `policy`, whatever the settings name.
    pub fn with_policy(
        executor: E,
        config: EngineConfig,
        observer: impl Observer + 'static,
        policy: Box<dyn Policy>,
    ) -> Engine<E> {
        Engine::of(executor, Setup { policy: Some(policy), ..config.into() }, observer)
    }

    /// An idle engine of these parts.
    pub fn of(mut executor: E, mut setup: Setup, observer: impl Observer + 'static) -> Engine<E> {
        let config = setup.config;
        let (tier, spread) = (executor.tier(), executor.spread());
        let drafter = setup.draft.take().map(|model| Drafter::new(model, executor.limits().vocab));
        let engine = Engine {
            scheduler: setup.scheduler(executor.limits()),
            executor,
            delivery: Delivery::new((config.seed, config.max_draft), drafter, spread),
            observer: Guarded::new(Box::new(observer)),
            batch: Batch::default(),
            drawn: Vec::new(),
            faults: Faults::default(),
            spare: Spare::default(),
            forecast: Forecast::default(),
            second: None,
            latest: Duration::ZERO,
            totals: EngineStats::default(),
        };
        match tier {
            Some(tier) => engine.with_tier(tier),
            None => engine,
        }
    }

    /// One step: schedule, execute, sample, commit. `clock` gives the time since any fixed moment; it is asked at the
    /// beginning, at the end, and where something else than the batch takes time. Waits for nothing but the executor; with nothing to compute it only looks after receivers
    /// that are gone.
    pub fn step(&mut self, clock: &dyn Fn() -> Duration) -> StepReport {
        let started = clock();
        self.fetch(clock);
        let drafting = self.schedule(started, clock);
        let Engine { executor, scheduler, delivery, batch, drawn, faults, .. } = self;
        let work = scheduler.work();
        let logits = faults.interposed.call(scheduler, delivery).and_then(|()| execute(executor, batch));
        let outcome = logits.map(|logits| {
            delivery.sample(scheduler, logits, drawn);
            let ended = clock();
            scheduler.learn(ended.saturating_sub(started + drafting));
            delivery.computed(started, ended, scheduler);
            advance(scheduler, delivery, drawn.drain(..), (logits, ended));
            ended
        });
        delivery.keep_up(if outcome.is_ok() { executor.hidden() } else { &[] }, clock);
        let ended = outcome.as_ref().map_or_else(|_| clock(), |ended| *ended);
        self.commit(outcome.map(|_| ()), work, (started, ended))
    }

    /// Queues a request that came at the time `arrived`. What can never run (a prompt that leaves no room in the context
    /// or the cache) is answered with `Failed` at once, what cannot be complete by its deadline with `TooLate`.
    pub fn submit(&mut self, request: Request, arrived: Duration) {
        self.submit_all(vec![request], arrived);
    }

    /// Queues several requests, or none of them if the deadline of one cannot be met.
    pub fn submit_all(&mut self, requests: Vec<Request>, arrived: Duration) {
        let late = requests.iter().find_map(|request| self.lateness(request, arrived));
        let late = late.map(|late| FinishReason::TooLate(Box::new(late)));
        for mut request in requests {
            let interposed = request.rows.interposed.take().map(|interposed| (request.id, interposed));
            let end = self.immediate_end(&request).or_else(|| late.clone());
            let (sequences, mut first) = (self.delivery.open(request, arrived, &self.scheduler), true);
            for (id, arrival) in sequences {
                match &end {
                    Some(reason) => self.delivery.finish(id, reason),
                    None => self.enqueue(id, arrival, std::mem::take(&mut first)),
                }
            }
            interposed.into_iter().for_each(|(id, interposed)| self.faults.interposed.add(id, interposed));
        }
        self.tell();
    }

    /// Ends a request now, wherever it is.
    pub fn abort(&mut self, id: RequestId) {
        self.end(|request| request == id, &FinishReason::Aborted);
    }

    /// Ends all requests now.
    pub fn abort_all(&mut self) {
        self.end(|_| true, &FinishReason::Aborted);
    }

    /// Why the engine cannot go on: then everything it had has ended with [`FinishReason::Failed`], and so does what is
    /// submitted from now on.
    pub fn failure(&self) -> Option<&Arc<str>> {
        self.faults.failure()
    }

    /// Whether there is nothing to do until the next request.
    pub fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }

    /// Continuations that have not started yet.
    pub fn queued(&self) -> usize {
        self.scheduler.queued()
    }

    /// Tokens of the prompts of these.
    pub fn queued_tokens(&self) -> usize {
        self.scheduler.queued_tokens()
    }

    /// The counters now.
    pub fn stats(&self) -> EngineStats {
        let blocks = self.scheduler.cache().blocks();
        EngineStats {
            waiting: self.delivery.unanswered(),
            running: self.scheduler.running().len(),
            kv_blocks_used: blocks.used(),
            kv_blocks_kept: blocks.kept(),
            kv_blocks: blocks.total(),
            states: self.scheduler.state_counts(),
            ..self.totals
        }
    }

    /// Lets the policy, the executor and the tier make counters and histograms of their own.
    pub fn register(&mut self, instruments: &Instruments) {
        self.executor.register(instruments);
        self.scheduler.register(instruments);
        self.second.iter_mut().for_each(|second| second.register(instruments));
    }

    /// Who runs and who waits at the time `now`.
    pub fn view(&self, now: Duration) -> EngineView {
        EngineView::of(&self.scheduler, &self.delivery, self.forecast.accuracy(), now)
    }

    /// Takes blocks of the KV cache away until the time `until`: as many as there are of these that nobody holds, and more as
    /// they are let go. It takes the place of what was taken before; none gives all back.
    pub fn withhold(&mut self, blocks: usize, until: Duration) {
        self.scheduler.withhold(blocks, until);
    }

    /// What computes the batches.
    pub fn executor(&self) -> &E {
        &self.executor
    }

    /// Who runs when.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Checks that everything fits together: each block in use has as many owners as references, tables cover what was
    /// computed, limits are kept, scheduler, contents and records know the same sequences. For tests and debugging.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self) -> Result<(), String> {
        self.scheduler.check()?;
        self.delivery.check(&self.scheduler)
    }

    /// Decides what the step computes, and fills the batch with it; gives the time that a draft model took.
    fn schedule(&mut self, now: Duration, clock: &dyn Fn() -> Duration) -> Duration {
        self.expire(now);
        self.delivery.poll(now, &mut self.scheduler);
        self.scheduler.share_threads(self.executor.is_shared());
        self.scheduler.schedule(now, &self.delivery);
        let drafting = self.delivery.draft_by_model(&self.scheduler, clock);
        self.scheduler.speculate(&self.delivery);
        self.end_if_undecided();
        self.let_go_of_fetched();
        self.spill();
        let top = self.executor.top().min(self.executor.limits().vocab);
        self.delivery.fill(now, &self.scheduler, &mut self.batch, top);
        drafting
    }
}
