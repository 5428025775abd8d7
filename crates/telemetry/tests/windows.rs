//! What engines are told comes out of snapshots and the history again.

use std::time::Duration;

use telemetry::{
    COLUMNS, Labels, Left, Machine, POINTS_KEPT, Point, Record, Request, RequestWindow, Span, Stage, Step, Telemetry,
    Trace,
};

const ORIGIN: u64 = 1_700_000_000;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn telemetry() -> Telemetry {
    Telemetry::new(Duration::from_secs(ORIGIN))
}

fn request(reason: &'static str, generated: usize) -> Request {
    Request {
        queued: Some(seconds(0.01)),
        first_token: Some(seconds(0.1)),
        last_token: Some(seconds(0.1 + 0.02 * (generated - 1) as f64)),
        prompt: 100,
        generated,
        answers: 1,
        reason,
        drafts: (0, 0),
        model_drafts: (0, 0),
        head_drafts: (0, 0),
        repetition: (generated >= 24).then_some(0.2),
        foretold: None,
    }
}

fn record(id: u64, request: Request, tenant: Option<&str>) -> Record<'_> {
    let total = request.last_token.unwrap_or_default();
    Record { request, id, tenant, cached: 30, preemptions: 1, total, spans: &[] }
}

/// The window of this name of everybody's requests, or of a tenant's.
fn window(telemetry: &Telemetry, now: f64, tenant: Option<&str>, name: &str) -> RequestWindow {
    let snapshot = telemetry.snapshot(seconds(now));
    let series = snapshot.series.iter().find(|series| series.tenant.as_deref() == tenant).expect("a series");
    series.windows.iter().find(|window| window.window == name).expect("a window").clone()
}

#[test]
fn requests_are_counted_by_how_they_end() {
    let telemetry = telemetry();
    let engine = telemetry.engine(Labels::model("m"));
    for (at, reason) in ["stop", "stop", "length", "abort", "timeout", "error"].into_iter().enumerate() {
        engine.ended(seconds(at as f64), &record(at as u64, request(reason, 11), Some("a")));
    }
    for (now, name, ended) in [(5.5, "10s", 6), (13.5, "10s", 3), (20.0, "10s", 0), (20.0, "1m", 6), (3000.0, "1h", 6)]
    {
        assert_eq!(window(&telemetry, now, None, name).requests.ended, ended, "{name} at {now}");
    }
    let hour = window(&telemetry, 3000.0, None, "1h");
    let (requests, tokens) = (hour.requests, hour.tokens);
    assert_eq!((requests.succeeded, requests.cut, requests.aborted), (3, 1, 1));
    assert_eq!((requests.late, requests.failed, requests.preemptions), (1, 1, 6));
    assert_eq!((tokens.prompt, tokens.cached, tokens.generated), (600, 180, 66));
    for (quantiles, p50) in
        [(hour.queue, 10.0), (hour.first_token, 100.0), (hour.total, 300.0), (hour.answer_tokens, 11.0)]
    {
        let found = quantiles.expect("requests");
        assert!(found.count == 6 && (found.p50 / p50 - 1.0).abs() < 0.011, "{found:?}, not {p50}");
    }
    // A tenant's times between tokens come from its requests, everybody's from steps.
    let between = window(&telemetry, 3000.0, Some("a"), "1h").between.expect("a time");
    assert!(between.count == 60 && (between.p99 / 20.0 - 1.0).abs() < 0.011, "{between:?}");
    assert_eq!(hour.between, None);
}

#[test]
fn repetition_is_that_of_answers_long_enough() {
    let telemetry = telemetry();
    let engine = telemetry.engine(Labels::model("m"));
    for (at, repetition) in [None, Some(0.0), Some(0.1), Some(0.9), Some(f64::NAN)].into_iter().enumerate() {
        let request = Request { repetition, ..request("stop", 30) };
        engine.ended(seconds(0.5), &record(at as u64, request, Some("a")));
    }
    for tenant in [None, Some("a")] {
        let found = window(&telemetry, 1.0, tenant, "10s").repetition.expect("three answers");
        let close = |found: f64, wanted: f64| (found / wanted - 1.0).abs() < 0.02;
        assert!(found.count == 3 && close(found.p50, 0.1) && close(found.max, 0.9), "{found:?}");
    }
    engine.ended(seconds(50.0), &record(9, Request { repetition: None, ..request("stop", 11) }, None));
    assert_eq!(window(&telemetry, 50.5, None, "10s").repetition, None);
}

#[test]
fn steps_are_told_apart_by_what_they_compute() {
    let telemetry = telemetry();
    let engine = telemetry.engine(Labels::model("m"));
    for (at, (prefill_rows, decode_rows, millis)) in
        [(64, 0, 40), (0, 4, 10), (0, 4, 10), (32, 4, 30)].into_iter().enumerate()
    {
        let left = Left { running: 4, waiting: 2, stalled: 1 };
        let took = Duration::from_millis(millis);
        let step = Step { prefill_rows, decode_rows, tokens: decode_rows, took, left, ..Step::default() };
        engine.step(seconds(at as f64), &step);
    }
    let snapshot = telemetry.snapshot(seconds(9.0));
    let view = &snapshot.engines[0];
    let steps = view.windows.iter().find(|window| window.window == "1m").expect("a window");
    assert_eq!((steps.steps, steps.work.prefill_rows, steps.work.decode_rows, steps.work.tokens), (4, 96, 12, 12));
    for (phase, quantiles, count, millis) in
        [("prefill", steps.prefill, 1, 40.0), ("decode", steps.decode, 2, 10.0), ("mixed", steps.mixed, 1, 30.0)]
    {
        let found = quantiles.expect("steps");
        assert!(found.count == count && (found.mean - millis).abs() < 1e-9, "{phase}: {found:?}");
    }
    assert!((steps.busy - 0.09 / 9.0).abs() < 1e-9, "{}", steps.busy);
    assert_eq!((view.now.running, view.now.waiting, view.now.stalled), (4, 2, 1));
    let between = window(&telemetry, 9.0, None, "1m").between.expect("tokens");
    assert_eq!(between.count, 12);
}

#[test]
fn tenants_are_bounded_and_can_be_left_out() {
    let telemetry = telemetry();
    let engine = telemetry.engine(Labels::model("m"));
    for tenant in 0..200 {
        let name = format!("tenant {tenant}");
        let generated = if tenant == 7 { 500 } else { 2 };
        engine.ended(seconds(1.0), &record(tenant, request("stop", generated), Some(&name)));
    }
    let snapshot = telemetry.snapshot(seconds(2.0));
    let names: Vec<_> = snapshot.series.iter().filter_map(|series| series.tenant.as_deref()).collect();
    assert!(names.len() == 8 && names.contains(&"tenant 7") && names.contains(&"(others)"), "{names:?}");
    let counted = snapshot.series[0].windows[0].requests.ended;
    assert_eq!(counted, 200);
    let without = snapshot.without_tenants();
    assert!(without.series.iter().all(|series| series.tenant.is_none()) && without.series.len() == 1);
    assert!(without.slowest.iter().all(|flow| flow.tenant.is_none()) && without.slowest.len() == 20);
}

#[test]
fn a_request_is_found_by_the_name_of_its_answer() {
    let telemetry = telemetry();
    let engine = telemetry.engine(Labels::model("m"));
    let spans = [Span { stage: Stage::Queued, start_us: 0, end_us: 10_000, tokens: 0 }];
    let early = Record { spans: &spans, ..record(1, request("stop", 11), None) };
    // The answer may have gone out before its end was told, or after.
    telemetry.keep_finished();
    let trace = Trace { trace: 7, span: 8, parent: None, sampled: true, operation: "chat" };
    telemetry.sent(seconds(5.31), 1, "one", trace);
    engine.ended(seconds(5.3), &early);
    engine.ended(seconds(6.3), &record(2, request("stop", 11), Some("t")));
    assert!(telemetry.flow("two").is_none());
    telemetry.sent(seconds(6.35), 2, "two", trace);
    let finished = telemetry.take_finished();
    assert_eq!(
        finished.iter().map(|flow| (flow.id.as_str(), flow.trace)).collect::<Vec<_>>(),
        [("one", Some(trace)), ("two", Some(trace))]
    );
    assert!(telemetry.take_finished().is_empty());
    let one = telemetry.flow("one").expect("kept");
    let sent = Span { stage: Stage::Sent, start_us: 300_000, end_us: 310_000, tokens: 0 };
    assert_eq!(
        (one.spans.as_slice(), one.came_ms, one.total_us),
        (&[spans[0], sent][..], ORIGIN * 1000 + 5000, 300_000)
    );
    assert_eq!(telemetry.flow("two").and_then(|flow| flow.tenant), Some("t".to_owned()));
    let slowest = telemetry.snapshot(seconds(7.0)).slowest;
    assert_eq!(slowest.iter().map(|flow| flow.id.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert!(telemetry.snapshot(seconds(4000.0)).slowest.is_empty());
    (3..2000).for_each(|id| engine.ended(seconds(8.0), &record(id, request("stop", 2), None)));
    assert!(telemetry.flow("500").is_none() && telemetry.flow("1999").is_some());
}

#[test]
fn the_history_has_a_point_every_ten_seconds() {
    let telemetry = telemetry();
    let engine = telemetry.engine(Labels::model("m"));
    let column = |name: &str| COLUMNS.iter().position(|column| *column == name).expect("a column");
    let mut points = Vec::new();
    for second in 0..95 {
        if second % 2 == 0 && second < 60 {
            engine.ended(seconds(f64::from(second) + 0.5), &record(0, request("stop", 11), None));
        }
        points.extend(telemetry.tick(seconds(f64::from(second)), Machine::default()).points);
    }
    assert_eq!(
        points.iter().map(|(_, point)| point.time - ORIGIN).collect::<Vec<_>>(),
        [10, 20, 30, 40, 50, 60, 70, 80, 90]
    );
    let histories = telemetry.history(ORIGIN + 50);
    let history = &histories[0];
    assert_eq!((history.time.len(), history.columns.as_slice()), (4, &COLUMNS[..]));
    assert_eq!(history.values[column("ended")], [5.0, 0.0, 0.0, 0.0]);
    let first = &history.values[column("first_token_p50")];
    assert!((first[0] / 100.0 - 1.0).abs() < 0.011 && first[1].is_nan());
    // An earlier process's points come before; a day is kept.
    let old = (0..POINTS_KEPT as u64 + 50).map(|at| Point { time: ORIGIN - 100_000 + 10 * at, ..points[0].1 });
    telemetry.restore(Labels::model("m"), old);
    let history = &telemetry.history(0)[0];
    assert!(history.time.len() <= POINTS_KEPT && history.time.is_sorted(), "{}", history.time.len());
    assert!(
        history.time.first().is_some_and(|first| *first > ORIGIN + 90 - 86_400)
            && history.time.last() == Some(&(ORIGIN + 90))
    );
}

#[test]
fn devices_that_go_alike_are_correlated() {
    let telemetry = telemetry();
    let labels = |device: &str| Labels { device: device.to_owned(), ..Labels::model("m") };
    let (one, two, three) = (labels("one"), labels("two"), labels("three"));
    for second in 0..400u64 {
        let slower = second / 10 % 3;
        for (labels, millis) in [(&one, 10 + 10 * slower), (&two, 20 + 5 * slower), (&three, 50 - 10 * slower)] {
            let step = Step { decode_rows: 1, took: Duration::from_millis(millis), ..Step::default() };
            telemetry.engine(labels.clone()).step(Duration::from_secs(second), &step);
        }
        telemetry.tick(Duration::from_secs(second), Machine::default());
    }
    let correlations = telemetry.snapshot(seconds(400.0)).correlations;
    let of = |a: &Labels, b: &Labels| {
        let pair = |one, other| (one == a && other == b) || (one == b && other == a);
        let found = correlations.iter().find(|found| pair(&found.one, &found.other));
        found.expect("compared").coefficient
    };
    assert!(of(&one, &two) > 0.99 && of(&one, &three) < -0.9, "{correlations:?}");
    telemetry.gone("m");
    assert!(telemetry.snapshot(seconds(401.0)).engines.is_empty() && !telemetry.history(0).is_empty());
}

#[test]
fn answers_may_be_marked() {
    let telemetry = telemetry();
    let engine = telemetry.engine(Labels::model("m"));
    for mark in [0.5, 1.0, 7.0, f64::NAN] {
        engine.mark(seconds(1.0), mark);
    }
    let quality = window(&telemetry, 2.0, None, "10s").quality.expect("marks");
    assert!((quality - 2.5 / 3.0).abs() < 1e-5, "{quality}");
    assert_eq!(window(&telemetry, 30.0, None, "10s").quality, None);
}
