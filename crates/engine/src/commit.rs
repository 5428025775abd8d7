//! What becomes of a step: tokens are delivered, sequences go on or end, and the observer is told.

use std::time::Duration;

use crate::{Engine, Executor, ExecutorError, FinishReason, RequestId, StepReport};

impl<E: Executor> Engine<E> {
    /// Brings the sequences of the batch up to date with what was drawn, or ends them if it failed; reports the step.
    pub(crate) fn commit(
        &mut self,
        outcome: Result<(), ExecutorError>,
        started: Duration,
        ended: Duration,
    ) -> StepReport {
        let work = self.scheduler.work();
        match outcome {
            Ok(()) => {
                self.scheduler.learn(ended.saturating_sub(started));
                self.delivery.computed(started, ended, &self.scheduler);
                self.advance(ended);
            }
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

    fn advance(&mut self, now: Duration) {
        let Engine { scheduler, delivery, drawn, batch, faults, .. } = self;
        scheduler.share(delivery);
        let mut drawn = drawn.drain(..);
        scheduler.advance(|id, living| delivery.deliver(id, &mut drawn, now, living));
        delivery.longer.drain(..).for_each(|(id, tokens)| scheduler.lengthen(id, tokens));
        if !batch.tokens.is_empty() {
            faults.succeeded();
        }
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
