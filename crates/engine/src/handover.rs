//! What an engine whose executor is lost hands over to others, which go on from its tokens: nobody's answer begins anew.

use std::sync::Arc;

use crate::delivery::{Left, Open};
use crate::{Arrival, Engine, Executor, ExecutorError, FinishReason, SequenceId};

/// A request that goes on in another engine, with what was generated so far. Of what its old engine had computed nothing is left.
pub(crate) struct Migrant {
    pub(crate) record: Open,
    /// Its sequences that have not ended, with what they came with.
    pub(crate) sequences: Vec<(Arrival, Left)>,
}

impl<E: Executor> Engine<E> {
    /// Says whether others go on with what this engine has when its executor breaks down.
    pub(crate) fn has_heirs(&mut self, has: bool) {
        self.faults.has_heirs = has;
    }

    /// Takes everything out that others can go on with, if the executor is broken and there are any.
    pub(crate) fn leave(&mut self, error: &ExecutorError) {
        if !matches!(error, ExecutorError::Broken(_)) || !self.faults.has_heirs {
            return;
        }
        let sequences = self.scheduler.running().iter().chain(self.scheduler.waiting());
        let arrivals: Vec<(SequenceId, Arrival)> =
            sequences.map(|sequence| (sequence.id(), sequence.arrival().clone())).collect();
        self.scheduler.drop_step();
        arrivals.iter().for_each(|(id, _)| self.scheduler.remove(*id));
        self.faults.leaving = self.delivery.leave(arrivals);
    }

    /// What others go on with; asked once.
    pub(crate) fn take_leaving(&mut self) -> Vec<Migrant> {
        std::mem::take(&mut self.faults.leaving)
    }

    /// Goes on with a request that another engine of the same model has begun. Their clocks show the same time.
    pub(crate) fn adopt(&mut self, migrant: Migrant) {
        for (id, arrival, tokens) in self.delivery.adopt(migrant) {
            let refused = self.failure().cloned().or_else(|| self.too_long(&arrival, tokens));
            match refused {
                Some(why) => self.delivery.finish(id, &FinishReason::Failed(why)),
                None => self.scheduler.adopt(id, arrival, tokens),
            }
        }
        self.tell();
    }

    /// Why a sequence cannot go on here.
    fn too_long(&self, arrival: &Arrival, tokens: usize) -> Option<Arc<str>> {
        let limits = self.scheduler.limits();
        let more = usize::from(arrival.longest > arrival.prompt);
        let fits = tokens + more <= limits.context && arrival.continuations <= limits.sequences;
        let why = || format!("its device is lost, and no other has room for {tokens} tokens of a sequence");
        (!fits).then(|| why().into())
    }
}
