//! What one caller has of the responses that are kept: those of others are not there, but for who may see what all have.

use std::sync::Arc;

use serde_json::Value;

use super::log::Log;
use super::store::{Entry, Store};
use crate::App;
use crate::http::Caller;

/// The responses of a caller.
#[derive(Clone, Default)]
pub(super) struct Owned {
    store: Arc<Store>,
    owner: Option<Arc<str>>,
    /// Whether those of others are there too.
    oversees: bool,
}

impl Owned {
    pub(super) fn of(app: &App, caller: &Caller) -> Owned {
        Owned { store: Arc::clone(&app.responses), owner: caller.name(), oversees: caller.commands() }
    }

    pub(super) fn put(&self, id: &str, entry: Entry) {
        self.store.put(&self.own(id), entry);
    }

    pub(super) fn log(&self, id: &str) -> Option<Option<Arc<Log>>> {
        self.store.log(&self.place(id))
    }

    pub(super) fn response(&self, id: &str) -> Option<Value> {
        self.store.response(&self.place(id))
    }

    pub(super) fn messages(&self, id: &str) -> Option<Vec<Value>> {
        self.store.messages(&self.place(id))
    }

    pub(super) fn input(&self, id: &str) -> Option<Vec<Value>> {
        self.store.input(&self.place(id))
    }

    pub(super) fn remove(&self, id: &str) -> bool {
        self.store.remove(&self.place(id))
    }

    pub(super) fn cancel(&self, id: &str) -> Option<Result<Value, ()>> {
        self.store.cancel(&self.place(id))
    }

    /// Where the store has a response that this caller may see.
    fn place(&self, id: &str) -> String {
        let own = self.own(id);
        let others = || self.store.place(&format!("/{id}"));
        match self.oversees && self.store.log(&own).is_none() {
            true => others().unwrap_or(own),
            false => own,
        }
    }

    /// Where the store has a response of this caller: neither a key's name nor an id has a slash.
    fn own(&self, id: &str) -> String {
        match &self.owner {
            Some(owner) => format!("{owner}/{id}"),
            None => format!("/{id}"),
        }
    }
}
