//! Models and their versions, as `/admin/models` tells of them.

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::models::{Catalog, Entry, Resident, Version};
use crate::{App, KeepAlive};

/// Every model.
pub(super) fn all(app: &App) -> Vec<Value> {
    let catalog = app.models.read();
    catalog.entries.iter().map(|entry| described(&catalog, entry)).collect()
}

/// The model of this name; null if it was taken away.
pub(super) fn named(app: &App, name: &str) -> Value {
    let catalog = app.models.read();
    catalog.find(name).map_or(Value::Null, |(entry, _)| described(&catalog, entry))
}

/// A name: the version that it means, and all of them.
fn described(catalog: &Catalog, entry: &Entry) -> Value {
    let mut said = json!({
        "id": entry.name,
        "pinned": entry.pinned,
        "aliases": catalog.aliases(entry).collect::<Vec<_>>(),
        "versions": entry.versions.iter().map(version).collect::<Vec<_>>(),
    });
    if let (Value::Object(said), Some(current)) = (&mut said, entry.current()) {
        said.insert("version".into(), current.id.clone().into());
        said.insert("loaded".into(), current.resident().is_some().into());
        said.extend(work(current));
    }
    said
}

fn version(version: &Version) -> Value {
    let resident = version.resident();
    let expires = resident.filter(|_| version.order.is_some()).and_then(Resident::expires);
    let now = Instant::now();
    let mut said = json!({
        "version": version.id,
        "source": version.order.as_ref().map(|order| &order.source),
        "adapters": version.adapters().into_iter().map(|(name, path)| (name, path.into())).collect::<Map<_, _>>(),
        "loaded": resident.is_some(),
        "loading": version.is_coming(),
        "keep_alive": resident.map(Resident::keep_alive).map(seconds),
        "expires_in": expires.map(|at| at.saturating_duration_since(now).as_secs_f64()),
    });
    if let Value::Object(said) = &mut said {
        said.extend(work(version));
    }
    said
}

/// Seconds as they are given; below zero for ever.
fn seconds(keep_alive: KeepAlive) -> f64 {
    match keep_alive {
        KeepAlive::Forever => -1.0,
        KeepAlive::For(time) => time.as_secs_f64(),
    }
}

/// What a model in memory does now.
fn work(version: &Version) -> Map<String, Value> {
    let Some(model) = version.model() else { return Map::new() };
    let stats = model.engine().stats();
    let said = json!({
        "created": model.info.created, "context": model.context(),
        "max_sequences": model.streams(), "running": stats.running, "waiting": stats.waiting,
        "kv_blocks": { "total": stats.kv_blocks, "used": stats.kv_blocks_used, "kept": stats.kv_blocks_kept },
        "states": { "total": stats.states.total, "used": stats.states.used, "kept": stats.states.kept },
    });
    if let Value::Object(said) = said { said } else { Map::new() }
}
