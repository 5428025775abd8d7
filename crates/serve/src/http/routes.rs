//! The routes, and what each does.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Serialize;
use serde_json::json;

use super::{body, error, log, page, sse};
use crate::app::State as AppState;
use crate::openai::response::{Answer, Head, Model, Models, Usage, Whole};
use crate::services::{self, Event, Generation};
use crate::{App, Ask, Delivery, Endpoint, Kind, Problem, Served};

type Shared = State<Arc<App>>;

/// All routes.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .merge(page::routes())
        .fallback(unknown_url)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), log::requests))
        .with_state(app)
}

async fn health(State(app): Shared) -> Response {
    let (word, problem) = match app.state() {
        AppState::Loading => ("loading", Some(Kind::Loading)),
        AppState::Ready => ("ready", None),
        AppState::Draining => ("draining", Some(Kind::Draining)),
    };
    let (status, retry) = problem.map_or((StatusCode::OK, None), error::head);
    let mut response = (status, Json(json!({ "status": word }))).into_response();
    if let Some(seconds) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

async fn models(State(app): Shared) -> Result<Json<Models>, Problem> {
    Ok(Json(Models { object: "list", data: app.models()?.iter().map(|served| described(served)).collect() }))
}

async fn model(State(app): Shared, id: Result<Path<String>, PathRejection>) -> Result<Json<Model>, Problem> {
    let Path(id) = id.map_err(|e| Problem::of(Kind::ModelNotFound, "model", format!("{}.", e.body_text())))?;
    Ok(Json(described(&*app.model(Some(&id))?)))
}

fn described(served: &Served) -> Model {
    Model { id: served.name.clone(), object: "model", created: served.created, owned_by: "whinchat" }
}

async fn chat(State(app): Shared, request: Request) -> Result<Response, Problem> {
    complete(app, Endpoint::Chat, request).await
}

async fn completions(State(app): Shared, request: Request) -> Result<Response, Problem> {
    complete(app, Endpoint::Completions, request).await
}

async fn unknown_url(method: Method, uri: Uri) -> Problem {
    Problem::new(Kind::UnknownUrl, format!("There is no {method} {}.", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("{} does not take {method}.", uri.path()))
}

/// Dropping this future, or the body that it gives, drops the generation: that is cancellation.
async fn complete(app: Arc<App>, endpoint: Endpoint, request: Request) -> Result<Response, Problem> {
    app.models()?;
    let (parts, body) = request.into_parts();
    let body = body::read(&parts.headers, body).await?;
    let (generation, form) = begin(app, endpoint, body).await?;
    if let Some(tokens) = parts.extensions.get::<log::Tokens>() {
        tokens.set(&generation.tally);
    }
    match form.delivery {
        Delivery::Whole => whole(endpoint, generation, form.logprobs).await,
        Delivery::Stream { include_usage } => Ok(sse::stream(endpoint, generation, form.logprobs, include_usage)),
    }
}

/// What of a request matters to its answer's form.
struct Form {
    delivery: Delivery,
    logprobs: bool,
}

/// Parsing, rendering and tokenizing take as long as the request is large: not on the threads that serve everyone.
async fn begin(app: Arc<App>, endpoint: Endpoint, body: Vec<u8>) -> Result<(Generation, Form), Problem> {
    let internal = || Problem::new(Kind::Internal, "The request could not be prepared; the server's log says why.");
    let permit = app.blocking.clone().acquire_owned().await.map_err(|_| internal())?;
    let work = move || {
        // It goes on when its client has gone, and so does its permit.
        let _permit = permit;
        let ask: Ask = crate::parse_request_body(endpoint, &body)?;
        let form = Form { delivery: ask.delivery, logprobs: ask.logprobs.is_some() };
        Ok((services::begin(&app, ask)?, form))
    };
    tokio::task::spawn_blocking(work).await.map_err(|e| {
        tracing::error!("preparing a request failed: {e}");
        internal()
    })?
}

async fn whole(endpoint: Endpoint, mut generation: Generation, logprobs: bool) -> Result<Response, Problem> {
    let mut choices: Vec<Whole> = std::iter::repeat_with(Whole::default).take(generation.choices).collect();
    while let Some(event) = generation.next().await {
        match event? {
            Event::Text { choice, piece } => {
                choices[choice].piece.text += &piece.text;
                choices[choice].piece.logprobs.extend(piece.logprobs);
            }
            Event::Finished { choice, reason } => choices[choice].reason = Some(reason),
        }
    }
    let head = head(endpoint, &generation.model, false);
    let usage = Usage::from(&*generation.tally);
    let choices = choices.into_iter().enumerate();
    Ok(match endpoint {
        Endpoint::Chat => answer(&head, choices.map(|(i, choice)| choice.chat(i, logprobs)).collect(), usage),
        Endpoint::Completions => answer(&head, choices.map(|(i, choice)| choice.text(i, logprobs)).collect(), usage),
    })
}

fn answer<C: Serialize>(head: &Head, choices: Vec<C>, usage: Usage) -> Response {
    Json(Answer { head, choices, usage: Some(Some(usage)) }).into_response()
}

/// What an answer and all its chunks begin with.
pub(super) fn head(endpoint: Endpoint, model: &str, stream: bool) -> Head {
    let (prefix, object) = match (endpoint, stream) {
        (Endpoint::Chat, false) => ("chatcmpl", "chat.completion"),
        (Endpoint::Chat, true) => ("chatcmpl", "chat.completion.chunk"),
        (Endpoint::Completions, _) => ("cmpl", "text_completion"),
    };
    Head {
        id: log::unique(prefix),
        object,
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        model: model.to_owned(),
        system_fingerprint: concat!("whinchat-", env!("CARGO_PKG_VERSION")),
    }
}
