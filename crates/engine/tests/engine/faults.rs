//! Executors that fail, and what becomes of the requests they had and of the engine.

use std::cell::Cell;
use std::time::Duration;

use engine::{FAILURES_IN_A_ROW, FinishReason, Request, StopRules};

use crate::executor::Fault;
use crate::scene::Scene;

const FAULTS: [(Fault, &str); 4] = [
    (Fault::Error, "the machine is on fire"),
    (Fault::Panic, "the executor panicked: out of cheese"),
    (Fault::Short, "the executor gave 31 logits where 32 are due"),
    (
        Fault::Nan,
        "the logits hold NaN or infinity: the model's weights or the request's penalties and biases are out of range",
    ),
];

#[test]
fn a_failed_batch_ends_its_sequences_and_nobody_else() {
    for (fault, why) in FAULTS {
        let mut scene = Scene::new(64, 1, 16);
        scene.submit(5, 1, 3).submit(2, 1, 2).fail(fault).check(&["p5 d0 r0 w1 b0", "p2 d0 r1 w0 b1"]);
        scene.fail(fault).check(&["p0 d1 r0 w0 b0"]).submit(3, 1, 1).check(&["p3 d0 r0 w0 b0"]);
        let failed = |rest: &str| format!("Failed({why:?}) {rest}");
        let expect = [format!("0 tokens, {}", failed("5+0")), format!("1 tokens, {}", failed("2+1"))];
        scene.check_clients(&[&expect[0], &expect[1], "1 tokens, Length 3+1"]);
        assert_eq!(scene.engine.failure(), None, "{fault:?}");
    }
}

#[test]
fn others_get_the_tokens_that_they_get_without_the_failure() {
    let answers = |fault: Option<Fault>| {
        let mut scene = Scene::new(8, 4, 16);
        scene.submit(8, 1, 3).submit(5, 2, 6);
        if let Some(fault) = fault {
            scene.fail(fault);
        }
        scene.finish();
        [1, 2].map(|client| scene.inboxes[client].lock().unwrap().tokens.clone())
    };
    let undisturbed = answers(None);
    assert_eq!(undisturbed.each_ref().map(Vec::len), [6, 6]);
    FAULTS.iter().for_each(|(fault, _)| assert_eq!(answers(Some(*fault)), undisturbed, "{fault:?}"));
}

#[test]
fn an_engine_gives_up_when_nothing_succeeds_any_more() {
    for (fault, why) in &FAULTS[..3] {
        let mut scene = Scene::new(64, 1, 16);
        (0..FAILURES_IN_A_ROW + 2).for_each(|_| _ = scene.submit(2, 1, 1));
        // A success in between: all begins anew.
        for fails in [true, false].into_iter().chain([true; FAILURES_IN_A_ROW]) {
            assert_eq!(scene.engine.failure(), None);
            if fails {
                scene.fail(*fault);
            }
            scene.engine.step(&|| scene.now);
            scene.engine.check().unwrap();
        }
        let reason = format!("the executor failed 5 times in a row, the last time because: {why}");
        assert_eq!(scene.engine.failure().map(|why| &**why), Some(&*reason));
        assert!(scene.engine.is_idle() && scene.engine.stats().kv_blocks_used == 0);
        assert_eq!(scene.engine.stats().failed_batches, 1 + FAILURES_IN_A_ROW as u64);
        // What comes now is answered at once.
        scene.submit(3, 2, 1).check(&["p0 d0 r0 w0 b0"]);
        let late = format!("0 tokens, Failed({reason:?}) 3+0");
        scene.inboxes[FAILURES_IN_A_ROW + 2..]
            .iter()
            .for_each(|inbox| assert_eq!(inbox.lock().unwrap().to_string(), late));
    }
}

#[test]
fn a_broken_executor_ends_everything_at_once() {
    let mut scene = Scene::new(64, 2, 16);
    scene.submit(5, 2, 3).submit(2, 3, 2).ask(vec![1], 1, StopRules::default()).fail(Fault::Broken);
    scene.check(&["p5 d0 r0 w0 b0", "p0 d0 r0 w0 b0"]);
    let of_batch = "0 tokens, Failed(\"the machine has burnt down\") 5+0";
    let queued = "0 tokens, Failed(\"the executor is broken: the machine has burnt down\") 2+0";
    scene.check_clients(&[of_batch, of_batch, queued, queued, queued, "0 tokens, Length 1+0"]);
    assert!(scene.engine.failure().is_some());
}

#[test]
fn a_step_that_hangs_makes_late_who_has_a_deadline_and_changes_nobody_else() {
    let answers = |hangs: bool| {
        let mut scene = Scene::new(64, 4, 16);
        let (stop, deadline) = (StopRules { max_tokens: 6, ..StopRules::default() }, Some(Duration::from_millis(500)));
        scene.ask_as(vec![1, 2, 3], 1, |request| Request { stop, deadline, ..request }).submit(5, 2, 6);
        // The clock is asked before and after.
        let asked = Cell::new(0);
        let clock = || {
            asked.set(asked.get() + 1);
            Duration::from_secs(if hangs && asked.get() > 2 { 1 } else { 0 })
        };
        for _ in 0..20 {
            scene.engine.step(&clock);
            scene.engine.check().unwrap();
        }
        assert!(scene.engine.is_idle() && scene.engine.stats().kv_blocks_used == 0);
        let tokens = [0, 1, 2].map(|client| scene.inboxes[client].lock().unwrap().tokens.clone());
        let reason = scene.inboxes[0].lock().unwrap().finish.as_ref().expect("it has ended").reason.clone();
        (tokens, reason)
    };
    let ((undisturbed, whole), (disturbed, late)) = (answers(false), answers(true));
    assert_eq!((whole, late), (FinishReason::Length, FinishReason::Deadline));
    assert_eq!(disturbed[1..], undisturbed[1..]);
    assert!(undisturbed[0].starts_with(&disturbed[0]) && disturbed[0].len() < 6, "{disturbed:?}");
}

#[test]
fn every_kth_batch_that_fails_ends_its_own_and_the_rest_are_what_they_are_alone() {
    for every in [2, 3, 5, 7] {
        let run = |fails: bool| {
            let mut scene = Scene::new(16, 3, 32);
            (0..30).for_each(|i| _ = scene.submit(2 + i % 9, 1 + i % 2, 1 + i % 5));
            for step in 1..2000 {
                if scene.engine.is_idle() {
                    break;
                }
                if fails && step % every == 0 {
                    scene.fail(FAULTS[step / every % FAULTS.len()].0);
                }
                scene.engine.step(&|| scene.now);
                scene.engine.check().unwrap();
            }
            assert!(
                scene.engine.is_idle() && scene.engine.stats().kv_blocks_used == 0 && scene.engine.failure().is_none()
            );
            let ends = scene.inboxes.iter().map(|inbox| {
                let inbox = inbox.lock().unwrap();
                (inbox.tokens.clone(), inbox.finish.as_ref().expect("everyone hears the end").reason.clone())
            });
            ends.collect::<Vec<_>>()
        };
        let (whole, hit) = (run(false), run(true));
        let failed = hit.iter().filter(|(_, reason)| matches!(reason, FinishReason::Failed(_))).count();
        assert!(failed > 0 && failed < hit.len(), "{failed} of {}", hit.len());
        for ((tokens, _), (got, reason)) in whole.iter().zip(&hit) {
            let right = match reason {
                FinishReason::Failed(why) => !why.is_empty() && tokens.starts_with(got),
                _ => got == tokens,
            };
            assert!(right, "every {every}: {got:?} {reason:?}, alone {tokens:?}");
        }
    }
}
