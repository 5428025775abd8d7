//! API keys: who holds one, what its role lets it do, and how much it may take. Files are read and written elsewhere.

mod file;
mod usage;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

pub use file::{KeyEntry, KeyFile, KeyHash, KeyLimits, Role};
use usage::Usage;
pub(crate) use usage::{Admission, Over};

/// The keys that a server takes. Clones are of the same keys: replacing those of one replaces those of all.
#[derive(Clone)]
pub struct Keys(Arc<RwLock<Arc<Vec<Arc<Key>>>>>);

/// One key, and what has been taken with it.
pub(crate) struct Key {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    hash: [u8; 32],
    limits: KeyLimits,
    usage: Arc<Mutex<Usage>>,
}

/// What a request needs to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// No key: it tells nothing and costs nothing.
    Nothing,
    /// To use a model.
    Use,
    /// To see what the server does, for whomever.
    Metrics,
    /// To change what the server does.
    Admin,
}

impl Need {
    /// What a path needs.
    pub(crate) fn of(path: &str) -> Need {
        let below =
            |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match path {
            "/" | "/dashboard" | "/docs" | "/try" | "/openapi.json" | "/examples" => Need::Nothing,
            _ if below("/health") || below("/assets") => Need::Nothing,
            "/metrics" | "/v1/scheduler" | "/debug" => Need::Metrics,
            _ if below("/dashboard") || below("/v1/requests") || below("/v1/telemetry") => Need::Metrics,
            "/v1/load_lora_adapter" | "/v1/unload_lora_adapter" => Need::Admin,
            _ if below("/admin") || below("/plan") || below("/memory") => Need::Admin,
            _ => Need::Use,
        }
    }

    /// The roles that are enough, in words.
    pub(crate) fn roles(self) -> &'static str {
        match self {
            Need::Nothing => "all",
            Need::Use => "user and admin",
            Need::Metrics => "metrics and admin",
            Need::Admin => "admin",
        }
    }
}

impl Role {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Admin => "admin",
            Role::Metrics => "metrics",
        }
    }

    /// Whether it is enough for what a request needs.
    pub(crate) fn may(self, need: Need) -> bool {
        match need {
            Need::Nothing => true,
            Need::Use => matches!(self, Role::User | Role::Admin),
            Need::Metrics => matches!(self, Role::Metrics | Role::Admin),
            Need::Admin => self == Role::Admin,
        }
    }
}

impl Keys {
    /// The keys of a file.
    pub fn new(file: &KeyFile) -> Keys {
        Keys(Arc::new(RwLock::new(Arc::new(taken(file, &[])))))
    }

    /// Takes these keys instead, from the next request on. A key that stays keeps its account of what was taken; requests that
    /// run go on.
    pub fn replace(&self, file: &KeyFile) {
        let keys = taken(file, &self.all());
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// The key that somebody shows. The time that this takes says nothing of the keys that there are: each is compared, to its end.
    pub(crate) fn find(&self, shown: &[u8]) -> Option<Arc<Key>> {
        let hash: [u8; 32] = Sha256::digest(shown).into();
        let keys = self.all();
        let mut place = u64::MAX;
        for (at, key) in (0..).zip(keys.iter()) {
            place.conditional_assign(&at, key.hash.ct_eq(&hash));
        }
        usize::try_from(place).ok().and_then(|place| keys.get(place)).cloned()
    }

    /// The key of this name.
    #[cfg(feature = "batches")]
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Key>> {
        self.all().iter().find(|key| *key.name == *name).cloned()
    }

    fn all(&self) -> Arc<Vec<Arc<Key>>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The same keys, not equal ones.
impl PartialEq for Keys {
    fn eq(&self, other: &Keys) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Keys {}

impl fmt::Debug for Keys {
    /// Their number alone: what is written somewhere may be read there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.all().len())
    }
}

impl Key {
    /// Takes a request of this key in, if its limits allow it now.
    pub(crate) fn admit(self: &Arc<Self>, now: Instant) -> Result<Admission, Over> {
        self.usage().admit(&self.limits, now).map(|number| Admission::new(Arc::clone(self), number))
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of a file, each with the account that it has in `before`.
fn taken(file: &KeyFile, before: &[Arc<Key>]) -> Vec<Arc<Key>> {
    let key = |entry: &KeyEntry| {
        let known = before.iter().find(|known| known.hash == entry.sha256.0);
        Arc::new(Key {
            name: entry.name.as_str().into(),
            role: entry.role,
            hash: entry.sha256.0,
            limits: entry.limits,
            usage: known.map_or_else(Arc::default, |known| Arc::clone(&known.usage)),
        })
    };
    file.keys().iter().map(key).collect()
}
