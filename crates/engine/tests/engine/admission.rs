//! Deadlines before they pass: what is expected of requests, who is refused, and how well it is foretold, on a virtual clock.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Continuation, Engine, EngineConfig, FinishReason, Observer, Prompt, Request, RequestId, RequestRecord, StepReport,
    StopRules,
};
use proptest::prelude::*;

use crate::executor::Fake;
use crate::inbox::Inbox;

/// An engine whose steps take 5 ms, and a tenth of one for each row.
struct World {
    engine: Engine<Fake>,
    now: Duration,
    records: Arc<Mutex<Vec<RequestRecord>>>,
    requests: u64,
}

struct Recorder(Arc<Mutex<Vec<RequestRecord>>>);

impl Observer for Recorder {
    fn step(&mut self, _: &StepReport) {}

    fn ended(&mut self, record: &RequestRecord) {
        self.0.lock().unwrap().push(record.clone());
    }
}

impl World {
    /// One that knows its steps and its answers: it has had 40 requests.
    fn new() -> World {
        let config = EngineConfig {
            max_batch_tokens: 64,
            max_sequences: 4,
            context: 128,
            prefix_cache: None,
            ..EngineConfig::default()
        };
        let records = Arc::default();
        let engine = Engine::new(Fake::new(64, 16, 400, 4), config, Recorder(Arc::clone(&records)));
        let mut world = World { engine, now: Duration::ZERO, records, requests: 0 };
        for i in 0..40 {
            world.ask(3 + i * 7 % 50, 1 + i * 5 % 20, None);
            (0..3).for_each(|_| world.step());
        }
        world.finish();
        world
    }

    /// Submits a request for an answer of so many tokens, due after `limit`; gives its name.
    fn ask(&mut self, prompt: usize, tokens: usize, limit: Option<Duration>) -> u64 {
        let (sink, _) = Inbox::open();
        let prompt = Prompt::new((0..prompt as u32).map(|i| i % 31).collect::<Vec<_>>()).unwrap();
        let request = Request::new(RequestId(self.requests), prompt, vec![Continuation::new(sink)]);
        let stop = StopRules { max_tokens: tokens, ..StopRules::default() };
        let deadline = limit.map(|limit| self.now + limit);
        self.engine.submit(Request { stop, deadline, ..request }, self.now);
        self.requests += 1;
        self.requests - 1
    }

    fn step(&mut self) {
        let (start, asked) = (self.now, Cell::new(0));
        let bench = Arc::clone(&self.engine.executor().bench);
        let before = bench.lock().unwrap().log.len();
        let clock = || {
            let bench = bench.lock().unwrap();
            let rows = bench.log[before..].iter().map(|(rows, ..)| *rows).max();
            asked.set(asked.get() + 1);
            start + rows.map_or(Duration::ZERO, |rows| Duration::from_micros(5000 + 100 * rows as u64))
        };
        self.now = self.engine.step(&clock).ended.max(self.now);
        self.engine.check().unwrap();
        assert!(asked.get() >= 2, "the clock is asked before and after");
    }

    fn finish(&mut self) {
        for _ in 0..10_000 {
            if self.engine.is_idle() {
                break;
            }
            self.step();
        }
        assert!(self.engine.is_idle() && self.engine.stats().kv_blocks_used == 0);
    }

    fn record(&self, id: u64) -> RequestRecord {
        let records = self.records.lock().unwrap();
        records.iter().find(|record| record.id == RequestId(id)).cloned().expect("each request has a record")
    }

    /// How long a request took.
    fn took(&self, id: u64) -> Duration {
        let times = self.record(id).times;
        times.last_token.expect("it has an answer") - times.arrived
    }
}

#[test]
fn first_tokens_are_foretold_under_saturation_too() {
    let mut world = World::new();
    // Sixty within a few steps, of which four run at once.
    for i in 0..60 {
        world.ask(5 + i * 13 % 60, 2 + i * 3 % 20, None);
        if i % 5 == 0 {
            world.step();
        }
    }
    world.finish();
    for id in 40..100 {
        let record = world.record(id);
        let (expected, first) = (record.predicted.expect("enough is known").first_token, record.times.first_token);
        let first = (first.expect("it has an answer") - record.times.arrived).as_secs_f64();
        let off = expected.likely.as_secs_f64() / first - 1.0;
        assert!(off.abs() < 0.25, "request {id}: {expected:?}, but {first} s");
        assert!(expected.least <= expected.likely && expected.likely <= expected.most, "{expected:?}");
    }
    let accuracy = world.engine.view(world.now).accuracy;
    assert!(accuracy.error < 0.15 && accuracy.inside > 0.8 && accuracy.requests > 60, "{accuracy:?}");
}

#[test]
fn what_never_can_be_in_time_is_told_from_what_cannot_now() {
    let mut world = World::new();
    let millis = Duration::from_millis;
    // Alone: a step of 60 rows takes 11 ms.
    let never = world.ask(60, 5, Some(millis(3)));
    let alone = world.ask(60, 5, Some(millis(300)));
    world.finish();
    (0..40).for_each(|_| _ = world.ask(60, 20, None));
    let now = world.ask(60, 5, Some(millis(300)));
    world.finish();
    let late = |id: u64| match &world.record(id).reasons[..] {
        [FinishReason::TooLate(late)] => **late,
        other => panic!("{other:?}"),
    };
    assert_eq!((late(never).alone, late(never).retry_after()), (true, None));
    assert_eq!(world.record(alone).reasons, [FinishReason::Length]);
    let (late, limit) = (late(now), millis(300));
    assert_eq!((late.alone, late.limit, late.waiting, late.prompt), (false, limit, 40, 60));
    let after = late.retry_after().expect("some time");
    assert!(after >= Duration::from_secs(1) && late.expected.soonest > limit, "{late:?}");
}

#[test]
fn what_can_no_longer_be_in_time_ends_before_its_deadline() {
    let mut world = World::new();
    // It is taken, but its first token cannot come within the millisecond that is left when others have taken the time.
    let late = world.ask(60, 5, Some(Duration::from_millis(40)));
    world.now += Duration::from_millis(39);
    world.step();
    assert_eq!(world.record(late).reasons, [FinishReason::Deadline]);
    assert!(world.engine.is_idle());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Who is refused would have been late; who would have been far too late is not answered, and nobody is answered late.
    #[test]
    fn refusals_are_right(queue in 0usize..30, prompt in 1usize..60, tokens in 1usize..20, share in 0.1f64..3.0) {
        let run = |limit: Option<Duration>| {
            let mut world = World::new();
            (0..queue).for_each(|i| _ = world.ask(1 + i * 11 % 60, 1 + i * 7 % 20, None));
            let id = world.ask(prompt, tokens, limit);
            world.finish();
            (world, id)
        };
        let (world, id) = run(None);
        let took = world.took(id);
        let limit = took.mul_f64(share);
        let (world, id) = run(Some(limit));
        let record = world.record(id);
        match &record.reasons[..] {
            [FinishReason::TooLate(late)] => prop_assert!(share < 1.1, "{took:?} within {limit:?}: {late:?}"),
            [FinishReason::Deadline] => prop_assert!(share < 1.01, "{took:?} within {limit:?}"),
            [FinishReason::Length] => {
                // The step that ends it may end after its deadline.
                let latest = limit + Duration::from_millis(12);
                prop_assert!(world.took(id) <= latest && took <= latest, "{took:?}, {limit:?}");
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
