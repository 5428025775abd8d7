//! What a session knows: its policy and the sequences of an engine, at a version.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::{Policy, PolicyName, Sequence, SequenceId};
use serde_json::{Value, json};

use super::{Arrived, Change, Far, Ordered};
use crate::services::Refusal;

/// One engine's policy and what it was told.
pub(super) struct Table {
    pub(super) name: PolicyName,
    pub(super) policy: Box<dyn Policy>,
    version: u64,
    sequences: BTreeMap<u64, Known>,
    /// When it was asked last, counted in questions.
    pub(super) last: u64,
}

struct Known {
    arrived: Arrived,
    sequence: Sequence,
    /// The rank that was told last.
    told: Option<u64>,
}

impl Table {
    pub(super) fn new(name: PolicyName, last: u64) -> Table {
        Table { name, policy: name.policy(), version: 0, sequences: BTreeMap::new(), last }
    }

    /// Takes over what has changed.
    ///
    /// # Errors
    /// If it is a change to another version, or not possible: then nothing is changed.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), Refusal> {
        if change.version != self.version {
            return Err(Refusal::version(format!(
                "The change is to version {} of the session, which is at {}. Open it anew.",
                change.version, self.version
            )));
        }
        let arrived = change.arrived.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let moved = change.progress.iter().map(|far| self.moved(*far, &arrived)).collect::<Result<Vec<_>, _>>()?;
        self.compute(&change.computed)?;
        self.sequences.extend(arrived.into_iter().map(|known| (known.arrived.id, known)));
        for sequence in moved {
            if let Some(known) = self.sequences.get_mut(&sequence.id().0) {
                known.sequence = sequence;
            }
        }
        change.ended.iter().for_each(|id| _ = self.sequences.remove(id));
        self.version += 1;
        Ok(())
    }

    /// The sequence as it is now.
    fn moved(&self, far: Far, arrived: &[Known]) -> Result<Sequence, Refusal> {
        let new = arrived.iter().find(|known| known.arrived.id == far.0);
        let known = new.or_else(|| self.sequences.get(&far.0));
        let known = known.ok_or_else(|| Refusal::version(format!("There is no sequence {} in the session.", far.0)))?;
        told(known, far, 0)
    }

    /// Tells the policy what a step has computed.
    fn compute(&mut self, computed: &[(u64, usize)]) -> Result<(), Refusal> {
        let batch = |(id, rows): &(u64, usize)| {
            // One that has ended since is not known any more, and was computed nevertheless.
            let known = self.sequences.get(id)?;
            let Far(id, tokens, cached, found, continuations, is_running, stalled) = (&known.sequence).into();
            let far = Far(id, tokens.max(cached + rows), cached, found, continuations, is_running, stalled);
            Some(told(known, far, *rows))
        };
        let batch = computed.iter().filter_map(batch).collect::<Result<Vec<Sequence>, Refusal>>()?;
        if !batch.is_empty() {
            self.policy.computed(&mut batch.iter());
        }
        Ok(())
    }

    /// The ranks at a time that are not as they were last told.
    pub(super) fn order(&mut self, now: Duration) -> Ordered {
        let Table { policy, sequences, version, .. } = self;
        policy.begin(now, &mut sequences.values().map(|known| &known.sequence));
        let mut ranks = Vec::new();
        for (id, known) in sequences {
            let rank = policy.rank(&known.sequence, now);
            if known.told.replace(rank) != Some(rank) {
                ranks.push((*id, rank));
            }
        }
        Ordered { version: *version, ranks }
    }

    /// For people: those that run and those that wait, each in the order of service.
    pub(super) fn state(&self) -> Value {
        let mut all: Vec<&Known> = self.sequences.values().collect();
        all.sort_by_key(|known| (known.told, known.arrived.id));
        let list = |runs: bool| -> Vec<Value> {
            let some = all.iter().filter(|known| known.sequence.is_running() == runs);
            some.map(|known| json!({ "arrival": known.arrived, "rank": known.told, "tokens": known.sequence.tokens(), "cached": known.sequence.cached() }))
                .collect()
        };
        json!({ "policy": self.name.name(), "version": self.version, "running": list(true), "waiting": list(false) })
    }

    pub(super) fn len(&self) -> usize {
        self.sequences.len()
    }
}

fn known(arrived: &Arrived) -> Result<Known, Refusal> {
    let whole = super::Whole { arrival: arrived.clone(), progress: None };
    let sequence = whole.sequence().map_err(Refusal::invalid)?;
    Ok(Known { arrived: arrived.clone(), sequence, told: None })
}

fn told(known: &Known, far: Far, rows: usize) -> Result<Sequence, Refusal> {
    let sequence = Sequence::told(SequenceId(far.0), known.sequence.arrival().clone(), far.progress(rows));
    sequence.ok_or_else(|| Refusal::invalid(format!("progress of {}: its numbers contradict each other.", far.0)))
}
