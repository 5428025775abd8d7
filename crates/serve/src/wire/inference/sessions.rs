//! `/v1/sessions`: what the KV cache has of a conversation is saved in a file, listed, put back and deleted.

use std::io;
use std::sync::Arc;

use answer::Input;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use engine::SavedPrefix;
use serde_json::{Value, json};

use crate::http::Caller;
use crate::wire::fields::{self, Fields};
use crate::wire::{blocking, known, openai, reply, with_model};
use crate::{App, Kind, Problem, SessionFile, SessionFiles};

/// Letters of a name at most.
const LONGEST: usize = 64;

pub(super) fn routes() -> Router<Arc<App>> {
    let save = |State(app): State<Arc<App>>, request: Request| async move {
        let caller = Caller::of(request.extensions());
        respond(reply(app, request, move |app, body| save(app, &caller, body)).await)
    };
    let list = |State(app): State<Arc<App>>| async move { respond(blocking(app, list).await) };
    Router::new()
        .route("/v1/sessions", routing::get(list).post(save))
        .route("/v1/sessions/{name}", routing::delete(remove))
        .route("/v1/sessions/{name}/restore", routing::post(restore))
}

type Name = Result<Path<String>, PathRejection>;

async fn remove(State(app): State<Arc<App>>, name: Name) -> Response {
    respond(blocking(app, |app| delete(app, &path(name)?)).await)
}

/// The model's name may follow as `?model=`: a session fits one model alone.
async fn restore(
    State(app): State<Arc<App>>,
    axum::extract::Query(asked): axum::extract::Query<Asked>,
    name: Name,
) -> Response {
    let restored = async {
        let name = path(name)?;
        with_model(app, move |app| put_back(app, asked.model.as_deref(), &name)).await
    };
    respond(restored.await)
}

#[derive(Debug, serde::Deserialize)]
struct Asked {
    model: Option<String>,
}

/// Saves what the cache has of a conversation (`messages`) or a text (`prompt`).
fn save(app: &App, caller: &Caller, body: &[u8]) -> Result<Response, Problem> {
    let files = files(app)?;
    let map = fields::object(body)?;
    let fields = Fields::of(&known::SESSIONS, &map)?;
    fields.required("name")?;
    let name = checked(fields.string("name")?.unwrap_or_default())?;
    let input = match fields.string("prompt")? {
        Some(text) => Input::text(text),
        None => Input::Chat(openai::chat(fields)?),
    };
    let model = app.model(fields.string("model")?)?;
    let salt = caller.salt(fields.string("cache_salt")?);
    let saved = model.save_session(&input, salt.as_deref())?;
    let bytes = saved.to_bytes();
    files.put(&name, &bytes).map_err(|error| failed("saved", &error))?;
    let (tokens, size) = (saved.tokens.len(), bytes.len());
    let said = json!({ "object": "session", "name": name, "model": model.info.name, "tokens": tokens, "bytes": size });
    Ok(Json(said).into_response())
}

fn list(app: &App) -> Result<Response, Problem> {
    let all = files(app)?.list().map_err(|error| failed("listed", &error))?;
    let one = |SessionFile { name, bytes, saved }| json!({ "object": "session", "name": name, "bytes": bytes, "saved": saved });
    let data: Vec<Value> = all.into_iter().map(one).collect();
    Ok(Json(json!({ "object": "list", "data": data })).into_response())
}

fn put_back(app: &App, model: Option<&str>, name: &str) -> Result<Response, Problem> {
    let bytes = files(app)?.get(name).map_err(|error| failed("read", &error))?.ok_or_else(|| unknown(name))?;
    let refused = |why| Problem::of(invalid(), "name", format!("The session {name} cannot be restored: {why}."));
    let saved = SavedPrefix::from_bytes(&bytes).map_err(refused)?;
    let model = app.model(model)?;
    let tokens = model.restore_session(saved)?;
    let said = json!({ "object": "session", "name": name, "model": model.info.name, "restored_tokens": tokens });
    Ok(Json(said).into_response())
}

fn delete(app: &App, name: &str) -> Result<Response, Problem> {
    let there = files(app)?.remove(name).map_err(|error| failed("deleted", &error))?;
    if !there {
        return Err(unknown(name));
    }
    Ok(Json(json!({ "object": "session", "name": name, "deleted": true })).into_response())
}

fn files(app: &App) -> Result<&dyn SessionFiles, Problem> {
    let files = app.sessions.get().map(Box::as_ref);
    files.ok_or_else(|| {
        Problem::new(Kind::UnknownUrl, "Sessions are not kept: start whinchat serve with --sessions DIR.")
    })
}

fn path(name: Name) -> Result<String, Problem> {
    let Path(name) = name.map_err(|error| Problem::of(invalid(), "name", format!("{}.", error.body_text())))?;
    checked(&name)
}

/// A name that is a file's on every system.
fn checked(name: &str) -> Result<String, Problem> {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if letters && !name.is_empty() && !name.starts_with('.') && name.len() <= LONGEST {
        return Ok(name.to_owned());
    }
    let message = format!(
        "name must have 1 to {LONGEST} letters (a to z, A to Z), digits, '-', '_' or '.', and not begin with '.', not {name:?}."
    );
    Err(Problem::of(invalid(), "name", message))
}

fn unknown(name: &str) -> Problem {
    Problem::of(Kind::ResponseNotFound, "name", format!("There is no session {name}; GET /v1/sessions lists them."))
}

fn invalid() -> Kind {
    Kind::Ask(answer::Kind::InvalidValue)
}

fn failed(what: &str, error: &io::Error) -> Problem {
    Problem::new(Kind::Internal, format!("The session could not be {what}: {error}."))
}

fn respond(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(|problem| openai::problem(&problem))
}
