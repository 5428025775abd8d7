//! An engine's queue and running sequences at one moment, as plain data.

use std::time::Duration;

use crate::delivery::Delivery;
use crate::{Accuracy, Priority, RequestId, Scheduler, Sequence, StateCounts, Work};

/// Who runs and who waits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineView {
    /// Sequences that hold blocks, in the order of service.
    pub running: Vec<SequenceView>,
    /// The queue, in the order of service.
    pub waiting: Vec<SequenceView>,
    /// Continuations that can run at once.
    pub max_sequences: usize,
    /// Blocks of the KV cache.
    pub blocks: usize,
    /// Of these, how many are free or can be freed at once.
    pub free_blocks: usize,
    /// Positions in a block.
    pub block_len: usize,
    /// Slots of recurrent states.
    pub states: StateCounts,
    /// How well first tokens were foretold.
    pub accuracy: Accuracy,
}

/// A sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceView {
    /// The request it belongs to.
    pub request: RequestId,
    /// How urgent it is.
    pub priority: Priority,
    /// Since when it is there.
    pub age: Duration,
    /// Continuations it stands for.
    pub continuations: usize,
    /// Tokens of its prompt.
    pub prompt: usize,
    /// Tokens generated.
    pub generated: usize,
    /// Tokens whose keys and values are computed.
    pub cached: usize,
    /// Blocks it holds.
    pub blocks: usize,
    /// When it is complete. Of a running sequence: at the latest if it runs on as now and nothing else comes. Of a waiting one:
    /// as was expected when it came.
    pub complete_within: Option<Duration>,
}

impl EngineView {
    /// What these look like at the time `now`.
    pub(crate) fn of(scheduler: &Scheduler, delivery: &Delivery, accuracy: Accuracy, now: Duration) -> EngineView {
        let decode_rows = scheduler.running().iter().filter(|s| s.decodes()).count();
        let context = scheduler.running().iter().map(Sequence::cached).sum();
        let beside = Work { decode_rows, context, ..Work::default() };
        let view = |sequence: &Sequence| SequenceView {
            request: sequence.arrival().request,
            priority: sequence.arrival().priority,
            age: now.saturating_sub(sequence.arrival().time),
            continuations: sequence.continuations(),
            prompt: sequence.arrival().prompt,
            generated: sequence.generated(),
            cached: sequence.cached(),
            blocks: sequence.blocks().len(),
            complete_within: if sequence.is_running() {
                within(scheduler, sequence, beside)
            } else {
                let expected = delivery.prediction(sequence.id());
                expected.map(|(prediction, arrived)| (arrived + prediction.complete).saturating_sub(now))
            },
        };
        let blocks = scheduler.cache().blocks();
        EngineView {
            running: scheduler.running().iter().map(view).collect(),
            waiting: scheduler.waiting().iter().map(view).collect(),
            max_sequences: scheduler.limits().sequences,
            blocks: blocks.total(),
            free_blocks: blocks.free(),
            block_len: scheduler.cache().block_len(),
            states: scheduler.state_counts(),
            accuracy,
        }
    }
}

/// The rest of its prompt in steps as large as they may be, then a step for each token it may still get.
fn within(scheduler: &Scheduler, sequence: &Sequence, beside: Work) -> Option<Duration> {
    let latency = scheduler.latency();
    let left = sequence.arrival().longest.saturating_sub(sequence.tokens());
    let prompt = if sequence.decodes() { 0 } else { sequence.pending() };
    let prefill = latency.predict(Work { prefill_rows: prompt, ..beside }).filter(|_| prompt > 0);
    let step = latency.predict(Work { decode_rows: beside.decode_rows.max(1), ..beside })?;
    Some(prefill.unwrap_or_default() + step.saturating_mul(left.try_into().unwrap_or(u32::MAX)))
}
