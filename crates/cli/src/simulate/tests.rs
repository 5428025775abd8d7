//! Replays whose outcome can be computed by hand, and the books of those by chance.

use std::path::Path;
use std::time::Duration;

use engine::{EngineConfig, Eviction, PolicyName};

use super::figures::{self, Goal};
use super::lookups::look_up;
use super::replay::{End, Outcome, Replayed, Setup, replay};
use super::trace::{self, Job, Random};

/// A step takes a millisecond, a row of a prompt 10 µs, a row that decodes 100 µs.
fn setup() -> Setup {
    let config = EngineConfig { max_batch_tokens: 100, max_sequences: 4, ..EngineConfig::default() };
    let cost = "1000,10,100,0".parse().expect("a cost");
    Setup {
        config,
        block_len: 16,
        blocks: 64,
        cost,
        noise: 0.0,
        max_tokens: 0,
        foretells: true,
        fault_every: None,
        check: true,
    }
}

fn job(millis: u64, prompt: usize, output: usize, spans: &[u32]) -> Job {
    Job { arrives: Duration::from_millis(millis), prompt, output, spans: spans.into(), leaves: None, tenant: None }
}

fn run(jobs: &[Job], setup: &Setup) -> Replayed {
    replay(jobs, setup).expect("the books balance")
}

/// First and last token in microseconds after the coming, tokens found, and how it ended.
fn said(outcome: &Outcome) -> (u128, u128, usize, End) {
    let micros = |time: Option<Duration>| time.unwrap_or_default().as_micros();
    (micros(outcome.first), micros(outcome.last), outcome.found, outcome.end)
}

fn check(jobs: &[Job], setup: &Setup, expect: &[(u128, u128, usize, End)]) {
    let got: Vec<_> = run(jobs, setup).outcomes.iter().map(said).collect();
    assert_eq!(got, expect, "{jobs:?}");
}

#[test]
fn times_are_sums_of_steps() {
    // 50 rows: 1.5 ms; two more tokens: 1.1 ms each.
    check(&[job(0, 50, 3, &[])], &setup(), &[(1500, 3700, 0, End::Complete)]);
    // 150 rows are two steps: 2 ms and 1.5 ms.
    check(&[job(0, 150, 1, &[])], &setup(), &[(3500, 3500, 0, End::Complete)]);
    // The second comes in the first one's first step, and its rows are in the second step.
    let two = [job(0, 50, 2, &[]), job(1, 10, 1, &[])];
    check(&two, &setup(), &[(1500, 2700, 0, End::Complete), (1700, 1700, 0, End::Complete)]);
    // Equal spans are found: all full blocks but the last token's. Equal prompts without spans are strangers.
    let same = [job(0, 64, 1, &[7]), job(100, 64, 1, &[7]), job(200, 64, 1, &[8])];
    let found = [(1640, 1640, 0, End::Complete), (1160, 1160, 48, End::Complete), (1640, 1640, 0, End::Complete)];
    check(&same, &setup(), &found);
    let strangers = same.clone().map(|job| Job { spans: [].into(), ..job });
    check(&strangers, &setup(), &[(1640, 1640, 0, End::Complete); 3]);
    let forgetful = Setup { config: EngineConfig { prefix_cache: None, ..setup().config }, ..setup() };
    check(&same, &forgetful, &[(1640, 1640, 0, End::Complete); 3]);
}

#[test]
fn what_does_not_end_well_is_counted() {
    let config = EngineConfig { max_queue: 1, ..setup().config };
    let narrow = Setup { config, ..setup() };
    let jobs = [job(0, 2000, 1, &[]), job(0, 10, 1, &[]), job(0, 10, 1, &[])];
    check(&jobs, &narrow, &[(0, 0, 0, End::Refused), (1100, 1100, 0, End::Complete), (0, 0, 0, End::Refused)]);
    let leaving = Job { leaves: Some(1), ..job(0, 10, 9, &[]) };
    check(&[leaving], &setup(), &[(1100, 0, 0, End::Left)]);
    let faulty = Setup { fault_every: Some(2), ..setup() };
    check(&[job(0, 10, 9, &[])], &faulty, &[(1100, 0, 0, End::Failed)]);
}

/// Every policy with every rule, with clients that leave, failing steps and a cache that is too small.
#[test]
fn books_balance_whatever_happens() {
    let mut jobs = Random { requests: 150, rate: 20.0, seed: 3 }.jobs();
    trace::cancel(&mut jobs, 0.2, 3);
    for policy in PolicyName::ALL {
        for rule in Eviction::ALL.map(Some).into_iter().chain([None]) {
            let config = EngineConfig { policy, prefix_cache: rule, max_sequences: 16, ..setup().config };
            let setup = Setup { config, blocks: 150, fault_every: Some(97), ..setup() };
            let replayed = run(&jobs, &setup);
            let over = |outcome: &&Outcome| outcome.end != End::Complete || outcome.last.is_some();
            assert_eq!(replayed.outcomes.iter().filter(over).count(), jobs.len(), "{policy:?}, {rule:?}");
            assert!(replayed.preemptions > 0, "{policy:?}, {rule:?}: the cache is too small");
            assert_eq!(run(&jobs, &setup).outcomes, replayed.outcomes, "equal seeds");
        }
    }
}

#[test]
fn figures_are_of_all_requests() {
    let jobs = [job(0, 64, 3, &[7]), job(100, 64, 3, &[7]), job(200, 5000, 1, &[])];
    let prompts: Vec<usize> = jobs.iter().map(|job| job.prompt).collect();
    let goal = Goal { first: Duration::from_micros(1200), gap: Duration::from_millis(2) };
    let figures = serde_json::Value::Object(figures::of(&run(&jobs, &setup()), &prompts, goal));
    let number = |path: &str| figures.pointer(path).and_then(serde_json::Value::as_f64).expect(path);
    let expect = [
        ("/complete", 2.0),
        ("/refused", 1.0),
        ("/first_token_ms/p50", 1.16),
        ("/first_token_ms/p99", 1.64),
        ("/between_tokens_ms/p99", 1.1),
        ("/hit_rate/by_request", 0.375),
        ("/hit_rate/by_token", 0.375),
        ("/goodput_per_second", 1.0 / 0.2),
        ("/steps", 6.0),
    ];
    for (path, wanted) in expect {
        assert!((number(path) - wanted).abs() <= 0.001 * wanted, "{path}: {}, not {wanted}", number(path));
    }
}

/// A flat list of all hashes, the latest last, of which the first 10,000 are kept, finds 21.5 % of the tokens.
#[test]
fn lookups_of_a_known_trace_hit_as_often_as_they_must() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets/traces/mooncake_conversation.jsonl");
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return;
    }
    let jobs = trace::read(&path).expect("a trace");
    let hits = look_up(&jobs, 10_000, trace::SPAN, Eviction::Lru).expect("every prompt fits").by_token;
    assert!((hits - 0.2153).abs() <= 0.0005, "{hits}");
}

#[test]
fn curves_are_drawn() {
    let times: Vec<f64> = (1..1000).map(f64::from).collect();
    let svg = super::plot::svg(&[("one".to_owned(), times), ("none".to_owned(), vec![])]).expect("a picture");
    assert!(svg.starts_with("<svg") && svg.contains("one") && !svg.contains("NaN"), "{svg}");
}
