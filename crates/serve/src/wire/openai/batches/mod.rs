//! `/v1/files` and `/v1/batches`: requests that nobody waits for, kept in a database until all are answered.

mod expiry;
mod files;
mod line;
mod lines;
mod requests;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, post};
use batch::{Owned, Store, StoreError, Who};
use serde_json::Value;
use tokio::sync::Notify;

use crate::http::Caller;
use crate::wire::now;
use crate::wire::query::Query;
use crate::{App, Kind, Problem};

/// Files and batches at once in a list, at most.
const MAX_LISTED: i64 = 10_000;

/// What is kept, and who works on it.
pub(crate) struct Batches {
    store: Store,
    /// There may be more to do, or nothing any more.
    wake: Arc<Notify>,
    /// Owners whose batches are worked on.
    owners: AtomicUsize,
}

impl Batches {
    pub(crate) fn new(store: Store) -> Batches {
        Batches { store, wake: Arc::default(), owners: AtomicUsize::new(1) }
    }

    /// How many lines of one batch are answered at once, of so many in all: each owner has its share.
    fn room(&self, all: usize) -> usize {
        (all / self.owners.load(Ordering::Relaxed)).max(1)
    }

    /// What is kept.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

impl Drop for Batches {
    /// Who works on them need not wait for more.
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

pub(crate) use work::work;

/// The routes of this part of the dialect.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/files", post(files::create).get(files::list))
        .route("/v1/files/{id}", get(files::one).delete(files::delete))
        .route("/v1/files/{id}/content", get(files::content))
        .route("/v1/batches", post(requests::create).get(requests::list))
        .route("/v1/batches/{id}", get(requests::one))
        .route("/v1/batches/{id}/cancel", post(requests::cancel))
}

/// What a path names.
type Id = Result<Path<String>, PathRejection>;

/// The name; what is no text names nothing.
fn named(id: Id) -> String {
    id.map_or_else(|_| String::new(), |Path(id)| id)
}

/// Works with what a caller has of what is kept, where it may block.
async fn with<T: Send + 'static>(
    app: &App,
    caller: &Caller,
    work: impl FnOnce(Owned<'_>) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let (kept, name, oversees) = (kept(app)?, caller.name(), caller.commands());
    let work = move || {
        // Nobody sees a file whose time is up.
        kept.store.expire_files(seconds())?;
        work(kept.store.of(match name.as_deref() {
            None => Who::Anybody,
            Some(name) if oversees => Who::Overseer(name),
            Some(name) => Who::Owner(name),
        }))
    };
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(|_| Problem::new(Kind::Internal, "The request could not be completed."))?
}

fn kept(app: &App) -> Result<Arc<Batches>, Problem> {
    app.batches.get().cloned().ok_or_else(|| {
        let message = "This server keeps no files and batches. Start it with --data-dir DIR.";
        Problem::new(Kind::Ask(::answer::Kind::Unsupported), message)
    })
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        tracing::error!("{error}");
        Problem::new(Kind::Internal, "Files and batches cannot be read or written; the server's log says why.")
    }
}

/// Seconds since 1970 as the database has them.
fn seconds() -> i64 {
    i64::try_from(now()).unwrap_or(i64::MAX)
}

/// The answer, or the problem in this dialect.
fn answered(result: Result<Response, Problem>) -> Response {
    result.unwrap_or_else(|problem| super::error::problem(&problem))
}

/// An object without the fields that have no value: the specification gives them types that null does not have.
fn present(mut object: Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

/// How a list is cut: so many entries, after the one of an id, by the address.
struct Page {
    limit: usize,
    after: Option<String>,
    purpose: Option<String>,
    ascending: bool,
}

impl Page {
    fn of(uri: &Uri, default: i64) -> Result<Page, Problem> {
        let query = Query::of(uri);
        Ok(Page {
            limit: query.integer("limit", 1..=MAX_LISTED)?.unwrap_or(default) as usize,
            after: query.get("after").map(str::to_owned),
            purpose: query.get("purpose").map(str::to_owned),
            ascending: query.word("order", &["desc", "asc"])? == Some(1),
        })
    }
}
