//! An engine on a stage: requests, steps and what clients got, written in a line each.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Continuation, Engine, EngineConfig, Eviction, Observer, Prompt, Request, RequestId, RequestRecord, SinkState,
    StepReport, StopRules, Tier, Work,
};

use crate::executor::{Fake, Fault};
use crate::inbox::Inbox;

/// An engine with blocks of 4 positions, rows and sequences as given, and its clients.
///
/// A step is written `p6 d1 r2 w0 b3`: rows of prompts and of decoding, sequences running and waiting, blocks used; copies
/// on write follow as `c2`, preemptions as `x1`, tokens found in the cache as `f8`.
pub(crate) struct Scene {
    pub(crate) engine: Engine<Fake>,
    pub(crate) inboxes: Vec<Arc<Mutex<Inbox>>>,
    pub(crate) now: Duration,
    records: Arc<Mutex<Vec<RequestRecord>>>,
    requests: u64,
}

impl Scene {
    pub(crate) fn new(rows: usize, sequences: usize, blocks: usize) -> Scene {
        Scene::of(Fake::new(64, 16, blocks, 4), (rows, sequences), None)
    }

    /// With a cache that keeps prefixes for later requests.
    pub(crate) fn keeping(rows: usize, sequences: usize, blocks: usize) -> Scene {
        Scene::of(Fake::new(64, 16, blocks, 4), (rows, sequences), Some(Eviction::Lru))
    }

    /// With a model that has recurrent layers, and so many slots for their states.
    pub(crate) fn with_states(rows: usize, sequences: usize, blocks: usize, slots: usize) -> Scene {
        Scene::of(Fake::new(64, 16, blocks, 4).with_states(slots), (rows, sequences), Some(Eviction::Lru))
    }

    /// With a second tier.
    pub(crate) fn tier(mut self, tier: impl Tier + 'static) -> Scene {
        self.engine = self.engine.with_tier(Box::new(tier));
        self
    }

    /// On any executor.
    pub(crate) fn of(executor: Fake, (rows, sequences): (usize, usize), prefix_cache: Option<Eviction>) -> Scene {
        let config = EngineConfig {
            max_batch_tokens: rows,
            max_sequences: sequences,
            max_queue: 99,
            context: 64,
            seed: 1,
            prefix_cache,
            max_draft: 0,
            ..EngineConfig::default()
        };
        let records = Arc::default();
        let engine = Engine::new(executor, config, Recorder(Arc::clone(&records)));
        Scene { engine, inboxes: Vec::new(), now: Duration::ZERO, records, requests: 0 }
    }

    /// Submits a request for `n` continuations of `prompt` tokens.
    pub(crate) fn submit(&mut self, prompt: usize, n: usize, max_tokens: usize) -> &mut Scene {
        self.ask((1..=prompt as u32).map(|i| i % 32).collect(), n, StopRules { max_tokens, ..StopRules::default() })
    }

    pub(crate) fn ask(&mut self, prompt: Vec<u32>, n: usize, stop: StopRules) -> &mut Scene {
        self.ask_as(prompt, n, |request| Request { stop, ..request })
    }

    /// Submits a request for `n` continuations that `adjust` completes.
    pub(crate) fn ask_as(&mut self, prompt: Vec<u32>, n: usize, adjust: impl FnOnce(Request) -> Request) -> &mut Scene {
        let (sinks, inboxes): (Vec<_>, Vec<_>) = (0..n).map(|_| Inbox::open()).unzip();
        self.inboxes.extend(inboxes);
        let prompt = Prompt::new(prompt).expect("the prompt is not empty");
        let continuations = sinks.into_iter().map(Continuation::new).collect();
        let request = adjust(Request::new(RequestId(self.requests), prompt, continuations));
        self.requests += 1;
        self.engine.submit(request, self.now);
        self
    }

    /// Makes a step for each expectation.
    pub(crate) fn check(&mut self, expect: &[&str]) -> &mut Scene {
        for (i, expect) in expect.iter().enumerate() {
            let before = self.engine.executor().bench.lock().unwrap().log.len();
            let report = self.engine.step(&|| self.now);
            self.engine.check().unwrap();
            let bench = self.engine.executor().bench.lock().unwrap();
            assert_eq!(bench.broken, None);
            let copies = bench.log[before..].iter().map(|(_, _, copies)| copies).sum();
            assert_eq!(shown(&report, copies), *expect, "step {i}");
        }
        self
    }

    /// Makes steps until nothing is left to do; gives the number of preemptions.
    pub(crate) fn finish(&mut self) -> usize {
        let mut preempted = 0;
        for _ in 0..10_000 {
            if self.engine.is_idle() {
                break;
            }
            preempted += self.engine.step(&|| self.now).preempted;
            self.engine.check().unwrap();
        }
        assert_eq!((self.engine.is_idle(), self.engine.stats().kv_blocks_used), (true, 0));
        preempted
    }

    /// Batches computed so far.
    pub(crate) fn batches(&self) -> usize {
        self.engine.executor().bench.lock().unwrap().log.len()
    }

    /// Slots of recurrent states that sequences use.
    pub(crate) fn slots(&self) -> usize {
        self.engine.stats().states.used
    }

    /// What each client has got.
    pub(crate) fn check_clients(&self, expect: &[&str]) {
        let got: Vec<String> = self.inboxes.iter().map(|inbox| inbox.lock().unwrap().to_string()).collect();
        assert_eq!(got, expect);
    }

    /// The records of the requests that have ended, in the order in which they did.
    pub(crate) fn records(&self) -> Vec<RequestRecord> {
        self.records.lock().unwrap().clone()
    }

    pub(crate) fn set(&mut self, client: usize, state: SinkState) -> &mut Scene {
        self.inboxes[client].lock().unwrap().state = state;
        self
    }

    /// Lets the next batch fail.
    pub(crate) fn fail(&mut self, fault: Fault) -> &mut Scene {
        self.engine.executor().bench.lock().unwrap().fault = Some(fault);
        self
    }
}

/// Keeps the records of requests.
struct Recorder(Arc<Mutex<Vec<RequestRecord>>>);

impl Observer for Recorder {
    fn step(&mut self, _: &StepReport) {}

    fn ended(&mut self, record: &RequestRecord) {
        self.0.lock().unwrap().push(record.clone());
    }
}

fn shown(report: &StepReport, copies: usize) -> String {
    let Work { prefill_rows, decode_rows, .. } = report.work;
    let StepReport { running, waiting, blocks_used, preempted, found, .. } = report;
    let mut text = format!("p{prefill_rows} d{decode_rows} r{running} w{waiting} b{blocks_used}");
    for (name, count) in [("c", copies), ("x", *preempted), ("f", *found)] {
        if count > 0 {
            text += &format!(" {name}{count}");
        }
    }
    text
}
