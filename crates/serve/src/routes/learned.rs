//! What A/B tests and mirrors have shown outlives the process, in the database of files and batches.

use std::sync::{Arc, PoisonError};

use batch::Store;
use release::{Policy, Shadow};
use serde::{Deserialize, Serialize};

use super::Named;
use super::tried::Shown;
use crate::App;

/// What a route has learned.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Learned {
    /// Of which policy and which models: of others it says nothing.
    of: Option<(Policy, Vec<String>)>,
    tried: Option<Shown>,
    shadow: Option<Shadow>,
}

/// Goes on with what a former process had learned of these routes.
pub(super) fn go_on<'a>(app: &App, routes: impl Iterator<Item = &'a Arc<Named>>) {
    if let Some(batches) = app.batches.get() {
        routes.for_each(|named| restored(batches.store(), named));
    }
}

/// As [`go_on`], of all routes: to be called once there is a database.
pub(crate) fn restore(app: &App) {
    go_on(app, app.routes.all().iter());
}

fn restored(store: &Store, named: &Named) {
    if named.learns() {
        let name = &named.setup.name;
        let read = store.learned(name).unwrap_or_else(|error| {
            tracing::error!(route = name, "what a route has learned cannot be read: {error}");
            None
        });
        let Some((what, units)) = read else { return };
        match serde_json::from_str::<Learned>(&what) {
            Ok(learned) if learned.of == Some(named.of()) => named.go_on(learned, units),
            Ok(_) => forget(store, name),
            Err(error) => {
                tracing::error!(route = name, "what a route has learned cannot be read: {error}");
                forget(store, name);
            }
        }
    }
}

fn forget(store: &Store, route: &str) {
    if let Err(error) = store.forget_learned(route) {
        tracing::error!(route, "what a route has learned before cannot be forgotten: {error}");
    }
}

/// Keeps what routes have learned since this was called last.
pub(crate) async fn keep(app: &App) {
    let Some(batches) = app.batches.get().cloned() else { return };
    let routes: Vec<Arc<Named>> = app.routes.all().into_iter().filter(|named| named.learns()).collect();
    let keep = move || routes.iter().for_each(|named| named.keep(batches.store()));
    // A panic is told by its hook.
    drop(tokio::task::spawn_blocking(keep).await);
}

impl Named {
    fn learns(&self) -> bool {
        self.tried.is_some() || self.shadow.is_some()
    }

    fn of(&self) -> (Policy, Vec<String>) {
        (self.setup.policy.clone(), self.setup.variants.iter().map(|variant| variant.model.clone()).collect())
    }

    fn go_on(&self, learned: Learned, units: Vec<u64>) {
        if let Some((mut tried, shown)) = self.tried().zip(learned.tried.clone()) {
            tried.go_on(shown, units);
        }
        if let Some((mut shadow, before)) = self.shadow().zip(learned.shadow.clone())
            && shadow.compared() == 0
        {
            *shadow = before;
        }
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = learned;
    }

    fn keep(&self, store: &Store) {
        let (tried, units) = self.tried().map(|mut tried| tried.kept()).unzip();
        let shadow = self.shadow().map(|shadow| shadow.clone());
        let learned = Learned { of: Some(self.of()), tried, shadow };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if learned == *kept {
            return;
        }
        if kept.of.is_none() {
            // Nothing was gone on with: what is there is of another policy.
            forget(store, &self.setup.name);
        }
        let what = serde_json::to_string(&learned).map_err(|error| error.to_string());
        let units = units.unwrap_or_default();
        let done = what
            .and_then(|what| store.keep_learned(&self.setup.name, &what, &units).map_err(|error| error.to_string()));
        match done {
            Ok(()) => *kept = learned,
            Err(error) => tracing::error!(route = self.setup.name, "what a route has learned is not kept: {error}"),
        }
    }
}
