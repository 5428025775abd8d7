//! A sequence as a policy sees it that decides elsewhere: in numbers, without its blocks.

use std::time::Duration;

use super::{Arrival, Sequence, SequenceId, Stage};

/// How far a sequence is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tokens it has: its prompt and what was generated.
    pub tokens: usize,
    /// Tokens from the front that the cache holds.
    pub cached: usize,
    /// Tokens of the prompt that were found in the cache and not computed.
    pub found: usize,
    /// Tokens that the current batch computes.
    pub rows: usize,
    /// Continuations it stands for.
    pub continuations: usize,
    /// Whether it holds blocks; else it is in the queue.
    pub is_running: bool,
    /// Since when it waits for a receiver to make room.
    pub stalled_since: Option<Duration>,
}

impl Sequence {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            tokens: self.tokens,
            cached: self.cached,
            found: self.prefix.found,
            rows: self.rows(),
            continuations: self.continuations,
            is_running: self.is_running(),
            stalled_since: self.stalled_since,
        }
    }

    /// A sequence that is told: it holds no blocks, whatever it says of them. `None` if its numbers contradict each other.
    pub fn told(id: SequenceId, arrival: Arrival, progress: Progress) -> Option<Sequence> {
        let Progress { tokens, cached, found, rows, continuations, is_running, stalled_since } = progress;
        let possible = arrival.prompt > 0 && tokens >= arrival.prompt && cached <= tokens && rows <= tokens - cached;
        let mut sequence = Sequence::new(id, arrival);
        (sequence.tokens, sequence.cached, sequence.rows) = (tokens, cached, rows);
        (sequence.prefix.found, sequence.continuations, sequence.stalled_since) = (found, continuations, stalled_since);
        sequence.stage = if is_running { Stage::Running } else { Stage::New };
        possible.then_some(sequence)
    }
}
