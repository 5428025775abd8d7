//! The whole engine under random load: arrivals, forks, full and vanishing receivers, aborts, failing batches and too few
//! blocks. After every step its books are checked; at the end every answer must be the one its request gets alone.
//!
//! `WHINCHAT_SIMULATOR_SEEDS=100000` runs more; `WHINCHAT_SIMULATOR_SEED=17` runs one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Continuation, Draw, Engine, EngineConfig, FinishReason, Penalties, Prompt, Request, RequestId, Sampler,
    SamplingParams, SinkState, StepReport, StopRules,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::executor::{Bench, Fake, VOCAB, chain, logits};
use crate::inbox::Inbox;

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
    let Totals { forks, preempted, cancelled, stalled, failed, aborted, whole, .. } = total;
    let everything = [forks, preempted, cancelled, stalled, failed, aborted, whole];
    assert!(seeds.end - seeds.start < 100 || everything.iter().all(|count| *count > 100), "{total:?}");
}

/// What happened in all runs, to know that the simulator reaches everything.
#[derive(Debug, Default)]
struct Totals {
    steps: usize,
    tokens: usize,
    forks: usize,
    preempted: usize,
    cancelled: usize,
    stalled: usize,
    failed: usize,
    aborted: usize,
    whole: usize,
}

/// A run.
struct World {
    dice: Dice,
    config: EngineConfig,
    engine: Engine<Fake>,
    bench: Arc<Mutex<Bench>>,
    /// Longest sequence: the context, or what all blocks hold.
    longest: usize,
    /// No full receivers and no failures: then the oldest request must advance in every step.
    fair: bool,
    clients: Vec<Client>,
    requests: u64,
    now: Duration,
}

/// A continuation, as its receiver sees it.
struct Client {
    request: u64,
    inbox: Arc<Mutex<Inbox>>,
    order: Order,
}

/// What was ordered.
#[derive(Clone)]
struct Order {
    prompt: Vec<u32>,
    params: SamplingParams,
    stop: StopRules,
    seed: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
        let (blocks, block_len) = (dice.upto(40) + 2, dice.upto(8) + 1);
        let (rows, outputs) = (dice.upto(40) + 1, dice.upto(9) + 1);
        let executor = Fake::new(rows, outputs, blocks, block_len);
        let config = EngineConfig {
            max_batch_tokens: dice.upto(40) + 1,
            max_sequences: dice.upto(9) + 1,
            max_queue: usize::MAX,
            context: dice.upto(60) + 12,
            seed,
        };
        let bench = Arc::clone(&executor.bench);
        World {
            fair: dice.chance(0.3),
            dice,
            engine: Engine::new(executor, config, ()),
            config,
            bench,
            longest: config.context.min(blocks * block_len),
            clients: Vec::new(),
            requests: 0,
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
        for _ in 0..100_000 {
            if self.engine.is_idle() {
                break;
            }
            self.step(total)?;
        }
        let stats = self.engine.stats();
        ensure(self.engine.is_idle() && stats.kv_blocks_used == 0, || format!("it does not end: {stats:?}"))?;
        self.clients.iter().try_for_each(|client| self.judge(client, total))
    }

    /// A random request.
    fn arrive(&mut self) {
        let id = self.requests;
        self.requests += 1;
        let order = self.order(id);
        let n = if self.dice.chance(0.3) { self.dice.upto(5) + 1 } else { 1 };
        let mut continuations = Vec::new();
        for i in 0..n as u64 {
            let (sink, inbox) = Inbox::open();
            continuations.push(Continuation::new(sink));
            let order = Order { seed: order.seed.wrapping_add(i), ..order.clone() };
            self.clients.push(Client { request: id, inbox, order });
        }
        let prompt = Prompt::new(order.prompt).expect("prompts are not empty");
        let request = Request::new(RequestId(id), prompt, continuations);
        self.engine.submit(Request { params: order.params, stop: order.stop, ..request }, self.now);
    }

    fn order(&mut self, id: u64) -> Order {
        let dice = &mut self.dice;
        let length = if dice.chance(0.02) { dice.upto(3 * self.longest) } else { dice.upto(self.longest) } + 1;
        // The first two tokens name the request, for the watch over fairness.
        let name = [id as u32 / VOCAB as u32 % VOCAB as u32, id as u32 % VOCAB as u32];
        let mut prompt: Vec<u32> = name.into_iter().chain((2..length).map(|_| dice.token())).collect();
        if !self.fair && dice.chance(0.1) {
            prompt.truncate(1);
        }
        let seed = if dice.chance(0.1) { u64::MAX } else { dice.0.next_u64() };
        let penalties = Penalties { repetition: 1.2, frequency: 0.3, presence: 0.1 };
        let params = SamplingParams {
            temperature: if dice.chance(0.3) { 0.0 } else { 1.0 },
            top_k: dice.upto(3) * 7,
            penalties: if dice.chance(0.3) { penalties } else { SamplingParams::default().penalties },
            seed: Some(seed),
            logprobs: dice.chance(0.1).then_some(2),
            ..SamplingParams::default()
        };
        let stop: Vec<u32> = (0..dice.upto(3)).map(|_| dice.token()).collect();
        let stop = StopRules { max_tokens: dice.upto(30), min_tokens: dice.upto(4), tokens: stop.into() };
        Order { prompt, params, stop, seed }
    }

    /// What clients and machines do to an engine.
    fn disturb(&mut self) {
        let (fair, mut dice) = (self.fair, self.dice.fork());
        self.each_inbox(|inbox| {
            inbox.state = match inbox.state {
                SinkState::Ready if !fair && dice.chance(0.02) => SinkState::Full,
                SinkState::Full if dice.chance(0.1) => SinkState::Ready,
                SinkState::Ready | SinkState::Full if dice.chance(0.003) => SinkState::Gone,
                state => state,
            };
        });
        if self.requests > 0 && dice.chance(0.02) {
            self.engine.abort(RequestId(dice.upto(self.requests as usize) as u64));
        }
        let mut bench = self.bench.lock().unwrap();
        bench.fail = !fair && dice.chance(0.004);
        bench.nan = !fair && dice.chance(0.002);
        self.now += Duration::from_millis(dice.upto(150) as u64);
    }

    /// A step, and what must hold after any.
    fn step(&mut self, total: &mut Totals) -> Result<(), String> {
        let oldest = self.clients.iter().find(|client| client.live()).map(|client| client.order.prompt.clone());
        let report = self.engine.step(&|| self.now);
        self.engine.check()?;
        self.check_report(&report)?;
        for client in &self.clients {
            let inbox = client.inbox.lock().unwrap();
            ensure(inbox.broken.is_none(), || format!("{:?}", inbox.broken))?;
            let over = inbox.finish.is_some() || inbox.state == SinkState::Gone;
            ensure(over == inbox.closed, || format!("over: {over}, but sink dropped: {}", inbox.closed))?;
        }
        let bench = self.bench.lock().unwrap();
        ensure(bench.broken.is_none(), || format!("batch: {:?}", bench.broken))?;
        if let Some(prompt) = oldest.filter(|_| self.fair) {
            ensure(bench.seen.iter().any(|seen| prompt.starts_with(seen)), || {
                format!("{prompt:?} is passed over: {report:?} {:?}", bench.seen)
            })?;
        }
        total.steps += 1;
        total.tokens += report.tokens;
        total.preempted += report.preempted;
        total.cancelled += report.cancelled;
        total.stalled += report.stalled;
        total.forks += bench.log.last().map_or(0, |(_, _, copies)| *copies);
        Ok(())
    }

    fn check_report(&self, report: &StepReport) -> Result<(), String> {
        let live = self.clients.iter().filter(|client| client.live()).count();
        let sequences = report.running + report.waiting;
        let holds = report.rows() <= self.config.max_batch_tokens
            && report.running <= self.config.max_sequences
            && (sequences == 0) == (live == 0)
            && sequences <= live
            && report.stalled <= sequences
            && (report.running > 0 || report.blocks_used == 0);
        ensure(holds, || format!("{live} live clients, but {report:?}"))
    }

    /// The end of a continuation must be its own.
    fn judge(&self, client: &Client, total: &mut Totals) -> Result<(), String> {
        let inbox = client.inbox.lock().unwrap();
        let (tokens, reason) = self.alone(&client.order);
        let context = || format!("request {}: {:?} {:?}, alone {tokens:?}", client.request, inbox.tokens, inbox.finish);
        ensure(tokens.starts_with(&inbox.tokens), context)?;
        let Some(finish) = &inbox.finish else {
            return ensure(inbox.state == SinkState::Gone, context);
        };
        let counted = (finish.prompt_tokens, finish.generated_tokens);
        ensure(counted == (client.order.prompt.len(), inbox.tokens.len()), context)?;
        match &finish.reason {
            FinishReason::Aborted => total.aborted += 1,
            FinishReason::Failed(_) => total.failed += 1,
            _ => total.whole += 1,
        }
        let cut = matches!(finish.reason, FinishReason::Aborted)
            || matches!(&finish.reason, FinishReason::Failed(text) if text.contains("fire") || text.contains("NaN"));
        let refused = client.order.prompt.len() >= self.longest;
        let right = if refused { matches!(finish.reason, FinishReason::Failed(_)) } else { finish.reason == reason };
        ensure(cut || right && inbox.tokens == tokens, context)
    }

    /// The answer by definition: no batch, no cache, no engine.
    fn alone(&self, order: &Order) -> (Vec<u32>, FinishReason) {
        let (mut answer, mut sampler) = (Vec::new(), Sampler::new());
        let mut prefix = order.prompt.iter().fold(0, |prefix, token| chain(prefix, *token));
        while answer.len() < order.stop.max_tokens && order.prompt.len() + answer.len() < self.longest {
            let banned: &[u32] = if answer.len() < order.stop.min_tokens { &order.stop.tokens } else { &[] };
            let draw = Draw { prompt: &order.prompt, answer: &answer, banned, allowed: None, seed: order.seed };
            let token = sampler.sample(&logits(prefix), &order.params, &draw).expect("the logits are finite").id;
            answer.push(token);
            if order.stop.tokens.contains(&token) {
                return (answer, FinishReason::Stop(token));
            }
            prefix = chain(prefix, token);
        }
        (answer, FinishReason::Length)
    }

    fn each_inbox(&self, mut f: impl FnMut(&mut Inbox)) {
        self.clients.iter().for_each(|client| f(&mut client.inbox.lock().unwrap()));
    }
}

impl Client {
    fn live(&self) -> bool {
        let inbox = self.inbox.lock().unwrap();
        inbox.finish.is_none() && inbox.state != SinkState::Gone
    }
}

/// Random numbers.
struct Dice(ChaCha8Rng);

impl Dice {
    fn upto(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end.max(1) as u64) as usize
    }

    fn unit(&mut self) -> f64 {
        self.upto(1 << 20) as f64 / f64::from(1 << 20)
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    fn token(&mut self) -> u32 {
        self.upto(VOCAB) as u32
    }

    fn fork(&mut self) -> Dice {
        Dice(ChaCha8Rng::seed_from_u64(self.0.next_u64()))
    }
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
