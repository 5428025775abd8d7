//! Faults are injected into a simulated engine: their causes are named soon, and normal traffic raises no alarm.

mod simulation;

use simulation::{FAULTS, Simulation, named};
use telemetry::Cause;

#[test]
fn causes_are_named_within_ten_seconds() {
    let (mut right, mut all, mut wrong) = (0, 0, Vec::new());
    for cause in FAULTS {
        for seed in 1..4 {
            let named = named(cause, seed);
            all += 1;
            match named.first() {
                Some((_, first)) if *first == cause => right += 1,
                _ => wrong.push((cause, seed, named)),
            }
        }
    }
    assert!(right * 10 >= all * 9, "{right} of {all}; not {wrong:#?}");
}

#[test]
fn normal_traffic_raises_no_alarm() {
    for seed in 1..3 {
        let mut simulation = Simulation::new(seed);
        let anomalies = simulation.run_until(3600.0);
        assert!(anomalies.is_empty(), "seed {seed}: {anomalies:#?}");
    }
}

#[test]
fn what_is_over_is_told_once() {
    let mut simulation = Simulation::new(7);
    simulation.run_until(300.0);
    simulation.inject(Cause::DeviceSlow);
    let began = simulation.run_until(320.0);
    assert_eq!(began.len(), 1, "{began:#?}");
    assert!(began[0].1.until_ms.is_none() && !began[0].1.evidence.is_empty() && began[0].1.message.contains('%'));
    simulation.inject(Cause::Unknown);
    let ended = simulation.run_until(400.0);
    assert_eq!(ended.len(), 1, "{ended:#?}");
    let (since, until) = (ended[0].1.since_ms, ended[0].1.until_ms.expect("it is over"));
    assert!(ended[0].1.id == began[0].1.id && until > since && until - since < 60_000);
    let snapshot = simulation.telemetry.snapshot(std::time::Duration::from_secs(400));
    assert_eq!(snapshot.anomalies, [ended[0].1.clone()]);
}

#[test]
fn nine_in_ten_requests_are_within_their_interval() {
    let mut simulation = Simulation::new(3);
    simulation.run_until(1800.0);
    for (of, told) in ["first tokens", "last tokens"].into_iter().zip([simulation.told(0), simulation.told(1)]) {
        assert!(told.requests > 2000, "{of}: {told}");
        assert!((0.88..=0.97).contains(&told.inside()), "{of}: {told}");
    }
    let live = &simulation.telemetry.snapshot(std::time::Duration::from_secs(1800)).engines[0].predictions;
    assert!(live.total.requests == 1000 && live.total.inside > 0.85 && live.recent.len() == 100, "{live:?}");
}
