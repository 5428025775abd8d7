//! The statistics beside independent programs: `xtask/goldens/release.py` says which.

use release::stats::{
    Bet, Bounded, Detector, Harm, Interval, Moments, Odds, Pairs, Side, mismatch, proportion, rank_bound,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Runs every case of a golden; `near` is how far off a number may be, relative to it.
fn check<I: DeserializeOwned>(name: &str, near: f64, f: impl Fn(I) -> Vec<f64>) {
    let all: Value = serde_json::from_str(include_str!("fixtures/statistics.json")).unwrap();
    let cases = all[name].as_array().unwrap();
    assert!(cases.len() > 2, "{name} has only {} cases", cases.len());
    for case in cases {
        let expected: Vec<f64> = match &case["out"] {
            Value::Number(x) => vec![x.as_f64().unwrap()],
            list => serde_json::from_value(list.clone()).unwrap(),
        };
        let found = f(serde_json::from_value(case["in"].clone()).unwrap());
        assert_eq!(found.len(), expected.len());
        for (x, y) in found.iter().zip(&expected) {
            let close = (x - y).abs() <= near * y.abs().max(1e-3);
            assert!(close, "{name} {}: {found:?}, want {expected:?}", case["in"]);
        }
    }
}

fn ends(i: Interval) -> Vec<f64> {
    vec![i.low, i.high]
}

#[test]
fn goldens() {
    check("proportion", 1e-6, |(hits, trials, alpha, tuned)| ends(proportion(hits, trials, alpha, tuned)));
    check("rank_bound", 1e-6, |(p, n, alpha, tuned)| vec![rank_bound(p, n, alpha, tuned)]);
    check("bounded", 1e-9, |(values, alpha): (Vec<f64>, f64)| {
        let mut mean = Bounded::new(alpha);
        values.iter().for_each(|x| mean.record(*x));
        ends(mean.interval())
    });
    check("moments", 1e-9, |(values, alpha, tuned): (Vec<f64>, f64, f64)| {
        let mut mean = Moments::default();
        values.iter().for_each(|x| mean.record(*x));
        ends(mean.interval(alpha, tuned))
    });
    check("bet", 1e-9, |(values, bound): (Vec<f64>, f64)| {
        let (mut above, mut mirrored) = (Bet::new(bound, Side::Above), Bet::new(1.0 - bound, Side::Below));
        values.iter().for_each(|x| above.record(*x));
        values.iter().for_each(|x| mirrored.record(1.0 - x));
        assert!((above.evidence() / mirrored.evidence() - 1.0).abs() < 1e-9);
        vec![above.evidence()]
    });
    check("pairs", 1e-8, |(candidate, stable)| vec![Pairs { candidate, stable }.gain()]);
    check("mismatch", 1e-6, |(counts, shares, strength): (Vec<u64>, Vec<f64>, f64)| {
        vec![mismatch(&counts, &shares, strength)]
    });
}

#[test]
fn goldens_of_events() {
    check("harm", 1e-9, |(ratios, share, candidate, stable): (Vec<(f64, f64)>, f64, u64, u64)| {
        let odds = ratios.iter().map(|(ratio, weight)| Odds { ratio: *ratio, weight: *weight });
        let mut harm = Harm::new(odds.collect(), None, 0.0);
        (0..candidate).for_each(|_| harm.record(true, true, share));
        (0..stable).for_each(|_| harm.record(false, true, share));
        vec![harm.evidence()]
    });
    check("detector", 1e-9, |(rate, events): (f64, Vec<u8>)| {
        let mut detector = Detector::new(rate, 1e100);
        events.iter().for_each(|e| assert!(!detector.record(*e == 1)));
        vec![detector.level()]
    });
}
