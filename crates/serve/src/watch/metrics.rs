//! `GET /metrics`: what every model does and did, for Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use engine::{Reading, ReadingValue};
use serde_json::{Value, json};
use telemetry::{Now, Own, OwnValue, Pulse};

use crate::{App, services};

/// Answers Prometheus: in the form of OpenMetrics if it asks for that, else in the older one, as vLLM does.
pub(super) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    for (name, (pulse, states)) in pulses(&app) {
        let engines = app.engines(&name);
        let metrics = app.watch.metrics.model(&name);
        let kv_usage = pulse.kv.used as f64 / pulse.kv.blocks.max(1) as f64;
        metrics.now(Now { running: pulse.running, waiting: pulse.waiting, kv_usage, states, engines });
        metrics.cache(pulse.kv.blocks, pulse.kv.block_len);
    }
    app.watch.metrics.algorithms().show(algorithms(&app));
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let openmetrics = accept.into_iter().any(|accept| accept.contains("application/openmetrics-text"));
    let (form, text) = match openmetrics {
        true => ("application/openmetrics-text; version=1.0.0; charset=utf-8", app.watch.metrics.render()),
        false => ("text/plain; version=0.0.4; charset=utf-8", app.watch.metrics.render_classic()),
    };
    ([(header::CONTENT_TYPE, form)], with(text, &services::metrics(&app, openmetrics))).into_response()
}

/// More families of metrics, before the line that ends OpenMetrics.
fn with(text: String, more: &str) -> String {
    match text.strip_suffix("# EOF\n") {
        _ if more.is_empty() => text,
        Some(all) => format!("{all}{more}# EOF\n"),
        None => text + more,
    }
}

/// What the algorithms of each model count of their own.
fn algorithms(app: &App) -> BTreeMap<String, Vec<Own>> {
    let mut all: BTreeMap<String, Vec<Own>> = BTreeMap::new();
    for model in app.loaded() {
        let read = model.engine().instruments().read();
        // Of several versions of a model the newest is shown.
        all.insert(model.info.name.clone(), read.into_iter().map(own).collect());
    }
    all.retain(|_, own| !own.is_empty());
    all
}

/// The same as JSON.
pub(super) fn algorithms_told(app: &App) -> Vec<Value> {
    algorithms(app).into_iter().map(|(model, metrics)| json!({ "model": model, "metrics": metrics })).collect()
}

fn own(reading: Reading) -> Own {
    let value = match reading.value {
        ReadingValue::Count(count) => OwnValue::Counter { count },
        ReadingValue::Gauge(value) => OwnValue::Gauge { value },
        ReadingValue::Histogram { buckets, sum } => {
            let bound = |bound: f64| Some(bound).filter(|bound| bound.is_finite());
            let buckets = buckets.into_iter().map(|(upper, count)| (bound(upper), count)).collect();
            OwnValue::Histogram { buckets, sum }
        }
    };
    Own { name: reading.name, help: reading.help, value }
}

/// What each model does now, and its states of recurrent layers, used and kept. Several versions of a
/// model are one in dashboards.
pub(super) fn pulses(app: &App) -> BTreeMap<String, (Pulse, [usize; 2])> {
    let mut all: BTreeMap<String, (Pulse, [usize; 2])> = BTreeMap::new();
    for model in app.loaded() {
        let stats = model.engine().stats();
        let (pulse, states) = all.entry(model.info.name.clone()).or_default();
        pulse.running += stats.running;
        // What runs is counted by sequences, what waits by those without a token that do not run.
        pulse.waiting += stats.waiting.saturating_sub(stats.running);
        pulse.slots += model.streams();
        pulse.context = pulse.context.max(model.context());
        pulse.failed_batches += stats.failed_batches;
        pulse.kv.block_len = model.engine().block_len();
        pulse.kv.blocks += stats.kv_blocks;
        pulse.kv.used += stats.kv_blocks_used;
        pulse.kv.kept += stats.kv_blocks_kept;
        pulse.kv.spilled += stats.tier.spilled;
        pulse.kv.restored += stats.tier.restored;
        *states = [states[0] + stats.states.used, states[1] + stats.states.kept];
    }
    all
}
