//! What is changed of a model that is known: which version its name means, its aliases, whether and how long it is in memory.

use std::sync::Arc;

use serde_json::Value;

use crate::models::{Key, retire};
use crate::wire::fields::{self, Fields, wrong_type};
use crate::wire::{blocking, known, ollama};
use crate::{App, KeepAlive, Kind, Problem};

/// Aliases of a model at most.
const MOST_ALIASES: usize = 64;

/// What a body asks for.
pub(super) struct Change {
    meaning: Option<Meaning>,
    aliases: Option<Vec<String>>,
    keep_alive: Option<KeepAlive>,
    loaded: Option<bool>,
    adapters: Adapters,
}

/// Names of adapters, and the folders or files to load them from; without one they are taken away.
pub(in crate::wire) type Adapters = Vec<(String, Option<String>)>;

/// Which version a name is to mean.
enum Meaning {
    /// This one, also when newer ones come.
    Pinned(String),
    /// The one before the one that it means now.
    Before,
    Newest,
}

impl Change {
    pub(super) fn read(body: &[u8]) -> Result<Change, Problem> {
        let map = fields::object(body)?;
        let fields = Fields::of(&known::CHANGE, &map)?;
        let pinned = match map.get("pinned") {
            None => None,
            Some(Value::Null) => Some(Meaning::Newest),
            Some(Value::String(version)) => Some(Meaning::Pinned(version.clone())),
            Some(other) => return Err(wrong_type("pinned", "a version's name or null", other).into()),
        };
        let back = fields.bool("roll_back")?.unwrap_or(false).then_some(Meaning::Before);
        if pinned.is_some() && back.is_some() {
            return Err(refused("roll_back", "pinned and roll_back exclude each other; write one of them."));
        }
        let aliases = fields.get("aliases").map(|_| fields.strings("aliases", MOST_ALIASES)).transpose()?;
        let change = Change {
            meaning: pinned.or(back),
            aliases,
            keep_alive: ollama::keep_alive(fields)?,
            loaded: fields.bool("loaded")?,
            adapters: adapters(fields)?,
        };
        let nothing = change.meaning.is_none() && change.aliases.is_none() && change.adapters.is_empty();
        if nothing && change.keep_alive.is_none() && change.loaded.is_none() {
            let message = "Nothing is to be changed: write pinned, roll_back, aliases, keep_alive, loaded or adapters.";
            return Err(Problem::new(Kind::Ask(answer::Kind::Missing), message));
        }
        Ok(change)
    }

    /// Changes the model of this name, or a version of it.
    pub(super) async fn apply(self, app: &Arc<App>, name: &str) -> Result<Key, Problem> {
        let key = app.models.read().key(name)?;
        if let Some(aliases) = &self.aliases {
            app.models.write().set_aliases(name, aliases)?;
        }
        if let Some(meaning) = &self.meaning {
            mean(app, &key, meaning).await?;
        }
        if let Some(keep_alive) = self.keep_alive {
            app.models.write().keep(&key, keep_alive);
        }
        match self.loaded {
            Some(true) => drop(app.bring(name, None).await?),
            Some(false) => unload(app, &key)?,
            None => {}
        }
        if !self.adapters.is_empty() {
            change_adapters(app, name, self.adapters).await?;
        }
        Ok(key)
    }
}

/// The adapters in a body.
pub(super) fn adapters(fields: Fields<'_>) -> Result<Adapters, Problem> {
    let Some(given) = fields.get("adapters") else { return Ok(Vec::new()) };
    let wrong = |at: &str, value: &Value| wrong_type(at, "a folder or a file, or null", value);
    let map =
        given.as_object().ok_or_else(|| wrong_type("adapters", "an object of names and folders or files", given))?;
    let one = |(name, value): (&String, &Value)| match value {
        Value::String(source) => Ok((name.clone(), Some(source.clone()))),
        Value::Null => Ok((name.clone(), None)),
        other => Err(wrong(&format!("adapters.{name}"), other).into()),
    };
    map.iter().map(one).collect()
}

/// Loads adapters of a model and takes others away. A model that is not in memory comes first.
pub(in crate::wire) async fn change_adapters(app: &Arc<App>, name: &str, changes: Adapters) -> Result<(), Problem> {
    let lease = app.bring(name, None).await?;
    let (model, key) = (Arc::clone(lease.model()), app.models.read().key(name)?);
    // Files are read: not on the threads that serve everyone.
    blocking(Arc::clone(app), move |app| {
        model.change_adapters(&changes)?;
        app.models.write().keep_adapters(&key);
        let names: Vec<&str> = changes.iter().map(|(name, _)| name.as_str()).collect();
        tracing::info!(model = key.name, adapters = names.join(", "), "adapters changed");
        Ok(())
    })
    .await
}

/// Lets a name mean another version, which is loaded before; then the one that it meant leaves memory.
async fn mean(app: &Arc<App>, key: &Key, meaning: &Meaning) -> Result<(), Problem> {
    let wanted = {
        let catalog = app.models.read();
        let (entry, current) = catalog.find(&key.name)?;
        let version = match meaning {
            Meaning::Pinned(version) => Some(version.clone()),
            Meaning::Newest => entry.versions.last().map(|version| version.id.clone()),
            Meaning::Before => {
                let at = entry.versions.iter().position(|version| version.id == current.id).unwrap_or_default();
                let before = at.checked_sub(1).and_then(|at| entry.versions.get(at));
                before.map(|version| version.id.clone())
            }
        };
        let none = || {
            let message = format!("The model {} has no version before {}.", key.name, current.id);
            refused("roll_back", &message)
        };
        Key { name: key.name.clone(), version: version.ok_or_else(none)? }
    };
    let lease = app.bring(&format!("{}@{}", wanted.name, wanted.version), None).await?;
    let left = app.models.write().pin(&wanted, !matches!(meaning, Meaning::Newest));
    retire(left.map(|left| app.left(&left)));
    tracing::info!(model = wanted.name, version = wanted.version, "the name means this version");
    drop(lease);
    Ok(())
}

/// Takes a model from memory, which finishes what it began, and stays known.
fn unload(app: &App, key: &Key) -> Result<(), Problem> {
    let mut catalog = app.models.write();
    let Some(version) = catalog.version_mut(key) else { return Ok(()) };
    if version.order.is_none() || !app.loads() {
        let message = format!("Nothing says how {} is loaded again; DELETE takes it away for good.", key.name);
        return Err(refused("loaded", &message));
    }
    let left = version.leave();
    drop(catalog);
    retire(left.map(|left| app.left(&left)));
    Ok(())
}

fn refused(param: &str, message: &str) -> Problem {
    Problem::of(Kind::Ask(answer::Kind::InvalidValue), param, message)
}
