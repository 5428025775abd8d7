//! Models come into memory when they are asked for, and leave it when nobody uses them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use answer::LoadedModel;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::catalog::{Coming, Place};
use super::lease::Stay;
use super::{Card, Key, Lease, LoadError, LoadOrder, Resident, retire};
use crate::{App, Kind, Problem};

/// Said of a load that ended in an unforeseen way.
const PANICKED: &str = "loading it panicked; the server's log says why";

/// What there is of a model that is asked for.
enum Sought {
    Here(Lease),
    Coming(Coming),
    /// No order names it; perhaps the loader knows it.
    Unknown(Problem),
}

impl App {
    /// The model of this name, if it is in memory; the first one for `None` and the empty name. The problem of one that is
    /// known and has to be loaded first says so in [`Problem::absent`].
    pub(crate) fn model(&self, name: Option<&str>) -> Result<Lease, Problem> {
        self.check_open()?;
        let name = name.unwrap_or_default();
        let absent = |problem| Problem { absent: Some(name.to_owned()), ..problem };
        let catalog = self.models.read();
        match catalog.find_adapted(name) {
            Ok((entry, version, adapter)) => {
                let none = || absent(not_loaded(&entry.name, "it is not in memory now"));
                version.resident().ok_or_else(none).and_then(|resident| leased(&entry.name, resident, adapter))
            }
            Err(problem) if self.loads() => Err(absent(problem)),
            Err(problem) => Err(problem),
        }
    }

    /// As [`App::model`]; none for a model that is known and not in memory, if that will do.
    pub(crate) fn model_or_none(&self, name: Option<&str>, none: bool) -> Result<Option<Lease>, Problem> {
        match self.model(name) {
            Err(problem) if none && problem.kind == Kind::NotLoaded => Ok(None),
            found => found.map(Some),
        }
    }

    /// The model of this name, loaded first if need be; whoever asks meanwhile waits for the same load. It goes on if all who
    /// wait for it leave.
    ///
    /// # Errors
    /// If there is no such model, it cannot be loaded, or the time is up.
    pub(crate) async fn bring(self: &Arc<Self>, name: &str, limit: Option<Duration>) -> Result<Lease, Problem> {
        let late = || {
            let message = format!(
                "The model {name} was still being loaded when the request's time was up. Allow more time, or try again."
            );
            Problem::new(Kind::Ask(answer::Kind::TimeLimit), message)
        };
        match limit {
            Some(limit) => timeout(limit, self.brought(name)).await.map_err(|_| late())?,
            None => self.brought(name).await,
        }
    }

    async fn brought(self: &Arc<Self>, name: &str) -> Result<Lease, Problem> {
        loop {
            match self.seek(name)? {
                Sought::Here(lease) => return Ok(lease),
                Sought::Coming(mut coming) => {
                    let came = coming.wait_for(Option::is_some).await.ok().and_then(|came| came.clone());
                    let lease = came.unwrap_or_else(|| Err(not_loaded(name, PANICKED)))?;
                    return self.adapted(name, lease);
                }
                Sought::Unknown(problem) => self.look_up(name, problem).await?,
            }
        }
    }

    /// A lease of a model that was loaded for `name`, with the adapter that this names.
    fn adapted(&self, name: &str, lease: Lease) -> Result<Lease, Problem> {
        let catalog = self.models.read();
        let Ok((entry, _, Some(adapter))) = catalog.find_adapted(name) else { return Ok(lease) };
        let named = lease.model().adapter(adapter).ok_or_else(|| taken_away(&entry.name, adapter))?;
        Ok(lease.adapted(Some(named)))
    }

    /// Finds a model, and begins to load it if nobody has.
    fn seek(self: &Arc<Self>, name: &str) -> Result<Sought, Problem> {
        self.check_open()?;
        let mut catalog = self.models.write();
        let (key, adapter) = match catalog.find_adapted(name) {
            Ok((entry, version, adapter)) => {
                (Key { name: entry.name.clone(), version: version.id.clone() }, adapter.map(str::to_owned))
            }
            Err(problem) => return Ok(Sought::Unknown(problem)),
        };
        let Some(version) = catalog.version_mut(&key) else { return Err(not_loaded(name, "it was taken away")) };
        match &version.place {
            Place::Memory(resident) => return leased(&key.name, resident, adapter.as_deref()).map(Sought::Here),
            // Nobody works at it whose end is gone.
            Place::Coming(coming) if coming.has_changed().is_ok() => return Ok(Sought::Coming(coming.clone())),
            Place::Coming(_) | Place::Absent => {}
        }
        let order = version.order.clone().ok_or_else(|| not_loaded(name, "nothing says how"))?;
        let (said, coming) = watch::channel(None);
        version.place = Place::Coming(coming.clone());
        let app = Arc::clone(self);
        tokio::spawn(async move {
            let loaded = app.load(order).await;
            said.send_replace(Some(app.arrived(&key, loaded)));
        });
        Ok(Sought::Coming(coming))
    }

    /// Asks the loader for a model that nobody has named; else it is the problem that there is none.
    async fn look_up(self: &Arc<Self>, name: &str, problem: Problem) -> Result<(), Problem> {
        let (app, wanted) = (Arc::clone(self), name.to_owned());
        let find = move || app.models.loader.get().and_then(|loader| loader.find(&wanted));
        let Some(order) = tokio::task::spawn_blocking(find).await.ok().flatten() else { return Err(problem) };
        let mut catalog = self.models.write();
        let own = order.name.clone().unwrap_or_else(|| name.to_owned());
        if catalog.key(&own).is_err() {
            catalog.know(&own, LoadOrder { name: Some(own.clone()), ..order })?;
        }
        match catalog.key(name) {
            Ok(_) => Ok(()),
            Err(_) => catalog.alias(name, &own),
        }
    }

    /// What comes of a load that somebody waits for.
    fn arrived(&self, key: &Key, loaded: Result<LoadedModel, String>) -> Result<Lease, Problem> {
        let mut catalog = self.models.write();
        let (rules, draining) = (catalog.rules, catalog.draining);
        let version = catalog.version_mut(key).ok_or_else(|| not_loaded(&key.name, "it was taken away meanwhile"))?;
        let model = match (loaded, &version.place) {
            // Somebody has loaded another one under the same name and version.
            (_, Place::Memory(resident)) => return Ok(resident.lease()),
            (Err(why), _) => {
                version.place = Place::Absent;
                tracing::warn!(model = key.name, "not loaded: {why}");
                return Err(not_loaded(&key.name, &why));
            }
            (Ok(model), _) => model,
        };
        if draining {
            model.engine().drain();
        }
        let keep_alive = version.order.as_ref().and_then(|order| order.keep_alive).unwrap_or(rules.keep_alive);
        let (card, resident) = (Card::of(&model), Resident::new(model, keep_alive, &self.models.idle));
        let lease = resident.lease();
        (version.card, version.place) = (Some(card), Place::Memory(resident));
        tracing::info!(model = key.name, version = key.version, "loaded on demand");
        Ok(lease)
    }

    /// Whether models can be loaded after the start.
    pub(crate) fn loads(&self) -> bool {
        self.models.loader.get().is_some()
    }

    /// Brings a model into memory when it is its turn. Models that nobody uses leave it if it is short.
    ///
    /// # Errors
    /// Why it cannot be loaded, without a full stop.
    pub(crate) async fn load(self: &Arc<Self>, order: LoadOrder) -> Result<LoadedModel, String> {
        let _turn = self.models.turn.lock().await;
        loop {
            let (app, wanted) = (Arc::clone(self), order.clone());
            let load = move || match app.models.loader.get() {
                Some(loader) => loader.load(&wanted),
                None => Err(LoadError::Other("the server has nothing to load with".to_owned())),
            };
            let loaded = tokio::task::spawn_blocking(load).await;
            let error = match loaded.unwrap_or_else(|_| Err(LoadError::Other(PANICKED.to_owned()))) {
                Ok(model) => return Ok(model),
                Err(error) => error,
            };
            let room = if matches!(error, LoadError::Memory(_)) { self.evict() } else { None };
            let Some(model) = room else { return Err(error.to_string().trim_end_matches('.').to_owned()) };
            // Its memory is free when it is gone.
            let _ = tokio::task::spawn_blocking(move || model.join()).await;
        }
    }

    /// Takes from memory what nobody has used for the longest time, of what need not stay.
    fn evict(&self) -> Option<Arc<LoadedModel>> {
        let mut catalog = self.models.write();
        let versions = catalog.entries.iter_mut().flat_map(|entry| &mut entry.versions);
        let idle = versions.filter(|version| version.order.is_some());
        let idle = idle.filter_map(|version| Some((version.resident()?.idle_since()?, version)));
        let evicted = idle.min_by_key(|(since, _)| *since)?.1.leave()?;
        drop(catalog);
        tracing::info!(model = evicted.model().info.name, "unloaded: another model needs the memory");
        Some(self.left(&evicted))
    }

    /// Takes from memory what has not been used for as long as it stays; says when to look again.
    fn expire(&self, now: Instant) -> Option<Instant> {
        self.models.loader.get()?;
        let (mut next, mut left) = (None::<Instant>, Vec::new());
        let mut catalog = self.models.write();
        let versions = catalog.entries.iter_mut().flat_map(|entry| &mut entry.versions);
        for version in versions.filter(|version| version.order.is_some()) {
            match version.resident().map(|resident| resident.stay(now)) {
                Some(Stay::Over) => left.extend(version.leave()),
                Some(Stay::Until(at)) => next = Some(next.map_or(at, |next| next.min(at))),
                Some(Stay::ForEver | Stay::WhileUsed) | None => {}
            }
        }
        drop(catalog);
        for resident in left {
            tracing::info!(model = resident.model().info.name, "unloaded: nobody uses it");
            retire([self.left(&resident)]);
        }
        next
    }
}

/// Takes models from memory that nobody uses, as long as there is an app.
pub(crate) async fn reap(app: Weak<App>) {
    while let Some(app) = app.upgrade() {
        let (next, idle) = (app.expire(Instant::now()), Arc::clone(&app.models.idle));
        // Nothing is held while there is nothing to do.
        drop(app);
        match next {
            Some(at) => _ = timeout_at(at, idle.notified()).await,
            None => idle.notified().await,
        }
    }
}

/// A lease of a model in memory, with one of its adapters.
fn leased(name: &str, resident: &Resident, adapter: Option<&str>) -> Result<Lease, Problem> {
    let Some(adapter) = adapter else { return Ok(resident.lease()) };
    let named = resident.model().adapter(adapter).ok_or_else(|| taken_away(name, adapter))?;
    Ok(resident.lease().adapted(Some(named)))
}

fn taken_away(name: &str, adapter: &str) -> Problem {
    Problem::of(Kind::ModelNotFound, "model", format!("The adapter {adapter} of {name} was taken away just now."))
}

fn not_loaded(name: &str, why: &str) -> Problem {
    Problem::of(Kind::NotLoaded, "model", format!("The model {name} was not loaded: {why}."))
}
