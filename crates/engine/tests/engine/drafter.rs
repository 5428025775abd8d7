//! Draft models: whatever they say, answers are the same; what they cost is little where they are wrong, and what they gain is much where
//! they are right.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Continuation, DraftModel, Drafts, Engine, EngineConfig, Executor, ExecutorError, ExecutorLimits, HiddenInputs,
    MemoryOrder, Observer, Prompt, Request, RequestId, RequestRecord, SamplingParams, Setup, StepReport, StopRules,
    TokenCounts,
};
use graph::{Batch, MemoryPart};

use crate::executor::{Bench, Fake, Fault, VOCAB};
use crate::inbox::Inbox;

/// An executor that takes time on a clock which only moves so, and whose logits are far apart.
pub(crate) struct Timed<E> {
    inner: E,
    clock: Arc<AtomicU64>,
    /// Microseconds for a batch, and for each of its rows.
    takes: (u64, u64),
    /// Whose token it takes for the likeliest: this many after the right one.
    off: usize,
    logits: Vec<f32>,
}

impl<E: Executor> Timed<E> {
    pub(crate) fn new(inner: E, clock: &Arc<AtomicU64>, takes: (u64, u64), off: usize) -> Timed<E> {
        Timed { inner, clock: Arc::clone(clock), takes, off, logits: Vec::new() }
    }
}

impl<E: Executor> Executor for Timed<E> {
    fn limits(&self) -> ExecutorLimits {
        self.inner.limits()
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        let vocab = self.limits().vocab;
        self.clock.fetch_add(self.takes.0 + self.takes.1 * batch.tokens.len() as u64, Ordering::Relaxed);
        self.logits.clear();
        self.logits.extend(self.inner.forward(batch)?.iter().map(|logit| 8.0 * logit));
        self.logits.chunks_mut(vocab).for_each(|row| row.rotate_right(self.off));
        Ok(&self.logits)
    }

    fn hidden(&self) -> &[f32] {
        self.inner.hidden()
    }

    fn forget(&mut self, blocks: &[u32]) {
        self.inner.forget(blocks);
    }

    fn save(&mut self, part: MemoryPart, bytes: &mut Vec<u8>) -> bool {
        self.inner.save(part, bytes)
    }
}

/// A draft model of the same hashes.
#[derive(Clone, Copy, Debug)]
struct Model {
    takes: (u64, u64),
    off: usize,
    blocks: usize,
    context: usize,
    /// It fails so at its tenth batch.
    fault: Option<Fault>,
    /// It is a head of the other model, and reads its rows so.
    head: Option<HiddenInputs>,
}

const RIGHT: Model = Model { takes: (1000, 50), off: 0, blocks: 400, context: 1000, fault: None, head: None };

/// What became of some requests.
#[derive(Debug, PartialEq)]
struct Outcome {
    answers: Vec<Vec<u32>>,
    micros: u64,
    drafts: Drafts,
    by_model: Drafts,
    /// Batches of the draft model.
    batches: usize,
}

struct Recorder(Arc<Mutex<Vec<RequestRecord>>>);

impl Observer for Recorder {
    fn step(&mut self, _: &StepReport) {}

    fn ended(&mut self, record: &RequestRecord) {
        self.0.lock().unwrap().push(record.clone());
    }
}

/// An engine whose step takes 10 ms and 0.1 ms for each row, and its draft model.
struct Stage {
    engine: Engine<Timed<Fake>>,
    clock: Arc<AtomicU64>,
    model: Option<Model>,
    /// What the model saw.
    seen: Arc<Mutex<Bench>>,
    /// What the draft model saw.
    bench: Arc<Mutex<Bench>>,
    records: Arc<Mutex<Vec<RequestRecord>>>,
    inboxes: Vec<Arc<Mutex<Inbox>>>,
}

impl Stage {
    fn new(model: Option<Model>) -> Stage {
        Stage::of(model, Fake::new(64, 64, 400, 4))
    }

    fn of(model: Option<Model>, target: Fake) -> Stage {
        let (clock, records, mut bench) = (Arc::new(AtomicU64::new(0)), Arc::default(), Arc::default());
        let seen = Arc::clone(&target.bench);
        let target = Timed::new(target, &clock, (10_000, 100), 0);
        let config = EngineConfig { max_sequences: 8, max_batch_tokens: 64, context: 800, ..EngineConfig::default() };
        let draft = model.map(|Model { takes, off, blocks, context, head, .. }| {
            let fake = Fake::new(32, 8, blocks, 3);
            let fake = head.into_iter().fold(fake, Fake::for_heads);
            bench = Arc::clone(&fake.bench);
            let executor = Box::new(Timed::new(fake, &clock, takes, off));
            DraftModel { executor, context, hidden: head, tokens: None }
        });
        let setup = Setup { draft, ..config.into() };
        let engine = Engine::of(target, setup, Recorder(Arc::clone(&records)));
        Stage { engine, clock, model, seen, bench, records, inboxes: Vec::new() }
    }

    /// Asks for so many tokens after a prompt of so many.
    fn ask(&mut self, (prompt, tokens): (usize, usize), temperature: f32) {
        let id = self.inboxes.len();
        self.ask_after((0..prompt).map(|i| ((i * i + 7 * i + 5 * id) % VOCAB) as u32).collect(), tokens, temperature);
    }

    /// Asks for so many tokens after these.
    fn ask_after(&mut self, prompt: Vec<u32>, tokens: usize, temperature: f32) {
        let (id, (sink, inbox)) = (self.inboxes.len() as u64, Inbox::open());
        self.inboxes.push(inbox);
        let request = Request::new(RequestId(id), Prompt::new(prompt).unwrap(), vec![Continuation::new(sink)]);
        let params = SamplingParams { temperature, seed: Some(id), ..SamplingParams::default() };
        let stop = StopRules { max_tokens: tokens, ..StopRules::default() };
        self.engine.submit(Request { params, stop, ..request }, Duration::ZERO);
    }

    fn finish(&mut self) {
        let fault = self.model.and_then(|model| model.fault);
        while !self.engine.is_idle() {
            self.engine.step(&|| Duration::from_micros(self.clock.load(Ordering::Relaxed)));
            self.engine.check().unwrap();
            assert_eq!(self.seen.lock().unwrap().broken, None);
            let mut bench = self.bench.lock().unwrap();
            assert_eq!(bench.broken, None);
            bench.fault = fault.filter(|_| bench.log.len() > 8);
        }
        // What it held is free, if it is still there.
        let memory = self.engine.memory(&MemoryOrder::Report).unwrap().draft;
        let is_there = self.model.is_some() && fault.is_none();
        assert_eq!(memory.map(|memory| memory.used), is_there.then_some(0));
    }

    /// Rows that the draft model has computed.
    fn rows(&self) -> usize {
        self.bench.lock().unwrap().log.iter().map(|(rows, ..)| rows).sum()
    }

    fn outcome(&self) -> Outcome {
        let sum = |of: fn(&RequestRecord) -> Drafts| {
            self.records.lock().unwrap().iter().map(of).fold(Drafts::default(), |sum, one| Drafts {
                computed: sum.computed + one.computed,
                accepted: sum.accepted + one.accepted,
            })
        };
        Outcome {
            answers: self.inboxes.iter().map(|inbox| inbox.lock().unwrap().tokens.clone()).collect(),
            micros: self.clock.load(Ordering::Relaxed),
            drafts: sum(|record| record.tokens.drafts),
            by_model: sum(|record| match record.tokens {
                TokenCounts { model_drafts, head_drafts: Drafts { computed: 0, .. }, .. } => model_drafts,
                TokenCounts { model_drafts, head_drafts, .. } => {
                    assert_eq!(model_drafts, Drafts::default());
                    head_drafts
                }
            }),
            batches: self.bench.lock().unwrap().log.len(),
        }
    }
}

/// So many streams of so many tokens at a temperature, with a draft model or without.
fn run(model: Option<Model>, (streams, tokens): (usize, usize), temperature: f32) -> Outcome {
    let mut stage = Stage::new(model);
    (0..streams).for_each(|_| stage.ask((20, tokens), temperature));
    stage.finish();
    stage.outcome()
}

/// With this draft model the streams say what they say without; it takes this share of the time at most, and at least so many of what it
/// drafted are accepted.
fn check(model: Model, streams: (usize, usize), temperature: f32, (most, accepted): (f64, f64)) -> Outcome {
    let [without, with] = [None, Some(model)].map(|model| run(model, streams, temperature));
    let what = format!("{model:?}, {streams:?}, {temperature}: {with:?}, not {without:?}");
    assert_eq!(with.answers, without.answers, "{what}");
    assert!(with.answers.iter().all(|answer| answer.len() == streams.1), "{what}");
    assert!(with.micros as f64 <= most * without.micros as f64, "{what}");
    assert!(with.by_model.accepted as f64 >= accepted * with.by_model.computed as f64, "{what}");
    assert!(with.by_model.computed <= with.drafts.computed, "{what}");
    assert_eq!(without.by_model, Drafts::default());
    with
}

/// A draft model that is right, and such a head of the model itself.
const APART: HiddenInputs = HiddenInputs { model: 2, own: 2, input: 5 };

const ALL_RIGHT: [Model; 3] =
    [RIGHT, Model { head: Some(APART), ..RIGHT }, Model { head: Some(HiddenInputs { input: 2, ..APART }), ..RIGHT }];

#[test]
fn a_model_that_is_right_makes_answers_fast() {
    for model in ALL_RIGHT {
        for (streams, most) in [((1, 300), 0.5), ((4, 200), 0.5), ((8, 100), 0.6)] {
            let outcome = check(model, streams, 0.0, (most, 1.0));
            assert!(outcome.by_model.accepted > outcome.answers.concat().len() / 2, "{outcome:?}");
        }
        // What is drawn is seldom what is likeliest, and still the same.
        check(model, (3, 200), 1.0, (1.0, 0.3));
        check(model, (2, 300), 20.0, (1.05, 0.0));
    }
}

#[test]
fn a_model_that_is_wrong_or_slow_is_left_alone() {
    ALL_RIGHT.into_iter().for_each(check_left_alone);
}

fn check_left_alone(model: Model) {
    // A head reads along even so.
    let [wrong_most, slow_most] = if model.head.is_some() { [1.07, 1.2] } else { [1.04, 1.06] };
    let wrong = Model { off: 1, ..model };
    for streams in [(1, 700), (4, 500)] {
        let outcome = check(wrong, streams, 0.0, (wrong_most, 0.0));
        assert_eq!(outcome.by_model.accepted, 0, "{outcome:?}");
        // It is tried again now and then.
        let later = run(Some(wrong), (streams.0, streams.1 - 300), 0.0);
        assert!(outcome.batches > later.batches, "{outcome:?}, {later:?}");
    }
    // As slow as the other one.
    check(Model { takes: (10_000, 100), ..model }, (1, 700), 0.0, (slow_most, 1.0));
}

#[test]
fn a_model_with_little_room_drafts_for_fewer() {
    for model in ALL_RIGHT {
        check(Model { blocks: 60, ..model }, (8, 60), 0.0, (1.0, 1.0));
        check(Model { blocks: 2, ..model }, (2, 60), 0.0, (1.1, 0.0));
        // Longer sequences are not drafted for.
        let outcome = check(Model { context: 60, ..model }, (1, 200), 0.0, (1.0, 1.0));
        assert!((10..=40).contains(&outcome.by_model.accepted), "{outcome:?}");
    }
}

#[test]
fn a_model_that_fails_is_not_asked_again() {
    for fault in [Fault::Error, Fault::Broken, Fault::Panic, Fault::Short] {
        for model in ALL_RIGHT {
            let outcome = check(Model { fault: Some(fault), ..model }, (3, 60), 0.0, (1.1, 0.0));
            assert!((9..12).contains(&outcome.batches), "{fault:?}: {outcome:?}");
        }
    }
}

/// A long prompt is read in pieces, and only once that is expected to pay.
#[test]
fn prompts_are_read_when_that_pays() {
    // To read 400 tokens takes 0.8 s; drafts save some 40 ms a step.
    let mut stage = Stage::new(Some(Model { takes: (2000, 2000), ..RIGHT }));
    stage.ask((20, 300), 0.0);
    stage.finish();
    for (tokens, reads) in [(8, false), (200, true)] {
        let before = stage.rows();
        stage.ask((400, tokens), 0.0);
        stage.finish();
        assert_eq!(stage.rows() - before > 400, reads, "{tokens}: {} rows", stage.rows() - before);
    }
}

/// A head reads prompts along with its model, but not what was found in the cache; it drafts all the same.
#[test]
fn a_head_reads_along_with_its_model() {
    let mut stage = Stage::new(Some(ALL_RIGHT[1]));
    let prompt: Vec<u32> = (0..400).map(|i| (i * i + 7 * i) % VOCAB as u32).collect();
    for reads in [395..440, 0..40] {
        let (before, accepted) = (stage.rows(), stage.outcome().by_model.accepted);
        stage.ask_after(prompt.clone(), 20, 0.0);
        stage.finish();
        let (rows, accepted) = (stage.rows() - before, stage.outcome().by_model.accepted - accepted);
        assert!(reads.contains(&rows) && accepted >= 8, "{rows} rows, {accepted} accepted");
    }
    let answers = stage.outcome().answers;
    assert_eq!(answers[0], answers[1]);
}

/// States of recurrent layers are taken back where a draft was wrong, and drafts pay.
#[test]
fn models_with_states_have_drafts() {
    for (model, states, most) in [
        (ALL_RIGHT[0], 16, 0.85),
        (ALL_RIGHT[1], 16, 0.85),
        (ALL_RIGHT[1], 3, 1.1),
        (Model { off: 1, ..RIGHT }, 16, 1.1),
    ] {
        let [without, with] = [None, Some(model)].map(|model| {
            let mut stage = Stage::of(model, Fake::new(64, 64, 400, 4).with_states(states));
            // The second one is drawn, so that many drafts are wrong.
            let asked = [(0.0, 20), (1.0, 21), (0.0, 22)];
            asked.into_iter().for_each(|(temperature, prompt)| stage.ask((prompt, 200), temperature));
            stage.finish();
            stage.outcome()
        });
        assert_eq!(with.answers, without.answers, "{model:?}");
        assert!(with.micros as f64 <= most * without.micros as f64, "{model:?}: {with:?}, not {without:?}");
        let right = model.off == 0 && states > 3;
        assert!(!right || with.by_model.accepted > 100 && with.by_model.computed > with.by_model.accepted, "{with:?}");
    }
}
