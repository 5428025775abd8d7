//! Faults on purpose: for a time, some requests are late, fail or are cut off, so that clients and dashboards can be tested
//! honestly. A server injects none unless it was started for it.
//!
//! Which requests are hit depends on the fault and on the request alone: its path, key, user, headers, model, and a hash of its
//! name. Without faults a request pays for a look at a counter.

mod cut;
mod fault;
mod late;
mod memory;
mod struck;
mod subject;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

pub(crate) use self::cut::cut;
pub(crate) use self::fault::{Fault, Harm, Whom, Wish};
pub(crate) use self::struck::Struck;
pub(crate) use self::subject::{Head, Subject};
use crate::models::{Key, Lease};
use crate::{App, Kind, Problem};

/// Faults at once at most.
const MOST: usize = 64;

/// The faults that last.
#[derive(Default)]
pub(crate) struct Faults {
    allowed: AtomicBool,
    /// How many last: all that a request looks at while there are none.
    count: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many there have been.
    numbered: u64,
    /// In the order in which they came.
    all: Vec<Arc<Fault>>,
}

impl App {
    /// Lets faults be injected over HTTP, by who may change models.
    pub fn allow_faults(&self) {
        self.faults.allowed.store(true, Ordering::Relaxed);
    }

    /// What befalls a request that this model is about to answer.
    ///
    /// # Errors
    /// If that is an error.
    pub(crate) fn strike(&self, subject: Option<&Subject>, lease: &Lease) -> Result<Struck, Problem> {
        let mut struck = Struck::default();
        let Some(subject) = subject.filter(|_| self.faults.last()) else { return Ok(struck) };
        let Some(key) = self.models.read().key_of(lease.model()) else { return Ok(struck) };
        for fault in self.faults.now(Instant::now()) {
            if fault.hits(subject, &key) {
                self.tell(&fault, &subject.head.id, &key);
                struck.add(&fault, subject)?;
            }
        }
        Ok(struck)
    }

    /// Injects a fault from now on.
    ///
    /// # Errors
    /// If there are too many, or it does not fit beside the others or the models that there are.
    pub(crate) fn inject(&self, wish: Wish, now: Instant) -> Result<Arc<Fault>, Problem> {
        self.end_faults(now);
        let mut state = self.faults.lock();
        if state.all.len() >= MOST {
            let message = format!("{MOST} faults last already, and no more may; DELETE /admin/faults ends them.");
            return Err(Problem::new(Kind::Ask(answer::Kind::InvalidValue), message));
        }
        let memory = self.withholding(&wish, &state.all)?;
        let id = format!("fault-{}", state.numbered + 1);
        let fault = Arc::new(Fault::new(id, wish, now, memory));
        state.numbered += 1;
        state.all.push(Arc::clone(&fault));
        self.faults.counted(&state);
        drop(state);
        tracing::warn!(fault = fault.id, kind = fault.harm.name(), "a fault is injected from now on");
        for key in fault.withhold() {
            self.tell(&fault, "-", &key);
        }
        Ok(fault)
    }

    /// Ends the faults that `chosen` names; gives their names.
    pub(crate) fn heal(&self, chosen: impl Fn(&Fault) -> bool) -> Vec<String> {
        let mut state = self.faults.lock();
        let ended: Vec<Arc<Fault>> = state.all.extract_if(.., |fault| chosen(fault)).collect();
        self.faults.counted(&state);
        drop(state);
        for fault in &ended {
            fault.end();
            tracing::warn!(fault = fault.id, kind = fault.harm.name(), hits = fault.hit(), "a fault has ended");
        }
        ended.iter().map(|fault| fault.id.clone()).collect()
    }

    /// Ends the faults whose time is over.
    pub(crate) fn end_faults(&self, now: Instant) {
        if self.faults.last() {
            self.heal(|fault| fault.until <= now);
        }
    }

    /// Counts a hit, and says in the log whose it is.
    fn tell(&self, fault: &Fault, request: &str, Key { name, version }: &Key) {
        let kind = fault.harm.name();
        self.watch.injected().one(kind);
        tracing::warn!(id = request, fault = fault.id, kind, model = name, version, "a fault hits a request");
    }
}

impl Faults {
    /// Whether faults may be injected.
    pub(crate) fn are_allowed(&self) -> bool {
        self.allowed.load(Ordering::Relaxed)
    }

    /// Whether any lasts.
    pub(crate) fn last(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Those that last at this time.
    pub(crate) fn now(&self, now: Instant) -> Vec<Arc<Fault>> {
        self.lock().all.iter().filter(|fault| fault.until > now).cloned().collect()
    }

    fn counted(&self, state: &State) {
        self.count.store(state.all.len(), Ordering::Relaxed);
    }

    /// A panic while it is held leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
