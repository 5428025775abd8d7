//! What the statistics of releases promise, measured: false roll-backs, and after how many requests harm is found.
//!
//! `cargo run -p whinchat-release --release --example simulate [RELEASES]` writes a receipt to the standard output, as Markdown.
//! Everything is seeded, so a second run gives the same numbers.

#[path = "../tests/releases/world.rs"]
mod world;

use release::stats::Moments;
use release::{Arm, Canary, Event, Outcome, Plan, Policy, Request, Route, SECOND, Stage, Unit};
use std::time::Instant;
use world::{Dice, USUAL, Variant};

/// A tenth of the requests is the candidate's.
const SHARE: f64 = 0.1;
/// What a z-test that is looked at once at 5 % takes for a difference, one-sided.
const Z: f64 = 1.645;

fn main() {
    let releases = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(10_000);
    println!("# Releases that decide by themselves, simulated\n");
    println!("`cargo run -p whinchat-release --release --example simulate {releases}`\n");
    println!(
        "A stage of {:.0} %, looked at after every request. Times are lognormal (σ 0.6), 1 % fail.",
        SHARE * 100.0
    );
    println!(
        "Failures, time to first token and time of requests are watched, with one error budget of 5 %. The z-test is of"
    );
    println!("failures alone, looked at as often from 30 requests of each variant on, until the release ends.\n");
    println!(
        "| candidate | releases | requests at most | rolled back | candidate's requests until then (median) | z-test |"
    );
    println!("|---|---|---|---|---|---|");
    row("no different", USUAL, (releases, 20_000));
    let few = (releases / 10).max(100);
    row("failures 1 → 5 %", Variant { failures: 0.05, ..USUAL }, (few, 40_000));
    row("failures 1 → 2 %", Variant { failures: 0.02, ..USUAL }, (few, 100_000));
    row("median latency + 20 %", Variant { median: 1.2e6, ..USUAL }, (few, 40_000));
    row("crashing", Variant { failures: 1.0, ..USUAL }, (few, 40_000));
    selection();
}

/// Runs releases of one candidate and prints what came of them.
fn row(name: &str, candidate: Variant, (releases, requests): (u64, u64)) {
    let (mut until, mut fooled) = (Vec::new(), 0u64);
    for seed in 0..releases {
        let (found, z) = release(candidate, seed.wrapping_mul(0x5851_f42d_4c95_7f2d) + 1, requests);
        until.extend(found);
        fooled += u64::from(z);
    }
    until.sort_unstable();
    let part = |n: u64| 100.0 * n as f64 / releases as f64;
    // The median over all releases; one that was not rolled back took longer than any.
    let median = until.get(releases as usize / 2).map_or("–".into(), ToString::to_string);
    let (back, z) = (part(until.len() as u64), part(fooled));
    println!("| {name} | {releases} | {requests} | {back:.1} % | {median} | {z:.1} % |");
}

/// After how many of its requests the candidate was rolled back, and whether a z-test of failures would have done so at any time.
fn release(candidate: Variant, seed: u64, requests: u64) -> (Option<u64>, bool) {
    let stage = Stage { share: SHARE, min_time: u64::MAX, min_samples: u64::MAX };
    let plan = Plan { stages: vec![stage], warm_up: 0, ..Plan::default() };
    let mut canary = Canary::new(plan, 0).expect("the plan is sane");
    let (mut dice, mut asked, mut z) = (Dice(seed), 0, Rates::default());
    for at in 0..requests {
        let arm = if dice.uniform() < SHARE { Arm::Candidate } else { Arm::Stable };
        let variant = if arm == Arm::Candidate { candidate } else { USUAL };
        let outcome = variant.outcome(&mut dice, arm, at + 3600 * SECOND);
        asked += u64::from(arm == Arm::Candidate);
        z.record(&outcome);
        if !canary.apply(at, &Event::Outcome(outcome)).is_empty() {
            return (Some(asked), z.fooled);
        }
    }
    (None, z.fooled)
}

/// The failures of both variants, as a z-test sees them.
#[derive(Default)]
struct Rates {
    stable: Moments,
    candidate: Moments,
    fooled: bool,
}

impl Rates {
    fn record(&mut self, outcome: &Outcome) {
        let side = if outcome.arm == Arm::Candidate { &mut self.candidate } else { &mut self.stable };
        side.record(f64::from(outcome.failed));
        let (n, m) = (self.candidate.count() as f64, self.stable.count() as f64);
        let pooled = (self.candidate.mean() * n + self.stable.mean() * m) / (n + m);
        let spread = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
        // As is usual, not before thirty requests of each.
        self.fooled |= n.min(m) >= 30.0 && (self.candidate.mean() - self.stable.mean()) / spread > Z;
    }
}

/// How long a route takes to choose and to hear of the end.
fn selection() {
    let devices = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let variants = vec![release::Variant::new("stable", &devices), release::Variant::new("candidate", &devices)];
    let policy = Policy::Canary { share: SHARE, by: Unit::Session };
    let mut route = Route::new("chat", variants, policy, "salt").expect("the policy fits");
    let names: Vec<String> = (0..1000).map(|i| format!("session {i}")).collect();
    let began = Instant::now();
    const ROUNDS: usize = 200_000;
    for i in 0..ROUNDS {
        let session = &names[i % names.len()];
        let choice = route.select(&Request { session, tokens: 500, ..Request::default() }).expect("all are up");
        route.record(&choice, &release::Ended { failed: false, seconds: 1.0 });
    }
    let each = began.elapsed().as_secs_f64() / ROUNDS as f64;
    println!("\nA route of 2 variants on 8 devices each chooses, and hears of the end, in {:.2} µs.", each * 1e6);
}
