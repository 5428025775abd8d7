//! What is served: models by name, and the state of the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use answer::LoadedModel;
use engine::Liveness;
use telemetry::Metrics;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::scheduling::Scheduling;
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

/// A model to be loaded. `None` means: as for the model that the server was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOrder {
    /// A file, a folder or a name of the hub.
    pub source: String,
    /// The name clients use (default: the model's own).
    pub name: Option<String>,
    /// Longest sequence, prompt and answer.
    pub context: Option<usize>,
    /// Positions that the KV cache holds over all sequences.
    pub kv_tokens: Option<usize>,
    /// Sequences that run at once.
    pub max_sequences: Option<usize>,
}

/// Brings models into memory.
pub trait Loader: Send + Sync {
    /// Blocks until the model is ready.
    ///
    /// # Errors
    /// Why it cannot be loaded, in words for who asked; nothing of it is left then.
    fn load(&self, order: &LoadOrder) -> Result<LoadedModel, String>;
}

/// The server's shared state: starts in `loading`, becomes `ready` with its models, ends in `draining`.
pub struct App {
    models: RwLock<Models>,
    any_name: AtomicBool,
    /// Requests whose answers are not complete.
    pub(crate) open: TaskTracker,
    /// Tokenizing and parsing at once: more threads than cores would only take them from the engine.
    pub(crate) blocking: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
    /// With what models are loaded on request; empty if none are.
    pub(crate) loader: OnceLock<Box<dyn Loader>>,
    /// Held by who loads a model: one after the other, so that each sees what memory is left.
    pub(crate) loading: tokio::sync::Mutex<()>,
    /// Responses that are kept.
    pub(crate) responses: Arc<Store>,
    /// Files and batches; empty if none are kept.
    #[cfg(feature = "batches")]
    pub(crate) batches: OnceLock<Arc<crate::wire::Batches>>,
    /// Where sessions are kept; empty if none are.
    pub(crate) sessions: OnceLock<Box<dyn SessionFiles>>,
    /// What is between requests and engines.
    pub(crate) scheduling: Scheduling,
}

#[derive(Default)]
struct Models {
    served: Vec<Arc<LoadedModel>>,
    draining: bool,
}

impl App {
    /// Nothing loaded yet: /health says loading.
    pub fn new() -> Arc<App> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let blocking = Arc::new(Semaphore::new(cores));
        let (models, any_name) = (RwLock::default(), AtomicBool::new(false));
        let responses = Arc::default();
        Arc::new(App {
            models,
            any_name,
            open: TaskTracker::new(),
            blocking,
            metrics: Metrics::default(),
            loader: OnceLock::new(),
            loading: Default::default(),
            responses,
            #[cfg(feature = "batches")]
            batches: OnceLock::new(),
            sessions: OnceLock::new(),
            scheduling: Scheduling::default(),
        })
    }

    /// Lets the first model answer to every name that no model has.
    pub fn answer_to_any_name(&self) {
        self.any_name.store(true, Ordering::Relaxed);
    }

    /// Lets models be loaded and taken away over HTTP, from this machine. Only the first loader counts.
    pub fn load_on_request(&self, loader: impl Loader + 'static) {
        let _ = self.loader.set(Box::new(loader));
    }

    /// Keeps files and batches in `store`, and answers batches in the background, on the runtime that this is called on. Only the
    /// first store counts.
    #[cfg(feature = "batches")]
    pub fn keep_batches(self: &Arc<Self>, store: batch::Store) {
        if self.batches.set(Arc::new(crate::wire::Batches::new(store))).is_ok() {
            tokio::spawn(crate::wire::work_on_batches(Arc::downgrade(self)));
        }
    }

    /// Lets sessions be saved and restored over HTTP. Only the first place for them counts.
    pub fn keep_sessions(&self, files: impl SessionFiles + 'static) {
        let _ = self.sessions.set(Box::new(files));
    }

    /// Whether models can be loaded on request.
    pub(crate) fn loads(&self) -> bool {
        self.loader.get().is_some()
    }

    /// Adds a model, or puts it in the place of the one with its name, which finishes what it began; the first model is
    /// `default`. Gives the one that was replaced; dropping the last reference to it ends what it still answers, so wait
    /// for it with [`LoadedModel::join`].
    pub fn add(&self, model: LoadedModel) -> Option<Arc<LoadedModel>> {
        let mut models = self.write();
        let model = Arc::new(model);
        let place = models.served.iter_mut().find(|served| served.info.name == model.info.name);
        let replaced = match place {
            Some(place) => Some(std::mem::replace(place, model)),
            None => {
                models.served.push(model);
                None
            }
        };
        drop(models);
        replaced.inspect(|old| old.engine().drain())
    }

    /// Takes a model away; it finishes what it began, as in [`App::add`].
    pub fn remove(&self, name: &str) -> Option<Arc<LoadedModel>> {
        let mut models = self.write();
        let at = models.served.iter().position(|served| served.info.name == name)?;
        let removed = models.served.remove(at);
        drop(models);
        self.metrics.gone(name);
        removed.engine().drain();
        Some(removed)
    }

    /// Takes no more requests; engines are told to drain.
    pub fn drain(&self) {
        let mut models = self.write();
        models.draining = true;
        models.served.iter().for_each(|served| served.engine().drain());
    }

    /// The state now.
    pub fn state(&self) -> State {
        let models = self.read();
        let failed = models.served.iter().filter(|served| failure(served).is_some()).count();
        match (failed, models.served.len()) {
            _ if models.draining => State::Draining,
            (_, 0) => State::Loading,
            (0, _) => State::Ready,
            (failed, all) if failed < all => State::Degraded,
            _ => State::Failed,
        }
    }

    /// Every model, in the order of loading.
    pub(crate) fn loaded(&self) -> Vec<Arc<LoadedModel>> {
        self.read().served.clone()
    }

    /// Every model with the reason why it answers nobody, if there is one, in the order of loading.
    pub(crate) fn health(&self) -> Vec<(String, Option<Arc<str>>)> {
        self.read().served.iter().map(|served| (served.info.name.clone(), failure(served))).collect()
    }

    /// Ends every answer now.
    pub(crate) fn stop(&self) {
        self.read().served.iter().for_each(|served| served.engine().stop());
    }

    /// All models, in the order of loading.
    pub(crate) fn models(&self) -> Result<Vec<Arc<LoadedModel>>, Problem> {
        match self.state() {
            State::Loading => Err(Problem::new(Kind::Loading, "The model is being loaded. Try again later.")),
            State::Draining => Err(Problem::new(Kind::Draining, "The server is going down. Try again later.")),
            State::Ready | State::Degraded | State::Failed => Ok(self.read().served.clone()),
        }
    }

    /// Whether any model takes a request now: what can be said before a request's body is read.
    pub(crate) fn check_room(&self) -> Result<(), Problem> {
        let mut full = None;
        for served in self.models()? {
            match served.check_queue(1) {
                Ok(()) => return Ok(()),
                Err(problem) => full = Some(problem),
            }
        }
        full.map_or(Ok(()), |problem| Err(problem.into()))
    }

    /// The model of this name; the first one if it is `None`, empty or `default`, or if it answers to any name.
    pub(crate) fn model(&self, name: Option<&str>) -> Result<Arc<LoadedModel>, Problem> {
        let models = self.models()?;
        let name = name.unwrap_or_default();
        let named = models.iter().find(|served| served.info.name == name);
        let any = self.any_name.load(Ordering::Relaxed);
        let first = models.first().filter(|_| any || matches!(name, "" | "default"));
        named.or(first).cloned().ok_or_else(|| {
            let names = models.iter().map(|served| served.info.name.as_str()).collect::<Vec<_>>().join(", ");
            let message = format!(
                "The model `{name}` does not exist. There is: {names} (or `default`). With --any-model-name the server \
                 answers to every name."
            );
            Problem::of(Kind::ModelNotFound, "model", message)
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Models> {
        self.models.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Models> {
        self.models.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a model answers nobody.
fn failure(model: &LoadedModel) -> Option<Arc<str>> {
    match model.engine().liveness() {
        Liveness::Failed(why) => Some(why),
        Liveness::Running | Liveness::Draining | Liveness::Ended => None,
    }
}
