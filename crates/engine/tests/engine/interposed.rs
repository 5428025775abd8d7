//! What is put in the executor's place for a request, and blocks that are taken away for a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::{ExecutorError, FAILURES_IN_A_ROW, FinishReason, Interposed, Request, RequestRows, StopRules};

use crate::scene::Scene;

/// A request for so many tokens with something interposed.
fn interposing(interposed: &Interposed, max_tokens: usize) -> impl FnOnce(Request) -> Request {
    let stop = StopRules { max_tokens, ..StopRules::default() };
    let rows = RequestRows { interposed: Some(interposed.clone()), ..RequestRows::default() };
    move |request| Request { stop, rows, ..request }
}

fn fails() -> Interposed {
    Interposed::new(|| Err(ExecutorError::Batch("on purpose".to_owned())))
}

/// A panic, but without the message on the terminal.
fn panics() -> Interposed {
    Interposed::new(|| std::panic::resume_unwind(Box::new("on purpose")))
}

#[test]
fn what_fails_or_panics_ends_the_batch_and_not_the_engine() {
    for (interposed, why) in [(fails(), "on purpose"), (panics(), "the executor panicked: on purpose")] {
        let mut scene = Scene::new(64, 4, 64);
        // More often than an executor may fail by itself.
        for _ in 0..2 * FAILURES_IN_A_ROW {
            scene.ask_as(vec![1, 2], 1, interposing(&interposed, 3)).submit(3, 1, 3).check(&["p5 d0 r0 w0 b0"]);
        }
        assert_eq!((scene.engine.failure(), scene.batches()), (None, 0), "the executor was asked for nothing");
        scene.submit(2, 1, 2).finish();
        for (client, inbox) in scene.inboxes.iter().enumerate() {
            let reason = inbox.lock().unwrap().finish.as_ref().expect("everyone hears the end").reason.clone();
            let failed = FinishReason::Failed(why.into());
            assert_eq!(reason, if client < 4 * FAILURES_IN_A_ROW { failed } else { FinishReason::Length });
        }
    }
}

#[test]
fn an_executor_is_broken_if_that_is_said() {
    let mut scene = Scene::new(64, 4, 64);
    let broken = Interposed::new(|| Err(ExecutorError::Broken("it burns".to_owned())));
    scene.ask_as(vec![1, 2], 1, interposing(&broken, 3)).check(&["p2 d0 r0 w0 b0"]);
    assert_eq!(scene.engine.failure().map(|why| &**why), Some("the executor is broken: it burns"));
}

#[test]
fn it_is_called_before_each_batch_with_its_request_and_no_other() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let counts = Interposed::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let mut scene = Scene::new(4, 4, 64);
    // A chunk of the prompt, its rest, and three tokens; the other one goes on for longer.
    scene.ask_as(vec![1, 2, 3, 4, 5, 6], 1, interposing(&counts, 4)).submit(2, 1, 9);
    scene.finish();
    assert_eq!(calls.load(Ordering::Relaxed), 5);
    let alone = {
        let mut scene = Scene::new(4, 4, 64);
        scene.submit(6, 1, 4).finish();
        scene.inboxes[0].lock().unwrap().tokens.clone()
    };
    assert_eq!(scene.inboxes[0].lock().unwrap().tokens, alone, "what is interposed changes no token");
}

/// So many of 8 blocks of 4 positions are taken away for 10 s; then nobody notices.
#[test]
fn blocks_are_taken_away_as_they_are_free_and_given_back() {
    let after = |seconds| Duration::from_secs(seconds);
    let mut scene = Scene::new(64, 4, 8);
    scene.submit(6, 1, 9).check(&["p6 d0 r1 w0 b2"]);
    scene.engine.withhold(7, after(10));
    // All but its two are taken, and it needs a third.
    scene.check(&["p0 d1 r1 w0 b8", "p0 d1 r1 w0 b8", "p0 d0 r0 w1 b6 x1", "p0 d0 r0 w1 b7"]);
    scene.now = after(10);
    scene.check(&["p9 d0 r1 w0 b3"]);
    scene.finish();
    let mut undisturbed = Scene::new(64, 4, 8);
    undisturbed.submit(6, 1, 9).finish();
    let tokens = |scene: &Scene| scene.inboxes[0].lock().unwrap().tokens.clone();
    assert_eq!(tokens(&scene), tokens(&undisturbed));
}

#[test]
fn a_shortage_takes_the_place_of_the_one_before() {
    let mut scene = Scene::new(64, 4, 8);
    for (blocks, used) in [(3, 3), (8, 8), (99, 8), (2, 2), (0, 0)] {
        scene.engine.withhold(blocks, Duration::from_secs(1));
        scene.check(&[&format!("p0 d0 r0 w0 b{used}")]);
    }
}

/// With all blocks gone nobody starts, deadlines hold, and all goes on afterwards.
#[test]
fn nothing_hangs_while_there_is_no_memory() {
    let mut scene = Scene::keeping(64, 4, 8);
    scene.submit(9, 1, 2).finish();
    scene.engine.withhold(8, Duration::from_secs(5));
    let stop = StopRules { max_tokens: 2, ..StopRules::default() };
    let deadline = Some(Duration::from_secs(2));
    scene.ask_as(vec![1, 2, 3], 1, |request| Request { stop: stop.clone(), deadline, ..request });
    scene.submit(3, 1, 2).check(&["p0 d0 r0 w2 b8"]);
    scene.now = Duration::from_secs(3);
    scene.check(&["p0 d0 r0 w1 b8"]);
    scene.now = Duration::from_secs(5);
    scene.finish();
    let reasons = [1, 2]
        .map(|client| scene.inboxes[client].lock().unwrap().finish.as_ref().expect("it has ended").reason.clone());
    assert_eq!(reasons, [FinishReason::Deadline, FinishReason::Length]);
}
