//! What the statistics promise, in short: few false roll-backs, harm found soon. `examples/simulate.rs` measures it at length.

use crate::world::{Dice, USUAL, Variant};
use release::{Arm, Canary, Event, Plan, Stage};

/// After how many of its requests a candidate is rolled back at a stage of 10 %, looked at after every request; sorted, of 200 releases.
fn rolled_back(candidate: Variant, requests: u64) -> Vec<u64> {
    let stage = Stage { share: 0.1, min_time: u64::MAX, min_samples: u64::MAX };
    let plan = Plan { stages: vec![stage], warm_up: 0, ..Plan::default() };
    let run = |seed: u64| {
        let (mut canary, mut dice, mut asked) = (Canary::new(plan.clone(), 0).unwrap(), Dice(seed << 32), 0);
        (0..requests).find_map(|at| {
            let arm = if dice.uniform() < 0.1 { Arm::Candidate } else { Arm::Stable };
            let variant = if arm == Arm::Candidate { candidate } else { USUAL };
            asked += u64::from(arm == Arm::Candidate);
            let outcome = variant.outcome(&mut dice, arm, at);
            (!canary.apply(at, &Event::Outcome(outcome)).is_empty()).then_some(asked)
        })
    };
    let mut until: Vec<u64> = (0..200).filter_map(run).collect();
    until.sort_unstable();
    until
}

/// Half of the releases are rolled back after so many requests of the candidate.
fn check(candidate: Variant, most: u64) {
    let until = rolled_back(candidate, most * 20);
    assert!(until.get(100).is_some_and(|n| *n <= most), "{candidate:?}: {:?}", until.get(100));
}

#[test]
fn promises() {
    let wrong = rolled_back(USUAL, 3000).len();
    assert!(wrong <= 10, "{wrong} of 200 without a difference");
    // Medians of few releases are off by a tenth.
    check(Variant { failures: 0.05, ..USUAL }, 110);
    check(Variant { median: 1.2e6, ..USUAL }, 400);
    check(Variant { failures: 1.0, ..USUAL }, 5);
}
