//! The weights that models of this process have in memory: whoever wants the same of the same files gets them.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use kernels::Weight;

use super::{Hash, Held};

/// By the names that hold everywhere. A weight is freed with the last model that has it: nothing here keeps it.
static ALL: LazyLock<Mutex<HashMap<Hash, (Weak<Weight>, Hash)>>> = LazyLock::new(Mutex::default);

fn all() -> MutexGuard<'static, HashMap<Hash, (Weak<Weight>, Hash)>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The weight of this name, if a model has it.
pub(super) fn get(name: Option<Hash>) -> Option<Held> {
    let all = all();
    let (weight, sample) = all.get(&name?)?;
    Some(Held { weight: weight.upgrade()?, sample: *sample })
}

/// Lets others find a weight; forgets those that nobody has any more.
pub(super) fn put(name: Option<Hash>, held: &Held) {
    let Some(name) = name else { return };
    let mut all = all();
    if all.insert(name, (std::sync::Arc::downgrade(&held.weight), held.sample)).is_none() {
        all.retain(|_, (weight, _)| weight.strong_count() > 0);
    }
}
