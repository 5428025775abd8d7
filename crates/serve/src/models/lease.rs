//! Who uses a model that is in memory, and since when nobody does.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use answer::{Adapter, Ask, LoadedModel, NamedAdapter};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::KeepAlive;
use crate::{Kind, Problem};

/// An engine that has something to do is asked again after this time.
const AGAIN: Duration = Duration::from_millis(100);

/// A model that somebody uses: it stays in memory as long as this is there. Clones are of the same use.
pub(crate) struct Lease {
    model: Arc<LoadedModel>,
    usage: Arc<Usage>,
    /// What its answers are computed with, if its name was that of an adapter.
    adapter: Option<Arc<NamedAdapter>>,
}

/// A model in memory.
pub(crate) struct Resident {
    model: Arc<LoadedModel>,
    usage: Arc<Usage>,
}

struct Usage {
    state: Mutex<State>,
    /// Told when a model that does not stay for ever is used no more.
    idle: Arc<Notify>,
}

/// What becomes of a model in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    ForEver,
    /// Its last lease will say when it ends.
    WhileUsed,
    Until(Instant),
    Over,
}

struct State {
    leases: usize,
    /// When the last lease ended.
    since: Instant,
    keep_alive: KeepAlive,
}

impl Resident {
    /// A model that has just come; `idle` hears when it is used no more.
    pub(super) fn new(model: LoadedModel, keep_alive: KeepAlive, idle: &Arc<Notify>) -> Resident {
        let state = State { leases: 0, since: Instant::now(), keep_alive };
        let usage = Usage { state: Mutex::new(state), idle: Arc::clone(idle) };
        Resident { model: Arc::new(model), usage: Arc::new(usage) }
    }

    pub(crate) fn lease(&self) -> Lease {
        self.usage.state().leases += 1;
        Lease { model: Arc::clone(&self.model), usage: Arc::clone(&self.usage), adapter: None }
    }

    pub(crate) fn model(&self) -> &Arc<LoadedModel> {
        &self.model
    }

    /// When it leaves memory if nobody uses it until then; `None` if it stays.
    pub(crate) fn expires(&self) -> Option<Instant> {
        let state = self.usage.state();
        let since = if state.leases == 0 { state.since } else { Instant::now() };
        state.expires(since)
    }

    /// Whether it may leave memory now, or when it may.
    pub(super) fn stay(&self, now: Instant) -> Stay {
        let state = self.usage.state();
        match state.expires(state.since) {
            None => Stay::ForEver,
            Some(_) if state.leases > 0 => Stay::WhileUsed,
            Some(at) if at > now => Stay::Until(at),
            // An answer that nobody reads any more may still be computed.
            Some(_) if self.is_computing() => Stay::Until(now + AGAIN),
            Some(_) => Stay::Over,
        }
    }

    /// Since when nobody has used a model that does not stay for ever.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.usage.state();
        let idle = state.leases == 0 && state.keep_alive != KeepAlive::Forever && !self.is_computing();
        idle.then_some(state.since)
    }

    fn is_computing(&self) -> bool {
        let stats = self.model.engine().stats();
        stats.running + stats.waiting > 0
    }

    pub(crate) fn keep(&self, keep_alive: KeepAlive) {
        self.usage.keep(keep_alive);
    }

    pub(crate) fn keep_alive(&self) -> KeepAlive {
        self.usage.state().keep_alive
    }
}

impl Lease {
    /// With an adapter of the model.
    pub(super) fn adapted(mut self, adapter: Option<Arc<NamedAdapter>>) -> Lease {
        self.adapter = adapter;
        self
    }

    pub(crate) fn adapter(&self) -> Option<&Arc<Adapter>> {
        self.adapter.as_ref().map(|named| &named.adapter)
    }

    /// The name of who answers: the model's, with the adapter's behind it.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        let model = &self.model.info.name;
        self.adapter.as_ref().map_or(Cow::Borrowed(model.as_str()), |named| format!("{model}:{}", named.name).into())
    }

    /// A request as it is asked of the model.
    pub(crate) fn asking<'a>(&self, ask: Cow<'a, Ask>) -> Cow<'a, Ask> {
        match self.adapter() {
            None => ask,
            Some(adapter) => Cow::Owned(Ask { adapter: Some(Arc::clone(adapter)), ..ask.into_owned() }),
        }
    }

    /// Whether the model is asked without an adapter, as for what is not generated.
    ///
    /// # Errors
    /// If not.
    pub(crate) fn check_plain(&self) -> Result<(), Problem> {
        let Some(adapter) = &self.adapter else { return Ok(()) };
        let message = format!(
            "Adapters count for what is generated alone: ask {} without {}, or serve a model that it is merged into (whinchat \
             convert --lora).",
            self.model.info.name, adapter.name
        );
        Err(Problem::of(Kind::Ask(answer::Kind::Unsupported), "model", message))
    }

    /// Sets how long the model stays when nobody uses it any more.
    pub(crate) fn keep(&self, keep_alive: KeepAlive) {
        self.usage.keep(keep_alive);
    }

    pub(crate) fn model(&self) -> &Arc<LoadedModel> {
        &self.model
    }
}

impl State {
    /// A time that no clock reaches is for ever.
    fn expires(&self, since: Instant) -> Option<Instant> {
        match self.keep_alive {
            KeepAlive::Forever => None,
            KeepAlive::For(time) => since.checked_add(time),
        }
    }
}

impl Usage {
    fn keep(&self, keep_alive: KeepAlive) {
        self.state().keep_alive = keep_alive;
        self.idle.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Lease {
    type Target = LoadedModel;

    fn deref(&self) -> &LoadedModel {
        &self.model
    }
}

impl Clone for Lease {
    fn clone(&self) -> Lease {
        self.usage.state().leases += 1;
        Lease { model: Arc::clone(&self.model), usage: Arc::clone(&self.usage), adapter: self.adapter.clone() }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.usage.state();
        state.leases -= 1;
        if state.leases == 0 {
            state.since = Instant::now();
        }
        let leaves = state.leases == 0 && state.keep_alive != KeepAlive::Forever;
        drop(state);
        if leaves {
            self.usage.idle.notify_one();
        }
    }
}
