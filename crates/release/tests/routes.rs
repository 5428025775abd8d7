//! Routes: who answers, that growing a share only adds, that load is bounded, and that failures fall back.

use proptest::prelude::*;
use release::{Balance, Choice, Ended, Policy, Problem, Request, Route, Sticky, Target, Unit, Variant, point};
use std::collections::BTreeMap;

fn route(policy: Policy) -> Route {
    let variants = vec![Variant::new("stable", &["a", "b", "c"]), Variant::new("candidate", &["d"])];
    Route::new("chat", variants, policy, "salt").unwrap()
}

fn ask<'a>(id: &'a str, session: &'a str, tokens: u64) -> Request<'a> {
    Request { id, session, tokens, ..Request::default() }
}

/// Names of the targets that `count` requests go to, each of them ended at once if `ends`.
fn check(policy: Policy, ends: bool, count: usize, expected: &str) {
    let mut route = route(policy);
    let mut found = String::new();
    for i in 0..count {
        let choice = route.select(&ask(&i.to_string(), "s", 10)).unwrap();
        found.push_str(&route.variants()[choice.target.variant].devices[choice.target.device]);
        if ends {
            route.record(&choice, &Ended { failed: false, seconds: 1.0 });
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn policies() {
    check(Policy::Single, false, 6, "abcabc");
    check(Policy::Single, true, 4, "aaaa");
    check(Policy::Balance(Balance::RoundRobin), true, 8, "bcdabcda");
    check(Policy::Balance(Balance::LeastTokens), false, 8, "abcdabcd");
    // A target that has not been tried comes first; afterwards the fewest outstanding.
    check(Policy::Balance(Balance::Predicted), true, 6, "abcdaa");
    check(Policy::Canary { share: 0.0, by: Unit::Session }, true, 3, "aaa");
    check(Policy::Canary { share: 1.0, by: Unit::Session }, true, 3, "ddd");
    check(Policy::Split { shares: vec![0.0, 2.0], by: Unit::Request }, true, 3, "ddd");
    check(Policy::Shadow { share: 1.0 }, true, 3, "aaa");
}

#[test]
fn power_of_two_spreads_nearly_evenly() {
    let mut route = route(Policy::Balance(Balance::PowerOfTwo));
    for i in 0..400 {
        route.select(&ask(&i.to_string(), "", 1)).unwrap();
    }
    let spread: Vec<u64> = route.stats().map(|(_, s)| s.outstanding).collect();
    assert!(spread.iter().all(|n| (95..=105).contains(n)), "{spread:?}");
}

#[test]
fn a_pool_is_not_left() {
    let mut route = route(Policy::Pool(Balance::LeastTokens));
    let request = Request { pool: "b", ..ask("1", "", 1) };
    assert_eq!(route.select(&request).unwrap().target, Target { variant: 0, device: 1 });
    route.set_up(Target { variant: 0, device: 1 }, false);
    assert_eq!(route.select(&request), Err(Problem::Nobody("chat".into())));
}

#[test]
fn what_comes_back_finds_its_target_until_it_is_full() {
    let mut route = route(Policy::Affinity { by: Sticky::Session, factor: 1.25 });
    let mut homes = BTreeMap::new();
    for i in 0..300 {
        let session = format!("session {}", i % 100);
        let choice = route.select(&ask("x", &session, 5)).unwrap();
        route.record(&choice, &Ended::default());
        assert_eq!(*homes.entry(session).or_insert(choice.target), choice.target);
    }
    let most = (0..100).map(|_| route.select(&ask("x", "one", 5)).unwrap().target).fold(BTreeMap::new(), |mut n, t| {
        *n.entry((t.variant, t.device)).or_insert(0) += 1;
        n
    });
    assert!(most.len() == 4 && most.values().all(|n| *n <= 32), "{most:?}");
}

#[test]
fn a_target_that_goes_moves_only_its_own() {
    let mut route = route(Policy::Affinity { by: Sticky::Session, factor: 1.25 });
    let home = |route: &mut Route, i: usize| -> Choice {
        let choice = route.select(&ask("x", &format!("session {i}"), 5)).unwrap();
        route.record(&choice, &Ended::default());
        choice
    };
    let before: Vec<Target> = (0..200).map(|i| home(&mut route, i).target).collect();
    let gone = Target { variant: 0, device: 2 };
    route.set_up(gone, false);
    for (i, target) in before.iter().enumerate() {
        let now = home(&mut route, i).target;
        assert!(now == *target || (*target == gone && now != gone));
    }
}

#[test]
fn a_failing_candidate_is_answered_by_the_first_variant() {
    let mut route = route(Policy::Canary { share: 1.0, by: Unit::Request });
    let choice = route.select(&ask("1", "", 7)).unwrap();
    let instead = route.fail_over(&choice, &Ended::default()).unwrap();
    assert_eq!((choice.target.variant, instead.target.variant), (1, 0));
    assert_eq!(route.fail_over(&instead, &Ended::default()), None);
    let candidate = route.stats().find(|(t, _)| t.variant == 1).unwrap().1;
    assert_eq!((candidate.failed, candidate.fallbacks, candidate.outstanding_tokens), (1, 1, 0));
    // A candidate that is down is not even tried.
    route.set_up(choice.target, false);
    assert_eq!(route.select(&ask("2", "", 7)).unwrap().target.variant, 0);
}

#[test]
fn what_cannot_work_is_refused() {
    let two = || vec![Variant::new("x", &["a"]), Variant::new("y", &["b"])];
    let canary = |share| Policy::Canary { share, by: Unit::Session };
    let split = |shares: &[f64]| Policy::Split { shares: shares.to_vec(), by: Unit::Session };
    for (variants, policy) in [
        (vec![], Policy::Single),
        (two(), canary(1.5)),
        (two(), canary(f64::NAN)),
        (two()[..1].to_vec(), canary(0.5)),
        ([two(), two()].concat(), canary(0.5)),
        (two(), split(&[1.0])),
        (two(), split(&[0.0, 0.0])),
        (two(), split(&[1.0, -1.0])),
        (two(), Policy::Affinity { by: Sticky::Prefix, factor: 0.5 }),
    ] {
        assert!(Route::new("r", variants, policy.clone(), "s").is_err(), "{policy:?}");
    }
}

proptest! {
    #[test]
    fn a_larger_share_only_adds_units(unit in ".{0,20}", salt in ".{0,8}", one in 0.0..1.0f64, two in 0.0..1.0f64) {
        let at = point(&salt, &unit);
        prop_assert!((0.0..1.0).contains(&at));
        let (low, high) = (one.min(two), one.max(two));
        let variant = |share| {
            let variants = vec![Variant::new("x", &["a"]), Variant::new("y", &["b"])];
            let mut route = Route::new("r", variants, Policy::Canary { share, by: Unit::Session }, &salt).unwrap();
            route.select(&ask(&unit, &unit, 1)).unwrap().target.variant
        };
        prop_assert!(variant(low) <= variant(high));
        prop_assert_eq!(variant(high) == 1, at < high);
    }

    #[test]
    fn a_twin_gets_as_many_units_as_the_candidate(unit in ".{0,20}", share in 0.0..=0.5f64) {
        let variants = vec![Variant::new("x", &["a"]), Variant::new("y", &["b"]), Variant::new("z", &["c"])];
        let mut route = Route::new("r", variants, Policy::Canary { share, by: Unit::Session }, "s").unwrap();
        let found = route.select(&ask(&unit, &unit, 1)).unwrap().target.variant;
        let at = point("s", &unit);
        let wanted = if at < share { 1 } else if at >= 1.0 - share { 2 } else { 0 };
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn what_begins_ends(ops in prop::collection::vec((0u64..50, any::<bool>()), 1..60)) {
        let mut route = route(Policy::Affinity { by: Sticky::Session, factor: 1.0 });
        let mut open = Vec::new();
        for (n, end) in ops {
            open.push(route.select(&ask("x", &n.to_string(), n)).unwrap());
            if end && let Some(choice) = open.pop() {
                route.record(&choice, &Ended { failed: n % 3 == 0, seconds: n as f64 });
            }
            let outstanding: u64 = route.stats().map(|(_, s)| s.outstanding_tokens).sum();
            prop_assert_eq!(outstanding, open.iter().map(|c| c.tokens).sum::<u64>());
        }
    }
}

#[test]
fn shares_are_kept() {
    let split = Policy::Split { shares: vec![3.0, 1.0], by: Unit::User };
    let mut route = route(split);
    let users: Vec<String> = (0..4000).map(|i| format!("user {i}")).collect();
    let chosen = users.iter().map(|user| route.select(&Request { user, ..Request::default() }).unwrap().target.variant);
    let second = chosen.filter(|v| *v == 1).count();
    assert!((900..1100).contains(&second), "{second}");
}
