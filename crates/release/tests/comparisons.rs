//! Experiments and shadows: who wins, what is alike, and how soon.

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use release::{Comparison, Experiment, Judged, Kind, Likeness, Limits, Ruling, Setup, Shadow};

fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn metric(name: &str, kind: Kind, higher_is_better: bool, guard: Option<f64>) -> Judged {
    Judged { name: name.into(), kind, higher_is_better, guard, negligible: 0.1 }
}

fn setup() -> Setup {
    let metrics = vec![
        metric("accepted", Kind::Proportion, true, None),
        metric("seconds", Kind::Mean, false, Some(0.1)),
        metric("p90", Kind::Quantile(0.9), false, None),
    ];
    Setup { shares: vec![1.0, 1.0], metrics, budget: 0.05, max_units: 20_000 }
}

/// Runs an experiment of two arms, each with how often it is accepted and how many seconds it takes on average.
fn check(arms: [(f64, f64); 2], share: f64, expected: &str, within: u64) {
    for seed in 0..3 {
        let mut experiment = Experiment::new(setup()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut units = 0;
        while experiment.look().is_none() {
            for _ in 0..100 {
                let arm = usize::from(uniform(&mut rng) < share);
                let accepted = f64::from(uniform(&mut rng) < arms[arm].0);
                let seconds = arms[arm].1 * 2.0 * uniform(&mut rng);
                experiment.record(arm, &[Some(accepted), Some(seconds), Some(seconds)]);
            }
            units += 100;
        }
        let found = format!("{:?}", experiment.look().unwrap());
        assert!(found.starts_with(expected) && units <= within, "seed {seed}, {units} units: {found}");
    }
}

#[test]
fn rulings() {
    check([(0.5, 1.0), (0.65, 1.0)], 0.5, "Better { arm: 1, why: \"accepted: arm 1 is better by 0.0", 3000);
    check([(0.5, 1.0), (0.5, 1.0)], 0.5, "Same", 10_000);
    check([(0.5, 1.0), (0.65, 1.5)], 0.5, "Harmed { arm: 1, why: \"seconds: arm 1 is worse by 0.1", 3000);
    check([(0.5, 1.0), (0.5, 1.0)], 0.6, "Invalid", 3000);
    check([(0.4, 1.0), (0.5, 1.0)], 0.0, "Invalid", 200);
}

#[test]
fn an_experiment_without_values_stays_undecided() {
    let mut experiment = Experiment::new(Setup { max_units: 1000, ..setup() }).unwrap();
    for i in 0..1000 {
        assert_eq!(experiment.look(), None);
        experiment.record(i % 2, &[None, Some(f64::NAN)]);
    }
    assert_eq!(experiment.look(), Some(&Ruling::Undecided));
}

#[test]
fn setups_that_cannot_be_run() {
    let quantile = metric("p", Kind::Quantile(1.0), true, None);
    for bad in [
        Setup { shares: vec![1.0], ..setup() },
        Setup { shares: vec![1.0, 0.0], ..setup() },
        Setup { shares: vec![1.0, f64::NAN], ..setup() },
        Setup { metrics: vec![], ..setup() },
        Setup { metrics: vec![quantile], ..setup() },
        Setup { budget: f64::NAN, ..setup() },
    ] {
        assert!(Experiment::new(bad.clone()).is_err(), "{bad:?}");
    }
}

#[test]
fn comparisons() {
    let of = |a: &[u32], b: &[u32]| Comparison::of(a, b, None).first_difference;
    assert_eq!(of(&[1, 2, 3], &[1, 2, 3]), None);
    assert_eq!(of(&[1, 2, 3], &[1, 9, 3]), Some(1));
    assert_eq!(of(&[1, 2, 3], &[1, 2]), Some(2));
    assert_eq!(of(&[], &[1]), Some(0));
    let score = |a: &[f64], b: &[f64]| Comparison::of(&[], &[], Some((a, b))).divergence;
    assert_eq!(score(&[-1.0, -2.0], &[-1.5, -3.5]), Some(1.0));
    assert_eq!((score(&[], &[]), score(&[0.0], &[]), score(&[0.0], &[f64::NEG_INFINITY])), (None, None, None));
}

/// Compares answers that diverge by about `mean`, more or less `spread`; what is shown and after how many.
fn shadow(mean: f64, spread: f64, seed: u64) -> (Option<Likeness>, u64) {
    let mut shadow = Shadow::new(Limits::default());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    while shadow.shown().is_none() && shadow.compared() < 2000 {
        let divergence = mean + spread * 2.0 * (uniform(&mut rng) - 0.5);
        let exact = divergence < 0.01;
        let first_difference = (!exact).then_some(9);
        shadow.record(&Comparison { exact, first_difference, divergence: Some(divergence) });
    }
    let sentence = shadow.sentence();
    assert!(sentence.contains("answers are the same"), "{sentence}");
    (shadow.shown(), shadow.compared())
}

#[test]
fn a_bad_quantization_is_found_within_150_answers() {
    for seed in 0..20 {
        let (shown, after) = shadow(0.25, 0.4, seed);
        assert!(shown == Some(Likeness::Different) && after <= 150, "{shown:?} after {after}");
        let (shown, after) = shadow(0.003, 0.02, seed);
        assert!(shown == Some(Likeness::Alike) && after <= 400, "{shown:?} after {after}");
    }
}

#[test]
fn at_the_limit_little_is_shown() {
    let wrong = (0..300).filter(|seed| shadow(0.05, 0.2, *seed).0.is_some()).count();
    assert!(wrong <= 30, "{wrong} of 300 where 5 % each are allowed");
}

proptest! {
    #[test]
    fn any_numbers_do(values in prop::collection::vec(any::<f64>(), 0..50), a in any::<f64>(), b in any::<f64>()) {
        let mut shadow = Shadow::new(Limits { divergence: a, most: b, alpha: 0.05 });
        let mut experiment = Experiment::new(setup()).unwrap();
        for (i, x) in values.iter().enumerate() {
            shadow.record(&Comparison { exact: false, first_difference: None, divergence: Some(*x) });
            experiment.record(i % 3, &[Some(*x), None, Some(*x)]);
        }
        let exact = shadow.exact();
        prop_assert!(exact.low <= exact.high);
        for effect in experiment.effects() {
            prop_assert!(effect.better.low.is_nan() == effect.better.high.is_nan());
        }
    }
}
