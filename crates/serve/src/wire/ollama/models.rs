//! What is said of models: `/api/tags`, `/api/ps`, `/api/show`, and `/api/version`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use super::error;
use crate::models::{Card, Catalog, Entry, Version};
use crate::wire::fields::{self, Fields};
use crate::wire::{known, reply};
use crate::{App, Problem};

/// The version of Ollama whose API this is: clients ask for it to know what they may use.
const VERSION: &str = "0.13.0";

/// When a model leaves memory that stays for ever.
const NEVER: &str = "9999-12-31T23:59:59Z";

/// The tag of a name that has none.
const LATEST: &str = ":latest";

/// A model that is there.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    model: String,
    modified_at: String,
    size: u64,
    digest: String,
    details: Details,
}

/// A model that is in memory.
#[derive(Debug, Serialize)]
struct Running {
    name: String,
    model: String,
    size: u64,
    digest: String,
    details: Details,
    expires_at: String,
    size_vram: u64,
    context_length: usize,
}

/// What clients show beside a name. What is not known is empty.
#[derive(Debug, Default, Serialize)]
struct Details {
    parent_model: &'static str,
    format: &'static str,
    family: &'static str,
    families: [&'static str; 0],
    parameter_size: &'static str,
    quantization_level: &'static str,
}

#[derive(Debug, Serialize)]
struct Shown {
    modelfile: String,
    parameters: String,
    template: &'static str,
    details: Details,
    model_info: Map<String, Value>,
    capabilities: Vec<&'static str>,
    modified_at: String,
}

pub(super) async fn tags(State(app): State<Arc<App>>) -> Response {
    listed(&app, |catalog| {
        let of = |entry: &Entry| {
            let one = |name: &str| {
                let created = entry.current()?.card.as_ref().map_or(0, |card| card.created);
                let (name, model) = (tagged(name), tagged(name));
                let (modified_at, digest) = (moment(created), digest(&entry.name, created));
                Some(Listed { name, model, modified_at, size: 0, digest, details: Details::default() })
            };
            let names = std::iter::once(entry.name.as_str()).chain(catalog.aliases(entry)).map(str::to_owned);
            names.chain(entry.adapted()).filter_map(|name| one(&name)).collect::<Vec<_>>()
        };
        let routes =
            catalog.routes.iter().map(|(name, _)| name).filter(|name| catalog.entries.iter().all(|e| e.name != **name));
        let route = |name: &String| {
            let created = catalog.find(name).ok()?.1.card.as_ref().map_or(0, |card| card.created);
            let (modified_at, digest) = (moment(created), digest(name, created));
            Some(Listed {
                name: tagged(name),
                model: tagged(name),
                modified_at,
                size: 0,
                digest,
                details: Details::default(),
            })
        };
        catalog.entries.iter().flat_map(of).chain(routes.filter_map(route)).collect()
    })
}

pub(super) async fn running(State(app): State<Arc<App>>) -> Response {
    let now = (Instant::now(), OffsetDateTime::now_utc());
    listed(&app, |catalog| {
        let of = |entry: &Entry| {
            let current = entry.current().map(|version| version.id.clone());
            let one = |version: &Version| {
                let resident = version.resident()?;
                let name = match current.as_ref() == Some(&version.id) {
                    true => tagged(&entry.name),
                    false => format!("{}@{}", entry.name, version.id),
                };
                let expires = resident.expires().filter(|_| version.order.is_some());
                Some(Running {
                    name: name.clone(),
                    model: name,
                    size: 0,
                    digest: digest(&entry.name, resident.model().info.created),
                    details: Details::default(),
                    expires_at: expires.map_or_else(|| NEVER.to_owned(), |at| time(now.1 + (at - now.0))),
                    size_vram: 0,
                    context_length: resident.model().context(),
                })
            };
            entry.versions.iter().filter_map(one).collect::<Vec<_>>()
        };
        catalog.entries.iter().flat_map(of).collect()
    })
}

pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Response {
    reply(app, request, shown).await.unwrap_or_else(|problem| error::problem(&problem))
}

pub(super) async fn version() -> Response {
    Json(json!({ "version": VERSION })).into_response()
}

/// A name with its tag, as clients expect it.
pub(super) fn tagged(name: &str) -> String {
    if name.rsplit('/').next().is_some_and(|last| last.contains(':')) { name.into() } else { name.to_owned() + LATEST }
}

/// The name of a model here.
pub(super) fn untagged(name: &str) -> &str {
    name.strip_suffix(LATEST).unwrap_or(name)
}

/// A moment as Ollama writes it.
pub(super) fn time(moment: OffsetDateTime) -> String {
    moment.format(&Rfc3339).unwrap_or_default()
}

fn listed<T: Serialize>(app: &App, described: impl FnOnce(&Catalog) -> Vec<T>) -> Response {
    match app.check_open() {
        Ok(()) => Json(json!({ "models": described(&app.models.read()) })).into_response(),
        Err(problem) => error::problem(&problem),
    }
}

/// What is known of a model; it is not loaded for it.
fn shown(app: &App, body: &[u8]) -> Result<Response, Problem> {
    let map = fields::object(body)?;
    let fields = Fields::of(&known::SHOW, &map)?;
    let name = fields.string(fields.alias("model", "name"))?.map(untagged);
    let catalog = app.models.read();
    let (entry, version, _) = catalog.find_adapted(name.unwrap_or_default())?;
    let card = version.card.as_ref();
    Ok(Json(Shown {
        modelfile: format!("FROM {}\n", entry.name),
        parameters: card.map(parameters).unwrap_or_default(),
        template: "",
        details: Details::default(),
        model_info: info(&entry.name, card),
        capabilities: card.map_or_else(|| vec!["completion"], capabilities),
        modified_at: moment(card.map_or(0, |card| card.created)),
    })
    .into_response())
}

/// What holds where a request is silent, a line each.
fn parameters(card: &Card) -> String {
    let params = card.sampling.params(None);
    let lines = [
        ("temperature", params.temperature.to_string()),
        ("top_k", params.top_k.to_string()),
        ("top_p", params.top_p.to_string()),
        ("min_p", params.min_p.to_string()),
        ("repeat_penalty", params.penalties.repetition.to_string()),
    ];
    lines.map(|(name, value)| format!("{name:<30} {value}")).join("\n")
}

/// Clients look for the architecture, and below its name for the context.
fn info(name: &str, card: Option<&Card>) -> Map<String, Value> {
    let architecture = "whinchat";
    let own = [("general.architecture".to_owned(), json!(architecture)), ("general.basename".to_owned(), json!(name))];
    let known = card.into_iter().flat_map(|card| {
        [
            (format!("{architecture}.context_length"), json!(card.context)),
            (format!("{architecture}.vocab_size"), json!(card.vocab)),
        ]
    });
    own.into_iter().chain(known).collect()
}

fn capabilities(card: &Card) -> Vec<&'static str> {
    let all = [("completion", true), ("tools", card.tools), ("thinking", card.thinking)];
    all.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

/// A moment in seconds since 1970.
fn moment(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or_default();
    time(OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH))
}

/// Clients tell models apart by it and shorten it to 12 digits. It is of the name and the time of loading: the bytes of the
/// file are not read for it.
fn digest(name: &str, created: u64) -> String {
    let mut hasher = DefaultHasher::new();
    (name, created).hash(&mut hasher);
    format!("{:016x}", hasher.finish()).repeat(4)
}
