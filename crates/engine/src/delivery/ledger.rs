//! The records of requests under way, and the counts of what was delivered.

use std::collections::BTreeMap;
use std::time::Duration;

use super::drafts::Source;
use crate::phase;
use crate::scheduler::ensure;
use crate::{
    Drafts, FinishReason, Phase, PhaseKind, Prediction, Repetition, Request, RequestRecord, RequestTimes, SequenceId,
    TokenCounts,
};

/// Requests under way, by the name of their first continuation, and those that have ended.
#[derive(Default)]
pub(crate) struct Ledger {
    open: BTreeMap<SequenceId, Open>,
    ended: Vec<RequestRecord>,
    counts: Counts,
    /// First tokens of requests of which something was expected, and how long after their arrival they came.
    foretold: Vec<(Prediction, Duration)>,
}

/// What was delivered since the last step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Tokens.
    pub(crate) tokens: usize,
    /// Ends.
    pub(crate) finished: usize,
    /// Receivers found gone.
    pub(crate) cancelled: usize,
}

/// The record of a request under way.
pub(crate) struct Open {
    record: RequestRecord,
    /// Continuations that have not ended.
    left: usize,
}

impl Ledger {
    /// Opens the record of a request.
    pub(super) fn open(&mut self, key: SequenceId, request: &Request, arrived: Duration) {
        let left = request.continuations.len();
        let prompt = request.prompt.tokens().len();
        let record = RequestRecord {
            id: request.id,
            tenant: request.tenant.clone(),
            priority: request.priority,
            deadline: request.deadline,
            times: RequestTimes { arrived, ..RequestTimes::default() },
            predicted: None,
            tokens: TokenCounts { prompt, ..TokenCounts::default() },
            repetition: Repetition::default(),
            preemptions: 0,
            phases: Vec::new(),
            reasons: Vec::with_capacity(left),
        };
        if left > 0 {
            self.open.insert(key, Open { record, left });
        }
    }

    /// Takes out the record of a request that goes on elsewhere.
    pub(super) fn leave(&mut self, key: SequenceId) -> Option<Open> {
        self.open.remove(&key)
    }

    /// Goes on with the record of a request that was begun elsewhere, and waits to be computed again. What was expected of its first
    /// token was expected there.
    pub(super) fn adopt(&mut self, key: SequenceId, mut open: Open) {
        if open.record.tokens.generated == 0 {
            open.record.predicted = None;
        }
        self.open.insert(key, open);
        self.preempted(key);
    }

    /// What is expected of a request.
    pub(crate) fn foretell(&mut self, key: SequenceId, prediction: Prediction) {
        self.change(key, |record| record.predicted = Some(prediction));
    }

    /// What was expected of a request that has not ended, and when it came.
    pub(super) fn prediction(&self, key: SequenceId) -> Option<(Prediction, Duration)> {
        let record = &self.open.get(&key)?.record;
        record.predicted.map(|prediction| (prediction, record.times.arrived))
    }

    /// The first tokens since this was last asked for, of requests of which something was expected.
    pub(crate) fn take_foretold(&mut self) -> Vec<(Prediction, Duration)> {
        std::mem::take(&mut self.foretold)
    }

    pub(super) fn started(&mut self, key: SequenceId, now: Duration) {
        self.change(key, |record| record.times.started = record.times.started.or(Some(now)));
    }

    pub(super) fn preempted(&mut self, key: SequenceId) {
        self.change(key, |record| {
            record.preemptions += 1;
            let since = record.phases.last().map_or(record.times.arrived, |phase| phase.ended);
            let kind = PhaseKind::Preempted;
            phase::add(&mut record.phases, Phase { kind, started: since, ended: since, rows: 0 });
        });
    }

    /// A step has computed something for it.
    pub(super) fn computed(&mut self, key: SequenceId, step: Phase) {
        self.change(key, |record| phase::add(&mut record.phases, step));
    }

    /// Its prompt is computed; so many of its tokens were found in the cache. Of several groups of continuations the first
    /// one counts.
    pub(super) fn cached(&mut self, key: SequenceId, tokens: usize) {
        self.change(key, |record| {
            if record.tokens.generated == 0 {
                record.tokens.cached = tokens;
            }
        });
    }

    /// Drafted tokens of this source were computed for it, or accepted.
    pub(super) fn drafted(&mut self, key: SequenceId, more: Drafts, source: Source) {
        self.change(key, |record| {
            let TokenCounts { drafts, model_drafts, head_drafts, .. } = &mut record.tokens;
            let of_source = match source {
                Source::Text => None,
                Source::Model => Some(model_drafts),
                Source::Head => Some(head_drafts),
            };
            for drafts in std::iter::once(drafts).chain(of_source) {
                (drafts.computed, drafts.accepted) = (drafts.computed + more.computed, drafts.accepted + more.accepted);
            }
        });
    }

    pub(super) fn token(&mut self, key: SequenceId, now: Duration) {
        self.counts.tokens += 1;
        let Ledger { open, foretold, .. } = self;
        if let Some(record) = open.get(&key).map(|open| &open.record).filter(|record| record.tokens.generated == 0) {
            let took = now.saturating_sub(record.times.arrived);
            foretold.extend(record.predicted.map(|prediction| (prediction, took)));
        }
        self.change(key, |record| {
            record.times.first_token = record.times.first_token.or(Some(now));
            record.times.last_token = Some(now);
            record.tokens.generated += 1;
        });
    }

    /// A continuation has ended with this answer; closes the record with the last one.
    pub(super) fn ended(&mut self, key: SequenceId, reason: FinishReason, answer: &[u32]) {
        match reason {
            FinishReason::Cancelled => self.counts.cancelled += 1,
            _ => self.counts.finished += 1,
        }
        let Some(open) = self.open.get_mut(&key) else { return };
        open.record.reasons.push(reason);
        open.record.repetition = open.record.repetition.worse(Repetition::of(answer));
        open.left -= 1;
        if open.left == 0 {
            self.ended.extend(self.open.remove(&key).map(|open| open.record));
        }
    }

    /// The records of requests that have ended since they were last asked for.
    pub(crate) fn take_ended(&mut self) -> Vec<RequestRecord> {
        std::mem::take(&mut self.ended)
    }

    /// What was delivered since this was last asked for.
    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Checks that the open records are those of `living` continuations, given by request.
    pub(super) fn check(&self, living: impl Iterator<Item = (SequenceId, usize)>) -> Result<(), String> {
        let mut expected = BTreeMap::new();
        living.for_each(|(key, continuations)| *expected.entry(key).or_insert(0) += continuations);
        let open: BTreeMap<SequenceId, usize> = self.open.iter().map(|(key, open)| (*key, open.left)).collect();
        ensure(open == expected, || format!("open records {open:?}, but {expected:?} live"))
    }

    fn change(&mut self, key: SequenceId, change: impl FnOnce(&mut RequestRecord)) {
        if let Some(open) = self.open.get_mut(&key) {
            change(&mut open.record);
        }
    }
}
