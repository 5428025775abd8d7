//! What is served, and the state of the process.

use std::sync::{Arc, OnceLock};

use answer::LoadedModel;
use engine::Liveness;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::configured::Told;
use crate::faults::Faults;
use crate::memory::Policies;
use crate::models::{Models, Version};
use crate::plans::Plans;
use crate::routes::Routes;
use crate::scheduling::Scheduling;
use crate::services::Elsewhere;
use crate::watch::Watch;
use crate::wire::Store;
use crate::{Kind, Problem, SessionFiles};

/// What the process can do for clients now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No model yet.
    Loading,
    /// Every model answers.
    Ready,
    /// Some models have failed, others answer.
    Degraded,
    /// Every model has failed.
    Failed,
    /// Finishes what it began.
    Draining,
}

/// The server's shared state: starts in `loading`, becomes `ready` with its models, ends in `draining`.
pub struct App {
    /// The models, and what brings them into memory.
    pub(crate) models: Models,
    /// Public names over models.
    pub(crate) routes: Routes,
    pub(crate) told: Told,
    /// Requests whose answers are not complete.
    pub(crate) open: TaskTracker,
    /// Tokenizing and parsing at once: more threads than cores would only take them from the engine.
    pub(crate) blocking: Arc<Semaphore>,
    /// What is counted of engines and requests.
    pub(crate) watch: Watch,
    /// Responses that are kept.
    pub(crate) responses: Arc<Store>,
    /// Files and batches; empty if none are kept.
    #[cfg(feature = "batches")]
    pub(crate) batches: OnceLock<Arc<crate::wire::Batches>>,
    /// Where sessions are kept; empty if none are.
    pub(crate) sessions: OnceLock<Box<dyn SessionFiles>>,
    /// What is between requests and engines.
    pub(crate) scheduling: Scheduling,
    /// Faults on purpose.
    pub(crate) faults: Faults,
    /// What is known of plans and memory from outside.
    pub(crate) outside: Outside,
}

/// What others bring along to models.
#[derive(Default)]
pub(crate) struct Outside {
    /// Who knows the plans of models.
    pub(crate) plans: OnceLock<Arc<dyn Plans>>,
    /// Who decides what is evicted.
    pub(crate) policies: Policies,
    /// Stages that are elsewhere; empty if none is.
    pub(crate) services: OnceLock<Vec<Arc<dyn Elsewhere>>>,
}

impl App {
    /// Nothing loaded yet: /health says loading.
    pub fn new() -> Arc<App> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let blocking = Arc::new(Semaphore::new(cores));
        let responses = Arc::default();
        Arc::new(App {
            models: Models::default(),
            routes: Routes::default(),
            told: Told::default(),
            open: TaskTracker::new(),
            blocking,
            watch: Watch::default(),
            responses,
            #[cfg(feature = "batches")]
            batches: OnceLock::new(),
            sessions: OnceLock::new(),
            scheduling: Scheduling::default(),
            faults: Faults::default(),
            outside: Outside::default(),
        })
    }

    /// Keeps files and batches in `store`, and answers batches in the background, on the runtime that this is called on. Only the
    /// first store counts. The history of what was measured is kept there too.
    #[cfg(feature = "batches")]
    pub fn keep_batches(self: &Arc<Self>, store: batch::Store) {
        crate::watch::restore(self, &store);
        let kept = crate::wire::Batches::new(store);
        if self.batches.set(Arc::new(kept)).is_ok() {
            if let Some(batches) = self.batches.get() {
                crate::releases::restore(self, batches.store());
            }
            tokio::spawn(crate::wire::work_on_batches(Arc::downgrade(self)));
        }
    }

    /// Lets sessions be saved and restored over HTTP. Only the first place for them counts.
    pub fn keep_sessions(&self, files: impl SessionFiles + 'static) {
        let _ = self.sessions.set(Box::new(files));
    }

    /// Takes no more requests; engines are told to drain.
    pub fn drain(&self) {
        let mut catalog = self.models.write();
        catalog.draining = true;
        catalog.residents().for_each(|resident| resident.model().engine().drain());
    }

    /// The state now. A model that is not in memory answers as soon as it is asked.
    pub fn state(&self) -> State {
        let catalog = self.models.read();
        let failed = catalog.residents().filter(|resident| failure(resident.model()).is_some()).count();
        match (failed, catalog.versions().count()) {
            _ if catalog.draining => State::Draining,
            (_, 0) => State::Loading,
            (0, _) => State::Ready,
            (failed, all) if failed < all => State::Degraded,
            _ => State::Failed,
        }
    }

    /// Every model in memory, in the order of loading.
    pub(crate) fn loaded(&self) -> Vec<Arc<LoadedModel>> {
        self.models.read().residents().map(|resident| Arc::clone(resident.model())).collect()
    }

    /// Every name with what becomes of who asks for it, in a word, or the reason why nobody is answered; and the further replicas of each.
    pub(crate) fn health(&self) -> Vec<(String, String)> {
        let word = |version: &Version| match version.model().map(|model| failure(model)) {
            None => "not loaded".to_owned(),
            Some(None) => "ready".to_owned(),
            Some(Some(why)) => format!("failed: {why}"),
        };
        let catalog = self.models.read();
        let mut words = Vec::new();
        for entry in &catalog.entries {
            words.extend(entry.current().map(|version| (entry.name.clone(), word(version))));
            let replicas = self.routes.replicas(&entry.name);
            let others = entry.versions.iter().filter(|version| replicas.contains(&version.id));
            words.extend(others.map(|version| (format!("{}@{}", entry.name, version.id), word(version))));
        }
        words
    }

    /// Engines of a model, of all versions in memory: those that compute, and those that have failed.
    pub(crate) fn engines(&self, name: &str) -> [usize; 2] {
        let all = self.loaded();
        let own = || all.iter().filter(|model| model.info.name == name);
        let failed = own().filter(|model| failure(model).is_some()).count();
        [own().count() - failed, failed]
    }

    /// Ends every answer now.
    pub(crate) fn stop(&self) {
        self.models.read().residents().for_each(|resident| resident.model().engine().stop());
    }

    /// Whether the server answers requests now.
    pub(crate) fn check_open(&self) -> Result<(), Problem> {
        match self.state() {
            State::Loading => Err(Problem::new(Kind::Loading, "The model is being loaded. Try again later.")),
            State::Draining => Err(Problem::new(Kind::Draining, "The server is going down. Try again later.")),
            State::Ready | State::Degraded | State::Failed => Ok(()),
        }
    }

    /// Whether any model takes a request now: what can be said before a request's body is read.
    pub(crate) fn check_room(&self) -> Result<(), Problem> {
        self.check_open()?;
        let mut full = None;
        for version in self.models.read().versions() {
            // One that is not in memory has an empty queue.
            match version.model().map_or(Ok(()), |model| model.check_queue(1)) {
                Ok(()) => return Ok(()),
                Err(problem) => full = Some(problem),
            }
        }
        full.map_or(Ok(()), |problem| Err(problem.into()))
    }
}

/// Why a model answers nobody.
fn failure(model: &LoadedModel) -> Option<Arc<str>> {
    match model.engine().liveness() {
        Liveness::Failed(why) => Some(why),
        Liveness::Running | Liveness::Draining | Liveness::Ended => None,
    }
}
