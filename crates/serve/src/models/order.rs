//! What is ordered of a loader.

use answer::LoadedModel;

use super::KeepAlive;

/// A model to be loaded. `None` means: as for the model that the server was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOrder {
    /// A file, a folder or a name of the hub.
    pub source: String,
    /// The name clients use (default: the model's own).
    pub name: Option<String>,
    /// What this version of the name is called (default: the next number).
    pub version: Option<String>,
    /// How long it stays in memory when nobody uses it (default: the server's, [`crate::App::keep_alive`]).
    pub keep_alive: Option<KeepAlive>,
    /// Longest sequence, prompt and answer.
    pub context: Option<usize>,
    /// Positions that the KV cache holds over all sequences.
    pub kv_tokens: Option<usize>,
    /// Sequences that run at once.
    pub max_sequences: Option<usize>,
    /// A model that drafts for it; `None`: none does.
    pub draft_model: Option<String>,
    /// LoRA adapters that are loaded with it: names, and folders or files.
    pub adapters: Vec<(String, String)>,
}

/// Why a model was not loaded, in words for who asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// There is not enough memory: how much it takes, and how much is left. Without other models it may fit.
    #[error("{0}")]
    Memory(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Brings models into memory.
pub trait Loader: Send + Sync {
    /// Blocks until the model is ready.
    ///
    /// # Errors
    /// Why it cannot be loaded; nothing of it is left then.
    fn load(&self, order: &LoadOrder) -> Result<LoadedModel, LoadError>;

    /// How a model is loaded that no order has named, if a request may name it: the order has its name.
    fn find(&self, name: &str) -> Option<LoadOrder> {
        let _ = name;
        None
    }
}
