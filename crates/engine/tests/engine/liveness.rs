//! What handles are told when things go wrong on the engine's thread, and how the queue is counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::{
    Continuation, EngineConfig, EngineHandle, Executor, ExecutorError, ExecutorLimits, FinishReason, Liveness,
    Observer, PolicyName, Prompt, Request, RequestId, RequestRecord, SinkState, StepReport, StopRules, SubmitError,
    TokenEvent, TokenSink, spawn,
};
use graph::Batch;

use crate::executor::{Fake, Fault};
use crate::inbox::Inbox;

const CONFIG: EngineConfig = EngineConfig {
    max_batch_tokens: 64,
    max_sequences: 2,
    max_queue: 8,
    max_queue_tokens: 40,
    context: 64,
    seed: 1,
    prefix_cache: None,
    prefix_tokens: None,
    prefix_states: None,
    policy: PolicyName::FirstCome,
    max_draft: 0,
    max_step: None,
};

/// An executor every batch of which fails as said; `None` never fails.
struct Always {
    fake: Fake,
    fault: Option<Fault>,
}

impl Executor for Always {
    fn limits(&self) -> ExecutorLimits {
        self.fake.limits()
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        self.fake.bench.lock().unwrap().fault = self.fault;
        self.fake.forward(batch)
    }
}

fn start(fault: Option<Fault>, observer: impl Observer + 'static) -> (EngineHandle, JoinHandle<()>) {
    spawn(Always { fake: Fake::new(64, 16, 64, 4), fault }, CONFIG, || Duration::ZERO, observer).unwrap()
}

fn request(max_tokens: usize, sinks: Vec<Box<dyn TokenSink>>) -> Request {
    let prompt = Prompt::new([1, 2, 3]).expect("the prompt is not empty");
    let continuations = sinks.into_iter().map(Continuation::new).collect();
    let stop = StopRules { max_tokens, ..StopRules::default() };
    Request { stop, ..Request::new(RequestId(0), prompt, continuations) }
}

/// A request for `n` continuations that nobody reads.
fn unread(n: usize) -> Request {
    request(2, (0..n).map(|_| Inbox::open().0).collect())
}

/// Submits requests until one is refused for another reason than a full queue; gives the reason and what the others got.
fn submit_until_refused(engine: &EngineHandle) -> (SubmitError, Vec<Arc<Mutex<Inbox>>>) {
    let mut inboxes = Vec::new();
    loop {
        let (sink, inbox) = Inbox::open();
        match engine.submit(request(2, vec![sink])) {
            Ok(()) => inboxes.push(inbox),
            Err(SubmitError::Full) => std::thread::yield_now(),
            Err(refused) => return (refused, inboxes),
        }
    }
}

/// The engine has failed with `reason`: it says so for ever, everything was answered, nothing is left in the queue.
fn check_dead(engine: &EngineHandle, reason: &str, refused: SubmitError, inboxes: &[Arc<Mutex<Inbox>>]) {
    let reason: Arc<str> = reason.into();
    assert_eq!(refused, SubmitError::Failed(Arc::clone(&reason)));
    assert_eq!(engine.liveness(), Liveness::Failed(Arc::clone(&reason)));
    for _ in 0..1000 {
        assert_eq!(engine.submit(unread(1)), Err(SubmitError::Failed(Arc::clone(&reason))));
    }
    assert_eq!((engine.queue_free(), engine.stats().waiting, engine.stats().running), (CONFIG.max_queue, 0, 0));
    assert_eq!(engine.stats().kv_blocks_used, 0);
    engine.drain();
    assert_eq!(engine.liveness(), Liveness::Failed(reason));
    for inbox in inboxes {
        let inbox = inbox.lock().unwrap();
        let failed = inbox.finish.as_ref().is_some_and(|finish| matches!(finish.reason, FinishReason::Failed(_)));
        assert!(failed && inbox.closed && inbox.tokens.is_empty(), "{inbox}");
    }
}

#[test]
fn an_engine_whose_executor_is_dead_says_so() {
    let again = |why: &str| format!("the executor failed 5 times in a row, the last time because: {why}");
    let faults = [
        (Fault::Panic, again("the executor panicked: out of cheese")),
        (Fault::Error, again("the machine is on fire")),
        (Fault::Broken, "the executor is broken: the machine has burnt down".to_owned()),
    ];
    for (fault, reason) in faults {
        let (engine, thread) = start(Some(fault), ());
        let (refused, inboxes) = submit_until_refused(&engine);
        thread.join().unwrap();
        assert!(!inboxes.is_empty());
        check_dead(&engine, &reason, refused, &inboxes);
    }
}

#[test]
fn a_panic_of_the_thread_itself_is_told_too() {
    let broken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&broken);
    let clock = move || {
        let on_thread = std::thread::current().name() == Some("engine");
        if on_thread && seen.load(Ordering::SeqCst) {
            std::panic::resume_unwind(Box::new("the clock has stopped"));
        }
        Duration::ZERO
    };
    let (engine, thread) = spawn(Fake::new(64, 16, 64, 4), CONFIG, clock, ()).unwrap();
    broken.store(true, Ordering::SeqCst);
    let (refused, inboxes) = submit_until_refused(&engine);
    thread.join().unwrap();
    check_dead(&engine, "the engine panicked: the clock has stopped", refused, &inboxes);
}

/// Panics when it hears what it is set to.
struct Brittle {
    on_step: bool,
    heard: Sender<()>,
}

impl Observer for Brittle {
    fn step(&mut self, _: &StepReport) {
        let _ = self.heard.send(());
        assert_silently(!self.on_step);
    }

    fn ended(&mut self, _: &RequestRecord) {
        let _ = self.heard.send(());
        assert_silently(self.on_step);
    }
}

/// A panic, but without the message on the terminal.
fn assert_silently(holds: bool) {
    if !holds {
        std::panic::resume_unwind(Box::new("not my day"));
    }
}

#[test]
fn an_observer_that_panics_is_let_go() {
    for (on_step, calls) in [(true, 1), (false, 4)] {
        let (heard, calls_heard) = channel();
        let (engine, thread) = start(None, Brittle { on_step, heard });
        let (sink, inbox) = Inbox::open();
        engine.submit(request(3, vec![sink])).unwrap();
        engine.drain();
        thread.join().unwrap();
        assert_eq!(inbox.lock().unwrap().to_string(), "3 tokens, Length 3+3");
        assert_eq!(engine.liveness(), Liveness::Ended);
        // Three steps, a record: it is dropped with its first panic, and so is its end of the channel.
        assert_eq!(calls_heard.iter().count(), calls);
    }
}

/// A receiver that panics: when it is asked, when it is told, when it is dropped.
struct Trap(&'static str);

impl TokenSink for Trap {
    fn state(&self) -> SinkState {
        assert_silently(self.0 != "state");
        SinkState::Ready
    }

    fn send(&mut self, _: TokenEvent) {
        assert_silently(self.0 != "send");
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        assert_silently(self.0 != "drop");
    }
}

#[test]
fn a_receiver_that_panics_harms_nobody_else() {
    for trap in ["state", "send", "drop"] {
        let (engine, thread) = start(None, ());
        let (sink, inbox) = Inbox::open();
        engine.submit(request(5, vec![Box::new(Trap(trap)), sink])).unwrap();
        engine.submit(request(5, vec![Box::new(Trap(trap))])).unwrap();
        engine.drain();
        thread.join().unwrap();
        assert_eq!(inbox.lock().unwrap().to_string(), "5 tokens, Length 3+5", "{trap}");
        assert_eq!((engine.liveness(), engine.stats().kv_blocks_used), (Liveness::Ended, 0), "{trap}");
    }
}

/// An executor that says when a batch has come, and waits for a permit to compute it.
struct Paced {
    fake: Fake,
    come: Sender<()>,
    permits: Receiver<()>,
}

impl Executor for Paced {
    fn limits(&self) -> ExecutorLimits {
        self.fake.limits()
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        let _ = self.come.send(());
        // Without anyone to give permits, batches pass.
        let _ = self.permits.recv();
        self.fake.forward(batch)
    }
}

#[test]
fn tokens_of_prompts_count_against_the_queue() {
    let ((come, comes), (permit, permits)) = (channel(), channel());
    let (engine, thread) =
        spawn(Paced { fake: Fake::new(64, 16, 64, 4), come, permits }, CONFIG, || Duration::ZERO, ()).unwrap();
    let long = |tokens: usize| {
        let prompt = Prompt::new(vec![1; tokens]).unwrap();
        Request { prompt, ..unread(1) }
    };
    let full = |tokens, free| Err(SubmitError::FullOfTokens { tokens, free });
    engine.submit(long(30)).unwrap();
    // The engine is in the midst of its first step.
    comes.recv().unwrap();
    assert_eq!(engine.submit(long(11)), full(11, 10));
    assert_eq!(engine.submit_all(vec![long(4), long(9)]), full(13, 10));
    assert_eq!(engine.submit(long(41)), Err(SubmitError::TooManyTokens { tokens: 41, max_queue_tokens: 40 }));
    assert_eq!(engine.room_for_tokens_within(11), None, "nothing has ended yet");
    assert_eq!((engine.submit(long(10)), engine.submit(long(1))), (Ok(()), full(1, 0)));
    drop(permit);
    engine.drain();
    thread.join().unwrap();
}

#[test]
fn continuations_count_against_the_queue_and_are_taken_whole_or_not_at_all() {
    let ((come, comes), (permit, permits)) = (channel(), channel());
    let fake = Fake::new(64, 16, 64, 4);
    let (engine, thread) = spawn(Paced { fake, come, permits }, CONFIG, || Duration::ZERO, ()).unwrap();
    assert_eq!((engine.liveness(), engine.queue_free()), (Liveness::Running, 8));
    engine.submit(unread(2)).unwrap();
    // The engine is in the midst of its first step: nothing moves but what is done here.
    comes.recv().unwrap();
    assert_eq!(engine.queue_free(), 6);
    let (full, too_many) = (Err(SubmitError::Full), Err(SubmitError::TooMany { continuations: 9, max_queue: 8 }));
    assert_eq!(engine.submit(unread(7)), full);
    assert_eq!(engine.submit(unread(9)), too_many);
    assert_eq!(engine.submit_all(vec![unread(4), unread(3)]), full);
    assert_eq!(engine.submit_all((0..3).map(|_| unread(3)).collect()), too_many);
    assert_eq!((engine.queue_free(), engine.has_room(6), engine.has_room(7)), (6, true, false));
    assert_eq!((engine.check_room(6), engine.check_room(7), engine.check_room(9)), (Ok(()), full.clone(), too_many));
    let (sinks, inboxes): (Vec<_>, Vec<_>) = (0..6).map(|_| Inbox::open()).unzip();
    let mut sinks = sinks.into_iter();
    let two = vec![request(1, sinks.by_ref().take(4).collect()), request(1, sinks.collect())];
    assert_eq!(engine.submit_all(two), Ok(()));
    assert_eq!((engine.queue_free(), engine.has_room(1), engine.has_room(0)), (0, false, true));
    engine.drain();
    assert_eq!((engine.liveness(), engine.submit(unread(1))), (Liveness::Draining, Err(SubmitError::Draining)));
    drop(permit);
    thread.join().unwrap();
    assert_eq!((engine.liveness(), engine.queue_free()), (Liveness::Ended, 8));
    assert_eq!(engine.submit(unread(1)), Err(SubmitError::Draining));
    inboxes.iter().for_each(|inbox| assert_eq!(inbox.lock().unwrap().to_string(), "1 tokens, Length 3+1"));
}
