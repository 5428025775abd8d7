//! Releases: a candidate takes the place of a stable variant step by step, or does not. What decides is the crate `release`; here
//! its decisions take effect, and its journal is kept before they do.

mod about;
mod hooks;
mod models;
#[cfg(feature = "batches")]
mod restored;
mod running;
mod seen;
mod shown;
mod start;
#[cfg_attr(feature = "batches", path = "store.rs")]
#[cfg_attr(not(feature = "batches"), path = "forgotten.rs")]
mod store;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use release::{Entry, Event, Plan, Sample};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::about::{About, End};
pub(crate) use self::hooks::alarm;
#[cfg(feature = "batches")]
pub(crate) use self::restored::restore;
pub(crate) use self::seen::{Compared, View};
pub(crate) use self::shown::{Journal, changes, compared, decision, explained, history, shown, told};
pub(crate) use self::start::{Candidate, KnownBefore, Wanted};
use crate::models::Lease;
use crate::{App, Kind, Problem};

/// Things that wait to be told to a release, at most. What comes then is left out: it would be late.
const WAITING: usize = 1 << 14;

/// Releases that are remembered, besides those under way and the last of each route that was promoted: that one says who answers.
const REMEMBERED: usize = 64;

/// Entries of a journal that are kept where there is no database.
const MOST_ENTRIES: usize = 1 << 18;

/// Says what time it is, since 1970.
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// The releases of a server, the oldest first.
#[derive(Default)]
pub(crate) struct Releases {
    all: RwLock<Vec<Arc<Trial>>>,
    /// Held by who starts one.
    starting: tokio::sync::Mutex<()>,
    clock: RwLock<Option<Clock>>,
}

/// A release, and who hears of it.
pub(crate) struct Trial {
    about: Mutex<About>,
    tell: mpsc::Sender<Told>,
    view: watch::Sender<Arc<View>>,
    /// Its journal, where no database keeps it; none if it has become too long.
    entries: Mutex<Option<Vec<Entry>>>,
}

/// What is told to a release.
pub(crate) enum Told {
    /// Something has happened.
    Event(Event, Option<Sample>),
    /// Somebody wants something, and hears what comes of it.
    Command(Event, oneshot::Sender<Result<(), Problem>>),
    /// Both models are there, or why not.
    Warm(Result<Vec<Lease>, Problem>),
    /// What somebody outside says of what is about to happen: a reason against it, or none.
    Heard(Option<String>),
}

impl Releases {
    /// Microseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        let clock = self.clock.read().unwrap_or_else(PoisonError::into_inner);
        let system = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = clock.as_ref().map_or_else(system, |clock| clock());
        u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
    }

    /// Every release, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Trial>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The release of this id, the newest of a route of this name, or the newest of all for `latest`.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Trial>, Problem> {
        let mut all = self.all();
        all.reverse();
        let by_id = || all.iter().find(|trial| trial.about().id == name);
        let by_route = || all.iter().find(|trial| trial.about().route == name);
        let latest = || all.first().filter(|_| name == "latest");
        let message =
            || format!("There is no release {name}, and none of a route of that name. GET /admin/releases lists them.");
        let none = || Problem::of(Kind::ReleaseNotFound, "id", message());
        by_id().or_else(by_route).or_else(latest).cloned().ok_or_else(none)
    }

    /// The release that is under way on a route.
    pub(crate) fn open(&self, route: &str) -> Option<Arc<Trial>> {
        self.all().into_iter().find(|trial| trial.is_open() && trial.about().route == route)
    }

    /// Gives the ids of those that are forgotten for it.
    fn add(&self, trial: Arc<Trial>) -> Vec<String> {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.push(trial);
        let mut promoted = HashMap::new();
        for about in all.iter().map(|trial| trial.about()).filter(|about| about.is_promoted()) {
            promoted.insert(about.route.clone(), about.id.clone());
        }
        let old = &all[..all.len().saturating_sub(REMEMBERED)];
        let is_over = |trial: &&Arc<Trial>| {
            let about = trial.about();
            about.end.is_some() && promoted.get(&about.route) != Some(&about.id)
        };
        let over: HashSet<String> = old.iter().filter(is_over).map(|trial| trial.about().id.clone()).collect();
        all.retain(|trial| !over.contains(&trial.about().id));
        over.into_iter().collect()
    }
}

impl Trial {
    pub(crate) fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.about().end.is_none()
    }

    /// How it stands, now and later.
    pub(crate) fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// Tells it that something has happened.
    pub(crate) fn tell(&self, told: Told) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.tell.try_send(told) {
            tracing::warn!(release = self.about().id, "too much happens at once: a part does not count");
        }
    }

    /// Does what somebody wants.
    ///
    /// # Errors
    /// If it has ended, or ends in the meantime.
    pub(crate) async fn command(&self, event: Event) -> Result<(), Problem> {
        let over = || {
            let id = &self.about().id;
            Problem::of(
                Kind::ReleaseConflict,
                "id",
                format!("The release {id} has ended; nothing can be changed any more."),
            )
        };
        let (reply, heard) = oneshot::channel();
        if !self.is_open() || self.tell.send(Told::Command(event, reply)).await.is_err() {
            return Err(over());
        }
        heard.await.unwrap_or_else(|_| Err(over()))
    }

    fn entries(&self) -> MutexGuard<'_, Option<Vec<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Releases go by this clock, which says the time since 1970, and not by the system's.
    pub fn tell_time(&self, clock: impl Fn() -> Duration + Send + Sync + 'static) {
        *self.routes.releases.clock.write().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(clock));
    }

    /// What a release on a route does where it does not say.
    pub(crate) fn usual_plan(&self, route: &str) -> Plan {
        self.route(Some(route)).map_or_else(Plan::default, |named| named.setup.plan.clone())
    }
}
