//! `/v1/files`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use batch::{File, NewFile, Owned};
use serde_json::{Map, Value, json};

use super::{Id, Page, answered, expiry, named, present, seconds, with};
use crate::http::{Caller, body};
use crate::wire::unique;
use crate::{App, Kind, Problem};

/// What a file may be for; only batches read them.
const PURPOSES: [&str; 6] = ["batch", "assistants", "fine-tune", "vision", "user_data", "evals"];

/// The parts of a form that say when a file is forgotten, as OpenAI's clients write them.
const EXPIRY: [(&str, &str); 2] = [("expires_after[anchor]", "anchor"), ("expires_after[seconds]", "seconds")];

/// A file that arrived as a form.
struct Form {
    name: String,
    purpose: String,
    /// After how many seconds it is forgotten.
    expires: Option<i64>,
    content: Vec<u8>,
}

pub(super) async fn create(State(app): State<Arc<App>>, request: Request) -> Response {
    answered(created(&app, request).await)
}

async fn created(app: &App, request: Request) -> Result<Response, Problem> {
    super::kept(app)?;
    let (head, body) = request.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let boundary = multer::parse_boundary(kind.unwrap_or_default()).map_err(|_| {
        let message = "A file is sent as multipart/form-data with the fields purpose and file.";
        Problem::new(Kind::Ask(answer::Kind::InvalidValue), message)
    })?;
    let caller = Caller::of(&head.extensions);
    let body = body::read(&head, body).await?;
    let Form { name, purpose, expires, content } = form(&body, boundary).await?;
    drop(body);
    let most = most(app, &caller);
    let file = with(app, &caller, move |store| {
        room(store, content.len(), most)?;
        let (id, created) = (unique("file-"), seconds());
        let expires = expires.map(|after| created.saturating_add(after));
        store.add_file(&NewFile { id: &id, name: &name, purpose: &purpose, created, expires, content: &content })?;
        Ok(File { id, name, purpose, created, expires, bytes: content.len() as i64 })
    })
    .await?;
    Ok(Json(shown(&file)).into_response())
}

/// How many bytes a caller may keep; of who may see what others have, as many as the disk has.
pub(super) fn most(app: &App, caller: &Caller) -> Option<u64> {
    Some(app.file_bytes() as u64).filter(|_| !caller.commands())
}

/// Whether the caller may keep so many bytes more.
pub(super) fn room(store: Owned<'_>, more: usize, most: Option<u64>) -> Result<(), Problem> {
    let Some(most) = most else { return Ok(()) };
    let kept = store.bytes()?;
    if kept.saturating_add(more as u64) <= most {
        return Ok(());
    }
    let message = format!(
        "The files and open batches of this key have {kept} bytes, and this one {more} more; they may have {most} in all. \
         Delete some files first."
    );
    Err(Problem::of(Kind::TooLarge, "file", message))
}

async fn form(body: &[u8], boundary: String) -> Result<Form, Problem> {
    let invalid = |what: &str, message: String| Problem::of(Kind::Ask(answer::Kind::InvalidValue), what, message);
    let broken = |e: multer::Error| invalid("body", format!("The form cannot be read: {e}."));
    let (mut purpose, mut file, mut policy) = (None, None, Map::new());
    let mut parts = multer::Multipart::with_reader(body, boundary);
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let (field, name) = (part.name().unwrap_or_default().to_owned(), part.file_name().map(str::to_owned));
        match field.as_str() {
            "purpose" => purpose = Some(part.text().await.map_err(broken)?),
            "file" => {
                let content = part.bytes().await.map_err(broken)?;
                file = Some((name.unwrap_or_else(|| "file".into()), content.to_vec()));
            }
            field => {
                // As with other requests, a field that is unknown is ignored.
                let Some((_, known)) = EXPIRY.iter().find(|(name, _)| *name == field) else { continue };
                let text = part.text().await.map_err(broken)?;
                policy.insert((*known).to_owned(), text.parse::<i64>().map_or_else(|_| json!(text), Value::from));
            }
        }
    }
    let missing = |field: &str| Problem::of(Kind::Ask(answer::Kind::Missing), field, format!("{field} is missing."));
    let purpose = purpose.ok_or_else(|| missing("purpose"))?;
    if !PURPOSES.contains(&purpose.as_str()) {
        let message = format!("purpose must be one of {}, but it is `{purpose}`.", PURPOSES.join(", "));
        return Err(invalid("purpose", message));
    }
    let (name, content) = file.ok_or_else(|| missing("file"))?;
    let expires = expiry::seconds("expires_after", Some(&policy).filter(|policy| !policy.is_empty()))?;
    Ok(Form { name, purpose, expires, content })
}

pub(super) async fn list(State(app): State<Arc<App>>, caller: Caller, uri: Uri) -> Response {
    let listed = async {
        let page = Page::of(&uri, super::MAX_LISTED)?;
        let mut files = with(&app, &caller, move |store| {
            Ok(store.files(page.purpose.as_deref(), page.ascending, page.after.as_deref(), page.limit + 1)?)
        })
        .await?;
        let has_more = files.len() > page.limit;
        files.truncate(page.limit);
        let id = |file: Option<&File>| file.map_or(String::new(), |file| file.id.clone());
        let (first, last) = (id(files.first()), id(files.last()));
        let data: Vec<Value> = files.iter().map(shown).collect();
        let list = json!({ "object": "list", "data": data, "has_more": has_more, "first_id": first, "last_id": last });
        Ok(Json(list).into_response())
    };
    answered(listed.await)
}

pub(super) async fn one(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Response {
    let id = named(id);
    let found = with(&app, &caller, move |store| store.file(&id)?.ok_or_else(|| absent(&id))).await;
    answered(found.map(|file| Json(shown(&file)).into_response()))
}

pub(super) async fn content(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Response {
    let id = named(id);
    let found = with(&app, &caller, move |store| store.content(&id)?.ok_or_else(|| absent(&id))).await;
    answered(found.map(|content| ([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response()))
}

pub(super) async fn delete(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Response {
    let id = named(id);
    let gone = with(&app, &caller, move |store| if store.delete_file(&id)? { Ok(id) } else { Err(absent(&id)) }).await;
    answered(gone.map(|id| Json(json!({ "id": id, "object": "file", "deleted": true })).into_response()))
}

pub(super) fn absent(id: &str) -> Problem {
    Problem::of(Kind::FileNotFound, "id", format!("There is no file `{id}`."))
}

fn shown(file: &File) -> Value {
    let File { id, name, purpose, created, expires, bytes } = file;
    present(json!({
        "id": id, "object": "file", "bytes": bytes, "created_at": created, "expires_at": expires, "filename": name,
        "purpose": purpose, "status": "processed",
    }))
}
