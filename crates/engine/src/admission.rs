//! Whom the engine takes: what is expected of a request before it is queued, who comes too late, and what can no longer be in
//! time.

use std::time::Duration;

use crate::{Arrival, Engine, Executor, FinishReason, Prediction, Request, Scheduler, Sequence, SequenceId, Work};

/// A request cannot be complete by its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLate {
    /// What its deadline leaves.
    pub limit: Duration,
    /// What is expected of it.
    pub expected: Prediction,
    /// Requests in the queue.
    pub waiting: usize,
    /// Tokens of its prompt that are not in the cache.
    pub prompt: usize,
    /// Even if nothing else ran, its first token would come later than that.
    pub alone: bool,
}

impl TooLate {
    /// When the same request may be in time, at the pace of now; `None` if it never is.
    pub fn retry_after(&self) -> Option<Duration> {
        (!self.alone).then(|| self.expected.soonest.saturating_sub(self.limit).max(Duration::from_secs(1)))
    }
}

impl<E: Executor> Engine<E> {
    /// What is expected of a request that cannot be complete by its deadline even if all goes well.
    pub(crate) fn lateness(&self, request: &Request, arrived: Duration) -> Option<TooLate> {
        let now = self.latest.max(arrived);
        let limit = request.deadline?.saturating_sub(now);
        if self.immediate_end(request).is_some() {
            return None;
        }
        let arrival = Arrival::of(request, now, self.scheduler.limits().context);
        let found = self.scheduler.found_of(&arrival, request.prompt.tokens());
        let expected = self.forecast.predict(&self.scheduler, &arrival, found, now)?;
        let prompt = arrival.prompt - found;
        let alone = self.forecast.alone(&self.scheduler, prompt, found).is_some_and(|time| time > limit);
        let late = TooLate { limit, expected, waiting: self.queued(), prompt, alone };
        (alone || expected.soonest > limit).then_some(late)
    }

    /// Queues a sequence, and writes down what is expected of the first of its request.
    pub(crate) fn enqueue(&mut self, id: SequenceId, arrival: Arrival, first: bool) {
        let now = self.latest.max(arrival.time);
        let Engine { scheduler, delivery, forecast, .. } = self;
        if first {
            let found = scheduler.found_of(&arrival, crate::Contents::tokens(delivery, id));
            let prediction = forecast.predict(scheduler, &arrival, found, now);
            prediction.into_iter().for_each(|prediction| delivery.ledger.foretell(id, prediction));
        }
        scheduler.add(id, arrival);
        scheduler.foresee(id, delivery);
        delivery.admitted(id);
    }

    /// Ends what should have been complete by now, and what cannot have its next token in time any more.
    pub(crate) fn expire(&mut self, now: Duration) {
        self.latest = self.latest.max(now);
        for id in self.scheduler.out_of_time(now) {
            self.scheduler.remove(id);
            self.delivery.finish(id, &FinishReason::Deadline);
        }
    }
}

/// Of the time that a step is expected to take, what it takes at least.
const CERTAIN: f64 = 0.5;

impl Scheduler {
    /// Sequences that cannot have their next token by their deadlines.
    fn out_of_time(&self, now: Duration) -> Vec<SequenceId> {
        let late = |sequence: &&Sequence| {
            let Some(deadline) = sequence.arrival().deadline else { return false };
            deadline <= now || self.least(sequence).is_some_and(|least| deadline < now.saturating_add(least))
        };
        self.running().iter().chain(self.waiting()).filter(late).map(Sequence::id).collect()
    }

    /// The least time in which a sequence gets its next token: that of a step for it alone.
    fn least(&self, sequence: &Sequence) -> Option<Duration> {
        let position = sequence.cached().max(sequence.foreseen());
        let rows = sequence.tokens().saturating_sub(position).max(1);
        let work = if sequence.decodes() { (0, 1) } else { (rows, 0) };
        let work = Work { prefill_rows: work.0, decode_rows: work.1, ..Work::default() }.reading(rows, position);
        Some(self.latency().predict(work)?.mul_f64(CERTAIN))
    }
}
