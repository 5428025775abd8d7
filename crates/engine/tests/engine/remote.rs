//! An executor that is elsewhere: the same tokens, and what becomes of sequences when it is lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Answer, Continuation, Courier, Engine, EngineConfig, Eviction, Executor, ExecutorError, ExecutorHost, FinishReason,
    Prompt, RemoteExecutor, Request, RequestId, SamplingParams, StopRules,
};
use graph::Batch;

use crate::executor::{Bench, Fake, Fault, VOCAB, chain, logits};
use crate::inbox::Inbox;

/// How the next message fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It does not arrive.
    Lost,
    /// It arrives, and its answer does not.
    Unanswered,
    /// It arrives twice.
    Twice,
    /// The answer is another one.
    Garbled,
    /// The answer ends early.
    Cut,
    /// Another process has taken the place of the one that computes, and knows nothing.
    Reborn,
}

/// The other end, and what is about to happen on the way to it.
struct Far {
    host: ExecutorHost<Fake>,
    bench: Arc<Mutex<Bench>>,
    fate: Option<Fate>,
    messages: u64,
}

impl Far {
    fn new(slots: usize, messages: u64) -> Far {
        let fake = Fake::new(64, 16, 16, 4).with_states(slots);
        let bench = Arc::clone(&fake.bench);
        // Epochs of a later process are above those of an earlier one.
        Far { host: ExecutorHost::new(fake, 1000 * messages), bench, fate: None, messages }
    }
}

#[derive(Clone)]
struct Wire(Arc<Mutex<Far>>, usize);

impl Wire {
    fn new(slots: usize) -> Wire {
        Wire(Arc::new(Mutex::new(Far::new(slots, 0))), slots)
    }

    fn doom(&self, fate: Fate) {
        self.0.lock().unwrap().fate = Some(fate);
    }

    /// What the executor at the other end complains of.
    fn broken(&self) -> Option<String> {
        self.0.lock().unwrap().bench.lock().unwrap().broken.clone()
    }
}

impl Courier for Wire {
    fn carry(&mut self, message: &[u8], answer: &mut Answer) -> Result<(), String> {
        let mut bytes = Vec::new();
        let carried = self.carry_bytes(message, &mut bytes);
        answer.replace(&bytes);
        carried
    }

    fn name(&self) -> String {
        "the far end".to_owned()
    }
}

impl Wire {
    fn carry_bytes(&mut self, message: &[u8], answer: &mut Vec<u8>) -> Result<(), String> {
        let mut far = self.0.lock().unwrap();
        far.messages += 1;
        match far.fate.take() {
            Some(Fate::Lost) => return Err("the line is dead".to_owned()),
            Some(Fate::Unanswered) => {
                far.host.answer(message, &mut Vec::new());
                return Err("the line went dead".to_owned());
            }
            Some(Fate::Twice) => far.host.answer(message, &mut Vec::new()),
            Some(Fate::Reborn) => *far = Far::new(self.1, far.messages),
            Some(Fate::Garbled) => {
                *answer = vec![7; 99];
                return Ok(());
            }
            Some(Fate::Cut) => {
                far.host.answer(message, answer);
                answer.truncate(answer.len() - 3);
                return Ok(());
            }
            None => {}
        }
        far.host.answer(message, answer);
        Ok(())
    }
}

/// Four prompts, two of which begin alike.
fn prompts() -> Vec<Vec<u32>> {
    let long: Vec<u32> = (0..17).collect();
    vec![long.clone(), vec![5, 6], [&long[..], &[9, 9]].concat(), vec![30; 9]]
}

fn engine<E: Executor>(executor: E) -> (Engine<E>, Vec<Arc<Mutex<Inbox>>>) {
    let config =
        EngineConfig { max_sequences: 4, context: 64, prefix_cache: Some(Eviction::Lru), ..EngineConfig::default() };
    let mut engine = Engine::new(executor, config, ());
    let inboxes = (0..).zip(prompts()).map(|(id, prompt)| submit(&mut engine, id, prompt)).collect();
    (engine, inboxes)
}

fn submit<E: Executor>(engine: &mut Engine<E>, id: u64, prompt: Vec<u32>) -> Arc<Mutex<Inbox>> {
    let (sink, inbox) = Inbox::open();
    let prompt = Prompt::new(prompt).expect("tokens");
    let stop = StopRules { max_tokens: 10, ..StopRules::default() };
    let params = SamplingParams { seed: Some(7), ..SamplingParams::default() };
    let request = Request { stop, params, ..Request::new(RequestId(id), prompt, vec![Continuation::new(sink)]) };
    engine.submit(request, Duration::ZERO);
    inbox
}

/// Steps until nothing is left to do; `before` is called before each.
fn run<E: Executor>(engine: &mut Engine<E>, mut before: impl FnMut(usize)) {
    for step in 0..200 {
        if engine.is_idle() {
            return;
        }
        before(step);
        engine.step(&|| Duration::from_millis(step as u64));
        engine.check().expect("the books balance");
    }
    panic!("it does not end");
}

fn tokens(inboxes: &[Arc<Mutex<Inbox>>]) -> Vec<Vec<u32>> {
    inboxes.iter().map(|inbox| inbox.lock().unwrap().tokens.clone()).collect()
}

/// What the sequences say when nothing is in their way.
fn expected() -> Vec<Vec<u32>> {
    let (mut near, inboxes) = engine(Fake::new(64, 16, 16, 4));
    run(&mut near, |_| {});
    tokens(&inboxes)
}

#[test]
fn tokens_are_those_of_an_executor_in_this_process() {
    for slots in [0, 6] {
        let wire = Wire::new(slots);
        let (mut far, inboxes) = engine(RemoteExecutor::connect(wire.clone()).expect("it is there"));
        run(&mut far, |_| {});
        assert_eq!((tokens(&inboxes), wire.broken()), (expected(), None));
    }
}

/// Whatever happens to a message and whenever: who was in the batch ends with an error or is computed anew, and nobody is told a wrong token.
#[test]
fn who_is_lost_is_told_and_the_others_move_on() {
    let expected = expected();
    let fates = [Fate::Lost, Fate::Unanswered, Fate::Twice, Fate::Garbled, Fate::Cut, Fate::Reborn];
    for slots in [0, 6] {
        for fate in fates {
            for at in 0..8 {
                let wire = Wire::new(slots);
                let (mut far, inboxes) = engine(RemoteExecutor::connect(wire.clone()).expect("it is there"));
                run(&mut far, |step| {
                    if step == at {
                        wire.doom(fate);
                    }
                });
                for (inbox, expected) in inboxes.iter().zip(&expected) {
                    let inbox = inbox.lock().unwrap();
                    let reason = &inbox.finish.as_ref().expect("it ends").reason;
                    assert!(expected.starts_with(&inbox.tokens), "{fate:?} at {at}: {:?}", inbox.tokens);
                    match reason {
                        FinishReason::Length => assert_eq!(inbox.tokens, *expected, "{fate:?} at {at}"),
                        FinishReason::Unavailable(why) => assert!(why.starts_with("the far end was lost"), "{why}"),
                        other => panic!("{fate:?} at {at}: {other:?}"),
                    }
                }
                assert_eq!((wire.broken(), far.failure()), (None, None), "{fate:?} at {at}");
                // What was computed before the loss is found by nobody.
                let again = submit(&mut far, 99, prompts().swap_remove(2));
                run(&mut far, |_| {});
                assert_eq!((&again.lock().unwrap().tokens, wire.broken()), (&expected[2], None), "{fate:?} at {at}");
            }
        }
    }
}

/// A far end that stays away is no reason to give up; one that fails by itself fails as one in this process does.
#[test]
fn losses_are_not_counted_and_failures_are() {
    let wire = Wire::new(0);
    let (mut far, _) = engine(RemoteExecutor::connect(wire.clone()).expect("it is there"));
    for id in 10..30 {
        submit(&mut far, id, vec![1, 2]);
        wire.doom(Fate::Lost);
        far.step(&|| Duration::ZERO);
        assert_eq!(far.failure(), None);
    }
    let inbox = submit(&mut far, 99, vec![1, 2]);
    wire.0.lock().unwrap().bench.lock().unwrap().fault = Some(Fault::Error);
    run(&mut far, |_| {});
    let finish = inbox.lock().unwrap().finish.clone().expect("it ends");
    assert_eq!(finish.reason, FinishReason::Failed("the machine is on fire".into()));
    wire.0.lock().unwrap().bench.lock().unwrap().fault = Some(Fault::Broken);
    submit(&mut far, 100, vec![1, 2]);
    run(&mut far, |_| {});
    assert!(far.failure().expect("it gives up").contains("burnt down"));
}

/// A message is read or refused, whatever is in it: each end of it, and each byte changed.
#[test]
fn no_message_breaks_the_far_end() {
    let mut batch = Batch::default();
    let rows = batch.push(&[1, 2, 3], 0, [0]);
    batch.outputs.push(rows.end as u32 - 1);
    struct Spy(Wire, Arc<Mutex<Vec<u8>>>);
    impl Courier for Spy {
        fn carry(&mut self, message: &[u8], answer: &mut Answer) -> Result<(), String> {
            *self.1.lock().unwrap() = message.to_vec();
            self.0.carry(message, answer)
        }

        fn name(&self) -> String {
            self.0.name()
        }
    }
    let (wire, seen) = (Wire::new(0), Arc::default());
    let mut near = RemoteExecutor::connect(Spy(wire.clone(), Arc::clone(&seen))).expect("it is there");
    let prefix = [1, 2, 3].into_iter().fold(0, chain);
    let row = near.forward(&batch).expect("it computes").to_vec();
    assert_eq!((row.len(), &row[..]), (VOCAB, &logits(prefix)[..]));
    let message = seen.lock().unwrap().clone();
    let mut host = ExecutorHost::new(Fake::new(64, 16, 16, 4), 0);
    let mut answer = Vec::new();
    for end in 0..message.len() {
        host.answer(&message[..end], &mut answer);
        assert!(answer.len() > 24, "{end}");
    }
    for at in 0..message.len() {
        let mut wrong = message.clone();
        wrong[at] ^= 0x81;
        host.answer(&wrong, &mut answer);
        assert!(answer.len() >= 24, "{at}");
    }
}

/// Two engines cannot use one far end at a time: the first one learns that it is another's now.
#[test]
fn another_engine_takes_over() {
    let wire = Wire::new(0);
    let mut first = RemoteExecutor::connect(wire.clone()).expect("it is there");
    let mut second = RemoteExecutor::connect(wire).expect("it is there");
    let mut batch = Batch::default();
    batch.push(&[1], 0, [0]);
    batch.outputs.push(0);
    let lost = first.forward(&batch).map(<[f32]>::len).expect_err("it is another's");
    assert!(matches!(&lost, ExecutorError::Lost(why) if why.contains("another server uses it")), "{lost}");
    assert_eq!(first.forward(&batch).map(<[f32]>::len), Ok(VOCAB));
    assert!(second.forward(&batch).is_err());
}
