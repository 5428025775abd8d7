//! `GET /metrics`: what every model does and did, for Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use telemetry::{Now, Pulse};

use crate::App;

/// Answers Prometheus: in the form of OpenMetrics if it asks for that, else in the older one, as vLLM does.
pub(super) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    for (name, (pulse, states, block_len)) in pulses(&app) {
        let metrics = app.watch.metrics.model(&name);
        let kv_usage = pulse.kv.used as f64 / pulse.kv.blocks.max(1) as f64;
        metrics.now(Now { running: pulse.running, waiting: pulse.waiting, kv_usage, states });
        metrics.cache(pulse.kv.blocks, block_len);
    }
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (form, text) = match accept.into_iter().any(|accept| accept.contains("application/openmetrics-text")) {
        true => ("application/openmetrics-text; version=1.0.0; charset=utf-8", app.watch.metrics.render()),
        false => ("text/plain; version=0.0.4; charset=utf-8", app.watch.metrics.render_classic()),
    };
    ([(header::CONTENT_TYPE, form)], text).into_response()
}

/// What each model does now, its states of recurrent layers (used and kept) and the positions in a block. Several versions of a
/// model are one in dashboards.
pub(super) fn pulses(app: &App) -> BTreeMap<String, (Pulse, [usize; 2], usize)> {
    let mut all: BTreeMap<String, (Pulse, [usize; 2], usize)> = BTreeMap::new();
    for model in app.loaded() {
        let stats = model.engine().stats();
        let (pulse, states, block_len) = all.entry(model.info.name.clone()).or_default();
        pulse.running += stats.running;
        // What runs is counted by sequences, what waits by those without a token that do not run.
        pulse.waiting += stats.waiting.saturating_sub(stats.running);
        pulse.slots += model.streams();
        pulse.failed_batches += stats.failed_batches;
        pulse.kv.blocks += stats.kv_blocks;
        pulse.kv.used += stats.kv_blocks_used;
        pulse.kv.kept += stats.kv_blocks_kept;
        pulse.kv.spilled += stats.tier.spilled;
        pulse.kv.restored += stats.tier.restored;
        *states = [states[0] + stats.states.used, states[1] + stats.states.kept];
        *block_len = model.engine().block_len();
    }
    all
}
