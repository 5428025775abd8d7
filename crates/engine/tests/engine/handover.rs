//! Engines whose executor is lost: others go on with what they had, and nobody sees it in an answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::{
    BackendExecutor, Continuation, EngineConfig, EngineHandle, ExecutorError, FinishReason, Interposed, Liveness,
    Observer, Prompt, Request, RequestId, RequestRecord, SamplingParams, SinkState, StepReport, StopRules, TokenEvent,
    TokenSink, spawn,
};
use graph::testing::{ToyConfig, ToyRecurrence, toy_model, upload};
use graph::{Backend, Interpreter, KvType, Limits};

type Events = Arc<Mutex<Vec<TokenEvent>>>;

/// Keeps all that it hears.
struct Sink(Events);

impl TokenSink for Sink {
    fn state(&self) -> SinkState {
        SinkState::Ready
    }

    fn send(&mut self, event: TokenEvent) {
        self.0.lock().unwrap().push(event);
    }
}

#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<RequestRecord>>>);

impl Observer for Records {
    fn step(&mut self, _: &StepReport) {}

    fn ended(&mut self, record: &RequestRecord) {
        self.0.lock().unwrap().push(record.clone());
    }
}

fn start(toy: &ToyConfig, records: &Records) -> (EngineHandle, JoinHandle<()>) {
    let (graph, weights) = toy_model(toy);
    let (kv_type, state_slots) = (KvType::F32, if graph.state_len() > 0 { 8 } else { 0 });
    let limits = Limits { max_tokens: 16, max_outputs: 8, kv_blocks: 40, block_len: 4, kv_type, state_slots };
    let program = Interpreter.compile(&graph, upload(&Interpreter, &graph, &weights), limits).unwrap();
    let executor = BackendExecutor::new(Interpreter, program, limits, graph.output_width());
    let config = EngineConfig { max_batch_tokens: 16, max_sequences: 8, context: 40, ..EngineConfig::default() };
    spawn(executor, config, || Duration::ZERO, records.clone()).unwrap()
}

/// The executor is broken before the batch of this number that has rows of the request.
fn breaks(at: usize) -> Interposed {
    let batches = AtomicUsize::new(0);
    Interposed::new(move || match batches.fetch_add(1, Ordering::SeqCst) {
        number if number == at => Err(ExecutorError::Broken("it fell off the bus".to_owned())),
        _ => Ok(()),
    })
}

/// Requests of all kinds: greedy, sampled, several continuations, scored prompts longer than a batch.
fn requests(interposed: Option<Interposed>) -> (Vec<Request>, Vec<Events>) {
    let (mut requests, mut all) = (vec![], vec![]);
    for (id, (prompt, n, scored)) in
        [(20, 1, None), (3, 3, None), (21, 2, Some(2)), (5, 1, None)].into_iter().enumerate()
    {
        let events: Vec<Events> = (0..n).map(|_| Events::default()).collect();
        let sink = |events: &Events| Continuation::new(Box::new(Sink(Arc::clone(events))));
        let tokens: Vec<u32> = (0..prompt).map(|i| (i * i + 7 * id as u32) % 67).collect();
        let continuations = events.iter().map(sink).collect();
        let temperature = if id == 0 { 0.0 } else { 1.0 };
        let params =
            SamplingParams { seed: Some(id as u64), logprobs: Some(3), temperature, ..SamplingParams::default() };
        let stop = StopRules { max_tokens: 14, ..StopRules::default() };
        let request = Request::new(RequestId(id as u64), Prompt::new(tokens).unwrap(), continuations);
        requests.push(Request { params, stop, prompt_logprobs: scored, ..request });
        all.extend(events);
    }
    requests[0].rows.interposed = interposed;
    (requests, all)
}

/// What everybody heard, with numbers as bits, but for how much was found in a cache.
fn heard(all: &[Events]) -> Vec<String> {
    let one = |event: &TokenEvent| match event {
        TokenEvent::Finished(finish) => format!("{:?} {}", finish.reason, finish.generated_tokens),
        other => format!("{other:?}"),
    };
    all.iter().map(|events| events.lock().unwrap().iter().map(one).collect::<Vec<_>>().join("\n")).collect()
}

/// What they hear without any loss.
fn wanted(toy: &ToyConfig) -> Vec<String> {
    let (engine, thread) = start(toy, &Records::default());
    let (requests, events) = requests(None);
    engine.submit_all(requests).unwrap();
    engine.drain();
    thread.join().unwrap();
    heard(&events)
}

#[test]
fn others_go_on_with_what_a_lost_engine_had() {
    let plain = ToyConfig::default();
    for toy in [ToyConfig { recurrent: Some(ToyRecurrence::Conv(3)), ..plain.clone() }, plain] {
        let wanted = wanted(&toy);
        // Before the first batch, in the midst of prompts, and of answers.
        for at in [0, 1, 2, 3, 9] {
            let records = Records::default();
            let ([(lost, first), (other, second)], what) =
                ([(); 2].map(|()| start(&toy, &records)), format!("{toy:?} {at}"));
            lost.succeeded_by(std::slice::from_ref(&other));
            let (requests, events) = requests(Some(breaks(at)));
            lost.submit_all(requests).unwrap();
            first.join().unwrap();
            assert!(matches!(lost.liveness(), Liveness::Failed(why) if why.contains("it fell off the bus")), "{what}");
            other.drain();
            second.join().unwrap();
            assert!(heard(&events) == wanted, "{what}");
            let mut ids: Vec<u64> = records.0.lock().unwrap().iter().map(|record| record.id.0).collect();
            ids.sort_unstable();
            assert_eq!(ids, [0, 1, 2, 3], "{what}: each request has one record");
            assert!(records.0.lock().unwrap().iter().all(|record| record.preemptions > 0), "{what}");
        }
    }
}

#[test]
fn one_after_the_other_is_lost() {
    let toy = ToyConfig::default();
    let wanted = wanted(&toy);
    let engines = [(); 3].map(|()| start(&toy, &Records::default()));
    let handles: Vec<EngineHandle> = engines.iter().map(|(handle, _)| handle.clone()).collect();
    for handle in &handles {
        let others: Vec<EngineHandle> = handles.iter().filter(|other| !std::ptr::eq(*other, handle)).cloned().collect();
        handle.succeeded_by(&others);
    }
    let [(a, first), (b, second), (c, third)] = engines;
    let lose = |engine: &EngineHandle| {
        let (mut requests, _) = requests(Some(breaks(0)));
        engine.submit(requests.swap_remove(0)).unwrap();
    };
    lose(&a);
    first.join().unwrap();
    assert!(matches!(a.liveness(), Liveness::Failed(_)));
    // What is submitted to a lost engine goes to one that lives.
    let (requests, events) = requests(Some(breaks(5)));
    assert_eq!(a.check_room(4), Ok(()));
    a.submit_all(requests).unwrap();
    // One of the two fails, and the other has everything once its thread has ended.
    let is_lost = |engine: &EngineHandle| matches!(engine.liveness(), Liveness::Failed(_));
    while !is_lost(&b) && !is_lost(&c) {
        std::thread::yield_now();
    }
    let [(_, lost), (living, last)] = if is_lost(&b) { [(b, second), (c, third)] } else { [(c, third), (b, second)] };
    lost.join().unwrap();
    assert_eq!(living.liveness(), Liveness::Running);
    living.drain();
    last.join().unwrap();
    assert!(heard(&events) == wanted);
}

#[test]
fn with_nobody_left_everything_fails() {
    let toy = ToyConfig::default();
    let [(lost, first), (other, second)] = [(); 2].map(|()| start(&toy, &Records::default()));
    lost.succeeded_by(std::slice::from_ref(&other));
    other.drain();
    second.join().unwrap();
    let (requests, events) = requests(Some(breaks(3)));
    lost.submit_all(requests).unwrap();
    first.join().unwrap();
    for events in events {
        let end = events.lock().unwrap().last().cloned();
        let failed = |reason| matches!(reason, FinishReason::Failed(why) if why.contains("it fell off the bus"));
        assert!(matches!(&end, Some(TokenEvent::Finished(finish)) if failed(finish.reason.clone())), "{end:?}");
    }
}
