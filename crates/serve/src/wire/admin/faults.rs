//! `/admin/faults`: faults on purpose are injected, listed and ended. Errors are OpenAI's.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderName};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{Name, check_local, path, respond};
use crate::faults::{Fault, Harm, Whom, Wish};
use crate::http::body;
use crate::wire::fields::{self, Fields, within};
use crate::wire::known;
use crate::{App, Kind, Problem};

/// Seconds that a fault lasts at most: each ends by itself.
const LONGEST: i64 = 24 * 3600;

/// Milliseconds by which an event of an answer is held back at most.
const SLOWEST: RangeInclusive<i64> = 1..=600_000;

/// Milliseconds that a batch takes longer at most: everybody in it waits.
const SLOWEST_BATCH: RangeInclusive<i64> = 1..=10_000;

/// Letters of a message at most.
const LONGEST_MESSAGE: usize = 1024;

/// Fields that every kind has.
const COMMON: [&str; 6] = ["kind", "seconds", "share", "salt", "times", "match"];

/// Whom a fault may name.
const WHOM: [&str; 5] = ["model", "path", "key", "user", "header"];

/// Every kind, and the fields that it has besides.
const KINDS: [(&str, &[&str]); 9] = [
    ("delay", &["milliseconds"]),
    ("error", &["status", "message", "retry_after"]),
    ("panic", &[]),
    ("executor_failure", &["message"]),
    ("device_loss", &["message"]),
    ("slow_executor", &["milliseconds"]),
    ("memory_shortage", &["memory_share"]),
    ("slow_stream", &["milliseconds"]),
    ("cut_stream", &["after"]),
];

/// The routes.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/admin/faults", get(list).post(inject).delete(heal_all))
        .route("/admin/faults/{id}", get(one).delete(heal))
}

/// The faults that last, as JSON.
pub(crate) fn all(app: &App) -> Vec<Value> {
    if !app.faults.last() {
        return Vec::new();
    }
    let now = Instant::now();
    app.faults.now(now).iter().map(|fault| described(fault, now)).collect()
}

async fn list(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(check(&app, request.extensions()).map(|()| json!({ "object": "list", "data": all(&app) })))
}

async fn one(State(app): State<Arc<App>>, name: Name, request: Request) -> Response {
    let found = || {
        check(&app, request.extensions())?;
        let id = path(name)?;
        all(&app).into_iter().find(|fault| fault["id"] == id.as_str()).ok_or_else(|| unknown(&id))
    };
    respond(found())
}

async fn inject(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(try_inject(&app, request).await)
}

async fn try_inject(app: &App, request: Request) -> Result<Value, Problem> {
    check(app, request.extensions())?;
    let (head, body) = request.into_parts();
    let map = fields::object(&body::read(&head, body).await?)?;
    let (wish, now) = (wish(&map)?, Instant::now());
    Ok(described(&*app.inject(wish, now)?, now))
}

async fn heal(State(app): State<Arc<App>>, name: Name, request: Request) -> Response {
    let healed = || {
        check(&app, request.extensions())?;
        let id = path(name)?;
        let ended = app.heal(|fault| fault.id == id);
        if ended.is_empty() { Err(unknown(&id)) } else { Ok(json!({ "id": id, "object": "fault", "deleted": true })) }
    };
    respond(healed())
}

async fn heal_all(State(app): State<Arc<App>>, request: Request) -> Response {
    let healed = || {
        check(&app, request.extensions())?;
        Ok(json!({ "object": "list", "deleted": app.heal(|_| true) }))
    };
    respond(healed())
}

/// Whether faults may be injected, and who asks may do it.
fn check(app: &App, extensions: &Extensions) -> Result<(), Problem> {
    if !app.faults.are_allowed() {
        let message = "This server injects no faults: start whinchat serve with --allow-faults to let it.";
        return Err(Problem::new(Kind::FaultsOff, message));
    }
    check_local(extensions)
}

fn unknown(id: &str) -> Problem {
    let message = format!("No fault {id:?} lasts: it has ended, or there never was one. GET /admin/faults lists them.");
    Problem::of(Kind::FaultNotFound, "id", message)
}

/// What a body wishes for. What is not known is refused: a match with a mistake in it would hit everybody.
fn wish(map: &Map<String, Value>) -> Result<Wish, Problem> {
    let fields = Fields::of(&known::INJECT, map)?;
    fields.required("kind")?;
    let kind = fields.string("kind")?.unwrap_or_default();
    let Some((_, own)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        let all = KINDS.map(|(name, _)| name).join(", ");
        return Err(refused("kind", format!("kind must be one of {all}, but it is {kind:?}.")));
    };
    check_known(map, "", &[&COMMON, *own].concat())?;
    fields.required("seconds")?;
    let harm = harm(kind, fields)?;
    let share = share("share", fields)?.unwrap_or(1.0);
    let whom = fields.object("match")?.map(whom).transpose()?.unwrap_or_default();
    let wish = Wish {
        harm,
        whom,
        share,
        salt: fields.string("salt")?.map(str::to_owned),
        times: fields.integer("times", 1..)?.map(i64::unsigned_abs),
        lasts: Duration::from_secs(fields.integer("seconds", 1..=LONGEST)?.unwrap_or(1).unsigned_abs()),
    };
    if matches!(wish.harm, Harm::MemoryShortage(_)) {
        check_of_models(&wish)?;
    }
    Ok(wish)
}

fn harm(kind: &str, fields: Fields<'_>) -> Result<Harm, Problem> {
    let time = |range: RangeInclusive<i64>| {
        fields.required("milliseconds")?;
        Ok::<_, Problem>(Duration::from_millis(fields.integer("milliseconds", range)?.unwrap_or(1).unsigned_abs()))
    };
    Ok(match kind {
        "delay" => Harm::Delay(time(SLOWEST)?),
        "error" => Harm::Error {
            status: fields.integer("status", 400..=599)?.and_then(|status| status.try_into().ok()).unwrap_or(500),
            message: message(fields)?,
            retry_after: fields.integer("retry_after", 1..=600)?.map(|time| Duration::from_secs(time.unsigned_abs())),
        },
        "panic" => Harm::Panic,
        "executor_failure" => Harm::ExecutorFailure(message(fields)?),
        "device_loss" => Harm::DeviceLoss(message(fields)?),
        "slow_executor" => Harm::SlowExecutor(time(SLOWEST_BATCH)?),
        "memory_shortage" => {
            fields.required("memory_share")?;
            Harm::MemoryShortage(share("memory_share", fields)?.unwrap_or_default())
        }
        "slow_stream" => Harm::SlowStream(time(SLOWEST)?),
        _ => Harm::CutStream(fields.count("after", 0)?.unwrap_or(1)),
    })
}

/// A share of something, as exactly as it is written.
fn share(name: &str, fields: Fields<'_>) -> Result<Option<f64>, Problem> {
    fields.number(name, 0.0..=1.0)?;
    Ok(fields.get(name).and_then(Value::as_f64))
}

fn message(fields: Fields<'_>) -> Result<Option<String>, Problem> {
    let message = fields.string("message")?;
    if message.is_some_and(|message| message.len() > LONGEST_MESSAGE) {
        return Err(refused("message", format!("message must have at most {LONGEST_MESSAGE} bytes.")));
    }
    Ok(message.map(str::to_owned))
}

fn whom(map: &Map<String, Value>) -> Result<Whom, Problem> {
    check_known(map, "match.", &WHOM)?;
    let fields = Fields::new(map);
    let text = |name: &str| Ok::<_, Problem>(fields.string(name).map_err(|e| within("match", e))?.map(str::to_owned));
    let header = fields.object("header").map_err(|e| within("match", e))?.map(header).transpose()?;
    Ok(Whom { model: text("model")?, path: text("path")?, key: text("key")?, user: text("user")?, header })
}

fn header(map: &Map<String, Value>) -> Result<(HeaderName, String), Problem> {
    check_known(map, "match.header.", &["name", "value"])?;
    let fields = Fields::new(map);
    let text =
        |name: &str| fields.required(name).and_then(|_| fields.string(name)).map_err(|e| within("match.header", e));
    let (name, value) = (text("name")?.unwrap_or_default(), text("value")?.unwrap_or_default());
    let known = name.parse().map_err(|_| refused("match.header.name", format!("{name:?} is no name of a header.")))?;
    Ok((known, value.to_owned()))
}

/// Memory is taken from models, not from requests.
fn check_of_models(wish: &Wish) -> Result<(), Problem> {
    let Whom { path, key, user, header, .. } = &wish.whom;
    let of_requests = path.is_some() || key.is_some() || user.is_some() || header.is_some();
    if of_requests || wish.share < 1.0 {
        let message =
            "memory_shortage takes memory from a model, not from requests: match by model alone, without share.";
        return Err(refused("match", message.to_owned()));
    }
    Ok(())
}

fn check_known(map: &Map<String, Value>, path: &str, known: &[&str]) -> Result<(), Problem> {
    match map.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let param = format!("{path}{name}");
            let message = format!("There is no {param} here; there is {path}{}.", known.join(&format!(", {path}")));
            Err(refused(&param, message))
        }
    }
}

fn refused(param: &str, message: String) -> Problem {
    Problem::of(Kind::Ask(answer::Kind::InvalidValue), param, message)
}

/// A fault as it was ordered, with what became of it.
fn described(fault: &Fault, now: Instant) -> Value {
    let mut said = json!({
        "id": fault.id,
        "object": "fault",
        "kind": fault.harm.name(),
        "share": fault.share,
        "salt": fault.salt,
        "times": fault.times,
        "match": described_whom(&fault.whom),
        "hits": fault.hit(),
        "ends_in": fault.until.saturating_duration_since(now).as_secs_f64(),
    });
    if let (Value::Object(said), Value::Object(more)) = (&mut said, described_harm(&fault.harm)) {
        said.extend(more);
    }
    said
}

fn described_whom(whom: &Whom) -> Value {
    let Whom { model, path, key, user, header } = whom;
    let header = header.as_ref().map(|(name, value)| json!({ "name": name.as_str(), "value": value }));
    let all = json!({ "model": model, "path": path, "key": key, "user": user, "header": header });
    let Value::Object(all) = all else { return Value::Null };
    all.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into()
}

fn described_harm(harm: &Harm) -> Value {
    let millis = |time: &Duration| json!({ "milliseconds": time.as_millis() as u64 });
    match harm {
        Harm::Delay(time) | Harm::SlowExecutor(time) | Harm::SlowStream(time) => millis(time),
        Harm::Error { status, message, retry_after } => {
            json!({ "status": status, "message": message, "retry_after": retry_after.map(|time| time.as_secs()) })
        }
        Harm::ExecutorFailure(message) | Harm::DeviceLoss(message) => json!({ "message": message }),
        Harm::MemoryShortage(share) => json!({ "memory_share": share }),
        Harm::CutStream(after) => json!({ "after": after }),
        Harm::Panic => json!({}),
    }
}
