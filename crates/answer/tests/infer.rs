//! Whole answers of a made-up model: what becomes of requests, one and many, cancelled at every step.

#[path = "../../serve/tests/server/model.rs"]
#[allow(dead_code, unreachable_pub)]
mod model;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use answer::{
    Ask, Cancel, Ending, InferRequest, Inference, Inferred, Input, Kind, LoadedModel, ModelInfo, Priority, Sampling,
};
use engine::EngineConfig;
use model::{END, Scripted, template, tokenizer};
use proptest::prelude::*;
use text::Dialect;

/// The made-up model, which waits for a permit before each step if there is a gate.
fn loaded(gate: Option<Receiver<()>>) -> LoadedModel {
    let executor = Scripted { kv_blocks: 4096, gate, logits: Vec::new() };
    let info = ModelInfo {
        name: "tiny".into(),
        tokenizer: tokenizer(),
        template: Ok(template()),
        dialect: Dialect::of_template(""),
        sampling: Sampling::greedy(),
        stop_tokens: [END].into(),
        created: 0,
    };
    let config = EngineConfig { max_sequences: 4, context: 1024, ..EngineConfig::default() };
    let began = Instant::now();
    LoadedModel::start(info, executor, config, move || began.elapsed(), ()).expect("a thread")
}

fn gate() -> (SyncSender<()>, Receiver<()>) {
    sync_channel(1 << 10)
}

fn request(prompt: &str, tokens: usize) -> InferRequest {
    let ending = Ending { max_tokens: Some(tokens), ..Ending::default() };
    InferRequest::new(Ask { ending, ..Ask::new(Input::text(prompt)) })
}

fn texts(inferred: &Inferred) -> Vec<&str> {
    inferred.answers.iter().map(|answer| answer.text.as_str()).collect()
}

#[test]
fn what_becomes_of_a_request_is_told() {
    let model = loaded(None);
    let cancel = Cancel::new();
    let asked = request("a", 3).with_priority(Priority::High).with_metadata("name", "value");
    let Inference::Success(done) = model.blocking().infer(asked, &cancel) else { panic!("no success") };
    assert_eq!((texts(&done), done.prompt_tokens, done.generated_tokens), (vec!["bcd"], 1, 3));
    assert_eq!(done.metadata["name"], "value");
    assert!(done.first_token.is_some_and(|first| first <= done.took));
    // Too long; too hard for the model; later than its limit.
    for (asked, kind) in [(request(&"a".repeat(2000), 1), Kind::ContextLength), (request("#", 1), Kind::Internal)] {
        let Inference::Failed(_, problem) = model.blocking().infer(asked, &cancel) else { panic!("{kind:?}") };
        assert_eq!(problem.kind, kind);
    }
    let late = request("a", 900).with_time_limit(Duration::ZERO);
    let Inference::TimedOut(part, problem) = model.blocking().infer(late, &cancel) else { panic!("in time") };
    assert!(matches!(problem.kind, Kind::TimeLimit | Kind::TooLate | Kind::TooLateNow), "{problem:?}");
    assert_eq!(part.generated_tokens, 0);
    cancel.cancel();
    assert!(matches!(model.blocking().infer(request("a", 3), &cancel), Inference::Cancelled(_)));
}

#[test]
fn a_batch_gives_what_each_request_gives_alone() {
    let model = loaded(None);
    let requests = || (0..40).map(|i| request(if i == 17 { "#" } else { ["a", "m", "x", "B"][i % 4] }, 1 + i % 7));
    let alone: Vec<Inference> = requests().map(|asked| model.blocking().infer(asked, &Cancel::new())).collect();
    let mut seen = [false; 40];
    for (place, inference) in model.blocking().infer_batch(requests(), &Cancel::new()) {
        assert!(!std::mem::replace(&mut seen[place], true), "{place} came twice");
        // The failing one takes others of its batch with it.
        if let (Inference::Success(done), Inference::Success(alone)) = (&inference, &alone[place]) {
            assert_eq!(texts(done), texts(alone));
        }
    }
    assert_eq!(seen, [true; 40]);
    let mut requests = model.blocking().infer_batch((0..500).map(|_| request("a", 500)), &Cancel::new());
    assert!(requests.next().is_some());
    drop(requests);
    until_idle(&model);
}

/// Waits until nobody holds a block.
fn until_idle(model: &LoadedModel) {
    let began = Instant::now();
    while model.engine().stats().kv_blocks_used > 0 || model.engine().stats().running > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", model.engine().stats());
        std::thread::yield_now();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever step it comes in, a cancellation leaves a beginning of the answer, all blocks, and a model that goes on.
    #[test]
    fn cancelling_at_any_step_is_clean(permits in 0usize..30, prompt in "[a-y]{1,40}", tokens in 1usize..25, dropped: bool) {
        let (step, steps) = gate();
        let model = loaded(Some(steps));
        // Goes before the model, whose engine waits for it.
        let step = step;
        let cancel = Cancel::new();
        (0..permits).for_each(|_| step.send(()).expect("room for a permit"));
        let mut inference = Box::pin(model.infer(request(&prompt, tokens), &cancel));
        let mut cx = Context::from_waker(Waker::noop());
        let began = Instant::now();
        let mut ended = inference.as_mut().poll(&mut cx);
        while ended.is_pending() && (model.engine().stats().steps as usize) < permits {
            prop_assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
            ended = inference.as_mut().poll(&mut cx);
        }
        cancel.cancel();
        if dropped {
            drop(inference);
        } else {
            let ended = match ended { Poll::Pending => inference.as_mut().poll(&mut cx), ended => ended };
            let Poll::Ready(inference) = ended else { return Err(TestCaseError::fail("a cancelled one goes on")) };
            let expected = match (&inference, permits) {
                (Inference::Success(done), _) => done.generated_tokens == tokens || done.answers[0].reason.is_some(),
                (Inference::Cancelled(_), _) => true,
                _ => false,
            };
            prop_assert!(expected, "{:?}", inference);
        }
        // All steps are permitted from here on.
        drop(step);
        until_idle(&model);
        let Inference::Success(done) = model.blocking().infer(request("a", 3), &Cancel::new()) else {
            return Err(TestCaseError::fail("it does not go on"));
        };
        prop_assert_eq!(texts(&done), vec!["bcd"]);
    }
}
