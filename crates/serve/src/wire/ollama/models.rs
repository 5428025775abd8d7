//! What is said of models: `/api/tags`, `/api/ps`, `/api/show`, and `/api/version`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use answer::LoadedModel;
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error;
use crate::wire::fields::{self, Fields};
use crate::wire::reply;
use crate::{App, Problem};

/// The version of Ollama whose API this is: clients ask for it to know what they may use.
const VERSION: &str = "0.13.0";

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

/// A model that is loaded: all are, and stay.
#[derive(Debug, Serialize)]
struct Running {
    name: String,
    model: String,
    size: u64,
    digest: String,
    details: Details,
    expires_at: &'static str,
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
    models(&app, |model| Listed {
        name: tagged(&model.info.name),
        model: tagged(&model.info.name),
        modified_at: loaded_at(model),
        size: 0,
        digest: digest(model),
        details: Details::default(),
    })
}

pub(super) async fn running(State(app): State<Arc<App>>) -> Response {
    models(&app, |model| Running {
        name: tagged(&model.info.name),
        model: tagged(&model.info.name),
        size: 0,
        digest: digest(model),
        details: Details::default(),
        expires_at: "9999-12-31T23:59:59Z",
        size_vram: 0,
        context_length: model.context(),
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

fn models<T: Serialize>(app: &App, described: impl Fn(&LoadedModel) -> T) -> Response {
    match app.models() {
        Ok(models) => {
            let models: Vec<_> = models.iter().map(|model| described(model)).collect();
            Json(json!({ "models": models })).into_response()
        }
        Err(problem) => error::problem(&problem),
    }
}

fn shown(app: &App, body: &[u8]) -> Result<Response, Problem> {
    let map = fields::object(body)?;
    let fields = Fields(&map);
    let name = fields.string(fields.alias("model", "name"))?;
    let model = app.model(name.map(untagged))?;
    Ok(Json(Shown {
        modelfile: format!("FROM {}\n", model.info.name),
        parameters: parameters(&model),
        template: "",
        details: Details::default(),
        model_info: info(&model),
        capabilities: capabilities(&model),
        modified_at: loaded_at(&model),
    })
    .into_response())
}

/// What holds where a request is silent, a line each.
fn parameters(model: &LoadedModel) -> String {
    let params = model.info.sampling.params(None);
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
fn info(model: &LoadedModel) -> Map<String, Value> {
    let architecture = "whinchat";
    let entries = [
        ("general.architecture".to_owned(), json!(architecture)),
        ("general.basename".to_owned(), json!(model.info.name)),
        (format!("{architecture}.context_length"), json!(model.context())),
        (format!("{architecture}.vocab_size"), json!(model.info.tokenizer.vocab())),
    ];
    entries.into_iter().collect()
}

/// Known by what the chat template speaks of.
fn capabilities(model: &LoadedModel) -> Vec<&'static str> {
    let mentions = |word| model.info.template.as_ref().is_ok_and(|template| template.mentions(word));
    let thinks = mentions("enable_thinking") || mentions("reasoning_content") || mentions("<think>");
    let all = [("completion", true), ("tools", mentions("tools")), ("thinking", thinks)];
    all.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

fn loaded_at(model: &LoadedModel) -> String {
    let seconds = i64::try_from(model.info.created).unwrap_or_default();
    time(OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH))
}

/// Clients tell models apart by it and shorten it to 12 digits. It is of the name and the time of loading: the bytes of the
/// file are not read for it.
fn digest(model: &LoadedModel) -> String {
    let mut hasher = DefaultHasher::new();
    (&model.info.name, model.info.created).hash(&mut hasher);
    format!("{:016x}", hasher.finish()).repeat(4)
}
