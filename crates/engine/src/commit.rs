//! What becomes of a step: tokens are delivered, sequences go on or end, and the observer is told.

use std::time::Duration;

use graph::Outputs;

use crate::delivery::{Delivery, Drawn};
use crate::{Engine, Executor, ExecutorError, FinishReason, RequestId, Scheduler, StepReport, Work};

impl<E: Executor> Engine<E> {
    /// Ends the sequences of the batch if it failed; reports the step between these times.
    pub(crate) fn commit(
        &mut self,
        outcome: Result<(), ExecutorError>,
        work: Work,
        (started, ended): (Duration, Duration),
    ) -> StepReport {
        match outcome {
            Ok(()) if self.batch.tokens.is_empty() => {}
            Ok(()) => self.faults.succeeded(),
            Err(error) => self.fail(&error),
        }
        self.latest = self.latest.max(ended);
        for (prediction, took) in self.delivery.ledger.take_foretold() {
            self.forecast.learn(&prediction, took);
        }
        let counts = self.delivery.ledger.take_counts();
        let report = StepReport {
            started,
            ended,
            work,
            found: self.scheduler.found(),
            tokens: counts.tokens,
            finished: counts.finished,
            cancelled: counts.cancelled,
            preempted: self.scheduler.preempted().len(),
            stalled: self.scheduler.stalled(),
            running: self.scheduler.running().len(),
            waiting: self.scheduler.waiting().len(),
            blocks_used: self.scheduler.cache().blocks().used(),
        };
        self.totals.add(&report);
        let _ = self.observer.call(|observer| observer.step(&report));
        self.tell();
        self.spill();
        self.give_back();
        report
    }

    /// Ends requests, and tells their receivers why.
    pub(crate) fn end(&mut self, chosen: impl Fn(RequestId) -> bool, reason: &FinishReason) {
        for id in self.delivery.sequences(chosen) {
            self.scheduler.remove(id);
            self.delivery.finish(id, reason);
        }
        self.tell();
    }

    /// Tells the observer whose requests have ended.
    pub(crate) fn tell(&mut self) {
        for record in self.delivery.ledger.take_ended() {
            let _ = self.observer.call(|observer| observer.ended(&record));
        }
    }
}

/// Brings the sequences of the batch up to date with what was drawn by the time `now`, and with drafts that were right.
pub(crate) fn advance(
    scheduler: &mut Scheduler,
    delivery: &mut Delivery,
    mut drawn: impl Iterator<Item = Drawn>,
    (logits, now): (Outputs<'_>, Duration),
) {
    scheduler.share(delivery);
    scheduler.advance(|id, living| delivery.deliver(id, &mut drawn, (logits, now), living));
    delivery.longer.drain(..).for_each(|(id, tokens, computed)| scheduler.lengthen(id, tokens, computed));
}
