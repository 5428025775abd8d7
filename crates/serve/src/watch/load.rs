//! The header `endpoint-load-metrics`: how loaded the server is, told with an answer to who asks for it (ORCA, the Open Request
//! Cost Aggregation of Envoy, in vLLM's form). Load balancers that read it need not scrape `/metrics`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;

use super::metrics;
use crate::App;

/// Adds the header if the request asks for it: `endpoint-load-metrics-format: TEXT` or `JSON`.
pub(crate) async fn tell(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let form = Form::of(request.headers());
    let mut response = next.run(request).await;
    let told = form.and_then(|form| HeaderValue::from_str(&form.written(&app)).ok());
    told.into_iter().for_each(|told| _ = response.headers_mut().insert("endpoint-load-metrics", told));
    response
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Form> {
        let form = headers.get("endpoint-load-metrics-format")?.to_str().ok()?;
        match form.to_ascii_lowercase().as_str() {
            "text" => Some(Form::Text),
            "json" => Some(Form::Json),
            _ => None,
        }
    }

    fn written(self, app: &App) -> String {
        let (mut used, mut blocks, mut running, mut waiting) = (0, 0, 0, 0);
        for (pulse, ..) in metrics::pulses(app).values() {
            (used, blocks) = (used + pulse.kv.used, blocks + pulse.kv.blocks);
            (running, waiting) = (running + pulse.running, waiting + pulse.waiting);
        }
        let usage = used as f64 / blocks.max(1) as f64;
        match self {
            Form::Text => format!(
                "TEXT named_metrics.kv_cache_usage_perc={usage}, named_metrics.num_requests_waiting={waiting}, \
                 named_metrics.num_requests_running={running}"
            ),
            Form::Json => {
                let named = json!({
                    "kv_cache_usage_perc": usage, "num_requests_waiting": waiting, "num_requests_running": running,
                });
                format!("JSON {}", json!({ "named_metrics": named }))
            }
        }
    }
}
