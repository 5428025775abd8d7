//! The thread around the engine: what handles promise, whatever the timing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::{
    Continuation, EngineConfig, EngineHandle, Executor, ExecutorError, ExecutorLimits, FinishReason, Prompt, Request,
    RequestId, StopRules, SubmitError, TokenEvent, TokenSink, spawn,
};
use graph::Batch;

use crate::channel::channel;
use crate::executor::Fake;
use crate::inbox::Inbox;

/// An executor that computes nothing while the gate is locked.
struct Gated {
    fake: Fake,
    gate: Arc<Mutex<()>>,
}

impl Executor for Gated {
    fn limits(&self) -> ExecutorLimits {
        self.fake.limits()
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        let _open = self.gate.lock().unwrap();
        self.fake.forward(batch)
    }
}

fn start(gate: &Arc<Mutex<()>>) -> (EngineHandle, JoinHandle<()>) {
    let executor = Gated { fake: Fake::new(64, 16, 64, 4), gate: Arc::clone(gate) };
    let config = EngineConfig {
        max_batch_tokens: 64,
        max_sequences: 4,
        max_queue: 2,
        context: 64,
        seed: 1,
        ..EngineConfig::default()
    };
    // Each look at the clock takes a millisecond.
    let time = AtomicU64::new(0);
    let clock = move || Duration::from_millis(time.fetch_add(1, Ordering::Relaxed));
    spawn(executor, config, clock, ()).unwrap()
}

fn request(id: u64, max_tokens: usize, sink: Box<dyn TokenSink>) -> Request {
    let prompt = Prompt::new([1, 2, 3]).expect("the prompt is not empty");
    let stop = StopRules { max_tokens, ..StopRules::default() };
    Request { stop, ..Request::new(RequestId(id), prompt, vec![Continuation::new(sink)]) }
}

/// The number of tokens and the end.
fn read(events: impl Iterator<Item = TokenEvent>) -> (usize, Option<FinishReason>) {
    let (mut tokens, mut end) = (0, None);
    for event in events {
        assert_eq!(end, None, "{event:?} after the end");
        match event {
            TokenEvent::Token(_) => tokens += 1,
            TokenEvent::Prompt(_) => panic!("nobody asked for it"),
            TokenEvent::Finished(finish) => end = Some(finish.reason),
        }
    }
    (tokens, end)
}

#[test]
fn a_small_channel_loses_nothing_and_a_dropped_one_cancels() {
    let (engine, thread) = start(&Arc::default());
    let (sink, dropped) = channel(1, &engine);
    engine.submit(request(0, 60, Box::new(sink))).unwrap();
    let (sink, events) = channel(1, &engine);
    engine.submit(request(1, 60, Box::new(sink))).unwrap();
    drop(dropped);
    assert_eq!(read(events), (60, Some(FinishReason::Length)));
    engine.drain();
    thread.join().unwrap();
    let stats = engine.stats();
    assert_eq!((stats.running, stats.waiting, stats.kv_blocks_used, stats.kv_blocks), (0, 0, 0, 64));
}

#[test]
fn a_full_queue_says_so_and_still_takes_aborts() {
    let gate = Arc::default();
    let (engine, thread) = start(&gate);
    let closed = gate.lock().unwrap();
    let mut answers = Vec::new();
    let refused = loop {
        let (sink, events) = channel(9, &engine);
        match engine.submit(request(answers.len() as u64, 2, Box::new(sink))) {
            Ok(()) => answers.push(events),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, SubmitError::Full);
    // Two in the queue and, if the thread was quick, up to two that it has taken meanwhile.
    assert!((2..=4).contains(&answers.len()), "{} requests", answers.len());
    engine.abort(RequestId(answers.len() as u64 - 1));
    engine.drain();
    assert_eq!(engine.submit(request(9, 1, Inbox::open().0)), Err(SubmitError::Draining));
    drop(closed);
    let last = answers.pop().unwrap();
    answers.into_iter().for_each(|events| assert_eq!(read(events), (2, Some(FinishReason::Length))));
    assert_eq!(read(last).1, Some(FinishReason::Aborted));
    thread.join().unwrap();
}

#[test]
fn refused_requests_do_not_fill_the_queue() {
    let (engine, thread) = start(&Arc::default());
    for id in 0..50 {
        while engine.submit(request(id, 0, Inbox::open().0)).is_err() {
            std::thread::yield_now();
        }
    }
    engine.stop();
    thread.join().unwrap();
}

#[test]
fn the_queue_says_when_it_will_have_room() {
    let (engine, thread) = start(&Arc::default());
    assert_eq!(engine.room_within(1), None, "nobody has ended yet");
    for id in 0..5 {
        let (sink, events) = channel(9, &engine);
        engine.submit(request(id, 4, Box::new(sink))).unwrap();
        assert_eq!(read(events), (4, Some(FinishReason::Length)));
    }
    // The counts are published after the step that ends the last one.
    while engine.stats().running > 0 {
        std::thread::yield_now();
    }
    let within = |continuations| engine.room_within(continuations).expect("five have ended").as_secs_f64();
    // Two places are free. Each took steps of a millisecond or two, four of them.
    assert_eq!(within(2), 0.0);
    assert!((0.003..0.03).contains(&within(3)) && (within(5) / within(3) - 3.0).abs() < 0.01, "{}", within(3));
    engine.drain();
    thread.join().unwrap();
}

#[test]
fn a_view_says_who_runs_and_who_waits() {
    let gate = Arc::default();
    let (engine, thread) = start(&gate);
    let closed = gate.lock().unwrap();
    let (sink, events) = channel(99, &engine);
    engine.submit(request(7, 40, Box::new(sink))).unwrap();
    let view = engine.view();
    drop(closed);
    let view = view.recv().expect("the engine answers");
    let all: Vec<_> = view.running.iter().chain(&view.waiting).collect();
    let [sequence] = all[..] else { panic!("{view:?}") };
    assert_eq!((sequence.request, sequence.prompt, sequence.continuations), (RequestId(7), 3, 1));
    assert_eq!((view.max_sequences, view.blocks, view.block_len), (4, 64, 4));
    assert_eq!(read(events), (40, Some(FinishReason::Length)));
    engine.drain();
    thread.join().unwrap();
    assert!(engine.view().recv().is_err(), "nobody is there to ask");
}

#[test]
fn stop_ends_everything_at_once() {
    let gate = Arc::default();
    let (engine, thread) = start(&gate);
    let closed = gate.lock().unwrap();
    let (sink, events) = channel(9, &engine);
    engine.submit(request(0, 60, Box::new(sink))).unwrap();
    engine.stop();
    drop(closed);
    let (tokens, end) = read(events);
    assert!(tokens <= 1 && end == Some(FinishReason::Aborted), "{tokens} tokens, {end:?}");
    thread.join().unwrap();
    assert_eq!(engine.submit(request(1, 1, Inbox::open().0)), Err(SubmitError::Draining));
}

#[test]
fn without_handles_the_thread_finishes_its_work_and_ends() {
    let (engine, thread) = start(&Arc::default());
    let (sink, inbox) = Inbox::open();
    engine.submit(request(0, 20, sink)).unwrap();
    drop(engine);
    thread.join().unwrap();
    assert_eq!(inbox.lock().unwrap().to_string(), "20 tokens, Length 3+20");
}
