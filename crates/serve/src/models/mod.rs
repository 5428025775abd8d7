//! The models of a server: which there are, which are in memory, and who brings them there.

mod adapted;
mod card;
mod catalog;
mod demand;
mod keep_alive;
mod lease;
mod order;
mod replicas;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use answer::LoadedModel;
use tokio::sync::Notify;

pub(crate) use self::card::Card;
pub(crate) use self::catalog::{Catalog, Entry, Key, Version};
pub(crate) use self::demand::reap;
pub use self::keep_alive::KeepAlive;
pub(crate) use self::lease::{Lease, Resident};
pub use self::order::{LoadError, LoadOrder, Loader};
use crate::{App, Problem};

/// The models, and what brings them into memory.
#[derive(Default)]
pub(crate) struct Models {
    catalog: RwLock<Catalog>,
    /// With what models are loaded; empty if none are any more.
    loader: OnceLock<Box<dyn Loader>>,
    /// Held by who loads a model: one after the other, so that each sees what memory is left.
    turn: tokio::sync::Mutex<()>,
    /// Told when a model is used no more.
    idle: Arc<Notify>,
}

impl Models {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Whether the first model answers to every name that no model has.
    pub fn answer_to_any_name(&self, any: bool) {
        self.models.write().rules.any_name = any;
    }

    /// Loads models that are known and not in memory with `loader`, when they are asked for. Only the first loader counts.
    pub fn load_with(&self, loader: impl Loader + 'static) {
        let _ = self.models.loader.set(Box::new(loader));
    }

    /// Lets models be loaded, changed and taken away over HTTP, from this machine.
    pub fn change_on_request(&self) {
        self.models.write().rules.admin = true;
    }

    /// How long models stay in memory that nobody uses, where nothing else is said; `fixed` if requests do not change it.
    pub fn keep_alive(&self, default: KeepAlive, fixed: bool) {
        let rules = &mut self.models.write().rules;
        (rules.keep_alive, rules.keep_alive_fixed) = (default, fixed);
    }

    /// Adds a model that is loaded when it is first asked for, under the name in its order.
    ///
    /// # Errors
    /// If it has no name, or another model has it.
    pub fn know(&self, order: LoadOrder) -> Result<(), Problem> {
        let name = order.name.clone().unwrap_or_else(|| order.source.clone());
        self.models.write().know(&name, LoadOrder { name: Some(name.clone()), ..order }).map(drop)
    }

    /// Adds another name for a model, or for a version as `name@version`.
    ///
    /// # Errors
    /// If the name is taken, or there is no such model.
    pub fn alias(&self, alias: &str, target: &str) -> Result<(), Problem> {
        self.models.write().alias(alias, target)
    }

    /// Adds a model, as the newest version of its name; the first model is `default`. It takes the place of the version that
    /// the name meant, which finishes what it began and is given back: dropping the last reference to it ends what it
    /// still answers, so wait for it with [`LoadedModel::join`].
    pub fn add(&self, model: LoadedModel) -> Option<Arc<LoadedModel>> {
        self.put(model, None).1
    }

    /// As [`App::add`], of a model that can be loaded again by this order: it may leave memory when nobody uses it.
    pub fn add_loaded(&self, model: LoadedModel, order: LoadOrder) -> Option<Arc<LoadedModel>> {
        self.put(model, Some(order)).1
    }

    /// Takes a model away, or a version of it; it finishes what it began, as in [`App::add`]. Gives what was in memory.
    pub fn remove(&self, name: &str) -> Vec<Arc<LoadedModel>> {
        self.take_away(name).unwrap_or_default()
    }

    pub(crate) fn put(&self, model: LoadedModel, order: Option<LoadOrder>) -> (Key, Option<Arc<LoadedModel>>) {
        let mut catalog = self.models.write();
        let keep_alive = order.as_ref().and_then(|order| order.keep_alive).unwrap_or(catalog.rules.keep_alive);
        order.iter().for_each(|order| self.watch.loaded_from(&model.info.name, &order.source));
        let order = order.map(|order| LoadOrder { name: Some(model.info.name.clone()), ..order });
        let resident = Resident::new(model, keep_alive, &self.models.idle);
        let (key, left) = catalog.put(resident, order);
        drop(catalog);
        self.know_released();
        self.models.idle.notify_one();
        (key, left.map(|left| self.left(&left)))
    }

    /// # Errors
    /// If there is no such model, or others need it.
    pub(crate) fn take_away(&self, name: &str) -> Result<Vec<Arc<LoadedModel>>, Problem> {
        let gone = self.models.write().remove(name)?;
        Ok(gone.iter().map(|gone| self.left(gone)).collect())
    }

    /// What becomes of a model that is in the catalog no more: it finishes what it began.
    pub(crate) fn left(&self, resident: &Resident) -> Arc<LoadedModel> {
        let model = resident.model();
        let name = &model.info.name;
        if self.models.read().residents().all(|other| other.model().info.name != *name) {
            self.watch.gone(name);
        }
        model.engine().drain();
        Arc::clone(model)
    }
}

/// Waits elsewhere until models have finished what they began.
pub(crate) fn retire(models: impl IntoIterator<Item = Arc<LoadedModel>>) {
    for model in models {
        tokio::task::spawn_blocking(move || model.join());
    }
}
