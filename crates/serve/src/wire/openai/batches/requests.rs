//! `/v1/batches`.

use std::sync::Arc;

use answer::Kind as Asked;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use batch::{Batch, Counts, NewBatch, Owned, Status};
use serde_json::{Value, json};

use super::{Id, Page, answered, expiry, files, kept, lines, named, present, seconds, with};
use crate::http::{Caller, body};
use crate::wire::fields::{self, Fields};
use crate::wire::{known, unique};
use crate::{App, Kind, Problem};

/// Where the requests of a batch may go.
const ENDPOINTS: [&str; 4] = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"];

/// Pairs of a batch's metadata at most.
const MAX_METADATA: usize = 16;

const HOUR: i64 = 3600;

/// What is asked for.
struct Asks {
    endpoint: String,
    input: String,
    metadata: Option<String>,
    seconds: i64,
    output_expires: Option<i64>,
}

pub(super) async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    answered(created(&app, request).await)
}

async fn created(app: &App, request: Request) -> Result<Response, Problem> {
    let wake = kept(app)?;
    let (head, body) = request.into_parts();
    let asks = asks(&body::read(&head, body).await?)?;
    let caller = Caller::of(&head.extensions);
    let most = files::most(app, &caller);
    let batch = with(app, &caller, move |store| {
        let content = store.content(&asks.input)?.ok_or_else(|| files::absent(&asks.input))?;
        files::room(store, content.len(), most)?;
        let lines = lines::read(&content, &asks.endpoint).map_err(|problems| problems.to_string());
        let (id, created) = (unique("batch_"), seconds());
        store.add_batch(&NewBatch {
            id: &id,
            endpoint: &asks.endpoint,
            input: &asks.input,
            metadata: asks.metadata.as_deref(),
            created,
            expires: created.saturating_add(asks.seconds),
            output_expires: asks.output_expires,
            lines: lines.as_deref().map_err(String::as_str),
        })?;
        store.batch(&id)?.ok_or_else(|| absent(&id))
    })
    .await?;
    wake.wake.notify_one();
    Ok(shown(&batch).into_response())
}

fn asks(body: &[u8]) -> Result<Asks, Problem> {
    let map = fields::object(body)?;
    let fields = Fields::of(&known::BATCHES, &map)?;
    let text = |name: &str| -> Result<&str, Problem> {
        fields.required(name)?;
        Ok(fields.string(name)?.unwrap_or_default())
    };
    let (input, endpoint, window) = (text("input_file_id")?, text("endpoint")?, text("completion_window")?);
    if !ENDPOINTS.contains(&endpoint) {
        let message = format!("endpoint must be one of {}, but it is `{endpoint}`.", ENDPOINTS.join(", "));
        return Err(Problem::of(Kind::Ask(Asked::InvalidValue), "endpoint", message));
    }
    let hours =
        window.strip_suffix('h').and_then(|hours| hours.parse().ok()).filter(|hours| (1..=8760).contains(hours));
    let hours: i64 = hours.ok_or_else(|| {
        let message = format!("completion_window must be a number of hours such as 24h, but it is `{window}`.");
        Problem::of(Kind::Ask(Asked::InvalidValue), "completion_window", message)
    })?;
    let metadata = fields.object("metadata")?;
    if metadata.is_some_and(|pairs| pairs.len() > MAX_METADATA || pairs.values().any(|value| !value.is_string())) {
        let message = format!("metadata must have at most {MAX_METADATA} pairs of strings.");
        return Err(Problem::of(Kind::Ask(Asked::InvalidValue), "metadata", message));
    }
    let metadata = metadata.map(|pairs| Value::Object(pairs.clone()).to_string());
    let output_expires = expiry::seconds("output_expires_after", fields.object("output_expires_after")?)?;
    let (endpoint, input) = (endpoint.to_owned(), input.to_owned());
    Ok(Asks { endpoint, input, metadata, seconds: hours * HOUR, output_expires })
}

pub(super) async fn list(State(app): State<Arc<App>>, caller: Caller, uri: Uri) -> Response {
    let listed = async {
        let page = Page::of(&uri, 20)?;
        let listed = move |store: Owned<'_>| Ok(store.batches(page.after.as_deref(), page.limit + 1)?);
        let mut batches = with(&app, &caller, listed).await?;
        let has_more = batches.len() > page.limit;
        batches.truncate(page.limit);
        let id = |batch: Option<&(Batch, Counts)>| batch.map_or(String::new(), |(batch, _)| batch.id.clone());
        let (first, last) = (id(batches.first()), id(batches.last()));
        let data: Vec<Value> = batches.iter().map(object).collect();
        let list = json!({ "object": "list", "data": data, "has_more": has_more, "first_id": first, "last_id": last });
        Ok(Json(list).into_response())
    };
    answered(listed.await)
}

pub(super) async fn one(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Response {
    let id = named(id);
    let found = with(&app, &caller, move |store| store.batch(&id)?.ok_or_else(|| absent(&id))).await;
    answered(found.map(|batch| shown(&batch).into_response()))
}

/// A batch that has ended stays as it is.
pub(super) async fn cancel(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Response {
    let id = named(id);
    let asked = with(&app, &caller, move |store| {
        store.cancel(&id, seconds())?;
        store.batch(&id)?.ok_or_else(|| absent(&id))
    })
    .await;
    if let Some(batches) = app.batches.get() {
        batches.wake.notify_one();
    }
    answered(asked.map(|batch| shown(&batch).into_response()))
}

fn absent(id: &str) -> Problem {
    Problem::of(Kind::BatchNotFound, "id", format!("There is no batch `{id}`."))
}

fn shown(batch: &(Batch, Counts)) -> Json<Value> {
    Json(object(batch))
}

fn object((batch, counts): &(Batch, Counts)) -> Value {
    let json = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let ended = |status: Status| batch.ended.filter(|_| batch.status == status);
    present(json!({
        "id": batch.id, "object": "batch", "endpoint": batch.endpoint, "errors": json(&batch.problem),
        "input_file_id": batch.input, "completion_window": format!("{}h", (batch.expires - batch.created) / HOUR),
        "status": batch.status.name(), "output_file_id": batch.output, "error_file_id": batch.errors,
        "created_at": batch.created, "in_progress_at": Some(batch.created).filter(|_| batch.status != Status::Failed),
        "expires_at": batch.expires, "finalizing_at": ended(Status::Completed),
        "completed_at": ended(Status::Completed), "failed_at": ended(Status::Failed),
        "expired_at": ended(Status::Expired), "cancelling_at": batch.cancelling,
        "cancelled_at": ended(Status::Cancelled), "metadata": json(&batch.metadata),
        "request_counts": { "total": counts.total, "completed": counts.completed, "failed": counts.failed },
    }))
}
