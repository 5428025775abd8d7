//! `GET /v1/telemetry/predict`: how long a request would take.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use telemetry::{EngineTelemetry, Interval, Question};

use crate::{App, Kind, Problem, wire};

/// The request, and the load. Where nothing is said of the load it is that of this moment.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    model: Option<String>,
    variant: Option<String>,
    device: Option<String>,
    prompt: usize,
    output: usize,
    running: Option<usize>,
    waiting: Option<usize>,
}

/// The times of each engine that could answer it, in milliseconds; null where too few requests have ended yet.
pub(super) async fn predict(State(app): State<Arc<App>>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    match asked.map_err(malformed).and_then(|Query(asked)| predictions(&app, &asked)) {
        Ok(predictions) => Json(json!({ "object": "list", "data": predictions })).into_response(),
        Err(problem) => wire::problem("/v1/telemetry", &problem),
    }
}

fn predictions(app: &App, asked: &Asked) -> Result<Vec<Value>, Problem> {
    let model = app.model(asked.model.as_deref())?;
    let meant = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
    let stats = model.engine().stats();
    let question = Question {
        prompt: asked.prompt,
        output: asked.output,
        running: asked.running.unwrap_or(stats.running),
        waiting: asked.waiting.unwrap_or(stats.waiting.saturating_sub(stats.running)),
    };
    let engines = app.watch.telemetry.model(&model.info.name).into_iter();
    let engines = engines.filter(|engine| {
        meant(&asked.variant, &engine.labels().variant) && meant(&asked.device, &engine.labels().device)
    });
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

fn malformed(rejection: QueryRejection) -> Problem {
    let message = format!("{}. Give `prompt` and `output` in tokens.", rejection.body_text().trim_end_matches('.'));
    Problem::new(Kind::Ask(answer::Kind::InvalidValue), message)
}
