//! What happens when the executor fails: the batch's sequences end, and the engine goes on, as long as that makes sense.

use std::sync::Arc;

use graph::{Batch, Outputs};

use crate::handover::Migrant;
use crate::interposed::Interpositions;
use crate::panics::catch;
use crate::{Engine, Executor, ExecutorError, FinishReason};

/// After so many batches that failed, and none that was computed in between, the engine gives up. Errors do not depend on
/// what a request asks for, so an executor that fails again and again is broken; once or twice may be a fault that passes.
pub const FAILURES_IN_A_ROW: usize = 5;

/// How the executor fared.
#[derive(Default)]
pub(crate) struct Faults {
    in_a_row: usize,
    failure: Option<Arc<str>>,
    pub(crate) interposed: Interpositions,
    /// Others go on with what there is if the executor is broken.
    pub(crate) has_heirs: bool,
    /// That.
    pub(crate) leaving: Vec<Migrant>,
}

impl Faults {
    /// Why the engine cannot go on, if it cannot.
    pub(crate) fn failure(&self) -> Option<&Arc<str>> {
        self.failure.as_ref()
    }

    /// A batch was computed.
    pub(crate) fn succeeded(&mut self) {
        self.in_a_row = 0;
    }

    /// A batch failed; says why the engine gives up, if it does.
    fn failed(&mut self, error: &ExecutorError) -> Option<String> {
        let by_itself = !self.interposed.take_failed() && !matches!(error, ExecutorError::Lost(_));
        self.in_a_row += usize::from(by_itself);
        match error {
            ExecutorError::Broken(why) => Some(format!("the executor is broken: {why}")),
            ExecutorError::Batch(_) | ExecutorError::Lost(_) if !by_itself => None,
            ExecutorError::Batch(why) | ExecutorError::Lost(why) => (self.in_a_row >= FAILURES_IN_A_ROW)
                .then(|| format!("the executor failed {} times in a row, the last time because: {why}", self.in_a_row)),
        }
    }
}

impl<E: Executor> Engine<E> {
    /// Ends the sequences of a batch that was not computed, and everything else if there is no hope for it and nobody goes on with it.
    pub(crate) fn fail(&mut self, error: &ExecutorError) {
        self.totals.failed_batches += 1;
        self.leave(error);
        let reason = match error {
            ExecutorError::Lost(why) => FinishReason::Unavailable(why.as_str().into()),
            ExecutorError::Batch(_) | ExecutorError::Broken(_) => FinishReason::Failed(error.to_string().into()),
        };
        let before = self.scheduler.preempted().len();
        for id in self.scheduler.abandon() {
            self.delivery.finish(id, &reason);
        }
        if let ExecutorError::Lost(_) = error {
            self.scheduler.lose();
        }
        self.delivery.preempted(&self.scheduler.preempted()[before..]);
        if let Some(why) = self.faults.failed(error) {
            self.give_up(why.into());
        }
    }

    /// Ends everything there is if who decides about it, or keeps its memory, could not be asked; what is submitted later is tried
    /// again.
    pub(crate) fn end_if_undecided(&mut self) {
        if let Some(why) = self.scheduler.trouble() {
            self.scheduler.drop_step();
            self.end(|_| true, &FinishReason::Unavailable(why.into()));
        }
    }

    /// Ends everything there is and everything that will be submitted.
    pub(crate) fn give_up(&mut self, why: Arc<str>) {
        self.faults.failure.get_or_insert_with(|| Arc::clone(&why));
        self.end(|_| true, &FinishReason::Failed(why));
    }
}

/// The logits of the batch; an empty batch is not computed.
pub(crate) fn execute<'e, E: Executor>(executor: &'e mut E, batch: &'e Batch) -> Result<Outputs<'e>, ExecutorError> {
    let vocab = executor.limits().vocab.max(1);
    if batch.tokens.is_empty() {
        return Ok(Outputs::new(&[], vocab, &[]));
    }
    let wanted = Outputs::len(batch.outputs.len(), vocab, &batch.top);
    let panicked = |message| ExecutorError::Batch(format!("the executor panicked: {message}"));
    let logits = catch(move || executor.forward(batch)).map_err(panicked)??;
    let given = logits.len();
    let logits = logits.get(..wanted);
    logits
        .map(|logits| Outputs::new(logits, vocab, &batch.top))
        .ok_or_else(|| ExecutorError::Batch(format!("the executor gave {given} logits where {wanted} are due")))
}
