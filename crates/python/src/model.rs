//! A model in memory.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use answer::{LoadedModel, PromptText};
use engine::Pooling;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use whinchat::{BUILTIN, Prepared};

use crate::asked::Asked;
use crate::batch::Batch;
use crate::errors::{self, of_problem};
use crate::generation::Generation;
use crate::matrix::Matrix;
use crate::options::{Loading, named, read};
use crate::policy::{Broken, Chosen};
use crate::tokenizer::Tokenizer;
use crate::wait::{drop_detached, future, on_thread};

/// A model in memory, run by an engine on its own thread.
#[pyclass(frozen, module = "whinchat._native")]
pub(crate) struct Model(Mutex<Option<Arc<Inner>>>);

/// What a model and its generations share.
pub(crate) struct Inner {
    /// `None` only while it is dropped.
    loaded: Option<LoadedModel>,
    chats: bool,
    template: Option<String>,
    /// What a policy in Python raised.
    broken: Broken,
}

impl Inner {
    pub(crate) fn loaded(&self) -> &LoadedModel {
        self.loaded.as_ref().expect("it is there until it is dropped")
    }

    /// # Errors
    /// If a policy in Python has raised something.
    pub(crate) fn check_policy(&self, py: Python<'_>) -> PyResult<()> {
        self.broken.check(py)
    }

    /// What `asked` asks for.
    pub(crate) fn ask(&self, asked: Asked) -> PyResult<answer::Ask> {
        asked.ask(self.chats)
    }
}

impl Drop for Inner {
    /// The engine's thread is waited for, and it may be waiting for the interpreter, to ask a policy.
    fn drop(&mut self) {
        drop_detached(self.loaded.take());
    }
}

impl Model {
    fn inner(&self) -> PyResult<Arc<Inner>> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        inner.ok_or_else(|| errors::raised("ClosedError", "the model is closed"))
    }
}

#[pymethods]
impl Model {
    /// Loads a model. `policy` is a policy in Python; `progress` hears a stage, bytes done and bytes in all.
    #[staticmethod]
    #[pyo3(signature = (loading, policy = None, progress = None))]
    fn load(py: Python<'_>, loading: &str, policy: Option<Py<PyAny>>, progress: Option<Py<PyAny>>) -> PyResult<Model> {
        let loading: Loading = read(loading)?;
        let options = loading.options()?;
        let source = loading.source.unwrap_or_else(|| PathBuf::from(BUILTIN));
        let broken = Broken::default();
        let chosen = policy.map(|policy| Chosen::new(py, policy, &broken)).transpose()?;
        let load = move || {
            let told = |stage: &str, done: u64, total: u64| {
                let Some(progress) = &progress else { return };
                // Who shows progress and fails shows none.
                let _ = Python::try_attach(|py| drop(progress.call1(py, (stage, done, total))));
            };
            let prepared = whinchat::prepare(whinchat::open(&source, &told)?, &options)?;
            start(&prepared, chosen, &told)
        };
        let model = on_thread(py, "loader", load)?.map_err(|error| errors::of_load(&error))?;
        let (chats, template) = (model.chats(), model.template().map(ToString::to_string));
        let inner = Inner { loaded: Some(model.into_loaded()), chats, template, broken };
        Ok(Model(Mutex::new(Some(Arc::new(inner)))))
    }

    /// Starts what is asked for.
    fn begin(&self, py: Python<'_>, asked: &str) -> PyResult<Generation> {
        let inner = self.inner()?;
        inner.check_policy(py)?;
        let ask = inner.ask(read(asked)?)?;
        let begun = py.detach(|| inner.loaded().begin(&ask));
        Ok(Generation::new(begun.map_err(|problem| of_problem(&problem))?, inner))
    }

    /// Answers many requests, whole, as they end.
    fn infer_batch(&self, py: Python<'_>, asked: Vec<String>) -> PyResult<Batch> {
        let inner = self.inner()?;
        inner.check_policy(py)?;
        Batch::start(inner, &asked)
    }

    /// The vector of each text.
    #[pyo3(signature = (texts, pooling = None, dimensions = None))]
    fn embed(
        &self,
        py: Python<'_>,
        texts: Vec<String>,
        pooling: Option<&str>,
        dimensions: Option<usize>,
    ) -> PyResult<Matrix> {
        let all = [("mean", Pooling::Mean), ("cls", Pooling::First), ("last", Pooling::Last)];
        let pooling = pooling.map(|name| named("pooling", name, all)).transpose()?;
        let inner = self.inner()?;
        let loaded = inner.loaded();
        let texts: Vec<_> = texts.into_iter().map(PromptText::Text).collect();
        let columns = loaded.embedding_width().unwrap_or_default().min(dimensions.unwrap_or(usize::MAX)).max(1);
        let begun = py.detach(|| {
            let tokens = loaded.embedding_tokens("texts", &texts, (None, None))?;
            loaded.embed(tokens, pooling)
        });
        let vectors = future(py, begun.map_err(|problem| of_problem(&problem))?)?;
        let vectors = vectors.map_err(|problem| of_problem(&problem))?;
        let vectors = vectors.into_iter().flat_map(|vector| answer::normalized(vector, dimensions));
        Ok(Matrix::rows(vectors.collect(), columns))
    }

    /// What the model expects after each token of a text or of token ids.
    fn logits(&self, py: Python<'_>, prompt: Bound<'_, PyAny>) -> PyResult<Matrix> {
        let text = match prompt.extract::<String>() {
            Ok(text) => PromptText::Text(text),
            Err(_) => PromptText::Tokens(prompt.extract()?),
        };
        let inner = self.inner()?;
        let loaded = inner.loaded();
        let begun = py.detach(|| {
            let tokens = loaded.embedding_tokens("prompt", &[text], (None, None))?;
            loaded.logits(tokens.into_iter().next().unwrap_or_default().ids)
        });
        let rows = future(py, begun.map_err(|problem| of_problem(&problem))?)?;
        let rows = rows.map_err(|problem| of_problem(&problem))?;
        Ok(Matrix::rows(rows, loaded.logits_width().unwrap_or(1)))
    }

    /// The prompt that the chat template makes of a conversation, as text.
    fn render(&self, asked: &str) -> PyResult<String> {
        let inner = self.inner()?;
        match inner.ask(read(asked)?)?.input {
            answer::Input::Chat(chat) => {
                let prompt = inner.loaded().render(&chat).map_err(|problem| of_problem(&problem))?;
                Ok(prompt.text().to_owned())
            }
            answer::Input::Prompts { .. } => Err(errors::invalid("messages", "there is no conversation to render")),
        }
    }

    #[getter]
    fn tokenizer(&self) -> PyResult<Tokenizer> {
        Ok(Tokenizer::new(Arc::clone(&self.inner()?.loaded().info.tokenizer)))
    }

    #[getter]
    fn name(&self) -> PyResult<String> {
        Ok(self.inner()?.loaded().info.name.clone())
    }

    /// Longest sequence, prompt and answer.
    #[getter]
    fn context(&self) -> PyResult<usize> {
        Ok(self.inner()?.loaded().context())
    }

    /// Sequences that run at once.
    #[getter]
    fn max_sequences(&self) -> PyResult<usize> {
        Ok(self.inner()?.loaded().streams())
    }

    /// Where its chat template comes from; None if it does not chat.
    #[getter]
    fn template(&self) -> PyResult<Option<String>> {
        Ok(self.inner()?.template.clone())
    }

    /// The engine's counters now.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.inner()?.loaded().engine().stats();
        let dict = PyDict::new(py);
        let counts = [
            ("waiting", stats.waiting as u64),
            ("running", stats.running as u64),
            ("kv_blocks", stats.kv_blocks as u64),
            ("kv_blocks_used", stats.kv_blocks_used as u64),
            ("kv_blocks_kept", stats.kv_blocks_kept as u64),
            ("steps", stats.steps),
            ("prompt_tokens", stats.prompt_tokens),
            ("found_tokens", stats.found_tokens),
            ("generated_tokens", stats.generated_tokens),
            ("failed_batches", stats.failed_batches),
        ];
        counts.iter().try_for_each(|(name, count)| dict.set_item(name, count))?;
        Ok(dict)
    }

    /// Ends the engine, once the generations under way are forgotten.
    fn close(&self) {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(inner);
    }
}

/// Brings a model into memory, with the policy that was chosen.
fn start(
    prepared: &Prepared,
    policy: Option<Chosen>,
    progress: whinchat::Progress<'_>,
) -> Result<whinchat::Model, whinchat::Error> {
    match policy {
        Some(policy) => whinchat::Model::start_with_policy(prepared.cpu(), prepared, ((), Box::new(policy)), progress),
        None => whinchat::Model::start(prepared, progress),
    }
}
