//! Where the greatest logits choose a token as all of them would, only these are asked for, and answers stay as they were.

use engine::{Penalties, Request, SamplingParams, StopRules};

use crate::executor::{Fake, VOCAB};
use crate::scene::Scene;

/// The answers to a request with these settings beside one that needs all logits, and how many rows were given by their greatest logits.
fn answers(top: usize, params: &SamplingParams, stop: &StopRules) -> (Vec<Vec<u32>>, usize) {
    let mut scene = Scene::of(Fake::new(64, 16, 64, 4).with_top(top), (16, 8), None);
    let by = |params: SamplingParams| {
        let stop = stop.clone();
        move |request| Request { params, stop, ..request }
    };
    scene.ask_as(vec![3, 1, 4, 1, 5], 2, by(SamplingParams { seed: Some(7), ..params.clone() }));
    scene.ask_as(vec![2, 7, 1], 1, by(SamplingParams { seed: Some(9), ..SamplingParams::default() }));
    scene.finish();
    let bench = scene.engine.executor().bench.lock().unwrap();
    assert_eq!(bench.broken, None);
    (scene.inboxes.iter().map(|inbox| inbox.lock().unwrap().tokens.clone()).collect(), bench.tops)
}

#[test]
fn answers_are_those_of_all_logits() {
    let (greedy, plain) = (SamplingParams { temperature: 0.0, ..SamplingParams::default() }, SamplingParams::default());
    let of_few = SamplingParams { top_k: 5, top_p: 0.8, logprobs: Some(6), ..plain.clone() };
    let penalties = Penalties { presence: 0.5, ..plain.penalties };
    let stop = StopRules { max_tokens: 12, ..StopRules::default() };
    let late = StopRules { min_tokens: 9, tokens: [3, 4, 5].into(), ..stop.clone() };
    // Both continuations need a row each but for the first, which they share; stop tokens come too early for the first nine.
    for (params, stop, rows) in [
        (greedy.clone(), &stop, Some(23)),
        (of_few, &stop, Some(23)),
        (greedy.clone(), &late, None),
        (SamplingParams { penalties, ..greedy }, &stop, Some(0)),
        (plain, &stop, Some(0)),
    ] {
        let (wanted, none) = answers(0, &params, stop);
        let (got, tops) = answers(VOCAB, &params, stop);
        assert_eq!(got, wanted, "{params:?}");
        assert_eq!(none, 0);
        assert!(rows.map_or(tops < 23, |rows| tops == rows), "{params:?}: {tops}");
    }
}
