//! Answers that clients may still say something of: the last ones, by the names that they know them by.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use release::{Arm, Event};
use telemetry::Routed;

use crate::releases::{Told, Trial};
use crate::{App, Kind, Problem};

/// Names of answers that are remembered. Most have two.
const REMEMBERED: usize = 8192;

/// The last answers.
#[derive(Default)]
pub(crate) struct Marks(Mutex<Known>);

#[derive(Default)]
struct Known {
    by_name: HashMap<String, Arc<Answered>>,
    /// Oldest first.
    order: VecDeque<String>,
}

/// An answer, as far as it can be marked.
#[derive(Default)]
pub(crate) struct Answered {
    /// The name that clients use for who answered.
    pub(crate) public: String,
    pub(crate) variant: Option<String>,
    /// The name of the model's engine.
    pub(crate) model: String,
    /// Whose answer it was, if it came with a key.
    pub(crate) key: String,
    pub(crate) trial: Option<(Arc<Trial>, Arm, u64, usize)>,
    pub(crate) marked: AtomicBool,
}

/// What a mark was for.
pub(crate) struct Marked {
    pub(crate) answered: Arc<Answered>,
    pub(crate) release: Option<String>,
    /// Whether it is the first one.
    pub(crate) counted: bool,
}

impl App {
    /// Keeps an answer for a while, by its names.
    pub(crate) fn remember<'a>(&self, names: impl IntoIterator<Item = &'a str>, answered: Answered) {
        let answered = Arc::new(answered);
        let mut known = self.routes.marks.0.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if known.by_name.insert(name.to_owned(), Arc::clone(&answered)).is_none() {
                known.order.push_back(name.to_owned());
            }
        }
        while known.order.len() > REMEMBERED {
            let oldest = known.order.pop_front();
            oldest.into_iter().for_each(|name| _ = known.by_name.remove(&name));
        }
    }

    /// A client says how good an answer was, from 0 to 1. The first mark counts.
    ///
    /// # Errors
    /// If there is no such answer of this client's any more.
    pub(crate) fn mark(&self, name: &str, key: &str, score: f64) -> Result<Marked, Problem> {
        let known = self.routes.marks.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.by_name.get(name).filter(|answered| answered.key == key).cloned();
        drop(known);
        let answered = found.ok_or_else(|| {
            let message = format!(
                "No answer `{name}` is remembered. The name is the answer's id, or its x-request-id; the last few thousand are kept."
            );
            Problem::of(Kind::RequestNotFound, "id", message)
        })?;
        let counted = !answered.marked.swap(true, Ordering::Relaxed);
        let release = answered.trial.as_ref().map(|(trial, ..)| trial.about().id.clone());
        if counted {
            self.watch.mark(&answered.model, score);
            if let Some(variant) = &answered.variant {
                self.watch.releases().routed(&answered.public, variant, Routed::Marked);
            }
            if let Some((trial, arm, unit, stage)) = &answered.trial {
                // So few digits that a journal gives it back as it was.
                let score = (score * 1e6).round() / 1e6;
                trial.tell(Told::Event(Event::Feedback { arm: *arm, unit: *unit, stage: *stage, score }, None));
            }
        }
        Ok(Marked { answered, release, counted })
    }
}
