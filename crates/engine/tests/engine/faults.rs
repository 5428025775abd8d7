//! Executors that fail, and what becomes of the requests they had and of the engine.

use engine::{FAILURES_IN_A_ROW, StopRules};

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
