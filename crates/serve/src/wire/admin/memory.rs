//! `/memory`: the levels of an engine's memory, what is in them, and what is moved, held or forgotten. Errors are OpenAI's.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Extensions;
use axum::response::Response;
use axum::routing::{get, post};
use engine::{
    Eviction, Level, LevelOrder, LevelRule, MemoryError, MemoryOrder, MemoryReport, PrefixMemory, Promotion,
    SequenceMemory, TierKey,
};
use serde_json::{Map, Value, json};

use super::{check, check_local, respond};
use crate::http::body;
use crate::memory::{self, Wanted};
use crate::wire::fields::{self, Fields};
use crate::wire::query::Query;
use crate::wire::{blocking, known};
use crate::{App, Kind, Problem};

/// A step that takes longer than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prefixes that are told of where nothing is said.
const USUAL_PREFIXES: usize = 100;

/// The level that is the KV cache itself.
const DEVICE: &str = "device";

/// The routes.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/memory/plan", get(plan).put(change))
        .route("/memory/usage", get(usage))
        .route("/memory/evict", post(evict))
        .route("/memory/pin", post(pin))
        .route("/memory/flush", post(flush))
        .route("/memory/policy", get(policy).put(set_policy).delete(end_policy))
}

async fn plan(State(app): State<Arc<App>>, request: Request) -> Response {
    let told = async move {
        check_local(request.extensions())?;
        let model = Query::of(request.uri()).get("model").map(str::to_owned);
        ordered(app, model, vec![MemoryOrder::Report], plan_json).await
    };
    respond(told.await)
}

async fn usage(State(app): State<Arc<App>>, request: Request) -> Response {
    let told = async move {
        check_local(request.extensions())?;
        let query = Query::of(request.uri());
        let by = query.word("by", &["tier", "sequence", "prefix", "service"])?;
        let limit = query.maybe_count("limit")?.unwrap_or(USUAL_PREFIXES);
        let model = query.get("model").map(str::to_owned);
        let knows = Arc::clone(&app);
        ordered(app, model, vec![MemoryOrder::Report], move |name, report| {
            usage_json(&knows, (name, report), (by, limit))
        })
        .await
    };
    respond(told.await)
}

/// Changes rules and sizes.
async fn change(State(app): State<Arc<App>>, request: Request) -> Response {
    respond(with_body(app, request, &known::MEMORY_PLAN, changes, plan_json).await)
}

async fn evict(State(app): State<Arc<App>>, request: Request) -> Response {
    let order = |fields: Fields| {
        let count = fields.count("count", 1)?;
        match (fields.string("prefix")?, level(fields)?) {
            (Some(prefix), _) => Ok(vec![MemoryOrder::EvictPrefix(key(prefix)?)]),
            (None, DEVICE) => Ok(vec![MemoryOrder::EvictBlocks(count.unwrap_or(1))]),
            (None, level) => Ok(vec![MemoryOrder::Level(level.to_owned(), LevelOrder::Evict(count.unwrap_or(1)))]),
        }
    };
    respond(with_body(app, request, &known::MEMORY_EVICT, order, done_json).await)
}

async fn pin(State(app): State<Arc<App>>, request: Request) -> Response {
    let order = |fields: Fields| {
        fields.required("prefix")?;
        let key = key(fields.string("prefix")?.unwrap_or_default())?;
        let pinned = fields.bool("pinned")?.unwrap_or(true);
        Ok(vec![if pinned { MemoryOrder::Pin(key) } else { MemoryOrder::Unpin(key) }])
    };
    respond(with_body(app, request, &known::MEMORY_PIN, order, done_json).await)
}

async fn flush(State(app): State<Arc<App>>, request: Request) -> Response {
    let order = |fields: Fields| {
        Ok(vec![match level(fields)? {
            DEVICE => MemoryOrder::Flush,
            level => MemoryOrder::Level(level.to_owned(), LevelOrder::Flush),
        }])
    };
    respond(with_body(app, request, &known::MEMORY_FLUSH, order, done_json).await)
}

async fn policy(State(app): State<Arc<App>>, request: Request) -> Response {
    let told = || {
        check_local(request.extensions())?;
        let model = app.model(Query::of(request.uri()).get("model"))?;
        Ok(memory::policy_json(&app, &model.info.name))
    };
    respond(told())
}

async fn set_policy(State(app): State<Arc<App>>, request: Request) -> Response {
    let set = async {
        check(&app, request.extensions())?;
        let (head, body) = request.into_parts();
        let map: Map<String, Value> = fields::object(&body::read(&head, body).await?)?;
        let fields = Fields::of(&known::MEMORY_POLICY, &map)?;
        fields.required("url")?;
        let url = fields.string("url")?.unwrap_or_default().to_owned();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(wrong("url", "url must be an address that begins with http:// or https://.".into()));
        }
        let deadline = Duration::from_millis(fields.integer("deadline_ms", 1..=60_000)?.unwrap_or(100) as u64);
        let wanted = fields.count("victims", 1)?.unwrap_or(16).min(1 << 16);
        let model = app.model(fields.string("model")?)?;
        memory::set_policy(&app, &model, Wanted { url, deadline, victims: wanted });
        Ok(memory::policy_json(&app, &model.info.name))
    };
    respond(set.await)
}

async fn end_policy(State(app): State<Arc<App>>, request: Request) -> Response {
    let ended = || {
        check(&app, request.extensions())?;
        let model = app.model(Query::of(request.uri()).get("model"))?;
        let deleted = memory::end_policy(&app, &model.info.name);
        Ok(json!({ "object": "memory.policy", "model": model.info.name, "deleted": deleted }))
    };
    respond(ended())
}

/// What a body changes, in the order in which it is done.
fn changes(fields: Fields) -> Result<Vec<MemoryOrder>, Problem> {
    let mut orders = vec![];
    let named = |field: &'static str, names: Vec<&str>| {
        let message = format!("{field} must be one of {}.", names.join(", "));
        move || wrong(field, message)
    };
    if let Some(name) = fields.string("eviction")? {
        let names = named("eviction", Eviction::ALL.map(Eviction::name).into());
        orders.push(MemoryOrder::Rule(Eviction::named(name).ok_or_else(names)?));
    }
    if let Some(positions) = fields.count("keep_positions", 0)? {
        orders.push(MemoryOrder::Keep(positions));
    }
    let mut below = |level: &str, order: LevelOrder| orders.push(MemoryOrder::Level(level.into(), order));
    if let Some(name) = fields.string("host_eviction")? {
        let names = named("host_eviction", LevelRule::ALL.map(LevelRule::name).into());
        below("host", LevelOrder::Rule(LevelRule::named(name).ok_or_else(names)?));
    }
    if let Some(bytes) = fields.count("host_bytes", 0)? {
        below("host", LevelOrder::Resize(bytes as u64));
    }
    if let Some(bytes) = fields.count("file_bytes", 0)? {
        below("file", LevelOrder::Resize(bytes as u64));
    }
    if let Some(name) = fields.string("promotion")? {
        let names = named("promotion", Promotion::ALL.map(Promotion::name).into());
        below("file", LevelOrder::Promote(Promotion::named(name).ok_or_else(names)?));
    }
    Ok(orders)
}

fn level<'a>(fields: Fields<'a>) -> Result<&'a str, Problem> {
    Ok(fields.string("tier")?.unwrap_or(DEVICE))
}

fn key(text: &str) -> Result<TierKey, Problem> {
    text.parse().map_err(|why| wrong("prefix", format!("prefix: {why}; GET /memory/usage?by=prefix lists them.")))
}

/// Reads a body, and gives the engine its orders.
async fn with_body(
    app: Arc<App>,
    request: Request,
    of: &'static known::Request,
    orders: impl FnOnce(Fields<'_>) -> Result<Vec<MemoryOrder>, Problem>,
    told: impl FnOnce(&str, &MemoryReport) -> Value + Send + 'static,
) -> Result<Value, Problem> {
    may_change(&app, request.extensions())?;
    let (head, body) = request.into_parts();
    let map: Map<String, Value> = fields::object(&body::read(&head, body).await?)?;
    let fields = Fields::of(of, &map)?;
    let mut orders = orders(fields)?;
    if orders.is_empty() {
        orders.push(MemoryOrder::Report);
    }
    ordered(app, fields.string("model")?.map(str::to_owned), orders, told).await
}

fn may_change(app: &App, extensions: &Extensions) -> Result<(), Problem> {
    check(app, extensions)
}

/// Gives a model's engine orders, one after the other, and tells what its memory looks like after the last.
async fn ordered(
    app: Arc<App>,
    model: Option<String>,
    orders: Vec<MemoryOrder>,
    told: impl FnOnce(&str, &MemoryReport) -> Value + Send + 'static,
) -> Result<Value, Problem> {
    blocking(app, move |app| {
        let lease = app.model(model.as_deref())?;
        let mut last = None;
        for order in orders {
            let late = |_| {
                Problem::new(Kind::Internal, "The engine is at work on one step for long, or has ended. Try again.")
            };
            let answer = lease.engine().memory(order).recv_timeout(PATIENCE).map_err(late)?;
            last = Some(answer.map_err(|why| refused(&why))?);
        }
        let none = || Problem::new(Kind::Internal, "Nothing was asked of the engine.");
        Ok(told(&lease.info.name, &last.ok_or_else(none)?))
    })
    .await
}

fn refused(why: &MemoryError) -> Problem {
    let field = if let MemoryError::NoLevel { .. } = why { "tier" } else { "prefix" };
    wrong(field, format!("{why}."))
}

fn wrong(param: &str, message: String) -> Problem {
    Problem::of(Kind::Ask(answer::Kind::InvalidValue), param, message)
}

/// The levels with their sizes and rules, from the fastest to the slowest.
fn plan_json(model: &str, report: &MemoryReport) -> Value {
    json!({ "object": "memory.plan", "model": model, "tiers": tiers(report) })
}

fn done_json(model: &str, report: &MemoryReport) -> Value {
    json!({ "object": "memory.done", "model": model, "done": report.done, "tiers": tiers(report) })
}

fn tiers(report: &MemoryReport) -> Vec<Value> {
    let cache = &report.cache;
    let bytes = |blocks: usize| cache.block_bytes.map(|bytes| (blocks * bytes) as u64);
    let device = json!({
        "tier": DEVICE, "rule": cache.rule, "limit_bytes": bytes(cache.blocks), "used_bytes": bytes(cache.used + cache.kept),
        "entries": cache.used + cache.kept, "blocks": cache.blocks, "block_positions": cache.block_len,
        "held": cache.used, "kept": cache.kept, "most_kept": cache.most_kept, "pinned": cache.pinned,
        "evicted_by_policy": cache.evicted.0, "evicted": cache.evicted.1,
    });
    [device].into_iter().chain(report.levels.iter().map(level_json)).collect()
}

fn level_json(level: &Level) -> Value {
    json!({
        "tier": level.name, "rule": level.rule, "limit_bytes": level.limit, "used_bytes": level.used, "entries": level.entries,
        "promotion": level.promotion.map(Promotion::name), "put": level.counts.put, "hits": level.counts.hits,
        "evicted": level.counts.evicted, "promoted": level.counts.promoted,
    })
}

/// What is used, by one kind of user, or by all.
fn usage_json(app: &App, (model, report): (&str, &MemoryReport), (by, limit): (Option<usize>, usize)) -> Value {
    let mut said = json!({ "object": "memory.usage", "model": model });
    let wanted = |kind: usize| by.is_none_or(|by| by == kind);
    if wanted(0) {
        said["tiers"] = tiers(report).into();
    }
    if wanted(1) {
        let bytes = report.cache.block_bytes;
        said["sequences"] = report.sequences.iter().map(|sequence| sequence_json(sequence, bytes)).collect();
    }
    if wanted(2) {
        // What is used most comes first.
        let mut prefixes: Vec<&PrefixMemory> = report.prefixes.iter().collect();
        prefixes.sort_by_key(|prefix| (std::cmp::Reverse(prefix.hits), prefix.idle, prefix.key));
        said["prefixes"] = prefixes.iter().take(limit).map(|prefix| prefix_json(prefix)).collect();
    }
    if wanted(3) {
        said["services"] = memory::services(app, model, report);
    }
    said
}

fn sequence_json(sequence: &SequenceMemory, block_bytes: Option<usize>) -> Value {
    json!({
        "request": sequence.request.0, "own_blocks": sequence.own, "shared_blocks": sequence.shared,
        "positions": sequence.positions, "states": sequence.states, "own_bytes": block_bytes.map(|bytes| sequence.own * bytes),
    })
}

fn prefix_json(prefix: &PrefixMemory) -> Value {
    json!({
        "prefix": prefix.key.to_string(), "private": prefix.salted, "begins": prefix.begins, "blocks": prefix.blocks,
        "hits": prefix.hits, "idle_steps": prefix.idle, "pinned": prefix.pinned,
    })
}
