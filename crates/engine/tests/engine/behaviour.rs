//! Single behaviours of the engine, step by step; see [`Scene`] for how a step is written.

use std::sync::Arc;
use std::time::Duration;

use engine::{RequestId, SinkState, StopRules};

use crate::scene::Scene;

#[test]
fn a_long_prompt_is_computed_in_chunks_while_others_decode() {
    let mut scene = Scene::new(6, 4, 16);
    scene.submit(3, 1, 4).submit(10, 1, 2);
    scene.check(&["p6 d0 r2 w0 b4", "p5 d1 r2 w0 b4", "p2 d1 r2 w0 b5", "p0 d2 r0 w0 b0", "p0 d0 r0 w0 b0"]);
    scene.check_clients(&["4 tokens, Length 3+4", "2 tokens, Length 10+2"]);
}

#[test]
fn chunks_are_small_only_beside_who_decodes() {
    let mut scene = Scene::new(64, 4, 40);
    scene.submit(50, 1, 4).check(&["p50 d0 r1 w0 b13"]);
    scene.submit(50, 1, 1).check(&["p32 d1 r2 w0 b26", "p18 d1 r1 w0 b13", "p0 d1 r0 w0 b0"]);
    // A reader that has stopped waits for nobody.
    scene.submit(50, 1, 4).check(&["p50 d0 r1 w0 b13"]);
    scene.set(2, SinkState::Full).submit(50, 1, 1).check(&["p50 d0 r1 w0 b13"]);
}

#[test]
fn a_prompt_is_computed_once_for_all_its_continuations() {
    // Two full blocks would need no copy; here the second is shared half full, and copied by all but its last owner.
    let mut scene = Scene::new(64, 4, 16);
    scene.submit(6, 3, 4).check(&["p6 d0 r3 w0 b2", "p0 d3 r3 w0 b4 c2", "p0 d3 r3 w0 b4", "p0 d3 r0 w0 b0"]);
    scene.submit(8, 2, 2).check(&["p8 d0 r2 w0 b2", "p0 d2 r0 w0 b0"]);
    // More than can run at once go in groups.
    scene.submit(4, 6, 1).check(&["p4 d0 r0 w1 b0", "p4 d0 r0 w0 b0"]);
}

#[test]
fn the_youngest_gives_way_when_blocks_run_short() {
    let mut scene = Scene::new(64, 4, 4);
    scene.submit(7, 1, 4).submit(3, 1, 6);
    scene.check(&["p10 d0 r2 w0 b3", "p0 d2 r2 w0 b3", "p0 d1 r1 w1 b3 x1", "p0 d1 r0 w1 b0"]);
    // Its prompt and the tokens it has are computed again; then it goes on.
    scene.check(&["p5 d0 r1 w0 b2", "p0 d1 r1 w0 b2", "p0 d1 r1 w0 b2", "p0 d1 r0 w0 b0"]);
    scene.check_clients(&["4 tokens, Length 7+4", "6 tokens, Length 3+6"]);
}

#[test]
fn what_can_never_run_is_refused_at_once() {
    let mut scene = Scene::new(8, 4, 4);
    scene.submit(16, 2, 1).submit(15, 1, 9).submit(3, 1, 0);
    scene.ask(vec![1, 32], 1, StopRules { max_tokens: 1, ..StopRules::default() });
    scene.check(&["p8 d0 r1 w0 b4", "p7 d0 r0 w0 b0"]);
    let long = "0 tokens, Failed(\"the prompt has 16 tokens, but prompt and answer together can have 16 (the context, or \
                what 4 blocks of KV cache hold); shorten the prompt or enlarge the context or the cache\") 16+0";
    let outside = "0 tokens, Failed(\"the prompt has token 32, but the vocabulary ends at 31\") 2+0";
    scene.check_clients(&[long, long, "1 tokens, Length 15+1", "0 tokens, Length 3+0", outside]);
}

#[test]
fn a_vanished_receiver_frees_its_blocks_within_a_step() {
    let mut scene = Scene::new(64, 2, 16);
    scene.submit(5, 2, 9).submit(5, 1, 9).check(&["p5 d0 r2 w1 b2", "p0 d2 r2 w1 b3 c1"]);
    scene.set(1, SinkState::Gone).set(2, SinkState::Gone).check(&["p0 d1 r1 w0 b2"]);
    scene.set(0, SinkState::Gone).check(&["p0 d0 r0 w0 b0"]);
    scene.check_clients(&["3 tokens", "2 tokens", "0 tokens"]);
}

#[test]
fn a_full_receiver_waits_and_gives_way_only_after_a_while() {
    let mut scene = Scene::new(64, 1, 16);
    scene.submit(5, 1, 3).submit(2, 1, 2).check(&["p5 d0 r1 w1 b2"]);
    scene.set(0, SinkState::Full).check(&["p0 d0 r1 w1 b2", "p0 d0 r1 w1 b2"]);
    scene.now = Duration::from_secs(2);
    scene.check(&["p2 d0 r1 w1 b1 x1", "p0 d1 r0 w1 b0", "p0 d0 r0 w1 b0"]);
    scene.set(0, SinkState::Ready).check(&["p6 d0 r1 w0 b2", "p0 d1 r0 w0 b0"]);
    scene.check_clients(&["3 tokens, Length 5+3", "2 tokens, Length 2+2"]);
}

#[test]
fn stop_tokens_are_told_and_end_the_answer_but_not_too_early() {
    let all: Arc<[u32]> = (0..31).collect();
    let mut scene = Scene::new(64, 4, 16);
    scene.ask(vec![1], 1, StopRules { max_tokens: 9, min_tokens: 2, tokens: all });
    // Until two tokens are there, 31 is the only one allowed.
    scene.check(&["p1 d0 r1 w0 b1", "p0 d1 r1 w0 b1", "p0 d1 r0 w0 b0"]);
    let inbox = scene.inboxes[0].lock().unwrap();
    let [31, 31, last] = inbox.tokens[..] else { panic!("{:?}", inbox.tokens) };
    assert_eq!(inbox.to_string(), format!("3 tokens, Stop({last}) 1+3"));
}

#[test]
fn an_aborted_request_ends_wherever_it_is() {
    let mut scene = Scene::new(64, 1, 16);
    scene.submit(5, 1, 3).submit(2, 1, 2).check(&["p5 d0 r1 w1 b2"]);
    scene.engine.abort(RequestId(1));
    scene.engine.abort(RequestId(7));
    scene.check(&["p0 d1 r1 w0 b2"]).engine.abort_all();
    scene.check(&["p0 d0 r0 w0 b0"]);
    scene.check_clients(&["2 tokens, Aborted 5+2", "0 tokens, Aborted 2+0"]);
    let stats = scene.engine.stats();
    assert_eq!((stats.steps, stats.prompt_tokens, stats.generated_tokens), (2, 5, 2));
}
