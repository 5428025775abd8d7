//! An engine under load on a virtual clock, which can be made to go wrong, told to the telemetry step by step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use telemetry::{
    Anomaly, Cause, EngineTelemetry, Forecast, Interval, KvGauges, Labels, Left, Machine, Pulse, Question, Record,
    Request, Step, Telemetry,
};

/// Sequences that run at once.
const SLOTS: usize = 32;

/// Rows of prompts in a step.
const BUDGET: usize = 256;

/// Tokens that the KV cache holds.
const CACHE: f64 = 24_000.0;

/// Most tokens of an answer.
const MOST: f64 = 200.0;

/// Every kind of fault.
pub(crate) const FAULTS: [Cause; 21] = [
    Cause::CoreTaken,
    Cause::Stolen,
    Cause::MemoryPressure,
    Cause::KvShortage,
    Cause::CacheThrash,
    Cause::PromptsChanged,
    Cause::LongPrompts,
    Cause::LongAnswers,
    Cause::Surge,
    Cause::OneTenant,
    Cause::SlowClients,
    Cause::ClientsLeave,
    Cause::TightDeadlines,
    Cause::BadVariantErrors,
    Cause::BadVariantRepeats,
    Cause::BadVariantRuns,
    Cause::BadVariantEmpty,
    Cause::DeviceFails,
    Cause::DeviceSlow,
    Cause::DeviceUnsteady,
    Cause::EngineStuck,
];

/// What is named within ten seconds of a fault, after five minutes of normal traffic: of each anomaly its cause as it is known then, and the
/// second in which it was named.
pub(crate) fn named(cause: Cause, seed: u64) -> Vec<(f64, Cause)> {
    let mut simulation = Simulation::new(seed);
    simulation.run_until(300.0);
    simulation.inject(cause);
    let mut named: Vec<(u64, f64, Cause)> = Vec::new();
    for (second, anomaly) in simulation.run_until(310.5) {
        named.retain(|(id, ..)| *id != anomaly.id);
        named.push((anomaly.id, second - 300.0, anomaly.cause));
    }
    named.sort_by_key(|(id, ..)| *id);
    named.into_iter().map(|(_, second, cause)| (second, cause)).filter(|(_, cause)| *cause != Cause::Unknown).collect()
}

/// An engine, its clients and its machine.
pub(crate) struct Simulation {
    pub(crate) telemetry: Telemetry,
    engine: Arc<EngineTelemetry>,
    chance: Chance,
    /// Seconds.
    pub(crate) now: f64,
    next_arrival: f64,
    second: u64,
    world: World,
    sequences: Sequences,
    fault: Option<Cause>,
    failed_batches: u64,
    told: [Told; 2],
}

/// How well first and last tokens were foretold when their requests came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) requests: usize,
    inside: usize,
    error: f64,
    width: f64,
}

impl Told {
    fn judge(&mut self, interval: Interval, actual: Duration) {
        let actual = actual.as_secs_f64().max(1e-9);
        let [least, likely, most] = [interval.least, interval.likely, interval.most].map(|time| time.as_secs_f64());
        self.requests += 1;
        self.inside += usize::from((least..=most).contains(&actual));
        self.error += (likely - actual).abs() / actual;
        self.width += (most - least) / likely.max(1e-9);
    }

    pub(crate) fn inside(&self) -> f64 {
        self.inside as f64 / self.requests.max(1) as f64
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Told { requests, error, width, .. } = self;
        let (inside, all) = (100.0 * self.inside(), (*requests).max(1) as f64);
        let (error, width) = (100.0 * error / all, width / all);
        write!(f, "{requests} foretold, {inside:.1} % inside, off by {error:.1} %, interval {width:.2} of the time")
    }
}

#[derive(Default)]
struct Sequences {
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    requests: u64,
}

/// What changes slowly.
struct World {
    /// Requests a second.
    rate: f64,
    machine: Machine,
}

/// When what happened to a sequence.
#[derive(Clone, Copy)]
struct Times {
    came: f64,
    started: Option<f64>,
    first: Option<f64>,
}

#[derive(Clone)]
struct Sequence {
    id: u64,
    tenant: usize,
    times: Times,
    prompt: usize,
    found: usize,
    /// Tokens of the prompt that are computed.
    done: usize,
    generated: usize,
    wanted: usize,
    /// How it ends.
    reason: &'static str,
    slow: bool,
    /// How much its answer repeats itself.
    repetition: f64,
    foretold: Option<Forecast>,
}

impl Simulation {
    pub(crate) fn new(seed: u64) -> Simulation {
        let telemetry = Telemetry::new(Duration::from_secs(1_700_000_000));
        let engine = telemetry.engine(Labels::model("m"));
        let world = World { rate: 2.5, machine: Machine { available: 0.5, ..Machine::default() } };
        Simulation {
            telemetry,
            engine,
            chance: Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now: 0.0,
            next_arrival: 0.0,
            second: 0,
            world,
            sequences: Sequences::default(),
            fault: None,
            failed_batches: 0,
            told: [Told::default(); 2],
        }
    }

    /// From now on this is wrong.
    pub(crate) fn inject(&mut self, cause: Cause) {
        self.fault = Some(cause);
    }

    /// Goes on until then; gives the anomalies that began or changed, each with its second.
    pub(crate) fn run_until(&mut self, end: f64) -> Vec<(f64, Anomaly)> {
        let mut anomalies = Vec::new();
        while self.now < end {
            self.arrive();
            self.step();
            while self.second < self.now as u64 {
                self.second += 1;
                anomalies.extend(self.tick().into_iter().map(|anomaly| (self.second as f64, anomaly)));
            }
        }
        anomalies
    }

    /// How well first (0) and last tokens (1) were foretold.
    pub(crate) fn told(&self, of: usize) -> Told {
        self.told[of]
    }

    fn is(&self, cause: Cause) -> bool {
        self.fault == Some(cause)
    }

    fn tick(&mut self) -> Vec<Anomaly> {
        let time = Duration::from_secs(self.second);
        self.world.rate = 2.5 * (1.0 + 0.4 * (self.second as f64 / 86_400.0 * std::f64::consts::TAU).sin());
        let (used, kept) = (self.used() / 16.0, if self.is(Cause::CacheThrash) { 1.0 } else { 0.5 });
        let blocks = (self.cache() / 16.0) as usize;
        let free = blocks.saturating_sub(used as usize);
        let kv = KvGauges {
            block_len: 16,
            blocks,
            used: used as usize,
            kept: (free as f64 * kept) as usize,
            ..KvGauges::default()
        };
        let Sequences { running, waiting, .. } = &self.sequences;
        let failed_batches = self.failed_batches;
        let (running, waiting) = (running.len(), waiting.len());
        self.engine.pulse(time, &Pulse { running, waiting, slots: SLOTS, context: 8192, failed_batches, kv });
        let machine = self.machine();
        self.telemetry.tick(time, machine).anomalies
    }

    fn machine(&mut self) -> Machine {
        let Machine { available, .. } = self.world.machine;
        let mut machine = Machine {
            others: 0.1 * self.chance.exponential(),
            stolen: 0.003 * self.chance.exponential(),
            major_faults: (2.0 * self.chance.exponential()).floor(),
            available,
            ..Machine::default()
        };
        match self.fault {
            Some(Cause::CoreTaken) => machine.others += 1.0,
            Some(Cause::Stolen) => machine.stolen += 0.15,
            Some(Cause::MemoryPressure) => (machine.major_faults, machine.available) = (400.0, 0.02),
            _ => {}
        }
        machine
    }

    fn cache(&self) -> f64 {
        if self.is(Cause::KvShortage) { CACHE / 80.0 } else { CACHE }
    }

    fn used(&self) -> f64 {
        self.sequences.running.iter().map(|s| (s.done + s.generated) as f64).sum()
    }

    fn arrive(&mut self) {
        while self.next_arrival <= self.now {
            let factor = match self.fault {
                Some(Cause::Surge | Cause::OneTenant) => 4.0,
                _ => 1.0,
            };
            self.next_arrival += self.chance.exponential() / (self.world.rate * factor);
            let sequence = self.sequence();
            self.sequences.waiting.push_back(sequence);
        }
    }

    fn sequence(&mut self) -> Sequence {
        let fault = self.fault;
        let is = |cause| fault == Some(cause);
        let longer = if is(Cause::LongPrompts) { 10.0 } else { 1.0 };
        let prompt = (longer * 150.0 * (0.6 * self.chance.normal()).exp()).clamp(8.0, 6000.0) as usize;
        let shares = match fault {
            Some(Cause::CacheThrash | Cause::PromptsChanged) => 0.03,
            _ => 0.8,
        };
        let found = if self.chance.share() < shares { prompt * 5 / 10 } else { 0 };
        let wanted = match fault {
            Some(Cause::BadVariantRepeats | Cause::BadVariantRuns) => MOST,
            Some(Cause::BadVariantEmpty) => 1.0,
            Some(Cause::LongAnswers) => 100.0 + 100.0 * self.chance.exponential(),
            _ => (1.0 + 50.0 * self.chance.exponential()).min(MOST),
        };
        let tenant = if is(Cause::OneTenant) && self.chance.share() < 0.75 {
            9
        } else {
            (self.chance.exponential() * 2.0) as usize % 8
        };
        let ends = |usual: f64, cause| if is(cause) { 0.5 } else { usual };
        let cut = wanted >= MOST && !is(Cause::LongAnswers);
        let reason = match self.chance.share() {
            share if share < ends(0.002, Cause::BadVariantErrors) => "error",
            share if share < ends(0.012, Cause::ClientsLeave) => "abort",
            share if share < ends(0.015, Cause::TightDeadlines) => "timeout",
            _ if cut => "length",
            _ => "stop",
        };
        let early = if matches!(reason, "stop" | "length") { 1.0 } else { self.chance.share() };
        self.sequences.requests += 1;
        let (running, waiting) = (self.sequences.running.len(), self.sequences.waiting.len());
        let question = Question { prompt: prompt - found, output: wanted as usize, running, waiting };
        Sequence {
            foretold: self.engine.predict(&question),
            id: self.sequences.requests,
            tenant,
            times: Times { came: self.now, started: None, first: None },
            prompt,
            found,
            done: 0,
            generated: 0,
            wanted: ((wanted * early) as usize).max(1),
            reason,
            slow: self.chance.share() < if is(Cause::SlowClients) { 0.7 } else { 0.01 },
            repetition: if is(Cause::BadVariantRepeats) { 0.9 } else { (0.05 * self.chance.exponential()).min(1.0) },
        }
    }

    fn step(&mut self) {
        if self.is(Cause::EngineStuck) {
            self.now += 0.05;
            return;
        }
        self.admit();
        let preempted = self.preempt();
        let before = self.now;
        let mut step = self.batch();
        step.preempted = preempted;
        if step.prefill_rows + step.decode_rows == 0 {
            self.now = self.next_arrival.min(self.now + 0.1).max(self.now + 0.001);
            return;
        }
        let took = self.took(&step);
        self.now += took;
        step.took = Duration::from_secs_f64(took);
        step.since_last = Some(step.took);
        if self.is(Cause::DeviceFails) && self.chance.share() < 0.1 {
            self.failed_batches += 1;
            self.sequences.running.iter_mut().for_each(|s| (s.reason, s.wanted) = ("error", s.generated.max(1)));
        }
        self.end(&mut step, before);
    }

    fn admit(&mut self) {
        let cache = self.cache();
        while let Some(next) = self.sequences.waiting.front() {
            let full = self.used() + (next.prompt + next.generated) as f64 > 0.95 * cache;
            if self.sequences.running.len() >= SLOTS || full && !self.sequences.running.is_empty() {
                return;
            }
            let Some(mut next) = self.sequences.waiting.pop_front() else { return };
            next.times.started = next.times.started.or(Some(self.now));
            self.sequences.running.push(next);
        }
    }

    fn preempt(&mut self) -> usize {
        let mut preempted = 0;
        while self.used() > self.cache() && self.sequences.running.len() > 1 {
            let mut last = self.sequences.running.pop().expect("more than one");
            last.done = 0;
            self.sequences.waiting.push_front(last);
            preempted += 1;
        }
        preempted
    }

    /// Decodes what can be decoded and fills the step with prompts.
    fn batch(&mut self) -> Step {
        let (mut step, mut budget) = (Step::default(), BUDGET);
        for sequence in &mut self.sequences.running {
            let reads = (sequence.id + (self.now as u64)).is_multiple_of(10);
            if sequence.slow && sequence.generated > 2 && !reads {
                step.left.stalled += 1;
                continue;
            }
            if sequence.done < sequence.prompt {
                if sequence.done == 0 {
                    sequence.done = sequence.found;
                    step.found += sequence.found;
                }
                let rows = (sequence.prompt - sequence.done).min(budget);
                (sequence.done, budget) = (sequence.done + rows, budget - rows);
                step.prefill_rows += rows;
            } else {
                step.decode_rows += 1;
            }
            step.context += sequence.done + sequence.generated;
        }
        step
    }

    fn took(&mut self, step: &Step) -> f64 {
        let rows = 0.008 + 0.00008 * step.prefill_rows as f64 + 0.0008 * step.decode_rows as f64;
        let noise = (0.04 * self.chance.normal()).exp() * if self.chance.share() < 0.01 { 1.3 } else { 1.0 };
        let slower = match self.fault {
            Some(Cause::CoreTaken) => 1.4,
            Some(Cause::Stolen) => 1.3,
            Some(Cause::MemoryPressure) => 1.8,
            Some(Cause::DeviceSlow) => 1.5,
            Some(Cause::DeviceUnsteady) if self.chance.share() < 0.3 => 2.5,
            _ => 1.0,
        };
        (rows + 1e-7 * step.context as f64) * noise * slower
    }

    /// Tokens come out, requests end, and the telemetry is told.
    fn end(&mut self, step: &mut Step, before: f64) {
        let (now, mut ended) = (self.now, Vec::new());
        let whole = |s: &Sequence| s.done >= s.prompt;
        for sequence in self.sequences.running.iter_mut().filter(|s| whole(s)) {
            let stalls = sequence.slow && sequence.generated > 2 && !(sequence.id + before as u64).is_multiple_of(10);
            if !stalls {
                sequence.times.first = sequence.times.first.or(Some(now));
                sequence.generated += 1;
                step.tokens += 1;
            }
        }
        self.sequences.running.retain(|sequence| {
            let over = sequence.generated >= sequence.wanted && whole(sequence);
            ended.extend(over.then(|| sequence.clone()));
            !over
        });
        let Sequences { running, waiting, .. } = &self.sequences;
        step.left =
            Left { running: running.len(), waiting: waiting.len(), stalled: step.left.stalled.min(running.len()) };
        let time = Duration::from_secs_f64(now);
        self.engine.step(time, step);
        for sequence in &ended {
            let record = sequence.record(now);
            let times = [record.request.first_token, record.request.last_token];
            if let (Some(Forecast { first_token, total }), "stop" | "length") = (sequence.foretold, sequence.reason) {
                for ((told, interval), actual) in self.told.iter_mut().zip([first_token, total]).zip(times) {
                    told.judge(interval, actual.unwrap_or_default());
                }
            }
            self.engine.ended(time, &record);
        }
    }
}

impl Sequence {
    fn record(&self, now: f64) -> Record<'static> {
        const TENANTS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "flood"];
        let since = |time: Option<f64>| time.map(|time| Duration::from_secs_f64((time - self.times.came).max(0.0)));
        Record {
            request: Request {
                queued: since(self.times.started),
                first_token: since(self.times.first),
                last_token: since(Some(now)),
                prompt: self.prompt,
                generated: self.generated,
                answers: 1,
                reason: self.reason,
                drafts: (0, 0),
                model_drafts: (0, 0),
                head_drafts: (0, 0),
                repetition: (self.generated >= 24).then_some(self.repetition),
                foretold: None,
            },
            id: self.id,
            tenant: Some(TENANTS[self.tenant]),
            cached: self.found,
            preemptions: 0,
            total: since(Some(now)).unwrap_or_default(),
            spans: &[],
        }
    }
}

/// Random numbers from a seed: xorshift64* (Vigna 2016).
pub(crate) struct Chance(u64);

impl Chance {
    /// From 0 to 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// With mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.share()).ln()
    }

    /// With mean 0 and standard deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (2.0 * self.exponential()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }
}
