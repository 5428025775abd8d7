//! Loads models beside the first of a server, with its options and on its threads.

use std::ffi::OsStr;
use std::sync::{Arc, Weak};

use anyhow::Context;
use serve::{App, LoadError, LoadOrder, Loader};
use whinchat::hub::Hub;
use whinchat::{CacheOptions, Cpu, LoadOptions, LoadedModel, Model, Spill};

use crate::plans::Book;
use crate::terminal::whole_message;

/// Loads further models.
pub(super) struct Further {
    pub(super) options: LoadOptions,
    pub(super) cpu: Cpu,
    /// The app that has this loader.
    pub(super) app: Weak<App>,
    /// Whether a request may name any model that was pulled.
    pub(super) pulled: bool,
    /// Where plans are known.
    pub(super) book: Arc<Book>,
}

/// A model's weights and its KV cache take more memory than is left.
#[derive(Debug, thiserror::Error)]
#[error("its weights take {weights} and its KV cache up to {pool}{}, but {left} of memory are left", beside(.draft))]
struct Short {
    weights: indicatif::HumanBytes,
    pool: indicatif::HumanBytes,
    /// What its draft model takes of both, if it has one.
    draft: Option<indicatif::HumanBytes>,
    left: indicatif::HumanBytes,
}

fn beside(draft: &Option<indicatif::HumanBytes>) -> String {
    draft.as_ref().map_or(String::new(), |bytes| format!(", its draft model up to {bytes}"))
}

impl Further {
    /// Loads what `order` names; what it does not say is as for the first model.
    pub(super) fn start(&self, order: &LoadOrder) -> anyhow::Result<LoadedModel> {
        let source: &OsStr = order.source.as_ref();
        let prepared = whinchat::prepare(super::open(source)?, &super::with_draft(options_of(&self.options, order))?)?;
        if let (true, Some(available)) = (prepared.memory.is_short(), prepared.memory.available) {
            let memory = &prepared.memory;
            let [weights, pool, draft, left] =
                [memory.weights, memory.kv_pool, memory.draft_weights + memory.draft_kv_pool, available]
                    .map(indicatif::HumanBytes);
            return Err(Short { weights, pool, draft: prepared.draft().map(|_| draft), left }.into());
        }
        let app = self.app.upgrade().context("the server is going down")?;
        let observer = app.observer(&prepared.model_name());
        let model = Model::start_on(self.cpu.clone(), &prepared, observer, &|_, _, _| {});
        let model = model.with_context(|| format!("cannot load {}", source.to_string_lossy()))?;
        load_adapters(&model, &order.adapters)?;
        self.book.add(prepared, self.cpu.clone(), model.tuning());
        Ok(model.into_loaded())
    }
}

/// Loads the adapters that come with a model.
pub(super) fn load_adapters(model: &Model, adapters: &[(String, String)]) -> anyhow::Result<()> {
    let changes: Vec<_> = adapters.iter().map(|(name, source)| (name.clone(), Some(source.clone()))).collect();
    Ok(model.change_adapters(&changes)?)
}

/// The options of a further model: where its order says nothing, those of the first.
pub(super) fn options_of(first: &LoadOptions, order: &LoadOrder) -> LoadOptions {
    let cache = &first.cache;
    // A file is the first model's; others have one without a name beside it.
    let beside = |spill: &Spill| match (spill.path.is_dir(), spill.path.parent()) {
        (false, Some(folder)) if folder.as_os_str().is_empty() => Spill { path: ".".into(), bytes: spill.bytes },
        (false, Some(folder)) => Spill { path: folder.to_owned(), bytes: spill.bytes },
        _ => spill.clone(),
    };
    let spill = cache.spill.as_ref().map(beside);
    LoadOptions {
        name: order.name.clone(),
        context: order.context.or(first.context),
        cache: CacheOptions { kv_tokens: order.kv_tokens.or(cache.kv_tokens), spill, ..cache.clone() },
        max_sequences: order.max_sequences.or(first.max_sequences),
        // The first model's has another vocabulary, or may have.
        draft_model: order.draft_model.as_ref().map(Into::into),
        ..first.clone()
    }
}

impl Loader for Further {
    fn load(&self, order: &LoadOrder) -> Result<LoadedModel, LoadError> {
        self.start(order).map_err(|error| {
            let short = error.is::<Short>();
            let message = whole_message(&error);
            if short { LoadError::Memory(message) } else { LoadError::Other(message) }
        })
    }

    /// A model that was pulled, by its name in `whinchat list` or a short name for it.
    fn find(&self, name: &str) -> Option<LoadOrder> {
        if !self.pulled {
            return None;
        }
        let hub = Hub::from_env();
        let source = hub.pulled(name)?.name;
        Some(LoadOrder { name: Some(source.clone()), source, ..LoadOrder::default() })
    }
}
