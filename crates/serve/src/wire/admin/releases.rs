//! `/admin/releases`: releases are begun, watched, held, sent on and ended, and say afterwards why they did what they did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Extensions;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use release::Event;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Name, check, checked_version, done, path, plan, respond};
use crate::http::{Settings, body};
use crate::releases::{Candidate, Journal, KnownBefore, Trial, Wanted, decision, explained, history, shown};
use crate::wire::fields::{self, Fields};
use crate::wire::query::Query;
use crate::wire::{Frame, openai, stream};
use crate::{App, Kind, LoadOrder, Problem};

/// Letters of a release's name at most.
const LONGEST_NAME: usize = 200;

/// Scores of an evaluation at most.
const MOST_SCORES: usize = 100;

/// What changes is told after this time at the soonest.
const SOON: Duration = Duration::from_millis(200);

/// The routes.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/admin/releases", get(list).post(start))
        .route("/admin/releases/{id}", get(one))
        .route("/admin/releases/{id}/watch", get(watch))
        .route("/admin/releases/{id}/history", get(journal))
        .route("/admin/releases/{id}/explain", get(explain))
        .route("/admin/releases/{id}/baseline", get(baseline))
        .route("/admin/releases/{id}/{command}", post(command))
}

async fn list(State(app): State<Arc<App>>, request: Request) -> Response {
    let told = || {
        check(&app, request.extensions())?;
        let query = Query::of(request.uri());
        let route = query.get("route");
        let wanted = |trial: &&Arc<Trial>| route.is_none_or(|route| trial.about().route == route);
        let all = app.routes.releases.all();
        let data: Vec<Value> = all.iter().rev().filter(wanted).map(|trial| shown(trial)).collect();
        Ok(json!({ "object": "list", "data": data }))
    };
    respond(told())
}

async fn start(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(try_start(app, request).await)
}

async fn try_start(app: Arc<App>, request: Request) -> Result<Value, Problem> {
    check(&app, request.extensions())?;
    let (head, body) = request.into_parts();
    let wanted = wanted(&app, &body::read(&head, body).await?)?;
    done(async move {
        let trial = app.start_release(wanted).await?;
        Ok(shown(&trial))
    })
    .await
}

/// What a body may have: all, and what goes with a source alone.
const FIELDS: [&str; 13] = [
    "route",
    "candidate",
    "source",
    "version",
    "context",
    "kv_tokens",
    "max_sequences",
    "draft_model",
    "name",
    "weight_type",
    "bytes",
    "quality",
    "plan",
];
const OF_SOURCES: [&str; 5] = ["version", "context", "kv_tokens", "max_sequences", "draft_model"];

/// What a body asks for.
fn wanted(app: &App, body: &[u8]) -> Result<Wanted, Problem> {
    let map = fields::object(body)?;
    if let Some(unknown) = map.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        let message = format!("There is no field {unknown}; a release has {}.", FIELDS.join(", "));
        return Err(refused(unknown, message));
    }
    let fields = Fields::new(&map);
    fields.required("route")?;
    let route = fields.string("route")?.unwrap_or_default().to_owned();
    let candidate = candidate(fields, &map)?;
    let name = fields.string("name")?.map(|name| name.chars().take(LONGEST_NAME).collect());
    let plan = plan::read(map.get("plan"), app.usual_plan(&route))?;
    Ok(Wanted { route, candidate, known: known(fields, &map)?, name, plan })
}

fn candidate(fields: Fields<'_>, map: &Map<String, Value>) -> Result<Candidate, Problem> {
    match (fields.string("candidate")?, fields.string("source")?) {
        (Some(name), None) => match OF_SOURCES.iter().find(|field| map.contains_key(**field)) {
            None => Ok(Candidate::Known(name.to_owned())),
            Some(field) => {
                let message = format!("{field} goes with source; {name} is a model that is known as it is.");
                Err(refused(field, message))
            }
        },
        (None, Some(source)) => Ok(Candidate::Source(LoadOrder {
            source: source.to_owned(),
            version: fields.string("version")?.map(checked_version).transpose()?,
            context: fields.count("context", 1)?,
            kv_tokens: fields.count("kv_tokens", 1)?,
            max_sequences: fields.count("max_sequences", 1)?,
            draft_model: fields.string("draft_model")?.map(str::to_owned),
            ..LoadOrder::default()
        })),
        (Some(_), Some(_)) => Err(refused("source", "candidate and source exclude each other.".to_owned())),
        (None, None) => {
            let message = "Name the candidate: a model that is served (candidate), or what to load (source).";
            Err(Problem::of(Kind::Ask(answer::Kind::Missing), "candidate", message))
        }
    }
}

/// What is known of the candidate before anybody asks it.
fn known(fields: Fields<'_>, map: &Map<String, Value>) -> Result<KnownBefore, Problem> {
    let scores = |given: &Value| serde_json::from_value::<BTreeMap<String, f64>>(given.clone()).ok();
    let quality = match map.get("quality").filter(|given| !given.is_null()).map(scores) {
        None => BTreeMap::new(),
        Some(Some(scores)) if scores.len() <= MOST_SCORES => scores,
        Some(_) => {
            let message = format!("quality must be an object of at most {MOST_SCORES} numbers by their names.");
            return Err(refused("quality", message));
        }
    };
    let weight_type = fields.string("weight_type")?.unwrap_or_default().chars().take(LONGEST_NAME).collect();
    Ok(KnownBefore { weight_type, bytes: fields.count("bytes", 0)?.unwrap_or(0) as u64, quality })
}

async fn one(State(app): State<Arc<App>>, name: Name, request: Request) -> Response {
    respond(found(&app, name, request.extensions()).map(|trial| shown(&trial)))
}

fn found(app: &App, name: Name, extensions: &Extensions) -> Result<Arc<Trial>, Problem> {
    check(app, extensions)?;
    app.routes.releases.find(&path(name)?)
}

type Command = Result<axum::extract::Path<(String, String)>, axum::extract::rejection::PathRejection>;

async fn command(State(app): State<Arc<App>>, names: Command, request: Request) -> Response {
    respond(try_command(app, names, request).await)
}

async fn try_command(app: Arc<App>, names: Command, request: Request) -> Result<Value, Problem> {
    check(&app, request.extensions())?;
    let names = names.map_err(|error| Problem::of(Kind::ReleaseNotFound, "id", format!("{}.", error.body_text())))?;
    let axum::extract::Path((id, word)) = names;
    let trial = app.routes.releases.find(&id)?;
    let (head, body) = request.into_parts();
    let body = body::read(&head, body).await?;
    let map = if body.is_empty() { Map::new() } else { fields::object(&body)? };
    let why = Fields::new(&map).string("why")?.map(str::to_owned);
    let event = match word.as_str() {
        "pause" => Event::Pause,
        "resume" => Event::Resume,
        "promote" => Event::Promote,
        "abort" => Event::Abort { why: why.unwrap_or_else(|| "somebody ended it".to_owned()) },
        _ => {
            let message = format!("There is no {word} of a release; there is pause, resume, promote and abort.");
            return Err(Problem::new(Kind::UnknownUrl, message));
        }
    };
    done(async move {
        trial.command(event).await?;
        Ok(shown(&trial))
    })
    .await
}

async fn journal(State(app): State<Arc<App>>, name: Name, request: Request) -> Response {
    let all = Query::of(request.uri()).bool("all");
    let trial = found(&app, name, request.extensions());
    drop(request);
    let read = async {
        let all = all?;
        read(&app, trial?, move |journal| Ok(json!({ "object": "list", "data": history(journal, all) }))).await
    };
    respond(read.await)
}

async fn explain(State(app): State<Arc<App>>, name: Name, request: Request) -> Response {
    let trial = found(&app, name, request.extensions());
    drop(request);
    let read = async { read(&app, trial?, explained).await };
    respond(read.await)
}

/// Reads a journal where it may block.
async fn read(
    app: &Arc<App>,
    trial: Arc<Trial>,
    tell: impl FnOnce(&Journal) -> Result<Value, Problem> + Send + 'static,
) -> Result<Value, Problem> {
    let app = Arc::clone(app);
    let read = tokio::task::spawn_blocking(move || tell(&Journal::of(&app, &trial)?));
    read.await.map_err(|_| Problem::new(Kind::Internal, "The journal could not be read; the server's log says why."))?
}

async fn baseline(State(app): State<Arc<App>>, name: Name, request: Request) -> Response {
    let told = found(&app, name, request.extensions()).and_then(|trial| {
        let about = trial.about();
        let none = || {
            let message =
                format!("The release {} has left no baseline yet: it has not ended, or nobody asked.", about.id);
            Problem::of(Kind::ReleaseNotFound, "id", message)
        };
        about.baseline.as_ref().map(|baseline| json!(baseline)).ok_or_else(none)
    });
    respond(told)
}

/// How a release stands, and what it decides, as events, until it has ended.
async fn watch(State(app): State<Arc<App>>, name: Name, request: Request) -> Response {
    let trial = match found(&app, name, request.extensions()) {
        Ok(trial) => trial,
        Err(problem) => return openai::problem(&problem),
    };
    let pings = Settings::of(request.extensions()).ping_interval;
    let (to, frames) = mpsc::channel(16);
    tokio::spawn(tell(trial, to));
    stream::relayed(frames, pings).into_response()
}

async fn tell(trial: Arc<Trial>, to: mpsc::Sender<Frame>) {
    let mut view = trial.view();
    let mut told = 0;
    loop {
        let now = Arc::clone(&view.borrow_and_update());
        let about = trial.about().clone();
        let mut frames = vec![Frame::named("release", &shown(&trial))];
        let decisions = now.decisions.iter().skip(told);
        frames.extend(decisions.map(|(at, one)| Frame::named("decision", &decision(&about, *at, one))));
        told = now.decisions.len();
        for frame in frames {
            if to.send(frame).await.is_err() {
                return;
            }
        }
        if now.status.verdict.is_some() {
            return;
        }
        // Not more often than somebody can look; and no longer than there is somebody.
        let _ = timeout(SOON, to.closed()).await;
        tokio::select! {
            changed = view.changed() => if changed.is_err() { return },
            () = to.closed() => return,
        }
    }
}

fn refused(param: &str, message: String) -> Problem {
    Problem::of(Kind::Ask(answer::Kind::InvalidValue), param, message)
}
