//! What names of adapters mean, and which adapters versions of models have.

use std::sync::Arc;

use answer::LoadedModel;

use super::{Catalog, Entry, Key, Version};
use crate::{Kind, Problem};

impl Catalog {
    /// As [`Catalog::find`], and the adapter that a name means beside it: `MODEL:ADAPTER`, or an adapter's own name if no model has
    /// that and only one has such an adapter.
    pub(crate) fn find_adapted<'n>(&self, name: &'n str) -> Result<(&Entry, &Version, Option<&'n str>), Problem> {
        let plain = |(entry, version)| (entry, version, None);
        if self.is_route(name) || matches!(name, "" | "default") {
            return self.find(name).map(plain);
        }
        // What is no version may be one with an adapter.
        if let Some(Ok(found)) = self.known(name) {
            return Ok(plain(found));
        }
        let mut lacking = None;
        for (at, _) in name.rmatch_indices(':') {
            let (base, adapter) = (&name[..at], &name[at + 1..]);
            match self.known(base) {
                Some(Ok((entry, version))) if version.has_adapter(adapter) => {
                    return Ok((entry, version, Some(adapter)));
                }
                Some(Ok((entry, version))) => lacking = Some((entry, version, adapter)),
                Some(Err(_)) | None => {}
            }
        }
        let current = self.entries.iter().filter_map(|entry| Some((entry, entry.current()?)));
        let owners: Vec<_> = current.filter(|(_, version)| version.has_adapter(name)).collect();
        match (&owners[..], lacking) {
            (&[(entry, version)], _) => Ok((entry, version, Some(name))),
            ([], Some((entry, version, adapter))) if !self.rules.any_name => {
                Err(version.lacks_adapter(&entry.name, adapter))
            }
            ([], _) => self.find(name).map(plain),
            (several, _) => {
                let names: Vec<_> = several.iter().map(|(entry, _)| format!("{}:{name}", entry.name)).collect();
                let message = format!("Several models have an adapter {name}. Write one of: {}.", names.join(", "));
                Err(Problem::of(Kind::ModelNotFound, "model", message))
            }
        }
    }

    /// Keeps in mind which adapters a version has, for when it is loaded again.
    pub(crate) fn keep_adapters(&mut self, key: &Key) {
        let Some(version) = self.version_mut(key) else { return };
        let Some(adapters) = version.model().map(|model| model.adapters()) else { return };
        let named = adapters.iter().map(|adapter| (adapter.name.clone(), adapter.source.clone())).collect();
        version.order.iter_mut().for_each(|order| order.adapters.clone_from(&named));
    }
}

impl Entry {
    /// Names of its adapters as clients write them.
    pub(crate) fn adapted(&self) -> impl Iterator<Item = String> {
        let adapters = self.current().map(Version::adapters).unwrap_or_default();
        adapters.into_iter().map(|(adapter, _)| format!("{}:{adapter}", self.name))
    }
}

impl Version {
    /// Its adapters, in memory or not: their names, and folders or files.
    pub(crate) fn adapters(&self) -> Vec<(String, String)> {
        let there = |model: &Arc<LoadedModel>| {
            model.adapters().iter().map(|adapter| (adapter.name.clone(), adapter.source.clone())).collect()
        };
        let ordered = || self.order.as_ref().map(|order| order.adapters.clone());
        self.model().map(there).or_else(ordered).unwrap_or_default()
    }

    fn has_adapter(&self, name: &str) -> bool {
        let ordered = || self.order.as_ref().is_some_and(|order| order.adapters.iter().any(|(known, _)| known == name));
        self.model().map_or_else(ordered, |model| model.adapter(name).is_some())
    }

    fn lacks_adapter(&self, model: &str, name: &str) -> Problem {
        let names: Vec<String> = self.adapters().into_iter().map(|(name, _)| name).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let message = format!("The model `{model}` has no adapter `{name}`. There is: {there}.");
        Problem::of(Kind::ModelNotFound, "model", message)
    }
}
