//! `/v1/sessions`: what the KV cache has of a conversation is saved in a file, listed, put back and deleted.

use std::io;
use std::sync::Arc;

use answer::Input;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use engine::SavedPrefix;
use serde::Deserialize;
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
    let list = |State(app): State<Arc<App>>, caller: Caller| async move {
        respond(blocking(app, move |app| list(app, &caller)).await)
    };
    Router::new()
        .route("/v1/sessions", routing::get(list).post(save))
        .route("/v1/sessions/{name}", routing::delete(remove))
        .route("/v1/sessions/{name}/restore", routing::post(restore))
}

type Name = Result<Path<String>, PathRejection>;

async fn remove(State(app): State<Arc<App>>, caller: Caller, asked: Asks, name: Name) -> Response {
    respond(blocking(app, move |app| delete(app, &Place::of(&caller, asked, path(name)?)?)).await)
}

async fn restore(State(app): State<Arc<App>>, caller: Caller, asked: Asks, name: Name) -> Response {
    let restored = async {
        let model = asked.as_ref().ok().and_then(|Query(asked)| asked.model.clone());
        let place = Place::of(&caller, asked, path(name)?)?;
        with_model(app, move |app| put_back(app, model.as_deref(), &place)).await
    };
    respond(restored.await)
}

type Asks = Result<Query<Asked>, QueryRejection>;

/// What may follow behind `?`.
#[derive(Debug, Deserialize)]
struct Asked {
    /// A session fits one model alone.
    model: Option<String>,
    /// Whose it is, for who may see what all have; nobody's if it is empty.
    owner: Option<String>,
}

/// A session by its name, and by what its file is called.
#[derive(Clone)]
struct Place {
    name: String,
    file: String,
}

impl Place {
    /// The session of this name that a caller means.
    ///
    /// # Errors
    /// If it names an owner and is not who may.
    fn of(caller: &Caller, asked: Asks, name: String) -> Result<Place, Problem> {
        let wrong = |rejection: QueryRejection| Problem::of(invalid(), "owner", format!("{}.", rejection.body_text()));
        let Query(Asked { owner, .. }) = asked.map_err(wrong)?;
        let owner = match owner {
            None => return Ok(Place::own(caller, name)),
            Some(_) if !caller.commands() => return Err(unknown(&name)),
            Some(owner) => owner,
        };
        let letters = owner.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c));
        if !letters {
            return Err(Problem::of(invalid(), "owner", format!("{owner:?} is no name of a key.")));
        }
        let file = if owner.is_empty() { name.clone() } else { format!("{owner}@{name}") };
        Ok(Place { name, file })
    }

    /// A caller's own session.
    fn own(caller: &Caller, name: String) -> Place {
        let file = caller.name().map_or_else(|| name.clone(), |owner| format!("{owner}@{name}"));
        Place { name, file }
    }
}

/// Saves what the cache has of a conversation (`messages`) or a text (`prompt`).
fn save(app: &App, caller: &Caller, body: &[u8]) -> Result<Response, Problem> {
    let files = files(app)?;
    let map = fields::object(body)?;
    let fields = Fields::of(&known::SESSIONS, &map)?;
    fields.required("name")?;
    let Place { name, file } = Place::own(caller, checked(fields.string("name")?.unwrap_or_default())?);
    let input = match fields.string("prompt")? {
        Some(text) => Input::text(text),
        None => Input::Chat(openai::chat(fields)?),
    };
    let model = app.model(fields.string("model")?)?;
    let salt = caller.salt(fields.string("cache_salt")?);
    let saved = model.save_session(&input, salt.as_deref(), model.adapter().map(|adapter| &**adapter))?;
    let bytes = saved.to_bytes();
    room(app, caller, (&file, bytes.len() as u64))?;
    files.put(&file, &bytes).map_err(|error| failed("saved", &error))?;
    let (tokens, size) = (saved.tokens.len(), bytes.len());
    let said = json!({ "object": "session", "name": name, "model": model.name(), "tokens": tokens, "bytes": size });
    Ok(Json(said).into_response())
}

/// Whether the caller may keep so many bytes in this file.
fn room(app: &App, caller: &Caller, (file, bytes): (&str, u64)) -> Result<(), Problem> {
    let Some(owner) = caller.name().filter(|_| !caller.commands()) else { return Ok(()) };
    let all = files(app)?.list().map_err(|error| failed("saved", &error))?;
    let own = |session: &&SessionFile| {
        session.name != file && session.name.rsplit_once('@').is_some_and(|(whose, _)| *whose == *owner)
    };
    let (kept, most) = (all.iter().filter(own).map(|session| session.bytes).sum::<u64>(), app.file_bytes() as u64);
    if kept.saturating_add(bytes) <= most {
        return Ok(());
    }
    let message = format!(
        "The sessions of this key have {kept} bytes, and this one {bytes} more; they may have {most} in all. Delete some first."
    );
    Err(Problem::new(Kind::TooLarge, message))
}

/// A caller's sessions; everybody's, and whose they are, for who may see what all have.
fn list(app: &App, caller: &Caller) -> Result<Response, Problem> {
    let all = files(app)?.list().map_err(|error| failed("listed", &error))?;
    let (own, oversees) = (caller.name(), caller.commands());
    let one = |SessionFile { name, bytes, saved }: SessionFile| {
        // The name of a session has no @, that of its owner may.
        let (owner, name) = name.rsplit_once('@').map_or((None, &*name), |(owner, name)| (Some(owner), name));
        let mut said = json!({ "object": "session", "name": name, "bytes": bytes, "saved": saved });
        if let Some(owner) = owner.filter(|_| oversees) {
            said["owner"] = json!(owner);
        }
        (oversees || owner == own.as_deref()).then_some(said)
    };
    let data: Vec<Value> = all.into_iter().filter_map(one).collect();
    Ok(Json(json!({ "object": "list", "data": data })).into_response())
}

fn put_back(app: &App, model: Option<&str>, Place { name, file }: &Place) -> Result<Response, Problem> {
    let bytes = files(app)?.get(file).map_err(|error| failed("read", &error))?.ok_or_else(|| unknown(name))?;
    let refused = |why| Problem::of(invalid(), "name", format!("The session {name} cannot be restored: {why}."));
    let saved = SavedPrefix::from_bytes(&bytes).map_err(refused)?;
    let model = app.model(model)?;
    let tokens = model.restore_session(saved)?;
    let said = json!({ "object": "session", "name": name, "model": model.info.name, "restored_tokens": tokens });
    Ok(Json(said).into_response())
}

fn delete(app: &App, Place { name, file }: &Place) -> Result<Response, Problem> {
    let there = files(app)?.remove(file).map_err(|error| failed("deleted", &error))?;
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
