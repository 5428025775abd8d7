//! The record of a request says what became of it.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use engine::{FinishReason, Priority, Request, RequestId, RequestRecord, SamplingParams, SinkState, StopRules};

use crate::executor::Fault;
use crate::scene::Scene;

/// Makes a step for each expectation, a second for each; then the records must be as expected.
fn check(scene: &mut Scene, steps: &[&str], records: &[&str]) {
    for step in steps {
        scene.check(&[step]);
        scene.now += Duration::from_secs(1);
    }
    let shown: Vec<String> = scene.records().iter().map(shown).collect();
    assert_eq!(shown, records);
}

/// `#0 at 0: 1-2..3` (arrival, start, first and last token), prompt and generated tokens, preemptions, reasons.
fn shown(record: &RequestRecord) -> String {
    let time = |time: Option<Duration>| time.map_or("never".to_owned(), |time| time.as_secs().to_string());
    let times = &record.times;
    let mut text = format!("#{} at {}: {}-", record.id.0, times.arrived.as_secs(), time(times.started));
    let _ = write!(text, "{}..{}, ", time(times.first_token), time(times.last_token));
    let _ = write!(text, "{}+{}, x{}, ", record.tokens.prompt, record.tokens.generated, record.preemptions);
    let _ = write!(text, "{:?} of {:?}", record.reason(), record.reasons);
    text
}

#[test]
fn times_and_tokens_are_those_of_the_request() {
    let mut scene = Scene::new(4, 2, 16);
    scene.submit(6, 1, 2).submit(2, 1, 2);
    let steps = ["p4 d0 r1 w1 b2", "p4 d0 r2 w0 b3", "p0 d2 r0 w0 b0"];
    let first = "#0 at 0: 0-1..2, 6+2, x0, Length of [Length]";
    let second = "#1 at 0: 1-1..2, 2+2, x0, Length of [Length]";
    check(&mut scene, &steps, &[first, second]);
    let stats = scene.engine.stats();
    assert_eq!((stats.prompt_tokens, stats.generated_tokens, stats.steps), (8, 4, 3));
}

#[test]
fn a_request_has_one_record_for_all_its_continuations() {
    let mut scene = Scene::new(64, 3, 16);
    scene.submit(6, 3, 4).check(&["p6 d0 r3 w0 b2"]);
    scene.set(1, SinkState::Gone).set(0, SinkState::Done);
    check(&mut scene, &["p0 d1 r1 w0 b2"], &[]);
    let record = "#0 at 0: 0-0..2, 6+6, x0, Cancelled of [Complete, Cancelled, Length]";
    check(&mut scene, &["p0 d1 r1 w0 b2", "p0 d1 r0 w0 b0"], &[record]);
    scene.check_clients(&["1 tokens, Complete 6+1", "1 tokens", "4 tokens, Length 6+4"]);
    // Groups of continuations too.
    let mut scene = Scene::new(64, 2, 16);
    scene.submit(4, 3, 1);
    let record = "#0 at 0: 0-0..1, 4+3, x0, Length of [Length, Length, Length]";
    check(&mut scene, &["p4 d0 r0 w1 b0", "p4 d0 r0 w0 b0"], &[record]);
}

#[test]
fn preemptions_and_faults_are_counted() {
    let mut scene = Scene::new(64, 4, 4);
    scene.submit(7, 1, 4).submit(3, 1, 6);
    let steps = ["p10 d0 r2 w0 b3", "p0 d2 r2 w0 b3", "p0 d1 r1 w1 b3 x1", "p0 d1 r0 w1 b0", "p5 d0 r1 w0 b2"];
    let first = "#0 at 0: 0-0..3, 7+4, x0, Length of [Length]";
    check(&mut scene, &steps, &[first]);
    let second = "#1 at 0: 0-0..4, 3+3, x1, Failed(\"the machine is on fire\") of [Failed(\"the machine is on fire\")]";
    check(scene.fail(Fault::Error), &["p0 d1 r0 w0 b0"], &[first, second]);
}

#[test]
fn a_record_says_how_much_the_worst_answer_repeats_itself() {
    let check = |bias: &[(u32, f32)], n: usize, max_tokens: usize, wanted: Option<f64>| {
        let mut scene = Scene::new(64, 4, 64);
        let stop = StopRules { max_tokens, ..StopRules::default() };
        let params = SamplingParams { logit_bias: bias.to_vec(), ..SamplingParams::default() };
        scene.ask_as(vec![1, 2, 3], n, |request| Request { stop, params, ..request });
        // The first of several leaves before it has written anything that could be judged.
        (0..9).for_each(|_| _ = scene.engine.step(&|| Duration::ZERO));
        if n > 1 {
            scene.set(0, SinkState::Done).set(1, SinkState::Gone);
        }
        scene.finish();
        let share = scene.records()[0].repetition.share();
        let same = share.zip(wanted).map_or(share.is_none() && wanted.is_none(), |(a, b)| (a - b).abs() < 1e-9);
        assert!(same, "{share:?}, not {wanted:?}, of {bias:?} {n} {max_tokens}");
    };
    check(&[(7, 1e6)], 1, 20, None);
    check(&[(7, 1e6)], 1, 40, Some(36.0 / 37.0));
    check(&[(7, 1e6)], 3, 30, Some(26.0 / 27.0));
    check(&[(7, 1e6)], 2, 30, None);
    // Logits that depend on all that came before do not go in circles.
    check(&[], 1, 40, Some(0.0));
}

#[test]
fn what_never_ran_has_a_record_too() {
    let mut scene = Scene::new(64, 1, 4);
    scene.submit(3, 1, 2).submit(99, 1, 1).submit(2, 1, 0).submit(2, 2, 9);
    scene.engine.abort(RequestId(3));
    let [refused, empty, aborted, ..] = &scene.records()[..] else { panic!("{:?}", scene.records()) };
    assert!(matches!(refused.reason(), FinishReason::Failed(_)) && refused.times.started.is_none());
    assert_eq!(shown(empty), "#2 at 0: never-never..never, 2+0, x0, Length of [Length]");
    assert_eq!(shown(aborted), "#3 at 0: never-never..never, 2+0, x0, Aborted of [Aborted, Aborted]");
    assert_eq!((scene.finish(), scene.records().len()), (0, 4));
}

#[test]
fn a_record_has_what_the_request_came_with() {
    let mut scene = Scene::new(64, 1, 4);
    let tenant: Option<Arc<str>> = Some("acme".into());
    let (priority, deadline) = (Priority::High, Some(Duration::from_secs(7)));
    scene.now = Duration::from_secs(5);
    let stop = StopRules { max_tokens: 1, ..StopRules::default() };
    let given = tenant.clone();
    scene.ask_as(vec![1, 2], 1, |request| Request { priority, deadline, tenant: given, stop, ..request });
    let [sequence] = scene.engine.scheduler().waiting() else { panic!("one sequence waits") };
    let arrival = sequence.arrival();
    assert_eq!((arrival.priority, arrival.deadline, &arrival.tenant), (priority, deadline, &tenant));
    assert_eq!((arrival.time, arrival.prompt, arrival.continuations), (scene.now, 2, 1));
    scene.finish();
    let record = &scene.records()[0];
    assert_eq!((record.priority, record.deadline, &record.tenant), (priority, deadline, &tenant));
    assert_eq!((record.continuations(), record.tokens.cached), (1, 0));
}
