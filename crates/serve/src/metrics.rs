//! `GET /metrics`: what every model does and did, for Prometheus. An observer of each engine tells it.

use std::sync::Arc;
use std::time::Duration;

use answer::LoadedModel;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use engine::{Expected, FinishReason, Observer, RequestRecord, StepReport};
use telemetry::{Foretold, ModelMetrics, Now, Request, Step};

use crate::App;

/// Tells the metrics of a model what its engine does.
struct Watch {
    metrics: ModelMetrics,
    /// When the last step ended, if the engine had more to do then.
    ended: Option<Duration>,
}

impl App {
    /// An observer for the engine of the model that goes by this name: what it hears is at /metrics.
    pub fn observer(&self, name: &str) -> impl Observer + 'static {
        Watch { metrics: self.metrics.model(name), ended: None }
    }
}

impl Observer for Watch {
    fn step(&mut self, report: &StepReport) {
        self.metrics.step(&Step {
            prefill_rows: report.work.prefill_rows,
            decode_rows: report.work.decode_rows,
            found: report.found,
            tokens: report.tokens,
            preempted: report.preempted,
            took: report.ended.saturating_sub(report.started),
            since_last: self.ended.map(|ended| report.ended.saturating_sub(ended)),
        });
        let busy = report.rows() > 0 && report.running + report.waiting > 0;
        self.ended = busy.then_some(report.ended);
    }

    fn ended(&mut self, record: &RequestRecord) {
        let times = record.times;
        let after = |time: Option<Duration>| time.map(|time| time.saturating_sub(times.arrived));
        self.metrics.ended(&Request {
            queued: after(times.started),
            first_token: after(times.first_token),
            last_token: after(times.last_token),
            prompt: record.tokens.prompt,
            generated: record.tokens.generated,
            answers: record.continuations(),
            reason: reason(record.reason()),
            foretold: record.predicted.map(|predicted| {
                let Expected { least, likely, most } = predicted.first_token;
                Foretold { least, likely, most }
            }),
        });
    }
}

/// vLLM's words, and two of ours.
fn reason(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop(_) | FinishReason::Complete => "stop",
        FinishReason::Length => "length",
        FinishReason::Cancelled | FinishReason::Aborted => "abort",
        FinishReason::Deadline | FinishReason::TooLate(_) => "timeout",
        FinishReason::Failed(_) => "error",
    }
}

/// Answers Prometheus.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut all: Vec<(String, Now, usize)> = Vec::new();
    for model in app.loaded() {
        let (now, blocks) = now(&model);
        match all.iter_mut().find(|(name, ..)| *name == model.info.name) {
            // Several versions of a model are one in dashboards.
            Some((_, sum, all)) => (*sum, *all) = (together((*sum, *all), (now, blocks)), *all + blocks),
            None => all.push((model.info.name.clone(), now, blocks)),
        }
    }
    all.iter().for_each(|(name, now, _)| app.metrics.model(name).now(*now));
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, form)], app.metrics.render()).into_response()
}

/// What a model does now, and the blocks of its KV cache.
fn now(model: &LoadedModel) -> (Now, usize) {
    let stats = model.engine().stats();
    let kv_usage = stats.kv_blocks_used as f64 / stats.kv_blocks.max(1) as f64;
    // What runs is counted by sequences, what waits by those without a token that do not run.
    let waiting = stats.waiting.saturating_sub(stats.running);
    let states = [stats.states.used, stats.states.kept];
    (Now { running: stats.running, waiting, kv_usage, states }, stats.kv_blocks)
}

/// What two versions of a model do together, each with the blocks of its KV cache.
fn together((one, its): (Now, usize), (other, others): (Now, usize)) -> Now {
    let used = one.kv_usage * its as f64 + other.kv_usage * others as f64;
    Now {
        running: one.running + other.running,
        waiting: one.waiting + other.waiting,
        kv_usage: used / (its + others).max(1) as f64,
        states: [one.states[0] + other.states[0], one.states[1] + other.states[1]],
    }
}
