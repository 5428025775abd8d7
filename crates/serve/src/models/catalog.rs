//! Names, versions and aliases: which models there are, and what a name means.

use std::borrow::Cow;
use std::sync::Arc;

use answer::LoadedModel;
use tokio::sync::watch;

use super::{Card, KeepAlive, Lease, LoadOrder, Resident};
use crate::{Kind, Problem};

/// Versions of a name that are remembered.
const MOST_VERSIONS: usize = 64;

/// The models that a server knows, in the order in which they came. The first is `default`.
#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) entries: Vec<Entry>,
    /// Other names, each for a name or for `name@version`.
    aliases: Vec<(String, String)>,
    /// Names of routes, each with the model that it means where there is nothing to choose. They go before models.
    pub(crate) routes: Vec<(String, String)>,
    pub(crate) rules: Rules,
    pub(crate) draining: bool,
}

/// What holds for all models.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// The first model answers to every name that no model has.
    pub(crate) any_name: bool,
    /// Models may be changed over HTTP.
    pub(crate) admin: bool,
    /// How long models stay that nobody uses, where an order says nothing of it.
    pub(crate) keep_alive: KeepAlive,
    /// Requests do not change how long models stay.
    pub(crate) keep_alive_fixed: bool,
}

/// A name and its versions.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// As they came. There is one at least.
    pub(crate) versions: Vec<Version>,
    /// The version that the name means, if not the newest.
    pub(crate) pinned: Option<String>,
    /// How many versions have been given a number.
    numbered: u64,
}

/// A version of a model.
pub(crate) struct Version {
    pub(crate) id: String,
    /// How it is brought into memory again; without, it is forgotten when it leaves it.
    pub(crate) order: Option<LoadOrder>,
    /// What is known of it since it was in memory.
    pub(crate) card: Option<Card>,
    pub(crate) place: Place,
}

/// Where a version is.
pub(crate) enum Place {
    Memory(Resident),
    /// It is being loaded: whoever wants it hears what comes of it.
    Coming(Coming),
    Absent,
}

/// What comes of a load.
pub(crate) type Coming = watch::Receiver<Option<Result<Lease, Problem>>>;

/// Names a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Catalog {
    /// The version that a name means. The empty one and `default` mean the first model.
    pub(crate) fn find(&self, name: &str) -> Result<(&Entry, &Version), Problem> {
        let route = self.routes.iter().find(|(route, _)| route == name);
        self.find_model(route.map_or(name, |(_, model)| model))
    }

    pub(crate) fn is_route(&self, name: &str) -> bool {
        self.routes.iter().any(|(route, _)| route == name)
    }

    /// The name of the model that a name means, if it means whichever version that has.
    pub(crate) fn unversioned(&self, name: &str) -> Option<String> {
        let meant = self.unaliased(name);
        let versioned = meant.contains('@') && self.entry(&meant).is_none();
        let (entry, _) = self.find_model(name).ok().filter(|_| !versioned)?;
        Some(entry.name.clone())
    }

    /// As [`Catalog::find`], of models alone.
    pub(crate) fn find_model(&self, name: &str) -> Result<(&Entry, &Version), Problem> {
        let first = || self.first(self.rules.any_name).ok_or_else(|| self.unknown(name));
        self.known(name).unwrap_or_else(first)
    }

    /// The version that a name means if a model or an alias has it. The empty one and `default` mean the first model.
    pub(super) fn known(&self, name: &str) -> Option<Result<(&Entry, &Version), Problem>> {
        let meant = self.unaliased(name);
        if let Some(entry) = self.entry(&meant) {
            return Some(entry.current().map(|version| (entry, version)).ok_or_else(|| self.unknown(name)));
        }
        if let Some((entry, version)) = meant.rsplit_once('@').and_then(|(base, id)| Some((self.entry(base)?, id))) {
            let found = entry.versions.iter().find(|known| known.id == version);
            return Some(found.map(|found| (entry, found)).ok_or_else(|| entry.lacks(version)));
        }
        self.first(matches!(name, "" | "default")).map(Ok)
    }

    /// The first model, where it answers.
    fn first(&self, answers: bool) -> Option<(&Entry, &Version)> {
        let entry = self.entries.first().filter(|_| answers)?;
        Some((entry, entry.current()?))
    }

    /// The key of what a name means.
    pub(crate) fn key(&self, name: &str) -> Result<Key, Problem> {
        self.find(name).map(|(entry, version)| Key { name: entry.name.clone(), version: version.id.clone() })
    }

    /// The key of a model in memory.
    pub(crate) fn key_of(&self, model: &Arc<LoadedModel>) -> Option<Key> {
        let is = |version: &&Version| version.model().is_some_and(|known| Arc::ptr_eq(known, model));
        let found = |entry: &Entry| {
            let version = entry.versions.iter().find(is)?;
            Some(Key { name: entry.name.clone(), version: version.id.clone() })
        };
        self.entries.iter().find_map(found)
    }

    pub(crate) fn version_mut(&mut self, key: &Key) -> Option<&mut Version> {
        let entry = self.entries.iter_mut().find(|entry| entry.name == key.name)?;
        entry.versions.iter_mut().find(|version| version.id == key.version)
    }

    pub(crate) fn versions(&self) -> impl Iterator<Item = &Version> {
        self.entries.iter().flat_map(|entry| &entry.versions)
    }

    pub(crate) fn residents(&self) -> impl Iterator<Item = &Resident> {
        self.versions().filter_map(Version::resident)
    }

    /// Other names for a name, with or without a version.
    pub(crate) fn aliases<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a str> {
        let all = self.aliases.iter();
        all.filter(|(_, target)| is_of(target, &entry.name)).map(|(alias, _)| alias.as_str())
    }

    /// Adds a model that has been loaded, as the newest version of its name. Gives its key, and what left memory for it.
    pub(super) fn put(&mut self, resident: Resident, order: Option<LoadOrder>) -> (Key, Option<Resident>) {
        let (name, card) = (resident.model().info.name.clone(), Some(Card::of(resident.model())));
        let entry = self.entry_or_new(&name);
        let before = entry.current().map(|version| version.id.clone());
        let id = order.as_ref().and_then(|order| order.version.clone()).unwrap_or_else(|| entry.next_number());
        let same = entry.versions.iter().position(|version| version.id == id);
        let replaced = same.and_then(|at| entry.versions.remove(at).leave());
        let key = Key { name, version: id.clone() };
        entry.versions.push(Version { id, order, card, place: Place::Memory(resident) });
        let left = before.and_then(|before| entry.settle(&before));
        (key, replaced.or(left))
    }

    /// Adds a model that is loaded when it is first asked for.
    ///
    /// # Errors
    /// If the name is taken.
    pub(super) fn know(&mut self, name: &str, order: LoadOrder) -> Result<Key, Problem> {
        self.check_free(name)?;
        let entry = self.entry_or_new(name);
        let id = order.version.clone().unwrap_or_else(|| entry.next_number());
        let key = Key { name: name.to_owned(), version: id.clone() };
        entry.versions.push(Version { id, order: Some(order), card: None, place: Place::Absent });
        Ok(key)
    }

    /// Adds a version of a name, which means what it meant before. It is loaded when it is first asked for.
    ///
    /// # Errors
    /// If there is a version of this id already, or the name is another model's alias.
    pub(crate) fn know_beside(&mut self, order: LoadOrder) -> Result<Key, Problem> {
        let name = order.name.clone().unwrap_or_else(|| order.source.clone());
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.name == name) else {
            return self.know(&name, order);
        };
        let id = order.version.clone().unwrap_or_else(|| entry.next_number());
        if entry.versions.iter().any(|version| version.id == id) {
            let message = format!("{name} has a version {id} already; choose another one.");
            return Err(Problem::of(Kind::Ask(answer::Kind::InvalidValue), "version", message));
        }
        let key = Key { name, version: id.clone() };
        // The last one is what the name means.
        entry.versions.insert(0, Version { id, order: Some(order), card: None, place: Place::Absent });
        Ok(key)
    }

    /// Lets a name mean one version, or again the newest. Gives what left memory for it.
    pub(crate) fn pin(&mut self, key: &Key, pinned: bool) -> Option<Resident> {
        let entry = self.entries.iter_mut().find(|entry| entry.name == key.name)?;
        let before = entry.current()?.id.clone();
        entry.pinned = pinned.then(|| key.version.clone());
        entry.settle(&before)
    }

    /// Forgets a name with all its versions, or one version that the name does not mean. Gives what was in memory of it.
    ///
    /// # Errors
    /// If there is no such model, or the name means this version while there are others.
    pub(super) fn remove(&mut self, name: &str) -> Result<Vec<Resident>, Problem> {
        let key = self.key(name)?;
        let at = self.entries.iter().position(|entry| entry.name == key.name).ok_or_else(|| self.unknown(name))?;
        let entry = &mut self.entries[at];
        let whole = self.aliases.iter().all(|(alias, _)| alias != name) && name == key.name;
        if whole || entry.versions.len() == 1 {
            let gone = self.entries.remove(at);
            self.forget_aliases(&gone.name);
            return Ok(gone.versions.into_iter().filter_map(|mut version| version.leave()).collect());
        }
        if entry.current().is_some_and(|current| current.id == key.version) {
            let message = format!("{} means version {} now. Pin another version first.", key.name, key.version);
            return Err(Problem::of(Kind::Ask(answer::Kind::InvalidValue), "name", message));
        }
        let at = entry.versions.iter().position(|version| version.id == key.version);
        Ok(at.and_then(|at| entry.versions.remove(at).leave()).into_iter().collect())
    }

    /// Adds a name for what another one means.
    ///
    /// # Errors
    /// If the name is taken, or the other means nothing.
    pub(super) fn alias(&mut self, alias: &str, target: &str) -> Result<(), Problem> {
        self.check_free(alias)?;
        let target = self.target(target)?;
        self.aliases.push((alias.to_owned(), target));
        Ok(())
    }

    /// Gives a name, with or without a version, exactly these other names.
    ///
    /// # Errors
    /// If one of them is taken, or the name means nothing; nothing is changed then.
    pub(crate) fn set_aliases(&mut self, target: &str, aliases: &[String]) -> Result<(), Problem> {
        let (target, before) = (self.target(target)?, self.aliases.clone());
        self.aliases.retain(|(_, known)| *known != target);
        let set = aliases.iter().try_for_each(|alias| self.alias(alias, &target));
        if set.is_err() {
            self.aliases = before;
        }
        set
    }

    /// How long a version stays that nobody uses, now and when it is loaded again.
    pub(crate) fn keep(&mut self, key: &Key, keep_alive: KeepAlive) {
        let Some(version) = self.version_mut(key) else { return };
        version.resident().into_iter().for_each(|resident| resident.keep(keep_alive));
        version.order.iter_mut().for_each(|order| order.keep_alive = Some(keep_alive));
    }

    /// # Errors
    /// If a model cannot have this name.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), Problem> {
        let refused = |message| Err(Problem::of(Kind::Ask(answer::Kind::InvalidValue), "name", message));
        match self.aliases.iter().find(|(alias, _)| alias == name) {
            Some((_, target)) => refused(format!("{name} is another name for {target}; choose another one.")),
            None if name.contains('@') || name == "default" => refused(format!(
                "name must not be `default` and have no @, which stands before a version, but it is `{name}`."
            )),
            None => Ok(()),
        }
    }

    /// Takes away every alias of a name.
    fn forget_aliases(&mut self, name: &str) {
        self.aliases.retain(|(_, target)| !is_of(target, name));
    }

    /// # Errors
    /// If a model or an alias has this name.
    pub(super) fn check_free(&self, name: &str) -> Result<(), Problem> {
        let taken = self.entry(name).is_some() || self.aliases.iter().any(|(alias, _)| alias == name);
        let message = || format!("There is a model {name} already; choose another name.");
        if taken { Err(Problem::of(Kind::Ask(answer::Kind::InvalidValue), "name", message())) } else { Ok(()) }
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    fn entry_or_new(&mut self, name: &str) -> &mut Entry {
        let at = self.entries.iter().position(|entry| entry.name == name).unwrap_or_else(|| {
            let (name, versions) = (name.to_owned(), Vec::new());
            self.entries.push(Entry { name, versions, pinned: None, numbered: 0 });
            self.entries.len() - 1
        });
        &mut self.entries[at]
    }

    /// What an alias for a name stands for: a name, or `name@version` if a version was named.
    fn target(&self, name: &str) -> Result<String, Problem> {
        let key = self.key(name)?;
        let meant = self.unaliased(name);
        let versioned = meant.contains('@') && self.entry(&meant).is_none();
        Ok(if versioned { format!("{}@{}", key.name, key.version) } else { key.name })
    }

    /// What stands for an alias; the version after it is kept.
    fn unaliased<'n>(&'n self, name: &'n str) -> Cow<'n, str> {
        let target =
            |name: &str| self.aliases.iter().find(|(alias, _)| alias == name).map(|(_, target)| target.as_str());
        if self.entry(name).is_some() {
            return name.into();
        }
        if let Some(target) = target(name) {
            return target.into();
        }
        let versioned = name.rsplit_once('@').and_then(|(alias, version)| Some((target(alias)?, version)));
        versioned.map_or(name.into(), |(target, version)| {
            let base = if self.entry(target).is_some() {
                target
            } else {
                target.rsplit_once('@').map_or(target, |(base, _)| base)
            };
            format!("{base}@{version}").into()
        })
    }

    pub(super) fn unknown(&self, name: &str) -> Problem {
        let names = self.entries.iter().map(|entry| entry.name.as_str());
        let names = names.chain(self.aliases.iter().map(|(alias, _)| alias.as_str()));
        let names = names.chain(self.routes.iter().map(|(route, _)| route.as_str())).map(str::to_owned);
        let names = names.chain(self.entries.iter().flat_map(Entry::adapted)).collect::<Vec<_>>().join(", ");
        let message = format!(
            "The model `{name}` does not exist. There is: {names} (or `default`). With --any-model-name the server \
             answers to every name."
        );
        Problem::of(Kind::ModelNotFound, "model", message)
    }
}

/// Whether an alias for `target` is one for this name or a version of it.
fn is_of(target: &str, name: &str) -> bool {
    target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

impl Entry {
    /// The version that the name means.
    pub(crate) fn current(&self) -> Option<&Version> {
        let pinned = self.pinned.as_ref().and_then(|id| self.versions.iter().find(|version| version.id == *id));
        pinned.or(self.versions.last())
    }

    /// Takes from memory what the name meant before, if it means another version now.
    fn settle(&mut self, before: &str) -> Option<Resident> {
        if self.current().is_none_or(|current| current.id == before) {
            return None;
        }
        let left = self.versions.iter_mut().find(|version| version.id == before).and_then(Version::leave);
        self.forget();
        left
    }

    /// Forgets versions that cannot be loaded again, and the oldest if they are too many.
    fn forget(&mut self) {
        let current = self.current().map(|version| version.id.clone()).unwrap_or_default();
        let mut spare = self.versions.len().saturating_sub(MOST_VERSIONS);
        self.versions.retain(|version| {
            let absent = version.id != current && matches!(version.place, Place::Absent);
            let goes = absent && (version.order.is_none() || spare > 0);
            spare -= usize::from(goes && spare > 0);
            !goes
        });
    }

    fn next_number(&mut self) -> String {
        loop {
            self.numbered += 1;
            let id = self.numbered.to_string();
            if self.versions.iter().all(|version| version.id != id) {
                return id;
            }
        }
    }

    fn lacks(&self, version: &str) -> Problem {
        let ids = self.versions.iter().map(|version| version.id.as_str()).collect::<Vec<_>>().join(", ");
        let message = format!("The model `{}` has no version `{version}`. There is: {ids}.", self.name);
        Problem::of(Kind::ModelNotFound, "model", message)
    }
}

impl Version {
    pub(crate) fn is_coming(&self) -> bool {
        matches!(self.place, Place::Coming(_))
    }

    pub(crate) fn resident(&self) -> Option<&Resident> {
        match &self.place {
            Place::Memory(resident) => Some(resident),
            Place::Coming(_) | Place::Absent => None,
        }
    }

    pub(crate) fn model(&self) -> Option<&Arc<LoadedModel>> {
        self.resident().map(Resident::model)
    }

    /// Takes it from memory, if it is there.
    pub(crate) fn leave(&mut self) -> Option<Resident> {
        match std::mem::replace(&mut self.place, Place::Absent) {
            Place::Memory(resident) => Some(resident),
            other => {
                self.place = other;
                None
            }
        }
    }
}
