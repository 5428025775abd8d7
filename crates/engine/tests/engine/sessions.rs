//! What the cache has of a prefix, saved and put back into the same engine or another one.

use engine::{RestoreError, SavedPrefix, StopRules};

use crate::scene::Scene;

const PROMPT: [u32; 42] = [7; 42];

fn ask(scene: &mut Scene, expect: &[&str]) {
    scene.ask(PROMPT.to_vec(), 1, StopRules { max_tokens: 1, ..StopRules::default() }).check(expect);
}

#[test]
fn a_restored_prefix_is_found_as_if_it_had_just_been_computed() {
    for (recurrent, first, again) in [
        (false, &["p42 d0 r0 w0 b0"][..], &["p2 d0 r0 w0 b0 f40"][..]),
        (true, &["p40 d0 r1 w0 b11", "p2 d0 r0 w0 b0"], &["p2 d0 r0 w0 b0 f40"]),
    ] {
        let scene = || if recurrent { Scene::with_states(64, 4, 16, 4) } else { Scene::keeping(64, 4, 16) };
        let mut old = scene();
        assert_eq!(old.engine.save_prefix(&PROMPT, None), None);
        ask(&mut old, first);
        let saved = old.engine.save_prefix(&PROMPT, None).expect("it has just been computed");
        assert_eq!((saved.tokens.len(), saved.blocks.len(), saved.state.is_some()), (40, 10, recurrent));
        assert_eq!(old.engine.save_prefix(&PROMPT, Some("me".into())), None);
        // Another engine, and one that has forgotten half of it.
        let mut new = scene();
        assert_eq!(new.engine.restore_prefix(&saved), Ok(40));
        ask(&mut new, again);
        assert_eq!(new.engine.restore_prefix(&saved), Ok(40));
        ask(&mut new, again);
        old.ask(vec![3; 40], 1, StopRules { max_tokens: 1, ..StopRules::default() }).finish();
        assert_eq!(old.engine.restore_prefix(&saved), Ok(40));
        old.engine.check().unwrap();
        ask(&mut old, again);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut scene = Scene::keeping(64, 4, 16);
    ask(&mut scene, &["p42 d0 r0 w0 b0"]);
    let saved = scene.engine.save_prefix(&PROMPT, None).expect("it has just been computed");
    let other = SavedPrefix { fingerprint: [1; 32], ..saved.clone() };
    assert_eq!(scene.engine.restore_prefix(&other), Err(RestoreError::OtherModel));
    let short = SavedPrefix { blocks: vec![vec![]; 10], tokens: vec![5; 40], ..saved.clone() };
    assert_eq!(scene.engine.restore_prefix(&short), Err(RestoreError::OtherModel));
    scene.engine.check().unwrap();
    let mut small = Scene::keeping(64, 4, 9);
    assert!(matches!(small.engine.restore_prefix(&saved), Err(RestoreError::NoRoom { needed: 10, .. })));
    let mut recurrent = Scene::with_states(64, 4, 16, 4);
    assert_eq!(recurrent.engine.restore_prefix(&saved), Err(RestoreError::OtherModel));
}
