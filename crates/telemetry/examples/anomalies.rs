//! How well causes of injected faults are named, how often normal traffic raises an alarm, and how well requests are foretold:
//! on a simulated engine, with as many hours and seeds as are given (default 24 and 5).

#[path = "../tests/simulation/mod.rs"]
mod simulation;

use simulation::{FAULTS, Simulation, named};

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let (hours, seeds) = (arguments.next().unwrap_or(24), arguments.next().unwrap_or(5));
    println!("| injected | named right | within | else |\n|---|---|---|---|");
    let (mut right, mut all) = (0, 0);
    for cause in FAULTS {
        let (mut times, mut others) = (Vec::new(), Vec::new());
        for seed in 1..=seeds {
            match named(cause, seed).into_iter().next() {
                Some((second, first)) if first == cause => times.push(second),
                other => others.push(other.map_or("nothing", |(_, cause)| cause.as_str())),
            }
        }
        (right, all) = (right + times.len(), all + seeds as usize);
        let slowest = times.iter().copied().fold(0.0, f64::max);
        println!("| {} | {} of {seeds} | {slowest} s | {} |", cause.as_str(), times.len(), others.join(", "));
    }
    println!("\n{right} of {all} within 10 s.");
    for seed in 1..=seeds.min(3) {
        let mut simulation = Simulation::new(seed);
        let alarms = simulation.run_until(hours as f64 * 3600.0);
        let began = alarms.iter().filter(|(_, anomaly)| anomaly.until_ms.is_none());
        let causes: Vec<_> =
            began.map(|(second, anomaly)| format!("{} at {second} s", anomaly.cause.as_str())).collect();
        let snapshot = simulation.telemetry.snapshot(std::time::Duration::from_secs(hours * 3600));
        println!("\nSeed {seed}, {hours} h of normal traffic: {} alarms {causes:?}", causes.len());
        for (what, told) in [("first tokens", simulation.told(0)), ("last tokens", simulation.told(1))] {
            println!("{what}: {told}");
        }
        let live = &snapshot.engines[0].predictions;
        println!("of the last requests, as told live: {:?}, {:?}", live.first_token, live.total);
    }
}
