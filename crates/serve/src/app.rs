//! What is served: models by name, and the state of the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use engine::EngineHandle;
use text::{ChatTemplate, Tokenizer};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{Kind, Problem};

/// A model's own suggestions where a request is silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplingDefaults {
    /// Temperature.
    pub temperature: Option<f32>,
    /// Top-k.
    pub top_k: Option<usize>,
    /// Top-p.
    pub top_p: Option<f32>,
    /// Min-p.
    pub min_p: Option<f32>,
    /// Repetition penalty.
    pub repetition_penalty: Option<f32>,
}

/// A loaded model.
pub struct Served {
    /// The name clients use.
    pub name: String,
    /// Text to tokens and back.
    pub tokenizer: Arc<Tokenizer>,
    /// The model's chat template, or why there is none (said to who asks for a chat).
    pub template: Result<ChatTemplate, String>,
    /// The engine that runs it.
    pub engine: EngineHandle,
    /// Longest sequence, prompt and answer.
    pub context: usize,
    /// Tokens that end an answer.
    pub stop_tokens: Arc<[u32]>,
    /// Where a request is silent.
    pub defaults: SamplingDefaults,
    /// Seconds since 1970 when it was loaded.
    pub created: u64,
}

/// What the process can do for clients now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No model yet.
    Loading,
    /// Answers.
    Ready,
    /// Finishes what it began.
    Draining,
}

/// The server's shared state: starts in `loading`, becomes `ready` with its models, ends in `draining`.
pub struct App {
    models: RwLock<Models>,
    ids: AtomicU64,
    /// Requests whose answers are not complete.
    pub(crate) open: TaskTracker,
    /// Tokenizing and parsing at once: more threads than cores would only take them from the engine.
    pub(crate) blocking: Arc<Semaphore>,
}

#[derive(Default)]
struct Models {
    served: Vec<Arc<Served>>,
    draining: bool,
}

impl App {
    /// Nothing loaded yet: /health says loading.
    pub fn new() -> Arc<App> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(App {
            models: RwLock::default(),
            ids: AtomicU64::new(0),
            open: TaskTracker::new(),
            blocking: Arc::new(Semaphore::new(cores)),
        })
    }

    /// Adds a model; the first one is `default`. The state becomes ready.
    pub fn add(&self, model: Served) {
        self.write().served.push(Arc::new(model));
    }

    /// Takes no more requests; engines are told to drain.
    pub fn drain(&self) {
        let mut models = self.write();
        models.draining = true;
        models.served.iter().for_each(|served| served.engine.drain());
    }

    /// The state now.
    pub fn state(&self) -> State {
        let models = self.read();
        match models.served.is_empty() {
            _ if models.draining => State::Draining,
            true => State::Loading,
            false => State::Ready,
        }
    }

    /// Ends every answer now.
    pub(crate) fn stop(&self) {
        self.read().served.iter().for_each(|served| served.engine.stop());
    }

    /// All models, in the order of loading.
    pub(crate) fn models(&self) -> Result<Vec<Arc<Served>>, Problem> {
        match self.state() {
            State::Loading => Err(Problem::new(Kind::Loading, "The model is being loaded. Try again later.")),
            State::Draining => Err(Problem::new(Kind::Draining, "The server is going down. Try again later.")),
            State::Ready => Ok(self.read().served.clone()),
        }
    }

    /// The model of this name; the first one if it is `None`, empty or `default`.
    pub(crate) fn model(&self, name: Option<&str>) -> Result<Arc<Served>, Problem> {
        let models = self.models()?;
        let name = name.unwrap_or_default();
        let named = models.iter().find(|served| served.name == name);
        let first = models.first().filter(|_| matches!(name, "" | "default"));
        named.or(first).cloned().ok_or_else(|| {
            let names = models.iter().map(|served| served.name.as_str()).collect::<Vec<_>>().join(", ");
            let message = format!("The model `{name}` does not exist. There is: {names} (or `default`).");
            Problem::of(Kind::ModelNotFound, "model", message)
        })
    }

    /// A number never given before.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Models> {
        self.models.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Models> {
        self.models.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
