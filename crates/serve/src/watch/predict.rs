//! `GET /v1/telemetry/predict`: how long a request would take.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use telemetry::{EngineTelemetry, Interval, Question};

use crate::wire::query::Query;
use crate::{App, Problem, wire};

/// The times of each engine that could answer it, in milliseconds; null where too few requests have ended yet.
pub(super) async fn predict(State(app): State<Arc<App>>, uri: Uri) -> Response {
    match predictions(&app, &Query::of(&uri)) {
        Ok(predictions) => Json(json!({ "object": "list", "data": predictions })).into_response(),
        Err(problem) => wire::problem(uri.path(), &problem),
    }
}

/// Where nothing is said of the load it is that of this moment.
fn predictions(app: &App, asked: &Query) -> Result<Vec<Value>, Problem> {
    let model = app.model(asked.get("model"))?;
    let stats = model.engine().stats();
    let question = Question {
        prompt: asked.count("prompt")?,
        output: asked.count("output")?,
        running: asked.maybe_count("running")?.unwrap_or(stats.running),
        waiting: asked.maybe_count("waiting")?.unwrap_or(stats.waiting.saturating_sub(stats.running)),
    };
    let meant = |name: &str, is: &str| asked.given(name).is_none_or(|wanted| wanted == is);
    let engines = app.watch.telemetry.model(&model.info.name).into_iter();
    let engines =
        engines.filter(|engine| meant("variant", &engine.labels().variant) && meant("device", &engine.labels().device));
    Ok(engines.map(|engine| prediction(&engine, &question)).collect())
}

fn prediction(engine: &EngineTelemetry, question: &Question) -> Value {
    let (labels, forecast) = (engine.labels(), engine.predict(question));
    json!({
        "model": labels.model, "variant": labels.variant, "device": labels.device,
        "running": question.running, "waiting": question.waiting,
        "first_token": forecast.map(|forecast| times(&forecast.first_token)),
        "total": forecast.map(|forecast| times(&forecast.total)),
    })
}

fn times(interval: &Interval) -> Value {
    let [least, likely, most] = [interval.least, interval.likely, interval.most].map(|time| time.as_secs_f64() * 1e3);
    json!({ "least": least, "likely": likely, "most": most })
}
