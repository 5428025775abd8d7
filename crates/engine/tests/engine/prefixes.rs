//! Blocks that hold the same tokens are computed once, for requests at the same time and for later ones.

use std::sync::Arc;

use engine::{Request, StopRules};

use crate::executor::Fault;
use crate::scene::Scene;

/// What was found of each prompt, as each client was told.
fn check_found(scene: &Scene, expect: &[usize]) {
    let told: Vec<_> = scene.inboxes.iter().map(|inbox| inbox.lock().unwrap().started.unwrap_or(99)).collect();
    let recorded: Vec<_> = scene.records().iter().map(|record| record.tokens.cached).collect();
    assert_eq!((told.as_slice(), recorded.as_slice()), (expect, expect));
}

#[test]
fn a_prompt_seen_before_costs_its_last_block() {
    let mut scene = Scene::keeping(64, 4, 16);
    scene.submit(10, 1, 1).check(&["p10 d0 r0 w0 b0"]);
    scene.submit(10, 1, 1).check(&["p2 d0 r0 w0 b0 f8"]);
    // The last token is always computed: its logits are wanted.
    scene.submit(8, 1, 1).check(&["p4 d0 r0 w0 b0 f4"]);
    check_found(&scene, &[0, 8, 4]);
    let stats = scene.engine.stats();
    assert_eq!((stats.prompt_tokens, stats.found_tokens, stats.kv_blocks_kept), (16, 12, 2));
}

#[test]
fn a_conversation_goes_on_from_its_last_answer() {
    let mut scene = Scene::keeping(64, 4, 16);
    scene.submit(6, 1, 7).finish();
    let mut talk: Vec<u32> = (1..=6).collect();
    talk.extend(&scene.inboxes[0].lock().unwrap().tokens);
    talk.extend([9, 9, 9]);
    // Thirteen tokens were there, of which twelve had been computed.
    scene.ask(talk, 1, StopRules { max_tokens: 1, ..StopRules::default() }).check(&["p4 d0 r0 w0 b0 f12"]);
}

#[test]
fn requests_at_the_same_time_share_what_is_computed() {
    let mut scene = Scene::keeping(8, 4, 32);
    // The second and third start when the first has filled its blocks; all three use the same four.
    scene.submit(18, 1, 3).submit(18, 1, 3).submit(18, 1, 3);
    scene.check(&["p8 d0 r1 w2 b5", "p8 d0 r1 w2 b5", "p6 d0 r3 w0 b7 f32", "p0 d3 r3 w0 b7", "p0 d3 r0 w0 b0"]);
    check_found(&scene, &[0, 16, 16]);
}

#[test]
fn a_prompt_under_way_catches_up_with_another() {
    let mut scene = Scene::keeping(11, 4, 32);
    scene.submit(29, 1, 2).submit(29, 1, 2);
    // What both compute in the third step is kept once. In the fourth the second need not compute what the first has.
    scene.check(&["p11 d0 r1 w1 b8", "p11 d0 r1 w1 b8", "p11 d0 r2 w0 b10 f20", "p1 d1 r1 w0 b8 f4"]);
    scene.finish();
    check_found(&scene, &[0, 24]);
}

#[test]
fn who_has_another_salt_finds_nothing() {
    let mut scene = Scene::keeping(64, 4, 32);
    let salts: [Option<Arc<str>>; 3] = [None, Some("a".into()), Some("b".into())];
    let stop = StopRules { max_tokens: 1, ..StopRules::default() };
    for found in ["", " f8"] {
        for salt in &salts {
            let (stop, cache_salt) = (stop.clone(), salt.clone());
            scene.ask_as((1..=10).collect(), 1, |request| Request { stop, cache_salt, ..request });
            let rows = if found.is_empty() { 10 } else { 2 };
            scene.check(&[&format!("p{rows} d0 r0 w0 b0{found}")]);
        }
    }
}

#[test]
fn kept_blocks_are_free_for_who_needs_them() {
    let mut scene = Scene::keeping(64, 4, 4);
    scene.submit(10, 1, 1).check(&["p10 d0 r0 w0 b0"]);
    // Other tokens need all blocks but one, so what was kept is forgotten from its end.
    let other: Vec<u32> = (20..29).collect();
    scene.ask(other, 1, StopRules { max_tokens: 1, ..StopRules::default() }).check(&["p9 d0 r0 w0 b0"]);
    scene.submit(10, 1, 1).check(&["p6 d0 r0 w0 b0 f4"]);
}

#[test]
fn what_may_be_wrong_is_not_kept() {
    for fault in [Fault::Error, Fault::Nan] {
        let mut scene = Scene::keeping(64, 4, 16);
        scene.submit(10, 1, 1).fail(fault).check(&["p10 d0 r0 w0 b0"]);
        scene.submit(10, 1, 1).check(&["p10 d0 r0 w0 b0"]);
    }
}

/// Submits prompts of `1..=shared` and then `rest`, for a token each.
fn talk(scene: &mut Scene, shared: u32, rest: &[u32], expect: &[&str]) {
    let prompt = (1..=shared).map(|i| i % 32).chain(rest.iter().copied()).collect();
    scene.ask(prompt, 1, StopRules { max_tokens: 1, tokens: [31].into(), ..StopRules::default() }).check(expect);
}

#[test]
fn a_prompt_of_a_recurrent_model_goes_on_from_the_state_near_its_end() {
    let mut scene = Scene::with_states(64, 4, 32, 8);
    // A step ends where the state is kept.
    talk(&mut scene, 30, &[9; 10], &["p36 d0 r1 w0 b10", "p4 d0 r0 w0 b0"]);
    // The same again; with another end; and longer, from the state that the first has left behind at its end.
    talk(&mut scene, 30, &[9; 10], &["p4 d0 r0 w0 b0 f36"]);
    talk(&mut scene, 30, &[9, 9, 9, 9, 9, 9, 8, 8], &["p2 d0 r0 w0 b0 f36"]);
    talk(&mut scene, 30, &[9; 13], &["p3 d0 r0 w0 b0 f40"]);
    check_found(&scene, &[0, 36, 36, 40]);
    let stats = scene.engine.stats();
    assert_eq!((stats.states.used, stats.states.total, stats.states.kept > 1), (0, 8, true));
}

#[test]
fn a_state_is_kept_where_messages_end_and_where_prompts_part() {
    let mut scene = Scene::with_states(64, 4, 64, 8);
    // A message ends after 34 tokens; its last whole block after 32.
    let first: Vec<u32> = [5, 5, 5, 31].into_iter().chain([6; 20]).collect();
    talk(&mut scene, 30, &first, &["p32 d0 r1 w0 b14", "p22 d0 r0 w0 b0"]);
    let second: Vec<u32> = [5, 5, 5, 31].into_iter().chain([7; 20]).collect();
    talk(&mut scene, 30, &second, &["p22 d0 r0 w0 b0 f32"]);
    // Others part where no message ends: the second one that does keeps a state there, and the third finds it.
    let mut scene = Scene::with_states(64, 4, 64, 8);
    talk(&mut scene, 30, &[[1; 8], [8; 8], [8; 8]].concat(), &["p52 d0 r1 w0 b14", "p2 d0 r0 w0 b0"]);
    talk(&mut scene, 30, &[[1; 8], [9; 8], [9; 8]].concat(), &["p36 d0 r1 w0 b14", "p18 d0 r0 w0 b0"]);
    talk(&mut scene, 30, &[[1; 8], [7; 8], [7; 8]].concat(), &["p18 d0 r0 w0 b0 f36"]);
}

#[test]
fn sequences_take_the_slots_of_kept_states() {
    let mut scene = Scene::with_states(64, 4, 64, 2);
    talk(&mut scene, 30, &[9; 10], &["p36 d0 r1 w0 b10", "p4 d0 r0 w0 b0"]);
    let kept = scene.engine.stats().states.kept;
    scene.submit(3, 2, 2).check(&["p3 d0 r2 w0 b1"]);
    let stats = scene.engine.stats();
    assert_eq!((kept, stats.states.used, stats.states.kept), (2, 2, 0));
    scene.finish();
    talk(&mut scene, 30, &[9; 10], &["p36 d0 r1 w0 b10", "p4 d0 r0 w0 b0"]);
}

#[test]
fn a_recurrent_conversation_goes_on_from_its_last_answer() {
    let mut scene = Scene::with_states(64, 4, 16, 4);
    scene.submit(6, 1, 8).finish();
    let mut talk: Vec<u32> = (1..=6).collect();
    talk.extend(&scene.inboxes[0].lock().unwrap().tokens);
    talk.extend([9, 9, 9]);
    // Fourteen tokens were there, of which thirteen had been computed; the state was kept after twelve.
    scene.ask(talk, 1, StopRules { max_tokens: 1, ..StopRules::default() }).check(&["p5 d0 r0 w0 b0 f12"]);
}

#[test]
fn what_may_be_wrong_is_no_state_to_go_on_from() {
    for fault in [Fault::Error, Fault::Nan, Fault::Panic] {
        let mut scene = Scene::with_states(64, 4, 16, 4);
        talk(&mut scene, 30, &[9; 10], &["p36 d0 r1 w0 b10"]);
        scene.fail(fault).check(&["p4 d0 r0 w0 b0"]);
        talk(
            &mut scene,
            30,
            &[9; 10],
            if fault == Fault::Nan { &["p4 d0 r0 w0 b0 f36"] } else { &["p36 d0 r1 w0 b10"] },
        );
    }
}
