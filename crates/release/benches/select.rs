//! How long a route takes to choose and to hear of the end, for each policy, with 2 variants on 8 devices each.

use criterion::{Criterion, criterion_group, criterion_main};
use release::{Balance, Ended, Policy, Request, Route, Sticky, Unit, Variant};

fn select(c: &mut Criterion) {
    let devices: Vec<String> = (0..8).map(|i| format!("device {i}")).collect();
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    let policies = [
        ("single", Policy::Single),
        ("round robin", Policy::Balance(Balance::RoundRobin)),
        ("least tokens", Policy::Balance(Balance::LeastTokens)),
        ("power of two", Policy::Balance(Balance::PowerOfTwo)),
        ("predicted", Policy::Balance(Balance::Predicted)),
        ("affinity", Policy::Affinity { by: Sticky::Session, factor: 1.25 }),
        ("split", Policy::Split { shares: vec![1.0, 1.0], by: Unit::Session }),
        ("canary", Policy::Canary { share: 0.1, by: Unit::Session }),
        ("shadow", Policy::Shadow { share: 0.1 }),
    ];
    for (name, policy) in policies {
        let variants = vec![Variant::new("stable", &devices), Variant::new("candidate", &devices)];
        let mut route = Route::new("chat", variants, policy, "salt").expect("the policies fit");
        let id = "0197f2a4-7c3e-7e0c-9a71-4d1f0b6b2c11";
        let request = Request { id, session: id, tokens: 500, ..Request::default() };
        c.bench_function(name, |b| {
            b.iter(|| {
                let choice = route.select(&request).expect("all are up");
                route.record(&choice, &Ended { failed: false, seconds: 1.0 });
                route.record_mirror(&choice, &Ended::default());
            });
        });
    }
}

criterion_group!(benches, select);
criterion_main!(benches);
