//! The whole engine under random load: arrivals, forks, masks, full, contented and vanishing receivers, aborts, failing
//! batches, broken executors, prompts that begin alike and too few blocks, under several policies and rules of eviction. After every step its books are checked; at the end
//! every answer must be the one its request gets alone, and every request must have a record that says what happened.
//!
//! `WHINCHAT_SIMULATOR_SEEDS=100000` runs more; `WHINCHAT_SIMULATOR_SEED=17` runs one.

mod dice;
mod order;
mod seen;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dice::Dice;
use engine::{
    Ageing, Continuation, EarliestDeadline, Engine, EngineConfig, Eviction, FairShare, FinishReason, FirstCome,
    MemoryOrder, Policy, Prompt, Request, RequestId, RequestRecord, SequenceId, Setup, ShortestPrefill, SinkState,
    StepReport, TierKey, TokenMask,
};
use order::Order;
use seen::{Seen, is_fault};

use crate::executor::{Fake, Fault, VOCAB};
use crate::inbox::Inbox;
use crate::policies::Urgent;
use crate::tiers::Drawer;

#[test]
#[allow(clippy::disallowed_methods, reason = "a test has no command line")]
fn every_answer_is_the_one_its_request_gets_alone() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match variable("WHINCHAT_SIMULATOR_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("WHINCHAT_SIMULATOR_SEEDS").unwrap_or(400),
    };
    let mut total = Totals::default();
    for seed in seeds.clone() {
        if let Err(broken) = World::new(seed).run(&mut total) {
            panic!("seed {seed}: {broken}");
        }
    }
    eprintln!("{total:?}");
    let Totals { forks, preempted, cancelled, stalled, aborted, whole, done, masked, .. } = total;
    let Memory { found, resumed, scored, forgotten, forgotten_states, restored } = total.memory;
    let often = [
        forks,
        preempted,
        cancelled,
        stalled,
        total.faults.ended,
        aborted,
        whole,
        done,
        masked,
        found,
        resumed,
        scored,
        forgotten,
        forgotten_states,
        restored,
        total.overdue,
        total.drafts.computed,
        total.drafts.accepted,
        total.drafts.by_model[0],
        total.drafts.by_model[1],
    ];
    let enough = often.iter().all(|count| *count > 100) && total.faults.gave_up > 3;
    assert!(seeds.end - seeds.start < 100 || enough, "{total:?}");
}

/// What happened in all runs, to know that the simulator reaches everything.
#[derive(Debug, Default)]
struct Totals {
    forks: usize,
    preempted: usize,
    cancelled: usize,
    stalled: usize,
    memory: Memory,
    faults: Faults,
    aborted: usize,
    overdue: usize,
    drafts: Drafts,
    whole: usize,
    /// The receiver had all it wanted.
    done: usize,
    /// Ended by a mask, complete or starved.
    masked: usize,
}

/// What became of faults of the executor.
#[derive(Debug, Default)]
struct Faults {
    /// Requests that ended by one.
    ended: usize,
    /// Engines that gave up.
    gave_up: usize,
}

/// What became of drafts in all runs.
#[derive(Debug, Default)]
struct Drafts {
    computed: usize,
    accepted: usize,
    /// Of these, those of draft models, and of heads.
    by_model: [usize; 2],
}

/// What became of blocks in all runs.
#[derive(Debug, Default)]
struct Memory {
    /// Tokens found in the cache.
    found: usize,
    /// Of these, those of models with recurrent layers.
    resumed: usize,
    /// Continuations whose prompt was scored, and nothing of it taken from the cache.
    scored: usize,
    /// Blocks whose memory went back to the system.
    forgotten: usize,
    /// States whose memory did.
    forgotten_states: usize,
    /// Blocks and states that came back from the second tier.
    restored: usize,
}

/// A run.
struct World {
    dice: Dice,
    config: EngineConfig,
    engine: Engine<Fake>,
    seen: Seen,
    /// Longest sequence: the context, or what all blocks hold.
    longest: usize,
    /// First come, no full receivers and no faults: then the oldest request must advance in every step.
    fair: bool,
    /// How often a batch fails.
    faulty: f64,
    /// Nobody starts before who has come so much earlier and can start too.
    bound: Option<Duration>,
    clients: Vec<Client>,
    requests: u64,
    preempted: usize,
    now: Duration,
}

/// A continuation, as its receiver sees it.
struct Client {
    request: u64,
    inbox: Arc<Mutex<Inbox>>,
    order: Order,
}

/// How many policies there are.
const POLICIES: usize = 6;

/// A policy with delays as short as the runs are, and the bound on waiting that it promises. A prompt has at most 72 tokens,
/// or it is refused at once.
fn by_name(number: usize) -> (Box<dyn Policy>, Option<Duration>) {
    let time = Duration::from_millis;
    match number {
        0 => (Box::new(FirstCome), Some(Duration::ZERO)),
        1 => (Box::new(Ageing { normal: time(200), low: time(900) }), Some(time(900))),
        2 => (Box::new(EarliestDeadline { patience: time(800) }), Some(time(800))),
        3 => (Box::new(ShortestPrefill { per_token: time(10) }), Some(time(720))),
        4 => (Box::new(FairShare::default()), None),
        _ => (Box::new(Urgent), None),
    }
}

/// With a second tier, sometimes, which forgets, sometimes.
fn tiered(engine: Engine<Fake>, dice: &mut Dice) -> Engine<Fake> {
    if !dice.chance(0.6) {
        return engine;
    }
    engine.with_tier(Box::new(Drawer::new(dice.upto(100), Some(dice.number()))))
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed);
        let (blocks, block_len) = (dice.upto(40) + 2, dice.upto(8) + 1);
        let (rows, outputs) = (dice.upto(40) + 1, dice.upto(9) + 1);
        // Every second one gives the greatest logits where they suffice.
        let executor = Fake::new(rows, outputs, blocks, block_len).with_top((seed % 2) as usize * VOCAB);
        let executor = if dice.chance(0.4) { executor.with_states(dice.upto(9) + 1) } else { executor };
        let config = EngineConfig {
            max_batch_tokens: dice.upto(40) + 1,
            max_sequences: dice.upto(9) + 1,
            max_queue: usize::MAX,
            context: dice.upto(60) + 12,
            seed,
            prefix_cache: dice.chance(0.7).then(|| Eviction::ALL[dice.upto(4)]),
            prefix_tokens: dice.chance(0.3).then(|| dice.upto(blocks * block_len)),
            prefix_states: dice.chance(0.3).then(|| dice.upto(4)),
            max_draft: if dice.chance(0.5) { dice.upto(9) } else { 0 },
            ..EngineConfig::default()
        };
        let mut seen = Seen::default();
        let fair = dice.chance(0.3);
        let draft = seen.drafting(&config, &mut dice);
        let (policy, bound) = if fair { by_name(0) } else { by_name(dice.upto(POLICIES)) };
        let faulty = if dice.chance(0.1) { 0.4 } else { 0.006 };
        let setup = Setup { policy: Some(policy), draft, ..config.into() };
        World {
            fair,
            faulty: if fair { 0.0 } else { faulty },
            bound,
            engine: tiered(Engine::of(executor, setup, seen.clone()), &mut dice),
            dice,
            config,
            seen,
            longest: config.context.min(blocks * block_len),
            clients: Vec::new(),
            requests: 0,
            preempted: 0,
            now: Duration::ZERO,
        }
    }

    fn run(mut self, total: &mut Totals) -> Result<(), String> {
        let (steps, load) = (self.dice.upto(200) + 20, self.dice.unit() * 0.4);
        for _ in 0..steps {
            while self.dice.chance(load) {
                self.arrive();
            }
            self.disturb();
            self.step(total)?;
        }
        self.each_inbox(|inbox| {
            if inbox.state == SinkState::Full {
                inbox.state = SinkState::Ready;
            }
        });
        self.unpin();
        for _ in 0..100_000 {
            if self.engine.is_idle() {
                break;
            }
            self.step(total)?;
        }
        let stats = self.engine.stats();
        ensure(self.engine.is_idle() && stats.kv_blocks_used == 0, || format!("it does not end: {stats:?}"))?;
        let bench = self.engine.executor().bench.lock().unwrap();
        total.memory.forgotten += bench.forgotten;
        total.memory.forgotten_states += bench.forgotten_states;
        drop(bench);
        total.memory.restored += stats.tier.restored as usize;
        total.faults.gave_up += usize::from(self.engine.failure().is_some());
        self.clients.iter().try_for_each(|client| self.judge(client, total))?;
        for record in self.seen.records.lock().unwrap().iter() {
            total.drafts.computed += record.tokens.drafts.computed;
            total.drafts.accepted += record.tokens.drafts.accepted;
            total.drafts.by_model[0] += record.tokens.model_drafts.accepted;
            total.drafts.by_model[1] += record.tokens.head_drafts.accepted;
        }
        self.audit()
    }

    /// A random request.
    fn arrive(&mut self) {
        let id = self.requests;
        self.requests += 1;
        // The first two tokens name the request, for the watch over fairness.
        let name = [id as u32 / VOCAB as u32 % VOCAB as u32, id as u32 % VOCAB as u32];
        let mut order = Order::random(&mut self.dice, name, self.longest);
        if !self.fair && self.dice.chance(0.1) {
            order.prompt.truncate(1);
        }
        if !self.fair && self.dice.chance(0.5) {
            self.begin_as_another(&mut order);
        }
        let n = if self.dice.chance(0.3) { self.dice.upto(5) + 1 } else { 1 };
        let mut continuations = Vec::new();
        for i in 0..n as u64 {
            let (sink, inbox) = Inbox::open();
            let mask = order.mask.clone().map(|mask| -> Box<dyn TokenMask> { Box::new(mask) });
            continuations.push(Continuation { sink, mask });
            let order = Order { seed: order.seed.wrapping_add(i), ..order.clone() };
            self.clients.push(Client { request: id, inbox, order });
        }
        let prompt = Prompt::new(order.prompt).expect("prompts are not empty");
        let Order { params, stop, priority, scored: prompt_logprobs, .. } = order;
        let deadline = (!self.fair && self.dice.chance(0.2)).then(|| self.now + self.dice.time(3000));
        let tenant = Some(["a", "b", "c"][self.dice.upto(3)].into());
        let cache_salt = self.dice.chance(0.2).then(|| "a stranger".into());
        let request = Request::new(RequestId(id), prompt, continuations);
        let request = Request { params, stop, priority, deadline, tenant, cache_salt, prompt_logprobs, ..request };
        self.engine.submit(request, self.now);
    }

    /// Lets a prompt begin with what an earlier request has said and heard.
    fn begin_as_another(&mut self, order: &mut Order) {
        let Some(past) = self.clients.get(self.dice.upto(self.clients.len())) else { return };
        let mut prompt = past.order.prompt.clone();
        prompt.extend(past.order.alone(self.longest).0);
        prompt.truncate(self.dice.upto(prompt.len()) + 1);
        prompt.extend(order.prompt.iter().take(self.dice.upto(9)));
        order.prompt = prompt;
    }

    /// What clients and machines do to an engine.
    fn disturb(&mut self) {
        let (fair, mut dice) = (self.fair, self.dice.fork());
        self.each_inbox(|inbox| {
            inbox.state = match inbox.state {
                SinkState::Ready if !fair && dice.chance(0.02) => SinkState::Full,
                SinkState::Full if dice.chance(0.1) => SinkState::Ready,
                SinkState::Ready | SinkState::Full if dice.chance(0.003) => SinkState::Gone,
                SinkState::Ready | SinkState::Full if dice.chance(0.003) => SinkState::Done,
                state => state,
            };
        });
        if self.requests > 0 && dice.chance(0.02) {
            self.engine.abort(RequestId(dice.upto(self.requests as usize) as u64));
        }
        let faults = [Fault::Error, Fault::Panic, Fault::Nan, Fault::Short];
        let fault = if dice.chance(0.01) { Fault::Broken } else { faults[dice.upto(faults.len())] };
        self.engine.executor().bench.lock().unwrap().fault = dice.chance(self.faulty).then_some(fault);
        self.now += dice.time(150);
        if !fair && dice.chance(0.05) {
            self.remember(&mut dice);
        }
    }

    /// What somebody does to the memory.
    fn remember(&mut self, dice: &mut Dice) {
        let report = self.engine.memory(&MemoryOrder::Report).expect("it can always be told");
        let keys: Vec<TierKey> = report.prefixes.iter().map(|prefix| prefix.key).collect();
        let key = keys.get(dice.upto(keys.len().max(1))).copied().unwrap_or(TierKey([0; 32]));
        let order = match dice.upto(8) {
            0 => MemoryOrder::EvictBlocks(dice.upto(5)),
            1 => MemoryOrder::EvictPrefix(key),
            2 | 3 => MemoryOrder::Pin(key),
            4 => MemoryOrder::Unpin(key),
            5 => MemoryOrder::Flush,
            6 => MemoryOrder::Rule(Eviction::ALL[dice.upto(4)]),
            _ => MemoryOrder::Advise(keys),
        };
        // What cannot be done changes nothing, which is checked after each step.
        let _ = self.engine.memory(&order);
    }

    /// Nothing is pinned any more.
    fn unpin(&mut self) {
        let report = self.engine.memory(&MemoryOrder::Report).expect("it can always be told");
        for prefix in report.prefixes.iter().filter(|prefix| prefix.pinned) {
            self.engine.memory(&MemoryOrder::Unpin(prefix.key)).expect("it is pinned");
        }
    }

    /// A step, and what must hold after any.
    fn step(&mut self, total: &mut Totals) -> Result<(), String> {
        let oldest = self.clients.iter().find(|client| client.live()).map(|client| client.order.prompt.clone());
        let waiting = self.waiting();
        let report = self.engine.step(&|| self.now);
        self.engine.check()?;
        let pinned = self.pinned(&report);
        self.check_report(&report, pinned)?;
        self.check_waiting(&waiting)?;
        for client in &self.clients {
            let inbox = client.inbox.lock().unwrap();
            ensure(inbox.broken.is_none(), || format!("{:?}", inbox.broken))?;
            let over = inbox.finish.is_some() || inbox.state == SinkState::Gone;
            ensure(over == inbox.closed, || format!("over: {over}, but sink dropped: {}", inbox.closed))?;
        }
        let bench = self.engine.executor().bench.lock().unwrap();
        ensure(bench.broken.is_none(), || format!("batch: {:?}", bench.broken))?;
        let draft = self.seen.broken();
        ensure(draft.is_none(), || format!("batch of the draft model: {draft:?}"))?;
        if let Some(prompt) = oldest.filter(|_| self.fair) {
            ensure(bench.seen.iter().any(|seen| prompt.starts_with(seen)), || {
                format!("{prompt:?} is passed over: {report:?} {:?}", bench.seen)
            })?;
        }
        let stats = self.engine.stats();
        self.preempted += report.preempted;
        total.preempted += report.preempted;
        total.cancelled += report.cancelled;
        total.stalled += report.stalled;
        total.memory.found += report.found;
        total.memory.resumed += if stats.states.total > 0 { report.found } else { 0 };
        total.forks += bench.log.last().map_or(0, |(_, _, copies)| *copies);
        Ok(())
    }

    /// When the sequences came that wait for their turn and could run.
    fn waiting(&self) -> Vec<(SequenceId, Duration)> {
        let waiting = self.engine.scheduler().waiting().iter().filter(|sequence| sequence.stalled_since().is_none());
        waiting.map(|sequence| (sequence.id(), sequence.arrival().time)).collect()
    }

    /// Nobody has started before who came so much earlier that the policy forbids it.
    fn check_waiting(&self, before: &[(SequenceId, Duration)]) -> Result<(), String> {
        let Some(bound) = self.bound else { return Ok(()) };
        let started = self.engine.scheduler().started();
        let latest = before.iter().filter(|(id, _)| started.contains(id)).map(|(_, time)| *time).max();
        let passed = self
            .waiting()
            .into_iter()
            .find(|(id, time)| before.contains(&(*id, *time)) && latest.is_some_and(|latest| latest > *time + bound));
        ensure(passed.is_none(), || format!("{passed:?} is overtaken by one that came at {latest:?}"))
    }

    /// Blocks that are held though nothing runs.
    fn pinned(&mut self, report: &StepReport) -> usize {
        if report.running > 0 || report.blocks_used == 0 {
            return 0;
        }
        self.engine.memory(&MemoryOrder::Report).expect("it can always be told").cache.pinned
    }

    fn check_report(&self, report: &StepReport, pinned: usize) -> Result<(), String> {
        let live = self.clients.iter().filter(|client| client.live()).count();
        let sequences = report.running + report.waiting;
        let holds = report.rows() <= self.config.max_batch_tokens
            && report.running <= self.config.max_sequences
            && (sequences == 0) == (live == 0)
            && sequences <= live
            && report.stalled <= sequences
            && (report.running > 0 || report.blocks_used == pinned);
        ensure(holds, || format!("{live} live clients, but {report:?}"))
    }

    /// The end of a continuation must be its own.
    fn judge(&self, client: &Client, total: &mut Totals) -> Result<(), String> {
        let inbox = client.inbox.lock().unwrap();
        let (tokens, reason) = client.order.alone(self.longest);
        let context = || format!("request {}: {:?} {:?}, alone {tokens:?}", client.request, inbox.tokens, inbox.finish);
        ensure(tokens.starts_with(&inbox.tokens), context)?;
        let scores = client.order.scores().filter(|_| inbox.started.is_some());
        ensure(inbox.scores.as_deref() == scores.as_deref(), context)?;
        total.memory.scored += usize::from(scores.is_some());
        let Some(finish) = &inbox.finish else {
            return ensure(inbox.state == SinkState::Gone, context);
        };
        let counted = (finish.prompt_tokens, finish.generated_tokens);
        ensure(counted == (client.order.prompt.len(), inbox.tokens.len()), context)?;
        let refused = client.order.refused(self.longest);
        let right = if refused { matches!(finish.reason, FinishReason::Failed(_)) } else { finish.reason == reason };
        let whole = right && inbox.tokens == tokens;
        let count = match &finish.reason {
            FinishReason::Aborted => &mut total.aborted,
            FinishReason::Deadline => &mut total.overdue,
            FinishReason::Failed(text) if is_fault(text) => &mut total.faults.ended,
            FinishReason::Complete if inbox.state == SinkState::Done => &mut total.done,
            FinishReason::Complete | FinishReason::Failed(_) if whole => &mut total.masked,
            _ if whole => &mut total.whole,
            _ => return Err(context()),
        };
        *count += 1;
        Ok(())
    }

    /// Every request must have one record, and it must say what its clients saw.
    fn audit(&self) -> Result<(), String> {
        let records = self.seen.records.lock().unwrap();
        ensure(records.len() as u64 == self.requests, || format!("{} records", records.len()))?;
        let preempted: usize = records.iter().map(|record| record.preemptions).sum();
        ensure(preempted == self.preempted, || format!("{preempted} preemptions, not {}", self.preempted))?;
        records.iter().try_for_each(|record| self.audit_one(record))
    }

    fn audit_one(&self, record: &RequestRecord) -> Result<(), String> {
        let (mut reasons, mut generated) = (Vec::new(), 0);
        for client in self.clients.iter().filter(|client| client.request == record.id.0) {
            let inbox = client.inbox.lock().unwrap();
            let reason = inbox.finish.as_ref().map_or(FinishReason::Cancelled, |finish| finish.reason.clone());
            reasons.push(format!("{reason:?}"));
            generated += inbox.tokens.len();
        }
        let mut recorded: Vec<String> = record.reasons.iter().map(|reason| format!("{reason:?}")).collect();
        recorded.sort();
        reasons.sort();
        let times = &record.times;
        let answered = [times.first_token, times.last_token].map(|time| time.is_some());
        let order = [Some(times.arrived), times.started, times.first_token, times.last_token];
        let holds = recorded == reasons
            && (record.tokens.cached < record.tokens.prompt)
            && record.tokens.generated == generated
            && record.tokens.drafts.accepted <= record.tokens.drafts.computed.min(generated)
            && answered == [generated > 0; 2]
            && order.into_iter().flatten().is_sorted();
        ensure(holds, || format!("{generated} tokens, {reasons:?}, but {record:?}"))
    }

    fn each_inbox(&self, mut f: impl FnMut(&mut Inbox)) {
        self.clients.iter().for_each(|client| f(&mut client.inbox.lock().unwrap()));
    }
}

impl Client {
    fn live(&self) -> bool {
        let inbox = self.inbox.lock().unwrap();
        inbox.finish.is_none() && !matches!(inbox.state, SinkState::Gone | SinkState::Done)
    }
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
