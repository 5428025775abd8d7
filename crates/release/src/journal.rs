//! What happened to a release and what it decided, so that it goes on after a restart and can be explained afterwards.

use crate::{BadPlan, Canary, Decision, Event, Plan};
use serde::{Deserialize, Serialize};

/// How a release began: the first line of its journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    /// The name of the release.
    pub name: String,
    /// The salt of its assignments.
    pub salt: String,
    /// When it began, in microseconds.
    pub at: u64,
    /// What it is to do.
    pub plan: Plan,
}

/// An event, and what was decided by it: every other line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in microseconds.
    pub at: u64,
    /// What happened.
    pub event: Event,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
}

/// A release whose journal is to be kept by somebody.
#[derive(Debug, Clone)]
pub struct Recorded {
    canary: Canary,
}

/// Why a journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum BadJournal {
    /// Its plan cannot be followed.
    #[error(transparent)]
    Plan(#[from] BadPlan),
    /// It says something else than what follows from its events.
    #[error(
        "entry {entry} of the journal says {written:?}, but {found:?} follows from the events before: it is damaged or of another version"
    )]
    Differs {
        /// The entry, from 0.
        entry: usize,
        /// What it says.
        written: Vec<Decision>,
        /// What follows.
        found: Vec<Decision>,
    },
}

impl Recorded {
    /// A new release.
    ///
    /// # Errors
    /// If its plan cannot be followed.
    pub fn begin(beginning: &Beginning) -> Result<Recorded, BadPlan> {
        Ok(Recorded { canary: Canary::new(beginning.plan.clone(), beginning.at)? })
    }

    /// The release as its journal left it.
    ///
    /// # Errors
    /// If the journal's decisions are not those that follow from its events.
    pub fn replay(beginning: &Beginning, entries: impl IntoIterator<Item = Entry>) -> Result<Recorded, BadJournal> {
        let mut recorded = Recorded::begin(beginning)?;
        for (place, entry) in entries.into_iter().enumerate() {
            let found = recorded.canary.apply(entry.at, &entry.event);
            if found != entry.decisions {
                return Err(BadJournal::Differs { entry: place, written: entry.decisions, found });
            }
        }
        Ok(recorded)
    }

    /// Something has happened: the entry to keep. Its decisions hold once it is kept.
    pub fn apply(&mut self, at: u64, event: Event) -> Entry {
        let decisions = self.canary.apply(at, &event);
        Entry { at, event, decisions }
    }

    /// The release.
    pub fn canary(&self) -> &Canary {
        &self.canary
    }
}

/// Every decision of a journal in a sentence, proved by replaying it.
///
/// # Errors
/// If the journal's decisions are not those that follow from its events.
pub fn explain(beginning: &Beginning, entries: &[Entry]) -> Result<Vec<String>, BadJournal> {
    Recorded::replay(beginning, entries.iter().cloned())?;
    let after = |at: u64| at.saturating_sub(beginning.at) as f64 / crate::SECOND as f64;
    let first = beginning.plan.stages[0].share * 100.0;
    let began = match beginning.plan.shadow {
        Some(shadow) => format!("{:.0} % of requests are mirrored to the candidate", 100.0 * shadow.share),
        None => format!("{first:.0} % to the candidate"),
    };
    let mut lines = vec![format!("{} began: {began}.", beginning.name)];
    let mut requests = 0;
    for entry in entries {
        requests += u32::from(matches!(entry.event, Event::Outcome(_) | Event::Compared(_)));
        let when = |what: String| format!("After {:.1} s and {requests} requests: {what}.", after(entry.at));
        lines.extend(entry.decisions.iter().map(|d| when(sentence(d))));
    }
    Ok(lines)
}

fn sentence(decision: &Decision) -> String {
    match decision {
        Decision::Share { share, why, .. } => format!("{:.0} % to the candidate ({why})", 100.0 * share),
        Decision::Ended { verdict, why } => {
            let how = match verdict {
                crate::Verdict::Promoted => "promoted",
                crate::Verdict::RolledBack => "rolled back",
                crate::Verdict::Inconclusive => "inconclusive, the stable variant stays",
                crate::Verdict::Aborted => "aborted",
            };
            format!("{how} ({why})")
        }
        Decision::Paused => "paused".into(),
        Decision::Resumed => "resumed".into(),
    }
}
