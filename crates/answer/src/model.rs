//! A model that answers: what is known of it, its engine, and the thread on which the engine runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::{EngineHandle, Executor, Observer, RequestId, Setup};
use text::{ChatTemplate, Constrainer, ConstraintError, Dialect, Encode, EncodeOptions, Tokenizer};

use crate::adapters::Adapters;
use crate::mask::MaskMaker;
use crate::steering::KnownBreakers;
use crate::{Embedder, Reading, Sampling};

/// Gives the time since some fixed moment.
pub(crate) type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What is known of a model apart from its weights.
pub struct ModelInfo {
    /// What it is called.
    pub name: String,
    /// Text to tokens and back.
    pub tokenizer: Arc<Tokenizer>,
    /// Its chat template, or why there is none (said to who asks for a chat).
    pub template: Result<ChatTemplate, String>,
    /// How it writes reasoning and tool calls.
    pub dialect: Dialect,
    /// Its own settings, then the program's defaults: what holds where a request is silent.
    pub sampling: Sampling,
    /// Tokens that end an answer.
    pub stop_tokens: Arc<[u32]>,
    /// When it was loaded, in seconds since 1970.
    pub created: u64,
}

/// What gives rows for texts that are not continued.
#[derive(Default)]
pub(crate) struct Rows {
    /// Hidden states.
    pub(crate) embedder: Option<Embedder>,
    /// Logits, or scores.
    pub(crate) judge: Option<Embedder>,
    pub(crate) reading: Reading,
    /// The prompt that ranks a document, with `{query}` and `{document}` in it, where it is not the chat template's.
    pub(crate) pair_template: Option<String>,
}

/// What an engine was started for.
#[derive(Clone, Copy)]
struct Sizes {
    /// Longest sequence.
    context: usize,
    /// Sequences that run at once.
    streams: usize,
}

/// A model in memory, run by an engine on a thread of its own. Dropping it stops the engine and waits for its thread.
pub struct LoadedModel {
    /// What is known of it.
    pub info: ModelInfo,
    /// What makes tokens of texts: its tokenizer, or one elsewhere.
    pub(crate) encoder: Arc<dyn Encode>,
    /// Control tokens that its dialect has to see.
    pub(crate) markers: Arc<[u32]>,
    /// Its vocabulary as constraints need it; made when it is first asked for.
    pub(crate) constrainer: OnceLock<Result<Constrainer, ConstraintError>>,
    pub(crate) rows: Rows,
    /// Started when it is first needed.
    pub(crate) masks: OnceLock<MaskMaker>,
    pub(crate) breakers: KnownBreakers,
    pub(crate) adapters: Adapters,
    sizes: Sizes,
    engine: EngineHandle,
    pub(crate) clock: Clock,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LoadedModel {
    /// Starts the engine of a model. `clock` gives the time since some fixed moment; `observer` hears what the engine does.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        info: ModelInfo,
        executor: impl Executor + 'static,
        setup: impl Into<Setup>,
        clock: impl Fn() -> Duration + Send + Sync + 'static,
        observer: impl Observer + 'static,
    ) -> std::io::Result<LoadedModel> {
        let setup = setup.into();
        let sizes = Sizes { context: setup.config.context, streams: setup.config.max_sequences };
        let clock: Clock = Arc::new(clock);
        let engines = Arc::clone(&clock);
        let (engine, thread) = engine::spawn(executor, setup, move || engines(), observer)?;
        let thread = Mutex::new(Some(thread));
        Ok(LoadedModel {
            markers: markers(&info),
            encoder: Arc::clone(&info.tokenizer) as Arc<dyn Encode>,
            constrainer: OnceLock::new(),
            masks: OnceLock::new(),
            breakers: KnownBreakers::default(),
            info,
            rows: Rows::default(),
            adapters: Adapters::default(),
            sizes,
            engine,
            clock,
            thread,
        })
    }

    /// With another one that makes tokens of texts; their vocabulary is that of [`ModelInfo::tokenizer`].
    #[must_use]
    pub fn with_encoder(mut self, encoder: Arc<dyn Encode>) -> LoadedModel {
        self.encoder = encoder;
        self
    }

    /// Its engine: counters, liveness, draining and stopping.
    pub fn engine(&self) -> &EngineHandle {
        &self.engine
    }

    /// Longest sequence, prompt and answer.
    pub fn context(&self) -> usize {
        self.sizes.context
    }

    /// Sequences that run at once.
    pub fn streams(&self) -> usize {
        self.sizes.streams
    }

    /// Waits until the engine's thread has ended: after [`EngineHandle::drain`], when the last answer has.
    pub fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that panicked has ended too; the engine's liveness says so.
        thread.into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// A name for a request, which no other request of the process has.
pub(crate) fn next_id() -> RequestId {
    static IDS: AtomicU64 = AtomicU64::new(0);
    RequestId(IDS.fetch_add(1, Ordering::Relaxed))
}

impl Drop for LoadedModel {
    fn drop(&mut self) {
        self.engine.stop();
        self.join();
    }
}

/// The ids of the dialect's markers that are tokens without text.
fn markers(info: &ModelInfo) -> Arc<[u32]> {
    let tokenizer = &info.tokenizer;
    let id = |marker: &&str| match tokenizer.encode(marker, EncodeOptions { add_special: false, parse_special: true })[..]
    {
        [id] if tokenizer.bytes(id).is_empty() => Some(id),
        _ => None,
    };
    info.dialect.markers().iter().filter_map(id).collect()
}
