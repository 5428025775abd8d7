//! Slots of recurrent states: one for each continuation that runs, copied when continuations fork. The executor of the tests
//! knows what each slot has seen and refuses batches whose slots do not hold what they claim.

use engine::SinkState;

use crate::executor::Fault;
use crate::scene::Scene;

/// The tokens of all clients.
fn tokens(scene: &Scene) -> Vec<Vec<u32>> {
    scene.inboxes.iter().map(|inbox| inbox.lock().unwrap().tokens.clone()).collect()
}

/// Three continuations of four tokens, as they are without disturbance.
fn undisturbed() -> Vec<Vec<u32>> {
    let mut scene = Scene::with_states(64, 4, 16, 4);
    scene.submit(6, 3, 4).finish();
    tokens(&scene)
}

#[test]
fn each_continuation_has_a_slot_while_it_runs() {
    let mut scene = Scene::with_states(4, 4, 40, 4);
    scene.submit(6, 3, 3).submit(2, 2, 1).check(&["p4 d0 r1 w1 b2"]);
    // Slots for all three are kept from the start, and the second request waits for two.
    assert_eq!(scene.slots(), 3);
    scene.check(&["p2 d0 r3 w1 b2"]);
    assert_eq!(scene.slots(), 3);
    scene.set(1, SinkState::Gone).check(&["p2 d2 r2 w0 b3 c1"]);
    assert_eq!(scene.slots(), 2);
    scene.check(&["p0 d2 r0 w0 b0"]);
    assert_eq!(scene.slots(), 0);
    // A model without recurrent layers has none.
    let mut scene = Scene::new(64, 4, 16);
    scene.submit(6, 3, 3).check(&["p6 d0 r3 w0 b2"]);
    assert_eq!(scene.slots(), 0);
}

#[test]
fn no_more_sequences_run_than_there_are_slots() {
    let mut scene = Scene::with_states(64, 4, 40, 2);
    // The prompt is computed for two, then for the third.
    scene.submit(4, 3, 1).check(&["p4 d0 r0 w1 b0", "p4 d0 r0 w0 b0"]);
    scene.submit(4, 1, 2).submit(4, 2, 1).check(&["p4 d0 r1 w1 b1", "p0 d1 r0 w1 b0", "p4 d0 r0 w0 b0"]);
}

#[test]
fn a_state_is_copied_before_anyone_goes_on() {
    // All stop reading just after the fork: the copies wait for the next batch, which is somebody else's.
    let mut scene = Scene::with_states(64, 4, 16, 4);
    scene.submit(6, 3, 4).check(&["p6 d0 r3 w0 b2"]);
    (0..3).for_each(|client| _ = scene.set(client, SinkState::Full));
    scene.check(&["p0 d0 r3 w0 b2", "p0 d0 r3 w0 b2"]).submit(3, 1, 1).check(&["p3 d0 r3 w0 b2"]);
    scene.set(0, SinkState::Ready).check(&["p0 d1 r3 w0 b3 c1"]);
    (1..3).for_each(|client| _ = scene.set(client, SinkState::Ready));
    scene.finish();
    assert_eq!(tokens(&scene)[..3], undisturbed());
}

#[test]
fn a_state_whose_copy_failed_is_computed_again() {
    for fault in [Fault::Error, Fault::Panic] {
        let mut scene = Scene::with_states(64, 4, 16, 4);
        scene.submit(6, 3, 4).check(&["p6 d0 r3 w0 b2"]);
        // The first goes on alone and fails; the two others were to get their states in the same batch.
        scene.set(1, SinkState::Full).set(2, SinkState::Full).fail(fault).check(&["p0 d1 r0 w2 b0 c1 x2"]);
        scene.set(1, SinkState::Ready).set(2, SinkState::Ready).finish();
        assert_eq!(tokens(&scene)[1..], undisturbed()[1..], "{fault:?}");
        assert_eq!(scene.records()[0].preemptions, 2);
    }
}
