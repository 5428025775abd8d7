//! LoRA adapters beside a model: loaded and taken away while it answers. A request holds its own until it has ended.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use engine::Adapter;

use crate::{Kind, LoadedModel, Problem};

/// Reads an adapter of a model. The error says what is wrong, without a full stop.
pub type OpenAdapter = Box<dyn Fn(&Path) -> Result<Adapter, String> + Send + Sync>;

/// An adapter that a model has.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedAdapter {
    /// What clients call it.
    pub name: String,
    /// The folder or file that it was read from.
    pub source: String,
    /// What it changes.
    pub adapter: Arc<Adapter>,
}

/// The adapters of a model, in the order of their names.
#[derive(Default)]
pub(crate) struct Adapters {
    open: Option<OpenAdapter>,
    known: RwLock<Vec<Arc<NamedAdapter>>>,
}

impl Adapters {
    pub(crate) fn opened_by(open: OpenAdapter) -> Adapters {
        Adapters { open: Some(open), ..Adapters::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<NamedAdapter>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Arc<NamedAdapter>>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, name: &str, source: &str) -> Result<NamedAdapter, Problem> {
        check_name(name)?;
        let failed = |why: &str| {
            let message = format!("The adapter {name} was not loaded: {why}.");
            Problem::of(Kind::InvalidValue, "adapters", message)
        };
        let open = self.open.as_ref().ok_or_else(|| failed("what computes this model takes no adapters"))?;
        let adapter = open(Path::new(source)).map_err(|why| failed(why.trim_end_matches('.')))?;
        Ok(NamedAdapter { name: name.to_owned(), source: source.to_owned(), adapter: Arc::new(adapter) })
    }
}

impl LoadedModel {
    /// With who reads adapters for it.
    #[must_use]
    pub fn with_adapters(mut self, open: OpenAdapter) -> LoadedModel {
        self.adapters = Adapters::opened_by(open);
        self
    }

    /// Loads adapters, each as (name, folder or file), and takes away those without one. Where a name is there, the new adapter
    /// takes its place. What runs goes on with what it began with. Blocks while files are read; after an error all is as it was.
    ///
    /// # Errors
    /// If a name cannot be one, an adapter cannot be read or is none of this model, or there is none to be taken away.
    pub fn change_adapters(&self, changes: &[(String, Option<String>)]) -> Result<(), Problem> {
        let open = |(name, source): &(String, Option<String>)| match source {
            Some(source) => self.adapters.open(name, source).map(|opened| (name.clone(), Some(Arc::new(opened)))),
            None => Ok((name.clone(), None)),
        };
        let opened = changes.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let mut known = self.adapters.write();
        for (name, _) in opened.iter().filter(|(_, adapter)| adapter.is_none()) {
            if known.iter().all(|adapter| adapter.name != *name) {
                return Err(Problem::of(Kind::InvalidValue, "adapters", self.lacks(name, &known)));
            }
        }
        for (name, adapter) in opened {
            known.retain(|other| other.name != name);
            known.extend(adapter);
        }
        known.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(())
    }

    /// The adapter of this name.
    pub fn adapter(&self, name: &str) -> Option<Arc<NamedAdapter>> {
        self.adapters.read().iter().find(|adapter| adapter.name == name).cloned()
    }

    /// Its adapters, in the order of their names.
    pub fn adapters(&self) -> Vec<Arc<NamedAdapter>> {
        self.adapters.read().clone()
    }

    fn lacks(&self, name: &str, known: &[Arc<NamedAdapter>]) -> String {
        let names: Vec<&str> = known.iter().map(|adapter| adapter.name.as_str()).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("The model {} has no adapter {name}. There is: {there}.", self.info.name)
    }
}

/// A name stands behind a colon, and no version does behind it.
fn check_name(name: &str) -> Result<(), Problem> {
    if !name.is_empty() && !name.contains([':', '@', '\0']) {
        return Ok(());
    }
    let message = format!("The name of an adapter must not be empty and have no : or @, but it is {name:?}.");
    Err(Problem::of(Kind::InvalidValue, "adapters", message))
}
