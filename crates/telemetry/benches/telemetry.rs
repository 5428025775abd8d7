//! What telemetry costs: an engine's step, a request's end, a second and a snapshot of 100 engines.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use telemetry::{EngineTelemetry, Labels, Left, Machine, Record, Request, Step, Telemetry};

fn step(at: u64) -> Step {
    let prefill_rows = if at.is_multiple_of(4) { 100 } else { 0 };
    Step {
        prefill_rows,
        decode_rows: 16,
        context: 8000,
        tokens: 16,
        took: Duration::from_micros(5000 + at * 7919 % 3000),
        left: Left { running: 16, waiting: 2, stalled: 0 },
        ..Step::default()
    }
}

fn ended(engine: &EngineTelemetry, at: u64) {
    let time = |micros| Some(Duration::from_micros(micros + at * 104_729 % 50_000));
    let (queued, first_token, last_token) = (time(100), time(60_000), time(900_000));
    let (prompt, generated, answers, reason) = (200, 64, 1, "stop");
    let (repetition, foretold) = (Some(at as f64 % 7.0 / 20.0), None);
    let request = Request {
        queued,
        first_token,
        last_token,
        prompt,
        generated,
        drafts: (0, 0),
        model_drafts: (0, 0),
        head_drafts: (0, 0),
        answers,
        reason,
        repetition,
        foretold,
    };
    let tenant = ["a", "b", "c"][at as usize % 3];
    let total = last_token.unwrap_or_default();
    let record = Record { request, id: at, tenant: Some(tenant), cached: 50, preemptions: 0, total, spans: &[] };
    engine.ended(Duration::from_millis(at * 10), &record);
}

/// 100 engines with an hour behind them.
fn engines(telemetry: &Telemetry) -> Vec<Arc<EngineTelemetry>> {
    let engine = |at| telemetry.engine(Labels { variant: format!("v{at}"), ..Labels::model("m") });
    let engines: Vec<_> = (0..100).map(engine).collect();
    for second in 0..3600 {
        for engine in &engines {
            (0..4).for_each(|at| engine.step(Duration::from_secs(second), &step(second * 4 + at)));
            ended(engine, second * 100);
        }
        telemetry.tick(Duration::from_secs(second), Machine::default());
    }
    engines
}

fn costs(criterion: &mut Criterion) {
    let telemetry = Telemetry::new(Duration::ZERO);
    let engines = engines(&telemetry);
    let mut at = 3_600_000;
    let mut next = || {
        at += 1;
        at
    };
    criterion.bench_function("step", |bench| {
        bench.iter(|| engines[0].step(Duration::from_millis(next()), &step(black_box(7))));
    });
    criterion.bench_function("request", |bench| bench.iter(|| ended(&engines[1], next() / 10)));
    criterion.bench_function("second, 100 engines", |bench| {
        bench.iter(|| telemetry.tick(Duration::from_secs(next()), Machine::default()));
    });
    criterion.bench_function("snapshot, 100 engines", |bench| {
        bench.iter(|| black_box(telemetry.snapshot(Duration::from_secs(4000))));
    });
}

/// Short: what is measured is far from its bounds (a step under 1 % of one of 5 ms, a snapshot under 5 ms).
fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2)).sample_size(50)
}

criterion_group! { name = benches; config = short(); targets = costs }
criterion_main!(benches);
