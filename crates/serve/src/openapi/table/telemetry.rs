//! What the server did, and what it does.

use answer::Kind as Asked;

use super::Group;
use crate::Kind;
use crate::known;
use crate::openapi::operation::{Answer, MODEL, events, get, json};

/// Measurements, health and metrics.
pub(super) const GROUP: Group = Group {
    name: "Telemetry",
    about: "What the server does and did",
    built: true,
    operations: &[
        get("/health", "Says what of the server works, in parts")
            .gives(&[json("Health"), Answer(503, "application/json", "Health")]),
        get("/health/live", "Says that the process answers").gives(&[json("{ status: 'live' }")]),
        get("/health/ready", "Says whether requests are answered")
            .gives(&[json("Ready"), Answer(503, "application/json", "Ready")]),
        get("/metrics", "Tells Prometheus what each model does and did")
            .gives(&[Answer(200, "text/plain", ""), Answer(200, "application/openmetrics-text", "")]),
        get(
            "/debug",
            "Tells who runs and who waits in each model's engine, and how services that are elsewhere answer",
        )
        .gives(&[json("{ models: { [name]: object }, services: { [name]: object } }")])
        .refuses(&[&[Kind::Internal]]),
        get("/examples", "Gives requests with the answers that they must have, whatever model answers")
            .gives(&[json("{ service: 'server', examples: object[] }")]),
        get("/v1/telemetry", "Tells windows of each engine, slow requests, anomalies and recommendations")
            .gives(&[json("Telemetry")]),
        get("/v1/telemetry/history", "Tells the last day in points of ten seconds")
            .asks(&known::HISTORY)
            .gives(&[json("{ step_s: integer(1..), engines: History[] }")])
            .refuses(&[WRONG]),
        get("/v1/telemetry/predict", "Predicts how long a request would take")
            .asks(&known::PREDICT)
            .gives(&[json("{ object: 'list', data: Prediction[] }")])
            .refuses(&[WRONG, MODEL]),
        get("/v1/telemetry/stream", "Tells all that is known, and then what changes").gives(&[events("object")]),
        get("/v1/requests/{id}/trace", "Tells the stages of a request that has ended, for Perfetto")
            .gives(&[json("Trace")])
            .refuses(&[&[Kind::RequestNotFound]]),
    ],
    shapes: &[
        ("Ready", "{ status: 'loading' | 'ready' | 'degraded' | 'failed' | 'draining' }"),
        (
            "Health",
            "{ status: 'loading' | 'ready' | 'degraded' | 'failed' | 'draining', models: { [name]: string }, \
             components: { [name]: { status: string, reason?: string } }, configuration?: { status: string, restart: string[] }, \
             services?: { [name]: { status: 'ready' | 'unavailable', url: string, calls: integer, failed: integer, reason?: string, seconds_ago?: number } }, \
             faults?: { id: string, kind: string, ends_in: number }[] }",
        ),
        (
            "Telemetry",
            "{ time_ms: integer(0..), uptime_s: number, engines: TelemetryEngine[], series: TelemetrySeries[], slowest: object[], \
             anomalies: Anomaly[], recommendations: object[], correlations: object[], releases: object[], algorithms: object[] }",
        ),
        (
            "TelemetryEngine",
            "{ model: string, variant: string, device: string, now: { running: integer(0..), waiting: integer(0..), \
             stalled: integer(0..), prefill_rows: integer(0..), decode_rows: integer(0..), kv: object }, \
             windows: { window: string, seconds: number, steps: integer(0..), busy: number }[], predictions: object }",
        ),
        (
            "TelemetrySeries",
            "{ model: string, variant: string, device: string, tenant: string | null, windows: { window: string, seconds: number, \
             requests: { ended: integer(0..), succeeded: integer(0..) }, tokens: { prompt: integer(0..), cached: integer(0..), \
             generated: integer(0..) }, queue: Quantiles | null, first_token: Quantiles | null }[] }",
        ),
        ("Quantiles", "{ count: integer(0..), mean: number, p50: number, p90: number, p99: number, max: number }"),
        (
            "Anomaly",
            "{ id: integer(0..), model: string, variant: string, device: string, symptom: string, cause: string, message: string, \
             since_ms: integer(0..) }",
        ),
        (
            "History",
            "{ model: string, variant: string, device: string, time: integer(0..)[], columns: string[], values: (number | null)[][] }",
        ),
        (
            "Prediction",
            "{ model: string, variant: string, device: string, running: integer(0..), waiting: integer(0..), \
             first_token: Interval | null, total: Interval | null }",
        ),
        ("Interval", "{ least: number, likely: number, most: number }"),
        ("Trace", "{ displayTimeUnit: 'ms', traceEvents: object[] }"),
    ],
    parts: &[],
};

/// What may be wrong with an address.
const WRONG: &[Kind] = &[Kind::Ask(Asked::InvalidType), Kind::Ask(Asked::Missing)];
