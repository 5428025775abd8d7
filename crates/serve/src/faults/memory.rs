//! Memory that is taken away from models.

use std::sync::{Arc, Weak};

use answer::LoadedModel;
use tokio::time::Instant;

use super::{Fault, Harm, Wish};
use crate::models::Key;
use crate::{App, Kind, Problem};

/// A model in memory, and what it is called.
pub(super) struct Withheld {
    key: Key,
    model: Weak<LoadedModel>,
}

impl App {
    /// The models whose memory a fault takes; none if it takes no memory.
    ///
    /// # Errors
    /// If no model is meant, or another fault takes the memory of one.
    pub(super) fn withholding(&self, wish: &Wish, lasting: &[Arc<Fault>]) -> Result<Vec<Withheld>, Problem> {
        if !matches!(wish.harm, Harm::MemoryShortage(_)) {
            return Ok(Vec::new());
        }
        let refused = |message: String| Err(Problem::of(Kind::Ask(answer::Kind::InvalidValue), "match.model", message));
        let meant: Vec<Withheld> = self.resident(|key| wish.whom.means(key));
        if meant.is_empty() {
            return refused("No model of this name is in memory.".to_owned());
        }
        let taken = lasting.iter().find(|fault| fault.withheld.iter().any(|one| meant.iter().any(|is| one.is(is))));
        match taken {
            Some(fault) => refused(format!("{} takes memory of this model already; delete it first.", fault.id)),
            None => Ok(meant),
        }
    }

    fn resident(&self, meant: impl Fn(&Key) -> bool) -> Vec<Withheld> {
        let catalog = self.models.read();
        let models = catalog.residents().filter_map(|resident| {
            let key = catalog.key_of(resident.model()).filter(&meant)?;
            Some(Withheld { key, model: Arc::downgrade(resident.model()) })
        });
        models.collect()
    }
}

impl Withheld {
    fn is(&self, other: &Withheld) -> bool {
        self.model.ptr_eq(&other.model)
    }
}

impl Fault {
    /// Takes the memory, and counts the models; gives their names.
    pub(super) fn withhold(&self) -> Vec<Key> {
        let Harm::MemoryShortage(share) = self.harm else { return Vec::new() };
        let lasts = self.until.saturating_duration_since(Instant::now());
        let mut hit = Vec::new();
        for Withheld { key, model } in &self.withheld {
            let Some(model) = model.upgrade().filter(|_| self.count()) else { continue };
            let blocks = (model.engine().stats().kv_blocks as f64 * share).ceil() as usize;
            // The engine gives them back by itself too.
            model.engine().withhold(blocks, model.engine().now().saturating_add(lasts));
            hit.push(key.clone());
        }
        hit
    }

    /// Gives the memory back.
    pub(super) fn give_back(&self) {
        for model in self.withheld.iter().filter_map(|one| one.model.upgrade()) {
            model.engine().withhold(0, model.engine().now());
        }
    }
}
