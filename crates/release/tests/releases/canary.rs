//! Releases from beginning to end in made-up traffic, and the cases that other canary analyses get wrong.

use crate::traffic::{World, ending};
use crate::world::{Dice, USUAL, Variant};
use release::{Arm, Canary, Decision, Event, Margins, Outcome, Plan, Readings, SECOND, Stage, Unit, Verdict};

/// 10, 50 and 100 %, each for half a minute.
fn plan() -> Plan {
    let stage = |share| Stage { share, min_time: 30 * SECOND, min_samples: 100 };
    Plan { stages: [0.1, 0.5, 1.0].map(stage).to_vec(), give_up_after: 900 * SECOND, warm_up: 0, ..Plan::default() }
}

/// Runs a release with a stable variant as usual; the verdict and a word of its reason.
fn check(name: &str, plan: &Plan, candidate: Variant, expected: (Verdict, &str)) {
    check_world(name, plan, |arm, _| Some(if arm == Arm::Candidate { candidate } else { USUAL }), expected);
}

fn check_world(name: &str, plan: &Plan, behaves: impl Fn(Arm, u64) -> Option<Variant>, expected: (Verdict, &str)) {
    check_bias(name, plan, (behaves, 1.0), expected);
}

fn check_bias(
    name: &str,
    plan: &Plan,
    (behaves, bias): (impl Fn(Arm, u64) -> Option<Variant>, f64),
    expected: (Verdict, &str),
) {
    let world = World { behaves, rate: 40, bias };
    for seed in 14..17 {
        let (canary, decided) = world.run(plan, seed);
        let (verdict, why) = ending(&decided).unwrap_or_else(|| panic!("{name}: {:?}", canary.status(0)));
        assert!(verdict == expected.0 && why.contains(expected.1), "{name}, seed {seed}: {verdict:?}, {why}");
        let speaks = verdict != Verdict::RolledBack || !why.contains(": 0 of");
        assert!(speaks, "{name}, seed {seed}: nothing speaks against it in {why}");
        assert_eq!(canary.share(), if verdict == Verdict::Promoted { 1.0 } else { 0.0 });
    }
}

#[test]
fn verdicts() {
    use Verdict::{Promoted, RolledBack};
    check("the same", &plan(), USUAL, (Promoted, ""));
    check("better", &plan(), Variant { failures: 0.001, median: 0.7e6, ..USUAL }, (Promoted, ""));
    check("failing", &plan(), Variant { failures: 0.05, ..USUAL }, (RolledBack, "failures"));
    check("crashing", &plan(), Variant { failures: 1.0, ..USUAL }, (RolledBack, "failures: 3 of 3"));
    check("slow", &plan(), Variant { median: 1.3e6, ..USUAL }, (RolledBack, "(p50)"));
    let wide = Plan { margins: Margins { median: 9.0, tail: 99.0, ..Margins::default() }, ..plan() };
    check("slow, within the margins", &wide, Variant { median: 1.3e6, ..USUAL }, (RolledBack, "(p50)"));
    let judged = |good| Variant { quality: Some(good), ..USUAL };
    let worse = |arm, _| Some(judged(if arm == Arm::Candidate { 0.8 } else { 0.97 }));
    check_world("worse answers", &plan(), worse, (RolledBack, "quality"));
    let same = |_, _| Some(judged(0.97));
    check_world("as good answers", &Plan { give_up_after: 3000 * SECOND, ..plan() }, same, (Promoted, ""));
}

#[test]
fn what_broke_others() {
    use Verdict::{Inconclusive, Promoted, RolledBack};
    check_world("no traffic at all", &plan(), |_, _| None, (Inconclusive, "0 of 100"));
    let only = |arm| move |a: Arm, _| (a == arm).then_some(Variant { failures: 0.0, ..USUAL });
    check_world("no candidate", &plan(), only(Arm::Stable), (Inconclusive, "assignment: 0 of"));
    check_world("no stable variant", &plan(), only(Arm::Candidate), (Inconclusive, "assignment"));
    check_bias("twice its share", &plan(), (|_, _| Some(USUAL), 2.0), (Inconclusive, "assignment"));
    let silent = Variant { first_token: false, ..USUAL };
    check("a metric goes missing", &plan(), silent, (Inconclusive, "time to first token: the candidate gives none"));

    let cold = Variant { cold: 10.0, ..USUAL };
    check("a cold start taken for harm", &plan(), cold, (RolledBack, "evidence"));
    check("a cold start left out", &Plan { warm_up: 60 * SECOND, ..plan() }, cold, (Promoted, ""));
    let twin = |arm, _| Some(if arm == Arm::Stable { USUAL } else { cold });
    check_world("a cold start beside a twin", &Plan { twin: true, ..half() }, twin, (Promoted, ""));

    let night = Variant { failures: 0.08, median: 3e6, ..USUAL };
    let drift = |_, at| Some(if at < 40 * SECOND { USUAL } else { night });
    let undecided = Plan { stages: half().stages, give_up_after: 120 * SECOND, ..plan() };
    check_world("drift of both", &Plan { give_up_after: 3000 * SECOND, ..undecided }, drift, (Promoted, ""));

    let late = |arm, at| Some(if arm == Arm::Candidate && at > 150 * SECOND { night } else { USUAL });
    let long = Stage { share: 0.2, min_time: 400 * SECOND, min_samples: 100 };
    check_world("harm that begins late", &Plan { stages: vec![long], ..plan() }, late, (RolledBack, "evidence"));
    let soak = Stage { share: 1.0, min_time: 400 * SECOND, min_samples: 100 };
    let last = |arm, at| late(arm, at / 10);
    check_world(
        "harm of a candidate that is alone",
        &Plan { stages: vec![half().stages[0], soak], ..plan() },
        move |arm, at| last(arm, if at > 400 * SECOND { 10 * at } else { 0 }),
        (RolledBack, "ever"),
    );
}

/// One stage, of a third.
fn half() -> Plan {
    Plan { stages: vec![Stage { share: 0.3, min_time: 90 * SECOND, min_samples: 200 }], ..plan() }
}

/// Feeds answers of these times (milliseconds) in turns, and ticks after each; the verdict.
fn fed(stable: &[u64], candidate: &[u64], rounds: usize) -> Option<Verdict> {
    let stage = Stage { share: 0.5, min_time: 0, min_samples: 10 };
    let plan = Plan { stages: vec![stage], freeze_after: 10, warm_up: 0, ..Plan::default() };
    let mut canary = Canary::new(plan, 0).unwrap();
    for (i, (s, c)) in stable.iter().zip(candidate).cycle().take(rounds * stable.len()).enumerate() {
        for (arm, ms) in [(Arm::Stable, s), (Arm::Candidate, c)] {
            let readings = Readings { total: Some(ms * 1000), ..Readings::default() };
            let outcome = Outcome { arm, unit: i as u64, stage: 0, failed: false, age: 0, readings };
            canary.apply(i as u64, &Event::Outcome(outcome));
        }
        canary.apply(i as u64, &Event::Tick);
    }
    canary.verdict()
}

#[test]
fn few_values_that_rank_tests_misjudge() {
    let (slow, fast) = ([100, 100, 100, 100, 100, 100, 100, 1, 1, 1], [1; 10]);
    assert_eq!(fed(&fast, &slow, 1), None, "ten answers decide nothing");
    assert_eq!(fed(&fast, &slow, 4), Some(Verdict::RolledBack));
    assert_eq!(fed(&slow, &fast, 4), None);
    assert_eq!(fed(&slow, &fast, 100), Some(Verdict::Promoted));
    assert_eq!(fed(&fast, &fast, 100), Some(Verdict::Promoted));
}

/// One unit fails on the candidate again and again, beside usual traffic; the verdict.
fn storm(by: Unit) -> Option<Verdict> {
    let mut canary = Canary::new(Plan { by, ..plan() }, 0).unwrap();
    let mut dice = Dice(1);
    for at in 0..300 {
        canary.apply(at, &Event::Outcome(USUAL.outcome(&mut dice, Arm::Stable, at)));
        let again = Outcome { unit: 7, failed: true, ..USUAL.outcome(&mut dice, Arm::Candidate, at) };
        canary.apply(at, &Event::Outcome(again));
    }
    canary.verdict()
}

#[test]
fn a_unit_that_tries_again_and_again_counts_once() {
    assert_eq!(storm(Unit::Session), None);
    assert_eq!(storm(Unit::Request), Some(Verdict::RolledBack));
}

#[test]
fn people_decide_too() {
    let begin = || Canary::new(plan(), 0).unwrap();
    let why = || "because".to_string();
    for (event, verdict) in
        [(Event::Abort { why: why() }, Verdict::Aborted), (Event::Veto { why: why() }, Verdict::RolledBack)]
    {
        let mut canary = begin();
        let decided = canary.apply(1, &event);
        assert!(
            matches!(&decided[..], [Decision::Ended { verdict: v, why }] if *v == verdict && why.contains("because"))
        );
        assert_eq!((canary.share(), canary.status(2).keep_stable), (0.0, true));
        assert_eq!(canary.apply(2, &Event::Promote), []);
    }
    let mut canary = begin();
    assert_eq!(canary.apply(0, &Event::Pause), [Decision::Paused]);
    assert_eq!(canary.apply(0, &Event::Pause), []);
    assert_eq!(canary.apply(2000 * SECOND, &Event::Tick), [], "a pause outlasts the time that it has");
    assert_eq!(canary.apply(0, &Event::Resume), [Decision::Resumed]);
    let shares: Vec<f64> = (0..2).flat_map(|_| canary.apply(0, &Event::Promote)).map(|d| share(&d)).collect();
    assert_eq!(shares, [0.5, 1.0]);
    assert!(canary.status(0).keep_stable);
    canary.apply(0, &Event::Promote);
    assert_eq!((canary.verdict(), canary.status(0).keep_stable), (Some(Verdict::Promoted), false));
}

fn share(decision: &Decision) -> f64 {
    if let Decision::Share { share, .. } = decision { *share } else { f64::NAN }
}

#[test]
fn plans_that_cannot_be_followed() {
    let stages = |shares: &[f64]| -> Vec<Stage> {
        shares.iter().map(|share| Stage { share: *share, min_time: 0, min_samples: 0 }).collect()
    };
    let margins = Margins { tail: 0.0, ..Default::default() };
    for bad in [
        Plan { stages: stages(&[]), ..plan() },
        Plan { stages: stages(&[0.5, 0.2]), ..plan() },
        Plan { stages: stages(&[0.0, 0.2]), ..plan() },
        Plan { stages: stages(&[0.5, f64::NAN]), ..plan() },
        Plan { stages: stages(&[1.0]), ..plan() },
        Plan { budget: 0.0, ..plan() },
        Plan { alpha: f64::NAN, ..plan() },
        Plan { patience: f64::NAN, ..plan() },
        Plan { freeze_after: 0, ..plan() },
        Plan { margins, ..plan() },
        Plan { twin: true, stages: stages(&[0.1, 0.75]), ..plan() },
    ] {
        assert!(Canary::new(bad.clone(), 0).is_err(), "{bad:?}");
    }
}
